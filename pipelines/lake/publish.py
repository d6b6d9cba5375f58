"""The published snapshot: marts only, written beside and swapped by rename, so that no reader waits or sees a half.

Belongs here: copying schema `marts` and opening the copy safely. Does not: building marts (``dbt/``).

The snapshot is a DuckDB file, whose bytes differ from run to run; its rows and their order do not.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from pipelines.lake.durable import replace_durably
from pipelines.lake.manifest import LakeError
from quality.schemas.marts import MARTS

SNAPSHOT_INFO = "snapshot_info"


class PublishRefused(LakeError):
    """The warehouse cannot be published; the earlier snapshot stands as it was."""


@dataclass(frozen=True)
class PublishResult:
    """Where the snapshot is and how many rows each of its tables has."""

    path: Path
    tables: dict[str, int] = field(default_factory=dict)


def publish(warehouse: Path, target: Path) -> PublishResult:
    """Copy schema `marts` of the warehouse into a new snapshot and swap it in by rename.

    Parameters
    ----------
    warehouse : Path
        The DuckDB file of the models; opened read-only, so no connection of another process may be writing to it.
    target : Path
        The snapshot that readers open.

    Raises
    ------
    PublishRefused
        Where the warehouse is missing, in use, or has no marts.
    """
    new = target.with_name(target.name + ".new")
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove(new)
    try:
        tables = _copy(warehouse, new)
    except duckdb.Error as error:
        _remove(new)
        reason = str(error).splitlines()[0]
        raise PublishRefused(f"{warehouse} cannot be published: {reason}") from error
    except BaseException:
        _remove(new)
        raise
    replace_durably(new, target)
    return PublishResult(target, tables)


def open_published(path: Path, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open the snapshot for reading: no files, no network, no settings, tables of `marts` by their bare names.

    Within one process DuckDB shares an open file: close earlier connections to see a newer snapshot.

    Parameters
    ----------
    path : Path
    threads : int, optional
        Threads of DuckDB; its own choice where not given.

    Raises
    ------
    PublishRefused
        Where there is no snapshot, or a damaged one.
    """
    if not path.is_file():
        raise PublishRefused(f"{path} does not exist: nothing has been published yet; run the pipeline first")
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
    }
    if threads is not None:
        config["threads"] = str(threads)
    try:
        con = duckdb.connect(str(path), read_only=True, config=config)
    except duckdb.Error as error:
        raise PublishRefused(
            f"{path} cannot be opened ({str(error).splitlines()[0]}): close other connections of this process, or publish again"
        ) from error
    con.execute("set search_path = 'marts'")
    return con


def _copy(warehouse: Path, new: Path) -> dict[str, int]:
    if not warehouse.is_file():
        raise PublishRefused(f"{warehouse} does not exist: build the marts first")
    con = duckdb.connect(":memory:")
    try:
        con.execute(f"attach {_literal(str(warehouse))} as warehouse (read_only)")
        con.execute(f"attach {_literal(str(new))} as snapshot")
        con.execute("create schema snapshot.marts")
        names = [
            name
            for (name,) in con.execute(
                "select table_name from information_schema.tables "
                "where table_catalog = 'warehouse' and table_schema = 'marts' order by table_name"
            ).fetchall()
        ]
        if not names:
            raise PublishRefused(f"{warehouse} has no table in schema marts: build the marts first")
        # One transaction: a commit per table and comment costs more than the rows.
        con.execute("begin")
        tables = {name: _copy_table(con, name) for name in names}
        _copy_comments(con)
        _copy_info(con)
        con.execute("commit")
        con.execute("checkpoint snapshot")
        con.execute("detach snapshot")
        return tables
    finally:
        con.close()


def _copy_table(con: duckdb.DuckDBPyConnection, name: str) -> int:
    quoted = _identifier(name)
    grain = MARTS[name].grain if name in MARTS else ()
    order = ", ".join(_identifier(c) for c in grain) or "all"
    con.execute(f"create table snapshot.marts.{quoted} as select * from warehouse.marts.{quoted} order by {order}")
    row = con.execute(f"select count(*) from snapshot.marts.{quoted}").fetchone()
    return int(row[0]) if row else 0


def _copy_comments(con: duckdb.DuckDBPyConnection) -> None:
    for table, column, comment in con.execute(
        "select table_name, column_name, comment from ("
        "select database_name, schema_name, table_name, null as column_name, comment from duckdb_tables() "
        "union all select database_name, schema_name, table_name, column_name, comment from duckdb_columns()) "
        "where database_name = 'warehouse' and schema_name = 'marts' and comment is not null"
    ).fetchall():
        thing = f"snapshot.marts.{_identifier(table)}"
        thing = f"table {thing}" if column is None else f"column {thing}.{_identifier(column)}"
        con.execute(f"comment on {thing} is {_literal(comment)}")


def _copy_info(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"create table snapshot.marts.{SNAPSHOT_INFO} (input_sha256 varchar)")
    known = con.execute(
        "select count(*) from information_schema.tables "
        "where table_catalog = 'warehouse' and table_schema = 'raw' and table_name = 'input'"
    ).fetchone()
    source = "select input_sha256 from warehouse.raw.input" if known and known[0] else "select null"
    con.execute(f"insert into snapshot.marts.{SNAPSHOT_INFO} {source}")


def _remove(new: Path) -> None:
    for path in (new, new.with_name(new.name + ".wal")):
        with suppress(FileNotFoundError):
            path.unlink()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
