"""Binance USD-M through ccxt: the client behind the raw datasets of venue ``binance``, source ``ccxt``.

Belongs here: which of the venue's requests answers which dataset, its page limits and memory, and the way from its wire
values to the raw tables. Does not: retries and payloads (``transport.py``), the walk over pages (``paging.py``), the sums of a
book (``depth.py``), validation (``quality``), splitting by day (``assets/lake``).

ccxt signs nothing here and parses only the catalogue. Series come through its raw endpoints, because its unified methods
filter rows by `since` and `limit` after the fact (a dropped row leaves no trace) and cap klines at 1,000; the figures are
the strings of the very body whose hash stands in the row.

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

import math
import time as wall
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from assets.ports import Capture, Clock, RawLake, SourceOutage
from pipelines.sources.addresses import checked_base_url, rehosted
from pipelines.sources.depth import BANDS_BPS, BookFault, bands_of
from pipelines.sources.paging import PagingFault, Range, fetch_range
from pipelines.sources.transport import Answer, Gate, RetryPolicy, Transport
from pipelines.sources.wire_values import figure, instant, ms_of, of, to_ms
from quality.schemas.raw import RAW_TABLES

HOUR_MS = 3_600_000

KLINES_LIMIT = 1_500
FUNDING_LIMIT = 1_000
OPEN_INTEREST_LIMIT = 500
DEPTH_LIMIT = 1_000

# "Only the data of the latest 1 month is available": measured by users as 30 days. Our clock may be behind the venue's.
OPEN_INTEREST_MEMORY = timedelta(days=30)
CLOCK_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Contract:
    """A listed contract of the universe: our asset, the venue's symbol, when it was listed (ms), its catalogue entry."""

    asset: str
    symbol: str
    listed_ms: int | None
    market: Mapping[str, Any]


@dataclass(frozen=True)
class _Record:
    """One record of a page and the payload it came from."""

    value: Any
    # Not in the repr: the pager tells records without a time apart by it, and the same one may stand on two pages.
    payload_sha256: str = field(repr=False)


