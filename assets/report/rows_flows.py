"""Rows of the tables beside the exchanges: lending, ETF flows, stablecoins, reserves, holders, macro, sentiment.

Belongs here: plain dataclasses with the marts' column names. Does not: rows of markets, stress and coverage (``rows.py``), the
sections that hold them (``model.py``). None is missing and never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True)
class LendingCallRow:
    """Liquidation calls of the day on a lending market against one collateral.

    Sums are over the `valued_calls_count` calls of which both legs have a value and the two fit each other; the others are
    counted in `calls_count` alone, so that a sum is *at least*. `verified_calls_count` calls are known to be whole with their range.
    """

    venue: str
    collateral_symbol: str
    calls_count: int
    verified_calls_count: int
    verified_by: str
    accounts_count: int
    valued_calls_count: int
    est_collateral_seized_usd: Decimal | None
    est_debt_repaid_usd: Decimal | None
    is_synthetic: bool


@dataclass(frozen=True)
class LendingMarketRow:
    """Known borrowers of a lending market at the last snapshot. Near: health below `NEAR_HEALTH_X` of ``lending.py``."""

    venue: str
    position_date_utc: date
    is_of_the_day: bool
    observed_at_utc: datetime
    block_height: int
    accounts_count: int
    account_collateral_usd: Decimal
    account_debt_usd: Decimal
    near_accounts_count: int
    near_accounts_frac: float | None
    near_debt_usd: Decimal
    near_debt_frac: float | None
    liquidatable_accounts_count: int
    is_synthetic: bool


@dataclass(frozen=True)
class LendingFuelRow:
    """What known accounts of a market lose of an asset as its price falls, all else fixed: sums up to a fall of 5 to 30 %.

    `fuel_now_usd` may be seized without any fall and is part of each sum.
    """

    venue: str
    asset: str
    fuel_date_utc: date
    is_of_the_day: bool
    fuel_origin: str
    oracle_price_quote: Decimal
    fuel_now_usd: Decimal
    fuel_05_usd: Decimal
    fuel_10_usd: Decimal
    fuel_20_usd: Decimal
    fuel_30_usd: Decimal
    left_out_accounts_count: int
    is_synthetic: bool


@dataclass(frozen=True)
class LendingReserveRow:
    """Rules and totals of a main reserve at its last observation."""

    venue: str
    token_symbol: str
    reserve_date_utc: date
    is_of_the_day: bool
    block_height: int
    ltv_frac: float
    liquidation_threshold_frac: float
    liquidation_bonus_frac: float | None
    supplied_usd: Decimal | None
    borrowed_usd: Decimal | None
    utilisation_frac: float | None
    is_collateral_enabled: bool
    is_frozen: bool
    is_paused: bool
    is_synthetic: bool


@dataclass(frozen=True)
class EtfRow:
    """The latest known flow of all funds of an asset, not after the report's day.

    `reporting_funds_count` funds have a figure of that day; `missing_trading_days_count` trading days just before it have none.
    """

    asset: str
    fund: str
    flow_date_utc: date
    is_of_the_day: bool
    net_flow_usd: Decimal
    net_flow_5d_usd: Decimal
    cumulative_net_flow_usd: Decimal
    streak_count: int
    reporting_funds_count: int
    missing_trading_days_count: int
    is_synthetic: bool


@dataclass(frozen=True)
class SilentFunds:
    """Funds of an asset with a record lately and none of the latest trading day of the total."""

    asset: str
    flow_date_utc: date
    funds: tuple[str, ...]


@dataclass(frozen=True)
class StablecoinRow:
    """Dollar stablecoins in circulation: of all of them, of a coin or of a chain (`name`).

    A change is over those of the `pairs_count` pairs of coin and chain that were told on both days; `pairs_7d_count` says how many
    they were for seven days. `peg_deviation_bps` is the one farthest from zero.
    """

    name: str
    supply_date_utc: date
    is_of_the_day: bool
    est_circulating_usd: Decimal | None
    circulating_change_1d_base: Decimal | None
    circulating_change_7d_base: Decimal | None
    circulating_change_30d_base: Decimal | None
    pairs_count: int
    pairs_1d_count: int
    pairs_7d_count: int
    pairs_30d_count: int
    peg_deviation_bps: float | None
    stablecoin_price_quote: Decimal | None
    is_synthetic: bool


@dataclass(frozen=True)
class ReserveRow:
    """What an exchange holds by one origin, and what flowed in (+) or out since the day before, at the prices of the instant.

    `unvalued_assets_count` assets have no value and are in no sum.
    """

    exchange: str
    reserve_origin: str
    reserve_date_utc: date
    is_of_the_day: bool
    observed_at_utc: datetime
    est_btc_usd: Decimal | None
    est_eth_usd: Decimal | None
    est_stablecoins_usd: Decimal | None
    est_others_usd: Decimal | None
    est_btc_net_flow_usd: Decimal | None
    est_eth_net_flow_usd: Decimal | None
    est_stablecoins_net_flow_usd: Decimal | None
    unvalued_assets_count: int
    holders_count: int
    is_synthetic: bool


@dataclass(frozen=True)
class HolderRow:
    """A coin's supply, the proxy of long-term holders, value over cost, and exchange flows; under the terms of its source."""

    asset: str
    holder_date_utc: date
    is_of_the_day: bool
    supply_base: Decimal | None
    est_long_term_supply_base: Decimal | None
    est_long_term_supply_frac: float | None
    est_long_term_supply_change_30d_base: Decimal | None
    mvrv_x: float | None
    market_cap_usd: Decimal | None
    exchange_net_inflow_usd: Decimal | None
    venue: str
    terms_note: str
    is_synthetic: bool


