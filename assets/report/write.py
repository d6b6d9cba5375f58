"""Writes a day's report to disk so that nobody ever sees half of one.

Belongs here: the folder of a day and its editions, Parquet exports, the swap by rename and the healing of what a crash left behind. Does not: any
number or word of the report.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from assets.report.render import JSON_NAME, PAGE_NAMES, report_html, report_json
from assets.report.sections import build_report
from quality.schemas.marts import MART_DAY_COLUMN, MARTS
from quality.tables import Table

# Tables whose records are not due every day: a cut to one day would mostly be empty, so an export goes this far back.
SLOW_MARTS = (
    "fct_etf_flows_daily",
    "fct_holder_supply_daily",
    "fct_macro_observations",
    "fct_macro_releases",
    "fct_rate_expectations_daily",
    "fct_sentiment_daily",
)
SLOW_DAYS = 400

# Endings of the hidden siblings of a day's folder while it is written and swapped.
FRESH, OLD = ".new", ".old"

# Editions stand beside the days, which follow what the lake knows now.
EDITIONS_FOLDER = "editions"
EDITIONS = ("preliminary", "final")

# Fixed, so that the bytes do not follow a default that changes with DuckDB's version.
ROW_GROUP_ROWS = 122_880


@dataclass(frozen=True)
class ReportFiles:
    """Where the files of a written report are. `tables` maps a mart's name to its Parquet."""

    html: Path
    html_zh: Path
    json: Path
    tables: dict[str, Path]


def write_report(con: duckdb.DuckDBPyConnection, day: date, folder: Path, *, input_sha256: str) -> ReportFiles:
    """Write the report of a day to ``<folder>/<YYYY-MM-DD>/``, in place of an earlier one of that day.

    The files are written and synced in a sibling folder first, then swapped in by rename: a crash leaves the old report or the
    new one. What a crash left in `folder` is healed at the start of the next call. One writer at a time: the caller holds the pool.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        A database with schema ``marts`` that may write files.
    day : datetime.date
        UTC day.
    folder : pathlib.Path
        Folder of daily reports; made where it is absent.
    input_sha256 : str
        Name of the raw content behind the warehouse.

    Returns
    -------
    ReportFiles
        Paths in the final folder. The same marts give the same bytes of each file, on any number of threads.

    Raises
    ------
    TypeError, ValueError
        As `assets.report.sections.build_report`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    heal(folder)
    report = build_report(con, day, input_sha256=input_sha256)
    final = folder / day.isoformat()
    fresh = _fresh(final)
    tables = fresh / "tables"
    tables.mkdir(parents=True)
    for name in MARTS:
        export_mart(con, name, day, tables / f"{name}.parquet")
    for lang, name in PAGE_NAMES.items():
        (fresh / name).write_bytes(report_html(report, lang))
    (fresh / JSON_NAME).write_bytes(report_json(report))
    _swap_in(fresh, final)
    return ReportFiles(
        html=final / PAGE_NAMES["en"],
        html_zh=final / PAGE_NAMES["zh"],
        json=final / JSON_NAME,
        tables={name: final / "tables" / f"{name}.parquet" for name in MARTS},
    )


def keep_edition(report: Path, edition: str) -> Path:
    """Keep a copy of a written report as an edition of its day and return the edition's folder.

    Parameters
    ----------
    report : pathlib.Path
        Folder of a day, as `write_report` left it.
    edition : {"preliminary", "final"}
        ``<reports>/editions/<YYYY-MM-DD>/<edition>/``. A final edition is written once: a later call changes nothing, whatever
        the lake has learnt since. A preliminary one is replaced.

    Raises
    ------
    ValueError
        Where there is no such edition.
    """
    if edition not in EDITIONS:
        raise ValueError(f"edition {edition!r}: one of {', '.join(EDITIONS)}")
    kept = report.parent / EDITIONS_FOLDER / report.name / edition
    kept.parent.mkdir(parents=True, exist_ok=True)
    heal(kept.parent)
    if edition == "final" and kept.exists():
        return kept
    shutil.copytree(report, _fresh(kept))
    _swap_in(_fresh(kept), kept)
    return kept


def heal(folder: Path) -> None:
    """Bring every day of a folder back to one whole report after a crash at any step of `write_report`.

    An old folder without its day is a swap that stopped half-way: the old report goes back. An old folder beside its day is a
    swap that was done. A fresh folder may be half-written and is dropped.
    """
    for old in sorted(folder.glob(f".*{OLD}")):
        final = folder / old.name.removeprefix(".").removesuffix(OLD)
        if final.exists():
            shutil.rmtree(old)
        else:
            old.rename(final)
    for fresh in sorted(folder.glob(f".*{FRESH}")):
        shutil.rmtree(fresh)


def export_mart(con: duckdb.DuckDBPyConnection, name: str, day: date, path: Path) -> None:
    """Write a mart's rows of a day to Parquet: declared columns, total order by grain, zstd, fixed row groups.

    Rows are those of the UTC day by ``MART_DAY_COLUMN``; of `SLOW_MARTS` the `SLOW_DAYS` days that end with it; dimensions whole.
    """
    table: Table = MARTS[name]
    columns = [duckdb.ColumnExpression(column) for column in table.columns]
    order = [duckdb.ColumnExpression(column).asc().nulls_last() for column in table.grain]
    rows = con.table(table.address)
    day_column = MART_DAY_COLUMN[name]
    if day_column is not None:
        first = day - timedelta(days=SLOW_DAYS - 1) if name in SLOW_MARTS else day
        clock = duckdb.ColumnExpression(day_column)
        rows = rows.filter(clock >= duckdb.ConstantExpression(datetime.combine(first, datetime.min.time())))
        rows = rows.filter(
            clock < duckdb.ConstantExpression(datetime.combine(day + timedelta(days=1), datetime.min.time()))
        )
    rows.select(*columns).sort(*order).write_parquet(str(path), compression="zstd", row_group_size=ROW_GROUP_ROWS)


def _fresh(final: Path) -> Path:
    return final.with_name(f".{final.name}{FRESH}")


def _swap_in(fresh: Path, final: Path) -> None:
    """Put a written folder in the place of another by rename."""
    old = final.with_name(f".{final.name}{OLD}")
    _sync(fresh)
    if final.exists():
        final.rename(old)
    fresh.rename(final)
    _sync_folder(final.parent)
    if old.exists():
        shutil.rmtree(old)


def _sync(folder: Path) -> None:
    """Flush every file and folder: after a power cut a rename may be on disk before the bytes it points to."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
