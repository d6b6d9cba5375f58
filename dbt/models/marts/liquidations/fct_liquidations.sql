select
    instrument_id,
    venue,
    asset,
    occurred_at_utc,
    liquidation_rank,
    position_side,
    order_side,
    quantity_contracts,
    quantity_base,
    quantity_base_origin,
    order_price_quote,
    order_price_kind,
    notional_usd,
    completeness_class,
    source,
    is_synthetic
from {{ ref('int_liquidations_classed') }}
