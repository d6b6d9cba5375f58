"""Observed fuel of lending markets: windows by hand, laws of the ladder. Against a market's known accounts: tests/dbt/test_lending.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pytest

from assets.cascade.lending import collateral_ladder, health_factor
from assets.cascade.lending_fuel import lending_fuel_rows
from quality.schemas.sim import LIQUIDATION_FUEL

DAY = date(2025, 10, 9)
Rows = dict[str, list[dict[str, Any]]]
Build = Callable[..., duckdb.DuckDBPyConnection]


def test_an_account_is_a_ladder_of_windows(build_marts: Build) -> None:
    rows = lending_fuel_rows(build_marts(), DAY)
    assert set(rows[0]) == set(LIQUIDATION_FUEL.columns)
    assert {(r["venue"], r["asset"], r["position_side"], r["fuel_origin"]) for r in rows} == {
        ("aave_v3_ethereum", "ETH", "long", "observed")
    }
    first = rows[0]
    # Health is 1 where 43,000 x 83 % x price is 20,000: at 56.04 % of 4,300, a fall of 43.96 %.
    assert (first["window_start_frac"], first["window_end_frac"]) == (0.435, 0.44)
    assert first["trigger_quote"] == Decimal("2409.63855422")
    # Half of the debt, and 5 % more of ETH.
    assert (first["fuel_debt_usd"], first["fuel_usd"]) == (10_000, 10_500)
    assert first["fuel_base"] == Decimal("4.35750000")
    assert first["close_factor_frac"] == 0.5
    assert first["liquidation_bonus_frac"] == pytest.approx(0.05)
    # What is left, 5.6425 ETH against 10,000, fails at 10,000 / (5.6425 x 0.83).
    assert float(rows[1]["trigger_quote"]) == pytest.approx(10_000 / (5.6425 * 0.83))
    # By the end the collateral is gone, whether or not the debt is.
    assert sum(r["fuel_base"] for r in rows) <= 10
    assert [r["window_end_frac"] for r in rows] == sorted({r["window_end_frac"] for r in rows})


def test_an_account_that_fails_now_needs_no_fall(build_marts: Build, world: Rows) -> None:
    for leg in world["fct_lending_positions_daily"]:
        leg["oracle_price_quote"] = 2_300.0 if leg["asset"] else 1.0
        leg["account_collateral_usd"] = 23_000.0
    first = lending_fuel_rows(build_marts(world), DAY)[0]
    assert (first["window_start_frac"], first["window_end_frac"]) == (0.0, 0.0)
    assert first["trigger_quote"] == 2_300


@pytest.mark.parametrize(
    "change",
    [
        {"account_threshold_frac": 0.93},  # e-mode
        {"supplied_base": None},  # more than the type holds
    ],
)
def test_an_account_that_cannot_be_told_is_counted(build_marts: Build, world: Rows, change: dict[str, Any]) -> None:
    told = world["fct_lending_positions_daily"]
    odd = [leg | change | {"user_address": "0x" + "c" * 40} for leg in told]
    before = lending_fuel_rows(build_marts(world), DAY)
    after = lending_fuel_rows(build_marts(world | {"fct_lending_positions_daily": [*told, *odd]}), DAY)
    assert [r | {"left_out_accounts_count": 0} for r in after] == before
    assert {r["left_out_accounts_count"] for r in after} == {1}


def test_other_days_and_other_protocols_have_no_part(build_marts: Build, world: Rows) -> None:
    con = build_marts(world)
    assert lending_fuel_rows(con, DAY - timedelta(days=1)) == []
    con.execute("update marts.fct_lending_positions_daily set protocol = 'other'")
    assert lending_fuel_rows(con, DAY) == []


def _less(had: float, taken: float) -> float:
    """Return what is left; no more is taken than there was, to rounding."""
    assert taken <= had * (1 + 1e-9)
    return 0.0 if taken >= had * (1 - 1e-12) else had - taken


@pytest.mark.parametrize("seed", range(40))
def test_a_ladder_obeys_its_laws(seed: int) -> None:
    """Prices fall, nothing is sold twice, every step is lawful, and the account is sound or empty where the ladder ends."""
    rng = np.random.default_rng(seed)
    n = 30
    threshold, bonus = np.array([0.83, 0.8, 0.78, 0.75]), np.array([0.05, 0.06, 0.045, 0.1])
    falling = np.array([True, True, False, False])
    held = np.exp(rng.uniform(5, 15, (n, 4))) * (rng.random((n, 4)) < 0.6)
    owed = np.exp(rng.uniform(5, 14, (n, 4))) * (rng.random((n, 4)) < 0.4)
    ladder = collateral_ladder(held, owed, threshold, bonus, falling)
    left_held, left_owed, price = held.copy(), owed.copy(), np.ones(n)
    assert np.all(np.diff(ladder.account) >= 0)
    for i in range(ladder.account.size):
        a, s, r, x = ladder.account[i], ladder.seized_token[i], ladder.repaid_token[i], ladder.price_x[i]
        assert 0 < x <= price[a]
        price[a] = x
        scale = np.where(falling, x, 1.0)
        total = float((left_owed[a] * scale).sum())
        assert float(health_factor(left_held[a] * scale, threshold, total)) <= 1 + 1e-9
        assert ladder.total_debt_usd[i] == pytest.approx(total)
        assert ladder.seized_usd[i] <= ladder.repaid_usd[i] * (1 + bonus[s]) * (1 + 1e-9)
        left_held[a, s] = _less(left_held[a, s], ladder.seized_usd[i] / scale[s])
        left_owed[a, r] = _less(left_owed[a, r], ladder.repaid_usd[i] / scale[r])
    # Where it ends no fall of the asset fails the account: what does not move covers its debt, or nothing is left to take.
    for x in (1.0, 1e-6):
        scale = np.where(falling, np.minimum(price[:, None], x), 1.0)
        cover, debt = (left_held * scale * threshold).sum(axis=1), (left_owed * scale).sum(axis=1)
        is_empty = (left_held * scale).max(axis=1) < 1e-3
        assert np.all((cover >= debt * (1 - 1e-9)) | is_empty)
