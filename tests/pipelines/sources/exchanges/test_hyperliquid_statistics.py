"""Hyperliquid beyond trades: tickers, margin tables, the vault and liquidations by address equal the world's truth, faults or none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import pytest
from venue_clients import Bench, bench_of, columns_of, judged, ms, ms_of, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox import wire_hyperliquid_accounts
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire_hyperliquid import DELISTED
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.hyperliquid import LIQUIDATOR_VAULT, Hyperliquid
from pipelines.sources.exchanges.liquidations import STREAMS

FIRST = date(2025, 9, 20)
NOW = datetime(2025, 10, 21, 12, 30)
ASSETS = ("BTC", "SOL")
CRASH = date(2025, 10, 10)
NOBODY = f"0x{7:040x}"

CONTEXTS, META = "/info/metaAndAssetCtxs", "/info/meta"
FILLS, VAULT = "/info/userFillsByTime", "/info/vaultDetails"
STATE = "/info/clearinghouseState"
FIRST_ACCOUNT = f"0x{1:040x}"
PATHS = {
    "perp_positions": STATE,
    "liquidations": FILLS,
    "tickers": CONTEXTS,
    "leverage_tiers": META,
    "insurance_funds": VAULT,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    world = World(7, FIRST, 32, assets=ASSETS, crash_day=CRASH)
    with serve(world, now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "hyperliquid")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(Hyperliquid, sandbox, faults=faults, **{"now": NOW, "universe": ASSETS, **more})


def _fetch(bench: Bench, dataset: str) -> Any:
    return bench.client.fetch(dataset, CRASH)


# -- values -------------------------------------------------------------------------------------------------------------


def test_tickers_are_all_coins_as_they_are_now(sandbox: Sandbox, market: VenueMarket) -> None:
    bench = _bench(sandbox, universe=("BTC",))
    rows = valid(bench.client.tickers(), "tickers", NOW)
    assert rows["venue_symbol"].to_list() == ["BTC", "SOL"], "also what is not in the universe, not what is delisted"
    assert bench.asked(CONTEXTS) == 2, "one for the catalogue, one for all tickers"
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    for asset in ASSETS:
        row = rows.filter(asset=asset).row(0, named=True)
        assert row["mark_quote"] == market.price_of_kind(asset, "mark", NOW)
        assert row["index_quote"] == market.price_of_kind(asset, "index", NOW)
        assert row["open_interest_base"] == market.open_interest(asset).open_interest_base[31 * 24 + 12]
        assert row["volume_24h_base"] == pytest.approx(market.volume_24h_base(asset, NOW), rel=1e-9)
        told_elsewhere = ("last_quote", "best_bid_quote", "best_ask_quote", "open_interest_usd")
        assert [row[name] for name in told_elsewhere] == [None] * 4


@pytest.mark.parametrize("bad", [None, 5, {}, {"markPx": "n/a"}, {"markPx": "0"}])
def test_a_context_that_cannot_be_read_costs_no_other_ticker(sandbox: Sandbox, bad: Any) -> None:
    # The catalogue is the second answer to the same question, and needs it whole.
    answers = iter([True])

    def spoil(body: Any) -> Any:
        return [body[0], [*body[1][:2], bad]] if next(answers, False) else body

    good, rejected = judged(_bench(sandbox, spoiled(CONTEXTS, spoil)).client.tickers(), "tickers", NOW)
    assert good["asset"].to_list() == ["BTC"]
    assert rejected["reason"].to_list()


def test_tiers_are_the_margin_tables_with_half_of_the_initial_margin(sandbox: Sandbox) -> None:
    rows = valid(_bench(sandbox).client.leverage_tiers(), "leverage_tiers", NOW)
    assert rows["asset"].unique().sort().to_list() == ["BTC", "SOL"]
    ladder = rows.filter(asset="BTC").sort("tier_rank")
    # "BTC: 0-150M 40x, >150M 20x": 1.25 % and 2.5 % of maintenance margin, and 1.25 % of 150M to take off.
    assert ladder["notional_floor_settle"].to_list() == [0.0, 150e6]
    assert ladder["notional_cap_settle"].to_list() == [150e6, 2.0**63 - 1]
    assert ladder["max_leverage_x"].to_list() == [40.0, 20.0]
    assert ladder["maintenance_margin_rate_frac"].to_list() == [0.0125, 0.025]
    assert ladder["maintenance_amount_settle"].to_list() == pytest.approx([0.0, 150e6 * 0.0125])
    assert ladder["settle_asset"].unique().to_list() == ["USDC"]
    assert ladder["observed_at_utc"].unique().to_list() == [NOW]


def test_a_table_below_fifty_is_one_tier_of_its_number(sandbox: Sandbox) -> None:
    def spoil(meta: Any) -> Any:
        coins = [{**c, "marginTableId": 25} if c["name"] == "SOL" else c for c in meta["universe"]]
        return {**meta, "universe": coins, "marginTables": [t for t in meta["marginTables"] if t[0] >= 50]}

    rows = valid(_bench(sandbox, _meta(spoil)).client.leverage_tiers(), "leverage_tiers", NOW).filter(asset="SOL")
    assert rows.select("notional_floor_settle", "max_leverage_x", "maintenance_margin_rate_frac").rows() == [
        (0.0, 25.0, 0.02)
    ]


def _meta(change: Any) -> Faults:
    """Spoil the answer to `meta` and not the catalogue's, whose path begins alike."""
    return Faults(spoiled={META: lambda body: change(body) if isinstance(body, dict) else body})


