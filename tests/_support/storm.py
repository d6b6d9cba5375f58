"""A storm: a sandbox in its own process that misbehaves at random, and clients in theirs, on one clock that only waits move.

``python storm.py serve FOLDER SEED REQUESTS`` prints its address, serves until its input ends and writes ``log.json``;
``python storm.py fetch FOLDER URL PART PARTS REQUESTS`` lands its part of the history, all venues, in the folder's lake.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.world import World

VENUES = ("binance", "bybit", "okx")
DATASETS = ("candles", "funding_rates", "open_interest")
FIRST, DAYS = date(2025, 9, 1), 5
NOW = datetime(2025, 9, 7, 12)
CLIENT_TIMEOUT_MS, LATE_S = 1_500, 1.8

# The venue's own windows where it names none: a little less than what a client takes them for.
UNTOLD_PAUSE_S, UNTOLD_BAN_S = 59.0, 119.0


def storm_world() -> World:
    """Return the market behind the storm."""
    return World(5, FIRST, DAYS + 1, assets=("SOL",))


class SharedClock:
    """A clock in a file: it stands still until a process waits, and never goes back."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def now(self) -> datetime:
        """Return the instant of all processes."""
        return datetime.fromisoformat(self._path.read_text()) if self._path.exists() else NOW

    def sleep(self, seconds: float) -> None:
        """Let time pass for everybody; two who wait at once wait side by side."""
        target = self.now() + timedelta(seconds=seconds)
        with FileLock(self._path.with_suffix(".lock"), poll_interval=0.002):
            if target > self.now():
                beside = self._path.with_suffix(".new")
                beside.write_text(target.isoformat())
                beside.replace(self._path)


@dataclass
class Storm:
    """What the server does to each request, and what it saw."""

    clock: SharedClock
    seed: int
    requests_count: int
    until: datetime = NOW
    seen: int = 0
    # Requests that came although the server had said until when not to.
    inside: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)

    def fault_of(self, path: str) -> Fault | None:
        """Decide one request; the window that it opens counts from now on."""
        self.seen += 1
        now = self.clock.now()
        if now < self.until:
            self.inside.append(f"{self.seen}: {path} at {now}, not before {self.until}")
            return Fault("banned", retry_after_s=None)
        fault = self._drawn(random.Random(f"{self.seed}:{self.seen}"))
        if fault is not None:
            is_untold = fault.kind in ("rate_limited", "banned") and fault.retry_after_s is None
            name = f"{fault.kind} without Retry-After" if is_untold else fault.kind
            self.kinds[name] = self.kinds.get(name, 0) + 1
            window_s = {"rate_limited": UNTOLD_PAUSE_S, "banned": UNTOLD_BAN_S, "forbidden": UNTOLD_BAN_S}.get(
                fault.kind
            )
            if window_s is not None:
                told = fault.retry_after_s if fault.kind != "forbidden" else None
                self.until = now + timedelta(seconds=window_s if told is None else told)
        return fault

    def _drawn(self, chance: random.Random) -> Fault | None:
        if self.seen > self.requests_count:
            return None
        if self.seen % 500 == 100:
            return Fault("late", late_s=LATE_S)
        kind = chance.choices(
            ("rate_limited", "banned", "forbidden", "geoblocked", "error", "torn", "broken_off", "page_not_json", None),
            (40, 12, 8, 4, 30, 20, 20, 10, 856),
        )[0]
        told_s = None if chance.random() < 0.5 else chance.randint(1, 300)
        return None if kind is None else Fault(kind, retry_after_s=told_s)  # type: ignore[arg-type]  # choices widens


def serve_storm(folder: Path, seed: int, requests_count: int) -> None:
    """Serve until the input ends."""
    from pipelines.sandbox.server import serve

    storm = Storm(SharedClock(folder / "clock"), seed, requests_count)
    with serve(storm_world(), now=NOW, faults=Faults(storm=storm.fault_of)) as sandbox:
        print(sandbox.base_url, flush=True)
        sys.stdin.read()
    found = {"seen": storm.seen, "inside": storm.inside, "kinds": storm.kinds}
    (folder / "log.json").write_text(json.dumps(found))


def fetch(folder: Path, base_url: str, part: int, parts: int, requests_count: int) -> None:
    """Land a part of the history, again and again until enough was asked; every outage is waited out and tried again."""
    from assets.lake.transform import batches_of
    from assets.ports import SourceOutage
    from pipelines.lake.store import Lake
    from pipelines.sources.exchanges.registry import client_class
    from pipelines.sources.gate import Gate

    clock = SharedClock(folder / "clock")
    lake = Lake(folder / "lake", clock=clock, code_version="storm")
    clients = {
        venue: client_class(venue)(
            lake,
            clock=clock,
            base_url=base_url,
            universe=("SOL",),
            is_synthetic=True,
            gate=Gate(folder / "gate"),
            sleep=clock.sleep,
            page_limits={"candles": 5, "open_interest": 5},
        )
        for venue in VENUES
    }
    asked = 0
    for client in clients.values():
        exchange: Any = client._connection()[0]
        exchange.timeout = CLIENT_TIMEOUT_MS

        def counted(*args: Any, send: Any = exchange.session.send, **kwargs: Any) -> Any:
            nonlocal asked
            asked += 1
            return send(*args, **kwargs)

        exchange.session.send = counted
    mine = list(_tasks())[part::parts]
    for done, (venue, dataset, day) in enumerate(cycle(mine)):
        if done >= len(mine) and asked >= requests_count:
            return
        while True:
            try:
                capture = getattr(clients[venue], dataset)(day)
                break
            except SourceOutage as outage:
                print(outage.code, flush=True)
                clock.sleep(60.0)
        lake.commit(
            batches_of(
                capture,
                dataset=dataset,
                venue=venue,
                source="ccxt",
                days=[day],
                now=clock.now(),
                is_synthetic=True,
            )
        )


def _tasks() -> Iterator[tuple[str, str, date]]:
    for i in range(DAYS):
        for dataset in DATASETS:
            for venue in VENUES:
                yield venue, dataset, FIRST + timedelta(days=i)


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "serve":
        serve_storm(Path(where), int(rest[0]), int(rest[1]))
    else:
        fetch(Path(where), rest[0], *(int(n) for n in rest[1:]))
