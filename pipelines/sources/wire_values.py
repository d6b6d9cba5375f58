"""Values as venues write them on the wire, read without guessing: what cannot be read is None and never 0.

Belongs here: readers that any venue's adapter needs. Does not: field names and shapes of a venue (its own module), laws
over the values (``quality``).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1)

# Times outside are a mistake of unit and not a time: 1980-01-01 to 2100-01-01. Seconds read as milliseconds fall before,
# microseconds after.
SANE_MS = (315_532_800_000, 4_102_444_800_000)


def of(record: Any, key: str) -> Any:
    """Return a key of a JSON object, None where the value is no object or has no such key."""
    return record.get(key) if isinstance(record, dict) else None


def figure(value: Any) -> float | None:
    """Return a figure (a string or a number on the wire), None where it is absent or no number."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    # Python reads "1_000" and the digits of every script as numbers; no venue means that.
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def number(value: Any) -> float:
    """Return a figure as `figure` does.

    Raises
    ------
    ValueError
        Where it is absent or no number; ccxt, which reads a catalogue's figures with this, takes that for absent.
    """
    found = figure(value)
    if found is None:
        raise ValueError(f"{value!r:.40} is no number")
    return found


def per(value: float | None, unit: float | None) -> float | None:
    """Return a value over a unit, None where either is missing, or where no quotient means anything: a unit of 0 or of infinity."""
    return None if value is None or not unit or not math.isfinite(unit) else value / unit


def whole(value: Any) -> int | None:
    """Return a figure that is a whole number of at most 64 bits, None where it is absent or another."""
    found = figure(value)
    return int(found) if found is not None and found.is_integer() and abs(found) < 2**63 else None


def text(value: Any) -> str | None:
    """Return a text, None where it is absent, empty or no text."""
    return value if isinstance(value, str) and value else None


def ms_of(value: Any) -> int | None:
    """Return a time in whole milliseconds, None where it is absent, no whole number or far from any market."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if SANE_MS[0] <= value < SANE_MS[1] else None


def iso_ms_of(value: Any) -> int | None:
    """Return an ISO 8601 time with its zone as whole milliseconds, None where it is absent, none, or far from any market."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if at is None or at.tzinfo is None else ms_of(to_ms(at.astimezone(UTC).replace(tzinfo=None)))


def iso_of(ms: int) -> str:
    """Return milliseconds as an ISO 8601 time with milliseconds, in UTC."""
    return f"{(EPOCH + timedelta(milliseconds=ms)).isoformat(timespec='milliseconds')}Z"


def ms_of_seconds(value: Any) -> int | None:
    """Return a time in seconds, whole or not, as whole milliseconds; None where it is absent, no number or far from any market."""
    seconds = figure(value)
    return None if seconds is None or not math.isfinite(seconds) else ms_of(round(seconds * 1000))


def instant(ms: int | None) -> datetime | None:
    """Return milliseconds as an instant, UTC, naive."""
    return None if ms is None else EPOCH + timedelta(milliseconds=ms)


def to_ms(at: datetime) -> int:
    """Return an instant (UTC, naive) as whole milliseconds, rounded down."""
    return (at.replace(tzinfo=UTC) - EPOCH.replace(tzinfo=UTC)) // timedelta(milliseconds=1)
