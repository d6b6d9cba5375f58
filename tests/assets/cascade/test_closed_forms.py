"""Closed forms of docs/cascade.md, section 3: exact on the lattice, within one amplified step in the continuum."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assets.cascade.simulate import Book, Fuel, Outcome, Scenario, replay_static

# A mark that is a power of two makes (mark - j) / mark and its product with mark exact.
MARK = 2.0**14
SIGN = {"long": -1.0, "short": 1.0}


def _uniform(side: str, fuel_lots: int, book_lots: int, fuel_steps: int, book_steps: int) -> tuple[Book, Fuel]:
    """One bucket of `fuel_lots` and one row of `book_lots` per tick, going away from the mark."""
    rows = np.arange(1, book_steps + 1)
    buckets = np.arange(1, fuel_steps + 1)
    book = Book((MARK + SIGN[side] * rows) / MARK, book_lots * rows)
    prices = MARK + SIGN[side] * buckets
    return book, Fuel(prices, np.full(fuel_steps, fuel_lots), prices)


def _replay(book: Book, fuel: Fuel, scenario: Scenario) -> Outcome:
    return replay_static(MARK, book, fuel, [scenario])[0]


@pytest.mark.parametrize("side", ["long", "short"])
def test_uniform_market_stops_at_the_ceiling_exactly(side: str, trial_count: Callable[[int], int]) -> None:
    book_steps, fuel_steps = 600, 500

    @settings(max_examples=trial_count(10_000), deadline=None, derandomize=True, database=None)
    @given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 200))
    def holds(a: int, extra: int, k: int) -> None:
        b = a + extra
        steps = -(-k * b // (b - a))
        if steps > fuel_steps:
            return
        book, fuel = _uniform(side, a, b, fuel_steps, book_steps)
        outcome = _replay(book, fuel, Scenario(k / MARK, "sell", side))
        assert outcome.mark_ticks == MARK + SIGN[side] * steps
        assert outcome.forced_lots == a * steps
        assert not outcome.is_exhausted

    holds()


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("kind", ["sell", "reprice"])
def test_uniform_market_is_within_one_amplified_step_of_the_continuum(
    side: str, kind: str, trial_count: Callable[[int], int]
) -> None:
    b = 1_000

    @settings(max_examples=trial_count(10_000), deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 850), st.floats(0.001, 0.02))
    def holds(a: int, s: float) -> None:
        per_shock = a / b * (1.0 if kind == "sell" else 1.0 + SIGN[side] * s)
        expected = s / (1.0 - per_shock)
        book, fuel = _uniform(side, a, b, 3_000, 3_500)
        outcome = _replay(book, fuel, Scenario(s, kind, side))
        found = abs(outcome.mark_ticks / MARK - 1.0)
        # One step of the row that absorbs and one of the bucket that is reached, both fed back. For "sell" js is at or
        # before the shock price, which costs one more step of depth.
        assert abs(found - expected) <= 2.0 / MARK / (1.0 - per_shock)

    holds()


@pytest.mark.parametrize("side", ["long", "short"])
def test_beyond_the_end_of_the_fuel_the_move_is_shock_plus_n_times_its_length(
    side: str, trial_count: Callable[[int], int]
) -> None:
    @settings(max_examples=trial_count(10_000), deadline=None, derandomize=True, database=None)
    @given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 300), st.integers(1, 300))
    def holds(a: int, extra: int, fuel_steps: int, k: int) -> None:
        b = a + extra
        assume(-(-k * b // (b - a)) > fuel_steps)  # else it stops inside the fuel
        book, fuel = _uniform(side, a, b, fuel_steps, 700)
        outcome = _replay(book, fuel, Scenario(k / MARK, "sell", side))
        assert abs(outcome.mark_ticks - MARK) == k + -(-a * fuel_steps // b)
        assert outcome.forced_lots == a * fuel_steps

    holds()


def test_without_fuel_the_shock_is_the_end() -> None:
    book, fuel = _uniform("long", 1, 5, 0, 100)
    for kind in ("sell", "reprice"):
        outcome = _replay(book, fuel, Scenario(0.25, kind, "long"))
        assert outcome.mark_ticks == MARK * 0.75
        assert (outcome.rounds, outcome.forced_lots, outcome.average_fill_ticks) == (0, 0, None)


def test_exponential_impact_ends_where_cifuentes_ferrucci_and_shin_say(trial_count: Callable[[int], int]) -> None:
    """Inverse demand p = p_s exp(-alpha X): the fixed point of p = p_s exp(-alpha F(p)), Cifuentes et al. (2005), eq. 5."""
    lots_per_tick, lots_per_row = 100, 200
    prices = MARK - np.arange(1.0, MARK)
    fuel = Fuel(prices, np.full(prices.size, lots_per_tick), prices)
    rows = np.arange(1, 20_000)

    @settings(max_examples=trial_count(10_000), deadline=None, derandomize=True, database=None)
    @given(st.floats(0.05, 0.9), st.floats(0.001, 0.2))
    def holds(branching: float, s: float) -> None:
        start = MARK * (1 - s)
        alpha = branching / (lots_per_tick * MARK)
        book = Book(np.exp(-alpha * lots_per_row * rows), lots_per_row * rows)
        outcome = _replay(book, fuel, Scenario(s, "reprice", "long"))
        high, low = start, 1.0
        for _ in range(60):
            middle = (high + low) / 2
            is_above = start * math.exp(-alpha * lots_per_tick * (MARK - middle)) < middle
            high, low = (middle, low) if is_above else (high, middle)
        # Tabulation: one row of price impact and one bucket, fed back.
        step = alpha * lots_per_row * MARK + 1.0
        assert abs(outcome.mark_ticks - high) <= step / (1.0 - branching)

    holds()


def test_each_level_triggers_the_next_in_its_own_round() -> None:
    steps = 1_000
    rows = np.arange(1, steps + 3)
    book = Book((MARK - rows) / MARK, 7 * rows)
    prices = MARK - np.arange(1.0, steps + 1.0)
    fuel = Fuel(prices, np.full(steps, 7), prices)
    outcome = _replay(book, fuel, Scenario(1 / MARK, "sell", "long"))
    # Seven lots per tick against seven lots per row, n = 1: every bucket eats one row and reaches the next bucket only.
    assert outcome.rounds == steps
    assert outcome.mark_ticks == MARK - steps - 1


def test_exhausted_book_triggers_all_fuel_and_names_the_residue() -> None:
    book = Book(np.array([0.75, 0.5]), np.array([10, 30]))
    fuel = Fuel(MARK * np.array([0.95, 0.4, 0.01]), np.array([50, 5, 2]), MARK * np.array([0.9, 0.3, 0.0]))
    outcome = _replay(book, fuel, Scenario(0.1, "sell", "long", depth_survival_frac=0.5))
    assert (outcome.mark_ticks, outcome.is_exhausted, outcome.rounds) == (1.0, True, 2)
    assert (outcome.forced_lots, outcome.sold_lots, outcome.unabsorbed_lots) == (57, 15, 42)


def test_exhausted_squeeze_ends_at_the_last_row_and_not_before_the_shock() -> None:
    book = Book(np.array([1.25, 1.5]), np.array([10, 30]))
    fuel = Fuel(np.array([MARK * 1.05]), np.array([50]), np.array([MARK * 1.1]))
    assert _replay(book, fuel, Scenario(0.1, "sell", "short")).mark_ticks == MARK * 1.5
    assert _replay(book, fuel, Scenario(2.0, "sell", "short")).mark_ticks == MARK * 3.0
    assert _replay(book, fuel, Scenario(0.5, "reprice", "short")).mark_ticks == MARK * 1.5 * 1.5


def test_trigger_is_inclusive_and_fuel_past_the_mark_is_excluded_and_counted() -> None:
    book = Book(np.array([0.5]), np.array([1_000]))
    prices = np.array([MARK + 5, MARK, MARK - 1, MARK * 0.9, MARK * 0.9 - 1])
    fuel = Fuel(prices, np.array([1, 2, 4, 8, 16]), prices)
    outcome = _replay(book, fuel, Scenario(0.1, "sell", "long"))
    assert outcome.excluded_lots == 1 + 2
    assert outcome.forced_lots == 4 + 8 + 16
    assert outcome.rounds == 2


def test_zero_lot_buckets_trigger_a_round_but_move_nothing() -> None:
    book = Book(np.array([0.5]), np.array([10]))
    fuel = Fuel(np.array([MARK * 0.99]), np.array([3]), np.array([1.0]))
    for kind in ("sell", "reprice"):
        outcome = _replay(book, fuel, Scenario(0.02, kind, "long", sold_share_frac=0.1))
        assert (outcome.rounds, outcome.mark_ticks) == (1, MARK * 0.98)
        assert (outcome.forced_lots, outcome.not_sold_lots, outcome.sold_lots) == (3, 3, 0)
