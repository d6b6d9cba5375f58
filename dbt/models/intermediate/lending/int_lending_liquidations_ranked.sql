{#- An import tells no transaction, so that calls of two sources cannot be matched one by one: each UTC day of a venue
    is taken from one source. -#}
with judged as (
    select
        calls.*,
        coalesce(ranks.source_rank, 100) as source_rank
    from {{ ref('stg_lake__lending_liquidations') }} as calls
    left join {{ ref('source_ranks') }} as ranks on calls.source = ranks.source
)

select
    *,
    dense_rank() over (
        partition by venue, cast(occurred_at_utc as date)
        order by source_rank, source
    ) as bucket_rank
from judged
