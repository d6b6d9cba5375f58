"""The oracle of accounts with several positions: docs/cascade_accounts.md, sections 2 to 6, in plain Python numbers.

Belongs here: the rules of that page, one function per section, written as literally as Python allows. Does not: anything of
``assets.cascade`` (this author read the page and not the code; the two are compared in
``tests/assets/cascade/test_accounts_oracle.py``), random worlds (``accounts_worlds.py``), speed.

Python's int is exact and every operation on its floats is one float64 operation rounded to nearest even, so that an
expression here, bracketed as on the page, is the page's ``fl(...)``. Lots that meet a float are below 2^53.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """One row of a book side: relative price and cumulative lots."""

    relative_price: float
    cumulative_lots: int


class Position(NamedTuple):
    """One position of an account; long above 0 lots, short below."""

    asset: int
    quantity_lots: int
    entry_ticks: float
    maintenance_rate_frac: float


class Account(NamedTuple):
    """One pool of collateral and its positions in storage order."""

    collateral_ticklots: float
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class World:
    """Section 1: the assets, each with its mark and both sides of its book, and the accounts."""

    mark_ticks: list[float]
    bids: list[list[Row]]
    asks: list[list[Row]]
    accounts: list[Account]


class State(NamedTuple):
    """The marks of all assets, and which of their books are exhausted."""

    marks: list[float]
    exhausted: list[bool]


@dataclass
class Rounds:
    """What the rounds at one set of prices did; lists are per asset unless said otherwise."""

    states: list[State]  # the first one, then one after each round
    deaths: list[list[int]]  # the accounts that died, per round
    bad_debts: list[float]  # one per account closed below zero
    forced_sale_lots: list[int]
    forced_purchase_lots: list[int]
    netted_lots: list[int]
    notional: list[float]


@dataclass(frozen=True)
class Outcome:
    """Section 5: one scenario's figures under the names of the page; lists are per asset, `liquidation_round` per account."""

    mark_ticks: list[float]
    lowest_mark_ticks: list[float]
    highest_mark_ticks: list[float]
    forced_sale_lots: list[int]
    forced_purchase_lots: list[int]
    netted_lots: list[int]
    sold_lots: list[int]
    bought_lots: list[int]
    unabsorbed_sale_lots: list[int]
    unabsorbed_purchase_lots: list[int]
    is_exhausted: list[bool]
    forced_notional_ticklots: list[float]
    liquidated_count: int
    rounds: int
    bad_debt_count: int
    bad_debt_ticklots: float
    excluded_count: int
    liquidation_round: list[int]


@dataclass(frozen=True)
class PathStep:
    """Section 6: one step's figures; lists are per asset."""

    mark_ticks: list[float]
    forced_sale_lots: list[int]
    forced_purchase_lots: list[int]
    netted_lots: list[int]
    net_forced_lots: list[int]
    is_exhausted: list[bool]
    forced_notional_ticklots: list[float]
    liquidated_count: int
    rounds: int
    bad_debt_count: int
    bad_debt_ticklots: float


# Section 2 -----------------------------------------------------------------------------------------------------------


def equity(account: Account, marks: Sequence[float]) -> float:
    """Return the account's equity in ticks x lots, positions left to right."""
    total = account.collateral_ticklots
    for asset, lots, entry, _ in account.positions:
        total = total + lots * (marks[asset] - entry)
    return total


def maintenance(account: Account, marks: Sequence[float]) -> float:
    """Return the account's maintenance margin in ticks x lots, positions left to right."""
    total = 0.0
    for asset, lots, _, rate in account.positions:
        total = total + (abs(lots) * rate) * marks[asset]
    return total


def fails(account: Account, marks: Sequence[float]) -> bool:
    """Say whether the account is below its maintenance margin; at equality it lives."""
    return equity(account, marks) < maintenance(account, marks)


def excluded_accounts(world: World) -> set[int]:
    """Return the accounts that fail before any shock."""
    return {i for i, account in enumerate(world.accounts) if fails(account, world.mark_ticks)}


# Section 3 -----------------------------------------------------------------------------------------------------------


def shocked_prices(world: World, shock_frac: Sequence[float]) -> list[float]:
    """Return each asset's price after its shock."""
    return [p0 * (1.0 + s) for p0, s in zip(world.mark_ticks, shock_frac, strict=True)]


def mark_of(bids: list[Row], asks: list[Row], price: float, flow: int, w: float) -> tuple[float, bool]:
    """Return the mark where `flow` net lots stand in the book that hangs from `price`, and whether the book is exhausted."""
    if flow == 0:
        return price, False
    book = bids if flow > 0 else asks
    for relative_price, cumulative_lots in book:
        if abs(flow) <= w * cumulative_lots:
            return price * relative_price, False
    last = price * book[-1].relative_price
    return (min(1.0, last) if flow > 0 else last), True


def state_of(world: World, prices: Sequence[float], flow: Sequence[int], w: float) -> State:
    """Return marks and exhaustion of every asset."""
    found = [
        mark_of(bids, asks, price, lots, w)
        for bids, asks, price, lots in zip(world.bids, world.asks, prices, flow, strict=True)
    ]
    return State([mark for mark, _ in found], [is_exhausted for _, is_exhausted in found])


# Section 4 -----------------------------------------------------------------------------------------------------------


