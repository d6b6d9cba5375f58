select
    instrument_id,
    venue,
    venue_symbol,
    asset,
    quote_asset,
    settle_asset,
    contract_kind,
    contract_size_base,
    contract_size_usd,
    price_tick_quote,
    quantity_step_base,
    listed_at_utc,
    is_listing_time_known,
    first_seen_date_utc,
    last_seen_date_utc,
    is_synthetic
from {{ ref('int_instruments_resolved') }}
