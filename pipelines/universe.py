"""The universe: which exchanges are followed, and which assets on them; one readable file.

Belongs here: the file's form, the ranking by open interest. Does not: what an exchange offers (``sources/exchanges/registry.py``),
fetching (``assets/lake``). A home may have its own ``universe.yml``; else the one beside this module counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from assets.ports import Generation
from pipelines.sources.exchanges.registry import EXCHANGES, ON_REQUEST

DEFAULT_FILE = Path(__file__).with_suffix(".yml")


class UniverseError(ValueError):
    """A universe file is wrong; the message names the file, the key, the reason and what is expected."""


class Universe(BaseModel):
    """What a universe file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    always: tuple[Annotated[str, Field(pattern=r"^\S{1,64}$")], ...] = Field(min_length=1)
    top_by_open_interest_count: int = Field(ge=0, le=500)
    venues: tuple[str, ...]
    minute_candles: bool = False

    @field_validator("always")
    @classmethod
    def _upper(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(a.upper() for a in value))

    @field_validator("venues")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [v for v in value if v not in EXCHANGES]
        if unknown:
            raise ValueError(f"no exchange {', '.join(unknown)}: there are {', '.join(EXCHANGES)}")
        return tuple(dict.fromkeys(value))

    @property
    def left_out(self) -> frozenset[str]:
        """The datasets that exchanges offer and nobody asked for."""
        return frozenset() if self.minute_candles else ON_REQUEST


@dataclass(frozen=True)
class Followed:
    """One asset that is followed: its one-sided open interest (None: not known) and the exchanges that tell of it."""

    asset: str
    is_always: bool
    open_interest_usd: float | None
    venues: tuple[str, ...]


def load_universe(home: Path) -> Universe:
    """Return the universe of a home's folder, or the shipped one.

    Raises
    ------
    UniverseError
        Where the file is no YAML or says something else than a universe.
    """
    own = home / "universe.yml"
    path = own if own.is_file() else DEFAULT_FILE
    try:
        return Universe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise UniverseError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        raise UniverseError(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise UniverseError(f"{path}: {said} (the shipped file is an example: {DEFAULT_FILE.name})") from None


def followed(universe: Universe, current: Sequence[Generation]) -> list[Followed]:
    """Return the assets of a universe: those of `always`, then the largest others by one-sided open interest.

    Parameters
    ----------
    current : sequence of Generation
        The lake's current generations; of each exchange the last tickers count.
    """
    ranking = _open_interest(universe, current)
    known = {asset: (usd, tuple(venues)) for asset, usd, venues in ranking.rows()}
    largest = [asset for asset in known if asset not in universe.always][: universe.top_by_open_interest_count]
    return [
        Followed(asset, asset in universe.always, *known.get(asset, (None, ())))
        for asset in (*universe.always, *largest)
    ]


def _open_interest(universe: Universe, current: Sequence[Generation]) -> pl.DataFrame:
    """Return assets, largest first: `asset`, one-sided `open_interest_usd`, `venues`."""
    last: dict[str, Generation] = {}
    for g in current:
        if g.key.dataset == "tickers" and g.key.venue in universe.venues and g.path is not None:
            last[g.key.venue] = max(last.get(g.key.venue, g), g, key=lambda one: (one.key.day, one.position))
    empty = {"asset": pl.String(), "open_interest_usd": pl.Float64(), "venues": pl.List(pl.String())}
    if not last:
        return pl.DataFrame(schema=empty)
    rows = pl.concat([pl.read_parquet(g.path) for _, g in sorted(last.items()) if g.path is not None])
    one_side = pl.when(pl.col("open_interest_basis") == "two_sided").then(0.5).otherwise(1.0)
    price = pl.coalesce("mark_quote", "last_quote")
    usd = one_side * pl.coalesce("open_interest_usd", pl.col("open_interest_base") * price)
    return (
        rows.select("asset", "venue", "venue_symbol", usd.alias("open_interest_usd"))
        .drop_nulls()
        .sort("venue", "venue_symbol")
        .group_by("asset", maintain_order=True)
        .agg(pl.col("open_interest_usd").sum(), pl.col("venue").unique(maintain_order=True).alias("venues"))
        .sort(["open_interest_usd", "asset"], descending=[True, False])
    )
