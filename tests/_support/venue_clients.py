"""What tests of all venues' clients share: a real ccxt client before the sandbox, rows after validation, a market's columns.

Belongs here: what does not depend on the venue. Does not: doubles of lake and clock (``source_doubles.py``), any venue's
paths and rules (its own test file).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from source_doubles import HandClock, PayloadLake

from assets.ports import Capture
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.server import Sandbox
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sources.door import RetryPolicy
from pipelines.sources.exchanges.venue import VenueClient
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


def assert_trade_candles(
    rows: pl.DataFrame, market: VenueMarket, hours: slice, assets: Sequence[str], *, volume_rtol: float = 0.0
) -> None:
    """Assert that the trade candles of `assets` are the market's, of the hours `hours` since its start, and no others.

    `volume_rtol` is what it costs to bring contracts to base units.
    """
    trades = rows.filter(pl.col("price_kind") == "trade")
    assert trades["asset"].unique().sort().to_list() == sorted(assets)
    for asset in assets:
        got, want = columns_of(trades, asset=asset), market.candles(asset)
        assert np.array_equal(ms(got["interval_start_utc"]), want.start_ms[hours])
        for name in ("open_quote", "high_quote", "low_quote", "close_quote"):
            assert np.array_equal(got[name], getattr(want, name)[hours]), (asset, name)
        np.testing.assert_allclose(got["volume_base"], want.volume_base[hours], rtol=volume_rtol, atol=0)


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


def assert_funding_rates(
    rows: pl.DataFrame, market: VenueMarket, days: tuple[date, date], assets: Sequence[str], *, step_ms: int = 1
) -> None:
    """Assert that the settlements are the market's of the days; `step_ms` is what the venue's clock is cut to."""
    first, after = _span(days)
    for asset in assets:
        got, want = columns_of(rows, asset=asset), market.funding(asset)
        due = (want.settled_ms >= first) & (want.settled_ms < after)
        assert np.array_equal(ms(got["occurred_at_utc"]), want.settled_ms[due] // step_ms * step_ms)
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[due])


def assert_open_interest(
    rows: pl.DataFrame, market: VenueMarket, hours: slice, assets: Sequence[str], *, sides_count: int
) -> None:
    """Assert that open interest is the market's, counted on one side or on both, of the hours `hours`."""
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided" if sides_count == 1 else "two_sided"]
    for asset in assets:
        got, want = columns_of(rows, asset=asset), market.open_interest(asset)
        assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[hours])
        np.testing.assert_allclose(
            got["open_interest_base"], sides_count * want.open_interest_base[hours], rtol=1e-12, atol=0
        )


def assert_depth_bands(
    rows: pl.DataFrame, market: VenueMarket, now: datetime, assets: Sequence[str], *, levels_count: int | None
) -> None:
    """Assert that bands sum what the venue shows of the market's book; what it does not reach is missing, never 0.

    A venue shows `levels_count` levels of a side, None where it shows all.
    """
    assert rows["occurred_at_utc"].unique().to_list() == [now]
    missing = seen = 0
    for asset in assets:
        book = market.book(asset, now)
        got = rows.filter(pl.col("asset") == asset)
        assert got["mid_quote"].unique().to_list() == [pytest.approx(book.mid_quote, rel=1e-12)]
        for band, bid, ask in got.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
            for side, depth in ((book.bids[:levels_count], bid), (book.asks[:levels_count], ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    missing += 1
                    assert away.max() < band
                else:
                    seen += 1
                    assert depth == pytest.approx(side[away <= band + 1e-6, 1].sum(), rel=1e-9)
    assert missing > 0 or levels_count is None, f"the book is not seen to 500 bps with {levels_count} levels"
    assert seen > 0


def assert_liquidations(
    rows: pl.DataFrame,
    market: VenueMarket,
    days: tuple[date, date],
    assets: Sequence[str],
    *,
    price: str,
    step_ms: int = 1,
) -> None:
    """Assert that the liquidations are the market's of the days, once each, at its `price` (a field of its truth)."""
    first, after = _span(days)
    count = 0
    for asset in assets:
        want = market.liquidations(asset)
        due = (want.at_ms >= first) & (want.at_ms < after)
        got = rows.filter(pl.col("asset") == asset).sort("occurred_at_utc", "quantity_base")
        order = np.lexsort((want.quantity_base[due], want.at_ms[due] // step_ms))
        assert np.array_equal(ms(got["occurred_at_utc"].to_numpy()), (want.at_ms[due] // step_ms * step_ms)[order])
        sides = ["long" if is_long else "short" for is_long in want.is_long[due][order]]
        assert got["position_side"].to_list() == sides
        np.testing.assert_allclose(got["quantity_base"].to_numpy(), want.quantity_base[due][order], rtol=1e-12)
        assert np.array_equal(got["order_price_quote"].to_numpy(), getattr(want, price)[due][order])
        count += int(due.sum())
    assert rows.height == count > 0


def assert_tickers(
    rows: pl.DataFrame, market: VenueMarket, now: datetime, assets: Sequence[str], *, missing: Sequence[str] = ()
) -> None:
    """Assert that tickers are the market's as of now; the columns `missing` are those that the venue does not tell."""
    assert rows["asset"].sort().to_list() == sorted(assets)
    sides = rows["open_interest_basis"].replace_strict({"one_sided": 1, "two_sided": 2}, default=None).to_list()
    for row, sides_count in zip(rows.iter_rows(named=True), sides, strict=True):
        asset, book, held = row["asset"], market.book(row["asset"], now), market.open_interest(row["asset"])
        hour = int(held.at_ms.searchsorted(ms_of(now), "right")) - 1
        want = {
            "last_quote": market.price(asset, now),
            "best_bid_quote": book.bids[0, 0],
            "best_ask_quote": book.asks[0, 0],
            "mark_quote": market.price_of_kind(asset, "mark", now),
            "index_quote": market.price_of_kind(asset, "index", now),
            "volume_24h_base": market.volume_24h_base(asset, now),
            "open_interest_base": held.open_interest_base[hour] * (sides_count or 1),
        }
        for name, value in want.items():
            assert row[name] == (None if name in missing else pytest.approx(value, rel=1e-9)), (asset, name)


def _span(days: tuple[date, date]) -> tuple[int, int]:
    """Return the milliseconds at which a range of days begins and ends."""
    begin, end = (datetime.combine(day, time()) for day in days)
    return ms_of(begin), ms_of(end + timedelta(days=1))
