"""Binance USD-M: which of the venue's requests answers which dataset, its page limits and memory, its wire values.

Belongs here: what is Binance's alone. Does not: what all venues share (``venue.py``).

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from assets.ports import Capture
from pipelines.sources.records import Contract, Request, WireBook, must_be_about, records_of
from pipelines.sources.venue import VenueClient
from pipelines.sources.wire_values import figure, instant, ms_of, of

KLINES_LIMIT = 1_500
FUNDING_LIMIT = 1_000
OPEN_INTEREST_LIMIT = 500
DEPTH_LIMIT = 1_000

# "Only the data of the latest 1 month is available": measured by users as 30 days.
OPEN_INTEREST_MEMORY = timedelta(days=30)


def _asked(**fixed: Any) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of a series: bounds are inclusive on both sides."""

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        return {**fixed, "symbol": contract.symbol, "startTime": since, "endTime": until - 1, "limit": limit}

    return query


def _records(value: Any, contract: Contract) -> list[Any]:
    return must_be_about(records_of(value), "symbol", contract.symbol)


_KLINES = Request(
    "fapiPublicGetKlines",
    "/fapi/v1/klines",
    _asked(interval="1h"),
    _records,
    lambda v: ms_of(v[0]) if isinstance(v, list) and v else None,
    width=12,
)
_FUNDING = Request(
    "fapiPublicGetFundingRate", "/fapi/v1/fundingRate", _asked(), _records, lambda v: ms_of(of(v, "fundingTime"))
)
_OPEN_INTEREST = Request(
    "fapiDataGetOpenInterestHist",
    "/futures/data/openInterestHist",
    _asked(period="1h"),
    _records,
    lambda v: ms_of(of(v, "timestamp")),
)


class BinanceUsdm(VenueClient):
    """Client of Binance USD-M: linear perpetuals in USDT."""

    venue = "binance"
    ccxt_id = "binanceusdm"
    origin = "https://fapi.binance.com"
    catalogue_path = "/fapi/v1/exchangeInfo"
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": KLINES_LIMIT,
        "funding_rates": FUNDING_LIMIT,
        "open_interest": OPEN_INTEREST_LIMIT,
    }
    memory = {"open_interest": OPEN_INTEREST_MEMORY}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for nothing (`GET /fapi/v1/ping`)."""
        self._ask("fapiPublicGetPing", "/fapi/v1/ping", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now."""
        return self._candles(_KLINES, (day, last), lambda v: v[1:6] if isinstance(v, list) else ())

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        # Eight hours is the longest interval; some contracts settle every four or every hour.
        return self._funding_rates(_FUNDING, (day, last), lambda v: of(v, "fundingRate"), longest_hours=8)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; each contract is counted once.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue would answer an error, and an empty answer
            would look like an empty market.
        """

        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(ms_of(of(record, "timestamp"))),
                "open_interest_base": figure(of(record, "sumOpenInterest")),
                "open_interest_usd": figure(of(record, "sumOpenInterestValue")),
                "open_interest_basis": "one_sided",
            }

        return self._series("open_interest", _OPEN_INTEREST, (day, last), row)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""
        return self._depth_bands(
            "fapiPublicGetDepth",
            "/fapi/v1/depth",
            lambda c: {"symbol": c.symbol, "limit": DEPTH_LIMIT},
            lambda v: WireBook(of(v, "bids"), of(v, "asks"), of(v, "T")),
        )

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now."""
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        return bool(is_perpetual and is_usdt and market["info"].get("contractType") == "PERPETUAL")
