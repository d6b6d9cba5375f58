"""Our clock. The only place that asks the operating system for the time of day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock, UTC."""

    def now(self) -> datetime:
        """Return the present instant, UTC, naive."""
        return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class FixedClock:
    """A clock that stands still: the demo and the tests give the same bytes every day."""

    instant: datetime

    def now(self) -> datetime:
        """Return the instant."""
        return self.instant
