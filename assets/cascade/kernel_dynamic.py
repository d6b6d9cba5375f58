"""The compiled loops of the dynamic replay: they fill arrays and do nothing else.

Belongs here: every numba loop of one day by step (path-driven, counterfactual, free-running), with the helpers that they
call: a helper in another module would leave a stale cached caller. Does not: validation, packing, allocation, threads,
logarithms (``dynamic_inputs.py``, ``dynamic.py``).

Signed prices: side 0 (long) reads prices as they are, side 1 (short) negated, so that on both sides triggers are sorted
non-increasing and a bin is reached where ``trigger >= price``. Negation is exact. A cursor per side walks the bins; the
bins before it are empty, and an opening before it pulls it back. Proportional closures cost one product a step: the lazy
scale. ``fastmath`` and ``parallel`` are off for the reasons given in ``kernel.py``.

References
----------
docs/cascade_dynamic.md; every formula here stands there with its order of roundings.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# Columns of `names`, int64[n_cells, 7]: which arrays a cell reads, and its rules in steps.
FUEL, BIDS, ASKS, MARKET, TWAP, WINDOW, HALT = range(7)
# Columns of `figures`, float64[n_cells, 5].
MARK, SOLD_SHARE, ADL_SHARE, BREAK_MOVE, REFERENCE = range(5)
# Columns of `flows`, int64[n_cells, 2, n_steps, 6], lots.
FORCED, SOLD, NETTED, ADL, NOT_SOLD, UNABSORBED = range(6)
# Columns of `balances`, int64[n_cells, 2, 6], lots.
INITIAL, OPENED, EXCLUDED, ALL_FORCED, CLOSED, REMAINING = range(6)
# Places of `depth`, float64[5].
ALPHA, GAMMA, KEEP, LEAST, AT_START = range(5)
# Columns of `ends`, int64[n_cells, 4], and of `prices`, float64[n_cells, 3], of a counterfactual.
TROUGH, ITERATIONS, CONVERGED, EXHAUSTED = range(4)
FIRST_PATH, PREVIOUS_PATH, LAST_PATH = range(3)

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": False}


class Fuels(NamedTuple):
    """Fuel sets end to end: edges int64[n_sets, 3] (long, short, end) over bins and over openings.

    `open_bin` counts from the set's first bin. Bins of a side stand in their order; openings in order of step.
    """

    edges: I64
    trigger: F64
    lots: I64
    open_edges: I64
    open_step: I64
    open_bin: I64
    open_lots: I64


class Books(NamedTuple):
    """Books end to end: edges int64[n_books + 1], relative prices, cumulative lots as float64."""

    edges: I64
    price: F64
    lots: F64


class Cells(NamedTuple):
    """What each replay reads: `names`, `figures`, and closures float64[n_markets, n_steps]."""

    names: I64
    figures: F64
    closures: F64


class Work(NamedTuple):
    """Memory of one chunk: bins (lots, scale), cursors and next openings int64[2, 2], net flow, load, bin range."""

    lots: I64
    scale: F64
    cursor: I64
    net: I64
    load: F64


# --- fuel ---------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _begin_day(fuels: Fuels, fuel: int, mark: float, work: Work, balance: I64) -> None:
    """Lay the bins of a set into `work` and exclude those past the mark; the cursor starts behind them."""
    first = fuels.edges[fuel, 0]
    for side in range(2):
        begin = fuels.edges[fuel, side] - first
        end = fuels.edges[fuel, side + 1] - first
        price = mark if side == 0 else -mark
        initial = 0
        for k in range(begin, end):
            work.lots[k] = fuels.lots[first + k]
            work.scale[k] = 1.0
            initial += work.lots[k]
        cursor = begin
        excluded = 0
        while cursor < end and fuels.trigger[first + cursor] >= price:
            excluded += work.lots[cursor]
            work.lots[cursor] = 0
            cursor += 1
        work.cursor[0, side] = cursor
        work.cursor[1, side] = fuels.open_edges[fuel, side]
        balance[side, :] = 0
        balance[side, INITIAL] = initial
        balance[side, EXCLUDED] = excluded


@njit(**_OPTIONS)
def _trigger(
    fuels: Fuels, fuel: int, side: int, price: float, survival: float, work: Work, balance: I64
) -> tuple[int, float]:
    """Empty the bins that a signed price reaches; return forced lots and their signed notional."""
    first = fuels.edges[fuel, 0]
    end = fuels.edges[fuel, side + 1] - first
    cursor = work.cursor[0, side]
    forced = 0
    notional = 0.0
    while cursor < end and fuels.trigger[first + cursor] >= price:
        lots = work.lots[cursor]
        if lots > 0:
            live = math.floor(lots * (survival / work.scale[cursor]))
            forced += live
            notional += fuels.trigger[first + cursor] * live
            balance[side, CLOSED] += lots - live
            work.lots[cursor] = 0
        cursor += 1
    work.cursor[0, side] = cursor
    balance[side, ALL_FORCED] += forced
    return forced, notional


@njit(**_OPTIONS)
def _open(fuels: Fuels, fuel: int, step: int, survival: float, work: Work, balance: I64) -> None:
    """Add the openings of a step; an opening before the cursor pulls it back."""
    for side in range(2):
        at = work.cursor[1, side]
        end = fuels.open_edges[fuel, side + 1]
        while at < end and fuels.open_step[at] == step:
            k = fuels.open_bin[at]
            left = math.floor(work.lots[k] * (survival / work.scale[k]))
            balance[side, CLOSED] += work.lots[k] - left
            balance[side, OPENED] += fuels.open_lots[at]
            work.lots[k] = left + fuels.open_lots[at]
            work.scale[k] = survival
            work.cursor[0, side] = min(work.cursor[0, side], k)
            at += 1
        work.cursor[1, side] = at


@njit(**_OPTIONS)
def _end_day(fuels: Fuels, fuel: int, survival: float, work: Work, balance: I64) -> None:
    """Count what is left; the rest of what was not forced has closed."""
    first = fuels.edges[fuel, 0]
    for side in range(2):
        for k in range(work.cursor[0, side], fuels.edges[fuel, side + 1] - first):
            live = math.floor(work.lots[k] * (survival / work.scale[k]))
            balance[side, REMAINING] += live
            balance[side, CLOSED] += work.lots[k] - live


@njit(**_OPTIONS)
def _split(flows: I64, step: int, sold_share: float, adl_share: float) -> int:
    """Split the forced lots of a step on both sides, cross them, and return the net flow (purchases positive)."""
    to_sell_long = 0
    to_sell_short = 0
    for side in range(2):
        forced = flows[side, step, FORCED]
        adl = math.floor(adl_share * forced)
        rest = forced - adl
        to_sell = math.floor(sold_share * rest)
        flows[side, step, ADL] = adl
        flows[side, step, NOT_SOLD] = rest - to_sell
        if side == 0:
            to_sell_long = to_sell
        else:
            to_sell_short = to_sell
    netted = min(to_sell_long, to_sell_short)
    flows[0, step, NETTED] = netted
    flows[1, step, NETTED] = netted
    return to_sell_short - to_sell_long


@njit(**_OPTIONS)
def _sell(flows: I64, step: int, net: int, taken: int) -> None:
    """Write what the book took of the net flow; what it did not take is unabsorbed."""
    flows[0, step, SOLD] = max(0, -taken)
    flows[1, step, SOLD] = max(0, taken)
    flows[0, step, UNABSORBED] = max(0, -net) - max(0, -taken)
    flows[1, step, UNABSORBED] = max(0, net) - max(0, taken)


# --- rules --------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _guard(closes: F64, step: int, n: int, mark: float, latest: float) -> float:
    """Return the mean of the last `n` marks, the newest being `latest`; before the day the mark is `mark`."""
    if n == 1:
        return latest
    total = 0.0
    for t in range(step - n + 1, step):
        total += closes[t] if t >= 0 else mark
    return (total + latest) / n


@njit(**_OPTIONS)
def _breaks(closes: F64, step: int, window: int, move: float, mark: float) -> bool:
    """Say whether the mark moved by `move` or more against `window` steps ago."""
    at = step - window
    reference = closes[at] if at >= 0 else mark
    return closes[step] <= reference * (1.0 - move) or closes[step] >= reference * (1.0 + move)


# --- mode 1 -------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _walk_path(
    fuels: Fuels,
    names: I64,
    figures: F64,
    closure: F64,
    path: F64,
    n_steps: int,
    work: Work,
    flows: I64,
    notional: F64,
    balance: I64,
) -> int:
    """Drive the fuel of one cell along a path float64[3, n] (low, high, close); return the number of halted steps."""
    fuel, twap, window, halt = names[FUEL], names[TWAP], names[WINDOW], names[HALT]
    mark = figures[MARK]
    has_openings = fuels.open_edges[fuel, 2] > fuels.open_edges[fuel, 0]
    _begin_day(fuels, fuel, mark, work, balance)
    survival = 1.0
    to_halt = 0
    halted = 0
    for t in range(n_steps):
        survival = survival * (1.0 - closure[t])
        if to_halt > 0:
            to_halt -= 1
            halted += 1
        else:
            low = _guard(path[2], t, twap, mark, path[0, t])
            high = _guard(path[2], t, twap, mark, path[1, t])
            long_lots, long_value = _trigger(fuels, fuel, 0, low, survival, work, balance)
            short_lots, short_value = _trigger(fuels, fuel, 1, -high, survival, work, balance)
            if long_lots + short_lots > 0:
                flows[0, t, FORCED] = long_lots
                flows[1, t, FORCED] = short_lots
                notional[0, t] = long_value
                notional[1, t] = 0.0 - short_value
                net = _split(flows, t, figures[SOLD_SHARE], figures[ADL_SHARE])
                _sell(flows, t, net, net)
            if halt > 0 and _breaks(path[2], t, window, figures[BREAK_MOVE], mark):
                to_halt = halt
        if has_openings:
            _open(fuels, fuel, t, survival, work, balance)
    _end_day(fuels, fuel, survival, work, balance)
    return halted


@njit(**_OPTIONS)
def walk_paths(
    cells: Cells,
    fuels: Fuels,
    paths: F64,
    begin: int,
    end: int,
    work: Work,
    flows: I64,
    notional: F64,
    balances: I64,
    halted: I64,
) -> None:
    """Drive cells ``begin .. end`` along their observed paths (mode 1).

    Parameters
    ----------
    cells, fuels : Cells, Fuels
    paths : float64[n_markets, 3, n_steps]
        Low, high and close in ticks.
    work : Work
        Modified in place.
    flows : int64[n_cells, 2, n_steps, 6], zero on entry
    notional : float64[n_cells, 2, n_steps], zero on entry
        Ticks x lots at trigger prices.
    balances : int64[n_cells, 2, 6]
    halted : int64[n_cells]
        Modified in place: number of halted steps.
    """
    n_steps = paths.shape[2]
    for c in range(begin, end):
        market = cells.names[c, MARKET]
        halted[c] = _walk_path(
            fuels,
            cells.names[c],
            cells.figures[c],
            cells.closures[market],
            paths[market],
            n_steps,
            work,
            flows[c],
            notional[c],
            balances[c],
        )


# --- impact and depth ---------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _factor(books: Books, bids: int, asks: int, load: float) -> float:
    """Return m(L): the price with the load over the price without it; the last row's where the table has ended."""
    if load == 0.0:
        return 1.0
    book = bids if load < 0.0 else asks
    begin = books.edges[book]
    end = books.edges[book + 1]
    y = abs(load)
    low = begin
    high = end
    while low < high:
        middle = (low + high) // 2
        if books.lots[middle] < y:
            low = middle + 1
        else:
            high = middle
    if low == end:
        return books.price[end - 1]
    lots = books.lots[low - 1] if low > begin else 0.0
    price = books.price[low - 1] if low > begin else 1.0
    return price + (books.price[low] - price) * ((y - lots) / (books.lots[low] - lots))


