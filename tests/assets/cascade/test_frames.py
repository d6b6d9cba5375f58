"""From marts to sim tables: states and reasons, rows that keep the schema and the identity, writing, the one question."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.cascade import frames
from assets.cascade.market_side import MarketSide
from assets.cascade.params import (
    DEPTH_PRIOR,
    REPORTED_SHOCKS_FRAC,
    SCALED_DEPTH_NAME,
    SETTINGS,
    TIER_PRIOR,
    asked_settings,
)
from assets.cascade.simulate import Scenario, replay_static
from quality.schemas.sim import BRANCHING_PROFILES, CRITICAL_SHOCKS, SIM_DAY_COLUMN, SIM_TABLES, STRESS_SCENARIOS

# Tables of a thousand draws; interpreted kernels are held to the oracles.
pytestmark = pytest.mark.compiled

DAY = date(2025, 10, 9)
LAST_HOUR = datetime(2025, 10, 9, 23)
Build = Callable[..., duckdb.DuckDBPyConnection]
Rows = dict[str, list[dict[str, Any]]]


def states(con: duckdb.DuckDBPyConnection) -> dict[str, frames.MarketState]:
    return {s.asset: s for s in frames.market_states(con, DAY)}


# --- states ---


def test_assets_without_a_state_are_left_out_with_the_reason(build_marts: Build) -> None:
    found = frames.survey(build_marts(), DAY)
    assert [s.asset for s in found.states] == ["BTC", "ETH"]
    assert found.left_out == [
        ("GONE", "no_price"),
        ("NIL", "no_open_interest_in_base"),
        ("NONE", "no_open_interest"),
        ("OLD", "stale_open_interest"),
    ]


def test_open_interest_is_the_latest_fresh_one_of_each_instrument(build_marts: Build) -> None:
    btc = states(build_marts())["BTC"]
    assert btc.open_interest_base == Decimal("40000")
    assert btc.venues == ("alpha", "beta")
    assert btc.reference_price_quote == Decimal("120000.00")


def test_a_day_knows_nothing_of_the_days_after_it(build_marts: Build, world: Rows) -> None:
    before = states(build_marts(world))["BTC"]
    later = [
        {**r, "interval_start_utc": r["interval_start_utc"] + timedelta(days=1)} for r in world["fct_prices_hourly"]
    ]
    world["fct_prices_hourly"] += [r for r in later if r["interval_start_utc"].date() > DAY]
    after = states(build_marts(world))["BTC"]
    assert before.reference_price_quote == after.reference_price_quote
    assert before.entries.price_quote.tolist() == after.entries.price_quote.tolist()


def test_depth_is_measured_where_the_books_cover_the_fuel_venues(build_marts: Build) -> None:
    found = states(build_marts())
    assert (found["ETH"].bid_depth.origin, found["ETH"].bid_depth.prior) == ("measured", None)
    assert found["ETH"].bid_depth.curves[0].distance_frac == (0.005, 0.01, 0.02)  # the unseen band is missing, not 0
    assert (found["BTC"].bid_depth.origin, found["BTC"].bid_depth.prior) == ("prior", DEPTH_PRIOR.name)


def test_nothing_later_than_the_last_price_is_known(build_marts: Build, world: Rows) -> None:
    hours = world["fct_prices_hourly"]
    hours.remove(next(r for r in hours if r["asset"] == "BTC" and r["interval_start_utc"] == LAST_HOUR))
    btc = states(build_marts(world))["BTC"]
    assert btc.cut_off_utc == LAST_HOUR
    # alpha's figure of the last hour came after the last price, and the one before it is too old.
    assert (btc.venues, btc.open_interest_base) == (("beta",), Decimal("10000"))


def test_partly_covered_fuel_scales_depth_and_says_so(build_marts: Build, world: Rows) -> None:
    book = [{**r, "asset": "BTC"} for r in world["fct_depth_hourly"]]
    world["fct_depth_hourly"] += [{**r, "instrument_id": "alpha:BTC:2020-01-01"} for r in book]
    btc = states(build_marts(world))["BTC"]
    assert (btc.bid_depth.origin, btc.bid_depth.prior) == ("measured", f"{SCALED_DEPTH_NAME}|measured=0.75")


def test_a_book_from_before_the_session_is_not_used(build_marts: Build, world: Rows) -> None:
    for row in world["fct_depth_hourly"]:
        row["interval_start_utc"] = LAST_HOUR - timedelta(hours=7)
    assert states(build_marts(world))["ETH"].bid_depth.origin == "prior"


def test_missing_volume_weighs_hours_equally_and_every_row_says_so(build_marts: Build, world: Rows) -> None:
    world["fct_prices_hourly"][5]["volume_base"] = None  # one hour of BTC
    stress = frames.stress_frames(build_marts(world), DAY).stress
    priors = dict(stress.select("asset", "fuel_prior").unique().iter_rows())
    assert priors == {"BTC": f"{TIER_PRIOR.name}|equal_hours", "ETH": TIER_PRIOR.name}


@pytest.mark.parametrize("mart", ["fct_prices_hourly", "fct_open_interest_hourly", "fct_depth_hourly"])
def test_one_synthetic_input_makes_the_rows_synthetic(build_marts: Build, world: Rows, mart: str) -> None:
    next(r for r in world[mart] if r["asset"] == "ETH")["is_synthetic"] = True
    found = frames.stress_frames(build_marts(world), DAY)
    for frame in found[:3]:
        assert dict(frame.select("asset", "is_synthetic").unique().iter_rows()) == {"BTC": False, "ETH": True}


# --- frames ---


def test_frames_have_the_columns_types_and_grain_of_the_schema(build_marts: Build) -> None:
    found = frames.stress_frames(build_marts(), DAY)
    for table, frame, rows in (
        (STRESS_SCENARIOS, found.stress, 2 * 2 * len(SETTINGS) * len(REPORTED_SHOCKS_FRAC)),
        (CRITICAL_SHOCKS, found.critical, 2 * 2 * len(SETTINGS)),
        (BRANCHING_PROFILES, found.branching, 2 * 2 * 2 * 100),
    ):
        assert tuple(frame.columns) == table.columns
        assert frame.height == rows
        assert frame.select(table.grain).is_unique().all()
        assert_frame_equal(frame, frame.sort(table.grain))
        for f in table.fields:
            if f.name not in table.nullable:
                assert frame[f.name].null_count() == 0, f.name
            if frame[f.name].dtype == pl.Float64:
                assert frame[f.name].drop_nulls().is_finite().all(), f.name


def test_lots_are_conserved_exactly_in_the_table(build_marts: Build) -> None:
    stress = frames.stress_frames(build_marts(), DAY).stress
    parts = pl.col("sim_sold_base") + pl.col("sim_not_sold_base") + pl.col("sim_unabsorbed_base")
    assert stress.filter(pl.col("sim_forced_base") != parts).is_empty()
    assert stress["sim_forced_base"].sum() > 0


def test_figures_of_a_row_agree_with_each_other(build_marts: Build) -> None:
    for r in frames.stress_frames(build_marts(), DAY).stress.iter_rows(named=True):
        trough, p0 = float(r["sim_trough_price_quote"]), float(r["reference_price_quote"])
        move = 1 - trough / p0 if r["position_side"] == "long" else trough / p0 - 1
        assert move == pytest.approx(r["sim_move_frac"], abs=1e-9)
        # Trough prices are on the 1e-8 lattice; a double of 1e5 resolves no finer than 1e-11.
        assert r["sim_move_frac"] >= r["shock_frac"] - 1e-12
        assert r["sim_amplification_x"] == pytest.approx(r["sim_move_frac"] / r["shock_frac"])
        held = float(r["fuel_open_interest_usd"]) / p0
        assert r["sim_forced_frac"] == pytest.approx(float(r["sim_forced_base"]) / held, rel=1e-6)
        assert r["sim_forced_frac"] <= r["fuel_weight_frac"] + 1e-6
        if r["sim_average_fill_quote"] is not None:
            value = float(r["sim_average_fill_quote"] * r["sim_sold_base"])
            sign = 1 if r["position_side"] == "long" else -1
            slippage = sign * (float(r["sim_forced_notional_usd"]) - value)
            if r["sim_sold_base"] == r["sim_forced_base"]:
                assert slippage == pytest.approx(float(r["sim_slippage_usd"]), rel=1e-6, abs=1.0)


def test_measured_depth_within_one_per_cent_is_the_band(build_marts: Build) -> None:
    critical = frames.stress_frames(build_marts(), DAY).critical.filter(pl.col("asset") == "ETH")
    price = 4_300.0
    for r in critical.iter_rows(named=True):
        base = 6_000.0 if r["position_side"] == "long" else 12_000.0
        assert float(r["depth_100bps_usd"]) == pytest.approx(base * price * r["depth_survival_frac"], rel=1e-6)


def test_censored_critical_shocks_are_missing_and_flagged(build_marts: Build) -> None:
    critical = frames.stress_frames(build_marts(), DAY).critical
    for name in ("soft", "jump"):
        missing = critical[f"sim_{name}_shock_frac"].is_null()
        assert (missing == critical[f"is_{name}_censored"]).all()
    assert critical["is_jump_censored"].any()


def test_less_depth_is_never_safer_in_the_table(build_marts: Build) -> None:
    stress = frames.stress_frames(build_marts(), DAY).stress.filter(pl.col("shock_kind") == "sell")
    key = ["asset", "position_side", "shock_frac"]
    full = stress.filter(pl.col("depth_survival_frac") == 1.0).select(*key, pl.col("sim_move_frac").alias("full"))
    thin = stress.filter(pl.col("depth_survival_frac") < 1.0).join(full, on=key)
    assert thin.height == full.height
    assert (thin["sim_move_frac"] >= thin["full"]).all()


def test_branching_of_a_window_is_fuel_over_depth(build_marts: Build) -> None:
    con = build_marts()
    markets = states(con)
    rows = frames.stress_frames(con, DAY).branching.sort("asset", "position_side", "setting", "window_start_frac")
    is_waterfall = 0
    for (asset, side), of_side in rows.group_by("asset", "position_side"):
        on = MarketSide(markets[str(asset)], side, TIER_PRIOR)
        book = on.book(0.875)
        distance = np.abs(1.0 - on.fuel.trigger_ticks / on.mark_ticks)
        is_ahead = (on.fuel.trigger_ticks < on.mark_ticks) == (side == "long")
        for r in of_side.iter_rows(named=True):
            start, end = r["window_start_frac"], r["window_end_frac"]
            burnt = on.fuel.quantity_lots[is_ahead & (distance > start) & (distance <= end)].sum()
            # Rows every 5 bps: the row of a move of u is the (u / 5 bps)-th.
            shallow, deep = (0 if u == 0 else book.cumulative_lots[round(u * 2000) - 1] for u in (start, end))
            by_hand = burnt / (r["depth_survival_frac"] * (deep - shallow))
            assert r["sim_branching_x"] == pytest.approx(by_hand, rel=1e-12, abs=0), (asset, side, start)
            assert r["is_waterfall"] == (by_hand > 1)
            is_waterfall += r["is_waterfall"]
    assert 0 < is_waterfall < rows.height


def test_same_marts_give_the_same_bytes_on_any_threads_in_any_order(build_marts: Build) -> None:
    first = frames.stress_frames(build_marts(threads=1, seed=1), DAY, threads=1)
    for threads, seed in ((2, 2), (8, 3)):
        other = frames.stress_frames(build_marts(threads=threads, seed=seed), DAY, threads=threads)
        for (table, one), (_, another) in zip(first.tables(), other.tables(), strict=True):
            assert_frame_equal(one, another, check_exact=True)
            assert one.height > 0 or table.name == "replays"
        assert first.left_out == other.left_out


def test_empty_marts_give_empty_frames(build_marts: Build, world: Rows) -> None:
    found = frames.stress_frames(build_marts({name: [] for name in world}), DAY)
    assert [frame.height for _, frame in found.tables()] == [0, 0, 0, 0, 0]
    assert found.left_out == []
    assert tuple(found.stress.columns) == STRESS_SCENARIOS.columns


# --- writing ---


def _types(con: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str, str]]:
    sql = """
    select column_name, data_type, is_nullable from information_schema.columns
    where table_schema = 'sim' and table_name = ? order by ordinal_position
    """
    return con.execute(sql, [name]).fetchall()


def test_sim_tables_are_typed_as_the_schema_says(build_marts: Build) -> None:
    con = build_marts()
    frames.ensure_sim_tables(con)
    frames.ensure_sim_tables(con)
    for table in SIM_TABLES.values():
        expected = [(f.name, f.sql_type, "YES" if f.name in table.nullable else "NO") for f in table.fields]
        assert _types(con, table.name) == expected


def test_writing_a_day_twice_replaces_it_and_leaves_other_days(build_marts: Build) -> None:
    con = build_marts()
    found = frames.stress_frames(con, DAY)
    other = DAY - timedelta(days=1)
    moved = [f.with_columns(pl.lit(other).alias(SIM_DAY_COLUMN[t.name])) for t, f in found.tables()]
    frames.write_sim(con, other, frames.StressFrames(*moved, []))
    for _ in range(2):
        frames.write_sim(con, DAY, found)
    sql = "select scenario_date_utc, count(*) from sim.stress_scenarios group by all order by all"
    assert con.execute(sql).fetchall() == [(other, found.stress.height), (DAY, found.stress.height)]
    written = con.execute(
        "select * from sim.stress_scenarios where scenario_date_utc = ? order by " + ", ".join(STRESS_SCENARIOS.grain),
        [DAY],
    ).pl()
    assert_frame_equal(written, found.stress, check_exact=True)


def test_a_failed_write_leaves_the_day_as_it_was(build_marts: Build) -> None:
    con = build_marts()
    found = frames.stress_frames(con, DAY)
    frames.write_sim(con, DAY, found)
    broken = found.critical.with_columns(pl.lit(None, pl.String).alias("fuel_venues"))
    with pytest.raises(duckdb.ConstraintException, match="fuel_venues"):
        frames.write_sim(con, DAY, found._replace(stress=found.stress.head(1), critical=broken))
    assert con.execute("select count(*) from sim.stress_scenarios").fetchone() == (found.stress.height,)
    frames.write_sim(con, DAY, found._replace(stress=found.stress.head(1)))
    assert con.execute("select count(*) from sim.stress_scenarios").fetchone() == (1,)


def test_rows_of_another_day_are_refused(build_marts: Build) -> None:
    con = build_marts()
    found = frames.stress_frames(con, DAY)
    with pytest.raises(ValueError, match=r"sim\.stress_scenarios: a row of 2025-10-09 among those of 2025-10-08"):
        frames.write_sim(con, DAY - timedelta(days=1), found)


# --- one question ---


@pytest.mark.parametrize("day", [DAY, None])
def test_what_if_answers_as_the_table_does(build_marts: Build, day: date | None) -> None:
    con = build_marts()
    answer = frames.what_if(con, "BTC", day, 0.1, "long")
    table = frames.stress_frames(con, DAY).stress.filter(
        (pl.col("asset") == "BTC") & (pl.col("position_side") == "long") & (pl.col("shock_frac") == 0.1)
    )
    assert sorted(answer, key=lambda r: r["setting"]) == table.to_dicts()


@pytest.mark.parametrize(
    ("asset", "day", "message"),
    [
        ("NONE", DAY, r"NONE on 2025-10-09: no replay \(no_open_interest\)"),
        ("XYZ", DAY, r"XYZ on 2025-10-09: no replay \(unknown_asset\)"),
        ("XYZ", None, r"XYZ: no open interest on any day"),
        ("BTC", DAY + timedelta(days=9), r"BTC on 2025-10-18: no replay \(no_price\)"),
    ],
)
def test_what_if_says_why_there_is_no_answer(build_marts: Build, asset: str, day: date | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frames.what_if(build_marts(), asset, day, 0.1, "long")


def test_what_if_refuses_an_unlawful_shock(build_marts: Build) -> None:
    with pytest.raises(ValueError, match=r"shocks_frac\[0\] = 1\.5: a downward shock must be inside"):
        frames.what_if(build_marts(), "BTC", DAY, 1.5, "long")
    assert len(frames.what_if(build_marts(), "BTC", DAY, 1.5, "short")) == len(SETTINGS)


def test_what_if_replays_the_settings_that_were_asked(build_marts: Build) -> None:
    con = build_marts()
    (row,) = frames.what_if(con, "ETH", DAY, 0.1, "long", settings=asked_settings("sell", 0.5, 0.6), n_draws=20)
    assert row["setting"] == "sell|W=0.50|g=0.60|phi=1.00|estimated|given=W,g"
    assert (row["depth_survival_frac"], row["impact_exponent_x"], row["draws_count"]) == (0.5, 0.6, 20)
    assert float(row["depth_100bps_usd"]) == pytest.approx(0.5 * 6_000 * 4_300.0, rel=1e-6)
    on = MarketSide(states(con)["ETH"], "long", TIER_PRIOR)
    (end,) = replay_static(on.mark_ticks, on.book(0.6), on.fuel, [Scenario(0.1, "sell", "long", 0.5)])
    assert row["sim_move_frac"] == 1.0 - end.mark_ticks / on.mark_ticks
    assert row["sim_forced_base"] == on.base(end.forced_lots)
    # A given W stands in for both survivals of the published settings, a given g is not drawn.
    both = frames.what_if(con, "ETH", DAY, 0.1, "long", settings=asked_settings(None, 0.5, None), n_draws=20)
    assert [r["setting"] for r in both] == [
        f"{kind}|W=0.50|g=0.875|phi=1.00|estimated|given=W" for kind in ("sell", "reprice")
    ]


def test_a_leverage_cap_moves_fuel_away_from_the_price(build_marts: Build) -> None:
    con = build_marts()
    forced = {}
    for cap in (None, 10.0, 1.0):
        rows = frames.what_if(con, "BTC", DAY, 0.05, "long", leverage_cap_x=cap, n_draws=50)
        prior = TIER_PRIOR.name if cap is None else f"{TIER_PRIOR.name}|leverage<={cap:.2f}"
        assert {r["fuel_prior"] for r in rows} == {prior}
        assert [r["fuel_weight_frac"] for r in rows] == pytest.approx([TIER_PRIOR.weight_frac] * len(rows))
        forced[cap] = [float(r["sim_forced_notional_usd"]) for r in rows]
        forced[cap, "p95"] = [float(r["sim_forced_notional_p95_usd"]) for r in rows]
    assert all(a > b for a, b in zip(forced[None], forced[10.0], strict=True))
    assert all(a > b for a, b in zip(forced[None, "p95"], forced[10.0, "p95"], strict=True))
    # A long without leverage has no liquidation price: nothing is forced, in no draw.
    assert forced[1.0] == forced[1.0, "p95"] == [0.0] * len(SETTINGS)


@pytest.mark.parametrize("cap", [0.5, 0.0, -3.0, float("nan"), float("inf")])
def test_a_leverage_cap_that_is_none_is_refused(build_marts: Build, cap: float) -> None:
    with pytest.raises(ValueError, match=r"^leverage_cap_x = .*: must be finite and at least 1"):
        frames.what_if(build_marts(), "BTC", DAY, 0.05, "long", leverage_cap_x=cap)
