"""OKX beyond linear trades: marks, ratios, liquidations, snapshots and inverse swaps equal the world's truth, faults or none."""

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
from pipelines.sources.exchanges.okx import Okx

FIRST = date(2025, 9, 20)
NOW = datetime(2025, 10, 21, 12, 30)
# An evening of the crash: its whole day is still shown.
CRASH = datetime(2025, 10, 10, 23, 50)
ASSETS = ("BTC", "SOL")
LINEAR = ("BTC-USDT-SWAP", "SOL-USDT-SWAP")
INVERSE = "BTC-USD-SWAP"
DAYS = (date(2025, 10, 9), date(2025, 10, 11))
HOURS = slice(19 * 24, 22 * 24)
KINDS = ("accounts", "top_accounts", "top_positions")

MARK, INDEX = "/api/v5/market/mark-price-candles", "/api/v5/market/index-candles"
RATIO = "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract"
LIQUIDATIONS = "/api/v5/public/liquidation-orders"
TICKERS, INTEREST, MARKS = "/api/v5/market/tickers", "/api/v5/public/open-interest", "/api/v5/public/mark-price"
TIERS, FUND = "/api/v5/public/position-tiers", "/api/v5/public/insurance-fund"
# Dataset -> one of its paths.
PATHS = {
    "candles": MARK,
    "long_short_ratios": RATIO,
    "liquidations": LIQUIDATIONS,
    "tickers": TICKERS,
    "leverage_tiers": TIERS,
    "insurance_funds": FUND,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(7, FIRST, 32, assets=ASSETS, crash_day=date(2025, 10, 10))
    with serve(world, now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "okx")


@pytest.fixture(scope="module")
def inverse(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "okx_inverse")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    more = {"now": NOW, "universe": ASSETS, **more}
    return bench_of(Okx, sandbox, faults=faults, **more)


def _fetch(sandbox: Sandbox, dataset: str, faults: Faults | None = None, **more: Any) -> tuple[Bench, Any]:
    """Return a dataset of three days, of the crash's day where only one is kept, and the bench it came over."""
    now, days = (CRASH, (CRASH.date(),)) if dataset == "liquidations" else (NOW, DAYS)
    bench = _bench(sandbox, faults, **{"now": now, **more})
    return bench, bench.client.fetch(dataset, *days)


def _linear(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("venue_symbol").is_in(LINEAR))


def _rows_spoiled(path: str, change: Any) -> Faults:
    """Let the sandbox answer a path with its answer, the list of records changed."""
    return Faults(spoiled={path: lambda body: {**body, "data": change(body["data"])}})


# -- series -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [100, 24, 7])
def test_mark_and_index_candles_are_the_markets_at_any_page_limit(
    sandbox: Sandbox, market: VenueMarket, inverse: VenueMarket, limit: int
) -> None:
    _, capture = _fetch(sandbox, "candles", page_limits={"candles": limit})
    rows = valid(capture, "candles", NOW)
    assert_price_candles(_linear(rows), market, HOURS, ASSETS)
    assert_price_candles(rows.filter(venue_symbol=INVERSE), inverse, HOURS, ("BTC",))
    assert rows.height == 3 * 3 * 72
    # The index is asked for by pair.
    assert {s.query["instId"] for s in sandbox.requests if s.path == INDEX} == {"BTC-USD", "BTC-USDT", "SOL-USDT"}


def test_marks_of_old_days_come_from_the_history_and_the_running_hour_from_the_latest(
    sandbox: Sandbox, market: VenueMarket
) -> None:
    bench = _bench(sandbox, universe=("SOL",))
    rows = valid(bench.client.candles(FIRST, NOW.date()), "candles", NOW)
    assert_price_candles(rows.filter(pl.col("interval_end_utc") <= NOW), market, slice(0, 31 * 24 + 12), ("SOL",))
    assert bench.asked("/api/v5/market/history-mark-price-candles") == bench.asked(
        "/api/v5/market/history-index-candles"
    )
    for kind in ("mark", "index"):
        running = rows.filter(price_kind=kind, interval_start_utc=datetime(2025, 10, 21, 12))
        assert running["close_quote"].item() == market.price_of_kind("SOL", kind, NOW)


@pytest.mark.parametrize("limit", [100, 24, 7])
def test_ratios_are_the_markets_at_any_page_limit(
    sandbox: Sandbox, market: VenueMarket, inverse: VenueMarket, limit: int
) -> None:
    _, capture = _fetch(sandbox, "long_short_ratios", page_limits={"long_short_ratios": limit})
    rows = valid(capture, "long_short_ratios", NOW)
    assert_long_short_ratios(_linear(rows), market, KINDS, HOURS, ASSETS)
    assert_long_short_ratios(rows.filter(venue_symbol=INVERSE), inverse, KINDS, HOURS, ("BTC",))
    assert rows.height == 3 * 3 * 72


def test_ratios_before_the_memory_are_not_offered(sandbox: Sandbox) -> None:
    now = datetime(2025, 11, 25)
    bench = _bench(sandbox, now=now, universe=("SOL",))
    first = bench.client.first_offered_day("long_short_ratios")
    assert first == date(2025, 9, 27)
    assert bench.client.long_short_ratios(first).rows.height == 3 * 24
    with pytest.raises(SourceOutage, match="2025-09-27") as caught:
        bench.client.long_short_ratios(first - timedelta(days=1))
    assert caught.value.code == "not_offered"


def test_funding_and_open_interest_of_an_inverse_swap_are_the_markets(sandbox: Sandbox, inverse: VenueMarket) -> None:
    bench = _bench(sandbox)
    funding = columns_of(valid(bench.client.funding_rates(*DAYS), "funding_rates", NOW), venue_symbol=INVERSE)
    want = inverse.funding("BTC")
    inside = (want.settled_ms >= ms_of(datetime(2025, 10, 9))) & (want.settled_ms < ms_of(datetime(2025, 10, 12)))
    assert np.array_equal(ms(funding["occurred_at_utc"]), want.settled_ms[inside])
    assert np.array_equal(funding["funding_rate_frac"], want.rate_frac[inside])
    held = columns_of(valid(bench.client.open_interest(*DAYS), "open_interest", NOW), venue_symbol=INVERSE)
    series = inverse.open_interest("BTC")
    assert np.array_equal(held["open_interest_base"], series.open_interest_base[HOURS]), "coins, not contracts"
    assert np.array_equal(held["open_interest_usd"], series.open_interest_usd[HOURS])


def test_candles_of_an_inverse_swap_count_its_volume_in_base(sandbox: Sandbox, inverse: VenueMarket) -> None:
    rows = valid(_bench(sandbox).client.candles(*DAYS), "candles", NOW)
    got, want = columns_of(rows, venue_symbol=INVERSE, price_kind="trade"), inverse.candles("BTC")
    for name in ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base"):
        assert np.array_equal(got[name], getattr(want, name)[HOURS]), name


def test_the_book_of_an_inverse_swap_is_dollars_over_the_price_of_each_level(
    sandbox: Sandbox, inverse: VenueMarket
) -> None:
    rows = valid(_bench(sandbox).client.depth_bands(), "depth_bands", NOW).filter(venue_symbol=INVERSE)
    book = inverse.book("BTC", NOW)
    seen = 0
    for band, bid, ask in rows.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
        for side, depth in ((book.bids[:400], bid), (book.asks[:400], ask)):
            if depth is not None:
                within = side[np.abs(side[:, 0] / book.mid_quote - 1) * 1e4 <= band + 1e-6]
                # The venue counts whole contracts of 100 dollars.
                contracts = np.maximum(1, np.round(within[:, 1] * within[:, 0] / 100))
                assert depth == pytest.approx((contracts * 100 / within[:, 0]).sum(), rel=1e-9)
                seen += 1
    assert seen > 0


# -- liquidations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [100, 5])
def test_liquidations_are_the_markets_at_any_page_limit(
    sandbox: Sandbox, market: VenueMarket, inverse: VenueMarket, limit: int
) -> None:
    _, capture = _fetch(sandbox, "liquidations", page_limits={"liquidations": limit})
    rows = valid(capture, "liquidations", CRASH)
    begin, end = ms_of(datetime(2025, 10, 10)), ms_of(CRASH)
    for symbol, asset, truth in ((*LINEAR[:1], "BTC", market), (LINEAR[1], "SOL", market), (INVERSE, "BTC", inverse)):
        got, want = columns_of(rows.sort("occurred_at_utc"), venue_symbol=symbol), truth.liquidations(asset)
        inside = (want.at_ms >= begin) & (want.at_ms <= end)
        assert inside.any(), symbol
        assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[inside])
        assert np.array_equal(got["position_side"] == "long", want.is_long[inside])
        assert np.array_equal(got["order_price_quote"], want.bankruptcy_quote[inside])
        assert set(got["order_price_kind"]) == {"bankruptcy"}
        notional = want.quantity_base[inside] * want.bankruptcy_quote[inside]
        step = 100.0 if symbol == INVERSE else 10.0 ** -truth.profile(asset).quantity_decimals * 120_000
        assert np.allclose(got["notional_usd"], notional, rtol=0, atol=step)
        if symbol == INVERSE:
            assert np.array_equal(got["notional_usd"], got["quantity_contracts"] * 100)


