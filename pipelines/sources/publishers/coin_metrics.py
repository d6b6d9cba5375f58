"""Figures of holders from the community interface of Coin Metrics: supply, value, flows to and from exchanges, by day.

Belongs here: the interface's address, its paging and shape. Does not: asking (``published.py``), laws over the figures and what
follows from them (``quality``, ``dbt``).

Their terms: CC BY-NC 4.0, with attribution and not for commercial use; no key. A metric that the community tier does not have (or
no longer has) is left out of the answer on request and is missing here. Limit: 10 requests in 6 seconds per address.

References
----------
https://docs.coinmetrics.io/api/v4/#tag/Timeseries/operation/getTimeseriesAssetMetrics
https://docs.coinmetrics.io/access-our-data/api
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from assets.ports import Capture, SourceOutage
from pipelines.sources.publishers.published import Publisher, read_json
from pipelines.sources.records import WrongShape
from pipelines.sources.transport import Answer
from pipelines.sources.wire_values import figure, of

METRICS_URL = "https://community-api.coinmetrics.io/v4/timeseries/asset-metrics"
ASSETS = {"btc": "BTC", "eth": "ETH"}
METRICS = {
    "supply_base": "SplyCur",
    "supply_active_1y_base": "SplyAct1yr",
    "price_quote": "PriceUSD",
    "market_cap_usd": "CapMrktCurUSD",
    "mvrv_x": "CapMVRVCur",
    "exchange_inflow_usd": "FlowInExUSD",
    "exchange_outflow_usd": "FlowOutExUSD",
}
PAGE_ROWS = 10_000
# Figures are revised for some weeks, and the marts look a month back. Earlier days are asked for by a run over them.
LOOKBACK = timedelta(days=400)
# Two assets since 2009 are two pages; more means that the pages do not come to an end.
MOST_PAGES = 50


class CoinMetrics(Publisher):
    """Client of the community interface."""

    venue = "coin_metrics"
    cost_s = 0.6

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return the figures of every day since 400 days before `first`."""
        query = {
            "assets": ",".join(ASSETS),
            "metrics": ",".join(METRICS.values()),
            "frequency": "1d",
            "start_time": (first - LOOKBACK).isoformat(),
            "page_size": PAGE_ROWS,
            "paging_from": "start",
            "ignore_forbidden_errors": "true",
            "ignore_unsupported_errors": "true",
        }
        answers = self._pages(query)
        records = [(record, answer.payload_sha256) for answer in answers for record in of(answer.value, "data")]
        _demand_whole([record for record, _ in records], METRICS_URL)
        return self._capture(
            dataset, [{**self._row(record), "payload_sha256": sha} for record, sha in records], answers
        )

    def _pages(self, query: Mapping[str, Any]) -> list[Answer]:
        """Ask for page after page; the next one is named by a token, and never taken from an address in an answer."""
        answers: list[Answer] = []
        tokens: list[str | None] = [None]
        while len(answers) < MOST_PAGES:
            more = {} if tokens[-1] is None else {"next_page_token": tokens[-1]}
            answers.append(self._ask(METRICS_URL, {**query, **more}, _page, refusal=_refusal))
            token = of(answers[-1].value, "next_page_token")
            if token is None:
                return answers
            if token in tokens:
                break
            tokens.append(token)
        raise SourceOutage("venue_error", f"coin_metrics {METRICS_URL}: its pages do not come to an end", "wrong_shape")

    def _row(self, record: Any) -> dict[str, Any]:
        """Return a record as a row; what cannot be read is missing, and refused with a reason where it must be there."""
        return {
            "venue": self.venue,
            "asset": ASSETS[record["asset"]],
            "holder_date_utc": _midnight(of(record, "time")),
            **{column: _told(of(record, metric)) for column, metric in METRICS.items()},
        }


def _told(value: Any) -> float | None:
    """Return a figure; None where the answer has none, and no number (refused later) where it has something else."""
    found = figure(value)
    return found if found is not None or value is None else float("nan")


def _page(body: bytes) -> Any:
    answer = read_json(body)
    records = of(answer, "data")
    if not isinstance(records, list):
        raise WrongShape("holds no list `data` of days")
    foreign = [str(of(r, "asset")) for r in records if str(of(r, "asset")) not in ASSETS]
    if foreign:
        raise WrongShape(f"tells of {foreign[0][:40]!r}, which was not asked for")
    token = of(answer, "next_page_token")
    if (token is None) != (of(answer, "next_page_url") is None) or not isinstance(token, str | None):
        raise WrongShape("names a next page without its token")
    if token is not None and not records:
        raise WrongShape("holds no day and names a next page")
    return answer


def _demand_whole(records: list[Any], url: str) -> None:
    """Refuse an answer that lacks an asset, or every figure."""
    missing = [name for name in ASSETS if not any(r["asset"] == name for r in records)]
    if missing:
        raise SourceOutage("venue_error", f"coin_metrics {url}: tells nothing of {', '.join(missing)}", "wrong_shape")
    if not any(metric in r for r in records for metric in METRICS.values()):
        names = ", ".join(METRICS.values())
        raise SourceOutage("venue_error", f"coin_metrics {url}: tells none of {names}", "wrong_shape")


def _midnight(text: Any) -> date | None:
    """Return the day of a stamp such as ``2026-01-31T00:00:00.000000000Z``, None for any other time."""
    if not isinstance(text, str):
        return None
    day, _, clock = text.partition("T")
    try:
        return date.fromisoformat(day) if clock.rstrip("Z").strip("0:.") == "" and clock else None
    except ValueError:
        return None


def _refusal(body: bytes) -> str:
    try:
        return str(of(of(read_json(body), "error"), "message") or "")
    except ValueError:
        return ""
