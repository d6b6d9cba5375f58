"""Deribit: which of the venue's requests answers which dataset, its page limits, its wire values.

Belongs here: what is Deribit's alone. Does not: what all venues share (``venue.py``), what a trade of its says of a liquidation
(``liquidations.py``).

Every answer is a JSON-RPC envelope, and ccxt reads its error. An *amount* is what the venue counts with: US dollars of an
inverse contract (BTC and ETH, margin in the coin), base units of a linear one (margin in USDC). Only candles tell both.

References
----------
https://docs.deribit.com/api-reference/market-data/public-get_instruments
https://docs.deribit.com/api-reference/market-data/public-get_tradingview_chart_data
https://docs.deribit.com/api-reference/market-data/public-get_funding_rate_history
https://docs.deribit.com/api-reference/market-data/public-get_book_summary_by_currency
https://docs.deribit.com/api-reference/market-data/public-get_order_book
https://docs.deribit.com/api-reference/market-data/public-get_last_trades_by_instrument_and_time
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.records import Contract, Request, WireBook, WrongShape, must_be_about, records_of
from pipelines.sources.wire_values import figure, instant, ms_of, of, per, to_ms

# No page gives the most candles and settlements of an answer; users count 5,000 and 744. One less, as a window's edge is one.
CANDLES_LIMIT = 4_999
FUNDING_LIMIT = 743
TRADES_LIMIT = 1_000
DEPTH_LIMIT = 1_000

_PATH = "/api/v2/public"
_SUMMARIES_PATH = f"{_PATH}/get_book_summary_by_currency"
_CANDLE_LISTS = ("ticks", "open", "high", "low", "close", "volume")


def _asked(**fixed: Any) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of a series: bounds are inclusive on both sides."""

    def query(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
        bounds = {"start_timestamp": since, "end_timestamp": until - 1}
        return {**fixed, "instrument_name": contract.symbol, **bounds}

    return query


def _trades_asked(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    return {**_asked(sorting="asc")(contract, since, until, limit), "count": limit}


def _candles_of(value: Any, _: Contract) -> list[Any]:
    """Return candles as records; the answer holds a list per column."""
    result = of(value, "result")
    columns = [records_of(result, name) for name in _CANDLE_LISTS]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise WrongShape(f"has lists of different lengths ({min(lengths)} to {max(lengths)})")
    return [list(record) for record in zip(*columns, strict=True)]


_CANDLES = Request(
    "publicGetGetTradingviewChartData",
    f"{_PATH}/get_tradingview_chart_data",
    _asked(resolution="60"),
    _candles_of,
    lambda v: ms_of(v[0]),
)
# A settlement does not name its contract.
_FUNDING = Request(
    "publicGetGetFundingRateHistory",
    f"{_PATH}/get_funding_rate_history",
    _asked(),
    lambda value, _: records_of(value, "result"),
    lambda v: ms_of(of(v, "timestamp")),
)
_TRADES = Request(
    "publicGetGetLastTradesByInstrumentAndTime",
    f"{_PATH}/get_last_trades_by_instrument_and_time",
    _trades_asked,
    lambda value, contract: must_be_about(records_of(value, "result", "trades"), "instrument_name", contract.symbol),
    lambda v: ms_of(of(v, "timestamp")),
)


class Deribit(VenueClient):
    """Client of Deribit: inverse perpetuals in USD and linear ones in USDC. The venue names no limit of its memory."""

    venue = "deribit"
    ccxt_id = "deribit"
    # The list of currencies is of no use here.
    ccxt_options = {"has": {"fetchCurrencies": False}}  # noqa: RUF012 - a constant of the class
    origin = "https://www.deribit.com"
    catalogue_path = f"{_PATH}/get_instruments"
    # Without it the venue lists thousands of options.
    catalogue_query = {"currency": "any", "kind": "future"}  # noqa: RUF012 - a constant of the class
    only_now = frozenset({"open_interest"})
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": CANDLES_LIMIT,
        "funding_rates": FUNDING_LIMIT,
        "liquidations": TRADES_LIMIT,
    }

    def probe(self) -> None:
        """Ask for the venue's time (`GET /api/v2/public/get_time`)."""
        self._ask("publicGetGetTime", f"{_PATH}/get_time", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        The volume is in base units of inverse contracts as well. An hour without a trade repeats the last price.
        """
        return self._candles(_CANDLES, (day, last), lambda v: v[1:], is_volume_in_base=True)

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return what was paid in the hours that ended on the UTC days `day` to `last`.

        Funding is paid continuously: `interest_1h` is the sum over the hour that ends with the record, and `interest_8h` the
        one over eight hours, of which the next record repeats seven.
        """
        return self._funding_rates(_FUNDING, (day, last), lambda v: of(v, "interest_1h"), longest_hours=1)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return open interest as it is now, one row per contract; `day` to `last` must include today, or be to come.

        "The total amount of outstanding contracts": each is counted once. Of an inverse contract the venue tells US dollars,
        which are brought to base units at the mark price of the same answer.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before today, also where today ended while the venue was asked.
        """

        def rows() -> tuple[list[dict[str, Any]], tuple[str, ...]]:
            contracts = self._contracts()[0]
            found, payloads = self._summaries(contracts)
            at = instant(to_ms(self._clock.now()))
            shown = []
            for contract in contracts:
                summary, sha = found.get(contract.symbol, (None, payloads[-1]))
                held = self._open_interest_of(contract, summary)
                shown.append({**self._identity(contract), "occurred_at_utc": at, **held, "payload_sha256": sha})
            return shown, payloads

        return self._open_interest_now(_SUMMARIES_PATH, (day, last), rows)

    def tickers(self) -> Capture:
        """Return all perpetuals as they trade now, one request for each of the currencies they settle in."""
        contracts = self._listed()[0]
        found, payloads = self._summaries(contracts)
        rows = []
        for contract in contracts:
            summary, sha = found.get(contract.symbol, (None, payloads[-1]))
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(ms_of(of(summary, "creation_timestamp"))),
                    "last_quote": figure(of(summary, "last")),
                    "best_bid_quote": figure(of(summary, "bid_price")),
                    "best_ask_quote": figure(of(summary, "ask_price")),
                    "mark_quote": figure(of(summary, "mark_price")),
                    "index_quote": None,
                    "volume_24h_base": figure(of(summary, "volume")),
                    **self._open_interest_of(contract, summary),
                    "payload_sha256": sha,
                }
            )
        return self._capture("tickers", rows, payloads, f"{self.method} {_SUMMARIES_PATH}")

    def liquidations(self, day: date, last: date | None = None) -> Capture:
        """Return the trades of the UTC days `day` to `last` that a liquidation caused, among all trades.

        A page holds 1,000 trades, of which few are forced: a busy day of one contract costs some hundred requests.
        """

        def message(_: Contract, trade: Any) -> Any:
            return {"params": {"channel": "trades.any", "data": [trade]}}

        return self._liquidations("deribit", _TRADES, (day, last), newest_first=False, message=message)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""

        def book(value: Any) -> WireBook:
            result = of(value, "result")
            return WireBook(
                of(result, "bids"), of(result, "asks"), of(result, "timestamp"), of(result, "instrument_name")
            )

        return self._depth_bands(
            "publicGetGetOrderBook",
            f"{_PATH}/get_order_book",
            lambda c: {"instrument_name": c.symbol, "depth": DEPTH_LIMIT},
            book,
        )

    def _summaries(self, contracts: Iterable[Contract]) -> tuple[dict[str, tuple[Any, str]], tuple[str, ...]]:
        """Ask for the summaries of contracts; return each with its payload's hash by its name, and all payloads."""
        found: dict[str, tuple[Any, str]] = {}
        payloads: list[str] = []
        for currency in sorted({str(c.market["settleId"]) for c in contracts}):
            shown, answer = self._snapshot(
                "publicGetGetBookSummaryByCurrency",
                _SUMMARIES_PATH,
                {"currency": currency, "kind": "future"},
                lambda value: records_of(value, "result"),
            )
            payloads += answer.payloads
            found.update((str(of(s, "instrument_name")), (s, answer.payload_sha256)) for s in shown)
        return found, tuple(payloads)

    def _open_interest_of(self, contract: Contract, summary: Any) -> dict[str, Any]:
        amount = figure(of(summary, "open_interest"))
        base = self._in_base(contract, amount, figure(of(summary, "mark_price")))
        return {
            "open_interest_base": base,
            "open_interest_usd": amount if contract.kind == "inverse" else None,
            "open_interest_basis": "one_sided",
        }

    def _in_base(self, contract: Contract, quantity: float | None, price: float | None = None) -> float | None:
        """Return an amount in base units; dollars need a price."""
        if contract.kind == "linear" or quantity is None:
            return quantity
        return per(quantity, price)

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a perpetual that trades now: in USD with the coin, or in USDC with USDC."""
        settle, is_perpetual = market.get("settle"), market.get("swap") and market.get("active")
        is_inverse = market.get("inverse") and market.get("quote") == "USD" and settle == market.get("base")
        is_linear = market.get("linear") and settle == "USDC"
        return bool(is_perpetual and market["info"].get("kind") == "future" and (is_inverse or is_linear))
