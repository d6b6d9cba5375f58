"""What assets need from the outside, named as Protocols; ``pipelines/resources.py`` supplies them.

Belongs here: Protocols and the plain values that cross them. Does not: any implementation, any Dagster type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import polars as pl


class Clock(Protocol):
    """Our clock. A resource and never `datetime.now`, so that the same inputs give the same bytes."""

    def now(self) -> datetime:
        """Return the present instant, UTC, naive, microseconds."""
        ...


@dataclass(frozen=True, order=True)
class RawKey:
    """Address of one unit of raw data: the manifest's key."""

    dataset: str
    venue: str
    source: str
    day: date


@dataclass(frozen=True)
class RawBatch:
    """Rows to land under one key.

    Parameters
    ----------
    key : RawKey
    rows : polars.DataFrame
        Valid rows in the shape of ``quality.schemas.raw.RAW_TABLES[key.dataset]``.
    rejected : polars.DataFrame
        Refused rows, shape ``quality.tables.REJECTED_COLUMNS``; may be empty.
    payloads : tuple of str
        SHA-256 of the payloads behind the rows.
    origin_note : str
        What a reader needs to find the origin again: file name, or request path without secrets.
    is_synthetic : bool
        True where the records come from the sandbox.
    adds_to_day : bool
        True where the rows are what was seen now of something that has no history (a book): what was seen earlier on the day
        stays beside it. Else the batch is the whole day and takes the place of what was there.
    """

    key: RawKey
    rows: pl.DataFrame
    rejected: pl.DataFrame
    payloads: tuple[str, ...] = ()
    origin_note: str = ""
    is_synthetic: bool = False
    adds_to_day: bool = False


@dataclass(frozen=True)
class Generation:
    """One committed line of the manifest.

    `status` is ``committed`` for rows (also none: the venue answered and had nothing) or an outage code
    (``unreachable``, ``geoblocked``, ``banned``, ``rate_limited``, ``venue_error``, ``not_offered``,
    ``lagging``, ``pruned``) for a day that could not be fetched;
    an outage never replaces a committed generation. `path` is absolute, None for outages.
    """

    position: int
    key: RawKey
    status: str
    rows_count: int
    quarantined_rows_count: int
    sha256: str | None
    path: Path | None
    captured_at_utc: datetime
    committed_at_utc: datetime
    schema_version: int
    code_version: str
    is_synthetic: bool
    payloads: tuple[str, ...] = ()
    quarantine_path: Path | None = None
    origin_note: str = ""


class PayloadKeeper(Protocol):
    """What keeps the bytes of answers; all that a source's client needs of the lake."""

    def save_payload(self, body: bytes, request: str) -> str:
        """Keep the bytes of an answer (content-addressed) and return their SHA-256."""
        ...


class RawLake(PayloadKeeper, Protocol):
    """The raw lake as assets see it: append-only, content-addressed."""

    def commit(self, batches: Iterable[RawBatch]) -> list[Generation]:
        """Land batches and commit one manifest line each; returns the new generations."""
        ...

    def record_outage(self, key: RawKey, code: str, note: str, *, is_synthetic: bool) -> Generation:
        """Record that a key could not be fetched, with an outage code; keeps earlier generations current."""
        ...

    def current(self, as_of: datetime | None = None) -> Sequence[Generation]:
        """Return the last committed generation per key, in key order; with `as_of`, the last committed by then."""
        ...

    def outages(self, as_of: datetime | None = None) -> Sequence[Generation]:
        """Return the last outage per key that has no later committed generation, in key order."""
        ...


@dataclass(frozen=True)
class Capture:
    """What a source client brings back for one dataset and day, before validation.

    `rows` has the raw table's columns plus ``row_count`` (Int64, place in the answer, 1 = first).
    """

    rows: pl.DataFrame
    payloads: tuple[str, ...] = ()
    origin_note: str = ""


