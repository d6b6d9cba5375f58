"""The Python contract and dbt's yml say the same thing, both ways."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml

from quality.fields.dictionary import DICTIONARY, fields
from quality.schemas.marts import MARTS
from quality.schemas.raw import RAW_TABLES
from quality.schemas.sim import SIM_TABLES
from quality.tables import Field, Table

pytestmark = pytest.mark.fast

LINEAGE = fields("source", "capture_date_utc", "ingested_at_utc", "is_synthetic")


def _diff(of_python: list[str], of_dbt: list[str]) -> str:
    return "\n".join(difflib.unified_diff(of_python, of_dbt, "quality/", "dbt/", lineterm="", n=1))


def _line(name: str, sql_type: str, *, nullable: bool, doc: str) -> str:
    return f"{name} {sql_type}{'' if nullable else ' not null'} -- {doc}"


def _models(folder: Path) -> dict[str, dict[str, Any]]:
    found = [m for path in sorted(folder.rglob("*.yml")) for m in yaml.safe_load(path.read_text()).get("models", [])]
    return {m["name"]: m for m in found}


@pytest.fixture(scope="module")
def marts(dbt_folder: Path) -> dict[str, dict[str, Any]]:
    return _models(dbt_folder / "models" / "marts")


@pytest.fixture(scope="module")
def sources(dbt_folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    declared = yaml.safe_load((dbt_folder / "models" / "sources.yml").read_text())["sources"]
    return {s["name"]: {t["name"]: t for t in s["tables"]} for s in declared}


def test_marts_are_the_same_set(marts: dict[str, Any]) -> None:
    assert sorted(marts) == sorted(MARTS), _diff(sorted(MARTS), sorted(marts))


@pytest.mark.parametrize("name", sorted(MARTS))
def test_mart_columns_are_the_contract(name: str, marts: dict[str, Any]) -> None:
    table = MARTS[name]
    wanted = [_line(f.name, f.sql_type, nullable=f.name in table.nullable, doc=f.doc) for f in table.fields]
    found = [
        _line(
            c["name"],
            c["data_type"],
            nullable={"type": "not_null"} not in c.get("constraints", []),
            doc=c["description"],
        )
        for c in marts[name]["columns"]
    ]
    assert wanted == found, f"{name}:\n{_diff(wanted, found)}"


@pytest.mark.parametrize("name", sorted(MARTS))
def test_mart_description_says_what_the_contract_says(name: str, marts: dict[str, Any]) -> None:
    head, _, grain = MARTS[name].description.partition("One row per")
    description = " ".join(marts[name]["description"].split())
    assert description.startswith(head.strip())
    assert description.endswith(f"One row per{grain}")


def _source_lines(table: Table, added: tuple[Field, ...], *, is_raw: bool) -> list[str]:
    # Figures of raw tables stay DOUBLE as the venue gave them; staging casts.
    return [
        f"{f.name} {'DOUBLE' if is_raw and f.sql_type.startswith('DECIMAL') else f.sql_type} -- {f.doc}"
        for f in (*table.fields, *added)
    ]


def _declared_lines(table: dict[str, Any]) -> list[str]:
    return [f"{c['name']} {c['data_type']} -- {c['description']}" for c in table["columns"]]


@pytest.mark.parametrize("name", sorted(RAW_TABLES))
def test_raw_source_is_the_raw_table_and_its_lineage(name: str, sources: dict[str, Any]) -> None:
    wanted = _source_lines(RAW_TABLES[name], LINEAGE, is_raw=True)
    found = _declared_lines(sources["raw"][name])
    assert wanted == found, f"raw.{name}:\n{_diff(wanted, found)}"
    assert sources["raw"][name]["config"]["meta"]["grain"] == [*RAW_TABLES[name].grain, "source", "capture_date_utc"]


@pytest.mark.parametrize("name", sorted(SIM_TABLES))
def test_sim_source_is_the_sim_table(name: str, sources: dict[str, Any]) -> None:
    wanted = _source_lines(SIM_TABLES[name], (), is_raw=False)
    found = _declared_lines(sources["sim"][name])
    assert wanted == found, f"sim.{name}:\n{_diff(wanted, found)}"


def test_sources_are_the_same_set(sources: dict[str, Any]) -> None:
    assert set(sources) == {"raw", "sim"}
    assert set(sources["sim"]) == set(SIM_TABLES)
    # The lake's own books stand beside the datasets.
    assert set(sources["raw"]) == {*RAW_TABLES, "manifest", "outages", "quarantine"}
    assert all(" ".join(t["description"].split()) for s in sources.values() for t in s.values())


def test_books_use_the_dictionary(sources: dict[str, Any]) -> None:
    for book in ("manifest", "outages", "quarantine"):
        for column in sources["raw"][book]["columns"]:
            if column["name"] in DICTIONARY and (book, column["name"]) != ("outages", "reason"):
                field = DICTIONARY[column["name"]]
                assert column["data_type"] == field.sql_type, f"raw.{book}.{column['name']}"
