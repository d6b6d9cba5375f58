{#- A window of one day that lies n days back is empty where that day is: missing is not zero. -#}
select
    stablecoin_id,
    stablecoin_symbol,
    supply_chain,
    supply_date_utc,
    observed_at_utc,
    peg_type,
    peg_mechanism,
    stablecoin_price_quote,
    case when peg_type = 'USD' then (cast(stablecoin_price_quote as double) - 1) * 10000 end as peg_deviation_bps,
    circulating_base,
    {{ product_usd(
        'circulating_base', "coalesce(stablecoin_price_quote, if(peg_type = 'USD', cast(1 as decimal(18, 8)), null))"
    ) }} as est_circulating_usd,
    case
        when stablecoin_price_quote is not null then 'source_price'
        when peg_type = 'USD' then 'day_price'
        else 'none'
    end as est_usd_origin,
    {%- for days in (1, 7, 30) %}
    {%- set before -%}
        max(circulating_base) over (
            partition by stablecoin_id, supply_chain order by supply_date_utc
            range between interval {{ days }} days preceding and interval {{ days }} days preceding
        )
    {%- endset %}
    {{ as_base('circulating_base - ' ~ before) }} as circulating_change_{{ days }}d_base,
    {%- endfor %}
    venue,
    source,
    is_synthetic
from {{ ref('int_stablecoin_supplies_ranked') }}
where bucket_rank = 1
