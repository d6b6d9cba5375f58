"""Imports of files: what lands, under which key, counted to the last row; bad rows aside, bad files refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.ports import RawKey
from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sources.files import imports as module
from pipelines.sources.files.imports import ImportRefused, ImportSummary, Mapping, import_files

NOW = datetime(2026, 1, 10, 12)
CLOCK = FixedClock(NOW)
HEADER = "time,venue,coin,o,h,l,c,v"


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", clock=CLOCK, code_version="1.0")


def candle_rule(**changes: Any) -> dict[str, Any]:
    columns = {
        "venue": "venue",
        "asset": "coin",
        "venue_symbol": {"by": ["venue"], "choose": {"okx": "{asset}-USDT-SWAP", "default": "{asset}USDT"}},
        "price_kind": {"value": "trade"},
        "interval_start_utc": {"column": "time", "clock": "iso"},
        "interval_end_utc": {"after": "interval_start_utc", "hours": 1},
        "open_quote": "o",
        "high_quote": "h",
        "low_quote": "l",
        "close_quote": "c",
        "volume_base": {
            "column": "v",
            "scale": {"by": ["venue", "asset"], "choose": {"okx/BTC": 0.01, "okx": 1, "default": 1}},
        },
    }
    rule = {"files": "*.csv", "dataset": "candles", "format": "csv", "columns": columns | changes.pop("columns", {})}
    return rule | changes


def mapping_of(*rules: dict[str, Any], **changes: Any) -> Mapping:
    return Mapping.model_validate({"name": "mine", "files": list(rules)} | changes)


CANDLES = mapping_of(candle_rule())


def csv_of(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def hour(i: int, *, day: int = 1, venue: str = "binance", coin: str = "BTC", **cells: str) -> str:
    row = {
        "time": f"2026-01-{day:02d}T{i:02d}:00:00Z",
        "venue": venue,
        "coin": coin,
        "o": "100",
        "h": "110",
        "l": "90",
        "c": "105",
        "v": "7.5",
    }
    return ",".join((row | cells).values())


def write(folder: Path, name: str, text: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def run(lake: Lake, folder: Path, mapping: Mapping = CANDLES) -> ImportSummary:
    summary = import_files(mapping, folder, lake, CLOCK)
    for f in summary.files:
        assert f.rows_read == f.landed + f.quarantined_rows + f.skipped
    assert lake.verify() == []
    return summary


def landed_rows(lake: Lake) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(g.path) for g in lake.current() if g.path is not None])


def refused_rows(lake: Lake) -> list[dict[str, Any]]:
    rows = [
        r for g in lake.current() if g.quarantine_path for r in pl.read_parquet(g.quarantine_path).iter_rows(named=True)
    ]
    return [r | {"record": json.loads(r["record_json"])} for r in rows]


# -- what lands


def test_rows_land_by_venue_and_utc_day(lake: Lake, tmp_path: Path) -> None:
    text = csv_of(
        hour(0), hour(1), hour(23, day=2), hour(0, venue="okx", v="250"), hour(5, venue="okx", coin="SOL", v="250")
    )
    path = write(tmp_path / "in", "my candles.csv", text)
    summary = run(lake, tmp_path / "in")
    assert (summary.rows_read, summary.landed, summary.quarantined_rows, summary.skipped) == (5, 5, 0, 0)
    assert summary.files[0].days == 2
    keys = {g.key: g.rows_count for g in lake.current()}
    assert keys == {
        RawKey("candles", "binance", "mine", date(2026, 1, 1)): 2,
        RawKey("candles", "binance", "mine", date(2026, 1, 2)): 1,
        RawKey("candles", "okx", "mine", date(2026, 1, 1)): 2,
    }
    rows = landed_rows(lake).sort("venue", "venue_symbol", "interval_start_utc")
    assert rows["venue_symbol"].to_list() == ["BTCUSDT"] * 3 + ["BTC-USDT-SWAP", "SOL-USDT-SWAP"]
    assert rows["volume_base"].to_list() == [7.5, 7.5, 7.5, 2.5, 250.0]
    assert rows["interval_end_utc"][0] == datetime(2026, 1, 1, 1)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(rows["payload_sha256"]) == {sha256}
    generation = lake.current()[0]
    assert generation.payloads == (sha256,)
    assert generation.origin_note == "import of my candles.csv"
    assert lake.payload(sha256) == path.read_bytes()
    assert summary.lines() == [
        "my candles.csv -> candles: 5 rows read, 5 landed on 2 days, 0 quarantined, 0 skipped as blank"
    ]


def test_import_twice_is_the_same_content(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0), hour(1), hour(2, o="-1")))
    run(lake, tmp_path / "in")
    first = [(g.key, g.sha256, g.quarantine_path) for g in lake.current()]
    run(lake, tmp_path / "in")
    assert [(g.key, g.sha256, g.quarantine_path) for g in lake.current()] == first


def test_killed_import_is_healed_by_running_it_again(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEYS_PER_COMMIT", 1)
    write(tmp_path / "in", "a.csv", csv_of(*(hour(0, day=d) for d in range(1, 6))))
    real, calls = lake.commit, 0

    def dies(batches: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(batches)

    monkeypatch.setattr(lake, "commit", dies)
    with pytest.raises(KeyboardInterrupt):
        import_files(CANDLES, tmp_path / "in", lake, CLOCK)
    assert len(lake.current()) == 2
    monkeypatch.setattr(lake, "commit", real)
    run(lake, tmp_path / "in")
    assert [g.rows_count for g in lake.current()] == [1] * 5


@pytest.mark.parametrize(
    "form", ["csv", "csv.gz", "parquet", "bom", "crlf", "no_newline", "blank_lines", "semicolon", "quoted"]
)
def test_forms_of_the_same_rows_land_the_same(lake: Lake, tmp_path: Path, form: str) -> None:
    text = csv_of(hour(0), hour(1))
    rule = candle_rule(files="rows.*")
    body = {
        "csv.gz": gzip.compress(text.encode()),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "crlf": text.replace("\n", "\r\n").encode(),
        "no_newline": text.rstrip("\n").encode(),
        "blank_lines": text.replace("\n", "\n\n\n").encode(),
        "semicolon": text.replace(",", ";").encode(),
        "quoted": text.replace("binance", '"binance"').encode(),
    }.get(form, text.encode())
    if form == "semicolon":
        rule["delimiter"] = ";"
    if form == "csv.gz":
        rule["format"] = "csv.gz"
    if form == "parquet":
        rule["format"] = "parquet"
        buffer = io.BytesIO()
        pl.read_csv(io.StringIO(text), try_parse_dates=True).write_parquet(buffer)
        body = buffer.getvalue()
    write(tmp_path / "in", "rows.x", body)
    run(lake, tmp_path / "in", mapping_of(rule))
    rows = landed_rows(lake)
    assert rows["interval_start_utc"].to_list() == [datetime(2026, 1, 1, 0), datetime(2026, 1, 1, 1)]
    assert rows["close_quote"].to_list() == [105.0, 105.0]
    assert rows["venue"].to_list() == ["binance", "binance"]


@pytest.mark.parametrize(
    ("clock", "cell"),
    [
        ("iso", "2026-01-01T05:00:00Z"),
        ("iso", "2026-01-01 05:00:00"),
        ("iso", "2026-01-01T05:00"),
        ("iso", " 2026-01-01T07:00:00+02:00 "),
        ("iso", "2026-01-01T00:00:00.000-0500"),
        ("iso", "2026-01-01 05:00:00.000000+00:00"),
        ("epoch_s", "1767243600"),
        ("epoch_s", "1767243600.0"),
        ("epoch_ms", "1767243600000"),
        ("epoch_ms", "1.7672436e12"),
        ("epoch_us", "1767243600000000"),
    ],
)
def test_clocks_become_utc(lake: Lake, tmp_path: Path, clock: str, cell: str) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0, time=cell)))
    rule = candle_rule(columns={"interval_start_utc": {"column": "time", "clock": clock}})
    run(lake, tmp_path / "in", mapping_of(rule))
    assert landed_rows(lake)["interval_start_utc"].to_list() == [datetime(2026, 1, 1, 5)]


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parquet_instants_know_their_own_clock(lake: Lake, tmp_path: Path, zone: str | None, unit: str) -> None:
    frame = pl.read_csv(io.StringIO(csv_of(hour(5)))).with_columns(
        pl.lit(datetime(2026, 1, 1, 5))
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(zone or "UTC")
        .dt.cast_time_unit(unit)
        .alias("time")
    )
    if zone is None:
        frame = frame.with_columns(pl.col("time").dt.replace_time_zone(None))
    (tmp_path / "in").mkdir()
    frame.write_parquet(tmp_path / "in" / "a.parquet")
    run(lake, tmp_path / "in", mapping_of(candle_rule(files="a.parquet", format="parquet")))
    assert landed_rows(lake)["interval_start_utc"].to_list() == [datetime(2026, 1, 1, 5)]


@pytest.mark.parametrize("instant_us", [2**63 - 1, -(2**63) + 1, 2**62])
def test_an_instant_that_no_calendar_holds_is_refused_and_shown_as_its_number(
    lake: Lake, tmp_path: Path, instant_us: int
) -> None:
    frame = pl.read_csv(io.StringIO(csv_of(hour(5)))).with_columns(
        pl.lit(instant_us, pl.Int64).cast(pl.Datetime("us")).alias("time")
    )
    (tmp_path / "in").mkdir()
    frame.write_parquet(tmp_path / "in" / "a.parquet")
    run(lake, tmp_path / "in", mapping_of(candle_rule(files="a.parquet", format="parquet")))
    (row,) = refused_rows(lake)
    assert row["field"] == "interval_start_utc"
    assert row["record"]["cells"]["time"] == str(instant_us)


def test_snapshot_datasets_stand_under_the_capture_day_as_one_key(lake: Lake, tmp_path: Path) -> None:
    rule = {
        "files": "[A-Z]*.csv",
        "dataset": "macro_observations",
        "format": "csv",
        "skip_where_blank": ["value"],
        "columns": {
            "venue": {"value": "fred"},
            "series_id": {"file_stem": True},
            "observation_date_utc": {"column": "date", "clock": "date"},
            "vintage_date_utc": {"capture_day": True},
            "vintage_origin": {"value": "captured"},
            "value_native": "value",
            "unit": {"by": ["series_id"], "choose": {"DGS2": "percent", "VIXCLS": "index"}},
        },
    }
    write(tmp_path / "in", "DGS2.csv", "date,value\n2025-12-30,\n2025-12-31,3.5\n2026-01-02, \n")
    write(tmp_path / "in", "VIXCLS.csv", "date,value\n2025-12-31,17.2\n")
    write(tmp_path / "in", "ODD.csv", "date,value\n2025-12-31,1\n")
    summary = run(lake, tmp_path / "in", mapping_of(rule))
    (generation,) = lake.current()
    assert generation.key == RawKey("macro_observations", "fred", "mine", NOW.date())
    assert (generation.rows_count, generation.quarantined_rows_count) == (2, 1)
    assert len(generation.payloads) == 3
    rows = landed_rows(lake)
    assert rows.select("series_id", "value_native", "unit").rows() == [
        ("DGS2", 3.5, "percent"),
        ("VIXCLS", 17.2, "index"),
    ]
    assert set(rows["vintage_date_utc"]) == {NOW.date()}
    assert {f.file: (f.landed, f.quarantined_rows, f.skipped) for f in summary.files} == {
        "DGS2.csv": (1, 0, 2),
        "VIXCLS.csv": (1, 0, 0),
        "ODD.csv": (0, 1, 0),
    }
    (refused,) = refused_rows(lake)
    assert (refused["field"], refused["reason"], refused["record"]["file"]) == ("unit", "not_in_mapping", "ODD.csv")


def test_files_without_a_rule_are_left_alone_and_named(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0)))
    write(tmp_path / "in", "liquidations.parquet", b"x")
    summary = run(lake, tmp_path / "in")
    assert summary.ignored_files == ("liquidations.parquet",)
    assert "left alone: liquidations.parquet" in summary.lines()[-1]


def test_single_file_is_imported_without_its_folder(lake: Lake, tmp_path: Path) -> None:
    mapping = mapping_of(candle_rule(files="a.csv"), candle_rule(files="b.csv"))
    path = write(tmp_path / "in", "a.csv", csv_of(hour(0)))
    assert run(lake, path, mapping).landed == 1
    with pytest.raises(ImportRefused, match="does not fit mapping mine"):
        import_files(mapping, write(tmp_path / "in", "c.csv", csv_of(hour(0))), lake, CLOCK)


def test_one_file_may_fill_two_datasets(lake: Lake, tmp_path: Path) -> None:
    funding = {
        "files": "*.csv",
        "dataset": "funding_rates",
        "format": "csv",
        "columns": {
            "venue": "venue",
            "asset": "coin",
            "venue_symbol": {"by": ["venue"], "choose": {"default": "{asset}USDT"}},
            "occurred_at_utc": {"column": "time"},
            "funding_rate_frac": {"column": "f", "scale": 0.01},
        },
    }
    write(tmp_path / "in", "a.csv", csv_of(hour(0) + ",0.01", header=HEADER + ",f"))
    summary = run(lake, tmp_path / "in", mapping_of(candle_rule(), funding))
    assert [(f.dataset, f.landed) for f in summary.files] == [("candles", 1), ("funding_rates", 1)]


def test_larger_files_are_named_by_hash_only(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAYLOAD_LIMIT_BYTES", 10)
    path = write(tmp_path / "in", "a.csv", csv_of(hour(0)))
    run(lake, tmp_path / "in")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert lake.current()[0].payloads == (sha256,)
    assert lake.payload(sha256) is None


def test_progress_is_told(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0)))
    told: list[tuple[str, int, int]] = []
    import_files(CANDLES, tmp_path / "in", lake, CLOCK, lambda *step: told.append(step))
    assert told[0] == ("reading a.csv", 0, 1)
    assert told[-1] == ("landed", 1, 1)
    assert all(0 <= done <= total for _, done, total in told)


def test_import_with_fewer_rows_of_a_day_says_so(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0), hour(1)))
    assert run(lake, tmp_path / "in").shrunk_keys == ()
    write(tmp_path / "in", "a.csv", csv_of(hour(0, coin="ETH")))
    summary = run(lake, tmp_path / "in")
    assert summary.shrunk_keys == (RawKey("candles", "binance", "mine", date(2026, 1, 1)),)
    assert "fewer rows than before" in summary.lines()[-1]


def test_refused_rows_of_an_unknown_day_do_not_empty_the_capture_day(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(3, day=10), hour(4, day=10)))
    run(lake, tmp_path / "in")
    write(tmp_path / "in", "a.csv", csv_of(hour(0), hour(1, time="yesterday")))
    run(lake, tmp_path / "in")
    today = next(g for g in lake.current() if g.key.day == NOW.date())
    assert (today.rows_count, today.quarantined_rows_count) == (2, 1)


# -- rows that are refused

BAD_ROWS: dict[str, tuple[dict[str, str], str, str]] = {
    "text for a price": ({"o": "abc"}, "open_quote", "not_a_number"),
    "comma decimals": ({"o": '"1,5"'}, "open_quote", "not_a_number"),
    "thousands": ({"o": '"1,500.0"'}, "open_quote", "not_a_number"),
    "currency": ({"o": "$100"}, "open_quote", "not_a_number"),
    "hexadecimal": ({"o": "0x64"}, "open_quote", "not_a_number"),
    "underscores": ({"o": "1_00"}, "open_quote", "not_a_number"),
    "arabic digits": ({"o": "١٠٠"}, "open_quote", "not_a_number"),
    "two numbers": ({"o": "100 101"}, "open_quote", "not_a_number"),
    "null word": ({"o": "null"}, "open_quote", "not_a_number"),
    "script": ({"o": "<script>alert(1)</script>"}, "open_quote", "not_a_number"),
    "formula": ({"o": "=1+1"}, "open_quote", "not_a_number"),
    "nul byte": ({"o": "1\x002"}, "open_quote", "not_a_number"),
    "NaN": ({"o": "NaN"}, "open_quote", "not_finite"),
    "inf": ({"o": "inf"}, "open_quote", "not_finite"),
    "minus inf": ({"v": "-inf"}, "volume_base", "not_finite"),
    "overflow": ({"o": "1e999"}, "open_quote", "not_finite"),
    "blank price": ({"o": ""}, "open_quote", "missing_value"),
    "spaces for a price": ({"o": "   "}, "open_quote", "missing_value"),
    "zero price": ({"o": "0"}, "open_quote", "not_positive"),
    "negative price": ({"l": "-5"}, "low_quote", "not_positive"),
    "negative volume": ({"v": "-1"}, "volume_base", "negative"),
    "high below low": ({"h": "50", "l": "90", "o": "45", "c": "45"}, "high_quote", "high_below_low"),
    "high below close": ({"h": "101"}, "high_quote", "high_below_body"),
    "low above open": ({"l": "101"}, "low_quote", "low_above_body"),
    "no date": ({"time": "yesterday"}, "interval_start_utc", "not_a_date"),
    "blank date": ({"time": ""}, "interval_start_utc", "missing_value"),
    "day that never was": ({"time": "2026-02-30T00:00:00Z"}, "interval_start_utc", "not_a_date"),
    "hour 25": ({"time": "2026-01-01T25:00:00Z"}, "interval_start_utc", "not_a_date"),
    "American date": ({"time": "01/31/2026"}, "interval_start_utc", "not_a_date"),
    "two dates": ({"time": "2026-01-01T00:00:00Z2026-01-01T00:00:00Z"}, "interval_start_utc", "not_a_date"),
    "epoch for iso": ({"time": "1767225600"}, "interval_start_utc", "not_a_date"),
    "future": ({"time": "2027-01-01T00:00:00Z"}, "interval_start_utc", "clock_in_future"),
    "far future": ({"time": "9999-12-31T23:00:00Z"}, "interval_start_utc", "clock_in_future"),
    "past": ({"time": "1970-01-01T00:00:00Z"}, "interval_start_utc", "clock_before_1980"),
    "year 0": ({"time": "0000-01-01T00:00:00Z"}, "interval_start_utc", "clock_before_1980"),
    "off the hour": ({"time": "2026-01-01T00:30:00Z"}, "interval_start_utc", "not_on_the_hour"),
    "capital venue": ({"venue": "Binance"}, "venue", "bad_venue_name"),
    "path for a venue": ({"venue": "../../etc"}, "venue", "bad_venue_name"),
    "long venue": ({"venue": "x" * 300}, "venue", "bad_venue_name"),
    "foreign venue": ({"venue": "币安"}, "venue", "bad_venue_name"),
    "blank venue": ({"venue": ""}, "venue", "missing_value"),
    "blank coin": ({"coin": ""}, "asset", "missing_value"),
    "control character": ({"coin": "B\x07TC"}, "venue_symbol", "bad_symbol"),
    "coin without contract size": ({"venue": "okx", "coin": "DOGE"}, "volume_base", "not_in_mapping"),
}
# The default of the fixture's mapping would cover every venue; contracts must never default to coins.
STRICT = mapping_of(
    candle_rule(
        columns={
            "volume_base": {
                "column": "v",
                "scale": {"by": ["venue", "asset"], "choose": {"okx/BTC": 0.01, "binance": 1}},
            }
        }
    )
)


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_is_quarantined_with_place_field_and_reason_and_the_rest_is_kept(
    lake: Lake, tmp_path: Path, case: str
) -> None:
    cells, field, reason = BAD_ROWS[case]
    write(tmp_path / "in", "a.csv", csv_of(hour(0), hour(1), hour(2, **cells), hour(3)))
    summary = run(lake, tmp_path / "in", STRICT)
    assert (summary.rows_read, summary.landed, summary.quarantined_rows) == (4, 3, 1)
    assert summary.files[0].quarantined == {reason: 1}
    assert f"  quarantined, {reason}: 1" in summary.lines()
    (refused,) = refused_rows(lake)
    assert (refused["row_count"], refused["field"], refused["reason"]) == (3, field, reason)
    assert refused["record"]["file"] == "a.csv"
    assert refused["record"]["row"] == 3
    source = {"open_quote": "o", "interval_start_utc": "time", "venue": "venue"}.get(field)
    if source is not None:
        assert refused["record"]["cells"][source].strip() == cells[source].strip('"').strip()[:200]
    assert landed_rows(lake)["interval_start_utc"].dt.hour().to_list() == [0, 1, 3]


@pytest.mark.parametrize(
    ("clock", "cell", "reason"),
    [
        ("epoch_ms", "1767225600", "clock_before_1980"),
        ("epoch_s", "1767225600000", "clock_in_future"),
        ("epoch_s", "1767225600000000", "clock_in_future"),
        ("epoch_us", "1767225600000", "clock_before_1980"),
        ("epoch_s", "1e300", "clock_in_future"),
        ("epoch_s", "inf", "clock_in_future"),
        ("epoch_s", "-1e300", "clock_before_1980"),
        ("epoch_s", "nan", "not_a_date"),
        ("epoch_s", "soon", "not_a_date"),
        ("epoch_ms", "2026-01-01", "not_a_date"),
    ],
)
def test_wrong_clock_never_lands_on_a_wrong_day(lake: Lake, tmp_path: Path, clock: str, cell: str, reason: str) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0, time=cell)))
    rule = candle_rule(columns={"interval_start_utc": {"column": "time", "clock": clock}})
    summary = run(lake, tmp_path / "in", mapping_of(rule))
    assert summary.files[0].quarantined == {reason: 1}
    assert summary.landed == 0


def test_refused_row_stands_under_its_venue_and_day_where_they_are_known(lake: Lake, tmp_path: Path) -> None:
    rows = [
        hour(0, day=2, o="x"),
        hour(0, day=3, venue="Bybit"),
        hour(0, time="?", venue="okx"),
        hour(0, time="2030-01-01T00:00:00Z"),
    ]
    write(tmp_path / "in", "a.csv", csv_of(*rows))
    run(lake, tmp_path / "in")
    assert {(g.key.venue, g.key.day.isoformat()): g.quarantined_rows_count for g in lake.current()} == {
        ("binance", "2026-01-02"): 1,
        ("unknown", "2026-01-03"): 1,
        ("okx", "2026-01-10"): 1,
        ("binance", "2026-01-10"): 1,
    }


def test_repeated_keys_are_found_within_and_across_files(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0), hour(0), hour(1), hour(1, c="106"), hour(2)))
    write(tmp_path / "in", "b.csv", csv_of(hour(2), hour(3)))
    write(tmp_path / "in", "c.csv", csv_of(hour(2), hour(3)))  # a copy under another name
    summary = run(lake, tmp_path / "in")
    assert {f.file: (f.landed, f.quarantined) for f in summary.files} == {
        "a.csv": (2, {"duplicate_key": 1, "duplicate_key_conflict": 2}),
        "b.csv": (1, {"duplicate_key": 1}),
        "c.csv": (0, {"duplicate_key": 2}),
    }
    assert landed_rows(lake)["interval_start_utc"].dt.hour().to_list() == [0, 2, 3]
    places = {(r["record"]["file"], r["row_count"]) for r in refused_rows(lake)}
    assert places == {("a.csv", 2), ("a.csv", 3), ("a.csv", 4), ("b.csv", 1), ("c.csv", 1), ("c.csv", 2)}


def test_rows_that_do_not_fit_the_header_are_quarantined_with_their_number(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0), "1,2", "", hour(1) + ",x", hour(2, o="bad"), hour(3)))
    summary = run(lake, tmp_path / "in")
    assert summary.files[0].quarantined == {"not_a_number": 1, "wrong_number_of_cells": 2}
    assert summary.rows_read == 5
    said = sorted((r["row_count"], r["field"], r["reason"]) for r in refused_rows(lake))
    assert said == [
        (2, "*", "wrong_number_of_cells"),
        (3, "*", "wrong_number_of_cells"),
        (4, "open_quote", "not_a_number"),
    ]
    assert {g.key.venue for g in lake.current() if g.rows_count == 0} == {"unknown"}


def test_blank_figures_that_may_be_missing_land_as_missing(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0, v=""), hour(1, venue="okx", coin="DOGE", v="")))
    run(lake, tmp_path / "in", STRICT)
    assert landed_rows(lake)["volume_base"].to_list() == [None, None]


def test_word_outside_a_map_is_refused(lake: Lake, tmp_path: Path) -> None:
    rule = candle_rule(columns={"venue": {"column": "venue", "map": {"BINANCE": "binance"}}})
    write(tmp_path / "in", "a.csv", csv_of(hour(0, venue="BINANCE"), hour(1, venue="BYBIT")))
    summary = run(lake, tmp_path / "in", mapping_of(rule))
    assert (summary.landed, summary.files[0].quarantined) == (1, {"not_in_mapping": 1})
    assert {g.key.venue for g in lake.current()} == {"binance", "unknown"}


HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd|'/C calc'!A0",
    "币安人生",
    "\u202egnp.exe",
    "'; drop table raw.candles; --",
    "x" * 300,
    "a\tb",
    "${HOME}",
    "{asset}",
    "%s",
    "\\N",
    "NULL",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_coins_are_only_text(lake: Lake, tmp_path: Path, name: str) -> None:
    write(tmp_path / "in", "a.csv", csv_of(hour(0, coin=f'"{name}"')))
    summary = run(lake, tmp_path / "in")
    if summary.landed:
        assert landed_rows(lake)["asset"].to_list() == [name]
        assert landed_rows(lake)["venue_symbol"].to_list() == [f"{name}USDT"]
    else:
        assert summary.files[0].quarantined == {"bad_symbol": 1}


@pytest.mark.parametrize(
    "name",
    [
        "new\nline.csv",
        "esc\x1b[31m.csv",
        "quo'te\".csv",
        "bytes\udcff.csv",
        "-rf.csv",
        "币.csv",
        "a[1].csv",
        "\u202egnp.csv",
    ],
)
def test_hostile_file_names_stay_on_one_line(lake: Lake, tmp_path: Path, name: str) -> None:
    write(tmp_path / "in", name, csv_of(hour(0), hour(1, o="x")))
    rule = candle_rule(columns={"asset": {"file_stem": True}})
    summary = run(lake, tmp_path / "in", mapping_of(rule))
    assert (summary.landed, summary.quarantined_rows) == (1, 1)
    for line in summary.lines():
        assert line.isprintable()
    write(tmp_path / "in", name, "")
    with pytest.raises(ImportRefused) as caught:
        run(lake, tmp_path / "in")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["^o.*$", "*", "o", "two words", "a.b", "c0", "__row", "币", "row_count", "venue_symbol"]
)
def test_source_columns_may_be_called_anything(lake: Lake, tmp_path: Path, name: str) -> None:
    rule = candle_rule(columns={"open_quote": name})
    write(tmp_path / "in", "a.csv", csv_of(hour(0), hour(1, o="x"), header=HEADER.replace("o,h", f'"{name}",h')))
    run(lake, tmp_path / "in", mapping_of(rule))
    assert landed_rows(lake)["open_quote"].to_list() == [100.0]


# -- files that are refused


def parquet_of(**columns: Any) -> bytes:
    base = pl.read_csv(io.StringIO(csv_of(hour(0), hour(1))), try_parse_dates=True)
    buffer = io.BytesIO()
    base.with_columns(**columns).write_parquet(buffer)
    return buffer.getvalue()


def no_rows() -> bytes:
    buffer = io.BytesIO()
    pl.read_parquet(parquet_of()).head(0).write_parquet(buffer)
    return buffer.getvalue()


CSV = csv_of(hour(0), hour(1)).encode()
PARQUET = parquet_of()
BAD_FILES: dict[str, tuple[str, bytes, str, str]] = {
    "no byte": ("csv", b"", "", "is empty"),
    "only newlines": ("csv", b"\n\n\n", "", "has no line"),
    "header only": ("csv", HEADER.encode() + b"\n", "", "no row"),
    "missing column": ("csv", CSV.replace(b",o,", b",open,"), "o", "column is missing: o; the file has time"),
    "missing columns": ("csv", b"a,b\n1,2\n", "venue", "columns are missing: venue, coin, time, o"),
    "wrong delimiter": ("csv", CSV.replace(b",", b";"), "venue", "columns are missing"),
    "column twice": ("csv", CSV.replace(b",h,", b",o,"), "o", "stands twice"),
    "not UTF-8": ("csv", CSV.replace(b"BTC", b"\xff\xfe"), "", "UTF-8"),
    "UTF-16": ("csv", CSV.decode().encode("utf-16"), "", "UTF-8"),
    "open quotation": ("csv", CSV.replace(b"binance", b'"binance', 1), "", "quotation mark"),
    "open quotation in the header": ("csv", b'"' + CSV, "", "header"),
    "Parquet as CSV": ("csv", PARQUET, "", "UTF-8"),
    "not gzip": ("csv.gz", CSV, "", "cannot be unpacked"),
    "gzip cut short": ("csv.gz", gzip.compress(CSV)[:-9], "", "cannot be unpacked"),
    "gzip damaged": ("csv.gz", gzip.compress(CSV)[:30] + b"zzzz" + gzip.compress(CSV)[34:], "", "cannot be unpacked"),
    "empty gzip": ("csv.gz", gzip.compress(b""), "", "has no line"),
    "CSV as Parquet": ("parquet", CSV, "", "cannot be read"),
    "Parquet cut short": ("parquet", PARQUET[: len(PARQUET) // 2], "", "cannot be read"),
    "Parquet without its start": ("parquet", PARQUET[100:], "", "cannot be read"),
    "Parquet without a row": ("parquet", no_rows(), "", "no row"),
    "list for a number": ("parquet", parquet_of(o=pl.lit([1.0])), "o", "expected a number"),
    "struct for a number": ("parquet", parquet_of(o=pl.struct("h")), "o", "expected a number"),
    "bytes for a text": ("parquet", parquet_of(venue=pl.lit(b"x")), "venue", "expected a number"),
    "boolean for a number": ("parquet", parquet_of(o=pl.lit(True)), "o", "expected a number"),
    "instant for a number": ("parquet", parquet_of(o=pl.col("time")), "o", "expected a number"),
    "number for a text": ("parquet", parquet_of(venue=pl.lit(1.5)), "venue", "expected a text"),
    "number without a clock": ("parquet", parquet_of(time=pl.lit(1767225600)), "time", "a number needs epoch_s"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_refused_and_nothing_of_the_folder_lands(lake: Lake, tmp_path: Path, case: str) -> None:
    form, body, field, reason = BAD_FILES[case]
    write(tmp_path / "in", "a_good.csv", csv_of(hour(0)))
    write(tmp_path / "in", "b_bad.x", body)
    write(tmp_path / "in", "c_good.csv", csv_of(hour(5)))
    mapping = mapping_of(candle_rule(files="*_good.csv"), candle_rule(files="b_bad.x", format=form))
    with pytest.raises(ImportRefused) as caught:
        import_files(mapping, tmp_path / "in", lake, CLOCK)
    refusal = caught.value
    assert (refusal.file, refusal.field) == ("b_bad.x", field)
    assert reason in str(refusal)
    assert refusal.what_to_do
    assert str(refusal).startswith("b_bad.x")
    assert str(refusal).isprintable()
    assert lake.position == -1
    assert not lake.root.exists()


def test_places_without_files_are_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="does not exist"):
        import_files(CANDLES, tmp_path / "nowhere", lake, CLOCK)
    (tmp_path / "in").mkdir()
    with pytest.raises(ImportRefused, match=r"holds no file \*.csv, which mapping mine requires"):
        import_files(CANDLES, tmp_path / "in", lake, CLOCK)
    with pytest.raises(ImportRefused, match="holds no file of mapping"):
        import_files(mapping_of(candle_rule(required=False)), tmp_path / "in", lake, CLOCK)


# -- trials


def mutated(rng: random.Random, text: bytes) -> bytes:
    """Return a CSV with one to three accidents."""
    tokens = [
        b"",
        b"NaN",
        b"-1",
        b"1e999",
        b"abc",
        b'"',
        b'"a,b"',
        b"\x00",
        b"\xff",
        b"9" * 400,
        b"2026-13-01",
        b"\r",
        b"\n",
        b",",
        b";",
        "币".encode(),
        b"0000-00-00T00:00:00Z",
        b"9999-12-31T23:59:60Z",
        b"../..",
        b"'",
        b"\xef\xbb\xbf",
        b"\\",
    ]
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(8)
        at = rng.randrange(len(text) + 1)
        lines = text.split(b"\n")
        if kind == 0 and text:
            at = min(at, len(text) - 1)
            text = text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]
        elif kind == 1:
            text = text[:at]
        elif kind == 2:
            text = text[:at] + rng.choice(tokens) + text[at:]
        elif kind == 3:
            rng.shuffle(lines)
            text = b"\n".join(lines)
        elif kind == 4:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            text = b"\n".join(lines)
        elif kind == 5:
            del lines[rng.randrange(len(lines))]
            text = b"\n".join(lines)
        else:
            row = rng.randrange(len(lines))
            cells = lines[row].split(b",")
            cells[rng.randrange(len(cells))] = rng.choice(tokens)
            lines[row] = b",".join(cells)
            text = b"\n".join(lines)
    return text


def attempt(lake: Lake, folder: Path, mapping: Mapping) -> ImportSummary | ImportRefused:
    try:
        return run(lake, folder, mapping)
    except ImportRefused as refusal:
        return refusal


@pytest.mark.timeout(7200)
@pytest.mark.trial("mutated_csv_imports")
def test_mutated_files_are_refused_or_counted_to_the_last_row(
    tmp_path: Path, trial_count: Callable[[int], int]
) -> None:
    """Whatever happened to a file: a refusal in one line and nothing landed, or every row landed, quarantined or skipped."""
    good = csv_of(*(hour(i % 24, day=1 + i // 24, venue=("binance", "okx")[i % 2]) for i in range(30))).encode()
    refused = 0
    for seed in range(trial_count(10_000)):
        body = mutated(random.Random(seed), good)
        place = tmp_path / str(seed)
        lake = Lake(place / "lake", clock=CLOCK, code_version="1.0")
        write(place / "in", "a.csv", body)
        outcome = attempt(lake, place / "in", CANDLES)
        if isinstance(outcome, ImportRefused):
            refused += 1
            assert str(outcome).isprintable(), seed
            assert lake.position == -1, seed
        else:
            lines = [x for x in body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n") if x]
            assert outcome.rows_read == len(lines) - 1, seed
            current = lake.current()
            assert sum(g.rows_count for g in current) == outcome.landed, seed
            assert sum(g.quarantined_rows_count for g in current) == outcome.quarantined_rows, seed
            for row in refused_rows(lake):
                assert row["reason"], seed
                assert row["field"], seed
                assert row["record"]["file"] == "a.csv", seed
        shutil.rmtree(place)
    assert 0 < refused < trial_count(10_000)


@pytest.mark.timeout(7200)
@pytest.mark.trial("damaged_parquet_imports")
def test_damaged_parquet_is_refused_or_counted(tmp_path: Path, trial_count: Callable[[int], int]) -> None:
    """Flips and cuts anywhere in a Parquet file: never a traceback, never a row without a verdict."""
    mapping = mapping_of(candle_rule(files="a.parquet", format="parquet"))
    refused = 0
    for seed in range(trial_count(2_000)):
        rng = random.Random(seed)
        body = bytearray(PARQUET)
        for _ in range(rng.randint(1, 3)):
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.2:
            body = body[: rng.randrange(len(body))]
        place = tmp_path / str(seed)
        lake = Lake(place / "lake", clock=CLOCK, code_version="1.0")
        write(place / "in", "a.parquet", bytes(body))
        outcome = attempt(lake, place / "in", mapping)
        if isinstance(outcome, ImportRefused):
            refused += 1
            assert str(outcome).isprintable(), seed
            assert lake.position == -1, seed
        shutil.rmtree(place)
    assert refused > 0
