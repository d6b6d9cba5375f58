"""The grid against the naive oracle: two authors read docs/cascade_grid.md, and every count must be equal.

Belongs here: the comparison on random small worlds, worlds worked by hand, and proof that the worlds are awkward. Does not: what a
cell's right answer is (``test_oracle_self.py`` holds the single-cell oracle to the closed forms).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from cascade_oracle import KINDS, SIDES
from grid_oracle import (
    BIN_COUNT,
    GridWorld,
    all_cells,
    grid_cell,
    lots_before_shock,
    nearest_rank,
    oracle_bin,
    oracle_bin_value,
    oracle_branching,
    oracle_critical,
    ordered_buckets,
    part_quantity,
    place_mark,
    quantity,
    reduce_cells,
    shock_price,
    shortfall_bins,
)
from grid_worlds import random_grid_world, single_cells, without_bucket, without_row

from assets.cascade.grid import (
    DrawnBook,
    DrawnFuel,
    Grid,
    GridCounts,
    bin_of,
    bin_value,
    branching_profile,
    critical_shocks,
    prepare_grid,
    replay_grid,
)
from assets.cascade.params import CriticalRule

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.9, 1.0)


def grid_of(world: GridWorld) -> Grid:
    """Return the world's draws in the product's words."""
    shares = np.array(world.profile_frac, dtype=np.float64)
    fuel = DrawnFuel(
        np.array(world.trigger_ticks, dtype=np.float64),
        np.array(world.bankruptcy_ticks, dtype=np.float64),
        shares.reshape(len(world.profile_frac), len(world.part_lots[0]), len(world.trigger_ticks)),
        np.array(world.profile_index, dtype=np.int64),
        np.array(world.part_lots, dtype=np.float64),
    )
    book = DrawnBook(
        np.array(world.relative_price, dtype=np.float64),
        np.array(world.cumulative_lots, dtype=np.int64),
        np.array(world.book_index, dtype=np.int64),
        np.array(world.depth_survival_frac, dtype=np.float64),
    )
    return prepare_grid(world.mark_ticks, book, fuel, world.side, world.sold_share_frac)


def counts_of(world: GridWorld, threads: int = 1) -> GridCounts:
    """Ask the product for every count of the world."""
    return replay_grid(
        grid_of(world),
        np.array(world.shock_frac),
        world.shock_kind,
        money_unit_ticklots=world.money_unit_ticklots,
        with_rounds=True,
        with_shortfall=True,
        with_parts=True,
        threads=threads,
    )


def dense(counter: Counter[tuple[int, ...]], shape: tuple[int, ...]) -> np.ndarray:
    """Return the counter as int64 of a shape."""
    array = np.zeros(shape, dtype=np.int64)
    for key, value in counter.items():
        array[key] = value
    return array


def differences(world: GridWorld) -> list[str]:
    """Name the fields in which product and oracle part; a product that refuses the world parts too."""
    try:
        product = counts_of(world)
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
        return [f"refused: {error!r}"]
    cells = all_cells(world)
    truth = reduce_cells(world, cells)
    n_shocks, n_liquidities, n_parts = (
        len(world.shock_frac),
        len(world.depth_survival_frac[0]),
        len(world.part_lots[0]),
    )
    binned = (n_shocks, n_liquidities, BIN_COUNT)
    pairs = {
        "place_count": (truth.place, (n_shocks, n_liquidities, len(world.relative_price) + 2)),
        "notional_count": (truth.notional, binned),
        "rounds_count": (truth.rounds, binned),
        "part_count": (truth.part_bins, (n_shocks, n_liquidities, n_parts, BIN_COUNT)),
        "part_lots": (truth.part_lots, (n_shocks, n_liquidities, n_parts)),
        "unabsorbed_lots": (truth.unabsorbed_lots, (n_shocks, n_liquidities)),
    }
    parted = [name for name, (c, shape) in pairs.items() if not np.array_equal(getattr(product, name), dense(c, shape))]
    assert product.shortfall_count is not None
    upto = np.cumsum(product.shortfall_count, axis=-1)
    least, most = (np.cumsum(dense(c, binned), axis=-1) for c in (truth.shortfall_least, truth.shortfall_most))
    if upto.shape != binned or not ((most <= upto) & (upto <= least)).all():
        parted.append("shortfall_count")
    draws = range(len(world.part_lots))
    for p in QUANTILES:
        marks, notionals = product.place_quantile(p), product.notional_quantile(p)
        for i in range(n_shocks):
            for v in range(n_liquidities):
                place = nearest_rank([cells[d, i, v].place for d in draws], p)
                if marks[i, v] != place_mark(world, i, place):
                    parted.append(f"place_quantile({p})[{i}, {v}]")
                money = [oracle_bin(cells[d, i, v].forced_notional_ticklots / world.money_unit_ticklots) for d in draws]
                rank = nearest_rank(money, p)
                value = oracle_bin_value(rank, is_whole=False) * world.money_unit_ticklots
                value = math.inf if rank == BIN_COUNT - 1 else value
                if notionals[i, v] != value:
                    parted.append(f"notional_quantile({p})[{i}, {v}]")
    return parted


def report(world: GridWorld) -> str:
    """Return the smallest world found in which the two still part, and the oracle's cell where it has one only."""
    small = next((one for one in single_cells(world) if differences(one)), world)
    is_smaller = True
    while is_smaller:
        candidates = [without_bucket(small, k) for k in range(len(small.trigger_ticks))]
        candidates += [without_row(small, j) for j in range(len(small.relative_price)) if len(small.relative_price) > 1]
        smaller = next((c for c in candidates if differences(c)), None)
        is_smaller = smaller is not None
        small = smaller or small
    told = [f"{small}", f"parts in {differences(small)}"]
    if small.cells == 1:
        told.append(f"oracle: {grid_cell(small, 0, 0, 0)}")
    return "\n  ".join(told)


