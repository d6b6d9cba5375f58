"""From an order book to depth bands. Pure: no venue, no request, no clock.

Belongs here: the sums, what a missing band means, which bodies of books are kept. Does not: fetching the book (``binance.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

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


def rows_of(bids: Sequence[tuple[float, float]], asks: Sequence[tuple[float, float]]) -> list[dict[str, float | None]]:
    """Return a book's bands in the columns of the raw table; mean prices are not told of whole books.

    Raises
    ------
    BookFault
        As `mid_of`.
    """
    mid, bands = bands_of(bids, asks)
    return [_row(mid, b.band_bps, b.bid_depth_base, b.ask_depth_base) for b in bands]


def rows_of_none() -> list[dict[str, float | None]]:
    """Return the rows of a book that cannot be summed: without a mid, so that the raw table refuses them."""
    return [_row(None, bps, None, None) for bps in BANDS_BPS]


def _row(mid: float | None, bps: int, bid: float | None, ask: float | None) -> dict[str, float | None]:
    return {
        "mid_quote": mid,
        "band_bps": float(bps),
        "bid_depth_base": bid,
        "ask_depth_base": ask,
        "bid_mean_quote": None,
        "ask_mean_quote": None,
    }


class Sample:
    """Which books' bodies are kept: the first of each contract in every UTC hour.

    A row carries the hash of its book whether the body is kept or not. 200 contracts of four venues, looked at every minute,
    are 1.2 million bodies a day, some 70 GB; the sample is a sixtieth of them.
    """

    def __init__(self) -> None:
        self._hour: datetime | None = None
        self._taken: set[str] = set()

    def takes(self, symbol: str, at: datetime) -> bool:
        """Return whether the body of a contract's book is to be kept, and remember it."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._taken = hour, set()
        is_first = symbol not in self._taken
        self._taken.add(symbol)
        return is_first


def _within(levels: Sequence[tuple[float, float]], band_bps: int) -> float | None:
    """Return the quantity within a distance; `levels` are (relative distance, quantity), nearest first."""
    edge = band_bps / 1e4
    if levels[-1][0] < edge - EDGE_SLACK_FRAC:
        return None
    return math.fsum(q for away, q in levels if away <= edge + EDGE_SLACK_FRAC)
