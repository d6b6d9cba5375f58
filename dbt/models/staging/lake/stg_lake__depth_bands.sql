select
    venue,
    venue_symbol,
    asset,
    occurred_at_utc,
    date_trunc('hour', occurred_at_utc) as interval_start_utc,
    {{ as_quote('mid_quote') }} as mid_quote,
    band_bps,
    {{ as_base('bid_depth_base') }} as bid_depth_base,
    {{ as_base('ask_depth_base') }} as ask_depth_base,
    {{ as_quote('bid_mean_quote') }} as bid_mean_quote,
    {{ as_quote('ask_mean_quote') }} as ask_mean_quote,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'depth_bands') }}
