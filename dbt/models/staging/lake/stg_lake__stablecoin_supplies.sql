select
    venue,
    stablecoin_id,
    stablecoin_symbol,
    supply_chain,
    observed_at_utc,
    peg_type,
    peg_mechanism,
    {{ as_base('circulating_base') }} as circulating_base,
    {{ as_quote('stablecoin_price_quote') }} as stablecoin_price_quote,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'stablecoin_supplies') }}
