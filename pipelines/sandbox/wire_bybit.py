"""The world in Bybit's own wire format: pure functions from a market and an instant to JSON values.

Belongs here: shapes, page limits, default limits, error codes of the venue. Does not: HTTP (``server.py``), misbehaviour
(``faults.py``). Every shape cites the venue's page; figures and most times are strings, because the venue writes strings.

References
----------
Error codes: https://bybit-exchange.github.io/docs/v5/error
Limits and bans: https://bybit-exchange.github.io/docs/v5/rate-limit
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

# A contract before its launch: shown only where it is asked for.
UNLAUNCHED_ASSET = "NEWCOIN"

PARAMS_ERROR = 10001


def _envelope(result: Mapping[str, Any], now_ms: int = 0, code: int = 0, message: str = "OK") -> dict[str, Any]:
    return {"retCode": code, "retMsg": message, "result": dict(result), "retExtInfo": {}, "time": now_ms}


# The venue's pages give codes and texts, not bodies. The geoblock is an HTML page of its delivery network; only its sentence
# is kept here. 429 is "system level frequency protection".
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, _envelope({}, code=10006, message="Too many visits!")),
    "banned": (403, _envelope({}, code=403, message="access too frequent")),
    "geoblocked": (
        403,
        {"message": "The Amazon CloudFront distribution is configured to block access from your country."},
    ),
    "error": (500, _envelope({}, code=10016, message="Server error.")),
}


class BybitError(WireError):
    """An error of Bybit: HTTP 200 and ``{"retCode": 10001, "retMsg": "...", "result": {}, ...}``."""

    def __init__(self, message: str, now: datetime, code: int = PARAMS_ERROR) -> None:
        super().__init__(_envelope({}, to_ms(now), code, message), status=200)


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


@dataclass(frozen=True)
class Window:
    """A page's bounds in milliseconds, both inclusive and either absent, and its limit."""

    start_ms: int | None
    end_ms: int | None
    limit: int


