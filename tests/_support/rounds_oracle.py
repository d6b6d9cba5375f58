"""The naive oracle of the replays with a capped fund and a book that refills: one scenario, round by round.

Belongs here: docs/cascade_grid.md, section 5, line by line. Does not: anything of ``assets.cascade`` (its author read the same
page apart from us; the two are compared in ``tests/assets/cascade/test_rounds_oracle.py``), random worlds
(``grid_worlds.py``).

Where the page is silent or may be read in two ways, the reading taken here is:

R1. *Prices for short fuel.* "All signs turn": triggered at ``l_k <= mark``, the loss is ``fl(mark - b_k)``, the trough is the
    highest mark.
R2. *In their order* is the order of the static cascade (cascade.md, reading 7): trigger, then quantity, then bankruptcy price by
    signed value. It decides which bucket the fund reaches before it is empty. (The first draft took the order of section 1:
    trigger, bankruptcy, place in the input; the product did not. The page's law of permutation decides: with the place in the
    input as a key, two buckets of one trigger and one bankruptcy price but of other quantities change a lot with their order.)
R3. *Its floor* is that of the static cascade (cascade.md, reading 5).
R4. *Exhausted* is judged for every state anew: a book that refilled may absorb what it could not before, and ``unabsorbed_lots``
    looks at the last state only, ``is_exhausted`` at all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RoundsWorld:
    """One scenario: `rows` are (relative price, cumulative lots), `buckets` (trigger, lots, bankruptcy)."""

    mark_ticks: float
    rows: tuple[tuple[float, int], ...]
    buckets: tuple[tuple[float, int, float], ...]
    shock_frac: float
    shock_kind: str
    side: str
    w: float
    phi: float
    fund_ticklots: float
    replenishment_frac: float


@dataclass(frozen=True)
class OracleRounds:
    """Where the replay ends, in the page's words."""

    mark_ticks: float
    trough_ticks: float
    forced_lots: int
    sold_lots: int
    not_sold_lots: int
    adl_lots: int
    unabsorbed_lots: int
    excluded_lots: int
    insurance_used_ticklots: float
    rounds: int
    is_exhausted: bool


def oracle_rounds(world: RoundsWorld) -> OracleRounds:
    """Play one scenario as section 5 writes it."""
    is_fall = world.side == "long"
    sign = 1.0 if is_fall else -1.0
    p0, w, phi = world.mark_ticks, world.w, world.phi
    p_s = p0 * (1.0 - world.shock_frac if is_fall else 1.0 + world.shock_frac)
    row_mark = [(p0 if world.shock_kind == "sell" else p_s) * r for r, _ in world.rows]
    before = 0
    if world.shock_kind == "sell":
        for r, c in world.rows:
            before = c if sign * (p0 * r) >= sign * p_s else before
    room = [w * float(c - before) for _, c in world.rows]
    floor_mark = min(1.0, p_s, row_mark[-1]) if is_fall else max(p_s, row_mark[-1])

    def is_reached(k: int, mark: float) -> bool:
        return sign * world.buckets[k][0] >= sign * mark

    everything = range(len(world.buckets))
    excluded_lots = sum(world.buckets[k][1] for k in everything if is_reached(k, p0))
    order = sorted(
        (k for k in everything if not is_reached(k, p0)),
        key=lambda k: (-sign * world.buckets[k][0], world.buckets[k][1], -sign * world.buckets[k][2]),
    )
    triggered: set[int] = set()

    mark = trough = p_s
    book = to_book = not_sold = adl = forced = rounds = 0
    fund = world.fund_ticklots
    is_now_exhausted = was_exhausted = False
    while True:
        new = [k for k in order if k not in triggered and (is_now_exhausted or is_reached(k, mark))]
        if not new:
            break
        rounds += 1
        book -= math.floor(world.replenishment_frac * float(book))
        for k in new:
            triggered.add(k)
            _, q, b = world.buckets[k]
            t = math.floor(phi * float(q))
            forced += q
            not_sold += q - t
            loss = max(0.0, sign * (b - mark))
            if loss == 0.0:
                sale = t
            elif loss * float(t) <= fund:
                sale = t
                fund = fund - loss * float(t)
            else:
                sale = min(t, math.floor(fund / loss))
                fund = max(0.0, fund - loss * float(sale))
            adl += t - sale
            book += sale
            to_book += sale
        rows_that_absorb = [j for j in range(len(room)) if book <= room[j]]
        is_now_exhausted = book > 0 and not rows_that_absorb
        was_exhausted = was_exhausted or is_now_exhausted
        mark = p_s if book == 0 else floor_mark if is_now_exhausted else row_mark[rows_that_absorb[0]]
        trough = min(trough, mark) if is_fall else max(trough, mark)

    unabsorbed = book - math.floor(room[-1]) if is_now_exhausted else 0
    return OracleRounds(
        mark_ticks=mark,
        trough_ticks=trough,
        forced_lots=forced,
        sold_lots=to_book - unabsorbed,
        not_sold_lots=not_sold,
        adl_lots=adl,
        unabsorbed_lots=unabsorbed,
        excluded_lots=excluded_lots,
        insurance_used_ticklots=0.0 if math.isinf(world.fund_ticklots) else world.fund_ticklots - fund,
        rounds=rounds,
        is_exhausted=was_exhausted,
    )
