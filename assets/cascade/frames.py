"""The bridge between tables and the replay: market states in, rows of the sim tables out.

Belongs here: the rows of the sim tables of the static cascade, writing them, and the one question of the
command line (`what_if`). Does not: reading the marts (``state.py``), any mathematics of the cascade (its siblings), any
Dagster type.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from assets.cascade.critical import critical_shock, max_branching
from assets.cascade.grid import GridCounts, branching_profile, critical_shocks, replay_grid
from assets.cascade.lattice import Book, Scenario
from assets.cascade.lending_fuel import lending_fuel_rows
from assets.cascade.market_side import MarketSide
from assets.cascade.params import (
    BRANCHING_WINDOW_BPS,
    CRITICAL_RULE,
    DRAW_LAW,
    DRAWS_COUNT,
    POSITION_SIDES,
    REPORTED_SHOCKS_FRAC,
    SEARCH_MAX_SHOCK_FRAC,
    SEARCH_STEP_BPS,
    SETTINGS,
    TICK_DECIMALS,
    TIER_PRIOR,
    PositionSide,
    Setting,
    TierPrior,
    capped,
)
from assets.cascade.replays import replay_rows
from assets.cascade.simulate import Outcome, replay_static, sweep_static
from assets.cascade.state import MarketState, market_states, survey
from assets.cascade.uncertainty import Draws, draw
from quality.schemas.sim import (
    BRANCHING_PROFILES,
    CRITICAL_SHOCKS,
    LIQUIDATION_FUEL,
    REPLAYS,
    SIM_DAY_COLUMN,
    SIM_TABLES,
    STRESS_SCENARIOS,
)
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

# Ranks of the published quantiles.
QUANTILES = (0.05, 0.50, 0.95)

Row = dict[str, Any]


class StressFrames(NamedTuple):
    """Rows of the sim tables for one day, and (asset, reason) of the assets that have none."""

    stress: pl.DataFrame
    critical: pl.DataFrame
    branching: pl.DataFrame
    replays: pl.DataFrame
    fuel: pl.DataFrame
    left_out: list[tuple[str, str]]

    def tables(self) -> list[tuple[Table, pl.DataFrame]]:
        """Return each sim table with its rows."""
        return list(zip(SIM_TABLES.values(), self[:-1], strict=True))


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


# --- rows of one side of one market -------------------------------------------------------------------------------------


def _inputs(on: MarketSide, setting: Setting, book: Book, draws_count: int) -> Row:
    """Return the columns that the sim tables share: key, setting and inputs."""
    state = on.state
    row_100bps = int(np.argmin(np.abs(np.abs(book.relative_price - 1.0) - 0.01)))
    depth_lots = int(book.cumulative_lots[row_100bps])
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
        "fuel_prior": on.prior.name + how,
        "depth_origin": on.depth.origin,
        "depth_prior": on.depth.prior,
        "draw_law": DRAW_LAW.name,
        "draws_count": draws_count,
        "reference_price_quote": state.reference_price_quote,
        "fuel_open_interest_usd": (state.open_interest_base * state.reference_price_quote).quantize(Decimal("1e-4")),
        "fuel_venues": ",".join(state.venues),
        "fuel_weight_frac": on.prior.weight_frac,
        "depth_100bps_usd": on.usd(setting.depth_survival_frac * depth_lots * float(on.mark_ticks)),
        "is_synthetic": state.is_synthetic,
    }


def _stress_row(on: MarketSide, inputs: Row, shock_frac: float, outcome: Outcome) -> Row:
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


def _drawn_columns(on: MarketSide, counts: GridCounts) -> list[list[Row]]:
    """Return the quantiles over draws, by shock and liquidity; 0.95 is the severe end of all of them."""
    n_shocks, n_liquidities = counts.unabsorbed_lots.shape
    exhausted = counts.place_count[:, :, -1] / counts.n_draws
    rows: list[list[Row]] = [
        [{"sim_exhausted_frac": float(exhausted[i, w])} for w in range(n_liquidities)] for i in range(n_shocks)
    ]
    for p in QUANTILES:
        name = _percent(p)
        move = np.abs(1.0 - counts.place_quantile(p) / on.mark_ticks)
        notional, shortfall = counts.notional_quantile(p), counts.shortfall_quantile(p)
        for i, w in np.ndindex(n_shocks, n_liquidities):
            rows[i][w] |= {
                f"sim_move_{name}_frac": float(move[i, w]),
                f"sim_forced_notional_{name}_usd": on.usd(float(notional[i, w])),
                f"sim_shortfall_{name}_usd": on.usd(float(shortfall[i, w])),
            }
    return rows


def _percent(p: float) -> str:
    return f"p{round(100 * p):02d}"


def _critical_columns(on: MarketSide, book: Book, setting: Setting) -> Row:
    """Return the critical shocks of the central estimate."""
    found = sweep_static(
        on.mark_ticks,
        book,
        on.fuel,
        _search_shocks(),
        shock_kind=setting.shock_kind,
        side=on.side,
        depth_survival_frac=setting.depth_survival_frac,
        sold_share_frac=setting.sold_share_frac,
    )
    move = np.abs(1.0 - found.mark_ticks / on.mark_ticks)
    critical = critical_shock(_search_shocks(), move, found.forced_lots / on.open_interest_lots, CRITICAL_RULE)
    return {
        "sim_soft_shock_frac": critical.soft_shock_frac,
        "is_soft_censored": critical.soft_shock_frac is None,
        "sim_jump_shock_frac": critical.jump_shock_frac,
        "is_jump_censored": critical.jump_shock_frac is None,
        "grid_max_shock_frac": SEARCH_MAX_SHOCK_FRAC,
        "sim_max_branching_x": max_branching(
            on.mark_ticks,
            book,
            on.fuel,
            side=on.side,
            depth_survival_frac=setting.depth_survival_frac,
            sold_share_frac=setting.sold_share_frac,
            max_move_frac=SEARCH_MAX_SHOCK_FRAC,
        ),
    }


def _drawn_critical_columns(name: str, index: npt.NDArray[np.int32]) -> Row:
    """Return the quantiles of a critical shock over draws, int32[n_draws]; missing where that rank is censored."""
    shocks = np.sort(np.where(index < 0, np.inf, _search_shocks()[index]))
    row: Row = {f"sim_{name}_censored_frac": float(np.isinf(shocks).mean())}
    for p in QUANTILES:
        at = float(shocks[max(1, math.ceil(p * shocks.size)) - 1])
        row[f"sim_{name}_shock_{_percent(p)}_frac"] = at if math.isfinite(at) else None
    return row


def _search_shocks() -> npt.NDArray[np.float64]:
    steps = round(SEARCH_MAX_SHOCK_FRAC * 1e4 / SEARCH_STEP_BPS)
    return np.arange(1, steps + 1) * SEARCH_STEP_BPS / 1e4


def _branching_rows(inputs: Row, central: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]) -> list[Row]:
    """Return a row per window: float64[n_windows] of the central estimate, float64[n_draws, n_windows] of the draws."""
    edges = _window_edges()
    rows = []
    for i in range(central.size):
        if np.isnan(central[i]) or np.isnan(drawn[:, i]).any():
            continue  # the book grows by nothing in this window: no ratio
        ranked = np.sort(drawn[:, i])
        at = {p: float(ranked[max(1, math.ceil(p * ranked.size)) - 1]) for p in QUANTILES}
        rows.append(
            {
                **inputs,
                "window_start_frac": float(edges[i]),
                "window_end_frac": float(edges[i + 1]),
                "sim_branching_x": float(central[i]),
                **{f"sim_branching_{_percent(p)}_x": value for p, value in at.items()},
                "is_waterfall": bool(central[i] > 1.0),
                "sim_waterfall_frac": float((ranked > 1.0).mean()),
            }
        )
    return rows


def _window_edges() -> npt.NDArray[np.float64]:
    windows = round(SEARCH_MAX_SHOCK_FRAC * 1e4 / BRANCHING_WINDOW_BPS)
    return np.arange(windows + 1) * BRANCHING_WINDOW_BPS / 1e4


def _groups(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Split settings into those that differ by W alone, which one grid replays; the deepest book first."""
    groups: dict[tuple[object, ...], list[Setting]] = {}
    for s in settings:
        key = (s.shock_kind, s.sold_share_frac, s.impact_exponent_x, s.is_exponent_drawn)
        groups.setdefault(key, []).append(s)
    return [sorted(group, key=lambda s: -s.depth_survival_frac) for group in groups.values()]


