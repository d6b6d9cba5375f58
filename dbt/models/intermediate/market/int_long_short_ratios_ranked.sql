{#- The bucket is the hour: of the best source the last observation is kept. -#}
{{ rank_sources(
    ref('stg_lake__long_short_ratios'),
    bucket=['venue', 'venue_symbol', 'ratio_kind', 'interval_start_utc'],
    within_source='occurred_at_utc desc'
) }}
