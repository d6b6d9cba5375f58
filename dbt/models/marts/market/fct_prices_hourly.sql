with candles as (
    select
        c.*,
        v.reference_rank,
        i.first_seen_date_utc,
        coalesce(i.contract_kind = 'inverse', false) as is_inverse
    from {{ ref('fct_candles_hourly') }} as c
    inner join {{ ref('int_instruments_resolved') }} as i on c.instrument_id = i.instrument_id
    left join {{ ref('venues') }} as v on c.venue = v.venue
    where i.is_usd_quoted
),

-- One voice per venue: its oldest instrument of the asset, so that a new contract never moves the reference. Inverse
-- contracts come after the others, at a venue and between venues: they trade least, and their margin falls with the
-- price.
voices as (
    select *
    from candles
    qualify row_number() over (
        partition by asset, interval_start_utc, venue
        order by is_inverse, first_seen_date_utc, instrument_id
    ) = 1
),

reference as (
    select *
    from voices
    qualify row_number() over (
        partition by asset, interval_start_utc
        order by is_inverse, reference_rank nulls last, venue
    ) = 1
),

across_venues as (
    select
        asset,
        interval_start_utc,
        median(close_quote) as median_close_quote,
        min(low_quote) as lowest_low_quote,
        max(high_quote) as highest_high_quote,
        max(close_quote) - min(close_quote) as close_spread_quote,
        count(*) as venues_count
    from voices
    group by asset, interval_start_utc
),

traded as (
    select
        asset,
        interval_start_utc,
        {{ as_base('sum(volume_base)') }} as volume_base, -- exact: DECIMAL
        {{ as_usd('sum(volume_usd)') }} as volume_usd, -- exact: DECIMAL
        bool_or(is_synthetic) as is_synthetic
    from candles
    group by asset, interval_start_utc
)

select
    r.asset,
    r.interval_start_utc,
    r.interval_end_utc,
    r.venue as reference_venue,
    r.open_quote,
    r.high_quote,
    r.low_quote,
    r.close_quote,
    {{ as_quote('a.median_close_quote') }} as median_close_quote,
    a.lowest_low_quote,
    a.highest_high_quote,
    case
        when a.venues_count > 1 then a.close_spread_quote / nullif(a.median_close_quote, 0) * 10000
    end as close_dispersion_bps,
    t.volume_base,
    t.volume_usd,
    {{ change_frac('r.close_quote', 'r.asset', 'r.interval_start_utc', 'interval 1 hour') }} as return_frac,
    a.venues_count,
    r.is_closed,
    t.is_synthetic
from reference as r
inner join across_venues as a on r.asset = a.asset and r.interval_start_utc = a.interval_start_utc
inner join traded as t on r.asset = t.asset and r.interval_start_utc = t.interval_start_utc
