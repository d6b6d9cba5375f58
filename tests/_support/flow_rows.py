"""Made-up flows of funds and figures of holders for the raw world: funds beside the total, one that starts late.

Belongs here: rows in the shape of ``quality.schemas.flows``. Does not: the page and the answers they come from
(``pipelines/sandbox``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np

# First trading day among those given; the second fund is younger.
FUNDS = {"IBIT": 0, "MSBT": 20}


def fund_flows(days: Sequence[date], lake: dict[str, Any], *, seed: int = 3) -> list[dict[str, object]]:
    """Return flows of two SOL funds and their total, in tenths of a million, on the trading days given."""
    rng = np.random.Generator(np.random.PCG64(seed))
    rows: list[dict[str, object]] = []
    for i, day in enumerate(days):
        told = {fund: int(rng.integers(-900, 900)) * 100_000.0 for fund, first in FUNDS.items() if i >= first}
        for fund, flow in {**told, "TOTAL": sum(told.values())}.items():
            rows.append(
                {"venue": "farside", "asset": "SOL", "fund": fund, "flow_date_utc": day, "net_flow_usd": flow,
                 "source": "etf_flows_by_fund", **lake}
            )  # fmt: skip
    return rows


def holder_metrics(days: Sequence[date], *, seed: int = 5) -> list[dict[str, object]]:
    """Return figures of BTC in two captures, of which the second revises the last day of the first."""
    rng = np.random.Generator(np.random.PCG64(seed))
    active = 7_000_000 + np.cumsum(rng.normal(0, 2_000, len(days)))
    rows: list[dict[str, object]] = []
    for capture, shown in ((days[-2], days[:-2]), (days[-1], days[-5:-1])):
        for day in shown:
            i = days.index(day)
            supply, price = 19_900_000.0 + 450.0 * i, 110_000.0 + 100.0 * i
            rows.append(
                {
                    "venue": "coin_metrics",
                    "asset": "BTC",
                    "holder_date_utc": day,
                    "supply_base": supply,
                    # Not told on one day.
                    "supply_active_1y_base": None
                    if i == 7
                    else float(active[i]) + (1.0 if capture == days[-1] else 0.0),
                    "price_quote": price,
                    "market_cap_usd": supply * price,
                    "mvrv_x": 2.0,
                    "exchange_inflow_usd": 2e9,
                    "exchange_outflow_usd": 2.1e9,
                    "payload_sha256": "0" * 64,
                    "source": "coin_metrics_csv",
                    "capture_date_utc": capture,
                    "ingested_at_utc": datetime.combine(capture, time(12)) + timedelta(minutes=1),
                    "is_synthetic": False,
                }
            )
    return rows
