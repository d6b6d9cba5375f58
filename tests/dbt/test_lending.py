"""Lending models over the made-up raw lake: amounts to the last digit, one source a day, every row counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from evm_doubles import POOL, USDC, WETH, call_log, calls_chain, client

from assets.cascade.lending_fuel import Accounts, accounts_of_day, lending_fuel_rows
from assets.lake.transform import batches_of
from assets.ports import Capture
from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.lake.views import create_raw_views
from pipelines.sandbox.evm_chain import Chain
from pipelines.sandbox.evm_node import EvmNode
from pipelines.sandbox.lending_accounts import RESERVES, lending_chain, walk
from pipelines.sandbox.lending_pool import POOL as MARKET_POOL
from pipelines.sandbox.lending_pool import PROVIDER, USD, WAD, PoolState, Refused, answer
from pipelines.sources.chains.aave import Token, instant
from pipelines.sources.chains.evm_history import History
from pipelines.sources.chains.lending import LendingSource, touched_days
from pipelines.sources.chains.lending_markets import DEPLOYMENTS

CLOCK = FixedClock(datetime(2026, 11, 23, 12))


def _tokens(amount: str, decimals: int | None) -> Decimal | None:
    """Return a naive scaling to eight decimals; None where DECIMAL(28,8) has no room."""
    with localcontext() as context:
        context.prec = 200
        scaled = (Decimal(amount).scaleb(-(decimals or 0))).quantize(Decimal("1e-8"), rounding="ROUND_HALF_UP")
        return scaled if scaled < Decimal(10) ** 20 else None


def test_amounts_are_scaled_without_losing_a_digit(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select m.collateral_seized_raw, r.collateral_decimals_count, m.collateral_seized_base,"
        " m.debt_repaid_raw, r.debt_decimals_count, m.debt_repaid_base"
        " from marts.fct_lending_liquidations as m"
        " join raw.lending_liquidations as r on m.venue = r.venue and m.call_id = r.call_id and m.source = r.source"
    )
    assert len(rows) == 180
    found = [(row[i : i + 3]) for row in rows for i in (0, 3)]
    assert [(a, d, _tokens(a, d)) for a, d, _ in found] == found
    assert any(base is None for _, _, base in found), "some amount must exceed the type"
    assert any(amount == str(2**256 - 1) for amount, _, _ in found)


def test_a_day_comes_from_the_chain_where_it_was_read(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select source, count(*), bool_and(block_hash is not null) from marts.fct_lending_liquidations group by 1 order by 1"
    )
    assert rows == [("aave", 100, False), ("rpc", 80, True)]


def test_values_say_whose_price_they_are(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select m.est_collateral_seized_usd::double, m.collateral_seized_base::double, p.close_quote::double"
        " from marts.fct_lending_liquidations as m join marts.fct_prices_hourly as p"
        " on p.asset = 'BTC' and p.interval_start_utc = date_trunc('day', m.occurred_at_utc) + interval 23 hour"
        " where m.source = 'rpc' and m.collateral_symbol = 'WBTC' and m.collateral_seized_base between 1 and 1e9"
    )
    assert rows
    for value, quantity, close in rows:
        assert value == pytest.approx(quantity * close, rel=1e-9, abs=1e-4)
    origins = warehouse.rows(
        "select distinct est_usd_origin from marts.fct_lending_liquidations"
        " where est_collateral_seized_usd is null and est_debt_repaid_usd is null"
    )
    assert origins <= [("day_price",), ("none",)]


def test_an_implausible_value_is_called_so(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select is_value_plausible, round(est_liquidation_bonus_frac, 6), count(*) from marts.fct_lending_liquidations"
        " where source = 'aave' group by 1, 2 order by 1"
    )
    assert rows == [(False, 39.0, 25), (True, 0.05, 75)]


def test_coverage_counts_every_call(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select coverage_status, sum(expected_rows_count), sum(observed_rows_count), count(*)"
        " from marts.fct_data_coverage_daily where dataset = 'lending_liquidations' group by 1"
    )
    assert rows == [("complete", 180, 180, 45)]


def test_a_day_shows_its_last_snapshot_whole(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select token_symbol, count(*), min(extract(hour from observed_at_utc)), max(supply_cap_base)::double,"
        " max(supplied_base)::double, max(utilisation_frac) from marts.fct_lending_reserves_daily group by 1 order by 1"
    )
    assert rows == [("GHO", 45, 12, None, 0.0, None), ("WETH", 45, 12, 1e6, 1_012.0, 500 / 1_012)]
    accounts = warehouse.rows(
        "select right(user_address, 1), count(*), count(borrowed_base), min(borrowed_raw) from marts.fct_lending_positions_daily"
        " group by 1 order by 1"
    )
    # The account that the day's last snapshot no longer shows is gone; the debt that no type holds is exact as text.
    assert accounts == [
        ("1", 45, 45, str(10**17)),
        ("2", 45, 45, str(2 * 10**17)),
        ("3", 45, 0, str(2**256 - 1)),
    ]


def test_fuel_is_what_the_markets_rules_take_from_its_known_accounts(warehouse: Any, tmp_path: Path) -> None:
    """Every account of the made-up market, from JSON-RPC to the ladder: each price at which it fails, each amount seized."""
    chain = lending_chain(3, walk(3, 0.004), accounts_count=25, block_time_s=600)
    chain.grow(60)
    market = replace(
        DEPLOYMENTS["aave_v3_ethereum"], market_address=PROVIDER, pool_address=MARKET_POOL, finality_depth=10
    )
    source = LendingSource(market, [client(EvmNode(chain, call=answer))], is_synthetic=True)
    lake = Lake(tmp_path / "lake", clock=CLOCK, code_version="1.0")
    for dataset, capture in (("reserves", source.reserves()), ("positions", source.positions(start=1))):
        _land(lake, source, capture, f"lending_{dataset}")
    block = chain.block(chain.height - 10)
    assert block is not None
    day, state = instant(block.timestamp_s).date(), block.state
    with _built(warehouse, lake, tmp_path, "reserves", "fct_lending_reserves_daily"):
        pass
    with _built(warehouse, lake, tmp_path, "positions", "fct_lending_positions_daily") as con:
        rows = lending_fuel_rows(con, day)
        accounts = accounts_of_day(con, day)["aave_v3_ethereum"]
    assert accounts.left_out_count == 0
    assert set(accounts.users) == {u for u in state.accounts if state.account(u).debt}
    steps = {asset: _checked_ladder(accounts, asset, state) for asset in ("BTC", "ETH")}
    for asset, told in steps.items():
        of_asset = [r for r in rows if r["asset"] == asset]
        assert len(told) > 10
        assert float(sum(r["fuel_base"] for r in of_asset)) == pytest.approx(sum(told), abs=1e-8 * len(rows))


def _checked_ladder(accounts: Accounts, asset: str, state: PoolState) -> list[float]:
    """Compare each step with what the market does at that price; return what is seized of the asset itself, in tokens."""
    ladder, falls = accounts.ladder(asset), accounts.falls(asset)
    tokens = [r.address for r in sorted(RESERVES, key=lambda r: r.address)]
    assert [float(p) for p in accounts.price_quote] == [state.prices[t] / USD for t in tokens]

    def at(x: float, market: PoolState) -> PoolState:
        prices = {t: round(state.prices[t] * (x if f else 1.0)) for t, f in zip(tokens, falls, strict=True)}
        return market.priced(prices)

    seized_base = []
    for i in range(ladder.account.size):
        if i == 0 or ladder.account[i] != ladder.account[i - 1]:
            market, before = state, 1.0
        user, x = accounts.users[ladder.account[i]], float(ladder.price_x[i])
        # To what the contract's average threshold, cut to basis points, lets one tell.
        health = at(x, market).account(user).health / WAD
        assert health < 1 + 1e-6, (user, x)
        assert x == before or health > 1 - 3e-4, (user, x)
        shift, failed = next(
            (shift, moved)
            for shift in (0.0, 1e-6, 2e-4, 1e-3, 5e-3)
            if (moved := at(x * (1 - shift), market)).account(user).health < WAD
        )
        seized_token, repaid_token = tokens[ladder.seized_token[i]], tokens[ladder.repaid_token[i]]
        reserve, debt = state.reserve(seized_token), state.reserve(repaid_token)
        repaid = ladder.repaid_usd[i] / (failed.prices[repaid_token] / USD)
        seized = ladder.seized_usd[i] / (
            state.prices[seized_token] / USD * (x if falls[ladder.seized_token[i]] else 1.0)
        )
        try:
            _, done = failed.liquidate(user, seized_token, repaid_token)
        except Refused:  # the whole would leave dust
            _, done = failed.liquidate(user, seized_token, repaid_token, round(repaid * 0.9999 * debt.unit))
        assert done.repaid / debt.unit == pytest.approx(repaid, rel=2e-4 + 2 * shift)
        assert (done.seized + done.fee) / reserve.unit == pytest.approx(seized, rel=2e-4 + 2 * shift)
        for token, field, gone in (
            (seized_token, "supplied", seized * reserve.unit),
            (repaid_token, "borrowed", repaid * debt.unit),
        ):
            held = market.holding(user, token)
            left = getattr(held, field) - round(gone)
            market = market.with_holding(
                user, token, replace(held, **{field: max(0, left) if left > gone * 1e-9 else 0})
            )
        before = x
        if falls[ladder.seized_token[i]]:
            seized_base.append(seized)
    return seized_base


@pytest.mark.trial("uint256_to_the_mart")
def test_amounts_are_exact_from_the_chain_to_the_mart(
    warehouse: Any, tmp_path: Path, trial_count: Callable[..., int]
) -> None:
    """JSON-RPC, raw Parquet, staging and mart, by the models' own SQL: the text to the last digit, the tokens to the eighth."""
    values = _amounts(trial_count(10_000, 400))
    pairs = list(zip(values[::2], values[1::2], strict=True))
    lake = _landed(pairs, tmp_path)
    rows = _mart(
        warehouse,
        lake,
        tmp_path,
        "select debt_repaid_raw, collateral_seized_raw, debt_repaid_base, collateral_seized_base"
        " from marts.fct_lending_liquidations order by block_height, log_offset",
    )
    assert [(int(a), int(b)) for a, b, _, _ in rows] == pairs
    for repaid, seized, repaid_base, seized_base in rows:
        assert (repaid_base, seized_base) == (_tokens(repaid, 6), _tokens(seized, 18))


