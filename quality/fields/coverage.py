"""Words of what is there and what is not: coverage, quarantine, disagreement."""

WORDS: dict[str, str] = {
    "coverage_date_utc": "UTC day that is covered or not.",
    "coverage_status": "complete, partial, missing or unexpected (records where none were due).",
    "coverage_reason": "Why rows are missing: not_collected, before_listing, outage codes, stream_gap, quarantined, venue_gap; empty text where complete.",
    "expected_rows_count": "Rows due on the day.",
    "observed_rows_count": "Rows present on the day after ranking of sources.",
    "missing_rows_count": "expected minus observed, not below 0.",
    "quarantined_rows_count": "Rows of the day that were refused with a reason.",
    "coverage_frac": "observed / expected, at most 1; missing where nothing was due.",
    "sources": "Sources that contribute, comma-separated in alphabetical order.",
    "capture_date_utc": "UTC day under which the raw file is keyed.",
    "compared_rows_count": "Buckets that two sources gave.",
    "disagreeing_rows_count": "Buckets in which the sources differ by more than 1 bp.",
    "max_difference_bps": "Largest relative difference of the compared figure, in bps.",
}
