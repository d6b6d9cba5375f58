"""The compiled loops of the static cascade: they fill arrays and do nothing else.

Belongs here: every kernel of the static cascade: one market and many shocks (``simulate.py``), the grid of draws
(``grid.py``), the round loop of the modes that are not monotone (``rounds.py``). Self-contained: a compiled helper in another
module would leave a stale cached caller. Does not: validation, allocation, sorting, randomness, clocks, messages; the callers
do those.

Signed prices. A kernel knows one direction only: prices come multiplied by ``d = +1`` for long fuel and ``d = -1`` for
short fuel, so that the mark always *falls*, triggers are sorted non-increasing, and a bucket is reached where
``trigger >= mark``. Negation is exact, so both directions give the same bits.

Options. ``fastmath`` is off: it removes NaN checks and allows fused multiply-adds, which change ``fl(w C)``.
``parallel`` is off: its OpenMP pool kills forked children; ``nogil`` lets threads work on chunks of scenarios instead.
No ``pow`` in any loop: the law beyond the book is tabulated into rows before (libraries differ in ``pow``).

References
----------
docs/cascade.md, section 3 (lattice rules).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
# Rows, buckets and cells are counted from 0 without a sign: a loop that knows it leaves out the wrap of negative places.
U32 = npt.NDArray[np.uint32]

# Columns of `shocks`, float64[n_scenarios, 3].
START = 0  # signed price right after the shock
BASE = 1  # signed price that relative prices multiply: p0 (sell) or the shock price (reprice)
SURVIVAL = 2  # w

# Columns of `states`, int64[n_scenarios, 5]. The caller fills FIRST_ROW and, before valuation, SOLD.
FIRST_ROW = 0  # first row that the shock left untouched; 0 for reprice
REACHED = 1  # number of buckets triggered
ROW = 2  # row of the final mark; -1 where nothing was sold; n_rows where no row absorbs
ROUNDS = 3  # synchronous rounds that triggered at least one bucket
SOLD = 4  # lots that the book absorbed

# Columns of `values`, float64[n_scenarios, 4], signed like prices.
FORCED_NOTIONAL = 0
SOLD_TRIGGER_VALUE = 1
PROCEEDS = 2
SHORTFALL = 3

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": False, "no_cfunc_wrapper": True}
# Only compiled loops call these: without a door from Python they compile faster.
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}


@njit(**_INNER)
def _count_reached(triggers: F64, mark: float, begin: int) -> int:
    """Return how many triggers are at or above `mark`, knowing that the first `begin` are. Gallops, then bisects.

    Strides grow sixteenfold: in a large book of fuel a step is a wait for memory, and a bisection of one stride more costs less.
    """
    n = triggers.shape[0]
    low = begin
    high = begin
    step = 1
    while high < n and triggers[high] >= mark:
        low = high + 1
        high += step
        step *= 16
    high = min(high, n)
    while low < high:
        middle = (low + high) // 2
        if triggers[middle] >= mark:
            low = middle + 1
        else:
            high = middle
    return low


@njit(**_INNER)
def _absorbing_row(cumulative_lots: I64, eaten: int, survival: float, sold: int, begin: int) -> int:
    """Return the first row at or after `begin` with ``sold <= fl(w (C_j - eaten))``; n_rows where there is none."""
    n = cumulative_lots.shape[0]
    low = begin
    high = begin
    step = 1
    while high < n and sold > survival * (cumulative_lots[high] - eaten):
        low = high + 1
        high += step
        step *= 2
    high = min(high, n)
    while low < high:
        middle = (low + high) // 2
        if sold > survival * (cumulative_lots[middle] - eaten):
            low = middle + 1
        else:
            high = middle
    return low


@njit(**_OPTIONS)
def fill_prefixes(quantities: I64, sold_share: float, prefixes: I64) -> None:
    """Fill prefix sums over sorted buckets.

    Parameters
    ----------
    quantities : int64[n]
        Lots per bucket.
    sold_share : float
        phi.
    prefixes : int64[2, n + 1]
        Modified in place: row 0 sums ``q_k``, row 1 sums ``floor(phi q_k)``.
    """
    prefixes[0, 0] = 0
    prefixes[1, 0] = 0
    for k in range(quantities.shape[0]):
        prefixes[0, k + 1] = prefixes[0, k] + quantities[k]
        prefixes[1, k + 1] = prefixes[1, k] + math.floor(sold_share * quantities[k])


@njit(**_OPTIONS)
def merge_scenarios(
    triggers: F64, sold_prefix: I64, relative_price: F64, cumulative_lots: I64, shocks: F64, states: I64
) -> None:
    """Merge fuel and book with two pointers, every scenario from its own start; one turn of the loop is one round.

    Parameters
    ----------
    triggers : float64[n]
        Signed, non-increasing.
    sold_prefix : int64[n + 1]
    relative_price, cumulative_lots : float64[m], int64[m]
    shocks : float64[n_scenarios, 3]
    states : int64[n_scenarios, 5]
        Modified in place: REACHED, ROW and ROUNDS from FIRST_ROW.
    """
    n = triggers.shape[0]
    m = relative_price.shape[0]
    for s in range(shocks.shape[0]):
        mark = shocks[s, START]
        base = shocks[s, BASE]
        survival = shocks[s, SURVIVAL]
        row = states[s, FIRST_ROW]
        eaten = cumulative_lots[row - 1] if row > 0 else 0
        reached = 0
        rounds = 0
        while True:
            after = _count_reached(triggers, mark, reached)
            if after == reached:
                break
            rounds += 1
            reached = after
            if sold_prefix[reached] == 0:
                # Nothing sold: the mark stays, and the next turn finds nothing new.
                continue
            row = _absorbing_row(cumulative_lots, eaten, survival, sold_prefix[reached], row)
            if row == m:
                # Exhausted: the mark falls to the floor and takes what is left in one more round.
                if reached < n:
                    rounds += 1
                    reached = n
                break
            mark = base * relative_price[row]
        states[s, REACHED] = reached
        states[s, ROW] = row if sold_prefix[reached] > 0 else -1
        states[s, ROUNDS] = rounds


@njit(**_OPTIONS)
def sweep_scenarios(
    triggers: F64, sold_prefix: I64, relative_price: F64, cumulative_lots: I64, shocks: F64, states: I64
) -> None:
    """Sweep scenarios of growing severity with shared pointers; the fixed points are those of `merge_scenarios`.

    The fixed point of a milder shock lies below that of a harsher one and is a lawful start for it, because the replay
    is monotone. So the pointers never go back: all scenarios together cost one walk. Rounds are not counted.

    Parameters
    ----------
    triggers, sold_prefix, relative_price, cumulative_lots
        As for `merge_scenarios`.
    shocks : float64[n_scenarios, 3]
        One shock kind; START non-increasing and SURVIVAL non-increasing.
    states : int64[n_scenarios, 5]
        Modified in place: REACHED and ROW from FIRST_ROW; ROUNDS untouched.
    """
    n = triggers.shape[0]
    m = relative_price.shape[0]
    reached = 0
    row = 0
    for s in range(shocks.shape[0]):
        base = shocks[s, BASE]
        survival = shocks[s, SURVIVAL]
        first = states[s, FIRST_ROW]
        eaten = cumulative_lots[first - 1] if first > 0 else 0
        row = max(row, first)
        reached = _count_reached(triggers, shocks[s, START], reached)
        while sold_prefix[reached] > 0:
            row = _absorbing_row(cumulative_lots, eaten, survival, sold_prefix[reached], row)
            if row == m:
                reached = n
                break
            after = _count_reached(triggers, base * relative_price[row], reached)
            if after == reached:
                break
            reached = after
        states[s, REACHED] = reached
        states[s, ROW] = row if sold_prefix[reached] > 0 else -1


@njit(**_INNER)
def _fill_rows(
    begin: int,
    end: int,
    row: int,
    last_row: int,
    base: float,
    survival: float,
    eaten: int,
    relative_price: F64,
    cumulative_lots: I64,
) -> tuple[float, int]:
    """Return what the lots from `begin` to `end` fetch, row by row from `row` on, and the row they end on."""
    cost = 0.0
    at = float(begin)
    while at < end:
        # The row of the final mark serves the rest: by construction all sold lots fit, up to rounding of w C.
        row_end = float(end) if row >= last_row else survival * (cumulative_lots[row] - eaten)
        until = min(row_end, float(end))
        if until > at:
            cost += (until - at) * (base * relative_price[row])
            at = until
        if at < end:
            row += 1
    return cost, row


@njit(**_OPTIONS)
def value_scenarios(
    triggers: F64,
    bankruptcies: F64,
    prefixes: I64,
    relative_price: F64,
    cumulative_lots: I64,
    shocks: F64,
    states: I64,
    values: F64,
) -> None:
    """Value each scenario at its fixed point: sold lots fill the book row by row in the order of their triggers.

    Parameters
    ----------
    triggers, bankruptcies : float64[n]
        Signed.
    prefixes : int64[2, n + 1]
        From `fill_prefixes`.
    relative_price, cumulative_lots, shocks
        As for `merge_scenarios`.
    states : int64[n_scenarios, 5]
        FIRST_ROW, REACHED, ROW and SOLD are read.
    values : float64[n_scenarios, 4]
        Modified in place: signed forced notional, trigger value of the sold lots, proceeds; shortfall (not negative).
    """
    m = relative_price.shape[0]
    for s in range(shocks.shape[0]):
        row = states[s, FIRST_ROW]
        eaten = cumulative_lots[row - 1] if row > 0 else 0
        last_row = min(states[s, ROW], m - 1)
        base, survival, sold_total = shocks[s, BASE], shocks[s, SURVIVAL], states[s, SOLD]
        filled = 0
        forced_notional = 0.0
        sold_value = 0.0
        proceeds = 0.0
        shortfall = 0.0
        for k in range(states[s, REACHED]):
            forced_notional += triggers[k] * (prefixes[0, k + 1] - prefixes[0, k])
            end = min(prefixes[1, k + 1], sold_total)
            lots = end - filled
            if lots <= 0:
                continue
            cost, row = _fill_rows(filled, end, row, last_row, base, survival, eaten, relative_price, cumulative_lots)
            filled = end
            sold_value += triggers[k] * lots
            proceeds += cost
            shortfall += max(0.0, bankruptcies[k] * lots - cost)
        values[s, FORCED_NOTIONAL] = forced_notional
        values[s, SOLD_TRIGGER_VALUE] = sold_value
        values[s, PROCEEDS] = proceeds
        values[s, SHORTFALL] = shortfall


# --- the grid: draws x shocks x liquidities -----------------------------------------------------------------------------

# Log bins: 64 to the octave from 1 to 2^53, one for what is below 1. The upper bits of a float64 are its octave and the
# share of it, so the bin of a number is a shift.
BINS_PER_OCTAVE = 64
BINS = 1 + 53 * BINS_PER_OCTAVE
_SHIFT = 46  # 52 bits of mantissa, 6 of them kept

# Draws whose cells are noted before they are counted: a cell's counts stay near while a block is added to them. A draw's
# notes are a cache line longer than its cells, so that a cell's notes do not fight for the same places of the cache.
_BLOCK = 112
_LINE = 16

# The shelf of a book: for each log bin of lots, 512 to the octave, the first row that holds so many. It is a lower bound that
# a step or two makes exact.
_SHELF_SHIFT = 43
_SHELVES = 1 + (53 << (52 - _SHELF_SHIFT))

# Whole numbers below 2^52 are the lower bits of 2^52 plus them: floats turn into int64 in vectors, which AVX2 cannot do else.
_TWO_52 = 2.0**52
_LOW_52 = (1 << 52) - 1

# Rows of `reach`, int64[2, n_shocks]: what a shock alone decides, the same for every draw.
AT_START = 0  # buckets triggered at the shock price
UNTOUCHED = 1  # first row that the shock left untouched


@njit(**_INNER)
def _fill_fuel(part_lots: F64, profile: F64, lots: I64, quantities: I64) -> None:
    """Fill one draw: int64[n_parts, n] lots of the parts and int64[n] of a bucket."""
    n_parts, n = profile.shape
    quantities[:] = 0
    for g in range(n_parts):
        size = part_lots[g]
        share = profile[g]
        lots_of_part = lots[g]
        for k in range(n):
            bits: Any = np.float64(np.floor(size * share[k]) + _TWO_52).view(np.int64)
            whole = bits & _LOW_52
            lots_of_part[k] = whole
            quantities[k] += whole


@njit(**_INNER)
def _fill_sold(quantities: I64, sold_share: float, sold_prefix: I64) -> None:
    """Fill what the first buckets sell, for every number of them: int64[n + 1]."""
    together = 0
    sold_prefix[0] = 0
    for k in range(quantities.shape[0]):
        together += quantities[k] if sold_share == 1.0 else math.floor(sold_share * quantities[k])
        sold_prefix[k + 1] = together


@njit(**_INNER)
def _log_bin(value: float, shift: int) -> int:
    """Return the log bin of a value of 0 or more, ``2^(52 - shift)`` to the octave; below 1 the bits lie below those of bin 1."""
    bits: Any = np.float64(value).view(np.int64)
    place: int = min(max(1 + (bits >> shift) - (1023 << (52 - shift)), 0), 53 << (52 - shift))
    return place


@njit(**_INNER)
def _fill_sums(triggers: F64, quantities: I64, sold_share: float, sold_prefix: I64, notional: F64) -> None:
    """Fill what the first buckets sell and, float64[n + 1], their forced notional: one loop, as its floats wait anyway."""
    together = 0
    value = 0.0
    sold_prefix[0] = 0
    notional[0] = 0.0
    for k in range(quantities.shape[0]):
        together += quantities[k] if sold_share == 1.0 else math.floor(sold_share * quantities[k])
        sold_prefix[k + 1] = together
        value += abs(triggers[k]) * quantities[k]
        notional[k + 1] = value


@njit(**_INNER)
def _fill_book(cumulative_lots: I64, depth: F64, shelf: U32) -> None:
    """Fill one book: float64[m + 1], exact, with a last row that absorbs all; uint32[_SHELVES] first row in or after a bin."""
    m = cumulative_lots.shape[0]
    begin = 0
    for j in range(m):
        depth[j] = cumulative_lots[j]
        end = _log_bin(depth[j], _SHELF_SHIFT) + 1
        if end > begin:
            shelf[begin:end] = j
            begin = end
    depth[m] = math.inf
    shelf[begin:] = m


@njit(**_INNER)
def _walk_cells(
    sold_prefix: I64,
    ends: U32,
    reach: I64,
    depth: F64,
    survivals: F64,
    to_sell: F64,
    rows: I64,
    places: U32,
    reached: U32,
) -> None:
    """Walk one draw's cells: a cell starts from the row of the milder shock and of the deeper book beside it.

    A row is the cell's end where what its mark has triggered fits into the book up to it, and the first such row is the
    fixed point of the rounds. It moves outward with the shock and with thinner books, so no row is visited twice on the way.
    """
    m = depth.shape[0] - 1
    n_liquidities = survivals.shape[0]
    shared = ends.shape[0] == 1
    if shared:
        for j in range(m + 1):
            to_sell[j] = sold_prefix[ends[0, j]]
    rows[:] = 0
    for s in range(reach.shape[1]):
        first = reach[UNTOUCHED, s]
        at_start = reach[AT_START, s]
        c = s * n_liquidities
        if sold_prefix[at_start] == 0:
            places[c : c + n_liquidities] = 0
            reached[c : c + n_liquidities] = at_start
            continue
        eaten = depth[first - 1] if first > 0 else 0.0
        end = ends[0 if shared else s]
        row = first
        for w in range(n_liquidities):
            survival = survivals[w]
            row = max(row, rows[w])
            # The last row absorbs all, so the walk ends there at the latest.
            if shared:
                while row >= 0 and to_sell[row] > survival * (depth[row] - eaten):
                    row += 1
            else:
                while row >= 0 and sold_prefix[end[row]] > survival * (depth[row] - eaten):
                    row += 1
            rows[w] = row
            places[c + w] = row + 1
            reached[c + w] = end[row]


@njit(**_INNER)
def _play_cells(
    sold_prefix: I64,
    ends: U32,
    reach: I64,
    depth: F64,
    shelf: U32,
    survivals: F64,
    cells: U32,
    scratch: tuple[F64, F64, U32],
    places: U32,
    reached: U32,
    rounds: U32,
) -> None:
    """Play one draw's cells by synchronous rounds, all cells a round at a time: they do not wait for each other.

    The row that absorbs the sold lots is looked up on the shelf from ``sold / w + eaten``, made a little too small, and moved
    outward until the rule itself holds. While they play, `places` holds rows.
    """
    eaten, per_survival, active = scratch
    for s in range(reach.shape[1]):
        first = reach[UNTOUCHED, s]
        eaten[s] = depth[first - 1] if first > 0 else 0.0
    for w in range(survivals.shape[0]):
        per_survival[w] = (1.0 / survivals[w]) * (1.0 - 2.0**-50)
    n_active = 0
    for c in range(cells.shape[1]):
        at_start = reach[AT_START, cells[0, c]]
        is_selling = sold_prefix[at_start] > 0
        reached[c] = at_start
        rounds[c] = at_start > 0
        places[c] = reach[UNTOUCHED, cells[0, c]] if is_selling else 0
        active[n_active] = c
        n_active += is_selling
    shared = ends.shape[0] == 1
    while n_active > 0:
        still = 0
        for i in range(n_active):
            c = active[i]
            s, w = cells[0, c], cells[1, c]
            before = reached[c]
            sold = float(sold_prefix[before])
            row = max(places[c], shelf[_log_bin(sold * per_survival[w] + eaten[s], _SHELF_SHIFT)])
            while sold > survivals[w] * (depth[row] - eaten[s]):
                row += np.uint32(1)
            after = ends[0 if shared else s, row]
            places[c] = row
            reached[c] = after
            is_new = after > before
            rounds[c] += is_new
            active[still] = c
            still += is_new
        n_active = still
    for c in range(cells.shape[1]):
        if sold_prefix[reached[c]] > 0:
            places[c] += np.uint32(1)


@njit(**_INNER)
def _add_parts(lots: I64, reached: U32, prefix: I64, part_sum: I64, part_count: I32) -> None:
    """Add each part's forced lots of each cell to the sums and, where they were asked for, to the counts."""
    n_parts, n = lots.shape
    for g in range(n_parts):
        together = 0
        prefix[g, 0] = 0
        for k in range(n):
            together += lots[g, k]
            prefix[g, k + 1] = together
    # Two parts at a time: they are reached in the same places.
    for g in range(0, n_parts - 1, 2):
        for c in range(reached.shape[0]):
            end = reached[c]
            part_sum[g, c] += prefix[g, end]
            part_sum[g + 1, c] += prefix[g + 1, end]
    if n_parts % 2 == 1:
        for c in range(reached.shape[0]):
            part_sum[n_parts - 1, c] += prefix[n_parts - 1, reached[c]]
    if part_count.shape[0] > 0:
        for g in range(n_parts):
            for c in range(reached.shape[0]):
                part_count[c, g, _log_bin(float(prefix[g, reached[c]]), _SHIFT)] += 1


