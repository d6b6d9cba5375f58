"""Liquidation and bankruptcy prices, by the venues' own formulas, and the margin tiers that they depend on.

Belongs here: pure formulas over numbers or arrays, tables of tiers, and the tier that holds at liquidation. Does not: which
tiers a venue has (data), liquidation in steps (``ladder.py``), lending (``lending.py``), how positions are guessed
(``fuel.py``).

Conventions. ``d = +1`` for long, ``-1`` for short (`direction`). Every price function takes numbers or arrays that
broadcast, and returns NaN where there is no liquidation price: a result that is not finite or not above 0. A NaN argument
is an unknown and gives NaN; a lawless one (direction 0, negative quantity) is refused. Nothing is rounded to a venue's tick.
Fees of closing are left out unless a formula names them.

References
----------
docs/cascade.md, section 4. Binance: "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts" and "... of COIN-M
Futures Contracts", "Leverage and Margin of USDⓈ-M Futures". Bybit: "Liquidation Price (USDT Contract)" (isolated, legacy),
"Liquidation Price Calculation under Isolated Mode (Unified Trading Account)". OKX: "Tiered
maintenance margin ratio rules" (isolated margin) and "Position tiers". Hyperliquid documentation: "Liquidations", "Margin tiers".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.cascade.lattice import refuse
from assets.cascade.params import MAX_EXACT_LOTS

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# What a table's floors and caps measure: the position's notional at the mark (Binance, Bybit, Hyperliquid), or its quantity
# whatever the price (OKX counts contracts).
TierBasis = Literal["notional", "quantity"]

# Below this share of maintenance Hyperliquid's backstop takes the position over with all its margin ("Liquidations").
HYPERLIQUID_BACKSTOP_SHARE_FRAC = 2.0 / 3.0


@dataclass(frozen=True)
class MarginTier:
    """One maintenance tier: holds for position sizes in ``(floor, cap]``; `cum` is the maintenance amount.

    Sizes and `cum` are in the margin's currency: quote for linear contracts, coin for inverse ones. Where a venue counts
    contracts, floor and cap are base quantities (`TierBasis`).
    """

    notional_floor: float
    notional_cap: float
    maintenance_margin_rate: float
    cum: float


# --- prices -----------------------------------------------------------------------------------------------------------------


def binance_linear(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quantity: npt.ArrayLike,
    wallet: npt.ArrayLike,
    maintenance_margin_rate: npt.ArrayLike,
    cum: npt.ArrayLike = 0.0,
    *,
    other_maintenance: npt.ArrayLike = 0.0,
    other_profit: npt.ArrayLike = 0.0,
) -> F64:
    """Return the liquidation price of a Binance USD-M one-way position, ``(WB + cum - d q EP) / (q (MMR - d))``.

    Parameters
    ----------
    direction, entry, quantity : array_like
        d, entry price (quote), base quantity above 0.
    wallet : array_like
        WB in quote; isolated: the position's own margin; cross: the wallet balance.
    maintenance_margin_rate, cum : array_like
        Of the tier at the liquidation notional (see `linear_at_tier`).
    other_maintenance, other_profit : array_like
        Cross only: maintenance and unrealised profit of the account's other contracts, in quote, held fixed.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    d, ep, q, mmr = _position(direction, entry, quantity, maintenance_margin_rate)
    wb, c, other, profit = _arrays(wallet, cum, other_maintenance, other_profit)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none((wb - other + profit + c - d * q * ep) / (q * (mmr - d)))


