"""Where prices would go without leverage: correlated log prices, one point per minute.

Belongs here: the exogenous walk. Does not: what forced sales add to it (``crash.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile, stream

MINUTES_PER_DAY = 1_440

# A crash day's own noise is damped so that the fall is the crash and not the luck of the draw.
CRASH_DAY_NOISE_FRAC = 0.35


def market_factor(seed: int, minutes_count: int) -> NDArray[np.float64]:
    """Return the common factor's returns per minute, unit variance per day.

    Returns
    -------
    float64[minutes_count]
        Volatility clusters: an hourly log volatility follows an AR(1) with a memory of about a day.
    """
    rng = stream(seed, "market", "factor")
    hours = -(-minutes_count // 60)
    shocks = rng.standard_normal(hours)
    memory, spread = 0.96, 0.10
    log_vol = np.empty(hours)
    level = 0.0
    for i in range(hours):
        level = memory * level + spread * shocks[i]
        log_vol[i] = level
    scale = np.repeat(np.exp(log_vol - log_vol.mean()), 60)[:minutes_count]
    return np.asarray(rng.standard_normal(minutes_count) * scale / np.sqrt(MINUTES_PER_DAY), dtype=np.float64)


def fundamental_log_price(
    profile: AssetProfile,
    seed: int,
    factor: NDArray[np.float64],
    anchor_minute: int,
    calm: slice | None,
) -> NDArray[np.float64]:
    """Return the exogenous log price of one asset.

    Parameters
    ----------
    factor : float64[n_minutes]
        Returns of the common factor.
    anchor_minute : int
        Minute at which the price is the profile's level, give or take 3 %.
    calm : slice or None
        Minutes whose noise is damped (the crash day).

    Returns
    -------
    float64[n_minutes + 1]
        Log price at every minute's start, and at the end of the last one.
    """
    rng = stream(seed, profile.asset, "path")
    share = profile.market_share_frac
    own = rng.standard_normal(factor.size) / np.sqrt(MINUTES_PER_DAY)
    returns = profile.daily_volatility_frac * (share * factor + np.sqrt(1.0 - share**2) * own)
    if calm is not None:
        returns[calm] *= CRASH_DAY_NOISE_FRAC
    path = np.concatenate([[0.0], np.cumsum(returns)])
    offset = rng.uniform(-0.03, 0.03)
    return np.asarray(path - path[anchor_minute] + np.log(profile.level_quote) + offset)
