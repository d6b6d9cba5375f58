"""Draws: what is not known of leverage, entries and depth, as guesses that the grid replays.

Belongs here: the counter-based generator and the law that turns its figures into part sizes, windows, exponents and
survivals. Does not: how wide the ranges are (``params.DRAW_LAW``), fuel and depth themselves (``fuel.py``, ``depth.py``), the
replay (``grid.py``).

A draw is a function of (day, asset, its number): more draws, other threads, other assets change none of the draws before.
Both sides and all settings of an asset see the same draws, so that they differ by what they assume and not by luck.

References
----------
docs/cascade.md, section 6. Salmon et al. (2011), *Parallel random numbers: as easy as 1, 2, 3* (Philox).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from assets.cascade.grid import check_memory
from assets.cascade.params import NORMAL_SLICES, DrawLaw, Setting, TierPrior

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# Figures that every draw takes before those of its tiers; one Philox counter gives four.
_COMMON, _WINDOW, _EXPONENT, _DEPTH, _SURVIVAL = range(5)
_PER_COUNTER = 4

_SLICE_MIDDLES = np.array([NormalDist().inv_cdf((i + 0.5) / NORMAL_SLICES) for i in range(NORMAL_SLICES)])
_P10 = NormalDist().inv_cdf(0.1)


@dataclass(frozen=True)
class Draws:
    """Draws of one asset and day.

    Parameters
    ----------
    weight_x : float64[n_draws, n_tiers]
        Factor on each tier's weight.
    window_index, exponent_slice : int64[n_draws]
        Entry window; slice of the normal law of g.
    depth_x : float64[n_draws]
        Factor on prior depth.
    survival_z : float64[n_draws]
        Standard normal figure of W.
    """

    weight_x: F64
    window_index: I64
    exponent_slice: I64
    depth_x: F64
    survival_z: F64


def draw(law: DrawLaw, day: date, asset: str, n_draws: int, *, n_tiers: int, n_windows: int) -> Draws:
    """Return the first `n_draws` draws of an asset and day.

    Raises
    ------
    ValueError
        Where `n_draws` is below 1, or the draws do not fit into memory.
    """
    if n_draws < 1:
        raise ValueError(f"draws = {n_draws}: at least one")
    figures = -(-(_SURVIVAL + 1 + n_tiers) // _PER_COUNTER) * _PER_COUNTER
    # The figures, and six copies of the part sizes in the largest moment between here and the counts of the grid.
    check_memory(f"draws = {n_draws}", 8 * n_draws * (figures + 6 * n_tiers), "fewer draws")
    key = hashlib.sha256(f"{law.name}|{day.isoformat()}|{asset}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], dtype=np.uint64)))
    u = generator.random((n_draws, figures))
    tiers = u[:, _SURVIVAL + 1 : _SURVIVAL + 1 + n_tiers]
    common = _around_one(u[:, _COMMON], law.weight_low_x, law.weight_high_x)
    return Draws(
        weight_x=common[:, None] * law.tier_spread_x ** (2.0 * tiers - 1.0),
        window_index=np.floor(n_windows * u[:, _WINDOW]).astype(np.int64),
        exponent_slice=np.floor(NORMAL_SLICES * u[:, _EXPONENT]).astype(np.int64),
        depth_x=_around_one(u[:, _DEPTH], law.depth_low_x, law.depth_high_x),
        survival_z=_SLICE_MIDDLES[np.floor(NORMAL_SLICES * u[:, _SURVIVAL]).astype(np.int64)],
    )


def weights_frac(draws: Draws, prior: TierPrior) -> F64:
    """Return each draw's tier weights, float64[n_draws, n_tiers]; scaled down where they would sum to more than 1."""
    weights = draws.weight_x * np.array([t.weight_frac for t in prior.tiers])
    together = weights.sum(axis=1, keepdims=True)
    scaled: F64 = weights / np.maximum(together, 1.0)
    return scaled


def exponents_x(law: DrawLaw, setting: Setting) -> F64:
    """Return the impact exponent of every slice, float64[n_slices]; the setting's own in all where it is given."""
    spread = law.exponent_sd_x if setting.is_exponent_drawn else 0.0
    exponents: F64 = setting.impact_exponent_x + spread * _SLICE_MIDDLES
    return exponents


def survivals_frac(law: DrawLaw, setting: Setting, draws: Draws) -> F64:
    """Return each draw's W, float64[n_draws], at most 1; the setting's own in all where it is given."""
    if not setting.is_survival_drawn:
        return np.full(draws.survival_z.size, setting.depth_survival_frac)
    spread = np.log(law.survival_p10_frac / setting.depth_survival_frac) / _P10
    survivals: F64 = np.minimum(1.0, setting.depth_survival_frac * np.exp(spread * draws.survival_z))
    return survivals


def _around_one(u: F64, low: float, high: float) -> F64:
    """Return factors that are log-uniform from low to 1 below the median and from 1 to high above it."""
    factors: F64 = np.where(u < 0.5, low ** (1.0 - 2.0 * u), high ** (2.0 * u - 1.0))
    return factors