@njit(**_OPTIONS)
def _next_survival(depth: F64, survival: float, close: float, before: float, flow: int, reference: float) -> float:
    """Return W of the next step: recovered by one step, hit by the last return and the last net flow."""
    hit = depth[ALPHA] * abs(close / before - 1.0) + depth[GAMMA] * (abs(flow) / reference)
    recovered = 1.0 - (1.0 - survival) * depth[KEEP]
    return max(depth[LEAST], recovered / (1.0 + hit))


@njit(**_OPTIONS)
def _spread(decay: F64, step: int, lots: float, begin: int, end: int, load: F64) -> None:
    """Add the decayed lots of one step to the loads of steps ``begin .. end``; for each load in order of steps."""
    for t in range(begin, end):
        load[t] += decay[t - step] * lots


# --- mode 2 -------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _trough(path: F64, is_fall: bool) -> int:
    """Return the first step of the lowest low, or of the highest high."""
    best = 0
    for t in range(1, path.shape[1]):
        if (path[0, t] < path[0, best]) if is_fall else (path[1, t] > path[1, best]):
            best = t
    return best


@njit(**_OPTIONS)
def _lift(
    decay: F64, books: Books, names: I64, n_steps: int, observed: F64, work: Work, survival: F64, factor: F64, path: F64
) -> tuple[float, bool]:
    """Take the impact of `work.net` out of the observed path; return the largest change of a factor and exhaustion."""
    work.load[:n_steps] = 0.0
    for u in range(n_steps):
        if work.net[u] != 0:
            _spread(decay, u, work.net[u] / survival[u], u, n_steps, work.load)
    last_bid = books.lots[books.edges[names[BIDS] + 1] - 1]
    last_ask = books.lots[books.edges[names[ASKS] + 1] - 1]
    change = 0.0
    is_exhausted = False
    for t in range(n_steps):
        load = work.load[t]
        is_exhausted = is_exhausted or -load > last_bid or load > last_ask
        m = _factor(books, names[BIDS], names[ASKS], load)
        change = max(change, abs(m / factor[t] - 1.0))
        factor[t] = m
        for i in range(3):
            path[i, t] = observed[i, t] / m
    return change, is_exhausted


