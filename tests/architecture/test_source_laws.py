"""Laws over our own source: clocks, environment, docstrings, SQL, imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipelines", "assets", "quality")


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_every_module_draws_its_border_in_a_docstring() -> None:
    assert [str(p) for p, tree in _modules() if not ast.get_docstring(tree)] == []


def test_package_init_is_one_docstring() -> None:
    fat = [str(p) for p, tree in _modules() if p.name == "__init__.py" and len(tree.body) != 1]
    assert fat == []


def test_only_the_clock_asks_for_the_time_of_day() -> None:
    asking = [
        f"{path}:{call.lineno}"
        for path, tree in _modules()
        for call in _calls(tree)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"now", "utcnow", "today"}
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in {"datetime", "date", "dt"}
    ]
    assert asking and all(a.startswith("pipelines/clock.py") for a in asking)


def test_only_settings_reads_the_environment() -> None:
    reading = {
        str(path)
        for path, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    # The two others hand variables to a process of dbt, which has no other door for the warehouse's path.
    assert reading <= {"pipelines/settings.py", "pipelines/resources.py", "pipelines/dbt_manifest.py"}


_SQL_STARTS = (
    "select",
    "insert",
    "create",
    "delete",
    "update",
    "copy",
    "attach",
    "with ",
    "drop",
    "set ",
    "comment",
    "alter",
)
# What may stand in braces: quoting helpers, or names that come from our own schemas (the variable says so by its name).
_SAFE_CALLS = {"_identifier", "_literal", "_read_parquet"}
# Fragments that are themselves made of quoted identifiers and literals, or of names from our own schemas.
_SAFE_NAMES = {"columns", "keys", "query", "parts", "casts", "order", "quoted", "source", "thing"}


def test_no_value_stands_in_an_sql_f_string() -> None:
    faults = []
    for path, tree in _modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.JoinedStr) or not node.values:
                continue
            first = node.values[0]
            text = first.value if isinstance(first, ast.Constant) else ""
            if not str(text).lstrip().lower().startswith(_SQL_STARTS) or not _looks_like_sql(node):
                continue
            for value in node.values:
                if isinstance(value, ast.FormattedValue) and not _is_safe(value.value):
                    faults.append(f"{path}:{node.lineno}: {ast.unparse(value.value)}")
    assert faults == []


def _looks_like_sql(node: ast.JoinedStr) -> bool:
    words = "".join(str(v.value) for v in node.values if isinstance(v, ast.Constant)).lower()
    return any(w in words for w in (" from ", " table ", " view ", " schema ", " into ", " to ", " on "))


def _is_safe(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        if ast.unparse(node.func) == "', '.join":
            return all(_is_safe(argument) for argument in node.args)
        return getattr(node.func, "id", "") in _SAFE_CALLS
    if isinstance(node, ast.Attribute):
        # table.schema, table.name: our own Table objects
        return (
            node.attr in {"schema", "name", "address"} and isinstance(node.value, ast.Name) and node.value.id == "table"
        )
    return isinstance(node, ast.Name) and (node.id in _SAFE_NAMES or node.id.isupper() or node.id.lstrip("_").isupper())


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_dbt_holds_no_python_and_tests_hold_no_packages() -> None:
    assert list((ROOT / "dbt").rglob("*.py")) == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []
