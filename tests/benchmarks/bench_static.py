"""Kernel A, one market: against naive round loops, over the number of buckets, against its C++ twin.

Belongs here: a seeded near-critical market and the chain in which each level triggers the next. Does not: other kernels, any
assertion about time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from harness import Row, copy_limit, exponent, level_limit, peak_row, race, require_equal, thread_row, twin, twin_row
from numba import njit

from assets.cascade import kernel
from assets.cascade.simulate import Book, Fuel, Scenario, replay_static

HEADING = "A. One market, all shocks"
MARK = 2.0**30
BUCKETS, BOOK_ROWS = 100_000, 2_000
SHOCKS = np.linspace(0.005, 0.3, 32)
BUCKETS_OF_EXPONENT = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)


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
        self.shocks_frac = shocks
        self.shocks = np.stack([start, np.full(shocks.size, MARK), np.ones(shocks.size)], axis=1)
        self.first_rows = np.searchsorted(-(MARK * self.relative_price), -start, side="right")
        self.prefixes = np.empty((2, self.triggers.size + 1), dtype=np.int64)
        self.ascending = -self.triggers  # numpy's own search wants them so
        kernel.fill_prefixes(self.quantities, 1.0, self.prefixes)

    def states(self) -> np.ndarray:
        states = np.zeros((self.shocks.shape[0], 5), dtype=np.int64)
        states[:, kernel.FIRST_ROW] = self.first_rows
        return states

    def product(self, run: Callable[..., None]) -> np.ndarray:
        kernel.fill_prefixes(self.quantities, 1.0, self.prefixes)
        return self.walk(run, self.states())[:, kernel.REACHED]

    def walk(self, run: Callable[..., None], states: np.ndarray) -> np.ndarray:
        run(self.triggers, self.prefixes[1], self.relative_price, self.cumulative_lots, self.shocks, states)
        return states

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

    def best_numpy(self) -> np.ndarray:
        """All shocks at once on prefix sums, each round two searches; only possible where w = 1, so that sums are exact."""
        prefix = np.concatenate([[0], np.cumsum(self.quantities)])
        eaten = np.concatenate([[0], self.cumulative_lots])[self.first_rows]
        marks = np.append(self.relative_price, 1.0 / MARK)
        reached = np.searchsorted(self.ascending, -self.shocks[:, kernel.START], side="right")
        while True:
            row = np.searchsorted(self.cumulative_lots, prefix[reached] + eaten)
            mark = np.minimum(self.shocks[:, kernel.START], MARK * marks[row])
            after = np.searchsorted(self.ascending, -mark, side="right")
            if np.array_equal(after, reached):
                return reached
            reached = after

    def naive_compiled(self) -> np.ndarray:
        reached = np.zeros(self.shocks.shape[0], dtype=np.int64)
        _naive(
            self.triggers,
            self.quantities,
            self.relative_price,
            self.cumulative_lots,
            self.shocks,
            self.first_rows,
            reached,
        )
        return reached


@njit(nogil=True)
def _naive(triggers, quantities, relative_price, cumulative_lots, shocks, first_rows, reached):
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


def rows() -> Iterator[Row]:
    """Measure and yield one row after the other."""
    market = Market(BUCKETS, BOOK_ROWS, 0.9, SHOCKS)
    yield from _fixed_points(market)
    yield from _exponents()
    yield _chain()
    yield _threads(market)
    yield from _twins(market)


def _fixed_points(market: Market) -> Iterator[Row]:
    merge, sweep = (partial(market.product, run) for run in (kernel.merge_scenarios, kernel.sweep_scenarios))
    for found in (merge(), sweep(), market.naive_compiled(), market.best_numpy()):
        require_equal("A: fixed points", [found], [market.naive_numpy()])
    works = (market.naive_numpy, market.naive_compiled, market.best_numpy, merge, sweep)
    slow, compiled, vectorised, *products = race(*works, seconds=8.0)
    size = f"{BUCKETS:,} buckets, {SHOCKS.size} shocks"
    for name, fast in zip(("merge, rounds counted", "sweep"), products, strict=True):
        title, best = f"A: {name}, with prefix build, {size}", vectorised / fast
        limit = copy_limit(24.0 * BUCKETS, fast)  # the prefix build reads lots and writes two sums
        yield Row(f"{title}, vs numpy naive", slow / fast, 300.0, best_numpy=best, limit=limit)
        yield Row(f"{title}, vs compiled naive", compiled / fast, 100.0, best_numpy=best, limit=limit)

    states = market.states()
    merged, swept = (partial(market.walk, run, states) for run in (kernel.merge_scenarios, kernel.sweep_scenarios))
    merge_s, sweep_s = race(merged, swept)
    rounds = merged()[:, kernel.ROUNDS].sum()
    limit = level_limit(rounds, merge_s, 16 * BUCKETS, 2, "round")
    note = f"{rounds} rounds, {merge_s * 1e6:.1f} us"
    yield Row(f"A: merge, prefix given, {size}, vs compiled naive", compiled / merge_s, limit=limit, note=note)
    limit = f"{sweep_s / SHOCKS.size * 1e9:.3g} ns a shock"
    yield Row(f"A: sweep, prefix given, {size}, vs compiled naive", compiled / sweep_s, limit=limit)
    yield from _end_to_end(market, slow)


def _end_to_end(market: Market, slow: float) -> Iterator[Row]:
    book = Book(market.relative_price, market.cumulative_lots)
    fuel = Fuel(market.triggers, market.quantities, np.zeros(BUCKETS))
    scenarios = [Scenario(float(s), "sell", "long") for s in market.shocks_frac]
    work = partial(replay_static, MARK, book, fuel, scenarios)
    (whole,) = race(work)
    note = f"validation, rounds, and a valuation of every bucket that the naive loop does not do; {whole * 1e3:.1f} ms"
    limit = f"{whole / market.naive_compiled().sum() * 1e9:.3g} ns a bucket valued"
    yield Row("A: from arrays to outcomes vs numpy naive", slow / whole, limit=limit, note=note)
    yield peak_row("A: peak memory from arrays to outcomes", work, [*vars(book).values(), *vars(fuel).values()])


def _exponents() -> Iterator[Row]:
    markets = [Market(n, BOOK_ROWS, 0.9, SHOCKS) for n in BUCKETS_OF_EXPONENT]
    for market in markets:
        swept, merged = (market.walk(run, market.states()) for run in (kernel.sweep_scenarios, kernel.merge_scenarios))
        require_equal(f"A: {market.triggers.size} buckets", [swept[:, 1:3]], [merged[:, 1:3]])
    for name, run, floor in (("sweep", kernel.sweep_scenarios, 0.2), ("merge", kernel.merge_scenarios, None)):
        times = race(*(partial(m.walk, run, m.states()) for m in markets), seconds=2.0)
        limit = f"{', '.join(f'{t * 1e6:.3g}' for t in times)} us for 32 shocks at N = 1e3, 1e4 ... 1e7"
        value = exponent(BUCKETS_OF_EXPONENT, times)
        yield Row(f"A: {name}, prefix given: exponent in N", value, floor, "exponent", floor is not None, limit=limit)
    times = race(*(lambda m=m: kernel.fill_prefixes(m.quantities, 1.0, m.prefixes) for m in markets), seconds=2.0)
    limit = f"{times[-1] / 1e7 * 1e9:.3g} ns a bucket at N = 1e7; {copy_limit(24e7, times[-1])}"
    yield Row("A: prefix build: exponent in N", exponent(BUCKETS_OF_EXPONENT, times), unit="exponent", limit=limit)


def _chain() -> Row:
    n = 10_000
    chain = Market(n, n + 2, 1.0, np.array([0.5]))
    steps = np.arange(1, n + 3)
    chain.relative_price, chain.cumulative_lots = 1.0 - steps / MARK, 7 * steps
    chain.triggers, chain.quantities = MARK - steps[:-2].astype(float), np.full(n, 7)
    chain.prepare(np.array([1.0 / MARK]))
    merge = lambda: chain.product(kernel.merge_scenarios)  # noqa: E731 - a one-line name for one call
    require_equal("A: chain", [merge()], [chain.naive_compiled()])
    slow, fast = race(chain.naive_compiled, merge, seconds=2.0)
    limit = f"{fast / n * 1e9:.2f} ns a level, prefix build included; {copy_limit(56.0 * n, fast)}"
    return Row(
        "A: chain of 1e4 levels, each triggering the next, merge vs compiled naive", slow / fast, 500.0, limit=limit
    )


class Valuation:
    """The kernel that costs most per scenario, on the fixed points of a market."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.bankruptcies = 0.97 * market.triggers
        self.states = market.walk(kernel.merge_scenarios, market.states())
        self.states[:, kernel.SOLD] = market.prefixes[1][self.states[:, kernel.REACHED]]
        self.values = np.zeros((SHOCKS.size, 4))

    def run(self, picked: slice = slice(None)) -> None:
        m = self.market
        fuel, book = (m.triggers, self.bankruptcies, m.prefixes), (m.relative_price, m.cumulative_lots)
        kernel.value_scenarios(*fuel, *book, m.shocks[picked], self.states[picked], self.values[picked])


