"""README and docs speak of what exists: every path, command, make target and mart named there is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quality.schemas.marts import MARTS

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
_TOP = ("pipelines", "assets", "quality", "dbt", "tests", "docs", "deploy", ".ci")
_PATH = re.compile(rf"(?<![\w./-])((?:{'|'.join(map(re.escape, _TOP))})/[\w./-]*[\w/])")


def _code(page: Path) -> list[str]:
    text = page.read_text()
    blocks = re.findall(r"```[^\n]*\n(.*?)```", text, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return spans + [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_paths_exist(page: Path) -> None:
    missing = []
    for snippet in _code(page):
        for token in _PATH.findall(snippet):
            if not (ROOT / token).exists() and "<" not in snippet:
                missing.append(token)
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text())
    missing += [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_commands_exist(page: Path) -> None:
    from typer.main import get_command

    from pipelines.cli import app

    commands = set(get_command(app).commands)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = []
    for snippet in _code(page):
        unknown += [c for c in re.findall(r"(?:^|[\s/])lowtide ([a-z]+)", snippet) if c not in commands]
        unknown += [t for t in re.findall(r"^(?:\$ )?make ([a-z-]+)", snippet) if t not in targets]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_marts_exist(page: Path) -> None:
    named = {t for snippet in _code(page) for t in re.findall(r"\b((?:fct|dim)_[a-z0-9_]+)\b", snippet)}
    assert sorted(named - set(MARTS)) == []
