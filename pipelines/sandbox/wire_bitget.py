"""The world in Bitget's own wire format: pure functions from a world and an instant to JSON values.

Belongs here: shapes, page limits, default limits, error codes of the venue. Does not: HTTP (``server.py``), misbehaviour
(``faults.py``). Figures are strings but in books, times too; quantities are coins; series of candles are oldest first.

References
----------
https://www.bitget.com/api-doc/contract/intro
Error codes: https://www.bitget.com/api-doc/contract/error-code/restapi
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

PATH = "/api/v2/mix/market"
PRODUCTS = ("USDT-FUTURES", "COIN-FUTURES", "USDC-FUTURES", "SUSDT-FUTURES", "SCOIN-FUTURES", "SUSDC-FUTURES")
RECENT_KEPT = timedelta(days=83)
RECENT_MOST, HISTORY_MOST, FUNDING_MOST = 1_000, 200, 100
WIDEST_MS = 90 * 24 * HOUR_MS
# How many levels "max" gives is documented nowhere.
DEPTH_LEVELS = 500
# Listed contracts that a client must leave out, and their status.
OTHERS: Mapping[str, str] = {"HYPEUSDT": "listed", "MATICUSDT": "off"}

# 403 and 451 are what a gateway may answer, their bodies are made up here; the others are codes of the venue.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"code": "429", "msg": "Too Many Requests", "data": None}),
    "banned": (403, {"code": "403", "msg": "Forbidden", "data": None}),
    "geoblocked": (451, {"code": "451", "msg": "Unavailable For Legal Reasons", "data": None}),
    "error": (500, {"code": "40725", "msg": "service return an error", "data": None}),
}


class BitgetError(WireError):
    """An error of Bitget, ``{"code": "40034", "msg": "...", "data": null}``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__({"code": code, "msg": message, "data": None}, 400)


