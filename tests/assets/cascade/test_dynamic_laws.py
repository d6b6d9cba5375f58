"""Laws of the dynamic replay: conservation, monotonicity, permutation, units, nesting of the modes, the share's meaning.

Belongs here: statements of section 9 of docs/cascade_dynamic.md, on random days. Does not: equality with the naive version
(``test_dynamic_agreement.py``), refusals (``test_dynamic_validation.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from dynamic_cases import MARK, random_impact, random_market, random_path, random_policy, random_shock, unbalanced

from assets.cascade.dynamic import (
    BASELINE,
    CONSTANT_DEPTH,
    POLICIES,
    Book,
    DayMarket,
    DayPath,
    DepthProcess,
    Impact,
    Openings,
    Policy,
    SideFuel,
    power_law_kernel,
    price_grid,
    replay_counterfactual,
    replay_free,
    replay_path,
)
from assets.cascade.simulate import Fuel, Scenario, replay_static

NO_FUEL = SideFuel(np.empty(0), np.empty(0, dtype=np.int64))


def scaled_lots(fuel: SideFuel, by: int) -> SideFuel:
    openings = replace(fuel.openings, lots=fuel.openings.lots * by)
    return replace(fuel, quantity_lots=fuel.quantity_lots * by, openings=openings)


def whole_lots(market: DayMarket) -> DayMarket:
    """No floors at work: everything is sold and nothing closes."""
    return replace(market, closure_frac=None, sold_share_frac=1.0)


@pytest.mark.trial("dynamic_law_conservation")
def test_lots_are_conserved_per_step_and_over_the_day(trial_count: Callable[..., int]) -> None:
    for seed in range(trial_count(10_000, 100)):
        rng = np.random.default_rng([11, seed])
        n = int(rng.integers(1, 15))
        market, policy, impact = random_market(rng, n), random_policy(rng), random_impact(rng, n)
        (driven,) = replay_path([market], [random_path(rng, n)], [policy])[0]
        (free,) = replay_free([market], [random_shock(rng, n)], impact, [policy], n_steps=n)[0]
        for found in (driven, free):
            assert unbalanced(found.long) + unbalanced(found.short) == [], seed
            assert np.array_equal(found.long.netted_lots, found.short.netted_lots), seed


@pytest.mark.trial("dynamic_law_monotone_in_range")
def test_a_wider_path_never_forces_less(trial_count: Callable[..., int]) -> None:
    grew = 0
    for seed in range(trial_count(10_000, 200)):
        rng = np.random.default_rng([12, seed])
        n = int(rng.integers(1, 15))
        market = random_market(rng, n)
        without = [
            replace(f, openings=Openings(*(np.empty(0, int),) * 3)) for f in (market.long_fuel, market.short_fuel)
        ]
        market = replace(market, long_fuel=without[0], short_fuel=without[1])
        path = random_path(rng, n)
        wider = DayPath(
            np.maximum(path.low_ticks - rng.integers(0, 20, n), 1.0),
            path.high_ticks + rng.integers(0, 20, n),
            path.close_ticks,
        )
        (narrow,), (wide,) = replay_path([market, market], [path, wider])
        assert wide.long.total_forced_lots >= narrow.long.total_forced_lots, seed
        assert wide.short.total_forced_lots >= narrow.short.total_forced_lots, seed
        grew += wide.long.total_forced_lots > narrow.long.total_forced_lots
    assert grew > 0


@pytest.mark.trial("dynamic_law_no_fuel")
def test_without_fuel_the_counterfactual_is_the_observed_path(trial_count: Callable[..., int]) -> None:
    shown = 0
    for seed in range(trial_count(10_000, 100)):
        rng = np.random.default_rng([13, seed])
        n = int(rng.integers(1, 15))
        market = replace(random_market(rng, n), long_fuel=NO_FUEL, short_fuel=NO_FUEL)
        path, impact, side = random_path(rng, n), random_impact(rng, n), str(rng.choice(["long", "short"]))
        (found,) = replay_counterfactual([market], [path], impact, side=side)
        end = found.trough_step + 1
        assert np.array_equal(found.low_ticks, path.low_ticks[:end]), seed
        assert np.array_equal(found.close_ticks, path.close_ticks[:end]), seed
        assert found.is_converged and found.iterations == 1 and not found.is_exhausted, seed
        shares = (found.endogenous_share_frac, found.share_low_frac, found.share_high_frac, found.first_share_frac)
        assert shares in ((0.0,) * 4, (None,) * 4), seed
        assert (shares[0] is None) == (abs(found.observed_log_frac) < 0.02), seed
        shown += shares[0] is not None
        (free,) = replay_free([market], [path.close_ticks], impact, n_steps=n)[0]
        assert np.array_equal(free.mark_ticks, path.close_ticks) and free.duration_steps == 0, seed
    assert shown > 0


@pytest.mark.trial("dynamic_law_permutation")
def test_the_order_of_bins_changes_no_bit(trial_count: Callable[..., int]) -> None:
    for seed in range(trial_count(10_000, 100)):
        rng = np.random.default_rng([14, seed])
        n = int(rng.integers(1, 15))
        market, policy, path = random_market(rng, n), random_policy(rng), random_path(rng, n)
        sides = []
        for fuel, is_long in ((market.long_fuel, True), (market.short_fuel, False)):
            distinct = MARK + (-1 if is_long else 1) * (np.arange(fuel.quantity_lots.size) * 7.0 - 30.0)
            sides.append(replace(fuel, trigger_ticks=distinct))
        mixed = []
        for fuel in sides:
            order = rng.permutation(fuel.quantity_lots.size)
            place = np.argsort(order)
            openings = replace(fuel.openings, bin=place[fuel.openings.bin])
            mixed.append(
                SideFuel(fuel.trigger_ticks[order], fuel.quantity_lots[order], fuel.leverage_x[order], openings)
            )
        one = replace(market, long_fuel=sides[0], short_fuel=sides[1])
        two = replace(market, long_fuel=mixed[0], short_fuel=mixed[1])
        if policy.leverage_cap_x is not None and policy.cap_rule == "move":
            policy = replace(policy, cap_rule="drop")  # moved bins may meet, then the caller's order counts
        (first,), (second,) = replay_path([one, two], [path, path], [policy])
        for a, b in ((first.long, second.long), (first.short, second.short)):
            assert np.array_equal(a.forced_lots, b.forced_lots), seed
            assert np.array_equal(a.forced_notional_ticklots, b.forced_notional_ticklots), seed
            assert (a.closed_lots, a.remaining_lots, a.dropped_lots) == (
                b.closed_lots,
                b.remaining_lots,
                b.dropped_lots,
            )


@pytest.mark.trial("dynamic_law_units")
def test_units_that_are_powers_of_two_change_nothing_else(trial_count: Callable[..., int]) -> None:
    for seed in range(trial_count(10_000, 100)):
        rng = np.random.default_rng([15, seed])
        n = int(rng.integers(1, 15))
        market, impact, shock = whole_lots(random_market(rng, n)), random_impact(rng, n), random_shock(rng, n)
        deep = [replace(b, cumulative_lots=b.cumulative_lots + 10**7) for b in (market.bids, market.asks)]
        market = replace(market, bids=deep[0], asks=deep[1])  # never exhausted: whole rooms are floors
        shock = np.maximum(shock, 500.0)
        fine = replace(
            market,
            long_fuel=scaled_lots(market.long_fuel, 8),
            short_fuel=scaled_lots(market.short_fuel, 8),
            bids=replace(deep[0], cumulative_lots=deep[0].cumulative_lots * 8),
            asks=replace(deep[1], cumulative_lots=deep[1].cumulative_lots * 8),
            reference_lots=market.reference_lots * 8,
        )
        ticks = replace(
            market,
            mark_ticks=MARK * 4,
            long_fuel=replace(market.long_fuel, trigger_ticks=market.long_fuel.trigger_ticks * 4),
            short_fuel=replace(market.short_fuel, trigger_ticks=market.short_fuel.trigger_ticks * 4),
        )
        (base,), (lots,), (prices,) = replay_free([market, fine, ticks], [shock, shock, shock * 4], impact, n_steps=n)
        assert not base.is_exhausted, seed
        assert np.array_equal(base.mark_ticks, lots.mark_ticks), seed
        assert np.array_equal(base.long.forced_lots * 8, lots.long.forced_lots), seed
        assert np.array_equal(base.mark_ticks * 4, prices.mark_ticks), seed
        assert np.array_equal(base.short.forced_lots, prices.short.forced_lots), seed
        assert np.array_equal(base.long.forced_notional_ticklots * 4, prices.long.forced_notional_ticklots), seed


@pytest.mark.trial("dynamic_law_nests_static")
def test_one_step_is_the_static_replay(trial_count: Callable[..., int]) -> None:
    """One lot per row and prices that are exact: interpolation meets the rows, so every figure is the static one."""
    impact, p0 = Impact(power_law_kernel(1), CONSTANT_DEPTH), 2.0**20
    rows = np.arange(1, 3001)
    for seed in range(trial_count(10_000, 60)):
        rng = np.random.default_rng([16, seed])
        side, d = (("long", -1.0), ("short", 1.0))[seed % 2]
        away = rng.integers(1, 2**19, 40)
        fuel = SideFuel(p0 + d * away, rng.integers(1, 60, 40))  # a round of empty bins counts there, not here
        books = Book(1.0 - rows / 4096, rows), Book(1.0 + rows / 4096, rows)
        longs, shorts = (fuel, NO_FUEL) if side == "long" else (NO_FUEL, fuel)
        shock = int(rng.integers(1, 256)) / 1024
        market = DayMarket(p0, longs, shorts, *books, 1)
        (free,) = replay_free([market], [np.array([p0 * (1.0 + d * shock)])], impact, n_steps=1, rounds_per_step=10**6)[
            0
        ]
        book = books[0] if side == "long" else books[1]
        static_fuel = Fuel(fuel.trigger_ticks, fuel.quantity_lots, fuel.trigger_ticks)
        (static,) = replay_static(p0, book, static_fuel, [Scenario(shock, "reprice", side)])
        found = free.long if side == "long" else free.short
        assert free.mark_ticks[0] == static.mark_ticks, seed
        assert (found.total_forced_lots, found.sold_lots[0]) == (static.forced_lots, static.sold_lots), seed
        assert free.rounds == static.rounds, seed
        assert np.isclose(found.forced_notional_ticklots[0], static.forced_notional_ticklots, rtol=1e-12), seed


@pytest.mark.trial("dynamic_law_first_pass_inverts")
def test_the_first_path_takes_back_what_the_free_run_added(trial_count: Callable[..., int]) -> None:
    moved = 0
    for seed in range(trial_count(10_000, 100)):
        rng = np.random.default_rng([17, seed])
        n = int(rng.integers(2, 20))
        market = replace(random_market(rng, n), short_fuel=NO_FUEL)
        deep = np.cumsum(rng.integers(1, 3000, 60))
        market = replace(market, bids=Book(1.0 - np.arange(1, 61) * 0.01, deep + 10**6))
        impact = random_impact(rng, n)
        shock = np.maximum(random_shock(rng, n), 300.0)
        (free,) = replay_free([market], [shock], impact, n_steps=n, rounds_per_step=10**6)[0]
        path = DayPath(free.mark_ticks, free.mark_ticks, free.mark_ticks)
        (driven,) = replay_path([market], [path])[0]
        assert np.array_equal(driven.long.forced_lots, free.long.forced_lots), seed
        (found,) = replay_counterfactual([market], [path], impact, max_iterations=1)
        if free.is_exhausted:
            # The table has ended: impact is understated, the law does not hold, and both say so.
            assert found.is_exhausted, seed
            continue
        outer = shock[np.minimum(np.arange(found.trough_step + 1), shock.size - 1)]
        assert np.allclose(found.close_ticks, outer, rtol=1e-12), seed
        assert np.array_equal(found.depth_survival_frac, free.depth_survival_frac[: found.trough_step + 1]), seed
        moved += not np.allclose(free.mark_ticks[: outer.size], outer)
    assert moved > 0


def model_world(lots_per_tick: int) -> tuple[DayMarket, Impact, np.ndarray]:
    """The example of section 6: 100 lots of book per tick of 1 bps, fuel from 1 % to 13 % below, a shock of 5 % in 10 steps."""
    p0, rows = 10_000.0, np.arange(1, 5001)
    trigger = p0 - np.arange(100.0, 1300.0)
    fuel = SideFuel(trigger, np.full(trigger.size, lots_per_tick))
    market = DayMarket(
        p0, fuel, NO_FUEL, Book(1 - rows / 10_000, rows * 100), Book(1 + rows / 10_000, rows * 100), 10_000
    )
    shock = p0 * (1 - 0.05 * np.arange(1, 11) / 10)
    return market, Impact(power_law_kernel(40), CONSTANT_DEPTH), shock


def test_the_fixed_point_lies_below_the_truth_and_may_not_exist() -> None:
    found = {}
    for lots in (70, 150):
        market, impact, shock = model_world(lots)
        (free,) = replay_free([market], [shock], impact, n_steps=40)[0]
        path = DayPath(free.mark_ticks, free.mark_ticks, free.mark_ticks)
        (lifted,) = replay_counterfactual([market], [path], impact)
        outer = shock[min(lifted.trough_step, 9)]
        truth = 1 - np.log(outer / market.mark_ticks) / lifted.observed_log_frac
        assert lifted.first_share_frac == pytest.approx(truth, abs=1e-12)
        found[lots] = (
            lifted.first_share_frac,
            lifted.endogenous_share_frac,
            lifted.share_low_frac,
            lifted.share_high_frac,
        )
        assert lifted.is_converged == (lots == 70)
    assert found[70][:2] == pytest.approx((0.395, 0.277), abs=5e-4)
    assert found[150][1] is None
    assert found[150][2:] == pytest.approx((0.0007, 0.952), abs=5e-4)
    assert found[150][0] == pytest.approx(0.952, abs=5e-4)


def test_reported_orders_are_taken_as_they_are() -> None:
    market, impact, shock = model_world(70)
    (free,) = replay_free([market], [shock], impact, n_steps=40)[0]
    path = DayPath(free.mark_ticks, free.mark_ticks, free.mark_ticks)
    orders = np.stack([free.long.forced_lots, free.short.forced_lots])
    (reported,) = replay_counterfactual([market], [path], impact, reported_lots=[orders])
    (simulated,) = replay_counterfactual([market], [path], impact, max_iterations=1)
    assert (reported.orders_origin, simulated.orders_origin) == ("reported", "simulated")
    assert reported.is_converged and reported.iterations == 1
    assert reported.endogenous_share_frac == simulated.first_share_frac
    assert reported.share_low_frac == reported.share_high_frac == reported.endogenous_share_frac
    half = replay_counterfactual([market], [path], impact, reported_lots=[orders // 2])[0]
    assert 0 < half.endogenous_share_frac < reported.endogenous_share_frac


@pytest.mark.trial("dynamic_law_termination")
def test_every_replay_ends_within_its_rounds(trial_count: Callable[..., int]) -> None:
    for seed in range(trial_count(10_000, 60)):
        rng = np.random.default_rng([18, seed])
        n, rounds = int(rng.integers(1, 12)), int(rng.integers(1, 4))
        market, impact = random_market(rng, n), random_impact(rng, n)
        (free,) = replay_free([market], [random_shock(rng, n)], impact, n_steps=n, rounds_per_step=rounds)[0]
        assert 0 <= free.rounds <= n * rounds, seed
        assert np.all(free.mark_ticks >= 1.0) and np.all(np.isfinite(free.mark_ticks)), seed
        least = impact.depth.least_survival_frac
        assert np.all((free.depth_survival_frac >= least) & (free.depth_survival_frac <= 1)), seed
        assert free.duration_steps <= n, seed


# --- one rule each, by hand -----------------------------------------------------------------------------------------------


def flat(values) -> DayPath:
    row = np.array(values, dtype=float)
    return DayPath(row, row, row)


def long_only(triggers, lots, **changed) -> DayMarket:
    rows = np.array([10, 100, 1000])
    books = Book(np.array([0.99, 0.95, 0.5]), rows), Book(np.array([1.01, 1.05, 1.5]), rows)
    fuel = SideFuel(np.array(triggers, dtype=float), np.array(lots), changed.pop("leverage", None))
    return DayMarket(100.0, fuel, NO_FUEL, *books, 10, **changed)


def test_a_trigger_is_inclusive_and_a_bin_is_emptied_once() -> None:
    (found,) = replay_path([long_only([99, 98, 97], [1, 2, 4])], [flat([98, 100, 98, 97.5, 97])])[0]
    assert found.long.forced_lots.tolist() == [3, 0, 0, 0, 4]
    assert found.long.forced_notional_ticklots.tolist() == [99 + 196, 0, 0, 0, 388]


def test_bins_past_the_mark_are_excluded_and_counted() -> None:
    (found,) = replay_path([long_only([101, 100, 99], [1, 2, 4])], [flat([99])])[0]
    assert (found.long.excluded_lots, found.long.total_forced_lots) == (3, 4)


def test_closures_shrink_what_is_forced_and_openings_are_reached_from_the_next_step_on() -> None:
    market = long_only([99, 90], [10, 7], closure_frac=np.array([0.5, 0.5, 0.0, 0.0]))
    opened = replace(market.long_fuel, openings=Openings(np.array([1]), np.array([0]), np.array([8])))
    market = replace(market, long_fuel=opened)
    (found,) = replay_path([market], [flat([100, 99, 99, 80])])[0]
    # floor(10 / 4) at step 1; the 8 opened then are whole at step 2; floor(7 / 4) at step 3.
    assert found.long.forced_lots.tolist() == [0, 2, 8, 1]
    assert (found.long.opened_lots, found.long.closed_lots, found.long.remaining_lots) == (8, 8 + 6, 0)


def test_a_breaker_halts_the_next_steps_and_spares_what_the_price_leaves() -> None:
    policy = Policy("halt", breaker_move_frac=0.05, breaker_window_steps=1, breaker_halt_steps=2)
    market, path = long_only([94, 92, 85], [1, 2, 4]), flat([95, 92, 96, 95, 84])
    free, halted = replay_path([market], [path], [BASELINE, policy])[0]
    assert free.long.forced_lots.tolist() == [0, 3, 0, 0, 4]
    assert halted.long.forced_lots.tolist() == [0, 0, 0, 0, 7]
    assert halted.halted_steps == 2


def test_a_mean_guard_looks_at_the_last_marks() -> None:
    market, path = long_only([97, 95], [1, 2]), flat([94, 94, 94])
    plain, guarded = replay_path([market], [path], [BASELINE, Policy("mean", twap_steps=3)])[0]
    assert plain.long.forced_lots.tolist() == [3, 0, 0]
    # Means of the last three marks, 100 before the day: 98, 96, 94.
    assert guarded.long.forced_lots.tolist() == [0, 1, 2]


def test_adl_and_sold_share_split_the_step() -> None:
    market = long_only([99, 98], [5, 6], sold_share_frac=0.5)
    (found,) = replay_path([market], [flat([98])], [Policy("adl", adl_share_frac=0.25)])[0]
    side = found.long
    assert [int(x[0]) for x in (side.forced_lots, side.adl_lots, side.sold_lots, side.not_sold_lots)] == [11, 2, 4, 5]


def test_a_leverage_cap_moves_or_drops() -> None:
    market = long_only([96, 80], [3, 5], leverage=np.array([25.0, 5.0]))
    drop, move = (Policy(rule, leverage_cap_x=10.0, cap_rule=rule) for rule in ("drop", "move"))
    plain, dropped, moved = replay_path([market], [flat([96, 90, 89])], [BASELINE, drop, move])[0]
    assert plain.long.forced_lots.tolist() == [3, 0, 0]
    assert dropped.long.total_forced_lots == 0 and dropped.long.dropped_lots == 3
    # 96 = EP (1 - 1/25), so EP = 100, and at 10x the position is gone at 90 (one rounding above or below it).
    assert moved.long.forced_lots.sum() == 3 and moved.long.forced_lots[0] == 0
    assert moved.long.forced_notional_ticklots.sum() == pytest.approx(270.0)


def test_depth_falls_with_returns_and_comes_back_with_its_half_life() -> None:
    impact = Impact(power_law_kernel(12), DepthProcess(10.0, 0.0, half_life_steps=3.0))
    market = replace(long_only([1], [0]), mark_ticks=100.0)
    (free,) = replay_free([market], [np.array([90.0])], impact, n_steps=12)[0]
    w = free.depth_survival_frac
    assert w[0] == 1.0 and w[1] == pytest.approx(0.5)  # a return of 10 % at a sensitivity of 10 halves it
    assert 1 - w[4] == pytest.approx(0.25) and 1 - w[7] == pytest.approx(0.125)


def test_an_exhausted_book_leaves_lots_unabsorbed() -> None:
    market = long_only([99, 60], [5000, 1])
    impact = Impact(power_law_kernel(1), CONSTANT_DEPTH)
    (free,) = replay_free([market], [np.array([99.0])], impact, n_steps=1)[0]
    assert free.is_exhausted and free.long.sold_lots[0] == 1000 and free.long.unabsorbed_lots[0] == 4001
    assert free.mark_ticks[0] == 99.0 * 0.5


def test_both_sides_of_a_step_meet_before_the_book() -> None:
    fuel = SideFuel(np.array([101.0]), np.array([4]))
    market = replace(long_only([99], [10]), short_fuel=fuel)
    path = DayPath(np.array([99.0]), np.array([101.0]), np.array([100.0]))
    (found,) = replay_path([market], [path])[0]
    assert (found.long.netted_lots[0], found.long.sold_lots[0]) == (4, 6)
    assert (found.short.netted_lots[0], found.short.sold_lots[0]) == (4, 0)


def test_named_policies_do_what_they_say() -> None:
    assert len({p.name for p in POLICIES}) == len(POLICIES)
    market, impact, shock = model_world(70)
    fuel = replace(market.long_fuel, leverage_x=np.full(market.long_fuel.quantity_lots.size, 50.0))
    market = replace(market, long_fuel=fuel)
    runs = {r.policy: r for r in replay_free([market], [shock], impact, POLICIES, n_steps=40)[0]}
    base = runs["baseline"]
    for name in ("leverage_cap_10x", "depth_plus_50", "adl_half"):
        assert runs[name].trough_ticks > base.trough_ticks, name
    assert runs["oracle_twap_15"].long.forced_lots[0] <= base.long.forced_lots[0]
    assert runs["circuit_breaker_5m"].halted_steps > 0


def test_tables_of_the_helpers() -> None:
    assert power_law_kernel(3, 1.0).tolist() == [1.0, 0.5, 1 / 3]
    assert price_grid(100.0, "long", 0.5, 2).tolist() == [50.0, 25.0]
    assert price_grid(100.0, "short", 0.5, 2).tolist() == [150.0, 225.0]
