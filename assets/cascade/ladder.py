"""Partial liquidation as a ladder: one bucket per step, each with its own price, quantity and bankruptcy price.

Belongs here: the venues' rules of which part of a position goes at each price, as whole lots. Does not: the prices
themselves (``liquidation.py``), the replay that triggers the buckets (``simulate.py``); a bucket does not know that its
neighbour belongs to the same position.

Assumptions. Each rung is filled at its trigger price, so equity is carried over and only maintenance falls; a rung's
bankruptcy price is that of all that was left of the position before it. Positions are isolated and linear. A position whose
rest can no longer fail keeps it (`Ladder.kept_lots`).

References
----------
docs/cascade.md, section 4. Binance: "Liquidation Protocols" (a position is first reduced and only then closed whole); that a
step is one tier is this project's reading, the page names no size. OKX: "Forced Partial or Full Liquidation" (tier 3 and
above: two tiers down per step, an older edition down to tier 1 at once; tiers 1 and 2: all at once). Bybit: "Liquidation
process" (an order for the excess over a lower risk limit, as Binance here). Hyperliquid documentation: "Liquidations"
(partial liquidations and their cooldown).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.cascade.lattice import refuse
from assets.cascade.liquidation import MarginTier, TierBasis, check_tiers, checked_lots, edge_jumps, linear_at_tier

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BINANCE_TIERS_PER_STEP = 1
OKX_TIERS_PER_STEP = 2

# Hyperliquid: of a position above 100,000 USDC a fifth goes first; within the next 30 seconds the whole rest.
HYPERLIQUID_PARTIAL_ABOVE_USD = 100_000.0
HYPERLIQUID_PARTIAL_FRAC = 0.2

# (trigger price, lots, tier, rung) of the positions that fail -> lots that remain of each.
_Rest = Callable[[F64, I64, I64, int], I64]


@dataclass(frozen=True)
class Positions:
    """Isolated linear positions of one contract, float64[n] each but for the lots.

    Parameters
    ----------
    direction : float64[n]
        +1 long, -1 short.
    entry_quote : float64[n]
    quantity_lots : int64[n]
        At least 0, together below 2^53.
    margin_quote : float64[n]
        Collateral of the position without its unrealised profit.
    """

    direction: F64
    entry_quote: F64
    quantity_lots: I64
    margin_quote: F64


@dataclass(frozen=True)
class Ladder:
    """Rungs, position by position and in the order in which the price reaches them.

    ``trigger_quote / tick``, `quantity_lots` and ``bankruptcy_quote / tick`` of one side are a lawful `lattice.Fuel`.
    Conservation, exact: a position's lots are the sum of its rungs and `kept_lots`.

    Parameters
    ----------
    position : int64[n_rungs]
        Place of the position that the rung belongs to.
    tier : int64[n_rungs]
        Tier (from 0) that demanded it.
    trigger_quote : float64[n_rungs]
    quantity_lots : int64[n_rungs]
        Above 0.
    bankruptcy_quote : float64[n_rungs]
        Not below 0: a long whose margin exceeds its worth is bankrupt at 0.
    kept_lots : int64[n_positions]
        What no price liquidates.
    """

    position: I64
    tier: I64
    trigger_quote: F64
    quantity_lots: I64
    bankruptcy_quote: F64
    kept_lots: I64


def tier_ladder(
    positions: Positions,
    tiers: Sequence[MarginTier],
    *,
    lot_base: float,
    tiers_per_step: int = BINANCE_TIERS_PER_STEP,
    basis: TierBasis = "notional",
    fee_rate: float = 0.0,
) -> Ladder:
    """Return the ladder of a venue that steps positions down its margin tiers.

    At a rung's price the position is cut to the cap of the tier `tiers_per_step` lower; where there is none that low, all
    of it goes. A short's notional grows as the price rises on, so it may meet the same tier again with a smaller rung.

    Parameters
    ----------
    positions : Positions
    tiers : sequence of MarginTier
        Under the basis ``notional`` maintenance must be continuous: a table that lacks its `cum` would cut a growing short
        lot by lot at the same edge (`tiers_with_cum` rebuilds it).
    lot_base : float
        Base quantity of a lot, above 0.
    tiers_per_step : int
        `BINANCE_TIERS_PER_STEP` or `OKX_TIERS_PER_STEP`.
    basis : {"notional", "quantity"}
        What the tiers measure; OKX counts contracts.
    fee_rate : float
        Part of the requirement, and charged on what is closed (OKX).

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    if tiers_per_step < 1:
        raise ValueError(f"tiers_per_step = {tiers_per_step}: at least one tier per step")
    check_tiers(tiers)
    cap = np.array([t.notional_cap for t in tiers])
    if basis == "notional":
        _refuse_jumps(tiers)

    def rest(price: F64, lots: I64, tier: I64, _: int) -> I64:
        lower = tier - tiers_per_step
        unit = lot_base * price if basis == "notional" else np.full_like(price, lot_base)
        within = np.floor(cap[np.maximum(lower, 0)] / unit)
        # A rung takes one lot at least: the price, and with it the cap in lots, is rounded.
        return np.where(lower < 0, 0, np.minimum(within, lots - 1)).astype(np.int64)

    return _climb_down(positions, tiers, rest, lot_base, basis, fee_rate)


