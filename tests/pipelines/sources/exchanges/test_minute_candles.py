"""Candles by the minute: every venue that shows them lands its market's truth, whatever the page limit, faults or none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from venue_clients import Bench, bench_of, columns_of, judged, ms, ms_of, spoiled, valid

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.registry import EXCHANGES, client_class

FIRST = date(2025, 9, 20)
DAY = date(2025, 9, 21)
NOW = datetime(2025, 9, 22, 12, 30, 20)
ASSETS = ("BTC", "SOL")
VENUES = tuple(venue for venue, datasets in EXCHANGES.items() if "minute_candles" in datasets)
FIGURES = ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base")

# What each venue's question is known by.
KLINES = {
    "binance": "/fapi/v1/klines",
    "binance_coinm": "/dapi/v1/klines",
    "bybit": "/v5/market/kline",
    "okx": "/api/v5/market/history-candles",
    "hyperliquid": "/info/candleSnapshot",
}
# Two venues show two markets beside each other: here only the linear one is looked at.
LINEAR = {"bybit": "USDT$", "okx": "-USDT-SWAP$"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, FIRST, 3, assets=ASSETS), now=NOW) as running:
        yield running


def _bench(venue: str, sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(client_class(venue), sandbox, **{"now": NOW, "universe": ASSETS, "faults": faults, **more})


def _own(rows: pl.DataFrame, venue: str) -> pl.DataFrame:
    """Return the rows of the contracts whose market is the venue's own."""
    return rows.filter(pl.col("venue_symbol").str.contains(LINEAR.get(venue, "")))


def _assert_minutes(rows: pl.DataFrame, sandbox: Sandbox, venue: str, minutes: slice) -> None:
    market = VenueMarket(sandbox.world, venue)
    for asset in ASSETS:
        got, want = columns_of(_own(rows, venue), asset=asset), market.minute_candles(asset)
        assert np.array_equal(ms(got["interval_start_utc"]), want.start_ms[minutes])
        for name in FIGURES:
            assert np.array_equal(got[name], getattr(want, name)[minutes]), (asset, name)


def _changed(venue: str, change: Any) -> Faults:
    """Let the sandbox answer a question of minutes with what `change` makes of each record."""

    def answer(body: Any) -> Any:
        if isinstance(body, list):
            return [change(row) for row in body]
        if "data" in body:
            return {**body, "data": [change(row) for row in body["data"]]}
        rows = [change(row) for row in body["result"]["list"]]
        return {**body, "result": {**body["result"], "list": rows}}

    return spoiled(KLINES[venue], answer)


@pytest.mark.parametrize("venue", VENUES)
def test_a_day_is_its_1440_minutes_in_few_requests(sandbox: Sandbox, venue: str) -> None:
    bench = _bench(venue, sandbox)
    capture = bench.client.fetch("minute_candles", DAY)
    rows = valid(capture, "minute_candles", NOW)
    _assert_minutes(rows, sandbox, venue, slice(1440, 2880))
    assert (rows["interval_end_utc"] - rows["interval_start_utc"]).unique().to_list() == [timedelta(minutes=1)]
    assert set(rows["payload_sha256"]) <= set(capture.payloads) <= set(bench.lake.payloads)
    pages = -(-1440 // bench.client.limits["minute_candles"])
    assert bench.asked(KLINES[venue]) <= (pages + 1) * rows["venue_symbol"].n_unique()


@pytest.mark.parametrize("venue", VENUES)
def test_minutes_of_an_hour_are_the_hour(sandbox: Sandbox, venue: str) -> None:
    client = _bench(venue, sandbox).client
    hours = _own(valid(client.fetch("candles", DAY), "candles", NOW), venue).filter(pl.col("price_kind") == "trade")
    minutes = _own(valid(client.fetch("minute_candles", DAY), "minute_candles", NOW), venue)
    gathered = (
        minutes.sort("interval_start_utc")
        .group_by("venue_symbol", pl.col("interval_start_utc").dt.truncate("1h"))
        .agg(
            pl.col("open_quote").first(),
            pl.col("high_quote").max(),
            pl.col("low_quote").min(),
            pl.col("close_quote").last(),
            pl.col("volume_base").sum().round(6),
        )
    )
    both = hours.join(gathered, on=["venue_symbol", "interval_start_utc"], suffix="_gathered")
    assert both.height == 24 * len(ASSETS)
    for name in FIGURES:
        assert both[name].round(6).to_list() == both[f"{name}_gathered"].to_list(), name


@pytest.mark.parametrize("limit", [1_439, 97])
@pytest.mark.parametrize("venue", VENUES)
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, venue: str, limit: int) -> None:
    limit = min(limit, client_class(venue).limits["minute_candles"] - 1)
    bench = _bench(venue, sandbox, page_limits={"minute_candles": limit})
    capture = bench.client.fetch("minute_candles", DAY - timedelta(days=1), DAY)
    _assert_minutes(valid(capture, "minute_candles", NOW), sandbox, venue, slice(0, 2880))


