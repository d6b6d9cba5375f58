"""The real ccxt client against the sandbox's Deribit: what lands equals the venue's truth, with and without faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from venue_clients import (
    Bench,
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
from pipelines.sandbox import venue_market
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import Share, VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.exchanges.deribit import Deribit
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
CRASH = date(2025, 10, 10)
NOW = datetime(2025, 10, 21, 12, 30)
TODAY = NOW.date()
ASSETS = ("BTC", "ETH", "SOL")
SERIES = ("candles", "funding_rates", "liquidations")
# Dollars of one contract; the others are counted in base units.
SIZES_USD = {"BTC": 10.0, "ETH": 1.0}
PUBLIC = "/api/v2/public"
PATHS = {
    "candles": f"{PUBLIC}/get_tradingview_chart_data",
    "funding_rates": f"{PUBLIC}/get_funding_rate_history",
    "liquidations": f"{PUBLIC}/get_last_trades_by_instrument_and_time",
    "depth_bands": f"{PUBLIC}/get_order_book",
    "open_interest": f"{PUBLIC}/get_book_summary_by_currency",
    "tickers": f"{PUBLIC}/get_book_summary_by_currency",
}
CATALOGUE = f"{PUBLIC}/get_instruments"


@pytest.fixture(scope="module", autouse=True)
def _large() -> Iterator[None]:
    """Give the venue two fifths of all accounts: with its own share it has two liquidations in a week."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(venue_market.SHARES, "deribit", Share(2.0, 5.0, 1))
        yield


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=CRASH)


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "deribit")


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, now: datetime = NOW, **more: Any) -> Bench:
    return bench_of(Deribit, sandbox, now=now, **{"universe": ASSETS, **more})


def _rows(bench: Bench, dataset: str, first: date = CRASH, last: date | None = None) -> pl.DataFrame:
    first = TODAY if dataset == "open_interest" else first
    return valid(bench.client.fetch(dataset, first, last), dataset, bench.clock.now()).drop("payload_sha256")


def _results_spoiled(dataset: str, change: Callable[[Any], Any]) -> Faults:
    return spoiled(PATHS[dataset], lambda body: {**body, "result": change(body["result"])})


def _counted_base(asset: str, base: float, price: float) -> float:
    """Return base units as far as the venue's whole contracts can tell them."""
    size = SIZES_USD.get(asset)
    return base if size is None else max(1.0, round(base * price / size)) * size / price


# -- what lands -------------------------------------------------------------------------------------------------------


def test_instruments_are_the_inverse_and_linear_perpetuals_that_trade(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, universe=("SOL", "MATIC", "BTC", "ETH"))
    capture = bench.client.instruments()
    rows = valid(capture, "instruments", NOW)
    assert rows["venue_symbol"].to_list() == ["BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL"]
    assert rows["contract_kind"].to_list() == ["inverse", "inverse", "linear"]
    assert rows["contract_size_usd"].to_list() == [10.0, 1.0, None]
    assert rows["contract_size_base"].to_list() == [None, None, 1.0]
    assert rows["quote_asset"].to_list() == ["USD", "USD", "USDC"]
    assert rows["settle_asset"].to_list() == ["BTC", "ETH", "USDC"]
    assert rows["price_tick_quote"].to_list() == [0.1, 0.01, 0.01]
    # A step of dollars is no step of coins.
    assert rows["quantity_step_base"].to_list() == [None, None, 0.01]
    assert rows["listed_at_utc"].unique().to_list() == [datetime(2025, 9, 20)]
    assert "not listed here: MATIC" in capture.origin_note
    assert [(s.path, dict(s.query)) for s in bench.sandbox.requests] == [
        (CATALOGUE, {"currency": "any", "kind": "future"})
    ]


def test_candles_of_the_whole_range_equal_the_venue_in_base_units(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, "candles", FIRST, market.last_day)
    assert_trade_candles(rows.filter(pl.col("interval_end_utc") <= NOW), market, slice(0, 31 * 24 + 12), ASSETS)
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    half = market.open_candle("ETH", NOW)
    assert half is not None
    assert running.filter(pl.col("asset") == "ETH")["low_quote"].item() == half.low_quote[0]
    assert bench.asked(PATHS["candles"]) == 3


def test_funding_is_what_was_paid_in_each_hour(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "funding_rates", FIRST, market.last_day)
    for asset in ASSETS:
        got, want = columns_of(rows, asset=asset), market.funding(asset)
        hours = want.settled_ms // 3_600_000 * 3_600_000
        known = hours <= ms_of(NOW)
        assert known.sum() == 31 * 24 + 13, "more than the 744 of one page"
        assert np.array_equal(ms(got["occurred_at_utc"]), hours[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])


