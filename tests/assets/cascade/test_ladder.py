"""Partial liquidation: rungs by hand, and laws against a plain retelling of what happens to one position."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.cascade.ladder import (
    OKX_TIERS_PER_STEP,
    Ladder,
    Positions,
    hyperliquid_ladder,
    tier_ladder,
)
from assets.cascade.lattice import Book, Fuel, prepare
from assets.cascade.liquidation import (
    MarginTier,
    binance_linear,
    hyperliquid,
    linear_bankruptcy,
    maintenance_margin,
    okx_linear,
    tiers_with_cum,
)

TIERS = tiers_with_cum([300_000, 800_000, 3_000_000], [0.004, 0.005, 0.0065])
# OKX counts contracts and knows no `cum`.
CONTRACTS = tuple(MarginTier(10 * i, 10 * (i + 1), 0.005 * (i + 1), 0.0) for i in range(5))


def positions(direction: float, entry: float, lots: int, margin: float) -> Positions:
    return Positions(np.array([direction]), np.array([entry]), np.array([lots]), np.array([margin]))


# --- by hand ----------------------------------------------------------------------------------------------------------------


@pytest.mark.fast
def test_binance_steps_down_one_tier_at_a_time() -> None:
    # Long 10 BTC from 100,000 at 10x in lots of 0.001: tier 3 at first.
    ladder = tier_ladder(positions(1, 100_000.0, 10_000, 100_000.0), TIERS, lot_base=0.001)
    first = float(binance_linear(1, 100_000.0, 10.0, 100_000.0, 0.0065, TIERS[2].cum))
    assert ladder.tier.tolist() == [2, 1, 0]
    assert ladder.trigger_quote[0] == first
    # Cut to 800,000 of notional; the loss on what was sold is realised.
    left = int(800_000 / first / 0.001)
    assert ladder.quantity_lots[0] == 10_000 - left
    margin = 100_000.0 + (first - 100_000.0) * (10_000 - left) * 0.001
    second = float(binance_linear(1, 100_000.0, left * 0.001, margin, 0.005, TIERS[1].cum))
    assert ladder.trigger_quote[1] == pytest.approx(second, rel=1e-12)
    assert ladder.quantity_lots[1] == left - int(300_000 / second / 0.001)
    assert ladder.bankruptcy_quote[:2] == pytest.approx(
        [90_000.0, float(linear_bankruptcy(1, 100_000.0, left * 0.001, margin))], rel=1e-12
    )
    assert ladder.quantity_lots.sum() == 10_000 and ladder.kept_lots.tolist() == [0]


@pytest.mark.fast
def test_okx_steps_down_two_tiers_from_the_third_on() -> None:
    # 45 contracts of 1 base at 100, tier 5 (2.5 %) -> 30 (cap of tier 3) -> 10 (cap of tier 1) -> none.
    ladder = tier_ladder(
        positions(1, 100.0, 45, 450.0),
        CONTRACTS,
        lot_base=1.0,
        tiers_per_step=OKX_TIERS_PER_STEP,
        basis="quantity",
        fee_rate=0.0005,
    )
    assert ladder.tier.tolist() == [4, 2, 0]
    assert ladder.quantity_lots.tolist() == [15, 20, 10]
    first = float(ladder.trigger_quote[0])
    assert first == okx_linear(1, 100.0, 45.0, 450.0, 0.025, 0.0005)
    # Loss and fee of the 15 come out of the margin of the rest.
    margin = 450.0 + (first - 100.0) * 15 - 0.0005 * first * 15
    assert ladder.trigger_quote[1] == pytest.approx(float(okx_linear(1, 100.0, 30.0, margin, 0.015, 0.0005)), rel=1e-12)


@pytest.mark.fast
def test_okx_closes_the_two_lowest_tiers_at_once() -> None:
    ladder = tier_ladder(
        positions(-1, 100.0, 20, 200.0), CONTRACTS, lot_base=1.0, tiers_per_step=OKX_TIERS_PER_STEP, basis="quantity"
    )
    assert (ladder.tier.tolist(), ladder.quantity_lots.tolist()) == ([1], [20])


@pytest.mark.fast
def test_hyperliquid_sells_a_fifth_and_then_the_rest() -> None:
    tiers = tiers_with_cum([150e6, np.inf], [0.0125, 0.025])
    ladder = hyperliquid_ladder(positions(1, 100_000.0, 20, 10_000.0), tiers, lot_base=0.1)
    assert ladder.quantity_lots.tolist() == [4, 16]
    assert ladder.trigger_quote[0] == pytest.approx(float(hyperliquid(1, 100_000.0, 2.0, 10_000.0, 40)), rel=1e-12)
    assert ladder.trigger_quote[1] < ladder.trigger_quote[0]
    small = hyperliquid_ladder(positions(1, 100_000.0, 10, 5_000.0), tiers, lot_base=0.1)
    assert small.quantity_lots.tolist() == [10]  # 96,203 at its price


@pytest.mark.fast
def test_a_short_meets_the_same_tier_again() -> None:
    # Cut to 800,000 at one price, it is worth more than that at the next.
    ladder = tier_ladder(positions(-1, 100_000.0, 20_000, 1_000_000.0), TIERS, lot_base=0.001)
    assert ladder.tier.tolist()[:2] == [2, 2] and ladder.tier[-1] == 0
    assert (np.diff(ladder.trigger_quote) > 0).all()


@pytest.mark.fast
def test_what_cannot_fail_is_kept() -> None:
    # A long with more margin than worth never fails. And one that is cut to a tenth at 80 % maintenance holds more equity
    # than its rest is worth.
    steep = tiers_with_cum([100, 1e9], [0.1, 0.8])
    ladder = tier_ladder(
        Positions(np.array([1.0, 1.0]), np.array([10.0, 10.0]), np.array([7, 500]), np.array([80.0, 4_000.0])),
        steep,
        lot_base=1.0,
    )
    assert ladder.kept_lots[0] == 7
    assert ladder.kept_lots[1] == 500 - ladder.quantity_lots.sum() > 0
    assert ladder.position.tolist() == [1] and ladder.tier.tolist() == [1]


@pytest.mark.fast
def test_no_positions_give_no_rungs() -> None:
    none = tier_ladder(Positions(*(np.empty(0),) * 2, np.empty(0, dtype=np.int64), np.empty(0)), TIERS, lot_base=1.0)
    assert none.position.size == none.quantity_lots.size == none.kept_lots.size == 0
    empty = tier_ladder(positions(1, 1.0, 0, 1.0), TIERS, lot_base=1.0)
    assert empty.position.size == 0 and empty.kept_lots.tolist() == [0]


# --- laws -------------------------------------------------------------------------------------------------------------------


def random_positions(rng: Random, tiers: tuple[MarginTier, ...], lot_base: float, count: int) -> Positions:
    d = np.array([rng.choice((-1.0, 1.0)) for _ in range(count)])
    entry = np.array([10 ** rng.uniform(-1, 4) for _ in range(count)])
    caps = [min(t.notional_cap, 1e9) for t in tiers]  # the last cap of some real tables is as good as none
    size = np.array([rng.choice(caps) * rng.uniform(0.2, 1.5) for _ in range(count)])
    lots = np.maximum(size / entry / lot_base, 1).astype(np.int64)
    margin = entry * lots * lot_base / np.array([rng.uniform(0.95, 60) for _ in range(count)])
    return Positions(d, entry, lots, margin)


def retell(
    p: Positions, i: int, ladder: Ladder, tiers: tuple[MarginTier, ...], lot_base: float, fee: float, basis: str
) -> None:
    """Walk the rungs of one position with its cash and judge each by the rule's own words."""
    d, entry = p.direction[i], p.entry_quote[i]
    lots, cash = int(p.quantity_lots[i]), float(p.margin_quote[i])
    step = 1 if basis == "notional" else OKX_TIERS_PER_STEP
    last = None
    for k in np.flatnonzero(ladder.position == i):
        price, sold, place = float(ladder.trigger_quote[k]), int(ladder.quantity_lots[k]), int(ladder.tier[k])
        q = lots * lot_base
        size = q * price if basis == "notional" else q
        tier, scale = tiers[place], 1e-9 * q * (price + entry)
        is_last = place == len(tiers) - 1
        assert tier.notional_floor * (1 - 1e-9) <= size and (size <= tier.notional_cap * (1 + 1e-9) or is_last)
        equity = cash + d * q * (price - entry)
        assert abs(equity - ((tier.maintenance_margin_rate + fee) * q * price - tier.cum)) <= scale
        assert last is None or d * (last - price) > -1e-9 * entry
        assert abs(ladder.bankruptcy_quote[k] - max(entry - d * cash / q, 0.0)) <= 1e-9 * (price + entry)
        assert 0 < sold <= lots
        if place < step:
            assert sold == lots
        else:
            cap = tiers[place - step].notional_cap / lot_base / (price if basis == "notional" else 1.0)
            assert lots - sold <= cap * (1 + 1e-9)
            assert lots - sold >= min(cap * (1 - 1e-9) - 1, lots - 1)  # and no lot more than needed
        lots -= sold
        cash += (d * (price - entry) - fee * price) * sold * lot_base
        last = price
    assert lots == ladder.kept_lots[i]
    if lots:  # only a long keeps something: worth nothing it would still have its equity
        assert d == 1 and cash - lots * lot_base * entry + tiers[0].cum >= -1e-9 * lots * lot_base * entry


