{{ rank_sources(
    ref('stg_lake__holder_metrics'),
    bucket=['asset', 'holder_date_utc'],
    within_source='venue',
    is_snapshot=true
) }}
