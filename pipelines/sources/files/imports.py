"""The entrance for files that people already own: CSV and Parquet with a declared mapping, into the raw lake.

Belongs here: in which order, split into keys, counted. Does not: the mapping's form (``mapping.py``), which files
(``finding.py``), reading (``reading.py``), casting (``columns.py``), validity (``quality``), the disk (``pipelines/lake``).

All files are read and judged before the first row lands. Rows go by UTC day into keys; landing a key replaces what the
same mapping landed for that day before, so an import that was killed is simply run again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from assets.ports import Clock, Generation, RawBatch, RawKey
from pipelines.lake.manifest import SLUG, LakeError
from pipelines.lake.store import Lake
from pipelines.sources.files.books import ROW
from pipelines.sources.files.columns import FIELD, OUTSIDE_FILE_DATE, REASON, evaluate
from pipelines.sources.files.finding import find_files
from pipelines.sources.files.mapping import FileRule, Mapping, MappingError, load_mapping, shipped_mappings
from pipelines.sources.files.reading import SourceFile, days_in_name, read_source
from pipelines.sources.files.refusal import ImportRefused, printable
from pipelines.sources.files.summary import FileCount, ImportSummary
from quality.schemas.raw import DAY_CLOCK, RAW_TABLES
from quality.tables import REJECTED_COLUMNS, Table

__all__ = [
    "FileCount",
    "ImportRefused",
    "ImportSummary",
    "Mapping",
    "MappingError",
    "import_files",
    "load_mapping",
    "shipped_mappings",
]

Progress = Callable[[str, int, int], None]

# Larger files are named by their hash only: the lake is no archive of what its owner has anyway.
PAYLOAD_LIMIT_BYTES = 8 * 2**20
# Keys per commit: few enough for a lively progress bar, many enough to share the wait for the disk.
KEYS_PER_COMMIT = 400
UNKNOWN_VENUE = "unknown"
RAGGED = "wrong_number_of_cells"
WHOLE_ROW = "*"
# A cell in a quarantine record is evidence, not storage.
CELL_LENGTH = 200

_FILE = "__file"
_DAY = "__day"
_KEY_VENUE = "__venue"


@dataclass(frozen=True)
class _Part:
    """One file under one rule, read and evaluated, with nothing landed yet."""

    source: SourceFile
    rule: FileRule
    rows: pl.DataFrame
    skipped: int


def import_files(
    mapping: Mapping,
    folder_or_file: Path,
    lake: Lake,
    clock: Clock,
    progress: Progress | None = None,
    *,
    is_synthetic: bool = False,
) -> ImportSummary:
    """Import files into the lake.

    Parameters
    ----------
    mapping : Mapping
        See `load_mapping`.
    folder_or_file : Path
        A folder in which the mapping's patterns are looked for, or one file that fits one of them.
    lake : Lake
    clock : Clock
        Our clock; its day is the capture day of snapshots and of rows whose own day is unknown.
    progress : callable, optional
        Called with a text, steps done, steps in all.
    is_synthetic : bool
        True where the files were written by the sandbox.

    Raises
    ------
    ImportRefused
        Where a file cannot be imported; nothing has landed then.
    """
    say = progress or (lambda _text, _done, _total: None)
    now = clock.now()
    found, ignored = find_files(mapping, Path(folder_or_file))
    parts: list[_Part] = []
    for i, (path, shown, rule) in enumerate(found):
        say(f"reading {printable(shown)}", i, len(found))
        source = read_source(path, shown, rule)
        done = evaluate(source, rule, RAW_TABLES[rule.dataset], now.date())
        parts.append(_Part(source, rule, done.rows, done.skipped))
    say("all files are readable", len(found), len(found))
    counts: list[FileCount] = []
    batches: list[RawBatch] = []
    for i, dataset in enumerate(mapping.datasets):
        own = [p for p in parts if p.rule.dataset == dataset]
        if own:
            say(f"checking {dataset}", i, len(mapping.datasets))
            made, counted = _judge(mapping, RAW_TABLES[dataset], own, now)
            batches += made
            counts += counted
    batches = [replace(batch, is_synthetic=is_synthetic) for batch in batches]
    shrunk = _land(mapping, batches, parts, lake, now.date(), say)
    return ImportSummary(mapping.name, tuple(counts), ignored, shrunk)


# -- good rows, refused rows, keys


def _judge(
    mapping: Mapping, table: Table, parts: Sequence[_Part], now: datetime
) -> tuple[list[RawBatch], list[FileCount]]:
    """Split one dataset's rows of all files together, so that a key repeated across files is found."""
    rows = pl.concat([p.rows.with_columns(pl.lit(i, pl.Int32).alias(_FILE)) for i, p in enumerate(parts)])
    # `split` knows rows by one number; files count their own.
    rows = rows.with_row_index("row_count", offset=1).with_columns(pl.col("row_count").cast(pl.Int64))
    readable = rows.filter(pl.col(REASON).is_null()).select(*table.columns, "row_count")
    good, refused = table.split(readable, now=now)
    good = _first_of_hour(table, good, {p.source.sha256 for p in parts if p.rule.keep})
    unread = rows.filter(pl.col(REASON).is_not_null()).select(
        "row_count", pl.col(FIELD).alias("field"), pl.col(REASON).alias("reason")
    )
    verdicts = pl.concat([refused.select("row_count", "field", "reason"), unread])
    rejected = pl.concat(
        [
            _records(parts, table, rows.join(verdicts, on="row_count", how="inner"), now),
            *(_ragged(part, i, now.date()) for i, part in enumerate(parts) if part.source.ragged),
        ]
    )
    batches = _batches(mapping, table, parts, good, rejected, now.date())
    return batches, _count(table, parts, good, rejected, now.date())


