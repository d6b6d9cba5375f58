{#- Nobody knows how many liquidations were due. On a day on which a source was read its own rows are, refused ones
    included; on a day on which none was read nothing can be counted, and that is not calm. -#}
with marks as (
    select
        venue,
        is_synthetic
    from {{ ref('int_instruments_resolved') }}
    union all
    select
        venue,
        is_synthetic
    from {{ ref('stg_lake__outages') }}
    where dataset = 'liquidations'
),

calendar as (
    select
        marks.venue,
        days.coverage_date_utc,
        marks.is_synthetic
    from marks
    cross join {{ ref('int_days_covered') }} as days
    union all
    select
        venue,
        coverage_date_utc,
        is_synthetic
    from {{ ref('int_rows_observed') }}
    where dataset = 'liquidations'
),

days as (
    select
        venue,
        coverage_date_utc,
        bool_or(is_synthetic) as is_synthetic
    from calendar
    group by venue, coverage_date_utc
),

answered as (
    select
        venue,
        capture_date_utc as coverage_date_utc,
        sum(quarantined_rows_count) as refused_rows_count -- exact: whole numbers
    from {{ ref('stg_lake__manifest') }}
    where dataset = 'liquidations'
    group by venue, capture_date_utc
)

select
    'liquidations' as dataset,
    days.venue,
    days.coverage_date_utc,
    cast(coalesce(observed.observed_rows_count, 0) + coalesce(answered.refused_rows_count, 0) as bigint)
        as expected_rows_count,
    case
        when answered.venue is null then 'not_collected'
        when answered.refused_rows_count > 0 then 'venue_gap'
        else ''
    end as default_reason,
    days.is_synthetic
from days
left join answered on days.venue = answered.venue and days.coverage_date_utc = answered.coverage_date_utc
left join {{ ref('int_rows_observed') }} as observed
    on
        observed.dataset = 'liquidations'
        and days.venue = observed.venue
        and days.coverage_date_utc = observed.coverage_date_utc
