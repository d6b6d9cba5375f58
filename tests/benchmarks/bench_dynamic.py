"""Kernel D, one day by step: against a per-minute numpy scan on 50 markets x 1,440 minutes, against its C++ twin.

Belongs here: seeded days of fuel, the scan, all minutes at once in numpy. Does not: other kernels, any assertion about time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from harness import Row, copy_limit, peak_row, race, require_equal, sizes, thread_row, twin, twin_row

from assets.cascade import kernel_dynamic as kernel
from assets.cascade.dynamic import (
    BASELINE,
    DEPTH_PROCESS,
    POLICIES,
    Book,
    DayMarket,
    DayPath,
    Impact,
    Openings,
    Packed,
    PathReplay,
    SideFuel,
    drive_packed,
    power_law_kernel,
    prepare_days,
    price_grid,
    replay_counterfactual,
    replay_free,
    replay_path,
)
from assets.cascade.dynamic_engine import _memory, empty_ledger, in_chunks, tuples
from assets.cascade.dynamic_inputs import ROUNDS_PER_STEP
from assets.cascade.dynamic_pack import checked_impact, checked_paths, checked_shocks

HEADING = "D. One day by minute"
N_FREE = 8  # markets of the modes that iterate
SIZE = "50 markets x 1,440 min, 1,000 bins a side"
N_MARKETS, N_STEPS, N_BINS = 50, 1_440, 1_000
MARK = 1e8


def market(rng: np.random.Generator, n_openings: int = 0) -> DayMarket:
    """A day of fuel on a 5 bps grid, closures of about 3 % an hour, a power-law book, openings anywhere."""

    def side(name: str) -> SideFuel:
        steps = np.sort(rng.integers(0, N_STEPS, n_openings))
        # Openings lie at liquidation distances from the mark, not at the mark itself.
        openings = Openings(steps, rng.integers(40, N_BINS, n_openings), rng.integers(1, 10_000, n_openings))
        leverage = rng.choice([3.0, 10.0, 25.0, 50.0], N_BINS)
        return SideFuel(price_grid(MARK, name, 5e-4, N_BINS), rng.integers(0, 100_000, N_BINS), leverage, openings)

    moves = np.arange(1, 1_000) * 5e-4
    lots = np.floor(4e7 * (moves / 0.01) ** (1 / 0.875)).astype(np.int64)
    books = Book(1.0 - moves, lots), Book(1.0 + moves, lots)
    return DayMarket(MARK, side("long"), side("short"), *books, int(lots[19]), rng.random(N_STEPS) * 1e-3)


def path(rng: np.random.Generator) -> DayPath:
    """A random day of 6 bps a minute with one flush of 8 % in half an hour, then half of it back."""
    drift = np.zeros(N_STEPS)
    drift[700:730] = -0.08 / 30
    drift[730:800] = 0.04 / 70
    close = MARK * np.exp(np.cumsum(rng.normal(0.0, 6e-4, N_STEPS) + drift))
    wick = 1.0 + np.abs(rng.normal(0.0, 4e-4, (2, N_STEPS)))
    return DayPath(close / wick[0], close * wick[1], close)


def scan_with_numpy(m: DayMarket, p: DayPath) -> tuple[np.ndarray, np.ndarray]:
    """Per minute one scan of every bin, the arrays sorted and typed before; forced lots and notional per side and step."""
    lots_out, value_out = np.zeros((2, N_STEPS), dtype=np.int64), np.zeros((2, N_STEPS))
    for row, fuel in enumerate((m.long_fuel, m.short_fuel)):
        trigger, lots = fuel.trigger_ticks, fuel.quantity_lots.copy()
        scale, survival = np.ones(lots.size), 1.0
        at = np.searchsorted(fuel.openings.step, np.arange(N_STEPS + 1))
        for t in range(N_STEPS):
            survival = survival * (1.0 - m.closure_frac[t])
            reached = trigger >= p.low_ticks[t] if row == 0 else trigger <= p.high_ticks[t]
            reached &= lots > 0
            if reached.any():
                live = np.floor(lots[reached] * (survival / scale[reached]))
                lots_out[row, t] = live.sum()
                # Left to right, as the definition adds; numpy's own sum goes pairwise.
                value_out[row, t] = np.add.accumulate(trigger[reached] * live)[-1]
                lots[reached] = 0
            for i in range(at[t], at[t + 1]):
                k = fuel.openings.bin[i]
                lots[k] = int(lots[k] * (survival / scale[k])) + fuel.openings.lots[i]
                scale[k] = survival
    return lots_out, value_out


def vectorised_with_numpy(m: DayMarket, p: DayPath) -> np.ndarray:
    """All minutes at once by running extremes; only possible without openings, mean guards and halts."""
    scale = np.multiply.accumulate(1.0 - m.closure_frac)
    out = np.zeros((2, N_STEPS), dtype=np.int64)
    lowest, highest = np.minimum.accumulate(p.low_ticks), np.maximum.accumulate(p.high_ticks)
    for row, fuel, extreme in ((0, m.long_fuel, -lowest), (1, m.short_fuel, highest)):
        sign = -1.0 if row == 0 else 1.0
        step = np.searchsorted(extreme, sign * fuel.trigger_ticks, side="left")
        hit = step < N_STEPS
        live = np.floor(fuel.quantity_lots[hit] * scale[step[hit]])
        out[row] = np.bincount(step[hit], weights=live, minlength=N_STEPS).astype(np.int64)
    return out


def fill_tables(packed: Packed, table: np.ndarray) -> np.ndarray:
    """Mode 1 from packed arrays to filled tables, their allocation included; one thread."""
    cells, fuels, _ = tuples(packed)
    ledger, halted = empty_ledger(packed), np.zeros(packed.n_cells, dtype=np.int64)
    in_chunks(packed, 1, lambda b, e, work: kernel.walk_paths(cells, fuels, table, N_STEPS, b, e, work, ledger, halted))
    return ledger.flows


def compare(markets: Sequence[DayMarket], paths: Sequence[DayPath], found: Sequence[Sequence[PathReplay]]) -> None:
    """Stop where the product's figures are not those of the scan, bit for bit."""
    for m, p, (replay,) in zip(markets, paths, found, strict=True):
        lots, value = scan_with_numpy(m, p)
        sides = (replay.long, replay.short)
        require_equal("D: lots", [s.forced_lots for s in sides], list(lots))
        require_equal("D: notional", [s.forced_notional_ticklots for s in sides], list(value))
        if m.long_fuel.openings.step.size == 0:
            require_equal("D: all minutes at once", [vectorised_with_numpy(m, p)], [lots])