@njit(**_INNER)
def _note_notional(notional: F64, money_unit: float, reached: U32, bins: U32) -> None:
    """Note the bin of the notional of one draw's cells."""
    for c in range(reached.shape[0]):
        bins[c] = _log_bin(notional[reached[c]] / money_unit, _SHIFT)


@njit(**_INNER)
def _add_unabsorbed(sold_prefix: I64, reach: I64, depth: F64, survivals: F64, places: U32, unabsorbed_sum: I64) -> None:
    """Add what the books of one draw's cells did not absorb."""
    n, m = sold_prefix.shape[0] - 1, depth.shape[0] - 1
    n_liquidities = survivals.shape[0]
    for s in range(reach.shape[1]):
        # Thinner books end further out, so the exhausted ones of a shock are its last.
        c = (s + 1) * n_liquidities - 1
        w = n_liquidities - 1
        while w >= 0 and places[c] > m:
            first = reach[UNTOUCHED, s]
            eaten = depth[first - 1] if first > 0 else 0.0
            holds = math.floor(survivals[w] * (depth[m - 1] - eaten))
            unabsorbed_sum[c] += sold_prefix[n] - min(sold_prefix[n], holds)
            c -= 1
            w -= 1


@njit(**_INNER)
def _count_noted(noted: U32, size: int, place_count: I32, notional_count: I32, rounds_count: I32) -> None:
    """Count a block of notes, cell by cell."""
    for c in range(place_count.shape[0]):
        for b in range(size):
            place_count[c, noted[0, b, c]] += 1
            notional_count[c, noted[1, b, c]] += 1
        if rounds_count.shape[0] > 0:
            for b in range(size):
                rounds_count[c, _log_bin(float(noted[2, b, c]), _SHIFT)] += 1


