"""The grid: draws x shocks x liquidities of one side of one market, reduced to counts inside the kernel.

Belongs here: drawn fuel and books, their validation, threads, counts and their quantiles, critical shocks and branching of every
draw. Does not: what is drawn and why (``uncertainty.py``), compiled loops (``kernel.py``), single scenarios (``simulate.py``),
modes that are not monotone (``rounds.py``), tables.

References
----------
docs/cascade_grid.md defines every count to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from assets.cascade.lattice import (
    Book,
    Fuel,
    Lattice,
    Scenario,
    check_scenario,
    check_shocks,
    floor_marks,
    prepare,
    refuse,
    shock_table,
)
from assets.cascade.params import CRITICAL_RULE, MAX_DRAWN_LOTS, CriticalRule, PositionSide, ShockKind

# Draws that a thread takes at once where several share the work: two of the kernel's blocks of notes.
_PIECE = 224

__all__ = [
    "CriticalDraws",
    "DrawnBook",
    "DrawnFuel",
    "Grid",
    "GridCounts",
    "bin_of",
    "bin_value",
    "branching_profile",
    "compile_grid_kernels",
    "critical_shocks",
    "prepare_grid",
    "replay_grid",
]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class DrawnFuel:
    """Fuel of every draw: the same buckets, other quantities.

    Parameters
    ----------
    trigger_ticks, bankruptcy_ticks : float64[n_buckets]
        In any order; above 0, and at least 0.
    profile_frac : float64[n_profiles, n_parts, n_buckets]
        Share of a part's lots that sits in a bucket, at least 0.
    profile_index : int64[n_draws]
        Profile of each draw.
    part_lots : float64[n_draws, n_parts]
        Lots of each part, at least 0; a draw's lots together stay below 2^52.
    """

    trigger_ticks: F64
    bankruptcy_ticks: F64
    profile_frac: F64
    profile_index: I64
    part_lots: F64


@dataclass(frozen=True)
class DrawnBook:
    """Book of every draw.

    Parameters
    ----------
    relative_price : float64[n_rows]
        As in ``lattice.Book``, the same in all books.
    cumulative_lots : int64[n_books, n_rows]
    book_index : int64[n_draws]
        Book of each draw.
    depth_survival_frac : float64[n_draws, n_liquidities]
        W in (0, 1], non-increasing from liquidity to liquidity.
    """

    relative_price: F64
    cumulative_lots: I64
    book_index: I64
    depth_survival_frac: F64


@dataclass(frozen=True)
class Grid:
    """Validated draws in the form that the kernels read: signed, sorted, without excluded buckets."""

    lattice: Lattice
    side: PositionSide
    sold_share_frac: float
    cumulative_lots: I64
    profiles: F64
    profile_index: I64
    part_lots: F64
    book_index: I64
    survivals: F64

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return int(self.part_lots.shape[0])


@dataclass(frozen=True)
class GridCounts:
    """Counts over draws; shapes in docs/cascade_grid.md, section 3. Optional counts are None where they were not asked for."""

    n_draws: int
    money_unit_ticklots: float
    place_mark_ticks: F64
    place_count: I32
    notional_count: I32
    part_lots: I64
    unabsorbed_lots: I64
    rounds_count: I32 | None
    shortfall_count: I32 | None
    part_count: I32 | None

    def place_quantile(self, p: float) -> F64:
        """Return the mark in ticks, float64[n_shocks, n_liquidities], that a share `p` of the draws ends at or on the calm side of."""
        places = _nearest_rank(self.place_count, p)
        marks: F64 = np.take_along_axis(self.place_mark_ticks, places, axis=1)
        return marks

    def notional_quantile(self, p: float) -> F64:
        """Return a quantile of the forced notional in ticks x lots, float64[n_shocks, n_liquidities].

        Infinite where it is beyond the last bin: 2^53 units or more; take a larger `money_unit_ticklots`.
        """
        return self._money(_nearest_rank(self.notional_count, p))

    def shortfall_quantile(self, p: float) -> F64:
        """Return a quantile of the shortfall in ticks x lots, float64[n_shocks, n_liquidities]."""
        return self._money(_nearest_rank(_asked("with_shortfall", self.shortfall_count), p))

    def _money(self, bins: I64) -> F64:
        # The last bin has no upper end: its value is "more than the bins hold", never a figure.
        last = self.notional_count.shape[-1] - 1
        money: F64 = np.where(bins == last, np.inf, bin_value(bins) * self.money_unit_ticklots)
        return money

    def rounds_quantile(self, p: float) -> F64:
        """Return a quantile of the rounds, float64[n_shocks, n_liquidities]; exact to 127."""
        return bin_value(_nearest_rank(_asked("with_rounds", self.rounds_count), p), is_whole=True)

    def part_quantile(self, p: float) -> F64:
        """Return a quantile of each part's forced lots, float64[n_shocks, n_liquidities, n_parts]."""
        return bin_value(_nearest_rank(_asked("with_parts", self.part_count), p), is_whole=True)


