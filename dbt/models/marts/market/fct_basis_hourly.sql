with closes as (
    select
        venue,
        venue_symbol,
        interval_start_utc,
        max(interval_end_utc) as interval_end_utc,
        max(close_quote) filter (where price_kind = 'trade') as close_quote,
        max(close_quote) filter (where price_kind = 'mark') as mark_close_quote,
        max(close_quote) filter (where price_kind = 'index') as index_close_quote,
        bool_and(is_closed) as is_closed,
        bool_or(is_synthetic) as is_synthetic
    from {{ ref('int_candles_ranked') }}
    where bucket_rank = 1
    group by venue, venue_symbol, interval_start_utc
)

select
    i.instrument_id,
    c.venue,
    i.asset,
    c.interval_start_utc,
    c.interval_end_utc,
    c.close_quote,
    c.mark_close_quote,
    c.index_close_quote,
    (c.close_quote - c.index_close_quote) / c.index_close_quote * 10000 as basis_bps,
    (c.mark_close_quote - c.index_close_quote) / c.index_close_quote * 10000 as mark_basis_bps,
    c.is_closed,
    c.is_synthetic
from closes as c
inner join {{ ref('int_instruments_resolved') }} as i on c.venue = i.venue and c.venue_symbol = i.venue_symbol
where c.mark_close_quote is not null or c.index_close_quote is not null
