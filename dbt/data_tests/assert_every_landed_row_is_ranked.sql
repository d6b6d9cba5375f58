-- A returned row is a dataset by its own days whose ranked rows are not as many as the manifest says were landed.
{%- set datasets = {
    'candles': 'int_candles_ranked',
    'minute_candles': 'int_minute_candles_ranked',
    'funding_rates': 'int_funding_rates_ranked',
    'open_interest': 'int_open_interest_ranked',
    'depth_bands': 'int_depth_bands_ranked',
    'liquidations': 'int_liquidations_ranked',
    'long_short_ratios': 'int_long_short_ratios_ranked',
    'leverage_tiers': 'int_leverage_tiers_ranked',
    'adl_states': 'int_adl_states_ranked',
    'lending_liquidations': 'int_lending_liquidations_ranked',
    'lending_reserves': 'int_lending_reserves_ranked',
    'lending_positions': 'int_lending_positions_ranked',
    'stablecoin_supplies': 'int_stablecoin_supplies_ranked',
    'exchange_reserves': 'int_exchange_reserves_ranked',
} %}
with ranked as (
    {%- for dataset, model in datasets.items() %}
    select
        '{{ dataset }}' as dataset,
        count(*) as rows_count
    from {{ ref(model) }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

landed as (
    select
        dataset,
        sum(rows_count) as rows_count -- exact: whole numbers
    from {{ ref('stg_lake__manifest') }}
    group by dataset
)

select
    ranked.dataset,
    ranked.rows_count as ranked_rows_count,
    coalesce(landed.rows_count, 0) as landed_rows_count
from ranked
left join landed on ranked.dataset = landed.dataset
where ranked.rows_count != coalesce(landed.rows_count, 0)