def rows() -> Iterator[Row]:
    """Measure and yield one row after the other."""
    rng = np.random.default_rng(20251010)
    plain, opened = [market(rng) for _ in range(N_MARKETS)], [market(rng, 10_000) for _ in range(N_MARKETS)]
    paths = [path(rng) for _ in range(N_MARKETS)]
    table = checked_paths(paths, N_MARKETS)
    packed = prepare_days(plain, (BASELINE,), N_STEPS, needs_books=False)
    packed_opened = prepare_days(opened, (BASELINE,), N_STEPS, needs_books=False)
    few, few_table = prepare_days(opened[:5], (BASELINE,), N_STEPS, needs_books=False), table[:5].copy()
    compare(plain, paths, drive_packed(packed, table, (BASELINE,)))
    compare(opened[:5], paths[:5], drive_packed(few, few_table, (BASELINE,)))

    scan, vectorised, filled, objects, whole = race(
        lambda: [scan_with_numpy(m, p) for m, p in zip(plain, paths, strict=True)],
        lambda: [vectorised_with_numpy(m, p) for m, p in zip(plain, paths, strict=True)],
        partial(fill_tables, packed, table),
        partial(drive_packed, packed, table, (BASELINE,)),
        partial(replay_path, plain, paths),
        seconds=5.0,
    )
    # Per bin lots and scale written, triggers and lots read; per step three prices read and the tables zeroed.
    moved = N_MARKETS * (2 * N_BINS * 40.0 + N_STEPS * (24.0 + 2 * 56.0))
    title, note = f"D: {SIZE}, packed arrays to filled tables", "best numpy knows no openings, means or halts"
    limit = copy_limit(moved, filled)
    best = vectorised / filled
    yield Row(f"{title}, vs numpy scan, one thread", scan / filled, 400.0, best_numpy=best, limit=limit, note=note)
    yield Row("D: the same with result objects", scan / objects, note=f"{objects * 1e3:.2f} ms")
    yield Row("D: the same from validation to result objects", scan / whole, note=f"{whole * 1e3:.1f} ms")
    scan, filled = race(
        lambda: [scan_with_numpy(m, p) for m, p in zip(opened[:5], paths[:5], strict=True)],
        partial(fill_tables, few, few_table),
        seconds=3.0,
    )
    note = f"{filled / (5 * 2 * 10_000) * 1e9:.3g} ns an opening, minutes and bins included"
    yield Row("D: 5 markets with 10,000 openings a side, vs numpy scan, one thread", scan / filled, note=note)
    yield _threads(packed_opened, table)
    yield peak_row(
        f"D: peak memory, {SIZE}, from packed arrays",
        partial(drive_packed, packed, table, (BASELINE,)),
        [packed.trigger, packed.lots, packed.closures, table],
    )
    yield from _iterating(plain[:N_FREE], paths[:N_FREE])
    yield from _twins(plain, packed, packed_opened, table)


def _threads(packed: Packed, table: np.ndarray) -> Row:
    one, two = (partial(drive_packed, packed, table, (BASELINE,), n) for n in (1, 2))
    for (a,), (b,) in zip(one(), two(), strict=True):
        for x, y in ((a.long, b.long), (a.short, b.short)):
            require_equal("D: threads", [x.forced_lots, x.sold_lots], [y.forced_lots, y.sold_lots])
    return thread_row("D: 50 markets with 10,000 openings a side, two threads vs one", one, two)


