"""Statements of the sections beside the exchanges: lending, ETF flows, stablecoins, reserves, holders, macro, sentiment.

Belongs here: static text over ``marts.*``, values bound, a total order on each, as in ``queries.py``, which has the reader. Sums
run over DECIMAL. A window reads rows after its first value and up to the report's day.
"""

from __future__ import annotations

# Only calls whose two legs have values that fit each other are summed; the others are counted.
LENDING_CALLS = """
    select venue, collateral_symbol, count(*) as calls_count,
        count(*) filter (where verified_by in ('providers', 'receipts')) as verified_calls_count,
        string_agg(distinct verified_by, ',' order by verified_by) as verified_by,
        count(distinct user_address) as accounts_count,
        count(*) filter (where is_value_plausible) as valued_calls_count,
        sum(coalesce(reported_collateral_seized_usd, est_collateral_seized_usd)) filter (where is_value_plausible)
            as est_collateral_seized_usd,
        sum(coalesce(reported_debt_repaid_usd, est_debt_repaid_usd)) filter (where is_value_plausible) as est_debt_repaid_usd,
        bool_or(is_synthetic) as is_synthetic
    from marts.fct_lending_liquidations
    where occurred_at_utc >= ? and occurred_at_utc < ?
    group by venue, collateral_symbol
    order by venue, est_collateral_seized_usd desc nulls last, collateral_symbol
"""

# An account's figures stand on each of its rows, so one row per account is taken before anything is summed.
LENDING_MARKETS = """
    with bounds as (
        select ? as near_health_x
    ),
    accounts as (
        select venue, position_date_utc, user_address, max(observed_at_utc) as observed_at_utc,
            max(block_height) as block_height, max(account_collateral_usd) as account_collateral_usd,
            max(account_debt_usd) as account_debt_usd, min(health_factor_x) as health_factor_x,
            bool_or(is_synthetic) as is_synthetic
        from marts.fct_lending_positions_daily
        where position_date_utc > ? and position_date_utc <= ?
        group by venue, position_date_utc, user_address
        qualify position_date_utc = max(position_date_utc) over (partition by venue)
    ),
    summed as (
        select venue, position_date_utc, max(observed_at_utc) as observed_at_utc, max(block_height) as block_height,
            count(*) as accounts_count, sum(account_collateral_usd) as account_collateral_usd,
            sum(account_debt_usd) as account_debt_usd,
            count(*) filter (where health_factor_x < near_health_x) as near_accounts_count,
            count(health_factor_x) as borrowers_count,
            coalesce(sum(account_debt_usd) filter (where health_factor_x < near_health_x), 0) as near_debt_usd,
            count(*) filter (where health_factor_x < 1) as liquidatable_accounts_count,
            bool_or(is_synthetic) as is_synthetic
        from accounts, bounds
        group by venue, position_date_utc
    )
    select * exclude (borrowers_count),
        near_accounts_count::double / nullif(borrowers_count, 0) as near_accounts_frac,
        near_debt_usd::double / nullif(account_debt_usd::double, 0) as near_debt_frac
    from summed
    order by venue
"""

LENDING_FUEL = """
    select venue, asset, fuel_date_utc, fuel_origin, window_end_frac, fuel_usd, oracle_price_quote, left_out_accounts_count,
        is_synthetic
    from marts.fct_liquidation_fuel_daily
    where fuel_date_utc > ? and fuel_date_utc <= ? and position_side = 'long'
    qualify fuel_date_utc = max(fuel_date_utc) over (partition by venue)
    order by venue, asset, fuel_origin, window_end_frac
"""

LENDING_RESERVES = """
    select venue, token_symbol, reserve_date_utc, block_height, ltv_frac, liquidation_threshold_frac, liquidation_bonus_frac,
        supplied_usd, borrowed_usd, utilisation_frac, is_collateral_enabled, is_frozen, is_paused, is_synthetic
    from marts.fct_lending_reserves_daily
    where reserve_date_utc > ? and reserve_date_utc <= ?
    qualify reserve_date_utc = max(reserve_date_utc) over (partition by venue)
    order by venue, supplied_usd desc nulls last, token_symbol, token_address
"""

# Snapshots of funds: the last 20 trading days of each asset's total, and the latest date of each single fund.
ETF_FLOWS = """
    select asset, fund, flow_date_utc, net_flow_usd, net_flow_5d_usd, cumulative_net_flow_usd, streak_count,
        reporting_funds_count, missing_trading_days_count, is_synthetic
    from marts.fct_etf_flows_daily
    where flow_date_utc <= ?
    qualify row_number() over (partition by asset, fund order by flow_date_utc desc) <= ?
    order by asset, fund, flow_date_utc
"""

