"""The page is one inert, whole file in two languages; the JSON holds every number of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from assets.report.render import SECTIONS, report_html, report_json
from assets.report.sections import build_report
from assets.report.shown import inert

SHA = "ab" * 32
VOID = {"meta", "link", "br", "wbr", "img", "hr", "input", "col"}


class Page(HTMLParser):
    """Collects what a browser would see, and fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag in names]

    @property
    def words(self) -> str:
        return re.sub(r"[ \n\t]+", " ", "".join(self.text))


@pytest.fixture(scope="module")
def report(make_marts):
    return build_report(make_marts(), date(2025, 10, 10), input_sha256=SHA)


@pytest.fixture(scope="module", params=["en", "zh"])
def page(request, report) -> Page:
    return Page(report_html(report, request.param).decode())


def test_page_is_whole_and_has_every_section_once(page):
    assert [attrs["id"] for attrs in page.named("section")] == list(SECTIONS)
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"][1:] for attrs in page.named("a") if attrs["href"].startswith("#")}
    assert targets == set(SECTIONS)


def test_page_loads_nothing_and_runs_nothing(page, report):
    assert not page.named("script", "link", "img", "iframe", "object", "embed", "form", "base", "image")
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    policy = next(attrs for attrs in page.named("meta") if attrs.get("http-equiv"))
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    html = report_html(report, "en").decode()
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"url\((?!#)|@import|data:", html)


def test_links_stay_in_the_folder_of_the_day(page):
    links = {attrs["href"] for attrs in page.named("a")} - {f"#{key}" for key in SECTIONS}
    assert links
    assert all(re.fullmatch(r"report(\.zh)?\.html|report\.json|tables/[a-z_]+\.parquet", link) for link in links)


def test_tables_and_charts_are_named_for_everyone(page):
    assert all(attrs.get("scope") for attrs in page.named("th"))
    assert len(page.named("caption")) == len(page.named("table"))
    charts = list(page.named("svg"))
    assert len(charts) == 11
    assert all(attrs["role"] == "img" and attrs["aria-labelledby"] for attrs in charts)
    assert len(page.named("figcaption")) == len(page.named("figure")) == len(charts)


def test_page_says_which_mart_each_section_comes_from(page):
    for mart in (
        "fct_market_recaps_daily",
        "fct_funding_daily",
        "fct_stress_scenarios_daily",
        "fct_data_coverage_daily",
    ):
        assert f"marts.{mart}" in page.words


def test_censored_shock_reads_as_none_up_to_the_grid(report):
    english = Page(report_html(report, "en").decode()).words
    assert "none up to 50\u202f%" in english
    assert "4.5\u202f%" in english
    assert "50% 以内无" in Page(report_html(report, "zh").decode()).words


def test_assumption_and_priors_are_printed(report):
    words = Page(report_html(report, "en").decode()).words
    assert "the mark follows the book with pass-through 1.00" in words
    assert "estimated, prior tier_prior_v1" in words
    assert "prior, prior depth_prior_oi_v1" in words
    assert "latest vintage, not what was known on the day" in words
    assert "book exhausted" in words


def test_missing_figures_are_a_word_and_never_zero(report):
    row = replace(report.prices.rows[0], return_frac=None, volume_usd=None, downside_beta_x=None)
    bare = replace(report, prices=replace(report.prices, rows=(row,)))
    html = report_html(bare, "en").decode()
    start = html.index('<section id="prices"')
    table = html[start : html.index("</table>", start)]
    assert table.count('<span class="missing">missing</span>') == 3
    assert not re.search(r">\s*(None|nan|NaN|-)\s*<", html)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_empty_marts_say_that_everything_is_missing(empty_marts, day, lang):
    report = build_report(empty_marts, day, input_sha256="")
    page = Page(report_html(report, lang).decode())
    said = {"en": "Missing: no record", "zh": "缺失"}[lang]
    assert page.words.count(said) >= 8
    assert not page.named("svg")
    assert not re.search(r"\b0(\.0+)?\u202f?%", page.words)
    assert "None" not in page.words


@pytest.mark.parametrize(("lang", "banner"), [("en", "SYNTHETIC: every record"), ("zh", "合成数据：本报告的全部记录")])
def test_synthetic_world_carries_a_banner_and_a_badge_in_every_section(make_marts, day, lang, banner):
    report = build_report(make_marts(("BTC",), synthetic=True), day, input_sha256=SHA)
    html = report_html(report, lang).decode()
    assert banner in Page(html).words
    sections = html.split("<section ")[1:]
    used = [part for part in sections if not part.startswith('id="provenance"')]
    assert all('class="badge badge-synthetic"' in part for part in used)


