"""The world's macro figures as FRED shows them: pages without a key, the API with one.

Belongs here: shapes, limits and errors of FRED. Does not: the figures (``macro.py``), HTTP (``server.py``).

References
----------
https://fred.stlouisfed.org/docs/api/fred/series_observations.html
https://fred.stlouisfed.org/docs/api/fred/release_dates.html
https://fred.stlouisfed.org/docs/api/fred/errors.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from pipelines.sandbox.macro import MacroFigures, released
from pipelines.sandbox.wire import PLAIN_REFUSALS, Route, WireError
from pipelines.sandbox.world import World

GRAPH = "/graph/fredgraph.csv"
OBSERVATIONS, RELEASE_DATES = "/fred/series/observations", "/fred/release/dates"

MOST_OBSERVATIONS, MOST_DATES, MOST_VINTAGES = 100_000, 10_000, 2_000
FIRST_DAY, OPEN_END = date(1776, 7, 4), date(9999, 12, 31)
# Releases by number: the series that dates them.
RELEASES = {10: "CPIAUCSL", 50: "PAYEMS"}
ANNOUNCED_MONTHS = 2
# The day of a year on which release 10 brings new seasonal factors and no new month; FRED lists it among the others.
REVISION_DAY = (2, 5)


class FredWire:
    """A world's figures as FRED shows them."""

    venue = "fred"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = {
        **PLAIN_REFUSALS,
        "rate_limited": (429, {"error_code": 429, "error_message": "Too Many Requests.  Exceeded Rate Limit"}),
    }

    def __init__(self, world: World) -> None:
        self._figures: MacroFigures = world.macro

    def routes(self) -> list[Route]:
        """Return every route of the publisher that a client of ours asks."""
        return [
            Route(GRAPH, self.graph, media_type="application/csv"),
            Route(OBSERVATIONS, self.observations),
            Route(RELEASE_DATES, self.release_dates),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path and the series that was asked for."""
        return f"{path} {query.get('id') or query.get('series_id') or query.get('release_id') or ''}".strip()

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of records; a page has none."""
        lists = [body[name] for name in ("observations", "release_dates") if isinstance(body, dict) and name in body]
        return lists[0] if lists else None

    def graph(self, query: Mapping[str, Any], now: datetime) -> str:
        """`GET /graph/fredgraph.csv`: a series as known now, from `cosd` to `coed`; a day without a figure is blank.

        No page documents it; the shape is that of files that many keep.
        """
        series = str(query.get("id", ""))
        if series not in self._figures.series:
            raise WireError("<!DOCTYPE html><html><body>Not Found</body></html>", 404)
        first, last = _day(query, "cosd", FIRST_DAY), _day(query, "coed", OPEN_END)
        shown = sorted(self._figures.known(series, now.date()).items())
        lines = [f"{day},{text}" for day, text in shown if first <= day <= last]
        return "\n".join([f"observation_date,{series}", *lines]) + "\n"

    def observations(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /fred/series/observations`, `output_type=1`: every figure with the period in which it was the known one.

        References
        ----------
        https://fred.stlouisfed.org/docs/api/fred/series_observations.html
        """
        _check_key(query)
        series = str(query.get("series_id", ""))
        if series not in self._figures.series:
            raise _refusal("The series does not exist.")
        today = now.date()
        since, until = _day(query, "realtime_start", today), _day(query, "realtime_end", today)
        if today < until != OPEN_END or since > today:
            raise _refusal("Variable realtime_end can not be after today's date.")
        first, last = _day(query, "observation_start", FIRST_DAY), _day(query, "observation_end", OPEN_END)
        records, vintages = [], set()
        for day, told in sorted(self._figures.vintages(series).items()):
            ends = [*(begin - timedelta(days=1) for begin, _ in told[1:] if begin <= today), OPEN_END]
            for (begin, text), end in zip(told, ends, strict=False):
                if begin > today or begin > until or end < since:
                    continue
                vintages.add(begin)
                if first <= day <= last:
                    records.append(
                        {
                            "realtime_start": max(begin, since).isoformat(),
                            "realtime_end": min(end, until).isoformat(),
                            "date": day.isoformat(),
                            "value": text or ".",
                        }
                    )
        if len(vintages) > MOST_VINTAGES:
            raise _refusal(f"This exceeds the maximum number of vintage dates allowed: {MOST_VINTAGES}")
        period = {"realtime_start": since.isoformat(), "realtime_end": until.isoformat()}
        more = {"units": "lin", "output_type": 1, "file_type": "json", "order_by": "observation_date"}
        bounds = {"observation_start": first.isoformat(), "observation_end": last.isoformat()}
        return {**period, **bounds, **more, **_page(query, "observations", records, MOST_OBSERVATIONS)}

    def release_dates(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /fred/release/dates`: the days of a release, and with `include_release_dates_with_no_data` those announced.

        References
        ----------
        https://fred.stlouisfed.org/docs/api/fred/release_dates.html
        """
        _check_key(query)
        number = int(query.get("release_id", 0))
        if number not in RELEASES:
            raise _refusal("The release does not exist.")
        series = RELEASES[number]
        months = sorted(self._figures.vintages(series))
        for _ in range(ANNOUNCED_MONTHS):
            months.append((months[-1].replace(day=28) + timedelta(days=4)).replace(day=1))
        is_announced = query.get("include_release_dates_with_no_data") == "true"
        since, until = _day(query, "realtime_start", FIRST_DAY), _day(query, "realtime_end", OPEN_END)
        days = [released(series, month) for month in months]
        if series == "CPIAUCSL":
            days = sorted([*days, *(date(year, *REVISION_DAY) for year in {month.year for month in months})])
        records = [
            {"release_id": number, "date": day.isoformat()}
            for day in days
            if since <= day <= until and (is_announced or day <= now.date())
        ]
        period = {"realtime_start": since.isoformat(), "realtime_end": until.isoformat()}
        return {**period, "order_by": "release_date", **_page(query, "release_dates", records, MOST_DATES)}


def _check_key(query: Mapping[str, Any]) -> None:
    key = str(query.get("api_key", ""))
    if not (len(key) == 32 and key.isalnum() and key == key.lower()):
        raise _refusal(
            "The value for variable api_key is not a 32 character alpha-numeric lower-case string.  Read the docs."
        )
    if query.get("file_type") != "json":
        raise _refusal("Here only file_type json is spoken.")


def _page(query: Mapping[str, Any], name: str, records: list[Any], most: int) -> dict[str, Any]:
    limit, offset = int(query.get("limit", most)), int(query.get("offset", 0))
    if not 1 <= limit <= most or offset < 0:
        raise _refusal(f"Variable limit is not between 1 and {most}.")
    order = str(query.get("sort_order", "asc"))
    shown = records if order == "asc" else records[::-1]
    found = {"sort_order": order, "count": len(records), "offset": offset, "limit": limit}
    return {**found, name: shown[offset : offset + limit]}


def _day(query: Mapping[str, Any], name: str, default: date) -> date:
    text = str(query.get(name, "")) or default.isoformat()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _refusal(f"Variable {name} is not a date: {text}") from None


def _refusal(words: str) -> WireError:
    return WireError({"error_code": 400, "error_message": f"Bad Request.  {words}"}, 400)
