"""Depth of one side of a market: measured bands, the law beyond their reach, the prior where nothing was measured.

Belongs here: turning band sums into a curve ``D(u)`` and the curve into tabulated book rows. Does not: reading tables
(``frames.py``), what the rows do in a replay (``simulate.py``).

A band that the book did not reach is missing and never zero: it ends the reach of that book, and the law goes on from there.

References
----------
docs/cascade.md, section 3 ("Curve").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.cascade.params import (
    DEPTH_PRIOR,
    FAR_ROW_STEP_BPS,
    LEAST_DEPTH_COVERAGE_FRAC,
    MAX_UPWARD_SHOCK_FRAC,
    ROW_STEP_BPS,
    SCALED_DEPTH_NAME,
    DepthPrior,
    PositionSide,
)
from assets.cascade.simulate import Book

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BandCurve:
    """Depth of one captured book on one side: cumulative base quantity at growing distances, float64[n_bands] each."""

    distance_frac: tuple[float, ...]
    depth_base: tuple[float, ...]


@dataclass(frozen=True)
class SideDepth:
    """Depth of one side of an asset over its fuel venues.

    Parameters
    ----------
    curves : tuple of BandCurve
        One per captured book; their sum times `scale_x` is the depth of the side.
    scale_x : float
        1 / share of the fuel's open interest whose venues were measured.
    origin : {"measured", "prior"}
    prior : str or None
        Name of the assumption behind what was not measured; None where all fuel venues were.
    """

    curves: tuple[BandCurve, ...]
    scale_x: float
    origin: Literal["measured", "prior"]
    prior: str | None


def band_curve(bands: Sequence[tuple[float, float | None]]) -> BandCurve | None:
    """Return the curve of one book side.

    Parameters
    ----------
    bands : sequence of (band_bps, depth_base or None)
        Ascending distances. The first missing depth ends the reach.

    Returns
    -------
    BandCurve or None
        None where nothing usable was measured: no band, no depth within the reach, or a cumulative depth that decreases,
        which no book can show.
    """
    distances: list[float] = []
    depths: list[float] = []
    for band_bps, depth in bands:
        if depth is None:
            break
        if depths and depth < depths[-1]:
            return None
        distances.append(band_bps / 1e4)
        depths.append(depth)
    if not depths or depths[-1] <= 0:
        return None
    return BandCurve(tuple(distances), tuple(depths))


def side_depth(
    curves_by_venue: Mapping[str, Sequence[BandCurve]],
    open_interest_by_venue: Mapping[str, float],
    prior: DepthPrior = DEPTH_PRIOR,
) -> SideDepth:
    """Combine the measured books of the fuel's venues, or fall back to the prior.

    Books of venues without fuel are left aside: D and F cover the same venues. Where some fuel venues were not measured,
    depth is scaled by open-interest share and named so; where less than half of open interest was, the prior is used.

    Parameters
    ----------
    curves_by_venue : mapping
        Usable curves of one side per venue.
    open_interest_by_venue : mapping
        One-sided open interest of the fuel in base, above 0.
    """
    total = sum(open_interest_by_venue.values())
    measured = sorted(v for v in open_interest_by_venue if curves_by_venue.get(v))
    share = sum(open_interest_by_venue[v] for v in measured) / total
    if not measured or share < LEAST_DEPTH_COVERAGE_FRAC:
        depth = prior.share_of_open_interest_frac * total
        return SideDepth((BandCurve((prior.reach_frac,), (depth,)),), 1.0, "prior", prior.name)
    curves = tuple(curve for v in measured for curve in curves_by_venue[v])
    if len(measured) == len(open_interest_by_venue):
        return SideDepth(curves, 1.0, "measured", None)
    return SideDepth(curves, 1.0 / share, "measured", f"{SCALED_DEPTH_NAME}|measured={share:.2f}")


def depth_at(depth: SideDepth, move_frac: F64, impact_exponent_x: float) -> F64:
    """Return ``D(u)`` in base units, float64[n].

    Inside its reach a curve is linear between its bands and through the origin; beyond its reach ``u_r`` it follows
    ``D(u_r) (u/u_r)^(1/g)``.
    """
    total = np.zeros_like(move_frac)
    for curve in depth.curves:
        known_u = np.array((0.0, *curve.distance_frac))
        known_d = np.array((0.0, *curve.depth_base))
        reach, at_reach = known_u[-1], known_d[-1]
        beyond = at_reach * np.maximum(move_frac / reach, 1.0) ** (1.0 / impact_exponent_x)
        total += np.where(move_frac <= reach, np.interp(move_frac, known_u, known_d), beyond)
    return total * depth.scale_x


def row_moves(side: PositionSide) -> F64:
    """Return the moves ``u_j`` of the tabulated rows: every 5 bps, and beyond 100 % (upward only) every 100 bps.

    Each is the double nearest to its decimal figure, so that a shock of 1 % lies exactly on the row of 1 %.
    """
    near = np.arange(ROW_STEP_BPS, 10_000, ROW_STEP_BPS)
    if side == "long":
        return near / 1e4
    far = np.arange(10_000, int(MAX_UPWARD_SHOCK_FRAC * 1e4) + 1, FAR_ROW_STEP_BPS)
    return np.concatenate([near, far]) / 1e4


def book_rows(depth: SideDepth, side: PositionSide, impact_exponent_x: float, lot_base: float) -> Book:
    """Tabulate a side into book rows: relative price ``1 -+ u_j``, cumulative whole lots ``floor(D(u_j) / lot)``."""
    moves = row_moves(side)
    lots = np.floor(depth_at(depth, moves, impact_exponent_x) / lot_base)
    price = 1.0 - moves if side == "long" else 1.0 + moves
    return Book(price, lots.astype(np.int64))
