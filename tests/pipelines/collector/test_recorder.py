"""The recorder against a venue in memory, on a clock by hand: silence, breaks, refusals, and the gaps that are written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hand_time import HandClock, run_by_hand
from websockets.exceptions import ConnectionClosedError

from pipelines.collector.recorder import Recorder, Timing
from pipelines.collector.segments import Journal, Record, instant_of, ns_of, read_records, recover, sealed_segments
from pipelines.collector.streams import FEEDS

pytestmark = pytest.mark.fast

NOON = datetime(2026, 3, 10, 12)
YES = {
    "okx": '{"event":"subscribe","arg":{}}',
    "bybit_linear": '{"success":true,"op":"subscribe"}',
    "binance_usdm": '{"result":null,"id":1}',
}
NO = '{"event":"error","code":"60018","msg":"Wrong URL"}'


class Venue:
    """A venue in memory: a list of its connections, and how it behaves now."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.is_down = False
        self.answer: dict[str, str | None] = dict(YES)

    def connect(self, url: str) -> Any:
        return self._open(url)

    @asynccontextmanager
    async def _open(self, url: str) -> AsyncIterator[Socket]:
        if self.is_down:
            raise ConnectionRefusedError
        stream = next(name for name, feed in FEEDS.items() if feed.address == url)
        socket = Socket(self, stream, asyncio.get_running_loop().time())
        self.sockets.append(socket)
        yield socket

    def last(self, stream: str) -> Socket:
        return [s for s in self.sockets if s.stream == stream][-1]


class Socket:
    """One connection: what was sent on it, and what the venue says."""

    def __init__(self, venue: Venue, stream: str, opened_s: float) -> None:
        self.venue, self.stream, self.opened_s = venue, stream, opened_s
        self.sent: list[str] = []
        self.is_mute = self.is_cut = False
        self._said: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    async def send(self, message: str) -> None:
        self._fail_where_cut()
        self.sent.append(message)
        answer = self.venue.answer[self.stream]
        if "ubscri" in message.lower() and answer is not None:
            self.say(answer)

    async def recv(self, *, decode: bool) -> bytes:
        said = await self._said.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def ping(self) -> Awaitable[float]:
        self._fail_where_cut()
        pong = asyncio.get_running_loop().create_future()
        if not self.is_mute:
            pong.set_result(0.0)
        return pong

    def say(self, text: str | bytes) -> None:
        self._said.put_nowait(text if isinstance(text, bytes) else text.encode())

    def cut(self) -> None:
        """End the line: a sender sees it at once, a reader after what was said before."""
        self.is_cut = True
        self._said.put_nowait(ConnectionClosedError(None, None))

    def _fail_where_cut(self) -> None:
        if self.is_cut:
            raise ConnectionClosedError(None, None)


Script = Callable[[Venue], Awaitable[None]]


def record(
    folder: Path, script: Script, *, streams: tuple[str, ...] = ("okx",), is_killed: bool = False
) -> list[Record]:
    """Run the recorder while a script plays; return every record of the folder."""
    folder.mkdir(exist_ok=True)

    async def play() -> None:
        clock, venue, stop = HandClock(start), Venue(), asyncio.Event()
        past = recover(folder)
        journal = Journal(folder, clock, past)
        feeds = [(FEEDS[name], ["BTCUSDT", "ETHUSDT"]) for name in streams]
        recorder = Recorder(feeds, journal, clock, was_closed=past.was_closed, connect=venue.connect)
        running = asyncio.ensure_future(recorder.run(stop))
        await script(venue)
        if is_killed:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        else:
            stop.set()
            await running

    # A process begins after the last record of the one before it.
    told = _all(folder)
    start = instant_of(told[-1].at_ns) if told else NOON
    run_by_hand(play)
    return _all(folder)


def _all(folder: Path) -> list[Record]:
    paths = [*sealed_segments(folder), *sorted(folder.glob("*.open"))]
    return [r for path in paths for r in read_records(path)]


def gaps(records: list[Record], stream: str = "okx") -> list[tuple[str, float, float]]:
    """Return reason, start and end of the gaps, in seconds after noon."""
    noon = ns_of(NOON)
    return [
        (r.facts["reason"], (r.facts["from_ns"] - noon) / 1e9, (r.facts["until_ns"] - noon) / 1e9)
        for r in records
        if r.kind == "gap" and r.stream == stream
    ]


def texts(records: list[Record]) -> list[str]:
    return [r.facts["text"] for r in records if r.kind == "message" and not r.facts.get("early")]


