-- A returned row is one side of a band that told one and the same quantity in 10 books in a row or more while the
-- rest of the book moved: a figure that nobody renews. In the archive of BTCUSDT of 2025-10-10 no sound band repeats
-- even once; those of the dead bid repeat up to 379 times. A band without any order stands at 0 rightly.
{{ config(severity='warn') }}
with figures as (
    {%- for book_side in ('bid', 'ask') %}
    select
        venue,
        venue_symbol,
        source,
        occurred_at_utc,
        band_bps,
        '{{ book_side }}' as book_side,
        {{ book_side }}_depth_base as depth_base
    from {{ ref('stg_lake__depth_bands') }}
    where {{ book_side }}_depth_base > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

compared as (
    select
        *,
        sum(depth_base) over (partition by venue, venue_symbol, source, occurred_at_utc) as book_base, -- exact: DECIMAL
        lag(depth_base) over (
            partition by venue, venue_symbol, source, band_bps, book_side
            order by occurred_at_utc
        ) as previous_depth_base
    from figures
),

runs as (
    select
        *,
        count(*) filter (where previous_depth_base is null or depth_base != previous_depth_base) over (
            partition by venue, venue_symbol, source, band_bps, book_side
            order by occurred_at_utc
        ) as run_rank
    from compared
)

select
    i.instrument_id,
    runs.source,
    runs.band_bps,
    runs.book_side,
    runs.run_rank,
    min(runs.occurred_at_utc) as first_occurred_at_utc,
    max(runs.occurred_at_utc) as last_occurred_at_utc,
    count(*) as books_count,
    'band_stands_still' as reason
from runs
inner join {{ ref('int_instruments_resolved') }} as i on runs.venue = i.venue and runs.venue_symbol = i.venue_symbol
group by i.instrument_id, runs.source, runs.band_bps, runs.book_side, runs.run_rank
having count(*) >= 10 and count(distinct runs.book_base) > 1
