"""The compiled loops of kernel C: rounds of whole-account liquidations that hit several books at once.

Belongs here: both engines (the naive loop over every account and the mask engine), the round that they share, and the
index that the mask engine reads. Self-contained: a compiled helper in another module would leave a stale cached caller.
Does not: validation, allocation, sorting, threads; the callers
(``accounts_lattice.py`` and ``accounts.py``) do those.

A *row* is a scenario or a step of a path: one line of the output. Options as in ``kernel.py``: ``fastmath`` and ``parallel``
are off, because fused or reordered operations would change equities in the last bit and with them who is liquidated.

References
----------
docs/cascade_accounts.md: sections 2 to 6 give the arithmetic, section 8 the certificates of the mask engine.
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
# A call with bundles of arrays copies and counts references to every one of them, 0.5 microseconds in all: what runs per
# account takes plain arrays and is inlined by force.
_HOT: dict[str, Any] = {**_INNER, "forceinline": True}

LEVELS = 256  # one byte of safe distance
MASK_BITS = 64
# Accounts per block: one account that comes near opens its whole block. With 8 the list of blocks takes as long as the
# accounts, with 64 most accounts in an open block are seen in vain; 16 and 32 measure alike.
BLOCK_ACCOUNTS = 16
# Rounding of section 2 is below 3e-16 per operation; this share of an account's gross size, plus 1e-15 per position,
# covers it a million times over. A larger margin costs judgements and never correctness.
MARGIN_FRAC = 1e-9
MARGIN_PER_POSITION_FRAC = 1e-15
# Above this maintenance rate a rising price helps a long too little to outrun rounding: such accounts are always judged.
MAX_INDEXED_RATE_FRAC = 0.9
# The anchor follows the marks once one of them is this far from it (share of the reference mark). Each move costs every
# certificate as much; a far anchor costs those whose assets drifted apart since. 0.2 % to 1 % measure alike.
ANCHOR_REACH_FRAC = 0.005
# Cells from -reach to +reach. Fewer flag accounts that are a cell away; filling more costs each round.
CELLS = 128

# Columns of `Ledger.positions`; asset and quantity are whole numbers, REQUIREMENT is ``fl(|q| f)``.
ASSET, QUANTITY, ENTRY, REQUIREMENT = range(4)
# Columns of `Rows.lots`, int64[n_rows, n_assets, 5].
SALES, PURCHASES, NETTED, NET, EXHAUSTED = range(5)
# Columns of `Rows.prices`, float64[n_rows, n_assets, 4].
MARK, LOWEST, HIGHEST, NOTIONAL = range(4)
# Columns of `Rows.counts`, int64[n_rows, 3].
LIQUIDATED, ROUNDS, BAD_DEBTS = range(3)


class Ledger(NamedTuple):
    """Accounts in the storage order of an engine. A position is one record, so that judging it loads one cache line."""

    collateral: F64  # [n]
    first_position: I64  # [n + 1]
    positions: F64  # [n_positions, 4]: ASSET, QUANTITY, ENTRY, REQUIREMENT
    place: I64  # [n], the caller's index


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
    per_slack: F64  # [n], distance that a unit of slack carries; 0: always judged
    margin: F64  # [n], slack kept back for rounding
    block_first: I64  # [n_blocks + 1]
    block_level: I64  # [n_blocks], non-decreasing
    block_long: U64  # [n_blocks]
    block_short: U64  # [n_blocks]
    blocks_to_level: I64  # [LEVELS + 1], number of blocks below each level
    thresholds: F64  # [LEVELS], distance that each level is safe for
    reference: F64  # [n_assets], p0


class Watch(NamedTuple):
    """What the mask engine learns in a replay, and the list of blocks by which it is undone.

    An account is safe while none of its longs fell, and none of its shorts rose, by more than ``limit - travelled``
    from the anchor, in shares of the reference marks.
    """

    limit: F64  # [n], -inf unknown, +inf dead
    block_limit: F64  # [n_blocks], least limit of the accounts that `block_down`, `block_up` flag
    block_down: U64  # [n_blocks]
    block_up: U64  # [n_blocks]
    opened: I64  # [n_blocks]
    n_opened: I64  # [1]
    down: U64  # [LEVELS], assets that fell by more than the level from the reference
    up: U64  # [LEVELS]
    near_down: U64  # [CELLS + 1], assets that fell by more than the cell from the anchor
    near_up: U64  # [CELLS + 1]
    anchor: F64  # [n_assets]
    falls: F64  # [n_assets], from the anchor, negative for a rise
    travelled: F64  # [1], what the anchor moved so far


class Rows(NamedTuple):
    """Outputs, one row per scenario or step; `died` is int32[n_rows, n], int32[1, n] (path) or empty."""

    prices: F64
    lots: I64
    counts: I64
    bad_debt: F64
    died: I32


# --- the round ------------------------------------------------------------------------------------------------------------


@njit(**_HOT)
def _judge(collateral: F64, first_position: I64, positions: F64, i: int, marks: F64) -> tuple[float, float]:
    """Return equity and maintenance of account `i`, each summed over positions in storage order."""
    equity = collateral[i]
    maintenance = 0.0
    for k in range(first_position[i], first_position[i + 1]):
        mark = marks[int(positions[k, ASSET])]
        equity += positions[k, QUANTITY] * (mark - positions[k, ENTRY])
        maintenance += positions[k, REQUIREMENT] * mark
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
    high: float = partials[j]
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
            a = int(ledger.positions[k, ASSET])
            lots = int(ledger.positions[k, QUANTITY])
            if lots > 0:
                scratch.sales[a] += lots
            else:
                scratch.purchases[a] -= lots
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
        equity, _ = _judge(ledger.collateral, ledger.first_position, ledger.positions, scratch.found[f], scratch.marks)
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
            equity, maintenance = _judge(ledger.collateral, ledger.first_position, ledger.positions, i, scratch.marks)
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
    per_slack: F64,
    margin: F64,
) -> None:
    """Judge every account at the reference marks and measure its safe distance.

    Parameters
    ----------
    ledger : Ledger
    reference, thresholds : float64[n_assets], float64[LEVELS]
    is_included, level, long_mask, short_mask, per_slack, margin : arrays[n]
        Modified in place. `level` is the last one whose threshold is below the safe distance; 0 is always looked at.
    """
    for i in range(ledger.collateral.shape[0]):
        equity, maintenance = _judge(ledger.collateral, ledger.first_position, ledger.positions, i, reference)
        is_included[i] = not equity < maintenance
        begin = ledger.first_position[i]
        end = ledger.first_position[i + 1]
        longs = np.uint64(0)
        shorts = np.uint64(0)
        gross = abs(ledger.collateral[i])
        lost = 0.0
        is_indexed = True
        for k in range(begin, end):
            a = int(ledger.positions[k, ASSET])
            size = abs(ledger.positions[k, QUANTITY])
            if size == 0.0:
                continue
            bit = np.uint64(1) << np.uint64(a % MASK_BITS)
            value = size * reference[a]
            required = ledger.positions[k, REQUIREMENT] * reference[a]
            gross += 2.0 * (value + size * ledger.positions[k, ENTRY])
            if ledger.positions[k, QUANTITY] > 0.0:
                longs |= bit
                lost += value - required
                is_indexed = is_indexed and ledger.positions[k, REQUIREMENT] <= MAX_INDEXED_RATE_FRAC * size
            else:
                shorts |= bit
                lost += value + required
        long_mask[i] = longs
        short_mask[i] = shorts
        margin[i] = (MARGIN_FRAC + MARGIN_PER_POSITION_FRAC * (end - begin)) * gross
        per_slack[i] = 0.0
        level[i] = 0
        if is_indexed and lost > 0.0:
            per_slack[i] = (1.0 - MARGIN_FRAC) / lost
            distance = (equity - maintenance - margin[i]) * per_slack[i] - MARGIN_FRAC
            level[i] = max(0, _count_below(thresholds, distance) - 1)


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
            for column in range(4):
                sorted_ledger.positions[k, column] = ledger.positions[source, column]
            k += 1
        sorted_ledger.first_position[s + 1] = k
        if block < 0 or index.block_level[block] != level[s] or s - index.block_first[block] == BLOCK_ACCOUNTS:
            block += 1
            index.block_first[block] = s
            index.block_level[block] = level[s]
            index.block_long[block] = np.uint64(0)
            index.block_short[block] = np.uint64(0)
            index.blocks_to_level[level[s] + 1] += 1
        index.block_long[block] |= long_mask[s]
        index.block_short[block] |= short_mask[s]
    index.block_first[block + 1] = order.shape[0]
    for b in range(LEVELS):
        index.blocks_to_level[b + 1] += index.blocks_to_level[b]
    return block + 1


@njit(**_HOT)
def _cell(distance: float) -> int:
    """Return the cell of a distance from the anchor. Monotone, rounding included, so that no asset is missed."""
    cell = (distance + ANCHOR_REACH_FRAC) * ((CELLS - 1) / (2.0 * ANCHOR_REACH_FRAC))
    return int(min(max(cell, 0.0), float(CELLS)))


@njit(**_INNER)
def _note_levels(index: Index, marks: F64, watch: Watch) -> int:
    """Fill the masks of assets that moved by more than each level; return the number of levels to look at."""
    top = 1
    for level in range(LEVELS):
        watch.down[level] = np.uint64(0)
        watch.up[level] = np.uint64(0)
    for a in range(marks.shape[0]):
        bit = np.uint64(1) << np.uint64(a % MASK_BITS)
        move = marks[a] / index.reference[a] - 1.0
        level = _count_below(index.thresholds, abs(move))
        if level == 0:
            continue
        if move < 0.0:
            watch.down[level - 1] |= bit
        else:
            watch.up[level - 1] |= bit
        top = max(top, level)
    for level in range(top - 2, -1, -1):
        watch.down[level] |= watch.down[level + 1]
        watch.up[level] |= watch.up[level + 1]
    watch.down[0] = ~np.uint64(0)
    watch.up[0] = ~np.uint64(0)
    return top


@njit(**_INNER)
def _note_moves(index: Index, marks: F64, watch: Watch) -> float:
    """Fill the masks of assets by their distance from the anchor, moving the anchor first where it is too far.

    Returns the limit beyond which no account is reached by any asset.
    """
    distance = 0.0
    for a in range(marks.shape[0]):
        distance = max(distance, abs(watch.anchor[a] - marks[a]) / index.reference[a])
    if distance > ANCHOR_REACH_FRAC:
        watch.travelled[0] += distance
        for a in range(marks.shape[0]):
            watch.anchor[a] = marks[a]
        distance = 0.0
    for c in range(CELLS + 1):
        watch.near_down[c] = np.uint64(0)
        watch.near_up[c] = np.uint64(0)
    for a in range(marks.shape[0]):
        bit = np.uint64(1) << np.uint64(a % MASK_BITS)
        watch.falls[a] = (watch.anchor[a] - marks[a]) / index.reference[a]
        watch.near_down[_cell(watch.falls[a])] |= bit
        watch.near_up[_cell(-watch.falls[a])] |= bit
    for c in range(CELLS - 1, -1, -1):
        watch.near_down[c] |= watch.near_down[c + 1]
        watch.near_up[c] |= watch.near_up[c + 1]
    beyond: float = watch.travelled[0] + distance
    return beyond


@njit(**_HOT)
def _best_placed(first_position: I64, positions: F64, i: int, falls: F64) -> float:
    """Return the least move against a position of account `i`, as distance from the anchor."""
    best: float = np.inf
    for k in range(first_position[i], first_position[i + 1]):
        fall = falls[int(positions[k, ASSET])]
        if positions[k, QUANTITY] > 0.0:
            best = min(best, fall)
        elif positions[k, QUANTITY] < 0.0:
            best = min(best, -fall)
    return best


@njit(**_INNER)
def _find_masked(ledger: Ledger, index: Index, scratch: Scratch, watch: Watch) -> int:
    """Look at the blocks that the moves may have reached; fill `found` and return how many accounts fail.

    One long loop over local names: a call per block with its bundles of arrays would cost more than the block.
    """
    nothing = np.uint64(0)
    n_levels = _note_levels(index, scratch.marks, watch)
    beyond = _note_moves(index, scratch.marks, watch)
    travelled = watch.travelled[0]
    # The largest mark is at most 1 + travelled + reach times its reference, and rounding grows with it.
    scale = 2.0 + travelled
    collateral, first_position, positions, _ = ledger
    long_mask, short_mask, per_slack, margin, block_first, block_level, block_long, block_short, blocks, _, _ = index
    limit, block_limit, block_down, block_up = watch.limit, watch.block_limit, watch.block_down, watch.block_up
    near_down, near_up, falls = watch.near_down, watch.near_up, watch.falls
    marks, found = scratch.marks, scratch.found
    n_opened = watch.n_opened[0]
    n_found = 0
    for block in range(blocks[n_levels]):
        level = block_level[block]
        down = watch.down[level] & block_long[block]
        up = watch.up[level] & block_short[block]
        if down | up == nothing:
            continue
        if (down & ~block_down[block]) | (up & ~block_up[block]) == nothing:
            if block_limit[block] > beyond:
                continue
            cell = _cell(block_limit[block] - travelled)
            if (block_long[block] & near_down[cell]) | (block_short[block] & near_up[cell]) == nothing:
                continue
        if block_down[block] | block_up[block] == nothing:
            watch.opened[n_opened] = block
            n_opened += 1
        block_down[block] = down
        block_up[block] = up
        least = np.inf
        for i in range(block_first[block], block_first[block + 1]):
            longs = long_mask[i]
            shorts = short_mask[i]
            if (longs & down) | (shorts & up) == nothing:
                continue
            # Most accounts of an open block are far from their limits: one comparison, no table.
            cell = _cell(limit[i] - travelled) if limit[i] <= beyond else CELLS
            if (longs & near_down[cell]) | (shorts & near_up[cell]) != nothing:
                equity, maintenance = _judge(collateral, first_position, positions, i, marks)
                if equity < maintenance:
                    found[n_found] = i
                    n_found += 1
                    limit[i] = np.inf
                elif per_slack[i] > 0.0:
                    reach = (equity - maintenance - margin[i] * scale) * per_slack[i] - MARGIN_FRAC * scale
                    limit[i] = travelled + _best_placed(first_position, positions, i, falls) + reach
            least = min(least, limit[i])
        block_limit[block] = least
    watch.n_opened[0] = n_opened
    return n_found


@njit(**_INNER)
def _undo(index: Index, watch: Watch) -> None:
    """Forget what a replay learnt, at the cost of the blocks that it opened."""
    for o in range(watch.n_opened[0]):
        block = watch.opened[o]
        watch.block_limit[block] = -np.inf
        watch.block_down[block] = np.uint64(0)
        watch.block_up[block] = np.uint64(0)
        for i in range(index.block_first[block], index.block_first[block + 1]):
            watch.limit[i] = -np.inf
    watch.n_opened[0] = 0
    watch.travelled[0] = 0.0
    for a in range(index.reference.shape[0]):
        watch.anchor[a] = index.reference[a]


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
    _note_levels,
    _note_moves,
    _best_placed,
    _find_masked,
    _undo,
    masked_rows,
)
