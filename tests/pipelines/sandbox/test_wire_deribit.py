"""Deribit's wire: keys and types of every shape, order and bounds of pages, limits, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_deribit import PUBLIC, DeribitWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 10, 10, 12, 30, 15)
BTC, SOL = "BTC-PERPETUAL", "SOL_USDC-PERPETUAL"
CANDLES, FUNDING = "get_tradingview_chart_data", "get_funding_rate_history"
TRADES, BOOK, SUMMARIES = "get_last_trades_by_instrument_and_time", "get_order_book", "get_book_summary_by_currency"
HOUR_MS = 3_600_000
BEGIN = to_ms(datetime(2025, 10, 10))

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, date(2025, 9, 1), 42, assets=("BTC", "SOL"))


@pytest.fixture(scope="module")
def wire(world: World) -> DeribitWire:
    return DeribitWire(world)


@pytest.fixture(scope="module")
def ask(wire: DeribitWire) -> Ask:
    """Return a function that asks a method with a query of strings and returns the envelope's result."""
    routes = {route.path: route for route in wire.routes()}

    def answer(name: str, now: datetime = NOW, **query: Any) -> Any:
        fixed = {"instrument_name": BTC, "start_timestamp": 0, "end_timestamp": to_ms(NOW) * 2, "resolution": 60}
        body = routes[f"{PUBLIC}/{name}"].answer({k: str(v) for k, v in {**fixed, **query}.items()}, now)
        assert set(body) == {"jsonrpc", "result", "usIn", "usOut", "usDiff", "testnet"}
        assert (body["jsonrpc"], body["testnet"], body["usIn"]) == ("2.0", False, to_ms(now) * 1_000)
        return body["result"]

    return answer


def test_the_time_is_milliseconds(ask: Ask) -> None:
    assert ask("get_time") == to_ms(NOW)


def test_the_catalogue_holds_what_is_no_perpetual_of_today(ask: Ask) -> None:
    listed = ask("get_instruments", currency="any", kind="future")
    assert [i["instrument_name"] for i in listed] == [BTC, SOL, "BTC-25DEC26", "MATIC_USDC-PERPETUAL"]
    assert [i["settlement_period"] for i in listed] == ["perpetual", "perpetual", "month", "perpetual"]
    assert [i["is_active"] for i in listed] == [True, True, True, False]
    assert [(i["contract_size"], i["settlement_currency"]) for i in listed[:2]] == [(10.0, "BTC"), (1.0, "USDC")]
    assert ask("get_instruments")[-1]["kind"] == "option"


def test_candles_are_a_list_per_column_oldest_first_and_end_with_the_running_one(ask: Ask, world: World) -> None:
    shown = ask(CANDLES, start_timestamp=BEGIN)
    assert set(shown) == {"volume", "ticks", "status", "open", "low", "high", "cost", "close"}
    assert shown["ticks"] == [BEGIN + i * HOUR_MS for i in range(13)]
    market = VenueMarket(world, "deribit")
    want = market.candles("BTC")
    first = int(want.start_ms.searchsorted(BEGIN))
    assert shown["close"][:12] == want.close_quote[first : first + 12].tolist()
    # In coins, also of a contract that is counted in dollars.
    assert shown["volume"][:12] == want.volume_base[first : first + 12].tolist()
    running = market.open_candle("BTC", NOW)
    assert running is not None
    assert shown["close"][12] == running.close_quote[0]


def test_candles_of_no_time_say_so(ask: Ask) -> None:
    shown = ask(CANDLES, end_timestamp=1)
    assert (shown["status"], shown["ticks"], shown["close"]) == ("no_data", [], [])


def test_funding_is_stamped_with_the_hours_end_and_eight_hours_overlap(ask: Ask, world: World) -> None:
    shown = ask(FUNDING, start_timestamp=BEGIN, end_timestamp=BEGIN + 9 * HOUR_MS)
    assert [r["timestamp"] for r in shown] == [BEGIN + i * HOUR_MS for i in range(10)]
    assert set(shown[0]) == {"timestamp", "index_price", "prev_index_price", "interest_8h", "interest_1h"}
    assert [r["prev_index_price"] for r in shown[1:]] == [r["index_price"] for r in shown[:-1]]
    assert shown[8]["interest_8h"] == pytest.approx(sum(r["interest_1h"] for r in shown[1:9]), rel=1e-9)
    assert len(ask(FUNDING)) == 744


