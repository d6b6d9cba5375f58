"""Leverage tiers from ccxt's JSON: a ladder lands whole or not at all, a later snapshot is a day of its own."""

from __future__ import annotations

import gzip
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
from pipelines.sources.files.imports import ImportRefused, ImportSummary, import_files, load_mapping
from quality.checks.factory import schema_faults
from quality.schemas.raw import RAW_TABLES

CLOCK = FixedClock(datetime(2026, 8, 10, 12))
NAME = "binance_usdm_2026-07-15.json"
MAPPING = load_mapping("leverage_tiers")
# Floor, cap, rate, cum, leverage; the last cap is how Binance writes that there is none.
TIERS = ((0, 5_000, 0.01, 0, 75), (5_000, 50_000, 0.025, 75, 25), (50_000, 2**63 - 1, 0.5, 23_825, 1))


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", clock=CLOCK, code_version="1.0")


def ladder(symbol: str = "BTC/USDT:USDT") -> list[dict[str, Any]]:
    return [
        {
            "tier": float(rank),
            "symbol": symbol,
            "currency": "USDT",
            "minNotional": float(floor),
            "maxNotional": float(cap),
            "maintenanceMarginRate": rate,
            "maxLeverage": float(leverage),
            "info": {"bracket": rank, "notionalFloor": floor, "notionalCap": cap, "cum": float(cum)},
        }
        for rank, (floor, cap, rate, cum, leverage) in enumerate(TIERS, 1)
    ]


def held(*symbols: str) -> dict[str, list[dict[str, Any]]]:
    return {s: ladder(s) for s in symbols or ("BTC/USDT:USDT", "ETH/USDT:USDT")}


def write(folder: Path, content: Any, name: str = NAME) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def run(lake: Lake, folder: Path) -> ImportSummary:
    summary = import_files(MAPPING, folder, lake, CLOCK)
    for f in summary.files:
        assert f.rows_read == f.landed + f.quarantined_rows + f.skipped
    assert lake.verify() == []
    return summary


def landed(lake: Lake) -> pl.DataFrame:
    table = RAW_TABLES["leverage_tiers"]
    rows = pl.concat([table.empty_raw(), *(pl.read_parquet(g.path) for g in lake.current() if g.path is not None)])
    # Whatever lands is made of whole ladders that start at 0, join and are continuous.
    for _, tiers in rows.sort(table.grain).group_by("venue_symbol", "observed_at_utc", maintain_order=True):
        assert tiers["tier_rank"].to_list() == list(range(1, tiers["tiers_count"][0] + 1))
        assert tiers["notional_floor_settle"].to_list() == [0.0, *tiers["notional_cap_settle"][:-1]]
    return rows


def refused(lake: Lake) -> list[tuple[int, str, str]]:
    rows = [pl.read_parquet(g.quarantine_path) for g in lake.current() if g.quarantine_path is not None]
    return sorted(pl.concat(rows).select("row_count", "field", "reason").rows()) if rows else []


def test_tiers_land_under_the_day_in_the_files_name(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", held("BTC/USDT:USDT", "ETH/BTC:BTC", "BTC/USDT:USDT-260925", "币安人生/USDC:USDC"))
    summary = run(lake, tmp_path / "in")
    assert (summary.rows_read, summary.landed, summary.quarantined_rows) == (12, 12, 0)
    (generation,) = lake.current()
    assert generation.key == RawKey("leverage_tiers", "binance", "leverage_tiers", date(2026, 7, 15))
    rows = landed(lake)
    assert rows["observed_at_utc"].unique().to_list() == [datetime(2026, 7, 15)]
    names = rows.group_by("venue_symbol", "asset", "settle_asset").len().sort("venue_symbol").rows()
    assert names == [
        ("BTCUSDT", "BTC", "USDT", 3),
        ("BTCUSDT_260925", "BTC", "USDT", 3),
        ("ETHBTC", "ETH", "BTC", 3),
        ("币安人生USDC", "币安人生", "USDC", 3),
    ]
    top = rows.filter((pl.col("venue_symbol") == "BTCUSDT") & (pl.col("tier_rank") == 3)).row(0, named=True)
    assert (top["notional_floor_settle"], top["notional_cap_settle"]) == (50_000.0, float(2**63 - 1))
    assert (top["maintenance_margin_rate_frac"], top["maintenance_amount_settle"]) == (0.5, 23_825.0)
    assert (top["max_leverage_x"], top["tiers_count"]) == (1.0, 3)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("binance_usdm_2026-07.json", date(2026, 7, 1)),
        ("binance_usdm_2026-07-31.json.gz", date(2026, 7, 31)),
        ("binance_usdm_2025-01-01_to_2026-08-01.json", date(2026, 8, 1)),
    ],
)
def test_date_is_read_from_the_name(lake: Lake, tmp_path: Path, name: str, day: date) -> None:
    body = json.dumps(held()).encode()
    write(tmp_path / "in", gzip.compress(body) if name.endswith("gz") else body, name)
    run(lake, tmp_path / "in")
    assert [g.key.day for g in lake.current()] == [day]


