"""FRED: macro series as their pages show them now, or, with a key, as they were known on each day (ALFRED), and release dates.

Belongs here: addresses and shapes of FRED and which series are followed. Does not: asking (``published.py``), the Treasury's own
curve (``treasury.py``), laws over the figures (``quality``).

Without a key a figure's vintage is the day on which we saw it (``captured``): what was known earlier cannot be told. With a
key (`LOWTIDE_FRED_API_KEY`) it is the day on which FRED had it (``published``), revisions included.

References
----------
https://fred.stlouisfed.org/docs/api/fred/series_observations.html
https://fred.stlouisfed.org/docs/api/fred/release_dates.html
https://fred.stlouisfed.org/docs/api/fred/realtime_period.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import SecretStr

from assets.ports import Capture
from pipelines.sources.publishers.published import Publisher, iso_day, read_csv, read_json
from pipelines.sources.records import WrongShape
from pipelines.sources.transport import Answer
from pipelines.sources.wire_values import figure, of

GRAPH_URL = "https://fred.stlouisfed.org/graph/fredgraph.csv"
OBSERVATIONS_URL = "https://api.stlouisfed.org/fred/series/observations"
RELEASE_DATES_URL = "https://api.stlouisfed.org/fred/release/dates"

# The header of the day's column; FRED called it DATE until 2024.
DAY_HEADERS = ("observation_date", "DATE")
# How FRED writes a day without a figure: a point in the API, nothing in a page.
BLANK = ("", ".")
# FRED's highest, of both lists. A question with more vintages than 2,000 is refused: see `LONGEST_YEARS`.
OBSERVATIONS_LIMIT, RELEASE_DATES_LIMIT = 100_000, 10_000
# Years of daily observations per question: with the year after them, in which they may be revised, at most 1,600 vintages.
LONGEST_YEARS = 5
OPEN_END = date(9999, 12, 31)


@dataclass(frozen=True)
class Series:
    """A series that is followed: the unit of its figures, and how many years before a run's first day are asked for.

    Daily figures are next to never revised; seasonal factors of monthly ones are for five years.
    """

    unit: str
    lookback_years: int = 1


SERIES: dict[str, Series] = {
    "DGS2": Series("percent"),
    "DGS10": Series("percent"),
    "T10YIE": Series("percent"),
    "FEDFUNDS": Series("percent", 6),
    "CPIAUCSL": Series("index_1982_1984_100", 6),
    "PAYEMS": Series("thousand_persons", 6),
    "UNRATE": Series("percent", 6),
    "VIXCLS": Series("index"),
    "DTWEXBGS": Series("index_2006_01_100"),
    "SP500": Series("index"),
}

# Releases that move markets, by FRED's number, and the series that come out with them.
RELEASES: dict[int, tuple[str, ...]] = {10: ("CPIAUCSL",), 50: ("PAYEMS", "UNRATE")}


class Fred(Publisher):
    """Client of FRED.

    Parameters
    ----------
    api_key : pydantic.SecretStr or None
        A key of FRED's API; never shown. None: pages that need none.
    """

    venue = "fred"
    # The API grants 120 requests a minute.
    cost_s = 0.5

    def __init__(self, *given: Any, api_key: SecretStr | None = None, **more: Any) -> None:
        super().__init__(*given, **more)
        self._api_key = api_key
        if api_key is None:
            self.left_out = {"macro_releases": "needs LOWTIDE_FRED_API_KEY"}
        else:
            self._secrets = (api_key,)

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return the series' figures, or the dates of releases, those announced included."""
        if dataset == "macro_releases":
            return self._release_dates(first)
        answers: list[Answer] = []
        rows: list[dict[str, Any]] = []
        for name, series in SERIES.items():
            since = date(first.year - series.lookback_years, 1, 1)
            asked = self._page(name, since) if self._api_key is None else self._vintages(name, since, last)
            for answer in asked:
                answers.append(answer)
                shared = {"venue": self.venue, "series_id": name, "unit": series.unit}
                rows += [{**shared, "payload_sha256": answer.payload_sha256, **one} for one in answer.value]
        return self._capture(dataset, rows, answers)

    # -- pages --------------------------------------------------------------------------------------------------------

    def _page(self, name: str, since: date) -> list[Answer]:
        seen = {"vintage_date_utc": self._clock.now().date(), "vintage_origin": "captured"}

        def read(body: bytes) -> list[dict[str, Any]]:
            return [
                {"observation_date_utc": iso_day(day), "value_native": figure(value), **seen}
                for day, value in _lines(body, name)
                if value not in BLANK
            ]

        return [self._ask(GRAPH_URL, {"id": name, "cosd": since.isoformat()}, read)]

    # -- the API ------------------------------------------------------------------------------------------------------

    def _vintages(self, name: str, since: date, last: date) -> Iterator[Answer]:
        """Ask for observations since a day, each with all its vintages, some years at a time."""
        for year in range(since.year, last.year + 1, LONGEST_YEARS):
            until = date(min(year + LONGEST_YEARS - 1, last.year), 12, 31)
            # The end of a period may not lie ahead, unless it is FRED's own word for an open one.
            is_open = until.year + 1 >= self._clock.now().year
            known_until = OPEN_END if is_open else date(until.year + 1, 12, 31)
            query = {
                "series_id": name,
                "observation_start": date(year, 1, 1).isoformat(),
                "observation_end": until.isoformat(),
                # What was observed before is left out, so that no vintage is cut off at the beginning of the period.
                "realtime_start": date(year, 1, 1).isoformat(),
                "realtime_end": known_until.isoformat(),
                "output_type": 1,
            }
            for answer in self._listed(OBSERVATIONS_URL, query, "observations", OBSERVATIONS_LIMIT):
                yield Answer([_vintage(one) for one in answer.value if of(one, "value") not in BLANK], *_origin(answer))

    def _release_dates(self, first: date) -> Capture:
        answers, rows = [], []
        for release, names in RELEASES.items():
            query = {
                "release_id": release,
                "realtime_start": date(first.year - 1, 1, 1).isoformat(),
                "realtime_end": OPEN_END.isoformat(),
                "sort_order": "asc",
                # Also what is announced and not yet out.
                "include_release_dates_with_no_data": "true",
            }
            for answer in self._listed(RELEASE_DATES_URL, query, "release_dates", RELEASE_DATES_LIMIT):
                answers.append(answer)
                shared = {"venue": self.venue, "payload_sha256": answer.payload_sha256}
                rows += [
                    {**shared, "series_id": name, "release_date_utc": iso_day(of(one, "date"))}
                    for one in answer.value
                    for name in names
                ]
        return self._capture("macro_releases", rows, answers)

    def _listed(self, url: str, query: Mapping[str, Any], name: str, limit: int) -> Iterator[Answer]:
        """Ask for a whole list, page by page; `count` says how long it is, and a shorter one is refused."""
        key = "" if self._api_key is None else self._api_key.get_secret_value()
        given, count = 0, 1
        while given < count:
            page = {**query, "file_type": "json", "limit": limit, "offset": given, "api_key": key}
            answer = self._ask(url, page, lambda body: _page_of(body, name), refusal=_said)
            count, records = answer.value
            yield Answer(records, *_origin(answer))
            given += len(records)
            if not records and given < count:
                raise self._fault(f"gave {given} of {count} `{name}`", answer.request)


