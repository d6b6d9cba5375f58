"""Files of a day: the same bytes every time, cut to the day, and never half of them in sight."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from assets.report import write
from assets.report.write import heal, keep_edition, write_report
from quality.schemas.marts import MARTS
from quality.units import sql_type_of

SHA = "ab" * 32


class DiskFull(OSError):
    """The fault that the failpoints raise."""


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _rows(path: Path, order: str) -> list[tuple]:
    return duckdb.connect().read_parquet(str(path)).order(order).fetchall()


def test_writes_page_json_and_every_mart(marts, day, tmp_path):
    files = write_report(marts, day, tmp_path / "reports", input_sha256=SHA)
    folder = tmp_path / "reports" / "2025-10-10"
    assert files.html == folder / "report.html"
    assert files.html_zh == folder / "report.zh.html"
    assert files.json == folder / "report.json"
    assert set(files.tables) == set(MARTS)
    assert set(_hashes(folder)) == {"report.html", "report.zh.html", "report.json"} | {
        f"tables/{n}.parquet" for n in MARTS
    }
    assert [p.name for p in (tmp_path / "reports").iterdir()] == ["2025-10-10"]


def test_same_marts_give_the_same_bytes_on_any_thread_count_and_order(make_marts, day, tmp_path):
    seen = []
    for turn, (threads, seed) in enumerate(((1, None), (2, 7), (8, 11), (8, 11))):
        write_report(make_marts(threads=threads, shuffle_seed=seed), day, tmp_path / str(turn), input_sha256=SHA)
        seen.append(_hashes(tmp_path / str(turn)))
    assert all(hashes == seen[0] for hashes in seen[1:])


def test_export_of_many_rows_is_the_same_bytes_on_any_thread_count(make_marts, day, tmp_path):
    """More than one row group, so that threads have something to race for."""
    con = make_marts(("BTC",))
    con.execute(
        "insert into marts.fct_funding_rates by name select 'i' || (i * 7919 % 250000) as instrument_id, 'v' as venue,"
        " 'BTC' as asset, timestamp '2025-10-10 08:00:00' as settled_at_utc, timestamp '2025-10-10 08:00:00' as occurred_at_utc,"
        " i / 3 as funding_rate_frac, 'unknown' as interval_origin, 'x' as source, false as is_synthetic"
        " from range(250000) as r(i)"
    )
    seen = set()
    for threads in (1, 2, 8):
        con.execute("set threads = ?", [threads])
        path = tmp_path / f"{threads}.parquet"
        write.export_mart(con, "fct_funding_rates", day, path)
        seen.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(seen) == 1


def test_tables_have_the_columns_and_types_of_the_contract(marts, day, tmp_path):
    files = write_report(marts, day, tmp_path, input_sha256=SHA)
    for name, path in files.tables.items():
        relation = duckdb.connect().read_parquet(str(path))
        assert tuple(relation.columns) == MARTS[name].columns
        for column, found in zip(relation.columns, relation.types, strict=True):
            assert str(found) == (sql_type_of(column) or "VARCHAR")


def test_tables_are_cut_to_the_day_and_ordered_by_grain(make_marts, insert, day, tmp_path):
    con = make_marts()
    for hour in (-1, 0, 23, 24):
        at = datetime(2025, 10, 10) + timedelta(hours=hour)
        insert(con, "fct_depth_hourly", instrument_id="edge", interval_start_utc=at, band_bps=100.0)
    for back in (0, 399, 400):
        insert(con, "fct_sentiment_daily", index_name="edge", sentiment_date_utc=day - timedelta(days=back))
    files = write_report(con, day, tmp_path, input_sha256=SHA)
    candles = _rows(files.tables["fct_candles_hourly"], "interval_start_utc")
    assert len(candles) == 1
    edge = duckdb.connect().read_parquet(str(files.tables["fct_depth_hourly"])).filter("instrument_id = 'edge'")
    assert [row[0].hour for row in edge.select("interval_start_utc").fetchall()] == [0, 23]
    slow = duckdb.connect().read_parquet(str(files.tables["fct_sentiment_daily"])).filter("index_name = 'edge'")
    assert [row[0] for row in slow.select("sentiment_date_utc").fetchall()] == [day - timedelta(days=399), day]
    prices = (
        duckdb.connect()
        .read_parquet(str(files.tables["fct_prices_hourly"]))
        .select("asset, interval_start_utc")
        .fetchall()
    )
    assert prices == sorted(prices)
    assert len(prices) == 2 * 23


def test_tables_of_an_empty_day_are_typed_and_empty(empty_marts, day, tmp_path):
    files = write_report(empty_marts, day, tmp_path, input_sha256="")
    relation = duckdb.connect().read_parquet(str(files.tables["fct_funding_daily"]))
    assert relation.fetchall() == []
    assert tuple(relation.columns) == MARTS["fct_funding_daily"].columns


def test_hostile_names_round_trip_through_parquet(make_marts, hostile_names, day, tmp_path):
    files = write_report(make_marts(hostile_names), day, tmp_path, input_sha256=SHA)
    found = duckdb.connect().read_parquet(str(files.tables["dim_assets"])).select("asset").fetchall()
    assert {row[0] for row in found} == set(hostile_names)


def test_second_report_replaces_the_first(make_marts, day, tmp_path):
    con = make_marts()
    first = write_report(con, day, tmp_path, input_sha256=SHA)
    before = first.json.read_bytes()
    (first.html.parent / "left.txt").write_text("from an older version")
    con.execute("update marts.fct_market_recaps_daily set close_quote = ?", [Decimal(77)])
    second = write_report(con, day, tmp_path, input_sha256=SHA)
    assert second.json.read_bytes() != before
    assert not (second.html.parent / "left.txt").exists()


def test_a_final_edition_is_written_once_and_a_preliminary_one_is_replaced(plain_pages, make_marts, day, tmp_path):
    con = make_marts(("BTC",))
    report = write_report(con, day, tmp_path, input_sha256=SHA).html.parent
    kept = {edition: keep_edition(report, edition) for edition in ("preliminary", "final")}
    first = _hashes(report)
    assert kept["final"] == tmp_path / "editions" / "2025-10-10" / "final"
    assert all(_hashes(folder) == first for folder in kept.values())
    con.execute("update marts.fct_market_recaps_daily set close_quote = ?", [Decimal(77)])
    write_report(con, day, tmp_path, input_sha256=SHA)
    for edition in kept:
        keep_edition(report, edition)
    assert _hashes(kept["final"]) == first
    assert _hashes(kept["preliminary"]) == _hashes(report) != first


def test_an_edition_of_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^edition 'late': one of preliminary, final$"):
        keep_edition(tmp_path, "late")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["copytree", "_sync", "rename"])
def test_a_crash_while_an_edition_is_kept_leaves_none_or_the_whole(
    plain_pages, make_marts, day, tmp_path, monkeypatch, step
):
    report = write_report(make_marts(("BTC",)), day, tmp_path, input_sha256=SHA).html.parent

    def fail(*_: object, **__: object) -> None:
        raise DiskFull(step)

    holder = {"copytree": write.shutil, "_sync": write, "rename": Path}[step]
    with monkeypatch.context() as faulty:
        faulty.setattr(holder, step, fail)
        with pytest.raises(DiskFull):
            keep_edition(report, "final")
    assert not (tmp_path / "editions" / "2025-10-10" / "final").exists()
    assert _hashes(keep_edition(report, "final")) == _hashes(report)
    assert [p.name for p in (tmp_path / "editions" / "2025-10-10").iterdir()] == ["final"]


STEPS = (
    "mkdir",
    "export_mart",
    "report_html",
    "report_json",
    "_sync",
    "rename-1",
    "rename-2",
    "_sync_folder",
    "rmtree",
)


@pytest.fixture
def plain_pages(monkeypatch):
    """Write pages without drawing: the bytes of a page do not matter to the swap, and drawing is slow."""
    monkeypatch.setattr(write, "report_html", lambda report, lang: f"{lang} {report.prices.rows}".encode())


@pytest.fixture(scope="module")
def changed_marts(make_marts):
    con = make_marts(("BTC",))
    con.execute("update marts.fct_market_recaps_daily set close_quote = ?", [Decimal(77)])
    return con


@pytest.mark.parametrize(
    ("step", "has_old"),
    [*((step, True) for step in STEPS), ("mkdir", False), ("export_mart", False), ("rename-1", False)],
)
def test_crash_at_any_step_leaves_the_old_or_the_new_report(
    marts, changed_marts, day, tmp_path, monkeypatch, plain_pages, step, has_old
):
    folder, final = tmp_path / "reports", tmp_path / "reports" / day.isoformat()
    old: dict[str, str] = {}
    if has_old:
        write_report(marts, day, folder, input_sha256=SHA)
        old = _hashes(final)
    with monkeypatch.context() as broken:
        _break(broken, step)
        with contextlib.suppress(DiskFull):
            write_report(changed_marts, day, folder, input_sha256=SHA)
    after_crash = _hashes(final)
    heal(folder)
    healed = _hashes(final)
    assert list(folder.glob(".*")) == []
    write_report(changed_marts, day, folder, input_sha256=SHA)
    new = _hashes(final)
    assert new != old
    # Between the two renames the day is out of sight for a moment; half of a report never is in sight.
    assert after_crash in ({}, old, new)
    assert healed in (old, new)


def _break(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_args, **_kwargs):
        raise DiskFull

    if step == "rmtree":
        monkeypatch.setattr(write.shutil, "rmtree", fail)
    elif step == "mkdir":
        monkeypatch.setattr(Path, "mkdir", fail)
    elif step.startswith("rename"):
        real, calls = Path.rename, []

        def rename(self, target):
            calls.append(target)
            if len(calls) == int(step[-1]):
                fail()
            return real(self, target)

        monkeypatch.setattr(Path, "rename", rename)
    else:
        monkeypatch.setattr(write, step, fail)


def test_heal_leaves_other_days_and_other_files_alone(tmp_path):
    other = tmp_path / "2025-10-09"
    other.mkdir()
    (other / "report.json").write_text("{}")
    (tmp_path / ".keep").write_text("")
    (tmp_path / ".2025-10-10.new").mkdir()
    heal(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".keep", "2025-10-09"]


def test_fault_of_a_mart_leaves_the_old_report(make_marts, day, tmp_path):
    con = make_marts(("BTC",))
    files = write_report(con, day, tmp_path, input_sha256=SHA)
    before = _hashes(tmp_path)
    con.execute("drop table marts.fct_funding_daily")
    with pytest.raises(ValueError, match="fct_funding_daily"):
        write_report(con, day, tmp_path, input_sha256=SHA)
    assert _hashes(tmp_path) == before
    assert files.html.exists()


def test_day_without_records_between_days_is_written_too(make_marts, tmp_path):
    files = write_report(make_marts(), date(2025, 12, 1), tmp_path, input_sha256=SHA)
    assert files.html.parent.name == "2025-12-01"
