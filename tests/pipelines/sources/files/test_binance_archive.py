"""Binance's public archive: every layout with and without what it may lack; packed files verified, hostile ones refused."""

from __future__ import annotations

import gzip
import json
import os
import random
import struct
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from archive_files import (
    DEPTH_HEADER,
    FUNDING_HEADER,
    KLINE_HEADER,
    METRICS_HEADER,
    ORDERS_HEADER,
    book,
    crossed_book,
    epoch,
    klines,
    metrics,
    sound_book,
    text_of,
    write_zip,
    zip_of,
)
from small_market import LOWTIDE

from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sources.files.imports import ImportRefused, ImportSummary, import_files, load_mapping

CLOCK = FixedClock(datetime(2026, 11, 10, 12))
DAY = datetime(2025, 1, 15)
UM = "futures/um/daily/klines/BTCUSDT/1h"
US = 1_000_000


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", clock=CLOCK, code_version="1.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "in"


def run(lake: Lake, place: Path) -> ImportSummary:
    summary = import_files(load_mapping("binance_archive"), place, lake, CLOCK)
    for f in summary.files:
        assert f.rows_read == f.landed + f.quarantined_rows + f.skipped
    assert lake.verify() == []
    return summary


def landed(lake: Lake) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(g.path) for g in lake.current() if g.path is not None])


def refused(lake: Lake) -> list[dict[str, Any]]:
    frames = [pl.read_parquet(g.quarantine_path) for g in lake.current() if g.quarantine_path]
    return [{**r, "record": json.loads(r["record_json"])} for f in frames for r in f.iter_rows(named=True)]


def reasons(summary: ImportSummary) -> dict[str, int]:
    (count,) = summary.files
    return count.quarantined


# -- candles


@pytest.mark.parametrize("per_second", [1000, US], ids=["ms", "us"])
@pytest.mark.parametrize("header", [KLINE_HEADER, None], ids=["header", "no_header"])
def test_klines_land_with_or_without_a_header_in_either_unit(
    lake: Lake, folder: Path, header: str | None, per_second: int
) -> None:
    rows = klines(DAY, 24, per_second=per_second)
    write_zip(folder, f"{UM}/BTCUSDT-1h-2025-01-15.zip", text_of(header, rows))
    summary = run(lake, folder)
    assert (summary.rows_read, summary.landed) == (24, 24)
    assert summary.ignored_files == ()
    (generation,) = lake.current()
    assert (generation.key.dataset, generation.key.venue, generation.key.source) == (
        "candles",
        "binance",
        "binance_archive",
    )
    assert generation.origin_note == f"import of {UM}/BTCUSDT-1h-2025-01-15.zip"
    first = landed(lake).row(0, named=True)
    assert first["interval_start_utc"] == DAY
    assert first["interval_end_utc"] == DAY + timedelta(hours=1)
    assert (first["venue_symbol"], first["asset"], first["price_kind"]) == ("BTCUSDT", "BTC", "trade")
    assert [first[f"{k}_quote"] for k in ("open", "high", "low", "close")] == [100, 110, 90, 105]
    assert first["volume_base"] == 7.5


@pytest.mark.parametrize(
    ("path", "venue", "symbol", "asset", "kind", "volume"),
    [
        ("um/daily/klines/{}/1h/{}-1h-2025-01-15.zip", "binance", "1000SHIBUSDT", "1000SHIB", "trade", 7.5),
        ("um/daily/klines/{}/1h/{}-1h-2025-01-15.zip", "binance", "USDCUSDT", "USDC", "trade", 7.5),
        ("um/daily/klines/{}/1h/{}-1h-2025-01-15.zip", "binance", "币安人生USDT", "币安人生", "trade", 7.5),
        ("um/daily/klines/{}/1h/{}-1h-2025-01-15.zip", "binance", "BTCUSDT_250328", "BTC", "trade", 7.5),
        ("um/monthly/markPriceKlines/{}/1h/{}-1h-2025-01.zip", "binance", "ETHUSDC", "ETH", "mark", None),
        ("um/daily/indexPriceKlines/{}/1h/{}-1h-2025-01-15.zip", "binance", "BTCUSDT", "BTC", "index", None),
        # Of COIN-M the volume counts contracts and the quote volume coins.
        ("cm/daily/klines/{}/1h/{}-1h-2025-01-15.zip", "binance_coinm", "BTCUSD_PERP", "BTC", "trade", 750),
        ("cm/daily/markPriceKlines/{}/1h/{}-1h-2025-01-15.zip", "binance_coinm", "ETHUSD_250328", "ETH", "mark", None),
    ],
)
def test_folder_and_name_say_whose_prices_they_are(
    lake: Lake, folder: Path, path: str, venue: str, symbol: str, asset: str, kind: str, volume: float | None
) -> None:
    write_zip(folder, f"futures/{path.format(symbol, symbol)}", text_of(KLINE_HEADER, klines(DAY, 1)))
    run(lake, folder)
    (row,) = landed(lake).iter_rows(named=True)
    assert (row["venue"], row["venue_symbol"], row["asset"], row["price_kind"]) == (venue, symbol, asset, kind)
    assert row["volume_base"] == volume


