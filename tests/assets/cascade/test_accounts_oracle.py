"""Accounts with several positions against a second author: examples worked by hand, then random worlds, every bit equal.

Belongs here: the oracle (``accounts_oracle.py``) held to figures worked out by hand from docs/cascade_accounts.md, and the
product's mask engine held to the oracle, every field of every cell. Does not: the product's two engines against each
other, laws, validation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from random import Random
from typing import Any

import numpy as np
import pytest
from accounts_oracle import (
    Account,
    Outcome,
    PathStep,
    Position,
    Rounds,
    Row,
    World,
    oracle_path,
    oracle_scenario,
    shocked_prices,
)
from accounts_worlds import Case, features, random_case, shrink

from assets.cascade.accounts import replay_accounts, replay_accounts_path
from assets.cascade.accounts_lattice import AccountLattice, Accounts, Markets, prepare_accounts
from assets.cascade.lattice import Book

# Each family's cells must meet each of these once in a thousand, and at least so often, or the generator has become easy.
FEW = 3
EVERYWHERE = (
    "liquidation",
    "chain of 3 rounds",
    "chain of 6 rounds",
    "rebound by forced orders",
    "death on a rebound",
    "path rebound kills",
    "exhausted",
    "exhausted and recovered",
    "asks exhausted",
    "netted",
    "bad debt",
    "excluded account",
    "negative collateral liquidated",
    "hedged account liquidated",
    "two positions of one asset liquidated",
    "zero lots liquidated",
    "shorts bought back",
    "other asset forced",
    "shock on a book row",
    "survivor at equality",
    "survival of 1 %",
)
PER_FAMILY = {
    "rough": ("rounding decides",),
    "extreme": ("rounding decides",),
    "wide": ("rounding decides", "asset beyond the 64th liquidated"),
    "crowd": ("rounding decides", "more than 64 accounts", "more than 64 scenarios"),
}
# Of 100,000 cells; those with more than 64 assets cost several times as much as the others.
FULL_CELLS = {"even": 25_000, "rough": 25_000, "extreme": 20_000, "wide": 10_000, "crowd": 20_000}


# The product, in the oracle's words -------------------------------------------------------------------------------------


def prepared(world: World) -> AccountLattice:
    """Hand the world to the product."""
    positions = [p for account in world.accounts for p in account.positions]
    return prepare_accounts(
        Markets(
            np.array(world.mark_ticks, dtype=np.float64),
            [book_of(rows) for rows in world.bids],
            [book_of(rows) for rows in world.asks],
        ),
        Accounts(
            collateral_ticklots=np.array([a.collateral_ticklots for a in world.accounts], dtype=np.float64),
            first_position=np.cumsum([0, *(len(a.positions) for a in world.accounts)], dtype=np.int64),
            asset_index=np.array([p.asset for p in positions], dtype=np.int64),
            quantity_lots=np.array([p.quantity_lots for p in positions], dtype=np.int64),
            entry_ticks=np.array([p.entry_ticks for p in positions], dtype=np.float64),
            maintenance_rate_frac=np.array([p.maintenance_rate_frac for p in positions], dtype=np.float64),
        ),
    )


def book_of(rows: list[Row]) -> Book:
    """Return one side of a book."""
    return Book(
        np.array([row.relative_price for row in rows], dtype=np.float64),
        np.array([row.cumulative_lots for row in rows], dtype=np.int64),
    )


def table(records: list[Any]) -> dict[str, np.ndarray]:
    """Stack the oracle's records into arrays of the documented types, one row per cell."""
    columns = {f.name: [getattr(r, f.name) for r in records] for f in fields(records[0]) if f.name != "excluded_count"}
    return {name: np.array(values, dtype=type_of(name)) for name, values in columns.items()}


def type_of(name: str) -> type:
    """Return the documented type of a field."""
    if name.startswith("liquidation_"):
        return np.int32
    if name.startswith("is_"):
        return np.bool_
    return np.float64 if name.endswith(("_ticks", "_ticklots")) else np.int64


