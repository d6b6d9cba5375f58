"""The naive oracle of the grid: every cell by the single-cell oracle, every count by a plain loop.

Belongs here: docs/cascade_grid.md, sections 1 to 4, written as literally as Python allows. Does not: anything of
``assets.cascade`` (its author read the same page apart from us; the two are compared in
``tests/assets/cascade/test_grid_oracle.py``), random worlds (``grid_worlds.py``), the rounds of section 5
(``rounds_oracle.py``), the rules of one cell (``cascade_oracle.py``).

Where the page is silent or may be read in two ways, the reading taken here is:

G1. *Order of the buckets.* "The one nearer to the mark first" compares signed prices: for longs the higher bankruptcy price,
    also where one lies above the mark. (Static replay, cascade.md reading 7: quantity before bankruptcy. The grid has an
    order of its own because quantities differ between draws. Only the shortfall of tied buckets can tell.)
G2. *Shortfall.* "Of the static cascade": sold lots fill the book row by row in the order of their buckets; the loss beyond
    the bankruptcy price on a bucket's sold lots, floored at 0 per bucket. A row takes ``fl(w (C_j - C_js))`` in all, also
    where that is no whole number: one lot may fill on two rows. (The first draft filled whole lots, each on the row where it
    puts the mark; the product did not. The page's words allow both. The law "a change of the lot unit by a power of two changes
    nothing but the unit" decides: rows cut to whole lots would break it for money.) No order of sums is given, so there is
    no last bit: the oracle gives the value up to a few roundings, with the gross amount that rounding errors scale with.
G3. *The marks of the places.* Of an exhausted fall one tick, or the shock price or the last row where those lie lower
    (cascade.md, reading 5); of an exhausted squeeze the last row, or the shock price beyond it.
G4. *Quantile.* ``ceil(p n_draws)`` is ``ceil(fl(p n_draws))``: the product of floats is its own ``fl``.
G5. *Critical shocks.* The rise from the grid point before is ``fl(u*_i - u*_(i-1))``, the step ``fl(s_i - s_(i-1))``, and a
    jump is ``fl(rise - step) >= least gain``; the first grid point has no point before it and is never a jump.
G6. *Branching.* Numerator and depth are whole lots, so ``n = fl(dF / fl(w dD))``; a book that grows by nothing gives NaN.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from cascade_oracle import oracle_replay

LAST_OCTAVE = 52
BIN_COUNT = 1 + 64 * (LAST_OCTAVE + 1)


@dataclass(frozen=True)
class GridWorld:
    """One question to the grid; tuples nest as the page indexes (``profile_frac[e][g][k]``, ``part_lots[d][g]``, ...)."""

    mark_ticks: float
    relative_price: tuple[float, ...]
    cumulative_lots: tuple[tuple[int, ...], ...]
    trigger_ticks: tuple[float, ...]
    bankruptcy_ticks: tuple[float, ...]
    profile_frac: tuple[tuple[tuple[float, ...], ...], ...]
    profile_index: tuple[int, ...]
    part_lots: tuple[tuple[float, ...], ...]
    book_index: tuple[int, ...]
    depth_survival_frac: tuple[tuple[float, ...], ...]
    shock_frac: tuple[float, ...]
    shock_kind: str
    side: str
    sold_share_frac: float = 1.0
    money_unit_ticklots: float = 1.0

    @property
    def cells(self) -> int:
        """Draws x shocks x liquidities."""
        return len(self.part_lots) * len(self.shock_frac) * len(self.depth_survival_frac[0])


@dataclass(frozen=True)
class GridCell:
    """One cell; `part_lots` are the forced lots of each part, `gross_ticklots` bounds the rounding of the shortfall."""

    place: int
    mark_ticks: float
    forced_lots: int
    sold_into_book_lots: int
    not_sold_lots: int
    unabsorbed_lots: int
    part_lots: tuple[int, ...]
    rounds: int
    is_exhausted: bool
    forced_notional_ticklots: float
    shortfall_ticklots: float
    gross_ticklots: float


# --- section 1: fuel and prices ---------------------------------------------------------------------------------------


def shock_price(world: GridWorld, shock_frac: float) -> float:
    """Return ``p_s = fl(p0 fl(1 -+ s))``; the same formula places any move ``u``."""
    return world.mark_ticks * (1.0 - shock_frac if world.side == "long" else 1.0 + shock_frac)


def is_at_or_before(world: GridWorld, price: float, other: float) -> bool:
    """Say whether a move away from the mark meets `price` no later than `other`."""
    return price >= other if world.side == "long" else price <= other


def ordered_buckets(world: GridWorld) -> list[int]:
    """Return the places of the buckets that count, in the page's order (G1)."""
    sign = -1.0 if world.side == "long" else 1.0
    inside = [
        k for k, trigger in enumerate(world.trigger_ticks) if not is_at_or_before(world, trigger, world.mark_ticks)
    ]
    return sorted(inside, key=lambda k: (sign * world.trigger_ticks[k], sign * world.bankruptcy_ticks[k], k))


