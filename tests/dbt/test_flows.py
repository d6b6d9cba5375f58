"""Flow and holder models over the made-up raw lake, against naive Python: streaks, holes, funds, the latest capture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from publisher_clients import PublisherBench

from assets.lake.transform import batches_of
from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.lake.views import create_raw_views
from pipelines.sandbox.etf_funds import fund_days, is_trading_day
from pipelines.sandbox.holders import holder_days
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World


def _latest(frame: pl.DataFrame, *day: str) -> pl.DataFrame:
    """Return the rows of each day's latest capture."""
    return frame.filter(pl.col("capture_date_utc") == pl.col("capture_date_utc").max().over(day))


def _naive_streaks(flows: dict[date, Decimal]) -> dict[date, tuple[int, int]]:
    """Return streak and missing trading days by walking through the calendar."""
    told: dict[date, tuple[int, int]] = {}
    streak, missing, before = 0, 0, None
    day = min(flows)
    while day <= max(flows):
        flow = flows.get(day)
        if flow is not None and (is_trading_day(day) or flow != 0):
            sign = (flow > 0) - (flow < 0)
            goes_on = before is not None and missing == 0 and sign == before
            streak = streak + sign if goes_on else sign
            told[day] = (streak, missing)
            missing, before = 0, sign
        elif is_trading_day(day):
            missing += 1
        day += timedelta(days=1)
    return told


def test_streaks_holes_and_sums_are_those_of_a_walk_through_the_calendar(warehouse: Any) -> None:
    frame = _latest(warehouse.world.frames["etf_flows"], "venue", "source", "asset", "flow_date_utc")
    flows: dict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
    for asset, fund, day, usd in frame.select("asset", "fund", "flow_date_utc", "net_flow_usd").rows():
        flows[asset, fund][day] = Decimal(repr(usd)).quantize(Decimal("0.0001"))
    wanted = set()
    for (asset, fund), told in flows.items():
        kept = _naive_streaks(told)
        days = sorted(kept)
        for i, day in enumerate(days):
            funds = sum(1 for (a, f), days_of in flows.items() if a == asset and f != "TOTAL" and day in days_of)
            wanted.add(
                (asset, fund, day, told[day], sum(told[d] for d in days[max(0, i - 4) : i + 1]), sum(told[d] for d in days[: i + 1]),
                 kept[day][0], is_trading_day(day), kept[day][1], funds)
            )  # fmt: skip
    rows = warehouse.rows(
        "select asset, fund, flow_date_utc, net_flow_usd, net_flow_5d_usd, cumulative_net_flow_usd, streak_count,"
        " is_trading_day, missing_trading_days_count, reporting_funds_count from marts.fct_etf_flows_daily"
    )
    assert set(rows) == wanted
    assert len(rows) == len(wanted)
    assert {r[-1] for r in rows if r[0] == "SOL"} == {1, 2}, "the second fund is younger"


@pytest.mark.parametrize(
    ("day", "expected", "observed", "status", "reason"),
    [
        # Labor Day: a figure dated to a day off.
        (date(2025, 9, 1), 0, 1, "unexpected", ""),
        # BTC's and SOL's totals and the older fund.
        (date(2025, 9, 2), 3, 3, "complete", ""),
        (date(2025, 9, 6), 0, 0, "complete", ""),
        (date(2025, 10, 1), 4, 4, "complete", ""),
        # Beyond the last record only totals are owed.
        (date(2025, 10, 15), 2, 0, "missing", "not_collected"),
    ],
)
def test_flows_are_owed_on_trading_days(
    day: date, expected: int, observed: int, status: str, reason: str, warehouse: Any
) -> None:
    rows = warehouse.rows(
        "select expected_rows_count, observed_rows_count, coverage_status, coverage_reason"
        f" from marts.fct_data_coverage_daily where dataset = 'etf_flows' and coverage_date_utc = '{day}'"
    )
    assert rows == [(expected, observed, status, reason)]


def test_holders_are_those_of_the_latest_capture(warehouse: Any) -> None:
    frame = _latest(warehouse.world.frames["holder_metrics"], "asset", "holder_date_utc").sort("holder_date_utc")
    told = {
        r["holder_date_utc"]: None
        if r["supply_active_1y_base"] is None
        else r["supply_base"] - r["supply_active_1y_base"]
        for r in frame.iter_rows(named=True)
    }
    rows = warehouse.rows(
        "select holder_date_utc, est_long_term_supply_base::double, est_long_term_supply_frac,"
        " est_long_term_supply_change_30d_base::double, exchange_net_inflow_usd, terms_note"
        " from marts.fct_holder_supply_daily order by 1"
    )
    assert [r[0] for r in rows] == sorted(told)
    for day, held, share, change, net, terms in rows:
        if told[day] is None:
            assert (held, share, change) == (None, None, None)
            continue
        before = told.get(day - timedelta(days=30))
        assert held == pytest.approx(told[day], abs=1e-6)
        assert 0 < share < 1
        assert (change is None) == (before is None)
        assert change is None or change == pytest.approx(told[day] - before, abs=1e-6)
        assert net == Decimal(-100_000_000)
        assert terms.startswith("CC BY-NC")
    assert sum(v is None for v in told.values()) == 1


