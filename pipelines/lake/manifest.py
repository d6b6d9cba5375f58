"""The manifest: an append-only file of JSON lines; a line in it is the commit.

Belongs here: the form of a line, reading with judgement of damage, appending. Does not: Parquet (``landing.py``), which
line is current (``store.py``).

Two files
---------
``manifest.jsonl``
    One generation per line. The last field of a line is a checksum over the bytes before it.
``manifest.head``
    How many bytes of the manifest have been acknowledged to a caller. It tells a crash from damage: what is broken *behind*
    the acknowledged bytes was being written when the machine stopped (ignored, and cut off by the next writer); what is
    broken or gone *before* them is loss, and reading stops. Without the file (an older copy) a broken end counts as a crash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from assets.ports import Generation, RawKey
from pipelines.lake.durable import place_files, sync_folder, write_all

log = logging.getLogger(__name__)

SLUG = re.compile(r"[a-z][a-z0-9_]{0,31}")
COMMITTED = "committed"

_CHECKSUM_MARK = b',"checksum":"'
_CHECKSUM_LENGTH = 32
_MANIFEST = "manifest.jsonl"
_HEAD = "manifest.head"


class LakeError(Exception):
    """The lake refuses or cannot go on; the message is one line that says what to do."""


class ManifestCorrupt(LakeError):
    """A committed part of the manifest is damaged or gone."""


def name_of(word: str, what: str) -> str:
    """Return `word` where it is a plain name that may stand in a path.

    Raises
    ------
    LakeError
        Where it is not.
    """
    if not isinstance(word, str) or not SLUG.fullmatch(word):
        raise LakeError(
            f"{what} {word!r:.80} is not a plain name: use 1 to 32 lower-case letters, digits and underscores, a letter first"
        )
    return word


def relative_path(key: RawKey, sha256: str, folder: str) -> str:
    """Return where a content-addressed file of a key stands, relative to the lake's root; `folder` is raw or quarantine."""
    return f"{folder}/{key.dataset}/{key.venue}/{key.source}/{key.day.isoformat()}/{sha256}.parquet"


def encode_line(generation: Generation, root: Path) -> bytes:
    """Return a generation as one line, checksum and newline included; paths are relative to `root`."""
    key = generation.key
    record: dict[str, Any] = {
        "dataset": key.dataset,
        "venue": key.venue,
        "source": key.source,
        "day": key.day.isoformat(),
        "status": generation.status,
        "rows_count": generation.rows_count,
        "quarantined_rows_count": generation.quarantined_rows_count,
        "sha256": generation.sha256,
        "path": _relative(generation.path, root),
        "quarantine_path": _relative(generation.quarantine_path, root),
        "captured_at_utc": generation.captured_at_utc.isoformat(timespec="microseconds"),
        "committed_at_utc": generation.committed_at_utc.isoformat(timespec="microseconds"),
        "schema_version": generation.schema_version,
        "code_version": generation.code_version,
        "is_synthetic": generation.is_synthetic,
        "payloads": list(generation.payloads),
        "origin_note": generation.origin_note,
    }
    # ASCII only: no character of a hostile note can look like a line's end to any reader.
    body = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii")[:-1]
    return body + _CHECKSUM_MARK + _checksum(body) + b'"}\n'


def decode_line(line: bytes, position: int, root: Path) -> Generation:
    """Read one line (without its newline).

    Raises
    ------
    ValueError
        Where it is damaged or not a line of ours; the message is the reason.
    """
    body, mark, tail = line.rpartition(_CHECKSUM_MARK)
    if not mark:
        raise ValueError("no checksum")
    if tail != _checksum(body) + b'"}':
        raise ValueError("the checksum does not fit")
    record = json.loads(body + b"}")
    try:
        key = RawKey(record["dataset"], record["venue"], record["source"], date.fromisoformat(record["day"]))
        return Generation(
            position=position,
            key=key,
            status=record["status"],
            rows_count=record["rows_count"],
            quarantined_rows_count=record["quarantined_rows_count"],
            sha256=record["sha256"],
            path=_absolute(record["path"], key, "raw", root),
            captured_at_utc=datetime.fromisoformat(record["captured_at_utc"]),
            committed_at_utc=datetime.fromisoformat(record["committed_at_utc"]),
            schema_version=record["schema_version"],
            code_version=record["code_version"],
            is_synthetic=record["is_synthetic"],
            payloads=tuple(record["payloads"]),
            quarantine_path=_absolute(record["quarantine_path"], key, "quarantine", root),
            origin_note=record["origin_note"],
        )
    except KeyError as error:
        raise ValueError(f"the field {error} is missing: written by another version?") from error
    except TypeError as error:
        raise ValueError(f"a field has another type than expected ({error}): written by another version?") from error


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_CHECKSUM_LENGTH].encode("ascii")


def _relative(path: Path | None, root: Path) -> str | None:
    return None if path is None else path.relative_to(root).as_posix()


def _absolute(text: str | None, key: RawKey, folder: str, root: Path) -> Path | None:
    if text is None:
        return None
    sha256 = text.rpartition("/")[2].removesuffix(".parquet")
    # A lake may come from somebody else: a path that does not follow from its key could point anywhere.
    if not re.fullmatch(r"[0-9a-f]{64}", sha256) or text != relative_path(key, sha256, folder):
        raise ValueError(f"the path {text!r:.200} does not follow from the line's key")
    return root / text


@dataclass(frozen=True)
class _Head:
    """What has been acknowledged: bytes and lines of the manifest."""

    bytes_count: int = 0
    lines_count: int = 0
    is_known: bool = False