def part_quantity(world: GridWorld, d: int, g: int, k: int) -> int:
    """Return ``q[d, g, k] = floor(fl(a[d, g] * P[e_d, g, k]))``."""
    return math.floor(world.part_lots[d][g] * world.profile_frac[world.profile_index[d]][g][k])


def quantity(world: GridWorld, d: int, k: int) -> int:
    """Return ``q[d, k]``, the sum over parts."""
    return sum(part_quantity(world, d, g, k) for g in range(len(world.part_lots[d])))


# --- section 2: a cell ------------------------------------------------------------------------------------------------


def lots_before_shock(world: GridWorld, d: int, shock_frac: float) -> int:
    """Return ``C_js`` of a sell shock (0 where no row is at or before it, and for reprice)."""
    if world.shock_kind == "reprice":
        return 0
    before = 0
    for r, c in zip(world.relative_price, world.cumulative_lots[world.book_index[d]], strict=True):
        if is_at_or_before(world, world.mark_ticks * r, shock_price(world, shock_frac)):
            before = c
    return before


def place_mark(world: GridWorld, i: int, place: int) -> float:
    """Return the mark of a place under shock `i`."""
    p_s = shock_price(world, world.shock_frac[i])
    base = world.mark_ticks if world.shock_kind == "sell" else p_s
    if place == 0:
        return p_s
    if place <= len(world.relative_price):
        return base * world.relative_price[place - 1]
    last = base * world.relative_price[-1]
    return min(1.0, p_s, last) if world.side == "long" else max(p_s, last)


def grid_cell(world: GridWorld, d: int, i: int, v: int) -> GridCell:
    """Play one cell by the single-cell oracle and add what the grid keeps of it."""
    w = world.depth_survival_frac[d][v]
    book = world.cumulative_lots[world.book_index[d]]
    lots = [quantity(world, d, k) for k in range(len(world.trigger_ticks))]
    end = oracle_replay(
        world.mark_ticks,
        world.relative_price,
        book,
        world.trigger_ticks,
        lots,
        world.bankruptcy_ticks,
        world.shock_frac[i],
        world.shock_kind,
        world.side,
        w,
        world.sold_share_frac,
    )
    x = end.sold_lots + end.unabsorbed_lots
    before = lots_before_shock(world, d, world.shock_frac[i])
    capacity = [w * float(c - before) for c in book]
    if x == 0:
        place = 0
    elif end.is_exhausted:
        place = len(book) + 1
    else:
        place = 1 + next(j for j, room in enumerate(capacity) if x <= room)
    triggered = [
        k
        for k in ordered_buckets(world)
        if end.is_exhausted or is_at_or_before(world, world.trigger_ticks[k], end.mark_ticks)
    ]
    # The cell's own figures, found a second way: a slip in either shows at once.
    assert sum(lots[k] for k in triggered) == end.forced_lots
    assert place_mark(world, i, place) == end.mark_ticks
    notional = 0.0
    for k in triggered:
        notional = notional + world.trigger_ticks[k] * float(lots[k])
    shortfall, gross = _shortfall(world, i, triggered, lots, capacity, end.sold_lots)
    return GridCell(
        place=place,
        mark_ticks=end.mark_ticks,
        forced_lots=end.forced_lots,
        sold_into_book_lots=end.sold_lots,
        not_sold_lots=end.not_sold_lots,
        unabsorbed_lots=end.unabsorbed_lots,
        part_lots=tuple(sum(part_quantity(world, d, g, k) for k in triggered) for g in range(len(world.part_lots[d]))),
        rounds=end.rounds,
        is_exhausted=end.is_exhausted,
        forced_notional_ticklots=notional,
        shortfall_ticklots=shortfall,
        gross_ticklots=gross,
    )


