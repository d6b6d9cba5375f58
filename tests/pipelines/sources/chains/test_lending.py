"""The lending client over the made-up market: every call, reserve and known account, to the last unit, over the wire."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from evm_doubles import CALL_TOPIC, client

from assets.lake.transform import batches_of
from assets.ports import Capture, SourceOutage
from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sandbox.evm_chain import Chain
from pipelines.sandbox.evm_node import EvmNode, serve_node
from pipelines.sandbox.lending_accounts import RESERVES, lending_chain, walk, world_prices
from pipelines.sandbox.lending_pool import POOL, PROVIDER, USD, WAD, PoolState, answer
from pipelines.sandbox.world import World
from pipelines.sources.chains.aave import decoded, instant
from pipelines.sources.chains.evm_history import History
from pipelines.sources.chains.lending import LendingSource
from pipelines.sources.chains.lending_markets import DEPLOYMENTS

NOW = datetime(2026, 11, 23, 12)
FINALITY = 20
# The chain begins at 02:40 on 2026-02-02 and has 150 blocks of ten minutes.
END = datetime(2026, 2, 3, 3, 40)
MARKET = replace(DEPLOYMENTS["aave_v3_ethereum"], market_address=PROVIDER, pool_address=POOL, finality_depth=FINALITY)


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Return a market that falls for 150 blocks of ten minutes, from 2026-02-02 02:40 on."""
    made = lending_chain(3, walk(3, 0.004), accounts_count=15, block_time_s=600)
    made.grow(150)
    return made


@pytest.fixture(scope="module")
def source(chain: Chain) -> LendingSource:
    nodes = [client(EvmNode(chain, call=answer), name) for name in ("first provider", "second provider")]
    return LendingSource(MARKET, nodes, is_synthetic=True)


@pytest.fixture(scope="module")
def positions(source: LendingSource) -> Capture:
    """Return the positions of every account that ever acted."""
    return source.positions(start=1)


def good(capture: Capture, dataset: str, days: list[date]) -> pl.DataFrame:
    """Return the rows that land, all of them."""
    batches = batches_of(
        capture, dataset=dataset, venue=MARKET.venue, source="rpc", days=days, now=NOW, is_synthetic=True
    )
    assert sum(b.rejected.height for b in batches) == 0
    return pl.concat([b.rows for b in batches])


def days_of(chain: Chain) -> list[date]:
    return sorted({instant(b.timestamp_s).date() for b in chain.blocks} | {date(2026, 2, 1)})


def calls_in(chain: Chain) -> list[tuple[int, int]]:
    """Return height and offset of every liquidation in the chain."""
    return [
        (block.height, i)
        for block in chain.blocks
        for i, log in enumerate(log for transaction in block.transactions for log in transaction)
        if log.topics[0] == CALL_TOPIC
    ]


def test_every_liquidation_lands_with_its_amounts(chain: Chain, source: LendingSource) -> None:
    history = source.follow(History(), start=1)
    rows = good(source.liquidations(history, days_of(chain)), "lending_liquidations", days_of(chain))
    told = calls_in(chain)
    assert sorted(zip(rows["block_height"], rows["log_offset"], strict=True)) == told
    assert len(told) > 10
    assert set(rows["verified_by"]) == {"providers"}
    assert set(rows["collateral_symbol"]) <= {"WETH", "WBTC", "USDC"}
    assert dict(zip(rows["collateral_symbol"], rows["collateral_decimals_count"], strict=True)).get("WETH", 18) == 18
    blocks = {b.height: b for b in chain.blocks}
    assert all(blocks[h].hash == x for h, x in zip(rows["block_height"], rows["block_hash"], strict=True))


def test_seized_amounts_are_what_the_rules_give(chain: Chain, source: LendingSource) -> None:
    """From the prices and holdings of the block: repaid x price x bonus, less the protocol's share of the bonus."""
    history = source.follow(History(), start=1)
    calls = {(log.height, log.offset): decoded(log)[1] for r in history.ranges for log in r.logs}
    states = {b.height: b.state for b in chain.blocks}
    for (height, _), call in calls.items():
        state: PoolState = states[height]
        seized, repaid = state.reserve(call["collateralAsset"]), state.reserve(call["debtAsset"])
        bonus = seized.bonus_bps / 10_000 - 1
        value = call["debtToCover"] / repaid.unit * state.prices[repaid.address]
        gross = value * (1 + bonus) - value * bonus * seized.fee_bps / 10_000
        assert call["liquidatedCollateralAmount"] / seized.unit * state.prices[seized.address] == pytest.approx(
            gross, rel=1e-6, abs=USD / 1e4
        )


