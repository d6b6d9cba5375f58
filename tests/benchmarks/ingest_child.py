"""A day of some venues into a lake, in a process of its own: what ``bench_ingest.py`` measures.

Belongs here: clients, lake and what stands in for the network and for waiting; nothing is imported that ingestion does not
need, for the memory of this process is a figure. Does not: the sandbox that it asks, the report (``bench_ingest.py``).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

from assets.lake.transform import batches_of
from pipelines.lake.store import Lake
from pipelines.sources.exchanges.registry import EXCHANGES, client_class
from pipelines.sources.gate import Gate
from pipelines.sources.transport import _Response

VENUES = ("binance", "bybit", "okx", "hyperliquid")
SERIES = ("minute_candles", "funding_rates", "open_interest")
DAY = date(2025, 9, 1)
# The day is over, and the venues still show its end.
NOW = datetime.combine(DAY + timedelta(days=1), clock_time(0, 10))
LOOKS_LANDED_TOGETHER = 60


@dataclass(frozen=True)
class Size:
    """How much is ingested: markets per venue, venues, looks at every book (one a minute), levels a side of each book."""

    markets: int = 8
    venues: int = 2
    minutes: int = 120
    levels: int = 20


class Split:
    """Seconds by part; a part inside another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count what happens in the block for a part."""
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.seconds[part] += took - self._inner.pop()
            self._inner[-1] += took

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls are counted for a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.on(part):
                return function(*args, **kwargs)

        return call


class Waits:
    """A clock that runs on by what would be waited; the wait is counted and not waited."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def monotonic(self) -> float:
        return time.perf_counter() + self.slept_s

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


class DayClock:
    """A clock that the day moves."""

    def __init__(self) -> None:
        self.instant = NOW

    def now(self) -> datetime:
        return self.instant


# Where a venue's book has its levels and its time: the path asked, the lists' place, the time's place.
BOOKS: dict[str, tuple[str, tuple[tuple[Any, ...], ...], tuple[Any, ...]]] = {
    "binance": ("/fapi/v1/depth", (("bids",), ("asks",)), ("T",)),
    "bybit": ("/v5/market/orderbook", (("result", "b"), ("result", "a")), ("result", "ts")),
    "okx": ("/api/v5/market/books", (("data", 0, "bids"), ("data", 0, "asks")), ("data", 0, "ts")),
    "hyperliquid": ('"l2Book"', (("levels", 0), ("levels", 1)), ("time",)),
}
PLACEHOLDER = 1_111_111_111_111


