"""The table of ETF flows as people read it: a row per day, a column per fund, a total, in millions of US dollars.

Belongs here: what the table's rows and cells mean, and refusing a table that is laid out differently. Does not: the page around it
(``farside.py``), files (``funds.py``), whether the funds add up to the total (``quality/schemas/flows.py``).

The table as published: one or two head rows with the funds' tickers, the first cell empty or ``Date``, ``Total`` over the last
column; rows of fees and seed capital; a row per day ("11 Jan 2024"); and a foot of ``Total``, ``Average``, ``Maximum`` and
``Minimum``. Outflows stand in parentheses, ``-`` is a fund without a figure: not listed yet, or not reported yet.

References
----------
https://farside.co.uk/btc/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

TOTAL = "Total"
HEAD_LABELS = ("fee", "staking", "seed")
FOOT_LABELS = ("total", "average", "maximum", "minimum")
USD_PER_MILLION = 1_000_000

_MONTHS = {
    m: i for i, m in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1)
}
_DAY = re.compile(r"([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4})", re.ASCII)
_TICKER = re.compile(r"[A-Z][A-Z0-9]{1,9}", re.ASCII)
_FIGURE = re.compile(
    r"(?P<minus>[-\u2212])?\$?(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)\*?", re.ASCII
)
_NONE = ("", "-", "\u2013", "\u2014")


class WrongTable(Exception):
    """A table that is laid out differently; the message completes the sentence "the table ..."."""


@dataclass(frozen=True)
class FlowDay:
    """Flows of one day in US dollars; a fund without a figure is left out, and so may be the total."""

    day: date
    funds: Mapping[str, Decimal]
    total: Decimal | None


def day_of(text: str) -> date | None:
    """Return the day that a cell such as ``11 Jan 2024`` names, None where it names none."""
    found = _DAY.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        return None
    try:
        return date(int(found[3]), _MONTHS[found[2]], int(found[1]))
    except ValueError:
        return None


def millions(text: str) -> Decimal | None:
    """Return the figure of a cell, None for a cell that holds none.

    Raises
    ------
    ValueError
        Where the cell holds something else.
    """
    if text in _NONE:
        return None
    is_outflow = text.startswith("(") and text.endswith(")")
    found = _FIGURE.fullmatch(text[1:-1] if is_outflow else text)
    if found is None or (is_outflow and found["minus"]):
        raise ValueError(f"{text!r} is no figure")
    number = Decimal(found["number"].replace(",", ""))
    return -number if is_outflow or found["minus"] else number


def flow_days(rows: Sequence[Sequence[str]]) -> list[FlowDay]:
    """Return the days of a table.

    Parameters
    ----------
    rows : sequence of sequences of str
        Cells in the table's order, without white space around them.

    Raises
    ------
    WrongTable
        Where anything is not where it should be; nothing is returned in part.
    """
    told = [row for row in rows if any(row)]
    places = [i for i, row in enumerate(told) if day_of(row[0]) is not None]
    if not places:
        raise WrongTable("has no row that begins with a day such as 11 Jan 2024")
    head, days, foot = told[: places[0]], told[places[0] : places[-1] + 1], told[places[-1] + 1 :]
    funds = _funds(head)
    _demand_labels([row[0] for row in foot], FOOT_LABELS, "foot")
    if not foot or foot[0][0] != TOTAL:
        raise WrongTable(f"does not end in rows from {TOTAL} to Minimum; it ends in {_shown([r[0] for r in foot])}")
    found = [_flow_day(row, funds) for row in days]
    _demand_order([day_of(row[0]) or date.min for row in days])
    return [day for day in found if day is not None]


def _demand_order(days: Sequence[date]) -> None:
    """Refuse days that go back and forth: one of them is another day than it says."""
    steps = list(pairwise(days))
    turned = [(a, b) for a, b in steps if (a < b) != (days[0] < days[1]) or a == b]
    if turned:
        raise WrongTable(f"has days out of order: {turned[0][1]} after {turned[0][0]}")


def _funds(head: Sequence[Sequence[str]]) -> list[str]:
    names = [row for row in head if row[0].casefold() in ("", "date")]
    _demand_labels([row[0] for row in head if row not in names], HEAD_LABELS, "head")
    if not names or all(row[-1] != TOTAL for row in names):
        raise WrongTable(f"has no {TOTAL} over its last column; its head is {_shown(names[-1] if names else [])}")
    # Above the tickers may stand the funds' issuers.
    funds = list(names[-1][1:-1])
    strange = [fund for fund in funds if not _TICKER.fullmatch(fund) or fund == TOTAL.upper() or funds.count(fund) > 1]
    if not funds or strange:
        raise WrongTable(f"has no row of the funds' tickers, each once, in its head; found {_shown(strange or funds)}")
    return funds


def _demand_labels(found: Sequence[str], known: Sequence[str], place: str) -> None:
    strange = [label for label in found if label.casefold() not in known]
    if strange:
        raise WrongTable(f"has a row {_shown(strange)} in its {place}; expected {', '.join(known)}")


def _flow_day(row: Sequence[str], funds: Sequence[str]) -> FlowDay | None:
    """Return a row's flows; None where it tells none: a day off, or one that nobody has reported yet."""
    day = day_of(row[0])
    if day is None:
        raise WrongTable(f"has a row {_shown(row[:1])} between its days")
    if len(row) != len(funds) + 2:
        raise WrongTable(
            f"has {len(row)} cells on {row[0]}; expected {len(funds) + 2}: the day, {', '.join(funds)}, {TOTAL}"
        )
    told: dict[str, Decimal] = {}
    for name, cell in zip([*funds, TOTAL], row[1:], strict=True):
        try:
            figure = millions(cell)
        except ValueError:
            raise WrongTable(
                f"reads {_shown([cell])} for {name} on {row[0]}; expected figures such as 1,234.5 or (95.1), or -"
            ) from None
        if figure is not None:
            told[name] = figure * USD_PER_MILLION
    total = told.pop(TOTAL, None)
    if not told and total:
        raise WrongTable(f"tells a total and no fund on {row[0]}")
    return FlowDay(day, told, total) if told else None


def _shown(cells: Sequence[str]) -> str:
    """Return cells for a message: short, and without what a terminal would obey."""
    words = ["".join(c if c.isprintable() else " " for c in cell)[:30] for cell in cells[:16]]
    return ", ".join(repr(word) for word in words) or "nothing"
