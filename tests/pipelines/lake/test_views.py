"""Schema raw: typed views over exactly the files that the manifest names, and a hash of the content alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assets.ports import RawBatch, RawKey
from pipelines.lake import views
from pipelines.lake.manifest import LakeError
from pipelines.lake.store import Lake
from pipelines.lake.views import create_raw_views
from quality.schemas.raw import RAW_TABLES
from quality.tables import REJECTED_COLUMNS
from quality.units import sql_type_of

Candles = Callable[..., RawBatch]
LINEAGE = [
    ("source", "VARCHAR"),
    ("capture_date_utc", "DATE"),
    ("ingested_at_utc", "TIMESTAMP"),
    ("is_synthetic", "BOOLEAN"),
]


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), config={"threads": 2}) as opened:
        yield opened


def described(con: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in con.execute(f"describe raw.{name}").fetchall()]


def columns_of(name: str) -> list[tuple[str, str]]:
    def raw_type(column: str) -> str:
        sql = sql_type_of(column) or "VARCHAR"
        return "DOUBLE" if sql.startswith("DECIMAL") else sql

    return [(c, raw_type(c)) for c in RAW_TABLES[name].columns] + LINEAGE


BOOKS = {
    "manifest": [
        ("dataset", "VARCHAR"),
        ("venue", "VARCHAR"),
        ("source", "VARCHAR"),
        ("capture_date_utc", "DATE"),
        ("rows_count", "BIGINT"),
        ("quarantined_rows_count", "BIGINT"),
        ("ingested_at_utc", "TIMESTAMP"),
        ("is_synthetic", "BOOLEAN"),
    ],
    "outages": [
        ("dataset", "VARCHAR"),
        ("venue", "VARCHAR"),
        ("source", "VARCHAR"),
        ("capture_date_utc", "DATE"),
        ("reason", "VARCHAR"),
        ("is_synthetic", "BOOLEAN"),
    ],
    "quarantine": [
        ("dataset", "VARCHAR"),
        ("venue", "VARCHAR"),
        ("source", "VARCHAR"),
        ("capture_date_utc", "DATE"),
        ("row_count", "BIGINT"),
        ("field", "VARCHAR"),
        ("reason", "VARCHAR"),
        ("record_json", "VARCHAR"),
        ("is_synthetic", "BOOLEAN"),
    ],
}


@pytest.mark.parametrize("is_filled", [False, True])
def test_relations_have_the_same_types_empty_and_filled(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, is_filled: bool
) -> None:
    if is_filled:
        lake.commit([candles(refused=1)])
        lake.record_outage(RawKey("candles", "bybit", "ccxt", date(2026, 1, 1)), "banned", "", is_synthetic=False)
    create_raw_views(con, lake)
    for name in RAW_TABLES:
        assert described(con, name) == columns_of(name)
    for name, columns in BOOKS.items():
        assert described(con, name) == columns
    filled = 1 if is_filled else 0
    for name, rows in (
        ("candles", 3 * filled),
        ("instruments", 0),
        ("manifest", filled),
        ("outages", filled),
        ("quarantine", filled),
    ):
        assert con.execute(f"select count(*) from raw.{name}").fetchone() == (rows,)


def test_all_venues_and_sources_stand_together_with_their_lineage(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, clock
) -> None:
    lake.commit([candles(refused=2), candles(source="archive", close=50.0)])
    later = clock.tick()
    lake.commit([candles(venue="bybit", day=date(2026, 1, 2), is_synthetic=True, refused=1)])
    create_raw_views(con, lake)
    rows = con.execute(
        "select venue, source, capture_date_utc, ingested_at_utc, is_synthetic, count(*), min(open_quote) from raw.candles "
        "group by all order by all"
    ).fetchall()
    first = datetime(2026, 1, 5, 12)
    assert rows == [
        ("binance", "archive", date(2026, 1, 1), first, False, 3, 50.0),
        ("binance", "ccxt", date(2026, 1, 1), first, False, 3, 100.0),
        ("bybit", "ccxt", date(2026, 1, 2), later, True, 3, 100.0),
    ]
    refused = con.execute(
        "select venue, row_count, field, reason, is_synthetic from raw.quarantine order by all"
    ).fetchall()
    assert refused == [
        ("binance", 1, "open_quote", "not_a_number", False),
        ("binance", 2, "open_quote", "not_a_number", False),
        ("bybit", 1, "open_quote", "not_a_number", True),
    ]
    assert con.execute(
        "select venue, source, rows_count, quarantined_rows_count from raw.manifest order by all"
    ).fetchall() == [
        ("binance", "archive", 3, 0),
        ("binance", "ccxt", 3, 2),
        ("bybit", "ccxt", 3, 1),
    ]


def test_views_show_the_current_generation_or_the_one_of_an_instant(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, clock
) -> None:
    lake.commit([candles(close=100.0)])
    then = clock.now()
    clock.tick()
    lake.commit([candles(close=200.0)])
    lake.record_outage(RawKey("candles", "okx", "ccxt", date(2026, 1, 1)), "geoblocked", "", is_synthetic=False)
    now_hash = create_raw_views(con, lake)
    assert con.execute("select distinct open_quote from raw.candles").fetchall() == [(200.0,)]
    assert con.execute("select venue, reason from raw.outages").fetchall() == [("okx", "geoblocked")]
    then_hash = create_raw_views(con, lake, as_of=then)
    assert con.execute("select distinct open_quote from raw.candles").fetchall() == [(100.0,)]
    assert con.execute("select count(*) from raw.outages").fetchone() == (0,)
    assert now_hash != then_hash
    assert con.execute("select input_sha256 from raw.input").fetchall() == [(then_hash,)]


def test_hash_says_what_is_there_and_not_when_it_came(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, clock, tmp_path: Path
) -> None:
    batches = [candles(), candles(venue="bybit", refused=1)]
    outage = RawKey("candles", "okx", "ccxt", date(2026, 1, 1))
    lake.commit(batches)
    lake.record_outage(outage, "banned", "first", is_synthetic=False)
    first = create_raw_views(con, lake)
    clock.tick(days=3)
    lake.commit(list(reversed(batches)))
    lake.record_outage(outage, "banned", "second", is_synthetic=False)
    assert create_raw_views(con, lake) == first
    elsewhere = Lake(tmp_path / "other", clock=clock, code_version="2.0")
    elsewhere.record_outage(outage, "banned", "", is_synthetic=False)
    elsewhere.commit(list(reversed(batches)))
    assert create_raw_views(con, elsewhere) == first


@pytest.mark.parametrize("what", ["rows", "refused", "outage", "code", "origin", "key"])
def test_hash_changes_with_anything_that_matters(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, what: str
) -> None:
    outage = RawKey("candles", "okx", "ccxt", date(2026, 1, 1))
    lake.commit([candles(refused=1)])
    lake.record_outage(outage, "banned", "", is_synthetic=False)
    before = create_raw_views(con, lake)
    if what == "outage":
        lake.record_outage(replace(outage, day=date(2026, 1, 2)), "banned", "", is_synthetic=False)
    elif what == "code":
        lake.record_outage(outage, "geoblocked", "", is_synthetic=False)
    else:
        change = {
            "rows": {"refused": 1, "close": 7.0},
            "refused": {"refused": 2},
            "origin": {"refused": 1, "is_synthetic": True},
            "key": {"refused": 1, "source": "archive"},
        }[what]
        lake.commit([candles(**change)])
    assert create_raw_views(con, lake) != before


def test_earlier_schema_raw_is_replaced_whatever_it_held(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles
) -> None:
    con.execute("create schema raw; create table raw.candles (x int); create table raw.left_over (x int)")
    con.execute("create schema staging; create view staging.c as select * from raw.candles")
    lake.commit([candles()])
    create_raw_views(con, lake)
    create_raw_views(con, lake)
    names = {
        n
        for (n,) in con.execute(
            "select table_name from information_schema.tables where table_schema = 'raw'"
        ).fetchall()
    }
    assert names == {*RAW_TABLES, *BOOKS, "input", "manifest_files"}


def test_failure_leaves_the_earlier_views(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.commit([candles()])
    before = create_raw_views(con, lake)
    monkeypatch.setattr(views, "_quarantine_view", lambda _: "create view raw.quarantine as select no_such_column")
    with pytest.raises(duckdb.Error):
        create_raw_views(con, lake)
    assert con.execute("select input_sha256 from raw.input").fetchall() == [(before,)]
    assert con.execute("select count(*) from raw.candles").fetchone() == (3,)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "quarantine"])
def test_damaged_file_stops_before_any_view(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, damage: str
) -> None:
    (generation,) = lake.commit([candles(refused=1)])
    path = generation.quarantine_path if damage == "quarantine" else generation.path
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(whole[:-10])
    else:
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(LakeError, match="land the day again") as caught:
        create_raw_views(con, lake)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("folder", ["data[1]", "what?", "star*", "it's", 'quo"te', "a b", "币", "$1", "%s", "{x}"])
def test_any_folder_name_will_do(
    con: duckdb.DuckDBPyConnection, candles: Candles, clock, tmp_path: Path, folder: str
) -> None:
    # A neighbour that a pattern would also match must not be read.
    for name in (folder, "data1", "what1", "starry"):
        close = 100.0 if name == folder else 666.0
        Lake(tmp_path / name, clock=clock, code_version="1").commit([candles(close=close, refused=1)])
    create_raw_views(con, Lake(tmp_path / folder, clock=clock, code_version="1"))
    assert con.execute("select distinct open_quote from raw.candles").fetchall() == [(100.0,)]
    assert con.execute("select count(*) from raw.candles").fetchone() == (3,)
    assert con.execute("select count(*) from raw.quarantine").fetchone() == (1,)


def test_older_layout_is_cast_in_one_place(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of version 1 beside files of version 2 whose volume had meant thousands."""
    lake.commit([candles()])
    newer = replace(RAW_TABLES["candles"], schema_version=2)
    monkeypatch.setitem(RAW_TABLES, "candles", newer)
    monkeypatch.setitem(views._COLUMN_OF_VERSION, ("candles", 1, "volume_base"), "volume_base * 1000")
    lake.commit([candles(day=date(2026, 1, 2))])
    create_raw_views(con, lake)
    assert con.execute(
        "select capture_date_utc, max(volume_base) from raw.candles group by 1 order by 1"
    ).fetchall() == [
        (date(2026, 1, 1), 1500.0),
        (date(2026, 1, 2), 1.5),
    ]
    assert described(con, "candles") == columns_of("candles")


