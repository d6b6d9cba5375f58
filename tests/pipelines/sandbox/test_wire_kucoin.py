"""KuCoin futures' wire: documented keys and types, inclusive bounds, pages, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, WireError, to_ms
from pipelines.sandbox.wire_kucoin import PATH, KucoinWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 12, 12, 30)
BTC, SOL = "XBTUSDTM", "SOLUSDTM"

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2025, 9, 1), 42, assets=("BTC", "SOL"), crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "kucoin")


@pytest.fixture(scope="module")
def ask(world: World) -> Ask:
    routes = {route.path.removeprefix(f"{PATH}/"): route for route in KucoinWire(world).routes()}

    def asked(name: str, now: datetime = NOW, **query: Any) -> Any:
        body = routes[name].answer({k.rstrip("_"): str(v) for k, v in query.items()}, now)
        assert (set(body), body["code"]) == ({"code", "data"}, "200000")
        return body["data"]

    return asked


def test_the_catalogue_lists_what_a_client_must_leave_out(ask: Ask) -> None:
    listed = {c["symbol"]: (c["type"], c["status"], c["isInverse"]) for c in ask("contracts/active")}
    assert listed == {
        BTC: ("FFWCSX", "Open", False),
        SOL: ("FFWCSX", "Open", False),
        "XBTUSDM": ("FFWCSX", "Open", True),
        "XBTMZ25": ("FFICSX", "Open", False),
        "HYPEUSDTM": ("FFWCSX", "Init", False),
        "MATICUSDTM": ("FFWCSX", "Paused", False),
    }
    assert ask("contracts/active")[0]["baseCurrency"] == "XBT"


def test_the_catalogue_counts_open_interest_in_contracts_and_the_days_volume_in_coins(
    ask: Ask, market: VenueMarket
) -> None:
    shown = {c["symbol"]: c for c in ask("contracts/active")}
    for symbol, asset in ((BTC, "BTC"), (SOL, "SOL")):
        held = market.open_interest(asset)
        hour = int(held.at_ms.searchsorted(to_ms(NOW), "right")) - 1
        contracts = shown[symbol]["openInterest"]
        assert isinstance(contracts, str)
        assert int(contracts) * shown[symbol]["multiplier"] == pytest.approx(held.open_interest_base[hour])
        assert shown[symbol]["volumeOf24h"] == pytest.approx(market.volume_24h_base(asset, NOW))


def test_candles_are_six_numbers_oldest_first_with_inclusive_bounds(ask: Ask, market: VenueMarket) -> None:
    begin = to_ms(datetime(2025, 10, 10))
    rows = ask("kline/query", symbol=SOL, granularity=60, from_=begin, to=begin + 2 * HOUR_MS)
    assert [(r[0] - begin) // HOUR_MS for r in rows] == [0, 1, 2]
    assert {len(r) for r in rows} == {6}
    want = market.candles("SOL")
    at = int(want.start_ms.searchsorted(begin))
    columns = (want.open_quote, want.high_quote, want.low_quote, want.close_quote)
    assert rows[0][1:5] == [column[at] for column in columns]
    assert rows[0][5] * 0.01 == pytest.approx(want.volume_base[at])
    assert isinstance(rows[0][5], int)


def test_a_page_of_candles_is_two_hundred_and_the_running_hour_is_the_last(ask: Ask) -> None:
    newest = ask("kline/query", symbol=SOL, granularity=60)
    assert (len(newest), newest[-1][0]) == (200, to_ms(datetime(2025, 10, 12, 12)))
    oldest = ask("kline/query", symbol=SOL, granularity=60, from_=0)
    assert (len(oldest), oldest[0][0]) == (200, to_ms(datetime(2025, 9, 1)))


def test_settlements_come_newest_first_on_the_hour_a_hundred_at_most(ask: Ask, market: VenueMarket) -> None:
    rows = ask("contract/funding-rates", symbol=BTC, from_=0, to=to_ms(NOW))
    hours = market.funding("BTC").settled_ms // HOUR_MS * HOUR_MS
    assert [r["timepoint"] for r in rows] == hours[hours <= to_ms(NOW)][::-1][:100].tolist()
    assert len(rows) == 100
    assert set(rows[0]) == {"symbol", "fundingRate", "timepoint"}


def test_books_are_whole_and_their_clock_is_in_nanoseconds(ask: Ask, market: VenueMarket) -> None:
    shown, book = ask("level2/snapshot", symbol=SOL), market.book("SOL", NOW)
    assert (shown["symbol"], shown["ts"]) == (SOL, to_ms(NOW) * 1_000_000)
    assert [p for p, _ in shown["bids"]] == book.bids[:, 0].tolist()
    assert [q * 0.01 for _, q in shown["asks"]] == pytest.approx(book.asks[:, 1].tolist())


def test_tiers_begin_at_zero_and_each_where_the_last_one_ends(ask: Ask) -> None:
    tiers = ask("contracts/risk-limit/{symbol}", symbol=BTC)
    assert [t["level"] for t in tiers] == [1, 2, 3, 4]
    assert [t["minRiskLimit"] for t in tiers] == [0, *(t["maxRiskLimit"] for t in tiers[:-1])]
    assert all(a["maintainMargin"] < b["maintainMargin"] for a, b in pairwise(tiers))


@pytest.mark.parametrize(
    ("name", "query", "code"),
    [
        ("kline/query", {"symbol": "XYZUSDTM", "granularity": "60"}, "404000"),
        ("kline/query", {"symbol": "HYPEUSDTM", "granularity": "60"}, "404000"),
        ("kline/query", {"symbol": SOL, "granularity": "7"}, "400100"),
        ("kline/query", {"symbol": SOL, "granularity": "60", "from": "noon"}, "400100"),
        ("contract/funding-rates", {"symbol": SOL}, "400100"),
        ("level2/snapshot", {}, "404000"),
        ("contracts/risk-limit/{symbol}", {"symbol": "XYZUSDTM"}, "404000"),
    ],
)
def test_wrong_requests_get_the_venues_error(world: World, name: str, query: dict[str, str], code: str) -> None:
    route = next(r for r in KucoinWire(world).routes() if r.path == f"{PATH}/{name}")
    with pytest.raises(WireError) as caught:
        route.answer(query, NOW)
    assert (caught.value.status, caught.value.body["code"]) == (400, code)
    assert set(caught.value.body) == {"code", "msg"}


def test_a_series_is_cut_and_a_catalogue_or_a_book_is_not(world: World) -> None:
    wire = KucoinWire(world)
    query = {"symbol": SOL, "granularity": "60", "from": "0", "to": str(to_ms(NOW))}
    bodies = {r.path.removeprefix(f"{PATH}/"): r.answer(query, NOW) for r in wire.routes()}
    assert {name for name, body in bodies.items() if wire.rows(body) is body["data"]} == {
        "kline/query",
        "contract/funding-rates",
    }
    assert wire.label(f"{PATH}/contracts/risk-limit/{{symbol}}", query) == f"{PATH}/contracts/risk-limit"


def test_nothing_is_shown_before_the_market_opens(ask: Ask) -> None:
    early = datetime(2025, 8, 30)
    assert ask("kline/query", early, symbol=SOL, granularity=60) == []
    assert ask("contract/funding-rates", early, symbol=SOL, from_=0, to=to_ms(NOW)) == []
