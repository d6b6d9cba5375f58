"""Laws that every model obeys: names, borders, contracts, grains, units, and the order of float aggregates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quality.schemas.marts import MARTS
from quality.units import name_fault

NAMES = {
    "staging": r"stg_[a-z0-9]+__[a-z0-9_]+",
    "intermediate": r"int_[a-z0-9_]+",
    "marts": r"(dim|fct)_[a-z0-9_]+",
}
# Over DOUBLE these depend on the order of rows; over DECIMAL and whole numbers they are exact and say so in a comment.
FLOAT_AGGREGATES = (
    r"sum|avg|mean|stddev\w*|var_\w+|variance|regr_\w+|corr|covar_\w+|product|fsum|favg|skewness|kurtosis"
)
ORDER_DEPENDENT = r"string_agg|group_concat|list|array_agg|first|last|any_value|mode"
ALLOWED = "-- exact:"
NOT_REPRODUCIBLE = (
    r"\b(now|current_timestamp|current_date|today|get_current_timestamp|random|uuid|gen_random_uuid)\b\s*\("
)


def _folder(model: dict[str, Any]) -> str:
    return str(model["fqn"][1])


def test_names_follow_their_folder(models: dict[str, dict[str, Any]]) -> None:
    wrong = [n for n, m in models.items() if not re.fullmatch(NAMES[_folder(m)], n)]
    assert wrong == []
    assert {m["schema"] for m in models.values()} == set(NAMES)
    assert [n for n, m in models.items() if m["schema"] != _folder(m)] == []


@pytest.mark.fast
def test_one_yml_stands_beside_each_model(dbt_folder: Path) -> None:
    sql = {p.with_suffix("") for p in (dbt_folder / "models").rglob("*.sql")}
    yml = {p.with_suffix("") for p in (dbt_folder / "models").rglob("*.yml")} - {dbt_folder / "models" / "sources"}
    assert sql == yml


def test_sources_are_read_at_the_border_only(models: dict[str, dict[str, Any]]) -> None:
    for name, model in models.items():
        read = {node.split(".")[2] for node in model["depends_on"]["nodes"] if node.startswith("source.")}
        if _folder(model) == "staging":
            assert read == {"raw"}, name
            assert len(model["depends_on"]["nodes"]) == 1, f"{name}: a staging model has one source and nothing else"
        elif "second_pass" in model["tags"]:
            assert read == {"sim"}, name
        else:
            assert read == set(), f"{name} reads a source: only staging may"


def test_models_look_back_and_never_ahead(models: dict[str, dict[str, Any]]) -> None:
    rank = {"staging": 0, "intermediate": 1, "marts": 2}
    for name, model in models.items():
        for node in model["depends_on"]["nodes"]:
            kind, _, parent = node.split(".")[:3]
            if kind == "model":
                assert rank[_folder(models[parent])] <= rank[_folder(model)], f"{name} reads {parent}"


def test_first_pass_needs_nothing_of_the_second(models: dict[str, dict[str, Any]]) -> None:
    second = {n for n, m in models.items() if "second_pass" in m["tags"]}
    assert second == {
        "fct_stress_scenarios_daily",
        "fct_critical_shocks_daily",
        "fct_branching_profiles_daily",
        "fct_replays",
        "fct_liquidation_fuel_daily",
    }
    for name in set(models) - second:
        assert not second & {node.split(".")[2] for node in models[name]["depends_on"]["nodes"]}


def test_every_model_says_its_grain(models: dict[str, dict[str, Any]]) -> None:
    silent = [n for n, m in models.items() if not re.search(r"One row per [^.]+\.$", m["description"].strip())]
    assert silent == []


def test_every_mart_has_a_contract_and_a_unique_grain(manifest: dict[str, Any], models: dict[str, Any]) -> None:
    tests = {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "test"}
    for name, table in MARTS.items():
        assert models[name]["config"]["contract"]["enforced"], name
        assert models[name]["config"]["materialized"] == "table", name
        test = tests[f"{name}_grain_is_unique"]
        assert test["test_metadata"]["kwargs"]["columns"] == list(table.grain), name
        assert test["config"]["severity"].lower() == "error", name


def test_every_mart_column_obeys_the_law_of_names(models: dict[str, dict[str, Any]]) -> None:
    faults = [
        f"{name}: {fault}"
        for name in MARTS
        for column in models[name]["columns"].values()
        if (fault := name_fault(column["name"], column["data_type"])) is not None
    ]
    assert faults == []


def test_tests_are_sentences(manifest: dict[str, Any]) -> None:
    names = [n["name"] for n in manifest["nodes"].values() if n["resource_type"] == "test"]
    assert [n for n in names if not re.fullmatch(r"assert_[a-z0-9_]+|\w+_grain_is_unique", n)] == []
    units = [u["name"] for u in manifest["unit_tests"].values()]
    assert units
    assert [n for n in units if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){3,}", n)] == []


@pytest.mark.fast
def test_singular_tests_say_what_a_returned_row_means(dbt_folder: Path) -> None:
    silent = [
        p.name for p in (dbt_folder / "data_tests").glob("*.sql") if not p.read_text().startswith("-- A returned row ")
    ]
    assert silent == []


def unordered_aggregates(sql: str) -> Iterator[str]:
    """Yield the calls of order-dependent aggregates that declare no order and carry no `-- exact:` beside or above."""
    lines = sql.splitlines()
    code = "\n".join(line.split("--", 1)[0] for line in lines)
    for match in re.finditer(rf"(?<![\w.])({FLOAT_AGGREGATES}|{ORDER_DEPENDENT})\s*\(", code, re.IGNORECASE):
        depth, end = 1, match.end()
        while depth and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        call = code[match.start() : end]
        if re.search(r"\border\s+by\b", call, re.IGNORECASE):
            continue
        number = code.count("\n", 0, match.start())
        above = lines[number - 1].strip() if number else ""
        if ALLOWED in lines[number] or above.startswith(ALLOWED):
            continue
        yield f"line {number + 1}: {' '.join(call.split())}"


@pytest.mark.fast
def test_the_lint_finds_an_unordered_sum() -> None:
    assert list(unordered_aggregates("select sum(x) from t")) == ["line 1: sum(x)"]
    assert list(unordered_aggregates("select\n  stddev_samp(cast(x as double)),\n  avg(y order by k)")) == [
        "line 2: stddev_samp(cast(x as double))"
    ]
    assert list(unordered_aggregates("select sum(x), -- exact: DECIMAL\n  -- exact: whole numbers\n  sum(n)")) == []
    assert list(unordered_aggregates("select list_sum(a), dataset_sum(b) -- sum(c)")) == []


def test_float_aggregates_run_in_a_declared_order(warehouse: Any) -> None:
    compiled = sorted((warehouse.target / "compiled" / "lowtide" / "models").rglob("*.sql"))
    models = [p for p in compiled if not any(part.endswith(".yml") for part in p.parts)]
    assert len(models) > 30
    faults = [f"{p.name} {fault}" for p in models for fault in unordered_aggregates(p.read_text())]
    assert faults == []


@pytest.mark.fast
def test_no_model_asks_for_the_time_or_for_chance(dbt_folder: Path) -> None:
    asking = [
        p.name
        for folder in ("models", "macros", "data_tests")
        for p in (dbt_folder / folder).rglob("*.sql")
        if re.search(NOT_REPRODUCIBLE + r"|current_timestamp|current_date\b", p.read_text(), re.IGNORECASE)
    ]
    assert asking == []
