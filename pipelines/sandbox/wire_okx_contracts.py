"""OKX's contracts in the sandbox: which there are, how the catalogue lists them, how their figures are written.

Belongs here: names, sizes, decimals. Does not: records of any kind (``wire_okx.py``, ``wire_okx_snapshots.py``), envelopes
and pages (``wire_okx_pages.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import to_ms
from pipelines.sandbox.world import World

# Base units of one linear contract (`ctVal`), as the venue lists them; an inverse one of BTC is 100 US dollars.
CONTRACT_SIZES: Mapping[str, str] = {"BTC": "0.01", "ETH": "0.1", "SOL": "1"}
INVERSE_SIZES: Mapping[str, str] = {"BTC": "100"}
OTHER_INVERSE_SIZE = "10"
# A perpetual that has not begun to trade, of an asset that the sandbox does not simulate.
PREOPEN_ASSET = "HYPE"


@dataclass(frozen=True)
class OkxContract:
    """A contract as the venue lists it: its name, the market that it trades in, and whether it trades at all."""

    symbol: str
    market: VenueMarket
    is_traded: bool

    @property
    def asset(self) -> str:
        """The base asset."""
        return self.symbol.split("-")[0]

    @property
    def family(self) -> str:
        """What contracts of one pair share, their index too."""
        return "-".join(self.symbol.split("-")[:2])

    @property
    def is_inverse(self) -> bool:
        """Whether it is so many dollars and settles in its base asset."""
        return self.family.endswith("-USD")

    @property
    def kind(self) -> str:
        """The venue's `instType`."""
        return "SWAP" if self.symbol.endswith("-SWAP") else "FUTURES"

    @property
    def profile(self) -> AssetProfile:
        """Steps of the asset, of the market's first where the sandbox does not simulate it."""
        return self.market.profile(self.asset if self.asset in self.market.assets else self.market.assets[0])

    @property
    def size(self) -> str:
        """What one contract is: base units, or dollars of an inverse one."""
        if self.is_inverse:
            return INVERSE_SIZES.get(self.asset, OTHER_INVERSE_SIZE)
        return CONTRACT_SIZES.get(self.profile.asset, "1")

    def price(self, price: float) -> str:
        """Write a price."""
        return f"{price:.{self.profile.price_decimals}f}"

    def base(self, quantity: float) -> str:
        """Write base units."""
        return f"{quantity:.{self.profile.quantity_decimals}f}"

    def contracts(self, quantity: float, price: float) -> str:
        """Write base units as contracts: inverse ones are whole, of others as many decimals as the world's steps need."""
        if self.is_inverse:
            return str(max(1, round(quantity * price / float(self.size)))) if quantity else "0"
        return f"{quantity / float(self.size):.{self._decimals}f}"

    @property
    def _decimals(self) -> int:
        return self.profile.quantity_decimals + int(Decimal(self.size).as_tuple().exponent)

    def listing(self) -> dict[str, Any]:
        """Return its entry in the catalogue.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments
        """
        is_future, is_open = self.kind == "FUTURES", self.asset != PREOPEN_ASSET
        quote = self.family.split("-")[1]
        step = "1" if self.is_inverse else f"{10.0**-self._decimals:.{self._decimals}f}"
        return {
            "alias": "quarter" if is_future else "",
            "auctionEndTime": "",
            "baseCcy": "",
            "category": "1",
            "contTdSwTime": "",
            "ctMult": "1",
            "ctType": "inverse" if self.is_inverse else "linear",
            "ctVal": self.size,
            "ctValCcy": "USD" if self.is_inverse else self.asset,
            "expTime": str(to_ms(delivery_of(self.market.world))) if is_future else "",
            "instFamily": self.family,
            "instId": self.symbol,
            "instType": self.kind,
            "lever": "100",
            # The simulated contracts are listed with the first hour that the market shows.
            "listTime": str(to_ms(self.market.start)),
            "lotSz": step,
            "maxIcebergSz": "100000000.0000000000000000",
            "maxLmtAmt": "20000000",
            "maxLmtSz": "100000000",
            "maxMktAmt": "",
            "maxMktSz": "35000",
            "maxStopSz": "35000",
            "maxTriggerSz": "100000000.0000000000000000",
            "maxTwapSz": "100000000.0000000000000000",
            "minSz": step,
            "openType": "",
            "optType": "",
            "quoteCcy": "",
            "ruleType": "normal",
            "settleCcy": self.asset if self.is_inverse else quote,
            "state": "live" if is_open else "preopen",
            "stk": "",
            "tickSz": f"{self.profile.tick_quote:.{self.profile.price_decimals}f}",
            "uly": self.family,
        }


def contracts_of(world: World) -> dict[str, OkxContract]:
    """Return every listed contract by its name; the inverse one is a market of its own.

    Each asset is listed as ``<ASSET>-USDT-SWAP``, the first also as ``<ASSET>-USD-SWAP``; a USDC and a dated contract of it
    and an asset that does not trade yet are listed as well and have no records, because a real catalogue holds contracts
    that a client must leave out.
    """
    linear, inverse = VenueMarket(world, "okx"), VenueMarket(world, "okx_inverse")
    first = world.assets[0]
    traded = [OkxContract(f"{a}-USDT-SWAP", linear, is_traded=True) for a in world.assets]
    traded.append(OkxContract(f"{first}-USD-SWAP", inverse, is_traded=True))
    others = (f"{first}-USDC-SWAP", f"{PREOPEN_ASSET}-USDT-SWAP", f"{first}-USDT-{delivery_of(world):%y%m%d}")
    listed = [*traded, *(OkxContract(name, linear, is_traded=False) for name in others)]
    return {contract.symbol: contract for contract in listed}


def delivery_of(world: World) -> datetime:
    """Return when the dated contract is delivered: 08:00 on a Friday at least four weeks after the market's last day."""
    after = world.end.replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=28)
    return after + timedelta(days=(4 - after.weekday()) % 7)