class BinanceUsdm:
    """Client of Binance USD-M (``assets.ports.ExchangeSource``); every fault of the venue is a `SourceOutage`.

    Parameters
    ----------
    lake : RawLake
        Keeps the bodies of all answers.
    clock : Clock
        Ours: nothing after it is asked for.
    base_url : str or None
        Another host for all of the venue's paths: the sandbox on loopback, or a gateway (https). None: the venue.
    universe : sequence of str
        Base assets; what the venue does not list as a linear USDT perpetual is left out and named in `origin_note`.
    is_synthetic : bool
        True for the sandbox, which is on loopback, and only for it.
    policy, gate, sleep
        Of the transport; a gate with a folder shares blocks between processes.
    page_limits : mapping or None
        Smaller page limits per dataset (``candles``, ``funding_rates``, ``open_interest``), for tests of page edges.

    Raises
    ------
    ValueError
        Where `base_url` is no plain http(s) address, a foreign host is not https, or `is_synthetic` and loopback disagree.
    """

    venue = "binance"
    source = "ccxt"

    def __init__(
        self,
        lake: RawLake,
        *,
        clock: Clock,
        universe: Sequence[str],
        is_synthetic: bool,
        base_url: str | None = None,
        policy: RetryPolicy | None = None,
        gate: Gate | None = None,
        sleep: Callable[[float], None] = wall.sleep,
        page_limits: Mapping[str, int] | None = None,
    ) -> None:
        self.is_synthetic = is_synthetic
        self._base_url = checked_base_url(base_url, is_synthetic=is_synthetic, source=self.venue)
        self._clock = clock
        self._universe = tuple(universe)
        self._limits = {
            "candles": KLINES_LIMIT,
            "funding_rates": FUNDING_LIMIT,
            "open_interest": OPEN_INTEREST_LIMIT,
            **(page_limits or {}),
        }
        self._lake, self._policy, self._gate, self._sleep = lake, policy, gate, sleep
        self._client: tuple[Any, Transport] | None = None
        self._catalogue: tuple[date, list[Contract], str] | None = None

    # -- datasets -----------------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Ask the venue for nothing, the cheapest request there is.

        Raises
        ------
        SourceOutage
            Where it does not answer; the code says why.
        """
        self._ask("fapiPublicGetPing", "/fapi/v1/ping", {})

    def instruments(self) -> Capture:
        """Return the linear USDT perpetuals of the universe that trade now, from the catalogue, loaded once a day."""
        contracts, sha = self._contracts()
        rows = [
            {
                "venue": self.venue,
                "venue_symbol": c.symbol,
                "asset": c.asset,
                "quote_asset": c.market["quote"],
                "settle_asset": c.market["settle"],
                "contract_kind": "linear",
                "contract_size_base": figure(c.market["contractSize"]),
                "price_tick_quote": figure(c.market["precision"]["price"]),
                "quantity_step_base": figure(c.market["precision"]["amount"]),
                "listed_at_utc": instant(c.listed_ms),
                "payload_sha256": sha,
            }
            for c in contracts
        ]
        return self._capture("instruments", rows, (sha,), "GET /fapi/v1/exchangeInfo")

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now."""
        start, end = self._bounds(day, last)

        def row(contract: Contract, record: _Record) -> dict[str, Any]:
            value = record.value if isinstance(record.value, list) else []
            entry = [*value, *[None] * 6][:6]
            begins = instant(ms_of(entry[0]))
            return {
                **self._identity(contract),
                "price_kind": "trade",
                "interval_start_utc": begins,
                "interval_end_utc": begins + timedelta(hours=1) if begins else None,
                "open_quote": figure(entry[1]),
                "high_quote": figure(entry[2]),
                "low_quote": figure(entry[3]),
                "close_quote": figure(entry[4]),
                "volume_base": figure(entry[5]),
                "payload_sha256": record.payload_sha256,
            }

        return self._series(
            "candles",
            ("fapiPublicGetKlines", "/fapi/v1/klines", {"interval": "1h"}),
            lambda c: self._range("candles", start, end, c, HOUR_MS),
            lambda v: ms_of(v[0]) if isinstance(v, list) and v else None,
            row,
        )

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        start, end = self._bounds(day, last)

        def row(contract: Contract, record: _Record) -> dict[str, Any]:
            return {
                **self._identity(contract),
                "occurred_at_utc": instant(ms_of(of(record.value, "fundingTime"))),
                "funding_rate_frac": figure(of(record.value, "fundingRate")),
                "payload_sha256": record.payload_sha256,
            }

        # Eight hours is the longest interval; some contracts settle every four or every hour, with no field that says so.
        return self._series(
            "funding_rates",
            ("fapiPublicGetFundingRate", "/fapi/v1/fundingRate", {}),
            lambda c: self._range("funding_rates", start, end, c, 8 * HOUR_MS, slack_ms=60_000, is_regular=False),
            lambda v: ms_of(of(v, "fundingTime")),
            row,
        )

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; each contract is counted once.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue would answer an error, and an empty answer
            would look like an empty market.
        """
        first = self.first_offered_day("open_interest")
        if first is not None and day < first:
            raise SourceOutage(
                "not_offered",
                f"{self.venue} keeps 30 days of open interest: {day} is before {first}, the first day it still shows whole",
            )
        start, end = self._bounds(day, last)
        oldest_ms = to_ms(self._oldest_open_interest())

        def row(contract: Contract, record: _Record) -> dict[str, Any]:
            return {
                **self._identity(contract),
                "occurred_at_utc": instant(ms_of(of(record.value, "timestamp"))),
                "open_interest_base": figure(of(record.value, "sumOpenInterest")),
                "open_interest_usd": figure(of(record.value, "sumOpenInterestValue")),
                "open_interest_basis": "one_sided",
                "payload_sha256": record.payload_sha256,
            }

        return self._series(
            "open_interest",
            ("fapiDataGetOpenInterestHist", "/futures/data/openInterestHist", {"period": "1h"}),
            lambda c: self._range("open_interest", start, end, c, HOUR_MS),
            lambda v: ms_of(of(v, "timestamp")),
            row,
            oldest_ms=oldest_ms,
        )

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each.

        A book that cannot be summed (a side empty, crossed, a level that is no number) gives rows without a mid, which the
        raw table refuses with a reason; the other books stand.
        """
        contracts, _ = self._contracts()
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        faults: list[str] = []
        for contract in contracts:
            query = {"symbol": contract.symbol, "limit": DEPTH_LIMIT}
            answer = self._ask("fapiPublicGetDepth", "/fapi/v1/depth", query)
            payloads += answer.payloads
            bands: Sequence[Any] = ()
            mid = None
            try:
                mid, bands = bands_of(_levels(answer.value, "bids"), _levels(answer.value, "asks"))
            except BookFault as fault:
                faults.append(f"{contract.symbol}: {fault}")
            depth_of = {b.band_bps: b for b in bands}
            rows += [
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(ms_of(of(answer.value, "T"))),
                    "mid_quote": mid,
                    "band_bps": float(bps),
                    "bid_depth_base": depth_of[bps].bid_depth_base if bps in depth_of else None,
                    "ask_depth_base": depth_of[bps].ask_depth_base if bps in depth_of else None,
                    "payload_sha256": answer.payload_sha256,
                }
                for bps in BANDS_BPS
            ]
        note = "; ".join([f"GET /fapi/v1/depth limit={DEPTH_LIMIT}", *faults])
        return self._capture("depth_bands", rows, tuple(payloads), note)

    def first_offered_day(self, dataset: str) -> date | None:
        """Return the first UTC day that the venue still shows whole, or None where it forgets nothing.

        A caller with a longer range splits it here and records the days before as ``not_offered``.
        """
        if dataset == "depth_bands":
            return self._clock.now().date()
        if dataset != "open_interest":
            return None
        oldest = self._oldest_open_interest()
        return oldest.date() if oldest.time() == time() else oldest.date() + timedelta(days=1)

    # -- asking -------------------------------------------------------------------------------------------------------

    def _oldest_open_interest(self) -> datetime:
        return self._clock.now() - OPEN_INTEREST_MEMORY + CLOCK_MARGIN

    def _connection(self) -> tuple[Any, Transport]:
        if self._client is None:
            import ccxt  # noqa: PLC0415 - takes a second to import

            exchange = ccxt.binanceusdm({"enableRateLimit": not self.is_synthetic, "timeout": 10_000})
            if self._base_url is not None:
                exchange.urls["api"] = {k: rehosted(v, self._base_url) for k, v in exchange.urls["api"].items()}
            transport = Transport(
                exchange,
                self._lake,
                clock=self._clock,
                venue=self.venue,
                policy=self._policy,
                gate=self._gate,
                sleep=self._sleep,
            )
            self._client = (exchange, transport)
        return self._client

    def _ask(self, endpoint: str, path: str, query: Mapping[str, Any]) -> Answer:
        exchange, transport = self._connection()
        url = rehosted(f"https://fapi.binance.com{path}", self._base_url)
        return transport.call(lambda: getattr(exchange, endpoint)(dict(query)), url=url)

    def _contracts(self) -> tuple[list[Contract], str]:
        """Load the catalogue once per client and day; return the universe's contracts in its order, and the payload's hash."""
        today = self._clock.now().date()
        if self._catalogue is None or self._catalogue[0] != today:
            exchange, transport = self._connection()
            url = rehosted("https://fapi.binance.com/fapi/v1/exchangeInfo", self._base_url)
            answer = transport.call(lambda: exchange.load_markets(True), url=url)
            if not answer.value:
                raise SourceOutage("venue_error", f"{self.venue} lists no contract at all (GET /fapi/v1/exchangeInfo)")
            listed = [_contract(m) for m in answer.value.values() if _is_ours(m)]
            rank = {asset: i for i, asset in enumerate(self._universe)}
            chosen = sorted((c for c in listed if c.asset in rank), key=lambda c: (rank[c.asset], c.symbol))
            self._catalogue = (today, chosen, answer.payload_sha256)
        return self._catalogue[1], self._catalogue[2]

    def _bounds(self, day: date, last: date | None) -> tuple[int, int]:
        """Return the days as milliseconds [start, end), not beyond now."""
        last = last or day
        if last < day:
            raise ValueError(f"a range of days needs its first day first: {day} is after {last}")
        end = datetime.combine(last, time()) + timedelta(days=1)
        return to_ms(datetime.combine(day, time())), min(to_ms(end), to_ms(self._clock.now()) + 1)

    def _range(self, dataset: str, start: int, end: int, contract: Contract, spacing_ms: int, **more: Any) -> Range:
        """Return what is due of a contract: nothing before its listing, pages no longer than needed (they have weight)."""
        listed = contract.listed_ms
        begins = start if listed is None else max(start, listed // HOUR_MS * HOUR_MS)
        needed = max(0, end - begins) // min(spacing_ms, HOUR_MS) + 2
        limit = min(self._limits[dataset], needed)
        return Range(begins, end, spacing_ms, limit, history_start_ms=listed, **more)

    def _series(
        self,
        dataset: str,
        request: tuple[str, str, Mapping[str, Any]],
        range_of: Callable[[Contract], Range],
        clock: Callable[[Any], int | None],
        row_of: Callable[[Contract, _Record], dict[str, Any]],
        oldest_ms: int = 0,
    ) -> Capture:
        """Page through one series per contract and bring its records into the raw table's columns."""
        endpoint, path, fixed = request
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0]:

            def page(since: int, until: int, limit: int, symbol: str = contract.symbol) -> list[_Record]:
                since = max(since, oldest_ms)
                if since >= until:
                    return []
                query = {**fixed, "symbol": symbol, "startTime": since, "endTime": until - 1, "limit": limit}
                answer = self._ask(endpoint, path, query)
                payloads.extend(answer.payloads)
                return [_Record(v, answer.payload_sha256) for v in self._list_of(answer, path, symbol)]

            try:
                records = fetch_range(page, range_of(contract), lambda r: clock(r.value))
            except PagingFault as fault:
                raise SourceOutage("venue_error", f"{self.venue} {path} {contract.symbol}: {fault}") from fault
            rows += [row_of(contract, r) for r in records]
        return self._capture(dataset, rows, tuple(payloads), f"GET {path}")

    def _list_of(self, answer: Answer, path: str, symbol: str) -> list[Any]:
        """Return the records of a page; refuse an answer of another shape or about another symbol."""
        if not isinstance(answer.value, list):
            raise SourceOutage("venue_error", f"{self.venue} {path} {symbol}: the answer is no list of records")
        other = next((v for v in answer.value if isinstance(v, dict) and v.get("symbol", symbol) != symbol), None)
        if other is not None:
            raise SourceOutage("venue_error", f"{self.venue} {path} {symbol}: a record is about another symbol")
        return answer.value

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _identity(self, contract: Contract) -> dict[str, str]:
        return {"venue": self.venue, "venue_symbol": contract.symbol, "asset": contract.asset}

    def _capture(self, dataset: str, rows: list[dict[str, Any]], payloads: tuple[str, ...], note: str) -> Capture:
        """Return rows as a capture: numbered, typed, with a note of what the venue does not list."""
        schema = {**RAW_TABLES[dataset].raw_schema, "row_count": pl.Int64()}
        numbered = [{**row, "row_count": i} for i, row in enumerate(rows, start=1)]
        listed = {c.asset for c in self._contracts()[0]}
        absent = [a for a in self._universe if a not in listed]
        note += f"; not listed here: {', '.join(absent)}" if absent else ""
        return Capture(pl.DataFrame(numbered, schema=schema, strict=True), tuple(dict.fromkeys(payloads)), note)


def _is_ours(market: Mapping[str, Any]) -> bool:
    """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now."""
    is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
    is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
    return bool(is_perpetual and is_usdt and market["info"].get("contractType") == "PERPETUAL")


def _contract(market: Mapping[str, Any]) -> Contract:
    return Contract(str(market["base"]), str(market["id"]), ms_of(market.get("created")), market)


def _levels(book: Any, side: str) -> list[tuple[float, float]]:
    """Return a side's levels as numbers; what is no number becomes NaN, which the sums refuse."""
    entries = of(book, side)
    levels = []
    for entry in entries if isinstance(entries, list) else []:
        pair = entry[:2] if isinstance(entry, list) else []
        price, quantity = (figure(v) for v in (*pair, None, None)[:2])
        levels.append((math.nan if price is None else price, math.nan if quantity is None else quantity))
    return levels
