"""The world in the wire format of Kraken's futures: pure functions from a market and an instant to JSON values.

Belongs here: shapes, page limits, error answers of the venue. Does not: HTTP (``server.py``), misbehaviour (``faults.py``).
Every asset is a flexible perpetual, counted in base units; an answer has a result and, but for charts, the server's time.

References
----------
https://docs.kraken.com/api/docs/futures-api/trading/market-data
https://docs.kraken.com/api/docs/futures-api/charts/candles
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

CANDLES_PAGE_COUNT = 2_000

API = "/derivatives/api/v3"
CANDLES = "/api/charts/v1/{price_type}/{symbol}/{interval}"


def _error(text: str) -> dict[str, Any]:
    return {"result": "error", "error": text, "serverTime": "1970-01-01T00:00:00.000Z"}


REFUSALS: Mapping[str, tuple[int, Any]] = {
    "rate_limited": (429, _error("apiLimitExceeded")),
    "banned": (403, "Forbidden"),
    "geoblocked": (451, "Unavailable For Legal Reasons"),
    "error": (500, _error("Server Error")),
}


class KrakenWire:
    """A world as Kraken's futures show it: flexible perpetuals, and beside them an inverse one, a dated one and a halted one."""

    venue = "kraken"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, self.venue)
        self._assets = {_symbol(asset): asset for asset in world.assets}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route of the venue that a client of ours asks."""
        return [
            Route(f"{API}/feeschedules", lambda _, now: _answer(now, feeSchedules=[])),
            Route(f"{API}/instruments", self.instruments),
            Route(f"{API}/tickers", self.tickers),
            Route(f"{API}/orderbook", self.orderbook),
            Route("/derivatives/api/v4/historicalfundingrates", self.funding_rates),
            Route(CANDLES, self.candles),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path as it was asked."""
        return path.format(**query)

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of candles; the other answers are whole."""
        found: list[Any] | None = body.get("candles")
        return found

    def instruments(self, _: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /instruments`: everything that is listed, indices as well.

        References
        ----------
        https://docs.kraken.com/api/docs/futures-api/trading/get-instruments
        """
        ours = [self._instrument(symbol, asset) for symbol, asset in self._assets.items()]
        first = ours[0]
        inverse = {"symbol": "PI_XBTUSD", "type": "futures_inverse"}
        dated = {"symbol": "FF_XBTUSD_261225", "lastTradingTime": "2026-12-25T15:00:00.000Z"}
        halted = {"symbol": "PF_MATICUSD", "tradeable": False}
        index = {"symbol": "in_xbtusd", "type": "spot index", "tradeable": False}
        return _answer(now, instruments=[*ours, {**first, **inverse}, {**first, **dated}, {**first, **halted}, index])

    def tickers(self, _: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /tickers`: all contracts and indices as they trade now.

        References
        ----------
        https://docs.kraken.com/api/docs/futures-api/trading/get-tickers
        """
        if now < self.market.start:
            return _answer(now, tickers=[])
        index = {"symbol": "in_xbtusd", "last": 1.0, "lastTime": _iso(to_ms(now))}
        return _answer(now, tickers=[*(self._ticker(s, a, now) for s, a in self._assets.items()), index])

    def orderbook(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /orderbook`: the whole book, the best first, as pairs of price and quantity.

        References
        ----------
        https://docs.kraken.com/api/docs/futures-api/trading/get-orderbook
        """
        asset = self._asset_of(query)
        if now < self.market.start:
            return _answer(now, orderBook={"bids": [], "asks": []})
        book = self.market.book(asset, min(now, self.market.end))
        return _answer(now, orderBook={"bids": book.bids.tolist(), "asks": book.asks.tolist()})

    def funding_rates(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /historicalfundingrates`: all hours of a contract, oldest first; dollars per contract and relative to the price.

        References
        ----------
        https://docs.kraken.com/api/docs/futures-api/trading/historical-funding-rates
        """
        funding = self.market.funding(self._asset_of(query))
        # Other venues settle moments after the hour, this one with it.
        at = funding.settled_ms // HOUR_MS * HOUR_MS
        return _answer(
            now,
            rates=[
                {
                    "timestamp": _iso(int(at[i])),
                    "fundingRate": float(funding.rate_frac[i] * funding.mark_quote[i]),
                    "relativeFundingRate": float(funding.rate_frac[i]),
                }
                for i in np.flatnonzero(at <= to_ms(now)).tolist()
            ],
        )

    def candles(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/charts/v1/trade/{symbol}/1h`: candles of inclusive bounds in seconds, oldest first, the running one last.

        References
        ----------
        https://docs.kraken.com/api/docs/futures-api/charts/candles
        """
        asset = self._asset_of(query)
        if (query["price_type"], query["interval"]) != ("trade", "1h"):
            raise WireError(_error("Not Found"), 404)
        since, until = (_seconds(query, name) for name in ("from", "to"))
        columns = vars(self.market.candles(asset))
        done = columns["start_ms"] + HOUR_MS <= to_ms(now)
        shown = {name: values[done] for name, values in columns.items()}
        running = self.market.open_candle(asset, now)
        if running is not None:
            shown = {name: np.concatenate([values, vars(running)[name]]) for name, values in shown.items()}
        at = shown["start_ms"] // 1_000
        inside = np.flatnonzero((at >= since) & (at <= until))
        profile = self.market.profile(asset)

        def text(column: str, i: int) -> str:
            return f"{shown[column][i]:.{profile.price_decimals}f}"

        candles = [
            {
                "time": int(shown["start_ms"][i]),
                **{name: text(f"{name}_quote", i) for name in ("open", "high", "low", "close")},
                "volume": f"{shown['volume_base'][i]:.{profile.quantity_decimals}f}",
            }
            for i in inside[:CANDLES_PAGE_COUNT].tolist()
        ]
        return {"candles": candles, "more_candles": inside.size > CANDLES_PAGE_COUNT}

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asset_of(self, query: Mapping[str, Any]) -> str:
        symbol = str(query.get("symbol")).upper()
        if symbol not in self._assets:
            raise WireError(_error("invalidArgument: symbol"))
        return self._assets[symbol]

    def _instrument(self, symbol: str, asset: str) -> dict[str, Any]:
        profile = self.market.profile(asset)
        return {
            "symbol": symbol,
            "type": "flexible_futures",
            "tickSize": 10.0**-profile.price_decimals,
            "contractSize": 1,
            "tradeable": True,
            "impactMidSize": 1,
            "maxPositionSize": 1_000_000,
            "openingDate": _iso(to_ms(self.market.start)),
            "fundingRateCoefficient": 8,
            "maxRelativeFundingRate": 0.001,
            "contractValueTradePrecision": profile.quantity_decimals,
            "postOnly": False,
            "feeScheduleUid": "5b755fea-c5b0-4307-a66e-b392cd5bd931",
            "base": "BTC" if asset == "BTC" else asset,
            "quote": "USD",
            "tags": [],
        }

    def _ticker(self, symbol: str, asset: str, now: datetime) -> dict[str, Any]:
        market, at = self.market, min(now, self.market.end)
        book, interest = market.book(asset, at), market.open_interest(asset)
        known = int(interest.at_ms.searchsorted(to_ms(at), side="right")) - 1
        return {
            "symbol": symbol,
            "last": market.price(asset, at),
            "lastTime": _iso(to_ms(at)),
            "tag": "perpetual",
            "pair": symbol.removeprefix("PF_").replace("USD", ":USD"),
            "markPrice": market.price_of_kind(asset, "mark", at),
            "bid": float(book.bids[0, 0]),
            "bidSize": float(book.bids[0, 1]),
            "ask": float(book.asks[0, 0]),
            "askSize": float(book.asks[0, 1]),
            "vol24h": market.volume_24h_base(asset, at),
            "openInterest": float(interest.open_interest_base[known]),
            "indexPrice": market.price_of_kind(asset, "index", at),
            "suspended": False,
        }


def _symbol(asset: str) -> str:
    return f"PF_{'XBT' if asset == 'BTC' else asset}USD"


def _answer(now: datetime, **named: Any) -> dict[str, Any]:
    return {"result": "success", **named, "serverTime": _iso(to_ms(now))}


def _iso(ms: int) -> str:
    at = datetime(1970, 1, 1) + timedelta(milliseconds=ms)
    return f"{at.isoformat(timespec='milliseconds')}Z"


def _seconds(query: Mapping[str, Any], name: str) -> int:
    text = str(query.get(name, "0" if name == "from" else 2**40))
    if not text.isdigit():
        raise WireError(_error(f"invalidArgument: {name}"))
    return int(text)
