"""Assets of a lending market over the made-up chain: days land, outages are noted, forks are replayed or stop the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import AssetsDefinition, DagsterInstance, ExecuteInProcessResult, materialize
from evm_doubles import client
from solana_doubles import VENUE as SOLANA_VENUE
from solana_doubles import cluster as solana_cluster
from solana_doubles import source as solana_source

from assets.lake.lending import build_lending_assets
from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sandbox.evm_chain import Chain
from pipelines.sandbox.evm_node import EvmNode
from pipelines.sandbox.lending_accounts import lending_chain, walk
from pipelines.sandbox.lending_pool import POOL, PROVIDER, answer
from pipelines.sandbox.solana_node import SolanaNode
from pipelines.sources.chains.lending import LendingSource
from pipelines.sources.chains.lending_markets import DEPLOYMENTS

VENUE = "aave_v3_ethereum"
MARKET = replace(DEPLOYMENTS[VENUE], market_address=PROVIDER, pool_address=POOL, finality_depth=10, block_time_s=600.0)
# 150 blocks of ten minutes from 2026-02-02 02:40 on.
DAY, END = "2026-02-02", datetime(2026, 2, 3, 3, 40)


@pytest.fixture
def chain() -> Chain:
    made = lending_chain(3, walk(3, 0.004), accounts_count=8, block_time_s=600)
    made.grow(150)
    return made


class Home:
    """A lake and a market, and what a run of the market's assets leaves."""

    def __init__(self, folder: Path, chain: Chain) -> None:
        self.node = EvmNode(chain, call=answer)
        self.clock = FixedClock(END)
        self.lake = Lake(folder / "lake", clock=self.clock, code_version="1.0")
        self.lending: Mapping[str, Any] = {
            VENUE: LendingSource(
                MARKET, [client(self.node), client(EvmNode(chain, call=answer), "second")], is_synthetic=True
            )
        }
        self.assets: dict[str, AssetsDefinition] = {a.key.path[1]: a for a in build_lending_assets(VENUE)}

    def run(self, dataset: str, day: str = DAY) -> ExecuteInProcessResult:
        with DagsterInstance.ephemeral() as instance:
            return materialize(
                [self.assets[f"{VENUE}_{dataset}"]],
                partition_key=day,
                instance=instance,
                resources={"lake": self.lake, "lending": self.lending, "clock": self.clock},
                raise_on_error=False,
            )

    def rows(self, dataset: str = "lending_liquidations") -> pl.DataFrame:
        paths = [g.path for g in self.lake.current() if g.key.dataset == dataset and g.path is not None]
        return pl.concat([pl.read_parquet(p) for p in paths])


def test_a_day_and_its_snapshots_land(tmp_path: Path, chain: Chain) -> None:
    home = Home(tmp_path, chain)
    for dataset in ("lending_liquidations", "lending_reserves", "lending_positions"):
        assert home.run(dataset).success
        assert home.rows(dataset).height
    assert {g.key.day.isoformat() for g in home.lake.current() if g.key.dataset == "lending_liquidations"} == {DAY}
    # The next snapshot knows the accounts of the one before.
    assert home.run("lending_positions").success


def test_a_market_of_solana_lands_through_the_same_assets(tmp_path: Path) -> None:
    cluster = solana_cluster()
    clock = FixedClock(datetime(2026, 2, 3, 23))
    lake = Lake(tmp_path / "lake", clock=clock, code_version="1.0")
    market = solana_source(SolanaNode(cluster), SolanaNode(cluster))
    with DagsterInstance.ephemeral() as instance:
        done = materialize(
            build_lending_assets(SOLANA_VENUE),
            partition_key=DAY,
            instance=instance,
            resources={"lake": lake, "lending": {SOLANA_VENUE: market}, "clock": clock},
        )
    assert done.success
    rows = {g.key.dataset: g.rows_count for g in lake.current()}
    assert rows == {"lending_liquidations": 3, "lending_reserves": 3, "lending_positions": 9}
    assert list(lake.outages()) == []


def test_a_market_without_a_provider_lands_nothing(tmp_path: Path, chain: Chain) -> None:
    home = Home(tmp_path, chain)
    home.lending = {}
    assert home.run("lending_liquidations").success
    assert list(home.lake.current()) == []


def test_an_outage_is_noted_and_keeps_what_was_there(tmp_path: Path, chain: Chain) -> None:
    home = Home(tmp_path, chain)
    assert home.run("lending_liquidations").success
    before = home.rows()
    home.node.faults.lag_blocks = 100
    assert home.run("lending_liquidations", "2026-02-03").success
    (outage,) = home.lake.outages()
    assert outage.status == "lagging"
    assert home.rows().equals(before)


def test_a_fork_is_a_new_generation_of_the_day(tmp_path: Path, chain: Chain) -> None:
    home = Home(tmp_path / "forked", chain)
    assert home.run("lending_liquidations", "2026-02-03").success
    chain.fork(8, grow=8)
    assert home.run("lending_liquidations", "2026-02-03").success
    calm = Home(tmp_path / "calm", chain.never_forked())
    assert calm.run("lending_liquidations", "2026-02-03").success
    assert home.rows().equals(calm.rows())
    assert set(home.rows()["block_hash"]) <= {b.hash for b in chain.blocks}


def test_a_fork_below_finality_fails_the_run_and_lands_nothing(tmp_path: Path, chain: Chain) -> None:
    home = Home(tmp_path, chain)
    assert home.run("lending_liquidations").success
    before = home.rows()
    chain.fork(140, grow=140)
    done = home.run("lending_liquidations")
    assert not done.success
    said = " ".join(str(e.event_specific_data) for e in done.all_events if e.is_failure)
    assert "was final" in said
    assert home.rows().equals(before)
