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


class Impact(NamedTuple):
    """Decay table float64[>= n_steps] and the depth process float64[5]."""

    decay: F64
    depth: F64


class Work(NamedTuple):
    """Memory of one chunk.

    Lots and scale per bin; cursors and next openings int64[2, 2]; net flow and load per step; what a step of mode 3 is
    told, float64[3]: e_t, W_t, S.
    """

    lots: I64
    scale: F64
    cursor: I64
    net: I64
    load: F64
    news: F64


class Ledger(NamedTuple):
    """What every mode fills.

    flows int64[n_cells, 2, n_steps, 6] and notional float64[n_cells, 2, n_steps] (ticks x lots at trigger prices), both
    zero on entry; balances int64[n_cells, 2, 6].
    """

    flows: I64
    notional: F64
    balances: I64


class Question(NamedTuple):
    """A counterfactual's limits, and forced orders where they are given: int64[n_cells, 2, n_steps], else int64[0, 2, 0]."""

    reported: I64
    is_fall: bool
    max_iterations: int
    tolerance: float


class Lifted(NamedTuple):
    """What a counterfactual fills, valid up to the trough.

    survivals, factors float64[n_cells, n_steps]; paths float64[n_cells, 3, n_steps], the last one; ends int64[n_cells, 4];
    prices float64[n_cells, 3], at the trough of the first, the last but one and the last path.
    """

    survivals: F64
    factors: F64
    paths: F64
    ends: I64
    prices: F64


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
    return bool(closes[step] <= reference * (1.0 - move) or closes[step] >= reference * (1.0 + move))


# --- mode 1 -------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _walk_path(cells: Cells, c: int, fuels: Fuels, path: F64, n_steps: int, work: Work, ledger: Ledger) -> int:
    """Drive the fuel of cell `c` along a path float64[3, n] (low, high, close); return the number of halted steps."""
    names, figures, closure = cells.names[c], cells.figures[c], cells.closures[cells.names[c, MARKET]]
    flows, notional, balance = ledger.flows[c], ledger.notional[c], ledger.balances[c]
    fuel, twap, halt, mark = names[FUEL], names[TWAP], names[HALT], figures[MARK]
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
            if halt > 0 and _breaks(path[2], t, names[WINDOW], figures[BREAK_MOVE], mark):
                to_halt = halt
        if has_openings:
            _open(fuels, fuel, t, survival, work, balance)
    _end_day(fuels, fuel, survival, work, balance)
    return halted


@njit(**_OPTIONS)
def walk_paths(
    cells: Cells, fuels: Fuels, paths: F64, begin: int, end: int, work: Work, ledger: Ledger, halted: I64
) -> None:
    """Drive cells ``begin .. end`` along their observed paths (mode 1).

    Parameters
    ----------
    paths : float64[n_markets, 3, n_steps]
        Low, high and close in ticks.
    work, ledger : Work, Ledger
        Modified in place.
    halted : int64[n_cells]
        Modified in place: number of halted steps.
    """
    for c in range(begin, end):
        path = paths[cells.names[c, MARKET]]
        halted[c] = _walk_path(cells, c, fuels, path, path.shape[1], work, ledger)


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
        return float(books.price[end - 1])
    lots = books.lots[low - 1] if low > begin else 0.0
    price = books.price[low - 1] if low > begin else 1.0
    return float(price + (books.price[low] - price) * ((y - lots) / (books.lots[low] - lots)))


@njit(**_OPTIONS)
def _next_survival(depth: F64, survival: float, close: float, before: float, flow: int, reference: float) -> float:
    """Return W of the next step: recovered by one step, hit by the last return and the last net flow."""
    hit = depth[ALPHA] * abs(close / before - 1.0) + depth[GAMMA] * (abs(flow) / reference)
    recovered = 1.0 - (1.0 - survival) * depth[KEEP]
    return float(max(depth[LEAST], recovered / (1.0 + hit)))


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
def _lift(impact: Impact, books: Books, names: I64, n: int, observed: F64, work: Work, out: Lifted, c: int) -> float:
    """Take the impact of `work.net` out of the first `n` observed steps; return the largest change of a factor."""
    work.load[:n] = 0.0
    for u in range(n):
        if work.net[u] != 0:
            _spread(impact.decay, u, work.net[u] / out.survivals[c, u], u, n, work.load)
    last_bid = books.lots[books.edges[names[BIDS] + 1] - 1]
    last_ask = books.lots[books.edges[names[ASKS] + 1] - 1]
    change = 0.0
    out.ends[c, EXHAUSTED] = 0
    for t in range(n):
        load = work.load[t]
        if -load > last_bid or load > last_ask:
            out.ends[c, EXHAUSTED] = 1
        m = _factor(books, names[BIDS], names[ASKS], load)
        change = max(change, abs(m / out.factors[c, t] - 1.0))
        out.factors[c, t] = m
        for i in range(3):
            out.paths[c, i, t] = observed[i, t] / m
    return change


