{#- A recorded day without a gap has 0 seconds; a day on which no stream was recorded has no row. -#}
with streams as (
    select
        venue,
        capture_date_utc,
        stream,
        sum(date_diff('millisecond', gap_start_utc, gap_end_utc)) as gap_ms_count -- exact: whole numbers
    from {{ ref('stg_lake__stream_gaps') }}
    group by venue, capture_date_utc, stream
)

select
    recorded.venue,
    recorded.capture_date_utc as coverage_date_utc,
    coalesce(max(streams.gap_ms_count), 0) / 1000 as gap_s
from {{ ref('stg_lake__manifest') }} as recorded
left join streams on recorded.venue = streams.venue and recorded.capture_date_utc = streams.capture_date_utc
where recorded.dataset = 'stream_gaps'
group by recorded.venue, recorded.capture_date_utc
