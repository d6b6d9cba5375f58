"""HTX's wire: documented keys and types, both sides, bounds, pages, codes inside a 200, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_htx import HtxWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 12, 12, 30)
SOL = "SOL-USDT"
CATALOGUE = "/linear-swap-api/v1/swap_contract_info"
CANDLES = "/linear-swap-ex/market/history/kline"
FUNDING = "/v5/market/funding_rate_history"
OPEN_INTEREST = "/linear-swap-api/v1/swap_his_open_interest"
LIQUIDATIONS = "/v5/market/liquidation_orders"
DEPTH = "/linear-swap-ex/market/depth"
TICKERS = "/v2/linear-swap-ex/market/detail/batch_merged"
# The crash's two hours.
SPAN = {"start_time": to_ms(datetime(2025, 10, 10, 14)), "end_time": to_ms(datetime(2025, 10, 10, 16)) - 1}

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2025, 10, 5), 8, assets=("BTC", "SOL"), crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "htx")


@pytest.fixture(scope="module")
def ask(world: World) -> Ask:
    routes = {route.path: route for route in HtxWire(world).routes()}

    def asked(path: str, now: datetime = NOW, **query: Any) -> Any:
        named = {"from" if k == "since" else k: str(v) for k, v in query.items()}
        return routes[path].answer(named, now)

    return asked


def test_the_catalogue_lists_what_a_client_must_leave_out(ask: Ask) -> None:
    swaps = {c["contract_code"]: c for c in ask(CATALOGUE)["data"]}
    assert {code: c["contract_status"] for code, c in swaps.items()} == {
        "BTC-USDT": 1,
        SOL: 1,
        "HYPE-USDT": 2,
        "MATIC-USDT": 3,
    }
    (dated,) = [c for c in ask(CATALOGUE, business_type="all")["data"] if c["contract_code"] not in swaps]
    assert (dated["business_type"], dated["delivery_date"][:2]) == ("futures", "20")
    assert (swaps[SOL]["contract_size"], swaps[SOL]["create_date"]) == (0.01, "20251005")


def test_candles_count_both_sides_between_inclusive_seconds(ask: Ask, market: VenueMarket) -> None:
    first = to_ms(datetime(2025, 10, 8)) // 1000
    body = ask(CANDLES, contract_code=SOL, period="60min", since=first, to=first + 7_200)
    assert body["ch"] == "market.SOL-USDT.kline.60min"
    assert [c["id"] - first for c in body["data"]] == [0, 3_600, 7_200], "oldest first"
    keys = {"id", "open", "close", "low", "high", "amount", "vol", "count", "trade_turnover"}
    assert all(set(c) == keys for c in body["data"])
    volume = market.candles("SOL").volume_base[3 * 24]
    assert body["data"][0]["amount"] == pytest.approx(2 * volume)
    assert body["data"][0]["vol"] * 0.01 == pytest.approx(2 * volume)
    latest = ask(CANDLES, contract_code=SOL, period="60min", size=2, since=first, to=first)["data"]
    assert [c["id"] for c in latest] == [to_ms(datetime(2025, 10, 12, h)) // 1000 for h in (11, 12)], "a size overrules"


def test_settlements_are_strings_newest_first_between_inclusive_milliseconds(ask: Ask, market: VenueMarket) -> None:
    at = market.funding("SOL").settled_ms
    rows = ask(FUNDING, contract_code=SOL, start_time=at[3], end_time=at[5], limit=100)["data"]
    assert [int(r["funding_time"]) for r in rows] == at[[5, 4, 3]].tolist()
    assert {type(v) for r in rows for v in r.values()} == {str}
    assert len(ask(FUNDING, contract_code=SOL)["data"]) == 20


def test_open_interest_is_the_latest_hours_of_both_sides_newest_first(ask: Ask, market: VenueMarket) -> None:
    coins, contracts = (
        ask(OPEN_INTEREST, contract_code=SOL, period="60min", amount_type=t, size=3)["data"]["tick"] for t in (2, 1)
    )
    assert [t["ts"] for t in coins] == [to_ms(datetime(2025, 10, 12, h)) for h in (12, 11, 10)]
    held = market.open_interest("SOL").open_interest_base[7 * 24 + 12]
    assert coins[0]["volume"] == pytest.approx(2 * held)
    assert contracts[0]["volume"] * 0.01 == pytest.approx(2 * held)
    assert len(ask(OPEN_INTEREST, contract_code=SOL, period="60min", amount_type=2)["data"]["tick"]) == 48


def test_liquidations_are_of_two_hours_newest_first(ask: Ask, market: VenueMarket) -> None:
    rows = ask(LIQUIDATIONS, contract_code=SOL, **SPAN, limit=100)["data"]
    want = market.liquidations("SOL")
    inside = (want.at_ms >= SPAN["start_time"]) & (want.at_ms <= SPAN["end_time"])
    assert [int(r["liquidation_time"]) for r in rows] == want.at_ms[inside][::-1].tolist()
    assert {(r["side"], r["position_side"]) for r in rows} <= {("sell", "long"), ("buy", "short")}
    assert all(r["amount"] == r["volume"] for r in rows), "as recorded"
    assert rows


def test_books_are_150_levels_of_price_and_contracts(ask: Ask) -> None:
    tick = ask(DEPTH, contract_code=SOL, type="step0")["tick"]
    assert (len(tick["bids"]), len(tick["asks"]), tick["ts"]) == (150, 150, to_ms(NOW))
    assert all(isinstance(quantity, int) for _, quantity in tick["bids"])
    assert tick["bids"][0][0] > tick["bids"][1][0]
    assert tick["bids"][0][0] < tick["asks"][0][0] < tick["asks"][1][0]


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (CANDLES, {"period": "60min", "size": "1"}, 1066),
        (CANDLES, {"contract_code": "NOPE-USDT", "period": "60min", "size": "1"}, 1014),
        (CANDLES, {"contract_code": SOL, "period": "1h", "size": "1"}, 1067),
        (CANDLES, {"contract_code": SOL, "period": "60min"}, 1067),
        (CANDLES, {"contract_code": SOL, "period": "60min", "size": "2001"}, 1067),
        (OPEN_INTEREST, {"contract_code": SOL, "period": "60min", "amount_type": "2", "size": "201"}, 1067),
        (OPEN_INTEREST, {"contract_code": SOL, "period": "60min"}, 1067),
        (DEPTH, {"contract_code": SOL, "type": "step1"}, 1067),
    ],
)
def test_wrong_requests_get_the_venues_code_inside_a_200(
    world: World, path: str, query: dict[str, str], code: int
) -> None:
    route = next(r for r in HtxWire(world).routes() if r.path == path)
    with pytest.raises(WireError) as caught:
        route.answer(query, NOW)
    assert (caught.value.status, caught.value.body["status"], caught.value.body["err_code"]) == (200, "error", code)


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (FUNDING, {"contract_code": SOL, "limit": "101"}, 1067),
        (FUNDING, {"contract_code": "NOPE"}, 1014),
        (FUNDING, {}, 1066),
        (LIQUIDATIONS, {"contract_code": SOL, "start_time": "1760104800000", "end_time": "1760112000001"}, 1067),
        (LIQUIDATIONS, {"contract_code": SOL, "start_time": "1700000000000", "end_time": "1700000001000"}, 1067),
    ],
)
def test_wrong_requests_of_the_fifth_version_get_its_code_inside_a_200(
    world: World, path: str, query: dict[str, str], code: int
) -> None:
    route = next(r for r in HtxWire(world).routes() if r.path == path)
    with pytest.raises(WireError) as caught:
        route.answer(query, NOW)
    assert (caught.value.status, caught.value.body["code"], caught.value.body["data"]) == (200, code, None)


def test_nothing_after_now_is_shown(ask: Ask) -> None:
    now = datetime(2025, 10, 8, 8, 0, 30)
    assert (
        ask(CANDLES, now, contract_code=SOL, period="60min", size=1)["data"][0]["id"] == to_ms(now) // 3_600_000 * 3_600
    )
    assert int(ask(FUNDING, now, contract_code=SOL)["data"][0]["funding_time"]) <= to_ms(now)
    held = ask(OPEN_INTEREST, now, contract_code=SOL, period="60min", amount_type=2, size=1)["data"]["tick"]
    assert held[0]["ts"] == to_ms(datetime(2025, 10, 8, 8))
    assert ask(LIQUIDATIONS, now, contract_code="BTC-USDT", **SPAN)["data"] == []


def test_a_page_is_cut_and_a_catalogue_or_a_book_is_not(world: World, ask: Ask) -> None:
    wire = HtxWire(world)
    candles = ask(CANDLES, contract_code=SOL, period="60min", size=3)
    assert wire.rows(candles) is candles["data"]
    held = ask(OPEN_INTEREST, contract_code=SOL, period="60min", amount_type=2)
    assert wire.rows(held) is held["data"]["tick"]
    for body in (
        ask(CATALOGUE),
        ask(TICKERS),
        ask(DEPTH, contract_code=SOL, type="step0"),
        ask("/api/v1/timestamp"),
        None,
    ):
        assert wire.rows(body) is None
