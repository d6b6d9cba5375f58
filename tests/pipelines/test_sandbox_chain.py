"""The sandbox's chain through the settings: a demo home reads it, a real home refuses it, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance, materialize
from pydantic import SecretStr

from assets.lake.lending import build_lending_assets
from assets.lake.published import build_published_assets
from assets.ports import SourceOutage
from pipelines.clock import FixedClock
from pipelines.home import Home, open_home
from pipelines.resources import accounts_of, lake_of, lending_of, publishers_of
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.wire_evm import CHAIN_ID, EvmWire
from pipelines.sandbox.world import World
from pipelines.settings import Settings
from pipelines.sources.chains.lending_markets import SANDBOX_CHAIN_ID

DAY, NOW = date(2026, 3, 10), datetime(2026, 3, 11, 0, 30)
CLOCK = FixedClock(NOW)

PATH = "/rpc/ethereum"


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2026, 3, 9), 3, ("BTC", "ETH"), DAY)


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _settings(home: Home, base_url: str, *, is_local_allowed: bool = False) -> Settings:
    return Settings(
        home=home.root,
        demo_home=home.root,
        venues=(),
        published_base_url=base_url,
        rpc_urls={"ethereum": (SecretStr(f"{base_url}/rpc/ethereum"), SecretStr("https://rpc.example.com/v3/KEY"))},
        rpc_local_allowed=is_local_allowed,
    )


def test_a_demo_home_fills_from_the_sandbox(sandbox: Sandbox, world: World, tmp_path: Path) -> None:
    home = open_home(tmp_path / "demo", "demo", create=True)
    settings, lake = _settings(home, sandbox.base_url), lake_of(home, CLOCK)
    publishers = {**publishers_of(home, settings, lake, CLOCK), **accounts_of(home, settings, CLOCK)}
    lending = lending_of(home, settings, CLOCK)
    assets = [
        *build_lending_assets("aave_v3_ethereum"),
        *build_published_assets("defillama", ("stablecoin_supplies", "exchange_reserves")),
        *build_published_assets("ethereum", ("exchange_reserves",)),
    ]
    needed = {"lake": lake, "clock": CLOCK, "lending": lending, "publishers": publishers}
    with DagsterInstance.ephemeral() as instance:
        assert materialize(assets, partition_key=DAY.isoformat(), instance=instance, resources=needed).success
    landed = {(g.key.dataset, g.key.venue): g for g in lake.current()}
    assert lake.outages() == []
    assert set(landed) == {
        ("lending_liquidations", "aave_v3_ethereum"),
        ("lending_reserves", "aave_v3_ethereum"),
        ("lending_positions", "aave_v3_ethereum"),
        ("stablecoin_supplies", "defillama"),
        ("exchange_reserves", "defillama"),
        ("exchange_reserves", "ethereum"),
    }
    assert all(g.rows_count and g.is_synthetic and not g.quarantined_rows_count for g in landed.values())
    # Every borrower of the world's chain is found, as it stood at the newest final block.
    positions = pl.read_parquet(landed["lending_positions", "aave_v3_ethereum"].path)
    block = EvmWire(world).chain.block(positions["block_height"][0])
    assert block is not None
    owing = {
        user for user, held in block.state.accounts.items() if any(h.supplied or h.borrowed for h in held.values())
    }
    assert set(positions["user_address"]) == owing


def test_a_real_home_does_not_take_the_sandboxs_chain_for_the_real_one(sandbox: Sandbox, tmp_path: Path) -> None:
    home = open_home(tmp_path / "real", "real", create=True)
    settings = _settings(home, sandbox.base_url, is_local_allowed=True)
    market = lending_of(home, settings, CLOCK)["aave_v3_ethereum"]
    with pytest.raises(SourceOutage, match=f"shows chain {CHAIN_ID}, not 1"):
        market.probe()
    with pytest.raises(SourceOutage, match=f"shows chain {CHAIN_ID}, not 1"):
        accounts_of(home, settings, CLOCK)["ethereum"].fetch("exchange_reserves", DAY, DAY)


def test_a_provider_that_answers_short_is_found_by_the_receipts(sandbox: Sandbox, tmp_path: Path) -> None:
    home = open_home(tmp_path / "demo", "demo", create=True)
    market = lending_of(home, _settings(home, sandbox.base_url), CLOCK)["aave_v3_ethereum"]
    whole = market.liquidations_of(DAY, now=NOW).rows
    assert whole.height > 3
    assert set(whole["verified_by"]) == {"receipts"}
    sandbox.restart(faults=Faults((Fault("short_page", times=10_000, path=f"{PATH}/eth_getLogs"),)))
    assert market.liquidations_of(DAY, now=NOW).rows.equals(whole)
    sandbox.restart(faults=Faults((Fault("short_page", times=10_000, path=PATH),)))
    told = market.liquidations_of(DAY, now=NOW).rows
    assert set(told["verified_by"]) <= {"unverified"}
    sandbox.restart()


def test_both_sides_know_the_chain_by_one_number() -> None:
    assert CHAIN_ID == SANDBOX_CHAIN_ID