@pytest.mark.trial("grid_vs_oracle")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_counts_equal_the_oracle_exactly(kind: str, side: str, trial_count: Callable[[int], int]) -> None:
    least_cells = trial_count(25_000)  # per kind and side: 100,000 together
    cells = 0
    seed = 0
    while cells < least_cells:
        world = random_grid_world(Random(f"grid {kind} {side} {seed}"), kind, side)
        assert differences(world) == [], f"seed {seed}: {report(world)}"
        cells += world.cells
        seed += 1


@pytest.mark.trial("grid_critical_vs_oracle")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_critical_shocks_equal_the_oracle_exactly(kind: str, side: str, trial_count: Callable[..., int]) -> None:
    least_cells = trial_count(25_000, 2_000)
    cells = found_soft = found_jump = censored = 0
    seed = 0
    while cells < least_cells:
        rng = Random(f"critical {kind} {side} {seed}")
        world, rule, open_interest_lots = critical_question(rng, kind, side)
        found = critical_shocks(
            grid_of(world),
            np.array(world.shock_frac),
            kind,
            open_interest_lots=open_interest_lots,
            rule=rule,
        )
        for d in range(len(world.part_lots)):
            for v in range(len(world.depth_survival_frac[d])):
                truth = oracle_critical(
                    world,
                    d,
                    v,
                    float(open_interest_lots),
                    rule.least_shock_frac,
                    rule.least_gain_frac,
                    rule.least_forced_frac,
                )
                assert (found.soft_index[d, v], found.jump_index[d, v]) == truth, (
                    f"seed {seed}, draw {d}, liquidity {v}: {world}, {rule}, {open_interest_lots}"
                )
                found_soft += truth[0] >= 0
                found_jump += truth[1] >= 0
                censored += truth == (-1, -1)
        cells += world.cells
        seed += 1
    assert min(found_soft, found_jump, censored) >= 5, (found_soft, found_jump, censored)


