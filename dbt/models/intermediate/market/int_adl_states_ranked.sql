{#- The bucket is the venue's instant: two looks that saw the same are one. -#}
{{ rank_sources(ref('stg_lake__adl_states'), bucket=['venue', 'venue_symbol', 'occurred_at_utc']) }}
