{#- Tokens of an amount in text: whole numbers of base units are divided by ten to the decimals by moving the point, so
    that no digit is lost before the type's eighth; without decimals the text is tokens already. NULL where the result
    does not fit the type; the text stays exact. -#}
{% macro tokens_base(amount, decimals) -%}
    {%- set width = 'cast(' ~ decimals ~ ' as integer)' -%}
    try_cast(
        case
            when {{ decimals }} is null or {{ decimals }} = 0 then {{ amount }}
            else
                concat(
                    left({{ amount }}, greatest(length({{ amount }}) - {{ decimals }}, 0)),
                    '.',
                    lpad(right({{ amount }}, {{ decimals }}), {{ width }}, '0')
                )
        end as decimal(28, 8)
    )
{%- endmacro %}
