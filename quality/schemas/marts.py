"""Marts as the Python side knows them. dbt's yml declares the same columns; a two-way drift test holds the two together.

The order of columns is the order in the mart; `nullable` names what may be missing, the rest carries a not-null constraint.
"""

from __future__ import annotations

from quality.fields.dictionary import fields
from quality.schemas.sim import (
    BRANCHING_PROFILES,
    CRITICAL_SHOCKS,
    LIQUIDATION_FUEL,
    REPLAYS,
    STRESS_SCENARIOS,
)
from quality.tables import Table


def _mart(name: str, description: str, grain: str, columns: str, nullable: str = "") -> Table:
    return Table(
        "marts",
        name,
        description,
        grain=tuple(grain.split()),
        fields=fields(*columns.split()),
        nullable=frozenset(nullable.split()),
    )


_MARTS = (
    _mart(
        "dim_assets",
        "Assets that any record of a market, a fund or holders, or the seed, names; leverage tiers alone name none. One row per asset.",
        "asset",
        "asset asset_name first_seen_date_utc last_seen_date_utc is_synthetic",
        "first_seen_date_utc last_seen_date_utc",
    ),
    _mart(
        "dim_venues",
        "Exchanges and publishers that records come from. One row per venue.",
        "venue",
        "venue venue_name venue_kind open_interest_basis reference_rank terms_note",
        "open_interest_basis reference_rank",
    ),
    _mart(
        "dim_instruments",
        "Contracts. One row per instrument (venue, symbol and listing).",
        "instrument_id",
        "instrument_id venue venue_symbol asset quote_asset settle_asset contract_kind contract_size_base "
        "contract_size_usd price_tick_quote quantity_step_base listed_at_utc is_listing_time_known first_seen_date_utc "
        "last_seen_date_utc is_synthetic",
        "quote_asset settle_asset contract_kind contract_size_base contract_size_usd price_tick_quote quantity_step_base listed_at_utc",
    ),
    _mart(
        "dim_leverage_tiers",
        "Maintenance margin and leverage by position size, and when they were seen to hold. One row per venue, symbol, tier and "
        "start of validity.",
        "venue venue_symbol tier_rank valid_from_utc",
        "venue venue_symbol asset settle_asset tier_rank notional_floor_settle notional_cap_settle maintenance_margin_rate_frac "
        "maintenance_amount_settle max_leverage_x valid_from_utc valid_to_utc last_observed_at_utc source is_synthetic",
        "maintenance_amount_settle valid_to_utc",
    ),
    _mart(
        "fct_candles_hourly",
        "Trade candles after ranking of sources. One row per instrument and hour.",
        "instrument_id interval_start_utc",
        "instrument_id venue asset interval_start_utc interval_end_utc open_quote high_quote low_quote close_quote volume_base "
        "volume_usd return_frac is_closed source is_synthetic",
        "volume_base volume_usd return_frac",
    ),
    _mart(
        "fct_minute_candles",
        "Trade candles by the minute, of the days and venues that were asked for. One row per instrument and minute.",
        "instrument_id interval_start_utc",
        "instrument_id venue asset interval_start_utc open_quote high_quote low_quote close_quote volume_base is_closed "
        "source is_synthetic",
        "volume_base",
    ),
    _mart(
        "fct_prices_hourly",
        "Reference prices over the venues. One row per asset and hour.",
        "asset interval_start_utc",
        "asset interval_start_utc interval_end_utc reference_venue open_quote high_quote low_quote close_quote median_close_quote "
        "lowest_low_quote highest_high_quote close_dispersion_bps volume_base volume_usd return_frac venues_count is_closed is_synthetic",
        "close_dispersion_bps volume_base volume_usd return_frac",
    ),
    _mart(
        "fct_market_recaps_daily",
        "The day in one row: return, falls, beta, volume. One row per asset and UTC day.",
        "asset recap_date_utc",
        "asset recap_date_utc reference_venue open_quote high_quote low_quote close_quote return_frac range_frac drawdown_frac "
        "drawdown_30d_frac wick_frac retrace_frac downside_beta_x volume_usd volume_z_x breadth_frac hours_count venues_count is_closed is_synthetic",
        "return_frac retrace_frac downside_beta_x volume_usd volume_z_x breadth_frac",
    ),
    _mart(
        "fct_funding_rates",
        "Funding settlements with their interval and 8-hour normal form. One row per instrument and settlement.",
        "instrument_id settled_at_utc",
        "instrument_id venue asset settled_at_utc occurred_at_utc funding_rate_frac funding_interval_hours interval_origin "
        "funding_rate_8h_frac funding_rate_annualised_frac source is_synthetic",
        "funding_interval_hours funding_rate_8h_frac funding_rate_annualised_frac",
    ),
    _mart(
        "fct_funding_daily",
        "Funding of the day over the venues. One row per asset and UTC day.",
        "asset funding_date_utc",
        "asset funding_date_utc oi_weighted_funding_8h_frac mean_funding_8h_frac median_funding_8h_frac min_funding_8h_frac "
        "max_funding_8h_frac funding_dispersion_bps funding_z_x settlements_count venues_count weighted_venues_count is_synthetic",
        "oi_weighted_funding_8h_frac mean_funding_8h_frac median_funding_8h_frac min_funding_8h_frac max_funding_8h_frac "
        "funding_dispersion_bps funding_z_x",
    ),
    _mart(
        "fct_open_interest_hourly",
        "One-sided open interest; the last observation of the hour. One row per instrument and hour.",
        "instrument_id interval_start_utc",
        "instrument_id venue asset interval_start_utc occurred_at_utc open_interest_one_sided_base open_interest_one_sided_usd "
        "open_interest_base_origin open_interest_usd_origin open_interest_basis open_interest_change_1h_frac "
        "open_interest_base_change_1h_frac source is_synthetic",
        "open_interest_one_sided_base open_interest_one_sided_usd open_interest_change_1h_frac open_interest_base_change_1h_frac",
    ),
    _mart(
        "fct_basis_hourly",
        "How far a contract stands from its spot index at the end of the hour. One row per instrument and hour with a mark or an "
        "index price.",
        "instrument_id interval_start_utc",
        "instrument_id venue asset interval_start_utc interval_end_utc close_quote mark_close_quote index_close_quote basis_bps "
        "mark_basis_bps is_closed is_synthetic",
        "close_quote mark_close_quote index_close_quote basis_bps mark_basis_bps",
    ),
    _mart(
        "fct_long_short_ratios_hourly",
        "How a venue's accounts or positions are split; the last observation of the hour. Each venue counts by its own rules. "
        "One row per instrument, kind of ratio and hour.",
        "instrument_id ratio_kind interval_start_utc",
        "instrument_id venue asset ratio_kind interval_start_utc occurred_at_utc long_short_ratio_x long_share_frac source "
        "is_synthetic",
    ),
    _mart(
        "fct_insurance_funds_daily",
        "What stands behind bankrupt positions, as last seen on the day. One row per venue and UTC day.",
        "venue fund_date_utc",
        "venue fund_date_utc balance_usd balance_change_frac funds_count unpriced_funds_count is_synthetic",
        "balance_usd balance_change_frac",
    ),
    _mart(
        "fct_adl_states",
        "Whether positions are closed against profitable ones, or how near to that a venue says it is. Each venue tells it in its "
        "own way. One row per venue, symbol and instant.",
        "venue venue_symbol occurred_at_utc",
        "venue venue_symbol asset occurred_at_utc adl_state adl_word settle_asset fund_balance_settle "
        "fund_least_settle pnl_ratio_frac adl_start_ratio_frac adl_stop_ratio_frac source is_synthetic",
        "adl_state adl_word fund_balance_settle fund_least_settle pnl_ratio_frac adl_start_ratio_frac adl_stop_ratio_frac",
    ),
    _mart(
        "fct_tickers_daily",
        "All contracts that a venue lists, also beyond the universe, as last seen on the day. One row per venue, symbol and UTC "
        "day.",
        "venue venue_symbol ticker_date_utc",
        "venue venue_symbol asset ticker_date_utc occurred_at_utc last_quote best_bid_quote best_ask_quote mark_quote index_quote "
        "volume_24h_base open_interest_base open_interest_usd open_interest_basis source is_synthetic",
        "last_quote best_bid_quote best_ask_quote mark_quote index_quote volume_24h_base open_interest_base open_interest_usd "
        "open_interest_basis",
    ),
    _mart(
        "fct_perp_positions_daily",
        "Open positions of the accounts that are followed, as last seen on the day. One row per venue, account, symbol and UTC "
        "day.",
        "venue account_address venue_symbol position_date_utc",
        "venue account_address venue_symbol asset settle_asset position_date_utc occurred_at_utc position_side position_base "
        "entry_quote liquidation_quote margin_mode margin_settle leverage_x account_value_settle source is_synthetic",
        "liquidation_quote margin_settle leverage_x",
    ),
    _mart(
        "fct_depth_hourly",
        "Order-book depth around the mid; the last sound book of the hour. One row per instrument, hour and band.",
        "instrument_id interval_start_utc band_bps",
        "instrument_id venue asset interval_start_utc occurred_at_utc mid_quote band_bps bid_depth_base ask_depth_base source is_synthetic",
        "mid_quote bid_depth_base ask_depth_base",
    ),
    _mart(
        "fct_liquidations",
        "Forced orders of the best source of each hour, and how much of them it shows. One row per instrument, instant and place "
        "among the orders of that instant.",
        "instrument_id occurred_at_utc liquidation_rank",
        "instrument_id venue asset occurred_at_utc liquidation_rank position_side order_side quantity_contracts quantity_base "
        "quantity_base_origin order_price_quote order_price_kind notional_usd completeness_class source is_synthetic",
        "quantity_contracts",
    ),
    _mart(
        "fct_liquidations_hourly",
        "Forced orders of the hour. Classes of completeness are never added together. One row per venue, asset, position side, hour "
        "and completeness class.",
        "venue asset position_side interval_start_utc completeness_class",
        "venue asset position_side interval_start_utc completeness_class liquidations_count quantity_base notional_usd "
        "largest_notional_usd sources is_synthetic",
    ),
    _mart(
        "fct_etf_flows_daily",
        "Net flows of spot ETFs. One row per asset, fund and trading day.",
        "asset fund flow_date_utc",
        "asset fund flow_date_utc net_flow_usd net_flow_5d_usd cumulative_net_flow_usd streak_count is_trading_day "
        "missing_trading_days_count reporting_funds_count venue source is_synthetic",
    ),
    _mart(
        "fct_holder_supply_daily",
        "Supply, long-term holders' proxy, value and exchange flows of a coin, with the terms of their source. One row per asset and "
        "UTC day.",
        "asset holder_date_utc",
        "asset holder_date_utc supply_base supply_active_1y_base est_long_term_supply_base est_long_term_supply_frac "
        "est_long_term_supply_change_30d_base price_quote market_cap_usd mvrv_x exchange_inflow_usd exchange_outflow_usd "
        "exchange_net_inflow_usd venue terms_note source is_synthetic",
        "supply_base supply_active_1y_base est_long_term_supply_base est_long_term_supply_frac est_long_term_supply_change_30d_base "
        "price_quote market_cap_usd mvrv_x exchange_inflow_usd exchange_outflow_usd exchange_net_inflow_usd",
    ),
    _mart(
        "fct_macro_observations",
        "Macro figures by vintage. One row per series, observation day and vintage.",
        "series_id observation_date_utc vintage_date_utc",
        "series_id series_name observation_date_utc vintage_date_utc vintage_origin value_native previous_value_native "
        "change_native unit venue source is_synthetic",
        "previous_value_native change_native",
    ),
    _mart(
        "fct_macro_releases",
        "What came out when, of monthly series: the newest figure, the one before as it was known, and what was expected. One row "
        "per series and release day.",
        "series_id release_date_utc",
        "series_id series_name release_date_utc release_status release_origin observation_date_utc value_native "
        "previous_known_native previous_revised_native revision_native surprise_native consensus_native "
        "consensus_surprise_native consensus_venue unit venue source is_synthetic",
        "observation_date_utc value_native previous_known_native previous_revised_native revision_native surprise_native "
        "consensus_native consensus_surprise_native consensus_venue unit",
    ),
    _mart(
        "fct_rate_expectations_daily",
        "What the market expects of the policy rate, from a user's file. One row per meeting, target range and observed day.",
        "meeting_date_utc target_low_bps target_high_bps observed_date_utc",
        "meeting_date_utc observed_date_utc target_low_bps target_high_bps probability_frac probability_change_frac "
        "expected_rate_bps is_most_likely venue source is_synthetic",
        "probability_change_frac",
    ),
    _mart(
        "fct_sentiment_daily",
        "Sentiment indices. One row per index and day.",
        "index_name sentiment_date_utc",
        "index_name sentiment_date_utc sentiment_index sentiment_change_7d_index sentiment_class venue source is_synthetic",
        "sentiment_change_7d_index",
    ),
    _mart(
        "fct_lending_liquidations",
        "Liquidation calls of lending pools, from the best source of each day. One row per venue and call.",
        "venue call_id",
        "venue chain protocol market_address call_id occurred_at_utc block_height block_hash transaction_hash log_offset "
        "user_address liquidator_address collateral_symbol collateral_address collateral_seized_raw collateral_seized_base "
        "debt_symbol debt_address debt_repaid_raw debt_repaid_base amounts_unit reported_collateral_seized_usd "
        "reported_debt_repaid_usd est_collateral_seized_usd est_debt_repaid_usd est_usd_origin est_liquidation_bonus_frac "
        "is_value_plausible is_atoken_received repairs verified_by source is_synthetic",
        "block_height block_hash transaction_hash log_offset liquidator_address collateral_address collateral_seized_base "
        "debt_address debt_repaid_base reported_collateral_seized_usd reported_debt_repaid_usd est_collateral_seized_usd "
        "est_debt_repaid_usd est_liquidation_bonus_frac is_value_plausible is_atoken_received repairs",
    ),
    _mart(
        "fct_lending_reserves_daily",
        "Rules, caps, totals and oracle price of a lending market's reserves; the last observation of the day. One row per venue, "
        "token and UTC day.",
        "venue token_address reserve_date_utc",
        "venue chain protocol market_address reserve_date_utc observed_at_utc block_height block_hash token_symbol token_address "
        "asset ltv_frac liquidation_threshold_frac liquidation_bonus_frac protocol_fee_frac reserve_factor_frac supply_cap_base "
        "borrow_cap_base supplied_raw supplied_base supplied_usd borrowed_raw borrowed_base borrowed_usd utilisation_frac "
        "oracle_price_quote is_collateral_enabled is_borrowing_enabled is_active is_frozen is_paused source is_synthetic",
        "asset liquidation_bonus_frac supply_cap_base borrow_cap_base supplied_base supplied_usd borrowed_base borrowed_usd utilisation_frac",
    ),
    _mart(
        "fct_lending_positions_daily",
        "What borrowers of a lending market hold and owe, their health and the prices at which they fail; the last observation of "
        "the day. One row per venue, account, token and UTC day.",
        "venue user_address token_address position_date_utc",
        "venue chain protocol market_address position_date_utc observed_at_utc block_height block_hash user_address token_symbol "
        "token_address asset supplied_raw supplied_base supplied_usd is_collateral borrowed_raw borrowed_base borrowed_usd "
        "oracle_price_quote liquidation_threshold_frac est_liquidation_price_quote account_collateral_usd account_debt_usd "
        "account_threshold_frac health_factor_raw health_factor_x source is_synthetic",
        "asset supplied_base supplied_usd borrowed_base borrowed_usd est_liquidation_price_quote health_factor_x",
    ),
    _mart(
        "fct_stablecoins_daily",
        "Stablecoins in circulation by chain, their change, and how far the price is from the peg. One row per stablecoin, chain "
        "and UTC day.",
        "stablecoin_id supply_chain supply_date_utc",
        "stablecoin_id stablecoin_symbol supply_chain supply_date_utc observed_at_utc peg_type peg_mechanism "
        "stablecoin_price_quote peg_deviation_bps circulating_base est_circulating_usd est_usd_origin "
        "circulating_change_1d_base circulating_change_7d_base circulating_change_30d_base venue source is_synthetic",
        "peg_mechanism stablecoin_price_quote peg_deviation_bps est_circulating_usd circulating_change_1d_base "
        "circulating_change_7d_base circulating_change_30d_base",
    ),
    _mart(
        "fct_exchange_reserves_daily",
        "What exchanges hold and what flowed in or out since the day before, as chains show it and as publishers tell it. One row "
        "per exchange, asset, UTC day and origin.",
        "exchange reserve_asset reserve_date_utc reserve_origin",
        "exchange reserve_asset reserve_date_utc reserve_origin observed_at_utc is_stablecoin balance_base reported_balance_usd "
        "est_balance_usd est_usd_origin balance_change_base est_net_flow_usd holders_count is_synthetic",
        "balance_base reported_balance_usd est_balance_usd balance_change_base est_net_flow_usd",
    ),
    _mart(
        "fct_data_coverage_daily",
        "What is there and what is missing, with the reason. One row per dataset, venue and UTC day.",
        "dataset venue coverage_date_utc",
        "dataset venue coverage_date_utc coverage_status coverage_reason expected_rows_count observed_rows_count missing_rows_count "
        "quarantined_rows_count coverage_frac gap_s sources is_synthetic",
        "coverage_frac gap_s",
    ),
    _mart(
        "fct_quarantined_rows_daily",
        "Rows that were refused. One row per dataset, venue, source, capture key day and reason.",
        "dataset venue source capture_date_utc reason",
        "dataset venue source capture_date_utc reason quarantined_rows_count is_synthetic",
    ),
    _mart(
        "fct_source_disagreements_daily",
        "Buckets that two sources gave and how far they differ. One row per dataset, venue and UTC day.",
        "dataset venue coverage_date_utc",
        "dataset venue coverage_date_utc sources compared_rows_count disagreeing_rows_count max_difference_bps",
    ),
    Table(
        "marts",
        "fct_stress_scenarios_daily",
        "Static cascade replays of the day's closing state. One row per asset, day, position side, shock and setting.",
        grain=STRESS_SCENARIOS.grain,
        fields=STRESS_SCENARIOS.fields,
        nullable=STRESS_SCENARIOS.nullable,
    ),
    Table(
        "marts",
        "fct_critical_shocks_daily",
        "Smallest shocks that start a fall which feeds itself. One row per asset, day, position side and setting.",
        grain=CRITICAL_SHOCKS.grain,
        fields=CRITICAL_SHOCKS.fields,
        nullable=CRITICAL_SHOCKS.nullable,
    ),
    Table(
        "marts",
        "fct_branching_profiles_daily",
        "Where a fall feeds itself: the branching ratio along the move. One row per asset, day, position side, setting of a sell "
        "shock and window of the move.",
        grain=BRANCHING_PROFILES.grain,
        fields=BRANCHING_PROFILES.fields,
        nullable=BRANCHING_PROFILES.nullable,
    ),
    Table(
        "marts",
        "fct_replays",
        "Falls and squeezes replayed hour by hour, with and without feedback. One row per asset, day, variant and hour.",
        grain=REPLAYS.grain,
        fields=REPLAYS.fields,
        nullable=REPLAYS.nullable,
    ),
    Table(
        "marts",
        "fct_liquidation_fuel_daily",
        LIQUIDATION_FUEL.description,
        grain=LIQUIDATION_FUEL.grain,
        fields=LIQUIDATION_FUEL.fields,
        nullable=LIQUIDATION_FUEL.nullable,
    ),
)