def test_holders_are_owed_every_day(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select coverage_status, coverage_reason, count(*) from marts.fct_data_coverage_daily"
        " where dataset = 'holder_metrics' group by all order by all"
    )
    # Sixty days before the exchanges' first and forty-four of theirs; their last day is not told yet.
    assert rows == [("complete", "", 104), ("missing", "not_collected", 1)]


SOURCES = {"farside": "etf_flows", "coin_metrics": "holder_metrics"}
MODELS = (
    "staging/lake/stg_lake__etf_flows",
    "staging/lake/stg_lake__holder_metrics",
    "intermediate/flows/int_etf_flows_ranked",
    "intermediate/flows/int_holder_metrics_ranked",
    "marts/flows/fct_etf_flows_daily",
    "marts/flows/fct_holder_supply_daily",
)


def _look(sandbox: Sandbox, folder: Path, now: datetime, spoiled: Callable[[Any], Any] | None = None) -> Lake:
    """Fetch from both publishers at an instant, and land what they show."""
    clock = FixedClock(now)
    lake = Lake(folder / "lake", clock=clock, code_version="1.0")
    for venue, dataset in SOURCES.items():
        client = PublisherBench(sandbox, venue, now, spoiled=spoiled).client
        capture = client.fetch(dataset, now.date(), now.date())
        lake.commit(
            batches_of(
                capture, dataset=dataset, venue=venue, source=client.source, days=[now.date()], now=now, is_synthetic=True
            )
        )  # fmt: skip
    return lake


def _mart(warehouse: Any, lake: Lake, query: str, as_of: datetime | None = None) -> list[tuple[Any, ...]]:
    """Return what a query sees after the models' own SQL has run over a lake."""
    path = lake.root / "warehouse.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        create_raw_views(con, lake, as_of=as_of)
        con.execute(f"attach '{warehouse.path}' as built (read_only)")
        for schema in ("staging", "intermediate", "seeds", "marts"):
            con.execute(f"create schema {schema}")
        for table in ("seeds.source_ranks", "seeds.us_market_closures", "marts.dim_venues"):
            con.execute(f"create table {table} as select * from built.{table}")
        for model in MODELS:
            sql = (warehouse.target / "compiled" / "lowtide" / "models" / f"{model}.sql").read_text()
            schema, _, name = model.partition("/")
            con.execute(f"create table {schema}.{name.rpartition('/')[2]} as {sql}")
        return con.execute(query).fetchall()


def test_the_mart_is_the_world_and_a_revision_does_not_reach_back(warehouse: Any, tmp_path: Path) -> None:
    """Pages over HTTP, raw Parquet, staging and mart; a figure revised a day later is not in a view as of before."""
    world = World(1, date(2025, 9, 1), 4, assets=("BTC",))
    first, second = datetime(2025, 9, 3, 12), datetime(2025, 9, 4, 12)
    last = [d for d in fund_days(world, "BTC") if d.day < first.date()][-1]
    printed = (last.tenths["IBIT"], last.total)

    def revise(body: Any) -> Any:
        """Add a hundred million to a fund and to the total of one day, as publishers do without a word."""
        if not isinstance(body, str) or "<title>Bitcoin" not in body:
            return body
        head, mark, tail = body.partition(f">{last.day.day:02d} Sep 2025<")
        row, end, rest = tail.partition("</tr>")
        for tenths in printed:
            old, new = (f"{abs(t) / 10:,.1f}" for t in (tenths, tenths + 1_000))
            assert tenths > 0 and row.count(f">{old}<") == 1
            row = row.replace(f">{old}<", f">{new}<")
        return head + mark + row + end + rest

    flows = "select asset, fund, flow_date_utc, net_flow_usd::bigint from marts.fct_etf_flows_daily"
    holders = "select asset, holder_date_utc, market_cap_usd::double, mvrv_x from marts.fct_holder_supply_daily"
    with serve(world, now=first) as sandbox:
        lake = _look(sandbox, tmp_path, first)
        before = {r[:3]: r[3] for r in _mart(warehouse, lake, flows)}
        lake = _look(sandbox, tmp_path, second, revise)
    assert {key: usd for key, usd in before.items() if key[0] == "BTC"} == {
        ("BTC", fund, d.day): tenths * 100_000
        for d in fund_days(world, "BTC")
        if d.day < first.date()
        for fund, tenths in {**d.tenths, "TOTAL": d.total}.items()
    }
    after = {r[:3]: r[3] for r in _mart(warehouse, lake, flows)}
    changed = {key[1]: after[key] - usd for key, usd in before.items() if after[key] != usd}
    assert changed == {"IBIT": 100_000_000, "TOTAL": 100_000_000}
    assert {r[:3]: r[3] for r in _mart(warehouse, lake, flows, as_of=first)} == before
    told = {(a, d): (cap, mvrv) for a, d, cap, mvrv in _mart(warehouse, lake, holders)}
    assert set(told) == {(a, d.day) for a in ("BTC", "ETH") for d in holder_days(world, a) if d.day < second.date()}
    for d in holder_days(world, "BTC")[:-1]:
        assert told["BTC", d.day] == (pytest.approx(d.market_cap_usd, abs=1e-3, rel=1e-12), d.mvrv_x)
