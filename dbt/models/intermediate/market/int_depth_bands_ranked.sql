with judged as (
    select
        bands.*,
        coalesce(ranks.source_rank, 100) as source_rank
    from {{ ref('stg_lake__depth_bands') }} as bands
    left join {{ ref('source_ranks') }} as ranks on bands.source = ranks.source
)

select
    *,
    -- Dense: all bands of a kept row come from one and the same book, the last of the hour.
    dense_rank() over (
        partition by venue, venue_symbol, interval_start_utc
        order by source_rank, source, occurred_at_utc desc
    ) as bucket_rank
from judged