@njit(**_OPTIONS)
def iterate_counterfactuals(
    cells: Cells,
    fuels: Fuels,
    books: Books,
    paths: F64,
    decay: F64,
    depth: F64,
    reported: I64,
    is_fall: bool,
    max_iterations: int,
    tolerance: float,
    begin: int,
    end: int,
    work: Work,
    flows: I64,
    survivals: F64,
    factors: F64,
    lifted: F64,
    ends: I64,
    prices: F64,
) -> None:
    """Take forced impact out of observed paths, trigger again, repeat (mode 2).

    Parameters
    ----------
    decay, depth : float64[>= n_steps], float64[5]
    reported : int64[n_cells, 2, n_steps] or int64[0, 2, 0]
        Forced orders per side where they are given.
    flows : int64[n_cells, 2, n_steps, 6], zero on entry
        Ends with the orders whose impact the last path lacks.
    survivals, factors : float64[n_cells, n_steps]
    lifted : float64[n_cells, 3, n_steps]
        The last path, valid up to the trough.
    ends, prices : int64[n_cells, 4], float64[n_cells, 3]
        Price at the trough of the first, the last but one and the last path.
    """
    total = paths.shape[2]
    is_reported = reported.shape[0] > 0
    value = np.zeros((2, total))
    balance = np.zeros((2, 6), dtype=np.int64)
    for c in range(begin, end):
        names, figures = cells.names[c], cells.figures[c]
        market = names[MARKET]
        observed = paths[market]
        side = 0 if is_fall else 1
        trough = _trough(observed, is_fall)
        n = trough + 1
        closure = cells.closures[market]
        if is_reported:
            flows[c, :, :n, FORCED] = reported[c, :, :n]
            work.net[:n] = reported[c, 1, :n] - reported[c, 0, :n]
        else:
            _walk_path(fuels, names, figures, closure, observed, n, work, flows[c], value, balance)
            work.net[:n] = flows[c, 1, :n, SOLD] - flows[c, 0, :n, SOLD]
        survivals[c, 0] = depth[AT_START]
        for t in range(1, n):
            before = observed[2, t - 2] if t >= 2 else figures[MARK]
            survivals[c, t] = _next_survival(
                depth, survivals[c, t - 1], observed[2, t - 1], before, work.net[t - 1], figures[REFERENCE]
            )
        factors[c, :n] = 1.0
        last = observed[side, trough]
        for i in range(1, max_iterations + 1):
            change, is_exhausted = _lift(
                decay, books, names, n, observed, work, survivals[c], factors[c], lifted[c]
            )
            prices[c, PREVIOUS_PATH] = last
            last = lifted[c, side, trough]
            if i == 1:
                prices[c, FIRST_PATH] = last
            ends[c, ITERATIONS] = i
            ends[c, EXHAUSTED] = is_exhausted
            if change <= tolerance or is_reported:
                ends[c, CONVERGED] = 1
                break
            if i < max_iterations:
                flows[c] = 0
                _walk_path(fuels, names, figures, closure, lifted[c], n, work, flows[c], value, balance)
                work.net[:n] = flows[c, 1, :n, SOLD] - flows[c, 0, :n, SOLD]
        prices[c, LAST_PATH] = last
        ends[c, TROUGH] = trough


