"""Flow and holder models over the made-up raw lake, against naive Python: streaks, holes, funds, the latest capture."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from pipelines.sandbox.etf_funds import is_trading_day


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
    assert rows == [("complete", "", 44), ("missing", "not_collected", 1)]
