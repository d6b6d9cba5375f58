"""Resources: plain objects built from settings, a home and a clock. Domain code never sees Dagster types.

Belongs here: construction and the DuckDB connections of the warehouse. Does not: what the objects do inside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import duckdb

from assets.ports import Clock, ExchangeSource, LendingMarket, PublishedSource, StreamRecordings
from pipelines.clock import FixedClock, SystemClock
from pipelines.dbt_manifest import ensure_manifest
from pipelines.home import Home, HomeError
from pipelines.lake.publish import publish
from pipelines.lake.store import Lake
from pipelines.lake.views import create_raw_views
from pipelines.settings import DBT_FOLDER, Settings
from pipelines.sources.chains.lending_markets import (
    AAVE_VENUES,
    ACCOUNT_CHAINS,
    DEPLOYMENTS,
    SOLANA_DEPLOYMENTS,
    in_sandbox,
    solana_in_sandbox,
)
from pipelines.universe import followed, load_universe

if TYPE_CHECKING:
    pass

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def clock_of(settings: Settings) -> Clock:
    """Return the machine's clock, or the fixed one of the settings."""
    return FixedClock(settings.clock) if settings.clock else SystemClock()


def lake_of(home: Home, clock: Clock) -> Lake:
    """Return the raw lake of a home."""
    return Lake(home.lake, clock=clock, code_version=version("lowtide"))


@dataclass(frozen=True)
class DuckDbWarehouse:
    """The warehouse file (``assets.ports.Warehouse``): opened for a moment, closed again."""

    path: Path
    reports: Path
    snapshot: Path
    dbt_target: Path
    lake: Lake
    threads: int
    memory_limit: str
    as_of: datetime | None = None

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the warehouse for writing; the file is free again when the block ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        con = duckdb.connect(
            str(self.path),
            config={"threads": self.threads, "memory_limit": self.memory_limit},
        )
        try:
            yield con
        finally:
            con.close()

    def refresh_raw(self) -> str:
        """Point schema `raw` at the lake's generations and make sure that schema `sim` has its tables."""
        from assets.cascade.frames import ensure_sim_tables  # noqa: PLC0415 - keeps numba out of `lowtide sql`

        with self.connect() as con:
            input_sha256 = create_raw_views(con, self.lake, as_of=self.as_of)
            ensure_sim_tables(con)
        return input_sha256

    def input_sha256(self) -> str:
        """Return the hash that the last `refresh_raw` left."""
        with self.connect() as con:
            row = con.execute("select input_sha256 from raw.input").fetchone()
        if row is None:
            raise RuntimeError("raw.input is empty: materialize the raw tables first")
        return str(row[0])

    def publish(self) -> dict[str, int]:
        """Swap the published snapshot for the marts of now."""
        return dict(publish(self.path, self.snapshot).tables)


def warehouse_of(home: Home, settings: Settings, lake: Lake) -> DuckDbWarehouse:
    """Return the warehouse of a home, at the lake's current generations."""
    return DuckDbWarehouse(
        path=home.warehouse,
        reports=home.reports,
        snapshot=home.snapshot,
        dbt_target=home.dbt_target,
        lake=lake,
        threads=settings.duckdb_threads,
        memory_limit=settings.duckdb_memory_limit,
    )


def as_of_warehouse(home: Home, settings: Settings, lake: Lake, as_of: datetime) -> DuckDbWarehouse:
    """Return a scratch warehouse pinned to what the lake knew at an instant; its reports stand apart."""
    label = f"as_of_{as_of:%Y%m%dT%H%M%S}"
    return DuckDbWarehouse(
        path=home.scratch / label / "warehouse.duckdb",
        reports=home.reports / label,
        snapshot=home.scratch / label / "lowtide.duckdb",
        dbt_target=home.scratch / label / "dbt_target",
        lake=lake,
        threads=settings.duckdb_threads,
        memory_limit=settings.duckdb_memory_limit,
        as_of=as_of,
    )


def is_synthetic_origin(home: Home, base_url: str | None, what: str) -> bool:
    """Return whether records of a base URL (None: the venues' own) are synthetic.

    Raises
    ------
    HomeError
        Where they would be and the home is real, or the reverse.
    """
    is_synthetic = base_url is not None and urlsplit(base_url).hostname in LOOPBACK
    if is_synthetic != (home.kind == "demo"):
        raise HomeError(
            f"{home.root} is a {home.kind} home and the {what} would be "
            f"{'the sandbox' if is_synthetic else 'the real ones'}: synthetic and real records never share a folder"
        )
    return is_synthetic


