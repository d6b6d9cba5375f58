"""The world in the wire format of KuCoin's futures: pure functions from a market and an instant to JSON values.

Belongs here: shapes, page limits, error codes of the venue. Does not: HTTP (``server.py``), misbehaviour (``faults.py``).
Prices of tickers and quantities of open interest are strings, the other figures numbers; quantities are whole contracts, but
for the catalogue's volume of a day. Bitcoin is XBT.

References
----------
https://www.kucoin.com/docs-new/rest/futures-trading/introduction
Error codes: https://www.kucoin.com/docs-new/errors-code/futures-errors-code
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

PATH = "/api/v1"
CANDLES_MOST = 200
# The venue names no most; a page that is too short shows the newest of its window here.
FUNDING_MOST = 100

# Base units of one contract (`multiplier`). BTC's is the venue's; the others are smaller than the venue's, so that the world's
# quantities are whole numbers of contracts.
MULTIPLIERS: Mapping[str, float] = {"BTC": 0.001, "ETH": 0.001, "SOL": 0.01}
# Listed contracts that a client must leave out: an inverse one, a dated one, one not yet open and one that is paused.
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "XBTUSDM": {"quoteCurrency": "USD", "settleCurrency": "XBT", "isInverse": True, "multiplier": -1.0},
    "XBTMZ25": {"type": "FFICSX", "expireDate": 1_766_736_000_000, "nextFundingRateTime": None},
    "HYPEUSDTM": {"baseCurrency": "HYPE", "status": "Init"},
    "MATICUSDTM": {"baseCurrency": "MATIC", "status": "Paused"},
}
# Upper ends of the tiers in USDT, and their maintenance rates over the lowest one.
TIERS = ((300_000, 1.0), (1_000_000, 1.5), (5_000_000, 2.5), (50_000_000, 5.0))

# 403 and 451 are what a gateway may answer, their bodies are made up here; the others are codes of the venue.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"code": "429000", "msg": "Too Many Requests"}),
    "banned": (403, {"code": "403", "msg": "Forbidden"}),
    "geoblocked": (451, {"code": "451", "msg": "Unavailable For Legal Reasons"}),
    "error": (500, {"code": "500000", "msg": "Internal Server Error"}),
}


class KucoinError(WireError):
    """An error of KuCoin, ``{"code": "400100", "msg": "..."}``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__({"code": code, "msg": message}, 400)


