{#- The calendar runs over the days of the event datasets; the capture day of a slow snapshot does not stretch it. -#}
with event_days as (
    select coverage_date_utc
    from {{ ref('int_rows_observed') }}
    where dataset in ('candles', 'minute_candles', 'funding_rates', 'open_interest')
    union
    select capture_date_utc
    from {{ ref('stg_lake__outages') }}
    where dataset in ('candles', 'minute_candles', 'funding_rates', 'open_interest')
),

bounds as (
    select
        min(coverage_date_utc) as first_date_utc,
        max(coverage_date_utc) as last_date_utc
    from event_days
),

days as (
    select cast(unnest(generate_series(first_date_utc, last_date_utc, interval 1 day)) as date) as coverage_date_utc
    from bounds
),

last_capture as (
    select max(ingested_at_utc) as ingested_at_utc
    from {{ ref('stg_lake__manifest') }}
)

select
    days.coverage_date_utc,
    -- On the open day only the hours before our last capture are due.
    coalesce(
        {{ hours_into_day('days.coverage_date_utc', 'last_capture.ingested_at_utc') }}, 24
    ) as due_until_hours
from days
cross join last_capture
