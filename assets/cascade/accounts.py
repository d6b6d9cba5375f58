"""Accounts with several positions: the two replays of kernel C and their results.

Belongs here: results, threads, and everything between a prepared lattice and plain arrays. Does not: inputs and their
validation (``accounts_lattice.py``), compiled loops (``kernel_accounts.py``, imported only when a replay runs), where positions
come from, tables.

References
----------
docs/cascade_accounts.md defines the replay to the last bit.
"""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from assets.cascade.accounts_lattice import (
    AccountLattice,
    Accounts,
    Markets,
    is_price,
    prepare_accounts,
    same_length,
    zeros,
)
from assets.cascade.lattice import Book, refuse
from assets.cascade.params import MAX_UPWARD_SHOCK_FRAC

if TYPE_CHECKING:
    from assets.cascade.kernel_accounts import Rows, Scratch, Watch

__all__ = [
    "AccountLattice",
    "Accounts",
    "AccountsOutcome",
    "AccountsPath",
    "Book",
    "Markets",
    "compile_account_kernels",
    "prepare_accounts",
    "replay_accounts",
    "replay_accounts_path",
]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
B8 = npt.NDArray[np.bool_]
Engine = Literal["masks", "naive"]

# Scenarios per piece of work: few enough to share 64 scenarios between 8 threads, enough to hide the call.
CHUNK_SCENARIOS = 8


@dataclass(frozen=True)
class AccountsOutcome:
    """Where each scenario ends; arrays are [n_scenarios, n_assets] unless said otherwise.

    Identity, exact in lots: ``forced_sale = netted + sold + unabsorbed_sale`` and
    ``forced_purchase = netted + bought + unabsorbed_purchase``. Money is in ticks x lots.
    `liquidated_count`, `rounds`, `bad_debt_count` (int64) and `bad_debt_ticklots` (float64) are [n_scenarios];
    `liquidation_round` is int32[n_scenarios, n_accounts], 0 where an account lives, None unless asked for.
    """

    mark_ticks: F64
    lowest_mark_ticks: F64
    highest_mark_ticks: F64
    forced_sale_lots: I64
    forced_purchase_lots: I64
    netted_lots: I64
    sold_lots: I64
    bought_lots: I64
    unabsorbed_sale_lots: I64
    unabsorbed_purchase_lots: I64
    is_exhausted: B8
    forced_notional_ticklots: F64
    liquidated_count: I64
    rounds: I64
    bad_debt_count: I64
    bad_debt_ticklots: F64
    excluded_count: int
    liquidation_round: I32 | None = None


@dataclass(frozen=True)
class AccountsPath:
    """What happens along a path; arrays are [n_steps, n_assets] unless said otherwise.

    Lots and notional are those of the step; `net_forced_lots` is the flow that stands in the book after it. `liquidated_count`,
    `rounds`, `bad_debt_count` (int64) and `bad_debt_ticklots` (float64) are [n_steps]; `liquidation_step` is
    int32[n_accounts], -1 where an account lives.
    """

    mark_ticks: F64
    forced_sale_lots: I64
    forced_purchase_lots: I64
    netted_lots: I64
    net_forced_lots: I64
    is_exhausted: B8
    forced_notional_ticklots: F64
    liquidated_count: I64
    rounds: I64
    bad_debt_count: I64
    bad_debt_ticklots: F64
    liquidation_step: I32
    excluded_count: int


# --- entry points -----------------------------------------------------------------------------------------------------------


