"""What the grid, its draws and the round loop refuse: every message names field and first offending index, and nothing runs.

Belongs here: refusals of ``grid.py``, ``rounds.py`` and of ``uncertainty.draw``. Does not: those of single scenarios
(``test_validation.py``), accounts and days (beside their replays).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from assets.cascade import grid, kernel
from assets.cascade.grid import (
    DrawnBook,
    DrawnFuel,
    branching_profile,
    critical_shocks,
    prepare_grid,
    replay_grid,
)
from assets.cascade.params import DRAW_LAW, CriticalRule
from assets.cascade.rounds import replay_rounds
from assets.cascade.simulate import Book, Fuel, Scenario
from assets.cascade.uncertainty import draw

pytestmark = pytest.mark.fast

NAN, INF = float("nan"), float("inf")

# Two draws of two parts over three buckets; two books; two liquidities.
FUEL = DrawnFuel(
    np.array([990.0, 985.0, 980.0]),
    np.array([980.0, 975.0, 970.0]),
    np.full((2, 2, 3), 0.25),
    np.array([0, 1]),
    np.array([[8.0, 4.0], [4.0, 12.0]]),
)
BOOK = DrawnBook(
    np.array([0.99, 0.98, 0.97]),
    np.array([[5, 10, 20], [6, 12, 24]]),
    np.array([0, 1]),
    np.array([[1.0, 0.5], [0.9, 0.4]]),
)


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every loop fail the test, so that a refusal after the work would show."""

    def ran(*_: object) -> None:
        pytest.fail("a kernel ran on unlawful input")

    for name in ("count_grid", "find_critical", "fill_branching", "play_rounds"):
        monkeypatch.setattr(kernel, name, ran)


NOTHING_RUNS = pytest.mark.usefixtures("no_kernel")


def lawful() -> grid.Grid:
    return prepare_grid(1000.0, BOOK, FUEL, "long")


def changed(values: np.ndarray, at: tuple[int, ...], value: float) -> np.ndarray:
    """Return a copy with one value replaced."""
    copy = values.copy()
    copy[at] = value
    return copy


