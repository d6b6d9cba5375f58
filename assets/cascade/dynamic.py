"""Dynamic replays of one day by step: path-driven, counterfactual, free-running; the entry points.

Belongs here: the three modes over many markets and policies. Does not: inputs and priors (``dynamic_inputs.py``),
validation (``dynamic_pack.py``), results (``dynamic_results.py``), threads and memory (``dynamic_engine.py``), compiled
loops (``kernel_dynamic.py``, imported only when the first replay runs). Callers need no other module than this one.

Every replay is conditional on its inputs and predicts no date. Forced lots of mode 1 and 3 are simulated; a counterfactual
says whether its orders were reported or simulated.

References
----------
docs/cascade_dynamic.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from assets.cascade.dynamic_engine import Lifting, Question, by_market, empty_ledger, in_chunks, sides, tuples
from assets.cascade.dynamic_inputs import (
    BASELINE,
    CONSTANT_DEPTH,
    DEPTH_PROCESS,
    DEPTH_PROCESS_NAME,
    MAX_ITERATIONS,
    POLICIES,
    ROUNDS_PER_STEP,
    TOLERANCE,
    DayMarket,
    DayPath,
    DepthProcess,
    Impact,
    Openings,
    Policy,
    SideFuel,
    power_law_kernel,
    price_grid,
)
from assets.cascade.dynamic_pack import (
    Packed,
    checked_impact,
    checked_paths,
    checked_reports,
    checked_shocks,
    prepare_days,
)
from assets.cascade.dynamic_results import Counterfactual, FreeReplay, PathReplay, SideFlow
from assets.cascade.lattice import Book
from assets.cascade.params import POSITION_SIDES, PositionSide

if TYPE_CHECKING:
    from assets.cascade.kernel_dynamic import Work

__all__ = [
    "BASELINE",
    "CONSTANT_DEPTH",
    "DEPTH_PROCESS",
    "DEPTH_PROCESS_NAME",
    "POLICIES",
    "Book",
    "Counterfactual",
    "DayMarket",
    "DayPath",
    "DepthProcess",
    "FreeReplay",
    "Impact",
    "Openings",
    "Packed",
    "PathReplay",
    "Policy",
    "SideFlow",
    "SideFuel",
    "compile_kernels",
    "drive_packed",
    "power_law_kernel",
    "prepare_days",
    "price_grid",
    "replay_counterfactual",
    "replay_free",
    "replay_path",
]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


# --- entry points --------------------------------------------------------------------------------------------------------


def replay_path(
    markets: Sequence[DayMarket],
    paths: Sequence[DayPath],
    policies: Sequence[Policy] = (BASELINE,),
    *,
    threads: int = 1,
) -> list[list[PathReplay]]:
    """Drive fuel along observed paths (mode 1).

    Parameters
    ----------
    markets, paths : sequences of equal length
        All paths have the same number of steps.
    policies : sequence of Policy
    threads : int
        The bytes of the results do not depend on it.

    Returns
    -------
    list of list of PathReplay
        By market, then by policy.

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    table = checked_paths(paths, len(markets))
    return drive_packed(prepare_days(markets, policies, table.shape[2], needs_books=False), table, policies, threads)


def drive_packed(packed: Packed, table: F64, policies: Sequence[Policy], threads: int = 1) -> list[list[PathReplay]]:
    """Run mode 1 on markets that `prepare_days` packed, along paths float64[n_markets, 3, n_steps] (low, high, close).

    For callers that drive one set of markets along many paths; `replay_path` validates and packs first.
    """
    from assets.cascade import kernel_dynamic as kernel  # noqa: PLC0415 - numba only where a kernel is needed

    cells, fuels, _ = tuples(packed)
    ledger = empty_ledger(packed)
    halted = np.zeros(packed.n_cells, dtype=np.int64)

    def run(begin: int, end: int, work: Work) -> None:
        kernel.walk_paths(cells, fuels, table, packed.n_steps, begin, end, work, ledger, halted)

    in_chunks(packed, threads, run)
    flat = [
        PathReplay(policies[c % packed.n_policies].name, long, short, int(halted[c]))
        for c, (long, short) in enumerate(sides(packed, ledger))
    ]
    return by_market(packed, flat)


