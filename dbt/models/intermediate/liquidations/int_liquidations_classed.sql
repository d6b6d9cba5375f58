with days as (
    select distinct
        venue,
        source,
        cast(occurred_at_utc as date) as occurred_date_utc
    from {{ ref('int_liquidations_ranked') }}
    where bucket_rank = 1
),

-- The seed's row for the source itself goes before the row for everyone; of these the last that has begun.
classes as (
    select
        days.*,
        coalesce(seed.completeness_class, 'unknown') as completeness_class
    from days
    left join {{ ref('liquidation_completeness') }} as seed
        on
            days.venue = seed.venue
            and seed.source in (days.source, '*')
            and days.occurred_date_utc >= seed.valid_from_date_utc
    qualify row_number() over (
        partition by days.venue, days.source, days.occurred_date_utc
        order by seed.source = '*', seed.valid_from_date_utc desc
    ) = 1
)

select
    i.instrument_id,
    orders.*,
    case orders.position_side
        when 'long' then 'sell'
        when 'short' then 'buy'
        else 'unknown'
    end as order_side,
    row_number() over (
        partition by i.instrument_id, orders.occurred_at_utc
        order by
            orders.position_side, orders.order_price_quote, orders.notional_usd, orders.quantity_base,
            orders.quantity_contracts
    ) as liquidation_rank,
    classes.completeness_class
from {{ ref('int_liquidations_ranked') }} as orders
inner join {{ ref('int_instruments_resolved') }} as i
    on orders.venue = i.venue and orders.venue_symbol = i.venue_symbol
inner join classes
    on
        orders.venue = classes.venue
        and orders.source = classes.source
        and cast(orders.occurred_at_utc as date) = classes.occurred_date_utc
where orders.bucket_rank = 1
