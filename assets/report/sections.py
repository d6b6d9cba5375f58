"""Builds the report of a day from the marts: one function per section.

Belongs here: windows of days, which row is *of the day*, and the assembly. Does not: SQL text (``queries.py``), the long
sections and those beside the exchanges (``open_interest.py``, ``lending.py``, ``flows.py``, ``macro.py``, ``stress.py``), which figures make the headline (``headline.py``), words, pictures, files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from assets.report import queries, queries_flows
from assets.report.flows import build_etf, build_holders, build_reserves, build_stablecoins
from assets.report.headline import build_headline
from assets.report.lending import build_lending
from assets.report.macro import build_macro
from assets.report.model import (
    REPORT_SCHEMA_VERSION,
    Coverage,
    Funding,
    Origin,
    Prices,
    Provenance,
    Report,
    Sentiment,
)
from assets.report.open_interest import build_open_interest
from assets.report.parts import DayView, days_until, hours_between, indexed, line_chart
from assets.report.rows import CoverageRow, DisagreementRow, FundingRow, PriceRow, PublisherRow, QuarantineRow
from assets.report.rows_flows import SentimentRow
from assets.report.stress import build_stress
from quality.schemas.marts import MARTS
from quality.schemas.raw import RAW_TABLES

PRICE_DAYS = 8
FUNDING_DAYS = 30
SENTIMENT_DAYS = 90

# 8-hour rates per year (365 days), as in funding_rate_annualised_frac: not compounded.
EIGHT_HOURS_PER_YEAR = 1095.0


def build_report(con: duckdb.DuckDBPyConnection, day: date, *, input_sha256: str) -> Report:
    """Build the numbers of a day's report.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        A database with schema ``marts``; only that schema is read, nothing is written.
    day : datetime.date
        UTC day. Rows of later days are not read.
    input_sha256 : str
        Name of the raw content behind the warehouse; printed as provenance.

    Returns
    -------
    Report
        The same marts give an equal report, on any number of threads.

    Raises
    ------
    TypeError
        Where `day` is an instant.
    ValueError
        Where a mart is absent, or a figure is NaN or infinite.
    """
    if isinstance(day, datetime):
        raise TypeError(f"`day` is the instant {day.isoformat()}: a report is of a UTC day, give a date")
    queries.require_marts(con)
    covered = queries.as_rows(CoverageRow, queries.fetch(con, queries.COVERAGE, [day]))
    order = tuple(row["asset"] for row in queries.fetch(con, queries.ASSET_ORDER, [day]))
    view = DayView(con, day, order, covered)
    prices, funding, open_interest = build_prices(view), build_funding(view), build_open_interest(view)
    lending, etf, stablecoins = build_lending(view), build_etf(view), build_stablecoins(view)
    reserves, holders = build_reserves(view), build_holders(view)
    macro, sentiment = build_macro(view), build_sentiment(view)
    stress, coverage = build_stress(view), build_coverage(view)
    flows = (lending, etf, stablecoins, reserves, holders, macro, sentiment)
    sections = (prices, funding, open_interest, *flows, stress, coverage)
    return Report(
        report_date_utc=day,
        report_schema_version=REPORT_SCHEMA_VERSION,
        synthetic_extent=_synthetic_extent([section.origin for section in sections]),
        headline=build_headline(prices, funding, open_interest, lending, etf, stress, coverage),
        prices=prices,
        funding=funding,
        open_interest=open_interest,
        lending=lending,
        etf=etf,
        stablecoins=stablecoins,
        reserves=reserves,
        holders=holders,
        macro=macro,
        sentiment=sentiment,
        stress=stress,
        coverage=coverage,
        provenance=build_provenance(view, input_sha256),
    )


def build_prices(view: DayView) -> Prices:
    """Build the section of prices and beta: recaps of the day, indexed hourly closes of the day and the seven before."""
    rows = queries.as_rows(PriceRow, view.by_asset(view.fetch(queries.PRICES, view.day)))
    since = view.start - timedelta(days=PRICE_DAYS - 1)
    closes: dict[str, dict[datetime, Any]] = {}
    for row in view.by_asset(view.fetch(queries.PRICE_PATHS, since, view.end)):
        closes.setdefault(row["asset"], {})[row["interval_start_utc"]] = row["close_quote"]
    hours = hours_between(since, view.end)
    paths = {asset: indexed([path.get(hour) for hour in hours]) for asset, path in closes.items()}
    return Prices(
        origin=view.origin(
            ("fct_market_recaps_daily", "fct_prices_hourly"), [r.is_synthetic for r in rows], datasets=("candles",)
        ),
        breadth_frac=next((row.breadth_frac for row in rows if row.breadth_frac is not None), None),
        rows=rows,
        chart=line_chart("prices", "index", hours, paths),
    )


def build_funding(view: DayView) -> Funding:
    """Build the funding section: the day's row per asset and the median 8-hour rate of 30 days."""
    window = view.by_asset(view.fetch(queries.FUNDING, view.day - timedelta(days=FUNDING_DAYS), view.day))
    medians: dict[str, dict[date, float | None]] = {}
    for row in window:
        medians.setdefault(row["asset"], {})[row["funding_date_utc"]] = row["median_funding_8h_frac"]
    yesterday = view.day - timedelta(days=1)
    rows = tuple(
        FundingRow(
            **{name: value for name, value in row.items() if name != "funding_date_utc"},
            oi_weighted_funding_annualised_frac=_annualised(row["oi_weighted_funding_8h_frac"]),
            median_funding_annualised_frac=_annualised(row["median_funding_8h_frac"]),
            previous_median_funding_8h_frac=medians[row["asset"]].get(yesterday),
        )
        for row in window
        if row["funding_date_utc"] == view.day
    )
    days = days_until(view.day, FUNDING_DAYS)
    paths = {asset: [path.get(d) for d in days] for asset, path in medians.items()}
    return Funding(
        origin=view.origin(("fct_funding_daily",), [r.is_synthetic for r in rows], datasets=("funding_rates",)),
        rows=rows,
        chart=line_chart("funding", "frac", days, paths),
    )


