"""Validation and packing of dynamic replays: many markets and policies into the flat arrays that the kernels read.

Belongs here: the laws of the inputs (every refusal names the field and the first offending index), the effect of policies
on fuel and books, the order of bins. Does not: the inputs and priors (``dynamic_inputs.py``), the replay (``dynamic.py``).

References
----------
docs/cascade_dynamic.md, sections 2, 3 and 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.cascade.dynamic_inputs import DayMarket, DayPath, Impact, Openings, Policy, SideFuel
from assets.cascade.lattice import Book, Fuel, prepare, refuse
from assets.cascade.params import MAX_EXACT_LOTS, PositionSide

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# After closures that leave less than this of a bin nothing could be counted in lots; it guards S against underflow.
LEAST_SCALE = 2.0**-500


# --- validation ----------------------------------------------------------------------------------------------------------


def _floats(name: str, values: npt.ArrayLike) -> F64:
    array = np.array(values, dtype=np.float64, order="C")
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got {array.ndim}")
    return array


def _integers(name: str, values: npt.ArrayLike) -> I64:
    given = np.array(values, order="C")
    if given.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got {given.ndim}")
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{name}: expected whole numbers, got {given.dtype}")
    return given.astype(np.int64)


def _same_length(name: str, values: npt.NDArray, expected: int, why: str) -> None:
    if values.size != expected:
        raise ValueError(f"{name}[{min(values.size, expected)}]: {values.size} values against {expected} {why}")


def _within(name: str, value: float, is_good: bool, why: str) -> None:
    if not is_good:
        raise ValueError(f"{name} = {value}: {why}")


def check_policy(i: int, policy: Policy) -> None:
    """Refuse an unlawful policy; `i` is its place in the caller's row.

    Raises
    ------
    ValueError
        Where a field is outside its range or NaN.
    """
    at = f"policies[{i}]"
    cap, move = policy.leverage_cap_x, policy.breaker_move_frac
    if cap is not None:
        _within(f"{at}.leverage_cap_x", cap, math.isfinite(cap) and cap >= 1, "a cap is finite and at least 1")
    if policy.cap_rule not in ("move", "drop"):
        raise ValueError(f"{at}.cap_rule = {policy.cap_rule!r}: must be move or drop")
    scale = policy.depth_scale_x
    _within(f"{at}.depth_scale_x", scale, math.isfinite(scale) and scale > 0, "must be finite and above 0")
    _within(f"{at}.breaker_move_frac", move, 0 < move < 1, "must be inside (0, 1)")
    for name, least in (("breaker_window_steps", 1), ("breaker_halt_steps", 0), ("twap_steps", 1)):
        steps = getattr(policy, name)
        is_good = isinstance(steps, int | np.integer) and bool(steps >= least)
        _within(f"{at}.{name}", steps, is_good, f"must be a whole number of steps, at least {least}")
    _within(f"{at}.adl_share_frac", policy.adl_share_frac, 0 <= policy.adl_share_frac <= 1, "must be inside [0, 1]")


def checked_impact(impact: Impact, n_steps: int) -> tuple[F64, F64]:
    """Return the decay table and the depth process as the kernels read them, float64[>= n_steps] and float64[5].

    Raises
    ------
    ValueError
        Where a value is outside its range; names the field and the first offending index.
    """
    decay = _floats("impact.decay", impact.decay)
    if decay.size < n_steps:
        raise ValueError(f"impact.decay[{decay.size}]: {decay.size} values against {n_steps} steps; tabulate it longer")
    refuse("impact.decay", ~(np.isfinite(decay) & (decay >= 0)), decay, "decay must be finite and not negative")
    _within("impact.decay[0]", float(decay[0]), bool(decay[0] == 1), "a step's own lots weigh exactly 1")
    refuse("impact.decay", np.diff(decay, prepend=decay[0]) > 0, decay, "decay must not rise")
    d = impact.depth
    for name, sensitivity in (
        ("return_sensitivity_x", d.return_sensitivity_x),
        ("flow_sensitivity_x", d.flow_sensitivity_x),
    ):
        is_good = math.isfinite(sensitivity) and sensitivity >= 0
        _within(f"impact.depth.{name}", sensitivity, is_good, "must be finite and not negative")
    life, least, start = d.half_life_steps, d.least_survival_frac, d.initial_survival_frac
    _within("impact.depth.half_life_steps", life, math.isfinite(life) and life > 0, "must be finite and above 0")
    _within("impact.depth.least_survival_frac", least, 0 < least <= 1, "must be inside (0, 1]")
    _within("impact.depth.initial_survival_frac", start, least <= start <= 1, "must be inside [least survival, 1]")
    keep = 0.5 ** (1.0 / float(life))
    process = np.array([d.return_sensitivity_x, d.flow_sensitivity_x, keep, least, start], dtype=np.float64)
    return decay, process


def checked_paths(paths: Sequence[DayPath], n_markets: int) -> F64:
    """Return observed paths as float64[n_markets, 3, n_steps]: low, high, close.

    Raises
    ------
    ValueError
        Where there is not one path per market, lengths differ, or prices are unlawful.
    """
    if n_markets == 0:
        raise ValueError("markets: give at least one market")
    if len(paths) != n_markets:
        raise ValueError(f"paths[{min(len(paths), n_markets)}]: {len(paths)} paths against {n_markets} markets")
    n_steps = np.size(paths[0].close_ticks)
    if n_steps == 0:
        raise ValueError("paths[0].close_ticks: a path needs at least one step")
    table = np.empty((n_markets, 3, n_steps))
    for i, path in enumerate(paths):
        for row, name in enumerate(("low_ticks", "high_ticks", "close_ticks")):
            at = f"paths[{i}].{name}"
            values = _floats(at, getattr(path, name))
            _same_length(at, values, n_steps, "steps of the first path")
            refuse(at, ~(np.isfinite(values) & (values > 0)), values, "a mark must be finite and above 0")
            table[i, row] = values
        low, high, close = table[i]
        refuse(f"paths[{i}].low_ticks", low > close, low, "the low must not be above the close")
        refuse(f"paths[{i}].high_ticks", high < close, high, "the high must not be below the close")
    return table


def checked_shocks(shocks: Sequence[F64], n_markets: int, n_steps: int) -> tuple[F64, I64]:
    """Return marks without forced orders, float64[n_markets, longest], and their lengths, int64[n_markets].

    Raises
    ------
    ValueError
        Where there is not one row per market, or a row is empty, too long, or holds a mark below one tick.
    """
    if len(shocks) != n_markets:
        raise ValueError(f"shocks_ticks[{min(len(shocks), n_markets)}]: {len(shocks)} against {n_markets} markets")
    rows = [_floats(f"shocks_ticks[{i}]", row) for i, row in enumerate(shocks)]
    for i, row in enumerate(rows):
        _within(f"shocks_ticks[{i}] length", row.size, 1 <= row.size <= n_steps, f"must be inside 1 .. {n_steps} steps")
        refuse(f"shocks_ticks[{i}]", ~(np.isfinite(row) & (row >= 1)), row, "a mark must be finite, at least one tick")
    table = np.ones((n_markets, max(row.size for row in rows)))
    for i, row in enumerate(rows):
        table[i, : row.size] = row
    return table, np.array([row.size for row in rows], dtype=np.int64)


def checked_reports(reports: Sequence[npt.ArrayLike], n_markets: int, n_steps: int) -> I64:
    """Return reported forced orders as int64[n_markets, 2, n_steps]: long and short lots per step.

    Raises
    ------
    ValueError
        Where there is not one table per market, a shape differs, or lots are negative or too many.
    """
    if len(reports) != n_markets:
        raise ValueError(f"reported_lots[{min(len(reports), n_markets)}]: {len(reports)} against {n_markets} markets")
    table = np.empty((n_markets, 2, n_steps), dtype=np.int64)
    for i, report in enumerate(reports):
        given = np.array(report)
        if given.shape != (2, n_steps):
            raise ValueError(f"reported_lots[{i}]: shape {given.shape}, expected (2, {n_steps}): long and short lots")
        for side in range(2):
            at = f"reported_lots[{i}][{side}]"
            table[i, side] = _integers(at, given[side])
            _refuse_lots(at, table[i, side])
    return table


def _refuse_lots(name: str, lots: I64, before: float = 0.0) -> None:
    refuse(name, lots < 0, lots, "lots must not be negative")
    total = before + np.cumsum(lots.astype(np.float64))
    refuse(name, total >= MAX_EXACT_LOTS, lots, "a side must stay below 2^53 lots together; use larger lots")


# --- packing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """One side under one cap, in the order of bins: signed triggers, lots, openings by place; dropped lots of bins, of openings."""

    trigger: F64
    lots: I64
    open_step: I64
    open_place: I64
    open_lots: I64
    dropped_lots: list[int]


@dataclass(frozen=True)
class Packed:
    """Validated markets x policies as flat arrays: cell ``market * n_policies + policy``.

    Field names and shapes are those of the kernels' tuples; `dropped_lots` is int64[n_cells, 2, 2]:
    by side, of bins and of openings.
    """

    n_markets: int
    n_policies: int
    n_steps: int
    names: I64
    figures: F64
    closures: F64
    edges: I64
    trigger: F64
    lots: I64
    open_edges: I64
    open_step: I64
    open_bin: I64
    open_lots: I64
    book_edges: I64
    book_price: F64
    book_lots: F64
    dropped_lots: I64

    @property
    def n_cells(self) -> int:
        """Number of replays."""
        return self.n_markets * self.n_policies

    @property
    def most_bins(self) -> int:
        """Bins of the largest fuel set."""
        return int(np.max(self.edges[:, 2] - self.edges[:, 0]))


def prepare_days(
    markets: Sequence[DayMarket], policies: Sequence[Policy], n_steps: int, *, needs_books: bool
) -> Packed:
    """Validate markets and policies and pack every combination.

    Parameters
    ----------
    n_steps : int
        Steps of the day, the same for all markets.
    needs_books : bool
        Modes 2 and 3 read books, mode 1 does not.

    Raises
    ------
    ValueError
        Where an argument is unlawful; names the field and the first offending index.
    """
    if not markets:
        raise ValueError("markets: give at least one market")
    if not policies:
        raise ValueError("policies: give at least one policy; BASELINE changes nothing")
    for i, policy in enumerate(policies):
        check_policy(i, policy)
    pack = _Pack(n_steps)
    for i, market in enumerate(markets):
        pack.add_market(i, market, policies, needs_books)
    return pack.packed(len(markets), len(policies))


class _Pack:
    """Collects arrays end to end; a fuel set is shared by the policies with one cap, a book by those with one scale."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.sides: list[_Side] = []
        self.books: list[tuple[F64, F64]] = []
        self.closures: list[F64] = []
        self.names: list[list[int]] = []
        self.figures: list[list[float]] = []
        self.dropped: list[list[list[int]]] = []

    def add_market(self, i: int, market: DayMarket, policies: Sequence[Policy], needs_books: bool) -> None:
        at = f"markets[{i}]"
        mark, share = float(market.mark_ticks), float(market.sold_share_frac)
        _within(f"{at}.mark_ticks", mark, math.isfinite(mark) and mark > 0, "the mark must be finite and above 0")
        _within(f"{at}.sold_share_frac", share, 0 <= share <= 1, "phi must be inside [0, 1]")
        self.closures.append(_checked_closures(f"{at}.closure_frac", market.closure_frac, self.n_steps))
        longs = _checked_fuel(f"{at}.long_fuel", market.long_fuel, self.n_steps)
        shorts = _checked_fuel(f"{at}.short_fuel", market.short_fuel, self.n_steps)
        books = _checked_books(at, market) if needs_books else None
        fuel_of: dict[tuple[float | None, str], int] = {}
        book_of: dict[float, int] = {}
        for p, policy in enumerate(policies):
            cap = (policy.leverage_cap_x, policy.cap_rule)
            if cap not in fuel_of:
                fuel_of[cap] = len(self.sides) // 2
                self.sides += [_capped(at, longs, 1.0, policy), _capped(at, shorts, -1.0, policy)]
            book, reference = 0, 1.0
            if books is not None:
                if policy.depth_scale_x not in book_of:
                    book_of[policy.depth_scale_x] = len(self.books)
                    self.books += _scaled_books(p, books, policy.depth_scale_x)
                book = book_of[policy.depth_scale_x]
                reference = float(market.reference_lots or 0) * policy.depth_scale_x
            fuel = fuel_of[cap]
            rules = [policy.twap_steps, policy.breaker_window_steps, policy.breaker_halt_steps]
            self.names.append([fuel, book, book + 1, i, *rules])
            self.figures.append([mark, share, policy.adl_share_frac, policy.breaker_move_frac, reference])
            self.dropped.append([side.dropped_lots for side in self.sides[2 * fuel : 2 * fuel + 2]])

    def packed(self, n_markets: int, n_policies: int) -> Packed:
        sides, books = self.sides, self.books or [(np.ones(1), np.ones(1))]
        bins = _edges([s.lots.size for s in sides])
        opened = _edges([s.open_step.size for s in sides])
        # Places of openings count from the set's first bin: shorts stand behind the longs of their set.
        offset = [0 if k % 2 == 0 else sides[k - 1].lots.size for k in range(len(sides))]
        return Packed(
            n_markets=n_markets,
            n_policies=n_policies,
            n_steps=self.n_steps,
            names=np.array(self.names, dtype=np.int64),
            figures=np.array(self.figures, dtype=np.float64),
            closures=np.array(self.closures),
            edges=np.stack([bins[:-2:2], bins[1:-1:2], bins[2::2]], axis=1),
            trigger=np.concatenate([s.trigger for s in sides]),
            lots=np.concatenate([s.lots for s in sides]),
            open_edges=np.stack([opened[:-2:2], opened[1:-1:2], opened[2::2]], axis=1),
            open_step=np.concatenate([s.open_step for s in sides]),
            open_bin=np.concatenate([s.open_place + shift for s, shift in zip(sides, offset, strict=True)]),
            open_lots=np.concatenate([s.open_lots for s in sides]),
            book_edges=_edges([price.size for price, _ in books]),
            book_price=np.concatenate([price for price, _ in books]),
            book_lots=np.concatenate([lots for _, lots in books]),
            dropped_lots=np.array(self.dropped, dtype=np.int64),
        )


