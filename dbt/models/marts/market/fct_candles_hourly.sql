select
    i.instrument_id,
    c.venue,
    c.asset,
    c.interval_start_utc,
    c.interval_end_utc,
    c.open_quote,
    c.high_quote,
    c.low_quote,
    c.close_quote,
    c.volume_base,
    case
        when i.is_usd_quoted then {{ traded_usd('c.volume_base', 'c.high_quote', 'c.low_quote', 'c.close_quote') }}
    end as volume_usd,
    {{ change_frac('c.close_quote', 'i.instrument_id', 'c.interval_start_utc', 'interval 1 hour') }} as return_frac,
    c.is_closed,
    c.source,
    c.is_synthetic
from {{ ref('int_candles_ranked') }} as c
inner join {{ ref('int_instruments_resolved') }} as i on c.venue = i.venue and c.venue_symbol = i.venue_symbol
where c.bucket_rank = 1 and c.price_kind = 'trade'
