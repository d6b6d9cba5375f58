"""From the rows of a depth archive to one row per band, in the names that a mapping reads.

Belongs here: how bands and books lie in files, and what a layout is. Does not: what a band is (``depth.py``), numbers and
units (``columns.py``), Aave's layout (``aave.py``), whether a book can be right (``quality/schemas/raw.py``).

References
----------
https://github.com/binance/binance-public-data (``bookDepth``: ``timestamp,percentage,depth,notional``; -1 is the depth from
the mid down to 1 % below it, 1 the depth up to 1 % above; from 2026-01-15 also 0.2 %)
https://docs.tardis.dev/downloadable-csv-files/data-types (``book_snapshot_25``, ``book_snapshot_5``)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipelines.sources.depth import BookFault, bands_of

ROW = "__row"
_LEVEL = re.compile(r"(asks|bids)\[([0-9]+)\]\.(price|amount)")
_US_PER_MINUTE = 60_000_000


@dataclass(frozen=True)
class Folded:
    """Rows: text or numbers under the names that a mapping reads, ``ROW``, and what was left out."""

    cells: pl.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Layout:
    """A layout: the columns that a file must have, and how its rows become those that a mapping reads."""

    columns: tuple[str, ...]
    fold: Callable[[pl.DataFrame], Folded]


def _sided_bands(rows: pl.DataFrame) -> Folded:
    """Fold one row per side of a band (a negative percentage is the bids') into one row per band.

    A band of which one side stands alone has blanks on the other. A side that stands twice gives a second band, so that
    the repeat is found; a percentage that is no number gives a band of its own, so that it is refused.
    """
    stripped = [pl.col(c).str.strip_chars() for c in ("timestamp", "percentage", "depth", "notional")]
    percent = pl.col("percentage").cast(pl.Float64, strict=False)
    side = pl.when(percent < 0).then(pl.lit("bid")).when(percent > 0).then(pl.lit("ask")).otherwise(pl.lit("none"))
    known = side != "none"
    sided = rows.with_columns(*stripped).with_columns(
        side.alias("side"),
        pl.when(known).then(percent.abs().cast(pl.String)).otherwise(pl.col("percentage")).alias("band_percent"),
    )
    key = ("timestamp", "band_percent")
    sided = sided.with_columns(pl.int_range(pl.len()).over(*key, "side").alias("repeat"))
    figures = [
        pl.col(figure).filter(pl.col("side") == side).first().alias(f"{side}_{figure}")
        for side in ("bid", "ask")
        for figure in ("depth", "notional")
    ]
    bands = sided.group_by(*key, "repeat", maintain_order=True).agg(pl.col(ROW).min(), *figures)
    return Folded(bands.drop("repeat").sort(ROW))


def _levels(rows: pl.DataFrame) -> Folded:
    """Sum the last book of each minute into bands; a book that cannot be summed gives bands without a mid."""
    tick = pl.col("timestamp").str.strip_chars().cast(pl.Int64, strict=False)
    minute = pl.coalesce(tick // _US_PER_MINUTE, -pl.col(ROW))
    kept = (
        rows.with_columns(minute.alias("__minute"), tick.alias("__tick"))
        .sort("__tick", ROW, nulls_last=True)
        .unique("__minute", keep="last", maintain_order=True)
        .sort(ROW)
    )
    sides = {s: _prices_and_amounts(rows.columns, s) for s in ("bids", "asks")}
    others = [c for c in rows.columns if c != ROW and not _LEVEL.fullmatch(c)]
    bands = [band for book in kept.iter_rows(named=True) for band in _bands_of_row(book, sides, others)]
    schema = {c: pl.String() for c in others} | dict.fromkeys(_BAND_FIGURES, pl.Float64())
    cells = pl.DataFrame(bands, schema=schema, orient="row").with_row_index(ROW, offset=1)
    note = f"{kept.height:,} of {rows.height:,} books, the last of each minute"
    return Folded(cells.with_columns(pl.col(ROW).cast(pl.Int64)), note)


_BAND_FIGURES = ("mid", "band_bps", "bid_depth", "ask_depth")


def _prices_and_amounts(columns: Sequence[str], side: str) -> list[tuple[str, str]]:
    places = sorted(int(m[2]) for c in columns if (m := _LEVEL.fullmatch(c)) and m[1] == side and m[3] == "price")
    return [(f"{side}[{i}].price", f"{side}[{i}].amount") for i in places if f"{side}[{i}].amount" in columns]


def _bands_of_row(
    book: dict[str, Any], sides: dict[str, list[tuple[str, str]]], others: Sequence[str]
) -> list[list[Any]]:
    told = [book[c] for c in others]
    try:
        levels = {
            side: [
                (_figure(book[price]), _figure(book[amount]))
                for price, amount in names
                # A book of fewer levels than the file has columns ends in blanks.
                if (book[price] or "").strip() or (book[amount] or "").strip()
            ]
            for side, names in sides.items()
        }
        mid, bands = bands_of(levels["bids"], levels["asks"])
    except BookFault:
        return [[*told, None, None, None, None]]
    return [[*told, mid, float(b.band_bps), b.bid_depth_base, b.ask_depth_base] for b in bands]


def _figure(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


BOOK_LAYOUTS: dict[str, Layout] = {
    "sided_bands": Layout(("timestamp", "percentage", "depth", "notional"), _sided_bands),
    "book_levels": Layout(("timestamp", "asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount"), _levels),
}
