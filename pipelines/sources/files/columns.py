"""From cells to the columns of a raw table, as a mapping says; a cell that cannot be read costs its row and not its file.

Belongs here: casts, clocks, units, choices, and the reason code of a cell that fails. Does not: the laws of a raw table
(``quality.tables.Table.split``), days and keys (``imports.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from pipelines.sources.files.books import ROW
from pipelines.sources.files.mapping import DEFAULT, Choice, ColumnRule, FileRule, template_parts
from pipelines.sources.files.reading import SourceFile, date_in_name, days_in_name, wrong_type
from quality.schemas.raw import DAY_CLOCK
from quality.tables import Table

FIELD = "__field"
REASON = "__reason"

NOT_A_NUMBER = "not_a_number"
NOT_WHOLE = "not_whole"
NOT_A_DATE = "not_a_date"
NOT_A_TRUTH = "not_true_or_false"
NOT_IN_MAPPING = "not_in_mapping"
OUTSIDE_FILE_DATE = "outside_file_date"

_TICKS_PER_SECOND = 1_000_000
_TICKS: dict[str, float] = {"epoch_s": 1_000_000.0, "epoch_ms": 1_000.0, "epoch_us": 1.0}
_EPOCHS = ("epoch", *_TICKS)
# `epoch`: from which size on a number counts milliseconds and microseconds. Instants of 1980 to 2286 lie far from both.
_LEAST_MS, _LEAST_US = 1e11, 1e14
# A day's file may begin with the last instants of the day before (it is cut by another clock) or end with the first of the
# next (it counts ends). Where rows are thinned anyway these are left out, so that an import never touches its neighbours.
_FILE_DATE_EDGE = timedelta(minutes=1)
# Beyond the year 9999 no calendar goes on; such a number is milliseconds read as seconds.
_LAST_TICK = 253_402_300_799.0 * _TICKS_PER_SECOND
# From here on a double no longer tells neighbouring whole numbers apart.
_LAST_WHOLE = 2.0**53

# 2026-01-31, then optionally a time, fractions of a second, and an offset. ASCII digits only.
_ISO = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(\.[0-9]{1,9})?[ ]?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"


@dataclass(frozen=True)
class Evaluated:
    """A file's rows in the shape of a raw table.

    `rows` has the table's columns, ``ROW``, and ``FIELD`` and ``REASON`` of the first cell that could not be read (null
    where all could). `skipped` counts rows in which the publisher observed nothing.
    """

    rows: pl.DataFrame
    skipped: int


@dataclass(frozen=True)
class _Value:
    """An expression, and where given the expression of a reason code (null = fine)."""

    value: pl.Expr
    fault: pl.Expr | None = None


def evaluate(source: SourceFile, rule: FileRule, table: Table, capture_day: date) -> Evaluated:
    """Apply a mapping to a file's cells.

    Raises
    ------
    ImportRefused
        Where a Parquet column has a type that can never become what the table wants, or a file's name lacks its date.
    """
    blank = [_is_blank(source, column) for column in rule.skip_where_blank]
    cells = source.cells.filter(~pl.any_horizontal(blank)) if blank else source.cells
    plain, derived = {}, {}
    for name, dtype in table.raw_schema.items():
        column = rule.columns.get(name)
        if name == "payload_sha256":
            plain[name] = _Value(pl.lit(source.sha256))
        elif column is None:
            plain[name] = _Value(pl.lit(None, dtype))
        elif column.choice is not None or column.after is not None:
            derived[name] = column
        else:
            plain[name] = _plain(source, name, column, dtype, capture_day)
    late = {name: _derived(column) for name, column in derived.items()}
    late |= {
        name: _scaled(name, column.scale) for name, column in rule.columns.items() if isinstance(column.scale, Choice)
    }
    frame = cells.with_columns(
        *(v.value.cast(table.raw_schema[n]).alias(n) for n, v in plain.items()),
        *(v.fault.alias(_fault(n)) for n, v in plain.items() if v.fault is not None),
    )
    frame = frame.with_columns(_with(frame, n, _own_laws(table, n)).alias(_fault(n)) for n in plain)
    frame = frame.with_columns(
        *(v.value.cast(table.raw_schema[n]).alias(n) for n, v in late.items()),
        *(_with(frame, n, v.fault).alias(_fault(n)) for n, v in late.items() if v.fault is not None),
    )
    if rule.within_file_date:
        frame = _within_file_date(source, rule, DAY_CLOCK[table.name] or "", frame)
    # A cause stands before its effects: without a coin there is no symbol either, and the coin is what to mend.
    faulty = [n for n in (*plain, *derived) if _fault(n) in frame.columns]
    reasons = [pl.col(_fault(n)) for n in faulty]
    fields = [pl.when(pl.col(_fault(n)).is_not_null()).then(pl.lit(n)) for n in faulty]
    return Evaluated(
        frame.with_columns(pl.coalesce(*reasons).alias(REASON), pl.coalesce(*fields).alias(FIELD)).select(
            *table.columns, ROW, FIELD, REASON
        ),
        skipped=source.cells.height - frame.height,
    )


def _within_file_date(source: SourceFile, rule: FileRule, clock: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Fault the rows whose day is not the file's: another file's rows, or a clock in another unit."""
    first, after = (datetime.combine(day, time()) for day in days_in_name(source))
    inside = pl.col(clock).is_between(first, after, closed="left")
    if rule.is_thinned:
        at_the_edge = pl.col(clock).is_between(first - _FILE_DATE_EDGE, after + _FILE_DATE_EDGE) & ~inside
        frame = frame.filter(~at_the_edge.fill_null(False))
    return frame.with_columns(_with(frame, clock, _reason(~inside, OUTSIDE_FILE_DATE)).alias(_fault(clock)))


