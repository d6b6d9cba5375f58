{#- Dataset -> ranked model, day, and what one row due on a day is. -#}
{%- set datasets = {
    'candles': ('int_candles_ranked', 'interval_start_utc', "count(*) filter (where price_kind = 'trade')"),
    'minute_candles': ('int_minute_candles_ranked', 'interval_start_utc', 'count(*)'),
    'funding_rates': ('int_funding_rates_ranked', 'settled_at_utc', 'count(*)'),
    'open_interest': ('int_open_interest_ranked', 'interval_start_utc', 'count(*)'),
    'depth_bands': ('int_depth_bands_ranked', 'interval_start_utc', 'count(distinct (venue_symbol, interval_start_utc))'),
    'liquidations': ('int_liquidations_ranked', 'interval_start_utc', 'count(*)'),
    'long_short_ratios': ('int_long_short_ratios_ranked', 'interval_start_utc', 'count(*)'),
    'insurance_funds': ('int_insurance_funds_ranked', 'capture_date_utc', 'count(*)'),
    'adl_states': ('int_adl_states_ranked', 'occurred_at_utc', 'count(*)'),
    'tickers': ('int_tickers_ranked', 'capture_date_utc', 'count(*)'),
    'perp_positions': ('int_perp_positions_ranked', 'capture_date_utc', 'count(*)'),
    'leverage_tiers': ('int_leverage_tiers_ranked', 'observed_at_utc', 'count(*)'),
    'lending_liquidations': ('int_lending_liquidations_ranked', 'occurred_at_utc', 'count(*)'),
    'lending_reserves': ('int_lending_reserves_ranked', 'observed_at_utc', 'count(*)'),
    'lending_positions': ('int_lending_positions_ranked', 'observed_at_utc', 'count(*)'),
    'stablecoin_supplies': ('int_stablecoin_supplies_ranked', 'supply_date_utc', 'count(*)'),
    'exchange_reserves': ('int_exchange_reserves_ranked', 'reserve_date_utc', 'count(*)'),
    'etf_flows': ('int_etf_flows_ranked', 'flow_date_utc', 'count(*)'),
    'holder_metrics': ('int_holder_metrics_ranked', 'holder_date_utc', 'count(*)'),
    'macro_observations': ('int_macro_observations_ranked', 'observation_date_utc', 'count(distinct series_id)'),
    'sentiment': ('int_sentiment_ranked', 'sentiment_date_utc', 'count(*)'),
} -%}
{%- for dataset, (model, clock, rows_count) in datasets.items() %}
select
    '{{ dataset }}' as dataset,
    venue,
    cast({{ clock }} as date) as coverage_date_utc,
    {{ rows_count }} as observed_rows_count,
    string_agg(distinct source, ',' order by source) as sources,
    bool_or(is_synthetic) as is_synthetic
from {{ ref(model) }}
where bucket_rank = 1
group by venue, cast({{ clock }} as date)
{%- if not loop.last %}
union all
{%- endif %}
{%- endfor %}
