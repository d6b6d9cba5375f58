"""Four processes, one budget, a server that bans and breaks at random: nothing inside a ban, the history complete afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import storm

from pipelines.lake.store import Lake
from pipelines.sandbox.venue_market import VenueMarket
from quality.schemas.raw import DAY_CLOCK

PROCESSES = 4
SYMBOLS = {"binance": "SOLUSDT", "bybit": "SOLUSDT", "okx": "SOL-USDT-SWAP"}


def _start(*arguments: object, root: Path, **more: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(storm.__file__)), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, **more)


def _landed(lake: Lake, venue: str, dataset: str) -> pl.DataFrame:
    found = [g for g in lake.current() if (g.key.venue, g.key.dataset) == (venue, dataset)]
    assert [g.key.day for g in found] == [d for v, s, d in storm._tasks() if (v, s) == (venue, dataset)]
    assert sum(g.quarantined_rows_count for g in found) == 0
    rows = pl.concat([pl.read_parquet(g.path) for g in found if g.path]).sort(DAY_CLOCK[dataset] or "")
    # Some list an inverse contract beside it, which is another market.
    return rows.filter(venue_symbol=SYMBOLS[venue])


def _ms(column: pl.Series) -> np.ndarray:
    return column.dt.epoch("ms").to_numpy()


@pytest.mark.trial("storm_requests")
@pytest.mark.timeout(7200)
def test_four_processes_in_a_storm_ask_nothing_inside_a_ban_and_land_everything(
    tmp_path: Path, project_root: Path, trial_count: Callable[..., int]
) -> None:
    count = trial_count(10_000, sample=300)
    server = _start("serve", tmp_path, 20251010, count, root=project_root, stdin=subprocess.PIPE)
    assert server.stdout is not None
    base_url = server.stdout.readline().strip()
    fetching = [
        _start("fetch", tmp_path, base_url, part, PROCESSES, count // PROCESSES, root=project_root)
        for part in range(PROCESSES)
    ]
    outages = [process.communicate()[0].split() for process in fetching]
    server.communicate("")
    assert [process.returncode for process in (*fetching, server)] == [0] * (PROCESSES + 1)

    log = json.loads((tmp_path / "log.json").read_text())
    assert log["inside"] == []
    assert log["seen"] >= count
    assert {"rate_limited", "rate_limited without Retry-After", "error", "torn", "broken_off"} <= log["kinds"].keys()
    assert any(kind.startswith(("banned", "forbidden")) for kind in log["kinds"])
    assert "banned" in {code for codes in outages for code in codes}

    lake = Lake(tmp_path / "lake", clock=storm.SharedClock(tmp_path / "clock"), code_version="storm")
    assert lake.verify() == []
    hours = slice(0, 24 * storm.DAYS)
    for venue in storm.VENUES:
        market = VenueMarket(storm.storm_world(), venue)
        candles, truth = _landed(lake, venue, "candles"), market.candles("SOL")
        kinds = candles["price_kind"].value_counts().sort("price_kind").rows()
        assert kinds == [(kind, 24 * storm.DAYS) for kind in ("index", "mark", "trade")]
        candles = candles.filter(price_kind="trade")
        assert np.array_equal(_ms(candles["interval_start_utc"]), truth.start_ms[hours])
        for name in ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base"):
            assert np.array_equal(candles[name].to_numpy(), getattr(truth, name)[hours]), (venue, name)
        funding, settled = _landed(lake, venue, "funding_rates"), market.funding("SOL")
        # Bybit stamps the hour; the others show the milliseconds after it.
        stamps = settled.settled_ms // 3_600_000 * 3_600_000 if venue == "bybit" else settled.settled_ms
        assert np.array_equal(_ms(funding["occurred_at_utc"]), stamps[: 3 * storm.DAYS])
        assert np.array_equal(funding["funding_rate_frac"].to_numpy(), settled.rate_frac[: 3 * storm.DAYS])
        held, series = _landed(lake, venue, "open_interest"), market.open_interest("SOL")
        assert np.array_equal(_ms(held["occurred_at_utc"]), series.at_ms[hours])
        sides = 2 if venue == "bybit" else 1
        assert np.array_equal(held["open_interest_base"].to_numpy(), sides * series.open_interest_base[hours])
