"""Bybit's wire: keys and types of every shape, order and bounds of pages, limits, errors, nothing after now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, WireError, to_ms
from pipelines.sandbox.wire_bybit import BybitWire
from pipelines.sandbox.wire_bybit_pages import BybitError
from pipelines.sandbox.wire_bybit_series import UNLAUNCHED_ASSET
from pipelines.sandbox.world import World

FIRST = date(2025, 9, 1)
NOW = datetime(2025, 10, 10, 12, 30, 15)
LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
QUESTIONS: dict[str, dict[str, str]] = {
    "kline": {**LINEAR, "interval": "60"},
    "funding/history": LINEAR,
    "open-interest": {**LINEAR, "intervalTime": "1h"},
}
CLOCKS: dict[str, Any] = {
    "kline": lambda r: int(r[0]),
    "funding/history": lambda r: int(r["fundingRateTimestamp"]),
    "open-interest": lambda r: int(r["timestamp"]),
}
BOUNDS = {
    "kline": ("start", "end"),
    "funding/history": ("startTime", "endTime"),
    "open-interest": ("startTime", "endTime"),
}
STEPS = {"kline": HOUR_MS, "funding/history": 8 * HOUR_MS, "open-interest": HOUR_MS}


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, FIRST, 40, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5))


@pytest.fixture(scope="module")
def wire(world: World) -> BybitWire:
    return BybitWire(world)


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _ask(wire: BybitWire, name: str, now: datetime = NOW, **query: Any) -> dict[str, Any]:
    """Return a route's answer as a client reads it: after JSON."""
    route = next(r for r in wire.routes() if r.path == f"/v5/market/{name}")
    answer = route.answer({k: str(v) for k, v in query.items()}, now)
    decoded: dict[str, Any] = json.loads(json.dumps(answer))
    return decoded


def _list(wire: BybitWire, name: str, now: datetime = NOW, **query: Any) -> list[Any]:
    rows: list[Any] = _ask(wire, name, now, **{**QUESTIONS[name], **query})["result"]["list"]
    return rows


def _is_number_text(value: Any) -> bool:
    return isinstance(value, str) and np.isfinite(float(value))


# -- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["time", "instruments-info", "orderbook", *QUESTIONS])
def test_every_answer_stands_in_the_envelope(wire: BybitWire, name: str) -> None:
    body = _ask(wire, name, **QUESTIONS.get(name, LINEAR))
    assert list(body) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
    assert (body["retCode"], body["retMsg"], body["retExtInfo"], body["time"]) == (0, "OK", {}, to_ms(NOW))
    assert isinstance(body["result"], dict)


