"""The compiled loops of kernel C: rounds of whole-account liquidations that hit several books at once.

Belongs here: both engines (the naive loop over every account and the mask engine), the round that they share, and the
index that the mask engine reads. Self-contained: a compiled helper in another module would leave a stale cached caller.
Does not: validation, allocation, sorting, threads; the caller (``accounts.py``) does those.

A *row* is a scenario or a step of a path: one line of the output. Options as in ``kernel.py``: ``fastmath`` and ``parallel``
are off, because fused or reordered operations would change equities in the last bit and with them who is liquidated.

References
----------
docs/cascade_accounts.md: sections 2 to 6 give the arithmetic, section 8 the two certificates of the mask engine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]
B8 = npt.NDArray[np.bool_]

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": False, "no_cfunc_wrapper": True}
# Only compiled loops call these: without doors from Python they compile in half the time.
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}

LEVELS = 256  # one byte of safe distance
MASK_BITS = 64
# Accounts per block. Below 16 the list of blocks is as long as a scan; above 64 one flagged account opens too many.
BLOCK_ACCOUNTS = 32
# Rounding of section 2 is below 3e-16 per operation; this share of an account's gross size, plus 1e-15 per position,
# covers it a million times over. A larger margin costs judgements and never correctness.
MARGIN_FRAC = 1e-9
MARGIN_PER_POSITION_FRAC = 1e-15
# Above this maintenance rate a rising price helps a long too little to outrun rounding: such accounts are always judged.
MAX_INDEXED_RATE_FRAC = 0.9
# Cells over the range of falls in a round. Fewer flag accounts that are a cell away; filling more costs each round.
CELLS = 256
# Least width of a cell: keeps the scale finite where all assets moved alike.
LEAST_CELL_FRAC = 1e-7

# Columns of `Rows.lots`, int64[n_rows, n_assets, 5].
SALES, PURCHASES, NETTED, NET, EXHAUSTED = range(5)
# Columns of `Rows.prices`, float64[n_rows, n_assets, 4].
MARK, LOWEST, HIGHEST, NOTIONAL = range(4)
# Columns of `Rows.counts`, int64[n_rows, 3].
LIQUIDATED, ROUNDS, BAD_DEBTS = range(3)


class Ledger(NamedTuple):
    """Accounts in the storage order of an engine; `requirement` is ``fl(|q| f)``, `place` the caller's index."""

    collateral: F64  # [n]
    first_position: I64  # [n + 1]
    asset: I64  # [n_positions]
    quantity: F64  # [n_positions], whole numbers
    entry: F64  # [n_positions]
    requirement: F64  # [n_positions]
    place: I64  # [n]


class Books(NamedTuple):
    """Rows of all books: bids of asset ``a`` from ``first_row[2 a]``, asks from ``first_row[2 a + 1]``."""

    first_row: I64  # [2 n_assets + 1]
    relative_price: F64
    cumulative_lots: F64  # whole numbers below 2^53


class Scratch(NamedTuple):
    """Room of one thread for one replay, whatever the engine."""

    net: I64  # [n_assets], X_a
    sales: I64  # [n_assets], of the round
    purchases: I64  # [n_assets], of the round
    marks: F64  # [n_assets]
    found: I64  # [n], accounts of the round
    partials: F64  # [64], exact sum of bad debts: non-overlapping doubles, at most 40 in float64's range
    is_alive: B8  # [n], naive engine only


class Index(NamedTuple):
    """What the mask engine knows ahead: per account, per block of accounts, per level of safe distance."""

    long_mask: U64  # [n], assets whose fall hurts
    short_mask: U64  # [n], assets whose rise hurts
    distance: F64  # [n], safe distance from the reference marks; -inf: always judged
    per_exposure: F64  # [n], distance per unit of slack
    margin: F64  # [n], slack kept back for rounding
    block_first: I64  # [n_blocks + 1]
    block_level: I64  # [n_blocks], non-decreasing
    block_long: U64  # [n_blocks]
    block_short: U64  # [n_blocks]
    block_distance: F64  # [n_blocks], least of its accounts
    blocks_to_level: I64  # [LEVELS + 1], number of blocks below each level
    thresholds: F64  # [LEVELS], distance that each level is safe for
    reference: F64  # [n_assets], p0


