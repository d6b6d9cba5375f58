"""Which exchanges there are, and which datasets each offers.

Belongs here: the list. Does not: any venue's client (one file each beside this one), what is switched on (``settings.py``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.sources.venue import VenueClient

# Venue -> module beside this one and class. A client is imported when it is used: ccxt takes a second.
_CLIENTS: dict[str, tuple[str, str]] = {
    "binance": ("binance", "BinanceUsdm"),
    "bybit": ("bybit", "Bybit"),
    "okx": ("okx", "Okx"),
}

EXCHANGES: dict[str, tuple[str, ...]] = dict.fromkeys(
    _CLIENTS, ("instruments", "candles", "funding_rates", "open_interest", "depth_bands")
)


def client_class(venue: str) -> type[VenueClient]:
    """Return a venue's client.

    Raises
    ------
    KeyError
        Where there is no such venue.
    """
    module, name = _CLIENTS[venue]
    found: type[VenueClient] = getattr(import_module(f"pipelines.sources.{module}"), name)
    return found
