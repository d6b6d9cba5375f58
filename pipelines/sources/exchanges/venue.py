"""What all venues' clients share: the catalogue once a day, series by pages, books into bands, rows into the raw tables.

Belongs here: the way from a venue's answers to captures, whatever the venue. Does not: any venue's requests, limits or wire
values (``binance.py`` and its siblings, one class each), retries and payloads (``transport.py``), the walk over pages
(``paging.py``), the sums of a book (``depth.py``), validation (``quality``), splitting by day (``assets/lake``).

ccxt signs nothing here and parses only the catalogue. Series come through its raw endpoints, because its unified methods
filter rows by `since` and `limit` after the fact (a dropped row leaves no trace); the figures are those of the very body
whose hash stands in the row.
"""

from __future__ import annotations

import json
import math
import time as wall
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

import polars as pl

from assets.ports import Capture, Clock, PayloadKeeper, SourceOutage
from pipelines.sources.chains.addresses import checked_base_url, rehosted, rehosted_all
from pipelines.sources.depth import BookFault, Sample, rows_of, rows_of_none
from pipelines.sources.door import LEAST_BAN_S, RetryPolicy
from pipelines.sources.exchanges.liquidations import STREAMS, ContractTerms, WireLiquidation, read, row_of
from pipelines.sources.exchanges.registry import AS_OF_NOW
from pipelines.sources.gate import Gate
from pipelines.sources.gathered import Gathered
from pipelines.sources.journal import Journal, Walk
from pipelines.sources.paging import PagingFault, Range, fetch_events, fetch_range
from pipelines.sources.records import Contract, Record, Request, WireBook, WrongShape, records_of
from pipelines.sources.transport import Answer, Transport
from pipelines.sources.wire_values import figure, instant, ms_of, of, to_ms

HOUR_MS = 3_600_000
CANDLE_LENGTHS = {"candles": timedelta(hours=1), "minute_candles": timedelta(minutes=1)}

# Our clock may be behind the venue's: what it is about to forget is not asked for.
CLOCK_MARGIN = timedelta(minutes=5)


