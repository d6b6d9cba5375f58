"""From a table of ETF flows saved as CSV, a column per fund, to one row per fund and day, in the names that a mapping reads.

Belongs here: how such a table lies in a file. Does not: what its cells mean (``etf_table.py``), the CSV itself
(``reading.py``), whether the funds add up to the total (``quality/schemas/flows.py``).
"""

from __future__ import annotations

import polars as pl

from pipelines.sources.files.books import ROW, Folded, Layout
from pipelines.sources.publishers.etf_table import FOOT_LABELS, HEAD_LABELS, TOTAL, day_of, millions

DAY = "Date"


def _unfold(rows: pl.DataFrame) -> Folded:
    """Return one row per day and fund: ``day``, ``fund``, ``flow`` (text), and ``ROW``, the figure's own number.

    A cell without a figure, a row of fees or sums, and a day on which no fund has a figure are left out and counted in the note. A
    cell or a day that cannot be read stays as it is, so that its row is refused.
    """
    funds = [name for name in rows.columns if name not in (DAY, ROW)]
    told: list[tuple[str, str, str]] = []
    days = idle = 0
    for row in rows.iter_rows(named=True):
        label = str(row[DAY] or "").strip()
        if label.casefold() in (*HEAD_LABELS, *FOOT_LABELS):
            continue
        days += 1
        named = day_of(label)
        read = {fund: _plain(str(row[fund] or "").strip()) for fund in funds}
        figures = {fund: text for fund, text in read.items() if text is not None}
        if all(fund == TOTAL and text.strip("0.-") == "" for fund, text in figures.items()):
            idle += 1
            continue
        told += [
            (label if named is None else named.isoformat(), fund.upper() if fund == TOTAL else fund, text)
            for fund, text in figures.items()
        ]
    cells = pl.DataFrame(told, schema=dict.fromkeys(("day", "fund", "flow"), pl.String()), orient="row")
    others = rows.height - days
    note = f"{days:,} days, {idle:,} of them without a fund's figure, {others:,} rows of fees or sums"
    return Folded(cells.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW)), note)


def _plain(text: str) -> str | None:
    """Return a figure as a plain number, None for a cell that holds none; what is no figure stays."""
    try:
        number = millions(text)
    except ValueError:
        return text
    return None if number is None else str(number)


ETF_TABLE = Layout((DAY, TOTAL), _unfold)
