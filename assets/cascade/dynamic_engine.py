"""Between packed markets and the kernels of the dynamic replay: memory, chunks, threads, the iteration of mode 2.

Belongs here: what several entry points share on the way to the kernels and back. Does not: validation
(``dynamic_pack.py``), entry points (``dynamic.py``), loops over steps (``kernel_dynamic.py``, imported only when the first
replay runs).

References
----------
docs/cascade_dynamic.md, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from assets.cascade.dynamic_inputs import LEAST_RETURN_FRAC
from assets.cascade.dynamic_pack import Packed
from assets.cascade.dynamic_results import Counterfactual, SideFlow
from assets.cascade.params import PositionSide

if TYPE_CHECKING:
    from assets.cascade.kernel_dynamic import Books, Cells, Fuels, Ledger, Work

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Replay = TypeVar("Replay")

# Cells per call of a kernel where threads share them. 8 keeps two threads busy from 16 cells on; a call costs tens of
# microseconds with its memory, a cell as much or more.
CHUNK_CELLS = 8


# --- to the kernels and back ---------------------------------------------------------------------------------------------


def tuples(packed: Packed) -> tuple[Cells, Fuels, Books]:
    """Return packed arrays as the kernels' tuples."""
    from assets.cascade import kernel_dynamic as kernel  # noqa: PLC0415 - numba only where a kernel is needed

    p = packed
    return (
        kernel.Cells(p.names, p.figures, p.closures),
        kernel.Fuels(p.edges, p.trigger, p.lots, p.open_edges, p.open_step, p.open_bin, p.open_lots),
        kernel.Books(p.book_edges, p.book_price, p.book_lots),
    )


def empty_ledger(packed: Packed) -> Ledger:
    """Return the tables that the kernels fill."""
    from assets.cascade import kernel_dynamic as kernel  # noqa: PLC0415 - numba only where a kernel is needed

    # Zeros on demand: only steps with forced lots are ever written, and most have none.
    shape = (packed.n_cells, 2, packed.n_steps)
    balances = np.zeros((packed.n_cells, 2, 6), dtype=np.int64)
    return kernel.Ledger(np.zeros((*shape, 6), dtype=np.int64), np.zeros(shape), balances)


def in_chunks(packed: Packed, threads: int, run: Callable[[int, int, Work], None]) -> None:
    """Run all cells, by threads in fixed chunks with memory of their own; a cell never sees which chunk it is in.

    Raises
    ------
    ValueError
        Where there is less than one thread.
    """
    if threads < 1:
        raise ValueError(f"threads = {threads}: at least 1")
    if threads == 1:
        run(0, packed.n_cells, _memory(packed))
        return

    def one(begin: int) -> None:
        run(begin, min(begin + CHUNK_CELLS, packed.n_cells), _memory(packed))

    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(one, range(0, packed.n_cells, CHUNK_CELLS)))


def _memory(packed: Packed) -> Work:
    from assets.cascade import kernel_dynamic as kernel  # noqa: PLC0415 - numba only where a kernel is needed

    return kernel.Work(
        np.empty(packed.most_bins, dtype=np.int64),
        np.empty(packed.most_bins),
        np.empty((2, 4), dtype=np.int64),
        np.empty(packed.n_steps, dtype=np.int64),
        np.empty(packed.n_steps),
        np.empty(3),
    )


def sides(packed: Packed, ledger: Ledger) -> list[tuple[SideFlow, SideFlow]]:
    """Return the flows of longs and shorts by cell; the arrays are views of the ledger."""
    rows = 2 * packed.n_cells
    columns = [list(ledger.flows[..., j].reshape(rows, packed.n_steps)) for j in range(6)]
    values = list(ledger.notional.reshape(rows, packed.n_steps))
    initial, opened, *others = (ledger.balances[..., j].reshape(rows) for j in range(6))
    # Dropped bins and openings were packed as empty: they count on both sides of the identity.
    of_bins, of_openings = packed.dropped_lots.reshape(rows, 2).T
    totals = [initial + of_bins, opened + of_openings, of_bins + of_openings, *others]
    parts = zip(*columns, values, *(total.tolist() for total in totals), strict=True)
    flows = [SideFlow(*part) for part in parts]
    return list(zip(flows[::2], flows[1::2], strict=True))


def by_market(packed: Packed, flat: list[Replay]) -> list[list[Replay]]:
    """Return results of cells by market, then by policy."""
    per = packed.n_policies
    return [flat[begin : begin + per] for begin in range(0, len(flat), per)]


# --- mode 2: the iteration -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What a counterfactual asks, validated: reported is int64[n_markets, 2, n_steps] or None."""

    side: PositionSide
    reported: I64 | None
    decay: F64
    depth: F64
    max_iterations: int
    tolerance: float


