"""Worked examples of docs/cascade_accounts.md, by hand: who is liquidated, what it does to the books, who pays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assets.cascade.accounts import (
    AccountLattice,
    Accounts,
    Book,
    Markets,
    compile_account_kernels,
    prepare_accounts,
    replay_accounts,
    replay_accounts_path,
)

pytestmark = pytest.mark.fast
ENGINES = pytest.mark.parametrize("engine", ["masks", "naive"])

# Every row holds 10 lots more; prices are dyadic, so that the sums below are exact.
BIDS = Book(np.array([1.0, 0.875, 0.75, 0.5]), np.array([10, 20, 30, 40]))
ASKS = Book(np.array([1.0, 1.125, 1.25, 1.5]), np.array([10, 20, 30, 40]))
RATE = 1 / 64

Position = tuple[int, int, float]  # asset, signed lots, entry


def market(*accounts: tuple[float, list[Position]], marks: tuple[float, ...] = (1024.0, 1024.0)) -> AccountLattice:
    """Return accounts (collateral, positions) in markets that all have the books above."""
    positions = [p for _, held in accounts for p in held]
    first = np.cumsum([0, *(len(held) for _, held in accounts)])
    return prepare_accounts(
        Markets(np.array(marks), [BIDS] * len(marks), [ASKS] * len(marks)),
        Accounts(
            np.array([c for c, _ in accounts], dtype=np.float64),
            first,
            np.array([a for a, _, _ in positions], dtype=np.int64),
            np.array([q for _, q, _ in positions], dtype=np.int64),
            np.array([h for _, _, h in positions], dtype=np.float64),
            np.full(len(positions), RATE),
        ),
    )


@ENGINES
def test_at_equality_an_account_lives_and_one_float_below_it_dies(engine: str) -> None:
    # At 896 ticks: equity c - 10 x 128, maintenance 10/64 x 896 = 140.
    for collateral, dead in ((1420.0, 0), (math.nextafter(1420.0, 0.0), 1)):
        found = replay_accounts(market((collateral, [(0, 10, 1024.0)])), [[-0.125, 0.0]], engine=engine)
        assert found.liquidated_count.tolist() == [dead]
        assert found.rounds.tolist() == [dead]


@ENGINES
def test_a_fall_in_one_asset_sells_another(engine: str) -> None:
    both = (3000.0, [(0, 15, 1024.0), (1, 15, 1024.0)])  # loses 15 x 256 in asset 0
    only_second = (1500.0, [(1, 10, 1024.0)])  # its maintenance at 896 is 140, its loss 1,280
    found = replay_accounts(market(both, only_second), [[-0.25, 0.0]], engine=engine, keep_rounds=True)
    assert found.liquidation_round is not None
    # 15 lots of asset 1 go to its second row, 896: the second account has 220 left and lives.
    assert found.mark_ticks.tolist() == [[768.0 * 0.875, 896.0]]
    assert found.liquidation_round.tolist() == [[1, 0]]
    thinner = (1400.0, [(1, 10, 1024.0)])  # 120 left against 140: dies, and 25 lots need the third row
    found = replay_accounts(market(both, thinner), [[-0.25, 0.0]], engine=engine, keep_rounds=True)
    assert found.liquidation_round is not None
    assert found.liquidation_round.tolist() == [[1, 2]]
    assert found.mark_ticks.tolist() == [[672.0, 768.0]]
    assert found.forced_sale_lots.tolist() == [[15, 25]]
    # Each round is valued at the marks that triggered it.
    assert found.forced_notional_ticklots.tolist() == [[15 * 768.0, 15 * 1024.0 + 10 * 896.0]]


@ENGINES
def test_a_price_rebounds_where_a_later_purchase_nets_an_earlier_sale(engine: str) -> None:
    seller = (2500.0, [(0, 20, 1024.0), (1, 30, 1024.0)])  # dead at 896, sells both down to 784 and 768
    # There the hedged account gains 10 x 240 and loses 10 x 256, against a maintenance of 242.5: 402.5 is enough.
    hedged = lambda collateral: (collateral, [(0, -10, 1024.0), (1, 10, 1024.0)])  # noqa: E731 - a one-line name for one test
    found = replay_accounts(market(seller, hedged(402.5)), [[-0.125, 0.0]], engine=engine)
    assert found.rounds.tolist() == [1]
    assert found.mark_ticks.tolist() == [[784.0, 768.0]]
    found = replay_accounts(market(seller, hedged(402.0)), [[-0.125, 0.0]], engine=engine)
    # Its purchase takes half of the sale out of the book of asset 0 again; asset 1 gets 10 lots more.
    assert found.rounds.tolist() == [2]
    assert found.mark_ticks.tolist() == [[896.0, 512.0]]
    assert found.lowest_mark_ticks.tolist() == [[784.0, 512.0]]
    assert found.netted_lots.tolist() == [[0, 0]]
    assert found.sold_lots.tolist() == [[20, 40]]
    assert found.bought_lots.tolist() == [[10, 0]]


@ENGINES
def test_orders_of_one_round_net_before_they_reach_a_book(engine: str) -> None:
    long_both = (1000.0, [(0, 15, 1024.0), (1, 10, 1024.0)])
    short_first = (1000.0, [(0, -12, 1024.0), (1, 10, 1024.0)])
    found = replay_accounts(market(long_both, short_first), [[0.0, -0.25]], engine=engine)
    assert found.rounds.tolist() == [1]
    assert found.netted_lots.tolist() == [[12, 0]]
    assert found.sold_lots.tolist() == [[3, 20]]
    assert found.bought_lots.tolist() == [[0, 0]]
    assert found.mark_ticks.tolist() == [[1024.0, 768.0 * 0.875]]


@ENGINES
def test_an_exhausted_book_falls_to_one_tick_and_rises_to_its_last_row(engine: str) -> None:
    falling = replay_accounts(market((1000.0, [(0, 41, 1024.0)])), [[-0.125, 0.0]], engine=engine)
    assert falling.is_exhausted.tolist() == [[True, False]]
    assert falling.mark_ticks[0, 0] == 1.0
    assert (falling.sold_lots[0, 0], falling.unabsorbed_sale_lots[0, 0]) == (40, 1)
    # Closed at one tick: 1,000 - 41 x 1,023.
    assert falling.bad_debt_ticklots.tolist() == [41 * 1023.0 - 1000.0]
    assert falling.bad_debt_count.tolist() == [1]
    rising = replay_accounts(market((1000.0, [(0, -41, 1024.0)])), [[0.125, 0.0]], engine=engine)
    assert rising.mark_ticks[0, 0] == 1152.0 * 1.5
    assert (rising.bought_lots[0, 0], rising.unabsorbed_purchase_lots[0, 0]) == (40, 1)
    thin = replay_accounts(
        market((1000.0, [(0, 41, 1024.0)])), [[-0.125, 0.0]], depth_survival_frac=0.26, engine=engine
    )
    assert (thin.sold_lots[0, 0], thin.unabsorbed_sale_lots[0, 0]) == (10, 31)  # floor(0.26 x 40)


@ENGINES
def test_bad_debt_is_counted_at_the_marks_after_the_round(engine: str) -> None:
    # Dies at 896 with 120 left; its own 10 lots stay in the first row, so it closes at 896 and owes nothing.
    found = replay_accounts(market((1400.0, [(0, 10, 1024.0)])), [[-0.125, 0.0]], engine=engine)
    assert (found.liquidated_count[0], found.bad_debt_count[0], found.bad_debt_ticklots[0]) == (1, 0, 0.0)
    # Twice the size closes at 784: 2,800 - 20 x 240.
    found = replay_accounts(market((2800.0, [(0, 20, 1024.0)])), [[-0.125, 0.0]], engine=engine)
    assert (found.bad_debt_count[0], found.bad_debt_ticklots[0]) == (1, 2000.0)


@ENGINES
def test_accounts_that_fail_before_the_shock_are_counted_and_left_out(engine: str) -> None:
    stale, bankrupt_shell = (100.0, [(0, 10, 1024.0)]), (-1.0, [])
    lattice = market(stale, bankrupt_shell, (100.0, []))
    found = replay_accounts(lattice, [[-0.5, 0.0]], engine=engine)
    assert lattice.excluded_count == 2
    assert (found.excluded_count, found.liquidated_count[0]) == (2, 0)
    assert found.mark_ticks.tolist() == [[512.0, 1024.0]]


@ENGINES
def test_a_path_keeps_flows_and_deaths(engine: str) -> None:
    lattice = market((1400.0, [(0, 10, 1024.0)]), (1400.0, [(0, 8, 1024.0)]))
    path = [[1024.0, 1024.0], [896.0, 1024.0], [1024.0, 1024.0], [768.0, 512.0]]
    found = replay_accounts_path(lattice, path, engine=engine)
    assert found.liquidation_step.tolist() == [1, 3]
    assert found.net_forced_lots[:, 0].tolist() == [0, 10, 10, 18]
    assert found.forced_sale_lots[:, 0].tolist() == [0, 10, 0, 8]
    assert found.rounds.tolist() == [0, 1, 0, 1]
    # 10 lots stay in the first row; 18 need the second.
    assert found.mark_ticks[:, 0].tolist() == [1024.0, 896.0, 1024.0, 768.0 * 0.875]
    assert found.mark_ticks[:, 1].tolist() == [1024.0, 1024.0, 1024.0, 512.0]


@ENGINES
def test_nobody_and_nothing_are_replayed_too(engine: str) -> None:
    lattice = market()
    found = replay_accounts(lattice, [[-0.5, 0.5]], engine=engine)
    assert found.mark_ticks.tolist() == [[512.0, 1536.0]]
    assert replay_accounts(lattice, np.empty((0, 2)), engine=engine).rounds.shape == (0,)
    assert replay_accounts_path(lattice, np.empty((0, 2)), engine=engine).rounds.shape == (0,)


def test_the_kernels_compile_and_have_no_hazardous_options() -> None:
    from assets.cascade import kernel_accounts

    compile_account_kernels()
    for function in kernel_accounts.KERNELS:
        options = getattr(function, "targetoptions", {"nogil": True})
        assert options["nogil"]
        assert not options.get("fastmath")
        assert not options.get("parallel")
