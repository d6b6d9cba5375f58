"""One side of a market state on the lattice: ticks, lots, central fuel and book, and the grid of its draws.

Belongs here: from a `MarketState` to the arrays that the replays take, and back from lots and ticks to base units and USD. Does
not: reading marts (``state.py``), rows of tables (``frames.py``), the replays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property

import numpy as np

from assets.cascade.depth import SideDepth, book_rows
from assets.cascade.fuel import FuelProfile, central_fuel, fuel_profile, lot_decimals
from assets.cascade.grid import DrawnBook, DrawnFuel, Grid, prepare_grid
from assets.cascade.lattice import Book, Fuel
from assets.cascade.params import TICK_DECIMALS, DrawLaw, PositionSide, Setting, TierPrior
from assets.cascade.state import MarketState
from assets.cascade.uncertainty import Draws, exponents_x, survivals_frac, weights_frac


@dataclass(frozen=True)
class MarketSide:
    """One side of a state; lots are of ``10^-lot_exponent`` base."""

    state: MarketState
    side: PositionSide
    prior: TierPrior

    @cached_property
    def depth(self) -> SideDepth:
        """Depth that the side's forced orders meet."""
        return self.state.bid_depth if self.side == "long" else self.state.ask_depth

    @cached_property
    def lot_exponent(self) -> int:
        """Decimals of a lot."""
        return lot_decimals(float(self.state.open_interest_base))

    @cached_property
    def mark_ticks(self) -> int:
        """Reference price."""
        return int(self.state.reference_price_quote.scaleb(TICK_DECIMALS))

    @cached_property
    def open_interest_lots(self) -> int:
        """One-sided open interest."""
        return int(self.state.open_interest_base.scaleb(self.lot_exponent))

    @cached_property
    def usd_ticklots(self) -> float:
        """One USD in ticks x lots."""
        return float(10.0 ** (TICK_DECIMALS + self.lot_exponent))

    @cached_property
    def profile(self) -> FuelProfile:
        """Buckets of the side and the tiers' shares in them."""
        return fuel_profile(self.state.entry_windows, self.prior, self.side, self.mark_ticks)

    @cached_property
    def fuel(self) -> Fuel:
        """Central fuel: the prior's own weights, the first entry window."""
        return central_fuel(self.profile, self.open_interest_lots, self.prior)

    def book(self, impact_exponent_x: float, scale_x: float = 1.0) -> Book:
        """Return the tabulated book, its depth times `scale_x`."""
        depth = replace(self.depth, scale_x=self.depth.scale_x * scale_x)
        return book_rows(depth, self.side, impact_exponent_x, 10.0**-self.lot_exponent)

    def base(self, lots: int) -> Decimal:
        """Return lots in base units."""
        return Decimal(lots).scaleb(-self.lot_exponent).quantize(Decimal("1e-8"))

    def usd(self, ticklots: float) -> Decimal:
        """Return ticks x lots in USD."""
        return Decimal(ticklots * 10.0 ** -(TICK_DECIMALS + self.lot_exponent)).quantize(Decimal("1e-4"))

    def central_grid(self, setting: Setting) -> Grid:
        """Return the central estimate as a grid of one draw: the same replay as `fuel` and `book`, lot for lot."""
        book = self.book(setting.impact_exponent_x)
        weights = np.array([[t.weight_frac for t in self.prior.tiers]])
        none = np.zeros(1, dtype=np.int64)
        drawn = DrawnBook(
            book.relative_price, book.cumulative_lots[None, :], none, np.array([[setting.depth_survival_frac]])
        )
        return prepare_grid(
            float(self.mark_ticks), drawn, self._fuel(weights, none), self.side, setting.sold_share_frac
        )

    def drawn_grid(self, settings: Sequence[Setting], law: DrawLaw, draws: Draws) -> Grid:
        """Return the draws as a grid whose liquidities are the settings, which differ by W alone and begin with the largest.

        Depth that comes from the prior is drawn too: the book is tabulated at the upper end of its range and W takes the rest.
        """
        setting = settings[0]
        is_prior = self.depth.origin == "prior"
        top = law.depth_high_x if is_prior else 1.0
        level = draws.depth_x / top if is_prior else np.ones(draws.depth_x.size)
        exponents = exponents_x(law, setting)
        if setting.is_exponent_drawn:
            slices = draws.exponent_slice
        else:
            exponents, slices = exponents[:1], np.zeros_like(draws.exponent_slice)
        books = [self.book(float(g), top) for g in exponents]
        survivals = np.stack([survivals_frac(law, s, draws) * level for s in settings], axis=1)
        drawn = DrawnBook(books[0].relative_price, np.stack([b.cumulative_lots for b in books]), slices, survivals)
        fuel = self._fuel(weights_frac(draws, self.prior), draws.window_index)
        return prepare_grid(float(self.mark_ticks), drawn, fuel, self.side, setting.sold_share_frac)

    def _fuel(self, weights: np.ndarray, window_index: np.ndarray) -> DrawnFuel:
        return DrawnFuel(
            self.profile.trigger_ticks,
            self.profile.bankruptcy_ticks,
            self.profile.profile_frac,
            window_index,
            self.open_interest_lots * weights,
        )
