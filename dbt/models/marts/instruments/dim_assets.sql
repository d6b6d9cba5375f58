with records as (
    select
        asset,
        first_seen_date_utc,
        last_seen_date_utc,
        is_synthetic
    from {{ ref('int_instruments_resolved') }}
    union all
    select
        asset,
        flow_date_utc as first_seen_date_utc,
        flow_date_utc as last_seen_date_utc,
        is_synthetic
    from {{ ref('int_etf_flows_ranked') }}
    where bucket_rank = 1
    union all
    select
        asset,
        holder_date_utc as first_seen_date_utc,
        holder_date_utc as last_seen_date_utc,
        is_synthetic
    from {{ ref('int_holder_metrics_ranked') }}
    where bucket_rank = 1
),

seen as (
    select
        asset,
        min(first_seen_date_utc) as first_seen_date_utc,
        max(last_seen_date_utc) as last_seen_date_utc,
        bool_or(is_synthetic) as is_synthetic
    from records
    group by asset
)

select
    coalesce(seen.asset, named.asset) as asset,
    coalesce(named.asset_name, seen.asset) as asset_name,
    seen.first_seen_date_utc,
    seen.last_seen_date_utc,
    coalesce(seen.is_synthetic, false) as is_synthetic
from seen
full outer join {{ ref('assets') }} as named on seen.asset = named.asset
