{#- A pool in another coin than a dollar is priced at the day's last reference price; one without a price is counted and
    not added. -#}
with closes as (
    select
        asset,
        cast(interval_start_utc as date) as fund_date_utc,
        last(close_quote order by interval_start_utc) as close_quote
    from {{ ref('fct_prices_hourly') }}
    group by asset, cast(interval_start_utc as date)
),

pools as (
    select
        f.venue,
        f.capture_date_utc as fund_date_utc,
        f.is_synthetic,
        {{ as_usd(
            'coalesce(f.balance_usd, case when ' ~ is_usd_quoted('f.settle_asset')
            ~ ' then f.balance_settle else f.balance_settle * c.close_quote end)'
        ) }} as balance_usd
    from {{ ref('int_insurance_funds_ranked') }} as f
    left join closes as c on f.settle_asset = c.asset and f.capture_date_utc = c.fund_date_utc
    where f.bucket_rank = 1
),

days as (
    select
        venue,
        fund_date_utc,
        {{ as_usd('sum(balance_usd)') }} as balance_usd, -- exact: DECIMAL
        count(*) as funds_count,
        count(*) filter (where balance_usd is null) as unpriced_funds_count,
        bool_or(is_synthetic) as is_synthetic
    from pools
    group by venue, fund_date_utc
)

select
    venue,
    fund_date_utc,
    balance_usd,
    {{ change_frac('balance_usd', 'venue', 'fund_date_utc', 'interval 1 day') }} as balance_change_frac,
    funds_count,
    unpriced_funds_count,
    is_synthetic
from days
