"""A small world of marts, made from the contract: every table of quality/schemas/marts.py with its types and constraints."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import pytest
from report_rows import rows_beside_exchanges

from quality.schemas.marts import MARTS

DAY = date(2025, 10, 10)
START = datetime(2025, 10, 10)

HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\u202eevil\u202c عربى",
    "币安人生",
    "A" * 300,
    "{0} {asset} %s $x^{2}$ & \"'`",
    "</svg><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
)

Insert = Callable[..., None]


def _default(sql_type: str) -> Any:
    if sql_type.startswith("DECIMAL"):
        return Decimal(1)
    return {
        "DOUBLE": 0.5,
        "BIGINT": 1,
        "VARCHAR": "x",
        "BOOLEAN": False,
        "TIMESTAMP": START,
        "DATE": DAY,
    }[sql_type]


def create_marts(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("create schema marts")
    for table in MARTS.values():
        columns = ", ".join(
            f"{f.name} {f.sql_type}{'' if f.name in table.nullable else ' not null'}" for f in table.fields
        )
        con.execute(f"create table {table.address} ({columns})")


def _full(mart: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return a whole row: what is not given is missing where the contract lets it be, else a plain default."""
    table = MARTS[mart]
    unknown = set(values) - set(table.columns)
    assert not unknown, f"{mart} has no {unknown}"
    return {
        f.name: values.get(f.name, None if f.name in table.nullable else _default(f.sql_type)) for f in table.fields
    }


def insert_rows(con: duckdb.DuckDBPyConnection, mart: str, rows: list[dict[str, Any]]) -> None:
    table = MARTS[mart]
    schema = {f.name: pl.String() if f.sql_type.startswith("DECIMAL") else f.raw_type for f in table.fields}
    full = [_full(mart, row) for row in rows]
    frame = pl.DataFrame(
        [{k: str(v) if isinstance(v, Decimal) else v for k, v in row.items()} for row in full], schema=schema
    )
    con.register("fresh_rows", frame)
    con.execute(f"insert into {table.address} by name select * from fresh_rows")
    con.unregister("fresh_rows")


def insert_row(con: duckdb.DuckDBPyConnection, mart: str, **values: Any) -> None:
    insert_rows(con, mart, [values])