def test_reserves_are_the_markets(chain: Chain, source: LendingSource) -> None:
    rows = good(source.reserves(), "lending_reserves", days_of(chain))
    block = chain.block(chain.height - FINALITY)
    assert block is not None
    assert set(rows["block_height"]) == {block.height}
    assert set(rows["block_hash"]) == {block.hash}
    by_token = {row["token_address"]: row for row in rows.iter_rows(named=True)}
    assert set(by_token) == {r.address for r in RESERVES}
    for reserve in RESERVES:
        row, state = by_token[reserve.address], block.state
        assert row["token_symbol"] == reserve.symbol
        assert row["ltv_frac"] == reserve.ltv_bps / 10_000
        assert row["liquidation_threshold_frac"] == reserve.threshold_bps / 10_000
        assert row["liquidation_bonus_frac"] == (
            pytest.approx(reserve.bonus_bps / 10_000 - 1) if reserve.bonus_bps else None
        )
        assert row["supply_cap_base"] == (reserve.supply_cap or None)
        assert row["oracle_price_quote"] == state.prices[reserve.address] / USD
        held = [h.get(reserve.address) for h in state.accounts.values()]
        assert int(row["supplied_raw"]) == sum(h.supplied for h in held if h)
        assert int(row["borrowed_raw"]) == sum(h.borrowed for h in held if h)


def test_every_known_borrower_is_found_to_the_last_unit(chain: Chain, positions: Capture) -> None:
    rows = good(positions, "lending_positions", days_of(chain))
    block = chain.block(chain.height - FINALITY)
    assert block is not None
    state: PoolState = block.state
    owing = {u for u in state.accounts if state.account(u).debt}
    assert set(rows["user_address"]) == owing
    for row in rows.iter_rows(named=True):
        held, data = state.holding(row["user_address"], row["token_address"]), state.account(row["user_address"])
        assert (int(row["supplied_raw"]), int(row["borrowed_raw"])) == (held.supplied, held.borrowed)
        assert int(row["health_factor_raw"]) == data.health
        assert row["health_factor_x"] == pytest.approx(data.health / WAD)
        assert row["account_debt_usd"] == data.debt / USD
    seen = {(r["user_address"], r["token_address"]) for r in rows.iter_rows(named=True)}
    known = {(u, t) for u in owing for t, h in state.accounts[u].items() if h.supplied or h.borrowed}
    assert seen == known


def test_an_account_fails_at_its_liquidation_price(chain: Chain, positions: Capture) -> None:
    rows = good(positions, "lending_positions", days_of(chain))
    block = chain.block(chain.height - FINALITY)
    assert block is not None
    state: PoolState = block.state
    tried = 0
    for row in rows.drop_nulls("est_liquidation_price_quote").iter_rows(named=True):
        user, token, price = row["user_address"], row["token_address"], row["est_liquidation_price_quote"]
        held, unit = state.holding(user, token), state.reserve(token).unit
        # The contract cuts the average threshold to basis points: a leg of little weight says nothing.
        weight = abs(held.supplied * row["liquidation_threshold_frac"] - held.borrowed) / unit * price
        if weight < 0.1 * row["account_debt_usd"]:
            continue
        falls = held.supplied * row["liquidation_threshold_frac"] > held.borrowed
        for shift in (0.99, 1.01):
            moved = state.priced({**state.prices, token: round(price * shift * USD)})
            assert (moved.account(user).health >= WAD) == ((shift > 1) == falls), row
        tried += 1
    assert tried > 3


def test_a_day_is_found_by_its_blocks(chain: Chain, source: LendingSource) -> None:
    days = days_of(chain)
    history = source.follow(History(), start=1)
    for day in days:
        assert source.liquidations_of(day, now=END).rows.equals(source.liquidations(history, [day]).rows)
    whole = source.liquidations_of(days[0], days[-1], now=END).rows
    assert whole.height == sum(len(r.logs) for r in history.ranges)


