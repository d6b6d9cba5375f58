"""The lattice: plain arrays of one side of a market, validated once and brought into signed, sorted form.

Belongs here: `Book`, `Fuel`, `Scenario`, their validation, and `Lattice`, the form that the kernels read. Does not: the
replay (``simulate.py``), compiled loops (``kernel.py``). Every pointer that scenarios share rests on monotone rows, so
nothing unlawful passes this module.

References
----------
docs/cascade.md, section 3 ("On the lattice").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.cascade.params import (
    MAX_EXACT_LOTS,
    MAX_UPWARD_SHOCK_FRAC,
    POSITION_SIDES,
    SHOCK_KINDS,
    PositionSide,
    ShockKind,
)

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Book:
    """One side of one market, going away from the mark.

    Parameters
    ----------
    relative_price : float64[n_rows]
        ``r_j > 0``: at most 1 and non-increasing for long fuel, at least 1, at most 2^53 and non-decreasing for short fuel.
    cumulative_lots : int64[n_rows]
        ``C_j >= 0``, non-decreasing, the last one positive and below 2^53.
    """

    relative_price: F64
    cumulative_lots: I64


@dataclass(frozen=True)
class Fuel:
    """Fuel buckets in any order.

    Parameters
    ----------
    trigger_ticks : float64[n_buckets]
        Liquidation prices ``l_k > 0`` in ticks.
    quantity_lots : int64[n_buckets]
        ``q_k >= 0``, together below 2^53.
    bankruptcy_ticks : float64[n_buckets]
        Bankruptcy prices ``b_k >= 0`` in ticks.
    """

    trigger_ticks: F64
    quantity_lots: I64
    bankruptcy_ticks: F64


@dataclass(frozen=True)
class Scenario:
    """One shock: ``s`` in (0, 1) down for long fuel, in (0, 10] up for short fuel; `W` in (0, 1]; `phi` in [0, 1]."""

    shock_frac: float
    shock_kind: ShockKind
    side: PositionSide
    depth_survival_frac: float = 1.0
    sold_share_frac: float = 1.0


@dataclass(frozen=True)
class Lattice:
    """Validated market in signed prices: the mark falls, triggers are sorted non-increasing, excluded fuel is gone."""

    direction: float
    mark: float
    relative_price: F64
    cumulative_lots: I64
    triggers: F64
    quantities: I64
    bankruptcies: F64
    excluded_lots: int


def prefix_sums(lattice: Lattice, sold_share_frac: float) -> I64:
    """Return int64[2, n + 1]: prefix sums of ``q_k`` and of ``floor(phi q_k)`` in trigger order."""
    from assets.cascade import kernel  # noqa: PLC0415 - numba is imported only when a kernel is needed

    prefixes = np.empty((2, lattice.quantities.shape[0] + 1), dtype=np.int64)
    kernel.fill_prefixes(lattice.quantities, float(sold_share_frac), prefixes)
    return prefixes


def prepare(mark_ticks: float, book: Book, fuel: Fuel, side: PositionSide) -> Lattice:
    """Validate one side of a market and bring it into the form that the kernels read.

    Raises
    ------
    ValueError
        Where the mark, the book or the fuel is unlawful; names the field and the first offending index.
    """
    if not (math.isfinite(mark_ticks) and mark_ticks > 0):
        raise ValueError(f"mark_ticks = {mark_ticks}: the mark must be finite and above 0")
    relative_price, cumulative_lots = _checked_book(book, side)
    triggers, quantities, bankruptcies = _checked_fuel(fuel)
    direction = 1.0 if side == "long" else -1.0
    mark = direction * float(mark_ticks)
    triggers, bankruptcies = direction * triggers, direction * bankruptcies
    is_past = triggers >= mark
    excluded_lots = int(quantities[is_past].sum())
    alive = ~is_past
    triggers, quantities, bankruptcies = triggers[alive], quantities[alive], bankruptcies[alive]
    if np.any(np.diff(triggers) >= 0):
        # A total order, so that float sums do not depend on how the caller ordered equal triggers.
        order = np.lexsort((-bankruptcies, quantities, -triggers))
        triggers, quantities, bankruptcies = triggers[order], quantities[order], bankruptcies[order]
    return Lattice(direction, mark, relative_price, cumulative_lots, triggers, quantities, bankruptcies, excluded_lots)


def _checked_book(book: Book, side: PositionSide) -> tuple[F64, I64]:
    price = _floats("relative_price", book.relative_price)
    lots = _integers("cumulative_lots", book.cumulative_lots)
    if price.size == 0:
        raise ValueError("relative_price: the book is empty; give at least one row")
    _same_length("cumulative_lots", lots, "relative_price", price)
    refuse("relative_price", ~(np.isfinite(price) & (price > 0)), price, "a price must be finite and above 0")
    if side == "long":
        refuse("relative_price", price > 1, price, "below a long's mark rows are at most 1")
        refuse("relative_price", np.diff(price, prepend=price[0]) > 0, price, "rows for long fuel must not rise")
    else:
        refuse("relative_price", price < 1, price, "above a short's mark rows are at least 1")
        # So that no mark overflows: an infinite mark has no distance.
        refuse("relative_price", price > MAX_EXACT_LOTS, price, "a row is at most 2^53 times the mark")
        refuse("relative_price", np.diff(price, prepend=price[0]) < 0, price, "rows for short fuel must not fall")
    refuse("cumulative_lots", lots < 0, lots, "depth must not be negative")
    refuse("cumulative_lots", np.diff(lots, prepend=lots[0]) < 0, lots, "cumulative depth must not decrease")
    refuse("cumulative_lots", lots >= MAX_EXACT_LOTS, lots, "depth must stay below 2^53 lots; use larger lots")
    if lots[-1] == 0:
        raise ValueError(
            f"cumulative_lots[{lots.size - 1}] = 0: the book holds nothing; absent depth is missing, not 0"
        )
    return price, lots


def _checked_fuel(fuel: Fuel) -> tuple[F64, I64, F64]:
    triggers = _floats("trigger_ticks", fuel.trigger_ticks)
    quantities = _integers("quantity_lots", fuel.quantity_lots)
    bankruptcies = _floats("bankruptcy_ticks", fuel.bankruptcy_ticks)
    _same_length("quantity_lots", quantities, "trigger_ticks", triggers)
    _same_length("bankruptcy_ticks", bankruptcies, "trigger_ticks", triggers)
    why = "a liquidation price must be finite and above 0; leave the bucket out where there is none"
    refuse("trigger_ticks", ~(np.isfinite(triggers) & (triggers > 0)), triggers, why)
    refuse("quantity_lots", quantities < 0, quantities, "a quantity must not be negative")
    total = np.cumsum(quantities.astype(np.float64))
    refuse("quantity_lots", total >= MAX_EXACT_LOTS, quantities, "fuel must stay below 2^53 lots; use larger lots")
    is_bad = ~(np.isfinite(bankruptcies) & (bankruptcies >= 0))
    refuse("bankruptcy_ticks", is_bad, bankruptcies, "a bankruptcy price must be finite and not negative")
    return triggers, quantities, bankruptcies


def check_scenario(i: int, s: Scenario) -> None:
    """Refuse an unlawful scenario; `i` is its place in the caller's row.

    Raises
    ------
    ValueError
        Where a field is outside its range or NaN.
    """
    if s.side not in POSITION_SIDES:
        raise ValueError(f"scenarios[{i}].side = {s.side!r}: must be long or short")
    if s.shock_kind not in SHOCK_KINDS:
        raise ValueError(f"scenarios[{i}].shock_kind = {s.shock_kind!r}: must be sell or reprice")
    if s.side == "long" and not 0 < s.shock_frac < 1:
        raise ValueError(f"scenarios[{i}].shock_frac = {s.shock_frac}: a downward shock must be inside (0, 1)")
    if s.side == "short" and not 0 < s.shock_frac <= MAX_UPWARD_SHOCK_FRAC:
        raise ValueError(f"scenarios[{i}].shock_frac = {s.shock_frac}: an upward shock must be inside (0, 10]")
    if not 0 < s.depth_survival_frac <= 1:
        raise ValueError(f"scenarios[{i}].depth_survival_frac = {s.depth_survival_frac}: W must be inside (0, 1]")
    if not 0 <= s.sold_share_frac <= 1:
        raise ValueError(f"scenarios[{i}].sold_share_frac = {s.sold_share_frac}: phi must be inside [0, 1]")


def check_shocks(shock_frac: npt.ArrayLike, side: PositionSide) -> F64:
    """Return a growing row of shocks as float64[n_shocks].

    Raises
    ------
    ValueError
        Where a shock is outside its range, NaN, or below the one before.
    """
    shocks = _floats("shocks_frac", shock_frac)
    if side not in POSITION_SIDES:
        raise ValueError(f"side = {side!r}: must be long or short")
    if side == "long":
        refuse("shocks_frac", ~((shocks > 0) & (shocks < 1)), shocks, "a downward shock must be inside (0, 1)")
    is_lawful = (shocks > 0) & (shocks <= MAX_UPWARD_SHOCK_FRAC)
    refuse("shocks_frac", ~is_lawful, shocks, "an upward shock must be inside (0, 10]")
    refuse("shocks_frac", np.diff(shocks, prepend=shocks[:1]) < 0, shocks, "shocks must not decrease")
    return shocks


def shock_table(
    lattice: Lattice, shock_frac: F64, is_sell: bool | npt.NDArray[np.bool_], depth_survival_frac: float | F64
) -> tuple[F64, I64]:
    """Return the kernels' `shocks` and `states`: shock price, base, W, and the first row left untouched."""
    start = lattice.mark * (1.0 - lattice.direction * shock_frac)
    shocks = np.empty((shock_frac.size, 3))
    shocks[:, 0] = start
    shocks[:, 1] = np.where(is_sell, lattice.mark, start)
    shocks[:, 2] = depth_survival_frac
    states = np.zeros((shock_frac.size, 5), dtype=np.int64)
    # The shock itself is a sale: rows at or before the shock price are eaten. After a repricing the whole book stands.
    eaten = np.searchsorted(-(lattice.mark * lattice.relative_price), -start, side="right")
    states[:, 0] = np.where(is_sell, eaten, 0)
    return shocks, states


