"""The crash day: news, margin calls, and forced sales into a book that thins out.

Belongs here: the mechanics that move the price away from its exogenous path. They are written apart from
``assets/cascade`` and share nothing with it (no code, no functional form of the book, no prior over leverage), so that the
estimate of fuel and the replay of a shock can be scored against a world that was not built for them.

Each minute: news is priced in, longs whose liquidation price is reached hand their quantity to the liquidation engine, the
engine sells what it may into the depth that is left, the displacement decays as arbitrage comes back, and market makers
withdraw with the fall and return slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile, stream
from pipelines.sandbox.traders import NEVER, Population

# The window in which the loop runs. After it the displacement is frozen and ordinary days go on.
CRASH_HOURS = 10
NEWS_MINUTES = 25
# Share of the queue the engine sells in a minute: below 0.05 the cascade outlasts the day, at 1.0 it is one print.
ENGINE_SHARE_FRAC = 0.25
# Depth left at the worst: real books kept 2 to 10 % of their depth on 2025-10-10.
LEAST_SURVIVAL_FRAC = 0.06
SURVIVAL_DECAY_X = 28.0
SURVIVAL_MEMORY_MINUTES = 150.0
# The displacement comes back to this share of its deepest point, with this memory.
LASTING_FRAC = 0.40
REBOUND_MEMORY_MINUTES = 110.0


@dataclass(frozen=True)
class Crash:
    """What the crash adds to a path.

    `displacement` is the log price added at each minute of the window, float64[60 * CRASH_HOURS + 1]; its last value
    stays for good. `survival_frac` is the share of ordinary depth at each minute, `forced_base` the quantity sold by the
    engine in each minute.
    """

    first_minute: int
    displacement: NDArray[np.float64]
    survival_frac: NDArray[np.float64]
    forced_base: NDArray[np.float64]


def onset_minute(seed: int, day_minute: int) -> int:
    """Return the full hour of the crash day at which the news breaks: 13:00, 14:00 or 15:00 UTC."""
    return day_minute + 60 * int(stream(seed, "market", "crash").integers(13, 16))


def delay_entries(population: Population, first_hour: int) -> None:
    """Move, in place, entries that fall into the crash window to after it: nobody opens into a falling book."""
    inside = (population.opens_hour > first_hour) & (population.opens_hour <= first_hour + CRASH_HOURS)
    shift = first_hour + CRASH_HOURS + 1 - population.opens_hour[inside]
    population.opens_hour[inside] += shift
    population.leaves_hour[inside] += shift


def run_crash(profile: AssetProfile, log_path: NDArray[np.float64], population: Population, first_minute: int) -> Crash:
    """Run the crash window of one asset and close, in place, the positions it takes.

    Parameters
    ----------
    log_path : float64[n_minutes + 1]
        Exogenous log price; only the window is read.
    population : Population
        Positions with entry prices; ``ended_hour`` and ``liquidated_minute`` are filled for those that end in the window.
    first_minute : int
        Minute of the onset, on a full hour.

    Returns
    -------
    Crash
    """
    minutes = 60 * CRASH_HOURS
    displacement, survival = np.zeros(minutes + 1), np.ones(minutes + 1)
    forced = np.zeros(minutes)
    start = float(np.exp(log_path[first_minute]))
    news_log = np.log1p(-profile.news_frac)
    pushed = deepest = queue = 0.0
    left, low = 1.0, start
    for t in range(minutes):
        hour = (first_minute + t) // 60
        if t % 60 == 0:
            _leave(population, hour)
        news = news_log * min(1.0, (t + 1) / NEWS_MINUTES)
        price = float(np.exp(log_path[first_minute + t + 1] + news + pushed))
        queue += _margin_calls(population, price, first_minute + t + 1)
        sold = queue if queue * price < 1e4 else ENGINE_SHARE_FRAC * queue
        queue -= sold
        pushed += _impact(profile, sold * price, left, 1.0 - price / start)
        deepest = min(deepest, pushed)
        pushed += (LASTING_FRAC * deepest - pushed) / REBOUND_MEMORY_MINUTES if sold * price < 1e5 else 0.0
        last = float(np.exp(log_path[first_minute + t + 1] + news + pushed))
        # The minute's last price counts too: what was reached is reached, also where the price comes back at once.
        queue += _margin_calls(population, last, first_minute + t + 1)
        fell = max(0.0, 1.0 - last / low)
        low = min(low, last)
        left = max(LEAST_SURVIVAL_FRAC, left * np.exp(-SURVIVAL_DECAY_X * fell))
        left += (1.0 - left) / SURVIVAL_MEMORY_MINUTES if fell == 0.0 else 0.0
        displacement[t + 1], survival[t + 1], forced[t] = news + pushed, left, sold
    return Crash(first_minute, displacement, survival, forced)


def _leave(population: Population, hour: int) -> None:
    leaves = (population.ended_hour == NEVER) & (population.opens_hour <= hour) & (population.leaves_hour <= hour)
    population.ended_hour[leaves] = hour


def _margin_calls(population: Population, price: float, minute: int) -> float:
    """Close, in place, every position whose liquidation price is reached; return the quantity to sell."""
    is_open = (population.ended_hour == NEVER) & (population.opens_hour * 60 < minute)
    reached = population.liquidation_quote
    hit = is_open & np.where(population.is_long, price <= reached, price >= reached)
    population.liquidated_minute[hit] = minute
    population.ended_hour[hit] = -(-minute // 60)
    # Shorts that a rebound closes buy; they are few after a fall and are left without impact.
    return float(population.quantity_base[hit & population.is_long].sum())


def _impact(profile: AssetProfile, sold_usd: float, survival_frac: float, fall_frac: float) -> float:
    """Return the log price change of selling into the book that is left; buyers of value stand below `value_frac`."""
    if sold_usd <= 0.0:
        return 0.0
    per_percent = profile.depth_100bps_usd * survival_frac
    if fall_frac > profile.value_frac:
        per_percent += profile.value_bids_usd
    return float(-0.01 * min(sold_usd / per_percent, 3.0))
