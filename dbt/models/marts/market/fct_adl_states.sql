{#- Of figures (Bybit): it starts where the pool is empty, or where a contract lost more of a pool above the least balance than the
    ratio of start; it stops above the ratio of stop. In between it goes on if it was on, which no figure tells. -#}
select
    venue,
    venue_symbol,
    asset,
    occurred_at_utc,
    case
        when adl_word is not null then adl_word || '_risk'
        when fund_balance_settle <= 0 then 'on'
        when fund_balance_settle > fund_least_settle and pnl_ratio_frac < adl_start_ratio_frac then 'on'
        when fund_balance_settle > 0 and pnl_ratio_frac > adl_stop_ratio_frac then 'off'
    end as adl_state,
    adl_word,
    settle_asset,
    fund_balance_settle,
    fund_least_settle,
    pnl_ratio_frac,
    adl_start_ratio_frac,
    adl_stop_ratio_frac,
    source,
    is_synthetic
from {{ ref('int_adl_states_ranked') }}
where bucket_rank = 1