def test_time_is_told_in_seconds_and_nanoseconds(wire: BybitWire) -> None:
    at = to_ms(NOW)
    assert _ask(wire, "time")["result"] == {"timeSecond": str(at // 1000), "timeNano": f"{at}000000"}


def test_klines_have_the_documented_shape(wire: BybitWire) -> None:
    result = _ask(wire, "kline", **QUESTIONS["kline"], limit=3)["result"]
    assert set(result) == {"symbol", "category", "list"}
    assert (result["symbol"], result["category"]) == ("BTCUSDT", "linear")
    assert all(len(row) == 7 and all(_is_number_text(v) for v in row) for row in result["list"])
    assert int(result["list"][0][0]) == to_ms(NOW.replace(minute=0, second=0)), "the open candle stands first"


def test_funding_has_the_documented_shape(wire: BybitWire) -> None:
    result = _ask(wire, "funding/history", **LINEAR)["result"]
    assert set(result) == {"category", "list"}
    assert all(set(r) == {"symbol", "fundingRate", "fundingRateTimestamp"} for r in result["list"])
    assert all(r["symbol"] == "BTCUSDT" and _is_number_text(r["fundingRate"]) for r in result["list"])
    assert all(int(r["fundingRateTimestamp"]) % (8 * HOUR_MS) == 0 for r in result["list"])


def test_open_interest_has_the_documented_shape_and_counts_both_sides(wire: BybitWire, world: World) -> None:
    result = _ask(wire, "open-interest", **QUESTIONS["open-interest"])["result"]
    assert set(result) == {"symbol", "category", "list", "nextPageCursor"}
    assert all(set(r) == {"openInterest", "singleOpenInterest", "timestamp"} for r in result["list"])
    assert all(float(r["openInterest"]) == 2 * float(r["singleOpenInterest"]) for r in result["list"])
    assert all(_is_number_text(r["openInterest"]) and isinstance(r["timestamp"], str) for r in result["list"])
    series = VenueMarket(world, "bybit").open_interest("BTC")
    newest = int(np.searchsorted(series.at_ms, to_ms(NOW), side="right")) - 1
    assert float(result["list"][0]["openInterest"]) == 2 * series.open_interest_base[newest]


def test_the_book_has_the_documented_shape(wire: BybitWire) -> None:
    result = _ask(wire, "orderbook", **LINEAR)["result"]
    assert {k: type(v) for k, v in result.items()} == {
        "s": str,
        "b": list,
        "a": list,
        "ts": int,
        "u": int,
        "seq": int,
        "cts": int,
    }
    assert [len(result[k]) for k in "ba"] == [25, 25]
    assert all([type(v) for v in level] == [str, str] for side in "ba" for level in result[side])
    bids, asks = ([float(p) for p, _ in result[k]] for k in "ba")
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert result["cts"] <= result["ts"] <= to_ms(NOW)
    assert [len(_ask(wire, "orderbook", **LINEAR, limit=n)["result"]["b"]) for n in (1, 1000)] == [1, 1000]


@pytest.mark.parametrize("name", ["mark-price-kline", "index-price-kline"])
def test_mark_and_index_klines_are_five_strings_and_paged_as_klines(wire: BybitWire, name: str) -> None:
    result = _ask(wire, name, **QUESTIONS["kline"], limit=3)["result"]
    assert (set(result), result["symbol"], result["category"]) == ({"symbol", "category", "list"}, "BTCUSDT", "linear")
    assert all(len(row) == 5 and all(_is_number_text(v) for v in row) for row in result["list"])
    hour = to_ms(NOW.replace(minute=0, second=0))
    assert [int(row[0]) for row in result["list"]] == [hour, hour - HOUR_MS, hour - 2 * HOUR_MS]
    assert all(float(row[3]) <= min(float(row[1]), float(row[4])) <= float(row[2]) for row in result["list"])


def test_ratios_are_shares_of_four_decimals_newest_first(wire: BybitWire) -> None:
    result = _ask(wire, "account-ratio", **LINEAR, period="1h")["result"]
    rows = result["list"]
    assert (set(result), len(rows)) == ({"list", "nextPageCursor"}, 50)
    assert all(set(r) == {"symbol", "buyRatio", "sellRatio", "timestamp"} for r in rows)
    assert all(float(r["buyRatio"]) + float(r["sellRatio"]) == pytest.approx(1.0, abs=1e-12) for r in rows)
    assert [int(r["timestamp"]) for r in rows[:2]] == [
        to_ms(NOW.replace(minute=0, second=0)) - i * HOUR_MS for i in (0, 1)
    ]
    assert len(_ask(wire, "account-ratio", **LINEAR, period="1h", limit=500)["result"]["list"]) == 500
    with pytest.raises(BybitError):
        _ask(wire, "account-ratio", **LINEAR, period="1h", limit=501)
    with pytest.raises(BybitError):
        _ask(wire, "account-ratio", **LINEAR, period="2h")


@pytest.mark.parametrize("category", ["linear", "inverse"])
def test_tickers_are_all_contracts_that_trade_all_strings(wire: BybitWire, category: str) -> None:
    body = _ask(wire, "tickers", category=category)
    rows = body["result"]["list"]
    listed = {e["symbol"] for e in _ask(wire, "instruments-info", category=category)["result"]["list"]}
    assert {r["symbol"] for r in rows} == listed
    assert {type(v) for r in rows for v in r.values()} == {str}
    for row in rows:
        assert float(row["bid1Price"]) < float(row["ask1Price"])
        held, worth, mark = (float(row[k]) for k in ("openInterest", "openInterestValue", "markPrice"))
        # Coins and dollars stand in for each other.
        assert held / worth == pytest.approx(mark if category == "inverse" else 1 / mark, rel=0.05)
    assert wire.rows(body) is None, "an answer about all contracts is never cut"


def test_risk_limits_are_of_one_symbol_or_of_all_by_a_cursor(wire: BybitWire) -> None:
    one = _ask(wire, "risk-limit", **LINEAR)["result"]
    assert (set(one), one["nextPageCursor"]) == ({"category", "list", "nextPageCursor"}, "")
    keys = {"id", "symbol", "riskLimitValue", "maintenanceMargin", "initialMargin", "isLowestRisk", "maxLeverage"}
    assert all(set(t) == {*keys, "mmDeduction"} for t in one["list"])
    assert [t["isLowestRisk"] for t in one["list"]] == [1, 0, 0, 0, 0]
    assert {t["symbol"] for t in _ask(wire, "risk-limit", category="linear")["result"]["list"]} > {"BTCUSDT"}
    for below, tier in zip(one["list"], one["list"][1:], strict=False):
        cap = float(below["riskLimitValue"])
        margins = [cap * float(t["maintenanceMargin"]) - float(t["mmDeduction"] or 0) for t in (below, tier)]
        assert margins[0] == pytest.approx(margins[1], rel=1e-9)


def test_alerts_of_deleveraging_are_of_every_contract_or_of_one(wire: BybitWire) -> None:
    body = _ask(wire, "adlAlert")
    alerts = body["result"]["list"]
    assert set(body["result"]) == {"updatedTime", "list"}
    assert {frozenset(a) for a in alerts} == {
        frozenset(
            {
                "coin", "symbol", "balance", "maxBalance", "insurancePnlRatio", "pnlRatio", "adlTriggerThreshold",
                "adlStopRatio",
            }
        )
    }  # fmt: skip
    assert {a["maxBalance"] for a in alerts} == {""}, "the venue tells it no more"
    assert _ask(wire, "adlAlert", symbol=alerts[0]["symbol"])["result"]["list"] == alerts[:1]
    assert wire.rows(body) is None


def test_insurance_pools_have_symbols_a_balance_and_a_value(wire: BybitWire) -> None:
    body = _ask(wire, "insurance")
    assert set(body["result"]) == {"updatedTime", "list"}
    assert all(set(p) == {"coin", "symbols", "balance", "value"} for p in body["result"]["list"])
    assert [p["coin"] for p in body["result"]["list"]] == ["USDT", "USDT", "BTC"]
    assert wire.rows(body) is None


def test_inverse_contracts_count_dollars_and_turn_over_coins(wire: BybitWire, world: World) -> None:
    market = VenueMarket(world, "bybit_inverse")
    inverse = {"category": "inverse", "symbol": "BTCUSD"}
    row = _ask(wire, "kline", **inverse, interval="60", limit=2)["result"]["list"][1]
    i = int(np.searchsorted(market.candles("BTC").start_ms, int(row[0])))
    assert float(row[6]) == market.candles("BTC").volume_base[i]
    assert float(row[5]) == round(market.candles("BTC").volume_usd[i])
    held = _ask(wire, "open-interest", **inverse, intervalTime="1h")["result"]["list"][0]
    usd = market.open_interest("BTC").open_interest_usd[
        int(np.searchsorted(market.open_interest("BTC").at_ms, to_ms(NOW), "right")) - 1
    ]
    assert float(held["openInterest"]) == 2 * round(usd)
    size = float(_ask(wire, "orderbook", **inverse)["result"]["b"][0][1])
    assert size == int(size)
    assert size >= 1


def test_a_contract_has_the_documented_keys(wire: BybitWire) -> None:
    entry = _ask(wire, "instruments-info", **LINEAR)["result"]["list"]
    assert [e["symbol"] for e in entry] == ["BTCUSDT"]
    types = {k: type(v) for k, v in entry[0].items()}
    texts = (
        "symbol contractType status baseCoin quoteCoin symbolType launchTime deliveryTime deliveryFeeRate priceScale"
    )
    texts += " settleCoin copyTrading upperFundingRate lowerFundingRate"
    assert types == {
        **dict.fromkeys(texts.split(), str),
        **dict.fromkeys(("leverageFilter", "priceFilter", "lotSizeFilter"), dict),
        "unifiedMarginTrade": bool,
        "fundingInterval": int,
        "isPreListing": bool,
        "preListingInfo": type(None),
    }
    assert entry[0]["fundingInterval"] == 480
    for name in ("leverageFilter", "priceFilter", "lotSizeFilter"):
        assert all(_is_number_text(v) for v in entry[0][name].values())


# -- the catalogue ----------------------------------------------------------------------------------------------------


def test_the_catalogue_holds_contracts_that_a_client_must_leave_out(wire: BybitWire) -> None:
    linear = _ask(wire, "instruments-info", category="linear")["result"]["list"]
    kinds = {e["symbol"]: (e["contractType"], e["quoteCoin"], e["deliveryTime"] != "0") for e in linear}
    assert kinds == {
        "BTCPERP": ("LinearPerpetual", "USDC", False),
        "BTCUSDT": ("LinearPerpetual", "USDT", False),
        "BTCUSDT-28NOV25": ("LinearFutures", "USDT", True),
        "SOLUSDT": ("LinearPerpetual", "USDT", False),
    }
    inverse = _ask(wire, "instruments-info", category="inverse")["result"]["list"]
    kept = [(e["symbol"], e["contractType"], e["settleCoin"]) for e in inverse]
    assert kept == [("BTCUSD", "InversePerpetual", "BTC"), ("BTCUSDZ", "InverseFutures", "BTC")]


def test_a_contract_before_its_launch_is_shown_where_it_is_asked_for_and_has_no_records(wire: BybitWire) -> None:
    waiting = _ask(wire, "instruments-info", category="linear", status="PreLaunch")["result"]["list"]
    symbol = f"{UNLAUNCHED_ASSET}USDT"
    assert [(e["symbol"], e["baseCoin"], e["status"]) for e in waiting] == [(symbol, UNLAUNCHED_ASSET, "PreLaunch")]
    assert [_list(wire, name, symbol=symbol) for name in QUESTIONS] == [[], [], []]


def test_the_catalogue_is_paged_by_a_cursor(wire: BybitWire) -> None:
    seen, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        result = _ask(wire, "instruments-info", category="linear", limit=3, cursor=cursor)["result"]
        seen += [e["symbol"] for e in result["list"]]
        cursor, pages = result["nextPageCursor"], pages + 1
    assert seen == [e["symbol"] for e in _ask(wire, "instruments-info", category="linear")["result"]["list"]]
    assert pages == 2


# -- pages ------------------------------------------------------------------------------------------------------------


# The market has 949 hours and 119 settlements so far: more than a page of 200 hours, fewer than the other limits.
@pytest.mark.parametrize(
    ("name", "default", "most", "longest"),
    [("kline", 200, 1000, 949), ("funding/history", 119, 200, 119), ("open-interest", 50, 200, 200)],
)
def test_pages_are_newest_first_and_as_long_as_documented(
    wire: BybitWire, name: str, default: int, most: int, longest: int
) -> None:
    clock = [CLOCKS[name](r) for r in _list(wire, name)]
    assert clock == sorted(set(clock), reverse=True)
    assert len(clock) == default
    assert len(_list(wire, name, limit=most)) == longest


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_bounds_are_inclusive_and_a_short_page_keeps_its_newest(wire: BybitWire, name: str) -> None:
    start, step = to_ms(datetime(2025, 9, 3)), STEPS[name]
    names = BOUNDS[name]
    inside = {names[0]: start, names[1]: start + 5 * step}
    clock = [CLOCKS[name](r) for r in _list(wire, name, **inside)]
    assert clock == [start + i * step for i in (5, 4, 3, 2, 1, 0)]
    clock = [CLOCKS[name](r) for r in _list(wire, name, **inside, limit=2)]
    assert clock == [start + 5 * step, start + 4 * step]
    clock = [CLOCKS[name](r) for r in _list(wire, name, **{names[1]: start + step}, limit=2)]
    assert clock == [start + step, start]
    narrow = {names[0]: start + 1, names[1]: start + step - 1}
    assert _list(wire, name, **narrow) == []


@pytest.mark.parametrize("name", ["kline", "open-interest"])
def test_a_start_alone_gives_the_records_from_it_on(wire: BybitWire, name: str) -> None:
    start = to_ms(datetime(2025, 9, 3))
    clock = [CLOCKS[name](r) for r in _list(wire, name, **{BOUNDS[name][0]: start}, limit=2)]
    assert clock == [start + HOUR_MS, start]


def test_open_interest_is_paged_by_a_cursor(wire: BybitWire) -> None:
    start = to_ms(datetime(2025, 9, 3))
    query = {**QUESTIONS["open-interest"], "startTime": start, "endTime": start + 5 * HOUR_MS, "limit": 4}
    page = _ask(wire, "open-interest", **query)["result"]
    rest = _ask(wire, "open-interest", **query, cursor=page["nextPageCursor"])["result"]
    assert [len(page["list"]), len(rest["list"]), rest["nextPageCursor"]] == [4, 2, ""]
    clock = [int(r["timestamp"]) for r in page["list"] + rest["list"]]
    assert clock == [start + i * HOUR_MS for i in (5, 4, 3, 2, 1, 0)]


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "query"),
    [
        *((name, {"symbol": "NOPEUSDT"}) for name in QUESTIONS),
        *((name, {"symbol": ""}) for name in QUESTIONS),
        *((name, {"category": "inverse"}) for name in QUESTIONS),
        *((name, {"category": "spot"}) for name in QUESTIONS),
        *((name, {"limit": "0"}) for name in QUESTIONS),
        *((name, {"limit": "x"}) for name in QUESTIONS),
        *((name, {BOUNDS[name][0]: "x"}) for name in QUESTIONS),
        *((name, {BOUNDS[name][0]: "2", BOUNDS[name][1]: "1"}) for name in QUESTIONS),
        ("kline", {"limit": "1001"}),
        ("kline", {"interval": "61"}),
        ("kline", {"interval": "1h"}),
        ("funding/history", {"limit": "201"}),
        ("funding/history", {"startTime": "1"}),
        ("open-interest", {"limit": "201"}),
        ("open-interest", {"intervalTime": "2h"}),
        ("orderbook", {"limit": "1001"}),
        ("orderbook", {"symbol": "NOPEUSDT"}),
        ("instruments-info", {"limit": "1001"}),
        ("instruments-info", {"symbol": "NOPEUSDT"}),
        ("instruments-info", {"category": ""}),
    ],
)
def test_wrong_requests_are_answered_with_a_code_and_no_result(
    wire: BybitWire, name: str, query: dict[str, str]
) -> None:
    with pytest.raises(WireError) as caught:
        _ask(wire, name, **{**QUESTIONS.get(name, LINEAR), **query})
    body = caught.value.body
    assert caught.value.status == 200
    assert (body["retCode"], body["result"], body["time"]) == (10001, {}, to_ms(NOW))
    assert body["retMsg"] not in ("", "OK")


