with ranges as (
    select *
    from ({{ rank_sources(
        ref('stg_lake__rate_expectations'),
        bucket=['meeting_date_utc', 'observed_date_utc', 'target_low_bps', 'target_high_bps'],
        within_source='venue',
        is_snapshot=true
    ) }}) as ranked
    -- All ranges of a meeting and day come from one source: halves of two would not add up.
    qualify
        rank() over (
            partition by meeting_date_utc, observed_date_utc
            order by source_rank, source, venue, capture_date_utc desc
        ) = 1
),

looks as (
    select
        meeting_date_utc,
        observed_date_utc,
        lag(observed_date_utc) over (partition by meeting_date_utc order by observed_date_utc) as before_date_utc,
        sum(
            probability_frac * (target_low_bps + target_high_bps) / 2 order by target_low_bps, target_high_bps
        ) / sum(probability_frac order by target_low_bps, target_high_bps) as expected_rate_bps
    from ranges
    group by meeting_date_utc, observed_date_utc
)

select
    r.meeting_date_utc,
    r.observed_date_utc,
    r.target_low_bps,
    r.target_high_bps,
    r.probability_frac,
    case
        when looks.before_date_utc is not null
            then r.probability_frac - coalesce(before.probability_frac, 0)
    end as probability_change_frac,
    looks.expected_rate_bps,
    row_number() over (
        partition by r.meeting_date_utc, r.observed_date_utc
        order by r.probability_frac desc, r.target_low_bps, r.target_high_bps
    ) = 1 as is_most_likely,
    r.venue,
    r.source,
    r.is_synthetic
from ranges as r
inner join looks
    on r.meeting_date_utc = looks.meeting_date_utc and r.observed_date_utc = looks.observed_date_utc
left join ranges as before
    on
        r.meeting_date_utc = before.meeting_date_utc
        and looks.before_date_utc = before.observed_date_utc
        and r.target_low_bps = before.target_low_bps
        and r.target_high_bps = before.target_high_bps
