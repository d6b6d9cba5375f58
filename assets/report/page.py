"""Look-ups that the templates need: a cell of a grid, a replay of a setting, the settings of all assets in one order.

Belongs here: finding and ordering what the model holds. Does not: any new figure.
"""

from __future__ import annotations

from collections import Counter

from assets.report.model import Coverage, Sentence, Stress, StressSetting, StressSide
from assets.report.rows import CoverageRow, CriticalShock, StressRow
from assets.report.shown import inert, say


def settings(stress: Stress) -> list[StressSetting]:
    """Return one example of each setting over all assets and sides, in the order of the first asset that has it."""
    found: dict[str, StressSetting] = {}
    for asset in stress.assets:
        for side in asset.sides:
            for setting in side.settings:
                found.setdefault(setting.setting, setting)
    return list(found.values())


def setting_labels(stress: Stress, lang: str) -> dict[str, str]:
    """Return setting -> words; where two settings would read the same, the setting's own name stands behind the words."""
    words = {
        s.setting: say(
            Sentence("stress.setting", {"shock_kind": s.shock_kind, "depth_survival_frac": s.depth_survival_frac}), lang
        )
        for s in settings(stress)
    }
    times = Counter(words.values())
    return {name: text if times[text] == 1 else f"{text} ({inert(name)})" for name, text in words.items()}


def replay(side: StressSide, setting: str, shock_frac: float) -> StressRow | None:
    """Return the replay of a shock under a setting; None where it was not run."""
    return next(
        (row for s in side.settings if s.setting == setting for row in s.rows if row.shock_frac == shock_frac), None
    )


def critical(side: StressSide, setting: str) -> CriticalShock | None:
    """Return the critical shock under a setting; None where it was not searched."""
    return next((s.critical for s in side.settings if s.setting == setting), None)


def shocks(side: StressSide) -> list[float]:
    """Return the shocks that any setting of a side was replayed with, ascending."""
    return sorted({row.shock_frac for setting in side.settings for row in setting.rows})


def covered(coverage: Coverage, dataset: str, venue: str) -> CoverageRow | None:
    """Return the coverage of a dataset at a venue; None where nothing was due and nothing came."""
    return next((row for row in coverage.rows if row.dataset == dataset and row.venue == venue), None)
