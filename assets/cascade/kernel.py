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
_BITS_OF_ONE = 1023 * BINS_PER_OCTAVE

# Draws whose cells are noted before they are counted: enough to use a cell's counts while they are near, few enough to fit
# beside them (512 cells x 256 draws x 8 bytes).
_BLOCK = 256

# Rows of `reach`, int64[2, n_shocks]: what a shock alone decides, the same for every draw.
AT_START = 0  # buckets triggered at the shock price
UNTOUCHED = 1  # first row that the shock left untouched


@njit(**_INNER)
def _fill_fuel(
    part_lots: F64, profile: F64, sold_share: float, part_prefix: I64, sold_prefix: I64, quantities: I64
) -> None:
    """Fill one draw: int64[n + 1, n_parts] prefix of the parts' lots, int64[n + 1] of what is sold, int64[n] lots per bucket."""
    n_parts, n = profile.shape
    quantities[:] = 0
    for g in range(n_parts):
        size = part_lots[g]
        together = 0
        part_prefix[0, g] = 0
        for k in range(n):
            lots = math.floor(size * profile[g, k])
            together += lots
            part_prefix[k + 1, g] = together
            quantities[k] += lots
    together = 0
    sold_prefix[0] = 0
    for k in range(n):
        together += quantities[k] if sold_share == 1.0 else math.floor(sold_share * quantities[k])
        sold_prefix[k + 1] = together


@njit(**_INNER)
def _bin_of(value: float) -> int:
    """Return the log bin of a value of 0 or more; below 1 the bits lie below those of bin 1."""
    bits: Any = np.float64(value).view(np.int64)
    place: int = min(max(1 + (bits >> _SHIFT) - _BITS_OF_ONE, 0), BINS - 1)
    return place


@njit(**_INNER)
def _fill_notional_bins(triggers: F64, quantities: I64, money_unit: float, notional: F64, bins: I64) -> None:
    """Fill the log bins of the forced notional of the first buckets, for every number of them: int64[n + 1]."""
    value = 0.0
    notional[0] = 0.0
    for k in range(triggers.shape[0]):
        value += abs(triggers[k]) * quantities[k]
        notional[k + 1] = value
    for k in range(bins.shape[0]):
        bins[k] = _bin_of(notional[k] / money_unit)


@njit(**_INNER)
def _fill_places(
    sold_prefix: I64,
    counts: I64,
    reach: I64,
    cumulative_lots: I64,
    survivals: F64,
    b: int,
    scratch: tuple[F64, F64, I64],
    places: I32,
) -> None:
    """Walk one draw's cells: a cell starts from the row of the milder shock and of the deeper book beside it.

    A row is the cell's end where what its mark has triggered fits into the book up to it, and the first such row is the
    fixed point of the rounds. It moves outward with the shock and with thinner books, so no row is visited twice on the way.
    """
    to_sell, depth, rows = scratch  # float64[m] twice, exact below 2^53; int64[n_liquidities]: rows of the milder shock
    m = cumulative_lots.shape[0]
    for j in range(m):
        to_sell[j] = sold_prefix[counts[0, j]]
        depth[j] = cumulative_lots[j]
    rows[:] = 0
    shared = counts.shape[0] == 1
    for s in range(reach.shape[1]):
        first = reach[UNTOUCHED, s]
        if sold_prefix[reach[AT_START, s]] == 0:
            for w in range(survivals.shape[0]):
                places[b, s, w] = 0
            continue
        eaten = depth[first - 1] if first > 0 else 0.0
        row = first
        for w in range(survivals.shape[0]):
            survival = survivals[w]
            row = max(row, rows[w])
            if shared:
                while 0 <= row < m and to_sell[row] > survival * (depth[row] - eaten):
                    row += 1
            else:
                while 0 <= row < m and sold_prefix[counts[s, row]] > survival * (depth[row] - eaten):
                    row += 1
            rows[w] = row
            places[b, s, w] = row + 1