@dataclass(frozen=True)
class CriticalDraws:
    """Places of s_soft and s_jump in the grid of shocks, int32[n_draws, n_liquidities]; -1: censored."""

    soft_index: I32
    jump_index: I32


# --- entry points -------------------------------------------------------------------------------------------------------


def prepare_grid(
    mark_ticks: float, book: DrawnBook, fuel: DrawnFuel, side: PositionSide, sold_share_frac: float = 1.0
) -> Grid:
    """Validate draws once and bring them into the form that the kernels read.

    Raises
    ------
    ValueError
        Where an argument is unlawful, naming the field and the first offending index, or the draws do not fit into memory.
    """
    _check_setting(Scenario(0.01, "sell", side, sold_share_frac=sold_share_frac))
    # What is copied or computed per draw below, and the profiles before and after they are turned.
    figures = 5 * np.size(fuel.part_lots) + 3 * np.size(fuel.profile_frac) + 4 * np.size(book.depth_survival_frac)
    check_memory("part_lots", 8 * figures, "fewer draws, parts or buckets")
    lots = np.asarray(book.cumulative_lots)
    if lots.ndim != 2 or lots.shape[0] == 0:
        raise ValueError(f"cumulative_lots: expected [n_books, n_rows] with a book or more, got shape {lots.shape}")
    profile = np.array(fuel.profile_frac, dtype=np.float64)
    n_buckets = np.size(fuel.trigger_ticks)
    if profile.ndim != 3 or profile.shape[2] != n_buckets:
        raise ValueError(f"profile_frac: expected [n_profiles, n_parts, {n_buckets}], got shape {profile.shape}")
    parts = np.array(fuel.part_lots, dtype=np.float64)
    if parts.ndim != 2 or parts.shape[1] != profile.shape[1] or parts.shape[0] == 0:
        raise ValueError(
            f"part_lots: expected [n_draws, {profile.shape[1]}] with a draw or more, got shape {parts.shape}"
        )
    n_draws = parts.shape[0]
    refuse_any("profile_frac", ~(np.isfinite(profile) & (profile >= 0)), profile, "a share is finite and at least 0")
    refuse_any("part_lots", ~(np.isfinite(parts) & (parts >= 0)), parts, "lots are finite and at least 0")
    profile_index = _index("profile_index", fuel.profile_index, n_draws, profile.shape[0])
    book_index = _index("book_index", book.book_index, n_draws, lots.shape[0])
    survivals = np.array(book.depth_survival_frac, dtype=np.float64)
    if survivals.ndim != 2 or survivals.shape[0] != n_draws or survivals.shape[1] == 0:
        raise ValueError(
            f"depth_survival_frac: expected [{n_draws}, n_liquidities] with one or more, got shape {survivals.shape}"
        )
    refuse_any("depth_survival_frac", ~((survivals > 0) & (survivals <= 1)), survivals, "W must be inside (0, 1]")
    grows = np.diff(survivals, axis=1, prepend=survivals[:, :1]) > 0
    refuse_any("depth_survival_frac", grows, survivals, "W must not grow from liquidity to liquidity")
    in_buckets = profile.sum(axis=2)
    drawn = (parts * in_buckets[profile_index]).sum(axis=1)
    refuse("part_lots", drawn >= MAX_DRAWN_LOTS, drawn, "a draw's lots must stay below 2^52; use larger lots")
    # Buckets carry their place as quantity through the sort of `prepare`, then take the draws' quantities.
    order = Fuel(fuel.trigger_ticks, np.arange(n_buckets, dtype=np.int64), fuel.bankruptcy_ticks)
    for h in range(lots.shape[0]):
        lattice = _named_book(h, mark_ticks, Book(book.relative_price, lots[h]), order, side)
    by_rank = np.lexsort((lattice.quantities, -lattice.bankruptcies, -lattice.triggers))
    places = lattice.quantities[by_rank]
    lattice = Lattice(
        lattice.direction,
        lattice.mark,
        lattice.relative_price,
        lattice.cumulative_lots,
        lattice.triggers[by_rank],
        places,
        lattice.bankruptcies[by_rank],
        0,
    )
    return Grid(
        lattice,
        side,
        float(sold_share_frac),
        np.ascontiguousarray(lots.astype(np.int64)),
        np.ascontiguousarray(profile[:, :, places]),
        profile_index,
        parts,
        book_index,
        survivals,
    )


