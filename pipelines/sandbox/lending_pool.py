"""A made-up Aave v3 market: reserves, accounts, and what a call of its contracts does and answers, in the contracts' integers.

Belongs here: the rules of supply, debt, health and liquidation, written from Aave's documentation, and the getters' wire
format. Does not: who does what and when (``lending_accounts.py``), blocks (``evm_chain.py``). Nothing of ``assets/cascade`` is
imported: the product's own mathematics is tested against this. Interest does not accrue, and there is no e-mode.

References
----------
Aave v3 developer docs (Pool, AaveProtocolDataProvider, AaveOracle) and "Aave v3.3 features": close factor of 50 % of the
account's debt, of the whole reserve at a health of 0.95 and below or where a leg is below 2,000 dollars; no leftover below
1,000 dollars. Amounts round down, shares of 10,000 and of 1e18 round half up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from pipelines.sandbox.evm_chain import Log

WAD = 10**18
BPS = 10_000
USD = 10**8
CLOSE_ALL_AT = 95 * 10**16
CLOSE_HALF_BPS = 5_000
SMALL_LEG = 2_000 * USD
LEAST_LEFTOVER = 1_000 * USD

# Where the real market stands (aave-dao/aave-address-book, Ethereum), so that a client which knows it runs unchanged.
PROVIDER = "0x2f39d218133afab8f2b819b1066c7e434ad94e9e"
POOL = "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2"
DATA_PROVIDER = "0x" + "a2" * 20
ORACLE = "0x" + "a3" * 20


class Refused(Exception):
    """The contract would revert; the message says why."""


@dataclass(frozen=True)
class Reserve:
    """A token of the market; shares in 1/10,000, `bonus_bps` with the 10,000 in it, caps in whole tokens (0 = none)."""

    symbol: str
    address: str
    decimals: int
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    fee_bps: int = 1_000
    reserve_factor_bps: int = 1_500
    supply_cap: int = 0
    borrow_cap: int = 0

    @property
    def unit(self) -> int:
        """One token in base units."""
        return int(10**self.decimals)


@dataclass(frozen=True)
class Holding:
    """What an account has of one reserve, in base units."""

    supplied: int = 0
    borrowed: int = 0
    is_collateral: bool = True


@dataclass(frozen=True)
class AccountData:
    """The account as ``getUserAccountData`` tells it: values in 1e-8 dollars, shares in 1/10,000, health times 1e18."""

    collateral: int
    debt: int
    available: int
    threshold_bps: int
    ltv_bps: int
    health: int


@dataclass(frozen=True)
class Seizure:
    """What one liquidation did, in base units; the fee is the protocol's and not the liquidator's."""

    repaid: int
    seized: int
    fee: int


@dataclass(frozen=True)
class PoolState:
    """The market after a block: oracle prices (1e-8 dollars) by token, holdings by account and token."""

    reserves: tuple[Reserve, ...]
    prices: Mapping[str, int]
    accounts: Mapping[str, Mapping[str, Holding]] = field(default_factory=dict)

    def reserve(self, token: str) -> Reserve:
        """Return the reserve of a token's address."""
        for reserve in self.reserves:
            if reserve.address == token:
                return reserve
        raise Refused(f"no reserve {token}")

    def holding(self, user: str, token: str) -> Holding:
        """Return what an account has of a token."""
        return self.accounts.get(user, {}).get(token, Holding())

    def value(self, token: str, amount: int) -> int:
        """Return an amount's value in 1e-8 dollars."""
        return amount * self.prices[token] // self.reserve(token).unit

    def priced(self, prices: Mapping[str, int]) -> PoolState:
        """Return the market with other prices."""
        return replace(self, prices=dict(prices))

    def with_holding(self, user: str, token: str, holding: Holding) -> PoolState:
        """Return the market with an account's holding replaced."""
        return replace(self, accounts={**self.accounts, user: {**self.accounts.get(user, {}), token: holding}})

    def account(self, user: str) -> AccountData:
        """Return an account's totals and its health; 2^256-1 where it owes nothing."""
        collateral = debt = by_threshold = by_ltv = 0
        for token, holding in self.accounts.get(user, {}).items():
            reserve = self.reserve(token)
            if holding.supplied and holding.is_collateral and reserve.threshold_bps:
                value = self.value(token, holding.supplied)
                collateral += value
                by_threshold += value * reserve.threshold_bps
                by_ltv += value * reserve.ltv_bps
            debt += self.value(token, holding.borrowed)
        threshold = by_threshold // collateral if collateral else 0
        ltv = by_ltv // collateral if collateral else 0
        health = 2**256 - 1 if debt == 0 else _half_up(_half_up(collateral * threshold, BPS) * WAD, debt)
        return AccountData(collateral, debt, max(0, _half_up(collateral * ltv, BPS) - debt), threshold, ltv, health)

    def supply(self, user: str, token: str, amount: int) -> PoolState:
        """Supply tokens."""
        held = self.holding(user, token)
        return self.with_holding(user, token, replace(held, supplied=held.supplied + amount))

    def withdraw(self, user: str, token: str, amount: int) -> PoolState:
        """Withdraw tokens; refused where it would leave the account below a health of 1."""
        held = self.holding(user, token)
        if amount > held.supplied:
            raise Refused("more than was supplied")
        after = self.with_holding(user, token, replace(held, supplied=held.supplied - amount))
        if after.account(user).health < WAD:
            raise Refused("health would fall below 1")
        return after

    def borrow(self, user: str, token: str, amount: int) -> PoolState:
        """Borrow tokens, as far as the loan-to-value allows."""
        if self.value(token, amount) > self.account(user).available:
            raise Refused("more than the collateral allows")
        held = self.holding(user, token)
        return self.with_holding(user, token, replace(held, borrowed=held.borrowed + amount))

    def repay(self, user: str, token: str, amount: int) -> PoolState:
        """Repay debt, at most what is owed."""
        held = self.holding(user, token)
        return self.with_holding(user, token, replace(held, borrowed=held.borrowed - min(amount, held.borrowed)))

    def max_repayable(self, user: str, seized_token: str, repaid_token: str) -> int:
        """Return how much of one debt one liquidation may repay, in base units; 0 where the account is sound."""
        data, owed = self.account(user), self.holding(user, repaid_token).borrowed
        if data.health >= WAD:
            return 0
        legs = (self.value(repaid_token, owed), self.value(seized_token, self.holding(user, seized_token).supplied))
        if data.health <= CLOSE_ALL_AT or min(legs) < SMALL_LEG:
            return owed
        half = _half_up(data.debt * CLOSE_HALF_BPS, BPS)
        return owed if legs[0] <= half else half * self.reserve(repaid_token).unit // self.prices[repaid_token]

    def liquidate(
        self, user: str, seized_token: str, repaid_token: str, amount: int = 2**256 - 1
    ) -> tuple[PoolState, Seizure]:
        """Repay an account's debt and take its collateral with the bonus, as the contract does.

        Raises
        ------
        Refused
            Where the account is sound, has no such collateral or debt, or too little would be left of a leg.
        """
        limit = self.max_repayable(user, seized_token, repaid_token)
        held = self.holding(user, seized_token)
        owed = self.holding(user, repaid_token).borrowed
        if limit == 0 or not held.supplied or not held.is_collateral:
            raise Refused("the account is sound, or has no such legs")
        seized_reserve, repaid_reserve = self.reserve(seized_token), self.reserve(repaid_token)
        repaid = min(amount, limit)
        price, debt_price = self.prices[seized_token], self.prices[repaid_token]
        plain = debt_price * repaid * seized_reserve.unit // (price * repaid_reserve.unit)
        seized = _half_up(plain * seized_reserve.bonus_bps, BPS)
        if seized > held.supplied:
            seized = held.supplied
            worth = price * seized * repaid_reserve.unit // (debt_price * seized_reserve.unit)
            repaid = min(repaid, _half_up(worth * BPS, seized_reserve.bonus_bps))
        left_debt, left_collateral = owed - repaid, held.supplied - seized
        if left_debt and left_collateral:
            values = (self.value(repaid_token, left_debt), self.value(seized_token, left_collateral))
            if min(values) < LEAST_LEFTOVER:
                raise Refused("must not leave dust")
        bonus = seized - _half_up(seized * BPS, seized_reserve.bonus_bps)
        fee = _half_up(bonus * seized_reserve.fee_bps, BPS)
        after = self.with_holding(user, seized_token, replace(held, supplied=left_collateral))
        owing = after.holding(user, repaid_token)
        after = after.with_holding(user, repaid_token, replace(owing, borrowed=left_debt))
        return after, Seizure(repaid, seized - fee, fee)