def differences(theirs: Any, ours: dict[str, Any]) -> list[str]:
    """Return a line per field of the product's result that is not the oracle's, bit for bit."""
    assert {f.name for f in fields(theirs)} == set(ours)
    lines = []
    for name, truth in ours.items():
        answer = getattr(theirs, name)
        if isinstance(truth, int):
            is_same = answer == truth
        else:
            is_same = (answer.dtype, answer.shape) == (truth.dtype, truth.shape) and answer.tobytes() == truth.tobytes()
        if not is_same:
            lines.append(f"  {name}: product {answer!r}, oracle {truth!r}")
    return lines


def part(case: Case, threads: int = 1) -> tuple[list[str], list[tuple[Rounds, list[float], set[int]]]]:
    """Replay the case twice; return where product and oracle differ, and (rounds, prices, dead before) per cell."""
    lattice = prepared(case.world)
    lines, cells = [], []
    if case.scenarios:
        answers = [oracle_scenario(case.world, shocks, w) for shocks, w in case.scenarios]
        theirs = replay_accounts(
            lattice,
            np.array([shocks for shocks, _ in case.scenarios], dtype=np.float64),
            depth_survival_frac=np.array([w for _, w in case.scenarios], dtype=np.float64),
            engine="masks",
            threads=threads,
            keep_rounds=True,
        )
        ours = table([outcome for outcome, _ in answers])
        lines += differences(theirs, {**ours, "excluded_count": answers[0][0].excluded_count})
        for (shocks, _), (_, done) in zip(case.scenarios, answers, strict=True):
            cells.append((done, shocked_prices(case.world, shocks), set()))
    if case.path:
        steps, liquidation_step, excluded_count, all_rounds = oracle_path(case.world, case.path, case.path_w)
        along = replay_accounts_path(
            lattice,
            np.array(case.path, dtype=np.float64),
            depth_survival_frac=case.path_w,
            engine="masks",
        )
        deaths = np.array(liquidation_step, dtype=np.int32)
        lines += differences(along, {**table(steps), "liquidation_step": deaths, "excluded_count": excluded_count})
        dead: set[int] = set()
        for prices, done in zip(case.path, all_rounds, strict=True):
            cells.append((done, prices, set(dead)))
            dead.update(i for died in done.deaths for i in died)
    return lines, cells


def differs(case: Case) -> bool:
    """Say whether product and oracle part on the case."""
    return bool(part(case)[0])


def met(case: Case, cells: list[tuple[Rounds, list[float], set[int]]]) -> Iterator[str]:
    """Yield the awkward things of the case, once per cell that has them."""
    survivals = [w for _, w in case.scenarios] + [case.path_w for _ in case.path]
    for (done, prices, dead_before), w in zip(cells, survivals, strict=True):
        yield from features(case.world, done, prices, dead_before)
        if w == 0.01 and done.deaths:
            yield "survival of 1 %"
        if len(case.world.accounts) > 64:
            yield "more than 64 accounts"
        if len(case.scenarios) > 64:
            yield "more than 64 scenarios"
    along = cells[len(case.scenarios) :]
    for t in range(2, len(along)):
        columns = zip(*case.path[: t + 1], strict=True)
        if along[t][0].deaths and any(min(c[:t]) < c[0] and c[t] > c[t - 1] for c in columns):
            yield "path rebound kills"


