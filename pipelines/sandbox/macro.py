"""Macro figures of a world: what each series was known to be on each day, revisions included.

Belongs here: the truth of the slow publishers and when they tell it. Does not: wire formats (``wire_fred.py``,
``wire_treasury.py``), files (``feeds.py``), which share its figures of DGS2, DGS10, VIXCLS and FEDFUNDS.

A daily figure comes out on the next weekday. Consumer prices come out on the 12th of the next month, payrolls and unemployment
on its first Friday, the month's federal funds rate on its first weekday. Payrolls are revised with the next two releases.
`revise` adds a revision on demand.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pipelines.sandbox.feeds import feed_days, is_trading_day, macro_figures
from pipelines.sandbox.profiles import stream

if TYPE_CHECKING:
    from pipelines.sandbox.world import World

# Start level, step of a day or month, decimals of the series that the files do not hold.
_WALKS: dict[str, tuple[float, float, int]] = {
    "T10YIE": (2.28, 0.02, 2),
    "DTWEXBGS": (121.0, 0.35, 4),
    "SP500": (6_600.0, 45.0, 2),
    "CPIAUCSL": (323.0, 0.15, 3),
    "PAYEMS": (159_300.0, 60.0, 0),
    "UNRATE": (4.3, 0.08, 1),
}
MONTHLY = ("FEDFUNDS", "CPIAUCSL", "PAYEMS", "UNRATE")
_DRIFT = {"CPIAUCSL": 0.75, "PAYEMS": 70.0}
MONTHS_BEFORE = 15

# Years of each maturity of the curve; 2 and 10 are those of FRED's H.15 series.
MATURITIES: dict[str, float] = {
    "1 Mo": 1 / 12, "1.5 Month": 0.125, "2 Mo": 2 / 12, "3 Mo": 0.25, "4 Mo": 4 / 12, "6 Mo": 0.5, "1 Yr": 1, "2 Yr": 2,
    "3 Yr": 3, "5 Yr": 5, "7 Yr": 7, "10 Yr": 10, "20 Yr": 20, "30 Yr": 30,
}  # fmt: skip


class MacroFigures:
    """What a world's publishers know: per series and observation day, the texts they printed and since when.

    A blank text is a day without a figure (a closed market).
    """

    def __init__(self, world: World) -> None:
        self.days, _ = feed_days(world)
        self._told: dict[str, dict[date, list[tuple[date, str]]]] = {}
        figures = {**macro_figures(world), **self._walks(world)}
        for series, texts in figures.items():
            self._told[series] = {day: [(released(series, day), text)] for day, text in texts.items()}
        self._revise_payrolls(world)
        self._curve_noise = stream(world.seed, "macro", "curve").standard_normal(366)

    @property
    def series(self) -> tuple[str, ...]:
        """The series that there are."""
        return tuple(self._told)

    def vintages(self, series: str) -> dict[date, list[tuple[date, str]]]:
        """Return, per observation day, since when each text stands, in order."""
        return self._told[series]

    def known(self, series: str, at: date) -> dict[date, str]:
        """Return what a series was known to be at the end of a day; what was not out yet is not there."""
        shown = {}
        for day, told in self._told[series].items():
            place = bisect_right([since for since, _ in told], at)
            if place:
                shown[day] = told[place - 1][1]
        return shown

    def revise(self, series: str, day: date, since: date, text: str) -> None:
        """Have a figure revised: from `since` on, `day` has another text."""
        told = self._told[series].setdefault(day, [])
        told[:] = sorted([*(pair for pair in told if pair[0] != since), (since, text)])

    def curve(self, at: date, year: int) -> dict[date, dict[str, str]]:
        """Return the Treasury's curve of a year's trading days as known at the end of a day, a text per maturity."""
        ends = {2: self.known("DGS2", at + timedelta(days=4)), 10: self.known("DGS10", at + timedelta(days=4))}
        first, last = date(year, 1, 1), min(date(year, 12, 31), at, self.days[-1])
        shown = {}
        for i in range((last - first).days + 1):
            day = first + timedelta(days=i)
            if not is_trading_day(day):
                continue
            before = self._curve_noise[i] * 0.05
            two, ten = (float(ends[years].get(day) or 0) or level + before for years, level in ((2, 3.6), (10, 4.15)))
            shown[day] = {name: f"{_between(years, two, ten):.2f}" for name, years in MATURITIES.items()}
        return shown

    def _walks(self, world: World) -> dict[str, dict[date, str]]:
        first = self.days[0].replace(day=1)
        months = [first]
        for _ in range(MONTHS_BEFORE):
            months.insert(0, (months[0] - timedelta(days=1)).replace(day=1))
        months += sorted({day.replace(day=1) for day in self.days} - set(months))
        figures: dict[str, dict[date, str]] = {}
        for series, (start, step, decimals) in _WALKS.items():
            days = months if series in MONTHLY else [day for day in self.days if day.weekday() < 5]
            noise = stream(world.seed, "macro", series).standard_normal(len(days))
            level, texts = start, {}
            for day, one in zip(days, noise, strict=True):
                level += _DRIFT.get(series, 0.0) + step * float(one)
                is_told = series in MONTHLY or is_trading_day(day)
                texts[day] = f"{level:.{decimals}f}" if is_told else ""
            figures[series] = texts
        return figures

    def _revise_payrolls(self, world: World) -> None:
        noise = stream(world.seed, "macro", "PAYEMS", "revisions").standard_normal((len(self._told["PAYEMS"]), 2))
        for (day, told), changes in zip(list(self._told["PAYEMS"].items()), noise, strict=True):
            level, month = float(told[0][1]), day
            for change in changes:
                month = _next_month(month)
                level += round(20.0 * float(change))
                self.revise("PAYEMS", day, released("PAYEMS", month), f"{level:.0f}")


def released(series: str, day: date) -> date:
    """Return the day on which the figure of an observation day comes out."""
    if series not in MONTHLY:
        return _weekday_from(day + timedelta(days=1))
    month = _next_month(day)
    if series == "CPIAUCSL":
        return month.replace(day=12)
    if series == "FEDFUNDS":
        return _weekday_from(month)
    return month + timedelta(days=(4 - month.weekday()) % 7)


def _between(years: float, two: float, ten: float) -> float:
    """Return the yield of a maturity on the line through those of 2 and 10 years, flatter beyond."""
    slope = (ten - two) / 8
    return two + slope * (years - 2) if years <= 10 else ten + slope * 0.4 * (years - 10) / 4


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def _weekday_from(day: date) -> date:
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() >= 5 else 0)
