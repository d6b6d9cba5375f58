"""What the replay refuses: every message names the field and the first offending index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from assets.cascade.simulate import Book, Fuel, Scenario, replay_static, sweep_static

pytestmark = pytest.mark.fast

DOWN = Book(np.array([0.99, 0.98, 0.97]), np.array([5, 10, 20]))
UP = Book(np.array([1.01, 1.02, 1.03]), np.array([5, 10, 20]))
FUEL = Fuel(np.array([990.0, 985.0, 980.0]), np.array([3, 4, 5]), np.array([980.0, 975.0, 970.0]))
FALL = Scenario(0.01, "sell", "long")
SQUEEZE = Scenario(0.01, "sell", "short")
NAN = float("nan")


def refused(
    message: str, *, mark: float = 1000.0, book: Book = DOWN, fuel: Fuel = FUEL, scenario: Scenario = FALL
) -> None:
    with pytest.raises(ValueError, match=message):
        replay_static(mark, book, fuel, [FALL if scenario.side == "long" else SQUEEZE, scenario])


@pytest.mark.parametrize("mark", [0.0, -1.0, NAN, float("inf")])
def test_unlawful_mark_is_refused(mark: float) -> None:
    refused(r"mark_ticks = .*finite and above 0", mark=mark)


@pytest.mark.parametrize(
    ("price", "lots", "message"),
    [
        ([], [], r"relative_price: the book is empty"),
        ([0.99, 0.98], [5], r"cumulative_lots\[1\]: 1 values against 2"),
        ([0.99, NAN, 0.97], [5, 10, 20], r"relative_price\[1\] = nan"),
        ([0.99, 0.98, 0.0], [5, 10, 20], r"relative_price\[2\] = 0\.0"),
        ([0.99, 0.98, -0.5], [5, 10, 20], r"relative_price\[2\] = -0\.5"),
        ([1.01, 0.98, 0.97], [5, 10, 20], r"relative_price\[0\] = 1\.01: below a long's mark"),
        ([0.98, 0.99, 0.97], [5, 10, 20], r"relative_price\[1\] = 0\.99: rows for long fuel must not rise"),
        ([0.99, 0.98, 0.97], [-1, 10, 20], r"cumulative_lots\[0\] = -1"),
        ([0.99, 0.98, 0.97], [5, 10, 9], r"cumulative_lots\[2\] = 9: cumulative depth must not decrease"),
        ([0.99, 0.98, 0.97], [0, 0, 0], r"cumulative_lots\[2\] = 0: the book holds nothing"),
        ([0.99, 0.98, 0.97], [5, 10, 2**53], r"cumulative_lots\[2\] = 9007199254740992"),
        ([0.99, 0.98, 0.97], [5.0, 10.0, 20.0], r"cumulative_lots: lots are whole numbers"),
        ([[0.99]], [5], r"relative_price: expected one dimension, got 2"),
    ],
)
def test_unlawful_book_is_refused(price: list, lots: list, message: str) -> None:
    refused(message, book=Book(np.array(price), np.array(lots)))


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ([0.99, 1.02, 1.03], r"relative_price\[0\] = 0\.99: above a short's mark"),
        ([1.01, 1.03, 1.02], r"relative_price\[2\] = 1\.02: rows for short fuel must not fall"),
        ([1.01, 1.03, 1e300], r"relative_price\[2\] = 1e\+300: a row is at most 2\^53 times the mark"),
    ],
)
def test_unlawful_book_for_shorts_is_refused(price: list[float], message: str) -> None:
    refused(message, book=Book(np.array(price), UP.cumulative_lots), scenario=SQUEEZE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trigger_ticks": np.array([990.0, 0.0, 980.0])}, r"trigger_ticks\[1\] = 0\.0: a liquidation price"),
        ({"trigger_ticks": np.array([990.0, 985.0, -5.0])}, r"trigger_ticks\[2\] = -5\.0"),
        ({"trigger_ticks": np.array([NAN, 985.0, 980.0])}, r"trigger_ticks\[0\] = nan"),
        ({"quantity_lots": np.array([3, -4, 5])}, r"quantity_lots\[1\] = -4"),
        ({"quantity_lots": np.array([3, 2**53 - 3, 5])}, r"quantity_lots\[1\].*below 2\^53"),
        ({"quantity_lots": np.array([3.5, 4.0, 5.0])}, r"quantity_lots: lots are whole numbers"),
        ({"quantity_lots": np.array([3, 4])}, r"quantity_lots\[2\]: 2 values against 3"),
        ({"bankruptcy_ticks": np.array([980.0, 975.0, float("inf")])}, r"bankruptcy_ticks\[2\] = inf"),
        ({"bankruptcy_ticks": np.array([980.0, -1.0, 970.0])}, r"bankruptcy_ticks\[1\] = -1\.0"),
    ],
)
def test_unlawful_fuel_is_refused(changed: dict, message: str) -> None:
    refused(message, fuel=replace(FUEL, **changed))


@pytest.mark.parametrize("shock", [0.0, 1.0, 1.5, -0.1, NAN])
def test_downward_shock_outside_its_range_is_refused(shock: float) -> None:
    refused(r"scenarios\[1\]\.shock_frac = .*inside \(0, 1\)", scenario=replace(FALL, shock_frac=shock))


@pytest.mark.parametrize("shock", [0.0, 10.1, -0.1, NAN])
def test_upward_shock_outside_its_range_is_refused(shock: float) -> None:
    refused(r"scenarios\[1\]\.shock_frac = .*inside \(0, 10\]", book=UP, scenario=replace(SQUEEZE, shock_frac=shock))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth_survival_frac": 0.0}, r"scenarios\[1\]\.depth_survival_frac = 0\.0"),
        ({"depth_survival_frac": 1.01}, r"scenarios\[1\]\.depth_survival_frac = 1\.01"),
        ({"depth_survival_frac": NAN}, r"scenarios\[1\]\.depth_survival_frac = nan"),
        ({"sold_share_frac": -0.1}, r"scenarios\[1\]\.sold_share_frac = -0\.1"),
        ({"sold_share_frac": 1.1}, r"scenarios\[1\]\.sold_share_frac = 1\.1"),
        ({"sold_share_frac": NAN}, r"scenarios\[1\]\.sold_share_frac = nan"),
        ({"side": "both"}, r"scenarios\[1\]\.side = 'both'"),
        ({"shock_kind": "halt"}, r"scenarios\[1\]\.shock_kind = 'halt'"),
    ],
)
def test_unlawful_scenario_is_refused(changed: dict, message: str) -> None:
    refused(message, scenario=replace(FALL, **changed))


def test_edges_of_the_ranges_are_lawful() -> None:
    edge = Scenario(10.0, "reprice", "short", 1.0, 0.0)
    flat = Book(np.array([1.0]), np.array([1]))
    fuel = Fuel(np.array([1100.0]), np.array([2]), np.array([0.0]))
    assert replay_static(1000.0, flat, fuel, [edge, replace(edge, side="long", shock_frac=0.999)])[0].not_sold_lots == 2


@pytest.mark.parametrize(
    ("shocks", "message"),
    [([0.02, 0.01], r"shocks_frac\[1\] = 0\.01: shocks must not decrease"), ([0.02, 1.0], r"shocks_frac\[1\] = 1\.0")],
)
def test_unlawful_sweep_is_refused(shocks: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sweep_static(1000.0, DOWN, FUEL, shocks, shock_kind="sell", side="long")


def test_an_empty_sweep_is_empty() -> None:
    assert sweep_static(1000.0, DOWN, FUEL, [], shock_kind="sell", side="long").mark_ticks.size == 0


def test_inputs_are_not_modified() -> None:
    price, lots = DOWN.relative_price.copy(), FUEL.quantity_lots.copy()
    price.flags.writeable = lots.flags.writeable = False
    replay_static(1000.0, Book(price, DOWN.cumulative_lots), replace(FUEL, quantity_lots=lots), [FALL])
    assert price.tolist() == DOWN.relative_price.tolist()