class Watch(NamedTuple):
    """What the mask engine learns in a replay, and the list of blocks by which it is undone.

    An account is safe while none of its longs fell by more than `fall_limit` and none of its shorts rose by more than
    `rise_limit`, in shares of the reference marks. Dead accounts have +inf.
    """

    fall_limit: F64  # [n]
    rise_limit: F64  # [n]
    block_fall: F64  # [n_blocks], least of its accounts
    block_rise: F64  # [n_blocks]
    is_open: B8  # [n_blocks]
    opened: I64  # [n_blocks]
    n_opened: I64  # [1]
    falls: F64  # [n_assets], 1 - m / p0, negative for a rise
    down: U64  # [CELLS + 1], assets that fell by more than a limit in the cell, or nearly so
    up: U64  # [CELLS + 1]
    scale: F64  # [3]: least fall, least rise, cells per unit


class Rows(NamedTuple):
    """Outputs, one row per scenario or step; `died` is int32[n_rows, n], int32[1, n] (path) or empty."""

    prices: F64
    lots: I64
    counts: I64
    bad_debt: F64
    died: I32


# --- the round ------------------------------------------------------------------------------------------------------------


@njit(**_INNER)
def _judge(ledger: Ledger, i: int, marks: F64) -> tuple[float, float]:
    """Return equity and maintenance of account `i`, each summed over positions in storage order."""
    equity = ledger.collateral[i]
    maintenance = 0.0
    for k in range(ledger.first_position[i], ledger.first_position[i + 1]):
        mark = marks[ledger.asset[k]]
        equity += ledger.quantity[k] * (mark - ledger.entry[k])
        maintenance += ledger.requirement[k] * mark
    return equity, maintenance


@njit(**_INNER)
def _move_marks(books: Books, shocked: F64, survival: float, scratch: Scratch, rows: Rows, row: int) -> None:
    """Set every mark from the net forced flow and note extremes and exhaustion."""
    for a in range(shocked.shape[0]):
        net = scratch.net[a]
        mark = shocked[a]
        if net != 0:
            lots = abs(net)
            book = 2 * a if net > 0 else 2 * a + 1
            end = books.first_row[book + 1]
            low = books.first_row[book]
            high = end
            while low < high:
                middle = (low + high) // 2
                if lots <= survival * books.cumulative_lots[middle]:
                    high = middle
                else:
                    low = middle + 1
            mark = shocked[a] * books.relative_price[min(low, end - 1)]
            if low == end:
                rows.lots[row, a, EXHAUSTED] = 1
                if net > 0:
                    mark = min(1.0, mark)
        scratch.marks[a] = mark
        rows.prices[row, a, MARK] = mark
        rows.prices[row, a, LOWEST] = min(rows.prices[row, a, LOWEST], mark)
        rows.prices[row, a, HIGHEST] = max(rows.prices[row, a, HIGHEST], mark)


@njit(**_INNER)
def _add_exactly(partials: F64, count: int, value: float) -> int:
    """Add `value` to an exact sum held as non-overlapping partials of growing size (Shewchuk 1997, as ``math.fsum``)."""
    kept = 0
    for j in range(count):
        other = partials[j]
        if abs(value) < abs(other):
            value, other = other, value
        high = value + other
        low = other - (high - value)
        if low != 0.0:
            partials[kept] = low
            kept += 1
        value = high
    partials[kept] = value
    return kept + 1


@njit(**_INNER)
def _rounded(partials: F64, count: int) -> float:
    """Return the exact sum rounded once, half to even."""
    if count == 0:
        return 0.0
    j = count - 1
    high = partials[j]
    low = 0.0
    while j > 0 and low == 0.0:
        j -= 1
        before = high
        high = before + partials[j]
        low = partials[j] - (high - before)
    # A tie in `low` was rounded to even by itself; the next partial tells which side the exact sum is on.
    if j > 0 and ((low < 0.0 and partials[j - 1] < 0.0) or (low > 0.0 and partials[j - 1] > 0.0)):
        doubled = low * 2.0
        raised = high + doubled
        if doubled == raised - high:
            high = raised
    return high


