"""The offline main job: a simulated market on loopback, the real clients, the whole way to a report.

Belongs here: the demo's world and order of steps. Does not: the market itself (``pipelines/sandbox``) or any step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dagster import AssetKey
from pydantic import SecretStr

from pipelines.clock import FixedClock
from pipelines.home import Home
from pipelines.resources import build_resources
from pipelines.runs import RunOutcome, Watch, execute, open_instance
from pipelines.settings import Settings
from pipelines.sources.exchanges.registry import AS_OF_NOW, EXCHANGES, ON_REQUEST
from pipelines.sources.publishers.registry import PUBLISHERS

if TYPE_CHECKING:
    from pipelines.sandbox.server import Sandbox

# A world of its own: the dates are real calendar days, the prices never were.
CRASH_DAY = date(2026, 3, 10)
HISTORY_DAYS = 32
# The first venue and the publishers have the whole history, the others and the chain these last days: every format is seen and
# nobody waits for it.
OTHERS_DAYS = 2
SEED = 7
# Four wire formats; the others would only cost time.
VENUES = ("binance", "bybit", "okx", "hyperliquid")
# Gone on the next day: what exists as of now, and a list whose memory is one day. The others' open interest has a history.
_OF_THE_DAY = [
    (venue, dataset)
    for venue in VENUES
    for dataset in EXCHANGES[venue]
    if dataset in AS_OF_NOW or (venue, dataset) in (("hyperliquid", "open_interest"), ("okx", "liquidations"))
]
# Binance shows its tiers to customers alone: users bring them as a file.
FILES = (("leverage_tiers", "leverage_tiers"),)
CHAIN, LENDING_VENUE = "ethereum", "aave_v3_ethereum"
# A snapshot is of the newest final block: half an hour later it would stand under the next day.
_CHAIN_OF_THE_DAY = [AssetKey(["lake", f"{LENDING_VENUE}_{d}"]) for d in ("lending_reserves", "lending_positions")]
_CHAIN_DAYS = [
    AssetKey(["lake", f"{LENDING_VENUE}_lending_liquidations"]),
    AssetKey(["lake", f"{CHAIN}_exchange_reserves"]),
]
_PUBLISHED = [AssetKey(["lake", f"{p}_{dataset}"]) for p, datasets in PUBLISHERS.items() for dataset in datasets]
# The sandbox's FRED takes any key: with one it tells vintages and release days.
FRED_KEY = SecretStr("0" * 32)


@dataclass(frozen=True)
class MarketClock:
    """A clock that shows what the simulated market's shows."""

    market: Sandbox

    def now(self) -> datetime:
        """Return the market's instant."""
        return self.market.now


@dataclass(frozen=True)
class DemoResult:
    """What the demo left: the outcome of its last run and where to look."""

    outcome: RunOutcome
    report: Path
    snapshot: Path
    day: date


def run_demo(
    home: Home,
    settings: Settings,
    *,
    watch: Watch,
    assets: tuple[str, ...] = ("BTC", "ETH", "SOL"),
    history_days: int = HISTORY_DAYS,
) -> DemoResult:
    """Fill a demo home from the sandbox and write the report of its crash day.

    Visits to the market as a schedule would make them: late on the crash day for the order book of the hour, and after
    midnight for the closed days.
    """
    from pipelines.definitions import build_defs  # noqa: PLC0415 - Dagster takes seconds to import
    from pipelines.sandbox.server import serve  # noqa: PLC0415
    from pipelines.sandbox.world import World  # noqa: PLC0415

    settings = settings.model_copy(update={"venues": VENUES, "assets": assets})
    first = CRASH_DAY - timedelta(days=history_days - 1)
    watch("simulate the market", "started")
    world = World(SEED, first, history_days + 1, assets, CRASH_DAY)
    watch("simulate the market", "done")
    late = datetime.combine(CRASH_DAY, time(23, 50))
    after = datetime.combine(CRASH_DAY + timedelta(days=1), time(0, 30))
    instance = open_instance(home)
    tags = {"lowtide/world": f"sandbox seed {SEED}"}

    _import_files(home, settings, world, after, watch)
    with serve(world, now=late) as market:
        at = settings.model_copy(
            update={
                "exchange_base_url": market.base_url,
                "published_base_url": market.base_url,
                "publishers": tuple(PUBLISHERS),
                "fred_api_key": FRED_KEY,
                "rpc_urls": {CHAIN: (SecretStr(f"{market.base_url}/rpc/{CHAIN}"),)},
            }
        )
        # One code location for all visits: our clock is the market's, which is moved between them.
        defs = build_defs(resources=build_resources(home, at, clock=MarketClock(market)))

        def visit(now: datetime, job: str, days: list[date], only: list[AssetKey] | None = None) -> RunOutcome:
            market.now = now
            return execute(defs, instance, job, days, watch=watch, tags=tags, only=only)

        of_the_day = [AssetKey(["lake", f"{venue}_{dataset}"]) for venue, dataset in _OF_THE_DAY]
        outcome = visit(late, "collect_raw", [CRASH_DAY], [*of_the_day, *_CHAIN_OF_THE_DAY])
        reference, *others = VENUES
        if outcome.is_success:
            outcome = visit(after, "collect_raw", [first, CRASH_DAY], [*_assets_of([reference]), *_PUBLISHED])
        if outcome.is_success:
            begin = max(first, CRASH_DAY - timedelta(days=OTHERS_DAYS - 1))
            outcome = visit(after, "collect_raw", [begin, CRASH_DAY], [*_assets_of(others), *_CHAIN_DAYS])
        if outcome.is_success:
            outcome = visit(after, "build_day", [CRASH_DAY])
    return DemoResult(outcome, home.reports / CRASH_DAY.isoformat() / "report.html", home.snapshot, CRASH_DAY)


def _assets_of(venues: Sequence[str]) -> list[AssetKey]:
    return [
        AssetKey(["lake", f"{venue}_{dataset}"])
        for venue in venues
        for dataset in EXCHANGES[venue]
        if (venue, dataset) not in _OF_THE_DAY and dataset not in ON_REQUEST
    ]


def _import_files(home: Home, settings: Settings, world: object, now: datetime, watch: Watch) -> None:
    """Write the world's leverage tiers as a file and import it as a user would."""
    from pipelines.resources import lake_of  # noqa: PLC0415
    from pipelines.sources.files.imports import import_files, load_mapping  # noqa: PLC0415

    clock = FixedClock(now)
    lake = lake_of(home, clock)
    with TemporaryDirectory() as folder:
        world.write_files(Path(folder))  # type: ignore[attr-defined]
        for mapping, subfolder in FILES:
            watch(f"import {mapping}", "started")
            import_files(load_mapping(mapping), Path(folder) / subfolder, lake, clock, is_synthetic=True)
            watch(f"import {mapping}", "done")
