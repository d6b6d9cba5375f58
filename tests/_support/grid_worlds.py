"""Random small worlds for the grid and for the replays by rounds: seeded, awkward on purpose.

Belongs here: how worlds are drawn and cut down. Does not: any rule of the replay (the oracles). Each world grows from one
awkward cell of ``cascade_oracle.random_cell`` (ties, zero lots, shocks and triggers on rows, near-critical books, chains,
exhaustion), so that the awkwardness of the single cell is that of the grid's first draw too.
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from cascade_oracle import Cell, random_cell
from grid_oracle import GridWorld
from rounds_oracle import RoundsWorld

# Lots of a draw of the grid, and of a world that is played by rounds, stay below.
MOST_DRAWN_LOTS, MOST_LOTS = 1 << 52, 1 << 53


def random_grid_world(
    rng: Random, shock_kind: str, side: str, *, n_draws: int | None = None, n_shocks: int | None = None
) -> GridWorld:
    """Draw one world. The first draw has the cell's own fuel and book; the others are scaled, reshaped or emptied."""
    cell = _with_ties(rng, random_cell(rng, shock_kind, side), MOST_DRAWN_LOTS)
    draws = n_draws or rng.choice([1, 1, 1, 2, 3, 6])
    lots = [q for _, q, _ in cell.buckets]
    parts = _split(rng, lots, rng.choice([1, 1, 2, 3]))
    # Sizes of a power of two give the cell's lots exactly; of the others most products round back to them, from either side.
    powers = [2.0 ** max(1, sum(part)).bit_length() for part in parts]
    sizes = rng.choice([powers, powers, [float(max(1, sum(part))) for part in parts], [10.0] * len(parts)])
    profiles = [[[q / size for q in part] for part, size in zip(parts, sizes, strict=True)]]
    for _ in range(rng.choice([0, 0, 1, 2])):
        shuffled = [rng.sample(shares, len(shares)) for shares in profiles[0]]
        thinned = [[share * rng.random() for share in shares] for shares in profiles[0]]
        profiles.append(rng.choice([shuffled, thinned]))
    books = [[c for _, c in cell.rows]] + [_other_book(rng, cell) for _ in range(rng.choice([0, 0, 1, 2]))]
    most = 2.0 if 2 * sum(lots) < MOST_DRAWN_LOTS else 1.0
    factors = [[1.0] * len(parts)]
    for _ in range(draws - 1):
        factors.append([min(most, rng.choice([0.0, 0.5, 1.0, 1.0, 1.5, 2.0, rng.random()])) for _ in parts])
    if rng.random() < 0.2:
        # One float below a whole number of lots: the floor takes one lot from every bucket that was on it.
        factors[0] = [math.nextafter(1.0, 0.0)] * len(parts)
    profile_index = [0] + [rng.randrange(len(profiles)) for _ in range(draws - 1)]
    book_index = [0] + [rng.randrange(len(books)) for _ in range(draws - 1)]
    liquidities = rng.choice([1, 1, 2, 3])
    survivals = [_survivals(rng, cell.w, liquidities) for _ in range(draws)]
    scale = cell.mark_ticks * max(1, sum(lots))
    return GridWorld(
        mark_ticks=cell.mark_ticks,
        relative_price=tuple(r for r, _ in cell.rows),
        cumulative_lots=tuple(tuple(book) for book in books),
        trigger_ticks=tuple(b[0] for b in cell.buckets),
        bankruptcy_ticks=tuple(b[2] for b in cell.buckets),
        profile_frac=tuple(tuple(tuple(shares) for shares in profile) for profile in profiles),
        profile_index=tuple(profile_index),
        part_lots=tuple(tuple(f * size for f, size in zip(row, sizes, strict=True)) for row in factors),
        book_index=tuple(book_index),
        depth_survival_frac=tuple(tuple(row) for row in survivals),
        shock_frac=tuple(_shocks(rng, cell, n_shocks or rng.choice([1, 3, 4, 6]))),
        shock_kind=shock_kind,
        side=side,
        sold_share_frac=cell.phi,
        money_unit_ticklots=rng.choice([1.0, 1.0, 7.0, cell.mark_ticks, scale / 1000, scale]),
    )


def single_cells(world: GridWorld) -> list[GridWorld]:
    """Return the world's cells as worlds of one draw, one shock and one liquidity, fewest buckets first where it can."""
    return [
        replace(
            world,
            part_lots=(world.part_lots[d],),
            profile_frac=(world.profile_frac[world.profile_index[d]],),
            profile_index=(0,),
            cumulative_lots=(world.cumulative_lots[world.book_index[d]],),
            book_index=(0,),
            depth_survival_frac=((w,),),
            shock_frac=(s,),
        )
        for d in range(len(world.part_lots))
        for s in world.shock_frac
        for w in world.depth_survival_frac[d]
    ]


def without_bucket(world: GridWorld, k: int) -> GridWorld:
    """Return the world without bucket `k`."""
    return replace(
        world,
        trigger_ticks=_without(world.trigger_ticks, k),
        bankruptcy_ticks=_without(world.bankruptcy_ticks, k),
        profile_frac=tuple(tuple(_without(shares, k) for shares in profile) for profile in world.profile_frac),
    )


def without_row(world: GridWorld, j: int) -> GridWorld:
    """Return the world without book row `j`."""
    return replace(
        world,
        relative_price=_without(world.relative_price, j),
        cumulative_lots=tuple(_without(book, j) for book in world.cumulative_lots),
    )


