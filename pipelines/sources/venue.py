"""What all venues' clients share: the catalogue once a day, series by pages, books into bands, rows into the raw tables.

Belongs here: the way from a venue's answers to captures, whatever the venue. Does not: any venue's requests, limits or wire
values (``binance.py`` and its siblings, one class each), retries and payloads (``transport.py``), the walk over pages
(``paging.py``), the sums of a book (``depth.py``), validation (``quality``), splitting by day (``assets/lake``).

ccxt signs nothing here and parses only the catalogue. Series come through its raw endpoints, because its unified methods
filter rows by `since` and `limit` after the fact (a dropped row leaves no trace); the figures are those of the very body
whose hash stands in the row.
"""

from __future__ import annotations

import math
import time as wall
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

import polars as pl

from assets.ports import Capture, Clock, RawLake, SourceOutage
from pipelines.sources.addresses import checked_base_url, rehosted
from pipelines.sources.depth import BANDS_BPS, BookFault, bands_of
from pipelines.sources.paging import PagingFault, Range, fetch_range
from pipelines.sources.transport import LEAST_BAN_S, Answer, Gate, RetryPolicy, Transport
from pipelines.sources.wire_values import figure, instant, ms_of, of, to_ms
from quality.schemas.raw import RAW_TABLES

HOUR_MS = 3_600_000

# Our clock may be behind the venue's: what it is about to forget is not asked for.
CLOCK_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Contract:
    """A listed contract of the universe: our asset, the venue's symbol, when it was listed (ms), its catalogue entry."""

    asset: str
    symbol: str
    listed_ms: int | None
    market: Mapping[str, Any]

    @property
    def size_base(self) -> float | None:
        """Base units of one contract, None where the catalogue tells no number."""
        return figure(self.market["contractSize"])


class WrongShape(Exception):
    """An answer that is not what its documentation shows; the message completes the sentence "the answer ..."."""


@dataclass(frozen=True)
class Request:
    """One kind of request of a venue.

    Parameters
    ----------
    endpoint : str
        ccxt's method for it.
    path : str
        The venue's own path, for blocks, messages and the capture's note.
    query : callable
        ``query(contract, since_ms, until_ms, limit)``: what is sent for records with ``since_ms <= clock < until_ms``.
    records : callable
        ``records(value, contract)``: the list of records in a decoded answer; `WrongShape` where there is none, or where they
        are another contract's.
    clock : callable
        A record's time in milliseconds, None where it cannot be read.
    """

    endpoint: str
    path: str
    query: Callable[[Contract, int, int, int], Mapping[str, Any]]
    records: Callable[[Any, Contract], list[Any]]
    clock: Callable[[Any], int | None]


@dataclass(frozen=True)
class Record:
    """One record of a page and the payload it came from."""

    value: Any
    # Not in the repr: the pager tells records without a time apart by it, and the same one may stand on two pages.
    payload_sha256: str = field(repr=False)


@dataclass(frozen=True)
class WireBook:
    """A book as an answer gives it: the lists of levels (price first, quantity second) and the venue's clock."""

    bids: Any
    asks: Any
    ms: Any


