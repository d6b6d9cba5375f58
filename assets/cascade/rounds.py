"""Replays round by round: a capped insurance fund with ADL, a book that refills.

These modes are not monotone: a harsher shock can end at a higher price. Nothing is shared between scenarios.

Belongs here: from lawful arrays to outcomes of single scenarios. Does not: the monotone replays (``simulate.py``,
``grid.py``), the waterfall of single accounts (``waterfall.py``), compiled loops (``kernel.py``).

References
----------
docs/cascade_grid.md, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assets.cascade.lattice import (
    Book,
    Fuel,
    Lattice,
    Scenario,
    check_scenario,
    floor_marks,
    prefix_sums,
    prepare,
    shock_table,
)

__all__ = ["RoundsOutcome", "compile_round_kernels", "replay_rounds"]


@dataclass(frozen=True)
class RoundsOutcome:
    """Where one scenario ends; identity, exact in lots: ``forced = sold + adl + unabsorbed + not_sold``.

    `trough_ticks` is the worst mark of all states; `mark_ticks`, the last one, is calmer where the book refilled. Money is in
    ticks x lots; `insurance_used_ticklots` is 0 where the fund has no cap.
    """

    mark_ticks: float
    trough_ticks: float
    forced_lots: int
    sold_lots: int
    adl_lots: int
    not_sold_lots: int
    unabsorbed_lots: int
    excluded_lots: int
    insurance_used_ticklots: float
    rounds: int
    is_exhausted: bool


def replay_rounds(
    mark_ticks: float,
    book: Book,
    fuel: Fuel,
    scenarios: Sequence[Scenario],
    *,
    fund_ticklots: float = math.inf,
    replenishment_frac: float = 0.0,
) -> list[RoundsOutcome]:
    """Play each scenario round by round.

    Parameters
    ----------
    mark_ticks, book, fuel, scenarios
        As for ``simulate.replay_static``.
    fund_ticklots : float
        Balance of the insurance fund; what it cannot pay is auto-deleveraged and never reaches the book.
    replenishment_frac : float
        Share of the eaten lots that stands in the book again after a round, in [0, 1).

    Returns
    -------
    list of RoundsOutcome
        In the order of `scenarios`.

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    if not fund_ticklots >= 0:
        raise ValueError(f"fund_ticklots = {fund_ticklots}: a fund holds 0 or more; infinity is no cap")
    if not 0 <= replenishment_frac < 1:
        raise ValueError(f"replenishment_frac = {replenishment_frac}: must be inside [0, 1)")
    for i, scenario in enumerate(scenarios):
        check_scenario(i, scenario)
    lattices = {side: prepare(mark_ticks, book, fuel, side) for side in sorted({s.side for s in scenarios})}
    return [_played(lattices[s.side], s, float(fund_ticklots), float(replenishment_frac)) for s in scenarios]


def compile_round_kernels() -> None:
    """Run the kernel of the round loop once on a tiny market, in this process."""
    fuel = Fuel(np.array([990.0]), np.array([3]), np.array([980.0]))
    replay_rounds(1000.0, Book(np.array([0.99]), np.array([5])), fuel, [Scenario(0.01, "sell", "long")])


def _played(lattice: Lattice, scenario: Scenario, fund: float, replenishment: float) -> RoundsOutcome:
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    prefixes = prefix_sums(lattice, scenario.sold_share_frac)
    shocks, states = shock_table(
        lattice, np.array([scenario.shock_frac]), scenario.shock_kind == "sell", scenario.depth_survival_frac
    )
    floors = floor_marks(lattice, shocks)
    ends, used = np.zeros((1, 8), dtype=np.int64), np.zeros(1)
    first = int(states[0, 0])
    kernel.play_rounds(
        lattice.triggers,
        lattice.bankruptcies,
        prefixes,
        lattice.relative_price,
        lattice.cumulative_lots,
        shocks,
        states[:, 0].copy(),
        floors,
        fund,
        replenishment,
        ends,
        used,
    )
    row, trough, rounds, reached, to_book, standing, adl, exhausted = (int(x) for x in ends[0])
    n_rows = lattice.relative_price.shape[0]
    start, base = float(shocks[0, 0]), float(shocks[0, 1])

    def mark(of_row: int) -> float:
        if of_row < 0:
            return lattice.direction * start
        at = float(floors[0]) if of_row == n_rows else base * float(lattice.relative_price[of_row])
        return lattice.direction * at

    unabsorbed = 0
    if row == n_rows:
        eaten = int(lattice.cumulative_lots[first - 1]) if first else 0
        unabsorbed = standing - math.floor(scenario.depth_survival_frac * (int(lattice.cumulative_lots[-1]) - eaten))
    forced = int(prefixes[0, reached])
    return RoundsOutcome(
        mark_ticks=mark(row),
        trough_ticks=mark(trough),
        forced_lots=forced,
        sold_lots=to_book - unabsorbed,
        adl_lots=adl,
        not_sold_lots=forced - int(prefixes[1, reached]),
        unabsorbed_lots=unabsorbed,
        excluded_lots=lattice.excluded_lots,
        insurance_used_ticklots=float(used[0]),
        rounds=rounds,
        is_exhausted=bool(exhausted),
    )
