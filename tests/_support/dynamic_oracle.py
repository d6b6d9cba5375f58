"""The naive oracle of the dynamic replay: one day, step by step, in plain Python ints and floats.

Belongs here: the rules of ``docs/cascade_dynamic.md``, one plain function per rule, every bin looked at in every round.
Does not: anything of ``assets.cascade`` (its author read the same page apart from us; the two are compared in
``tests/assets/cascade/test_dynamic_oracle.py``), random worlds (``dynamic_worlds.py``), how it is made fast.

Inputs are read by the attribute names of section 11 of that page, results carry the same names as the product's.
Sums are written as loops: since Python 3.12 ``sum`` of floats compensates, which is not "left to right from 0.0".

Where the page is silent or may be read in two ways, the reading taken here is:

C1. *Excluded under a cap.* "At the start every bin with l_k >= p0" is asked of the bins as the policy makes them: a
    moved bin is excluded by its moved price. The capped position is the one that exists.
C2. *Initial lots* are all lots of the caller, dropped and excluded ones included (the identity leaves no other reading).
C3. *Halted steps* are counted within the day only; a halt that outlasts the day is cut.
C4. *W_0* is the initial survival as given: the floor is written for ``t >= 1`` only. (The product refuses one below its
    floor, so no world has it.)
C5. *Trough and peak* of a free run are over end-of-step marks; ``p0`` is no such mark.
C6. *A bin reached with lots that closures have eaten* (``live = 0 < q``) is emptied and forces nothing; where no other bin
    is reached that ends the rounds ("no lots forced in this round").
C7. *Reported orders* are lots per step as they stand: no netting, ``phi`` or ADL before the net flow, and
    the result's forced lots are these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

# --- what is asked back (names of section 11) ---------------------------------------------------------------------------


@dataclass
class SideFlow:
    """Forced flow of one side: lists by step, then totals of the day."""

    forced_lots: list[int] = field(default_factory=list)
    sold_lots: list[int] = field(default_factory=list)
    netted_lots: list[int] = field(default_factory=list)
    adl_lots: list[int] = field(default_factory=list)
    not_sold_lots: list[int] = field(default_factory=list)
    unabsorbed_lots: list[int] = field(default_factory=list)
    forced_notional_ticklots: list[float] = field(default_factory=list)
    initial_lots: int = 0
    opened_lots: int = 0
    dropped_lots: int = 0
    excluded_lots: int = 0
    total_forced_lots: int = 0
    closed_lots: int = 0
    remaining_lots: int = 0


@dataclass
class PathReplay:
    """Mode 1."""

    policy: str
    long: SideFlow
    short: SideFlow
    halted_steps: int


@dataclass
class Counterfactual:
    """Mode 2."""

    orders_origin: str
    trough_step: int
    observed_log_frac: float
    endogenous_share_frac: float | None
    share_low_frac: float | None
    share_high_frac: float | None
    first_share_frac: float | None
    iterations: int
    is_converged: bool
    is_exhausted: bool
    low_ticks: list[float]
    high_ticks: list[float]
    close_ticks: list[float]
    forced_long_lots: list[int]
    forced_short_lots: list[int]
    depth_survival_frac: list[float]


@dataclass
class FreeReplay:
    """Mode 3."""

    policy: str
    long: SideFlow
    short: SideFlow
    mark_ticks: list[float]
    depth_survival_frac: list[float]
    trough_ticks: float
    trough_step: int
    peak_ticks: float
    peak_step: int
    duration_steps: int
    rounds: int
    halted_steps: int
    is_exhausted: bool


# --- section 3: fuel ----------------------------------------------------------------------------------------------------


@dataclass
class Bin:
    """One fuel bin: price ``l_k``, lots ``q_k``, and the scale ``s_k`` at which they were last counted."""

    price: float
    lots: int
    is_dropped: bool = False
    scale: float = 1.0


@dataclass
class Fuel:
    """Fuel of one side during a day: bins as the caller numbered them, and the order away from the mark."""

    side: str
    bins: list[Bin]
    order: list[int]
    openings: list[tuple[int, int, int]]
    flow: SideFlow

    def is_reached(self, price: float, guard: float) -> bool:
        """Say whether a trigger price is reached: "a long bin where l_k >= g, a short bin where l_k <= g"."""
        return price >= guard if self.side == "long" else price <= guard


def fuel_at_start(side_fuel: Any, side: str, p0: float, policy: Any) -> Fuel:
    """Return the fuel before the first step: capped (section 8), ordered, excluded bins set to 0."""
    flow = SideFlow()
    prices = [float(x) for x in side_fuel.trigger_ticks]
    lots = [int(x) for x in side_fuel.quantity_lots]
    flow.initial_lots = sum(lots)
    bins = [Bin(*pair) for pair in zip(prices, lots, strict=True)]
    if policy is not None and policy.leverage_cap_x is not None:
        for one, leverage in zip(bins, side_fuel.leverage_x, strict=True):
            apply_cap(one, float(leverage), side, float(policy.leverage_cap_x), policy.cap_rule)
    for one in bins:
        if one.is_dropped:
            flow.dropped_lots += one.lots
            one.lots = 0
    # "away from the mark (long: falling l, short: rising l); equal prices keep the caller's order": sorted() is stable.
    order = sorted(range(len(bins)), key=lambda k: -bins[k].price if side == "long" else bins[k].price)
    given = side_fuel.openings
    openings = [(int(t), int(k), int(n)) for t, k, n in zip(given.step, given.bin, given.lots, strict=True)]
    fuel = Fuel(side, bins, order, openings, flow)
    for one in bins:
        if fuel.is_reached(one.price, p0):
            flow.excluded_lots += one.lots  # a dropped bin has none left
            one.lots = 0
    return fuel


def live_lots(one: Bin, scale: float) -> int:
    """Return ``floor(fl(q_k * fl(S / s_k)))``."""
    return math.floor(float(one.lots) * (scale / one.scale))


def force_reached(fuel: Fuel, guard: float, scale: float) -> tuple[int, float]:
    """Empty every reached bin; return its live lots and their notional, summed in the order of bins from 0.0."""
    forced, notional = 0, 0.0
    for k in fuel.order:
        one = fuel.bins[k]
        if fuel.is_reached(one.price, guard):
            live = live_lots(one, scale)
            forced += live
            notional = notional + one.price * float(live)
            fuel.flow.closed_lots += one.lots - live
            one.lots = 0
    fuel.flow.total_forced_lots += forced
    return forced, notional


def open_positions(fuel: Fuel, t: int, scale: float) -> None:
    """Fill bins with the lots that are opened in step `t`, in their order."""
    for step, k, lots in fuel.openings:
        if step != t:
            continue
        fuel.flow.opened_lots += lots
        one = fuel.bins[k]
        if one.is_dropped:
            fuel.flow.dropped_lots += lots  # "dropped includes openings into dropped bins, which opened counts too"
            continue
        left = live_lots(one, scale)
        fuel.flow.closed_lots += one.lots - left
        one.lots = left + lots
        one.scale = scale


def end_the_day(fuel: Fuel, scale: float) -> None:
    """Count what is left: live lots remain, the rest of each bin was closed."""
    for one in fuel.bins:
        live = live_lots(one, scale)
        fuel.flow.remaining_lots += live
        fuel.flow.closed_lots += one.lots - live


def closing_shares(market: Any, n_steps: int) -> list[float]:
    """Return ``c_t`` of each step."""
    return [0.0] * n_steps if market.closure_frac is None else [float(c) for c in market.closure_frac]


# --- section 4: from forced lots to flow --------------------------------------------------------------------------------


@dataclass
class SideOrders:
    """What becomes of one side's forced lots of one step before they meet the book."""

    adl: int
    to_sell: int
    not_sold: int


