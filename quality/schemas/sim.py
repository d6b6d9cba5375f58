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
    "draw_law",
    "draws_count",
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
        "sim_move_p05_frac",
        "sim_move_p50_frac",
        "sim_move_p95_frac",
        "sim_forced_notional_p05_usd",
        "sim_forced_notional_p50_usd",
        "sim_forced_notional_p95_usd",
        "sim_shortfall_p05_usd",
        "sim_shortfall_p50_usd",
        "sim_shortfall_p95_usd",
        "sim_exhausted_frac",
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
        "sim_soft_shock_p05_frac",
        "sim_soft_shock_p50_frac",
        "sim_soft_shock_p95_frac",
        "sim_soft_censored_frac",
        "sim_jump_shock_p05_frac",
        "sim_jump_shock_p50_frac",
        "sim_jump_shock_p95_frac",
        "sim_jump_censored_frac",
        "is_synthetic",
    ),
    nullable=frozenset(
        {
            "depth_prior",
            *(f"sim_{kind}_shock_{rank}frac" for kind in ("soft", "jump") for rank in ("", "p05_", "p50_", "p95_")),
        }
    ),
)

BRANCHING_PROFILES = Table(
    "sim",
    "branching_profiles",
    "Branching ratio along the move. One row per asset, day, position side, setting of a sell shock and window of the move.",
    grain=("scenario_date_utc", "asset", "position_side", "setting", "window_start_frac"),
    fields=fields(
        "scenario_date_utc",
        "asset",
        "position_side",
        *_SETTING,
        "window_start_frac",
        "window_end_frac",
        *_INPUTS,
        "sim_branching_x",
        "sim_branching_p05_x",
        "sim_branching_p50_x",
        "sim_branching_p95_x",
        "is_waterfall",
        "sim_waterfall_frac",
        "is_synthetic",
    ),
    nullable=frozenset({"depth_prior"}),
)

REPLAYS = Table(
    "sim",
    "replays",
    "Days on which an asset moved by 5 % or more, replayed from the state before. One row per asset, day, variant and hour.",
    grain=("replay_date_utc", "asset", "variant", "interval_start_utc"),
    fields=fields(
        "replay_date_utc",
        "asset",
        "variant",
        "interval_start_utc",
        "interval_end_utc",
        "position_side",
        "fuel_origin",
        "fuel_prior",
        "depth_origin",
        "depth_prior",
        "depth_process",
        "orders_origin",
        "reference_price_quote",
        "fuel_open_interest_usd",
        "low_quote",
        "high_quote",
        "close_quote",
        "sim_mark_quote",
        "sim_forced_long_base",
        "sim_forced_short_base",
        "sim_forced_long_usd",
        "sim_forced_short_usd",
        "sim_unabsorbed_base",
        "is_exhausted",
        "sim_depth_survival_frac",
        "sim_endogenous_share_frac",
        "sim_endogenous_share_low_frac",
        "sim_endogenous_share_first_frac",
        "is_synthetic",
    ),
    nullable=frozenset(
        {
            "depth_prior",
            "sim_forced_long_usd",
            "sim_forced_short_usd",
            "sim_depth_survival_frac",
            "sim_endogenous_share_frac",
            "sim_endogenous_share_low_frac",
            "sim_endogenous_share_first_frac",
            "sim_unabsorbed_base",
        }
    ),
)

LIQUIDATION_FUEL = Table(
    "sim",
    "liquidation_fuel",
    "Collateral that known accounts lose as an asset's price falls, under their market's rules. One row per UTC day, venue, "
    "asset, position side, origin and window of the move.",
    grain=("fuel_date_utc", "venue", "asset", "position_side", "fuel_origin", "window_end_frac"),
    fields=fields(
        "fuel_date_utc",
        "venue",
        "asset",
        "position_side",
        "fuel_origin",
        "window_start_frac",
        "window_end_frac",
        "observed_at_utc",
        "oracle_price_quote",
        "trigger_quote",
        "fuel_base",
        "fuel_usd",
        "fuel_debt_usd",
        "close_factor_frac",
        "liquidation_bonus_frac",
        "accounts_count",
        "left_out_accounts_count",
        "is_synthetic",
    ),
)

# The column that says to which UTC day a row belongs.
SIM_DAY_COLUMN: dict[str, str] = {
    "stress_scenarios": "scenario_date_utc",
    "critical_shocks": "scenario_date_utc",
    "branching_profiles": "scenario_date_utc",
    "replays": "replay_date_utc",
    "liquidation_fuel": "fuel_date_utc",
}

SIM_TABLES: dict[str, Table] = {
    t.name: t for t in (STRESS_SCENARIOS, CRITICAL_SHOCKS, BRANCHING_PROFILES, REPLAYS, LIQUIDATION_FUEL)
}
