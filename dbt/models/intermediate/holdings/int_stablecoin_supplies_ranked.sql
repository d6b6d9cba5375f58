{#- The last instant of a day is kept: on the open day a publisher shows its latest look beside none of its own. -#}
select
    seen.*,
    cast(seen.observed_at_utc as date) as supply_date_utc,
    row_number() over (
        partition by seen.stablecoin_id, seen.supply_chain, cast(seen.observed_at_utc as date)
        order by coalesce(ranks.source_rank, 100), seen.source, seen.observed_at_utc desc, seen.venue
    ) as bucket_rank
from {{ ref('stg_lake__stablecoin_supplies') }} as seen
left join {{ ref('source_ranks') }} as ranks on seen.source = ranks.source
