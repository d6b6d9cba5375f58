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
    AccountLattice,
    Accounts,
    AccountsOutcome,
    AccountsPath,
    Book,
    Markets,
    prepare_accounts,
    replay_accounts,
    replay_accounts_path,
)

N_ASSETS = 24
N_ACCOUNTS = 100_000
N_STEPS = 1_440


def world(n_accounts: int = N_ACCOUNTS, seed: int = 1) -> tuple[Markets, Accounts]:
    """Return a market of 24 assets and its accounts.

    Popularity falls with rank; 1 to 6 positions each, two of three long; leverage from 1 to 40 of gross value, so that some are
    hedged; entries within some percent of the mark. Each book's first 10 % hold 30 % of the asset's open interest: enough for
    cascades of many rounds that end.
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


def single_fall(asset: int, size: float, n_scenarios: int) -> np.ndarray:
    """Return float64[n_scenarios, n_assets]: one asset falls by about `size`, the others only by contagion."""
    shocks = np.zeros((n_scenarios, N_ASSETS))
    shocks[:, asset] = -size * np.linspace(0.9, 1.1, n_scenarios)
    return shocks


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least processor time of some repeats: unlike the wall clock it does not count other people's work."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def wall_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least wall time of some repeats."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def require_equal(one: AccountsOutcome | AccountsPath, other: AccountsOutcome | AccountsPath) -> None:
    """Refuse to time engines that disagree."""
    for field in fields(one):
        if not np.array_equal(getattr(one, field.name), getattr(other, field.name)):
            raise AssertionError(f"the engines disagree in {field.name}")


def measure_scenarios(lattice: AccountLattice, shocks: np.ndarray) -> tuple[float, str]:
    """Return naive time over product time, and what the scenarios do on average."""
    found = replay_accounts(lattice, shocks)
    require_equal(found, replay_accounts(lattice, shocks, engine="naive"))
    naive = cpu_seconds(lambda: replay_accounts(lattice, shocks, engine="naive"), 2)
    fast = cpu_seconds(lambda: replay_accounts(lattice, shocks), 5)
    touched = found.liquidated_count.mean() / N_ACCOUNTS
    note = f"{touched:.2%} liquidated, {found.rounds.mean():.1f} rounds, {fast / len(shocks) * 1e3:.2f} ms a scenario"
    return naive / fast, note


def rows() -> list[dict[str, object]]:
    """Measure everything and return one row (name, measured, floor, unit) per ratio."""
    return [row for row, _ in measure()]


def measure() -> list[tuple[dict[str, object], str]]:
    """Return the rows, each with a note on what was timed."""
    markets, accounts = world()
    lattice = prepare_accounts(markets, accounts)
    found: list[tuple[dict[str, object], str]] = []

    def add(name: str, measured: float, floor: float | None, note: str) -> None:
        row = {"name": f"cascade C: {name}", "measured": round(measured, 1), "floor": floor, "unit": "x"}
        found.append((row, note))

    for name, shocks, floor in (
        ("0.2 % of 1e5 accounts liquidated vs compiled naive", market_falls(0.005, 32), 50.0),
        ("4 % of 1e5 accounts liquidated vs compiled naive", market_falls(0.011, 32), 5.0),
        ("half of 1e5 accounts liquidated vs compiled naive", market_falls(0.5, 32), 1.0),
        ("one asset falls, 0.2 % liquidated vs compiled naive", single_fall(12, 0.03, 32), None),
    ):
        ratio, note = measure_scenarios(lattice, shocks)
        add(name, ratio, floor, note)
    _add_paths(add, markets, accounts, lattice)
    shocks = market_falls(0.011, 64)
    one, two = (wall_seconds(lambda n=n: replay_accounts(lattice, shocks, threads=n), 3) for n in (1, 2))
    add("two threads vs one, same bytes", one / two, None, "wall clock, 64 scenarios")
    return found


def _add_paths(add: Callable[..., None], markets: Markets, accounts: Accounts, lattice: AccountLattice) -> None:
    prepared = cpu_seconds(lambda: prepare_accounts(markets, accounts), 3)
    for volatility, floor in ((0.02, 25.0), (0.05, None)):
        path = minute_path(markets.mark_ticks, volatility)
        step = replay_accounts_path(lattice, path)
        require_equal(step, replay_accounts_path(lattice, path, engine="naive"))
        naive = cpu_seconds(lambda p=path: replay_accounts_path(lattice, p, engine="naive"), 1)
        fast = cpu_seconds(lambda p=path: replay_accounts_path(lattice, p), 3)
        note = f"{step.liquidated_count.sum() / N_ACCOUNTS:.2%} liquidated, {step.rounds.sum()} rounds, {fast * 1e3:.0f} ms"
        add(
            f"path of 1,440 minutes, 1e5 accounts, {volatility:.0%} a day, vs compiled naive", naive / fast, floor, note
        )
        if floor is not None:
            both = f"preparation takes {prepared * 1e3:.0f} ms more"
            add("the same path with validation and storing of accounts", naive / (fast + prepared), None, both)


def main() -> None:
    """Print the rows."""
    for row, note in measure():
        floor = "" if row["floor"] is None else f"   (floor {row['floor']:g}x)"
        print(f"{row['name']}: {row['measured']:g}x{floor}   {note}")


if __name__ == "__main__":
    main()