@njit(**_OPTIONS)
def count_grid(
    triggers: F64,
    bankruptcies: F64,
    profiles: F64,
    profile_index: I64,
    part_lots: F64,
    sold_share: float,
    relative_price: F64,
    cumulative_lots: I64,
    book_index: I64,
    survivals: F64,
    draws: I64,
    shocks: F64,
    reach: I64,
    ends: U32,
    money_unit: float,
    place_count: I32,
    notional_count: I32,
    part_sum: I64,
    unabsorbed_sum: I64,
    rounds_count: I32,
    shortfall_count: I32,
    part_count: I32,
) -> None:
    """Replay draws over shocks x liquidities and add them to the counts. Cells run through the liquidities of a shock.

    Parameters
    ----------
    triggers, bankruptcies : float64[n]
        Signed, non-increasing triggers; the same in every draw.
    profiles : float64[n_profiles, n_parts, n]
        Share of a part in a bucket.
    profile_index, part_lots : int64[n_draws], float64[n_draws, n_parts]
        A draw's lots together stay below 2^52.
    sold_share : float
        phi.
    relative_price, cumulative_lots : float64[m], int64[n_books, m]
    book_index, survivals : int64[n_draws], float64[n_draws, n_liquidities]
    draws : int64[any]
        The draws to replay, those of one book next to each other: a book is laid out where it differs from the one before.
    shocks : float64[n_shocks, 3]
        BASE is read; growing severity.
    reach : int64[2, n_shocks]
        AT_START and UNTOUCHED.
    ends : uint32[1 or n_shocks, m + 1]
        Buckets triggered at each row's mark and, last, where the book is exhausted: all. One row for all shocks where the mark
        does not depend on the shock (sell).
    money_unit : float
        Ticks x lots that money is divided by before it is binned.
    place_count, notional_count : int32[n_cells, m + 2], int32[n_cells, BINS]
        Added to in place, like all that follow.
    part_sum, unabsorbed_sum : int64[n_parts, n_cells], int64[n_cells]
    rounds_count, shortfall_count : int32[n_cells, BINS]
        Empty where they were not asked for.
    part_count : int32[n_cells, n_parts, BINS]
        Empty where it was not asked for.
    """
    n = triggers.shape[0]
    m = relative_price.shape[0]
    n_parts = part_lots.shape[1]
    n_shocks, n_liquidities = reach.shape[1], survivals.shape[1]
    n_cells = n_shocks * n_liquidities
    with_rounds = rounds_count.shape[0] > 0
    cells = np.empty((2, n_cells), dtype=np.uint32)
    for c in range(n_cells):
        cells[0, c] = c // n_liquidities
        cells[1, c] = c % n_liquidities
    lots = np.empty((n_parts, n), dtype=np.int64)
    quantities = np.empty(n, dtype=np.int64)
    sold_prefix = np.empty(n + 1, dtype=np.int64)
    prefix = np.empty((n_parts, n + 1), dtype=np.int64)
    notional = np.empty(n + 1)
    depth = np.empty(m + 1)
    shelf = np.empty(_SHELVES, dtype=np.uint32)
    to_sell = np.empty(m + 1)
    rows = np.empty(n_liquidities, dtype=np.int64)
    scratch = (np.empty(n_shocks), np.empty(n_liquidities), np.empty(n_cells + 1, dtype=np.uint32))
    reached = np.empty(n_cells, dtype=np.uint32)
    noted = np.empty((3 if with_rounds else 2, _BLOCK, n_cells + _LINE), dtype=np.uint32)
    h = -1
    for begin in range(0, draws.shape[0], _BLOCK):
        size = min(_BLOCK, draws.shape[0] - begin)
        for b in range(size):
            d = draws[begin + b]
            if book_index[d] != h:
                h = book_index[d]
                _fill_book(cumulative_lots[h], depth, shelf)
            _fill_fuel(part_lots[d], profiles[profile_index[d]], lots, quantities)
            _fill_sums(triggers, quantities, sold_share, sold_prefix, notional)
            places = noted[0, b]
            if with_rounds:
                _play_cells(
                    sold_prefix, ends, reach, depth, shelf, survivals[d], cells, scratch, places, reached, noted[2, b]
                )
            else:
                _walk_cells(sold_prefix, ends, reach, depth, survivals[d], to_sell, rows, places, reached)
            _add_parts(lots, reached, prefix, part_sum, part_count)
            _note_notional(notional, money_unit, reached, noted[1, b])
            _add_unabsorbed(sold_prefix, reach, depth, survivals[d], places, unabsorbed_sum)
            if shortfall_count.shape[0] > 0:
                _add_shortfalls(
                    bankruptcies, sold_prefix, reach, relative_price, cumulative_lots[h], survivals[d], shocks,
                    money_unit, cells, places, reached, shortfall_count,
                )  # fmt: skip
        _count_noted(noted, size, place_count, notional_count, rounds_count)


