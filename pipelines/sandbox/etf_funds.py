"""Made-up spot ETFs: what went into each fund on each US trading day, and the exchange's holidays by its rules.

Belongs here: the flows and the calendar as the world's truth. Does not: the page that shows them (``wire_farside.py``), the file
of totals (``feeds.py``). Flows are whole tenths of a million dollars, as publishers print them, so that funds add up exactly.

References
----------
https://www.nyse.com/trade/hours-calendars (a holiday on a Sunday is kept on Monday, one on a Saturday on Friday; New Year's Day
on a Saturday is not kept)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pipelines.sandbox.profiles import stream

if TYPE_CHECKING:
    from pipelines.sandbox.world import World

# Days before the world's first from which on flows are told.
WARM_DAYS = 60
# The last fund of each is younger: it has no figure on its first days.
FUNDS: dict[str, tuple[str, ...]] = {
    "BTC": ("IBIT", "FBTC", "GBTC", "MSBT"),
    "ETH": ("ETHA", "FETH", "ETHE"),
    "SOL": ("BSOL", "GSOL"),
}
YOUNG_DAYS = 30
# An ordinary day's flow beside bitcoin's.
_SIZE = {"BTC": 1.0, "ETH": 0.3, "SOL": 0.08}
# Mourning days are proclaimed and follow no rule.
_PROCLAIMED = frozenset({date(2025, 1, 9)})


@dataclass(frozen=True)
class FundDay:
    """Flows of one trading day, in tenths of a million dollars; a fund that is not listed yet has none."""

    day: date
    tenths: Mapping[str, int]

    @property
    def total(self) -> int:
        """Sum over the funds."""
        return sum(self.tenths.values())


def fund_days(world: World, asset: str) -> list[FundDay]:
    """Return the flows of every trading day from 60 days before the world's first to its last, in order.

    An asset that the world does not trade leans on its first asset's returns.
    """
    days, moves = world.daily_returns(asset if asset in world.assets else world.assets[0])
    first = world.first_day - timedelta(days=WARM_DAYS)
    kept = [(day, float(move)) for day, move in zip(days, moves, strict=True) if day >= first]
    noise = stream(world.seed, "flows", f"{asset.lower()}_etf").standard_normal(len(kept))
    rng = stream(world.seed, "flows", asset, "funds")
    shares = rng.dirichlet(np.full(len(FUNDS[asset]), 2.0), len(kept))
    between = rng.normal(0.0, 200.0 * _SIZE[asset], (len(kept), len(FUNDS[asset])))
    told = []
    for i, (day, move) in enumerate(kept):
        if not is_trading_day(day):
            continue
        total = int(Decimal(f"{_SIZE[asset] * (60.0 + 6_000.0 * move + 160.0 * float(noise[i])):.1f}") * 10)
        funds = FUNDS[asset] if i >= YOUNG_DAYS else FUNDS[asset][:-1]
        parts = [round(total * float(shares[i, k]) + float(between[i, k])) for k in range(len(funds) - 1)]
        told.append(FundDay(day, dict(zip(funds, [*parts, total - sum(parts)], strict=True))))
    return told


def is_trading_day(day: date) -> bool:
    """Return whether the New York Stock Exchange trades on a day."""
    return day.weekday() < 5 and day not in closures(day.year)


@cache
def closures(year: int) -> frozenset[date]:
    """Return the weekdays of a year on which the New York Stock Exchange stays closed all day."""
    floating = [
        _nth(year, 1, 0, 3),
        _nth(year, 2, 0, 3),
        _easter(year) - timedelta(days=2),
        max(date(year, 5, d) for d in range(25, 32) if date(year, 5, d).weekday() == 0),
        _nth(year, 9, 0, 1),
        _nth(year, 11, 3, 4),
    ]
    fixed = [date(year, 6, 19), date(year, 7, 4), date(year, 12, 25)]
    new_year = date(year, 1, 1)
    kept = [_kept_on(day) for day in (fixed if new_year.weekday() == 5 else [new_year, *fixed])]
    return frozenset({*floating, *kept, *(d for d in _PROCLAIMED if d.year == year)})


def _kept_on(day: date) -> date:
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (the anonymous algorithm of 1876)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)