@pytest.mark.trial("accounts_vs_oracle")
@pytest.mark.parametrize("family", FULL_CELLS)
def test_masks_agree_with_the_second_authors_oracle(family: str, trial_count: Callable[..., int]) -> None:
    n_cells = trial_count(FULL_CELLS[family], sample=800)
    rng = Random(f"accounts and their oracle: {family}")
    count: Counter[str] = Counter()
    while count["cells"] < n_cells:
        case = random_case(rng, family)
        lines, cells = part(case, threads=1 + (count["worlds"] % 50 == 0))
        if lines:
            small = shrink(case, differs)
            pytest.fail(
                "\n".join(["smallest failing case found (paste it as it stands):", repr(small), *part(small)[0]])
            )
        count.update({"worlds": 1, "cells": case.n_cells})
        count.update(met(case, cells))
    print(family, dict(sorted(count.items())))
    too_rare = [name for name in (*EVERYWHERE, *PER_FAMILY.get(family, ())) if count[name] < max(FEW, n_cells // 1000)]
    assert not too_rare, f"the generator has become easy: {too_rare} in {count['cells']} cells"


# Worked by hand -------------------------------------------------------------------------------------------------------


def chain(*accounts: Account) -> World:
    """Return one asset at 128 whose bids take, at half depth, 2, 5 and 10 lots at 1, 3/4 and 1/2 of the shocked price."""
    return World([128.0], [[Row(1.0, 4), Row(0.75, 10), Row(0.5, 20)]], [[Row(1.0, 1)]], list(accounts))


FIRST = Account(60.0, (Position(0, 3, 128.0, 1 / 16),))
ON_THE_EDGE = Account(197.0, (Position(0, 4, 128.0, 1 / 16),))
BELOW_THE_EDGE = Account(196.0, (Position(0, 4, 128.0, 1 / 16),))


def test_an_account_at_its_margin_lives() -> None:
    # Shock -1/8: 112. FIRST has 60 - 3 x 16 = 12 against 3/16 x 112 = 21: sold at 112, 336 in all.
    # 3 lots pass the 2 of the first row: mark 3/4 x 112 = 84, where it is left with 60 - 3 x 44 = -72.
    # ON_THE_EDGE has 197 - 4 x 44 = 21 against 4/16 x 84 = 21: it lives.
    world = chain(ON_THE_EDGE, FIRST)
    outcome, _ = oracle_scenario(world, [-1 / 8], 0.5)
    assert outcome == Outcome(
        mark_ticks=[84.0],
        lowest_mark_ticks=[84.0],
        highest_mark_ticks=[112.0],
        forced_sale_lots=[3],
        forced_purchase_lots=[0],
        netted_lots=[0],
        sold_lots=[3],
        bought_lots=[0],
        unabsorbed_sale_lots=[0],
        unabsorbed_purchase_lots=[0],
        is_exhausted=[False],
        forced_notional_ticklots=[336.0],
        liquidated_count=1,
        rounds=1,
        bad_debt_count=1,
        bad_debt_ticklots=72.0,
        excluded_count=0,
        liquidation_round=[0, 1],
    )
    assert not differs(Case(world, [([-1 / 8], 0.5)], [], 1.0))


def test_each_liquidation_triggers_the_next_until_the_book_ends() -> None:
    # As above, but BELOW_THE_EDGE has 20 < 21 at 84: 4 more lots at 84, in all 672. 7 lots are in the third row: 56.
    # It is left with 196 - 4 x 72 = -92. Now ON_THE_EDGE has 197 - 288 = -91 < 14: 4 lots at 56, in all 896.
    # 11 lots are more than the 10 of the whole book: one tick, 1 lot unabsorbed; left 197 - 4 x 127 = -311.
    # Bad debt 72 + 92 + 311 = 475.
    world = chain(ON_THE_EDGE, BELOW_THE_EDGE, FIRST)
    outcome, _ = oracle_scenario(world, [-1 / 8], 0.5)
    assert outcome == Outcome(
        mark_ticks=[1.0],
        lowest_mark_ticks=[1.0],
        highest_mark_ticks=[112.0],
        forced_sale_lots=[11],
        forced_purchase_lots=[0],
        netted_lots=[0],
        sold_lots=[10],
        bought_lots=[0],
        unabsorbed_sale_lots=[1],
        unabsorbed_purchase_lots=[0],
        is_exhausted=[True],
        forced_notional_ticklots=[896.0],
        liquidated_count=3,
        rounds=3,
        bad_debt_count=3,
        bad_debt_ticklots=475.0,
        excluded_count=0,
        liquidation_round=[3, 2, 1],
    )
    assert not differs(Case(world, [([-1 / 8], 0.5)], [], 1.0))


def test_a_fall_in_one_asset_sells_another_and_shorts_buy_it_back() -> None:
    # Assets X and Y at 64, no maintenance but in the last account. X is shocked to 48.
    # 1: +4 X +3 Y, 60: 60 - 64 = -4 fails. X: 4 lots pass the first 2, mark 24. Y: 3 lots pass the first 1, mark 48.
    #    Left 60 - 4 x 40 - 3 x 16 = -148. Notional 4 x 48 = 192 in X, 3 x 64 = 192 in Y.
    # 2: +4 X -5 Y, 70: had 70 - 64 = 6; now 70 - 160 + 80 = -10 fails. X: 8 lots, still 24. Y: 3 - 5 = -2, asks, mark 96.
    #    Left 70 - 160 - 160 = -250. Notional + 4 x 24 = 288 in X, + 5 x 48 = 432 in Y.
    # 3: -1 Y at 1/8, 40: had 40 against 8, then 56; now 40 - 32 = 8 against 12 fails. Y: -3, still 96; left 8.
    #    Notional + 96 = 528 in Y.
    world = World(
        [64.0, 64.0],
        [[Row(1.0, 2), Row(0.5, 16)], [Row(1.0, 1), Row(0.75, 5)]],
        [[Row(1.0, 8)], [Row(1.0, 1), Row(1.5, 8)]],
        [
            Account(60.0, (Position(0, 4, 64.0, 0.0), Position(1, 3, 64.0, 0.0))),
            Account(70.0, (Position(0, 4, 64.0, 0.0), Position(1, -5, 64.0, 0.0))),
            Account(40.0, (Position(1, -1, 64.0, 1 / 8),)),
        ],
    )
    outcome, _ = oracle_scenario(world, [-1 / 4, 0.0], 1.0)
    assert outcome == Outcome(
        mark_ticks=[24.0, 96.0],
        lowest_mark_ticks=[24.0, 48.0],
        highest_mark_ticks=[48.0, 96.0],
        forced_sale_lots=[8, 3],
        forced_purchase_lots=[0, 6],
        netted_lots=[0, 0],
        sold_lots=[8, 3],
        bought_lots=[0, 6],
        unabsorbed_sale_lots=[0, 0],
        unabsorbed_purchase_lots=[0, 0],
        is_exhausted=[False, False],
        forced_notional_ticklots=[288.0, 528.0],
        liquidated_count=3,
        rounds=3,
        bad_debt_count=2,
        bad_debt_ticklots=398.0,
        excluded_count=0,
        liquidation_round=[1, 2, 3],
    )
    assert not differs(Case(world, [([-1 / 4, 0.0], 1.0)], [], 1.0))


def test_netting_exhaustion_and_recovery() -> None:
    # X and Y at 32; X is shocked to 16. Y's bids take 2 lots in all.
    # 1: +1 X +6 Y with 10, and +1 X -2 Y with 10: both 10 - 16 < 0. Y: 6 sold, 2 bought, 2 netted; 4 are too many: one
    #    tick. X: 2 lots pass the first 1: 8. Left 10 - 24 - 6 x 31 = -200, and 10 - 24 + 62 = 48.
    #    Notional 2 x 16 = 32 in X, 8 x 32 = 256 in Y.
    # 2: +16 X -3 Y with 256: was at 0 (and needs 0), now 256 - 384 + 93 = -35. Y: 4 - 3 = 1 lot, the book recovers: 32.
    #    X: 18 lots, still 8. Left 256 - 384 = -128. Notional + 16 x 8 = 160 in X, + 3 x 1 = 259 in Y.
    # Y's book took 6 - 2 = 4 lots and gave 5 - 2 = 3; nothing stays unabsorbed.
    world = World(
        [32.0, 32.0],
        [[Row(1.0, 1), Row(0.5, 100)], [Row(1.0, 2)]],
        [[Row(1.0, 100)], [Row(1.0, 100)]],
        [
            Account(256.0, (Position(1, -3, 32.0, 0.0), Position(0, 16, 32.0, 0.0))),
            Account(10.0, (Position(0, 1, 32.0, 0.0), Position(1, 6, 32.0, 0.0))),
            Account(10.0, (Position(0, 1, 32.0, 0.0), Position(1, -2, 32.0, 0.0))),
        ],
    )
    outcome, _ = oracle_scenario(world, [-1 / 2, 0.0], 1.0)
    assert outcome == Outcome(
        mark_ticks=[8.0, 32.0],
        lowest_mark_ticks=[8.0, 1.0],
        highest_mark_ticks=[16.0, 32.0],
        forced_sale_lots=[18, 6],
        forced_purchase_lots=[0, 5],
        netted_lots=[0, 2],
        sold_lots=[18, 4],
        bought_lots=[0, 3],
        unabsorbed_sale_lots=[0, 0],
        unabsorbed_purchase_lots=[0, 0],
        is_exhausted=[False, True],
        forced_notional_ticklots=[160.0, 259.0],
        liquidated_count=3,
        rounds=2,
        bad_debt_count=2,
        bad_debt_ticklots=328.0,
        excluded_count=0,
        liquidation_round=[2, 1, 1],
    )
    assert not differs(Case(world, [([-1 / 2, 0.0], 1.0)], [], 1.0))


def test_a_loan_is_sold_below_its_threshold() -> None:
    # 10 coins at 128 against a debt of 600, liquidation threshold 3/4 (f = 1/4): fails where 10 m - 600 < 2.5 m, m < 80.
    # -3/8 is 80: 200 against 200, it lives. -1/2 is 64: 40 < 160; the first bids stand at half: 32; left 320 - 600 = -280.
    # The second account (5 lots at their mark, -1) is out of date, the third is an empty debt.
    loan = Account(-600.0, (Position(0, 10, 0.0, 1 / 4),))
    stale = Account(-1.0, (Position(0, 5, 128.0, 0.0),))
    world = World([128.0], [[Row(0.5, 10)]], [[Row(1.0, 1)]], [loan, stale, Account(-5.0, ())])
    at_edge, _ = oracle_scenario(world, [-3 / 8], 1.0)
    assert (at_edge.rounds, at_edge.mark_ticks, at_edge.excluded_count) == (0, [80.0], 2)
    below, _ = oracle_scenario(world, [-1 / 2], 1.0)
    assert (below.rounds, below.mark_ticks, below.sold_lots, below.bad_debt_ticklots) == (1, [32.0], [10], 280.0)
    assert below.liquidation_round == [1, 0, 0]
    assert not differs(Case(world, [([-3 / 8], 1.0), ([-1 / 2], 1.0)], [], 1.0))


def test_a_path_keeps_its_flow_and_squeezes_the_short_on_the_way_back() -> None:
    # One asset at 64: +2 with 20, -4 with 30, and +1 with -1, out of date. Nobody needs maintenance.
    # 56: 20 - 16 = 4 and 30 + 32 live. 48: 20 - 32 fails, 2 lots at 48 = 96, second row: 36; left 20 - 56 = -36.
    # 64: the 2 lots still stand in the book: 48. 96: 72, and 30 - 32 = -2 fails: 4 lots at 72 = 288; 2 - 4 = -2, asks:
    # 5/4 x 96 = 120; left 30 - 4 x 56 = -194.
    world = World(
        [64.0],
        [[Row(1.0, 1), Row(0.75, 8)]],
        [[Row(1.0, 1), Row(1.25, 8)]],
        [
            Account(20.0, (Position(0, 2, 64.0, 0.0),)),
            Account(30.0, (Position(0, -4, 64.0, 0.0),)),
            Account(-1.0, (Position(0, 1, 64.0, 0.0),)),
        ],
    )
    path = [[56.0], [48.0], [64.0], [96.0]]
    steps, liquidation_step, excluded_count, _ = oracle_path(world, path, 1.0)
    quiet = asdict(steps[0])
    assert steps[0] == PathStep([56.0], [0], [0], [0], [0], [False], [0.0], 0, 0, 0, 0.0)
    assert steps[1] == PathStep([36.0], [2], [0], [0], [2], [False], [96.0], 1, 1, 1, 36.0)
    assert steps[2] == PathStep(**{**quiet, "mark_ticks": [48.0], "net_forced_lots": [2]})
    assert steps[3] == PathStep([120.0], [0], [4], [0], [-2], [False], [288.0], 1, 1, 1, 194.0)
    assert (liquidation_step, excluded_count) == ([1, 3, -1], 1)
    assert not differs(Case(world, [], path, 1.0))