def replay_grid(
    grid: Grid,
    shock_frac: npt.ArrayLike,
    shock_kind: ShockKind,
    *,
    money_unit_ticklots: float = 1.0,
    with_rounds: bool = False,
    with_shortfall: bool = False,
    with_parts: bool = False,
    threads: int = 1,
) -> GridCounts:
    """Replay every draw over shocks x liquidities and count where the cells end.

    Parameters
    ----------
    grid : Grid
    shock_frac : float64[n_shocks]
        Non-decreasing.
    shock_kind : {"sell", "reprice"}
    money_unit_ticklots : float
        Unit in which money is binned; amounts below it share bin 0.
    with_rounds, with_shortfall, with_parts : bool
        Ask for the optional counts, which cost more than the rest.
    threads : int
        The counts are the same on any number.

    Raises
    ------
    ValueError
        Where an argument is unlawful, or the counts do not fit into memory.
    """
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    lattice = grid.lattice
    shocks_frac = _checked_shocks(grid, shock_frac, shock_kind)
    if not (math.isfinite(money_unit_ticklots) and money_unit_ticklots > 0):
        raise ValueError(f"money_unit_ticklots = {money_unit_ticklots}: a unit is finite and above 0")
    shocks, states = shock_table(lattice, shocks_frac, shock_kind == "sell", 1.0)
    rows = lattice.relative_price.shape[0]
    n_shocks, n_liquidities, n_parts = shocks_frac.size, grid.survivals.shape[1], grid.part_lots.shape[1]
    reach = np.stack([_reached(lattice, shocks[:, 0]), states[:, 0]])
    # After a sale the rows keep their prices whatever the shock was; after a repricing they hang from it.
    bases = shocks[:1, 1] if shock_kind == "sell" else shocks[:, 1]
    at_marks = _reached(lattice, bases[:, None] * lattice.relative_price)
    ends = np.pad(at_marks, ((0, 0), (0, 1)), constant_values=lattice.triggers.size).astype(np.uint32)
    n_cells = n_shocks * n_liquidities
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        "place": ((n_cells, rows + 2), np.int32),
        "notional": ((n_cells, kernel.BINS), np.int32),
        "part_lots": ((n_parts, n_cells), np.int64),
        "unabsorbed_lots": ((n_cells,), np.int64),
        "rounds": ((n_cells if with_rounds else 0, kernel.BINS), np.int32),
        "shortfall": ((n_cells if with_shortfall else 0, kernel.BINS), np.int32),
        "parts": ((n_cells if with_parts else 0, n_parts, kernel.BINS), np.int32),
    }
    pieces = _pieces(grid.n_draws, threads)
    needed_bytes = min(threads, len(pieces)) * sum(
        np.dtype(kind).itemsize * math.prod(shape) for shape, kind in shapes.values()
    )
    check_memory("counts", needed_bytes, "fewer shocks, liquidities, parts or threads")
    by_book = np.argsort(grid.book_index, kind="stable")

    def count(pieces: Iterator[slice]) -> list[npt.NDArray]:
        counted = [np.zeros(shape, dtype=kind) for shape, kind in shapes.values()]
        for piece in pieces:
            kernel.count_grid(
                lattice.triggers,
                lattice.bankruptcies,
                *_drawn(grid, slice(None)),
                by_book[piece],
                shocks,
                reach,
                ends,
                float(money_unit_ticklots),
                *counted,
            )
        return counted

    per_thread = _run(count, pieces, threads)
    cells = (n_shocks, n_liquidities)
    counted = per_thread[0]
    for others in per_thread[1:]:
        for mine, other in zip(counted, others, strict=True):
            np.add(mine, other, out=mine)
    total = dict(zip(shapes, counted, strict=True))

    def by_cell(name: str) -> Any:
        found = total[name]
        return found.reshape(*cells, *found.shape[1:]) if len(found) else None

    at_rows = shocks[:, 1:2] * lattice.relative_price[None, :]
    marks = np.concatenate([shocks[:, :1], at_rows, floor_marks(lattice, shocks)[:, None]], axis=1)
    return GridCounts(
        n_draws=grid.n_draws,
        money_unit_ticklots=float(money_unit_ticklots),
        place_mark_ticks=lattice.direction * marks,
        place_count=by_cell("place"),
        notional_count=by_cell("notional"),
        part_lots=np.ascontiguousarray(total["part_lots"].T).reshape(*cells, n_parts),
        unabsorbed_lots=by_cell("unabsorbed_lots"),
        rounds_count=by_cell("rounds"),
        shortfall_count=by_cell("shortfall"),
        part_count=by_cell("parts"),
    )


