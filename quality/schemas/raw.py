"""Raw tables: the canonical shape in which every source lands, one dataset each, any venue.

A source's parser or import mapping brings its own units to these; that is the only place where venue quirks are undone.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from quality.fields.dictionary import fields
from quality.schemas.flows import FLOW_DAY_CLOCK, FLOW_TABLES
from quality.schemas.holdings import HOLDINGS_DAY_CLOCK, HOLDINGS_TABLES
from quality.schemas.lending import LENDING_DAY_CLOCK, LENDING_TABLES
from quality.schemas.macro import MACRO_DAY_CLOCK, MACRO_TABLES
from quality.tables import Rule, Table

_c = pl.col


def _positive(name: str) -> Rule:
    return Rule("not_positive", name, _c(name) <= 0, f"{name}_is_positive")


def _not_negative(name: str) -> Rule:
    return Rule("negative", name, _c(name) < 0, f"{name}_is_not_negative")


_VENUE_NAMES = Rule(
    "bad_venue_name", "venue", ~_c("venue").str.contains(r"^[a-z][a-z0-9_]{0,31}$"), "venue_is_a_plain_lower_case_name"
)
_SYMBOL = Rule(
    "bad_symbol",
    "venue_symbol",
    (_c("venue_symbol").str.len_chars() == 0) | _c("venue_symbol").str.contains(r"[\x00-\x1f\x7f]"),
    "venue_symbol_is_printable",
)
_IDENTITY = (_VENUE_NAMES, _SYMBOL)

INSTRUMENTS = Table(
    "raw",
    "instruments",
    "Contracts as a venue lists them, a whole snapshot by capture day. One row per venue and symbol.",
    grain=("venue", "venue_symbol"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "quote_asset",
        "settle_asset",
        "contract_kind",
        "contract_size_base",
        "contract_size_usd",
        "price_tick_quote",
        "quantity_step_base",
        "listed_at_utc",
        "payload_sha256",
    ),
    nullable=frozenset(
        {"contract_size_base", "contract_size_usd", "price_tick_quote", "quantity_step_base", "listed_at_utc"}
    ),
    rules=(
        *_IDENTITY,
        Rule(
            "unknown_contract_kind",
            "contract_kind",
            ~_c("contract_kind").is_in(["linear", "inverse", "quanto"]),
            "contract_kind_is_known",
        ),
        _positive("contract_size_base"),
        _positive("contract_size_usd"),
        Rule(
            "contract_of_two_sizes",
            "contract_size_usd",
            _c("contract_size_base").is_not_null() & _c("contract_size_usd").is_not_null(),
            "a_contract_is_so_much_base_or_so_many_dollars",
        ),
        _positive("price_tick_quote"),
        _positive("quantity_step_base"),
    ),
    schema_version=2,
)

# What every candle has, whatever its length; mark and index candles have no volume.
_CANDLE_FIGURES = ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base")


def _candle_rules(length: timedelta, every: str, on_the: str, long: str) -> tuple[Rule, ...]:
    """Return the laws of candles of one length, which start on whole multiples of it.

    Parameters
    ----------
    length, every : timedelta, str
        The length, and polars' word for it.
    on_the, long : str
        Where a candle starts and how long it is, in the words of reasons and sentences: ``hour`` and ``one_hour``.
    """
    return (
        _positive("open_quote"),
        _positive("high_quote"),
        _positive("low_quote"),
        _positive("close_quote"),
        _not_negative("volume_base"),
        Rule("high_below_low", "high_quote", _c("high_quote") < _c("low_quote"), "high_is_not_below_low"),
        Rule(
            "high_below_body",
            "high_quote",
            _c("high_quote") < pl.max_horizontal("open_quote", "close_quote"),
            "high_is_not_below_open_and_close",
        ),
        Rule(
            "low_above_body",
            "low_quote",
            _c("low_quote") > pl.min_horizontal("open_quote", "close_quote"),
            "low_is_not_above_open_and_close",
        ),
        Rule(
            f"not_on_the_{on_the}",
            "interval_start_utc",
            _c("interval_start_utc") != _c("interval_start_utc").dt.truncate(every),
            f"interval_starts_on_the_{on_the}",
        ),
        Rule(
            f"interval_not_{long}",
            "interval_end_utc",
            (_c("interval_end_utc") - _c("interval_start_utc")) != pl.lit(length),
            f"interval_is_{long}",
        ),
    )


CANDLES = Table(
    "raw",
    "candles",
    "Hourly candles. One row per venue, symbol, price kind and interval start.",
    grain=("venue", "venue_symbol", "price_kind", "interval_start_utc"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "price_kind",
        "interval_start_utc",
        "interval_end_utc",
        *_CANDLE_FIGURES,
        "payload_sha256",
    ),
    nullable=frozenset({"volume_base"}),
    rules=(
        *_IDENTITY,
        Rule(
            "unknown_price_kind",
            "price_kind",
            ~_c("price_kind").is_in(["trade", "mark", "index"]),
            "price_kind_is_known",
        ),
        *_candle_rules(timedelta(hours=1), "1h", "hour", "one_hour"),
    ),
)

MINUTE_CANDLES = Table(
    "raw",
    "minute_candles",
    "Candles of trades by the minute. One row per venue, symbol and interval start.",
    grain=("venue", "venue_symbol", "interval_start_utc"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "interval_start_utc",
        "interval_end_utc",
        *_CANDLE_FIGURES,
        "payload_sha256",
    ),
    nullable=frozenset({"volume_base"}),
    rules=(*_IDENTITY, *_candle_rules(timedelta(minutes=1), "1m", "minute", "one_minute")),
)

FUNDING_RATES = Table(
    "raw",
    "funding_rates",
    "Funding settlements. One row per venue, symbol and settlement as the venue stamps it.",
    grain=("venue", "venue_symbol", "occurred_at_utc"),
    fields=fields("venue", "venue_symbol", "asset", "occurred_at_utc", "funding_rate_frac", "payload_sha256"),
    rules=(
        *_IDENTITY,
        # Venue caps are 0.5 to 4 % per settlement (2025-10-10 included); 10 % means that percent was read as a fraction.
        Rule(
            "funding_out_of_range",
            "funding_rate_frac",
            _c("funding_rate_frac").abs() > 0.1,
            "funding_rate_is_within_ten_percent",
        ),
    ),
)

OPEN_INTEREST = Table(
    "raw",
    "open_interest",
    "Open interest as observed. One row per venue, symbol and instant.",
    grain=("venue", "venue_symbol", "occurred_at_utc"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "occurred_at_utc",
        "open_interest_base",
        "open_interest_usd",
        "open_interest_basis",
        "payload_sha256",
    ),
    nullable=frozenset({"open_interest_base", "open_interest_usd"}),
    rules=(
        *_IDENTITY,
        Rule(
            "unknown_basis",
            "open_interest_basis",
            ~_c("open_interest_basis").is_in(["one_sided", "two_sided"]),
            "open_interest_basis_is_known",
        ),
        _not_negative("open_interest_base"),
        _not_negative("open_interest_usd"),
        Rule(
            "no_open_interest_figure",
            "open_interest_usd",
            _c("open_interest_base").is_null() & _c("open_interest_usd").is_null(),
            "open_interest_has_a_figure",
        ),
    ),
)

# Bands of one book, and the books of one contract in order of time.
_BOOK = ("venue", "venue_symbol", "occurred_at_utc")
_BOOKS = ("venue", "venue_symbol")
# Bids lie below the mid and asks above it, so that no mean price of bids exceeds one of asks: an order that is long gone
# still stands in such a book. Means are known of archives alone; whole books are judged by their levels.
_CROSSED = _c("bid_mean_quote").max().over(_BOOK) > _c("ask_mean_quote").min().over(_BOOK)
_CROSSED_AT = pl.when(_CROSSED).then(_c("occurred_at_utc"))
# Between two crossed books less than an hour apart nobody cleaned the book: the dead order stands there too, hidden where
# enough living ones pull the mean down. The longest such pause on record is 9 minutes (binance BTCUSDT, 2025-10-10);
# shorter lets stale books pass, longer takes sound books of another incident along.
_STALE_BETWEEN = timedelta(hours=1)
_STALE = (
    _CROSSED_AT.backward_fill().over(_BOOKS, order_by="occurred_at_utc")
    - _CROSSED_AT.forward_fill().over(_BOOKS, order_by="occurred_at_utc")
) < pl.lit(_STALE_BETWEEN)

DEPTH_BANDS = Table(
    "raw",
    "depth_bands",
    "Order book summed into bands around the mid. One row per venue, symbol, instant and band.",
    grain=("venue", "venue_symbol", "occurred_at_utc", "band_bps"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "occurred_at_utc",
        "mid_quote",
        "band_bps",
        "bid_depth_base",
        "ask_depth_base",
        "bid_mean_quote",
        "ask_mean_quote",
        "payload_sha256",
    ),
    nullable=frozenset({"mid_quote", "bid_depth_base", "ask_depth_base", "bid_mean_quote", "ask_mean_quote"}),
    rules=(
        *_IDENTITY,
        _positive("mid_quote"),
        _positive("band_bps"),
        _not_negative("bid_depth_base"),
        _not_negative("ask_depth_base"),
        _positive("bid_mean_quote"),
        _positive("ask_mean_quote"),
        # Bands of an archive are told without a mid; a row without any price is a book that could not be summed.
        Rule(
            "missing_value",
            "mid_quote",
            pl.all_horizontal(_c(c).is_null() for c in ("mid_quote", "bid_mean_quote", "ask_mean_quote")),
            "book_has_a_price",
        ),
    ),
    group_rules=(
        Rule("crossed_book", "bid_mean_quote", _CROSSED, "bids_lie_below_asks"),
        Rule("stale_book", "occurred_at_utc", _STALE, "no_book_stands_between_crossed_ones"),
    ),
    # 2: mean prices, and a mid that may be missing.
    schema_version=2,
)

# Why a stream was not recorded. The first eight are the recorder's, the others those of whoever reads its segments.
GAP_REASONS = (
    "first_start",
    "collector_stopped",
    "collector_killed",
    "silence",
    "disconnected",
    "unreachable",
    "unanswered",
    "refused",
    "not_recorded",
    "segment_damaged",
    "not_sealed",
)

LIQUIDATIONS = Table(
    "raw",
    "liquidations",
    "Forced orders as a source tells of them; two that agree in everything are one. One row per venue, symbol, instant, side, "
    "price and notional.",
    grain=("venue", "venue_symbol", "occurred_at_utc", "position_side", "order_price_quote", "notional_usd"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "occurred_at_utc",
        "position_side",
        "order_price_quote",
        "order_price_kind",
        "quantity_contracts",
        "quantity_base",
        "notional_usd",
        "payload_sha256",
    ),
    nullable=frozenset({"quantity_contracts", "quantity_base"}),
    rules=(
        *_IDENTITY,
        Rule(
            "unknown_position_side",
            "position_side",
            ~_c("position_side").is_in(["long", "short", "unknown"]),
            "position_side_is_known",
        ),
        Rule(
            "unknown_order_price_kind",
            "order_price_kind",
            ~_c("order_price_kind").is_in(["bankruptcy", "average_fill", "limit", "unknown"]),
            "order_price_kind_is_known",
        ),
        _positive("order_price_quote"),
        _positive("quantity_contracts"),
        _positive("quantity_base"),
        _positive("notional_usd"),
        # The largest on record is about 2e8 (a BTC long, 2025-10-10); above 1e9 contracts were read as coins.
        Rule("notional_out_of_range", "notional_usd", _c("notional_usd") > 1e9, "notional_is_at_most_a_billion"),
        Rule(
            "amounts_disagree",
            "notional_usd",
            (_c("quantity_base") * _c("order_price_quote") - _c("notional_usd")).abs() > 1e-6 * _c("notional_usd"),
            "notional_is_quantity_times_price",
        ),
    ),
)

STREAM_GAPS = Table(
    "raw",
    "stream_gaps",
    "Stretches of a day in which a stream was not recorded, or not yet; cut at midnight, apart from each other. One row per "
    "venue, stream and start.",
    grain=("venue", "stream", "gap_start_utc"),
    fields=fields("venue", "stream", "gap_start_utc", "gap_end_utc", "gap_reason", "payload_sha256"),
    rules=(
        _VENUE_NAMES,
        Rule(
            "bad_stream",
            "stream",
            ~_c("stream").str.contains(r"^[a-z][a-z0-9_]{0,31}$"),
            "stream_is_a_plain_lower_case_name",
        ),
        Rule("unknown_gap_reason", "gap_reason", ~_c("gap_reason").is_in(GAP_REASONS), "gap_reason_is_known"),
        Rule(
            "gap_not_after_start", "gap_end_utc", _c("gap_end_utc") <= _c("gap_start_utc"), "gap_ends_after_its_start"
        ),
        Rule(
            "gap_over_midnight",
            "gap_end_utc",
            _c("gap_end_utc") > _c("gap_start_utc").dt.truncate("1d") + pl.lit(timedelta(days=1)),
            "gap_is_within_a_day",
        ),
    ),
)

# The tiers of one instrument at one observation.
_LADDER = ("venue", "venue_symbol", "observed_at_utc")


def _below(name: str) -> pl.Expr:
    """Return the figure of the tier below; 0 below the first."""
    return _c(name).shift(1, fill_value=0).over(_LADDER, order_by="tier_rank")


# By how much, in parts of the maintenance margin at the floor, two tiers may differ there. Doubles are off by 1e-15, so
# below that sound ladders fall; the smallest break seen (a `cum` of 0 beside rising rates) is 0.17: above that it passes.
_CONTINUITY = 1e-6

LEVERAGE_TIERS = Table(
    "raw",
    "leverage_tiers",
    "Maintenance margin and leverage by position size; a ladder stands whole or not at all. One row per venue, symbol, "
    "observation and tier.",
    grain=(*_LADDER, "tier_rank"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "settle_asset",
        "observed_at_utc",
        "tier_rank",
        "tiers_count",
        "notional_floor_settle",
        "notional_cap_settle",
        "maintenance_margin_rate_frac",
        "maintenance_amount_settle",
        "max_leverage_x",
        "payload_sha256",
    ),
    nullable=frozenset({"maintenance_amount_settle"}),
    rules=(
        *_IDENTITY,
        _positive("tier_rank"),
        _not_negative("notional_floor_settle"),
        Rule(
            "cap_not_above_floor",
            "notional_cap_settle",
            _c("notional_cap_settle") <= _c("notional_floor_settle"),
            "notional_cap_is_above_the_floor",
        ),
        _positive("maintenance_margin_rate_frac"),
        # The highest on record is 0.5; above 1 percent was read as a fraction.
        Rule(
            "margin_rate_out_of_range",
            "maintenance_margin_rate_frac",
            _c("maintenance_margin_rate_frac") > 1,
            "maintenance_margin_rate_is_at_most_one",
        ),
        _not_negative("maintenance_amount_settle"),
        Rule("leverage_below_one", "max_leverage_x", _c("max_leverage_x") < 1, "max_leverage_is_at_least_one"),
    ),
    group_rules=(
        Rule("incomplete_ladder", "tier_rank", pl.len().over(_LADDER) != _c("tiers_count"), "ladder_is_whole"),
        Rule("tier_gap", "tier_rank", _c("tier_rank") != _below("tier_rank") + 1, "tiers_count_from_one"),
        Rule(
            "tier_gap",
            "notional_floor_settle",
            _c("notional_floor_settle") > _below("notional_cap_settle"),
            "tiers_leave_no_gap",
        ),
        Rule(
            "tier_overlap",
            "notional_floor_settle",
            _c("notional_floor_settle") < _below("notional_cap_settle"),
            "tiers_do_not_overlap",
        ),
        Rule(
            "missing_value",
            "maintenance_amount_settle",
            _c("maintenance_amount_settle").is_null()
            & _c("maintenance_amount_settle").is_not_null().any().over(_LADDER),
            "maintenance_amounts_are_told_for_all_tiers_or_none",
        ),
        Rule(
            "maintenance_jumps",
            "maintenance_amount_settle",
            (
                _c("notional_floor_settle")
                * (_c("maintenance_margin_rate_frac") - _below("maintenance_margin_rate_frac"))
                - (_c("maintenance_amount_settle") - _below("maintenance_amount_settle"))
            ).abs()
            > _CONTINUITY * _c("notional_floor_settle") * _c("maintenance_margin_rate_frac"),
            "maintenance_is_continuous_from_tier_to_tier",
        ),
    ),
)

LONG_SHORT_RATIOS = Table(
    "raw",
    "long_short_ratios",
    "How a venue's accounts or positions are split, hourly. One row per venue, symbol, kind of ratio and instant.",
    grain=("venue", "venue_symbol", "ratio_kind", "occurred_at_utc"),
    fields=fields(
        "venue", "venue_symbol", "asset", "ratio_kind", "occurred_at_utc", "long_short_ratio_x", "payload_sha256"
    ),
    rules=(
        *_IDENTITY,
        Rule(
            "unknown_ratio_kind",
            "ratio_kind",
            ~_c("ratio_kind").is_in(["accounts", "top_accounts", "top_positions"]),
            "ratio_kind_is_known",
        ),
        _positive("long_short_ratio_x"),
        # The most extreme of liquid contracts are about 20; at 1,000 a share was read as a ratio or the reverse.
        Rule("ratio_out_of_range", "long_short_ratio_x", _c("long_short_ratio_x") > 1e3, "ratio_is_at_most_a_thousand"),
    ),
)

INSURANCE_FUNDS = Table(
    "raw",
    "insurance_funds",
    "Balances of insurance funds, a whole snapshot by capture day. One row per venue, fund, settle asset and instant.",
    grain=("venue", "fund_name", "settle_asset", "occurred_at_utc"),
    fields=fields(
        "venue", "fund_name", "settle_asset", "occurred_at_utc", "balance_settle", "balance_usd", "payload_sha256"
    ),
    nullable=frozenset({"balance_usd"}),
    rules=(_VENUE_NAMES, _not_negative("balance_settle"), _not_negative("balance_usd")),
)

# Binance's ratings. Bybit tells figures and no word.
ADL_WORDS = ("low", "medium", "high")

ADL_STATES = Table(
    "raw",
    "adl_states",
    "What venues tell of auto-deleveraging, as seen. One row per venue, symbol and instant.",
    grain=("venue", "venue_symbol", "occurred_at_utc"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "occurred_at_utc",
        "adl_word",
        "settle_asset",
        "fund_balance_settle",
        "fund_least_settle",
        "pnl_ratio_frac",
        "adl_start_ratio_frac",
        "adl_stop_ratio_frac",
        "payload_sha256",
    ),
    nullable=frozenset(
        {
            "adl_word",
            "fund_balance_settle",
            "fund_least_settle",
            "pnl_ratio_frac",
            "adl_start_ratio_frac",
            "adl_stop_ratio_frac",
        }
    ),
    rules=(
        *_IDENTITY,
        Rule("unknown_word", "adl_word", ~_c("adl_word").is_in(ADL_WORDS), "adl_word_is_known"),
        Rule(
            "tells_nothing",
            "adl_word",
            _c("adl_word").is_null() & _c("fund_balance_settle").is_null(),
            "a_word_or_a_balance_is_told",
        ),
        Rule(
            "stops_below_start",
            "adl_stop_ratio_frac",
            _c("adl_stop_ratio_frac") < _c("adl_start_ratio_frac"),
            "deleveraging_stops_above_its_start",
        ),
    ),
)

TICKERS = Table(
    "raw",
    "tickers",
    "All contracts of a venue as they trade now, a whole snapshot by capture day. One row per venue and symbol.",
    grain=("venue", "venue_symbol"),
    fields=fields(
        "venue",
        "venue_symbol",
        "asset",
        "occurred_at_utc",
        "last_quote",
        "best_bid_quote",
        "best_ask_quote",
        "mark_quote",
        "index_quote",
        "volume_24h_base",
        "open_interest_base",
        "open_interest_usd",
        "open_interest_basis",
        "payload_sha256",
    ),
    nullable=frozenset(
        {
            "last_quote",
            "best_bid_quote",
            "best_ask_quote",
            "mark_quote",
            "index_quote",
            "volume_24h_base",
            "open_interest_base",
            "open_interest_usd",
            "open_interest_basis",
        }
    ),
    rules=(
        *_IDENTITY,
        _positive("last_quote"),
        _positive("best_bid_quote"),
        _positive("best_ask_quote"),
        _positive("mark_quote"),
        _positive("index_quote"),
        _not_negative("volume_24h_base"),
        _not_negative("open_interest_base"),
        _not_negative("open_interest_usd"),
        Rule(
            "no_price",
            "last_quote",
            _c("last_quote").is_null() & _c("mark_quote").is_null(),
            "ticker_has_a_price",
        ),
        Rule(
            "crossed_quotes",
            "best_bid_quote",
            _c("best_bid_quote") > _c("best_ask_quote"),
            "best_bid_is_not_above_best_ask",
        ),
        Rule(
            "unknown_basis",
            "open_interest_basis",
            ~_c("open_interest_basis").is_in(["one_sided", "two_sided"]),
            "open_interest_basis_is_known",
        ),
    ),
)

PERP_POSITIONS = Table(
    "raw",
    "perp_positions",
    "Open positions of followed accounts, a whole snapshot by capture day. One row per venue, account and symbol.",
    grain=("venue", "account_address", "venue_symbol"),
    fields=fields(
        "venue",
        "account_address",
        "venue_symbol",
        "asset",
        "settle_asset",
        "occurred_at_utc",
        "position_side",
        "position_base",
        "entry_quote",
        "liquidation_quote",
        "margin_mode",
        "margin_settle",
        "leverage_x",
        "account_value_settle",
        "payload_sha256",
    ),
    nullable=frozenset({"liquidation_quote", "margin_settle", "leverage_x"}),
    rules=(
        *_IDENTITY,
        Rule(
            "bad_address",
            "account_address",
            ~_c("account_address").str.contains(r"^0x[0-9a-f]{40}$"),
            "account_address_is_one",
        ),
        Rule(
            "unknown_position_side",
            "position_side",
            ~_c("position_side").is_in(["long", "short"]),
            "position_side_is_known",
        ),
        _positive("position_base"),
        _positive("entry_quote"),
        _positive("liquidation_quote"),
        Rule(
            "unknown_margin_mode",
            "margin_mode",
            ~_c("margin_mode").is_in(["cross", "isolated"]),
            "margin_mode_is_known",
        ),
        _not_negative("margin_settle"),
        _positive("leverage_x"),
    ),
)

MACRO_OBSERVATIONS = Table(
    "raw",
    "macro_observations",
    "Macro series, a whole snapshot by capture day. One row per series, observation day and vintage.",
    grain=("venue", "series_id", "observation_date_utc", "vintage_date_utc"),
    fields=fields(
        "venue",
        "series_id",
        "observation_date_utc",
        "vintage_date_utc",
        "vintage_origin",
        "value_native",
        "unit",
        "payload_sha256",
    ),
    rules=(
        _VENUE_NAMES,
        Rule(
            "unknown_vintage_origin",
            "vintage_origin",
            ~_c("vintage_origin").is_in(["published", "captured"]),
            "vintage_origin_is_known",
        ),
    ),
)

SENTIMENT = Table(
    "raw",
    "sentiment",
    "Sentiment indices, a whole snapshot by capture day. One row per index and day.",
    grain=("venue", "index_name", "sentiment_date_utc"),
    fields=fields("venue", "index_name", "sentiment_date_utc", "sentiment_index", "payload_sha256"),
    rules=(
        _VENUE_NAMES,
        Rule(
            "index_out_of_range",
            "sentiment_index",
            (_c("sentiment_index") < 0) | (_c("sentiment_index") > 100),
            "sentiment_index_is_between_0_and_100",
        ),
    ),
)

RAW_TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        INSTRUMENTS,
        CANDLES,
        MINUTE_CANDLES,
        FUNDING_RATES,
        OPEN_INTEREST,
        DEPTH_BANDS,
        LIQUIDATIONS,
        STREAM_GAPS,
        LEVERAGE_TIERS,
        LONG_SHORT_RATIOS,
        INSURANCE_FUNDS,
        ADL_STATES,
        TICKERS,
        PERP_POSITIONS,
        *FLOW_TABLES,
        MACRO_OBSERVATIONS,
        SENTIMENT,
        *LENDING_TABLES,
        *MACRO_TABLES,
        *HOLDINGS_TABLES,
    )
}

# The clock that says to which UTC day a row of a dataset belongs. None: a whole snapshot, keyed by its capture day.
DAY_CLOCK: dict[str, str | None] = {
    "instruments": None,
    "candles": "interval_start_utc",
    "minute_candles": "interval_start_utc",
    "funding_rates": "occurred_at_utc",
    "open_interest": "occurred_at_utc",
    "depth_bands": "occurred_at_utc",
    "liquidations": "occurred_at_utc",
    "stream_gaps": "gap_start_utc",
    "leverage_tiers": "observed_at_utc",
    "long_short_ratios": "occurred_at_utc",
    "insurance_funds": None,
    "adl_states": "occurred_at_utc",
    "tickers": None,
    "perp_positions": None,
    **FLOW_DAY_CLOCK,
    "macro_observations": None,
    "sentiment": None,
    **LENDING_DAY_CLOCK,
    **MACRO_DAY_CLOCK,
    **HOLDINGS_DAY_CLOCK,
}
