"""Named priors, grids and settings of the static cascade, each with its reason and its range.

Belongs here: every number of the model that is an assumption, as a frozen dataclass or a constant. Does not: anything that
is read from data (``fuel.py``, ``depth.py``) or computed (``simulate.py``). A prior is a prior: no value here was fitted.
A changed value gets a new name (``tier_prior_v2``), because the name is a column of the published tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

ShockKind = Literal["sell", "reprice"]
PositionSide = Literal["long", "short"]

SHOCK_KINDS: tuple[ShockKind, ...] = ("sell", "reprice")
POSITION_SIDES: tuple[PositionSide, ...] = ("long", "short")

# Largest upward shock that the model accepts: u is tabulated to 10 (docs/cascade.md, section 2).
MAX_UPWARD_SHOCK_FRAC = 10.0

# One tick of the lattice: the smallest price step that the marts hold, DECIMAL(18,8). Every mart price is a whole number
# of ticks; prices up to 9e7 quote stay below 2^53 ticks, above that they could not be told apart in float64.
TICK_DECIMALS = 8

# Prices below so many ticks are left out: a tick would be more than 1 bps of them, and marks are whole ticks.
LEAST_MARK_TICKS = 10_000

# Sums of lots are compared with float64 products, so they must stay exact there.
MAX_EXACT_LOTS = 2**53

# A draw of the grid turns floats into whole numbers in vectors, by the lower bits of 2^52 plus them.
MAX_DRAWN_LOTS = 2**52

# Digits that one-sided open interest has in lots: 1e9 lots resolve a billionth of it, and depth at a move of 1,000 %
# (about 30 times open interest under the prior) still fits below 2^53. Fewer digits would show in lot rounding.
LOT_DIGITS = 9

# Shocks of the published rows.
REPORTED_SHOCKS_FRAC: tuple[float, ...] = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.30)

# The search for critical shocks walks 5 bps .. 50 %. The step equals the spacing of tabulated book rows: a finer one would
# only see the rows, a coarser one could not tell a jump from a steep slope.
SEARCH_STEP_BPS = 5
SEARCH_MAX_SHOCK_FRAC = 0.5

# Tabulated book rows: every 5 bps to a move of 100 %, then every 100 bps to 1,000 % (upward only).
ROW_STEP_BPS = 5
FAR_ROW_STEP_BPS = 100

# An asset-day is replayed where it moved by 5 % from the close before, up or down: below it there is little forced flow to
# tell from ordinary trade; at 10 % most altcoin flushes of a year would be missing.
EVENT_LEAST_MOVE_FRAC = 0.05

# The free replay is given the observed path up to the step in which a fifth of the day's move is reached, and in that step no more
# than the fifth. Near 0 the shock is noise, above a half it is most of the event.
SHOCK_SHARE_FRAC = 0.2

# Windows of the discretised branching ratio: ten rows, so that one bucket on one row does not make a peak.
BRANCHING_WINDOW_BPS = 50


@dataclass(frozen=True)
class CriticalRule:
    """When a shock counts as critical (section 3).

    `least_shock_frac` 1 %: below it a "cascade" is the spread and the queue. `least_gain_frac` 100 bps: feedback that adds
    less is not told from row spacing (5 bps) and coarse bands. `least_forced_frac` 1 % of one-sided open interest: below it
    a thin book and not leverage makes the move. Near 0 it calls every thin book critical; above the prior's whole weight
    (about 20 %) nothing ever is.
    """

    least_shock_frac: float = 0.01
    least_gain_frac: float = 0.01
    least_forced_frac: float = 0.01


CRITICAL_RULE = CriticalRule()


@dataclass(frozen=True)
class Setting:
    """One setting of the replay: how the shock arrives and how much of the book is still there.

    Parameters
    ----------
    shock_kind : {"sell", "reprice"}
    depth_survival_frac : float
        W in (0, 1].
    impact_exponent_x : float
        g: beyond its reach the book follows ``D(u) = D(u_r) (u/u_r)^(1/g)``.
    sold_share_frac : float
        phi in [0, 1].
    is_survival_drawn, is_exponent_drawn : bool
        True where draws vary W, g around the figures above.
    given : tuple of str
        What the asker gave in place of the published assumption ("W", "g"); part of the name, because its draws differ.
    """

    shock_kind: ShockKind
    depth_survival_frac: float
    impact_exponent_x: float
    sold_share_frac: float
    is_survival_drawn: bool = False
    is_exponent_drawn: bool = True
    given: tuple[str, ...] = ()

    def name(self, fuel_origin: str) -> str:
        """Return the setting as the tables name it, for example ``sell|W=1.00|g=0.875|phi=1.00|estimated``."""
        w, g, phi = (_figure(x) for x in (self.depth_survival_frac, self.impact_exponent_x, self.sold_share_frac))
        asked = f"|given={','.join(self.given)}" if self.given else ""
        return f"{self.shock_kind}|W={w}|g={g}|phi={phi}|{fuel_origin}{asked}"


def _figure(value: float) -> str:
    """Write a figure with at least two decimals and no more than it has: two settings never share a name."""
    shortest = repr(float(value))
    at_least_two = f"{value:.2f}"
    return at_least_two if float(at_least_two) == value else shortest


# g = 0.875: measured over minutes in liquidation bursts (+- 0.078); 0.5 is the square-root law of slow execution, 1 is
# linear (section 3). phi = 1: everything that is triggered is sold into this book; take-over, netting and ADL come later.
# W = 0.294: median share of depth within 1 % that was left during flushes. It was seen after triggers and includes what
# the flow ate, so it overstates the thinning before a calm small shock: W = 1 always stands beside it (section 6).
IMPACT_EXPONENT_X = 0.875
FLUSH_SURVIVAL_FRAC = 0.294
SETTINGS: tuple[Setting, ...] = (
    Setting("sell", 1.0, IMPACT_EXPONENT_X, 1.0),
    Setting("sell", FLUSH_SURVIVAL_FRAC, IMPACT_EXPONENT_X, 1.0, is_survival_drawn=True),
    Setting("reprice", 1.0, IMPACT_EXPONENT_X, 1.0),
)


@dataclass(frozen=True)
class LeverageTier:
    """One tier of the prior: share of one-sided open interest at a leverage, with its maintenance margin rate."""

    leverage_x: float
    weight_frac: float
    maintenance_margin_rate_frac: float


@dataclass(frozen=True)
class TierPrior:
    """A law of leverage over one-sided open interest. The weights sum to less than 1; the rest is unleveraged or unknown."""

    name: str
    tiers: tuple[LeverageTier, ...]

    @property
    def weight_frac(self) -> float:
        """Share of one-sided open interest that counts as fuel."""
        return sum(t.weight_frac for t in self.tiers)


def asked_settings(
    shock_kind: str | None, depth_survival_frac: float | None, impact_exponent_x: float | None
) -> tuple[Setting, ...]:
    """Return the settings of a question: the published ones, with what was given in place of what they assume.

    Raises
    ------
    ValueError
        Where the kind is unknown, W outside (0, 1], or g outside [0.4, 10].
    """
    if shock_kind is not None and shock_kind not in SHOCK_KINDS:
        raise ValueError(f"shock_kind = {shock_kind!r}: must be sell or reprice")
    if depth_survival_frac is not None and not 0 < depth_survival_frac <= 1:
        raise ValueError(f"depth_survival_frac = {depth_survival_frac}: W must be inside (0, 1]")
    # Below 0.4 depth at a move of 1,000 % does not fit into 2^53 lots; 0.5 is the square-root law. Above 10 it does not grow.
    if impact_exponent_x is not None and not 0.4 <= impact_exponent_x <= 10:
        raise ValueError(f"impact_exponent_x = {impact_exponent_x}: g must be inside [0.4, 10]")
    settings = [s for s in SETTINGS if shock_kind in (None, s.shock_kind)]
    if depth_survival_frac is not None:
        by_kind = {s.shock_kind: s for s in settings if not s.is_survival_drawn}
        settings = [replace(s, depth_survival_frac=depth_survival_frac, given=("W",)) for s in by_kind.values()]
    if impact_exponent_x is not None:
        settings = [
            replace(s, impact_exponent_x=impact_exponent_x, is_exponent_drawn=False, given=(*s.given, "g"))
            for s in settings
        ]
    return tuple(settings)


def capped(prior: TierPrior, leverage_cap_x: float) -> TierPrior:
    """Return the prior with its tiers above a leverage moved to it; the name says so.

    Raises
    ------
    ValueError
        Where the cap is below 1 or not finite.
    """
    if not 1.0 <= leverage_cap_x < math.inf:
        raise ValueError(f"leverage_cap_x = {leverage_cap_x}: must be finite and at least 1")
    tiers = tuple(replace(t, leverage_x=min(t.leverage_x, leverage_cap_x)) for t in prior.tiers)
    return TierPrior(f"{prior.name}|leverage<={_figure(leverage_cap_x)}", tiers)


# A prior and not a fit. Two orders of magnitude bound it. On a calm day reported liquidations of BTC are tens of millions of
# USD against open interest of tens of billions: about 0.05 % of open interest per 1 % of price. On 2025-10-10, 20:00 to
# 22:00 UTC, Hyperliquid's BTC open interest fell by half in USD while BTC fell to 17 % below the day's open: about 3 % per
# 1 %, closures of every kind included. The weights below lie between the two: about 0.5 to 0.8 % of open interest per 1 %
# of price where entries spread over 20 %.
# Range: half to three times all weights. Equal weights that sum to 1 overstate long fuel 20 to 50 times (section 4); with
# all weights 0 there is no cascade. The missing 0.8 are hedged, low-leverage or topped-up positions and are not guessed.
# Maintenance rate 1 %: bracket 4 of BTC (positions of 3 to 12 million USD) on Binance, between 0.4 % for the smallest and
# 2.5 % at 100 million (2026-07-01); Hyperliquid's is 1.25 % at 40x. 0.5 % for 100x, which is only offered up to 0.8 million
# (bracket 2). A rate of 1/leverage or above would liquidate at entry.
TIER_PRIOR = TierPrior(
    "tier_prior_v1",
    (
        LeverageTier(3.0, 0.060, 0.010),
        LeverageTier(5.0, 0.060, 0.010),
        LeverageTier(10.0, 0.045, 0.010),
        LeverageTier(20.0, 0.020, 0.010),
        LeverageTier(25.0, 0.010, 0.010),
        LeverageTier(50.0, 0.006, 0.010),
        LeverageTier(100.0, 0.002, 0.005),
    ),
)

# Entries: the last 30 UTC days that end with the scenario's day. Open interest turns over in days; older entries that are
# still open are mostly hedges. Below 7 days the entries collapse onto the price and fuel piles up at 1/L exactly.
ENTRY_DAYS = 30

# Entry windows of the draws: turnover is not known, so a draw takes one of them, each as likely. The first is the central one.
ENTRY_WINDOW_DAYS: tuple[int, ...] = (ENTRY_DAYS, 14, 7)

# Fuel bins, in bps of the reference price: the spacing of book rows, so that fuel is not resolved finer than depth.
FUEL_BIN_BPS = 5

# Open interest older than this before the price of the cut-off is stale (an hourly series skips an hour or two); a book
# may be older because it is captured less often, but not from before the same session.
MAX_OPEN_INTEREST_AGE_HOURS = 3
MAX_BOOK_AGE_HOURS = 6


@dataclass(frozen=True)
class DepthPrior:
    """One-sided depth within `reach_frac` of the price as a share of the fuel venues' own one-sided open interest."""

    name: str
    reach_frac: float
    share_of_open_interest_frac: float


