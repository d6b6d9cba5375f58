select
    venue,
    stream,
    gap_start_utc,
    gap_end_utc,
    gap_reason,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'stream_gaps') }}
