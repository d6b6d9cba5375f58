"""Assets of the lake: one per venue and dataset from a factory, recorded streams, imports, and the raw schema.

Belongs here: Dagster assets and their catalogue texts. Does not: fetching (``pipelines/sources``), the disk
(``pipelines/lake``), validation (``quality``), splitting (``transform.py``).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    Backoff,
    MaterializeResult,
    ResourceParam,
    RetryPolicy,
    multi_asset,
)

from assets.lake.frame import OWNERS, days_of, landed_facts, raw_asset
from assets.lake.transform import batches_of, batches_of_recording
from assets.partitions import DAILY, ONE_RUN, WAREHOUSE_POOL
from assets.ports import (
    Clock,
    ExchangeSource,
    Generation,
    RawKey,
    RawLake,
    SourceOutage,
    StreamRecordings,
    Warehouse,
)
from quality.checks.factory import schema_check_result, schema_check_spec
from quality.schemas.raw import DAY_CLOCK, RAW_TABLES

# Days that are fetched and landed together; the whole range where nothing else is said. A month of minutes of 200 contracts
# is nine million rows: a day of them is what memory should hold, and what a killed run loses.
DAYS_AT_ONCE = {"minute_candles": 1}

# Besides the datasets, the raw schema holds the lake's own books; every one is a dbt source.
LAKE_BOOKS: dict[str, str] = {
    "manifest": "Current generations of the lake. One row per dataset, venue, source and capture day.",
    "outages": "Days that could not be fetched, with the outage code. One row per dataset, venue, source and capture day.",
    "quarantine": "Rows that were refused, with place, field and reason. One row per refused row.",
}


def build_exchange_assets(venue: str, datasets: Sequence[str]) -> list[AssetsDefinition]:
    """Return one asset per dataset of a venue; each lands its rows in the lake.

    An unreachable venue costs its own partition and not the run: the outage is recorded with its code, earlier
    generations stay current, and coverage names what is missing.
    """
    return [_exchange_asset(venue, dataset) for dataset in datasets]


def _exchange_asset(venue: str, dataset: str) -> AssetsDefinition:
    # Transport already retries an answer; this is for a machine that loses its network for a minute.
    retry = RetryPolicy(max_retries=1, delay=5, backoff=Backoff.EXPONENTIAL)

    @raw_asset(venue, dataset, f"Fetched from {venue} through ccxt", retry)
    def landed(
        context: AssetExecutionContext,
        lake: ResourceParam[RawLake],
        exchanges: ResourceParam[Mapping[str, ExchangeSource]],
        clock: ResourceParam[Clock],
    ) -> MaterializeResult:
        days = days_of(context)
        if venue not in exchanges or dataset in exchanges[venue].left_out:
            status = "disabled in settings" if venue not in exchanges else "not asked for in universe.yml"
            return MaterializeResult(metadata={"status": status, "rows": 0})
        client = exchanges[venue]
        if DAY_CLOCK[dataset] is None:
            days = [clock.now().date()]
        first = client.first_offered_day(dataset)
        offered = [d for d in days if first is None or d >= first]
        forgotten = days[: len(days) - len(offered)]
        if forgotten:
            _note_outage(context, lake, client, dataset, forgotten, _FORGOTTEN)
        if not offered:
            return MaterializeResult(metadata={"status": _FORGOTTEN.code, "rows": 0})
        generations, payloads_count, outage = _land(context, lake, client, dataset, offered, clock)
        if outage is not None:
            rows = sum(g.rows_count for g in generations)
            return MaterializeResult(
                metadata={"status": outage.code, "cause": outage.cause, "reason": str(outage), "rows": rows}
            )
        return MaterializeResult(
            metadata={**landed_facts(generations), "days_not_offered": len(forgotten), "payloads": payloads_count}
        )

    return landed


def build_collected_assets(venue: str, *, lists_instruments: bool) -> AssetsDefinition:
    """Return the assets of a venue's recorded streams: its liquidations, and the gaps in which it was not listened to.

    Where runs fetch the venue's instruments (`lists_instruments`) they come first: they say what a contract is worth.
    """
    texts = {
        "liquidations": "Recorded from the public streams of {venue} by `lowtide collect`; lands from sealed segments.",
        "stream_gaps": "Of the streams of {venue} that `lowtide collect` records.",
    }
    specs = [
        AssetSpec(
            key=AssetKey(["lake", f"{venue}_collected_{dataset}"]),
            deps=[AssetKey(["lake", f"{venue}_instruments"])] if lists_instruments else [],
            description=f"{RAW_TABLES[dataset].description} {text.format(venue=venue)}",
            group_name="lake",
            kinds={"python", "parquet"},
            owners=OWNERS,
            tags={"venue": venue},
        )
        for dataset, text in texts.items()
    ]

    @multi_asset(name=f"{venue}_collected", specs=specs, partitions_def=DAILY, backfill_policy=ONE_RUN)
    def landed(
        context: AssetExecutionContext,
        lake: ResourceParam[RawLake],
        recordings: ResourceParam[StreamRecordings],
        clock: ResourceParam[Clock],
    ) -> Iterable[MaterializeResult]:
        found = {day: recordings.of_day(venue, day) for day in days_of(context)}
        batches = [
            batch
            for day, recording in found.items()
            if recording is not None
            for batch in batches_of_recording(
                recording,
                venue=venue,
                source=recordings.source,
                day=day,
                now=clock.now(),
                is_synthetic=recordings.is_synthetic,
            )
        ]
        generations = lake.commit(batches)
        kept = [recording for recording in found.values() if recording is not None]
        for dataset, spec in zip(texts, specs, strict=True):
            own = [g for g in generations if g.key.dataset == dataset]
            yield MaterializeResult(
                asset_key=spec.key,
                metadata={
                    **landed_facts(own),
                    "status": "landed" if kept else "nothing recorded",
                    "days_not_sealed": sum(not recording.is_sealed for recording in kept),
                    "not_followed": sum(recording.not_followed_count for recording in kept),
                },
            )

    return landed


def _land(
    context: AssetExecutionContext,
    lake: RawLake,
    client: ExchangeSource,
    dataset: str,
    days: Sequence[date],
    clock: Clock,
) -> tuple[list[Generation], int, SourceOutage | None]:
    """Fetch days that are offered and commit them, so many at once as `DAYS_AT_ONCE` says.

    Returns
    -------
    generations, payloads_count, outage
        An outage is recorded for its day and those after it; what was landed before stays.
    """
    generations: list[Generation] = []
    payloads_count = 0
    at_once = DAYS_AT_ONCE.get(dataset, len(days))
    for begin in range(0, len(days), at_once):
        piece = days[begin : begin + at_once]
        now = clock.now()
        try:
            capture = client.fetch(dataset, piece[0], piece[-1])
        except SourceOutage as outage:
            _note_outage(context, lake, client, dataset, days[begin:], outage)
            return generations, payloads_count, outage
        batches = batches_of(
            capture,
            dataset=dataset,
            venue=client.venue,
            source=client.source,
            days=piece,
            now=now,
            is_synthetic=client.is_synthetic,
            # What exists as of now only and carries its own clock: a later look does not replace an earlier one.
            adds_to_day=DAY_CLOCK[dataset] is not None and client.first_offered_day(dataset) == now.date(),
        )
        generations += lake.commit(batches)
        payloads_count += len(capture.payloads)
    return generations, payloads_count, None


_FORGOTTEN = SourceOutage("not_offered", "the venue no longer tells of this day")


def _note_outage(
    context: AssetExecutionContext,
    lake: RawLake,
    client: ExchangeSource,
    dataset: str,
    days: Sequence[date],
    outage: SourceOutage,
) -> None:
    context.log.warning(f"{client.venue} {dataset} {days[0]}..{days[-1]}: {outage.code}: {outage}")
    for day in days:
        key = RawKey(dataset, client.venue, client.source, day)
        lake.record_outage(key, outage.code, str(outage), is_synthetic=client.is_synthetic)


def build_import_specs(mappings: Mapping[str, Iterable[str]]) -> list[AssetSpec]:
    """Return external assets for what `lowtide import` lands: mapping name -> datasets."""
    return [
        AssetSpec(
            key=AssetKey(["lake", f"{name}_{dataset}"]),
            description=f"{RAW_TABLES[dataset].description} Landed by `lowtide import {name}`, not by a run.",
            group_name="lake",
            kinds={"file", "parquet"},
            owners=OWNERS,
        )
        for name, datasets in mappings.items()
        for dataset in datasets
    ]


def build_raw_tables(lake_keys: Sequence[AssetKey]) -> AssetsDefinition:
    """Return the asset that points schema `raw` at the lake's current generations: one table per dataset, all venues."""

    def feeding(dataset: str) -> list[AssetKey]:
        return [k for k in lake_keys if _dataset_of(k) == dataset]

    specs = [
        AssetSpec(
            key=AssetKey(["raw", name]), deps=feeding(name), description=table.description, **_raw_spec(columns=table)
        )
        for name, table in RAW_TABLES.items()
    ] + [
        AssetSpec(key=AssetKey(["raw", name]), deps=list(lake_keys), description=text, **_raw_spec())
        for name, text in LAKE_BOOKS.items()
    ]

    @multi_asset(
        name="raw_tables",
        specs=specs,
        check_specs=[schema_check_spec(table) for table in RAW_TABLES.values()],
        partitions_def=DAILY,
        backfill_policy=ONE_RUN,
        pool=WAREHOUSE_POOL,
    )
    def raw_tables(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterable[MaterializeResult | AssetCheckResult]:
        input_sha256 = warehouse.refresh_raw()
        for key in sorted(context.selected_asset_keys):
            yield MaterializeResult(asset_key=key, metadata={"input_sha256": input_sha256})
        with warehouse.connect() as con:
            for name, table in RAW_TABLES.items():
                yield schema_check_result(con, table, DAY_CLOCK[name], days_of(context))

    return raw_tables


def _dataset_of(lake_key: AssetKey) -> str:
    """Return the dataset that an asset lands: ``minute_candles`` ends with the name of another one."""
    return max((name for name in RAW_TABLES if lake_key.path[1].endswith(f"_{name}")), key=len)


def _raw_spec(columns: Any = None) -> dict[str, Any]:
    return {
        "group_name": "raw",
        "kinds": {"duckdb"},
        "owners": OWNERS,
        "metadata": {"columns": ", ".join(columns.columns)} if columns is not None else {},
    }
