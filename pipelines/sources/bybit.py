"""Bybit: which of the venue's requests answers which dataset, its page limits, its wire values.

Belongs here: what is Bybit's alone. Does not: what all venues share (``venue.py``).

Every answer is an envelope with the code of success or failure inside; ccxt reads the code. Series come newest first, and a
page that is too short is filled from its newest record: no window here holds more records than a page.

References
----------
https://bybit-exchange.github.io/docs/v5/market/instrument
https://bybit-exchange.github.io/docs/v5/market/kline
https://bybit-exchange.github.io/docs/v5/market/history-fund-rate
https://bybit-exchange.github.io/docs/v5/market/open-interest
https://bybit-exchange.github.io/docs/v5/market/orderbook
https://bybit-exchange.github.io/docs/v5/rate-limit
https://bybit-exchange.github.io/docs/v5/error
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from assets.ports import Capture
from pipelines.sources.records import Contract, Request, WireBook, WrongShape, must_be_about, records_of
from pipelines.sources.transport import Transport
from pipelines.sources.venue import VenueClient
from pipelines.sources.wire_values import figure, instant, ms_of, of

KLINES_LIMIT = 1_000
OPEN_INTEREST_LIMIT = 200
FUNDING_LIMIT = 200
DEPTH_LIMIT = 1_000

# A contract's interval may change, to one hour at the least. The pager counts in the longest, eight hours, and sees no
# shorter hole; so its window must hold no more hourly settlements than a page, its edges included: 24 * 8 + 1 <= 200.
LONGEST_FUNDING_HOURS = 8
FUNDING_WINDOW_LIMIT = FUNDING_LIMIT // LONGEST_FUNDING_HOURS - 1

# "Wait for at least 10 minutes. The ban will be lifted automatically."
BAN_S = 600.0

# Server timeout and server error, told with HTTP 200: they pass, and ccxt does not say so.
PASSING_CODES = ("10000", "10016")


def _asked(
    start: str, end: str, records_per_step: int, most: int, **fixed: Any
) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of a series: bounds are inclusive on both sides, and both are always sent.

    Parameters
    ----------
    start, end : str
        The venue's names for the bounds.
    records_per_step : int
        How many records may stand within one of the pager's steps.
    most : int
        Records per page that the venue allows.
    """

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        bounds = {start: since, end: until - 1}
        # One step more where steps hold several records: the window's edge is a record too.
        count = limit if records_per_step == 1 else (limit + 1) * records_per_step
        return {**fixed, "category": "linear", "symbol": contract.symbol, **bounds, "limit": min(most, count)}

    return query


def _records(value: Any, contract: Contract) -> list[Any]:
    if of(of(value, "result"), "symbol") not in (None, contract.symbol):
        raise WrongShape("is about another symbol")
    return must_be_about(records_of(value, "result", "list"), "symbol", contract.symbol)


_KLINES = Request(
    "publicGetV5MarketKline",
    "/v5/market/kline",
    _asked("start", "end", 1, KLINES_LIMIT, interval="60"),
    _records,
    lambda v: ms_of(v[0]) if isinstance(v, list) and v else None,
    width=7,
)
_FUNDING = Request(
    "publicGetV5MarketFundingHistory",
    "/v5/market/funding/history",
    _asked("startTime", "endTime", LONGEST_FUNDING_HOURS, FUNDING_LIMIT),
    _records,
    lambda v: ms_of(of(v, "fundingRateTimestamp")),
)
_OPEN_INTEREST = Request(
    "publicGetV5MarketOpenInterest",
    "/v5/market/open-interest",
    _asked("startTime", "endTime", 1, OPEN_INTEREST_LIMIT, intervalTime="1h"),
    _records,
    lambda v: ms_of(of(v, "timestamp")),
)


def _book(value: Any) -> WireBook:
    result = of(value, "result")
    return WireBook(of(result, "b"), of(result, "a"), of(result, "ts"))


class Bybit(VenueClient):
    """Client of Bybit: linear perpetuals in USDT. The venue names no limit of its memory."""

    venue = "bybit"
    ccxt_id = "bybit"
    # Without it ccxt asks for spot, inverse contracts and every option as well.
    ccxt_options = {"options": {"fetchMarkets": {"types": ["linear"]}}}  # noqa: RUF012 - a constant of the class
    origin = "https://api.bybit.com"
    catalogue_path = "/v5/market/instruments-info"
    # ccxt asks a second time, for contracts before their launch; ours stand in the first answer.
    catalogue_payload = 0
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": KLINES_LIMIT,
        "funding_rates": FUNDING_WINDOW_LIMIT,
        "open_interest": OPEN_INTEREST_LIMIT,
    }
    least_ban_s = BAN_S

    def probe(self) -> None:
        """Ask for the server's time (`GET /v5/market/time`)."""
        self._ask("publicGetV5MarketTime", "/v5/market/time", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now."""
        return self._candles(_KLINES, (day, last), lambda v: v[1:6] if isinstance(v, list) else ())

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        # The catalogue tells an interval, but only today's: the past may have been denser.
        return self._funding_rates(
            _FUNDING, (day, last), lambda v: of(v, "fundingRate"), longest_hours=LONGEST_FUNDING_HOURS
        )

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; longs plus shorts, and no figure in USD."""

        # The venue's page: "the sum of both sides", in base coins for linear contracts. Its one-sided field is newer;
        # whether every past hour has it is not known.
        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(ms_of(of(record, "timestamp"))),
                "open_interest_base": figure(of(record, "openInterest")),
                "open_interest_usd": None,
                "open_interest_basis": "two_sided",
            }

        return self._series("open_interest", _OPEN_INTEREST, (day, last), row)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""
        return self._depth_bands(
            "publicGetV5MarketOrderbook",
            "/v5/market/orderbook",
            lambda c: {"category": "linear", "symbol": c.symbol, "limit": DEPTH_LIMIT},
            _book,
        )

    def _connection(self) -> tuple[Any, Transport]:
        is_new = self._client is None
        exchange, transport = super()._connection()
        if is_new:
            import ccxt  # noqa: PLC0415 - takes a second to import

            exchange.exceptions["exact"].update(dict.fromkeys(PASSING_CODES, ccxt.ExchangeNotAvailable))
        return exchange, transport

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now."""
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        return bool(is_perpetual and is_usdt and market["info"].get("contractType") == "LinearPerpetual")
