"""Sections of flows: spot ETFs, stablecoins, reserves of exchanges, holders.

Belongs here: windows of days, groups of what an exchange holds, what was silent. Does not: SQL text (``queries_flows.py``), lending
(``lending.py``), words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from assets.report import queries_flows
from assets.report.model import Chart, EtfFlows, Holders, Reserves, Stablecoins
from assets.report.parts import DayView, days_told, days_until, indexed, line_chart, series_of
from assets.report.rows_flows import EtfRow, HolderRow, ReserveRow, SilentFunds, StablecoinRow

ETF_TRADING_DAYS = 20

# A fund with a record among the total's last ones is still there; one without closed or was merged.
SILENT_RECORDS = 5

# The fund under which a publisher gives the sum over funds.
ALL_FUNDS = "TOTAL"

# Older figures say nothing of the day; younger ones are shown with their own date.
STABLECOIN_LAG_DAYS = RESERVE_LAG_DAYS = 7
HOLDER_LAG_DAYS = 14

STABLECOIN_DAYS = 30
HOLDER_DAYS = 365
LARGEST = 8

# What a reserve is grouped into: an asset of its own, the dry powder, or the rest.
GROUPS = {"BTC": "btc", "ETH": "eth"}
DRY_POWDER, OTHERS = "stablecoins", "others"


def build_etf(view: DayView) -> EtfFlows:
    """Build the section of ETF flows from the latest records that are not after the day."""
    histories: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in view.by_asset(view.fetch(queries_flows.ETF_FLOWS, view.day, ETF_TRADING_DAYS)):
        histories.setdefault((row["asset"], row["fund"]), []).append(row)
    latest = [
        EtfRow(**history[-1], is_of_the_day=view.is_of(history[-1], "flow_date_utc")) for history in histories.values()
    ]
    totals = {asset: history for (asset, fund), history in histories.items() if fund == ALL_FUNDS}
    funds = tuple(row for row in latest if row.fund != ALL_FUNDS)
    charts = tuple(
        Chart(
            key="etf",
            kind="bar",
            unit="usd",
            x=tuple(row["flow_date_utc"] for row in history),
            series=(series_of(ALL_FUNDS, [float(row["net_flow_usd"]) for row in history]),),
            about=asset,
        )
        for asset, history in totals.items()
    )
    return EtfFlows(
        origin=view.origin(
            ("fct_etf_flows_daily",),
            [row["is_synthetic"] for history in histories.values() for row in history],
            datasets=("etf_flows",),
        ),
        gaps=view.gaps(("etf_flows",)),
        rows=tuple(row for row in latest if row.fund == ALL_FUNDS),
        funds=funds,
        silent=tuple(s for asset, history in totals.items() if (s := _silent(asset, history, funds)).funds),
        charts=charts,
    )


def _silent(asset: str, history: Sequence[Mapping[str, Any]], funds: Sequence[EtfRow]) -> SilentFunds:
    days = [row["flow_date_utc"] for row in history[-SILENT_RECORDS:]]
    late = [row.fund for row in funds if row.asset == asset and days[0] <= row.flow_date_utc < days[-1]]
    return SilentFunds(asset, days[-1], tuple(late))


def build_stablecoins(view: DayView) -> Stablecoins:
    """Build the section of dollar stablecoins from the latest day of the week that ends with the report's."""
    since = view.since(STABLECOIN_LAG_DAYS)
    total, coins, chains = (
        tuple(
            StablecoinRow(**row, is_of_the_day=view.is_of(row, "supply_date_utc"))
            for row in view.fetch(statement, since, view.day)
        )
        for statement in (
            queries_flows.STABLECOIN_TOTAL,
            queries_flows.STABLECOIN_COINS,
            queries_flows.STABLECOIN_CHAINS,
        )
    )
    return Stablecoins(
        origin=view.origin(
            ("fct_stablecoins_daily",),
            [row.is_synthetic for row in coins],
            datasets=("stablecoin_supplies",),
            is_estimated=bool(coins),
        ),
        gaps=view.gaps(("stablecoin_supplies",)),
        total=total[0] if total else None,
        coins=coins[:LARGEST],
        chains=chains[:LARGEST],
        left_out_coins_count=max(0, len(coins) - LARGEST),
        left_out_chains_count=max(0, len(chains) - LARGEST),
        farthest=max(
            (row for row in coins if row.peg_deviation_bps is not None),
            key=lambda row: (abs(row.peg_deviation_bps or 0.0), row.name),
            default=None,
        ),
        chart=_supply_chart(view, [row.name for row in coins]),
    )


