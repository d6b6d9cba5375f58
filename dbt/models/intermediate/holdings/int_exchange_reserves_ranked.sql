{#- An observation is kept whole: of a day that a venue tells of an exchange the last instant, so that holdings of two
    instants are never added together. -#}
select
    seen.*,
    cast(seen.observed_at_utc as date) as reserve_date_utc,
    dense_rank() over (
        partition by seen.venue, seen.exchange, cast(seen.observed_at_utc as date)
        order by coalesce(ranks.source_rank, 100), seen.source, seen.observed_at_utc desc
    ) as bucket_rank
from {{ ref('stg_lake__exchange_reserves') }} as seen
left join {{ ref('source_ranks') }} as ranks on seen.source = ranks.source
