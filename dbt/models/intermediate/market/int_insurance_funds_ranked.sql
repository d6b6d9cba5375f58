{#- The bucket is the capture day: of the best source the last balance is kept. -#}
{{ rank_sources(
    ref('stg_lake__insurance_funds'),
    bucket=['venue', 'fund_name', 'settle_asset', 'capture_date_utc'],
    within_source='occurred_at_utc desc'
) }}
