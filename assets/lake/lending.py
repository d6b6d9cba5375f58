"""Assets of lending markets: what a chain tells of a day, and snapshots of reserves and positions.

Belongs here: one asset per market and dataset, and what becomes of an outage. Does not: reading a chain
(``pipelines/sources/chains/lending.py``), exchanges (``definitions.py``).
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import polars as pl
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Backoff,
    Failure,
    MaterializeResult,
    ResourceParam,
    RetryPolicy,
)

from assets.lake.frame import days_of, landed_facts, raw_asset
from assets.lake.transform import batches_of
from assets.ports import Capture, Clock, FinalityBroken, LendingMarket, RawKey, RawLake, SourceOutage
from quality.schemas.lending import LENDING_DAY_CLOCK

CALLS = "lending_liquidations"


def build_lending_assets(venue: str) -> list[AssetsDefinition]:
    """Return one asset per dataset of a lending market; each lands its rows in the lake.

    A provider that does not answer costs the partition and not the run. A final block that changed stops the run.
    """
    return [_lending_asset(venue, dataset) for dataset in LENDING_DAY_CLOCK]


def _lending_asset(venue: str, dataset: str) -> AssetsDefinition:
    retry = RetryPolicy(max_retries=1, delay=5, backoff=Backoff.EXPONENTIAL)

    @raw_asset(venue, dataset, f"Read from {venue} over JSON-RPC", retry)
    def landed(
        context: AssetExecutionContext,
        lake: ResourceParam[RawLake],
        lending: ResourceParam[Mapping[str, LendingMarket]],
        clock: ResourceParam[Clock],
    ) -> MaterializeResult:
        if venue not in lending:
            return MaterializeResult(metadata={"status": "no provider in settings", "rows": 0})
        market, now = lending[venue], clock.now()
        days = days_of(context) if dataset == CALLS else [now.date()]
        try:
            capture = _read(market, dataset, days, lake, now)
        except SourceOutage as outage:
            context.log.warning(f"{venue} {dataset} {days[0]}..{days[-1]}: {outage.code}: {outage}")
            for day in days:
                key = RawKey(dataset, venue, market.source, day)
                lake.record_outage(key, outage.code, str(outage), is_synthetic=market.is_synthetic)
            return MaterializeResult(metadata={"status": outage.code, "reason": str(outage), "rows": 0})
        except FinalityBroken as broken:
            # Asking again would only hide it: a person must look first.
            raise Failure(str(broken), allow_retries=False) from broken
        if dataset != CALLS:
            days = sorted(capture.rows["observed_at_utc"].dt.date().unique()) or days
        batches = batches_of(
            capture,
            dataset=dataset,
            venue=venue,
            source=market.source,
            days=days,
            now=now,
            is_synthetic=market.is_synthetic,
        )
        return MaterializeResult(metadata=landed_facts(lake.commit(batches)))

    return landed


def _read(market: LendingMarket, dataset: str, days: Sequence[date], lake: RawLake, now: datetime) -> Capture:
    market.probe()
    if dataset == CALLS:
        market.demand_finality(_final_blocks(market, days, lake))
        return market.liquidations_of(days[0], days[-1], now=now)
    if dataset == "lending_reserves":
        return market.reserves()
    known = _landed(market, "lending_positions", lake)
    accounts = known[-1][0]["user_address"].unique().sort().to_list() if known else []
    return market.positions(accounts)


def _landed(market: LendingMarket, dataset: str, lake: RawLake) -> list[tuple[pl.DataFrame, datetime]]:
    """Return what stands in the lake of a market, day by day, and when it was captured."""
    return [
        (pl.read_parquet(g.path), g.captured_at_utc)
        for g in lake.current()
        if (g.key.dataset, g.key.venue, g.key.source) == (dataset, market.venue, market.source) and g.path is not None
    ]


def _final_blocks(market: LendingMarket, days: Sequence[date], lake: RawLake) -> dict[int, str]:
    """Return the newest block of each landed day that was final when it was captured: these must never change."""
    found = {}
    for rows, captured in _landed(market, CALLS, lake):
        final = rows.filter(pl.col("occurred_at_utc") < captured - timedelta(seconds=market.finality_s)).drop_nulls(
            "block_hash"
        )
        if final.height and final["occurred_at_utc"].dt.date()[0] in days:
            newest = final.sort("block_height").row(-1, named=True)
            found[newest["block_height"]] = newest["block_hash"]
    return found
