"""The report as numbers: plain dataclasses, one per section, and nothing that reads, words or draws.

Belongs here: what a report of a day holds. Field names are the marts' column names or obey the same law of units
(``quality/units.py``); None is missing and never zero. Does not: where numbers come from (``sections.py``), the
sentences of a language (``words.py``), the rows of a table (``rows.py``, ``rows_flows.py``), pictures (``charts.py``) and files (``write.py``).
The JSON of a report is this model, field by field; the page shows nothing that is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

from assets.report.rows import (
    CoverageRow,
    CriticalShock,
    DisagreementRow,
    FundingRow,
    OpenInterestRow,
    OpenInterestTotal,
    PriceRow,
    PublisherRow,
    QuarantineRow,
    StressRow,
)
from assets.report.rows_flows import (
    ComingReleaseRow,
    EtfRow,
    GapRow,
    HolderRow,
    LendingCallRow,
    LendingFuelRow,
    LendingMarketRow,
    LendingReserveRow,
    MacroRow,
    RateExpectationRow,
    ReleaseRow,
    ReserveRow,
    SentimentRow,
    SilentFunds,
    StablecoinRow,
)

Value: TypeAlias = str | int | float | Decimal | date | datetime | bool | tuple[str, ...] | None

# Shape of the model. Raise it when a field is renamed, dropped or changes its meaning, so that readers of the JSON notice.
REPORT_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Origin:
    """Where a section's numbers come from and how far they can be trusted.

    Parameters
    ----------
    marts : tuple of str
        Addresses of the marts behind the section, for example ``marts.fct_funding_daily``.
    rows_count, synthetic_rows_count : int
        Rows that the section used, and how many of them come from the sandbox.
    latest_date_utc : datetime.date or None
        Last day, not after the report's, for which the first mart has a row; None where it has none.
    missing_reasons : tuple of str
        Reason codes of the coverage mart for the section's datasets on the day where rows are missing.
    is_missing : bool
        True where the section has no row at all.
    is_estimated : bool
        True where a prior, an estimate or a derived figure stands behind a number of the section.
    """

    marts: tuple[str, ...]
    rows_count: int
    synthetic_rows_count: int
    latest_date_utc: date | None
    missing_reasons: tuple[str, ...]
    is_missing: bool
    is_synthetic: bool
    is_estimated: bool = False


@dataclass(frozen=True)
class Series:
    """One line or one set of bars. `values` has the length of the chart's `x`; None is a gap."""

    label: str
    values: tuple[float | None, ...]
    first: float | None
    low: float | None
    high: float | None
    last: float | None


@dataclass(frozen=True)
class Chart:
    """A picture as numbers.

    Parameters
    ----------
    key : str
        Name in the words table and prefix of ids in the page.
    kind : str
        ``line`` (over time, or over a move), ``bar`` or ``curve`` (x is a signed shock; the two sides of zero are not joined).
    unit : str
        What `values` are: ``index``, ``frac``, ``usd`` or ``x``.
    x : tuple
        Instants (UTC), days or signed fractions, strictly increasing.
    left_out_count : int
        Series that exist and are not drawn because a chart with more lines cannot be read.
    about : str
        Asset or index that the whole chart is about; empty where each series has its own.
    """

    key: str
    kind: str
    unit: str
    x: tuple[datetime | date | float, ...]
    series: tuple[Series, ...]
    left_out_count: int = 0
    about: str = ""


@dataclass(frozen=True)
class Sentence:
    """A sentence before it is said: its key in the words table, its figures, and what it depends on.

    `items` are parts that repeat (one per asset or setting); `condition` says under what the sentence holds.
    """

    key: str
    values: dict[str, Value] = field(default_factory=dict)
    items: tuple[Sentence, ...] = ()
    condition: Sentence | None = None


@dataclass(frozen=True)
class Headline:
    """Key figures and what changed, each with its condition."""

    origin: Origin
    figures: tuple[Sentence, ...]
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Prices:
    """Prices and beta: one row per asset, and indexed hourly closes of the day and the seven days before."""

    origin: Origin
    breadth_frac: float | None
    rows: tuple[PriceRow, ...]
    chart: Chart | None


@dataclass(frozen=True)
class Funding:
    """Funding of the day and the median of 30 days."""

    origin: Origin
    rows: tuple[FundingRow, ...]
    chart: Chart | None