# --- prepare_grid ---


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mark_ticks": 0.0}, r"^mark_ticks = 0\.0: the mark must be finite and above 0"),
        ({"mark_ticks": NAN}, r"^mark_ticks = nan"),
        ({"side": "both"}, r"^side = 'both': must be long or short"),
        ({"sold_share_frac": 1.1}, r"^sold_share_frac = 1\.1: phi must be inside \[0, 1\]"),
        ({"sold_share_frac": NAN}, r"^sold_share_frac = nan"),
    ],
)
def test_unlawful_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_grid(**({"mark_ticks": 1000.0, "book": BOOK, "fuel": FUEL, "side": "long"} | changes))


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"relative_price": np.empty(0), "cumulative_lots": np.empty((2, 0), dtype=int)},
            r"^relative_price: the book is",
        ),
        ({"relative_price": np.ones((1, 3))}, r"^relative_price: expected one dimension, got 2"),
        ({"relative_price": changed(BOOK.relative_price, (1,), NAN)}, r"^relative_price\[1\] = nan"),
        ({"relative_price": changed(BOOK.relative_price, (2,), 0.0)}, r"^relative_price\[2\] = 0\.0"),
        ({"relative_price": changed(BOOK.relative_price, (0,), 1.01)}, r"^relative_price\[0\] = 1\.01: below a long's"),
        ({"relative_price": np.array([0.98, 0.99, 0.97])}, r"^relative_price\[1\] = 0\.99: rows for long fuel must"),
        ({"relative_price": BOOK.relative_price[:2]}, r"^book 0: cumulative_lots\[2\]: 3 values against 2"),
        (
            {"cumulative_lots": BOOK.cumulative_lots[0]},
            r"^cumulative_lots: expected \[n_books, n_rows\].* shape \(3,\)",
        ),
        ({"cumulative_lots": np.empty((0, 3), dtype=int)}, r"^cumulative_lots: expected .* a book or more"),
        ({"cumulative_lots": BOOK.cumulative_lots * 1.0}, r"^book 0: cumulative_lots: lots are whole numbers"),
        ({"cumulative_lots": changed(BOOK.cumulative_lots, (1, 0), -6)}, r"^book 1: cumulative_lots\[0\] = -6"),
        ({"cumulative_lots": changed(BOOK.cumulative_lots, (1, 2), 11)}, r"^book 1: cumulative_lots\[2\] = 11: cumul"),
        ({"cumulative_lots": changed(BOOK.cumulative_lots, (1, 2), 2**53)}, r"^book 1: cumulative_lots\[2\] = 9007199"),
        ({"cumulative_lots": np.array([[5, 10, 20], [0, 0, 0]])}, r"^book 1: cumulative_lots\[2\] = 0: the book holds"),
        ({"book_index": np.array([0])}, r"^book_index: expected \[2\], one per draw, got shape \(1,\)"),
        ({"book_index": np.array([0.0, 1.0])}, r"^book_index: an index is a whole number, got float64"),
        ({"book_index": np.array([0, 2])}, r"^book_index\[1\] = 2: there are 2 to choose from"),
        ({"book_index": np.array([-1, 0])}, r"^book_index\[0\] = -1"),
        ({"depth_survival_frac": np.ones(2)}, r"^depth_survival_frac: expected \[2, n_liquidities\].* shape \(2,\)"),
        ({"depth_survival_frac": np.ones((3, 1))}, r"^depth_survival_frac: expected \[2, n_liquidities\]"),
        ({"depth_survival_frac": np.ones((2, 0))}, r"^depth_survival_frac: expected .* with one or more"),
        (
            {"depth_survival_frac": changed(BOOK.depth_survival_frac, (1, 1), 0.0)},
            r"^depth_survival_frac\[1, 1\] = 0\.0",
        ),
        (
            {"depth_survival_frac": changed(BOOK.depth_survival_frac, (0, 0), 1.1)},
            r"^depth_survival_frac\[0, 0\] = 1\.1",
        ),
        (
            {"depth_survival_frac": changed(BOOK.depth_survival_frac, (1, 0), NAN)},
            r"^depth_survival_frac\[1, 0\] = nan",
        ),
        (
            {"depth_survival_frac": changed(BOOK.depth_survival_frac, (1, 1), 0.95)},
            r"\[1, 1\] = 0\.95: W must not grow",
        ),
    ],
)
def test_unlawful_drawn_books_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_grid(1000.0, replace(BOOK, **changes), FUEL, "long")


