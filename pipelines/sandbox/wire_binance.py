"""The world in Binance USD-M's own wire format: pure functions from a world and an instant to JSON values.

Belongs here: shapes, page limits, default limits, error codes of the venue. Does not: HTTP (``server.py``), misbehaviour
(``faults.py``). Every shape cites the venue's page; figures are strings where the venue writes strings.

References
----------
Error codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
Limits and HTTP codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

OPEN_INTEREST_WINDOW_MS = 30 * 24 * HOUR_MS
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
# The venue's "never" of a perpetual: 2100-12-25.
NO_DELIVERY_MS = 4_133_404_800_000

# Bodies of refusals as users have recorded them; the venue's pages give only the codes.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"code": -1003, "msg": "Too much request weight used; current limit is 2400 per minute."}),
    "banned": (418, {"code": -1003, "msg": "Way too much request weight used; IP banned for a while."}),
    "geoblocked": (451, {"code": 0, "msg": "Service unavailable from a restricted location."}),
    "error": (500, {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."}),
}


class BinanceError(WireError):
    """An error of Binance, ``{"code": -1121, "msg": "Invalid symbol."}``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__({"code": code, "msg": message})


@dataclass(frozen=True)
class Window:
    """A page's bounds in milliseconds, both inclusive and either absent, and its limit."""

    start_ms: int | None
    end_ms: int | None
    limit: int


