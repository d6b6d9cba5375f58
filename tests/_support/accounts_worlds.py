"""Seeded random worlds of accounts with several positions, made so that each awkward clause of the page is met often.

Belongs here: the generator, the awkward features that a cell turned out to have, and the shrinking of a case on which two
replays part. Does not: the rules (``accounts_oracle.py``) and anything of ``assets.cascade``.

A world is built along one planned scenario: at the marks of each round, accounts are made that fail there for the first time,
their orders move the marks, and the next ones are made (`_Maker.planned_accounts`). Around them stand accounts on the brink of some
mark, to the last bit and one beyond, accounts out of date, empty and random ones. Other scenarios and a path then visit the
same world from other sides. One cell is one scenario, or one step of the path.

Families: ``even`` (small dyadic figures: every operation is exact, so that ties and equalities are met), ``rough`` (any
floats), ``extreme`` (magnitudes up to the bounds of the domain), ``wide`` (more than 64 assets), ``crowd`` (more than 64
accounts, at times more than 64 scenarios).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from random import Random

from accounts_oracle import (
    Account,
    Position,
    Rounds,
    Row,
    World,
    equity,
    excluded_accounts,
    maintenance,
    shocked_prices,
    state_of,
)

LARGEST_COLLATERAL = 2.0**106
PRICE_RANGE = (2.0**-53, 2.0**53)


@dataclass(frozen=True)
class Case:
    """A world with the scenarios (shocks per asset, w) and the path (prices per step and asset, one w) to replay in it."""

    world: World
    scenarios: list[tuple[list[float], float]]
    path: list[list[float]]
    path_w: float

    @property
    def n_cells(self) -> int:
        """Return scenarios plus steps."""
        return len(self.scenarios) + len(self.path)


def random_case(rng: Random, family: str) -> Case:
    """Return a world of the family with its scenarios and path."""
    return _Maker(rng, family).case()


class _Maker:
    """Draws one case; holds the random stream, the family and the assets drawn so far."""

    def __init__(self, rng: Random, family: str) -> None:
        self.rng, self.family = rng, family
        n_assets = {"wide": rng.choice((65, 65, 66, 80, 140)), "crowd": rng.randint(2, 4)}.get(
            family, rng.choice((1, 2, 2, 3, 4, 6))
        )
        self.most_lots = {"even": 12, "rough": rng.choice((5, 1000, 10**6)), "extreme": 2 ** rng.randint(1, 42)}.get(
            family, rng.choice((12, 500))
        )
        # Positions of a wide world meet on few assets (on both sides of the 64th), or no cascade would ever start.
        self.held = list(range(n_assets))
        if family == "wide":
            self.held = sorted({0, 63, 64, n_assets - 1, *rng.sample(range(n_assets), 2)})
        self.w = self.survival()
        self.is_plain = rng.random() < 0.3  # planned accounts hold one position each: long chains
        self.marks = [self.price() for _ in range(n_assets)]
        self.bids = [self.book(-1) if a in self.held else [Row(1.0, 1)] for a in range(n_assets)]
        self.asks = [self.book(1) if a in self.held else [Row(1.0, 1)] for a in range(n_assets)]
        self.world = World(self.marks, self.bids, self.asks, [])

    # Figures

    def draws_even(self) -> bool:
        """Say whether the next figure is a small dyadic one; by chance outside of ``even`` and ``extreme``."""
        return self.family == "even" or (self.family != "extreme" and self.rng.random() < 0.3)

    def price(self) -> float:
        if self.family == "extreme":
            return self.rng.choice((*PRICE_RANGE, math.ldexp(self.rng.uniform(0.5, 1.0), self.rng.randint(-52, 53))))
        if self.draws_even():
            return float(64 * self.rng.randint(1, 64))
        return self.rng.uniform(0.5, 10.0 ** self.rng.randint(0, 5))

    def book(self, direction: int) -> list[Row]:
        """Draw a side; ties in price and in lots, rows without lots, short books and deep ones."""
        rng = self.rng
        steps = sorted(
            rng.choices(
                range(rng.choice((2, 24, 62))), k=rng.choice((1, 4, 16, 24, 64 if self.family == "crowd" else 24))
            )
        )
        even = self.draws_even()
        per_row = max(1, self.most_lots * rng.choice((1, 2, 8)) // rng.choice((1, 2, 4)))
        if rng.random() < 0.8:  # deep enough that the planned share of it still is a book
            per_row = min(2**46, math.ceil(per_row / self.w))
            if self.w < 1.0 and rng.random() < 0.4:
                per_row = 100 * math.ceil(per_row / 100)
        lots = rng.choice((0, 0, per_row))
        is_regular = rng.random() < 0.3  # a uniform book: with accounts of about one row's lots it is near-critical
        rows, move = [], 0.0
        for step in steps:
            move = step / 64 if even else max(move, min(0.99, (step + rng.random()) / 64 * rng.choice((0.1, 1.0))))
            lots += per_row if is_regular else rng.choice((0, rng.randint(0, per_row)))
            rows.append(Row(1.0 + direction * move, lots))
        return rows if lots > 0 else [*rows[:-1], Row(rows[-1].relative_price, 1)]

    def rate(self) -> float:
        rng = self.rng
        if self.draws_even():
            return rng.choice((0.0, 1.0, 1 / 64, 2 / 64, 8 / 64, 16 / 64))
        return rng.choice((0.0, 0.005, 0.0125, 0.05, 0.25, 1.0, rng.random(), rng.random() / 50))

    def survival(self) -> float:
        """Draw w: often whole, often so that its products with whole hundreds miss the whole number by a bit."""
        rng = self.rng
        awkward = rng.choice((0.29, 0.57, 0.58, math.nextafter(1.0, 0.0)))
        return rng.choice((1.0, 1.0, 1.0, 0.5, 0.1, 0.01, awkward, rng.uniform(0.01, 1.0)))

    def shock(self, asset: int) -> float:
        """Draw a shock that is not 0, at times exactly on a row of the book."""
        rng = self.rng
        book = rng.choice((self.bids, self.bids, self.asks))[asset]
        on_row = rng.choice(book).relative_price - 1.0
        if rng.random() < 0.4 and on_row not in (-1.0, 0.0):
            return on_row
        if rng.random() < 0.03:
            return rng.choice((10.0, math.nextafter(-1.0, 0.0)))
        if self.draws_even():
            return rng.choice((-1, -2, -4, -8, -16, -32, 1, 4, 16, 64)) / 64
        return rng.choice(
            (-rng.random() / 50, -rng.random() / 4, -rng.random() / 4, rng.random() / 4, rng.uniform(-0.999, 10))
        )

    def shocks(self) -> list[float]:
        """Draw shocks of some assets; the others are left alone."""
        rng = self.rng
        found = [0.0 for _ in self.marks]
        for asset in rng.sample(self.held, rng.randint(1, min(2, len(self.held)))):
            found[asset] = self.shock(asset)
        if rng.random() < 0.1:
            found = [self.shock(a) for a in range(len(found))]
        return found

    # Accounts

    def positions(self) -> tuple[Position, ...]:
        """Draw positions: both signs, several in one asset, deposits and debts in coin (entry 0), at times zero lots."""
        rng = self.rng
        found = []
        n_positions = rng.choice((1, 1, 2, 2, 3, 4))
        if self.family != "extreme" and rng.random() < 0.02:
            n_positions = rng.choice((9, 33, 70))
        for _ in range(n_positions):
            asset = rng.choice(self.held)
            lots = rng.choice((0, 1, rng.randint(1, self.most_lots), rng.randint(1, self.most_lots)))
            lots = rng.choice((1, 1, -1)) * lots
            found.append(Position(asset, lots, self.entry(asset), self.rate()))
        if rng.random() < 0.15:  # a hedge within one asset: what is left of the sums is mostly their rounding
            asset, lots, entry, rate = rng.choice(found)
            large = lots * rng.choice((1, 1000)) if self.family == "rough" else lots
            found = [
                Position(asset, large, entry, rate),
                Position(asset, rng.choice((0, 0, 1)) - large, entry, rng.choice((0.0, rate))),
            ]
        return tuple(found)

    def entry(self, asset: int) -> float:
        """Draw an entry price: the mark, near it, or 0 (a deposit, a debt in coin)."""
        rng, p0 = self.rng, self.marks[asset]
        if not self.draws_even() and rng.random() < 0.5:
            return min(2.0**53, p0 * rng.uniform(0.7, 1.3))
        return rng.choice((0.0, p0, p0, min(2.0**53, p0 * rng.randint(32, 96) / 64)))

    def losing_positions(self, seen: list[list[float]], flow: list[int], w: float) -> tuple[Position, ...]:
        """Draw positions that lost in the last move, one of them of a size that just reaches another row of its book."""
        rng = self.rng
        moved = [a for a in self.held if seen[-1][a] != seen[-2][a]]
        if not moved:
            return self.positions()
        if rng.random() < 0.7 and (squeezed := self.squeezed_positions(seen)):
            return squeezed
        if self.is_plain:
            asset = rng.choice(moved)
            lots = self.fitted(asset, flow[asset], w, 1 if seen[-1][asset] < seen[-2][asset] else -1)
            return (Position(asset, lots, self.entry(asset), self.rate()),)
        found = list(self.positions()[: rng.choice((0, 0, 1, 2))])
        for asset in rng.choices(moved, k=rng.choice((1, 1, 2))):
            sign = 1 if seen[-1][asset] < seen[-2][asset] else -1
            lots = sign * rng.randint(1, self.most_lots)
            if rng.random() < 0.8:
                lots = self.fitted(asset, flow[asset], w, sign)
            found.append(Position(asset, lots, self.entry(asset), self.rate()))
        standing = [a for a in self.held if flow[a]]
        if standing and rng.random() < 0.6:  # a leg whose closing takes forced flow out of a book again
            asset = rng.choice(standing)
            lots = (
                -flow[asset] if rng.random() < 0.5 else -int(math.copysign(rng.randint(1, self.most_lots), flow[asset]))
            )
            found.append(Position(asset, lots, self.entry(asset), self.rate()))
        rng.shuffle(found)
        return tuple(found)

    def squeezed_positions(self, seen: list[list[float]]) -> tuple[Position, ...]:
        """Draw a short of an asset that fell and just rose, hedged by a long of one that fell on; none where none did."""
        rng, first, last = self.rng, seen[1], seen[-1]
        rose = [a for a in self.held if last[a] > seen[-2][a] < first[a]]
        fell = [a for a in self.held if last[a] < first[a] and a not in rose]
        if not rose or not fell:
            return ()
        short, long = rng.choice(rose), rng.choice(fell)
        lots = rng.randint(1, self.most_lots)
        gain = lots * max(0.0, first[short] - last[short])
        cover = 1 + math.ceil(min(8.0 * self.most_lots, gain / (first[long] - last[long])))
        return (
            Position(long, cover, self.entry(long), self.rate()),
            Position(short, -lots, self.entry(short), rng.choice((0.0, self.rate()))),
        )

    def fitted(self, asset: int, flow: int, w: float, sign: int) -> int:
        """Return lots of that sign which bring the flow exactly to what some row absorbs, or to one lot more."""
        targets = [math.floor(w * row.cumulative_lots) for row in self.bids[asset]]
        targets += [-math.floor(w * row.cumulative_lots) for row in self.asks[asset]]
        reach = [t - flow for t in targets if 0 < sign * (t - flow) <= 8 * self.most_lots]
        if not reach:
            return sign
        near = min(reach, key=abs) if self.rng.random() < 0.8 else self.rng.choice(reach)
        return near + sign * self.rng.choice((0, 1))

    def nudged(self, value: float) -> float:
        """Return the value, or one of its nearest neighbours, within the domain."""
        value = max(-LARGEST_COLLATERAL, min(LARGEST_COLLATERAL, value))
        return self.rng.choice((value, value, math.nextafter(value, -math.inf), math.nextafter(value, 0.0)))

    def planned_accounts(
        self, shock: Sequence[float], w: float, n_rounds: int
    ) -> tuple[list[Account], list[list[float]]]:
        """Make accounts so that in every round one fails that lived so far; return them and the marks seen, `p0` first."""
        prices = shocked_prices(self.world, shock)
        flow = [0 for _ in self.marks]
        seen = [self.marks, prices]
        accounts: list[Account] = []
        for _ in range(n_rounds):
            for _attempt in range(16):
                victim = self.victim(self.losing_positions(seen, flow, w), seen)
                if victim is None:
                    continue
                after = list(flow)
                for position in victim.positions:
                    after[position.asset] += position.quantity_lots
                marks = state_of(self.world, prices, after, w).marks
                if marks != seen[-1]:
                    break
            else:
                return accounts, seen
            accounts.append(victim)
            flow = after
            seen.append(marks)
        return accounts, seen

    def victim(self, positions: tuple[Position, ...], seen: list[list[float]]) -> Account | None:
        """Make an account of these positions that fails at the last of the marks and at none before; None where none can."""
        needed = [_needed(positions, marks) for marks in seen]
        before, now = max(needed[:-1]), needed[-1]
        if not -LARGEST_COLLATERAL <= before < now <= LARGEST_COLLATERAL:
            return None
        return Account(self.rng.choice((before, math.nextafter(now, -math.inf), *[(before + now) / 2] * 8)), positions)

    def survivor(self, seen: list[list[float]]) -> Account:
        """Make an account that lives through all these marks, at times by a hair."""
        positions = self.positions()
        needed = max(_needed(positions, marks) for marks in seen)
        spare = self.rng.choice((0.0, self.rng.random() * abs(needed)))
        return Account(min(LARGEST_COLLATERAL, needed + spare), positions)

    def account_on_the_brink(self, shock: Sequence[float], seen: list[list[float]]) -> Account:
        """Make an account that sits at its maintenance margin where the marks are some that a replay may visit."""
        rng = self.rng
        positions = self.positions()
        marks = list(rng.choice(seen))
        prices = shocked_prices(self.world, _scaled(shock, rng.choice((1.0, 1.0, -1.0))))
        for asset in {p.asset for p in positions}:
            if rng.random() < 0.5:
                row = rng.choice(rng.choice((self.bids, self.asks))[asset])
                marks[asset] = prices[asset] * row.relative_price
        needed = _needed(positions, marks)
        if rng.random() < 0.9:  # up to date
            needed = max(needed, _needed(positions, self.marks))
        return Account(self.nudged(needed), positions)

    def other_account(self) -> Account:
        """Make an account that is out of date, just up to date, empty, or at any distance."""
        rng = self.rng
        if rng.random() < 0.15:
            return Account(rng.choice((0.0, -1.0, 5.0)), ())
        positions = self.positions()
        needed = _needed(positions, self.marks)
        size = sum(abs(p.quantity_lots) * self.marks[p.asset] for p in positions)
        distance = rng.choice((0.0, 0.0, -rng.random() * size / 8, rng.random() * size, rng.random() * size / 8))
        return Account(self.nudged(needed + distance), positions)

    # The case

    def case(self) -> Case:
        rng = self.rng
        shock, w = self.shocks(), self.w
        n_accounts = rng.randint(65, 260) if self.family == "crowd" and rng.random() < 0.4 else rng.randint(2, 24)
        accounts, seen = self.planned_accounts(shock, w, rng.choice((3, 8, 20)) if n_accounts < 65 else n_accounts // 3)
        is_kept = rng.random() < (0.7 if self.family == "crowd" else 0.5)  # nobody spoils the planned chain
        while len(accounts) < n_accounts:
            if is_kept or rng.random() < 0.3:
                accounts.append(self.survivor(seen))
            else:
                accounts.append(self.account_on_the_brink(shock, seen) if rng.random() < 0.6 else self.other_account())
        if rng.random() < 0.3:
            accounts += rng.choices(accounts, k=2)  # twins fail together
        rng.shuffle(accounts)
        world = replace(self.world, accounts=accounts)
        scenarios = [(shock, w)]
        n_scenarios = rng.randint(1, 10)
        if self.family == "wide":  # preparing so many books costs more than replaying them
            n_scenarios = rng.randint(8, 24)
        if self.family == "crowd" and rng.random() < 0.1:
            n_scenarios = rng.randint(65, 140)
        while len(scenarios) < n_scenarios:
            share = rng.choice((0.5, 1.0, 1.0, 1.0, rng.uniform(0.8, 1.2), 0.0 if rng.random() < 0.2 else 1.0))
            scenarios.append((rng.choice((_scaled(shock, share), self.shocks())), rng.choice((w, w, self.survival()))))
        if rng.random() < 0.05:
            scenarios.append((shock, 10.0 ** -rng.uniform(2, 300)))  # hardly a book
        rng.shuffle(scenarios)
        path_w = rng.choice((w, self.survival()))
        return Case(
            world, scenarios, self.path(shock, rng.choice((1, 2, 4, 8, 24 if rng.random() < 0.2 else 3))), path_w
        )

    def path(self, shock: Sequence[float], n_steps: int) -> list[list[float]]:
        """Draw prices that fall, come back, overshoot and at times start anywhere."""
        rng = self.rng
        steps = []
        for _ in range(n_steps):
            anchor = rng.choice((shock, shock, [0.0 for _ in shock], _scaled(shock, -1.0), self.shocks()))
            share = rng.choice((0.25, 0.5, 1.0, 1.0, 1.5))
            moved = shocked_prices(self.world, _scaled(anchor, share))
            if steps and rng.random() < 0.3:  # only some assets move on
                moved = [rng.choice(pair) for pair in zip(steps[-1], moved, strict=True)]
            steps.append([max(PRICE_RANGE[0], min(PRICE_RANGE[1], price)) for price in moved])
        return steps


def _scaled(shock: Sequence[float], share: float) -> list[float]:
    """Return that share of the shock (negative: the other way), within the domain."""
    return [max(-0.9999, min(10.0, s * share)) for s in shock]


def _needed(positions: tuple[Position, ...], marks: Sequence[float]) -> float:
    """Return the collateral at which equity meets maintenance, up to rounding (exact in the even family)."""
    bare = Account(0.0, positions)
    return maintenance(bare, marks) - equity(bare, marks)


# What a cell turned out to be ------------------------------------------------------------------------------------------


def features(world: World, done: Rounds, prices: Sequence[float], dead_before: set[int]) -> list[str]:
    """Return the names of the awkward things that happened in a cell (its rounds, at the exogenous `prices`)."""
    found = []
    marks = [state.marks for state in done.states]
    assets = range(len(prices))
    columns = [[m[a] for m in marks] for a in assets]
    died = [i for dead in done.deaths for i in dead]
    held = [[p for p in world.accounts[i].positions if p.quantity_lots] for i in died]
    out = excluded_accounts(world)

    def note(name: str, is_so: bool) -> None:
        if is_so:
            found.append(name)

    note("liquidation", bool(died))
    note("chain of 3 rounds", len(done.deaths) >= 3)
    note("chain of 15 rounds", len(done.deaths) >= 15)
    note("chain of 6 rounds", len(done.deaths) >= 6)
    note("rebound by forced orders", any(_turns(column) for column in columns))
    note("death on a rebound", any(_dies_on_a_rebound(world, done, columns, r) for r in range(1, len(done.deaths))))
    note("exhausted", any(any(state.exhausted) for state in done.states))
    note("exhausted and recovered", any(_recovers([state.exhausted[a] for state in done.states]) for a in assets))
    note("asks exhausted", any(s.exhausted[a] and s.marks[a] > prices[a] for s in done.states for a in assets))
    note("netted", any(done.netted_lots))
    note("bad debt", bool(done.bad_debts))
    note("excluded account", bool(out))
    note("negative collateral liquidated", any(world.accounts[i].collateral_ticklots < 0 for i in died))
    note("hedged account liquidated", any(len({p.quantity_lots > 0 for p in ps}) == 2 for ps in held))
    note("two positions of one asset liquidated", any(len({p.asset for p in ps}) < len(ps) for ps in held))
    note("zero lots liquidated", any(p.quantity_lots == 0 for i in died for p in world.accounts[i].positions))
    note("shorts bought back", any(done.forced_purchase_lots))
    note("asset beyond the 64th liquidated", any(p.asset >= 64 for ps in held for p in ps))
    note("other asset forced", any(done.forced_sale_lots[a] and prices[a] == world.mark_ticks[a] for a in assets))
    shocked = [a for a in assets if prices[a] != world.mark_ticks[a]]
    note("shock on a book row", any(_is_on_a_row(world, a, prices[a]) for a in shocked))
    found += sorted(_close_calls(world, done, out | dead_before))
    return found


def _is_on_a_row(world: World, asset: int, price: float) -> bool:
    """Say whether the price is that of a row of the book that hangs from the reference mark."""
    return any(price == world.mark_ticks[asset] * row.relative_price for row in world.bids[asset] + world.asks[asset])


def _turns(column: list[float]) -> bool:
    """Say whether the mark moved both ways."""
    moves = [later - earlier for earlier, later in pairwise(column)]
    return any(m < 0 for m in moves) and any(m > 0 for m in moves)


def _dies_on_a_rebound(world: World, done: Rounds, columns: list[list[float]], r: int) -> bool:
    """Say whether a short died in round `r` (from 0) where its asset had fallen in a round before and has just risen."""
    return any(
        p.quantity_lots < 0
        and columns[p.asset][r] > columns[p.asset][r - 1]
        and min(columns[p.asset][:r]) < columns[p.asset][0]
        for i in done.deaths[r]
        for p in world.accounts[i].positions
    )


def _recovers(exhausted: list[bool]) -> bool:
    """Say whether a book was exhausted and in the next state no more."""
    return any(earlier and not later for earlier, later in pairwise(exhausted))


def _close_calls(world: World, done: Rounds, gone: set[int]) -> set[str]:
    """Return which close calls a living account had: equality, or a verdict that exact arithmetic would turn."""
    gone, found = set(gone), set()
    for number, state in enumerate(done.states):
        for i, account in enumerate(world.accounts):
            if i in gone or not account.positions:
                continue
            has, needs = equity(account, state.marks), maintenance(account, state.marks)
            if has == needs > 0:
                found.add("survivor at equality")
            if "rounding decides" in found:  # exact arithmetic is slow, and once is enough
                continue
            size = abs(account.collateral_ticklots)
            size += sum(abs(p.quantity_lots) * max(p.entry_ticks, state.marks[p.asset]) for p in account.positions)
            if abs(has - needs) <= 1e-12 * size and (has < needs) != _fails_exactly(account, state.marks):
                found.add("rounding decides")
        if number < len(done.deaths):
            gone.update(done.deaths[number])
    return found


def _fails_exactly(account: Account, marks: Sequence[float]) -> bool:
    """Say whether the account is below its margin in exact arithmetic."""
    has = Fraction(account.collateral_ticklots)
    for asset, lots, entry, rate in account.positions:
        mark = Fraction(marks[asset])
        has += lots * (mark - Fraction(entry)) - abs(lots) * Fraction(rate) * mark
    return has < 0


# Smaller cases ---------------------------------------------------------------------------------------------------------


def shrink(case: Case, differs: Callable[[Case], bool]) -> Case:
    """Return a case on which `differs` still holds and from which no single piece can be taken away."""
    smaller = next((c for c in _reductions(case) if differs(c)), None)
    while smaller is not None:
        case = smaller
        smaller = next((c for c in _reductions(case) if differs(c)), None)
    return case


def _reductions(case: Case) -> list[Case]:
    """Return the case without one scenario, step, account, position or book row."""
    world = case.world
    found = [replace(case, scenarios=_without(case.scenarios, k)) for k in range(len(case.scenarios))]
    found += [replace(case, path=_without(case.path, t)) for t in range(len(case.path))]
    worlds = [replace(world, accounts=_without(world.accounts, i)) for i in range(len(world.accounts))]
    for i, account in enumerate(world.accounts):
        for k in range(len(account.positions)):
            fewer = account._replace(positions=tuple(_without(list(account.positions), k)))
            worlds.append(replace(world, accounts=[*world.accounts[:i], fewer, *world.accounts[i + 1 :]]))
    for side in ("bids", "asks"):
        books = getattr(world, side)
        for a, book in enumerate(books):
            for j in range(len(book) - 1):
                worlds.append(replace(world, **{side: [*books[:a], _without(book, j), *books[a + 1 :]]}))
    return found + [replace(case, world=w) for w in worlds]


def _without(items: list, k: int) -> list:
    """Return the list without its item `k`."""
    return items[:k] + items[k + 1 :]
