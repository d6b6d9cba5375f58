select
    venue,
    fund_name,
    settle_asset,
    occurred_at_utc,
    {{ as_settle('balance_settle') }} as balance_settle,
    {{ as_usd('balance_usd') }} as balance_usd,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'insurance_funds') }}
