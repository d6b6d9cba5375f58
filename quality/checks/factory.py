"""The check factory: a table's schema becomes a blocking asset check with structured failure metadata.

Belongs here: how a schema is turned into a check. Does not: the schemas, or checks of dbt models (dbt's own tests are
asset checks already).
"""

from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Protocol

import duckdb
import pandera.errors
import polars as pl
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetKey,
    MetadataValue,
    ResourceParam,
    asset_check,
)

from quality.tables import Table


class Opens(Protocol):
    """What a check needs of the warehouse: a connection for a moment."""

    def connect(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse; the file is free again when the block ends."""
        ...


def build_schema_check(table: Table, day_column: str | None) -> AssetChecksDefinition:
    """Return the blocking check that a table's rows of the run's days obey its schema.

    Parameters
    ----------
    table : Table
        Schema of a raw or sim table.
    day_column : str or None
        Column by which rows belong to a day; None checks the whole table (snapshots).
    """

    @asset_check(
        asset=AssetKey([table.schema, table.name]),
        name=f"{table.name}_rows_obey_their_schema",
        description=f"Types, units, row laws and the unique grain of {table.address}.",
        blocking=True,
    )
    def check(context: AssetCheckExecutionContext, warehouse: ResourceParam[Opens]) -> AssetCheckResult:
        with warehouse.connect() as con:
            faults, rows = schema_faults(con, table, day_column, _days(context) if day_column else None)
        return AssetCheckResult(
            passed=not faults,
            severity=AssetCheckSeverity.ERROR,
            metadata={"rows": rows, "faults": MetadataValue.json(faults[:50]), "faults_count": len(faults)},
        )

    return check


def schema_faults(
    con: duckdb.DuckDBPyConnection, table: Table, day_column: str | None, days: tuple[date, date] | None
) -> tuple[list[dict[str, str]], int]:
    """Return every way in which a table breaks its schema, and the number of rows looked at.

    A raw table holds several sources and captures of the same bucket, so there the grain is unique within each of them.

    Parameters
    ----------
    days : tuple of date or None
        The days [first, after) of `day_column`; None looks at every row.
    """
    apart = ("source", "capture_date_utc") if table.schema == "raw" else ()
    # Names come from the schema, never from data.
    columns = ", ".join(f'"{c}"' for c in (*table.columns, *apart))
    query = f'select {columns} from "{table.schema}"."{table.name}"'
    values: dict[str, date] = {}
    if day_column and days:
        query += f' where "{day_column}" >= $first and "{day_column}" < $after'
        values = {"first": days[0], "after": days[1]}
    frame = con.execute(query, values).pl()
    unique = (*table.grain, *apart)
    repeats = frame.height - frame.select(unique).n_unique()
    faults = (
        [{"column": ", ".join(unique), "check": "grain_is_unique", "value": f"{repeats} repeated"}] if repeats else []
    )
    casts = [pl.col(f.name).cast(f.raw_type) for f in table.fields]
    # The laws of a group would take the rows of two sources for one group.
    parts = frame.partition_by(apart) if table.group_rules and apart else [frame]
    for part in parts:
        faults += _row_faults(table, part.select(casts))
    return faults, frame.height


def _row_faults(table: Table, rows: pl.DataFrame) -> list[dict[str, str]]:
    try:
        table.pandera_schema(unique=()).validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return [
            {"column": str(row.get("column")), "check": str(row.get("check")), "value": str(row.get("failure_case"))}
            for row in errors.failure_cases.to_dicts()
        ]
    return []


def _days(context: AssetCheckExecutionContext) -> tuple[date, date] | None:
    if not context.has_partition_key and not context.has_partition_key_range:
        return None
    keys = context.partition_key_range if context.has_partition_key_range else None
    first = date.fromisoformat(keys.start if keys else context.partition_key)
    last = date.fromisoformat(keys.end if keys else context.partition_key)
    return first, last + timedelta(days=1)