@pytest.mark.parametrize("name", ["binance_usdm_.json", "binance_usdm_2026-13.json", "binance_usdm_2026-07-1.json"])
def test_name_without_a_date_is_refused(lake: Lake, tmp_path: Path, name: str) -> None:
    write(tmp_path / "in", held(), name)
    with pytest.raises(ImportRefused, match="has no date in its name"):
        run(lake, tmp_path / "in")
    assert not lake.root.exists()


def test_a_later_snapshot_stands_beside_the_earlier_one(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", held())
    write(tmp_path / "in", held("BTC/USDT:USDT"), "binance_usdm_2026-08-01.json")
    run(lake, tmp_path / "in")
    assert {g.key.day: g.rows_count for g in lake.current()} == {date(2026, 7, 15): 6, date(2026, 8, 1): 3}
    write(tmp_path / "in", held("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"), "binance_usdm_2026-08-01.json")
    run(lake, tmp_path / "in")
    assert {g.key.day: g.rows_count for g in lake.current()} == {date(2026, 7, 15): 6, date(2026, 8, 1): 9}


# -- ladders that are refused: the change at BTC's tier 2, the reasons of BTC's three rows

BAD_LADDERS: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], tuple[str, str, str]]] = {
    "negative rate": (lambda t: t[1].update(maintenanceMarginRate=-0.025), ("", "not_positive", "")),
    "percent for a fraction": (lambda t: t[1].update(maintenanceMarginRate=2.5), ("", "margin_rate_out_of_range", "")),
    "cap at the floor": (lambda t: t[1].update(maxNotional=5_000.0), ("", "cap_not_above_floor", "")),
    "cap below the floor": (lambda t: t[1].update(maxNotional=1.0), ("", "cap_not_above_floor", "")),
    "NaN": (lambda t: t[1].update(maintenanceMarginRate=float("nan")), ("", "not_finite", "")),
    "infinite cap": (lambda t: t[2].update(maxNotional=float("inf")), ("", "", "not_finite")),
    "text": (lambda t: t[1].update(minNotional="many"), ("", "not_a_number", "")),
    "true": (lambda t: t[1].update(minNotional=True), ("", "not_a_number", "")),
    "list": (lambda t: t[2].update(minNotional=[1]), ("", "", "not_a_number")),
    "null": (lambda t: t[2].update(maxNotional=None), ("", "", "missing_value")),
    "key is missing": (lambda t: t[2].pop("maxLeverage"), ("", "", "missing_value")),
    "half a tier": (lambda t: t[1].update(tier=1.5), ("", "not_whole", "")),
    "endless tier": (lambda t: t[1].update(tier=float("inf")), ("", "not_whole", "")),
    "tier 0": (lambda t: t[0].update(tier=0.0), ("not_positive", "", "")),
    "tier skipped": (lambda t: t[2].update(tier=4.0), ("", "", "tier_gap")),
    "tier twice, not the same": (lambda t: t[2].update(tier=2.0), ("", "duplicate_key_conflict", "duplicate_key_conflict")),
    "gap": (lambda t: t[1].update(minNotional=6_000.0), ("", "tier_gap", "")),
    "gap below the first": (lambda t: t[0].update(minNotional=1.0), ("tier_gap", "", "")),
    "overlap": (lambda t: t[1].update(minNotional=4_000.0), ("", "tier_overlap", "")),
    "jump": (lambda t: t[1]["info"].update(cum=0.0), ("", "maintenance_jumps", "maintenance_jumps")),
    "small jump": (lambda t: t[2]["info"].update(cum=23_825.5), ("", "", "maintenance_jumps")),
    "amount at zero": (lambda t: t[0]["info"].update(cum=5.0), ("maintenance_jumps", "maintenance_jumps", "")),
    "amount of one tier missing": (lambda t: t[1]["info"].pop("cum"), ("", "missing_value", "")),
    "negative amount": (lambda t: t[1]["info"].update(cum=-75.0), ("", "negative", "")),
    "leverage below one": (lambda t: t[2].update(maxLeverage=0.5), ("", "", "leverage_below_one")),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_LADDERS)
