"""Raw tables of flows and holders: what publishers tell of funds and of coins, a whole snapshot by capture day.

Belongs here: columns, grain and laws of ETF flows and of holders' figures. Does not: markets of exchanges (``raw.py``, which
registers these tables too), reading a page or an answer (``pipelines/sources``).
"""

from __future__ import annotations

import polars as pl

from quality.fields.dictionary import fields
from quality.tables import Rule, Table

_c = pl.col

TOTAL = "TOTAL"

_VENUE_NAMES = Rule(
    "bad_venue_name", "venue", ~_c("venue").str.contains(r"^[a-z][a-z0-9_]{0,31}$"), "venue_is_a_plain_lower_case_name"
)


def _name(name: str) -> Rule:
    """Demand a name as the house writes it: a fund ``Total`` beside TOTAL would be counted twice."""
    text = _c(name)
    bad = (text.str.len_chars() == 0) | text.str.contains(r"[\x00-\x1f\x7f]") | (text != text.str.to_uppercase())
    return Rule(f"bad_{name}", name, bad, f"{name}_is_printable_and_in_upper_case")


# The funds of one asset on one trading day, as one source tells them.
_FUND_DAY = ("venue", "asset", "flow_date_utc")
# Half of the last digit of a total that is printed in tenths of a million: a sum over funds that is further off belongs to
# another row or lacks a fund.
TOTAL_TOLERANCE_USD = 50_000.0


def _funds_miss_the_total() -> pl.Expr:
    """Return where a day tells a total and funds, and the funds do not add up to it."""
    is_total = _c("fund") == TOTAL
    total = _c("net_flow_usd").filter(is_total).first().over(_FUND_DAY)
    funds = _c("net_flow_usd").filter(~is_total).sum().over(_FUND_DAY)
    return (~is_total).any().over(_FUND_DAY) & ((funds - total).abs() >= TOTAL_TOLERANCE_USD)


ETF_FLOWS = Table(
    "raw",
    "etf_flows",
    "Net flows of spot ETFs, a whole snapshot by capture day; a day whose funds do not add up to its total falls whole. One "
    "row per asset, fund and trading day.",
    grain=("venue", "asset", "fund", "flow_date_utc"),
    fields=fields("venue", "asset", "fund", "flow_date_utc", "net_flow_usd", "payload_sha256"),
    rules=(
        _VENUE_NAMES,
        _name("asset"),
        _name("fund"),
        # The largest day on record is about 1.4e9; 1e11 means that millions were scaled twice.
        Rule(
            "flow_out_of_range", "net_flow_usd", _c("net_flow_usd").abs() > 1e11, "net_flow_is_within_a_hundred_billion"
        ),
    ),
    group_rules=(Rule("funds_miss_the_total", "net_flow_usd", _funds_miss_the_total(), "funds_add_up_to_the_total"),),
)


def _positive(name: str) -> Rule:
    return Rule("not_positive", name, _c(name) <= 0, f"{name}_is_positive")


def _not_negative(name: str) -> Rule:
    return Rule("negative", name, _c(name) < 0, f"{name}_is_not_negative")


HOLDER_FIGURES = (
    "supply_base",
    "supply_active_1y_base",
    "price_quote",
    "market_cap_usd",
    "mvrv_x",
    "exchange_inflow_usd",
    "exchange_outflow_usd",
)

HOLDER_METRICS = Table(
    "raw",
    "holder_metrics",
    "Supply, value and exchange flows of a coin by day, as a publisher of chain data counts them. One row per venue, asset and "
    "UTC day.",
    grain=("venue", "asset", "holder_date_utc"),
    fields=fields("venue", "asset", "holder_date_utc", *HOLDER_FIGURES, "payload_sha256"),
    nullable=frozenset(HOLDER_FIGURES),
    rules=(
        _VENUE_NAMES,
        _name("asset"),
        Rule(
            "no_figure",
            "market_cap_usd",
            pl.all_horizontal(_c(name).is_null() for name in HOLDER_FIGURES),
            "a_day_has_a_figure",
        ),
        *(_positive(name) for name in ("supply_base", "price_quote", "market_cap_usd", "mvrv_x")),
        *(_not_negative(name) for name in ("supply_active_1y_base", "exchange_inflow_usd", "exchange_outflow_usd")),
        Rule(
            "more_active_than_there_is",
            "supply_active_1y_base",
            _c("supply_active_1y_base") > _c("supply_base") * (1 + 1e-9),
            "active_supply_is_at_most_the_supply",
        ),
        # The publisher's own definition; further apart, one of the three is another coin's or in another unit.
        Rule(
            "amounts_disagree",
            "market_cap_usd",
            (_c("supply_base") * _c("price_quote") - _c("market_cap_usd")).abs() > 0.01 * _c("market_cap_usd"),
            "market_cap_is_supply_times_price",
        ),
    ),
)

FLOW_TABLES = (ETF_FLOWS, HOLDER_METRICS)

# As `DAY_CLOCK` of ``raw.py``, which takes these up.
FLOW_DAY_CLOCK: dict[str, str | None] = {"etf_flows": None, "holder_metrics": None}