def test_an_error_is_told_with_http_200(sandbox: Sandbox) -> None:
    answer = _get(sandbox, "kline", **{**QUESTIONS["kline"], "symbol": "NOPEUSDT"})
    assert answer.status_code == 200
    assert answer.json() == BybitError("params error: symbol invalid", NOW).body


# -- now --------------------------------------------------------------------------------------------------------------


def test_nothing_after_now_is_served(wire: BybitWire) -> None:
    now, late = datetime(2025, 9, 10, 8, 0), to_ms(datetime(2026, 1, 1))
    for name in QUESTIONS:
        assert CLOCKS[name](_list(wire, name, now)[0]) == to_ms(now)
        just_before = now - timedelta(milliseconds=1)
        bounds = dict(zip(BOUNDS[name], (to_ms(datetime(2025, 9, 9)), late), strict=True))
        assert CLOCKS[name](_list(wire, name, just_before, **bounds)[0]) < to_ms(now)
        assert _list(wire, name, datetime(2025, 8, 1)) == []


def test_the_open_candle_moves_with_now_and_closes_to_the_markets_candle(wire: BybitWire, world: World) -> None:
    hour = datetime(2025, 9, 10, 8)
    half = _list(wire, "kline", hour + timedelta(minutes=30), symbol="SOLUSDT", limit=1)[0]
    done = _list(wire, "kline", hour + timedelta(hours=1), symbol="SOLUSDT", limit=2)[1]
    assert half[0] == done[0]
    assert float(half[5]) < float(done[5])
    i = int((hour - world.start) / timedelta(hours=1))
    assert float(done[4]) == VenueMarket(world, "bybit").candles("SOL").close_quote[i]