def hyperliquid_ladder(positions: Positions, tiers: Sequence[MarginTier], *, lot_base: float) -> Ladder:
    """Return Hyperliquid's ladder: a fifth of a position above 100,000 USDC, then the whole rest; smaller ones at once.

    The second rung is the order of the cooldown (30 seconds), which a cascade outruns; a slower fall would cut another
    fifth. `tiers` are those of `tiers_with_cum`, with rates of half the initial margin at each tier's maximum leverage.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """

    def rest(price: F64, lots: I64, _: I64, rung: int) -> I64:
        is_large = lot_base * lots * price > HYPERLIQUID_PARTIAL_ABOVE_USD
        first = np.ceil(HYPERLIQUID_PARTIAL_FRAC * lots).astype(np.int64)
        return np.where(is_large & (rung == 0), lots - first, 0)

    return _climb_down(positions, tiers, rest, lot_base, "notional", 0.0)


def _climb_down(
    positions: Positions, tiers: Sequence[MarginTier], rest: _Rest, lot_base: float, basis: TierBasis, fee_rate: float
) -> Ladder:
    """Liquidate rung by rung until no position can fail; every rung takes at least one lot, so this ends."""
    if not (np.isfinite(lot_base) and lot_base > 0):
        raise ValueError(f"lot_base = {lot_base}: a lot must be finite and above 0")
    d, entry, lots, margin = _checked(positions)
    rungs: list[tuple[I64, I64, F64, I64, F64]] = []
    open_ = np.flatnonzero(lots > 0)
    while open_.size:
        base = lots[open_] * lot_base
        price, tier = linear_at_tier(d[open_], entry[open_], base, margin[open_], tiers, fee_rate=fee_rate, basis=basis)
        fails = tier >= 0
        open_, price, tier, base = open_[fails], price[fails], tier[fails], base[fails]
        sold = lots[open_] - rest(price, lots[open_], tier, len(rungs))
        bankruptcy = np.maximum(entry[open_] - d[open_] * margin[open_] / base, 0.0)
        rungs.append((open_, tier, price, sold, bankruptcy))
        lots[open_] -= sold
        margin[open_] += (d[open_] * (price - entry[open_]) - fee_rate * price) * sold * lot_base
        open_ = open_[lots[open_] > 0]
    columns = [np.concatenate(column) for column in zip(*rungs, strict=True)] if rungs else [np.empty(0)] * 5
    order = np.argsort(columns[0], kind="stable")
    position, tier, price, sold, bankruptcy = (column[order] for column in columns)
    return Ladder(position.astype(np.int64), tier.astype(np.int64), price, sold.astype(np.int64), bankruptcy, lots)


def _checked(positions: Positions) -> tuple[F64, F64, I64, F64]:
    """Return own copies; directions and entries are judged by the price formula."""
    lots = checked_lots("quantity_lots", positions.quantity_lots)
    d, entry, margin = (
        np.array(a, dtype=np.float64) for a in (positions.direction, positions.entry_quote, positions.margin_quote)
    )
    for field, values in (("direction", d), ("entry_quote", entry), ("quantity_lots", lots), ("margin_quote", margin)):
        if values.shape != (d.size,):
            raise ValueError(f"{field}: expected [{d.size}], got {list(values.shape)}")
    refuse("direction", np.abs(d) != 1, d, "must be +1 (long) or -1 (short)")
    refuse("entry_quote", ~(np.isfinite(entry) & (entry > 0)), entry, "a price must be finite and above 0")
    refuse("margin_quote", ~np.isfinite(margin), margin, "a margin must be finite")
    return d, entry, lots, margin


def _refuse_jumps(tiers: Sequence[MarginTier]) -> None:
    from_edge = np.array([0.0, *edge_jumps(tiers)])
    cum = np.array([t.cum for t in tiers])
    size = np.array([1.0, *(t.maintenance_margin_rate * t.notional_floor for t in tiers[1:])])
    # 1e-9 of maintenance: real tables are exact to 1e-15, a forgotten cum is off by half of it or more.
    refuse("tiers.cum", np.abs(from_edge) > 1e-9 * size, cum, "maintenance jumps at the tier's lower edge")
