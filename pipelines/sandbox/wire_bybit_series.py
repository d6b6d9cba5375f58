"""Bybit's catalogue and its series in the venue's own wire format: pure functions from a market and an instant to JSON values.

Belongs here: contracts, candles, funding, open interest, ratios. Does not: what there is as of now only, and the routes
(``wire_bybit.py``), bounds and errors (``wire_bybit_pages.py``). Every shape cites the venue's page; figures and most times
are strings, because the venue writes strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import LongShortRatios, VenueMarket
from pipelines.sandbox.wire import HOUR_MS, to_ms
from pipelines.sandbox.wire_bybit_pages import (
    BybitError,
    Window,
    category_of,
    envelope,
    limit_of,
    newest_first,
    window_of,
)
from pipelines.sandbox.world import World

# A contract before its launch: shown only where it is asked for.
UNLAUNCHED_ASSET = "NEWCOIN"


@dataclass(frozen=True)
class Listing:
    """One contract of the catalogue."""

    symbol: str
    asset: str
    category: str
    contract_type: str
    quote_coin: str
    settle_coin: str
    status: str = "Trading"
    delivery_ms: int = 0

    @property
    def is_inverse(self) -> bool:
        """Whether it counts dollars and settles in coins."""
        return self.category == "inverse"


class BybitSeries:
    """A world as Bybit shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>USDT``, the first also as an inverse perpetual with a market of its own. A real
        catalogue holds contracts that a client must leave out: the first asset is also a USDC perpetual and two dated
        futures, and one contract waits for its launch.
    """

    def __init__(self, world: World) -> None:
        self.market, self.inverse = VenueMarket(world, "bybit"), VenueMarket(world, "bybit_inverse")
        first, delivery = world.assets[0], _last_friday_after(world.last_day)
        future = f"{first}USDT-{delivery:%d%b%y}".upper()
        delivery_ms = to_ms(datetime.combine(delivery, datetime.min.time()) + timedelta(hours=8))
        listed = [Listing(f"{a}USDT", a, "linear", "LinearPerpetual", "USDT", "USDT") for a in world.assets]
        listed += [
            Listing(f"{first}PERP", first, "linear", "LinearPerpetual", "USDC", "USDC"),
            Listing(future, first, "linear", "LinearFutures", "USDT", "USDT", delivery_ms=delivery_ms),
            Listing(f"{first}USD", first, "inverse", "InversePerpetual", "USD", first),
            Listing(f"{first}USDZ", first, "inverse", "InverseFutures", "USD", first, delivery_ms=delivery_ms),
            Listing(f"{UNLAUNCHED_ASSET}USDT", first, "linear", "LinearPerpetual", "USDT", "USDT", "PreLaunch"),
        ]
        self._listings = {listing.symbol: listing for listing in sorted(listed, key=lambda v: v.symbol)}
        self._closed: dict[tuple[str, str], list[list[str]]] = {}
        self._ratios: dict[str, LongShortRatios] = {}

    def instruments_info(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/instruments-info`: contracts that trade, or of the `status` asked for, by pages with a cursor.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/instrument
        """
        category, limit = category_of(query, now), limit_of(query, now, default=500, most=1000)
        symbol, status = query.get("symbol"), query.get("status", "Trading")
        if symbol:
            self._listing(query, now)
        shown = [
            v
            for v in self._listings.values()
            if v.category == category and v.status == status and symbol in (None, "", v.symbol)
        ]
        after = unquote(query.get("cursor", "")).rpartition("last=")[2]
        left = [v for v in shown if v.symbol > after]
        page = left[:limit]
        cursor = quote(f"first={page[0].symbol}&last={page[-1].symbol}") if len(left) > limit else ""
        entries = [self._instrument(v) for v in page]
        return envelope({"category": category, "list": entries, "nextPageCursor": cursor}, to_ms(now))

    def kline(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/kline`: newest first, the open one at the top; bounds inclusive.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/kline
        """
        return self._page_of_klines(query, now, "trade")

    def mark_price_kline(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/mark-price-kline`: as kline, of five strings each.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/mark-kline
        """
        return self._page_of_klines(query, now, "mark")

    def index_price_kline(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/index-price-kline`: as kline, of five strings each.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/index-kline
        """
        return self._page_of_klines(query, now, "index")

    def funding_history(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/funding/history`: newest first, bounds inclusive, "passing only startTime returns an error".

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/history-fund-rate
        """
        listing = self._listing(query, now)
        window = window_of(query, now, "startTime", "endTime", default=200, most=200)
        if window.start_ms is not None and window.end_ms is None:
            raise BybitError("params error: endTime is required with startTime", now)
        rows: list[dict[str, str]] = []
        if listing.contract_type.endswith("Perpetual") and listing.status == "Trading":
            funding = self.market_of(listing).funding(listing.asset)
            # The venue stamps the full hour; the world's few milliseconds are another venue's.
            stamps = funding.settled_ms // HOUR_MS * HOUR_MS
            rows = [
                {"symbol": listing.symbol, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(stamp)}
                for stamp, rate in zip(stamps.tolist(), funding.rate_frac.tolist(), strict=True)
                if stamp <= to_ms(now)
            ]
        page = newest_first(rows, lambda r: int(r["fundingRateTimestamp"]), window)
        return envelope({"category": listing.category, "list": page}, to_ms(now))

    def open_interest(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/open-interest`: newest first, bounds inclusive; "the sum of both sides" and one side.

        Base coins of linear contracts, US dollars of inverse ones.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/open-interest
        """
        listing = self._listing(query, now)
        if query.get("intervalTime") != "1h":
            # The venue has six intervals, the sandbox one.
            raise BybitError("params error: intervalTime invalid", now)
        series = self.market_of(listing).open_interest(listing.asset)

        def held(i: int) -> dict[str, str]:
            # The market counts each contract once.
            base, usd = float(series.open_interest_base[i]), float(series.open_interest_usd[i])
            if listing.is_inverse:
                return {"openInterest": f"{2 * round(usd)}", "singleOpenInterest": f"{round(usd)}"}
            one = quantity_of(self.market.profile(listing.asset), base)
            return {"openInterest": f"{2 * base:.8f}", "singleOpenInterest": one}

        rows = [
            {**held(i), "timestamp": str(at)}
            for i, at in enumerate(series.at_ms.tolist())
            if at <= to_ms(now) and listing.status == "Trading"
        ]
        return self._page_with_cursor(
            query, now, rows, {"symbol": listing.symbol, "category": listing.category}, most=200
        )

    def account_ratio(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/account-ratio`: shares of the accounts with a position, in four decimals; newest first.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/long-short-ratio
        """
        listing = self._listing(query, now)
        if query.get("period") != "1h":
            raise BybitError("params error: period invalid", now)
        if listing.symbol not in self._ratios:
            self._ratios[listing.symbol] = self.market_of(listing).long_short_ratios(listing.asset)
        series = self._ratios[listing.symbol]
        rows = []
        for at, ratio in zip(series.at_ms.tolist(), series.accounts_x.tolist(), strict=True):
            if at <= to_ms(now) and listing.status == "Trading":
                longs = round(ratio / (1 + ratio), 4)
                shares = {"buyRatio": f"{longs:.4f}", "sellRatio": f"{1 - longs:.4f}"}
                rows.append({"symbol": listing.symbol, **shares, "timestamp": str(at)})
        return self._page_with_cursor(query, now, rows, {}, most=500)

    # -- pieces -------------------------------------------------------------------------------------------------------

    def market_of(self, listing: Listing) -> VenueMarket:
        """Return the market that a contract trades in."""
        return self.inverse if listing.is_inverse else self.market

    def _listing(self, query: Mapping[str, str], now: datetime) -> Listing:
        category, symbol = category_of(query, now), query.get("symbol", "")
        listing = self._listings.get(symbol)
        if listing is None or listing.category != category:
            raise BybitError("params error: symbol invalid", now)
        return listing

    def _page_with_cursor(
        self,
        query: Mapping[str, str],
        now: datetime,
        rows: list[dict[str, str]],
        beside: Mapping[str, str],
        *,
        most: int,
    ) -> dict[str, Any]:
        """Cut a page that names a cursor where older records are left; `beside` stands beside the list."""
        window = window_of(query, now, "startTime", "endTime", default=50, most=most)
        before = unquote(query.get("cursor", "")).rpartition("last=")[2]
        rows = [r for r in rows if not before or int(r["timestamp"]) < int(before)]
        page = newest_first(rows, lambda r: int(r["timestamp"]), window)
        is_more = bool(page) and int(page[-1]["timestamp"]) > max(window.start_ms or 0, int(rows[0]["timestamp"]))
        cursor = quote(f"last={page[-1]['timestamp']}") if is_more else ""
        return envelope({**beside, "list": page, "nextPageCursor": cursor}, to_ms(now))

    def _page_of_klines(self, query: Mapping[str, str], now: datetime, kind: str) -> dict[str, Any]:
        listing = self._listing(query, now)
        window = window_of(query, now, "start", "end", default=200, most=1000)
        if query.get("interval") == "60":
            page = newest_first(self._klines(listing, kind, now), lambda r: int(r[0]), window)
        elif query.get("interval") == "1" and kind == "trade":
            page = self._minutes(listing, now, window)
        else:
            # The venue has thirteen intervals, the sandbox this one, and minutes of trades.
            raise BybitError("Invalid period!", now)
        result = {"symbol": listing.symbol, "category": listing.category, "list": [list(row) for row in page]}
        return envelope(result, to_ms(now))

    def _klines(self, listing: Listing, kind: str, now: datetime) -> list[list[str]]:
        """Return the klines that have begun, oldest first, the running one last."""
        if listing.status != "Trading":
            return []
        market, asset, key = self.market_of(listing), listing.asset, (listing.symbol, kind)
        if key not in self._closed:
            hours = {"trade": market.candles, "mark": market.mark_candles, "index": market.index_candles}[kind](asset)
            self._closed[key] = _klines_of(listing, market.profile(asset), hours)
        rows = self._closed[key]
        done = int(np.clip((to_ms(now) - int(rows[0][0])) // HOUR_MS, 0, len(rows)))
        running = market.open_candle(asset, now) if kind == "trade" else market.open_price_candle(asset, kind, now)
        if running is None:
            return rows[:done]
        return [*rows[:done], *_klines_of(listing, market.profile(asset), running)]

    def _minutes(self, listing: Listing, now: datetime, window: Window) -> list[list[str]]:
        """Return a page of the minutes that have begun; there are too many to write all of them for each page."""
        if listing.status != "Trading":
            return []
        market = self.market_of(listing)
        begun = market.minutes_begun(listing.asset, now)
        times = begun.start_ms.tolist()
        shown = newest_first(range(len(times)), times.__getitem__, window)
        return _klines_of(listing, market.profile(listing.asset), begun.at(shown))

    def _instrument(self, listing: Listing) -> dict[str, Any]:
        profile = self.market.profile(listing.asset)
        tick = price_of(profile, profile.tick_quote)
        # An inverse contract is one dollar.
        step = "1" if listing.is_inverse else quantity_of(profile, 10.0**-profile.quantity_decimals)
        is_launched = listing.status == "Trading"
        return {
            "symbol": listing.symbol,
            "contractType": listing.contract_type,
            "status": listing.status,
            "baseCoin": listing.asset if is_launched else UNLAUNCHED_ASSET,
            "quoteCoin": listing.quote_coin,
            "symbolType": "",
            # The simulated contracts are listed with the first hour that the market shows.
            "launchTime": str(to_ms(self.market.start)),
            "deliveryTime": str(listing.delivery_ms),
            "deliveryFeeRate": "0.0005" if listing.delivery_ms else "",
            "priceScale": str(profile.price_decimals),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
            "lotSizeFilter": {
                "maxOrderQty": "1190.000",
                "minOrderQty": step,
                "qtyStep": step,
                "postOnlyMaxOrderQty": "1190.000",
                "maxMktOrderQty": "500.000",
                "minNotionalValue": "5",
            },
            "unifiedMarginTrade": True,
            "fundingInterval": 0 if listing.delivery_ms else self.market.share.funding_hours * 60,
            "settleCoin": listing.settle_coin,
            "copyTrading": "both" if listing.quote_coin == "USDT" else "none",
            "upperFundingRate": "0.005",
            "lowerFundingRate": "-0.005",
            "isPreListing": not is_launched,
            "preListingInfo": None if is_launched else {"curAuctionPhase": "NotStarted", "phases": []},
        }


def _klines_of(listing: Listing, profile: AssetProfile, candles: Any) -> list[list[str]]:
    """Return klines: start and four prices, and of trades the volume and the turnover.

    Volume is base coins and turnover quote coins of a linear contract, dollars and base coins of an inverse one.
    """
    columns = vars(candles)
    rows = []
    for i in range(candles.start_ms.size):
        candle = {k: v[i] for k, v in columns.items()}
        prices = [price_of(profile, candle[f"{name}_quote"]) for name in ("open", "high", "low", "close")]
        traded: list[str] = []
        if "volume_base" in candle:
            base, usd = float(candle["volume_base"]), float(candle["volume_usd"])
            traded = [f"{usd:.0f}", f"{base:.8f}"] if listing.is_inverse else [quantity_of(profile, base), f"{usd:.4f}"]
        rows.append([str(int(candle["start_ms"])), *prices, *traded])
    return rows


def price_of(profile: AssetProfile, price: float) -> str:
    """Return a price as the venue writes it."""
    return f"{price:.{profile.price_decimals}f}"


def quantity_of(profile: AssetProfile, quantity: float) -> str:
    """Return base coins as the venue writes them."""
    return f"{quantity:.{profile.quantity_decimals}f}"


def _last_friday_after(day: date) -> date:
    """Return the last Friday of the month that begins after a day: a future that the world does not see delivered."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = (following + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return end - timedelta(days=(end.weekday() - 4) % 7)
