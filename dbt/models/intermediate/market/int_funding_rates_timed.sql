{#- The intervals that venues settle in, as whole minutes with room for jitter. -#}
{%- set plausible_hours = [1, 2, 4, 8] -%}
with settlements as (
    select
        i.instrument_id,
        f.venue,
        f.asset,
        f.settled_at_utc,
        f.occurred_at_utc,
        f.funding_rate_frac,
        f.source,
        f.is_synthetic,
        date_diff(
            'minute',
            lag(f.settled_at_utc) over (partition by i.instrument_id order by f.settled_at_utc),
            f.settled_at_utc
        ) as gap_minutes
    from {{ ref('int_funding_rates_ranked') }} as f
    inner join {{ ref('int_instruments_resolved') }} as i
        on f.venue = i.venue and f.venue_symbol = i.venue_symbol
    where f.bucket_rank = 1
),

gaps as (
    select
        *,
        round(gap_minutes / 60.0) as gap_hours,
        case
            {%- for hours in plausible_hours %}
            when gap_minutes between {{ hours * 60 - 2 }} and {{ hours * 60 + 2 }} then {{ hours }}.0
            {%- endfor %}
        end as plausible_hours
    from settlements
),

intervals as (
    select
        *,
        -- A gap that is longer than both its neighbours is a hole in the records and not a longer interval: venues go
        -- over from 8 to 4 hours and stay there.
        case
            when gap_hours > lag(gap_hours) over instrument and gap_hours > lead(gap_hours) over instrument then null
            else cast(plausible_hours as double)
        end as previous_gap_hours
    from gaps
    window instrument as (partition by instrument_id order by settled_at_utc)
),

told as (
    select
        *,
        lead(previous_gap_hours) over (partition by instrument_id order by settled_at_utc) as next_gap_hours
    from intervals
)

select
    instrument_id,
    venue,
    asset,
    settled_at_utc,
    occurred_at_utc,
    funding_rate_frac,
    coalesce(previous_gap_hours, next_gap_hours) as funding_interval_hours,
    case
        when previous_gap_hours is not null then 'previous_gap'
        when next_gap_hours is not null then 'next_gap'
        else 'unknown'
    end as interval_origin,
    source,
    is_synthetic
from told