def critical_question(rng: Random, kind: str, side: str) -> tuple[GridWorld, CriticalRule, int]:
    """Return a world asked a fine grid of shocks (some repeated), a rule, and open interest that makes the rule matter."""
    world = random_grid_world(rng, kind, side)
    step = rng.choice([0.0005, 0.002, 0.005, 0.01])
    fine = [step * (i + 1) for i in range(rng.randint(1, 30))]
    shocks = sorted([*fine, *world.shock_frac, rng.choice(fine)])
    rule = CriticalRule(*(rng.choice([0.0, 0.01, 0.01, step, 2 * step]) for _ in range(3)))
    fuel = [sum(quantity(world, d, k) for k in ordered_buckets(world)) for d in range(len(world.part_lots))]
    most = max(1, *fuel)
    return replace(world, shock_frac=tuple(shocks)), rule, rng.choice([most, most, 4 * most, 100 * most])


@pytest.mark.trial("grid_branching_vs_oracle")
@pytest.mark.parametrize("side", SIDES)
def test_branching_equals_the_oracle_exactly(side: str, trial_count: Callable[[int], int]) -> None:
    windows = undefined = above_one = 0
    for seed in range(trial_count(5_000)):
        rng = Random(f"branching {side} {seed}")
        world = random_grid_world(rng, rng.choice(KINDS), side)
        on_rows = [abs(1.0 - r) for r in world.relative_price]
        moves = sorted({0.0, *rng.sample(on_rows, min(4, len(on_rows))), *world.shock_frac, 0.01, 0.05})
        got = branching_profile(grid_of(world), np.array(moves))
        truth = np.array(
            [
                [oracle_branching(world, d, v, moves) for v in range(len(world.depth_survival_frac[d]))]
                for d in range(len(world.part_lots))
            ]
        )
        np.testing.assert_array_equal(got, truth, err_msg=f"seed {seed}: {world}, {moves}")
        windows += truth.size
        undefined += int(np.isnan(truth).sum())
        above_one += int((truth > 1).sum())
    assert min(undefined, above_one) >= 20 and undefined < windows / 2, (windows, undefined, above_one)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_counts_do_not_depend_on_the_order_of_draws_or_on_threads(kind: str, side: str) -> None:
    for seed in range(20):
        world = random_grid_world(Random(f"order {kind} {side} {seed}"), kind, side, n_draws=7)
        turned = replace(
            world,
            profile_index=world.profile_index[::-1],
            part_lots=world.part_lots[::-1],
            book_index=world.book_index[::-1],
            depth_survival_frac=world.depth_survival_frac[::-1],
        )
        one = counts_of(world)
        for other in (counts_of(turned), counts_of(world, threads=2)):
            for name in (
                "place_count",
                "notional_count",
                "part_lots",
                "unabsorbed_lots",
                "rounds_count",
                "shortfall_count",
                "part_count",
            ):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=f"{name}, seed {seed}")


def test_bins_equal_the_oracle() -> None:
    rng = Random("bins")
    edges = [2.0**e * (1 + f / 64) for e in range(56) for f in (0, 1, 31, 63)]
    values = [0.0, 0.5, 1e300, *map(float, range(300)), *(10 ** rng.uniform(-1, 18) for _ in range(2_000))]
    values += [x for edge in edges for x in (edge, math.nextafter(edge, 0.0), math.nextafter(edge, math.inf))]
    np.testing.assert_array_equal(bin_of(np.array(values)), [oracle_bin(x) for x in values])
    every = list(range(BIN_COUNT))
    np.testing.assert_array_equal(bin_value(np.array(every)), [oracle_bin_value(i, is_whole=False) for i in every])
    # Of whole numbers only bins that one of them falls into can be asked for.
    whole = sorted({oracle_bin(float(n)) for n in range(300)} | {i for i in every if i > 1 + 64 * 8})
    values_of_whole = [oracle_bin_value(i, is_whole=True) for i in whole]
    np.testing.assert_array_equal(bin_value(np.array(whole), is_whole=True), values_of_whole)


