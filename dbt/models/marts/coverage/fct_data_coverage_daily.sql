with expected as (
    select * from {{ ref('int_exchange_rows_expected') }}
    union all
    select * from {{ ref('int_publisher_rows_expected') }}
    union all
    select * from {{ ref('int_snapshot_rows_expected') }}
    union all
    select * from {{ ref('int_liquidation_rows_expected') }}
    union all
    select * from {{ ref('int_lending_rows_expected') }}
),

outages as (
    select
        dataset,
        venue,
        capture_date_utc as coverage_date_utc,
        min(reason) as reason
    from {{ ref('stg_lake__outages') }}
    group by dataset, venue, capture_date_utc
),

refused as (
    select
        dataset,
        venue,
        capture_date_utc as coverage_date_utc,
        count(*) as rows_count
    from {{ ref('stg_lake__quarantine') }}
    group by dataset, venue, capture_date_utc
),

accounts as (
    select
        expected.dataset,
        expected.venue,
        expected.coverage_date_utc,
        expected.expected_rows_count,
        coalesce(observed.observed_rows_count, 0) as observed_rows_count,
        coalesce(refused.rows_count, 0) as quarantined_rows_count,
        coalesce(observed.sources, '') as sources,
        coalesce(observed.is_synthetic, expected.is_synthetic) as is_synthetic,
        outages.reason as outage_reason,
        expected.default_reason,
        gaps.gap_s
    from expected
    left join {{ ref('int_rows_observed') }} as observed
        on
            expected.dataset = observed.dataset
            and expected.venue = observed.venue
            and expected.coverage_date_utc = observed.coverage_date_utc
    left join outages
        on
            expected.dataset = outages.dataset
            and expected.venue = outages.venue
            and expected.coverage_date_utc = outages.coverage_date_utc
    left join refused
        on
            expected.dataset = refused.dataset
            and expected.venue = refused.venue
            and expected.coverage_date_utc = refused.coverage_date_utc
    left join {{ ref('int_stream_gaps_summed') }} as gaps
        on
            expected.dataset = 'liquidations'
            and expected.venue = gaps.venue
            and expected.coverage_date_utc = gaps.coverage_date_utc
),

judged as (
    select
        *,
        case
            when observed_rows_count > 0 and expected_rows_count = 0 then 'unexpected'
            when observed_rows_count > 0 and observed_rows_count < expected_rows_count then 'partial'
            -- Nobody knows what a stream told while it was not listened to.
            when gap_s > 0 then 'partial'
            when observed_rows_count > 0 then 'complete'
            -- A reason without a row due: the venue had not listed yet, or never gave anything to count by.
            when default_reason != '' then 'missing'
            else 'complete'
        end as coverage_status
    from accounts
)

select
    dataset,
    venue,
    coverage_date_utc,
    coverage_status,
    case
        when coverage_status in ('complete', 'unexpected') then ''
        when outage_reason is not null then outage_reason
        when gap_s > 0 then 'stream_gap'
        when quarantined_rows_count > 0 then 'quarantined'
        else default_reason
    end as coverage_reason,
    expected_rows_count,
    observed_rows_count,
    greatest(expected_rows_count - observed_rows_count, 0) as missing_rows_count,
    quarantined_rows_count,
    -- least() passes over NULL, so that it would call a day on which nothing was due complete.
    case
        when expected_rows_count > 0 then least(observed_rows_count / expected_rows_count, 1.0)
    end as coverage_frac,
    gap_s,
    sources,
    is_synthetic
from judged
