"""Raw tables around macro figures: release dates, what was expected of them, and what the market expects of the policy rate.

Belongs here: columns, grain and laws of these. Does not: the figures themselves (``raw.py``, which registers these tables too),
reading a publisher (``pipelines/sources``).
"""

from __future__ import annotations

import polars as pl

from quality.fields.dictionary import fields
from quality.tables import Rule, Table

_c = pl.col

_VENUE_NAMES = Rule(
    "bad_venue_name", "venue", ~_c("venue").str.contains(r"^[a-z][a-z0-9_]{0,31}$"), "venue_is_a_plain_lower_case_name"
)
_SERIES = Rule(
    "bad_series", "series_id", ~_c("series_id").str.contains(r"^[A-Za-z0-9_.-]{1,64}$"), "series_id_is_a_plain_name"
)

MACRO_RELEASES = Table(
    "raw",
    "macro_releases",
    "Days on which figures of a series come out, past and announced, a whole snapshot by capture day. One row per venue, series "
    "and release day.",
    grain=("venue", "series_id", "release_date_utc"),
    fields=fields("venue", "series_id", "release_date_utc", "payload_sha256"),
    rules=(_VENUE_NAMES, _SERIES),
    ahead=frozenset({"release_date_utc"}),
)

MACRO_CONSENSUS = Table(
    "raw",
    "macro_consensus",
    "What was expected of a figure before it came out, from a user's file. One row per venue, series and observation day.",
    grain=("venue", "series_id", "observation_date_utc"),
    fields=fields("venue", "series_id", "observation_date_utc", "consensus_native", "unit", "payload_sha256"),
    rules=(_VENUE_NAMES, _SERIES),
    ahead=frozenset({"observation_date_utc"}),
)

# One meeting as seen on one day.
_OUTLOOK = ("venue", "meeting_date_utc", "observed_date_utc")
# Files print whole or tenths of a percent; ten ranges of tenths are off by half a percent at most, ten of whole percents by five.
_SUM_SLACK = 0.05

RATE_EXPECTATIONS = Table(
    "raw",
    "rate_expectations",
    "How likely each target range is after a meeting, as seen on a day, from a user's file; a day's ranges stand whole or not at "
    "all. One row per venue, meeting, observed day and target range.",
    grain=(*_OUTLOOK, "target_low_bps", "target_high_bps"),
    fields=fields(*_OUTLOOK, "target_low_bps", "target_high_bps", "probability_frac", "payload_sha256"),
    rules=(
        _VENUE_NAMES,
        Rule("probability_out_of_range", "probability_frac", ~_c("probability_frac").is_between(0, 1), "probability_is_a_share"),
        Rule("range_upside_down", "target_high_bps", _c("target_high_bps") < _c("target_low_bps"), "target_range_is_not_upside_down"),
        # Ranges on record lie between 0 and 2,000 bps; below 20 percent was read as basis points.
        Rule("target_out_of_range", "target_high_bps", ~_c("target_high_bps").is_between(20, 3_000), "target_range_is_in_basis_points"),
        Rule("observed_after_meeting", "observed_date_utc", _c("observed_date_utc") > _c("meeting_date_utc"), "expectations_end_with_the_meeting"),
    ),
    group_rules=(
        Rule(
            "probabilities_do_not_add_up",
            "probability_frac",
            (_c("probability_frac").sum().over(_OUTLOOK) - 1).abs() > _SUM_SLACK,
            "probabilities_of_a_meeting_add_up_to_one",
        ),
    ),
    ahead=frozenset({"meeting_date_utc"}),
)  # fmt: skip

MACRO_TABLES = (MACRO_RELEASES, MACRO_CONSENSUS, RATE_EXPECTATIONS)

# As `DAY_CLOCK` of ``raw.py``, which takes these up.
MACRO_DAY_CLOCK: dict[str, str | None] = {"macro_releases": None, "macro_consensus": None, "rate_expectations": None}
