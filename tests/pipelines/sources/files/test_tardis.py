"""Tardis.dev CSV: venue names, units and sides of each exchange; tickers and books thinned by a stated rule."""

from __future__ import annotations

import gzip
import math
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from archive_files import epoch, text_of

from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.files.imports import ImportRefused, ImportSummary, import_files, load_mapping

CLOCK = FixedClock(datetime(2026, 11, 10, 12))
DAY = datetime(2025, 1, 15)
US = 1_000_000
LIQUIDATIONS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
TICKER = (
    "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,"
    "last_price,index_price,mark_price"
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", clock=CLOCK, code_version="1.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def write(folder: Path, exchange: str, kind: str, symbol: str, header: str, *rows: str) -> Path:
    path = folder / f"{exchange}_{kind}_2025-01-15_{symbol}.csv.gz"
    path.write_bytes(gzip.compress(text_of(header, rows)))
    return path


def run(lake: Lake, place: Path) -> ImportSummary:
    summary = import_files(load_mapping("tardis"), place, lake, CLOCK)
    for f in summary.files:
        assert f.rows_read == f.landed + f.quarantined_rows + f.skipped
    assert lake.verify() == []
    return summary


def landed(lake: Lake) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(g.path) for g in lake.current() if g.path is not None])


def reasons(summary: ImportSummary) -> dict[str, int]:
    return {k: v for f in summary.files for k, v in f.quarantined.items()}


def order(exchange: str, symbol: str, side: str, price: float, amount: float, at: datetime = DAY) -> str:
    return f"{exchange},{symbol},{epoch(at, US)},{epoch(at, US) + 5},,{side},{price},{amount}"


@pytest.mark.parametrize(
    ("exchange", "symbol", "amount", "venue", "asset", "base", "usd", "kind"),
    [
        ("binance-futures", "BTCUSDT", 0.5, "binance", "BTC", 0.5, 50_000, "average_fill"),
        ("binance-futures", "BTCUSDT_250328", 0.5, "binance", "BTC", 0.5, 50_000, "average_fill"),
        ("bybit", "ETHUSDT", 3, "bybit", "ETH", 3, 300_000, "bankruptcy"),
        ("okex-swap", "BTC-USDT-SWAP", 50, "okx", "BTC", 0.5, 50_000, "bankruptcy"),
        ("okex-swap", "DOGE-USDT-SWAP", 0.001, "okx", "DOGE", 1, 100_000, "bankruptcy"),
        ("binance-delivery", "BTCUSD_PERP", 43, "binance_coinm", "BTC", None, 4300, "average_fill"),
        ("binance-delivery", "ETHUSD_250328", 43, "binance_coinm", "ETH", None, 430, "average_fill"),
    ],
)
@pytest.mark.parametrize(("side", "position"), [("sell", "long"), ("buy", "short")])
def test_an_order_lands_in_coins_and_dollars(
    lake: Lake,
    folder: Path,
    exchange: str,
    symbol: str,
    amount: float,
    venue: str,
    asset: str,
    base: float | None,
    usd: float,
    kind: str,
    side: str,
    position: str,
) -> None:
    at = DAY + timedelta(hours=1, microseconds=7)
    write(folder, exchange, "liquidations", symbol, LIQUIDATIONS, order(exchange, symbol, side, 100_000, amount, at))
    run(lake, folder)
    (row,) = landed(lake).iter_rows(named=True)
    assert (row["venue"], row["venue_symbol"], row["asset"]) == (venue, symbol, asset)
    assert row["occurred_at_utc"] == at
    assert row["position_side"] == position
    assert row["notional_usd"] == pytest.approx(usd)
    assert row["quantity_base"] == (pytest.approx(base) if base is not None else None)
    assert row["order_price_kind"] == kind


@pytest.mark.parametrize(
    ("exchange", "symbol", "side", "reason"),
    [
        # Their unit is not told: a wrong one would be worse than a missing row.
        ("okex-swap", "PEPE-USDT-SWAP", "sell", "not_in_mapping"),
        ("okex-swap", "BTC-USD-SWAP", "sell", "not_in_mapping"),
        ("bybit", "BTCUSD", "sell", "not_in_mapping"),
        ("binance-futures", "BTCUSDT", "unknown", "not_in_mapping"),
    ],
)
def test_what_has_no_known_unit_or_side_is_refused(
    lake: Lake, folder: Path, exchange: str, symbol: str, side: str, reason: str
) -> None:
    write(folder, exchange, "liquidations", "ALL", LIQUIDATIONS, order(exchange, symbol, side, 100, 1))
    assert reasons(run(lake, folder)) == {reason: 1}


