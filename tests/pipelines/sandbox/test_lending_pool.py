"""The made-up lending market against hand-made vectors, and the product's own mathematics against the market."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from evm_doubles import CALL_TOPIC

from assets.cascade.lending import collateral_liquidation_price, health_factor, largest_liquidation, max_repayable_usd
from pipelines.sandbox.lending_accounts import RESERVES, account, lending_chain, walk
from pipelines.sandbox.lending_pool import BPS, USD, WAD, Holding, PoolState, Refused

WETH, WBTC, USDC, GHO = (r.address for r in RESERVES)
PRICES = {WETH: 2_000 * USD, WBTC: 50_000 * USD, USDC: USD, GHO: USD}
BOB = account(1)


def market(**dollars: float) -> PoolState:
    """Return one account by values in dollars: WETH and WBTC supplied, USDC and GHO borrowed."""
    state = PoolState(RESERVES, PRICES)
    for token, key, side in (
        (WETH, "weth", "supplied"),
        (WBTC, "wbtc", "supplied"),
        (USDC, "usdc", "borrowed"),
        (GHO, "gho", "borrowed"),
    ):
        if key in dollars:
            amount = round(dollars[key] * USD) * state.reserve(token).unit // PRICES[token]
            state = state.with_holding(BOB, token, Holding(**{side: amount}))
    return state


@pytest.mark.fast
def test_health_by_hand() -> None:
    # 10,000 x 83 % of cover over 6,000.
    data = market(weth=10_000, usdc=6_000).account(BOB)
    assert (data.collateral, data.debt, data.threshold_bps) == (10_000 * USD, 6_000 * USD, 8_300)
    assert data.health == 1_383_333_333_333_333_333
    assert data.available == (8_050 - 6_000) * USD
    assert market(weth=1).account(BOB).health == 2**256 - 1


@pytest.mark.fast
@pytest.mark.parametrize(
    ("weth", "usdc", "gho", "repaid_usd"),
    [
        (10_000, 8_200, 0, 0),  # sound: 1.012
        (10_000, 8_400, 0, 4_200),  # 0.988: half of all debt
        (10_000, 3_000, 5_400, 3_000),  # half of all debt is more than this reserve
        (10_000, 6_000, 2_400, 4_200),  # and here it is less
        (10_000, 9_000, 0, 9_000),  # 0.922: the whole
        (2_200, 1_900, 0, 1_900),  # a small debt leg: the whole
        (1_990, 1_700, 0, 1_700),  # a small collateral leg: the whole
    ],
)
def test_close_factor_by_hand(weth: float, usdc: float, gho: float, repaid_usd: float) -> None:
    state = market(weth=weth, usdc=usdc, **({"gho": gho} if gho else {}))
    assert state.max_repayable(BOB, WETH, USDC) == round(repaid_usd * 10**6)


@pytest.mark.fast
def test_seized_amount_by_hand() -> None:
    after, done = market(weth=10_000, usdc=8_400).liquidate(BOB, WETH, USDC)
    assert done.repaid == 4_200 * 10**6
    # 4,200 / 2,000 x 1.05 ETH, of whose bonus of 0.105 a tenth is the protocol's.
    assert (done.seized, done.fee) == (2_205 * 10**15 - 105 * 10**14, 105 * 10**14)
    assert after.holding(BOB, WETH).supplied == 5 * WAD - 2_205 * 10**15
    assert after.holding(BOB, USDC).borrowed == 4_200 * 10**6
    # A small debt may be repaid whole, and not but for 400 dollars.
    small = market(weth=10_000, usdc=1_900, gho=6_500)
    assert small.liquidate(BOB, WETH, USDC)[1].repaid == 1_900 * 10**6
    with pytest.raises(Refused, match="dust"):
        small.liquidate(BOB, WETH, USDC, 1_500 * 10**6)
    with pytest.raises(Refused, match="sound"):
        market(weth=10_000, usdc=8_200).liquidate(BOB, WETH, USDC)


@pytest.mark.fast
def test_short_collateral_is_taken_whole_by_hand() -> None:
    after, done = market(weth=4_200, usdc=8_000).liquidate(BOB, WETH, USDC)
    assert done.repaid == 4_000 * 10**6
    assert after.holding(BOB, WETH).supplied == 0


def _random_market(rng: np.random.Generator) -> PoolState:
    debt = float(np.exp(rng.uniform(np.log(50), np.log(1e6))))
    cover = debt * float(rng.uniform(0.7, 1.15))
    share = float(rng.uniform(0, 1))
    return market(
        weth=cover * share / 0.83,
        wbtc=cover * (1 - share) / 0.78,
        usdc=debt * (part := float(rng.uniform(0.01, 1))),
        gho=debt * (1 - part),
    )


@pytest.mark.trial("lending_agreement")
def test_the_products_mathematics_agrees_with_the_market(trial_count: Callable[..., int]) -> None:
    """Health, close factor, seized and repaid of random accounts, to the contract's last digits."""
    liquidated = 0
    for seed in range(trial_count(10_000, 400)):
        rng = np.random.Generator(np.random.PCG64((5, seed)))
        state = _random_market(rng)
        data = state.account(BOB)
        tokens = list(state.accounts[BOB])
        held = np.array([state.value(t, state.holding(BOB, t).supplied) / USD for t in tokens])
        owed = np.array([state.value(t, state.holding(BOB, t).borrowed) / USD for t in tokens])
        thresholds = np.array([state.reserve(t).threshold_bps / BPS for t in tokens])
        health = float(health_factor(held, thresholds, owed.sum()))
        # The contract's own average threshold is cut to whole basis points.
        assert health == pytest.approx(data.health / WAD, rel=2e-4)
        exact = data.health / WAD
        for seized_token in (WETH, WBTC):
            legs = (
                state.value(USDC, state.holding(BOB, USDC).borrowed) / USD,
                state.value(seized_token, state.holding(BOB, seized_token).supplied) / USD,
            )
            if min(legs) < 1 or abs(min(legs) - 2_000) < 1:
                continue
            limit = float(max_repayable_usd(exact, owed.sum(), *legs))
            assert limit == pytest.approx(state.max_repayable(BOB, seized_token, USDC) / 10**6, rel=1e-6, abs=1e-5)
            found = largest_liquidation(exact, owed.sum(), *legs, state.reserve(seized_token).bonus_bps / BPS - 1)
            amount = int(float(found.repaid_usd) * 10**6) + (1 if float(found.repaid_usd) in legs else 0)
            if limit == 0:
                assert float(found.repaid_usd) == 0
                continue
            # A thousandth of a dollar less than the largest: what rounds against the contract's floor is no disagreement.
            is_cut = (
                float(found.repaid_usd) < min(limit, legs[1] / (state.reserve(seized_token).bonus_bps / BPS)) - 1e-6
            )
            _, done = state.liquidate(BOB, seized_token, USDC, amount - 1_000 if is_cut else 2**256 - 1)
            price = PRICES[seized_token] / USD
            assert done.repaid / 10**6 == pytest.approx(float(found.repaid_usd), rel=1e-6, abs=2e-3)
            total = (done.seized + done.fee) / state.reserve(seized_token).unit * price
            assert total == pytest.approx(float(found.seized_usd), rel=1e-6, abs=2e-3)
            liquidated += 1
    assert liquidated


