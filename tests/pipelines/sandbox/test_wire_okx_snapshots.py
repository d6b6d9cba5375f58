"""OKX's answers about many contracts: keys, types, parameters that must be there, memory and pages of liquidations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.sandbox.wire import WireError, to_ms
from pipelines.sandbox.wire_okx import OkxWire
from pipelines.sandbox.world import World

FIRST = date(2025, 9, 20)
NOW = datetime(2025, 10, 11, 0, 30)
SWAPS = ["BTC-USDT-SWAP", "SOL-USDT-SWAP", "BTC-USD-SWAP"]

TICKERS, INTEREST, MARKS = "/api/v5/market/tickers", "/api/v5/public/open-interest", "/api/v5/public/mark-price"
TIERS, FUND = "/api/v5/public/position-tiers", "/api/v5/public/insurance-fund"
LIQUIDATIONS = "/api/v5/public/liquidation-orders"
FAMILY = {"instType": "SWAP", "instFamily": "SOL-USDT", "tdMode": "cross", "state": "filled"}

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def wire() -> OkxWire:
    return OkxWire(World(7, FIRST, 22, assets=("BTC", "SOL"), crash_day=date(2025, 10, 10)))


@pytest.fixture(scope="module")
def ask(wire: OkxWire) -> Ask:
    """Return a function that asks a path with a query of strings and returns its data."""
    routes = {route.path: route for route in wire.routes()}

    def answer(path: str, now: datetime = NOW, **query: Any) -> Any:
        body = routes[path].answer({k: str(v) for k, v in query.items()}, now)
        assert (body["code"], body["msg"]) == ("0", "")
        return body["data"]

    return answer


def _all_text(record: dict[str, Any]) -> bool:
    return all(isinstance(v, str) for v in record.values())


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (
            TICKERS,
            "instType instId last lastSz askPx askSz bidPx bidSz open24h high24h low24h volCcy24h vol24h sodUtc0 sodUtc8 ts",
        ),
        (INTEREST, "instType instId oi oiCcy oiUsd ts"),
        (MARKS, "instType instId markPx ts"),
    ],
)
def test_answers_about_all_swaps_have_the_documented_keys_all_strings(ask: Ask, path: str, keys: str) -> None:
    rows = ask(path, instType="SWAP")
    assert [set(r) for r in rows] == [set(keys.split())] * 3
    assert all(_all_text(r) for r in rows)
    assert [r["instId"] for r in rows] == SWAPS
    assert {r["ts"] for r in rows} == {str(to_ms(NOW))}
    assert ask(path, instType="SPOT") == []


def test_contracts_of_an_inverse_swap_are_whole_and_a_hundred_dollars_each(ask: Ask) -> None:
    held = next(r for r in ask(INTEREST, instType="SWAP") if r["instId"] == "BTC-USD-SWAP")
    assert "." not in held["oi"]
    assert float(held["oi"]) * 100 == pytest.approx(float(held["oiUsd"]), abs=50)


def test_tiers_are_contracts_and_begin_a_step_after_the_one_below(ask: Ask) -> None:
    tiers = ask(TIERS, **FAMILY)
    assert all(_all_text(t) for t in tiers)
    assert {(t["instFamily"], t["uly"], t["instId"]) for t in tiers} == {("SOL-USDT", "SOL-USDT", "")}
    assert [(t["tier"], t["minSz"], t["maxSz"]) for t in tiers] == [
        ("1", "0", "1000"),
        ("2", "1000.01", "5000"),
        ("3", "5000.01", "20000"),
    ]
    both = ask(TIERS, **{**FAMILY, "instFamily": "SOL-USDT,BTC-USD"})
    assert {t["instFamily"] for t in both} == {"SOL-USDT", "BTC-USD"}


def test_the_fund_tells_its_total_and_one_change_a_day(ask: Ask) -> None:
    (fund,) = ask(FUND, **FAMILY)
    assert set(fund) == {"details", "instFamily", "instType", "total"}
    assert all(_all_text(d) for d in fund["details"])
    newest = fund["details"][0]
    assert set(newest) == {"adlType", "amt", "balance", "ccy", "maxBal", "maxBalTs", "ts", "type"}
    assert int(newest["ts"]) == to_ms(datetime(2025, 10, 10, 8))
    assert newest["balance"] == fund["total"] == ask(FUND, **{**FAMILY, "instFamily": "BTC-USD"})[0]["total"]
    assert len(ask(FUND, limit=2, **FAMILY)[0]["details"]) == 2


def test_liquidations_are_one_entry_newest_first_of_the_last_day(ask: Ask, wire: OkxWire) -> None:
    (entry,) = ask(LIQUIDATIONS, **FAMILY)
    assert set(entry) == {"details", "instFamily", "instId", "instType", "totalLoss", "uly"}
    told = entry["details"]
    assert all(set(d) == {"bkLoss", "bkPx", "ccy", "posSide", "side", "sz", "ts"} and _all_text(d) for d in told)
    assert {(d["posSide"], d["side"]) for d in told} <= {("long", "sell"), ("short", "buy")}
    times = [int(d["ts"]) for d in told]
    assert times == sorted(times, reverse=True)
    assert times[0] <= to_ms(NOW)
    assert times[-1] >= to_ms(NOW - timedelta(days=1))
    page = ask(LIQUIDATIONS, limit=3, before=times[5], after=times[0], **FAMILY)[0]["details"]
    assert page == [d for d in told if times[5] < int(d["ts"]) < times[0]][:3], "both bounds are exclusive"
    body = {"code": "0", "msg": "", "data": [entry]}
    assert wire.rows(body) is entry["details"], "a short page is cut there"
    assert ask(LIQUIDATIONS, NOW + timedelta(days=30), **FAMILY) == []
    assert ask(LIQUIDATIONS, **{**FAMILY, "state": "unfilled"}) == []


@pytest.mark.parametrize("path", [TICKERS, INTEREST, MARKS, TIERS, FUND])
def test_a_snapshot_is_no_page(ask: Ask, wire: OkxWire, path: str) -> None:
    assert wire.rows({"code": "0", "msg": "", "data": ask(path, **FAMILY)}) is None


@pytest.mark.parametrize(
    ("path", "change", "code"),
    [
        *((path, {"instType": ""}, "50014") for path in (TICKERS, INTEREST, MARKS, TIERS, FUND, LIQUIDATIONS)),
        *((path, {"instType": "SWAPS"}, "51000") for path in (TICKERS, INTEREST, MARKS, TIERS, FUND, LIQUIDATIONS)),
        *((path, {"instFamily": ""}, "50015") for path in (TIERS, FUND, LIQUIDATIONS)),
        (TIERS, {"tdMode": "cash"}, "51000"),
        (TIERS, {"instFamily": "A,B,C,D,E,F"}, "51000"),
        (FUND, {"limit": "101"}, "51000"),
        (LIQUIDATIONS, {"limit": "101"}, "51000"),
        (LIQUIDATIONS, {"state": "open"}, "51000"),
        (LIQUIDATIONS, {"before": "-1"}, "51000"),
    ],
)
def test_wrong_requests_get_the_venues_error(ask: Ask, path: str, change: dict[str, str], code: str) -> None:
    with pytest.raises(WireError) as caught:
        ask(path, **{**FAMILY, **change})
    assert (caught.value.status, caught.value.body["code"]) == (400, code)
