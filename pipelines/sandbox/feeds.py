"""Synthetic files of the slow feeds: macro series, ETF net flows, fear and greed, leverage tiers, in their usual layouts.

Belongs here: what the files say and how they are laid out. Does not: their import (``pipelines/sources``).
Layouts: FRED's ``fredgraph.csv`` as kept by most collections (``date,value``, a blank where the market was closed), the
daily spot BTC ETF table (``Datetime,ETF Net Flow (USD mn)``, newest first), alternative.me's index (``date,fng``), tiers
as ccxt's ``fetch_leverage_tiers`` returns them (Binance shows them to signed requests only; the sandbox has no such endpoint).
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.etf_funds import fund_days
from pipelines.sandbox.profiles import profiles_of, stream
from pipelines.sandbox.traders import LEVERAGES

if TYPE_CHECKING:
    from pipelines.sandbox.world import World

FEED_WARM_DAYS = 60

# Fixed-date US market holidays, month and day: enough for blanks, not a calendar.
HOLIDAYS = {(1, 1), (1, 19), (6, 19), (7, 4), (9, 1), (10, 13), (11, 11), (11, 27), (12, 25)}

# How Binance writes that a tier has no cap.
NO_CAP = 2**63 - 1

# Start level and daily step of each daily series, in its own unit (percent, index points).
DAILY_SERIES: dict[str, tuple[float, float]] = {"DGS2": (3.60, 0.035), "DGS10": (4.15, 0.040)}


def write_feeds(world: World, folder: Path) -> None:
    """Write ``macro/``, ``flows/``, ``sentiment/`` and ``leverage_tiers/`` below a folder.

    Series run from 60 days before the world to its last day; the tiers are those of its first day.

    Parameters
    ----------
    world : World
        Flows, sentiment and the volatility index lean on its daily returns of the first asset.
    folder : pathlib.Path
        Made where absent; files of the same name are replaced.
    """
    texts = {
        **_macro(world),
        "flows/btc_spot_etf_net_flow.csv": _etf_flows(world),
        "sentiment/fear_greed.csv": ["date,fng", *(f"{day},{figure}" for day, figure in fear_greed(world).items())],
        f"leverage_tiers/binance_usdm_{world.first_day}.json": [json.dumps(_tiers(world))],
    }
    for name, lines in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def feed_days(world: World) -> tuple[list[date], NDArray[np.float64]]:
    """Return the days of the feeds and the world's returns on them."""
    days, returns = world.daily_returns(world.assets[0])
    keep = [i for i, day in enumerate(days) if day >= world.first_day - timedelta(days=FEED_WARM_DAYS)]
    return [days[i] for i in keep], returns[keep]


def is_trading_day(day: date) -> bool:
    """Return whether US markets are open, by the holidays above."""
    return day.weekday() < 5 and (day.month, day.day) not in HOLIDAYS


def _macro(world: World) -> dict[str, list[str]]:
    return {
        f"macro/{series}.csv": ["date,value", *(f"{day},{text}" for day, text in texts.items())]
        for series, texts in macro_figures(world).items()
    }


def macro_figures(world: World) -> dict[str, dict[date, str]]:
    """Return the texts of DGS2, DGS10, VIXCLS and FEDFUNDS by observation day; blank where the market was closed."""
    days, moves = feed_days(world)
    seed = world.seed
    figures: dict[str, dict[date, str]] = {}
    weekdays = [(i, day) for i, day in enumerate(days) if day.weekday() < 5]
    for series, (start, step) in DAILY_SERIES.items():
        rng = stream(seed, "macro", series)
        walk = start + np.cumsum(step * rng.standard_normal(len(days)))
        figures[series] = {day: f"{walk[i]:.2f}" if is_trading_day(day) else "" for i, day in weekdays}
    rng = stream(seed, "macro", "VIXCLS")
    fear, vix = 16.0, []
    for move in moves:
        fear = 16.0 + 0.85 * (fear - 16.0) - 60.0 * min(0.0, float(move)) + 0.6 * float(rng.standard_normal())
        vix.append(max(9.0, fear))
    figures["VIXCLS"] = {day: f"{vix[i]:.2f}" if is_trading_day(day) else "" for i, day in weekdays}
    months = sorted({day.replace(day=1) for day in days})
    figures["FEDFUNDS"] = {month: f"{4.22 - 0.08 * i:.2f}" for i, month in enumerate(months)}
    return figures


def _etf_flows(world: World) -> list[str]:
    lines = [f"{d.day}T00:00:00Z,{d.total / 10:.1f}" for d in fund_days(world, "BTC")]
    return ["Datetime,ETF Net Flow (USD mn)", *reversed(lines)]


def fear_greed(world: World) -> dict[date, int]:
    """Return the points of the world's fear & greed index by day, 5 to 95, in order."""
    days, moves = feed_days(world)
    rng = stream(world.seed, "sentiment", "fear_greed")
    mood, figures = 55.0, {}
    for day, move in zip(days, moves, strict=True):
        mood = 52.0 + 0.9 * (mood - 52.0) + 220.0 * float(move) + 2.0 * float(rng.standard_normal())
        mood = min(95.0, max(5.0, mood))
        figures[day] = round(mood)
    return figures


def _tiers(world: World) -> dict[str, list[dict[str, object]]]:
    """Return one tier per contract: in this world a position of any size has the profile's maintenance rate."""
    ladders: dict[str, list[dict[str, object]]] = {}
    for profile in profiles_of(world.assets):
        symbol = f"{profile.asset}/USDT:USDT"
        tier = {
            "tier": 1.0,
            "symbol": symbol,
            "currency": "USDT",
            "minNotional": 0.0,
            "maxNotional": float(NO_CAP),
            "maintenanceMarginRate": profile.maintenance_margin_frac,
            "maxLeverage": float(LEVERAGES.max()),
            "info": {"bracket": 1, "notionalFloor": 0, "notionalCap": NO_CAP, "cum": 0.0},
        }
        ladders[symbol] = [tier]
    return ladders
