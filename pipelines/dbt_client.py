"""dagster-dbt's client without the second dbt that it loads into our own process.

Belongs here: what we leave out of a pinned dagster-dbt, and why. Does not: the passes (``assets/warehouse``), dbt's own
start (``dbt_entry.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dagster_dbt import DbtCliResource
from dbt.version import __version__ as dbt_version
from packaging.version import Version


class PreparedDbt(DbtCliResource):
    """A `DbtCliResource` that makes no adapter of its own.

    dagster-dbt parses every macro and opens an adapter beside each dbt process, for column metadata and row counts that
    we never ask for, and starts `dbt --version` twice per pass: 8 s of processor time, and an open handle on a file that
    has one writer. Without an adapter it does the rest unchanged; its own code goes on without one where making it fails.
    """

    @property
    def _cli_version(self) -> Version:
        return Version(dbt_version)

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        return None
