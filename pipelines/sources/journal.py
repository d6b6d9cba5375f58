"""What interrupted walks already know: a run that was killed goes on from its last page and not from its first.

Belongs here: which question of a walk was answered by which payload. Does not: the payloads (``pipelines/lake/store.py``), the
walk (``paging.py``), requests (``transport.py``).

A walk asks the same questions in the same order as long as it gets the same answers. So it need not be stopped and restored in
the middle: it begins again, and a question that was answered before is answered from the lake. Nothing has to be told that a
run is done either: a page counts as known only until a line of the manifest names its payload. What has landed is asked for anew,
and so a range that is fetched a second time, and killed, begins at its first page where the venue's bytes are still the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from assets.ports import Clock, Generation

# A venue may correct what it showed; a page of this age is asked for again.
KEPT = timedelta(hours=6)


class Payloads(Protocol):
    """The part of a lake that a journal reads."""

    def payload(self, sha256: str) -> bytes | None:
        """Return the bytes of a payload, None where they are not kept."""
        ...

    def generations(self) -> Sequence[Generation]:
        """Return every line of the manifest."""
        ...


class Journal:
    """The walks of a home.

    Parameters
    ----------
    folder : pathlib.Path
        One small file per walk, one line per page.
    lake : Payloads
        Where the pages' bytes are, and what has landed.
    clock : Clock
        Ours.
    """

    def __init__(self, folder: Path, lake: Payloads, clock: Clock) -> None:
        self._folder, self._lake, self._clock = folder, lake, clock

    def walk(self, name: str) -> Walk:
        """Return a walk with what an interrupted one of this name was told and did not land."""
        path = self._folder / f"{name}.jsonl"
        known = {}
        lines = _lines(path)
        if lines:
            landed = {sha256 for g in self._lake.generations() for sha256 in g.payloads}
            oldest = self._clock.now() - KEPT
            for told_at, question, sha256 in lines:
                if told_at >= oldest and sha256 not in landed:
                    known[question] = sha256
        if not known:
            path.unlink(missing_ok=True)
        return Walk(path, known, self._lake, self._clock)


class Walk:
    """One walk under way: what it was told before, and what it is told now; without a file it remembers nothing."""

    def __init__(
        self,
        path: Path | None = None,
        known: dict[str, str] | None = None,
        lake: Payloads | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._path, self._known, self._lake, self._clock = path, known or {}, lake, clock

    def told(self, question: str) -> tuple[str, bytes] | None:
        """Return the payload that answered a question, its SHA-256 and its bytes, or None where it must be asked."""
        sha256 = self._known.get(question)
        body = None if sha256 is None or self._lake is None else self._lake.payload(sha256)
        return None if sha256 is None or body is None else (sha256, body)

    def note(self, question: str, sha256: str) -> None:
        """Remember that a question was answered by a payload that the lake holds."""
        if self._path is None or self._clock is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps([self._clock.now().isoformat(), question, sha256]).encode("ascii") + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # One write: what a killed process leaves is a whole line or a last one that cannot be read. Not synced: after
            # a power cut some pages are asked for again.
            os.write(file, line)
        finally:
            os.close(file)

    def drop(self) -> None:
        """Forget the walk: what it was told is not to be relied on."""
        self._known.clear()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _lines(path: Path) -> list[tuple[datetime, str, str]]:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        try:
            told_at, question, sha256 = json.loads(line)
            found.append((datetime.fromisoformat(told_at), str(question), str(sha256)))
        except (ValueError, TypeError):
            # Half a line, from a process that was killed as it wrote: its page is asked for again.
            continue
    return found