@pytest.mark.parametrize("dataset", ["open_interest", "tickers"])
def test_open_interest_is_base_units_and_dollars_only_where_they_are_told(
    sandbox: Sandbox, market: VenueMarket, dataset: str
) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, dataset)
    assert rows["asset"].to_list() == list(ASSETS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    for asset, base, usd in rows.select("asset", "open_interest_base", "open_interest_usd").rows():
        want = market.open_interest(asset)
        held = want.open_interest_base[int(want.at_ms.searchsorted(ms_of(NOW), side="right")) - 1]
        mark = market.price_of_kind(asset, "mark", NOW)
        assert base == pytest.approx(_counted_base(asset, held, mark), rel=1e-12)
        assert usd is None if asset == "SOL" else usd == pytest.approx(base * mark, rel=1e-12)
    assert bench.asked(PATHS[dataset]) == 3


def test_tickers_are_all_perpetuals_and_not_the_universe_alone(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox, universe=("SOL",)), "tickers")
    assert rows["venue_symbol"].to_list() == ["BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL"]
    for row in rows.rows(named=True):
        book, asset = market.book(row["asset"], NOW), row["asset"]
        assert (row["best_bid_quote"], row["best_ask_quote"]) == (book.bids[0, 0], book.asks[0, 0])
        assert (row["last_quote"], row["index_quote"]) == (market.price(asset, NOW), None)
        assert row["mark_quote"] == market.price_of_kind(asset, "mark", NOW)
        assert row["volume_24h_base"] == pytest.approx(market.volume_24h_base(asset, NOW), rel=1e-12)


def test_liquidations_are_the_marked_trades_by_whose_side_was_liquidated(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "liquidations", FIRST, market.last_day)
    sides = set()
    for asset in ASSETS:
        got, want = columns_of(rows.sort("occurred_at_utc"), asset=asset), market.liquidations(asset)
        known = want.at_ms <= ms_of(NOW)
        assert known.sum() > 20
        assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[known])
        assert np.array_equal(got["order_price_quote"], want.fill_quote[known])
        long = ["long" if is_long else "short" for is_long in want.is_long[known]]
        assert got["position_side"].tolist() == long
        # Every second one is the maker's: both ways to tell are read for both sides.
        sides |= {(side, i % 2) for i, side in enumerate(long)}
        base = [
            _counted_base(asset, q, p) for q, p in zip(want.quantity_base[known], want.fill_quote[known], strict=True)
        ]
        np.testing.assert_allclose(got["quantity_base"], base, rtol=1e-12)
        np.testing.assert_allclose(got["notional_usd"], np.array(base) * want.fill_quote[known], rtol=1e-12)
    assert len(sides) == 4
    assert rows["order_price_kind"].unique().to_list() == ["average_fill"]


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
                assert depth == pytest.approx(sum(_counted_base(asset, q, p) for p, q in inside), rel=1e-9)
    assert reached > 10


# -- what there is only of now ----------------------------------------------------------------------------------------


def test_open_interest_has_no_history_and_says_so(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    assert bench.client.first_offered_day("open_interest") == TODAY
    with pytest.raises(SourceOutage, match="as of now only: 2025-10-20 is before 2025-10-21") as caught:
        bench.client.fetch("open_interest", date(2025, 10, 20), TODAY)
    assert caught.value.code == "not_offered"
    assert bench.sandbox.requests == []
    assert bench.client.fetch("open_interest", TODAY + timedelta(days=1)).rows.height == 0


# -- pages ------------------------------------------------------------------------------------------------------------


# A page of one trade cannot tell whether its instant has another.
@pytest.mark.parametrize(
    ("dataset", "limits"), [(d, (2, 7, 24) if d == "liquidations" else (1, 7, 24)) for d in SERIES]
)
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, dataset: str, limits: tuple[int, ...]) -> None:
    whole = _rows(_bench(sandbox, universe=("SOL",)), dataset)
    assert whole.height >= 24
    for limit in limits:
        bench = _bench(sandbox, universe=("SOL",), page_limits={dataset: limit})
        assert _rows(bench, dataset).equals(whole), limit


@pytest.mark.parametrize("dataset", SERIES)
def test_days_one_by_one_and_the_range_land_the_same_rows(sandbox: Sandbox, dataset: str) -> None:
    bench, grain = _bench(sandbox), RAW_TABLES[dataset].grain
    days = [CRASH + timedelta(days=i) for i in range(-1, 2)]
    single = pl.concat([_rows(bench, dataset, day) for day in days]).sort(grain)
    assert single.equals(_rows(bench, dataset, days[0], days[-1]).sort(grain))


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [*SERIES, "depth_bands", "tickers", "open_interest"])
@pytest.mark.parametrize("kind", ["rate_limited", "error", "torn"])
def test_a_passing_fault_is_repaired(sandbox: Sandbox, dataset: str, kind: Any) -> None:
    def rows(**more: Any) -> pl.DataFrame:
        clocks = ("occurred_at_utc",) if dataset == "open_interest" else ()
        return _rows(_bench(sandbox, universe=("SOL",), **more), dataset).drop(clocks)

    assert rows(faults=Faults((Fault(kind, path=PATHS[dataset]),))).equals(rows())


@pytest.mark.parametrize("dataset", [*SERIES, "tickers", "open_interest"])
@pytest.mark.parametrize("shape", [None, [], {"trades": None}, {"ticks": [], "open": 7}])
def test_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, shape: Any) -> None:
    if shape == [] and dataset not in ("candles", "liquidations"):
        shape = {}
    bench = _bench(sandbox, universe=("SOL",), faults=_results_spoiled(dataset, lambda _: shape))
    with pytest.raises(SourceOutage, match="the answer is no list of records") as caught:
        bench.client.fetch(dataset, TODAY)
    assert caught.value.code == "venue_error"