def _lines(body: bytes, name: str) -> list[tuple[str, str]]:
    """Return the lines of a series' page.

    Raises
    ------
    ValueError
        Where the page does not end with its last line.
    WrongShape
        Where the header or a line is another one.
    """
    header, *lines = read_csv(body)
    if len(header) != 2 or header[0] not in DAY_HEADERS or header[1] != name:
        raise WrongShape(f"holds the columns {', '.join(header)[:100]!r} instead of observation_date, {name}")
    if not body.endswith(b"\n"):
        raise ValueError("the last line is torn")
    if not lines:
        raise WrongShape(f"holds no figure of {name}")
    odd = next((line for line in lines if len(line) != 2), None)
    if odd is not None:
        raise WrongShape(f"holds the line {','.join(odd)[:100]!r}, which is no day and figure")
    return [(day, value) for day, value in lines]


def _page_of(body: bytes, name: str) -> tuple[int, list[Any]]:
    answer = read_json(body)
    count, records = of(answer, "count"), of(answer, name)
    if not isinstance(count, int) or not isinstance(records, list):
        raise WrongShape(f"holds no `count` and list `{name}`")
    return count, records


def _vintage(record: Any) -> dict[str, Any]:
    return {
        "observation_date_utc": iso_day(of(record, "date")),
        "vintage_date_utc": iso_day(of(record, "realtime_start")),
        "vintage_origin": "published",
        "value_native": figure(of(record, "value")),
    }


def _origin(answer: Answer) -> tuple[str, tuple[str, ...], str]:
    return answer.payload_sha256, answer.payloads, answer.request


def _said(body: bytes) -> str:
    """Return FRED's own words in an error answer."""
    try:
        return str(of(read_json(body), "error_message") or "")
    except ValueError:
        return ""
