"""The state of each market at a day's cut-off, read from the marts.

Belongs here: SQL over ``marts.*`` (values only as bound parameters, every query ordered) and the judgement whether an asset
can be replayed. Does not: the replay and its tables (``frames.py``).

The cut-off of a day is the last hour of that UTC day with a reference price. An asset without a price or without fresh open
interest has no state: it is left out with a reason, never replayed with zero.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np

from assets.cascade.depth import BandCurve, SideDepth, band_curve, depth_at, side_depth
from assets.cascade.fuel import Entries, entries_of, lot_decimals
from assets.cascade.params import (
    ENTRY_DAYS,
    ENTRY_WINDOW_DAYS,
    IMPACT_EXPONENT_X,
    LEAST_MARK_TICKS,
    MAX_BOOK_AGE_HOURS,
    MAX_EXACT_LOTS,
    MAX_OPEN_INTEREST_AGE_HOURS,
    TICK_DECIMALS,
)

Row = dict[str, Any]


@dataclass(frozen=True)
class MarketState:
    """What is known of one asset at the cut-off of a day; quantities are one-sided and in base units.

    `cut_off_utc` is the end of the last hour with a reference price.
    """

    asset: str
    day: date
    cut_off_utc: datetime
    reference_price_quote: Decimal
    open_interest_base: Decimal
    venues: tuple[str, ...]
    entry_windows: tuple[Entries, ...]
    bid_depth: SideDepth
    ask_depth: SideDepth
    is_synthetic: bool

    @property
    def entries(self) -> Entries:
        """Entries of the central window."""
        return self.entry_windows[0]


@dataclass(frozen=True)
class Survey:
    """States of the assets that can be replayed, and (asset, reason) of those that cannot, both in order of asset."""

    states: list[MarketState]
    left_out: list[tuple[str, str]]


_ASSETS = "select asset from marts.dim_assets order by asset"

_HOURS = """
select
    asset,
    interval_start_utc,
    close_quote,
    (high_quote::double + low_quote::double + close_quote::double) / 3 as typical_price_quote,
    volume_base::double as volume_base,
    is_synthetic
from marts.fct_prices_hourly
where interval_start_utc >= ? and interval_start_utc < ?
order by asset, interval_start_utc
"""

_OPEN_INTEREST = """
select asset, venue, instrument_id, interval_start_utc, open_interest_one_sided_base, is_synthetic
from marts.fct_open_interest_hourly
where interval_start_utc >= ? and interval_start_utc < ?
order by asset, venue, instrument_id, interval_start_utc
"""

_BANDS = """
select
    asset, venue, instrument_id, interval_start_utc, band_bps,
    bid_depth_base::double as bid_depth_base, ask_depth_base::double as ask_depth_base, is_synthetic
