"""The collector: how many orders a second one process records and lands, and, by hand, its memory over a long burst.

Belongs here: the recorder fed from memory (no network between), the landing of what it wrote, a soak of the real command against the
sandbox. Does not: whether anything is lost (``tests/pipelines/collector``).

``python tests/benchmarks/bench_collector.py --minutes 10`` is the soak: 500 orders a second on every stream of Bybit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
from harness import ROOT, Row

from pipelines.clock import SystemClock
from pipelines.collector.landing import Recordings
from pipelines.collector.recorder import Recorder
from pipelines.collector.segments import Journal, Past, read_records, sealed_segments
from pipelines.collector.streams import FEEDS
from pipelines.lake.store import Lake
from pipelines.sandbox.streams import SERVED, burst_of

HEADING = "Collector"
RATE_HZ = 500.0  # the promise: a burst of 500 orders a second is recorded without loss
ORDERS_COUNT = 20_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def rows() -> Iterator[Row]:
    """Measure and yield one row after the other."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        seconds = _record(home / "collector")
        size = sum(path.stat().st_size for path in sealed_segments(home / "collector"))
        note = (
            f"{ORDERS_COUNT:,} messages from memory, {size / ORDERS_COUNT:.0f} bytes each on disk, synced every 1,000"
        )
        yield Row("Collector: orders recorded by one process", ORDERS_COUNT / seconds, RATE_HZ, "/s", note=note)
        seconds = _land(home)
        note = f"{ORDERS_COUNT:,} messages to rows of one day, repeats looked for"
        yield Row("Collector: orders landed by one process", ORDERS_COUNT / seconds, None, "/s", note=note)


class _Memory:
    """A connection that says yes and then everything at once."""

    def __init__(self, texts: list[bytes], done: asyncio.Event) -> None:
        self._texts, self._done = iter(texts), done

    async def send(self, message: str) -> None:
        """Take a request."""

    async def recv(self, *, decode: bool) -> bytes:
        """Return the next message."""
        text = next(self._texts, None)
        if text is None:
            self._done.set()
            await asyncio.Event().wait()
        return text or b""

    async def ping(self) -> asyncio.Future[float]:
        """Answer at once."""
        pong = asyncio.get_running_loop().create_future()
        pong.set_result(0.0)
        return pong


def _record(folder: Path) -> float:
    feed = FEEDS["bybit_linear"]
    start_ms = int(datetime.now(UTC).timestamp() * 1000)
    tape = burst_of(7, start_ms, RATE_HZ * 100)
    said = [json.dumps({"success": True, "op": "subscribe"}).encode()] * len(SYMBOLS)
    said += [json.dumps(SERVED["bybit_linear"].message(tape(i))).encode() for i in range(ORDERS_COUNT)]

    async def play() -> float:
        done = asyncio.Event()

        @asynccontextmanager
        async def connect(_url: str) -> AsyncIterator[Any]:
            yield _Memory(said, done)

        folder.mkdir(parents=True)
        journal = Journal(folder, SystemClock(), Past())
        recorder = Recorder([(feed, SYMBOLS)], journal, SystemClock(), was_closed=True, connect=connect)
        begun = time.process_time()
        await recorder.run(done)
        return time.process_time() - begun

    return asyncio.run(play())


def _land(home: Path) -> float:
    import polars as pl

    from assets.lake.transform import batches_of_recording
    from assets.ports import RawBatch, RawKey
    from quality.schemas.raw import INSTRUMENTS
    from quality.tables import REJECTED_COLUMNS

    lake = Lake(home / "lake", clock=SystemClock(), code_version="bench")
    listed = [
        {
            **dict.fromkeys(INSTRUMENTS.columns),
            "venue": "bybit",
            "venue_symbol": s,
            "asset": s[:3],
            "quote_asset": "USDT",
        }
        | {"settle_asset": "USDT", "contract_kind": "linear", "contract_size_base": 1.0, "payload_sha256": "0" * 64}
        for s in SYMBOLS
    ]
    today = SystemClock().now().date()
    frame = pl.DataFrame(listed, schema=INSTRUMENTS.raw_schema, orient="row")
    lake.commit([RawBatch(RawKey("instruments", "bybit", "ccxt", today), frame, pl.DataFrame(schema=REJECTED_COLUMNS))])
    recordings = Recordings(home / "collector", lake, is_synthetic=True)
    begun = time.process_time()
    recording = recordings.of_day("bybit", today)
    assert recording is not None
    batches = batches_of_recording(
        recording, venue="bybit", source="collector", day=today, now=SystemClock().now(), is_synthetic=True
    )
    lake.commit(batches)
    seconds = time.process_time() - begun
    assert batches[0].rows.height == ORDERS_COUNT, batches[0].rows.height
    return seconds


# --- the soak ------------------------------------------------------------------------------------------------------------


def soak(minutes: float) -> None:
    """Record a burst for so many minutes and print the process's memory at the start, in the middle and at the end."""
    from pipelines.sandbox.server import serve
    from pipelines.sandbox.streams import Streams
    from pipelines.sandbox.world import World

    world = World(11, date(2026, 3, 9), 1, ("BTC",))
    with tempfile.TemporaryDirectory() as folder, serve(world, now=datetime(2026, 3, 9, 12)) as sandbox:
        sandbox.streams = Streams(burst=burst_of(7, int(time.time() * 1000), RATE_HZ), rate_hz=RATE_HZ)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE_")}
        environment |= {"LOWTIDE_HOME": f"{folder}/home", "LOWTIDE_COLLECT_BASE_URL": sandbox.base_url}
        command = [sys.executable, "-c", "from pipelines.cli import main; main()", "collect", "--venue", "bybit"]
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if "recording;" in line:
                break
        begun, memory = time.monotonic(), []
        while (passed := time.monotonic() - begun) < 60 * minutes:
            memory.append((passed, psutil.Process(process.pid).memory_info().rss / 2**20))
            time.sleep(min(5.0, 60 * minutes - passed))
        processor_s = sum(psutil.Process(process.pid).cpu_times()[:2])
        process.terminate()
        assert process.wait() == 0
        records = [r for path in sealed_segments(Path(folder) / "home/collector") for r in read_records(path)]
    messages = [r for r in records if r.kind == "message"]
    gaps = [r for r in records if r.kind == "gap" and r.facts["reason"] != "first_start"]
    seconds = (records[-1].at_ns - messages[0].at_ns) / 1e9
    print(f"{len(messages):,} messages in {seconds:.0f} s ({len(messages) / seconds:.0f}/s), {len(gaps)} gaps")
    assert [r.number for r in records] == list(range(1, len(records) + 1)), "a record is missing or stands twice"
    third = len(memory) // 3
    settled = [mib for _, mib in memory[third:]]
    for what, (at_s, mib) in (("start", memory[1]), ("middle", memory[len(memory) // 2]), ("end", memory[-1])):
        print(f"{what:>7}: {mib:.1f} MiB resident after {at_s:.0f} s")
    print(f"last two thirds: {min(settled):.1f} to {max(settled):.1f} MiB; {processor_s:.1f} s of processor time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    soak(parser.parse_args().minutes)
