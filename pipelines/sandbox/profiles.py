"""What the simulated contracts are like: levels, steps, sizes and how hard the crash day hits them.

Belongs here: numbers per asset and the seeded random streams. Does not: any mechanics (``paths.py``, ``crash.py``).
Levels are of the order seen on Binance USD-M in autumn 2025; the crash day is shaped after 2025-10-10 and copies no record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AssetProfile:
    """One simulated perpetual contract.

    Parameters
    ----------
    asset : str
        Base asset; the venue's symbol is the asset followed by ``USDT``.
    level_quote : float
        Price near the first day.
    price_decimals, quantity_decimals : int
        The price tick is ``10**-price_decimals``, the quantity step ``10**-quantity_decimals``.
    daily_volatility_frac : float
        Standard deviation of an ordinary day's log return.
    market_share_frac : float
        Correlation with the common factor.
    open_interest_base : float
        One-sided open interest of an ordinary day.
    leveraged_share_frac : float
        Part of it that leveraged longs hold.
    hourly_volume_base : float
        Traded quantity of an ordinary hour.
    depth_100bps_usd : float
        Resting orders within 1 % of the mid, one side, on an ordinary day.
    book_levels_count : int
        Price levels per side of the whole book; a request for 1,000 sees the nearest of them.
    maintenance_margin_frac : float
        Maintenance margin of every position.
    news_frac : float
        Fall of the crash day that the news alone explains.
    value_frac : float
        Fall at which buyers of value begin to stand in the book.
    value_bids_usd : float
        What they bid per further 1 % of fall.
    """

    asset: str
    level_quote: float
    price_decimals: int
    quantity_decimals: int
    daily_volatility_frac: float
    market_share_frac: float
    open_interest_base: float
    leveraged_share_frac: float
    hourly_volume_base: float
    depth_100bps_usd: float
    book_levels_count: int
    maintenance_margin_frac: float
    news_frac: float
    value_frac: float
    value_bids_usd: float

    @property
    def symbol(self) -> str:
        """The contract's name on the venue."""
        return f"{self.asset}USDT"

    @property
    def tick_quote(self) -> float:
        """Smallest price step."""
        return float(10.0**-self.price_decimals)


# news_frac must stay below value_frac, or the day never leaves the news; value_bids_usd is what ends the cascade: a tenth
# of it lets the fall run 10 points deeper, ten times it stops the fall at value_frac to the tick.
PROFILES: dict[str, AssetProfile] = {
    p.asset: p
    for p in (
        AssetProfile("BTC", 110_000, 1, 3, 0.020, 0.90, 90_000, 0.38, 9_000, 60e6, 1_400, 0.004, 0.068, 0.092, 7e8),
        AssetProfile(
            "ETH", 4_000, 2, 3, 0.030, 0.85, 2_100_000, 0.40, 260_000, 35e6, 1_200, 0.005, 0.085, 0.150, 4.5e8
        ),
        AssetProfile("SOL", 200, 2, 2, 0.038, 0.80, 9_000_000, 0.42, 1_100_000, 12e6, 1_000, 0.010, 0.110, 0.245, 8e7),
    )
}


def profiles_of(assets: tuple[str, ...]) -> tuple[AssetProfile, ...]:
    """Return the profiles of the assets, in order.

    Raises
    ------
    ValueError
        Where an asset has no profile or stands twice.
    """
    unknown = [a for a in assets if a not in PROFILES]
    if unknown or not assets or len(set(assets)) != len(assets):
        raise ValueError(f"the sandbox simulates each of {', '.join(PROFILES)} at most once; asked for {assets}")
    return tuple(PROFILES[a] for a in assets)


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the random stream of one purpose: independent of every other, the same on every machine of one lock file.

    Parameters
    ----------
    seed : int
        The world's seed, not negative.
    *purpose : str or int
        What the numbers are for, for example ``("BTC", "path")``.
    """
    key = [int.from_bytes(p.encode(), "little") if isinstance(p, str) else p for p in purpose]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *key])))
