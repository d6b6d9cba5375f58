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
# Columns of `place`, int64[2, 4]: first bin that may hold lots, end of the side's bins, next opening, end of openings.
CURSOR, END, OPEN_AT, OPEN_END = range(4)
# Places of `depth`, float64[5].
ALPHA, GAMMA, KEEP, LEAST, AT_START = range(5)

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": False, "no_cfunc_wrapper": True}
# A helper lives inside its callers: without a Python wrapper of its own the module compiles in half the time.
_HELPER: dict[str, Any] = {"nogil": True, "fastmath": False, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}


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


class Impact(NamedTuple):
    """Decay table float64[>= n_steps] and the depth process float64[5]."""

    decay: F64
    depth: F64


class Work(NamedTuple):
    """Memory of one chunk.

    Lots and scale per bin; where each side stands, int64[2, 4]; net flow and load per step; what a step of mode 3 is told,
    float64[3]: e_t, W_t, S.
    """

    lots: I64
    scale: F64
    place: I64
    net: I64
    load: F64
    news: F64


class Bins(NamedTuple):
    """The fuel of one cell while it runs: signed triggers of its set, lots and scale per bin, where each side stands.

    Helpers take this and not everything: a tuple of arrays is passed array by array, and that is what a call costs.
    """

    trigger: F64
    lots: I64
    scale: F64
    place: I64


class Ledger(NamedTuple):
    """What every mode fills.

    flows int64[n_cells, 2, n_steps, 6] and notional float64[n_cells, 2, n_steps] (ticks x lots at trigger prices), both
    zero on entry; balances int64[n_cells, 2, 6].
    """

    flows: I64
    notional: F64
    balances: I64


class Shocks(NamedTuple):
    """Marks without forced orders float64[n_markets, n_shock], of which a market uses its first `steps`, int64[n_markets]."""

    marks: F64
    steps: I64


class Run(NamedTuple):
    """What a free run fills: end-of-step marks, W float64[n_cells, n_steps]; rounds, halted steps int64[n_cells, 2]."""

    marks: F64
    survivals: F64
    counts: I64


# --- fuel ---------------------------------------------------------------------------------------------------------------


@njit(**_HELPER)
def _begin_day(fuels: Fuels, fuel: int, mark: float, work: Work, balance: I64) -> Bins:
    """Lay the bins of a set into `work` and exclude those past the mark; the cursor starts behind them."""
    first = fuels.edges[fuel, 0]
    bins = Bins(fuels.trigger[first : fuels.edges[fuel, 2]], work.lots, work.scale, work.place)
    for side in range(2):
        begin = fuels.edges[fuel, side] - first
        end = fuels.edges[fuel, side + 1] - first
        price = mark if side == 0 else -mark
        initial = 0
        given, lots, scale = fuels.lots[first + begin : first + end], bins.lots[begin:end], bins.scale[begin:end]
        for k in range(given.shape[0]):
            lots[k] = given[k]
            scale[k] = 1.0
            initial += given[k]
        cursor = begin
        excluded = 0
        while cursor < end and bins.trigger[cursor] >= price:
            excluded += bins.lots[cursor]
            bins.lots[cursor] = 0
            cursor += 1
        bins.place[side, CURSOR] = cursor
        bins.place[side, END] = end
        bins.place[side, OPEN_AT] = fuels.open_edges[fuel, side]
        bins.place[side, OPEN_END] = fuels.open_edges[fuel, side + 1]
        balance[side, INITIAL] = initial
        balance[side, EXCLUDED] = excluded
        for column in (OPENED, ALL_FORCED, CLOSED, REMAINING):
            balance[side, column] = 0
    return bins


@njit(**_HELPER)
def _trigger(bins: Bins, low: float, high: float, survival: float, balance: I64) -> tuple[int, int, float, float]:
    """Empty the bins that a low (longs) and a high (shorts) reach; return forced lots and notional of both sides."""
    long_lots = 0
    long_value = 0.0
    forced = 0
    notional = 0.0
    for side in range(2):
        price = low if side == 0 else -high
        cursor = bins.place[side, CURSOR]
        forced = 0
        notional = 0.0
        while cursor < bins.place[side, END] and bins.trigger[cursor] >= price:
            lots = bins.lots[cursor]
            if lots > 0:
                live = math.floor(lots * (survival / bins.scale[cursor]))
                forced += live
                notional += bins.trigger[cursor] * live
                balance[side, CLOSED] += lots - live
                bins.lots[cursor] = 0
            cursor += 1
        bins.place[side, CURSOR] = cursor
        balance[side, ALL_FORCED] += forced
        if side == 0:
            long_lots = forced
            long_value = notional
    return long_lots, forced, long_value, 0.0 - notional


