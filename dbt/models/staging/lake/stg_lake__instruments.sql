select
    venue,
    venue_symbol,
    asset,
    quote_asset,
    settle_asset,
    contract_kind,
    {{ as_base('contract_size_base') }} as contract_size_base,
    {{ as_usd('contract_size_usd') }} as contract_size_usd,
    {{ as_quote('price_tick_quote') }} as price_tick_quote,
    {{ as_base('quantity_step_base') }} as quantity_step_base,
    listed_at_utc,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'instruments') }}
