"""The models over a made-up raw lake: against a naive recomputation, and the same bytes however many threads."""

from __future__ import annotations

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from raw_world import FIRST_DAY, RawWorld

from quality.schemas.marts import MARTS

# Mart of each sim table.
SECOND_PASS = {
    "stress_scenarios": "fct_stress_scenarios_daily",
    "critical_shocks": "fct_critical_shocks_daily",
    "branching_profiles": "fct_branching_profiles_daily",
    "replays": "fct_replays",
    "liquidation_fuel": "fct_liquidation_fuel_daily",
}
FIRST_PASS = sorted(set(MARTS) - set(SECOND_PASS.values()))


def _day(index: int) -> date:
    return FIRST_DAY + timedelta(days=index)


@pytest.mark.parametrize("name", FIRST_PASS)
def test_mart_is_built_as_its_contract_says(name: str, warehouse: Any) -> None:
    found = warehouse.rows(
        "select column_name, data_type, is_nullable from information_schema.columns"
        f" where table_schema = 'marts' and table_name = '{name}' order by ordinal_position"
    )
    table = MARTS[name]
    wanted = [(f.name, f.sql_type, "YES" if f.name in table.nullable else "NO") for f in table.fields]
    assert found == wanted
    assert warehouse.rows(f"select count(*) from marts.{name}") > [(0,)]


# -- a naive recomputation of the recap


@pytest.fixture(scope="module")
def prices(warehouse: Any) -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for asset, *rest in warehouse.rows(
        "select asset, interval_start_utc, open_quote::double, high_quote::double, low_quote::double,"
        " close_quote::double, volume_usd::double from marts.fct_prices_hourly order by asset, interval_start_utc"
    ):
        rows[asset].append(tuple(rest))
    return rows


def _naive_recaps(prices: dict[str, list[tuple[Any, ...]]]) -> dict[tuple[str, date], dict[str, float | None]]:
    returns: dict[str, dict[Any, float]] = {}
    for asset, hours in prices.items():
        closes = {h[0]: h[4] for h in hours}
        one = timedelta(hours=1)
        returns[asset] = {t: c / closes[t - one] - 1 for t, c in closes.items() if t - one in closes}
    recaps: dict[tuple[str, date], dict[str, float | None]] = {}
    for asset, hours in prices.items():
        days: dict[date, list[tuple[Any, ...]]] = defaultdict(list)
        for hour in hours:
            days[hour[0].date()].append(hour)
        volume = {d: sum(h[5] for h in hs) for d, hs in days.items()}
        for day, hs in days.items():
            fall, top = 0.0, 0.0
            for _, _, high, low, _, _ in hs:
                top = max(top, high)
                fall = max(fall, 1 - low / top)
            month = [d for d in days if day - timedelta(days=30) < d <= day]
            pairs = [
                (r, returns["BTC"][t])
                for t, r in returns[asset].items()
                if t.date() in month and returns["BTC"].get(t, 0) < 0
            ]
            past = [volume[d] for d in days if day - timedelta(days=30) <= d < day]
            recaps[asset, day] = {
                "drawdown_frac": fall,
                "drawdown_30d_frac": 1 - hs[-1][4] / max(h[2] for d in month for h in days[d]),
                "downside_beta_x": (
                    sum(a * b for a, b in pairs) / sum(b * b for _, b in pairs) if len(pairs) >= 100 else None
                ),
                "volume_z_x": (
                    (volume[day] - statistics.fmean(past)) / statistics.stdev(past) if len(past) >= 10 else None
                ),
            }
    return recaps


def test_recaps_equal_a_naive_recomputation(warehouse: Any, prices: dict[str, Any]) -> None:
    columns = ["drawdown_frac", "drawdown_30d_frac", "downside_beta_x", "volume_z_x"]
    found = {
        (row[0], row[1]): dict(zip(columns, row[2:], strict=True))
        for row in warehouse.rows(
            f"select asset, recap_date_utc, {', '.join(columns)} from marts.fct_market_recaps_daily"
        )
    }
    wanted = _naive_recaps(prices)
    assert found.keys() == wanted.keys()
    for key, figures in wanted.items():
        for name, wanted_figure in figures.items():
            if wanted_figure is None:
                assert found[key][name] is None, (key, name)
            else:
                assert found[key][name] == pytest.approx(wanted_figure, rel=1e-6, abs=1e-12), (key, name)
    betas = [f["downside_beta_x"] for f in wanted.values()]
    assert None in betas
    assert any(b is not None for b in betas)


