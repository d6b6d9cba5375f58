"""Hyperliquid's wire: keys and types of every answer, order, bounds and length of pages, errors, nothing after now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_hyperliquid import DELISTED, UNREADABLE, HyperliquidWire
from pipelines.sandbox.world import World

FIRST = date(2025, 3, 1)
DAYS = 225
NOW = datetime(2025, 10, 10, 12, 30, 15)
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def world() -> World:
    # Long enough that the venue has forgotten its first candles.
    return World(3, FIRST, DAYS, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def wire(world: World) -> HyperliquidWire:
    return HyperliquidWire(world)


CLIENT = httpx.Client(trust_env=False, verify=False)


def _post(sandbox: Sandbox, body: Any) -> httpx.Response:
    return CLIENT.post(f"{sandbox.base_url}/info", json=body)


def _candles(start: Any, end: Any, coin: Any = "SOL", interval: Any = "1h") -> dict[str, Any]:
    return {
        "type": "candleSnapshot",
        "req": {"coin": coin, "interval": interval, "startTime": start, "endTime": end},
    }


def _funding(start: Any, **more: Any) -> dict[str, Any]:
    return {"type": "fundingHistory", "coin": "SOL", "startTime": start, **more}


def _is_number_text(value: Any) -> bool:
    return isinstance(value, str) and "e" not in value and "." in value and float(value) >= -1e18


def test_candles_have_the_documented_shape(sandbox: Sandbox) -> None:
    rows = _post(sandbox, _candles(to_ms(NOW) - 3 * HOUR_MS, to_ms(NOW))).json()
    assert len(rows) == 3
    for row in rows:
        assert set(row) == {"t", "T", "s", "i", "o", "c", "h", "l", "v", "n"}
        assert (row["s"], row["i"], row["T"]) == ("SOL", "1h", row["t"] + HOUR_MS - 1)
        assert all(type(row[k]) is int for k in "tTn")
        assert all(_is_number_text(row[k]) for k in "ochlv")
    assert rows[-1]["t"] == to_ms(NOW.replace(minute=0, second=0)), "the open candle stands last"


def test_funding_has_the_documented_shape_and_the_worlds_rates(sandbox: Sandbox, world: World) -> None:
    rows = _post(sandbox, _funding(to_ms(NOW) - 5 * HOUR_MS)).json()
    assert [set(r) for r in rows] == [{"coin", "fundingRate", "premium", "time"}] * 5
    assert all(r["coin"] == "SOL" and type(r["time"]) is int for r in rows)
    assert all(_is_number_text(r["fundingRate"]) and _is_number_text(r["premium"]) for r in rows)
    funding = VenueMarket(world, "hyperliquid").funding("SOL")
    truth = dict(zip(funding.settled_ms.tolist(), funding.rate_frac.tolist(), strict=True))
    assert [float(r["fundingRate"]) for r in rows] == [truth[r["time"]] for r in rows]


def test_the_book_has_the_documented_shape(sandbox: Sandbox) -> None:
    book = _post(sandbox, {"type": "l2Book", "coin": "BTC"}).json()
    assert (set(book), book["coin"], book["time"]) == ({"coin", "time", "levels"}, "BTC", to_ms(NOW))
    bids, asks = book["levels"]
    assert len(bids) == len(asks) == 20
    for level in bids + asks:
        assert set(level) == {"px", "sz", "n"}
        assert _is_number_text(level["px"])
        assert _is_number_text(level["sz"])
        assert type(level["n"]) is int
    prices = [float(v["px"]) for v in bids], [float(v["px"]) for v in asks]
    assert prices == (sorted(prices[0], reverse=True), sorted(prices[1]))
    assert prices[0][0] < prices[1][0]


def test_the_catalogue_is_two_lists_in_one_order_and_holds_a_delisted_coin(sandbox: Sandbox, world: World) -> None:
    meta, contexts = _post(sandbox, {"type": "metaAndAssetCtxs"}).json()
    assert meta == _post(sandbox, {"type": "meta"}).json()
    assert set(meta) == {"universe", "marginTables", "collateralToken"}
    assert [c["name"] for c in meta["universe"]] == ["BTC", DELISTED, "SOL"]
    assert [c.get("isDelisted") for c in meta["universe"]] == [None, True, None]
    assert [c["szDecimals"] for c in meta["universe"]] == [3, 1, 2]
    numbers = {"funding", "openInterest", "prevDayPx", "dayNtlVlm", "oraclePx", "markPx", "dayBaseVlm"}
    assert len(contexts) == 3
    for context in contexts:
        assert set(context) == {*numbers, "premium", "midPx", "impactPxs"}
        assert all(_is_number_text(context[k]) for k in numbers)
    assert contexts[1]["midPx"] is contexts[1]["premium"] is contexts[1]["impactPxs"] is None
    market = VenueMarket(world, "hyperliquid")
    interest = market.open_interest("SOL")
    i = int(interest.at_ms.searchsorted(to_ms(NOW), side="right")) - 1
    assert float(contexts[2]["openInterest"]) == interest.open_interest_base[i]
    assert float(contexts[2]["markPx"]) == market.price_of_kind("SOL", "mark", NOW)
    assert float(contexts[2]["oraclePx"]) == market.price_of_kind("SOL", "index", NOW)


def test_status_and_spot_meta(sandbox: Sandbox) -> None:
    assert _post(sandbox, {"type": "exchangeStatus"}).json() == {"specialStatuses": None, "time": to_ms(NOW)}
    spot = _post(sandbox, {"type": "spotMeta"}).json()
    assert [(t["name"], t["index"]) for t in spot["tokens"]] == [("USDC", 0), ("PURR", 1)]
    assert spot["universe"][0]["tokens"] == [1, 0]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "meta",
        {"type": "nope"},
        {"type": ["meta"]},
        {"type": "l2Book"},
        {"type": "l2Book", "coin": 0},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": 9},
        {"type": "candleSnapshot"},
        {"type": "candleSnapshot", "coin": "BTC", "interval": "1h", "startTime": 1, "endTime": 2},
        _candles(1, 2, interval="1x"),
        _candles(1, 2, coin=None),
        _candles("1", 2),
        _candles(1, None),
        _candles(True, 2),
        _candles(-1, 2),
        _candles(1.5, 2),
        _funding(None),
        _funding(1, endTime="2"),
    ],
)
def test_what_cannot_be_read_is_422_in_plain_text(sandbox: Sandbox, body: Any) -> None:
    answer = _post(sandbox, body)
    assert (answer.status_code, answer.text) == (422, UNREADABLE)
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "body", [{"type": "l2Book", "coin": "NOPE"}, _candles(1, 2, coin="NOPE"), {**_funding(1), "coin": "sol"}]
)
def test_an_unknown_coin_is_an_internal_error_that_says_null(sandbox: Sandbox, body: Any) -> None:
    answer = _post(sandbox, body)
    assert (answer.status_code, answer.text) == (500, "null")


def test_a_delisted_coin_has_no_records(sandbox: Sandbox) -> None:
    assert _post(sandbox, _candles(0, to_ms(NOW), coin=DELISTED)).json() == []
    assert _post(sandbox, {**_funding(0), "coin": DELISTED}).json() == []
    assert _post(sandbox, {"type": "l2Book", "coin": DELISTED}).json()["levels"] == [[], []]


def test_only_the_latest_5000_candles_exist(sandbox: Sandbox) -> None:
    rows = _post(sandbox, _candles(0, to_ms(NOW) * 2)).json()
    running = to_ms(NOW.replace(minute=0, second=0))
    assert [r["t"] for r in rows] == [running - i * HOUR_MS for i in reversed(range(5_000))]
    oldest = rows[0]["t"]
    assert _post(sandbox, _candles(0, oldest - 1)).json() == []
    assert [r["t"] for r in _post(sandbox, _candles(0, oldest)).json()] == [oldest]


def test_candle_bounds_are_inclusive_and_oldest_comes_first(sandbox: Sandbox) -> None:
    start = to_ms(datetime(2025, 9, 3))
    rows = _post(sandbox, _candles(start, start + 5 * HOUR_MS)).json()
    assert [r["t"] for r in rows] == [start + i * HOUR_MS for i in range(6)]
    assert [r["t"] for r in _post(sandbox, _candles(start + 1, start + 2 * HOUR_MS - 1)).json()] == [start + HOUR_MS]


def test_a_page_of_funding_is_the_oldest_500_with_both_bounds(sandbox: Sandbox) -> None:
    page = _post(sandbox, _funding(to_ms(datetime(2025, 9, 1)))).json()
    clock = [r["time"] for r in page]
    assert len(page) == 500
    assert clock == sorted(clock)
    assert clock[0] // HOUR_MS * HOUR_MS == to_ms(datetime(2025, 9, 1))
    assert [r["time"] for r in _post(sandbox, _funding(clock[3], endTime=clock[5])).json()] == clock[3:6]
    assert _post(sandbox, _funding(clock[-1] + 1)).json()[0]["time"] > clock[-1]


def test_nothing_after_now_is_served(wire: HyperliquidWire) -> None:
    now, far = datetime(2025, 3, 10, 8, 0), to_ms(NOW)
    assert wire.info(_candles(0, far), now)[-1]["t"] == to_ms(now)
    assert to_ms(now) - HOUR_MS < wire.info(_funding(0, endTime=far), now)[-1]["time"] <= to_ms(now)
    before = datetime(2025, 2, 1)
    assert wire.info(_candles(0, far), before) == wire.info(_funding(0, endTime=far), before) == []
    assert wire.info({"type": "l2Book", "coin": "SOL"}, before)["levels"] == [[], []]
    assert [c["openInterest"] for c in wire.info({"type": "metaAndAssetCtxs"}, before)[1]] == ["0.0"] * 3


def test_after_its_end_the_market_stands_still(wire: HyperliquidWire, world: World) -> None:
    late = world.end + timedelta(days=2)
    assert wire.info({"type": "l2Book", "coin": "SOL"}, late)["levels"][0]
    assert wire.info(_candles(to_ms(world.end) - HOUR_MS, to_ms(late)), late)[0]["t"] == to_ms(world.end) - HOUR_MS
    assert float(wire.info({"type": "metaAndAssetCtxs"}, late)[1][2]["openInterest"]) > 0


def test_the_open_candle_moves_with_now_and_closes_to_the_venues_candle(wire: HyperliquidWire, world: World) -> None:
    hour = datetime(2025, 9, 10, 8)
    ask = _candles(to_ms(hour), to_ms(hour))
    half = wire.info(ask, hour + timedelta(minutes=30))[0]
    done = wire.info(ask, hour + timedelta(hours=1))[0]
    assert half["t"] == done["t"]
    assert float(half["v"]) < float(done["v"])
    i = int((hour - world.start) / timedelta(hours=1))
    candles = VenueMarket(world, "hyperliquid").candles("SOL")
    assert (float(done["c"]), float(done["v"])) == (candles.close_quote[i], candles.volume_base[i])


def test_an_answer_is_the_askers_own_copy(wire: HyperliquidWire) -> None:
    ask = _candles(to_ms(datetime(2025, 9, 3)), to_ms(datetime(2025, 9, 3)))
    wire.info(ask, NOW)[0]["o"] = "spoiled"
    assert wire.info(ask, NOW)[0]["o"] != "spoiled"


@pytest.mark.parametrize(
    ("kind", "status", "body", "retry_after"),
    [
        ("rate_limited", 429, "null", "7"),
        ("banned", 403, "Forbidden", "7"),
        ("geoblocked", 451, "Unavailable For Legal Reasons", None),
        ("error", 500, "null", None),
    ],
)
def test_faults_aim_at_one_kind_of_question(
    sandbox: Sandbox, kind: Any, status: int, body: str, retry_after: str | None
) -> None:
    sandbox.restart(faults=Faults((Fault(kind, path="/info/l2Book", retry_after_s=7),)))
    calm = _post(sandbox, {"type": "exchangeStatus"})
    hit = _post(sandbox, {"type": "l2Book", "coin": "BTC"})
    seen = [(s.path, s.status) for s in sandbox.requests]
    sandbox.restart()
    assert calm.status_code == 200
    assert (hit.status_code, hit.text, hit.headers.get("Retry-After")) == (status, body, retry_after)
    assert seen == [("/info/exchangeStatus", 200), ("/info/l2Book", status)]


def test_short_pages_cut_records_and_never_the_catalogue(sandbox: Sandbox) -> None:
    faults = Faults((Fault("short_page", path="/info/candleSnapshot"),), page_cap_count=1)
    sandbox.restart(faults=faults)
    end = to_ms(NOW)
    lengths = [len(_post(sandbox, _candles(end - 30 * HOUR_MS, end)).json()) for _ in range(2)]
    catalogue = _post(sandbox, {"type": "metaAndAssetCtxs"}).json()
    sandbox.restart()
    assert lengths == [1, 1]
    assert [len(catalogue), len(catalogue[1])] == [2, 3]


def test_weights_are_counted_and_not_told(sandbox: Sandbox) -> None:
    sandbox.restart()
    answers = [_post(sandbox, {"type": kind, "coin": "BTC"}) for kind in ("l2Book", "exchangeStatus", "meta", "nope")]
    assert sandbox.used_weights == {"hyperliquid": 2 + 2 + 20 + 20}
    assert not any("weight" in name.lower() for a in answers for name in a.headers)
    sandbox.restart()


@pytest.mark.fast
def test_a_wire_error_may_be_null_or_text() -> None:
    assert (WireError(None, 500).body, WireError("text", 422).body) == (None, "text")