def critical_shocks(
    grid: Grid,
    shock_frac: npt.ArrayLike,
    shock_kind: ShockKind,
    *,
    open_interest_lots: int,
    rule: CriticalRule = CRITICAL_RULE,
    threads: int = 1,
) -> CriticalDraws:
    """Find the least soft and jump shock of every draw and liquidity on a grid of shocks.

    Parameters
    ----------
    grid : Grid
    shock_frac : float64[n_shocks]
        Non-decreasing; a fine grid tells a jump from a slope.
    shock_kind : {"sell", "reprice"}
    open_interest_lots : int
        One-sided open interest that the forced share is a share of.
    rule : CriticalRule
    threads : int

    Raises
    ------
    ValueError
        Where an argument is unlawful.
    """
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    if not 0 < open_interest_lots < math.inf:
        raise ValueError(f"open_interest_lots = {open_interest_lots}: a share needs a finite open interest above 0")
    for name, limit in vars(rule).items():
        if not 0 <= limit < math.inf:
            raise ValueError(f"rule.{name} = {limit}: a limit is finite and at least 0")
    lattice = grid.lattice
    shocks_frac = _checked_shocks(grid, shock_frac, shock_kind)
    shocks, states = shock_table(lattice, shocks_frac, shock_kind == "sell", 1.0)
    floors = floor_marks(lattice, shocks)
    limits = np.array(
        [
            lattice.mark,
            rule.least_shock_frac,
            rule.least_gain_frac,
            rule.least_forced_frac,
            float(open_interest_lots),
        ]
    )
    found = np.empty((grid.n_draws, grid.survivals.shape[1], 2), dtype=np.int32)

    def find(pieces: Iterator[slice]) -> None:
        for draws in pieces:
            kernel.find_critical(
                lattice.triggers,
                *_drawn(grid, draws),
                shocks_frac,
                shocks.copy(),
                states.copy(),
                limits,
                floors,
                found[draws],
            )

    _run(find, _pieces(grid.n_draws, threads), threads)
    return CriticalDraws(found[:, :, 0].copy(), found[:, :, 1].copy())


