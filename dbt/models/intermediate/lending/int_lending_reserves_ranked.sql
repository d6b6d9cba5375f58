{#- A snapshot is kept whole: of a venue's day the best source's last instant, so that accounts and reserves of two
    instants are never added together. -#}
select
    seen.*,
    cast(seen.observed_at_utc as date) as reserve_date_utc,
    dense_rank() over (
        partition by seen.venue, cast(seen.observed_at_utc as date)
        order by coalesce(ranks.source_rank, 100), seen.source, seen.observed_at_utc desc
    ) as bucket_rank
from {{ ref('stg_lake__lending_reserves') }} as seen
left join {{ ref('source_ranks') }} as ranks on seen.source = ranks.source