class BinanceWire:
    """A world as Binance USD-M shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>USDT``; the first also as a USDC perpetual and a quarterly contract, because a
        real catalogue holds contracts that a client must leave out.
    """

    venue = "binance"
    weight_header = "X-MBX-USED-WEIGHT-1M"
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.world = world
        first = world.assets[0]
        self._quarterly = f"{first}USDT_{_quarter_end(world.last_day):%y%m%d}"
        self._asset_of = {f"{a}USDT": a for a in world.assets} | {f"{first}USDC": first, self._quarterly: first}
        self._closed: dict[str, list[list[Any]]] = {}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; weights as its pages give them."""
        return [
            # Test connectivity and server time: .../market-data/rest-api (Test-Connectivity, Check-Server-Time).
            Route("/fapi/v1/ping", lambda _, __: {}),
            Route("/fapi/v1/time", lambda _, now: {"serverTime": to_ms(now)}),
            Route("/fapi/v1/exchangeInfo", lambda _, now: self.exchange_info(now)),
            Route("/fapi/v1/klines", self.klines, weight=_klines_weight),
            Route("/fapi/v1/fundingRate", self.funding_rate, weight=lambda _: 0),
            Route("/futures/data/openInterestHist", self.open_interest_hist, weight=lambda _: 0),
            Route("/fapi/v1/depth", self.depth, weight=_depth_weight),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the answer where it is a list."""
        return body if isinstance(body, list) else None

    def exchange_info(self, now: datetime) -> dict[str, Any]:
        """`GET /fapi/v1/exchangeInfo`.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Exchange-Information
        """
        symbols = [self._symbol(symbol, self.world.profile(asset)) for symbol, asset in self._asset_of.items()]
        return {
            "timezone": "UTC",
            "serverTime": to_ms(now),
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
            ],
            "exchangeFilters": [],
            "assets": [
                {"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"},
                {"asset": "USDC", "marginAvailable": True, "autoAssetExchange": "0"},
            ],
            "symbols": symbols,
        }

    def klines(self, query: Mapping[str, str], now: datetime) -> list[list[Any]]:
        """`GET /fapi/v1/klines`: oldest first from `startTime`, the latest where no time is sent; the open one last.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Kline-Candlestick-Data
        """
        symbol = self._symbol_of(query)
        if query.get("interval") != "1h":
            # The venue has fifteen intervals, the sandbox one.
            raise BinanceError(-1120, "Invalid interval.")
        window = _window(query, default=500, most=1500)
        asset = self._asset_of[symbol]
        rows = self._closed_klines(symbol, asset)
        done = int(np.clip((to_ms(now) - rows[0][0]) // HOUR_MS, 0, len(rows)))
        shown = rows[:done]
        running = self.world.open_candle(asset, now)
        if running is not None:
            profile = self.world.profile(asset)
            shown = [*shown, _kline(profile, {k: v[0] for k, v in vars(running).items()})]
        return _oldest_first(shown, [r[0] for r in shown], window)

    def funding_rate(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET /fapi/v1/fundingRate`: bounds inclusive, ascending, "return as startTime + limit".

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History
        """
        symbol = self._symbol_of(query)
        window = _window(query, default=100, most=1000)
        if symbol == self._quarterly:
            return []
        funding = self.world.funding(self._asset_of[symbol])
        known = int(np.searchsorted(funding.settled_ms, to_ms(now), side="right"))
        rows: list[dict[str, Any]] = [
            {
                "symbol": symbol,
                "fundingRate": f"{rate:.8f}",
                "fundingTime": int(at),
                "markPrice": f"{mark:.8f}",
            }
            for at, rate, mark in zip(
                funding.settled_ms[:known], funding.rate_frac[:known], funding.mark_quote[:known], strict=True
            )
        ]
        return _oldest_first(rows, [r["fundingTime"] for r in rows], window)

    def open_interest_hist(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/data/openInterestHist`: the latest 30 days and no more; an older `startTime` is an error.

        Where a window holds more rows than the limit, the latest are given (ascending): the family of endpoints is
        anchored at its end. A recorded answer has `timestamp` as a number, the documentation as a string.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Open-Interest-Statistics
        """
        symbol = self._symbol_of(query)
        if query.get("period") != "1h":
            raise BinanceError(-1130, "parameter 'period' is invalid.")
        window = _window(query, default=30, most=500)
        oldest = to_ms(now) - OPEN_INTEREST_WINDOW_MS
        if window.start_ms is not None and window.start_ms < oldest:
            raise BinanceError(-1130, "parameter 'startTime' is invalid.")
        series = self.world.open_interest(self._asset_of[symbol])
        shown = (series.at_ms >= oldest) & (series.at_ms <= to_ms(now))
        shown &= (series.at_ms >= (window.start_ms or 0)) & (series.at_ms <= (window.end_ms or NO_DELIVERY_MS))
        picked = np.flatnonzero(shown)[-window.limit :]
        return [
            {
                "symbol": symbol,
                "sumOpenInterest": f"{series.open_interest_base[i]:.8f}",
                "sumOpenInterestValue": f"{series.open_interest_usd[i]:.8f}",
                "CMCCirculatingSupply": "0.00000000",
                "timestamp": int(series.at_ms[i]),
            }
            for i in picked
        ]

    def depth(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /fapi/v1/depth`.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Order-Book
        """
        symbol = self._symbol_of(query)
        limit = _whole(query, "limit") or 500
        if limit not in DEPTH_LIMITS:
            raise BinanceError(-4021, f"Depth limit {limit} not valid")
        asset = self._asset_of[symbol]
        profile = self.world.profile(asset)
        book = self.world.book(asset, min(max(now, self.world.start), self.world.end))

        def levels(side: NDArray[np.float64]) -> list[list[str]]:
            return [
                [_price(profile, price), f"{quantity:.{profile.quantity_decimals}f}"]
                for price, quantity in side[:limit]
            ]

        at = to_ms(now)
        return {
            "lastUpdateId": at // 10,
            "E": at,
            "T": at - 3,
            "bids": levels(book.bids),
            "asks": levels(book.asks),
        }

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _symbol_of(self, query: Mapping[str, str]) -> str:
        symbol = query.get("symbol")
        if not symbol:
            raise BinanceError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if symbol not in self._asset_of:
            raise BinanceError(-1121, "Invalid symbol.")
        return symbol

    def _closed_klines(self, symbol: str, asset: str) -> list[list[Any]]:
        if symbol not in self._closed:
            profile, columns = self.world.profile(asset), vars(self.world.candles(asset))
            count = columns["start_ms"].size
            self._closed[symbol] = [_kline(profile, {k: v[i] for k, v in columns.items()}) for i in range(count)]
        return self._closed[symbol]

    def _symbol(self, symbol: str, profile: AssetProfile) -> dict[str, Any]:
        quote = "USDC" if symbol.endswith("USDC") else "USDT"
        is_quarterly = symbol == self._quarterly
        delivery = to_ms(datetime.combine(_quarter_end(self.world.last_day), datetime.min.time()) + timedelta(hours=8))
        tick, step = f"{profile.tick_quote:.{profile.price_decimals}f}", f"{10.0**-profile.quantity_decimals:.8f}"
        return {
            "symbol": symbol,
            "pair": f"{profile.asset}{quote}",
            "contractType": "CURRENT_QUARTER" if is_quarterly else "PERPETUAL",
            "deliveryDate": delivery if is_quarterly else NO_DELIVERY_MS,
            # The simulated contracts are listed with the first hour that the market shows.
            "onboardDate": to_ms(self.world.start),
            "status": "TRADING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": profile.asset,
            "quoteAsset": quote,
            "marginAsset": quote,
            "pricePrecision": profile.price_decimals + 1,
            "quantityPrecision": profile.quantity_decimals,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"] if profile.asset == "BTC" else ["Layer-1"],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "marketTakeBound": "0.05",
            "maxMoveOrderLimit": 10000,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "1000000", "stepSize": step},
                {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": "120000", "stepSize": step},
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
                {
                    "filterType": "PERCENT_PRICE",
                    "multiplierUp": "1.0500",
                    "multiplierDown": "0.9500",
                    "multiplierDecimal": "4",
                },
            ],
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        }


def _kline(profile: AssetProfile, candle: Mapping[str, Any]) -> list[Any]:
    """One kline of twelve entries: open time, four prices, volume, close time, quote volume, trades, taker buys, ignored."""
    start, share = int(candle["start_ms"]), float(candle["taker_buy_base"]) / max(float(candle["volume_base"]), 1e-12)
    return [
        start,
        _price(profile, candle["open_quote"]),
        _price(profile, candle["high_quote"]),
        _price(profile, candle["low_quote"]),
        _price(profile, candle["close_quote"]),
        f"{candle['volume_base']:.{profile.quantity_decimals}f}",
        start + HOUR_MS - 1,
        f"{candle['volume_usd']:.5f}",
        int(candle["trades_count"]),
        f"{candle['taker_buy_base']:.{profile.quantity_decimals}f}",
        f"{share * float(candle['volume_usd']):.5f}",
        "0",
    ]


def _price(profile: AssetProfile, price: float) -> str:
    return f"{price:.{profile.price_decimals + 1}f}"


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return int(text)


def _window(query: Mapping[str, str], *, default: int, most: int) -> Window:
    start, end, limit = _whole(query, "startTime"), _whole(query, "endTime"), _whole(query, "limit")
    if limit is not None and not 1 <= limit <= most:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    if start is not None and end is not None and start > end:
        raise BinanceError(-1023, "Start time is greater than end time.")
    return Window(start, end, limit or default)


def _oldest_first(rows: list[Any], clock: list[int], window: Window) -> list[Any]:
    """Cut a page: from `startTime` forward where one is sent, else the latest rows."""
    first = int(np.searchsorted(clock, window.start_ms or 0, side="left"))
    after = len(rows) if window.end_ms is None else int(np.searchsorted(clock, window.end_ms, side="right"))
    inside = rows[first:after]
    return inside[-window.limit :] if window.start_ms is None else inside[: window.limit]


def _quarter_end(day: date) -> date:
    """Return the last Friday of the quarter that ends after a day, when quarterly contracts are delivered."""
    month = 3 * ((day.month - 1) // 3 + 1)
    end = date(day.year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    end -= timedelta(days=(end.weekday() - 4) % 7)
    return end if end > day else _quarter_end(end + timedelta(days=10))


def _klines_weight(query: Mapping[str, str]) -> int:
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 500
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def _depth_weight(query: Mapping[str, str]) -> int:
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 500
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20
