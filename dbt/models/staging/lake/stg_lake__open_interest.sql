select
    venue,
    venue_symbol,
    asset,
    occurred_at_utc,
    date_trunc('hour', occurred_at_utc) as interval_start_utc,
    {{ as_base('open_interest_base') }} as open_interest_base,
    {{ as_usd('open_interest_usd') }} as open_interest_usd,
    open_interest_basis,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'open_interest') }}