def orders_of(forced: int, adl_share: float, phi: float) -> SideOrders:
    """Split forced lots: ADL first, then the share ``phi`` of the rest goes to market."""
    adl = math.floor(adl_share * float(forced))
    rest = forced - adl
    to_sell = math.floor(phi * float(rest))
    return SideOrders(adl, to_sell, rest - to_sell)


def net_flow(longs: SideOrders, shorts: SideOrders) -> int:
    """Return ``n = B - A``: purchases of shorts less sales of longs."""
    return shorts.to_sell - longs.to_sell


def book_step(
    flow: SideFlow, side: str, forced: int, orders: SideOrders, notional: float, netted: int, n: int, x: int
) -> None:
    """Write one step of one side: `n` is the net flow that was wanted, `x` the flow that was traded."""
    is_trading = n < 0 if side == "long" else n > 0
    flow.forced_lots.append(forced)
    flow.adl_lots.append(orders.adl)
    flow.not_sold_lots.append(orders.not_sold)
    flow.netted_lots.append(netted)
    flow.sold_lots.append(abs(x) if is_trading else 0)
    flow.unabsorbed_lots.append(abs(n) - abs(x) if is_trading else 0)
    flow.forced_notional_ticklots.append(notional)


# --- section 5: impact and depth ----------------------------------------------------------------------------------------


