"""Seeded awkward days: bins on whole prices that the path touches exactly, ties, zero lots, thin books, gaps, swings.

Belongs here: random inputs of the dynamic replay and their comparison field by field. Does not: what is right.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from assets.cascade.dynamic import (
    Book,
    DayMarket,
    DayPath,
    DepthProcess,
    Impact,
    Openings,
    Policy,
    SideFlow,
    SideFuel,
    power_law_kernel,
)

# Prices are whole numbers times a unit that is not a power of two: the path still touches triggers exactly, and a float sum
# in another order gives other bits.
UNIT = 1.1
MARK = 1000.0 * UNIT


def random_fuel(rng: np.random.Generator, is_long: bool, n_steps: int) -> SideFuel:
    n = int(rng.integers(0, 25))
    away = rng.integers(-20, 150, n) * rng.choice([1.0, 1.0, 0.5])
    lots = rng.integers(0, rng.choice([5, 100, 10_000]), n)
    n_open = int(rng.integers(0, 15)) if n and rng.random() < 0.6 else 0
    openings = Openings(
        np.sort(rng.integers(0, n_steps, n_open)), rng.integers(0, max(n, 1), n_open), rng.integers(0, 200, n_open)
    )
    leverage = rng.choice([1.0, 2.0, 5.0, 10.0, 12.5, 25.0, 100.0], n)
    return SideFuel((1000.0 - away if is_long else 1000.0 + away) * UNIT, lots, leverage, openings)


def random_book(rng: np.random.Generator, is_bids: bool) -> Book:
    n = int(rng.integers(1, 12))
    moves = np.cumsum(rng.integers(0, 30, n)) / 1000.0
    lots = np.cumsum(rng.integers(0, rng.choice([4, 100, 3000]), n))
    lots[-1] += 2  # 0.9 of it is still a lot
    return Book(1.0 - moves if is_bids else 1.0 + moves, lots)


def random_market(rng: np.random.Generator, n_steps: int) -> DayMarket:
    closures = rng.choice([0.0, 0.01, 0.5], n_steps) * rng.random(n_steps) if rng.random() < 0.6 else None
    return DayMarket(
        MARK,
        random_fuel(rng, True, n_steps),
        random_fuel(rng, False, n_steps),
        random_book(rng, True),
        random_book(rng, False),
        int(rng.integers(1, 5000)),
        closures,
        float(rng.choice([1.0, 1.0, 0.7, 0.3, 0.0])),
    )


def random_path(rng: np.random.Generator, n_steps: int) -> DayPath:
    step = rng.choice([2, 15, 40])
    close = 1000.0 + np.cumsum(rng.integers(-step, step + 1, n_steps)) + rng.choice([0, -3, 3]) * np.arange(n_steps)
    close = np.clip(close.astype(float), 50.0, None)
    low = np.clip(close - rng.integers(0, 10, n_steps), 20.0, None)
    return DayPath(low * UNIT, (close + rng.integers(0, 10, n_steps)) * UNIT, close * UNIT)


def random_policy(rng: np.random.Generator) -> Policy:
    return Policy(
        "random",
        leverage_cap_x=float(rng.choice([1.0, 3.0, 10.0])) if rng.random() < 0.3 else None,
        cap_rule=str(rng.choice(["move", "drop"])),
        depth_scale_x=float(rng.choice([1.0, 1.5, 0.9])),
        breaker_move_frac=float(rng.choice([0.01, 0.05])),
        breaker_window_steps=int(rng.integers(1, 5)),
        breaker_halt_steps=int(rng.choice([0, 0, 1, 4])),
        twap_steps=int(rng.choice([1, 1, 2, 5])),
        adl_share_frac=float(rng.choice([0.0, 0.0, 0.3, 1.0])),
    )


def random_impact(rng: np.random.Generator, n_steps: int) -> Impact:
    floor = float(rng.choice([0.05, 0.5]))
    process = DepthProcess(
        float(rng.choice([0.0, 10.0, 50.0])),
        float(rng.choice([0.0, 0.25, 2.0])),
        float(rng.choice([0.5, 3.0, 45.0])),
        floor,
        float(rng.choice([1.0, floor, 0.8])),
    )
    return Impact(power_law_kernel(n_steps, float(rng.choice([0.0, 0.3, 1.0]))), process)


def random_shock(rng: np.random.Generator, n_steps: int) -> np.ndarray:
    size = int(rng.integers(1, n_steps + 1))
    return np.clip(1000.0 + np.cumsum(rng.integers(-40, 35, size)), 1.0, None) * UNIT


def same_side(flow: SideFlow, naive_flows, naive_notional, side) -> list[str]:
    """Return the names of fields in which the product's side differs from the naive one."""
    columns = ("forced_lots", "sold_lots", "netted_lots", "adl_lots", "not_sold_lots", "unabsorbed_lots")
    wrong = [name for i, name in enumerate(columns) if not np.array_equal(getattr(flow, name), naive_flows[:, i])]
    if not np.array_equal(flow.forced_notional_ticklots, naive_notional):
        wrong.append("forced_notional_ticklots")
    totals = {
        "initial_lots": side.initial,
        "opened_lots": side.opened,
        "dropped_lots": side.dropped,
        "excluded_lots": side.excluded,
        "total_forced_lots": side.forced,
        "closed_lots": side.closed,
        "remaining_lots": side.remaining,
    }
    return wrong + [name for name, value in totals.items() if getattr(flow, name) != value]


def unbalanced(flow: SideFlow) -> list[str]:
    """Return the identities that a side breaks."""
    broken = []
    parts = flow.sold_lots + flow.netted_lots + flow.adl_lots + flow.not_sold_lots + flow.unabsorbed_lots
    if not np.array_equal(flow.forced_lots, parts):
        broken.append("forced = sold + netted + adl + not_sold + unabsorbed")
    ends = flow.dropped_lots + flow.excluded_lots + flow.total_forced_lots + flow.closed_lots + flow.remaining_lots
    if flow.initial_lots + flow.opened_lots != ends:
        broken.append("initial + opened = dropped + excluded + forced + closed + remaining")
    if int(flow.forced_lots.sum()) != flow.total_forced_lots:
        broken.append("steps sum to the day")
    for f in fields(flow):
        if np.any(np.asarray(getattr(flow, f.name)) < 0):
            broken.append(f"{f.name} is negative")
    return broken
