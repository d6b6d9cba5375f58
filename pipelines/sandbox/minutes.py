"""From hours to minutes: candles of one minute each, whose volumes add up to those of their hours. Pure.

Belongs here: how an hour's figures are shared out among its minutes. Does not: prices by the minute and hourly candles
(``world.py``), a venue's share of them (``venue_market.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipelines.sandbox.world import Candles

MINUTE_MS = 60_000
MINUTES = 60

# Weights are whole numbers, so that sharing out is exact: an ordinary minute has about this one, give or take its stir.
ORDINARY_WEIGHT = 1_000


def shared_out(total: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of each hour's steps each of its minutes has.

    Parameters
    ----------
    total : int64[n_hours]
        Steps per hour, not negative.
    weight : int64[n_hours, 60]
        Positive.

    Returns
    -------
    int64[n_hours, 60]
        Not negative; every row adds up to the hour's total.
    """
    until = np.cumsum(weight, axis=1)
    given = total[:, None] * until // until[:, -1:]
    return np.diff(given, axis=1, prepend=0)


def minute_columns(
    prices: NDArray[np.float64], hours: Candles, weight: NDArray[np.int64], quantity_decimals: int
) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
    """Return the columns of `Candles` by the minute.

    Parameters
    ----------
    prices : float64[60 * n_hours + 1]
        Price at every minute's start, and at the end of the last one; a minute has no other prices.
    hours : Candles
        The hours, whole.
    weight : int64[60 * n_hours]
        How busy a minute is beside the others of its hour.
    quantity_decimals : int
        Volumes are whole steps of ``10**-quantity_decimals``.
    """
    opened, closed = prices[:-1], prices[1:]
    high, low = np.maximum(opened, closed), np.minimum(opened, closed)
    steps = 10**quantity_decimals
    total, bought = (np.round(v * steps).astype(np.int64) for v in (hours.volume_base, hours.taker_buy_base))
    traded = shared_out(total, weight.reshape(-1, MINUTES))
    # Of what was traded so far, the hour's share rounded down: no minute buys more than it trades.
    buys = np.diff(np.cumsum(traded, axis=1) * bought[:, None] // np.maximum(total, 1)[:, None], axis=1, prepend=0)
    volume = traded.reshape(-1) / steps
    return {
        "start_ms": (hours.start_ms[:, None] + MINUTE_MS * np.arange(MINUTES)).reshape(-1),
        "open_quote": opened,
        "high_quote": high,
        "low_quote": low,
        "close_quote": closed,
        "volume_base": volume,
        "volume_usd": np.round(volume * (high + low + closed) / 3.0, 4),
        "taker_buy_base": buys.reshape(-1) / steps,
        "trades_count": shared_out(hours.trades_count, weight.reshape(-1, MINUTES)).reshape(-1),
    }
