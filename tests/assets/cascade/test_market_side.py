"""A market side and its grid: the central estimate is the static replay, and every quantile is a rank of single replays.

Belongs here: ``market_side.py``, and the quantile columns of ``frames.py`` against a loop of `replay_static` over the draws. Does
not: the grid on random worlds (``test_grid_oracle.py``), the law of the draws (``test_uncertainty.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from itertools import product

import duckdb
import numpy as np
import pytest

from assets.cascade import frames
from assets.cascade.critical import critical_shock
from assets.cascade.grid import Grid, GridCounts, replay_grid
from assets.cascade.market_side import MarketSide
from assets.cascade.params import (
    CRITICAL_RULE,
    DRAW_LAW,
    POSITION_SIDES,
    REPORTED_SHOCKS_FRAC,
    SEARCH_MAX_SHOCK_FRAC,
    SEARCH_STEP_BPS,
    SETTINGS,
    TIER_PRIOR,
    PositionSide,
    Setting,
)
from assets.cascade.simulate import Book, Fuel, Scenario, replay_static, sweep_static
from assets.cascade.state import MarketState, market_states
from assets.cascade.uncertainty import Draws, draw, exponents_x, survivals_frac, weights_frac

# Tables of a thousand draws; interpreted kernels are held to the oracles.
pytestmark = pytest.mark.compiled

DAY = date(2025, 10, 9)
Build = Callable[..., duckdb.DuckDBPyConnection]
# A bin of money is 1.6 % wide and its middle stands for it.
BIN_ERROR = 0.0081
SHOCKS = list(REPORTED_SHOCKS_FRAC)
EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name("estimated"))
# BTC's depth is the prior's and drawn too, ETH's is measured.
EVERY_SIDE = pytest.mark.parametrize(("asset", "side"), [*product(("BTC", "ETH"), POSITION_SIDES)])


@pytest.fixture
def market(build_marts: Build) -> Callable[[str, PositionSide], MarketSide]:
    states = {s.asset: s for s in market_states(build_marts(), DAY)}
    return lambda asset, side: MarketSide(states[asset], side, TIER_PRIOR)


def drawn(state: MarketState, n: int) -> Draws:
    return draw(DRAW_LAW, state.day, state.asset, n, n_tiers=len(TIER_PRIOR.tiers), n_windows=3)


def central_draws(n: int = 1) -> Draws:
    """Return draws in which every factor is 1 and the window the central one; g has no slice in the middle."""
    none = np.zeros(n, dtype=np.int64)
    return Draws(np.ones((n, len(TIER_PRIOR.tiers))), none, none, np.ones(n), np.zeros(n))


def scenarios(setting: Setting, side: PositionSide, survival: float | None = None) -> list[Scenario]:
    w = setting.depth_survival_frac if survival is None else survival
    return [Scenario(s, setting.shock_kind, side, w, setting.sold_share_frac) for s in SHOCKS]


def counts_of(on: MarketSide, grid: Grid, setting: Setting) -> GridCounts:
    return replay_grid(grid, SHOCKS, setting.shock_kind, money_unit_ticklots=on.usd_ticklots, with_rounds=True)


def assert_same_as_static(on: MarketSide, grid: Grid, setting: Setting) -> None:
    """Hold a grid of one draw to the static replay of the central fuel and book: marks, lots, rounds."""
    counts = counts_of(on, grid, setting)
    outcomes = replay_static(on.mark_ticks, on.book(setting.impact_exponent_x), on.fuel, scenarios(setting, on.side))
    assert counts.place_quantile(1.0)[:, 0].tolist() == [o.mark_ticks for o in outcomes]
    assert counts.part_lots[:, 0].sum(axis=1).tolist() == [o.forced_lots for o in outcomes]
    assert counts.unabsorbed_lots[:, 0].tolist() == [o.unabsorbed_lots for o in outcomes]
    assert counts.rounds_quantile(1.0)[:, 0].tolist() == [o.rounds for o in outcomes]
    notional = [o.forced_notional_ticklots for o in outcomes]
    np.testing.assert_allclose(counts.notional_quantile(1.0)[:, 0], notional, rtol=BIN_ERROR)
    assert any(o.forced_lots > 0 for o in outcomes)


# --- the central estimate ---


@EVERY_SETTING
@EVERY_SIDE
def test_the_central_grid_is_the_static_replay(
    market: Callable[..., MarketSide], asset: str, side: PositionSide, setting: Setting
) -> None:
    on = market(asset, side)
    assert_same_as_static(on, on.central_grid(setting), setting)


@EVERY_SETTING
@EVERY_SIDE
def test_a_draw_whose_factors_are_one_is_the_central_estimate(
    market: Callable[..., MarketSide], asset: str, side: PositionSide, setting: Setting
) -> None:
    on = market(asset, side)
    law = replace(DRAW_LAW, exponent_sd_x=0.0, depth_high_x=1.0)
    assert_same_as_static(on, on.drawn_grid([setting], law, central_draws()), setting)


@EVERY_SETTING
def test_a_book_tabulated_at_the_upper_end_of_the_prior_ends_within_a_row(
    market: Callable[..., MarketSide], setting: Setting
) -> None:
    # Twice the depth at half the W: the floors of single lots fall elsewhere, one part in a billion of open interest.
    for side in POSITION_SIDES:
        on = market("BTC", side)
        law = replace(DRAW_LAW, exponent_sd_x=0.0)
        counts = counts_of(on, on.drawn_grid([setting], law, central_draws()), setting)
        book = on.book(setting.impact_exponent_x)
        outcomes = replay_static(on.mark_ticks, book, on.fuel, scenarios(setting, side))
        marks = np.array([o.mark_ticks for o in outcomes])
        row = np.abs(np.diff(book.relative_price)).max() * on.mark_ticks * 4.0  # rows hang from the shocked price
        assert np.abs(counts.place_quantile(1.0)[:, 0] - marks).max() <= row


# --- laws over draws ---


def places(on: MarketSide, settings: list[Setting], draws: Draws) -> np.ndarray:
    """Return the place of every cell, int64[n_draws, n_shocks, n_liquidities]; a larger one is further out."""
    found = []
    for i in range(draws.depth_x.size):
        one = Draws(
            draws.weight_x[i : i + 1],
            draws.window_index[i : i + 1],
            draws.exponent_slice[i : i + 1],
            draws.depth_x[i : i + 1],
            draws.survival_z[i : i + 1],
        )
        grid = on.drawn_grid(settings, DRAW_LAW, one)
        found.append(replay_grid(grid, SHOCKS, settings[0].shock_kind).place_count.argmax(axis=2))
    return np.stack(found)


@EVERY_SIDE
@pytest.mark.parametrize("kind", ["sell", "reprice"])
def test_less_depth_or_more_weight_never_ends_calmer_in_any_draw(
    market: Callable[..., MarketSide], asset: str, side: PositionSide, kind: str
) -> None:
    on = market(asset, side)
    calm = Setting(kind, 1.0, 0.875, 1.0)
    settings = [calm, replace(calm, depth_survival_frac=0.6), replace(calm, depth_survival_frac=0.2)]
    draws = drawn(on.state, 12)
    found = places(on, settings, draws)
    assert (np.diff(found, axis=2) >= 0).all()
    assert (np.diff(found, axis=2) > 0).any()
    half = places(on, settings, replace(draws, weight_x=draws.weight_x / 2))
    assert (half <= found).all()
    assert (half < found).any()
    thinner = places(on, settings, replace(draws, depth_x=draws.depth_x / 2))
    assert (thinner >= found).all()
    assert (thinner > found).any() == (asset == "BTC")  # a measured book is not drawn


@EVERY_SIDE
def test_the_flush_setting_is_never_calmer_than_the_calm_one_in_any_draw(
    market: Callable[..., MarketSide], asset: str, side: PositionSide
) -> None:
    found = places(market(asset, side), list(SETTINGS[:2]), drawn(market(asset, side).state, 12))
    assert (found[:, :, 1] >= found[:, :, 0]).all()


# --- quantiles against a loop of single replays ---


def single_markets(on: MarketSide, setting: Setting, draws: Draws) -> Iterator[tuple[Book, Fuel, float]]:
    """Yield every draw's book, fuel and W, written from the law: part sizes floored bucket by bucket, g by slice."""
    is_prior = on.depth.origin == "prior"
    top = DRAW_LAW.depth_high_x if is_prior else 1.0
    exponents, w = exponents_x(DRAW_LAW, setting), survivals_frac(DRAW_LAW, setting, draws)
    parts = on.open_interest_lots * weights_frac(draws, on.prior)
    for d in range(draws.depth_x.size):
        shares = on.profile.profile_frac[draws.window_index[d]]
        lots = sum(np.floor(parts[d, g] * shares[g]).astype(np.int64) for g in range(parts.shape[1]))
        fuel = Fuel(on.profile.trigger_ticks, lots, on.profile.bankruptcy_ticks)
        level = draws.depth_x[d] / top if is_prior else 1.0
        yield on.book(float(exponents[draws.exponent_slice[d]]), top), fuel, float(w[d] * level)