def okx_linear(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quantity: npt.ArrayLike,
    margin: npt.ArrayLike,
    maintenance_margin_rate: npt.ArrayLike,
    taker_fee_rate: npt.ArrayLike,
) -> F64:
    """Return the price of an OKX isolated linear position, ``(M - d q EP) / (q (MMR + fee - d))``.

    There the margin ratio ``(M + profit) / (q p (MMR + fee))`` is 100 %. `margin` is M in quote, `quantity` is contracts x
    contract value; OKX's tiers have no `cum`.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    (fee,) = _arrays(taker_fee_rate)
    refuse_flat("taker_fee_rate", (fee < 0) | (fee >= 1), fee, "a fee rate must be inside [0, 1)")
    (rate,) = _arrays(maintenance_margin_rate)
    return binance_linear(direction, entry, quantity, margin, rate + fee)


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
    none (its losses and its margin move together), which comes out as NaN. Lots at liquidation are ``Q / l``. Binance
    COIN-M; Bybit's unified account, isolated, with its maintenance deduction as `cum_base`; OKX with its fee in the rate.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    d, ep, quote, mmr = _position(direction, entry, quote_notional, maintenance_margin_rate, "quote_notional")
    wb, c = _arrays(wallet_base, cum_base)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(quote * (mmr + d) / (wb + c + d * quote / ep))


def inverse_bankruptcy(
    direction: npt.ArrayLike, entry: npt.ArrayLike, quote_notional: npt.ArrayLike, wallet_base: npt.ArrayLike
) -> F64:
    """Return the price at which a coin-margined position has no equity, ``d Q / (WB + d Q/EP)``; NaN where none."""
    d, ep, quote, _ = _position(direction, entry, quote_notional, 0.0, "quote_notional")
    (wb,) = _arrays(wallet_base)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(d * quote / (wb + d * quote / ep))


def linear_bankruptcy(
    direction: npt.ArrayLike, entry: npt.ArrayLike, quantity: npt.ArrayLike, wallet: npt.ArrayLike
) -> F64:
    """Return the price at which a linear position has no equity, ``EP - d WB/q``; NaN where it is not above 0.

    For a Hyperliquid position give the price at which its margin is valued in place of the entry.
    """
    d, ep, q, _ = _position(direction, entry, quantity, 0.0)
    (wb,) = _arrays(wallet)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(ep - d * wb / q)


def hyperliquid(
    direction: npt.ArrayLike,
    price: npt.ArrayLike,
    quantity: npt.ArrayLike,
    margin: npt.ArrayLike,
    max_leverage: npt.ArrayLike,
    *,
    deduction: npt.ArrayLike = 0.0,
    other_maintenance: npt.ArrayLike = 0.0,
    maintenance_share: npt.ArrayLike = 1.0,
) -> F64:
    """Return Hyperliquid's liquidation price, ``px - d margin_available / q / (1 - m d)``.

    Parameters
    ----------
    direction, price, quantity : array_like
        d, the price at which `margin` is valued (entry for an isolated position), base quantity above 0.
    margin : array_like
        Isolated margin, or the account value for cross margin, in quote.
    max_leverage : array_like
        Of the tier: maintenance is half of the initial margin at it, so ``m = 1 / (2 max_leverage)``.
    deduction : array_like
        The tier's maintenance deduction in quote, the `cum` of `tiers_with_cum`.
    other_maintenance : array_like
        Cross only: maintenance of the account's other positions in quote, held fixed as the venue's own page does.
    maintenance_share : array_like
        1 for the first market order, `HYPERLIQUID_BACKSTOP_SHARE_FRAC` for the price at which the backstop takes over.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    (leverage,) = _arrays(max_leverage)
    refuse_flat("max_leverage", leverage < 1, leverage, "a maximum leverage must be at least 1")
    d, px, q, m = _position(direction, price, quantity, 0.5 / leverage, price_field="price")
    margin_, cut, other, share = _arrays(margin, deduction, other_maintenance, maintenance_share)
    refuse_flat("maintenance_share", (share <= 0) | (share > 1), share, "a share of maintenance must be inside (0, 1]")
    with np.errstate(divide="ignore", invalid="ignore"):
        available = margin_ - share * (m * q * px - cut + other)
        return _or_none(px - d * available / q / (1.0 - share * m * d))


def bybit_linear_legacy(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quantity: npt.ArrayLike,
    initial_margin: npt.ArrayLike,
    maintenance_margin: npt.ArrayLike,
) -> F64:
    """Return Bybit's legacy isolated liquidation price, ``EP - d (IM - MM)/q``; both margins in quote, valued at entry."""
    d, ep, q, _ = _position(direction, entry, quantity, 0.0)
    im, mm = _arrays(initial_margin, maintenance_margin)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _or_none(ep - d * (im - mm) / q)


# --- tiers ------------------------------------------------------------------------------------------------------------------


def tiers_with_cum(caps: npt.ArrayLike, maintenance_margin_rates: npt.ArrayLike) -> tuple[MarginTier, ...]:
    """Return tiers whose `cum` makes maintenance continuous: ``cum_n = cum_(n-1) + floor_n (MMR_n - MMR_(n-1))``.

    The rule by which Binance ("maintenance amount") and Hyperliquid ("maintenance deduction") make their own tables. Both
    arguments are float64[n_tiers], ascending; the first tier starts at 0.

    Raises
    ------
    ValueError
        Where the tiers are lawless; names the field and the first offending index.
    """
    cap, rate = (np.atleast_1d(a) for a in _arrays(caps, maintenance_margin_rates))
    if cap.shape != rate.shape or cap.ndim != 1:
        raise ValueError(f"caps: {cap.size} caps against {rate.size} maintenance_margin_rates")
    floor = np.concatenate(([0.0], cap[:-1]))
    cum = np.cumsum(floor * np.diff(rate, prepend=0.0))
    tiers = tuple(MarginTier(*row) for row in zip(*(a.tolist() for a in (floor, cap, rate, cum)), strict=True))
    check_tiers(tiers)
    return tiers