def _half_up(numerator: int, denominator: int) -> int:
    return (numerator + denominator // 2) // denominator


# -- logs


def _selector(signature: str) -> str:
    return keccak(text=signature)[:4].hex()


def _word(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def _event(signature: str, indexed: Sequence[str], types: Sequence[str], values: Sequence[Any]) -> Log:
    return Log(POOL, ("0x" + keccak(text=signature).hex(), *indexed), "0x" + encode(types, values).hex())


def supply_log(user: str, token: str, amount: int) -> Log:
    """Return the log of a supply."""
    signature = "Supply(address,address,address,uint256,uint16)"
    return _event(signature, (_word(token), _word(user), f"0x{0:064x}"), ["address", "uint256"], [user, amount])


def withdraw_log(user: str, token: str, amount: int) -> Log:
    """Return the log of a withdrawal."""
    signature = "Withdraw(address,address,address,uint256)"
    return _event(signature, (_word(token), _word(user), _word(user)), ["uint256"], [amount])


def borrow_log(user: str, token: str, amount: int) -> Log:
    """Return the log of a loan at a variable rate."""
    signature = "Borrow(address,address,address,uint256,uint8,uint256,uint16)"
    types = ["address", "uint256", "uint8", "uint256"]
    return _event(signature, (_word(token), _word(user), f"0x{0:064x}"), types, [user, amount, 2, 0])


def repay_log(user: str, token: str, amount: int) -> Log:
    """Return the log of a repayment."""
    signature = "Repay(address,address,address,uint256,bool)"
    return _event(signature, (_word(token), _word(user), _word(user)), ["uint256", "bool"], [amount, False])


def liquidation_log(user: str, seized_token: str, repaid_token: str, done: Seizure, liquidator: str) -> Log:
    """Return the log of a liquidation call; the seized amount is without the protocol's fee."""
    signature = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
    types = ["uint256", "uint256", "address", "bool"]
    return _event(
        signature,
        (_word(seized_token), _word(repaid_token), _word(user)),
        types,
        [done.repaid, done.seized, liquidator, False],
    )


# -- getters


def answer(state: PoolState, to: str, data: str) -> str | None:
    """Answer an eth_call of the market's contracts in hex; None where there is no such contract or function."""
    found = _GETTERS.get((to, data[2:10]))
    if found is None:
        return None
    inputs, outputs, get = found
    values = get(state, *decode(inputs, bytes.fromhex(data[10:])))
    return "0x" + encode(outputs, list(values)).hex()


def _rules(state: PoolState, token: str) -> tuple[Any, ...]:
    r = state.reserve(token)
    is_collateral = r.threshold_bps > 0
    return (
        r.decimals,
        r.ltv_bps,
        r.threshold_bps,
        r.bonus_bps,
        r.reserve_factor_bps,
        is_collateral,
        True,
        False,
        True,
        False,
    )


def _held(state: PoolState, token: str, user: str) -> tuple[Any, ...]:
    h = state.holding(user, token)
    return h.supplied, 0, h.borrowed, 0, h.borrowed, 0, 0, 0, h.is_collateral


def _total(state: PoolState, token: str, what: str) -> int:
    return sum(getattr(holdings.get(token, Holding()), what) for holdings in state.accounts.values())


def _account(state: PoolState, user: str) -> tuple[int, ...]:
    a = state.account(user)
    return a.collateral, a.debt, a.available, a.threshold_bps, a.ltv_bps, a.health


def _caps(state: PoolState, token: str) -> tuple[int, int]:
    r = state.reserve(token)
    return r.borrow_cap, r.supply_cap


_RULE_TYPES = ["uint256"] * 5 + ["bool"] * 5
_HELD_TYPES = ["uint256"] * 7 + ["uint40", "bool"]
_Get = Callable[..., Sequence[Any]]
_GETTERS: dict[tuple[str, str], tuple[list[str], list[str], _Get]] = {
    (to, _selector(f"{name}({','.join(inputs)})")): (inputs, outputs, get)
    for to, name, inputs, outputs, get in (
        (PROVIDER, "getPool", [], ["address"], lambda s: (POOL,)),
        (PROVIDER, "getPoolDataProvider", [], ["address"], lambda s: (DATA_PROVIDER,)),
        (PROVIDER, "getPriceOracle", [], ["address"], lambda s: (ORACLE,)),
        (POOL, "getUserAccountData", ["address"], ["uint256"] * 6, _account),
        (POOL, "getUserEMode", ["address"], ["uint256"], lambda s, user: (0,)),
        (
            DATA_PROVIDER,
            "getAllReservesTokens",
            [],
            ["(string,address)[]"],
            lambda s: ([(r.symbol, r.address) for r in s.reserves],),
        ),
        (DATA_PROVIDER, "getReserveConfigurationData", ["address"], _RULE_TYPES, _rules),
        (DATA_PROVIDER, "getReserveCaps", ["address"], ["uint256"] * 2, _caps),
        (DATA_PROVIDER, "getLiquidationProtocolFee", ["address"], ["uint256"], lambda s, t: (s.reserve(t).fee_bps,)),
        (DATA_PROVIDER, "getPaused", ["address"], ["bool"], lambda s, t: (False,)),
        (DATA_PROVIDER, "getATokenTotalSupply", ["address"], ["uint256"], lambda s, t: (_total(s, t, "supplied"),)),
        (DATA_PROVIDER, "getTotalDebt", ["address"], ["uint256"], lambda s, t: (_total(s, t, "borrowed"),)),
        (DATA_PROVIDER, "getUserReserveData", ["address", "address"], _HELD_TYPES, _held),
        (ORACLE, "getAssetPrice", ["address"], ["uint256"], lambda s, t: (s.prices[t],)),
        (ORACLE, "BASE_CURRENCY_UNIT", [], ["uint256"], lambda s: (USD,)),
    )
}
