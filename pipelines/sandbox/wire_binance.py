"""The world in Binance USD-M's own wire format: pure functions from a market and an instant to JSON values.

Belongs here: shapes, page limits and default limits of the venue, what it forgets. Does not: the other product
(``wire_binance_coinm.py``), bounds and errors of both (``wire_binance_pages.py``), HTTP (``server.py``), misbehaviour
(``faults.py``). Every shape cites the venue's page; figures are strings where the venue writes strings.

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, to_ms
from pipelines.sandbox.wire_binance_pages import (
    NEVER_MS,
    REFUSALS,
    BinanceError,
    depth_weight,
    klines_weight,
    latest,
    oldest_first,
    whole,
    window_of,
)
from pipelines.sandbox.world import World

STATISTICS_WINDOW_MS = 30 * 24 * HOUR_MS
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)

# What only answers about all contracts hold: these lists are no pages.
_OF_ALL_CONTRACTS = {"lastPrice", "bidPrice", "estimatedSettlePrice", "symbols"}


class BinanceWire:
    """A world as Binance USD-M shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>USDT``; the first also as a USDC perpetual and a quarterly contract, because a
        real catalogue holds contracts that a client must leave out.
    """

    venue: str = "binance"
    family: ClassVar[str] = "fapi"
    futures_type: ClassVar[str] = "U_MARGINED"
    # What statistics are asked by: names of the query that are repeated in the answer.
    open_interest_keys: ClassVar[tuple[str, ...]] = ("symbol",)
    ratios_keys: ClassVar[tuple[str, ...]] = ("symbol",)
    weight_header = "X-MBX-USED-WEIGHT-1M"
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.world, self.market = world, VenueMarket(world, self.venue)
        self._delivery = _quarter_end(world.last_day)
        self._asset_of = self._symbols()
        self._kept: dict[tuple[str, str], Any] = {}

    def _symbols(self) -> dict[str, str]:
        """Return every listed symbol and its asset."""
        first, assets = self.world.assets[0], self.world.assets
        quarterly = f"{first}USDT_{self._delivery:%y%m%d}"
        return {f"{a}USDT": a for a in assets} | {f"{first}USDC": first, quarterly: first}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; weights as its pages give them."""
        v1, data = f"/{self.family}/v1", "/futures/data"
        return [
            # Test connectivity and server time: .../market-data/rest-api (Test-Connectivity, Check-Server-Time).
            Route(f"{v1}/ping", lambda _, __: {}),
            Route(f"{v1}/time", lambda _, now: {"serverTime": to_ms(now)}),
            Route(f"{v1}/exchangeInfo", lambda _, now: self.exchange_info(now)),
            Route(f"{v1}/klines", self.klines, weight=klines_weight),
            Route(f"{v1}/markPriceKlines", self.mark_price_klines, weight=klines_weight),
            Route(f"{v1}/indexPriceKlines", self.index_price_klines, weight=klines_weight),
            Route(f"{v1}/fundingRate", self.funding_rate, weight=lambda _: 0),
            Route(f"{data}/openInterestHist", self.open_interest_hist, weight=lambda _: 0),
            Route(f"{data}/globalLongShortAccountRatio", self._ratio("accounts_x"), weight=lambda _: 0),
            Route(f"{data}/topLongShortAccountRatio", self._ratio("top_accounts_x"), weight=lambda _: 0),
            Route(f"{data}/topLongShortPositionRatio", self._ratio("top_positions_x"), weight=lambda _: 0),
            Route(f"{v1}/depth", self.depth, weight=depth_weight),
            Route(f"{v1}/ticker/24hr", self.ticker_24hr, weight=lambda _: 40),
            Route(f"{v1}/ticker/bookTicker", self.book_ticker, weight=lambda _: 5),
            Route(f"{v1}/premiumIndex", self.premium_index, weight=lambda _: 10),
            *self.own_routes(),
        ]

    def own_routes(self) -> list[Route]:
        """Return the routes that only this product has."""
        return [Route(f"/{self.family}/v1/insuranceBalance", lambda _, now: self.insurance_balance(now))]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the answer where it is a page of a series; an answer about all contracts is never cut."""
        if not isinstance(body, list):
            return None
        is_of_all = bool(body) and isinstance(body[0], dict) and not _OF_ALL_CONTRACTS.isdisjoint(body[0])
        return None if is_of_all else body

    def exchange_info(self, now: datetime) -> dict[str, Any]:
        """`GET .../v1/exchangeInfo`.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Exchange-Information
        """
        return {
            "timezone": "UTC",
            "serverTime": to_ms(now),
            "futuresType": self.futures_type,
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
            "symbols": [self._entry(symbol, self.market.profile(asset)) for symbol, asset in self._asset_of.items()],
        }

    def klines(self, query: Mapping[str, str], now: datetime) -> list[list[Any]]:
        """`GET .../v1/klines`: oldest first from `startTime`, the latest where no time is sent; the open one last.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Kline-Candlestick-Data
        """
        asset = self._asset_of[self._symbol_of(query)]
        return self._page_of_klines(query, now, asset, "trade", self.market.open_candle(asset, now))

    def mark_price_klines(self, query: Mapping[str, str], now: datetime) -> list[list[Any]]:
        """`GET .../v1/markPriceKlines`: as klines, and what would be volumes is to be ignored.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Mark-Price-Kline-Candlestick-Data
        """
        asset = self._asset_of[self._symbol_of(query)]
        return self._page_of_klines(query, now, asset, "mark", self.market.open_price_candle(asset, "mark", now))

    def index_price_klines(self, query: Mapping[str, str], now: datetime) -> list[list[Any]]:
        """`GET .../v1/indexPriceKlines`: by `pair`, which must be sent.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Index-Price-Kline-Candlestick-Data
        """
        asset = self._asset_of[self._symbol_of(query, "pair")]
        return self._page_of_klines(query, now, asset, "index", self.market.open_price_candle(asset, "index", now))

    def funding_rate(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET .../v1/fundingRate`: bounds inclusive, ascending, "return as startTime + limit".

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History
        """
        symbol = self._symbol_of(query)
        window = window_of(query, default=100, most=1000)
        if self._is_dated(symbol):
            return []
        funding = self.market.funding(self._asset_of[symbol])
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
        return oldest_first(rows, [r["fundingTime"] for r in rows], window)

    def open_interest_hist(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/data/openInterestHist`: the latest 30 days and no more; an older `startTime` is an error.

        Where a window holds more rows than the limit, the latest are given (ascending): the family of endpoints is
        anchored at its end. A recorded answer has `timestamp` as a number, the documentation as a string.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Open-Interest-Statistics
        """
        asset, asked = self._statistic_of(query, self.open_interest_keys)
        series = self._keep("open_interest", asset, lambda: self.market.open_interest(asset))
        figures = zip(series.open_interest_base.tolist(), series.open_interest_usd.tolist(), strict=True)
        rows = [{**asked, **self._held(base, usd), "timestamp": 0} for base, usd in figures]
        return self._page_of_statistics(query, now, series.at_ms, rows)

    def _ratio(self, name: str) -> Callable[[Mapping[str, str], datetime], list[dict[str, Any]]]:
        """`GET /futures/data/...Ratio`, one path per kind; memory and pages as of open interest.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Long-Short-Ratio
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Top-Long-Short-Account-Ratio
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Top-Trader-Long-Short-Ratio
        """

        def answer(query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
            asset, asked = self._statistic_of(query, self.ratios_keys)
            series = self._keep("ratios", asset, lambda: self.market.long_short_ratios(asset))
            counted = self._split_of(name)
            rows = [
                {
                    **asked,
                    f"long{counted}": f"{ratio / (1 + ratio):.4f}",
                    "longShortRatio": f"{ratio:.4f}",
                    f"short{counted}": f"{1 / (1 + ratio):.4f}",
                    "timestamp": 0,
                }
                for ratio in getattr(series, name).tolist()
            ]
            return self._page_of_statistics(query, now, series.at_ms, rows)

        return answer

    def depth(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET .../v1/depth`.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Order-Book
        """
        symbol = self._symbol_of(query)
        limit = whole(query, "limit") or 500
        if limit not in DEPTH_LIMITS:
            raise BinanceError(-4021, f"Depth limit {limit} not valid")
        profile = self.market.profile(self._asset_of[symbol])
        book = self.market.book(profile.asset, self._shown(now))

        def levels(side: NDArray[np.float64]) -> list[list[str]]:
            return [
                [price_of(profile, price), self._amount(profile, quantity, price)] for price, quantity in side[:limit]
            ]

        at = to_ms(now)
        return {"lastUpdateId": at // 10, "E": at, "T": at - 3, "bids": levels(book.bids), "asks": levels(book.asks)}

    def ticker_24hr(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET .../v1/ticker/24hr` without a symbol: all contracts.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/24hr-Ticker-Price-Change-Statistics
        """

        def day(symbol: str, asset: str) -> dict[str, Any]:
            profile, last = self.market.profile(asset), self.market.price(asset, self._shown(now))
            before = self.market.price(asset, self._shown(now - timedelta(days=1)))
            return {
                **self._names(symbol),
                "priceChange": price_of(profile, last - before),
                "priceChangePercent": f"{(last / before - 1) * 100:.3f}",
                "weightedAvgPrice": price_of(profile, (last + before) / 2),
                "lastPrice": price_of(profile, last),
                "lastQty": "1",
                "openPrice": price_of(profile, before),
                "highPrice": price_of(profile, max(last, before)),
                "lowPrice": price_of(profile, min(last, before)),
                **self._traded(profile, self.market.volume_24h_base(asset, now), last),
                "openTime": to_ms(now) - 24 * HOUR_MS,
                "closeTime": to_ms(now),
                "firstId": 1,
                "lastId": 1_000_000,
                "count": 1_000_000,
            }

        return [day(symbol, asset) for symbol, asset in self._asset_of.items()]

    def book_ticker(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET .../v1/ticker/bookTicker` without a symbol: all contracts.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Symbol-Order-Book-Ticker
        """
        rows = []
        for symbol, asset in self._asset_of.items():
            profile, book = self.market.profile(asset), self.market.book(asset, self._shown(now))
            (bid, bid_base), (ask, ask_base) = book.bids[0], book.asks[0]
            rows.append(
                {
                    **self._names(symbol),
                    "bidPrice": price_of(profile, bid),
                    "bidQty": self._amount(profile, bid_base, bid),
                    "askPrice": price_of(profile, ask),
                    "askQty": self._amount(profile, ask_base, ask),
                    "time": to_ms(now),
                }
            )
        return rows

    def premium_index(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET .../v1/premiumIndex` without a symbol: mark and index of all contracts.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Mark-Price
        """
        rows = []
        for symbol, asset in self._asset_of.items():
            mark, index = (f"{self.market.price_of_kind(asset, kind, now):.8f}" for kind in ("mark", "index"))
            is_dated = self._is_dated(symbol)
            rows.append(
                {
                    **self._names(symbol),
                    "markPrice": mark,
                    "indexPrice": index,
                    "estimatedSettlePrice": index,
                    "lastFundingRate": "" if is_dated else "0.00010000",
                    "interestRate": "" if is_dated else "0.00010000",
                    "nextFundingTime": 0 if is_dated else (to_ms(now) // (8 * HOUR_MS) + 1) * 8 * HOUR_MS,
                    "time": to_ms(now),
                }
            )
        return rows

    def insurance_balance(self, now: datetime) -> list[dict[str, Any]]:
        """`GET /fapi/v1/insuranceBalance` without a symbol: a pool that most contracts share and one of the last alone.

        Nine tenths of the fund's dollars stand in the shared pool, beside the coins of the venue's example.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Insurance-Fund-Balance
        """
        *shared, alone = (s for s in self._asset_of if s.endswith("USDT"))
        total = self.market.insurance_fund_usd(now)

        def held(asset: str, balance: str) -> dict[str, Any]:
            return {"asset": asset, "marginBalance": balance, "updateTime": to_ms(now)}

        own = round(total / 10, 2)
        return [
            {"symbols": shared, "assets": [held("USDT", f"{total - own:.2f}"), held("BTC", "61.73143554")]},
            {"symbols": [alone], "assets": [held("USDT", f"{own:.2f}")]},
        ]

    # -- what a product writes in its own way -------------------------------------------------------------------------

    def _names(self, symbol: str) -> dict[str, str]:
        """Return how an answer about all contracts names one."""
        return {"symbol": symbol}

    def _amount(self, profile: AssetProfile, base: float, price: float) -> str:
        """Return a quantity as the product counts it."""
        return f"{base:.{profile.quantity_decimals}f}"

    def _held(self, base: float, usd: float) -> dict[str, str]:
        """Return the figures of open interest."""
        return {
            "sumOpenInterest": f"{base:.8f}",
            "sumOpenInterestValue": f"{usd:.8f}",
            "CMCCirculatingSupply": "0.00000000",
        }

    def _split_of(self, name: str) -> str:
        """Return the word of the two shares of a ratio."""
        return "Account"

    def _traded(self, profile: AssetProfile, base: float, price: float) -> dict[str, str]:
        """Return a day's volumes."""
        return {"volume": f"{base:.{profile.quantity_decimals}f}", "quoteVolume": f"{base * price:.2f}"}

    def _kline_volumes(self, profile: AssetProfile, candle: Mapping[str, Any]) -> tuple[str, str, str, str]:
        """Return volume, second volume, and of both what takers bought."""
        bought = float(candle["taker_buy_base"]) / max(float(candle["volume_base"]), 1e-12)
        return (
            f"{candle['volume_base']:.{profile.quantity_decimals}f}",
            f"{candle['volume_usd']:.5f}",
            f"{candle['taker_buy_base']:.{profile.quantity_decimals}f}",
            f"{bought * float(candle['volume_usd']):.5f}",
        )

    def _entry(self, symbol: str, profile: AssetProfile) -> dict[str, Any]:
        """Return a contract's entry in the catalogue."""
        quote = "USDC" if symbol.endswith("USDC") else "USDT"
        is_dated = self._is_dated(symbol)
        return {
            "symbol": symbol,
            "pair": f"{profile.asset}{quote}",
            "contractType": "CURRENT_QUARTER" if is_dated else "PERPETUAL",
            "deliveryDate": self._delivery_ms() if is_dated else NEVER_MS,
            # The simulated contracts are listed with the first hour that the market shows.
            "onboardDate": to_ms(self.market.start),
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
            "filters": filters_of(profile, f"{10.0**-profile.quantity_decimals:.8f}"),
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        }

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _symbol_of(self, query: Mapping[str, str], name: str = "symbol") -> str:
        """Return the contract asked for; a pair stands for the first of its contracts."""
        asked = query.get(name)
        if not asked:
            raise BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        known = (
            {s.split("_")[0]: s for s in reversed(list(self._asset_of))}
            if name == "pair"
            else dict.fromkeys(self._asset_of)
        )
        if asked not in known:
            raise BinanceError(-1121, "Invalid symbol.")
        return known[asked] or asked

    def _is_dated(self, symbol: str) -> bool:
        return symbol.endswith(f"_{self._delivery:%y%m%d}")

    def _delivery_ms(self) -> int:
        return to_ms(datetime.combine(self._delivery, datetime.min.time()) + timedelta(hours=8))

    def _shown(self, at: datetime) -> datetime:
        """Return the instant of the market that is shown at one."""
        return min(max(at, self.market.start), self.market.end)

    def _keep(self, name: str, asset: str, make: Callable[[], Any]) -> Any:
        """Return what is made once per asset."""
        if (name, asset) not in self._kept:
            self._kept[name, asset] = make()
        return self._kept[name, asset]

    def _page_of_klines(
        self, query: Mapping[str, str], now: datetime, asset: str, kind: str, running: Any
    ) -> list[list[Any]]:
        """Cut a page out of the hours that have begun, the running one last."""
        if query.get("interval") != "1h":
            # The venue has fifteen intervals, the sandbox one.
            raise BinanceError(-1120, "Invalid interval.")
        window = window_of(query, default=500, most=1500)
        rows = self._keep(kind, asset, lambda: self._klines(asset, kind, self._hours(asset, kind)))
        done = int(np.clip((to_ms(now) - rows[0][0]) // HOUR_MS, 0, len(rows)))
        shown = rows[:done] if running is None else [*rows[:done], *self._klines(asset, kind, running)]
        return oldest_first([list(r) for r in shown], [r[0] for r in shown], window)

    def _hours(self, asset: str, kind: str) -> Any:
        market = self.market
        return {"trade": market.candles, "mark": market.mark_candles, "index": market.index_candles}[kind](asset)

    def _klines(self, asset: str, kind: str, candles: Any) -> list[list[Any]]:
        """Return klines of twelve entries: open time, four prices, volume, close time, second volume, count, taker buys, ignored."""
        profile, columns = self.market.profile(asset), vars(candles)
        rows = []
        for i in range(candles.start_ms.size):
            candle = {k: v[i] for k, v in columns.items()}
            start = int(candle["start_ms"])
            prices = [price_of(profile, candle[f"{name}_quote"]) for name in ("open", "high", "low", "close")]
            traded, second, bought, second_bought = ("0",) * 4
            count = 3_600
            if kind == "trade":
                traded, second, bought, second_bought = self._kline_volumes(profile, candle)
                count = int(candle["trades_count"])
            rows.append([start, *prices, traded, start + HOUR_MS - 1, second, count, bought, second_bought, "0"])
        return rows

    def _statistic_of(self, query: Mapping[str, str], keys: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        """Return the asset of a statistic, and what its records repeat of the query."""
        asset = self._asset_of[self._symbol_of(query, keys[0])]
        if query.get("period") != "1h":
            raise BinanceError(-1130, "parameter 'period' is invalid.")
        return asset, {key: query[key] for key in keys}

    def _page_of_statistics(
        self, query: Mapping[str, str], now: datetime, at_ms: NDArray[np.int64], rows: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Cut a page of hourly statistics: of the latest 30 days, anchored at its end."""
        window = window_of(query, default=30, most=500)
        oldest = to_ms(now) - STATISTICS_WINDOW_MS
        if window.start_ms is not None and window.start_ms < oldest:
            raise BinanceError(-1130, "parameter 'startTime' is invalid.")
        dated = [
            {**row, "timestamp": at} for row, at in zip(rows, at_ms.tolist(), strict=True) if oldest <= at <= to_ms(now)
        ]
        return latest(dated, [row["timestamp"] for row in dated], window)


def filters_of(profile: AssetProfile, step: str) -> list[dict[str, Any]]:
    """Return a contract's filters: its steps and limits."""
    tick = f"{profile.tick_quote:.{profile.price_decimals}f}"
    return [
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
    ]


def price_of(profile: AssetProfile, price: float) -> str:
    """Return a price with one decimal more than the tick has, as the venue writes it."""
    return f"{price:.{profile.price_decimals + 1}f}"


def _quarter_end(day: date) -> date:
    """Return the last Friday of the quarter that ends after a day, when quarterly contracts are delivered."""
    month = 3 * ((day.month - 1) // 3 + 1)
    end = date(day.year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    end -= timedelta(days=(end.weekday() - 4) % 7)
    return end if end > day else _quarter_end(end + timedelta(days=10))
