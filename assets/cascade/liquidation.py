"""Liquidation and bankruptcy prices, by the venues' own formulas.

Belongs here: pure formulas over numbers or arrays, and the tier that holds at liquidation. Does not: which tiers a venue
has (data), how positions are guessed (``fuel.py``).

Conventions. ``d = +1`` for long, ``-1`` for short (`direction`). Every price function takes numbers or arrays that
broadcast, and returns NaN where there is no liquidation price: a result that is not finite or not above 0. Nothing is
rounded to a venue's tick.

References
----------
docs/cascade.md, section 4. Binance USD-M: "Liquidation price" of the venue's futures help pages; Hyperliquid:
"Liquidations" of its documentation; Bybit: "Liquidation price (USDT contract)", isolated margin, legacy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MarginTier:
    """One maintenance tier: holds for position notionals in ``(floor, cap]``; `cum` is the maintenance amount in quote."""

    notional_floor: float
    notional_cap: float
    maintenance_margin_rate: float
    cum: float


def binance_linear(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quantity: npt.ArrayLike,
    wallet: npt.ArrayLike,
    maintenance_margin_rate: npt.ArrayLike,
    cum: npt.ArrayLike = 0.0,
) -> F64:
    """Return the liquidation price of a Binance USD-M one-way position, ``(WB + cum - d q EP) / (q (MMR - d))``.

    Parameters
    ----------
    direction, entry, quantity : array_like
        d, entry price (quote), base quantity above 0.
    wallet : array_like
        WB in quote; isolated: the position's own margin.
    maintenance_margin_rate, cum : array_like
        Of the tier at the liquidation notional (see `at_liquidation_tier`).
    """
    d, ep, q, wb, mmr, c = _arrays(direction, entry, quantity, wallet, maintenance_margin_rate, cum)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none((wb + c - d * q * ep) / (q * (mmr - d)))


def inverse(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quote_notional: npt.ArrayLike,
    wallet_base: npt.ArrayLike,
    maintenance_margin_rate: npt.ArrayLike,
    cum_base: npt.ArrayLike = 0.0,
) -> F64:
    """Return the liquidation price of a coin-margined position, ``Q (MMR + d) / (WB + cum + d Q/EP)``.

    `quote_notional` is Q in quote (contracts x contract value), `wallet_base` and `cum_base` are in coin. A 1x short has
    none (its losses and its margin move together), which comes out as NaN. Lots at liquidation are ``Q / l``.
    """
    d, ep, quote, wb, mmr, c = _arrays(direction, entry, quote_notional, wallet_base, maintenance_margin_rate, cum_base)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(quote * (mmr + d) / (wb + c + d * quote / ep))


def inverse_bankruptcy(
    direction: npt.ArrayLike, entry: npt.ArrayLike, quote_notional: npt.ArrayLike, wallet_base: npt.ArrayLike
) -> F64:
    """Return the price at which a coin-margined position has no equity, ``d Q / (WB + d Q/EP)``; NaN where none."""
    d, ep, quote, wb = _arrays(direction, entry, quote_notional, wallet_base)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(d * quote / (wb + d * quote / ep))


def linear_bankruptcy(
    direction: npt.ArrayLike, entry: npt.ArrayLike, quantity: npt.ArrayLike, wallet: npt.ArrayLike
) -> F64:
    """Return the price at which a linear position has no equity, ``EP - d WB/q``; NaN where it is not above 0."""
    d, ep, q, wb = _arrays(direction, entry, quantity, wallet)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(ep - d * wb / q)


def hyperliquid(
    direction: npt.ArrayLike,
    price: npt.ArrayLike,
    quantity: npt.ArrayLike,
    margin: npt.ArrayLike,
    max_leverage: npt.ArrayLike,
) -> F64:
    """Return Hyperliquid's liquidation price, ``px - d margin_available / q / (1 - m d)``.

    Parameters
    ----------
    direction, price, quantity : array_like
        d, the price at which `margin` is valued (entry for an isolated position), base quantity above 0.
    margin : array_like
        Isolated margin, or the account value for cross margin, in quote.
    max_leverage : array_like
        Of the asset: maintenance is half of the initial margin at it, so ``m = 1 / (2 max_leverage)``.
    """
    d, px, q, margin_, leverage = _arrays(direction, price, quantity, margin, max_leverage)
    with np.errstate(divide="ignore", invalid="ignore"):
        m = 0.5 / leverage
        available = margin_ - m * q * px
        return _or_none(px - d * available / q / (1.0 - m * d))


def bybit_linear_legacy(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quantity: npt.ArrayLike,
    initial_margin: npt.ArrayLike,
    maintenance_margin: npt.ArrayLike,
) -> F64:
    """Return Bybit's legacy isolated liquidation price, ``EP - d (IM - MM)/q``; both margins in quote."""
    d, ep, q, im, mm = _arrays(direction, entry, quantity, initial_margin, maintenance_margin)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(ep - d * (im - mm) / q)


def at_liquidation_tier(
    tiers: Sequence[MarginTier],
    notional: float,
    price_in_tier: Callable[[MarginTier], float],
    notional_at: Callable[[float], float],
) -> tuple[float, MarginTier] | None:
    """Return the liquidation price in the tier that holds at the liquidation notional, iterated.

    Parameters
    ----------
    tiers : sequence of MarginTier
        Ascending, contiguous; the last one also holds beyond its cap.
    notional : float
        Position notional at entry: where the iteration starts.
    price_in_tier : callable
        Liquidation price if that tier held; NaN where none.
    notional_at : callable
        Position notional at a price.

    Returns
    -------
    (price, tier) or None
        None where no tier gives a liquidation price. Where the iteration runs in a circle (only possible where `cum` does
        not make maintenance continuous, as on OKX), the tier of lower notional is taken: the position is liquidated at
        the first price at which any reading demands it.

    Raises
    ------
    ValueError
        Where `tiers` is empty.
    """
    if not tiers:
        raise ValueError("tiers: at least one maintenance tier is needed")
    place = _tier_of(tiers, notional)
    seen: list[int] = []
    while place not in seen:
        seen.append(place)
        price = price_in_tier(tiers[place])
        if not np.isfinite(price):
            return None
        place = _tier_of(tiers, notional_at(price))
    place = min(seen[seen.index(place) :])
    return price_in_tier(tiers[place]), tiers[place]


def _tier_of(tiers: Sequence[MarginTier], notional: float) -> int:
    for place, tier in enumerate(tiers):
        if notional <= tier.notional_cap:
            return place
    return len(tiers) - 1


def _arrays(*values: npt.ArrayLike) -> tuple[F64, ...]:
    return tuple(np.asarray(v, dtype=np.float64) for v in values)


def _or_none(price: F64) -> F64:
    """Replace what is no price (not finite, or not above 0) by NaN."""
    return np.where(np.isfinite(price) & (price > 0), price, np.nan)
