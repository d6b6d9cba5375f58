"""What an import did, in numbers and in words for a terminal.

Belongs here: counts per file and their lines. Does not: counting (``imports.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from assets.ports import RawKey

# Names of files left alone that a summary shows; an archive's folder can hold thousands.
IGNORED_SHOWN = 20


@dataclass(frozen=True)
class FileCount:
    """What became of one file's rows in one dataset: read = landed + quarantined + skipped."""

    file: str
    dataset: str
    rows_read: int
    landed: int
    quarantined: dict[str, int]
    skipped: int
    days: int
    skipped_as: str = "blank"
    note: str = ""

    @property
    def quarantined_rows(self) -> int:
        """Refused rows, all reasons together."""
        return sum(self.quarantined.values())


@dataclass(frozen=True)
class ImportSummary:
    """What an import did."""

    mapping: str
    files: tuple[FileCount, ...]
    ignored_files: tuple[str, ...] = ()
    shrunk_keys: tuple[RawKey, ...] = ()

    @property
    def rows_read(self) -> int:
        """Data rows of all files."""
        return sum(f.rows_read for f in self.files)

    @property
    def landed(self) -> int:
        """Rows in the lake."""
        return sum(f.landed for f in self.files)

    @property
    def quarantined_rows(self) -> int:
        """Refused rows of all files."""
        return sum(f.quarantined_rows for f in self.files)

    @property
    def skipped(self) -> int:
        """Rows in which the publisher observed nothing."""
        return sum(f.skipped for f in self.files)

    def lines(self) -> list[str]:
        """Return the summary for a terminal, one line per file and dataset and one per thing worth knowing."""
        said = []
        for f in self.files:
            said.append(
                f"{f.file} -> {f.dataset}: {f.rows_read:,} rows read, {f.landed:,} landed on {f.days:,} days, "
                f"{f.quarantined_rows:,} quarantined, {f.skipped:,} skipped as {f.skipped_as}"
                f"{f' ({f.note})' if f.note else ''}"
            )
            said += [f"  quarantined, {reason}: {count:,}" for reason, count in sorted(f.quarantined.items())]
        if self.ignored_files:
            more = len(self.ignored_files) - IGNORED_SHOWN
            shown = [*self.ignored_files[:IGNORED_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
            said.append(f"not named by the mapping and left alone: {', '.join(shown)}")
        if self.shrunk_keys:
            first = self.shrunk_keys[0]
            said.append(
                f"note: {len(self.shrunk_keys):,} days hold fewer rows than before (first: {first.dataset} of {first.venue} "
                f"on {first.day}); an import replaces whole days of its mapping, so import all files of a day together"
            )
        return said
