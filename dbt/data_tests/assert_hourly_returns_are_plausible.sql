-- A returned row is an hour in which the reference price more than doubled or halved: look at it before you use it.
{{ config(severity='warn') }}
select
    asset,
    interval_start_utc,
    reference_venue,
    return_frac,
    'hourly_return_beyond_half_or_double' as reason
from {{ ref('fct_prices_hourly') }}
where return_frac < -0.5 or return_frac > 1
