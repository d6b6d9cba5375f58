select
    p.venue,
    p.account_address,
    p.venue_symbol,
    p.asset,
    p.settle_asset,
    p.capture_date_utc as position_date_utc,
    p.occurred_at_utc,
    p.position_side,
    p.position_base,
    p.entry_quote,
    p.liquidation_quote,
    p.margin_mode,
    p.margin_settle,
    p.leverage_x,
    p.account_value_settle,
    p.source,
    p.is_synthetic
from {{ ref('int_perp_positions_ranked') }} as p
where p.bucket_rank = 1