def _edges(sizes: list[int]) -> I64:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _checked_closures(name: str, given: F64 | None, n_steps: int) -> F64:
    if given is None:
        return np.zeros(n_steps)
    closures = _floats(name, given)
    _same_length(name, closures, n_steps, "steps")
    refuse(name, ~((closures >= 0) & (closures < 1)), closures, "a share that closes must be inside [0, 1)")
    scale = np.multiply.accumulate(1.0 - closures)
    refuse(name, scale < LEAST_SCALE, closures, "after this step nothing countable is left; use smaller shares")
    return closures


def _checked_fuel(name: str, fuel: SideFuel, n_steps: int) -> SideFuel:
    triggers = _floats(f"{name}.trigger_ticks", fuel.trigger_ticks)
    lots = _integers(f"{name}.quantity_lots", fuel.quantity_lots)
    _same_length(f"{name}.quantity_lots", lots, triggers.size, "of trigger_ticks")
    why = "a liquidation price must be finite and above 0; leave the bin out where there is none"
    refuse(f"{name}.trigger_ticks", ~(np.isfinite(triggers) & (triggers > 0)), triggers, why)
    _refuse_lots(f"{name}.quantity_lots", lots)
    leverage = None
    if fuel.leverage_x is not None:
        leverage = _floats(f"{name}.leverage_x", fuel.leverage_x)
        _same_length(f"{name}.leverage_x", leverage, triggers.size, "of trigger_ticks")
        is_bad = ~(np.isfinite(leverage) & (leverage >= 1))
        refuse(f"{name}.leverage_x", is_bad, leverage, "leverage must be finite and at least 1")
    step, place, opened = (
        _integers(f"{name}.openings.{column}", getattr(fuel.openings, column)) for column in ("step", "bin", "lots")
    )
    _same_length(f"{name}.openings.bin", place, step.size, "of step")
    _same_length(f"{name}.openings.lots", opened, step.size, "of step")
    refuse(f"{name}.openings.step", (step < 0) | (step >= n_steps), step, f"must be inside 0 .. {n_steps - 1}")
    if step.size:
        refuse(f"{name}.openings.step", np.diff(step, prepend=step[0]) < 0, step, "steps must not decrease")
    refuse(f"{name}.openings.bin", (place < 0) | (place >= lots.size), place, f"the side has {lots.size} bins")
    _refuse_lots(f"{name}.openings.lots", opened, float(lots.sum()))
    return SideFuel(triggers, lots, leverage, Openings(step, place, opened))


