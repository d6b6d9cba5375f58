"""How long one simulated day of many markets takes to land, where the time goes, and how much memory it needs.

Belongs here: the market, and what is said of a day. Does not: the process that ingests it (``ingest_child.py``), correctness
of what lands (``tests/pipelines/sources``), the transport's share of a permitted rate (``bench_transport.py``).

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
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from harness import ROOT, Row, print_row
from ingest_child import DAY, NOW, Size

from pipelines.sandbox.server import serve
from pipelines.sandbox.world import World

HEADING = "Ingest"
# With every market there must be less than this over half of them; 2 would be memory that grows with the markets.
FLOOR_GROWTH_X = 1.5


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
        command = [sys.executable, str(Path(__file__).with_name("ingest_child.py")), asked]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        sandbox.requests.clear()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure the size that is asked for and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, value in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for row in measured(Size(**vars(parser.parse_args()))):
        print_row(row)


if __name__ == "__main__":
    main()