def _shortfall(
    world: GridWorld, i: int, triggered: list[int], lots: list[int], capacity: list[float], sold_lots: int
) -> tuple[float, float]:
    """Fill the sold lots row by row in the order of the buckets; return shortfall and gross amount (G2)."""
    loss_sign = 1.0 if world.side == "long" else -1.0
    losses: list[float] = []
    gross: list[float] = []
    queued, filled, j = 0, 0.0, 0
    for k in triggered:
        queued += math.floor(world.sold_share_frac * float(lots[k]))
        stop = float(min(sold_lots, queued))
        terms: list[float] = []
        while filled < stop:
            while capacity[j] <= filled:
                j += 1
            take = min(stop, capacity[j]) - filled
            terms += [world.bankruptcy_ticks[k] * take, -place_mark(world, i, j + 1) * take]
            filled = min(stop, capacity[j])
        losses.append(max(0.0, loss_sign * math.fsum(terms)))
        gross += [abs(t) for t in terms]
    return math.fsum(losses), math.fsum(gross)


# --- section 3: what comes out ----------------------------------------------------------------------------------------


def oracle_bin(x: float) -> int:
    """Return the bin of ``x >= 0``."""
    if x < 1:
        return 0
    e = 0
    while 2 ** (e + 1) <= x:
        e += 1
    if e > LAST_OCTAVE:
        return BIN_COUNT - 1
    return 1 + 64 * e + math.floor(64 * (x / 2**e - 1))


def oracle_bin_value(index: int, is_whole: bool) -> float:
    """Return a bin's value; `is_whole` for rounds and lots."""
    if index == 0:
        return 0.0
    e, f = divmod(index - 1, 64)
    low, width = 2.0**e * (1 + f / 64), 2.0**e / 64
    if is_whole and width <= 1 and math.ceil(low) < low + width:
        return float(math.ceil(low))
    return low + width / 2


def shortfall_bins(cell: GridCell, unit: float) -> tuple[int, int]:
    """Return the first and last bin that the shortfall may fall in under any order of its float sums.

    1e-12 of the gross amount covers some thousands of roundings; the worlds have fewer than a hundred.
    """
    slack = 1e-12 * cell.gross_ticklots
    low, high = (max(0.0, cell.shortfall_ticklots + side * slack) for side in (-1.0, 1.0))
    return oracle_bin(low / unit), oracle_bin(high / unit)


@dataclass(frozen=True)
class OracleCounts:
    """Counts of one world; the first two keys of each counter are shock and liquidity, the last one place or bin.

    `shortfall_least` and `shortfall_most` hold each cell in the first and in the last bin that it may fall in.
    """

    place: Counter[tuple[int, ...]]
    notional: Counter[tuple[int, ...]]
    rounds: Counter[tuple[int, ...]]
    shortfall_least: Counter[tuple[int, ...]]
    shortfall_most: Counter[tuple[int, ...]]
    part_bins: Counter[tuple[int, ...]]
    part_lots: Counter[tuple[int, ...]]
    unabsorbed_lots: Counter[tuple[int, ...]]


