"""The check factory: a table's schema becomes a blocking asset check with structured failure metadata.

Belongs here: how a schema is turned into a check. Does not: the schemas, or checks of dbt models (dbt's own tests are
asset checks already).
"""

from collections.abc import Sequence
from datetime import date, timedelta

import duckdb
import pandera.errors
import polars as pl
from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, MetadataValue

from quality.tables import Table


def schema_check_spec(table: Table) -> AssetCheckSpec:
    """Return the blocking check that a table's rows of the run's days obey its schema.

    The step that writes the table gives its result too (`schema_check_result`): a step of its own per table would cost a run
    seconds, and what stands behind a blocking check does not start in either case.
    """
    return AssetCheckSpec(
        name=f"{table.name}_rows_obey_their_schema",
        asset=AssetKey([table.schema, table.name]),
        description=f"Types, units, row laws and the unique grain of {table.address}.",
        blocking=True,
    )


def schema_check_result(
    con: duckdb.DuckDBPyConnection, table: Table, day_column: str | None, days: Sequence[date]
) -> AssetCheckResult:
    """Return how a table stands the check of `schema_check_spec`.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        The warehouse.
    table : Table
        Schema of a raw or sim table.
    day_column : str or None
        Column by which rows belong to a day; None checks the whole table (snapshots).
    days : sequence of date
        Days of the run, in order.
    """
    faults, rows = schema_faults(
        con, table, day_column, (days[0], days[-1] + timedelta(days=1)) if day_column else None
    )
    return AssetCheckResult(
        passed=not faults,
        asset_key=AssetKey([table.schema, table.name]),
        check_name=schema_check_spec(table).name,
        severity=AssetCheckSeverity.ERROR,
        metadata={"rows": rows, "faults": MetadataValue.json(faults[:50]), "faults_count": len(faults)},
    )


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
