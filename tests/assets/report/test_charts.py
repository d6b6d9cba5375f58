"""Drawings are the same bytes every time, load nothing, share no id, and show a gap as a gap."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from xml.etree import ElementTree

import pytest

from assets.report import charts
from assets.report.model import Chart
from assets.report.parts import indexed, line_chart, series_of

HOURS = tuple(datetime(2025, 10, 9) + timedelta(hours=k) for k in range(48))


def _line(values, unit="index"):
    return Chart("prices", "line", unit, HOURS[: len(values)], (series_of("BTC", values),))


def _curve():
    x = (-0.3, -0.1, 0.1, 0.3)
    return Chart(
        "amplification", "curve", "x", x, (series_of("sell", (1.2, 2.0, 1.5, None)), series_of("news", (1.0,) * 4))
    )


def _bars():
    days = tuple(date(2025, 10, 1) + timedelta(days=k) for k in range(6))
    return Chart("etf", "bar", "usd", days, (series_of("TOTAL", (1e6, -2e6, 0.0, 3e6, None, 5e6)),))


EVERY_KIND = [_line([100.0, 99.0, 98.5]), _line([0.0001, -0.0002], "frac"), _curve(), _bars()]


@pytest.mark.parametrize("chart", EVERY_KIND, ids=lambda c: f"{c.kind}-{c.unit}")
def test_drawing_is_the_same_bytes_and_loads_nothing(chart):
    text = charts.svg(chart, "p", "A title")
    charts._drawn.cache_clear()
    assert charts.svg(chart, "p", "A title") == text
    assert not re.search(r"<style|<script|<image|https?:|xlink|xmlns|url\((?!#p-)|@import|data:|font-family", text)
    assert not re.search(r"#0a0b\d\d", text), "a colour that stands for a variable was left behind"
    assert "var(--" in text


@pytest.mark.parametrize("chart", EVERY_KIND, ids=lambda c: f"{c.kind}-{c.unit}")
def test_drawing_has_a_name_and_its_references_resolve(chart):
    root = ElementTree.fromstring(charts.svg(chart, "p", 'Prices <& "more"'))
    assert root.get("role") == "img"
    assert root.find("title").text == 'Prices <& "more"'
    assert root.get("aria-labelledby") == root.find("title").get("id") == "p-title"
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    assert all(name.startswith("p-") for name in ids)
    text = charts.svg(chart, "p", "t")
    used = set(re.findall(r'(?:href="|url\()#([\w.-]+)', text))
    assert used <= set(ids)


def test_two_drawings_of_one_page_share_no_id():
    pattern = r'\bid="([^"]+)"'
    first = set(re.findall(pattern, charts.svg(_curve(), "one", "t")))
    second = set(re.findall(pattern, charts.svg(_curve(), "two", "t")))
    assert first
    assert first.isdisjoint(second)


def _moves(chart):
    """Count the pen-downs of the first series: one more than its gaps."""
    root = ElementTree.fromstring(charts.svg(chart, "p", "t"))
    paths = [p for p in root.iter("path") if "var(--s1)" in p.get("style", "") and "fill: none" in p.get("style", "")]
    return sum(p.get("d").count("M") for p in paths)


def test_missing_value_is_a_gap_and_not_a_zero_and_not_a_bridge():
    assert _moves(_line([100.0, 101.0, 102.0, 103.0, 104.0])) == 1
    assert _moves(_line([100.0, 101.0, None, 103.0, 104.0])) == 2


def test_value_alone_between_gaps_is_a_dot():
    with_dot = charts.svg(_line([100.0, None, 102.0, None, 104.0, 105.0]), "p", "t")
    without = charts.svg(_line([100.0, 101.0, 102.0, 103.0, 104.0, 105.0]), "p", "t")
    assert with_dot.count("<use") == without.count("<use") + 2


def test_curve_does_not_join_its_two_sides():
    assert _moves(_curve()) == 2


def test_names_never_reach_the_drawing():
    names = ("<script>", "$x^{2}$", "币安人生", "\u202e")
    chart = Chart(
        "prices", "line", "index", HOURS[:2], tuple(series_of(name, (1.0, 2.0)) for name in names), about=names[0]
    )
    text = charts.svg(chart, "p", "t")
    assert not any(name in text for name in (*names, "&lt;script"))


def test_legend_numbers_colours_and_dashes_from_the_fifth_on():
    chart = Chart("prices", "line", "index", HOURS[:2], tuple(series_of(str(k), (1.0, 2.0)) for k in range(8)))
    assert [(colour, dashed) for colour, dashed, _ in charts.legend(chart)] == [(k, k > 4) for k in range(1, 9)]


@pytest.mark.fast
def test_chart_without_a_value_is_no_chart():
    assert line_chart("prices", "index", HOURS, {"BTC": [None] * 48}) is None


@pytest.mark.fast
def test_index_starts_at_the_first_present_value():
    assert indexed([None, 50, 25, None, 100]) == [None, 100.0, 50.0, None, 200.0]
    assert indexed([None, None]) == [None, None]
