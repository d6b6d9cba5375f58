select
    venue,
    index_name,
    sentiment_date_utc,
    sentiment_index,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'sentiment') }}
