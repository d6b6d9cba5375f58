"""The bridge between tables and the replay: market states in, rows of the sim tables out.

Belongs here: the rows of ``sim.stress_scenarios`` and ``sim.critical_shocks``, writing them, and the one question of the
command line (`what_if`). Does not: reading the marts (``state.py``), any mathematics of the cascade (its siblings), any
Dagster type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl

from assets.cascade.critical import critical_shock, max_branching
from assets.cascade.depth import SideDepth, book_rows
from assets.cascade.fuel import estimate_fuel, lot_decimals
from assets.cascade.lattice import Book, Fuel, Scenario
from assets.cascade.params import (
    CRITICAL_RULE,
    POSITION_SIDES,
    REPORTED_SHOCKS_FRAC,
    SEARCH_MAX_SHOCK_FRAC,
    SEARCH_STEP_BPS,
    SETTINGS,
    TICK_DECIMALS,
    TIER_PRIOR,
    PositionSide,
    Setting,
)
from assets.cascade.simulate import Outcome, replay_static, sweep_static
from assets.cascade.state import MarketState, market_states, survey
from quality.schemas.sim import CRITICAL_SHOCKS, SIM_TABLES, STRESS_SCENARIOS
from quality.tables import POLARS_TYPES, Table

__all__ = [
    "MarketState",
    "StressFrames",
    "ensure_sim_tables",
    "market_states",
    "stress_frames",
    "survey",
    "what_if",
    "write_sim",
]

FUEL_ORIGIN = "estimated"
Row = dict[str, Any]


class StressFrames(NamedTuple):
    """Rows of the two sim tables for one day, and (asset, reason) of the assets that have none."""

    stress: pl.DataFrame
    critical: pl.DataFrame
    left_out: list[tuple[str, str]]


# The last day that a run has replayed; where none has been, the last hour with both a price and open interest in coin.
_LAST_DAY = """
select coalesce(
    (select max(scenario_date_utc) from marts.fct_stress_scenarios_daily where asset = $asset),
    (
        select cast(max(interval_start_utc) as date)
        from marts.fct_open_interest_hourly
        inner join marts.fct_prices_hourly using (asset, interval_start_utc)
        where asset = $asset and open_interest_one_sided_base is not null
    )
)
"""


# --- one side of one market on the lattice ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """One side of a state on the lattice, for one impact exponent."""

    state: MarketState
    side: PositionSide
    depth: SideDepth
    mark_ticks: int
    lot_exponent: int
    open_interest_lots: int
    book: Book
    fuel: Fuel

    def base(self, lots: int) -> Decimal:
        return Decimal(lots).scaleb(-self.lot_exponent).quantize(Decimal("1e-8"))

    def usd(self, ticklots: float) -> Decimal:
        return _money(ticklots * 10.0 ** -(TICK_DECIMALS + self.lot_exponent))


def _money(value: float) -> Decimal:
    return Decimal(value).quantize(Decimal("1e-4"))


def _on_lattice(state: MarketState, side: PositionSide, impact_exponent_x: float) -> _Side:
    depth = state.bid_depth if side == "long" else state.ask_depth
    exponent = lot_decimals(float(state.open_interest_base))
    mark_ticks = int(state.reference_price_quote.scaleb(TICK_DECIMALS))
    lots = int(state.open_interest_base.scaleb(exponent))
    book = book_rows(depth, side, impact_exponent_x, 10.0**-exponent)
    fuel = estimate_fuel(lots, state.entries, TIER_PRIOR, side, mark_ticks)
    return _Side(state, side, depth, mark_ticks, exponent, lots, book, fuel)


def _inputs(on: _Side, setting: Setting) -> Row:
    """Return the columns that the two sim tables share: key, setting and inputs."""
    state = on.state
    row_100bps = int(np.argmin(np.abs(np.abs(on.book.relative_price - 1.0) - 0.01)))
    depth_lots = int(on.book.cumulative_lots[row_100bps])
    how = "" if state.entries.is_volume_weighted else "|equal_hours"
    return {
        "scenario_date_utc": state.day,
        "asset": state.asset,
        "position_side": on.side,
        "setting": setting.name(FUEL_ORIGIN),
        "shock_kind": setting.shock_kind,
        "depth_survival_frac": setting.depth_survival_frac,
        "impact_exponent_x": setting.impact_exponent_x,
        "sold_share_frac": setting.sold_share_frac,
        "fuel_origin": FUEL_ORIGIN,
        "fuel_prior": TIER_PRIOR.name + how,
        "depth_origin": on.depth.origin,
        "depth_prior": on.depth.prior,
        "reference_price_quote": state.reference_price_quote,
        "fuel_open_interest_usd": (state.open_interest_base * state.reference_price_quote).quantize(Decimal("1e-4")),
        "fuel_venues": ",".join(state.venues),
        "fuel_weight_frac": TIER_PRIOR.weight_frac,
        "depth_100bps_usd": on.usd(setting.depth_survival_frac * depth_lots * float(on.mark_ticks)),
        "is_synthetic": state.is_synthetic,
    }


def _stress_row(on: _Side, inputs: Row, shock_frac: float, outcome: Outcome) -> Row:
    move = abs(1.0 - outcome.mark_ticks / on.mark_ticks)
    fill = outcome.average_fill_ticks
    tick = Decimal(1).scaleb(-TICK_DECIMALS)
    return {
        **inputs,
        "shock_frac": shock_frac,
        "sim_trough_price_quote": Decimal(round(outcome.mark_ticks)) * tick,
        "sim_move_frac": move,
        "sim_amplification_x": move / shock_frac,
        "sim_forced_base": on.base(outcome.forced_lots),
        "sim_forced_notional_usd": on.usd(outcome.forced_notional_ticklots),
        "sim_forced_frac": outcome.forced_lots / on.open_interest_lots,
        "sim_sold_base": on.base(outcome.sold_lots),
        "sim_not_sold_base": on.base(outcome.not_sold_lots),
        "sim_unabsorbed_base": on.base(outcome.unabsorbed_lots),
        "sim_excluded_base": on.base(outcome.excluded_lots),
        "sim_rounds_count": outcome.rounds,
        "sim_average_fill_quote": None if fill is None else Decimal(round(fill)) * tick,
        "sim_slippage_usd": on.usd(outcome.slippage_ticklots),
        "sim_shortfall_usd": on.usd(outcome.shortfall_ticklots),
        "is_exhausted": outcome.is_exhausted,
    }


def _critical_row(on: _Side, setting: Setting) -> Row:
    steps = round(SEARCH_MAX_SHOCK_FRAC * 1e4 / SEARCH_STEP_BPS)
    grid = np.arange(1, steps + 1) * SEARCH_STEP_BPS / 1e4
    found = sweep_static(
        on.mark_ticks,
        on.book,
        on.fuel,
        grid,
        shock_kind=setting.shock_kind,
        side=on.side,
        depth_survival_frac=setting.depth_survival_frac,
        sold_share_frac=setting.sold_share_frac,
    )
    move = np.abs(1.0 - found.mark_ticks / on.mark_ticks)
    critical = critical_shock(grid, move, found.forced_lots / on.open_interest_lots, CRITICAL_RULE)
    return {
        **_inputs(on, setting),
        "sim_soft_shock_frac": critical.soft_shock_frac,
        "is_soft_censored": critical.soft_shock_frac is None,
        "sim_jump_shock_frac": critical.jump_shock_frac,
        "is_jump_censored": critical.jump_shock_frac is None,
        "grid_max_shock_frac": SEARCH_MAX_SHOCK_FRAC,
        "sim_max_branching_x": max_branching(
            on.mark_ticks,
            on.book,
            on.fuel,
            side=on.side,
            depth_survival_frac=setting.depth_survival_frac,
            sold_share_frac=setting.sold_share_frac,
            max_move_frac=SEARCH_MAX_SHOCK_FRAC,
        ),
    }


def _placed(state: MarketState, side: PositionSide, settings: Sequence[Setting]) -> Iterator[tuple[_Side, Setting]]:
    """Put one side of a state on the lattice once per impact exponent, and pair it with each setting."""
    placed: dict[float, _Side] = {}
    for setting in settings:
        g = setting.impact_exponent_x
        if g not in placed:
            placed[g] = _on_lattice(state, side, g)
        yield placed[g], setting


def _stress_rows(on: _Side, setting: Setting, shocks_frac: Sequence[float]) -> list[Row]:
    inputs = _inputs(on, setting)
    scenarios = [
        Scenario(s, setting.shock_kind, on.side, setting.depth_survival_frac, setting.sold_share_frac)
        for s in shocks_frac
    ]
    outcomes = replay_static(on.mark_ticks, on.book, on.fuel, scenarios)
    return [_stress_row(on, inputs, s, o) for s, o in zip(shocks_frac, outcomes, strict=True)]


# --- frames, writing, one question ---------------------------------------------------------------------------------------


def stress_frames(con: duckdb.DuckDBPyConnection, day: date) -> StressFrames:
    """Replay every asset's closing state of a day over the reported shocks and search its critical shocks.

    Returns
    -------
    StressFrames
        `stress` and `critical` have exactly the columns and types of ``quality/schemas/sim.py``, sorted by grain.
    """
    found = survey(con, day)
    stress: list[Row] = []
    critical: list[Row] = []
    for state in found.states:
        for side in POSITION_SIDES:
            for on, setting in _placed(state, side, SETTINGS):
                stress += _stress_rows(on, setting, REPORTED_SHOCKS_FRAC)
                critical.append(_critical_row(on, setting))
    return StressFrames(_frame(STRESS_SCENARIOS, stress), _frame(CRITICAL_SHOCKS, critical), found.left_out)


def what_if(
    con: duckdb.DuckDBPyConnection,
    asset: str,
    day: date | None,
    shock_frac: float,
    side: PositionSide,
    *,
    settings: Sequence[Setting] = SETTINGS,
) -> list[Row]:
    """Replay one shock on one asset, on the last replayed day where `day` is None.

    Returns
    -------
    list of dict
        One row per setting with the columns of ``sim.stress_scenarios``, also `is_synthetic`.

    Raises
    ------
    ValueError
        Where the asset has no state on the day (with the reason), or the shock is unlawful.
    """
    if day is None:
        last = con.execute(_LAST_DAY, {"asset": asset}).fetchone()
        if last is None or last[0] is None:
            raise ValueError(
                f"{asset}: no open interest on any day with a price, so there is nothing to replay; see marts.dim_assets"
            )
        day = last[0]
    found = survey(con, day)
    states = [s for s in found.states if s.asset == asset]
    if not states:
        reason = dict(found.left_out).get(asset, "unknown_asset")
        raise ValueError(
            f"{asset} on {day}: no replay ({reason}); see marts.fct_data_coverage_daily for what is missing"
        )
    return [
        {name: row[name] for name in STRESS_SCENARIOS.columns}
        for on, setting in _placed(states[0], side, settings)
        for row in _stress_rows(on, setting, [shock_frac])
    ]


def _frame(table: Table, rows: list[Row]) -> pl.DataFrame:
    schema = {f.name: _polars_type(f.sql_type) for f in table.fields}
    ordered = [{name: row[name] for name in table.columns} for row in rows]
    return pl.DataFrame(ordered, schema=schema).sort(table.grain)


def _polars_type(sql_type: str) -> pl.DataType:
    if sql_type.startswith("DECIMAL"):
        precision, scale = sql_type.removeprefix("DECIMAL(").removesuffix(")").split(",")
        return pl.Decimal(int(precision), int(scale))
    return POLARS_TYPES[sql_type]


def ensure_sim_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create schema ``sim`` and its tables, typed as in ``quality/schemas/sim.py``, where they are absent."""
    con.execute("create schema if not exists sim")
    for table in SIM_TABLES.values():
        columns = ", ".join(
            f.name + " " + f.sql_type + ("" if f.name in table.nullable else " not null") for f in table.fields
        )
        con.execute("create table if not exists " + table.address + " (" + columns + ")")


def write_sim(con: duckdb.DuckDBPyConnection, day: date, stress: pl.DataFrame, critical: pl.DataFrame) -> None:
    """Replace a day's rows in the sim tables, both tables in one transaction.

    Raises
    ------
    ValueError
        Where a frame holds rows of another day, which would then be written twice.
    """
    frames = ((STRESS_SCENARIOS, stress), (CRITICAL_SHOCKS, critical))
    for table, frame in frames:
        other = frame.filter(pl.col("scenario_date_utc") != day)
        if other.height:
            raise ValueError(
                f"{table.address}: a row of {other['scenario_date_utc'][0]} among those of {day}; write day by day"
            )
    con.begin()
    try:
        ensure_sim_tables(con)
        for table, frame in frames:
            names = ", ".join(table.columns)
            con.execute("delete from " + table.address + " where scenario_date_utc = ?", [day])
            con.register("incoming", frame)
            con.execute(
                "insert into " + table.address + " (" + names + ") "
                "select " + names + " from incoming order by " + ", ".join(table.grain)
            )
            con.unregister("incoming")
        con.commit()
    except BaseException:
        con.rollback()
        raise