@njit(**_INNER)
def _add_shortfalls(
    bankruptcies: F64,
    sold_prefix: I64,
    reach: I64,
    relative_price: F64,
    cumulative_lots: I64,
    survivals: F64,
    shocks: F64,
    money_unit: float,
    cells: U32,
    places: U32,
    reached: U32,
    shortfall_count: I32,
) -> None:
    """Add the shortfalls of one draw to the counts."""
    m = cumulative_lots.shape[0]
    for c in range(cells.shape[1]):
        s, survival = cells[0, c], survivals[cells[1, c]]
        first = reach[UNTOUCHED, s]
        eaten = cumulative_lots[first - 1] if first > 0 else 0
        place = np.int64(places[c])
        sold = sold_prefix[reached[c]]
        if place > m:
            sold = min(sold, math.floor(survival * (cumulative_lots[m - 1] - eaten)))
        shortfall = _shortfall(
            bankruptcies[: reached[c]],
            sold_prefix,
            sold,
            first,
            min(place - 1, m - 1),
            shocks[s, BASE],
            survival,
            eaten,
            relative_price,
            cumulative_lots,
        )
        shortfall_count[c, _log_bin(shortfall / money_unit, _SHIFT)] += 1


@njit(**_INNER)
def _shortfall(
    bankruptcies: F64,
    sold_prefix: I64,
    sold_total: int,
    row: int,
    last_row: int,
    base: float,
    survival: float,
    eaten: int,
    relative_price: F64,
    cumulative_lots: I64,
) -> float:
    """Return the loss beyond bankruptcy prices of the sold lots, floored at 0 per bucket."""
    filled = 0
    shortfall = 0.0
    for k in range(bankruptcies.shape[0]):
        end = min(sold_prefix[k + 1], sold_total)
        if end <= filled:
            continue
        cost, row = _fill_rows(filled, end, row, last_row, base, survival, eaten, relative_price, cumulative_lots)
        shortfall += max(0.0, bankruptcies[k] * (end - filled) - cost)
        filled = end
    return shortfall


