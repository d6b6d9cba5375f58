{#-
    Every row of a staging relation with its place in its bucket: `bucket_rank` 1 is kept, the others stand behind it.

    The seed `source_ranks` decides; a source that it does not name comes after those, in alphabetical order; within a
    source the later commit. `before_source` is ordered on first: an unfinished candle never beats a finished one.
    `within_source` comes before the commit time and makes the order total. With `is_snapshot` only the latest capture
    of each source competes: an old snapshot is a revision and not a second opinion. `whole` names the columns of what a
    snapshot shows whole (the funds of a day): what its latest capture no longer tells is gone.
-#}
{% macro rank_sources(relation, bucket, before_source=none, within_source=none, is_snapshot=false, whole=none) %}
{%- set bucket = bucket | join(', ') -%}
with given as (
    select *
    from {{ relation }}
    {% if is_snapshot -%}
    qualify {{ 'rank' if whole else 'row_number' }}() over (
        partition by {{ (whole | join(', ')) if whole else bucket }}, venue, source
        order by capture_date_utc desc, ingested_at_utc desc
    ) = 1
    {%- endif %}
),

judged as (
    select
        given.*,
        coalesce(ranks.source_rank, 100) as source_rank
    from given
    left join {{ ref('source_ranks') }} as ranks on given.source = ranks.source
)

select
    *,
    count(*) over (partition by {{ bucket }}) as bucket_rows_count,
    row_number() over (
        partition by {{ bucket }}
        order by
            {% if before_source %}{{ before_source }}, {% endif -%}
            source_rank, source,
            {% if within_source %}{{ within_source }}, {% endif -%}
            ingested_at_utc desc, capture_date_utc desc
    ) as bucket_rank
from judged
{% endmacro %}
