"""From a file to cells: CSV, Parquet and ccxt's JSON of leverage tiers, read whole or refused.

Belongs here: encodings, headers, rows that do not fit the header, what a file's name tells. Does not: unpacking and
checksums (``archives.py``), rows of books (``books.py``), of Aave's calls (``aave.py``) and of funds
(``funds.py``), what a cell means (``columns.py``).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from pipelines.sources.files.aave import AAVE_CALLS
from pipelines.sources.files.archives import GZIP_START, checksum_beside, gunzipped, unpacked, unzipped
from pipelines.sources.files.books import BOOK_LAYOUTS, ROW
from pipelines.sources.files.funds import ETF_TABLE
from pipelines.sources.files.mapping import FileRule
from pipelines.sources.files.refusal import ImportRefused, printable, short

# Formats whose rows are made into other rows before a mapping reads them.
_LAYOUTS = {**BOOK_LAYOUTS, "aave_calls": AAVE_CALLS, "etf_table": ETF_TABLE}
_CSV_BLOCK = 1 << 22
_CCXT_CONTRACT = re.compile(r"(?P<base>[^/:]+)/(?P<quote>[^/:]+):(?P<settle>[^/:-]+)(?:-(?P<expiry>[0-9]{6}))?")
_DATE_IN_NAME = re.compile(r"(?<![0-9])([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?(?!-?[0-9])")
# What the readers raise over damaged bytes (a flipped bit in a Parquet footer shows as any of these).
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError)


@dataclass(frozen=True)
class RaggedRow:
    """A CSV row that has more or fewer cells than the header."""

    row_count: int
    text: str


@dataclass(frozen=True)
class SourceFile:
    """A file's cells.

    `cells` has one column per source column of the mapping under a plain name (see `column`), plus ``ROW`` (Int64, data
    rows counted from 1; of books the row at which a band begins, or the band's own number). CSV cells are text, Parquet
    cells keep their types. `parts` are the named pieces of the file's path; `note` is what the reader left out; `origin`
    is what the manifest says of the file.
    """

    name: str
    stem: str
    body: bytes
    sha256: str
    cells: pl.DataFrame
    aliases: dict[str, str]
    ragged: tuple[RaggedRow, ...] = ()
    parts: dict[str, str] = field(default_factory=dict)
    note: str = ""
    origin: str = ""

    @property
    def rows_read(self) -> int:
        """Data rows, ragged ones included."""
        return self.cells.height + len(self.ragged)

    def dtype(self, column: str) -> pl.DataType:
        """Return the type of a source column."""
        return self.cells.schema[self.aliases[column]]

    def column(self, column: str) -> pl.Expr:
        """Return the expression of a source column; its name may be anything, even a pattern of polars."""
        return pl.col(self.aliases[column])


def read_source(path: Path, shown_name: str, rule: FileRule) -> SourceFile:
    """Read the columns of a file that a mapping names.

    Raises
    ------
    ImportRefused
        Where the file cannot be read, lacks columns, holds types that no cell may have, or holds no row.
    """
    name = printable(shown_name)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ImportRefused(
            name, "", f"cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error
    if not body:
        raise ImportRefused(name, "", "is empty (0 bytes)", "fetch the file again")
    origin = name
    if rule.checksum and not checksum_beside(name, path, body):
        origin += " (no checksum)"
    ragged: list[RaggedRow] = []
    aliases = {column: f"c{i}" for i, column in enumerate(rule.source_columns)}
    cells, note = _cells(name, path.name, body, rule, aliases, ragged)
    source = SourceFile(
        name=name,
        stem=printable(_stem(path.name)),
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
        cells=cells,
        aliases=aliases,
        ragged=tuple(ragged),
        parts=rule.parts_of(path) or {},
        note=note,
        origin=origin,
    )
    if source.rows_read == 0:
        raise ImportRefused(name, "", "has no row", "fetch the file again, or leave it out")
    return source


def _cells(
    name: str, file_name: str, body: bytes, rule: FileRule, aliases: dict[str, str], ragged: list[RaggedRow]
) -> tuple[pl.DataFrame, str]:
    """Return the file's cells under plain names with ``ROW``, and what was left out of them."""
    layout = _LAYOUTS.get(rule.format)
    if rule.format == "parquet":
        table = _parquet(name, body, rule.source_columns)
    elif rule.format == "ccxt_tiers":
        table = _ccxt_tiers(name, body, rule.source_columns)
    elif layout is not None:
        table = _csv(name, unpacked(name, file_name, body), rule, layout.columns, ragged)
    else:
        table = _csv(name, _csv_bytes(name, file_name, body, rule), rule, rule.source_columns, ragged)
    try:
        # Plain names first: a file's own may be anything. Of a layout they are known.
        kept = table if layout is not None else table.select(list(aliases)).rename_columns(list(aliases.values()))
        cells = pl.DataFrame(pl.from_arrow(kept))
    except (pl.exceptions.PolarsError, *_UNREADABLE) as error:
        raise ImportRefused(
            name, "", f"cannot be read ({short(error)})", "write the file again with plain types"
        ) from error
    places = pl.int_range(1, cells.height + len(ragged) + 1, eager=True, dtype=pl.Int64())
    if ragged:
        places = places.filter(~places.is_in([r.row_count for r in ragged]))
    cells = cells.with_columns(places.alias(ROW))
    if layout is None:
        return cells, ""
    folded = layout.fold(cells)
    _demand(name, folded.cells.columns, rule.source_columns)
    return folded.cells.select(ROW, *(pl.col(c).alias(alias) for c, alias in aliases.items())), folded.note


def _csv_bytes(name: str, file_name: str, body: bytes, rule: FileRule) -> bytes:
    if rule.format == "csv.gz":
        return gunzipped(name, body)
    return unzipped(name, file_name, body) if rule.format == "csv.zip" else body


def _csv(name: str, body: bytes, rule: FileRule, wanted: Sequence[str], ragged: list[RaggedRow]) -> pa.Table:
    try:
        body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportRefused(name, "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8 CSV") from error
    body = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = [line for line in body.split(b"\n") if line]
    if not lines:
        raise ImportRefused(name, "", "has no line", "fetch the file again")
    header = _header(name, lines[0].decode("utf-8"), rule.delimiter)
    if rule.header and not {c.strip() for c in header} & set(rule.header):
        header = _told_header(name, header, rule.header)
        lines.insert(0, rule.delimiter.join(header).encode())
        body = lines[0] + b"\n" + body.lstrip(b"\n")
    _once_each(name, header)
    _demand(name, header, wanted)

    def note(row: arrow_csv.InvalidRow) -> str:
        ragged.append(RaggedRow(row.number - 1, row.text))
        return "skip"

    try:
        table = arrow_csv.read_csv(
            io.BytesIO(body),
            # One thread: only then does the reader know the numbers of the rows that it skips.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=max(_CSV_BLOCK, max(map(len, lines)) + 2)),
            parse_options=arrow_csv.ParseOptions(delimiter=rule.delimiter, invalid_row_handler=note),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise ImportRefused(name, "", f"is not CSV ({short(error)})", "check delimiter and quotation marks") from error
    # A quotation mark that never closes swallows the lines behind it; figures have no line breaks, so the lines tell.
    if table.num_rows + len(ragged) != len(lines) - 1:
        raise ImportRefused(
            name,
            "",
            f"has {len(lines) - 1} lines and only {table.num_rows + len(ragged)} rows",
            "a quotation mark opens and does not close on its line: mend it",
        )
    return table.rename_columns([column.strip() for column in header])


def _header(name: str, line: str, delimiter: str) -> list[str]:
    try:
        header = next(csv.reader([line], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise ImportRefused(
            name, "", f"has an unreadable header ({short(error)})", "check its quotation marks"
        ) from error
    return header


def _told_header(name: str, first_row: Sequence[str], header: Sequence[str]) -> list[str]:
    """Return the header that the mapping tells, for a file that begins with its first row."""
    if len(first_row) != len(header):
        raise ImportRefused(
            name,
            "",
            f"has neither a header row nor {len(header)} columns ({len(first_row)} in its first row)",
            f"the mapping knows {', '.join(header)}",
        )
    return list(header)


def _once_each(name: str, header: Sequence[str]) -> None:
    shown = [column.strip() for column in header]
    twice = sorted({c for c in shown if shown.count(c) > 1})
    if twice:
        raise ImportRefused(name, twice[0], "stands twice in the header", "rename one of the two")


def _parquet(name: str, body: bytes, wanted: Sequence[str]) -> pa.Table:
    what_to_do = "the file is cut short or not Parquet: fetch it again"
    try:
        # The columns first, so that a strange type elsewhere in the file does no harm.
        file = pq.ParquetFile(pa.BufferReader(body), page_checksum_verification=True)
        schema = file.schema_arrow
    except _UNREADABLE as error:
        raise ImportRefused(name, "", f"cannot be read ({short(error)})", what_to_do) from error
    _demand(name, schema.names, wanted)
    for column in wanted:
        if schema.names.count(column) > 1:
            raise ImportRefused(name, column, "stands twice in the file", "rename one of the two")
        _demand_plain(name, column, schema.field(column).type)
    try:
        return file.read(columns=list(wanted))
    except _UNREADABLE as error:
        raise ImportRefused(name, "", f"cannot be read ({short(error)})", what_to_do) from error


def _ccxt_tiers(name: str, body: bytes, wanted: Sequence[str]) -> pa.Table:
    """Return one row per tier of ``{symbol: [tier, ...]}``, each cell as the text that stands in the file.

    Beside a tier's own keys (those of its `info` as ``info.<key>``) a row has the parts of its symbol and ``tiers``, the
    length of its list, by which a ladder that lost a tier is known.
    """
    if body.startswith(GZIP_START):
        body = gunzipped(name, body)
    try:
        # Numbers stay text: they are read as those of a CSV are, and NaN or 1e999 gets its reason there.
        held = json.loads(body, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ImportRefused(
            name, "", f"is not JSON ({short(error)})", "the file is cut short or damaged: fetch it again"
        ) from error
    rows: list[dict[str, Any]] = []
    for symbol, tiers in held.items() if isinstance(held, dict) else [("", held)]:
        if not symbol or not isinstance(tiers, list) or not all(isinstance(t, dict) for t in tiers):
            raise _not_tiers(name, symbol, "is no list of tiers by symbol")
        for tier in tiers:
            if tier.get("symbol", symbol) != symbol:
                raise _not_tiers(name, symbol, f"holds a tier of {tier['symbol']}")
            info = tier.get("info")
            nested = {f"info.{key}": cell for key, cell in info.items()} if isinstance(info, dict) else {}
            rows.append({**tier, **nested, **_symbol_parts(symbol), "tiers": str(len(tiers))})
    if rows:
        _demand(name, list(dict.fromkeys(key for row in rows for key in row)), wanted)
    try:
        return pa.table({c: pa.array([_cell(row.get(c)) for row in rows], pa.string()) for c in wanted})
    except (ValueError, pa.ArrowException) as error:
        raise ImportRefused(
            name, "", f"holds text that is no Unicode ({short(error)})", "save it as JSON in UTF-8"
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return held


def _not_tiers(name: str, symbol: str, reason: str) -> ImportRefused:
    where = f"symbol {symbol} " if symbol else ""
    return ImportRefused(name, "", f"{where}{reason}", "save what ccxt's fetch_leverage_tiers returns as JSON")


def _symbol_parts(symbol: str) -> dict[str, str | None]:
    """Return ccxt's ``BASE/QUOTE:SETTLE-EXPIRY`` in its parts; all missing where a symbol is no contract's."""
    found = _CCXT_CONTRACT.fullmatch(symbol)
    parts: dict[str, str | None] = found.groupdict() if found else dict.fromkeys(_CCXT_CONTRACT.groupindex)
    expiry = f"_{parts['expiry']}" if parts["expiry"] else ""
    joined = f"{parts['base']}{parts['quote']}{expiry}" if found else None
    return {"symbol": symbol, **parts, "base_quote_expiry": joined}


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _demand(name: str, present: Sequence[str], wanted: Sequence[str]) -> None:
    shown = [column.strip() for column in present]
    missing = [column for column in wanted if column not in shown]
    if missing:
        raise ImportRefused(
            name,
            missing[0],
            f"{'column is' if len(missing) == 1 else 'columns are'} missing: {', '.join(missing)}; the file has {', '.join(shown)[:300]}",
            "name the file's columns in the mapping",
        )


def _demand_plain(name: str, column: str, dtype: pa.DataType) -> None:
    inner = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    tests = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal128,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_timestamp,
        pa.types.is_date,
        pa.types.is_null,
    )
    if not any(test(inner) for test in tests):
        raise wrong_type(name, column, str(dtype), "a number, a text or an instant")


def wrong_type(name: str, column: str, found: str, expected: str) -> ImportRefused:
    """Return the refusal of a column whose type can never become what the mapping wants."""
    return ImportRefused(name, column, f"holds {found}, expected {expected}", "write the column again with such a type")


def _stem(name: str) -> str:
    for suffix in (".csv.gz", ".csv", ".zip", ".parquet", ".json.gz", ".json"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def date_in_name(source: SourceFile) -> date:
    """Return the last date in a file's name: ``2026-07-15``, or ``2026-07`` for the first of the month.

    Raises
    ------
    ImportRefused
        Where the name has none.
    """
    return days_in_name(source)[0]


def days_in_name(source: SourceFile) -> tuple[date, date]:
    """Return the days [first, after) of the last date in a file's name: a day, or a whole month.

    Raises
    ------
    ImportRefused
        Where the name has none.
    """
    try:
        year, month, day = _DATE_IN_NAME.findall(source.stem)[-1]
        first = date(int(year), int(month), int(day or 1))
        return first, first + timedelta(days=1) if day else (first + timedelta(days=31)).replace(day=1)
    except (IndexError, ValueError, OverflowError) as error:
        raise ImportRefused(
            source.name, "", "has no date in its name", "name it after the day it shows, such as tiers_2026-07-15.json"
        ) from error