# --- mode 3 -------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _room(books: Books, book: int, survival: float, used: float) -> int:
    """Return the lots that a book still takes beyond the load `used` that already presses it."""
    return math.floor(max(0.0, survival * (books.lots[books.edges[book + 1] - 1] - used)))


@njit(**_OPTIONS)
def _run_rounds(
    fuels: Fuels,
    books: Books,
    names: I64,
    figures: F64,
    step: int,
    outer: float,
    survival: float,
    day_scale: float,
    max_rounds: int,
    marks: F64,
    work: Work,
    flows: I64,
    notional: F64,
    balance: I64,
) -> int:
    """Trigger and move the mark of one step until nothing new is forced; return the rounds. ``marks[step]`` is set."""
    fuel, bids, asks = names[FUEL], names[BIDS], names[ASKS]
    rounds = 0
    while rounds < max_rounds:
        price = _guard(marks, step, names[TWAP], figures[MARK], marks[step])
        long_lots, long_value = _trigger(fuels, fuel, 0, price, day_scale, work, balance)
        short_lots, short_value = _trigger(fuels, fuel, 1, -price, day_scale, work, balance)
        if long_lots + short_lots == 0:
            break
        rounds += 1
        flows[0, step, FORCED] += long_lots
        flows[1, step, FORCED] += short_lots
        notional[0, step] += long_value
        notional[1, step] -= short_value
        net = _split(flows, step, figures[SOLD_SHARE], figures[ADL_SHARE])
        if net < 0:
            work.net[step] = -min(-net, _room(books, bids, survival, -work.load[step]))
        else:
            work.net[step] = min(net, _room(books, asks, survival, work.load[step]))
        _sell(flows, step, net, work.net[step])
        load = work.load[step] + work.net[step] / survival
        marks[step] = max(1.0, outer * _factor(books, bids, asks, load))
    return rounds


