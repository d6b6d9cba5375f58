"""The accounts' lattice: typed markets and accounts, their validation, and the form that kernel C reads.

Belongs here: `Markets`, `Accounts`, `AccountLattice` and everything that refuses unlawful input. Does not: the replays and their
results (``accounts.py``), compiled loops (``kernel_accounts.py``, imported only when accounts are prepared).

References
----------
docs/cascade_accounts.md, section 1 (what goes in) and section 8 (how accounts are stored).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from assets.cascade.lattice import Book, Fuel, prepare, refuse
from assets.cascade.params import MAX_EXACT_LOTS, MAX_UPWARD_SHOCK_FRAC, PositionSide

if TYPE_CHECKING:
    from assets.cascade.kernel_accounts import Books, Index, Ledger

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
B8 = npt.NDArray[np.bool_]

# Prices are ticks: far below one tick a share of the mark would lose its meaning, above 2^53 ticks could not be told apart.
LEAST_PRICE_TICKS = 2.0**-53
MOST_PRICE_TICKS = float(MAX_EXACT_LOTS)

# Price x lots at their largest: beyond it equity could lose all meaning to rounding, and sums could overflow.
MAX_COLLATERAL_TICKLOTS = float(MAX_EXACT_LOTS) ** 2

# Levels of safe distance: 1 bp to 1,000 % (the largest upward shock) in 254 equal ratios of 4.6 %, and level 0 below.
# Only how often an account is looked at depends on them.
LEAST_DISTANCE_FRAC = 1e-4


@dataclass(frozen=True)
class Markets:
    """The assets that accounts hold, each with a reference mark and both sides of its book.

    Parameters
    ----------
    mark_ticks : float64[n_assets]
        ``p0`` in ticks, 2^-53 to 2^53.
    bids, asks : sequence of Book
        One per asset. Bids: relative prices at most 1 and non-increasing; asks: at least 1 and non-decreasing.
    """

    mark_ticks: F64
    bids: Sequence[Book]
    asks: Sequence[Book]


@dataclass(frozen=True)
class Accounts:
    """Accounts and their positions, in storage order: account ``i`` holds positions ``first_position[i]`` up to the next.

    Parameters
    ----------
    collateral_ticklots : float64[n_accounts]
        Ticks x lots; negative is a debt.
    first_position : int64[n_accounts + 1]
        Starts at 0, non-decreasing, ends at the number of positions.
    asset_index : int64[n_positions]
    quantity_lots : int64[n_positions]
        Signed: long above 0, short below. Per asset ``sum |q|`` stays below 2^53.
    entry_ticks : float64[n_positions]
        0 to 2^53; 0 for a deposit or a debt in coin.
    maintenance_rate_frac : float64[n_positions]
        0 to 1.
    """

    collateral_ticklots: F64
    first_position: I64
    asset_index: I64
    quantity_lots: I64
    entry_ticks: F64
    maintenance_rate_frac: F64


@dataclass(frozen=True)
class AccountLattice:
    """Validated markets and accounts in the form that the kernels read; made by `prepare_accounts`, good for many replays."""

    mark_ticks: F64
    books: Books
    ledger: Ledger
    is_included: B8
    sorted_ledger: Ledger
    index: Index

    @property
    def excluded_count(self) -> int:
        """Accounts below maintenance at the reference marks: out of date, never liquidated."""
        return int(self.is_included.size - self.is_included.sum())


def prepare_accounts(markets: Markets, accounts: Accounts) -> AccountLattice:
    """Validate markets and accounts, and store the accounts by safe distance.

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    from assets.cascade import kernel_accounts as kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    marks, books = _checked_markets(markets)
    ledger = _checked_accounts(accounts, marks.size)
    n = ledger.collateral.size
    is_included = np.empty(n, dtype=np.bool_)
    level = np.empty(n, dtype=np.int64)
    masks = np.empty((2, n), dtype=np.uint64)
    figures = np.empty((2, n))
    levels = np.geomspace(LEAST_DISTANCE_FRAC, MAX_UPWARD_SHOCK_FRAC, kernel.LEVELS - 1)
    thresholds = np.concatenate([[0.0], levels])
    kernel.survey_accounts(ledger, marks, thresholds, is_included, level, *masks, *figures)
    order = _storage_order(level, masks)
    order = order[is_included[order]]
    sorted_ledger = _empty_ledger(ledger, order)
    block_long, block_short = np.zeros((2, order.size), dtype=np.uint64)
    index = kernel.Index(
        long_mask=masks[0, order],
        short_mask=masks[1, order],
        per_slack=figures[0, order],
        margin=figures[1, order],
        block_first=zeros(order.size + 1),
        block_level=zeros(order.size),
        block_long=block_long,
        block_short=block_short,
        blocks_to_level=zeros(kernel.LEVELS + 1),
        thresholds=thresholds,
        reference=marks,
    )
    n_blocks = kernel.lay_out(ledger, order, sorted_ledger, level[order], index.long_mask, index.short_mask, index)
    index = index._replace(
        block_first=index.block_first[: n_blocks + 1].copy(),
        block_level=index.block_level[:n_blocks].copy(),
        block_long=index.block_long[:n_blocks].copy(),
        block_short=index.block_short[:n_blocks].copy(),
    )
    return AccountLattice(marks, books, ledger, is_included, sorted_ledger, index)


