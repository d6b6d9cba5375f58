with priced as (
    select
        i.instrument_id,
        o.*,
        p.close_quote,
        case o.open_interest_basis when 'two_sided' then 0.5 else 1.0 end as one_side
    from {{ ref('int_open_interest_ranked') }} as o
    inner join {{ ref('int_instruments_resolved') }} as i
        on o.venue = i.venue and o.venue_symbol = i.venue_symbol
    -- The price of the moment: the close of the last hour that had ended; never an older one.
    left join {{ ref('fct_prices_hourly') }} as p
        on o.asset = p.asset and o.interval_start_utc - interval 1 hour = p.interval_start_utc
    where o.bucket_rank = 1
),

one_sided as (
    select
        *,
        {{ as_base('one_side * coalesce(open_interest_base, open_interest_usd / nullif(close_quote, 0))') }}
            as open_interest_one_sided_base,
        {{ as_usd('one_side * coalesce(open_interest_usd, ' ~ as_usd('open_interest_base * close_quote') ~ ')') }}
            as open_interest_one_sided_usd
    from priced
)

select
    instrument_id,
    venue,
    asset,
    interval_start_utc,
    occurred_at_utc,
    open_interest_one_sided_base,
    open_interest_one_sided_usd,
    case
        when open_interest_base is not null then 'venue'
        when open_interest_one_sided_base is not null then 'derived'
        else 'missing'
    end as open_interest_base_origin,
    case
        when open_interest_usd is not null then 'venue'
        when open_interest_one_sided_usd is not null then 'derived'
        else 'missing'
    end as open_interest_usd_origin,
    open_interest_basis,
    {{ change_frac('open_interest_one_sided_usd', 'instrument_id', 'interval_start_utc', 'interval 1 hour') }}
        as open_interest_change_1h_frac,
    {{ change_frac('open_interest_one_sided_base', 'instrument_id', 'interval_start_utc', 'interval 1 hour') }}
        as open_interest_base_change_1h_frac,
    source,
    is_synthetic
from one_sided
