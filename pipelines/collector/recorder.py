"""The recorder: keeps every stream connected, writes what arrives, and writes down when it could not.

Belongs here: connections, pings, silence, reconnects, gaps, group commits. Does not: the files (``segments.py``), addresses and
subscriptions (``streams.py``), the meaning of a message (``landing.py``). A message is written before anything is read from it.

References
----------
https://websockets.readthedocs.io/en/stable/reference/asyncio/client.html
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.asyncio.client import connect as websocket
from websockets.client import backoff
from websockets.exceptions import ConnectionClosed, WebSocketException

from assets.ports import Clock
from pipelines.collector.segments import Journal, day_start_ns, ns_of, payload_facts
from pipelines.collector.streams import Feed, answer_of

# A message is a few hundred bytes, a burst of Bybit a few thousand; above this a venue sends something else.
MESSAGE_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Timing:
    """How patient the recorder is, in seconds.

    Parameters
    ----------
    silence_s : float
        Without a frame (an answer to our ping is one) for so long, a connection is given up. With the second that its closing
        may take, the next attempt begins within six.
    ping_s : float
        Between our pings; below half of `silence_s`, so that one lost answer is no silence.
    venue_ping_s : float
        Between the venue's own pings; Bybit asks for one every 20 s, OKX for one within 30 s.
    answer_s : float
        For the answer to a subscription.
    heartbeat_s : float
        Between heartbeats: where nothing comes, a crash lengthens the recorded gap by up to so much.
    sync_s, sync_records_count : float, int
        Group commit: at least every so many seconds, and once so many records wait. A power cut costs no more than that.
    retry_s, longest_retry_s : float
        Pause after the first failed attempt and the longest one. A connection that stood is tried again at once.
    """

    silence_s: float = 5.0
    ping_s: float = 2.0
    venue_ping_s: float = 15.0
    answer_s: float = 10.0
    heartbeat_s: float = 5.0
    sync_s: float = 1.0
    sync_records_count: int = 1000
    retry_s: float = 0.5
    longest_retry_s: float = 30.0


class Socket(Protocol):
    """What the recorder needs of a connection; `websockets` has it."""

    async def send(self, message: str) -> None:
        """Send a text frame."""
        ...

    async def recv(self, *, decode: bool) -> bytes:
        """Return the next message's bytes."""
        ...

    async def ping(self) -> Awaitable[float]:
        """Send a ping frame; return what is done when its answer came."""
        ...


Connect = Callable[[str], AbstractAsyncContextManager[Any]]