class VenueClient(ABC):
    """Client of one venue (``assets.ports.ExchangeSource``); every fault of the venue is a `SourceOutage`.

    Parameters
    ----------
    lake : RawLake
        Keeps the bodies of all answers.
    clock : Clock
        Ours: nothing after it is asked for.
    base_url : str or None
        Another host for all of the venue's paths: the sandbox on loopback, or a gateway (https). None: the venue.
    universe : sequence of str
        Base assets; what the venue does not list as a contract of ours is left out and named in `origin_note`.
    is_synthetic : bool
        True for the sandbox, which is on loopback, and only for it.
    policy, gate, sleep
        Of the transport; a gate with a folder shares blocks between processes.
    page_limits : mapping or None
        Smaller page limits per dataset, for tests of page edges.

    Raises
    ------
    ValueError
        Where `base_url` is no plain http(s) address, a foreign host is not https, or `is_synthetic` and loopback disagree.
    """

    venue: str
    source: str = "ccxt"
    # ccxt's class, what it is built with beside our own settings, and the venue's address.
    ccxt_id: ClassVar[str]
    ccxt_options: ClassVar[Mapping[str, Any]] = {}
    origin: ClassVar[str]
    catalogue_path: ClassVar[str]
    # Which body of the catalogue's answers holds our contracts, where ccxt asks more than once.
    catalogue_payload: ClassVar[int] = -1
    # How the venue is asked, for notes.
    method: ClassVar[str] = "GET"
    # Records per page that the venue allows, by dataset.
    limits: ClassVar[Mapping[str, int]]
    # How long the venue shows a dataset; one that is not here it never forgets.
    memory: ClassVar[Mapping[str, timedelta]] = {}
    # True where the venue counts quantities in contracts.
    counts_contracts: ClassVar[bool] = False
    # Seconds of a ban that names no end.
    least_ban_s: ClassVar[float] = LEAST_BAN_S

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
        self._limits = {**self.limits, **(page_limits or {})}
        self._lake, self._policy, self._gate, self._sleep = lake, policy, gate, sleep
        self._client: tuple[Any, Transport] | None = None
        self._catalogue: tuple[date, list[Contract], str] | None = None

    # -- what a venue says of itself ----------------------------------------------------------------------------------

    @abstractmethod
    def probe(self) -> None:
        """Ask the venue for nothing, the cheapest request there is.

        Raises
        ------
        SourceOutage
            Where it does not answer; the code says why.
        """

    @abstractmethod
    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a contract that we follow."""

    @abstractmethod
    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now."""

    @abstractmethod
    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""

    @abstractmethod
    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`."""

    @abstractmethod
    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""

    def first_offered_day(self, dataset: str) -> date | None:
        """Return the first UTC day that the venue still shows whole, or None where it forgets nothing.

        A caller with a longer range splits it here and records the days before as ``not_offered``.
        """
        if dataset == "depth_bands":
            return self._clock.now().date()
        memory = self.memory.get(dataset)
        if memory is None:
            return None
        oldest = self._clock.now() - memory + CLOCK_MARGIN
        return oldest.date() if oldest.time() == time() else oldest.date() + timedelta(days=1)

    # -- captures -----------------------------------------------------------------------------------------------------

    def instruments(self) -> Capture:
        """Return the contracts of the universe that trade now, from the catalogue, loaded once a day."""
        contracts, sha = self._contracts()
        rows = [
            {
                "venue": self.venue,
                "venue_symbol": c.symbol,
                "asset": c.asset,
                "quote_asset": c.market["quote"],
                "settle_asset": c.market["settle"],
                "contract_kind": "linear" if c.market["linear"] else "inverse",
                "contract_size_base": c.size_base,
                "price_tick_quote": figure(c.market["precision"]["price"]),
                "quantity_step_base": self._in_base(c, figure(c.market["precision"]["amount"])),
                "listed_at_utc": instant(c.listed_ms),
                "payload_sha256": sha,
            }
            for c in contracts
        ]
        return self._capture("instruments", rows, (sha,), f"{self.method} {self.catalogue_path}")

    def _series(
        self,
        dataset: str,
        request: Request,
        days: tuple[date, date | None],
        row_of: Callable[[Contract, Any], Mapping[str, Any]],
        *,
        spacing_ms: int = HOUR_MS,
        **more: Any,
    ) -> Capture:
        """Page through one series per contract and bring its records into the raw table's columns.

        Parameters
        ----------
        spacing_ms, **more
            Of `paging.Range`.
        """
        start, end = self._bounds(*days)
        memory = self.memory.get(dataset)
        oldest_ms = 0 if memory is None else to_ms(self._clock.now() - memory + CLOCK_MARGIN)
        first = self.first_offered_day(dataset)
        if first is not None and days[0] < first:
            raise SourceOutage(
                "not_offered",
                f"{self.venue} shows {dataset} since {first}, the first day it still shows whole: {days[0]} is before",
            )
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0]:
            wanted = self._range(dataset, start, end, contract, spacing_ms, **more)

            def page(since: int, until: int, limit: int, contract: Contract = contract) -> list[Record]:
                since = max(since, oldest_ms)
                if since >= until:
                    return []
                answer = self._ask(request.endpoint, request.path, request.query(contract, since, until, limit))
                payloads.extend(answer.payloads)
                try:
                    records = request.records(answer.value, contract)
                except WrongShape as shape:
                    where = f"{self.venue} {request.path} {contract.symbol}"
                    raise SourceOutage("venue_error", f"{where}: the answer {shape}") from None
                return [Record(v, answer.payload_sha256) for v in records]

            try:
                records = fetch_range(page, wanted, lambda r: request.clock(r.value))
            except PagingFault as fault:
                where = f"{self.venue} {request.path} {contract.symbol}"
                raise SourceOutage("venue_error", f"{where}: {fault}") from fault
            rows += [
                {**self._identity(contract), **row_of(contract, r.value), "payload_sha256": r.payload_sha256}
                for r in records
            ]
        return self._capture(dataset, rows, tuple(payloads), f"{self.method} {request.path}")

    def _candles(
        self, request: Request, days: tuple[date, date | None], entries: Callable[[Any], Sequence[Any]], **more: Any
    ) -> Capture:
        """Return a series of hourly trade candles.

        Parameters
        ----------
        entries : callable
            A record's open, high, low, close and volume (in what the venue counts) as they came.
        """

        def row(contract: Contract, record: Any) -> dict[str, Any]:
            begins = instant(request.clock(record))
            opened, high, low, close, volume = [*entries(record), *[None] * 5][:5]
            return {
                "price_kind": "trade",
                "interval_start_utc": begins,
                "interval_end_utc": begins + timedelta(hours=1) if begins else None,
                "open_quote": figure(opened),
                "high_quote": figure(high),
                "low_quote": figure(low),
                "close_quote": figure(close),
                "volume_base": self._in_base(contract, figure(volume)),
            }

        return self._series("candles", request, days, row, **more)

    def _depth_bands(
        self, endpoint: str, path: str, query: Callable[[Contract], Mapping[str, Any]], book: Callable[[Any], WireBook]
    ) -> Capture:
        """Return the books of all contracts as bands.

        A book that cannot be summed (a side empty, crossed, a level that is no number) gives rows without a mid, which the
        raw table refuses with a reason; the other books stand.
        """
        contracts, _ = self._contracts()
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        faults: list[str] = []
        for contract in contracts:
            answer = self._ask(endpoint, path, query(contract))
            payloads += answer.payloads
            shown = book(answer.value)
            bands: Sequence[Any] = ()
            mid = None
            try:
                mid, bands = bands_of(self._levels(contract, shown.bids), self._levels(contract, shown.asks))
            except BookFault as fault:
                faults.append(f"{contract.symbol}: {fault}")
            depth_of = {b.band_bps: b for b in bands}
            rows += [
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(ms_of(shown.ms)),
                    "mid_quote": mid,
                    "band_bps": float(bps),
                    "bid_depth_base": depth_of[bps].bid_depth_base if bps in depth_of else None,
                    "ask_depth_base": depth_of[bps].ask_depth_base if bps in depth_of else None,
                    "payload_sha256": answer.payload_sha256,
                }
                for bps in BANDS_BPS
            ]
        return self._capture("depth_bands", rows, tuple(payloads), "; ".join([f"{self.method} {path}", *faults]))

    # -- asking -------------------------------------------------------------------------------------------------------

    def _connection(self) -> tuple[Any, Transport]:
        if self._client is None:
            import ccxt  # noqa: PLC0415 - takes a second to import

            settings = {"enableRateLimit": not self.is_synthetic, "timeout": 10_000, **self.ccxt_options}
            exchange = getattr(ccxt, self.ccxt_id)(settings)
            if self._base_url is not None:
                exchange.urls["api"] = _rehosted_all(exchange.urls["api"], self._base_url)
            transport = Transport(
                exchange,
                self._lake,
                clock=self._clock,
                venue=self.venue,
                least_ban_s=self.least_ban_s,
                policy=self._policy,
                gate=self._gate,
                sleep=self._sleep,
            )
            self._client = (exchange, transport)
        return self._client

    def _ask(self, endpoint: str, path: str, query: Mapping[str, Any]) -> Answer:
        exchange, transport = self._connection()
        url = rehosted(f"{self.origin}{path}", self._base_url)
        return transport.call(lambda: getattr(exchange, endpoint)(dict(query)), url=url)

    def _contracts(self) -> tuple[list[Contract], str]:
        """Load the catalogue once per client and day; return the universe's contracts in its order, and the payload's hash."""
        today = self._clock.now().date()
        if self._catalogue is None or self._catalogue[0] != today:
            exchange, transport = self._connection()
            url = rehosted(f"{self.origin}{self.catalogue_path}", self._base_url)
            answer = transport.call(lambda: exchange.load_markets(True), url=url)
            if not answer.value:
                raise SourceOutage(
                    "venue_error", f"{self.venue} lists no contract at all ({self.method} {self.catalogue_path})"
                )
            listed = [self._contract(m) for m in answer.value.values() if self._is_ours(m)]
            rank = {asset: i for i, asset in enumerate(self._universe)}
            chosen = sorted((c for c in listed if c.asset in rank), key=lambda c: (rank[c.asset], c.symbol))
            self._catalogue = (today, chosen, answer.payloads[self.catalogue_payload])
        return self._catalogue[1], self._catalogue[2]

    def _contract(self, market: Mapping[str, Any]) -> Contract:
        return Contract(str(market["base"]), self._symbol(market), ms_of(market.get("created")), market)

    def _symbol(self, market: Mapping[str, Any]) -> str:
        """Return the name that the venue's requests know a contract by; not everywhere is it ccxt's id."""
        return str(market["id"])

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

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _in_base(self, contract: Contract, quantity: float | None) -> float | None:
        """Return a quantity of what the venue counts in base units."""
        if not self.counts_contracts or quantity is None:
            return quantity
        size = contract.size_base
        return None if size is None else quantity * size

    def _levels(self, contract: Contract, entries: Any) -> list[tuple[float, float]]:
        """Return a side's levels as numbers, in base units; what is no number becomes NaN, which the sums refuse."""
        levels = []
        for entry in entries if isinstance(entries, list) else []:
            pair = entry[:2] if isinstance(entry, list) else []
            price, quantity = (figure(v) for v in (*pair, None, None)[:2])
            quantity = self._in_base(contract, quantity)
            levels.append((math.nan if price is None else price, math.nan if quantity is None else quantity))
        return levels

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


def records_of(value: Any, *path: str) -> list[Any]:
    """Return the list of records at a path of names inside a decoded answer.

    Raises
    ------
    WrongShape
        Where there is no list.
    """
    for name in path:
        value = of(value, name)
    if not isinstance(value, list):
        raise WrongShape("is no list of records")
    return value


def must_be_about(records: list[Any], name: str, symbol: str) -> list[Any]:
    """Return the records; refuse them where one names another contract.

    Raises
    ------
    WrongShape
        Where a record's field `name` is there and is not `symbol`.
    """
    if any(isinstance(v, dict) and v.get(name, symbol) != symbol for v in records):
        raise WrongShape("holds a record about another symbol")
    return records


def _rehosted_all(urls: Any, base_url: str) -> Any:
    """Return ccxt's addresses, which may be nested, on another host."""
    if isinstance(urls, dict):
        return {k: _rehosted_all(v, base_url) for k, v in urls.items()}
    return rehosted(urls, base_url)
