"""The raw lake on disk: content-addressed Parquet, quarantine and payloads under one manifest.

Belongs here: landing, what is current, checking and sweeping. Does not: the manifest's form (``manifest.py``), validity
(``landing.py``), SQL over the files (``views.py``).

Layout below the root::

    manifest.jsonl  manifest.head  lake.lock
    raw/<dataset>/<venue>/<source>/<YYYY-MM-DD>/<sha256>.parquet
    quarantine/<dataset>/<venue>/<source>/<YYYY-MM-DD>/<sha256>.parquet
    payloads/<ab>/<sha256>.gz   payloads/requests.jsonl
    tmp/
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from assets.ports import Clock, Generation, RawBatch, RawKey
from pipelines.lake.durable import place_files, write_all
from pipelines.lake.landing import added_bytes, check_batches, check_key, rejected_bytes, rows_bytes
from pipelines.lake.manifest import COMMITTED, LakeError, Manifest, name_of, relative_path
from quality.schemas.raw import RAW_TABLES

# A commit of a year of five venues holds the lock for about four seconds; ten minutes mean that a writer hangs.
LOCK_TIMEOUT_S = 600.0
# A payload is saved before the line that names it. An hour is longer than any fetch takes in between.
PAYLOAD_GRACE = timedelta(hours=1)
NOTE_LENGTH = 1000


class LakeBusy(LakeError):
    """Another process holds the lake's lock."""


@dataclass(frozen=True)
class _Landing:
    """A batch as it will lie on disk."""

    batch: RawBatch
    rows_count: int
    quarantined_rows_count: int
    sha256: str
    path: Path
    quarantine_path: Path | None


