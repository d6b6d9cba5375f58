"""What tests of the collector share: a lake that lists the sandbox's contracts, segments written by hand, the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from hand_time import HandClock

from assets.ports import RawBatch, RawKey
from pipelines.clock import FixedClock
from pipelines.collector.segments import Journal, Kind, Past
from pipelines.lake.store import Lake
from pipelines.sandbox.streams import SERVED, ForcedOrder
from quality.schemas.raw import INSTRUMENTS
from quality.tables import REJECTED_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
EPOCH = datetime(1970, 1, 1)
CONTRACT_BASE = {"BTC": 0.01, "ETH": 0.1, "SOL": 1.0}  # of OKX; elsewhere a contract is one coin
# Stream -> the venue's symbol of an asset, and USD of one contract where the stream counts coin-margined contracts.
SYMBOLS = {
    "binance_usdm": "{}USDT",
    "binance_coinm": "{}USD_PERP",
    "bybit_linear": "{}USDT",
    "bybit_inverse": "{}USD",
    "okx": "{}-USDT-SWAP",
}
VENUES = {name: name.split("_")[0] for name in SYMBOLS} | {"binance_coinm": "binance_coinm"}


def listing_lake(root: Path, now: datetime, assets: Sequence[str] = ("BTC", "ETH", "SOL")) -> Lake:
    """Return a lake whose instruments are the sandbox's contracts on every stream."""
    lake = Lake(root, clock=FixedClock(now), code_version="test")
    for venue in sorted(set(VENUES.values())):
        rows = [
            {
                "venue": venue,
                "venue_symbol": pattern.format(asset),
                "asset": asset,
                "quote_asset": "USDT",
                "settle_asset": "USDT",
                **_size(venue, asset, pattern),
                "price_tick_quote": 0.1,
                "quantity_step_base": 0.001,
                "listed_at_utc": datetime(2020, 1, 1),
                "payload_sha256": "0" * 64,
            }
            for stream, pattern in SYMBOLS.items()
            if VENUES[stream] == venue
            for asset in assets
        ]
        frame = pl.DataFrame(rows, schema=INSTRUMENTS.raw_schema, orient="row")
        nothing = pl.DataFrame(schema=REJECTED_COLUMNS)
        key = RawKey("instruments", venue, "ccxt", now.date())
        lake.commit([RawBatch(key, frame, nothing, is_synthetic=True)])
    return lake


def _size(venue: str, asset: str, pattern: str) -> dict[str, Any]:
    if "USD_" in pattern or pattern.endswith("USD"):
        usd = 1.0 if venue == "bybit" else 100.0 if asset == "BTC" else 10.0
        return {"contract_kind": "inverse", "contract_size_base": None, "contract_size_usd": usd}
    return {"contract_kind": "linear", "contract_size_base": CONTRACT_BASE[asset] if venue == "okx" else 1.0}


def order(
    at: datetime, asset: str = "BTC", side: str = "long", base: float = 1.0, price: float = 100_000.0
) -> ForcedOrder:
    """Return a forced order at an instant."""
    return ForcedOrder(asset, (at - EPOCH) // timedelta(milliseconds=1), side, base, price)


def wire(stream: str, *orders: ForcedOrder) -> list[str]:
    """Return orders as a stream's messages."""
    return [json.dumps(SERVED[stream].message(o)) for o in orders]


class Tape:
    """Segments written by hand: `at` moves the clock, the rest writes."""

    def __init__(self, folder: Path, start: datetime, past: Past | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = HandClock(start)
        self.journal = Journal(folder, self.clock, past or Past())

    def at(self, instant: datetime) -> Tape:
        """Move the clock."""
        self.clock.start = instant
        return self

    def write(self, kind: Kind, stream: str = "", **facts: Any) -> Tape:
        """Write a record."""
        self.journal.append(kind, stream, **facts)
        return self

    def say(self, stream: str, texts: Iterable[str]) -> Tape:
        """Write messages."""
        for text in texts:
            self.journal.append("message", stream, text=text)
        return self

    def gap(self, stream: str, start: datetime, end: datetime, reason: str = "first_start") -> Tape:
        """Write a gap that ends now or did."""
        return self.write("gap", stream, from_ns=_ns(start), until_ns=_ns(end), reason=reason)

    def beat(self, stream: str) -> Tape:
        """Write a heartbeat of this instant."""
        return self.write("heartbeat", stream, alive_ns=_ns(self.clock.start))


def _ns(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1000


@dataclass(frozen=True)
class Command:
    """The real `lowtide collect` against a sandbox."""

    home: Path
    base_url: str

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start it; what it prints goes to a pipe."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE_", "DAGSTER_", "PYTEST"))}
        told = {"LOWTIDE_HOME": str(self.home), "LOWTIDE_COLLECT_BASE_URL": self.base_url, "COLUMNS": "200"}
        return subprocess.Popen(
            [sys.executable, "-c", "from pipelines.cli import main; main()", "collect", *arguments],
            env={**kept, **told, **more},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def read_until(process: subprocess.Popen[str], words: str) -> list[str]:
    """Read what a process prints up to the first line with these words; all of it where it never comes."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            break
    return lines


def today() -> date:
    """Return the day of the machine's clock, by the project's own."""
    from pipelines.clock import SystemClock

    return SystemClock().now().date()