@dataclass
class BookSide:
    """Rows going away from the mark: relative prices ``r_j`` and cumulative lots ``C_j``."""

    r: list[float]
    c: list[int]


def book_side(book: Any, scale: float) -> BookSide:
    """Return the book under a depth policy: ``C_j' = floor(fl(C_j * scale))``."""
    return BookSide(
        [float(r) for r in book.relative_price], [math.floor(float(c) * scale) for c in book.cumulative_lots]
    )


def load_before(decay: list[float], v: list[float], t: int) -> float:
    """Return ``H``: the sum over ``u < t`` of ``fl(G[t-u] * v_u)``, ascending."""
    total = 0.0
    for u in range(t):
        total = total + decay[t - u] * v[u]
    return total


def load_at(decay: list[float], v: list[float], t: int) -> float:
    """Return ``L_t``: the sum over ``u = 0..t``, ascending, the step's own flow included."""
    return load_before(decay, v, t) + decay[0] * v[t]


def factor(load: float, bids: BookSide, asks: BookSide) -> float:
    """Return ``m(L)``: the price with the load over the price without it, read off the book between its rows."""
    if load == 0.0:
        return 1.0
    book = bids if load < 0.0 else asks
    y = abs(load)
    c_before, r_before = 0.0, 1.0
    for r, c in zip(book.r, book.c, strict=True):
        if y <= float(c):
            return r_before + (r - r_before) * ((y - c_before) / (float(c) - c_before))
        c_before, r_before = float(c), r
    return book.r[-1]  # the table has ended


def is_beyond(load: float, bids: BookSide, asks: BookSide) -> bool:
    """Say whether the load is larger than all of its side's book."""
    return abs(load) > float((bids if load < 0.0 else asks).c[-1])


def next_survival(depth: Any, w: float, close: float, close_before: float, x: int, reference_lots: float) -> float:
    """Return ``W_t`` from ``W_{t-1}``, the return of step ``t - 1`` and its net flow."""
    h = 0.5 ** (1.0 / float(depth.half_life_steps))
    rho = abs(close / close_before - 1.0)
    z = float(abs(x)) / reference_lots
    hit = float(depth.return_sensitivity_x) * rho + float(depth.flow_sensitivity_x) * z
    recovered = 1.0 - (1.0 - w) * h
    return max(float(depth.least_survival_frac), recovered / (1.0 + hit))


def at_step(closes: list[float], t: int, p0: float) -> float:
    """Return ``close[t]``; "close[-1], close[-2], ... all mean p0"."""
    return closes[t] if t >= 0 else p0


# --- section 8: circuit breaker and TWAP guard --------------------------------------------------------------------------


