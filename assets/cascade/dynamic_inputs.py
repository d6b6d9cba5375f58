"""What a dynamic replay is asked: markets, paths, impact, policies, and the named priors.

Belongs here: the typed inputs and every number that is an assumption, with its reason and range. Does not: their
validation and packing (``dynamic_pack.py``), entry points and results (``dynamic.py``), where fuel, depth and closures
come from. Nothing here was fitted: a prior is called a prior.

References
----------
docs/cascade_dynamic.md, sections 2, 8 and 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from assets.cascade.lattice import Book
from assets.cascade.params import PositionSide

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# beta of t^-beta. Order signs with a memory exponent of 0.2 to 0.7 ask for (1 - exponent) / 2 = 0.15 to 0.4 (Bouchaud et
# al. 2004). Range 0.15 to 0.5: at 0 impact never decays and every fall is permanent, above 0.5 it is gone in minutes.
DECAY_BETA = 0.3

# Liquidation engines look about once a second, so a minute has 60 rounds. 1 lets one round last a minute (a cascade then
# takes hours); more than 1,000 only costs time, a cascade within a step ends by itself.
ROUNDS_PER_STEP = 60

# Mode 2 stops where no factor moves by more than 1 bps, a fifth of a 5 bps bin. Below 1e-6 single bins at the edge of being
# reached keep it from ending; above 1e-3 the share itself is off by percents.
TOLERANCE = 1e-4
MAX_ITERATIONS = 32

# Mode 2 gives no share for a smaller move: the quotient of two small returns says nothing.
LEAST_RETURN_FRAC = 0.02


@dataclass(frozen=True)
class DepthProcess:
    """How depth falls and comes back; W is the share of the book that is there (section 5).

    A prior from one event (2025-10-10, 20:45 to 21:25 UTC, Binance BTCUSDT asks within 1 %: 0.23 of the calm value at
    the worst, half of the missing part back after about 45 minutes; bids of that record are partly frozen and not used).

    Parameters
    ----------
    return_sensitivity_x : float
        alpha, per unit of absolute step return. 10 takes W to 0.23 after about 15 % of summed minute returns. Range 3 to
        30: at 1 depth never thins, at 100 a calm hour empties it.
    flow_sensitivity_x : float
        gamma, per reference depth of net forced flow: makers who leave beyond what was eaten. It cannot be told from
        alpha on one event. Range 0 to 1.
    half_life_steps : float
        Steps until half of the missing depth is back. 45 minutes; range 10 to 120.
    least_survival_frac : float
        Floor of W in (0, 1]; 0.05 is about the 10th percentile of measured survival (0.059).
    initial_survival_frac : float
        W of the first step.
    """

    return_sensitivity_x: float = 10.0
    flow_sensitivity_x: float = 0.25
    half_life_steps: float = 45.0
    least_survival_frac: float = 0.05
    initial_survival_frac: float = 1.0


# The name stands in outputs; a changed value gets a new name.
DEPTH_PROCESS_NAME = "depth_process_prior_v1"
DEPTH_PROCESS = DepthProcess()
CONSTANT_DEPTH = DepthProcess(return_sensitivity_x=0.0, flow_sensitivity_x=0.0)


@dataclass(frozen=True)
class Impact:
    """Decay table ``G``, float64[>= n_steps] (``G[0] = 1``, non-increasing, not negative), and the depth process."""

    decay: F64
    depth: DepthProcess = DEPTH_PROCESS


def power_law_kernel(n_steps: int, beta: float = DECAY_BETA) -> F64:
    """Return ``(1 + k)^-beta`` for ``k = 0 .. n_steps - 1``, float64[n_steps].

    Raises
    ------
    ValueError
        Where beta is negative or not finite.
    """
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta = {beta}: the decay exponent must be finite and not negative")
    return np.array([float(1 + k) ** -float(beta) for k in range(n_steps)])


@dataclass(frozen=True)
class Openings:
    """Lots opened in bins of a side: int64[n] each; `step` non-decreasing, `bin` an index into the side's bins."""

    step: I64
    bin: I64
    lots: I64


def no_openings() -> Openings:
    """Return an empty row of openings."""
    none = np.empty(0, dtype=np.int64)
    return Openings(none, none, none)