@NOTHING_RUNS
def test_a_book_of_the_other_side_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^relative_price\[0\] = 0\.99: above a short's mark rows are at least 1"):
        prepare_grid(1000.0, BOOK, FUEL, "short")


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trigger_ticks": changed(FUEL.trigger_ticks, (1,), 0.0)}, r"^trigger_ticks\[1\] = 0\.0: a liquidation price"),
        ({"trigger_ticks": changed(FUEL.trigger_ticks, (2,), -980.0)}, r"^trigger_ticks\[2\] = -980\.0"),
        ({"trigger_ticks": changed(FUEL.trigger_ticks, (0,), NAN)}, r"^trigger_ticks\[0\] = nan"),
        ({"trigger_ticks": changed(FUEL.trigger_ticks, (0,), INF)}, r"^trigger_ticks\[0\] = inf"),
        ({"trigger_ticks": FUEL.trigger_ticks[None, :]}, r"^trigger_ticks: expected one dimension, got 2"),
        ({"trigger_ticks": FUEL.trigger_ticks[:2]}, r"^profile_frac: expected \[n_profiles, n_parts, 2\]"),
        ({"bankruptcy_ticks": changed(FUEL.bankruptcy_ticks, (1,), -1.0)}, r"^bankruptcy_ticks\[1\] = -1\.0"),
        ({"bankruptcy_ticks": changed(FUEL.bankruptcy_ticks, (2,), NAN)}, r"^bankruptcy_ticks\[2\] = nan"),
        ({"bankruptcy_ticks": FUEL.bankruptcy_ticks[:2]}, r"^bankruptcy_ticks\[2\]: 2 values against 3"),
        ({"profile_frac": FUEL.profile_frac[0]}, r"^profile_frac: expected \[n_profiles, n_parts, 3\].*shape \(2, 3\)"),
        ({"profile_frac": changed(FUEL.profile_frac, (1, 0, 2), -0.1)}, r"^profile_frac\[1, 0, 2\] = -0\.1"),
        ({"profile_frac": changed(FUEL.profile_frac, (0, 1, 1), NAN)}, r"^profile_frac\[0, 1, 1\] = nan"),
        ({"profile_index": np.array([0, 1, 0])}, r"^profile_index: expected \[2\], one per draw"),
        ({"profile_index": np.array([True, False])}, r"^profile_index: an index is a whole number, got bool"),
        ({"profile_index": np.array([0, 7])}, r"^profile_index\[1\] = 7: there are 2 to choose from"),
        ({"part_lots": FUEL.part_lots[0]}, r"^part_lots: expected \[n_draws, 2\].*shape \(2,\)"),
        ({"part_lots": np.ones((2, 3))}, r"^part_lots: expected \[n_draws, 2\].*shape \(2, 3\)"),
        ({"part_lots": np.empty((0, 2))}, r"^part_lots: expected \[n_draws, 2\] with a draw or more"),
        ({"part_lots": changed(FUEL.part_lots, (1, 0), -1.0)}, r"^part_lots\[1, 0\] = -1\.0: lots are finite"),
        ({"part_lots": changed(FUEL.part_lots, (0, 1), NAN)}, r"^part_lots\[0, 1\] = nan"),
        ({"part_lots": changed(FUEL.part_lots, (1, 1), INF)}, r"^part_lots\[1, 1\] = inf"),
        ({"part_lots": changed(FUEL.part_lots, (1, 0), 2.0**54)}, r"^part_lots\[1\] = .*stay below 2\^52"),
    ],
)
def test_unlawful_drawn_fuel_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_grid(1000.0, BOOK, replace(FUEL, **changes), "long")


# --- the questions that a grid is asked ---

SHOCKS = [
    ([], r"^shocks_frac: there is no shock"),
    ([[0.01]], r"^shocks_frac: expected one dimension, got 2"),
    ([0.01, 1.0], r"^shocks_frac\[1\] = 1\.0: a downward shock must be inside \(0, 1\)"),
    ([0.0, 0.01], r"^shocks_frac\[0\] = 0\.0"),
    ([0.01, NAN], r"^shocks_frac\[1\] = nan"),
    ([0.02, 0.01], r"^shocks_frac\[1\] = 0\.01: shocks must not decrease"),
]


