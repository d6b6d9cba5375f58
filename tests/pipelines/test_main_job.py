"""The main job on a one-asset, two-day market through the real command: same bytes however it came to its end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_market import DAY, FIRST, Market, exported_hashes, small_market

RANGE = ("--date", FIRST.isoformat(), "--to", DAY.isoformat())


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    with small_market() as running:
        yield running


@pytest.fixture(scope="module")
def uninterrupted(market: Market, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], float]:
    """A home after one quiet run, its exported hashes, and how long the run took."""
    home = tmp_path_factory.mktemp("quiet") / "home"
    begun = time.monotonic()
    done = market.lowtide(home, "run", *RANGE)
    assert done.returncode == 0, done.stdout + done.stderr
    hashes = exported_hashes(home, DAY)
    assert "report.json" in hashes and "report.html" in hashes and len(hashes) > 15
    return home, hashes, time.monotonic() - begun


def test_a_day_run_twice_and_rebuilt_from_raw_gives_the_same_bytes(
    market: Market, uninterrupted: tuple[Path, dict[str, str], float], tmp_path: Path
) -> None:
    home, hashes, _ = uninterrupted
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
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


@pytest.mark.parametrize("threads", ["1", "8"])
def test_threads_do_not_change_a_byte(
    market: Market, uninterrupted: tuple[Path, dict[str, str], float], tmp_path: Path, threads: str
) -> None:
    home, hashes, _ = uninterrupted
    copy = tmp_path / "home"
    shutil.copytree(home / "lake", copy / "lake")
    shutil.copy(home / "home.json", copy)
    done = market.lowtide(copy, "run", *RANGE, LOWTIDE_DUCKDB_THREADS=threads)
    assert done.returncode == 0, done.stderr
    assert exported_hashes(copy, DAY) == hashes


@pytest.mark.trial("killed_anywhere_the_next_run_heals")
@pytest.mark.timeout(7200)
def test_killed_anywhere_the_next_run_heals(
    market: Market,
    uninterrupted: tuple[Path, dict[str, str], float],
    tmp_path: Path,
    trial_count: Callable[..., int],
) -> None:
    _, hashes, seconds = uninterrupted
    chance = random.Random(20251010)
    for trial in range(trial_count(20, sample=3)):
        home = tmp_path / f"home{trial}"
        # Stratified over the run's length, so that ingestion, both dbt passes, cascade, report and publish are all hit.
        moment = seconds * (trial + chance.random()) / (20 if trial_count(20, sample=3) == 20 else 3)
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
    market: Market, uninterrupted: tuple[Path, dict[str, str], float], tmp_path: Path
) -> None:
    home, hashes, _ = uninterrupted
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    done = market.lowtide(copy, "run", *RANGE, LOWTIDE_BINANCE_BASE_URL="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "unreachable" in done.stdout
    # What had been landed stays current.
    assert exported_hashes(copy, DAY).keys() == hashes.keys()
    counted = market.lowtide(copy, "sql", "select count(*) n from fct_candles_hourly", "--format", "csv")
    assert counted.stdout.split() == ["n", "48"]
