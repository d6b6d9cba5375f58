"""The dynamic replay against its naive numpy version: every figure equal, floats to the last bit.

Belongs here: product against naive on random days, many cells against one, threads against one. Does not: laws
(``test_dynamic_laws.py``), the independent oracle of another author.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from dynamic_cases import (
    random_impact,
    random_market,
    random_path,
    random_policy,
    random_shock,
    same_side,
    unbalanced,
)
from dynamic_naive import naive_counterfactual, naive_free, naive_path

from assets.cascade.dynamic import (
    BASELINE,
    POLICIES,
    Impact,
    power_law_kernel,
    replay_counterfactual,
    replay_free,
    replay_path,
)


def sizes(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 2, 7, 20]))


@pytest.mark.trial("dynamic_path_vs_naive")
def test_path_driven_equals_naive(trial_count: Callable[..., int]) -> None:
    for seed in range(trial_count(20_000, 300)):
        rng = np.random.default_rng([1, seed])
        n = sizes(rng)
        market, path, policy = random_market(rng, n), random_path(rng, n), random_policy(rng)
        (found,) = replay_path([market], [path], [policy])[0]
        naive = naive_path(market, path, policy)
        assert same_side(found.long, naive.flows[0], naive.notional[0], naive.long) == [], seed
        assert same_side(found.short, naive.flows[1], naive.notional[1], naive.short) == [], seed
        assert found.halted_steps == naive.halted, seed
        assert unbalanced(found.long) + unbalanced(found.short) == [], seed


@pytest.mark.trial("dynamic_free_vs_naive")
def test_free_running_equals_naive(trial_count: Callable[..., int]) -> None:
    exhausted = 0
    for seed in range(trial_count(20_000, 300)):
        rng = np.random.default_rng([2, seed])
        n = sizes(rng)
        market, policy, impact = random_market(rng, n), random_policy(rng), random_impact(rng, n)
        shock, rounds = random_shock(rng, n), int(rng.choice([1, 2, 60]))
        (found,) = replay_free([market], [shock], impact, [policy], n_steps=n, rounds_per_step=rounds)[0]
        naive = naive_free(market, shock, impact, policy, n_steps=n, rounds_per_step=rounds)
        assert found.mark_ticks.tolist() == naive.marks, seed
        assert found.depth_survival_frac.tolist() == naive.survivals, seed
        assert same_side(found.long, naive.day.flows[0], naive.day.notional[0], naive.day.long) == [], seed
        assert same_side(found.short, naive.day.flows[1], naive.day.notional[1], naive.day.short) == [], seed
        assert (found.rounds, found.halted_steps) == (naive.rounds, naive.day.halted), seed
        assert unbalanced(found.long) + unbalanced(found.short) == [], seed
        assert found.trough_ticks == min(naive.marks) and found.trough_step == naive.marks.index(min(naive.marks))
        assert found.peak_ticks == max(naive.marks) and found.peak_step == naive.marks.index(max(naive.marks))
        exhausted += found.is_exhausted
    assert exhausted > 0


@pytest.mark.trial("dynamic_counterfactual_vs_naive")
def test_counterfactual_equals_naive(trial_count: Callable[..., int]) -> None:
    seen = set()
    for seed in range(trial_count(20_000, 300)):
        rng = np.random.default_rng([3, seed])
        n = sizes(rng)
        market, path, impact = random_market(rng, n), random_path(rng, n), random_impact(rng, n)
        asked = {
            "side": str(rng.choice(["long", "short"])),
            "max_iterations": int(rng.choice([1, 2, 5])),
            "tolerance": float(rng.choice([0.0, 1e-4])),
        }
        reported = rng.integers(0, 50, (2, n)) if rng.random() < 0.3 else None
        given = None if reported is None else [reported]
        (found,) = replay_counterfactual([market], [path], impact, reported_lots=given, **asked)
        naive = naive_counterfactual(market, path, impact, reported=reported, **asked)
        assert (found.trough_step, found.iterations) == (naive.trough, naive.iterations), seed
        assert (found.is_converged, found.is_exhausted) == (naive.is_converged, naive.is_exhausted), seed
        assert found.low_ticks.tolist() == naive.path.low_ticks.tolist(), seed
        assert found.high_ticks.tolist() == naive.path.high_ticks.tolist(), seed
        assert found.close_ticks.tolist() == naive.path.close_ticks.tolist(), seed
        assert found.depth_survival_frac.tolist() == naive.survivals, seed
        assert found.forced_long_lots.tolist() == naive.forced[0].tolist(), seed
        assert found.forced_short_lots.tolist() == naive.forced[1].tolist(), seed
        if naive.shares is None:
            assert found.endogenous_share_frac is None and found.first_share_frac is None, seed
            assert found.share_low_frac is None and found.share_high_frac is None, seed
        else:
            last = naive.shares[-1:] if reported is not None else naive.shares[-2:]
            assert found.endogenous_share_frac == (naive.shares[-1] if naive.is_converged else None), seed
            assert (found.share_low_frac, found.share_high_frac) == (min(last), max(last)), seed
            assert found.first_share_frac == naive.shares[1], seed
        seen.add((found.orders_origin, found.is_converged, found.first_share_frac is None))
    assert {("simulated", False, False), ("simulated", True, False), ("reported", True, False)} <= seen


def world(seed: int, n_markets: int, n_steps: int):
    rng = np.random.default_rng(seed)
    markets = [random_market(rng, n_steps) for _ in range(n_markets)]
    paths = [random_path(rng, n_steps) for _ in range(n_markets)]
    return markets, paths, [random_shock(rng, n_steps) for _ in range(n_markets)]


def everything(markets, paths, shocks, n_steps: int, threads: int) -> bytes:
    """All three modes, every array and figure, as bytes."""
    impact = Impact(power_law_kernel(n_steps))
    found = (
        replay_path(markets, paths, POLICIES, threads=threads),
        replay_free(markets, shocks, impact, POLICIES, n_steps=n_steps, threads=threads),
        replay_counterfactual(markets, paths, impact, threads=threads),
    )
    return repr_bytes(found)


def repr_bytes(value) -> bytes:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, list | tuple):
        return b"".join(repr_bytes(v) for v in value)
    if hasattr(value, "__dataclass_fields__"):
        return b"".join(repr_bytes(getattr(value, name)) for name in value.__dataclass_fields__)
    return repr(value).encode()


def test_threads_change_no_byte() -> None:
    args = (*world(7, 11, 30), 30)
    one = everything(*args, threads=1)
    assert one == everything(*args, threads=2) == everything(*args, threads=8)


def test_one_call_equals_many() -> None:
    n = 15
    markets, paths, shocks = world(8, 10, n)
    impact = Impact(power_law_kernel(n))
    together = replay_path(markets, paths, POLICIES), replay_free(markets, shocks, impact, POLICIES, n_steps=n)
    for i, (market, path, shock) in enumerate(zip(markets, paths, shocks, strict=True)):
        for p, policy in enumerate(POLICIES):
            alone = replay_path([market], [path], [policy])[0][0]
            assert repr_bytes(alone) == repr_bytes(together[0][i][p])
            alone_free = replay_free([market], [shock], impact, [policy], n_steps=n)[0][0]
            assert repr_bytes(alone_free) == repr_bytes(together[1][i][p])


def test_inputs_are_left_as_they_were() -> None:
    markets, paths, shocks = world(9, 3, 12)
    before = repr_bytes([markets, paths, shocks])
    everything(markets, paths, shocks, 12, threads=1)
    assert repr_bytes([markets, paths, shocks]) == before
    assert POLICIES[0] is BASELINE