class BybitWire:
    """A world as Bybit shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>USDT``. A real catalogue holds contracts that a client must leave out: the first
        asset is also a USDC perpetual, a dated future and an inverse perpetual, and one contract waits for its launch.
    """

    venue = "bybit"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, "bybit")
        first, delivery = world.assets[0], _last_friday_after(world.last_day)
        future = f"{first}USDT-{delivery:%d%b%y}".upper()
        delivery_ms = to_ms(datetime.combine(delivery, datetime.min.time()) + timedelta(hours=8))
        listed = [Listing(f"{a}USDT", a, "linear", "LinearPerpetual", "USDT", "USDT") for a in world.assets]
        listed += [
            Listing(f"{first}PERP", first, "linear", "LinearPerpetual", "USDC", "USDC"),
            Listing(future, first, "linear", "LinearFutures", "USDT", "USDT", delivery_ms=delivery_ms),
            Listing(f"{first}USD", first, "inverse", "InversePerpetual", "USD", first),
            Listing(f"{UNLAUNCHED_ASSET}USDT", first, "linear", "LinearPerpetual", "USDT", "USDT", "PreLaunch"),
        ]
        self._listings = {listing.symbol: listing for listing in sorted(listed, key=lambda v: v.symbol)}
        self._closed: dict[str, list[list[str]]] = {}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; each counts one request of 600 in five seconds."""
        return [
            Route("/v5/market/time", lambda _, now: self.time(now)),
            Route("/v5/market/instruments-info", self.instruments_info),
            Route("/v5/market/kline", self.kline),
            Route("/v5/market/funding/history", self.funding_history),
            Route("/v5/market/open-interest", self.open_interest),
            Route("/v5/market/orderbook", self.orderbook),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of a series; the catalogue has its own pages and is never cut."""
        result = body["result"]
        is_catalogue = "nextPageCursor" in result and "symbol" not in result
        rows = None if is_catalogue else result.get("list")
        return rows if isinstance(rows, list) else None

    def time(self, now: datetime) -> dict[str, Any]:
        """`GET /v5/market/time`.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/time
        """
        at = to_ms(now)
        return _envelope({"timeSecond": str(at // 1000), "timeNano": str(at * 1_000_000)}, at)

    def instruments_info(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/instruments-info`: contracts that trade, or of the `status` asked for, by pages with a cursor.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/instrument
        """
        category, limit = _category(query, now), _limit(query, now, default=500, most=1000)
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
        return _envelope({"category": category, "list": entries, "nextPageCursor": cursor}, to_ms(now))

    def kline(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/kline`: newest first, the open one at the top; bounds inclusive.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/kline
        """
        listing = self._listing(query, now)
        if query.get("interval") != "60":
            # The venue has thirteen intervals, the sandbox one.
            raise BybitError("Invalid period!", now)
        window = _window(query, now, "start", "end", default=200, most=1000)
        rows = self._klines(listing, now)
        page = _newest_first(rows, lambda r: int(r[0]), window)
        result = {"symbol": listing.symbol, "category": listing.category, "list": page}
        return _envelope(result, to_ms(now))

    def funding_history(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/funding/history`: newest first, bounds inclusive, "passing only startTime returns an error".

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/history-fund-rate
        """
        listing = self._listing(query, now)
        window = _window(query, now, "startTime", "endTime", default=200, most=200)
        if window.start_ms is not None and window.end_ms is None:
            raise BybitError("params error: endTime is required with startTime", now)
        rows: list[dict[str, str]] = []
        if listing.contract_type.endswith("Perpetual") and listing.status == "Trading":
            funding = self.market.funding(listing.asset)
            # The venue stamps the full hour; the world's few milliseconds are another venue's.
            stamps = funding.settled_ms // HOUR_MS * HOUR_MS
            rows = [
                {"symbol": listing.symbol, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(stamp)}
                for stamp, rate in zip(stamps.tolist(), funding.rate_frac.tolist(), strict=True)
                if stamp <= to_ms(now)
            ]
        page = _newest_first(rows, lambda r: int(r["fundingRateTimestamp"]), window)
        return _envelope({"category": listing.category, "list": page}, to_ms(now))

    def open_interest(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/open-interest`: newest first, bounds inclusive; base coins, "the sum of both sides" and one side.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/open-interest
        """
        listing = self._listing(query, now)
        if query.get("intervalTime") != "1h":
            # The venue has six intervals, the sandbox one.
            raise BybitError("params error: intervalTime invalid", now)
        window = _window(query, now, "startTime", "endTime", default=50, most=200)
        series, profile = self.market.open_interest(listing.asset), self.market.profile(listing.asset)
        # The market counts each contract once.
        rows = [
            {
                "openInterest": f"{2 * base:.8f}",
                "singleOpenInterest": _quantity(profile, base),
                "timestamp": str(at),
            }
            for at, base in zip(series.at_ms.tolist(), series.open_interest_base.tolist(), strict=True)
            if at <= to_ms(now) and listing.status == "Trading"
        ]
        before = unquote(query.get("cursor", "")).rpartition("last=")[2]
        rows = [r for r in rows if not before or int(r["timestamp"]) < int(before)]
        page = _newest_first(rows, lambda r: int(r["timestamp"]), window)
        is_more = bool(page) and int(page[-1]["timestamp"]) > max(window.start_ms or 0, int(rows[0]["timestamp"]))
        cursor = quote(f"last={page[-1]['timestamp']}") if is_more else ""
        result = {"symbol": listing.symbol, "category": listing.category, "list": page, "nextPageCursor": cursor}
        return _envelope(result, to_ms(now))

    def orderbook(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/orderbook`.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/orderbook
        """
        listing = self._listing(query, now)
        limit = _limit(query, now, default=25, most=1000)
        profile = self.market.profile(listing.asset)
        book = self.market.book(listing.asset, min(max(now, self.market.start), self.market.end))

        def levels(side: NDArray[np.float64]) -> list[list[str]]:
            return [[_price(profile, price), _quantity(profile, quantity)] for price, quantity in side[:limit]]

        at = to_ms(now)
        result = {
            "s": listing.symbol,
            "b": levels(book.bids),
            "a": levels(book.asks),
            "ts": at - 3,
            "u": at // 10,
            "seq": at // 5,
            "cts": at - 8,
        }
        return _envelope(result, at)

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _listing(self, query: Mapping[str, str], now: datetime) -> Listing:
        category, symbol = _category(query, now), query.get("symbol", "")
        listing = self._listings.get(symbol)
        if listing is None or listing.category != category:
            raise BybitError("params error: symbol invalid", now)
        return listing

    def _klines(self, listing: Listing, now: datetime) -> list[list[str]]:
        """Return the klines that have begun, oldest first, the running one last."""
        if listing.status != "Trading":
            return []
        profile = self.market.profile(listing.asset)
        if listing.asset not in self._closed:
            columns = vars(self.market.candles(listing.asset))
            count = columns["start_ms"].size
            self._closed[listing.asset] = [_kline(profile, {k: v[i] for k, v in columns.items()}) for i in range(count)]
        rows = self._closed[listing.asset]
        done = int(np.clip((to_ms(now) - int(rows[0][0])) // HOUR_MS, 0, len(rows)))
        running = self.market.open_candle(listing.asset, now)
        if running is None:
            return rows[:done]
        return [*rows[:done], _kline(profile, {k: v[0] for k, v in vars(running).items()})]

    def _instrument(self, listing: Listing) -> dict[str, Any]:
        profile = self.market.profile(listing.asset)
        tick, step = _price(profile, profile.tick_quote), _quantity(profile, 10.0**-profile.quantity_decimals)
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


def _kline(profile: AssetProfile, candle: Mapping[str, Any]) -> list[str]:
    """One kline of seven strings: start, four prices, volume in base coins, turnover in quote coins."""
    return [
        str(int(candle["start_ms"])),
        *(_price(profile, candle[f"{name}_quote"]) for name in ("open", "high", "low", "close")),
        _quantity(profile, candle["volume_base"]),
        f"{candle['volume_usd']:.4f}",
    ]


def _price(profile: AssetProfile, price: float) -> str:
    return f"{price:.{profile.price_decimals}f}"


def _quantity(profile: AssetProfile, quantity: float) -> str:
    return f"{quantity:.{profile.quantity_decimals}f}"


def _category(query: Mapping[str, str], now: datetime) -> str:
    category = query.get("category", "")
    if category not in ("linear", "inverse"):
        # The venue has spot and options too, the sandbox has not.
        raise BybitError("params error: category invalid", now)
    return category


def _whole(query: Mapping[str, str], name: str, now: datetime) -> int | None:
    text = query.get(name)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit():
        raise BybitError(f"params error: {name} invalid", now)
    return int(text)


def _limit(query: Mapping[str, str], now: datetime, *, default: int, most: int) -> int:
    limit = _whole(query, "limit", now)
    if limit is not None and not 1 <= limit <= most:
        # The pages give the bounds and not what becomes of a limit beyond: the stricter answer is shown.
        raise BybitError("params error: limit invalid", now)
    return limit or default


def _window(query: Mapping[str, str], now: datetime, start: str, end: str, *, default: int, most: int) -> Window:
    start_ms, end_ms = _whole(query, start, now), _whole(query, end, now)
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise BybitError("The start time cannot be later than the end time.", now)
    return Window(start_ms, end_ms, _limit(query, now, default=default, most=most))


def _newest_first(rows: Sequence[Any], clock: Callable[[Any], int], window: Window) -> list[Any]:
    """Cut a page: filled from the newest row, but from the oldest where only a start is sent; newest first."""
    inside = [r for r in rows if clock(r) >= (window.start_ms or 0)]
    if window.end_ms is not None:
        inside = [r for r in inside if clock(r) <= window.end_ms]
    is_forward = window.start_ms is not None and window.end_ms is None
    page = inside[: window.limit] if is_forward else inside[-window.limit :]
    return page[::-1]


def _last_friday_after(day: date) -> date:
    """Return the last Friday of the month that begins after a day: a future that the world does not see delivered."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = (following + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return end - timedelta(days=(end.weekday() - 4) % 7)
