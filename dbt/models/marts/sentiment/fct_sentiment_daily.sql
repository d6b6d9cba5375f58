with indices as (
    select *
    from {{ ref('int_sentiment_ranked') }}
    where bucket_rank = 1
)

select
    s.index_name,
    s.sentiment_date_utc,
    s.sentiment_index,
    s.sentiment_index - week_before.sentiment_index as sentiment_change_7d_index,
    case
        when s.sentiment_index < 25 then 'extreme_fear'
        when s.sentiment_index < 46 then 'fear'
        when s.sentiment_index < 55 then 'neutral'
        when s.sentiment_index < 76 then 'greed'
        else 'extreme_greed'
    end as sentiment_class,
    s.venue,
    s.source,
    s.is_synthetic
from indices as s
left join indices as week_before
    on s.index_name = week_before.index_name and s.sentiment_date_utc - 7 = week_before.sentiment_date_utc
