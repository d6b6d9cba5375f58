"""One simulated burst, told in full by one venue's stream and sampled by another's: what the hourly mart makes of both.

The sampler, the messages and the sums of truth are written here from the venues' documentation and share nothing with the
models: Binance tells at most one order per symbol and second, the last; Bybit tells all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from raw_world import BOOKS, LAKE_COLUMNS, RawWorld

from pipelines.sources.exchanges.liquidations import ContractTerms, Liquidation, parse, row_of
from quality.schemas.raw import RAW_TABLES

# Both classes hold from here on: Bybit's stream of all liquidations counts from the first whole month.
FIRST_HOUR = datetime(2025, 3, 1)
ASSETS = ("BTC", "ETH")
TERMS = {f"{asset}USDT": ContractTerms(asset, "linear", 1.0) for asset in ASSETS}


@dataclass(frozen=True)
class Order:
    """A forced order of the burst; the side is the position's."""

    asset: str
    is_long: bool
    ms: int
    quantity: Decimal
    price: Decimal


def _burst(rng: np.random.Generator, start_ms: int) -> list[Order]:
    """Return up to 150 orders within seconds to minutes, many of them in one second, in the order in which they happen."""
    spread_ms = int(rng.choice([900, 20_000, 3_000_000]))
    times = np.sort(rng.integers(0, spread_ms, int(rng.integers(1, 150))))
    # Distinct quantities: two orders that agree in everything are one to the lake.
    sizes = rng.choice(np.arange(1, 20_000), times.size, replace=False)
    lean = rng.random()
    return [
        Order(
            ASSETS[int(rng.integers(2))],
            bool(rng.random() < lean),
            start_ms + int(at),
            Decimal(int(size)) / 1000,
            Decimal(int(rng.integers(10_000, 1_200_000))) / 10,
        )
        for at, size in zip(times, sizes, strict=True)
    ]


def _bybit(order: Order) -> dict[str, Any]:
    side = "Buy" if order.is_long else "Sell"
    entry = {
        "T": order.ms,
        "s": f"{order.asset}USDT",
        "S": side,
        "v": f"{order.quantity:f}",
        "p": f"{order.price:f}",
    }
    return {"topic": f"allLiquidation.{order.asset}USDT", "type": "snapshot", "ts": order.ms, "data": [entry]}


def _binance(order: Order) -> dict[str, Any]:
    entry = {
        "s": f"{order.asset}USDT",
        "S": "SELL" if order.is_long else "BUY",
        "o": "LIMIT",
        "f": "IOC",
        "q": f"{order.quantity:f}",
        "p": f"{order.price:f}",
        "ap": f"{order.price:f}",
        "X": "FILLED",
        "l": f"{order.quantity:f}",
        "z": f"{order.quantity:f}",
        "T": order.ms,
    }
    return {"e": "forceOrder", "E": order.ms, "o": entry}


def _sampled(orders: list[Order]) -> list[Order]:
    """Return the last order of every symbol and second."""
    return list({(o.asset, o.ms // 1000): o for o in orders}.values())


def _rows(stream: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for message in messages:
        for entry in parse(stream, message, TERMS):
            assert isinstance(entry, Liquidation), entry
            told = asdict(entry)
            identity = {name: told[name] for name in ("venue", "venue_symbol", "asset")}
            rows.append({**identity, **row_of(entry), "payload_sha256": "0" * 64})
    return rows


@pytest.mark.trial("bounds_of_sampled_liquidations")
def test_a_sampled_sum_is_never_above_the_truth_and_a_full_one_is_the_truth(
    run_dbt: Any, tmp_path: Path, trial_count: Callable[..., int]
) -> None:
    rng = np.random.default_rng(11)
    truth: dict[tuple[str, str, datetime], Decimal] = defaultdict(Decimal)
    counts: dict[tuple[str, str, datetime], int] = defaultdict(int)
    rows: list[dict[str, Any]] = []
    for burst in range(trial_count(10_000)):
        hour = FIRST_HOUR + timedelta(hours=burst)
        orders = _burst(rng, int(hour.replace(tzinfo=UTC).timestamp() * 1000))
        for o in orders:
            key = (o.asset, "long" if o.is_long else "short", hour)
            truth[key] += o.quantity * o.price
            counts[key] += 1
        rows += _rows("bybit_linear", [_bybit(o) for o in orders])
        rows += _rows("binance_usdm", [_binance(o) for o in _sampled(orders)])

    warehouse = _warehouse(rows, tmp_path / "warehouse.duckdb")
    result = run_dbt(
        warehouse,
        2,
        "build",
        "--select",
        "+fct_liquidations_hourly",
        "--resource-type",
        "seed",
        "--resource-type",
        "model",
    )
    broken = [(r.node.name, r.message) for r in result.result or () if r.status not in {"success", "pass"}]
    assert result.success, broken or result.exception
    with duckdb.connect(str(warehouse), read_only=True) as con:
        found = con.execute(
            "select venue, completeness_class, asset, position_side, interval_start_utc, notional_usd, liquidations_count"
            " from marts.fct_liquidations_hourly"
        ).fetchall()

    assert {(venue, kind) for venue, kind, *_ in found} == {("bybit", "full"), ("binance", "sampled")}
    full = {tuple(row[2:5]): (row[5], row[6]) for row in found if row[1] == "full"}
    assert full == {key: (usd, counts[key]) for key, usd in truth.items()}
    bounds = [(tuple(row[2:5]), row[5]) for row in found if row[1] == "sampled"]
    assert [key for key, usd in bounds if usd > truth[key]] == []
    # The sampler leaves something out: a bound that always equals the truth would show nothing.
    assert sum(usd for _, usd in bounds) < sum(truth.values())


def _warehouse(rows: list[dict[str, Any]], path: Path) -> Path:
    """Write a raw lake that holds liquidations alone."""
    at = pl.col("occurred_at_utc")
    table = RAW_TABLES["liquidations"]
    numbered = pl.DataFrame(rows, schema=table.raw_schema).with_row_index("row_count", 1)
    good, refused = table.split(numbered.with_columns(pl.col("row_count").cast(pl.Int64)), now=datetime(2030, 1, 1))
    assert refused.height == 0, refused.head()
    landed = good.with_columns(
        pl.lit("collector").alias("source"),
        at.dt.date().alias("capture_date_utc"),
        at.alias("ingested_at_utc"),
        pl.lit(True).alias("is_synthetic"),
    )
    frames = {
        name: landed if name == "liquidations" else pl.DataFrame(schema={**t.raw_schema, **LAKE_COLUMNS})
        for name, t in RAW_TABLES.items()
    }
    books = {name: pl.DataFrame(schema=schema) for name, schema in BOOKS.items()}
    return RawWorld({**frames, **books}).write(path)