@njit(**_OPTIONS)
def run_free(
    cells: Cells,
    fuels: Fuels,
    books: Books,
    shocks: F64,
    shock_steps: I64,
    decay: F64,
    depth: F64,
    max_rounds: int,
    begin: int,
    end: int,
    work: Work,
    flows: I64,
    notional: F64,
    balances: I64,
    marks: F64,
    survivals: F64,
    counts: I64,
) -> None:
    """Let cells ``begin .. end`` run from their state and the shock of the first steps (mode 3).

    Parameters
    ----------
    shocks, shock_steps : float64[n_markets, n_shock], int64[n_markets]
        Marks without forced orders; a market uses its first `shock_steps`.
    flows, notional, balances
        As for `walk_paths`.
    marks, survivals : float64[n_cells, n_steps]
        Modified in place: end-of-step mark in ticks, W.
    counts : int64[n_cells, 2]
        Modified in place: rounds, halted steps.
    """
    n_steps = marks.shape[1]
    for c in range(begin, end):
        names, figures = cells.names[c], cells.figures[c]
        fuel, market = names[FUEL], names[MARKET]
        _begin_day(fuels, fuel, figures[MARK], work, balances[c])
        work.load[:n_steps] = 0.0
        work.net[:n_steps] = 0
        survival = depth[AT_START]
        day_scale = 1.0
        to_halt = 0
        for t in range(n_steps):
            if t > 0:
                before = marks[c, t - 2] if t >= 2 else figures[MARK]
                survival = _next_survival(
                    depth, survival, marks[c, t - 1], before, work.net[t - 1], figures[REFERENCE]
                )
            survivals[c, t] = survival
            day_scale = day_scale * (1.0 - cells.closures[market, t])
            outer = shocks[market, min(t, shock_steps[market] - 1)]
            marks[c, t] = max(1.0, outer * _factor(books, names[BIDS], names[ASKS], work.load[t]))
            if to_halt > 0:
                to_halt -= 1
                counts[c, 1] += 1
            else:
                counts[c, 0] += _run_rounds(
                    fuels, books, names, figures, t, outer, survival, day_scale, max_rounds,
                    marks[c], work, flows[c], notional[c], balances[c],
                )  # fmt: skip
                if names[HALT] > 0 and _breaks(marks[c], t, names[WINDOW], figures[BREAK_MOVE], figures[MARK]):
                    to_halt = names[HALT]
            _open(fuels, fuel, t, day_scale, work, balances[c])
            if work.net[t] != 0:
                _spread(decay, t, work.net[t] / survival, t + 1, n_steps, work.load)
        _end_day(fuels, fuel, day_scale, work, balances[c])


KERNELS = (walk_paths, iterate_counterfactuals, run_free)