def guard_price(closes: list[float], t: int, now: float, twap_steps: int, p0: float) -> float:
    """Return the mean of ``close[t-N+1] .. close[t-1]`` and then the price of now."""
    total = 0.0
    for u in range(t - twap_steps + 1, t):
        total = total + at_step(closes, u, p0)
    return (total + now) / float(twap_steps)


def steps_to_halt(closes: list[float], t: int, policy: Any, p0: float) -> int:
    """Return how many steps the breaker halts after a step `t` that was not halted itself."""
    theta = float(policy.breaker_move_frac)
    ref = at_step(closes, t - policy.breaker_window_steps, p0)
    if closes[t] <= ref * (1.0 - theta) or closes[t] >= ref * (1.0 + theta):
        return policy.breaker_halt_steps
    return 0


# --- section 8: leverage cap --------------------------------------------------------------------------------------------


def apply_cap(one: Bin, leverage: float, side: str, cap: float, rule: str) -> None:
    """Move or drop a bin whose leverage is above the cap."""
    if leverage <= cap:
        return
    if rule == "drop":
        one.is_dropped = True
        return
    d = 1.0 if side == "long" else -1.0
    moved = one.price * ((1.0 - d / cap) / (1.0 - d / leverage))
    if moved <= 0.0:
        one.is_dropped = True
    else:
        one.price = moved


# --- section 6: mode 1 --------------------------------------------------------------------------------------------------


def path_driven(market: Any, low: list[float], high: list[float], close: list[float], policy: Any) -> PathReplay:
    """Drive the fuel along a path that does not move."""
    p0, phi, n_steps = float(market.mark_ticks), float(market.sold_share_frac), len(close)
    longs = fuel_at_start(market.long_fuel, "long", p0, policy)
    shorts = fuel_at_start(market.short_fuel, "short", p0, policy)
    shares = closing_shares(market, n_steps)
    scale, halt_left, halted_steps = 1.0, 0, 0
    for t in range(n_steps):
        scale = scale * (1.0 - shares[t])
        is_halted = halt_left > 0
        long_lots, long_notional, short_lots, short_notional = 0, 0.0, 0, 0.0
        if not is_halted:
            g_long = guard_price(close, t, low[t], policy.twap_steps, p0)
            g_short = guard_price(close, t, high[t], policy.twap_steps, p0)
            long_lots, long_notional = force_reached(longs, g_long, scale)
            short_lots, short_notional = force_reached(shorts, g_short, scale)
        sales = orders_of(long_lots, float(policy.adl_share_frac), phi)
        purchases = orders_of(short_lots, float(policy.adl_share_frac), phi)
        n, netted = net_flow(sales, purchases), min(sales.to_sell, purchases.to_sell)
        book_step(longs.flow, "long", long_lots, sales, long_notional, netted, n, n)
        book_step(shorts.flow, "short", short_lots, purchases, short_notional, netted, n, n)
        open_positions(longs, t, scale)
        open_positions(shorts, t, scale)
        if is_halted:
            halt_left -= 1
            halted_steps += 1
        else:
            halt_left = steps_to_halt(close, t, policy, p0)
    end_the_day(longs, scale)
    end_the_day(shorts, scale)
    return PathReplay(policy.name, longs.flow, shorts.flow, halted_steps)


# --- section 6: mode 2 --------------------------------------------------------------------------------------------------


@dataclass
class NoPolicy:
    """Section 2: "Without policy: no cap, depth_scale = 1, no breaker, twap_steps = 1, adl = 0"."""

    name: str = "none"
    leverage_cap_x: None = None
    breaker_move_frac: float = 0.5
    breaker_window_steps: int = 1
    breaker_halt_steps: int = 0
    twap_steps: int = 1
    adl_share_frac: float = 0.0


@dataclass
class Orders:
    """Forced orders along one path: lots of both sides and the net flow, by step."""

    long: list[int]
    short: list[int]
    x: list[int]


