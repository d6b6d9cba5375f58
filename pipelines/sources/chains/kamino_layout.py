"""Kamino's accounts byte by byte, the names by which its program tells them apart, and base58.

Belongs here: layouts, discriminators, what a number with a scale means. Does not: which accounts are asked for
(``solana_lending.py``), rows (``kamino.py``).

Fields behind the last one that is read are one block: the lengths of whole accounts are checked all the same.

References
----------
Kamino-Finance/klend, ``libs/klend-interface``: ``state/{obligation,reserve,lending_market,common}.rs`` (layouts and lengths),
``fraction.rs`` (2^60 is one), ``discriminators.rs``; Anchor: an account begins with the first 8 bytes of
SHA-256("account:Name"), an instruction with those of SHA-256("global:name").
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np

from assets.ports import SourceOutage

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PLACE = {c: i for i, c in enumerate(_BASE58)}

KEY = "V32"
U128 = ("<u8", (2,))
# 1.0 in fields whose name ends in `_sf`.
ONE_SF = 1 << 60
_UNLIMITED = 2**64 - 1

_LAST_UPDATE = np.dtype([("slot", "<u8"), ("flags", "V4"), ("timestamp", "<u4")])
_DEPOSIT = np.dtype(
    [("reserve", KEY), ("amount", "<u8"), ("market_value_sf", *U128), ("in_elevation_group", "<u8"), ("padding", "V72")]
)
_BORROW = np.dtype(
    [
        ("reserve", KEY),
        ("cumulative_rate_bsf", "<u8", (4,)),
        ("rate_padding", "V16"),
        ("last_borrowed_at_s", "<u8"),
        ("amount_sf", *U128),
        ("market_value_sf", *U128),
        ("adjusted_market_value_sf", *U128),
        ("outside_elevation_groups", "<u8"),
        ("rollover", "V16"),
        ("at_expiration", "<u8"),
        ("padding", "V32"),
    ]
)
OBLIGATION = np.dtype(
    [
        ("tag", "<u8"),
        ("last_update", _LAST_UPDATE),
        ("lending_market", KEY),
        ("owner", KEY),
        ("deposits", _DEPOSIT, (8,)),
        ("lowest_liquidation_ltv", "<u8"),
        ("deposited_value_sf", *U128),
        ("borrows", _BORROW, (5,)),
        ("adjusted_debt_value_sf", *U128),
        ("borrowed_value_sf", *U128),
        ("allowed_borrow_value_sf", *U128),
        ("unhealthy_borrow_value_sf", *U128),
        ("asset_tiers", "V13"),
        ("elevation_group", "u1"),
        ("obsolete_deposits", "u1"),
        ("has_debt", "u1"),
        ("rest", "V1056"),
    ]
)
_LIQUIDITY = np.dtype(
    [
        ("mint", KEY),
        ("supply_vault", KEY),
        ("fee_vault", KEY),
        ("available", "<u8"),
        ("borrowed_sf", *U128),
        ("price_sf", *U128),
        ("price_updated_at_s", "<u8"),
        ("decimals", "<u8"),
        ("limits_crossed", "V16"),
        ("cumulative_rate_bsf", "<u8", (4,)),
        ("rate_padding", "V16"),
        ("protocol_fees_sf", *U128),
        ("referrer_fees_sf", *U128),
        ("pending_referrer_fees_sf", *U128),
        ("rest", "V968"),
    ]
)
_COLLATERAL = np.dtype([("mint", KEY), ("supply", "<u8"), ("supply_vault", KEY), ("padding", "V1024")])
_CONFIG = np.dtype(
    [
        ("status", "u1"),
        ("skipped", "V7"),
        ("emergency_mode", "u1"),
        ("skipped_too", "V5"),
        ("take_rate_pct", "u1"),
        ("liquidation_fee_pct", "u1"),
        ("ltv_pct", "u1"),
        ("threshold_pct", "u1"),
        ("min_bonus_bps", "<u2"),
        ("max_bonus_bps", "<u2"),
        ("bad_debt_bonus_bps", "<u2"),
        ("deleveraging", "V16"),
        ("fees", "V24"),
        ("rate_curve", "V88"),
        ("borrow_factor_pct", "<u8"),
        ("deposit_limit", "<u8"),
        ("borrow_limit", "<u8"),
        ("token_name", "V32"),
        ("token_rest", "V352"),
        ("withdrawal_caps", "V64"),
        ("elevation_groups", "V20"),
        ("is_no_collateral_outside_groups", "u1"),
        ("rest", "V307"),
    ]
)
RESERVE = np.dtype(
    [
        ("version", "<u8"),
        ("last_update", _LAST_UPDATE),
        ("lending_market", KEY),
        ("farms", "V64"),
        ("liquidity", _LIQUIDITY),
        ("liquidity_padding", "V1200"),
        ("collateral", _COLLATERAL),
        ("collateral_padding", "V1200"),
        ("config", _CONFIG),
        ("rest", "V2816"),
    ]
)
_ELEVATION_GROUP = np.dtype(
    [("max_bonus_bps", "<u2"), ("id", "u1"), ("ltv_pct", "u1"), ("threshold_pct", "u1"), ("rest", "V67")]
)
LENDING_MARKET = np.dtype(
    [
        ("head", "V112"),
        ("referral_fee_bps", "<u2"),
        ("flags", "V4"),
        ("close_factor_pct", "u1"),
        ("insolvency_ltv_pct", "u1"),
        ("limits", "V72"),
        ("elevation_groups", _ELEVATION_GROUP, (32,)),
        ("rest", "V2160"),
    ]
)
_NAMES = {"Obligation": (OBLIGATION, 3336), "Reserve": (RESERVE, 8616), "LendingMarket": (LENDING_MARKET, 4656)}
for _name, (_layout, _length) in _NAMES.items():
    if _layout.itemsize != _length:
        raise AssertionError(f"{_name}: {_layout.itemsize} bytes are laid out, {_length} are documented")


def discriminator(kind: str, name: str) -> bytes:
    """Return the 8 bytes with which accounts (kind ``account``) and instructions (``global``) of a name begin."""
    return hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8]


@cache
def account_length(name: str) -> int:
    """Return the length of an account with its discriminator."""
    return 8 + _NAMES[name][1]


def offset_in(name: str, field: str) -> int:
    """Return where a field begins in an account's data, its discriminator included: for filters."""
    fields: Any = _NAMES[name][0].fields
    return 8 + int(fields[field][1])