@dataclass
class _Seen:
    """What has been read so far; an append-only file need not be read twice."""

    inode: int = -1
    end: int = 0
    generations: tuple[Generation, ...] = ()


class Manifest:
    """The manifest of one lake.

    Reading needs no lock and may happen beside a writer. Appending and repairing need the lake's lock, which the caller
    holds.

    Parameters
    ----------
    root : Path
        Absolute root of the lake.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / _MANIFEST
        self.head_path = root / _HEAD
        self._seen = _Seen()
        self._guard = threading.Lock()

    def generations(self) -> tuple[Generation, ...]:
        """Return all committed lines in order; a torn end is left out.

        Raises
        ------
        ManifestCorrupt
            Where a committed line is damaged or gone.
        """
        with self._guard:
            return self._read()[0]

    def position(self) -> int:
        """Return the position of the last line, -1 where there is none."""
        return len(self.generations()) - 1

    def append(self, generations: Sequence[Generation]) -> list[Generation]:
        """Append lines in one write, durably; the position of each is filled in. The caller holds the lake's lock."""
        with self._guard:
            known = self._repair()
            placed = [replace(g, position=len(known) + i) for i, g in enumerate(generations)]
            block = b"".join(encode_line(g, self.root) for g in placed)
            is_new = not self.path.exists()
            self._append_block(block, at=self._seen.end)
            if is_new:
                sync_folder(self.root)
            end = self._seen.end + len(block)
            self._seen = _Seen(self.path.stat().st_ino, end, (*known, *placed))
            self._write_head(_Head(end, len(self._seen.generations)))
            return placed

    def repair(self) -> int:
        """Cut off a torn end and return its length in bytes. The caller holds the lake's lock."""
        with self._guard:
            before = self.path.stat().st_size if self.path.exists() else 0
            self._repair()
            return before - self._seen.end

    def faults(self) -> list[str]:
        """Judge the manifest from its first byte; return the faults in words."""
        fresh = Manifest(self.root)
        try:
            _, torn = fresh._read()
        except ManifestCorrupt as error:
            return [str(error)]
        found = []
        if torn:
            found.append(
                f"{self.path}: {torn} bytes after line {len(fresh._seen.generations)} are not a whole line (a writer was "
                "stopped): the next commit cuts them off"
            )
        if fresh._seen.generations and not fresh._read_head().is_known:
            found.append(f"{self.head_path}: missing or damaged: the next commit writes it again")
        return found

    # -- reading

    def _read(self) -> tuple[tuple[Generation, ...], int]:
        """Return the committed lines and the number of torn bytes behind them."""
        # The head first: it only ever names bytes that are already there.
        head = self._read_head()
        seen = self._seen
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != seen.inode or stat.st_size < seen.end:
                    seen = _Seen(inode=stat.st_ino)
                file.seek(seen.end)
                news = file.read()
        except FileNotFoundError:
            seen, news = _Seen(), b""
        read, torn = self._decode(seen, news, head)
        end = seen.end + len(news) - torn
        if end < head.bytes_count:
            raise ManifestCorrupt(
                f"{self.path} ends at byte {end} (line {len(read)}) and {head.bytes_count} bytes ({head.lines_count} lines) "
                f"were acknowledged: restore it from a backup, or delete {self.head_path.name} to accept the loss and land "
                "the lost days again"
            )
        self._seen = _Seen(seen.inode, end, read)
        return read, torn

    def _decode(self, seen: _Seen, news: bytes, head: _Head) -> tuple[tuple[Generation, ...], int]:
        *lines, rest = news.split(b"\n")
        read = list(seen.generations)
        for i, line in enumerate(lines):
            try:
                read.append(decode_line(line, len(read), self.root))
            except ValueError as error:
                torn = sum(len(x) + 1 for x in lines[i:]) + len(rest)
                at = seen.end + len(news) - torn
                if at < head.bytes_count or self._any_good(lines[i + 1 :]):
                    raise ManifestCorrupt(
                        f"{self.path}: line {len(read) + 1} (byte {at}) is damaged: {error}; restore the file from a backup, "
                        "or take the line out and land its day again"
                    ) from error
                return tuple(read), torn
        return tuple(read), len(rest)

    def _any_good(self, lines: Sequence[bytes]) -> bool:
        for line in lines:
            try:
                decode_line(line, 0, self.root)
            except ValueError:
                continue
            return True
        return False

    def _read_head(self) -> _Head:
        try:
            body, _, tail = self.head_path.read_bytes().rpartition(_CHECKSUM_MARK)
        except FileNotFoundError:
            return _Head()
        if tail != _checksum(body) + b'"}\n':
            return _Head()
        record = json.loads(body + b"}")
        return _Head(record["bytes_count"], record["lines_count"], is_known=True)

    # -- writing

    def _repair(self) -> tuple[Generation, ...]:
        known, torn = self._read()
        if torn:
            log.warning("%s: %d torn bytes after line %d are cut off", self.path, torn, len(known))
            fd = os.open(self.path, os.O_WRONLY)
            try:
                os.ftruncate(fd, self._seen.end)
                os.fsync(fd)
            finally:
                os.close(fd)
        return known

    def _append_block(self, block: bytes, at: int) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            try:
                write_all(fd, block)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, at)
                raise
        finally:
            os.close(fd)

    def _write_head(self, head: _Head) -> None:
        body = json.dumps(
            {"bytes_count": head.bytes_count, "lines_count": head.lines_count}, separators=(",", ":")
        ).encode("ascii")[:-1]
        line = body + _CHECKSUM_MARK + _checksum(body) + b'"}\n'
        place_files({self.head_path: line}, tmp=self.root / "tmp", root=self.root)
