select
    venue,
    venue_symbol,
    asset,
    occurred_at_utc,
    date_trunc('hour', occurred_at_utc) as interval_start_utc,
    position_side,
    {{ as_quote('order_price_quote') }} as order_price_quote,
    order_price_kind,
    {{ as_base('quantity_contracts') }} as quantity_contracts,
    {{ as_base('coalesce(quantity_base, notional_usd / order_price_quote)') }} as quantity_base,
    if(quantity_base is null, 'derived', 'source') as quantity_base_origin,
    {{ as_usd('notional_usd') }} as notional_usd,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'liquidations') }}
