select
    venue,
    venue_symbol,
    asset,
    ratio_kind,
    occurred_at_utc,
    date_trunc('hour', occurred_at_utc) as interval_start_utc,
    long_short_ratio_x,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'long_short_ratios') }}