def random_rounds_worlds(rng: Random, shock_kind: str, side: str, n_scenarios: int = 1) -> list[RoundsWorld]:
    """Draw one market with one fund and ask it several shocks, ascending; `w`, `phi` are the same in most markets."""
    cell = _with_ties(rng, random_cell(rng, shock_kind, side), MOST_LOTS)
    shocks = _shocks(rng, cell, n_scenarios)
    is_same = rng.random() < 0.7
    return [
        RoundsWorld(
            mark_ticks=cell.mark_ticks,
            rows=cell.rows,
            buckets=cell.buckets,
            shock_frac=s,
            shock_kind=shock_kind,
            side=side,
            w=cell.w if is_same else rng.choice([cell.w, 1.0, rng.uniform(0.01, 1.0)]),
            phi=cell.phi if is_same else rng.choice([cell.phi, 1.0, rng.random()]),
            fund_ticklots=fund,
            replenishment_frac=rho,
        )
        for fund, rho in [(_fund(rng, cell), rng.choice([0.0, 0.0, 0.1, 0.5, 0.9, rng.uniform(0, 0.9)]))]
        for s in shocks
    ]


def _fund(rng: Random, cell: Cell) -> float:
    """Return a fund: infinite, none, to the last bit what one bucket loses at the shock price, or what a few of them lose."""
    size = max(1, sum(q for _, q, _ in cell.buckets))
    reach = cell.mark_ticks * abs(1.0 - cell.rows[-1][0])
    some = rng.choice([0.001, 0.01, 0.05, 0.2, 0.5, rng.random()]) * size * reach
    away = -1.0 if cell.side == "long" else 1.0
    p_s = cell.mark_ticks * (1.0 + away * cell.shock_frac)
    bills = [away * (p_s - broke) * float(math.floor(cell.phi * float(q))) for _, q, broke in cell.buckets]
    exact = rng.choice([bill for bill in bills if bill > 0] or [some])
    return rng.choice([math.inf, 0.0, some, some, some, exact, exact, float(math.floor(some)), rng.random()])


def _with_ties(rng: Random, cell: Cell, most_lots: int) -> Cell:
    """Give the buckets bankruptcy prices on both sides of their triggers, and some of them twins."""
    step = cell.mark_ticks * rng.choice([0.0005, 0.005, 0.01, 0.05])
    # Above 0: below a long's trigger (above a short's), where a solvent position has it.
    away = -1.0 if cell.side == "long" else 1.0
    buckets: list[tuple[float, int, float]] = []
    for trigger, lots, _ in cell.buckets:
        bankruptcy = trigger + away * step * rng.choice([0.0, 0.5, 1.0, 1.0, 2.0, 6.0, -1.0, -0.5, -4.0])
        if rng.random() < 0.02:
            bankruptcy = 0.0
        buckets.append((trigger, lots, max(0.0, bankruptcy)))
    for _ in range(rng.choice([0, 0, 1, 3]) if buckets else 0):
        trigger, lots, bankruptcy = rng.choice(buckets)
        twin_bankruptcy = rng.choice([bankruptcy, bankruptcy, max(0.0, bankruptcy + away * step)])
        buckets.insert(rng.randrange(len(buckets) + 1), (trigger, rng.choice([lots, 0, lots // 2, 1]), twin_bankruptcy))
    if sum(lots for _, lots, _ in buckets) >= most_lots:
        buckets = [(trigger, lots >> 8, bankruptcy) for trigger, lots, bankruptcy in buckets]
    return replace(cell, buckets=tuple(buckets))


def _split(rng: Random, lots: list[int], n_parts: int) -> list[list[int]]:
    """Split every bucket's lots over the parts; one part may have nothing of it."""
    parts = [[0] * len(lots) for _ in range(n_parts)]
    for k, q in enumerate(lots):
        left = q
        for part in parts[:-1]:
            part[k] = rng.choice([0, left, left // 2, rng.randint(0, left)])
            left -= part[k]
        parts[-1][k] = left
    return parts


def _other_book(rng: Random, cell: Cell) -> list[int]:
    """Return another book on the same rows: thinner, with a hole, or other altogether."""
    book = [c for _, c in cell.rows]
    steps = [b - a for a, b in zip([0, *book], book, strict=False)]
    thin = [s // 2 for s in steps]
    holed = [0 if rng.random() < 0.5 else s for s in steps]
    other = rng.sample(steps, len(steps))
    chosen = rng.choice([thin, holed, other])
    chosen[-1] = max(1, chosen[-1])
    return [sum(chosen[: j + 1]) for j in range(len(chosen))]


def _survivals(rng: Random, w: float, n_liquidities: int) -> list[float]:
    """Return survivals that do not rise; the cell's own one is among them, two may be equal."""
    others = [rng.choice([1.0, w, w * 0.5, 0.294, max(1e-3, rng.random())]) for _ in range(n_liquidities - 1)]
    return sorted([w, *others], reverse=True)


def _shocks(rng: Random, cell: Cell, n_shocks: int) -> list[float]:
    """Return ascending shocks: the cell's own, on rows, on triggers, one float off them, beyond the book, repeated."""
    rows = [abs(1.0 - r) for r, _ in cell.rows]
    levels = [abs(1.0 - trigger / cell.mark_ticks) for trigger, _, _ in cell.buckets]
    found = [cell.shock_frac]
    while len(found) < n_shocks:
        at = rng.choice([rng.choice(rows), rng.choice(levels or rows), rng.choice(found), rng.random() * rows[-1]])
        at = rng.choice([at, at, at, at * 0.5, rows[-1] + 0.01, math.nextafter(at, rng.choice([0.0, 1.0]))])
        found.append(min(max(at, 1e-18), 0.9))
    return sorted(found)


def _without(items: tuple, position: int) -> tuple:
    return items[:position] + items[position + 1 :]
