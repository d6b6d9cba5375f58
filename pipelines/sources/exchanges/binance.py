"""Binance USD-M: which of the venue's requests answers which dataset, its page limits and memory, its wire values.

Belongs here: what is Binance's alone, and what COIN-M (``binance_coinm.py``) does alike. Does not: what all venues share
(``venue.py``).

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any, ClassVar

from assets.ports import Capture
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.records import Contract, Request, WireBook, must_be_about, records_of
from pipelines.sources.wire_values import figure, instant, ms_of, of, text

KLINES_LIMIT = 1_500
FUNDING_LIMIT = 1_000
# Of open interest and of the ratios.
STATISTICS_LIMIT = 500
DEPTH_LIMIT = 1_000

# "Only the data of the latest 1 month is available" (open interest), "of the latest 30 days" (ratios): users measured 30 days.
STATISTICS_MEMORY = timedelta(days=30)

# Kind of ratio -> what the venue calls it.
RATIOS = {
    "accounts": "globalLongShortAccountRatio",
    "top_accounts": "topLongShortAccountRatio",
    "top_positions": "topLongShortPositionRatio",
}

# A request's way to say what it is about: some take the contract, some the pair.
Subject = Callable[[Contract], Mapping[str, str]]


def by_symbol(contract: Contract) -> Mapping[str, str]:
    """Name a contract by its symbol."""
    return {"symbol": contract.symbol}


def by_pair(contract: Contract) -> Mapping[str, str]:
    """Name a contract by its pair, which its sibling contracts share."""
    return {"pair": str(contract.market["info"]["pair"])}


def _named(name: str) -> str:
    """Return a word of the venue as it stands in the names of ccxt's methods."""
    return name[0].upper() + name[1:]


