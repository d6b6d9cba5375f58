{#- What a venue shows as of now: due are the rows of the fullest answer of a day on which anyone asked. -#}
select
    dataset,
    venue,
    capture_date_utc as coverage_date_utc,
    max(rows_count + quarantined_rows_count) as expected_rows_count,
    case when max(rows_count + quarantined_rows_count) > 0 then 'venue_gap' else '' end as default_reason,
    bool_or(is_synthetic) as is_synthetic
from {{ ref('stg_lake__manifest') }}
where dataset in ('leverage_tiers', 'insurance_funds', 'adl_states', 'tickers', 'perp_positions')
group by dataset, venue, capture_date_utc
