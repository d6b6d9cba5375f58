"""The mask engine against the compiled naive loop: the same bytes in every field, whatever the world.

The independent reading of docs/cascade_accounts.md is another author's oracle; here the two engines share their arithmetic, so
that only the skipping of accounts is on trial.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from accounts_cases import Case, differences, random_case, tight_case

from assets.cascade.accounts import prepare_accounts, replay_accounts, replay_accounts_path

# Crowds; interpreted kernels are held to the second author's oracle in `test_accounts_oracle.py`.
pytestmark = pytest.mark.compiled

SCENARIOS = 8


def disagreement(case: Case) -> str:
    """Return where the engines part, or nothing."""
    lattice = prepare_accounts(case.markets, case.accounts)
    survival = case.depth_survival_frac
    found = [
        replay_accounts(lattice, case.shock_frac, depth_survival_frac=survival, engine=engine, keep_rounds=True)
        for engine in ("masks", "naive")
    ]
    paths = [
        replay_accounts_path(lattice, case.path_ticks, depth_survival_frac=float(survival[0]), engine=engine)
        for engine in ("masks", "naive")
    ]
    in_scenarios, in_path = differences(*found), differences(*paths)
    return f"scenarios: {in_scenarios}, path: {in_path}" if in_scenarios or in_path else ""


@pytest.mark.trial("accounts_masks_vs_naive")
def test_engines_agree_on_awkward_worlds(trial_count: Callable[..., int]) -> None:
    worlds = trial_count(100_000, 1_600) // SCENARIOS
    failing = [(seed, why) for seed in range(worlds) if (why := disagreement(random_case(seed)))]
    assert failing == [], f"{len(failing)} of {worlds} worlds; rebuild the first with random_case({failing[0][0]})"


@pytest.mark.trial("accounts_masks_vs_naive")
def test_engines_agree_on_crowded_worlds(trial_count: Callable[..., int]) -> None:
    # Hundreds of blocks over all levels; long paths move the anchor often.
    worlds = trial_count(2_400, 32) // SCENARIOS
    for seed in range(worlds):
        case = random_case(seed, n_accounts=3_000, n_steps=60)
        assert disagreement(case) == "", f"random_case({seed}, n_accounts=3_000, n_steps=60)"


@pytest.mark.trial("accounts_masks_vs_naive")
def test_engines_agree_close_to_liquidation(trial_count: Callable[..., int]) -> None:
    # Moves of a few basis points against slacks of the same size: a certificate that is a little too generous shows here.
    for seed in range(trial_count(2_400, 24) // SCENARIOS):
        assert disagreement(tight_case(seed)) == "", f"tight_case({seed})"


def test_the_worlds_are_awkward() -> None:
    # Without these the agreement above would prove little.
    seen = dict.fromkeys(("rebound", "exhausted", "netted", "many rounds", "bad debt", "excluded", "survivors"), 0)
    for seed in range(150):
        case = random_case(seed)
        lattice = prepare_accounts(case.markets, case.accounts)
        found = replay_accounts(lattice, case.shock_frac, depth_survival_frac=case.depth_survival_frac)
        seen["rebound"] += int(
            (
                (found.lowest_mark_ticks < found.mark_ticks) & (found.netted_lots == 0) & (found.rounds[:, None] > 1)
            ).sum()
        )
        seen["exhausted"] += int(found.is_exhausted.sum())
        seen["netted"] += int((found.netted_lots > 0).sum())
        seen["many rounds"] += int((found.rounds >= 4).sum())
        seen["bad debt"] += int((found.bad_debt_count > 0).sum())
        seen["excluded"] += found.excluded_count
        seen["survivors"] += int(((found.rounds > 1) & (found.liquidated_count < lattice.is_included.sum())).sum())
    assert min(seen.values()) >= 20, seen


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_do_not_change_a_byte(threads: int) -> None:
    case = random_case(3, n_accounts=2_000, n_scenarios=61)
    lattice = prepare_accounts(case.markets, case.accounts)
    survival = case.depth_survival_frac
    alone = replay_accounts(lattice, case.shock_frac, depth_survival_frac=survival, keep_rounds=True)
    shared = replay_accounts(lattice, case.shock_frac, depth_survival_frac=survival, keep_rounds=True, threads=threads)
    assert differences(alone, shared) == []
    assert alone.liquidated_count.max() > 0


def test_scenarios_do_not_leak_into_each_other() -> None:
    # The undo list must leave nothing behind: each scenario alone gives what it gave in the row.
    case = random_case(11, n_accounts=1_500, n_scenarios=24)
    lattice = prepare_accounts(case.markets, case.accounts)
    together = replay_accounts(lattice, case.shock_frac, depth_survival_frac=0.5)
    for s in range(24):
        alone = replay_accounts(lattice, case.shock_frac[s : s + 1], depth_survival_frac=0.5)
        assert alone.mark_ticks.tobytes() == together.mark_ticks[s].tobytes()
        assert alone.rounds[0] == together.rounds[s]
        assert alone.bad_debt_ticklots[0] == together.bad_debt_ticklots[s]
    assert np.unique(together.liquidated_count).size > 5


def test_importing_the_replay_does_not_import_numba() -> None:
    import subprocess

    program = "import sys, assets.cascade.accounts; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
