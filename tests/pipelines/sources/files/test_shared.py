"""The shipped mappings over real records: every row accounted for, units and symbols as the venues have them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sources.files.imports import ImportSummary, import_files, load_mapping

pytestmark = pytest.mark.shared_data

CLOCK = FixedClock(datetime(2026, 11, 23, 12))


@pytest.fixture(scope="module")
def imported(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, ImportSummary]]:
    lake = Lake(tmp_path_factory.mktemp("shared") / "lake", clock=CLOCK, code_version="1.0")
    folders = {
        "multivenue": "multivenue_1h",
        "macro": "macro",
        "etf_flows": "flows",
        "fear_greed": "sentiment",
        "leverage_tiers": "leverage_tiers",
        "binance_archive": "binance_bookdepth",
    }
    return lake, {m: import_files(load_mapping(m), shared_data / f, lake, CLOCK) for m, f in folders.items()}


def rows_of(lake: Lake, dataset: str) -> pl.DataFrame:
    return pl.concat(
        [pl.read_parquet(g.path) for g in lake.current() if g.key.dataset == dataset and g.path is not None]
    )


def test_every_row_of_seven_venues_lands(imported: tuple[Lake, dict[str, ImportSummary]]) -> None:
    lake, summaries = imported
    summary = summaries["multivenue"]
    assert {f.dataset: (f.rows_read, f.landed, f.quarantined_rows) for f in summary.files} == {
        "candles": (121_122, 121_122, 0),
        "funding_rates": (115_218, 115_218, 0),
        "open_interest": (53_282, 53_282, 0),
        "liquidations": (8_059, 8_059, 0),
    }
    assert summary.ignored_files == ("liquidation_volume.parquet",)
    assert lake.verify() == []


def test_symbols_are_the_venues_own(imported: tuple[Lake, dict[str, ImportSummary]]) -> None:
    rows = rows_of(imported[0], "funding_rates").filter(pl.col("asset").is_in(["BTC", "HYPE"]))
    names = rows.group_by("venue", "asset").agg(pl.col("venue_symbol").unique().sort().str.join("|"))
    assert {(v, a): s for v, a, s in names.rows()} == {
        ("binance", "BTC"): "BTCUSDT",
        ("binance", "HYPE"): "HYPEUSDT",
        ("bybit", "BTC"): "BTCUSDT",
        ("bybit", "HYPE"): "HYPEUSDT",
        ("okx", "BTC"): "BTC-USDT-SWAP",
        ("okx", "HYPE"): "HYPE-USDT-SWAP",
        ("hyperliquid", "BTC"): "BTC",
        ("hyperliquid", "HYPE"): "HYPE",
        ("lighter", "BTC"): "BTC",
        ("lighter", "HYPE"): "HYPE",
        ("dydx", "BTC"): "BTC-USD",
        ("dydx", "HYPE"): "HYPE-USD",
        ("kraken", "BTC"): "PF_XBTUSD",
        ("kraken", "HYPE"): "PF_HYPEUSD",
    }


def test_okx_contracts_become_coins(imported: tuple[Lake, dict[str, ImportSummary]]) -> None:
    """In coins, OKX trades and holds a plausible share of Binance; in contracts it would be 100 or 1/1000 of it."""
    candles = rows_of(imported[0], "candles").filter(pl.col("interval_start_utc") >= datetime(2025, 12, 10))
    volume = candles.group_by("asset", "venue").agg(pl.col("volume_base").median())
    interest = rows_of(imported[0], "open_interest").filter(pl.col("occurred_at_utc") >= datetime(2026, 3, 7, 7, 30))
    for asset in ("BTC", "ETH", "SOL", "DOGE", "HYPE"):
        traded = {v: x for a, v, x in volume.rows() if a == asset}
        assert 0.05 < traded["okx"] / traded["binance"] < 2
        held = dict(interest.filter(pl.col("asset") == asset).select("venue", "open_interest_usd").rows())
        assert 0.05 < held["okx"] / held["binance"] < 2
    basis = rows_of(imported[0], "open_interest").group_by("venue").agg(pl.col("open_interest_basis").unique()).rows()
    assert dict(basis) == {
        v: ["two_sided"] if v == "bybit" else ["one_sided"]
        for v in ("binance", "bybit", "okx", "hyperliquid", "lighter", "dydx", "kraken")
    }


def test_okx_liquidations_are_repaired_with_the_contract_size(
    imported: tuple[Lake, dict[str, ImportSummary]], shared_data: Path
) -> None:
    """The file's USD is contracts x price: BTC 100x and ETH 10x too high, DOGE 1,000x too low."""
    source = pl.read_parquet(shared_data / "multivenue_1h" / "liquidations.parquet").filter(pl.col("venue") == "okx")
    printed = dict(source.group_by("coin").agg(pl.col("size_usd").sum()).rows())
    rows = rows_of(imported[0], "liquidations").filter(pl.col("venue") == "okx")
    landed = dict(rows.group_by("asset").agg(pl.col("notional_usd").sum()).rows())
    sizes = {"BTC": 0.01, "ETH": 0.1, "SOL": 1, "DOGE": 1000, "HYPE": 0.1}
    assert landed == pytest.approx({asset: printed[asset] * size for asset, size in sizes.items()})
    # In two days of March 2026 no more was liquidated at OKX than traded there.
    hours = rows.group_by("asset", pl.col("occurred_at_utc").dt.truncate("1h").alias("interval_start_utc")).agg(
        (pl.col("notional_usd") / pl.col("order_price_quote")).sum().alias("liquidated_base")
    )
    candles = rows_of(imported[0], "candles").filter(pl.col("venue") == "okx")
    compared = hours.join(candles, on=["asset", "interval_start_utc"])
    assert compared.height > 50
    assert compared.filter(pl.col("liquidated_base") > pl.col("volume_base")).height == 0


