{#- Two sources print the same order with other digits or stamps, so that orders cannot be matched one by one: each hour
    of an instrument is taken from one source. -#}
with judged as (
    select
        orders.*,
        coalesce(ranks.source_rank, 100) as source_rank
    from {{ ref('stg_lake__liquidations') }} as orders
    left join {{ ref('source_ranks') }} as ranks on orders.source = ranks.source
)

select
    *,
    dense_rank() over (
        partition by venue, venue_symbol, interval_start_utc
        order by source_rank, source
    ) as bucket_rank
from judged
