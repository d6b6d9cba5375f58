select
    venue,
    meeting_date_utc,
    observed_date_utc,
    target_low_bps,
    target_high_bps,
    probability_frac,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'rate_expectations') }}
