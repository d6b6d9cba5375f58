"""The main job on a one-asset, two-day market through the real command: same bytes however it came to its end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from quiet_run import QuietRun
from small_market import DAY, FIRST, Market, exported_hashes

pytestmark = pytest.mark.long

RANGE = ("--date", FIRST.isoformat(), "--to", DAY.isoformat())


def test_a_day_run_twice_and_rebuilt_from_raw_gives_the_same_bytes(
    market: Market, quiet_run: QuietRun, tmp_path: Path
) -> None:
    hashes = quiet_run.hashes
    copy = quiet_run.copy_to(tmp_path)
    lines = (copy / "lake" / "manifest.jsonl").read_text().count("\n")
    again = market.lowtide(copy, "run", *RANGE)
    assert again.returncode == 0, again.stderr
    assert exported_hashes(copy, DAY) == hashes
    assert (copy / "lake" / "manifest.jsonl").read_text().count("\n") > lines, "re-running a day adds generations"
    for name in ("warehouse.duckdb", "reports", "published"):
        target = copy / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    rebuilt = market.lowtide(copy, "run", *RANGE, LOWTIDE_DUCKDB_THREADS="8")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert exported_hashes(copy, DAY) == hashes


def test_one_thread_gives_the_same_bytes_as_two_and_eight(market: Market, quiet_run: QuietRun, tmp_path: Path) -> None:
    copy = quiet_run.copy_to(tmp_path, lake_only=True)
    done = market.lowtide(copy, "run", *RANGE, LOWTIDE_DUCKDB_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert exported_hashes(copy, DAY) == quiet_run.hashes


@pytest.mark.trial("killed_anywhere_the_next_run_heals")
@pytest.mark.timeout(7200)
def test_killed_anywhere_the_next_run_heals(
    market: Market, quiet_run: QuietRun, tmp_path: Path, trial_count: Callable[..., int]
) -> None:
    hashes, seconds = quiet_run.hashes, quiet_run.seconds
    chance = random.Random(20251010)
    trials = trial_count(20, sample=3)
    for trial in range(trials):
        home = tmp_path / f"home{trial}"
        # Stratified over the run's length, so that ingestion, both dbt passes, cascade, report and publish are all hit.
        moment = seconds * (trial + chance.random()) / trials
        process = market.start(home, "run", *RANGE)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        healed = market.lowtide(home, "run", *RANGE)
        assert healed.returncode == 0, f"killed after {moment:.2f} s: {healed.stdout}{healed.stderr}"
        assert exported_hashes(home, DAY) == hashes, f"killed after {moment:.2f} s"
        assert not list(home.rglob("*.new")), "nothing half-written stays"
        shutil.rmtree(home)


def test_a_venue_that_does_not_answer_costs_its_partition_and_not_the_run(
    market: Market, quiet_run: QuietRun, tmp_path: Path
) -> None:
    copy = quiet_run.copy_to(tmp_path)
    done = market.lowtide(copy, "run", *RANGE, LOWTIDE_EXCHANGE_BASE_URL="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "unreachable" in done.stdout
    # What had been landed stays current.
    assert exported_hashes(copy, DAY).keys() == quiet_run.hashes.keys()
    counted = market.lowtide(copy, "sql", "select count(*) n from fct_candles_hourly", "--format", "csv")
    assert counted.stdout.split() == ["n", "48"]
