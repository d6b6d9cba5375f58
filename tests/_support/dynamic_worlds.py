"""Small random worlds for the dynamic replay: the awkward ones on purpose, the same ones for the same seed.

Belongs here: one market, one observed day and one shock per world, rules shared by a few worlds of equal length, and cutting a
world down while it still fails. Does not: what is right (``dynamic_oracle.py``), comparisons, worlds of full size.

Prices sit on a grid of ``p0``; in half of the worlds ``p0`` and the grid are powers of two, so that marks fall on levels
exactly and one lot decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from dynamic_oracle import guard_price

from assets.cascade.dynamic import (
    BASELINE,
    CONSTANT_DEPTH,
    DEPTH_PROCESS,
    POLICIES,
    Book,
    DayMarket,
    DayPath,
    DepthProcess,
    Impact,
    Openings,
    Policy,
    SideFuel,
    power_law_kernel,
)

KINDS = (
    "any",
    "ties",  # many bins on few prices, some without lots
    "on_level",  # the path touches trigger prices exactly, or misses them by one float
    "chain",  # every round reaches the next bin and no more
    "near_critical",  # uniform fuel and book that keep pace, a lot more or less
    "rebound",  # the price comes back and falls again, and emptied bins are filled in between
    "one_sided",  # a side without bins, or both
    "squeeze",  # the way up
    "thin",  # a book of a few lots and a price of a few ticks
    "crossed",  # bins opened on the wrong side of the price: both sides are forced in one step
)


@dataclass(frozen=True)
class World:
    """One market with its observed day, reported orders int64[2, n_steps] and the shock of its first steps."""

    kind: str
    market: DayMarket
    path: DayPath
    reported_lots: np.ndarray
    shock_ticks: np.ndarray


@dataclass(frozen=True)
class Rules:
    """What a few worlds of equal length are asked under."""

    n_steps: int
    impact: Impact
    policies: tuple[Policy, ...]
    rounds_per_step: int
    max_iterations: int
    tolerance: float
    threads: int


def random_batch(number: int) -> tuple[Rules, list[World]]:
    """Return four worlds of consecutive kinds and their rules; a function of `number` alone."""
    rng = Random(f"dynamic worlds {number}")
    n_steps = rng.choice([1, 2, 3, 5, 8, 8, 13, 13, 20, 20, 35, 60])
    rules = Rules(
        n_steps=n_steps,
        impact=Impact(_decay(rng, n_steps), _depth(rng)),
        policies=tuple(_policy(rng, n_steps, i) for i in range(rng.choice([2, 3, 4]))),
        rounds_per_step=rng.choice([1, 2, 3, 60, 60, 60]),
        max_iterations=rng.choice([1, 2, 3, 8, 32]),
        tolerance=rng.choice([1e-4, 1e-4, 0.0, 1e-2]),
        threads=rng.choice([1, 1, 1, 1, 1, 2]),
    )
    return rules, [_world(rng, KINDS[(4 * number + i) % len(KINDS)], n_steps) for i in range(4)]


# --- rules --------------------------------------------------------------------------------------------------------------


def _decay(rng: Random, n_steps: int) -> np.ndarray:
    """Return a decay table: the law's, permanent, momentary, halving, or any that does not rise; now and then too long."""
    k = n_steps + rng.choice([0, 0, 3])
    tables = [
        power_law_kernel(k, rng.choice([0.3, 0.15, 0.8])),
        np.ones(k),
        np.array([1.0] + [0.0] * (k - 1)),
        0.5 ** np.arange(k),
        np.array([1.0, *sorted((rng.random() for _ in range(k - 1)), reverse=True)]),
    ]
    return rng.choice(tables)


def _depth(rng: Random) -> DepthProcess:
    return rng.choice(
        [
            CONSTANT_DEPTH,
            CONSTANT_DEPTH,
            DEPTH_PROCESS,
            replace(CONSTANT_DEPTH, initial_survival_frac=0.5),
            DepthProcess(
                rng.uniform(3, 30), rng.random(), rng.choice([0.5, 1.0, 10.0, 120.0]), 0.05, rng.uniform(0.1, 1)
            ),
            DepthProcess(100.0, 2.0, 3.0, 0.25, 1.0),
        ]
    )


