select
    instrument_id,
    venue,
    asset,
    settled_at_utc,
    occurred_at_utc,
    funding_rate_frac,
    funding_interval_hours,
    interval_origin,
    funding_rate_frac * 8 / funding_interval_hours as funding_rate_8h_frac,
    funding_rate_frac * 8760 / funding_interval_hours as funding_rate_annualised_frac,
    source,
    is_synthetic
from {{ ref('int_funding_rates_timed') }}