class World:
    """Rows to come, so that they can be inserted in any order."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def add(self, mart: str, **values: Any) -> None:
        self.rows.append((mart, values))


def _markets(world: World, names: tuple[str, ...], synthetic: bool) -> None:
    for k, asset in enumerate(names):
        world.add("dim_assets", asset=asset, asset_name=asset, is_synthetic=synthetic)
        world.add(
            "fct_market_recaps_daily", asset=asset, recap_date_utc=DAY, reference_venue="binance",
            open_quote=Decimal(110), high_quote=Decimal(115), low_quote=Decimal(80), close_quote=Decimal(100 - k),
            return_frac=-0.1 - 0.01 * k, range_frac=0.318, drawdown_frac=0.304, drawdown_30d_frac=0.2, wick_frac=0.18,
            retrace_frac=None if k else 0.66, downside_beta_x=1.0 + k, volume_usd=Decimal(10**10 - k), volume_z_x=2.5,
            breadth_frac=1.0, hours_count=24, venues_count=3, is_closed=True, is_synthetic=synthetic,
        )  # fmt: skip
        for hour in range(-24, 24):
            if hour == 5:
                continue  # a hole: the line must break here
            world.add(
                "fct_prices_hourly", asset=asset, interval_start_utc=START + timedelta(hours=hour),
                interval_end_utc=START + timedelta(hours=hour + 1), close_quote=Decimal(120 - hour - k),
                is_synthetic=synthetic,
            )  # fmt: skip
        for back in range(4):
            world.add(
                "fct_funding_daily", asset=asset, funding_date_utc=DAY - timedelta(days=back),
                oi_weighted_funding_8h_frac=0.0001, median_funding_8h_frac=0.0001 * (1 + back) - 0.0003 * (k == 1),
                min_funding_8h_frac=-0.0002, max_funding_8h_frac=0.0004, funding_dispersion_bps=6.0, funding_z_x=-1.5,
                settlements_count=15, venues_count=5, weighted_venues_count=2, is_synthetic=synthetic,
            )  # fmt: skip
        _open_interest(world, asset, f"{asset}-PERP", synthetic)


def _open_interest(world: World, asset: str, symbol: str, synthetic: bool) -> None:
    # hyperliquid is seen every hour, lighter only at noon: it must not enter the sum.
    for venue, hours in (("hyperliquid", range(-48, 24)), ("lighter", [12])):
        instrument = f"{venue}:{symbol}:2025-03-06"
        world.add(
            "dim_instruments",
            instrument_id=instrument,
            venue=venue,
            venue_symbol=symbol,
            asset=asset,
            is_synthetic=synthetic,
        )
        for hour in hours:
            usd = Decimal(4_000_000_000) if hour < 20 else Decimal(2_000_000_000) + 10_000_000 * (hour - 20)
            at = START + timedelta(hours=hour)
            world.add(
                "fct_open_interest_hourly", instrument_id=instrument, venue=venue, asset=asset, interval_start_utc=at,
                occurred_at_utc=at, open_interest_one_sided_usd=usd, open_interest_one_sided_base=usd / 100,
                open_interest_usd_origin="venue", open_interest_base_origin="derived",
                open_interest_basis="one_sided", is_synthetic=synthetic,
            )  # fmt: skip


def _slow(world: World, synthetic: bool) -> None:
    for back in range(30):
        flow_day = DAY - timedelta(days=back)
        world.add(
            "fct_etf_flows_daily", asset="BTC", fund="TOTAL", flow_date_utc=flow_day,
            net_flow_usd=Decimal(-4_500_000 if back == 0 else 1_000_000 * back), net_flow_5d_usd=Decimal(2_710_000_000),
            cumulative_net_flow_usd=Decimal(62_700_000_000), streak_count=-1, reporting_funds_count=1,
            missing_trading_days_count=0, is_synthetic=synthetic,
        )  # fmt: skip
        if back != 0:
            world.add(
                "fct_etf_flows_daily", asset="BTC", fund="LATE", flow_date_utc=flow_day, is_synthetic=synthetic,
            )  # fmt: skip
        world.add(
            "fct_sentiment_daily", index_name="fear_and_greed", sentiment_date_utc=flow_day, sentiment_index=64.0 - back,
            sentiment_change_7d_index=1.0, sentiment_class="greed", is_synthetic=synthetic,
        )  # fmt: skip
    macro = (
        # series, observation, vintage, origin, value
        ("DGS10", date(2025, 10, 9), date(2026, 1, 15), "captured", 4.05),
        ("VIXCLS", date(2025, 10, 8), date(2025, 10, 9), "published", 16.0),
        ("VIXCLS", date(2025, 10, 8), date(2025, 10, 11), "published", 99.0),
        ("VIXCLS", date(2025, 10, 9), date(2026, 1, 15), "captured", 98.0),
        ("LATE", date(2025, 10, 9), date(2025, 10, 12), "published", 97.0),
    )
    for series, observed, vintage, origin, value in macro:
        world.add(
            "fct_macro_observations", series_id=series, series_name=f"{series} name", observation_date_utc=observed,
            vintage_date_utc=vintage, vintage_origin=origin, value_native=value, change_native=-0.09, unit="percent",
            is_synthetic=synthetic,
        )  # fmt: skip


def _stress(world: World, names: tuple[str, ...], synthetic: bool) -> None:
    settings = (("sell", 1.0, None), ("sell", 0.294, 0.045), ("reprice", 1.0, None))
    for k, asset in enumerate(names):
        for side in ("long", "short"):
            for kind, survival, soft in settings:
                common: dict[str, Any] = {
                    "asset": asset, "position_side": side, "setting": f"{kind}|W={survival:.2f}", "shock_kind": kind,
                    "depth_survival_frac": survival, "impact_exponent_x": 0.875, "sold_share_frac": 1.0,
                    "fuel_origin": "estimated", "fuel_prior": "tier_prior_v1", "depth_origin": "prior",
                    "depth_prior": "depth_prior_oi_v1", "reference_price_quote": Decimal(100),
                    "fuel_open_interest_usd": Decimal(2_000_000_000), "fuel_venues": "hyperliquid",
                    "fuel_weight_frac": 0.45, "depth_100bps_usd": Decimal(8_000_000), "draw_law": "draw_law_v1",
                    "draws_count": 1_000, "is_synthetic": synthetic,
                }  # fmt: skip
                for shock in (0.05, 0.1, 0.3):
                    move = shock * (1.5 / survival)
                    world.add(
                        "fct_stress_scenarios_daily", scenario_date_utc=DAY, shock_frac=shock, sim_move_frac=move,
                        sim_amplification_x=move / shock + k / 10, sim_trough_price_quote=Decimal(88),
                        sim_forced_notional_usd=Decimal(123_456_789), sim_forced_frac=0.06,
                        sim_shortfall_usd=Decimal(0), sim_slippage_usd=Decimal(5), is_exhausted=survival < 1 and shock == 0.3,
                        sim_move_p05_frac=0.9 * move, sim_move_p50_frac=move, sim_move_p95_frac=1.2 * move,
                        sim_forced_notional_p05_usd=Decimal(60_000_000), sim_forced_notional_p50_usd=Decimal(120_000_000),
                        sim_forced_notional_p95_usd=Decimal(370_000_000), sim_exhausted_frac=0.02,
                        **common,
                    )  # fmt: skip
                for day, value in ((DAY, soft), (DAY - timedelta(days=1), soft and soft + 0.01)):
                    world.add(
                        "fct_critical_shocks_daily", scenario_date_utc=day, sim_soft_shock_frac=value,
                        is_soft_censored=value is None, is_jump_censored=True, grid_max_shock_frac=0.5,
                        sim_max_branching_x=1.6, sim_soft_shock_p05_frac=None if value is None else value / 2,
                        sim_soft_censored_frac=1.0 if value is None else 0.4, sim_jump_censored_frac=1.0, **common,
                    )  # fmt: skip


def _coverage(world: World, synthetic: bool) -> None:
    for dataset, venue, status, reason, observed in (
        ("candles", "binance", "complete", "", 120),
        ("candles", "okx", "missing", "not_collected", 0),
        ("open_interest", "lighter", "partial", "venue_gap,quarantined", 7),
        ("lending_liquidations", "aave_v3_base", "complete", "", 0),
        ("lending_liquidations", "aave_v3_ethereum", "complete", "", 120),
        ("lending_positions", "aave_v3_base", "missing", "lagging", 0),
    ):
        world.add(
            "fct_data_coverage_daily", dataset=dataset, venue=venue, coverage_date_utc=DAY, coverage_status=status,
            coverage_reason=reason, expected_rows_count=120, observed_rows_count=observed,
            missing_rows_count=120 - observed, quarantined_rows_count=3 if status == "partial" else 0,
            coverage_frac=observed / 120, sources="import", is_synthetic=synthetic,
        )  # fmt: skip
    world.add(
        "fct_quarantined_rows_daily", dataset="open_interest", venue="lighter", source="import", capture_date_utc=DAY,
        reason="not_positive", quarantined_rows_count=3, is_synthetic=synthetic,
    )  # fmt: skip
    world.add(
        "fct_source_disagreements_daily", dataset="candles", venue="binance", coverage_date_utc=DAY, sources="ccxt,import",
        compared_rows_count=120, disagreeing_rows_count=2, max_difference_bps=3.4,
    )  # fmt: skip
    for venue in ("binance", "hyperliquid", "farside"):
        kind = {"binance": "centralised", "hyperliquid": "on_chain"}.get(venue, "publisher")
        world.add("dim_venues", venue=venue, venue_name=venue.title(), venue_kind=kind, terms_note="public figures")
    world.add(
        "fct_candles_hourly",
        instrument_id="binance:BTCUSDT:2025-03-06",
        interval_start_utc=START,
        is_synthetic=synthetic,
    )
    world.add(
        "fct_candles_hourly", instrument_id="binance:BTCUSDT:2025-03-06", interval_start_utc=START + timedelta(days=1)
    )
    world.add("fct_funding_rates", settled_at_utc=START + timedelta(hours=8), is_synthetic=synthetic)
    world.add("fct_depth_hourly", band_bps=100.0, is_synthetic=synthetic)


def make_world(names: tuple[str, ...], synthetic: bool) -> World:
    world = World()
    _markets(world, names, synthetic)
    _slow(world, synthetic)
    _stress(world, names, synthetic)
    _coverage(world, synthetic)
    for mart, values in rows_beside_exchanges(DAY, names, synthetic=synthetic):
        world.add(mart, **values)
    return world


@pytest.fixture
def day() -> date:
    return DAY


@pytest.fixture(scope="session")
def hostile_names() -> tuple[str, ...]:
    return HOSTILE_NAMES


@pytest.fixture
def insert() -> Insert:
    return insert_row


@pytest.fixture
def empty_marts() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect()
    create_marts(con)
    yield con
    con.close()


@pytest.fixture(scope="session")
def make_marts() -> Iterator[Callable[..., duckdb.DuckDBPyConnection]]:
    """Return a builder of filled marts: names of assets, all synthetic or none, threads, order of insertion."""
    made: list[duckdb.DuckDBPyConnection] = []

    def make(
        names: tuple[str, ...] = ("BTC", "ETH"),
        *,
        synthetic: bool = False,
        threads: int = 2,
        shuffle_seed: int | None = None,
    ) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(config={"threads": threads})
        create_marts(con)
        rows = make_world(names, synthetic).rows
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(rows)
        for mart in dict.fromkeys(mart for mart, _ in rows):
            insert_rows(con, mart, [values for name, values in rows if name == mart])
        made.append(con)
        return con

    yield make
    for con in made:
        con.close()


@pytest.fixture(scope="session")
def marts(make_marts: Callable[..., duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection:
    """Return marts of BTC and ETH that tests only read."""
    return make_marts()