def _checked_books(at: str, market: DayMarket) -> tuple[tuple[F64, I64], tuple[F64, I64]]:
    none = Fuel(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0))
    checked: list[tuple[F64, I64]] = []
    sides: tuple[tuple[str, Book | None, PositionSide], ...] = (
        ("bids", market.bids, "long"),
        ("asks", market.asks, "short"),
    )
    for name, book, side in sides:
        if book is None:
            raise ValueError(f"{at}.{name}: this mode needs both books; give their tabulated rows")
        try:
            lattice = prepare(float(market.mark_ticks), book, none, side)
        except ValueError as error:
            raise ValueError(f"{at}.{name}.{error}") from error
        checked.append((lattice.relative_price, lattice.cumulative_lots))
    reference = market.reference_lots
    if reference is None or not 1 <= reference < MAX_EXACT_LOTS:
        raise ValueError(f"{at}.reference_lots = {reference}: give one side's depth within 1 %, at least 1 lot")
    return checked[0], checked[1]


def _scaled_books(p: int, books: tuple[tuple[F64, I64], tuple[F64, I64]], scale: float) -> list[tuple[F64, F64]]:
    scaled = []
    for price, lots in books:
        more = np.floor(lots.astype(np.float64) * scale)
        if not 1 <= more[-1] < MAX_EXACT_LOTS:
            raise ValueError(f"policies[{p}].depth_scale_x = {scale}: leaves {more[-1]} lots; keep it inside 1 .. 2^53")
        scaled.append((price, more))
    return scaled


