"""Aave's health, close factor, dust rule and liquidation price: boundaries by hand, and laws against the rule's own words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.cascade.lending import (
    collateral_liquidation_price,
    health_factor,
    largest_liquidation,
    max_repayable_usd,
)

BLOCK = 20


def check(count: int, law: Callable[[np.random.Generator], None]) -> None:
    """Run a law over `count` seeded accounts, in blocks."""

    @settings(max_examples=count // BLOCK, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32 - 1))
    def holds(seed: int) -> None:
        law(np.random.default_rng(seed))

    holds()


@pytest.mark.fast
def test_health_is_the_documented_example() -> None:
    # 10,000 of ETH at a threshold of 80 %, 6,000 borrowed.
    assert round(float(health_factor([10_000.0], [0.8], 6_000.0)), 3) == 1.333
    assert health_factor([10_000.0, 5_000.0], [0.8, 0.6], 11_000.0) == 1.0
    assert health_factor([1.0], [0.8], 0.0) == np.inf
    np.testing.assert_array_equal(health_factor(np.ones((3, 2)), 0.5, [1.0, 2.0, 0.5]), [1.0, 0.5, 2.0])


@pytest.mark.fast
@pytest.mark.parametrize(
    ("why", "health", "total", "debt", "collateral", "expected"),
    [
        ("healthy", 1.0, 10_000.0, 10_000.0, 12_000.0, 0.0),
        ("half of the only debt", 0.99, 10_000.0, 10_000.0, 12_000.0, 5_000.0),
        ("half of total debt is more than this reserve", 0.99, 10_000.0, 4_000.0, 12_000.0, 4_000.0),
        ("half of total debt is less than this reserve", 0.99, 10_000.0, 7_000.0, 12_000.0, 5_000.0),
        ("0.95 itself is below the line", 0.95, 10_000.0, 7_000.0, 12_000.0, 7_000.0),
        ("small debt leg", 0.99, 10_000.0, 1_999.99, 12_000.0, 1_999.99),
        ("small collateral leg", 0.99, 10_000.0, 7_000.0, 1_999.99, 7_000.0),
        ("both legs at the line", 0.99, 2_000.0, 2_000.0, 2_000.0, 1_000.0),
    ],
)
def test_close_factor(why: str, health: float, total: float, debt: float, collateral: float, expected: float) -> None:
    assert max_repayable_usd(health, total, debt, collateral) == expected, why


@pytest.mark.fast
@pytest.mark.parametrize(
    ("why", "health", "total", "debt", "collateral", "repaid", "seized"),
    [
        ("half, with a bonus of 10 %", 0.99, 10_000.0, 10_000.0, 12_000.0, 5_000.0, 5_500.0),
        ("the collateral is not enough", 0.8, 10_000.0, 10_000.0, 8_800.0, 8_000.0, 8_800.0),
        ("the whole debt may leave any collateral", 0.9, 5_000.0, 5_000.0, 5_600.0, 5_000.0, 5_500.0),
        ("1,000 of debt must stay", 0.99, 10_000.0, 5_500.0, 12_000.0, 4_500.0, 4_950.0),
        ("1,000 of collateral must stay", 0.99, 10_000.0, 9_000.0, 6_050.0, 4_590.9090909, 5_050.0),
        ("healthy", 1.2, 10_000.0, 5_500.0, 12_000.0, 0.0, 0.0),
        ("no collateral", 0.5, 10_000.0, 5_500.0, 0.0, 0.0, 0.0),
    ],
)
def test_largest_liquidation(
    why: str, health: float, total: float, debt: float, collateral: float, repaid: float, seized: float
) -> None:
    found = largest_liquidation(health, total, debt, collateral, 0.1)
    assert (float(found.repaid_usd), float(found.seized_usd)) == pytest.approx((repaid, seized)), why


def is_lawful(repaid: float, health: float, total: float, debt: float, collateral: float, bonus: float) -> bool:
    """Whether the contract accepts this repayment and carries it out in full."""
    seized = repaid * (1 + bonus)
    limit = debt
    if health > 0.95 and debt >= 2_000 and collateral >= 2_000:
        limit = min(debt, total / 2)
    slack = 1e-9 * total
    if health >= 1 or repaid > limit + slack or seized > collateral + slack:
        return False
    all_debt, all_collateral = repaid >= debt - slack, seized >= collateral - slack
    leaves_enough = debt - repaid >= 1_000 - slack and collateral - seized >= 1_000 - slack
    return all_debt or all_collateral or leaves_enough


@pytest.mark.trial("lending: the largest liquidation is lawful and none is larger")
def test_the_largest_liquidation_is_lawful_and_none_is_larger(trial_count: Callable[..., int]) -> None:
    def law(rng: np.random.Generator) -> None:
        health = rng.choice((0.95, 1.0, *rng.uniform(0.7, 1.02, 6)), BLOCK)
        debt = 10 ** rng.uniform(2, 5, BLOCK)
        total = debt * rng.choice((1.0, *rng.uniform(1, 3, 2)), BLOCK)
        collateral, bonus = debt * rng.uniform(0.3, 2, BLOCK), rng.uniform(0, 0.15, BLOCK)
        found = largest_liquidation(health, total, debt, collateral, bonus)
        np.testing.assert_allclose(found.seized_usd, found.repaid_usd * (1 + bonus), rtol=1e-12)
        for i in range(BLOCK):
            account = (health[i], total[i], debt[i], collateral[i], bonus[i])
            repaid = float(found.repaid_usd[i])
            assert is_lawful(repaid, *account) or (health[i] >= 1 and repaid == 0)
            for more in (1e-6, 1.0, *(rng.random(5) * total[i])):
                assert not is_lawful(repaid + 1e-7 * total[i] + more, *account)

    check(trial_count(10_000), law)


@pytest.mark.trial("lending: health falls exactly where LTV x (1 + bonus) > 1")
def test_health_falls_exactly_where_the_spiral_is_toxic(trial_count: Callable[..., int]) -> None:
    def law(rng: np.random.Generator) -> None:
        collateral = 10 ** rng.uniform(2, 8, BLOCK)
        threshold, bonus = rng.uniform(0.5, 0.97, BLOCK), rng.uniform(0, 0.15, BLOCK)
        debt = collateral * rng.uniform(threshold, 1.1)
        before = health_factor(collateral[:, None], threshold[:, None], debt)
        repaid = rng.uniform(0.05, 0.9, BLOCK) * np.minimum(debt, collateral / (1 + bonus))
        after = health_factor((collateral - repaid * (1 + bonus))[:, None], threshold[:, None], debt - repaid)
        toxicity = debt / collateral * (1 + bonus)
        is_told_apart = np.abs(toxicity - 1) > 1e-9
        np.testing.assert_array_equal((after < before)[is_told_apart], (toxicity > 1)[is_told_apart])

    check(trial_count(10_000), law)


@pytest.mark.fast
def test_at_the_toxic_line_health_stays() -> None:
    # LTV 0.8, bonus 25 %: what is repaid and what is seized shrink debt and collateral alike.
    assert health_factor([1_000.0 - 500.0], [0.75], 800.0 - 400.0) == health_factor([1_000.0], [0.75], 800.0)


@pytest.mark.trial("lending: at the liquidation price health is 1")
def test_at_the_liquidation_price_health_is_one(trial_count: Callable[..., int]) -> None:
    def law(rng: np.random.Generator) -> None:
        held, owed = 10 ** rng.uniform(-2, 4, BLOCK), rng.integers(0, 2, BLOCK) * 10 ** rng.uniform(-2, 4, BLOCK)
        threshold, price0 = rng.uniform(0.3, 0.95, BLOCK), 10 ** rng.uniform(-2, 4, BLOCK)
        other = rng.uniform(0, 1, BLOCK) * held * price0
        debt = rng.uniform(0.1, 2, BLOCK) * held * price0
        price = collateral_liquidation_price(held, threshold, 0.8 * other, debt, owed)
        has = ~np.isnan(price)
        values = np.stack((held * price, other), axis=1)
        health = health_factor(
            values[has], np.stack((threshold, np.full(BLOCK, 0.8)), axis=1)[has], (debt + owed * price)[has]
        )
        np.testing.assert_allclose(health, 1.0, rtol=1e-6)
        # Without a price, health is on one side of 1 whatever the price.
        for p in (1e-9, 1e-3, 1.0, 1e3, 1e9):
            margin = held * p * threshold + 0.8 * other - debt - owed * p
            assert (np.sign(margin) == np.sign(0.8 * other - debt))[~has].all()

    check(trial_count(10_000), law)


@pytest.mark.fast
def test_price_of_a_collateral_and_of_a_debt() -> None:
    # 1 ETH at 80 % against 1,600 USDC: 2,000. Two ETH owed against 4,000 of cover: fails as ETH rises to 2,000.
    assert collateral_liquidation_price(1.0, 0.8, 0.0, 1_600.0) == 2_000.0
    assert collateral_liquidation_price(0.0, 0.0, 4_000.0, 0.0, 2.0) == 2_000.0
    assert np.isnan(collateral_liquidation_price(1.0, 0.8, 1_600.0, 1_600.0))  # the rest covers it at any price
    assert np.isnan(collateral_liquidation_price(0.0, 0.8, 0.0, 1.0))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: health_factor([1.0, -1.0], [0.5, 0.5], 1.0), r"collateral_usd\[1\] = -1"),
        (lambda: health_factor([1.0], [1.5], 1.0), r"liquidation_threshold_frac\[0\] = 1.5"),
        (lambda: health_factor([1.0], [0.5], [1.0, np.nan]), r"debt_usd\[1\] = nan"),
        (lambda: max_repayable_usd(np.nan, 1.0, 1.0, 1.0), r"health_x\[0\] = nan"),
        (lambda: max_repayable_usd(0.9, [2.0, 1.0], [1.0, 1.5], 1.0), r"reserve_debt_usd\[1\] = 1.5"),
        (lambda: largest_liquidation(0.9, 1.0, 1.0, np.inf, 0.1), r"reserve_collateral_usd\[0\] = inf"),
        (lambda: largest_liquidation(0.9, 1.0, 1.0, 1.0, -0.1), r"liquidation_bonus_frac\[0\] = -0.1"),
        (lambda: collateral_liquidation_price([1.0, -1.0], 0.5, 0.0, 1.0), r"held_base\[1\] = -1"),
        (lambda: collateral_liquidation_price(1.0, 0.5, 0.0, 1.0, -2.0), r"owed_base\[0\] = -2"),
    ],
)
def test_bad_input_is_refused_with_field_and_index(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
