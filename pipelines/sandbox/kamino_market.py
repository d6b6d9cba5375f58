"""A made-up Kamino market: reserves, obligations, liquidations, and their accounts and instructions as the program writes them.

Belongs here: the market's numbers and its bytes, written from Kamino's published interface. Does not: slots, blocks and the JSON-RPC
dialect (``solana_node.py``). Nothing of ``pipelines/sources`` is imported. Interest accrues when `accrue` says so; a liquidation
repays a fifth of a debt at the least bonus, as its callers ask for, and checks no health.

References
----------
Kamino-Finance/klend, ``libs/klend-interface/src``: ``state/*.rs``, ``instructions/liquidate.rs``, ``lib.rs`` (addresses); SPL Token:
Transfer is tag 3, TransferChecked tag 12.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

PROGRAM = "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD"
TOKENS = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
# Where the real main market is.
MAIN_MARKET = "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF"
FRACTION = 1 << 60
_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data: bytes) -> str:
    """Write bytes in base58."""
    number, text = int.from_bytes(data), ""
    while number:
        text = _DIGITS[number % 58] + text
        number //= 58
    for byte in data:
        if byte:
            break
        text = "1" + text
    return text


def unbase58(text: str) -> bytes:
    """Read base58."""
    number = 0
    for c in text:
        number = 58 * number + _DIGITS.index(c)
    body = b"" if number == 0 else number.to_bytes(-(-number.bit_length() // 8))
    return bytes(len(text) - len(text.lstrip("1"))) + body


def named_key(name: str) -> bytes:
    """Return a public key of 32 bytes that a name stands for."""
    return hashlib.sha256(name.encode()).digest()


@dataclass
class Reserve:
    """A reserve; amounts in base units, those ending in `_sf` times 2^60, shares in per cent or basis points."""

    symbol: str
    decimals: int
    price_sf: int
    ltv_pct: int = 70
    threshold_pct: int = 75
    min_bonus_bps: int = 200
    max_bonus_bps: int = 1_000
    borrow_factor_pct: int = 100
    take_rate_pct: int = 15
    liquidation_fee_pct: int = 10
    deposit_limit: int = 2**64 - 1
    borrow_limit: int = 2**64 - 1
    available: int = 0
    borrowed_sf: int = 0
    fees_sf: tuple[int, int, int] = (0, 0, 0)
    claims: int = 0
    rate: int = FRACTION
    status: int = 0
    emergency: int = 0
    name_bytes: bytes | None = None

    def key(self, what: str = "reserve") -> bytes:
        """Return the address of the reserve or of one of its accounts."""
        return named_key(f"{what}/{self.symbol}")

    def total_sf(self) -> int:
        """Return what all claims together are worth."""
        return self.available * FRACTION + self.borrowed_sf - sum(self.fees_sf)

    def worth(self, claims: int) -> int:
        """Return what some claims are worth in whole base units."""
        return claims * self.total_sf() // (self.claims * FRACTION) if self.claims else claims


@dataclass
class Obligation:
    """What an account has deposited (claims) and borrowed (amount times 2^60, and the reserve's rate then), by symbol."""

    number: int
    deposits: dict[str, int] = field(default_factory=dict)
    borrows: dict[str, tuple[int, int]] = field(default_factory=dict)
    group: int = 0

    @property
    def key(self) -> bytes:
        """Return its address."""
        return named_key(f"obligation/{self.number}")


@dataclass(frozen=True)
class Liquidation:
    """One liquidation as it happened; `is_claims` where the liquidator took the claims and no tokens."""

    obligation: str
    seized: str
    repaid: str
    paid: int
    received: int
    fee: int
    claims: int
    liquidator: str
    is_claims: bool


@dataclass
class Market:
    """The market after the newest block."""

    reserves: dict[str, Reserve]
    obligations: dict[int, Obligation] = field(default_factory=dict)
    # Liquidation threshold in per cent by elevation group.
    groups: dict[int, int] = field(default_factory=lambda: {1: 90})
    address: bytes = field(default_factory=lambda: unbase58(MAIN_MARKET))

    def open(self, number: int, deposits: dict[str, int], borrows: dict[str, int], group: int = 0) -> Obligation:
        """Deposit tokens and borrow tokens, in base units; the reserves keep the books."""
        obligation = Obligation(number, group=group)
        for symbol, amount in deposits.items():
            reserve = self.reserves[symbol]
            claims = amount * reserve.claims * FRACTION // reserve.total_sf() if reserve.claims else amount
            reserve.available, reserve.claims = reserve.available + amount, reserve.claims + claims
            obligation.deposits[symbol] = claims
        for symbol, amount in borrows.items():
            reserve = self.reserves[symbol]
            reserve.available, reserve.borrowed_sf = reserve.available - amount, reserve.borrowed_sf + amount * FRACTION
            obligation.borrows[symbol] = (amount * FRACTION, reserve.rate)
        self.obligations[number] = obligation
        return obligation

    def accrue(self, symbol: str, growth_ppm: int) -> None:
        """Let a reserve's debt grow by so many millionths; a share goes to the protocol."""
        reserve = self.reserves[symbol]
        grown = reserve.borrowed_sf * growth_ppm // 10**6
        reserve.borrowed_sf += grown
        reserve.rate = reserve.rate * (10**6 + growth_ppm) // 10**6
        kept, referred, pending = reserve.fees_sf
        reserve.fees_sf = (kept + grown * reserve.take_rate_pct // 100, referred, pending)

    def owed(self, obligation: Obligation, symbol: str) -> int:
        """Return what an obligation owes in base units, rounded up."""
        amount_sf, rate = obligation.borrows.get(symbol, (0, FRACTION))
        return -(-amount_sf * self.reserves[symbol].rate // (rate * FRACTION))

    def held(self, obligation: Obligation, symbol: str) -> int:
        """Return what an obligation's claims are worth in base units."""
        return self.reserves[symbol].worth(obligation.deposits.get(symbol, 0))

    def is_sound(self, number: int) -> bool:
        """Return whether collateral at its thresholds is worth more than the debt after borrow factors."""
        obligation = self.obligations[number]
        cover = debt = Fraction(0)
        for symbol in {*obligation.deposits, *obligation.borrows}:
            r = self.reserves[symbol]
            unit = Fraction(r.price_sf, FRACTION * 100 * 10**r.decimals)
            cover += unit * self.held(obligation, symbol) * (self.groups.get(obligation.group) or r.threshold_pct)
            debt += unit * self.owed(obligation, symbol) * (100 if obligation.group else r.borrow_factor_pct)
        return cover > debt

    def liquidate(
        self, number: int, seized: str, repaid: str, *, liquidator: str, is_claims: bool = False
    ) -> Liquidation:
        """Repay a fifth of a debt against a collateral at the least bonus."""
        obligation, of, to = self.obligations[number], self.reserves[seized], self.reserves[repaid]
        paid = max(1, self.owed(obligation, repaid) // 5)
        gross = paid * to.price_sf * 10**of.decimals * (10_000 + of.min_bonus_bps)
        tokens = gross // (of.price_sf * 10**to.decimals * 10_000)
        claims = min(obligation.deposits[seized], tokens * of.claims * FRACTION // of.total_sf())
        received = of.worth(claims)
        bonus = received - received * 10_000 // (10_000 + of.min_bonus_bps)
        fee = -(-bonus * of.liquidation_fee_pct // 100)
        amount_sf, _ = obligation.borrows[repaid]
        left = amount_sf * to.rate // obligation.borrows[repaid][1] - paid * FRACTION
        obligation.borrows[repaid] = (left, to.rate)
        obligation.deposits[seized] -= claims
        to.available, to.borrowed_sf = to.available + paid, to.borrowed_sf - paid * FRACTION
        if not is_claims:
            of.available, of.claims = of.available - received, of.claims - claims
        return Liquidation(
            base58(obligation.key),
            seized,
            repaid,
            paid,
            received,
            fee,
            claims,
            base58(named_key(liquidator)),
            is_claims,
        )

    # -- bytes of accounts

    def accounts(self) -> dict[bytes, bytes]:
        """Return every account of the program by address."""
        found = {self.address: self._market_bytes()}
        found |= {r.key(): self._reserve_bytes(r) for r in self.reserves.values()}
        return found | {o.key: self._obligation_bytes(o) for o in self.obligations.values()}

    def _market_bytes(self) -> bytes:
        groups = b""
        for i in range(32):
            threshold = self.groups.get(i + 1)
            head = struct.pack(
                "<HBBBBBB", 300, i + 1 if threshold else 0, (threshold or 5) - 5, threshold or 0, 1, 8, 0
            )
            groups += head + bytes(32 + 32)
        body = struct.pack("<QQ", 1, 255) + bytes(32 + 32) + b"USD".ljust(32, b"\0")
        body += struct.pack("<HBBBBBB", 0, 0, 0, 0, 0, 20, 95) + struct.pack("<QQ", 2, 500_000) + bytes(16 + 32 + 8)
        body += groups
        return _account("LendingMarket", body.ljust(4656, b"\0"))

    def _reserve_bytes(self, r: Reserve) -> bytes:
        liquidity = r.key("mint") + r.key("supply") + r.key("fees") + struct.pack("<Q", r.available)
        liquidity += _wide(r.borrowed_sf) + _wide(r.price_sf) + struct.pack("<QQQQ", 1_770_000_000, r.decimals, 0, 0)
        liquidity += (
            _wide(r.rate, 32) + bytes(16) + b"".join(_wide(f) for f in (*r.fees_sf, 0)) + named_key("token program")
        )
        liquidity += struct.pack("<Q", 0) + bytes(8 * 50 + 16 * 32)
        collateral = r.key("claim mint") + struct.pack("<Q", r.claims) + r.key("claim supply") + bytes(1024)
        name = r.symbol.encode() if r.name_bytes is None else r.name_bytes
        config = struct.pack("<BBHHBB", r.status, 0, 0, 0, 0, 0) + struct.pack("<BB3xB", r.emergency, 0, 0)
        config += struct.pack("<BB", r.take_rate_pct, r.liquidation_fee_pct)
        config += struct.pack("<BBHHH", r.ltv_pct, r.threshold_pct, r.min_bonus_bps, r.max_bonus_bps, 100)
        config += struct.pack("<QQ", 0, 0) + bytes(24 + 88)
        config += struct.pack("<QQQ", r.borrow_factor_pct, r.deposit_limit, r.borrow_limit)
        config += name.ljust(32, b"\0") + bytes(384 - 32 + 2 * 32 + 20) + struct.pack("<BBBB", 0, 0, 0, 0)
        config = config.ljust(952, b"\0")
        body = struct.pack("<Q", 1) + _last_update() + self.address + bytes(64) + liquidity + bytes(1200) + collateral
        return _account("Reserve", (body + bytes(1200) + config).ljust(8616, b"\0"))

    def _obligation_bytes(self, o: Obligation) -> bytes:
        deposits = [
            self.reserves[s].key() + struct.pack("<Q", claims) + _wide(0) + struct.pack("<Q", 0) + bytes(72)
            for s, claims in o.deposits.items()
        ]
        borrows = [
            self.reserves[s].key()
            + _wide(rate, 32)
            + bytes(16)
            + struct.pack("<Q", 0)
            + _wide(amount_sf)
            + bytes(32 + 8 + 16 + 8 + 32)
            for s, (amount_sf, rate) in o.borrows.items()
        ]
        body = struct.pack("<Q", 0) + _last_update() + self.address + named_key(f"owner/{o.number}")
        body += b"".join(deposits).ljust(8 * 136, b"\0") + struct.pack("<Q", 0) + _wide(0)
        body += b"".join(borrows).ljust(5 * 200, b"\0") + bytes(4 * 16 + 13)
        body += struct.pack("<BBB", o.group, 0, 1 if o.borrows else 0)
        return _account("Obligation", body.ljust(3336, b"\0"))

    # -- instructions

    def instructions(self, done: Liquidation) -> list[dict[str, Any]]:
        """Return the liquidation's instruction and those that it called: program, accounts, data."""
        of, to = self.reserves[done.seized], self.reserves[done.repaid]
        own = [base58(named_key(f"{done.liquidator}/{what}")) for what in ("source", "claims", "destination")]
        seized = [base58(of.key(w)) for w in ("reserve", "mint", "claim mint", "claim supply", "supply", "fees")]
        repaid = [base58(to.key(w)) for w in ("reserve", "mint", "supply")]
        authority, market = base58(named_key("authority")), base58(self.address)
        accounts = [done.liquidator, done.obligation, market, authority, *repaid, *seized, *own]
        accounts += [TOKENS, TOKENS, TOKENS, base58(named_key("sysvar")), *[PROGRAM] * 4, base58(named_key("farms"))]
        data = _discriminator("global:liquidate_obligation_and_redeem_reserve_collateral_v2") + struct.pack(
            "<QQQ", done.paid, 0, 0
        )
        called = [
            _checked(own[0], repaid[1], repaid[2], done.liquidator, done.paid, to.decimals),
            _checked(seized[3], seized[2], own[1], authority, done.claims, of.decimals),
        ]
        if not done.is_claims:
            called.append(_checked(seized[4], seized[1], own[2], authority, done.received, of.decimals))
            called.append(_plain(own[2], seized[5], done.liquidator, done.fee))
        return [{"program": PROGRAM, "accounts": accounts, "data": data}, *called]


def _account(name: str, body: bytes) -> bytes:
    return _discriminator(f"account:{name}") + body


def _discriminator(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:8]


def _wide(value: int, length: int = 16) -> bytes:
    return value.to_bytes(length, "little")


def _last_update() -> bytes:
    return struct.pack("<QBB2xI", 1, 0, 0, 1_770_000_000)


def _plain(source: str, destination: str, authority: str, amount: int) -> dict[str, Any]:
    return {"program": TOKENS, "accounts": [source, destination, authority], "data": struct.pack("<BQ", 3, amount)}


def _checked(source: str, mint: str, destination: str, authority: str, amount: int, decimals: int) -> dict[str, Any]:
    data = struct.pack("<BQB", 12, amount, decimals)
    return {"program": TOKENS, "accounts": [source, mint, destination, authority], "data": data}