def _threads(market: Market) -> Row:
    """The kernels release the interpreter: fixed chunks of scenarios over two threads."""
    valuation, chunks = Valuation(market), [slice(i, i + 4) for i in range(0, SHOCKS.size, 4)]
    valuation.run()
    alone = valuation.values.copy()
    with ThreadPoolExecutor(2) as pool:
        two = lambda: list(pool.map(valuation.run, chunks))  # noqa: E731 - a one-line name for one call
        valuation.values[:] = 0.0
        two()
        require_equal("A: threads", [valuation.values], [alone])
        return thread_row("A: valuation of 32 scenarios in chunks of 4, two threads vs one", valuation.run, two)


def _twins(market: Market) -> Iterator[Row]:
    library, n, m, s = twin("static"), BUCKETS, BOOK_ROWS, SHOCKS.size
    book = (market.relative_price, market.cumulative_lots)
    sold = market.prefixes[1].copy()

    prefixes = np.zeros_like(market.prefixes)
    bound = library.bind("fill_prefixes", market.quantities, n, 1.0, prefixes)
    fill = lambda: kernel.fill_prefixes(market.quantities, 1.0, market.prefixes)  # noqa: E731 - a one-line name for one call
    yield twin_row("A: fill_prefixes", fill, bound, [market.prefixes], [prefixes])

    for run in (kernel.merge_scenarios, kernel.sweep_scenarios):
        states, others, name = market.states(), market.states(), run.__name__
        bound = library.bind(name, market.triggers, n, sold, *book, m, market.shocks, s, others)
        yield twin_row(f"A: {name}", lambda r=run, x=states: market.walk(r, x), bound, [states], [others])

    v, values = Valuation(market), np.zeros((s, 4))
    fuel = (market.triggers, v.bankruptcies, n, market.prefixes)
    bound = library.bind("value_scenarios", *fuel, *book, m, market.shocks, s, v.states, values)
    yield twin_row("A: value_scenarios", v.run, bound, [v.values], [values])

    reached, others = np.zeros(s, dtype=np.int64), np.zeros(s, dtype=np.int64)
    inputs = (market.triggers, market.quantities)
    bound = library.bind("naive_rounds", *inputs, n, *book, m, market.shocks, s, market.first_rows, others)
    naive = lambda: _naive(*inputs, *book, market.shocks, market.first_rows, reached)  # noqa: E731 - a one-line name for one call
    yield twin_row("A: the compiled naive loop", naive, bound, [reached], [others])
