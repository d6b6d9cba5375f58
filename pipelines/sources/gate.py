"""What may be asked of a host now: until when it must not be asked, what its budget has left, whose turn it is.

Belongs here: the state of a host that all processes of a machine share, because a venue counts by address and not by process.
Does not: what an answer means (``door.py``), what a request costs (ccxt's figure, handed in by the transport).

The budget. ccxt prices a request at `cost` x `rateLimit` milliseconds of the host's time; all processes spend that time
together. The arithmetic is pyrate-limiter's GCRA; the state is one number in a file of ours, because none of the library's
shared stores fits (docs/adr/0012). A process that is killed leaves at most the one request that it had paid for.

The turn. A request that is under way when a ban is decided reaches the venue inside the ban, and nothing on our side can call
it back. So one request per host is under way at a time: then none is inside a ban, by construction. That costs nothing as long
as an answer takes less time than the budget grants its request; where answers are slower, as many are under way as the budget
needs (at most `MOST_LANES`), and then up to that many less one may reach the venue after it has decided. None leaves after the
answer has come, in either case.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pyrate_limiter import GCRA, Decision, InMemoryStateStore, Rate, StateStore

# How far the budget may be spent ahead. Waits end some milliseconds late, and without slack that time would be lost; more than
# 90 ms would let OKX's budget of 20 requests in two seconds be exceeded by one.
SLACK_MS = 50
# No request is priced higher; a budget that is spent further ahead was written before this machine's last start.
HIGHEST_COST_MS = 60_000
# An answer may take this share of what its request is granted before a second one may be under way beside it.
BUSY_FRAC = 0.8
MOST_LANES = 4
# Waiting for another process's lock: short against any answer, long against a look at the file (0.05 ms).
POLL_S = 0.002


class Gate:
    """Blocks, budgets and turns of hosts, shared by the processes of a machine where a folder is given.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where they are kept, some small files per host; None keeps them in this object.
    monotonic : callable
        Seconds of a clock that all processes share and that nobody sets.
    """

    def __init__(self, folder: Path | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._own: dict[str, tuple[datetime, str]] = {}
        self._budgets: dict[str, StateStore] = {}

    # -- blocks -------------------------------------------------------------------------------------------------------

    def block(self, host: str, until: datetime, code: str) -> None:
        """Remember that a host must not be asked before `until` (UTC, naive), and why.

        A longer block of another code stays: with several requests under way a 429 may come in after the ban.
        """
        if self._folder is None:
            if not _outlasts(self._own.get(host), until, code):
                self._own[host] = (until, code)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._file(host, "json.lock"), poll_interval=POLL_S):
            if not _outlasts(self.blocked(host), until, code):
                _write(self._file(host, "json"), {"until": until.isoformat(), "code": code})

    def blocked(self, host: str) -> tuple[datetime, str] | None:
        """Return the last block of a host, which may have passed, or None."""
        if self._folder is None:
            return self._own.get(host)
        held = _read(self._file(host, "json"))
        return None if held is None else (datetime.fromisoformat(held["until"]), str(held["code"]))

    # -- the budget ---------------------------------------------------------------------------------------------------

    def spend(self, host: str, cost_s: float) -> float:
        """Take a request's price out of a host's budget.

        Parameters
        ----------
        cost_s : float
            Seconds of the host's time.

        Returns
        -------
        float
            0.0 where it was taken; else the seconds after which to try again, and nothing was taken.
        """
        cost_ms = min(HIGHEST_COST_MS, max(1, round(cost_s * 1000)))
        rate = Rate(limit=1000, interval=1000, burst=cost_ms + SLACK_MS)
        decision = self._budget(host).check(GCRA(), [rate], int(self._monotonic() * 1000), cost_ms)
        if not isinstance(decision, Decision):
            raise TypeError("the budget's store answered with a promise")
        return 0.0 if decision.allowed else max(1, decision.retry_after_ms or 0) / 1000

    def _budget(self, host: str) -> StateStore:
        if host not in self._budgets:
            self._budgets[host] = (
                InMemoryStateStore() if self._folder is None else _FileStore(self._file(host, "budget"))
            )
        return self._budgets[host]

    # -- the turn -----------------------------------------------------------------------------------------------------

    @contextmanager
    def turn(self, host: str, lanes_count: int = 1) -> Iterator[None]:
        """Hold the host, or one of its lanes, while one request is under way; the system frees those of a killed process."""
        if self._folder is None:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        locks = [FileLock(self._file(host, f"turn{i}.lock")) for i in range(lanes_count)]
        held = None
        while held is None:
            held = next((lock for lock in locks if _is_taken(lock)), None)
            if held is None:
                time.sleep(POLL_S)
        try:
            yield
        finally:
            held.release()

    def _file(self, host: str, ending: str) -> Path:
        folder = self._folder or Path()
        return folder / f"{''.join(c if c.isalnum() or c in '.-' else '_' for c in host)}.{ending}"


def lanes_needed(answer_s: float, cost_s: float) -> int:
    """Return how many requests must be under way for answers of `answer_s` to spend a budget of one per `cost_s`.

    A `cost_s` of 0 means that nothing is paced: one.
    """
    if cost_s <= 0:
        return 1
    return min(MOST_LANES, max(1, math.ceil(answer_s / (BUSY_FRAC * cost_s))))


def _outlasts(held: tuple[datetime, str] | None, until: datetime, code: str) -> bool:
    return held is not None and held[0] > until and held[1] != code


class _FileStore(StateStore):
    """The state of one host's budget in a file; the lock is held for the look and not for the wait."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, algorithm: Any, rates: list[Rate], now: int, weight: int) -> Decision:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_name(self._path.name + ".lock"), poll_interval=POLL_S):
            state = self.read(algorithm, rates)
            if state[0] > (now + SLACK_MS + HIGHEST_COST_MS) * 1000:
                state = algorithm.initial(rates)
            after, decision = algorithm.step(rates, state, now, weight)
            if decision.allowed:
                _write(self._path, {"spent_until_us": after[0]})
        found: Decision = decision
        return found

    def read(self, algorithm: Any, rates: list[Rate]) -> tuple[float, ...]:
        held = _read(self._path)
        initial: tuple[float, ...] = algorithm.initial(rates)
        return initial if held is None else (held["spent_until_us"],)

    def reset(self) -> None:
        self._path.unlink(missing_ok=True)


def _is_taken(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _write(path: Path, value: dict[str, Any]) -> None:
    """Write whole or not at all, and under a name of its own: a killed process may have left half of one beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a file holds; one that a crash of the machine left empty holds nothing."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return held if isinstance(held, dict) else None
