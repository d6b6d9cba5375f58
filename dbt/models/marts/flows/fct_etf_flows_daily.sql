with flows as (
    select
        *,
        sign(net_flow_usd) as flow_sign,
        {{ is_us_trading_day('flow_date_utc') }} as is_trading_day,
        {{ us_trading_days_until('flow_date_utc') }} as trading_days_count
    from {{ ref('int_etf_flows_ranked') }}
    where bucket_rank = 1
),

-- A zero of a day without trading fills a publisher's row and is no flow.
traded as (
    select
        *,
        coalesce(
            trading_days_count - cast(is_trading_day as integer)
            - lag(trading_days_count) over (partition by asset, fund order by flow_date_utc), 0
        ) as missing_trading_days_count
    from flows
    where is_trading_day or net_flow_usd != 0
),

edges as (
    select
        *,
        coalesce(
            missing_trading_days_count > 0
            or flow_sign != lag(flow_sign) over (partition by asset, fund order by flow_date_utc), true
        ) as is_first_of_run
    from traded
),

runs as (
    select
        *,
        -- exact: whole numbers
        sum(cast(is_first_of_run as integer)) over (partition by asset, fund order by flow_date_utc) as run_rank
    from edges
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
    is_trading_day,
    cast(missing_trading_days_count as bigint) as missing_trading_days_count,
    count(*) filter (where fund != 'TOTAL') over (partition by asset, flow_date_utc) as reporting_funds_count,
    venue,
    source,
    is_synthetic
from runs
window fund_days as (partition by asset, fund order by flow_date_utc)
