{#- Releases are read off the vintages: a figure newer than all before it came out on the day on which it is first
    known. What our first capture of a series shows came out before, nobody knows when, and is no release. -#}
with vintages as (
    select
        v.*,
        min(v.vintage_date_utc) over (partition by v.series_id, v.observation_date_utc) as first_vintage_date_utc,
        min(v.vintage_date_utc) over (partition by v.series_id, v.vintage_origin) as first_look_date_utc
    from {{ ref('int_macro_observations_ranked') }} as v
    inner join {{ ref('macro_series') }} as s on v.series_id = s.series_id
    where v.bucket_rank = 1 and s.frequency = 'monthly'
),

placed as (
    select
        *,
        max(observation_date_utc) over (
            partition by series_id order by observation_date_utc
            range between unbounded preceding and interval 1 day preceding
        ) as previous_date_utc,
        max(observation_date_utc) over (
            partition by series_id order by vintage_date_utc
            range between unbounded preceding and interval 1 day preceding
        ) as newest_before_date_utc
    from vintages
),

newest as (
    select
        *,
        vintage_date_utc - 1 as eve_date_utc
    from placed
    where
        vintage_date_utc = first_vintage_date_utc
        and not (vintage_origin = 'captured' and vintage_date_utc = first_look_date_utc)
        and (newest_before_date_utc is null or observation_date_utc > newest_before_date_utc)
    qualify row_number() over (
        partition by series_id, vintage_date_utc order by observation_date_utc desc
    ) = 1
),

released as (
    select
        n.series_id,
        n.vintage_date_utc as release_date_utc,
        n.vintage_origin,
        n.observation_date_utc,
        n.value_native,
        known.value_native as previous_known_native,
        revised.value_native as previous_revised_native,
        n.unit,
        n.venue,
        n.source,
        n.is_synthetic
    from newest as n
    asof left join vintages as known
        on
            n.series_id = known.series_id
            and n.previous_date_utc = known.observation_date_utc
            and n.eve_date_utc >= known.vintage_date_utc
    asof left join vintages as revised
        on
            n.series_id = revised.series_id
            and n.previous_date_utc = revised.observation_date_utc
            and n.vintage_date_utc >= revised.vintage_date_utc
),

calendar as (
    select
        *,
        -- What a later list no longer names was postponed, unless its day had come.
        max(capture_date_utc) over (partition by series_id) as last_look_date_utc
    from ({{ rank_sources(
        ref('stg_lake__macro_releases'),
        bucket=['series_id', 'release_date_utc'],
        within_source='venue',
        is_snapshot=true
    ) }}) as ranked
    where bucket_rank = 1
    qualify capture_date_utc = last_look_date_utc or release_date_utc <= capture_date_utc
),

consensus as (
    select *
    from ({{ rank_sources(
        ref('stg_lake__macro_consensus'),
        bucket=['series_id', 'observation_date_utc'],
        within_source='venue',
        is_snapshot=true
    ) }}) as ranked
    where bucket_rank = 1
),

days as (
    select
        coalesce(r.series_id, c.series_id) as series_id,
        coalesce(r.release_date_utc, c.release_date_utc) as release_date_utc,
        case
            when r.series_id is not null then 'out'
            -- The day of the last look itself was not over.
            when c.release_date_utc >= c.last_look_date_utc then 'announced'
            else 'no_new_figure'
        end as release_status,
        case
            when c.series_id is not null then 'calendar'
            when r.vintage_origin = 'published' then 'vintages'
            else 'captures'
        end as release_origin,
        r.observation_date_utc,
        r.value_native,
        r.previous_known_native,
        r.previous_revised_native,
        r.unit,
        coalesce(r.venue, c.venue) as venue,
        coalesce(r.source, c.source) as source,
        coalesce(r.is_synthetic, c.is_synthetic) as is_synthetic
    from released as r
    full outer join calendar as c on r.series_id = c.series_id and r.release_date_utc = c.release_date_utc
)

select
    d.series_id,
    coalesce(s.series_name, d.series_id) as series_name,
    d.release_date_utc,
    d.release_status,
    d.release_origin,
    d.observation_date_utc,
    d.value_native,
    d.previous_known_native,
    d.previous_revised_native,
    d.previous_revised_native - d.previous_known_native as revision_native,
    d.value_native - d.previous_known_native as surprise_native,
    e.consensus_native,
    d.value_native - e.consensus_native as consensus_surprise_native,
    e.venue as consensus_venue,
    d.unit,
    d.venue,
    d.source,
    d.is_synthetic
from days as d
left join {{ ref('macro_series') }} as s on d.series_id = s.series_id
-- A consensus in another unit is not comparable.
left join consensus as e
    on d.series_id = e.series_id and d.observation_date_utc = e.observation_date_utc and d.unit = e.unit
