"""The real ccxt client against the sandbox's dYdX: what lands equals the venue's truth, with and without faults."""

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
from pipelines.sources.exchanges.dydx import Dydx
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
CRASH = date(2025, 10, 10)
NOW = datetime(2025, 10, 21, 12, 30)
ASSETS = ("BTC", "ETH", "SOL")
SERIES = ("candles", "funding_rates", "open_interest", "liquidations")
PATHS = {
    "candles": "/v4/candles/perpetualMarkets/",
    "funding_rates": "/v4/historicalFunding/",
    "open_interest": "/v4/candles/perpetualMarkets/",
    "liquidations": "/v4/trades/perpetualMarket/",
    "depth_bands": "/v4/orderbooks/perpetualMarket/",
}
LISTS = {"funding_rates": "historicalFunding", "liquidations": "trades"}


@pytest.fixture(scope="module", autouse=True)
def _large() -> Iterator[None]:
    """Give the venue two fifths of all accounts: with its own share it has one liquidation in a week."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(venue_market.SHARES, "dydx", Share(2.0, 8.0, 1))
        yield


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=CRASH)


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "dydx")


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, now: datetime = NOW, **more: Any) -> Bench:
    return bench_of(Dydx, sandbox, now=now, **{"universe": ASSETS, **more})


def _rows(bench: Bench, dataset: str, first: date = CRASH, last: date | None = None) -> pl.DataFrame:
    return valid(bench.client.fetch(dataset, first, last), dataset, bench.clock.now()).drop("payload_sha256")


def _truth(market: VenueMarket, asset: str) -> list[tuple[int, str, float, str, float]]:
    """Return the liquidations as they must land: every fifth is a deleveraging, at the price of bankruptcy."""
    told = market.liquidations(asset)
    return [
        (
            int(told.at_ms[i]),
            "long" if told.is_long[i] else "short",
            float(told.bankruptcy_quote[i] if i % 5 == 4 else told.fill_quote[i]),
            "bankruptcy" if i % 5 == 4 else "average_fill",
            round(float(told.quantity_base[i]), 10),
        )
        for i in range(told.at_ms.size)
    ]


def _told(rows: pl.DataFrame, asset: str) -> list[tuple[Any, ...]]:
    got = columns_of(rows.sort("occurred_at_utc"), asset=asset)
    names = ("position_side", "order_price_quote", "order_price_kind", "quantity_base")
    return list(zip(ms(got["occurred_at_utc"]).tolist(), *(got[n].tolist() for n in names), strict=True))


# -- what lands -------------------------------------------------------------------------------------------------------


def test_instruments_are_the_perpetuals_of_the_universe_that_trade(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, universe=("SOL", "MATIC", "BTC", "ETH"))
    capture = bench.client.instruments()
    rows = valid(capture, "instruments", NOW)
    assert rows["venue_symbol"].to_list() == ["BTC-USD", "ETH-USD", "SOL-USD"]
    assert rows["contract_kind"].unique().to_list() == ["linear"]
    assert rows["contract_size_base"].to_list() == [1.0, 1.0, 1.0]
    assert rows["quote_asset"].unique().to_list() == rows["settle_asset"].unique().to_list() == ["USDC"]
    assert rows["price_tick_quote"].to_list() == [0.1, 0.01, 0.01]
    assert rows["quantity_step_base"].to_list() == [0.001, 0.001, 0.01]
    assert capture.origin_note == "GET /v4/perpetualMarkets; not listed here: MATIC"
    assert [s.path for s in bench.sandbox.requests] == ["/v4/perpetualMarkets"]


def test_candles_of_the_whole_range_equal_the_venue(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox)
    rows = _rows(bench, "candles", FIRST, market.last_day)
    assert_trade_candles(rows.filter(pl.col("interval_end_utc") <= NOW), market, slice(0, 31 * 24 + 12), ASSETS)
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    half = market.open_candle("ETH", NOW)
    assert half is not None
    assert running.filter(pl.col("asset") == "ETH")["low_quote"].item() == half.low_quote[0]
    assert len(bench.sandbox.requests) <= 7


def test_funding_is_hourly_at_the_venues_own_instants(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "funding_rates", FIRST, market.last_day)
    for asset in ASSETS:
        got, want = columns_of(rows, asset=asset), market.funding(asset)
        known = want.settled_ms <= ms_of(NOW)
        assert known.sum() == 31 * 24 + 13
        assert np.array_equal(ms(got["occurred_at_utc"]), want.settled_ms[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])


def test_open_interest_is_that_of_the_start_of_each_hour_in_base_units(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "open_interest", FIRST, market.last_day)
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    assert rows["open_interest_usd"].null_count() == rows.height
    for asset in ASSETS:
        got, want = columns_of(rows, asset=asset), market.open_interest(asset)
        hours = slice(0, 31 * 24 + 13)
        assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[hours])
        assert np.array_equal(got["open_interest_base"], want.open_interest_base[hours])


def test_liquidations_are_the_forced_ones_among_all_trades(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "liquidations", FIRST, market.last_day)
    kinds = set()
    for asset in ASSETS:
        want = [row for row in _truth(market, asset) if row[0] <= ms_of(NOW)]
        assert _told(rows, asset) == want
        kinds |= {(side, kind) for _, side, _, kind, _ in want}
    assert kinds == {(side, kind) for side in ("long", "short") for kind in ("average_fill", "bankruptcy")}
    assert rows["quantity_contracts"].null_count() == rows.height


def test_depth_bands_are_of_the_venues_book_at_our_clock(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _rows(_bench(sandbox), "depth_bands")
    assert rows.height == 3 * len(BANDS_BPS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    reached = 0
    for asset in ASSETS:
        book = market.book(asset, NOW)
        got = rows.filter(pl.col("asset") == asset)
        assert got["mid_quote"].unique().to_list() == [pytest.approx(book.mid_quote, rel=1e-12)]
        for band, bid, ask in got.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
            for side, depth in ((book.bids[:100], bid), (book.asks[:100], ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    assert away.max() < band
                else:
                    reached += 1
                    assert depth == pytest.approx(side[away <= band + 1e-6, 1].sum(), rel=1e-9)
    assert reached > 0


def test_tickers_are_all_perpetuals_at_the_oracles_price(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox, universe=("SOL",))
    rows = _rows(bench, "tickers")
    assert rows["venue_symbol"].to_list() == ["BTC-USD", "ETH-USD", "SOL-USD"]
    assert rows["last_quote"].null_count() == rows["volume_24h_base"].null_count() == 3
    for asset, mark, held in rows.select("asset", "mark_quote", "open_interest_base").rows():
        want = market.open_interest(asset)
        assert mark == market.price(asset, NOW)
        assert held == want.open_interest_base[int(want.at_ms.searchsorted(ms_of(NOW), side="right")) - 1]
    assert bench.asked("/v4/perpetualMarkets") == 2, "once as the catalogue, once for the figures"
    bench.sandbox.restart(faults=spoiled("/v4/perpetualMarkets", lambda _: {"markets": []}))
    with pytest.raises(SourceOutage, match="holds no markets") as caught:
        bench.client.fetch("tickers", CRASH)
    assert caught.value.code == "venue_error"


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


def test_hours_that_the_chain_stood_still_are_a_hole_and_no_fault(sandbox: Sandbox) -> None:
    def halted(at: str) -> bool:
        return "2025-10-10T03" <= at < "2025-10-10T07"

    def cut(name: str, clock: str) -> Callable[[Any], Any]:
        return lambda body: {name: [r for r in body[name] if not halted(r[clock])]}

    for dataset, change in (
        ("candles", cut("candles", "startedAt")),
        ("funding_rates", cut("historicalFunding", "effectiveAt")),
    ):
        bench = _bench(sandbox, universe=("SOL",), faults=spoiled(PATHS[dataset], change))
        assert _rows(bench, dataset).height == 20


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [*SERIES, "depth_bands"])
@pytest.mark.parametrize("kind", ["rate_limited", "error", "torn"])
def test_a_passing_fault_is_repaired(sandbox: Sandbox, dataset: str, kind: Any) -> None:
    calm = _rows(_bench(sandbox, universe=("SOL",)), dataset)
    bench = _bench(sandbox, universe=("SOL",), faults=Faults((Fault(kind, path=PATHS[dataset]),)))
    assert (
        _rows(bench, dataset).drop("occurred_at_utc", strict=False).equals(calm.drop("occurred_at_utc", strict=False))
    )


def test_a_refused_location_is_told_as_one(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, faults=Faults((Fault("geoblocked", times=9),)))
    with pytest.raises(SourceOutage) as caught:
        bench.client.probe()
    assert caught.value.code == "geoblocked"


@pytest.mark.parametrize("dataset", SERIES)
@pytest.mark.parametrize("shape", [{}, [], {"candles": None, "historicalFunding": {}, "trades": "none"}])
def test_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, shape: Any) -> None:
    bench = _bench(sandbox, universe=("SOL",), faults=spoiled(PATHS[dataset], lambda _: shape))
    with pytest.raises(SourceOutage, match=r"SOL-USD: the answer is no list of records") as caught:
        bench.client.fetch(dataset, CRASH)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("dataset", ["candles", "funding_rates", "open_interest"])
def test_another_contracts_records_are_a_venue_error(sandbox: Sandbox, dataset: str) -> None:
    name = LISTS.get(dataset, "candles")
    faults = spoiled(PATHS[dataset], lambda body: {name: [{**r, "ticker": "BTC-USD"} for r in body[name]]})
    bench = _bench(sandbox, universe=("SOL",), faults=faults)
    with pytest.raises(SourceOutage, match="another symbol") as caught:
        bench.client.fetch(dataset, CRASH)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        ("candles", {"high": "x"}),
        ("candles", {"startedAt": "yesterday"}),
        ("funding_rates", {"rate": None}),
        ("funding_rates", {"effectiveAt": 1_760_000_000_000}),
        ("open_interest", {"startingOpenInterest": "-1"}),
        ("liquidations", {"size": "0"}),
        ("liquidations", {"side": "HOLD"}),
        ("liquidations", {"price": None}),
        ("liquidations", {"type": 7}),
    ],
)
def test_a_malformed_record_is_quarantined_and_costs_no_other(
    sandbox: Sandbox, dataset: str, change: dict[str, Any]
) -> None:
    name = LISTS.get(dataset, "candles")
    calm = _rows(_bench(sandbox, universe=("SOL",)), dataset)
    chosen: list[Any] = []

    def spoil(body: Any) -> Any:
        wanted = [r for r in body[name] if r.get("type") != "LIMIT" and str(CRASH) in repr(r)]
        if not chosen and wanted:
            chosen.append(wanted[len(wanted) // 2])
        return {name: [{**r, **change} if r in chosen else r for r in body[name]]}

    bench = _bench(sandbox, universe=("SOL",), faults=spoiled(PATHS[dataset], spoil))
    good, rejected = judged(bench.client.fetch(dataset, CRASH), dataset, NOW)
    assert (good.height, rejected["row_count"].n_unique()) == (calm.height - 1, 1)


def test_an_empty_or_crossed_book_costs_no_other(sandbox: Sandbox) -> None:
    faults = spoiled(f"{PATHS['depth_bands']}SOL", lambda body: {**body, "bids": []})
    capture = _bench(sandbox, faults=faults).client.depth_bands()
    good, rejected = judged(capture, "depth_bands", NOW)
    assert good["asset"].unique().sort().to_list() == ["BTC", "ETH"]
    assert rejected.height > 0
    assert "SOL-USD" in capture.origin_note
