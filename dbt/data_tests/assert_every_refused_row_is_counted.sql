-- A returned row is a key for which the manifest and the mart disagree on how many rows were refused.
with told as (
    select
        dataset,
        venue,
        source,
        capture_date_utc,
        quarantined_rows_count
    from {{ ref('stg_lake__manifest') }}
    where quarantined_rows_count > 0
),

counted as (
    select
        dataset,
        venue,
        source,
        capture_date_utc,
        sum(quarantined_rows_count) as quarantined_rows_count -- exact: whole numbers
    from {{ ref('fct_quarantined_rows_daily') }}
    group by dataset, venue, source, capture_date_utc
)

select
    coalesce(told.dataset, counted.dataset) as dataset,
    coalesce(told.venue, counted.venue) as venue,
    coalesce(told.source, counted.source) as source,
    coalesce(told.capture_date_utc, counted.capture_date_utc) as capture_date_utc,
    told.quarantined_rows_count as told_rows_count,
    counted.quarantined_rows_count as counted_rows_count
from told
full outer join counted
    on
        told.dataset = counted.dataset
        and told.venue = counted.venue
        and told.source = counted.source
        and told.capture_date_utc = counted.capture_date_utc
where told.quarantined_rows_count is distinct from counted.quarantined_rows_count
