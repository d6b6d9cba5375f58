"""The world as one venue trades it: its share of volume, positions and books, its small distance in price.

Belongs here: what differs between venues that trade the same assets. Does not: the market itself (``world.py``), a venue's
wire format (``wire_*.py``). Binance is the world as it is; the others are cut from it, so that all venues crash in one hour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.books import Book
from pipelines.sandbox.profiles import AssetProfile, stream
from pipelines.sandbox.world import Candles, Funding, OpenInterest, World


@dataclass(frozen=True)
class Share:
    """What a venue has of the world.

    Parameters
    ----------
    size_frac : float
        Its volume, open interest and depth over Binance's.
    widest_bps : float
        Prices stand within this distance from Binance's, one fixed distance per asset.
    funding_hours : int
        Hours between settlements.
    """

    size_frac: float
    widest_bps: float
    funding_hours: int


SHARES: dict[str, Share] = {
    "binance": Share(1.0, 0.0, 8),
    "bybit": Share(0.55, 3.0, 8),
    "okx": Share(0.40, 3.0, 8),
    "hyperliquid": Share(0.25, 5.0, 1),
}


class VenueMarket:
    """A world through one venue; it answers the same questions as `World` (shapes and units there).

    Parameters
    ----------
    world : World
        The market.
    venue : str
        A key of `SHARES`.
    """

    def __init__(self, world: World, venue: str) -> None:
        self.world, self.venue, self.share = world, venue, SHARES[venue]
        self.assets, self.start, self.end = world.assets, world.start, world.end
        self.first_day, self.last_day = world.first_day, world.last_day

    def profile(self, asset: str) -> AssetProfile:
        """Return the asset's steps and level; sizes in it are the world's."""
        return self.world.profile(asset)

    def price(self, asset: str, at: datetime) -> float:
        """Return the last price at the start of an instant's minute."""
        return float(self._moved(asset, np.array([self.world.price(asset, at)]))[0])

    def candles(self, asset: str) -> Candles:
        """Return the hourly candles of every day that the market shows."""
        return self._own(asset, self.world.candles(asset))

    def open_candle(self, asset: str, at: datetime) -> Candles | None:
        """Return the hour of an instant as far as it has run, or None where the market does not show that hour."""
        running = self.world.open_candle(asset, at)
        return None if running is None else self._own(asset, running)

    def funding(self, asset: str) -> Funding:
        """Return the settlements of every day shown, at the venue's interval."""
        funding = self.world.funding(asset, self.share.funding_hours)
        if self.share.widest_bps == 0:
            return funding
        rng = stream(self.world.seed, self.venue, asset, "funding")
        lean = 1.0 + 0.1 * rng.standard_normal()
        return Funding(
            funding.settled_ms,
            np.round(funding.rate_frac * lean, 8),
            self._moved(asset, funding.mark_quote, decimals=8),
        )

    def open_interest(self, asset: str) -> OpenInterest:
        """Return one-sided open interest at the start of every hour shown."""
        series = self.world.open_interest(asset)
        if self.share.size_frac == 1:
            return series
        base = self._sized(asset, series.open_interest_base)
        opens = self.candles(asset).open_quote
        return OpenInterest(series.at_ms, base, np.round(base * opens, 4))

    def book(self, asset: str, at: datetime) -> Book:
        """Return the whole order book at an instant; the same minute gives the same book."""
        book = self.world.book(asset, at)
        step = 10.0 ** -self.profile(asset).quantity_decimals

        def own(side: NDArray[np.float64]) -> NDArray[np.float64]:
            quantity = np.maximum(step, self._sized(asset, side[:, 1]))
            return np.column_stack([self._moved(asset, side[:, 0]), quantity])

        return Book(own(book.bids), own(book.asks))

    # -- from the world's figures -------------------------------------------------------------------------------------

    def _own(self, asset: str, candles: Candles) -> Candles:
        if self.share.size_frac == 1:
            return candles
        opened, high, low, close = (
            self._moved(asset, getattr(candles, f"{name}_quote")) for name in ("open", "high", "low", "close")
        )
        volume = self._sized(asset, candles.volume_base)
        return replace(
            candles,
            open_quote=opened,
            high_quote=high,
            low_quote=low,
            close_quote=close,
            volume_base=volume,
            volume_usd=np.round(volume * (high + low + close) / 3.0, 4),
            taker_buy_base=np.minimum(volume, self._sized(asset, candles.taker_buy_base)),
            trades_count=(candles.trades_count * self.share.size_frac).astype(np.int64) + 1,
        )

    def _moved(self, asset: str, prices: NDArray[np.float64], decimals: int | None = None) -> NDArray[np.float64]:
        """Return prices at the venue's distance, on its grid."""
        profile = self.profile(asset)
        rng = stream(self.world.seed, self.venue, asset, "distance")
        bps = rng.uniform(-self.share.widest_bps, self.share.widest_bps)
        ticks = round(bps / 1e4 * profile.level_quote * 10**profile.price_decimals)
        # Whole ticks, divided once: the grid's own printed prices.
        scale = 10 ** (profile.price_decimals if decimals is None else decimals)
        away = ticks * scale // 10**profile.price_decimals
        return np.asarray((np.round(prices * scale) + away) / scale)

    def _sized(self, asset: str, quantities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the venue's share of quantities, on its steps."""
        if self.share.size_frac == 1:
            return quantities
        steps = 10 ** self.profile(asset).quantity_decimals
        return np.asarray(np.round(quantities * self.share.size_frac * steps) / steps)