@pytest.mark.parametrize(
    "table",
    [None, {}, {"marginTiers": []}, {"marginTiers": [{"lowerBound": "0.0"}]}, {"marginTiers": [{"maxLeverage": 40}]}],
)
def test_a_margin_table_that_cannot_be_read_is_refused_and_costs_no_other(sandbox: Sandbox, table: Any) -> None:
    def spoil(meta: Any) -> Any:
        coins = [{**c, "marginTableId": 77} if c["name"] == "SOL" else c for c in meta["universe"]]
        return {**meta, "universe": coins, "marginTables": [*meta["marginTables"], [77, table]]}

    good, rejected = judged(_bench(sandbox, _meta(spoil)).client.leverage_tiers(), "leverage_tiers", NOW)
    assert (good["asset"].unique().to_list(), good.height) == (["BTC"], 2)
    assert rejected["reason"].to_list()


@pytest.mark.parametrize("number", [99, None, "56", True, 0])
def test_a_coin_without_a_known_table_is_refused(sandbox: Sandbox, number: Any) -> None:
    def spoil(meta: Any) -> Any:
        coins = [{**c, "marginTableId": number} if c["name"] == "SOL" else c for c in meta["universe"]]
        return {**meta, "universe": coins}

    good, rejected = judged(_bench(sandbox, _meta(spoil)).client.leverage_tiers(), "leverage_tiers", NOW)
    assert good["asset"].unique().to_list() == ["BTC"]
    assert rejected["reason"].to_list()


def test_the_vault_that_takes_over_is_the_fund(sandbox: Sandbox, market: VenueMarket) -> None:
    (row,) = valid(_bench(sandbox).client.insurance_funds(), "insurance_funds", NOW).iter_rows(named=True)
    hour = NOW.replace(minute=0)
    assert (row["fund_name"], row["settle_asset"], row["occurred_at_utc"]) == ("HLP vault", "USDC", hour)
    assert row["balance_settle"] == market.insurance_fund_usd(hour)
    assert row["balance_usd"] is None


@pytest.mark.parametrize(
    "portfolio", [None, [], [["week", {}]], [["day", {"accountValueHistory": []}]], [["day", None]]]
)
def test_a_vault_without_a_value_is_refused(sandbox: Sandbox, portfolio: Any) -> None:
    faults = spoiled(VAULT, lambda vault: {**vault, "portfolio": portfolio})
    good, rejected = judged(_bench(sandbox, faults).client.insurance_funds(), "insurance_funds", NOW)
    assert good.height == 0
    assert rejected["reason"].to_list()


# -- liquidations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [2_000, 7, 3])
def test_liquidations_are_those_that_the_address_took_over_at_any_page(
    sandbox: Sandbox, market: VenueMarket, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(wire_hyperliquid_accounts, "FILLS_PAGE_COUNT", page)
    bench = _bench(sandbox, page_limits={"liquidations": page})
    rows = valid(_fetch(bench, "liquidations"), "liquidations", NOW)
    begin, end = ms_of(datetime(2025, 10, 10)), ms_of(datetime(2025, 10, 11))
    for asset in ASSETS:
        want = market.liquidations(asset)
        inside = (want.at_ms >= begin) & (want.at_ms < end)
        got = columns_of(rows.sort("occurred_at_utc"), asset=asset)
        assert inside.any()
        assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[inside]), "neither what the vault sold nor ADL"
        assert np.array_equal(got["position_side"] == "long", want.is_long[inside])
        assert np.array_equal(got["order_price_quote"], want.fill_quote[inside])
        assert np.allclose(got["quantity_base"], want.quantity_base[inside], rtol=0, atol=1e-8)
    assert rows["order_price_kind"].unique().to_list() == ["average_fill"]
    assert rows["quantity_contracts"].null_count() == rows.height


