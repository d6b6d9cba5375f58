select
    venue,
    venue_symbol,
    asset,
    occurred_at_utc,
    adl_word,
    settle_asset,
    {{ as_settle('fund_balance_settle') }} as fund_balance_settle,
    {{ as_settle('fund_least_settle') }} as fund_least_settle,
    pnl_ratio_frac,
    adl_start_ratio_frac,
    adl_stop_ratio_frac,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'adl_states') }}
