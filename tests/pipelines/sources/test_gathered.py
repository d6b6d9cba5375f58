"""Rows while they are gathered, and which bodies of books are kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from venue_clients import bench_of, spoiled, valid

from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.binance import BinanceUsdm
from pipelines.sources.gathered import ROWS_AT_ONCE, Gathered
from quality.schemas.raw import RAW_TABLES

NOW = datetime(2025, 9, 2, 12, 58)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, date(2025, 9, 1), 3, assets=("BTC", "SOL")), now=NOW) as running:
        yield running


@pytest.mark.parametrize("count", [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 1])
def test_rows_keep_their_order_and_number_and_miss_what_they_do_not_have(count: int) -> None:
    rows = Gathered("minute_candles")
    for part in range(3):
        rows.add({"open_quote": float(i)} for i in range(part, count, 3))
    frame = rows.frame()
    assert dict(frame.schema) == {**RAW_TABLES["minute_candles"].raw_schema, "row_count": pl.Int64()}
    assert frame["row_count"].to_list() == list(range(1, count + 1))
    assert frame["open_quote"].to_list() == [float(i) for part in range(3) for i in range(part, count, 3)]
    assert frame["venue"].null_count() == count


def test_of_books_the_first_of_a_contract_in_an_hour_is_kept_and_of_others_the_hash(sandbox: Sandbox) -> None:
    bench = bench_of(BinanceUsdm, sandbox, now=NOW, universe=("BTC", "SOL"))
    kept = []
    for _ in range(4):
        sandbox.now = bench.clock.instant
        capture = bench.client.depth_bands()
        hashes = set(valid(capture, "depth_bands", bench.clock.now())["payload_sha256"])
        assert len(hashes) == 2, "every row names its book"
        assert set(capture.payloads) == hashes & set(bench.lake.payloads), "a line names what is kept"
        kept.append(len(capture.payloads))
        bench.clock.sleep(timedelta(minutes=1).total_seconds())
    # 12:58 and 12:59, then 13:00 and 13:01.
    assert kept == [2, 0, 2, 0]


def test_the_body_of_a_book_that_is_refused_is_kept(sandbox: Sandbox) -> None:
    bench = bench_of(BinanceUsdm, sandbox, now=NOW, universe=("SOL",))
    bench.client.depth_bands()
    sandbox.faults = spoiled("/fapi/v1/depth", lambda book: {**book, "bids": []})
    capture = bench.client.depth_bands()
    (sha256,) = capture.payloads
    assert b'"bids":[]' in bench.lake.payloads[sha256]
