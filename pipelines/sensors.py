"""Sensors: what starts a run because something happened, not because it is time."""

from __future__ import annotations

from pathlib import Path

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SensorResult, SkipReason, sensor

from pipelines.collector.landing import days_touched
from pipelines.collector.segments import sealed_segments
from pipelines.jobs import JOBS

# An evaluation reads each new segment once; after a long pause the next ones come with the next evaluations.
SEGMENTS_MOST = 48


@sensor(
    job=JOBS["land_recordings"],
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.STOPPED,
    required_resource_keys={"recordings"},
)
def recordings_are_sealed(context: SensorEvaluationContext) -> SensorResult | SkipReason:
    """Land the days that newly sealed segments of `lowtide collect` touch. Stopped by default: switch it on where a collector runs.

    The cursor is the name of the last segment that was looked at.
    """
    folder: Path = context.resources.recordings.folder
    done = context.cursor or ""
    new = [path for path in sealed_segments(folder) if path.name > done][:SEGMENTS_MOST]
    if not new:
        return SkipReason("no segment was sealed since the last look")
    days = sorted(set[object]().union(*(days_touched(path) for path in new)), key=str)
    requests = [RunRequest(run_key=f"{day}:{new[-1].name}", partition_key=str(day)) for day in days]
    return SensorResult(run_requests=requests, cursor=new[-1].name)


SENSORS = [recordings_are_sealed]
