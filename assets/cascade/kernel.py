"""The compiled loops of the static cascade: they fill arrays and do nothing else.

Belongs here: every kernel of the static cascade. Self-contained: a compiled helper in another module would leave a stale
cached caller. Does not: validation, allocation, sorting, randomness, clocks, messages; the caller (``simulate.py``) does those.

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
    """Return how many triggers are at or above `mark`, knowing that the first `begin` are. Gallops, then bisects."""
    n = triggers.shape[0]
    low = begin
    high = begin
    step = 1
    while high < n and triggers[high] >= mark:
        low = high + 1
        high += step
        step *= 2
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
        base = shocks[s, BASE]
        survival = shocks[s, SURVIVAL]
        row = states[s, FIRST_ROW]
        eaten = cumulative_lots[row - 1] if row > 0 else 0
        last_row = min(states[s, ROW], m - 1)
        sold_total = states[s, SOLD]
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
            cost = 0.0
            at = float(filled)
            while at < end:
                # The row of the final mark serves the rest: by construction all sold lots fit, up to rounding of w C.
                row_end = float(end) if row >= last_row else survival * (cumulative_lots[row] - eaten)
                until = min(row_end, float(end))
                if until > at:
                    cost += (until - at) * (base * relative_price[row])
                    at = until
                if at < end:
                    row += 1
            filled = end
            sold_value += triggers[k] * lots
            proceeds += cost
            shortfall += max(0.0, bankruptcies[k] * lots - cost)
        values[s, FORCED_NOTIONAL] = forced_notional
        values[s, SOLD_TRIGGER_VALUE] = sold_value
        values[s, PROCEEDS] = proceeds
        values[s, SHORTFALL] = shortfall


KERNELS = (_count_reached, _absorbing_row, fill_prefixes, merge_scenarios, sweep_scenarios, value_scenarios)