@pytest.mark.trial("ladder: every rung is demanded, sized and financed by the rule")
@pytest.mark.parametrize("basis", ["notional", "quantity"])
def test_rungs_follow_the_rule(trial_count: Callable[..., int], basis: str) -> None:
    block = 20

    @settings(max_examples=trial_count(5_000) // block, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 6))
    def holds(seed: int, tiers_count: int) -> None:
        rng = Random(seed)
        caps = np.cumsum([10 ** rng.uniform(2, 6) for _ in range(tiers_count)])
        tiers = tiers_with_cum(caps, np.cumsum([rng.uniform(0.002, 0.1) for _ in caps]))
        lot_base, fee = 10.0 ** rng.randint(-4, 0), 0.0
        p = random_positions(rng, tiers, lot_base, block)
        how = {}
        if basis == "quantity":
            fee = rng.uniform(0, 0.001)
            tiers = tuple(replace(t, cum=0.0) for t in tiers)
            p = replace(
                p,
                quantity_lots=np.maximum(p.quantity_lots * p.entry_quote, 1).astype(np.int64),
                margin_quote=p.margin_quote * p.entry_quote,
            )
            how = {"tiers_per_step": OKX_TIERS_PER_STEP, "basis": "quantity", "fee_rate": fee}
        ladder = tier_ladder(p, tiers, lot_base=lot_base, **how)
        assert (np.diff(ladder.position) >= 0).all()
        for i in range(block):
            retell(p, i, ladder, tiers, lot_base, fee, basis)

    holds()


@pytest.mark.trial("ladder: conservation and lawful fuel")
def test_rungs_are_lawful_fuel_and_lose_no_lot(trial_count: Callable[..., int]) -> None:
    block, tick = 50, 1e-6

    @settings(max_examples=trial_count(10_000) // block, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32 - 1))
    def holds(seed: int) -> None:
        rng = Random(seed)
        p = random_positions(rng, TIERS, 0.001, block)
        for ladder in (tier_ladder(p, TIERS, lot_base=0.001), hyperliquid_ladder(p, TIERS, lot_base=0.001)):
            sold = np.bincount(ladder.position, weights=ladder.quantity_lots, minlength=block).astype(np.int64)
            np.testing.assert_array_equal(sold + ladder.kept_lots, p.quantity_lots)
            fuel = Fuel(ladder.trigger_quote / tick, ladder.quantity_lots, ladder.bankruptcy_quote / tick)
            market = prepare(1e6, Book(np.array([0.5]), np.array([1])), fuel, "long")
            assert market.excluded_lots + market.quantities.sum() == ladder.quantity_lots.sum()
            assert (p.direction[ladder.position] * (ladder.trigger_quote - ladder.bankruptcy_quote) > 0).all()

    holds()


@pytest.mark.fast
def test_a_price_on_the_edge_itself_ends_too() -> None:
    # Margins that put the first price where two tiers meet: rounding says now the one, now the other, and a cut to the cap
    # may come out as no lot.
    rng = np.random.default_rng(0)
    d, lots, edge = rng.choice((-1.0, 1.0), 2_000), rng.integers(1, 5_000, 2_000), rng.choice((3e5, 8e5), 2_000)
    price = edge / (lots * 0.001)
    entry = price * (1 + d * rng.uniform(0.001, 0.3, 2_000))
    margin = maintenance_margin(TIERS, edge) - d * lots * 0.001 * (price - entry)
    ladder = tier_ladder(Positions(d, entry, lots, margin), TIERS, lot_base=0.001)
    assert (ladder.quantity_lots > 0).all()
    assert ladder.quantity_lots.sum() + ladder.kept_lots.sum() == lots.sum()
    for i in range(2_000):
        retell(Positions(d, entry, lots, margin), i, ladder, TIERS, 0.001, 0.0, "notional")


@pytest.mark.fast
def test_positions_do_not_see_each_other() -> None:
    p = random_positions(Random(3), TIERS, 0.001, 8)
    together = tier_ladder(p, TIERS, lot_base=0.001)
    for i in range(8):
        alone = tier_ladder(
            Positions(*(a[i : i + 1] for a in (p.direction, p.entry_quote, p.quantity_lots, p.margin_quote))),
            TIERS,
            lot_base=0.001,
        )
        mine = together.position == i
        np.testing.assert_array_equal(alone.trigger_quote, together.trigger_quote[mine])
        np.testing.assert_array_equal(alone.quantity_lots, together.quantity_lots[mine])


@pytest.mark.shared_data
def test_every_real_table_with_cum_makes_ladders(shared_data: Path) -> None:
    with gzip.open(shared_data / "leverage_tiers" / "binance_usdm_2026-07.json.gz") as file:
        rows = json.load(file)
    tables = {
        tuple(
            MarginTier(t["minNotional"], t["maxNotional"], t["maintenanceMarginRate"], float(t["info"]["cum"]))
            for t in table
        )
        for table in rows.values()
    }
    refused = 0
    for seed, tiers in enumerate(sorted(tables, key=repr)):
        p = random_positions(Random(seed), tiers, 0.001, 2)
        if len(tiers) > 1 and not any(t.cum for t in tiers):
            refused += 1
            with pytest.raises(ValueError, match=r"tiers.cum\[1\] = 0.0: maintenance jumps"):
                tier_ladder(p, tiers, lot_base=0.001)
            continue
        ladder = tier_ladder(p, tiers, lot_base=0.001)
        for i in range(2):
            retell(p, i, ladder, tiers, 0.001, 0.0, "notional")
    assert refused == 1  # defect of the file: one table (of two contracts) came without its maintenance amounts


@pytest.mark.fast
@pytest.mark.parametrize(
    ("change", "how", "message"),
    [
        ({"direction": np.array([1.0, 0.0])}, {}, r"direction\[1\] = 0"),
        ({"entry_quote": np.array([np.nan, 1.0])}, {}, r"entry_quote\[0\] = nan"),
        ({"quantity_lots": np.array([1, -2])}, {}, r"quantity_lots\[1\] = -2"),
        ({"quantity_lots": np.array([1.0, 2.0])}, {}, "quantity_lots: lots are whole numbers"),
        ({"quantity_lots": np.array([2**53, 2])}, {}, r"quantity_lots\[0\] = 9007199254740992"),
        ({"margin_quote": np.array([1.0, np.inf])}, {}, r"margin_quote\[1\] = inf"),
        ({"margin_quote": np.array([1.0])}, {}, r"margin_quote: expected \[2\]"),
        ({}, {"lot_base": 0.0}, "lot_base = 0.0"),
        ({}, {"tiers_per_step": 0}, "tiers_per_step = 0"),
        ({}, {"tiers": ()}, "tiers: at least one"),
        ({}, {"tiers": tuple(replace(t, cum=0.0) for t in TIERS)}, r"tiers.cum\[1\] = 0.0"),
    ],
)
def test_bad_input_is_refused_with_field_and_index(change: dict, how: dict, message: str) -> None:
    two = Positions(np.array([1.0, -1.0]), np.array([10.0, 10.0]), np.array([5, 5]), np.array([5.0, 5.0]))
    arguments = {"tiers": TIERS, "lot_base": 1.0} | how
    with pytest.raises(ValueError, match=message):
        tier_ladder(replace(two, **change), **arguments)
