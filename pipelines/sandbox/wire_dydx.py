"""The world in the wire format of dYdX's indexer: pure functions from a market and an instant to JSON values.

Belongs here: shapes, page limits, error answers of the venue. Does not: HTTP (``server.py``), misbehaviour (``faults.py``).
Figures are strings, counts are numbers, clocks are ISO 8601 with milliseconds, and every list is newest first.

References
----------
https://docs.dydx.xyz/indexer-client/http
https://github.com/dydxprotocol/v4-chain/tree/main/indexer/services/comlink (bounds, limits and errors)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

PAGE_COUNT = 1_000
BOOK_LEVELS_COUNT = 100
# Every so many a liquidation finds no buyer and is a deleveraging, at the bankruptcy price.
DELEVERAGED_EVERY = 5
SETTLED = "MATIC"

CATALOGUE, CANDLES = "/v4/perpetualMarkets", "/v4/candles/perpetualMarkets/{market}"
FUNDING, TRADES = "/v4/historicalFunding/{market}", "/v4/trades/perpetualMarket/{market}"
BOOKS, TIME = "/v4/orderbooks/perpetualMarket/{market}", "/v4/time"


def _error(text: str, **more: str) -> dict[str, Any]:
    return {"errors": [{"msg": text, **more}]}


REFUSALS: Mapping[str, tuple[int, Any]] = {
    "rate_limited": (429, _error("Too many requests")),
    "banned": (403, "Forbidden"),
    "geoblocked": (451, "Unavailable For Legal Reasons"),
    "error": (500, _error("Internal Server Error")),
}


class DydxWire:
    """A world as dYdX's indexer shows it: each asset against USD, and a market that is settled and no longer trades."""

    venue = "dydx"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, self.venue)
        self._assets = {f"{asset}-USD": asset for asset in world.assets}
        self._trades: dict[str, list[dict[str, Any]]] = {}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route of the venue that a client of ours asks."""
        return [
            Route(TIME, lambda _, now: {"iso": _iso(to_ms(now)), "epoch": to_ms(now) / 1000}),
            Route(CATALOGUE, self.perpetual_markets),
            Route(CANDLES, self.candles),
            Route(FUNDING, self.historical_funding),
            Route(TRADES, self.trades),
            Route(BOOKS, self.orderbook),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path as it was asked, its market filled in."""
        return path.format(**query)

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of records; a catalogue and a book have none."""
        lists = [body[name] for name in ("candles", "historicalFunding", "trades") if name in body]
        return lists[0] if lists else None

    def perpetual_markets(self, _: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v4/perpetualMarkets`: one object per market, under its name.

        References
        ----------
        https://docs.dydx.xyz/indexer-client/http#get-perpetual-markets
        """
        named = {ticker: self._listing(ticker, i, now) for i, ticker in enumerate(self._assets)}
        settled = {**self._listing(next(iter(named)), 3, now), "ticker": f"{SETTLED}-USD", "status": "FINAL_SETTLEMENT"}
        return {"markets": {**named, settled["ticker"]: settled}}

    def candles(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v4/candles/perpetualMarkets/{market}`: `fromISO` inclusive, `toISO` exclusive, the newest 1,000 of them.

        References
        ----------
        https://docs.dydx.xyz/indexer-client/http#get-candles
        """
        asset, ticker = self._asset_of(query), str(query["market"])
        if query.get("resolution") != "1HOUR":
            raise WireError(_error("resolution must be a valid Candle Resolution", param="resolution"))
        since, until = _clock(query, "fromISO"), _clock(query, "toISO")
        columns = {name: list(values) for name, values in vars(self.market.candles(asset)).items()}
        done = sum(start + HOUR_MS <= to_ms(now) for start in columns["start_ms"])
        shown = [{name: values[i] for name, values in columns.items()} for i in range(done)]
        running = self.market.open_candle(asset, now)
        if running is not None:
            shown.append({name: values[0] for name, values in vars(running).items()})
        held = self.market.open_interest(asset)
        inside = [
            candle
            for candle in reversed(shown)
            if (since is None or candle["start_ms"] >= since) and (until is None or candle["start_ms"] < until)
        ]
        return {"candles": [_candle(ticker, c, _held_at(held, c)) for c in inside[: _limit(query)]]}

    def historical_funding(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v4/historicalFunding/{market}`: hourly rates up to `effectiveBeforeOrAt`, newest first.

        References
        ----------
        https://docs.dydx.xyz/indexer-client/http#get-historical-funding
        """
        asset, until = self._asset_of(query, status=404), _clock(query, "effectiveBeforeOrAt")
        funding = self.market.funding(asset)
        end = to_ms(now) if until is None else min(until, to_ms(now))
        after = int(funding.settled_ms.searchsorted(end, side="right"))
        return {
            "historicalFunding": [
                {
                    "ticker": str(query["market"]),
                    "rate": _text(float(funding.rate_frac[i])),
                    "price": _text(float(funding.mark_quote[i])),
                    "effectiveAt": _iso(int(funding.settled_ms[i])),
                    "effectiveAtHeight": _height(int(funding.settled_ms[i])),
                }
                for i in range(after - 1, -1, -1)[: _limit(query)]
            ]
        }

    def trades(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v4/trades/perpetualMarket/{market}`: fills of takers up to `createdBeforeOrAt`, newest first.

        The world has no single trades: one of the kind LIMIT stands in each hour, so that forced ones are among others.

        References
        ----------
        https://docs.dydx.xyz/indexer-client/http#get-trades
        """
        asset, until = self._asset_of(query), _clock(query, "createdBeforeOrAt")
        end = _iso(to_ms(now) if until is None else min(until, to_ms(now)))
        return {"trades": [dict(t) for t in self._all_trades(asset) if t["createdAt"] <= end][: _limit(query)]}

    def orderbook(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v4/orderbooks/perpetualMarket/{market}`: the best levels of each side as objects; no clock.

        References
        ----------
        https://docs.dydx.xyz/indexer-client/http#get-perpetual-market-orderbook
        """
        asset = self._asset_of(query, status=404)
        if now < self.market.start:
            return {"bids": [], "asks": []}
        book = self.market.book(asset, min(now, self.market.end))
        return {"bids": _levels(book.bids), "asks": _levels(book.asks)}

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asset_of(self, query: Mapping[str, Any], status: int = 400) -> str:
        ticker = str(query.get("market"))
        if ticker == f"{SETTLED}-USD":
            raise WireError(_error(f"{ticker} not found in markets of type PERPETUAL"), 404)
        if ticker not in self._assets:
            raise WireError(_error("ticker must be a valid ticker (BTC-USD, etc)", param="ticker"), status)
        return self._assets[ticker]

    def _listing(self, ticker: str, index: int, now: datetime) -> dict[str, Any]:
        asset = self._assets[ticker]
        profile, interest = self.market.profile(asset), self.market.open_interest(asset)
        known = max(0, int(interest.at_ms.searchsorted(to_ms(now), side="right")) - 1)
        held = _text(float(interest.open_interest_base[known]))
        return {
            "clobPairId": str(index),
            "ticker": ticker,
            "status": "ACTIVE",
            "oraclePrice": _text(self.market.price(asset, min(max(now, self.market.start), self.market.end))),
            "priceChange24H": "0",
            "volume24H": "0",
            "trades24H": 0,
            "nextFundingRate": "0",
            "initialMarginFraction": "0.02",
            "maintenanceMarginFraction": "0.012",
            "openInterest": held,
            "atomicResolution": -10,
            "quantumConversionExponent": -9,
            "tickSize": _text(10.0**-profile.price_decimals),
            "stepSize": _text(10.0**-profile.quantity_decimals),
            "stepBaseQuantums": 1_000_000,
            "subticksPerTick": 100_000,
            "marketType": "CROSS",
            "openInterestLowerCap": "0",
            "openInterestUpperCap": "0",
            "baseOpenInterest": held,
            "defaultFundingRate1H": "0",
        }

    def _all_trades(self, asset: str) -> list[dict[str, Any]]:
        """Return every trade of an asset, newest first."""
        if asset not in self._trades:
            candles, forced = self.market.candles(asset), self.market.liquidations(asset)
            trades = [
                _trade(int(start) + HOUR_MS // 2, "BUY", float(price), 0.01, "LIMIT")
                for start, price in zip(candles.start_ms, candles.open_quote, strict=True)
            ]
            for i, at in enumerate(forced.at_ms):
                is_deleveraged = i % DELEVERAGED_EVERY == DELEVERAGED_EVERY - 1
                price = forced.bankruptcy_quote[i] if is_deleveraged else forced.fill_quote[i]
                side, kind = "SELL" if forced.is_long[i] else "BUY", "DELEVERAGED" if is_deleveraged else "LIQUIDATED"
                trades.append(_trade(int(at), side, float(price), float(forced.quantity_base[i]), kind))
            self._trades[asset] = sorted(trades, key=lambda t: t["createdAt"], reverse=True)
        return self._trades[asset]


def _trade(at_ms: int, side: str, price: float, size: float, kind: str) -> dict[str, Any]:
    """One trade: `side` is the taker's, and of a liquidation the taker is the position that is closed."""
    return {
        "id": f"{at_ms:024x}",
        "side": side,
        "size": _text(size),
        "price": _text(price),
        "type": kind,
        "createdAt": _iso(at_ms),
        "createdAtHeight": _height(at_ms),
    }


def _candle(ticker: str, candle: Mapping[str, Any], held: float) -> dict[str, Any]:
    return {
        "startedAt": _iso(int(candle["start_ms"])),
        "ticker": ticker,
        "resolution": "1HOUR",
        "low": _text(float(candle["low_quote"])),
        "high": _text(float(candle["high_quote"])),
        "open": _text(float(candle["open_quote"])),
        "close": _text(float(candle["close_quote"])),
        "baseTokenVolume": _text(float(candle["volume_base"])),
        "usdVolume": _text(float(candle["volume_usd"])),
        "trades": int(candle["trades_count"]),
        "startingOpenInterest": _text(held),
        "orderbookMidPriceOpen": None,
        "orderbookMidPriceClose": None,
    }


def _held_at(interest: Any, candle: Mapping[str, Any]) -> float:
    return float(interest.open_interest_base[int(interest.at_ms.searchsorted(candle["start_ms"]))])


def _levels(side: NDArray[np.float64]) -> list[dict[str, str]]:
    return [{"price": _text(float(price)), "size": _text(float(size))} for price, size in side[:BOOK_LEVELS_COUNT]]


def _text(value: float) -> str:
    """Return a figure as the venue writes it: no exponent and no zeros at the end."""
    text = f"{value:.10f}".rstrip("0")
    return text.removesuffix(".")


def _iso(ms: int) -> str:
    at = datetime(1970, 1, 1) + timedelta(milliseconds=ms)
    return f"{at.isoformat(timespec='milliseconds')}Z"


def _height(ms: int) -> str:
    """Return a block's number: one each second."""
    return str(ms // 1000 - 1_698_278_400)


def _clock(query: Mapping[str, Any], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WireError(_error("Invalid value", param=name)) from None
    return to_ms(at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at)


def _limit(query: Mapping[str, Any]) -> int:
    text = str(query.get("limit", PAGE_COUNT))
    if not text.isdigit() or not 1 <= int(text) <= PAGE_COUNT:
        raise WireError(
            _error(f"limit must be a positive integer that is not greater than max: {PAGE_COUNT}", param="limit")
        )
    return int(text)
