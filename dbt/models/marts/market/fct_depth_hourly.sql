select
    i.instrument_id,
    d.venue,
    d.asset,
    d.interval_start_utc,
    d.occurred_at_utc,
    d.mid_quote,
    d.band_bps,
    d.bid_depth_base,
    d.ask_depth_base,
    d.source,
    d.is_synthetic
from {{ ref('int_depth_bands_ranked') }} as d
inner join {{ ref('int_instruments_resolved') }} as i on d.venue = i.venue and d.venue_symbol = i.venue_symbol
where d.bucket_rank = 1
