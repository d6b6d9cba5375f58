"""A naive numpy version of the dynamic replay: every step scans every bin, every load sums its whole past.

Belongs here: sections 3 to 8 of docs/cascade_dynamic.md, one plain function each. Does not: compiled code, cursors, packing,
validation. Slow on purpose; the product is held to it bit for bit, and the benchmark is timed against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from assets.cascade.dynamic import BASELINE, Book, DayMarket, DayPath, Impact, Policy, SideFuel


def total(values) -> float:
    """Sum from left to right; numpy's own sum goes pairwise."""
    return float(np.add.accumulate(np.concatenate([[0.0], values]))[-1])


@dataclass
class Side:
    """Live bins of one side in their order, and what became of their lots."""

    is_long: bool
    trigger: np.ndarray
    lots: np.ndarray
    openings: list[tuple[int, int, int]]
    dropped: int = 0
    scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    initial: int = 0
    opened: int = 0
    excluded: int = 0
    forced: int = 0
    closed: int = 0
    remaining: int = 0

    def reached(self, price: float) -> np.ndarray:
        return self.trigger >= price if self.is_long else self.trigger <= price

    def live(self, which, day_scale: float) -> np.ndarray:
        return np.floor(self.lots[which] * (day_scale / self.scale[which])).astype(np.int64)

    def fire(self, price: float, day_scale: float) -> tuple[int, float]:
        hit = np.flatnonzero(self.reached(price) & (self.lots > 0))
        if not hit.size:
            return 0, 0.0
        live = self.live(hit, day_scale)
        self.closed += int((self.lots[hit] - live).sum())
        self.lots[hit] = 0
        self.forced += int(live.sum())
        return int(live.sum()), total(self.trigger[hit] * live)

    def open(self, step: int, day_scale: float) -> None:
        for at, k, lots in self.openings:
            if at == step:
                left = int(self.live([k], day_scale)[0])
                self.closed += int(self.lots[k]) - left
                self.lots[k] = left + lots
                self.scale[k] = day_scale
                self.opened += lots

    def end(self, day_scale: float) -> None:
        live = self.live(slice(None), day_scale)
        self.remaining = int(live.sum())
        self.closed += int((self.lots - live).sum())


def start_side(fuel: SideFuel, is_long: bool, mark: float, policy: Policy) -> Side:
    """Sections 8 (cap) and 3 (exclusion), bins in their order."""
    d = 1.0 if is_long else -1.0
    trigger = [float(x) for x in fuel.trigger_ticks]
    lots = [int(x) for x in fuel.quantity_lots]
    opened = [int(x) for x in fuel.openings.lots]
    initial, dropped, dropped_open = sum(lots), 0, 0
    cap = policy.leverage_cap_x
    if cap is not None:
        for k, leverage in enumerate(fuel.leverage_x):
            if leverage > cap:
                moved = trigger[k] * ((1.0 - d / cap) / (1.0 - d / float(leverage)))
                if policy.cap_rule == "move" and moved > 0:
                    trigger[k] = moved
                    continue
                dropped += lots[k]
                lots[k] = 0
                for i, place in enumerate(fuel.openings.bin):
                    if place == k:
                        dropped_open += opened[i]
                        opened[i] = 0
    order = sorted(range(len(lots)), key=lambda k: -d * trigger[k])  # stable: equal prices keep the caller's order
    places = {k: i for i, k in enumerate(order)}
    rows = [
        (int(step), places[int(k)], n) for step, k, n in zip(fuel.openings.step, fuel.openings.bin, opened, strict=True)
    ]
    side = Side(
        is_long,
        np.array([trigger[k] for k in order], dtype=float),
        np.array([lots[k] for k in order], dtype=np.int64),
        rows,
        dropped=dropped + dropped_open,
        scale=np.ones(len(order)),
        initial=initial,
        opened=dropped_open,
    )
    past = side.reached(mark)
    side.excluded = int(side.lots[past].sum())
    side.lots[past] = 0
    return side


def split(forced: tuple[int, int], phi: float, adl_share: float) -> tuple[list[list[int]], int]:
    """Section 4: per side [adl, not sold, netted], and the net flow."""
    rows, to_sell = [], []
    for lots in forced:
        adl = math.floor(adl_share * lots)
        sells = math.floor(phi * (lots - adl))
        rows.append([adl, lots - adl - sells])
        to_sell.append(sells)
    netted = min(to_sell)
    return [[*row, netted] for row in rows], to_sell[1] - to_sell[0]