def floor_marks(lattice: Lattice, shocks: F64) -> F64:
    """Return the signed marks of an exhausted book, float64[n_scenarios].

    One tick for a fall; a squeeze has no floor and ends at the last row. Never on the calm side of shock and book.
    """
    floors: F64 = np.minimum(shocks[:, 0], shocks[:, 1] * lattice.relative_price[-1])
    return np.minimum(floors, 1.0) if lattice.direction > 0 else floors


def _floats(field: str, values: npt.ArrayLike) -> F64:
    # Always an own, writable copy: one array type for the kernels means one compiled version of each.
    array = np.array(values, dtype=np.float64, order="C")
    if array.ndim != 1:
        raise ValueError(f"{field}: expected one dimension, got {array.ndim}")
    return array


def _integers(field: str, values: npt.ArrayLike) -> I64:
    given = np.array(values, order="C")
    if given.ndim != 1:
        raise ValueError(f"{field}: expected one dimension, got {given.ndim}")
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{field}: lots are whole numbers, got {given.dtype}")
    return given.astype(np.int64)


def _same_length(field: str, values: npt.NDArray, other: str, others: npt.NDArray) -> None:
    if values.size != others.size:
        shorter = min(values.size, others.size)
        raise ValueError(f"{field}[{shorter}]: {values.size} values against {others.size} of {other}")


def refuse(field: str, is_bad: npt.NDArray[np.bool_], values: npt.NDArray, why: str) -> None:
    """Raise ValueError naming the first index where `is_bad` holds, its value and the law."""
    places = np.flatnonzero(is_bad)
    if places.size:
        raise ValueError(f"{field}[{places[0]}] = {values[places[0]]}: {why}")
