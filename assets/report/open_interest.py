"""The open-interest section: first, lowest and last figure of the day by instrument, sums by asset, three days by hour.

A sum over instruments is only taken where each of them was seen at both ends of the same span: an instrument that appears at
noon is a new record and not new leverage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from assets.report import queries
from assets.report.model import Chart, OpenInterest
from assets.report.parts import DayView, hours_between, indexed, line_chart
from assets.report.rows import BaseSpan, OpenInterestRow, OpenInterestTotal, UsdSpan

CHART_DAYS = 3
USD = "open_interest_one_sided_usd"
BASE = "open_interest_one_sided_base"

# (instant of the observation, figure) of one instrument or one sum, in order of time.
Points = list[tuple[datetime, Decimal]]


def build_open_interest(view: DayView) -> OpenInterest:
    """Build the section from ``marts.fct_open_interest_hourly``."""
    since = view.start - timedelta(days=CHART_DAYS - 1)
    window = view.fetch(queries.OPEN_INTEREST, since, view.end)
    of_day = [row for row in window if row["interval_start_utc"] >= view.start]
    instruments: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in of_day:
        instruments[row["instrument_id"]].append(row)
    ordered = sorted(
        instruments.values(), key=lambda rows: (view.rank(rows[0]["asset"]), rows[0]["venue"], rows[0]["instrument_id"])
    )
    rows = tuple(_instrument_row(rows) for rows in ordered)
    groups: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
    for group in ordered:
        groups[group[0]["asset"]].append(group)
    return OpenInterest(
        origin=view.origin(
            ("fct_open_interest_hourly", "dim_instruments"),
            [row["is_synthetic"] for row in of_day],
            datasets=("open_interest",),
            is_estimated=any(
                r.open_interest_usd_origin != "venue" or r.open_interest_base_origin != "venue" for r in rows
            ),
        ),
        totals=tuple(_total(asset, members) for asset, members in groups.items()),
        rows=rows,
        charts=_charts(view, window, groups, since),
    )


def _instrument_row(rows: Sequence[Mapping[str, Any]]) -> OpenInterestRow:
    first = rows[0]
    return OpenInterestRow(
        asset=first["asset"],
        venue=first["venue"],
        venue_symbol=first["venue_symbol"],
        instrument_id=first["instrument_id"],
        usd=UsdSpan(**_span(_points(rows, USD), "usd")),
        base=BaseSpan(**_span(_points(rows, BASE), "base")),
        open_interest_usd_origin=_common({row["open_interest_usd_origin"] for row in rows}),
        open_interest_base_origin=_common({row["open_interest_base_origin"] for row in rows}),
        is_synthetic=any(row["is_synthetic"] for row in rows),
    )


def _total(asset: str, members: Sequence[Sequence[Mapping[str, Any]]]) -> OpenInterestTotal:
    usd_members = _same_span(members, USD)
    base_members = _same_span(members, BASE)
    used = [row for rows in (*usd_members, *base_members) for row in rows]
    return OpenInterestTotal(
        asset=asset,
        venues=tuple(sorted({row["venue"] for row in used})),
        usd=UsdSpan(**_span(_sum(usd_members, USD), "usd")),
        base=BaseSpan(**_span(_sum(base_members, BASE), "base")),
        usd_instruments_count=len(usd_members),
        base_instruments_count=len(base_members),
        instruments_count=len(members),
        is_derived=any("derived" in (r["open_interest_usd_origin"], r["open_interest_base_origin"]) for r in used),
        is_synthetic=any(row["is_synthetic"] for row in used),
    )


def _same_span(members: Sequence[Sequence[Mapping[str, Any]]], figure: str) -> list[list[Mapping[str, Any]]]:
    """Keep the members that have the figure at the first and at the last hour of the best observed one."""
    present = [[row for row in rows if row[figure] is not None] for rows in members]
    present = [rows for rows in present if rows]
    if not present:
        return []
    best = max(present, key=len)
    ends = {best[0]["interval_start_utc"], best[-1]["interval_start_utc"]}
    return [rows for rows in present if ends <= {row["interval_start_utc"] for row in rows}]


def _points(rows: Sequence[Mapping[str, Any]], figure: str) -> Points:
    return [(row["occurred_at_utc"], row[figure]) for row in rows if row[figure] is not None]


def _sum(members: Sequence[Sequence[Mapping[str, Any]]], figure: str) -> Points:
    """Sum a figure over members for the hours in which each of them has it."""
    by_hour: dict[datetime, list[Decimal]] = defaultdict(list)
    for rows in members:
        for row in rows:
            by_hour[row["interval_start_utc"]].append(row[figure])
    return [
        (hour, sum(figures, Decimal(0))) for hour, figures in sorted(by_hour.items()) if len(figures) == len(members)
    ]


def _span(points: Points, unit: str) -> dict[str, Any]:
    """Return the fields of a `UsdSpan` or `BaseSpan`; all of them missing without a point."""
    names = (f"start_{unit}", f"low_{unit}", f"end_{unit}", f"change_{unit}", "change_frac")
    clocks = ("start_at_utc", "low_at_utc", "end_at_utc")
    if not points:
        return dict.fromkeys((*names, *clocks)) | {"observations_count": 0}
    start, end = points[0], points[-1]
    low = min(points, key=lambda point: (point[1], point[0]))
    has_two = start[0] != end[0]
    change = end[1] - start[1] if has_two else None
    change_frac = float(end[1]) / float(start[1]) - 1.0 if has_two and start[1] else None
    figures = dict(zip(names, (start[1], low[1], end[1], change, change_frac), strict=True))
    return figures | dict(zip(clocks, (start[0], low[0], end[0]), strict=True)) | {"observations_count": len(points)}


def _common(origins: set[str]) -> str:
    return origins.pop() if len(origins) == 1 else "mixed"


def _charts(
    view: DayView,
    window: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    since: datetime,
) -> tuple[Chart, ...]:
    """Draw each asset's sum over the instruments of its day's total; an hour that one of them lacks is a gap."""
    hours = hours_between(since, view.end)
    charts = []
    for key, figure in (("open_interest_base", BASE), ("open_interest_usd", USD)):
        paths: dict[str, list[float | None]] = {}
        for asset, members in groups.items():
            names = {rows[0]["instrument_id"] for rows in _same_span(members, figure)}
            histories: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
            for row in window:
                if row["instrument_id"] in names and row[figure] is not None:
                    histories[row["instrument_id"]].append(row)
            summed = dict(_sum(list(histories.values()), figure))
            paths[asset] = indexed([summed.get(hour) for hour in hours])
        chart = line_chart(key, "index", hours, paths)
        if chart:
            charts.append(chart)
    return tuple(charts)
