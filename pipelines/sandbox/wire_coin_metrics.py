"""The world's holders as Coin Metrics' community interface shows them: pure functions from a world and a query to JSON values.

Belongs here: shapes, paging, limits and errors. Does not: the figures (``holders.py``), HTTP (``server.py``).
Figures are strings; a day's record appears when the day is over. A metric that exists and is not of the community tier is
forbidden, or left out where the query asks for that.

References
----------
https://docs.coinmetrics.io/api/v4/#tag/Timeseries/operation/getTimeseriesAssetMetrics
https://docs.coinmetrics.io/access-our-data/api (errors, paging)
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from pipelines.sandbox.holders import HolderDay, holder_days
from pipelines.sandbox.wire import Route, WireError
from pipelines.sandbox.world import World

PATH = "/v4/timeseries/asset-metrics"
MOST_ROWS = 10_000

METRICS: dict[str, Callable[[HolderDay], float]] = {
    "SplyCur": lambda d: d.supply_base,
    "SplyAct1yr": lambda d: d.supply_active_1y_base,
    "PriceUSD": lambda d: d.price_quote,
    "CapMrktCurUSD": lambda d: d.market_cap_usd,
    "CapMVRVCur": lambda d: d.mvrv_x,
    "FlowInExUSD": lambda d: d.exchange_inflow_usd,
    "FlowOutExUSD": lambda d: d.exchange_outflow_usd,
}
FORBIDDEN = ("CapRealUSD",)


def _error(kind: str, message: str, status: int) -> WireError:
    return WireError({"error": {"type": kind, "message": message}}, status)


class CoinMetricsWire:
    """A world's holders as Coin Metrics shows them."""

    venue = "coin_metrics"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = {
        "rate_limited": (429, {"error": {"type": "rate_limit_exceeded", "message": "Rate limit exceeded."}}),
        "banned": (403, {"error": {"type": "forbidden", "message": "Requested resource is not available."}}),
        "geoblocked": (451, "Unavailable For Legal Reasons"),
        "error": (500, {"error": {"type": "internal_server_error", "message": "Internal server error."}}),
    }

    def __init__(self, world: World) -> None:
        self._days = {name: holder_days(world, name.upper()) for name in ("btc", "eth")}

    def routes(self) -> list[Route]:
        """Return every route that a client of ours asks."""
        return [Route(PATH, self.asset_metrics)]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of days."""
        data: list[Any] = body["data"]
        return data

    def asset_metrics(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v4/timeseries/asset-metrics`: days of the assets asked for, by asset and time, a page at a time.

        References
        ----------
        https://docs.coinmetrics.io/api/v4/#tag/Timeseries/operation/getTimeseriesAssetMetrics
        """
        metrics = self._metrics(query)
        unknown = [name for name in self._list(query, "assets") if name not in self._days]
        if unknown:
            raise _error("bad_parameter", f"Bad parameter 'assets'. Value '{unknown[0][:20]}' is not supported.", 400)
        if query.get("frequency", "1d") != "1d":
            raise _error("bad_parameter", "Bad parameter 'frequency'.", 400)
        start, end = self._day(query, "start_time", date.min), self._day(query, "end_time", date.max)
        records = [
            {"asset": name, "time": f"{d.day}T00:00:00.000000000Z", **{m: repr(METRICS[m](d)) for m in metrics}}
            for name in sorted(self._list(query, "assets"))
            for d in self._days[name]
            if start <= d.day <= end and d.day < now.date()
        ]
        return self._page(records, query)

    def _page(self, records: list[dict[str, str]], query: Mapping[str, Any]) -> dict[str, Any]:
        told = str(query.get("page_size", "100"))
        size = int(told) if told.isdigit() else 0
        if not 1 <= size <= MOST_ROWS:
            raise _error("bad_parameter", "Bad parameter 'page_size'.", 400)
        token = str(query.get("next_page_token", ""))
        try:
            done = int(base64.urlsafe_b64decode(token)) if token else 0
        except ValueError:
            raise _error("bad_parameter", "Bad parameter 'next_page_token'.", 400) from None
        # From the end is the interface's own order of pages; within a page time goes forward.
        is_from_start = query.get("paging_from", "end") == "start"
        page = (
            records[done : done + size]
            if is_from_start
            else records[max(0, len(records) - done - size) : len(records) - done]
        )
        if done + size >= len(records):
            return {"data": page}
        more = base64.urlsafe_b64encode(str(done + size).encode()).decode()
        asked = {k: v for k, v in query.items() if k != "next_page_token"}
        url = f"https://community-api.coinmetrics.io{PATH}?{urlencode({**asked, 'next_page_token': more})}"
        return {"data": page, "next_page_token": more, "next_page_url": url}

    @staticmethod
    def _list(query: Mapping[str, Any], key: str) -> list[str]:
        return [part for part in str(query.get(key, "")).split(",") if part]

    def _metrics(self, query: Mapping[str, Any]) -> list[str]:
        asked = self._list(query, "metrics")
        unknown = [m for m in asked if m not in METRICS and m not in FORBIDDEN]
        if unknown and query.get("ignore_unsupported_errors") != "true":
            raise _error("bad_parameter", f"Bad parameter 'metrics'. Metric '{unknown[0][:20]}' is not supported.", 400)
        if set(asked) & set(FORBIDDEN) and query.get("ignore_forbidden_errors") != "true":
            raise _error("forbidden", "Requested resource is not available with supplied credentials.", 403)
        return [m for m in asked if m in METRICS]

    @staticmethod
    def _day(query: Mapping[str, Any], key: str, default: date) -> date:
        try:
            return date.fromisoformat(str(query[key])[:10]) if key in query else default
        except ValueError:
            raise _error("bad_parameter", f"Bad parameter '{key}'. Incorrect time format.", 400) from None