@dataclass(frozen=True)
class SideFuel:
    """Fuel bins of one side in any order.

    Parameters
    ----------
    trigger_ticks : float64[n_bins]
        Liquidation prices ``l_k > 0``.
    quantity_lots : int64[n_bins]
        ``q_k >= 0``; with the openings below 2^53 together.
    leverage_x : float64[n_bins] or None
        At least 1; needed by a leverage cap only.
    openings : Openings
    """

    trigger_ticks: F64
    quantity_lots: I64
    leverage_x: F64 | None = None
    openings: Openings = field(default_factory=no_openings)


def price_grid(mark_ticks: float, side: PositionSide, step_frac: float, n_bins: int) -> F64:
    """Return a log-price grid going away from the mark: ``p_k = fl(p_{k-1} * fl(1 -+ step_frac))``, float64[n_bins].

    Raises
    ------
    ValueError
        Where the step is outside (0, 1).
    """
    if not 0 < step_frac < 1:
        raise ValueError(f"step_frac = {step_frac}: must be inside (0, 1)")
    ratio = 1.0 - step_frac if side == "long" else 1.0 + step_frac
    grid = np.multiply.accumulate(np.concatenate([[float(mark_ticks)], np.full(n_bins, ratio)]))
    return np.asarray(grid[1:], dtype=np.float64)


@dataclass(frozen=True)
class DayMarket:
    """One market at the start of its day.

    Parameters
    ----------
    mark_ticks : float
        ``p0 > 0``.
    long_fuel, short_fuel : SideFuel
    bids, asks : Book or None
        Relative price and cumulative lots going away from the mark; needed by modes 2 and 3.
    reference_lots : int
        One side's depth within 1 % at W = 1; the unit of forced flow in the depth process. Needed with the books.
    closure_frac : float64[n_steps] or None
        Share of every position that closes in a step, in [0, 1); None is none.
    sold_share_frac : float
        phi in [0, 1].
    """

    mark_ticks: float
    long_fuel: SideFuel
    short_fuel: SideFuel
    bids: Book | None = None
    asks: Book | None = None
    reference_lots: int | None = None
    closure_frac: F64 | None = None
    sold_share_frac: float = 1.0


@dataclass(frozen=True)
class DayPath:
    """Observed marks per step in ticks, float64[n_steps] each: ``0 < low <= close <= high``."""

    low_ticks: F64
    high_ticks: F64
    close_ticks: F64


@dataclass(frozen=True)
class Policy:
    """A rule change to replay under (section 8); the default changes nothing.

    Parameters
    ----------
    name : str
    leverage_cap_x : float or None
        At least 1.
    cap_rule : {"move", "drop"}
        Positions above the cap exist with the cap's leverage, or do not exist.
    depth_scale_x : float
        Above 0.
    breaker_move_frac, breaker_window_steps, breaker_halt_steps : float, int, int
        A move of that size against so many steps ago halts triggers for so many steps; 0 steps: no breaker.
    twap_steps : int
        Triggers look at the mean of so many marks; 1: at the mark.
    adl_share_frac : float
        Share of forced lots closed against winners instead of sold, in [0, 1].
    """

    name: str
    leverage_cap_x: float | None = None
    cap_rule: Literal["move", "drop"] = "move"
    depth_scale_x: float = 1.0
    breaker_move_frac: float = 0.05
    breaker_window_steps: int = 5
    breaker_halt_steps: int = 0
    twap_steps: int = 1
    adl_share_frac: float = 0.0


BASELINE = Policy("baseline")
POLICIES: tuple[Policy, ...] = (
    BASELINE,
    # 10x: most venues default to 10x to 20x; 3 is an abolition of the product, above 50 hardly any fuel is touched.
    Policy("leverage_cap_10x", leverage_cap_x=10.0),
    # Half as much again, the policy named in the specification; the effect is nearly proportional between 0.5 and 2.
    Policy("depth_plus_50", depth_scale_x=1.5),
    # 5 % within 5 minutes, halt of 5 minutes: the band, window and pause of limit-up limit-down for large US shares.
    # Below 2 % a crypto market halts daily, above 20 % it never does.
    Policy("circuit_breaker_5m", breaker_move_frac=0.05, breaker_window_steps=5, breaker_halt_steps=5),
    # 15 minutes: between the minutes of perpetual venues' index smoothing and the 30 minutes common for on-chain means.
    Policy("oracle_twap_15", twap_steps=15),
    # Half of forced lots against winners; 0 is the baseline, 1 sells nothing.
    Policy("adl_half", adl_share_frac=0.5),
)