def test_one_file_of_the_archive_is_imported_alone(lake: Lake, folder: Path) -> None:
    path = write_zip(folder, f"{UM}/BTCUSDT-1h-2025-01-15.zip", text_of(KLINE_HEADER, klines(DAY, 24)))
    assert run(lake, path).landed == 24


def test_rows_of_another_day_or_in_a_wrong_unit_are_refused_by_the_files_date(lake: Lake, folder: Path) -> None:
    day_before = klines(DAY - timedelta(days=1), 1)
    seconds = klines(DAY + timedelta(hours=5), 1, per_second=1)
    # A thousandth of a millisecond stamp is a sound second of another century, and 10 times it another year.
    rows = [*klines(DAY, 3), *day_before, *seconds, klines(DAY, 1)[0].replace(str(epoch(DAY)), str(epoch(DAY) * 10))]
    write_zip(folder, f"{UM}/BTCUSDT-1h-2025-01-15.zip", text_of(KLINE_HEADER, rows))
    summary = run(lake, folder)
    # Seconds are a lawful unit too: what they tell lies inside the day.
    assert summary.landed == 4
    assert reasons(summary) == {"outside_file_date": 2}
    assert {r["row_count"] for r in refused(lake)} == {4, 6}


def test_a_month_and_its_days_land_once(lake: Lake, folder: Path) -> None:
    monthly = folder / "futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01.zip"
    write_zip(folder, str(monthly.relative_to(folder)), text_of(None, klines(DAY, 48)))
    write_zip(folder, f"{UM}/BTCUSDT-1h-2025-01-15.zip", text_of(KLINE_HEADER, klines(DAY, 24)))
    # One hour of the other day is told otherwise: nobody knows which is right.
    changed = [klines(DAY + timedelta(days=1), 1, volume="9")[0]]
    write_zip(folder, f"{UM}/BTCUSDT-1h-2025-01-16.zip", text_of(KLINE_HEADER, changed))
    summary = run(lake, folder)
    assert summary.rows_read == 48 + 24 + 1
    assert landed(lake).height == 47
    by_reason: dict[str, list[str]] = {}
    for r in refused(lake):
        by_reason.setdefault(r["reason"], []).append(r["record"]["file"].rpartition("/")[2])
    # Files are read in order of their paths: the day came first.
    assert by_reason.pop("duplicate_key") == ["BTCUSDT-1h-2025-01.zip"] * 24
    assert {k: sorted(v) for k, v in by_reason.items()} == {
        "duplicate_key_conflict": ["BTCUSDT-1h-2025-01-16.zip", "BTCUSDT-1h-2025-01.zip"]
    }


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-15.zip", "another interval than an hour"),
        ("futures/cm/monthly/markPriceKlines/BTCUSD_PERP/4h/BTCUSD_PERP-4h-2025-01.zip", "another interval"),
        ("spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01-15.zip", "spot market"),
        ("futures/cm/daily/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-2025-01-15.zip", "no contract of COIN-M"),
        ("BTCUSDT-1h-2025-01-15.zip", "does not say whether its prices"),
        ("BTCUSD_PERP-bookDepth-2025-01-15.zip", "contracts of a size in dollars"),
    ],
)
@pytest.mark.parametrize("is_folder", [True, False], ids=["folder", "file"])
def test_what_would_be_read_wrongly_is_refused_and_nothing_lands(
    lake: Lake, folder: Path, path: str, said: str, is_folder: bool
) -> None:
    write_zip(folder, f"{UM}/BTCUSDT-1h-2025-01-15.zip", text_of(KLINE_HEADER, klines(DAY, 24)))
    other = write_zip(folder, path, text_of(KLINE_HEADER, klines(DAY, 24)))
    with pytest.raises(ImportRefused, match=said):
        run(lake, folder if is_folder else other)
    assert lake.current() == []