class KucoinWire:
    """A world as KuCoin's futures show it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>USDTM``, and beside them `OTHERS`, which are listed and have no records.
    """

    venue = "kucoin"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, "kucoin")
        self._assets = {f"{_coin(asset)}USDTM": asset for asset in world.assets}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route of the venue that a client of ours asks; it tells no weight."""
        return [
            # https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-server-time
            Route(f"{PATH}/timestamp", lambda _, now: _told(to_ms(now))),
            Route(f"{PATH}/contracts/active", lambda _, now: self.contracts(now)),
            Route(f"{PATH}/kline/query", self.kline),
            Route(f"{PATH}/contract/funding-rates", self.funding_rates),
            Route(f"{PATH}/level2/snapshot", self.snapshot),
            Route(f"{PATH}/allTickers", lambda _, now: self.tickers(now)),
            Route(f"{PATH}/contracts/risk-limit/{{symbol}}", lambda query, _: self.risk_limit(query)),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path without the name of a contract: each answers one question."""
        return path.removesuffix("/{symbol}")

    def rows(self, body: Any) -> list[Any] | None:
        """Return the records of a series; catalogues, tickers, tiers and books are no pages."""
        rows = body.get("data") if isinstance(body, dict) else None
        is_series = isinstance(rows, list) and all(isinstance(r, list) or "timepoint" in r for r in rows)
        return rows if is_series else None

    def contracts(self, now: datetime) -> dict[str, Any]:
        """`GET /api/v1/contracts/active`: everything that is listed.

        References
        ----------
        https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-all-symbols
        """
        ours = [self._contract(symbol, asset, now) for symbol, asset in self._assets.items()]
        return _told([*ours, *({**ours[0], "symbol": symbol, **other} for symbol, other in OTHERS.items())])

    def kline(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v1/kline/query`: lists of six, oldest first, the running one last; both bounds are inclusive.

        References
        ----------
        https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-klines
        """
        asset = self._asked(query)
        if query.get("granularity") != "60":
            # The venue has many granularities, the sandbox one.
            raise KucoinError("400100", "granularity invalid")
        since, until = _bounds(query, now)
        rows = [row for row in self._candles(asset, now) if since <= row[0] <= until]
        return _told(rows[:CANDLES_MOST] if "from" in query else rows[-CANDLES_MOST:])

    def funding_rates(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v1/contract/funding-rates`: settlements of inclusive bounds, which must be there; newest first.

        References
        ----------
        https://www.kucoin.com/docs-new/rest/futures-trading/funding-fees/get-public-funding-history
        """
        asset = self._asked(query)
        if not {"from", "to"} <= set(query):
            raise KucoinError("400100", "from and to can not be empty")
        since, until = _bounds(query, now)
        funding = self.market.funding(asset)
        # Other venues settle moments after the hour, this one names the hour.
        at = funding.settled_ms // HOUR_MS * HOUR_MS
        inside = np.flatnonzero((at >= since) & (at <= min(until, to_ms(now))))[::-1][:FUNDING_MOST]
        return _told(
            [
                {
                    "symbol": query["symbol"],
                    "fundingRate": float(funding.rate_frac[i]),
                    "timepoint": int(at[i]),
                }
                for i in inside.tolist()
            ]
        )

    def snapshot(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v1/level2/snapshot`: the whole book, nearest first, as pairs of price and contracts; nanoseconds.

        References
        ----------
        https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-full-orderbook
        """
        asset = self._asked(query)
        book, profile = self._book(asset, now), self.market.profile(asset)

        def levels(side: NDArray[np.float64]) -> list[list[float]]:
            return [[_price(profile, p), _contracts(asset, q)] for p, q in side]

        told = {"sequence": 1_697_895_963_339, "symbol": query["symbol"], "ts": to_ms(now) * 1_000_000}
        return _told({**told, "bids": levels(book.bids), "asks": levels(book.asks)})

    def tickers(self, now: datetime) -> dict[str, Any]:
        """`GET /api/v1/allTickers`: every contract that trades; its clock is that of the last trade.

        References
        ----------
        https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-all-tickers
        """
        return _told([self._ticker(symbol, asset, now) for symbol, asset in self._assets.items()])

    def risk_limit(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """`GET /api/v1/contracts/risk-limit/{symbol}`: the tiers of isolated margin, in USDT.

        References
        ----------
        https://www.kucoin.com/docs-new/rest/futures-trading/positions/get-isolated-margin-risk-limit
        """
        lowest, floor = self.market.profile(self._asked(query)).maintenance_margin_frac, 0
        rows = []
        for level, (cap, times) in enumerate(TIERS, start=1):
            rate = round(lowest * times, 6)
            rows.append(
                {
                    "symbol": query["symbol"],
                    "level": level,
                    "maxRiskLimit": cap,
                    "minRiskLimit": floor,
                    "maxLeverage": int(1 / (2 * rate)),
                    "initialMargin": 2 * rate,
                    "maintainMargin": rate,
                }
            )
            floor = cap
        return _told(rows)

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asked(self, query: Mapping[str, Any]) -> str:
        symbol = str(query.get("symbol"))
        if symbol not in self._assets:
            raise KucoinError("404000", "The requested symbol does not exist")
        return self._assets[symbol]

    def _book(self, asset: str, now: datetime) -> Any:
        return self.market.book(asset, min(max(now, self.market.start), self.market.end))

    def _candles(self, asset: str, now: datetime) -> list[list[float]]:
        hours, running = self.market.candles(asset), self.market.open_candle(asset, now)
        profile = self.market.profile(asset)
        shown = [
            {k: v[i] for k, v in vars(hours).items()} for i in np.flatnonzero(hours.start_ms + HOUR_MS <= to_ms(now))
        ]
        shown += [] if running is None else [{k: v[0] for k, v in vars(running).items()}]
        return [
            [
                int(c["start_ms"]),
                *(_price(profile, c[f"{name}_quote"]) for name in ("open", "high", "low", "close")),
                _contracts(asset, c["volume_base"]),
            ]
            for c in shown
        ]

    def _ticker(self, symbol: str, asset: str, now: datetime) -> dict[str, Any]:
        profile, book = self.market.profile(asset), self._book(asset, now)
        return {
            "sequence": 1_697_895_963_339,
            "symbol": symbol,
            "side": "buy",
            "size": 1,
            "tradeId": "1697895963339",
            "price": f"{self.market.price(asset, now):.{profile.price_decimals}f}",
            "bestBidPrice": f"{book.bids[0, 0]:.{profile.price_decimals}f}",
            "bestBidSize": _contracts(asset, book.bids[0, 1]),
            "bestAskPrice": f"{book.asks[0, 0]:.{profile.price_decimals}f}",
            "bestAskSize": _contracts(asset, book.asks[0, 1]),
            # The last trade was a second ago.
            "ts": (to_ms(now) - 1_000) * 1_000_000,
        }

    def _contract(self, symbol: str, asset: str, now: datetime) -> dict[str, Any]:
        market, profile = self.market, self.market.profile(asset)
        at = min(max(now, market.start), market.end)
        held = market.open_interest(asset)
        hour = max(0, int(held.at_ms.searchsorted(to_ms(at), "right")) - 1)
        traded, last = market.volume_24h_base(asset, at), market.price(asset, at)
        return {
            "symbol": symbol,
            "rootSymbol": "USDT",
            "type": "FFWCSX",
            # The simulated contracts are listed with the first hour that the market shows.
            "firstOpenDate": to_ms(market.start),
            "expireDate": None,
            "settleDate": None,
            "baseCurrency": _coin(asset),
            "quoteCurrency": "USDT",
            "settleCurrency": "USDT",
            "maxOrderQty": 1_000_000,
            "maxPrice": 1_000_000.0,
            "lotSize": 1,
            "tickSize": profile.tick_quote,
            "indexPriceTickSize": profile.tick_quote,
            "multiplier": MULTIPLIERS[asset],
            "initialMargin": 2 * profile.maintenance_margin_frac,
            "maintainMargin": profile.maintenance_margin_frac,
            "maxRiskLimit": TIERS[0][0],
            "minRiskLimit": TIERS[0][0],
            "makerFeeRate": 0.0002,
            "takerFeeRate": 0.0006,
            "isDeleverage": True,
            # The venue says so of its linear contracts too.
            "isQuanto": True,
            "isInverse": False,
            "markMethod": "FairPrice",
            "status": "Open",
            "fundingFeeRate": 0.0001,
            "fundingRateGranularity": market.share.funding_hours * HOUR_MS,
            "openInterest": str(_contracts(asset, held.open_interest_base[hour])),
            "turnoverOf24h": traded * last,
            "volumeOf24h": traded,
            "markPrice": _price(profile, market.price_of_kind(asset, "mark", at)),
            "indexPrice": _price(profile, market.price_of_kind(asset, "index", at)),
            "lastTradePrice": _price(profile, last),
            "nextFundingRateTime": HOUR_MS,
            "maxLeverage": 125,
        }


def _coin(asset: str) -> str:
    return "XBT" if asset == "BTC" else asset


def _told(data: Any) -> dict[str, Any]:
    return {"code": "200000", "data": data}


def _bounds(query: Mapping[str, Any], now: datetime) -> tuple[int, int]:
    """Return the inclusive bounds in milliseconds; what is not asked for is everything up to now."""
    texts = [str(query.get("from", "0")), str(query.get("to", to_ms(now)))]
    if not all(text.isascii() and text.isdigit() for text in texts):
        raise KucoinError("400100", "Invalid parameter")
    return int(texts[0]), int(texts[1])


def _contracts(asset: str, quantity: float) -> int:
    """Return base units as a whole number of contracts."""
    return round(float(quantity) / MULTIPLIERS[asset])


def _price(profile: AssetProfile, price: float) -> float:
    return round(float(price), profile.price_decimals)
