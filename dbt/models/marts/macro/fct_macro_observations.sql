with vintages as (
    select
        *,
        lag(value_native) over (
            partition by series_id, observation_date_utc order by vintage_date_utc
        ) as value_before_native
    from {{ ref('int_macro_observations_ranked') }}
    where bucket_rank = 1
),

-- A capture that found the same figure as the one before it is not a new vintage.
kept as (
    select *
    from vintages
    where not (vintage_origin = 'captured' and value_native is not distinct from value_before_native)
),

-- A published vintage holds what changed alone, so the figure before it is looked up as it was known then.
placed as (
    select
        *,
        max(observation_date_utc) over (
            partition by series_id order by observation_date_utc
            range between unbounded preceding and interval 1 day preceding
        ) as previous_date_utc
    from kept
)

select
    o.series_id,
    coalesce(s.series_name, o.series_id) as series_name,
    o.observation_date_utc,
    o.vintage_date_utc,
    o.vintage_origin,
    o.value_native,
    p.value_native as previous_value_native,
    o.value_native - p.value_native as change_native,
    o.unit,
    o.venue,
    o.source,
    o.is_synthetic
from placed as o
asof left join kept as p
    on
        o.series_id = p.series_id
        and o.previous_date_utc = p.observation_date_utc
        and o.vintage_date_utc >= p.vintage_date_utc
left join {{ ref('macro_series') }} as s on o.series_id = s.series_id
