{{ rank_sources(
    ref('stg_lake__etf_flows'),
    bucket=['asset', 'fund', 'flow_date_utc'],
    within_source='venue',
    is_snapshot=true,
    whole=['asset', 'flow_date_utc']
) }}