def test_funding_z_equals_a_naive_recomputation(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select asset, funding_date_utc, median_funding_8h_frac, funding_z_x from marts.fct_funding_daily order by 1, 2"
    )
    by_asset: dict[str, dict[date, float]] = defaultdict(dict)
    for asset, day, median, _ in rows:
        by_asset[asset][day] = median
    compared = 0
    for asset, day, median, z in rows:
        past = [m for d, m in by_asset[asset].items() if day - timedelta(days=30) <= d < day]
        if len(past) < 10:
            assert z is None
        else:
            compared += 1
            assert z == pytest.approx((median - statistics.fmean(past)) / statistics.stdev(past), rel=1e-9)
    assert compared > 100


# -- what the world has in it on purpose


def test_a_settlement_stamped_twice_is_compared_and_not_lost(warehouse: Any) -> None:
    landed = warehouse.world.frames["funding_rates"].height
    ((kept,),) = warehouse.rows("select count(*) from marts.fct_funding_rates")
    rows = warehouse.rows(
        "select venue, coverage_date_utc, sources, compared_rows_count from marts.fct_source_disagreements_daily"
        " where dataset = 'funding_rates' order by coverage_date_utc"
    )
    assert rows == [("bybit", date(2025, 9, 6), "ccxt", 4), ("bybit", date(2025, 10, 6), "ccxt", 4)]
    assert landed == kept + 8


def test_funding_intervals_follow_the_venue(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select venue, asset, funding_interval_hours, interval_origin, count(*) from marts.fct_funding_rates"
        " where venue in ('binance', 'hyperliquid') and asset = 'SOL' and settled_at_utc < '2025-10-01'"
        " group by all order by all"
    )
    # Until the 10th every 8 hours, from 04:00 of the 10th every 4; the first settlement looks ahead.
    assert [r for r in rows if r[0] == "binance"] == [
        ("binance", "SOL", 4.0, "previous_gap", 125),
        ("binance", "SOL", 8.0, "next_gap", 1),
        ("binance", "SOL", 8.0, "previous_gap", 27),
    ]
    # Two holes of two hours are not an interval of two hours.
    assert {r[2] for r in rows if r[0] == "hyperliquid"} == {1.0}


def test_disagreeing_sources_are_shown(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select sources, compared_rows_count, disagreeing_rows_count, max_difference_bps"
        " from marts.fct_source_disagreements_daily where dataset = 'candles' and coverage_date_utc = '2025-09-02'"
    )
    ((sources, compared, disagreeing, widest),) = rows
    assert (sources, compared, disagreeing) == ("ccxt,multivenue", 96, 32)
    assert widest == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(
    ("dataset", "venue", "index", "status", "reason"),
    [
        ("candles", "binance", 9, "complete", ""),
        ("candles", "okx", 9, "missing", "not_collected"),
        ("candles", "okx", 5, "missing", "geoblocked"),
        ("candles", "okx", 25, "complete", ""),
        ("candles", "gone", 8, "missing", "unreachable"),
        ("candles", "gone", 9, "missing", "not_collected"),
        ("candles", "bybit", 10, "partial", "quarantined"),
        ("candles", "bybit", 21, "partial", "venue_gap"),
        ("open_interest", "newdex", 40, "missing", "not_collected"),
        ("depth_bands", "binance", 7, "missing", "not_offered"),
        ("depth_bands", "binance", 44, "partial", "not_collected"),
        ("funding_rates", "hyperliquid", 2, "partial", "venue_gap"),
        ("funding_rates", "binance", 9, "complete", ""),
        ("leverage_tiers", "binance", 20, "complete", ""),
        ("liquidations", "binance", 9, "missing", "not_collected"),
        ("liquidations", "binance", 10, "complete", ""),
        ("liquidations", "okx", 30, "missing", "not_collected"),
        ("liquidations", "bybit", 12, "partial", "stream_gap"),
        ("liquidations", "bybit", 13, "complete", ""),
        ("etf_flows", "farside", 6, "complete", ""),
        ("macro_observations", "fred", 44, "missing", "not_collected"),
        # The open day: 23 hours had ended when it was captured.
        ("candles", "binance", 44, "complete", ""),
    ],
)
def test_coverage_says_what_is_missing_and_why(
    dataset: str, venue: str, index: int, status: str, reason: str, warehouse: Any
) -> None:
    rows = warehouse.rows(
        "select coverage_status, coverage_reason from marts.fct_data_coverage_daily"
        f" where dataset = '{dataset}' and venue = '{venue}' and coverage_date_utc = '{_day(index)}'"
    )
    assert rows == [(status, reason)]


