"""The stress section: replays of the day's closing state and critical shocks, side by side over their settings.

Belongs here: grouping by asset, side and setting, the day before's critical shock, amplification curves. The numbers come from
``marts.fct_stress_scenarios_daily`` and ``marts.fct_critical_shocks_daily``; nothing is simulated here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from assets.report import queries
from assets.report.model import Chart, Stress, StressAsset, StressSetting, StressSide
from assets.report.parts import MAX_LINES, DayView, series_of
from assets.report.rows import CriticalShock, StressRow

# CASCADE section 1: the assumption behind every replay. 1 until a fit exists; then it comes from the table.
PASS_THROUGH_X = 1.0

# The overview shows this shock where it was replayed, else the middle one of those that were.
SUMMARY_SHOCK_FRAC = 0.10

_ASSUMED = tuple(f.name for f in fields(StressSetting) if f.name not in ("rows", "critical"))
_REPLAYED = tuple(f.name for f in fields(StressRow))
_SEARCHED = tuple(f.name for f in fields(CriticalShock) if not f.name.startswith("previous_"))
_SIDES = {"long": 0, "short": 1}

Key = tuple[str, str, str]


def build_stress(view: DayView) -> Stress:
    """Build the section; assets without a replay or a critical shock are not in it, the coverage section says why."""
    scenarios = view.fetch(queries.SCENARIOS, view.day)
    criticals = view.fetch(queries.CRITICAL, view.day)
    before = {_key(row): row for row in view.fetch(queries.CRITICAL, view.day - timedelta(days=1))}
    replays: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in scenarios:
        replays[_key(row)].append(row)
    critical = {_key(row): row for row in criticals}
    keys = sorted({*replays, *critical}, key=lambda key: (view.rank(key[0]), _SIDES.get(key[1], len(_SIDES)), key[1]))
    sides: dict[str, dict[str, list[StressSetting]]] = defaultdict(lambda: defaultdict(list))
    for key in keys:
        sides[key[0]][key[1]].append(_setting(replays.get(key, []), critical.get(key), before.get(key)))
    used = [*scenarios, *criticals]
    synthetic_assets = {row["asset"] for row in used if row["is_synthetic"]}
    assets = tuple(_asset(name, by_side, name in synthetic_assets) for name, by_side in sides.items())
    return Stress(
        origin=view.origin(
            ("fct_stress_scenarios_daily", "fct_critical_shocks_daily"),
            [row["is_synthetic"] for row in used],
            datasets=("open_interest", "candles"),
            is_estimated=any(row["fuel_origin"] == "estimated" or row["depth_origin"] == "prior" for row in used),
        ),
        pass_through_x=PASS_THROUGH_X,
        summary_shock_frac=_summary_shock([row["shock_frac"] for row in scenarios]),
        fuel_origins=_names(used, "fuel_origin"),
        fuel_priors=_names(used, "fuel_prior"),
        depth_origins=_names(used, "depth_origin"),
        depth_priors=_names(used, "depth_prior"),
        draw_laws=_names(used, "draw_law"),
        draws_count=min((row["draws_count"] for row in used), default=None),
        assets=assets,
    )


def _key(row: Mapping[str, Any]) -> Key:
    return (row["asset"], row["position_side"], row["setting"])


def _names(rows: Sequence[Mapping[str, Any]], column: str) -> tuple[str, ...]:
    return tuple(sorted({row[column] for row in rows if row[column]}))


def _summary_shock(shocks: Sequence[float]) -> float | None:
    distinct = sorted(set(shocks))
    if not distinct:
        return None
    return SUMMARY_SHOCK_FRAC if SUMMARY_SHOCK_FRAC in distinct else distinct[len(distinct) // 2]


def _setting(
    replays: Sequence[Mapping[str, Any]], critical: Mapping[str, Any] | None, before: Mapping[str, Any] | None
) -> StressSetting:
    assumed = replays[0] if replays else critical or {}
    return StressSetting(
        **{name: assumed[name] for name in _ASSUMED},
        rows=tuple(StressRow(**{name: row[name] for name in _REPLAYED}) for row in replays),
        critical=_critical(critical, before) if critical else None,
    )


def _critical(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> CriticalShock:
    return CriticalShock(
        **{name: row[name] for name in _SEARCHED},
        previous_sim_soft_shock_frac=before["sim_soft_shock_frac"] if before else None,
        previous_is_soft_censored=before["is_soft_censored"] if before else None,
    )


def _asset(name: str, by_side: Mapping[str, Sequence[StressSetting]], is_synthetic: bool) -> StressAsset:
    sides = tuple(StressSide(side, tuple(sorted(settings, key=_setting_order))) for side, settings in by_side.items())
    return StressAsset(name, sides, _curve(name, sides), is_synthetic)


def _setting_order(setting: StressSetting) -> tuple[Any, ...]:
    """Full depth before thinned depth, the sale before the news, so that W = 1 always stands beside W < 1."""
    return (
        setting.fuel_origin,
        -setting.depth_survival_frac,
        setting.shock_kind != "sell",
        setting.impact_exponent_x,
        -setting.sold_share_frac,
        setting.setting,
    )


def _curve(name: str, sides: Sequence[StressSide]) -> Chart | None:
    """Amplification over the signed shock: falls left of zero (longs are the fuel), squeezes right of it."""
    curves: dict[str, dict[float, float]] = {}
    for side in sides:
        sign = -1.0 if side.position_side == "long" else 1.0
        for setting in side.settings:
            points = curves.setdefault(setting.setting, {})
            points.update({sign * row.shock_frac: row.sim_amplification_x for row in setting.rows})
    x = sorted({shock for points in curves.values() for shock in points})
    if not x:
        return None
    series = tuple(series_of(setting, [points.get(shock) for shock in x]) for setting, points in curves.items())
    left_out_count = max(0, len(series) - MAX_LINES)
    return Chart("amplification", "curve", "x", tuple(x), series[:MAX_LINES], left_out_count, about=name)
