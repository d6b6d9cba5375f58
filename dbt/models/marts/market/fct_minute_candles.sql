select
    i.instrument_id,
    c.venue,
    c.asset,
    c.interval_start_utc,
    c.open_quote,
    c.high_quote,
    c.low_quote,
    c.close_quote,
    c.volume_base,
    c.is_closed,
    c.source,
    c.is_synthetic
from {{ ref('int_minute_candles_ranked') }} as c
inner join {{ ref('int_instruments_resolved') }} as i on c.venue = i.venue and c.venue_symbol = i.venue_symbol
where c.bucket_rank = 1