def test_coverage_tells_the_seconds_in_which_a_stream_was_not_heard(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select venue, coverage_date_utc, gap_s from marts.fct_data_coverage_daily where gap_s is not null order by all"
    )
    # The linear stream's two gaps; the inverse one's was shorter. Other days were not recorded: not 0.
    assert rows == [("bybit", _day(12), 96.25)]


def test_coverage_has_every_day_of_the_calendar(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select dataset, venue, count(*) filter (where coverage_date_utc between first_date_utc and last_date_utc)"
        " from marts.fct_data_coverage_daily, (select min(coverage_date_utc) as first_date_utc,"
        " max(coverage_date_utc) as last_date_utc from marts.fct_data_coverage_daily where dataset = 'candles')"
        " where dataset not in ('depth_bands', 'minute_candles', 'leverage_tiers', 'tickers', 'perp_positions', 'adl_states')"
        " group by all"
    )
    assert {days for _, _, days in rows} == {45}
    exchanges = {v for d, v, _ in rows if d == "candles"}
    assert exchanges == {"binance", "bybit", "okx", "hyperliquid", "newdex", "gone"}


def test_the_open_hour_and_day_are_not_closed(warehouse: Any) -> None:
    last = _day(44)
    assert warehouse.rows(
        "select interval_start_utc::varchar from marts.fct_prices_hourly where asset = 'BTC' and not is_closed"
    ) == [(f"{last} 23:00:00",)]
    assert warehouse.rows("select distinct recap_date_utc from marts.fct_market_recaps_daily where not is_closed") == [
        (last,)
    ]


def test_identity_comes_from_the_listing_or_the_first_record(warehouse: Any) -> None:
    rows = dict(
        warehouse.rows("select instrument_id, is_listing_time_known from marts.dim_instruments where asset != 'ETH'")
    )
    assert rows["binance:BTCUSDT:2019-09-08"] is True
    assert rows["binance:币安人生USDT:2025-09-03"] is True
    assert rows["okx:BTC-USDT-SWAP:2025-09-21"] is False
    kinds = dict(warehouse.rows("select venue, venue_kind from marts.dim_venues"))
    assert (kinds["newdex"], kinds["gone"], kinds["okx"]) == ("unlisted", "unlisted", "centralised")


def test_a_revision_is_a_second_vintage(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select count(*), count(distinct observation_date_utc) from marts.fct_macro_observations"
        " where series_id = 'DGS10'"
    )
    captures = warehouse.world.frames["macro_observations"]
    days = captures["observation_date_utc"].n_unique()
    # Index 40 of the slow days is a weekday: revised once.
    assert rows == [(days + 1, days)]


def test_tiers_are_dated_by_what_was_observed(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select asset, tier_rank, notional_cap_settle::bigint, valid_from_utc::date, valid_to_utc::date, last_observed_at_utc::date,"
        " source, maintenance_amount_settle is null from marts.dim_leverage_tiers order by asset, tier_rank, valid_from_utc"
    )
    first, last = _day(10), _day(30)
    assert rows == [
        ("BTC", 1, 50_000, first, None, last, "leverage_tiers", False),
        ("BTC", 2, 250_000, first, last, _day(20), "leverage_tiers", False),
        ("BTC", 2, 300_000, last, None, last, "leverage_tiers", False),
        ("BTC", 3, 1_000_000, last, None, last, "leverage_tiers", False),
        ("ETH", 1, 10_000, first, None, last, "leverage_tiers", False),
        ("ETH", 2, 80_000, first, None, last, "leverage_tiers", False),
        # Not shown again is not known to be gone.
        ("SOL", 1, 10_000, first, None, _day(20), "leverage_tiers", False),
        ("SOL", 2, 80_000, first, None, _day(20), "leverage_tiers", False),
        ("币安人生", 1, 10_000, first, None, last, "leverage_tiers", True),
        ("币安人生", 2, 80_000, first, None, last, "leverage_tiers", True),
    ]


def test_depth_comes_from_one_book(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select distinct occurred_at_utc::varchar from marts.fct_depth_hourly union all"
        " select count(*)::varchar from marts.fct_depth_hourly where ask_depth_base is null"
    )
    assert rows == [(f"{_day(44)} 22:35:00",), ("4",)]


def _naive_liquidations(world: RawWorld) -> list[dict[str, Any]]:
    """Return the kept orders: each hour of an instrument from its best source, with the class of its venue."""
    rows = world.frames["liquidations"].to_dicts()
    hours = defaultdict(set)
    for row in rows:
        row["hour"] = row["occurred_at_utc"].replace(minute=0, second=0, microsecond=0)
        hours[row["venue"], row["venue_symbol"], row["hour"]].add(row["source"])
    classes = {"binance": "sampled", "bybit": "full", "newdex": "unknown"}
    kept = [r for r in rows if r["source"] == min(hours[r["venue"], r["venue_symbol"], r["hour"]])]
    for row in kept:
        row["class"] = classes[row["venue"]]
        row["cents"] = round(Decimal(row["notional_usd"]), 4)
    return kept


