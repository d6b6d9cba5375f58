"""dYdX's wire: keys and types of every shape, order and bounds of pages, limits, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError
from pipelines.sandbox.wire_dydx import DydxWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 10, 12, 30, 15)
BTC = "BTC-USD"
CANDLES, FUNDING = "/v4/candles/perpetualMarkets/{market}", "/v4/historicalFunding/{market}"
TRADES, BOOKS = "/v4/trades/perpetualMarket/{market}", "/v4/orderbooks/perpetualMarket/{market}"

# The list's name, the clock's name, and the name of the upper bound of each series.
SERIES = {
    CANDLES: ("candles", "startedAt", "toISO"),
    FUNDING: ("historicalFunding", "effectiveAt", "effectiveBeforeOrAt"),
    TRADES: ("trades", "createdAt", "createdBeforeOrAt"),
}

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, date(2025, 8, 20), 55, assets=("BTC", "SOL"))


@pytest.fixture(scope="module")
def wire(world: World) -> DydxWire:
    return DydxWire(world)


@pytest.fixture(scope="module")
def ask(wire: DydxWire) -> Ask:
    """Return a function that asks a path with a query of strings, at `NOW` or another instant."""
    routes = {route.path: route for route in wire.routes()}

    def answer(path: str, now: datetime = NOW, **query: Any) -> Any:
        more = {"resolution": "1HOUR"} if path == CANDLES else {}
        return routes[path].answer({"market": BTC, **more, **{k: str(v) for k, v in query.items()}}, now)

    return answer


def test_time_is_told_twice(ask: Ask) -> None:
    assert ask("/v4/time") == {"iso": "2025-10-10T12:30:15.000Z", "epoch": 1760099415.0}


def test_the_catalogue_holds_a_market_that_is_settled(ask: Ask) -> None:
    markets = ask("/v4/perpetualMarkets")["markets"]
    assert list(markets) == [BTC, "SOL-USD", "MATIC-USD"]
    assert [m["status"] for m in markets.values()] == ["ACTIVE", "ACTIVE", "FINAL_SETTLEMENT"]
    assert all(name == m["ticker"] for name, m in markets.items())
    btc = markets[BTC]
    assert (btc["tickSize"], btc["stepSize"]) == ("0.1", "0.001")
    numbers = {"trades24H", "atomicResolution", "quantumConversionExponent", "stepBaseQuantums", "subticksPerTick"}
    assert {k for k, v in btc.items() if not isinstance(v, str)} == numbers


def test_candles_are_strings_newest_first_and_begin_with_the_running_one(ask: Ask, world: World) -> None:
    shown = ask(CANDLES)["candles"]
    assert len(shown) == 1_000
    assert shown[0]["startedAt"] == "2025-10-10T12:00:00.000Z"
    assert shown[1]["startedAt"] == "2025-10-10T11:00:00.000Z"
    empty = {"orderbookMidPriceOpen", "orderbookMidPriceClose"}
    assert {k for k, v in shown[0].items() if not isinstance(v, str)} == {"trades", *empty}
    want = VenueMarket(world, "dydx").candles("BTC")
    hour = int((NOW.replace(minute=0, second=0) - world.start) / timedelta(hours=1)) - 1
    assert float(shown[1]["close"]) == want.close_quote[hour]
    assert float(shown[1]["baseTokenVolume"]) == want.volume_base[hour]


@pytest.mark.parametrize("path", SERIES)
def test_pages_are_newest_first_within_their_bounds(ask: Ask, path: str) -> None:
    name, clock, until = SERIES[path]
    whole = ask(path)[name]
    times = [r[clock] for r in whole]
    assert times == sorted(times, reverse=True)
    assert times[0] <= "2025-10-10T12:30:15.000Z"
    assert ask(path, limit=3)[name] == whole[:3]
    # Candles end before their bound, the others with it.
    after = ask(path, **{until: times[5]}, limit=2)[name]
    assert [r[clock] for r in after] == (times[6:8] if path == CANDLES else times[5:7])


def test_a_lower_bound_is_inclusive(ask: Ask) -> None:
    hours = ask(CANDLES, fromISO="2025-10-10T03:00:00.000Z", toISO="2025-10-10T05:00:00.000Z")["candles"]
    assert [h["startedAt"] for h in hours] == ["2025-10-10T04:00:00.000Z", "2025-10-10T03:00:00.000Z"]


def test_trades_are_of_documented_kinds(ask: Ask) -> None:
    trades = ask(TRADES)["trades"]
    keys = {"id", "side", "size", "price", "type", "createdAt", "createdAtHeight"}
    assert all(set(t) == keys and all(isinstance(v, str) for v in t.values()) for t in trades)
    assert {t["type"] for t in trades} <= {"LIMIT", "LIQUIDATED", "DELEVERAGED"}
    assert {t["side"] for t in trades} <= {"BUY", "SELL"}


def test_a_book_is_best_first_and_has_no_clock(ask: Ask) -> None:
    book = ask(BOOKS)
    assert set(book) == {"bids", "asks"}
    bids, asks = ([float(level["price"]) for level in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert len(bids) == len(asks) == 100


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        (CANDLES, {"market": "XYZ-USD"}, 400, "ticker must be a valid ticker"),
        (CANDLES, {"resolution": "2HOURS"}, 400, "resolution must be"),
        (CANDLES, {"limit": 1_001}, 400, "limit must be"),
        (CANDLES, {"fromISO": "yesterday"}, 400, "Invalid value"),
        (FUNDING, {"limit": 0}, 400, "limit must be"),
        (FUNDING, {"market": "MATIC-USD"}, 404, "not found in markets"),
        (TRADES, {"createdBeforeOrAt": "x"}, 400, "Invalid value"),
        (BOOKS, {"market": "XYZ-USD"}, 404, "ticker must be"),
    ],
)
def test_errors_are_a_list_of_messages(ask: Ask, path: str, query: dict[str, Any], status: int, text: str) -> None:
    with pytest.raises(WireError) as caught:
        ask(path, **query)
    assert caught.value.status == status
    assert text in caught.value.body["errors"][0]["msg"]


def test_labels_name_the_market_and_rows_are_the_lists(wire: DydxWire, ask: Ask) -> None:
    assert wire.label(CANDLES, {"market": BTC}) == "/v4/candles/perpetualMarkets/BTC-USD"
    body = ask(FUNDING)
    assert wire.rows(body) is body["historicalFunding"]
    assert wire.rows(ask(BOOKS)) is None


def test_same_world_same_bytes(wire: DydxWire, world: World) -> None:
    other = DydxWire(world)
    query = {"market": "SOL-USD", "resolution": "1HOUR"}
    for a, b in zip(wire.routes(), other.routes(), strict=True):
        assert a.answer(query, NOW) == b.answer(query, NOW)
