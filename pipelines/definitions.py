"""Assembly: `build_defs` returns the code location; Dagster's tools load `defs`.

Belongs here: what is put together. Does not: any asset, job or resource itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import AssetKey, Definitions, in_process_executor

from assets.cascade.definitions import build_cascade_assets
from assets.lake.definitions import build_collected_assets, build_exchange_assets, build_import_specs, build_raw_tables
from assets.lake.lending import build_lending_assets
from assets.lake.published import build_published_assets
from assets.report.definitions import build_report_assets
from assets.warehouse.definitions import build_dbt_assets
from pipelines.collector.streams import COLLECTED_VENUES
from pipelines.dbt_manifest import ensure_manifest
from pipelines.home import kind_of, open_home
from pipelines.jobs import JOBS
from pipelines.resources import build_resources
from pipelines.runs import watch_logger
from pipelines.schedules import SCHEDULES
from pipelines.sensors import SENSORS
from pipelines.settings import Settings
from pipelines.sources.chains.lending_markets import ACCOUNT_CHAINS, LENDING_VENUES
from pipelines.sources.exchanges.registry import EXCHANGES
from pipelines.sources.files.imports import shipped_mappings
from pipelines.sources.publishers.registry import PUBLISHERS


def build_defs(*, resources: Mapping[str, Any] | None = None) -> Definitions:
    """Return the whole code location.

    Parameters
    ----------
    resources : mapping, optional
        Resources by name (see `pipelines.resources.build_resources`); built from the environment where not given.
    """
    if resources is None:
        settings = Settings()
        kind = kind_of(settings.home) or "real"
        resources = build_resources(open_home(settings.home, kind, create=True), settings)
    landed = [a for venue, datasets in EXCHANGES.items() for a in build_exchange_assets(venue, datasets)]
    landed += [a for venue in LENDING_VENUES for a in build_lending_assets(venue)]
    landed += [a for venue, datasets in PUBLISHERS.items() for a in build_published_assets(venue, datasets)]
    landed += [a for chain in ACCOUNT_CHAINS for a in build_published_assets(chain, ("exchange_reserves",))]
    collected = [build_collected_assets(venue, lists_instruments=venue in EXCHANGES) for venue in COLLECTED_VENUES]
    imported = build_import_specs({m.name: m.datasets for m in shipped_mappings()})
    lake_keys: list[AssetKey] = [a.key for a in landed] + [s.key for s in imported]
    lake_keys += [key for asset in collected for key in asset.keys]
    return Definitions(
        assets=[
            *landed,
            *collected,
            *imported,
            build_raw_tables(lake_keys),
            *build_dbt_assets(ensure_manifest()),
            build_cascade_assets(),
            *build_report_assets(),
        ],
        jobs=list(JOBS.values()),
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources=dict(resources),
        loggers={"lowtide": watch_logger},
        # A step process costs seconds to start; the whole day takes less. Wide ingestion may choose another executor.
        executor=in_process_executor,
    )


def __dir__() -> list[str]:
    """Name `defs` too: Dagster's tools look for definitions among a module's members."""
    return [*globals(), "defs"]


def __getattr__(name: str) -> Definitions:
    """Build `defs` when a Dagster tool asks for it, so that importing this module reads no environment."""
    if name == "defs":
        return build_defs()
    raise AttributeError(name)