@dataclass(frozen=True)
class _SideRows:
    """Rows of one side over its settings."""

    stress: list[Row]
    critical: list[Row]
    branching: list[Row]


def _side_rows(
    on: MarketSide,
    settings: Sequence[Setting],
    shocks_frac: Sequence[float],
    draws: Draws,
    *,
    with_search: bool,
    threads: int | None = None,
) -> _SideRows:
    """Replay one side: every shock and setting, central and drawn; `with_search` adds critical shocks and branching."""
    rows = _SideRows([], [], [])
    n_draws = draws.depth_x.size
    threads = threads or os.cpu_count() or 1
    for group in _groups(settings):
        kind = group[0].shock_kind
        book = on.book(group[0].impact_exponent_x)
        grid = on.drawn_grid(group, DRAW_LAW, draws)
        counts = replay_grid(
            grid, shocks_frac, kind, money_unit_ticklots=on.usd_ticklots, with_shortfall=True, threads=threads
        )
        drawn = _drawn_columns(on, counts)
        inputs = [_inputs(on, setting, book, n_draws) for setting in group]
        for w, setting in enumerate(group):
            scenarios = [
                Scenario(s, kind, on.side, setting.depth_survival_frac, setting.sold_share_frac) for s in shocks_frac
            ]
            outcomes = replay_static(on.mark_ticks, book, on.fuel, scenarios)
            for i, outcome in enumerate(outcomes):
                row = _stress_row(on, inputs[w], shocks_frac[i], outcome)
                rows.stress.append(row | drawn[i][w])
        if not with_search:
            continue
        found = critical_shocks(grid, _search_shocks(), kind, open_interest_lots=on.open_interest_lots, threads=threads)
        for w, setting in enumerate(group):
            rows.critical.append(
                inputs[w]
                | _critical_columns(on, book, setting)
                | _drawn_critical_columns("soft", found.soft_index[:, w])
                | _drawn_critical_columns("jump", found.jump_index[:, w])
            )
        if kind == "sell":  # the ratio is defined for a sale only
            ratios = branching_profile(grid, _window_edges())
            for w, setting in enumerate(group):
                central = branching_profile(on.central_grid(setting), _window_edges())[0, 0]
                rows.branching.extend(_branching_rows(inputs[w], central, ratios[:, w]))
    return rows


