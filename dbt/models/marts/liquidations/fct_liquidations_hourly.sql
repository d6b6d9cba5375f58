select
    venue,
    asset,
    position_side,
    interval_start_utc,
    completeness_class,
    count(*) as liquidations_count,
    {{ as_base('sum(quantity_base)') }} as quantity_base, -- exact: DECIMAL
    {{ as_usd('sum(notional_usd)') }} as notional_usd, -- exact: DECIMAL
    max(notional_usd) as largest_notional_usd,
    string_agg(distinct source, ',' order by source) as sources,
    bool_or(is_synthetic) as is_synthetic
from {{ ref('int_liquidations_classed') }}
group by venue, asset, position_side, interval_start_utc, completeness_class
