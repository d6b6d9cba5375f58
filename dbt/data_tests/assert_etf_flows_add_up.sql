-- A returned row is a fund whose last cumulative flow is not the sum of its flows.
select
    asset,
    fund,
    sum(net_flow_usd) as summed_usd, -- exact: DECIMAL
    arg_max(cumulative_net_flow_usd, flow_date_utc) as cumulative_net_flow_usd
from {{ ref('fct_etf_flows_daily') }}
group by asset, fund
having sum(net_flow_usd) != arg_max(cumulative_net_flow_usd, flow_date_utc) -- exact: DECIMAL