def _own_laws(table: Table, name: str) -> pl.Expr:
    """Return the reason why a column that others may follow from cannot stand: missing, or not a lawful name."""
    required = name not in table.nullable
    fault = _reason(pl.col(name).is_null() & pl.lit(required), "missing_value")
    if table.raw_schema[name] == pl.String():
        for law in table.rules:
            if law.field == name and set(law.bad.meta.root_names()) == {name}:
                fault = pl.coalesce(fault, _reason(law.bad.fill_null(False), law.reason))
    return fault


def _fault(name: str) -> str:
    return f"__fault_{name}"


def _with(frame: pl.DataFrame, name: str, fault: pl.Expr) -> pl.Expr:
    """Return a further reason behind the one that a column may already have."""
    return pl.coalesce(pl.col(_fault(name)), fault) if _fault(name) in frame.columns else fault


def _is_blank(source: SourceFile, column: str) -> pl.Expr:
    cell = source.column(column)
    if source.dtype(column) == pl.String():
        return cell.is_null() | (cell.str.strip_chars() == "")
    return cell.is_null()


# -- columns with an origin of their own


def _plain(source: SourceFile, name: str, rule: ColumnRule, dtype: pl.DataType, capture_day: date) -> _Value:
    if rule.file_stem:
        return _Value(pl.lit(source.stem))
    if rule.path_part:
        return _Value(pl.lit(source.parts.get(rule.path_part), pl.String))
    if rule.file_date:
        return _Value(pl.lit(date_in_name(source)))
    if rule.capture_day:
        return _Value(pl.lit(capture_day))
    if rule.column is None:
        return _Value(pl.lit(rule.value))
    if dtype == pl.Float64():
        return _number(source, rule)
    if dtype == pl.Int64():
        return _whole(_figure(source, rule.column))
    if dtype.is_temporal():
        return _later(source, rule, _instant(source, rule.column, rule.clock or "iso", dtype))
    if dtype == pl.String():
        return _text(source, rule.column, rule.map, rule.extract)
    if dtype == pl.Boolean():
        return _truth(source, rule.column)
    raise NotImplementedError(f"no import for column {name} of type {dtype}")