class Lake:
    """The raw lake (``assets.ports.RawLake``).

    Parameters
    ----------
    root : Path
        The lake's folder; made where there is none. The manifest's paths are relative to it, so that it can be moved.
    clock : Clock
        Our clock.
    code_version : str
        Version of the code that lands the rows; kept in every line.
    """

    def __init__(self, root: Path, *, clock: Clock, code_version: str) -> None:
        self.root = Path(root).absolute()
        self._clock = clock
        self._code_version = code_version
        self._manifest = Manifest(self.root)

    # -- landing

    def commit(self, batches: Iterable[RawBatch]) -> list[Generation]:
        """Land batches and commit one manifest line each.

        All files are durable before the first line is written, and all lines are written at once: a reader sees no line
        without its file. The same rows again share their file and add a generation. A batch that adds to its day lands
        with what its key holds already.

        Returns
        -------
        list of Generation
            The new generations, in the order of `batches`.

        Raises
        ------
        LandingRefused
            Where a batch does not fit its table or its key; nothing has landed then.
        LakeBusy
            Where another writer holds the lake.
        """
        given = list(batches)
        if not given:
            return []
        check_batches(given)
        captured_at = self._clock.now()
        files: dict[Path, bytes] = {}
        whole = {i: self._prepare(batch, files) for i, batch in enumerate(given) if not batch.adds_to_day}
        with self._lock():
            # What is there already is read under the lock: nobody adds to the day in between.
            landings = [
                whole.get(i) or self._prepare(batch, files, self._held(batch.key)) for i, batch in enumerate(given)
            ]
            place_files({p: b for p, b in files.items() if not _holds(p, b)}, tmp=self.root / "tmp", root=self.root)
            committed_at = self._instant()
            return self._manifest.append([self._line(x, captured_at, committed_at) for x in landings])

    def _held(self, key: RawKey) -> Generation | None:
        """Return the generation that a batch is added to; its files are whole."""
        held = next((g for g in reversed(self._manifest.generations()) if g.key == key and g.path), None)
        paths = [p for p in (held.path, held.quarantine_path) if p is not None] if held else []
        faults = [fault for p in paths if (fault := file_fault(p, key)) is not None]
        if faults:
            raise LakeError(faults[0])
        return held

    def _prepare(self, batch: RawBatch, files: dict[Path, bytes], held: Generation | None = None) -> _Landing:
        """Make a batch's files, together with the rows of the generation that it is added to."""
        table, rejected = RAW_TABLES[batch.key.dataset], batch.rejected
        if held is None or held.path is None:
            rows_count, body = batch.rows.height, rows_bytes(batch.rows, table)
        else:
            rows_count, body = added_bytes(held.path, batch.rows, table)
            if held.quarantine_path is not None:
                rejected = pl.concat([pl.read_parquet(held.quarantine_path), rejected]).unique(maintain_order=True)
        sha256 = hashlib.sha256(body).hexdigest()
        path = self.root / relative_path(batch.key, sha256, "raw")
        files[path] = body
        quarantine_path = None
        if not rejected.is_empty():
            refused = rejected_bytes(rejected)
            quarantine_path = self.root / relative_path(batch.key, hashlib.sha256(refused).hexdigest(), "quarantine")
            files[quarantine_path] = refused
        return _Landing(batch, rows_count, rejected.height, sha256, path, quarantine_path)

    def _line(self, landing: _Landing, captured_at: datetime, committed_at: datetime) -> Generation:
        batch = landing.batch
        return Generation(
            position=-1,  # the manifest knows
            key=batch.key,
            status=COMMITTED,
            rows_count=landing.rows_count,
            quarantined_rows_count=landing.quarantined_rows_count,
            sha256=landing.sha256,
            path=landing.path,
            captured_at_utc=captured_at,
            committed_at_utc=committed_at,
            schema_version=RAW_TABLES[batch.key.dataset].schema_version,
            code_version=self._code_version,
            is_synthetic=batch.is_synthetic,
            payloads=tuple(batch.payloads),
            quarantine_path=landing.quarantine_path,
            origin_note=_one_line(batch.origin_note),
        )

    def record_outage(self, key: RawKey, code: str, note: str, *, is_synthetic: bool) -> Generation:
        """Record that a key could not be fetched; committed generations stay current.

        Parameters
        ----------
        key : RawKey
        code : str
            Outage code, a plain name such as ``unreachable``.
        note : str
            One line for people, without secrets.
        is_synthetic : bool
            True where the silent venue is the sandbox.
        """
        check_key(key)
        if name_of(code, "outage code") == COMMITTED:
            raise LakeError(f"{COMMITTED!r} is not an outage code: commit rows, or none, where the venue answered")
        captured_at = self._clock.now()
        with self._lock():
            line = Generation(
                position=-1,
                key=key,
                status=code,
                rows_count=0,
                quarantined_rows_count=0,
                sha256=None,
                path=None,
                captured_at_utc=captured_at,
                committed_at_utc=self._instant(),
                schema_version=RAW_TABLES[key.dataset].schema_version,
                code_version=self._code_version,
                is_synthetic=is_synthetic,
                origin_note=_one_line(note),
            )
            return self._manifest.append([line])[0]

    def save_payload(self, body: bytes, request: str) -> str:
        """Keep the bytes of an answer and return their SHA-256.

        Parameters
        ----------
        body : bytes
            As received.
        request : str
            What was asked, without secrets; kept beside the payloads for people (``payloads/requests.jsonl``).
        """
        sha256 = hashlib.sha256(body).hexdigest()
        path = self._payload_path(sha256)
        packed = gzip.compress(body, compresslevel=6, mtime=0)
        with self._lock():
            if not _holds(path, packed):
                place_files({path: packed}, tmp=self.root / "tmp", root=self.root)
            record = {"sha256": sha256, "saved_at_utc": self._clock.now().isoformat(), "request": _one_line(request)}
            index = os.open(self.root / "payloads" / "requests.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                write_all(index, json.dumps(record).encode("ascii") + b"\n")
            finally:
                os.close(index)
        return sha256

    def payload(self, sha256: str) -> bytes | None:
        """Return the bytes of a payload, None where only its hash was kept."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise LakeError(f"{sha256!r:.80} is not a SHA-256 in hexadecimal")
        path = self._payload_path(sha256)
        return gzip.decompress(path.read_bytes()) if path.is_file() else None

    # -- reading

    @property
    def position(self) -> int:
        """Position of the manifest's last line (0 = first), -1 where it is empty."""
        return self._manifest.position()

    def generations(self) -> Sequence[Generation]:
        """Return every line of the manifest, outages too, in order."""
        return self._manifest.generations()

    def current(self, as_of: datetime | None = None) -> list[Generation]:
        """Return the last committed generation per key, in key order; with `as_of`, the last committed by then."""
        last = {g.key: g for g in self._until(as_of) if g.status == COMMITTED}
        return [last[key] for key in sorted(last)]

    def outages(self, as_of: datetime | None = None) -> list[Generation]:
        """Return the last outage per key that has no later committed generation, in key order."""
        last = {g.key: g for g in self._until(as_of)}
        open_outages = {key: g for key, g in last.items() if g.status != COMMITTED}
        return [open_outages[key] for key in sorted(open_outages)]

    def _until(self, as_of: datetime | None) -> Iterator[Generation]:
        return (g for g in self._manifest.generations() if as_of is None or g.committed_at_utc <= as_of)

    # -- keeping

    def verify(self) -> list[str]:
        """Hash every file that the manifest names, and every payload; return the faults in words, none where all is well."""
        faults = self._manifest.faults()
        try:
            generations = self._manifest.generations()
        except LakeError as error:
            return faults or [str(error)]
        named = {p: g for g in generations for p in (g.path, g.quarantine_path) if p is not None}
        faults += [fault for path, g in named.items() if (fault := file_fault(path, g.key)) is not None]
        for path in sorted((self.root / "payloads").glob("*/*.gz")):
            try:
                kept = gzip.decompress(path.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                faults.append(f"{path}: the payload cannot be unpacked ({error}): restore it or remove it")
                continue
            if hashlib.sha256(kept).hexdigest() != path.name.removesuffix(".gz"):
                faults.append(f"{path}: the payload's bytes do not fit its name: restore it or remove it")
        return faults

    def sweep(self) -> list[Path]:
        """Remove what a stopped writer left: temporary files, files that no line names, old payloads that no line names.

        Returns
        -------
        list of Path
            What was removed. A file that any line names, current or not, is never among them.
        """
        with self._lock():
            self._manifest.repair()
            generations = self._manifest.generations()
            named = {p for g in generations for p in (g.path, g.quarantine_path) if p is not None}
            payloads = {self._payload_path(sha256) for g in generations for sha256 in g.payloads}
            removed = [p for p in sorted((self.root / "tmp").glob("*")) if p.is_file()]
            for folder in ("raw", "quarantine"):
                removed += [p for p in sorted((self.root / folder).rglob("*")) if p.is_file() and p not in named]
            oldest = self._file_system_now() - PAYLOAD_GRACE.total_seconds()
            removed += [
                p
                for p in sorted((self.root / "payloads").glob("*/*.gz"))
                if p not in payloads and p.stat().st_mtime < oldest
            ]
            for path in removed:
                path.unlink()
            return removed

    def _file_system_now(self) -> float:
        # Ages are compared on the file system's own clock; ours may be a fixed one.
        probe = self.root / "tmp" / "now"
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now

    # -- helpers

    def _payload_path(self, sha256: str) -> Path:
        return self.root / "payloads" / sha256[:2] / f"{sha256}.gz"

    def _instant(self) -> datetime:
        """Return our clock, never before the last line's: `as_of` needs an order."""
        known = self._manifest.generations()
        now = self._clock.now()
        return max(now, known[-1].committed_at_utc) if known else now

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / "lake.lock", timeout=LOCK_TIMEOUT_S)
        try:
            lock.acquire()
        except Timeout as error:
            raise LakeBusy(
                f"{self.root}: another process has held the lake for {LOCK_TIMEOUT_S:.0f} s: end it, then run again"
            ) from error
        try:
            yield
        finally:
            lock.release()


def file_fault(path: Path, key: RawKey) -> str | None:
    """Hash a content-addressed file; return what is wrong with it, None where nothing is."""
    what = f"{path}: the file of {key.dataset}, {key.venue}, {key.source}, {key.day}"
    repair = "restore it from a backup or land the day again"
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return f"{what} is gone: {repair}"
    except OSError as error:
        return f"{what} cannot be read ({error.strerror}): {repair}"
    if hashlib.sha256(body).hexdigest() != path.stem:
        return f"{what} is damaged, its bytes do not fit its name: {repair}"
    return None


def _holds(path: Path, body: bytes) -> bool:
    """Tell whether a file already has these bytes; a damaged one does not and is written again."""
    try:
        return path.stat().st_size == len(body) and path.read_bytes() == body
    except FileNotFoundError:
        return False


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:NOTE_LENGTH]
