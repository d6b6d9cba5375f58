"""Executing a job with history: one process, one home, every step shown, a killed predecessor buried first.

Belongs here: how a run starts, is watched and ends, and how dead runs are recognised. Does not: which assets a job has
(``pipelines/jobs.py``), what commands say around it (``pipelines/cli.py``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import psutil
from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    RunsFilter,
    logger,
)
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from sqlalchemy.event import listen
from sqlalchemy.pool import QueuePool

from pipelines.home import Home

PID_TAG = "lowtide/process"
_UNFINISHED = [
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
    DagsterRunStatus.NOT_STARTED,
]

# What a caller learns while a run goes on: a step's name and `started`, `done`, `failed` or `retried`.
Watch = Callable[[str, str], None]


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    `failures` holds one line per failed step or blocking check; `metadata` the metadata of every materialization by
    asset key (`schema/table`).
    """

    run_id: str
    is_success: bool
    failures: list[str] = field(default_factory=list)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks_passed: int = 0
    checks_warned: list[str] = field(default_factory=list)


def open_instance(home: Home) -> DagsterInstance:
    """Open the home's run history."""
    _keep_engines()
    return DagsterInstance.from_config(str(home.dagster))


def _keep_engines() -> None:
    """Let Dagster's SQLite storages keep an engine and a connection per file.

    They make both anew for every statement: SQLAlchemy compiles the statement again, the file's log is folded into it at every
    close, and the disk is waited for at every event. That was a third of a run. A power cut may now cost the last events of the
    history; a killed process costs none, and the lake and the warehouse do not depend on it.
    """
    for module in (sqlite_event_log, sqlite_run_storage):
        module.create_engine = _engine_of  # type: ignore[attr-defined]


_ENGINES: dict[tuple[str, int], Any] = {}


def _engine_of(url: str, **options: Any) -> Any:
    try:
        # A file that was removed and made again is another one.
        file = (url, os.stat(url.removeprefix("sqlite:///")).st_ino)
    except FileNotFoundError:
        return create_engine(url, **options)
    if file not in _ENGINES:
        engine: Any = create_engine(url, **{**options, "poolclass": QueuePool})
        listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))
        engine.dispose = lambda **_: None  # called after every statement
        _ENGINES[file] = engine
    return _ENGINES[file]


def bury_dead_runs(instance: DagsterInstance) -> list[str]:
    """Fail unfinished runs whose process is gone and free what they held; return their ids.

    A killed in-process run keeps its status and its pool slot for ever, and the next run would wait for the slot.
    """
    buried = []
    for run in instance.get_runs(RunsFilter(statuses=_UNFINISHED)):
        if _is_alive(instance, run):
            continue
        instance.report_run_failed(run, message="The process of this run is gone; Lowtide marks it as failed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        buried.append(run.run_id)
    # A slot can outlive even a finished run where the kill fell between two writes.
    storage = instance.event_log_storage
    for run_id in storage.get_concurrency_run_ids():
        holder = instance.get_run_by_id(run_id)
        if holder is None or holder.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
    return buried


def _is_alive(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Tell whether a run's process lives: by our tag, else by the pid that the executor logged."""
    tag = run.tags.get(PID_TAG)
    if tag:
        pid, started = tag.split(":")
        try:
            return int(psutil.Process(int(pid)).create_time()) == int(started)
        except psutil.NoSuchProcess:
            return False
    for record in instance.get_records_for_run(run.run_id, of_type=DagsterEventType.ENGINE_EVENT).records:
        event = record.event_log_entry.dagster_event
        pid_entry = event.engine_event_data.metadata.get("pid") if event else None
        if pid_entry is not None:
            return psutil.pid_exists(int(str(pid_entry.value)))
    # Never started by an executor we know of (a queued launch of the web UI): leave it to Dagster's own monitoring.
    return True


def execute(
    defs: Definitions,
    instance: DagsterInstance,
    job_name: str,
    days: Sequence[date],
    *,
    watch: Watch,
    tags: dict[str, str] | None = None,
    only: Sequence[AssetKey] | None = None,
) -> RunOutcome:
    """Run a job over a range of days, in this process, with history.

    Parameters
    ----------
    days : sequence of date
        First and last day count; the days between are included.
    watch : callable
        Called with (step, "started" | "done" | "failed" | "retried").
    only : sequence of AssetKey, optional
        A part of the job's assets.
    """
    _WATCHERS[os.getpid()] = watch
    process = psutil.Process()
    all_tags = {PID_TAG: f"{process.pid}:{int(process.create_time())}", **(tags or {})}
    if len(days) > 1:
        all_tags |= {
            ASSET_PARTITION_RANGE_START_TAG: days[0].isoformat(),
            ASSET_PARTITION_RANGE_END_TAG: days[-1].isoformat(),
        }
    try:
        result = defs.resolve_job_def(job_name).execute_in_process(
            instance=instance,
            partition_key=days[0].isoformat() if len(days) == 1 else None,
            tags=all_tags,
            raise_on_error=False,
            asset_selection=only,
            run_config={"loggers": {"lowtide": {"config": {}}}},
        )
    finally:
        _WATCHERS.pop(os.getpid(), None)
    return _outcome(result)


def _outcome(result: Any) -> RunOutcome:
    failures: list[str] = []
    warned: list[str] = []
    metadata: dict[str, dict[str, Any]] = {}
    passed = 0
    for event in result.all_events:
        if event.event_type == DagsterEventType.STEP_FAILURE:
            failures.append(f"{event.step_key}: {_reason(event.event_specific_data.error)}")
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if evaluation.passed:
                passed += 1
            else:
                line = f"check {evaluation.check_name} on {evaluation.asset_key.to_user_string()} does not hold"
                (failures if evaluation.severity.name == "ERROR" else warned).append(line)
        elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.materialization
            metadata[materialization.asset_key.to_user_string()] = {
                key: entry.value for key, entry in materialization.metadata.items()
            }
    return RunOutcome(result.run_id, result.success and not failures, failures, metadata, passed, warned)


def _reason(error: Any) -> str:
    """Return the innermost cause of a step's failure in one line."""
    while error.cause is not None:
        error = error.cause
    lines = [line.strip() for line in error.message.strip().splitlines() if line.strip()]
    return " ".join(lines)[:600]


_WATCHERS: dict[int, Watch] = {}
_STATES = {
    DagsterEventType.STEP_START: "started",
    DagsterEventType.STEP_SUCCESS: "done",
    DagsterEventType.STEP_FAILURE: "failed",
    DagsterEventType.STEP_UP_FOR_RETRY: "retried",
}


class _WatchHandler(logging.Handler):
    """Turns Dagster's event records into calls of the watcher; everything else stays in the run history."""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        watch = _WATCHERS.get(os.getpid())
        if event is None or watch is None:
            return
        state = _STATES.get(event.event_type)
        if state:
            watch(event.step_key, state)


@logger(config_schema={}, description="Shows steps on the terminal; the full log is in the run history.")
def watch_logger(_context: Any) -> logging.Logger:
    """Return the logger that `execute` asks for."""
    log = logging.Logger("lowtide", level=logging.DEBUG)
    log.addHandler(_WatchHandler())
    return log