def test_liquidations_are_asked_for_by_family_and_only_filled_ones(sandbox: Sandbox) -> None:
    bench, _ = _fetch(sandbox, "liquidations")
    asked = [s.query for s in sandbox.requests if s.path == LIQUIDATIONS]
    assert {q["instFamily"] for q in asked} == {"BTC-USD", "BTC-USDT", "SOL-USDT"}
    assert {(q["instType"], q["state"], q["limit"]) for q in asked} == {("SWAP", "filled", "100")}
    assert bench.client.first_offered_day("liquidations") == date(2025, 10, 10)


def test_yesterdays_liquidations_are_not_offered(sandbox: Sandbox) -> None:
    with pytest.raises(SourceOutage, match="2025-10-21") as caught:
        _bench(sandbox).client.liquidations(date(2025, 10, 20))
    assert caught.value.code == "not_offered"


def test_a_calm_day_has_no_liquidation_and_is_no_fault(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, spoiled(LIQUIDATIONS, lambda body: {**body, "data": []}))
    assert bench.client.liquidations(NOW.date()).rows.height == 0


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        {},
        {"sz": "0"},
        {"sz": None},
        {"bkPx": "NaN"},
        {"ts": "1760054400"},
        {"side": "hold"},
        {"posSide": "long", "side": "buy"},
    ],
)
def test_a_malformed_liquidation_is_refused_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    calm = _fetch(sandbox, "liquidations", universe=("SOL",))[1].rows.height
    kept: dict[str, Any] = {}

    def spoil(entries: list[Any]) -> list[Any]:
        for entry in entries:
            first = kept.setdefault("first", entry["details"][0])
            broken = {**first, **bad} if isinstance(bad, dict) and bad else bad
            entry["details"] = [broken if d == first else d for d in entry["details"]]
        return entries

    _, capture = _fetch(sandbox, "liquidations", _rows_spoiled(LIQUIDATIONS, spoil), universe=("SOL",))
    good, rejected = judged(capture, "liquidations", CRASH)
    assert (good.height, rejected.select("row_count").unique().height) == (calm - 1, 1)
    assert rejected["reason"].to_list()


