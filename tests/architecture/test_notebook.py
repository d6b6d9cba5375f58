"""The worked example of docs/notebook.md: its blocks run in order, and print what the page says, to the letter."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notebook.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_notebook_prints_what_its_page_says() -> None:
    blocks = _BLOCK.findall(PAGE.read_text())
    kinds = [kind for kind, _ in blocks]
    assert kinds == ["python", "text"] * 7, "each of the seven steps is one block of code and what it prints"
    names: dict[str, object] = {}
    for step, ((_, code), (_, said)) in enumerate(zip(blocks[::2], blocks[1::2], strict=True), start=1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"docs/notebook.md, step {step}", "exec"), names)
        assert printed.getvalue() == said, f"step {step} prints something else:\n{printed.getvalue()}"
