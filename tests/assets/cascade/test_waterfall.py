"""Insurance fund and ADL: a case by hand, conservation, and equality with a settlement lot by lot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.cascade.waterfall import Counterparties, Liquidated, Settlement, adl_score, deleverage, settle

LONGS = Liquidated(
    quantity_lots=np.array([10, 10, 10]),
    filled_lots=np.array([10, 6, 0]),
    fill_ticks=np.array([95.0, 88.0, np.nan]),
    bankruptcy_ticks=np.array([94.0, 90.0, 89.0]),
)
SHORTS = Counterparties(quantity_lots=np.array([4, 9, 2]), score=np.array([1.0, 3.0, 2.0]))


BLOCK = 20


def check(count: int, law: Callable[[Random], None]) -> None:
    """Run a law over `count` seeded draws, in blocks: drawing a seed takes longer than settling a case."""

    @settings(max_examples=count // BLOCK, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32 - 1))
    def holds(seed: int) -> None:
        rng = Random(seed)
        for _ in range(BLOCK):
            law(rng)

    holds()


# --- by hand ----------------------------------------------------------------------------------------------------------------


@pytest.mark.fast
def test_fund_pays_in_order_and_the_queue_takes_the_rest() -> None:
    # First: sold above bankruptcy, free. Second: 6 filled at 2 below, 4 unfilled at 90 - 85 = 5. Third: 10 at 4 each.
    # The fund of 23 pays 6 x 2, then 2 x 5, and has 1 left: too little for any lot of the third.
    done = settle(LONGS, 85.0, "long", 23.0, SHORTS)
    assert done.sold_lots.tolist() == [10, 6, 0]
    assert done.taken_over_lots.tolist() == [0, 2, 0]
    assert (done.fund_paid_ticklots, done.fund_left_ticklots) == (22.0, 1.0)
    # 12 lots are left; 15 counterparties' lots: 9, then 2, then 1 of 4.
    assert done.adl_lots.tolist() == [0, 2, 10]
    assert done.counterparty_lots.tolist() == [1, 9, 2]
    assert done.adl_loss_ticklots == 2 * 5 + 10 * 4
    assert done.unabsorbed_lots.tolist() == [0, 0, 0] and done.uncovered_ticklots == 0.0


@pytest.mark.fast
def test_without_fund_or_counterparties_losses_stay() -> None:
    nobody = Counterparties(np.array([], dtype=np.int64), np.array([]))
    done = settle(LONGS, 85.0, "long", 0.0, nobody)
    assert done.sold_lots.tolist() == [10, 0, 0]
    assert done.unabsorbed_lots.tolist() == [0, 10, 10]
    assert done.uncovered_ticklots == 6 * 2 + 4 * 5 + 10 * 4


@pytest.mark.fast
def test_shorts_lose_above_their_bankruptcy_price() -> None:
    shorts = Liquidated(np.array([5]), np.array([3]), np.array([108.0]), np.array([105.0]))
    done = settle(shorts, 110.0, "short", 9.0, Counterparties(np.array([9]), np.array([1.0])))
    assert (done.sold_lots[0], done.taken_over_lots[0], done.adl_lots[0]) == (3, 0, 2)
    assert (done.fund_paid_ticklots, done.adl_loss_ticklots) == (9.0, 10.0)


@pytest.mark.fast
def test_a_mark_better_than_bankruptcy_costs_the_fund_nothing() -> None:
    done = settle(LONGS, 95.0, "long", 0.0, SHORTS)
    assert done.taken_over_lots.tolist() == [0, 4, 10]  # what the book left
    assert done.adl_lots.tolist() == [0, 6, 0]  # what it filled below bankruptcy


@pytest.mark.fast
def test_score_is_profit_times_leverage_and_for_a_loss_over_it() -> None:
    # Short from 100 at a mark of 80: profit 20 %; bankrupt at 120 it is worth 80 on 40 of equity, 2x.
    assert adl_score(-1, 100.0, 80.0, 120.0) == pytest.approx(0.2 * 2)
    assert adl_score(-1, 100.0, 80.0, 88.0) == pytest.approx(0.2 * 10)
    # Losses rank below every profit, those of the least leverage lowest.
    losses = adl_score(1, 100.0, 90.0, [72.0, 81.0])
    assert losses == pytest.approx([-0.1 / 5, -0.1 / 10])
    assert adl_score(1, 100.0, 100.0, 100.0) == 0.0  # bankrupt at its entry
    assert adl_score(1, 90.0, 100.0, 100.0) == np.inf


@pytest.mark.fast
def test_queue_and_shares() -> None:
    assert deleverage(0, SHORTS).tolist() == [0, 0, 0]
    assert deleverage(10, SHORTS).tolist() == [0, 9, 1]
    assert deleverage(99, SHORTS).tolist() == [4, 9, 2]
    # 10 of 15: 2 2/3, 6, 1 1/3; the lot left over goes to the largest remainder.
    assert deleverage(10, SHORTS, "pro_rata").tolist() == [3, 6, 1]
    # Equal scores: the larger position first. Equal remainders: the higher score first.
    assert deleverage(3, Counterparties(np.array([2, 5]), np.array([1.0, 1.0]))).tolist() == [0, 3]
    assert deleverage(1, Counterparties(np.array([1, 1]), np.array([1.0, 2.0])), "pro_rata").tolist() == [0, 1]


# --- laws -------------------------------------------------------------------------------------------------------------------


def random_case(rng: Random) -> tuple[Liquidated, int, str, int, Counterparties, str]:
    n, m = rng.randint(0, 6), rng.randint(0, 6)
    quantity = np.array([rng.randint(0, 12) for _ in range(n)], dtype=np.int64)
    liquidated = Liquidated(
        quantity,
        np.array([rng.choice((0, q, rng.randint(0, q))) for q in quantity.tolist()], dtype=np.int64),
        np.array([float(rng.randint(80, 120)) for _ in range(n)]),
        np.array([float(rng.randint(80, 120)) for _ in range(n)]),
    )
    others = Counterparties(
        np.array([rng.randint(0, 15) for _ in range(m)], dtype=np.int64),
        np.array([float(rng.randint(-2, 3)) for _ in range(m)]),
    )
    fund = rng.choice((0, rng.randint(0, 400), 10**6))
    return (
        liquidated,
        rng.randint(80, 120),
        rng.choice(("long", "short")),
        fund,
        others,
        rng.choice(("ranked", "pro_rata")),
    )


def lot_by_lot(liquidated: Liquidated, mark: int, side: str, fund: int) -> tuple[list, list, list, int]:
    """Sold, taken over and unpaid lots per position, and the fund after, by asking the fund for every single lot."""
    sold, taken, unpaid = ([0] * liquidated.quantity_lots.size for _ in range(3))
    for k in range(liquidated.quantity_lots.size):
        for lot in range(int(liquidated.quantity_lots[k])):
            is_filled = lot < liquidated.filled_lots[k]
            price = int(liquidated.fill_ticks[k]) if is_filled else mark
            away = int(liquidated.bankruptcy_ticks[k]) - price
            loss = max(away if side == "long" else -away, 0)
            if loss > fund:
                unpaid[k] += 1
                continue
            fund -= loss
            (sold if is_filled else taken)[k] += 1
    return sold, taken, unpaid, fund


def total_loss(liquidated: Liquidated, mark: int, side: str) -> float:
    d = 1 if side == "long" else -1
    filled = liquidated.filled_lots * np.maximum(d * (liquidated.bankruptcy_ticks - liquidated.fill_ticks), 0)
    unfilled = (liquidated.quantity_lots - liquidated.filled_lots) * np.maximum(
        d * (liquidated.bankruptcy_ticks - mark), 0
    )
    return float((filled + unfilled).sum())


@pytest.mark.trial("waterfall: conservation, and equality lot by lot")
def test_lots_and_money_are_conserved_and_equal_the_settlement_lot_by_lot(trial_count: Callable[..., int]) -> None:
    def law(rng: Random) -> None:
        liquidated, mark, side, fund, others, rule = random_case(rng)
        done = settle(liquidated, float(mark), side, float(fund), others, rule=rule)
        np.testing.assert_array_equal(
            done.sold_lots + done.taken_over_lots + done.adl_lots + done.unabsorbed_lots, liquidated.quantity_lots
        )
        assert done.adl_lots.sum() == done.counterparty_lots.sum()
        assert (done.counterparty_lots <= others.quantity_lots).all()
        # Whole ticks and lots: money is exact as well.
        assert done.fund_paid_ticklots + done.fund_left_ticklots == fund
        paid = done.fund_paid_ticklots + done.adl_loss_ticklots + done.uncovered_ticklots
        assert paid == total_loss(liquidated, mark, side)
        sold, taken, unpaid, left = lot_by_lot(liquidated, mark, side, fund)
        assert done.sold_lots.tolist() == sold and done.taken_over_lots.tolist() == taken
        assert done.fund_left_ticklots == left
        assert done.adl_lots.sum() == min(sum(unpaid), int(others.quantity_lots.sum()))
        # ADL serves positions in their order: after one that is served in part nobody is served.
        short = np.flatnonzero(done.unabsorbed_lots)
        assert not short.size or not done.adl_lots[short[0] + 1 :].any()

    check(trial_count(10_000), law)


@pytest.mark.trial("waterfall: the queue")
def test_queue_is_ranked_or_shares_to_one_lot(trial_count: Callable[..., int]) -> None:
    def law(rng: Random) -> None:
        m = rng.randint(1, 8)
        most = rng.choice((3, 10**6, 2**49))
        others = Counterparties(
            np.array([rng.randint(0, most) for _ in range(m)]), np.array([float(rng.randint(0, 3)) for _ in range(m)])
        )
        total = int(others.quantity_lots.sum())
        needed = rng.randint(0, total + 2)
        ranked = deleverage(needed, others)
        shared = deleverage(needed, others, "pro_rata")
        for taken in (ranked, shared):
            assert int(taken.sum()) == min(needed, total)
            assert ((taken >= 0) & (taken <= others.quantity_lots)).all()
        for i in range(m):
            above = others.score > others.score[i]
            assert ranked[i] == 0 or (ranked[above] == others.quantity_lots[above]).all()
            exact = Fraction(min(needed, total) * int(others.quantity_lots[i]), max(total, 1))
            assert abs(int(shared[i]) - exact) < 1
        # The order in which counterparties are given does not matter.
        order = np.array(rng.sample(range(m), m))
        mixed = Counterparties(others.quantity_lots[order], others.score[order])
        for rule, taken in (("ranked", ranked), ("pro_rata", shared)):
            keys = (others.score, others.quantity_lots, taken)
            again = (mixed.score, mixed.quantity_lots, deleverage(needed, mixed, rule))
            assert sorted(zip(*(k.tolist() for k in keys), strict=True)) == sorted(
                zip(*(k.tolist() for k in again), strict=True)
            )

    check(trial_count(10_000), law)


@pytest.mark.trial("waterfall: money at any scale")
def test_fund_is_never_overdrawn_at_any_scale(trial_count: Callable[..., int]) -> None:
    def law(rng: Random) -> None:
        n = rng.randint(1, 5)
        lots = np.array([rng.randint(0, 10 ** rng.randint(0, 14)) for _ in range(n)])
        scale = 10 ** rng.uniform(-9, 12)
        liquidated = Liquidated(
            lots,
            lots // 2,
            np.array([rng.random() * scale for _ in range(n)]),
            np.array([rng.random() * scale for _ in range(n)]),
        )
        fund = rng.random() * scale * 10 ** rng.uniform(-3, 15)
        others = Counterparties(np.array([10**14]), np.array([1.0]))
        done: Settlement = settle(liquidated, scale * 0.3, "long", fund, others)
        assert 0.0 <= done.fund_left_ticklots <= fund
        assert done.fund_paid_ticklots <= fund * (1 + 1e-12)
        np.testing.assert_array_equal(
            done.sold_lots + done.taken_over_lots + done.adl_lots + done.unabsorbed_lots, lots
        )

    check(trial_count(10_000), law)


# --- bad input --------------------------------------------------------------------------------------------------------------


@pytest.mark.fast
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity_lots": np.array([1, -1, 2])}, r"quantity_lots\[1\] = -1"),
        ({"quantity_lots": np.array([1.0, 1.0, 2.0])}, "quantity_lots: lots are whole numbers"),
        ({"filled_lots": np.array([10, 11, 0])}, r"filled_lots\[1\] = 11"),
        ({"filled_lots": np.array([10])}, r"filled_lots: expected \[3\]"),
        ({"fill_ticks": np.array([1.0, np.nan, np.nan])}, r"fill_ticks\[1\] = nan"),
        ({"bankruptcy_ticks": np.array([1.0, 2.0, -1.0])}, r"bankruptcy_ticks\[2\] = -1"),
    ],
)
def test_bad_positions_are_refused_with_field_and_index(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settle(replace(LONGS, **change), 85.0, "long", 1.0, SHORTS)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: settle(LONGS, 0.0, "long", 1.0, SHORTS), "mark_ticks = 0.0"),
        (lambda: settle(LONGS, 1.0, "buy", 1.0, SHORTS), "side = 'buy'"),
        (lambda: settle(LONGS, 1.0, "long", -1.0, SHORTS), "fund_ticklots = -1.0"),
        (
            lambda: settle(LONGS, 1.0, "long", 1.0, replace(SHORTS, score=np.array([1.0, np.nan, 1.0]))),
            r"score\[1\] = nan",
        ),
        (lambda: deleverage(1, replace(SHORTS, quantity_lots=np.array([1, 2, -3]))), r"quantity_lots\[2\] = -3"),
        (lambda: deleverage(-1, SHORTS), "needed_lots = -1"),
        (lambda: deleverage(1, SHORTS, "lottery"), "rule = 'lottery'"),
        (lambda: adl_score([1, 3], 1.0, 1.0, 1.0), r"direction\[1\] = 3"),
        (lambda: adl_score(1, [1.0, 0.0], 1.0, 1.0), r"entry\[1\] = 0"),
        (lambda: adl_score(1, 1.0, np.inf, 1.0), r"mark\[0\] = inf"),
        (lambda: adl_score(1, 1.0, 1.0, np.nan), r"bankruptcy\[0\] = nan"),
    ],
)
def test_bad_arguments_are_refused_with_field_and_index(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
