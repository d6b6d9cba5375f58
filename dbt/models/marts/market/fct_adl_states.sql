{#- Of figures (Bybit): it starts where the pool is empty, or where a contract lost more of a pool above the least balance than the
    ratio of start; it stops above the ratio of stop. Between the two it goes on if it was on, which no figure tells. -#}
select
    venue,
    venue_symbol,
    asset,
    observed_at_utc,
    occurred_at_utc,
    case
        when adl_word in ('low', 'medium', 'high') then adl_word || '_risk'
        when adl_word in ('rate_adl_start', 'bal_adl_start') then 'on'
        when adl_word = 'adl_end' then 'off'
        when fund_balance_settle <= 0 then 'on'
        when fund_balance_settle <= fund_least_settle then 'off'
        when fund_least_settle is not null and pnl_ratio_frac < adl_start_ratio_frac then 'on'
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