@njit(**_INNER)
def _close(
    ledger: Ledger,
    books: Books,
    shocked: F64,
    survival: float,
    scratch: Scratch,
    n_found: int,
    n_partials: int,
    rows: Rows,
    row: int,
) -> int:
    """Close the accounts found in a round: flows, notional, new marks, bad debts. Return the number of partials."""
    scratch.sales[:] = 0
    scratch.purchases[:] = 0
    for f in range(n_found):
        i = scratch.found[f]
        for k in range(ledger.first_position[i], ledger.first_position[i + 1]):
            lots = np.int64(ledger.quantity[k])
            if lots > 0:
                scratch.sales[ledger.asset[k]] += lots
            else:
                scratch.purchases[ledger.asset[k]] -= lots
    for a in range(shocked.shape[0]):
        sales = scratch.sales[a]
        purchases = scratch.purchases[a]
        rows.prices[row, a, NOTIONAL] += (sales + purchases) * scratch.marks[a]
        rows.lots[row, a, SALES] += sales
        rows.lots[row, a, PURCHASES] += purchases
        rows.lots[row, a, NETTED] += min(sales, purchases)
        scratch.net[a] += sales - purchases
        rows.lots[row, a, NET] = scratch.net[a]
    _move_marks(books, shocked, survival, scratch, rows, row)
    for f in range(n_found):
        equity, _ = _judge(ledger, scratch.found[f], scratch.marks)
        if equity < 0.0:
            n_partials = _add_exactly(scratch.partials, n_partials, -equity)
            rows.counts[row, BAD_DEBTS] += 1
    rows.counts[row, LIQUIDATED] += n_found
    rows.counts[row, ROUNDS] += 1
    return n_partials


@njit(**_INNER)
def _open_row(books: Books, shocked: F64, survival: float, scratch: Scratch, rows: Rows, row: int) -> None:
    """Start a row: first marks with the net flow so far."""
    for a in range(shocked.shape[0]):
        rows.prices[row, a, LOWEST] = np.inf
        rows.prices[row, a, HIGHEST] = -np.inf
        rows.lots[row, a, NET] = scratch.net[a]
    _move_marks(books, shocked, survival, scratch, rows, row)


@njit(**_INNER)
def _stamp(ledger: Ledger, scratch: Scratch, n_found: int, rows: Rows, row: int, is_path: bool) -> None:
    """Note when the accounts of the round died: the step of a path, else the round of the scenario."""
    if rows.died.shape[0] == 0:
        return
    line = 0 if is_path else row
    when = row if is_path else rows.counts[row, ROUNDS]
    for f in range(n_found):
        rows.died[line, ledger.place[scratch.found[f]]] = when


# --- naive engine: every living account in every round ----------------------------------------------------------------------


@njit(**_INNER)
def _find_naive(ledger: Ledger, scratch: Scratch) -> int:
    """Judge every living account; fill `found` and return how many fail."""
    n_found = 0
    for i in range(ledger.collateral.shape[0]):
        if scratch.is_alive[i]:
            equity, maintenance = _judge(ledger, i, scratch.marks)
            if equity < maintenance:
                scratch.found[n_found] = i
                scratch.is_alive[i] = False
                n_found += 1
    return n_found


@njit(**_OPTIONS)
def naive_rows(
    ledger: Ledger,
    books: Books,
    is_included: B8,
    shocked: F64,
    survival: F64,
    begin: int,
    end: int,
    is_path: bool,
    scratch: Scratch,
    rows: Rows,
) -> None:
    """Replay rows ``begin .. end - 1`` by rounds x positions.

    Parameters
    ----------
    ledger : Ledger
        Every account, in the caller's order.
    is_included : bool[n]
        False for accounts that fail at the reference marks.
    shocked : float64[n_rows, n_assets]
    survival : float64[n_rows]
    is_path : bool
        True where rows are steps that keep flows and dead accounts.
    scratch, rows : Scratch, Rows
        Modified in place.
    """
    for row in range(begin, end):
        if row == begin or not is_path:
            for i in range(is_included.shape[0]):
                scratch.is_alive[i] = is_included[i]
            scratch.net[:] = 0
        n_partials = np.int64(0)  # a bare 0 would be a type of its own and compile every callee twice
        _open_row(books, shocked[row], survival[row], scratch, rows, row)
        while True:
            n_found = _find_naive(ledger, scratch)
            if n_found == 0:
                break
            n_partials = _close(ledger, books, shocked[row], survival[row], scratch, n_found, n_partials, rows, row)
            _stamp(ledger, scratch, n_found, rows, row, is_path)
        rows.bad_debt[row] = _rounded(scratch.partials, n_partials)


