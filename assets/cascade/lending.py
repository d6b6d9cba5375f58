"""Lending accounts: health, what one liquidation may repay and seize, and the price at which an account fails (Aave v3.3+).

Belongs here: Aave's rules as formulas over arrays, in USD of the pool's price feed, and the ladder of liquidations as one
asset falls. Does not: which reserves and parameters a pool has, from marts to arrays (``lending_fuel.py``), the sale of seized
collateral (the replay). The contract's integer rounding
(8 decimals of USD, basis points, token units) is not modelled: figures agree with it to its last digits only.

References
----------
docs/cascade.md, section 4. Aave DAO, "Aave v3.3 features" (liquidation improvements: close factor, dust) and the contract
`LiquidationLogic` of aave-v3-origin, v3.3 and later. Warmuz, Chaudhary and Pinna (2022), *Toxic Liquidation
Spirals*, arXiv:2212.07306: a liquidation lowers health exactly where LTV x (1 + bonus) > 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.cascade.liquidation import refuse_flat

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# The contract's constants. At or below this health the whole reserve debt may be repaid (the comparison is strict).
CLOSE_FACTOR_HEALTH_X = 0.95
# Share of the account's total debt, over all reserves, that one liquidation may repay above that health.
CLOSE_FACTOR_FRAC = 0.5
# A leg (debt reserve or collateral reserve) below this may be closed whole, so that small accounts do not linger.
MIN_CLOSE_FACTOR_LEG_USD = 2_000.0
# What is left of either leg after a liquidation that empties neither: half of the above, still worth its gas.
MIN_LEFTOVER_USD = 1_000.0


@dataclass(frozen=True)
class Liquidation:
    """One liquidation per account, float64[...] each: debt repaid and collateral seized (bonus included), in USD."""

    repaid_usd: F64
    seized_usd: F64


def health_factor(
    collateral_usd: npt.ArrayLike, liquidation_threshold_frac: npt.ArrayLike, debt_usd: npt.ArrayLike
) -> F64:
    """Return ``sum(C LT) / debt``; below 1 the account may be liquidated.

    Parameters
    ----------
    collateral_usd, liquidation_threshold_frac : float64[..., n_collaterals]
        Values at the feed's prices, and thresholds in [0, 1].
    debt_usd : float64[...]
        Over all reserves.

    Returns
    -------
    float64[...]
        inf where there is no debt.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index (of the flattened array).
    """
    collateral = _not_negative("collateral_usd", collateral_usd)
    debt = _not_negative("debt_usd", debt_usd)
    cover = (collateral * _share("liquidation_threshold_frac", liquidation_threshold_frac)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(debt > 0, cover / debt, np.inf)


def max_repayable_usd(
    health_x: npt.ArrayLike,
    total_debt_usd: npt.ArrayLike,
    reserve_debt_usd: npt.ArrayLike,
    reserve_collateral_usd: npt.ArrayLike,
) -> F64:
    """Return the close factor's limit: how much of one debt reserve one liquidation may repay.

    The whole reserve debt; but where health is above 0.95 and both legs are worth at least 2,000 USD, at most half of the
    account's *total* debt. 0 where health is 1 or more.

    Parameters
    ----------
    health_x, total_debt_usd : float64[...]
        Of the account.
    reserve_debt_usd, reserve_collateral_usd : float64[...]
        The two legs: the debt reserve that is repaid, the collateral reserve that is seized.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index (of the flattened array).
    """
    health = _not_negative("health_x", health_x, allow_infinite=True)
    total = _not_negative("total_debt_usd", total_debt_usd)
    debt = _not_negative("reserve_debt_usd", reserve_debt_usd)
    collateral = _not_negative("reserve_collateral_usd", reserve_collateral_usd)
    health, total, debt, collateral = np.broadcast_arrays(health, total, debt, collateral)
    refuse_flat("reserve_debt_usd", debt > total, debt, "one reserve's debt cannot exceed the account's total debt")
    is_large = np.minimum(debt, collateral) >= MIN_CLOSE_FACTOR_LEG_USD
    limit = np.where(is_large & (health > CLOSE_FACTOR_HEALTH_X), np.minimum(debt, CLOSE_FACTOR_FRAC * total), debt)
    return np.where(health < 1.0, limit, 0.0)


def largest_liquidation(
    health_x: npt.ArrayLike,
    total_debt_usd: npt.ArrayLike,
    reserve_debt_usd: npt.ArrayLike,
    reserve_collateral_usd: npt.ArrayLike,
    liquidation_bonus_frac: npt.ArrayLike,
) -> Liquidation:
    """Return the largest lawful liquidation of one debt reserve against one collateral reserve.

    Seized is repaid x (1 + bonus), and never more than there is. Where the close factor and the collateral leave something
    in both legs, each leftover must be at least 1,000 USD, else the contract refuses: the repayment is cut to that. (The
    protocol's fee is a part of the bonus and changes nothing for the account.)

    Parameters
    ----------
    health_x, total_debt_usd, reserve_debt_usd, reserve_collateral_usd : float64[...]
        As in `max_repayable_usd`.
    liquidation_bonus_frac : float64[...]
        0.05 for a bonus of 5 %.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index (of the flattened array).
    """
    limit = max_repayable_usd(health_x, total_debt_usd, reserve_debt_usd, reserve_collateral_usd)
    premium = 1.0 + _not_negative("liquidation_bonus_frac", liquidation_bonus_frac)
    debt = np.asarray(reserve_debt_usd, dtype=np.float64)
    collateral = np.asarray(reserve_collateral_usd, dtype=np.float64)
    is_emptied = collateral <= limit * premium
    # Below the whole reserve debt the limit is half of total debt, so both legs are worth at least 2,000 USD and what
    # remains after the cut is never negative.
    lean = np.minimum(debt - MIN_LEFTOVER_USD, (collateral - MIN_LEFTOVER_USD) / premium)
    partial = np.where((limit < debt) & (limit > 0), np.minimum(limit, lean), limit)
    return Liquidation(
        repaid_usd=np.where(is_emptied, collateral / premium, partial),
        seized_usd=np.where(is_emptied, collateral, partial * premium),
    )


@dataclass(frozen=True)
class Ladder:
    """Liquidations in the order of the fall, one dimension of n_steps each.

    Parameters
    ----------
    account, seized_token, repaid_token : int64[n_steps]
        Places in the arrays that `collateral_ladder` was given.
    price_x : float64[n_steps]
        Price of the falling asset at the step, over the price now; in (0, 1].
    is_past : bool[n_steps]
        True where the account is liquidated at the prices of now: no fall is needed.
    total_debt_usd, repaid_usd, seized_usd : float64[n_steps]
        At the step's prices: what the account owed before it, and what changed hands.
    """

    account: I64
    seized_token: I64
    repaid_token: I64
    price_x: F64
    is_past: npt.NDArray[np.bool_]
    total_debt_usd: F64
    repaid_usd: F64
    seized_usd: F64


def collateral_ladder(
    held_usd: npt.ArrayLike,
    owed_usd: npt.ArrayLike,
    liquidation_threshold_frac: npt.ArrayLike,
    liquidation_bonus_frac: npt.ArrayLike,
    is_falling: npt.ArrayLike,
) -> Ladder:
    """Let one asset fall, all other prices fixed, and liquidate each account whenever its health is below 1, until nothing is left.

    A step is the largest lawful liquidation of the account's largest debt against its largest collateral. It happens at the
    price at which health is 1, or at once where the step before left it below 1. A price that jumps past 0.95 of health closes
    whole debts where the ladder closes halves: what is sold by the end of the fall may then be sold earlier, and not less.

    Parameters
    ----------
    held_usd, owed_usd : float64[n_accounts, n_tokens]
        Collateral that counts, and debt, at the prices of now.
    liquidation_threshold_frac, liquidation_bonus_frac : float64[n_tokens]
    is_falling : bool[n_tokens]
        Tokens whose price follows the asset.

    Returns
    -------
    Ladder
        Sorted by account; within one, as the price falls.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index (of the flattened array).
    """
    held, owed = _not_negative("held_usd", held_usd).copy(), _not_negative("owed_usd", owed_usd).copy()
    threshold = _share("liquidation_threshold_frac", liquidation_threshold_frac)
    bonus = _not_negative("liquidation_bonus_frac", liquidation_bonus_frac)
    falling = np.asarray(is_falling, dtype=np.bool_)
    price = np.ones(held.shape[0])
    steps: list[tuple[npt.NDArray[Any], ...]] = []
    account = np.arange(held.shape[0])
    # Each step empties a leg, or halves the account's debt as long as both legs are worth 2,000: it ends.
    while account.size:
        account, at, is_unsound = _next_step(held, owed, threshold, falling, price, account)
        if not account.size:
            break
        price[account] = at
        scale = np.where(falling, at[:, None], 1.0)
        legs_held, legs_owed = held[account] * scale, owed[account] * scale
        seized_token, repaid_token = legs_held.argmax(axis=1), legs_owed.argmax(axis=1)
        rows = np.arange(account.size)
        collateral, debt = legs_held[rows, seized_token], legs_owed[rows, repaid_token]
        total = legs_owed.sum(axis=1)
        health = np.minimum((legs_held * threshold).sum(axis=1) / total, np.nextafter(1.0, 0.0))
        done = largest_liquidation(health, total, debt, collateral, bonus[seized_token])
        is_past = is_unsound & (at == 1.0)
        steps.append((account, seized_token, repaid_token, at, is_past, total, done.repaid_usd, done.seized_usd))
        # An emptied leg is 0, not what rounding leaves.
        left_held = np.where(done.seized_usd >= collateral, 0.0, collateral - done.seized_usd)
        left_owed = np.where(done.repaid_usd >= debt, 0.0, debt - done.repaid_usd)
        held[account, seized_token] = left_held / scale[rows, seized_token]
        owed[account, repaid_token] = left_owed / scale[rows, repaid_token]
    whole = [np.concatenate(column) for column in zip(*steps, strict=True)] if steps else [np.empty(0)] * 8
    order = np.argsort(whole[0], kind="stable")
    kinds = (np.int64, np.int64, np.int64, np.float64, np.bool_, np.float64, np.float64, np.float64)
    return Ladder(*(column[order].astype(kind) for column, kind in zip(whole, kinds, strict=True)))


def _next_step(
    held: F64, owed: F64, threshold: F64, falling: npt.NDArray[np.bool_], price: F64, account: I64
) -> tuple[I64, F64, npt.NDArray[np.bool_]]:
    """Return the accounts that are liquidated once more, the price at which, and which of them already are unsound."""
    cover, debt = held[account] * threshold, owed[account]
    moving, fixed = cover[:, falling].sum(axis=1), cover[:, ~falling].sum(axis=1)
    moving_debt, fixed_debt = debt[:, falling].sum(axis=1), debt[:, ~falling].sum(axis=1)
    now = price[account]
    is_unsound = fixed + now * moving < fixed_debt + now * moving_debt
    fails_at = collateral_liquidation_price(moving, 1.0, fixed, fixed_debt, moving_debt)
    fails_at = np.where((moving > moving_debt) & ~np.isnan(fails_at), np.minimum(now, fails_at), np.nan)
    at = np.where(is_unsound, now, fails_at)
    goes_on = ~np.isnan(at) & (cover.max(axis=1, initial=0.0) > 0) & (debt.max(axis=1, initial=0.0) > 0)
    return account[goes_on], at[goes_on], is_unsound[goes_on]


def collateral_liquidation_price(
    held_base: npt.ArrayLike,
    liquidation_threshold_frac: npt.ArrayLike,
    other_cover_usd: npt.ArrayLike,
    other_debt_usd: npt.ArrayLike,
    owed_base: npt.ArrayLike = 0.0,
) -> F64:
    """Return the price of one asset at which health is 1, all other prices fixed: ``(debt - cover) / (q LT - owed)``.

    Parameters
    ----------
    held_base, owed_base : float64[...]
        Quantity of the asset that is collateral, and that is owed. Where ``q LT > owed`` the account fails as the price
        falls to the result, else as it rises to it.
    liquidation_threshold_frac : float64[...]
        LT of the asset.
    other_cover_usd : float64[...]
        ``sum(C LT)`` of the other collaterals.
    other_debt_usd : float64[...]
        Debt in other assets.

    Returns
    -------
    float64[...]
        NaN where no price of this asset alone brings health to 1.

    Raises
    ------
    ValueError
        Where an argument is lawless; names the field and the first offending index (of the flattened array).
    """
    held, owed = _not_negative("held_base", held_base), _not_negative("owed_base", owed_base)
    cover, debt = _not_negative("other_cover_usd", other_cover_usd), _not_negative("other_debt_usd", other_debt_usd)
    threshold = _share("liquidation_threshold_frac", liquidation_threshold_frac)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = (debt - cover) / (held * threshold - owed)
    return np.where(np.isfinite(price) & (price > 0), price, np.nan)


def _share(field: str, values: npt.ArrayLike) -> F64:
    array = np.asarray(values, dtype=np.float64)
    refuse_flat(field, ~((array >= 0) & (array <= 1)), array, "must be inside [0, 1]")
    return array


def _not_negative(field: str, values: npt.ArrayLike, *, allow_infinite: bool = False) -> F64:
    array = np.asarray(values, dtype=np.float64)
    is_lawful = (array >= 0) & (np.isfinite(array) | allow_infinite)
    refuse_flat(field, ~is_lawful, array, "must be a number of at least 0")
    return array
