"""What a dynamic replay answers: plain, frozen results.

Belongs here: the dataclasses that the three modes return. Does not: how they come about (``dynamic.py``), tables.

References
----------
docs/cascade_dynamic.md, sections 3, 4, 6 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SideFlow:
    """Forced flow of one side of a market.

    Per step, int64[n_steps]: `forced_lots` and its parts, ``forced = sold + netted + adl + not_sold + unabsorbed`` (the
    shorts' `sold_lots` are purchases); `forced_notional_ticklots` float64[n_steps] at trigger prices.

    Over the day: ``initial + opened = dropped + excluded + total_forced + closed + remaining``.
    """

    forced_lots: I64
    sold_lots: I64
    netted_lots: I64
    adl_lots: I64
    not_sold_lots: I64
    unabsorbed_lots: I64
    forced_notional_ticklots: F64
    initial_lots: int
    opened_lots: int
    dropped_lots: int
    excluded_lots: int
    total_forced_lots: int
    closed_lots: int
    remaining_lots: int


@dataclass(frozen=True)
class PathReplay:
    """Mode 1: what an observed path forces under a policy; the path does not move."""

    policy: str
    long: SideFlow
    short: SideFlow
    halted_steps: int


@dataclass(frozen=True)
class Counterfactual:
    """Mode 2: an observed move up to its trough (peak for a squeeze) without the impact of forced orders.

    Parameters
    ----------
    orders_origin : {"reported", "simulated"}
    trough_step : int
        ``t*``; arrays below are of length ``t* + 1``.
    observed_log_frac : float
        ``ln(price at t* / p0)``.
    endogenous_share_frac : float or None
        ``1 - r_cf / r_obs`` of the last path, unclipped. None where the iteration did not converge, or |r_obs| < 2 %.
    share_low_frac, share_high_frac : float or None
        Shares of the last two paths, ordered. None where |r_obs| < 2 %.
    first_share_frac : float or None
        Share after taking out every order forced on the observed path, without triggering again.
    iterations, is_converged : int, bool
    is_exhausted : bool
        The load of the last path went beyond a tabulated book: impact is understated.
    low_ticks, high_ticks, close_ticks : float64[t* + 1]
        The last path.
    forced_long_lots, forced_short_lots : int64[t* + 1]
        The orders whose impact the last path lacks.
    depth_survival_frac : float64[t* + 1]
        W of the observed day.
    """

    orders_origin: Literal["reported", "simulated"]
    trough_step: int
    observed_log_frac: float
    endogenous_share_frac: float | None
    share_low_frac: float | None
    share_high_frac: float | None
    first_share_frac: float | None
    iterations: int
    is_converged: bool
    is_exhausted: bool
    low_ticks: F64
    high_ticks: F64
    close_ticks: F64
    forced_long_lots: I64
    forced_short_lots: I64
    depth_survival_frac: F64


@dataclass(frozen=True)
class FreeReplay:
    """Mode 3: from the state and the shock of the first steps alone.

    `mark_ticks` and `depth_survival_frac` are float64[n_steps], at the end of a step and at its start. `duration_steps`
    spans the first to the last step with forced lots; 0 where there is none.
    """

    policy: str
    long: SideFlow
    short: SideFlow
    mark_ticks: F64
    depth_survival_frac: F64
    trough_ticks: float
    trough_step: int
    peak_ticks: float
    peak_step: int
    duration_steps: int
    rounds: int
    halted_steps: int
    is_exhausted: bool
