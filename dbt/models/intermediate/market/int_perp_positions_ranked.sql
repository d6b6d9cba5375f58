{#- The bucket is the capture day: of the best source the last snapshot is kept. -#}
{{ rank_sources(
    ref('stg_lake__perp_positions'), bucket=['venue', 'account_address', 'venue_symbol', 'capture_date_utc']
) }}