class SourceOutage(Exception):
    """A source did not answer as needed. `code` is an outage code of `Generation.status`; the message is one clear line.

    `cause` tells apart what one code holds: ``timeout``, ``no_connection``, ``broken_off`` (of ``unreachable``);
    ``server_error``, ``not_json``, ``not_readable``, ``refused``, ``wrong_shape``, ``unexplained_gap``, ``out_of_order`` (of
    ``venue_error``). Else it is the code.
    """

    def __init__(self, code: str, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.cause = cause or code


class FinalityBroken(Exception):
    """A block below finality has changed: nothing read of this chain can be trusted until a person has looked. Not an outage."""


class ExchangeSource(Protocol):
    """A venue's client; it raises `SourceOutage` and nothing else for the venue's faults."""

    venue: str
    source: str
    is_synthetic: bool
    # Datasets that it offers and the user did not ask for.
    left_out: Collection[str]

    def probe(self) -> None:
        """Ask the venue whether it answers; raise `SourceOutage` where it does not."""
        ...

    def first_offered_day(self, dataset: str) -> date | None:
        """Return the earliest day that the venue still tells of, None where it remembers all."""
        ...

    def fetch(self, dataset: str, day: date, last: date | None = None) -> Capture:
        """Return a raw dataset of a UTC day, or of the days up to and with `last`; what exists as of now, as it is now."""
        ...


class PublishedSource(Protocol):
    """A publisher's client; it raises `SourceOutage` and nothing else for the publisher's faults.

    `left_out` are datasets that it offers and the settings do not allow, with what they lack.
    `shows_all` is True where every look shows the same days, whatever was asked for.
    """

    venue: str
    source: str
    is_synthetic: bool
    left_out: Mapping[str, str]
    shows_all: bool

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return a raw dataset as the publisher shows it now; of a long history at least the days from first to last."""
        ...


@dataclass(frozen=True)
class Recording:
    """What was recorded of a venue's streams on one UTC day of the venue's clock, before validation.

    `refused` has the shape ``quality.tables.REJECTED_COLUMNS``: messages that could not be read. `is_sealed` is False while the day may
    still grow. `not_followed_count` is how many liquidations were of contracts that the lake does not list.
    """

    liquidations: Capture
    gaps: Capture
    refused: pl.DataFrame
    is_sealed: bool
    not_followed_count: int


class StreamRecordings(Protocol):
    """Liquidation streams as the collector recorded them."""

    source: str
    is_synthetic: bool

    def of_day(self, venue: str, day: date) -> Recording | None:
        """Return what was recorded of a venue on a UTC day, None where nothing was."""
        ...

    def sealed_since(self, name: str, most: int) -> Sequence[tuple[str, set[date]]]:
        """Return the segments sealed after the one of a name (empty: from the first), at most so many, with the days they touch."""
        ...


class LendingMarket(Protocol):
    """A lending market on a chain; each method raises `SourceOutage` and nothing else for the providers' faults.

    `finality_s` is the age in seconds from which a block counts as final.
    """

    venue: str
    source: str
    is_synthetic: bool
    finality_s: float

    def probe(self) -> None:
        """Ask every provider whether it shows the right chain."""
        ...

    def demand_finality(self, blocks: Mapping[int, str]) -> None:
        """Raise `FinalityBroken` where one of these blocks (height to hash) is not part of the chain."""
        ...

    def liquidations_of(self, day: date, last: date | None = None, *, now: datetime) -> Capture:
        """Return the liquidation calls of a UTC day, or of the days up to and with `last`."""
        ...

    def reserves(self) -> Capture:
        """Return rules and totals of the reserves as of the newest final block."""
        ...

    def positions(self, accounts: Sequence[str] = ()) -> Capture:
        """Return the positions of these accounts and of those that acted lately, as of the newest final block."""
        ...


class Warehouse(Protocol):
    """The DuckDB file as assets see it: opened for a moment, closed again, one writer at a time.

    `reports` is the folder of daily reports, `dbt_target` the one of dbt's compiled SQL and logs; `as_of` pins the
    manifest (None = current).
    """

    reports: Path
    dbt_target: Path
    as_of: datetime | None

    def connect(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse for writing; the file is free again when the block ends."""
        ...

    def refresh_raw(self) -> str:
        """Point schema `raw` at the lake's current (or as-of) generations; return the hash of that content."""
        ...

    def input_sha256(self) -> str:
        """Return the hash that the last `refresh_raw` left in the warehouse."""
        ...

    def publish(self) -> dict[str, int]:
        """Swap the published snapshot for the marts of now; return rows per table."""
        ...


class Dbt(Protocol):
    """The dbt project over the warehouse's file."""

    def stream(self, arguments: Sequence[str], context: Any, target: Path) -> Iterator[Any]:
        """Run dbt over the assets that an execution `context` asks for; yield results and checks as they come.

        dbt's compiled SQL and its log go to `target`.
        """
        ...
