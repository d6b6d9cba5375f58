-- A returned row is a venue or an asset that a mart names and its dimension does not.
with named as (
    select distinct
        venue,
        asset
    from {{ ref('dim_instruments') }}
    union
    select distinct
        venue,
        asset
    from {{ ref('fct_etf_flows_daily') }}
    union
    select distinct
        venue,
        asset
    from {{ ref('fct_holder_supply_daily') }}
    union
    select distinct
        venue,
        null as asset
    from {{ ref('dim_leverage_tiers') }}
    union
    select distinct
        exchange as venue,
        null as asset
    from {{ ref('fct_exchange_reserves_daily') }}
    union
    select distinct
        venue,
        null as asset
    from {{ ref('fct_data_coverage_daily') }}
)

select
    named.venue,
    named.asset
from named
left join {{ ref('dim_venues') }} as venues on named.venue = venues.venue
left join {{ ref('dim_assets') }} as assets on named.asset = assets.asset
where venues.venue is null or (named.asset is not null and assets.asset is null)