def _capped(at: str, fuel: SideFuel, direction: float, policy: Policy) -> _Side:
    """Apply a leverage cap and bring the bins into their order, equal prices in the caller's order."""
    triggers, lots, openings = fuel.trigger_ticks, fuel.quantity_lots, fuel.openings
    opened = openings.lots
    dropped = [0, 0]
    if policy.leverage_cap_x is not None and lots.size:
        if fuel.leverage_x is None:
            name = "long_fuel" if direction > 0 else "short_fuel"
            raise ValueError(f"{at}.{name}.leverage_x: a leverage cap needs the leverage of every bin")
        is_above = fuel.leverage_x > policy.leverage_cap_x
        is_dropped = is_above
        if policy.cap_rule == "move":
            divisor = np.where(is_above, 1.0 - direction / fuel.leverage_x, 1.0)
            moved = triggers * ((1.0 - direction / policy.leverage_cap_x) / divisor)
            is_dropped = is_above & (moved <= 0)
            triggers = np.where(is_above & ~is_dropped, moved, triggers)
        is_shut = is_dropped[openings.bin]
        dropped = [int(lots[is_dropped].sum()), int(opened[is_shut].sum())]
        lots = np.where(is_dropped, 0, lots)
        opened = np.where(is_shut, 0, opened)
    order = np.argsort(-direction * triggers, kind="stable")
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    return _Side(direction * triggers[order], lots[order], openings.step, place[openings.bin], opened, dropped)
