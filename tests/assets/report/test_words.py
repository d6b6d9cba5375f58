"""Both languages say the same things, nothing is left unsaid, and no word is dead."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from assets.report.render import SECTIONS
from assets.report.words import LANGUAGES, WORDS, enum_word

pytestmark = pytest.mark.fast

# Families of keys that templates and headline.py put together from parts.
_BUILT = ("section.", "banner.", "enum.", "push.", "side.", "figure.", "col.", "chart.")


@pytest.fixture(scope="module")
def room(project_root) -> Path:
    return project_root / "assets" / "report"


def _places(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field}


def test_every_word_exists_in_every_language_with_the_same_places():
    assert [key for key, entry in WORDS.items() if set(entry) != set(LANGUAGES)] == []
    assert [key for key, entry in WORDS.items() if not all(text.strip() for text in entry.values())] == []
    assert [key for key, entry in WORDS.items() if _places(entry["en"]) != _places(entry["zh"])] == []


def test_chinese_is_chinese():
    same = [
        key for key, entry in WORDS.items() if entry["en"] == entry["zh"] and re.search("[a-z]{4}", _prose(entry["en"]))
    ]
    assert same == []
    half_width = [key for key, entry in WORDS.items() if re.search(r"[\u4e00-\u9fff][,:;()]", entry["zh"])]
    assert half_width == [], "Chinese text takes full-width punctuation"


def _prose(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "", text)


def test_every_key_that_templates_name_exists(room):
    named = set()
    for template in (room / "templates").glob("*.jinja"):
        named |= set(re.findall(r'\bw\("([a-z0-9_.]+)"[,)]', template.read_text(encoding="utf-8")))
        named |= set(re.findall(r'parts\.read\("([a-z0-9_.]+)"\)', template.read_text(encoding="utf-8")))
    assert named
    assert named - set(WORDS) == set()
    assert {f"section.{key}" for key in SECTIONS} <= set(WORDS)


def test_every_key_that_the_headline_names_exists(room):
    text = (room / "headline.py").read_text(encoding="utf-8")
    said = set(re.findall(r'"((?:say|cond)\.[a-z_.]+)"', text))
    figures = {f"{key}.label" for key in re.findall(r'"(figure\.[a-z_]+)"', text)}
    assert len(said) > 10
    assert (said | figures) - set(WORDS) == set()


def test_no_word_is_dead(room):
    files = [*(room / "templates").glob("*.jinja"), *(p for p in room.glob("*.py") if not p.name.startswith("words"))]
    text = "\n".join(p.read_text(encoding="utf-8") for p in files)
    built = {key for key in WORDS if key.startswith(_BUILT)}
    dead = [
        key
        for key in sorted(set(WORDS) - built)
        if f'"{key}"' not in text and key.removesuffix("_censored") not in text
    ]
    assert dead == []
    # A built key is alive where its last part is named somewhere: a column, a section, a part of a figure.
    parts = {key: key.split(".")[1].removesuffix("_censored") for key in built if not key.startswith("enum.")}
    assert [key for key, part in sorted(parts.items()) if part not in text] == []


def test_code_without_a_word_is_shown_as_it_is():
    assert enum_word("brand_new_reason", "zh") == "brand_new_reason"
