"""Gate's wire: documented keys and types, inclusive seconds, pages, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_gate import PATH, GateWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 12, 12, 30)
SOL = "SOL_USDT"
SERIES = {
    "candlesticks": {"interval": "1h"},
    "funding_rate": {},
    "contract_stats": {"interval": "1h"},
    "liq_orders": {"from": "1760104800", "to": "1760108399"},
}
CLOCK = {"candlesticks": "t", "funding_rate": "t", "contract_stats": "time", "liq_orders": "time"}

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2025, 10, 5), 8, assets=("BTC", "SOL"), crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "gate")


@pytest.fixture(scope="module")
def ask(world: World) -> Ask:
    routes = {route.path.removeprefix(f"{PATH}/"): route for route in GateWire(world).routes()}

    def asked(name: str, now: datetime = NOW, **query: Any) -> Any:
        named = {"from" if k == "since" else k: str(v) for k, v in query.items()}
        return routes[name].answer(named, now)

    return asked


def _s(at: datetime) -> int:
    return to_ms(at) // 1000


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("candlesticks", {"t": int, "v": int, "c": str, "h": str, "l": str, "o": str, "sum": str}),
        ("funding_rate", {"t": int, "r": str}),
        (
            "liq_orders",
            {
                "time": int,
                "contract": str,
                "size": int,
                "order_size": int,
                "order_price": str,
                "fill_price": str,
                "left": int,
            },
        ),
    ],
)
def test_records_have_the_documented_keys_and_types(ask: Ask, name: str, keys: dict[str, type]) -> None:
    rows = ask(name, contract=SOL, **{("since" if k == "from" else k): v for k, v in SERIES[name].items()})
    assert rows
    assert all({k: type(v) for k, v in row.items()} == keys for row in rows)


def test_statistics_have_the_documented_keys_and_numbers(ask: Ask) -> None:
    (row,) = ask("contract_stats", contract=SOL, interval="1h", limit=1)
    told = "time lsr_taker lsr_account long_liq_size short_liq_size open_interest short_liq_usd mark_price top_lsr_size"
    assert set(row) == {
        *told.split(),
        "short_liq_amount",
        "long_liq_amount",
        "open_interest_usd",
        "top_lsr_account",
        "long_liq_usd",
    }
    assert {type(v) for v in row.values()} <= {int, float}


def test_the_catalogue_lists_what_a_client_must_leave_out(ask: Ask) -> None:
    listed = {c["name"]: c for c in ask("contracts")}
    assert set(listed) == {"BTC_USDT", SOL, "HYPE_USDT", "MATIC_USDT"}
    assert (listed["HYPE_USDT"]["status"], listed["MATIC_USDT"]["in_delisting"]) == ("prelaunch", True)
    assert listed[SOL]["quanto_multiplier"] == "0.01"
    assert listed[SOL]["create_time"] == _s(datetime(2025, 10, 5))


def test_the_books_levels_are_objects_nearest_first(ask: Ask) -> None:
    book = ask("order_book", contract=SOL, limit=5)
    assert book["current"] == _s(NOW)
    assert all({k: type(v) for k, v in level.items()} == {"p": str, "s": int} for level in book["bids"] + book["asks"])
    bids, asks = ([float(level["p"]) for level in book[side]] for side in ("bids", "asks"))
    assert (len(bids), len(asks)) == (5, 5)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert len(ask("order_book", contract=SOL)["bids"]) == 10


def test_both_bounds_are_inclusive_whole_seconds(ask: Ask) -> None:
    first = _s(datetime(2025, 10, 8))
    hours = ask("candlesticks", contract=SOL, interval="1h", since=first, to=first + 7_200)
    assert [c["t"] - first for c in hours] == [0, 3_600, 7_200], "oldest first"
    rates = ask("funding_rate", contract=SOL, since=first, to=first + 57_600)
    assert [r["t"] - first for r in rates] == [57_600, 28_800, 0], "newest first"
    assert ask("funding_rate", contract=SOL, since=first, to=first + 57_600, limit=1) == rates[:1]
    stats = ask("contract_stats", contract=SOL, interval="1h", since=first, limit=2)
    assert [r["time"] - first for r in stats] == [0, 3_600]
    assert len(ask("contract_stats", contract=SOL, interval="1h")) == 30


def test_liquidations_are_of_all_contracts_where_none_is_named_and_close_the_position(
    ask: Ask, market: VenueMarket
) -> None:
    hour = {"since": 1760104800, "to": 1760104800 + 3_599}
    rows = ask("liq_orders", **hour, limit=1_000)
    assert {r["contract"] for r in rows} == {"BTC_USDT", SOL}
    assert [r["time"] for r in rows] == sorted((r["time"] for r in rows), reverse=True)
    assert all(r["size"] == -r["order_size"] for r in rows)
    assert ask("liq_orders", contract=SOL, **hour, limit=1_000) == [r for r in rows if r["contract"] == SOL]
    whole = [
        r
        for i in range(24)
        for r in ask(
            "liq_orders", since=_s(datetime(2025, 10, 10, i)), to=_s(datetime(2025, 10, 10, i)) + 3_599, limit=1_000
        )
    ]
    inside = [
        _s(datetime(2025, 10, 10)) <= at // 1000 < _s(datetime(2025, 10, 11))
        for a in ("BTC", "SOL")
        for at in market.liquidations(a).at_ms
    ]
    assert len(whole) == sum(inside)


def test_the_statistics_count_both_sides_and_the_contract_list_the_longs(ask: Ask, market: VenueMarket) -> None:
    (row,) = ask("contract_stats", contract=SOL, interval="1h", limit=1)
    held = market.open_interest("SOL").open_interest_base[7 * 24 + 12]
    assert row["open_interest"] * 0.01 == pytest.approx(2 * held)
    listed = {c["name"]: c["position_size"] for c in ask("contracts")}
    assert listed[SOL] * 0.01 == pytest.approx(held)


def test_tiers_continue_each_other(ask: Ask) -> None:
    tiers = ask("risk_limit_tiers", contract=SOL)
    assert [t["tier"] for t in tiers] == [1, 2, 3, 4]
    assert {type(v) for t in tiers for k, v in t.items() if k != "tier"} == {str}
    for below, above in pairwise(tiers):
        at = float(below["risk_limit"])
        margin = [at * float(t["maintenance_rate"]) - float(t["deduction"]) for t in (below, above)]
        assert margin[0] == pytest.approx(margin[1])


@pytest.mark.parametrize(
    ("name", "query", "label"),
    [
        *((name, {"contract": "NOPE_USDT", **fixed}, "CONTRACT_NOT_FOUND") for name, fixed in SERIES.items()),
        ("candlesticks", {"interval": "1h"}, "MISSING_REQUIRED_PARAM"),
        ("candlesticks", {"contract": SOL, "interval": "1y"}, "INVALID_PARAM_VALUE"),
        (
            "candlesticks",
            {"contract": SOL, "interval": "1h", "from": "1759622400", "limit": "5"},
            "INVALID_PARAM_VALUE",
        ),
        ("candlesticks", {"contract": SOL, "interval": "1h", "from": "x"}, "INVALID_PARAM_VALUE"),
        (
            "candlesticks",
            {"contract": SOL, "interval": "1h", "from": "1700000000", "to": "1700003600"},
            "INVALID_PARAM_VALUE",
        ),
        (
            "candlesticks",
            {"contract": SOL, "interval": "1h", "from": "1750000000", "to": "1760000000"},
            "INVALID_PARAM_VALUE",
        ),
        ("contract_stats", {"contract": SOL, "interval": "1h", "limit": "101"}, "INVALID_PARAM_VALUE"),
        ("funding_rate", {"contract": SOL, "limit": "1001"}, "INVALID_PARAM_VALUE"),
        ("liq_orders", {"from": "1760054400", "to": "1760058001"}, "INVALID_PARAM_VALUE"),
        ("order_book", {"contract": SOL, "limit": "0"}, "INVALID_PARAM_VALUE"),
    ],
)
def test_wrong_requests_get_the_venues_error(world: World, name: str, query: dict[str, str], label: str) -> None:
    route = next(r for r in GateWire(world).routes() if r.path == f"{PATH}/{name}")
    with pytest.raises(WireError) as caught:
        route.answer(query, NOW)
    assert caught.value.status == 400
    assert caught.value.body["label"] == label
    assert caught.value.body["message"]


def test_nothing_after_now_is_shown(ask: Ask, market: VenueMarket) -> None:
    now = datetime(2025, 10, 8, 8, 0, 30)
    for name in ("candlesticks", "contract_stats", "funding_rate"):
        rows = ask(name, now, contract=SOL, **SERIES[name])
        assert max(r[CLOCK[name]] for r in rows) == _s(datetime(2025, 10, 8, 8))
    assert ask("liq_orders", datetime(2025, 10, 10), since=1760104800, to=1760108399) == []
    half, whole = (
        ask("candlesticks", now + timedelta(minutes=m), contract=SOL, interval="1h")[-1 if m < 59 else -2]
        for m in (29, 60)
    )
    assert half["t"] == whole["t"] == _s(datetime(2025, 10, 8, 8))
    assert half["v"] < whole["v"]


def test_a_page_is_cut_and_a_catalogue_or_a_book_is_not(world: World, ask: Ask) -> None:
    wire = GateWire(world)
    for name in ("candlesticks", "contract_stats", "funding_rate"):
        body = ask(name, contract=SOL, **SERIES[name])
        assert wire.rows(body) is body
    for body in (
        ask("contracts"),
        ask("tickers"),
        ask("risk_limit_tiers", contract=SOL),
        ask("order_book", contract=SOL),
    ):
        assert wire.rows(body) is None


def test_over_http_with_the_venues_refusals(world: World) -> None:
    rules = (Fault("rate_limited", path="/api/v4/spot/time"), Fault("error", first=2, path="/api/v4/spot/time"))
    with (
        serve(world, now=NOW, faults=Faults(rules)) as sandbox,
        httpx.Client(trust_env=False, verify=False, base_url=sandbox.base_url) as client,
    ):
        answers = [client.get("/api/v4/spot/time") for _ in range(3)]
        unknown = client.get(f"{PATH}/order_book", params={"contract": "NOPE"})
    assert [a.status_code for a in answers] == [429, 500, 200]
    assert [a.json().get("label") for a in answers] == ["TOO_MANY_REQUESTS", "SERVER_ERROR", None]
    assert (unknown.status_code, unknown.json()["label"]) == (400, "CONTRACT_NOT_FOUND")
