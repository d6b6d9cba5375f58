{#- Hours from the start of a UTC day to an instant, kept within [0, 24]; NULL where the instant is. -#}
{% macro hours_into_day(day, instant) -%}
    case
        when {{ instant }} is not null
            then least(24.0, greatest(0.0, date_diff('minute', cast({{ day }} as timestamp), {{ instant }}) / 60.0))
    end
{%- endmacro %}
