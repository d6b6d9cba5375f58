select
    venue,
    exchange,
    holder_chain,
    holder_address,
    held_symbol,
    held_token,
    observed_at_utc,
    block_height,
    block_hash,
    balance_raw,
    {{ tokens_base('balance_raw', 'held_decimals_count') }} as balance_base,
    {{ as_usd('reported_balance_usd') }} as reported_balance_usd,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'exchange_reserves') }}
