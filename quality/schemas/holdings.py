"""Raw tables of what is held where: stablecoins by chain, reserves of exchanges.

Belongs here: columns, grain and laws of such records. Does not: lending (``lending.py``), flows of funds (``raw.py``, which
registers these tables too), reading a publisher or a chain (``pipelines/sources``).
"""

from __future__ import annotations

import polars as pl

from quality.fields.dictionary import fields
from quality.schemas.lending import amount_laws
from quality.tables import Rule, Table

_c = pl.col

# The largest stablecoin is near 2e11; a supply above is base units read as coins.
LARGEST_SUPPLY = 1e13


def _plain_name(name: str) -> Rule:
    return Rule(
        "bad_venue_name", name, ~_c(name).str.contains(r"^[a-z][a-z0-9_]{0,31}$"), f"{name}_is_a_plain_lower_case_name"
    )


def _printable(name: str) -> Rule:
    """Names come from anybody who makes a token: they are kept as told, but not empty and without control characters."""
    bad = (_c(name).str.len_chars() == 0) | (_c(name).str.len_chars() > 300) | _c(name).str.contains(r"[\x00-\x1f\x7f]")
    return Rule("bad_symbol", name, bad, f"{name}_is_printable")


STABLECOIN_SUPPLIES = Table(
    "raw",
    "stablecoin_supplies",
    "Stablecoins in circulation by chain. One row per venue, stablecoin, chain and instant.",
    grain=("venue", "stablecoin_id", "supply_chain", "observed_at_utc"),
    fields=fields(
        "venue",
        "stablecoin_id",
        "stablecoin_symbol",
        "supply_chain",
        "observed_at_utc",
        "peg_type",
        "peg_mechanism",
        "circulating_base",
        "stablecoin_price_quote",
        "payload_sha256",
    ),
    nullable=frozenset({"peg_mechanism", "stablecoin_price_quote"}),
    rules=(
        _plain_name("venue"),
        *(_printable(c) for c in ("stablecoin_id", "stablecoin_symbol", "supply_chain", "peg_mechanism")),
        Rule("unknown_peg", "peg_type", ~_c("peg_type").str.contains(r"^[A-Z]{3,8}$"), "peg_type_is_a_code"),
        Rule("negative", "circulating_base", _c("circulating_base") < 0, "circulating_base_is_not_negative"),
        Rule(
            "value_out_of_range",
            "circulating_base",
            _c("circulating_base") > LARGEST_SUPPLY,
            "circulating_base_is_at_most_ten_trillion",
        ),
        Rule(
            "not_positive", "stablecoin_price_quote", _c("stablecoin_price_quote") <= 0, "stablecoin_price_is_positive"
        ),
        # A coin of gold is near 4,000 dollars; a price beyond is a unit's mistake and does not fit the mart.
        Rule(
            "value_out_of_range",
            "stablecoin_price_quote",
            _c("stablecoin_price_quote") > 1e6,
            "stablecoin_price_is_at_most_a_million",
        ),
    ),
)

EXCHANGE_RESERVES = Table(
    "raw",
    "exchange_reserves",
    "What exchanges hold, by account and token. One row per venue, exchange, chain, account, token and instant.",
    grain=("venue", "exchange", "holder_chain", "holder_address", "held_token", "observed_at_utc"),
    fields=fields(
        "venue",
        "exchange",
        "holder_chain",
        "holder_address",
        "held_symbol",
        "held_token",
        "held_decimals_count",
        "observed_at_utc",
        "block_height",
        "block_hash",
        "balance_raw",
        "amounts_unit",
        "reported_balance_usd",
        "payload_sha256",
    ),
    nullable=frozenset({"held_decimals_count", "block_height", "block_hash", "reported_balance_usd"}),
    rules=(
        _plain_name("venue"),
        _plain_name("exchange"),
        *(_printable(c) for c in ("holder_chain", "held_symbol", "held_token")),
        Rule(
            "bad_address",
            "holder_address",
            ~_c("holder_address").str.contains(r"^(all|0x[0-9a-f]{40})$"),
            "holder_address_is_an_address_or_all",
        ),
        # Accounts are read from EVM chains only.
        Rule("bad_hash", "block_hash", ~_c("block_hash").str.contains(r"^0x[0-9a-f]{64}$"), "block_hash_is_a_hash"),
        Rule(
            "unknown_amounts_unit",
            "amounts_unit",
            ~_c("amounts_unit").is_in(["base_units", "tokens"]),
            "amounts_unit_is_known",
        ),
        *amount_laws("balance_raw", "held_decimals_count"),
        Rule("negative", "reported_balance_usd", _c("reported_balance_usd") < 0, "reported_balance_is_not_negative"),
        # All crypto together is near 4e12 dollars.
        Rule(
            "value_out_of_range",
            "reported_balance_usd",
            _c("reported_balance_usd") > 1e13,
            "reported_balance_is_at_most_ten_trillion",
        ),
    ),
)

HOLDINGS_TABLES = (STABLECOIN_SUPPLIES, EXCHANGE_RESERVES)

# As `DAY_CLOCK` of ``raw.py``, which takes these up.
HOLDINGS_DAY_CLOCK: dict[str, str | None] = {
    "stablecoin_supplies": "observed_at_utc",
    "exchange_reserves": "observed_at_utc",
}