def test_other_files_of_the_archive_are_left_alone_and_listed(lake: Lake, folder: Path) -> None:
    write_zip(folder, f"{UM}/BTCUSDT-1h-2025-01-15.zip", text_of(KLINE_HEADER, klines(DAY, 24)))
    # A pair quoted in bitcoin has no price in dollars.
    ethbtc = "futures/um/daily/klines/ETHBTC/1h/ETHBTC-1h-2025-01-15.zip"
    write_zip(folder, ethbtc, text_of(KLINE_HEADER, klines(DAY, 24)), checksum=False)
    (folder / "notes.txt").write_text("mine")
    summary = run(lake, folder)
    assert summary.landed == 24
    assert summary.ignored_files == (ethbtc, "notes.txt")


# -- funding, open interest


@pytest.mark.parametrize("header", [FUNDING_HEADER, None], ids=["header", "no_header"])
@pytest.mark.parametrize(
    ("symbol", "venue"), [("BTCUSDT", "binance"), ("BTCUSD_PERP", "binance_coinm")], ids=["um", "cm"]
)
def test_funding_keeps_its_stamp(lake: Lake, folder: Path, header: str | None, symbol: str, venue: str) -> None:
    stamps = [DAY.replace(day=1) + timedelta(hours=8 * i, milliseconds=i) for i in range(93)]
    rows = [f"{epoch(at)},8,{-0.0001 if i % 2 else 0.0002}" for i, at in enumerate(stamps)]
    write_zip(folder, f"{symbol}-fundingRate-2025-01.zip", text_of(header, rows))
    assert run(lake, folder).landed == 93
    rows_landed = landed(lake).sort("occurred_at_utc")
    assert rows_landed["occurred_at_utc"].to_list() == stamps
    assert rows_landed["venue"].unique().to_list() == [venue]
    assert rows_landed["funding_rate_frac"].to_list()[:2] == [0.0002, -0.0001]


def test_open_interest_is_kept_as_it_stood_at_each_hour(lake: Lake, folder: Path) -> None:
    # Files before 2026-06-25 begin at 00:05 and end with the first instant of the next day.
    for day in (DAY, DAY + timedelta(days=1)):
        rows = metrics(day + timedelta(minutes=5), 288)
        write_zip(folder, f"BTCUSDT-metrics-{day.date()}.zip", text_of(METRICS_HEADER, rows))
    summary = run(lake, folder)
    assert summary.rows_read == 576
    rows_landed = landed(lake).sort("occurred_at_utc")
    # A day's first hour has its first figure 5 minutes late, every other one on the hour.
    wanted = [DAY + timedelta(days=d, hours=h, minutes=0 if h else 5) for d in range(2) for h in range(24)]
    assert rows_landed["occurred_at_utc"].to_list() == wanted
    assert summary.skipped == 576 - 48
    assert "skipped as blank or thinned out" in summary.lines()[0]
    assert rows_landed["open_interest_base"].to_list()[:2] == [1000, 1011]
    assert rows_landed["open_interest_usd"].to_list()[:2] == [100_000, 101_100]
    assert rows_landed["open_interest_basis"].unique().to_list() == ["one_sided"]


def test_days_one_by_one_in_any_order_land_what_they_land_together(tmp_path: Path) -> None:
    """The row of midnight in a day's file does not replace what the next day's file brought."""
    days = [DAY + timedelta(days=d) for d in range(3)]
    for day in days:
        rows = metrics(day + timedelta(minutes=5), 288)
        write_zip(tmp_path / "in", f"BTCUSDT-metrics-{day.date()}.zip", text_of(METRICS_HEADER, rows))
        # A book of another day stands in quarantine under its file's day.
        books = [
            *sound_book(day),
            *sound_book(day + timedelta(days=1, minutes=5)),
            *sound_book(day - timedelta(days=9)),
        ]
        write_zip(tmp_path / "in", f"BTCUSDT-bookDepth-{day.date()}.zip", text_of(DEPTH_HEADER, books))
    together = Lake(tmp_path / "together", clock=CLOCK, code_version="1.0")
    run(together, tmp_path / "in")
    assert {g.key.day for g in together.current()} == {day.date() for day in days}
    one_by_one = Lake(tmp_path / "one_by_one", clock=CLOCK, code_version="1.0")
    for day in (days[1], days[2], days[0]):
        for kind in ("metrics", "bookDepth"):
            run(one_by_one, tmp_path / "in" / f"BTCUSDT-{kind}-{day.date()}.zip")
    content = [
        {(g.key, g.sha256, g.rows_count, g.quarantined_rows_count) for g in lake.current()}
        for lake in (together, one_by_one)
    ]
    assert content[0] == content[1]