@njit(**_HELPER)
def _open(fuels: Fuels, bins: Bins, step: int, survival: float, balance: I64) -> None:
    """Add the openings of a step; an opening before the cursor pulls it back."""
    for side in range(2):
        at = bins.place[side, OPEN_AT]
        while at < bins.place[side, OPEN_END] and fuels.open_step[at] == step:
            k = fuels.open_bin[at]
            left = math.floor(bins.lots[k] * (survival / bins.scale[k]))
            balance[side, CLOSED] += bins.lots[k] - left
            balance[side, OPENED] += fuels.open_lots[at]
            bins.lots[k] = left + fuels.open_lots[at]
            bins.scale[k] = survival
            bins.place[side, CURSOR] = min(bins.place[side, CURSOR], k)
            at += 1
        bins.place[side, OPEN_AT] = at


@njit(**_HELPER)
def _next(fuels: Fuels, bins: Bins) -> tuple[float, float, int]:
    """Return the next trigger of each side (-inf where there is none) and the step of the next opening (-1)."""
    long_at, short_at = bins.place[0, CURSOR], bins.place[1, CURSOR]
    next_long = bins.trigger[long_at] if long_at < bins.place[0, END] else -math.inf
    next_short = bins.trigger[short_at] if short_at < bins.place[1, END] else -math.inf
    next_open = -1
    for side in range(2):
        at = bins.place[side, OPEN_AT]
        if at < bins.place[side, OPEN_END]:
            step = fuels.open_step[at]
            next_open = step if next_open < 0 else min(next_open, step)
    return next_long, next_short, next_open


@njit(**_HELPER)
def _end_day(bins: Bins, survival: float, balance: I64) -> None:
    """Count what is left; the rest of what was not forced has closed."""
    for side in range(2):
        remaining = 0
        held = 0
        for k in range(bins.place[side, CURSOR], bins.place[side, END]):
            held += bins.lots[k]
            remaining += math.floor(bins.lots[k] * (survival / bins.scale[k]))
        balance[side, REMAINING] = remaining
        balance[side, CLOSED] += held - remaining


@njit(**_HELPER)
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


@njit(**_HELPER)
def _sell(flows: I64, step: int, net: int, taken: int) -> None:
    """Write what the book took of the net flow; what it did not take is unabsorbed."""
    flows[0, step, SOLD] = max(0, -taken)
    flows[1, step, SOLD] = max(0, taken)
    flows[0, step, UNABSORBED] = max(0, -net) - max(0, -taken)
    flows[1, step, UNABSORBED] = max(0, net) - max(0, taken)


# --- rules --------------------------------------------------------------------------------------------------------------


@njit(**_HELPER)
def _guard(closes: F64, step: int, n: int, mark: float, latest: float) -> float:
    """Return the mean of the last `n` marks, the newest being `latest`; before the day the mark is `mark`."""
    if n == 1:
        return latest
    total = 0.0
    for t in range(step - n + 1, step):
        total += closes[t] if t >= 0 else mark
    return (total + latest) / n


@njit(**_HELPER)
def _breaks(closes: F64, step: int, window: int, move: float, mark: float) -> bool:
    """Say whether the mark moved by `move` or more against `window` steps ago."""
    at = step - window
    reference = closes[at] if at >= 0 else mark
    return bool(closes[step] <= reference * (1.0 - move) or closes[step] >= reference * (1.0 + move))


