{{ rank_sources(
    ref('stg_lake__sentiment'),
    bucket=['index_name', 'sentiment_date_utc'],
    within_source='venue',
    is_snapshot=true
) }}
