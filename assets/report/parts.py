"""What every section needs: the day as a view of the marts, origins of sections, and series for charts.

Belongs here: the order of assets, the clock of a UTC day, counts of synthetic rows, gaps. Does not: any one section.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import duckdb

from assets.report.model import Chart, Origin, Series
from assets.report.queries import fetch, latest_day
from assets.report.rows import CoverageRow
from assets.report.rows_flows import GapRow

# More lines than this cannot be told apart, by colour or by dash; the rest is counted and stands in the table.
MAX_LINES = 8


@dataclass(frozen=True)
class DayView:
    """A UTC day of a warehouse.

    `asset_order` is by the day's traded value, largest first; `coverage` holds the day's rows of the coverage mart.
    """

    con: duckdb.DuckDBPyConnection
    day: date
    asset_order: tuple[str, ...]
    coverage: tuple[CoverageRow, ...]

    @property
    def start(self) -> datetime:
        """First instant of the day, UTC, naive."""
        return datetime.combine(self.day, time())

    @property
    def end(self) -> datetime:
        """First instant after the day, UTC, naive."""
        return self.start + timedelta(days=1)

    def fetch(self, sql: str, *params: Any) -> list[dict[str, Any]]:
        """Run a statement of ``queries.py``; see `assets.report.queries.fetch`."""
        return fetch(self.con, sql, params)

    def rank(self, asset: str) -> tuple[int, str]:
        """Return the sort key of an asset: its place in `asset_order`, unknown assets last and by name."""
        return (self.asset_order.index(asset) if asset in self.asset_order else len(self.asset_order), asset)

    def by_asset(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return rows in the order of assets; rows of one asset keep their order."""
        return sorted(rows, key=lambda row: self.rank(row["asset"]))

    def is_of(self, row: Mapping[str, Any], column: str) -> bool:
        """Return whether a row's day is the report's."""
        return bool(row[column] == self.day)

    def gaps(self, datasets: Sequence[str]) -> tuple[GapRow, ...]:
        """Return what coverage misses of datasets on the day, in the order of datasets."""
        return tuple(
            GapRow(row.dataset, row.venue, row.coverage_status, row.coverage_reason, row.missing_rows_count)
            for dataset in datasets
            for row in self.coverage
            if row.dataset == dataset and row.coverage_status in ("missing", "partial")
        )

    def since(self, days: int) -> date:
        """Return the day before a window of `days` days that ends with the report's day."""
        return self.day - timedelta(days=days)

    def origin(
        self,
        marts: Sequence[str],
        synthetic: Sequence[bool],
        *,
        datasets: Sequence[str] = (),
        is_estimated: bool = False,
    ) -> Origin:
        """Return a section's origin.

        Parameters
        ----------
        marts : sequence of str
            Names of the marts read, the leading one first; its latest day is looked up.
        synthetic : sequence of bool
            `is_synthetic` of each row used.
        datasets : sequence of str
            Raw datasets whose coverage reasons explain what is missing.
        """
        # A row may carry several reasons, separated by commas.
        codes = {c.strip() for row in self.coverage if row.dataset in datasets for c in row.coverage_reason.split(",")}
        return Origin(
            marts=tuple(f"marts.{name}" for name in marts),
            rows_count=len(synthetic),
            synthetic_rows_count=sum(synthetic),
            latest_date_utc=latest_day(self.con, marts[0], self.day),
            missing_reasons=tuple(sorted(codes - {""})),
            is_missing=not synthetic,
            is_synthetic=any(synthetic),
            is_estimated=is_estimated,
        )


def hours_between(start: datetime, end: datetime) -> tuple[datetime, ...]:
    """Return the hours of [start, end)."""
    return tuple(start + timedelta(hours=k) for k in range(int((end - start) // timedelta(hours=1))))


def days_until(day: date, count: int) -> tuple[date, ...]:
    """Return the last `count` days up to and including `day`."""
    return tuple(day - timedelta(days=count - 1 - k) for k in range(count))


def days_told(days: Sequence[date], paths: Iterable[Mapping[date, Any]]) -> tuple[date, ...]:
    """Return the days from the first to the last that any path tells: an axis without records at its ends has no marks."""
    told = {day for path in paths for day, value in path.items() if value is not None}
    return tuple(day for day in days if told and min(told) <= day <= max(told))


def series_of(label: str, values: Sequence[float | None]) -> Series:
    """Return a series with its first, lowest, highest and last present value; None where no value is present."""
    present = [v for v in values if v is not None]
    return Series(
        label=label,
        values=tuple(values),
        first=present[0] if present else None,
        low=min(present, default=None),
        high=max(present, default=None),
        last=present[-1] if present else None,
    )


def indexed(values: Sequence[Any]) -> list[float | None]:
    """Return values as an index whose first present value is 100, rounded to four places; None stays None."""
    base = next((float(v) for v in values if v), None)
    if base is None:
        return [None for _ in values]
    return [None if v is None else round(float(v) / base * 100.0, 4) for v in values]


def line_chart(
    key: str,
    unit: str,
    x: Sequence[datetime] | Sequence[date] | Sequence[float],
    paths: Mapping[str, Sequence[float | None]],
) -> Chart | None:
    """Return a chart of at most `MAX_LINES` lines in the order given; None where no value is present."""
    drawn = [series_of(label, values) for label, values in paths.items() if any(v is not None for v in values)]
    if not drawn:
        return None
    return Chart(key, "line", unit, tuple(x), tuple(drawn[:MAX_LINES]), left_out_count=max(0, len(drawn) - MAX_LINES))
