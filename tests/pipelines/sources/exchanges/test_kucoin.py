"""KuCoin's own rules over the laws of every client (``test_venue_laws.py``): contracts, coins and clocks of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
from venue_clients import Bench, bench_of, judged, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.kucoin import Kucoin

NOW = datetime(2025, 10, 12, 12, 30)
CRASH = date(2025, 10, 10)
ASSETS = ("BTC", "ETH", "SOL")
PATH = "/api/v1"
CATALOGUE = f"{PATH}/contracts/active"
TIERS = f"{PATH}/contracts/risk-limit"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, date(2025, 10, 3), 10, assets=ASSETS, crash_day=CRASH), now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "kucoin")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(Kucoin, sandbox, faults=faults, **{"now": NOW, "universe": ASSETS, **more})


def _changed(path: str, change: dict[str, Any]) -> Faults:
    return spoiled(path, lambda body: {**body, "data": [{**record, **change} for record in body["data"]]})


def test_contracts_have_the_size_of_their_multiplier_and_bitcoin_is_xbt(sandbox: Sandbox) -> None:
    rows = valid(_bench(sandbox).client.instruments(), "instruments", NOW).sort("asset")
    assert rows.select("venue_symbol", "contract_size_base", "quantity_step_base").rows() == [
        ("XBTUSDTM", 0.001, 0.001),
        ("ETHUSDTM", 0.001, 0.001),
        ("SOLUSDTM", 0.01, 0.01),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "Paused"},
        {"type": "FFICSX"},
        {"nextFundingRateTime": None, "expireDate": 1_766_736_000_000},
        {"isInverse": True},
        {"settleCurrency": "USDC"},
        {"quoteCurrency": "USD"},
        {"multiplier": None},
        {"multiplier": 0},
        {"multiplier": "１２３"},
    ],
)
def test_a_contract_that_is_none_of_ours_is_left_out_and_named(sandbox: Sandbox, change: dict[str, Any]) -> None:
    capture = _bench(sandbox, _changed(CATALOGUE, change)).client.instruments()
    assert capture.rows.height == 0
    assert "not listed here: BTC, ETH, SOL" in capture.origin_note


def test_candles_and_open_interest_are_brought_to_coins(sandbox: Sandbox, market: VenueMarket) -> None:
    client = _bench(sandbox).client
    rows = valid(client.candles(CRASH), "candles", NOW)
    for asset in ASSETS:
        want = market.candles(asset).volume_base[7 * 24 : 8 * 24]
        assert rows.filter(asset=asset)["volume_base"].to_list() == pytest.approx(want.tolist())
    held = valid(client.open_interest(NOW.date()), "open_interest", NOW)
    assert held["open_interest_basis"].unique().to_list() == ["one_sided"]
    assert held["open_interest_usd"].null_count() == 3


def test_a_range_is_asked_for_in_windows_that_hold_hourly_settlements(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, universe=("SOL",))
    assert bench.client.funding_rates(date(2025, 10, 3), date(2025, 10, 11)).rows.height == 27
    spans = [
        int(seen.query["to"]) - int(seen.query["from"])
        for seen in sandbox.requests
        if seen.path == f"{PATH}/contract/funding-rates"
    ]
    assert max(spans) <= 99 * 3_600_000


def test_tiers_are_those_of_isolated_margin_without_deductions(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = valid(_bench(sandbox).client.leverage_tiers(), "leverage_tiers", NOW).sort("asset", "tier_rank")
    assert rows["tier_rank"].to_list() == [1, 2, 3, 4] * 3
    assert rows["notional_floor_settle"].to_list() == [0.0, 3e5, 1e6, 5e6] * 3
    assert rows["notional_cap_settle"].to_list() == [3e5, 1e6, 5e6, 5e7] * 3
    lowest = rows.filter(tier_rank=1)["maintenance_margin_rate_frac"].to_list()
    assert lowest == [market.profile(asset).maintenance_margin_frac for asset in ASSETS]
    assert rows["maintenance_amount_settle"].null_count() == rows.height
    assert rows["settle_asset"].unique().to_list() == ["USDT"]


@pytest.mark.parametrize(
    "change", [{"level": None}, {"level": 7}, {"level": 1e300}, {"maxRiskLimit": "x"}, {"minRiskLimit": 1}]
)
def test_a_ladder_that_is_not_whole_is_refused_and_another_contracts_stands(
    sandbox: Sandbox, change: dict[str, Any]
) -> None:
    def spoil(body: Any) -> Any:
        first, second, *others = body["data"]
        is_first = first["symbol"] == "XBTUSDTM"
        return {**body, "data": [first, {**second, **change} if is_first else second, *others]}

    capture = _bench(sandbox, spoiled(TIERS, spoil)).client.leverage_tiers()
    good, rejected = judged(capture, "leverage_tiers", NOW)
    assert good["asset"].unique().sort().to_list() == ["ETH", "SOL"]
    assert rejected.height == 4


@pytest.mark.parametrize("dataset", ["funding_rates", "leverage_tiers"])
def test_an_answer_about_another_symbol_is_a_venue_error(sandbox: Sandbox, dataset: str) -> None:
    path = TIERS if dataset == "leverage_tiers" else f"{PATH}/contract/funding-rates"
    bench = _bench(sandbox, _changed(path, {"symbol": "DOGEUSDTM"}), universe=("SOL",))
    with pytest.raises(SourceOutage, match="another symbol"):
        bench.client.fetch(dataset, CRASH)


@pytest.mark.parametrize("clock", [None, "soon", True, 1_760_272_200_000, 1.5])
def test_a_book_without_its_nanoseconds_is_refused(sandbox: Sandbox, clock: Any) -> None:
    faults = spoiled(f"{PATH}/level2/snapshot", lambda body: {**body, "data": {**body["data"], "ts": clock}})
    good, rejected = judged(_bench(sandbox, faults, universe=("SOL",)).client.depth_bands(), "depth_bands", NOW)
    assert good.height == 0
    assert rejected.height > 0
