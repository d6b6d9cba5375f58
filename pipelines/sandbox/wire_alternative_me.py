"""The world's fear & greed index as alternative.me shows it: pure functions from a world and an instant to JSON values.

Belongs here: shapes and limits of the page. Does not: the figures (``feeds.py``), HTTP (``server.py``).
Figures and clocks are strings, the newest first; `limit=0` gives all.

References
----------
https://alternative.me/crypto/fear-and-greed-index/#api
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pipelines.sandbox.feeds import fear_greed
from pipelines.sandbox.wire import PLAIN_REFUSALS, Route, WireError
from pipelines.sandbox.world import World

INDEX = "/fng/"

# The page names no edges; these are the words that stand beside its figures.
_WORDS = ((25, "Extreme Fear"), (46, "Fear"), (55, "Neutral"), (76, "Greed"), (101, "Extreme Greed"))


class AlternativeMeWire:
    """A world's index as alternative.me shows it."""

    venue = "alternative_me"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = PLAIN_REFUSALS

    def __init__(self, world: World) -> None:
        self._figures = fear_greed(world)

    def routes(self) -> list[Route]:
        """Return every route of the publisher that a client of ours asks."""
        return [Route(INDEX, self.index)]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of figures."""
        data: list[Any] = body["data"]
        return data

    def index(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /fng/`: the newest `limit` days (1 where not given, 0 for all), one figure from each midnight on.

        References
        ----------
        https://alternative.me/crypto/fear-and-greed-index/#api
        """
        limit = str(query.get("limit", "1"))
        if not limit.isdigit():
            raise WireError({"name": "Fear and Greed Index", "data": [], "metadata": {"error": "limit is not numeric"}})
        days = sorted((day for day in self._figures if day <= now.date()), reverse=True)
        shown = [self._record(day) for day in days[: int(limit) or None]]
        if shown:
            # Only the newest says how long it stands.
            midnight = datetime.combine(now.date() + timedelta(days=1), time())
            shown[0]["time_until_update"] = str(int((midnight - now).total_seconds()))
        return {"name": "Fear and Greed Index", "data": shown, "metadata": {"error": None}}

    def _record(self, day: date) -> dict[str, Any]:
        figure = self._figures[day]
        begins = datetime.combine(day, time(), UTC)
        word = next(word for edge, word in _WORDS if figure < edge)
        return {"value": str(figure), "value_classification": word, "timestamp": str(int(begins.timestamp()))}
