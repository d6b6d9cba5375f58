"""A one-asset, two-day sandbox market and the real `lowtide` command run against it, for tests of the main job."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

FIRST = date(2026, 3, 9)
DAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 11, 0, 30)
LOWTIDE = Path(sys.executable).with_name("lowtide")


@dataclass(frozen=True)
class Market:
    """A running sandbox and how to aim the command at it."""

    base_url: str

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Return the environment of a `lowtide` process: this market, this home, the market's clock."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE_", "DAGSTER_", "PYTEST"))}
        return {
            **kept,
            "LOWTIDE_HOME": str(home),
            "LOWTIDE_EXCHANGE_BASE_URL": self.base_url,
            # One venue: what is proven here does not depend on how many there are.
            "LOWTIDE_VENUES": '["binance"]',
            "LOWTIDE_ASSETS": '["BTC"]',
            "LOWTIDE_CLOCK": NOW.isoformat(),
            "COLUMNS": "200",
            **more,
        }

    def start(self, home: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start `lowtide` in a process group of its own."""
        return subprocess.Popen(
            [str(LOWTIDE), *arguments],
            env=self.environment(home, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=home.parent,
        )

    def lowtide(self, home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `lowtide` to its end."""
        process = self.start(home, *arguments, **more)
        out, err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@contextmanager
def small_market() -> Iterator[Market]:
    """Serve the small world on loopback."""
    from pipelines.sandbox.server import serve
    from pipelines.sandbox.world import World

    with serve(World(11, FIRST, 3, ("BTC",), DAY), now=NOW) as server:
        yield Market(server.base_url)


def exported_hashes(home: Path, day: date, label: str = "") -> dict[str, str]:
    """Return the SHA-256 of every exported Parquet, page and JSON of a day's report, by relative path."""
    folder = home / "reports" / label / day.isoformat()
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
