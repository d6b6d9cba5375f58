{{ rank_sources(
    ref('stg_lake__minute_candles'),
    bucket=['venue', 'venue_symbol', 'interval_start_utc'],
    before_source='is_closed desc'
) }}