def replay_accounts(
    lattice: AccountLattice,
    shock_frac: npt.ArrayLike,
    *,
    depth_survival_frac: npt.ArrayLike = 1.0,
    engine: Engine = "masks",
    threads: int = 1,
    keep_rounds: bool = False,
) -> AccountsOutcome:
    """Replay each scenario round by round until no account fails.

    Parameters
    ----------
    lattice : AccountLattice
        From `prepare_accounts`.
    shock_frac : float64[n_scenarios, n_assets]
        Signed: the shocked price is ``p0 (1 + s)``, ``-1 < s <= 10``.
    depth_survival_frac : float or float64[n_scenarios]
        ``W`` in (0, 1].
    engine : {"masks", "naive"}
        Both give the same outcome, bit for bit; ``naive`` judges every account in every round.
    threads : int
        Threads that share the scenarios; the outcome does not depend on it.
    keep_rounds : bool
        Also return the round in which each account died.

    Returns
    -------
    AccountsOutcome

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    shocks = _table("shock_frac", shock_frac, lattice.mark_ticks.size, "n_scenarios")
    is_bad = ~((shocks > -1.0) & (shocks <= MAX_UPWARD_SHOCK_FRAC))
    _refuse_cell("shock_frac", is_bad, shocks, "a shock must be inside (-1, 10]")
    survival = _survival(depth_survival_frac, shocks.shape[0])
    died = np.zeros((shocks.shape[0] if keep_rounds else 0, lattice.is_included.size), dtype=np.int32)
    shocked = lattice.mark_ticks * (1.0 + shocks)
    rows = _rows(shocked.shape, died)
    _run(lattice, shocked, survival, rows, engine, threads, is_path=False)
    sales, purchases, netted, net, exhausted = np.moveaxis(rows.lots, 2, 0)
    unabsorbed_sales = _unabsorbed(lattice, net, survival, 0)
    unabsorbed_purchases = _unabsorbed(lattice, -net, survival, 1)
    return AccountsOutcome(
        mark_ticks=rows.prices[:, :, 0].copy(),
        lowest_mark_ticks=rows.prices[:, :, 1].copy(),
        highest_mark_ticks=rows.prices[:, :, 2].copy(),
        forced_sale_lots=sales.copy(),
        forced_purchase_lots=purchases.copy(),
        netted_lots=netted.copy(),
        sold_lots=sales - netted - unabsorbed_sales,
        bought_lots=purchases - netted - unabsorbed_purchases,
        unabsorbed_sale_lots=unabsorbed_sales,
        unabsorbed_purchase_lots=unabsorbed_purchases,
        is_exhausted=exhausted.astype(np.bool_),
        forced_notional_ticklots=rows.prices[:, :, 3].copy(),
        liquidated_count=rows.counts[:, 0].copy(),
        rounds=rows.counts[:, 1].copy(),
        bad_debt_count=rows.counts[:, 2].copy(),
        bad_debt_ticklots=rows.bad_debt,
        excluded_count=lattice.excluded_count,
        liquidation_round=died if keep_rounds else None,
    )


def replay_accounts_path(
    lattice: AccountLattice,
    path_ticks: npt.ArrayLike,
    *,
    depth_survival_frac: float = 1.0,
    engine: Engine = "masks",
) -> AccountsPath:
    """Replay a path of exogenous prices: in each step rounds until no account fails; flows and deaths are kept.

    Parameters
    ----------
    lattice : AccountLattice
        From `prepare_accounts`.
    path_ticks : float64[n_steps, n_assets]
        Prices without the forced flow, 2^-53 to 2^53.
    depth_survival_frac : float
        ``W`` in (0, 1].
    engine : {"masks", "naive"}

    Returns
    -------
    AccountsPath

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    path = _table("path_ticks", path_ticks, lattice.mark_ticks.size, "n_steps")
    _refuse_cell("path_ticks", ~is_price(path), path, "a price must be inside [2^-53, 2^53] ticks")
    survival = _survival(float(depth_survival_frac), path.shape[0])
    died = np.full((1, lattice.is_included.size), -1, dtype=np.int32)
    rows = _rows(path.shape, died)
    _run(lattice, path, survival, rows, engine, 1, is_path=True)
    return AccountsPath(
        mark_ticks=rows.prices[:, :, 0].copy(),
        forced_sale_lots=rows.lots[:, :, 0].copy(),
        forced_purchase_lots=rows.lots[:, :, 1].copy(),
        netted_lots=rows.lots[:, :, 2].copy(),
        net_forced_lots=rows.lots[:, :, 3].copy(),
        is_exhausted=rows.lots[:, :, 4].astype(np.bool_),
        forced_notional_ticklots=rows.prices[:, :, 3].copy(),
        liquidated_count=rows.counts[:, 0].copy(),
        rounds=rows.counts[:, 1].copy(),
        bad_debt_count=rows.counts[:, 2].copy(),
        bad_debt_ticklots=rows.bad_debt,
        liquidation_step=died[0],
        excluded_count=lattice.excluded_count,
    )


def compile_account_kernels() -> None:
    """Run every kernel of this part once on a tiny market, in this process.

    Raises
    ------
    RuntimeError
        Where the engines disagree: the cached machine code is stale.
    """
    rows = Book(np.array([0.99, 0.9]), np.array([5, 50]))
    markets = Markets(np.array([1000.0]), [rows], [Book(1.0 / rows.relative_price, rows.cumulative_lots)])
    accounts = Accounts(
        np.array([300.0]), np.array([0, 1]), np.array([0]), np.array([10]), np.array([1000.0]), np.array([0.01])
    )
    lattice = prepare_accounts(markets, accounts)
    engines: tuple[Engine, ...] = ("masks", "naive")
    found = [int(replay_accounts(lattice, [[-0.05]], engine=engine).liquidated_count[0]) for engine in engines]
    if found != [1, 1]:
        raise RuntimeError("the compiled account kernels disagree with each other: clear the kernel cache")


# --- the engines ------------------------------------------------------------------------------------------------------------


