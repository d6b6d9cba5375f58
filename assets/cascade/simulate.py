"""Static replays: scenarios to fixed points to outcomes.

Belongs here: everything between lawful arrays (``lattice.py``) and plain results. Does not: compiled loops (``kernel.py``,
imported only when the first replay runs, so that importing this module stays cheap), where fuel and depth come from
(``fuel.py``, ``depth.py``), critical shocks (``critical.py``), tables (``frames.py``).

References
----------
docs/cascade.md, sections 2 and 3. The rules leave some cases open; the readings chosen here are listed in
section 3, "Readings".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.cascade.lattice import (
    Book,
    Fuel,
    Lattice,
    Scenario,
    check_scenario,
    check_shocks,
    floor_marks,
    prefix_sums,
    prepare,
    shock_table,
)
from assets.cascade.params import POSITION_SIDES, PositionSide, ShockKind

__all__ = [
    "Book",
    "Fuel",
    "Outcome",
    "Scenario",
    "Sweep",
    "compile_kernels",
    "replay_static",
    "sweep_static",
]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Engine = Literal["merge", "sweep"]


@dataclass(frozen=True)
class Outcome:
    """Where a replay ends.

    Identity, exact in lots: ``forced = sold + taken_over + netted + adl + unabsorbed + not_sold`` (the three middle
    terms are 0 in the static uncapped modes). Money is in ticks x lots. `average_fill_ticks` is None where nothing was
    sold. `slippage_ticklots` is trigger value minus proceeds of the sold lots for long fuel and the reverse for short
    fuel; `shortfall_ticklots` is the loss beyond bankruptcy prices on the sold lots, floored at 0 per bucket.
    """

    mark_ticks: float
    forced_lots: int
    sold_lots: int
    not_sold_lots: int
    unabsorbed_lots: int
    excluded_lots: int
    rounds: int
    is_exhausted: bool
    forced_notional_ticklots: float
    proceeds_ticklots: float
    average_fill_ticks: float | None
    slippage_ticklots: float
    shortfall_ticklots: float
    taken_over_lots: int = 0
    netted_lots: int = 0
    adl_lots: int = 0


@dataclass(frozen=True)
class Sweep:
    """Fixed points of many shocks of one setting: float64[n_shocks], int64[n_shocks], bool[n_shocks]."""

    mark_ticks: F64
    forced_lots: I64
    is_exhausted: npt.NDArray[np.bool_]


# --- entry points ------------------------------------------------------------------------------------------------------


def replay_static(
    mark_ticks: float, book: Book, fuel: Fuel, scenarios: Sequence[Scenario], *, engine: Engine = "merge"
) -> list[Outcome]:
    """Replay each scenario to its least fixed point.

    Parameters
    ----------
    mark_ticks : float
        ``p0 > 0`` in ticks.
    book, fuel : Book, Fuel
        The side that the scenarios shock.
    scenarios : sequence of Scenario
    engine : {"merge", "sweep"}
        ``merge`` starts every scenario afresh. ``sweep`` shares pointers between the scenarios of a setting and counts
        rounds in a second pass. Both give the same outcomes, bit for bit.

    Returns
    -------
    list of Outcome
        In the order of `scenarios`.

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    for i, scenario in enumerate(scenarios):
        check_scenario(i, scenario)
    outcomes: dict[int, Outcome] = {}
    for side in POSITION_SIDES:
        of_side = [i for i, s in enumerate(scenarios) if s.side == side]
        if not of_side:
            continue
        lattice = prepare(mark_ticks, book, fuel, side)
        for group in _groups(scenarios, of_side, engine):
            found = _replay_group(lattice, [scenarios[i] for i in group], engine)
            outcomes.update(zip(group, found, strict=True))
    return [outcomes[i] for i in range(len(scenarios))]


def sweep_static(
    mark_ticks: float,
    book: Book,
    fuel: Fuel,
    shocks_frac: Sequence[float] | F64,
    *,
    shock_kind: ShockKind,
    side: PositionSide,
    depth_survival_frac: float = 1.0,
    sold_share_frac: float = 1.0,
) -> Sweep:
    """Return the fixed points of a growing row of shocks under one setting, at the cost of one walk for all.

    Raises
    ------
    ValueError
        As `replay_static`, and where `shocks_frac` is not non-decreasing.
    """
    grid = check_shocks(shocks_frac, side)
    check_scenario(0, Scenario(0.01, shock_kind, side, depth_survival_frac, sold_share_frac))
    lattice = prepare(mark_ticks, book, fuel, side)
    prefixes = prefix_sums(lattice, sold_share_frac)
    shocks, states = shock_table(lattice, grid, shock_kind == "sell", depth_survival_frac)
    _fixed_points(lattice, prefixes, shocks, states, "sweep")
    return Sweep(
        mark_ticks=lattice.direction * _marks(lattice, shocks, states),
        forced_lots=prefixes[0][states[:, 1]],
        is_exhausted=states[:, 2] == lattice.relative_price.shape[0],
    )