# -- snapshots ----------------------------------------------------------------------------------------------------------


def test_tickers_are_all_contracts_as_they_trade_now(
    sandbox: Sandbox, market: VenueMarket, inverse: VenueMarket
) -> None:
    bench = _bench(sandbox, universe=("BTC",))
    rows = valid(bench.client.tickers(), "tickers", NOW)
    assert rows["venue_symbol"].sort().to_list() == [INVERSE, *LINEAR], "also what is not in the universe"
    assert [bench.asked(path) for path in (TICKERS, INTEREST, MARKS)] == [1, 1, 1]
    for symbol, asset, truth in ((LINEAR[0], "BTC", market), (LINEAR[1], "SOL", market), (INVERSE, "BTC", inverse)):
        row, book = rows.filter(venue_symbol=symbol).row(0, named=True), truth.book(asset, NOW)
        assert (row["asset"], row["occurred_at_utc"]) == (asset, NOW)
        assert row["last_quote"] == truth.price(asset, NOW)
        assert (row["best_bid_quote"], row["best_ask_quote"]) == (book.bids[0, 0], book.asks[0, 0])
        assert row["mark_quote"] == truth.price_of_kind(asset, "mark", NOW)
        assert row["index_quote"] is None, "the venue tells it elsewhere"
        assert row["volume_24h_base"] == pytest.approx(truth.volume_24h_base(asset, NOW), rel=1e-9)
        held = truth.open_interest(asset)
        assert row["open_interest_base"] == held.open_interest_base[31 * 24 + 12]
        assert row["open_interest_usd"] == held.open_interest_usd[31 * 24 + 12]
        assert row["open_interest_basis"] == "one_sided"