def branching_profile(grid: Grid, move_frac: npt.ArrayLike) -> F64:
    """Return the branching ratio of every draw between neighbouring moves, float64[n_draws, n_liquidities, n_moves - 1].

    NaN where the book grows by nothing between two moves.

    Raises
    ------
    ValueError
        Where a move is not finite, below 0, or not above the one before, or the ratios do not fit into memory.
    """
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    moves = np.array(move_frac, dtype=np.float64)
    if moves.ndim != 1:
        raise ValueError(f"move_frac: expected one dimension, got {moves.ndim}")
    refuse("move_frac", ~(np.isfinite(moves) & (moves >= 0)), moves, "a move is finite and at least 0")
    refuse("move_frac", np.diff(moves, prepend=-1.0) <= 0, moves, "moves must grow")
    lattice = grid.lattice
    marks = lattice.mark * (1.0 - lattice.direction * moves)
    rows = np.searchsorted(-(lattice.mark * lattice.relative_price), -marks, side="right")
    shape = (grid.n_draws, grid.survivals.shape[1], max(0, moves.size - 1))
    check_memory("branching", 8 * math.prod(shape), "fewer draws, liquidities or moves")
    branching = np.empty(shape)
    profiles, profile_index, part_lots, share, _, lots, book_index, survivals = _drawn(grid, slice(None))
    kernel.fill_branching(
        profiles,
        profile_index,
        part_lots,
        share,
        lots,
        book_index,
        survivals,
        _reached(lattice, marks),
        rows.astype(np.int64),
        branching,
    )
    return branching


def bin_of(value: npt.ArrayLike) -> I64:
    """Return the log bin of each value: 0 below 1, else 64 to the octave."""
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    x = np.ascontiguousarray(value, dtype=np.float64)
    octave = np.frexp(x)[1] - 1
    share = np.floor(kernel.BINS_PER_OCTAVE * (np.ldexp(x, -octave) - 1.0))
    bins = np.minimum(1 + kernel.BINS_PER_OCTAVE * octave + share, kernel.BINS - 1)
    return np.where(x >= 1.0, bins, 0).astype(np.int64)


def bin_value(index: npt.ArrayLike, is_whole: bool = False) -> F64:
    """Return the value of each log bin: 0, else its middle; with `is_whole` the number where the bin holds one alone."""
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    bins = np.asarray(index, dtype=np.int64) - 1
    octave = bins // kernel.BINS_PER_OCTAVE
    low = np.ldexp(1.0 + (bins % kernel.BINS_PER_OCTAVE) / kernel.BINS_PER_OCTAVE, octave)
    width = np.ldexp(1.0 / kernel.BINS_PER_OCTAVE, octave)
    # A bin of width 1 or less that begins on a whole number holds that one alone.
    is_single = is_whole & (width <= 1.0) & (low == np.floor(low))
    return np.where(bins < 0, 0.0, np.where(is_single, low, low + width / 2.0))


def compile_grid_kernels() -> None:
    """Run every kernel of the grid once on a tiny market, in this process."""
    fuel = DrawnFuel(
        np.array([990.0, 985.0]),
        np.array([980.0, 975.0]),
        np.ones((1, 1, 2)),
        np.array([0]),
        np.array([[3.0]]),
    )
    book = DrawnBook(np.array([0.99, 0.98]), np.array([[5, 50]]), np.array([0]), np.array([[1.0]]))
    grid = prepare_grid(1000.0, book, fuel, "long")
    replay_grid(grid, [0.01], "sell", with_rounds=True, with_shortfall=True, with_parts=True)
    critical_shocks(grid, [0.01, 0.02], "sell", open_interest_lots=100)
    branching_profile(grid, [0.0, 0.01])


# --- helpers ------------------------------------------------------------------------------------------------------------


def refuse_any(field: str, is_bad: npt.NDArray[np.bool_], values: npt.NDArray, why: str) -> None:
    """Raise ValueError naming the first place of an array of several dimensions where `is_bad` holds."""
    places = np.argwhere(is_bad)
    if places.size:
        at = tuple(int(i) for i in places[0])
        raise ValueError(f"{field}[{', '.join(map(str, at))}] = {values[at]}: {why}")