@njit(**_INNER)
def _count_rounds(
    sold_prefix: I64, count: I64, reached: int, row: int, eaten: int, survival: float, cumulative_lots: I64
) -> int:
    """Count the synchronous rounds of one cell that begins with `reached` buckets at the shock price."""
    n = sold_prefix.shape[0] - 1
    rounds = 0
    before = 0
    while reached > before:
        rounds += 1
        if sold_prefix[reached] == 0:
            break
        row = _absorbing_row(cumulative_lots, eaten, survival, sold_prefix[reached], row)
        before = reached
        reached = n if row == cumulative_lots.shape[0] else count[row]
    return rounds


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
    shocks: F64,
    reach: I64,
    counts: I64,
    money_unit: float,
    place_count: I64,
    notional_count: I64,
    part_sum: I64,
    unabsorbed_sum: I64,
    rounds_count: I64,
    shortfall_count: I64,
    part_count: I64,
) -> None:
    """Replay every draw over shocks x liquidities and add it to the counts.

    Parameters
    ----------
    triggers, bankruptcies : float64[n]
        Signed, non-increasing triggers; the same in every draw.
    profiles : float64[n_profiles, n_parts, n]
        Share of a part in a bucket.
    profile_index, part_lots : int64[n_draws], float64[n_draws, n_parts]
    sold_share : float
        phi.
    relative_price, cumulative_lots : float64[m], int64[n_books, m]
    book_index, survivals : int64[n_draws], float64[n_draws, n_liquidities]
    shocks : float64[n_shocks, 3]
        START and BASE are read; growing severity.
    reach : int64[2, n_shocks]
        AT_START and UNTOUCHED.
    counts : int64[1 or n_shocks, m]
        Buckets triggered at each row's mark: one row for all shocks where the mark does not depend on the shock (sell).
    money_unit : float
        Ticks x lots that money is divided by before it is binned.
    place_count, notional_count : int64[n_shocks, n_liquidities, m + 2], int64[n_shocks, n_liquidities, BINS]
        Added to in place, like all that follow.
    part_sum, unabsorbed_sum : int64[n_shocks, n_liquidities, n_parts], int64[n_shocks, n_liquidities]
    rounds_count, shortfall_count : int64[n_shocks, n_liquidities, BINS]
        Empty where they were not asked for.
    part_count : int64[n_shocks, n_liquidities, n_parts, BINS]
        Empty where it was not asked for.
    """
    n = triggers.shape[0]
    n_draws, n_parts = part_lots.shape
    part_prefix = np.empty((n + 1, n_parts), dtype=np.int64)
    sold_prefix = np.empty(n + 1, dtype=np.int64)
    quantities = np.empty(n, dtype=np.int64)
    notional = np.empty(n + 1)
    notional_bins = np.empty(n + 1, dtype=np.int64)
    places = np.empty((_BLOCK, reach.shape[1], survivals.shape[1]), dtype=np.int32)
    bins = np.empty_like(places)
    scratch = (
        np.empty(relative_price.shape[0]),
        np.empty(relative_price.shape[0]),
        np.empty(survivals.shape[1], dtype=np.int64),
    )
    for begin in range(0, n_draws, _BLOCK):
        size = min(_BLOCK, n_draws - begin)
        for b in range(size):
            d = begin + b
            book = cumulative_lots[book_index[d]]
            _fill_fuel(part_lots[d], profiles[profile_index[d]], sold_share, part_prefix, sold_prefix, quantities)
            _fill_notional_bins(triggers, quantities, money_unit, notional, notional_bins)
            _fill_places(sold_prefix, counts, reach, book, survivals[d], b, scratch, places)
            _add_draw(
                part_prefix, sold_prefix, notional_bins, counts, reach, book, survivals[d], b, places, bins,
                part_sum, unabsorbed_sum,
            )  # fmt: skip
            if rounds_count.shape[0] + shortfall_count.shape[0] + part_count.shape[0] > 0:
                _add_extras(
                    bankruptcies, part_prefix, sold_prefix, counts, reach, relative_price, book, survivals[d], shocks,
                    money_unit, b, places, rounds_count, shortfall_count, part_count,
                )  # fmt: skip
        # Cell by cell, so that one cell's counts stay in the cache while a block of draws is added to them.
        for s in range(places.shape[1]):
            for w in range(places.shape[2]):
                for b in range(size):
                    place_count[s, w, places[b, s, w]] += 1
                    notional_count[s, w, bins[b, s, w]] += 1