def ranked(values: list[float], p: float) -> float:
    """Return the nearest rank: the least value that a share `p` of all are at or below."""
    return sorted(values)[max(1, math.ceil(p * len(values))) - 1]


@EVERY_SIDE
def test_quantile_columns_are_ranks_of_single_replays(build_marts: Build, asset: str, side: PositionSide) -> None:
    con = build_marts()
    state = next(s for s in market_states(con, DAY) if s.asset == asset)
    on, draws = MarketSide(state, side, TIER_PRIOR), drawn(state, 50)
    for shock in (0.03, 0.10):
        rows = {r["setting"]: r for r in frames.what_if(con, asset, DAY, shock, side, n_draws=50)}
        for setting in SETTINGS:
            row = rows[setting.name("estimated")]
            ends = [
                replay_static(on.mark_ticks, book, fuel, [Scenario(shock, setting.shock_kind, side, w)])[0]
                for book, fuel, w in single_markets(on, setting, draws)
            ]
            assert row["draws_count"] == len(ends)
            assert row["sim_exhausted_frac"] == sum(e.is_exhausted for e in ends) / len(ends)
            for p in (0.05, 0.50, 0.95):
                name = f"p{round(100 * p):02d}"
                assert row[f"sim_move_{name}_frac"] == ranked([abs(1 - e.mark_ticks / on.mark_ticks) for e in ends], p)
                notional = ranked([e.forced_notional_ticklots for e in ends], p) / on.usd_ticklots
                assert float(row[f"sim_forced_notional_{name}_usd"]) == pytest.approx(notional, rel=BIN_ERROR, abs=1.0)
                shortfall = ranked([e.shortfall_ticklots for e in ends], p) / on.usd_ticklots
                assert float(row[f"sim_shortfall_{name}_usd"]) == pytest.approx(shortfall, rel=BIN_ERROR, abs=1.0)