def test_other_exchanges_and_types_are_left_alone_and_listed(lake: Lake, folder: Path) -> None:
    row = order("binance-futures", "BTCUSDT", "sell", 100, 1)
    write(folder, "binance-futures", "liquidations", "BTCUSDT", LIQUIDATIONS, row)
    write(folder, "deribit", "liquidations", "BTC-PERPETUAL", LIQUIDATIONS, row)
    write(folder, "binance-futures", "trades", "BTCUSDT", LIQUIDATIONS, row)
    summary = run(lake, folder)
    assert summary.landed == 1
    assert summary.ignored_files == (
        "binance-futures_trades_2025-01-15_BTCUSDT.csv.gz",
        "deribit_liquidations_2025-01-15_BTC-PERPETUAL.csv.gz",
    )


def test_rows_of_another_day_are_refused(lake: Lake, folder: Path) -> None:
    rows = [order("bybit", "BTCUSDT", "sell", 100, 1, DAY + timedelta(days=d)) for d in (-1, 0, 2)]
    write(folder, "bybit", "liquidations", "BTCUSDT", LIQUIDATIONS, *rows)
    assert reasons(run(lake, folder)) == {"outside_file_date": 2}


# -- tickers


def tick(exchange: str, symbol: str, at: datetime, open_interest: float | str) -> str:
    return f"{exchange},{symbol},{epoch(at, US)},{epoch(at, US)},,0.0001,,{open_interest},100,101,102"


@pytest.mark.parametrize(
    ("exchange", "symbol", "venue", "base", "usd", "basis"),
    [
        ("binance-futures", "BTCUSDT", "binance", 1000, None, "one_sided"),
        ("bybit", "BTCUSDT", "bybit", 1000, None, "two_sided"),
        ("okex-swap", "ETH-USDT-SWAP", "okx", 100, None, "one_sided"),
        ("binance-delivery", "BTCUSD_PERP", "binance_coinm", None, 100_000, "one_sided"),
    ],
)
def test_open_interest_is_the_first_of_each_hour_and_nothing_else_lands(
    lake: Lake, folder: Path, exchange: str, symbol: str, venue: str, base: float | None, usd: float | None, basis: str
) -> None:
    start = DAY + timedelta(microseconds=123_456)
    rows = [tick(exchange, symbol, start + timedelta(seconds=90 * i), 1000 if i % 40 == 0 else 999) for i in range(120)]
    # Tickers tell what changed: the first of an hour may lack the figure.
    rows.insert(40, tick(exchange, symbol, DAY + timedelta(hours=1), ""))
    write(folder, exchange, "derivative_ticker", symbol, TICKER, *rows)
    summary = run(lake, folder)
    assert {g.key.dataset for g in lake.current()} == {"open_interest"}
    assert (summary.landed, summary.skipped) == (3, 118)
    found = landed(lake).sort("occurred_at_utc")
    assert found["occurred_at_utc"].to_list() == [start + timedelta(hours=h) for h in range(3)]
    assert found["open_interest_base"].to_list() == [base] * 3
    assert found["open_interest_usd"].to_list() == [usd] * 3
    assert found["venue"].unique().to_list() == [venue]
    assert found["open_interest_basis"].unique().to_list() == [basis]


# -- books


def snapshot_header(levels: int) -> str:
    places = [f"{side}[{i}].{what}" for i in range(levels) for side in ("asks", "bids") for what in ("price", "amount")]
    return ",".join(["exchange,symbol,timestamp,local_timestamp", *places])


def snapshot(
    exchange: str, symbol: str, at: datetime, step: float, amount: float = 1.0, levels: int = 25, seen: int = 25
) -> str:
    """Return a book around 100: `seen` of `levels` levels, one every `step`."""
    cells = [exchange, symbol, str(epoch(at, US)), str(epoch(at, US))]
    for i in range(levels):
        cells += (
            [f"{100 + step * (i + 0.5)}", f"{amount}", f"{100 - step * (i + 0.5)}", f"{amount}"]
            if i < seen
            else [""] * 4
        )
    return ",".join(cells)


def depth_within(band_bps: float, step: float, seen: int) -> float | None:
    """Return the levels within a band of the book of `snapshot`, None where it ends before."""
    reach = 100 * band_bps / 1e4
    if step * (seen - 0.5) < reach - 1e-9:
        return None
    return float(math.floor(reach / step + 0.5 + 1e-9))


