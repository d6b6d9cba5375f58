"""Kernel C, cross-margin accounts: against its compiled naive loop, along a path, against its C++ twin.

Belongs here: a seeded world of 100,000 accounts, scenarios that liquidate 0.2 %, 4 % and half of them, a path of 1,440 minutes.
Does not: other kernels, any assertion about time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from harness import Row, copy_limit, peak_row, race, require_equal, sizes, thread_row, twin, twin_row

from assets.cascade import kernel_accounts as kernel
from assets.cascade.accounts import (
    AccountLattice,
    Accounts,
    AccountsOutcome,
    AccountsPath,
    Book,
    Engine,
    Markets,
    _room,
    _rows,
    prepare_accounts,
    replay_accounts,
    replay_accounts_path,
)

HEADING = "C. Cross-margin accounts"
N_ASSETS = 24
N_ACCOUNTS = 100_000
N_STEPS = 1_440
N_SCENARIOS = 32
SIZE = "1e5 accounts"
# What a liquidation cannot do without: the account's positions once for the flows and once for the bad debt, 32 bytes each.
BYTES_PER_LIQUIDATED_POSITION = 64.0


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


def best_numpy(lattice: AccountLattice, shocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds over all positions at once, no bad debt: marks float64[n_scenarios, n_assets] and accounts liquidated."""
    collateral, first, positions, _ = lattice.ledger
    owner = np.repeat(np.arange(collateral.size), np.diff(first))
    asset, quantity, entry, requirement = positions[:, 0].astype(np.int64), *positions[:, 1:].T.copy()
    shocked, count = lattice.mark_ticks * (1.0 + shocks), np.zeros(len(shocks), dtype=np.int64)
    marks = shocked.copy()
    rows, price, depth = lattice.books
    for s in range(len(shocks)):
        alive, net = lattice.is_included.copy(), np.zeros(N_ASSETS)
        while True:
            mark = marks[s][asset]
            equity = collateral.copy()
            np.add.at(equity, owner, quantity * (mark - entry))  # in order of positions: bincount starts from 0
            fails = alive & (equity < np.bincount(owner, requirement * mark, minlength=equity.size))
            if not fails.any():
                break
            alive &= ~fails
            count[s] += np.count_nonzero(fails)
            net += np.bincount(asset, np.where(fails[owner], quantity, 0.0), minlength=N_ASSETS)
            for a in np.flatnonzero(net):
                begin, end = rows[2 * a + (net[a] < 0) :][:2]
                at = begin + np.searchsorted(depth[begin:end], abs(net[a]))
                marks[s, a] = shocked[s, a] * price[min(at, end - 1)]
                if at == end and net[a] > 0:
                    marks[s, a] = min(1.0, marks[s, a])
    return marks, count


def compare(one: AccountsOutcome | AccountsPath, other: AccountsOutcome | AccountsPath) -> None:
    """Refuse to time engines that disagree in a bit."""
    require_equal("C: engines", *([np.asarray(v) for v in vars(r).values() if v is not None] for r in (one, other)))


def rows() -> Iterator[Row]:
    """Measure and yield one row after the other."""
    markets, accounts = world()
    lattice = prepare_accounts(markets, accounts)
    for name, shocks, floor in (
        ("0.2 % liquidated", market_falls(0.005, N_SCENARIOS), 50.0),
        ("4 % liquidated", market_falls(0.011, N_SCENARIOS), 5.0),
        ("half liquidated", market_falls(0.5, N_SCENARIOS), 1.0),
        ("one asset falls, 0.2 % liquidated", single_fall(12, 0.03, N_SCENARIOS), None),
    ):
        yield _scenarios(lattice, name, shocks, floor)
    yield from _paths(markets, accounts, lattice)
    shocks = market_falls(0.011, 64)
    one, two = (partial(replay_accounts, lattice, shocks, threads=n) for n in (1, 2))
    compare(one(), two())
    yield thread_row(f"C: 64 scenarios, 4 % of {SIZE} liquidated, two threads vs one", one, two)
    yield peak_row(f"C: peak memory of the replay, 64 scenarios, {SIZE}", one, [*lattice.sorted_ledger, *lattice.index])
    yield peak_row(
        f"C: peak memory of the preparation, {SIZE}",
        partial(prepare_accounts, markets, accounts),
        list(vars(accounts).values()),
    )
    yield from _twins(lattice)


def _scenarios(lattice: AccountLattice, name: str, shocks: np.ndarray, floor: float | None) -> Row:
    found = replay_accounts(lattice, shocks)
    compare(found, replay_accounts(lattice, shocks, engine="naive"))
    few = shocks[::8]
    vectorised, few_found = best_numpy(lattice, few), replay_accounts(lattice, few)
    require_equal(f"C: numpy, {name}", vectorised, (few_found.mark_ticks, few_found.liquidated_count))
    naive, fast = race(
        lambda: replay_accounts(lattice, shocks, engine="naive"), lambda: replay_accounts(lattice, shocks), seconds=3.0
    )
    slow, few_fast = race(lambda: best_numpy(lattice, few), lambda: replay_accounts(lattice, few))
    touched = found.liquidated_count.mean() / N_ACCOUNTS
    note = f"{touched:.2%} liquidated, {found.rounds.mean():.1f} rounds, {fast / len(shocks) * 1e3:.2f} ms a scenario"
    n_positions = found.liquidated_count.sum() * lattice.ledger.positions.shape[0] / N_ACCOUNTS
    limit = f"closing alone {copy_limit(BYTES_PER_LIQUIDATED_POSITION * n_positions, fast)}"
    return Row(
        f"C: {name}, {SIZE}, vs compiled naive", naive / fast, floor, best_numpy=slow / few_fast, limit=limit, note=note
    )


