"""HTX's own rules over the laws of every client (``test_venue_laws.py``): both sides, codes inside a 200, whose answer it is."""

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
from pipelines.sources.exchanges.htx import Htx

NOW = datetime(2025, 10, 12, 12, 30)
ASSETS = ("BTC", "SOL")
CRASH = date(2025, 10, 10)
CATALOGUE = "/linear-swap-api/v1/swap_contract_info"
CANDLES = "/linear-swap-ex/market/history/kline"
FUNDING = "/v5/market/funding_rate_history"
OPEN_INTEREST = "/linear-swap-api/v1/swap_his_open_interest"
LIQUIDATIONS = "/v5/market/liquidation_orders"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(7, date(2025, 10, 5), 8, assets=ASSETS, crash_day=CRASH)
    with serve(world, now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "htx")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(Htx, sandbox, faults=faults, **{"now": NOW, "universe": ASSETS, **more})


def test_the_catalogue_is_one_question_and_tells_sizes_in_base_units(sandbox: Sandbox) -> None:
    rows = valid(_bench(sandbox).client.instruments(), "instruments", NOW)
    assert [s.path for s in sandbox.requests] == [CATALOGUE]
    assert rows["contract_size_base"].to_list() == rows["quantity_step_base"].to_list() == [0.001, 0.01]


@pytest.mark.parametrize(
    "change", [{"contract_status": 5}, {"business_type": "futures"}, {"contract_code": "SOL-HUSD"}]
)
def test_a_contract_that_is_none_of_ours_is_left_out_and_named(sandbox: Sandbox, change: dict[str, Any]) -> None:
    def spoil(body: Any) -> Any:
        return {**body, "data": [{**c, **change} if c["symbol"] == "SOL" else c for c in body["data"]]}

    capture = _bench(sandbox, spoiled(CATALOGUE, spoil)).client.instruments()
    assert capture.rows["asset"].to_list() == ["BTC"]
    assert "not listed here: SOL" in capture.origin_note


def test_a_trade_is_counted_once_and_open_interest_says_that_it_is_of_both_sides(
    sandbox: Sandbox, market: VenueMarket
) -> None:
    client = _bench(sandbox, universe=("SOL",)).client
    volume = valid(client.candles(CRASH), "candles", NOW)["volume_base"]
    assert volume.to_list() == pytest.approx(market.candles("SOL").volume_base[5 * 24 : 6 * 24].tolist())
    held = valid(client.open_interest(CRASH), "open_interest", NOW)
    truth = market.open_interest("SOL")
    assert held["open_interest_usd"].to_list() == pytest.approx((2 * truth.open_interest_usd[5 * 24 : 6 * 24]).tolist())


def test_no_more_hours_of_open_interest_are_asked_for_than_reach_the_range(sandbox: Sandbox) -> None:
    _bench(sandbox, universe=("SOL",)).client.open_interest(NOW.date())
    sizes = [int(s.query["size"]) for s in sandbox.requests if s.path == OPEN_INTEREST]
    assert max(sizes) <= 15


def test_liquidations_are_contracts_at_the_price_of_bankruptcy_in_windows_of_two_hours(sandbox: Sandbox) -> None:
    rows = valid(_bench(sandbox).client.liquidations(CRASH), "liquidations", NOW)
    asked = [s.query for s in sandbox.requests if s.path == LIQUIDATIONS]
    assert all(int(q["end_time"]) - int(q["start_time"]) < 7_200_000 for q in asked)
    assert rows["order_price_kind"].unique().to_list() == ["bankruptcy"]
    sizes = rows["asset"].replace_strict({"BTC": 0.001, "SOL": 0.01})
    assert rows["quantity_base"].to_list() == pytest.approx((rows["quantity_contracts"] * sizes).to_list())


@pytest.mark.parametrize(
    "change", [{"volume": "x"}, {"side": "hold"}, {"position_side": "long", "side": "buy"}, {"bankrupt_price": "0"}]
)
def test_a_liquidation_that_tells_too_little_is_refused_and_costs_no_other(
    sandbox: Sandbox, change: dict[str, Any]
) -> None:
    want = _bench(sandbox).client.liquidations(CRASH).rows.height
    first = valid(_bench(sandbox).client.liquidations(CRASH), "liquidations", NOW)
    at = str(int(first["occurred_at_utc"].dt.timestamp("ms")[0]))

    def spoil(body: Any) -> Any:
        return {**body, "data": [{**r, **change} if r["liquidation_time"] == at else r for r in body["data"]]}

    capture = _bench(sandbox, spoiled(LIQUIDATIONS, spoil)).client.liquidations(CRASH)
    good, rejected = judged(capture, "liquidations", NOW)
    assert (good.height, rejected.height) == (want - 1, 1)


@pytest.mark.parametrize(
    ("path", "dataset", "change"),
    [
        (CANDLES, "candles", lambda b: {**b, "ch": "market.ETH-USDT.kline.60min"}),
        (FUNDING, "funding_rates", lambda b: {**b, "data": [{**r, "contract_code": "ETH-USDT"} for r in b["data"]]}),
        (OPEN_INTEREST, "open_interest", lambda b: {**b, "data": {**b["data"], "contract_code": "ETH-USDT"}}),
        (LIQUIDATIONS, "liquidations", lambda b: {**b, "data": [{"contract_code": "ETH-USDT"}]}),
    ],
)
def test_an_answer_about_another_symbol_is_a_venue_error(
    sandbox: Sandbox, path: str, dataset: str, change: Any
) -> None:
    client = _bench(sandbox, spoiled(path, change), universe=("SOL",)).client
    with pytest.raises(SourceOutage, match="another symbol") as caught:
        client.fetch(dataset, CRASH)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"status": "error", "err_code": 1032, "err_msg": "The number of access exceeded the limit."}, "rate_limited"),
        ({"status": "error", "err_code": 1004, "err_msg": "System busy."}, "venue_error"),
        ({"status": "error", "err_code": 1014, "err_msg": "This contract doesn't exist."}, "venue_error"),
        ({"status": "maintain"}, "venue_error"),
        ({"code": 1067, "message": "The limit field is invalid.", "data": None}, "venue_error"),
    ],
)
def test_an_error_inside_a_200_is_an_outage(sandbox: Sandbox, body: Any, code: str) -> None:
    client = _bench(sandbox, spoiled(FUNDING, lambda _: body), universe=("SOL",)).client
    with pytest.raises(SourceOutage) as caught:
        client.funding_rates(CRASH)
    assert caught.value.code == code


def test_with_a_base_url_no_address_of_the_venue_is_left(sandbox: Sandbox) -> None:
    exchange, _ = _bench(sandbox).client._connection()
    assert set(exchange.urls["api"].values()) == {sandbox.base_url}


def test_open_interest_stamped_a_day_early_is_a_venue_error_and_not_that_of_its_hour(sandbox: Sandbox) -> None:
    def moved(body: Any) -> Any:
        newest = max(r["ts"] for r in body["data"]["tick"])
        held = [{**r, "ts": r["ts"] - 86_400_000} if r["ts"] == newest else r for r in body["data"]["tick"]]
        return {**body, "data": {**body["data"], "tick": held}}

    faults = spoiled(OPEN_INTEREST, moved)
    with pytest.raises(SourceOutage, match="in no order of time"):
        _bench(sandbox, faults).client.open_interest(date(2025, 10, 11))
