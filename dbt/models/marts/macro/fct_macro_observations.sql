with vintages as (
    select
        *,
        lag(value_native) over (
            partition by series_id, vintage_date_utc order by observation_date_utc
        ) as previous_value_native,
        lag(value_native) over (
            partition by series_id, observation_date_utc order by vintage_date_utc
        ) as value_before_native
    from {{ ref('int_macro_observations_ranked') }}
    where bucket_rank = 1
)

select
    o.series_id,
    coalesce(s.series_name, o.series_id) as series_name,
    o.observation_date_utc,
    o.vintage_date_utc,
    o.vintage_origin,
    o.value_native,
    o.previous_value_native,
    o.value_native - o.previous_value_native as change_native,
    o.unit,
    o.venue,
    o.source,
    o.is_synthetic
from vintages as o
left join {{ ref('macro_series') }} as s on o.series_id = s.series_id
-- A capture that found the same figure as the one before it is not a new vintage.
where not (o.vintage_origin = 'captured' and o.value_native is not distinct from o.value_before_native)