@njit(**_OPTIONS)
def find_critical(
    triggers: F64,
    profiles: F64,
    profile_index: I64,
    part_lots: F64,
    sold_share: float,
    relative_price: F64,
    cumulative_lots: I64,
    book_index: I64,
    survivals: F64,
    shock_frac: F64,
    shocks: F64,
    states: I64,
    rule: F64,
    floors: F64,
    found: I32,
) -> None:
    """Find each draw's least soft and jump shock on a grid of shocks.

    Parameters
    ----------
    triggers, profiles, profile_index, part_lots, sold_share, relative_price, cumulative_lots, book_index, survivals
        As for `count_grid`.
    shock_frac : float64[n_shocks]
        Ascending.
    shocks : float64[n_shocks, 3]
        START and BASE are read; SURVIVAL is overwritten.
    states : int64[n_shocks, 5]
        FIRST_ROW is read; the rest is scratch.
    rule : float64[5]
        Signed mark p0, least shock, least gain, least forced share, one-sided open interest in lots.
    floors : float64[n_shocks]
        Signed mark where the book is exhausted.
    found : int32[n_draws, n_liquidities, 2]
        Modified in place: places of s_soft and s_jump, -1 where there is none.
    """
    n = triggers.shape[0]
    m = relative_price.shape[0]
    forced_prefix = np.empty(n + 1, dtype=np.int64)
    mark, least_shock, least_gain, least_forced, open_interest = rule[0], rule[1], rule[2], rule[3], rule[4]
    lots = np.empty((part_lots.shape[1], n), dtype=np.int64)
    quantities = np.empty(n, dtype=np.int64)
    sold_prefix = np.empty(n + 1, dtype=np.int64)
    for d in range(part_lots.shape[0]):
        book = cumulative_lots[book_index[d]]
        _fill_fuel(part_lots[d], profiles[profile_index[d]], lots, quantities)
        _fill_sold(quantities, sold_share, sold_prefix)
        forced_prefix[0] = 0
        for k in range(n):
            forced_prefix[k + 1] = forced_prefix[k] + quantities[k]
        for w in range(survivals.shape[1]):
            shocks[:, SURVIVAL] = survivals[d, w]
            sweep_scenarios(triggers, sold_prefix, relative_price, book, shocks, states)
            soft, jump = -1, -1
            move_before = np.nan
            for s in range(shock_frac.shape[0]):
                row = states[s, ROW]
                end = floors[s] if row == m else shocks[s, BASE] * relative_price[row]
                if row < 0:
                    end = shocks[s, START]
                move = abs(1.0 - end / mark)
                forced = forced_prefix[states[s, REACHED]] / open_interest
                if shock_frac[s] >= least_shock and forced >= least_forced:
                    if soft < 0 and move - shock_frac[s] >= max(shock_frac[s], least_gain):
                        soft = s
                    rise = move - move_before  # NaN at the first shock, which compares false
                    if jump < 0 and s > 0 and rise - (shock_frac[s] - shock_frac[s - 1]) >= least_gain:
                        jump = s
                    if soft >= 0 and jump >= 0:
                        break
                move_before = move
            found[d, w, 0] = soft
            found[d, w, 1] = jump


