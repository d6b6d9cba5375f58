"""How long one simulated day of many markets takes to land, where the time goes, and how much memory it needs.

Belongs here: real clients before the sandbox, a real lake in a temporary home, a child process whose memory is measured. Does
not: correctness of what lands (``tests/pipelines/sources``), the transport's share of a permitted rate (``bench_transport.py``).

``python tests/benchmarks/bench_ingest.py --markets 200 --venues 4 --minutes 1440`` is the full size; `rows` is a small one.

What is real and what is not. Markets are aliases of the sandbox's three assets, so that the world stays cheap; each venue has
its own prices of each. Series go over HTTP to the sandbox, in a process of its own. Books would be a million answers of a
server in Python, so that only each contract's first one goes over HTTP: later ones are its copies with another time, cut to
`--levels` a side, and handed to the transport where an answer of the network would come. Waiting for the venues' limits is not
waited: the gate's clock runs on by every sleep, and the sleeps are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

from harness import ROOT, Row

from pipelines.sandbox.server import serve
from pipelines.sandbox.world import World

HEADING = "Ingest"
VENUES = ("binance", "bybit", "okx", "hyperliquid")
SERIES = ("minute_candles", "funding_rates", "open_interest")
DAY = date(2025, 9, 1)
# The day is over, and the venues still show its end.
NOW = datetime.combine(DAY + timedelta(days=1), clock_time(0, 10))
LOOKS_LANDED_TOGETHER = 60
# With every market there must be less than this over half of them; 2 would be memory that grows with the markets.
FLOOR_GROWTH_X = 1.5


@dataclass(frozen=True)
class Size:
    """How much is ingested: markets per venue, venues, looks at every book (one a minute), levels a side of each book."""

    markets: int = 8
    venues: int = 2
    minutes: int = 120
    levels: int = 20


class ManyMarkets(World):
    """A world whose three assets go by many names."""

    def __init__(self, seed: int, first_day: date, days_count: int, markets_count: int) -> None:
        super().__init__(seed, first_day, days_count)
        base = {f"M{i:03}": asset for i in range(markets_count) for asset in [self.assets[i % len(self.assets)]]}
        self.assets = tuple(base)
        found = {name: self._markets[asset] for name, asset in base.items()}
        self._markets = {n: replace(m, profile=replace(m.profile, asset=n)) for n, m in found.items()}
        self._candles = {name: self._candles[asset] for name, asset in base.items()}


def rows() -> Iterator[Row]:
    """Measure a small day and yield one row after the other."""
    yield from measured(Size())


def measured(size: Size) -> Iterator[Row]:
    """Ingest a day of half the markets and of all of them; yield what came out."""
    half, whole = (_ingest(replace(size, markets=n)) for n in (max(1, size.markets // 2), size.markets))
    what = f"{size.markets} markets x {size.venues} venues, {size.minutes} looks at every book ({size.levels} levels a side)"
    yield Row(
        "Ingest: wall time of a day",
        whole["wall_s"],
        unit="s",
        note=f"{what}; {_counted(whole['rows'])}; series over HTTP to a sandbox on the same machine, books below it; "
        f"load {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores",
        limit=f"{whole['cpu_s']:.0f} s of processor time",
    )
    split = whole["split_s"]
    for part, told in (
        ("transport", f"{whole['requests']:,} requests, the sandbox's answers included"),
        ("parsing and validation", f"{sum(whole['rows'].values()):,} rows"),
        ("writing", f"{whole['payloads']:,} payloads and {whole['disk_mib']:.0f} MiB of Parquet"),
        ("other", "the loop around them"),
    ):
        yield Row(f"Ingest: of it {part}", split.get(part, 0.0), unit="s", note=told)
    for venue, waits in whole["waits_s"].items():
        yield Row(
            f"Ingest: waiting for the limits of {venue}, not waited here",
            waits["series"] + waits["books"],
            unit="s",
            note=f"series {waits['series']:.0f} s; books {waits['books']:.0f} s, {waits['books'] / size.minutes:.1f} s a look",
        )
    yield Row(
        "Ingest: peak memory of the process",
        whole["peak_mib"],
        unit="MiB",
        note=f"{whole['start_mib']:.0f} MiB with all imported; after books {whole['books_peak_mib']:.0f} MiB",
    )
    yield Row(
        "Ingest: peak memory over that with half the markets",
        whole["peak_mib"] / half["peak_mib"],
        FLOOR_GROWTH_X,
        is_most=True,
        note=f"{half['peak_mib']:.0f} MiB with {max(1, size.markets // 2)} markets",
    )


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {dataset}" for dataset, count in found.items())


def _ingest(size: Size) -> dict[str, Any]:
    """Let a child ingest the day of a sandbox in this process; return what it measured."""
    world = ManyMarkets(1, DAY, 2, size.markets)
    with serve(world, now=NOW) as sandbox, tempfile.TemporaryDirectory() as folder:
        asked = json.dumps({**vars(size), "base_url": sandbox.base_url, "folder": folder})
        command = [sys.executable, str(Path(__file__).resolve()), "--child", asked]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        sandbox.requests.clear()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- the child -----------------------------------------------------------------------------------------------------------


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
        from pipelines.sources.transport import _Response

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
        from pipelines.lake.store import Lake
        from pipelines.sources.exchanges import client_class
        from pipelines.sources.gate import Gate

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
        from pipelines.sources.exchanges import EXCHANGES

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
        from assets.lake.transform import batches_of

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


def main() -> None:
    """Measure the size that is asked for and print, or be the child."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--child")
    for name, value in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = vars(parser.parse_args())
    asked = given.pop("child")
    if asked is not None:
        child(asked)
        return
    from harness import print_row

    for row in measured(Size(**given)):
        print_row(row)


if __name__ == "__main__":
    main()
