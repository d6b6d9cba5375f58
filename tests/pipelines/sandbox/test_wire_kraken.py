"""Kraken futures' wire: keys and types of every shape, order and bounds of pages, limits, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_kraken import API, CANDLES, KrakenWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 10, 12, 30, 15)
FUNDING = "/derivatives/api/v4/historicalfundingrates"
BTC = "PF_XBTUSD"
BEGIN_S = to_ms(datetime(2025, 10, 10)) // 1_000

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, date(2025, 7, 1), 110, assets=("BTC", "SOL"))


@pytest.fixture(scope="module")
def wire(world: World) -> KrakenWire:
    return KrakenWire(world)


@pytest.fixture(scope="module")
def ask(wire: KrakenWire) -> Ask:
    """Return a function that asks a path with a query of strings, at `NOW` or another instant."""
    routes = {route.path: route for route in wire.routes()}

    def answer(path: str, now: datetime = NOW, **query: Any) -> Any:
        fixed = {"symbol": BTC, "price_type": "trade", "interval": "1h"}
        return routes[path].answer({k: str(v) for k, v in {**fixed, **query}.items()}, now)

    return answer


def test_answers_name_their_result_and_the_servers_time(ask: Ask) -> None:
    for path in ("feeschedules", "instruments", "tickers", "orderbook"):
        body = ask(f"{API}/{path}")
        assert (body["result"], body["serverTime"]) == ("success", "2025-10-10T12:30:15.000Z")
    assert set(ask(CANDLES)) == {"candles", "more_candles"}


def test_the_catalogue_holds_what_is_no_flexible_perpetual_of_today(ask: Ask) -> None:
    listed = ask(f"{API}/instruments")["instruments"]
    assert [i["symbol"] for i in listed] == [
        BTC, "PF_SOLUSD", "PI_XBTUSD", "FF_XBTUSD_261225", "PF_MATICUSD", "in_xbtusd",
    ]  # fmt: skip
    assert [i["tradeable"] for i in listed] == [True, True, True, True, False, False]
    assert "lastTradingTime" not in listed[0]


def test_candles_are_texts_oldest_first_with_inclusive_bounds_in_seconds(ask: Ask, world: World) -> None:
    shown = ask(CANDLES, **{"from": BEGIN_S, "to": BEGIN_S + 7_200})["candles"]
    assert [c["time"] // 1_000 for c in shown] == [BEGIN_S, BEGIN_S + 3_600, BEGIN_S + 7_200]
    assert {type(v) for c in shown for k, v in c.items() if k != "time"} == {str}
    want = VenueMarket(world, "kraken").candles("BTC")
    i = int(want.start_ms.searchsorted(BEGIN_S * 1_000))
    assert (float(shown[0]["close"]), float(shown[0]["volume"])) == (want.close_quote[i], want.volume_base[i])
    assert ask(CANDLES, **{"from": BEGIN_S})["candles"][-1]["time"] == to_ms(datetime(2025, 10, 10, 12))


def test_a_page_of_candles_says_that_there_are_more(ask: Ask) -> None:
    whole = ask(CANDLES)
    assert (len(whole["candles"]), whole["more_candles"]) == (2_000, True)
    rest = ask(CANDLES, **{"from": whole["candles"][-1]["time"] // 1_000 + 1})
    assert (len(rest["candles"]), rest["more_candles"]) == (101 * 24 + 13 - 2_000, False)


def test_funding_is_the_whole_history_in_dollars_and_relative(ask: Ask, world: World) -> None:
    rates = ask(FUNDING)["rates"]
    assert len(rates) == 101 * 24 + 13
    assert rates[-1]["timestamp"] == "2025-10-10T12:00:00.000Z"
    funding = VenueMarket(world, "kraken").funding("BTC")
    assert rates[0]["relativeFundingRate"] == funding.rate_frac[0]
    assert rates[0]["fundingRate"] == pytest.approx(funding.rate_frac[0] * funding.mark_quote[0])


def test_tickers_hold_an_index_as_well_and_books_are_whole(ask: Ask, world: World) -> None:
    market = VenueMarket(world, "kraken")
    tickers = {t["symbol"]: t for t in ask(f"{API}/tickers")["tickers"]}
    assert list(tickers) == [BTC, "PF_SOLUSD", "in_xbtusd"]
    book = market.book("BTC", NOW)
    assert (tickers[BTC]["bid"], tickers[BTC]["bidSize"]) == tuple(book.bids[0])
    shown = ask(f"{API}/orderbook")["orderBook"]
    assert (shown["bids"], shown["asks"]) == (book.bids.tolist(), book.asks.tolist())


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        (CANDLES, {"symbol": "PF_XYZUSD"}, 400),
        (CANDLES, {"from": "noon"}, 400),
        (CANDLES, {"interval": "2h"}, 404),
        (CANDLES, {"price_type": "spot"}, 404),
        (FUNDING, {"symbol": "PF_XYZUSD"}, 400),
        (f"{API}/orderbook", {"symbol": "PF_XYZUSD"}, 400),
    ],
)
def test_errors_are_results(ask: Ask, path: str, query: dict[str, Any], status: int) -> None:
    with pytest.raises(WireError) as caught:
        ask(path, **query)
    assert caught.value.status == status
    assert caught.value.body["result"] == "error"
    assert caught.value.body["error"]


def test_labels_are_paths_as_asked_and_only_candles_are_cut(wire: KrakenWire, ask: Ask) -> None:
    query = {"price_type": "trade", "symbol": BTC, "interval": "1h"}
    assert wire.label(CANDLES, query) == "/api/charts/v1/trade/PF_XBTUSD/1h"
    body = ask(CANDLES)
    assert wire.rows(body) is body["candles"]
    assert [wire.rows(ask(path)) for path in (FUNDING, f"{API}/tickers", f"{API}/orderbook")] == [None] * 3


def test_nothing_is_shown_before_the_market_opens(ask: Ask, world: World) -> None:
    early = world.start - timedelta(days=1)
    assert ask(CANDLES, early)["candles"] == []
    assert ask(FUNDING, early)["rates"] == []
    assert ask(f"{API}/tickers", early)["tickers"] == []
    assert ask(f"{API}/orderbook", early)["orderBook"] == {"bids": [], "asks": []}


def test_same_world_same_bytes(wire: KrakenWire, world: World) -> None:
    query = {"price_type": "trade", "symbol": "PF_SOLUSD", "interval": "1h"}
    for a, b in zip(wire.routes(), KrakenWire(world).routes(), strict=True):
        assert a.answer(query, NOW) == b.answer(query, NOW)