def all_cells(world: GridWorld) -> dict[tuple[int, int, int], GridCell]:
    """Play every cell; keys are draw, shock, liquidity."""
    return {
        (d, i, v): grid_cell(world, d, i, v)
        for d in range(len(world.part_lots))
        for i in range(len(world.shock_frac))
        for v in range(len(world.depth_survival_frac[d]))
    }


def reduce_cells(world: GridWorld, cells: dict[tuple[int, int, int], GridCell]) -> OracleCounts:
    """Count the cells over the draws."""
    counts = OracleCounts(*(Counter() for _ in range(8)))
    unit = world.money_unit_ticklots
    for (_, i, v), cell in cells.items():
        counts.place[i, v, cell.place] += 1
        counts.notional[i, v, oracle_bin(cell.forced_notional_ticklots / unit)] += 1
        counts.rounds[i, v, oracle_bin(float(cell.rounds))] += 1
        least, most = shortfall_bins(cell, unit)
        counts.shortfall_least[i, v, least] += 1
        counts.shortfall_most[i, v, most] += 1
        counts.unabsorbed_lots[i, v] += cell.unabsorbed_lots
        for g, forced in enumerate(cell.part_lots):
            counts.part_lots[i, v, g] += forced
            counts.part_bins[i, v, g, oracle_bin(float(forced))] += 1
    return counts


def nearest_rank(members: list[int], p: float) -> int:
    """Return the least place or bin whose cumulated count is at least ``ceil(p n)``, at least 1 (G4)."""
    rank = max(1, math.ceil(p * len(members)))
    return sorted(members)[rank - 1]


# --- section 4: critical shocks and branching -------------------------------------------------------------------------


def oracle_critical(
    world: GridWorld,
    d: int,
    v: int,
    open_interest_lots: float,
    least_shock_frac: float,
    least_gain_frac: float,
    least_forced_frac: float,
) -> tuple[int, int]:
    """Return the places of ``s_soft`` and ``s_jump`` in the grid of shocks, -1 where there is none (G5)."""
    soft, jump = -1, -1
    move_before = 0.0
    for i, s in enumerate(world.shock_frac):
        cell = grid_cell(world, d, i, v)
        move = abs(1.0 - cell.mark_ticks / world.mark_ticks)
        forced_share = float(cell.forced_lots) / open_interest_lots
        is_reported = s >= least_shock_frac and forced_share >= least_forced_frac
        if soft < 0 and is_reported and move - s >= max(s, least_gain_frac):
            soft = i
        if (
            jump < 0
            and is_reported
            and i > 0
            and (move - move_before) - (s - world.shock_frac[i - 1]) >= least_gain_frac
        ):
            jump = i
        move_before = move
    return soft, jump


def oracle_branching(world: GridWorld, d: int, v: int, move_frac: list[float]) -> list[float]:
    """Return the branching ratio of every window between two moves (G6)."""
    lots = [quantity(world, d, k) for k in range(len(world.trigger_ticks))]
    book = world.cumulative_lots[world.book_index[d]]
    burnt, depth = [], []
    for u in move_frac:
        price = shock_price(world, u)
        burnt.append(
            sum(
                math.floor(world.sold_share_frac * float(lots[k]))
                for k in ordered_buckets(world)
                if is_at_or_before(world, world.trigger_ticks[k], price)
            )
        )
        reached = [
            c
            for r, c in zip(world.relative_price, book, strict=True)
            if is_at_or_before(world, world.mark_ticks * r, price)
        ]
        depth.append(reached[-1] if reached else 0)
    w = world.depth_survival_frac[d][v]
    return [
        float(burnt[i + 1] - burnt[i]) / (w * float(depth[i + 1] - depth[i])) if depth[i + 1] > depth[i] else math.nan
        for i in range(len(move_frac) - 1)
    ]
