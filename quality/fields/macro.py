"""Words of macro releases and of what is expected; those of the figures stand with flows and sentiment (``flows.py``)."""

WORDS: dict[str, str] = {
    "release_date_utc": "Day on which the figure came out, or will.",
    "release_status": "out, announced (the day lies ahead) or no_new_figure (the day has passed: it brought revisions alone, or was put off).",
    "release_origin": (
        "calendar (the publisher's list of release days), vintages (the day from which the publisher had the figure) or captures "
        "(the day on which we first saw it: it may have come out before)."
    ),
    "previous_known_native": "The observation before, as known on the day before the release.",
    "previous_revised_native": "The observation before, as known with the release.",
    "revision_native": "previous_revised_native - previous_known_native.",
    "surprise_native": "value_native - previous_known_native: against what was known, not against what was expected.",
    "consensus_native": "What was expected of the figure, from a user's file.",
    "consensus_surprise_native": "value_native - consensus_native.",
    "consensus_venue": "Whose consensus it is.",
    "meeting_date_utc": "Day of the meeting that sets the policy rate.",
    "observed_date_utc": "Day on which the expectation was seen.",
    "target_low_bps": "Lower end of the target range.",
    "target_high_bps": "Upper end of the target range.",
    "probability_frac": "How likely the range is after the meeting, by the source's own method.",
    "probability_change_frac": "probability_frac minus that of the observed day before, of the same meeting and range; a range that was not named then counts 0.",
    "expected_rate_bps": "Middle of the ranges of the meeting, weighted by their probabilities.",
    "is_most_likely": "Whether no range of the meeting is likelier on the day; of equals the lowest.",
}
