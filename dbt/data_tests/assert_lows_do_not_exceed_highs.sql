-- A returned row is a candle, price or recap whose open or close lies outside its low and high.
{%- for model, clock in {
    'fct_candles_hourly': 'interval_start_utc',
    'fct_minute_candles': 'interval_start_utc',
    'fct_prices_hourly': 'interval_start_utc',
    'fct_market_recaps_daily': 'recap_date_utc',
}.items() %}
select
    '{{ model }}' as model,
    asset,
    cast({{ clock }} as timestamp) as interval_start_utc,
    open_quote,
    high_quote,
    low_quote,
    close_quote
from {{ ref(model) }}
where
    low_quote > least(open_quote, close_quote)
    or high_quote < greatest(open_quote, close_quote)
    or low_quote <= 0
{%- if not loop.last %}
union all
{%- endif %}
{%- endfor %}