@pytest.mark.parametrize("venue", VENUES)
def test_the_running_minute_is_as_it_is_now_and_none_is_told_ahead(sandbox: Sandbox, venue: str) -> None:
    rows = _own(valid(_bench(venue, sandbox).client.fetch("minute_candles", NOW.date()), "minute_candles", NOW), venue)
    assert rows["interval_start_utc"].max() == datetime(2025, 9, 22, 12, 30)
    _assert_minutes(rows.filter(pl.col("interval_end_utc") <= NOW), sandbox, venue, slice(2880, 2880 + 750))
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    assert running["volume_base"].to_list() == [0.0] * len(ASSETS)
    assert running["open_quote"].to_list() == running["close_quote"].to_list()


def test_a_day_that_hyperliquid_has_forgotten_is_not_offered(sandbox: Sandbox) -> None:
    client = _bench("hyperliquid", sandbox, now=datetime(2025, 9, 23, 11)).client
    assert client.first_offered_day("minute_candles") == date(2025, 9, 20)
    client = _bench("hyperliquid", sandbox, now=datetime(2025, 9, 23, 12)).client
    with pytest.raises(SourceOutage) as caught:
        client.fetch("minute_candles", FIRST)
    assert caught.value.code == "not_offered"


@pytest.mark.parametrize("kind", ["torn", "short_page"])
@pytest.mark.parametrize("venue", VENUES)
def test_a_fault_that_passes_costs_no_row(sandbox: Sandbox, venue: str, kind: Any) -> None:
    bench = _bench(venue, sandbox, Faults(rules=(Fault(kind, path=KLINES[venue], first=2),)))
    _assert_minutes(
        valid(bench.client.fetch("minute_candles", DAY), "minute_candles", NOW), sandbox, venue, slice(1440, 2880)
    )


@pytest.mark.parametrize("venue", VENUES)
def test_a_malformed_minute_is_quarantined_and_costs_no_other(sandbox: Sandbox, venue: str) -> None:
    noon = str(ms_of(datetime(2025, 9, 21, 12, 5)))

    def change(row: Any) -> Any:
        if isinstance(row, dict):
            return {**row, "o": "-1"} if str(row["t"]) == noon else row
        return [row[0], "-1", *row[2:]] if str(row[0]) == noon else row

    faults = _changed(venue, change)
    bench = _bench(venue, sandbox, faults, universe=("SOL",))
    good, rejected = judged(bench.client.fetch("minute_candles", DAY), "minute_candles", NOW)
    assert _own(good, venue).height == 1439
    assert set(rejected.select("field", "reason").rows()) == {("open_quote", "not_positive")}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"interval_start_utc": datetime(2025, 9, 21, 0, 0, 30)}, "not_on_the_minute"),
        ({"interval_end_utc": datetime(2025, 9, 21, 1)}, "interval_not_one_minute"),
    ],
)
def test_an_interval_of_another_length_is_refused(sandbox: Sandbox, bad: dict[str, Any], reason: str) -> None:
    capture = _bench("binance", sandbox, universe=("SOL",)).client.fetch("minute_candles", DAY)
    first = pl.col("row_count") == 1
    rows = capture.rows.with_columns(
        pl.when(first).then(pl.lit(value, pl.Datetime("us"))).otherwise(pl.col(name)).alias(name)
        for name, value in bad.items()
    )
    good, rejected = judged(type(capture)(rows), "minute_candles", NOW)
    assert good.height == 1439
    assert rejected["reason"].to_list() == [reason]