from marts.fct_depth_hourly
where interval_start_utc >= ? and interval_start_utc < ?
order by asset, venue, instrument_id, interval_start_utc, band_bps
"""


def survey(con: duckdb.DuckDBPyConnection, day: date) -> Survey:
    """Read the closing state of every asset on a UTC day.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        A warehouse or a published snapshot: schema ``marts`` exists.
    day : datetime.date
    """
    start = datetime.combine(day, time())
    end = start + timedelta(days=1)
    hours = _by_asset(con, _HOURS, [end - timedelta(days=ENTRY_DAYS), end])
    open_interest = _by_asset(con, _OPEN_INTEREST, [start, end])
    bands = _by_asset(con, _BANDS, [start, end])
    listed = {row[0] for row in con.execute(_ASSETS).fetchall()}
    states: list[MarketState] = []
    left_out: list[tuple[str, str]] = []
    for asset in sorted(listed | set(hours) | set(open_interest)):
        found = _state(asset, day, hours[asset], open_interest[asset], bands[asset])
        if isinstance(found, str):
            left_out.append((asset, found))
        else:
            states.append(found)
    return Survey(states, left_out)


def market_states(con: duckdb.DuckDBPyConnection, day: date) -> list[MarketState]:
    """Return the assets that can be replayed on a day, in order of asset; `survey` also says which cannot and why."""
    return survey(con, day).states


def _by_asset(con: duckdb.DuckDBPyConnection, sql: str, parameters: list[datetime]) -> dict[str, list[Row]]:
    cursor = con.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    rows: dict[str, list[Row]] = defaultdict(list)
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        rows[row["asset"]].append(row)
    return rows


def _state(asset: str, day: date, hours: list[Row], open_interest: list[Row], bands: list[Row]) -> MarketState | str:
    """Return the state of one asset, or the reason why there is none."""
    if not hours or hours[-1]["interval_start_utc"].date() != day:
        return "no_price"
    cut_off = hours[-1]["interval_start_utc"]
    price = hours[-1]["close_quote"]
    if not open_interest:
        return "no_open_interest"
    fresh = _fresh(open_interest, cut_off, MAX_OPEN_INTEREST_AGE_HOURS)
    if not fresh:
        return "stale_open_interest"
    known = _latest([r for r in fresh if r["open_interest_one_sided_base"]])
    if not known:
        return "no_open_interest_in_base"
    if price.scaleb(TICK_DECIMALS) >= MAX_EXACT_LOTS:
        return "price_beyond_lattice"
    if price.scaleb(TICK_DECIMALS) < LEAST_MARK_TICKS:
        return "price_below_lattice"
    by_venue: dict[str, Decimal] = defaultdict(Decimal)
    for r in known:
        by_venue[r["venue"]] += r["open_interest_one_sided_base"]
    weights = {venue: float(base) for venue, base in by_venue.items()}
    of_venues = [r for r in bands if r["venue"] in by_venue]
    seen = _latest(_fresh(of_venues, cut_off, MAX_BOOK_AGE_HOURS))
    open_interest_base = sum(by_venue.values(), Decimal(0))
    bids, asks = (side_depth(_curves(seen, column), weights) for column in ("bid_depth_base", "ask_depth_base"))
    lot_base = 10.0 ** -lot_decimals(float(open_interest_base))
    if min(float(depth_at(side, np.array([1.0]), IMPACT_EXPONENT_X)[0]) for side in (bids, asks)) < lot_base:
        return "depth_below_lot"
    return MarketState(
        asset=asset,
        day=day,
        cut_off_utc=cut_off + timedelta(hours=1),
        reference_price_quote=price,
        open_interest_base=open_interest_base,
        venues=tuple(sorted(by_venue)),
        entry_windows=_entry_windows(day, hours),
        bid_depth=bids,
        ask_depth=asks,
        is_synthetic=any(r["is_synthetic"] for r in (*hours, *known, *seen)),
    )


def _entry_windows(day: date, hours: list[Row]) -> tuple[Entries, ...]:
    price = np.array([r["typical_price_quote"] for r in hours])
    volume = np.array([np.nan if r["volume_base"] is None else r["volume_base"] for r in hours])
    end = datetime.combine(day, time()) + timedelta(days=1)
    begins = [end - timedelta(days=n) for n in ENTRY_WINDOW_DAYS]
    insides = [np.array([r["interval_start_utc"] >= begin for r in hours]) for begin in begins]
    windows = tuple(entries_of(price, volume, inside) for inside in insides)
    if all(window.is_volume_weighted for window in windows):
        return windows
    # One law for all windows of a day: they are draws of the same thing.
    return tuple(entries_of(price, np.full(price.size, np.nan), inside) for inside in insides)


def _fresh(rows: list[Row], cut_off: datetime, max_age_hours: int) -> list[Row]:
    """Return the rows that were known at the cut-off and are not too old."""
    return [r for r in rows if 0 <= _age_hours(r, cut_off) <= max_age_hours]


def _latest(rows: list[Row]) -> list[Row]:
    """Return the rows of each instrument's latest hour, in their order."""
    last = {r["instrument_id"]: r["interval_start_utc"] for r in rows}  # hours ascend within an instrument
    return [r for r in rows if r["interval_start_utc"] == last[r["instrument_id"]]]


def _age_hours(row: Row, cut_off: datetime) -> float:
    return float((cut_off - row["interval_start_utc"]) / timedelta(hours=1))


def _curves(bands: list[Row], column: str) -> dict[str, list[BandCurve]]:
    books: dict[tuple[str, str], list[tuple[float, float | None]]] = defaultdict(list)
    for r in bands:
        books[r["venue"], r["instrument_id"]].append((r["band_bps"], r[column]))
    curves: dict[str, list[BandCurve]] = defaultdict(list)
    for (venue, _), book in books.items():
        curve = band_curve(book)
        if curve is not None:
            curves[venue].append(curve)
    return curves