@dataclass(frozen=True)
class MacroRow:
    """A series' latest figure not after the day.

    `knowledge` is ``known_on_day`` (its vintage is not after the day) or ``latest_vintage`` (captured later: the figure may
    have been revised and is not what was known on the day).
    """

    series_id: str
    series_name: str
    observation_date_utc: date
    vintage_date_utc: date
    vintage_origin: str
    knowledge: str
    value_native: float
    previous_value_native: float | None
    change_native: float | None
    unit: str
    is_synthetic: bool


@dataclass(frozen=True)
class ReleaseRow:
    """The latest release of a monthly series, not after the day, against what was known of the month before and expected."""

    series_id: str
    series_name: str
    release_date_utc: date
    is_of_the_day: bool
    release_status: str
    release_origin: str
    observation_date_utc: date | None
    value_native: float | None
    previous_known_native: float | None
    surprise_native: float | None
    consensus_native: float | None
    consensus_surprise_native: float | None
    revision_native: float | None
    unit: str | None
    is_synthetic: bool


@dataclass(frozen=True)
class ComingReleaseRow:
    """A release day after the report's day by the publisher's calendar, and nothing of what came out then."""

    series_id: str
    series_name: str
    release_date_utc: date
    is_synthetic: bool


@dataclass(frozen=True)
class RateExpectationRow:
    """The most likely range of the policy rate after a meeting to come, as last seen on or before the day."""

    meeting_date_utc: date
    observed_date_utc: date
    target_low_bps: float
    target_high_bps: float
    probability_frac: float
    probability_change_frac: float | None
    expected_rate_bps: float
    venue: str
    is_synthetic: bool


@dataclass(frozen=True)
class SentimentRow:
    """A sentiment index: its latest value not after the day."""

    index_name: str
    sentiment_date_utc: date
    is_of_the_day: bool
    sentiment_index: float
    sentiment_change_7d_index: float | None
    sentiment_class: str
    is_synthetic: bool


@dataclass(frozen=True)
class GapRow:
    """A dataset of a venue that is not whole on the day, with the reason that coverage gives."""

    dataset: str
    venue: str
    coverage_status: str
    coverage_reason: str
    missing_rows_count: int