def _iterating(markets: Sequence[DayMarket], paths: Sequence[DayPath]) -> Iterator[Row]:
    impact = Impact(power_law_kernel(N_STEPS))
    shocks = [MARK * np.array([0.99, 0.97, 0.95]) for _ in markets]
    free, lifted = race(
        lambda: replay_free(markets, shocks, impact, POLICIES, n_steps=N_STEPS),
        lambda: replay_counterfactual(markets, paths, impact),
    )
    n = len(markets)
    what = "replays per second, one thread, from validation"
    yield Row(f"D: free-running, {len(POLICIES)} policies: {what}", n * len(POLICIES) / free, unit="/s")
    yield Row(f"D: counterfactual: {what}", n / lifted, unit="/s")


# --- twins -------------------------------------------------------------------------------------------------------------------


def _twins(plain: Sequence[DayMarket], packed: Packed, opened: Packed, table: np.ndarray) -> Iterator[Row]:
    for name, cells in (("walk_paths", packed), ("walk_paths, 10,000 openings a side", opened)):
        yield _walk_twin(f"D: {name}", cells, table)
    yield from _free_twins(plain[:2], table)


def _walk_twin(name: str, packed: Packed, table: np.ndarray) -> Row:
    cells, fuels, _ = tuples(packed)

    def arguments() -> tuple[Any, ...]:
        return (0, packed.n_cells, _memory(packed), empty_ledger(packed), np.zeros(packed.n_cells, dtype=np.int64))

    ours, theirs = arguments(), arguments()
    run = partial(kernel.walk_paths, cells, fuels, table, N_STEPS, *ours)
    bound = twin("dynamic").bind("walk_paths", cells, fuels, table, *theirs, sizes(N_STEPS, table.shape[2], 0))
    return twin_row(name, run, bound, (*ours[3], ours[4]), (*theirs[3], theirs[4]))


def _free_twins(markets: Sequence[DayMarket], table: np.ndarray) -> Iterator[Row]:
    library = twin("dynamic")
    decay, depth = checked_impact(Impact(power_law_kernel(N_STEPS), DEPTH_PROCESS), N_STEPS)
    marks, lengths = checked_shocks([MARK * np.array([0.99, 0.97, 0.95]) for _ in markets], len(markets), N_STEPS)
    packed = prepare_days(markets, POLICIES, N_STEPS, needs_books=True)
    cells, fuels, books = tuples(packed)
    n = packed.n_cells
    rules = (kernel.Impact(decay, depth), kernel.Shocks(marks, lengths), ROUNDS_PER_STEP, 0, n)

    def arguments() -> tuple[Any, ...]:
        out = kernel.Run(np.zeros((n, N_STEPS)), np.zeros((n, N_STEPS)), np.zeros((n, 2), dtype=np.int64))
        return _memory(packed), empty_ledger(packed), out

    ours, theirs = arguments(), arguments()
    run = partial(kernel.run_free, cells, fuels, books, *rules, *ours)
    bound = library.bind("run_free", cells, fuels, books, *rules, *theirs, sizes(N_STEPS, 0, marks.shape[1]))
    adds_to = ([*ours[1], ours[2].counts], [*theirs[1], theirs[2].counts])
    yield twin_row(
        "D: run_free, 6 policies", run, bound, (*ours[1], *ours[2]), (*theirs[1], *theirs[2]), adds_to=adds_to
    )

    # Mode 2 on the first market: its observed closes, and net flows that its own fuel triggers.
    work, ledger = _memory(packed), empty_ledger(packed)
    kernel.walk_paths(cells, fuels, table, N_STEPS, 0, 1, work, ledger, np.zeros(n, dtype=np.int64))
    sold = ledger.flows[0, :, :, kernel.SOLD]
    net, closes, figures, names = sold[1] - sold[0], table[0, 2].copy(), packed.figures[0], packed.names[0]
    survivals, others = np.zeros(N_STEPS), np.zeros(N_STEPS)
    inputs = (float(figures[kernel.MARK]), closes, net, float(figures[kernel.REFERENCE]), depth)
    run = partial(kernel.fill_survivals, *inputs, survivals)
    run()
    yield twin_row(
        "D: fill_survivals", run, library.bind("fill_survivals", *inputs, others, N_STEPS), [survivals], [others]
    )

    filled, others = np.zeros((2, N_STEPS)), np.zeros((2, N_STEPS))
    inputs = (books, int(names[kernel.BIDS]), int(names[kernel.ASKS]), decay, survivals, net)
    bound = library.bind("fill_factors", *inputs, *others, N_STEPS)
    yield twin_row("D: fill_factors", partial(kernel.fill_factors, *inputs, *filled), bound, [filled], [others])
