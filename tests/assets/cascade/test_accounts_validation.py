"""Unlawful markets, accounts, scenarios and paths are refused with the field and the first offending index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from assets.cascade.accounts import (
    Accounts,
    Book,
    Markets,
    prepare_accounts,
    replay_accounts,
    replay_accounts_path,
)

pytestmark = pytest.mark.fast

BID = Book(np.array([0.99, 0.98]), np.array([5, 50]))
ASK = Book(np.array([1.01, 1.02]), np.array([5, 50]))
MARKETS = Markets(np.array([1000.0, 500.0]), [BID, BID], [ASK, ASK])
ACCOUNTS = Accounts(
    np.array([500.0, 900.0]),
    np.array([0, 1, 3]),
    np.array([0, 0, 1]),
    np.array([3, -2, 4]),
    np.array([1000.0, 990.0, 500.0]),
    np.array([0.01, 0.01, 0.02]),
)


def bad_market(**changes: object) -> None:
    prepare_accounts(replace(MARKETS, **changes), ACCOUNTS)


def bad_accounts(**changes: object) -> None:
    prepare_accounts(MARKETS, replace(ACCOUNTS, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mark_ticks": np.array([1000.0, np.nan])}, r"mark_ticks\[1\] = nan"),
        ({"mark_ticks": np.array([0.0, 1.0])}, r"mark_ticks\[0\] = 0.0"),
        ({"mark_ticks": np.empty(0), "bids": [], "asks": []}, "mark_ticks: there is no asset"),
        ({"mark_ticks": np.ones((2, 2))}, "mark_ticks: expected one dimension, got 2"),
        ({"bids": [BID]}, r"bids\[1\]: 1 books against 2 marks"),
        ({"asks": [ASK, ASK, ASK]}, r"asks\[2\]: 3 books against 2 marks"),
        ({"bids": [BID, ASK]}, r"bids\[1\]\.relative_price\[0\] = 1.01"),
        ({"asks": [Book(np.array([1.0, 1.1]), np.array([5, 4])), ASK]}, r"asks\[0\]\.cumulative_lots\[1\] = 4"),
        ({"bids": [BID, Book(np.array([0.9]), np.array([0]))]}, r"bids\[1\]\.cumulative_lots\[0\] = 0"),
    ],
)
def test_markets_are_judged(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad_market(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"collateral_ticklots": np.array([1.0, np.inf])}, r"collateral_ticklots\[1\] = inf"),
        ({"collateral_ticklots": np.array([1.0])}, r"first_position\[2\]: 3 values against 2 of accounts \+ 1"),
        ({"first_position": np.array([1, 1, 3])}, r"first_position\[0\] = 1"),
        ({"first_position": np.array([0, 4, 3])}, r"first_position\[2\] = 3"),
        ({"first_position": np.array([0, 1, 2])}, r"first_position\[2\] = 2: there are 3 positions"),
        ({"first_position": np.array([0.0, 1.0, 3.0])}, "first_position: expected whole numbers, got float64"),
        ({"asset_index": np.array([0, 2, -1])}, r"asset_index\[1\] = 2: there are 2 assets"),
        ({"quantity_lots": np.array([3, -2])}, r"quantity_lots\[2\]: 2 values against 3 of asset_index"),
        ({"quantity_lots": np.array([2**52, -(2**52), 4])}, r"quantity_lots\[1\] = -4503599627370496"),
        ({"quantity_lots": np.array([3, -2, -(2**63)])}, r"quantity_lots\[2\] = -9223372036854775808"),
        ({"entry_ticks": np.array([1000.0, -1.0, 500.0])}, r"entry_ticks\[1\] = -1.0"),
        ({"entry_ticks": np.array([1000.0, np.nan, 500.0])}, r"entry_ticks\[1\] = nan"),
        ({"maintenance_rate_frac": np.array([0.01, 0.01, 1.5])}, r"maintenance_rate_frac\[2\] = 1.5"),
    ],
)
def test_accounts_are_judged(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad_accounts(**changes)


@pytest.mark.parametrize(
    ("shocks", "options", "message"),
    [
        ([[-0.1, -1.0]], {}, r"shock_frac\[0, 1\] = -1.0"),
        ([[-0.1, 0.0], [np.nan, 0.0]], {}, r"shock_frac\[1, 0\] = nan"),
        ([[-0.1, 10.5]], {}, r"shock_frac\[0, 1\] = 10.5"),
        ([-0.1, 0.1], {}, r"shock_frac: expected \[n_scenarios, 2\], got \[2\]"),
        ([[-0.1, 0.1]], {"depth_survival_frac": 0.0}, "depth_survival_frac = 0.0: W"),
        ([[-0.1, 0.1]] * 2, {"depth_survival_frac": [1.0, 1.5]}, r"depth_survival_frac\[1\] = 1.5"),
        ([[-0.1, 0.1]], {"depth_survival_frac": [1.0, 0.5]}, r"depth_survival_frac\[1\]: 2 values against 1"),
        ([[-0.1, 0.1]], {"depth_survival_frac": [[1.0]]}, "depth_survival_frac: expected a number or one dimension"),
        ([[-0.1, 0.1]], {"engine": "fast"}, "engine = 'fast': must be masks or naive"),
        ([[-0.1, 0.1]], {"threads": 0}, "threads = 0"),
    ],
)
def test_scenarios_are_judged(shocks: list, options: dict[str, object], message: str) -> None:
    lattice = prepare_accounts(MARKETS, ACCOUNTS)
    with pytest.raises(ValueError, match=message):
        replay_accounts(lattice, shocks, **options)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([[1000.0, 500.0], [1000.0, 0.0]], r"path_ticks\[1, 1\] = 0.0"),
        ([[1000.0, 2.0**54]], r"path_ticks\[0, 1\] = 1.8"),
        ([[np.nan, 500.0]], r"path_ticks\[0, 0\] = nan"),
        ([[1000.0]], r"path_ticks: expected \[n_steps, 2\], got \[1, 1\]"),
    ],
)
def test_paths_are_judged(path: list, message: str) -> None:
    lattice = prepare_accounts(MARKETS, ACCOUNTS)
    with pytest.raises(ValueError, match=message):
        replay_accounts_path(lattice, path)
    with pytest.raises(ValueError, match=r"depth_survival_frac = nan"):
        replay_accounts_path(lattice, [[1000.0, 500.0]], depth_survival_frac=float("nan"))


def test_what_the_caller_gave_is_not_changed() -> None:
    given = [np.array(v) for v in vars(ACCOUNTS).values()]
    lattice = prepare_accounts(MARKETS, ACCOUNTS)
    replay_accounts(lattice, [[-0.9, 0.9]])
    assert all(np.array_equal(a, b) for a, b in zip(given, vars(ACCOUNTS).values(), strict=True))