@dataclass(frozen=True)
class OpenInterest:
    """Open interest by asset and by instrument, and three days by hour, in coins and in USD."""

    origin: Origin
    totals: tuple[OpenInterestTotal, ...]
    rows: tuple[OpenInterestRow, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Lending:
    """Lending markets: calls of the day, known borrowers, what they lose as prices fall, rules of the main reserves.

    `quiet_venues` were read on the day and told no call; `left_out_reserves_count` smaller reserves are not in `reserves`.
    `near_health_x` is the health below which an account is called near.
    """

    origin: Origin
    gaps: tuple[GapRow, ...]
    quiet_venues: tuple[str, ...]
    calls: tuple[LendingCallRow, ...]
    near_health_x: float
    markets: tuple[LendingMarketRow, ...]
    fuel: tuple[LendingFuelRow, ...]
    chart: Chart | None
    reserves: tuple[LendingReserveRow, ...]
    left_out_reserves_count: int


@dataclass(frozen=True)
class EtfFlows:
    """Flows of spot ETFs: totals per asset, single funds of their latest date, bars of the last trading days.

    `silent` names funds that have no figure of the total's latest day and had one lately.
    """

    origin: Origin
    gaps: tuple[GapRow, ...]
    rows: tuple[EtfRow, ...]
    funds: tuple[EtfRow, ...]
    silent: tuple[SilentFunds, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Stablecoins:
    """Dollar stablecoins: all together, the largest coins and chains, and the coin farthest from its peg."""

    origin: Origin
    gaps: tuple[GapRow, ...]
    total: StablecoinRow | None
    coins: tuple[StablecoinRow, ...]
    chains: tuple[StablecoinRow, ...]
    left_out_coins_count: int
    left_out_chains_count: int
    farthest: StablecoinRow | None
    chart: Chart | None


@dataclass(frozen=True)
class Reserves:
    """Reserves of exchanges, a row per exchange and origin. Two origins are two views of one thing and are never added."""

    origin: Origin
    gaps: tuple[GapRow, ...]
    rows: tuple[ReserveRow, ...]


@dataclass(frozen=True)
class Holders:
    """Who holds the coins, and a year of market value over realised value."""

    origin: Origin
    gaps: tuple[GapRow, ...]
    rows: tuple[HolderRow, ...]
    chart: Chart | None


@dataclass(frozen=True)
class Macro:
    """Macro series, one row each; their latest releases, the days of those to come, and what the policy rate is expected to be.

    The Treasury's par yield curve stands apart, shortest maturity first: fourteen rows would bury the other series.
    """

    origin: Origin
    gaps: tuple[GapRow, ...]
    rows: tuple[MacroRow, ...]
    curve: tuple[MacroRow, ...]
    releases: tuple[ReleaseRow, ...]
    coming: tuple[ComingReleaseRow, ...]
    expectations: tuple[RateExpectationRow, ...]


@dataclass(frozen=True)
class Sentiment:
    """Sentiment indices and 90 days of each."""

    origin: Origin
    rows: tuple[SentimentRow, ...]
    chart: Chart | None


@dataclass(frozen=True)
class StressSetting:
    """What a replay assumed, and its results over the shocks. `depth_100bps_usd` is after `depth_survival_frac`."""

    setting: str
    shock_kind: str
    depth_survival_frac: float
    impact_exponent_x: float
    sold_share_frac: float
    fuel_origin: str
    fuel_prior: str
    depth_origin: str
    depth_prior: str | None
    reference_price_quote: Decimal
    fuel_open_interest_usd: Decimal
    fuel_venues: str
    fuel_weight_frac: float
    depth_100bps_usd: Decimal
    rows: tuple[StressRow, ...]
    critical: CriticalShock | None


@dataclass(frozen=True)
class StressSide:
    """Settings of one position side: long (fuel of a fall) or short (fuel of a squeeze)."""

    position_side: str
    settings: tuple[StressSetting, ...]


@dataclass(frozen=True)
class StressAsset:
    """Replays of one asset, and its amplification curves."""

    asset: str
    sides: tuple[StressSide, ...]
    chart: Chart | None
    is_synthetic: bool


@dataclass(frozen=True)
class Stress:
    """The stress section.

    `pass_through_x` is the assumption behind every number: the mark follows the book with this pass-through.
    `summary_shock_frac` is the shock of the overview table; None without replays. `draws_count` is the least number of draws
    behind a row's quantiles.
    """

    origin: Origin
    pass_through_x: float
    summary_shock_frac: float | None
    fuel_origins: tuple[str, ...]
    fuel_priors: tuple[str, ...]
    depth_origins: tuple[str, ...]
    depth_priors: tuple[str, ...]
    draw_laws: tuple[str, ...]
    draws_count: int | None
    assets: tuple[StressAsset, ...]


@dataclass(frozen=True)
class Coverage:
    """What is there and what is not. `statuses_count` counts dataset x venue pairs per status.

    `datasets` stand in the order of the raw tables, `venues` with the most datasets first.
    """

    origin: Origin
    statuses_count: dict[str, int]
    datasets: tuple[str, ...]
    venues: tuple[str, ...]
    rows: tuple[CoverageRow, ...]
    quarantined: tuple[QuarantineRow, ...]
    disagreements: tuple[DisagreementRow, ...]


@dataclass(frozen=True)
class Provenance:
    """What the report was made from: content hash of the raw input and versions of the tables. No wall clock."""

    input_sha256: str
    schema_versions: dict[str, int]
    publishers: tuple[PublisherRow, ...]


@dataclass(frozen=True)
class Report:
    """The report of one UTC day. `synthetic_extent` is ``none``, ``some`` or ``all`` of the rows behind it."""

    report_date_utc: date
    report_schema_version: int
    synthetic_extent: str
    headline: Headline
    prices: Prices
    funding: Funding
    open_interest: OpenInterest
    lending: Lending
    etf: EtfFlows
    stablecoins: Stablecoins
    reserves: Reserves
    holders: Holders
    macro: Macro
    sentiment: Sentiment
    stress: Stress
    coverage: Coverage
    provenance: Provenance
