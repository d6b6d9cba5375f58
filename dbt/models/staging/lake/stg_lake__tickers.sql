select
    venue,
    venue_symbol,
    asset,
    occurred_at_utc,
    {{ as_quote('last_quote') }} as last_quote,
    {{ as_quote('best_bid_quote') }} as best_bid_quote,
    {{ as_quote('best_ask_quote') }} as best_ask_quote,
    {{ as_quote('mark_quote') }} as mark_quote,
    {{ as_quote('index_quote') }} as index_quote,
    {{ as_base('volume_24h_base') }} as volume_24h_base,
    {{ as_base('open_interest_base') }} as open_interest_base,
    {{ as_usd('open_interest_usd') }} as open_interest_usd,
    open_interest_basis,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'tickers') }}