def check_tiers(tiers: Sequence[MarginTier]) -> None:
    """Refuse a lawless table: tiers start at 0, touch, ascend in cap and rate, and have a finite `cum` of at least 0.

    Maintenance need not be continuous (OKX has no `cum`, and two tables of a real file lack it): see `edge_jumps`.

    Raises
    ------
    ValueError
        Names the field and the first offending tier.
    """
    floor, cap, rate, cum = _columns(tiers)
    expected = np.concatenate(([0.0], cap[:-1]))
    refuse(
        "tiers.notional_floor", floor != expected, floor, "a tier starts where the one before it ends, the first at 0"
    )
    refuse("tiers.notional_cap", ~(cap > floor), cap, "a cap must be above its floor")
    is_bad = ~((rate > 0) & (rate < 1)) | (np.diff(rate, prepend=0.0) < 0)
    refuse("tiers.maintenance_margin_rate", is_bad, rate, "rates must be inside (0, 1) and not fall")
    refuse("tiers.cum", ~((cum >= 0) & np.isfinite(cum)), cum, "a maintenance amount must be finite and not negative")


def edge_jumps(tiers: Sequence[MarginTier]) -> F64:
    """Return how far maintenance jumps from each tier to the next at their edge, float64[n_tiers - 1]; 0: continuous."""
    _, cap, rate, cum = _columns(tiers)
    jumps: F64 = (rate[1:] * cap[:-1] - cum[1:]) - (rate[:-1] * cap[:-1] - cum[:-1])
    return jumps


def tier_of(tiers: Sequence[MarginTier], size: npt.ArrayLike) -> I64:
    """Return the place of the tier that holds for each size; the last one also holds beyond its cap."""
    _, cap, _, _ = _columns(tiers)
    return np.minimum(np.searchsorted(cap, _arrays(size)[0], side="left"), cap.size - 1).astype(np.int64)


def maintenance_margin(tiers: Sequence[MarginTier], notional: npt.ArrayLike) -> F64:
    """Return ``MMR n - cum`` of the tier that holds at each notional, in the currency of the notional."""
    _, _, rate, cum = _columns(tiers)
    (n,) = _arrays(notional)
    place = tier_of(tiers, n)
    margin: F64 = rate[place] * n - cum[place]
    return margin


def linear_at_tier(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quantity: npt.ArrayLike,
    wallet: npt.ArrayLike,
    tiers: Sequence[MarginTier],
    *,
    fee_rate: float = 0.0,
    basis: TierBasis = "notional",
) -> tuple[F64, I64]:
    """Return the liquidation price of linear positions and the tier that holds there.

    Parameters
    ----------
    direction, entry, quantity, wallet : array_like
        As in `binance_linear`; they broadcast to the shape of the results.
    tiers : sequence of MarginTier
        One table for all positions.
    fee_rate : float
        Added to every rate (OKX).
    basis : {"notional", "quantity"}
        What floors and caps measure.

    Returns
    -------
    price : float64[...]
        NaN where there is none.
    tier : int64[...]
        Place in `tiers`; -1 where there is no price.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.

    Notes
    -----
    No iteration from the tier at entry: for each tier the stretch of prices at which it holds is known, so the price is the
    first one, coming from the healthy side, at which the tier that holds there demands liquidation. With continuous
    maintenance this is the one root; where maintenance jumps, a short whose notional grows into a stricter tier is
    liquidated at the edge itself.
    """
    if basis not in ("notional", "quantity"):
        raise ValueError(f"basis = {basis!r}: must be notional or quantity")
    check_tiers(tiers)
    floor, cap, rate, cum = _columns(tiers)
    d, ep, q, wb = np.broadcast_arrays(*_arrays(direction, entry, quantity, wallet))
    down = (-1, *([1] * d.ndim))
    floor, cap, rate, cum = (a.reshape(down) for a in (floor, cap, rate, cum))
    price = binance_linear(d, ep, q, wb, rate + fee_rate, cum)
    if basis == "quantity":
        holds = tier_of(tiers, q) == np.arange(len(tiers)).reshape(down)
        return _first_demand(d, np.where(holds, price, np.nan), np.zeros_like(price), np.full_like(price, np.inf))
    with np.errstate(divide="ignore", invalid="ignore"):
        lowest, highest = floor / q, _open_end(cap) / q
    return _first_demand(d, price, lowest, highest)


