"""The naive oracle of the static cascade: a synchronous round loop in plain Python, and the random cells it is asked about.

Belongs here: the lattice rules of the cascade specification (sections 2 and 3) written as literally as Python allows,
and a seeded generator of awkward cells. Does not: anything of ``assets.cascade`` (its author read the same page apart from us; the
two are compared in ``tests/assets/cascade/test_oracle_agreement.py``), the curve, fuel estimation, money.

Where the specification is silent or may be read in two ways, the reading taken here is:

A1. *Shock price.* ``u`` is ``1 - p/p0`` down and ``p/p0 - 1`` up, so ``p_s = fl(p0 * fl(1 -+ s))``: two roundings. Prices
    are "ticks in float64", so neither ``p_s`` nor a mark is rounded to a whole tick.
A2. *Products.* ``fl(...)`` is written for some products only; a mark is a float64, so ``p0 r_j`` is ``fl(p0 r_j)``, and
    ``floor(phi q_k)`` is ``floor(fl(phi q_k))`` (0.7 of 10 lots are 7 lots, though the double 0.7 lies below 7/10).
    One bucket has fewer than 2^53 lots, as the book has by the specification; their sum may be larger.
A3. *Excluded.* "Already past the mark" uses the inclusive trigger at ``p0``: a long at ``l >= p0``, a short at ``l <= p0``
    (``F(0) = 0`` leaves no other reading). ``excluded_lots`` counts them, they are in no other figure.
A4. *js where no row is at or before p_s.* Nothing was eaten on the way to ``p_s``: ``C_js`` is 0.
    "At or before" compares prices, ``fl(p0 r_j)`` with ``p_s``; a row exactly at ``p_s`` counts as eaten.
A5. *reprice with X = 0.* "X = 0 gives mark = p_s" stands in the sell rule only, and the reprice rule alone would give the
    first row, ``fl(p_s r_0)``: a fall beyond the shock without one lot sold. The continuum line decides: reprice is
    "the same" ``inf{u >= s: ...}``, which is ``s`` where nothing is sold. So ``p_s``, for both kinds; it matters only for a
    book whose first row is not at the mark itself. (The first draft read the lattice rule alone; the product did not.)
A6. *Rounds.* A round is a pass in which at least one bucket is newly triggered ("all newly triggered buckets are sold, then
    the mark moves"), also where its lots to sell are 0. The last, empty look is not a round; no trigger, 0 rounds.
A7. *Exhaustion.* The mark goes to its floor, and the fuel that this triggers is one more round where there is any, as the
    rule of rounds has it; then the replay ends. (The first draft let it fall in the round that exhausts; the page does not
    say. It is a count only.) The book took all that it could, the largest whole ``X`` it would still have absorbed:
    ``sold = floor(fl(w C))`` of the last row (sell: less ``C_js``), and the residue, of *all* fuel, is unabsorbed.
A8. *The floor.* Down: one tick, 1.0. Up there is no floor in the specification: the last row's price,
    ``fl(p0 r_last)`` (sell) or ``fl(p_s r_last)`` (reprice), but never back behind ``p_s`` (a book shorter than the shock,
    or without rows, ends at ``p_s``): anything else breaks the law "monotone in fuel".
A9. *Below one tick.* Shocks to under one tick are outside the domain (refused here); marks are not clamped otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

KINDS = ("sell", "reprice")
SIDES = ("long", "short")


@dataclass(frozen=True)
class OracleOutcome:
    """Where the price ends and what was forced; lots are whole, the mark is in ticks."""

    mark_ticks: float
    forced_lots: int
    sold_lots: int
    not_sold_lots: int
    unabsorbed_lots: int
    excluded_lots: int
    rounds: int
    is_exhausted: bool


def oracle_replay(
    mark_ticks: float,
    relative_price: Sequence[float],
    cumulative_lots: Sequence[int],
    trigger_ticks: Sequence[float],
    quantity_lots: Sequence[int],
    bankruptcy_ticks: Sequence[float],
    shock_frac: float,
    shock_kind: str,
    side: str,
    w: float = 1.0,
    phi: float = 1.0,
) -> OracleOutcome:
    """Replay one shock by rounds, rounds x buckets x rows, with no cleverness at all.

    Parameters
    ----------
    mark_ticks : float
        Reference price ``p0``.
    relative_price, cumulative_lots : sequence of float, sequence of int
        Book rows: ``r_j`` non-increasing for long fuel, non-decreasing for short fuel; ``C_j`` non-decreasing, < 2^53.
    trigger_ticks, quantity_lots, bankruptcy_ticks : sequences of equal length
        Fuel buckets in any order. The bankruptcy price values the shortfall and moves no price: it is not read here.
    shock_frac : float
        ``s``: down in [0, 1), up >= 0.
    shock_kind : {"sell", "reprice"}
    side : {"long", "short"}
        Whose positions are the fuel: longs of a fall, shorts of a squeeze.
    w, phi : float
        Depth survival ``W`` and the share of triggered lots sold into this book.

    Raises
    ------
    ValueError
        On an unknown kind or side, or a shock to below one tick (A9).
    """
    if shock_kind not in KINDS or side not in SIDES:
        raise ValueError(f"shock_kind {shock_kind!r}, side {side!r}: use one of {KINDS} and one of {SIDES}")
    is_fall = side == "long"  # "Longs are the fuel of a fall, shorts of a squeeze"
    p0 = float(mark_ticks)
    r = [float(x) for x in relative_price]
    c = [int(x) for x in cumulative_lots]
    trigger = [float(x) for x in trigger_ticks]
    lots = [int(x) for x in quantity_lots]

    # "distance from p0: down 1 - p/p0 in [0, 1), up p/p0 - 1" (A1)
    p_s = p0 * (1.0 - shock_frac) if is_fall else p0 * (1.0 + shock_frac)
    if is_fall and p_s < 1.0:
        raise ValueError(f"shock_frac {shock_frac} takes {p0} ticks to {p_s}, below one tick: use a finer tick")

    def is_reached(k: int, mark: float) -> bool:
        # "Trigger inclusive: a long at l >= mark, a short at l <= mark."
        return trigger[k] >= mark if is_fall else trigger[k] <= mark

    # "F(0) = 0: buckets already past the mark are excluded and counted" (A3)
    excluded = [k for k in range(len(lots)) if is_reached(k, p0)]
    waiting = [k for k in range(len(lots)) if not is_reached(k, p0)]

    # "js = last row at or before p_s" (A4)
    lots_before_shock = 0
    if shock_kind == "sell":
        for j in range(len(r)):
            if (p0 * r[j] >= p_s) if is_fall else (p0 * r[j] <= p_s):
                lots_before_shock = c[j]

    def capacity(j: int) -> float:
        # sell: "fl(w (C_j - C_js))"; reprice: "fl(w C_j)". lots_before_shock is 0 for reprice.
        return w * float(c[j] - lots_before_shock)

    def row_price(j: int) -> float:
        # sell: "mark = p0 r_j"; reprice: "mark = fl(p_s r_j)"
        return p0 * r[j] if shock_kind == "sell" else p_s * r[j]

    def mark_after(x: int) -> float | None:
        # "With X lots sold in total after the shock price p_s"; None where no row absorbs.
        if x == 0:
            return p_s  # "X = 0 gives mark = p_s" (A5 for reprice)
        for j in range(len(r)):
            if x <= capacity(j):  # "j = first row with X <= ..."; Python compares int with float exactly
                return row_price(j)
        return None

    def lots_to_sell(k: int) -> int:
        # "lots sold = floor(phi q_k), the remainder goes to not_sold" (A2)
        return math.floor(phi * float(lots[k]))

    triggered: list[int] = []
    x = 0
    rounds = 0
    is_exhausted = False
    mark = mark_after(0)
    assert mark is not None  # X = 0 is always absorbed
    while True:
        # "Rounds are synchronous: all newly triggered buckets are sold, then the mark moves."
        newly = [k for k in waiting if is_reached(k, mark)]
        if not newly:
            break  # "The state is the least fixed point"
        rounds += 1
        triggered += newly
        waiting = [k for k in waiting if k not in newly]
        x = sum(lots_to_sell(k) for k in triggered)
        moved = mark_after(x)
        if moved is None:
            # "Exhaustion: where no row absorbs, is_exhausted, all fuel triggers" (A7)
            is_exhausted = True
            rounds += 1 if waiting else 0
            triggered += waiting
            x = sum(lots_to_sell(k) for k in triggered)
            # "the floor is one tick" (A8 for the way up)
            last = len(r) - 1
            mark = 1.0 if is_fall else (max(p_s, row_price(last)) if r else p_s)
            break
        mark = moved

    forced = sum(lots[k] for k in triggered)
    # "the residue is unabsorbed": beyond the whole lots that the last row would still have absorbed (A7)
    sold = (math.floor(capacity(len(r) - 1)) if r else 0) if is_exhausted else x
    return OracleOutcome(
        mark_ticks=mark,
        forced_lots=forced,
        sold_lots=sold,
        not_sold_lots=forced - x,
        unabsorbed_lots=x - sold,
        excluded_lots=sum(lots[k] for k in excluded),
        rounds=rounds,
        is_exhausted=is_exhausted,
    )


# --- cells: one book, one fuel, one shock -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One question to the replay: `rows` are (relative price, cumulative lots), `buckets` (trigger, lots, bankruptcy)."""

    mark_ticks: float
    rows: tuple[tuple[float, int], ...]
    buckets: tuple[tuple[float, int, float], ...]
    shock_frac: float
    shock_kind: str
    side: str
    w: float = 1.0
    phi: float = 1.0

    def book_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ``float64[n_rows]`` relative prices and ``int64[n_rows]`` cumulative lots."""
        return np.array([r for r, _ in self.rows], dtype=np.float64), np.array(
            [c for _, c in self.rows], dtype=np.int64
        )

    def fuel_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``float64`` triggers, ``int64`` lots and ``float64`` bankruptcy prices, each ``[n_buckets]``."""
        return (
            np.array([b[0] for b in self.buckets], dtype=np.float64),
            np.array([b[1] for b in self.buckets], dtype=np.int64),
            np.array([b[2] for b in self.buckets], dtype=np.float64),
        )

    def oracle(self) -> OracleOutcome:
        """Ask the oracle."""
        return oracle_replay(
            self.mark_ticks,
            [r for r, _ in self.rows],
            [c for _, c in self.rows],
            [b[0] for b in self.buckets],
            [b[1] for b in self.buckets],
            [b[2] for b in self.buckets],
            self.shock_frac,
            self.shock_kind,
            self.side,
            self.w,
            self.phi,
        )