# 1.5 % of open interest within 1 %. Binance BTCUSDT, the deepest book, showed about 2,500 BTC of bids and 2,000 of asks
# within 1 % (median of 2025-10-10 before noon) against open interest of the order of 80,000 BTC (2026-03-07): 2 to 3 %.
# Smaller venues and assets are thinner. Range 0.5 to 3 %; the critical shock moves nearly in inverse proportion, below
# 0.3 % every asset is critical at once, above 5 % none ever is. Beyond 1 % the same book grew 4.0 (bids) and 2.9 (asks)
# times to 5 %; g = 0.875 gives 6.3: the far book of the prior is generous. As a share of the fuel's own open interest, D
# covers the same venues as F by construction.
DEPTH_PRIOR = DepthPrior("depth_prior_oi_v1", 0.01, 0.015)


@dataclass(frozen=True)
class DrawLaw:
    """What a draw varies and how far; the median of every figure is the central estimate.

    Parameters
    ----------
    name : str
    weight_low_x, weight_high_x : float
        Range of the factor on all tier weights together: log-uniform from low to 1 and from 1 to high, each half as likely.
    tier_spread_x : float
        Range of the factor on each tier by itself: log-uniform from 1/spread to spread.
    exponent_sd_x : float
        Standard deviation of the impact exponent (normal).
    survival_p10_frac : float
        10th percentile of W where it is drawn (log-normal around the setting's W, at most 1).
    depth_low_x, depth_high_x : float
        Range of the factor on depth that comes from the prior, as for the weights; measured depth is not varied.
    """

    name: str
    weight_low_x: float
    weight_high_x: float
    tier_spread_x: float
    exponent_sd_x: float
    survival_p10_frac: float
    depth_low_x: float
    depth_high_x: float


# Weights: the stated range of `tier_prior_v1`, half to three times. Single tiers: within a factor of two of their place in the
# prior; below 1.2 tiers would move as one, above 5 the prior says nothing. Exponent: 0.875 +- 0.078 as measured. W: median 0.294
# and 10th percentile 0.059 of the share within 1 % that was left in flushes. Depth: the prior's 0.5 to 3 % around 1.5 %.
DRAW_LAW = DrawLaw("draw_law_v1", 0.5, 3.0, 2.0, 0.078, 0.059, 1 / 3, 2.0)

# Draws of the published rows: a 5 % quantile then rests on 50 draws and moves by about a fifth of its distance to the median.
DRAWS_COUNT = 1_000

# Normal quantities are drawn as the middle of one of so many slices that are equally likely: one book per slice of g.
NORMAL_SLICES = 16


# Where books of only some fuel venues were captured, their depth is scaled by open-interest share and the name says so;
# below half of open interest the sample says too little about the rest and the prior is used instead.
SCALED_DEPTH_NAME = "depth_scaled_by_oi_share_v1"
LEAST_DEPTH_COVERAGE_FRAC = 0.5
