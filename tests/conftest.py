"""Fixtures that every test may use: the real records' folder, the size of a trial, and a network that ends at loopback.

Large trials are marked ``@pytest.mark.trial("name")`` and take their size from `trial_count`; the session ends by writing
``build/trials.json`` (name, trials, failures, seconds) and the same as text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_socket import socket_allow_hosts

import pipelines.sources.chains.recursion  # noqa: F401 - before any test imports web3

ROOT = Path(__file__).resolve().parents[1]
_TRIALS: dict[str, dict] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' kernel cache and settings apart from the user's."""
    for name in [
        n for n in os.environ if n.startswith("LOWTIDE_") and n not in ("LOWTIDE_TRIALS", "LOWTIDE_SHARED_DATA")
    ]:
        del os.environ[name]
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long files first: one that begins last leaves the other workers without work."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> None:
    """Refuse every connection but to loopback (and Unix sockets) for the whole session."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real records, or skip with the reason."""
    folder = Path(os.environ.get("LOWTIDE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real records are not here: set LOWTIDE_SHARED_DATA or put shared/data beside the project")
    return folder


@pytest.fixture
def trial_count(request: pytest.FixtureRequest) -> Callable[..., int]:
    """Return the size of a large trial: the full number in `make test-full`, else a seeded sample of it.

    `sample` overrides the sample's size, for trials in which one is expensive.
    """
    is_full = os.environ.get("LOWTIDE_TRIALS") == "full"

    def count(full: int, sample: int | None = None) -> int:
        size = full if is_full else min(full, sample if sample is not None else max(20, full // 100))
        request.node.user_properties.append(("trials", size))
        return size

    return count


@pytest.fixture(autouse=True)
def _name_the_trial(request: pytest.FixtureRequest) -> None:
    """Send a trial's name along with its report, which may come from another worker."""
    marker = request.node.get_closest_marker("trial")
    if marker is not None:
        request.node.user_properties.append(("trial", marker.args[0]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how each trial went."""
    said = report.user_properties
    names = [value for key, value in said if key == "trial"]
    if report.when != "call" or not names:
        return
    row = _TRIALS.setdefault(names[0], {"trials": 0, "failures": 0, "seconds": 0.0})
    row["trials"] += sum(int(value) for key, value in said if key == "trials")
    row["failures"] += int(report.failed)
    row["seconds"] = round(row["seconds"] + report.duration, 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line per trial and write the same to ``build/``."""
    if not _TRIALS:
        return
    rows = [{"name": name, **row} for name, row in sorted(_TRIALS.items())]
    lines = [f"{r['name']}: {r['trials']:,} trials, {r['failures']} failures, {r['seconds']} s" for r in rows]
    terminalreporter.section("trials")
    for line in lines:
        terminalreporter.write_line(line)
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    (folder / "trials.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "trials.txt").write_text("\n".join(lines) + "\n")