def build_sentiment(view: DayView) -> Sentiment:
    """Build the sentiment section: the latest value of each index within 90 days, and those days as lines."""
    window = view.fetch(queries_flows.SENTIMENT, view.day - timedelta(days=SENTIMENT_DAYS), view.day)
    histories: dict[str, dict[date, dict[str, Any]]] = {}
    for row in window:
        histories.setdefault(row["index_name"], {})[row["sentiment_date_utc"]] = row
    latest = [history[max(history)] for history in histories.values()]
    days = days_until(view.day, SENTIMENT_DAYS)
    paths = {
        name: [history[d]["sentiment_index"] if d in history else None for d in days]
        for name, history in histories.items()
    }
    return Sentiment(
        origin=view.origin(("fct_sentiment_daily",), [row["is_synthetic"] for row in window], datasets=("sentiment",)),
        rows=tuple(SentimentRow(**row, is_of_the_day=view.is_of(row, "sentiment_date_utc")) for row in latest),
        chart=line_chart("sentiment", "index", days, paths),
    )


def build_coverage(view: DayView) -> Coverage:
    """Build the coverage section from the day's coverage rows, quarantined rows and disagreements."""
    covered = view.coverage
    venues = Counter(row.venue for row in covered)
    quarantined = queries.as_rows(QuarantineRow, view.fetch(queries.QUARANTINE, view.day))
    return Coverage(
        origin=view.origin(
            ("fct_data_coverage_daily", "fct_quarantined_rows_daily", "fct_source_disagreements_daily"),
            [row.is_synthetic for row in covered] + [row.is_synthetic for row in quarantined],
        ),
        statuses_count=dict(sorted(Counter(row.coverage_status for row in covered).items())),
        datasets=tuple(sorted({row.dataset for row in covered}, key=_dataset_order)),
        venues=tuple(venue for venue, _ in sorted(venues.items(), key=lambda pair: (-pair[1], pair[0]))),
        rows=covered,
        quarantined=quarantined,
        disagreements=queries.as_rows(DisagreementRow, view.fetch(queries.DISAGREEMENTS, view.day)),
    )


def build_provenance(view: DayView, input_sha256: str) -> Provenance:
    """Build the provenance section: the name of the input, the versions of the tables, publishers and their terms."""
    return Provenance(
        input_sha256=input_sha256,
        schema_versions={table.address: table.schema_version for table in MARTS.values()},
        publishers=queries.as_rows(PublisherRow, view.fetch(queries.PUBLISHERS)),
    )


def _annualised(rate_8h: float | None) -> float | None:
    return None if rate_8h is None else rate_8h * EIGHT_HOURS_PER_YEAR


def _dataset_order(dataset: str) -> tuple[int, str]:
    names = list(RAW_TABLES)
    return (names.index(dataset) if dataset in names else len(names), dataset)


def _synthetic_extent(origins: Iterable[Origin]) -> str:
    counts = [(origin.rows_count, origin.synthetic_rows_count) for origin in origins]
    rows, synthetic = sum(c[0] for c in counts), sum(c[1] for c in counts)
    if not synthetic:
        return "none"
    return "all" if synthetic == rows else "some"