def random_cell(rng: Random, shock_kind: str, side: str) -> Cell:
    """Draw one awkward cell: ties, zero lots, shocks on a level, near-critical books, chains, exhaustion, no fuel.

    Everything hangs on a grid of steps below (long) or above (short) the mark, so that triggers, rows and the shock meet
    exactly, and is then knocked off the grid by one float or moved onto the marks themselves in some of the cells.
    The product asks for a shock above 0, a book with some depth and less than 2^53 lots of fuel: so do all cells.
    """
    d = -1.0 if side == "long" else 1.0
    is_chain = rng.random() < 0.3
    # A power of two makes p0 r_j exact; the others round, which is where two readings part.
    p0 = float(rng.choice([1 << 10, 1 << 14, rng.randint(500, 5000), rng.randint(10**4, 10**7), 1234.5, 99999.9]))
    step = p0 / rng.choice([64, 100, 128, 1000])
    n_rows = rng.choice([8, 20, 30] if is_chain else [1, 2, 3, 8, 8, 20, 30])
    scale = rng.choice([3, 10, 10, 1000, 10**9, 1 << 47])  # 30 rows of up to 2 x 2^47 stay below 2^53
    offsets = _row_offsets(rng, n_rows)
    row_lots = [rng.choice([0, 1, scale, scale, rng.randint(0, 2 * scale)]) for _ in offsets]
    if is_chain or rng.random() < 0.4:
        row_lots = [scale] * n_rows
    prices = [1.0 + d * o * step / p0 for o in offsets]
    row_lots[-1] = max(1, row_lots[-1])
    cumulative = [sum(row_lots[: j + 1]) for j in range(n_rows)]
    w = rng.choice([1.0, 1.0, 1.0, 0.5, 0.294, 0.059, rng.random()])
    phi = rng.choice([1.0, 1.0, 1.0, 0.5, 0.7, 1 / 3, rng.random()])
    shock = _shock(rng, prices, step / p0)
    cell = Cell(p0, tuple(zip(prices, cumulative, strict=True)), (), shock, shock_kind, side, w, phi)
    p_s = p0 * (1.0 + d * shock)
    # The prices that the mark may take: on these, inclusive and exclusive part.
    marks = [(p0 if shock_kind == "sell" else p_s) * r for r in prices]
    buckets = _chain(rng, cell, p_s, marks) if is_chain else _fuel(rng, cell, p_s, marks, d * step)
    if sum(lots for _, lots, _ in buckets) >= 1 << 53:
        buckets = tuple((trigger, lots >> 8, broke) for trigger, lots, broke in buckets)
    return replace(cell, buckets=buckets)


