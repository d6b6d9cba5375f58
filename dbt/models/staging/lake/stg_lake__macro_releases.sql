select
    venue,
    series_id,
    release_date_utc,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'macro_releases') }}
