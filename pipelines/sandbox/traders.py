"""The leveraged traders of the simulated market: the known truth on which an estimate of fuel can be scored.

Belongs here: who they are, their margins and liquidation prices, who is open when. Does not: what their forced sales do to
the price (``crash.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile, stream

# Enough that the stock of positions is smooth near the price, few enough that a world builds in half a second.
TRADERS_COUNT = 1_800
LEVERAGES = np.array([2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0])
LEVERAGE_SHARES = np.array([0.06, 0.12, 0.20, 0.12, 0.20, 0.10, 0.12, 0.05, 0.03])
LONG_SHARE_FRAC = 0.56

# "Never" as an hour: far beyond any world, still an int64 after arithmetic.
NEVER = np.int64(2**40)


@dataclass(frozen=True)
class Traders:
    """Positions as arrays, one entry per trader; every array has the same length.

    `position_side` is ``long`` or ``short``; `margin_usd` is isolated margin, so that `liquidation_price_quote` depends on
    the position alone. `closed_at_utc` and `liquidated_at_utc` are NaT where that never happened in the world's time.
    """

    position_side: NDArray[np.str_]
    quantity_base: NDArray[np.float64]
    entry_price_quote: NDArray[np.float64]
    leverage_x: NDArray[np.float64]
    margin_usd: NDArray[np.float64]
    liquidation_price_quote: NDArray[np.float64]
    opened_at_utc: NDArray[np.datetime64]
    closed_at_utc: NDArray[np.datetime64]
    liquidated_at_utc: NDArray[np.datetime64]

    def __len__(self) -> int:
        return int(self.quantity_base.size)

    def open_at(self, at: datetime) -> Traders:
        """Return the traders whose position is open at an instant (UTC, naive)."""
        now = np.datetime64(at, "ms")
        is_open = self.opened_at_utc <= now
        for end in (self.closed_at_utc, self.liquidated_at_utc):
            is_open &= np.isnat(end) | (end > now)
        return Traders(**{f.name: getattr(self, f.name)[is_open] for f in fields(self)})


@dataclass
class Population:
    """Traders while the world is built: times are hours since the world's first hour (may be negative).

    `entry_quote` and `liquidation_quote` are NaN until the position is open; `ended_hour` is the first hour at which the
    position is gone, `liquidated_minute` the minute of a forced close, both ``NEVER`` until then.
    """

    is_long: NDArray[np.bool_]
    quantity_base: NDArray[np.float64]
    leverage_x: NDArray[np.float64]
    opens_hour: NDArray[np.int64]
    leaves_hour: NDArray[np.int64]
    entry_quote: NDArray[np.float64]
    liquidation_quote: NDArray[np.float64]
    ended_hour: NDArray[np.int64]
    liquidated_minute: NDArray[np.int64]


def draw_population(profile: AssetProfile, seed: int, first_hour: int, last_hour: int) -> Population:
    """Draw the traders of one asset: leverage, size, when each opens and when each would leave by itself.

    Positions open on the hour between `first_hour` and `last_hour` of the simulated time; high leverage leaves sooner.
    Sizes are scaled so that the stock of open longs is about the profile's leveraged share of open interest.
    """
    rng = stream(seed, profile.asset, "traders")
    n = TRADERS_COUNT
    leverage = rng.choice(LEVERAGES, size=n, p=LEVERAGE_SHARES / LEVERAGE_SHARES.sum())
    is_long = rng.random(n) < LONG_SHARE_FRAC
    opens = np.sort(rng.integers(first_hour, last_hour, size=n))
    mean_hold_hours = 24.0 * np.clip(40.0 / leverage, 1.5, 14.0)
    holds = 2 + rng.exponential(mean_hold_hours).astype(np.int64)
    size = rng.lognormal(0.0, 0.7, size=n)
    # Expected stock of longs: arrivals per hour x size x time held.
    stock = float(np.sum(size * is_long * np.minimum(holds, last_hour - first_hour))) / (last_hour - first_hour)
    quantity = size * profile.open_interest_base * profile.leveraged_share_frac / stock
    nan = np.full(n, np.nan)
    return Population(
        is_long=is_long,
        quantity_base=np.round(quantity, profile.quantity_decimals),
        leverage_x=leverage,
        opens_hour=opens,
        leaves_hour=opens + holds,
        entry_quote=nan.copy(),
        liquidation_quote=nan.copy(),
        ended_hour=np.full(n, NEVER),
        liquidated_minute=np.full(n, NEVER),
    )


def enter(population: Population, profile: AssetProfile, hour_open_quote: NDArray[np.float64], hours: slice) -> None:
    """Fill entry and liquidation prices, in place, of the positions that open in `hours`.

    A long is closed at ``entry (1 - 1/L) / (1 - m)``, a short at ``entry (1 + 1/L) / (1 + m)``: margin is isolated and
    m is the maintenance rate.
    """
    who = (population.opens_hour >= hours.start) & (population.opens_hour < hours.stop)
    entry = hour_open_quote[population.opens_hour[who]]
    inverse, m = 1.0 / population.leverage_x[who], profile.maintenance_margin_frac
    population.entry_quote[who] = entry
    population.liquidation_quote[who] = np.where(
        population.is_long[who], entry * (1.0 - inverse) / (1.0 - m), entry * (1.0 + inverse) / (1.0 + m)
    )


def settle_hours(population: Population, minute_quote: NDArray[np.float64], hours: slice) -> None:
    """Close, in place, the positions that leave or are liquidated in `hours` of a path that is already known.

    Parameters
    ----------
    minute_quote : float64[60 * n_hours + 1]
        Price at every minute of the simulated time.
    hours : slice
        Hours to settle; every position that opens before ``hours.stop`` has its entry price.
    """
    for hour in range(hours.start, hours.stop):
        window = minute_quote[60 * hour : 60 * hour + 61]
        is_open = (population.opens_hour <= hour) & (population.ended_hour == NEVER)
        leaves = is_open & (population.leaves_hour <= hour)
        population.ended_hour[leaves] = hour
        is_open &= ~leaves
        liquidation = population.liquidation_quote
        is_hit = is_open & np.where(population.is_long, window.min() <= liquidation, window.max() >= liquidation)
        for i in np.flatnonzero(is_hit):
            crossed = window <= liquidation[i] if population.is_long[i] else window >= liquidation[i]
            population.liquidated_minute[i] = 60 * hour + int(np.argmax(crossed))
            population.ended_hour[i] = hour + 1


def stock_base(population: Population, hours: NDArray[np.int64], *, is_long: bool) -> NDArray[np.float64]:
    """Return the open quantity of one side at the start of each hour, float64[n_hours]."""
    who = population.is_long == is_long
    opens, ends, quantity = population.opens_hour[who], population.ended_hour[who], population.quantity_base[who]
    order_in, order_out = np.argsort(opens, kind="stable"), np.argsort(ends, kind="stable")
    came = np.concatenate([[0.0], np.cumsum(quantity[order_in])])
    went = np.concatenate([[0.0], np.cumsum(quantity[order_out])])
    return np.asarray(
        came[np.searchsorted(opens[order_in], hours, side="right")]
        - went[np.searchsorted(ends[order_out], hours, side="right")]
    )


def published(population: Population, origin: np.datetime64, minutes_count: int) -> Traders:
    """Return the finished population as `Traders`.

    Parameters
    ----------
    origin : numpy.datetime64
        Instant of hour 0, milliseconds.
    minutes_count : int
        Length of the simulated time; what would happen later has not happened.
    """
    entered = np.isfinite(population.entry_quote)

    def at(when: NDArray[np.int64], unit_minutes: int) -> NDArray[np.datetime64]:
        minutes = when[entered] * unit_minutes
        known = minutes <= minutes_count
        out = np.full(minutes.size, np.datetime64("NaT", "ms"))
        out[known] = origin + minutes[known].astype("timedelta64[m]").astype("timedelta64[ms]")
        return out

    quantity, entry = population.quantity_base[entered], population.entry_quote[entered]
    leverage = population.leverage_x[entered]
    forced = population.liquidated_minute < NEVER
    return Traders(
        position_side=np.where(population.is_long[entered], "long", "short"),
        quantity_base=quantity,
        entry_price_quote=entry,
        leverage_x=leverage,
        margin_usd=quantity * entry / leverage,
        liquidation_price_quote=population.liquidation_quote[entered],
        opened_at_utc=at(population.opens_hour, 60),
        closed_at_utc=at(np.where(forced, NEVER, population.ended_hour), 60),
        liquidated_at_utc=at(population.liquidated_minute, 1),
    )
