with seen as (
    select venue
    from {{ ref('stg_lake__manifest') }}
    where rows_count > 0
    union
    select venue
    from {{ ref('stg_lake__outages') }}
)

select
    coalesce(named.venue, seen.venue) as venue,
    coalesce(named.venue_name, seen.venue) as venue_name,
    coalesce(named.venue_kind, 'unlisted') as venue_kind,
    named.open_interest_basis,
    named.reference_rank,
    coalesce(named.terms_note, 'Not known: the venue is not in the seed venues.') as terms_note
from seen
full outer join {{ ref('venues') }} as named on seen.venue = named.venue
