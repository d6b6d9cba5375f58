"""The world's yield curve as the US Treasury shows it: one table per year, the newest day first.

Belongs here: the table's shape. Does not: the yields (``macro.py``), HTTP (``server.py``).

References
----------
https://home.treasury.gov/resource-center/data-chart-center/interest-rates/TextView?type=daily_treasury_yield_curve
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.sandbox.macro import MATURITIES, MacroFigures
from pipelines.sandbox.wire import PLAIN_REFUSALS, Route, WireError
from pipelines.sandbox.world import World

CURVE = "/resource-center/data-chart-center/interest-rates/daily-treasury-rates.csv/{year}/all"


class TreasuryWire:
    """A world's curve as the US Treasury shows it."""

    venue = "us_treasury"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = PLAIN_REFUSALS

    def __init__(self, world: World) -> None:
        self._figures: MacroFigures = world.macro

    def routes(self) -> list[Route]:
        """Return every route of the publisher that a client of ours asks."""
        return [Route(CURVE, self.curve, media_type="text/csv")]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path as it was asked, its year filled in."""
        return path.format(**query)

    def rows(self, body: Any) -> list[Any] | None:
        """Return nothing: a table is no list of records."""
        return None

    def curve(self, query: Mapping[str, Any], now: datetime) -> str:
        """`GET .../daily-treasury-rates.csv/{year}/all`: figures in percent; days are written month first.

        References
        ----------
        https://home.treasury.gov/resource-center/data-chart-center/interest-rates/TextView?type=daily_treasury_yield_curve
        """
        if query.get("type") != "daily_treasury_yield_curve" or not str(query["year"]).isdigit():
            raise WireError("<!DOCTYPE html><html><body>Page not found</body></html>", 404)
        shown = self._figures.curve(now.date(), int(str(query["year"])))
        header = ",".join(["Date", *(f'"{name}"' for name in MATURITIES)])
        lines = [f"{day:%m/%d/%Y},{','.join(texts.values())}" for day, texts in reversed(shown.items())]
        return "\n".join([header, *lines])
