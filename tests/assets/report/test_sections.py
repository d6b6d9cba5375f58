"""The report's numbers are those of the marts, of the day, and missing where nothing is there."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import pytest

from assets.report.render import SECTIONS
from assets.report.sections import build_report

SHA = "ab" * 32


@pytest.fixture(scope="module")
def report(make_marts):
    return build_report(make_marts(), date(2025, 10, 10), input_sha256=SHA)


def test_prices_carry_the_recap_and_stand_by_traded_value(report):
    assert [row.asset for row in report.prices.rows] == ["BTC", "ETH"]
    btc = report.prices.rows[0]
    assert (btc.close_quote, btc.return_frac, btc.retrace_frac) == (Decimal(100), -0.1, 0.66)
    assert report.prices.rows[1].retrace_frac is None


def test_price_chart_starts_at_100_and_breaks_at_the_hole(report):
    chart = report.prices.chart
    series = chart.series[0]
    assert len(chart.x) == len(series.values) == 8 * 24
    assert series.first == 100.0
    assert series.values[chart.x.index(datetime(2025, 10, 10, 5))] is None
    assert series.values[chart.x.index(datetime(2025, 10, 10, 6))] == pytest.approx(114 / 144 * 100, abs=1e-4)
    assert series.last == series.low == pytest.approx(97 / 144 * 100, abs=1e-4)


def test_funding_knows_the_day_before_and_is_annualised_without_compounding(report):
    btc = report.funding.rows[0]
    assert btc.median_funding_8h_frac == 0.0001
    assert btc.previous_median_funding_8h_frac == 0.0002
    assert btc.median_funding_annualised_frac == pytest.approx(0.1095)
    assert len(report.funding.chart.x) == 30


def test_open_interest_has_start_low_end_and_change(report):
    row = next(r for r in report.open_interest.rows if r.asset == "BTC" and r.venue == "hyperliquid")
    assert (row.usd.start_usd, row.usd.low_usd, row.usd.end_usd) == (4_000_000_000, 2_000_000_000, 2_030_000_000)
    assert row.usd.low_at_utc == datetime(2025, 10, 10, 20)
    assert row.usd.change_usd == Decimal(-1_970_000_000)
    assert row.usd.change_frac == pytest.approx(-0.4925)
    assert row.base.end_base == Decimal(20_300_000)
    assert (row.open_interest_usd_origin, row.open_interest_base_origin) == ("venue", "derived")
    assert row.venue_symbol == "BTC-PERP"


def test_open_interest_of_one_instant_has_no_change(report):
    row = next(r for r in report.open_interest.rows if r.venue == "lighter")
    assert row.usd.start_usd == row.usd.end_usd == 4_000_000_000
    assert row.usd.change_usd is None
    assert row.usd.change_frac is None


def test_open_interest_total_leaves_out_what_was_not_seen_at_both_ends(report):
    total = report.open_interest.totals[0]
    assert total.usd.start_usd == 4_000_000_000
    assert (total.usd_instruments_count, total.instruments_count) == (1, 2)
    assert total.venues == ("hyperliquid",)
    assert total.is_derived


def test_open_interest_total_sums_the_same_span_and_only_whole_hours(empty_marts, insert, day):
    insert(empty_marts, "dim_assets", asset="BTC")
    for venue, hours in (("a", (0, 1, 2, 3)), ("b", (0, 2, 3)), ("c", (1, 2, 3))):
        for hour in hours:
            insert(
                empty_marts, "fct_open_interest_hourly", instrument_id=venue, venue=venue, asset="BTC",
                interval_start_utc=datetime(2025, 10, 10, hour), occurred_at_utc=datetime(2025, 10, 10, hour),
                open_interest_one_sided_usd=Decimal(10 if hour != 1 else 1), open_interest_usd_origin="venue",
                open_interest_base_origin="venue",
            )  # fmt: skip
    total = build_report(empty_marts, day, input_sha256=SHA).open_interest.totals[0]
    assert total.venues == ("a", "b")
    assert (total.usd.start_usd, total.usd.low_usd, total.usd.end_usd, total.usd.observations_count) == (20, 20, 20, 3)
    assert total.base.start_base is None
    assert (total.base_instruments_count, total.is_derived) == (0, False)


def test_open_interest_chart_is_the_total_of_three_days(report):
    coin, usd = report.open_interest.charts
    assert (coin.key, usd.key) == ("open_interest_base", "open_interest_usd")
    assert len(usd.x) == 72
    assert usd.series[0].values[-1] == 50.75


def test_etf_shows_the_day_or_says_that_it_is_late(make_marts, report):
    row = report.etf.rows[0]
    assert (row.is_of_the_day, row.net_flow_usd) == (True, Decimal(-4_500_000))
    assert len(report.etf.charts[0].x) == 20
    late = build_report(make_marts(), date(2025, 10, 12), input_sha256=SHA)
    assert late.etf.rows[0].flow_date_utc == date(2025, 10, 10)
    assert not late.etf.rows[0].is_of_the_day


def test_macro_prefers_what_was_known_and_never_uses_a_later_published_vintage(report):
    rows = {row.series_id: row for row in report.macro.rows}
    assert set(rows) == {"DGS10", "VIXCLS"}
    assert (rows["VIXCLS"].value_native, rows["VIXCLS"].knowledge) == (16.0, "known_on_day")
    assert (rows["DGS10"].value_native, rows["DGS10"].knowledge) == (4.05, "latest_vintage")


def test_sentiment_is_the_latest_not_after_the_day(report):
    assert report.sentiment.rows[0].sentiment_index == 64.0
    assert report.sentiment.rows[0].is_of_the_day
    assert len(report.sentiment.chart.x) == 90
    assert report.sentiment.chart.series[0].values[:60] == (None,) * 60


def test_stress_stands_by_side_and_setting_with_full_depth_first(report):
    asset = report.stress.assets[0]
    assert [side.position_side for side in asset.sides] == ["long", "short"]
    assert [(s.shock_kind, s.depth_survival_frac) for s in asset.sides[0].settings] == [
        ("sell", 1.0),
        ("reprice", 1.0),
        ("sell", 0.294),
    ]
    assert report.stress.summary_shock_frac == 0.1
    assert report.stress.pass_through_x == 1.0
    assert report.stress.fuel_priors == ("tier_prior_v1",)
    assert asset.chart.x == (-0.3, -0.1, -0.05, 0.05, 0.1, 0.3)


def test_censored_critical_shock_is_never_a_number(report):
    settings = report.stress.assets[0].sides[0].settings
    censored, found = settings[0].critical, settings[2].critical
    assert (censored.sim_soft_shock_frac, censored.is_soft_censored) == (None, True)
    assert (found.sim_soft_shock_frac, found.previous_sim_soft_shock_frac) == (0.045, pytest.approx(0.055))
    figure = next(f for f in report.headline.figures if f.key.startswith("figure.critical"))
    assert figure.key == "figure.critical_open"
    assert figure.values["low_soft_shock_frac"] == 0.045
    assert "high_soft_shock_frac" not in figure.values
    said = next(s for s in report.headline.sentences if s.key == "say.critical")
    assert [item.key.endswith("_censored") for item in said.items] == [True, True, False]
    assert all("sim_soft_shock_frac" not in item.values for item in said.items[:2])


def test_coverage_counts_and_gives_reasons_to_sections(report):
    assert report.coverage.statuses_count == {"complete": 3, "missing": 2, "partial": 1}
    assert report.coverage.datasets == ("candles", "open_interest", "lending_liquidations", "lending_positions")
    assert report.open_interest.origin.missing_reasons == ("quarantined", "venue_gap")


def test_report_of_a_day_does_not_see_later_days(make_marts, insert, day, report):
    con = make_marts()
    after = day + timedelta(days=1)
    noon = datetime(2025, 10, 11, 12)
    insert(con, "fct_market_recaps_daily", asset="BTC", recap_date_utc=after)
    insert(con, "fct_prices_hourly", asset="BTC", interval_start_utc=noon)
    insert(con, "fct_funding_daily", asset="BTC", funding_date_utc=after, median_funding_8h_frac=0.09)
    insert(
        con, "fct_open_interest_hourly", asset="BTC", interval_start_utc=noon, open_interest_one_sided_usd=Decimal(7)
    )
    insert(con, "fct_etf_flows_daily", asset="BTC", fund="TOTAL", flow_date_utc=after)
    insert(con, "fct_sentiment_daily", index_name="fear_and_greed", sentiment_date_utc=after)
    insert(con, "fct_macro_observations", series_id="DGS10", observation_date_utc=after, vintage_date_utc=day)
    insert(con, "fct_lending_liquidations", venue="a", collateral_symbol="WETH", occurred_at_utc=noon)
    for mart, column in (
        ("fct_lending_positions_daily", "position_date_utc"),
        ("fct_lending_reserves_daily", "reserve_date_utc"),
        ("fct_liquidation_fuel_daily", "fuel_date_utc"),
    ):
        insert(con, mart, **{column: after, "venue": "aave_v3_ethereum", "asset": "ETH"})
    insert(con, "fct_stablecoins_daily", supply_date_utc=after, peg_type="USD", circulating_base=Decimal(7))
    insert(con, "fct_exchange_reserves_daily", exchange="BTC", reserve_date_utc=after, reserve_origin="published")
    insert(con, "fct_holder_supply_daily", asset="BTC", holder_date_utc=after, mvrv_x=9.0)
    # The figure of a later day is not read, not even where the calendar named the day; of a day that no calendar named nothing is.
    insert(
        con, "fct_macro_releases", series_id="NEW", release_date_utc=after, release_origin="vintages", value_native=7.0
    )
    insert(
        con,
        "fct_macro_observations",
        series_id="NEW",
        observation_date_utc=day,
        vintage_date_utc=after,
        vintage_origin="published",
    )
    insert(con, "fct_rate_expectations_daily", meeting_date_utc=after, observed_date_utc=after, is_most_likely=True)
    con.execute(
        "update marts.fct_macro_releases set value_native = 55, surprise_native = 5 where release_date_utc > ?", [day]
    )
    for mart in ("fct_stress_scenarios_daily", "fct_critical_shocks_daily"):
        insert(con, mart, asset="BTC", position_side="long", scenario_date_utc=after)
    insert(con, "fct_data_coverage_daily", coverage_date_utc=after)
    insert(con, "fct_quarantined_rows_daily", capture_date_utc=after)
    insert(con, "fct_source_disagreements_daily", coverage_date_utc=after)
    assert build_report(con, day, input_sha256=SHA) == report


def test_empty_marts_give_a_report_of_missing_things(empty_marts, day):
    report = build_report(empty_marts, day, input_sha256=SHA)
    for name in set(SECTIONS) - {"headline", "provenance"}:
        section = getattr(report, name)
        assert section.origin.is_missing, name
        assert section.origin.latest_date_utc is None, name
    assert all(sentence.key.endswith("_missing") for sentence in report.headline.sentences)
    assert all(figure.key.endswith("_missing") for figure in report.headline.figures)


@pytest.mark.parametrize(("synthetic", "extent"), [(True, "all"), (False, "none")])
def test_synthetic_extent_is_all_or_none(make_marts, day, synthetic, extent):
    report = build_report(make_marts(("BTC",), synthetic=synthetic), day, input_sha256=SHA)
    assert report.synthetic_extent == extent
    assert report.stress.origin.is_synthetic is synthetic


def test_one_synthetic_row_makes_its_section_synthetic(make_marts, insert, day):
    con = make_marts(("BTC",))
    insert(con, "fct_funding_daily", asset="FAKE", funding_date_utc=day, is_synthetic=True)
    report = build_report(con, day, input_sha256=SHA)
    assert report.synthetic_extent == "some"
    assert report.funding.origin.is_synthetic
    assert not report.prices.origin.is_synthetic
    assert report.headline.origin.is_synthetic


def test_absent_mart_is_refused_by_name(make_marts, day):
    con = make_marts(("BTC",))
    con.execute("drop table marts.fct_funding_daily")
    with pytest.raises(ValueError, match=r"schema marts lacks fct_funding_daily: build"):
        build_report(con, day, input_sha256=SHA)


@pytest.mark.parametrize("figure", ["nan", "inf", "-inf"])
def test_figure_that_is_no_number_is_refused_by_name(make_marts, day, figure):
    con = make_marts(("BTC",))
    con.execute("update marts.fct_funding_daily set funding_z_x = ?::double", [figure])
    with pytest.raises(ValueError, match=r"`funding_z_x` is -?(nan|inf) in the mart row \(BTC"):
        build_report(con, day, input_sha256=SHA)


def test_instant_is_not_a_day(marts: duckdb.DuckDBPyConnection):
    with pytest.raises(TypeError, match="give a date"):
        build_report(marts, datetime(2025, 10, 10, 12), input_sha256=SHA)


def test_many_assets_are_counted_where_they_are_not_drawn(make_marts, day):
    names = tuple(f"COIN{k:02d}" for k in range(11))
    report = build_report(make_marts(names), day, input_sha256=SHA)
    assert (len(report.prices.chart.series), report.prices.chart.left_out_count) == (8, 3)
    said = next(s for s in report.headline.sentences if s.key == "say.open_interest")
    assert said.items[-1].values == {"left_out_count": 6}