def test_hourly_liquidations_equal_a_naive_recomputation(warehouse: Any) -> None:
    wanted: dict[tuple[Any, ...], list[Decimal]] = defaultdict(list)
    for row in _naive_liquidations(warehouse.world):
        wanted[row["venue"], row["asset"], row["position_side"], row["hour"], row["class"]].append(row["cents"])
    rows = warehouse.rows(
        "select venue, asset, position_side, interval_start_utc, completeness_class, liquidations_count, notional_usd,"
        " largest_notional_usd, sources from marts.fct_liquidations_hourly"
    )
    assert {row[:5]: row[5] for row in rows} == {key: len(values) for key, values in wanted.items()}
    for row in rows:
        # Rounding half up and half even may differ in the last digit.
        assert abs(row[6] - sum(wanted[row[:5]])) <= Decimal("0.0001") * row[5]
        assert abs(row[7] - max(wanted[row[:5]])) <= Decimal("0.0001")
    assert {row[8] for row in rows} == {"ccxt"}
    assert {(row[0], row[4]) for row in rows} == {("binance", "sampled"), ("bybit", "full"), ("newdex", "unknown")}


def test_a_liquidated_long_is_a_sell_and_orders_of_one_instant_stay_apart(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select position_side, order_side, quantity_base_origin, count(*), max(liquidation_rank) from marts.fct_liquidations"
        " group by all order by all"
    )
    assert [row[:3] for row in rows] == [
        ("long", "sell", "source"),
        ("short", "buy", "source"),
        ("unknown", "unknown", "derived"),
    ]
    assert sum(row[3] for row in rows) == len(_naive_liquidations(warehouse.world))
    assert max(row[4] for row in rows) == 2
    # Half of the last digit of each figure.
    ((apart,),) = warehouse.rows(
        "select count(*) from marts.fct_liquidations where abs(quantity_base * order_price_quote - notional_usd)"
        " > 5e-5 + 5e-9 * (quantity_base + order_price_quote + 1)"
    )
    assert apart == 0


# -- the same bytes


