"""The real ccxt client against the sandbox's Kraken futures: what lands equals the venue's truth, with and without faults."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from venue_clients import Bench, assert_trade_candles, bench_of, columns_of, judged, ms, ms_of, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.exchanges.kraken import Kraken
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
DAY = date(2025, 10, 10)
NOW = datetime(2025, 10, 21, 12, 30)
TODAY = NOW.date()
ASSETS = ("BTC", "ETH", "SOL")
SERIES = ("candles", "funding_rates")
API = "/derivatives/api/v3"
PATHS = {
    "candles": "/api/charts/v1/trade/",
    "funding_rates": "/derivatives/api/v4/historicalfundingrates",
    "depth_bands": f"{API}/orderbook",
    "open_interest": f"{API}/tickers",
    "tickers": f"{API}/tickers",
}
LISTS = {"candles": "candles", "funding_rates": "rates", "open_interest": "tickers", "tickers": "tickers"}


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=DAY)


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "kraken")


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, now: datetime = NOW, **more: Any) -> Bench:
    return bench_of(Kraken, sandbox, now=now, **{"universe": ASSETS, **more})


def _rows(bench: Bench, dataset: str, first: date = DAY, last: date | None = None) -> pl.DataFrame:
    first = TODAY if dataset == "open_interest" else first
    return valid(bench.client.fetch(dataset, first, last), dataset, bench.clock.now()).drop("payload_sha256")


def test_instruments_are_the_flexible_perpetuals_that_trade(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, universe=("SOL", "MATIC", "BTC", "ETH"))
    capture = bench.client.instruments()
    rows = valid(capture, "instruments", NOW).sort("asset")
    assert rows["venue_symbol"].to_list() == ["PF_XBTUSD", "PF_ETHUSD", "PF_SOLUSD"], (
        "the inverse PI_XBTUSD is left out"
    )
    assert rows["contract_kind"].unique().to_list() == ["linear"]
    assert rows["contract_size_base"].to_list() == [1.0, 1.0, 1.0]
    assert rows["quote_asset"].unique().to_list() == rows["settle_asset"].unique().to_list() == ["USD"]
    assert rows["price_tick_quote"].to_list() == [0.1, 0.01, 0.01]
    assert rows["quantity_step_base"].to_list() == [0.001, 0.001, 0.01]
    assert rows["listed_at_utc"].unique().to_list() == [datetime(2025, 9, 20)]
    assert "not listed here: MATIC" in capture.origin_note
    assert [s.path for s in bench.sandbox.requests] == [f"{API}/instruments"]


def test_a_step_in_digits_of_another_script_is_no_step(sandbox: Sandbox) -> None:
    def widened(body: Any) -> Any:
        listed = [{**i, "contractValueTradePrecision": "１２３"} for i in body["instruments"]]
        return {**body, "instruments": listed}

    bench = _bench(sandbox, faults=spoiled(f"{API}/instruments", widened))
    assert bench.client.instruments().rows["quantity_step_base"].to_list() == [None] * 3


def test_candles_of_the_whole_range_equal_the_venue(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, "candles", FIRST, market.last_day)
    assert_trade_candles(rows.filter(pl.col("interval_end_utc") <= NOW), market, slice(0, 31 * 24 + 12), ASSETS)
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    half = market.open_candle("ETH", NOW)
    assert half is not None
    assert running.filter(pl.col("asset") == "ETH")["low_quote"].item() == half.low_quote[0]
    assert len(bench.sandbox.requests) == 4


def test_funding_is_the_hourly_rate_relative_to_the_price(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, "funding_rates", FIRST, market.last_day)
    for asset in ASSETS:
        got, want = columns_of(rows, asset=asset), market.funding(asset)
        hours = want.settled_ms // 3_600_000 * 3_600_000
        known = hours <= ms_of(NOW)
        assert np.array_equal(ms(got["occurred_at_utc"]), hours[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])
    assert bench.asked(PATHS["funding_rates"]) == 3


@pytest.mark.parametrize("dataset", ["open_interest", "tickers"])
def test_open_interest_is_base_units_of_the_running_hour(sandbox: Sandbox, market: VenueMarket, dataset: str) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, dataset)
    assert sorted(rows["asset"].to_list()) == list(ASSETS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    assert rows["open_interest_usd"].null_count() == 3
    for asset, base in rows.select("asset", "open_interest_base").rows():
        want = market.open_interest(asset)
        assert base == want.open_interest_base[int(want.at_ms.searchsorted(ms_of(NOW), side="right")) - 1]
    assert bench.asked(PATHS[dataset]) == 1


def test_tickers_are_all_perpetuals_and_not_the_universe_alone(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox, universe=("SOL",)), "tickers")
    assert rows["venue_symbol"].to_list() == ["PF_ETHUSD", "PF_SOLUSD", "PF_XBTUSD"]
    for row in rows.rows(named=True):
        book, asset = market.book(row["asset"], NOW), row["asset"]
        assert (row["best_bid_quote"], row["best_ask_quote"]) == (book.bids[0, 0], book.asks[0, 0])
        assert row["last_quote"] == market.price(asset, NOW)
        assert row["mark_quote"] == market.price_of_kind(asset, "mark", NOW)
        assert row["index_quote"] == market.price_of_kind(asset, "index", NOW)
        assert row["volume_24h_base"] == pytest.approx(market.volume_24h_base(asset, NOW), rel=1e-12)


def test_a_name_in_small_letters_is_the_same_contract(sandbox: Sandbox) -> None:
    faults = spoiled(
        PATHS["tickers"],
        lambda body: {**body, "tickers": [{**t, "symbol": t["symbol"].lower()} for t in body["tickers"]]},
    )
    assert _rows(_bench(sandbox, faults=faults), "tickers").height == 3


def test_depth_bands_are_of_the_whole_book(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "depth_bands")
    assert rows.height == 3 * len(BANDS_BPS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    for asset in ASSETS:
        book, got = market.book(asset, NOW), rows.filter(pl.col("asset") == asset)
        assert got["mid_quote"].unique().to_list() == [pytest.approx(book.mid_quote, rel=1e-12)]
        for band, bid, ask in got.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
            for side, depth in ((book.bids, bid), (book.asks, ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    assert away.max() < band
                else:
                    assert depth == pytest.approx(side[away <= band + 1e-6, 1].sum(), rel=1e-9)


def test_open_interest_has_no_history_and_says_so(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    with pytest.raises(SourceOutage, match="as of now only: 2025-10-20 is before 2025-10-21") as caught:
        bench.client.fetch("open_interest", date(2025, 10, 20), TODAY)
    assert caught.value.code == "not_offered"
    assert bench.sandbox.requests == []


def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox) -> None:
    days = (DAY, DAY + timedelta(days=1))
    whole = _rows(_bench(sandbox, universe=("SOL",)), "candles", *days)
    assert whole.height == 48
    for limit in (1, 2, 7, 24):
        bench = _bench(sandbox, universe=("SOL",), page_limits={"candles": limit})
        assert _rows(bench, "candles", *days).equals(whole), limit
    bench = _bench(sandbox, universe=("SOL",), faults=Faults(page_cap_count=5))
    assert _rows(bench, "candles", *days).equals(whole)


@pytest.mark.parametrize("dataset", SERIES)
def test_days_one_by_one_and_the_range_land_the_same_rows(sandbox: Sandbox, dataset: str) -> None:
    bench, grain = _bench(sandbox), RAW_TABLES[dataset].grain
    days = [DAY + timedelta(days=i) for i in range(3)]
    single = pl.concat([_rows(bench, dataset, day) for day in days]).sort(grain)
    assert single.equals(_rows(bench, dataset, days[0], days[-1]).sort(grain))
    assert single.height == 3 * 3 * 24
    assert bench.client.fetch(dataset, TODAY + timedelta(days=1)).rows.height == 0


@pytest.mark.parametrize("dataset", PATHS)
@pytest.mark.parametrize("kind", ["rate_limited", "error", "torn"])
def test_a_passing_fault_is_repaired(sandbox: Sandbox, dataset: str, kind: Any) -> None:
    def rows(**more: Any) -> pl.DataFrame:
        clocks = ("occurred_at_utc",) if dataset in ("open_interest", "tickers") else ()
        return _rows(_bench(sandbox, universe=("SOL",), **more), dataset).drop(clocks)

    assert rows(faults=Faults((Fault(kind, path=PATHS[dataset]),))).equals(rows())


@pytest.mark.parametrize("dataset", LISTS)
@pytest.mark.parametrize("shape", [{}, [], "none", None])
def test_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, shape: Any) -> None:
    faults = spoiled(
        PATHS[dataset], lambda body: {**body, LISTS[dataset]: shape} if shape != [] else {"result": "success"}
    )
    bench = _bench(sandbox, universe=("SOL",), faults=faults)
    with pytest.raises(SourceOutage, match="the answer is no list of records") as caught:
        bench.client.fetch(dataset, TODAY)
    assert caught.value.code == "venue_error"


def test_a_rate_stamped_a_day_early_is_a_venue_error_and_not_a_second_one_of_that_day(sandbox: Sandbox) -> None:
    def moved(body: Any) -> Any:
        *rates, last = body["rates"]
        early = datetime.fromisoformat(last["timestamp"]) - timedelta(days=1)
        return {**body, "rates": [*rates, {**last, "timestamp": early.isoformat()}]}

    bench = _bench(sandbox, universe=("SOL",), faults=spoiled(PATHS["funding_rates"], moved))
    with pytest.raises(SourceOutage, match="in no order of time"):
        bench.client.funding_rates(NOW.date() - timedelta(days=1))


def test_an_error_in_the_answer_is_the_venues(sandbox: Sandbox) -> None:
    faults = spoiled(PATHS["tickers"], lambda _: {"result": "error", "error": "unknownError"})
    with pytest.raises(SourceOutage) as caught:
        _bench(sandbox, faults=faults).client.fetch("tickers", TODAY)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        ("candles", {"high": "x"}),
        ("candles", {"time": 1_760_072_400}),
        ("candles", {"volume": -1}),
        ("funding_rates", {"relativeFundingRate": None}),
        ("funding_rates", {"relativeFundingRate": 0.5}),
        ("funding_rates", {"timestamp": "noon"}),
        ("open_interest", {"openInterest": "-1"}),
        ("tickers", {"last": -1}),
        ("tickers", {"bid": 1e9}),
    ],
)
def test_a_malformed_record_is_quarantined_and_costs_no_other(
    sandbox: Sandbox, dataset: str, change: dict[str, Any]
) -> None:
    calm = _rows(_bench(sandbox), dataset)
    hour = ms_of(datetime(2025, 10, 10, 5))
    marks = {"candles": ("time", hour), "funding_rates": ("timestamp", "2025-10-10T05:00:00.000Z")}
    field, value = marks.get(dataset, ("symbol", "PF_SOLUSD"))
    is_spoiled = False

    def spoil(body: Any) -> Any:
        nonlocal is_spoiled
        spoils, is_spoiled = not is_spoiled or dataset != "funding_rates", True
        changed = [{**r, **change} if spoils and r[field] == value else r for r in body[LISTS[dataset]]]
        return {**body, LISTS[dataset]: changed}

    path = f"{PATHS[dataset]}PF_SOLUSD" if dataset == "candles" else PATHS[dataset]
    bench = _bench(sandbox, faults=spoiled(path, spoil))
    good, rejected = judged(bench.client.fetch(dataset, TODAY if dataset == "open_interest" else DAY), dataset, NOW)
    assert (good.height, rejected["row_count"].n_unique()) == (calm.height - 1, 1)


def test_an_empty_book_costs_no_other(sandbox: Sandbox) -> None:
    emptied: list[int] = []

    def empty(body: Any) -> Any:
        emptied.append(1)
        return {**body, "orderBook": {**body["orderBook"], "asks": []}} if len(emptied) == 2 else body

    capture = _bench(sandbox, faults=spoiled(PATHS["depth_bands"], empty)).client.depth_bands()
    good, rejected = judged(capture, "depth_bands", NOW)
    assert good["asset"].unique().sort().to_list() == ["BTC", "SOL"]
    assert rejected.height > 0
    assert "PF_ETHUSD" in capture.origin_note
