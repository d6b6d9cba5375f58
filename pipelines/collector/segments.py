"""Segments: append-only files of framed records that a kill at any byte cannot spoil.

Belongs here: the form of a record, writing, syncing, rotating, sealing, reading back. Does not: where messages come from
(``recorder.py``), what they mean (``landing.py``).

A segment is text, one record a line: CRC-32 of the rest in eight hexadecimal digits, a blank, the record as JSON. A reader stops
at the first line that is not whole; nobody edits a segment that another process wrote. While it grows it is called
``<first instant>-<first number>.open``, and ``.seg`` once it is sealed. Numbers run on through all segments of a folder.

References
----------
https://lwn.net/Articles/457667/ (what has to be synced, and when, for a file and its name to last)
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from assets.ports import Clock
from pipelines.lake.durable import sync_file, sync_folder, write_all

Kind = Literal["message", "opened", "refused", "heartbeat", "gap", "closed"]
OPEN, SEALED = ".open", ".seg"
HOUR_NS = 3_600_000_000_000
_EPOCH = datetime(1970, 1, 1)


class CollectorError(Exception):
    """The collector cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Record:
    """One line of a segment.

    Parameters
    ----------
    number : int
        Place among all records of the folder, 1 = first.
    at_ns : int
        Our clock when it was written, nanoseconds since 1970 (UTC); never runs back.
    kind : str
        ``message``, or a note of the recorder about itself.
    stream : str
        The stream it is about; empty where it is about all.
    facts : mapping
        ``text`` (or ``base64``, where the bytes are no text) of a message as received, and ``early`` where it came before the
        subscription stood; ``from_ns``, ``until_ns``, ``reason`` of a gap, which is written when the subscription stands again;
        ``alive_ns`` of a heartbeat (last sign of life of the stream) and of the first record of a segment (one per stream).
    """

    number: int
    at_ns: int
    kind: Kind
    stream: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alive_ns(self) -> int | None:
        """Until when, by this record, the stream was heard; None where it does not tell."""
        if self.kind == "message":
            # Before the subscription stands a message is no proof that the stream is whole.
            return None if self.facts.get("early") else self.at_ns
        names = {"heartbeat": "alive_ns", "gap": "until_ns"}
        return int(self.facts[names[self.kind]]) if self.kind in names else None


def frame(record: Record) -> bytes:
    """Return a record as a line."""
    told = {"n": record.number, "at": record.at_ns, "kind": record.kind, "stream": record.stream, **record.facts}
    body = json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unframe(line: bytes) -> Record | None:
    """Return the record of a line, None where the line is not whole."""
    if len(line) < 11 or line[-1:] != b"\n" or line[8:9] != b" ":
        return None
    body = line[9:-1]
    if line[:8] != b"%08x" % zlib.crc32(body):
        return None
    told = json.loads(body)
    return Record(told.pop("n"), told.pop("at"), told.pop("kind"), told.pop("stream"), told)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a segment up to its end or to the first line that is not whole."""
    with path.open("rb") as file:
        for line in file:
            record = unframe(line)
            if record is None:
                return
            yield record


def ns_of(at: datetime) -> int:
    """Return an instant (UTC, naive) as nanoseconds."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def instant_of(ns: int) -> datetime:
    """Return nanoseconds as an instant (UTC, naive), to the microsecond below."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def payload_facts(payload: bytes) -> dict[str, str]:
    """Return a message's bytes as facts of a record: text where they are UTF-8, else base 64; nothing is lost."""
    try:
        return {"text": payload.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode("ascii")}


# --- the folder ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """What earlier processes left: the last number, the last instant, and until when each stream was heard."""

    number: int = 0
    at_ns: int = 0
    alive_ns: Mapping[str, int] = field(default_factory=dict)
    was_closed: bool = True


def sealed_segments(folder: Path) -> list[Path]:
    """Return the sealed segments in the order in which they were begun."""
    return sorted(folder.glob(f"*{SEALED}"))


def begun_at(path: Path) -> datetime:
    """Return when a segment was begun, by its name (our clock, UTC)."""
    return datetime.strptime(path.name.split("-")[0], "%Y%m%dT%H%M%S%f")