class Lifting:
    """Takes forced impact out of each market's observed path; one policy, so cell and market are one number."""

    def __init__(self, packed: Packed, table: F64, question: Question) -> None:
        self.packed, self.table, self.question = packed, table, question
        self.cells, self.fuels, self.books = tuples(packed)
        self.ledger = empty_ledger(packed)
        self.lifted = table.copy()
        self.results: list[Counterfactual | None] = [None] * packed.n_cells

    @property
    def found(self) -> list[Counterfactual]:
        """Results by market."""
        return [result for result in self.results if result is not None]

    def run(self, begin: int, end: int, work: Work) -> None:
        """Iterate cells ``begin .. end``."""
        for c in range(begin, end):
            self.results[c] = self._iterate(c, work)

    def _iterate(self, c: int, work: Work) -> Counterfactual:
        from assets.cascade import kernel_dynamic as kernel  # noqa: PLC0415 - numba only where a kernel is needed

        q, observed = self.question, self.table[c]
        mark, reference = float(self.packed.figures[c, kernel.MARK]), float(self.packed.figures[c, kernel.REFERENCE])
        bids, asks = int(self.packed.names[c, kernel.BIDS]), int(self.packed.names[c, kernel.ASKS])
        row = 0 if q.side == "long" else 1
        trough = int(np.argmin(observed[0]) if q.side == "long" else np.argmax(observed[1]))
        n = trough + 1
        forced = self._orders(c, n, work, self.table)
        survivals, factors, before = np.empty(n), np.ones(n), np.ones(n)
        kernel.fill_survivals(mark, observed[2], work.net, reference, q.depth, survivals)
        prices = [float(observed[row, trough])]
        is_converged = False
        while not is_converged and len(prices) <= q.max_iterations:
            if len(prices) > 1:
                forced = self._orders(c, n, work, self.lifted)
            before, factors = factors, before
            kernel.fill_factors(self.books, bids, asks, q.decay, survivals, work.net, work.load, factors)
            self.lifted[c, :, :n] = observed[:, :n] / factors
            prices.append(float(self.lifted[c, row, trough]))
            change = float(np.max(np.abs(factors / before - 1.0)))
            is_converged = q.reported is not None or change <= q.tolerance
        return self._result(c, n, mark, prices, is_converged, forced, survivals, work)

    def _orders(self, c: int, n: int, work: Work, paths: F64) -> I64:
        """Set the net flow of the orders on a path, reported or triggered; return forced lots, int64[2, n]."""
        from assets.cascade import kernel_dynamic as kernel  # noqa: PLC0415 - numba only where a kernel is needed

        if self.question.reported is not None:
            forced = self.question.reported[c, :, :n]
            work.net[:n] = forced[1] - forced[0]
            return forced
        self.ledger.flows[c] = 0
        halted = np.empty(self.packed.n_cells, dtype=np.int64)
        kernel.walk_paths(self.cells, self.fuels, paths, n, c, c + 1, work, self.ledger, halted)
        flows = self.ledger.flows[c, :, :n]
        work.net[:n] = flows[1, :, kernel.SOLD] - flows[0, :, kernel.SOLD]
        return flows[:, :, kernel.FORCED]

    def _result(
        self,
        c: int,
        n: int,
        mark: float,
        prices: list[float],
        is_converged: bool,
        forced: I64,
        survivals: F64,
        work: Work,
    ) -> Counterfactual:
        origin: Literal["reported", "simulated"] = "simulated" if self.question.reported is None else "reported"
        whole = math.log(prices[0] / mark)
        shares = [1.0 - math.log(price / mark) / whole for price in prices] if abs(whole) >= LEAST_RETURN_FRAC else []
        # One subtraction of reported orders has one share; triggered orders have those of the last two paths.
        pair = shares[-1:] if origin == "reported" else shares[-2:]
        low, high, close = self.lifted[c, :, :n]
        ends = self.books.lots[self.books.edges[self.packed.names[c, 1:3] + 1] - 1]
        load = work.load[:n]
        return Counterfactual(
            orders_origin=origin,
            trough_step=n - 1,
            observed_log_frac=whole,
            endogenous_share_frac=shares[-1] if shares and is_converged else None,
            share_low_frac=min(pair, default=None),
            share_high_frac=max(pair, default=None),
            first_share_frac=shares[1] if shares else None,
            iterations=len(prices) - 1,
            is_converged=is_converged,
            is_exhausted=bool(np.any(-load > ends[0]) or np.any(load > ends[1])),
            low_ticks=low,
            high_ticks=high,
            close_ticks=close,
            forced_long_lots=forced[0],
            forced_short_lots=forced[1],
            depth_survival_frac=survivals,
        )