def _row_offsets(rng: Random, n_rows: int) -> list[float]:
    """Return non-decreasing steps away from the mark, the first usually 0, some rows at one price."""
    gaps = [rng.choice([1, 1, 1, 1, 2, 0, 0.5]) for _ in range(n_rows)]
    gaps[0] = rng.choice([0, 0, 0, 1, 0.5])
    # 40 steps of p0/64 is the farthest row, so that no row goes below a tick.
    return [min(float(sum(gaps[: j + 1])), 40.0) for j in range(n_rows)]


def _shock(rng: Random, prices: list[float], step_frac: float) -> float:
    """Return a shock: exactly on a row, on the grid, beyond the book, off by one float, next to none, or anywhere."""
    near_row = abs(1.0 - rng.choice(prices[: 1 + len(prices) // 4]))
    any_row = abs(1.0 - rng.choice(prices))
    beyond = abs(1.0 - prices[-1]) + 0.01
    on_grid = rng.randint(0, 4) * step_frac
    draw = rng.choice([near_row, near_row, near_row, any_row, on_grid, on_grid, on_grid, 0.0])
    if rng.random() < 0.2:
        draw = rng.choice([beyond, rng.random() * 0.3, rng.random() * 3 * step_frac])
    if rng.random() < 0.15:
        draw = math.nextafter(draw, rng.choice([0.0, 1.0]))
    # 1e-18 leaves p_s at p0 to the last bit: the shock of nothing, without being 0.
    return min(max(draw, 1e-18), 0.9)


def _fuel(
    rng: Random, cell: Cell, p_s: float, marks: list[float], signed_step: float
) -> tuple[tuple[float, int, float], ...]:
    """Return buckets in random order: some excluded, tied, empty, on a mark, one float off it; or uniform ones."""
    p0, rows = cell.mark_ticks, cell.rows
    n_buckets = rng.choice([0, 1, 2, 5, 8, 13, 25])
    # The size of a bucket that keeps pace with one row: near it the answer hangs on a single lot.
    pace = min(1 << 52, max(1, round(cell.w * (rows[-1][1] / len(rows)) / max(cell.phi, 1e-6))))
    size = rng.choice(
        [pace, pace, max(1, pace - 1), max(1, pace * 3 // 4), max(1, pace // 2), max(1, pace // 4), 4 * pace]
    )
    is_uniform = rng.random() < 0.4
    out = []
    for i in range(n_buckets):
        if is_uniform:
            price, lots = p0 + signed_step * (i + 1), size
        else:
            on_grid = p0 + signed_step * rng.randint(-1, 30)
            behind_shock = rng.uniform(p_s, p_s + 5 * signed_step)
            price = rng.choice([on_grid, rng.choice(marks), rng.choice(marks), rng.choice(marks), p_s, behind_shock])
            lots = rng.choice([0, 1, size, size, size + 1, max(0, size - 1), rng.randint(0, 2 * size)])
        if rng.random() < 0.1:
            price = math.nextafter(price, rng.choice([0.0, math.inf]))
        out.append((price, lots, price + 0.5 * signed_step))
    rng.shuffle(out)
    return tuple(out)


def _chain(rng: Random, cell: Cell, p_s: float, marks: list[float]) -> tuple[tuple[float, int, float], ...]:
    """Return one bucket per row at that row's mark, as large as the next row takes, now and then a lot off.

    Each level then triggers the next and no more: the case with the most rounds, and the one where a sweep that reads a
    boundary the other way stops or runs on.
    """
    chain = [(p_s, rng.choice([1, 2, max(1, math.floor(cell.w * cell.rows[0][1]))]), p_s)]
    for j, price in enumerate(marks):
        ahead = cell.rows[min(j + 1, len(cell.rows) - 1)][1] - cell.rows[j][1]
        pace = min(1 << 52, math.ceil(cell.w * ahead / max(cell.phi, 1e-6)))
        chain.append((price, max(0, pace + rng.choice([0] * 30 + [1, -1])), price))
    if rng.random() < 0.5:  # the last row's own bucket is what the book cannot take: half of the chains end before it
        chain.pop()
    rng.shuffle(chain)
    return tuple(chain)


def shrink(cell: Cell, fails: Callable[[Cell], bool]) -> Cell:
    """Return a smaller cell for which ``fails(cell)`` is still true: drop buckets and rows one by one while it is."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        candidates = [replace(cell, buckets=_without(cell.buckets, k)) for k in range(len(cell.buckets))]
        candidates += [replace(cell, rows=_without(cell.rows, j)) for j in range(len(cell.rows))]
        candidates += [replace(cell, w=1.0)] if cell.w != 1.0 else []
        candidates += [replace(cell, phi=1.0)] if cell.phi != 1.0 else []
        for candidate in candidates:
            if fails(candidate):
                cell, is_smaller = candidate, True
                break
    return cell


def _without(items: tuple, position: int) -> tuple:
    return items[:position] + items[position + 1 :]