def _storage_order(level: I64, masks: U64) -> I64:
    """Return the order of storage: by safe distance, then by assets, so that a block's accounts are flagged together.

    One key of 8 + 28 + 28 bits: assets beyond 28 do not sort, which costs speed and nothing else.
    """
    low = np.uint64(2**28 - 1)
    key = (level.astype(np.uint64) << np.uint64(56)) | ((masks[0] & low) << np.uint64(28)) | (masks[1] & low)
    found: I64 = np.argsort(key, kind="stable")
    return found


def _empty_ledger(ledger: Ledger, order: I64) -> Ledger:
    sizes = np.diff(ledger.first_position)
    n, positions = order.size, int(sizes[order].sum())
    return type(ledger)(np.empty(n), zeros(n + 1), np.empty((positions, 4)), zeros(n))


# --- validation -------------------------------------------------------------------------------------------------------------


def _checked_markets(markets: Markets) -> tuple[F64, Books]:
    from assets.cascade import kernel_accounts as kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    marks = floats("mark_ticks", markets.mark_ticks)
    if marks.size == 0:
        raise ValueError("mark_ticks: there is no asset; give at least one")
    refuse("mark_ticks", ~is_price(marks), marks, "a mark must be inside [2^-53, 2^53] ticks")
    for field, books in (("bids", markets.bids), ("asks", markets.asks)):
        if len(books) != marks.size:
            raise ValueError(f"{field}[{min(len(books), marks.size)}]: {len(books)} books against {marks.size} marks")
    prices: list[F64] = []
    lots: list[F64] = []
    for a in range(marks.size):
        for field, book, side in (("bids", markets.bids[a], "long"), ("asks", markets.asks[a], "short")):
            price, depth = _checked_book(f"{field}[{a}]", book, side)
            prices.append(price)
            lots.append(depth)
    first_row = np.concatenate([[0], np.cumsum([p.size for p in prices])]).astype(np.int64)
    return marks, kernel.Books(first_row, np.concatenate(prices), np.concatenate(lots))


def _checked_book(name: str, book: Book, side: str) -> tuple[F64, F64]:
    """Judge one book by the laws of the static cascade: bids serve long fuel, asks serve short fuel."""
    nothing = Fuel(np.empty(0), zeros(0), np.empty(0))
    of_side: PositionSide = "long" if side == "long" else "short"
    try:
        checked = prepare(1.0, book, nothing, of_side)
    except ValueError as fault:
        raise ValueError(f"{name}.{fault}") from fault
    return checked.relative_price, checked.cumulative_lots.astype(np.float64)


