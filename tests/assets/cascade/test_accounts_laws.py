"""Laws of the accounts' replay: conservation, termination, blindness to order and unit, one step is one scenario."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from accounts_cases import Case, differences, random_case, reordered
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.cascade.accounts import (
    AccountsOutcome,
    Book,
    Markets,
    prepare_accounts,
    replay_accounts,
    replay_accounts_path,
)

SEEDS = st.integers(0, 2**32 - 1)


def replay(case: Case, **options: object) -> AccountsOutcome:
    lattice = prepare_accounts(case.markets, case.accounts)
    return replay_accounts(lattice, case.shock_frac, depth_survival_frac=case.depth_survival_frac, **options)


def assert_conserved(case: Case, found: AccountsOutcome) -> None:
    sale, purchase, netted = found.forced_sale_lots, found.forced_purchase_lots, found.netted_lots
    assert np.array_equal(sale, netted + found.sold_lots + found.unabsorbed_sale_lots)
    assert np.array_equal(purchase, netted + found.bought_lots + found.unabsorbed_purchase_lots)
    assert min(netted.min(), found.sold_lots.min(), found.bought_lots.min()) >= 0
    assert np.all((found.unabsorbed_sale_lots == 0) | (found.unabsorbed_purchase_lots == 0))
    # What was forced is what the dead held.
    owner = np.repeat(np.arange(case.accounts.collateral_ticklots.size), np.diff(case.accounts.first_position))
    assert found.liquidation_round is not None
    for s, died in enumerate(found.liquidation_round):
        lots = np.where(died[owner] > 0, case.accounts.quantity_lots, 0)
        held = np.zeros((2, case.markets.mark_ticks.size), dtype=np.int64)
        np.add.at(held[0], case.accounts.asset_index, np.maximum(lots, 0))
        np.add.at(held[1], case.accounts.asset_index, np.maximum(-lots, 0))
        assert np.array_equal(held[0], sale[s])
        assert np.array_equal(held[1], purchase[s])


@pytest.mark.trial("accounts_laws")
def test_lots_are_conserved_and_every_round_kills(trial_count: Callable[..., int]) -> None:
    for seed in range(trial_count(10_000, 80) // 8):
        case = random_case(seed)
        found = replay(case, keep_rounds=True)
        assert_conserved(case, found)
        assert found.liquidation_round is not None
        for s, died in enumerate(found.liquidation_round):
            assert sorted(set(died[died > 0].tolist())) == list(range(1, found.rounds[s] + 1))
            assert (died > 0).sum() == found.liquidated_count[s]


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_order_of_accounts_changes_nothing(seed: int) -> None:
    case = random_case(seed)
    order = np.random.default_rng(seed).permutation(case.accounts.collateral_ticklots.size)
    shuffled = replace(case, accounts=reordered(case.accounts, order))
    one, other = replay(case, keep_rounds=True), replay(shuffled, keep_rounds=True)
    assert one.liquidation_round is not None
    moved = replace(one, liquidation_round=np.ascontiguousarray(one.liquidation_round[:, order]))
    assert differences(moved, other) == []


@given(SEEDS, st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_a_power_of_two_in_the_unit_of_prices_scales_money_only(seed: int, power: int) -> None:
    case = random_case(seed)
    # The floor of one tick has a unit: deep books keep out of it. (Downwards the smallest collaterals would underflow.)
    deep = [Book(b.relative_price, b.cumulative_lots + 10**14) for b in case.markets.bids]
    case = replace(case, markets=replace(case.markets, bids=deep), depth_survival_frac=np.ones(8))
    unit = 2.0**power
    markets, accounts = case.markets, case.accounts
    scaled = replace(
        case,
        markets=Markets(markets.mark_ticks * unit, markets.bids, markets.asks),
        accounts=replace(
            accounts,
            collateral_ticklots=accounts.collateral_ticklots * unit,
            entry_ticks=accounts.entry_ticks * unit,
        ),
    )
    found = replay(case, keep_rounds=True)
    money = {
        name: getattr(found, name) * unit
        for name in (
            "mark_ticks",
            "lowest_mark_ticks",
            "highest_mark_ticks",
            "forced_notional_ticklots",
            "bad_debt_ticklots",
        )
    }
    assert differences(replace(found, **money), replay(scaled, keep_rounds=True)) == []


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_a_path_of_one_step_is_a_scenario(seed: int) -> None:
    case = random_case(seed, n_scenarios=1)
    lattice = prepare_accounts(case.markets, case.accounts)
    scenario = replay_accounts(lattice, case.shock_frac, depth_survival_frac=0.5)
    path = replay_accounts_path(lattice, case.markets.mark_ticks * (1.0 + case.shock_frac), depth_survival_frac=0.5)
    for name in ("mark_ticks", "forced_sale_lots", "netted_lots", "is_exhausted", "rounds", "bad_debt_ticklots"):
        assert getattr(scenario, name).tobytes() == getattr(path, name).tobytes(), name
    assert np.array_equal(path.net_forced_lots, path.forced_sale_lots - path.forced_purchase_lots)


def test_bad_debt_is_rounded_once() -> None:
    # Debts of very different sizes: a running sum would lose the small ones, and depend on the order.
    rng = np.random.default_rng(5)
    case = random_case(7, n_accounts=400, n_scenarios=4)
    wide = case.accounts.collateral_ticklots * 10.0 ** rng.uniform(-12, 0, 400)
    lattice = prepare_accounts(case.markets, replace(case.accounts, collateral_ticklots=wide))
    found = replay_accounts(lattice, np.full((1, case.markets.mark_ticks.size), -0.4), keep_rounds=True)
    assert found.bad_debt_count[0] > 20
    assert found.liquidation_round is not None
    assert found.bad_debt_ticklots[0] == math.fsum(_debts(lattice, found))


def _debts(lattice, found: AccountsOutcome) -> list[float]:
    """Return the debts of accounts that die in round 1, when all deaths are in round 1."""
    assert found.rounds.tolist() == [1]
    debts = []
    ledger = lattice.ledger
    for i in np.flatnonzero(found.liquidation_round[0]):
        equity = ledger.collateral[i]
        for k in range(ledger.first_position[i], ledger.first_position[i + 1]):
            asset, quantity, entry, _ = ledger.positions[k]
            equity += quantity * (found.mark_ticks[0, int(asset)] - entry)
        debts += [-equity] if equity < 0 else []
    return debts