# {scope} is a column of the mart or a constant, never a value of the data.
_STABLECOINS = """
    select {scope} as name, supply_date_utc, sum(est_circulating_usd) as est_circulating_usd,
        sum(circulating_change_1d_base) as circulating_change_1d_base,
        sum(circulating_change_7d_base) as circulating_change_7d_base,
        sum(circulating_change_30d_base) as circulating_change_30d_base,
        count(*) as pairs_count, count(circulating_change_1d_base) as pairs_1d_count,
        count(circulating_change_7d_base) as pairs_7d_count, count(circulating_change_30d_base) as pairs_30d_count,
        arg_max(peg_deviation_bps, (abs(peg_deviation_bps), stablecoin_id, supply_chain))
            filter (where peg_deviation_bps is not null) as peg_deviation_bps,
        arg_max(stablecoin_price_quote, (abs(peg_deviation_bps), stablecoin_id, supply_chain))
            filter (where peg_deviation_bps is not null) as stablecoin_price_quote,
        bool_or(is_synthetic) as is_synthetic
    from (
        select *
        from marts.fct_stablecoins_daily
        where supply_date_utc > ? and supply_date_utc <= ? and peg_type = 'USD'
        qualify supply_date_utc = max(supply_date_utc) over ()
    ) as latest
    group by {scope}, supply_date_utc{more}
    order by est_circulating_usd desc nulls last, name{more}
"""
STABLECOIN_TOTAL = _STABLECOINS.format(scope="peg_type", more="")
STABLECOIN_COINS = _STABLECOINS.format(scope="stablecoin_symbol", more=", stablecoin_id")
STABLECOIN_CHAINS = _STABLECOINS.format(scope="supply_chain", more="")

# A chain that is told on some days only would draw a fall that did not happen: only pairs of every day are followed.
STABLECOIN_PATHS = """
    with window_rows as (
        select *
        from marts.fct_stablecoins_daily
        where supply_date_utc > ? and supply_date_utc <= ? and peg_type = 'USD'
    ),
    steady as (
        select *
        from window_rows
        qualify count(*) over (partition by stablecoin_id, supply_chain) = (select count(distinct supply_date_utc) from window_rows)
    )
    select stablecoin_symbol, supply_date_utc, sum(circulating_base) as circulating_base
    from steady
    group by stablecoin_symbol, supply_date_utc
    order by stablecoin_symbol, supply_date_utc
"""

RESERVES = """
    select exchange, reserve_asset, reserve_date_utc, reserve_origin, observed_at_utc, is_stablecoin, est_balance_usd,
        est_net_flow_usd, holders_count, is_synthetic
    from marts.fct_exchange_reserves_daily
    where reserve_date_utc > ? and reserve_date_utc <= ?
    qualify reserve_date_utc = max(reserve_date_utc) over (partition by exchange, reserve_origin)
    order by reserve_origin, exchange, reserve_asset
"""

HOLDERS = """
    select asset, holder_date_utc, supply_base, est_long_term_supply_base, est_long_term_supply_frac,
        est_long_term_supply_change_30d_base, mvrv_x, market_cap_usd, exchange_net_inflow_usd, venue, terms_note, is_synthetic
    from marts.fct_holder_supply_daily
    where holder_date_utc > ? and holder_date_utc <= ?
    order by asset, holder_date_utc
"""

# What was known on the day comes first. Where a series has no vintage of that day or before, the latest captured one is shown
# with its label; a published vintage of a later day is never used.
MACRO = """
    select series_id, series_name, observation_date_utc, vintage_date_utc, vintage_origin, value_native,
        previous_value_native, change_native, unit, is_synthetic
    from marts.fct_macro_observations
    where observation_date_utc <= ? and (vintage_date_utc <= ? or vintage_origin = 'captured')
    qualify row_number() over (
        partition by series_id
        order by vintage_date_utc <= ? desc, observation_date_utc desc, vintage_date_utc desc
    ) = 1
    order by series_id
"""

MACRO_RELEASES = """
    select series_id, series_name, release_date_utc, release_status, release_origin, observation_date_utc, value_native,
        previous_known_native, surprise_native, consensus_native, consensus_surprise_native, revision_native, unit, is_synthetic
    from marts.fct_macro_releases
    where release_date_utc > ? and release_date_utc <= ?
    qualify row_number() over (partition by series_id order by release_date_utc desc) = 1
    order by release_date_utc desc, series_id
"""

# The one statement that reads beyond the day: days of the publisher's calendar, and nothing of what came out on them.
MACRO_COMING = """
    select series_id, series_name, release_date_utc, is_synthetic
    from marts.fct_macro_releases
    where release_date_utc > ? and release_date_utc <= ? and release_origin = 'calendar'
    order by release_date_utc, series_id
"""

RATE_EXPECTATIONS = """
    select meeting_date_utc, observed_date_utc, target_low_bps, target_high_bps, probability_frac, probability_change_frac,
        expected_rate_bps, venue, is_synthetic
    from marts.fct_rate_expectations_daily
    where observed_date_utc > ? and observed_date_utc <= ? and meeting_date_utc >= ? and is_most_likely
    qualify row_number() over (
        partition by meeting_date_utc order by observed_date_utc desc, target_low_bps, target_high_bps
    ) = 1
    order by meeting_date_utc
"""

SENTIMENT = """
    select index_name, sentiment_date_utc, sentiment_index, sentiment_change_7d_index, sentiment_class, is_synthetic
    from marts.fct_sentiment_daily
    where sentiment_date_utc > ? and sentiment_date_utc <= ?
    order by index_name, sentiment_date_utc
"""
