"""Turns the model into bytes: the page in a language, and the JSON.

Belongs here: the template environment, what templates may call, a JSON writer that keeps DECIMAL digits. Does not: any figure
or decision; files (``write.py``).
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from assets.report import charts, page
from assets.report.model import Chart, Report, Sentence
from assets.report.shown import inert, say, show
from assets.report.words import LANGUAGES, WORDS

LONG_NAME = 24

TEMPLATES = Path(__file__).parent / "templates"

# Files of a report, by language; the page of one links the other.
PAGE_NAMES = {"en": "report.html", "zh": "report.zh.html"}
JSON_NAME = "report.json"

SECTIONS = (
    "headline",
    "prices",
    "funding",
    "open_interest",
    "lending",
    "etf",
    "stablecoins",
    "reserves",
    "holders",
    "macro",
    "sentiment",
    "stress",
    "coverage",
    "provenance",
)


def report_html(report: Report, lang: str) -> bytes:
    """Return the page of a report in one language: a single self-contained file, UTF-8.

    Parameters
    ----------
    report : Report
    lang : str
        ``en`` or ``zh``.

    Raises
    ------
    ValueError
        Where the report has no page in that language.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"no report in `{lang}`: choose one of {', '.join(LANGUAGES)}")
    page = (
        _environment(lang)
        .get_template("report.html.jinja")
        .render(
            report=report,
            lang=lang,
            html_lang={"en": "en", "zh": "zh-Hans"}[lang],
            other_lang=next(other for other in LANGUAGES if other != lang),
            pages=PAGE_NAMES,
            json_name=JSON_NAME,
            sections=SECTIONS,
        )
    )
    return page.encode("utf-8")


@lru_cache(maxsize=len(LANGUAGES))
def _environment(lang: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

    def cell(row: Any, name: str) -> Markup:
        """Show a field of a row; missing is a word of its own colour and never an empty cell."""
        return shown(name, getattr(row, name))

    def shown(name: str, value: Any) -> Markup:
        text = show(name, value, lang)
        return Markup('<span class="missing">{}</span>').format(text) if value is None else Markup("{}").format(text)

    def words(key: str, **values: Any) -> str:
        return say(Sentence(key, values), lang)

    def name(value: str) -> Markup:
        # A short name stays on one line; a long one may break anywhere and never widens the page.
        kind = "name long" if len(value) > LONG_NAME else "name"
        return Markup('<bdi class="{}">{}</bdi>').format(kind, inert(value))

    def drawing(chart: Chart, prefix: str, title: str) -> Markup:
        # Our own SVG: figures and clocks only, the title escaped by the XML writer.
        return Markup(charts.svg(chart, prefix, title))  # noqa: S704

    environment.filters.update(cell=cell, name=name, inert=inert)
    environment.globals.update(
        shown=shown,
        w=words,
        has_word=WORDS.__contains__,
        say=lambda sentence: say(sentence, lang),
        svg=drawing,
        legend=charts.legend,
        setting_labels=lambda stress: page.setting_labels(stress, lang),
        stress_settings=page.settings,
        replay=page.replay,
        critical_of=page.critical,
        shocks=page.shocks,
        covered=page.covered,
    )
    return environment


def report_json(report: Report) -> bytes:
    """Return a report as JSON, UTF-8: the model field by field, keys sorted, missing = null, DECIMAL with all its digits.

    Sentences carry their text in every language under ``text``.

    Raises
    ------
    ValueError
        Where a figure is NaN or infinite.
    """
    return (_json(_plain(report, "report"), "") + "\n").encode("utf-8")


def _plain(value: Any, path: str) -> Any:
    """Return dataclasses and clocks as mappings, lists and strings; refuse figures that JSON has no word for."""
    if is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: _plain(getattr(value, f.name), f"{path}.{f.name}") for f in fields(value)}
        if isinstance(value, Sentence):
            plain["text"] = _texts(value)
        return plain
    if isinstance(value, dict):
        return {str(key): _plain(part, f"{path}.{key}") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{path}[{k}]") for k, part in enumerate(value)]
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}: missing is None")
    return value


def _texts(sentence: Sentence) -> dict[str, str]:
    parts = ("label", "value", "note") if f"{sentence.key}.label" in WORDS else ()
    if not parts:
        return {lang: say(sentence, lang) for lang in LANGUAGES}
    present = [f"{sentence.key}.{part}" for part in parts if f"{sentence.key}.{part}" in WORDS]
    return {lang: ", ".join(say(Sentence(key, sentence.values), lang) for key in present) for lang in LANGUAGES}


def _json(value: Any, indent: str) -> str:
    """Write JSON with sorted keys. The standard encoder has no way to write a DECIMAL without passing through a float."""
    inner = indent + " "
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        if not value:
            return "{}"
        parts = [f"{inner}{json.dumps(key, ensure_ascii=False)}: {_json(value[key], inner)}" for key in sorted(value)]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    if isinstance(value, list):
        if not any(isinstance(part, (dict, list)) for part in value):
            return "[" + ", ".join(_json(part, inner) for part in value) + "]"
        return "[\n" + ",\n".join(f"{inner}{_json(part, inner)}" for part in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
