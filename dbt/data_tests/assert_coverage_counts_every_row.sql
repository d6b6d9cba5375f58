-- A returned row is a dataset whose coverage does not add up to the mart's rows, or a day whose own sum is wrong.
with covered as (
    select
        dataset,
        sum(observed_rows_count) as rows_count -- exact: whole numbers
    from {{ ref('fct_data_coverage_daily') }}
    group by dataset
),

present as (
    {%- for dataset, model in {
        'candles': 'fct_candles_hourly',
        'minute_candles': 'fct_minute_candles',
        'funding_rates': 'fct_funding_rates',
        'open_interest': 'fct_open_interest_hourly',
        'liquidations': 'fct_liquidations',
        'long_short_ratios': 'fct_long_short_ratios_hourly',
        'adl_states': 'fct_adl_states',
        'tickers': 'fct_tickers_daily',
        'perp_positions': 'fct_perp_positions_daily',
        'lending_liquidations': 'fct_lending_liquidations',
        'lending_reserves': 'fct_lending_reserves_daily',
        'lending_positions': 'fct_lending_positions_daily',
        'stablecoin_supplies': 'fct_stablecoins_daily',
    }.items() %}
    select
        '{{ dataset }}' as dataset,
        count(*) as rows_count
    from {{ ref(model) }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    present.dataset,
    null as venue,
    null as coverage_date_utc,
    present.rows_count as expected_count,
    coalesce(covered.rows_count, 0) as found_count
from present
left join covered on present.dataset = covered.dataset
where present.rows_count != coalesce(covered.rows_count, 0)
union all
select
    dataset,
    venue,
    coverage_date_utc,
    greatest(expected_rows_count - observed_rows_count, 0) as expected_count,
    missing_rows_count as found_count
from {{ ref('fct_data_coverage_daily') }}
where
    missing_rows_count != greatest(expected_rows_count - observed_rows_count, 0)
    or (missing_rows_count > 0 and coverage_reason = '')
    or coverage_status not in ('complete', 'partial', 'missing', 'unexpected')