@pytest.mark.parametrize(
    ("symbol", "day", "first", "usd"),
    [
        # From this file on the stamp is the beginning of the 5 minutes at whose end the figure was taken.
        ("BTCUSDT", datetime(2026, 6, 25), timedelta(minutes=5), 100_000),
        ("BTCUSDT", datetime(2026, 6, 24), timedelta(0), 100_000),
        # COIN-M counts contracts and has always stamped the beginning.
        ("BTCUSD_PERP", datetime(2025, 1, 15), timedelta(minutes=5), 1000 * 100),
        ("ETHUSD_PERP", datetime(2025, 1, 15), timedelta(minutes=5), 1000 * 10),
    ],
)
def test_metrics_are_placed_at_the_instant_that_they_show(
    lake: Lake, folder: Path, symbol: str, day: datetime, first: timedelta, usd: float
) -> None:
    write_zip(folder, f"{symbol}-metrics-{day.date()}.zip", text_of(METRICS_HEADER, metrics(day, 288, symbol)))
    run(lake, folder)
    row = landed(lake).sort("occurred_at_utc").row(0, named=True)
    assert (row["occurred_at_utc"], row["open_interest_usd"]) == (day + first, usd)


def test_a_blank_or_wrong_figure_does_not_cost_the_hour(lake: Lake, folder: Path) -> None:
    rows = metrics(DAY, 36)
    rows[12] = rows[12].replace(",1012,", ",,")
    rows[24] = rows[24].replace(",1024,", ",-1024,")
    write_zip(folder, "BTCUSDT-metrics-2025-01-15.zip", text_of(METRICS_HEADER, rows))
    summary = run(lake, folder)
    assert landed(lake).sort("occurred_at_utc")["open_interest_base"].to_list() == [1000, 1013, 1025]
    assert (reasons(summary), summary.skipped) == ({"negative": 1}, 36 - 3 - 1)


# -- liquidations


def test_coinm_orders_are_contracts_at_their_mean_price(lake: Lake, folder: Path) -> None:
    at = DAY + timedelta(hours=3)
    rows = [
        f"{epoch(at)},SELL,LIMIT,IOC,50,60000,61000,FILLED,7,43",
        # The archive tells orders twice; two that agree in everything are one.
        f"{epoch(at)},SELL,LIMIT,IOC,50,60000,61000,FILLED,7,43",
        f"{epoch(at, US)},BUY,LIMIT,IOC,50,60000,59000,FILLED,7,50",
        f"{epoch(at)},HOLD,LIMIT,IOC,50,60000,59000,FILLED,7,50",
        f"{epoch(at)},BUY,LIMIT,IOC,50,60000,59000,EXPIRED,0,0",
    ]
    write_zip(folder, "BTCUSD_PERP-liquidationSnapshot-2025-01-15.zip", text_of(ORDERS_HEADER, rows))
    write_zip(folder, "ETHUSD_PERP-liquidationSnapshot-2025-01-15.zip", text_of(None, rows[:1]))
    summary = run(lake, folder)
    assert (summary.rows_read, summary.landed, summary.quarantined_rows) == (6, 3, 3)
    assert {r["reason"] for r in refused(lake)} == {"duplicate_key", "not_in_mapping", "not_positive"}
    found = landed(lake).sort("venue_symbol", "position_side")
    assert found.select(
        "venue", "asset", "position_side", "quantity_contracts", "quantity_base", "notional_usd", "order_price_quote"
    ).rows() == [
        ("binance_coinm", "BTC", "long", 43, None, 4300, 61000),
        ("binance_coinm", "BTC", "short", 50, None, 5000, 59000),
        ("binance_coinm", "ETH", "long", 43, None, 430, 61000),
    ]
    assert found["order_price_kind"].unique().to_list() == ["average_fill"]


def test_usdm_orders_are_coins(lake: Lake, folder: Path) -> None:
    row = f"{epoch(DAY)},SELL,LIMIT,IOC,5,60000,61000,FILLED,2,3"
    write_zip(folder, "BTCUSDT-liquidationSnapshot-2025-01-15.zip", text_of(ORDERS_HEADER, [row]))
    run(lake, folder)
    (found,) = landed(lake).iter_rows(named=True)
    assert (found["quantity_base"], found["notional_usd"], found["quantity_contracts"]) == (3, 183_000, None)