def hold(folder: Path) -> FileLock:
    """Take the folder for this process, until the lock is released or the process ends.

    Raises
    ------
    CollectorError
        Where another collector holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CollectorError(
            f"{folder} is in use by another `lowtide collect`: stop that one, or name another home with --home"
        ) from None
    return lock


def recover(folder: Path) -> Past:
    """Seal what a dead process left open, as it stands, and return what is known of the past. The lock must be held."""
    for left in sorted(folder.glob(f"*{OPEN}")):
        _seal(left)
    for path in reversed(sealed_segments(folder)):
        past = _past_of(path)
        if past is not None:
            return past
    return Past()


def _past_of(path: Path) -> Past | None:
    """Return what a segment tells of the past; None where not even its first record is whole."""
    alive: dict[str, int] = {}
    last = None
    for last in read_records(path):
        if last.kind == "opened":
            alive.update(last.facts["alive_ns"])
        elif last.alive_ns is not None:
            alive[last.stream] = max(alive.get(last.stream, 0), last.alive_ns)
    return None if last is None else Past(last.number, last.at_ns, alive, last.kind == "closed")


def _seal(path: Path) -> Path:
    """Make a segment's bytes durable and give it the name of a sealed one."""
    sync_file(path)
    sealed = path.with_suffix(SEALED)
    path.rename(sealed)
    sync_folder(path.parent)
    return sealed


class Journal:
    """The one writer of a folder: it numbers records, appends them, rotates every full hour and seals.

    A record is handed to the system when `append` returns: a kill of the process cannot lose it. `sync` makes durable what was
    appended; that is *acknowledged*: a power cut cannot lose that either. An error of the disk is not mended here:
    the process ends, and the next one begins a new segment.

    Parameters
    ----------
    folder : Path
        Held by `hold` and recovered.
    clock : Clock
        Our clock.
    past : Past
        What `recover` returned.
    """

    def __init__(self, folder: Path, clock: Clock, past: Past) -> None:
        self._folder, self._clock = folder, clock
        self._number, self._at_ns = past.number, past.at_ns
        self.alive_ns = dict(past.alive_ns)
        self.acknowledged = past.number
        self.messages_count = 0
        self._begin(self._now_ns())

    def _now_ns(self) -> int:
        # The machine's clock may be set back; the order of the records must not follow it.
        self._at_ns = max(self._at_ns, ns_of(self._clock.now()))
        return self._at_ns

    def append(self, kind: Kind, stream: str = "", **facts: Any) -> Record:
        """Write a record now, into a new segment where the hour is another than that of the last one.

        Raises
        ------
        CollectorError
            Where the disk does not take it; the journal must not be used again.
        """
        at_ns = self._now_ns()
        try:
            if at_ns // HOUR_NS != self._hour:
                self._end()
                self._begin(at_ns)
            return self._write(at_ns, kind, stream, facts)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> CollectorError:
        return CollectorError(f"{self._path}: {error.strerror or error}: make room or mend the disk, then start again")

    def _write(self, at_ns: int, kind: Kind, stream: str, facts: Mapping[str, Any]) -> Record:
        self._number += 1
        record = Record(self._number, at_ns, kind, stream, facts)
        write_all(self._fd, frame(record))
        if record.alive_ns is not None:
            self.alive_ns[stream] = max(self.alive_ns.get(stream, 0), record.alive_ns)
        self.messages_count += kind == "message"
        return record

    def _begin(self, at_ns: int) -> None:
        at = instant_of(at_ns)
        while True:
            self._path = self._folder / f"{at:%Y%m%dT%H%M%S%f}-{self._number + 1:012d}{OPEN}"
            if not self._path.with_suffix(SEALED).exists():
                break
            at += timedelta(microseconds=1)  # an empty segment of the same microsecond
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._hour = at_ns // HOUR_NS
        # Repeated at the head of every segment, so that the last one alone tells how long a stream has been dead.
        self._write(at_ns, "opened", "", {"alive_ns": dict(self.alive_ns)})
        os.fsync(self._fd)
        sync_folder(self._folder)

    def _end(self) -> None:
        self._write(self._at_ns, "closed", "", {})
        _seal(self._path)
        os.close(self._fd)
        self.acknowledged = self._number

    def mark(self) -> tuple[int, int]:
        """Return the last number and a file descriptor whose sync makes everything up to it durable; see `acknowledge`."""
        # A copy: a rotation may close ours while a thread syncs; it has synced the file itself then.
        return self._number, os.dup(self._fd)

    def acknowledge(self, number: int, fd: int) -> int:
        """Sync a mark, in a thread if need be, and return the last number that a power cut cannot take any more."""
        try:
            os.fsync(fd)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            os.close(fd)
        self.acknowledged = max(self.acknowledged, number)
        return self.acknowledged

    def sync(self) -> int:
        """Make everything appended so far durable; return its last number."""
        return self.acknowledge(*self.mark())

    @property
    def unacknowledged(self) -> int:
        """How many records a power cut would lose now."""
        return self._number - self.acknowledged

    def close(self) -> None:
        """Seal the segment; the journal is done."""
        self._now_ns()
        self._end()


def day_start_ns(ns: int) -> int:
    """Return the start of an instant's UTC day."""
    return ns - ns % (24 * HOUR_NS)


def utc(ns: int) -> str:
    """Return an instant for people."""
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