def test_layout_of_newer_code_is_refused(
    con: duckdb.DuckDBPyConnection, lake: Lake, candles: Candles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setitem(RAW_TABLES, "candles", replace(RAW_TABLES["candles"], schema_version=9))
        lake.commit([candles()])
    with pytest.raises(LakeError, match="update Lowtide"):
        create_raw_views(con, lake)


def test_depth_bands_of_version_1_have_no_mean_prices(
    con: duckdb.DuckDBPyConnection, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = RAW_TABLES["depth_bands"]
    added = ("bid_mean_quote", "ask_mean_quote")
    old = replace(
        table, fields=tuple(f for f in table.fields if f.name not in added), rules=(), group_rules=(), schema_version=1
    )
    at, none_refused = datetime(2026, 1, 1, 5), pl.DataFrame(schema=REJECTED_COLUMNS)
    row = ("binance", "BTCUSDT", "BTC", at, 100.0, 25.0, 7.0, None, "0" * 64)
    book = pl.DataFrame([row], schema=old.raw_schema, orient="row")
    with monkeypatch.context() as before:
        before.setitem(RAW_TABLES, "depth_bands", old)
        lake.commit([RawBatch(RawKey("depth_bands", "binance", "ccxt", at.date()), book, none_refused)])
    newer = pl.DataFrame([(*row[:4], None, *row[5:8], 99.0, None, row[8])], schema=table.raw_schema, orient="row")
    lake.commit([RawBatch(RawKey("depth_bands", "binance", "binance_archive", at.date()), newer, none_refused)])
    create_raw_views(con, lake)
    assert con.execute(
        "select source, mid_quote, bid_depth_base, bid_mean_quote, ask_mean_quote from raw.depth_bands order by source"
    ).fetchall() == [("binance_archive", None, 7.0, 99.0, None), ("ccxt", 100.0, 7.0, None, None)]
    assert described(con, "depth_bands") == columns_of("depth_bands")
