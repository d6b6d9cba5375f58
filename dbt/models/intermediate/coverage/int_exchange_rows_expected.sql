{#- Every instrument with a record in any dataset is due in every event dataset on every day of the calendar, unless the
    venue tells a later listing: a series that starts late is missing before its start and not silently absent. -#}
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
    where dataset in (
        'candles', 'minute_candles', 'funding_rates', 'open_interest', 'long_short_ratios', 'depth_bands', 'instruments'
    )
),

exchanges as (
    select
        venue,
        bool_or(is_synthetic) as is_synthetic
    from marks
    group by venue
),

-- A book exists only as of now, and minutes are fetched where someone asks for them: they are due on the days on which
-- anyone looked or tried to.
looked_days as (
    select
        dataset,
        venue,
        coverage_date_utc
    from {{ ref('int_rows_observed') }}
    where dataset in ('depth_bands', 'minute_candles')
    union
    select
        dataset,
        venue,
        capture_date_utc
    from {{ ref('stg_lake__outages') }}
    where dataset in ('depth_bands', 'minute_candles')
),

venue_days as (
    select
        datasets.dataset,
        exchanges.venue,
        exchanges.is_synthetic,
        days.coverage_date_utc,
        days.due_until_hours
    from exchanges
    cross join (
        select
            unnest([
                'candles', 'minute_candles', 'funding_rates', 'open_interest', 'long_short_ratios', 'depth_bands'
            ]) as dataset
    ) as datasets
    cross join {{ ref('int_days_covered') }} as days
    left join looked_days
        on
            datasets.dataset = looked_days.dataset
            and exchanges.venue = looked_days.venue
            and days.coverage_date_utc = looked_days.coverage_date_utc
    where datasets.dataset not in ('depth_bands', 'minute_candles') or looked_days.venue is not null
),

-- The longest interval of the day: a day on which the venue shortens its interval is then not shown as a gap.
funding_days as (
    select
        'funding_rates' as dataset,
        instrument_id,
        cast(settled_at_utc as date) as coverage_date_utc,
        max(funding_interval_hours) as funding_interval_hours
    from {{ ref('int_funding_rates_timed') }}
    group by instrument_id, cast(settled_at_utc as date)
),

instrument_days as (
    select
        venue_days.*,
        i.instrument_id,
        coalesce({{ hours_into_day('venue_days.coverage_date_utc', 'i.listed_at_utc') }}, 0) as due_from_hours,
        -- The day's own interval, else the last known one, else the first that follows, else the venue's default.
        coalesce(
            last_value(f.funding_interval_hours ignore nulls) over until_today,
            first_value(f.funding_interval_hours ignore nulls) over from_today,
            24.0 / coalesce(own.rows_per_day_count, other.rows_per_day_count)
        ) as step_hours
    from venue_days
    left join {{ ref('int_instruments_resolved') }} as i
        on venue_days.venue = i.venue and i.first_record_date_utc is not null
    left join funding_days as f
        on
            venue_days.dataset = f.dataset
            and i.instrument_id = f.instrument_id
            and venue_days.coverage_date_utc = f.coverage_date_utc
    left join {{ ref('coverage_expectations') }} as own
        on venue_days.dataset = own.dataset and venue_days.venue = own.venue
    left join {{ ref('coverage_expectations') }} as other
        on venue_days.dataset = other.dataset and other.venue = '*'
    -- Not every venue splits its accounts: what is due nowhere else is due where the seed names the venue.
    where coalesce(own.rows_per_day_count, other.rows_per_day_count) is not null
    window
        until_today as (
            partition by venue_days.dataset, i.instrument_id order by venue_days.coverage_date_utc
            rows between unbounded preceding and current row
        ),
        from_today as (
            partition by venue_days.dataset, i.instrument_id order by venue_days.coverage_date_utc
            rows between current row and unbounded following
        )
),

due as (
    select
        *,
        case
            when instrument_id is null then 0
            -- A minute is no exact fraction of an hour: without rounding first, minutes would be lost to the floor.
            else greatest(
                cast(floor(round(due_until_hours / step_hours, 6)) as bigint)
                - cast(ceil(round(due_from_hours / step_hours, 6)) as bigint),
                0
            )
        end as rows_count
    from instrument_days
),

answered as (
    select distinct
        dataset,
        venue,
        capture_date_utc as coverage_date_utc
    from {{ ref('stg_lake__manifest') }}
)

select
    due.dataset,
    due.venue,
    due.coverage_date_utc,
    cast(sum(due.rows_count) as bigint) as expected_rows_count, -- exact: whole numbers
    case
        when count(due.instrument_id) = 0 then 'not_collected'
        when min(due.due_from_hours) >= 24 then 'before_listing'
        when sum(due.rows_count) = 0 then '' -- exact: whole numbers
        -- Nobody looked at the book in the other hours.
        when due.dataset = 'depth_bands' then 'not_collected'
        when count(answered.dataset) > 0 then 'venue_gap'
        else 'not_collected'
    end as default_reason,
    bool_or(due.is_synthetic) as is_synthetic
from due
left join answered
    on
        due.dataset = answered.dataset
        and due.venue = answered.venue
        and due.coverage_date_utc = answered.coverage_date_utc
group by due.dataset, due.venue, due.coverage_date_utc