class VenueClient(ABC):
    """Client of one venue (``assets.ports.ExchangeSource``); every fault of the venue is a `SourceOutage`.

    Parameters
    ----------
    lake : PayloadKeeper
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
    journal : Journal or None
        Lets a series go on from the last page of a run that was killed; None begins at the first.
    left_out : collection of str
        Datasets that the user did not ask for.

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
    # What the catalogue is asked with, where ccxt's own options cannot narrow it.
    catalogue_query: ClassVar[Mapping[str, Any]] = {}
    # Datasets that have a history elsewhere, and of which this venue shows the present only.
    only_now: ClassVar[frozenset[str]] = frozenset()
    # Fields of a catalogue's entry that ccxt makes a step of by arithmetic of its own, which takes digits of any script: 1e-123 of
    # "１２３". Where one of them cannot be read there is no step.
    price_tick_fields: ClassVar[tuple[str, ...]] = ()
    quantity_step_fields: ClassVar[tuple[str, ...]] = ()
    # True where the venue counts quantities in contracts.
    counts_contracts: ClassVar[bool] = False
    # Entries of a book's level, as documented: price and quantity first.
    level_width: ClassVar[int] = 2
    # Seconds of a ban that names no end.
    least_ban_s: ClassVar[float] = LEAST_BAN_S

    def __init__(
        self,
        lake: PayloadKeeper,
        *,
        clock: Clock,
        universe: Sequence[str],
        is_synthetic: bool,
        base_url: str | None = None,
        policy: RetryPolicy | None = None,
        gate: Gate | None = None,
        sleep: Callable[[float], None] = wall.sleep,
        page_limits: Mapping[str, int] | None = None,
        journal: Journal | None = None,
        left_out: Collection[str] = (),
    ) -> None:
        self.is_synthetic, self.left_out = is_synthetic, left_out
        self._base_url = checked_base_url(base_url, is_synthetic=is_synthetic, source=self.venue)
        self._clock = clock
        self._universe = tuple(universe)
        self._limits = {**self.limits, **(page_limits or {})}
        self._lake, self._policy, self._gate, self._sleep = lake, policy, gate, sleep
        self._journal, self._sample = journal, Sample()
        self._client: tuple[Any, Transport] | None = None
        self._currencies: Any = {}
        self._catalogue: tuple[date, list[Contract], tuple[str, ...]] | None = None

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

    # -- what is asked of it ------------------------------------------------------------------------------------------

    def fetch(self, dataset: str, day: date, last: date | None = None) -> Capture:
        """Return a dataset of the UTC days `day` to `last`; the method of the dataset's name says what it holds.

        Parameters
        ----------
        dataset : str
            One that ``exchanges.EXCHANGES`` names for the venue. One of ``exchanges.AS_OF_NOW`` is returned as it is now.
        """
        ask: Callable[..., Capture] = getattr(self, dataset)
        return ask() if dataset in AS_OF_NOW else ask(day, last)

    def first_offered_day(self, dataset: str) -> date | None:
        """Return the first UTC day that the venue still shows whole, or None where it forgets nothing.

        A caller with a longer range splits it here and records the days before as ``not_offered``.
        """
        if dataset in AS_OF_NOW | self.only_now:
            return self._clock.now().date()
        memory = self.memory.get(dataset)
        if memory is None:
            return None
        oldest = self._clock.now() - memory + CLOCK_MARGIN
        return oldest.date() if oldest.time() == time() else oldest.date() + timedelta(days=1)

    # -- captures -----------------------------------------------------------------------------------------------------

    def instruments(self) -> Capture:
        """Return the contracts of the universe that trade now, from the catalogue, loaded once a day."""
        contracts, payloads = self._contracts()
        rows = [
            {
                "venue": self.venue,
                "venue_symbol": c.symbol,
                "asset": c.asset,
                "quote_asset": c.market["quote"],
                "settle_asset": c.market["settle"],
                "contract_kind": c.kind,
                "contract_size_base": c.size_base,
                "contract_size_usd": c.size_usd,
                "price_tick_quote": self._price_tick(c),
                "quantity_step_base": self._in_base(c, self._quantity_step(c)),
                "listed_at_utc": instant(c.listed_ms),
                "payload_sha256": payloads[self._catalogue_payload(c)],
            }
            for c in contracts
        ]
        shown = tuple(row["payload_sha256"] for row in rows) or (payloads[self.catalogue_payload],)
        return self._capture("instruments", rows, shown, f"{self.method} {self.catalogue_path}")

    def _series(
        self,
        dataset: str,
        request: Request,
        days: tuple[date, date | None],
        row: Callable[[Contract, Any], Mapping[str, Any] | list[Mapping[str, Any]]],
        *,
        spacing_ms: int = HOUR_MS,
        **more: Any,
    ) -> Capture:
        """Page through one series per contract and bring its records into the raw table's columns.

        Parameters
        ----------
        row : callable
            A record's columns; several where a venue tells several rows in one record.
        spacing_ms, **more
            Of `paging.Range`.
        """
        start, end = self._bounds(*days)
        oldest_ms = self._oldest_ms(dataset, days[0])
        rows = Gathered(dataset)
        payloads: list[str] = []
        walk = self._walk(dataset)
        for contract in self._contracts()[0]:
            page = self._pages(request, contract, payloads, oldest_ms, walk)
            wanted = self._range(dataset, start, end, contract, spacing_ms, **more)
            try:
                records = fetch_range(page, wanted, lambda r: request.clock(r.value))
            except PagingFault as fault:
                raise self._beside(request, contract, str(fault), "unexplained_gap", walk) from fault
            for record in records:
                told = row(contract, request.told(record.value))
                rows.add(
                    {**self._identity(contract), **columns, "payload_sha256": record.payload_sha256}
                    for columns in (told if isinstance(told, list) else [told])
                )
        return self._capture(dataset, rows, tuple(payloads), f"{self.method} {request.path}")

    def _liquidations(
        self,
        stream: str,
        request: Request,
        days: tuple[date, date | None],
        *,
        newest_first: bool,
        message: Callable[[Contract, Any], Any] | None = None,
    ) -> Capture:
        """Return the liquidations that the venue lists, per contract, as ``liquidations.STREAMS[stream]`` reads them.

        Parameters
        ----------
        stream : str
            Whose records `request.records` returns (``WireLiquidation``).
        newest_first : bool
            Which end of its window a page shows where it is too small for all.
        message : callable or None
            ``message(contract, record)`` where a record is a trade of any kind: the stream's message of it, which tells of
            no, one or two liquidations.
        """

        def wires(contract: Contract, record: Any) -> Iterable[WireLiquidation]:
            return [record] if message is None else STREAMS[stream].records(message(contract, record))

        start, end = self._bounds(*days)
        oldest_ms = self._oldest_ms("liquidations", days[0])
        rows = Gathered("liquidations")
        payloads: list[str] = []
        walk = self._walk("liquidations")
        for contract in self._contracts()[0]:
            page = self._pages(request, contract, payloads, oldest_ms, walk)
            window = Range(start, end, HOUR_MS, self._limits["liquidations"])
            try:
                records = fetch_events(page, window, lambda r: request.clock(r.value), newest_first=newest_first)
            except PagingFault as fault:
                raise self._beside(request, contract, str(fault), "unexplained_gap", walk) from fault
            size = contract.size_base or contract.size_usd
            terms = {contract.symbol: ContractTerms(contract.asset, contract.kind, size)} if size else {}
            rows.add(
                {
                    **self._identity(contract),
                    **row_of(read(STREAMS[stream], wire, terms)),
                    "payload_sha256": r.payload_sha256,
                }
                for r in records
                for wire in wires(contract, r.value)
            )
        return self._capture("liquidations", rows, tuple(payloads), f"{self.method} {request.path}")

    def _events(
        self, page: Callable[[int, int, int], list[Record]], span: tuple[int, int], widest_ms: int, where: str
    ) -> list[Record]:
        """Return every event of [start, end) from a list that answers windows of `widest_ms` at most, in time order.

        Which end of its window a full page shows need not be known: a window that fills a page is walked from both.

        Parameters
        ----------
        page : callable
            Of the pager; its records are ``WireLiquidation``.
        where : str
            What is asked, for messages.
        """
        limit = self._limits["liquidations"]
        is_full = False

        def counted(since: int, until: int, most: int) -> list[Record]:
            nonlocal is_full
            records = page(since, until, most)
            is_full = is_full or len(records) >= most
            return records

        found: dict[str, Record] = {}
        for since in range(*span, widest_ms):
            window = Range(since, min(span[1], since + widest_ms), HOUR_MS, limit)
            is_full = False
            for newest_first in (True, False):
                if newest_first or is_full:
                    try:
                        walked = fetch_events(counted, window, lambda r: r.value.ms, newest_first=newest_first)
                    except PagingFault as fault:
                        raise SourceOutage(
                            "venue_error", f"{self.venue} {where}: {fault}", "unexplained_gap"
                        ) from fault
                    found.update((repr(record), record) for record in walked)
        return sorted(found.values(), key=lambda r: (r.value.ms is None, r.value.ms or 0, repr(r)))

    def _pages(
        self, request: Request, contract: Contract, payloads: list[str], oldest_ms: int, walk: Walk
    ) -> Callable[[int, int, int], list[Record]]:
        """Return the pager's question: one page of a contract's records; the bodies' hashes are added to `payloads`."""

        def page(since: int, until: int, limit: int) -> list[Record]:
            since = max(since, oldest_ms)
            if since >= until:
                return []
            answer = self._ask(request.endpoint, request.path, request.query(contract, since, until, limit), walk)
            payloads.extend(answer.payloads)
            try:
                records = request.records(answer.value, contract)
            except WrongShape as shape:
                raise self._beside(request, contract, f"the answer {shape}", "wrong_shape", walk) from None
            if not request.is_bounded_below:
                records = [v for v in records if (at := request.clock(v)) is None or at >= since]
            return [Record(v, answer.payload_sha256) for v in records]

        return page

    def _beside(self, request: Request, contract: Contract, text: str, cause: str, walk: Walk) -> SourceOutage:
        """Return the outage of a series that cannot be relied on; what its walk was told is forgotten."""
        walk.drop()
        return SourceOutage("venue_error", f"{self.venue} {request.path} {contract.symbol}: {text}", cause)

    def _walk(self, dataset: str) -> Walk:
        return self._journal.walk(f"{self.venue}_{dataset}") if self._journal is not None else Walk()

    def _oldest_ms(self, dataset: str, day: date) -> int:
        """Return the first instant that the venue may be asked for; refuse a day that it has forgotten."""
        first = self.first_offered_day(dataset)
        if first is not None and day < first:
            raise SourceOutage(
                "not_offered",
                f"{self.venue} shows {dataset} since {first}, the first day it still shows whole: {day} is before",
            )
        memory = self.memory.get(dataset)
        return 0 if memory is None else to_ms(self._clock.now() - memory + CLOCK_MARGIN)

    def _funding_rates(
        self, request: Request, days: tuple[date, date | None], rate: Callable[[Any], Any], *, longest_hours: int
    ) -> Capture:
        """Return a series of settlements, at the instants that the venue stamps.

        Parameters
        ----------
        rate : callable
            A record's rate as it came.
        longest_hours : int
            The venue's longest interval: where it has shorter ones no field of a record says so.
        """

        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(request.clock(record)),
                "funding_rate_frac": figure(rate(record)),
            }

        # Stamped some milliseconds after the hour: not on a grid that would say when the next one is due.
        spacing_ms = longest_hours * HOUR_MS
        return self._series(
            "funding_rates", request, days, row, spacing_ms=spacing_ms, slack_ms=60_000, is_regular=False
        )

    def _open_interest_now(
        self,
        path: str,
        days: tuple[date, date | None],
        rows: Callable[[], tuple[list[dict[str, Any]], tuple[str, ...]]],
    ) -> Capture:
        """Return open interest of a venue that keeps no history of it: as it is now, for days that include today.

        Parameters
        ----------
        rows : callable
            Asks the venue; the rows, at our clock when the answer was there, and the payloads.

        Raises
        ------
        SourceOutage
            ``not_offered`` where the first day is before today, also where today ended while the venue was asked.
        """
        day, last = days
        start, end = self._bounds(day, last)
        self._must_be_now("open_interest", day)
        self._contracts()
        shown, payloads = rows() if start < end else ([], ())
        self._must_be_now("open_interest", last or day)
        return self._capture("open_interest", shown, payloads, f"{self.method} {path}")

    def _must_be_now(self, dataset: str, day: date) -> None:
        first = self.first_offered_day(dataset)
        if first is not None and day < first:
            raise SourceOutage("not_offered", f"{self.venue} shows {dataset} as of now only: {day} is before {first}")

    def _candles(
        self,
        request: Request,
        days: tuple[date, date | None],
        entries: Callable[[Any], Sequence[Any]],
        *,
        price_kind: str = "trade",
        is_volume_in_base: bool = False,
        dataset: str = "candles",
        **more: Any,
    ) -> Capture:
        """Return a series of candles, hourly or by the minute.

        Parameters
        ----------
        entries : callable
            A record's open, high, low, close and (of trades) volume, as they came.
        price_kind : str
            ``trade``, ``mark`` or ``index``.
        is_volume_in_base : bool
            True where the volume is in base units whatever else the venue counts.
        dataset : str
            ``candles`` or ``minute_candles``, which are of trades alone.
        """
        length = CANDLE_LENGTHS[dataset]
        of_kind = {"price_kind": price_kind} if dataset == "candles" else {}

        def row(contract: Contract, record: Any) -> dict[str, Any]:
            begins = instant(request.clock(record))
            opened, high, low, close, traded = [*entries(record), *[None] * 5][:5]
            volume = figure(traded)
            return {
                **of_kind,
                "interval_start_utc": begins,
                "interval_end_utc": begins + length if begins else None,
                "open_quote": figure(opened),
                "high_quote": figure(high),
                "low_quote": figure(low),
                "close_quote": figure(close),
                "volume_base": volume if is_volume_in_base else self._in_base(contract, volume),
            }

        return self._series(dataset, request, days, row, **{"spacing_ms": length // timedelta(milliseconds=1), **more})

    def _depth_bands(
        self, endpoint: str, path: str, query: Callable[[Contract], Mapping[str, Any]], book: Callable[[Any], WireBook]
    ) -> Capture:
        """Return the books of all contracts as bands.

        Of most books only the hash is kept, in their rows (``depth.Sample``). A book that cannot be summed (a side empty,
        crossed, a level that is no number) gives rows without a mid, which the raw table refuses with a reason; the other
        books stand.
        """
        rows = Gathered("depth_bands")
        payloads: list[str] = []
        faults: list[str] = []
        for contract in self._contracts()[0]:
            keeps = self._sample.takes(contract.symbol, self._clock.now())
            answer = self._ask(endpoint, path, query(contract), keeps=keeps)
            shown = book(answer.value)
            if shown.symbol not in (None, contract.symbol):
                where = f"{self.venue} {path} {contract.symbol}"
                raise SourceOutage("venue_error", f"{where}: the answer is a book of another symbol", "wrong_shape")
            try:
                bands = rows_of(self._levels(contract, shown.bids), self._levels(contract, shown.asks))
            except BookFault as fault:
                faults.append(f"{contract.symbol}: {fault}")
                bands = rows_of_none()
            at = instant(ms_of(shown.ms))
            if not keeps and (at is None or bands[0]["mid_quote"] is None):
                self._connection()[1].keep_latest()  # what is refused can be looked at
                keeps = True
            payloads += answer.payloads if keeps else ()
            told = {**self._identity(contract), "occurred_at_utc": at, "payload_sha256": answer.payload_sha256}
            rows.add({**told, **band} for band in bands)
        return self._capture("depth_bands", rows, tuple(payloads), "; ".join([f"{self.method} {path}", *faults]))

    def _adl_states(
        self, records: list[Any], answer: Answer, path: str, told: Callable[[Any], Mapping[str, Any]]
    ) -> Capture:
        """Return what a list of all contracts says of auto-deleveraging, of those of the universe, at the venue's clock.

        Parameters
        ----------
        told : callable
            A record's columns.
        """
        contracts = {c.symbol: c for c in self._contracts()[0]}
        rows = []
        for record in records:
            symbol = of(record, "symbol")
            # What names no contract is kept for quarantine.
            is_named = isinstance(symbol, str)
            if not is_named or symbol in contracts:
                contract = contracts[symbol] if is_named else None
                identity = {"venue": self.venue} if contract is None else self._identity(contract)
                settle = None if contract is None else contract.market["settle"]
                columns = {"settle_asset": settle, **told(record)}
                rows.append({**identity, **columns, "payload_sha256": answer.payload_sha256})
        return self._capture("adl_states", rows, answer.payloads, f"{self.method} {path}")

    # -- asking -------------------------------------------------------------------------------------------------------

    def _connection(self) -> tuple[Any, Transport]:
        if self._client is None:
            import ccxt  # noqa: PLC0415 - takes a second to import

            settings = {"enableRateLimit": not self.is_synthetic, "timeout": 10_000, **self.ccxt_options}
            exchange = getattr(ccxt, self.ccxt_id)(settings)
            if self._base_url is not None:
                exchange.urls["api"] = rehosted_all(exchange.urls["api"], self._base_url)
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
            self._client, self._currencies = (exchange, transport), exchange.currencies
        return self._client

    def _ask(
        self, endpoint: str, path: str, query: Mapping[str, Any], walk: Walk | None = None, *, keeps: bool = True
    ) -> Answer:
        """Ask the venue, or a walk that was told the answer before it was interrupted; `keeps` is that of the transport."""
        exchange, transport = self._connection()
        url = rehosted(f"{self.origin}{path}", self._base_url)
        question = f"{endpoint} {json.dumps(dict(query), sort_keys=True)}"
        walk = walk or Walk()
        known = walk.told(question)
        if known is not None:
            return transport.recall(*known, url=url)
        answer = transport.call(lambda: getattr(exchange, endpoint)(dict(query)), url=url, keeps=keeps)
        walk.note(question, answer.payload_sha256)
        return answer

    def _snapshot(
        self, endpoint: str, path: str, query: Mapping[str, Any], records: Callable[[Any], list[Any]] = records_of
    ) -> tuple[list[Any], Answer]:
        """Ask once for records about many contracts; return them and the answer that holds them.

        Parameters
        ----------
        records : callable
            The list of records in a decoded answer; `WrongShape` where there is none.
        """
        answer = self._ask(endpoint, path, query)
        try:
            return records(answer.value), answer
        except WrongShape as shape:
            raise SourceOutage("venue_error", f"{self.venue} {path}: the answer {shape}", "wrong_shape") from None

    def _contracts(self) -> tuple[list[Contract], tuple[str, ...]]:
        """Return the universe's contracts in its order, and the hashes of the catalogue's payloads."""
        listed, payloads = self._listed()
        rank = {asset: i for i, asset in enumerate(self._universe)}
        return sorted((c for c in listed if c.asset in rank), key=lambda c: (rank[c.asset], c.symbol)), payloads

    def _listed(self) -> tuple[list[Contract], tuple[str, ...]]:
        """Load the catalogue once per client and day; return all contracts of ours, in the universe or not."""
        today = self._clock.now().date()
        if self._catalogue is None or self._catalogue[0] != today:
            exchange, transport = self._connection()
            url = rehosted(f"{self.origin}{self.catalogue_path}", self._base_url)
            # ccxt adds the currencies of a catalogue to those of the one before: a malformed one would spoil all later ones.
            exchange.currencies = self._currencies
            answer = transport.call(lambda: exchange.load_markets(True, dict(self.catalogue_query)), url=url)
            if not answer.value:
                raise SourceOutage(
                    "venue_error", f"{self.venue} lists no contract at all ({self.method} {self.catalogue_path})"
                )
            listed = [self._contract(m) for m in answer.value.values() if self._is_ours(m)]
            self._catalogue = (today, listed, answer.payloads)
        return self._catalogue[1], self._catalogue[2]

    def _catalogue_payload(self, contract: Contract) -> int:
        """Return which body of the catalogue's answers shows a contract."""
        return self.catalogue_payload

    def _contract(self, market: Mapping[str, Any]) -> Contract:
        return Contract(str(market["base"]), self._symbol(market), ms_of(market.get("created")), market)

    def _symbol(self, market: Mapping[str, Any]) -> str:
        """Return the name that the venue's requests know a contract by; not everywhere is it ccxt's id."""
        return str(market["id"])

    def _price_tick(self, contract: Contract) -> float | None:
        """Return a contract's price step as the catalogue tells it."""
        return _step(contract, "price", self.price_tick_fields)

    def _quantity_step(self, contract: Contract) -> float | None:
        """Return a contract's quantity step as the catalogue tells it, in the venue's unit."""
        return _step(contract, "amount", self.quantity_step_fields)

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

    def _in_base(self, contract: Contract, quantity: float | None, price: float | None = None) -> float | None:
        """Return a quantity of what the venue counts in base units; a number of inverse contracts needs a price."""
        counts_contracts = self.counts_contracts or contract.kind == "inverse"
        return contract.in_base(quantity, price) if counts_contracts else quantity

    def _levels(self, contract: Contract, entries: Any) -> list[tuple[float, float]]:
        """Return a side's levels as numbers, in base units; what is no number becomes NaN, which the sums refuse."""
        levels = []
        for entry in entries if isinstance(entries, list) else []:
            is_whole = isinstance(entry, list) and len(entry) >= self.level_width
            price, quantity = (figure(entry[0]), figure(entry[1])) if is_whole else (None, None)
            quantity = self._in_base(contract, quantity, price)
            levels.append((math.nan if price is None else price, math.nan if quantity is None else quantity))
        return levels

    def _identity(self, contract: Contract) -> dict[str, str]:
        return {"venue": self.venue, "venue_symbol": contract.symbol, "asset": contract.asset}

    def _joined(self, *captures: Capture) -> Capture:
        """Return captures of one dataset as one: rows numbered on, payloads and notes together."""
        rows = pl.concat([c.rows for c in captures]).with_columns(
            row_count=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
        )
        payloads = dict.fromkeys(sha for c in captures for sha in c.payloads)
        return Capture(rows, tuple(payloads), "; ".join(dict.fromkeys(c.origin_note for c in captures)))

    def _capture(
        self, dataset: str, rows: Gathered | list[dict[str, Any]], payloads: tuple[str, ...], note: str
    ) -> Capture:
        """Return rows as a capture: numbered, typed, with a note of what the venue does not list."""
        if isinstance(rows, list):
            given, rows = rows, Gathered(dataset)
            rows.add(given)
        listed = {c.asset for c in self._contracts()[0]}
        absent = [a for a in self._universe if a not in listed]
        note += f"; not listed here: {', '.join(absent)}" if absent else ""
        return Capture(rows.frame(), tuple(dict.fromkeys(payloads)), note)


def _step(contract: Contract, of_what: str, made_of: tuple[str, ...]) -> float | None:
    told = [of(contract.market["info"], name) for name in made_of]
    # ccxt counts the blanks around a figure as decimals.
    is_told = all(figure(value) is not None and str(value).strip() == str(value) for value in told)
    return figure(contract.market["precision"][of_what]) if is_told else None
