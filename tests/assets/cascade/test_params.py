"""Named priors and settings: they sum to what they say, and two settings never share a name."""

from __future__ import annotations

import pytest

from assets.cascade.params import (
    REPORTED_SHOCKS_FRAC,
    SEARCH_MAX_SHOCK_FRAC,
    SETTINGS,
    TIER_PRIOR,
    Setting,
)

pytestmark = pytest.mark.fast


def test_tier_prior_leaves_a_rest_and_liquidates_nobody_at_entry() -> None:
    assert 0 < TIER_PRIOR.weight_frac < 1
    for tier in TIER_PRIOR.tiers:
        assert tier.weight_frac > 0
        assert tier.maintenance_margin_rate_frac < 1 / tier.leverage_x


def test_setting_names_are_those_of_the_dictionary() -> None:
    assert SETTINGS[0].name("estimated") == "sell|W=1.00|g=0.875|phi=1.00|estimated"
    assert SETTINGS[1].name("estimated") == "sell|W=0.294|g=0.875|phi=1.00|estimated"


def test_settings_that_differ_have_names_that_differ() -> None:
    near = [Setting("sell", w, 0.875, 1.0) for w in (0.29, 0.294, 0.2941, 1.0)] + [*SETTINGS[2:]]
    assert len({s.name("estimated") for s in near}) == len(near)


def test_reported_shocks_lie_inside_the_searched_grid() -> None:
    assert list(REPORTED_SHOCKS_FRAC) == sorted(set(REPORTED_SHOCKS_FRAC))
    assert max(REPORTED_SHOCKS_FRAC) <= SEARCH_MAX_SHOCK_FRAC
