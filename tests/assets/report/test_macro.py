"""Macro in the report: what came out on the day against what was known, and of days to come their dates alone."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from assets.report.render import report_html, report_json
from assets.report.sections import build_report

SHA = "ab" * 32


@pytest.fixture(scope="module")
def report(make_marts):
    return build_report(make_marts(("CPI",)), date(2025, 10, 10), input_sha256=SHA)


def test_the_treasury_curve_stands_apart_shortest_maturity_first(make_marts, insert, day):
    con = make_marts(("CPI",))
    for series in ("UST_10Y", "UST_1M", "UST_2Y", "UST_1_5M", "UST_6M", "USTX_1M"):
        insert(
            con,
            "fct_macro_observations",
            series_id=series,
            series_name=series,
            observation_date_utc=day,
            vintage_date_utc=day,
            vintage_origin="published",
            value_native=4.0,
            unit="percent",
        )
    macro = build_report(con, day, input_sha256=SHA).macro
    assert [row.series_id for row in macro.curve] == ["UST_1M", "UST_1_5M", "UST_6M", "UST_2Y", "UST_10Y"]
    assert "USTX_1M" in {row.series_id for row in macro.rows}
    assert not {row.series_id for row in macro.rows} & {row.series_id for row in macro.curve}


def test_a_release_of_the_day_stands_beside_what_was_known_and_expected(report):
    (row,) = report.macro.releases
    assert (row.is_of_the_day, row.release_status, row.value_native) == (True, "out", 4.3)
    assert (row.previous_known_native, row.surprise_native) == (4.2, 0.1)
    assert (row.consensus_native, row.consensus_surprise_native, row.revision_native) == (4.25, 0.05, None)


def test_of_a_day_to_come_nothing_but_its_date_is_told(report):
    (row,) = report.macro.coming
    assert (row.series_id, row.release_date_utc) == ("CPI", date(2025, 10, 23))
    for text in (report_json(report), report_html(report, "en"), report_html(report, "zh")):
        assert "95.0" not in text.decode().partition('"macro"')[2].partition('"open_interest"')[0]
        assert "99.00" not in text.decode()


def test_a_day_beyond_two_weeks_or_without_a_calendar_is_not_to_come(make_marts, insert, day):
    con = make_marts(("CPI",))
    insert(
        con, "fct_macro_releases", series_id="A", release_date_utc=day + timedelta(days=15), release_origin="calendar"
    )
    insert(
        con, "fct_macro_releases", series_id="B", release_date_utc=day + timedelta(days=1), release_origin="captures"
    )
    assert [row.series_id for row in build_report(con, day, input_sha256=SHA).macro.coming] == ["CPI"]


def test_a_day_without_a_release_says_so(make_marts, day):
    after = build_report(make_marts(("CPI",)), day + timedelta(days=1), input_sha256=SHA)
    assert not after.macro.releases[0].is_of_the_day
    assert "No monthly figure is known to have come out on the day." in report_html(after, "en").decode()


def test_expectations_are_the_latest_look_at_the_most_likely_range(report):
    (row,) = report.macro.expectations
    assert (row.observed_date_utc, row.target_low_bps, row.target_high_bps) == (date(2025, 10, 9), 350.0, 375.0)
    assert row.probability_change_frac is None


def test_a_meeting_that_is_over_is_not_expected(make_marts, day):
    late = build_report(make_marts(("CPI",)), day + timedelta(days=20), input_sha256=SHA)
    assert late.macro.expectations == ()