def decoded(name: str, data: bytes) -> Any:
    """Return an account's record.

    Raises
    ------
    SourceOutage
        Where the bytes are no such account: another name, another length.
    """
    layout, length = _NAMES[name]
    if len(data) != 8 + length or data[:8] != discriminator("account", name):
        raise SourceOutage(
            "venue_error",
            f"an account of {len(data)} bytes is no {name} of {8 + length}: Kamino's layout has changed, look its interface up",
        )
    return np.frombuffer(data, dtype=layout, offset=8)[0]


def key(value: Any) -> str:
    """Return a public key in base58."""
    return base58_of(bytes(value))


def wide(value: Any) -> int:
    """Return a whole number from its 64-bit limbs, the lowest first."""
    return sum(int(limb) << (64 * i) for i, limb in enumerate(value))


def cap_of(limit: int, unit: int) -> float | None:
    """Return a limit in tokens; None where it is the largest number, which is no limit."""
    return None if limit == _UNLIMITED else limit / unit


def base58_of(data: bytes) -> str:
    """Return bytes in base58."""
    number, digits = int.from_bytes(data), ""
    while number:
        number, place = divmod(number, 58)
        digits = _BASE58[place] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def bytes_of(text: str) -> bytes:
    """Return the bytes of a base58 text.

    Raises
    ------
    ValueError
        Where a character is none of base58.
    """
    number = 0
    for c in text:
        if c not in _PLACE:
            raise ValueError(f"{c!r} is no character of base58")
        number = number * 58 + _PLACE[c]
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8)