MARTS: dict[str, Table] = {t.name: t for t in _MARTS}

# The column of a mart that says to which UTC day a row belongs; exports of a day are cut by it. None: exported whole.
MART_DAY_COLUMN: dict[str, str | None] = {
    "dim_assets": None,
    "dim_venues": None,
    "dim_instruments": None,
    "dim_leverage_tiers": None,
    "fct_candles_hourly": "interval_start_utc",
    "fct_minute_candles": "interval_start_utc",
    "fct_prices_hourly": "interval_start_utc",
    "fct_market_recaps_daily": "recap_date_utc",
    "fct_funding_rates": "settled_at_utc",
    "fct_funding_daily": "funding_date_utc",
    "fct_open_interest_hourly": "interval_start_utc",
    "fct_basis_hourly": "interval_start_utc",
    "fct_long_short_ratios_hourly": "interval_start_utc",
    "fct_insurance_funds_daily": "fund_date_utc",
    "fct_adl_states": "occurred_at_utc",
    "fct_tickers_daily": "ticker_date_utc",
    "fct_perp_positions_daily": "position_date_utc",
    "fct_depth_hourly": "interval_start_utc",
    "fct_liquidations": "occurred_at_utc",
    "fct_liquidations_hourly": "interval_start_utc",
    "fct_etf_flows_daily": "flow_date_utc",
    "fct_holder_supply_daily": "holder_date_utc",
    "fct_macro_observations": "observation_date_utc",
    "fct_macro_releases": "release_date_utc",
    "fct_rate_expectations_daily": "observed_date_utc",
    "fct_sentiment_daily": "sentiment_date_utc",
    "fct_lending_liquidations": "occurred_at_utc",
    "fct_lending_reserves_daily": "reserve_date_utc",
    "fct_lending_positions_daily": "position_date_utc",
    "fct_stablecoins_daily": "supply_date_utc",
    "fct_exchange_reserves_daily": "reserve_date_utc",
    "fct_data_coverage_daily": "coverage_date_utc",
    "fct_quarantined_rows_daily": "capture_date_utc",
    "fct_source_disagreements_daily": "coverage_date_utc",
    "fct_stress_scenarios_daily": "scenario_date_utc",
    "fct_critical_shocks_daily": "scenario_date_utc",
    "fct_branching_profiles_daily": "scenario_date_utc",
    "fct_replays": "replay_date_utc",
    "fct_liquidation_fuel_daily": "fuel_date_utc",
}
