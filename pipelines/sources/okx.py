"""OKX: which of the venue's requests answers which dataset, its page limits and memory, its wire values.

Belongs here: what is OKX's alone. Does not: what all venues share (``venue.py``).

OKX counts quantities in contracts. Where it also tells the base units itself (candles, open interest), those are taken: a
contract's size may have been another one when the record was made. Books tell only contracts and are as of now.

References
----------
https://www.okx.com/docs-v5/en/#public-data-rest-api
https://www.okx.com/docs-v5/en/#order-book-trading-market-data
https://www.okx.com/docs-v5/en/#trading-statistics-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from assets.ports import Capture
from pipelines.sources.records import Contract, Request, WireBook, must_be_about, records_of
from pipelines.sources.venue import VenueClient
from pipelines.sources.wire_values import figure, instant, ms_of, of

# The pages say 300 today and said 100 before; 100 is right with both.
CANDLES_LIMIT = 100
OPEN_INTEREST_LIMIT = 100
DEPTH_LIMIT = 400

# A page of funding begins with its newest record, so its window must never hold more records than the page. The pager counts
# in the longest interval (eight hours), a contract may settle every hour: 8 * 12 + 4 records are asked for at most. The
# venue's limit is 400 today and was 100 before.
FUNDING_HOURS = 8
FUNDING_LIMIT = 12

# "The latest 1,440 data entries": 60 days of hours. The one that runs counts as an entry, so one hour less is relied on.
OPEN_INTEREST_MEMORY = timedelta(hours=1_439)
# "Up to three months": February to April are the shortest three.
FUNDING_MEMORY = timedelta(days=89)
# /market/candles shows the running hour and forgets all but 1,440 candles. That /market/history-candles shows the running
# hour is documented nowhere, so it answers only for days before these; 30 stay far from the edge of what is forgotten.
RECENT_CANDLES = timedelta(days=30)


def _entry(record: Any, index: int) -> Any:
    """Return an entry of a JSON list, None where the value is no list or is shorter."""
    return record[index] if isinstance(record, list) and len(record) > index else None


def _between(lower: str, upper: str, **fixed: Any) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of a series; both bounds are exclusive, and which is which depends on the endpoint."""

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        return {**fixed, "instId": contract.symbol, lower: since - 1, upper: until, "limit": limit}

    return query


def _funding_query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of settlements; `limit` counts intervals of eight hours."""
    return _between("before", "after")(contract, since, until, FUNDING_HOURS * limit + 4)


def _records(value: Any, contract: Contract) -> list[Any]:
    return must_be_about(records_of(value, "data"), "instId", contract.symbol)


def _paid(record: Any) -> Any:
    """Return the rate that was paid; `fundingRate` is the one that was announced before."""
    paid = of(record, "realizedRate")
    return of(record, "fundingRate") if paid in (None, "") else paid


def _first_ms(record: Any) -> int | None:
    return ms_of(_entry(record, 0))


_RECENT_CANDLES = Request(
    "publicGetMarketCandles",
    "/api/v5/market/candles",
    # `before` is the older bound here: "records newer than".
    _between("before", "after", bar="1H"),
    _records,
    _first_ms,
    width=9,
)
_HISTORY_CANDLES = Request(
    "publicGetMarketHistoryCandles",
    "/api/v5/market/history-candles",
    _between("before", "after", bar="1H"),
    _records,
    _first_ms,
    width=9,
)
_FUNDING = Request(
    "publicGetPublicFundingRateHistory",
    "/api/v5/public/funding-rate-history",
    _funding_query,
    _records,
    lambda v: ms_of(of(v, "fundingTime")),
)
_OPEN_INTEREST = Request(
    "publicGetRubikStatContractsOpenInterestHistory",
    "/api/v5/rubik/stat/contracts/open-interest-history",
    _between("begin", "end", period="1H"),
    _records,
    _first_ms,
    width=4,
)


class Okx(VenueClient):
    """Client of OKX: linear perpetuals in USDT."""

    venue = "okx"
    ccxt_id = "okx"
    # Without it ccxt asks for spot, futures and options as well: five requests for what we leave out.
    ccxt_options = {"options": {"fetchMarkets": {"types": ["swap"]}}}  # noqa: RUF012 - a constant of the class
    origin = "https://www.okx.com"
    catalogue_path = "/api/v5/public/instruments"
    counts_contracts = True
    level_width = 4
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": CANDLES_LIMIT,
        "funding_rates": FUNDING_LIMIT,
        "open_interest": OPEN_INTEREST_LIMIT,
    }
    memory = {"funding_rates": FUNDING_MEMORY, "open_interest": OPEN_INTEREST_MEMORY}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for the venue's time (`GET /api/v5/public/time`)."""
        self._ask("publicGetPublicTime", "/api/v5/public/time", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        A range that reaches back further than `RECENT_CANDLES` is asked for in two parts, at two of the venue's paths.
        """
        last = last or day
        border = (self._clock.now() - RECENT_CANDLES).date()
        if last < border:
            return self._candles_at(_HISTORY_CANDLES, day, last)
        if day >= border:
            return self._candles_at(_RECENT_CANDLES, day, last)
        old = self._candles_at(_HISTORY_CANDLES, day, border - timedelta(days=1))
        return self._joined(old, self._candles_at(_RECENT_CANDLES, border, last))

    def _candles_at(self, request: Request, day: date, last: date) -> Capture:
        # Entry 5 counts contracts, 6 base units, 7 quote units.
        return self._candles(
            request,
            (day, last),
            lambda v: [*v[1:5], _entry(v, 6)] if isinstance(v, list) else (),
            is_volume_in_base=True,
        )

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`.
        """
        # Eight hours is the longest interval; the venue shortens it to six, four, two or one where a market moves.
        return self._funding_rates(_FUNDING, (day, last), _paid, longest_hours=FUNDING_HOURS)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; each contract is counted once.

        A row's time is taken as the instant of its figure: the venue's pages do not say whether it is the begin of the hour
        or stands for the whole of it, and the row of the running hour may still change.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue's empty answer would look like an empty
            market.
        """

        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(_first_ms(record)),
                # Entry 1 counts contracts, 2 base units, 3 US dollars.
                "open_interest_base": figure(_entry(record, 2)),
                "open_interest_usd": figure(_entry(record, 3)),
                "open_interest_basis": "one_sided",
            }

        return self._series("open_interest", _OPEN_INTEREST, (day, last), row)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""

        def book(value: Any) -> WireBook:
            shown = _entry(of(value, "data"), 0)
            return WireBook(of(shown, "bids"), of(shown, "asks"), of(shown, "ts"))

        return self._depth_bands(
            "publicGetMarketBooks",
            "/api/v5/market/books",
            lambda c: {"instId": c.symbol, "sz": DEPTH_LIMIT},
            book,
        )

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now.

        Its size must count base units, once: ccxt reads `ctVal` and neither its currency nor its multiplier.
        """
        info = market["info"]
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        is_in_base = info.get("ctType") == "linear" and info.get("ctValCcy") == market.get("baseId")
        return bool(is_perpetual and is_usdt and is_in_base and figure(info.get("ctMult")) == 1)