class BitgetWire:
    """A world as Bitget shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>USDT``, and beside them `OTHERS`, which are listed and have no records. The other
        products list nothing.
    """

    venue = "bitget"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, "bitget")
        self._asset_of: dict[str, str | None] = {f"{a}USDT": a for a in world.assets} | dict.fromkeys(OTHERS)

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; it tells no weight."""
        return [
            # https://www.bitget.com/api-doc/common/public/Get-Server-Time
            Route("/api/v2/public/time", lambda _, now: _told({"serverTime": str(to_ms(now))}, now)),
            Route(f"{PATH}/contracts", self.contracts),
            Route(f"{PATH}/candles", lambda query, now: self.candles(query, now, is_history=False)),
            Route(f"{PATH}/history-candles", lambda query, now: self.candles(query, now, is_history=True)),
            Route(f"{PATH}/history-fund-rate", self.history_fund_rate),
            Route(f"{PATH}/tickers", self.tickers),
            Route(f"{PATH}/merge-depth", self.merge_depth),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the records of a series; catalogues, tickers and books are no pages."""
        rows = body.get("data") if isinstance(body, dict) else None
        is_series = isinstance(rows, list) and all(isinstance(r, list) or "fundingTime" in r for r in rows)
        return rows if is_series else None

    def contracts(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v2/mix/market/contracts`: everything of one product.

        References
        ----------
        https://www.bitget.com/api-doc/contract/market/Get-All-Symbols-Contracts
        """
        listed = self._asset_of if _product(query) == PRODUCTS[0] else ()
        return _told([self._contract(symbol) for symbol in listed], now)

    def candles(self, query: Mapping[str, Any], now: datetime, *, is_history: bool) -> dict[str, Any]:
        """`GET .../candles`, the last 83 days with the running hour, and `.../history-candles`, completed ones of all years.

        Bounds are rounded down to the hour, the end is exclusive; a page that is too short shows the newest of its window.

        References
        ----------
        https://www.bitget.com/api-doc/contract/market/Get-Candle-Data
        https://www.bitget.com/api-doc/contract/market/Get-History-Candle-Data
        """
        asset = self._asked(query)
        if query.get("granularity") != "1H":
            # The venue has many granularities, the sandbox one.
            raise BitgetError("400171", "Parameter verification failed")
        limit = _limit(query, "limit", default=100, most=HISTORY_MOST if is_history else RECENT_MOST)
        start, end = (_whole(query, name) for name in ("startTime", "endTime"))
        if start is not None and end is not None and end - start > WIDEST_MS:
            raise BitgetError("00001", "startTime and endTime interval cannot be greater than 90 days")
        if asset is None:
            return _told([], now)
        rows = self._candles(asset, now, is_history=is_history)
        oldest = 0 if is_history else to_ms(now - RECENT_KEPT)
        first = max(oldest, (start or 0) // HOUR_MS * HOUR_MS)
        after = (to_ms(now) + HOUR_MS if end is None else end) // HOUR_MS * HOUR_MS
        return _told([r for r in rows if first <= int(r[0]) < after][-limit:], now)

    def history_fund_rate(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v2/mix/market/history-fund-rate`: numbered pages, newest first; no bounds.

        References
        ----------
        https://www.bitget.com/api-doc/contract/market/Get-History-Funding-Rate
        """
        asset = self._asked(query)
        size = _limit(query, "pageSize", default=20, most=FUNDING_MOST)
        skipped = (_limit(query, "pageNo", default=1, most=1_000_000) - 1) * size
        if asset is None:
            return _told([], now)
        funding = self.market.funding(asset)
        known = np.flatnonzero(funding.settled_ms <= to_ms(now))[::-1][skipped : skipped + size]
        return _told(
            [
                {
                    "symbol": f"{asset}USDT",
                    "fundingRate": f"{funding.rate_frac[i]:.8f}",
                    "fundingTime": str(funding.settled_ms[i]),
                }
                for i in known
            ],
            now,
        )

    def tickers(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v2/mix/market/tickers`: every contract of one product that trades.

        References
        ----------
        https://www.bitget.com/api-doc/contract/market/Get-All-Symbol-Ticker
        """
        traded = self.market.assets if _product(query) == PRODUCTS[0] else ()
        return _told([self._ticker(asset, now) for asset in traded], now)

    def merge_depth(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v2/mix/market/merge-depth`: levels of two numbers, nearest first; ``scale0`` is not merged.

        References
        ----------
        https://www.bitget.com/api-doc/contract/market/Get-Merge-Depth
        """
        asset, limit = self._asked(query), str(query.get("limit", "100"))
        if limit not in ("1", "5", "15", "50", "100", "max"):
            raise BitgetError("400171", "Parameter verification failed")
        told: dict[str, Any] = {"asks": [], "bids": [], "ts": str(to_ms(now)), "scale": "0", "precision": "scale0"}
        if asset is not None:
            count = DEPTH_LEVELS if limit == "max" else int(limit)
            book = self.market.book(asset, min(max(now, self.market.start), self.market.end))
            told["asks"], told["bids"] = ([[float(p), float(q)] for p, q in s[:count]] for s in (book.asks, book.bids))
        return _told({**told, "isMaxPrecision": "NO"}, now)

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asked(self, query: Mapping[str, Any]) -> str | None:
        """Return the asset of the contract asked for, None where the sandbox only lists it."""
        if _product(query) != PRODUCTS[0] or query.get("symbol") not in self._asset_of:
            raise BitgetError("40034", "Parameter does not exist")
        return self._asset_of[str(query["symbol"])]

    def _candles(self, asset: str, now: datetime, *, is_history: bool) -> list[list[str]]:
        profile = self.market.profile(asset)
        hours, running = self.market.candles(asset), self.market.open_candle(asset, now)
        done = np.flatnonzero(hours.start_ms + HOUR_MS <= to_ms(now))
        rows = [{k: v[i] for k, v in vars(hours).items()} for i in done]
        if running is not None and not is_history:
            rows.append({k: v[0] for k, v in vars(running).items()})
        return [
            [
                str(c["start_ms"]),
                *(f"{c[f'{name}_quote']:.{profile.price_decimals}f}" for name in ("open", "high", "low", "close")),
                f"{c['volume_base']:.{profile.quantity_decimals}f}",
                f"{c['volume_usd']:.4f}",
            ]
            for c in rows
        ]

    def _ticker(self, asset: str, now: datetime) -> dict[str, Any]:
        profile, held = self.market.profile(asset), self.market.open_interest(asset)
        book = self.market.book(asset, min(max(now, self.market.start), self.market.end))
        hour = max(0, int(held.at_ms.searchsorted(to_ms(now), "right")) - 1)
        last, traded = self.market.price(asset, now), self.market.volume_24h_base(asset, now)

        def price(value: float) -> str:
            return f"{value:.{profile.price_decimals}f}"

        def coins(value: float) -> str:
            return f"{value:.{profile.quantity_decimals}f}"

        return {
            "symbol": f"{asset}USDT",
            "lastPr": price(last),
            "askPr": price(book.asks[0, 0]),
            "bidPr": price(book.bids[0, 0]),
            "bidSz": coins(book.bids[0, 1]),
            "askSz": coins(book.asks[0, 1]),
            "high24h": price(last),
            "low24h": price(last),
            "ts": str(to_ms(now)),
            "change24h": "0",
            "baseVolume": coins(traded),
            "quoteVolume": f"{traded * last:.4f}",
            "usdtVolume": f"{traded * last:.4f}",
            "openUtc": price(last),
            "changeUtc24h": "0",
            "indexPrice": price(self.market.price_of_kind(asset, "index", now)),
            "fundingRate": "0.0001",
            "holdingAmount": coins(held.open_interest_base[hour]),
            "deliveryStartTime": None,
            "deliveryTime": None,
            "deliveryStatus": "",
            "open24h": price(last),
            "markPrice": price(self.market.price_of_kind(asset, "mark", now)),
        }

    def _contract(self, symbol: str) -> dict[str, Any]:
        profile = self.market.profile(self._asset_of[symbol] or self.market.assets[0])
        step = f"{10.0**-profile.quantity_decimals:.{profile.quantity_decimals}f}"
        return {
            "symbol": symbol,
            "baseCoin": symbol.removesuffix("USDT"),
            "quoteCoin": "USDT",
            "buyLimitPriceRatio": "0.05",
            "sellLimitPriceRatio": "0.05",
            "feeRateUpRatio": "0.005",
            "makerFeeRate": "0.0002",
            "takerFeeRate": "0.0006",
            "openCostUpRatio": "0.01",
            "supportMarginCoins": ["USDT"],
            "minTradeNum": step,
            "priceEndStep": "1",
            "volumePlace": str(profile.quantity_decimals),
            "pricePlace": str(profile.price_decimals),
            "sizeMultiplier": step,
            "symbolType": "perpetual",
            "minTradeUSDT": "5",
            "maxSymbolOrderNum": "200",
            "maxProductOrderNum": "400",
            "maxPositionNum": "150",
            "symbolStatus": OTHERS.get(symbol, "normal"),
            "offTime": "-1",
            "limitOpenTime": "-1",
            "deliveryTime": "",
            "deliveryStartTime": "",
            # The simulated contracts are listed with the first hour that the market shows.
            "launchTime": str(to_ms(self.market.start)),
            "fundInterval": str(self.market.share.funding_hours),
            "minLever": "1",
            "maxLever": "125",
            "posLimit": "0.05",
            "maintainTime": "",
        }


def _told(data: Any, now: datetime) -> dict[str, Any]:
    return {"code": "00000", "msg": "success", "requestTime": to_ms(now), "data": data}


def _product(query: Mapping[str, Any]) -> str:
    product = str(query.get("productType", "")).upper()
    if product not in PRODUCTS:
        raise BitgetError("400172", "Parameter verification failed")
    return product


def _whole(query: Mapping[str, Any], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BitgetError("400171", "Parameter verification failed")
    return int(text)


def _limit(query: Mapping[str, Any], name: str, *, default: int, most: int) -> int:
    limit = _whole(query, name)
    if limit is not None and not 1 <= limit <= most:
        raise BitgetError("400171", "Parameter verification failed")
    return default if limit is None else limit