def test_the_liquidation_price_is_where_the_market_calls_the_account_unsound() -> None:
    for seed in range(60):
        rng = np.random.Generator(np.random.PCG64((6, seed)))
        state = _random_market(rng)
        weth, wbtc = state.holding(BOB, WETH).supplied / WAD, state.holding(BOB, WBTC).supplied / 10**8
        debt = state.account(BOB).debt / USD
        price = float(collateral_liquidation_price(weth, 0.83, wbtc * 50_000 * 0.78, debt))
        # The contract cuts the average threshold to basis points: where ETH weighs little that is more than the shift.
        if np.isnan(price) or weth * price < debt / 20:
            continue
        for shift, is_sound in ((1.005, True), (0.995, False)):
            moved = state.priced({**PRICES, WETH: round(price * shift * USD)})
            assert (moved.account(BOB).health >= WAD) == is_sound


def test_a_falling_market_liquidates_its_known_accounts() -> None:
    chain = lending_chain(1, walk(1))
    chain.grow(150)
    state: PoolState = chain.blocks[-1].state
    calls = [log for b in chain.blocks for t in b.transactions for log in t if log.topics[0] == CALL_TOPIC]
    assert len(state.accounts) == 20
    assert calls
    # No account is left that a liquidator could still call for a gain and did not.
    assert [
        u
        for u in state.accounts
        if state.account(u).health < 9 * WAD // 10 and state.account(u).collateral > 5_000 * USD
    ] == []
