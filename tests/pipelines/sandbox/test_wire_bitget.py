"""Bitget's wire: documented keys and types, bounds, numbered pages, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_bitget import PATH, BitgetWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 12, 12, 30)
SOL = {"symbol": "SOLUSDT", "productType": "USDT-FUTURES"}

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2025, 10, 5), 8, assets=("BTC", "SOL"), crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def ask(world: World) -> Ask:
    routes = {route.path.removeprefix(f"{PATH}/"): route for route in BitgetWire(world).routes()}

    def asked(name: str, now: datetime = NOW, **query: Any) -> Any:
        body = routes[name].answer({k: str(v) for k, v in query.items()}, now)
        assert (body["code"], body["msg"], body["requestTime"]) == ("00000", "success", to_ms(now))
        return body["data"]

    return asked


def test_the_catalogue_lists_what_a_client_must_leave_out_and_one_product_only(ask: Ask) -> None:
    listed = {c["symbol"]: c["symbolStatus"] for c in ask("contracts", productType="USDT-FUTURES")}
    assert listed == {"BTCUSDT": "normal", "SOLUSDT": "normal", "HYPEUSDT": "listed", "MATICUSDT": "off"}
    assert ask("contracts", productType="COIN-FUTURES") == []


def test_candles_are_seven_strings_oldest_first_their_end_exclusive_and_cut_at_the_start(ask: Ask) -> None:
    first = to_ms(datetime(2025, 10, 8))
    span = {"startTime": first + 5, "endTime": first + 3 * 3_600_000}
    rows = ask("candles", **SOL, granularity="1H", **span)
    assert [int(r[0]) - first for r in rows] == [0, 3_600_000, 7_200_000]
    assert [[type(v) for v in r] for r in rows] == [[str] * 7] * 3
    assert ask("candles", **SOL, granularity="1H", **span, limit=1) == rows[-1:]
    assert ask("history-candles", **SOL, granularity="1H", **span) == rows


def test_only_one_path_shows_the_running_hour(ask: Ask) -> None:
    running = str(to_ms(datetime(2025, 10, 12, 12)))
    assert ask("candles", **SOL, granularity="1H")[-1][0] == running
    assert ask("history-candles", **SOL, granularity="1H")[-1][0] == str(int(running) - 3_600_000)
    assert ask("candles", datetime(2026, 3, 1), **SOL, granularity="1H") == [], "83 days"


def test_settlements_come_by_pages_newest_first(ask: Ask, world: World) -> None:
    settled = VenueMarket(world, "bitget").funding("SOL").settled_ms
    known = settled[settled <= to_ms(NOW)][::-1]
    pages = [ask("history-fund-rate", **SOL, pageSize=3, pageNo=n) for n in (1, 2)]
    assert [int(r["fundingTime"]) for page in pages for r in page] == known[:6].tolist()
    assert ask("history-fund-rate", **SOL, pageSize=100, pageNo=2) == []
    assert len(ask("history-fund-rate", **SOL)) == 20


def test_books_are_numbers_nearest_first(ask: Ask) -> None:
    book = ask("merge-depth", **SOL, precision="scale0", limit="max")
    assert (len(book["bids"]), len(book["asks"]), book["ts"]) == (500, 500, str(to_ms(NOW)))
    assert book["bids"][1][0] < book["bids"][0][0] < book["asks"][0][0] < book["asks"][1][0]
    assert len(ask("merge-depth", **SOL)["bids"]) == 100


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("contracts", {"productType": "SPOT"}),
        ("candles", {**SOL, "symbol": "NOPEUSDT", "granularity": "1H"}),
        ("candles", {**SOL, "granularity": "1h"}),
        ("candles", {**SOL, "granularity": "1H", "limit": "1001"}),
        ("history-candles", {**SOL, "granularity": "1H", "limit": "201"}),
        ("candles", {**SOL, "granularity": "1H", "startTime": "1", "endTime": "7776000002"}),
        ("history-fund-rate", {**SOL, "pageSize": "101"}),
        ("merge-depth", {**SOL, "limit": "7"}),
    ],
)
def test_wrong_requests_get_the_venues_error(world: World, name: str, query: dict[str, str]) -> None:
    route = next(r for r in BitgetWire(world).routes() if r.path == f"{PATH}/{name}")
    with pytest.raises(WireError) as caught:
        route.answer(query, NOW)
    assert caught.value.status == 400
    assert (set(caught.value.body), caught.value.body["data"]) == ({"code", "msg", "data"}, None)


def test_a_page_is_cut_and_a_catalogue_or_a_book_is_not(world: World) -> None:
    wire = BitgetWire(world)
    bodies = {r.path.rpartition("/")[2]: r.answer({**SOL, "granularity": "1H"}, NOW) for r in wire.routes()}
    assert {name for name, body in bodies.items() if wire.rows(body) is body["data"]} == {
        "candles",
        "history-candles",
        "history-fund-rate",
    }
