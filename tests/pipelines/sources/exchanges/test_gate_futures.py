"""Gate's own rules over the laws of every client (``test_venue_laws.py``): contracts, ratios, tiers, the fund, hours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
from venue_clients import Bench, assert_liquidations, assert_long_short_ratios, bench_of, judged, ms, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox import wire_gate
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.gate_futures import GateFutures

NOW = datetime(2025, 10, 12, 12, 30)
ASSETS = ("BTC", "SOL")
DAYS = (date(2025, 10, 9), date(2025, 10, 11))
PATH = "/api/v4/futures/usdt"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(7, date(2025, 10, 5), 8, assets=ASSETS, crash_day=date(2025, 10, 10))
    with serve(world, now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "gate")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(GateFutures, sandbox, faults=faults, **{"now": NOW, "universe": ASSETS, **more})


def test_the_catalogue_is_one_question_and_tells_sizes_in_base_units(sandbox: Sandbox) -> None:
    rows = valid(_bench(sandbox).client.instruments(), "instruments", NOW)
    assert [(s.path, dict(s.query)) for s in sandbox.requests] == [(f"{PATH}/contracts", {})]
    assert rows["contract_size_base"].to_list() == rows["quantity_step_base"].to_list() == [0.0001, 0.01]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "circuit_breaker"},
        {"in_delisting": True},
        {"type": "inverse"},
        {"quanto_multiplier": "0"},
        {"name": "SOL_USD"},
    ],
)
def test_a_contract_that_does_not_trade_or_counts_otherwise_is_left_out(
    sandbox: Sandbox, change: dict[str, Any]
) -> None:
    faults = spoiled(
        f"{PATH}/contracts", lambda rows: [{**r, **change} if r["name"] == "SOL_USDT" else r for r in rows]
    )
    capture = _bench(sandbox, faults).client.instruments()
    assert capture.rows["asset"].to_list() == ["BTC"]
    assert "not listed here: SOL" in capture.origin_note


def test_open_interest_is_worth_its_mark_price(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = valid(_bench(sandbox, universe=("SOL",)).client.open_interest(DAYS[0]), "open_interest", NOW)
    marks = market.mark_candles("SOL").open_quote[4 * 24 : 5 * 24]
    assert rows["open_interest_usd"].to_list() == pytest.approx(
        (rows["open_interest_base"] * marks).to_list(), rel=1e-9
    )


def test_ratios_of_all_kinds_come_from_one_walk(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox)
    rows = valid(bench.client.long_short_ratios(*DAYS), "long_short_ratios", NOW)
    kinds = ("accounts", "top_accounts", "top_positions")
    assert_long_short_ratios(rows, market, kinds, slice(4 * 24, 7 * 24), ASSETS)
    assert bench.asked(f"{PATH}/contract_stats") <= 4


def test_a_ratio_that_is_not_told_is_refused_and_costs_no_other_kind(sandbox: Sandbox) -> None:
    faults = spoiled(f"{PATH}/contract_stats", lambda rows: [{**r, "top_lsr_size": "0"} for r in rows])
    capture = _bench(sandbox, faults, universe=("SOL",)).client.long_short_ratios(DAYS[0])
    good, rejected = judged(capture, "long_short_ratios", NOW)
    assert good["ratio_kind"].unique().sort().to_list() == ["accounts", "top_accounts"]
    assert (good.height, rejected.height) == (48, 24)


def test_tiers_have_the_venues_deductions_and_stand_on_each_other(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = valid(_bench(sandbox).client.leverage_tiers(), "leverage_tiers", NOW).sort("asset", "tier_rank")
    assert rows.group_by("asset").len()["len"].to_list() == [4, 4]
    lowest = rows.filter(rows["tier_rank"] == 1)
    assert lowest["maintenance_margin_rate_frac"].to_list() == [
        market.profile(a).maintenance_margin_frac for a in ASSETS
    ]
    assert lowest["notional_floor_settle"].to_list() == lowest["maintenance_amount_settle"].to_list() == [0.0, 0.0]
    assert rows["maintenance_amount_settle"].to_list()[1] > 0
    assert rows["settle_asset"].unique().to_list() == ["USDT"]


@pytest.mark.parametrize(
    "change", [{"tier": None}, {"tier": 7}, {"tier": 1e300}, {"risk_limit": "x"}, {"deduction": "1"}]
)
def test_a_ladder_that_is_not_whole_is_refused_and_another_contracts_stands(
    sandbox: Sandbox, change: dict[str, Any]
) -> None:
    # The first question is about BTC; its second tier is spoiled.
    asked: list[int] = []

    def spoil(rows: list[Any]) -> list[Any]:
        asked.append(1)
        return [rows[0], {**rows[1], **change}, *rows[2:]] if len(asked) == 1 else rows

    capture = _bench(sandbox, spoiled(f"{PATH}/risk_limit_tiers", spoil)).client.leverage_tiers()
    good, rejected = judged(capture, "leverage_tiers", NOW)
    assert good["asset"].unique().to_list() == ["SOL"]
    assert rejected.height == 4


def test_the_fund_is_the_newest_balance_whatever_the_order(sandbox: Sandbox, market: VenueMarket) -> None:
    for faults in (None, spoiled(f"{PATH}/insurance", lambda rows: rows[::-1])):
        rows = valid(_bench(sandbox, faults).client.insurance_funds(), "insurance_funds", NOW)
        midnight = datetime(2025, 10, 12)
        told = ("gate", "usdt", "USDT", midnight, market.insurance_fund_usd(midnight), None)
        assert rows.drop("payload_sha256").rows() == [told]


@pytest.mark.parametrize("answer", [[], [{}], [{"t": 1543968000}], [None]])
def test_a_fund_that_is_not_told_is_refused_and_is_not_zero(sandbox: Sandbox, answer: Any) -> None:
    capture = _bench(sandbox, spoiled(f"{PATH}/insurance", lambda _: answer)).client.insurance_funds()
    good, rejected = judged(capture, "insurance_funds", NOW)
    assert (good.height, rejected.height) == (0, 1)


def test_a_liquidation_whose_contract_is_no_name_is_quarantined(sandbox: Sandbox) -> None:
    nameless = spoiled(f"{PATH}/liq_orders", lambda rows: [{**row, "contract": [row["contract"]]} for row in rows])
    good, refused = judged(_bench(sandbox, nameless).client.liquidations(date(2025, 10, 10)), "liquidations", NOW)
    assert good.height == 0
    assert refused.height > 0


def test_liquidations_are_asked_for_by_the_hour_and_for_all_contracts(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, universe=("SOL",))
    rows = valid(bench.client.liquidations(date(2025, 10, 10)), "liquidations", NOW)
    asked = [s.query for s in sandbox.requests if s.path == f"{PATH}/liq_orders"]
    assert all(int(q["to"]) - int(q["from"]) < 3_600 and "contract" not in q for q in asked)
    assert rows["asset"].unique().to_list() == ["SOL"]
    assert rows["order_price_kind"].unique().to_list() == ["average_fill"]
    assert rows["quantity_contracts"].to_list() == pytest.approx((rows["quantity_base"] * 100).to_list())


@pytest.mark.parametrize("shows_oldest", [False, True])
def test_an_hour_of_several_pages_is_whole_whichever_end_a_page_shows(
    sandbox: Sandbox, market: VenueMarket, monkeypatch: pytest.MonkeyPatch, shows_oldest: bool
) -> None:
    cut = wire_gate._newest_first

    def oldest(clock_s: Any, query: Any, now: datetime, row: Any) -> list[Any]:
        return cut(clock_s, {**query, "limit": "1000"}, now, row)[-int(query["limit"]) :]

    if shows_oldest:
        monkeypatch.setattr(wire_gate, "_newest_first", oldest)
    rows = _bench(sandbox, page_limits={"liquidations": 4}).client.liquidations(date(2025, 10, 10)).rows
    assert_liquidations(rows, market, (date(2025, 10, 10),) * 2, ASSETS, price="fill_quote", step_ms=1_000)


def test_more_in_one_second_than_a_page_holds_is_a_venue_error(sandbox: Sandbox) -> None:
    with pytest.raises(SourceOutage, match="others may be hidden") as caught:
        _bench(sandbox, page_limits={"liquidations": 1}).client.liquidations(*DAYS)
    assert caught.value.code == "venue_error"


def test_a_settlement_is_stamped_in_whole_seconds(sandbox: Sandbox) -> None:
    rows = _bench(sandbox).client.funding_rates(*DAYS).rows
    assert set(ms(rows["occurred_at_utc"].to_numpy()) % 1_000) == {0}