def _run(
    lattice: AccountLattice,
    shocked: F64,
    survival: F64,
    rows: Rows,
    engine: Engine,
    threads: int,
    *,
    is_path: bool,
) -> None:
    """Fill `rows`: the steps of a path in one piece, scenarios in fixed chunks shared by threads."""
    from assets.cascade import kernel_accounts as kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    if engine not in ("masks", "naive"):
        raise ValueError(f"engine = {engine!r}: must be masks or naive")
    if threads < 1:
        raise ValueError(f"threads = {threads}: at least one thread is needed")
    n_rows = shocked.shape[0]
    size = n_rows if is_path else CHUNK_SCENARIOS
    begins = range(0, n_rows, max(1, size))
    rooms: queue.SimpleQueue[tuple[Scratch, Watch]] = queue.SimpleQueue()
    workers = min(threads, len(begins))
    for _ in range(workers):
        rooms.put(_room(lattice, engine))

    def work(begin: int) -> None:
        # A room is as clean after a chunk as before it, so it does not matter which thread worked where.
        scratch, watch = rooms.get()
        span = (shocked, survival, begin, min(begin + size, n_rows), is_path)
        if engine == "naive":
            kernel.naive_rows(lattice.ledger, lattice.books, lattice.is_included, *span, scratch, rows)
        else:
            kernel.masked_rows(lattice.sorted_ledger, lattice.books, lattice.index, *span, scratch, watch, rows)
        rooms.put((scratch, watch))

    if workers <= 1:
        for begin in begins:
            work(begin)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, begins))


def _room(lattice: AccountLattice, engine: Engine) -> tuple[Scratch, Watch]:
    """Return the arrays that one thread works in."""
    from assets.cascade import kernel_accounts as kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    m = lattice.mark_ticks.size
    n = lattice.is_included.size
    n_blocks = lattice.index.block_level.size
    is_alive = np.zeros(n if engine == "naive" else 0, dtype=np.bool_)
    scratch = kernel.Scratch(zeros(m), zeros(m), zeros(m), np.zeros(m), zeros(n), np.zeros(64), is_alive)
    bits = (n_blocks, n_blocks, kernel.LEVELS, kernel.LEVELS, kernel.CELLS + 1, kernel.CELLS + 1)
    block_down, block_up, down, up, near_down, near_up = (np.zeros(size, dtype=np.uint64) for size in bits)
    watch = kernel.Watch(
        limit=np.full(lattice.index.long_mask.size, -np.inf),
        block_limit=np.full(n_blocks, -np.inf),
        block_down=block_down,
        block_up=block_up,
        opened=zeros(n_blocks),
        n_opened=zeros(1),
        down=down,
        up=up,
        near_down=near_down,
        near_up=near_up,
        anchor=lattice.mark_ticks.copy(),
        falls=np.zeros(m),
        travelled=np.zeros(1),
    )
    return scratch, watch


def _rows(shape: tuple[int, ...], died: I32) -> Rows:
    from assets.cascade import kernel_accounts as kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    n, m = shape
    lots = np.zeros((n, m, 5), dtype=np.int64)
    counts = np.zeros((n, 3), dtype=np.int64)
    return kernel.Rows(np.zeros((n, m, 4)), lots, counts, np.zeros(n), died)


def _unabsorbed(lattice: AccountLattice, net: I64, survival: F64, side: int) -> I64:
    """Return the part of `net` (positive towards the book of `side`: 0 bids, 1 asks) that the whole book cannot take."""
    last = lattice.books.first_row[1 + side :: 2] - 1
    holds = survival[:, None] * lattice.books.cumulative_lots[last]
    unabsorbed: I64 = np.where(net > holds, net - np.floor(holds).astype(np.int64), 0)
    return unabsorbed


# --- settings of a replay ----------------------------------------------------------------------------------------------------


def _survival(depth_survival_frac: npt.ArrayLike, n_rows: int) -> F64:
    given = np.array(depth_survival_frac, dtype=np.float64)
    if given.ndim > 1:
        raise ValueError(f"depth_survival_frac: expected a number or one dimension, got {given.ndim}")
    if given.ndim == 1:
        same_length("depth_survival_frac", given, n_rows, "scenarios")
    values: F64 = np.full(n_rows, given) if given.ndim == 0 else given
    if given.ndim == 0 and not 0 < given <= 1:
        raise ValueError(f"depth_survival_frac = {given}: W must be inside (0, 1]")
    refuse("depth_survival_frac", ~((values > 0) & (values <= 1)), values, "W must be inside (0, 1]")
    return values


def _table(field: str, values: npt.ArrayLike, n_assets: int, rows: str) -> F64:
    table = np.array(values, dtype=np.float64, order="C")
    if table.ndim != 2 or table.shape[1] != n_assets:
        raise ValueError(f"{field}: expected [{rows}, {n_assets}], got {list(table.shape)}")
    return table


def _refuse_cell(field: str, is_bad: B8, values: F64, why: str) -> None:
    places = np.argwhere(is_bad)
    if places.size:
        row, column = places[0]
        raise ValueError(f"{field}[{row}, {column}] = {values[row, column]}: {why}")