def test_a_side_that_says_nothing_is_unknown(imported: tuple[Lake, dict[str, ImportSummary]]) -> None:
    rows = rows_of(imported[0], "liquidations").group_by("venue", "position_side").len().sort("venue", "position_side")
    assert rows.rows() == [("hyperliquid", "unknown", 2_243), ("okx", "long", 1_812), ("okx", "short", 4_004)]


def test_the_crash_of_october_2025_is_there(imported: tuple[Lake, dict[str, ImportSummary]]) -> None:
    day = rows_of(imported[0], "candles").filter(
        (pl.col("interval_start_utc").dt.date() == date(2025, 10, 10)) & (pl.col("asset") == "BTC")
    )
    lows = dict(day.group_by("venue").agg(pl.col("low_quote").min()).rows())
    assert lows["binance"] == 101_516.5
    assert lows["bybit"] == 101_045.9
    # Funding stamps keep their milliseconds.
    funding = rows_of(imported[0], "funding_rates").filter(pl.col("venue") == "binance")
    assert (funding["occurred_at_utc"].dt.millisecond() != 0).any()


def test_macro_flows_and_sentiment_land_whole(imported: tuple[Lake, dict[str, ImportSummary]]) -> None:
    lake, summaries = imported
    blank = {
        "CPIAUCSL": 1,
        "DGS10": 502,
        "DGS2": 502,
        "DTWEXBGS": 205,
        "SP500": 95,
        "T10YIE": 247,
        "UNRATE": 1,
        "VIXCLS": 300,
        "dxy": 584,
    }
    for f in summaries["macro"].files:
        assert f.skipped == blank.get(f.file.removesuffix(".csv"), 0)
        assert f.quarantined_rows == 0
    macro = rows_of(lake, "macro_observations")
    assert macro.filter(pl.col("series_id") == "DXY")["venue"].unique().to_list() == ["lukmol"]
    assert macro.filter((pl.col("series_id") == "DGS10") & (pl.col("observation_date_utc") == date(1980, 1, 2)))[
        "value_native"
    ].to_list() == [10.5]
    flows = rows_of(lake, "etf_flows")
    assert flows.height == 671
    assert flows.filter(pl.col("flow_date_utc") == date(2026, 8, 21))["net_flow_usd"].to_list() == [68.2e6]
    assert rows_of(lake, "sentiment").height == 2931
    slow = [g for g in lake.current() if g.key.source in ("macro", "etf_flows", "fear_greed")]
    assert {g.key.day for g in slow} == {date(2026, 11, 23)}


