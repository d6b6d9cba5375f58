"""Sensors: what starts a run because something happened, not because it is time."""

from __future__ import annotations

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from assets.ports import StreamRecordings
from pipelines.jobs import JOBS

# An evaluation reads each new segment once; after a long pause the rest comes with the next evaluations.
SEGMENTS_MOST = 48


@sensor(job=JOBS["land_recordings"], minimum_interval_seconds=60, default_status=DefaultSensorStatus.STOPPED)
def recordings_are_sealed(
    context: SensorEvaluationContext, recordings: ResourceParam[StreamRecordings]
) -> SensorResult | SkipReason:
    """Land the days that newly sealed segments of `lowtide collect` touch. Stopped by default: switch it on where a collector runs.

    The cursor is the name of the last segment that was looked at.
    """
    new = recordings.sealed_since(context.cursor or "", SEGMENTS_MOST)
    if not new:
        return SkipReason("no segment was sealed since the last look")
    last = new[-1][0]
    days = sorted({day.isoformat() for _, touched in new for day in touched})
    return SensorResult(
        run_requests=[RunRequest(run_key=f"{day}:{last}", partition_key=day) for day in days], cursor=last
    )


SENSORS = [recordings_are_sealed]
