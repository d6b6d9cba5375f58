"""Which exchanges there are, and which datasets each offers.

Belongs here: the list. Does not: any venue's client (one file each beside this one), what is switched on (``settings.py``).
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.sources.exchanges.venue import VenueClient

# Venue -> module beside this one and class. A client is imported when it is used: ccxt takes a second.
_CLIENTS: dict[str, tuple[str, str]] = {
    "binance": ("binance", "BinanceUsdm"),
    "binance_coinm": ("binance_coinm", "BinanceCoinm"),
    "bybit": ("bybit", "Bybit"),
    "okx": ("okx", "Okx"),
    "hyperliquid": ("hyperliquid", "Hyperliquid"),
    "dydx": ("dydx", "Dydx"),
    "deribit": ("deribit", "Deribit"),
    "bitmex": ("bitmex", "Bitmex"),
    "kraken": ("kraken", "Kraken"),
    "gate": ("gate_futures", "GateFutures"),
    "htx": ("htx", "Htx"),
    "bitget": ("bitget", "Bitget"),
    "kucoin": ("kucoin", "Kucoin"),
}

# What every venue shows as of now only: it takes no days, and yesterday's cannot be asked for.
AS_OF_NOW = frozenset(
    {
        "instruments",
        "depth_bands",
        "leverage_tiers",
        "tickers",
        "insurance_funds",
        "adl_states",
        "perp_positions",
    }
)

# What costs many requests and rows, so that it is fetched only where universe.yml asks for it.
ON_REQUEST = frozenset({"minute_candles"})

_SERIES = ("candles", "funding_rates", "open_interest")

# Venue -> the raw datasets that its client has a method for.
EXCHANGES: dict[str, tuple[str, ...]] = {
    "binance": (
        "instruments",
        *_SERIES,
        "minute_candles",
        "long_short_ratios",
        "depth_bands",
        "tickers",
        "insurance_funds",
        "adl_states",
    ),
    "binance_coinm": ("instruments", *_SERIES, "minute_candles", "long_short_ratios", "depth_bands", "tickers"),
    "bybit": (
        "instruments",
        *_SERIES,
        "minute_candles",
        "long_short_ratios",
        "depth_bands",
        "tickers",
        "leverage_tiers",
        "insurance_funds",
        "adl_states",
    ),
    "okx": (
        "instruments",
        *_SERIES,
        "minute_candles",
        "long_short_ratios",
        "liquidations",
        "depth_bands",
        "tickers",
        "leverage_tiers",
        "insurance_funds",
    ),
    "hyperliquid": (
        "instruments",
        *_SERIES,
        "minute_candles",
        "liquidations",
        "depth_bands",
        "tickers",
        "leverage_tiers",
        "insurance_funds",
        "perp_positions",
    ),
    "dydx": ("instruments", *_SERIES, "depth_bands", "tickers", "liquidations"),
    "deribit": ("instruments", *_SERIES, "depth_bands", "tickers", "liquidations"),
    "bitmex": ("instruments", *_SERIES, "depth_bands", "tickers", "insurance_funds"),
    "kraken": ("instruments", *_SERIES, "depth_bands", "tickers"),
    "gate": (
        "instruments",
        *_SERIES,
        "long_short_ratios",
        "liquidations",
        "depth_bands",
        "tickers",
        "leverage_tiers",
        "insurance_funds",
    ),
    "htx": ("instruments", *_SERIES, "liquidations", "depth_bands", "tickers"),
    "bitget": ("instruments", *_SERIES, "depth_bands", "tickers"),
    "kucoin": ("instruments", *_SERIES, "depth_bands", "tickers", "leverage_tiers"),
}


def client_class(venue: str) -> type[VenueClient]:
    """Return a venue's client.

    Raises
    ------
    KeyError
        Where there is no such venue.
    """
    module, name = _CLIENTS[venue]
    found: type[VenueClient] = getattr(import_module(f"pipelines.sources.exchanges.{module}"), name)
    return found


def offers_table() -> str:
    """Return what each venue offers as a Markdown table; ``docs/exchanges.md`` holds it."""
    lines = [
        "| venue | dataset | per request (funding: 8-hour intervals) | how far back | counted in |",
        "|---|---|---|---|---|",
    ]
    for venue, datasets in EXCHANGES.items():
        client = client_class(venue)
        for dataset in datasets:
            limit = client.limits.get(dataset)
            memory = client.memory.get(dataset)
            back = f"{memory / timedelta(days=1):.4g} days" if memory else "to the listing"
            if dataset in AS_OF_NOW | client.only_now:
                back = "as of now"
            counted = "contracts, told or brought to base units" if client.counts_contracts else "base units"
            shown = counted if dataset in ("candles", "minute_candles", "open_interest", "depth_bands") else ""
            lines.append(f"| {venue} | {dataset} | {f'{limit:,}' if limit else ''} | {back} | {shown} |")
    return "\n".join(lines)
