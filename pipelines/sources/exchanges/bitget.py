"""Bitget: which of the venue's requests answers which dataset, its page limits, its wire values.

Belongs here: what is Bitget's alone. Does not: what all venues share (``venue.py``).

Bitget counts quantities in coin. Settlements come by page numbers, newest first, and open interest as of now only.

References
----------
https://www.bitget.com/api-doc/contract/market/Get-Candle-Data
https://www.bitget.com/api-doc/contract/market/Get-History-Candle-Data
https://www.bitget.com/api-doc/contract/market/Get-History-Funding-Rate
https://www.bitget.com/api-doc/contract/market/Get-All-Symbol-Ticker
https://www.bitget.com/api-doc/contract/market/Get-Merge-Depth
https://www.bitget.com/api-doc/contract/position/Get-Query-Position-Lever
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from assets.ports import Capture, SourceOutage
from pipelines.sources.exchanges.venue import HOUR_MS, VenueClient
from pipelines.sources.records import Contract, Record, Request, WireBook, must_be_about, records_of
from pipelines.sources.wire_values import figure, instant, ms_of, of

# 1,000 of the last 83 days, 200 of all others; one less, because a window's edge may be a candle too.
RECENT_LIMIT = 999
HISTORY_LIMIT = 199
# /candles shows the running hour and reaches back 83 days; /history-candles shows completed hours of all years.
RECENT_CANDLES = timedelta(days=80)
FUNDING_LIMIT = 100

PRODUCT = "USDT-FUTURES"
_PATH = "/api/v2/mix/market"
_TICKERS = ("publicMixGetV2MixMarketTickers", f"{_PATH}/tickers")


def _asked(most: int) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of candles: bounds are rounded down to the hour, so the end is rounded up before."""

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        start, end = -(-since // HOUR_MS) * HOUR_MS, -(-until // HOUR_MS) * HOUR_MS
        bounds = {"startTime": start, "endTime": min(end, start + most * HOUR_MS)}
        return {"symbol": contract.symbol, "productType": PRODUCT, "granularity": "1H", **bounds, "limit": limit + 1}

    return query


def _data(value: Any, contract: Contract) -> list[Any]:
    return must_be_about(records_of(value, "data"), "symbol", contract.symbol)


def _rows(value: Any) -> list[Any]:
    return records_of(value, "data")


def _candles_at(name: str, method: str, most: int) -> Request:
    return Request(
        f"publicMixGetV2MixMarket{method}",
        f"{_PATH}/{name}",
        _asked(most),
        _data,
        lambda v: ms_of(v[0]) if isinstance(v, list) and v else None,
        width=7,
    )


_RECENT = _candles_at("candles", "Candles", RECENT_LIMIT)
_HISTORY = _candles_at("history-candles", "HistoryCandles", HISTORY_LIMIT)


class Bitget(VenueClient):
    """Client of Bitget: linear perpetuals in USDT."""

    venue = "bitget"
    ccxt_id = "bitget"
    # Without it ccxt asks for spot and every currency as well; of contracts it always asks for all six products.
    ccxt_options = {  # noqa: RUF012 - a constant of the class
        "has": {"fetchCurrencies": False},
        "options": {"fetchMarkets": {"types": ["swap"]}},
    }
    origin = "https://api.bitget.com"
    catalogue_path = f"{_PATH}/contracts"
    # The first of ccxt's six answers holds the contracts settled in USDT.
    catalogue_payload = 0
    price_tick_fields = ("pricePlace", "priceEndStep")
    quantity_step_fields = ("volumePlace", "sizeMultiplier")
    limits = {"candles": RECENT_LIMIT, "funding_rates": FUNDING_LIMIT}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for the server's time (`GET /api/v2/public/time`)."""
        self._ask("publicCommonGetV2PublicTime", "/api/v2/public/time", {})

    def first_offered_day(self, dataset: str) -> date | None:
        """Return the first UTC day that the venue still shows whole; of open interest there is only now."""
        return super().first_offered_day("depth_bands" if dataset == "open_interest" else dataset)

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        A range that reaches back further than `RECENT_CANDLES` is asked for in two parts, at two of the venue's paths.
        """
        last = last or day
        border = (self._clock.now() - RECENT_CANDLES).date()
        if last < border:
            return self._candles_of(_HISTORY, day, last)
        if day >= border:
            return self._candles_of(_RECENT, day, last)
        old = self._candles_of(_HISTORY, day, border - timedelta(days=1))
        return self._joined(old, self._candles_of(_RECENT, border, last))

    def _candles_of(self, request: Request, day: date, last: date) -> Capture:
        recent = self._limits["candles"]
        try:
            self._limits["candles"] = recent if request is _RECENT else min(recent, HISTORY_LIMIT)
            return self._candles(request, (day, last), lambda v: v[1:6] if isinstance(v, list) else ())
        finally:
            self._limits["candles"] = recent

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps.

        The venue numbers its pages from the newest settlement back: a day long ago costs a page per 100 settlements since.
        """
        start, end = self._bounds(day, last)
        path = f"{_PATH}/history-fund-rate"
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0] if start < end else []:
            found: dict[str, Record] = {}
            for page in self._funding_pages(path, contract, start, payloads):
                found.update((repr(record), record) for record in page)
            told = [(ms_of(of(r.value, "fundingTime")), r) for r in found.values()]
            stamped = [at for at, _ in told if at is not None]
            if any(newer <= older for newer, older in pairwise(stamped)):
                # A clock that is wrong among neighbours would stand beside the settlement whose day it took.
                text = f"{self.venue} {path} {contract.symbol}: settlements do not come newest first"
                raise SourceOutage("venue_error", text, "out_of_order")
            inside = [(at, r) for at, r in told if at is None or start <= at < end]
            rows += [
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(at),
                    "funding_rate_frac": figure(of(r.value, "fundingRate")),
                    "payload_sha256": r.payload_sha256,
                }
                for at, r in sorted(inside, key=lambda pair: (pair[0] is None, pair[0] or 0))
            ]
        return self._capture("funding_rates", rows, tuple(payloads), f"{self.method} {path}")

    def _funding_pages(self, path: str, contract: Contract, start: int, payloads: list[str]) -> list[list[Record]]:
        """Return the pages from the newest settlement back to the range's start, or to the contract's first."""
        pages: list[list[Record]] = []
        number, size = 1, self._limits["funding_rates"]
        while True:
            query = {"symbol": contract.symbol, "productType": PRODUCT, "pageSize": size, "pageNo": number}
            records, answer = self._snapshot(
                "publicMixGetV2MixMarketHistoryFundRate", path, query, lambda value: _data(value, contract)
            )
            payloads += answer.payloads
            times = [at for at in (ms_of(of(r, "fundingTime")) for r in records) if at is not None]
            if times and number > 2 and len(pages[-1]) < size:
                text = f"page {number - 1} holds {len(pages[-1])} of {size} records and is not the last"
                raise SourceOutage("venue_error", f"{self.venue} {path} {contract.symbol}: {text}")
            pages.append([Record(r, answer.payload_sha256) for r in records])
            if not times or min(times) < start:
                return pages
            # A server with smaller pages than asked for counts them by its own size: it is asked with that one.
            size = min(size, len(records)) if number == 1 else size
            number += 1

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return open interest as it is now, one row per contract; `day` to `last` must include today, or be to come.

        The venue keeps no history of it. It tells coins ("current positions in the unit of number of coins") and not whether
        on both sides; the house counts it as one-sided. A value in USD is not told.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before today.
        """
        first = self.first_offered_day("open_interest")
        if first is not None and day < first:
            text = f"{self.venue} shows open_interest as of now only: {day} is before {first}"
            raise SourceOutage("not_offered", text)
        start, end = self._bounds(day, last)
        if start >= end:
            return self._capture("open_interest", [], (), f"{self.method} {_TICKERS[1]}")
        contracts = self._contracts()[0]
        shown, answer = self._snapshot(*_TICKERS, {"productType": PRODUCT}, _rows)
        tickers = _by_symbol(shown)
        rows = [
            {
                **self._identity(contract),
                "occurred_at_utc": instant(ms_of(of(tickers.get(contract.symbol), "ts"))),
                "open_interest_base": figure(of(tickers.get(contract.symbol), "holdingAmount")),
                "open_interest_usd": None,
                "open_interest_basis": "one_sided",
                "payload_sha256": answer.payload_sha256,
            }
            for contract in contracts
        ]
        return self._capture("open_interest", rows, answer.payloads, f"{self.method} {_TICKERS[1]}")

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each, not merged."""

        def book(value: Any) -> WireBook:
            data = of(value, "data")
            return WireBook(of(data, "bids"), of(data, "asks"), of(data, "ts"))

        return self._depth_bands(
            "publicMixGetV2MixMarketMergeDepth",
            f"{_PATH}/merge-depth",
            lambda c: {"symbol": c.symbol, "productType": PRODUCT, "precision": "scale0", "limit": "max"},
            book,
        )

    def tickers(self) -> Capture:
        """Return all contracts of the product as they trade now."""
        shown, answer = self._snapshot(*_TICKERS, {"productType": PRODUCT}, _rows)
        tickers = _by_symbol(shown)
        rows = []
        for contract in self._listed()[0]:
            ticker = tickers.get(contract.symbol)
            held = figure(of(ticker, "holdingAmount"))
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(ms_of(of(ticker, "ts"))),
                    "last_quote": figure(of(ticker, "lastPr")),
                    "best_bid_quote": figure(of(ticker, "bidPr")),
                    "best_ask_quote": figure(of(ticker, "askPr")),
                    "mark_quote": figure(of(ticker, "markPrice")),
                    "index_quote": figure(of(ticker, "indexPrice")),
                    "volume_24h_base": figure(of(ticker, "baseVolume")),
                    "open_interest_base": held,
                    "open_interest_basis": None if held is None else "one_sided",
                    "payload_sha256": answer.payload_sha256,
                }
            )
        return self._capture("tickers", rows, answer.payloads, f"{self.method} {_TICKERS[1]}")

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now."""
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        return bool(is_perpetual and is_usdt and market["info"].get("symbolType") == "perpetual")


def _by_symbol(records: list[Any]) -> dict[str, Any]:
    return {r["symbol"]: r for r in records if isinstance(of(r, "symbol"), str)}
