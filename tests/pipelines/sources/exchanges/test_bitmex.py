"""The real ccxt client against the sandbox's BitMEX: what lands equals the venue's truth, with and without faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from venue_clients import Bench, assert_trade_candles, bench_of, columns_of, judged, ms, ms_of, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox import venue_market
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import Share, VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.exchanges.bitmex import Bitmex
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
DAY = date(2025, 10, 10)
NOW = datetime(2025, 10, 21, 12, 30)
TODAY = NOW.date()
ASSETS = ("BTC", "ETH", "SOL")
SERIES = ("candles", "funding_rates")
API = "/api/v1"
PATHS = {
    "candles": f"{API}/trade/bucketed",
    "funding_rates": f"{API}/funding",
    "depth_bands": f"{API}/orderBook/L2",
    "open_interest": f"{API}/instrument/active",
    "tickers": f"{API}/instrument/active",
    "insurance_funds": f"{API}/insurance",
}


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=DAY)


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "bitmex")


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, now: datetime = NOW, **more: Any) -> Bench:
    return bench_of(Bitmex, sandbox, now=now, **{"universe": ASSETS, **more})


def _rows(bench: Bench, dataset: str, first: date = DAY, last: date | None = None) -> pl.DataFrame:
    first = TODAY if dataset == "open_interest" else first
    return valid(bench.client.fetch(dataset, first, last), dataset, bench.clock.now()).drop("payload_sha256")


# -- what lands -------------------------------------------------------------------------------------------------------


def test_instruments_are_the_inverse_and_linear_perpetuals_that_trade(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, universe=("SOL", "MATIC", "BTC", "ETH"))
    capture = bench.client.instruments()
    rows = valid(capture, "instruments", NOW).sort("asset")
    assert rows["venue_symbol"].to_list() == ["XBTUSD", "ETHUSDT", "SOLUSDT"], "the quanto ETHUSD is left out"
    assert rows["contract_kind"].to_list() == ["inverse", "linear", "linear"]
    # ccxt calls an inverse contract 100,000,000 large.
    assert rows["contract_size_usd"].to_list() == [1.0, None, None]
    assert rows["contract_size_base"].to_list() == [None, 1e-6, 1e-6]
    assert rows["settle_asset"].to_list() == ["BTC", "USDT", "USDT"]
    assert rows["quote_asset"].to_list() == ["USD", "USDT", "USDT"]
    assert rows["quantity_step_base"].to_list() == [None, pytest.approx(0.001), pytest.approx(0.01)]
    assert rows["price_tick_quote"].to_list() == [0.1, 0.01, 0.01]
    assert "not listed here: MATIC" in capture.origin_note
    assert [s.path for s in bench.sandbox.requests] == [PATHS["tickers"]]


@pytest.mark.parametrize("figure", ["1_000000", "１２３", 0, None])
def test_a_linear_contract_without_a_readable_size_has_none(sandbox: Sandbox, figure: Any) -> None:
    change = {"underlyingToPositionMultiplier": figure, "underlyingToSettleMultiplier": figure and 100}
    faults = spoiled(PATHS["tickers"], lambda body: [{**i, **change} for i in body])
    rows = _bench(sandbox, universe=("SOL",), faults=faults).client.instruments().rows
    assert rows.select("contract_size_base", "quantity_step_base").rows() == [(None, None)]


@pytest.mark.parametrize("units", ["Infinity", 0, None])
def test_a_value_in_unreadable_units_is_missing_and_never_zero(sandbox: Sandbox, units: Any) -> None:
    change = {"underlyingToSettleMultiplier": units, "quoteToSettleMultiplier": units}
    bench = _bench(sandbox)
    bench.client.instruments()
    sandbox.restart(faults=spoiled(PATHS["tickers"], lambda body: [{**i, **change} for i in body]))
    rows = _rows(bench, "open_interest").sort("asset")
    assert rows["open_interest_base"].is_null().to_list() == [True, False, False]
    assert rows["open_interest_usd"].is_null().to_list() == [False, True, True]


def test_candles_are_stamped_with_their_start_and_counted_in_base_units(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, "candles", FIRST, market.last_day)
    assert_trade_candles(rows.filter(pl.col("interval_end_utc") <= NOW), market, slice(0, 31 * 24 + 12), ASSETS)
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    assert running["interval_start_utc"].unique().to_list() == [datetime(2025, 10, 21, 12)]
    half = market.open_candle("ETH", NOW)
    assert half is not None
    assert running.filter(pl.col("asset") == "ETH")["low_quote"].item() == half.low_quote[0]
    assert bench.asked(PATHS["candles"]) == 3


def test_funding_equals_the_venues_settlements(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "funding_rates", FIRST, market.last_day)
    for asset in ASSETS:
        got, want = columns_of(rows, asset=asset), market.funding(asset)
        hours = want.settled_ms // 3_600_000 * 3_600_000
        known = hours <= ms_of(NOW)
        assert np.array_equal(ms(got["occurred_at_utc"]), hours[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])


def test_hourly_settlements_are_complete_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(venue_market.SHARES, "bitmex", Share(0.06, 6.0, 1))
    world = World(3, FIRST, 30, assets=("SOL",))
    with serve(world, now=NOW) as sandbox:
        rows = _rows(_bench(sandbox, universe=("SOL",)), "funding_rates", FIRST, world.last_day)
    assert rows.height == 30 * 24


@pytest.mark.parametrize("dataset", ["open_interest", "tickers"])
def test_open_interest_is_told_in_coins_and_in_dollars(sandbox: Sandbox, market: VenueMarket, dataset: str) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, dataset)
    assert sorted(rows["asset"].to_list()) == list(ASSETS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    for asset, base, usd in rows.select("asset", "open_interest_base", "open_interest_usd").rows():
        want = market.open_interest(asset)
        held = want.open_interest_base[int(want.at_ms.searchsorted(ms_of(NOW), side="right")) - 1]
        mark = market.price_of_kind(asset, "mark", NOW)
        # Whole contracts: of the inverse one each is a dollar, of the others a millionth of a coin.
        assert base == pytest.approx(held, abs=1 / mark if asset == "BTC" else 1e-6)
        assert usd == pytest.approx(held * mark, abs=1.0)
    assert bench.asked(PATHS[dataset]) == 2, "once as the catalogue, once for the figures"


def test_tickers_are_all_perpetuals_and_not_the_universe_alone(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox, universe=("SOL",)), "tickers")
    assert rows["venue_symbol"].to_list() == ["ETHUSDT", "SOLUSDT", "XBTUSD"]
    for row in rows.rows(named=True):
        book, asset = market.book(row["asset"], NOW), row["asset"]
        assert (row["best_bid_quote"], row["best_ask_quote"]) == (book.bids[0, 0], book.asks[0, 0])
        assert row["last_quote"] == market.price(asset, NOW)
        assert row["mark_quote"] == market.price_of_kind(asset, "mark", NOW)
        assert row["index_quote"] == market.price_of_kind(asset, "index", NOW)
        assert row["volume_24h_base"] == pytest.approx(market.volume_24h_base(asset, NOW), rel=1e-12)


def test_insurance_funds_are_the_newest_balance_of_each_currency_in_coins(
    sandbox: Sandbox, market: VenueMarket
) -> None:
    rows = _rows(_bench(sandbox), "insurance_funds")
    noon = datetime(2025, 10, 21, 12)
    assert rows["occurred_at_utc"].to_list() == [noon, noon]
    assert rows.select("fund_name", "settle_asset").rows() == [("USDt", "USDT"), ("XBt", "BTC")]
    assert rows["balance_usd"].null_count() == 2
    usdt, btc = rows["balance_settle"].to_list()
    assert usdt + btc * market.price("BTC", noon) == pytest.approx(market.insurance_fund_usd(noon), rel=1e-8)


def test_depth_bands_are_base_units_of_the_venues_book(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "depth_bands")
    assert rows.height == 3 * len(BANDS_BPS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    reached = 0
    for asset in ASSETS:
        book, got = market.book(asset, NOW), rows.filter(pl.col("asset") == asset)
        assert got["mid_quote"].unique().to_list() == [pytest.approx(book.mid_quote, rel=1e-12)]
        for band, bid, ask in got.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
            for side, depth in ((book.bids[:1000], bid), (book.asks[:1000], ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    assert away.max() < band
                    continue
                reached += 1
                inside = side[away <= band + 1e-6]
                assert depth == pytest.approx(inside[:, 1].sum(), abs=1e-5 * len(inside))
    assert reached > 10


def test_open_interest_has_no_history_and_says_so(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    with pytest.raises(SourceOutage, match="as of now only: 2025-10-20 is before 2025-10-21") as caught:
        bench.client.fetch("open_interest", date(2025, 10, 20), TODAY)
    assert caught.value.code == "not_offered"
    assert bench.sandbox.requests == []


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", SERIES)
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, dataset: str) -> None:
    days = (DAY, DAY + timedelta(days=1))
    whole = _rows(_bench(sandbox, universe=("SOL",)), dataset, *days)
    assert whole.height == (48 if dataset == "candles" else 6)
    for limit in (1, 2, 7, 24):
        bench = _bench(sandbox, universe=("SOL",), page_limits={dataset: limit})
        assert _rows(bench, dataset, *days).equals(whole), limit


@pytest.mark.parametrize("dataset", SERIES)
def test_days_one_by_one_and_the_range_land_the_same_rows(sandbox: Sandbox, dataset: str) -> None:
    bench, grain = _bench(sandbox), RAW_TABLES[dataset].grain
    days = [DAY + timedelta(days=i) for i in range(3)]
    single = pl.concat([_rows(bench, dataset, day) for day in days]).sort(grain)
    assert single.equals(_rows(bench, dataset, days[0], days[-1]).sort(grain))


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", PATHS)
@pytest.mark.parametrize("kind", ["rate_limited", "error", "torn"])
def test_a_passing_fault_is_repaired(sandbox: Sandbox, dataset: str, kind: Any) -> None:
    def rows(**more: Any) -> pl.DataFrame:
        clocks = ("occurred_at_utc",) if dataset == "open_interest" else ()
        return _rows(_bench(sandbox, universe=("SOL",), **more), dataset).drop(clocks)

    assert rows(faults=Faults((Fault(kind, path=PATHS[dataset]),))).equals(rows())


@pytest.mark.parametrize("dataset", [*SERIES, "insurance_funds"])
@pytest.mark.parametrize("shape", [{}, {"data": []}, {"result": None}])
def test_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, shape: Any) -> None:
    bench = _bench(sandbox, universe=("SOL",), faults=spoiled(PATHS[dataset], lambda _: shape))
    with pytest.raises(SourceOutage, match="the answer is no list of records") as caught:
        bench.client.fetch(dataset, DAY)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("dataset", [*SERIES, "depth_bands"])
def test_another_contracts_records_are_a_venue_error(sandbox: Sandbox, dataset: str) -> None:
    faults = spoiled(PATHS[dataset], lambda rows: [*rows[:1], *({**r, "symbol": "XBTUSD"} for r in rows[1:])])
    with pytest.raises(SourceOutage, match="another symbol") as caught:
        _bench(sandbox, universe=("SOL",), faults=faults).client.fetch(dataset, DAY)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        ("candles", {"high": "x"}),
        ("candles", {"open": 1e9}),
        ("candles", {"timestamp": "2025-10-10 05:00"}),
        ("candles", {"homeNotional": -1}),
        ("funding_rates", {"fundingRate": None}),
        ("funding_rates", {"fundingRate": 0.5}),
        ("insurance_funds", {"currency": "Gwei"}),
        ("insurance_funds", {"walletBalance": -5}),
    ],
)
def test_a_malformed_record_is_quarantined_and_costs_no_other(
    sandbox: Sandbox, dataset: str, change: dict[str, Any]
) -> None:
    calm = _rows(_bench(sandbox, universe=("SOL",)), dataset)
    day = str(TODAY if dataset == "insurance_funds" else DAY)
    chosen: list[Any] = []

    def spoil(records: list[Any]) -> list[Any]:
        wanted = [r for r in records if r["timestamp"].startswith(day)]
        if not chosen and wanted:
            chosen.append(wanted[len(wanted) // 2])
        return [{**r, **change} if r in chosen else r for r in records]

    bench = _bench(sandbox, universe=("SOL",), faults=spoiled(PATHS[dataset], spoil))
    good, rejected = judged(bench.client.fetch(dataset, DAY), dataset, NOW)
    # A currency that nobody knows leaves the last known balance of the one it was in place of.
    assert good.height == calm.height - ("currency" not in change)
    assert rejected["row_count"].n_unique() == 1


@pytest.mark.parametrize(
    ("change", "good"),
    [
        (lambda i: {**i, "openInterest": None, "openValue": None}, []),
        (lambda i: {**i, "openInterest": None}, ["usd"]),
        (lambda i: {**i, "openValue": "much"}, ["base"]),
    ],
)
def test_of_open_interest_lands_what_was_told(sandbox: Sandbox, change: Callable[[Any], Any], good: list[str]) -> None:
    faults = spoiled(PATHS["open_interest"], lambda rows: [change(i) if i["symbol"] == "SOLUSDT" else i for i in rows])
    capture = _bench(sandbox, faults=faults).client.fetch("open_interest", TODAY)
    rows, rejected = judged(capture, "open_interest", NOW)
    assert rejected.height == (0 if good else 1)
    kept = rows.filter(pl.col("asset") == "SOL").rows(named=True)
    assert [n for row in kept for n in ("base", "usd") if row[f"open_interest_{n}"] is not None] == good


def test_an_empty_book_costs_no_other(sandbox: Sandbox) -> None:
    def without_bids(rows: Any) -> Any:
        return [r for r in rows if r["symbol"] != "ETHUSDT" or r["side"] == "Sell"]

    capture = _bench(sandbox, faults=spoiled(PATHS["depth_bands"], without_bids)).client.depth_bands()
    good, rejected = judged(capture, "depth_bands", NOW)
    assert good["asset"].unique().sort().to_list() == ["BTC", "SOL"]
    assert rejected.height > 0
    assert "ETHUSDT" in capture.origin_note
