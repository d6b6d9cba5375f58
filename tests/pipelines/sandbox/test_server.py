"""The sandbox's wire: keys and types of every shape, page limits, errors, misbehaviour on demand, loopback only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.wire import to_ms
from pipelines.sandbox.wire_binance import BinanceWire
from pipelines.sandbox.wire_binance_pages import BinanceError
from pipelines.sandbox.world import World

FIRST = date(2025, 9, 1)
NOW = datetime(2025, 10, 10, 12, 30, 15)
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, FIRST, 40, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


# One client: building one per request would load the machine's certificates each time.
CLIENT = httpx.Client(trust_env=False, verify=False)


def _get(sandbox: Sandbox, path: str, **query: Any) -> httpx.Response:
    return CLIENT.get(sandbox.base_url + path, params=query)


def _is_number_text(value: Any) -> bool:
    return isinstance(value, str) and float(value) >= -1e18


def test_klines_have_the_documented_shape(sandbox: Sandbox) -> None:
    rows = _get(sandbox, "/fapi/v1/klines", symbol="BTCUSDT", interval="1h", limit=3).json()
    assert len(rows) == 3
    for row in rows:
        assert [type(v) for v in row] == [int, str, str, str, str, str, int, str, int, str, str, str]
        assert row[6] == row[0] + HOUR_MS - 1
        assert all(_is_number_text(row[i]) for i in (1, 2, 3, 4, 5, 7, 9, 10, 11))
    assert rows[-1][0] == to_ms(NOW.replace(minute=0, second=0)), "the open candle stands last"


def test_funding_rate_has_the_documented_shape_and_order(sandbox: Sandbox) -> None:
    rows = _get(sandbox, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=5).json()
    assert [set(r) for r in rows] == [{"symbol", "fundingRate", "fundingTime", "markPrice"}] * 5
    assert all(isinstance(r["fundingTime"], int) and _is_number_text(r["fundingRate"]) for r in rows)
    assert [r["fundingTime"] for r in rows] == sorted(r["fundingTime"] for r in rows)


def test_open_interest_has_the_documented_shape(sandbox: Sandbox) -> None:
    rows = _get(sandbox, "/futures/data/openInterestHist", symbol="BTCUSDT", period="1h").json()
    assert len(rows) == 30
    keys = {"symbol", "sumOpenInterest", "sumOpenInterestValue", "CMCCirculatingSupply", "timestamp"}
    assert all(set(r) == keys and isinstance(r["timestamp"], int) for r in rows)
    assert all(_is_number_text(r["sumOpenInterest"]) and _is_number_text(r["sumOpenInterestValue"]) for r in rows)


def test_depth_has_the_documented_shape(sandbox: Sandbox) -> None:
    body = _get(sandbox, "/fapi/v1/depth", symbol="SOLUSDT", limit=5).json()
    assert {k: type(v) for k, v in body.items()} == {
        "lastUpdateId": int,
        "E": int,
        "T": int,
        "bids": list,
        "asks": list,
    }
    assert len(body["bids"]) == len(body["asks"]) == 5
    assert all(len(level) == 2 and all(map(_is_number_text, level)) for level in body["bids"] + body["asks"])
    assert float(body["bids"][0][0]) < float(body["asks"][0][0])


def test_exchange_info_has_the_documented_shape(sandbox: Sandbox, world: World) -> None:
    body = _get(sandbox, "/fapi/v1/exchangeInfo").json()
    assert {"timezone", "serverTime", "futuresType", "rateLimits", "exchangeFilters", "assets", "symbols"} == set(body)
    by_symbol = {s["symbol"]: s for s in body["symbols"]}
    assert {"BTCUSDT", "SOLUSDT", "BTCUSDC"} < set(by_symbol)
    quarterly = next(s for s in body["symbols"] if s["contractType"] == "CURRENT_QUARTER")
    assert quarterly["symbol"] == "BTCUSDT_251226"
    btc = by_symbol["BTCUSDT"]
    assert btc["onboardDate"] == to_ms(world.start)
    assert [f["filterType"] for f in btc["filters"]][:2] == ["PRICE_FILTER", "LOT_SIZE"]
    assert (btc["filters"][0]["tickSize"], float(btc["filters"][1]["stepSize"])) == ("0.1", 0.001)
    assert type(btc["pricePrecision"]) is int
    assert btc["underlyingType"] == "COIN"


def test_time_and_ping(sandbox: Sandbox) -> None:
    assert _get(sandbox, "/fapi/v1/time").json() == {"serverTime": to_ms(NOW)}
    assert _get(sandbox, "/fapi/v1/ping").json() == {}


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/fapi/v1/klines", {"symbol": "NOPEUSDT", "interval": "1h"}, -1121),
        ("/fapi/v1/fundingRate", {"symbol": "NOPEUSDT"}, -1121),
        ("/futures/data/openInterestHist", {"symbol": "NOPEUSDT", "period": "1h"}, -1121),
        ("/fapi/v1/depth", {"symbol": "NOPEUSDT"}, -1121),
        ("/fapi/v1/depth", {}, -1102),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "7"}, -4021),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1x"}, -1120),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": "1501"}, -1130),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h", "startTime": "x"}, -1102),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h", "startTime": "2", "endTime": "1"}, -1023),
        ("/fapi/v1/fundingRate", {"symbol": "BTCUSDT", "limit": "1001"}, -1130),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "1h", "limit": "501"}, -1130),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "7h"}, -1130),
    ],
)
def test_wrong_requests_get_the_venues_error_json(
    sandbox: Sandbox, path: str, query: dict[str, str], code: int
) -> None:
    answer = _get(sandbox, path, **query)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert isinstance(answer.json()["msg"], str)


def test_open_interest_is_kept_for_thirty_days_and_no_longer(sandbox: Sandbox) -> None:
    path, oldest = "/futures/data/openInterestHist", to_ms(NOW - timedelta(days=30))
    refused = _get(sandbox, path, symbol="BTCUSDT", period="1h", startTime=oldest - 1)
    assert (refused.status_code, refused.json()["code"]) == (400, -1130)
    kept = _get(sandbox, path, symbol="BTCUSDT", period="1h", startTime=oldest, endTime=oldest + 5 * HOUR_MS).json()
    assert [r["timestamp"] for r in kept] == [oldest - oldest % HOUR_MS + i * HOUR_MS for i in range(1, 6)]


def test_klines_bounds_are_inclusive_and_pages_begin_with_the_oldest(sandbox: Sandbox) -> None:
    start = to_ms(datetime(2025, 9, 3))
    query = {"symbol": "BTCUSDT", "interval": "1h", "startTime": start}
    whole = _get(sandbox, "/fapi/v1/klines", **query, endTime=start + 5 * HOUR_MS).json()
    assert [r[0] for r in whole] == [start + i * HOUR_MS for i in range(6)]
    page = _get(sandbox, "/fapi/v1/klines", **query, endTime=start + 5 * HOUR_MS, limit=2).json()
    assert [r[0] for r in page] == [start, start + HOUR_MS]


def test_nothing_after_now_is_served(world: World) -> None:
    wire = BinanceWire(world)
    now = datetime(2025, 9, 10, 8, 0)
    late = {"symbol": "BTCUSDT", "interval": "1h", "period": "1h", "limit": "500"}
    assert wire.klines(late, now)[-1][0] == to_ms(now)
    assert wire.funding_rate(late, now)[-1]["fundingTime"] <= to_ms(now)
    assert wire.open_interest_hist(late, now)[-1]["timestamp"] == to_ms(now)
    before = datetime(2025, 8, 1)
    assert wire.klines(late, before) == wire.funding_rate(late, before) == wire.open_interest_hist(late, before) == []


def test_the_open_candle_moves_with_now_and_closes_to_the_worlds_candle(world: World) -> None:
    wire, hour = BinanceWire(world), datetime(2025, 9, 10, 8)
    query = {"symbol": "SOLUSDT", "interval": "1h", "limit": "1"}
    half = wire.klines(query, hour + timedelta(minutes=30))[0]
    done = wire.klines({**query, "limit": "2"}, hour + timedelta(hours=1))[0]
    assert half[0] == done[0]
    assert float(half[5]) < float(done[5])
    i = int((hour - world.start) / timedelta(hours=1))
    assert float(done[4]) == world.candles("SOL").close_quote[i]


def test_every_answer_carries_the_used_weight(world: World) -> None:
    with serve(world, now=NOW) as fresh:
        weights = [
            _get(fresh, path, **query).headers["X-MBX-USED-WEIGHT-1M"]
            for path, query in [
                ("/fapi/v1/ping", {}),
                ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": 1500}),
                ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 1000}),
                ("/fapi/v1/depth", {"symbol": "NOPE", "limit": 5}),
            ]
        ]
    assert weights == ["1", "11", "31", "33"]


@pytest.mark.parametrize(
    ("kind", "status", "retry_after"),
    [
        ("rate_limited", 429, "7"),
        ("banned", 418, "7"),
        ("geoblocked", 451, None),
        ("forbidden", 403, None),
        ("error", 500, None),
        ("torn", 200, None),
        ("page_not_json", 200, None),
    ],
)
def test_faults_hit_the_counted_requests_only(
    sandbox: Sandbox, kind: str, status: int, retry_after: str | None
) -> None:
    rule = Fault(kind, first=2, times=2, path="/fapi/v1/time", retry_after_s=7)  # type: ignore[arg-type]  # a double or a wrong type, on purpose
    sandbox.restart(faults=Faults((rule,)))
    _get(sandbox, "/fapi/v1/ping")
    answers = [_get(sandbox, "/fapi/v1/time") for _ in range(4)]
    statuses = [seen.status for seen in sandbox.requests]
    sandbox.restart()
    assert [a.status_code for a in answers] == [200, status, status, 200]
    assert answers[1].headers.get("Retry-After") == retry_after
    assert statuses == [200, 200, status, status, 200]
    if status == 200:
        with pytest.raises(json.JSONDecodeError):
            answers[1].json()


def test_short_pages_and_a_silent_cap(world: World) -> None:
    query = {"symbol": "BTCUSDT", "interval": "1h", "limit": 90}
    with serve(world, now=NOW, faults=Faults((Fault("short_page"),), page_cap_count=60)) as faulty:
        assert len(_get(faulty, "/fapi/v1/klines", **query).json()) == 20
        assert len(_get(faulty, "/fapi/v1/klines", **query).json()) == 60


def test_same_world_same_bytes(world: World) -> None:
    bodies = []
    for _ in range(2):
        with serve(World(3, FIRST, 40, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5)), now=NOW) as one:
            paths = ["/fapi/v1/exchangeInfo", "/fapi/v1/klines?symbol=SOLUSDT&interval=1h&limit=1000"]
            paths += ["/fapi/v1/depth?symbol=SOLUSDT&limit=1000", "/fapi/v1/fundingRate?symbol=SOLUSDT"]
            bodies.append([_get(one, p.split("?")[0], **httpx.QueryParams(p.partition("?")[2])).content for p in paths])
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.168.1.4", "example.org", "::"])
def test_serve_refuses_every_host_but_loopback(world: World, host: str) -> None:
    with pytest.raises(ValueError, match="only"), serve(world, now=NOW, host=host):
        pass


def test_a_foreign_host_header_is_refused(sandbox: Sandbox) -> None:
    answer = CLIENT.get(sandbox.base_url + "/fapi/v1/ping", headers={"Host": "attacker.example"})
    assert answer.status_code == 400


def test_the_server_stops_and_frees_its_port(world: World) -> None:
    with serve(world, now=NOW) as first:
        port = int(first.base_url.rsplit(":", 1)[1])
    with pytest.raises(httpx.ConnectError):
        _get(first, "/fapi/v1/ping")
    with serve(world, now=NOW, port=port) as again:
        assert again.base_url == first.base_url
        assert _get(again, "/fapi/v1/ping").status_code == 200


def test_a_wire_error_is_the_venues_error_json() -> None:
    assert BinanceError(-1121, "Invalid symbol.").body == {"code": -1121, "msg": "Invalid symbol."}
