"""A dbt project parsed once, and made-up raw lakes built once, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from raw_world import RawWorld, build_raw_world

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest


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


class Dbt:
    """Calls dbt in this process; the project is parsed once.

    The name of the database stands in the parsed manifest, so every warehouse file is called ``warehouse.duckdb``.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder = folder
        self.target = target
        self._parsed = self._invoke(None, target / "warehouse.duckdb", 1, "parse")
        assert self._parsed.success, self._parsed.exception
        self.manifest: dict[str, Any] = json.loads((target / "manifest.json").read_text())

    def __call__(self, warehouse: Path, threads: int, *arguments: str) -> dbtRunnerResult:
        """Run dbt's `arguments` against a warehouse file."""
        assert warehouse.name == "warehouse.duckdb"
        return self._invoke(self._parsed.result, warehouse, threads, *arguments)

    def _invoke(self, manifest: Manifest | None, warehouse: Path, threads: int, *arguments: str) -> dbtRunnerResult:
        # Seconds to import, and the drift tests beside this file need none of it.
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        folders = ["--project-dir", self.folder, "--profiles-dir", self.folder, "--target-path", self.target]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOWTIDE_WAREHOUSE", str(warehouse))
            patch.setenv("LOWTIDE_DUCKDB_THREADS", str(threads))
            result = dbtRunner(manifest).invoke(
                ["--quiet", "--log-path", str(self.target), *arguments, *(str(f) for f in folders)]
            )
        # The adapter keeps the file open until the process ends.
        if DuckDBConnectionManager._ENV is not None:
            DuckDBConnectionManager._ENV.close()
            DuckDBConnectionManager.close_all_connections()
        return result


@pytest.fixture(scope="session")
def run_dbt(dbt_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """Return a caller of dbt: `run_dbt(warehouse, threads, *arguments)`."""
    return Dbt(dbt_folder, tmp_path_factory.mktemp("dbt_target"))


@pytest.fixture(scope="session")
def manifest(run_dbt: Dbt) -> dict[str, Any]:
    """Return dbt's manifest of the project as it stands."""
    return run_dbt.manifest


@pytest.fixture(scope="session")
def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the models of the manifest by name."""
    return {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}


@pytest.fixture(scope="session")
def raw_world() -> RawWorld:
    """Return the made-up raw lake."""
    return build_raw_world()


@pytest.fixture(scope="session")
def warehouse(run_dbt: Dbt, raw_world: RawWorld, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Return a warehouse after its first pass with all tests, unit tests included."""
    path = raw_world.write(tmp_path_factory.mktemp("world") / "warehouse.duckdb")
    result = run_dbt(path, 2, "build", "--exclude", "tag:second_pass")
    broken = [(r.node.name, r.message) for r in result.result or () if r.status not in {"success", "pass"}]
    assert result.success, broken or result.exception
    assert broken == []
    return Warehouse(path, run_dbt.target, raw_world)  # type: ignore[attr-defined]  # the fixture hangs the folder on its function
