-- A returned row says that settlements of the lake are neither in the mart nor among the compared buckets.
with kept as (
    select count(*) as rows_count
    from {{ ref('fct_funding_rates') }}
),

superseded as (
    select
        count(*) as rows_count,
        -- Rank 2 stands once in every bucket of more than one row.
        count(*) filter (where bucket_rank = 2) as buckets_count
    from {{ ref('int_funding_rates_ranked') }}
    where bucket_rank > 1
),

landed as (
    select count(*) as rows_count
    from {{ ref('int_funding_rates_ranked') }}
),

compared as (
    select coalesce(sum(compared_rows_count), 0) as buckets_count -- exact: whole numbers
    from {{ ref('fct_source_disagreements_daily') }}
    where dataset = 'funding_rates'
)

select
    landed.rows_count as landed_rows_count,
    kept.rows_count as kept_rows_count,
    superseded.rows_count as superseded_rows_count,
    superseded.buckets_count as superseded_buckets_count,
    compared.buckets_count as compared_buckets_count
from kept, superseded, landed, compared
where
    landed.rows_count != kept.rows_count + superseded.rows_count
    or superseded.buckets_count != compared.buckets_count
