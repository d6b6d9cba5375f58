select
    venue,
    series_id,
    observation_date_utc,
    consensus_native,
    unit,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'macro_consensus') }}
