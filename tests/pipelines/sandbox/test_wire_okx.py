"""OKX's wire: keys and types of every shape, order and bounds of pages, limits, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_okx import OkxWire
from pipelines.sandbox.wire_okx_pages import OkxError
from pipelines.sandbox.world import World

FIRST = date(2025, 9, 1)
NOW = datetime(2025, 10, 10, 12, 30, 15)
HOUR_MS = 3_600_000
BTC, SOL = "BTC-USDT-SWAP", "SOL-USDT-SWAP"

CANDLES = "/api/v5/market/candles"
HISTORY = "/api/v5/market/history-candles"
FUNDING = "/api/v5/public/funding-rate-history"
OPEN_INTEREST = "/api/v5/rubik/stat/contracts/open-interest-history"
BOOKS = "/api/v5/market/books"
INSTRUMENTS = "/api/v5/public/instruments"

# What each series needs beside its contract, and its lower and upper bound.
SERIES: dict[str, tuple[dict[str, str], str, str]] = {
    CANDLES: ({"bar": "1H"}, "before", "after"),
    HISTORY: ({"bar": "1H"}, "before", "after"),
    FUNDING: ({}, "before", "after"),
    OPEN_INTEREST: ({"period": "1H"}, "begin", "end"),
}

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, FIRST, 40, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5))


@pytest.fixture(scope="module")
def wire(world: World) -> OkxWire:
    return OkxWire(world)


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "okx")


@pytest.fixture(scope="module")
def ask(wire: OkxWire) -> Ask:
    """Return a function that asks a path with a query of strings, at `NOW` or another instant."""
    routes = {route.path: route for route in wire.routes()}

    def answer(path: str, now: datetime = NOW, **query: Any) -> Any:
        return routes[path].answer({k: str(v) for k, v in query.items()}, now)

    return answer


def _series(ask: Ask, path: str, now: datetime = NOW, symbol: str = BTC, /, **query: Any) -> list[Any]:
    body = ask(path, now, instId=symbol, **SERIES[path][0], **query)
    assert (body["code"], body["msg"], set(body)) == ("0", "", {"code", "msg", "data"})
    assert isinstance(body["data"], list)
    return list(body["data"])


def _at(row: Any) -> int:
    """Return a record's time; the world settles some milliseconds after the hour, which are cut off."""
    return int(row["fundingTime"]) // 1_000 * 1_000 if isinstance(row, dict) else int(row[0])


def test_candles_are_nine_strings_newest_first_and_the_running_one_leads(ask: Ask) -> None:
    rows = _series(ask, CANDLES, limit=3)
    assert [[type(v) for v in r] for r in rows] == [[str] * 9] * 3
    hour = to_ms(NOW.replace(minute=0, second=0))
    assert [_at(r) for r in rows] == [hour - i * HOUR_MS for i in range(3)]
    assert [r[8] for r in rows] == ["0", "1", "1"]
    for row in rows:
        assert float(row[5]) * 0.01 == pytest.approx(float(row[6]), rel=1e-9)
        assert float(row[3]) <= min(float(row[1]), float(row[4])) <= float(row[2])


def test_history_candles_are_completed_ones_of_all_years(ask: Ask, market: VenueMarket) -> None:
    rows = _series(ask, HISTORY, limit=2)
    assert [_at(r) for r in rows] == [to_ms(datetime(2025, 10, 10, 11)), to_ms(datetime(2025, 10, 10, 10))]
    assert {r[8] for r in rows} == {"1"}
    late = NOW + timedelta(days=400)
    assert _at(_series(ask, HISTORY, late, limit=1)[0]) == to_ms(datetime(2025, 10, 10, 23))
    assert _series(ask, CANDLES, late, limit=1) == [], "the latest 1,440 hours are all after the market's last"
    assert _series(ask, HISTORY, late, after=to_ms(market.start) + 1)[0][0] == str(to_ms(market.start))


