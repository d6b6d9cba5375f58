"""One Kamino market: what its accounts and liquidations say, as rows of the raw tables.

Belongs here: the market's rules as far as rows need them. Does not: bytes (``kamino_layout.py``), one provider (``solana.py``), days
and providers (``solana_lending.py``).

An obligation is an account of the market; its owner may have several. What it holds are claims on a reserve, what it owes grows with
the reserve's interest: both are told in the reserve's tokens, as of the reserve's last refresh. Kamino keeps the obligation's health as
of the obligation's own last refresh, which may be days old: health here is taken anew, by its rules, at the reserves' prices.

References
----------
Kamino-Finance/klend, ``programs/klend``: ``state/reserve.rs`` (claims to tokens), ``state/obligation.rs`` (liquidatable where the debt
after borrow factors exceeds the collateral at its thresholds), ``handlers/handler_liquidate_obligation_and_redeem_reserve_collateral.rs``
(transfers); ``libs/klend-interface``: ``instructions/liquidate.rs`` (accounts of the instruction).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from assets.cascade.lending import collateral_liquidation_price
from assets.ports import SourceOutage
from pipelines.sources.chains.kamino_layout import ONE_SF, bytes_of, cap_of, decoded, discriminator, key, wide
from pipelines.sources.chains.solana import Instruction, Transaction, token_transfer

Row = dict[str, Any]

PROGRAM = "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD"

_NO_DEBT = 2**256 - 1
_LIQUIDATE = {
    discriminator("global", "liquidate_obligation_and_redeem_reserve_collateral"),
    discriminator("global", "liquidate_obligation_and_redeem_reserve_collateral_v2"),
}
# Places of the instruction's accounts; before 2024 it had 16 accounts in another order, and that one is not read.
_LEAST_ACCOUNTS = 20
_LIQUIDATOR, _OBLIGATION, _MARKET = 0, 1, 2
_REPAY_RESERVE, _REPAY_VAULT = 4, 6
_SEIZED_RESERVE, _CLAIM_MINT, _CLAIM_VAULT, _SEIZED_VAULT, _FEE_VAULT = 7, 9, 10, 11, 12
_DESTINATION_CLAIM, _DESTINATION = 14, 15


@dataclass(frozen=True)
class KaminoReserve:
    """A reserve of the market as far as accounts and rows need it; amounts in base units, exact.

    `liquidity` is what claims are worth altogether, `claims` their number, `rate` the index of its interest.
    """

    address: str
    mint: str
    fee_vault: str
    symbol: str
    decimals: int
    price: Fraction
    threshold: Fraction
    borrow_factor: Fraction
    liquidity: Fraction
    claims: int
    rate: int
    row: Mapping[str, Any]

    def tokens(self, claims: int) -> int:
        """Return what some claims are worth, as a redemption would: rounded down."""
        worth = Fraction(claims) * self.liquidity / self.claims if self.claims and self.liquidity else Fraction(claims)
        return worth.numerator // worth.denominator

    def value(self, amount: int) -> Fraction:
        """Return an amount's value in dollars."""
        return Fraction(amount, 10**self.decimals) * self.price


