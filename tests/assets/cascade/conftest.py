"""A small market in an in-memory database: the marts that the cascade reads, typed by the project's own schemas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import duckdb
import polars as pl
import pytest

from quality.schemas.marts import MARTS

DAY = date(2025, 10, 9)
LAST_HOUR = datetime(2025, 10, 9, 23)
READ_MARTS = (
    "dim_assets",
    "fct_prices_hourly",
    "fct_open_interest_hourly",
    "fct_depth_hourly",
    "fct_stress_scenarios_daily",
    "fct_lending_positions_daily",
    "fct_lending_reserves_daily",
)
Rows = dict[str, list[dict[str, Any]]]


def price_row(asset: str, start: datetime, close: float, **changed: Any) -> dict[str, Any]:
    row = {
        "asset": asset,
        "interval_start_utc": start,
        "interval_end_utc": start + timedelta(hours=1),
        "reference_venue": "alpha",
        "open_quote": close,
        "high_quote": close * 1.004,
        "low_quote": close * 0.996,
        "close_quote": close,
        "median_close_quote": close,
        "lowest_low_quote": close * 0.996,
        "highest_high_quote": close * 1.004,
        "volume_base": 100.0 + close % 7,
        "venues_count": 1,
        "is_closed": True,
        "is_synthetic": False,
    }
    return row | changed


def open_interest_row(asset: str, venue: str, start: datetime, base: float | None, **changed: Any) -> dict[str, Any]:
    row = {
        "instrument_id": f"{venue}:{asset}:2020-01-01",
        "venue": venue,
        "asset": asset,
        "interval_start_utc": start,
        "occurred_at_utc": start,
        "open_interest_one_sided_base": base,
        "open_interest_base_origin": "venue",
        "open_interest_usd_origin": "derived",
        "open_interest_basis": "one_sided",
        "source": "ccxt",
        "is_synthetic": False,
    }
    return row | changed


def depth_rows(asset: str, venue: str, start: datetime, base: float, **changed: Any) -> list[dict[str, Any]]:
    """A book of `base` per 100 bps that was seen to 200 bps only."""
    return [
        {
            "instrument_id": f"{venue}:{asset}:2020-01-01",
            "venue": venue,
            "asset": asset,
            "interval_start_utc": start,
            "occurred_at_utc": start,
            "mid_quote": 100.0,
            "band_bps": band,
            "bid_depth_base": base * band / 100 if band <= 200 else None,
            "ask_depth_base": 2 * base * band / 100 if band <= 200 else None,
            "source": "ccxt",
            "is_synthetic": False,
        }
        | changed
        for band in (50.0, 100.0, 200.0, 500.0)
    ]


def lending_rows(day: date) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return positions and reserves of one account: 10 ETH at 4,300 dollars against a debt of 20,000."""
    place = {
        "venue": "aave_v3_ethereum",
        "chain": "ethereum",
        "protocol": "aave_v3",
        "market_address": "0x" + "a" * 40,
        "observed_at_utc": datetime.combine(day, datetime.min.time()) + timedelta(hours=12),
        "block_height": 1,
        "block_hash": "0x" + "1" * 64,
        "source": "rpc",
        "is_synthetic": False,
    }
    positions, reserves = [], []
    for symbol, asset, held, owed, price in (("WETH", "ETH", 10.0, 0.0, 4_300.0), ("USDC", None, 0.0, 20_000.0, 1.0)):
        token = {
            "token_symbol": symbol,
            "token_address": f"0x{len(positions) + 1:040x}",
            "asset": asset,
            "oracle_price_quote": price,
            "liquidation_threshold_frac": 0.83 if held else 0.78,
        }
        positions.append(
            place
            | token
            | {
                "position_date_utc": day,
                "user_address": "0x" + "b" * 40,
                "supplied_raw": str(int(held * 10**18)),
                "supplied_base": held,
                "is_collateral": held > 0,
                "borrowed_raw": str(int(owed * 10**6)),
                "borrowed_base": owed,
                "account_collateral_usd": 43_000.0,
                "account_debt_usd": 20_000.0,
                "account_threshold_frac": 0.83,
                "health_factor_raw": "1784500000000000000",
                "health_factor_x": 1.7845,
            }
        )
        reserves.append(
            place
            | token
            | {
                "reserve_date_utc": day,
                "ltv_frac": 0.7,
                "liquidation_bonus_frac": 0.05,
                "protocol_fee_frac": 0.1,
                "reserve_factor_frac": 0.1,
                "supplied_raw": "0",
                "borrowed_raw": "0",
                **dict.fromkeys(("is_collateral_enabled", "is_borrowing_enabled", "is_active"), True),
                **dict.fromkeys(("is_frozen", "is_paused"), False),
            }
        )
    return positions, reserves


def small_world() -> Rows:
    """BTC with a prior book, ETH with a measured one, and assets that lack something."""
    rows: Rows = {name: [] for name in READ_MARTS}
    rows["fct_lending_positions_daily"], rows["fct_lending_reserves_daily"] = lending_rows(DAY)
    for asset, level in (("BTC", 120_000.0), ("ETH", 4_300.0)):
        for h in range(72):
            close = round(level * (1 + 0.02 * math.sin(h / 9)), 2)
            rows["fct_prices_hourly"].append(price_row(asset, LAST_HOUR - timedelta(hours=h), close))
    rows["fct_open_interest_hourly"] += [
        open_interest_row("BTC", "alpha", LAST_HOUR, 30_000.0),
        open_interest_row("BTC", "beta", LAST_HOUR - timedelta(hours=2), 10_000.0),
        open_interest_row("BTC", "alpha", LAST_HOUR - timedelta(hours=5), 99_000.0),
        open_interest_row("ETH", "alpha", LAST_HOUR, 500_000.0),
        open_interest_row("OLD", "alpha", LAST_HOUR - timedelta(hours=9), 1.0),
        open_interest_row("NIL", "alpha", LAST_HOUR, None),
    ]
    rows["fct_depth_hourly"] += depth_rows("ETH", "alpha", LAST_HOUR - timedelta(hours=1), 6_000.0)
    rows["fct_prices_hourly"] += [price_row(a, LAST_HOUR, 5.0) for a in ("NONE", "OLD", "NIL")]
    assets = ("BTC", "ETH", "GONE", "NIL", "NONE", "OLD")
    rows["dim_assets"] += [{"asset": a, "asset_name": a, "is_synthetic": False} for a in assets]
    return rows


@pytest.fixture
def build_marts() -> Iterator[Callable[..., duckdb.DuckDBPyConnection]]:
    """Return a builder: rows (default `small_world()`), thread count, seed of the insertion order."""
    opened: list[duckdb.DuckDBPyConnection] = []

    def build(rows: Rows | None = None, *, threads: int = 1, seed: int = 0) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(config={"threads": threads})
        opened.append(con)
        con.execute("create schema marts")
        for name in READ_MARTS:
            columns = ", ".join(
                f.name + " " + f.sql_type + ("" if f.name in MARTS[name].nullable else " not null")
                for f in MARTS[name].fields
            )
            con.execute(f"create table marts.{name} ({columns})")
            shuffled = list((rows or small_world())[name])
            Random(seed).shuffle(shuffled)
            if shuffled:
                con.register("incoming", pl.DataFrame(shuffled, infer_schema_length=None))
                con.execute(f"insert into marts.{name} by name select * from incoming")
                con.unregister("incoming")
        return con

    yield build
    for con in opened:
        con.close()


@pytest.fixture
def world() -> Rows:
    return small_world()