@NOTHING_RUNS
@pytest.mark.parametrize(("shocks", "message"), SHOCKS)
def test_unlawful_shocks_are_refused(shocks: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_grid(lawful(), shocks, "sell")
    with pytest.raises(ValueError, match=message):
        critical_shocks(lawful(), shocks, "sell", open_interest_lots=100)


@NOTHING_RUNS
@pytest.mark.parametrize("shock", [10.1, 0.0, -0.5, NAN])
def test_upward_shocks_outside_their_range_are_refused(shock: float) -> None:
    up = prepare_grid(1000.0, replace(BOOK, relative_price=np.array([1.01, 1.02, 1.03])), FUEL, "short")
    with pytest.raises(ValueError, match=r"^shocks_frac\[1\] = .*: an upward shock must be inside \(0, 10\]"):
        replay_grid(up, [0.5, shock], "reprice")


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shock_kind": "halt"}, r"^shock_kind = 'halt': must be sell or reprice"),
        ({"money_unit_ticklots": 0.0}, r"^money_unit_ticklots = 0\.0"),
        ({"money_unit_ticklots": NAN}, r"^money_unit_ticklots = nan"),
        ({"money_unit_ticklots": INF}, r"^money_unit_ticklots = inf"),
        ({"threads": 0}, r"^threads = 0: at least one"),
    ],
)
def test_unlawful_replays_of_a_grid_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_grid(**({"grid": lawful(), "shock_frac": [0.01], "shock_kind": "sell"} | changes))


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shock_kind": "halt"}, r"^shock_kind = 'halt'"),
        ({"open_interest_lots": 0}, r"^open_interest_lots = 0"),
        ({"open_interest_lots": -5}, r"^open_interest_lots = -5"),
        ({"open_interest_lots": NAN}, r"^open_interest_lots = nan"),
        ({"rule": CriticalRule(least_shock_frac=NAN)}, r"^rule\.least_shock_frac = nan"),
        ({"rule": CriticalRule(least_gain_frac=-0.01)}, r"^rule\.least_gain_frac = -0\.01"),
        ({"rule": CriticalRule(least_forced_frac=INF)}, r"^rule\.least_forced_frac = inf"),
        ({"threads": -1}, r"^threads = -1: at least one"),
    ],
)
def test_unlawful_searches_are_refused(changes: dict, message: str) -> None:
    lawful_search = {"grid": lawful(), "shock_frac": [0.01], "shock_kind": "sell", "open_interest_lots": 100}
    with pytest.raises(ValueError, match=message):
        critical_shocks(**(lawful_search | changes))


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ([[0.0, 0.01], [0.02, 0.03]], r"^move_frac: expected one dimension, got 2"),
        ([0.0, NAN], r"^move_frac\[1\] = nan: a move is finite and at least 0"),
        ([-0.01, 0.01], r"^move_frac\[0\] = -0\.01"),
        ([0.0, INF], r"^move_frac\[1\] = inf"),
        ([0.0, 0.02, 0.02], r"^move_frac\[2\] = 0\.02: moves must grow"),
    ],
)
def test_unlawful_moves_are_refused(moves: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        branching_profile(lawful(), moves)


def test_quantiles_that_cannot_be_answered_are_refused() -> None:
    counts = replay_grid(lawful(), [0.01], "sell")
    for p in (-0.01, 1.01, NAN):
        with pytest.raises(ValueError, match=r"^p = .*: a quantile is inside \[0, 1\]"):
            counts.place_quantile(p)
    for name in ("rounds", "shortfall", "part"):
        with pytest.raises(ValueError, match=rf"^with_{name}.*: these counts were not asked for"):
            getattr(counts, f"{name}_quantile")(0.5)


# --- the round loop ---

ONE_BOOK = Book(np.array([0.99, 0.98, 0.97]), np.array([5, 10, 20]))
ONE_FUEL = Fuel(FUEL.trigger_ticks, np.array([3, 4, 5]), FUEL.bankruptcy_ticks)
FALL = Scenario(0.01, "sell", "long")


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mark_ticks": -1.0}, r"^mark_ticks = -1\.0"),
        ({"book": Book(np.empty(0), np.empty(0, dtype=int))}, r"^relative_price: the book is empty"),
        ({"book": replace(ONE_BOOK, cumulative_lots=np.array([5, -1, 20]))}, r"^cumulative_lots\[1\] = -1"),
        ({"book": replace(ONE_BOOK, cumulative_lots=np.zeros(3, dtype=int))}, r"^cumulative_lots\[2\] = 0: the book"),
        ({"book": replace(ONE_BOOK, relative_price=np.array([0.98, 0.99, 0.97]))}, r"^relative_price\[1\] = 0\.99"),
        ({"fuel": replace(ONE_FUEL, trigger_ticks=np.array([990.0, NAN, 980.0]))}, r"^trigger_ticks\[1\] = nan"),
        ({"fuel": replace(ONE_FUEL, quantity_lots=np.array([3, 4, -5]))}, r"^quantity_lots\[2\] = -5"),
        ({"fuel": replace(ONE_FUEL, bankruptcy_ticks=np.array([NAN, 1.0, 1.0]))}, r"^bankruptcy_ticks\[0\] = nan"),
        ({"scenarios": [FALL, replace(FALL, shock_frac=1.0)]}, r"^scenarios\[1\]\.shock_frac = 1\.0"),
        ({"scenarios": [FALL, replace(FALL, side="short", shock_frac=11.0)]}, r"^scenarios\[1\]\.shock_frac = 11\.0"),
        ({"scenarios": [replace(FALL, depth_survival_frac=0.0)]}, r"^scenarios\[0\]\.depth_survival_frac = 0\.0"),
        ({"scenarios": [replace(FALL, sold_share_frac=NAN)]}, r"^scenarios\[0\]\.sold_share_frac = nan"),
        ({"fund_ticklots": -1.0}, r"^fund_ticklots = -1\.0: a fund holds 0 or more"),
        ({"fund_ticklots": NAN}, r"^fund_ticklots = nan"),
        ({"replenishment_frac": 1.0}, r"^replenishment_frac = 1\.0: must be inside \[0, 1\)"),
        ({"replenishment_frac": -0.1}, r"^replenishment_frac = -0\.1"),
        ({"replenishment_frac": NAN}, r"^replenishment_frac = nan"),
    ],
)
def test_unlawful_rounds_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_rounds(**({"mark_ticks": 1000.0, "book": ONE_BOOK, "fuel": ONE_FUEL, "scenarios": [FALL]} | changes))


