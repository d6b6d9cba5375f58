"""The world in OKX's own wire format: pure functions from a world and an instant to JSON values.

Belongs here: shapes, page limits, default limits, error codes of the venue. Does not: HTTP (``server.py``), misbehaviour
(``faults.py``). Every figure is a string, times too; pages begin with the newest record; both bounds are exclusive.

References
----------
Error codes and their HTTP status: https://www.okx.com/docs-v5/en/#error-code-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

# "The latest 1,440 data entries", of candles and of open interest.
ENTRIES_KEPT_COUNT = 1_440
# "Data up to three months".
FUNDING_KEPT = timedelta(days=90)
DEPTH_MOST = 400

# Base units of one contract (`ctVal`), as the venue lists them.
CONTRACT_SIZES: Mapping[str, str] = {"BTC": "0.01", "ETH": "0.1", "SOL": "1"}
# A perpetual that has not begun to trade, of an asset that the sandbox does not simulate.
PREOPEN_ASSET = "HYPE"

# The venue's pages name no ban and no geoblock; 403 and 451 are what its gateway may answer, their bodies are made up here.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"msg": "Too Many Requests", "code": "50011"}),
    "banned": (403, {"msg": "Forbidden", "code": "403"}),
    "geoblocked": (451, {"msg": "Unavailable For Legal Reasons", "code": "451"}),
    "error": (500, {"code": "50026", "data": [], "msg": "System error. Try again later"}),
}


class OkxError(WireError):
    """An error of OKX, ``{"code": "51001", "data": [], "msg": "..."}``."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__({"code": code, "data": [], "msg": message}, status)


@dataclass(frozen=True)
class Window:
    """A page's bounds in milliseconds, both exclusive and either absent, and its limit."""

    newer_than_ms: int | None
    older_than_ms: int | None
    limit: int


