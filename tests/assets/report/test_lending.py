"""Lending in the report: sums are of what can be trusted, snapshots carry their day, and quiet is not missing."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from assets.report.render import report_html, report_json
from assets.report.sections import build_report

SHA = "ab" * 32


@pytest.fixture(scope="module")
def report(make_marts):
    return build_report(make_marts(), date(2025, 10, 10), input_sha256=SHA)


def test_calls_without_a_value_that_fits_are_counted_and_not_summed(report):
    row = report.lending.calls[0]
    assert (row.venue, row.calls_count, row.valued_calls_count, row.verified_calls_count) == (
        "aave_v3_ethereum",
        4,
        2,
        3,
    )
    assert (row.est_collateral_seized_usd, row.est_debt_repaid_usd) == (2_100_000, 2_000_000)
    assert row.verified_by == "receipts,unverified"
    assert report.lending.origin.is_estimated


def test_what_the_source_says_goes_before_our_estimate(empty_marts, insert, day):
    insert(
        empty_marts, "fct_lending_liquidations", venue="a", occurred_at_utc=datetime(2025, 10, 10, 23, 59, 59),
        reported_collateral_seized_usd=Decimal(110), est_collateral_seized_usd=Decimal(999), est_debt_repaid_usd=Decimal(100),
        is_value_plausible=True,
    )  # fmt: skip
    insert(empty_marts, "fct_lending_liquidations", venue="a", occurred_at_utc=datetime(2025, 10, 11))
    (row,) = build_report(empty_marts, day, input_sha256=SHA).lending.calls
    assert (row.calls_count, row.est_collateral_seized_usd, row.est_debt_repaid_usd) == (1, 110, 100)


def test_calls_of_which_none_has_a_value_have_no_sum(empty_marts, insert, day):
    insert(empty_marts, "fct_lending_liquidations", venue="a", occurred_at_utc=datetime(2025, 10, 10, 1))
    report = build_report(empty_marts, day, input_sha256=SHA)
    assert report.lending.calls[0].est_collateral_seized_usd is None
    assert "say.lending_unvalued" in [s.key for s in report.headline.sentences]


def test_an_account_with_several_tokens_counts_once(make_marts, report):
    # Two assets, so two rows per account.
    (market,) = report.lending.markets
    assert (market.accounts_count, market.account_collateral_usd, market.account_debt_usd) == (4, 600, 200)
    assert (market.near_accounts_count, market.near_debt_usd, market.liquidatable_accounts_count) == (2, 90, 1)
    assert market.near_accounts_frac == pytest.approx(2 / 3)  # an account without a debt has no health
    assert market.near_debt_frac == pytest.approx(0.45)
    assert (market.position_date_utc, market.block_height) == (date(2025, 10, 10), 23_550_000)


def test_fuel_adds_the_windows_up_to_a_fall(report):
    row = next(r for r in report.lending.fuel if r.asset == "BTC")
    assert (row.fuel_now_usd, row.fuel_05_usd, row.fuel_10_usd) == (7, 107, 127)
    assert (row.fuel_20_usd, row.fuel_30_usd) == (
        127,
        1027,
    )  # 60 x 0.005 is a hair above 0.3; the window beyond is not in
    assert row.fuel_origin == "observed"
    chart = report.lending.chart
    assert (chart.x[0], chart.x[-1], chart.unit) == (0.0, 0.3, "usd")
    assert chart.series[0].label == "BTC · aave_v3_ethereum · observed"
    assert (chart.series[0].first, chart.series[0].last) == (7.0, 1027.0)


def test_main_reserves_are_the_largest_and_the_rest_is_counted(make_marts, day):
    names = tuple(f"COIN{k:02d}" for k in range(9))
    lending = build_report(make_marts(names), day, input_sha256=SHA).lending
    assert [row.token_symbol for row in lending.reserves] == list(names[:6])
    assert lending.left_out_reserves_count == 3
    assert lending.reserves[1].liquidation_bonus_frac is None


def test_a_market_that_was_read_without_a_call_is_quiet_and_one_that_was_not_read_is_missing(report):
    assert report.lending.quiet_venues == ("aave_v3_base",)
    (gap,) = report.lending.gaps
    assert (gap.dataset, gap.venue, gap.coverage_reason) == ("lending_positions", "aave_v3_base", "lagging")
    page = report_html(report, "en").decode()
    assert "Read on the day and no call told: aave_v3_base." in page
    assert "missing: node behind" in page


def test_only_a_quiet_market_makes_a_section_that_is_not_missing(empty_marts, insert, day):
    insert(
        empty_marts, "fct_data_coverage_daily", dataset="lending_liquidations", venue="aave_v3_base", coverage_date_utc=day,
        coverage_status="complete", coverage_reason="", expected_rows_count=0, observed_rows_count=0,
    )  # fmt: skip
    report = build_report(empty_marts, day, input_sha256=SHA)
    assert (report.lending.quiet_venues, report.lending.origin.is_missing) == (("aave_v3_base",), False)
    section = report_html(report, "en").decode().partition('<section id="lending"')[2].partition("</section>")[0]
    assert (
        section.count("Missing: no record of 2025-10-10.") == 3
    )  # borrowers, fuel, rules; calls are none and not missing


def test_a_snapshot_of_the_week_is_shown_with_its_day_and_an_older_one_is_not(make_marts, day):
    con = make_marts(("BTC",))
    late = build_report(con, day + timedelta(days=6), input_sha256=SHA).lending
    assert {row.is_of_the_day for row in (*late.markets, *late.fuel, *late.reserves)} == {False}
    assert late.markets[0].position_date_utc == day
    assert late.calls == ()
    gone = build_report(con, day + timedelta(days=7), input_sha256=SHA).lending
    assert (gone.markets, gone.fuel, gone.reserves, gone.chart) == ((), (), (), None)
    assert gone.origin.is_missing
    assert gone.origin.latest_date_utc == day


def test_headline_tells_calls_or_else_what_a_fall_would_sell(make_marts, day, report):
    said = next(s for s in report.headline.sentences if s.key == "say.lending")
    assert said.values == {"calls_count": 8, "est_collateral_seized_usd": Decimal(4_200_000)}
    after = build_report(make_marts(), day + timedelta(days=1), input_sha256=SHA)
    fuel = next(s for s in after.headline.sentences if s.key == "say.lending_fuel")
    assert (fuel.values["asset"], fuel.values["fuel_10_usd"], fuel.values["fuel_30_usd"]) == ("BTC", 127, 1027)
    assert fuel.condition.values["fuel_date_utc"] == day


def test_amounts_keep_their_digits_in_the_json(make_marts, day):
    con = make_marts(("BTC",))
    con.execute(
        "update marts.fct_liquidation_fuel_daily set fuel_usd = 123456789012345678901234.5678 where window_end_frac = 0"
    )
    text = report_json(build_report(con, day, input_sha256=SHA)).decode()
    assert '"fuel_now_usd": 123456789012345678901234.5678' in text
