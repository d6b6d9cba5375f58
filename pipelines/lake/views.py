"""Schema `raw` of the warehouse: views over the lake's generations, one per dataset, all venues and sources together.

Belongs here: which files the SQL side sees, and casts of older layouts (`_COLUMN_OF_VERSION`, the one place). Does not:
renaming, units, ranking of sources (``dbt/models/staging``).

A view reads exactly the files that the manifest names, never a pattern; their bytes are hashed before, because DuckDB does
not notice a flipped bit inside a Parquet page.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from assets.ports import Generation
from pipelines.lake.manifest import LakeError
from pipelines.lake.store import Lake, file_fault
from quality.schemas.raw import RAW_TABLES
from quality.tables import REJECTED_COLUMNS, Table

_SQL_TYPES: dict[pl.DataType, str] = {
    pl.String(): "VARCHAR",
    pl.Boolean(): "BOOLEAN",
    pl.Date(): "DATE",
    pl.Datetime("us"): "TIMESTAMP",
    pl.Float64(): "DOUBLE",
    pl.Int64(): "BIGINT",
}

# What a column was in files of an older schema_version: (dataset, schema_version, column) -> SQL over that file's columns.
# A column that is not named here has kept its name and meaning. A version without any entry but below the table's own is
# read as it stands, so a raised `Table.schema_version` must come with its entries.
_COLUMN_OF_VERSION: dict[tuple[str, int, str], str] = {
    # Version 1 knew linear contracts only.
    ("instruments", 1, "contract_size_usd"): "cast(null as double)",
    ("depth_bands", 1, "bid_mean_quote"): "null",
    ("depth_bands", 1, "ask_mean_quote"): "null",
}

_LINEAGE = ("source", "capture_date_utc", "ingested_at_utc", "is_synthetic")
_HASH_THREADS = 4


def create_raw_views(con: duckdb.DuckDBPyConnection, lake: Lake, *, as_of: datetime | None = None) -> str:
    """Point schema `raw` of an open warehouse at the lake; an earlier schema `raw` is replaced in the same transaction.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        The warehouse, open for writing.
    lake : Lake
    as_of : datetime, optional
        Show what was committed by then (UTC, naive); all of it where not given.

    Returns
    -------
    str
        SHA-256 of the content: keys, file hashes, quarantine hashes and open outages, without times and positions; also
        in ``raw.input(input_sha256)``.

    Raises
    ------
    LakeError
        Where a file of the lake is gone or damaged, or was written by newer code.
    """
    current, outages = lake.current(as_of), lake.outages(as_of)
    _check_files(current)
    input_sha256 = content_sha256(current, outages)
    con.execute("begin")
    try:
        con.execute("drop schema if exists raw cascade")
        con.execute("create schema raw")
        _create_books(con, current, outages, input_sha256)
        for table in RAW_TABLES.values():
            con.execute(_dataset_view(table, [g for g in current if g.key.dataset == table.name and g.rows_count]))
        con.execute(_quarantine_view([g for g in current if g.quarantine_path is not None]))
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    return input_sha256


def content_sha256(current: Sequence[Generation], outages: Sequence[Generation]) -> str:
    """Return the hash of what the lake says, whenever and in which order it was said."""
    said = sorted(
        [
            [*_key_text(g), g.status, g.sha256, g.quarantine_path.stem if g.quarantine_path else None, g.is_synthetic]
            for g in (*current, *outages)
        ],
        key=lambda row: [str(x) for x in row],
    )
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


def _key_text(g: Generation) -> tuple[str, str, str, str]:
    return g.key.dataset, g.key.venue, g.key.source, g.key.day.isoformat()


def _check_files(current: Sequence[Generation]) -> None:
    """Hash what is about to be read (3,250 day files: 0.2 s)."""
    named = [(path, g.key) for g in current for path in (g.path, g.quarantine_path) if path is not None]
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        faults = [f for f in pool.map(lambda pair: file_fault(*pair), named) if f is not None]
    if faults:
        more = f" (and {len(faults) - 1} more files)" if len(faults) > 1 else ""
        raise LakeError(faults[0] + more)


# -- the lake's books as tables


def _create_books(
    con: duckdb.DuckDBPyConnection, current: Sequence[Generation], outages: Sequence[Generation], input_sha256: str
) -> None:
    def book(generations: Sequence[Generation]) -> pl.DataFrame:
        keys = [g.key for g in generations]
        return pl.DataFrame(
            {
                "dataset": [k.dataset for k in keys],
                "venue": [k.venue for k in keys],
                "source": [k.source for k in keys],
                "capture_date_utc": [k.day for k in keys],
                "rows_count": [g.rows_count for g in generations],
                "quarantined_rows_count": [g.quarantined_rows_count for g in generations],
                "ingested_at_utc": [g.committed_at_utc for g in generations],
                "is_synthetic": [g.is_synthetic for g in generations],
                "reason": [g.status for g in generations],
                "path": [_text(g.path) for g in generations],
                "quarantine_path": [_text(g.quarantine_path) for g in generations],
            },
            schema={
                "dataset": pl.String(),
                "venue": pl.String(),
                "source": pl.String(),
                "capture_date_utc": pl.Date(),
                "rows_count": pl.Int64(),
                "quarantined_rows_count": pl.Int64(),
                "ingested_at_utc": pl.Datetime("us"),
                "is_synthetic": pl.Boolean(),
                "reason": pl.String(),
                "path": pl.String(),
                "quarantine_path": pl.String(),
            },
        )

    key = ("dataset", "venue", "source", "capture_date_utc")
    lines = book(current)
    _create_table(con, "manifest", lines.select(*key, "rows_count", "quarantined_rows_count", *_LINEAGE[2:]))
    _create_table(con, "outages", book(outages).select(*key, "reason", "is_synthetic"))
    files = pl.concat(
        [
            lines.select("path", *key, *_LINEAGE[2:]),
            lines.select(pl.col("quarantine_path").alias("path"), *key, *_LINEAGE[2:]),
        ]
    ).drop_nulls("path")
    _create_table(con, "manifest_files", files)
    _create_table(con, "input", pl.DataFrame({"input_sha256": [input_sha256]}))


def _create_table(con: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> None:
    columns = ", ".join(f"{_identifier(c)} {_SQL_TYPES[t]}" for c, t in frame.schema.items())
    con.execute(f"create table raw.{_identifier(name)} ({columns})")
    con.register("__lake_book", frame.to_arrow())
    try:
        con.execute(f"insert into raw.{_identifier(name)} select * from __lake_book")
    finally:
        con.unregister("__lake_book")


# -- views over the files


def _dataset_view(table: Table, generations: Sequence[Generation]) -> str:
    schema = table.raw_schema
    columns = [*(f"f.{_identifier(c)}" for c in schema), *(f"m.{c}" for c in _LINEAGE)]
    if not generations:
        lineage = {
            "source": pl.String(),
            "capture_date_utc": pl.Date(),
            "ingested_at_utc": pl.Datetime("us"),
            "is_synthetic": pl.Boolean(),
        }
        return _empty_view(table.name, {**schema, **lineage})
    versions: dict[int, list[str]] = {}
    for g in generations:
        if g.schema_version > table.schema_version:
            raise LakeError(
                f"{g.path}: schema_version {g.schema_version} of {table.name} is newer than this code knows "
                f"({table.schema_version}): update Lowtide"
            )
        versions.setdefault(g.schema_version, []).append(str(g.path))
    parts = " union all ".join(_files_of_version(table, v, paths) for v, paths in sorted(versions.items()))
    return (
        f"create view raw.{_identifier(table.name)} as select {', '.join(columns)} "
        f"from ({parts}) as f join raw.manifest_files as m on m.path = f.filename"
    )


def _files_of_version(table: Table, version: int, paths: Sequence[str]) -> str:
    casts = []
    for column, dtype in table.raw_schema.items():
        read = _COLUMN_OF_VERSION.get((table.name, version, column), _identifier(column))
        casts.append(f"cast({read} as {_SQL_TYPES[dtype]}) as {_identifier(column)}")
    return f"select {', '.join(casts)}, filename from {_read_parquet(paths)}"


def _quarantine_view(generations: Sequence[Generation]) -> str:
    lineage = ("dataset", "venue", "source", "capture_date_utc")
    if not generations:
        types = {"dataset": pl.String(), "venue": pl.String(), "source": pl.String(), "capture_date_utc": pl.Date()}
        return _empty_view("quarantine", {**types, **REJECTED_COLUMNS, "is_synthetic": pl.Boolean()})
    columns = ", ".join([*(f"m.{c}" for c in lineage), *(f"f.{c}" for c in REJECTED_COLUMNS), "m.is_synthetic"])
    paths = [str(g.quarantine_path) for g in generations]
    return (
        f"create view raw.quarantine as select {columns} "
        f"from {_read_parquet(paths)} as f join raw.manifest_files as m on m.path = f.filename"
    )


def _empty_view(name: str, schema: dict[str, pl.DataType]) -> str:
    columns = ", ".join(f"cast(null as {_SQL_TYPES[t]}) as {_identifier(c)}" for c, t in schema.items())
    return f"create view raw.{_identifier(name)} as select {columns} where false"


def _read_parquet(paths: Sequence[str]) -> str:
    listed = ", ".join(_literal(_no_pattern(p)) for p in paths)
    return f"read_parquet([{listed}], filename = true, hive_partitioning = false)"


def _no_pattern(path: str) -> str:
    """Escape what DuckDB would read as a pattern: a home may be called ``data[1]``."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