def _supply_chart(view: DayView, names: Sequence[str]) -> Chart | None:
    """Return circulation by coin as an index, largest coin first; the statement follows only pairs told on every day."""
    paths: dict[str, dict[date, Decimal]] = {}
    for row in view.fetch(queries_flows.STABLECOIN_PATHS, view.since(STABLECOIN_DAYS), view.day):
        paths.setdefault(row["stablecoin_symbol"], {})[row["supply_date_utc"]] = row["circulating_base"]
    # One day draws no line.
    ordered = {name: paths[name] for name in dict.fromkeys(names) if len(paths.get(name, ())) > 1}
    days = days_told(days_until(view.day, STABLECOIN_DAYS), ordered.values())
    lines = {name: indexed([path.get(d) for d in days]) for name, path in ordered.items()}
    return line_chart("stablecoins", "index", days, lines)


def build_reserves(view: DayView) -> Reserves:
    """Build the section of exchange reserves: per exchange and origin its latest day of the week that ends with the report's."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in view.fetch(queries_flows.RESERVES, view.since(RESERVE_LAG_DAYS), view.day):
        groups[row["reserve_origin"], row["exchange"]].append(row)
    rows = tuple(_reserve_row(view, members) for members in groups.values())
    return Reserves(
        origin=view.origin(
            ("fct_exchange_reserves_daily",),
            [row.is_synthetic for row in rows],
            datasets=("exchange_reserves",),
            is_estimated=bool(rows),
        ),
        gaps=view.gaps(("exchange_reserves",)),
        rows=tuple(
            sorted(
                rows,
                key=lambda r: (
                    r.reserve_origin != "published",
                    r.reserve_origin,
                    -(r.est_stablecoins_usd or 0),
                    r.exchange,
                ),
            )
        ),
    )


def _reserve_row(view: DayView, members: Sequence[Mapping[str, Any]]) -> ReserveRow:
    held: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in members:
        group = DRY_POWDER if row["is_stablecoin"] else GROUPS.get(row["reserve_asset"], OTHERS)
        held[group].append(row)
    first = members[0]
    return ReserveRow(
        exchange=first["exchange"],
        reserve_origin=first["reserve_origin"],
        reserve_date_utc=first["reserve_date_utc"],
        is_of_the_day=view.is_of(first, "reserve_date_utc"),
        observed_at_utc=max(row["observed_at_utc"] for row in members),
        est_btc_usd=_sum(held["btc"], "est_balance_usd"),
        est_eth_usd=_sum(held["eth"], "est_balance_usd"),
        est_stablecoins_usd=_sum(held[DRY_POWDER], "est_balance_usd"),
        est_others_usd=_sum(held[OTHERS], "est_balance_usd"),
        est_btc_net_flow_usd=_sum(held["btc"], "est_net_flow_usd"),
        est_eth_net_flow_usd=_sum(held["eth"], "est_net_flow_usd"),
        est_stablecoins_net_flow_usd=_sum(held[DRY_POWDER], "est_net_flow_usd"),
        unvalued_assets_count=sum(row["est_balance_usd"] is None for row in members),
        holders_count=max(row["holders_count"] for row in members),
        is_synthetic=any(row["is_synthetic"] for row in members),
    )


def _sum(rows: Sequence[Mapping[str, Any]], column: str) -> Decimal | None:
    """Return the sum of what is told; missing where nothing is, never zero."""
    told = [row[column] for row in rows if row[column] is not None]
    return sum(told, Decimal(0)) if told else None


def build_holders(view: DayView) -> Holders:
    """Build the section of holders: the latest row of each coin within a fortnight, and a year of MVRV as lines."""
    histories: dict[str, dict[date, dict[str, Any]]] = {}
    for row in view.by_asset(view.fetch(queries_flows.HOLDERS, view.since(HOLDER_DAYS), view.day)):
        histories.setdefault(row["asset"], {})[row["holder_date_utc"]] = row
    latest = [history[max(history)] for history in histories.values()]
    rows = tuple(
        HolderRow(**row, is_of_the_day=view.is_of(row, "holder_date_utc"))
        for row in latest
        if row["holder_date_utc"] > view.since(HOLDER_LAG_DAYS)
    )
    paths = {row.asset: {d: told["mvrv_x"] for d, told in histories[row.asset].items()} for row in rows}
    days = days_told(days_until(view.day, HOLDER_DAYS), paths.values())
    return Holders(
        origin=view.origin(
            ("fct_holder_supply_daily",),
            [row.is_synthetic for row in rows],
            datasets=("holder_metrics",),
            is_estimated=any(row.est_long_term_supply_base is not None for row in rows),
        ),
        gaps=view.gaps(("holder_metrics",)),
        rows=rows,
        chart=line_chart("mvrv", "x", days, {asset: [path.get(d) for d in days] for asset, path in paths.items()}),
    )