def _draws(state: MarketState, prior: TierPrior, n_draws: int) -> Draws:
    windows = len(state.entry_windows)
    return draw(DRAW_LAW, state.day, state.asset, n_draws, n_tiers=len(prior.tiers), n_windows=windows)


# --- frames, writing, one question ---------------------------------------------------------------------------------------


def stress_frames(con: duckdb.DuckDBPyConnection, day: date, *, threads: int | None = None) -> StressFrames:
    """Replay every asset's closing state of a day over the reported shocks and search its critical shocks; replay its events.

    Beside them stands the fuel that accounts of lending markets show.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        Schema ``marts`` exists.
    day : datetime.date
    threads : int, optional
        Threads of the kernels, else one per core; the rows are the same on any number.

    Returns
    -------
    StressFrames
        Every frame has exactly the columns and types of ``quality/schemas/sim.py``, sorted by grain.
    """
    found = survey(con, day)
    rows = _SideRows([], [], [])
    for state in found.states:
        draws = _draws(state, TIER_PRIOR, DRAWS_COUNT)
        for side in POSITION_SIDES:
            of_side = _side_rows(
                MarketSide(state, side, TIER_PRIOR),
                SETTINGS,
                REPORTED_SHOCKS_FRAC,
                draws,
                with_search=True,
                threads=threads,
            )
            rows.stress.extend(of_side.stress)
            rows.critical.extend(of_side.critical)
            rows.branching.extend(of_side.branching)
    return StressFrames(
        _frame(STRESS_SCENARIOS, rows.stress),
        _frame(CRITICAL_SHOCKS, rows.critical),
        _frame(BRANCHING_PROFILES, rows.branching),
        _frame(REPLAYS, replay_rows(con, day)),
        _frame(LIQUIDATION_FUEL, lending_fuel_rows(con, day)),
        found.left_out,
    )


def what_if(
    con: duckdb.DuckDBPyConnection,
    asset: str,
    day: date | None,
    shock_frac: float,
    side: PositionSide,
    *,
    settings: Sequence[Setting] = SETTINGS,
    leverage_cap_x: float | None = None,
    n_draws: int = DRAWS_COUNT,
) -> list[Row]:
    """Replay one shock on one asset, on the last replayed day where `day` is None.

    `leverage_cap_x` moves the prior's tiers above it to the cap: their positions exist with more margin.

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
    prior = TIER_PRIOR if leverage_cap_x is None else capped(TIER_PRIOR, leverage_cap_x)
    on = MarketSide(states[0], side, prior)
    rows = _side_rows(on, settings, [shock_frac], _draws(states[0], prior, n_draws), with_search=False).stress
    return [{name: row[name] for name in STRESS_SCENARIOS.columns} for row in rows]


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


def write_sim(con: duckdb.DuckDBPyConnection, day: date, found: StressFrames) -> None:
    """Replace a day's rows in the sim tables, all tables in one transaction.

    Raises
    ------
    ValueError
        Where a frame holds rows of another day, which would then be written twice.
    """
    for table, frame in found.tables():
        column = SIM_DAY_COLUMN[table.name]
        other = frame.filter(pl.col(column) != day)
        if other.height:
            raise ValueError(f"{table.address}: a row of {other[column][0]} among those of {day}; write day by day")
    con.begin()
    try:
        ensure_sim_tables(con)
        for table, frame in found.tables():
            names = ", ".join(table.columns)
            con.execute("delete from " + table.address + " where " + SIM_DAY_COLUMN[table.name] + " = ?", [day])
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