@njit(**_OPTIONS)
def _first_orders(
    cells: Cells, c: int, fuels: Fuels, observed: F64, n: int, question: Question, work: Work, ledger: Ledger
) -> None:
    """Set `work.net` to the net flow of the orders on the observed path: the reported ones, or those it triggers."""
    flows = ledger.flows[c]
    if question.reported.shape[0] > 0:
        for t in range(n):
            flows[0, t, FORCED] = question.reported[c, 0, t]
            flows[1, t, FORCED] = question.reported[c, 1, t]
            work.net[t] = question.reported[c, 1, t] - question.reported[c, 0, t]
    else:
        _walk_path(cells, c, fuels, observed, n, work, ledger)
        for t in range(n):
            work.net[t] = flows[1, t, SOLD] - flows[0, t, SOLD]


@njit(**_OPTIONS)
def iterate_counterfactuals(
    cells: Cells,
    fuels: Fuels,
    books: Books,
    paths: F64,
    impact: Impact,
    question: Question,
    begin: int,
    end: int,
    work: Work,
    ledger: Ledger,
    out: Lifted,
) -> None:
    """Take forced impact out of observed paths, trigger again, repeat (mode 2).

    Parameters
    ----------
    paths : float64[n_markets, 3, n_steps]
    work, ledger, out : Work, Ledger, Lifted
        Modified in place; the ledger ends with the orders whose impact the last path lacks.
    """
    side = 0 if question.is_fall else 1
    for c in range(begin, end):
        names, figures = cells.names[c], cells.figures[c]
        observed = paths[names[MARKET]]
        trough = _trough(observed, question.is_fall)
        n = trough + 1
        out.ends[c, TROUGH] = trough
        _first_orders(cells, c, fuels, observed, n, question, work, ledger)
        out.survivals[c, 0] = impact.depth[AT_START]
        for t in range(1, n):
            before = observed[2, t - 2] if t >= 2 else figures[MARK]
            out.survivals[c, t] = _next_survival(
                impact.depth, out.survivals[c, t - 1], observed[2, t - 1], before, work.net[t - 1], figures[REFERENCE]
            )
        out.factors[c, :n] = 1.0
        last = observed[side, trough]
        for i in range(1, question.max_iterations + 1):
            change = _lift(impact, books, names, n, observed, work, out, c)
            out.prices[c, PREVIOUS_PATH] = last
            last = out.paths[c, side, trough]
            if i == 1:
                out.prices[c, FIRST_PATH] = last
            out.ends[c, ITERATIONS] = i
            if change <= question.tolerance or question.reported.shape[0] > 0:
                out.ends[c, CONVERGED] = 1
                break
            if i < question.max_iterations:
                ledger.flows[c] = 0
                ledger.notional[c] = 0.0
                _walk_path(cells, c, fuels, out.paths[c], n, work, ledger)
                for t in range(n):
                    work.net[t] = ledger.flows[c, 1, t, SOLD] - ledger.flows[c, 0, t, SOLD]
        out.prices[c, LAST_PATH] = last


# --- mode 3 -------------------------------------------------------------------------------------------------------------


@njit(**_OPTIONS)
def _room(books: Books, book: int, survival: float, used: float) -> int:
    """Return the lots that a book still takes beyond the load `used` that already presses it."""
    return int(math.floor(max(0.0, survival * (books.lots[books.edges[book + 1] - 1] - used))))


@njit(**_OPTIONS)
def _step_free(
    cells: Cells, c: int, fuels: Fuels, books: Books, step: int, news: F64, max_rounds: int, work: Work, ledger: Ledger,
    run: Run,
) -> None:  # fmt: skip
    """Trigger and move the mark of one step until nothing new is forced; `news` holds e_t, W_t and S of the step."""
    names, figures, marks, flows = cells.names[c], cells.figures[c], run.marks[c], ledger.flows[c]
    fuel, bids, asks = names[FUEL], names[BIDS], names[ASKS]
    for _ in range(max_rounds):
        price = _guard(marks, step, names[TWAP], figures[MARK], marks[step])
        long_lots, long_value = _trigger(fuels, fuel, 0, price, news[2], work, ledger.balances[c])
        short_lots, short_value = _trigger(fuels, fuel, 1, -price, news[2], work, ledger.balances[c])
        if long_lots + short_lots == 0:
            break
        run.counts[c, 0] += 1
        flows[0, step, FORCED] += long_lots
        flows[1, step, FORCED] += short_lots
        ledger.notional[c, 0, step] += long_value
        ledger.notional[c, 1, step] -= short_value
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
        fuel, market = names[FUEL], names[MARKET]
        _begin_day(fuels, fuel, figures[MARK], work, ledger.balances[c])
        work.load[:n_steps] = 0.0
        work.net[:n_steps] = 0
        news[1] = impact.depth[AT_START]
        news[2] = 1.0
        to_halt = 0
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
                _step_free(cells, c, fuels, books, t, news, max_rounds, work, ledger, run)
                if names[HALT] > 0 and _breaks(marks, t, names[WINDOW], figures[BREAK_MOVE], figures[MARK]):
                    to_halt = names[HALT]
            _open(fuels, fuel, t, news[2], work, ledger.balances[c])
            if work.net[t] != 0:
                _spread(impact.decay, t, work.net[t] / news[1], t + 1, n_steps, work.load)
        _end_day(fuels, fuel, news[2], work, ledger.balances[c])


KERNELS = (walk_paths, iterate_counterfactuals, run_free)
