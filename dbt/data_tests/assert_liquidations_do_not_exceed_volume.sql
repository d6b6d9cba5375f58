-- A returned row is an instrument's hour in which more was liquidated than traded: contracts were read as coins. Every
-- forced order is a trade too; one printed at its bankruptcy price may fill an hour later.
{{ config(severity='warn') }}
select
    orders.instrument_id,
    date_trunc('hour', orders.occurred_at_utc) as interval_start_utc,
    sum(orders.quantity_base) as liquidated_base, -- exact: DECIMAL
    max(candles.volume_base) as volume_base,
    'more_liquidated_than_traded' as reason
from {{ ref('fct_liquidations') }} as orders
inner join {{ ref('fct_candles_hourly') }} as candles
    on
        orders.instrument_id = candles.instrument_id
        and date_trunc('hour', orders.occurred_at_utc) = candles.interval_start_utc
        and candles.is_closed
group by orders.instrument_id, date_trunc('hour', orders.occurred_at_utc)
having sum(orders.quantity_base) > max(candles.volume_base) -- exact: DECIMAL
