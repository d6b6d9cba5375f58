"""The world's ETF flows as Farside's pages show them: pure functions from a world and an instant to HTML.

Belongs here: the pages' layout. Does not: the flows (``etf_funds.py``), HTTP (``server.py``).
The layouts differ as the publisher's do: one head row that begins with ``Date``, or issuers above the tickers; a row of fees, of
staking, of seed capital. A day's row appears when the day is over. Up to June 2025 a holiday is a row of dashes with a total of
0.0; later it has no row. The page of SOL shows the latest rows only.

References
----------
https://farside.co.uk/bitcoin-etf-flow-all-data/
https://farside.co.uk/ethereum-etf-flow-all-data/
https://farside.co.uk/sol/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from pipelines.sandbox.etf_funds import FUNDS, FundDay, closures, fund_days
from pipelines.sandbox.wire import PLAIN_REFUSALS, Route
from pipelines.sandbox.world import World

PATHS = {"BTC": "/bitcoin-etf-flow-all-data/", "ETH": "/ethereum-etf-flow-all-data/", "SOL": "/sol/"}
SOL_ROWS = 15
HOLIDAY_ROWS_UNTIL = date(2025, 6, 30)

_NAMES = {"BTC": "Bitcoin", "ETH": "Ethereum", "SOL": "Solana"}
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class FarsideWire:
    """A world's ETF flows as Farside shows them."""

    venue = "farside"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = PLAIN_REFUSALS

    def __init__(self, world: World) -> None:
        self._days = {asset: fund_days(world, asset) for asset in FUNDS}

    def routes(self) -> list[Route]:
        """Return every page that a client of ours asks."""
        return [Route(path, self._page_of(asset), media_type="text/html") for asset, path in PATHS.items()]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return None: a page is no list."""
        return None

    def _page_of(self, asset: str) -> Callable[[Mapping[str, Any], datetime], str]:
        return lambda _query, now: self.page(asset, now)

    def page(self, asset: str, now: datetime) -> str:
        """Return the page of an asset as it is at an instant."""
        told = [day for day in self._days[asset] if day.day < now.date()]
        shown = told[-SOL_ROWS:] if asset == "SOL" else told
        title = f"{_NAMES[asset]} ETF Flow (US$m) – Farside Investors"
        table = [
            "<thead>",
            *_head(asset),
            "</thead><tbody>",
            *_body(asset, shown),
            *_foot(asset, shown),
            "</tbody>",
        ]
        return (
            f'<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8"><title>{title}</title></head><body>'
            f"<h1>{_NAMES[asset]} ETF Flow (US$m)</h1><table><tr><td>Source</td><td>Farside Investors</td></tr></table>"
            f'<table class="etf">{"".join(table)}</table></body></html>\n'
        )


def _row(cells: Sequence[str], tag: str = "td") -> str:
    def shown(cell: str) -> str:
        style = "redFont" if cell.startswith("(") else "tabletext"
        return f'<{tag}><div><span class="{style}">{cell}</span></div></{tag}>'

    return f"<tr>{''.join(shown(cell) for cell in cells)}</tr>\n"


def _head(asset: str) -> list[str]:
    funds = FUNDS[asset]
    blanks = [""] * len(funds)
    fees = _row(["Fee", *(f"0.{20 + 5 * k}%" for k in range(len(funds))), ""])
    if asset == "BTC":
        return [_row(["Date", *funds, "Total"], "th"), fees]
    rows = [_row(["", *blanks, "Total"], "th"), _row(["", *funds, ""], "th"), fees]
    staking = _row(["Staking", *("6%" for _ in funds), ""])
    return [*rows, staking, *([_row(["Seed", *("10.5*" for _ in funds), ""])] if asset == "ETH" else [])]


def _body(asset: str, days: Sequence[FundDay]) -> list[str]:
    rows = {day.day: [*(_cell(day.tenths.get(fund)) for fund in FUNDS[asset]), _cell(day.total)] for day in days}
    if days:
        span = [days[0].day + timedelta(days=i) for i in range((days[-1].day - days[0].day).days)]
        dashes = {
            day: [*["-"] * len(FUNDS[asset]), "0.0"]
            for day in span
            if day <= HOLIDAY_ROWS_UNTIL and day in closures(day.year)
        }
        rows |= dashes
    return [_row([f"{d.day:02d} {_MONTHS[d.month - 1]} {d.year}", *cells]) for d, cells in sorted(rows.items())]


def _foot(asset: str, days: Sequence[FundDay]) -> list[str]:
    columns = [[day.tenths[fund] for day in days if fund in day.tenths] for fund in FUNDS[asset]]
    columns.append([day.total for day in days])
    folds: dict[str, Callable[[list[int]], float]] = {
        "Total": sum,
        "Average": lambda c: sum(c) / len(c),
        "Maximum": max,
        "Minimum": min,
    }
    return [_row([name, *(_cell(fold(c)) if c else "-" for c in columns)]) for name, fold in folds.items()]


def _cell(tenths: float | None) -> str:
    if tenths is None:
        return "-"
    shown = f"{abs(tenths) / 10:,.1f}"
    return f"({shown})" if tenths < 0 and shown != "0.0" else shown
