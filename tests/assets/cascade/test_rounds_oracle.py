"""Replays with a capped fund and a refilling book against the naive oracle, and the laws that are left to them.

Belongs here: the comparison on random small worlds, exact in every field; conservation, permutation, unit change, termination, the
static cascade as the special case; a world in which a harsher shock ends higher. Does not: the grid (``test_grid_oracle.py``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from random import Random

import numpy as np
import pytest
from cascade_oracle import KINDS, SIDES, OracleOutcome, oracle_replay
from grid_worlds import random_rounds_worlds
from rounds_oracle import OracleRounds, RoundsWorld, oracle_rounds

from assets.cascade.rounds import replay_rounds
from assets.cascade.simulate import Book, Fuel, Scenario, replay_static

PAIRS = [(kind, side) for kind in KINDS for side in SIDES]


def market(world: RoundsWorld) -> tuple[Book, Fuel]:
    """Return the world's book and fuel in the product's words."""
    book = Book(
        np.array([r for r, _ in world.rows], dtype=np.float64), np.array([c for _, c in world.rows], dtype=np.int64)
    )
    fuel = Fuel(
        np.array([b[0] for b in world.buckets], dtype=np.float64),
        np.array([b[1] for b in world.buckets], dtype=np.int64),
        np.array([b[2] for b in world.buckets], dtype=np.float64),
    )
    return book, fuel


def scenario_of(world: RoundsWorld) -> Scenario:
    """Return the world's shock in the product's words."""
    return Scenario(
        shock_frac=world.shock_frac,
        shock_kind=world.shock_kind,
        side=world.side,
        depth_survival_frac=world.w,
        sold_share_frac=world.phi,
    )


def product(worlds: Sequence[RoundsWorld]) -> list[OracleRounds]:
    """Ask the product about worlds that share market, fund and replenishment; keep the fields that the oracle has."""
    outcomes = replay_rounds(
        worlds[0].mark_ticks,
        *market(worlds[0]),
        [scenario_of(w) for w in worlds],
        fund_ticklots=worlds[0].fund_ticklots,
        replenishment_frac=worlds[0].replenishment_frac,
    )
    return [OracleRounds(**{f.name: getattr(o, f.name) for f in fields(OracleRounds)}) for o in outcomes]


def differs(world: RoundsWorld) -> bool:
    """Say whether product and oracle part on the world; a product that refuses it parts too."""
    try:
        return product([world]) != [oracle_rounds(world)]
    except (ValueError, TypeError, ArithmeticError, IndexError):
        return True


def report(world: RoundsWorld) -> str:
    """Return the smallest world found in which the two still part, with both answers."""
    is_smaller = True
    while is_smaller:
        candidates = [
            replace(world, buckets=world.buckets[:k] + world.buckets[k + 1 :]) for k in range(len(world.buckets))
        ]
        candidates += [replace(world, rows=world.rows[:j] + world.rows[j + 1 :]) for j in range(len(world.rows) - 1)]
        smaller = next((c for c in candidates if differs(c)), None)
        is_smaller = smaller is not None
        world = smaller or world
    try:
        answer = str(product([world])[0])
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
        answer = f"refused: {error!r}"
    return f"{world}\n  product: {answer}\n  oracle:  {oracle_rounds(world)}"


@pytest.mark.trial("rounds_vs_oracle")
@pytest.mark.parametrize(("kind", "side"), PAIRS)
def test_rounds_equal_the_oracle_exactly(kind: str, side: str, trial_count: Callable[[int], int]) -> None:
    least_cells = trial_count(25_000)  # per kind and side: 100,000 together
    cells = seed = 0
    while cells < least_cells:
        worlds = random_rounds_worlds(Random(f"rounds {kind} {side} {seed}"), kind, side, 4)
        truth = [oracle_rounds(world) for world in worlds]
        if product(worlds) != truth:
            parted = next((world for world in worlds if differs(world)), worlds[0])
            pytest.fail(f"seed {seed}: {report(parted)}")
        cells += len(worlds)
        seed += 1


def law_worlds(law: str, count: int) -> list[RoundsWorld]:
    """Return single scenarios of every kind and side in turn."""
    worlds = []
    for i in range(count):
        kind, side = PAIRS[i % 4]
        worlds += random_rounds_worlds(Random(f"{law} {i}"), kind, side)
    return worlds


@pytest.mark.trial("rounds_laws")
def test_lots_are_conserved_and_every_round_triggers_a_bucket(trial_count: Callable[[int], int]) -> None:
    for world in law_worlds("conservation", trial_count(10_000)):
        (end,) = product([world])
        everything = sum(lots for _, lots, _ in world.buckets)
        assert end.forced_lots == end.sold_lots + end.adl_lots + end.unabsorbed_lots + end.not_sold_lots, world
        assert min(end.sold_lots, end.adl_lots, end.unabsorbed_lots, end.not_sold_lots) >= 0, world
        assert end.forced_lots + end.excluded_lots <= everything, world
        assert 0.0 <= end.insurance_used_ticklots <= world.fund_ticklots, world
        assert end.rounds <= len(world.buckets), world  # termination
        is_fall = world.side == "long"
        assert (end.trough_ticks <= end.mark_ticks) if is_fall else (end.trough_ticks >= end.mark_ticks), world


@pytest.mark.trial("rounds_laws")
def test_the_order_of_buckets_changes_no_bit(trial_count: Callable[[int], int]) -> None:
    for i, world in enumerate(law_worlds("permutation", trial_count(10_000))):
        shuffled = replace(world, buckets=tuple(Random(i).sample(world.buckets, len(world.buckets))))
        assert product([shuffled]) == product([world]), f"{world}\n  shuffled: {shuffled.buckets}"


@pytest.mark.trial("rounds_laws")
def test_a_price_unit_of_a_power_of_two_changes_only_the_unit(trial_count: Callable[[int], int]) -> None:
    compared = 0
    for i, world in enumerate(law_worlds("unit", trial_count(10_000))):
        (end,) = product([world])
        if end.is_exhausted:
            continue  # its floor is one tick, whatever the tick
        unit = 2.0 ** Random(i).randint(-6, 12)
        finer = replace(
            world,
            mark_ticks=world.mark_ticks * unit,
            buckets=tuple((trigger * unit, lots, broke * unit) for trigger, lots, broke in world.buckets),
            fund_ticklots=world.fund_ticklots * unit,
        )
        same = replace(
            end,
            mark_ticks=end.mark_ticks * unit,
            trough_ticks=end.trough_ticks * unit,
            insurance_used_ticklots=end.insurance_used_ticklots * unit,
        )
        assert product([finer]) == [same], f"{world}, unit {unit}"
        compared += 1
    assert compared >= 20


@pytest.mark.trial("rounds_laws")
def test_without_a_cap_and_without_refilling_it_is_the_static_cascade(trial_count: Callable[[int], int]) -> None:
    for drawn in law_worlds("static", trial_count(10_000)):
        world = replace(drawn, fund_ticklots=math.inf, replenishment_frac=0.0)
        (end,) = product([world])
        (static,) = replay_static(world.mark_ticks, *market(world), [scenario_of(world)])
        for name in (f.name for f in fields(OracleOutcome)):
            assert getattr(end, name) == getattr(static, name), f"{name}: {world}"
        assert (end.adl_lots, end.insurance_used_ticklots, end.trough_ticks) == (0, 0.0, end.mark_ticks), world


@pytest.mark.parametrize(("kind", "side"), PAIRS)
def test_the_oracle_without_a_cap_is_the_single_cell_oracle(kind: str, side: str) -> None:
    # Two oracles by two authors; this one is never right by knowing the product.
    for seed in range(250):
        (drawn,) = random_rounds_worlds(Random(f"two oracles {kind} {side} {seed}"), kind, side)
        world = replace(drawn, fund_ticklots=math.inf, replenishment_frac=0.0)
        rows, buckets = zip(*world.rows, strict=True), list(zip(*world.buckets, strict=True)) or [(), (), ()]
        end = oracle_rounds(world)
        cell = oracle_replay(world.mark_ticks, *rows, *buckets, world.shock_frac, kind, side, world.w, world.phi)
        assert [getattr(end, f.name) for f in fields(cell)] == [getattr(cell, f.name) for f in fields(cell)], world


BY_HAND = RoundsWorld(
    mark_ticks=1000.0,
    rows=((0.99, 10), (0.98, 20), (0.97, 30), (0.9, 100)),
    buckets=((990.0, 8, 995.0), (980.0, 9, 985.0), (970.0, 4, 975.0)),
    shock_frac=0.01,
    shock_kind="sell",
    side="long",
    w=1.0,
    phi=1.0,
    fund_ticklots=100.0,
    replenishment_frac=0.5,
)


def test_a_world_worked_by_hand() -> None:
    """Mark 990, ten lots eaten: capacities 0, 10, 20, 90.

    Round 1 at 990: 8 lots lose 5 each, 40 of the fund's 100; 8 stand in the book: row 1, mark 980.
    Round 2 at 980: the book refills by 4. Nine lots lose 5 each, 45 of 60, fund 15; 4 + 9 = 13 lots: row 2, mark 970.
    Round 3 at 970: refills by 6, 7 left. Four lots lose 5 each: 20 > 15, so 3 are taken and 1 is auto-deleveraged, fund 0;
    7 + 3 = 10 lots: row 1, mark 980. The mark turned back from 970.
    """
    truth = OracleRounds(
        mark_ticks=980.0,
        trough_ticks=970.0,
        forced_lots=21,
        sold_lots=20,
        not_sold_lots=0,
        adl_lots=1,
        unabsorbed_lots=0,
        excluded_lots=0,
        insurance_used_ticklots=100.0,
        rounds=3,
        is_exhausted=False,
    )
    assert oracle_rounds(BY_HAND) == truth
    assert product([BY_HAND]) == [truth]


def test_a_harsher_shock_can_end_higher() -> None:
    """The page's "not a law", worked by hand: 90 lots below a mark of 1,000, bankrupt at 945, a fund of nothing.

    A shock to 950 triggers them at 950, still solvent: all 90 are sold and the book ends at 900. A shock to 940 finds them
    5 ticks below bankruptcy: all are auto-deleveraged, nothing is sold, and the price stays at 940.
    """
    calm = replace(
        BY_HAND,
        rows=((0.95, 1), (0.9, 100)),
        buckets=((960.0, 90, 945.0),),
        shock_frac=0.05,
        fund_ticklots=0.0,
        replenishment_frac=0.0,
    )
    harsh = replace(calm, shock_frac=0.06)
    assert [(end.mark_ticks, end.adl_lots) for end in product([calm, harsh])] == [(900.0, 0), (940.0, 90)]
    assert [oracle_rounds(calm), oracle_rounds(harsh)] == product([calm, harsh])


def test_the_worlds_are_awkward() -> None:
    # Without these the agreement above would prove little.
    seen: Counter[str] = Counter()
    for kind, side in PAIRS:
        for seed in range(300):
            worlds = random_rounds_worlds(Random(f"rounds {kind} {side} {seed}"), kind, side, 4)
            ends = [oracle_rounds(world) for world in worlds]
            for world, end in zip(worlds, ends, strict=True):
                note_awkwardness(seen, world, end)
            sign = 1.0 if side == "long" else -1.0
            for (a, end_a), (b, end_b) in zip(
                zip(worlds, ends, strict=True), zip(worlds[1:], ends[1:], strict=True), strict=False
            ):
                if (a.w, a.phi) == (b.w, b.phi) and sign * end_b.mark_ticks > sign * end_a.mark_ticks:
                    seen["harsher shock ends calmer"] += 1
                    seen["harsher shock ends calmer by the fund alone"] += a.replenishment_frac == 0.0
    kinds_of_awkwardness = (
        "no cap, no refilling",
        "ADL",
        "ADL of part of a round",
        "fund used, not emptied",
        "fund emptied to the last bit",
        "book refilled, mark turned back",
        "exhausted at the end",
        "exhausted and recovered",
        "forced, nothing sold",
        "bankrupt before the trigger",
        "tied triggers and bankruptcies",
        "bucket past the mark",
        "phi withholds",
        "four rounds or more",
        "harsher shock ends calmer",
        "harsher shock ends calmer by the fund alone",
    )
    assert min(seen[name] for name in kinds_of_awkwardness) >= 10, str({n: seen[n] for n in kinds_of_awkwardness})


def note_awkwardness(seen: Counter[str], world: RoundsWorld, end: OracleRounds) -> None:
    """Count what is awkward in a scenario and its end."""
    prices = [(trigger, broke) for trigger, _, broke in world.buckets]
    seen["no cap, no refilling"] += math.isinf(world.fund_ticklots) and world.replenishment_frac == 0.0
    seen["ADL"] += end.adl_lots > 0
    seen["ADL of part of a round"] += end.adl_lots > 0 and end.insurance_used_ticklots > 0.0
    seen["fund used, not emptied"] += 0.0 < end.insurance_used_ticklots < world.fund_ticklots
    seen["fund emptied to the last bit"] += 0.0 < end.insurance_used_ticklots == world.fund_ticklots
    seen["book refilled, mark turned back"] += end.mark_ticks != end.trough_ticks
    seen["exhausted at the end"] += end.unabsorbed_lots > 0
    seen["exhausted and recovered"] += end.is_exhausted and end.mark_ticks != end.trough_ticks
    seen["forced, nothing sold"] += end.forced_lots > 0 and end.sold_lots == 0
    seen["bankrupt before the trigger"] += any((b > t) == (world.side == "long") and b != t for t, b in prices)
    seen["tied triggers and bankruptcies"] += len(set(prices)) < len(prices)
    seen["bucket past the mark"] += end.excluded_lots > 0
    seen["phi withholds"] += end.not_sold_lots > 0
    seen["four rounds or more"] += end.rounds >= 4
