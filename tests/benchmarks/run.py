"""Run the benchmarks: all of them and write the page, or those that are named and print only.

Belongs here: finding ``bench_*.py`` and gathering their rows. Does not: measuring, writing (``harness.py``).

``python tests/benchmarks/run.py`` writes ``docs/benchmarks.md`` and ``build/bench.json``; ``... run.py static dynamic`` prints.
A module has a HEADING and a function ``rows`` that yields `harness.Row`; the name of the file is all that registers it.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

from pipelines.settings import prepare_process

prepare_process()  # before numba is imported: the same kernel cache as the product's

import harness  # noqa: E402 - the settings must come before numba, which it imports


def main() -> None:
    """Measure, print as it goes, and write the page where nothing was left out."""
    every = sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))
    chosen = sys.argv[1:] or every
    began = time.perf_counter()
    groups: dict[str, list[harness.Row]] = {}
    for name in chosen:
        module = importlib.import_module(f"bench_{name}")
        found = groups.setdefault(module.HEADING, [])
        for row in module.rows():
            harness.print_row(row)
            found.append(row)
    seconds = time.perf_counter() - began
    missed = [r.name for rows in groups.values() for r in rows if r.is_met is False]
    print(f"{seconds:.0f} s; {len(missed)} floors missed" + "".join(f"\n  {name}" for name in missed))
    if chosen == every:
        groups = dict(sorted(groups.items()))  # headings begin with the engine's letter
        harness.write_json([row for rows in groups.values() for row in rows])
        harness.write_page(groups, seconds)


if __name__ == "__main__":
    main()
