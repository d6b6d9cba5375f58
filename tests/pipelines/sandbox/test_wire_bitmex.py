"""BitMEX's wire: keys and types of every shape, order and bounds of pages, limits, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError
from pipelines.sandbox.wire_bitmex import BitmexWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 10, 12, 30, 15)
API = "/api/v1"

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, date(2025, 8, 20), 60, assets=("BTC", "SOL"))


@pytest.fixture(scope="module")
def wire(world: World) -> BitmexWire:
    return BitmexWire(world)


@pytest.fixture(scope="module")
def ask(wire: BitmexWire) -> Ask:
    """Return a function that asks a path with a query of strings, at `NOW` or another instant."""
    routes = {route.path: route for route in wire.routes()}

    def answer(path: str, now: datetime = NOW, **query: Any) -> Any:
        fixed = {"symbol": "XBTUSD", "binSize": "1h"}
        return routes[f"{API}/{path}"].answer({k: str(v) for k, v in {**fixed, **query}.items()}, now)

    return answer


def test_the_catalogue_holds_a_quanto_a_dated_and_an_unlisted_contract(ask: Ask) -> None:
    listed = {i["symbol"]: i for i in ask("instrument/active")}
    assert list(listed) == ["XBTUSD", "SOLUSDT", "ETHUSD", "XBTZ26", "MATICUSD"]
    assert [i["isQuanto"] for i in listed.values()] == [False, False, True, False, False]
    assert {i["typ"] for i in listed.values()} == {"FFWCSX", "FFCCSX"}
    assert listed["MATICUSD"]["state"] == "Unlisted"
    assert (listed["XBTUSD"]["settlCurrency"], listed["SOLUSDT"]["settlCurrency"]) == ("XBt", "USDt")


def test_open_interest_is_contracts_and_its_value_the_smallest_units(ask: Ask, world: World) -> None:
    market = VenueMarket(world, "bitmex")
    inverse, linear = ask("instrument/active")[:2]
    for shown, asset in ((inverse, "BTC"), (linear, "SOL")):
        held = market.open_interest(asset)
        base = held.open_interest_base[int(held.at_ms.searchsorted(1_760_099_415_000, side="right")) - 1]
        contracts = base * shown["markPrice"] if asset == "BTC" else base * 1e6
        value = base * 1e8 if asset == "BTC" else base * shown["markPrice"] * 1e6
        assert shown["openInterest"] == pytest.approx(contracts, abs=1.0)
        assert shown["openValue"] == pytest.approx(value, rel=1e-6)
        assert isinstance(shown["openInterest"], int)
        assert isinstance(shown["openValue"], int)


def test_candles_are_stamped_with_their_end_oldest_first(ask: Ask, world: World) -> None:
    shown = ask("trade/bucketed", startTime="2025-10-10T11:00:00.000Z")
    assert [c["timestamp"] for c in shown] == ["2025-10-10T11:00:00.000Z", "2025-10-10T12:00:00.000Z"]
    assert len(ask("trade/bucketed", startTime="2025-10-10T11:00:00.000Z", partial="true")) == 3
    want = VenueMarket(world, "bitmex").candles("BTC")
    hour = int((datetime(2025, 10, 10, 10) - world.start) / timedelta(hours=1))
    assert (shown[0]["close"], shown[0]["homeNotional"]) == (want.close_quote[hour], want.volume_base[hour])
    assert set(shown[0]) == {
        "timestamp", "symbol", "open", "high", "low", "close", "trades", "volume", "vwap", "lastSize", "turnover",
        "homeNotional", "foreignNotional",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "most"), [("trade/bucketed", 1_000), ("funding", 500)])
def test_pages_have_a_default_a_limit_and_inclusive_bounds(ask: Ask, path: str, most: int) -> None:
    whole = ask(path, count=most)
    times = [r["timestamp"] for r in whole]
    assert times == sorted(times)
    assert len(ask(path)) == 100
    assert len(whole) == (most if path == "trade/bucketed" else 51 * 3 + 2)
    assert ask(path, startTime=times[3], endTime=times[5]) == whole[3:6]
    with pytest.raises(WireError, match="count must be"):
        ask(path, count=most + 1)


def test_a_book_is_one_list_with_the_best_sell_beside_the_best_buy(ask: Ask) -> None:
    levels = ask("orderBook/L2", depth=3)
    assert [level["side"] for level in levels] == ["Sell"] * 3 + ["Buy"] * 3
    prices = [level["price"] for level in levels]
    assert prices == sorted(prices, reverse=True)
    assert {type(level["size"]) for level in levels} == {int}
    assert len(ask("orderBook/L2")) == 50


def test_insurance_is_told_at_noon_in_the_smallest_units(ask: Ask, world: World) -> None:
    newest = ask("insurance", currency="all", reverse="true", count=2)
    assert [(r["currency"], r["timestamp"]) for r in newest] == [
        ("XBt", "2025-10-10T12:00:00.000Z"),
        ("USDt", "2025-10-10T12:00:00.000Z"),
    ]
    assert {r["currency"] for r in ask("insurance")} == {"XBt"}
    market, noon = VenueMarket(world, "bitmex"), datetime(2025, 10, 10, 12)
    usd = newest[0]["walletBalance"] / 1e8 * market.price("BTC", noon) + newest[1]["walletBalance"] / 1e6
    assert usd == pytest.approx(market.insurance_fund_usd(noon), rel=1e-6)


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        ("trade/bucketed", {"symbol": "XYZ"}, "'symbol' is invalid"),
        ("trade/bucketed", {"binSize": "2h"}, "binSize"),
        ("funding", {"startTime": "noon"}, "parse date"),
        ("orderBook/L2", {"depth": "-1"}, "depth"),
        ("insurance", {"count": "0"}, "count must be"),
    ],
)
def test_errors_have_a_message_and_a_name(ask: Ask, path: str, query: dict[str, Any], text: str) -> None:
    with pytest.raises(WireError) as caught:
        ask(path, **query)
    assert caught.value.status == 400
    error = caught.value.body["error"]
    assert error["name"] == "HTTPError"
    assert text in error["message"]


def test_only_series_are_cut(wire: BitmexWire, ask: Ask) -> None:
    for path in ("trade/bucketed", "funding"):
        body = ask(path)
        assert wire.rows(body) is body
    assert [wire.rows(ask(path)) for path in ("instrument/active", "orderBook/L2", "insurance")] == [None] * 3


def test_nothing_is_shown_before_the_market_opens(ask: Ask, world: World) -> None:
    early = world.start - timedelta(days=1)
    assert [ask(path, early) for path in ("trade/bucketed", "funding", "orderBook/L2", "insurance")] == [[]] * 4
    assert "openInterest" not in ask("instrument/active", early)[0]


def test_same_world_same_bytes(wire: BitmexWire, world: World) -> None:
    query = {"symbol": "SOLUSDT", "binSize": "1h", "partial": "true"}
    for a, b in zip(wire.routes(), BitmexWire(world).routes(), strict=True):
        assert a.answer(query, NOW) == b.answer(query, NOW)
