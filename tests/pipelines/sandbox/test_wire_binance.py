"""Binance's wire beyond trades, of both products: shapes, bounds, pages, what is forgotten, which product answers a question."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, to_ms
from pipelines.sandbox.wire_binance import BinanceWire
from pipelines.sandbox.wire_binance_coinm import BinanceCoinmWire
from pipelines.sandbox.wire_binance_pages import BinanceError
from pipelines.sandbox.world import World

FIRST = date(2025, 9, 1)
NOW = datetime(2025, 10, 10, 12, 30, 15)
HOUR = to_ms(NOW.replace(minute=0, second=0))
# Product -> how it names its first perpetual, and its pair.
USDM, COINM = {"symbol": "BTCUSDT", "pair": "BTCUSDT"}, {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"}
RATIOS = ("globalLongShortAccountRatio", "topLongShortAccountRatio", "topLongShortPositionRatio")

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, FIRST, 40, assets=("BTC", "SOL"), crash_day=date(2025, 10, 5))


@pytest.fixture(scope="module")
def coinm(world: World) -> BinanceCoinmWire:
    return BinanceCoinmWire(world)


@pytest.fixture(scope="module")
def usdm(world: World, coinm: BinanceCoinmWire) -> BinanceWire:
    return BinanceWire(world, coinm)


@pytest.fixture(scope="module")
def ask(usdm: BinanceWire, coinm: BinanceCoinmWire) -> Ask:
    """Return a function that asks a path with a query of strings, at `NOW` or another instant."""
    routes = {route.path: route for wire in (usdm, coinm) for route in wire.routes()}

    def answer(path: str, now: datetime = NOW, **query: Any) -> Any:
        return routes[path].answer({k: str(v) for k, v in query.items()}, now)

    return answer


def _klines(ask: Ask, family: str, name: str, now: datetime = NOW, **query: Any) -> list[list[Any]]:
    names = USDM if family == "fapi" else COINM
    key = "pair" if name == "indexPriceKlines" else "symbol"
    rows: list[list[Any]] = ask(f"/{family}/v1/{name}", now, **{key: names[key], "interval": "1h", **query})
    return rows


@pytest.mark.parametrize("family", ["fapi", "dapi"])
@pytest.mark.parametrize("name", ["klines", "markPriceKlines", "indexPriceKlines"])
def test_klines_are_twelve_entries_oldest_first_and_the_running_one_last(ask: Ask, family: str, name: str) -> None:
    rows = _klines(ask, family, name, limit=3)
    assert [[type(v) for v in row] for row in rows] == [[int, *[str] * 5, int, str, int, *[str] * 3]] * 3
    assert [row[0] for row in rows] == [HOUR - i * HOUR_MS for i in (2, 1, 0)]
    assert all(float(r[3]) <= min(float(r[1]), float(r[4])) <= float(r[2]) for r in rows)
    assert (float(rows[0][5]) > 0) == (name == "klines"), "mark and index have no volume"


@pytest.mark.parametrize("name", ["klines", "markPriceKlines", "indexPriceKlines"])
def test_a_page_of_coinm_is_anchored_at_its_end_and_200_days_at_most(ask: Ask, name: str) -> None:
    start = to_ms(datetime(2025, 9, 20))
    window = {"startTime": start, "endTime": start + 5 * HOUR_MS, "limit": 2}
    assert [r[0] for r in _klines(ask, "dapi", name, **window)] == [start + 4 * HOUR_MS, start + 5 * HOUR_MS]
    assert [r[0] for r in _klines(ask, "fapi", name, **window)] == [start, start + HOUR_MS]
    with pytest.raises(BinanceError) as caught:
        _klines(ask, "dapi", name, startTime=start, endTime=start + 201 * 24 * HOUR_MS)
    assert caught.value.body["code"] == -4088


def test_coinm_counts_contracts_and_tells_coins_beside_them(ask: Ask, world: World) -> None:
    market = VenueMarket(world, "binance_coinm")
    row = _klines(ask, "dapi", "klines", limit=2)[0]
    i = int(np.searchsorted(market.candles("BTC").start_ms, row[0]))
    assert float(row[7]) == market.candles("BTC").volume_base[i]
    assert float(row[5]) == round(market.candles("BTC").volume_usd[i] / 100)
    held = ask("/futures/data/openInterestHist", pair="BTCUSD", contractType="PERPETUAL", period="1h", limit=1)[0]
    assert set(held) == {"pair", "contractType", "sumOpenInterest", "sumOpenInterestValue", "timestamp"}
    i = int(np.searchsorted(market.open_interest("BTC").at_ms, held["timestamp"]))
    assert float(held["sumOpenInterestValue"]) == market.open_interest("BTC").open_interest_base[i]
    assert int(held["sumOpenInterest"]) == round(market.open_interest("BTC").open_interest_usd[i] / 100)
    entries = {e["symbol"]: e for e in ask("/dapi/v1/exchangeInfo")["symbols"]}
    assert [entries[s]["contractSize"] for s in ("BTCUSD_PERP", "SOLUSD_PERP")] == [100, 10]
    dated = [e for e in entries.values() if e["contractType"] != "PERPETUAL"]
    assert [(e["pair"], e["marginAsset"], e["contractStatus"]) for e in dated] == [("BTCUSD", "BTC", "TRADING")]
    quantities = [level[1] for level in ask("/dapi/v1/depth", symbol="BTCUSD_PERP", limit=50)["bids"]]
    assert all(q.isdigit() and int(q) >= 1 for q in quantities)


@pytest.mark.parametrize("name", RATIOS)
def test_ratios_are_of_the_latest_30_days_anchored_at_the_end(ask: Ask, name: str) -> None:
    path = f"/futures/data/{name}"
    rows = ask(path, symbol="BTCUSDT", period="1h")
    assert len(rows) == 30
    assert all(set(r) == {"symbol", "longShortRatio", "longAccount", "shortAccount", "timestamp"} for r in rows)
    assert [r["timestamp"] for r in rows[-2:]] == [HOUR - HOUR_MS, HOUR]
    for row in rows:
        longs, shorts, ratio = (float(row[k]) for k in ("longAccount", "shortAccount", "longShortRatio"))
        assert longs + shorts == pytest.approx(1.0, abs=1.01e-4)
        assert longs / shorts == pytest.approx(ratio, rel=2e-3)
    start = to_ms(datetime(2025, 10, 1))
    page = ask(path, symbol="BTCUSDT", period="1h", startTime=start, endTime=start + 5 * HOUR_MS, limit=2)
    assert [r["timestamp"] for r in page] == [start + 4 * HOUR_MS, start + 5 * HOUR_MS]
    with pytest.raises(BinanceError):
        ask(path, symbol="BTCUSDT", period="1h", startTime=to_ms(NOW - timedelta(days=30)) - 1)
    with pytest.raises(BinanceError):
        ask(path, symbol="BTCUSDT", period="1h", limit=501)


@pytest.mark.parametrize("name", RATIOS)
def test_a_question_about_a_pair_is_answered_by_coinm(ask: Ask, world: World, name: str) -> None:
    row = ask(f"/futures/data/{name}", pair="BTCUSD", period="1h", limit=1)[0]
    word = "Position" if "Position" in name else "Account"
    assert set(row) == {"pair", "longShortRatio", f"long{word}", f"short{word}", "timestamp"}
    kinds = dict(zip(RATIOS, ("accounts_x", "top_accounts_x", "top_positions_x"), strict=True))
    want = VenueMarket(world, "binance_coinm").long_short_ratios("BTC")
    i = int(np.searchsorted(want.at_ms, row["timestamp"]))
    assert float(row["longShortRatio"]) == getattr(want, kinds[name])[i]


@pytest.mark.parametrize(("family", "symbols"), [("fapi", 4), ("dapi", 3)])
def test_tickers_are_of_all_contracts_and_never_cut(
    ask: Ask, usdm: BinanceWire, coinm: BinanceCoinmWire, family: str, symbols: int
) -> None:
    beside = {"symbol"} if family == "fapi" else {"symbol", "pair"}
    told = {
        "ticker/24hr": {
            "lastPrice",
            "volume",
            "openTime",
            "closeTime",
            "quoteVolume" if family == "fapi" else "baseVolume",
        },
        "ticker/bookTicker": {"bidPrice", "bidQty", "askPrice", "askQty", "time"},
        "premiumIndex": {"markPrice", "indexPrice", "lastFundingRate", "nextFundingTime", "time"},
    }
    for name, keys in told.items():
        rows = ask(f"/{family}/v1/{name}")
        assert len(rows) == symbols
        assert all(beside | keys <= set(row) for row in rows), name
        assert (usdm if family == "fapi" else coinm).rows(rows) is None
    marks = {r["symbol"]: r for r in ask(f"/{family}/v1/premiumIndex")}
    assert [r["lastFundingRate"] for s, r in marks.items() if s[-1].isdigit()] == [""], "a dated contract pays none"


def test_the_risk_of_deleveraging_is_one_contracts_or_alls_of_the_last_half_hour(ask: Ask, usdm: BinanceWire) -> None:
    risks = ask("/fapi/v1/symbolAdlRisk")
    assert all(set(r) == {"symbol", "adlRisk", "updateTime"} for r in risks)
    assert {r["updateTime"] for r in risks} == {to_ms(NOW) // 1_800_000 * 1_800_000}
    assert ask("/fapi/v1/symbolAdlRisk", symbol=risks[0]["symbol"]) == risks[0]
    assert usdm.rows(risks) is None
    with pytest.raises(BinanceError) as caught:
        ask("/fapi/v1/symbolAdlRisk", symbol="NOPEUSDT")
    assert caught.value.body["code"] == -1121


def test_insurance_pools_name_their_symbols_and_assets(ask: Ask, usdm: BinanceWire) -> None:
    pools = ask("/fapi/v1/insuranceBalance")
    assert [set(p) for p in pools] == [{"symbols", "assets"}] * 2
    assert all(set(a) == {"asset", "marginBalance", "updateTime"} for p in pools for a in p["assets"])
    assert usdm.rows(pools) is None


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/fapi/v1/indexPriceKlines", {"symbol": "BTCUSDT", "interval": "1h"}, -1102),
        ("/fapi/v1/indexPriceKlines", {"pair": "NOPE", "interval": "1h"}, -1121),
        ("/fapi/v1/markPriceKlines", {"symbol": "BTCUSDT", "interval": "2h"}, -1120),
        ("/dapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h"}, -1121),
        ("/futures/data/openInterestHist", {"pair": "BTCUSD", "period": "1h"}, -1130),
        ("/futures/data/openInterestHist", {"pair": "BTCUSD", "contractType": "PERPETUAL", "period": "2h"}, -1130),
        ("/futures/data/globalLongShortAccountRatio", {"period": "1h"}, -1102),
        ("/futures/data/globalLongShortAccountRatio", {"symbol": "NOPE", "period": "1h"}, -1121),
    ],
)
def test_wrong_requests_get_the_venues_error(ask: Ask, path: str, query: dict[str, str], code: int) -> None:
    with pytest.raises(BinanceError) as caught:
        ask(path, **query)
    assert caught.value.body["code"] == code


def test_nothing_after_now_is_shown_and_nothing_served_is_shared(ask: Ask) -> None:
    early = datetime(2025, 9, 10, 8, 0, 1)
    for family in ("fapi", "dapi"):
        for name in ("markPriceKlines", "indexPriceKlines"):
            assert _klines(ask, family, name, early)[-1][0] == to_ms(early.replace(second=0))
            before = _klines(ask, family, name, early, limit=2)
            _klines(ask, family, name, early, limit=2)[0][1] = "0"
            assert _klines(ask, family, name, early, limit=2) == before
    assert ask("/futures/data/globalLongShortAccountRatio", early, symbol="BTCUSDT", period="1h")[-1][
        "timestamp"
    ] == to_ms(early.replace(second=0))