def test_every_tier_of_718_contracts_lands_or_has_its_reason(imported: tuple[Lake, dict[str, ImportSummary]]) -> None:
    lake, summaries = imported
    (count,) = summaries["leverage_tiers"].files
    # GME and CRWD have a `cum` of 0 in every tier beside rising rates: their maintenance margin would jump at each edge.
    assert (count.rows_read, count.landed) == (5_927, 5_913)
    assert count.quarantined == {"incomplete_ladder": 2, "maintenance_jumps": 12}
    (generation,) = [g for g in lake.current() if g.key.dataset == "leverage_tiers"]
    assert (generation.key.venue, generation.key.day) == ("binance", date(2026, 7, 1))
    assert generation.quarantine_path is not None
    refused = pl.read_parquet(generation.quarantine_path)["record_json"].str.json_path_match(
        "$.cells.base_quote_expiry"
    )
    rows = rows_of(lake, "leverage_tiers")
    symbols = {*rows["venue_symbol"], *refused}
    assert set(refused) == {"GMEUSDT", "CRWDUSDT"}
    assert len(symbols) == 718
    assert symbols >= {"BTCUSDT", "BTCUSDT_260925", "BTCUSDC", "ETHBTC", "币安人生USDT", "1000SHIBUSDT"}


def test_the_dead_bid_of_the_depth_archive_is_found_from_its_first_book_on(
    imported: tuple[Lake, dict[str, ImportSummary]], shared_data: Path
) -> None:
    """Of 2,879 books 969 are crossed, from 15:30:42 to the last of the day, and 50 more stand between them."""
    lake, summaries = imported
    (count,) = summaries["binance_archive"].files
    assert (count.rows_read, count.landed) == (2_879 * 5, 1_860 * 5)
    assert count.quarantined == {"crossed_book": 969 * 5, "stale_book": 50 * 5}
    rows = rows_of(lake, "depth_bands")
    first_dead = datetime(2025, 10, 10, 15, 30, 42)
    assert rows["occurred_at_utc"].max() < first_dead
    (generation,) = [g for g in lake.current() if g.key.dataset == "depth_bands"]
    assert generation.origin_note == "import of BTCUSDT-bookDepth-2025-10-10.csv.gz (no checksum)"
    assert generation.quarantine_path is not None
    refused = pl.read_parquet(generation.quarantine_path)
    at = refused["record_json"].str.json_path_match("$.cells.timestamp").str.strip_chars().str.to_datetime()
    assert (at.min(), at.max()) == (first_dead, datetime(2025, 10, 10, 23, 59, 30))
    # The stamp with a leading space is read and falls with its book, every band of it.
    assert refused.filter(at == datetime(2025, 10, 10, 21, 34, 32))["reason"].to_list() == ["crossed_book"] * 5
    # Figures against the file itself, by another reader: the sum of what landed is the sum of what stands before.
    file = pl.read_csv(shared_data / "binance_bookdepth" / "BTCUSDT-bookDepth-2025-10-10.csv.gz")
    sound = file.filter(pl.col("timestamp").str.strip_chars() < "2025-10-10 15:30:42")
    for side, is_bid in (("bid_depth_base", True), ("ask_depth_base", False)):
        wanted = sound.filter((pl.col("percentage") < 0) == is_bid)["depth"].sum()
        assert rows[side].sum() == pytest.approx(wanted, rel=1e-12)
