"""Flows in the report: funds that are silent are named, views are not added, and a change is over what both days told."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from assets.report.render import report_html
from assets.report.sections import build_report

SHA = "ab" * 32


@pytest.fixture(scope="module")
def report(make_marts):
    return build_report(make_marts(), date(2025, 10, 10), input_sha256=SHA)


def _section(report, key: str, lang: str = "en") -> str:
    return report_html(report, lang).decode().partition(f'<section id="{key}"')[2].partition("</section>")[0]


def test_funds_without_a_figure_of_the_latest_day_are_named(report):
    (silent,) = report.etf.silent
    assert (silent.asset, silent.flow_date_utc, silent.funds) == ("BTC", date(2025, 10, 10), ("LATE",))
    assert report.etf.rows[0].reporting_funds_count == 1
    assert "no figure of 2025-10-10 yet from LATE" in _section(report, "etf")


def test_a_fund_that_closed_long_ago_is_not_called_silent(make_marts, insert, day):
    con = make_marts()
    insert(con, "fct_etf_flows_daily", asset="BTC", fund="GONE", flow_date_utc=day - timedelta(days=5))
    assert build_report(con, day, input_sha256=SHA).etf.silent[0].funds == ("LATE",)


def test_a_weekend_is_no_missing_trading_day_in_words(make_marts, report):
    assert "no US trading day" not in _section(report, "etf").partition("read")[0]
    sunday = build_report(make_marts(), date(2025, 10, 12), input_sha256=SHA)
    assert "The day is no US trading day." in _section(sunday, "etf")
    assert "当日并非美国交易日。" in _section(sunday, "etf", "zh")


def test_a_missing_trading_day_has_its_reason_beside_the_latest_one(make_marts, insert):
    con = make_marts(("BTC",))
    insert(
        con, "fct_data_coverage_daily", dataset="etf_flows", venue="farside", coverage_date_utc=date(2025, 10, 13),
        coverage_status="missing", coverage_reason="banned",
    )  # fmt: skip
    section = _section(build_report(con, date(2025, 10, 13), input_sha256=SHA), "etf")
    assert "missing: banned" in section
    assert "latest record 2025-10-10" in section


def test_stablecoins_of_the_dollar_alone_are_summed(report):
    total = report.stablecoins.total
    assert total.pairs_count == 4
    assert total.est_circulating_usd == (2 * 1_000_000 - 1 + 2 * 500_000) * Decimal("0.998")
    assert "EURC" not in {row.name for row in report.stablecoins.coins}


def test_a_change_is_over_the_pairs_told_on_both_days(report):
    total = report.stablecoins.total
    assert (total.circulating_change_1d_base, total.pairs_1d_count) == (40, 4)
    assert (total.circulating_change_7d_base, total.pairs_7d_count) == (140, 2)
    assert (total.circulating_change_30d_base, total.pairs_30d_count) == (None, 0)
    assert "missing in 30 days (0)" in _section(report, "stablecoins")


def test_the_coin_farthest_from_its_peg_is_named(report):
    assert (report.stablecoins.farthest.name, report.stablecoins.farthest.peg_deviation_bps) == ("ETH", -21.0)
    assert report.stablecoins.farthest.stablecoin_price_quote == Decimal("0.998")


def test_a_chain_with_a_hole_draws_no_fall(report):
    chart = report.stablecoins.chart
    assert [series.label for series in chart.series] == ["BTC", "ETH"]
    # Ethereum alone is followed: from 999,710 coins to 1,000,000.
    assert chart.series[0].first == 100.0
    assert chart.series[0].last == pytest.approx(1_000_000 / 999_710 * 100, abs=1e-4)
    assert None not in chart.series[0].values


def test_smaller_coins_are_counted(make_marts, day):
    coins = build_report(make_marts(tuple(f"COIN{k:02d}" for k in range(11))), day, input_sha256=SHA).stablecoins
    assert (len(coins.coins), coins.left_out_coins_count, len(coins.chains)) == (8, 3, 2)
    assert coins.chains[0].name == "Ethereum"


def test_reserves_group_what_is_held_and_leave_out_what_has_no_value(report):
    row = report.reserves.rows[0]
    assert (row.est_btc_usd, row.est_eth_usd, row.est_stablecoins_usd) == (40 * 10**9, 20 * 10**9, 40 * 10**9)
    assert (row.est_others_usd, row.unvalued_assets_count) == (None, 1)
    assert (row.est_btc_net_flow_usd, row.est_eth_net_flow_usd) == (-3 * 10**6, None)
    assert row.est_stablecoins_net_flow_usd == 5 * 10**6


def test_two_views_of_an_exchange_stay_two_rows(make_marts, insert, day):
    con = make_marts(("BTC",))
    insert(
        con, "fct_exchange_reserves_daily", exchange="BTC", reserve_asset="BTC", reserve_date_utc=day - timedelta(days=1),
        reserve_origin="balances", observed_at_utc=datetime(2025, 10, 9, 23, 59), est_balance_usd=Decimal(1),
        is_stablecoin=False,
    )  # fmt: skip
    rows = build_report(con, day, input_sha256=SHA).reserves.rows
    assert [(r.reserve_origin, r.is_of_the_day, r.est_btc_usd) for r in rows] == [
        ("published", True, 40 * 10**9),
        ("balances", False, 1),
    ]


def test_holders_show_their_day_the_proxy_and_the_terms(report):
    assert [row.asset for row in report.holders.rows] == ["BTC", "ETH"]
    row = report.holders.rows[0]
    assert (row.holder_date_utc, row.is_of_the_day) == (date(2025, 10, 9), False)
    assert (row.est_long_term_supply_frac, row.mvrv_x, row.est_long_term_supply_change_30d_base) == (0.608, 2.01, None)
    assert row.exchange_net_inflow_usd == -250_000_000
    for lang in ("en", "zh"):
        assert _section(report, "holders", lang).count("CC BY-NC 4.0") == 1
    # From the first to the last day that is told, and no empty ends.
    assert (report.holders.chart.x[0], report.holders.chart.x[-1]) == (date(2025, 9, 1), date(2025, 10, 9))


def test_holders_of_long_ago_are_missing(make_marts, day):
    late = build_report(make_marts(), day + timedelta(days=30), input_sha256=SHA).holders
    assert (late.rows, late.chart, late.origin.is_missing) == ((), None, True)
    assert late.origin.latest_date_utc == day - timedelta(days=1)