def test_the_first_start_is_a_gap_since_midnight(tmp_path: Path) -> None:
    async def quiet(_venue: Venue) -> None:
        await asyncio.sleep(1)

    assert gaps(record(tmp_path, quiet)) == [("first_start", -12 * 3600.0, 0.0)]


def test_silence_is_ended_within_six_seconds_and_written_down_as_a_gap(tmp_path: Path) -> None:
    async def falls_silent(venue: Venue) -> None:
        await asyncio.sleep(20.5)
        venue.last("okx").say('{"last":"words"}')
        venue.last("okx").is_mute = True
        await asyncio.sleep(10)
        first, second = venue.sockets
        assert second.opened_s - 20.5 <= 6.0
        assert first.sent[0] == second.sent[0]
        second.say('{"back":"again"}')
        await asyncio.sleep(1)

    records = record(tmp_path, falls_silent)
    (_, (reason, from_s, until_s)) = gaps(records)
    assert (reason, from_s) == ("silence", 20.5)
    assert 20.5 < until_s <= 26.5
    assert texts(records)[-2:] == ['{"last":"words"}', '{"back":"again"}']


def test_answers_to_pings_keep_a_quiet_stream_and_vouch_for_it(tmp_path: Path) -> None:
    async def quiet(_venue: Venue) -> None:
        await asyncio.sleep(600)

    records = record(tmp_path, quiet)
    assert len(gaps(records)) == 1
    beats = [r for r in records if r.kind == "heartbeat"]
    assert 590 / 5 <= len(beats) <= 600 / 5 + 1
    assert all(r.at_ns - r.facts["alive_ns"] <= 2 * 10**9 for r in beats)


def test_a_break_is_a_gap_up_to_the_subscription_that_stands_again(tmp_path: Path) -> None:
    async def breaks(venue: Venue) -> None:
        await asyncio.sleep(7)
        venue.is_down = True
        venue.last("okx").cut()
        await asyncio.sleep(60)
        venue.is_down = False
        await asyncio.sleep(60)

    (_, (reason, from_s, until_s)) = gaps(record(tmp_path, breaks))
    assert reason == "disconnected"
    assert 5 <= from_s <= 7
    assert 67 <= until_s <= 67 + 30  # the longest pause between attempts


def test_what_arrived_before_a_break_is_kept_though_a_ping_sees_the_break_first(tmp_path: Path) -> None:
    async def breaks(venue: Venue) -> None:
        await asyncio.sleep(1)
        first = venue.last("okx")
        first.is_cut = True
        await asyncio.sleep(3)  # pings fail meanwhile, and the reader has yet to hear of it
        first.say('{"last":"words"}')
        first.cut()
        await asyncio.sleep(1)

    records = record(tmp_path, breaks)
    assert '{"last":"words"}' in texts(records)
    assert [reason for reason, _, _ in gaps(records)] == ["first_start", "disconnected"]


def test_attempts_thin_out_and_a_connection_that_stood_is_tried_again_at_once(tmp_path: Path) -> None:
    async def is_refused(venue: Venue) -> None:
        await asyncio.sleep(1)
        venue.last("okx").cut()
        await asyncio.sleep(0.1)
        assert len(venue.sockets) == 2
        venue.answer["okx"] = NO
        venue.last("okx").cut()
        await asyncio.sleep(300)
        assert 5 < len(venue.sockets) < 30

    records = record(tmp_path, is_refused)
    assert sum(r.kind == "refused" for r in records) > 3
    assert len(gaps(records)) == 2  # what was refused never stood: its gap has no end yet


def test_a_venue_that_does_not_answer_a_subscription_is_asked_again(tmp_path: Path) -> None:
    async def says_nothing(venue: Venue) -> None:
        venue.answer["okx"] = None
        await asyncio.sleep(60)
        venue.answer["okx"] = YES["okx"]
        await asyncio.sleep(60)
        assert len(venue.sockets) > 2

    ((reason, from_s, until_s),) = gaps(record(tmp_path, says_nothing))
    assert (reason, from_s) == ("first_start", -12 * 3600.0)
    assert until_s > 60


def test_one_stream_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    async def one_fails(venue: Venue) -> None:
        venue.answer["bybit_linear"] = None  # and the third is cut again and again
        await asyncio.sleep(1)
        for n in range(100):
            venue.last("okx").say(json.dumps({"n": n}))
            venue.last("binance_usdm").cut()
            await asyncio.sleep(1)

    records = record(tmp_path, one_fails, streams=("okx", "bybit_linear", "binance_usdm"))
    assert len(gaps(records)) == 1
    told = [r for r in records if r.kind == "message" and r.stream == "okx" and '"n"' in r.facts["text"]]
    assert [json.loads(r.facts["text"])["n"] for r in told] == list(range(100))


