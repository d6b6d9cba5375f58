{%- set datasets = {
    'int_candles_ranked': 'interval_start_utc',
    'int_minute_candles_ranked': 'interval_start_utc',
    'int_funding_rates_ranked': 'settled_at_utc',
    'int_open_interest_ranked': 'interval_start_utc',
    'int_depth_bands_ranked': 'interval_start_utc',
    'int_liquidations_ranked': 'interval_start_utc',
} -%}
with seen as (
    {%- for model, clock in datasets.items() %}
    select
        venue,
        venue_symbol,
        min(asset) as asset,
        min(cast({{ clock }} as date)) as first_record_date_utc,
        max(cast({{ clock }} as date)) as last_record_date_utc,
        bool_or(is_synthetic) as is_synthetic
    from {{ ref(model) }}
    group by venue, venue_symbol
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

recorded as (
    select
        venue,
        venue_symbol,
        min(asset) as asset,
        min(first_record_date_utc) as first_record_date_utc,
        max(last_record_date_utc) as last_record_date_utc,
        bool_or(is_synthetic) as is_synthetic
    from seen
    group by venue, venue_symbol
),

listings as (
    select
        l.*,
        min(l.capture_date_utc) over (partition by l.venue, l.venue_symbol) as first_capture_date_utc,
        max(l.capture_date_utc) over (partition by l.venue, l.venue_symbol) as last_capture_date_utc
    from {{ ref('stg_lake__instruments') }} as l
    left join {{ ref('source_ranks') }} as ranks on l.source = ranks.source
    -- One listing per venue and symbol in this cut: the best source's latest snapshot.
    qualify row_number() over (
        partition by l.venue, l.venue_symbol
        order by coalesce(ranks.source_rank, 100), l.source, l.capture_date_utc desc, l.ingested_at_utc desc
    ) = 1
),

joined as (
    select
        r.first_record_date_utc,
        r.last_record_date_utc,
        l.quote_asset,
        l.settle_asset,
        l.contract_kind,
        l.contract_size_base,
        l.contract_size_usd,
        l.price_tick_quote,
        l.quantity_step_base,
        l.listed_at_utc,
        coalesce(r.venue, l.venue) as venue,
        coalesce(r.venue_symbol, l.venue_symbol) as venue_symbol,
        coalesce(l.asset, r.asset) as asset,
        l.listed_at_utc is not null as is_listing_time_known,
        least(r.first_record_date_utc, l.first_capture_date_utc) as first_seen_date_utc,
        greatest(r.last_record_date_utc, l.last_capture_date_utc) as last_seen_date_utc,
        coalesce(r.is_synthetic, false) or coalesce(l.is_synthetic, false) as is_synthetic
    from recorded as r
    full outer join listings as l on r.venue = l.venue and r.venue_symbol = l.venue_symbol
)

select
    concat_ws(
        ':', venue, venue_symbol,
        strftime(coalesce(cast(listed_at_utc as date), first_seen_date_utc), '%Y-%m-%d')
    ) as instrument_id,
    venue,
    venue_symbol,
    asset,
    quote_asset,
    settle_asset,
    contract_kind,
    contract_size_base,
    contract_size_usd,
    price_tick_quote,
    quantity_step_base,
    listed_at_utc,
    is_listing_time_known,
    first_seen_date_utc,
    last_seen_date_utc,
    first_record_date_utc,
    last_record_date_utc,
    {{ is_usd_quoted('quote_asset') }} as is_usd_quoted,
    is_synthetic
from joined
