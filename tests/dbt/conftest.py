"""A dbt project parsed once, and made-up raw lakes built once, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner, dbtRunnerResult
from raw_world import RawWorld, build_raw_world

NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")


@dataclass(frozen=True)
class Warehouse:
    """A warehouse after its first pass."""

    path: Path
    target: Path
    world: RawWorld

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with duckdb.connect(str(self.path), read_only=True) as con:
            return con.execute(query).fetchall()


@pytest.fixture(scope="session")
def dbt_folder(project_root: Path) -> Path:
    """Return the dbt project."""
    return project_root / "dbt"


@pytest.fixture(scope="session")
def run_dbt(dbt_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dbtRunnerResult]:
    """Return a caller of dbt: `run_dbt(warehouse, threads, *arguments)`; all calls share one target folder."""
    target = tmp_path_factory.mktemp("dbt_target")

    def call(warehouse: Path, threads: int, *arguments: str) -> dbtRunnerResult:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOWTIDE_WAREHOUSE", str(warehouse))
            patch.setenv("LOWTIDE_DUCKDB_THREADS", str(threads))
            patch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
            folders = ["--project-dir", str(dbt_folder), "--profiles-dir", str(dbt_folder)]
            result = dbtRunner().invoke(
                ["--quiet", "--log-path", str(target), *arguments, *folders, "--target-path", str(target)]
            )
        if DuckDBConnectionManager._ENV is not None:
            DuckDBConnectionManager._ENV.close()
            DuckDBConnectionManager.close_all_connections()
        return result

    call.target = target  # type: ignore[attr-defined]
    return call


@pytest.fixture(scope="session")
def manifest(run_dbt: Callable[..., dbtRunnerResult]) -> dict[str, Any]:
    """Return dbt's manifest of the project as it stands."""
    result = run_dbt(Path(":memory:"), 1, "parse")
    assert result.success, result.exception
    return json.loads((run_dbt.target / "manifest.json").read_text())  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the models of the manifest by name."""
    return {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}


@pytest.fixture(scope="session")
def raw_world() -> RawWorld:
    """Return the made-up raw lake."""
    return build_raw_world()


@pytest.fixture(scope="session")
def warehouse(
    run_dbt: Callable[..., dbtRunnerResult], raw_world: RawWorld, tmp_path_factory: pytest.TempPathFactory
) -> Warehouse:
    """Return a warehouse after its first pass with all tests, unit tests included."""
    path = raw_world.write(tmp_path_factory.mktemp("world") / "warehouse.duckdb")
    result = run_dbt(path, 2, "build", "--exclude", "tag:second_pass")
    broken = [(r.node.name, r.message) for r in result.result or () if r.status not in {"success", "pass"}]
    assert result.success, broken or result.exception
    assert broken == []
    return Warehouse(path, run_dbt.target, raw_world)  # type: ignore[attr-defined]