@pytest.fixture
def critical_rows(build_marts: Build, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str, str], dict]:
    """Rows of the critical table from 50 draws, by asset, side and setting."""
    monkeypatch.setattr(frames, "DRAWS_COUNT", 50)
    critical = frames.stress_frames(build_marts(), DAY).critical
    return {(r["asset"], r["position_side"], r["setting"]): r for r in critical.iter_rows(named=True)}


def test_critical_quantiles_are_ranks_of_single_searches(
    critical_rows: dict[tuple[str, str, str], dict], market: Callable[..., MarketSide]
) -> None:
    steps = round(SEARCH_MAX_SHOCK_FRAC * 1e4 / SEARCH_STEP_BPS)
    shocks = np.arange(1, steps + 1) * SEARCH_STEP_BPS / 1e4
    is_seen = {"found": False, "censored": False}
    for (asset, side, name), row in critical_rows.items():
        on = market(asset, side)
        setting = next(s for s in SETTINGS if s.name("estimated") == name)
        found = []
        for book, fuel, w in single_markets(on, setting, drawn(on.state, 50)):
            sweep = sweep_static(
                on.mark_ticks, book, fuel, shocks, shock_kind=setting.shock_kind, side=on.side, depth_survival_frac=w
            )
            move = np.abs(1.0 - sweep.mark_ticks / on.mark_ticks)
            found.append(critical_shock(shocks, move, sweep.forced_lots / on.open_interest_lots, CRITICAL_RULE))
        for kind in ("soft", "jump"):
            least = [getattr(c, f"{kind}_shock_frac") for c in found]
            assert row[f"sim_{kind}_censored_frac"] == least.count(None) / len(least), (asset, side, name, kind)
            for p in (0.05, 0.50, 0.95):
                at = ranked([math.inf if s is None else s for s in least], p)
                column = row[f"sim_{kind}_shock_p{round(100 * p):02d}_frac"]
                assert column == (None if math.isinf(at) else at), (asset, side, name, kind, p)
                is_seen["censored" if math.isinf(at) else "found"] = True
    assert all(is_seen.values())


def test_branching_quantiles_are_ranks_of_single_draws(
    build_marts: Build, market: Callable[..., MarketSide], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "DRAWS_COUNT", 50)
    branching = frames.stress_frames(build_marts(), DAY).branching
    for (asset, side, name), rows in branching.group_by("asset", "position_side", "setting"):
        on = market(asset, side)
        setting = next(s for s in SETTINGS if s.name("estimated") == name)
        edges = np.append(rows.sort("window_start_frac")["window_start_frac"].to_numpy(), SEARCH_MAX_SHOCK_FRAC)
        ratios = []
        for book, fuel, w in single_markets(on, setting, drawn(on.state, 50)):
            marks = on.mark_ticks * (1 - edges if side == "long" else 1 + edges)
            sign = 1 if side == "long" else -1
            is_fuel = sign * fuel.trigger_ticks < sign * on.mark_ticks
            burnt = [fuel.quantity_lots[is_fuel & (sign * fuel.trigger_ticks >= sign * m)].sum() for m in marks]
            rows_in = [round(u * 1e4 / 5) for u in edges]
            depth = np.concatenate([[0], book.cumulative_lots])[rows_in]
            ratios.append(np.diff(burnt) / (w * np.diff(depth)))
        for i, r in enumerate(rows.sort("window_start_frac").iter_rows(named=True)):
            of_window = [float(ratio[i]) for ratio in ratios]
            for p in (0.05, 0.50, 0.95):
                assert r[f"sim_branching_p{round(100 * p):02d}_x"] == pytest.approx(ranked(of_window, p), rel=1e-12)
            assert r["sim_waterfall_frac"] == sum(n > 1 for n in of_window) / 50
