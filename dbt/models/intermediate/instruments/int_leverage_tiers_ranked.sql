{#- A ladder is kept whole or not at all: the tiers of two sources are never mixed. The bucket is the UTC day; in it the
    best source's last observation is kept. -#}
select
    tiers.*,
    dense_rank() over (
        partition by tiers.venue, tiers.venue_symbol, cast(tiers.observed_at_utc as date)
        order by coalesce(ranks.source_rank, 100), tiers.source, tiers.observed_at_utc desc
    ) as bucket_rank
from {{ ref('stg_lake__leverage_tiers') }} as tiers
left join {{ ref('source_ranks') }} as ranks on tiers.source = ranks.source