# -- depth


def half_minutes(count: int, start: datetime = DAY) -> list[datetime]:
    return [start + timedelta(seconds=30 * i) for i in range(count)]


@pytest.mark.parametrize("header", [DEPTH_HEADER, None], ids=["header", "no_header"])
@pytest.mark.parametrize("pack", ["zip", "csv", "csv.gz"])
def test_bands_land_with_both_sides_and_their_mean_prices(
    lake: Lake, folder: Path, header: str | None, pack: str
) -> None:
    rows = [r for i, at in enumerate(half_minutes(3)) for r in sound_book(at, i)]
    text = text_of(header, rows)
    folder.mkdir()
    if pack == "zip":
        write_zip(folder, "BTCUSDT-bookDepth-2025-01-15.zip", text)
    else:
        path = folder / f"BTCUSDT-bookDepth-2025-01-15.{pack}"
        path.write_bytes(gzip.compress(text) if pack == "csv.gz" else text)
    summary = run(lake, folder)
    assert (summary.rows_read, summary.landed) == (15, 15)
    (generation,) = lake.current()
    assert generation.schema_version == 2
    assert generation.origin_note.endswith("(no checksum)") == (pack != "zip")
    first = landed(lake).sort("occurred_at_utc", "band_bps").head(5)
    assert first["band_bps"].to_list() == [100, 200, 300, 400, 500]
    assert first["bid_depth_base"].to_list() == [10, 20, 30, 40, 50]
    assert first["ask_depth_base"].to_list() == [11, 22, 33, 44, 55]
    assert first["bid_mean_quote"].to_list() == pytest.approx([99.5, 99, 98.5, 98, 97.5])
    assert first["ask_mean_quote"].to_list() == pytest.approx([100.5, 101, 101.5, 102, 102.5])
    assert first["mid_quote"].null_count() == 5


