-- A returned row is a day whose funds do not add up to the total that the same capture tells.
select
    venue,
    source,
    asset,
    flow_date_utc,
    sum(net_flow_usd) filter (where fund = 'TOTAL') as total_usd, -- exact: DECIMAL
    sum(net_flow_usd) filter (where fund != 'TOTAL') as funds_usd -- exact: DECIMAL
from {{ ref('int_etf_flows_ranked') }}
group by venue, source, asset, flow_date_utc
-- Half of the last digit that publishers print: tenths of a million.
having abs(
    sum(net_flow_usd) filter (where fund = 'TOTAL') -- exact: DECIMAL
    - sum(net_flow_usd) filter (where fund != 'TOTAL') -- exact: DECIMAL
) >= 50000
