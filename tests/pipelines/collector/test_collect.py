"""`lowtide collect` as a process against the sandbox's streams: it reconnects, stops cleanly, and no kill costs what it acknowledged."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import zlib
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from collected import Command, Tape, listing_lake, order, read_until, today

from assets.lake.transform import batches_of_recording
from pipelines.clock import SystemClock
from pipelines.collector.landing import Recordings
from pipelines.home import open_home
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.streams import StreamFault, Streams, burst_of
from pipelines.sandbox.world import World

pytestmark = pytest.mark.long

RATE_HZ = 500.0
EPOCH = datetime(1970, 1, 1)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(11, date(2026, 3, 9), 1, ("BTC",))
    with serve(world, now=datetime(2026, 3, 9, 12)) as running:
        yield running


@pytest.fixture
def command(sandbox: Sandbox, tmp_path: Path) -> Command:
    home = open_home(tmp_path / "home", "demo", create=True)
    listing_lake(home.lake, SystemClock().now())
    return Command(home.root, sandbox.base_url)


def lines_of(home: Path) -> list[dict[str, Any]]:
    """Read every whole record of a home, written apart from the collector's own reader."""
    try:
        bodies = [p.read_bytes() for p in sorted((home / "collector").iterdir()) if p.suffix in (".seg", ".open")]
    except FileNotFoundError:  # a full hour: a segment was sealed while we looked
        return lines_of(home)
    found = []
    for body in bodies:
        for line in body.split(b"\n")[:-1]:
            if int(line[:8], 16) != zlib.crc32(line[9:]):
                break
            found.append(json.loads(line[9:]))
    return found


