"""The step that points schema `raw` at the lake also checks every table, and a broken one stops what is built on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
from dagster import AssetKey, DagsterInstance, Definitions, asset, define_asset_job, in_process_executor

from assets.lake.definitions import build_raw_tables
from assets.partitions import DAILY
from pipelines.runs import RunOutcome, execute, watch_logger
from quality.schemas.raw import RAW_TABLES

DAY = date(2026, 1, 5)
GOOD = {
    "venue": "binance",
    "venue_symbol": "BTCUSDT",
    "asset": "BTC",
    "price_kind": "trade",
    "interval_start_utc": datetime(2026, 1, 5, 3),
    "interval_end_utc": datetime(2026, 1, 5, 4),
    "open_quote": 100.0,
    "high_quote": 101.0,
    "low_quote": 99.0,
    "close_quote": 100.5,
    "volume_base": 2.0,
    "payload_sha256": "a" * 64,
}


class RawOnly:
    """A warehouse of raw tables: empty ones, and candles as given."""

    reports = dbt_target = Path()
    as_of = None

    def __init__(self, *candles: dict[str, object]) -> None:
        self._con = duckdb.connect()
        self._con.execute("create schema raw")
        for name, table in RAW_TABLES.items():
            rows = pl.DataFrame(list(candles) if name == "candles" else [], schema=table.raw_schema)
            rows = rows.with_columns(source=pl.lit("ccxt"), capture_date_utc=pl.lit(DAY))
            self._con.register("given", rows)
            self._con.execute(f"create table raw.{name} as from given")

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        yield self._con

    def refresh_raw(self) -> str:
        return "0" * 64

    def input_sha256(self) -> str:
        return "0" * 64

    def publish(self) -> dict[str, int]:
        return {}


def build(warehouse: RawOnly) -> tuple[RunOutcome, bool]:
    """Run the raw tables and what stands on them; tell whether the latter was built."""
    built: list[str] = []

    @asset(key=AssetKey(["marts", "prices"]), deps=[AssetKey(["raw", "candles"])], partitions_def=DAILY)
    def prices() -> None:
        built.append("prices")

    defs = Definitions(
        assets=[build_raw_tables([]), prices],
        resources={"warehouse": warehouse},
        executor=in_process_executor,
        loggers={"lowtide": watch_logger},
        jobs=[define_asset_job("build_day")],
    )
    with DagsterInstance.ephemeral() as instance:
        outcome = execute(defs, instance, "build_day", [DAY], watch=lambda step, state: None)
    return outcome, bool(built)


def test_rows_that_obey_their_schema_pass_one_check_a_table() -> None:
    outcome, is_built = build(RawOnly(GOOD))
    assert (outcome.is_success, is_built, outcome.failures) == (True, True, [])
    assert outcome.checks_passed == len(RAW_TABLES)


def test_a_row_that_breaks_a_law_stops_what_stands_on_its_table() -> None:
    outcome, is_built = build(RawOnly(GOOD | {"low_quote": 200.0}))
    assert (outcome.is_success, is_built) == (False, False)
    assert any("candles_rows_obey_their_schema on raw/candles does not hold" in line for line in outcome.failures)
    assert outcome.checks_passed == len(RAW_TABLES) - 1, "the other tables are looked at too"


def test_a_key_that_stands_twice_is_a_fault_and_rows_of_other_days_are_not_looked_at() -> None:
    assert not build(RawOnly(GOOD, GOOD))[0].is_success
    before = {k: v - timedelta(days=1) if isinstance(v, datetime) else v for k, v in GOOD.items()}
    assert build(RawOnly(GOOD, before | {"low_quote": 200.0}))[0].is_success
