select
    dataset,
    venue,
    source,
    capture_date_utc,
    cast(rows_count as bigint) as rows_count,
    cast(quarantined_rows_count as bigint) as quarantined_rows_count,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'manifest') }}
