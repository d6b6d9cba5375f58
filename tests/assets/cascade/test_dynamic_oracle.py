"""The dynamic replay against the naive oracle: two authors read one page, and every bit of every figure must be equal.

Belongs here: the comparison on random worlds, proof that the worlds reach what they are for, and days worked by hand. Does not:
how the product computes it, laws, refusals.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from typing import Any

import dynamic_oracle as oracle
import numpy as np
import pytest
from dynamic_worlds import KINDS, Rules, World, random_batch, shrink

from assets.cascade.dynamic import (
    BASELINE,
    CONSTANT_DEPTH,
    Book,
    DayMarket,
    DayPath,
    DepthProcess,
    Impact,
    Openings,
    Policy,
    SideFuel,
    replay_counterfactual,
    replay_free,
    replay_path,
)

# A cell: one world x one mode x one policy (mode 2 has no policy: x side asked about x origin of the orders).
Cell = tuple[str, int, Policy | None, Any, Any]
MODES = ("path", "free", "long simulated", "long reported", "short simulated", "short reported")


def cells_of(rules: Rules, worlds: list[World]) -> Iterator[Cell]:
    """Yield (mode, world's position, policy, product's answer, oracle's answer) for all modes of a few worlds."""
    markets, paths = [w.market for w in worlds], [w.path for w in worlds]
    impact, policies, threads = rules.impact, rules.policies, rules.threads
    along = replay_path(markets, paths, policies, threads=threads)
    free = replay_free(
        markets,
        [w.shock_ticks for w in worlds],
        impact,
        policies,
        n_steps=rules.n_steps,
        rounds_per_step=rules.rounds_per_step,
        threads=threads,
    )
    for i, world in enumerate(worlds):
        rows = [row.tolist() for row in (world.path.low_ticks, world.path.high_ticks, world.path.close_ticks)]
        for j, policy in enumerate(policies):
            yield "path", i, policy, along[i][j], oracle.path_driven(world.market, *rows, policy)
            ours = oracle.free_running(
                world.market, world.shock_ticks, impact, policy, rules.n_steps, rules.rounds_per_step
            )
            yield "free", i, policy, free[i][j], ours
    ends = {"max_iterations": rules.max_iterations, "tolerance": rules.tolerance}
    for mode in MODES[2:]:
        side, origin = mode.split()
        reported = [w.reported_lots for w in worlds] if origin == "reported" else None
        answers = replay_counterfactual(
            markets, paths, impact, side=side, reported_lots=reported, threads=threads, **ends
        )
        for i, world in enumerate(worlds):
            lots = world.reported_lots if reported else None
            ours = oracle.counterfactual(
                world.market, world.path, impact, side, lots, rules.max_iterations, rules.tolerance
            )
            yield mode, i, None, answers[i], ours


def differences(theirs: Any, ours: Any, name: str = "") -> list[str]:
    """Return one line per field of the product's answer that is not the oracle's, bit for bit."""
    if is_dataclass(theirs):
        pairs = [(getattr(theirs, f.name), getattr(ours, f.name), f"{name}.{f.name}") for f in fields(theirs)]
        return [line for pair in pairs for line in differences(*pair)]
    if isinstance(theirs, np.ndarray):
        kind = np.float64 if theirs.dtype.kind == "f" else np.int64
        is_equal = theirs.dtype == kind and theirs.tobytes() == np.array(ours, kind).tobytes()
        theirs = theirs.tolist()
    elif isinstance(theirs, float) and isinstance(ours, float):
        is_equal = theirs.hex() == ours.hex()  # 0.0 is not -0.0
    else:
        is_equal = type(theirs) is type(ours) and theirs == ours
    return [] if is_equal else [f"{name}: product {theirs!r}, oracle {ours!r}"]


def report(world: World, rules: Rules) -> str:
    """Return a small world on which product and oracle part, and where they do."""

    def is_parting(one: World, under: Rules) -> bool:
        try:
            return any(differences(theirs, ours) for *_, theirs, ours in cells_of(under, [one]))
        except ValueError:  # cut down to something unlawful
            return False

    world, rules = shrink(world, rules, is_parting)
    with np.printoptions(floatmode="unique", threshold=1_000_000):  # every digit: one float may decide
        lines = ["a small world that parts them:", f"  {world}", f"  {rules}"]
    for mode, _, policy, theirs, ours in cells_of(rules, [world]):
        lines += [f"  {mode}, {policy}: {line}" for line in differences(theirs, ours)]
    return "\n".join(lines)


# --- what a cell has met ------------------------------------------------------------------------------------------------


def seen_in_inputs(world: World) -> Iterator[str]:
    """Yield what makes the world awkward before anything is replayed."""
    for name, side in (("long_fuel", "long"), ("short_fuel", "short")):
        fuel = getattr(world.market, name)
        prices = fuel.trigger_ticks.tolist()
        if len(set(prices)) < len(prices):
            yield "bins of equal price"
        if 0 in fuel.quantity_lots:
            yield "a bin without lots"
        if not prices:
            yield f"no {side} bins"
    if not len(world.market.long_fuel.trigger_ticks) + len(world.market.short_fuel.trigger_ticks):
        yield "no bins at all"
    if len(set(world.market.bids.relative_price.tolist())) < len(world.market.bids.relative_price):
        yield "book rows of equal price"


def seen_in_flow(flow: Any, policy: Policy) -> Iterator[str]:
    """Yield what happened to one side of modes 1 and 3."""
    if flow.total_forced_lots > flow.initial_lots:
        yield "an emptied bin was filled and forced again"
    if flow.total_forced_lots and flow.closed_lots:
        yield "closures beside forced lots"
    if flow.excluded_lots:
        yield "bins past the mark"
    if policy.leverage_cap_x is not None and flow.dropped_lots:
        yield f"dropped by the cap's rule {policy.cap_rule}"
    for part in ("netted", "adl", "not_sold", "unabsorbed"):
        if any(getattr(flow, f"{part}_lots")):
            yield f"{part} lots"


def seen_in(mode: str, world: World, rules: Rules, policy: Policy | None, ours: Any) -> Iterator[str]:
    """Yield what one cell has met, by the oracle's answer."""
    yield f"{mode} of kind {world.kind}"
    longs = world.market.long_fuel
    ahead = set(longs.trigger_ticks[longs.quantity_lots > 0].tolist())
    ahead = {price for price in ahead if price < world.market.mark_ticks}
    if policy is not None:
        for flow in (ours.long, ours.short):
            yield from (f"{mode}: {what}" for what in seen_in_flow(flow, policy))
        if ours.halted_steps:
            yield f"{mode}: halted steps"
            yield (
                f"{mode}: a halt that ended" if ours.halted_steps < rules.n_steps - 1 else f"{mode}: a halt to the end"
            )
        if policy.twap_steps > 1 and any(ours.long.forced_lots):
            yield f"{mode}: forced at the mean of marks"
        if policy.leverage_cap_x is not None and policy.cap_rule == "move" and any(ours.long.forced_lots):
            yield f"{mode}: forced under a cap"
    if mode == "path":
        lowest = world.path.low_ticks.min()
        if policy == BASELINE and lowest in ahead:
            yield "path: the lowest low is a trigger price"
        if policy == BASELINE and math.nextafter(lowest, 0.0) in ahead:
            yield "path: the lowest low misses a trigger price by one float"
    elif mode == "free":
        yield from seen_in_free(world, rules, policy, ours, ahead)
    else:
        yield from seen_in_counterfactual(mode, ours)


def seen_in_free(world: World, rules: Rules, policy: Policy, ours: Any, ahead: set[float]) -> Iterator[str]:
    """Yield what a free run has met."""
    forcing = sum(a + b > 0 for a, b in zip(ours.long.forced_lots, ours.short.forced_lots, strict=True))
    w = ours.depth_survival_frac
    if policy.twap_steps == 1 and any(ours.long.sold_lots) and ours.trough_ticks in ahead:
        yield "free: pushed exactly onto a trigger price"
    if ours.rounds >= forcing + 5:
        yield "free: a chain of rounds"
    if rules.rounds_per_step in (2, 3) and ours.rounds == rules.rounds_per_step * forcing > 0:
        yield "free: rounds ended by their number"
    if forcing > 1:
        yield "free: forced in several steps"
    if ours.trough_ticks == 1.0 < world.shock_ticks.min():
        yield "free: down to one tick"
    if any(after > before for before, after in pairwise(w)):
        yield "free: depth recovers"
    if rules.impact.depth.least_survival_frac in w:
        yield "free: depth at its floor"
    if policy.depth_scale_x != 1.0 and any(ours.long.sold_lots):
        yield "free: sold into a scaled book"
    if ours.peak_ticks > world.market.mark_ticks and any(ours.short.sold_lots):
        yield "free: bought on the way up"


def seen_in_counterfactual(mode: str, ours: Any) -> Iterator[str]:
    """Yield what a counterfactual has met."""
    side, _ = mode.split()
    if ours.first_share_frac is None:
        yield f"{mode}: move below 2 %"
    elif ours.endogenous_share_frac is None:
        yield f"{mode}: no fixed point"
    elif ours.iterations > 1 and ours.endogenous_share_frac != ours.first_share_frac:
        yield f"{mode}: fixed point apart from path 1"
    if ours.share_low_frac is not None and ours.share_low_frac < 0.0:
        yield f"{side} counterfactual: share below 0"
    if ours.share_high_frac is not None and ours.share_high_frac > 1.0:
        yield f"{side} counterfactual: share above 1"
    if ours.is_exhausted:
        yield f"{mode}: table ended"
    if 0 < ours.trough_step < 4:
        yield f"{mode}: trough inside the day"


MUST_BE_SEEN = {
    *(f"{mode} of kind {kind}" for mode in MODES for kind in KINDS),
    *("bins of equal price", "a bin without lots", "no long bins", "no short bins", "no bins at all"),
    "book rows of equal price",
    *(
        f"{mode}: {what}"
        for mode in ("path", "free")
        for what in (
            *("an emptied bin was filled and forced again", "closures beside forced lots", "bins past the mark"),
            *("dropped by the cap's rule move", "dropped by the cap's rule drop", "forced under a cap"),
            *("netted lots", "adl lots", "not_sold lots", "forced at the mean of marks"),
            *("halted steps", "a halt that ended", "a halt to the end"),
        )
    ),
    "path: the lowest low is a trigger price",
    "path: the lowest low misses a trigger price by one float",
    "free: unabsorbed lots",
    "free: pushed exactly onto a trigger price",
    "free: a chain of rounds",
    "free: rounds ended by their number",
    "free: forced in several steps",
    "free: down to one tick",
    "free: depth recovers",
    "free: depth at its floor",
    "free: sold into a scaled book",
    "free: bought on the way up",
    *(f"{mode}: {what}" for mode in MODES[2:] for what in ("move below 2 %", "table ended", "trough inside the day")),
    *(f"{side} counterfactual: share {what}" for side in ("long", "short") for what in ("below 0", "above 1")),
    *(f"{side} simulated: no fixed point" for side in ("long", "short")),
    *(f"{side} simulated: fixed point apart from path 1" for side in ("long", "short")),
}


@pytest.mark.timeout(1800)  # the full number is minutes of plain Python, and a busy machine has little of each minute
@pytest.mark.trial("dynamic_vs_oracle")
def test_every_field_equals_the_oracle_bit_for_bit(trial_count: Callable[..., int]) -> None:
    cells = trial_count(100_000, 3_000)
    seen: Counter[str] = Counter()
    compared = parted = number = 0
    first: tuple[World, Rules] | None = None
    while compared < cells:
        rules, worlds = random_batch(number)
        number += 1
        for world in worlds:
            seen.update(set(seen_in_inputs(world)))
        for mode, i, policy, theirs, ours in cells_of(rules, worlds):
            compared += 1
            seen.update(set(seen_in(mode, worlds[i], rules, policy, ours)))
            if differences(theirs, ours):
                parted += 1
                first = first or (worlds[i], rules)
    assert first is None, f"{parted} of {compared} cells differ; {report(*first)}"
    assert set(seen) >= MUST_BE_SEEN, f"never met: {sorted(MUST_BE_SEEN - set(seen))}"


# --- days worked by hand ------------------------------------------------------------------------------------------------

NOTHING = SideFuel(np.array([]), np.array([], np.int64))
# Ten lots for each 1/64 of the price, four rows down and four up.
BIDS = Book(1.0 - np.arange(1, 5) / 64, np.arange(1, 5) * 10)
ASKS = Book(1.0 + np.arange(1, 5) / 64, np.arange(1, 5) * 10)
MOMENTARY = np.array([1.0, 0.0, 0.0, 0.0])


def fuel(*bins: tuple[float, int], openings: tuple[tuple[int, int, int], ...] = (), leverage: float = 1.0) -> SideFuel:
    """Return bins of (price, lots), openings of (step, bin, lots)."""
    opened = Openings(*(np.array([row[i] for row in openings], np.int64) for i in range(3)))
    prices, lots = np.array([p for p, _ in bins]), np.array([q for _, q in bins], np.int64)
    return SideFuel(prices, lots, np.full(len(bins), leverage), opened)


def market_at(mark: float, longs: SideFuel = NOTHING, shorts: SideFuel = NOTHING, **changed: Any) -> DayMarket:
    return DayMarket(mark, longs, shorts, bids=BIDS, asks=ASKS, reference_lots=80, **changed)


def along(market: DayMarket, low: list[float], high: list[float], close: list[float], policy: Policy = BASELINE):
    """Return the product's mode 1 after the oracle said the same."""
    path = DayPath(np.array(low), np.array(high), np.array(close))
    ((answer,),) = replay_path([market], [path], (policy,))
    assert differences(answer, oracle.path_driven(market, low, high, close, policy)) == []
    return answer


def freely(
    market: DayMarket, shock: list[float], impact: Impact, n_steps: int, policy: Policy = BASELINE, rounds: int = 60
):
    """Return the product's mode 3 after the oracle said the same."""
    ((answer,),) = replay_free([market], [np.array(shock)], impact, (policy,), n_steps=n_steps, rounds_per_step=rounds)
    assert differences(answer, oracle.free_running(market, shock, impact, policy, n_steps, rounds)) == []
    return answer


def without_orders(market: DayMarket, path: DayPath, impact: Impact, reported: np.ndarray | None = None):
    """Return the product's mode 2 of a fall after the oracle said the same."""
    lots = None if reported is None else [reported]
    (answer,) = replay_counterfactual([market], [path], impact, reported_lots=lots)
    assert differences(answer, oracle.counterfactual(market, path, impact, "long", reported, 32, 1e-4)) == []
    return answer


def test_a_day_along_its_path_by_hand() -> None:
    # Half of every position closes in step 1: S = 1, 0.5, 0.5, 0.5.
    market = market_at(
        100.0,
        fuel((95.0, 10), (90.0, 20), (100.0, 3), openings=((1, 0, 4),)),
        fuel((105.0, 7)),
        closure_frac=np.array([0.0, 0.5, 0.0, 0.0]),
    )
    answer = along(market, [96, 95, 92, 90], [100, 105, 96, 93], [97, 96, 93, 91])
    # Step 0 reaches nothing: 95 < 96. The long at 100 is at the mark already: 3 lots excluded.
    # Step 1 touches 95: floor(10 * 0.5) = 5 forced, 5 closed; the short at 105: floor(7 * 0.5) = 3 forced, 4 closed.
    #   A = 5, B = 3: 3 meet each other, 2 are sold. Then 4 lots open at 95, too late for this step.
    # Step 2 goes to 92: the 4 opened lots, uncut (S / s = 1). Step 3 touches 90: 10 of 20.
    assert answer.long.forced_lots.tolist() == [0, 5, 4, 10]
    assert answer.long.forced_notional_ticklots.tolist() == [0.0, 95.0 * 5, 95.0 * 4, 90.0 * 10]
    assert answer.long.netted_lots.tolist() == answer.short.netted_lots.tolist() == [0, 3, 0, 0]
    assert answer.long.sold_lots.tolist() == [0, 2, 4, 10]
    assert answer.short.forced_lots.tolist() == [0, 3, 0, 0] and not answer.short.sold_lots.any()
    # 33 + 4 = 0 dropped + 3 excluded + 19 forced + (5 + 10) closed + 0.
    day = answer.long
    assert (day.initial_lots, day.opened_lots, day.excluded_lots) == (33, 4, 3)
    assert (day.total_forced_lots, day.closed_lots, day.remaining_lots) == (19, 15, 0)


def test_adl_and_the_sold_share_by_hand() -> None:
    # 11 forced: floor(0.5 * 11) = 5 by ADL; of the other 6, floor(0.6 * 6 = 3.6) = 3 are sold and 3 are not.
    market = market_at(100.0, fuel((95.0, 11)), sold_share_frac=0.6)
    day = along(market, [90], [100], [91], Policy("adl", adl_share_frac=0.5)).long
    assert (day.adl_lots[0], day.sold_lots[0], day.not_sold_lots[0]) == (5, 3, 3)


def test_a_leverage_cap_by_hand() -> None:
    # Entry 100 at 20x is liquidated at 95; at 10x at 95 * (1 - 1/10) / (1 - 1/20) = 90. A 5x short at 120 stays.
    market = market_at(100.0, fuel((95.0, 8), leverage=20.0, openings=((0, 0, 2),)), fuel((120.0, 5), leverage=5.0))
    moved = along(market, [91, 89.9], [100, 120], [92, 95], Policy("cap", leverage_cap_x=10.0))
    assert moved.long.forced_lots.tolist() == [0, 10] and moved.short.forced_lots.tolist() == [0, 5]
    assert moved.long.forced_notional_ticklots[1] == pytest.approx(90.0 * 10, rel=1e-15)
    dropped = along(market, [91, 89.9], [100, 120], [92, 95], Policy("cap", leverage_cap_x=10.0, cap_rule="drop")).long
    assert (dropped.initial_lots, dropped.opened_lots, dropped.dropped_lots, dropped.total_forced_lots) == (8, 2, 10, 0)


def test_a_circuit_breaker_by_hand() -> None:
    # 128 * (1 - 1/16) = 120: the close of step 0 is exactly there, so steps 1 and 2 are halted, and 116 is visited unseen.
    # Step 3 looks again and reaches 118 only. From 120 to 117 is less than 1/16: no new halt.
    market = market_at(128.0, fuel((116.0, 5), (118.0, 2)))
    policy = Policy("breaker", breaker_move_frac=1 / 16, breaker_window_steps=1, breaker_halt_steps=2)
    low, high, close = [120, 115, 120, 117, 117], [128, 121, 121, 121, 118], [120, 120, 120, 117, 118]
    halted = along(market, low, high, close, policy)
    assert halted.long.forced_lots.tolist() == [0, 0, 0, 2, 0] and halted.halted_steps == 2
    assert along(market, low, high, close).long.forced_lots.tolist() == [0, 7, 0, 0, 0]


def test_a_mean_of_marks_by_hand() -> None:
    # N = 2: step 0 looks at (100 + 90) / 2 = 95, step 1 at (close 90 + low 94) / 2 = 92, step 2 at (94 + 94) / 2 = 94.
    market = market_at(100.0, fuel((95.0, 1), (92.0, 2), (91.0, 4)))
    day = along(market, [90, 94, 94], [100, 95, 95], [90, 94, 95], Policy("mean", twap_steps=2)).long
    assert day.forced_lots.tolist() == [1, 2, 0] and day.remaining_lots == 4


def test_a_chain_that_runs_out_of_book_by_hand() -> None:
    # News takes 1024 to 1008, where 10 lots wait. They eat one row: 1008 * 63/64 = 992.25, where 10 more wait:
    # 1008 * 62/64 = 976.5, where 25 wait. 45 lots meet a book of 40: the mark ends at its last row, 1008 * 60/64 = 945,
    # 5 lots find no buyer. 944 is not reached. Impact is momentary: step 1 is back at 1008.
    market = market_at(1024.0, fuel((1008.0, 10), (992.25, 10), (976.5, 25), (944.0, 9)))
    depth = DepthProcess(2.0, 1.0, half_life_steps=1.0)
    answer = freely(market, [1008.0], Impact(MOMENTARY, depth), 3)
    assert answer.mark_ticks.tolist() == [945.0, 1008.0, 1008.0]
    assert (answer.rounds, answer.duration_steps, answer.is_exhausted) == (3, 1, True)
    assert answer.long.sold_lots.tolist() == [40, 0, 0] and answer.long.unabsorbed_lots.tolist() == [5, 0, 0]
    assert answer.long.forced_notional_ticklots[0] == 1008.0 * 10 + 992.25 * 10 + 976.5 * 25
    # Depth: step 0 moved by 79/1024 and sold 40 of 80 reference lots: hit = 2 * 79/1024 + 0.5 = 670/1024, so
    # W_1 = 1 / (1694/1024). Step 1 moved back by 63/945 and sold nothing; half of what is missing comes back first:
    # W_2 = (1 - (1 - W_1)/2) / (1 + 2 * 63/945).
    assert answer.depth_survival_frac[:2].tolist() == [1.0, 1024 / 1694]
    assert answer.depth_survival_frac[2] == pytest.approx((1 + 1024 / 1694) / 2 / (1 + 2 / 15), rel=1e-14)
    # One round per step: 10 lots at once, 992.25; momentary impact then lets the price go, and the second bin is spared.
    slow = freely(market, [1008.0], Impact(MOMENTARY, depth), 3, rounds=1)
    assert slow.mark_ticks.tolist() == [992.25, 1008.0, 1008.0] and slow.long.remaining_lots == 44
    # Twice the book: 10 lots are half a row, 1008 * (1 - 1/128) = 1000.125, and nothing more is reached.
    deep = freely(market, [1008.0], Impact(MOMENTARY, depth), 3, Policy("deep", depth_scale_x=2.0))
    assert deep.trough_ticks == 1000.125 and deep.rounds == 1


def test_permanent_impact_leaves_less_room_by_hand() -> None:
    # Permanent impact: 30 lots of step 0 leave a load of -30, so the mark stands at 1024 * 61/64 = 976 and room for 10.
    # 25 lots are opened at 980 behind the price in step 0: step 1 forces them, 10 find room, 15 do not.
    market = market_at(1024.0, fuel((1020.0, 30), (980.0, 0), openings=((0, 1, 25),)))
    answer = freely(market, [1020.0, 1024.0], Impact(np.ones(2), CONSTANT_DEPTH), 2)
    assert answer.mark_ticks.tolist() == [1020.0 * 61 / 64, 1024.0 * 60 / 64]
    assert answer.long.sold_lots.tolist() == [30, 10] and answer.long.unabsorbed_lots.tolist() == [0, 15]
    # In half of the depth the same 30 lots are a load of 60: 20 find room and the table ends at once.
    thin = freely(market, [1020.0], Impact(np.ones(2), replace(CONSTANT_DEPTH, initial_survival_frac=0.5)), 1)
    assert thin.long.sold_lots.tolist() == [20] and thin.mark_ticks.tolist() == [1020.0 * 60 / 64]


def test_depth_comes_back_with_its_half_life_by_hand() -> None:
    # No flow, no sensitivity, half-life of one step: 3/4 missing, then 3/8, 3/16, 3/32.
    depth = DepthProcess(0.0, 0.0, 1.0, 0.05, 0.25)
    answer = freely(market_at(1024.0), [1000.0], Impact(np.ones(4), depth), 4)
    assert answer.depth_survival_frac.tolist() == [1 - 3 / 4, 1 - 3 / 8, 1 - 3 / 16, 1 - 3 / 32]


def test_a_counterfactual_with_a_fixed_point_by_hand() -> None:
    # A fall from 1024 to 960 reached 10 lots at 1000. Without them (one row, 63/64) the low is 960 * 64/63 = 975.24, which
    # still reaches 1000: path 2 is path 1. Share = 1 - ln(975.238.. / 1024) / ln(960 / 1024) = 1 - 0.048790 / 0.064539.
    path = DayPath(np.array([960.0]), np.array([1024.0]), np.array([960.0]))
    impact = Impact(np.ones(1), CONSTANT_DEPTH)
    answer = without_orders(market_at(1024.0, fuel((1000.0, 10))), path, impact)
    truth = 1 - math.log(15 / 16 * 64 / 63) / math.log(15 / 16)
    assert truth == pytest.approx(0.2440, abs=5e-5)
    assert answer.endogenous_share_frac == answer.first_share_frac == pytest.approx(truth, rel=1e-13)
    assert (answer.iterations, answer.is_converged, answer.orders_origin) == (2, True, "simulated")
    assert answer.low_ticks.tolist() == [960.0 / (63 / 64)] and answer.forced_long_lots.tolist() == [10]
    # Reported orders are a fact: 12 longs less 2 shorts are the same 10 lots, and nothing is triggered again.
    told = without_orders(market_at(1024.0), path, impact, np.array([[12], [2]]))
    assert (told.iterations, told.is_converged, told.orders_origin) == (1, True, "reported")
    assert told.share_low_frac == told.share_high_frac == told.endogenous_share_frac == answer.first_share_frac


def test_a_counterfactual_that_swings_by_hand() -> None:
    # The same fall with the fuel at 970: path 1 ends at 975.24 and does not reach it, so path 2 is the observed fall,
    # path 3 is path 1 again, and so on: no fixed point, only the pair (0, 0.244). Path 32 is even: the orders are none.
    path = DayPath(np.array([960.0]), np.array([1024.0]), np.array([960.0]))
    answer = without_orders(market_at(1024.0, fuel((970.0, 10))), path, Impact(np.ones(1), CONSTANT_DEPTH))
    assert (answer.iterations, answer.is_converged, answer.endogenous_share_frac) == (32, False, None)
    assert answer.share_low_frac == 0.0 and answer.share_high_frac == answer.first_share_frac > 0.24
    assert answer.low_ticks.tolist() == [960.0] and answer.forced_long_lots.tolist() == [0]


def test_a_small_move_has_no_share_by_hand() -> None:
    # ln(1004 / 1024) = -0.0197: below 2 %, so there are paths and no share.
    path = DayPath(np.array([1004.0]), np.array([1024.0]), np.array([1004.0]))
    answer = without_orders(market_at(1024.0, fuel((1020.0, 10))), path, Impact(np.ones(1), CONSTANT_DEPTH))
    assert answer.endogenous_share_frac is answer.share_low_frac is answer.first_share_frac is None
    assert answer.low_ticks.tolist() == [1004.0 / (63 / 64)]
