"""What assets that land raw rows share: their frame in the graph, the days of a run, and what a run says of what landed.

Belongs here: that frame. Does not: what becomes of an outage (``definitions.py``, ``published.py``, ``lending.py``).
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, MetadataValue, RetryPolicy, asset

from assets.partitions import DAILY, ONE_RUN
from assets.ports import Generation
from quality.schemas.raw import RAW_TABLES

OWNERS = ["team:data"]


def days_of(context: AssetExecutionContext) -> list[date]:
    """Return the UTC days of the run's partition range, in order."""
    window = context.partition_time_window
    first, after = window.start.date(), window.end.date()
    return [first + timedelta(days=i) for i in range((after - first).days)]


def raw_asset(
    venue: str, dataset: str, origin: str, retry_policy: RetryPolicy | None = None
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Return the decorator that makes a function the asset of a venue's dataset; `origin` says how its rows are had."""
    return asset(
        key=AssetKey(["lake", f"{venue}_{dataset}"]),
        description=f"{RAW_TABLES[dataset].description} {origin}; lands in the raw lake as Parquet.",
        partitions_def=DAILY,
        backfill_policy=ONE_RUN,
        group_name="lake",
        kinds={"python", "parquet"},
        owners=OWNERS,
        retry_policy=retry_policy,
        tags={"venue": venue},
    )


def landed_facts(generations: Iterable[Generation]) -> dict[str, Any]:
    """Return what a run says of the generations that it landed, as metadata."""
    landed = list(generations)
    return {
        "status": "landed",
        "dagster/row_count": sum(g.rows_count for g in landed),
        "quarantined": sum(g.quarantined_rows_count for g in landed),
        "sha256": MetadataValue.json([g.sha256 for g in landed]),
    }
