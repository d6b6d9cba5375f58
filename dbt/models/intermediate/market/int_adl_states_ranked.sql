{#- The bucket is the look. -#}
{{ rank_sources(ref('stg_lake__adl_states'), bucket=['venue', 'venue_symbol', 'observed_at_utc']) }}
