select
    dataset,
    venue,
    source,
    capture_date_utc,
    reason,
    count(*) as quarantined_rows_count,
    bool_or(is_synthetic) as is_synthetic
from {{ ref('stg_lake__quarantine') }}
group by dataset, venue, source, capture_date_utc, reason
