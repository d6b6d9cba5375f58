select
    dataset,
    venue,
    source,
    capture_date_utc,
    reason,
    is_synthetic
from {{ source('raw', 'outages') }}