def _asked(
    subject: Subject, longest_ms: int | None = None, **fixed: Any
) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of a series: bounds are inclusive on both sides, and at most `longest_ms` apart.

    A window that the pager needs whole holds no more than a page; it asks for longer ones only to see whether there is
    anything later at all.
    """

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        end = until - 1 if longest_ms is None else min(until - 1, since + longest_ms)
        return {**fixed, **subject(contract), "startTime": since, "endTime": end, "limit": limit}

    return query


def _records(subject: Subject) -> Callable[[Any, Contract], list[Any]]:
    """Return the reader of a series, whose records may be about nothing else than was asked for."""

    def records(value: Any, contract: Contract) -> list[Any]:
        rows = records_of(value)
        for name, asked in subject(contract).items():
            must_be_about(rows, name, asked)
        return rows

    return records


class BinanceUsdm(VenueClient):
    """Client of Binance USD-M: linear perpetuals in USDT."""

    venue = "binance"
    ccxt_id = "binanceusdm"
    origin = "https://fapi.binance.com"
    catalogue_path = "/fapi/v1/exchangeInfo"
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": KLINES_LIMIT,
        "minute_candles": KLINES_LIMIT,
        "funding_rates": FUNDING_LIMIT,
        "open_interest": STATISTICS_LIMIT,
        "long_short_ratios": STATISTICS_LIMIT,
    }
    memory = {"open_interest": STATISTICS_MEMORY, "long_short_ratios": STATISTICS_MEMORY}  # noqa: RUF012 - a constant of the class
    # The product in paths and in the names of ccxt's methods.
    family: ClassVar[str] = "fapi"
    # Which entry of a kline, and which field of a ticker, counts the traded base units.
    volume_entry: ClassVar[int] = 5
    volume_field: ClassVar[str] = "volume"
    # Milliseconds that the bounds of klines may lie apart.
    longest_window_ms: ClassVar[int | None] = None

    def probe(self) -> None:
        """Ask for nothing (`GET .../v1/ping`)."""
        self._ask(*self._public("ping"), {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly candles of trades, mark and index that start on the UTC days `day` to `last`.

        The running hour is as it is now. The index is that of the pair, whatever the contract.
        """
        kinds = {
            "trade": self._klines("klines", by_symbol),
            "mark": self._klines("markPriceKlines", by_symbol),
            "index": self._klines("indexPriceKlines", by_pair),
        }
        return self._joined(*(self._candles_of(kind, request, (day, last)) for kind, request in kinds.items()))

    def minute_candles(self, day: date, last: date | None = None) -> Capture:
        """Return the candles of trades of every minute of the UTC days `day` to `last`; the running one is as it is now."""
        request = self._klines("klines", by_symbol, "1m")
        return self._candles_of("trade", request, (day, last), dataset="minute_candles")

    def _candles_of(
        self, kind: str, request: Request, days: tuple[date, date | None], *, dataset: str = "candles"
    ) -> Capture:
        def entries(record: Any) -> list[Any]:
            if not isinstance(record, list):
                return []
            # Mark and index have no volume: what stands in its place is to be ignored.
            traded = record[self.volume_entry : self.volume_entry + 1] if kind == "trade" else []
            return [*[*record[1:5], *[None] * 4][:4], *traded]

        return self._candles(request, days, entries, price_kind=kind, is_volume_in_base=True, dataset=dataset)

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        request = Request(
            *self._public("fundingRate"), _asked(by_symbol), _records(by_symbol), lambda v: ms_of(of(v, "fundingTime"))
        )
        # Eight hours is the longest interval; some contracts settle every four or every hour.
        return self._funding_rates(request, (day, last), lambda v: of(v, "fundingRate"), longest_hours=8)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; each contract is counted once.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue would answer an error, and an empty answer
            would look like an empty market.
        """

        def row(contract: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(ms_of(of(record, "timestamp"))),
                **self._open_interest_of(contract, record),
                "open_interest_basis": "one_sided",
            }

        request = self._statistics("openInterestHist", self._open_interest_subject)
        return self._series("open_interest", request, (day, last), row)

    def _open_interest_of(self, contract: Contract, record: Any) -> dict[str, float | None]:
        """Return a record's open interest; here it tells base units and their value."""
        return {
            "open_interest_base": figure(of(record, "sumOpenInterest")),
            "open_interest_usd": figure(of(record, "sumOpenInterestValue")),
        }

    def long_short_ratios(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly ratios of the UTC days `day` to `last`: of all accounts, of the top ones and of their positions.

        The venue's top traders are the fifth of its accounts with the largest margin balance.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`.
        """
        return self._joined(*(self._ratios_of(kind, name, (day, last)) for kind, name in RATIOS.items()))

    def _ratios_of(self, kind: str, name: str, days: tuple[date, date | None]) -> Capture:
        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "ratio_kind": kind,
                "occurred_at_utc": instant(ms_of(of(record, "timestamp"))),
                "long_short_ratio_x": figure(of(record, "longShortRatio")),
            }

        return self._series("long_short_ratios", self._statistics(name, self._ratios_subject), days, row)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""
        return self._depth_bands(
            *self._public("depth"),
            lambda c: {"symbol": c.symbol, "limit": DEPTH_LIMIT},
            lambda v: WireBook(of(v, "bids"), of(v, "asks"), of(v, "T")),
        )

    def tickers(self) -> Capture:
        """Return all contracts of the product as they trade now, from three answers about all of them.

        The time and the payload are those of the day's trades. The venue tells the open interest of one contract at a time
        only: it is missing here.
        """
        answers = [
            self._snapshot(*self._public(name), {}) for name in ("ticker/24hr", "ticker/bookTicker", "premiumIndex")
        ]
        trades, quotes, marks = (_by_symbol(records) for records, _ in answers)
        rows = []
        for contract in self._listed()[0]:
            traded, quoted, marked = (found.get(contract.symbol) for found in (trades, quotes, marks))
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(ms_of(of(traded, "closeTime"))),
                    "last_quote": figure(of(traded, "lastPrice")),
                    "best_bid_quote": figure(of(quoted, "bidPrice")),
                    "best_ask_quote": figure(of(quoted, "askPrice")),
                    "mark_quote": figure(of(marked, "markPrice")),
                    "index_quote": figure(of(marked, "indexPrice")),
                    "volume_24h_base": figure(of(traded, self.volume_field)),
                    "payload_sha256": answers[0][1].payload_sha256,
                }
            )
        payloads = tuple(sha for _, answer in answers for sha in answer.payloads)
        return self._capture("tickers", rows, payloads, f"{self.method} {self._public('ticker/24hr')[1]} and others")

    def insurance_funds(self) -> Capture:
        """Return the balances of the insurance funds, one row per pool and asset; a pool is named by the symbols it stands for.

        The venue gives coins, and no value in USD.
        """
        endpoint, path = self._public("insuranceBalance")
        pools, answer = self._snapshot(endpoint, path, {})
        rows = [
            {
                "venue": self.venue,
                "fund_name": _pool_of(of(pool, "symbols")),
                "settle_asset": text(of(held, "asset")),
                "occurred_at_utc": instant(ms_of(of(held, "updateTime"))),
                "balance_settle": figure(of(held, "marginBalance")),
                "balance_usd": None,
                "payload_sha256": answer.payload_sha256,
            }
            for pool in pools
            for held in _assets_of(pool)
        ]
        return self._capture("insurance_funds", rows, answer.payloads, f"{self.method} {path}")

    def adl_states(self) -> Capture:
        """Return the venue's rating of each contract's risk of auto-deleveraging; it is made anew every half hour."""
        endpoint, path = self._public("symbolAdlRisk")
        ratings, answer = self._snapshot(endpoint, path, {})
        return self._adl_states(
            ratings,
            answer,
            path,
            lambda v: {
                "occurred_at_utc": instant(ms_of(of(v, "updateTime"))),
                "adl_word": (text(of(v, "adlRisk")) or "").lower() or None,
            },
        )

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now."""
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        return bool(is_perpetual and is_usdt and market["info"].get("contractType") == "PERPETUAL")

    # How statistics are asked for.
    def _open_interest_subject(self, contract: Contract) -> Mapping[str, str]:
        return by_symbol(contract)

    def _ratios_subject(self, contract: Contract) -> Mapping[str, str]:
        return by_symbol(contract)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _public(self, name: str) -> tuple[str, str]:
        """Return ccxt's method and the path of one of the product's own endpoints."""
        method = "".join(_named(part) for part in name.split("/"))
        return f"{self.family}PublicGet{method}", f"/{self.family}/v1/{name}"

    def _klines(self, name: str, subject: Subject, interval: str = "1h") -> Request:
        return Request(
            *self._public(name),
            _asked(subject, self.longest_window_ms, interval=interval),
            _records(subject),
            lambda v: ms_of(v[0]) if isinstance(v, list) and v else None,
            width=12,
        )

    def _statistics(self, name: str, subject: Subject) -> Request:
        """Return the request of a trading statistic; they share their bounds and their memory."""
        return Request(
            f"{self.family}DataGet{_named(name)}",
            f"/futures/data/{name}",
            _asked(subject, period="1h"),
            _records(subject),
            lambda v: ms_of(of(v, "timestamp")),
        )


def _by_symbol(records: Iterable[Any]) -> dict[str, Any]:
    return {record["symbol"]: record for record in records if isinstance(of(record, "symbol"), str)}


def _pool_of(symbols: Any) -> str | None:
    """Return a pool's name; None, which is refused, where the symbols cannot be read."""
    if not isinstance(symbols, list) or not symbols or not all(isinstance(s, str) for s in symbols):
        return None
    return ",".join(sorted(symbols))


def _assets_of(pool: Any) -> list[Any]:
    """Return what a pool holds; one without a list is one row without figures, which is refused and not lost."""
    held = of(pool, "assets")
    return held if isinstance(held, list) else [None]
