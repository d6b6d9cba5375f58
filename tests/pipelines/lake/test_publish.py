"""The published snapshot: marts only, whole or not at all, closed to everything but reading."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pipelines.lake import publish as module
from pipelines.lake.publish import PublishRefused, open_published, publish

READER = """
import json, sys
from pathlib import Path
from pipelines.lake.publish import open_published

path, reads = Path(sys.argv[1]), int(sys.argv[2])
errors, mixed, seen = [], 0, []
print("ready", flush=True)
for _ in range(reads):
    try:
        con = open_published(path, threads=1)
        try:
            marks = con.execute(
                "select mark from dim_assets union all select mark from fct_one union all select mark from fct_two "
                "union all select cast(input_sha256 as int) from snapshot_info"
            ).fetchall()
        finally:
            con.close()
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
        continue
    marks = {m for (m,) in marks}
    mixed += len(marks) != 1
    seen += sorted(marks)
print(json.dumps({"errors": errors[:5], "errors_count": len(errors), "mixed": mixed, "distinct": len(set(seen)), "ordered": seen == sorted(seen)}))
"""


def build(warehouse: Path, mark: int, rows: int = 5) -> None:
    """Make a warehouse whose marts all carry one mark."""
    warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(warehouse)) as con:
        con.execute("create schema marts; create schema raw; create schema staging")
        con.execute(f"create table raw.input as select '{mark}' as input_sha256")
        con.execute("create table raw.secret as select '/home/somebody/lake' as path")
        con.execute(
            f"create table marts.dim_assets as select 'A' || (9 - i) as asset, {mark} as mark from range({rows}) t(i)"
        )
        con.execute(f"create table marts.fct_one as select {rows} - i as n, {mark} as mark from range({rows}) t(i)")
        con.execute(f"create view marts.fct_two as select {mark} as mark")
        con.execute("comment on table marts.dim_assets is 'Assets. It''s one row per asset.'")
        con.execute("comment on column marts.dim_assets.asset is 'Base asset'")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    build(tmp_path / "warehouse.duckdb", 1)
    publish(tmp_path / "warehouse.duckdb", tmp_path / "published" / "lowtide.duckdb")
    return tmp_path / "published" / "lowtide.duckdb"


def test_snapshot_has_marts_in_order_their_comments_and_the_input(tmp_path: Path) -> None:
    build(tmp_path / "warehouse.duckdb", 7)
    target = tmp_path / "published" / "lowtide.duckdb"
    result = publish(tmp_path / "warehouse.duckdb", target)
    assert result.path == target
    assert result.tables == {"dim_assets": 5, "fct_one": 5, "fct_two": 1}
    assert list(result.tables) == sorted(result.tables)
    assert sorted(p.name for p in target.parent.iterdir()) == ["lowtide.duckdb"]
    with open_published(target) as con:
        assert con.execute("select distinct table_schema from information_schema.tables").fetchall() == [("marts",)]
        # dim_assets by its grain, fct_one (no table of ours) by all columns.
        assert con.execute("select asset from dim_assets").fetchall() == [("A5",), ("A6",), ("A7",), ("A8",), ("A9",)]
        assert con.execute("select n from fct_one").fetchall() == [(1,), (2,), (3,), (4,), (5,)]
        assert con.execute("select input_sha256 from snapshot_info").fetchall() == [("7",)]
        assert con.execute("select comment from duckdb_tables() where table_name = 'dim_assets'").fetchall() == [
            ("Assets. It's one row per asset.",)
        ]
        comments = con.execute(
            "select column_name, comment from duckdb_columns() where table_name = 'dim_assets'"
        ).fetchall()
        assert ("asset", "Base asset") in comments


def test_warehouse_without_input_publishes_a_missing_hash(tmp_path: Path) -> None:
    build(tmp_path / "warehouse.duckdb", 1)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:
        con.execute("drop schema raw cascade")
    publish(tmp_path / "warehouse.duckdb", tmp_path / "lowtide.duckdb")
    with open_published(tmp_path / "lowtide.duckdb") as con:
        assert con.execute("select input_sha256 from snapshot_info").fetchall() == [(None,)]


def test_rubbish_of_a_stopped_publish_does_not_matter(published: Path, tmp_path: Path) -> None:
    published.with_name("lowtide.duckdb.new").write_bytes(b"half a file")
    published.with_name("lowtide.duckdb.new.wal").write_bytes(b"half a log")
    build(tmp_path / "warehouse.duckdb", 2)
    publish(tmp_path / "warehouse.duckdb", published)
    assert [p.name for p in published.parent.iterdir()] == ["lowtide.duckdb"]
    with open_published(published) as con:
        assert con.execute("select distinct mark from fct_one").fetchall() == [(2,)]


@pytest.mark.parametrize("case", ["missing", "empty", "no_duckdb", "failing_copy"])
def test_refused_publish_leaves_the_earlier_snapshot(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    before = published.read_bytes()
    warehouse = tmp_path / f"{case}.duckdb"
    if case == "empty":
        duckdb.connect(str(warehouse)).close()
    elif case == "no_duckdb":
        warehouse.write_bytes(b"x" * 5000)
    elif case == "failing_copy":
        build(warehouse, 3)

        def fails(*_: object) -> int:
            raise duckdb.IOException("IO Error: No space left on device")

        monkeypatch.setattr(module, "_copy_table", fails)
    with pytest.raises(PublishRefused, match=case) as caught:
        publish(warehouse, published)
    assert "\n" not in str(caught.value)
    assert published.read_bytes() == before
    assert [p.name for p in published.parent.iterdir()] == ["lowtide.duckdb"]


def test_warehouse_that_is_being_written_is_refused(published: Path, tmp_path: Path) -> None:
    build(tmp_path / "warehouse.duckdb", 2)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")), pytest.raises(PublishRefused, match="cannot be published"):
        publish(tmp_path / "warehouse.duckdb", published)
    with open_published(published) as con:
        assert con.execute("select distinct mark from fct_one").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from glob('/*')",
        "select * from '/etc/passwd'",
        "copy (select 1) to '{tmp}/out.csv'",
        "export database '{tmp}/out'",
        "attach '{tmp}/other.duckdb' as other",
        "attach '{warehouse}' as warehouse",
        "install httpfs",
        "load httpfs",
        "select * from read_parquet('https://example.com/x.parquet')",
        "create table marts.mine (x int)",
        "drop table marts.fct_one",
        "update marts.fct_one set mark = 2",
        "delete from marts.fct_one",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "set threads = 64",
        "pragma memory_limit = '1TB'",
        "set temp_directory = '/'",
    ],
)
def test_reader_can_read_and_nothing_else(published: Path, tmp_path: Path, statement: str) -> None:
    with open_published(published) as con:
        with pytest.raises(duckdb.Error):
            con.execute(statement.format(tmp=tmp_path, warehouse=tmp_path / "warehouse.duckdb"))
        assert con.execute("select count(*) from fct_one").fetchone() == (5,)
        assert con.execute("select count(*) from marts.fct_one").fetchone() == (5,)


def test_two_readers_of_one_process_share_the_snapshot(published: Path) -> None:
    with open_published(published, threads=1) as one, open_published(published, threads=1) as two:
        assert (
            one.execute("select count(*) from fct_one").fetchone()
            == two.execute("select count(*) from fct_one").fetchone()
        )


def test_missing_or_damaged_snapshot_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="nothing has been published yet"):
        open_published(tmp_path / "none.duckdb")
    (tmp_path / "bad.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(PublishRefused, match="cannot be opened") as caught:
        open_published(tmp_path / "bad.duckdb")
    assert "\n" not in str(caught.value)


def test_reader_that_holds_the_old_file_keeps_it(published: Path, tmp_path: Path) -> None:
    with open_published(published) as old:
        build(tmp_path / "warehouse.duckdb", 2)
        publish(tmp_path / "warehouse.duckdb", published)
        assert old.execute("select distinct mark from fct_one").fetchall() == [(1,)]
    with open_published(published) as new:
        assert new.execute("select distinct mark from fct_one").fetchall() == [(2,)]


@pytest.mark.timeout(7200)
@pytest.mark.trial("reads_during_publishes")
def test_readers_see_no_error_and_no_mixture_while_snapshots_are_swapped(
    published: Path, tmp_path: Path, trial_count: Callable[[int], int]
) -> None:
    reads = trial_count(10_000)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(published), str(reads)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert reader.stdout is not None
    try:
        assert reader.stdout.readline().strip() == "ready"
        publishes = 0
        while publishes < 3 or reader.poll() is None:
            build(tmp_path / "warehouse.duckdb", publishes + 2)
            publish(tmp_path / "warehouse.duckdb", published)
            publishes += 1
        said = json.loads(reader.stdout.read())
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()
    assert said["errors_count"] == 0, said["errors"]
    assert said["mixed"] == 0
    assert said["ordered"]
    assert said["distinct"] >= 2
