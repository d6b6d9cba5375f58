"""Order books around a price: tight at the touch, deep further out, thin in a crash.

Belongs here: how a book of one instant is drawn. Does not: how the price got there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile

# Reach of the whole book from the touch. A request for 1,000 levels may see less: that is what makes a band missing.
REACH_BPS = 650.0
# Levels crowd at the touch: 0 spaces them evenly, above 4 the first hundred fall on one tick.
CROWDING_X = 2.2
# Cumulative depth grows with distance to this power; 1 is a flat book.
DEPTH_POWER_X = 0.85


@dataclass(frozen=True)
class Book:
    """A book of one instant, nearest level first.

    `bids` and `asks` are float64[n_levels, 2] of price (quote) and quantity (base); bids fall, asks rise, and the best bid
    is below the best ask.
    """

    bids: NDArray[np.float64]
    asks: NDArray[np.float64]

    @property
    def mid_quote(self) -> float:
        """Mean of best bid and best ask."""
        return float((self.bids[0, 0] + self.asks[0, 0]) / 2)


def draw_book(profile: AssetProfile, price_ticks: int, survival_frac: float, rng: np.random.Generator) -> Book:
    """Draw a book around a price.

    Parameters
    ----------
    price_ticks : int
        Last price in ticks.
    survival_frac : float
        Share of ordinary depth that is left, 0 to 1; the spread widens as it falls.
    """
    half_spread = 1 + round(4.0 * (1.0 / survival_frac - 1.0))
    return Book(
        bids=_side(profile, price_ticks, -half_spread, survival_frac, rng),
        asks=_side(profile, price_ticks, half_spread, survival_frac, rng),
    )


def _side(
    profile: AssetProfile, price_ticks: int, first: int, survival_frac: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    n = profile.book_levels_count
    along = np.arange(1, n + 1) / n
    bps = REACH_BPS * np.expm1(CROWDING_X * along) / np.expm1(CROWDING_X)
    away = np.round(bps / 1e4 * price_ticks).astype(np.int64)
    # Levels must differ by a tick at least, also where a tick is coarse.
    away = np.maximum.accumulate(away - np.arange(n)) + np.arange(n)
    ticks = price_ticks + (first + away if first > 0 else first - away)
    reached = (away / price_ticks * 100.0) ** DEPTH_POWER_X
    usd = profile.depth_100bps_usd * survival_frac * np.diff(np.concatenate([[0.0], reached]))
    steps = 10**profile.quantity_decimals
    price = ticks / 10**profile.price_decimals
    quantity = np.maximum(1.0, np.round(usd * rng.gamma(2.0, 0.5, size=n) / price * steps)) / steps
    return np.column_stack([price, quantity])