@pytest.mark.parametrize("bad", [None, 5, "x", {}, {"instId": 7}])
@pytest.mark.parametrize("path", [TICKERS, INTEREST, MARKS])
def test_a_ticker_that_cannot_be_read_costs_no_other(sandbox: Sandbox, path: str, bad: Any) -> None:
    faults = _rows_spoiled(path, lambda rows: [bad if r["instId"] == LINEAR[1] else r for r in rows])
    good, rejected = judged(_bench(sandbox, faults).client.tickers(), "tickers", NOW)
    assert set(good["venue_symbol"]) == {INVERSE, *(LINEAR[:1] if path == TICKERS else LINEAR)}
    assert rejected.select("row_count").unique().height == 3 - good.height
    if path != TICKERS:
        missing = "open_interest_base" if path == INTEREST else "mark_quote"
        assert good.filter(venue_symbol=LINEAR[1])[missing].to_list() == [None], "not told is missing and not 0"


def test_tiers_are_contracts_at_the_mark_price_of_the_moment(
    sandbox: Sandbox, market: VenueMarket, inverse: VenueMarket
) -> None:
    bench = _bench(sandbox)
    rows = valid(bench.client.leverage_tiers(), "leverage_tiers", NOW)
    assert bench.asked(TIERS) == 3
    assert bench.asked(MARKS) == 1
    size = {
        LINEAR[0]: 0.01 * market.price_of_kind("BTC", "mark", NOW),
        LINEAR[1]: 1.0 * market.price_of_kind("SOL", "mark", NOW),
        INVERSE: 100 / inverse.price_of_kind("BTC", "mark", NOW),
    }
    for symbol, value in size.items():
        ladder = rows.filter(venue_symbol=symbol).sort("tier_rank")
        assert ladder["settle_asset"].unique().to_list() == ["BTC" if symbol == INVERSE else "USDT"]
        assert ladder["tier_rank"].to_list() == [1, 2, 3]
        assert ladder["notional_floor_settle"].to_list() == pytest.approx([0, 1_000 * value, 5_000 * value])
        assert ladder["notional_cap_settle"].to_list() == pytest.approx([1_000 * value, 5_000 * value, 20_000 * value])
        assert ladder["max_leverage_x"].to_list() == [100, 80, 50]
        least = market.profile(symbol[:3]).maintenance_margin_frac
        assert ladder["maintenance_margin_rate_frac"].to_list() == pytest.approx([least, 1.5 * least, 2 * least])
        assert ladder["maintenance_amount_settle"].null_count() == 3
        assert ladder["observed_at_utc"].unique().to_list() == [NOW]


@pytest.mark.parametrize(
    "change", [{"maxSz": None}, {"minSz": "1005"}, {"minSz": "999"}, {"mmr": "x"}, {"tier": "1.5"}]
)
def test_a_ladder_with_a_broken_tier_is_refused_whole_and_costs_no_other(
    sandbox: Sandbox, change: dict[str, Any]
) -> None:
    def spoil(tiers: list[Any]) -> list[Any]:
        return [{**t, **change} if (t["instFamily"], t["tier"]) == ("SOL-USDT", "2") else t for t in tiers]

    good, rejected = judged(_bench(sandbox, _rows_spoiled(TIERS, spoil)).client.leverage_tiers(), "leverage_tiers", NOW)
    assert set(good["venue_symbol"]) == {INVERSE, LINEAR[0]}
    assert good.height == 6
    assert rejected["reason"].to_list()


