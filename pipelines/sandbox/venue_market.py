"""The world as one venue trades it: its share of volume, positions and books, its small distance in price.

Belongs here: what differs between venues that trade the same assets. Does not: the market itself (``world.py``), a venue's
wire format (``wire_*.py``). Binance is the world as it is; the others are cut from it, so that all venues crash in one hour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.books import Book
from pipelines.sandbox.minutes import MINUTE_MS, minute_columns
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
    "bitget": Share(0.30, 4.0, 8),
    "gate": Share(0.20, 4.0, 8),
    "htx": Share(0.10, 6.0, 8),
    "kucoin": Share(0.08, 6.0, 8),
    "bitmex": Share(0.06, 6.0, 8),
    "deribit": Share(0.06, 5.0, 1),
    "kraken": Share(0.04, 6.0, 1),
    "dydx": Share(0.03, 8.0, 1),
    # Inverse contracts: a market of their own, whether the venue shows them beside the others or as another exchange.
    "binance_coinm": Share(0.12, 4.0, 8),
    "bybit_inverse": Share(0.08, 4.0, 8),
    "okx_inverse": Share(0.16, 4.0, 8),
}

# Who is among the "top traders": the share of a venue's accounts with the largest margin.
TOP_ACCOUNTS_FRAC = 0.2


@dataclass(frozen=True)
class PriceCandles:
    """Hourly candles of a price that is not traded (mark, index): arrays of one length in time order, in quote."""

    start_ms: NDArray[np.int64]
    open_quote: NDArray[np.float64]
    high_quote: NDArray[np.float64]
    low_quote: NDArray[np.float64]
    close_quote: NDArray[np.float64]


@dataclass(frozen=True)
class LongShortRatios:
    """Long over short at the start of every hour: all accounts, the largest fifth by margin, and their positions."""

    at_ms: NDArray[np.int64]
    accounts_x: NDArray[np.float64]
    top_accounts_x: NDArray[np.float64]
    top_positions_x: NDArray[np.float64]


@dataclass(frozen=True)
class Liquidations:
    """Every liquidation of a venue, in time order: whose position, how much, at which prices.

    `bankruptcy_quote` is where the position is worth nothing, `fill_quote` the market's price in that minute.
    """

    at_ms: NDArray[np.int64]
    is_long: NDArray[np.bool_]
    quantity_base: NDArray[np.float64]
    bankruptcy_quote: NDArray[np.float64]
    fill_quote: NDArray[np.float64]


_OHLC = ("open_quote", "high_quote", "low_quote", "close_quote")


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

    def minute_candles(self, asset: str) -> Candles:
        """Return the candles of every minute that the market shows; volumes of 60 add up to those of their hour."""
        prices, weight = self.world.minute_prices(asset), self.world.minute_weights(asset)
        if self.share.size_frac != 1:
            prices = self._moved(asset, prices)
        return Candles(
            **minute_columns(prices, self.candles(asset), weight, self.profile(asset).quantity_decimals)  # type: ignore[arg-type]  # whole numbers where Candles has them, by name
        )

    def minutes_begun(self, asset: str, at: datetime) -> Candles:
        """Return the candles of every minute that has begun; nothing is known of the running one but its first price."""
        minutes = self.minute_candles(asset)
        at_ms = int(np.datetime64(at, "ms").astype(np.int64))
        count = int(minutes.start_ms.searchsorted(at_ms, "right"))
        begun = Candles(**{k: v[:count].copy() for k, v in vars(minutes).items()})
        if begun.start_ms.size and begun.start_ms[-1] + MINUTE_MS > at_ms:
            for name in ("high_quote", "low_quote", "close_quote"):
                getattr(begun, name)[-1] = begun.open_quote[-1]
            for name in ("volume_base", "volume_usd", "taker_buy_base", "trades_count"):
                getattr(begun, name)[-1] = 0
        return begun

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

    def mark_candles(self, asset: str) -> PriceCandles:
        """Return the hourly candles of the mark price: half way between trades and the index."""
        trades, index = self.candles(asset), self.index_candles(asset)
        half = {n: (getattr(trades, n) + getattr(index, n)) / 2 for n in _OHLC}
        return PriceCandles(trades.start_ms, **{n: self._on_grid(asset, v) for n, v in half.items()})

    def index_candles(self, asset: str) -> PriceCandles:
        """Return the hourly candles of the spot index, some basis points away from the contract."""
        trades = self.candles(asset)
        rng = stream(self.world.seed, asset, "premium")
        premium_bps = 3.0 + np.cumsum(0.4 * rng.standard_normal(trades.start_ms.size)) / 4
        off = 1.0 - np.clip(premium_bps, -15.0, 15.0) / 1e4
        return PriceCandles(trades.start_ms, **{n: self._on_grid(asset, getattr(trades, n) * off) for n in _OHLC})

    def open_price_candle(self, asset: str, price_kind: str, at: datetime) -> PriceCandles | None:
        """Return the hour of an instant as far as the mark or the index has run in it, None where the hour is not shown.

        Within the hour the price stands as far from trades as at the hour's start.
        """
        trades = self.open_candle(asset, at)
        if trades is None:
            return None
        hours = self.mark_candles(asset) if price_kind == "mark" else self.index_candles(asset)
        off = hours.open_quote[hours.start_ms.searchsorted(trades.start_ms)] / trades.open_quote
        return PriceCandles(trades.start_ms, **{n: self._on_grid(asset, getattr(trades, n) * off) for n in _OHLC})

    def price_of_kind(self, asset: str, price_kind: str, at: datetime) -> float:
        """Return the mark or the index at an instant, the last one shown where the market has ended."""
        running = self.open_price_candle(asset, price_kind, at)
        hours = self.mark_candles(asset) if price_kind == "mark" else self.index_candles(asset)
        return float((running or hours).close_quote[-1])

    def volume_24h_base(self, asset: str, at: datetime) -> float:
        """Return what was traded in the last 24 hours that have begun, the running one as far as it has run."""
        hours, running = self.candles(asset), self.open_candle(asset, at)
        begun = int(hours.start_ms.searchsorted(np.datetime64(at, "ms").astype(np.int64), "right"))
        if running is None:
            return float(hours.volume_base[max(0, begun - 24) : begun].sum())
        return float(hours.volume_base[max(0, begun - 24) : begun - 1].sum() + running.volume_base[0])

    def long_short_ratios(self, asset: str) -> LongShortRatios:
        """Return how the accounts with an open position are split, at the start of every hour shown."""
        traders = self.world.traders(asset)
        at_ms = self.world.candles(asset).start_ms
        at = at_ms.astype("datetime64[ms]")
        gone = np.fmin(traders.closed_at_utc, traders.liquidated_at_utc)
        is_long = traders.position_side == "long"
        is_top = traders.margin_usd >= np.quantile(traders.margin_usd, 1 - TOP_ACCOUNTS_FRAC)

        def open_at(who: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
            came, went = traders.opened_at_utc[who], np.sort(gone[who][~np.isnat(gone[who])])
            order = np.argsort(came, kind="stable")
            leaves = np.argsort(gone[who], kind="stable")[: went.size]
            into = np.concatenate([[0.0], np.cumsum(weight[who][order])])
            out = np.concatenate([[0.0], np.cumsum(weight[who][leaves])])
            return np.asarray(into[came[order].searchsorted(at, "right")] - out[went.searchsorted(at, "right")])

        def split(who: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
            longs, shorts = open_at(who & is_long, weight), open_at(who & ~is_long, weight)
            # A side without anybody is one account: a venue's ratio has no pole.
            return np.asarray(np.round(np.maximum(longs, weight.min()) / np.maximum(shorts, weight.min()), 4))

        one, everyone = np.ones(len(traders)), np.ones(len(traders), dtype=bool)
        return LongShortRatios(at_ms, split(everyone, one), split(is_top, one), split(is_top, traders.quantity_base))

    def liquidations(self, asset: str) -> Liquidations:
        """Return every forced close that happens at this venue in the days shown; each trader has an account at one venue."""
        traders = self.world.traders(asset)
        rng = stream(self.world.seed, asset, "accounts")
        sizes = np.array([share.size_frac for share in SHARES.values()])
        home = rng.choice(len(SHARES), size=len(traders), p=sizes / sizes.sum())
        within_ms = rng.integers(0, 60_000, size=len(traders))
        begin, end = np.datetime64(self.start, "ms"), np.datetime64(self.end, "ms")
        when = traders.liquidated_at_utc
        mine = (home == list(SHARES).index(self.venue)) & (when >= begin) & (when < end)
        at_ms = when[mine].astype(np.int64) + within_ms[mine]
        order = np.argsort(at_ms, kind="stable")
        is_long = (traders.position_side[mine] == "long")[order]
        entry, inverse = traders.entry_price_quote[mine][order], 1.0 / traders.leverage_x[mine][order]
        fills = [self.price(asset, datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)) for ms in at_ms[order]]
        return Liquidations(
            at_ms[order],
            is_long,
            traders.quantity_base[mine][order],
            self._on_grid(asset, entry * np.where(is_long, 1.0 - inverse, 1.0 + inverse)),
            np.array(fills, dtype=np.float64),
        )

    def insurance_fund_usd(self, at: datetime) -> float:
        """Return the balance of the venue's insurance fund: it grows a little every hour and pays in a crash."""
        size_usd = 1e9 * self.share.size_frac
        hours = (at - self.start).total_seconds() // 3600
        lost = 0.0
        if self.world.crash_day is not None:
            lost = 0.15 * min(
                1.0, max(0.0, (at - datetime.combine(self.world.crash_day, time(13))).total_seconds() / 36_000)
            )
        return round(size_usd * (1.0 + 2e-6 * hours - lost), 2)

    def fund_change_frac(self, at: datetime) -> float:
        """Return the insurance fund's balance over its highest of the last eight hours, minus 1."""
        hours = [max(self.start, at - timedelta(hours=h)) for h in range(9)]
        return self.insurance_fund_usd(at) / max(self.insurance_fund_usd(hour) for hour in hours) - 1.0

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

    def _on_grid(self, asset: str, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return prices on the venue's grid."""
        scale = 10 ** self.profile(asset).price_decimals
        return np.asarray(np.round(prices * scale) / scale)

    def _sized(self, asset: str, quantities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the venue's share of quantities, on its steps."""
        if self.share.size_frac == 1:
            return quantities
        steps = 10 ** self.profile(asset).quantity_decimals
        return np.asarray(np.round(quantities * self.share.size_frac * steps) / steps)
