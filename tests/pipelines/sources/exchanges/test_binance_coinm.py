"""Binance COIN-M, which counts contracts of some dollars: what lands is its market's truth in base units and USD."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from venue_clients import (
    Bench,
    assert_long_short_ratios,
    assert_price_candles,
    assert_trade_candles,
    bench_of,
    columns_of,
    judged,
    ms,
    ms_of,
    spoiled,
    valid,
)

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.exchanges.binance_coinm import LONGEST_WINDOW_MS, BinanceCoinm

FIRST = date(2025, 9, 20)
NOW = datetime(2025, 10, 21, 12, 30)
ASSETS = ("BTC", "ETH")
DAYS = (date(2025, 10, 9), date(2025, 10, 11))
HOURS = slice(19 * 24, 22 * 24)
SIZES_USD = {"BTC": 100.0, "ETH": 10.0}
KINDS = ("accounts", "top_accounts", "top_positions")

PATHS = {
    "candles": "/dapi/v1/klines",
    "funding_rates": "/dapi/v1/fundingRate",
    "open_interest": "/futures/data/openInterestHist",
    "long_short_ratios": "/futures/data/topLongShortPositionRatio",
    "depth_bands": "/dapi/v1/depth",
    "tickers": "/dapi/v1/ticker/24hr",
}
SERIES = ("candles", "funding_rates", "open_interest", "long_short_ratios")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, FIRST, 32, assets=ASSETS, crash_day=date(2025, 10, 10)), now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "binance_coinm")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    more = {"now": NOW, "universe": ASSETS, **more}
    return bench_of(BinanceCoinm, sandbox, faults=faults, **more)


def _rows(bench: Bench, dataset: str) -> pl.DataFrame:
    return valid(bench.client.fetch(dataset, *DAYS), dataset, NOW)


# -- values -------------------------------------------------------------------------------------------------------------


def test_instruments_are_the_inverse_perpetuals_in_dollars_per_contract(sandbox: Sandbox) -> None:
    rows = valid(_bench(sandbox, universe=(*ASSETS, "SOL")).client.instruments(), "instruments", NOW)
    assert rows["venue_symbol"].to_list() == ["BTCUSD_PERP", "ETHUSD_PERP"]
    assert rows["contract_size_usd"].to_list() == [100.0, 10.0]
    assert rows["contract_kind"].unique().to_list() == ["inverse"]
    assert rows["quote_asset"].unique().to_list() == ["USD"]
    assert rows["settle_asset"].to_list() == ["BTC", "ETH"]
    missing = ("contract_size_base", "quantity_step_base")
    assert [rows[name].null_count() for name in missing] == [2, 2], "what depends on the price has no size"


@pytest.mark.parametrize("limit", [1_500, 24, 5])
def test_candles_of_all_kinds_are_the_markets_in_coins(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    rows = _rows(_bench(sandbox, page_limits={"candles": limit}), "candles")
    assert_trade_candles(rows, market, HOURS, ASSETS)
    assert_price_candles(rows, market, HOURS, ASSETS)
    assert {s.query.get("pair") for s in sandbox.requests if s.path.endswith("indexPriceKlines")} == {
        "BTCUSD",
        "ETHUSD",
    }


def test_a_page_that_begins_with_its_newest_loses_nothing_of_the_whole_range(
    sandbox: Sandbox, market: VenueMarket
) -> None:
    rows = valid(_bench(sandbox).client.candles(FIRST, NOW.date()), "candles", NOW)
    done = rows.filter(pl.col("interval_end_utc") <= NOW)
    assert_trade_candles(done, market, slice(0, 31 * 24 + 12), ASSETS)


def test_no_window_of_klines_is_longer_than_the_venue_allows(sandbox: Sandbox) -> None:
    # No candle at all: the pager asks whether there is any later one.
    bench = _bench(sandbox, spoiled("/dapi/v1/klines", lambda _: []), universe=("BTC",))
    trades = valid(bench.client.candles(date(2025, 10, 10)), "candles", NOW).filter(price_kind="trade")
    assert trades.height == 0
    spans = [int(s.query["endTime"]) - int(s.query["startTime"]) for s in sandbox.requests if "endTime" in s.query]
    assert max(spans) == LONGEST_WINDOW_MS


def test_funding_is_the_products_own(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = valid(_bench(sandbox).client.funding_rates(FIRST, NOW.date()), "funding_rates", NOW)
    for asset in ASSETS:
        got, want = columns_of(rows, asset=asset), market.funding(asset)
        known = want.settled_ms <= ms_of(NOW)
        assert np.array_equal(ms(got["occurred_at_utc"]), want.settled_ms[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])


@pytest.mark.parametrize("limit", [500, 24, 5])
def test_open_interest_is_one_sided_in_coins_and_in_dollars(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    rows = _rows(_bench(sandbox, page_limits={"open_interest": limit}), "open_interest")
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    for asset in ASSETS:
        got, want = columns_of(rows, asset=asset), market.open_interest(asset)
        assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[HOURS])
        assert np.array_equal(got["open_interest_base"], want.open_interest_base[HOURS])
        # Whole contracts.
        half = SIZES_USD[asset] / 2 + 1e-6
        np.testing.assert_allclose(got["open_interest_usd"], want.open_interest_usd[HOURS], rtol=0, atol=half)
    asked = [s.query for s in sandbox.requests if s.path == PATHS["open_interest"]]
    assert {(q["pair"], q["contractType"]) for q in asked} == {("BTCUSD", "PERPETUAL"), ("ETHUSD", "PERPETUAL")}


@pytest.mark.parametrize("limit", [500, 24])
def test_ratios_are_the_pairs(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    rows = _rows(_bench(sandbox, page_limits={"long_short_ratios": limit}), "long_short_ratios")
    assert_long_short_ratios(rows, market, KINDS, HOURS, ASSETS)
    assert rows.height == 3 * 2 * 72


def test_books_are_brought_to_coins_level_by_level(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "depth_bands")
    assert rows.height == 2 * len(BANDS_BPS)
    seen = 0
    for asset in ASSETS:
        book = market.book(asset, NOW)
        bands = rows.filter(asset=asset).select("band_bps", "bid_depth_base", "ask_depth_base")
        for band, bid, ask in bands.iter_rows():
            for side, depth in ((book.bids[:1000], bid), (book.asks[:1000], ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    assert away.max() < band
                    continue
                inside = side[away <= band + 1e-6]
                # A level is whole contracts, one at the least: what that costs in coins.
                coins = SIZES_USD[asset] / inside[:, 0].min()
                assert depth == pytest.approx(inside[:, 1].sum(), abs=coins * len(inside))
                seen += 1
    assert seen > 0


def test_tickers_are_all_perpetuals_in_coins(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox, universe=("BTC",)), "tickers")
    assert rows["venue_symbol"].to_list() == ["BTCUSD_PERP", "ETHUSD_PERP"]
    for row in rows.iter_rows(named=True):
        asset = row["asset"]
        book = market.book(asset, NOW)
        assert row["last_quote"] == market.price(asset, NOW)
        assert (row["best_bid_quote"], row["best_ask_quote"]) == (book.bids[0, 0], book.asks[0, 0])
        assert row["mark_quote"] == market.price_of_kind(asset, "mark", NOW)
        assert row["index_quote"] == market.price_of_kind(asset, "index", NOW)
        assert row["volume_24h_base"] == pytest.approx(market.volume_24h_base(asset, NOW), rel=1e-9)
        assert row["open_interest_basis"] is None


# -- memory and faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["open_interest", "long_short_ratios"])
def test_statistics_are_not_offered_before_thirty_days(sandbox: Sandbox, dataset: str) -> None:
    bench = _bench(sandbox, universe=("BTC",))
    first = bench.client.first_offered_day(dataset)
    assert first == date(2025, 9, 22)
    assert bench.client.fetch(dataset, first).rows.height == 24 * (3 if dataset == "long_short_ratios" else 1)
    with pytest.raises(SourceOutage) as caught:
        bench.client.fetch(dataset, first - timedelta(days=1))
    assert caught.value.code == "not_offered"


@pytest.mark.parametrize("dataset", list(PATHS))
def test_a_passing_fault_does_not_change_what_lands(sandbox: Sandbox, dataset: str) -> None:
    calm = _bench(sandbox).client.fetch(dataset, *DAYS).rows.drop("payload_sha256")
    bench = _bench(sandbox, Faults((Fault("torn", path=PATHS[dataset]),)))
    assert bench.client.fetch(dataset, *DAYS).rows.drop("payload_sha256").equals(calm)
    assert len(bench.clock.slept) == 1


@pytest.mark.parametrize("dataset", [*SERIES, "tickers"])
def test_an_answer_of_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str) -> None:
    with pytest.raises(SourceOutage) as caught:
        _bench(sandbox, spoiled(PATHS[dataset], lambda _: {"rows": []})).client.fetch(dataset, *DAYS)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    ("dataset", "other"),
    [
        ("funding_rates", {"symbol": "BTCUSD_251226"}),
        ("open_interest", {"pair": "BNBUSD"}),
        ("open_interest", {"contractType": "CURRENT_QUARTER"}),
        ("long_short_ratios", {"pair": "BNBUSD"}),
    ],
)
def test_records_of_another_contract_or_pair_are_a_venue_error(
    sandbox: Sandbox, dataset: str, other: dict[str, str]
) -> None:
    faults = spoiled(PATHS[dataset], lambda rows: [{**r, **other} for r in rows])
    with pytest.raises(SourceOutage, match="another symbol"):
        _bench(sandbox, faults).client.fetch(dataset, *DAYS)


@pytest.mark.parametrize(
    ("field", "bad"), [("sumOpenInterestValue", "x"), ("sumOpenInterest", None), ("timestamp", "x")]
)
def test_malformed_open_interest_costs_no_other(sandbox: Sandbox, field: str, bad: Any) -> None:
    at = 1_760_054_400_000
    faults = spoiled(
        PATHS["open_interest"], lambda rows: [{**r, field: bad} if r["timestamp"] == at else r for r in rows]
    )
    capture = _bench(sandbox, faults, universe=("BTC",)).client.fetch("open_interest", *DAYS)
    good, rejected = judged(capture, "open_interest", NOW)
    # One of the two figures alone is a record, and the other one stays missing.
    assert (good.height, rejected.height) == ((71, 1) if field == "timestamp" else (72, 0))
    if field != "timestamp":
        name = "open_interest_base" if field == "sumOpenInterestValue" else "open_interest_usd"
        assert good[name].null_count() == 1


def test_both_products_are_asked_at_paths_of_their_own_and_nothing_private(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    exchange, _ = bench.client._connection()
    assert exchange.urls["api"]["dapiPublic"].endswith("/dapi/v1")
    bench.client.probe()
    bench.client.instruments()
    assert [s.path for s in sandbox.requests] == ["/dapi/v1/ping", "/dapi/v1/exchangeInfo"]
    assert sandbox.used_weights == {"binance_coinm": 2}
