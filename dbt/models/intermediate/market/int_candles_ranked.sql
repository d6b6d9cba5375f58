{{ rank_sources(
    ref('stg_lake__candles'),
    bucket=['venue', 'venue_symbol', 'price_kind', 'interval_start_utc'],
    before_source='is_closed desc'
) }}