def test_one_bad_tier_takes_its_ladder_along_and_no_other(lake: Lake, tmp_path: Path, case: str) -> None:
    change, reasons = BAD_LADDERS[case]
    content = held("ETH/USDT:USDT", "BTC/USDT:USDT", "SOL/USDT:USDT")
    change(content["BTC/USDT:USDT"])
    write(tmp_path / "in", content)
    summary = run(lake, tmp_path / "in")
    assert (summary.rows_read, summary.landed, summary.quarantined_rows) == (9, 6, 3)
    assert [(row, reason) for row, _, reason in refused(lake)] == [
        (4 + i, reason or "incomplete_ladder") for i, reason in enumerate(reasons)
    ]
    assert set(landed(lake)["venue_symbol"]) == {"ETHUSDT", "SOLUSDT"}


def test_a_tier_that_is_not_there_or_there_twice_is_known_by_the_count(lake: Lake, tmp_path: Path) -> None:
    content = held("BTC/USDT:USDT", "ETH/USDT:USDT")
    content["BTC/USDT:USDT"].append(content["BTC/USDT:USDT"][2])
    content["ETH/USDT:USDT"][2] = content["ETH/USDT:USDT"][1]
    write(tmp_path / "in", content)
    run(lake, tmp_path / "in")
    assert [reason for _, _, reason in refused(lake)] == [
        *["incomplete_ladder"] * 3, "duplicate_key", *["incomplete_ladder"] * 2, "duplicate_key",
    ]  # fmt: skip
    assert landed(lake).is_empty()


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTCUSDT", "BTC/USD:BTC-260925-100000-C", "/:", "BTC/USDT:USDT-2609"])
def test_symbol_that_is_no_contract_is_quarantined(lake: Lake, tmp_path: Path, symbol: str) -> None:
    write(tmp_path / "in", held("BTC/USDT:USDT", symbol))
    summary = run(lake, tmp_path / "in")
    assert (summary.landed, summary.files[0].quarantined) == (3, {"missing_value": 3})


def test_snapshot_of_a_day_to_come_is_quarantined(lake: Lake, tmp_path: Path) -> None:
    write(tmp_path / "in", held(), "binance_usdm_2027-01-01.json")
    assert run(lake, tmp_path / "in").files[0].quarantined == {"clock_in_future": 6}


def test_copies_of_a_snapshot_are_repeats_and_conflicting_ones_refused(lake: Lake, tmp_path: Path) -> None:
    content = held()
    write(tmp_path / "in", content)
    write(tmp_path / "in", gzip.compress(json.dumps(content).encode()), NAME + ".gz")
    write(tmp_path / "in", content, "binance_usdm_copy_2026-07-15.json")
    summary = run(lake, tmp_path / "in")
    assert (summary.landed, summary.quarantined_rows) == (6, 12)
    assert {reason for _, _, reason in refused(lake)} == {"duplicate_key"}
    assert landed(lake)["payload_sha256"].n_unique() == 1
    content["BTC/USDT:USDT"][2]["maxLeverage"] = 2.0
    write(tmp_path / "in", content)
    run(lake, tmp_path / "in")
    assert set(landed(lake)["venue_symbol"]) == {"ETHUSDT"}


def test_two_sources_of_a_day_are_two_ladders_to_the_schema_check(lake: Lake, tmp_path: Path) -> None:
    import duckdb

    from pipelines.lake.views import create_raw_views

    write(tmp_path / "in", held())
    run(lake, tmp_path / "in")
    import_files(MAPPING.model_copy(update={"name": "mine"}), tmp_path / "in", lake, CLOCK)
    with duckdb.connect() as con:
        create_raw_views(con, lake)
        assert schema_faults(con, RAW_TABLES["leverage_tiers"], "observed_at_utc", None) == ([], 12)
        con.execute(
            "create table raw.torn as select * from raw.leverage_tiers where source != 'mine' or tier_rank != 2"
        )
        con.execute("drop view raw.leverage_tiers; alter table raw.torn rename to leverage_tiers")
        faults, _ = schema_faults(con, RAW_TABLES["leverage_tiers"], "observed_at_utc", None)
    assert {f["check"] for f in faults} == {"incomplete_ladder", "tier_gap", "maintenance_jumps"}


