"""Binance COIN-M: inverse perpetuals, each contract so many dollars, margined and settled in their coin.

Belongs here: where COIN-M differs from USD-M. Does not: what both do alike (``binance.py``), what all venues share
(``venue.py``).

Quantities are contracts. Where the venue also tells coins itself (candles, open interest, tickers), those are taken; a book
tells only contracts, which are brought to coins at the price of each level. Statistics are asked for by pair, and a pair has
dated contracts beside its perpetual: open interest names the kind, and ratios are those of all the pair's contracts.

References
----------
https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.sources.exchanges.binance import BinanceUsdm, by_pair
from pipelines.sources.records import Contract
from pipelines.sources.wire_values import figure, of

# "The difference between startTime and endTime can only be up to 200 days."
LONGEST_WINDOW_MS = 200 * 24 * 3_600_000


class BinanceCoinm(BinanceUsdm):
    """Client of Binance COIN-M: inverse perpetuals, quoted in USD and settled in their coin."""

    venue = "binance_coinm"
    ccxt_id = "binancecoinm"
    origin = "https://dapi.binance.com"
    catalogue_path = "/dapi/v1/exchangeInfo"
    counts_contracts = True
    family: ClassVar[str] = "dapi"
    volume_entry: ClassVar[int] = 7
    volume_field: ClassVar[str] = "baseVolume"
    longest_window_ms: ClassVar[int | None] = LONGEST_WINDOW_MS

    def _open_interest_of(self, contract: Contract, record: Any) -> dict[str, float | None]:
        """Return a record's open interest: contracts, each of so many dollars, and their value in coins."""
        contracts = figure(of(record, "sumOpenInterest"))
        size = contract.size_usd
        return {
            "open_interest_base": figure(of(record, "sumOpenInterestValue")),
            "open_interest_usd": None if contracts is None or size is None else contracts * size,
        }

    def _open_interest_subject(self, contract: Contract) -> Mapping[str, str]:
        return {**by_pair(contract), "contractType": "PERPETUAL"}

    def _ratios_subject(self, contract: Contract) -> Mapping[str, str]:
        return by_pair(contract)

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is an inverse perpetual, quoted in USD and settled in its coin, that trades now."""
        is_perpetual = market.get("swap") and market.get("inverse") and market.get("active")
        is_in_coins = market.get("quote") == "USD" and market.get("settle") == market.get("base")
        return bool(is_perpetual and is_in_coins and market["info"].get("contractType") == "PERPETUAL")
