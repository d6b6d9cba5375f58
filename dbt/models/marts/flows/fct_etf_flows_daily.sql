with flows as (
    select
        *,
        sign(net_flow_usd) as flow_sign,
        coalesce(
            sign(net_flow_usd)
            != lag(sign(net_flow_usd)) over (partition by asset, fund order by flow_date_utc), true
        ) as is_first_of_run
    from {{ ref('int_etf_flows_ranked') }}
    where bucket_rank = 1
),

runs as (
    select
        *,
        -- exact: whole numbers
        sum(cast(is_first_of_run as integer)) over (partition by asset, fund order by flow_date_utc) as run_rank
    from flows
)

select
    asset,
    fund,
    flow_date_utc,
    net_flow_usd,
    -- exact: DECIMAL
    {{ as_usd('sum(net_flow_usd) over (fund_days rows between 4 preceding and current row)') }} as net_flow_5d_usd,
    -- exact: DECIMAL
    {{ as_usd('sum(net_flow_usd) over (fund_days rows unbounded preceding)') }} as cumulative_net_flow_usd,
    cast(
        flow_sign * row_number() over (partition by asset, fund, run_rank order by flow_date_utc) as bigint
    ) as streak_count,
    venue,
    source,
    is_synthetic
from runs
window fund_days as (partition by asset, fund order by flow_date_utc)
