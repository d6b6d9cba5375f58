select
    venue,
    asset,
    holder_date_utc,
    {{ as_base('supply_base') }} as supply_base,
    {{ as_base('supply_active_1y_base') }} as supply_active_1y_base,
    {{ as_quote('price_quote') }} as price_quote,
    {{ as_usd('market_cap_usd') }} as market_cap_usd,
    mvrv_x,
    {{ as_usd('exchange_inflow_usd') }} as exchange_inflow_usd,
    {{ as_usd('exchange_outflow_usd') }} as exchange_outflow_usd,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'holder_metrics') }}