def assets_of(home: Home, settings: Settings, lake: Lake) -> tuple[str, ...]:
    """Return the assets that are followed: those of the settings, else those of the home's universe."""
    return settings.assets or tuple(one.asset for one in followed(load_universe(home.root), lake.current()))


def exchanges_of(home: Home, settings: Settings, lake: Lake, clock: Clock) -> dict[str, ExchangeSource]:
    """Return the venues' clients that are enabled.

    Raises
    ------
    HomeError
        Where a base URL would bring synthetic records into a real home, or real ones into a demo home.
    """
    universe = load_universe(home.root)
    venues = universe.venues if settings.venues is None else settings.venues
    if not venues:
        return {}
    from pipelines.sources.exchanges.registry import client_class  # noqa: PLC0415 - ccxt takes a second to import
    from pipelines.sources.gate import Gate  # noqa: PLC0415
    from pipelines.sources.journal import Journal  # noqa: PLC0415

    is_synthetic = is_synthetic_origin(home, settings.exchange_base_url, "exchanges")
    assets = assets_of(home, settings, lake)
    # A ban or a wait that one process was told of holds for every process of this machine's address.
    gate = Gate(home.root / "gate")
    followed_addresses = settings.hyperliquid_addresses
    own: dict[str, dict[str, Any]] = {}
    if followed_addresses is not None:
        own["hyperliquid"] = {"addresses": followed_addresses}
    return {
        venue: client_class(venue)(
            lake,
            clock=clock,
            base_url=settings.exchange_base_url,
            universe=assets,
            left_out=universe.left_out,
            is_synthetic=is_synthetic,
            gate=gate,
            journal=Journal(home.root / "walks", lake, clock),
            **own.get(venue, {}),
        )
        for venue in venues
    }


def recordings_of(home: Home, lake: Lake) -> StreamRecordings:
    """Return what the collector recorded in a home; a demo home holds streams of the sandbox alone."""
    from pipelines.collector.landing import Recordings  # noqa: PLC0415 - not for `lowtide sql`
    from pipelines.collector.service import folder_of  # noqa: PLC0415

    return Recordings(folder_of(home.root), lake, is_synthetic=home.kind == "demo")


def chain_nodes_of(home: Home, settings: Settings, clock: Clock) -> dict[str, list[Any]]:
    """Return the providers of each chain (`ChainNode`, of Solana `SolanaNode`); in a demo home those on loopback, where the sandbox is, and no others.

    Raises
    ------
    HomeError
        Where a provider's URL may not be used; the message holds no more of it than its host.
    """
    is_demo = home.kind == "demo"
    told = {
        chain: [
            url for url in (u.get_secret_value() for u in urls) if not is_demo or urlsplit(url).hostname in LOOPBACK
        ]
        for chain, urls in settings.rpc_urls.items()
    }
    if not any(told.values()):
        return {}
    from pipelines.sources.chains.evm_provider import http_node  # noqa: PLC0415 - web3 takes seconds to import
    from pipelines.sources.chains.solana_provider import http_solana_node  # noqa: PLC0415
    from pipelines.sources.gate import Gate  # noqa: PLC0415

    solana = {deployment.chain for deployment in SOLANA_DEPLOYMENTS.values()}

    gate = Gate(home.root / "gate")
    nodes = {}
    for chain, urls in told.items():
        try:
            nodes[chain] = [
                (http_solana_node if chain in solana else http_node)(
                    url, is_local_allowed=is_demo or settings.rpc_local_allowed, gate=gate, clock=clock
                )
                for url in urls
            ]
        except ValueError as error:
            raise HomeError(f"LOWTIDE_RPC_URLS, {chain}: {error}") from None
    return {chain: some for chain, some in nodes.items() if some}


def lending_of(home: Home, settings: Settings, clock: Clock | None = None) -> dict[str, LendingMarket]:
    """Return the lending markets whose chain has a provider; see `chain_nodes_of`."""
    nodes = chain_nodes_of(home, settings, clock or clock_of(settings))
    if not nodes:
        return {}
    from pipelines.sources.chains.lending import LendingSource  # noqa: PLC0415 - web3 takes seconds to import
    from pipelines.sources.chains.solana_lending import SolanaLendingSource  # noqa: PLC0415

    is_demo = home.kind == "demo"
    markets: dict[str, LendingMarket] = {}
    for venue in AAVE_VENUES:
        deployment = in_sandbox(DEPLOYMENTS[venue]) if is_demo else DEPLOYMENTS[venue]
        if deployment.chain in nodes:
            markets[venue] = LendingSource(deployment, nodes[deployment.chain], is_synthetic=is_demo)
    for venue, real in SOLANA_DEPLOYMENTS.items():
        market = solana_in_sandbox(real) if is_demo else real
        if market.chain in nodes:
            markets[venue] = SolanaLendingSource(market, nodes[market.chain], is_synthetic=is_demo)
    return markets


