"""Replays of event days: which asset-days, which variants, and rows that agree with each other and with the schema."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest

from assets.cascade import frames
from assets.cascade.params import EVENT_LEAST_MOVE_FRAC
from assets.cascade.replays import replay_rows
from quality.schemas.sim import REPLAYS

# Tables of a thousand draws; interpreted kernels are held to the oracles.
pytestmark = pytest.mark.compiled

DAY = date(2025, 10, 9)
NEXT = DAY + timedelta(days=1)
Build = Callable[..., duckdb.DuckDBPyConnection]
Rows = dict[str, list[dict[str, Any]]]


def _next_day(world: Rows, moves: dict[str, list[float]]) -> Rows:
    """Add hours of the next day whose closes are the last close times 1 + move; lows and highs span the step."""
    for asset, steps in moves.items():
        last = [r for r in world["fct_prices_hourly"] if r["asset"] == asset and r["interval_start_utc"].date() == DAY][
            -1
        ]
        before = last["close_quote"]
        for hour, move in enumerate(steps):
            close = last["close_quote"] * (1 + move)
            start = datetime(NEXT.year, NEXT.month, NEXT.day, hour)
            world["fct_prices_hourly"].append(
                last
                | {
                    "interval_start_utc": start,
                    "interval_end_utc": start + timedelta(hours=1),
                    "open_quote": before,
                    "low_quote": min(before, close),
                    "high_quote": max(before, close),
                    "close_quote": close,
                }
            )
            before = close
    return world


FALL = [-0.01, -0.03, -0.12, -0.2, -0.15, -0.1]


def _replays(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    return frames.stress_frames(con, NEXT).replays


def test_only_assets_that_moved_by_an_events_size_are_replayed(build_marts: Build, world: Rows) -> None:
    calm = [0.001, -EVENT_LEAST_MOVE_FRAC + 0.001, 0.002]
    found = _replays(build_marts(_next_day(world, {"BTC": FALL, "ETH": calm})))
    assert found["asset"].unique().to_list() == ["BTC"]
    assert found["position_side"].unique().to_list() == ["long"]
    assert tuple(found.columns) == REPLAYS.columns
    assert found.select(REPLAYS.grain).is_unique().all()


def test_a_squeeze_is_an_event_of_shorts(build_marts: Build, world: Rows) -> None:
    found = _replays(build_marts(_next_day(world, {"ETH": [0.02, 0.1, 0.08]})))
    assert found["position_side"].unique().to_list() == ["short"]
    driven = found.filter(pl.col("variant") == "path|baseline")
    assert driven["sim_forced_short_base"].sum() > 0


def test_a_path_forces_longs_on_the_way_down_and_a_leverage_cap_spares_them_at_first(
    build_marts: Build, world: Rows
) -> None:
    found = _replays(build_marts(_next_day(world, {"BTC": FALL})))
    early = found.filter(pl.col("interval_start_utc") < datetime(2025, 10, 10, 2))  # a fall of 3 %
    forced = dict(early.group_by("variant").agg(pl.col("sim_forced_long_base").cast(pl.Float64).sum()).iter_rows())
    assert 0 <= forced["path|leverage_cap_10x"] < forced["path|baseline"]
    driven = found.filter(pl.col("variant") == "path|baseline")
    assert driven["sim_mark_quote"].to_list() == driven["close_quote"].to_list()
    assert driven["sim_depth_survival_frac"].null_count() == driven.height
    # A day without hours of minutes has no breaker and no mean over minutes.
    assert not any("breaker" in v or "twap" in v for v in forced)


def test_without_the_impact_of_forced_orders_the_fall_is_smaller(build_marts: Build, world: Rows) -> None:
    found = _replays(build_marts(_next_day(world, {"BTC": FALL})))
    lifted = found.filter(pl.col("variant") == "counterfactual|baseline")
    assert lifted.height == 4  # up to the trough
    assert lifted["sim_mark_quote"][-1] > lifted["close_quote"][-1]
    share = lifted["sim_endogenous_share_frac"].unique().to_list()
    assert len(share) == 1
    assert share[0] is None or share[0] > 0
    assert lifted["sim_forced_long_usd"].null_count() == lifted.height


def test_a_free_run_begins_on_the_observed_path_and_is_harsher_with_less_depth(build_marts: Build, world: Rows) -> None:
    found = _replays(build_marts(_next_day(world, {"BTC": FALL})))
    free = {
        policy: found.filter(pl.col("variant") == f"free|{policy}")["sim_mark_quote"].min()
        for policy in ("baseline", "depth_plus_50")
    }
    assert free["baseline"] <= free["depth_plus_50"]


def test_the_day_before_must_have_a_state(build_marts: Build, world: Rows) -> None:
    world["fct_open_interest_hourly"] = []
    assert replay_rows(build_marts(_next_day(world, {"BTC": FALL})), NEXT) == []


@pytest.mark.parametrize("mart", ["fct_prices_hourly", "fct_open_interest_hourly"])
def test_one_synthetic_input_makes_a_replay_synthetic(build_marts: Build, world: Rows, mart: str) -> None:
    _next_day(world, {"BTC": FALL})
    for row in world[mart]:
        row["is_synthetic"] = row["asset"] == "BTC"
    assert _replays(build_marts(world))["is_synthetic"].all()


def test_a_day_that_does_not_follow_its_state_hour_by_hour_is_not_replayed(build_marts: Build, world: Rows) -> None:
    _next_day(world, {"BTC": FALL, "ETH": FALL})
    hours = world["fct_prices_hourly"]
    hours.remove(next(r for r in hours if r["asset"] == "BTC" and r["interval_start_utc"] == datetime(2025, 10, 10, 2)))
    assert set(_replays(build_marts(world))["asset"]) == {"ETH"}
    last = next(r for r in hours if r["asset"] == "ETH" and r["interval_start_utc"] == datetime(2025, 10, 9, 23))
    hours.remove(last)  # the state then ends an hour before the day begins
    assert _replays(build_marts(world)).is_empty()


def test_the_free_run_is_given_a_fifth_of_the_move_and_no_wick(build_marts: Build, world: Rows) -> None:
    one_wick = _next_day(world, {"BTC": [-0.12, -0.02, -0.02]})
    found = _replays(build_marts(one_wick)).filter(pl.col("variant") == "free|baseline")
    start = float(found["reference_price_quote"][0])
    # Reached in the first hour: the shock is 2.4 % of the fall of 12 %, and the feedback of that alone comes on top.
    assert float(found["sim_mark_quote"][0]) <= start * (1 - 0.2 * 0.12) + 1e-6
    assert float(found["sim_mark_quote"].max()) > start * (1 - 0.12)


def test_the_share_of_feedback_lies_between_the_fixed_point_and_one_pass(build_marts: Build, world: Rows) -> None:
    lifted = _replays(build_marts(_next_day(world, {"BTC": FALL}))).filter(
        pl.col("variant") == "counterfactual|baseline"
    )
    low, first = lifted["sim_endogenous_share_low_frac"][0], lifted["sim_endogenous_share_first_frac"][0]
    assert 0 < low <= first