def test_silence_behind_the_clock_is_an_outage(source: LendingSource) -> None:
    day = date(2026, 2, 3)
    assert source.liquidations_of(day, now=END).rows.height >= 0
    for now in (datetime(2026, 2, 3, 4, 30), datetime(2026, 2, 4, 1)):
        with pytest.raises(SourceOutage, match="the newest block") as caught:
            source.liquidations_of(day, now=now)
        assert caught.value.code == "lagging"


def test_an_account_that_was_known_is_looked_up_again(chain: Chain, source: LendingSource, positions: Capture) -> None:
    late = chain.height - FINALITY
    assert source.positions(start=late).rows.height < positions.rows.height
    known = sorted(set(positions.rows["user_address"]))
    assert source.positions(known, start=late).rows.equals(positions.rows)


def test_snapshots_of_a_pruned_node_are_refused(chain: Chain) -> None:
    node = EvmNode(chain, call=answer)
    node.faults.pruned_before = chain.height - 5
    with pytest.raises(SourceOutage) as caught:
        LendingSource(MARKET, [client(node)]).reserves()
    assert caught.value.code == "pruned"


def test_a_contract_that_is_not_the_markets_is_said(chain: Chain) -> None:
    wrong = replace(MARKET, market_address="0x" + "99" * 20)
    with pytest.raises(SourceOutage, match="answers 0 bytes"):
        LendingSource(wrong, [client(EvmNode(chain, call=answer))]).reserves()


def test_it_lands_over_http(chain: Chain, source: LendingSource, tmp_path: Path) -> None:
    from web3 import HTTPProvider

    from pipelines.sources.chains.evm import ChainNode

    days = days_of(chain)
    lake = Lake(tmp_path / "lake", clock=FixedClock(NOW), code_version="1.0")
    with serve_node(EvmNode(chain, call=answer)) as url:
        over_http = LendingSource(MARKET, [ChainNode(HTTPProvider(url), "over HTTP")], is_synthetic=True)
        over_http.probe()
        capture = over_http.liquidations_of(days[0], days[-1], now=END)
    lake.commit(
        batches_of(
            capture,
            dataset="lending_liquidations",
            venue=MARKET.venue,
            source="rpc",
            days=days,
            now=NOW,
            is_synthetic=True,
        )
    )
    landed = pl.concat([pl.read_parquet(g.path) for g in lake.current() if g.path is not None])
    history = source.follow(History(), start=1)
    own = good(source.liquidations(history, days), "lending_liquidations", days)
    # One provider is checked by receipts, two by each other; all else is the same.
    assert set(landed["verified_by"]) == {"receipts"}
    kept = [c for c in own.columns if c not in ("verified_by", "payload_sha256")]
    assert landed.select(kept).sort("call_id").equals(own.select(kept).sort("call_id"))


def test_a_world_of_other_prices_has_other_calls() -> None:
    chains = [lending_chain(9, walk(9, fall)) for fall in (0.0, 0.004)]
    for one in chains:
        one.grow(80)
    calls = [len(calls_in(one)) for one in chains]
    assert calls[0] < calls[1]


def test_the_market_has_the_worlds_prices() -> None:
    world = World(5, date(2026, 3, 9), 2, assets=("BTC", "ETH"))
    start = datetime(2026, 3, 9)
    chain = lending_chain(5, world_prices(world, start, 3_600), accounts_count=5, block_time_s=3_600)
    chain.grow(24)
    for block in chain.blocks:
        at = start + timedelta(hours=block.height - 1)
        assert block.state.prices[RESERVES[0].address] == round(world.price("ETH", at) * USD)
        assert block.state.prices[RESERVES[1].address] == round(world.price("BTC", at) * USD)


def test_a_fast_chain_with_one_provider_is_not_asked_for_every_header(chain: Chain) -> None:
    fast = replace(MARKET, block_time_s=0.25)
    history = LendingSource(fast, [client(EvmNode(chain, call=answer))]).follow(History(), start=1)
    assert {r.verified_by for r in history.ranges} == {"unverified"}