def simulated_orders(market: Any, low: list[float], high: list[float], close: list[float]) -> Orders:
    """Return what mode 1 forces on a path, the fuel afresh."""
    replay = path_driven(market, low, high, close, NoPolicy())
    x = [b - a for a, b in zip(replay.long.sold_lots, replay.short.sold_lots, strict=True)]
    return Orders(replay.long.forced_lots, replay.short.forced_lots, x)


def counterfactual(
    market: Any, path: Any, impact: Any, side: str, reported_lots: Any, max_iterations: int, tolerance: float
) -> Counterfactual:
    """Take the impact of forced orders out of the path up to its trough (peak for a squeeze) until nothing moves."""
    p0 = float(market.mark_ticks)
    decay = [float(g) for g in impact.decay]
    bids, asks = book_side(market.bids, 1.0), book_side(market.asks, 1.0)
    low, high, close = ([float(p) for p in row] for row in (path.low_ticks, path.high_ticks, path.close_ticks))
    t_star = low.index(min(low)) if side == "long" else high.index(max(high))  # index() is the first step
    n_steps = t_star + 1
    low, high, close = low[:n_steps], high[:n_steps], close[:n_steps]
    steps = range(n_steps)

    if reported_lots is None:
        orders = simulated_orders(market, low, high, close)
    else:
        sold, bought = ([int(lots) for lots in row[:n_steps]] for row in reported_lots)
        orders = Orders(sold, bought, [b - a for a, b in zip(sold, bought, strict=True)])

    # "W_t once, from the observed closes and x^0"
    w = [float(impact.depth.initial_survival_frac)]
    for t in range(1, n_steps):
        before = at_step(close, t - 2, p0)
        w.append(
            next_survival(impact.depth, w[-1], close[t - 1], before, orders.x[t - 1], float(market.reference_lots))
        )

    def log_move(lows: list[float], highs: list[float]) -> float:
        return math.log((lows if side == "long" else highs)[t_star] / p0)

    r_observed = log_move(low, high)
    has_share = abs(r_observed) >= 0.02
    shares = [0.0]  # "path 0 is the observed one, share 0"
    m_before = [1.0] * n_steps
    i = 0
    while True:
        i += 1
        v = [float(orders.x[t]) / w[t] for t in steps]
        loads = [load_at(decay, v, t) for t in steps]
        m = [factor(load, bids, asks) for load in loads]
        path_low, path_high, path_close = ([row[t] / m[t] for t in steps] for row in (low, high, close))
        if has_share:
            shares.append(1.0 - log_move(path_low, path_high) / r_observed)
        change = max(abs(m[t] / m_before[t] - 1.0) for t in steps)
        is_converged = change <= tolerance or reported_lots is not None
        if is_converged or i == max_iterations:
            break
        orders = simulated_orders(market, path_low, path_high, path_close)
        m_before = m

    last_two = shares[-2:] if reported_lots is None else shares[-1:]
    return Counterfactual(
        orders_origin="simulated" if reported_lots is None else "reported",
        trough_step=t_star,
        observed_log_frac=r_observed,
        endogenous_share_frac=shares[-1] if has_share and is_converged else None,
        share_low_frac=min(last_two) if has_share else None,
        share_high_frac=max(last_two) if has_share else None,
        first_share_frac=shares[1] if has_share else None,
        iterations=i,
        is_converged=is_converged,
        is_exhausted=any(is_beyond(load, bids, asks) for load in loads),
        low_ticks=path_low,
        high_ticks=path_high,
        close_ticks=path_close,
        forced_long_lots=orders.long,
        forced_short_lots=orders.short,
        depth_survival_frac=w,
    )


# --- section 7: mode 3 --------------------------------------------------------------------------------------------------


