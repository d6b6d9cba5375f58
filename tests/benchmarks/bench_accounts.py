"""How fast kernel C is, as ratios against its compiled naive loop, measured in one run on one machine.

Belongs here: a seeded world of 100,000 cross-margin accounts, scenarios that liquidate 0.2 %, 4 % and half of them, a path
of 1,440 minutes, and the ratios. Does not: correctness (``tests/assets/cascade``), though every timed pair is compared.

Run ``python tests/benchmarks/bench_accounts.py``; `rows` gives the same as data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields

import numpy as np

from assets.cascade.accounts import (
    Accounts,
    AccountsOutcome,
    AccountsPath,
    Book,
    Markets,
)

N_ASSETS = 24
N_ACCOUNTS = 100_000
N_STEPS = 1_440


def world(n_accounts: int = N_ACCOUNTS, seed: int = 1) -> tuple[Markets, Accounts]:
    """Return a market of 24 assets and its accounts.

    Popularity falls with rank; 1 to 6 positions each, two of three long; leverage from 1 to 40 of gross value, so that some are
    hedged; entries within some percent of the mark. Each book's first 10 % hold 2 % of the asset's open interest.
    """
    rng = np.random.default_rng(seed)
    marks = np.round(10.0 ** rng.uniform(4.0, 9.0, N_ASSETS))
    popularity = 1.0 / np.arange(1, N_ASSETS + 1)
    count = rng.choice([1, 2, 3, 4, 6], n_accounts, p=[0.4, 0.25, 0.15, 0.12, 0.08])
    first = np.concatenate([[0], np.cumsum(count)])
    owner = np.repeat(np.arange(n_accounts), count)
    asset = rng.choice(N_ASSETS, owner.size, p=popularity / popularity.sum())
    value = 10.0 ** rng.uniform(10.0, 14.0, n_accounts)[owner] * rng.uniform(0.2, 1.0, owner.size)
    lots = np.ceil(value / marks[asset]).astype(np.int64) * np.where(rng.random(owner.size) < 0.67, 1, -1)
    entry = marks[asset] * rng.normal(1.0, 0.04, owner.size).clip(0.8, 1.2)
    gross = np.bincount(owner, np.abs(lots) * marks[asset], minlength=n_accounts)
    profit = np.bincount(owner, lots * (marks[asset] - entry), minlength=n_accounts)
    leverage = np.exp(rng.uniform(np.log(1.0), np.log(40.0), n_accounts))
    rate = np.choose(asset % 3, [0.005, 0.01, 0.02])
    accounts = Accounts(gross / leverage - profit, first, asset, lots, entry, rate)
    open_interest = np.bincount(asset, np.abs(lots), minlength=N_ASSETS)
    distance = np.arange(1, 201) * 0.002
    depth = (distance / 0.1) ** (1.0 / 0.875)
    bids, asks = [], []
    for a in range(N_ASSETS):
        rows = np.ceil(depth * 0.3 * open_interest[a]).astype(np.int64)
        bids.append(Book(1.0 - distance, rows))
        asks.append(Book(1.0 + distance, rows))
    return Markets(marks, bids, asks), accounts


def market_falls(size: float, n_scenarios: int, seed: int = 2) -> np.ndarray:
    """Return float64[n_scenarios, n_assets]: falls of about `size` in every asset, betas from 0.7 to 1.3."""
    rng = np.random.default_rng(seed)
    return -size * rng.uniform(0.7, 1.3, (n_scenarios, N_ASSETS)) * rng.uniform(0.9, 1.1, (n_scenarios, 1))


def minute_path(marks: np.ndarray, volatility: float, seed: int = 3) -> np.ndarray:
    """Return float64[n_steps, n_assets]: correlated random walks from the marks, `volatility` per day."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0.0, 1.0, (N_STEPS, 1))
    own = rng.normal(0.0, 1.0, (N_STEPS, N_ASSETS))
    steps = (0.8 * common + 0.6 * own) * volatility / np.sqrt(N_STEPS)
    return marks * np.exp(np.cumsum(steps, axis=0))


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least time of some repeats: what the machine can do when nobody else is at it."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def require_equal(one: AccountsOutcome | AccountsPath, other: AccountsOutcome | AccountsPath) -> None:
    """Refuse to time engines that disagree."""
    for field in fields(one):
        if not np.array_equal(getattr(one, field.name), getattr(other, field.name)):
            raise AssertionError(f"the engines disagree in {field.name}")