def compile_kernels() -> None:
    """Run every kernel once on a tiny market, in this process."""
    book = Book(np.array([0.99, 0.98]), np.array([5, 50]))
    fuel = Fuel(np.array([990.0, 985.0]), np.array([3, 4]), np.array([980.0, 975.0]))
    scenario = Scenario(0.01, "sell", "long")
    merged = replay_static(1000.0, book, fuel, [scenario], engine="merge")
    if merged != replay_static(1000.0, book, fuel, [scenario], engine="sweep"):
        raise RuntimeError("the compiled kernels disagree with each other: clear the kernel cache")


# --- from scenarios to the kernels and back -----------------------------------------------------------------------------


def _groups(scenarios: Sequence[Scenario], places: list[int], engine: Engine) -> list[list[int]]:
    """Split scenarios into those that one kernel call may share; a sweep needs one kind and one W, in order of shock."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i in places:
        s = scenarios[i]
        key: tuple[object, ...] = (s.sold_share_frac,)
        if engine == "sweep":
            key = (s.sold_share_frac, s.shock_kind, s.depth_survival_frac)
        groups.setdefault(key, []).append(i)
    if engine == "sweep":
        for group in groups.values():
            group.sort(key=lambda i: scenarios[i].shock_frac)
    return list(groups.values())


def _replay_group(lattice: Lattice, scenarios: list[Scenario], engine: Engine) -> list[Outcome]:
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    prefixes = prefix_sums(lattice, scenarios[0].sold_share_frac)
    shocks, states = shock_table(
        lattice,
        np.array([s.shock_frac for s in scenarios], dtype=np.float64),
        np.array([s.shock_kind == "sell" for s in scenarios]),
        np.array([s.depth_survival_frac for s in scenarios], dtype=np.float64),
    )
    _fixed_points(lattice, prefixes, shocks, states, engine)
    if engine == "sweep":
        counted = states.copy()
        _fixed_points(lattice, prefixes, shocks, counted, "merge")
        states[:, kernel.ROUNDS] = counted[:, kernel.ROUNDS]
    states[:, kernel.SOLD] = _sold_lots(lattice, prefixes, shocks, states)
    values = np.zeros((len(scenarios), 4))
    kernel.value_scenarios(
        lattice.triggers,
        lattice.bankruptcies,
        prefixes,
        lattice.relative_price,
        lattice.cumulative_lots,
        shocks,
        states,
        values,
    )
    marks = _marks(lattice, shocks, states)
    return [_outcome(lattice, prefixes, marks[i], states[i], values[i]) for i in range(len(scenarios))]


def _outcome(lattice: Lattice, prefixes: I64, mark: float, state: I64, values: F64) -> Outcome:
    _, reached, row, rounds, sold = (int(x) for x in state)
    forced, triggered_to_sell = int(prefixes[0, reached]), int(prefixes[1, reached])
    notional, sold_value, proceeds, shortfall = (float(x) for x in values)
    d = lattice.direction
    return Outcome(
        mark_ticks=d * float(mark),
        forced_lots=forced,
        sold_lots=sold,
        not_sold_lots=forced - triggered_to_sell,
        unabsorbed_lots=triggered_to_sell - sold,
        excluded_lots=lattice.excluded_lots,
        rounds=rounds,
        is_exhausted=row == lattice.relative_price.shape[0],
        # Adding 0.0 turns the -0.0 of an empty short side into 0.0.
        forced_notional_ticklots=d * notional + 0.0,
        proceeds_ticklots=d * proceeds + 0.0,
        average_fill_ticks=d * proceeds / sold if sold else None,
        slippage_ticklots=sold_value - proceeds,
        shortfall_ticklots=shortfall,
    )


def _fixed_points(lattice: Lattice, prefixes: I64, shocks: F64, states: I64, engine: Engine) -> None:
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    run = kernel.merge_scenarios if engine == "merge" else kernel.sweep_scenarios
    run(lattice.triggers, prefixes[1], lattice.relative_price, lattice.cumulative_lots, shocks, states)


def _marks(lattice: Lattice, shocks: F64, states: I64) -> F64:
    """Return the signed final marks: the shock price, a row's price, or the floor where the book is exhausted."""
    last = lattice.relative_price.shape[0] - 1
    start, base, row = shocks[:, 0], shocks[:, 1], states[:, 2]
    at_row = base * lattice.relative_price[np.clip(row, 0, last)]
    marks: F64 = np.where(row < 0, start, np.where(row > last, floor_marks(lattice, shocks), at_row))
    return marks


def _sold_lots(lattice: Lattice, prefixes: I64, shocks: F64, states: I64) -> I64:
    """Return the lots that the book absorbed: all that were to be sold, or what an exhausted book holds."""
    to_sell = prefixes[1][states[:, 1]]
    eaten = np.concatenate([[0], lattice.cumulative_lots])[states[:, 0]]
    holds = np.floor(shocks[:, 2] * (lattice.cumulative_lots[-1] - eaten)).astype(np.int64)
    is_exhausted = states[:, 2] == lattice.relative_price.shape[0]
    sold: I64 = np.where(is_exhausted, np.minimum(to_sell, holds), to_sell)
    return sold
