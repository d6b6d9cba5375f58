"""What may land: the check of batches against the raw tables, and rows as bytes that are always the same.

Belongs here: validity and serialisation. Does not: splitting good rows from bad (``quality.tables.Table.split``, which the
sources call), the disk (``store.py``).
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from pandera.errors import SchemaError, SchemaErrors

from assets.ports import RawBatch, RawKey
from pipelines.lake.manifest import LakeError, name_of
from quality.schemas.raw import DAY_CLOCK, RAW_TABLES
from quality.tables import REJECTED_COLUMNS, Table

# Rows that a file's readers and writers hold together.
GROUP_ROWS = 2**18


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
    return parquet_bytes([rows.sort(table.grain)], table.raw_schema)


def added_bytes(held: Path, new: pl.DataFrame, table: Table) -> tuple[int, bytes]:
    """Return the rows of a file together with new ones, as `rows_bytes` would: their number and the bytes.

    A day of books by the minute is millions of rows: the file is read piece by piece.

    Raises
    ------
    LakeError
        Where the file's columns are of another age and cannot stand beside today's.
    """
    told = pl.scan_parquet(held)
    names = told.collect_schema().names()
    absent = [name for name in table.columns if name not in names]
    if set(absent) - table.nullable or set(names) - set(table.columns):
        raise LakeError(
            f"{held}: its columns cannot stand beside those of {table.address} in schema version "
            f"{table.schema_version}: land what was seen on that day under another source"
        )
    in_layout = told.with_columns(pl.lit(None, table.raw_schema[name]).alias(name) for name in absent).select(
        table.columns
    )
    held_count: int = told.select(pl.len()).collect().item()
    rows_count = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal rows_count
        pieces = (in_layout.slice(begin, GROUP_ROWS).collect() for begin in range(0, held_count, GROUP_ROWS))
        for frame in merged(pieces, new, table):
            rows_count += frame.height
            yield frame

    body = parquet_bytes(counted(), table.raw_schema)
    return rows_count, body


def rejected_bytes(rejected: pl.DataFrame) -> bytes:
    """Return refused rows as Parquet, sorted by their place and reason."""
    return parquet_bytes([rejected.sort("row_count", "field", "reason", "record_json")], REJECTED_COLUMNS)


def parquet_bytes(frames: Iterable[pl.DataFrame], schema: Mapping[str, pl.DataType]) -> bytes:
    """Return the rows of frames, in their order, as Parquet with a fixed compression and layout.

    How rows are spread over the frames does not change a byte, and no more than a group of rows is held beside the result.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - half a second, which `lowtide sql` need not wait

    def arrow(frame: pl.DataFrame) -> Any:
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())

    buffer = io.BytesIO()
    # Without a copy of the schema in Arrow's own form: the file says the same to every reader.
    form = {"compression": "zstd", "compression_level": 3, "store_schema": False}
    with pq.ParquetWriter(buffer, arrow(pl.DataFrame(schema=schema)).schema, **form) as writer:
        for group in _groups(frames):
            writer.write_table(arrow(group.rechunk()), row_group_size=GROUP_ROWS)
    return buffer.getvalue()


def _groups(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the rows again, in frames of `GROUP_ROWS` and a last one with the rest."""
    rest: pl.DataFrame | None = None
    for frame in frames:
        rest = frame if rest is None else pl.concat([rest, frame])
        while rest.height >= GROUP_ROWS:
            yield rest[:GROUP_ROWS]
            rest = rest[GROUP_ROWS:]
    if rest is not None and not rest.is_empty():
        yield rest


def merged(held: Iterable[pl.DataFrame], new: pl.DataFrame, table: Table) -> Iterator[pl.DataFrame]:
    """Yield two sets of rows as one, sorted by grain; of two rows of one grain the new one.

    Parameters
    ----------
    held : iterable of polars.DataFrame
        Rows sorted by grain, in pieces; one of them is held at a time.
    new : polars.DataFrame
        Rows of which no two have one grain.
    """
    grain = list(table.grain)
    new = new.sort(grain)
    for piece in held:
        kept = piece.join(new, on=grain, how="anti", nulls_equal=True, maintain_order="left")
        if kept.is_empty():
            continue
        both = pl.concat([kept.with_columns(__held=True), new.with_columns(__held=False)]).sort(grain)
        # What stands behind the last held row may belong behind rows of the next piece.
        end = both.select(pl.arg_where(pl.col("__held")).last()).item() + 1
        both = both.drop("__held")
        new = both[end:]
        yield both[:end]
    yield new