def test_bands_of_either_spelling_and_of_a_fraction_of_a_percent_are_known(lake: Lake, folder: Path) -> None:
    at = f"  {DAY}"
    rows = [f"{at},-0.20,5,497", f"{DAY},0.20,6,603", f"{DAY},-1.00,10,995", f"{DAY}, 1.0 ,11,1105.5"]
    write_zip(folder, "BTCUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, rows))
    run(lake, folder)
    found = landed(lake).sort("band_bps")
    assert found.select("occurred_at_utc", "band_bps", "bid_depth_base", "ask_depth_base").rows() == [
        (DAY, 20, 5, 6),
        (DAY, 100, 10, 11),
    ]


def test_a_band_that_is_not_there_is_missing_and_never_zero(lake: Lake, folder: Path) -> None:
    rows = [r for r in sound_book(DAY) if ",-2," not in r and ",5," not in r and ",-5," not in r]
    rows += [f"{DAY + timedelta(minutes=1)},-1,0,0", f"{DAY + timedelta(minutes=1)},1,3,303"]
    write_zip(folder, "BTCUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, rows))
    run(lake, folder)
    found = landed(lake).sort("occurred_at_utc", "band_bps")
    assert found.select("band_bps", "bid_depth_base", "ask_depth_base").rows() == [
        (100, 10, 11),
        (200, None, 22),
        (300, 30, 33),
        (400, 40, 44),
        # A side without any order is 0 where the archive says so, and has no mean price.
        (100, 0, 3),
    ]
    assert found["bid_mean_quote"].to_list()[-1] is None


def test_bad_rows_of_bands_are_refused_each_with_its_reason(lake: Lake, folder: Path) -> None:
    later = DAY + timedelta(minutes=1)
    rows = [
        *sound_book(DAY),
        f"{DAY},-1,77,7661.5",  # the side stands twice, with another figure
        f"{later},x,1,99",
        f"{later},0,1,99",
        f"{later},-1,abc,99",
        f"{later},-2,nan,99",
        f"{later},-3,-5,99",
        "2025-01-99 00:00:00,-1,1,99",
        f"{DAY + timedelta(days=1, hours=1)},-1,1,99",
        f"{later},-4,1",
    ]
    write_zip(folder, "BTCUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, rows))
    summary = run(lake, folder)
    assert summary.landed == 4
    assert reasons(summary) == {
        "duplicate_key_conflict": 2,
        "not_a_number": 2,
        "not_positive": 1,
        "not_finite": 1,
        "negative": 1,
        "not_a_date": 1,
        "outside_file_date": 1,
        "wrong_number_of_cells": 1,
    }


@pytest.mark.parametrize("shuffled", [False, True])
def test_crossed_books_and_those_between_them_go_to_quarantine(lake: Lake, folder: Path, shuffled: bool) -> None:
    times = half_minutes(20)
    rows: list[str] = []
    for i, at in enumerate(times):
        # 5, 6, 9 and 12 are crossed; 7, 8, 10 and 11 look sound and stand between them.
        rows += crossed_book(at, i) if i in (5, 6, 9, 12) else sound_book(at, i)
    if shuffled:
        random.Random(7).shuffle(rows)
    write_zip(folder, "BTCUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, rows))
    summary = run(lake, folder)
    assert reasons(summary) == {"crossed_book": 4 * 5, "stale_book": 4 * 5}
    kept = landed(lake)["occurred_at_utc"].unique().sort().to_list()
    assert kept == [at for i, at in enumerate(times) if i < 5 or i > 12]
    assert 17.5 not in landed(lake)["bid_depth_base"].to_list()


def test_a_sound_hour_between_two_incidents_stays(lake: Lake, folder: Path) -> None:
    gap = timedelta(hours=1)
    rows = [
        *crossed_book(DAY),
        *sound_book(DAY + timedelta(minutes=30)),
        *crossed_book(DAY + gap),
        # One second less than an hour.
        *sound_book(DAY + gap + timedelta(minutes=30)),
        *crossed_book(DAY + 2 * gap - timedelta(seconds=1)),
    ]
    # Another contract's dead order says nothing of this one.
    write_zip(
        folder, "ETHUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, sound_book(DAY + timedelta(minutes=90)))
    )
    write_zip(folder, "BTCUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, rows))
    run(lake, folder)
    kept = landed(lake).select("venue_symbol", "occurred_at_utc").unique().sort("venue_symbol").rows()
    assert kept == [
        ("BTCUSDT", DAY + timedelta(minutes=30)),
        ("ETHUSDT", DAY + timedelta(minutes=90)),
    ]


def test_a_book_crossed_in_any_pair_of_bands_is_found(lake: Lake, folder: Path) -> None:
    rows = book(DAY, [(10, 99.5), (20, 103.0)], [(11, 103.5), (22, 102.5)])
    write_zip(folder, "BTCUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, rows))
    assert reasons(run(lake, folder)) == {"crossed_book": 2}


def test_crossed_books_reach_over_midnight(lake: Lake, folder: Path) -> None:
    midnight = DAY + timedelta(days=1)
    write_zip(
        folder,
        "BTCUSDT-bookDepth-2025-01-15.zip",
        text_of(DEPTH_HEADER, crossed_book(midnight - timedelta(seconds=30))),
    )
    rows = [
        *sound_book(midnight),
        *crossed_book(midnight + timedelta(seconds=30)),
        *sound_book(midnight + timedelta(hours=2)),
    ]
    write_zip(folder, "BTCUSDT-bookDepth-2025-01-16.zip", text_of(DEPTH_HEADER, rows))
    run(lake, folder)
    assert landed(lake)["occurred_at_utc"].unique().to_list() == [midnight + timedelta(hours=2)]


# -- zips and checksums

NAME = "BTCUSDT-fundingRate-2025-01.zip"
MEMBER = "BTCUSDT-fundingRate-2025-01.csv"
TEXT = text_of(FUNDING_HEADER, [f"{epoch(DAY)},8,0.0001"])


def _flip(body: bytes) -> bytes:
    at = body.index(MEMBER.encode()) + len(MEMBER) + 5
    return body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]


def _lying_about_its_size(body: bytes) -> bytes:
    """Say in both headers that a bomb's member is 10 bytes long."""
    central = body.index(b"PK\x01\x02")
    size = struct.pack("<I", 10)
    return body[:22] + size + body[26 : central + 24] + size + body[central + 28 :]


BOMB = zip_of((MEMBER, b"0" * (20 * 2**20)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: zip_of((MEMBER, TEXT))[:-30], "no readable zip"),
        (lambda: zip_of((MEMBER, TEXT))[:40], "no readable zip"),
        (lambda: _flip(zip_of((MEMBER, TEXT))), "no readable zip"),
        (lambda: b"PK\x03\x04", "no readable zip"),
        (lambda: TEXT, "no readable zip"),
        (lambda: gzip.compress(TEXT), "no readable zip"),
        (zip_of, "holds 0 members"),
        (lambda: zip_of((MEMBER, TEXT), ("more.csv", TEXT)), "holds 2 members"),
        (lambda: zip_of((MEMBER, TEXT), (MEMBER, TEXT)), "holds 2 members"),
        (lambda: zip_of(("ETHUSDT-fundingRate-2025-01.csv", TEXT)), "holds 'ETHUSDT-fundingRate"),
        (lambda: zip_of((f"../{MEMBER}", TEXT)), "expected 'BTCUSDT-fundingRate"),
        (lambda: zip_of((f"/etc/{MEMBER}", TEXT)), "expected"),
        (lambda: zip_of((f"C:\\{MEMBER}", TEXT)), "expected"),
        (lambda: zip_of((f"a/{MEMBER}", TEXT)), "expected"),
        (lambda: zip_of((f"{MEMBER}/", b"")), "expected"),
        (lambda: zip_of((f"\x1b[2J{MEMBER}", TEXT)), "expected"),
        (lambda: zip_of((MEMBER, zip_of((MEMBER, TEXT)))), "not UTF-8|column"),
        (lambda: BOMB, "would unpack from"),
        (lambda: _lying_about_its_size(BOMB), "would unpack from|no readable zip"),
        (lambda: zip_of((MEMBER, b"")), "has no line"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_hostile_and_damaged_zips_are_refused_in_one_line(
    lake: Lake, folder: Path, make: Callable[[], bytes], said: str
) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(make())
    with pytest.raises(ImportRefused, match=said) as error:
        run(lake, folder)
    assert str(error.value).startswith(f"{NAME}")
    assert str(error.value).isprintable()
    assert lake.current() == []


def test_a_zip_with_a_password_is_refused(lake: Lake, folder: Path) -> None:
    body = bytearray(zip_of((MEMBER, TEXT)))
    for at in (body.index(b"PK\x03\x04") + 6, body.index(b"PK\x01\x02") + 8):
        body[at] |= 1
    folder.mkdir()
    (folder / NAME).write_bytes(bytes(body))
    with pytest.raises(ImportRefused, match="password"):
        run(lake, folder)


def test_a_wrong_checksum_refuses_the_file_with_both_hashes(lake: Lake, folder: Path) -> None:
    path = write_zip(folder, NAME, TEXT)
    beside = folder / f"{NAME}.CHECKSUM"
    told = beside.read_text().split()[0]
    path.write_bytes(zip_of((MEMBER, TEXT + TEXT.splitlines(keepends=True)[1])))
    with pytest.raises(ImportRefused, match="its checksum file says") as error:
        run(lake, folder)
    assert told in str(error.value)
    assert lake.current() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no SHA-256 line"),
        ("abc  " + NAME, "no SHA-256 line"),
        ("0" * 64, "no SHA-256 line"),
        ("0" * 64 + "  other.zip", "of another file"),
        ("0" * 64 + "  ../" + NAME, "of another file"),
        ("0" * 64 + "  " + NAME + "\n" + "0" * 64 + "  " + NAME, "no SHA-256 line"),
    ],
)
def test_a_checksum_that_is_none_is_refused(lake: Lake, folder: Path, text: str, said: str) -> None:
    write_zip(folder, NAME, TEXT, checksum=False)
    (folder / f"{NAME}.CHECKSUM").write_text(text)
    with pytest.raises(ImportRefused, match=said):
        run(lake, folder)


def test_the_manifest_says_where_a_checksum_was_missing(lake: Lake, folder: Path) -> None:
    write_zip(folder, NAME, TEXT, checksum=False)
    run(lake, folder)
    assert [g.origin_note for g in lake.current()] == [f"import of {NAME} (no checksum)"]
    # Upper case and the mark of a binary file are the same checksum.
    path = write_zip(folder, NAME, TEXT)
    beside = folder / f"{NAME}.CHECKSUM"
    beside.write_text(f"{beside.read_text().split()[0].upper()} *{path.name}")
    run(lake, folder)
    assert [g.origin_note for g in lake.current()] == [f"import of {NAME}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (text_of(None, ["1,2"]), "neither a header row nor 3 columns"),
        (text_of("calc_time,rate", [f"{epoch(DAY)},0.1"]), "last_funding_rate"),
        (text_of(FUNDING_HEADER, []), "has no row"),
    ],
)
def test_an_unknown_layout_is_refused_with_the_columns(lake: Lake, folder: Path, text: bytes, said: str) -> None:
    write_zip(folder, NAME, text)
    with pytest.raises(ImportRefused, match=said):
        run(lake, folder)


@pytest.mark.parametrize(
    "symbol", ["=cmd|' /C calc'!A0USDT", "<script>USDT", "a'; drop table x;--USDT", "..USDT", "\u202eUSDT"]
)
def test_hostile_file_names_are_inert(lake: Lake, folder: Path, symbol: str) -> None:
    name = f"{symbol.replace('/', '_').replace('-', '~').replace('_', '~')}-fundingRate-2025-01.zip"
    write_zip(folder, name, TEXT)
    summary = run(lake, folder)
    assert all(line.isprintable() for line in summary.lines())
    assert all(".." not in g.path.parts for g in lake.current() if g.path is not None)


def test_many_files_left_alone_are_counted_and_not_all_named(lake: Lake, folder: Path) -> None:
    write_zip(folder, NAME, TEXT)
    for i in range(30):
        (folder / f"note{i:02}.txt").write_text("x")
    assert "and 10 more" in run(lake, folder).lines()[-1]


# -- trials


@pytest.mark.trial("mutated_archive_imports")
def test_mutated_archives_are_refused_or_land_what_they_held(tmp_path: Path, trial_count: Callable[..., int]) -> None:
    """Flip, cut or drop bytes of a zip without a checksum: its own check sum tells, or what landed is what it held."""
    rows = [r for i, at in enumerate(half_minutes(4)) for r in sound_book(at, i)]
    name = "BTCUSDT-bookDepth-2025-01-15.zip"
    path = write_zip(tmp_path / "in", name, text_of(DEPTH_HEADER, rows), checksum=False)
    body = path.read_bytes()
    whole = Lake(tmp_path / "whole", clock=CLOCK, code_version="1.0")
    run(whole, tmp_path / "in")
    wanted = landed(whole).drop("payload_sha256")
    rng = random.Random(11)
    refused_count = 0
    for trial in range(trial_count(2_000)):
        at = rng.randrange(len(body))
        mutated = rng.choice(
            [
                body[:at] + bytes([body[at] ^ (1 << rng.randrange(8))]) + body[at + 1 :],
                body[:at],
                body[:at] + body[at + 1 + rng.randrange(20) :],
            ]
        )
        path.write_bytes(mutated)
        lake = Lake(tmp_path / f"lake{trial}", clock=CLOCK, code_version="1.0")
        try:
            run(lake, tmp_path / "in")
        except ImportRefused:
            refused_count += 1
            assert lake.current() == []
        else:
            assert landed(lake).drop("payload_sha256").equals(wanted)
    assert refused_count > 0


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_does_not_matter(tmp_path: Path, seed: int) -> None:
    rows = [r for i, at in enumerate(half_minutes(12)) for r in (crossed_book if i in (4, 7) else sound_book)(at, i)]
    frames = []
    for name, order in (("a", rows), ("b", random.Random(seed).sample(rows, len(rows)))):
        write_zip(tmp_path / name, "BTCUSDT-bookDepth-2025-01-15.zip", text_of(DEPTH_HEADER, order))
        lake = Lake(tmp_path / f"lake_{name}", clock=CLOCK, code_version="1.0")
        run(lake, tmp_path / name)
        frames.append(landed(lake).drop("payload_sha256"))
    assert frames[0].equals(frames[1])
    assert frames[0].height == 8 * 5


# -- the command


def test_the_command_says_what_landed_and_what_fell(folder: Path, tmp_path: Path) -> None:
    path = write_zip(
        folder,
        "BTCUSDT-bookDepth-2025-01-15.zip",
        text_of(DEPTH_HEADER, [*sound_book(DAY), *crossed_book(DAY + timedelta(minutes=1))]),
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE_", "DAGSTER_", "PYTEST"))}
    environment = {**kept, "LOWTIDE_HOME": str(tmp_path / "home"), "COLUMNS": "200"}
    command = [str(LOWTIDE), "import", "binance_archive", "--from", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "depth_bands: 10 rows read, 5 landed on 1 days, 5 quarantined" in done.stdout
    assert "quarantined, crossed_book: 5" in done.stdout
    path.write_bytes(path.read_bytes()[:-1])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode not in (0, 3)
    assert "its checksum file says" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
