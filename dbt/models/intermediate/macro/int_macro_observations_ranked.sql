{{ rank_sources(
    ref('stg_lake__macro_observations'),
    bucket=['series_id', 'observation_date_utc', 'vintage_date_utc'],
    within_source='venue',
    is_snapshot=true
) }}
