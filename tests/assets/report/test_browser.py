"""The page in a real browser: no console message, charts that can be seen, both themes, both languages, no sideways scroll."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from assets.report.write import ReportFiles, write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as runner:
        running = runner.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def files(make_marts, hostile_names, tmp_path_factory) -> ReportFiles:
    con = make_marts(("BTC", *hostile_names))
    return write_report(con, date(2025, 10, 10), tmp_path_factory.mktemp("reports"), input_sha256="ab" * 32)


def _open(browser: Any, path: Path, *, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: heard.append(f"dialog {dialog.message}"))
    page.on("request", lambda request: heard.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    return page, heard


def _luminance(colour: str) -> float:
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.mark.parametrize("name", ["html", "html_zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_without_a_message_and_its_charts_can_be_seen(browser, files, name, scheme):
    page, heard = _open(browser, getattr(files, name), scheme=scheme)
    charts = page.locator("svg[role=img]")
    # prices, funding, two of open interest, lending fuel, ETF flows, stablecoins, holders, sentiment, and one amplification
    # curve per asset
    assert charts.count() == 9 + 9
    for k in range(charts.count()):
        box = charts.nth(k).bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 80
    assert heard == []
    page.close()


def test_dark_theme_turns_the_page_and_the_charts(browser, files):
    colours = {}
    for scheme in ("light", "dark"):
        page, _ = _open(browser, files.html, scheme=scheme)
        colours[scheme] = page.evaluate(
            "() => ({paper: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,"
            " axis: getComputedStyle(document.querySelector('svg.chart text')).fill,"
            " line: getComputedStyle(document.querySelector('svg.chart path[style*=\"--s1\"]')).stroke})"
        )
        page.close()
    assert _luminance(colours["light"]["paper"]) > 200 > 80 > _luminance(colours["dark"]["paper"])
    for scheme, colour in colours.items():
        for part in ("ink", "axis", "line"):
            assert abs(_luminance(colour[part]) - _luminance(colour["paper"])) > 60, (scheme, part)
    assert colours["light"]["line"] != colours["dark"]["line"]


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_page_never_scrolls_sideways_as_a_whole(browser, files, width):
    page, _ = _open(browser, files.html, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_sections_are_reached_from_the_contents(browser, files):
    page, _ = _open(browser, files.html)
    page.locator("nav a[href='#stress']").click()
    # Motion is reduced, so the jump is at once.
    assert abs(page.locator("#stress").bounding_box()["y"]) < 60
    assert page.locator("nav.contents").bounding_box()["y"] >= 0
    page.close()


def test_details_open_in_print(browser, files):
    page, _ = _open(browser, files.html)
    closed = page.locator("details:not([open]) table").first
    assert not closed.is_visible()
    page.emulate_media(media="print")
    assert closed.is_visible()
    assert not page.locator("nav.contents").is_visible()
    page.close()