def test_bins_keep_their_promises() -> None:
    # The page's words on the oracle's bins: 3,393 of them, whole numbers alone up to 127, middles at most 0.8 % off.
    assert oracle_bin(2.0**53 - 1) == oracle_bin(1e30) == BIN_COUNT - 1 == 3_392
    assert [oracle_bin_value(oracle_bin(float(n)), is_whole=True) for n in range(128)] == list(range(128))
    assert oracle_bin(128.0) == oracle_bin(129.0)
    rng = Random("promise")
    for x in (10 ** rng.uniform(0, 15.9) for _ in range(5_000)):
        assert abs(oracle_bin_value(oracle_bin(x), is_whole=False) / x - 1) <= 0.008


def test_a_world_worked_by_hand() -> None:
    """Mark 1,000; rows of 10 lots at 0.99, 0.98, 0.97; shock to 990, which eats the first row.

    The bucket at 990 (two parts: 4 and 2 lots) is triggered; 6 lots are sold; capacities after the shock are 0, 10, 20: row 1,
    mark 980. There the bucket at 980 (5 + 4) follows; 15 lots end on row 2, mark 970, which triggers nothing more.
    Filled: 6 lots and then 4 of the 9 at 980, the last 5 at 970. The first bucket loses 6 x (985 - 980) = 30 beyond
    bankruptcy, the second 4 x (975 - 980) + 5 x (975 - 970) = 5.
    """
    world = GridWorld(
        mark_ticks=1000.0,
        relative_price=(0.99, 0.98, 0.97),
        cumulative_lots=((10, 20, 30),),
        trigger_ticks=(980.0, 990.0, 960.0, 1000.0),
        bankruptcy_ticks=(975.0, 985.0, 955.0, 999.0),
        profile_frac=(((0.5, 0.4, 0.1, 0.0), (0.4, 0.2, 0.1, 0.3)),),
        profile_index=(0,),
        part_lots=((10.0, 10.0),),
        book_index=(0,),
        depth_survival_frac=((1.0, 0.5),),
        shock_frac=(0.01,),
        shock_kind="sell",
        side="long",
    )
    full = grid_cell(world, 0, 0, 0)
    assert (full.place, full.mark_ticks, full.part_lots, full.rounds) == (3, 970.0, (9, 6), 2)
    assert full.forced_notional_ticklots == 990 * 6 + 980 * 9
    assert full.shortfall_ticklots == 35.0
    # Half the depth: 6 lots against capacities 0, 5, 10 end on row 2 at once; then 15 lots are more than the 10 of the
    # book: exhausted, and the bucket at 960 (1 + 1) goes too, in a third round. 17 lots, 10 filled.
    half = grid_cell(world, 0, 0, 1)
    assert (half.place, half.mark_ticks, half.part_lots, half.rounds) == (4, 1.0, (10, 7), 3)
    assert (half.unabsorbed_lots, half.sold_into_book_lots) == (7, 10)
    # 5 x (985 - 980) + 1 x (985 - 970) on the first bucket, 4 x (975 - 970) on the second, nothing filled on the third.
    assert half.shortfall_ticklots == 40.0 + 20.0
    assert differences(world) == []


def test_the_worlds_are_awkward() -> None:
    # Without these the agreement above would prove little.
    seen: Counter[str] = Counter()
    for kind in KINDS:
        for side in SIDES:
            for seed in range(100):
                world = random_grid_world(Random(f"grid {kind} {side} {seed}"), kind, side)
                note_awkwardness(seen, world)
    kinds_of_awkwardness = (
        "one draw",
        "several draws",
        "several profiles used",
        "several parts",
        "several books used",
        "several liquidities",
        "equal survivals",
        "equal shocks",
        "tied triggers",
        "tied triggers and bankruptcies",
        "bucket past the mark",
        "no fuel",
        "zero lots in a bucket",
        "rounding took a lot",
        "shock on a row",
        "shock on a trigger",
        "nothing reached",
        "nothing sold but forced",
        "exhausted",
        "four rounds or more",
        "mark ends on a trigger",
        "one lot decides",
        "phi withholds",
        "shortfall, tight bin",
        "bankruptcy above the trigger",
        "last bin",
    )
    assert min(seen[name] for name in kinds_of_awkwardness) >= 10, str(
        {name: seen[name] for name in kinds_of_awkwardness}
    )
    # The tolerance for the unstated order of sums may not swallow the shortfall.
    assert seen["shortfall, loose bin"] < seen["shortfall, tight bin"] / 10, seen


