"""The cascade as assets: market marts in, schema `sim` out. Thin: the mathematics is beside it."""

from collections.abc import Iterable

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from assets.lake.frame import OWNERS, days_of
from assets.partitions import DAILY, ONE_RUN, WAREHOUSE_POOL
from assets.ports import Warehouse
from quality.checks.factory import schema_check_result, schema_check_spec
from quality.schemas.sim import SIM_DAY_COLUMN, SIM_TABLES

# What the fuel and depth estimates read, and the accounts of lending markets.
_INPUTS = [
    AssetKey(["marts", name])
    for name in (
        "dim_assets",
        "dim_instruments",
        "fct_prices_hourly",
        "fct_open_interest_hourly",
        "fct_depth_hourly",
        "fct_market_recaps_daily",
        "fct_lending_positions_daily",
        "fct_lending_reserves_daily",
    )
]

_ESTIMATED = "Fuel is estimated from open interest and a named prior"
_FUEL = {"liquidation_fuel": "Fuel is that of accounts which a lending market shows"}


def build_cascade_assets() -> AssetsDefinition:
    """Return the asset that replays shocks on each day's closing state and writes the sim tables."""

    @multi_asset(
        name="cascade",
        specs=[
            AssetSpec(
                key=AssetKey(["sim", name]),
                deps=_INPUTS,
                description=f"{table.description} {_FUEL.get(name, _ESTIMATED)}; see docs/cascade.md.",
                group_name="stress",
                kinds={"numba", "duckdb"},
                owners=OWNERS,
            )
            for name, table in SIM_TABLES.items()
        ],
        check_specs=[schema_check_spec(table) for table in SIM_TABLES.values()],
        partitions_def=DAILY,
        backfill_policy=ONE_RUN,
        pool=WAREHOUSE_POOL,
    )
    def cascade(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterable[MaterializeResult | AssetCheckResult]:
        from assets.cascade import frames  # noqa: PLC0415 - numba is imported only when a kernel is needed

        left_out: list[str] = []
        rows = dict.fromkeys(SIM_TABLES, 0)
        with warehouse.connect() as con:
            for day in days_of(context):
                result = frames.stress_frames(con, day)
                frames.write_sim(con, day, result)
                left_out += [f"{day} {asset}: {reason}" for asset, reason in result.left_out]
                for table, frame in result.tables():
                    rows[table.name] += frame.height
            checks = [
                schema_check_result(con, t, SIM_DAY_COLUMN[t.name], days_of(context)) for t in SIM_TABLES.values()
            ]
        for name, count in rows.items():
            yield MaterializeResult(
                asset_key=AssetKey(["sim", name]),
                metadata={"dagster/row_count": count, "left_out": MetadataValue.json(left_out)},
            )
        yield from checks

    return cascade
