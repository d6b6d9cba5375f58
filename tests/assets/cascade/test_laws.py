"""Laws of the static replay, property-tested: monotone, conserving, blind to order and unit, equal to the naive loop.

The naive loop here shares the reading of the rules with the product; the independent one is ``cascade_oracle``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.cascade import kernel
from assets.cascade.simulate import Book, Fuel, Outcome, Scenario, replay_static, sweep_static

SIDES = ("long", "short")
KINDS = ("sell", "reprice")


@dataclass(frozen=True)
class Market:
    mark: int
    rows: tuple[tuple[int, int], ...]  # (ticks beyond the row before, lots of the row)
    buckets: tuple[tuple[int, int, int], ...]  # (trigger, lots, bankruptcy)
    side: str

    def book(self) -> Book:
        away = np.cumsum([gap for gap, _ in self.rows])
        price = self.mark - away if self.side == "long" else self.mark + away
        return Book(np.maximum(price, 1) / self.mark, np.cumsum([lots for _, lots in self.rows]))

    def fuel(self) -> Fuel:
        table = np.array(self.buckets, dtype=np.int64).reshape(-1, 3)
        return Fuel(table[:, 0].astype(float), table[:, 1], table[:, 2].astype(float))

    def replay(self, *scenarios: Scenario, engine: str = "merge") -> list[Outcome]:
        return replay_static(float(self.mark), self.book(), self.fuel(), scenarios, engine=engine)


def random_market(rng: Random, side: str, rows_count: int, buckets_count: int) -> Market:
    mark = rng.randint(20, 400)
    rows = [(rng.randint(0, 30), rng.choice((0, rng.randint(0, 40)))) for _ in range(rows_count - 1)]
    rows.append((rng.randint(0, 30), rng.randint(1, 200)))
    low, high = (1, mark + 4) if side == "long" else (max(1, mark - 4), 3 * mark)
    buckets = []
    for _ in range(buckets_count):
        repeats = buckets and rng.random() < 0.2  # ties, and the same bucket twice
        trigger = rng.choice(buckets)[0] if repeats else rng.randint(low, high)
        buckets.append((trigger, rng.choice((0, rng.randint(0, 40))), rng.randint(0, 3 * mark)))
    return Market(mark, tuple(rows), tuple(buckets), side)


def random_shock(rng: Random, market: Market) -> float:
    """Half of the shocks are a whole number of ticks, which often lies exactly on a level."""
    most = market.mark - 1 if market.side == "long" else 2 * market.mark
    return rng.choice((rng.randint(1, most) / market.mark, rng.uniform(1e-3, 0.99)))


def random_scenario(rng: Random, market: Market, kind: str | None = None) -> Scenario:
    return Scenario(
        random_shock(rng, market),
        kind or rng.choice(KINDS),
        market.side,
        rng.choice((1.0, rng.uniform(0.01, 1.0))),
        rng.choice((1.0, rng.random())),
    )


def check(count: int, side: str, law: Callable[[Market, Random], None]) -> None:
    """Run a law over `count` seeded markets.

    Hypothesis draws the sizes and a seed, so that a broken law shrinks to few rows and buckets; drawing every number
    through it takes ten times as long as the law.
    """

    @settings(max_examples=count, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(0, 12))
    def holds(seed: int, rows_count: int, buckets_count: int) -> None:
        rng = Random(seed)
        law(random_market(rng, side, rows_count, buckets_count), rng)

    holds()


def beyond(side: str, mark: float) -> float:
    """How far out a mark is: larger is more severe on both sides."""
    return -mark if side == "long" else mark


def naive(market: Market, s: Scenario) -> Outcome:
    """Synchronous rounds over all buckets, with the lattice rules as docs/cascade.md states them; money is not valued."""
    book, mark0, down = market.book(), float(market.mark), market.side == "long"
    price, lots = book.relative_price.tolist(), book.cumulative_lots.tolist()
    start = mark0 * (1.0 - s.shock_frac) if down else mark0 * (1.0 + s.shock_frac)
    base = mark0 if s.shock_kind == "sell" else start
    eaten = 0
    if s.shock_kind == "sell":
        before = [c for r, c in zip(price, lots, strict=True) if (mark0 * r >= start if down else mark0 * r <= start)]
        eaten = before[-1] if before else 0
    alive = [b for b in market.buckets if (b[0] < mark0 if down else b[0] > mark0)]
    mark, rounds, is_exhausted, done, sell = start, 0, False, set(), 0
    while True:
        new = {
            i
            for i, b in enumerate(alive)
            if i not in done and (is_exhausted or (b[0] >= mark if down else b[0] <= mark))
        }
        if not new:
            break
        rounds += 1
        done |= new
        sell += sum(math.floor(s.sold_share_frac * alive[i][1]) for i in new)
        if sell == 0 or is_exhausted:
            continue
        fits = [r for r, c in zip(price, lots, strict=True) if sell <= s.depth_survival_frac * (c - eaten)]
        is_exhausted = not fits
        last = base * price[-1]
        mark = base * fits[0] if fits else (min(1.0, start, last) if down else max(start, last))
    forced = sum(alive[i][1] for i in done)
    sold = min(sell, math.floor(s.depth_survival_frac * (lots[-1] - eaten))) if is_exhausted else sell
    excluded = sum(b[1] for b in market.buckets) - sum(b[1] for b in alive)
    return Outcome(mark, forced, sold, forced - sell, sell - sold, excluded, rounds, is_exhausted, 0, 0, None, 0, 0)


def unvalued(outcome: Outcome) -> Outcome:
    return replace(
        outcome,
        forced_notional_ticklots=0,
        proceeds_ticklots=0,
        average_fill_ticks=None,
        slippage_ticklots=0,
        shortfall_ticklots=0,
    )


@pytest.mark.parametrize("side", SIDES)
def test_replay_equals_the_naive_loop_and_both_engines_agree(side: str, trial_count: Callable[[int], int]) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        (merged,), (swept,) = market.replay(scenario), market.replay(scenario, engine="sweep")
        assert unvalued(merged) == naive(market, scenario)
        assert merged == swept

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_many_scenarios_at_once_equal_one_by_one(side: str, trial_count: Callable[[int], int]) -> None:
    def law(market: Market, rng: Random) -> None:
        asked = [random_scenario(rng, market) for _ in range(rng.randint(1, 6))]
        alone = [market.replay(s)[0] for s in asked]
        assert market.replay(*asked) == alone
        assert market.replay(*asked, engine="sweep") == alone

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_a_sweep_equals_its_replays_and_never_turns_back(
    side: str, kind: str, trial_count: Callable[[int], int]
) -> None:
    def law(market: Market, rng: Random) -> None:
        s = random_scenario(rng, market, kind)
        shocks = sorted(random_shock(rng, market) for _ in range(rng.randint(2, 8)))
        found = sweep_static(
            float(market.mark),
            market.book(),
            market.fuel(),
            shocks,
            shock_kind=kind,
            side=side,
            depth_survival_frac=s.depth_survival_frac,
            sold_share_frac=s.sold_share_frac,
        )
        alone = market.replay(*(replace(s, shock_frac=x) for x in shocks))
        assert found.mark_ticks.tolist() == [o.mark_ticks for o in alone]
        assert found.forced_lots.tolist() == [o.forced_lots for o in alone]
        assert found.is_exhausted.tolist() == [o.is_exhausted for o in alone]
        # The law itself: a larger shock never ends calmer and never forces less.
        severity = [beyond(side, o.mark_ticks) for o in alone]
        assert severity == sorted(severity)
        assert [o.forced_lots for o in alone] == sorted(o.forced_lots for o in alone)

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_more_fuel_never_ends_calmer(side: str, trial_count: Callable[[int], int]) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        place, lots = rng.randint(0, 20), rng.randint(0, 50)
        buckets = list(market.buckets)
        if buckets:
            trigger, held, bankruptcy = buckets[place % len(buckets)]
            buckets[place % len(buckets)] = (trigger, held + lots, bankruptcy)
        buckets.append((rng.randint(1, 3 * market.mark), lots, 0))
        (less,), (more,) = market.replay(scenario), replace(market, buckets=tuple(buckets)).replay(scenario)
        assert beyond(side, more.mark_ticks) >= beyond(side, less.mark_ticks)
        assert more.forced_lots >= less.forced_lots
        assert more.sold_lots >= less.sold_lots or more.is_exhausted

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_depth_added_per_row_never_ends_further_out(side: str, trial_count: Callable[[int], int]) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        deeper = replace(market, rows=tuple((gap, lots + rng.randint(0, 60)) for gap, lots in market.rows))
        (thin,), (deep,) = market.replay(scenario), deeper.replay(scenario)
        assert beyond(side, deep.mark_ticks) <= beyond(side, thin.mark_ticks)
        assert deep.forced_lots <= thin.forced_lots
        # Withdrawing depth is the same law the other way round.
        less = replace(scenario, depth_survival_frac=scenario.depth_survival_frac * rng.uniform(0.01, 1.0))
        assert beyond(side, market.replay(less)[0].mark_ticks) >= beyond(side, thin.mark_ticks)

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_lots_are_conserved_and_rounds_end(side: str, trial_count: Callable[[int], int]) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        (o,) = market.replay(scenario)
        others = o.taken_over_lots + o.netted_lots + o.adl_lots
        assert o.forced_lots == o.sold_lots + others + o.unabsorbed_lots + o.not_sold_lots
        assert min(o.sold_lots, o.unabsorbed_lots, o.not_sold_lots, o.excluded_lots) >= 0
        assert o.forced_lots + o.excluded_lots <= sum(b[1] for b in market.buckets)
        assert o.rounds <= len(market.buckets)
        assert o.is_exhausted or o.unabsorbed_lots == 0

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_order_of_buckets_does_not_matter_to_the_last_bit(side: str, trial_count: Callable[[int], int]) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        other = replace(market, buckets=tuple(rng.sample(market.buckets, len(market.buckets))))
        assert market.replay(scenario) == other.replay(scenario)

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_units_of_price_and_quantity_do_not_matter(side: str, trial_count: Callable[[int], int]) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario, power = random_scenario(rng, market), rng.randint(1, 20)
        unit = 2.0**power
        fuel, book = market.fuel(), market.book()
        (o,) = market.replay(scenario)
        finer = Fuel(fuel.trigger_ticks * unit, fuel.quantity_lots, fuel.bankruptcy_ticks * unit)
        (p,) = replay_static(market.mark * unit, book, finer, [scenario])
        assert (p.forced_lots, p.sold_lots, p.rounds) == (o.forced_lots, o.sold_lots, o.rounds)
        assert p.proceeds_ticklots == o.proceeds_ticklots * unit
        assert p.shortfall_ticklots == o.shortfall_ticklots * unit
        if not (o.is_exhausted and side == "long"):  # the floor of one tick is the one price that has a unit
            assert p.mark_ticks == o.mark_ticks * unit
        whole = replace(scenario, sold_share_frac=1.0)
        smaller = Fuel(fuel.trigger_ticks, fuel.quantity_lots * 2**power, fuel.bankruptcy_ticks)
        (few,) = market.replay(whole)
        (many,) = replay_static(
            market.mark, Book(book.relative_price, book.cumulative_lots * 2**power), smaller, [whole]
        )
        assert (many.mark_ticks, many.rounds) == (few.mark_ticks, few.rounds)
        assert many.forced_lots == few.forced_lots * 2**power

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_money_equals_a_fill_lot_by_lot(side: str, trial_count: Callable[[int], int]) -> None:
    """Full depth, so that rows hold whole lots and every fill can be written out in fractions."""

    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        scenario = replace(scenario, depth_survival_frac=1.0)
        (o,) = market.replay(scenario)
        book, down = market.book(), side == "long"
        mark = float(market.mark)
        start = mark * (1.0 - scenario.shock_frac) if down else mark * (1.0 + scenario.shock_frac)
        base = mark if scenario.shock_kind == "sell" else start
        fills: list[float] = []
        held = 0
        for r, c in zip(book.relative_price.tolist(), book.cumulative_lots.tolist(), strict=True):
            is_eaten = scenario.shock_kind == "sell" and (mark * r >= start if down else mark * r <= start)
            fills += [] if is_eaten else [base * r] * (c - held)
            held = c
        alive = [b for b in market.buckets if (b[0] < mark if down else b[0] > mark)]
        sign = 1 if down else -1
        alive.sort(key=lambda b: (-sign * b[0], b[1], -sign * b[2]))
        proceeds, value, shortfall, notional, at, left = [Fraction(0)] * 4 + [0, o.sold_lots]
        forced = o.forced_lots
        for trigger, lots, bankruptcy in alive:
            if o.is_exhausted or (trigger >= o.mark_ticks if down else trigger <= o.mark_ticks):
                forced -= lots
                notional += trigger * lots
                sold = min(math.floor(scenario.sold_share_frac * lots), left)
                cost = sum((Fraction(x) for x in fills[at : at + sold]), Fraction(0))
                at, left = at + sold, left - sold
                proceeds += cost
                value += trigger * sold
                shortfall += max(Fraction(0), sign * (bankruptcy * sold - cost))
        assert (forced, left) == (0, 0)
        near = pytest.approx
        assert o.forced_notional_ticklots == near(float(notional), rel=1e-12)
        assert o.proceeds_ticklots == near(float(proceeds), rel=1e-12)
        assert o.slippage_ticklots == near(float(sign * (value - proceeds)), rel=1e-9, abs=1e-6)
        assert o.shortfall_ticklots == near(float(shortfall), rel=1e-9, abs=1e-6)

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_average_fill_lies_between_the_shock_price_and_the_final_mark(
    side: str, trial_count: Callable[[int], int]
) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        (o,) = market.replay(scenario)
        assert (o.average_fill_ticks is None) == (o.sold_lots == 0)
        if o.average_fill_ticks is None or o.is_exhausted:
            return
        start = market.mark * (1 - scenario.shock_frac if side == "long" else 1 + scenario.shock_frac)
        near, far = beyond(side, start), beyond(side, o.mark_ticks)
        slack = 1e-9 * market.mark
        assert near - slack <= beyond(side, o.average_fill_ticks) <= far + slack

    check(trial_count(10_000), side, law)


@pytest.mark.parametrize("side", SIDES)
def test_compiled_and_interpreted_kernels_give_the_same_bits(
    side: str, trial_count: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def law(market: Market, rng: Random) -> None:
        scenario = random_scenario(rng, market)
        compiled = market.replay(scenario, engine="sweep")
        with monkeypatch.context() as patch:
            for function in kernel.KERNELS:
                plain = getattr(function, "py_func", function)
                patch.setattr(kernel, plain.__name__, plain)
            assert market.replay(scenario, engine="sweep") == compiled

    check(trial_count(10_000), side, law)