def inverse_at_tier(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quote_notional: npt.ArrayLike,
    wallet_base: npt.ArrayLike,
    tiers: Sequence[MarginTier],
) -> tuple[F64, I64]:
    """Return price and tier of coin-margined positions; as `linear_at_tier`, with tiers and `cum` in coin (Binance COIN-M).

    The coin notional ``Q / p`` grows as the price falls: here it is the long that may be liquidated at an edge.
    """
    check_tiers(tiers)
    floor, cap, rate, cum = _columns(tiers)
    d, ep, quote, wb = np.broadcast_arrays(*_arrays(direction, entry, quote_notional, wallet_base))
    down = (-1, *([1] * d.ndim))
    floor, cap, rate, cum = (a.reshape(down) for a in (floor, cap, rate, cum))
    price = inverse(d, ep, quote, wb, rate, cum)
    with np.errstate(divide="ignore", invalid="ignore"):
        lowest, highest = quote / _open_end(cap), quote / floor
    return _first_demand(d, price, lowest, highest)


def _first_demand(d: F64, price: F64, lowest: F64, highest: F64) -> tuple[F64, I64]:
    """Return the first price, coming from the healthy side, at which the tier that holds demands liquidation.

    All but `d` are [n_tiers, ...]: a tier holds from `lowest` to `highest`; there it demands a long's liquidation at and
    below `price`, a short's at and above it.
    """
    is_long = d > 0
    with np.errstate(invalid="ignore"):
        first = np.where(is_long, np.minimum(price, highest), np.maximum(price, lowest))
        is_demanded = np.where(is_long, price > lowest, price <= highest)
    rank = np.where(is_demanded, d * first, -np.inf)
    tier = rank.argmax(axis=0)
    best = np.take_along_axis(rank, tier[None], axis=0)[0]
    has_price = best > -np.inf
    return np.where(has_price, d * best, np.nan), np.where(has_price, tier, -1).astype(np.int64)


def _open_end(cap: F64) -> F64:
    """Return the caps with the last one lifted: the last tier also holds beyond it."""
    lifted = cap.copy()
    lifted[-1] = np.inf
    return lifted


def _columns(tiers: Sequence[MarginTier]) -> tuple[F64, F64, F64, F64]:
    if not tiers:
        raise ValueError("tiers: at least one maintenance tier is needed")
    table = np.array([(t.notional_floor, t.notional_cap, t.maintenance_margin_rate, t.cum) for t in tiers], dtype=float)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


# --- arguments --------------------------------------------------------------------------------------------------------------


def _position(
    direction: npt.ArrayLike,
    entry: npt.ArrayLike,
    quantity: npt.ArrayLike,
    rate: npt.ArrayLike,
    quantity_field: str = "quantity",
    price_field: str = "entry",
) -> tuple[F64, F64, F64, F64]:
    """Return what every position has, as arrays; comparisons let NaN pass, it comes out as no price."""
    d, ep, q, mmr = _arrays(direction, entry, quantity, rate)
    refuse_flat("direction", np.abs(d) != 1, d, "must be +1 (long) or -1 (short)")
    refuse_flat(price_field, ep <= 0, ep, "a price must be above 0")
    refuse_flat(quantity_field, q < 0, q, "a position's size must not be negative; its side is `direction`")
    refuse_flat("maintenance_margin_rate", (mmr < 0) | (mmr >= 1), mmr, "a maintenance rate must be inside [0, 1)")
    return d, ep, q, mmr


def refuse_flat(field: str, is_bad: npt.ArrayLike, values: F64, why: str) -> None:
    """Raise as `lattice.refuse` does, for numbers and arrays of any shape; the index is that of the flattened array."""
    refuse(field, np.ravel(is_bad), np.ravel(values), why)


def checked_lots(field: str, values: npt.ArrayLike) -> I64:
    """Return an own int64[n] of whole lots, at least 0 and together below 2^53.

    Raises
    ------
    ValueError
        Where they are not; names the field and the first offending index.
    """
    given = np.array(values)
    if given.ndim != 1:
        raise ValueError(f"{field}: expected one dimension, got {given.ndim}")
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{field}: lots are whole numbers, got {given.dtype}")
    lots = given.astype(np.int64)
    refuse(field, lots < 0, lots, "a quantity must not be negative")
    total = np.cumsum(lots.astype(np.float64))
    refuse(field, total >= MAX_EXACT_LOTS, lots, "quantities must stay below 2^53 lots; use larger lots")
    return lots


def _arrays(*values: npt.ArrayLike) -> tuple[F64, ...]:
    return tuple(np.asarray(v, dtype=np.float64) for v in values)


def _or_none(price: F64) -> F64:
    """Replace what is no price (not finite, or not above 0) by NaN."""
    return np.where(np.isfinite(price) & (price > 0), price, np.nan)
