"""The sandbox's Solana through the settings: a demo home reads it, a real home refuses it, a short answer is never called verified."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance, materialize
from pydantic import SecretStr

from assets.lake.lending import build_lending_assets
from assets.ports import SourceOutage
from pipelines.clock import FixedClock
from pipelines.home import Home, open_home
from pipelines.resources import lake_of, lending_of
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.kamino_market import base58
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.solana_node import GENESIS
from pipelines.sandbox.wire_solana import SolanaWire
from pipelines.sandbox.world import World
from pipelines.settings import Settings
from pipelines.sources.chains.lending_markets import SANDBOX_GENESIS_HASH

PATH = "/rpc/solana"

VENUE = "kamino_main_solana"
DAY, NOW = date(2026, 3, 10), datetime(2026, 3, 11, 0, 30)
CLOCK = FixedClock(NOW)


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2026, 3, 9), 3, ("BTC", "ETH"), DAY)


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _settings(home: Home, base_url: str, *, providers: int = 1) -> Settings:
    return Settings(
        home=home.root,
        demo_home=home.root,
        venues=(),
        rpc_urls={"solana": tuple(SecretStr(f"{base_url}{PATH}") for _ in range(providers))},
        rpc_local_allowed=True,
    )


def _of_day(world: World) -> list[str]:
    """Return the obligations that were liquidated on the day."""
    cluster = SolanaWire(world).cluster(NOW)
    return sorted(
        done.obligation
        for slot, _, done in cluster.liquidations
        if datetime.fromtimestamp(cluster.at_s(slot), UTC).date() == DAY
    )


def test_a_demo_home_fills_from_the_sandbox(sandbox: Sandbox, world: World, tmp_path: Path) -> None:
    home = open_home(tmp_path / "demo", "demo", create=True)
    lake, lending = lake_of(home, CLOCK), lending_of(home, _settings(home, sandbox.base_url, providers=2), CLOCK)
    assert list(lending) == [VENUE]
    with DagsterInstance.ephemeral() as instance:
        needed = {"lake": lake, "clock": CLOCK, "lending": lending}
        done = materialize(
            build_lending_assets(VENUE), partition_key=DAY.isoformat(), instance=instance, resources=needed
        )
    assert done.success
    assert lake.outages() == []
    landed = {g.key.dataset: g for g in lake.current()}
    assert set(landed) == {"lending_liquidations", "lending_reserves", "lending_positions"}
    assert all(g.rows_count and g.is_synthetic and not g.quarantined_rows_count for g in landed.values())
    rows = {dataset: pl.read_parquet(g.path) for dataset, g in landed.items()}
    assert sorted(rows["lending_liquidations"]["user_address"]) == _of_day(world)
    assert set(rows["lending_liquidations"]["verified_by"]) == {"providers"}
    market = SolanaWire(world).cluster(NOW).market
    owing = {base58(o.key) for o in market.obligations.values() if o.borrows and market.owed(o, "USDC")}
    assert set(rows["lending_positions"]["user_address"]) == owing
    quoted = dict(rows["lending_reserves"].select("token_symbol", "oracle_price_quote").iter_rows())
    shown = NOW - timedelta(minutes=NOW.minute % 10)
    assert quoted["cbBTC"] == pytest.approx(world.price("BTC", shown), rel=1e-12)


def test_a_real_home_does_not_take_the_sandboxs_cluster_for_the_real_one(sandbox: Sandbox, tmp_path: Path) -> None:
    home = open_home(tmp_path / "real", "real", create=True)
    with pytest.raises(SourceOutage, match="shows another cluster"):
        lending_of(home, _settings(home, sandbox.base_url), CLOCK)[VENUE].probe()
    assert GENESIS == SANDBOX_GENESIS_HASH


def test_a_provider_that_answers_short_is_found_or_not_verified(sandbox: Sandbox, world: World, tmp_path: Path) -> None:
    home = open_home(tmp_path / "demo", "demo", create=True)
    market = lending_of(home, _settings(home, sandbox.base_url), CLOCK)[VENUE]
    assert market.liquidations_of(DAY, now=NOW).rows.height == len(_of_day(world)) > 3
    sandbox.restart(faults=Faults((Fault("short_page", times=10_000, path=f"{PATH}/getSignaturesForAddress"),)))
    told = market.liquidations_of(DAY, now=NOW).rows
    assert set(told["verified_by"]) <= {"unverified"}
    sandbox.restart(faults=Faults((Fault("short_page", times=10_000, path=f"{PATH}/getBlocks"),)))
    with pytest.raises(SourceOutage):
        market.liquidations_of(DAY, now=NOW)
    sandbox.restart()


def test_going_back_in_time_shows_the_cluster_as_it_was(world: World) -> None:
    wire, other = SolanaWire(world), SolanaWire(world)
    early = wire.cluster(NOW - timedelta(hours=20)).market.accounts()
    wire.cluster(NOW)
    assert wire.cluster(NOW - timedelta(hours=20)).market.accounts() == early
    assert wire.cluster(NOW).market.accounts() == other.cluster(NOW).market.accounts()
    assert wire.cluster(world.start - timedelta(days=1)).slot == wire.cluster(world.start).slot
