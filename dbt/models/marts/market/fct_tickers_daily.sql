select
    t.venue,
    t.venue_symbol,
    t.asset,
    t.capture_date_utc as ticker_date_utc,
    t.occurred_at_utc,
    t.last_quote,
    t.best_bid_quote,
    t.best_ask_quote,
    t.mark_quote,
    t.index_quote,
    t.volume_24h_base,
    t.open_interest_base,
    t.open_interest_usd,
    t.open_interest_basis,
    t.source,
    t.is_synthetic
from {{ ref('int_tickers_ranked') }} as t
where t.bucket_rank = 1
