select
    venue,
    venue_symbol,
    asset,
    settle_asset,
    observed_at_utc,
    tier_rank,
    tiers_count,
    {{ as_settle('notional_floor_settle') }} as notional_floor_settle,
    {{ as_settle('notional_cap_settle') }} as notional_cap_settle,
    maintenance_margin_rate_frac,
    {{ as_settle('maintenance_amount_settle') }} as maintenance_amount_settle,
    max_leverage_x,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'leverage_tiers') }}
