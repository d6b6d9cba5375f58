"""Critical shocks and branching: found, censored, and not reported where too small."""

from __future__ import annotations

import numpy as np
import pytest

from assets.cascade.critical import critical_shock, max_branching
from assets.cascade.params import CriticalRule
from assets.cascade.simulate import Book, Fuel

RULE = CriticalRule(0.01, 0.01, 0.01)
GRID = np.arange(1, 101) / 200  # 0.5 % .. 50 %
MUCH = np.full(GRID.size, 0.5)


@pytest.mark.fast
def test_nothing_critical_is_censored_and_not_zero() -> None:
    found = critical_shock(GRID, 1.2 * GRID, MUCH, RULE)
    assert (found.soft_shock_frac, found.jump_shock_frac) == (None, None)


@pytest.mark.fast
def test_soft_shock_is_where_feedback_first_doubles_it() -> None:
    moves = np.where(GRID < 0.06, 1.5 * GRID, 2.0 * GRID)
    assert critical_shock(GRID, moves, MUCH, RULE).soft_shock_frac == 0.06


@pytest.mark.fast
def test_jump_is_found_where_the_curve_jumps_and_not_on_a_slope() -> None:
    jump = np.where(GRID < 0.10, 1.1 * GRID, 1.1 * GRID + 0.0101)
    assert critical_shock(GRID, jump, MUCH, RULE).jump_shock_frac == 0.10
    slope = 2.9 * GRID  # rises 95 bps more than each step of 50 bps
    assert critical_shock(GRID, slope, MUCH, RULE).jump_shock_frac is None


@pytest.mark.fast
@pytest.mark.parametrize("forced", [0.0, 0.0099])
def test_too_little_fuel_is_not_reported(forced: float) -> None:
    found = critical_shock(GRID, 3.0 * GRID, np.full(GRID.size, forced), RULE)
    assert (found.soft_shock_frac, found.jump_shock_frac) == (None, None)


@pytest.mark.fast
def test_shocks_below_one_per_cent_are_not_reported() -> None:
    assert critical_shock(GRID, GRID + 0.2, MUCH, RULE).soft_shock_frac == 0.01


@pytest.mark.fast
def test_a_gain_below_the_least_is_not_soft_however_small_the_shock() -> None:
    rule = CriticalRule(0.001, 0.01, 0.01)
    moves = np.where(GRID < 0.02, 2.0 * GRID, GRID)  # doubles 0.5 % and 1 %, but only the second gains 100 bps
    assert critical_shock(GRID, moves, MUCH, rule).soft_shock_frac == 0.01


def _uniform(fuel_lots: int, book_lots: int) -> tuple[Book, Fuel]:
    bps = np.arange(1, 5_001)
    prices = 1e8 * (1 - bps / 1e4)
    return Book(1 - bps / 1e4, book_lots * bps), Fuel(prices, np.full(bps.size, fuel_lots), prices)


def _branching(book: Book, fuel: Fuel, **changed: float) -> float:
    options = {"depth_survival_frac": 1.0, "sold_share_frac": 1.0, "max_move_frac": 0.5, **changed}
    return max_branching(1e8, book, fuel, side="long", **options)


def test_branching_of_a_uniform_market_is_its_ratio() -> None:
    book, fuel = _uniform(30, 100)
    assert _branching(book, fuel) == pytest.approx(0.3, rel=0.03)
    assert _branching(book, fuel, depth_survival_frac=0.5) == pytest.approx(0.6, rel=0.03)
    assert _branching(book, fuel, sold_share_frac=0.5) == pytest.approx(0.15, rel=0.03)


def test_branching_without_fuel_is_zero_and_a_flat_book_stays_finite() -> None:
    book, fuel = _uniform(30, 100)
    nothing = Fuel(np.array([]), np.array([], dtype=np.int64), np.array([]))
    assert _branching(book, nothing) == 0.0
    flat = Book(
        book.relative_price, np.where(np.arange(5_000) < 1_000, book.cumulative_lots, book.cumulative_lots[999])
    )
    assert np.isfinite(_branching(flat, fuel))
