{#- Two stamps of one source within the same minute are one settlement told twice: the later stamp is kept. -#}
{{ rank_sources(
    ref('stg_lake__funding_rates'),
    bucket=['venue', 'venue_symbol', 'settled_at_utc'],
    within_source='occurred_at_utc desc'
) }}
