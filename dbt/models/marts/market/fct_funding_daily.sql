with venue_days as (
    select
        asset,
        venue,
        cast(settled_at_utc as date) as funding_date_utc,
        avg(funding_rate_8h_frac order by settled_at_utc, instrument_id) as venue_rate_8h_frac,
        count(*) as settlements_count,
        bool_or(is_synthetic) as is_synthetic
    from {{ ref('fct_funding_rates') }}
    group by asset, venue, cast(settled_at_utc as date)
),

instrument_stocks as (
    select
        asset,
        venue,
        instrument_id,
        cast(interval_start_utc as date) as funding_date_utc,
        arg_max(open_interest_one_sided_usd, interval_start_utc) as open_interest_one_sided_usd
    from {{ ref('fct_open_interest_hourly') }}
    where open_interest_one_sided_usd is not null
    group by asset, venue, instrument_id, cast(interval_start_utc as date)
),

venue_stocks as (
    select
        asset,
        venue,
        funding_date_utc,
        cast(sum(open_interest_one_sided_usd) as double) as weight_usd -- exact: DECIMAL
    from instrument_stocks
    group by asset, venue, funding_date_utc
),

weighed as (
    select
        d.*,
        case when d.venue_rate_8h_frac is not null then nullif(s.weight_usd, 0) end as weight_usd
    from venue_days as d
    left join venue_stocks as s
        on d.asset = s.asset and d.venue = s.venue and d.funding_date_utc = s.funding_date_utc
),

days as (
    select
        asset,
        funding_date_utc,
        sum(venue_rate_8h_frac * weight_usd order by venue) / sum(weight_usd order by venue)
            as oi_weighted_funding_8h_frac,
        avg(venue_rate_8h_frac order by venue) as mean_funding_8h_frac,
        median(venue_rate_8h_frac) as median_funding_8h_frac,
        min(venue_rate_8h_frac) as min_funding_8h_frac,
        max(venue_rate_8h_frac) as max_funding_8h_frac,
        cast(sum(settlements_count) as bigint) as settlements_count, -- exact: whole numbers
        count(venue_rate_8h_frac) as venues_count,
        count(weight_usd) as weighted_venues_count,
        bool_or(is_synthetic) as is_synthetic
    from weighed
    group by asset, funding_date_utc
),

-- Each day beside its 30 previous UTC days, so that the sums run in the order of days.
past_days as (
    select
        asset,
        funding_date_utc,
        median_funding_8h_frac,
        unnest(range(1, 31)) as days_ago
    from days
),

month as (
    select
        d.asset,
        d.funding_date_utc,
        {{ z_score('d.median_funding_8h_frac', 'p.median_funding_8h_frac', 'p.funding_date_utc') }} as funding_z_x
    from days as d
    inner join past_days as p
        on d.asset = p.asset and d.funding_date_utc = p.funding_date_utc + cast(p.days_ago as integer)
    group by d.asset, d.funding_date_utc, d.median_funding_8h_frac
)

select
    d.asset,
    d.funding_date_utc,
    d.oi_weighted_funding_8h_frac,
    d.mean_funding_8h_frac,
    d.median_funding_8h_frac,
    d.min_funding_8h_frac,
    d.max_funding_8h_frac,
    case
        when d.venues_count > 1 then (d.max_funding_8h_frac - d.min_funding_8h_frac) * 10000
    end as funding_dispersion_bps,
    m.funding_z_x,
    d.settlements_count,
    d.venues_count,
    d.weighted_venues_count,
    d.is_synthetic
from days as d
left join month as m on d.asset = m.asset and d.funding_date_utc = m.funding_date_utc
