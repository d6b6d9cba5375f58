"""Builds the report of a day from the marts: one function per section.

Belongs here: the order of assets, windows of days, sums over DECIMAL, and which row is *of the day*. Does not: SQL text
(``queries.py``), the stress section (``stress.py``), which figures make the headline (``headline.py``), words, pictures, files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import duckdb

from assets.report import queries
from assets.report.headline import build_headline
from assets.report.model import (
    REPORT_SCHEMA_VERSION,
    Chart,
    Coverage,
    EtfFlows,
    Funding,
    Macro,
    Origin,
    Prices,
    Provenance,
    Report,
    Sentiment,
    Series,
)
from assets.report.open_interest import build_open_interest
from assets.report.rows import (
    CoverageRow,
    DisagreementRow,
    EtfRow,
    FundingRow,
    MacroRow,
    PriceRow,
    PublisherRow,
    QuarantineRow,
    SentimentRow,
)
from assets.report.stress import build_stress
from quality.schemas.marts import MARTS
