"""Bybit beyond trades: mark and index, ratios, tickers, risk limits and funds equal the market's truth, faults or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from venue_clients import Bench, assert_long_short_ratios, assert_price_candles, bench_of, judged, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import to_ms
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.bybit import RISK_LIMIT_PAGES, Bybit

FIRST = date(2025, 9, 20)
NOW = datetime(2025, 10, 21, 12, 30)
ASSETS = ("BTC", "SOL")
DAYS = (date(2025, 10, 9), date(2025, 10, 11))
HOURS = slice(19 * 24, 22 * 24)

MARK, INDEX, RATIO, TICKER, TIERS, FUNDS, ALERTS = (
    f"/v5/market/{name}"
    for name in (
        "mark-price-kline",
        "index-price-kline",
        "account-ratio",
        "tickers",
        "risk-limit",
        "insurance",
        "adlAlert",
    )
)
PATHS = {
    "candles": MARK,
    "long_short_ratios": RATIO,
    "tickers": TICKER,
    "leverage_tiers": TIERS,
    "insurance_funds": FUNDS,
    "adl_states": ALERTS,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, FIRST, 32, assets=ASSETS, crash_day=date(2025, 10, 10)), now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def markets(sandbox: Sandbox) -> dict[str, VenueMarket]:
    """Return the market of each kind of contract."""
    return {"linear": VenueMarket(sandbox.world, "bybit"), "inverse": VenueMarket(sandbox.world, "bybit_inverse")}


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    more = {"now": NOW, "universe": ASSETS, **more}
    return bench_of(Bybit, sandbox, faults=faults, **more)


def _fetch(bench: Bench, dataset: str) -> Any:
    return bench.client.fetch(dataset, *DAYS)


def _listed(path: str, change: Callable[[list[Any]], Any]) -> Faults:
    """Let the sandbox answer a path with what `change` makes of its list of records."""
    return spoiled(path, lambda body: {**body, "result": {**body["result"], "list": change(body["result"]["list"])}})


def _split(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    is_linear = pl.col("venue_symbol").str.ends_with("USDT")
    return {"linear": rows.filter(is_linear), "inverse": rows.filter(~is_linear)}


# -- values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1_000, 24, 5])
def test_mark_and_index_candles_are_the_markets_at_any_page_limit(
    sandbox: Sandbox, markets: dict[str, VenueMarket], limit: int
) -> None:
    rows = valid(_fetch(_bench(sandbox, page_limits={"candles": limit}), "candles"), "candles", NOW)
    for kind, shown in _split(rows).items():
        assert_price_candles(shown, markets[kind], HOURS, ASSETS if kind == "linear" else ("BTC",))
    assert rows.height == 3 * 3 * 72


@pytest.mark.parametrize("limit", [500, 24, 5])
def test_ratios_are_the_markets_at_any_page_limit(
    sandbox: Sandbox, markets: dict[str, VenueMarket], limit: int
) -> None:
    bench = _bench(sandbox, page_limits={"long_short_ratios": limit})
    rows = valid(_fetch(bench, "long_short_ratios"), "long_short_ratios", NOW)
    for kind, shown in _split(rows).items():
        # The two shares come in four decimals.
        whom = ASSETS if kind == "linear" else ("BTC",)
        assert_long_short_ratios(shown, markets[kind], ("accounts",), HOURS, whom, rtol=1e-3)
    assert rows.height == 3 * 72


def test_tickers_are_all_contracts_of_both_kinds_in_base_and_usd(
    sandbox: Sandbox, markets: dict[str, VenueMarket]
) -> None:
    bench = _bench(sandbox, universe=("SOL",))
    rows = valid(bench.client.tickers(), "tickers", NOW)
    # Also what is not in the universe, and neither the USDC contract nor dated ones.
    assert rows["venue_symbol"].to_list() == ["BTCUSD", "BTCUSDT", "SOLUSDT"]
    assert bench.asked(TICKER) == 2
    for row in rows.iter_rows(named=True):
        kind = "linear" if row["venue_symbol"].endswith("USDT") else "inverse"
        market, asset = markets[kind], row["asset"]
        book, held = market.book(asset, NOW), market.open_interest(asset)
        i = int(held.at_ms.searchsorted(to_ms(NOW), "right")) - 1
        assert row["occurred_at_utc"] == NOW
        assert row["last_quote"] == market.price(asset, NOW)
        assert (row["best_bid_quote"], row["best_ask_quote"]) == (book.bids[0, 0], book.asks[0, 0])
        assert row["mark_quote"] == market.price_of_kind(asset, "mark", NOW)
        assert row["index_quote"] == market.price_of_kind(asset, "index", NOW)
        assert row["volume_24h_base"] == pytest.approx(market.volume_24h_base(asset, NOW), rel=1e-9)
        assert row["open_interest_basis"] == "two_sided"
        assert row["open_interest_base"] == pytest.approx(2 * held.open_interest_base[i], rel=1e-9)
        # Inverse contracts are whole dollars.
        assert row["open_interest_usd"] == pytest.approx(2 * held.open_interest_usd[i], rel=1e-6)


def test_tiers_are_ladders_in_settle_units_that_keep_the_margin_continuous(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    rows = valid(bench.client.leverage_tiers(), "leverage_tiers", NOW)
    assert rows.group_by("venue_symbol", "settle_asset", maintain_order=True).len().rows() == [
        ("BTCUSD", "BTC", 5),
        ("BTCUSDT", "USDT", 5),
        ("SOLUSDT", "USDT", 5),
    ]
    assert bench.asked(TIERS) == 3
    first = rows.filter(tier_rank=1).sort("venue_symbol")
    assert first["notional_floor_settle"].to_list() == [0.0] * 3
    assert first["maintenance_amount_settle"].to_list() == [0.0] * 3
    assert first["maintenance_margin_rate_frac"].to_list() == [0.004, 0.004, 0.01]
    assert first["max_leverage_x"].to_list() == [125.0, 125.0, 50.0]
    # Two million dollars, of inverse contracts as coins.
    assert first["notional_cap_settle"].to_list() == [pytest.approx(2e6 / 110_000, rel=1e-6), 2e6, 2e6]
    assert rows["observed_at_utc"].unique().to_list() == [NOW]


def test_tiers_told_in_percents_land_as_fractions(sandbox: Sandbox) -> None:
    def in_percents(tiers: list[Any]) -> list[Any]:
        names = ("maintenanceMargin", "initialMargin")
        return [{**t, **{n: f"{100 * float(t[n]):.4f}" for n in names}} for t in tiers]

    told = _bench(sandbox).client.leverage_tiers().rows["maintenance_margin_rate_frac"].to_list()
    bench = _bench(sandbox, _listed(TIERS, in_percents))
    assert bench.client.leverage_tiers().rows["maintenance_margin_rate_frac"].to_list() == pytest.approx(
        told, rel=1e-12
    )


def test_tiers_over_several_pages_are_one_ladder_and_an_endless_cursor_is_a_venue_error(sandbox: Sandbox) -> None:
    def halves(body: Any) -> Any:
        result = body["result"]
        is_second = bool(sandbox.requests) and sandbox.requests[-1].path == TIERS
        shown = result["list"][3:] if is_second else result["list"][:3]
        return {**body, "result": {**result, "list": shown, "nextPageCursor": "" if is_second else "more"}}

    bench = _bench(sandbox, spoiled(TIERS, halves), universe=("SOL",))
    assert valid(bench.client.leverage_tiers(), "leverage_tiers", NOW)["tier_rank"].to_list() == [1, 2, 3, 4, 5]
    assert [s.query.get("cursor") for s in sandbox.requests if s.path == TIERS] == [None, "more"]
    endless = spoiled(TIERS, lambda body: {**body, "result": {**body["result"], "nextPageCursor": "more"}})
    bench = _bench(sandbox, endless, universe=("SOL",))
    with pytest.raises(SourceOutage, match="come to no end"):
        bench.client.leverage_tiers()
    assert bench.asked(TIERS) == RISK_LIMIT_PAGES


def test_funds_are_the_markets_one_row_per_pool_with_its_value(
    sandbox: Sandbox, markets: dict[str, VenueMarket]
) -> None:
    rows = valid(_bench(sandbox).client.insurance_funds(), "insurance_funds", NOW)
    assert rows.filter(settle_asset="USDT")["balance_settle"].sum() == pytest.approx(
        markets["linear"].insurance_fund_usd(NOW), rel=1e-12
    )
    coins = rows.filter(settle_asset="BTC").row(0, named=True)
    assert coins["fund_name"] == "BTCUSD"
    assert coins["balance_usd"] == pytest.approx(markets["inverse"].insurance_fund_usd(NOW), abs=1)
    price = markets["inverse"].price("BTC", NOW)
    assert coins["balance_settle"] * price == pytest.approx(coins["balance_usd"], rel=1e-6)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]


@pytest.mark.parametrize("now", [datetime(2025, 10, 10, 12, 47, 30), datetime(2025, 10, 10, 22, 47, 30)])
def test_alerts_are_the_pools_and_losses_of_the_last_minute(
    sandbox: Sandbox, markets: dict[str, VenueMarket], now: datetime
) -> None:
    bench = _bench(sandbox, now=now)
    rows = valid(bench.client.adl_states(), "adl_states", now)
    at = now.replace(second=0)
    assert rows["venue_symbol"].to_list() == ["BTCUSD", "BTCUSDT", "SOLUSDT"]
    assert rows["occurred_at_utc"].unique().to_list() == [at]
    assert rows["adl_word"].null_count() == 3, "the venue tells figures and no word"
    linear, inverse = markets["linear"], markets["inverse"]
    dollars, coins = linear.insurance_fund_usd(at), inverse.insurance_fund_usd(at) / inverse.price("BTC", at)
    assert rows["fund_balance_settle"].to_list() == pytest.approx([coins, dollars, dollars])
    assert rows["settle_asset"].to_list() == ["BTC", "USDT", "USDT"]
    assert rows["fund_least_settle"].to_list() == [1.0, 10_000.0, 10_000.0]
    lost = [3 * m.fund_change_frac(at) for m in (inverse, linear, linear)]
    assert rows["pnl_ratio_frac"].to_list() == pytest.approx(lost, abs=1e-8)
    assert rows.select("adl_start_ratio_frac", "adl_stop_ratio_frac").unique().rows() == [(-0.3, -0.25)]
    assert (min(lost) < -0.3) == (now.hour == 22)
    assert bench.asked(ALERTS) == 1


def test_a_pool_below_zero_is_told_as_it_is(sandbox: Sandbox) -> None:
    faults = _listed(ALERTS, lambda rows: [{**r, "balance": -5421.29889888, "adlTriggerThreshold": ""} for r in rows])
    rows = valid(_bench(sandbox, faults).client.adl_states(), "adl_states", NOW)
    assert rows["fund_balance_settle"].unique().to_list() == [-5421.29889888]
    assert rows["fund_least_settle"].null_count() == 3


@pytest.mark.parametrize(
    "bad", [None, 5, {}, {"symbol": "SOLUSDT", "balance": ""}, {"symbol": "SOLUSDT", "balance": "x", "pnlRatio": "0"}]
)
def test_an_alert_that_cannot_be_read_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _listed(ALERTS, lambda rows: [bad if r["symbol"] == "SOLUSDT" else r for r in rows])
    good, rejected = judged(_bench(sandbox, faults).client.adl_states(), "adl_states", NOW)
    assert (good["venue_symbol"].to_list(), rejected.height) == (["BTCUSD", "BTCUSDT"], 1)


# -- faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", list(PATHS))
def test_a_passing_fault_does_not_change_what_lands(sandbox: Sandbox, dataset: str) -> None:
    calm = _fetch(_bench(sandbox), dataset).rows.drop("payload_sha256")
    path = PATHS[dataset]
    bench = _bench(sandbox, Faults((Fault("torn", path=path), Fault("error", first=2, path=path))))
    assert _fetch(bench, dataset).rows.drop("payload_sha256").equals(calm)
    assert len(bench.clock.slept) == 2


@pytest.mark.parametrize("dataset", list(PATHS))
@pytest.mark.parametrize("result", [{}, [], {"list": None}, {"list": {}}])
def test_an_answer_of_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, result: Any) -> None:
    bench = _bench(sandbox, spoiled(PATHS[dataset], lambda body: {**body, "result": result}))
    with pytest.raises(SourceOutage) as caught:
        _fetch(bench, dataset)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("dataset", ["long_short_ratios", "leverage_tiers"])
def test_records_of_another_symbol_are_a_venue_error(sandbox: Sandbox, dataset: str) -> None:
    faults = _listed(PATHS[dataset], lambda rows: [{**r, "symbol": "ETHUSDT"} for r in rows])
    with pytest.raises(SourceOutage, match="another symbol"):
        _fetch(_bench(sandbox, faults), dataset)


@pytest.mark.parametrize(
    ("field", "bad"), [("sellRatio", "0"), ("sellRatio", None), ("buyRatio", "x"), ("buyRatio", "NaN")]
)
def test_a_malformed_ratio_is_refused_and_costs_no_other(sandbox: Sandbox, field: str, bad: Any) -> None:
    faults = _listed(RATIO, lambda rows: [{**rows[0], field: bad}, *rows[1:]])
    bench = _bench(sandbox, faults, universe=("SOL",))
    good, rejected = judged(_fetch(bench, "long_short_ratios"), "long_short_ratios", NOW)
    assert (good.height, rejected.height) == (71, 1)


@pytest.mark.parametrize("bad", [None, 5, {}, {"symbol": "SOLUSDT", "lastPrice": "", "openInterest": ""}])
def test_a_ticker_that_cannot_be_read_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _listed(TICKER, lambda rows: [bad if r["symbol"] == "SOLUSDT" else r for r in rows])
    good, rejected = judged(_bench(sandbox, faults).client.tickers(), "tickers", NOW)
    assert good["venue_symbol"].to_list() == ["BTCUSD", "BTCUSDT"]
    assert rejected.height == 1


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {"riskLimitValue": "x"},
        {"maintenanceMargin": ""},
        {"maintenanceMargin": "0.008", "initialMargin": "0.3"},
        {"maxLeverage": None},
        {"mmDeduction": "1"},
    ],
)
def test_a_ladder_with_one_bad_tier_is_refused_whole_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    def spoil(tiers: list[Any]) -> list[Any]:
        if tiers[0]["symbol"] != "SOLUSDT":
            return tiers
        changed = {**tiers[2], **bad} if isinstance(bad, dict) else bad
        return [*tiers[:2], changed, *tiers[3:]]

    good, rejected = judged(_bench(sandbox, _listed(TIERS, spoil)).client.leverage_tiers(), "leverage_tiers", NOW)
    assert set(good["venue_symbol"]) == {"BTCUSD", "BTCUSDT"}
    assert rejected.height == 5


@pytest.mark.parametrize(
    "bad", [None, 5, {}, {"coin": 7, "symbols": []}, {"coin": "USDT", "symbols": "X", "balance": ""}]
)
def test_a_fund_that_cannot_be_read_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _listed(FUNDS, lambda pools: [bad, *pools[1:]])
    good, rejected = judged(_bench(sandbox, faults).client.insurance_funds(), "insurance_funds", NOW)
    assert (good.height, rejected.height) == (2, 1)