def check_memory(field: str, needed_bytes: int, remedy: str) -> None:
    """Raise ValueError where more bytes are needed than are free; `remedy` is what to ask for instead."""
    free_bytes = psutil.virtual_memory().available
    if needed_bytes > free_bytes:
        raise ValueError(
            f"{field}: {needed_bytes / 2**30:,.1f} GiB are needed and {free_bytes / 2**30:,.1f} GiB are free; "
            f"ask for {remedy}"
        )


def _check_setting(scenario: Scenario) -> None:
    try:
        check_scenario(0, scenario)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("scenarios[0].")) from None


def _checked_shocks(grid: Grid, shock_frac: npt.ArrayLike, shock_kind: ShockKind) -> F64:
    shocks_frac = check_shocks(shock_frac, grid.side)
    if shocks_frac.size == 0:
        raise ValueError("shocks_frac: there is no shock")
    _check_setting(Scenario(0.01, shock_kind, grid.side))
    return shocks_frac


def _index(field: str, values: npt.ArrayLike, n_draws: int, n_choices: int) -> I64:
    index = np.array(values)
    if index.shape != (n_draws,):
        raise ValueError(f"{field}: expected [{n_draws}], one per draw, got shape {index.shape}")
    if not np.issubdtype(index.dtype, np.integer):
        raise ValueError(f"{field}: an index is a whole number, got {index.dtype}")
    refuse(field, (index < 0) | (index >= n_choices), index, f"there are {n_choices} to choose from, counted from 0")
    return index.astype(np.int64)


def _named_book(h: int, mark_ticks: float, book: Book, fuel: Fuel, side: PositionSide) -> Lattice:
    try:
        return prepare(mark_ticks, book, fuel, side)
    except ValueError as error:
        # All but the lots is the same in every book.
        book_name = f"book {h}: " if str(error).startswith("cumulative_lots") else ""
        raise ValueError(f"{book_name}{error}") from None


def _reached(lattice: Lattice, marks: F64) -> I64:
    """Return how many buckets each signed mark has triggered."""
    return np.searchsorted(-lattice.triggers, -marks, side="right").astype(np.int64)


def _drawn(grid: Grid, draws: slice) -> tuple[F64, I64, F64, float, F64, I64, I64, F64]:
    """Return what the kernels read of some draws, in the order in which they take it."""
    return (
        grid.profiles,
        grid.profile_index[draws],
        grid.part_lots[draws],
        grid.sold_share_frac,
        grid.lattice.relative_price,
        grid.cumulative_lots,
        grid.book_index[draws],
        grid.survivals[draws],
    )


def _pieces(n_draws: int, threads: int) -> list[slice]:
    """Cut the draws into the pieces that threads take; counts are whole numbers, so the cut changes no bit."""
    if threads < 1:
        raise ValueError(f"threads = {threads}: at least one")
    size = -(-n_draws // threads)
    if threads > 1:
        size = min(size, _PIECE)
    return [slice(begin, min(begin + size, n_draws)) for begin in range(0, n_draws, size)]


def _run(work: Callable[[Iterator[slice]], Any], pieces: list[slice], threads: int) -> list[Any]:
    """Let every thread take the next piece when it is done with one, so that none waits for another that was disturbed."""
    left = iter(pieces)
    if threads == 1:
        return [work(left)]
    threads = min(threads, len(pieces))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, [left] * threads))


def _nearest_rank(counts: I32, p: float) -> I64:
    """Return the least place along the last axis whose cumulated count is at least ``ceil(p n)`` and at least 1."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"p = {p}: a quantile is inside [0, 1]")
    cumulated = counts.cumsum(axis=-1)
    rank = np.maximum(1, np.ceil(p * cumulated[..., -1:]))
    places: I64 = (cumulated >= rank).argmax(axis=-1)
    return places


def _asked(option: str, counts: I32 | None) -> I32:
    if counts is None:
        raise ValueError(f"{option}: these counts were not asked for; replay with {option}=True")
    return counts
