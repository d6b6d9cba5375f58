"""The contracts of a venue by the lake's current instruments: which topics to ask for and what a contract is worth.

Belongs here: reading `instruments` for the collector. Does not: how they got there (``pipelines/sources``).

References
----------
https://www.binance.com/en/support/faq/crypto-coin-m-futures (100 USD a contract of BTC, 10 of others)
https://bybit-exchange.github.io/docs/v5/intro (inverse contracts: 1 USD)
https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments (`ctVal` of coin-margined swaps)
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from assets.ports import RawLake
from pipelines.sources.liquidations import ContractTerms

# Quote units of one inverse contract: of BTC and of every other asset. `instruments` has sizes in base units alone.
_INVERSE_QUOTE: dict[str, tuple[float, float]] = {
    "binance_coinm": (100.0, 10.0),
    "bybit": (1.0, 1.0),
    "okx": (100.0, 10.0),
}


def contracts_of(lake: RawLake, venue: str) -> dict[str, ContractTerms]:
    """Return the terms of a venue's contracts by symbol; of several captures the latest. Quanto contracts are left out."""
    listed = [g for g in lake.current() if (g.key.dataset, g.key.venue) == ("instruments", venue) and g.path]
    found: dict[str, ContractTerms] = {}
    for generation in sorted(listed, key=lambda g: (g.captured_at_utc, g.position)):
        for row in pl.read_parquet(str(generation.path)).iter_rows(named=True):
            terms = _terms(venue, row)
            if terms is not None:
                found[row["venue_symbol"]] = terms
    return found


def _terms(venue: str, row: Mapping[str, object]) -> ContractTerms | None:
    asset, size = str(row["asset"]), row["contract_size_base"]
    if row["contract_kind"] == "linear" and isinstance(size, float):
        return ContractTerms(asset, "linear", size)
    if row["contract_kind"] == "inverse" and venue in _INVERSE_QUOTE:
        of_btc, of_others = _INVERSE_QUOTE[venue]
        return ContractTerms(asset, "inverse", of_btc if asset == "BTC" else of_others)
    return None