# --- mask engine ----------------------------------------------------------------------------------------------------------


@njit(**_INNER)
def _count_below(thresholds: F64, move: float) -> int:
    """Return how many thresholds are below `move`."""
    low = 0
    high = thresholds.shape[0]
    while low < high:
        middle = (low + high) // 2
        if thresholds[middle] >= move:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**_OPTIONS)
def survey_accounts(
    ledger: Ledger,
    reference: F64,
    thresholds: F64,
    is_included: B8,
    level: I64,
    long_mask: U64,
    short_mask: U64,
    distance: F64,
    per_exposure: F64,
    margin: F64,
) -> None:
    """Judge every account at the reference marks and measure its safe distance.

    Parameters
    ----------
    ledger : Ledger
    reference, thresholds : float64[n_assets], float64[LEVELS]
    is_included, level, long_mask, short_mask, distance, per_exposure, margin : arrays[n]
        Modified in place. `level` is the last one whose threshold is at or below the safe distance; level 0 is always
        looked at.
    """
    for i in range(ledger.collateral.shape[0]):
        equity, maintenance = _judge(ledger, i, reference)
        is_included[i] = not equity < maintenance
        begin = ledger.first_position[i]
        end = ledger.first_position[i + 1]
        longs = np.uint64(0)
        shorts = np.uint64(0)
        gross = abs(ledger.collateral[i])
        lost = 0.0
        is_indexed = True
        for k in range(begin, end):
            a = ledger.asset[k]
            size = abs(ledger.quantity[k])
            if size == 0.0:
                continue
            bit = np.uint64(1) << np.uint64(a % MASK_BITS)
            value = size * reference[a]
            required = ledger.requirement[k] * reference[a]
            gross += 2.0 * (value + size * ledger.entry[k])
            if ledger.quantity[k] > 0.0:
                longs |= bit
                lost += value - required
                is_indexed = is_indexed and ledger.requirement[k] <= MAX_INDEXED_RATE_FRAC * size
            else:
                shorts |= bit
                lost += value + required
        long_mask[i] = longs
        short_mask[i] = shorts
        margin[i] = (MARGIN_FRAC + MARGIN_PER_POSITION_FRAC * (end - begin)) * gross
        per_exposure[i] = 0.0
        distance[i] = -np.inf
        if is_indexed and lost > 0.0:
            per_exposure[i] = (1.0 - MARGIN_FRAC) / lost
            distance[i] = (equity - maintenance - margin[i]) * per_exposure[i] - MARGIN_FRAC
        level[i] = max(0, _count_below(thresholds, distance[i]) - 1)


