"""The report as an asset: what a run's tag keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from dagster import materialize

from assets.partitions import EDITION_TAG
from assets.report import write
from assets.report.definitions import build_report_assets


@dataclass(frozen=True)
class OpenWarehouse:
    """A warehouse over an open connection: the two things that the report asks of one."""

    con: duckdb.DuckDBPyConnection
    reports: Path

    def input_sha256(self) -> str:
        return "ab" * 32

    @contextlib.contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        yield self.con


@pytest.mark.parametrize("edition", [None, "preliminary", "final"])
def test_a_scheduled_run_keeps_the_edition_that_its_tag_names(make_marts, day, tmp_path, monkeypatch, edition):
    monkeypatch.setattr(write, "report_html", lambda report, lang: f"{lang} {report.prices.rows}".encode())
    (report, _) = build_report_assets()
    found = materialize(
        [report],
        partition_key=day.isoformat(),
        resources={"warehouse": OpenWarehouse(make_marts(("BTC",)), tmp_path)},
        tags={} if edition is None else {EDITION_TAG: edition},
    )
    assert found.success
    kept = sorted(p.name for p in (tmp_path / "editions").glob("*/*"))
    assert kept == ([] if edition is None else [edition])
    assert (tmp_path / day.isoformat() / "report.json").exists()
