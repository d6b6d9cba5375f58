"""dbt as assets: the first pass from raw to the market marts, the second pass over what the cascade computed.

Belongs here: the translation of dbt's names to asset keys and the two passes. Does not: SQL (``dbt/``), the profile's
location (``pipelines/resources.py``).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, ResourceParam
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from assets.partitions import DAILY, ONE_RUN, WAREHOUSE_POOL
from assets.ports import Dbt, Warehouse

SECOND_PASS = "tag:second_pass"  # noqa: S105 - a dbt selector, not a password

# Unit tests prove SQL over made-up rows; they belong to the project's own tests and not to every scheduled run.
_SCHEDULED = ["--exclude-resource-type", "unit_test"]


class LowtideTranslator(DagsterDbtTranslator):
    """Asset key = DuckDB schema.table = dbt address: two parts, no translation table."""

    def __init__(self) -> None:
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_code_references=False))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """Return `schema.table` of a model, seed or source."""
        if dbt_resource_props["resource_type"] == "source":
            return AssetKey([dbt_resource_props["source_name"], dbt_resource_props["name"]])
        return AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return the schema, or `stress` for the second pass."""
        if "second_pass" in dbt_resource_props.get("tags", []):
            return "stress"
        return str(dbt_resource_props["schema"])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """Return the owners of every model."""
        return ["team:data"]


def build_dbt_assets(manifest: Path) -> list[AssetsDefinition]:
    """Return the two passes over a parsed manifest."""
    translator = LowtideTranslator()
    common: dict[str, Any] = {
        "manifest": manifest,
        "dagster_dbt_translator": translator,
        "partitions_def": DAILY,
        "backfill_policy": ONE_RUN,
        "pool": WAREHOUSE_POOL,
    }

    @dbt_assets(name="dbt_first_pass", exclude=SECOND_PASS, **common)
    def first_pass(
        context: AssetExecutionContext, dbt: ResourceParam[Dbt], warehouse: ResourceParam[Warehouse]
    ) -> Iterator[Any]:
        yield from _build(context, dbt, warehouse)

    @dbt_assets(name="dbt_second_pass", select=SECOND_PASS, **common)
    def second_pass(
        context: AssetExecutionContext, dbt: ResourceParam[Dbt], warehouse: ResourceParam[Warehouse]
    ) -> Iterator[Any]:
        yield from _build(context, dbt, warehouse)

    return [first_pass, second_pass]


def _build(context: AssetExecutionContext, dbt: Dbt, warehouse: Warehouse) -> Iterator[Any]:
    folder = warehouse.dbt_target
    folder.mkdir(parents=True, exist_ok=True)
    yield from dbt.stream(["build", *_SCHEDULED], context, folder)
