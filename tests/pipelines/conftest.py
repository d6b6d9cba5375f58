"""One small market and one quiet run of it, shared by every test of commands: a run costs many seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from quiet_run import QuietRun
from small_market import DAY, FIRST, Market, exported_hashes, small_market

RANGE = ("--date", FIRST.isoformat(), "--to", DAY.isoformat())


@pytest.fixture(scope="session")
def market() -> Iterator[Market]:
    """Serve the small world for the whole session."""
    with small_market() as running:
        yield running


@pytest.fixture(scope="session")
def quiet_run(market: Market, tmp_path_factory: pytest.TempPathFactory) -> QuietRun:
    """Run the small world's two days once, without interruption."""
    home = tmp_path_factory.mktemp("quiet") / "home"
    begun = time.monotonic()
    done = market.lowtide(home, "run", *RANGE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks passed" in done.stdout
    hashes = exported_hashes(home, DAY)
    assert {"report.json", "report.html", "report.zh.html"} <= hashes.keys()
    assert len(hashes) > 15
    return QuietRun(home, hashes, time.monotonic() - begun)
