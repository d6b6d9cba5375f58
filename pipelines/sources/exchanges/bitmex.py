"""BitMEX: which of the venue's requests answers which dataset, its page limits, its wire values.

Belongs here: what is BitMEX's alone. Does not: what all venues share (``venue.py``).

BitMEX counts contracts and money in the smallest unit of the currency of settlement; a contract's multipliers say how many of
those a unit is. A candle is stamped with its end. The venue shows liquidation orders only while they rest in the book: its
stream is the place for them, there is no list to ask for.

References
----------
https://www.bitmex.com/api/explorer
https://docs.bitmex.com/api-explorer/get-instrument-active
https://docs.bitmex.com/app/restAPI
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.venue import HOUR_MS, VenueClient
from pipelines.sources.records import Contract, Request, WireBook, must_be_about, records_of
from pipelines.sources.transport import Answer
from pipelines.sources.wire_values import figure, instant, iso_ms_of, iso_of, of, per, to_ms

# "Maximum number of results to return": 1,000 candles and 500 settlements. One less, as a window's edge is a record too.
CANDLES_LIMIT = 999
FUNDING_LIMIT = 500
DEPTH_LIMIT = 1_000
INSURANCE_LIMIT = 100

# A contract's interval may change, to one hour at the least. The pager counts in the longest, eight hours: its window must
# hold no more hourly settlements than a page, its edges included.
LONGEST_FUNDING_HOURS = 8
FUNDING_WINDOW_LIMIT = FUNDING_LIMIT // LONGEST_FUNDING_HOURS - 1

# Currencies of insurance funds: what we call them, and how many of the venue's units one is.
CURRENCIES: Mapping[str, tuple[str, float]] = {"XBt": ("BTC", 1e8), "USDt": ("USDT", 1e6)}

_INSTRUMENTS_PATH = "/api/v1/instrument/active"
_INSURANCE_PATH = "/api/v1/insurance"


def _asked(shift_ms: int, count: Callable[[int], int], **fixed: Any) -> Callable[..., Mapping[str, Any]]:
    """Return the query of a series: bounds are inclusive on both sides, of stamps that stand `shift_ms` after our clock."""

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        bounds = {"startTime": iso_of(since + shift_ms), "endTime": iso_of(until - 1 + shift_ms)}
        return {**fixed, "symbol": contract.symbol, **bounds, "count": count(limit)}

    return query


def _records(value: Any, contract: Contract) -> list[Any]:
    return must_be_about(records_of(value), "symbol", contract.symbol)


def _began_ms(candle: Any) -> int | None:
    ended = iso_ms_of(of(candle, "timestamp"))
    return None if ended is None else ended - HOUR_MS


_CANDLES = Request(
    "publicGetTradeBucketed",
    "/api/v1/trade/bucketed",
    _asked(HOUR_MS, lambda limit: limit + 1, binSize="1h", partial="true"),
    _records,
    _began_ms,
)
_FUNDING = Request(
    "publicGetFunding",
    "/api/v1/funding",
    _asked(0, lambda _: FUNDING_LIMIT),
    _records,
    lambda v: iso_ms_of(of(v, "timestamp")),
)


class Bitmex(VenueClient):
    """Client of BitMEX: inverse perpetuals in USD and linear ones in USDT; quanto contracts are left out."""

    venue = "bitmex"
    ccxt_id = "bitmex"
    # The list of currencies is of no use here.
    ccxt_options = {"has": {"fetchCurrencies": False}}  # noqa: RUF012 - a constant of the class
    origin = "https://www.bitmex.com"
    catalogue_path = _INSTRUMENTS_PATH
    counts_contracts = True
    only_now = frozenset({"open_interest"})
    limits = {"candles": CANDLES_LIMIT, "funding_rates": FUNDING_WINDOW_LIMIT}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for urgent announcements (`GET /api/v1/announcement/urgent`): mostly none, and the venue has no lighter question."""
        self._ask("publicGetAnnouncementUrgent", "/api/v1/announcement/urgent", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        The volume is the base units that the venue tells beside contracts. A candle's open is the close before it, so it may
        lie outside of high and low, and then the row is refused.
        """

        def entries(record: Any) -> list[Any]:
            return [of(record, name) for name in ("open", "high", "low", "close", "homeNotional")]

        return self._candles(_CANDLES, (day, last), entries, is_volume_in_base=True)

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        return self._funding_rates(
            _FUNDING, (day, last), lambda v: of(v, "fundingRate"), longest_hours=LONGEST_FUNDING_HOURS
        )

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return open interest as it is now, one row per contract; `day` to `last` must include today, or be to come.

        Each contract is counted once.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before today, also where today ended while the venue was asked.
        """

        def rows() -> tuple[list[dict[str, Any]], tuple[str, ...]]:
            found, answer = self._active()
            at = instant(to_ms(self._clock.now()))
            shown = [
                {
                    **self._identity(contract),
                    "occurred_at_utc": at,
                    **_open_interest_of(contract, found.get(contract.symbol)),
                    "payload_sha256": answer.payload_sha256,
                }
                for contract in self._contracts()[0]
            ]
            return shown, answer.payloads

        return self._open_interest_now(_INSTRUMENTS_PATH, (day, last), rows)

    def tickers(self) -> Capture:
        """Return all perpetuals as they trade now, in one answer; it holds every contract of the venue."""
        found, answer = self._active()
        rows = []
        for contract in self._listed()[0]:
            shown = found.get(contract.symbol)
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(iso_ms_of(of(shown, "timestamp"))),
                    "last_quote": figure(of(shown, "lastPrice")),
                    "best_bid_quote": figure(of(shown, "bidPrice")),
                    "best_ask_quote": figure(of(shown, "askPrice")),
                    "mark_quote": figure(of(shown, "markPrice")),
                    "index_quote": figure(of(shown, "indicativeSettlePrice")),
                    "volume_24h_base": figure(of(shown, "homeNotional24h")),
                    **_open_interest_of(contract, shown),
                    "payload_sha256": answer.payload_sha256,
                }
            )
        return self._capture("tickers", rows, answer.payloads, f"{self.method} {_INSTRUMENTS_PATH}")

    def insurance_funds(self) -> Capture:
        """Return the newest daily balance of each currency's fund, in coins; no value in USD is told.

        A currency whose units are not known here has no balance, and its row is refused with that reason.
        """
        asked = {"currency": "all", "reverse": "true", "count": INSURANCE_LIMIT}
        balances, answer = self._snapshot("publicGetInsurance", _INSURANCE_PATH, asked)
        newest: dict[str, Any] = {}
        for balance in sorted(balances, key=lambda b: iso_ms_of(of(b, "timestamp")) or 0):
            newest[str(of(balance, "currency"))] = balance
        rows = []
        for currency, balance in sorted(newest.items()):
            settle, units = CURRENCIES.get(currency, (currency, None))
            held = figure(of(balance, "walletBalance"))
            rows.append(
                {
                    "venue": self.venue,
                    "fund_name": currency,
                    "settle_asset": settle,
                    "occurred_at_utc": instant(iso_ms_of(of(balance, "timestamp"))),
                    "balance_settle": None if held is None or units is None else held / units,
                    "balance_usd": None,
                    "payload_sha256": answer.payload_sha256,
                }
            )
        return self._capture("insurance_funds", rows, answer.payloads, f"{self.method} {_INSURANCE_PATH}")

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""
        return self._depth_bands(
            "publicGetOrderBookL2",
            "/api/v1/orderBook/L2",
            lambda c: {"symbol": c.symbol, "depth": DEPTH_LIMIT},
            _book_of,
        )

    def _active(self) -> tuple[dict[str, Any], Answer]:
        """Ask for all contracts; return them by symbol and the answer that holds them."""
        shown, answer = self._snapshot("publicGetInstrumentActive", _INSTRUMENTS_PATH, {})
        return {i["symbol"]: i for i in shown if isinstance(of(i, "symbol"), str)}, answer

    def _contract(self, market: Mapping[str, Any]) -> Contract:
        """Return a contract with its size from the venue's own figures.

        Of an inverse one ccxt gives the multiplier, which is dollars in satoshi; of a linear one a figure that it reads in the
        digits of any script.
        """
        told, by_settle = market["info"], "underlyingToSettleMultiplier"
        if market.get("inverse"):
            size = _size(figure(told.get("multiplier")), figure(told.get(by_settle)))
        else:
            by_position = "underlyingToPositionMultiplier"
            # The second stands in where the first is absent, as ccxt has it, and not where it cannot be read.
            size = _size(1.0, figure(told.get(by_settle if told.get(by_position) is None else by_position)))
        return super()._contract({**market, "contractSize": size or None})

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a perpetual that trades now: in USD with the coin, or in USDT with USDT."""
        is_perpetual = market.get("swap") and market.get("active") and market["info"].get("typ") == "FFWCSX"
        terms = (market.get("quote"), market.get("settle"))
        is_inverse = market.get("inverse") and not market.get("quanto") and terms == ("USD", market.get("base"))
        is_linear = market.get("linear") and terms == ("USDT", "USDT")
        return bool(is_perpetual and (is_inverse or is_linear))


def _size(value: float | None, units: float | None) -> float | None:
    found = per(value, units)
    return None if found is None else abs(found)


def _open_interest_of(contract: Contract, shown: Any) -> dict[str, Any]:
    """Return open interest from contracts and from their value: coins of an inverse contract, dollars of a linear one."""
    contracts, value = figure(of(shown, "openInterest")), figure(of(shown, "openValue"))
    is_inverse = contract.kind == "inverse"
    units = figure(of(shown, "underlyingToSettleMultiplier" if is_inverse else "quoteToSettleMultiplier"))
    told = _size(value, units)
    if is_inverse:
        usd = None if contracts is None or contract.size_usd is None else contracts * contract.size_usd
        base = told
    else:
        base, usd = contract.in_base(contracts), told
    return {"open_interest_base": base, "open_interest_usd": usd, "open_interest_basis": "one_sided"}


def _book_of(value: Any) -> WireBook:
    """Return the book from its one list of levels; each names its side and its contract.

    A level that names no side spoils both: left out, it would thin a band that reads as whole.
    """
    levels = value if isinstance(value, list) else []

    def side(name: str, *, best_is_highest: bool) -> list[Any]:
        found = [[of(level, "price"), of(level, "size")] for level in levels if of(level, "side") == name]
        found += [[None, None] for level in levels if of(level, "side") not in ("Buy", "Sell")]
        return sorted(found, key=lambda pair: figure(pair[0]) or 0.0, reverse=best_is_highest)

    symbols = {str(of(level, "symbol")) for level in levels}
    # Of a mixture none is the contract's own.
    symbol = None if not symbols else min(symbols) if len(symbols) == 1 else "several"
    clocks = [at for level in levels if (at := iso_ms_of(of(level, "timestamp"))) is not None]
    return WireBook(
        side("Buy", best_is_highest=True), side("Sell", best_is_highest=False), max(clocks, default=None), symbol
    )
