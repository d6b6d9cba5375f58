"""The data folder: its layout, its kind (real or demo), its lock, and the run history's configuration.

Belongs here: paths and the guard that synthetic data never meets real data. Does not: what is inside the lake or the
warehouse (``pipelines/lake``), running jobs (``pipelines/runs.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

HomeKind = Literal["real", "demo"]

# Shipped as text so that a home exists before Dagster is imported. Telemetry is off: no byte leaves unasked.
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    # The warehouse file has one writer; every pool of Lowtide has one slot.
    default_limit: 1
    granularity: op
run_monitoring:
  enabled: true
  poll_interval_seconds: 60
  start_timeout_seconds: 300
  free_slots_after_run_end_seconds: 60
run_retries:
  enabled: true
  max_retries: 2
retention:
  sensor:
    purge_after_days: 30
  schedule:
    purge_after_days: 30
"""


class HomeError(Exception):
    """The data folder is not what the command needs; the message says what to do."""


@dataclass(frozen=True)
class Home:
    """Paths of one data folder."""

    root: Path
    kind: HomeKind = "real"

    @property
    def lake(self) -> Path:
        """Raw lake: the truth; everything else can be rebuilt from it."""
        return self.root / "lake"

    @property
    def warehouse(self) -> Path:
        """DuckDB file of the models; one writer, no readers but the pipeline."""
        return self.root / "warehouse.duckdb"

    @property
    def reports(self) -> Path:
        """One folder per day."""
        return self.root / "reports"

    @property
    def snapshot(self) -> Path:
        """The published marts that people and BI tools read."""
        return self.root / "published" / "lowtide.duckdb"

    @property
    def dagster(self) -> Path:
        """Run history and logs."""
        return self.root / "dagster"

    @property
    def dbt_target(self) -> Path:
        """Compiled SQL and run results of dbt."""
        return self.root / "dbt_target"

    @property
    def scratch(self) -> Path:
        """As-of warehouses; may be deleted at any time."""
        return self.root / "scratch"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home for one writing command.

        Raises
        ------
        HomeError
            Where another command holds it.
        """
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise HomeError(
                f"{self.root} is in use by another lowtide command: wait for it to end, or use another --home"
            ) from None
        try:
            yield
        finally:
            lock.release()


def open_home(root: Path, kind: HomeKind, *, create: bool) -> Home:
    """Open or create a data folder.

    Parameters
    ----------
    root : Path
        The folder.
    kind : {"real", "demo"}
        What the command needs; a folder keeps its kind for life.
    create : bool
        Make the folder where there is none.

    Raises
    ------
    HomeError
        Where there is none and `create` is False, where it is of the other kind, or where the folder holds something else.
    """
    marker = root / "home.json"
    if marker.is_file():
        try:
            found = json.loads(marker.read_text())["kind"]
        except (json.JSONDecodeError, KeyError) as error:
            raise HomeError(f'{marker} is damaged ({error}): restore it as {{"kind": "{kind}"}}') from error
        if found != kind:
            raise HomeError(
                f"{root} is a {found} home and the command needs a {kind} one: synthetic and real data never share a"
                " folder; name another with --home or LOWTIDE_HOME"
            )
        return _furnish(Home(root, kind))
    if not create:
        raise HomeError(
            f"{root} is not a Lowtide home yet: begin with `lowtide import`, `lowtide run --date D` or `lowtide demo`"
        )
    if root.exists() and any(p.name != "home.json.new" for p in root.iterdir()):
        raise HomeError(f"{root} is not empty and not a Lowtide home: name an empty folder with --home or LOWTIDE_HOME")
    root.mkdir(parents=True, exist_ok=True)
    # The marker comes first: a home killed at birth is furnished by the next command.
    new = root / "home.json.new"
    new.write_text(json.dumps({"kind": kind}) + "\n")
    new.replace(marker)
    return _furnish(Home(root, kind))


def _furnish(home: Home) -> Home:
    for folder in (home.lake, home.reports, home.snapshot.parent, home.dagster):
        folder.mkdir(parents=True, exist_ok=True)
    config = home.dagster / "dagster.yaml"
    if not config.is_file():
        new = config.with_suffix(".new")
        new.write_text(DAGSTER_YAML)
        new.replace(config)
    return home


def kind_of(root: Path) -> HomeKind | None:
    """Return the kind of an existing home, None where there is none."""
    marker = root / "home.json"
    if not marker.is_file():
        return None
    kind: HomeKind = json.loads(marker.read_text())["kind"]
    return kind