class Replay:
    """State of one replay shared by the modes: sides, day scale, halts, flows per step."""

    def __init__(self, market: DayMarket, policy: Policy, n_steps: int) -> None:
        self.market, self.policy = market, policy
        self.long = start_side(market.long_fuel, True, market.mark_ticks, policy)
        self.short = start_side(market.short_fuel, False, market.mark_ticks, policy)
        self.closure = np.zeros(n_steps) if market.closure_frac is None else market.closure_frac
        self.day_scale, self.to_halt, self.halted = 1.0, 0, 0
        # columns: forced, sold, netted, adl, not sold, unabsorbed
        self.flows = np.zeros((2, n_steps, 6), dtype=np.int64)
        self.notional = np.zeros((2, n_steps))

    def begin(self, t: int) -> bool:
        """Close the step's share; say whether the step triggers."""
        self.day_scale = self.day_scale * (1.0 - float(self.closure[t]))
        if self.to_halt:
            self.to_halt -= 1
            self.halted += 1
            return False
        return True

    def fire(self, t: int, low: float, high: float) -> int:
        lots = 0
        for row, side, price in ((0, self.long, low), (1, self.short, high)):
            forced, notional = side.fire(price, self.day_scale)
            self.flows[row, t, 0] += forced
            self.notional[row, t] += notional
            lots += forced
        return lots

    def settle(self, t: int, rooms=None) -> int:
        """Write the parts of the step's forced lots; return the flow that the book took."""
        forced = (int(self.flows[0, t, 0]), int(self.flows[1, t, 0]))
        parts, net = split(forced, self.market.sold_share_frac, self.policy.adl_share_frac)
        taken = net
        if rooms is not None:
            taken = -min(-net, rooms[0]) if net < 0 else min(net, rooms[1])
        for row, sign in ((0, -1), (1, 1)):
            sold, wanted = max(0, sign * taken), max(0, sign * net)
            adl, not_sold, netted = parts[row]
            self.flows[row, t, 1:] = sold, netted, adl, not_sold, wanted - sold
        return taken

    def end(self, t: int, closes) -> None:
        """Breaker after a step that was not halted."""
        p = self.policy
        if p.breaker_halt_steps:
            ref = closes[t - p.breaker_window_steps] if t >= p.breaker_window_steps else self.market.mark_ticks
            if closes[t] <= ref * (1.0 - p.breaker_move_frac) or closes[t] >= ref * (1.0 + p.breaker_move_frac):
                self.to_halt = p.breaker_halt_steps

    def guard(self, closes, t: int, latest: float) -> float:
        n = self.policy.twap_steps
        past = [closes[u] if u >= 0 else self.market.mark_ticks for u in range(t - n + 1, t)]
        return total([*past, latest]) / n

    def finish(self) -> None:
        self.long.end(self.day_scale)
        self.short.end(self.day_scale)


def naive_path(market: DayMarket, path: DayPath, policy: Policy = BASELINE) -> Replay:
    """Mode 1."""
    closes = path.close_ticks
    day = Replay(market, policy, len(closes))
    for t in range(len(closes)):
        if day.begin(t):
            low = day.guard(closes, t, path.low_ticks[t])
            high = day.guard(closes, t, path.high_ticks[t])
            if day.fire(t, low, high):
                day.settle(t)
            day.end(t, closes)
        day.long.open(t, day.day_scale)
        day.short.open(t, day.day_scale)
    day.finish()
    return day


