"""The US Treasury's daily par yield curve: one table per year, a column per maturity.

Belongs here: the publisher's address and shape. Does not: asking (``published.py``), the same yields as FRED repeats them
(``fred.py``), laws over the figures (``quality``).

The vintage of a figure is the day on which we saw it: the Treasury corrects figures without saying when. Public domain.

References
----------
https://home.treasury.gov/resource-center/data-chart-center/interest-rates/TextView?type=daily_treasury_yield_curve
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from assets.ports import Capture
from pipelines.sources.publishers.published import Publisher, read_csv
from pipelines.sources.records import WrongShape
from pipelines.sources.wire_values import figure

CURVE_URL = (
    "https://home.treasury.gov/resource-center/data-chart-center/interest-rates/daily-treasury-rates.csv/{year}/all"
)
MATURITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) (Mo|Month|Yr)")
# Without these two the table is not the curve.
NEEDED = ("UST_2Y", "UST_10Y")
# Days before a run's first one that it must know too: a week of holidays, and changes over it.
BEFORE = timedelta(days=31)
# No holidays keep a year from having a figure in its first week; an answer that does not reach back to it is torn.
FIRST_WEEK_DAYS = 7


class Treasury(Publisher):
    """Client of the US Treasury."""

    venue = "us_treasury"

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return the curve of every day of the years that the run and the month before it touch."""
        answers, rows = [], []
        today = self._clock.now().date()
        shared = {
            "venue": self.venue,
            "vintage_date_utc": today,
            "vintage_origin": "captured",
            "unit": "percent",
        }
        for year in range((first - BEFORE).year, min(last.year, today.year) + 1):
            query = {
                "type": "daily_treasury_yield_curve",
                "field_tdr_date_value": year,
                "page": "",
                "_format": "csv",
            }
            answer = self._ask(CURVE_URL.format(year=year), query, partial(_curve, year=year, today=today))
            answers.append(answer)
            rows += [{**shared, "payload_sha256": answer.payload_sha256, **one} for one in answer.value]
        return self._capture(dataset, rows, answers)


def _curve(body: bytes, year: int, today: date) -> list[dict[str, Any]]:
    """Return the figures of a year's table, a row per day and maturity; a blank is no figure (a maturity not yet sold).

    Raises
    ------
    ValueError
        Where the table breaks off.
    WrongShape
        Where the columns are others, or a line has more or fewer.
    """
    header, *lines = read_csv(body)
    series = [_series_of(name) for name in header[1:]]
    if header[:1] != ["Date"] or None in series or not set(NEEDED) <= set(series):
        raise WrongShape(f"holds the columns {', '.join(header)[:200]!r} instead of Date and maturities as in 2 Yr")
    if any(len(line) != len(header) for line in lines):
        raise ValueError("a line is torn")
    days = [_us_day(line[0]) for line in lines]
    known = [day for day in days if day is not None]
    is_due = (today - date(year, 1, 1)).days >= FIRST_WEEK_DAYS
    if is_due and (not known or (min(known) - date(year, 1, 1)).days >= FIRST_WEEK_DAYS):
        raise ValueError("the table does not reach back to the first week of the year")
    if any(day.year != year for day in known):
        raise WrongShape(f"holds days of other years than {year}")
    return [
        {"series_id": name, "observation_date_utc": day, "value_native": figure(value)}
        for day, line in zip(days, lines, strict=True)
        for name, value in zip(series, line[1:], strict=True)
        if value not in ("", "N/A")
    ]


def _series_of(header: str) -> str | None:
    """Return our name of a maturity: ``UST_2Y`` of ``2 Yr``, ``UST_1_5M`` of ``1.5 Month``; None where it is none."""
    found = MATURITY.fullmatch(header.strip())
    return f"UST_{found[1].replace('.', '_')}{found[2][0]}" if found else None


def _us_day(text: str) -> date | None:
    """Return a day written month first, None where it is none."""
    try:
        return datetime.strptime(text, "%m/%d/%Y").date()
    except ValueError:
        return None
