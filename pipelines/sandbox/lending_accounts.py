"""Borrowers of the made-up lending market, each known to the last unit, and what happens to them as prices move.

Belongs here: who supplies, borrows, repays and is liquidated in which block. Does not: the market's rules
(``lending_pool.py``), prices (a function of the height; the world's own, or a walk).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipelines.sandbox.evm_chain import Chain, Log
from pipelines.sandbox.lending_pool import (
    USD,
    WAD,
    PoolState,
    Refused,
    Reserve,
    borrow_log,
    liquidation_log,
    repay_log,
    supply_log,
    withdraw_log,
)
from pipelines.sandbox.world import World

# Rules of real markets of 2025, rounded.
RESERVES = (
    Reserve("WETH", "0x" + "01" * 20, 18, 8_050, 8_300, 10_500, supply_cap=3_000_000, borrow_cap=1_400_000),
    Reserve("WBTC", "0x" + "02" * 20, 8, 7_300, 7_800, 10_500, fee_bps=1_000, supply_cap=43_000, borrow_cap=28_000),
    Reserve("USDC", "0x" + "03" * 20, 6, 7_500, 7_800, 10_450, supply_cap=0, borrow_cap=0),
    Reserve("GHO", "0x" + "04" * 20, 18, 0, 0, 0),
)
_WETH, _WBTC, _USDC, _GHO = (r.address for r in RESERVES)
# Prices by token in dollars, as of a height.
Prices = Callable[[int], Mapping[str, float]]


def liquidators() -> tuple[str, str]:
    """Return the accounts that liquidate."""
    return "0x" + "f1" * 20, "0x" + "f2" * 20


def account(number: int) -> str:
    """Return the address of a borrower, 1 = the first."""
    return f"0x{0xB0000 + number:040x}"


def walk(seed: int, fall_per_block: float = 0.002) -> Prices:
    """Return prices that fall on average, with noise, for tests that need no world."""

    def prices(height: int) -> Mapping[str, float]:
        rng = np.random.Generator(np.random.PCG64((seed, height)))
        drift = float(np.exp(-fall_per_block * height + 0.01 * rng.standard_normal()))
        return {_WETH: 3_000.0 * drift, _WBTC: 90_000.0 * drift**0.7, _USDC: 1.0, _GHO: 1.0}

    return prices


def world_prices(world: World, start: datetime, block_time_s: int) -> Prices:
    """Return the world's own prices, so that exchanges and lending see one market."""

    def prices(height: int) -> Mapping[str, float]:
        at = datetime.fromtimestamp(start.replace(tzinfo=UTC).timestamp() + (height - 1) * block_time_s, UTC).replace(
            tzinfo=None
        )
        return {_WETH: world.price("ETH", at), _WBTC: world.price("BTC", at), _USDC: 1.0, _GHO: 1.0}

    return prices


def lending_chain(
    seed: int, prices: Prices, *, accounts_count: int = 20, actions_per_block: float = 0.5, **options: Any
) -> Chain:
    """Return an empty chain of the lending market: the first blocks open the accounts, later ones act and liquidate.

    The market after each block is the block's `state`: every account is known.
    """

    def content(height: int, branch: int, before: PoolState | None) -> tuple[Sequence[Sequence[Log]], PoolState]:
        rng = np.random.Generator(np.random.PCG64((seed, height, branch)))
        quoted = {token: round(price * USD) for token, price in prices(height).items()}
        state = PoolState(RESERVES, quoted) if before is None else before.priced(quoted)
        transactions: list[list[Log]] = []
        if height - options.get("first_height", 1) < accounts_count:
            logs, state = _open(rng, state, account(height - options.get("first_height", 1) + 1))
            transactions.append(logs)
        for _ in range(int(rng.poisson(actions_per_block))):
            logs, state = _act(rng, state)
            transactions.append(logs)
        liquidated, state = _liquidate(rng, state)
        return [logs for logs in (*transactions, *liquidated) if logs], state

    return Chain(seed, content, **options)


def _open(rng: np.random.Generator, state: PoolState, user: str) -> tuple[list[Log], PoolState]:
    """Supply one or two collaterals and borrow near the limit."""
    logs = []
    tokens = [_WETH, _WBTC, _USDC][: int(rng.integers(1, 4))]
    for token in tokens:
        dollars = float(rng.lognormal(9.5, 1.6))
        amount = round(dollars * USD) * state.reserve(token).unit // state.prices[token]
        state = state.supply(user, token, amount)
        logs.append(supply_log(user, token, amount))
    for token in (_USDC, _GHO, _WETH)[: int(rng.integers(1, 4))]:
        share = float(rng.uniform(0.3, 0.999))
        amount = round(state.account(user).available * share) * state.reserve(token).unit // state.prices[token]
        if amount:
            state = state.borrow(user, token, amount)
            logs.append(borrow_log(user, token, amount))
    return logs, state


def _act(rng: np.random.Generator, state: PoolState) -> tuple[list[Log], PoolState]:
    """Let one account do one thing, as far as the market lets it."""
    users = sorted(state.accounts)
    if not users:
        return [], state
    user = users[int(rng.integers(len(users)))]
    token = sorted(state.accounts[user])[int(rng.integers(len(state.accounts[user])))]
    held, share = state.holding(user, token), float(rng.uniform(0.01, 0.3))
    supplied, owed = int(held.supplied * share), int(held.borrowed * share)
    if supplied:
        try:
            return [withdraw_log(user, token, supplied)], state.withdraw(user, token, supplied)
        except Refused:
            return [supply_log(user, token, supplied)], state.supply(user, token, supplied)
    if owed:
        return [repay_log(user, token, owed)], state.repay(user, token, owed)
    return [], state


def _liquidate(rng: np.random.Generator, state: PoolState) -> tuple[list[list[Log]], PoolState]:
    """Liquidate each account below a health of 1 once, its largest debt against its largest collateral."""
    transactions: list[list[Log]] = []
    for user in sorted(state.accounts):
        if state.account(user).health >= WAD:
            continue
        held = state.accounts[user]
        able = [t for t in held if held[t].supplied and held[t].is_collateral and state.reserve(t).threshold_bps]
        owed = [t for t in held if held[t].borrowed]
        if not able or not owed:
            continue
        seized = max(able, key=lambda t: state.value(t, state.holding(user, t).supplied))
        repaid = max(owed, key=lambda t: state.value(t, state.holding(user, t).borrowed))
        done = _call(state, user, seized, repaid)
        if done is not None:
            state, seizure = done
            liquidator = liquidators()[int(rng.integers(2))]
            transactions.append([liquidation_log(user, seized, repaid, seizure, liquidator)])
    return transactions, state


def _call(state: PoolState, user: str, seized: str, repaid: str) -> Any:
    """Return the largest call that the market accepts: whole, or cut so that no dust is left; None where there is none."""
    limit = state.max_repayable(user, seized, repaid)
    for share in (1.0, 0.8, 0.6, 0.4, 0.2):
        try:
            return state.liquidate(user, seized, repaid, int(limit * share))
        except Refused:
            continue
    return None