# -- files that are refused

GOOD = json.dumps(held()).encode()
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "no byte": (b"", "is empty"),
    "cut short": (GOOD[:-40], "is not JSON"),
    "packed and cut short": (gzip.compress(GOOD)[:-9], "cannot be unpacked"),
    "packed and not JSON": (gzip.compress(b"time,o,h,l,c"), "is not JSON"),
    "not UTF-8": (GOOD.replace(b"BTC", b"\xff\xfe"), "is not JSON"),
    "half a character": (GOOD.replace(b"BTC", b"\\ud800"), "no Unicode"),
    "two documents": (GOOD + GOOD, "is not JSON"),
    "a symbol twice": (GOOD.replace(b"ETH", b"BTC"), "stands twice"),
    "nested without end": (b"[" * 200_000, "is not JSON"),
    "a list": (b"[]", "is no list of tiers by symbol"),
    "a number": (b"1", "is no list of tiers by symbol"),
    "one ladder without its symbol": (json.dumps(ladder()).encode(), "is no list of tiers by symbol"),
    "an object for a ladder": (b'{"BTC/USDT:USDT": {}}', "symbol BTC/USDT:USDT is no list of tiers by symbol"),
    "a number for a tier": (b'{"BTC/USDT:USDT": [1]}', "is no list of tiers by symbol"),
    "a tier of another symbol": (GOOD.replace(b'"symbol": "ETH', b'"symbol": "BTC', 1), "holds a tier of BTC/USDT:USDT"),
    "another layout": (b'{"BTC/USDT:USDT": [{"bracket": 1}]}', "columns are missing: tier"),
    "no maintenance amounts": (GOOD.replace(b'"cum"', b'"cummulative"'), "column is missing: info.cum"),
    "no symbol": (b"{}", "has no row"),
    "no tier": (b'{"BTC/USDT:USDT": []}', "has no row"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_refused_and_nothing_of_the_folder_lands(lake: Lake, tmp_path: Path, case: str) -> None:
    body, reason = BAD_FILES[case]
    write(tmp_path / "in", GOOD, "binance_usdm_2026-07-01.json")
    write(tmp_path / "in", body)
    with pytest.raises(ImportRefused) as caught:
        run(lake, tmp_path / "in")
    assert caught.value.file == NAME
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert not lake.root.exists()


def attempt(lake: Lake, folder: Path) -> ImportSummary | ImportRefused:
    try:
        return run(lake, folder)
    except ImportRefused as refusal:
        return refusal


@pytest.mark.timeout(7200)
@pytest.mark.trial("mutated_tier_imports")
def test_mutated_files_are_refused_or_land_whole_ladders(tmp_path: Path, trial_count: Callable[[int], int]) -> None:
    """Whatever happened to a file: nothing landed, or every row is counted and what landed is made of whole ladders."""
    tokens = [b"", b"0", b"-1", b"NaN", b"1e999", b"null", b'"', b"{", b"[]", b",", b"\\", b"\x00", b"\xff", b"9" * 400]
    outcomes: dict[str, int] = {"refused": 0, "quarantined": 0, "landed": 0}
    for seed in range(trial_count(5_000)):
        rng = random.Random(seed)
        body = GOOD
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(body))
            body = body[:at] + rng.choice(tokens) + body[at + rng.randint(0, 3) :]
        place = tmp_path / str(seed)
        lake = Lake(place / "lake", clock=CLOCK, code_version="1.0")
        write(place / "in", body)
        outcome = attempt(lake, place / "in")
        if isinstance(outcome, ImportRefused):
            outcomes["refused"] += 1
            assert str(outcome).isprintable(), seed
            assert not lake.root.exists(), seed
        else:
            outcomes["quarantined" if outcome.quarantined_rows else "landed"] += 1
            assert landed(lake).height == outcome.landed, seed
            assert len(refused(lake)) == outcome.quarantined_rows, seed
        shutil.rmtree(place)
    assert min(outcomes.values()) > 0
