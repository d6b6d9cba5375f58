"""The contracts of a venue by the lake's current instruments: which topics to ask for and what a contract is worth.

Belongs here: reading `instruments` for the collector. Does not: how they got there (``pipelines/sources``).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from assets.ports import RawLake
from pipelines.sources.exchanges.liquidations import ContractTerms


def contracts_of(lake: RawLake, venue: str) -> dict[str, ContractTerms]:
    """Return the terms of a venue's contracts by symbol; of several captures the latest. Quanto contracts are left out."""
    listed = [g for g in lake.current() if (g.key.dataset, g.key.venue) == ("instruments", venue) and g.path]
    found: dict[str, ContractTerms] = {}
    for generation in sorted(listed, key=lambda g: (g.captured_at_utc, g.position)):
        for row in pl.read_parquet(str(generation.path)).iter_rows(named=True):
            terms = _terms(row)
            if terms is not None:
                found[row["venue_symbol"]] = terms
    return found


def _terms(row: Mapping[str, object]) -> ContractTerms | None:
    # A listing of before inverse contracts were known has no size of them.
    kind = str(row["contract_kind"])
    size = {"linear": row["contract_size_base"], "inverse": row.get("contract_size_usd")}.get(kind)
    return ContractTerms(str(row["asset"]), kind, size) if isinstance(size, float) else None
