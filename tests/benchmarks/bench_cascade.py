"""Speed of the static replay as ratios in one run on one machine; the floors are those of docs/cascade.md, section 8.

Belongs here: the product's kernels against naive round loops on the same market, results compared before times are.
Does not: any assertion about time. Writes its rows (name, measured, floor, unit) to ``build/bench.json``, beside those of
other benchmarks. Run it with ``make bench``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit

from assets.cascade import kernel

MARK = 2.0**30
SHOCKS_COUNT = 32
OUT = Path(__file__).resolve().parents[2] / "build" / "bench.json"


class Market:
    """A fall: sorted fuel, tabulated book, a row of sell shocks; near-critical, so that rounds are many."""

    def __init__(self, buckets_count: int, rows_count: int, branching: float, shocks: np.ndarray) -> None:
        rng = np.random.default_rng(20251010)
        depth = rng.uniform(0.8, 1.2, buckets_count)
        self.triggers = np.sort(MARK * (1 - 0.6 * np.cumsum(depth) / depth.sum()))[::-1].copy()
        self.quantities = rng.integers(1, 2_000, buckets_count)
        away = np.arange(1, rows_count + 1) / (rows_count + 1)
        self.relative_price = 1.0 - away
        total = int(self.quantities.sum())
        self.cumulative_lots = np.floor(total * away / 0.6 / branching).astype(np.int64)
        self.prepare(shocks)

    def prepare(self, shocks: np.ndarray) -> None:
        start = MARK * (1.0 - shocks)
        self.shocks = np.stack([start, np.full(shocks.size, MARK), np.ones(shocks.size)], axis=1)
        self.first_rows = np.searchsorted(-(MARK * self.relative_price), -start, side="right")
        self.prefixes = np.empty((2, self.triggers.size + 1), dtype=np.int64)

    def states(self) -> np.ndarray:
        states = np.zeros((self.shocks.shape[0], 5), dtype=np.int64)
        states[:, kernel.FIRST_ROW] = self.first_rows
        return states

    def product(self, run: Callable[..., None], *, is_prefix_timed: bool = True) -> np.ndarray:
        states = self.states()
        if is_prefix_timed:
            kernel.fill_prefixes(self.quantities, 1.0, self.prefixes)
        run(self.triggers, self.prefixes[1], self.relative_price, self.cumulative_lots, self.shocks, states)
        return states[:, kernel.REACHED]

    def naive_numpy(self) -> np.ndarray:
        reached = np.zeros(self.shocks.shape[0], dtype=np.int64)
        for s, (start, base, w) in enumerate(self.shocks):
            first = self.first_rows[s]
            eaten = self.cumulative_lots[first - 1] if first else 0
            is_done, mark = np.zeros(self.triggers.size, dtype=bool), start
            while True:
                is_new = (self.triggers >= mark) & ~is_done
                if not is_new.any():
                    break
                is_done |= is_new
                sold = self.quantities[is_done].sum()
                fits = sold <= w * (self.cumulative_lots - eaten)
                mark = base * self.relative_price[np.argmax(fits)] if fits.any() else 1.0
            reached[s] = is_done.sum()
        return reached

    def naive_compiled(self) -> np.ndarray:
        return _naive(
            self.triggers, self.quantities, self.relative_price, self.cumulative_lots, self.shocks, self.first_rows
        )


@njit(nogil=True)
def _naive(triggers, quantities, relative_price, cumulative_lots, shocks, first_rows):
    reached = np.zeros(shocks.shape[0], dtype=np.int64)
    for s in range(shocks.shape[0]):
        mark, base, w = shocks[s, 0], shocks[s, 1], shocks[s, 2]
        eaten = cumulative_lots[first_rows[s] - 1] if first_rows[s] > 0 else 0
        is_done = np.zeros(triggers.shape[0], dtype=np.bool_)
        sold, count = 0, 0
        while True:
            before = count
            for k in range(triggers.shape[0]):
                if not is_done[k] and triggers[k] >= mark:
                    is_done[k] = True
                    sold += quantities[k]
                    count += 1
            if count == before:
                break
            mark = 1.0
            for j in range(relative_price.shape[0]):
                if sold <= w * (cumulative_lots[j] - eaten):
                    mark = base * relative_price[j]
                    break
        reached[s] = count
    return reached


def seconds(run: Callable[[], np.ndarray], repeats: int) -> float:
    """Return the best wall time of `repeats` runs."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best


def rows() -> list[dict[str, object]]:
    """Measure everything and return one row per ratio."""
    market = Market(100_000, 2_000, 0.9, np.linspace(0.005, 0.3, SHOCKS_COUNT))
    merge = lambda: market.product(kernel.merge_scenarios)  # noqa: E731 - a one-line name for one test
    sweep = lambda: market.product(kernel.sweep_scenarios)  # noqa: E731 - a one-line name for one test
    for found in (merge(), sweep(), market.naive_compiled()):
        np.testing.assert_array_equal(found, market.naive_numpy())
    slow, compiled = seconds(market.naive_numpy, 2), seconds(market.naive_compiled, 2)
    fast, shared = seconds(merge, 30), seconds(sweep, 30)
    walk = seconds(lambda: market.product(kernel.sweep_scenarios, is_prefix_timed=False), 100)

    chain = Market(10_000, 10_002, 1.0, np.array([0.5]))
    steps = np.arange(1, 10_003)
    chain.relative_price, chain.cumulative_lots = 1.0 - steps / MARK, 7 * steps
    chain.triggers, chain.quantities = MARK - steps[:-2].astype(float), np.full(10_000, 7)
    chain.prepare(np.array([1.0 / MARK]))
    np.testing.assert_array_equal(chain.product(kernel.merge_scenarios), chain.naive_compiled())
    chain_ratio = seconds(chain.naive_compiled, 1) / seconds(lambda: chain.product(kernel.merge_scenarios), 30)

    def row(name: str, measured: float, floor: float | None) -> dict[str, object]:
        return {"name": f"cascade A: {name}", "measured": round(measured, 1), "floor": floor, "unit": "x"}

    return [
        row("merge with rounds and prefix build, 1e5 buckets, 32 shocks, vs numpy round loop", slow / fast, 300.0),
        row("sweep with prefix build, 1e5 buckets, 32 shocks, vs numpy round loop", slow / shared, 300.0),
        row("merge with rounds and prefix build vs compiled round loop", compiled / fast, 100.0),
        row("sweep with prefix build vs compiled round loop", compiled / shared, 100.0),
        row("sweep with prefix given vs numpy round loop", slow / walk, None),
        row("chain of 1e4 levels, merge vs compiled round loop", chain_ratio, 500.0),
    ]


def main() -> None:
    """Print the rows and keep them in ``build/bench.json``."""
    found = rows()
    names = {r["name"] for r in found}
    kept = [r for r in json.loads(OUT.read_text()) if r["name"] not in names] if OUT.exists() else []
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(kept + found, indent=1) + "\n")
    for r in found:
        floor = "" if r["floor"] is None else f"   (floor {r['floor']:g}{r['unit']})"
        print(f"{r['measured']:>10,.1f}{r['unit']}  {r['name']}{floor}")


if __name__ == "__main__":
    main()