def _first_of_hour(table: Table, good: pl.DataFrame, files: set[str]) -> pl.DataFrame:
    """Keep of these files the first sound row of each hour: what stood when the hour began.

    The hourly marts take the last observation of an hour, and the hourly sources stamp theirs on the hour. Rows every few
    minutes would move the figure to the hour's end.
    """
    clock = DAY_CLOCK[table.name]
    if not files or clock is None:
        return good
    of_files = pl.col("payload_sha256").is_in(list(files))
    hour = ("venue", "venue_symbol", pl.col(clock).dt.truncate("1h"))
    # Judged over all these files together: a day's first instant may stand in the file of the day before.
    first = pl.when(of_files).then(pl.col(clock)).min().over(*hour)
    return good.filter(~of_files | (pl.col(clock) == first))


def _records(parts: Sequence[_Part], table: Table, bad: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return refused rows with file, row and the cells as they stood there."""
    clock = DAY_CLOCK[table.name]
    day: pl.Expr = pl.lit(now.date())
    if clock is not None:
        known = pl.col(clock).is_between(datetime(1980, 1, 1), now + timedelta(days=1))
        day = pl.when(known).then(pl.col(clock).dt.date()).otherwise(day)
    venue = (
        pl.when(pl.col("venue").str.contains(f"^{SLUG.pattern}$"))
        .then(pl.col("venue"))
        .otherwise(pl.lit(UNKNOWN_VENUE))
    )
    placed = bad.select(_FILE, ROW, "field", "reason", day.alias(_DAY), venue.alias(_KEY_VENUE))
    frames = [_empty_rejected()]
    for i, part in enumerate(parts):
        source = part.source
        of_file = placed.filter(pl.col(_FILE) == i)
        if of_file.is_empty():
            continue
        if part.rule.within_file_date:
            # Under a day of their file: a key of another day would replace what another file brought for it.
            first, after = days_in_name(source)
            outside = pl.col("reason") == OUTSIDE_FILE_DATE
            own_day = pl.col(_DAY).clip(first, after - timedelta(days=1))
            of_file = of_file.with_columns(pl.when(outside).then(own_day).otherwise(pl.col(_DAY)).alias(_DAY))
        cells = source.cells.join(of_file.select(ROW), on=ROW, how="semi").select(
            ROW, _cells_json(source).alias("__cells")
        )
        frames.append(
            of_file.join(cells, on=ROW, how="left").select(
                _FILE,
                _DAY,
                _KEY_VENUE,
                pl.col(ROW).alias("row_count"),
                "field",
                "reason",
                pl.concat_str(
                    pl.lit(f'{{"file":{json.dumps(source.name)},"row":'),
                    pl.col(ROW),
                    pl.lit(',"cells":'),
                    pl.col("__cells"),
                    pl.lit("}"),
                ).alias("record_json"),
            )
        )
    return pl.concat(frames)


def _cells_json(source: SourceFile) -> pl.Expr:
    shown = []
    for column, alias in source.aliases.items():
        cell = pl.col(alias)
        # Instants are shown as their number: one beyond the calendar cannot be formatted.
        text = cell.to_physical().cast(pl.String) if source.dtype(column).is_temporal() else cell.cast(pl.String)
        shown.append(text.str.slice(0, CELL_LENGTH).alias(column))
    return pl.struct(shown).struct.json_encode()


def _ragged(part: _Part, file: int, capture_day: date) -> pl.DataFrame:
    """Return the rows whose cells do not fit the header: of a venue only where the mapping names it once for all."""
    rule = part.rule.columns.get("venue")
    venue = (
        rule.value if rule is not None and isinstance(rule.value, str) and SLUG.fullmatch(rule.value) else UNKNOWN_VENUE
    )
    return pl.DataFrame(
        [
            {
                _FILE: file,
                _DAY: capture_day,
                _KEY_VENUE: venue,
                "row_count": row.row_count,
                "field": WHOLE_ROW,
                "reason": RAGGED,
                "record_json": json.dumps(
                    {"file": part.source.name, "row": row.row_count, "text": row.text[: 5 * CELL_LENGTH]},
                    ensure_ascii=False,
                ),
            }
            for row in part.source.ragged
        ],
        schema=_empty_rejected().schema,
    )


def _empty_rejected() -> pl.DataFrame:
    return pl.DataFrame(schema={_FILE: pl.Int32(), _DAY: pl.Date(), _KEY_VENUE: pl.String(), **REJECTED_COLUMNS})


def _batches(
    mapping: Mapping,
    table: Table,
    parts: Sequence[_Part],
    good: pl.DataFrame,
    rejected: pl.DataFrame,
    capture_day: date,
) -> list[RawBatch]:
    rows = good.with_columns(_day_of(table, capture_day)).partition_by("venue", _DAY, as_dict=True, include_key=True)
    bad = rejected.partition_by(_KEY_VENUE, _DAY, as_dict=True)
    names = {p.source.sha256: p.source.name for p in parts}
    origins = {p.source.sha256: p.source.origin for p in parts}
    no_rows, nothing = table.empty_raw(), _empty_rejected()
    none_refused = nothing.select(*REJECTED_COLUMNS)
    batches = []
    for key in sorted({*rows, *bad}):
        venue, day = key
        own = rows[key].drop(_DAY) if key in rows else no_rows
        refused = bad.get(key, nothing)
        hashes = {*own["payload_sha256"].unique(), *(parts[i].source.sha256 for i in refused[_FILE].unique())}
        behind = sorted(hashes, key=lambda sha256: (names[sha256], sha256))
        batches.append(
            RawBatch(
                key=RawKey(table.name, str(venue), mapping.name, day),
                rows=own,
                rejected=refused.select(*REJECTED_COLUMNS) if key in bad else none_refused,
                payloads=tuple(behind),
                origin_note=f"import of {', '.join(origins[sha256] for sha256 in behind)}",
            )
        )
    return batches


def _day_of(table: Table, capture_day: date) -> pl.Expr:
    clock = DAY_CLOCK[table.name]
    return (pl.lit(capture_day) if clock is None else pl.col(clock).dt.date()).alias(_DAY)


def _count(
    table: Table, parts: Sequence[_Part], good: pl.DataFrame, rejected: pl.DataFrame, capture_day: date
) -> list[FileCount]:
    """Count per file, and refuse to go on where a row is neither landed nor quarantined nor skipped."""
    placed = good.with_columns(_day_of(table, capture_day))
    counts = []
    for i, part in enumerate(parts):
        of_file = placed.filter(pl.col("payload_sha256") == part.source.sha256)
        reasons = Counter(rejected.filter(pl.col(_FILE) == i)["reason"].to_list())
        # A copy of a file under a second name has the same hash: its rows are all refused as repeats of the first.
        is_copy = any(p.source.sha256 == part.source.sha256 for p in parts[:i])
        landed = 0 if is_copy else of_file.height
        # Nothing may be lost, so only where a rule thins its rows is the difference a number of skipped ones.
        thinned = part.source.rows_read - landed - reasons.total() - part.skipped if part.rule.keep else 0
        counts.append(
            FileCount(
                file=part.source.name,
                dataset=table.name,
                rows_read=part.source.rows_read,
                landed=landed,
                quarantined=dict(sorted(reasons.items())),
                skipped=part.skipped + thinned,
                days=0 if is_copy else of_file[_DAY].n_unique(),
                skipped_as="blank or thinned out" if part.rule.is_thinned else "blank",
                note=part.source.note,
            )
        )
    for c in counts:
        if c.rows_read != c.landed + c.quarantined_rows + c.skipped:
            raise RuntimeError(
                f"{c.file}: {c.rows_read} rows were read, {c.landed} landed, {c.quarantined_rows} quarantined and {c.skipped} "
                "skipped do not add up: nothing has landed; please report this with the file's header"
            )
    return counts


# -- landing


def _land(
    mapping: Mapping, batches: Sequence[RawBatch], parts: Sequence[_Part], lake: Lake, capture_day: date, say: Progress
) -> tuple[RawKey, ...]:
    before = {g.key: g for g in lake.current() if g.key.source == mapping.name}
    ready = [_carry_over(b, before.get(b.key), capture_day) for b in batches]
    for part in parts:
        if len(part.source.body) < PAYLOAD_LIMIT_BYTES:
            lake.save_payload(part.source.body, f"import {mapping.name}: {part.source.name}")
    landed = 0
    for start in range(0, len(ready), KEYS_PER_COMMIT):
        say("landing", start, len(ready))
        chunk = ready[start : start + KEYS_PER_COMMIT]
        landed += sum(g.rows_count for g in lake.commit(chunk))
    say("landed", len(ready), len(ready))
    expected = sum(b.rows.height for b in ready)
    if landed != expected:
        raise LakeError(f"{landed} rows are in the lake and {expected} were given: run the import again")
    return tuple(b.key for b in ready if b.key in before and b.rows.height < before[b.key].rows_count)


def _carry_over(batch: RawBatch, before: Generation | None, capture_day: date) -> RawBatch:
    """Keep the rows of the capture day where an import brings nothing for it but refused rows.

    Refused rows of an unknown day stand under the capture day; they say nothing about what that day's rows are.
    """
    if before is None or before.path is None or batch.key.day != capture_day or not batch.rows.is_empty():
        return batch
    payloads = tuple(dict.fromkeys([*before.payloads, *batch.payloads]))
    return replace(batch, rows=pl.read_parquet(before.path), payloads=payloads)