# --- liquidation prices on the wrong side ---


def test_fuel_past_the_mark_is_left_out_and_not_sold() -> None:
    # Positions that the reference price has passed are out of date: a fact of real records and no bad input.
    stale = replace(
        FUEL,
        trigger_ticks=np.append(FUEL.trigger_ticks, [1000.0, 1200.0]),
        bankruptcy_ticks=np.append(FUEL.bankruptcy_ticks, [990.0, 1190.0]),
        profile_frac=np.concatenate([FUEL.profile_frac, np.full((2, 2, 2), 0.125)], axis=2),
    )
    with_stale, without = (
        replay_grid(prepare_grid(1000.0, BOOK, fuel, "long"), [0.01, 0.02], "sell", with_parts=True)
        for fuel in (stale, FUEL)
    )
    for name in ("place_count", "notional_count", "part_lots", "unabsorbed_lots", "part_count"):
        assert np.array_equal(getattr(with_stale, name), getattr(without, name)), name
    (end,) = replay_rounds(1000.0, ONE_BOOK, replace(ONE_FUEL, trigger_ticks=np.array([1200.0, 985.0, 980.0])), [FALL])
    assert end.excluded_lots == 3


# --- more than memory ---


def free_memory(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    monkeypatch.setattr(grid.psutil, "virtual_memory", lambda: SimpleNamespace(available=free_bytes))


def ask_draws() -> None:
    draw(DRAW_LAW, date(2025, 10, 10), "BTC", 1_000, n_tiers=7, n_windows=3)


@NOTHING_RUNS
@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lawful, r"^part_lots: 0\.0 GiB are needed and 0\.0 GiB are free; ask for fewer draws, parts or buckets"),
        (ask_draws, r"^draws = 1000: .* are needed .* are free; ask for fewer draws"),
    ],
)
def test_draws_beyond_the_free_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object], message: str
) -> None:
    free_memory(monkeypatch, 100)
    with pytest.raises(ValueError, match=message):
        ask()


@NOTHING_RUNS
def test_counts_beyond_the_free_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    small = lawful()
    free_memory(monkeypatch, 2**20)
    with pytest.raises(ValueError, match=r"^counts: .* are needed .* are free; ask for fewer shocks, liquidities"):
        replay_grid(small, np.linspace(0.01, 0.5, 100), "sell")
    with pytest.raises(ValueError, match=r"^branching: .* are needed .* are free; ask for fewer draws, liquidities"):
        branching_profile(small, np.linspace(0.0, 0.5, 100_000))


def test_what_fits_into_the_free_memory_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    free_memory(monkeypatch, 2**20)
    ask_draws()
    assert replay_grid(lawful(), [0.01], "sell").n_draws == 2


@NOTHING_RUNS
@pytest.mark.parametrize("n_draws", [10**12, 10**30])
def test_draws_beyond_any_memory_are_one_clear_line(n_draws: int) -> None:
    with pytest.raises(ValueError, match=rf"^draws = {n_draws}: [0-9,.]+ GiB are needed and [^\n]*fewer draws$"):
        draw(DRAW_LAW, date(2025, 10, 10), "BTC", n_draws, n_tiers=7, n_windows=3)


@NOTHING_RUNS
@pytest.mark.parametrize("n_draws", [0, -3])
def test_no_draw_is_refused(n_draws: int) -> None:
    with pytest.raises(ValueError, match=rf"^draws = {n_draws}: at least one"):
        draw(DRAW_LAW, date(2025, 10, 10), "BTC", n_draws, n_tiers=7, n_windows=3)
