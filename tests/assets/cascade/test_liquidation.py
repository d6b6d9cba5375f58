"""Liquidation prices: the vectors of docs/cascade.md to the cent, tiers, and results that are no price."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from assets.cascade.liquidation import (
    MarginTier,
    at_liquidation_tier,
    binance_linear,
    bybit_linear_legacy,
    hyperliquid,
    inverse,
    inverse_bankruptcy,
    linear_bankruptcy,
)

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("name", "price", "expected"),
    [
        ("binance long 1 at 100,000 20x", binance_linear(1, 100_000, 1, 5_000, 0.005, 50), 95_427.14),
        ("binance short 3 at 100,000 10x", binance_linear(-1, 100_000, 3, 30_000, 0.01, 1_300), 109_339.93),
        ("inverse long 100k 20x", inverse(1, 100_000, 100_000, 1 / 20, 0.005), 95_714.29),
        ("hyperliquid long 1 at 100,000 20x", hyperliquid(1, 100_000, 1, 5_000, 40), 96_202.53),
        ("bybit legacy 20,000 50x", bybit_linear_legacy(1, 20_000, 1, 400, 100), 19_700.00),
    ],
)
def test_price_matches_the_vector_to_the_cent(name: str, price: np.ndarray, expected: float) -> None:
    assert round(float(price), 2) == expected, name


def test_at_the_binance_price_margin_equals_maintenance() -> None:
    # The definition itself: wallet + unrealised profit = MMR x notional - cum, for both sides and any size.
    rng = np.random.default_rng(1)
    d = rng.choice([-1.0, 1.0], 500)
    entry, quantity = rng.uniform(0.1, 1e5, 500), rng.uniform(0.01, 1e3, 500)
    rate, leverage = rng.uniform(0.004, 0.02, 500), rng.uniform(2, 40, 500)
    wallet = entry * quantity / leverage
    price = binance_linear(d, entry, quantity, wallet, rate, cum=0.5)
    equity = wallet + d * quantity * (price - entry)
    np.testing.assert_allclose(equity, rate * quantity * price - 0.5, rtol=1e-9, atol=1e-6 * float(wallet.max()))


def test_at_the_inverse_price_margin_equals_maintenance() -> None:
    price = inverse([1, -1], [100.0, 100.0], [1_000.0, 1_000.0], [1.0, 1.0], [0.01, 0.01])
    equity = 1.0 + np.array([1, -1]) * 1_000.0 * (1 / 100.0 - 1 / price)
    np.testing.assert_allclose(equity, 0.01 * 1_000.0 / price, rtol=1e-12)


def test_bankruptcy_lies_beyond_liquidation() -> None:
    assert linear_bankruptcy(1, 100, 1, 10) == 90 < binance_linear(1, 100, 1, 10, 0.01)
    assert linear_bankruptcy(-1, 100, 1, 10) == 110 > binance_linear(-1, 100, 1, 10, 0.01)
    assert inverse_bankruptcy(1, 100, 1_000, 1.0) < inverse(1, 100, 1_000, 1.0, 0.01)


@pytest.mark.parametrize(
    "price",
    [
        inverse(-1, 100.0, 1_000.0, 10.0, 0.0),  # a 1x short: margin and loss move together
        binance_linear(1, 100.0, 1.0, 200.0, 0.01),  # more margin than the position can lose
        linear_bankruptcy(1, 100.0, 1.0, 100.0),  # 1x long: bankrupt at zero only
        binance_linear(1, 100.0, 0.0, 10.0, 0.01),  # no position
        hyperliquid(1, 100.0, 1.0, float("nan"), 40),
    ],
)
def test_what_is_no_price_is_nan(price: np.ndarray) -> None:
    assert np.isnan(price)


TIERS = (
    MarginTier(0.0, 300_000.0, 0.004, 0.0),
    MarginTier(300_000.0, 800_000.0, 0.005, 300.0),
    MarginTier(800_000.0, 3_000_000.0, 0.0065, 1_500.0),
)


def _long(quantity: float, entry: float, leverage: float):
    def price(tier: MarginTier) -> float:
        margin = quantity * entry / leverage
        return float(binance_linear(1, entry, quantity, margin, tier.maintenance_margin_rate, tier.cum))

    return price


def test_tier_is_the_one_at_the_liquidation_notional() -> None:
    # 310,000 at entry is in the second tier; 10x lower it is worth less than 300,000, where the first one holds.
    price, tier = at_liquidation_tier(TIERS, 310_000.0, _long(3.1, 100_000.0, 10.0), lambda p: 3.1 * p)
    assert tier is TIERS[0]
    assert price == _long(3.1, 100_000.0, 10.0)(TIERS[0])
    assert 3.1 * price <= TIERS[0].notional_cap


def test_tier_beyond_the_last_cap_is_the_last() -> None:
    _, tier = at_liquidation_tier(TIERS, 9e6, _long(90.0, 100_000.0, 10.0), lambda p: 90.0 * p)
    assert tier is TIERS[-1]


def test_no_liquidation_price_in_a_tier_is_none() -> None:
    assert at_liquidation_tier(TIERS, 1e5, lambda _: float("nan"), lambda p: p) is None


def test_empty_tiers_are_refused() -> None:
    with pytest.raises(ValueError, match="tiers: at least one"):
        at_liquidation_tier((), 1.0, lambda _: 1.0, lambda p: p)


def test_a_circle_of_tiers_ends_at_the_lower_one() -> None:
    # Without continuous `cum` the first tier sends to the second and the second back.
    tiers = (MarginTier(0, 100, 0.01, 0), MarginTier(100, 200, 0.02, 0))
    price, tier = at_liquidation_tier(tiers, 50, lambda t: 150.0 if t is tiers[0] else 60.0, lambda p: p)
    assert (price, tier) == (150.0, tiers[0])


@pytest.mark.shared_data
def test_real_brackets_give_a_tier_that_holds_at_its_own_price(shared_data: Path) -> None:
    with gzip.open(shared_data / "leverage_tiers" / "binance_usdm_2026-07.json.gz") as file:
        brackets = json.load(file)
    rng = np.random.default_rng(7)
    for symbol in ("BTC/USDT:USDT", "SOL/USDT:USDT", "HYPE/USDT:USDT"):
        tiers = [
            MarginTier(t["minNotional"], t["maxNotional"], t["maintenanceMarginRate"], float(t["info"]["cum"]))
            for t in brackets[symbol]
        ]
        for _ in range(200):
            leverage = float(rng.uniform(1.5, 20))
            quantity, entry = float(10 ** rng.uniform(-2, 4)), 1_000.0
            found = at_liquidation_tier(
                tiers, quantity * entry, _long(quantity, entry, leverage), lambda p, q=quantity: q * p
            )
            assert found is not None
            price, tier = found
            assert tier.notional_floor <= quantity * price <= tier.notional_cap or tier is tiers[-1]