def stopped(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


def test_sigterm_seals_and_says_what_was_recorded(sandbox: Sandbox, command: Command) -> None:
    orders = [order(datetime.combine(today(), time()) + timedelta(seconds=i)) for i in range(7)]
    sandbox.streams = Streams({"bybit_linear": orders})
    process = command.start("--venue", "bybit", "--show-acknowledged")
    read_until(process, "bybit_inverse recording")
    read_until(process, "acknowledged")
    second = command.start("--venue", "bybit")
    assert second.wait(timeout=60) == 1
    assert second.stderr is not None
    (error,) = second.stderr.read().strip().splitlines()
    assert "in use by another `lowtide collect`" in error
    out, err = stopped(process)
    assert err == ""
    assert "messages recorded, the segment is sealed" in out
    assert not list((command.home / "collector").glob("*.open"))
    told = lines_of(command.home)
    assert told[-1]["kind"] == "closed"
    assert sum("allLiquidation.BTCUSDT" in r.get("text", "") and '"data"' in r["text"] for r in told) == 7


def test_a_real_home_takes_no_sandbox_and_a_demo_home_no_venue(command: Command, tmp_path: Path) -> None:
    open_home(tmp_path / "real", "real", create=True)
    for more in ({"LOWTIDE_HOME": str(tmp_path / "real")}, {"LOWTIDE_COLLECT_BASE_URL": "https://streams.example"}):
        process = command.start(**more)
        assert process.wait(timeout=60) == 1
        assert process.stderr is not None
        assert "synthetic and real records never share a folder" in process.stderr.read()


def test_an_unknown_venue_is_one_clear_line(command: Command) -> None:
    process = command.start("--venue", "ftx")
    assert process.wait(timeout=60) == 1
    assert process.stderr is not None
    assert "no stream of ftx" in process.stderr.read()


def test_silence_cuts_and_repeats_are_borne(sandbox: Sandbox, command: Command) -> None:
    start = datetime.combine(today(), time())
    orders = [order(start + timedelta(seconds=i), base=1.0 + i) for i in range(30)]
    sandbox.streams = Streams(
        {"bybit_linear": orders, "okx": orders},
        replayed_count=4,
        sampled=frozenset(),
        faults=[
            StreamFault("bybit_linear", "cut", connection=1, after=10),
            StreamFault("okx", "silence", connection=1, after=10),
            StreamFault("okx", "torn", connection=2, after=5),
        ],
    )
    # One contract is one request: the venue cuts after its first answer, and the stream must stand by then.
    listing_lake(command.home / "lake", SystemClock().now(), ("BTC",))
    process = command.start("--venue", "bybit", "--venue", "okx")
    heard = read_until(process, "okx recording")
    heard += read_until(process, "okx lost: silence")
    heard += read_until(process, "okx recording")
    waited = {"bybit_linear", "okx"}
    while waited:  # the last orders are on disk once the stream has told them
        told = [r for r in lines_of(command.home) if r["kind"] == "message"]
        waited -= {r["stream"] for r in told if str(orders[-1].at_ms) in r.get("text", "")}
    out, _ = stopped(process)
    assert "bybit_linear lost: disconnected" in "".join(heard) + out
    lake = listing_lake(command.home / "lake", SystemClock().now())
    recordings = Recordings(command.home / "collector", lake, is_synthetic=True)
    for venue, missing in (("bybit", 0), ("okx", 1)):
        recording = recordings.of_day(venue, today())
        assert recording is not None
        quantities = sorted(recording.liquidations.rows["quantity_base"].to_list())
        assert len(quantities) == len(set(quantities)) >= 30 - missing
        reasons = recording.gaps.rows["gap_reason"].to_list()
        assert {"bybit": "disconnected", "okx": "silence"}[venue] in reasons
    assert recordings.of_day("okx", today()).refused["reason"].to_list() == ["not_json"]  # type: ignore[union-attr]  # asserted above


@pytest.mark.trial("collector killed in a burst of 500 orders a second")
def test_no_kill_costs_what_was_acknowledged_and_every_stretch_without_recording_is_a_gap(
    sandbox: Sandbox, command: Command, trial_count: Callable[..., int]
) -> None:
    kills = trial_count(100, 3)
    rng = random.Random(20260310)
    start_ms = (SystemClock().now() - EPOCH) // timedelta(milliseconds=1)
    tape = burst_of(7, start_ms, RATE_HZ)
    sandbox.streams = Streams(burst=tape, rate_hz=RATE_HZ, replayed_count=20)
    acknowledged = 0
    for _ in range(kills):
        process = command.start("--venue", "bybit", "--show-acknowledged")
        printed = read_until(process, "bybit_linear recording") if rng.random() < 0.8 else []
        try:
            process.wait(timeout=rng.uniform(0.0, 1.5))
        except subprocess.TimeoutExpired:
            process.kill()
        out, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
        printed += out.splitlines()
        said = [
            int(line.split()[1]) for line in printed if line.startswith("acknowledged ") and line[-1:].strip("\n") != ""
        ]
        acknowledged = max([acknowledged, *said])
        numbers = [r["n"] for r in lines_of(command.home)]
        assert numbers == list(range(1, len(numbers) + 1)), "a record is missing or stands twice"
        assert len(numbers) >= acknowledged, "something acknowledged is gone"
    process = command.start("--venue", "bybit")
    read_until(process, "bybit_linear recording")
    stopped(process)
    _compare(command.home, tape, sandbox.streams.played["bybit_linear"], kills)


def _compare(home: Path, tape: Callable[[int], Any], played_count: int, kills: int) -> None:
    """Compare what lies in the segments and what lands with the tape that was played."""
    told = [r for r in lines_of(home) if r["stream"] == "bybit_linear"]
    place_of = {(o.at_ms, o.asset, o.price_quote): i for i in range(played_count) if (o := tape(i))}
    heard: set[int] = set()
    sure: dict[int, int] = {}  # order -> place of its first record while the subscription stood
    records = [r for r in told if r["kind"] in ("message", "gap")]
    for at, record in enumerate(records):
        message = json.loads(record["text"]) if record["kind"] == "message" else {}
        for one in message.get("data", ()):
            number = place_of[one["T"], one["s"][:3], float(one["p"])]
            heard.add(number)
            if not record.get("early"):
                sure.setdefault(number, at)
    played = sorted(heard)
    assert len(played) > 100 * min(kills, 3)
    breaks = [(a, b) for a, b in pairwise(sorted(sure)) if b != a + 1]
    assert len(breaks) <= kills
    for before, after in breaks:
        found = [r for r in records[sure[before] : sure[after] + 1] if r["kind"] == "gap"]
        assert found, f"orders {before} to {after} were not heard and no gap says so"
        assert min(g["from_ns"] for g in found) >= records[sure[before]]["at"]
        assert max(g["until_ns"] for g in found) <= records[sure[after]]["at"]
        assert all(g["reason"] == "collector_killed" for g in found)
    lake = listing_lake(home / "lake", SystemClock().now())
    recordings = Recordings(home / "collector", lake, is_synthetic=True)
    first, last = (EPOCH + timedelta(milliseconds=tape(i).at_ms) for i in (played[0], played[-1]))
    rows = []
    for day in {first.date(), last.date()}:
        recording = recordings.of_day("bybit", day)
        assert recording is not None
        batches = batches_of_recording(
            recording, venue="bybit", source="collector", day=day, now=SystemClock().now(), is_synthetic=True
        )
        assert batches[0].rejected.is_empty()
        rows += batches[0].rows.filter(batches[0].rows["venue_symbol"].str.ends_with("USDT")).rows(named=True)
        lake.commit(batches)
    landed = [
        place_of[(r["occurred_at_utc"] - EPOCH) // timedelta(milliseconds=1), r["asset"], r["order_price_quote"]]
        for r in rows
    ]
    assert sorted(landed) == played
    for row, i in zip(rows, landed, strict=True):
        assert (row["quantity_base"], row["position_side"]) == (tape(i).quantity_base, tape(i).position_side)


def test_the_sensor_asks_for_the_days_of_new_segments(tmp_path: Path) -> None:
    from dagster import SensorResult, SkipReason, build_sensor_context

    from pipelines.sensors import recordings_are_sealed

    lake = listing_lake(tmp_path / "lake", datetime(2026, 3, 12))
    recordings = Recordings(tmp_path / "collector", lake, is_synthetic=True)
    noon = datetime(2026, 3, 10, 12)

    def look(cursor: str | None) -> Any:
        return recordings_are_sealed(build_sensor_context(cursor=cursor, resources={"recordings": recordings}))

    assert isinstance(look(None), SkipReason)
    tape = Tape(tmp_path / "collector", noon).gap("okx", noon - timedelta(hours=12), noon)
    assert isinstance(look(None), SkipReason)  # nothing is sealed yet
    tape.at(noon + timedelta(hours=1)).beat("okx").journal.close()
    asked = look(None)
    assert isinstance(asked, SensorResult)
    assert [r.partition_key for r in asked.run_requests or []] == ["2026-03-10"]
    assert isinstance(look(asked.cursor), SkipReason)
