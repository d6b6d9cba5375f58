"""Estimated fuel, first cut: open interest spread over recent entry prices and a prior over leverage.

Belongs here: from one-sided open interest, traded prices and a `TierPrior` to fuel buckets. Does not: reading tables
(``frames.py``), venue formulas (``liquidation.py``), observed accounts (they will be their own origin).

This estimate is weak and says so in every row it feeds (``fuel_origin = estimated``, ``fuel_prior``): the weights are a
prior, entries are not emptied when the price crosses their liquidation price, and nothing here was fitted. It ranks days
and sides; it does not know levels (docs/cascade.md, section 4).
"""

from __future__ import annotations

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


def entries_of(typical_price_quote: F64, volume_base: F64) -> Entries:
    """Weigh hours by traded volume; where any volume is missing (NaN) or all are 0, every hour weighs the same.

    Parameters
    ----------
    typical_price_quote : float64[n_hours]
        (high + low + close) / 3, above 0, at least one hour.
    volume_base : float64[n_hours]
        NaN where missing: a missing volume is not a volume of 0.

    Raises
    ------
    ValueError
        Where there is no hour.
    """
    if typical_price_quote.size == 0:
        raise ValueError("typical_price_quote: no traded hour to place entries at")
    total = float(volume_base.sum())
    if np.isfinite(total) and total > 0:
        return Entries(typical_price_quote, volume_base / total, True)
    equal = np.full(typical_price_quote.size, 1.0 / typical_price_quote.size)
    return Entries(typical_price_quote, equal, False)


def lot_decimals(open_interest_base: float) -> int:
    """Return ``k`` such that a lot of ``10^-k`` base gives open interest about nine digits; at most 8 (the marts' step)."""
    return min(8, LOT_DIGITS - int(np.ceil(np.log10(open_interest_base))))


def estimate_fuel(
    open_interest_lots: int, entries: Entries, prior: TierPrior, side: PositionSide, mark_ticks: int
) -> Fuel:
    """Spread one-sided open interest over entries and tiers and return the buckets of one side.

    A position of leverage L entered at EP has the isolated margin EP/L, a liquidation price by the Binance formula with
    the tier's maintenance rate (cum 0) and a bankruptcy price ``EP (1 - d/L)``. Buckets share a bin of 5 bps of the mark:
    quantity summed, prices averaged by quantity, rounded to ticks.

    Parameters
    ----------
    open_interest_lots : int
        One side: the sum of longs equals the sum of shorts.
    entries : Entries
    prior : TierPrior
    side : {"long", "short"}
    mark_ticks : int
        Reference price; buckets already past it are kept here, the replay excludes and counts them.

    Returns
    -------
    Fuel
        Sorted by trigger price. Positions without a liquidation price (NaN) are left out.
    """
    d = 1.0 if side == "long" else -1.0
    leverage = np.array([t.leverage_x for t in prior.tiers])[:, None]
    weight = np.array([t.weight_frac for t in prior.tiers])[:, None]
    rate = np.array([t.maintenance_margin_rate_frac for t in prior.tiers])[:, None]
    entry = entries.price_quote[None, :]
    margin = entry / leverage
    trigger = binance_linear(d, entry, 1.0, margin, rate).ravel() * 10.0**TICK_DECIMALS
    bankruptcy = linear_bankruptcy(d, entry, 1.0, margin).ravel() * 10.0**TICK_DECIMALS
    quantity = (open_interest_lots * weight * entries.weight_frac[None, :]).ravel()
    has_price = np.isfinite(trigger) & np.isfinite(bankruptcy)
    return _binned(trigger[has_price], quantity[has_price], bankruptcy[has_price], mark_ticks)


def _binned(trigger: F64, quantity: F64, bankruptcy: F64, mark_ticks: int) -> Fuel:
    """Aggregate positions on a grid of prices. Sums run in the order of the input, so the same input gives the same bits."""
    width = mark_ticks * FUEL_BIN_BPS / 1e4
    _, place = np.unique(np.floor(trigger / width), return_inverse=True)
    total = np.bincount(place, weights=quantity)
    lots = np.rint(total).astype(np.int64)
    is_kept = lots > 0
    mean_trigger = np.rint(np.bincount(place, weights=quantity * trigger)[is_kept] / total[is_kept])
    mean_bankruptcy = np.rint(np.bincount(place, weights=quantity * bankruptcy)[is_kept] / total[is_kept])
    return Fuel(np.maximum(mean_trigger, 1.0), lots[is_kept], mean_bankruptcy)