def accounts_of(home: Home, settings: Settings, clock: Clock) -> dict[str, PublishedSource]:
    """Return the readers of exchanges' accounts by chain, of chains that have a provider; see `chain_nodes_of`."""
    nodes = chain_nodes_of(home, settings, clock)
    if not nodes:
        return {}
    from pipelines.sources.chains.exchange_accounts import ExchangeAccounts, labelled_accounts  # noqa: PLC0415

    is_demo = home.kind == "demo"
    markets = {DEPLOYMENTS[venue].chain: DEPLOYMENTS[venue] for venue in AAVE_VENUES}
    return {
        chain: ExchangeAccounts(
            in_sandbox(markets[chain]) if is_demo else markets[chain],
            nodes[chain],
            labelled_accounts(DBT_FOLDER / "seeds" / "exchange_addresses.csv", chain),
            clock=clock,
            is_synthetic=is_demo,
        )
        for chain in ACCOUNT_CHAINS
        if chain in nodes
    }


def publishers_of(home: Home, settings: Settings, lake: Lake, clock: Clock) -> dict[str, PublishedSource]:
    """Return the publishers' clients that are enabled; none in a demo home that no sandbox stands behind.

    Raises
    ------
    HomeError
        Where the base URL would bring synthetic records into a real home, or real ones into a demo home.
    """
    if not settings.publishers or (home.kind == "demo" and settings.published_base_url is None):
        return {}
    from pipelines.sources.gate import Gate  # noqa: PLC0415
    from pipelines.sources.publishers.registry import publisher_class  # noqa: PLC0415 - not for `lowtide sql`

    is_synthetic = is_synthetic_origin(home, settings.published_base_url, "publishers")
    own: dict[str, dict[str, Any]] = {"fred": {"api_key": settings.fred_api_key}}
    gate = Gate(home.root / "gate")
    return {
        venue: publisher_class(venue)(
            lake,
            clock=clock,
            base_url=settings.published_base_url,
            is_synthetic=is_synthetic,
            gate=gate,
            **own.get(venue, {}),
        )
        for venue in settings.publishers
    }


def dbt_of(warehouse: DuckDbWarehouse) -> Any:
    """Return dbt, aimed at one warehouse file.

    dbt learns the file through the environment; a relative path in a profile would resolve against the caller's folder.
    """
    from pipelines.dbt_client import InProcessDbt  # noqa: PLC0415 - seconds to import

    os.environ["LOWTIDE_WAREHOUSE"] = str(warehouse.path)
    os.environ["LOWTIDE_DUCKDB_THREADS"] = str(warehouse.threads)
    os.environ["LOWTIDE_DUCKDB_MEMORY_LIMIT"] = warehouse.memory_limit
    return InProcessDbt(DBT_FOLDER, ensure_manifest().with_name("partial_parse.msgpack"))


def build_resources(
    home: Home,
    settings: Settings,
    *,
    clock: Clock | None = None,
    as_of: datetime | None = None,
    exchanges: Mapping[str, ExchangeSource] | None = None,
    lending: Mapping[str, LendingMarket] | None = None,
    publishers: Mapping[str, PublishedSource] | None = None,
) -> dict[str, Any]:
    """Return every resource of the graph by name; tests and the demo hand in their own clock or exchanges."""
    clock = clock or clock_of(settings)
    lake = lake_of(home, clock)
    warehouse = as_of_warehouse(home, settings, lake, as_of) if as_of else warehouse_of(home, settings, lake)
    return {
        "clock": clock,
        "lake": lake,
        "warehouse": warehouse,
        "exchanges": exchanges if exchanges is not None else exchanges_of(home, settings, lake, clock),
        "recordings": recordings_of(home, lake),
        # A report as of an earlier instant reads no source.
        "publishers": publishers
        if publishers is not None
        else {}
        if as_of
        else {**publishers_of(home, settings, lake, clock), **accounts_of(home, settings, clock)},
        "lending": lending if lending is not None else {} if as_of else lending_of(home, settings, clock),
        "dbt": dbt_of(warehouse),
    }
