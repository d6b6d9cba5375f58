"""Kernel B, the grid of draws: against vectorised numpy and a naive round loop, end to end, against its C++ twin.

Belongs here: seeded worlds of draws from the product's own law, the best numpy and the naive loop that answer the same question.
Does not: other kernels, any assertion about time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from harness import Row, copy_limit, peak_row, race, require_equal, sizes, thread_row, twin, twin_row

from assets.cascade import kernel
from assets.cascade.grid import (
    DrawnBook,
    DrawnFuel,
    Grid,
    GridCounts,
    critical_shocks,
    prepare_grid,
    replay_grid,
)
from assets.cascade.lattice import floor_marks, shock_table
from assets.cascade.params import CRITICAL_RULE, DRAW_LAW, SETTINGS, TIER_PRIOR, ShockKind
from assets.cascade.uncertainty import draw, exponents_x, weights_frac

HEADING = "B. The grid: shocks x liquidity x draws"
MARK = 2.0**40
OPEN_INTEREST_LOTS = 1e9
N_BUCKETS, N_ROWS = 1_024, 1_024
SHOCKS = np.linspace(0.005, 0.3, 32)
FINE_SHOCKS = np.arange(1, 1_001) * 5e-4
MOVES = np.arange(101) * 5e-3
LIQUIDITIES = np.linspace(1.0, 0.3, 16)
CELLS = SHOCKS.size * LIQUIDITIES.size
N_DRAWS, N_MANY = 2_048, 8_192
MONEY_UNIT = 2.0**30
SIZE = "1,024 buckets, 1,024 rows, 32 x 16 cells a draw"
MEASURED = ("place_count", "notional_count", "part_lots", "unabsorbed_lots")


class World:
    """A long side under the prior: fuel of about a fifth of open interest, depth of 1.5 % within 1 %, both drawn by the law."""

    def __init__(self, n_parts: int) -> None:
        rng = np.random.default_rng(20251010)
        self.n_parts = n_parts
        self.triggers = MARK * (1.0 - np.arange(1, N_BUCKETS + 1) / N_BUCKETS * 0.5)
        # Tiers of less leverage lie farther from the mark; windows differ in how the entries are spread.
        centres = np.linspace(0.5, 0.05, len(TIER_PRIOR.tiers))[:, None]
        shape = np.exp(-np.abs(np.linspace(0.0, 0.5, N_BUCKETS) - centres) / 0.1)
        profiles = shape * rng.uniform(0.2, 1.8, (3, *shape.shape))
        self.profiles = profiles / profiles.sum(axis=2, keepdims=True)
        if n_parts == 1:
            self.profiles = self.profiles.mean(axis=1, keepdims=True)
        self.moves = np.arange(1, N_ROWS + 1) / (N_ROWS + 1) * 0.6
        exponents = exponents_x(DRAW_LAW, SETTINGS[0])[:, None]
        depth = DRAW_LAW.depth_high_x * 0.015 * OPEN_INTEREST_LOTS * (self.moves / 0.01) ** (1.0 / exponents)
        self.lots = np.floor(depth).astype(np.int64)

    def grid(self, n_draws: int) -> Grid:
        """Draw and prepare, as the product does where depth comes from the prior."""
        draws = draw(
            DRAW_LAW, date(2025, 10, 10), "BENCH", n_draws, n_tiers=len(TIER_PRIOR.tiers), n_windows=len(self.profiles)
        )
        parts = OPEN_INTEREST_LOTS * weights_frac(draws, TIER_PRIOR)
        if self.n_parts == 1:
            parts = parts.sum(axis=1, keepdims=True)
        survivals = (draws.depth_x / DRAW_LAW.depth_high_x)[:, None] * LIQUIDITIES
        fuel = DrawnFuel(self.triggers, 0.99 * self.triggers, self.profiles, draws.window_index, parts)
        book = DrawnBook(1.0 - self.moves, self.lots, draws.exponent_slice, survivals)
        return prepare_grid(MARK, book, fuel, "long")


class Vectorised:
    """The best numpy for the counts: a draw's cells at once, bincounts over all draws.

    The first row that fits is looked for twice: among the lowest ratios of demand to room of 32 rows, then within those rows.
    Ratios round, so the results are compared with the kernel's before anything is timed.
    """

    def __init__(self, grid: Grid, kind: ShockKind) -> None:
        lattice = grid.lattice
        shocks, states = shock_table(lattice, SHOCKS, kind == "sell", 1.0)
        bases = shocks[:1, 1] if kind == "sell" else shocks[:, 1]
        self.grid = grid
        self.first = states[:, 0]
        self.at_start = reached(grid, shocks[:, 0])
        self.counts = reached(grid, bases[:, None] * lattice.relative_price)
        every = np.broadcast_to(self.counts, (SHOCKS.size, N_ROWS))
        last = np.full((SHOCKS.size, 1), lattice.triggers.size)
        self.ends = np.concatenate([self.at_start[:, None], every, last], axis=1)  # buckets triggered by place
        is_standing = np.arange(N_ROWS) >= self.first[:, None]
        self.is_standing = True if is_standing.all() else is_standing  # a mask costs, even where it leaves nothing out
        self.depth = grid.cumulative_lots.astype(np.float64)  # sums of lots below 2^53 are exact
        self.eaten = np.concatenate([np.zeros((len(self.depth), 1)), self.depth], axis=1)[:, self.first]
        self.room = np.empty((SHOCKS.size, N_ROWS))
        self.ratio = np.full((SHOCKS.size, N_ROWS), np.inf)
        n_buckets = lattice.triggers.size
        self.prefixes = np.zeros((grid.n_draws, grid.part_lots.shape[1], n_buckets + 1))
        self.sold = np.zeros((grid.n_draws, n_buckets + 1))
        self.notional = np.zeros((grid.n_draws, n_buckets + 1))

    def fill_fuel(self) -> None:
        grid = self.grid
        for d in range(grid.n_draws):
            lots = np.floor(grid.part_lots[d][:, None] * grid.profiles[grid.profile_index[d]])
            np.cumsum(lots, axis=1, out=self.prefixes[d, :, 1:])
            together = lots.sum(axis=0)
            np.cumsum(together, out=self.sold[d, 1:])
            np.cumsum(grid.lattice.triggers * together, out=self.notional[d, 1:])

    def first_fits(self) -> np.ndarray:
        """Return the places, int64[n_draws, n_shocks, n_liquidities]."""
        places = np.empty((self.grid.n_draws, SHOCKS.size, LIQUIDITIES.size), dtype=np.int64)
        shock = np.arange(SHOCKS.size)[:, None]
        blocks = self.ratio.reshape(SHOCKS.size, -1, 32)
        for d in range(self.grid.n_draws):
            h, w = self.grid.book_index[d], self.grid.survivals[d][None, :, None]
            np.subtract(self.depth[h], self.eaten[h][:, None], out=self.room)
            np.divide(self.sold[d].take(self.counts), self.room, out=self.ratio, where=self.is_standing)
            lowest = np.minimum.accumulate(blocks.min(axis=2), axis=1)
            is_inside = lowest[:, None, :] <= w
            block = is_inside.argmax(axis=2)
            row = 32 * block + (blocks[shock, block] <= w).argmax(axis=2)
            places[d] = np.where(is_inside[:, :, -1], row + 1, N_ROWS + 1)
            places[d, self.sold[d, self.at_start] == 0] = 0
        return places

    def plain_first_fits(self) -> np.ndarray:
        """Return what `first_fits` does, from every row against every survival, shock by shock."""
        places = np.empty((self.grid.n_draws, SHOCKS.size, LIQUIDITIES.size), dtype=np.int64)
        for d in range(self.grid.n_draws):
            h, w = self.grid.book_index[d], self.grid.survivals[d][:, None]
            to_sell = self.sold[d].take(self.counts)
            for s, first in enumerate(self.first):
                demand = to_sell[min(s, len(to_sell) - 1), first:]
                fits = demand <= w * (self.depth[h, first:] - self.eaten[h, s])
                places[d, s] = np.where(fits.any(axis=1), first + fits.argmax(axis=1), N_ROWS) + 1
            places[d, self.sold[d, self.at_start] == 0] = 0
        return places

    def rounds_of(self) -> tuple[np.ndarray, np.ndarray]:
        """Play all cells of all draws by synchronous rounds; return the places and the rounds, as `first_fits` does."""
        shape = (self.grid.n_draws, SHOCKS.size, LIQUIDITIES.size)
        d, s, _ = (axis.ravel() for axis in np.indices(shape))
        w, h = self.grid.survivals[d, np.tile(np.arange(shape[2]), shape[0] * shape[1])], self.grid.book_index[d]
        eaten, first = self.eaten[h, s], self.first[s]
        apart = 2.0 * self.depth.max()
        shelves = (self.depth + apart * np.arange(len(self.depth))[:, None]).ravel()  # one search for all books
        places, rounds = np.zeros(d.size, dtype=np.int64), np.zeros(d.size, dtype=np.int64)
        now, alive = self.at_start[s], np.arange(d.size)
        alive = alive[now > 0]
        while alive.size:
            rounds[alive] += 1
            sold = self.sold[d[alive], now[alive]]
            alive, sold = alive[sold > 0], sold[sold > 0]
            of, off = h[alive], eaten[alive]
            near = np.minimum(sold / w[alive] + off, apart / 2.0 + 1.0)
            row = np.maximum(np.searchsorted(shelves, near + apart * of) - N_ROWS * of, first[alive])
            row = self._exact(row, sold, w[alive], off, of, first[alive])
            places[alive] = row + 1
            after = self.ends[s[alive], row + 1]
            grows = after > now[alive]
            now[alive] = after
            alive = alive[grows]
        return places.reshape(shape), rounds.reshape(shape)

    def _exact(self, row: Any, sold: Any, w: Any, off: Any, of: Any, first: Any) -> np.ndarray:
        """Move rows that the rounded division missed by one or more to the first that fits."""
        while True:
            here = np.minimum(row, N_ROWS - 1)
            late = (row < N_ROWS) & (sold > w * (self.depth[of, here] - off))
            before = np.maximum(row - 1, 0)
            early = (row > first) & (sold <= w * (self.depth[of, before] - off))
            if not (late.any() or early.any()):
                return row
            row = row + late - early

    def run(self, how: str) -> list[np.ndarray]:
        """Return the counts in the order of `MEASURED`, then those of the rounds where they are asked for."""
        grid, n_draws = self.grid, self.grid.n_draws
        self.fill_fuel()
        rounds = None
        if how == "exact rounds":
            places, rounds = self.rounds_of()
        else:
            places = self.first_fits() if how == "best" else self.plain_first_fits()
        part_lots = np.zeros((SHOCKS.size, LIQUIDITIES.size, grid.part_lots.shape[1]))
        bins = np.empty_like(places)
        unabsorbed = np.zeros((SHOCKS.size, LIQUIDITIES.size))
        for d in range(n_draws):
            h = grid.book_index[d]
            now = self.ends[np.arange(SHOCKS.size)[:, None], places[d]]
            part_lots += self.prefixes[d][:, now].transpose(1, 2, 0)
            bins[d] = _bins(self.notional[d][now] / MONEY_UNIT)
            holds = np.floor(grid.survivals[d] * (self.depth[h, -1] - self.eaten[h])[:, None])
            unabsorbed += np.where(places[d] > N_ROWS, np.maximum(0.0, self.sold[d, -1] - holds), 0.0)
        found = [
            _counted(places, N_ROWS + 2),
            _counted(bins, kernel.BINS),
            part_lots.astype(np.int64),
            unabsorbed.astype(np.int64),
        ]
        return found if rounds is None else [*found, _counted(_bins(rounds.astype(np.float64)), kernel.BINS)]


def reached(grid: Grid, marks: np.ndarray) -> np.ndarray:
    """Return how many buckets each mark has triggered."""
    return np.searchsorted(-grid.lattice.triggers, -marks, side="right").astype(np.int64)


def _bins(values: np.ndarray) -> np.ndarray:
    """The upper bits of a float are its octave and its place in it: three times as fast as taking it apart."""
    return np.clip((values.view(np.int64) >> 46) + 1 - 1_023 * 64, 0, kernel.BINS - 1)


def _counted(values: np.ndarray, n: int) -> np.ndarray:
    """Return int64[n_shocks, n_liquidities, n]: how many draws of a cell hold each value."""
    flat = values + n * np.arange(CELLS).reshape(SHOCKS.size, LIQUIDITIES.size)
    return np.bincount(flat.ravel(), minlength=CELLS * n).reshape(SHOCKS.size, LIQUIDITIES.size, n)


def naive(grid: Grid, lots: np.ndarray, d: int, s: int, w: int) -> list[float]:
    """Play one cell round by round over all buckets and rows; return place, rounds, notional and the parts' lots.

    `lots`, float64[n_parts, n_buckets], are the draw's.
    """
    triggers, price = grid.lattice.triggers, MARK * grid.lattice.relative_price
    book, survival = grid.cumulative_lots[grid.book_index[d]], grid.survivals[d, w]
    mark = MARK * (1.0 - SHOCKS[s])
    is_eaten = price >= mark
    eaten, together = book[is_eaten].max(initial=0), lots.sum(axis=0)
    is_done, rounds, place = np.zeros(triggers.size, dtype=bool), 0, 0
    while True:
        is_new = (triggers >= mark) & ~is_done
        if not is_new.any():
            break
        is_done |= is_new
        rounds += 1
        sold = together[is_done].sum()
        if sold == 0:
            continue
        fits = ~is_eaten & (sold <= survival * (book - eaten))
        place = int(np.argmax(fits)) + 1 if fits.any() else N_ROWS + 1
        mark = price[place - 1] if fits.any() else 1.0
    notional = np.cumsum((triggers * together)[is_done])[-1] if rounds else 0.0
    return [place, rounds, notional, *lots[:, is_done].sum(axis=1)]


def rows() -> Iterator[Row]:
    """Measure and yield one row after the other."""
    worlds = {n: World(n) for n in (7, 1)}
    grids = {n: world.grid(N_DRAWS) for n, world in worlds.items()}
    for n, world in worlds.items():
        yield from _against_numpy(n, world)
    yield _against_naive(grids[7])
    yield from _end_to_end(worlds[7])
    yield from _critical(grids[7])
    yield from _twins(grids)


def _replay(grid: Grid, kind: ShockKind = "sell", **more: Any) -> GridCounts:
    return replay_grid(grid, SHOCKS, kind, money_unit_ticklots=MONEY_UNIT, **more)


def _against_numpy(n: int, world: World) -> Iterator[Row]:
    few, many = world.grid(N_DRAWS), world.grid(N_MANY)
    kinds: tuple[ShockKind, ...] = ("sell", "reprice")
    for kind in kinds:
        size = f"{kind}, {n} part{'s' * (n > 1)}"
        for how, what, floor, grid in (
            ("best", "vs best vectorised numpy", 20.0, many),
            ("exact rounds", "exact rounds, vs vectorised numpy with rounds", 8.0, few),
            ("plain", "vs plain vectorised numpy: every row against every shock and liquidity", None, few),
        ):
            name, with_rounds, n_draws = f"B: {size}, {what}", how == "exact rounds", grid.n_draws
            vectorised = Vectorised(grid, kind)
            works = partial(vectorised.run, how), partial(_replay, grid, kind, with_rounds=with_rounds)
            found = works[1]()
            measured = [
                getattr(found, field).astype(np.int64) for field in (*MEASURED, "rounds_count")[: 4 + with_rounds]
            ]
            require_equal(name, measured, works[0]())
            slow, fast = race(*works, seconds=15.0 if floor else 2.0)
            each = fast / n_draws
            note = (
                f"{n_draws:,} draws; {SIZE}; {slow / n_draws * 1e6:.0f} us a draw in numpy, {each * 1e6:.1f} in the kernel"
                f"{_spread(found)}"
            )
            yield Row(name, slow / fast, floor, limit=_limit(n, each), note=note)


def _spread(found: GridCounts) -> str:
    if found.rounds_count is None:
        ended = 1.0 - found.place_quantile(0.5) / MARK
        lost = found.place_count[:, :, -1].mean() / found.n_draws
        return f"; median moves from {ended.min():.1%} to {ended.max():.0%}, {lost:.0%} of the books exhausted"
    rounds = (found.rounds_quantile(p).mean() for p in (0.5, 0.95))
    return "; {:.1f} rounds in the median, {:.1f} at 95 %".format(*rounds)


def _limit(n_parts: int, seconds: float) -> str:
    """What a draw must at least touch: its shares are read, prefixes of its parts and its book written and read."""
    return f"{seconds / CELLS * 1e9:.3g} ns a cell; {copy_limit(8.0 * N_BUCKETS * (2 * n_parts + 4), seconds)}"


def _against_naive(grid: Grid) -> Row:
    rng = np.random.default_rng(7)
    cells = [(int(rng.integers(N_DRAWS)), s, int(rng.integers(LIQUIDITIES.size))) for s in range(SHOCKS.size)]
    lots = {d: np.floor(grid.part_lots[d][:, None] * grid.profiles[grid.profile_index[d]]) for d, *_ in cells}
    for d, s, w in cells:
        found = _replay(_some(grid, slice(d, d + 1)), with_rounds=True)
        place, rounds, notional, *parts = naive(grid, lots[d], d, s, w)
        ours = found.place_count[s, w], found.rounds_count[s, w], found.notional_count[s, w]
        theirs = place, *_bins(np.array([rounds, notional / MONEY_UNIT], dtype=float))
        require_equal("B: naive", [np.array([c.argmax() for c in ours])], [np.array(theirs)])
        require_equal("B: naive, parts", [found.part_lots[s, w]], [np.array(parts, dtype=np.int64)])
    play = lambda: [naive(grid, lots[d], d, s, w) for d, s, w in cells]  # noqa: E731 - a one-line name for one call
    slow, fast = race(play, partial(_replay, grid), seconds=2.0)
    slow, fast = slow / len(cells), fast / (N_DRAWS * CELLS)
    note = (
        f"{len(cells)} cells, one of every shock, timed and scaled: {slow * 1e6:.0f} us each with the draw's lots given; "
        f"{fast * 1e9:.0f} ns in the kernel, lots and counts included"
    )
    return Row("B: sell, 7 parts, vs numpy naive rounds cell by cell", slow / fast, 2_000.0, note=note)


def _some(grid: Grid, draws: slice) -> Grid:
    names = ("profile_index", "part_lots", "book_index", "survivals")
    return replace(grid, **{name: getattr(grid, name)[draws] for name in names})


def _whole(world: World, n_draws: int, threads: int) -> list[np.ndarray]:
    """From nothing but the prior to quantiles of marks and notional."""
    found = _replay(world.grid(n_draws), threads=threads)
    return [q(p) for q in (found.place_quantile, found.notional_quantile) for p in (0.05, 0.5, 0.95)]


def _end_to_end(world: World) -> Iterator[Row]:
    for n_draws, floor in ((N_MANY, 1.5), (1_000, None)):
        one, two = (partial(_whole, world, n_draws, threads) for threads in (1, 2))
        require_equal("B: end to end", one(), two())
        (processor_s,) = race(one, seconds=2.0)
        (wall_s,) = race(two, seconds=4.0, clock=time.perf_counter)
        cells = n_draws * CELLS
        note = (
            f"draws, validation, replay, quantiles; wall clock, {wall_s * 1e3:.0f} ms; one thread "
            f"{cells / processor_s * 60e-9:.3g} by its processor time; other work on the machine counts"
        )
        name = f"B: end to end, {n_draws:,} draws of 7 parts, two threads"
        yield Row(name, cells / wall_s * 60e-9, floor, "1e9 cells/min", limit=_limit(7, wall_s / n_draws), note=note)
    grid = world.grid(N_MANY)
    one, two = partial(_replay, grid, threads=1), partial(_replay, grid, threads=2)
    counts = ([getattr(replay(), field) for field in MEASURED] for replay in (one, two))
    require_equal("B: threads", *counts)
    yield thread_row(f"B: replay of {N_MANY:,} draws, two threads vs one", one, two, 1.7)
    alone, together = race(one, two, seconds=2.0)
    note = "1 is no time lost to the second thread: the ratio above on cores with nothing else to do is 2 over this"
    yield Row("B: the same, processor time with two threads over one", together / alone, note=note)
    inputs = [grid.part_lots, grid.survivals, grid.profiles, grid.cumulative_lots]
    yield peak_row(f"B: peak memory of the replay of {N_MANY:,} draws, two threads", two, inputs)
    yield peak_row(f"B: peak memory end to end, {N_MANY:,} draws", partial(_whole, world, N_MANY, 2), inputs)


def _critical(grid: Grid) -> Iterator[Row]:
    n_draws = 64
    few = _some(grid, slice(n_draws))
    find = partial(critical_shocks, few, FINE_SHOCKS, "sell", open_interest_lots=int(OPEN_INTEREST_LOTS))
    (each,) = (seconds / (n_draws * LIQUIDITIES.size) for seconds in race(find))
    has_jump = (find().jump_index >= 0).mean()
    note = f"the least soft and jump shock of {FINE_SHOCKS.size:,}; {has_jump:.0%} have a jump"
    limit = f"{each / FINE_SHOCKS.size * 1e9:.3g} ns a shock"
    yield Row("B: critical shocks of a draw and liquidity", each * 1e6, unit="us", limit=limit, note=note)


class Arguments:
    """What `replay_grid` hands to its kernel, and what the twin takes of it."""

    def __init__(self, grid: Grid, kind: ShockKind, shocks_frac: np.ndarray = SHOCKS) -> None:
        lattice = grid.lattice
        self.grid, self.lattice = grid, lattice
        self.shocks, self.states = shock_table(lattice, shocks_frac, kind == "sell", 1.0)
        bases = self.shocks[:1, 1] if kind == "sell" else self.shocks[:, 1]
        self.reach = np.stack([reached(grid, self.shocks[:, 0]), self.states[:, 0]])
        counts = reached(grid, bases[:, None] * lattice.relative_price)
        self.ends = np.pad(counts, ((0, 0), (0, 1)), constant_values=lattice.triggers.size).astype(np.uint32)
        self.draws = np.argsort(grid.book_index, kind="stable")
        self.fuel = (grid.profiles, grid.profile_index, grid.part_lots)
        self.book = (grid.cumulative_lots, grid.book_index, grid.survivals)
        n_draws, n_parts = grid.part_lots.shape
        cells = (shocks_frac.size, grid.survivals.shape[1])
        self.sizes = sizes(lattice.triggers.size, n_parts, n_draws, lattice.relative_price.size, *cells, len(self.ends))

    def count(self, out: list[np.ndarray]) -> None:
        lattice, grid = self.lattice, self.grid
        kernel.count_grid(
            lattice.triggers,
            lattice.bankruptcies,
            *self.fuel,
            grid.sold_share_frac,
            lattice.relative_price,
            *self.book,
            self.draws,
            self.shocks,
            self.reach,
            self.ends,
            MONEY_UNIT,
            *out,
        )

    def bound_count(self, asked: tuple[bool, bool, bool], out: list[np.ndarray]) -> Any:
        lattice, grid = self.lattice, self.grid
        return twin("grid").bind(
            "count_grid",
            lattice.triggers,
            lattice.bankruptcies,
            (*self.fuel, *self.book),
            grid.sold_share_frac,
            lattice.relative_price,
            self.draws,
            self.shocks,
            self.reach,
            self.ends,
            MONEY_UNIT,
            self.sizes,
            *asked,
            tuple(out),
        )


def _twins(grids: dict[int, Grid]) -> Iterator[Row]:
    for n, kind, n_draws, asked in (
        (7, "sell", N_DRAWS, ()),
        (7, "reprice", N_DRAWS, ()),
        (1, "sell", N_DRAWS, ()),
        (7, "sell", 128, ("rounds",)),
        (7, "sell", 16, ("shortfall",)),
        (7, "sell", 64, ("parts",)),
    ):
        arguments = Arguments(_some(grids[n], slice(n_draws)), kind)
        extras = tuple(name in asked for name in ("rounds", "shortfall", "parts"))
        ours, theirs = ([np.zeros(shape, dtype=kind) for shape, kind in _shapes(n, extras)] for _ in range(2))
        name = f"B: count_grid, {kind}, {n} part{'s' * (n > 1)}{''.join(f', {a}' for a in asked)}"
        count, bound = partial(arguments.count, ours), arguments.bound_count(extras, theirs)
        yield twin_row(name, count, bound, ours, theirs, adds_to=(ours, theirs))
    few = _some(grids[7], slice(64))
    yield _critical_twin(few)
    yield _branching_twin(few)
    yield _rounds_twin(grids[7])


def _shapes(n_parts: int, extras: tuple[bool, bool, bool]) -> list[tuple[tuple[int, ...], type]]:
    with_rounds, with_shortfall, with_parts = (CELLS * is_asked for is_asked in extras)
    return [
        ((CELLS, N_ROWS + 2), np.int32),
        ((CELLS, kernel.BINS), np.int32),
        ((n_parts, CELLS), np.int64),
        ((CELLS,), np.int64),
        ((with_rounds, kernel.BINS), np.int32),
        ((with_shortfall, kernel.BINS), np.int32),
        ((with_parts, n_parts, kernel.BINS), np.int32),
    ]


def _critical_twin(grid: Grid) -> Row:
    x = Arguments(grid, "sell", FINE_SHOCKS)
    lattice, floors = x.lattice, floor_marks(x.lattice, x.shocks)
    rule = np.array(
        [
            lattice.mark,
            CRITICAL_RULE.least_shock_frac,
            CRITICAL_RULE.least_gain_frac,
            CRITICAL_RULE.least_forced_frac,
            OPEN_INTEREST_LOTS,
        ]
    )
    ours, theirs = (np.zeros((grid.n_draws, LIQUIDITIES.size, 2), dtype=np.int32) for _ in range(2))
    inputs = (lattice.triggers, *x.fuel, grid.sold_share_frac, lattice.relative_price, *x.book)
    find = partial(kernel.find_critical, *inputs, FINE_SHOCKS, x.shocks, x.states, rule, floors, ours)
    bound = twin("grid").bind(
        "find_critical",
        lattice.triggers,
        (*x.fuel, *x.book),
        grid.sold_share_frac,
        lattice.relative_price,
        FINE_SHOCKS,
        x.shocks.copy(),
        x.states.copy(),
        rule,
        floors,
        x.sizes,
        theirs,
    )
    return twin_row("B: find_critical", find, bound, [ours], [theirs])


def _branching_twin(grid: Grid) -> Row:
    x = Arguments(grid, "sell")
    marks = MARK * (1.0 - MOVES)
    passed = np.searchsorted(-(MARK * grid.lattice.relative_price), -marks, side="right").astype(np.int64)
    at = (reached(grid, marks), passed)
    ours, theirs = (np.zeros((grid.n_draws, LIQUIDITIES.size, MOVES.size - 1)) for _ in range(2))
    fill = partial(kernel.fill_branching, *x.fuel, grid.sold_share_frac, *x.book, *at, ours)
    inputs = ((*x.fuel, *x.book), grid.sold_share_frac, *at, MOVES.size - 1, x.sizes)
    bound = twin("grid").bind("fill_branching", *inputs, theirs)
    return twin_row("B: fill_branching", fill, bound, [ours], [theirs])


def _rounds_twin(grid: Grid) -> Row:
    """One draw's fuel and book, every shock with every survival; a fund that some of them empty, a book that refills."""
    lattice, n = grid.lattice, grid.lattice.triggers.size
    lots = np.floor(grid.part_lots[0][:, None] * grid.profiles[grid.profile_index[0]]).sum(axis=0).astype(np.int64)
    prefixes = np.zeros((2, n + 1), dtype=np.int64)
    kernel.fill_prefixes(lots, 1.0, prefixes)
    survivals = np.tile(grid.survivals[0], SHOCKS.size)
    shocks, states = shock_table(lattice, np.repeat(SHOCKS, LIQUIDITIES.size), True, survivals)
    book, first, floors = grid.cumulative_lots[grid.book_index[0]], states[:, 0].copy(), floor_marks(lattice, shocks)
    fuel = (lattice.triggers, lattice.bankruptcies, prefixes)
    fund, refill = MARK * 1e6, 0.3
    ours, theirs = ((np.zeros((CELLS, 8), dtype=np.int64), np.zeros(CELLS)) for _ in range(2))
    play = partial(kernel.play_rounds, *fuel, lattice.relative_price, book, shocks, first, floors, fund, refill, *ours)
    inputs = (*fuel, n, lattice.relative_price, book, N_ROWS, shocks, first, floors, CELLS, fund, refill)
    bound = twin("grid").bind("play_rounds", *inputs, *theirs)
    return twin_row("B: play_rounds, capped fund and refilled book", play, bound, ours, theirs)