class CopiedBooks:
    """Answers of a venue's books below HTTP: each contract's first answer again, with the time of our clock."""

    def __init__(self, venue: str, transport: Any, clock: DayClock, levels: int) -> None:
        self._mark, self._sides, self._time = BOOKS[venue]
        self._transport, self._clock, self._levels, self._real = transport, clock, levels, transport._send
        self._texts: dict[str, tuple[str, str]] = {}

    def send(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Stand in for ccxt's fetch."""
        asked = f"{url} {body or ''}"
        if self._mark not in asked:
            return self._real(url, method, headers, body)
        if asked not in self._texts:
            self._texts[asked] = self._template(self._real(url, method, headers, body))
            # Its copy with our clock's time stands for it too.
            self._transport._unsaved.clear()
        before, after = self._texts[asked]
        text = f"{before}{int((self._clock.now() - datetime(1970, 1, 1)).total_seconds() * 1000)}{after}"
        self._transport._latest = _Response(200, {}, text.encode(), asked)
        self._transport._unsaved.append(self._transport._latest)
        return self._transport._parse(text)

    def _template(self, value: Any) -> tuple[str, str]:
        for place in self._sides:
            del _at(value, place)[self._levels :]
        holder = _at(value, self._time[:-1])
        last = self._time[-1]
        holder[last] = str(PLACEHOLDER) if isinstance(holder[last], str) else PLACEHOLDER
        before, _, after = json.dumps(value, separators=(",", ":")).partition(str(PLACEHOLDER))
        return before, after


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for name in place:
        value = value[name]
    return value


class Ingest:
    """A day of some venues into a lake."""

    def __init__(self, size: Size, base_url: str, folder: str) -> None:
        self.size, self.split, self.clock = size, Split(), DayClock()
        self.lake: Any = Lake(Path(folder) / "lake", clock=self.clock, code_version="bench")
        self.root, self.payloads_count, self.requests_count = Path(folder), 0, 0
        self._save, self._commit = self.lake.save_payload, self.split.timed("writing", self.lake.commit)
        self.lake.save_payload = self._saved
        self.rows: Counter[str] = Counter()
        self.waits = {venue: Waits() for venue in VENUES[: size.venues]}
        self.clients: dict[str, Any] = {}
        for venue, waits in self.waits.items():
            client: Any = client_class(venue)(
                self.lake,
                clock=self.clock,
                universe=[f"M{i:03}" for i in range(size.markets)],
                is_synthetic=True,
                base_url=base_url,
                gate=Gate(monotonic=waits.monotonic),
                sleep=waits.sleep,
            )
            exchange, transport = client._connection()
            # As before the real venue.
            exchange.enableRateLimit = True
            transport._send = self._counted(CopiedBooks(venue, transport, self.clock, size.levels).send)
            self.clients[venue] = client

    def _saved(self, body: bytes, request: str) -> str:
        self.payloads_count += 1
        with self.split.on("writing"):
            sha256: str = self._save(body, request)
        return sha256

    def _counted(self, send: Callable[..., Any]) -> Callable[..., Any]:
        timed = self.split.timed("transport", send)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.requests_count += 1
            return timed(*args, **kwargs)

        return call

    def books(self) -> None:
        """Look at every book each minute, and land the looks of an hour together."""
        looks: dict[str, list[Any]] = {venue: [] for venue in self.clients}
        for minute in range(self.size.minutes):
            self.clock.instant = datetime.combine(DAY, clock_time()) + timedelta(minutes=minute)
            for venue, client in self.clients.items():
                with self.split.on("parsing and validation"):
                    looks[venue].append(client.depth_bands())
            if (minute + 1) % LOOKS_LANDED_TOGETHER and minute + 1 < self.size.minutes:
                continue
            for venue, client in self.clients.items():
                with self.split.on("parsing and validation"):
                    capture = client._joined(*looks[venue])
                looks[venue] = []
                self._land(client, "depth_bands", capture, DAY, adds_to_day=True)
            print(f"{minute + 1} minutes of books", file=sys.stderr, flush=True)

    def series(self) -> None:
        """Fetch the day's series once it is over."""
        self.clock.instant = NOW
        for venue, client in self.clients.items():
            for dataset in SERIES:
                if dataset not in EXCHANGES[venue]:
                    continue
                first = client.first_offered_day(dataset)
                day = DAY if first is None or first <= DAY else first
                with self.split.on("parsing and validation"):
                    capture = client.fetch(dataset, day)
                self._land(client, dataset, capture, day)
            print(f"series of {venue}", file=sys.stderr, flush=True)

    def _land(self, client: Any, dataset: str, capture: Any, day: date, *, adds_to_day: bool = False) -> None:
        with self.split.on("parsing and validation"):
            batches = batches_of(
                capture,
                dataset=dataset,
                venue=client.venue,
                source=client.source,
                days=[day],
                now=self.clock.now(),
                is_synthetic=True,
                adds_to_day=adds_to_day,
            )
        refused = sum(b.rejected.height for b in batches)
        if refused:
            raise AssertionError(f"{client.venue} {dataset}: {refused} rows were refused")
        self.rows[dataset] += sum(b.rows.height for b in batches)
        self._commit(batches)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(asked: str) -> None:
    """Ingest, and print what it took as one line of JSON."""
    given = json.loads(asked)
    base_url, folder = given.pop("base_url"), given.pop("folder")
    ingest = Ingest(Size(**given), base_url, folder)
    start_mib = _peak_mib()
    began, cpu = time.perf_counter(), time.process_time()
    with ingest.split.on("other"):
        ingest.books()
        books_peak = _peak_mib()
        waited = {venue: waits.slept_s for venue, waits in ingest.waits.items()}
        ingest.series()
    found = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "split_s": dict(ingest.split.seconds),
        "rows": dict(ingest.rows),
        "requests": ingest.requests_count,
        "payloads": ingest.payloads_count,
        "disk_mib": sum(g.path.stat().st_size for g in ingest.lake.current()) / 2**20,
        "waits_s": {v: {"books": waited[v], "series": w.slept_s - waited[v]} for v, w in ingest.waits.items()},
        "start_mib": start_mib,
        "books_peak_mib": books_peak,
        "peak_mib": _peak_mib(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    child(sys.argv[1])