@pytest.mark.parametrize("name", [CANDLES, FUNDING])
def test_bounds_are_inclusive(ask: Ask, name: str) -> None:
    shown = ask(name, start_timestamp=BEGIN, end_timestamp=BEGIN + HOUR_MS)
    times = shown["ticks"] if name == CANDLES else [r["timestamp"] for r in shown]
    assert times == [BEGIN, BEGIN + HOUR_MS]


def test_trades_come_from_either_end_and_only_forced_ones_are_marked(ask: Ask) -> None:
    whole = ask(TRADES, count=900, sorting="asc")
    assert whole["has_more"] is True
    assert len(whole["trades"]) == 900
    times = [t["timestamp"] for t in ask(TRADES, start_timestamp=BEGIN, count=1_000, sorting="asc")["trades"]]
    assert times == sorted(times)
    assert BEGIN <= times[0] <= times[-1] <= to_ms(NOW)
    newest = ask(TRADES, start_timestamp=BEGIN)["trades"]
    assert [t["timestamp"] for t in newest] == times[::-1][:10]
    marks = {t.get("liquidation") for t in whole["trades"]}
    assert None in marks
    assert marks <= {None, "M", "T"}


def test_amounts_are_dollars_of_inverse_contracts_and_base_units_of_linear_ones(ask: Ask, world: World) -> None:
    market = VenueMarket(world, "deribit")
    for symbol, asset in ((BTC, "BTC"), (SOL, "SOL")):
        book, truth = ask(BOOK, instrument_name=symbol, depth=10), market.book(asset, NOW)
        assert (book["instrument_name"], book["timestamp"], len(book["bids"])) == (symbol, to_ms(NOW), 10)
        for (price, amount), (want, base) in zip(book["asks"], truth.asks[:10], strict=True):
            assert price == want
            assert amount == (base if asset == "SOL" else pytest.approx(base * want, abs=10.0))
    (btc,), (sol,) = ask(SUMMARIES, currency="BTC"), ask(SUMMARIES, currency="USDC")
    assert (btc["instrument_name"], sol["instrument_name"]) == (BTC, SOL)
    held = market.open_interest("BTC")
    base = held.open_interest_base[int(held.at_ms.searchsorted(to_ms(NOW), side="right")) - 1]
    assert btc["open_interest"] == pytest.approx(base * btc["mark_price"], abs=10.0)
    assert btc["open_interest"] % 10 == 0
    assert ask(SUMMARIES, currency="ETH") == []


@pytest.mark.parametrize(
    ("name", "query", "param"),
    [
        (CANDLES, {"instrument_name": "XYZ-PERPETUAL"}, "instrument_name"),
        (CANDLES, {"resolution": "61"}, "resolution"),
        (FUNDING, {"start_timestamp": "x"}, "start_timestamp"),
        (TRADES, {"count": 1_001}, "count"),
        (TRADES, {"end_timestamp": ""}, "end_timestamp"),
        (BOOK, {"depth": 7}, "depth"),
        (SUMMARIES, {"currency": "DOGE"}, "currency"),
    ],
)
def test_errors_stand_in_the_envelope(ask: Ask, name: str, query: dict[str, Any], param: str) -> None:
    with pytest.raises(WireError) as caught:
        ask(name, **query)
    assert caught.value.status == 400
    error = caught.value.body["error"]
    assert (error["code"], error["message"], error["data"]["param"]) == (-32602, "Invalid params", param)


def test_short_pages_are_cut_from_trades_and_settlements_only(wire: DeribitWire, ask: Ask) -> None:
    trades = {"result": ask(TRADES)}
    assert wire.rows(trades) is trades["result"]["trades"]
    funding = {"result": ask(FUNDING)}
    assert wire.rows(funding) is funding["result"]
    assert [wire.rows({"result": ask(name)}) for name in (CANDLES, "get_instruments", "get_time")] == [None] * 3


def test_nothing_is_shown_before_the_market_opens(ask: Ask, world: World) -> None:
    early = world.start - timedelta(days=1)
    assert ask(CANDLES, early)["ticks"] == []
    assert ask(FUNDING, early) == []
    assert ask(TRADES, early)["trades"] == []
    assert ask(SUMMARIES, early, currency="BTC") == []


def test_same_world_same_bytes(wire: DeribitWire, world: World) -> None:
    query = {"instrument_name": SOL, "start_timestamp": "0", "end_timestamp": str(BEGIN), "resolution": "60"}
    query |= {"currency": "USDC"}
    for a, b in zip(wire.routes(), DeribitWire(world).routes(), strict=True):
        assert a.answer(query, NOW) == b.answer(query, NOW)
