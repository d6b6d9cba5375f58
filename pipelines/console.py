"""What commands print: steps, tables, one line per error. Knows the terminal, no command and no data."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

# Bound to the stream of the start: while dbt runs, `sys.stdout` is its log file.
# A file or a pipe has no edge to fold at; beyond 240 even there a record per field reads better.
OUT = Console(file=sys.stdout, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)

# C0 and C1 controls, DEL and the bidirectional overrides could rewrite a terminal's line.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Steps:
    """Shows the steps of a long command: a spinner on a terminal, one plain line per finished step elsewhere."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._status = OUT.status("starting") if OUT.is_terminal else None

    def __enter__(self) -> Steps:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, step: str, state: str) -> None:
        """Take note that `step` is started, done, failed or retried."""
        if state == "started":
            self._started[step] = time.monotonic()
            if self._status:
                self._status.update(f"{step} …")
            return
        seconds = time.monotonic() - self._started.get(step, time.monotonic())
        mark = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "retried": "[yellow]↻[/]"}[state]
        OUT.print(f"  {mark} {step} [dim]{seconds:.1f} s[/]")

    def note(self, text: str, done: int, total: int) -> None:
        """Show how far something is: `done` of `total`."""
        if self._status:
            self._status.update(f"{plain(text)} {done:,}/{total:,}")


def fail(message: str) -> None:
    """Print one clear error line."""
    ERR.print(f"[red]error:[/] {plain(message)}", markup=True)


def plain(text: str) -> str:
    """Return text that neither a terminal nor rich's markup can take for a command."""
    return _UNSAFE.sub(lambda m: f"\\x{ord(m.group()):02x}", text).replace("[", "\\[")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> None:
    """Print a query's rows as a table, CSV or JSON (one array of objects; decimals as numbers, missing as null)."""
    if form == "json":
        records = [dict(zip(columns, map(_json_value, row), strict=True)) for row in rows]
        sys.stdout.write(json.dumps(records, ensure_ascii=False, indent=1) + "\n")
    elif form == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_csv_value(v) for v in row] for row in rows)
        sys.stdout.write(buffer.getvalue())
    else:
        cells = [[plain(_text(v)) for v in row] for row in rows]
        widths = [max(map(len, (name, *(row[i] for row in cells)))) for i, name in enumerate(columns)]
        width = sum(widths) + 2 * len(widths)
        if width > OUT.width:
            _print_records(columns, cells)
        else:
            _print_table(columns, rows, cells)
        OUT.print(f"[dim]{len(rows):,} row{'' if len(rows) == 1 else 's'}[/]")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], cells: Sequence[Sequence[str]]) -> None:
    table = RichTable(*(plain(c) for c in columns), box=None, header_style="bold", pad_edge=False)
    for i, column in enumerate(table.columns):
        if rows and isinstance(rows[0][i], int | float | Decimal):
            column.justify = "right"
    for row in cells:
        table.add_row(*row)
    OUT.print(table)


def _print_records(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print one line per field, for rows that are wider than the terminal."""
    width = max(map(len, columns))
    for i, row in enumerate(cells, 1):
        OUT.print(f"[dim]row {i:,}[/]")
        for name, cell in zip(columns, row, strict=True):
            OUT.print(f"  [bold]{plain(name):<{width}}[/]  {cell}")


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def _csv_value(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else _json_value(value) if isinstance(value, datetime | date) else value


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        text = f"{value:,f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
