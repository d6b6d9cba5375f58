-- A returned row is a tier that does not begin where the one below it ends, or at whose floor maintenance jumps.
select
    tiers.venue,
    tiers.venue_symbol,
    tiers.tier_rank,
    tiers.valid_from_utc,
    tiers.notional_floor_settle,
    below.notional_cap_settle as notional_cap_below_settle,
    cast(tiers.notional_floor_settle as double)
    * (tiers.maintenance_margin_rate_frac - coalesce(below.maintenance_margin_rate_frac, 0))
    - cast(tiers.maintenance_amount_settle - coalesce(below.maintenance_amount_settle, 0) as double) as jump_settle
from {{ ref('dim_leverage_tiers') }} as tiers
left join {{ ref('dim_leverage_tiers') }} as below
    on
        tiers.venue = below.venue
        and tiers.venue_symbol = below.venue_symbol
        and tiers.tier_rank = below.tier_rank + 1
        -- Both held at some instant.
        and below.valid_from_utc < coalesce(tiers.valid_to_utc, 'infinity')
        and tiers.valid_from_utc < coalesce(below.valid_to_utc, 'infinity')
where
    tiers.notional_floor_settle != coalesce(below.notional_cap_settle, 0)
    or abs(jump_settle) > 1e-6 * tiers.notional_floor_settle * tiers.maintenance_margin_rate_frac
