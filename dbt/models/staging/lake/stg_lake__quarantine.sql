select
    dataset,
    venue,
    source,
    capture_date_utc,
    row_count,
    field,
    reason,
    is_synthetic
from {{ source('raw', 'quarantine') }}
