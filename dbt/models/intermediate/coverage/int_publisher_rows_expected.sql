{#- Slow series by their own observation days: on the calendar of the exchanges' data, and from a series' first record
    to its last. Macro series are due on weekdays: a holiday is a venue_gap. Funds come and go, so that one is due from
    its first to its last record where a total speaks for the other days. -#}
with observations as (
    select
        'etf_flows' as dataset,
        venue,
        asset || ':' || fund as series_id,
        case
            when fund = 'TOTAL' or not bool_or(fund = 'TOTAL') over (partition by venue, asset) then 'us_trading_days'
            else 'us_trading_days_within'
        end as schedule,
        flow_date_utc as observation_date_utc,
        is_synthetic
    from {{ ref('int_etf_flows_ranked') }}
    where bucket_rank = 1
    union all
    select
        'macro_observations' as dataset,
        o.venue,
        o.series_id,
        case s.frequency
            when 'daily' then 'weekdays'
            when 'monthly' then 'month_starts'
            else 'unscheduled'
        end as schedule,
        o.observation_date_utc,
        o.is_synthetic
    from {{ ref('int_macro_observations_ranked') }} as o
    left join {{ ref('macro_series') }} as s on o.series_id = s.series_id
    where o.bucket_rank = 1
    union all
    select
        'sentiment' as dataset,
        venue,
        index_name as series_id,
        'days' as schedule,
        sentiment_date_utc as observation_date_utc,
        is_synthetic
    from {{ ref('int_sentiment_ranked') }}
    where bucket_rank = 1
    union all
    select
        'holder_metrics' as dataset,
        venue,
        asset as series_id,
        'days' as schedule,
        holder_date_utc as observation_date_utc,
        is_synthetic
    from {{ ref('int_holder_metrics_ranked') }}
    where bucket_rank = 1
),

series as (
    select
        dataset,
        venue,
        series_id,
        schedule,
        min(observation_date_utc) as first_date_utc,
        max(observation_date_utc) as last_date_utc,
        bool_or(is_synthetic) as is_synthetic
    from observations
    group by dataset, venue, series_id, schedule
),

series_days as (
    select
        series.*,
        days.coverage_date_utc
    from series
    cross join {{ ref('int_days_covered') }} as days
    union
    select
        *,
        cast(unnest(generate_series(first_date_utc, last_date_utc, interval 1 day)) as date) as coverage_date_utc
    from series
),

due as (
    select
        d.*,
        case
            when d.schedule = 'days' then e.rows_per_day_count
            when
                {{ is_us_trading_day('d.coverage_date_utc') }}
                and (
                    d.schedule = 'us_trading_days'
                    or (
                        d.schedule = 'us_trading_days_within'
                        and d.coverage_date_utc between d.first_date_utc and d.last_date_utc
                    )
                ) then e.rows_per_day_count
            when d.schedule = 'weekdays' and isodow(d.coverage_date_utc) <= 5 then e.rows_per_day_count
            when d.schedule = 'month_starts' and day(d.coverage_date_utc) = 1 then e.rows_per_day_count
            else 0
        end as rows_count
    from series_days as d
    inner join {{ ref('coverage_expectations') }} as e on d.dataset = e.dataset and e.venue = '*'
)

select
    dataset,
    venue,
    coverage_date_utc,
    cast(sum(rows_count) as bigint) as expected_rows_count, -- exact: whole numbers
    case
        when sum(rows_count) = 0 then '' -- exact: whole numbers
        when bool_or(coverage_date_utc between first_date_utc and last_date_utc) then 'venue_gap'
        else 'not_collected'
    end as default_reason,
    bool_or(is_synthetic) as is_synthetic
from due
group by dataset, venue, coverage_date_utc