def scaled(book: Book, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return relative prices and cumulative lots as floats."""
    return np.asarray(book.relative_price, dtype=float), np.floor(np.asarray(book.cumulative_lots, dtype=float) * scale)


def factor(bids, asks, load: float) -> float:
    """Section 5: m(L)."""
    if load == 0:
        return 1.0
    price, lots = bids if load < 0 else asks
    y = abs(load)
    for j in range(len(lots)):
        if y <= lots[j]:
            c, r = (lots[j - 1], price[j - 1]) if j else (0.0, 1.0)
            return float(r + (price[j] - r) * ((y - c) / (lots[j] - c)))
    return float(price[-1])


def next_survival(impact: Impact, w: float, close: float, before: float, x: int, reference: float) -> float:
    """Section 5: W of the next step."""
    p = impact.depth
    rho = abs(close / before - 1.0)
    hit = p.return_sensitivity_x * rho + p.flow_sensitivity_x * (abs(x) / reference)
    rec = 1.0 - (1.0 - w) * 0.5 ** (1.0 / p.half_life_steps)
    return max(p.least_survival_frac, rec / (1.0 + hit))


def load_at(impact: Impact, v: list[float], t: int) -> float:
    """Sum of G[t-u] v_u over the given past, ascending."""
    out = 0.0
    for u, lots in enumerate(v):
        out = out + float(impact.decay[t - u]) * lots
    return out


@dataclass
class NaiveFree:
    """Mode 3."""

    day: Replay
    marks: list[float]
    survivals: list[float]
    rounds: int


def naive_free(
    market: DayMarket, shock, impact: Impact, policy: Policy = BASELINE, *, n_steps: int, rounds_per_step: int = 60
) -> NaiveFree:
    """Mode 3, rounds and all."""
    bids, asks = scaled(market.bids, policy.depth_scale_x), scaled(market.asks, policy.depth_scale_x)
    reference = float(market.reference_lots) * policy.depth_scale_x
    day = Replay(market, policy, n_steps)
    marks, survivals, v, x, rounds = [], [], [], [], 0
    for t in range(n_steps):
        if t == 0:
            w = impact.depth.initial_survival_frac
        else:
            before = marks[t - 2] if t >= 2 else market.mark_ticks
            w = next_survival(impact, survivals[-1], marks[-1], before, x[-1], reference)
        survivals.append(w)
        triggers = day.begin(t)
        e = float(shock[min(t, len(shock) - 1)])
        h = load_at(impact, v, t)
        mark, taken = max(1.0, e * factor(bids, asks, h)), 0
        if triggers:
            rooms = (math.floor(max(0.0, w * (bids[1][-1] + h))), math.floor(max(0.0, w * (asks[1][-1] - h))))
            for _ in range(rounds_per_step):
                price = day.guard(marks, t, mark)
                if not day.fire(t, price, price):
                    break
                rounds += 1
                taken = day.settle(t, rooms)
                mark = max(1.0, e * factor(bids, asks, h + taken / w))
        marks.append(mark)
        x.append(taken)
        v.append(taken / w)
        if triggers:
            day.end(t, marks)
        day.long.open(t, day.day_scale)
        day.short.open(t, day.day_scale)
    day.finish()
    return NaiveFree(day, marks, survivals, rounds)


@dataclass
class NaiveCounterfactual:
    """Mode 2."""

    trough: int
    shares: list[float] | None
    iterations: int
    is_converged: bool
    is_exhausted: bool
    path: DayPath
    forced: np.ndarray
    survivals: list[float]


def naive_counterfactual(
    market: DayMarket, path: DayPath, impact: Impact, *, side="long", reported=None, max_iterations=32, tolerance=1e-4
) -> NaiveCounterfactual:
    """Mode 2: shares of path 0, 1, 2, ... up to the last."""
    prices = list(path.low_ticks) if side == "long" else [-x for x in path.high_ticks]
    trough = prices.index(min(prices))
    n = trough + 1
    observed = np.stack([path.low_ticks[:n], path.high_ticks[:n], path.close_ticks[:n]])
    closure = None if market.closure_frac is None else market.closure_frac[:n]
    bids, asks = scaled(market.bids, 1.0), scaled(market.asks, 1.0)

    def flow(low, high, close):
        if reported is not None:
            return np.asarray(reported)[:, :n], [int(b - a) for a, b in zip(*np.asarray(reported)[:, :n], strict=True)]
        day = naive_path(replace(market, closure_frac=closure), DayPath(low, high, close))
        return day.flows[:, :, 0], [int(b - a) for a, b in zip(day.flows[0, :, 1], day.flows[1, :, 1], strict=True)]

    forced, x = flow(*observed)
    w = [impact.depth.initial_survival_frac]
    for t in range(1, n):
        before = observed[2][t - 2] if t >= 2 else market.mark_ticks
        w.append(next_survival(impact, w[-1], observed[2][t - 1], before, x[t - 1], float(market.reference_lots)))
    m = np.ones(n)
    row = 0 if side == "long" else 1
    at_trough = [float(observed[row, trough])]
    for i in range(1, max_iterations + 1):
        v = [lots / survival for lots, survival in zip(x, w, strict=True)]
        loads = [load_at(impact, v[: t + 1], t) for t in range(n)]
        new = np.array([factor(bids, asks, load) for load in loads])
        lifted = observed / new
        at_trough.append(float(lifted[row, trough]))
        change = max(abs(a / b - 1.0) for a, b in zip(new, m, strict=True))
        m = new
        done = change <= tolerance or reported is not None
        if done or i == max_iterations:
            break
        forced, x = flow(*lifted)
    whole = math.log(at_trough[0] / market.mark_ticks)
    shares = None
    if abs(whole) >= 0.02:
        shares = [1.0 - math.log(p / market.mark_ticks) / whole for p in at_trough]
    exhausted = any(-load > bids[1][-1] or load > asks[1][-1] for load in loads)
    return NaiveCounterfactual(trough, shares, i, done, exhausted, DayPath(*lifted), forced, w)
