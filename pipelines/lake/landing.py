"""What may land: the check of batches against the raw tables, and rows as bytes that are always the same.

Belongs here: validity and serialisation. Does not: splitting good rows from bad (``quality.tables.Table.split``, which the
sources call), the disk (``store.py``).
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import polars as pl
from pandera.errors import SchemaError, SchemaErrors

from assets.ports import RawBatch, RawKey
from pipelines.lake.manifest import LakeError, name_of
from quality.schemas.raw import DAY_CLOCK, RAW_TABLES
from quality.tables import REJECTED_COLUMNS, Table


class LandingRefused(LakeError):
    """A batch does not fit its raw table; nothing of the commit has landed."""


def check_key(key: RawKey) -> None:
    """Refuse a key whose dataset is unknown or whose names cannot stand in a path."""
    if key.dataset not in RAW_TABLES:
        raise LandingRefused(f"dataset {key.dataset!r:.80} is not one of {', '.join(RAW_TABLES)}")
    name_of(key.venue, "venue")
    name_of(key.source, "source")
    if isinstance(key.day, datetime):  # a datetime is a date to Python, and would break the folder's name
        raise LandingRefused(f"day {key.day!r} of {_shown(key)} is an instant: give a date")


def check_batches(batches: Sequence[RawBatch]) -> None:
    """Check every batch against its table, its key and the shape of refused rows.

    Raises
    ------
    LandingRefused
        With dataset, venue, source, day and the broken law.
    """
    by_dataset: dict[str, list[RawBatch]] = defaultdict(list)
    for batch in batches:
        check_key(batch.key)
        _check_place(batch)
        by_dataset[batch.key.dataset].append(batch)
    for dataset, group in by_dataset.items():
        _check_rows(RAW_TABLES[dataset], group)


def _check_place(batch: RawBatch) -> None:
    key, rows = batch.key, batch.rows
    table = RAW_TABLES[key.dataset]
    for what, frame, wanted in (
        ("rows", rows, table.raw_schema),
        ("refused rows", batch.rejected, REJECTED_COLUMNS),
    ):
        if dict(frame.schema) != wanted or frame.columns != list(wanted):
            raise LandingRefused(f"{_shown(key)}: {what} have the columns {dict(frame.schema)}, expected {wanted}")
    if rows.is_empty():
        return
    clock = DAY_CLOCK[key.dataset]
    # One pass over the frame: an import brings thousands of small ones.
    found = rows.select(
        pl.struct(table.grain).is_duplicated().any().alias("repeated"),
        (pl.col("venue") != key.venue).any().alias("other_venue"),
        (pl.lit(False) if clock is None else (pl.col(clock).cast(pl.Date) != key.day).any()).alias("other_day"),
    ).row(0, named=True)
    if found["repeated"]:
        raise LandingRefused(f"{_shown(key)}: a key of {', '.join(table.grain)} stands twice: split the rows first")
    if found["other_venue"]:
        raise LandingRefused(f"{_shown(key)}: rows of another venue: one batch per venue")
    if found["other_day"]:
        raise LandingRefused(f"{_shown(key)}: rows of another UTC day by {clock}: one batch per day")


def _check_rows(table: Table, group: Sequence[RawBatch]) -> None:
    # Thousands of day files: one check over all of them takes a second, one check each takes a minute. Uniqueness holds
    # within a key only, and was looked at there.
    schema = table.pandera_schema()
    schema.unique = None
    try:
        schema.validate(pl.concat([b.rows for b in group]))
    except (SchemaError, SchemaErrors):
        for batch in group:
            try:
                schema.validate(batch.rows)
            except (SchemaError, SchemaErrors) as error:
                reason = " ".join(str(error).split())
                raise LandingRefused(f"{_shown(batch.key)}: {reason:.400}; split the rows first") from error
        raise


def _shown(key: RawKey) -> str:
    return f"{key.dataset} of {key.venue} from {key.source} on {key.day}"


def rows_bytes(rows: pl.DataFrame, table: Table) -> bytes:
    """Return rows as Parquet, sorted by grain: the same rows are always the same bytes."""
    return parquet_bytes(rows.sort(table.grain))


def rejected_bytes(rejected: pl.DataFrame) -> bytes:
    """Return refused rows as Parquet, sorted by their place and reason."""
    return parquet_bytes(rejected.sort("row_count", "field", "reason", "record_json"))


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """Return a frame as Parquet with a fixed compression and layout."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(
        buffer, compression="zstd", compression_level=3, statistics=True, row_group_size=2**18
    )
    return buffer.getvalue()
