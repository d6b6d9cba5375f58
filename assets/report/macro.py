"""The macro section: figures as they were known on the day, what came out, what comes, and the expected policy rate.

Belongs here: how far back a release or an expectation is told. Does not: SQL text (``queries_flows.py``), sentiment
(``sections.py``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from assets.report import queries_flows
from assets.report.model import Macro
from assets.report.parts import DayView
from assets.report.queries import as_rows
from assets.report.rows_flows import ComingReleaseRow, MacroRow, RateExpectationRow, ReleaseRow

# Two months: a monthly series that was silent for longer has no latest release.
RELEASE_DAYS = 62
COMING_DAYS = 14
EXPECTATION_DAYS = 14

# A yield of the Treasury's curve: a maturity of years or months, ``UST_10Y``, ``UST_1_5M``.
CURVE = re.compile(r"UST_\d+(_\d+)?[MY]")

DATASETS = ("macro_observations", "macro_releases")


def build_macro(view: DayView) -> Macro:
    """Build the section: per series the latest figure known on the day, else the latest captured one, labelled.

    Of days to come only the publisher's calendar is read, as it stands in the lake: no figure that came out then.
    """
    rows = tuple(
        MacroRow(**row, knowledge="known_on_day" if row["vintage_date_utc"] <= view.day else "latest_vintage")
        for row in view.fetch(queries_flows.MACRO, view.day, view.day, view.day)
    )
    releases = tuple(
        ReleaseRow(**row, is_of_the_day=view.is_of(row, "release_date_utc"))
        for row in view.fetch(queries_flows.MACRO_RELEASES, view.since(RELEASE_DAYS), view.day)
    )
    coming = as_rows(
        ComingReleaseRow,
        view.fetch(queries_flows.MACRO_COMING, view.day, view.day + timedelta(days=COMING_DAYS)),
    )
    expectations = as_rows(
        RateExpectationRow,
        view.fetch(queries_flows.RATE_EXPECTATIONS, view.since(EXPECTATION_DAYS), view.day, view.day),
    )
    used: list[MacroRow | ReleaseRow | ComingReleaseRow | RateExpectationRow] = [
        *rows,
        *releases,
        *coming,
        *expectations,
    ]
    origin = view.origin(
        ("fct_macro_observations", "fct_macro_releases", "fct_rate_expectations_daily"),
        [row.is_synthetic for row in used],
        datasets=DATASETS,
    )
    return Macro(
        # A figure of an earlier day that was published later must not move even the date of the latest record.
        origin=replace(origin, latest_date_utc=max((row.observation_date_utc for row in rows), default=None)),
        gaps=view.gaps(DATASETS),
        rows=tuple(row for row in rows if not CURVE.fullmatch(row.series_id)),
        curve=tuple(sorted((row for row in rows if CURVE.fullmatch(row.series_id)), key=_maturity_months)),
        releases=releases,
        coming=coming,
        expectations=expectations,
    )


def _maturity_months(row: MacroRow) -> float:
    number, unit = row.series_id.removeprefix("UST_")[:-1], row.series_id[-1]
    return float(number.replace("_", ".")) * (12 if unit == "Y" else 1)
