"""What tests of all venues' clients share: a real ccxt client before the sandbox, rows after validation, a market's columns.

Belongs here: what does not depend on the venue. Does not: doubles of lake and clock (``source_doubles.py``), any venue's
paths and rules (its own test file).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from source_doubles import HandClock, PayloadLake

from assets.ports import Capture
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.server import Sandbox
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sources.transport import RetryPolicy
from pipelines.sources.venue import VenueClient
from quality.schemas.raw import RAW_TABLES


@dataclass(frozen=True)
class Bench:
    """A client before the sandbox, with the lake that keeps its payloads and the clock that both go by."""

    client: VenueClient
    sandbox: Sandbox
    lake: PayloadLake
    clock: HandClock

    def asked(self, path: str) -> int:
        """Return how often the sandbox was asked for a path."""
        return [s.path for s in self.sandbox.requests].count(path)


def bench_of(
    kind: type[VenueClient],
    sandbox: Sandbox,
    *,
    now: datetime,
    universe: Sequence[str],
    faults: Faults | None = None,
    attempts_count: int = 4,
    **more: Any,
) -> Bench:
    """Return a new client of a venue before a sandbox that has forgotten all requests.

    Parameters
    ----------
    now : datetime.datetime
        The present of both, UTC.
    faults : Faults or None
        How the sandbox misbehaves.
    **more
        Of the client.
    """
    sandbox.restart(now=now, faults=faults)
    clock, lake = HandClock(now), PayloadLake()
    policy = more.pop("policy", RetryPolicy(attempts_count=attempts_count))
    client = kind(
        lake,
        clock=clock,
        base_url=sandbox.base_url,
        is_synthetic=True,
        sleep=clock.sleep,
        universe=universe,
        policy=policy,
        **more,
    )
    return Bench(client, sandbox, lake, clock)


def spoiled(path: str, change: Callable[[Any], Any]) -> Faults:
    """Let the sandbox answer a question with what `change` makes of its answer."""
    return Faults(spoiled={path: change})


def valid(capture: Capture, dataset: str, now: datetime) -> pl.DataFrame:
    """Return a capture's rows after validation; none may be refused."""
    good, rejected = judged(capture, dataset, now)
    assert rejected.height == 0, rejected.select("row_count", "field", "reason").rows()
    return good


def judged(capture: Capture, dataset: str, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a capture's rows as the raw table accepts and refuses them."""
    table = RAW_TABLES[dataset]
    assert capture.rows.columns == [*table.columns, "row_count"]
    return table.split(capture.rows, now=now)


def columns_of(rows: pl.DataFrame, **where: Any) -> dict[str, NDArray[Any]]:
    """Return the columns of the rows that have these values, as arrays."""
    picked = rows.filter(*(pl.col(name) == value for name, value in where.items()))
    return {name: picked[name].to_numpy() for name in picked.columns}


def ms(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return instants as milliseconds."""
    return values.astype("datetime64[ms]").astype(np.int64)


def ms_of(at: datetime) -> int:
    """Return an instant as milliseconds."""
    return int(np.datetime64(at, "ms").astype(np.int64))


def assert_trade_candles(rows: pl.DataFrame, market: VenueMarket, hours: slice, assets: Sequence[str]) -> None:
    """Assert that the trade candles of `assets` are the market's, of the hours `hours` since its start, and no others."""
    trades = rows.filter(pl.col("price_kind") == "trade")
    assert trades["asset"].unique().sort().to_list() == sorted(assets)
    for asset in assets:
        got, want = columns_of(trades, asset=asset), market.candles(asset)
        assert np.array_equal(ms(got["interval_start_utc"]), want.start_ms[hours])
        for name in ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base"):
            assert np.array_equal(got[name], getattr(want, name)[hours]), (asset, name)


def assert_price_candles(rows: pl.DataFrame, market: VenueMarket, hours: slice, assets: Sequence[str]) -> None:
    """Assert that the mark and index candles of `assets` are the market's, of the hours `hours`, without a volume."""
    for kind, truth in (("mark", market.mark_candles), ("index", market.index_candles)):
        shown = rows.filter(pl.col("price_kind") == kind)
        assert shown["asset"].unique().sort().to_list() == sorted(assets)
        assert shown["volume_base"].null_count() == shown.height
        for asset in assets:
            got, want = columns_of(shown, asset=asset), truth(asset)
            assert np.array_equal(ms(got["interval_start_utc"]), want.start_ms[hours])
            for name in ("open_quote", "high_quote", "low_quote", "close_quote"):
                assert np.array_equal(got[name], getattr(want, name)[hours]), (asset, kind, name)


def assert_long_short_ratios(
    rows: pl.DataFrame, market: VenueMarket, kinds: Sequence[str], hours: slice, assets: Sequence[str], **near: float
) -> None:
    """Assert that the ratios of `kinds` are the market's, of the hours `hours`; `near` is what a venue's rounding costs."""
    assert rows["ratio_kind"].unique().sort().to_list() == sorted(kinds)
    for asset in assets:
        want = market.long_short_ratios(asset)
        for kind in kinds:
            got = columns_of(rows.filter(pl.col("ratio_kind") == kind), asset=asset)
            assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[hours])
            np.testing.assert_allclose(
                got["long_short_ratio_x"], getattr(want, f"{kind}_x")[hours], **{"rtol": 0, **near}
            )
