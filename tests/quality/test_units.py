"""The law of names, over every table that Python knows."""

from __future__ import annotations

import pytest

from quality.fields.dictionary import DICTIONARY
from quality.schemas.marts import MART_DAY_COLUMN, MARTS
from quality.schemas.raw import DAY_CLOCK, RAW_TABLES
from quality.schemas.sim import SIM_TABLES
from quality.tables import Table
from quality.units import name_fault

pytestmark = pytest.mark.fast

TABLES = [*RAW_TABLES.values(), *SIM_TABLES.values(), *MARTS.values()]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.address)
def test_columns_end_in_their_unit(table: Table) -> None:
    assert [fault for f in table.fields if (fault := name_fault(f.name, f.sql_type))] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.address)
def test_grain_and_nullable_are_columns(table: Table) -> None:
    assert set(table.grain) <= set(table.columns)
    assert table.nullable <= set(table.columns)
    assert not table.nullable & set(table.grain)
    assert "One row per" in table.description


@pytest.mark.parametrize(
    ("name", "sql_type"),
    [
        ("price", "DOUBLE"),
        ("side", "VARCHAR"),
        ("return_pct", "DOUBLE"),
        ("volume_usd", "DOUBLE"),
        ("settled", "TIMESTAMP"),
        ("settled_at_utc", "DATE"),
        ("is_closed", "VARCHAR"),
        ("size_usdt", "DECIMAL(28,4)"),
    ],
)
def test_unlawful_names_are_found(name: str, sql_type: str) -> None:
    assert name_fault(name, sql_type)


def test_every_word_is_used_and_explained() -> None:
    used = {f.name for t in TABLES for f in t.fields}
    assert sorted(set(DICTIONARY) - used - {"ingested_at_utc", "reason", "dataset"}) == []
    assert [name for name, f in DICTIONARY.items() if not f.doc.endswith(".")] == []


def test_every_table_knows_its_day() -> None:
    assert set(DAY_CLOCK) == set(RAW_TABLES)
    assert set(MART_DAY_COLUMN) == set(MARTS)
    for name, column in MART_DAY_COLUMN.items():
        assert column is None or column in MARTS[name].columns
