"""From a depth archive to the depth mart: no quantity of a dead order stands there, and coverage tells the hours without."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from archive_files import (
    DEPTH_HEADER,
    KLINE_HEADER,
    crossed_book,
    klines,
    sound_book,
    text_of,
    write_zip,
)

from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.lake.views import create_raw_views
from pipelines.sources.files.imports import import_files, load_mapping

pytestmark = pytest.mark.long

CLOCK = FixedClock(datetime(2026, 11, 23, 12))
DAY = datetime(2025, 10, 12)
REAL_DAY = datetime(2025, 10, 10)
SELECTED = (
    "+fct_depth_hourly",
    "+fct_data_coverage_daily",
    "+fct_quarantined_rows_daily",
    "assert_no_depth_band_stands_still",
)


@dataclass(frozen=True)
class Built:
    """A warehouse over a lake with archives, and what dbt's tests said."""

    path: Path
    result: Any
    has_real_records: bool

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with duckdb.connect(str(self.path), read_only=True) as con:
            return con.execute(query, values).fetchall()


def synthetic_archive(folder: Path) -> None:
    """Write a day of books every minute: sound until 01:30, then crossed, stale and crossed; from 05:00 on one band still."""
    rows = []
    for minute in range(24 * 60):
        at = DAY + timedelta(minutes=minute)
        if 90 <= minute < 300:
            # Every tenth of these looks sound.
            rows += sound_book(at, minute) if minute % 10 == 5 else crossed_book(at, minute)
        elif minute >= 300:
            still = f"{at},-3,30.0,{30.0 * 98.5}"
            rows += [still if row.startswith(f"{at},-3,") else row for row in sound_book(at, minute)]
        else:
            rows += sound_book(at, minute)
    write_zip(
        folder, "futures/um/daily/bookDepth/SOLUSDT/SOLUSDT-bookDepth-2025-10-12.zip", text_of(DEPTH_HEADER, rows)
    )
    # The calendar of coverage runs over candles.
    for symbol, day in (("SOLUSDT", DAY), ("BTCUSDT", REAL_DAY)):
        name = f"futures/um/daily/klines/{symbol}/1h/{symbol}-1h-{day.date()}.zip"
        write_zip(folder, name, text_of(KLINE_HEADER, klines(day, 24)))


@pytest.fixture(scope="module")
def built(run_dbt: Any, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Import made-up and, where they are here, real records of a depth archive, and build what stands behind the mart."""
    home = tmp_path_factory.mktemp("depth_archive")
    lake = Lake(home / "lake", clock=CLOCK, code_version="1.0")
    mapping = load_mapping("binance_archive")
    synthetic_archive(home / "in")
    import_files(mapping, home / "in", lake, CLOCK)
    shared = Path(os.environ.get("LOWTIDE_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    real = shared / "binance_bookdepth"
    if real.is_dir():
        import_files(mapping, real, lake, CLOCK)
    path = home / "warehouse.duckdb"
    with duckdb.connect(str(path)) as con:
        create_raw_views(con, lake)
    result = run_dbt(
        path,
        2,
        "build",
        "--select",
        *SELECTED,
        "--exclude",
        "test_type:unit",
        "test_type:generic",
        "--indirect-selection",
        "cautious",
    )
    assert result.success, [
        (r.node.name, r.message) for r in result.result or () if r.status not in {"success", "pass"}
    ]
    return Built(path, result.result, real.is_dir())


def test_an_hour_keeps_its_last_sound_book_and_hours_without_one_have_none(built: Built) -> None:
    rows = built.rows(
        "select interval_start_utc, max(occurred_at_utc), count(*), max(bid_depth_base) filter (where band_bps = 100)"
        " from marts.fct_depth_hourly where asset = 'SOL' group by 1 order by 1"
    )
    last_minutes = {0: 59, 1: 89} | {h: 60 * h + 59 for h in range(5, 24)}
    assert [(start, at, bands) for start, at, bands, _ in rows] == [
        (DAY + timedelta(hours=h), DAY + timedelta(minutes=m), 5) for h, m in last_minutes.items()
    ]
    assert [float(depth) for *_, depth in rows] == pytest.approx([(1 + m / 1000) * 10 for m in last_minutes.values()])
    assert built.rows("select count(*) from marts.fct_depth_hourly where mid_quote is not null") == [(0,)]


def test_coverage_tells_the_hours_that_fell_to_quarantine(built: Built) -> None:
    told = built.rows(
        "select coverage_status, coverage_reason, observed_rows_count, quarantined_rows_count"
        " from marts.fct_data_coverage_daily where dataset = 'depth_bands' and coverage_date_utc = ?",
        DAY.date(),
    )
    assert told == [("partial", "quarantined", 21, 210 * 5)]
    reasons = built.rows(
        "select reason, quarantined_rows_count from marts.fct_quarantined_rows_daily"
        " where dataset = 'depth_bands' and capture_date_utc = ? order by 1",
        DAY.date(),
    )
    assert reasons == [("crossed_book", 189 * 5), ("stale_book", 21 * 5)]


def test_a_band_that_stands_still_is_named_from_first_to_last_book(built: Built) -> None:
    (check,) = [r for r in built.result if r.node.name == "assert_no_depth_band_stands_still"]
    assert check.status == "warn"
    assert built.rows(check.node.compiled_code) == [
        (
            "binance:SOLUSDT:2025-10-12",
            "binance_archive",
            300.0,
            "bid",
            91,
            DAY + timedelta(hours=5),
            DAY + timedelta(hours=23, minutes=59),
            19 * 60,
            "band_stands_still",
        )
    ]


@pytest.mark.shared_data
def test_no_quantity_of_the_dead_bid_of_2025_10_10_reaches_the_mart(built: Built, shared_data: Path) -> None:
    assert built.has_real_records, f"{shared_data} holds no binance_bookdepth"
    hours = built.rows(
        "select interval_start_utc, max(occurred_at_utc), min(bid_depth_base), count(bid_depth_base), count(ask_depth_base)"
        " from marts.fct_depth_hourly where asset = 'BTC' group by 1 order by 1"
    )
    assert [start for start, *_ in hours] == [REAL_DAY + timedelta(hours=h) for h in range(16)]
    assert max(at for _, at, *_ in hours) == REAL_DAY + timedelta(hours=15, minutes=30, seconds=6)
    # The dead bid's band shows 17.65 BTC; the least of a sound one is 15 times as much.
    assert min(depth for _, _, depth, *_ in hours) > 250
    assert {(bids, asks) for *_, bids, asks in hours} == {(5, 5)}
    bands = built.rows("select distinct band_bps from marts.fct_depth_hourly where asset = 'BTC' order by 1")
    assert bands == [(100.0,), (200.0,), (300.0,), (400.0,), (500.0,)]
    told = built.rows(
        "select coverage_status, coverage_reason, observed_rows_count, quarantined_rows_count"
        " from marts.fct_data_coverage_daily where dataset = 'depth_bands' and coverage_date_utc = ?",
        REAL_DAY.date(),
    )
    assert told == [("partial", "quarantined", 16, (969 + 50) * 5)]