# -- over HTTP --------------------------------------------------------------------------------------------------------

# One client: building one per request would load the machine's certificates each time.
CLIENT = httpx.Client(trust_env=False, verify=False)


def _get(sandbox: Sandbox, name: str, **query: Any) -> httpx.Response:
    return CLIENT.get(f"{sandbox.base_url}/v5/market/{name}", params=query)


def test_no_weight_is_told(sandbox: Sandbox) -> None:
    assert not [h for h in _get(sandbox, "time").headers if h.startswith("x-")]


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("rate_limited", 429, "Too many visits!"),
        ("banned", 403, "access too frequent"),
        ("geoblocked", 403, "block access from your country"),
        ("error", 500, "Server error"),
    ],
)
def test_refusals_have_the_venues_status_and_words(sandbox: Sandbox, kind: Any, status: int, words: str) -> None:
    sandbox.restart(faults=Faults((Fault(kind, path="/v5/market/time"),)))
    answers = [_get(sandbox, "time") for _ in range(2)]
    sandbox.restart()
    assert [a.status_code for a in answers] == [status, 200]
    assert words in answers[0].text


def test_short_pages_keep_the_newest_and_the_catalogue_is_never_cut(sandbox: Sandbox) -> None:
    sandbox.restart(faults=Faults((Fault("short_page"),), page_cap_count=2))
    whole = _get(sandbox, "instruments-info", category="linear").json()["result"]["list"]
    capped = _get(sandbox, "kline", **QUESTIONS["kline"]).json()["result"]["list"]
    sandbox.restart()
    assert len(whole) == 4
    newest = to_ms(NOW.replace(minute=0, second=0))
    assert [int(r[0]) for r in capped] == [newest, newest - HOUR_MS]


def test_same_world_same_bytes(world: World) -> None:
    again = BybitWire(World(3, FIRST, 40, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5)))
    for name in ("instruments-info", "orderbook", *QUESTIONS):
        query = QUESTIONS.get(name, LINEAR)
        assert _ask(BybitWire(world), name, **query) == _ask(again, name, **query)