# --- mode 1 -------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def walk_paths(
    cells: Cells,
    fuels: Fuels,
    paths: F64,
    n_steps: int,
    begin: int,
    end: int,
    work: Work,
    ledger: Ledger,
    halted: I64,
) -> None:
    """Drive cells ``begin .. end`` along the first `n_steps` of their paths (mode 1, and the triggers of mode 2).

    Parameters
    ----------
    paths : float64[n_markets, 3, >= n_steps]
        Low, high and close in ticks.
    work, ledger : Work, Ledger
        Modified in place.
    halted : int64[n_cells]
        Modified in place: number of halted steps.
    """
    for c in range(begin, end):
        names, figures, market = cells.names[c], cells.figures[c], cells.names[c, MARKET]
        flows, notional, balance = ledger.flows[c], ledger.notional[c], ledger.balances[c]
        twap, halt, mark = names[TWAP], names[HALT], figures[MARK]
        closure, lows, highs, closes = cells.closures[market], paths[market, 0], paths[market, 1], paths[market, 2]
        bins = _begin_day(fuels, names[FUEL], mark, work, balance)
        survival = 1.0
        to_halt = 0
        halted[c] = 0
        # Most steps reach nothing: two comparisons against the next trigger of each side decide that without a call.
        next_long, next_short, next_open = _next(fuels, bins)
        for t in range(n_steps):
            survival = survival * (1.0 - closure[t])
            if to_halt > 0:
                to_halt -= 1
                halted[c] += 1
            else:
                low, high = lows[t], highs[t]
                if twap > 1:
                    low, high = _guard(closes, t, twap, mark, low), _guard(closes, t, twap, mark, high)
                if next_long >= low or next_short >= -high:
                    longs, shorts, long_value, short_value = _trigger(bins, low, high, survival, balance)
                    if longs + shorts > 0:
                        flows[0, t, FORCED] = longs
                        flows[1, t, FORCED] = shorts
                        notional[0, t] = long_value
                        notional[1, t] = short_value
                        net = _split(flows, t, figures[SOLD_SHARE], figures[ADL_SHARE])
                        _sell(flows, t, net, net)
                    next_long, next_short, next_open = _next(fuels, bins)
                if halt > 0 and _breaks(closes, t, names[WINDOW], figures[BREAK_MOVE], mark):
                    to_halt = halt
            if next_open == t:
                _open(fuels, bins, t, survival, balance)
                next_long, next_short, next_open = _next(fuels, bins)
        _end_day(bins, survival, balance)


# --- impact and depth ---------------------------------------------------------------------------------------------------


@njit(**_HELPER)
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
        return float(books.price[end - 1])
    lots = books.lots[low - 1] if low > begin else 0.0
    price = books.price[low - 1] if low > begin else 1.0
    return float(price + (books.price[low] - price) * ((y - lots) / (books.lots[low] - lots)))


@njit(**_HELPER)
def _next_survival(depth: F64, survival: float, close: float, before: float, flow: int, reference: float) -> float:
    """Return W of the next step: recovered by one step, hit by the last return and the last net flow."""
    hit = depth[ALPHA] * abs(close / before - 1.0) + depth[GAMMA] * (abs(flow) / reference)
    recovered = 1.0 - (1.0 - survival) * depth[KEEP]
    return float(max(depth[LEAST], recovered / (1.0 + hit)))


@njit(**_HELPER)
def _spread(decay: F64, step: int, lots: float, begin: int, end: int, load: F64) -> None:
    """Add the decayed lots of one step to the loads of steps ``begin .. end``; for each load in order of steps."""
    # Slices that are counted from 0: an index that might be negative would keep the loop from vector instructions.
    later, weights = load[begin:end], decay[begin - step : end - step]
    for k in range(later.shape[0]):
        later[k] += weights[k] * lots


# --- mode 2 -------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def fill_survivals(mark: float, closes: F64, net: I64, reference: float, depth: F64, survivals: F64) -> None:
    """Fill W of an observed day.

    Parameters
    ----------
    mark, closes : float, float64[>= n]
        ``p0`` and observed closes.
    net : int64[>= n]
        Net forced flow, purchases positive.
    reference, depth : float, float64[5]
    survivals : float64[n]
        Modified in place.
    """
    survivals[0] = depth[AT_START]
    for t in range(1, survivals.shape[0]):
        before = closes[t - 2] if t >= 2 else mark
        survivals[t] = _next_survival(depth, survivals[t - 1], closes[t - 1], before, net[t - 1], reference)


@njit(**_OPTIONS)
def fill_factors(
    books: Books, bids: int, asks: int, decay: F64, survivals: F64, net: I64, load: F64, factors: F64
) -> None:
    """Fill loads and factors of a row of net flows.

    Parameters
    ----------
    decay, survivals : float64[>= n], float64[n]
    net : int64[>= n]
    load, factors : float64[>= n], float64[n]
        Modified in place: L and m(L).
    """
    n = survivals.shape[0]
    for t in range(n):
        load[t] = 0.0
    for u in range(n):
        if net[u] != 0:
            _spread(decay, u, net[u] / survivals[u], u, n, load)
    for t in range(n):
        factors[t] = _factor(books, bids, asks, load[t])


# --- mode 3 -------------------------------------------------------------------------------------------------------------


