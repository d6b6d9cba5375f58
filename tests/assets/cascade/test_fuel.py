"""Estimated fuel: where the buckets lie, that quantity is kept, and what is said of missing volume."""

from __future__ import annotations

import numpy as np
import pytest

from assets.cascade.fuel import entries_of, estimate_fuel, lot_decimals
from assets.cascade.params import TIER_PRIOR, LeverageTier, TierPrior

pytestmark = pytest.mark.fast

ONE_TIER = TierPrior("one", (LeverageTier(10.0, 0.5, 0.01),))
TICKS = 10**8


def test_volume_weighs_the_hours() -> None:
    entries = entries_of(np.array([100.0, 110.0]), np.array([1.0, 3.0]))
    assert entries.is_volume_weighted
    assert entries.weight_frac.tolist() == [0.25, 0.75]


@pytest.mark.parametrize("volume", [[1.0, np.nan, 1.0], [0.0, 0.0, 0.0]], ids=["missing", "nothing traded"])
def test_without_volume_every_hour_weighs_the_same_and_it_is_said(volume: list[float]) -> None:
    entries = entries_of(np.array([100.0, 110.0, 120.0]), np.array(volume))
    assert not entries.is_volume_weighted
    assert entries.weight_frac.tolist() == [1 / 3] * 3


def test_no_hour_is_refused() -> None:
    with pytest.raises(ValueError, match="typical_price_quote: no traded hour"):
        entries_of(np.array([]), np.array([]))


@pytest.mark.parametrize(("side", "trigger", "bankruptcy"), [("long", 90 / 0.99, 90.0), ("short", 110 / 1.01, 110.0)])
def test_one_entry_and_one_tier_give_the_venue_formula(side: str, trigger: float, bankruptcy: float) -> None:
    # Isolated 10x at 100, maintenance 1 %: (10 - d 100) / (0.01 - d).
    fuel = estimate_fuel(1_000, entries_of(np.array([100.0]), np.array([5.0])), ONE_TIER, side, 100 * TICKS)
    assert fuel.trigger_ticks.tolist() == [round(trigger * TICKS)]
    assert fuel.bankruptcy_ticks.tolist() == [bankruptcy * TICKS]
    assert fuel.quantity_lots.tolist() == [500]


@pytest.mark.parametrize("side", ["long", "short"])
def test_quantity_is_the_prior_share_of_one_sided_open_interest(side: str) -> None:
    rng = np.random.default_rng(3)
    entries = entries_of(rng.uniform(80.0, 120.0, 720), rng.uniform(0.0, 9.0, 720))
    fuel = estimate_fuel(10**9, entries, TIER_PRIOR, side, 100 * TICKS)
    # Every tier's lots of a bucket are rounded down to whole lots: less than a lot each is lost.
    lost = 10**9 * TIER_PRIOR.weight_frac - int(fuel.quantity_lots.sum())
    assert 0 <= lost < len(TIER_PRIOR.tiers) * fuel.quantity_lots.size
    assert np.all(np.diff(fuel.trigger_ticks) > 0)
    beyond = (
        fuel.bankruptcy_ticks < fuel.trigger_ticks if side == "long" else fuel.bankruptcy_ticks > fuel.trigger_ticks
    )
    assert np.all(beyond)


def test_the_same_hours_in_the_same_order_give_the_same_bits() -> None:
    rng = np.random.default_rng(4)
    price, volume = rng.uniform(80.0, 120.0, 720), rng.uniform(0.0, 9.0, 720)
    one = estimate_fuel(10**9, entries_of(price, volume), TIER_PRIOR, "long", 100 * TICKS)
    two = estimate_fuel(10**9, entries_of(price.copy(), volume.copy()), TIER_PRIOR, "long", 100 * TICKS)
    assert one.trigger_ticks.tobytes() == two.trigger_ticks.tobytes()
    assert one.quantity_lots.tobytes() == two.quantity_lots.tobytes()


@pytest.mark.parametrize(("open_interest", "decimals"), [(37_000.0, 4), (0.5, 8), (1.2e9, -1), (4e12, -4)])
def test_lots_resolve_open_interest_to_nine_digits(open_interest: float, decimals: int) -> None:
    assert lot_decimals(open_interest) == decimals
    assert open_interest * 10.0**decimals <= 1e9
