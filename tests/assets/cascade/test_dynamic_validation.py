"""What the dynamic replay refuses: every message names the field, the first offending index and the law."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from assets.cascade.dynamic import (
    BASELINE,
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

pytestmark = pytest.mark.fast

LONG = SideFuel(np.array([99.0, 98.0]), np.array([1, 2]))
SHORT = SideFuel(np.array([101.0]), np.array([1]))
BOOK = Book(np.array([0.9]), np.array([10])), Book(np.array([1.1]), np.array([10]))
MARKET = DayMarket(100.0, LONG, SHORT, *BOOK, 5)
PATH = DayPath(np.array([98.0, 99.0]), np.array([101.0, 102.0]), np.array([99.0, 100.0]))
IMPACT = Impact(power_law_kernel(2))


def opened(step, place, lots) -> DayMarket:
    return replace(MARKET, long_fuel=replace(LONG, openings=Openings(np.array(step), np.array(place), np.array(lots))))


def fuel(**changed) -> DayMarket:
    return replace(MARKET, long_fuel=replace(LONG, **changed))


MARKETS = [
    (replace(MARKET, mark_ticks=0.0), r"markets\[1\]\.mark_ticks = 0.0"),
    (replace(MARKET, mark_ticks=float("nan")), r"markets\[1\]\.mark_ticks = nan"),
    (replace(MARKET, sold_share_frac=1.5), r"markets\[1\]\.sold_share_frac = 1.5"),
    (replace(MARKET, closure_frac=np.array([0.1, 1.0])), r"markets\[1\]\.closure_frac\[1\] = 1.0"),
    (replace(MARKET, closure_frac=np.array([0.1])), r"markets\[1\]\.closure_frac\[1\]: 1 values against 2"),
    (fuel(trigger_ticks=np.array([99.0, -1.0])), r"markets\[1\]\.long_fuel\.trigger_ticks\[1\] = -1.0"),
    (fuel(trigger_ticks=np.array([np.inf, 1.0])), r"markets\[1\]\.long_fuel\.trigger_ticks\[0\] = inf"),
    (fuel(trigger_ticks=np.array([[99.0, 1.0]])), r"markets\[1\]\.long_fuel\.trigger_ticks: expected one dimension"),
    (fuel(quantity_lots=np.array([1, -2])), r"markets\[1\]\.long_fuel\.quantity_lots\[1\] = -2"),
    (fuel(quantity_lots=np.array([1, 2**53])), r"markets\[1\]\.long_fuel\.quantity_lots\[1\]"),
    (fuel(quantity_lots=np.array([1.0, 2.0])), r"markets\[1\]\.long_fuel\.quantity_lots: expected whole numbers"),
    (fuel(quantity_lots=np.array([1])), r"markets\[1\]\.long_fuel\.quantity_lots\[1\]: 1 values against 2"),
    (fuel(leverage_x=np.array([2.0, 0.5])), r"markets\[1\]\.long_fuel\.leverage_x\[1\] = 0.5"),
    (
        replace(MARKET, short_fuel=replace(SHORT, quantity_lots=np.array([-1]))),
        r"markets\[1\]\.short_fuel\.quantity_lots\[0\]",
    ),
    (opened([0, 2], [0, 0], [1, 1]), r"markets\[1\]\.long_fuel\.openings\.step\[1\] = 2"),
    (opened([1, 0], [0, 0], [1, 1]), r"markets\[1\]\.long_fuel\.openings\.step\[1\] = 0: steps must not decrease"),
    (opened([0], [2], [1]), r"markets\[1\]\.long_fuel\.openings\.bin\[0\] = 2: the side has 2 bins"),
    (opened([0], [0], [-1]), r"markets\[1\]\.long_fuel\.openings\.lots\[0\] = -1"),
    (opened([0], [0], [2**53 - 3]), r"markets\[1\]\.long_fuel\.openings\.lots\[0\]"),
    (opened([0], [0, 1], [1]), r"markets\[1\]\.long_fuel\.openings\.bin\[1\]"),
]


@pytest.mark.parametrize(("bad", "message"), MARKETS)
def test_an_unlawful_market_is_refused(bad: DayMarket, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_path([MARKET, bad], [PATH, PATH])


PATHS = [
    (
        replace(PATH, low_ticks=np.array([98.0, 101.0])),
        r"paths\[1\]\.low_ticks\[1\] = 101.0: the low must not be above",
    ),
    (replace(PATH, high_ticks=np.array([90.0, 101.0])), r"paths\[1\]\.high_ticks\[0\] = 90.0"),
    (replace(PATH, close_ticks=np.array([99.0, np.nan])), r"paths\[1\]\.close_ticks\[1\] = nan"),
    (replace(PATH, low_ticks=np.array([0.0, 1.0])), r"paths\[1\]\.low_ticks\[0\] = 0.0"),
    (replace(PATH, low_ticks=np.array([98.0])), r"paths\[1\]\.low_ticks\[1\]: 1 values against 2"),
]


@pytest.mark.parametrize(("bad", "message"), PATHS)
def test_an_unlawful_path_is_refused(bad: DayPath, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_path([MARKET, MARKET], [PATH, bad])


POLICIES = [
    ({"leverage_cap_x": 0.5}, r"policies\[1\]\.leverage_cap_x = 0.5"),
    ({"leverage_cap_x": 5.0}, r"markets\[0\]\.long_fuel\.leverage_x: a leverage cap needs"),
    ({"cap_rule": "halve"}, r"policies\[1\]\.cap_rule = 'halve'"),
    ({"depth_scale_x": 0.0}, r"policies\[1\]\.depth_scale_x = 0.0"),
    ({"depth_scale_x": 1e-9}, r"policies\[1\]\.depth_scale_x = 1e-09: leaves 0.0 lots"),
    ({"breaker_move_frac": 1.0}, r"policies\[1\]\.breaker_move_frac = 1.0"),
    ({"breaker_window_steps": 0}, r"policies\[1\]\.breaker_window_steps = 0"),
    ({"breaker_halt_steps": -1}, r"policies\[1\]\.breaker_halt_steps = -1"),
    ({"twap_steps": 0}, r"policies\[1\]\.twap_steps = 0"),
    ({"twap_steps": 1.5}, r"policies\[1\]\.twap_steps = 1.5"),
    ({"adl_share_frac": -0.1}, r"policies\[1\]\.adl_share_frac = -0.1"),
]


@pytest.mark.parametrize(("changed", "message"), POLICIES)
def test_an_unlawful_policy_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_free([MARKET], [np.array([95.0])], IMPACT, [BASELINE, Policy("bad", **changed)], n_steps=2)


BOOKS = [
    (replace(MARKET, bids=None), r"markets\[0\]\.bids: this mode needs both books"),
    (replace(MARKET, asks=BOOK[0]), r"markets\[0\]\.asks\.relative_price\[0\] = 0.9"),
    (replace(MARKET, bids=Book(np.array([0.9]), np.array([0]))), r"markets\[0\]\.bids\.cumulative_lots\[0\] = 0"),
    (replace(MARKET, reference_lots=None), r"markets\[0\]\.reference_lots = None"),
    (replace(MARKET, reference_lots=0), r"markets\[0\]\.reference_lots = 0"),
]


@pytest.mark.parametrize(("bad", "message"), BOOKS)
def test_modes_with_impact_refuse_a_missing_or_unlawful_book(bad: DayMarket, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_free([bad], [np.array([95.0])], IMPACT, n_steps=2)
    with pytest.raises(ValueError, match=message):
        replay_counterfactual([bad], [PATH], IMPACT)


IMPACTS = [
    (Impact(np.array([1.0])), r"impact\.decay\[1\]: 1 values against 2 steps"),
    (Impact(np.array([0.9, 0.5])), r"impact\.decay\[0\] = 0.9"),
    (Impact(np.array([1.0, -0.5])), r"impact\.decay\[1\] = -0.5"),
    (Impact(np.array([1.0, 0.5, 0.6])), r"impact\.decay\[2\] = 0.6: decay must not rise"),
    (Impact(power_law_kernel(2), DepthProcess(return_sensitivity_x=-1.0)), r"impact\.depth\.return_sensitivity_x = -1"),
    (Impact(power_law_kernel(2), DepthProcess(flow_sensitivity_x=np.nan)), r"impact\.depth\.flow_sensitivity_x = nan"),
    (Impact(power_law_kernel(2), DepthProcess(half_life_steps=0.0)), r"impact\.depth\.half_life_steps = 0.0"),
    (Impact(power_law_kernel(2), DepthProcess(least_survival_frac=0.0)), r"impact\.depth\.least_survival_frac = 0.0"),
    (Impact(power_law_kernel(2), DepthProcess(initial_survival_frac=0.01)), r"impact\.depth\.initial_survival_frac"),
]


@pytest.mark.parametrize(("bad", "message"), IMPACTS)
def test_an_unlawful_impact_is_refused(bad: Impact, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_free([MARKET], [np.array([95.0])], bad, n_steps=2)


SHOCKS = [
    ([np.array([])], r"shocks_ticks\[0\] length = 0"),
    ([np.array([95.0] * 3)], r"shocks_ticks\[0\] length = 3"),
    ([np.array([95.0, 0.5])], r"shocks_ticks\[0\]\[1\] = 0.5"),
    ([], r"shocks_ticks\[0\]: 0 against 1"),
]


@pytest.mark.parametrize(("bad", "message"), SHOCKS)
def test_an_unlawful_shock_is_refused(bad: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_free([MARKET], bad, IMPACT, n_steps=2)


def test_numbers_of_things_must_fit() -> None:
    cases = [
        (lambda: replay_path([], []), "markets|paths"),
        (lambda: replay_path([MARKET], [PATH, PATH]), r"paths\[1\]: 2 paths against 1 markets"),
        (lambda: replay_path([MARKET], [PATH], []), "policies: give at least one"),
        (lambda: replay_path([MARKET], [PATH], threads=0), "threads = 0"),
        (lambda: replay_free([MARKET], [np.array([95.0])], IMPACT, n_steps=0), "n_steps = 0"),
        (lambda: replay_counterfactual([MARKET], [PATH], IMPACT, side="both"), "side = 'both'"),
        (lambda: replay_counterfactual([MARKET], [PATH], IMPACT, max_iterations=0), "max_iterations = 0"),
        (lambda: replay_counterfactual([MARKET], [PATH], IMPACT, tolerance=float("nan")), "tolerance = nan"),
        (
            lambda: replay_counterfactual([MARKET], [PATH], IMPACT, reported_lots=[np.zeros((2, 3), dtype=int)]),
            r"reported_lots\[0\]: shape \(2, 3\), expected \(2, 2\)",
        ),
        (
            lambda: replay_counterfactual([MARKET], [PATH], IMPACT, reported_lots=[np.array([[0, 0], [0, -1]])]),
            r"reported_lots\[0\]\[1\]\[1\] = -1",
        ),
        (lambda: power_law_kernel(3, -1.0), "beta = -1.0"),
        (lambda: price_grid(100.0, "long", 1.0, 3), "step_frac = 1.0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_closures_that_leave_nothing_countable_are_refused() -> None:
    n = 600
    row = np.full(n, 99.0)
    with pytest.raises(ValueError, match=r"markets\[0\]\.closure_frac\[500\] = 0.5: after this step"):
        replay_path([replace(MARKET, closure_frac=np.full(n, 0.5))], [DayPath(row, row, row)])


def test_importing_the_entry_points_does_not_import_the_compiler() -> None:
    program = "import sys, assets.cascade.dynamic; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