def test_without_a_mark_price_no_ladder_stands_for_it(sandbox: Sandbox) -> None:
    faults = _rows_spoiled(MARKS, lambda rows: [r for r in rows if r["instId"] != LINEAR[1]])
    good, rejected = judged(_bench(sandbox, faults).client.leverage_tiers(), "leverage_tiers", NOW)
    assert set(good["venue_symbol"]) == {INVERSE, LINEAR[0]}
    assert rejected.height > 0


def test_the_security_fund_is_one_row_of_dollars_at_its_last_change(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox)
    (row,) = valid(bench.client.insurance_funds(), "insurance_funds", NOW).iter_rows(named=True)
    changed = NOW.replace(hour=8, minute=0)
    assert (row["fund_name"], row["settle_asset"], row["occurred_at_utc"]) == ("security fund", "USD", changed)
    assert row["balance_settle"] == row["balance_usd"] == market.insurance_fund_usd(changed)
    assert bench.asked(FUND) == 1


@pytest.mark.parametrize("change", [{"total": None}, {"total": "-1"}, {"details": []}, {"details": None}])
def test_a_fund_that_cannot_be_read_is_refused(sandbox: Sandbox, change: dict[str, Any]) -> None:
    faults = _rows_spoiled(FUND, lambda funds: [{**f, **change} for f in funds])
    good, rejected = judged(_bench(sandbox, faults).client.insurance_funds(), "insurance_funds", NOW)
    assert good.height == 0
    assert rejected["reason"].to_list()


# -- faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", list(PATHS))
def test_a_passing_fault_does_not_change_what_lands(sandbox: Sandbox, dataset: str) -> None:
    calm = _fetch(sandbox, dataset)[1].rows.drop("payload_sha256")
    path = PATHS[dataset]
    bench, capture = _fetch(sandbox, dataset, Faults((Fault("torn", path=path), Fault("error", first=2, path=path))))
    assert capture.rows.drop("payload_sha256").equals(calm)
    assert len(bench.clock.slept) == 2


@pytest.mark.parametrize("dataset", list(PATHS))
@pytest.mark.parametrize(
    "answer", [{}, {"code": "0", "msg": "", "data": {}}, {"code": "51001", "msg": "no", "data": []}]
)
def test_an_answer_of_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, answer: Any) -> None:
    with pytest.raises(SourceOutage) as caught:
        _fetch(sandbox, dataset, spoiled(PATHS[dataset], lambda _: answer))
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("dataset", ["liquidations", "leverage_tiers", "insurance_funds"])
def test_an_answer_about_another_family_is_a_venue_error(sandbox: Sandbox, dataset: str) -> None:
    other = {"instId": "ETH-USDT-SWAP", "instFamily": "ETH-USDT"}
    faults = _rows_spoiled(PATHS[dataset], lambda rows: [{**r, **other} for r in rows])
    with pytest.raises(SourceOutage, match="another") as caught:
        _fetch(sandbox, dataset, faults)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("entry", [None, 7, {"instId": "SOL-USDT-SWAP"}, {"details": []}])
def test_an_entry_that_may_hide_liquidations_is_a_venue_error(sandbox: Sandbox, entry: Any) -> None:
    with pytest.raises(SourceOutage, match="list of its liquidations") as caught:
        _fetch(sandbox, "liquidations", _rows_spoiled(LIQUIDATIONS, lambda rows: [*rows, entry]), universe=("SOL",))
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("bad", [None, "n/a", ["1760054400000"], ["1760054400000", "0"], ["1760054400", "1"]])
def test_a_malformed_ratio_is_refused_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _rows_spoiled(RATIO, lambda rows: [bad if r[0] == "1760054400000" else r for r in rows])
    _, capture = _fetch(sandbox, "long_short_ratios", faults, universe=("SOL",))
    good, rejected = judged(capture, "long_short_ratios", NOW)
    assert rejected["reason"].to_list()
    # The rule by path matches what begins with it: the ratio of all accounts and that of the top ones.
    assert good.height == 3 * 72 - 2