@njit(**_HELPER)
def _room(books: Books, book: int, survival: float, used: float) -> int:
    """Return the lots that a book still takes beyond the load `used` that already presses it."""
    room: int = math.floor(max(0.0, survival * (books.lots[books.edges[book + 1] - 1] - used)))
    return room


@njit(**_HELPER)
def _step_free(
    cells: Cells, c: int, bins: Bins, books: Books, step: int, news: F64, max_rounds: int, work: Work, ledger: Ledger,
    run: Run,
) -> None:  # fmt: skip
    """Trigger and move the mark of one step until nothing new is forced; `news` holds e_t, W_t and S of the step."""
    names, figures, marks, flows = cells.names[c], cells.figures[c], run.marks[c], ledger.flows[c]
    bids, asks = names[BIDS], names[ASKS]
    for _ in range(max_rounds):
        price = _guard(marks, step, names[TWAP], figures[MARK], marks[step])
        longs, shorts, long_value, short_value = _trigger(bins, price, price, news[2], ledger.balances[c])
        if longs + shorts == 0:
            break
        run.counts[c, 0] += 1
        flows[0, step, FORCED] += longs
        flows[1, step, FORCED] += shorts
        ledger.notional[c, 0, step] += long_value
        ledger.notional[c, 1, step] += short_value
        net = _split(flows, step, figures[SOLD_SHARE], figures[ADL_SHARE])
        if net < 0:
            work.net[step] = -min(-net, _room(books, bids, news[1], -work.load[step]))
        else:
            work.net[step] = min(net, _room(books, asks, news[1], work.load[step]))
        _sell(flows, step, net, work.net[step])
        marks[step] = max(1.0, news[0] * _factor(books, bids, asks, work.load[step] + work.net[step] / news[1]))


@njit(**_OPTIONS)
def run_free(
    cells: Cells,
    fuels: Fuels,
    books: Books,
    impact: Impact,
    shocks: Shocks,
    max_rounds: int,
    begin: int,
    end: int,
    work: Work,
    ledger: Ledger,
    run: Run,
) -> None:
    """Let cells ``begin .. end`` run from their state and the shock of the first steps (mode 3).

    Parameters
    ----------
    max_rounds : int
        Rounds per step.
    work, ledger, run : Work, Ledger, Run
        Modified in place.
    """
    n_steps = run.marks.shape[1]
    news = work.news
    for c in range(begin, end):
        names, figures, marks = cells.names[c], cells.figures[c], run.marks[c]
        market, balance = names[MARKET], ledger.balances[c]
        bins = _begin_day(fuels, names[FUEL], figures[MARK], work, balance)
        for t in range(n_steps):
            work.load[t] = 0.0
            work.net[t] = 0
        news[1] = impact.depth[AT_START]
        news[2] = 1.0
        to_halt = 0
        # As in `walk_paths`: most steps reach nothing, and then no call is made.
        next_long, next_short, next_open = _next(fuels, bins)
        for t in range(n_steps):
            if t > 0:
                before = marks[t - 2] if t >= 2 else figures[MARK]
                news[1] = _next_survival(
                    impact.depth, news[1], marks[t - 1], before, work.net[t - 1], figures[REFERENCE]
                )
            run.survivals[c, t] = news[1]
            news[2] = news[2] * (1.0 - cells.closures[market, t])
            news[0] = shocks.marks[market, min(t, shocks.steps[market] - 1)]
            marks[t] = max(1.0, news[0] * _factor(books, names[BIDS], names[ASKS], work.load[t]))
            if to_halt > 0:
                to_halt -= 1
                run.counts[c, 1] += 1
            else:
                price = _guard(marks, t, names[TWAP], figures[MARK], marks[t])
                if next_long >= price or next_short >= -price:
                    _step_free(cells, c, bins, books, t, news, max_rounds, work, ledger, run)
                    next_long, next_short, next_open = _next(fuels, bins)
                if names[HALT] > 0 and _breaks(marks, t, names[WINDOW], figures[BREAK_MOVE], figures[MARK]):
                    to_halt = names[HALT]
            if next_open == t:
                _open(fuels, bins, t, news[2], balance)
                next_long, next_short, next_open = _next(fuels, bins)
            if work.net[t] != 0:
                _spread(impact.decay, t, work.net[t] / news[1], t + 1, n_steps, work.load)
        _end_day(bins, news[2], balance)


KERNELS = (walk_paths, fill_survivals, fill_factors, run_free)
