-- A returned row is an exchange's day whose assets are not worth together what its source told of its tokens.
with told as (
    select
        exchange,
        reserve_date_utc,
        sum(reported_balance_usd) as told_usd -- exact: DECIMAL
    from {{ ref('int_exchange_reserves_ranked') }}
    where bucket_rank = 1 and source != 'rpc'
    group by exchange, reserve_date_utc
    -- An asset of which one token has no value has none either.
    having count(reported_balance_usd) = count(*)
),

shown as (
    select
        exchange,
        reserve_date_utc,
        sum(reported_balance_usd) as shown_usd -- exact: DECIMAL
    from {{ ref('fct_exchange_reserves_daily') }}
    where reserve_origin = 'published'
    group by exchange, reserve_date_utc
)

select
    told.exchange,
    told.reserve_date_utc,
    told.told_usd,
    shown.shown_usd
from told
left join shown on told.exchange = shown.exchange and told.reserve_date_utc = shown.reserve_date_utc
where told.told_usd is distinct from shown.shown_usd
