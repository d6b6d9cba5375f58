{#- Days on which the US stock market trades: weekdays without the full-day closures of the seed. Beyond the seed's last
    year a holiday counts as a trading day, so that it is called missing and not passed over. -#}
{% macro is_us_trading_day(day) -%}
    (
        isodow({{ day }}) <= 5
        and {{ day }} not in (select closed_date_utc from {{ ref('us_market_closures') }})
    )
{%- endmacro %}

{#- Trading days from 1970-01-05, a Monday, up to and with a day: neighbours among them differ by one. -#}
{% macro us_trading_days_until(day) -%}
    (
        date_diff('day', date '1970-01-05', {{ day }}) // 7 * 5 + least(isodow({{ day }}), 5)
        - (
            select count(*) from {{ ref('us_market_closures') }} as closures
            where closures.closed_date_utc <= {{ day }}
        )
    )
{%- endmacro %}