def _policy(rng: Random, n_steps: int, position: int) -> Policy:
    """Return a policy: one of the published ones, one rule alone at an edge of its range, or all rules at once."""
    cap = rng.choice([1.0, 2.0, 10.0, 20.0, 50.0, rng.uniform(1, 60)])
    rule = rng.choice(["move", "drop"])
    theta, window, halt = rng.choice([1 / 64, 1 / 16, 0.01]), rng.choice([1, 1, 2, 5, 90]), rng.choice([1, 2, 5, 90])
    twap, scale, adl = (
        rng.choice([2, 3, 15, n_steps + 2]),
        rng.choice([0.5, 1.5, 2.0, 1.1]),
        rng.choice([0.5, 0.3, 1.0]),
    )
    name = f"policy {position}"
    return rng.choice(
        [
            BASELINE,
            rng.choice(POLICIES),
            Policy(name, leverage_cap_x=cap, cap_rule=rule),
            Policy(name, breaker_move_frac=theta, breaker_window_steps=window, breaker_halt_steps=halt),
            Policy(name, twap_steps=twap),
            Policy(name, depth_scale_x=scale),
            Policy(name, adl_share_frac=adl),
            Policy(name, rng.choice([None, cap]), rule, scale, theta, window, halt, rng.choice([1, twap]), adl),
        ]
    )


# --- worlds -------------------------------------------------------------------------------------------------------------


