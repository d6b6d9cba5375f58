{#- Aggregates over DOUBLE in a declared order: a parallel sum or stddev is not reproducible, `agg(x order by k)` is. -#}

{#- z-score of a value against past ones (`where`: which of the joined rows are past), in the order of their days;
    NULL below 10 of them or without spread. The standard deviation is that of a sample. -#}
{% macro z_score(value, past, day, where='true') -%}
    case
        when count({{ past }}) filter (where {{ where }}) >= 10
            then
                (
                    cast({{ value }} as double)
                    - avg(cast({{ past }} as double) order by {{ day }}) filter (where {{ where }})
                )
                / nullif(stddev_samp(cast({{ past }} as double) order by {{ day }}) filter (where {{ where }}), 0)
    end
{%- endmacro %}

{#- value / its value one step before - 1; NULL unless the step before is exactly `step` earlier. -#}
{% macro change_frac(value, partition_by, clock, step) -%}
    {%- set line -%} partition by {{ partition_by }} order by {{ clock }} {%- endset -%}
    case
        when lag({{ clock }}) over ({{ line }}) = {{ clock }} - {{ step }}
            then {{ value }} / nullif(lag({{ value }}) over ({{ line }}), 0) - 1
    end
{%- endmacro %}

