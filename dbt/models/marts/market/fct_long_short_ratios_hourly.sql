select
    i.instrument_id,
    r.venue,
    r.asset,
    r.ratio_kind,
    r.interval_start_utc,
    r.occurred_at_utc,
    r.long_short_ratio_x,
    r.long_short_ratio_x / (1 + r.long_short_ratio_x) as long_share_frac,
    r.source,
    r.is_synthetic
from {{ ref('int_long_short_ratios_ranked') }} as r
inner join {{ ref('int_instruments_resolved') }} as i on r.venue = i.venue and r.venue_symbol = i.venue_symbol
where r.bucket_rank = 1
