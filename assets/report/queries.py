"""Every statement the report reads with: static text over ``marts.*``, values bound, a total order on each.

Belongs here: SQL constants of markets, stress and coverage, the reader that turns rows into dataclasses, and the refusal of marts
that are not there or hold a figure that is not a number. Does not: statements of lending, flows and macro (``queries_flows.py``),
what is done with the rows (``sections.py``, ``stress.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import duckdb

from quality.schemas.marts import MART_DAY_COLUMN, MARTS

T = TypeVar("T")

ASSET_ORDER = """
    select a.asset
    from marts.dim_assets as a
    left join marts.fct_market_recaps_daily as r on r.asset = a.asset and r.recap_date_utc = ?
    order by r.volume_usd desc nulls last, a.asset
"""

PRICES = """
    select asset, reference_venue, open_quote, high_quote, low_quote, close_quote, return_frac, range_frac, drawdown_frac,
        drawdown_30d_frac, wick_frac, retrace_frac, downside_beta_x, volume_usd, volume_z_x, breadth_frac, hours_count,
        venues_count, is_closed, is_synthetic
    from marts.fct_market_recaps_daily
    where recap_date_utc = ?
    order by asset
"""

PRICE_PATHS = """
    select asset, interval_start_utc, close_quote
    from marts.fct_prices_hourly
    where interval_start_utc >= ? and interval_start_utc < ?
    order by asset, interval_start_utc
"""

FUNDING = """
    select asset, funding_date_utc, oi_weighted_funding_8h_frac, median_funding_8h_frac, min_funding_8h_frac,
        max_funding_8h_frac, funding_dispersion_bps, funding_z_x, settlements_count, venues_count, weighted_venues_count,
        is_synthetic
    from marts.fct_funding_daily
    where funding_date_utc > ? and funding_date_utc <= ?
    order by asset, funding_date_utc
"""

OPEN_INTEREST = """
    select o.instrument_id, o.venue, coalesce(i.venue_symbol, o.instrument_id) as venue_symbol, o.asset,
        o.interval_start_utc, o.occurred_at_utc, o.open_interest_one_sided_usd, o.open_interest_one_sided_base,
        o.open_interest_usd_origin, o.open_interest_base_origin, o.is_synthetic
    from marts.fct_open_interest_hourly as o
    left join marts.dim_instruments as i on i.instrument_id = o.instrument_id
    where o.interval_start_utc >= ? and o.interval_start_utc < ?
    order by o.instrument_id, o.interval_start_utc
"""

SCENARIOS = """
    select asset, position_side, setting, shock_kind, depth_survival_frac, impact_exponent_x, sold_share_frac, fuel_origin,
        fuel_prior, depth_origin, depth_prior, reference_price_quote, fuel_open_interest_usd, fuel_venues, fuel_weight_frac,
        depth_100bps_usd, shock_frac, sim_trough_price_quote, sim_move_frac, sim_amplification_x, sim_forced_notional_usd,
        sim_forced_frac, sim_slippage_usd, sim_shortfall_usd, sim_rounds_count, is_exhausted, draw_law, draws_count,
        sim_move_p05_frac, sim_move_p50_frac, sim_move_p95_frac, sim_forced_notional_p05_usd, sim_forced_notional_p50_usd,
        sim_forced_notional_p95_usd, sim_exhausted_frac, is_synthetic
    from marts.fct_stress_scenarios_daily
    where scenario_date_utc = ?
    order by asset, position_side, setting, shock_frac
"""

CRITICAL = """
    select asset, position_side, setting, shock_kind, depth_survival_frac, impact_exponent_x, sold_share_frac, fuel_origin,
        fuel_prior, depth_origin, depth_prior, reference_price_quote, fuel_open_interest_usd, fuel_venues, fuel_weight_frac,
        depth_100bps_usd, sim_soft_shock_frac, is_soft_censored, sim_jump_shock_frac, is_jump_censored, grid_max_shock_frac,
        sim_max_branching_x, draw_law, draws_count, sim_soft_shock_p05_frac, sim_soft_shock_p50_frac, sim_soft_shock_p95_frac,
        sim_soft_censored_frac, sim_jump_shock_p05_frac, sim_jump_shock_p50_frac, sim_jump_shock_p95_frac,
        sim_jump_censored_frac, is_synthetic
    from marts.fct_critical_shocks_daily
    where scenario_date_utc = ?
    order by asset, position_side, setting
"""

COVERAGE = """
    select dataset, venue, coverage_status, coverage_reason, expected_rows_count, observed_rows_count, missing_rows_count,
        quarantined_rows_count, coverage_frac, sources, is_synthetic
    from marts.fct_data_coverage_daily
    where coverage_date_utc = ?
    order by dataset, venue
"""

QUARANTINE = """
    select dataset, venue, source, reason, quarantined_rows_count, is_synthetic
    from marts.fct_quarantined_rows_daily
    where capture_date_utc = ?
    order by dataset, venue, source, reason
"""

DISAGREEMENTS = """
    select dataset, venue, sources, compared_rows_count, disagreeing_rows_count, max_difference_bps
    from marts.fct_source_disagreements_daily
    where coverage_date_utc = ?
    order by dataset, venue
"""

PUBLISHERS = """
    select venue, venue_name, venue_kind, terms_note
    from marts.dim_venues
    order by venue_kind, venue
"""

_TABLES = "select table_name from information_schema.tables where table_schema = 'marts' order by table_name"


def fetch(con: duckdb.DuckDBPyConnection, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Run a statement with bound values and return its rows as mappings.

    Raises
    ------
    ValueError
        Where a DOUBLE is NaN or infinite: a mart says missing with NULL, and a figure that is no number has no place in a report.
    """
    cursor = con.execute(sql, list(params))
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                key = ", ".join(str(v) for v in list(row.values())[:3])
                raise ValueError(
                    f"`{name}` is {value} in the mart row ({key}): missing is NULL; mend the model and build again"
                )
    return rows


def as_rows(kind: type[T], rows: Sequence[Mapping[str, Any]]) -> tuple[T, ...]:
    """Return dataclass rows from mappings that have exactly the dataclass's fields."""
    return tuple(kind(**row) for row in rows)


def require_marts(con: duckdb.DuckDBPyConnection) -> None:
    """Refuse a database that lacks a mart.

    Raises
    ------
    ValueError
        Names the marts that are not there.
    """
    present = {str(row[0]) for row in con.execute(_TABLES).fetchall()}
    absent = sorted(set(MARTS) - present)
    if absent:
        raise ValueError(f"schema marts lacks {', '.join(absent)}: build the warehouse before the report")


def latest_day(con: duckdb.DuckDBPyConnection, mart: str, day: date) -> date | None:
    """Return the last UTC day, not after `day`, for which a mart has a row; None where it has none."""
    column = MART_DAY_COLUMN[mart]
    if column is None:
        return None
    expression = duckdb.ColumnExpression(column).cast("DATE")
    found = (
        con.table(f"marts.{mart}")
        .filter(expression <= duckdb.ConstantExpression(day))
        .select(expression.alias("latest_date_utc"))
        .max("latest_date_utc")
        .fetchone()
    )
    return found[0] if found else None