@njit(**_OPTIONS)
def lay_out(
    ledger: Ledger, order: I64, sorted_ledger: Ledger, level: I64, long_mask: U64, short_mask: U64, index: Index
) -> int:
    """Copy accounts and their positions in `order`, cut them into blocks, and return the number of blocks.

    Parameters
    ----------
    ledger : Ledger
    order : int64[n_included]
        Places in `ledger`, by level.
    sorted_ledger : Ledger
        Modified in place.
    level, long_mask, short_mask : arrays[n_included]
        In `order`.
    index : Index
        The block arrays (of length n_included at least) are modified in place.
    """
    k = 0
    block = -1
    sorted_ledger.first_position[0] = 0
    for s in range(order.shape[0]):
        i = order[s]
        sorted_ledger.collateral[s] = ledger.collateral[i]
        sorted_ledger.place[s] = i
        for source in range(ledger.first_position[i], ledger.first_position[i + 1]):
            sorted_ledger.asset[k] = ledger.asset[source]
            sorted_ledger.quantity[k] = ledger.quantity[source]
            sorted_ledger.entry[k] = ledger.entry[source]
            sorted_ledger.requirement[k] = ledger.requirement[source]
            k += 1
        sorted_ledger.first_position[s + 1] = k
        if block < 0 or index.block_level[block] != level[s] or s - index.block_first[block] == BLOCK_ACCOUNTS:
            block += 1
            index.block_first[block] = s
            index.block_level[block] = level[s]
            index.block_long[block] = np.uint64(0)
            index.block_short[block] = np.uint64(0)
            index.block_distance[block] = np.inf
            index.blocks_to_level[level[s] + 1] += 1
        index.block_long[block] |= long_mask[s]
        index.block_short[block] |= short_mask[s]
        index.block_distance[block] = min(index.block_distance[block], index.distance[s])
    index.block_first[block + 1] = order.shape[0]
    for b in range(LEVELS):
        index.blocks_to_level[b + 1] += index.blocks_to_level[b]
    return block + 1


@njit(**_INNER)
def _cell(limit: float, least: float, per_unit: float) -> int:
    """Return the cell of a limit. Monotone in `limit`, rounding included, so that no asset is missed."""
    return int(min(max((limit - least) * per_unit, 0.0), float(CELLS)))


@njit(**_INNER)
def _note_moves(index: Index, marks: F64, watch: Watch) -> float:
    """Tabulate which assets moved beyond a limit, by cell of limits; return the largest move of all."""
    for c in range(CELLS + 1):
        watch.down[c] = np.uint64(0)
        watch.up[c] = np.uint64(0)
    least = np.inf
    most = -np.inf
    for a in range(marks.shape[0]):
        fall = 1.0 - marks[a] / index.reference[a]
        watch.falls[a] = fall
        least = min(least, fall)
        most = max(most, fall)
    per_unit = 1.0 / max((most - least) / (CELLS - 1), LEAST_CELL_FRAC)
    watch.scale[0] = least
    watch.scale[1] = -most
    watch.scale[2] = per_unit
    for a in range(marks.shape[0]):
        bit = np.uint64(1) << np.uint64(a % MASK_BITS)
        watch.down[_cell(watch.falls[a], least, per_unit)] |= bit
        watch.up[_cell(-watch.falls[a], -most, per_unit)] |= bit
    for c in range(CELLS - 1, -1, -1):
        watch.down[c] |= watch.down[c + 1]
        watch.up[c] |= watch.up[c + 1]
    return max(most, -least)


@njit(**_INNER)
def _renew(ledger: Ledger, index: Index, i: int, slack: float, move: float, watch: Watch) -> None:
    """Set the limits of a living account: as far beyond its best-placed assets as its slack carries all of them."""
    reach = (slack - index.margin[i] * (1.0 + move)) * index.per_exposure[i] - MARGIN_FRAC * (1.0 + move)
    fall = np.inf
    rise = np.inf
    for k in range(ledger.first_position[i], ledger.first_position[i + 1]):
        if ledger.quantity[k] > 0.0:
            fall = min(fall, watch.falls[ledger.asset[k]])
        elif ledger.quantity[k] < 0.0:
            rise = min(rise, -watch.falls[ledger.asset[k]])
    is_indexed = index.per_exposure[i] > 0.0
    watch.fall_limit[i] = fall + reach if is_indexed else -np.inf
    watch.rise_limit[i] = rise + reach if is_indexed else -np.inf


