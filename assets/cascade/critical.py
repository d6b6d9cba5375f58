"""Critical shocks and branching ratios: read off the curve ``u*(s)`` and off fuel and depth.

Belongs here: the definitions of section 3 on a grid. Does not: the replays that give the curve (``simulate.py``).

References
----------
docs/cascade.md, section 3 ("Critical shock").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.cascade.lattice import Book, Fuel, prefix_sums, prepare
from assets.cascade.params import BRANCHING_WINDOW_BPS, CriticalRule, PositionSide

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CriticalShock:
    """Least soft and jump shocks found on a grid; None means censored: there is none up to the grid's end."""

    soft_shock_frac: float | None
    jump_shock_frac: float | None


def critical_shock(shock_frac: F64, move_frac: F64, forced_frac: F64, rule: CriticalRule) -> CriticalShock:
    """Find ``s_soft`` and ``s_jump`` on a grid of shocks.

    Parameters
    ----------
    shock_frac, move_frac, forced_frac : float64[n]
        Ascending shocks ``s``, where they end ``u*(s)``, share of one-sided open interest that they force.
    rule : CriticalRule
        Least shock, least gain and least forced share that are reported.

    Notes
    -----
    ``s_soft`` is the least ``s`` with ``u* - s >= max(s, gain)``. ``s_jump`` is the least ``s`` whose ``u*`` exceeds that
    of the grid point before by the gain *and* the step: on a fine grid only a jump of the curve does that.
    """
    is_reported = (shock_frac >= rule.least_shock_frac) & (forced_frac >= rule.least_forced_frac)
    is_soft = is_reported & (move_frac - shock_frac >= np.maximum(shock_frac, rule.least_gain_frac))
    rise = np.diff(move_frac, prepend=np.nan)
    step = np.diff(shock_frac, prepend=np.nan)
    is_jump = is_reported & (rise - step >= rule.least_gain_frac)  # NaN at the first point compares false
    return CriticalShock(_first(shock_frac, is_soft), _first(shock_frac, is_jump))


def max_branching(
    mark_ticks: float,
    book: Book,
    fuel: Fuel,
    *,
    side: PositionSide,
    depth_survival_frac: float,
    sold_share_frac: float,
    max_move_frac: float,
) -> float:
    """Return the largest branching ratio ``n(u) = phi dF / (W dD)`` over windows of 50 bps up to `max_move_frac`.

    A window in which the book grows by nothing is joined with the next one, so that the ratio stays finite; fuel beyond
    the last row that grows has no ratio. 0 where there is no fuel.
    """
    lattice = prepare(mark_ticks, book, fuel, side)
    windows = round(max_move_frac * 1e4 / BRANCHING_WINDOW_BPS)
    moves = np.arange(1, windows + 1) * BRANCHING_WINDOW_BPS / 1e4
    marks = lattice.mark * (1.0 - lattice.direction * moves)
    sold = prefix_sums(lattice, sold_share_frac)[1]
    burnt = sold[np.searchsorted(-lattice.triggers, -marks, side="right")]
    rows = np.searchsorted(-(lattice.mark * lattice.relative_price), -marks, side="right")
    depth = np.concatenate([[0], lattice.cumulative_lots])[rows]
    largest, burnt_before, depth_before = 0.0, 0, 0
    for f, d in zip(burnt.tolist(), depth.tolist(), strict=True):
        if d == depth_before:
            continue
        largest = max(largest, (f - burnt_before) / (depth_survival_frac * (d - depth_before)))
        burnt_before, depth_before = f, d
    return largest


def _first(values: F64, mask: npt.NDArray[np.bool_]) -> float | None:
    places = np.flatnonzero(mask)
    return float(values[places[0]]) if places.size else None