def note_awkwardness(seen: Counter[str], world: GridWorld) -> None:
    """Count what is awkward in a world and in its cells."""
    order = ordered_buckets(world)
    draws, inside = range(len(world.part_lots)), {world.trigger_ticks[k] for k in order}
    pairs = {(world.trigger_ticks[k], world.bankruptcy_ticks[k]) for k in order}
    is_long = world.side == "long"
    seen["one draw"] += len(draws) == 1
    seen["several draws"] += len(draws) > 1
    seen["several profiles used"] += len(set(world.profile_index)) > 1
    seen["several parts"] += len(world.part_lots[0]) > 1
    seen["several books used"] += len(set(world.book_index)) > 1
    seen["several liquidities"] += len(world.depth_survival_frac[0]) > 1
    seen["equal survivals"] += any(len(set(row)) < len(row) for row in world.depth_survival_frac)
    seen["equal shocks"] += len(set(world.shock_frac)) < len(world.shock_frac)
    seen["tied triggers"] += len(inside) < len(order)
    seen["tied triggers and bankruptcies"] += len(pairs) < len(order)
    seen["bucket past the mark"] += len(order) < len(world.trigger_ticks)
    seen["no fuel"] += not order
    seen["zero lots in a bucket"] += any(quantity(world, d, k) == 0 for d in draws for k in order)
    seen["rounding took a lot"] += any(
        part_quantity(world, d, g, k) != math.floor(Fraction(a) * Fraction(shares[k]))
        for d in draws
        for g, (a, shares) in enumerate(
            zip(world.part_lots[d], world.profile_frac[world.profile_index[d]], strict=True)
        )
        for k in order
    )
    seen["bankruptcy above the trigger"] += any(
        (world.bankruptcy_ticks[k] > world.trigger_ticks[k]) == is_long for k in order
    )
    row_prices = {world.mark_ticks * r for r in world.relative_price}
    seen["shock on a row"] += any(shock_price(world, s) in row_prices for s in world.shock_frac)
    seen["shock on a trigger"] += any(shock_price(world, s) in inside for s in world.shock_frac)
    for (d, i, v), cell in all_cells(world).items():
        sold = cell.sold_into_book_lots
        w, book = world.depth_survival_frac[d][v], world.cumulative_lots[world.book_index[d]]
        before = lots_before_shock(world, d, world.shock_frac[i])
        seen["nothing reached"] += cell.rounds == 0
        seen["nothing sold but forced"] += cell.place == 0 and cell.forced_lots > 0
        seen["exhausted"] += cell.is_exhausted
        seen["four rounds or more"] += cell.rounds >= 4
        seen["mark ends on a trigger"] += cell.place > 0 and cell.mark_ticks in inside
        seen["one lot decides"] += (
            not cell.is_exhausted and sold > 0 and sold in {math.floor(w * float(c - before)) for c in book}
        )
        seen["phi withholds"] += cell.not_sold_lots > 0
        least, most = shortfall_bins(cell, world.money_unit_ticklots)
        seen["shortfall, tight bin"] += most > 0 and least == most
        seen["shortfall, loose bin"] += least != most
        seen["last bin"] += oracle_bin(cell.forced_notional_ticklots / world.money_unit_ticklots) == BIN_COUNT - 1