@pytest.mark.parametrize("symbol", [BTC, SOL])
def test_quantities_are_the_worlds_in_contracts_and_in_base(ask: Ask, market: VenueMarket, symbol: str) -> None:
    asset, size = symbol[:3], {"BTC": 0.01, "SOL": 1.0}[symbol[:3]]
    row = _series(ask, HISTORY, NOW, symbol, limit=1)[0]
    i = int((_at(row) - to_ms(market.start)) / HOUR_MS)
    volume = market.candles(asset).volume_base[i]
    assert float(row[6]) == volume
    assert float(row[5]) * size == pytest.approx(volume, rel=1e-12)
    row = _series(ask, OPEN_INTEREST, NOW, symbol, limit=1)[0]
    held = market.open_interest(asset).open_interest_base[i + 1]
    assert float(row[2]) == held
    assert float(row[1]) * size == pytest.approx(held, rel=1e-12)
    book = ask(BOOKS, instId=symbol, sz=400)["data"][0]
    bids = market.book(asset, NOW).bids[:400]
    assert [float(b[1]) * size for b in book["bids"]] == pytest.approx(bids[:, 1].tolist(), rel=1e-12)
    lot = next(i for i in ask(INSTRUMENTS, instType="SWAP")["data"] if i["instId"] == symbol)["lotSz"]
    steps = np.array([float(b[1]) for b in book["bids"]]) / float(lot)
    assert np.allclose(steps, np.round(steps), atol=1e-6)


def test_funding_has_the_documented_keys_all_strings(ask: Ask) -> None:
    rows = _series(ask, FUNDING, limit=5)
    keys = {"formulaType", "fundingRate", "fundingTime", "instId", "instType", "method", "realizedRate"}
    assert [set(r) for r in rows] == [keys] * 5
    assert {type(v) for r in rows for v in r.values()} == {str}
    assert {(r["instId"], r["instType"]) for r in rows} == {(BTC, "SWAP")}
    assert any(float(r["fundingRate"]) != float(r["realizedRate"]) for r in rows)
    assert [_at(r) for r in rows] == [to_ms(datetime(2025, 10, 10, 8)) - i * 8 * HOUR_MS for i in range(5)]


def test_open_interest_is_four_strings_newest_first(ask: Ask) -> None:
    rows = _series(ask, OPEN_INTEREST)
    assert len(rows) == 100
    assert [[type(v) for v in r] for r in rows] == [[str] * 4] * 100
    assert [_at(r) for r in rows] == [to_ms(datetime(2025, 10, 10, 12)) - i * HOUR_MS for i in range(100)]