class OkxWire:
    """A world as OKX shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>-USDT-SWAP``; the first also as a USDC, an inverse and a dated contract, and one
        asset more that does not trade yet, because a real catalogue holds contracts that a client must leave out. Those are
        listed and have no records.
    """

    venue = "okx"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, "okx")
        first = world.assets[0]
        self._asset_of: dict[str, str | None] = {f"{a}-USDT-SWAP": a for a in world.assets}
        self._future = f"{first}-USDT-{_dated(world):%y%m%d}"
        others = (f"{first}-USDC-SWAP", f"{first}-USD-SWAP", f"{PREOPEN_ASSET}-USDT-SWAP", self._future)
        self._asset_of |= dict.fromkeys(others)
        self._closed: dict[str, list[list[str]]] = {}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; it tells no weight."""
        return [
            # https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
            Route("/api/v5/public/time", lambda _, now: _answer([{"ts": str(to_ms(now))}])),
            Route("/api/v5/public/instruments", lambda query, _: self.instruments(query)),
            Route("/api/v5/market/candles", self.candles),
            Route("/api/v5/market/history-candles", self.history_candles),
            Route("/api/v5/public/funding-rate-history", self.funding_rate_history),
            Route("/api/v5/rubik/stat/contracts/open-interest-history", self.open_interest_history),
            Route("/api/v5/market/books", self.books),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the records of a series; a catalogue and a book are no pages."""
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list) or any(isinstance(r, dict) and "fundingTime" not in r for r in rows):
            return None
        return rows

    def instruments(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """`GET /api/v5/public/instruments`: everything of one type.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments
        """
        kind = _needed(query, "instType")
        if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
            raise _parameter("instType")
        listed = [self._instrument(symbol) for symbol in self._asset_of]
        return _answer([i for i in listed if i["instType"] == kind and query.get("instId", i["instId"]) == i["instId"]])

    def candles(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/market/candles`: the latest 1,440, the one that runs first (`confirm` 0).

        References
        ----------
        https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks
        """
        return self._candles(query, now, is_history=False)

    def history_candles(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/market/history-candles`: completed ones of all years.

        That it shows the running one is documented nowhere; the sandbox does not.

        References
        ----------
        https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
        """
        return self._candles(query, now, is_history=True)

    def funding_rate_history(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/public/funding-rate-history`: the latest three months.

        `fundingRate` is the predicted rate and `realizedRate` the one that was paid; here they differ from the sixth
        decimal on.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-funding-rate-history
        """
        symbol, asset = self._asked(query)
        window = _window(query, "before", "after", default=400, most=400)
        if asset is None:
            return _answer([])
        funding = self.market.funding(asset)
        shown = (funding.settled_ms <= to_ms(now)) & (funding.settled_ms >= to_ms(now - FUNDING_KEPT))

        def row(i: int) -> dict[str, str]:
            return {
                "formulaType": "withRate",
                "fundingRate": f"{funding.rate_frac[i]:.5f}",
                "fundingTime": str(funding.settled_ms[i]),
                "instId": symbol,
                "instType": "SWAP",
                "method": "current_period",
                "realizedRate": f"{funding.rate_frac[i]:.8f}",
            }

        return _answer(_newest_first(funding.settled_ms, shown, window, row))

    def open_interest_history(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/rubik/stat/contracts/open-interest-history`: the latest 1,440 of a period.

        Rows of four strings: time, contracts, base units, US dollars.

        References
        ----------
        https://www.okx.com/docs-v5/en/#trading-statistics-rest-api-get-contract-open-interest-history
        """
        _, asset = self._asked(query)
        if query.get("period") != "1H":
            # The venue has many periods, the sandbox one.
            raise _parameter("period")
        window = _window(query, "begin", "end", default=100, most=100)
        if asset is None:
            return _answer([])
        series, profile = self.market.open_interest(asset), self.market.profile(asset)
        shown = (series.at_ms <= to_ms(now)) & (series.at_ms >= _oldest_kept_ms(now))

        def row(i: int) -> list[str]:
            base = float(series.open_interest_base[i])
            return [
                str(series.at_ms[i]),
                _contracts(profile, base),
                _base(profile, base),
                f"{series.open_interest_usd[i]:.4f}",
            ]

        return _answer(_newest_first(series.at_ms, shown, window, row))

    def books(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/market/books`: levels of price, contracts, a deprecated ``0`` and the number of orders.

        References
        ----------
        https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-order-book
        """
        _, asset = self._asked(query)
        size = _whole(query, "sz")
        if size is not None and not 1 <= size <= DEPTH_MOST:
            raise _parameter("sz")
        at = str(to_ms(now))
        if asset is None:
            return _answer([{"asks": [], "bids": [], "ts": at}])
        profile = self.market.profile(asset)
        book = self.market.book(asset, min(max(now, self.market.start), self.market.end))

        def levels(side: NDArray[np.float64]) -> list[list[str]]:
            return [
                [_price(profile, price), _contracts(profile, quantity), "0", "1"]
                for price, quantity in side[: size or 1]
            ]

        return _answer([{"asks": levels(book.asks), "bids": levels(book.bids), "ts": at}])

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asked(self, query: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return the contract asked for and its asset, None where the sandbox only lists it."""
        symbol = _needed(query, "instId")
        if symbol not in self._asset_of:
            # The venue says this with a 200.
            raise OkxError("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", 200)
        return symbol, self._asset_of[symbol]

    def _candles(self, query: Mapping[str, Any], now: datetime, *, is_history: bool) -> dict[str, Any]:
        symbol, asset = self._asked(query)
        if query.get("bar") != "1H":
            # The venue has many bars, the sandbox one.
            raise _parameter("bar")
        window = _window(query, "before", "after", default=100, most=300)
        if asset is None:
            return _answer([])
        rows = self._closed_candles(symbol, asset)
        done = int(np.clip((to_ms(now) - int(rows[0][0])) // HOUR_MS, 0, len(rows)))
        shown = rows[:done]
        if not is_history:
            running = self.market.open_candle(asset, now)
            if running is not None:
                first = {k: v[0] for k, v in vars(running).items()}
                shown = [*shown, _candle(self.market.profile(asset), first, is_done=False)]
            shown = [r for r in shown if int(r[0]) >= _oldest_kept_ms(now)]
        clock = np.array([int(r[0]) for r in shown], dtype=np.int64)
        # Copies: what is served may be cut and spoiled.
        return _answer(_newest_first(clock, np.ones(clock.size, dtype=bool), window, lambda i: list(shown[i])))

    def _closed_candles(self, symbol: str, asset: str) -> list[list[str]]:
        if symbol not in self._closed:
            profile, columns = self.market.profile(asset), vars(self.market.candles(asset))
            count = columns["start_ms"].size
            self._closed[symbol] = [
                _candle(profile, {k: v[i] for k, v in columns.items()}, is_done=True) for i in range(count)
            ]
        return self._closed[symbol]

    def _instrument(self, symbol: str) -> dict[str, Any]:
        asset, quote, kind = symbol.split("-")
        is_inverse, is_future, is_open = quote == "USD", kind != "SWAP", asset != PREOPEN_ASSET
        profile = self.market.profile(asset if is_open else self.market.assets[0])
        size = "100" if is_inverse else _size(profile)
        step = "1" if is_inverse else f"{10.0 ** -_contract_decimals(profile):.{_contract_decimals(profile)}f}"
        # The simulated contracts are listed with the first hour that the market shows.
        listed = to_ms(self.market.start)
        return {
            "alias": "quarter" if is_future else "",
            "auctionEndTime": "",
            "baseCcy": "",
            "category": "1",
            "contTdSwTime": "",
            "ctMult": "1",
            "ctType": "inverse" if is_inverse else "linear",
            "ctVal": size,
            "ctValCcy": "USD" if is_inverse else asset,
            "expTime": str(to_ms(_dated(self.market.world))) if is_future else "",
            "instFamily": f"{asset}-{quote}",
            "instId": symbol,
            "instType": "FUTURES" if is_future else "SWAP",
            "lever": "100",
            "listTime": str(listed),
            "lotSz": step,
            "maxIcebergSz": "100000000.0000000000000000",
            "maxLmtAmt": "20000000",
            "maxLmtSz": "100000000",
            "maxMktAmt": "",
            "maxMktSz": "35000",
            "maxStopSz": "35000",
            "maxTriggerSz": "100000000.0000000000000000",
            "maxTwapSz": "100000000.0000000000000000",
            "minSz": step,
            "openType": "",
            "optType": "",
            "quoteCcy": "",
            "ruleType": "normal",
            "settleCcy": asset if is_inverse else quote,
            "state": "live" if is_open else "preopen",
            "stk": "",
            "tickSz": f"{profile.tick_quote:.{profile.price_decimals}f}",
            "uly": f"{asset}-{quote}",
        }


def _answer(data: list[Any]) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": data}


def _parameter(name: str) -> OkxError:
    return OkxError("51000", f"Parameter {name} error")


def _needed(query: Mapping[str, Any], name: str) -> str:
    text = query.get(name)
    if not text:
        raise OkxError("50014", f"Parameter {name} can not be empty")
    return str(text)


def _whole(query: Mapping[str, Any], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _parameter(name)
    return int(text)


def _window(query: Mapping[str, Any], newer_than: str, older_than: str, *, default: int, most: int) -> Window:
    limit = _whole(query, "limit")
    if limit is not None and not 1 <= limit <= most:
        raise _parameter("limit")
    return Window(_whole(query, newer_than), _whole(query, older_than), limit or default)


def _newest_first(
    clock: NDArray[np.int64], shown: NDArray[np.bool_], window: Window, row: Callable[[int], Any]
) -> list[Any]:
    """Cut a page: the newest records inside the bounds, newest first; a lower bound alone gives the latest as well."""
    inside = shown.copy()
    if window.newer_than_ms is not None:
        inside &= clock > window.newer_than_ms
    if window.older_than_ms is not None:
        inside &= clock < window.older_than_ms
    picked: Sequence[int] = np.flatnonzero(inside)[::-1][: window.limit].tolist()
    return [row(i) for i in picked]


def _oldest_kept_ms(now: datetime) -> int:
    """Return the start of the oldest hour of the latest 1,440, of which the running one is the first."""
    return to_ms(now) // HOUR_MS * HOUR_MS - (ENTRIES_KEPT_COUNT - 1) * HOUR_MS


def _candle(profile: AssetProfile, candle: Mapping[str, Any], *, is_done: bool) -> list[str]:
    """One candle of nine strings: time, four prices, contracts, base units, quote units, whether it is completed."""
    volume = float(candle["volume_base"])
    return [
        str(int(candle["start_ms"])),
        _price(profile, candle["open_quote"]),
        _price(profile, candle["high_quote"]),
        _price(profile, candle["low_quote"]),
        _price(profile, candle["close_quote"]),
        _contracts(profile, volume),
        _base(profile, volume),
        f"{candle['volume_usd']:.4f}",
        "1" if is_done else "0",
    ]


def _price(profile: AssetProfile, price: float) -> str:
    return f"{price:.{profile.price_decimals}f}"


def _base(profile: AssetProfile, quantity: float) -> str:
    return f"{quantity:.{profile.quantity_decimals}f}"


def _contracts(profile: AssetProfile, quantity: float) -> str:
    """Return base units as contracts: as many decimals as the world's own quantity steps need."""
    return f"{quantity / float(_size(profile)):.{_contract_decimals(profile)}f}"


def _size(profile: AssetProfile) -> str:
    return CONTRACT_SIZES.get(profile.asset, "1")


def _contract_decimals(profile: AssetProfile) -> int:
    return profile.quantity_decimals + int(Decimal(_size(profile)).as_tuple().exponent)


def _dated(world: World) -> datetime:
    """Return when the dated contract is delivered: 08:00 on a Friday at least four weeks after the market's last day."""
    after = world.end.replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=28)
    return after + timedelta(days=(4 - after.weekday()) % 7)
