with hours as (
    select
        p.*,
        cast(p.interval_start_utc as date) as recap_date_utc,
        max(p.high_quote) over (
            partition by p.asset, cast(p.interval_start_utc as date) order by p.interval_start_utc
        ) as running_high_quote,
        -- Downside: only the hours in which BTC fell count, and only those in which both returns are known.
        case when btc.return_frac < 0 and p.return_frac is not null then btc.return_frac end as btc_return_frac
    from {{ ref('fct_prices_hourly') }} as p
    left join {{ ref('fct_prices_hourly') }} as btc
        on p.interval_start_utc = btc.interval_start_utc and btc.asset = 'BTC'
),

captures as (
    select
        asset,
        cast(interval_start_utc as date) as recap_date_utc,
        count(distinct venue) as venues_count,
        max(ingested_at_utc) as captured_at_utc
    from {{ ref('int_candles_ranked') }}
    where bucket_rank = 1 and price_kind = 'trade'
    group by asset, cast(interval_start_utc as date)
),

days as (
    select
        asset,
        recap_date_utc,
        arg_max(reference_venue, interval_start_utc) as reference_venue,
        arg_min(open_quote, interval_start_utc) as open_quote,
        max(high_quote) as high_quote,
        min(low_quote) as low_quote,
        arg_max(close_quote, interval_start_utc) as close_quote,
        max(1 - low_quote / nullif(running_high_quote, 0)) as drawdown_frac,
        {{ as_usd('sum(volume_usd)') }} as volume_usd, -- exact: DECIMAL
        sum(return_frac * btc_return_frac order by interval_start_utc) as downside_cross_x,
        sum(btc_return_frac * btc_return_frac order by interval_start_utc) as downside_square_x,
        count(btc_return_frac) as downside_hours_count,
        count(*) as hours_count,
        bool_and(is_closed) as is_closed,
        bool_or(is_synthetic) as is_synthetic
    from hours
    group by asset, recap_date_utc
),

-- Each day beside itself (0 days ago) and its 30 previous UTC days, so that every sum runs in the order of days.
past_days as (
    select
        asset,
        recap_date_utc,
        high_quote,
        volume_usd,
        downside_cross_x,
        downside_square_x,
        downside_hours_count,
        unnest(range(0, 31)) as days_ago
    from days
),

month as (
    select
        d.asset,
        d.recap_date_utc,
        max(p.high_quote) filter (where p.days_ago < 30) as high_30d_quote,
        sum(p.downside_cross_x order by p.recap_date_utc) filter (where p.days_ago < 30) as cross_30d_x,
        sum(p.downside_square_x order by p.recap_date_utc) filter (where p.days_ago < 30) as square_30d_x,
        sum(p.downside_hours_count) filter (where p.days_ago < 30) as downside_hours_count, -- exact: whole numbers
        {{ z_score('d.volume_usd', 'p.volume_usd', 'p.recap_date_utc', 'p.days_ago > 0') }} as volume_z_x
    from days as d
    inner join past_days as p on d.asset = p.asset and d.recap_date_utc = p.recap_date_utc + cast(p.days_ago as integer)
    group by d.asset, d.recap_date_utc, d.volume_usd
),

recaps as (
    select
        *,
        {{ change_frac('close_quote', 'asset', 'recap_date_utc', 'interval 1 day') }} as return_frac
    from days
)

select
    r.asset,
    r.recap_date_utc,
    r.reference_venue,
    r.open_quote,
    r.high_quote,
    r.low_quote,
    r.close_quote,
    r.return_frac,
    (r.high_quote - r.low_quote) / nullif(r.open_quote, 0) as range_frac,
    r.drawdown_frac,
    1 - r.close_quote / nullif(m.high_30d_quote, 0) as drawdown_30d_frac,
    (least(r.open_quote, r.close_quote) - r.low_quote) / nullif(r.open_quote, 0) as wick_frac,
    (r.close_quote - r.low_quote) / nullif(r.open_quote - r.low_quote, 0) as retrace_frac,
    case
        when m.downside_hours_count >= 100 then m.cross_30d_x / nullif(m.square_30d_x, 0)
    end as downside_beta_x,
    r.volume_usd,
    m.volume_z_x,
    count(*) filter (where r.return_frac < 0) over same_day
    / nullif(count(r.return_frac) over same_day, 0) as breadth_frac,
    r.hours_count,
    c.venues_count,
    r.is_closed and c.captured_at_utc >= r.recap_date_utc + interval 1 day as is_closed,
    r.is_synthetic
from recaps as r
inner join month as m on r.asset = m.asset and r.recap_date_utc = m.recap_date_utc
inner join captures as c on r.asset = c.asset and r.recap_date_utc = c.recap_date_utc
window same_day as (partition by r.recap_date_utc)