def test_candles_whose_columns_differ_in_length_are_a_venue_error(sandbox: Sandbox) -> None:
    faults = _results_spoiled("candles", lambda r: {**r, "volume": r["volume"][1:]})
    with pytest.raises(SourceOutage, match=r"lists of different lengths \(23 to 24\)"):
        _bench(sandbox, universe=("SOL",), faults=faults).client.fetch("candles", CRASH)


def test_another_contracts_trades_or_book_are_a_venue_error(sandbox: Sandbox) -> None:
    trades = _results_spoiled(
        "liquidations", lambda r: {"trades": [{**t, "instrument_name": "BTC-PERPETUAL"} for t in r["trades"]]}
    )
    book = _results_spoiled("depth_bands", lambda r: {**r, "instrument_name": "BTC-PERPETUAL"})
    for dataset, faults in (("liquidations", trades), ("depth_bands", book)):
        with pytest.raises(SourceOutage, match="another symbol") as caught:
            _bench(sandbox, universe=("SOL",), faults=faults).client.fetch(dataset, CRASH)
        assert caught.value.code == "venue_error"


def test_an_error_in_the_envelope_is_the_venues(sandbox: Sandbox) -> None:
    error = {"message": "Invalid params", "code": -32602}
    faults = spoiled(PATHS["candles"], lambda body: {"jsonrpc": "2.0", "error": error, "testnet": False})
    with pytest.raises(SourceOutage) as caught:
        _bench(sandbox, faults=faults).client.fetch("candles", CRASH)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        ("funding_rates", {"interest_1h": None}),
        ("funding_rates", {"timestamp": "noon"}),
        ("funding_rates", {"interest_1h": 0.5}),
        ("liquidations", {"amount": 0}),
        ("liquidations", {"direction": "zero"}),
        ("liquidations", {"liquidation": "X"}),
        ("liquidations", {"liquidation": []}),
        ("liquidations", {"price": "NaN"}),
    ],
)
def test_a_malformed_record_is_quarantined_and_costs_no_other(
    sandbox: Sandbox, dataset: str, change: dict[str, Any]
) -> None:
    calm = _rows(_bench(sandbox, universe=("SOL",)), dataset)
    begin = ms_of(datetime(2025, 10, 10))
    chosen: list[Any] = []

    def spoil(result: Any) -> Any:
        records = result["trades"] if dataset == "liquidations" else result
        wanted = [r for r in records if (dataset != "liquidations" or "liquidation" in r) and r["timestamp"] > begin]
        if not chosen and wanted:
            chosen.append(wanted[len(wanted) // 2])
        records = [{**r, **change} if r in chosen else r for r in records]
        return {**result, "trades": records} if dataset == "liquidations" else records

    bench = _bench(sandbox, universe=("SOL",), faults=_results_spoiled(dataset, spoil))
    good, rejected = judged(bench.client.fetch(dataset, CRASH), dataset, NOW)
    assert (good.height, rejected["row_count"].n_unique()) == (calm.height - 1, 1)


@pytest.mark.parametrize(("column", "value"), [("high", "x"), ("volume", -1), ("ticks", 7)])
def test_a_malformed_candle_is_quarantined_and_costs_no_other(sandbox: Sandbox, column: str, value: Any) -> None:
    hour = ms_of(datetime(2025, 10, 10, 5))

    def spoil(result: Any) -> Any:
        return {
            **result,
            column: [value if t == hour else v for t, v in zip(result["ticks"], result[column], strict=True)],
        }

    bench = _bench(sandbox, universe=("SOL",), faults=_results_spoiled("candles", spoil))
    good, rejected = judged(bench.client.fetch("candles", CRASH), "candles", NOW)
    assert (good.height, rejected["row_count"].n_unique()) == (23, 1)


@pytest.mark.parametrize("dataset", ["tickers", "open_interest"])
def test_a_contract_that_is_not_summed_up_is_quarantined_alone(sandbox: Sandbox, dataset: str) -> None:
    faults = _results_spoiled(dataset, lambda r: [s for s in r if "ETH" not in s["instrument_name"]])
    bench = _bench(sandbox, faults=faults)
    good, rejected = judged(bench.client.fetch(dataset, TODAY), dataset, NOW)
    assert good["asset"].to_list() == ["BTC", "SOL"]
    assert rejected["row_count"].n_unique() == 1


def test_an_empty_book_costs_no_other(sandbox: Sandbox) -> None:
    def empty(result: Any) -> Any:
        return {**result, "bids": []} if result["instrument_name"].startswith("ETH") else result

    capture = _bench(sandbox, faults=_results_spoiled("depth_bands", empty)).client.depth_bands()
    good, rejected = judged(capture, "depth_bands", NOW)
    assert good["asset"].unique().sort().to_list() == ["BTC", "SOL"]
    assert rejected.height > 0
    assert "ETH-PERPETUAL" in capture.origin_note
