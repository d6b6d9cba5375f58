{#- The SQL type of a unit, at one place; quality/units.py is the law and a test holds the marts to it. -#}
{% macro as_usd(expression) %}cast({{ expression }} as decimal(28, 4)){% endmacro %}

{% macro as_quote(expression) %}cast({{ expression }} as decimal(18, 8)){% endmacro %}

{% macro as_base(expression) %}cast({{ expression }} as decimal(28, 8)){% endmacro %}

{% macro as_settle(expression) %}cast({{ expression }} as decimal(28, 8)){% endmacro %}

{#- Traded notional of a candle: quantity x typical price. Exact in DECIMAL up to the division by three. -#}
{% macro traded_usd(volume, high, low, close) -%}
    {{ as_usd('cast(' ~ volume ~ ' as double) * cast(' ~ high ~ ' + ' ~ low ~ ' + ' ~ close ~ ' as double) / 3') }}
{%- endmacro %}

{#- True where a price in this quote asset is a price in dollars. An import that tells no quote asset is taken at par. -#}
{% macro is_usd_quoted(quote_asset) -%}
    coalesce({{ quote_asset }} in ('{{ var("usd_like_quotes") | join("', '") }}'), true)
{%- endmacro %}

{#- Value of a quantity at a price. Through DOUBLE, as the exact product may not fit; NULL where it exceeds the type. -#}
{% macro product_usd(quantity, price) -%}
    try_cast(cast({{ quantity }} as double) * cast({{ price }} as double) as decimal(28, 4))
{%- endmacro %}
