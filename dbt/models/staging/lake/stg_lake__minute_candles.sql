select
    venue,
    venue_symbol,
    asset,
    interval_start_utc,
    interval_end_utc,
    {{ as_quote('open_quote') }} as open_quote,
    {{ as_quote('high_quote') }} as high_quote,
    {{ as_quote('low_quote') }} as low_quote,
    {{ as_quote('close_quote') }} as close_quote,
    {{ as_base('volume_base') }} as volume_base,
    interval_end_utc <= ingested_at_utc as is_closed,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'minute_candles') }}