def replay_counterfactual(
    markets: Sequence[DayMarket],
    paths: Sequence[DayPath],
    impact: Impact,
    *,
    side: PositionSide = "long",
    reported_lots: Sequence[npt.ArrayLike] | None = None,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
    threads: int = 1,
) -> list[Counterfactual]:
    """Take the impact of forced orders out of observed moves (mode 2).

    Parameters
    ----------
    markets, paths, threads
        As for `replay_path`; markets carry books. ``mark_ticks`` is the mark at t0, right before the first step.
    impact : Impact
    side : {"long", "short"}
        ``long`` asks about the fall to the lowest low, ``short`` about the squeeze to the highest high.
    reported_lots : sequence of int64[2, n_steps] or None
        Forced orders that happened: long and short lots per step. None simulates them from the fuel.
    max_iterations, tolerance : int, float
        The iteration ends where no factor moves by more than `tolerance`.

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    if side not in POSITION_SIDES:
        raise ValueError(f"side = {side!r}: must be long (a fall) or short (a squeeze)")
    if max_iterations < 1:
        raise ValueError(f"max_iterations = {max_iterations}: at least 1")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance = {tolerance}: must be inside [0, 1)")
    table = checked_paths(paths, len(markets))
    n_steps = table.shape[2]
    decay, depth = checked_impact(impact, n_steps)
    reported = None if reported_lots is None else checked_reports(reported_lots, len(markets), n_steps)
    packed = prepare_days(markets, (BASELINE,), n_steps, needs_books=True)
    question = Question(side, reported, decay, depth, int(max_iterations), float(tolerance))
    lifting = Lifting(packed, table, question)
    in_chunks(packed, threads, lifting.run)
    return lifting.found


def replay_free(
    markets: Sequence[DayMarket],
    shocks_ticks: Sequence[F64],
    impact: Impact,
    policies: Sequence[Policy] = (BASELINE,),
    *,
    n_steps: int,
    rounds_per_step: int = ROUNDS_PER_STEP,
    threads: int = 1,
) -> list[list[FreeReplay]]:
    """Let markets run from their state and the shock of the first steps (mode 3).

    Parameters
    ----------
    markets, policies, threads
        As for `replay_path`; markets carry books.
    shocks_ticks : sequence of float64[n_shock]
        Per market the marks of the first steps without forced orders, each at least one tick; the last one stays.
    impact : Impact
    n_steps, rounds_per_step : int

    Returns
    -------
    list of list of FreeReplay
        By market, then by policy.

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    from assets.cascade import kernel_dynamic as kernel  # noqa: PLC0415 - numba only where a kernel is needed

    if n_steps < 1 or rounds_per_step < 1:
        raise ValueError(f"n_steps = {n_steps}, rounds_per_step = {rounds_per_step}: at least 1 each")
    decay, depth = checked_impact(impact, n_steps)
    marks, lengths = checked_shocks(shocks_ticks, len(markets), n_steps)
    packed = prepare_days(markets, policies, n_steps, needs_books=True)
    cells, fuels, books = tuples(packed)
    ledger = empty_ledger(packed)
    n = packed.n_cells
    out = kernel.Run(np.empty((n, n_steps)), np.empty((n, n_steps)), np.zeros((n, 2), dtype=np.int64))
    force, shocks = kernel.Impact(decay, depth), kernel.Shocks(marks, lengths)

    def run(begin: int, end: int, work: Work) -> None:
        kernel.run_free(cells, fuels, books, force, shocks, int(rounds_per_step), begin, end, work, ledger, out)

    in_chunks(packed, threads, run)
    flat = []
    for c, (long, short) in enumerate(sides(packed, ledger)):
        trough, peak = int(np.argmin(out.marks[c])), int(np.argmax(out.marks[c]))
        at = np.flatnonzero(long.forced_lots + short.forced_lots)
        flat.append(
            FreeReplay(
                policy=policies[c % packed.n_policies].name,
                long=long,
                short=short,
                mark_ticks=out.marks[c],
                depth_survival_frac=out.survivals[c],
                trough_ticks=float(out.marks[c, trough]),
                trough_step=trough,
                peak_ticks=float(out.marks[c, peak]),
                peak_step=peak,
                duration_steps=int(at[-1] - at[0]) + 1 if at.size else 0,
                rounds=int(out.counts[c, 0]),
                halted_steps=int(out.counts[c, 1]),
                is_exhausted=bool(np.any(long.unabsorbed_lots) or np.any(short.unabsorbed_lots)),
            )
        )
    return by_market(packed, flat)


def compile_kernels() -> None:
    """Run every kernel once on a tiny market, so that its machine code is in the cache.

    Raises
    ------
    RuntimeError
        Where the modes disagree about it.
    """
    fuel = SideFuel(np.array([990.0, 985.0]), np.array([3, 4]))
    none = SideFuel(np.empty(0), np.empty(0, dtype=np.int64))
    rows = np.array([5, 50])
    market = DayMarket(1000.0, fuel, none, Book(np.array([0.99, 0.98]), rows), Book(np.array([1.01, 1.02]), rows), 5)
    impact = Impact(power_law_kernel(2), CONSTANT_DEPTH)
    (free,) = replay_free([market], [np.array([988.0])], impact, n_steps=2)[0]
    path = DayPath(free.mark_ticks, free.mark_ticks, free.mark_ticks)
    (driven,) = replay_path([market], [path])[0]
    (lifted,) = replay_counterfactual([market], [path], impact)
    if driven.long.total_forced_lots != free.long.total_forced_lots or lifted.iterations < 1:
        raise RuntimeError("the compiled kernels disagree with each other: clear the kernel cache")