@pytest.mark.trial("reorgs_to_the_mart")
def test_the_mart_after_a_fork_is_that_of_a_chain_without_one(
    warehouse: Any, tmp_path: Path, trial_count: Callable[..., int]
) -> None:
    for depth in (128, 7)[: trial_count(2, 1)]:
        chain = calls_chain(depth, block_time_s=600)
        chain.grow(depth + 40)
        forked, calm = (
            Lake(tmp_path / f"{name}_{depth}", clock=CLOCK, code_version="1.0") for name in ("forked", "calm")
        )
        source = _source(chain)
        before = _follow(source, History(), forked)
        chain.fork(depth, grow=depth + 3)
        _follow(source, before, forked)
        _follow(_source(chain.never_forked()), History(), calm)
        every = "select * from marts.fct_lending_liquidations order by call_id"
        found, wanted = (_mart(warehouse, lake, lake.root, every) for lake in (forked, calm))
        assert found, depth
        assert found == wanted, depth


def _mart(warehouse: Any, lake: Lake, folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what a query sees of the calls after the models' own SQL has run over a lake."""
    with _built(warehouse, lake, folder, "liquidations", "fct_lending_liquidations") as con:
        return con.execute(query).fetchall()


@contextmanager
def _built(warehouse: Any, lake: Lake, folder: Path, subject: str, mart: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Run one subject's own models over a lake."""
    with duckdb.connect(str(folder / "warehouse.duckdb")) as con:
        create_raw_views(con, lake)
        con.execute(f"attach if not exists '{warehouse.path}' as built (read_only)")
        for schema in ("staging", "intermediate", "seeds", "marts"):
            con.execute(f"create schema if not exists {schema}")
        for table in ("seeds.lending_tokens", "seeds.source_ranks", "marts.fct_prices_hourly"):
            con.execute(f"create table if not exists {table} as select * from built.{table}")
        for model in (
            f"staging/lake/stg_lake__lending_{subject}",
            f"intermediate/lending/int_lending_{subject}_ranked",
            f"marts/lending/{mart}",
        ):
            sql = (warehouse.target / "compiled" / "lowtide" / "models" / f"{model}.sql").read_text()
            schema, _, name = model.partition("/")
            con.execute(f"create table {schema}.{name.rpartition('/')[2]} as {sql}")
        yield con


def _source(chain: Chain) -> LendingSource:
    market = replace(DEPLOYMENTS["aave_v3_ethereum"], pool_address=POOL)
    source = LendingSource(market, [client(EvmNode(chain)), client(EvmNode(chain), "second")], is_synthetic=True)
    source.market.tokens = lambda _height: {WETH: Token("WETH", 18), USDC: Token("USDC", 6)}  # type: ignore[method-assign]  # no getters on this chain
    return source


def _land(lake: Lake, source: LendingSource, capture: Capture, dataset: str) -> None:
    """Land a snapshot."""
    days = sorted(capture.rows["observed_at_utc"].dt.date().unique())
    lake.commit(
        batches_of(
            capture,
            dataset=dataset,
            venue=source.venue,
            source="rpc",
            days=days,
            now=CLOCK.now(),
            is_synthetic=True,
        )
    )


def _follow(source: LendingSource, before: History, lake: Lake) -> History:
    """Read on to the head and land the days that this touches."""
    history = source.follow(before, start=1)
    days = touched_days(before, history)
    lake.commit(
        batches_of(
            source.liquidations(history, days),
            dataset="lending_liquidations",
            venue=source.venue,
            source="rpc",
            days=days,
            now=CLOCK.now(),
            is_synthetic=True,
        )
    )
    return history


def _amounts(count: int) -> list[int]:
    rng = np.random.Generator(np.random.PCG64(43))
    edges = [0, 1, 9, 2**53 + 1, 10**26 - 1, 10**26, 10**38, 2**127, 2**128, 10**77, 2**255, 2**256 - 1]
    return edges + [int.from_bytes(rng.bytes(32)) >> int(rng.integers(0, 256)) for _ in range(count - len(edges))]


def _landed(pairs: list[tuple[int, int]], folder: Path) -> Lake:
    """Return a lake with a call per pair, read over JSON-RPC."""
    chain = Chain(
        1, lambda height, _branch, state: ([[call_log(3, *p) for p in pairs[250 * (height - 1) : 250 * height]]], state)
    )
    chain.grow(-(-len(pairs) // 250))
    lake = Lake(folder / "lake", clock=CLOCK, code_version="1.0")
    _follow(_source(chain), History(), lake)
    return lake
