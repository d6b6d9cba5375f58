"""Made-up holders of the world's coins: supply, what of it moved within a year, value, flows to and from exchanges.

Belongs here: the figures as the world's truth. Does not: the interface that shows them (``wire_coin_metrics.py``), prices and
their mechanics (``paths.py``). A fall sends coins to exchanges; supply grows by a steady issue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from pipelines.sandbox.profiles import PROFILES, stream

if TYPE_CHECKING:
    from pipelines.sandbox.world import World

# Days before the world's first from which on figures are told.
WARM_DAYS = 60
# Coins at the first day, coins issued a day, ordinary flow to exchanges in dollars a day.
_COINS = {"BTC": (19_900_000.0, 450.0, 2.0e9), "ETH": (120_700_000.0, 1_900.0, 1.1e9)}


@dataclass(frozen=True)
class HolderDay:
    """Figures of one coin at the end of a UTC day, flows over the day."""

    day: date
    supply_base: float
    supply_active_1y_base: float
    price_quote: float
    realised_quote: float
    exchange_inflow_usd: float
    exchange_outflow_usd: float

    @property
    def market_cap_usd(self) -> float:
        """Supply at the day's last price."""
        return self.supply_base * self.price_quote

    @property
    def mvrv_x(self) -> float:
        """Market value over realised value."""
        return self.price_quote / self.realised_quote


def holder_days(world: World, asset: str) -> list[HolderDay]:
    """Return the figures of BTC or ETH from 60 days before the world's first day to its last, in order.

    A coin that the world does not trade follows its first asset's returns from an ordinary price.
    """
    is_traded = asset in world.assets
    days, moves = world.daily_returns(asset if is_traded else world.assets[0])
    first = float(world.candles(asset).open_quote[0]) if is_traded else PROFILES[asset].level_quote
    growth = np.cumprod(1.0 + moves)
    closes = growth * first / growth[days.index(world.first_day) - 1]
    coins, issued, flow = _COINS[asset]
    rng = stream(world.seed, "holders", asset)
    active = 0.36 + np.cumsum(0.0004 * rng.standard_normal(len(days)))
    noise = rng.lognormal(0.0, 0.2, (2, len(days)))
    realised, told = 0.55 * float(closes[0]), []
    for i, day in enumerate(days):
        price = float(closes[i])
        realised += 0.004 * (price - realised)
        if day < world.first_day - timedelta(days=WARM_DAYS):
            continue
        supply = coins + issued * i
        fall = max(0.0, -float(moves[i]))
        told.append(
            HolderDay(
                day,
                supply,
                round(supply * float(active[i]), 8),
                price,
                realised,
                flow * float(noise[0, i]) * (1.0 + 8.0 * fall),
                flow * float(noise[1, i]),
            )
        )
    return told
