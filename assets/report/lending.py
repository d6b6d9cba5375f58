"""The lending section: who was liquidated, who stands next, what a fall would sell, and under which rules.

Belongs here: windows of snapshots, sums of fuel up to a fall, which reserves are the main ones. Does not: the market's rules
(``assets/cascade/lending.py``), SQL text (``queries_flows.py``). Nothing is simulated here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from assets.report import queries_flows
from assets.report.model import Chart, Lending
from assets.report.parts import DayView, line_chart
from assets.report.queries import as_rows
from assets.report.rows_flows import LendingCallRow, LendingFuelRow, LendingMarketRow, LendingReserveRow

# A snapshot older than this says nothing of the day; a younger one is shown with its own date.
SNAPSHOT_DAYS = 7

# Accounts with less health than this fail after a fall of at most 9 % of all their collateral.
NEAR_HEALTH_X = 1.1

# Largest reserves of a market by what is supplied.
MAIN_RESERVES = 6

# Falls of the table and of the chart's axis; windows are edges of binary fractions, so sums reach a hair beyond.
FALLS = {"fuel_now_usd": 0.0, "fuel_05_usd": 0.05, "fuel_10_usd": 0.1, "fuel_20_usd": 0.2, "fuel_30_usd": 0.3}
CHART_FALLS = tuple(round(0.01 * k, 2) for k in range(31))
EDGE = 1e-9

DATASETS = ("lending_liquidations", "lending_positions", "lending_reserves")
CALLS = DATASETS[0]

Rows = Sequence[Mapping[str, Any]]


def build_lending(view: DayView) -> Lending:
    """Build the section: calls of the day, and each market's last snapshot of the week that ends with the day."""
    since = view.since(SNAPSHOT_DAYS)
    calls = as_rows(LendingCallRow, view.fetch(queries_flows.LENDING_CALLS, view.start, view.end))
    markets = tuple(
        LendingMarketRow(**row, is_of_the_day=view.is_of(row, "position_date_utc"))
        for row in view.fetch(queries_flows.LENDING_MARKETS, NEAR_HEALTH_X, since, view.day)
    )
    windows = _windows(view.fetch(queries_flows.LENDING_FUEL, since, view.day))
    fuel = tuple(_fuel_row(view, rows) for rows in windows.values())
    fuel = tuple(sorted(fuel, key=lambda row: (row.venue, -row.fuel_30_usd, row.asset)))
    reserves = tuple(
        LendingReserveRow(**row, is_of_the_day=view.is_of(row, "reserve_date_utc"))
        for row in view.fetch(queries_flows.LENDING_RESERVES, since, view.day)
    )
    main = _main(reserves)
    quiet = _quiet_venues(view, calls)
    used: list[LendingCallRow | LendingMarketRow | LendingFuelRow | LendingReserveRow] = [
        *calls,
        *markets,
        *fuel,
        *main,
    ]
    origin = view.origin(
        (
            "fct_lending_liquidations",
            "fct_lending_positions_daily",
            "fct_liquidation_fuel_daily",
            "fct_lending_reserves_daily",
        ),
        [row.is_synthetic for row in used],
        datasets=DATASETS,
        is_estimated=bool(calls),
    )
    return Lending(
        # A market that was read and told no call is an observation.
        origin=replace(origin, is_missing=origin.is_missing and not quiet),
        gaps=view.gaps(DATASETS),
        quiet_venues=quiet,
        calls=calls,
        near_health_x=NEAR_HEALTH_X,
        markets=markets,
        fuel=fuel,
        chart=_chart(fuel, windows),
        reserves=main,
        left_out_reserves_count=len(reserves) - len(main),
    )


def _quiet_venues(view: DayView, calls: Sequence[LendingCallRow]) -> tuple[str, ...]:
    """Return the markets that were read whole on the day and told no call; a day that was not read is none."""
    told = {row.venue for row in calls}
    return tuple(
        row.venue
        for row in view.coverage
        if row.dataset == CALLS
        and row.coverage_status == "complete"
        and not row.observed_rows_count
        and row.venue not in told
    )


Key = tuple[str, str, str]


def _windows(rows: Rows) -> dict[Key, list[Mapping[str, Any]]]:
    windows: dict[Key, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        windows[row["venue"], row["asset"], row["fuel_origin"]].append(row)
    return windows


def _sold(rows: Rows, fall_frac: float) -> Decimal:
    """Return what is sold up to a fall; an account is known or left out and counted, so none up to there is a true zero."""
    return sum((row["fuel_usd"] for row in rows if row["window_end_frac"] <= fall_frac + EDGE), Decimal(0))


def _fuel_row(view: DayView, rows: Rows) -> LendingFuelRow:
    first = rows[0]
    return LendingFuelRow(
        venue=first["venue"],
        asset=first["asset"],
        fuel_date_utc=first["fuel_date_utc"],
        is_of_the_day=view.is_of(first, "fuel_date_utc"),
        fuel_origin=first["fuel_origin"],
        oracle_price_quote=first["oracle_price_quote"],
        **{name: _sold(rows, fall) for name, fall in FALLS.items()},
        left_out_accounts_count=max(row["left_out_accounts_count"] for row in rows),
        is_synthetic=any(row["is_synthetic"] for row in rows),
    )


def _chart(fuel: Sequence[LendingFuelRow], windows: Mapping[Key, Rows]) -> Chart | None:
    largest = sorted(fuel, key=lambda row: (-row.fuel_30_usd, row.venue, row.asset))
    paths = {
        f"{row.asset} · {row.venue} · {row.fuel_origin}": [
            float(_sold(windows[row.venue, row.asset, row.fuel_origin], fall)) for fall in CHART_FALLS
        ]
        for row in largest
        if row.fuel_30_usd
    }
    return line_chart("lending_fuel", "usd", CHART_FALLS, paths)


def _main(reserves: Sequence[LendingReserveRow]) -> tuple[LendingReserveRow, ...]:
    """Return the largest reserves of each market; the statement orders them."""
    seen: dict[str, int] = defaultdict(int)
    main = []
    for row in reserves:
        seen[row.venue] += 1
        if seen[row.venue] <= MAIN_RESERVES:
            main.append(row)
    return tuple(main)