def reserve_of(address: str, data: bytes) -> KaminoReserve:
    """Return a reserve from its account."""
    record = decoded("Reserve", data)
    liquidity, config = record["liquidity"], record["config"]
    decimals = int(liquidity["decimals"])
    ltv, threshold = int(config["ltv_pct"]), int(config["threshold_pct"])
    if decimals > 36 or max(ltv, threshold) > 100:
        raise SourceOutage(
            "venue_error", f"reserve {address} tells decimals or shares that cannot be: Kamino's layout has changed"
        )
    unit = 10**decimals
    borrowed = Fraction(wide(liquidity["borrowed_sf"]), ONE_SF)
    fees = sum(wide(liquidity[f]) for f in ("protocol_fees_sf", "referrer_fees_sf", "pending_referrer_fees_sf"))
    total = int(liquidity["available"]) + borrowed - Fraction(fees, ONE_SF)
    if total < 0:
        raise SourceOutage(
            "venue_error", f"reserve {address} owes more in fees than it holds: Kamino's layout has changed"
        )
    price = Fraction(wide(liquidity["price_sf"]), ONE_SF)
    deposit_limit, borrow_limit = int(config["deposit_limit"]), int(config["borrow_limit"])
    symbol = _symbol(bytes(config["token_name"]))
    mint = key(liquidity["mint"])
    row = {
        "token_symbol": symbol,
        "token_address": mint,
        "token_decimals_count": decimals,
        "ltv_frac": ltv / 100,
        "liquidation_threshold_frac": threshold / 100,
        # The premium grows from here to the largest as the account sinks below its threshold.
        "liquidation_bonus_frac": int(config["min_bonus_bps"]) / 10_000 if threshold else None,
        "protocol_fee_frac": int(config["liquidation_fee_pct"]) / 100,
        "reserve_factor_frac": int(config["take_rate_pct"]) / 100,
        "supply_cap_base": cap_of(deposit_limit, unit),
        "borrow_cap_base": cap_of(borrow_limit, unit),
        "supplied_raw": str(total.numerator // total.denominator),
        "borrowed_raw": str(_up(borrowed)),
        "oracle_price_quote": float(price),
        "is_collateral_enabled": ltv > 0 and not config["is_no_collateral_outside_groups"],
        "is_borrowing_enabled": borrow_limit > 0,
        "is_active": int(config["status"]) == 0,
        "is_frozen": deposit_limit == 0 and borrow_limit == 0,
        "is_paused": bool(config["emergency_mode"]),
    }
    return KaminoReserve(
        address=address,
        mint=mint,
        fee_vault=key(liquidity["fee_vault"]),
        symbol=symbol,
        decimals=decimals,
        price=price,
        threshold=Fraction(threshold, 100),
        borrow_factor=Fraction(int(config["borrow_factor_pct"]), 100),
        liquidity=total,
        claims=int(record["collateral"]["supply"]),
        rate=wide(liquidity["cumulative_rate_bsf"]),
        row=row,
    )


def group_thresholds(data: bytes) -> dict[int, Fraction]:
    """Return the liquidation threshold of each elevation group of a market."""
    record = decoded("LendingMarket", data)
    if max(int(g["threshold_pct"]) for g in record["elevation_groups"]) > 100:
        raise SourceOutage("venue_error", "an elevation group tells a share above 1: Kamino's layout has changed")
    return {int(g["id"]): Fraction(int(g["threshold_pct"]), 100) for g in record["elevation_groups"] if g["id"]}


@dataclass(frozen=True)
class _Leg:
    """What an obligation has of one reserve in base units, and by which rules it counts."""

    reserve: KaminoReserve
    held: int
    owed: int
    threshold: Fraction
    factor: Fraction


def position_rows(
    address: str, data: bytes, reserves: Mapping[str, KaminoReserve], groups: Mapping[int, Fraction]
) -> list[Row]:
    """Return rows of ``lending_positions`` of one obligation, without place and instant; none where it owes nothing.

    Raises
    ------
    SourceOutage
        Where it names a reserve or an elevation group that the market does not have.
    """
    record = decoded("Obligation", data)
    group = int(record["elevation_group"])
    if group and group not in groups:
        raise SourceOutage("venue_error", f"obligation {address} is in elevation group {group}, which the market lacks")
    try:
        legs = _legs(record, reserves, groups.get(group))
    except KeyError as error:
        raise SourceOutage(
            "venue_error", f"obligation {address} names reserve {error}, which the market lacks"
        ) from None
    if not any(leg.owed for leg in legs):
        return []
    values = [(leg.reserve.value(leg.held), leg.reserve.value(leg.owed)) for leg in legs]
    collateral, debt = (sum(side, Fraction(0)) for side in zip(*values, strict=True))
    cover = sum((held * leg.threshold for leg, (held, _) in zip(legs, values, strict=True)), Fraction(0))
    adjusted = sum((owed * leg.factor for leg, (_, owed) in zip(legs, values, strict=True)), Fraction(0))
    health = cover * 10**18 // adjusted if adjusted else _NO_DEBT
    account = {
        "user_address": address,
        "account_collateral_usd": float(collateral),
        "account_debt_usd": float(debt),
        "account_threshold_frac": float(cover / collateral) if collateral else 0.0,
        "health_factor_raw": str(health),
        "health_factor_x": None if health == _NO_DEBT else health / 10**18,
    }
    return [
        account
        | {
            "token_symbol": leg.reserve.symbol,
            "token_address": leg.reserve.mint,
            "token_decimals_count": leg.reserve.decimals,
            "supplied_raw": str(leg.held),
            "borrowed_raw": str(leg.owed),
            "is_collateral": leg.held > 0 and leg.threshold > 0,
            "oracle_price_quote": float(leg.reserve.price),
            "liquidation_threshold_frac": float(leg.threshold),
            "est_liquidation_price_quote": price,
        }
        for leg, price in zip(legs, _liquidation_prices(legs), strict=True)
    ]


def _legs(record: Any, reserves: Mapping[str, KaminoReserve], of_group: Fraction | None) -> list[_Leg]:
    """Return an obligation's legs in order of reserve; in an elevation group its threshold holds, and no borrow factor."""
    held: Counter[str] = Counter()
    owed: Counter[str] = Counter()
    for slot in record["deposits"]:
        if int(slot["amount"]):
            reserve = reserves[key(slot["reserve"])]
            held[reserve.address] += reserve.tokens(int(slot["amount"]))
    for slot in record["borrows"]:
        if wide(slot["amount_sf"]):
            reserve = reserves[key(slot["reserve"])]
            # Interest since the obligation's last refresh: the reserve's index over the obligation's.
            since = Fraction(reserve.rate, wide(slot["cumulative_rate_bsf"]) or reserve.rate or 1)
            owed[reserve.address] += _up(Fraction(wide(slot["amount_sf"]), ONE_SF) * since)
    return [
        _Leg(
            r,
            held[r.address],
            owed[r.address],
            r.threshold if of_group is None else of_group,
            r.borrow_factor if of_group is None else Fraction(1),
        )
        for r in (reserves[a] for a in sorted({*held, *owed}))
    ]


def call_rows(transaction: Transaction, market: str, reserves: Mapping[str, KaminoReserve]) -> list[Row]:
    """Return rows of ``lending_liquidations`` of one transaction, without place and block.

    Amounts are those of the transfers that the instruction made: what the liquidator paid, and what it received after the
    protocol's fee. Where the reserve had no tokens the liquidator received the claims, and the row says so.

    Raises
    ------
    SourceOutage
        Where the instruction or its transfers are not of the documented kind.
    """
    if transaction.is_failed:
        return []
    return [
        _call_row(transaction, place, one, reserves)
        for place, one in enumerate(transaction.instructions)
        if one.program == PROGRAM and bytes_of(one.data)[:8] in _LIQUIDATE and _is_of(one, market)
    ]


def _is_of(one: Instruction, market: str) -> bool:
    if len(one.accounts) < _LEAST_ACCOUNTS:
        raise SourceOutage(
            "venue_error", f"a liquidation with {len(one.accounts)} accounts: of before its accounts' present order"
        )
    return one.accounts[_MARKET] == market


def _call_row(transaction: Transaction, place: int, one: Instruction, reserves: Mapping[str, KaminoReserve]) -> Row:
    accounts = one.accounts
    try:
        repaid, seized = reserves[accounts[_REPAY_RESERVE]], reserves[accounts[_SEIZED_RESERVE]]
    except KeyError as error:
        raise SourceOutage("venue_error", f"a liquidation names reserve {error}, which the market lacks") from None
    moved = [t for called in transaction.called_by(place) if (t := token_transfer(called, bytes_of)) is not None]
    paid = sum(amount for _, to, amount in moved if to == accounts[_REPAY_VAULT])
    received = sum(amount for of, to, amount in moved if (of, to) == (accounts[_SEIZED_VAULT], accounts[_DESTINATION]))
    fee = sum(amount for of, to, amount in moved if (of, to) == (accounts[_DESTINATION], accounts[_FEE_VAULT]))
    claims = sum(
        amount for of, to, amount in moved if (of, to) == (accounts[_CLAIM_VAULT], accounts[_DESTINATION_CLAIM])
    )
    if not paid or not (received or claims) or fee > received:
        raise SourceOutage(
            "venue_error",
            f"liquidation {transaction.signature}:{one.place}: its transfers are not of the documented kind",
        )
    return {
        "call_id": f"{transaction.signature}:{one.place}",
        "transaction_hash": transaction.signature,
        "user_address": accounts[_OBLIGATION],
        "liquidator_address": accounts[_LIQUIDATOR],
        "collateral_symbol": seized.symbol if received else f"claim on {seized.symbol}",
        "collateral_address": seized.mint if received else accounts[_CLAIM_MINT],
        "collateral_seized_raw": str(received - fee if received else claims),
        "collateral_decimals_count": seized.decimals,
        "debt_symbol": repaid.symbol,
        "debt_address": repaid.mint,
        "debt_repaid_raw": str(paid),
        "debt_decimals_count": repaid.decimals,
        "amounts_unit": "base_units",
        "is_atoken_received": not received,
    }


def _liquidation_prices(legs: Sequence[_Leg]) -> Iterator[float | None]:
    """Yield per leg the price of its token at which health is 1, all others fixed; None where there is none."""
    held = np.array([leg.held / 10**leg.reserve.decimals for leg in legs])
    owed = np.array([float(leg.factor) * leg.owed / 10**leg.reserve.decimals for leg in legs])
    price = np.array([float(leg.reserve.price) for leg in legs])
    threshold = np.array([float(leg.threshold) for leg in legs])
    cover, debt = held * price * threshold, owed * price
    found = collateral_liquidation_price(
        held, threshold, np.maximum(cover.sum() - cover, 0.0), np.maximum(debt.sum() - debt, 0.0), owed
    )
    yield from (None if np.isnan(x) else float(x) for x in found)


def _symbol(name: bytes) -> str:
    try:
        return name.rstrip(b"\0").decode() or "unknown"
    except UnicodeDecodeError:
        return "unknown"


def _up(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