def run_rounds(world: World, prices: Sequence[float], flow: list[int], alive: set[int], w: float) -> Rounds:
    """Close failing accounts round by round until none fails; `flow` and `alive` are changed in place."""
    assets = range(len(world.mark_ticks))
    done = Rounds(
        states=[state_of(world, prices, flow, w)],
        deaths=[],
        bad_debts=[],
        forced_sale_lots=[0 for _ in assets],
        forced_purchase_lots=[0 for _ in assets],
        netted_lots=[0 for _ in assets],
        notional=[0.0 for _ in assets],
    )
    while True:
        marks = done.states[-1].marks
        failing = [i for i in sorted(alive) if fails(world.accounts[i], marks)]
        if not failing:
            return done
        sales, purchases = [0 for _ in assets], [0 for _ in assets]
        for i in failing:
            for position in world.accounts[i].positions:
                if position.quantity_lots > 0:
                    sales[position.asset] += position.quantity_lots
                else:
                    purchases[position.asset] -= position.quantity_lots
        for a in assets:
            done.forced_sale_lots[a] += sales[a]
            done.forced_purchase_lots[a] += purchases[a]
            done.netted_lots[a] += min(sales[a], purchases[a])
            done.notional[a] = done.notional[a] + (sales[a] + purchases[a]) * marks[a]
            flow[a] = flow[a] + sales[a] - purchases[a]
        done.states.append(state_of(world, prices, flow, w))
        for i in failing:
            left = equity(world.accounts[i], done.states[-1].marks)
            if left < 0:
                done.bad_debts.append(-left)
        done.deaths.append(failing)
        alive.difference_update(failing)


# Section 5 -----------------------------------------------------------------------------------------------------------


def oracle_scenario(world: World, shock_frac: Sequence[float], w: float) -> tuple[Outcome, Rounds]:
    """Return what one scenario gives, and the rounds behind it."""
    assets = range(len(world.mark_ticks))
    excluded = excluded_accounts(world)
    alive = set(range(len(world.accounts))) - excluded
    flow = [0 for _ in assets]
    done = run_rounds(world, shocked_prices(world, shock_frac), flow, alive, w)

    unabsorbed_sale, unabsorbed_purchase = [0 for _ in assets], [0 for _ in assets]
    for a in assets:
        if done.states[-1].exhausted[a]:
            book, unabsorbed = (world.bids[a], unabsorbed_sale) if flow[a] > 0 else (world.asks[a], unabsorbed_purchase)
            unabsorbed[a] = abs(flow[a]) - math.floor(w * book[-1].cumulative_lots)
    liquidation_round = [0 for _ in world.accounts]
    for number, dead in enumerate(done.deaths, start=1):
        for i in dead:
            liquidation_round[i] = number
    outcome = Outcome(
        mark_ticks=done.states[-1].marks,
        lowest_mark_ticks=[min(state.marks[a] for state in done.states) for a in assets],
        highest_mark_ticks=[max(state.marks[a] for state in done.states) for a in assets],
        forced_sale_lots=done.forced_sale_lots,
        forced_purchase_lots=done.forced_purchase_lots,
        netted_lots=done.netted_lots,
        sold_lots=[done.forced_sale_lots[a] - done.netted_lots[a] - unabsorbed_sale[a] for a in assets],
        bought_lots=[done.forced_purchase_lots[a] - done.netted_lots[a] - unabsorbed_purchase[a] for a in assets],
        unabsorbed_sale_lots=unabsorbed_sale,
        unabsorbed_purchase_lots=unabsorbed_purchase,
        is_exhausted=[any(state.exhausted[a] for state in done.states) for a in assets],
        forced_notional_ticklots=done.notional,
        liquidated_count=sum(len(dead) for dead in done.deaths),
        rounds=len(done.deaths),
        bad_debt_count=len(done.bad_debts),
        bad_debt_ticklots=math.fsum(done.bad_debts),
        excluded_count=len(excluded),
        liquidation_round=liquidation_round,
    )
    return outcome, done


# Section 6 -----------------------------------------------------------------------------------------------------------


def oracle_path(
    world: World, path_ticks: Sequence[Sequence[float]], w: float
) -> tuple[list[PathStep], list[int], int, list[Rounds]]:
    """Return the steps, the step in which each account died (-1: none), the number excluded, and the rounds of each step."""
    assets = range(len(world.mark_ticks))
    excluded = excluded_accounts(world)
    alive = set(range(len(world.accounts))) - excluded
    flow = [0 for _ in assets]
    liquidation_step = [-1 for _ in world.accounts]
    steps, all_rounds = [], []
    for t, prices in enumerate(path_ticks):
        done = run_rounds(world, prices, flow, alive, w)
        all_rounds.append(done)
        for dead in done.deaths:
            for i in dead:
                liquidation_step[i] = t
        steps.append(
            PathStep(
                mark_ticks=done.states[-1].marks,
                forced_sale_lots=done.forced_sale_lots,
                forced_purchase_lots=done.forced_purchase_lots,
                netted_lots=done.netted_lots,
                net_forced_lots=list(flow),
                is_exhausted=[any(state.exhausted[a] for state in done.states) for a in assets],
                forced_notional_ticklots=done.notional,
                liquidated_count=sum(len(dead) for dead in done.deaths),
                rounds=len(done.deaths),
                bad_debt_count=len(done.bad_debts),
                bad_debt_ticklots=math.fsum(done.bad_debts),
            )
        )
    return steps, liquidation_step, len(excluded), all_rounds
