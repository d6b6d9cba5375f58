"""What one uninterrupted run of the small market left, for tests to compare with and to copy from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class QuietRun:
    """A home after one uninterrupted run: where it is, what it exported, how long it took."""

    home: Path
    hashes: dict[str, str]
    seconds: float

    def copy_to(self, folder: Path, *, lake_only: bool = False) -> Path:
        """Return a copy of the home, whole or only its raw lake."""
        home = folder / "home"
        if lake_only:
            shutil.copytree(self.home / "lake", home / "lake")
            shutil.copy(self.home / "home.json", home)
        else:
            shutil.copytree(self.home, home)
        return home
