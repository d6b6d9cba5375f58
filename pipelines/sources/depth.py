"""From an order book to depth bands. Pure: no venue, no request, no clock.

Belongs here: the sums and what a missing band means. Does not: fetching the book (``binance.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BANDS_BPS: tuple[int, ...] = (10, 25, 50, 100, 200, 300, 400, 500)

# Slack of a comparison with a band's edge, as a fraction of the mid: a level printed exactly on the edge lies inside,
# although (101 - 100) / 100 may miss 0.01 in binary. Far below a tick, far above the rounding error.
EDGE_SLACK_FRAC = 1e-12


@dataclass(frozen=True)
class Band:
    """Depth within `band_bps` of the mid; a side is None where the book was not seen that far, never 0 for that reason."""

    band_bps: int
    bid_depth_base: float | None
    ask_depth_base: float | None


class BookFault(ValueError):
    """A book that cannot be summed: a side empty, a price twice, a level that is no positive number, or the sides cross."""


def mid_of(bids: Sequence[tuple[float, float]], asks: Sequence[tuple[float, float]]) -> float:
    """Return the mean of best bid and best ask.

    Parameters
    ----------
    bids, asks : sequence of (price, quantity)
        Quote and base units, any order.

    Raises
    ------
    BookFault
        Where a side is empty, a price is not positive, a quantity negative, a number not finite, a price stands twice on a
        side, or the book is crossed.
    """
    if not bids or not asks:
        raise BookFault("a side of the book is empty")
    for price, quantity in (*bids, *asks):
        if not (math.isfinite(price) and math.isfinite(quantity) and price > 0 and quantity >= 0):
            raise BookFault(f"a level of the book is not a positive number: price {price}, quantity {quantity}")
    for side in (bids, asks):
        if len({price for price, _ in side}) < len(side):
            raise BookFault("a price stands twice on a side of the book")
    best_bid, best_ask = max(p for p, _ in bids), min(p for p, _ in asks)
    if best_bid >= best_ask:
        raise BookFault(f"the book is crossed: best bid {best_bid} is not below best ask {best_ask}")
    return (best_bid + best_ask) / 2


def bands_of(
    bids: Sequence[tuple[float, float]],
    asks: Sequence[tuple[float, float]],
    *,
    bands_bps: Iterable[int] = BANDS_BPS,
) -> tuple[float, list[Band]]:
    """Sum a book into bands on each side of the mid.

    Parameters
    ----------
    bids, asks : sequence of (price, quantity)
        Quote and base units, any order; an answer may be cut at a limit, so a band counts only where a level was seen at
        or beyond its edge.
    bands_bps : iterable of int
        Edges in basis points of the mid.

    Returns
    -------
    mid_quote : float
    bands : list of Band
        In the order of `bands_bps`. Sums are exact to the last bit in any order of the levels (``math.fsum``).

    Raises
    ------
    BookFault
        As `mid_of`.
    """
    mid = mid_of(bids, asks)
    down = sorted((((mid - p) / mid), q) for p, q in bids)
    up = sorted((((p - mid) / mid), q) for p, q in asks)
    return mid, [Band(b, _within(down, b), _within(up, b)) for b in bands_bps]


def _within(levels: Sequence[tuple[float, float]], band_bps: int) -> float | None:
    """Return the quantity within a distance; `levels` are (relative distance, quantity), nearest first."""
    edge = band_bps / 1e4
    if levels[-1][0] < edge - EDGE_SLACK_FRAC:
        return None
    return math.fsum(q for away, q in levels if away <= edge + EDGE_SLACK_FRAC)
