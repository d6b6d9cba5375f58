"""Bitget's own rules over the laws of every client (``test_venue_laws.py``): two paths of candles, numbered pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
from venue_clients import Bench, assert_funding_rates, assert_trade_candles, bench_of, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.bitget import Bitget

NOW = datetime(2025, 10, 12, 12, 30)
FIRST = date(2025, 10, 3)
CRASH = date(2025, 10, 10)
PATH = "/api/v2/mix/market"
FUNDING = f"{PATH}/history-fund-rate"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, FIRST, 10, assets=("SOL",), crash_day=CRASH), now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "bitget")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(Bitget, sandbox, faults=faults, **{"now": NOW, "universe": ("SOL",), **more})


@pytest.mark.parametrize(
    ("now", "paths"),
    [
        (NOW, {"candles"}),
        (datetime(2025, 12, 26, 12), {"candles", "history-candles"}),
        (datetime(2026, 3, 1), {"history-candles"}),
    ],
)
def test_candles_of_any_age_come_from_the_path_that_still_shows_them(
    sandbox: Sandbox, market: VenueMarket, now: datetime, paths: set[str]
) -> None:
    rows = valid(_bench(sandbox, now=now).client.candles(FIRST, date(2025, 10, 11)), "candles", now)
    assert_trade_candles(rows, market, slice(0, 9 * 24), ("SOL",))
    assert {s.path.rpartition("/")[2] for s in sandbox.requests} - {"contracts"} == paths


@pytest.mark.parametrize("size", [100, 7, 1])
def test_settlements_are_whole_at_any_page_size_and_no_page_too_many_is_asked_for(
    sandbox: Sandbox, market: VenueMarket, size: int
) -> None:
    bench = _bench(sandbox, page_limits={"funding_rates": size})
    rows = valid(bench.client.funding_rates(CRASH, CRASH), "funding_rates", NOW)
    assert_funding_rates(rows, market, (CRASH, CRASH), ("SOL",))
    # Eight settlements since the day began, and the one before it that shows the range's end.
    assert bench.asked(FUNDING) == -(-9 // size) if size < 9 else bench.asked(FUNDING) == 1


def test_a_short_page_before_the_last_is_a_venue_error_and_not_a_gap(sandbox: Sandbox) -> None:
    asked: list[int] = []

    def cut(body: Any) -> Any:
        asked.append(1)
        return {**body, "data": body["data"][:1]} if len(asked) == 2 else body

    client = _bench(sandbox, spoiled(FUNDING, cut), page_limits={"funding_rates": 3}).client
    with pytest.raises(SourceOutage, match="page 2 holds 1 of 3 records") as caught:
        client.funding_rates(FIRST, CRASH)
    assert caught.value.code == "venue_error"


def test_a_settlement_stamped_a_day_early_is_a_venue_error_and_not_a_second_one_of_that_day(sandbox: Sandbox) -> None:
    def moved(body: Any) -> Any:
        newest, others = body["data"][:1], body["data"][1:]
        early = [{**record, "fundingTime": str(int(record["fundingTime"]) - 86_400_001)} for record in newest]
        return {**body, "data": [*early, *others]}

    with pytest.raises(SourceOutage, match="do not come newest first") as caught:
        _bench(sandbox, spoiled(FUNDING, moved)).client.funding_rates(FIRST, CRASH)
    assert (caught.value.code, caught.value.cause) == ("venue_error", "out_of_order")


@pytest.mark.parametrize(
    "change",
    [
        {"symbolStatus": "limit_open"},
        {"symbolType": "delivery", "deliveryTime": "1767225600000"},
        {"supportMarginCoins": ["USDC"]},
    ],
)
def test_a_contract_that_is_none_of_ours_is_left_out_and_named(sandbox: Sandbox, change: dict[str, Any]) -> None:
    faults = spoiled(f"{PATH}/contracts", lambda b: {**b, "data": [{**c, **change} for c in b["data"]]})
    capture = _bench(sandbox, faults).client.instruments()
    assert capture.rows.height == 0
    assert "not listed here: SOL" in capture.origin_note


@pytest.mark.parametrize(
    ("field", "step"),
    [
        ("pricePlace", "price_tick_quote"),
        ("priceEndStep", "price_tick_quote"),
        ("volumePlace", "quantity_step_base"),
        ("sizeMultiplier", "quantity_step_base"),
    ],
)
def test_a_step_in_digits_of_another_script_or_between_blanks_is_no_step(
    sandbox: Sandbox, field: str, step: str
) -> None:
    for figure in ("１２３", " 0.01 "):
        change = {field: figure}
        faults = spoiled(
            f"{PATH}/contracts", lambda b, change=change: {**b, "data": [{**c, **change} for c in b["data"]]}
        )
        assert _bench(sandbox, faults).client.instruments().rows[step].to_list() == [None]
    assert _bench(sandbox).client.instruments().rows[step].to_list() == [0.01]


def test_an_answer_about_another_symbol_is_a_venue_error(sandbox: Sandbox) -> None:
    faults = spoiled(FUNDING, lambda b: {**b, "data": [{**r, "symbol": "ETHUSDT"} for r in b["data"]]})
    with pytest.raises(SourceOutage, match="another symbol"):
        _bench(sandbox, faults).client.funding_rates(CRASH)