@pytest.mark.parametrize(("step", "seen"), [(0.01, 25), (0.1, 25), (0.25, 25), (0.1, 7)])
def test_a_book_becomes_bands_and_what_it_does_not_reach_is_missing(
    lake: Lake, folder: Path, step: float, seen: int
) -> None:
    row = snapshot("binance-futures", "SOLUSDT", DAY, step, seen=seen)
    write(folder, "binance-futures", "book_snapshot_25", "SOLUSDT", snapshot_header(25), row)
    summary = run(lake, folder)
    assert (summary.rows_read, summary.landed) == (len(BANDS_BPS), len(BANDS_BPS))
    found = landed(lake).sort("band_bps")
    assert found["band_bps"].to_list() == list(BANDS_BPS)
    wanted = [depth_within(b, step, seen) for b in BANDS_BPS]
    assert found["bid_depth_base"].to_list() == wanted
    assert found["ask_depth_base"].to_list() == wanted
    assert found["mid_quote"].to_list() == [pytest.approx(100)] * len(BANDS_BPS)


def test_the_last_book_of_each_minute_is_kept_and_the_summary_says_how_many(lake: Lake, folder: Path) -> None:
    rows = [
        snapshot("okex-swap", "BTC-USDT-SWAP", DAY + timedelta(seconds=s), 0.5, amount=100 + s, levels=5, seen=5)
        for s in (0, 10, 59, 60, 61, 200)
    ]
    write(folder, "okex-swap", "book_snapshot_5", "BTC-USDT-SWAP", snapshot_header(5), *rows)
    summary = run(lake, folder)
    found = landed(lake).filter(pl.col("band_bps") == 100).sort("occurred_at_utc")
    assert [(t - DAY).total_seconds() for t in found["occurred_at_utc"]] == [59, 61, 200]
    # Two levels within 1 %, each of 159 contracts of 0.01 BTC.
    assert found["bid_depth_base"].to_list() == pytest.approx([2 * (100 + s) * 0.01 for s in (59, 61, 200)])
    assert "(3 of 6 books, the last of each minute)" in summary.lines()[0]


def test_a_book_that_cannot_be_summed_is_refused_and_the_others_stand(lake: Lake, folder: Path) -> None:
    good = snapshot("bybit", "BTCUSDT", DAY, 1.0)
    crossed = snapshot("bybit", "BTCUSDT", DAY + timedelta(minutes=1), -1.0)
    empty = snapshot("bybit", "BTCUSDT", DAY + timedelta(minutes=2), 1.0, seen=0)
    torn = snapshot("bybit", "BTCUSDT", DAY + timedelta(minutes=3), 1.0).replace("100.5,1.0", "1OO.5,1.0")
    late = good.replace(str(epoch(DAY, US)), "soon")
    write(folder, "bybit", "book_snapshot_25", "BTCUSDT", snapshot_header(25), good, crossed, empty, torn, late)
    summary = run(lake, folder)
    assert summary.landed == len(BANDS_BPS)
    assert reasons(summary) == {"missing_value": 3, "not_a_date": len(BANDS_BPS)}


def test_a_book_stamped_before_its_day_is_left_out(lake: Lake, folder: Path) -> None:
    rows = [snapshot("bybit", "BTCUSDT", DAY + timedelta(milliseconds=ms), 1.0) for ms in (-20, 30)]
    write(folder, "bybit", "book_snapshot_25", "BTCUSDT", snapshot_header(25), *rows)
    summary = run(lake, folder)
    assert (summary.landed, summary.skipped, summary.quarantined_rows) == (len(BANDS_BPS), len(BANDS_BPS), 0)
    assert {g.key.day for g in lake.current()} == {DAY.date()}


def test_inverse_books_are_refused(lake: Lake, folder: Path) -> None:
    row = snapshot("binance-delivery", "BTCUSD_PERP", DAY, 1.0)
    write(folder, "binance-delivery", "book_snapshot_25", "BTCUSD_PERP", snapshot_header(25), row)
    with pytest.raises(ImportRefused, match="no constant turns into coins"):
        run(lake, folder)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_torn_gzip_is_refused(lake: Lake, folder: Path, cut: float) -> None:
    path = write(folder, "bybit", "liquidations", "BTCUSDT", LIQUIDATIONS, order("bybit", "BTCUSDT", "sell", 100, 1))
    body = path.read_bytes()
    path.write_bytes(body[: int(len(body) * cut)])
    with pytest.raises(ImportRefused, match="cut short"):
        run(lake, folder)
