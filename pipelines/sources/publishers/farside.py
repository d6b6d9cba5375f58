"""Flows of US spot ETFs as Farside Investors publishes them: a page per asset with one table.

Belongs here: the pages' addresses and finding the table in one. Does not: what the table means (``etf_table.py``), asking
(``published.py``), laws over the flows (``quality``).

The publisher states no licence and guards its pages against programs: where it refuses (403), that is an outage ``banned`` and
nothing is done about it. A table that was saved by hand comes in by import (mapping ``etf_flows_by_fund``).

References
----------
https://farside.co.uk/bitcoin-etf-flow-all-data/
https://farside.co.uk/ethereum-etf-flow-all-data/
https://farside.co.uk/sol/
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from bs4 import BeautifulSoup, Tag
from bs4.exceptions import ParserRejectedMarkup

from assets.ports import Capture
from pipelines.sources.publishers.etf_table import FlowDay, WrongTable, day_of, flow_days
from pipelines.sources.publishers.published import Publisher
from pipelines.sources.records import WrongShape
from quality.schemas.flows import TOTAL

# The first two show every day since the funds began; SOL's shows the latest weeks, and what was seen earlier is kept.
PAGES = {
    "BTC": "https://farside.co.uk/bitcoin-etf-flow-all-data/",
    "ETH": "https://farside.co.uk/ethereum-etf-flow-all-data/",
    "SOL": "https://farside.co.uk/sol/",
}
# No cell of the table spans more; a page that says so would fill the memory.
_WIDEST_SPAN = 64
_FOREIGN_UNIT = re.compile(r"US\$\s?(?:k|b|bn|tn|thousand|billion|trillion)s?\b", re.IGNORECASE)
# Caches and guards write their remarks behind the page's end.
_TAIL = 4_096


class Farside(Publisher):
    """Client of Farside Investors."""

    venue = "farside"
    shows_all = True

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return the flows of every asset, fund and day that the pages show; one page that fails fails all."""
        answers = {asset: self._ask(url, {}, _table) for asset, url in PAGES.items()}
        rows = [
            {**row, "venue": self.venue, "asset": asset, "payload_sha256": answer.payload_sha256}
            for asset, answer in answers.items()
            for day in answer.value
            for row in _rows(day)
        ]
        return self._capture(dataset, rows, list(answers.values()))


def _rows(day: FlowDay) -> list[dict[str, Any]]:
    told = {**day.funds, **({} if day.total is None else {TOTAL: day.total})}
    return [{"fund": fund, "flow_date_utc": day.day, "net_flow_usd": float(usd)} for fund, usd in told.items()]


def _table(body: bytes) -> list[FlowDay]:
    """Return the flows in a page; `ValueError` where it does not come to its end."""
    text = body.decode("utf-8-sig")
    if "</html>" not in text[-_TAIL:].casefold():
        raise ValueError("a page that ends before its end")
    try:
        page = BeautifulSoup(text, "html.parser")
    except ParserRejectedMarkup as rejected:
        raise ValueError("no HTML") from rejected
    grids = [(table, _grid(table)) for table in page.find_all("table")]
    with_days = [(table, grid) for table, grid in grids if any(row and day_of(row[0]) for row in grid)]
    named = [(table, grid) for table, grid in with_days if "etf" in (table.get("class") or ())]
    found = named or with_days
    if len(found) != 1:
        title = page.title.get_text(" ", strip=True) if page.title else ""
        raise WrongShape(f"holds {len(found)} tables of days and not one; the page is called {title[:80]!r}")
    foreign = _FOREIGN_UNIT.search(page.get_text(" "))
    if foreign:
        raise WrongShape(f"speaks of {foreign[0]} and not of US$m")
    try:
        return flow_days(found[0][1])
    except WrongTable as wrong:
        raise WrongShape(f"has another table than before: it {wrong}") from None


def _grid(table: Tag) -> list[list[str]]:
    """Return a table's cells; one that spans columns stands first and leaves the others empty."""
    return [
        [
            cell
            for tag in row.find_all(["td", "th"], recursive=False)
            for cell in [" ".join(tag.get_text(" ").split()), *[""] * (_span(tag) - 1)]
        ]
        for row in table.find_all("tr")
    ]


def _span(tag: Tag) -> int:
    told = str(tag.get("colspan") or "1")
    return min(int(told), _WIDEST_SPAN) if told.isascii() and told.isdigit() and int(told) > 0 else 1
