with days as (
    select
        *,
        supply_base - supply_active_1y_base as est_long_term_supply_base
    from {{ ref('int_holder_metrics_ranked') }}
    where bucket_rank = 1
)

select
    d.asset,
    d.holder_date_utc,
    d.supply_base,
    d.supply_active_1y_base,
    {{ as_base('d.est_long_term_supply_base') }} as est_long_term_supply_base,
    cast(d.est_long_term_supply_base as double)
    / nullif(cast(d.supply_base as double), 0) as est_long_term_supply_frac,
    {{ as_base('d.est_long_term_supply_base - month_before.est_long_term_supply_base') }}
        as est_long_term_supply_change_30d_base,
    d.price_quote,
    d.market_cap_usd,
    d.mvrv_x,
    d.exchange_inflow_usd,
    d.exchange_outflow_usd,
    {{ as_usd('d.exchange_inflow_usd - d.exchange_outflow_usd') }} as exchange_net_inflow_usd,
    d.venue,
    terms.terms_note,
    d.source,
    d.is_synthetic
from days as d
inner join {{ ref('dim_venues') }} as terms on d.venue = terms.venue
left join days as month_before
    on d.asset = month_before.asset and d.holder_date_utc - 30 = month_before.holder_date_utc