def free_running(
    market: Any, shock_ticks: Any, impact: Any, policy: Any, n_steps: int, rounds_per_step: int
) -> FreeReplay:
    """Let the market run from its state and the marks of the first steps without forced orders."""
    p0, phi, adl = float(market.mark_ticks), float(market.sold_share_frac), float(policy.adl_share_frac)
    decay, shock = [float(g) for g in impact.decay], [float(e) for e in shock_ticks]
    bids = book_side(market.bids, float(policy.depth_scale_x))
    asks = book_side(market.asks, float(policy.depth_scale_x))
    reference_lots = float(market.reference_lots) * float(policy.depth_scale_x)
    longs = fuel_at_start(market.long_fuel, "long", p0, policy)
    shorts = fuel_at_start(market.short_fuel, "short", p0, policy)
    shares = closing_shares(market, n_steps)
    marks: list[float] = []
    w: list[float] = []
    v: list[float] = []
    x_before = 0
    scale, halt_left, halted_steps, rounds = 1.0, 0, 0, 0
    for t in range(n_steps):
        e = shock[min(t, len(shock) - 1)]
        if t == 0:
            w.append(float(impact.depth.initial_survival_frac))
        else:
            before = at_step(marks, t - 2, p0)
            w.append(next_survival(impact.depth, w[-1], marks[t - 1], before, x_before, reference_lots))
        scale = scale * (1.0 - shares[t])
        history = load_before(decay, v, t)
        mark = max(1.0, e * factor(history, bids, asks))
        x, n = 0, 0
        is_halted = halt_left > 0
        long_lots, long_notional, short_lots, short_notional = 0, 0.0, 0, 0.0
        sales = purchases = orders_of(0, adl, phi)
        for _ in range(0 if is_halted else rounds_per_step):
            guard = guard_price(marks, t, mark, policy.twap_steps, p0)
            new_long, notional = force_reached(longs, guard, scale)
            long_lots, long_notional = long_lots + new_long, long_notional + notional
            new_short, notional = force_reached(shorts, guard, scale)
            short_lots, short_notional = short_lots + new_short, short_notional + notional
            if new_long + new_short == 0:
                break
            rounds += 1
            sales, purchases = orders_of(long_lots, adl, phi), orders_of(short_lots, adl, phi)
            n = net_flow(sales, purchases)
            x = traded(n, w[t], history, bids, asks)
            mark = max(1.0, e * factor(history + float(x) / w[t], bids, asks))
        netted = min(sales.to_sell, purchases.to_sell)
        book_step(longs.flow, "long", long_lots, sales, long_notional, netted, n, x)
        book_step(shorts.flow, "short", short_lots, purchases, short_notional, netted, n, x)
        v.append(float(x) / w[t])
        marks.append(mark)
        x_before = x
        open_positions(longs, t, scale)
        open_positions(shorts, t, scale)
        if is_halted:
            halt_left -= 1
            halted_steps += 1
        else:
            halt_left = steps_to_halt(marks, t, policy, p0)
    end_the_day(longs, scale)
    end_the_day(shorts, scale)
    forcing = [t for t in range(n_steps) if longs.flow.forced_lots[t] + shorts.flow.forced_lots[t] > 0]
    return FreeReplay(
        policy=policy.name,
        long=longs.flow,
        short=shorts.flow,
        mark_ticks=marks,
        depth_survival_frac=w,
        trough_ticks=min(marks),
        trough_step=marks.index(min(marks)),
        peak_ticks=max(marks),
        peak_step=marks.index(max(marks)),
        duration_steps=forcing[-1] - forcing[0] + 1 if forcing else 0,
        rounds=rounds,
        halted_steps=halted_steps,
        is_exhausted=sum(longs.flow.unabsorbed_lots) + sum(shorts.flow.unabsorbed_lots) > 0,
    )


def traded(n: int, w: float, history: float, bids: BookSide, asks: BookSide) -> int:
    """Return ``x_t``: the net flow, capped at the room that the load of earlier steps leaves in the book."""
    if n < 0:
        room = math.floor(max(0.0, w * (float(bids.c[-1]) + history)))
        return -min(-n, room)
    if n > 0:
        room = math.floor(max(0.0, w * (float(asks.c[-1]) - history)))
        return min(n, room)
    return 0
