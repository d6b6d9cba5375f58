{#- Values in order of trust: the source's own, then a price per token of the source, then the asset's last price of the
    UTC day. They stand in columns of their own, and a bonus is made of the best of each leg. -#}
with closes as (
    select
        asset,
        cast(interval_start_utc as date) as price_date_utc,
        arg_max(close_quote, interval_start_utc) as close_quote
    from {{ ref('fct_prices_hourly') }}
    group by asset, cast(interval_start_utc as date)
),

priced as (
    select
        calls.*,
        if(seized_names.is_usd_pegged, cast(1 as decimal(18, 8)), seized_closes.close_quote) as collateral_quote,
        if(repaid_names.is_usd_pegged, cast(1 as decimal(18, 8)), repaid_closes.close_quote) as debt_quote
    from {{ ref('int_lending_liquidations_ranked') }} as calls
    left join {{ ref('lending_tokens') }} as seized_names on calls.collateral_symbol = seized_names.token_symbol
    left join {{ ref('lending_tokens') }} as repaid_names on calls.debt_symbol = repaid_names.token_symbol
    left join closes as seized_closes
        on
            seized_names.asset = seized_closes.asset
            and cast(calls.occurred_at_utc as date) = seized_closes.price_date_utc
    left join closes as repaid_closes
        on
            repaid_names.asset = repaid_closes.asset
            and cast(calls.occurred_at_utc as date) = repaid_closes.price_date_utc
    where calls.bucket_rank = 1
),

valued as (
    select
        * exclude (est_collateral_seized_usd, est_debt_repaid_usd),
        coalesce(est_collateral_seized_usd, {{ product_usd('collateral_seized_base', 'collateral_quote') }})
            as est_collateral_seized_usd,
        coalesce(est_debt_repaid_usd, {{ product_usd('debt_repaid_base', 'debt_quote') }}) as est_debt_repaid_usd,
        case
            when est_collateral_seized_usd is not null or est_debt_repaid_usd is not null then 'source_price'
            when collateral_quote is not null or debt_quote is not null then 'day_price'
            else 'none'
        end as est_usd_origin
    from priced
),

compared as (
    select
        *,
        cast(coalesce(reported_collateral_seized_usd, est_collateral_seized_usd) as double)
        / nullif(cast(coalesce(reported_debt_repaid_usd, est_debt_repaid_usd) as double), 0) as value_ratio
    from valued
)

select
    venue,
    chain,
    protocol,
    market_address,
    call_id,
    occurred_at_utc,
    block_height,
    block_hash,
    transaction_hash,
    log_offset,
    user_address,
    liquidator_address,
    collateral_symbol,
    collateral_address,
    collateral_seized_raw,
    collateral_seized_base,
    debt_symbol,
    debt_address,
    debt_repaid_raw,
    debt_repaid_base,
    amounts_unit,
    reported_collateral_seized_usd,
    reported_debt_repaid_usd,
    est_collateral_seized_usd,
    est_debt_repaid_usd,
    est_usd_origin,
    value_ratio - 1 as est_liquidation_bonus_frac,
    value_ratio between 0.99 and 1.26 as is_value_plausible,
    is_atoken_received,
    repairs,
    verified_by,
    source,
    is_synthetic
from compared