@njit(**_OPTIONS)
def fill_branching(
    profiles: F64,
    profile_index: I64,
    part_lots: F64,
    sold_share: float,
    cumulative_lots: I64,
    book_index: I64,
    survivals: F64,
    reached: I64,
    rows: I64,
    branching: F64,
) -> None:
    """Fill each draw's branching ratio per window between two moves.

    Parameters
    ----------
    profiles, profile_index, part_lots, sold_share, cumulative_lots, book_index, survivals
        As for `count_grid`.
    reached, rows : int64[n_windows + 1]
        Buckets triggered, and rows passed, at each move.
    branching : float64[n_draws, n_liquidities, n_windows]
        Modified in place; NaN where the book grows by nothing.
    """
    n = profiles.shape[2]
    lots = np.empty((part_lots.shape[1], n), dtype=np.int64)
    quantities = np.empty(n, dtype=np.int64)
    sold_prefix = np.empty(n + 1, dtype=np.int64)
    for d in range(part_lots.shape[0]):
        book = cumulative_lots[book_index[d]]
        _fill_fuel(part_lots[d], profiles[profile_index[d]], lots, quantities)
        _fill_sold(quantities, sold_share, sold_prefix)
        for i in range(reached.shape[0] - 1):
            burnt = sold_prefix[reached[i + 1]] - sold_prefix[reached[i]]
            deep = book[rows[i + 1] - 1] if rows[i + 1] > 0 else 0
            near = book[rows[i] - 1] if rows[i] > 0 else 0
            for w in range(survivals.shape[1]):
                branching[d, w, i] = burnt / (survivals[d, w] * (deep - near)) if deep > near else np.nan


