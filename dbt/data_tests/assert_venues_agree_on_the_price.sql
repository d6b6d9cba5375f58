-- A returned row is an hour in which the venues' closes lie more than 10 % apart: a wrong symbol, a wrong unit, or a
-- crash. The widest hour of five assets from 2025-03 to 2026-03 was 284 bps (2025-10-10 21:00, HYPE).
{{ config(severity='warn') }}
select
    asset,
    interval_start_utc,
    venues_count,
    close_dispersion_bps,
    'venues_differ_by_more_than_10_percent' as reason
from {{ ref('fct_prices_hourly') }}
where close_dispersion_bps > 1000