class _Lost(Exception):
    """A connection is of no use any more; `reason` is the code in the gap's record."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class StreamState:
    """One stream as it stands now; for people and for heartbeats.

    `heard_s` is the loop's clock at the last sign of life, `heard_ns` ours; `reason` is why the present or last gap is one.
    """

    feed: Feed
    symbols: Sequence[str]
    reason: str
    is_recorded: bool = False
    heard_s: float = 0.0
    heard_ns: int = 0
    messages_count: int = 0
    gaps_count: int = 0


def open_socket(url: str) -> AbstractAsyncContextManager[Any]:
    """Open a connection whose pings are ours: any frame is a sign of life, not only the answer to the last ping."""
    return websocket(url, ping_interval=None, open_timeout=5, close_timeout=1, max_size=MESSAGE_BYTES, max_queue=1024)


class Recorder:
    """Records feeds into a journal until it is told to stop.

    Parameters
    ----------
    feeds : sequence of (Feed, symbols)
        What is recorded.
    journal : Journal
    clock : Clock
        Our clock; silence is measured on the loop's, which nobody sets.
    was_closed : bool
        Whether the process before ended by itself.
    base_url : str or None
        The sandbox's address; None: the venues'.
    tell : callable
        ``tell(stream, sentence)``: what a person may want to know.
    acknowledged : callable
        ``acknowledged(number)``: every record up to this number is durable.
    """

    def __init__(
        self,
        feeds: Sequence[tuple[Feed, Sequence[str]]],
        journal: Journal,
        clock: Clock,
        *,
        was_closed: bool,
        base_url: str | None = None,
        timing: Timing | None = None,
        connect: Connect = open_socket,
        tell: Callable[[str, str], None] = lambda _stream, _sentence: None,
        acknowledged: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._journal, self._clock, self._base_url = journal, clock, base_url
        self._timing, self._connect = timing or Timing(), connect
        self._tell, self._acknowledged = tell, acknowledged
        before = "collector_stopped" if was_closed else "collector_killed"
        self.states = {
            feed.stream: StreamState(feed, symbols, before if feed.stream in journal.alive_ns else "first_start")
            for feed, symbols in feeds
        }
        self._is_full = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set; then seal.

        Raises
        ------
        CollectorError
            Where the disk does not take the records.
        """
        works = [*(self._keep(state) for state in self.states.values()), self._beat(), self._commit(), stop.wait()]
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # only the wish to stop ends without an error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._write_heartbeats()
        self._journal.close()
        self._acknowledged(self._journal.acknowledged)

    # -- one stream ---------------------------------------------------------------------------------------------------

    async def _keep(self, state: StreamState) -> None:
        """Connect, listen, and begin again, for ever."""
        pauses: Generator[float] | None = None
        while True:
            try:
                async with self._connect(state.feed.url(self._base_url)) as socket:
                    await self._listen(state, socket)
            except _Lost as lost:
                reason = lost.reason
            except WebSocketException:
                reason = "disconnected" if state.is_recorded else "unreachable"
            except (OSError, EOFError):
                reason = "unreachable"
            if state.is_recorded:
                self._write_heartbeat(state)
                state.is_recorded, state.reason, pauses = False, reason, None
                self._tell(state.feed.stream, f"lost: {reason}; connecting again")
                continue
            if pauses is None:
                pauses = backoff(self._timing.retry_s, self._timing.retry_s, self._timing.longest_retry_s)
                self._tell(state.feed.stream, f"{reason}; trying again")
            await asyncio.sleep(next(pauses))

    async def _listen(self, state: StreamState, socket: Socket) -> None:
        self._hear(state)
        requests = state.feed.requests(state.symbols)
        parts = [self._receive(state, socket, len(requests)), self._watch(state), self._ping(state, socket)]
        parts.append(self._subscribe(state, socket, requests))
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _subscribe(self, state: StreamState, socket: Socket, requests: Sequence[str]) -> None:
        with contextlib.suppress(ConnectionClosed):  # the receiver's to tell: it still has what arrived before
            for request in requests:
                await socket.send(request)
        await asyncio.sleep(self._timing.answer_s)
        if not state.is_recorded:
            raise _Lost("unanswered")

    async def _receive(self, state: StreamState, socket: Socket, requests_count: int) -> None:
        accepted = refused = 0
        while True:
            payload = await socket.recv(decode=False)
            self._hear(state)
            facts: dict[str, Any] = dict(payload_facts(payload))
            if not state.is_recorded:
                facts["early"] = True
            self._journal.append("message", state.feed.stream, **facts)
            state.messages_count += 1
            if self._journal.unacknowledged >= self._timing.sync_records_count:
                self._is_full.set()
            if accepted + refused == requests_count:
                continue
            answer = answer_of(state.feed, facts.get("text", ""))
            accepted += answer == "accepted"
            refused += answer == "refused"
            if answer == "refused":
                self._journal.append("refused", state.feed.stream, text=facts["text"])
                self._tell(state.feed.stream, f"the venue refuses a subscription: {facts['text']:.200}")
            if accepted + refused == requests_count:
                if not accepted:
                    raise _Lost("refused")
                self._stand(state)

    def _stand(self, state: StreamState) -> None:
        """Write the gap that ends now: from the last sign of life to the subscription that stands again."""
        stream, until_ns = state.feed.stream, ns_of(self._clock.now())
        from_ns = self._journal.alive_ns.get(stream, day_start_ns(until_ns))
        until_ns = max(from_ns, until_ns)
        self._journal.append("gap", stream, from_ns=from_ns, until_ns=until_ns, reason=state.reason)
        state.is_recorded = True
        state.gaps_count += 1
        self._is_full.set()
        self._tell(stream, f"recording; gap of {(until_ns - from_ns) / 1e9:.1f} s before it: {state.reason}")

    def _hear(self, state: StreamState) -> None:
        state.heard_s, state.heard_ns = asyncio.get_running_loop().time(), ns_of(self._clock.now())

    async def _watch(self, state: StreamState) -> None:
        loop = asyncio.get_running_loop()
        while (left_s := state.heard_s + self._timing.silence_s - loop.time()) > 0:
            await asyncio.sleep(left_s)
        raise _Lost("silence")

    async def _ping(self, state: StreamState, socket: Socket) -> None:
        loop = asyncio.get_running_loop()
        venue_ping_due_s = loop.time()

        def answered(pong: asyncio.Future[float]) -> None:
            if not pong.cancelled() and pong.exception() is None:
                self._hear(state)

        with contextlib.suppress(ConnectionClosed):  # the receiver's to tell: it still has what arrived before
            while True:
                asyncio.ensure_future(await socket.ping()).add_done_callback(answered)
                if state.feed.ping and loop.time() >= venue_ping_due_s:
                    await socket.send(state.feed.ping)
                    venue_ping_due_s = loop.time() + self._timing.venue_ping_s
                await asyncio.sleep(self._timing.ping_s)

    # -- all streams --------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._timing.heartbeat_s)
            self._write_heartbeats()

    def _write_heartbeats(self) -> None:
        for state in self.states.values():
            if state.is_recorded:
                self._write_heartbeat(state)

    def _write_heartbeat(self, state: StreamState) -> None:
        if state.heard_ns > self._journal.alive_ns[state.feed.stream]:
            self._journal.append("heartbeat", state.feed.stream, alive_ns=state.heard_ns)

    async def _commit(self) -> None:
        while True:
            # Not `wait_for`: in Python 3.11 it swallows the wish to end where the event comes in the same moment.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.sync_s):
                    await self._is_full.wait()
            self._is_full.clear()
            if self._journal.unacknowledged:
                # In a thread: a slow disk must not keep a socket from being read.
                self._acknowledged(await asyncio.to_thread(self._journal.acknowledge, *self._journal.mark()))