def test_one_trade_seen_by_two_addresses_is_one_and_an_address_without_fills_has_none(sandbox: Sandbox) -> None:
    alone = _fetch(_bench(sandbox), "liquidations").rows
    both = _bench(sandbox, addresses=(LIQUIDATOR_VAULT, NOBODY, LIQUIDATOR_VAULT.upper().replace("X", "x")))
    assert _fetch(both, "liquidations").rows.equals(alone)
    assert {s.query["user"] for s in sandbox.requests if s.path == FILLS} == {LIQUIDATOR_VAULT, NOBODY}
    assert _fetch(_bench(sandbox, addresses=(NOBODY,)), "liquidations").rows.height == 0


def test_without_an_address_liquidations_are_not_offered_and_nothing_is_asked(sandbox: Sandbox) -> None:
    with pytest.raises(SourceOutage, match="LOWTIDE_HYPERLIQUID_ADDRESSES") as caught:
        _fetch(_bench(sandbox, addresses=()), "liquidations")
    assert caught.value.code == "not_offered"
    assert sandbox.requests == []


@pytest.mark.parametrize("address", ["", "0x12", "vitalik.eth", f"{LIQUIDATOR_VAULT}0", f"0x{'g' * 40}"])
def test_what_is_no_address_is_refused_by_name(sandbox: Sandbox, address: str) -> None:
    with pytest.raises(ValueError, match="is no address of Hyperliquid"):
        _bench(sandbox, addresses=(address,))


def test_fills_that_the_venue_may_have_forgotten_are_not_offered_and_not_a_calm_day(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_hyperliquid_accounts, "FILLS_KEPT_COUNT", 20)
    monkeypatch.setattr(Hyperliquid, "_kept_count", 20)
    with pytest.raises(SourceOutage, match="latest 20 fills") as caught:
        _fetch(_bench(sandbox), "liquidations")
    assert caught.value.code == "not_offered"
    # A later day's are all still there: the venue shows fills from before it.
    assert _bench(sandbox).client.liquidations(NOW.date()).rows.height >= 0


@pytest.mark.parametrize(
    "bad", [None, 5, {"coin": None}, {"sz": "0"}, {"px": "x"}, {"side": "C"}, {"time": 1760054400}]
)
def test_a_malformed_fill_is_refused_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    calm = _fetch(_bench(sandbox, universe=("SOL",)), "liquidations").rows.height
    kept: dict[str, Any] = {}

    def spoil(fills: list[Any]) -> list[Any]:
        first = kept.setdefault(
            "tid", next((f["tid"] for f in fills if f["coin"] == "SOL" and "liquidation" in f), None)
        )
        hit = [f for f in fills if f["coin"] == "SOL" and f["tid"] == first]
        return [({**f, **bad} if isinstance(bad, dict) else bad) if f in hit else f for f in fills]

    capture = _fetch(_bench(sandbox, spoiled(FILLS, spoil), universe=("SOL",)), "liquidations")
    good, rejected = judged(capture, "liquidations", NOW)
    assert good.height == calm - 1
    assert rejected["row_count"].n_unique() == 1


def test_a_coin_outside_the_universe_is_left_out(sandbox: Sandbox) -> None:
    rows = _fetch(_bench(sandbox, universe=("SOL",)), "liquidations").rows
    assert rows["asset"].unique().to_list() == ["SOL"]


# -- positions ----------------------------------------------------------------------------------------------------------