# --- round by round: the modes that are not monotone --------------------------------------------------------------------

# Columns of `ends`, int64[n_scenarios, 8].
END_ROW = 0  # row of the last mark; -1: the shock price; n_rows: exhausted
TROUGH_ROW = 1  # the same of the worst mark of all states
END_ROUNDS = 2
END_REACHED = 3
END_TO_BOOK = 4  # lots that went to the book
END_STANDING = 5  # lots that stand in it at the end
END_ADL = 6
EVER_EXHAUSTED = 7


@njit(**_OPTIONS)
def play_rounds(
    triggers: F64,
    bankruptcies: F64,
    prefixes: I64,
    relative_price: F64,
    cumulative_lots: I64,
    shocks: F64,
    first_rows: I64,
    floors: F64,
    fund: float,
    replenishment: float,
    ends: I64,
    used: F64,
) -> None:
    """Play every scenario round by round with a capped insurance fund, ADL and a book that refills.

    Parameters
    ----------
    triggers, bankruptcies, prefixes, relative_price, cumulative_lots, shocks
        As for `value_scenarios`.
    first_rows, floors : int64[n_scenarios], float64[n_scenarios]
        First untouched row; signed mark where the book is exhausted.
    fund, replenishment : float
        Balance in ticks x lots, may be infinite; share of the standing lots that is filled up again per round.
    ends, used : int64[n_scenarios, 8], float64[n_scenarios]
        Modified in place: columns above; what the fund paid.
    """
    n = triggers.shape[0]
    m = relative_price.shape[0]
    for s in range(shocks.shape[0]):
        base, survival = shocks[s, BASE], shocks[s, SURVIVAL]
        first = first_rows[s]
        eaten = cumulative_lots[first - 1] if first > 0 else 0
        mark = shocks[s, START]
        row, trough = -1, -1
        reached, rounds, standing, to_book, adl = 0, 0, 0, 0, 0
        left = fund
        exhausted = False
        while True:
            after = n if row == m else _count_reached(triggers, mark, reached)
            if after == reached:
                break
            rounds += 1
            standing -= math.floor(replenishment * standing)
            for k in range(reached, after):
                lots = prefixes[1, k + 1] - prefixes[1, k]
                loss = bankruptcies[k] - mark
                sale = lots
                if loss > 0.0:
                    if loss * lots <= left:
                        left -= loss * lots
                    else:
                        sale = min(lots, math.floor(left / loss))
                        left = max(0.0, left - loss * sale)
                adl += lots - sale
                standing += sale
                to_book += sale
            reached = after
            if standing == 0:
                row = -1
                mark = shocks[s, START]
            else:
                row = _absorbing_row(cumulative_lots, eaten, survival, standing, first)
                mark = floors[s] if row == m else base * relative_price[row]
            exhausted = exhausted or row == m
            trough = max(trough, row)
        ends[s, END_ROW] = row
        ends[s, TROUGH_ROW] = trough
        ends[s, END_ROUNDS] = rounds
        ends[s, END_REACHED] = reached
        ends[s, END_TO_BOOK] = to_book
        ends[s, END_STANDING] = standing
        ends[s, END_ADL] = adl
        ends[s, EVER_EXHAUSTED] = exhausted
        used[s] = fund - left if math.isfinite(fund) else 0.0


KERNELS = (
    _count_reached,
    _absorbing_row,
    _fill_rows,
    fill_prefixes,
    merge_scenarios,
    sweep_scenarios,
    value_scenarios,
    _fill_fuel,
    _log_bin,
    _fill_sold,
    _fill_sums,
    _fill_book,
    _walk_cells,
    _play_cells,
    _add_parts,
    _note_notional,
    _add_unabsorbed,
    _count_noted,
    _shortfall,
    _add_shortfalls,
    count_grid,
    find_critical,
    fill_branching,
    play_rounds,
)
