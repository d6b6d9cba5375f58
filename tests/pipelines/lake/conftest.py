"""A lake in a temporary folder, a clock that ticks, and batches of candles made from almost nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.ports import RawBatch, RawKey
from pipelines.lake.store import Lake
from quality.schemas.raw import RAW_TABLES
from quality.tables import REJECTED_COLUMNS

START = datetime(2026, 1, 5, 12)


class TickingClock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.instant = START

    def now(self) -> datetime:
        return self.instant

    def tick(self, **by: float) -> datetime:
        self.instant += timedelta(**(by or {"minutes": 1}))
        return self.instant


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncs protect from power cuts, which no test makes; `test_commit_syncs_before_it_tells` counts them."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def clock() -> TickingClock:
    return TickingClock()


@pytest.fixture
def lake(tmp_path: Path, clock: TickingClock) -> Lake:
    return Lake(tmp_path / "lake", clock=clock, code_version="1.0")


@pytest.fixture
def candles() -> Callable[..., RawBatch]:
    """Return a maker of batches: `candles(day=date(...), close=..., hours=...)`."""

    def make(
        *,
        venue: str = "binance",
        source: str = "ccxt",
        day: date = date(2026, 1, 1),
        close: float = 100.0,
        hours: int = 3,
        symbol: str = "BTCUSDT",
        refused: int = 0,
        note: str = "",
        is_synthetic: bool = False,
        payloads: tuple[str, ...] = (),
    ) -> RawBatch:
        start = datetime.combine(day, datetime.min.time())
        at = [start + timedelta(hours=h) for h in range(hours)]
        rows = pl.DataFrame(
            {
                "venue": [venue] * hours,
                "venue_symbol": [symbol] * hours,
                "asset": ["BTC"] * hours,
                "price_kind": ["trade"] * hours,
                "interval_start_utc": at,
                "interval_end_utc": [t + timedelta(hours=1) for t in at],
                "open_quote": [close] * hours,
                "high_quote": [close + 1] * hours,
                "low_quote": [close - 1] * hours,
                "close_quote": [close] * hours,
                "volume_base": [1.5] * hours,
                "payload_sha256": ["a" * 64] * hours,
            },
            schema=RAW_TABLES["candles"].raw_schema,
        )
        rejected = pl.DataFrame(
            {
                "row_count": list(range(1, refused + 1)),
                "field": ["open_quote"] * refused,
                "reason": ["not_a_number"] * refused,
                "record_json": [f'{{"row":{i}}}' for i in range(1, refused + 1)],
            },
            schema=REJECTED_COLUMNS,
        )
        key = RawKey("candles", venue, source, day)
        return RawBatch(key, rows, rejected, payloads, origin_note=note, is_synthetic=is_synthetic)

    return make