@njit(**_INNER)
def _add_draw(
    part_prefix: I64,
    sold_prefix: I64,
    notional_bins: I64,
    counts: I64,
    reach: I64,
    cumulative_lots: I64,
    survivals: F64,
    b: int,
    places: I32,
    bins: I32,
    part_sum: I64,
    unabsorbed_sum: I64,
) -> None:
    """Note the notional bin of each cell of a draw and add its lots to the sums."""
    n = sold_prefix.shape[0] - 1
    m = cumulative_lots.shape[0]
    shared = counts.shape[0] == 1
    for s in range(places.shape[1]):
        at_start = reach[AT_START, s]
        first = reach[UNTOUCHED, s]
        t = 0 if shared else s
        for w in range(places.shape[2]):
            place = places[b, s, w]
            reached = at_start
            if place > m:
                reached = n
                eaten = cumulative_lots[first - 1] if first > 0 else 0
                holds = math.floor(survivals[w] * (cumulative_lots[m - 1] - eaten))
                unabsorbed_sum[s, w] += sold_prefix[n] - min(sold_prefix[n], holds)
            elif place > 0:
                reached = counts[t, place - 1]
            bins[b, s, w] = notional_bins[reached]
            for g in range(part_sum.shape[2]):
                part_sum[s, w, g] += part_prefix[reached, g]


@njit(**_INNER)
def _add_extras(
    bankruptcies: F64,
    part_prefix: I64,
    sold_prefix: I64,
    counts: I64,
    reach: I64,
    relative_price: F64,
    cumulative_lots: I64,
    survivals: F64,
    shocks: F64,
    money_unit: float,
    b: int,
    places: I32,
    rounds_count: I64,
    shortfall_count: I64,
    part_count: I64,
) -> None:
    """Add the optional counts of one draw."""
    n = sold_prefix.shape[0] - 1
    m = cumulative_lots.shape[0]
    for s in range(places.shape[1]):
        first = reach[UNTOUCHED, s]
        eaten = cumulative_lots[first - 1] if first > 0 else 0
        count = counts[0 if counts.shape[0] == 1 else s]
        for w in range(places.shape[2]):
            place = places[b, s, w]
            reached = reach[AT_START, s] if place == 0 else n if place > m else count[place - 1]
            if rounds_count.shape[0] > 0:
                rounds = _count_rounds(
                    sold_prefix, count, reach[AT_START, s], first, eaten, survivals[w], cumulative_lots
                )
                rounds_count[s, w, _bin_of(rounds)] += 1
            if shortfall_count.shape[0] > 0:
                sold = sold_prefix[reached]
                if place > m:
                    sold = min(sold, math.floor(survivals[w] * (cumulative_lots[m - 1] - eaten)))
                shortfall = _shortfall(
                    bankruptcies[:reached],
                    sold_prefix,
                    sold,
                    first,
                    min(place - 1, m - 1),
                    shocks[s, BASE],
                    survivals[w],
                    eaten,
                    relative_price,
                    cumulative_lots,
                )
                shortfall_count[s, w, _bin_of(shortfall / money_unit)] += 1
            for g in range(part_count.shape[2]):
                part_count[s, w, g, _bin_of(part_prefix[reached, g])] += 1


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
    together = np.empty(n + 1, dtype=np.int64)
    mark, least_shock, least_gain, least_forced, open_interest = rule[0], rule[1], rule[2], rule[3], rule[4]
    part_prefix = np.empty((n + 1, part_lots.shape[1]), dtype=np.int64)
    sold_prefix = np.empty(n + 1, dtype=np.int64)
    quantities = np.empty(n, dtype=np.int64)
    for d in range(part_lots.shape[0]):
        book = cumulative_lots[book_index[d]]
        _fill_fuel(part_lots[d], profiles[profile_index[d]], sold_share, part_prefix, sold_prefix, quantities)
        for k in range(n + 1):
            together[k] = part_prefix[k].sum()
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
                forced = together[states[s, REACHED]] / open_interest
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
    part_prefix = np.empty((n + 1, part_lots.shape[1]), dtype=np.int64)
    sold_prefix = np.empty(n + 1, dtype=np.int64)
    quantities = np.empty(n, dtype=np.int64)
    for d in range(part_lots.shape[0]):
        book = cumulative_lots[book_index[d]]
        _fill_fuel(part_lots[d], profiles[profile_index[d]], sold_share, part_prefix, sold_prefix, quantities)
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
    _bin_of,
    _fill_notional_bins,
    _fill_places,
    _add_draw,
    _add_extras,
    _count_rounds,
    _shortfall,
    count_grid,
    find_critical,
    fill_branching,
    play_rounds,
)