def _world(rng: Random, kind: str, n_steps: int) -> World:
    is_exact = rng.random() < 0.5 or kind in ("chain", "near_critical")
    p0 = float(rng.choice([2**10, 2**14, 2**20])) if is_exact else rng.choice([rng.uniform(900, 1e6), 60_000.0])
    if kind == "thin":
        p0 = float(rng.choice([8, 64, 33]))
    step = p0 * (rng.choice([1 / 64, 1 / 128, 1 / 1024]) if is_exact else rng.choice([0.01, 0.0005, 0.003]))
    is_up = kind == "squeeze" or (kind not in ("thin", "rebound") and rng.random() < 0.25)
    unit = 2 ** rng.choice([0, 0, 3, 20, 40])
    path = _path(rng, kind, n_steps, p0, step, is_up)
    start = p0 + (1 if is_up else -1) * step * rng.choice([1, 1, 2])  # where a chain begins
    fuels, books = _fuels_and_books(rng, kind, n_steps, p0, start, step, unit, path)
    closures = rng.choice(
        [
            None,
            np.zeros(n_steps),
            np.full(n_steps, 0.01),
            np.array([rng.choice([0, 0.5, rng.random()]) for _ in range(n_steps)]),
        ]
    )
    if kind == "chain":
        closures = rng.choice([None, None, closures])
    market = DayMarket(
        mark_ticks=p0,
        long_fuel=fuels[0],
        short_fuel=fuels[1],
        bids=books[0],
        asks=books[1],
        reference_lots=max(1, int(books[0].cumulative_lots[-1]) // rng.choice([1, 2, 10])),
        closure_frac=None if closures is None else closures.astype(np.float64),
        sold_share_frac=1.0 if kind == "chain" else rng.choice([1.0, 1.0, 1.0, 0.5, 1 / 3, 0.0, rng.random()]),
    )
    reported = [[rng.choice([0, 0, 0, unit, rng.randint(0, 5 * unit)]) for _ in range(n_steps)] for _ in range(2)]
    shock = _shock(rng, kind, n_steps, p0, step, is_up, fuels)
    if kind == "chain" and rng.random() < 0.8:
        shock = np.array([start])
    return World(kind, market, path, np.array(reported, np.int64), shock)


def _path(rng: Random, kind: str, n_steps: int, p0: float, step: float, is_up: bool) -> DayPath:
    """Return a walk on the grid of `p0`, its lows and highs some grid steps further out or one float off."""
    sign = 1 if is_up else -1
    place, low, high, close = 0, [], [], []
    for t in range(n_steps):
        if kind == "rebound":  # down to a level and back, again and again
            place = -rng.randint(2, 6) if t % 4 == 1 else rng.randint(-1, 1)
        else:
            place += sign * rng.choice([0, 1, 1, 2, -1]) if rng.random() < 0.7 else rng.randint(-2, 2)
        place = max(-40, min(40, place))
        c = p0 + place * step
        reach = rng.choice([0, 0, 1, 3, 0.37]) if kind != "crossed" else 2
        lowest, highest = c - reach * step, c + rng.choice([reach, 0]) * step
        if rng.random() < 0.2:
            lowest, highest = math.nextafter(lowest, 0.0), math.nextafter(highest, math.inf)
        # A tenth of p0 keeps the walk of a coarse grid above 0.
        low.append(max(lowest, p0 / 10))
        close.append(max(c, p0 / 10))
        high.append(max(highest, p0 / 10))
    return DayPath(np.array(low), np.array(high), np.array(close))


def _fuels_and_books(
    rng: Random, kind: str, n_steps: int, p0: float, start: float, step: float, unit: int, path: DayPath
) -> tuple[list[SideFuel], list[Book]]:
    """Return long and short fuel, bids and asks."""
    empty = rng.choice(["long", "short", "both"]) if kind == "one_sided" else "none"
    fuels, books = [], []
    for side, away, marks in (("long", -1, path.low_ticks), ("short", 1, path.high_ticks)):
        lots_per_step = unit * rng.choice([1, 3, 10])
        book = _book(rng, kind, away, p0, step, lots_per_step)
        n_bins = 0 if empty in (side, "both") else rng.choice([1, 3, 6, 10])
        if kind == "chain":
            prices, lots = _chained_bins(rng, start, book, lots_per_step)
        elif kind == "near_critical":
            prices, lots = _pacing_bins(rng, away, p0, step, lots_per_step)
        else:
            levels = _levels(rng, kind, marks.tolist(), path.close_ticks.tolist(), p0)
            bins = [_loose_bin(rng, kind, away, p0, step, unit, levels) for _ in range(n_bins)]
            prices, lots = [p for p, _ in bins], [q for _, q in bins]
        shuffled = rng.sample(range(len(prices)), len(prices))
        prices, lots = [prices[i] for i in shuffled], [lots[i] for i in shuffled]
        leverage = [rng.choice([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, rng.uniform(1, 125)]) for _ in prices]
        fuels.append(
            SideFuel(
                np.array(prices, np.float64),
                np.array(lots, np.int64),
                np.array(leverage, np.float64),
                _openings(rng, kind, n_steps, len(prices), unit),
            )
        )
        books.append(book)
    return fuels, books


def _levels(rng: Random, kind: str, marks: list[float], closes: list[float], p0: float) -> list[float]:
    """Return prices that a trigger may look at: the extremes of a path, each of its marks, and means of the last few."""
    levels = [min(marks), max(marks), *marks]
    if kind == "on_level":
        n = rng.choice([2, 3, 15])
        levels += [guard_price(closes, t, mark, n, p0) for t, mark in enumerate(marks)]
    return levels


def _loose_bin(
    rng: Random, kind: str, away: int, p0: float, step: float, unit: int, levels: list[float]
) -> tuple[float, int]:
    """Return price and lots of one bin: before or behind the mark, on the path's own prices, tied, empty, one float off."""
    price = p0 + away * step * rng.choice([rng.randint(-1, 12), rng.randint(1, 3), rng.uniform(0, 8)])
    if kind == "ties":
        price = p0 + away * step * rng.choice([1, 2, 2, 3])
    if kind == "on_level" or rng.random() < 0.1:
        price = float(rng.choice(levels))
    if kind == "crossed":
        price = p0 + step * rng.randint(-4, 4)
    if rng.random() < (0.4 if kind == "on_level" else 0.1):
        price = math.nextafter(price, rng.choice([0.0, math.inf]))
    lots = rng.choice([0, 1, unit, unit + 1, 3 * unit, rng.randint(0, 9 * unit)])
    return max(price, p0 / 50), lots


def _chained_bins(rng: Random, start: float, book: Book, lots_per_step: int) -> tuple[list[float], list[int]]:
    """Return one bin at every mark that the row before sells the price to, now and then a lot off: the most rounds there are."""
    prices = [start, *(start * r for r in book.relative_price.tolist())]
    if rng.random() < 0.5:  # the last bin is what the book cannot take: half of the chains end before it
        prices.pop()
    return prices, [max(0, lots_per_step + rng.choice([0] * 30 + [1, -1])) for _ in prices]


def _pacing_bins(rng: Random, away: int, p0: float, step: float, lots_per_step: int) -> tuple[list[float], list[int]]:
    """Return one bin per grid step with what the book takes over that step, or a set part of it, a lot more or less."""
    size = max(1, lots_per_step * rng.choice([2, 3, 4, 4]) // 4)
    prices = [p0 + away * step * (i + 1) for i in range(rng.choice([3, 8, 15]))]
    return prices, [max(0, size + rng.choice([0, 1, -1])) for _ in prices]


def _book(rng: Random, kind: str, away: int, p0: float, step: float, lots_per_step: int) -> Book:
    """Return a book on the grid: linear for the kinds that keep pace, else of uneven rows, flat ends and tied prices."""
    if kind in ("chain", "near_critical"):
        n_rows = rng.choice([4, 12, 24])
        offsets = [float(j) for j in range(1, n_rows + 1)]
        row_lots = [0 if kind == "chain" and rng.random() < 0.1 else lots_per_step for _ in range(n_rows)]
    else:
        n_rows = rng.choice([1, 2, 5, 9])
        gaps = [rng.choice([0, 1, 1, 2, 0.4]) for _ in range(n_rows)]
        offsets = [min(float(sum(gaps[: j + 1])), 40.0) for j in range(n_rows)]
        size = lots_per_step * (1 if kind == "thin" else rng.choice([1, 4, 20]))
        row_lots = [rng.choice([0, size, size, rng.randint(0, 2 * size)]) for _ in range(n_rows)]
    row_lots[-1] = max(2, row_lots[-1])  # half of the depth still is a lot
    prices = [max(1.0 + away * o * (step / p0), 1 / 64) for o in offsets]
    if kind == "thin" and away < 0:
        prices[-1] = 1 / 128  # a floor of one tick is within reach
    elif rng.random() < 0.2 and kind != "chain":
        prices[-1] = (
            1 / 16 if away < 0 else 8.0
        )  # a cliff: where impact is large, the last bit of a load shows in the price
    return Book(np.array(prices), np.cumsum(np.array(row_lots, np.int64)))


def _openings(rng: Random, kind: str, n_steps: int, n_bins: int, unit: int) -> Openings:
    how_many = rng.choice([8, 2 * n_steps, 4 * n_steps]) if kind in ("rebound", "crossed") else rng.choice([0, 0, 1, 4])
    if n_bins == 0 or (kind == "chain" and rng.random() < 0.7):
        how_many = 0
    rows = [
        (rng.randrange(n_steps), rng.randrange(n_bins), rng.choice([0, 1, unit, rng.randint(0, 4 * unit)]))
        for _ in range(how_many)
    ]
    rows.sort(key=lambda row: row[0])
    return Openings(*(np.array([row[i] for row in rows], np.int64) for i in range(3)))


def _shock(
    rng: Random, kind: str, n_steps: int, p0: float, step: float, is_up: bool, fuels: list[SideFuel]
) -> np.ndarray:
    """Return the first marks without forced orders: on the grid, on a trigger price, or one float off; never below a tick."""
    sign = 1 if is_up else -1
    out = []
    for _ in range(rng.randint(1, min(n_steps, 5))):
        mark = p0 + sign * step * rng.choice([1, 1, 2, 5, -1, 0, rng.uniform(0, 4)])
        levels = list(fuels[1 if is_up else 0].trigger_ticks)
        if levels and rng.random() < (0.8 if kind == "on_level" else 0.2):
            mark = float(rng.choice(levels))
        if rng.random() < 0.1:
            mark = math.nextafter(mark, rng.choice([0.0, math.inf]))
        out.append(max(1.0, mark))
    return np.array(out)


# --- cutting down -------------------------------------------------------------------------------------------------------


def shrink(world: World, rules: Rules, fails: Callable[[World, Rules], bool]) -> tuple[World, Rules]:
    """Return a smaller world for which ``fails`` is still true: cut steps, bins, openings and rules one by one while it is."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in _smaller(world, rules):
            if fails(*candidate):
                (world, rules), is_smaller = candidate, True
                break
    return world, rules


def _smaller(world: World, rules: Rules) -> Iterator[tuple[World, Rules]]:
    market = world.market
    for n in {rules.n_steps // 2, rules.n_steps - 1} - {0, rules.n_steps}:
        yield _shorter(world, n), replace(rules, n_steps=n)
    if len(rules.policies) > 1:
        for policy in rules.policies:
            yield world, replace(rules, policies=(policy,))
    if rules.impact.depth != CONSTANT_DEPTH:
        yield world, replace(rules, impact=replace(rules.impact, depth=CONSTANT_DEPTH))
    if not (rules.impact.decay == 1.0).all():
        yield world, replace(rules, impact=replace(rules.impact, decay=np.ones(len(rules.impact.decay))))
    if market.closure_frac is not None:
        yield replace(world, market=replace(market, closure_frac=None)), rules
    if market.sold_share_frac != 1.0:
        yield replace(world, market=replace(market, sold_share_frac=1.0)), rules
    if len(world.shock_ticks) > 1:
        yield replace(world, shock_ticks=world.shock_ticks[:1]), rules
    if world.reported_lots.any():
        yield replace(world, reported_lots=np.zeros_like(world.reported_lots)), rules
    for name in ("long_fuel", "short_fuel"):
        for fuel in _smaller_fuels(getattr(market, name)):
            yield replace(world, market=replace(market, **{name: fuel})), rules
    for name in ("bids", "asks"):
        book = getattr(market, name)
        for j in range(len(book.relative_price)) if len(book.relative_price) > 1 else []:
            cut = Book(np.delete(book.relative_price, j), np.delete(book.cumulative_lots, j))
            yield replace(world, market=replace(market, **{name: cut})), rules


def _shorter(world: World, n: int) -> World:
    market, path = world.market, world.path
    fuels = {}
    for name in ("long_fuel", "short_fuel"):
        fuel = getattr(market, name)
        kept = fuel.openings.step < n
        openings = Openings(fuel.openings.step[kept], fuel.openings.bin[kept], fuel.openings.lots[kept])
        fuels[name] = replace(fuel, openings=openings)
    closures = None if market.closure_frac is None else market.closure_frac[:n]
    return replace(
        world,
        market=replace(market, closure_frac=closures, **fuels),
        path=DayPath(path.low_ticks[:n], path.high_ticks[:n], path.close_ticks[:n]),
        reported_lots=world.reported_lots[:, :n],
        shock_ticks=world.shock_ticks[:n],
    )


def _smaller_fuels(fuel: SideFuel) -> Iterator[SideFuel]:
    given = fuel.openings
    for i in range(len(given.step)):
        kept = np.arange(len(given.step)) != i
        yield replace(fuel, openings=Openings(given.step[kept], given.bin[kept], given.lots[kept]))
    for k in range(len(fuel.trigger_ticks)):
        kept = given.bin != k
        renumbered = given.bin[kept] - (given.bin[kept] > k)
        leverage = None if fuel.leverage_x is None else np.delete(fuel.leverage_x, k)
        openings = Openings(given.step[kept], renumbered, given.lots[kept])
        yield SideFuel(np.delete(fuel.trigger_ticks, k), np.delete(fuel.quantity_lots, k), leverage, openings)