@njit(**_INNER)
def _open_block(
    ledger: Ledger, index: Index, block: int, scratch: Scratch, watch: Watch, move: float, n_found: int
) -> int:
    """Judge the flagged accounts of a block; return the new number of found accounts."""
    least_fall = np.inf
    least_rise = np.inf
    for i in range(index.block_first[block], index.block_first[block + 1]):
        down = watch.down[_cell(watch.fall_limit[i], watch.scale[0], watch.scale[2])]
        up = watch.up[_cell(watch.rise_limit[i], watch.scale[1], watch.scale[2])]
        if (index.long_mask[i] & down) | (index.short_mask[i] & up) != np.uint64(0):
            equity, maintenance = _judge(ledger, i, scratch.marks)
            if equity < maintenance:
                scratch.found[n_found] = i
                n_found += 1
                watch.fall_limit[i] = np.inf
                watch.rise_limit[i] = np.inf
            else:
                _renew(ledger, index, i, equity - maintenance, move, watch)
        least_fall = min(least_fall, watch.fall_limit[i])
        least_rise = min(least_rise, watch.rise_limit[i])
    watch.block_fall[block] = least_fall
    watch.block_rise[block] = least_rise
    return n_found


@njit(**_INNER)
def _find_masked(ledger: Ledger, index: Index, scratch: Scratch, watch: Watch) -> int:
    """Look at the blocks that the moves may have reached; fill `found` and return how many accounts fail."""
    move = _note_moves(index, scratch.marks, watch)
    # Beyond this level every account is safe by its first distance, whatever was learnt since.
    levels = max(1, _count_below(index.thresholds, move))
    n_found = np.int64(0)
    for block in range(index.blocks_to_level[levels]):
        down = watch.down[_cell(watch.block_fall[block], watch.scale[0], watch.scale[2])]
        up = watch.up[_cell(watch.block_rise[block], watch.scale[1], watch.scale[2])]
        if (index.block_long[block] & down) | (index.block_short[block] & up) == np.uint64(0):
            continue
        if not watch.is_open[block]:
            watch.is_open[block] = True
            watch.opened[watch.n_opened[0]] = block
            watch.n_opened[0] += 1
        n_found = _open_block(ledger, index, block, scratch, watch, move, n_found)
    return n_found


@njit(**_INNER)
def _undo(index: Index, watch: Watch) -> None:
    """Forget what a replay learnt, at the cost of the blocks that it opened."""
    for o in range(watch.n_opened[0]):
        block = watch.opened[o]
        watch.is_open[block] = False
        watch.block_fall[block] = index.block_distance[block]
        watch.block_rise[block] = index.block_distance[block]
        for i in range(index.block_first[block], index.block_first[block + 1]):
            watch.fall_limit[i] = index.distance[i]
            watch.rise_limit[i] = index.distance[i]
    watch.n_opened[0] = 0


@njit(**_OPTIONS)
def masked_rows(
    ledger: Ledger,
    books: Books,
    index: Index,
    shocked: F64,
    survival: F64,
    begin: int,
    end: int,
    is_path: bool,
    scratch: Scratch,
    watch: Watch,
    rows: Rows,
) -> None:
    """Replay rows ``begin .. end - 1`` with the mask engine.

    Parameters
    ----------
    ledger : Ledger
        Included accounts as `lay_out` stores them.
    index : Index
    shocked, survival, is_path
        As for `naive_rows`.
    scratch, watch, rows : Scratch, Watch, Rows
        Modified in place; `watch` is left as it was given (undone).
    """
    for row in range(begin, end):
        if row == begin or not is_path:
            scratch.net[:] = 0
        n_partials = np.int64(0)  # a bare 0 would be a type of its own and compile every callee twice
        _open_row(books, shocked[row], survival[row], scratch, rows, row)
        while True:
            n_found = _find_masked(ledger, index, scratch, watch)
            if n_found == 0:
                break
            n_partials = _close(ledger, books, shocked[row], survival[row], scratch, n_found, n_partials, rows, row)
            _stamp(ledger, scratch, n_found, rows, row, is_path)
        rows.bad_debt[row] = _rounded(scratch.partials, n_partials)
        if not is_path:
            _undo(index, watch)
    _undo(index, watch)


KERNELS = (
    _judge,
    _move_marks,
    _add_exactly,
    _rounded,
    _close,
    _open_row,
    _stamp,
    _find_naive,
    naive_rows,
    _count_below,
    survey_accounts,
    lay_out,
    _cell,
    _note_moves,
    _renew,
    _open_block,
    _find_masked,
    _undo,
    masked_rows,
)
