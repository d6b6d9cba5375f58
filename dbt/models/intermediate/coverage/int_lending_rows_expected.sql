{#- Nobody knows how many calls, positions or holdings were due. On a day that a source was read its own rows are,
    refused ones included; a day between the first and the last one read on which none was read is missing and not calm.
    A day may have no liquidation, but never no coin: a source of holdings that was read and told none has a gap. -#}
{%- set holdings = "('stablecoin_supplies', 'exchange_reserves')" %}
with answered as (
    select
        dataset,
        venue,
        capture_date_utc as coverage_date_utc,
        sum(quarantined_rows_count) as refused_rows_count, -- exact: whole numbers
        bool_or(is_synthetic) as is_synthetic
    from {{ ref('stg_lake__manifest') }}
    where starts_with(dataset, 'lending_') or dataset in {{ holdings }}
    group by dataset, venue, capture_date_utc
),

failed as (
    select
        dataset,
        venue,
        capture_date_utc as coverage_date_utc,
        bool_or(is_synthetic) as is_synthetic
    from {{ ref('stg_lake__outages') }}
    where starts_with(dataset, 'lending_') or dataset in {{ holdings }}
    group by dataset, venue, capture_date_utc
),

spans as (
    select
        dataset,
        venue,
        min(coverage_date_utc) as first_date_utc,
        max(coverage_date_utc) as last_date_utc,
        bool_or(is_synthetic) as is_synthetic
    from (
        select * exclude (refused_rows_count)
        from answered
        union all
        select *
        from failed
    ) as looks
    group by dataset, venue
),

days as (
    select
        dataset,
        venue,
        is_synthetic,
        cast(unnest(generate_series(first_date_utc, last_date_utc, interval 1 day)) as date) as coverage_date_utc
    from spans
)

select
    days.dataset,
    days.venue,
    days.coverage_date_utc,
    cast(coalesce(observed.observed_rows_count, 0) + coalesce(answered.refused_rows_count, 0) as bigint)
        as expected_rows_count,
    case
        when answered.venue is null then 'not_collected'
        when answered.refused_rows_count > 0 then 'venue_gap'
        when observed.venue is null and days.dataset in {{ holdings }} then 'venue_gap'
        else ''
    end as default_reason,
    days.is_synthetic
from days
left join answered
    on
        days.dataset = answered.dataset
        and days.venue = answered.venue
        and days.coverage_date_utc = answered.coverage_date_utc
left join {{ ref('int_rows_observed') }} as observed
    on
        days.dataset = observed.dataset
        and days.venue = observed.venue
        and days.coverage_date_utc = observed.coverage_date_utc
