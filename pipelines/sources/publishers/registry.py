"""Which publishers of public figures there are, and which datasets each offers.

Belongs here: the list. Does not: any publisher's client (one file each beside this one), what is switched on (``settings.py``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.sources.publishers.published import Publisher

# Publisher -> module beside this one, class, and the raw datasets that it has. A client is imported when it is used.
_CLIENTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "alternative_me": ("alternative_me", "AlternativeMe", ("sentiment",)),
    "fred": ("fred", "Fred", ("macro_observations", "macro_releases")),
    "us_treasury": ("treasury", "Treasury", ("macro_observations",)),
    "coin_metrics": ("coin_metrics", "CoinMetrics", ("holder_metrics",)),
    "farside": ("farside", "Farside", ("etf_flows",)),
    "defillama": ("defillama", "DefiLlama", ("stablecoin_supplies", "exchange_reserves")),
}

PUBLISHERS: dict[str, tuple[str, ...]] = {venue: datasets for venue, (_, _, datasets) in _CLIENTS.items()}


def publisher_class(venue: str) -> type[Publisher]:
    """Return a publisher's client.

    Raises
    ------
    KeyError
        Where there is no such publisher.
    """
    module, name, _ = _CLIENTS[venue]
    found: type[Publisher] = getattr(import_module(f"pipelines.sources.publishers.{module}"), name)
    return found
