"""Fixtures that every test may use: the real records' folder, the size of a trial, and a network that ends at loopback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_socket import socket_allow_hosts

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> None:
    """Refuse every socket but loopback (and Unix sockets) for the whole session."""
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


@pytest.fixture(scope="session")
def trial_count() -> Callable[[int], int]:
    """Return the size of a large trial: the full number in `make test-full`, else a seeded sample of it."""
    is_full = os.environ.get("LOWTIDE_TRIALS") == "full"

    def count(full: int) -> int:
        return full if is_full else min(full, max(20, full // 100))

    return count
