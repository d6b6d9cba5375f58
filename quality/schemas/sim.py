"""Sim tables: what the cascade writes (Python's only schema beside raw). The stress marts read them in the second dbt pass."""

from __future__ import annotations

from quality.fields.dictionary import fields
from quality.tables import Table

_SETTING = (
    "setting",
    "shock_kind",
    "depth_survival_frac",
    "impact_exponent_x",
    "sold_share_frac",
    "fuel_origin",
    "fuel_prior",
    "depth_origin",
    "depth_prior",
)
_INPUTS = (
    "reference_price_quote",
    "fuel_open_interest_usd",
    "fuel_venues",
    "fuel_weight_frac",
    "depth_100bps_usd",
)

STRESS_SCENARIOS = Table(
    "sim",
    "stress_scenarios",
    "Static cascade replays. One row per asset, day, position side, shock and setting.",
    grain=("scenario_date_utc", "asset", "position_side", "setting", "shock_frac"),
    fields=fields(
        "scenario_date_utc",
        "asset",
        "position_side",
        *_SETTING,
        "shock_frac",
        *_INPUTS,
        "sim_trough_price_quote",
        "sim_move_frac",
        "sim_amplification_x",
        "sim_forced_base",
        "sim_forced_notional_usd",
        "sim_forced_frac",
        "sim_sold_base",
        "sim_not_sold_base",
        "sim_unabsorbed_base",
        "sim_excluded_base",
        "sim_rounds_count",
        "sim_average_fill_quote",
        "sim_slippage_usd",
        "sim_shortfall_usd",
        "is_exhausted",
        "is_synthetic",
    ),
    nullable=frozenset({"depth_prior", "sim_average_fill_quote"}),
)

CRITICAL_SHOCKS = Table(
    "sim",
    "critical_shocks",
    "Critical shocks on the grid. One row per asset, day, position side and setting.",
    grain=("scenario_date_utc", "asset", "position_side", "setting"),
    fields=fields(
        "scenario_date_utc",
        "asset",
        "position_side",
        *_SETTING,
        *_INPUTS,
        "sim_soft_shock_frac",
        "is_soft_censored",
        "sim_jump_shock_frac",
        "is_jump_censored",
        "grid_max_shock_frac",
        "sim_max_branching_x",
        "is_synthetic",
    ),
    nullable=frozenset({"depth_prior", "sim_soft_shock_frac", "sim_jump_shock_frac"}),
)

SIM_TABLES: dict[str, Table] = {t.name: t for t in (STRESS_SCENARIOS, CRITICAL_SHOCKS)}
