{#- Dataset -> ranked model, what makes a bucket, its clock, the figure that is compared. Books are left out: two
    sources never show one at the same instant. -#}
{%- set datasets = {
    'candles': ('int_candles_ranked', 'venue_symbol, price_kind', 'interval_start_utc', 'close_quote'),
    'minute_candles': ('int_minute_candles_ranked', 'venue_symbol', 'interval_start_utc', 'close_quote'),
    'funding_rates': ('int_funding_rates_ranked', 'venue_symbol', 'settled_at_utc', 'funding_rate_frac'),
    'open_interest': (
        'int_open_interest_ranked', 'venue_symbol', "date_trunc('minute', occurred_at_utc)", 'open_interest_usd'
    ),
    'etf_flows': ('int_etf_flows_ranked', 'asset, fund', 'flow_date_utc', 'net_flow_usd'),
    'holder_metrics': ('int_holder_metrics_ranked', 'asset', 'holder_date_utc', 'market_cap_usd'),
    'macro_observations': (
        'int_macro_observations_ranked', 'series_id, vintage_date_utc', 'observation_date_utc', 'value_native'
    ),
    'sentiment': ('int_sentiment_ranked', 'index_name', 'sentiment_date_utc', 'sentiment_index'),
} -%}
with buckets as (
    {%- for dataset, (model, grain, clock, figure) in datasets.items() %}
    select
        '{{ dataset }}' as dataset,
        venue,
        cast({{ clock }} as date) as coverage_date_utc,
        list(distinct source order by source) as bucket_sources,
        cast(min({{ figure }}) as double) as lowest,
        cast(max({{ figure }}) as double) as highest
    from {{ ref(model) }}
    where bucket_rows_count > 1 and {{ figure }} is not null
    group by venue, {{ grain }}, {{ clock }}
    having count(*) > 1
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

compared as (
    select
        *,
        coalesce((highest - lowest) / nullif(greatest(abs(highest), abs(lowest)), 0), 0) * 10000 as difference_bps
    from buckets
)

select
    dataset,
    venue,
    coverage_date_utc,
    array_to_string(list_sort(list_distinct(flatten(list(bucket_sources order by bucket_sources)))), ',') as sources,
    count(*) as compared_rows_count,
    count(*) filter (where difference_bps > 1) as disagreeing_rows_count,
    max(difference_bps) as max_difference_bps
from compared
group by dataset, venue, coverage_date_utc