def _stripped(source: SourceFile, column: str) -> pl.Expr:
    cell = source.column(column).cast(pl.String).str.strip_chars()
    return pl.when(cell != "").then(cell)


def _text(source: SourceFile, column: str, words: dict[str, str] | None, extract: str | None) -> _Value:
    dtype = source.dtype(column)
    if dtype.is_float() or dtype.is_temporal() or dtype.is_decimal():
        raise wrong_type(source.name, column, str(dtype), "a text")
    cell = found = _stripped(source, column)
    if extract is not None:
        found = found.str.extract(extract)
    if words is not None:
        found = found.replace_strict(words, default=None, return_dtype=pl.String)
    if extract is None and words is None:
        return _Value(cell)
    return _Value(found, _reason(cell.is_not_null() & found.is_null(), NOT_IN_MAPPING))


def _truth(source: SourceFile, column: str) -> _Value:
    if source.dtype(column) == pl.Boolean():
        return _Value(source.column(column))
    cell = _stripped(source, column).str.to_lowercase()
    value = cell.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    return _Value(value, _reason(cell.is_not_null() & value.is_null(), NOT_A_TRUTH))


def _number(source: SourceFile, rule: ColumnRule) -> _Value:
    """Return a figure, times another column, per another column (missing where that is 0), in the table's unit."""
    number = _figure(source, rule.column or "")
    for other, is_product in ((rule.times, True), (rule.per, False)):
        if other is not None:
            second = _figure(source, other)
            value = number.value * second.value if is_product else number.value / second.value
            faults = [f for f in (number.fault, second.fault) if f is not None]
            number = _Value(
                value if is_product else pl.when(second.value != 0).then(value),
                pl.coalesce(*faults) if faults else None,
            )
    return _Value(number.value * rule.scale, number.fault) if isinstance(rule.scale, float) else number


def _figure(source: SourceFile, column: str) -> _Value:
    dtype = source.dtype(column)
    if dtype.is_temporal():
        raise wrong_type(source.name, column, str(dtype), "a number")
    fault = None
    if dtype.is_numeric():
        value = source.column(column).cast(pl.Float64)
    else:
        cell = _stripped(source, column)
        value = cell.cast(pl.Float64, strict=False)
        fault = _reason(cell.is_not_null() & value.is_null(), NOT_A_NUMBER)
    return _Value(value, fault)


def _whole(number: _Value) -> _Value:
    is_whole = number.value.is_finite() & (number.value == number.value.round()) & (number.value.abs() < _LAST_WHOLE)
    fault = _reason(number.value.is_not_null() & ~is_whole, NOT_WHOLE)
    return _Value(
        pl.when(is_whole).then(number.value), fault if number.fault is None else pl.coalesce(number.fault, fault)
    )