def test_positions_are_those_that_the_address_holds_now(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, addresses=(FIRST_ACCOUNT, LIQUIDATOR_VAULT))
    rows = valid(bench.client.perp_positions(), "perp_positions", NOW)
    assert bench.asked(STATE) == 2
    assert rows.select("account_address", "venue_symbol").rows() == [(FIRST_ACCOUNT, asset) for asset in ASSETS]
    for asset in ASSETS:
        row, traders = rows.filter(asset=asset).row(0, named=True), sandbox.world.traders(asset).open_at(NOW)
        assert row["position_side"] == traders.position_side[0]
        assert row["position_base"] == pytest.approx(traders.quantity_base[0], abs=1e-8)
        assert row["entry_quote"] == pytest.approx(traders.entry_price_quote[0], abs=1e-8)
        assert row["liquidation_quote"] == pytest.approx(traders.liquidation_price_quote[0], abs=1e-8)
        assert (row["margin_mode"], row["leverage_x"]) == ("isolated", traders.leverage_x[0])
        assert row["margin_settle"] == pytest.approx(traders.margin_usd[0], abs=1e-8)
        assert (row["settle_asset"], row["occurred_at_utc"]) == ("USDC", NOW)
    assert rows["account_value_settle"].n_unique() == 1, "the account's, on each of its rows"


def test_without_an_address_there_is_no_position(sandbox: Sandbox) -> None:
    assert _bench(sandbox, addresses=()).client.perp_positions().rows.height == 0


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        {"coin": None},
        {"szi": "0.0"},
        {"szi": "x"},
        {"entryPx": None},
        {"liquidationPx": "0"},
        {"leverage": None},
    ],
)
def test_a_position_that_cannot_be_read_is_refused_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    def spoil(state: Any) -> Any:
        first, second = state["assetPositions"]
        position = {**first["position"], **bad} if isinstance(bad, dict) else bad
        return {**state, "assetPositions": [{**first, "position": position}, second]}

    bench = _bench(sandbox, spoiled(STATE, spoil), addresses=(FIRST_ACCOUNT,))
    good, rejected = judged(bench.client.perp_positions(), "perp_positions", NOW)
    assert good["asset"].to_list() == ["SOL"]
    assert rejected["row_count"].n_unique() == 1


def test_a_position_without_a_liquidation_price_has_none(sandbox: Sandbox) -> None:
    def spoil(state: Any) -> Any:
        first, second = state["assetPositions"]
        return {
            **state,
            "assetPositions": [{**first, "position": {**first["position"], "liquidationPx": None}}, second],
        }

    bench = _bench(sandbox, spoiled(STATE, spoil), addresses=(FIRST_ACCOUNT,))
    rows = valid(bench.client.perp_positions(), "perp_positions", NOW)
    assert rows["liquidation_quote"].null_count() == 1


# -- faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", list(PATHS))
def test_a_passing_fault_does_not_change_what_lands(sandbox: Sandbox, dataset: str) -> None:
    def landed(bench: Bench) -> Any:
        # Waiting moves our clock, which is the row's where the venue tells none.
        return _fetch(bench, dataset).rows.drop("payload_sha256", "occurred_at_utc", "observed_at_utc", strict=False)

    calm, path = landed(_bench(sandbox)), PATHS[dataset]
    bench = _bench(sandbox, Faults((Fault("torn", path=path), Fault("error", first=2, path=path))))
    assert landed(bench).equals(calm)
    assert len(bench.clock.slept) == 2


@pytest.mark.parametrize("dataset", ["liquidations", "leverage_tiers", "insurance_funds", "perp_positions"])
@pytest.mark.parametrize("answer", [{}, {"rows": []}, [], [[]], {"universe": [], "marginTables": {}}])
def test_an_answer_of_another_shape_is_a_venue_error(sandbox: Sandbox, dataset: str, answer: Any) -> None:
    is_a_list_of_fills = dataset == "liquidations" and isinstance(answer, list)
    change = (lambda body: body if isinstance(body, list) else answer) if dataset == "leverage_tiers" else None
    bench = _bench(sandbox, spoiled(PATHS[dataset], change or (lambda _: answer)))
    if is_a_list_of_fills:
        assert _fetch(bench, dataset).rows.height == len(answer)
        return
    with pytest.raises(SourceOutage) as caught:
        _fetch(bench, dataset)
    assert caught.value.code == "venue_error"


def test_another_vaults_details_are_a_venue_error(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, spoiled(VAULT, lambda vault: {**vault, "vaultAddress": NOBODY}))
    with pytest.raises(SourceOutage, match="not about the vault") as caught:
        bench.client.insurance_funds()
    assert caught.value.code == "venue_error"


def test_the_delisted_coin_has_neither_ticker_nor_tier(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, universe=(*ASSETS, DELISTED))
    assert DELISTED not in {*bench.client.tickers().rows["asset"], *bench.client.leverage_tiers().rows["asset"]}
    assert "hyperliquid" in STREAMS