def test_after_a_kill_the_gap_begins_at_the_last_sign_of_life(tmp_path: Path) -> None:
    async def one(venue: Venue) -> None:
        await asyncio.sleep(3.25)
        venue.last("okx").say('{"a":1}')
        await asyncio.sleep(1)

    async def early_and_killed(venue: Venue) -> None:
        venue.answer["okx"] = '{"early":true}'  # something, but no answer
        await asyncio.sleep(2)

    record(tmp_path, one, is_killed=True)
    record(tmp_path, early_and_killed, is_killed=True)
    records = record(tmp_path, one)
    (_, (reason, from_s, until_s)) = gaps(records)
    assert (reason, from_s) == ("collector_killed", 3.25)
    assert until_s >= 3.25
    early = [r for r in records if r.kind == "message" and '"early"' in r.facts["text"]]
    assert early and all(r.facts["early"] for r in early)
    assert [r.number for r in records] == list(range(1, len(records) + 1))


def test_after_a_clean_stop_the_gap_says_so(tmp_path: Path) -> None:
    async def quiet(_venue: Venue) -> None:
        await asyncio.sleep(1)

    record(tmp_path, quiet)
    assert gaps(record(tmp_path, quiet))[-1][0] == "collector_stopped"


def test_whatever_a_venue_sends_is_kept_as_it_came(tmp_path: Path) -> None:
    torn = ['{"torn":', "", "\ud7ff null\x00", "[[" * 2000, b"\xff\xfe\x00"]

    async def says(venue: Venue) -> None:
        await asyncio.sleep(1)
        for said in torn:
            venue.last("okx").say(said)
        await asyncio.sleep(1)

    records = [r for r in record(tmp_path, says) if r.kind == "message" and not r.facts.get("early")]
    assert [r.facts.get("text", r.facts.get("base64")) for r in records] == [*torn[:4], "//4A"]


def test_bybit_asks_for_each_contract_and_a_refused_one_costs_itself_alone(tmp_path: Path) -> None:
    async def refuses_one(venue: Venue) -> None:
        venue.answer["bybit_linear"] = None
        await asyncio.sleep(1)
        socket = venue.last("bybit_linear")
        asked = [json.loads(r)["args"] for r in socket.sent if "subscribe" in r]
        assert asked == [["allLiquidation.BTCUSDT"], ["allLiquidation.ETHUSDT"]]
        socket.say('{"success":false,"ret_msg":"error:handler not found","op":"subscribe"}')
        socket.say(YES["bybit_linear"])
        await asyncio.sleep(40)
        assert sum(r == '{"op":"ping"}' for r in socket.sent) >= 2
        assert venue.sockets == [socket]

    records = record(tmp_path, refuses_one, streams=("bybit_linear",))
    assert len(gaps(records, "bybit_linear")) == 1
    assert next(r.facts["text"] for r in records if r.kind == "refused").startswith('{"success":false')


def test_a_commit_is_told_with_the_number_it_made_durable(tmp_path: Path) -> None:
    told: list[int] = []

    async def play() -> None:
        clock, venue, stop = HandClock(NOON), Venue(), asyncio.Event()
        journal = Journal(tmp_path, clock, recover(tmp_path))
        recorder = Recorder(
            [(FEEDS["okx"], [])], journal, clock, was_closed=True, connect=venue.connect, acknowledged=told.append
        )
        running = asyncio.ensure_future(recorder.run(stop))
        await asyncio.sleep(1)
        for n in range(5):
            venue.last("okx").say(str(n))
        await asyncio.sleep(1.1)
        assert told[-1] == journal.acknowledged
        assert journal.unacknowledged == 0
        stop.set()
        await running

    run_by_hand(play)
    assert told == sorted(told)
    assert told[-1] == _all(tmp_path)[-1].number


def test_a_wish_to_stop_in_the_middle_of_a_commit_is_heard(tmp_path: Path) -> None:
    async def play() -> None:
        clock, venue, stop = HandClock(NOON), Venue(), asyncio.Event()
        journal = Journal(tmp_path, clock, recover(tmp_path))
        timing = Timing(sync_records_count=1)
        recorder = Recorder([(FEEDS["okx"], [])], journal, clock, was_closed=True, connect=venue.connect, timing=timing)
        running = asyncio.ensure_future(recorder.run(stop))
        await asyncio.sleep(1)
        for _ in range(20):
            venue.last("okx").say("{}")
            await asyncio.sleep(0)
        stop.set()
        async with asyncio.timeout(60):
            await running

    run_by_hand(play)
