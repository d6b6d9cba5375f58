"""The two schedules: the open day every hour, and yesterday's editions."""

from __future__ import annotations

from datetime import timedelta

from dagster import RunRequest, ScheduleDefinition, ScheduleEvaluationContext

from assets.partitions import EDITION_TAG
from pipelines.jobs import JOBS


def _open_day(context: ScheduleEvaluationContext) -> RunRequest:
    day = context.scheduled_execution_time.date().isoformat()
    return RunRequest(partition_key=day)


def _yesterday(context: ScheduleEvaluationContext) -> RunRequest:
    at = context.scheduled_execution_time
    day = (at.date() - timedelta(days=1)).isoformat()
    # ETF flows, FRED and holder figures of a day exist only by the next noon.
    return RunRequest(partition_key=day, tags={EDITION_TAG: "final" if at.hour >= 12 else "preliminary"})


SCHEDULES = [
    ScheduleDefinition(
        name="open_day_every_hour",
        job=JOBS["refresh_hour"],
        cron_schedule="5 * * * *",
        execution_timezone="UTC",
        execution_fn=_open_day,
        description="Refresh the open UTC day; its rows carry is_closed = false.",
    ),
    ScheduleDefinition(
        name="editions_of_yesterday",
        job=JOBS["run_day"],
        cron_schedule=["15 0 * * *", "0 12 * * *"],
        execution_timezone="UTC",
        execution_fn=_yesterday,
        description="Yesterday's report: preliminary at 00:15 UTC, final at 12:00 UTC; a final edition is never written again.",
    ),
]
