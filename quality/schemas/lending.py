"""Raw tables of lending: what pools on chains tell, one dataset each, any protocol.

Belongs here: columns, grain and laws of lending records. Does not: markets of exchanges (``raw.py``, which registers these
tables too), reading a chain (``pipelines/sources``).
"""

from __future__ import annotations

import polars as pl

from quality.fields.dictionary import fields
from quality.tables import Rule, Table

_c = pl.col

UINT256_MAX = str(2**256 - 1)


def _not_uint256(name: str) -> pl.Expr:
    """Return where a text is no whole number from 0 to 2^256-1 in plain digits; texts of equal length compare as numbers."""
    text = _c(name)
    length = text.str.len_bytes()
    too_large = (length > len(UINT256_MAX)) | ((length == len(UINT256_MAX)) & (text > pl.lit(UINT256_MAX)))
    return ~text.str.contains(r"^(0|[1-9][0-9]*)$") | too_large


def _not_negative(name: str) -> Rule:
    return Rule("negative", name, _c(name) < 0, f"{name}_is_not_negative")


def _address(name: str) -> Rule:
    return Rule("bad_address", name, ~_c(name).str.contains(r"^0x[0-9a-f]{40}$"), f"{name}_is_an_address")


def _hash(name: str) -> Rule:
    return Rule("bad_hash", name, ~_c(name).str.contains(r"^0x[0-9a-f]{64}$"), f"{name}_is_a_hash")


def _amount(name: str, decimals: str) -> tuple[Rule, ...]:
    in_base_units = _c("amounts_unit") == "base_units"
    return (
        Rule("not_a_uint256", name, in_base_units & _not_uint256(name), f"{name}_is_a_uint256"),
        Rule(
            "not_a_number",
            name,
            ~in_base_units & ~_c(name).str.contains(r"^[0-9]{1,28}(\.[0-9]{1,36})?$"),
            f"{name}_is_a_decimal_number",
        ),
        Rule("decimals_unknown", decimals, in_base_units & _c(decimals).is_null(), f"{name}_can_be_scaled"),
        Rule("decimals_out_of_range", decimals, ~_c(decimals).is_between(0, 36), f"{decimals}_is_at_most_36"),
    )


_VENUE_NAMES = Rule(
    "bad_venue_name", "venue", ~_c("venue").str.contains(r"^[a-z][a-z0-9_]{0,31}$"), "venue_is_a_plain_lower_case_name"
)

LENDING_LIQUIDATIONS = Table(
    "raw",
    "lending_liquidations",
    "Liquidation calls of lending pools. One row per venue and call.",
    grain=("venue", "call_id"),
    fields=fields(
        "venue",
        "chain",
        "protocol",
        "market_address",
        "call_id",
        "occurred_at_utc",
        "block_height",
        "block_hash",
        "transaction_hash",
        "log_offset",
        "user_address",
        "liquidator_address",
        "collateral_symbol",
        "collateral_address",
        "collateral_seized_raw",
        "collateral_decimals_count",
        "debt_symbol",
        "debt_address",
        "debt_repaid_raw",
        "debt_decimals_count",
        "amounts_unit",
        "reported_collateral_seized_usd",
        "reported_debt_repaid_usd",
        "est_collateral_seized_usd",
        "est_debt_repaid_usd",
        "is_atoken_received",
        "repairs",
        "verified_by",
        "payload_sha256",
    ),
    nullable=frozenset(
        {
            "block_height",
            "block_hash",
            "transaction_hash",
            "log_offset",
            "liquidator_address",
            "collateral_address",
            "debt_address",
            "collateral_decimals_count",
            "debt_decimals_count",
            "reported_collateral_seized_usd",
            "reported_debt_repaid_usd",
            "est_collateral_seized_usd",
            "est_debt_repaid_usd",
            "is_atoken_received",
            "repairs",
        }
    ),
    rules=(
        _VENUE_NAMES,
        *(_address(c) for c in ("market_address", "user_address", "liquidator_address")),
        *(_address(c) for c in ("collateral_address", "debt_address")),
        *(_hash(c) for c in ("block_hash", "transaction_hash")),
        Rule(
            "unknown_amounts_unit",
            "amounts_unit",
            ~_c("amounts_unit").is_in(["base_units", "tokens"]),
            "amounts_unit_is_known",
        ),
        *_amount("collateral_seized_raw", "collateral_decimals_count"),
        *_amount("debt_repaid_raw", "debt_decimals_count"),
        *(
            _not_negative(c)
            for c in (
                "reported_collateral_seized_usd",
                "reported_debt_repaid_usd",
                "est_collateral_seized_usd",
                "est_debt_repaid_usd",
            )
        ),
        # The largest call on record is below 1e8; above 1e10 base units were read as tokens.
        *(
            Rule("value_out_of_range", c, _c(c) > 1e10, f"{c}_is_at_most_ten_billion")
            for c in (
                "reported_collateral_seized_usd",
                "reported_debt_repaid_usd",
                "est_collateral_seized_usd",
                "est_debt_repaid_usd",
            )
        ),
        Rule(
            "unknown_verification",
            "verified_by",
            ~_c("verified_by").is_in(["providers", "receipts", "unverified", "import"]),
            "verified_by_is_known",
        ),
    ),
)

LENDING_TABLES = (LENDING_LIQUIDATIONS,)

# As `DAY_CLOCK` of ``raw.py``, which takes these up.
LENDING_DAY_CLOCK: dict[str, str | None] = {"lending_liquidations": "occurred_at_utc"}
