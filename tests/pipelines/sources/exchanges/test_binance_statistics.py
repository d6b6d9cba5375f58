"""Binance beyond trades: mark and index, long/short ratios, tickers and funds equal the world's truth, faults or none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from venue_clients import (
    Bench,
    assert_long_short_ratios,
    assert_price_candles,
    bench_of,
    judged,
    spoiled,
    valid,
)

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.binance import BinanceUsdm

FIRST = date(2025, 9, 20)
NOW = datetime(2025, 10, 21, 12, 30)
ASSETS = ("BTC", "SOL")
DAYS = (date(2025, 10, 9), date(2025, 10, 11))
HOURS = slice(19 * 24, 22 * 24)
KINDS = ("accounts", "top_accounts", "top_positions")

MARK, INDEX = "/fapi/v1/markPriceKlines", "/fapi/v1/indexPriceKlines"
RATIO = "/futures/data/globalLongShortAccountRatio"
TICKER, QUOTES, MARKS = "/fapi/v1/ticker/24hr", "/fapi/v1/ticker/bookTicker", "/fapi/v1/premiumIndex"
FUNDS, RISKS = "/fapi/v1/insuranceBalance", "/fapi/v1/symbolAdlRisk"
# Dataset -> one of its paths.
SERIES = {"candles": MARK, "long_short_ratios": RATIO}
SNAPSHOTS = {"tickers": TICKER, "insurance_funds": FUNDS, "adl_states": RISKS}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(7, FIRST, 32, assets=ASSETS, crash_day=date(2025, 10, 10))
    with serve(world, now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "binance")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    more = {"now": NOW, "universe": ASSETS, **more}
    return bench_of(BinanceUsdm, sandbox, faults=faults, **more)


def _fetch(bench: Bench, dataset: str) -> Any:
    return bench.client.fetch(dataset, *DAYS)


# -- values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1_500, 24, 5])
def test_mark_and_index_candles_are_the_markets_at_any_page_limit(
    sandbox: Sandbox, market: VenueMarket, limit: int
) -> None:
    bench = _bench(sandbox, page_limits={"candles": limit})
    rows = valid(_fetch(bench, "candles"), "candles", NOW)
    assert_price_candles(rows, market, HOURS, ASSETS)
    assert rows.height == 2 * 3 * 72
    # The index is asked for by pair.
    assert {s.query.get("pair") for s in sandbox.requests if s.path == INDEX} == {"BTCUSDT", "SOLUSDT"}


def test_the_running_hour_of_mark_and_index_lies_inside_the_whole_one(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = valid(_bench(sandbox).client.candles(NOW.date()), "candles", NOW)
    for kind, whole in (("mark", market.mark_candles("BTC")), ("index", market.index_candles("BTC"))):
        running = rows.filter(price_kind=kind, asset="BTC", interval_start_utc=datetime(2025, 10, 21, 12))
        assert running["open_quote"].item() == whole.open_quote[31 * 24 + 12]
        assert running["close_quote"].item() == market.price_of_kind("BTC", kind, NOW)


@pytest.mark.parametrize("limit", [500, 24, 5])
def test_ratios_are_the_markets_at_any_page_limit(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    bench = _bench(sandbox, page_limits={"long_short_ratios": limit})
    rows = valid(_fetch(bench, "long_short_ratios"), "long_short_ratios", NOW)
    assert_long_short_ratios(rows, market, KINDS, HOURS, ASSETS)
    assert rows.height == 3 * 2 * 72


def test_ratios_of_the_whole_memory_cost_few_requests_and_none_before_it(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    first = bench.client.first_offered_day("long_short_ratios")
    assert first == date(2025, 9, 22)
    rows = valid(bench.client.long_short_ratios(first, NOW.date()), "long_short_ratios", NOW)
    assert rows.height == 3 * 2 * (29 * 24 + 13)
    assert bench.asked(RATIO) == 2 * 2
    with pytest.raises(SourceOutage, match="2025-09-22") as caught:
        bench.client.long_short_ratios(first - timedelta(days=1), NOW.date())
    assert caught.value.code == "not_offered"


def test_tickers_are_all_contracts_of_the_product_as_they_trade_now(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox, universe=("BTC",))
    capture = bench.client.tickers()
    rows = valid(capture, "tickers", NOW)
    # Also what is not in the universe, and neither the USDC contract nor the dated one.
    assert rows["venue_symbol"].to_list() == ["BTCUSDT", "SOLUSDT"]
    assert [bench.asked(path) for path in (TICKER, QUOTES, MARKS)] == [1, 1, 1]
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    for asset in ASSETS:
        row, book = rows.filter(asset=asset).row(0, named=True), market.book(asset, NOW)
        assert row["last_quote"] == market.price(asset, NOW)
        assert (row["best_bid_quote"], row["best_ask_quote"]) == (book.bids[0, 0], book.asks[0, 0])
        assert row["mark_quote"] == market.price_of_kind(asset, "mark", NOW)
        assert row["index_quote"] == market.price_of_kind(asset, "index", NOW)
        assert row["volume_24h_base"] == pytest.approx(market.volume_24h_base(asset, NOW), rel=1e-9)
        assert [row[f"open_interest_{unit}"] for unit in ("base", "usd", "basis")] == [None] * 3


def test_funds_are_the_markets_one_row_per_pool_and_asset(sandbox: Sandbox, market: VenueMarket) -> None:
    capture = _bench(sandbox).client.insurance_funds()
    rows = valid(capture, "insurance_funds", NOW).sort("fund_name", "settle_asset")
    assert rows.select("fund_name", "settle_asset").rows() == [
        ("BTCUSDT", "BTC"),
        ("BTCUSDT", "USDT"),
        ("SOLUSDT", "USDT"),
    ]
    dollars = rows.filter(settle_asset="USDT")["balance_settle"]
    assert dollars.sum() == pytest.approx(market.insurance_fund_usd(NOW), rel=1e-12)
    assert rows["balance_usd"].null_count() == 3, "the venue tells no value"
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (datetime(2025, 10, 10, 12, 47), "low"),
        (datetime(2025, 10, 10, 15, 47), "medium"),
        (datetime(2025, 10, 10, 21, 47), "high"),
        (datetime(2025, 10, 12), "low"),
    ],
)
def test_the_risk_of_deleveraging_is_the_venues_rating_of_the_last_half_hour(
    sandbox: Sandbox, now: datetime, word: str
) -> None:
    bench = _bench(sandbox, now=now)
    rows = valid(bench.client.adl_states(), "adl_states", now)
    at = now.replace(minute=now.minute // 30 * 30)
    told = rows.select("venue_symbol", "asset", "occurred_at_utc", "adl_word")
    assert told.rows() == [("BTCUSDT", "BTC", at, word), ("SOLUSDT", "SOL", at, word)]
    assert rows["settle_asset"].to_list() == ["USDT"] * 2
    figures = rows.select("fund_balance_settle", "pnl_ratio_frac", "adl_start_ratio_frac")
    assert figures.null_count().row(0) == (2, 2, 2), "the venue tells no figure, and none is 0"
    assert bench.asked(RISKS) == 1


def test_a_rating_in_capitals_is_the_same(sandbox: Sandbox) -> None:
    faults = spoiled(RISKS, lambda rows: [{**r, "adlRisk": r["adlRisk"].upper()} for r in rows])
    assert valid(_bench(sandbox, faults).client.adl_states(), "adl_states", NOW)["adl_word"].to_list() == ["low"] * 2


@pytest.mark.parametrize(
    "bad",
    [None, 5, {}, {"symbol": "SOLUSDT"}, {"symbol": "SOLUSDT", "adlRisk": "extreme", "updateTime": 1761049800000}],
)
def test_a_rating_that_cannot_be_read_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = spoiled(RISKS, lambda rows: [bad if r["symbol"] == "SOLUSDT" else r for r in rows])
    good, rejected = judged(_bench(sandbox, faults).client.adl_states(), "adl_states", NOW)
    assert (good["asset"].to_list(), rejected.height) == (["BTC"], 1)


# -- faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [*SERIES, *SNAPSHOTS])
def test_a_passing_fault_does_not_change_what_lands(sandbox: Sandbox, dataset: str) -> None:
    calm = _fetch(_bench(sandbox), dataset).rows.drop("payload_sha256")
    path = {**SERIES, **SNAPSHOTS}[dataset]
    bench = _bench(sandbox, Faults((Fault("torn", path=path), Fault("error", first=2, path=path))))
    assert _fetch(bench, dataset).rows.drop("payload_sha256").equals(calm)
    assert len(bench.clock.slept) == 2


@pytest.mark.parametrize("dataset", [*SERIES, *SNAPSHOTS])
@pytest.mark.parametrize("answer", [{"rows": []}, {}, {"code": 0}])
def test_an_answer_of_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, answer: Any) -> None:
    bench = _bench(sandbox, spoiled({**SERIES, **SNAPSHOTS}[dataset], lambda _: answer))
    with pytest.raises(SourceOutage) as caught:
        _fetch(bench, dataset)
    assert caught.value.code == "venue_error"


def test_ratios_of_another_symbol_are_a_venue_error(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, spoiled(RATIO, lambda rows: [{**r, "symbol": "ETHUSDT"} for r in rows]))
    with pytest.raises(SourceOutage, match="another symbol"):
        _fetch(bench, "long_short_ratios")


@pytest.mark.parametrize("bad", [None, "n/a", "NaN", "0", "-1", "1001", True, ["1"]])
def test_a_malformed_ratio_is_refused_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = spoiled(RATIO, lambda rows: [{**rows[0], "longShortRatio": bad}, *rows[1:]])
    good, rejected = judged(
        _fetch(_bench(sandbox, faults, universe=("SOL",)), "long_short_ratios"), "long_short_ratios", NOW
    )
    assert (good.height, rejected.height) == (3 * 72 - 1, 1)
    assert rejected["reason"].item()


@pytest.mark.parametrize("bad", [None, 5, "x", {}, {"symbol": 7}])
@pytest.mark.parametrize("path", [TICKER, QUOTES, MARKS])
def test_a_ticker_that_cannot_be_read_costs_no_other(sandbox: Sandbox, path: str, bad: Any) -> None:
    faults = spoiled(path, lambda rows: [bad if r["symbol"] == "SOLUSDT" else r for r in rows])
    good, rejected = judged(_bench(sandbox, faults).client.tickers(), "tickers", NOW)
    assert good["asset"].to_list() == (["BTC"] if path == TICKER else ["BTC", "SOL"])
    assert rejected.height == 2 - good.height
    if path != TICKER:
        missing = "best_bid_quote" if path == QUOTES else "mark_quote"
        assert good.filter(asset="SOL")[missing].to_list() == [None], "what is not told is missing and not 0"


@pytest.mark.parametrize(
    "bad",
    [None, 5, {"symbols": [], "assets": []}, {"symbols": "BTCUSDT", "assets": None}, {"assets": [{"asset": "USDT"}]}],
)
def test_a_fund_that_cannot_be_read_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = spoiled(FUNDS, lambda pools: [pools[0], bad])
    good, rejected = judged(_bench(sandbox, faults).client.insurance_funds(), "insurance_funds", NOW)
    assert good["fund_name"].to_list() == ["BTCUSDT"] * 2
    assert rejected.height == (0 if isinstance(bad, dict) and bad.get("assets") == [] else 1)
