"""Estimated fuel, first cut: open interest spread over recent entry prices and a prior over leverage.

Belongs here: from one-sided open interest, traded prices and a `TierPrior` to fuel buckets. Does not: reading tables
(``frames.py``), venue formulas (``liquidation.py``), observed accounts (they will be their own origin).

This estimate is weak and says so in every row it feeds (``fuel_origin = estimated``, ``fuel_prior``): the weights are a
prior, entries are not emptied when the price crosses their liquidation price, and nothing here was fitted. It ranks days
and sides; it does not know levels (docs/cascade.md, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.cascade.liquidation import binance_linear, linear_bankruptcy
from assets.cascade.params import FUEL_BIN_BPS, LOT_DIGITS, TICK_DECIMALS, PositionSide, TierPrior
from assets.cascade.simulate import Fuel

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Entries:
    """Where open positions were entered: prices in quote and weights that sum to 1, float64[n_hours] each.

    `is_volume_weighted` is False where an hour's volume was missing and every hour weighs the same.
    """

    price_quote: F64
    weight_frac: F64
    is_volume_weighted: bool


@dataclass(frozen=True)
class FuelProfile:
    """Buckets of one side and how each tier is spread over them.

    `trigger_ticks`, `bankruptcy_ticks` are float64[n_buckets]; `profile_frac` is float64[n_windows, n_tiers, n_buckets]: the
    share of a tier's quantity in a bucket, summing to 1 where every position has a liquidation price.
    """

    trigger_ticks: F64
    bankruptcy_ticks: F64
    profile_frac: F64


def entries_of(typical_price_quote: F64, volume_base: F64, is_inside: npt.NDArray[np.bool_] | None = None) -> Entries:
    """Weigh hours by traded volume; where any volume is missing (NaN) or all are 0, every hour weighs the same.

    Parameters
    ----------
    typical_price_quote : float64[n_hours]
        (high + low + close) / 3, above 0, at least one hour.
    volume_base : float64[n_hours]
        NaN where missing: a missing volume is not a volume of 0.
    is_inside : bool[n_hours], optional
        Hours of the window; the others weigh nothing. At least one.

    Raises
    ------
    ValueError
        Where there is no hour.
    """
    if typical_price_quote.size == 0:
        raise ValueError("typical_price_quote: no traded hour to place entries at")
    inside = np.ones(typical_price_quote.size, dtype=np.bool_) if is_inside is None else is_inside
    volume = np.where(inside, volume_base, 0.0)
    total = float(volume.sum())
    if np.isfinite(total) and total > 0:
        return Entries(typical_price_quote, volume / total, True)
    return Entries(typical_price_quote, inside / inside.sum(), False)


def lot_decimals(open_interest_base: float) -> int:
    """Return ``k`` such that a lot of ``10^-k`` base gives open interest about nine digits; at most 8 (the marts' step)."""
    return min(8, LOT_DIGITS - int(np.ceil(np.log10(open_interest_base))))


def fuel_profile(windows: Sequence[Entries], prior: TierPrior, side: PositionSide, mark_ticks: int) -> FuelProfile:
    """Spread each tier over buckets, once per entry window.

    A position of leverage L entered at EP has the isolated margin EP/L, a liquidation price by the Binance formula with
    the tier's maintenance rate (cum 0) and a bankruptcy price ``EP (1 - d/L)``. Positions share a bin of 5 bps of the mark;
    its prices are averages under the prior's weights and the first window, rounded to ticks.

    Parameters
    ----------
    windows : sequence of Entries
        The same hours in each, other weights; the first one is the central estimate and the widest.
    prior : TierPrior
    side : {"long", "short"}
    mark_ticks : int
        Reference price; buckets already past it are kept here, the replay excludes and counts them.

    Returns
    -------
    FuelProfile
        Sorted by trigger price. Positions without a liquidation price (NaN) are left out.
    """
    d = 1.0 if side == "long" else -1.0
    leverage = np.array([t.leverage_x for t in prior.tiers])[:, None]
    rate = np.array([t.maintenance_margin_rate_frac for t in prior.tiers])[:, None]
    entry = windows[0].price_quote[None, :]
    margin = entry / leverage
    trigger = binance_linear(d, entry, 1.0, margin, rate) * 10.0**TICK_DECIMALS
    bankruptcy = linear_bankruptcy(d, entry, 1.0, margin) * 10.0**TICK_DECIMALS
    weight = np.array([t.weight_frac for t in prior.tiers])[:, None] * windows[0].weight_frac[None, :]
    is_kept = np.isfinite(trigger) & np.isfinite(bankruptcy) & (weight > 0)
    tier, hour = np.nonzero(is_kept)
    width = mark_ticks * FUEL_BIN_BPS / 1e4
    _, place = np.unique(np.floor(trigger[is_kept] / width), return_inverse=True)
    n_buckets = int(place.max()) + 1 if place.size else 0
    # Sums run in the order of the input, so the same input gives the same bits.
    total = np.bincount(place, weights=weight[is_kept], minlength=n_buckets)
    mean_trigger = np.bincount(place, weights=(weight * trigger)[is_kept], minlength=n_buckets) / total
    mean_bankruptcy = np.bincount(place, weights=(weight * bankruptcy)[is_kept], minlength=n_buckets) / total
    share = np.zeros((len(windows), len(prior.tiers), n_buckets))
    for e, window in enumerate(windows):
        np.add.at(share[e], (tier, place), window.weight_frac[hour])
    return FuelProfile(np.maximum(np.rint(mean_trigger), 1.0), np.rint(mean_bankruptcy), share)


def estimate_fuel(
    open_interest_lots: int, entries: Entries, prior: TierPrior, side: PositionSide, mark_ticks: int
) -> Fuel:
    """Spread one-sided open interest over entries and tiers and return the buckets of one side.

    Parameters
    ----------
    open_interest_lots : int
        One side: the sum of longs equals the sum of shorts.
    entries, prior, side, mark_ticks
        As for `fuel_profile`.

    Returns
    -------
    Fuel
        Sorted by trigger price; every tier's lots of a bucket are rounded down, as in every draw of the grid.
    """
    return central_fuel(fuel_profile([entries], prior, side, mark_ticks), open_interest_lots, prior)


def central_fuel(profile: FuelProfile, open_interest_lots: int, prior: TierPrior) -> Fuel:
    """Return the fuel of a profile under the prior's own weights and the first entry window."""
    part_lots = open_interest_lots * np.array([t.weight_frac for t in prior.tiers])
    lots = np.floor(part_lots[:, None] * profile.profile_frac[0]).astype(np.int64).sum(axis=0)
    return Fuel(profile.trigger_ticks, lots, profile.bankruptcy_ticks)
