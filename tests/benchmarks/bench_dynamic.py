"""How fast the dynamic replay is, as ratios measured in one run on one machine.

Belongs here: a per-minute numpy scan as the baseline, timed beside the product on 50 markets x 1,440 minutes, equal figures
asserted before anything is timed. Does not: other kernels, absolute times (they belong to the machine). Run it as a script;
``rows()`` is for the file that joins all benchmarks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from assets.cascade.dynamic import (
    BASELINE,
    POLICIES,
    Book,
    DayMarket,
    DayPath,
    Impact,
    Openings,
    Packed,
    SideFuel,
    compile_kernels,
    drive_packed,
    power_law_kernel,
    prepare_days,
    price_grid,
    replay_counterfactual,
    replay_free,
    replay_path,
)
from assets.cascade.dynamic_engine import empty_ledger, in_chunks, tuples
from assets.cascade.dynamic_pack import checked_paths
from assets.cascade.kernel_dynamic import walk_paths

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
    in_chunks(packed, 1, lambda b, e, work: walk_paths(cells, fuels, table, N_STEPS, b, e, work, ledger, halted))
    return ledger.flows


def best_of(repeats: int, work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the shortest of some runs in seconds: of the processor where one thread works, so that neighbours matter less."""
    seconds = []
    for _ in range(repeats):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)


def rows() -> list[dict[str, object]]:
    """Measure and return one row per figure: name, measured, floor (None: no floor), unit."""
    compile_kernels()
    rng = np.random.default_rng(20251010)
    plain, opened = [market(rng) for _ in range(N_MARKETS)], [market(rng, 10_000) for _ in range(N_MARKETS)]
    paths = [path(rng) for _ in range(N_MARKETS)]
    table = checked_paths(paths, N_MARKETS)
    packed = prepare_days(plain, (BASELINE,), N_STEPS, needs_books=False)
    packed_opened = prepare_days(opened, (BASELINE,), N_STEPS, needs_books=False)
    _assert_equal(plain, paths, drive_packed(packed, table, (BASELINE,)))
    _assert_equal(opened[:5], paths, drive_packed(packed_opened, table, (BASELINE,)))

    scan = best_of(2, lambda: [scan_with_numpy(m, p) for m, p in zip(plain, paths, strict=True)])
    scan_opened = 10 * best_of(2, lambda: [scan_with_numpy(opened[i], paths[i]) for i in range(5)])
    vectorised = best_of(5, lambda: [vectorised_with_numpy(m, p) for m, p in zip(plain, paths, strict=True)])
    product = best_of(20, lambda: fill_tables(packed, table))
    product_opened = best_of(20, lambda: fill_tables(packed_opened, table))
    objects = best_of(20, lambda: drive_packed(packed, table, (BASELINE,)))
    whole = best_of(5, lambda: replay_path(plain, paths))

    size = f"D {N_MARKETS} markets x {N_STEPS:,} min, {N_BINS:,} bins a side"
    found: list[dict[str, object]] = [
        _row(f"{size}: packed arrays to filled tables vs numpy scan, one thread", scan / product, 400.0),
        _row(f"{size}: the same with 10,000 openings a side", scan_opened / product_opened, None),
        _row(f"{size}: the same with result objects", scan / objects, None),
        _row(f"{size}: the same from validation to result objects", scan / whole, None),
        _row(
            f"{size}: vs all minutes at once in numpy (lots only; no openings, means, halts)",
            vectorised / product,
            None,
        ),
    ]
    impact = Impact(power_law_kernel(N_STEPS))
    shocks = [MARK * np.array([0.99, 0.97, 0.95]) for _ in plain]

    free = best_of(3, lambda: replay_free(plain[:8], shocks[:8], impact, POLICIES, n_steps=N_STEPS))
    found.append(_rate("D free-running, 6 policies: replays per second, one thread, from validation", 48 / free))
    lift = best_of(3, lambda: replay_counterfactual(plain[:8], paths[:8], impact))
    found.append(_rate("D counterfactual: replays per second, one thread, from validation", 8 / lift))
    return found


def _row(name: str, ratio: float, floor: float | None) -> dict[str, object]:
    return {"name": name, "measured": round(ratio, 2), "floor": floor, "unit": "x"}


def _rate(name: str, per_second: float) -> dict[str, object]:
    return {"name": name, "measured": round(per_second, 1), "floor": None, "unit": "1/s"}


def _assert_equal(markets, paths, found) -> None:
    """Stop where the product's figures are not those of the scan, bit for bit."""
    for m, p, (replay,) in zip(markets, paths, found, strict=False):
        lots, value = scan_with_numpy(m, p)
        for row, side in enumerate((replay.long, replay.short)):
            assert np.array_equal(side.forced_lots, lots[row])
            assert np.array_equal(side.forced_notional_ticklots, value[row])
        if m.long_fuel.openings.step.size == 0:
            assert np.array_equal(vectorised_with_numpy(m, p), lots)


if __name__ == "__main__":
    print(f"dynamic replay, {os.cpu_count()} cores")
    for r in rows():
        floor = f"floor {r['floor']:g}" if r["floor"] is not None else "no floor"
        print(f"  {r['name']}: {r['measured']:,} {r['unit']} ({floor})")
