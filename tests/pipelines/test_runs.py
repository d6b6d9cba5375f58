"""Runs: a killed run is recognised and its pool slot freed, so that the next one does not hang."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import psutil
from dagster import AssetSelection, DagsterRunStatus, Definitions, asset, define_asset_job, in_process_executor

from assets.partitions import DAILY, ONE_RUN, WAREHOUSE_POOL
from pipelines.home import open_home
from pipelines.runs import PID_TAG, bury_dead_runs, execute, open_instance, watch_logger

# A child process that dies by SIGKILL inside a step that holds the warehouse's slot.
_CHILD = """
import os, signal, sys
from datetime import date
from pathlib import Path
from dagster import AssetSelection, Definitions, asset, define_asset_job, in_process_executor
from assets.partitions import DAILY, ONE_RUN, WAREHOUSE_POOL
from pipelines.home import open_home
from pipelines.runs import execute, open_instance, watch_logger

@asset(partitions_def=DAILY, backfill_policy=ONE_RUN, pool=WAREHOUSE_POOL)
def doomed():
    os.kill(os.getpid(), signal.SIGKILL)

defs = Definitions(assets=[doomed], jobs=[define_asset_job("j", AssetSelection.all())],
                   loggers={"lowtide": watch_logger}, executor=in_process_executor)
home = open_home(Path(sys.argv[1]), "real", create=True)
execute(defs, open_instance(home), "j", [date(2025, 10, 10)], watch=lambda s, t: None)
"""


def _defs() -> Definitions:
    @asset(partitions_def=DAILY, backfill_policy=ONE_RUN, pool=WAREHOUSE_POOL)
    def quiet() -> None:
        return None

    @asset(partitions_def=DAILY, backfill_policy=ONE_RUN)
    def broken() -> None:
        raise ValueError("the book of BTC is empty")

    return Definitions(
        assets=[quiet, broken],
        jobs=[
            define_asset_job("good", AssetSelection.assets("quiet")),
            define_asset_job("bad", AssetSelection.assets("broken")),
        ],
        loggers={"lowtide": watch_logger},
        executor=in_process_executor,
    )


def test_a_killed_run_is_buried_and_its_slot_freed(tmp_path: Path) -> None:
    root = tmp_path / "h"
    child = subprocess.run([sys.executable, "-c", _CHILD, str(root)], check=False, capture_output=True)
    assert child.returncode == -9, child.stderr.decode()[-500:]
    home = open_home(root, "real", create=False)
    instance = open_instance(home)
    (dead,) = instance.get_runs()
    assert dead.status == DagsterRunStatus.STARTED
    assert instance.event_log_storage.get_concurrency_run_ids() == {dead.run_id}
    assert bury_dead_runs(instance) == [dead.run_id]
    assert instance.get_run_by_id(dead.run_id).status == DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_run_ids() == set()
    outcome = execute(_defs(), instance, "good", [date(2025, 10, 10)], watch=lambda _s, _t: None)
    assert outcome.is_success


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    instance = open_instance(open_home(tmp_path / "h", "real", create=True))
    tag = f"{os.getpid()}:{int(psutil.Process().create_time())}"
    run = instance.create_run_for_job(_defs().resolve_job_def("good"), tags={PID_TAG: tag})
    assert bury_dead_runs(instance) == []
    # The same pid with another start time is another process.
    other = instance.create_run_for_job(_defs().resolve_job_def("good"), tags={PID_TAG: f"{os.getpid()}:1"})
    assert bury_dead_runs(instance) == [other.run_id]
    assert not instance.get_run_by_id(run.run_id).is_finished


def test_a_failure_is_one_clear_line_and_steps_are_watched(tmp_path: Path) -> None:
    instance = open_instance(open_home(tmp_path / "h", "real", create=True))
    seen: list[tuple[str, str]] = []
    outcome = execute(_defs(), instance, "bad", [date(2025, 10, 10)], watch=lambda s, t: seen.append((s, t)))
    assert not outcome.is_success
    assert outcome.failures == ["broken: ValueError: the book of BTC is empty"]
    assert seen == [("broken", "started"), ("broken", "failed")]


def test_a_range_of_days_is_one_run(tmp_path: Path) -> None:
    instance = open_instance(open_home(tmp_path / "h", "real", create=True))
    days = [date(2025, 10, 8), date(2025, 10, 9), date(2025, 10, 10)]
    outcome = execute(_defs(), instance, "good", days, watch=lambda _s, _t: None)
    assert outcome.is_success
    assert len(instance.get_runs()) == 1


def test_an_unknown_run_without_owner_is_left_to_dagster(tmp_path: Path) -> None:
    instance = open_instance(open_home(tmp_path / "h", "real", create=True))
    instance.create_run_for_job(_defs().resolve_job_def("good"))
    assert bury_dead_runs(instance) == []
