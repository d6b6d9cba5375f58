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


def _written(name: str, hex_digits: int, base58: str) -> pl.Expr:
    """Return where a text is not written as its chain writes it: in lower-case hex, on Solana in base58 of some lengths."""
    is_hex = _c(name).str.contains(rf"^0x[0-9a-f]{{{hex_digits}}}$")
    is_base58 = _c(name).str.contains(rf"^[1-9A-HJ-NP-Za-km-z]{{{base58}}}$")
    return ~pl.when(_c("chain") == "solana").then(is_base58).otherwise(is_hex)


def _address(name: str) -> Rule:
    return Rule("bad_address", name, _written(name, 40, "32,44"), f"{name}_is_an_address")


def _hash(name: str) -> Rule:
    # 32 bytes; a transaction of Solana is named by its signature of 64.
    base58 = "64,88" if name == "transaction_hash" else "32,44"
    return Rule("bad_hash", name, _written(name, 64, base58), f"{name}_is_a_hash")


def amount_laws(name: str, decimals: str) -> tuple[Rule, ...]:
    """Return the laws of an exact amount in text, in the unit that `amounts_unit` of its row tells."""
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
        *amount_laws("collateral_seized_raw", "collateral_decimals_count"),
        *amount_laws("debt_repaid_raw", "debt_decimals_count"),
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


def _at_most(name: str, most: float, sentence: str) -> Rule:
    return Rule("value_out_of_range", name, _c(name) > most, sentence)


# No token on record costs more than a few million dollars, no account holds more than some billions: beyond, a scale was misread.
_PRICE_RANGE = _at_most("oracle_price_quote", 1e9, "oracle_price_quote_is_at_most_a_billion")
_ACCOUNT_RANGES = tuple(
    _at_most(c, 1e13, f"{c}_is_at_most_ten_trillion") for c in ("account_collateral_usd", "account_debt_usd")
)

_PLACE = ("venue", "chain", "protocol", "market_address", "observed_at_utc", "block_height", "block_hash")


def _share_of(name: str) -> Rule:
    return Rule("share_out_of_range", name, ~_c(name).is_between(0, 1), f"{name}_is_a_share")


LENDING_RESERVES = Table(
    "raw",
    "lending_reserves",
    "Rules, caps and totals of a lending market's reserves as of a block. One row per venue, instant and token.",
    grain=("venue", "observed_at_utc", "token_address"),
    fields=fields(
        *_PLACE,
        "token_symbol",
        "token_address",
        "token_decimals_count",
        "ltv_frac",
        "liquidation_threshold_frac",
        "liquidation_bonus_frac",
        "protocol_fee_frac",
        "reserve_factor_frac",
        "supply_cap_base",
        "borrow_cap_base",
        "supplied_raw",
        "borrowed_raw",
        "oracle_price_quote",
        "is_collateral_enabled",
        "is_borrowing_enabled",
        "is_active",
        "is_frozen",
        "is_paused",
        "payload_sha256",
    ),
    nullable=frozenset({"liquidation_bonus_frac", "supply_cap_base", "borrow_cap_base"}),
    rules=(
        _VENUE_NAMES,
        _address("market_address"),
        _address("token_address"),
        _hash("block_hash"),
        *(_share_of(c) for c in ("ltv_frac", "liquidation_threshold_frac", "protocol_fee_frac", "reserve_factor_frac")),
        Rule(
            "ltv_above_threshold",
            "ltv_frac",
            _c("ltv_frac") > _c("liquidation_threshold_frac"),
            "ltv_is_at_most_the_liquidation_threshold",
        ),
        # Bonuses on record are 1 to 15 %; 1 and more means that the contract's 10,500 was read as a share.
        Rule("bonus_out_of_range", "liquidation_bonus_frac", ~_c("liquidation_bonus_frac").is_between(0, 0.5), "liquidation_bonus_is_at_most_a_half"),
        Rule("decimals_out_of_range", "token_decimals_count", ~_c("token_decimals_count").is_between(0, 36), "token_decimals_count_is_at_most_36"),
        *(Rule("not_a_uint256", c, _not_uint256(c), f"{c}_is_a_uint256") for c in ("supplied_raw", "borrowed_raw")),
        _not_negative("oracle_price_quote"),
        _PRICE_RANGE,
    ),
)  # fmt: skip

LENDING_POSITIONS = Table(
    "raw",
    "lending_positions",
    "What borrowers of a lending market hold and owe as of a block. One row per venue, instant, account and token.",
    grain=("venue", "observed_at_utc", "user_address", "token_address"),
    fields=fields(
        *_PLACE,
        "user_address",
        "token_symbol",
        "token_address",
        "token_decimals_count",
        "supplied_raw",
        "borrowed_raw",
        "is_collateral",
        "oracle_price_quote",
        "liquidation_threshold_frac",
        "est_liquidation_price_quote",
        "account_collateral_usd",
        "account_debt_usd",
        "account_threshold_frac",
        "health_factor_raw",
        "health_factor_x",
        "payload_sha256",
    ),
    nullable=frozenset({"est_liquidation_price_quote", "health_factor_x"}),
    rules=(
        _VENUE_NAMES,
        *(_address(c) for c in ("market_address", "user_address", "token_address")),
        _hash("block_hash"),
        *(
            Rule("not_a_uint256", c, _not_uint256(c), f"{c}_is_a_uint256")
            for c in ("supplied_raw", "borrowed_raw", "health_factor_raw")
        ),
        Rule("decimals_out_of_range", "token_decimals_count", ~_c("token_decimals_count").is_between(0, 36), "token_decimals_count_is_at_most_36"),
        *(_share_of(c) for c in ("liquidation_threshold_frac", "account_threshold_frac")),
        *(_not_negative(c) for c in ("oracle_price_quote", "account_collateral_usd", "account_debt_usd", "health_factor_x")),
        _PRICE_RANGE,
        *_ACCOUNT_RANGES,
    ),
)  # fmt: skip

LENDING_TABLES = (LENDING_LIQUIDATIONS, LENDING_RESERVES, LENDING_POSITIONS)

# As `DAY_CLOCK` of ``raw.py``, which takes these up.
LENDING_DAY_CLOCK: dict[str, str | None] = {
    "lending_liquidations": "occurred_at_utc",
    "lending_reserves": "observed_at_utc",
    "lending_positions": "observed_at_utc",
}
