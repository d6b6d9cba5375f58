"""Draws: a function of day, asset and number; medians at the central estimate; limits that no draw crosses.

Belongs here: ``uncertainty.py`` by itself. Does not: what a draw does to a market (``test_market_side.py``), refusals
(``test_grid_validation.py``).
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import fields, replace
from datetime import date, timedelta
from statistics import NormalDist

import numpy as np
import pytest

from assets.cascade.params import DRAW_LAW, FLUSH_SURVIVAL_FRAC, NORMAL_SLICES, SETTINGS, TIER_PRIOR
from assets.cascade.uncertainty import Draws, draw, exponents_x, survivals_frac, weights_frac

pytestmark = pytest.mark.fast

DAY = date(2025, 10, 10)
MANY = 100_000
# Four standard errors of a share of a half among `MANY` draws; the draws are seeded, so this cannot fail by chance.
HALF_ERROR = 4 * 0.5 / MANY**0.5
CALM, FLUSH, _ = SETTINGS
GIVEN = replace(CALM, impact_exponent_x=0.7, is_exponent_drawn=False)


def drawn(n: int, day: date = DAY, asset: str = "BTC", law: object = DRAW_LAW) -> Draws:
    return draw(law, day, asset, n, n_tiers=len(TIER_PRIOR.tiers), n_windows=3)


def digest(draws: Draws) -> str:
    """Return one hash over all bytes."""
    return hashlib.sha256(b"".join(getattr(draws, f.name).tobytes() for f in fields(draws))).hexdigest()


def share_below(values: np.ndarray, level: float) -> float:
    return float((values < level).mean())


@pytest.fixture(scope="module")
def many() -> Draws:
    return drawn(MANY)


# --- a function of day, asset and number ---


@pytest.mark.parametrize("n", [1, 10, 999])
def test_more_draws_change_none_of_those_before(n: int) -> None:
    few, more = drawn(n), drawn(1_000)
    for f in fields(Draws):
        assert getattr(few, f.name).tobytes() == getattr(more, f.name)[:n].tobytes(), f.name


def test_another_asset_day_or_law_draws_something_else() -> None:
    others = [
        drawn(50),
        drawn(50, asset="ETH"),
        drawn(50, day=DAY + timedelta(days=1)),
        drawn(50, law=replace(DRAW_LAW, name="another_law")),
    ]
    for name in ("weight_x", "window_index", "exponent_slice", "depth_x", "survival_z"):
        assert len({getattr(d, name).tobytes() for d in others}) == len(others), name


def test_a_fresh_process_draws_the_same_bytes() -> None:
    code = (
        "import hashlib; from dataclasses import fields; from datetime import date;"
        "from assets.cascade.params import DRAW_LAW; from assets.cascade.uncertainty import draw;"
        "d = draw(DRAW_LAW, date(2025, 10, 10), 'BTC', 200, n_tiers=7, n_windows=3);"
        "print(hashlib.sha256(b''.join(getattr(d, f.name).tobytes() for f in fields(d))).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(drawn(200))


def test_the_first_draws_of_a_published_law_stay_what_they_were() -> None:
    # Figures behind published rows: a changed generator or key needs a law of another name, and not these changed.
    first = drawn(10)
    assert first.window_index.tolist() == [2, 1, 2, 0, 2, 1, 1, 0, 0, 1]
    assert first.exponent_slice.tolist() == [4, 1, 15, 15, 12, 3, 6, 5, 1, 10]


def test_the_figures_of_a_draw_are_not_tied_to_each_other(many: Draws) -> None:
    figures = [
        np.log(many.weight_x[:, 0] / many.weight_x[:, 1]),
        np.log(many.weight_x[:, 2] / many.weight_x[:, 3]),
        many.window_index,
        many.exponent_slice,
        np.log(many.depth_x),
        many.survival_z,
    ]
    tied = np.corrcoef(figures) - np.eye(len(figures))
    assert np.abs(tied).max() < 4 / MANY**0.5


# --- medians and ranges ---


def test_the_factor_on_all_weights_has_median_one_and_its_range() -> None:
    factor = drawn(MANY, law=replace(DRAW_LAW, tier_spread_x=1.0)).weight_x
    assert (factor == factor[:, :1]).all()  # all tiers together
    assert share_below(factor[:, 0], 1.0) == pytest.approx(0.5, abs=HALF_ERROR)
    assert 0.5 <= factor.min() < 0.501
    assert 2.99 < factor.max() <= 3.0
    # Log-uniform on each side of the median.
    assert share_below(factor[:, 0], 0.5**0.5) == pytest.approx(0.25, abs=HALF_ERROR)
    assert share_below(factor[:, 0], 3.0**0.5) == pytest.approx(0.75, abs=HALF_ERROR)


def test_the_factor_on_a_single_tier_has_median_one_and_its_range() -> None:
    factor = drawn(MANY, law=replace(DRAW_LAW, weight_low_x=1.0, weight_high_x=1.0)).weight_x
    for tier in factor.T:
        assert share_below(tier, 1.0) == pytest.approx(0.5, abs=HALF_ERROR)
        assert 0.5 <= tier.min() < 0.501
        assert 1.999 < tier.max() <= 2.0


def test_the_factor_on_depth_has_median_one_and_its_range(many: Draws) -> None:
    assert share_below(many.depth_x, 1.0) == pytest.approx(0.5, abs=HALF_ERROR)
    assert 1 / 3 <= many.depth_x.min() < 0.334
    assert 1.999 < many.depth_x.max() <= 2.0


def test_entry_windows_are_equally_likely(many: Draws) -> None:
    shares = np.bincount(many.window_index) / MANY
    assert shares == pytest.approx([1 / 3] * 3, abs=HALF_ERROR)


def test_survival_is_the_log_normal_law_at_the_middles_of_its_slices(many: Draws) -> None:
    survivals = survivals_frac(DRAW_LAW, FLUSH, many)
    # Median 0.294 and 10th percentile 0.059 of the law: no slice has its middle there. Half of the draws lie below the median;
    # the 10th percentile falls into the second slice of 1/16, whose middle is the law's 9.4 % point.
    assert share_below(survivals, FLUSH_SURVIVAL_FRAC) == pytest.approx(0.5, abs=HALF_ERROR)
    assert share_below(survivals, DRAW_LAW.survival_p10_frac) == pytest.approx(2 / NORMAL_SLICES, abs=HALF_ERROR)
    sigma = np.log(DRAW_LAW.survival_p10_frac / FLUSH_SURVIVAL_FRAC) / NormalDist().inv_cdf(0.1)
    law = NormalDist(np.log(FLUSH_SURVIVAL_FRAC), sigma)
    middles = np.exp([law.inv_cdf((i + 0.5) / NORMAL_SLICES) for i in range(NORMAL_SLICES)])
    assert np.unique(survivals) == pytest.approx(np.unique(np.minimum(middles, 1.0)))
    ranked = np.sort(survivals)
    assert ranked[MANY // 10 - 1] == pytest.approx(0.0564, abs=5e-5)
    around_the_median = (middles[7], middles[8])
    assert around_the_median == pytest.approx((0.2665, 0.3244), abs=5e-5)
    assert ranked[MANY // 2 - 1] == pytest.approx(around_the_median[0]) or ranked[MANY // 2 - 1] == pytest.approx(
        around_the_median[1]
    )


def test_the_impact_exponent_has_its_mean_and_the_spread_of_sixteen_slices(many: Draws) -> None:
    exponents = exponents_x(DRAW_LAW, CALM)
    assert exponents.shape == (NORMAL_SLICES,)
    assert exponents.mean() == pytest.approx(0.875, abs=1e-12)
    # 16 slices at their middles keep 96.1 % of 0.078: the two outermost slices stand for their tails.
    assert exponents.std() == pytest.approx(0.07496, abs=5e-6)
    assert exponents[many.exponent_slice].std() == pytest.approx(0.07496, abs=4 * 0.075 / (2 * MANY) ** 0.5)
    shares = np.bincount(many.exponent_slice, minlength=NORMAL_SLICES) / MANY
    assert shares == pytest.approx([1 / NORMAL_SLICES] * NORMAL_SLICES, abs=HALF_ERROR)


# --- limits ---


@pytest.mark.parametrize("times", [1.0, 4.0])
def test_weights_never_sum_to_more_than_one(many: Draws, times: float) -> None:
    tiers = tuple(replace(t, weight_frac=times * t.weight_frac) for t in TIER_PRIOR.tiers)
    weights = weights_frac(many, replace(TIER_PRIOR, tiers=tiers))
    raw = many.weight_x * [t.weight_frac for t in tiers]
    assert (weights > 0).all()
    assert weights.sum(axis=1).max() <= 1.0 + 1e-12
    is_over = raw.sum(axis=1) > 1.0
    assert is_over.any()
    assert (weights[~is_over] == raw[~is_over]).all()
    # Scaled down together: the law of leverage keeps its shape.
    np.testing.assert_allclose(weights[is_over], raw[is_over] / raw[is_over].sum(axis=1, keepdims=True), rtol=1e-12)


def test_survival_never_exceeds_one(many: Draws) -> None:
    survivals = survivals_frac(DRAW_LAW, FLUSH, many)
    assert survivals.min() > 0
    assert survivals.max() == 1.0


def test_what_is_given_is_not_drawn(many: Draws) -> None:
    assert (survivals_frac(DRAW_LAW, CALM, many) == 1.0).all()
    given_flush = replace(FLUSH, depth_survival_frac=0.4, is_survival_drawn=False)
    assert (survivals_frac(DRAW_LAW, given_flush, many) == 0.4).all()
    assert exponents_x(DRAW_LAW, GIVEN).tolist() == [0.7] * NORMAL_SLICES