def _checked_accounts(accounts: Accounts, n_assets: int) -> Ledger:
    from assets.cascade import kernel_accounts as kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    collateral = floats("collateral_ticklots", accounts.collateral_ticklots)
    first = integers("first_position", accounts.first_position)
    asset = integers("asset_index", accounts.asset_index)
    lots = integers("quantity_lots", accounts.quantity_lots)
    entry = floats("entry_ticks", accounts.entry_ticks)
    rate = floats("maintenance_rate_frac", accounts.maintenance_rate_frac)
    is_bad = ~(np.abs(collateral) <= MAX_COLLATERAL_TICKLOTS)
    refuse("collateral_ticklots", is_bad, collateral, "collateral must be finite and at most 2^106")
    same_length("first_position", first, collateral.size + 1, "accounts + 1")
    for field, values in (("quantity_lots", lots), ("entry_ticks", entry), ("maintenance_rate_frac", rate)):
        same_length(field, values, asset.size, "asset_index")
    refuse("first_position", np.diff(first, prepend=0) < 0, first, "positions of accounts must not go back")
    if first[0] != 0:
        raise ValueError(f"first_position[0] = {first[0]}: the first account starts at 0")
    if first[-1] != asset.size:
        raise ValueError(f"first_position[{first.size - 1}] = {first[-1]}: there are {asset.size} positions")
    refuse("asset_index", (asset < 0) | (asset >= n_assets), asset, f"there are {n_assets} assets, counted from 0")
    _refuse_too_many_lots(asset, lots, n_assets)
    refuse("entry_ticks", ~((entry >= 0) & (entry <= MAX_EXACT_LOTS)), entry, "an entry must be inside [0, 2^53]")
    refuse("maintenance_rate_frac", ~((rate >= 0) & (rate <= 1)), rate, "a maintenance rate must be inside [0, 1]")
    quantity = lots.astype(np.float64)
    place = np.arange(collateral.size, dtype=np.int64)
    positions = np.column_stack([asset.astype(np.float64), quantity, entry, np.abs(quantity) * rate])
    return kernel.Ledger(collateral, first, positions, place)


def _refuse_too_many_lots(asset: I64, lots: I64, n_assets: int) -> None:
    size = np.abs(lots.astype(np.float64))  # as floats: the absolute of the least int64 does not exist
    is_over = np.bincount(asset, weights=size, minlength=n_assets) >= MAX_EXACT_LOTS
    over = np.zeros(lots.size, dtype=np.bool_)
    for a in np.flatnonzero(is_over):
        places = np.flatnonzero(asset == a)
        over[places] = np.cumsum(size[places]) >= MAX_EXACT_LOTS
    refuse("quantity_lots", over, lots, "positions in one asset must stay below 2^53 lots; use larger lots")


def is_price(values: F64) -> B8:
    """Say which values are prices that the lattice can tell apart; a NaN is none."""
    return (values >= LEAST_PRICE_TICKS) & (values <= MOST_PRICE_TICKS)


def floats(field: str, values: npt.ArrayLike) -> F64:
    """Return an own float64[n] copy, or refuse another number of dimensions."""
    array = np.array(values, dtype=np.float64, order="C")
    if array.ndim != 1:
        raise ValueError(f"{field}: expected one dimension, got {array.ndim}")
    return array


def integers(field: str, values: npt.ArrayLike) -> I64:
    """Return an own int64[n] copy, or refuse what is not whole numbers in one dimension."""
    given = np.array(values, order="C")
    if given.ndim != 1:
        raise ValueError(f"{field}: expected one dimension, got {given.ndim}")
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{field}: expected whole numbers, got {given.dtype}")
    return given.astype(np.int64)


def same_length(field: str, values: npt.NDArray, expected: int, other: str) -> None:
    """Refuse a length other than `expected`; names the first place that one of the two lacks."""
    if values.size != expected:
        raise ValueError(f"{field}[{min(values.size, expected)}]: {values.size} values against {expected} of {other}")


def zeros(n: int) -> I64:
    """Return int64[n] of zeros."""
    return np.zeros(n, dtype=np.int64)
