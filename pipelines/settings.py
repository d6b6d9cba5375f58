"""The only reader of the environment: typed settings, printable without secrets.

Belongs here: what a user can set, with its default and meaning. Does not: what the settings do.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.collector.streams import COLLECTED_VENUES
from pipelines.sources.chains.lending_markets import LENDING_CHAINS
from pipelines.sources.exchanges.registry import EXCHANGES
from pipelines.sources.publishers.registry import PUBLISHERS

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DBT_FOLDER = PROJECT_ROOT / "dbt"


class Settings(BaseSettings):
    """Settings of Lowtide; each is an environment variable with the prefix ``LOWTIDE_`` or a line in ``.env``."""

    model_config = SettingsConfigDict(env_prefix="LOWTIDE_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        default=Path("~/.lowtide/home"), description="Data folder: lake, warehouse, reports, run history."
    )
    demo_home: Path = Field(default=Path("~/.lowtide/demo"), description="Data folder of the demo; synthetic only.")
    assets: tuple[str, ...] | None = Field(
        default=None, description="Assets fetched from exchanges, instead of those of universe.yml."
    )
    duckdb_threads: int = Field(default=2, ge=1, le=64, description="Threads of DuckDB. Results do not depend on it.")
    duckdb_memory_limit: str = Field(default="4GB", description="Memory limit of DuckDB.")
    venues: tuple[str, ...] | None = Field(
        default=None, description="Exchanges fetched from, instead of those of universe.yml; none: []."
    )
    hyperliquid_addresses: tuple[str, ...] | None = Field(
        default=None,
        description="Addresses of Hyperliquid whose positions and liquidations are fetched, instead of its liquidator vault.",
    )
    exchange_base_url: str | None = Field(
        default=None, description="Another base URL for all exchanges; a loopback address means the sandbox."
    )
    publishers: tuple[str, ...] = Field(
        default=tuple(PUBLISHERS), description="Publishers of public figures that are fetched from; none: []."
    )
    fred_api_key: SecretStr | None = Field(
        default=None, description="A key of FRED's API, for vintages and release dates; never shown."
    )
    published_base_url: str | None = Field(
        default=None, description="Another base URL for all publishers; a loopback address means the sandbox."
    )
    collect_venues: tuple[str, ...] = Field(
        default=COLLECTED_VENUES, description="Venues whose liquidation streams `collect` records."
    )
    collect_base_url: str | None = Field(
        default=None, description="Another base URL for all streams; a loopback address means the sandbox."
    )
    rpc_urls: dict[str, tuple[SecretStr, ...]] = Field(
        default={},
        description="JSON-RPC providers by chain (ethereum, arbitrum, base, solana), two each where possible: JSON, and never shown.",
    )
    rpc_local_allowed: bool = Field(
        default=False, description="Whether a JSON-RPC provider may be a host that is not public: a node of your own."
    )
    clock: datetime | None = Field(
        default=None, description="A fixed clock (UTC) instead of the machine's: for tests and demonstrations."
    )

    @field_validator("home", "demo_home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("assets")
    @classmethod
    def _upper(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else tuple(a.upper() for a in value)

    @field_validator("collect_venues")
    @classmethod
    def _streamed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [v for v in value if v not in COLLECTED_VENUES]
        if unknown:
            raise ValueError(f"no stream of {', '.join(unknown)}: there are {', '.join(COLLECTED_VENUES)}")
        return value

    @field_validator("rpc_urls")
    @classmethod
    def _chains(cls, value: dict[str, tuple[SecretStr, ...]]) -> dict[str, tuple[SecretStr, ...]]:
        unknown = [chain for chain in value if chain not in LENDING_CHAINS]
        if unknown:
            raise ValueError(f"no lending market on {', '.join(unknown)}: there are {', '.join(LENDING_CHAINS)}")
        return value

    @field_validator("publishers")
    @classmethod
    def _published(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [v for v in value if v not in PUBLISHERS]
        if unknown:
            raise ValueError(f"no publisher {', '.join(unknown)}: there are {', '.join(PUBLISHERS)}")
        return value

    @field_validator("venues")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [v for v in value or () if v not in EXCHANGES]
        if unknown:
            raise ValueError(f"no exchange {', '.join(unknown)}: there are {', '.join(EXCHANGES)}")
        return value


def prepare_process() -> None:
    """Set what libraries read from the environment: the kernel cache's folder and no telemetry.

    The cache is bound to our version and to numba's, because a stale cache can crash a process.
    """
    import os  # noqa: PLC0415 - the one place that touches the environment
    from importlib.metadata import version  # noqa: PLC0415

    label = f"numba-{version('lowtide')}-{version('numba')}"
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lowtide" / label
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache))
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