def test_real_world_carries_no_synthetic_badge(report):
    html = report_html(report, "en").decode()
    assert 'class="badge badge-synthetic"' not in html
    assert "SYNTHETIC" not in html


def test_partly_synthetic_world_marks_the_rows(make_marts, insert, day):
    con = make_marts(("BTC",))
    insert(con, "fct_funding_daily", asset="FAKE", funding_date_utc=day, is_synthetic=True)
    html = report_html(build_report(con, day, input_sha256=SHA), "en").decode()
    assert "SYNTHETIC IN PART" in html
    row = html[html.index("FAKE") : html.index("FAKE") + 200]
    assert "badge-synthetic" in row


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_names_are_inert_and_round_trip(make_marts, hostile_names, day, lang):
    report = build_report(make_marts(hostile_names), day, input_sha256=SHA)
    html = report_html(report, lang).decode()
    page = Page(html)
    assert not page.named("script", "img", "link", "iframe")
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert not [attrs for attrs in page.named("a") if "javascript" in attrs["href"]]
    assert "\u202e" not in html
    for name in hostile_names:
        assert inert(name) in "".join(page.text)
    numbers = json.loads(report_json(report))
    assert {row["asset"] for row in numbers["prices"]["rows"]} == set(hostile_names)
    assert {row["venue_symbol"] for row in numbers["open_interest"]["rows"]} == {f"{n}-PERP" for n in hostile_names}


def test_json_is_sorted_whole_and_keeps_decimal_digits(report):
    text = report_json(report).decode()
    seen: list[list[str]] = []

    def keep(pairs):
        seen.append([key for key, _ in pairs])
        return dict(pairs)

    numbers = json.loads(text, object_pairs_hook=keep, parse_float=Decimal, parse_constant=pytest.fail)
    assert all(keys == sorted(keys) for keys in seen)
    assert set(numbers) == {*SECTIONS, "report_date_utc", "report_schema_version", "synthetic_extent"}
    assert numbers["report_date_utc"] == "2025-10-10"
    assert numbers["provenance"]["input_sha256"] == SHA
    total = numbers["open_interest"]["totals"][0]
    assert total["usd"]["end_usd"] == Decimal("2030000000.0000")
    assert '"end_usd": 2030000000.0000' in text
    assert numbers["prices"]["rows"][1]["retrace_frac"] is None
    said = numbers["headline"]["sentences"][0]
    assert said["text"]["en"].startswith("\u2068ETH\u2069 moved most: −11.00")
    assert said["values"]["return_frac"] == Decimal("-0.11")


def test_json_keeps_more_digits_than_a_float_has(report):
    exact = Decimal("12345678901234567890.12345678")
    row = replace(report.prices.rows[0], close_quote=exact)
    text = report_json(replace(report, prices=replace(report.prices, rows=(row,)))).decode()
    assert f'"close_quote": {exact}' in text


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), Decimal("NaN")])
def test_json_refuses_what_is_no_number(report, figure):
    row = replace(report.prices.rows[0], range_frac=figure)
    with pytest.raises(ValueError, match=r"report\.prices\.rows\[0\]\.range_frac is (nan|inf|NaN): missing is None"):
        report_json(replace(report, prices=replace(report.prices, rows=(row,))))


def test_page_shows_nothing_that_the_json_does_not_hold(report):
    """Change one number in the model: where the page moves, the JSON has moved too."""
    row = replace(report.funding.rows[0], funding_z_x=7.654321)
    changed = replace(report, funding=replace(report.funding, rows=(row, *report.funding.rows[1:])))
    assert "+7.65" in report_html(changed, "en").decode()
    assert "7.654321" in report_json(changed).decode()
    drawn = json.loads(report_json(report))["prices"]["chart"]
    assert len(drawn["x"]) == len(drawn["series"][0]["values"]) == 192


def test_page_of_an_unknown_language_is_refused(report):
    with pytest.raises(ValueError, match="no report in `de`: choose one of en, zh"):
        report_html(report, "de")


def test_nothing_of_the_wall_clock_or_the_machine_is_in_the_files(report):
    text = (report_html(report, "en") + report_json(report)).decode()
    years = set(re.findall(r"\b20\d\d-\d\d-\d\d", text))
    assert max(years) <= "2026-01-15"  # the vintage of a captured series
    assert "/home/" not in text
    assert "/tmp/" not in text