def _instant(source: SourceFile, column: str, clock: str, dtype: pl.DataType) -> _Value:
    found = source.dtype(column)
    if found.is_temporal():
        # A Parquet instant knows its own clock; without a zone it is UTC.
        cell = source.column(column)
        zoned = isinstance(found, pl.Datetime) and found.time_zone is not None
        utc = cell.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else cell
        return _Value(utc.cast(pl.Datetime("us")).cast(dtype))
    if found.is_numeric() and clock not in _EPOCHS:
        raise wrong_type(
            source.name, column, str(found), f"`clock: {clock}` (a number needs epoch_s, epoch_ms or epoch_us)"
        )
    cell = _stripped(source, column)
    if clock in _EPOCHS:
        return _epoch(cell if not found.is_numeric() else source.column(column), clock, dtype)
    parsed = _iso(cell) if clock == "iso" else cell.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    if clock == "date":
        parsed = pl.when(cell.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")).then(parsed)
    return _Value(parsed.cast(dtype), _reason(cell.is_not_null() & parsed.is_null(), NOT_A_DATE))


def _later(source: SourceFile, rule: ColumnRule, instant: _Value) -> _Value:
    later = rule.later
    if later is None or (later.from_file_date is not None and date_in_name(source) < later.from_file_date):
        return instant
    return _Value(instant.value + timedelta(seconds=later.seconds), instant.fault)


def _epoch(cell: pl.Expr, clock: str, dtype: pl.DataType) -> _Value:
    number = cell.cast(pl.Float64, strict=False)
    size = number.abs()
    told = pl.when(size >= _LEAST_US).then(_TICKS["epoch_us"]).when(size >= _LEAST_MS).then(_TICKS["epoch_ms"])
    unit = told.otherwise(_TICKS["epoch_s"]) if clock == "epoch" else pl.lit(_TICKS[clock])
    ticks = number * unit
    sane = ticks.abs() <= _LAST_TICK
    instant = pl.when(sane).then(ticks).round().cast(pl.Int64, strict=False).cast(pl.Datetime("us"))
    fault = (
        pl.when(cell.is_not_null() & (ticks.is_null() | ticks.is_nan()))
        .then(pl.lit(NOT_A_DATE))
        .when(ticks > _LAST_TICK)
        .then(pl.lit("clock_in_future"))
        .when(ticks < -_LAST_TICK)
        .then(pl.lit("clock_before_1980"))
    )
    return _Value(instant.cast(dtype), fault)


def _iso(cell: pl.Expr) -> pl.Expr:
    parts = cell.str.extract_groups(_ISO)
    piece = [parts.struct.field(str(i)) for i in range(1, 6)]
    whole = pl.concat_str(
        piece[0],
        pl.lit("T"),
        piece[1].fill_null("00:00"),
        piece[2].fill_null(":00"),
        piece[3].fill_null(""),
        piece[4].fill_null("Z").replace("Z", "+00:00"),
    )
    return whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", strict=False).dt.replace_time_zone(None)


def _reason(bad: pl.Expr, code: str) -> pl.Expr:
    return pl.when(bad).then(pl.lit(code))


# -- columns that follow from others


def _derived(rule: ColumnRule) -> _Value:
    if rule.after is not None:
        return _Value(pl.col(rule.after) + timedelta(hours=rule.hours or 0.0))
    choice = rule.choice
    if choice is None:
        raise NotImplementedError("a derived column has a choice or an `after`")
    return _chosen(choice)


def _scaled(name: str, scale: Choice) -> _Value:
    factor = _chosen(scale)
    # A blank figure needs no factor.
    fault = None if factor.fault is None else pl.when(pl.col(name).is_not_null()).then(factor.fault)
    return _Value(pl.col(name) * factor.value, fault)


def _chosen(choice: Choice) -> _Value:
    """Return the value of the longest key that fits a row, then of `default`; none at all is a fault."""
    keys = sorted((k for k in choice.choose if k != DEFAULT), key=lambda k: -k.count("/"))
    value = _filled(choice.choose[DEFAULT]) if DEFAULT in choice.choose else pl.lit(None)
    fits_any = pl.lit(DEFAULT in choice.choose)
    for key in reversed(keys):
        words = key.split("/")
        fits = pl.all_horizontal(*(pl.col(c) == w for c, w in zip(choice.by, words, strict=False))).fill_null(False)
        value = pl.when(fits).then(_filled(choice.choose[key])).otherwise(value)
        fits_any = fits_any | fits
    known = pl.all_horizontal(*(pl.col(c).is_not_null() for c in choice.by))
    return _Value(value, _reason(known & ~fits_any, NOT_IN_MAPPING))


def _filled(value: str | float) -> pl.Expr:
    if not isinstance(value, str):
        return pl.lit(float(value))
    pieces: list[pl.Expr] = []
    for text, column in template_parts(value):
        pieces.append(pl.lit(text))
        if column is not None:
            pieces.append(pl.col(column))
    return pl.concat_str(*pieces) if pieces else pl.lit("")
