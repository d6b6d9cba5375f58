{%- set figures = [
    'notional_floor_settle', 'notional_cap_settle', 'maintenance_margin_rate_frac', 'maintenance_amount_settle',
    'max_leverage_x',
] | join(', ') -%}
with kept as (
    select *
    from {{ ref('int_leverage_tiers_ranked') }}
    where bucket_rank = 1
),

-- An instrument that a later snapshot leaves out, or whose ladder was refused there, has no observation then: its tiers
-- stay open, and last_observed_at_utc tells how old they are.
observed as (
    select distinct
        venue,
        venue_symbol,
        observed_at_utc
    from kept
),

observations as (
    select
        venue,
        venue_symbol,
        observed_at_utc,
        row_number() over line as observation_rank,
        lead(observed_at_utc) over line as next_observed_at_utc
    from observed
    window line as (partition by venue, venue_symbol order by observed_at_utc)
),

-- Neighbouring observations with the same figures differ by one in both numbers, so their difference names the run.
runs as (
    select
        kept.*,
        observations.next_observed_at_utc,
        observations.observation_rank - row_number() over same as run_rank
    from kept
    inner join observations
        on
            kept.venue = observations.venue
            and kept.venue_symbol = observations.venue_symbol
            and kept.observed_at_utc = observations.observed_at_utc
    window
        same as (
            partition by kept.venue, kept.venue_symbol, kept.asset, kept.settle_asset, kept.tier_rank, {{ figures }}
            order by kept.observed_at_utc
        )
)

select
    venue,
    venue_symbol,
    asset,
    settle_asset,
    tier_rank,
    notional_floor_settle,
    notional_cap_settle,
    maintenance_margin_rate_frac,
    maintenance_amount_settle,
    max_leverage_x,
    min(observed_at_utc) as valid_from_utc,
    case when count(*) = count(next_observed_at_utc) then max(next_observed_at_utc) end as valid_to_utc,
    max(observed_at_utc) as last_observed_at_utc,
    arg_min(source, observed_at_utc) as source,
    bool_or(is_synthetic) as is_synthetic
from runs
group by venue, venue_symbol, asset, settle_asset, tier_rank, {{ figures }}, run_rank
