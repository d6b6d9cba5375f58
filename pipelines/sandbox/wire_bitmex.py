"""The world in BitMEX's own wire format: pure functions from a market and an instant to JSON values.

Belongs here: shapes, page limits, error answers of the venue. Does not: HTTP (``server.py``), misbehaviour (``faults.py``).
Figures are numbers, clocks ISO 8601, money whole units of satoshi or of a millionth USDT. BTC is inverse, others linear.

References
----------
https://www.bitmex.com/api/explorer
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

CANDLES_PAGE_COUNT, PAGE_COUNT = 1_000, 500
SATOSHI, MICRO = 100_000_000, 1_000_000
# Linear contracts per base unit; of the inverse one each is a dollar.
CONTRACTS_PER_BASE = 1_000_000
INVERSE = "BTC"
BTC_SHARE_OF_FUND = 0.75

API = "/api/v1"


def _error(text: str, name: str = "HTTPError") -> dict[str, Any]:
    return {"error": {"message": text, "name": name}}


REFUSALS: Mapping[str, tuple[int, Any]] = {
    "rate_limited": (429, _error("Rate limit exceeded, retry in 1 seconds.", "RateLimitError")),
    "banned": (403, "Forbidden"),
    "geoblocked": (451, "Unavailable For Legal Reasons"),
    "error": (503, _error("The system is currently overloaded. Please try again later.")),
}


class BitmexWire:
    """A world as BitMEX shows it: perpetuals, and beside them a quanto one, a dated one and one that is unlisted."""

    venue = "bitmex"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, self.venue)
        self._assets = {_symbol(asset): asset for asset in world.assets}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route of the venue that a client of ours asks."""
        return [
            Route(f"{API}/announcement/urgent", lambda _, __: []),
            Route(f"{API}/instrument/active", self.instruments),
            Route(f"{API}/trade/bucketed", self.buckets),
            Route(f"{API}/funding", self.funding),
            Route(f"{API}/orderBook/L2", self.book),
            Route(f"{API}/insurance", self.insurance),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return a list of candles or settlements; a catalogue and a book are lists too, and whole."""
        is_series = isinstance(body, list) and bool(body) and ("open" in body[0] or "fundingRateDaily" in body[0])
        return body if is_series else None

    def instruments(self, _: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /instrument/active`: all contracts that are open or expired in the last day, each with how it trades now.

        References
        ----------
        https://docs.bitmex.com/api-explorer/get-instrument-active
        """
        ours = [self._instrument(symbol, asset, now) for symbol, asset in self._assets.items()]
        first = ours[0]
        quanto = {"symbol": "ETHUSD", "underlying": "ETH", "isInverse": False, "isQuanto": True, "positionCurrency": ""}
        dated = {"symbol": "XBTZ26", "typ": "FFCCSX", "expiry": "2026-12-25T12:00:00.000Z"}
        gone = {"symbol": "MATICUSD", "underlying": "MATIC", "state": "Unlisted"}
        return [*ours, {**first, **quanto}, {**first, **dated}, {**first, **gone}]

    def buckets(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /trade/bucketed`: hourly candles stamped with their end, oldest first; the running one where `partial` asks.

        References
        ----------
        https://docs.bitmex.com/api-explorer/get-bucketed-trades
        """
        asset, (since, until) = self._asset_of(query), _bounds(query)
        count = _count(query, CANDLES_PAGE_COUNT)
        if query.get("binSize") != "1h":
            raise WireError(_error("binSize is not valid"))
        columns = vars(self.market.candles(asset))
        done = columns["start_ms"] + HOUR_MS <= to_ms(now)
        shown = {name: values[done] for name, values in columns.items()}
        running = self.market.open_candle(asset, now) if query.get("partial") == "true" else None
        if running is not None:
            shown = {name: np.concatenate([values, vars(running)[name]]) for name, values in shown.items()}
        ends = shown["start_ms"] + HOUR_MS
        inside = np.flatnonzero((ends >= since) & (ends <= until))[:count]
        return [
            _bucket(str(query["symbol"]), asset, {k: float(v[i]) for k, v in shown.items()}) for i in inside.tolist()
        ]

    def funding(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /funding`: settlements, oldest first, the first 500 of the bounds.

        References
        ----------
        https://docs.bitmex.com/api-explorer/get-funding
        """
        asset, (since, until) = self._asset_of(query), _bounds(query)
        count, funding = _count(query, PAGE_COUNT), self.market.funding(asset)
        # Other venues settle moments after the hour, this one with it.
        at = funding.settled_ms // HOUR_MS * HOUR_MS
        inside = np.flatnonzero((at >= since) & (at <= min(until, to_ms(now))))[:count]
        return [
            {
                "timestamp": _iso(int(at[i])),
                "symbol": str(query["symbol"]),
                "fundingInterval": f"2000-01-01T{self.market.share.funding_hours:02d}:00:00.000Z",
                "fundingRate": float(funding.rate_frac[i]),
                "fundingRateDaily": float(funding.rate_frac[i]) * 24 / self.market.share.funding_hours,
            }
            for i in inside.tolist()
        ]

    def book(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /orderBook/L2`: one list of levels, sells from the highest price down and then buys.

        References
        ----------
        https://docs.bitmex.com/api-explorer/get-l2-order-book
        """
        asset, depth = self._asset_of(query), str(query.get("depth", 25))
        if not depth.isdigit():
            raise WireError(_error("depth must be a positive integer"))
        if now < self.market.start:
            return []
        book = self.market.book(asset, min(now, self.market.end))
        shown = int(depth) or None
        sides = (("Sell", book.asks[:shown][::-1]), ("Buy", book.bids[:shown]))
        return [
            {
                "symbol": str(query["symbol"]),
                "id": i,
                "side": side,
                "size": _contracts(asset, float(quantity), float(price)),
                "price": float(price),
                "timestamp": _iso(to_ms(now)),
                "transactTime": _iso(to_ms(now)),
            }
            for side, levels in sides
            for i, (price, quantity) in enumerate(levels)
        ]

    def insurance(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /insurance`: the balance of each currency's fund at noon of every day; `reverse` for the newest first.

        References
        ----------
        https://docs.bitmex.com/api-explorer/get-insurance
        """
        count, rows = _count(query, PAGE_COUNT), []
        noon = datetime.combine(self.market.first_day, time(12))
        while noon <= min(now, self.market.end):
            usd = self.market.insurance_fund_usd(noon)
            in_btc = (
                usd * BTC_SHARE_OF_FUND / self.market.price(INVERSE, noon) if INVERSE in self.market.assets else 0.0
            )
            for currency, balance in (("USDt", usd * (1 - BTC_SHARE_OF_FUND) * MICRO), ("XBt", in_btc * SATOSHI)):
                rows.append({"currency": currency, "timestamp": _iso(to_ms(noon)), "walletBalance": round(balance)})
            noon += timedelta(days=1)
        wanted = [r for r in rows if query.get("currency", "XBt") in ("all", r["currency"])]
        return (wanted[::-1] if query.get("reverse") == "true" else wanted)[:count]

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asset_of(self, query: Mapping[str, Any]) -> str:
        symbol = str(query.get("symbol"))
        if symbol not in self._assets:
            raise WireError(_error("'symbol' is invalid: must be a valid symbol"))
        return self._assets[symbol]

    def _instrument(self, symbol: str, asset: str, now: datetime) -> dict[str, Any]:
        profile, is_inverse = self.market.profile(asset), asset == INVERSE
        contract = {
            "symbol": symbol,
            "rootSymbol": _underlying(asset),
            "state": "Open",
            "typ": "FFWCSX",
            "listing": _iso(to_ms(self.market.start)),
            "front": _iso(to_ms(self.market.start)),
            "expiry": None,
            "settle": None,
            "positionCurrency": "USD" if is_inverse else asset,
            "underlying": _underlying(asset),
            "quoteCurrency": "USD" if is_inverse else "USDT",
            "maxOrderQty": 10_000_000,
            "maxPrice": 1_000_000,
            "lotSize": 100 if is_inverse else round(CONTRACTS_PER_BASE / 10**profile.quantity_decimals),
            "tickSize": 10.0**-profile.price_decimals,
            "multiplier": -SATOSHI if is_inverse else MICRO // CONTRACTS_PER_BASE,
            "settlCurrency": "XBt" if is_inverse else "USDt",
            "underlyingToPositionMultiplier": None if is_inverse else CONTRACTS_PER_BASE,
            "underlyingToSettleMultiplier": -SATOSHI if is_inverse else None,
            "quoteToSettleMultiplier": None if is_inverse else MICRO,
            "isQuanto": False,
            "isInverse": is_inverse,
            "initMargin": 0.01,
            "maintMargin": 0.005,
            "fundingInterval": "2000-01-01T08:00:00.000Z",
        }
        return {**contract, **(self._trading(asset, now) if now >= self.market.start else {})}

    def _trading(self, asset: str, now: datetime) -> dict[str, Any]:
        market, at = self.market, min(now, self.market.end)
        book, interest, mark = (
            market.book(asset, at),
            market.open_interest(asset),
            market.price_of_kind(asset, "mark", at),
        )
        known = int(interest.at_ms.searchsorted(to_ms(at), side="right")) - 1
        held = _contracts(asset, float(interest.open_interest_base[known]), mark)
        value = held / mark * SATOSHI if asset == INVERSE else held / CONTRACTS_PER_BASE * mark * MICRO
        return {
            "homeNotional24h": market.volume_24h_base(asset, at),
            "lastPrice": market.price(asset, at),
            "bidPrice": float(book.bids[0, 0]),
            "midPrice": book.mid_quote,
            "askPrice": float(book.asks[0, 0]),
            "openInterest": held,
            "openValue": round(value),
            "markPrice": mark,
            "indicativeSettlePrice": market.price_of_kind(asset, "index", at),
            "timestamp": _iso(to_ms(now)),
        }


def _underlying(asset: str) -> str:
    return "XBT" if asset == "BTC" else asset


def _symbol(asset: str) -> str:
    return f"{_underlying(asset)}{'USD' if asset == INVERSE else 'USDT'}"


def _contracts(asset: str, base: float, price: float) -> int:
    """Return base units as whole contracts, at least one."""
    return max(1, round(base * (price if asset == INVERSE else CONTRACTS_PER_BASE)))


def _bucket(symbol: str, asset: str, candle: Mapping[str, float]) -> dict[str, Any]:
    return {
        "timestamp": _iso(int(candle["start_ms"]) + HOUR_MS),
        "symbol": symbol,
        "open": candle["open_quote"],
        "high": candle["high_quote"],
        "low": candle["low_quote"],
        "close": candle["close_quote"],
        "trades": int(candle["trades_count"]),
        "volume": _contracts(asset, candle["volume_base"], candle["close_quote"]),
        "vwap": None,
        "lastSize": None,
        "turnover": 0,
        "homeNotional": candle["volume_base"],
        "foreignNotional": candle["volume_usd"],
    }


def _iso(ms: int) -> str:
    at = datetime(1970, 1, 1) + timedelta(milliseconds=ms)
    return f"{at.isoformat(timespec='milliseconds')}Z"


def _clock(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WireError(_error("Unable to parse date")) from None
    return to_ms(at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at)


def _bounds(query: Mapping[str, Any]) -> tuple[int, int]:
    """Return both bounds, each inclusive and each without one where it is absent."""
    since, until = query.get("startTime"), query.get("endTime")
    return (0 if since is None else _clock(since)), (2**53 if until is None else _clock(until))


def _count(query: Mapping[str, Any], most: int) -> int:
    text = str(query.get("count", 100))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise WireError(_error(f"count must be between 1 and {most}"))
    return int(text)
