"""Assets of public figures: one per publisher and dataset, and what becomes of an outage.

Belongs here: the factory. Does not: asking a publisher (``pipelines/sources``), exchanges (``definitions.py``), chains
(``lending.py``).
"""

from collections.abc import Mapping, Sequence

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    ResourceParam,
)

from assets.lake.frame import days_of, landed_facts, raw_asset
from assets.lake.transform import batches_of
from assets.ports import Clock, PublishedSource, RawKey, RawLake, SourceOutage
from quality.schemas.raw import DAY_CLOCK


def build_published_assets(venue: str, datasets: Sequence[str]) -> list[AssetsDefinition]:
    """Return one asset per dataset of a publisher; each lands its rows in the lake.

    A publisher that does not answer, or not as documented, costs its own partition and not the run: the outage is recorded
    with its code and earlier generations stay current.
    """
    return [_published_asset(venue, dataset) for dataset in datasets]


def _published_asset(venue: str, dataset: str) -> AssetsDefinition:
    # The door already retries an answer, and figures of a slow publisher can wait for the next hour: no second round.
    @raw_asset(venue, dataset, f"Read from {venue}")
    def landed(
        context: AssetExecutionContext,
        lake: ResourceParam[RawLake],
        publishers: ResourceParam[Mapping[str, PublishedSource]],
        clock: ResourceParam[Clock],
    ) -> MaterializeResult:
        if venue not in publishers:
            return MaterializeResult(metadata={"status": "disabled in settings", "rows": 0})
        if dataset in publishers[venue].left_out:
            return MaterializeResult(metadata={"status": publishers[venue].left_out[dataset], "rows": 0})
        client, days, now = publishers[venue], days_of(context), clock.now()
        is_snapshot = DAY_CLOCK[dataset] is None
        keys = [now.date()] if is_snapshot else days
        try:
            capture = client.fetch(dataset, days[0], days[-1])
        except SourceOutage as outage:
            context.log.warning(f"{venue} {dataset} {days[0]}..{days[-1]}: {outage.code}: {outage}")
            for day in keys:
                key = RawKey(dataset, venue, client.source, day)
                lake.record_outage(key, outage.code, str(outage), is_synthetic=client.is_synthetic)
            return MaterializeResult(
                metadata={"status": outage.code, "cause": outage.cause, "reason": str(outage), "rows": 0}
            )
        batches = batches_of(
            capture,
            dataset=dataset,
            venue=venue,
            source=client.source,
            days=keys,
            now=now,
            is_synthetic=client.is_synthetic,
            # An earlier run of the day may have asked for other days; what it brought stays beside what is brought now. Where
            # each look shows all of them, what a later one lacks has been taken back.
            adds_to_day=is_snapshot and not client.shows_all,
        )
        facts = landed_facts(lake.commit(batches))
        return MaterializeResult(metadata={**facts, "payloads": len(capture.payloads)})

    return landed
