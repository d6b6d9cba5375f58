select
    venue,
    venue_symbol,
    asset,
    occurred_at_utc,
    -- Venues stamp a settlement with jitter, also a little before the minute.
    date_trunc('minute', occurred_at_utc + interval 30 seconds) as settled_at_utc,
    funding_rate_frac,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'funding_rates') }}
