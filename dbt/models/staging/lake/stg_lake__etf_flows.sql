select
    venue,
    asset,
    fund,
    flow_date_utc,
    {{ as_usd('net_flow_usd') }} as net_flow_usd,
    source,
    capture_date_utc,
    ingested_at_utc,
    is_synthetic
from {{ source('raw', 'etf_flows') }}
