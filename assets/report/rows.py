"""Rows of the report's tables: what one line says of an asset, an instrument, a series or a dataset.

Belongs here: plain dataclasses with the marts' column names: markets, stress, coverage. Does not: lending, flows and macro
(``rows_flows.py``), the sections that hold them (``model.py``).
None is missing and never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class PriceRow:
    """An asset's day, as in ``marts.fct_market_recaps_daily``."""

    asset: str
    reference_venue: str
    open_quote: Decimal
    high_quote: Decimal
    low_quote: Decimal
    close_quote: Decimal
    return_frac: float | None
    range_frac: float
    drawdown_frac: float
    drawdown_30d_frac: float
    wick_frac: float
    retrace_frac: float | None
    downside_beta_x: float | None
    volume_usd: Decimal | None
    volume_z_x: float | None
    breadth_frac: float | None
    hours_count: int
    venues_count: int
    is_closed: bool
    is_synthetic: bool


@dataclass(frozen=True)
class FundingRow:
    """An asset's funding, as in ``marts.fct_funding_daily``; annualised = 8-hour rate x 1095, not compounded."""

    asset: str
    oi_weighted_funding_8h_frac: float | None
    oi_weighted_funding_annualised_frac: float | None
    median_funding_8h_frac: float | None
    median_funding_annualised_frac: float | None
    previous_median_funding_8h_frac: float | None
    min_funding_8h_frac: float | None
    max_funding_8h_frac: float | None
    funding_dispersion_bps: float | None
    funding_z_x: float | None
    settlements_count: int
    venues_count: int
    weighted_venues_count: int
    is_synthetic: bool


@dataclass(frozen=True)
class UsdSpan:
    """Open interest in USD over a day: first, lowest and last figure. `change_frac` is missing without two instants."""

    start_usd: Decimal | None
    low_usd: Decimal | None
    end_usd: Decimal | None
    change_usd: Decimal | None
    change_frac: float | None
    start_at_utc: datetime | None
    low_at_utc: datetime | None
    end_at_utc: datetime | None
    observations_count: int


@dataclass(frozen=True)
class BaseSpan:
    """Open interest in coins over a day; see `UsdSpan`."""

    start_base: Decimal | None
    low_base: Decimal | None
    end_base: Decimal | None
    change_base: Decimal | None
    change_frac: float | None
    start_at_utc: datetime | None
    low_at_utc: datetime | None
    end_at_utc: datetime | None
    observations_count: int


@dataclass(frozen=True)
class OpenInterestRow:
    """One-sided open interest of an instrument over the day. Origins: ``venue``, ``derived`` or ``mixed``."""

    asset: str
    venue: str
    venue_symbol: str
    instrument_id: str
    usd: UsdSpan
    base: BaseSpan
    open_interest_usd_origin: str
    open_interest_base_origin: str
    is_synthetic: bool


@dataclass(frozen=True)
class OpenInterestTotal:
    """One-sided open interest of an asset: the sum over instruments that were seen at both ends of the same span.

    `usd_instruments_count` and `base_instruments_count` are in the sum, `instruments_count` were seen on the day at all.
    """

    asset: str
    venues: tuple[str, ...]
    usd: UsdSpan
    base: BaseSpan
    usd_instruments_count: int
    base_instruments_count: int
    instruments_count: int
    is_derived: bool
    is_synthetic: bool


@dataclass(frozen=True)
class StressRow:
    """One replay, as in ``marts.fct_stress_scenarios_daily``."""

    shock_frac: float
    sim_trough_price_quote: Decimal
    sim_move_frac: float
    sim_amplification_x: float
    sim_forced_notional_usd: Decimal
    sim_forced_frac: float
    sim_slippage_usd: Decimal
    sim_shortfall_usd: Decimal
    sim_rounds_count: int
    is_exhausted: bool
    sim_move_p05_frac: float
    sim_move_p50_frac: float
    sim_move_p95_frac: float
    sim_forced_notional_p05_usd: Decimal
    sim_forced_notional_p50_usd: Decimal
    sim_forced_notional_p95_usd: Decimal
    sim_exhausted_frac: float


@dataclass(frozen=True)
class CriticalShock:
    """Smallest shock that starts a fall which feeds itself. Censored: none on the grid, which is +infinity and not zero.

    The `previous_` figures are those of the same asset, side and setting on the day before.
    """

    sim_soft_shock_frac: float | None
    is_soft_censored: bool
    sim_jump_shock_frac: float | None
    is_jump_censored: bool
    grid_max_shock_frac: float
    sim_max_branching_x: float
    sim_soft_shock_p05_frac: float | None
    sim_soft_shock_p50_frac: float | None
    sim_soft_shock_p95_frac: float | None
    sim_soft_censored_frac: float
    sim_jump_shock_p05_frac: float | None
    sim_jump_shock_p50_frac: float | None
    sim_jump_shock_p95_frac: float | None
    sim_jump_censored_frac: float
    previous_sim_soft_shock_frac: float | None
    previous_is_soft_censored: bool | None


@dataclass(frozen=True)
class CoverageRow:
    """A dataset of a venue on the day, as in ``marts.fct_data_coverage_daily``."""

    dataset: str
    venue: str
    coverage_status: str
    coverage_reason: str
    expected_rows_count: int
    observed_rows_count: int
    missing_rows_count: int
    quarantined_rows_count: int
    coverage_frac: float | None
    sources: str
    is_synthetic: bool


@dataclass(frozen=True)
class QuarantineRow:
    """Rows refused under the day's key, by reason."""

    dataset: str
    venue: str
    source: str
    reason: str
    quarantined_rows_count: int
    is_synthetic: bool


@dataclass(frozen=True)
class DisagreementRow:
    """Buckets of the day that two sources gave."""

    dataset: str
    venue: str
    sources: str
    compared_rows_count: int
    disagreeing_rows_count: int
    max_difference_bps: float


@dataclass(frozen=True)
class PublisherRow:
    """A venue or publisher and what is known of its terms, as in ``marts.dim_venues``."""

    venue: str
    venue_name: str
    venue_kind: str
    terms_note: str
