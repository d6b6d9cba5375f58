"""Lending accounts: health, what one liquidation may repay and seize, and the price at which an account fails (Aave v3.3+).

Belongs here: Aave's rules as formulas over arrays, in USD of the pool's price feed. Does not: which reserves and parameters
a pool has (data), who liquidates and when, the sale of seized collateral (the replay). The contract's integer rounding
(8 decimals of USD, basis points, token units) is not modelled: figures agree with it to its last digits only.

References
----------
docs/cascade.md, section 4. Aave DAO, "Aave v3.3 features" (liquidation improvements: close factor, dust) and the contract
`LiquidationLogic` of aave-v3-origin, v3.3 and later. Warmuz, Chaudhary and Pinna (2022), *Toxic Liquidation
Spirals*, arXiv:2212.07306: a liquidation lowers health exactly where LTV x (1 + bonus) > 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.cascade.liquidation import refuse_flat

F64 = npt.NDArray[np.float64]

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
