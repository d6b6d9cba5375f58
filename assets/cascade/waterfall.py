"""Who pays beyond the bankruptcy price: the insurance fund, then auto-deleveraging (ADL), then nobody.

Belongs here: the settlement of positions that were liquidated at once, on one side of one contract, and the queue of
counterparties. Does not: the replay in which a capped fund feeds back on the price, which positions fail (``ladder.py``),
how a book fills (``simulate.py``).

The order. Positions are settled in the order given (that of their triggers). Of each, first the lots that the book filled,
then those that it did not:

1. A filled lot at or better than the position's bankruptcy price is sold; worse, it is sold if the fund can pay the loss.
2. An unfilled lot is taken over by the fund at the bankruptcy price if the fund can pay its loss at the mark (0 where the
   mark is better).
3. What the fund cannot pay is closed against counterparties at the bankruptcy price: they forgo that loss.
4. What finds no counterparty is unabsorbed.

The fund pays whole lots, goes on to later positions with what it has left, and receives nothing back: where a position was
sold better than bankrupt, the rest of its margin is not counted.

References
----------
docs/cascade.md, sections 3 and 4. Binance: "What Is Auto-Deleveraging (ADL) and How Does It Work"; Bybit: "Auto-Deleveraging
(ADL) Mechanism"; BitMEX and OKX rank alike. Hyperliquid documentation: "Auto-deleveraging" (its own ranking, at the mark).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.cascade.lattice import refuse
from assets.cascade.liquidation import checked_lots, refuse_flat
from assets.cascade.params import POSITION_SIDES, PositionSide

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
AdlRule = Literal["ranked", "pro_rata"]


@dataclass(frozen=True)
class Liquidated:
    """Positions liquidated at once, in the order in which the fund meets them.

    Parameters
    ----------
    quantity_lots : int64[n]
        Forced lots, at least 0, together below 2^53.
    filled_lots : int64[n]
        What the book took of them.
    fill_ticks : float64[n]
        Average price of the filled lots; not read where none was filled.
    bankruptcy_ticks : float64[n]
        At least 0.
    """

    quantity_lots: I64
    filled_lots: I64
    fill_ticks: F64
    bankruptcy_ticks: F64


@dataclass(frozen=True)
class Counterparties:
    """Positions of the opposite side that may be deleveraged, in any order.

    Parameters
    ----------
    quantity_lots : int64[m]
        At least 0, together below 2^53.
    score : float64[m]
        Rank, the highest first (`adl_score`, or a venue's own).
    """

    quantity_lots: I64
    score: F64


@dataclass(frozen=True)
class Settlement:
    """What became of the forced lots and who paid.

    Identities. Exact, per position: ``quantity = sold + taken_over + adl + unabsorbed``. Exact: ``adl`` of positions and
    `counterparty_lots` have one sum. Money, in ticks x lots: the loss beyond bankruptcy prices is
    ``fund_paid + adl_loss + uncovered``.

    Parameters
    ----------
    sold_lots, taken_over_lots, adl_lots, unabsorbed_lots : int64[n]
    counterparty_lots : int64[m]
        Lots closed by ADL, by counterparty.
    fund_paid_ticklots, fund_left_ticklots, adl_loss_ticklots, uncovered_ticklots : float
    """

    sold_lots: I64
    taken_over_lots: I64
    adl_lots: I64
    unabsorbed_lots: I64
    counterparty_lots: I64
    fund_paid_ticklots: float
    fund_left_ticklots: float
    adl_loss_ticklots: float
    uncovered_ticklots: float


def adl_score(direction: npt.ArrayLike, entry: npt.ArrayLike, mark: npt.ArrayLike, bankruptcy: npt.ArrayLike) -> F64:
    """Return the usual queue's rank: profit share x effective leverage; for a loss, profit share / effective leverage.

    Profit share is ``d (mark - entry) / entry``, effective leverage ``mark / |mark - bankruptcy|``. `direction` is the
    counterparty's. Prices share one unit; a long that cannot go bankrupt has `bankruptcy` 0.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    d, ep, mp, bp = (np.asarray(a, dtype=np.float64) for a in (direction, entry, mark, bankruptcy))
    refuse_flat("direction", np.abs(d) != 1, d, "must be +1 (long) or -1 (short)")
    refuse_flat("entry", ~(np.isfinite(ep) & (ep > 0)), ep, "a price must be finite and above 0")
    refuse_flat("mark", ~(np.isfinite(mp) & (mp > 0)), mp, "a price must be finite and above 0")
    refuse_flat("bankruptcy", ~(np.isfinite(bp) & (bp >= 0)), bp, "a bankruptcy price must be finite and not negative")
    profit = d * (mp - ep) / ep
    distance = np.abs(mp - bp) / mp  # 1 / effective leverage; 0 where the position is bankrupt at the mark
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(profit > 0, np.maximum(profit, 0.0) / distance, profit * distance)


def deleverage(needed_lots: int, counterparties: Counterparties, rule: AdlRule = "ranked") -> I64:
    """Return how many lots each counterparty loses, int64[m], together ``min(needed, all there are)``.

    Parameters
    ----------
    needed_lots : int
        At least 0.
    counterparties : Counterparties
    rule : {"ranked", "pro_rata"}
        ``ranked``: by score, whole positions one after the other; equal scores by size, the largest first. ``pro_rata``: to
        each its share of the lots, rounded down; the lots left over one by one to the largest remainders, equal ones by
        score and size.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    if rule not in ("ranked", "pro_rata"):
        raise ValueError(f"rule = {rule!r}: must be ranked or pro_rata")
    if needed_lots < 0:
        raise ValueError(f"needed_lots = {needed_lots}: must not be negative")
    lots = checked_lots("counterparties.quantity_lots", counterparties.quantity_lots)
    score = _column("counterparties.score", counterparties.score, lots.size)
    refuse("counterparties.score", np.isnan(score), score, "a rank must be a number")
    total = int(lots.sum())
    needed = min(needed_lots, total)
    taken = np.zeros_like(lots)
    if rule == "ranked":
        order = np.lexsort((-lots, -score))
        before = np.cumsum(lots[order]) - lots[order]
        taken[order] = np.clip(needed - before, 0, lots[order])
    elif total:
        # Python integers: needed x lots does not fit 64 bits.
        parts = [divmod(needed * int(q), total) for q in lots]
        taken[:] = [whole for whole, _ in parts]
        share = np.array([remainder / total for _, remainder in parts])
        order = np.lexsort((-lots, -score, -share))
        taken[order[: needed - int(taken.sum())]] += 1
    return taken


def settle(
    liquidated: Liquidated,
    mark_ticks: float,
    side: PositionSide,
    fund_ticklots: float,
    counterparties: Counterparties,
    *,
    rule: AdlRule = "ranked",
) -> Settlement:
    """Pay for liquidated positions: fund first, then ADL.

    Parameters
    ----------
    liquidated : Liquidated
    mark_ticks : float
        Values what the book did not fill; above 0.
    side : {"long", "short"}
        Of the liquidated positions.
    fund_ticklots : float
        The fund's balance, at least 0.
    counterparties : Counterparties
    rule : {"ranked", "pro_rata"}

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index.
    """
    if side not in POSITION_SIDES:
        raise ValueError(f"side = {side!r}: must be long or short")
    if not (np.isfinite(mark_ticks) and mark_ticks > 0):
        raise ValueError(f"mark_ticks = {mark_ticks}: the mark must be finite and above 0")
    if not (np.isfinite(fund_ticklots) and fund_ticklots >= 0):
        raise ValueError(f"fund_ticklots = {fund_ticklots}: a balance must be finite and not negative")
    quantity, filled, fill, bankruptcy = _checked(liquidated)
    d = 1.0 if side == "long" else -1.0
    # Claims in the order of payment, [n, 2]: filled lots of a position, then its unfilled ones.
    claims = np.stack((filled, quantity - filled), axis=1)
    loss = np.maximum(d * (bankruptcy[:, None] - np.stack((fill, np.full_like(fill, mark_ticks)), axis=1)), 0.0)
    paid, left = _pay(claims, loss, float(fund_ticklots))
    unpaid = claims - paid
    closed = deleverage(int(unpaid.sum()), counterparties, rule)
    before = np.cumsum(unpaid).reshape(unpaid.shape) - unpaid
    adl = np.clip(int(closed.sum()) - before, 0, unpaid)
    return Settlement(
        sold_lots=paid[:, 0].copy(),
        taken_over_lots=paid[:, 1].copy(),
        adl_lots=adl.sum(axis=1),
        unabsorbed_lots=(unpaid - adl).sum(axis=1),
        counterparty_lots=closed,
        fund_paid_ticklots=float((paid * loss).sum()),
        fund_left_ticklots=left,
        adl_loss_ticklots=float((adl * loss).sum()),
        uncovered_ticklots=float(((unpaid - adl) * loss).sum()),
    )


def _pay(claims: I64, loss: F64, balance: float) -> tuple[I64, float]:
    """Return the lots that cost nothing or that the fund pays for, int64[n, 2], and its balance after."""
    paid = claims.copy()
    for place in np.argwhere((loss > 0) & (claims > 0)):
        at = (place[0], place[1])
        lots = int(min(float(claims[at]), balance // float(loss[at])))
        paid[at] = lots
        balance = max(balance - lots * float(loss[at]), 0.0)
    return paid, balance


def _checked(liquidated: Liquidated) -> tuple[I64, I64, F64, F64]:
    quantity = checked_lots("quantity_lots", liquidated.quantity_lots)
    filled = checked_lots("filled_lots", liquidated.filled_lots)
    _column("filled_lots", filled, quantity.size)
    refuse("filled_lots", filled > quantity, filled, "no more can be filled than was forced")
    fill = _column("fill_ticks", liquidated.fill_ticks, quantity.size)
    fill = np.where(filled > 0, fill, 0.0)
    refuse("fill_ticks", ~(np.isfinite(fill) & (fill >= 0)), fill, "a price must be finite and not negative")
    bankruptcy = _column("bankruptcy_ticks", liquidated.bankruptcy_ticks, quantity.size)
    is_bad = ~(np.isfinite(bankruptcy) & (bankruptcy >= 0))
    refuse("bankruptcy_ticks", is_bad, bankruptcy, "a bankruptcy price must be finite and not negative")
    return quantity, filled, fill, bankruptcy


def _column(field: str, values: npt.ArrayLike, size: int) -> F64:
    column = np.array(values, dtype=np.float64)
    if column.shape != (size,):
        raise ValueError(f"{field}: expected [{size}], got {list(column.shape)}")
    return column
