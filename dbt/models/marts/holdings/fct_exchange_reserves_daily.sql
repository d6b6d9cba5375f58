{#- Symbols are anybody's text: only those that a seed names become an asset, the others are summed as OTHER. A flow is
    told where the same accounts (of a publisher: the same chains) were seen on both days: else it would be a change of
    view. -#}
with names as (
    select
        upper(token_symbol) as held_symbol,
        max(asset) as asset,
        bool_or(is_usd_pegged) as is_stablecoin
    from {{ ref('lending_tokens') }}
    group by upper(token_symbol)
),

named as (
    select
        seen.*,
        case when seen.source = 'rpc' then 'balances' else 'published' end as reserve_origin,
        coalesce(names.asset, if(names.is_stablecoin, names.held_symbol, null), assets.asset, 'OTHER') as reserve_asset,
        coalesce(names.is_stablecoin, false) as is_stablecoin
    from {{ ref('int_exchange_reserves_ranked') }} as seen
    left join names on upper(seen.held_symbol) = names.held_symbol
    left join {{ ref('assets') }} as assets on upper(seen.held_symbol) = assets.asset
    where seen.bucket_rank = 1
),

-- What was looked at, whatever was found there.
views as (
    select
        exchange,
        reserve_origin,
        reserve_date_utc,
        list(distinct holder_chain || ' ' || holder_address order by holder_chain || ' ' || holder_address) as holders
    from named
    group by exchange, reserve_origin, reserve_date_utc
),

held as (
    select
        exchange,
        reserve_asset,
        reserve_date_utc,
        reserve_origin,
        max(observed_at_utc) as observed_at_utc,
        bool_or(is_stablecoin) as is_stablecoin,
        -- An amount without a number leaves the sum without one; a sum may exceed the type where its parts do not.
        if(
            reserve_asset = 'OTHER' or count(balance_base) < count(*), null,
            try_cast(sum(balance_base) as decimal(28, 8)) -- exact: DECIMAL
        ) as balance_base,
        -- exact: DECIMAL
        if(count(reported_balance_usd) < count(*), null, sum(reported_balance_usd)) as reported_balance_usd,
        bool_or(is_synthetic) as is_synthetic
    from named
    group by exchange, reserve_asset, reserve_date_utc, reserve_origin
),

priced as (
    select
        held.*,
        views.holders,
        case
            when held.is_stablecoin then 1.0
            when prices.close_quote is not null then cast(prices.close_quote as double)
            else cast(held.reported_balance_usd as double) / nullif(cast(held.balance_base as double), 0)
        end as price_quote,
        case
            when held.balance_base is null then 'none'
            when held.is_stablecoin or prices.close_quote is not null then 'day_price'
            when held.reported_balance_usd is not null and held.balance_base != 0 then 'source_price'
            else 'none'
        end as est_usd_origin
    from held
    inner join views
        on
            held.exchange = views.exchange
            and held.reserve_origin = views.reserve_origin
            and held.reserve_date_utc = views.reserve_date_utc
    -- The close of the hour that ends nearest to the instant.
    left join {{ ref('fct_prices_hourly') }} as prices
        on
            held.reserve_asset = prices.asset
            and date_trunc('hour', held.observed_at_utc + interval 30 minutes) = prices.interval_end_utc
),

followed as (
    select
        today.*,
        if(today.holders = before.holders, today.balance_base - before.balance_base, null) as balance_change_base
    from priced as today
    left join priced as before
        on
            today.exchange = before.exchange
            and today.reserve_asset = before.reserve_asset
            and today.reserve_origin = before.reserve_origin
            and today.reserve_date_utc = before.reserve_date_utc + 1
)

select
    exchange,
    reserve_asset,
    reserve_date_utc,
    reserve_origin,
    observed_at_utc,
    is_stablecoin,
    balance_base,
    {{ as_usd('reported_balance_usd') }} as reported_balance_usd,
    {{ product_usd('balance_base', 'price_quote') }} as est_balance_usd,
    est_usd_origin,
    try_cast(balance_change_base as decimal(28, 8)) as balance_change_base,
    {{ product_usd('balance_change_base', 'price_quote') }} as est_net_flow_usd,
    len(holders) as holders_count,
    is_synthetic
from followed