def _hashes(path: Path, folder: Path) -> dict[str, str]:
    found = {}
    with duckdb.connect(str(path), read_only=True) as con:
        for name in FIRST_PASS:
            table = MARTS[name]
            out = folder / f"{name}.parquet"
            con.execute(
                f"copy (select {', '.join(table.columns)} from marts.{name} order by {', '.join(table.grain)})"
                f" to '{out}' (format parquet)"
            )
            found[name] = hashlib.sha256(out.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize("threads", [1, 8])
def test_threads_and_row_order_do_not_change_a_byte(
    threads: int, warehouse: Any, raw_world: RawWorld, run_dbt: Callable[..., Any], tmp_path: Path
) -> None:
    path = raw_world.write(tmp_path / "warehouse.duckdb", shuffle_seed=threads)
    result = run_dbt(
        path, threads, "build", "--exclude", "tag:second_pass", "--resource-type", "model", "--resource-type", "seed"
    )
    assert result.success, result.exception
    assert _hashes(path, tmp_path) == _hashes(warehouse.path, tmp_path)


def test_the_second_pass_shows_what_the_cascade_wrote(
    warehouse: Any, run_dbt: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(warehouse.path.read_bytes())
    with duckdb.connect(str(path)) as con:
        for name, mart in SECOND_PASS.items():
            table = MARTS[mart]
            values = {
                "DATE": "date '2025-09-30'",
                "TIMESTAMP": "timestamp '2025-09-30 01:00:00'",
                "VARCHAR": "'x'",
                "BOOLEAN": "false",
            }
            con.execute(f"insert into sim.{name} select {', '.join(values.get(f.sql_type, '1') for f in table.fields)}")
    result = run_dbt(path, 2, "build", "--select", "tag:second_pass")
    assert result.success, result.exception
    with duckdb.connect(str(path), read_only=True) as con:
        for name, mart in SECOND_PASS.items():
            assert (
                con.execute(f"select * from marts.{mart}").fetchall()
                == con.execute(f"select * from sim.{name}").fetchall()
            )


# -- basis, ratios, funds


def test_basis_is_told_where_the_venue_tells_an_index(warehouse: Any) -> None:
    found = warehouse.rows(
        "select venue, count(*), min(basis_bps), max(basis_bps), min(mark_basis_bps), max(mark_basis_bps)"
        " from marts.fct_basis_hourly group by venue order by venue"
    )
    of_venue = {venue: figures for venue, *figures in found}
    # A contract at 1 and an index at 0.999 are 10.01 bps apart, a mark at 0.9995 half of that.
    assert of_venue["okx"][1:] == pytest.approx([10.01001] * 2 + [5.005005] * 2, abs=2e-3)
    # A mark without an index is a row, and no basis.
    assert of_venue["binance"][0] == 4 * 45
    assert of_venue["binance"][1:] == [None] * 4


def test_the_last_ratio_of_an_hour_is_kept_per_kind(warehouse: Any) -> None:
    assert warehouse.rows(
        "select ratio_kind, count(*), min(long_short_ratio_x), max(long_short_ratio_x), min(long_share_frac)"
        " from marts.fct_long_short_ratios_hourly group by ratio_kind order by ratio_kind"
    ) == [("accounts", 45 * 24, 3.0, 3.0, 0.75), ("top_positions", 45 * 24, 0.25, 0.25, 0.2)]
    assert warehouse.rows(
        "select distinct coverage_status, expected_rows_count, observed_rows_count from marts.fct_data_coverage_daily"
        f" where dataset = 'long_short_ratios' and venue = 'binance' and coverage_date_utc = '{_day(3)}'"
    ) == [("partial", 4 * 72, 48)]


def test_minutes_are_owed_where_and_when_anyone_asked_for_them(warehouse: Any) -> None:
    assert warehouse.rows(
        "select asset, count(*), bool_and(is_closed), min(source), max(source) from marts.fct_minute_candles"
        " group by asset order by asset"
    ) == [("BTC", 1440, True, "ccxt", "ccxt"), ("ETH", 1439, True, "ccxt", "ccxt")]
    # Of four contracts one was listed at ten o'clock of that day.
    assert warehouse.rows(
        "select venue, coverage_date_utc, coverage_status, coverage_reason, expected_rows_count, observed_rows_count"
        " from marts.fct_data_coverage_daily where dataset = 'minute_candles'"
    ) == [("binance", _day(2), "partial", "venue_gap", 3 * 1440 + 14 * 60, 2879)]
    assert warehouse.rows(
        "select compared_rows_count, disagreeing_rows_count from marts.fct_source_disagreements_daily"
        " where dataset = 'minute_candles'"
    ) == [(120, 120)]


def test_a_fund_without_a_price_is_counted_and_not_added(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select f.balance_usd, f.balance_change_frac, f.funds_count, f.unpriced_funds_count, p.close_quote"
        " from marts.fct_insurance_funds_daily f join marts.fct_prices_hourly p"
        " on p.asset = 'BTC' and p.interval_start_utc = f.fund_date_utc + interval 23 hours order by f.fund_date_utc"
    )
    for i, (balance, change, funds, unpriced, close) in enumerate(rows):
        dollars = 1_000_000 if i == 0 else 2_000_000
        assert balance == pytest.approx(Decimal(dollars) + 2 * close, abs=Decimal("0.01"))
        assert (change is None) == (i == 0)
        assert (funds, unpriced) == (3, 1)


def test_deleveraging_is_told_look_by_look(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select venue, occurred_at_utc, adl_state, pnl_ratio_frac from marts.fct_adl_states order by venue, occurred_at_utc"
    )
    first, second = (datetime.combine(_day(i), time()) for i in (0, 1))
    assert rows == [
        ("binance", first + timedelta(hours=12), "low_risk", None),
        ("binance", first + timedelta(hours=20), "high_risk", None),
        ("binance", second + timedelta(hours=12), "medium_risk", None),
        ("bybit", second + timedelta(hours=12), None, -0.27),
    ]


def test_positions_of_followed_accounts_are_those_of_the_last_look(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select position_side, liquidation_quote is null, position_base, account_value_settle"
        " from marts.fct_perp_positions_daily order by position_side"
    )
    assert [(side, is_null, float(base), float(value)) for side, is_null, base, value in rows] == [
        ("long", False, 2.0, 1_000.0),
        ("short", True, 2.0, 1_000.0),
    ]


def test_tickers_show_contracts_beyond_the_records(warehouse: Any) -> None:
    assert warehouse.rows(
        "select count(*), count(distinct venue_symbol), max(open_interest_basis), count(mark_quote)"
        " from marts.fct_tickers_daily"
    ) == [(4, 4, "two_sided", 0)]