def test_books_have_levels_of_four_strings_nearest_first(ask: Ask) -> None:
    (book,) = ask(BOOKS, instId=SOL, sz=5)["data"]
    assert {k: type(v) for k, v in book.items()} == {"asks": list, "bids": list, "ts": str}
    assert book["ts"] == str(to_ms(NOW))
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert all([type(v) for v in level] == [str] * 4 and level[2] == "0" for level in book["bids"] + book["asks"])
    bids, asks = ([float(level[0]) for level in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert len(ask(BOOKS, instId=SOL)["data"][0]["bids"]) == 1


def test_instruments_list_what_a_client_must_leave_out(ask: Ask, world: World) -> None:
    swaps = {i["instId"]: i for i in ask(INSTRUMENTS, instType="SWAP")["data"]}
    assert set(swaps) == {BTC, SOL, "BTC-USDC-SWAP", "BTC-USD-SWAP", "HYPE-USDT-SWAP"}
    assert {type(v) for i in swaps.values() for v in i.values()} == {str}
    btc, inverse = swaps[BTC], swaps["BTC-USD-SWAP"]
    told = (
        "ctVal",
        "ctValCcy",
        "ctMult",
        "ctType",
        "settleCcy",
        "lotSz",
        "tickSz",
        "state",
        "uly",
        "baseCcy",
        "expTime",
    )
    assert [btc[k] for k in told] == ["0.01", "BTC", "1", "linear", "USDT", "0.1", "0.1", "live", "BTC-USDT", "", ""]
    assert btc["listTime"] == str(to_ms(world.start))
    assert [inverse[k] for k in ("ctVal", "ctValCcy", "ctType", "settleCcy")] == ["100", "USD", "inverse", "BTC"]
    assert swaps["BTC-USDC-SWAP"]["settleCcy"] == "USDC"
    assert swaps["HYPE-USDT-SWAP"]["state"] == "preopen"
    (future,) = ask(INSTRUMENTS, instType="FUTURES")["data"]
    assert (future["instType"], future["settleCcy"]) == ("FUTURES", "USDT")
    assert int(future["expTime"]) > to_ms(world.end)
    assert datetime.strptime(future["instId"][-6:], "%y%m%d").weekday() == 4
    assert ask(INSTRUMENTS, instType="SPOT")["data"] == []
    assert [i["instId"] for i in ask(INSTRUMENTS, instType="SWAP", instId=SOL)["data"]] == [SOL]


def test_a_contract_that_is_only_listed_has_no_records(ask: Ask) -> None:
    for path in SERIES:
        assert _series(ask, path, NOW, "BTC-USDC-SWAP") == []
    assert ask(BOOKS, instId="BTC-USDC-SWAP")["data"] == [{"asks": [], "bids": [], "ts": str(to_ms(NOW))}]


def test_time(ask: Ask) -> None:
    assert ask("/api/v5/public/time") == {"code": "0", "msg": "", "data": [{"ts": str(to_ms(NOW))}]}


@pytest.mark.parametrize("path", list(SERIES))
def test_both_bounds_are_exclusive_and_a_page_begins_with_the_newest(ask: Ask, path: str) -> None:
    _, newer, older = SERIES[path]
    step = (8 if path == FUNDING else 1) * HOUR_MS
    start = to_ms(datetime(2025, 9, 20))
    if path == FUNDING:
        # Bounds are exclusive to the millisecond, and the world settles some milliseconds after the hour.
        start = next(int(r["fundingTime"]) for r in _series(ask, FUNDING) if _at(r) == start)
    whole = _series(ask, path, **{newer: start, older: start + 5 * step})
    assert [_at(r) for r in whole][-4:] == [start // 1_000 * 1_000 + i * step for i in (4, 3, 2, 1)]
    (alone,) = _series(ask, path, **{newer: start - 1, older: start + 1})
    assert alone == _series(ask, path, **{older: start + 1})[0]
    assert alone not in whole
    assert alone != _series(ask, path, **{older: start})[0]
    page = _series(ask, path, **{newer: start, older: start + 5 * step, "limit": 2})
    assert page == whole[:2]
    # "The latest data will be returned when using `before` individually."
    assert _series(ask, path, **{newer: start}, limit=1) == _series(ask, path, limit=1)
    assert _series(ask, path, **{newer: start, older: start + 1}) == []


@pytest.mark.parametrize(
    ("path", "default", "most"), [(CANDLES, 100, 300), (HISTORY, 100, 300), (OPEN_INTEREST, 100, 100)]
)
def test_page_limits(ask: Ask, path: str, default: int, most: int) -> None:
    assert len(_series(ask, path)) == default
    assert len(_series(ask, path, limit=most)) == most
    with pytest.raises(OkxError):
        _series(ask, path, limit=most + 1)


@pytest.mark.parametrize(
    ("path", "query", "code", "status"),
    [
        *((path, {"instId": "NOPE-USDT-SWAP"}, "51001", 200) for path in (*SERIES, BOOKS)),
        *((path, {"instId": ""}, "50014", 400) for path in (*SERIES, BOOKS)),
        *((path, {"instId": BTC, "limit": "x"}, "51000", 400) for path in SERIES),
        *((path, {"instId": BTC, "limit": "0"}, "51000", 400) for path in SERIES),
        *((path, {"instId": BTC, SERIES[path][1]: "-1"}, "51000", 400) for path in SERIES),
        *((path, {"instId": BTC, SERIES[path][2]: "1.5"}, "51000", 400) for path in SERIES),
        (FUNDING, {"instId": BTC, "limit": "401"}, "51000", 400),
        (CANDLES, {"instId": BTC, "bar": "1x"}, "51000", 400),
        (OPEN_INTEREST, {"instId": BTC, "period": "1h"}, "51000", 400),
        (BOOKS, {"instId": BTC, "sz": "401"}, "51000", 400),
        (BOOKS, {"instId": BTC, "sz": "0"}, "51000", 400),
        (INSTRUMENTS, {}, "50014", 400),
        (INSTRUMENTS, {"instType": "SWAPS"}, "51000", 400),
    ],
)
def test_wrong_requests_get_the_venues_error(
    ask: Ask, path: str, query: dict[str, str], code: str, status: int
) -> None:
    fixed = SERIES[path][0] if path in SERIES else {}
    with pytest.raises(WireError) as caught:
        ask(path, **{**fixed, **query})
    assert caught.value.status == status
    assert caught.value.body == {"code": code, "data": [], "msg": caught.value.body["msg"]}
    assert caught.value.body["msg"]


def test_what_the_venue_forgets_is_not_shown(ask: Ask) -> None:
    now = datetime(2025, 11, 5, 6, 30)
    oldest = to_ms(datetime(2025, 11, 5, 6)) - 1_439 * HOUR_MS
    for path in (CANDLES, OPEN_INTEREST):
        assert [_at(r) for r in _series(ask, path, now, **{SERIES[path][2]: oldest + HOUR_MS + 1})] == [
            oldest + HOUR_MS,
            oldest,
        ]
    later = datetime(2025, 12, 10)
    shown = _series(ask, FUNDING, later)
    assert _at(shown[-1]) == to_ms(later - timedelta(days=90))


def test_nothing_after_now_is_shown(ask: Ask, market: VenueMarket) -> None:
    now = datetime(2025, 9, 10, 8, 0, 1)
    for path in SERIES:
        newest = to_ms(datetime(2025, 9, 10, 7 if path == HISTORY else 8))
        assert _at(_series(ask, path, now, limit=1)[0]) == newest
        assert _at(_series(ask, path, now, limit=1, **{SERIES[path][2]: to_ms(market.end)})[0]) == newest
        assert _series(ask, path, datetime(2025, 8, 1)) == []


def test_the_running_candle_moves_with_now_and_closes_to_the_worlds_candle(ask: Ask, market: VenueMarket) -> None:
    hour = datetime(2025, 9, 10, 8)
    half = _series(ask, CANDLES, hour + timedelta(minutes=30), SOL, limit=1)[0]
    done = _series(ask, CANDLES, hour + timedelta(hours=1), SOL, limit=2)[1]
    assert (half[0], half[8], done[8]) == (done[0], "0", "1")
    assert float(half[6]) < float(done[6])
    i = int((hour - market.start) / timedelta(hours=1))
    assert float(done[4]) == market.candles("SOL").close_quote[i]


def test_a_page_is_cut_and_a_catalogue_or_a_book_is_not(wire: OkxWire, ask: Ask) -> None:
    for path in SERIES:
        body = ask(path, instId=BTC, **SERIES[path][0])
        assert wire.rows(body) is body["data"]
    for body in (ask(INSTRUMENTS, instType="SWAP"), ask(BOOKS, instId=BTC), {"code": "0"}, [], None):
        assert wire.rows(body) is None
    before = _series(ask, HISTORY, limit=2)
    spoiled = _series(ask, HISTORY, limit=2)
    spoiled[0][1] = "0"
    assert _series(ask, HISTORY, limit=2) == before, "what was served is nobody's to change"


def test_over_http_with_the_venues_refusals_and_no_weight(world: World) -> None:
    rules = (Fault("rate_limited", path="/api/v5/public/time"), Fault("error", first=2, path="/api/v5/public/time"))
    with (
        serve(world, now=NOW, faults=Faults(rules)) as sandbox,
        httpx.Client(trust_env=False, verify=False, base_url=sandbox.base_url) as client,
    ):
        answers = [client.get("/api/v5/public/time") for _ in range(3)]
        unknown = client.get(BOOKS, params={"instId": "NOPE"})
        wrong = client.get(BOOKS, params={"instId": BTC, "sz": "401"})
    assert [a.status_code for a in answers] == [429, 500, 200]
    assert [a.json()["code"] for a in answers] == ["50011", "50026", "0"]
    assert "" not in answers[0].headers
    assert (unknown.status_code, unknown.json()["code"]) == (200, "51001")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "51000")


def test_same_world_same_answers(world: World, wire: OkxWire) -> None:
    other = OkxWire(World(3, FIRST, 40, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5)))
    query = {"instId": SOL, "bar": "1H", "period": "1H", "limit": "100"}
    query |= {"instType": "SWAP", "instFamily": "SOL-USDT", "tdMode": "cross", "state": "filled"}
    for route, again in zip(wire.routes(), other.routes(), strict=True):
        asked = {**query, "instId": "SOL-USDT"} if "index" in route.path else query
        assert route.answer(asked, NOW) == again.answer(asked, NOW)