def _paths(markets: Markets, accounts: Accounts, lattice: AccountLattice) -> Iterator[Row]:
    (prepared,) = race(lambda: prepare_accounts(markets, accounts))
    for volatility, floor in ((0.02, 25.0), (0.05, None)):
        path = minute_path(markets.mark_ticks, volatility)
        fast_run, naive_run = (partial(replay_accounts_path, lattice, path, engine=e) for e in ("masks", "naive"))
        found = fast_run()
        compare(found, naive_run())
        naive, fast = race(naive_run, fast_run)
        liquidated, turns = found.liquidated_count.sum(), N_STEPS + found.rounds.sum()
        note = f"{liquidated / N_ACCOUNTS:.2%} liquidated, {found.rounds.sum()} rounds, {fast * 1e3:.0f} ms"
        limit = f"{fast / turns * 1e6:.3g} us a look at the accounts, {turns} of them"
        name = f"C: path of {N_STEPS:,} minutes, {SIZE}, {volatility:.0%} a day, vs compiled naive"
        yield Row(name, naive / fast, floor, limit=limit, note=note)
        if floor is not None:
            note = f"preparation takes {prepared * 1e3:.0f} ms more"
            yield Row("C: the same path with validation and storing of accounts", naive / (fast + prepared), note=note)


# --- twins -------------------------------------------------------------------------------------------------------------------


def _twins(lattice: AccountLattice) -> Iterator[Row]:
    for name, size in (("0.2 %", 0.005), ("4 %", 0.011), ("half", 0.5)):
        shocked = lattice.mark_ticks * (1.0 + market_falls(size, N_SCENARIOS))
        yield _replay_twin(lattice, "masks", f"C: masked_rows, {name} liquidated", shocked, is_path=False)
    yield _replay_twin(lattice, "masks", "C: masked_rows, path", minute_path(lattice.mark_ticks, 0.02), is_path=True)
    shocked = lattice.mark_ticks * (1.0 + market_falls(0.011, 4))
    yield _replay_twin(lattice, "naive", "C: naive_rows, 4 % liquidated", shocked, is_path=False)
    yield from _preparation_twins(lattice)


def _replay_twin(lattice: AccountLattice, engine: Engine, name: str, shocked: np.ndarray, *, is_path: bool) -> Row:
    n, survival = len(shocked), np.ones(len(shocked))

    def arguments() -> tuple[Any, ...]:
        table = _rows(shocked.shape, np.zeros((1 if is_path else n, N_ACCOUNTS), dtype=np.int32))
        scratch, watch = _room(lattice, engine)
        span = (shocked, survival, 0, n, is_path, scratch)
        if engine == "naive":
            return (lattice.ledger, lattice.books, lattice.is_included, *span, table)
        return (lattice.sorted_ledger, lattice.books, lattice.index, *span, watch, table)

    run = kernel.naive_rows if engine == "naive" else kernel.masked_rows
    ours, theirs = arguments(), arguments()
    bound = twin("accounts").bind(run.__name__, *theirs, sizes(N_ACCOUNTS, N_ASSETS, len(theirs[-1].died)))
    return twin_row(name, partial(run, *ours), bound, ours[-1], theirs[-1])


def _preparation_twins(lattice: AccountLattice) -> Iterator[Row]:
    library, index, n = twin("accounts"), lattice.index, N_ACCOUNTS

    def surveyed() -> tuple[np.ndarray, ...]:
        masks, figures = np.zeros((2, n), dtype=np.uint64), np.zeros((2, n))
        return np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64), *masks, *figures

    ours, theirs = surveyed(), surveyed()
    inputs = (lattice.ledger, lattice.mark_ticks, index.thresholds)
    bound = library.bind("survey_accounts", *inputs, *theirs, sizes(n, N_ASSETS, 0))
    yield twin_row("C: survey_accounts", partial(kernel.survey_accounts, *inputs, *ours), bound, ours, theirs)

    order = lattice.sorted_ledger.place
    inputs = (ours[1][order], index.long_mask, index.short_mask)

    def laid_out() -> tuple[kernel.Ledger, kernel.Index]:
        whole, bits = (np.zeros((2, n + 1), dtype=t) for t in (np.int64, np.uint64))
        blocks = {"block_first": whole[0], "block_level": whole[1], "block_long": bits[0], "block_short": bits[1]}
        counts = np.zeros_like(index.blocks_to_level)
        ledger = kernel.Ledger(*(np.zeros_like(a) for a in lattice.sorted_ledger))
        return ledger, index._replace(**blocks, blocks_to_level=counts)

    (ledger, own), (other_ledger, other) = laid_out(), laid_out()
    lay_out = partial(kernel.lay_out, lattice.ledger, order, ledger, *inputs, own)
    bound = library.bind("lay_out", lattice.ledger, order, order.size, other_ledger, *inputs, other)
    counts = ([own.blocks_to_level], [other.blocks_to_level])
    yield twin_row("C: lay_out", lay_out, bound, (*ledger, *own), (*other_ledger, *other), adds_to=counts)
