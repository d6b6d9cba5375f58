"""Rows of a raw dataset while they are gathered: typed frames of some thousand rows and never one long list of dicts.

Belongs here: how rows are held until a capture is made of them. Does not: what stands in a row (``venue.py`` and the venues),
validation (``quality``). A row as a dict takes some twenty times the memory of a row in a frame; a day of minutes of 200
contracts is 288,000 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from quality.schemas.raw import RAW_TABLES

# A frame costs some kilobytes and some tenths of a millisecond however short it is; above some ten thousand rows the dicts
# that wait for it are what memory goes to.
ROWS_AT_ONCE = 4_096


class Gathered:
    """Rows of one dataset.

    Parameters
    ----------
    dataset : str
        Its raw table says which columns a row has, and their types.
    """

    def __init__(self, dataset: str) -> None:
        self._schema = RAW_TABLES[dataset].raw_schema
        self._frames = [pl.DataFrame(schema=self._schema)]
        self._waiting: list[Mapping[str, Any]] = []

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows in; a column that a row does not have is missing."""
        for row in rows:
            self._waiting.append(row)
            if len(self._waiting) >= ROWS_AT_ONCE:
                self._settle()

    def frame(self) -> pl.DataFrame:
        """Return all rows in the order in which they came, numbered from 1 (``row_count``)."""
        self._settle()
        return pl.concat(self._frames).with_columns(row_count=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))

    def _settle(self) -> None:
        if self._waiting:
            self._frames.append(pl.DataFrame(self._waiting, schema=self._schema, strict=True))
            self._waiting = []
