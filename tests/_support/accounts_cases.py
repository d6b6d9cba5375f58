"""Awkward worlds for the accounts' replay: a seeded generator, and outcomes as plain data to compare.

Belongs here: markets and accounts with ties, zero lots, hedges, equality of equity and maintenance at a mark the replay may
take, books that run dry, prices that rebound. Does not: any rule of the replay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from assets.cascade.accounts import Accounts, AccountsOutcome, AccountsPath, Book, Markets


@dataclass(frozen=True)
class Case:
    """A market with its accounts, scenarios over it and a path through it."""

    markets: Markets
    accounts: Accounts
    shock_frac: np.ndarray
    depth_survival_frac: np.ndarray
    path_ticks: np.ndarray


def random_case(seed: int, *, n_accounts: int | None = None, n_scenarios: int = 8, n_steps: int = 12) -> Case:
    """Return a world of 1 to 70 assets and 0 to 40 accounts (or as many as asked for)."""
    rng = np.random.default_rng(seed)
    n_assets = int(rng.choice([1, 2, 3, 5, 70], p=[0.15, 0.5, 0.2, 0.13, 0.02]))
    marks = _marks(rng, n_assets)
    shock = rng.choice([0.0, -0.01, -0.03, -0.1, -0.25, -0.5, 0.02, 0.1, 0.5, 3.0], (n_scenarios, n_assets))
    shock *= rng.choice([1.0, 1.0, 0.3, 0.01], (n_scenarios, 1))
    path = marks * np.exp(np.cumsum(rng.normal(0.0, rng.choice([1e-4, 0.005, 0.05]), (n_steps, n_assets)), axis=0))
    n = int(rng.integers(0, 41)) if n_accounts is None else n_accounts
    scale = int(rng.choice([1, 10, 1000, 10**9]))
    # Thin books exhaust, thick ones stop a cascade; between them one account's lots are worth a row, and levels form a chain.
    depth = float(rng.choice([0.3, 1.5, 1.5, 3.0, 10.0])) * scale * max(1, n) / n_assets
    is_chain = rng.random() < 0.25
    n = max(n, 30) if is_chain else n
    if is_chain:  # accounts of one row's lots, each due at a row: one kills the next
        depth = 24.0 * scale * rng.choice([1.0, 1.3]) * max(1.0, n / (40.0 * n_assets))
        shock[0] = -0.03
        shock = np.where(rng.random(shock.shape) < 0.3, shock, shock[0] * rng.choice([0.99, 1.0, 1.01], shock.shape))
    bids = [_book(rng, depth, -1.0, is_chain) for _ in range(n_assets)]
    asks = [_book(rng, depth, 1.0, is_chain) for _ in range(n_assets)]
    markets = Markets(marks, bids, asks)
    likely = marks * (1.0 + shock[0])
    accounts = _accounts(rng, markets, likely, n, scale, is_chain)
    return Case(markets, accounts, shock, rng.choice([1.0, 1.0, 0.5, 0.294, 0.01], n_scenarios), path)


def tight_case(seed: int, *, n_accounts: int = 3_000, n_steps: int = 150) -> Case:
    """Return a crowd within 3 % of liquidation, several positions each, and small moves: certificates to the basis point."""
    rng = np.random.default_rng(seed)
    n_assets = 5
    marks = _marks(rng, n_assets)
    held = rng.integers(1, 5, n_accounts)
    owner = np.repeat(np.arange(n_accounts), held)
    asset = rng.integers(0, n_assets, owner.size)
    lots = rng.integers(1, 1_000, owner.size) * rng.choice([-1, 1], n_accounts)[owner]
    lots = lots * np.where(rng.random(owner.size) < 0.2, -1, 1)
    rate = rng.choice([0.005, 0.01, 0.02], owner.size)
    value = np.abs(lots) * marks[asset]
    free = value * (rate + rng.uniform(0.0, 0.03, n_accounts)[owner])
    accounts = Accounts(
        np.bincount(owner, free, minlength=n_accounts),
        np.concatenate([[0], np.cumsum(held)]),
        asset,
        lots,
        marks[asset],
        rate,
    )
    depth = np.arange(1, 101) * int(30 * np.abs(lots).sum() / n_assets / 100)
    away = np.arange(1, 101) * 0.002
    markets = Markets(marks, [Book(1.0 - away, depth)] * n_assets, [Book(1.0 + away, depth)] * n_assets)
    shock = rng.normal(0.0, 0.01, (8, n_assets))
    step = rng.choice([2e-4, 1e-3])
    path = marks * np.exp(np.cumsum(rng.normal(0.0, step, (n_steps, n_assets)), axis=0))
    return Case(markets, accounts, shock, np.ones(8), path)


def _marks(rng: np.random.Generator, n_assets: int) -> np.ndarray:
    kind = rng.integers(3)
    if kind == 0:
        return 2.0 ** rng.integers(4, 40, n_assets)
    if kind == 1:
        return rng.integers(3, 10**7, n_assets).astype(float)
    return 10.0 ** rng.uniform(0.5, 13.0, n_assets)


def _book(rng: np.random.Generator, depth: float, direction: float, is_chain: bool) -> Book:
    n_rows = 24 if is_chain else int(rng.choice([1, 2, 3, 8, 20]))
    step = rng.choice([1 / 64, 1 / 1024, 0.003, 0.01])
    if is_chain:
        lots = np.full(n_rows, int(depth / n_rows))
        return Book(np.maximum(1.0 + direction * np.arange(n_rows) * step, 0.01), np.cumsum(lots))
    away = np.cumsum(rng.choice([0.0, 1.0, 1.0, 2.0, 0.5], n_rows)) * step
    price = np.maximum(1.0 + direction * away, 0.01)
    lots = np.floor(depth / n_rows * rng.choice([0.0, 0.5, 1.0, 1.0, 2.0], n_rows)).astype(np.int64)
    lots[-1] = max(1, lots[-1])
    return Book(price, np.cumsum(lots))


def _accounts(
    rng: np.random.Generator, markets: Markets, likely: np.ndarray, n: int, scale: int, is_chain: bool
) -> Accounts:
    n_assets = markets.mark_ticks.size
    first, collateral = [0], []
    asset: list[int] = []
    lots: list[int] = []
    entry: list[float] = []
    rate: list[float] = []
    for _ in range(n):
        held = int(rng.choice([0, 1, 1, 1, 2, 2, 3, 4])) if not is_chain else 1
        here = rng.integers(0, 1 + int(rng.random() < 0.2 and n_assets > 1) if is_chain else n_assets, held)
        mine = rng.choice([0, 1, scale, scale, 3 * scale], held) * rng.choice([-1, 1, 1], held)
        mine = mine + rng.integers(0, max(1, scale // 3) + 1, held) * np.sign(mine)
        mine = rng.choice([1, 1, 2], held) * scale if is_chain else mine
        bought = markets.mark_ticks[here] * rng.choice([0.0, 0.9, 1.0, 1.0, 1.04], held)
        demand = rng.choice([0.0, 0.005, 1 / 64, 0.01, 0.5, 0.95, 1.0], held, p=[0.1, 0.3, 0.2, 0.2, 0.1, 0.05, 0.05])
        collateral.append(_collateral(rng, markets, likely, here, mine, bought, demand, is_chain))
        asset += here.tolist()
        lots += mine.tolist()
        entry += bought.tolist()
        rate += demand.tolist()
        first.append(len(asset))
    whole = lambda values: np.array(values, dtype=np.int64)  # noqa: E731 - a one-line name for one test
    return Accounts(np.array(collateral), whole(first), whole(asset), whole(lots), np.array(entry), np.array(rate))


def _collateral(
    rng: np.random.Generator,
    markets: Markets,
    likely: np.ndarray,
    asset: np.ndarray,
    lots: np.ndarray,
    entry: np.ndarray,
    rate: np.ndarray,
    is_chain: bool,
) -> float:
    """Return collateral that is just enough at marks the replay may take, give or take a float, or some leverage."""
    at = likely.copy()
    for a in set(asset.tolist()):
        book = markets.bids[a] if is_chain or rng.random() < 0.7 else markets.asks[a]
        at[a] *= rng.choice([1.0, *book.relative_price])
    needed = float((np.abs(lots) * rate * at[asset] - lots * (at[asset] - entry)).sum())
    if rng.random() < (0.9 if is_chain else 0.5):
        return math.nextafter(needed, rng.choice([-math.inf, needed, math.inf]))
    gross = float((np.abs(lots) * markets.mark_ticks[asset]).sum())
    profit = float((lots * (markets.mark_ticks[asset] - entry)).sum())
    return gross / math.exp(rng.uniform(-0.5, 4.5)) - profit


def differences(one: AccountsOutcome | AccountsPath, other: AccountsOutcome | AccountsPath) -> list[str]:
    """Return the names of the fields that are not the same to the last bit."""
    return [f.name for f in fields(one) if _bytes(getattr(one, f.name)) != _bytes(getattr(other, f.name))]


def _bytes(value: object) -> object:
    return value.tobytes() if isinstance(value, np.ndarray) else value


def reordered(accounts: Accounts, order: np.ndarray) -> Accounts:
    """Return the accounts in another order, each with its positions as they were."""
    pieces = [np.arange(accounts.first_position[i], accounts.first_position[i + 1]) for i in order]
    places = np.concatenate([*pieces, np.empty(0, dtype=np.int64)]).astype(np.int64)
    return replace(
        accounts,
        collateral_ticklots=accounts.collateral_ticklots[order],
        first_position=np.concatenate([[0], np.cumsum([p.size for p in pieces])]).astype(np.int64),
        asset_index=accounts.asset_index[places],
        quantity_lots=accounts.quantity_lots[places],
        entry_ticks=accounts.entry_ticks[places],
        maintenance_rate_frac=accounts.maintenance_rate_frac[places],
    )
