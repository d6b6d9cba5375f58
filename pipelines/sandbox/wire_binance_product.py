"""What Binance's two futures products show alike as of now: catalogue, books, tickers of all contracts, and the routes.

Belongs here: those, of any product. Does not: series (``wire_binance_series.py``), what a product writes in its own way
(``wire_binance.py``, ``wire_binance_coinm.py``), HTTP (``server.py``), misbehaviour (``faults.py``).

References
----------
Limits and HTTP codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.wire import HOUR_MS, Route, to_ms
from pipelines.sandbox.wire_binance_pages import (
    REFUSALS,
    BinanceError,
    depth_weight,
    klines_weight,
    whole,
)
from pipelines.sandbox.wire_binance_series import BinanceSeries, price_of

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)

# What only answers about all contracts hold: these lists are no pages.
_OF_ALL_CONTRACTS = {"lastPrice", "bidPrice", "estimatedSettlePrice", "symbols", "adlRisk"}


class BinanceProduct(BinanceSeries):
    """A world as one of Binance's products shows it (parameters of `BinanceSeries`)."""

    family: ClassVar[str]
    futures_type: ClassVar[str]
    weight_header = "X-MBX-USED-WEIGHT-1M"
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def routes(self) -> list[Route]:
        """Return the routes of the product's own paths; weights as its pages give them."""
        v1 = f"/{self.family}/v1"
        return [
            # Test connectivity and server time: .../market-data/rest-api (Test-Connectivity, Check-Server-Time).
            Route(f"{v1}/ping", lambda _, __: {}),
            Route(f"{v1}/time", lambda _, now: {"serverTime": to_ms(now)}),
            Route(f"{v1}/exchangeInfo", lambda _, now: self.exchange_info(now)),
            Route(f"{v1}/klines", self.klines, weight=klines_weight),
            Route(f"{v1}/markPriceKlines", self.mark_price_klines, weight=klines_weight),
            Route(f"{v1}/indexPriceKlines", self.index_price_klines, weight=klines_weight),
            Route(f"{v1}/fundingRate", self.funding_rate, weight=lambda _: 0),
            Route(f"{v1}/depth", self.depth, weight=depth_weight),
            Route(f"{v1}/ticker/24hr", self.ticker_24hr, weight=lambda _: 40),
            Route(f"{v1}/ticker/bookTicker", self.book_ticker, weight=lambda _: 5),
            Route(f"{v1}/premiumIndex", self.premium_index, weight=lambda _: 10),
        ]

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

    def depth(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET .../v1/depth`; quantities as the product counts them.

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

    # -- what a product writes in its own way -------------------------------------------------------------------------

    @abstractmethod
    def _entry(self, symbol: str, profile: AssetProfile) -> dict[str, Any]:
        """Return a contract's entry in the catalogue."""

    @abstractmethod
    def _names(self, symbol: str) -> dict[str, str]:
        """Return how an answer about all contracts names one."""

    @abstractmethod
    def _amount(self, profile: AssetProfile, base: float, price: float) -> str:
        """Return a quantity as the product counts it."""

    @abstractmethod
    def _traded(self, profile: AssetProfile, base: float, price: float) -> dict[str, str]:
        """Return a day's volumes."""


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
