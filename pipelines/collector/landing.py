"""From sealed segments to the rows of one venue and day: liquidations, gaps, and what could not be read.

Belongs here: which records belong to a day, repeats, what of the day was not recorded. Does not: the form of a segment
(``segments.py``), the meaning of a message (``pipelines/sources/exchanges/liquidations.py``), validity and commits (``assets/lake``).

A row belongs to the UTC day of the venue's clock, and a message may come early or late. A day is read from the segments of its own hours,
one hour before and two after; what a venue tells outside of that is refused on the day on which it came. Of the
day, every stretch that no record vouches for is a gap: a gap that the recorder wrote down, the time before a stream was first heard,
records that are missing between two segments, and the time after the last record until the day is sealed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from assets.ports import Capture, Recording
from pipelines.collector.contracts import contracts_of
from pipelines.collector.segments import Record, begun_at, instant_of, ns_of, read_records, sealed_segments
from pipelines.collector.streams import FEEDS, answer_of
from pipelines.lake.store import Lake
from pipelines.sources.exchanges.liquidations import ContractTerms, Liquidation, Refused, parse
from quality.schemas.raw import RAW_TABLES
from quality.tables import REJECTED_COLUMNS

EARLY = timedelta(hours=1)  # also the length of the longest segment
LATE = timedelta(hours=2)
DAY = timedelta(days=1)


@dataclass
class _Stretch:
    """Time that was not recorded, nanoseconds, and why."""

    from_ns: int
    until_ns: int
    reason: str
    sha256: str


@dataclass
class _StreamDay:
    """What the segments tell of one stream around a day; `heard_ns` is until when it is vouched for, None before the first time."""

    heard_ns: int | None = None
    gaps: list[_Stretch] = field(default_factory=list)


class Recordings:
    """The collector's segments of a home (``assets.ports.StreamRecordings``).

    Parameters
    ----------
    folder : Path
        Where the segments are; need not exist.
    lake : Lake
        Tells the contracts' terms and keeps the segments that rows come from as payloads.
    is_synthetic : bool
        True where the collector listens to the sandbox.
    """

    source = "collector"

    def __init__(self, folder: Path, lake: Lake, *, is_synthetic: bool) -> None:
        self._folder, self._lake, self.is_synthetic = folder, lake, is_synthetic

    def of_day(self, venue: str, day: date) -> Recording | None:
        """Return what was recorded of a venue on a UTC day, None where no stream of it was recorded at any time of the day."""
        reading = _Reading(venue, day, contracts_of(self._lake, venue))
        for path in self._around(day):
            body = path.read_bytes()
            sha256 = hashlib.sha256(body).hexdigest()
            if reading.read(read_records(path), sha256) and self._lake.payload(sha256) is None:
                self._lake.save_payload(body, f"segment {path.name}")
        return reading.recording()

    def sealed_since(self, name: str, most: int) -> list[tuple[str, set[date]]]:
        """Return the segments sealed after the one of a name (empty: from the first), at most so many, with the days they touch."""
        new = [path for path in sealed_segments(self._folder) if path.name > name]
        return [(path.name, days_touched(path)) for path in new[:most]]

    def _around(self, day: date) -> list[Path]:
        start = datetime.combine(day, time())
        return [p for p in sealed_segments(self._folder) if start - EARLY <= begun_at(p) < start + DAY + LATE]


class _Reading:
    """Reads the segments around one day of one venue, in order."""

    def __init__(self, venue: str, day: date, terms: Mapping[str, ContractTerms]) -> None:
        self._venue, self._day, self._terms = venue, day, terms
        self._start_ns = ns_of(datetime.combine(day, time()))
        self._end_ns = ns_of(datetime.combine(day, time()) + DAY)
        self._streams = {name: _StreamDay() for name, feed in FEEDS.items() if feed.venue == venue}
        self._seen: set[Liquidation] = set()
        self._rows: list[dict[str, Any]] = []
        self._refused: list[dict[str, Any]] = []
        self._payloads: list[str] = []
        self._last: Record | None = None
        self._place = self._repeated = self._unfollowed = 0

    def read(self, records: Iterable[Record], sha256: str) -> bool:
        """Take a segment in; return whether it tells anything of the venue."""
        tells = False
        for record in records:
            if record.kind == "opened":
                self._open(record, sha256)
            elif record.stream in self._streams:
                self._take(record, sha256)
                tells = True
            self._last = record
        if tells:
            self._payloads.append(sha256)
        return tells

    def _open(self, record: Record, sha256: str) -> None:
        is_torn = self._last is not None and record.number != self._last.number + 1
        for name, stream in self._streams.items():
            if is_torn and self._last is not None and stream.heard_ns is not None:
                stream.gaps.append(_Stretch(stream.heard_ns, record.at_ns, "segment_damaged", sha256))
            alive_ns = record.facts["alive_ns"].get(name)
            if alive_ns is not None:
                stream.heard_ns = max(stream.heard_ns or 0, alive_ns)

    def _take(self, record: Record, sha256: str) -> None:
        stream = self._streams[record.stream]
        if record.kind == "gap":
            gap = _Stretch(record.facts["from_ns"], record.facts["until_ns"], record.facts["reason"], sha256)
            if stream.heard_ns is None and gap.from_ns > self._start_ns:
                stream.gaps.append(_Stretch(self._start_ns, gap.from_ns, "not_recorded", sha256))
            stream.gaps.append(gap)
        elif record.kind == "message":
            self._message(record, sha256)
        if record.alive_ns is not None:
            stream.heard_ns = max(stream.heard_ns or 0, record.alive_ns)

    # -- messages -----------------------------------------------------------------------------------------------------

    def _message(self, record: Record, sha256: str) -> None:
        text = record.facts.get("text")
        if text is None:
            return self._refuse(record, "not_text", "base64", record.facts.get("base64", ""))
        feed = FEEDS[record.stream]
        try:
            told = parse(record.stream, json.loads(text), self._terms)
        except (ValueError, RecursionError):
            told = None
        if not told and answer_of(feed, text) is None:
            return self._refuse(record, "not_json" if told is None else "unknown_message", "text", text)
        for entry in told or ():
            self._place += 1
            if isinstance(entry, Liquidation):
                self._liquidation(record, entry, sha256)
            elif entry == Refused("unknown_contract", "symbol"):
                self._unfollowed += self._came_today(record)
            else:
                self._refuse(record, entry.reason, entry.field, text)
        return None

    def _liquidation(self, record: Record, told: Liquidation, sha256: str) -> None:
        of_day = told.occurred_at_utc.date()
        if of_day != self._day:
            came_at, starts_at = instant_of(record.at_ns), datetime.combine(of_day, time())
            if not starts_at - EARLY <= came_at < starts_at + DAY + LATE:
                self._refuse(record, "told_out_of_time", "occurred_at_utc", record.facts["text"])
            return
        if told in self._seen:
            self._repeated += 1
            return
        self._seen.add(told)
        names = RAW_TABLES["liquidations"].columns
        row = {name: getattr(told, name) for name in names if name != "payload_sha256"}
        self._rows.append({**row, "payload_sha256": sha256, "row_count": self._place})

    def _came_today(self, record: Record) -> bool:
        return self._start_ns <= record.at_ns < self._end_ns

    def _refuse(self, record: Record, reason: str, at_field: str, shown: str) -> None:
        if self._came_today(record):
            self._place += 1
            told = {"n": record.number, "stream": record.stream, at_field: shown}
            self._refused.append(
                {"row_count": self._place, "field": at_field, "reason": reason, "record_json": json.dumps(told)}
            )

    # -- the day ------------------------------------------------------------------------------------------------------

    def recording(self) -> Recording | None:
        """Return the day."""
        heard = {name: stream for name, stream in self._streams.items() if stream.heard_ns is not None or stream.gaps}
        gaps = {name: self._gaps_of(stream) for name, stream in heard.items()}
        day_ns = self._end_ns - self._start_ns
        if all(sum(g.until_ns - g.from_ns for g in found) == day_ns for found in gaps.values()):
            return None
        open_streams = [name for name, stream in heard.items() if (stream.heard_ns or 0) < self._end_ns]
        facts = {
            "partial": len(open_streams),
            "segments": len(self._payloads),
            "repeated": self._repeated,
            "not followed": self._unfollowed,
        }
        note = ", ".join(f"{value} {name}" for name, value in facts.items() if value or name == "segments")
        note = note.replace(f"{len(open_streams)} partial", f"partial: {', '.join(open_streams)} not sealed")
        payloads = tuple(self._payloads)
        return Recording(
            liquidations=Capture(_frame("liquidations", self._rows), payloads, note),
            gaps=Capture(_frame("stream_gaps", list(self._gap_rows(gaps))), payloads, note),
            refused=pl.DataFrame(self._refused, schema=REJECTED_COLUMNS, orient="row"),
            is_sealed=not open_streams,
            not_followed_count=self._unfollowed,
        )

    def _gaps_of(self, stream: _StreamDay) -> list[_Stretch]:
        """Return the gaps of the day, cut at midnight, in order and apart: where two overlap the first reason stands."""
        heard_ns = stream.heard_ns or self._start_ns
        found = list(stream.gaps)
        if heard_ns < self._end_ns:
            found.append(_Stretch(heard_ns, self._end_ns, "not_sealed", self._payloads[-1] if self._payloads else ""))
        apart: list[_Stretch] = []
        for gap in sorted(found, key=lambda g: (g.from_ns, g.until_ns)):
            until_ns = min(gap.until_ns, self._end_ns)
            from_ns = max(gap.from_ns, self._start_ns, apart[-1].until_ns if apart else 0)
            if from_ns < until_ns:
                apart.append(_Stretch(from_ns, until_ns, gap.reason, gap.sha256))
        return apart

    def _gap_rows(self, gaps: Mapping[str, list[_Stretch]]) -> Iterator[dict[str, Any]]:
        place = 0
        for name, found in gaps.items():
            for gap in found:
                place += 1
                yield {
                    "venue": self._venue,
                    "stream": name,
                    "gap_start_utc": instant_of(gap.from_ns),
                    "gap_end_utc": instant_of(gap.until_ns),
                    "gap_reason": gap.reason,
                    "payload_sha256": gap.sha256,
                    "row_count": place,
                }


def _frame(dataset: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={**RAW_TABLES[dataset].raw_schema, "row_count": pl.Int64()}, orient="row")


def days_touched(path: Path) -> set[date]:
    """Return the UTC days whose rows or gaps a sealed segment may change: its own, the one that it ends, those of its gaps."""
    days: set[date] = set()
    for record in read_records(path):
        at = instant_of(record.at_ns)
        if record.kind in ("opened", "closed"):
            continue
        days.add(at.date())
        if at - datetime.combine(at.date(), time()) < LATE:
            days.add(at.date() - DAY)
        if record.kind == "gap":
            first, last = instant_of(record.facts["from_ns"]).date(), instant_of(record.facts["until_ns"]).date()
            days.update(first + timedelta(days=i) for i in range((last - first).days + 1))
    return days
