"""The world as Binance USD-M shows it: linear contracts, which count base units.

Belongs here: what USD-M writes in its own way, its insurance fund. Does not: what both products share
(``wire_binance_series.py``, ``wire_binance_product.py``), the other product (``wire_binance_coinm.py``).

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.wire import Route, to_ms
from pipelines.sandbox.wire_binance_pages import NEVER_MS, BinanceError
from pipelines.sandbox.wire_binance_product import BinanceProduct, filters_of
from pipelines.sandbox.wire_binance_series import Answer
from pipelines.sandbox.world import World


class BinanceWire(BinanceProduct):
    """A world as Binance USD-M shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>USDT``; the first also as a USDC perpetual and a quarterly contract, because a
        real catalogue holds contracts that a client must leave out.
    coinm : BinanceProduct or None
        Statistics have the same paths on the hosts of both products, and the sandbox is one host: what names a pair is
        answered by this one.
    """

    venue: str = "binance"
    family: ClassVar[str] = "fapi"
    futures_type: ClassVar[str] = "U_MARGINED"

    def __init__(self, world: World, coinm: BinanceProduct | None = None) -> None:
        super().__init__(world)
        self._coinm = coinm

    def routes(self) -> list[Route]:
        """Return every route of the product, the statistics of both products among them."""
        others = self._coinm.statistics() if self._coinm is not None else {}
        return [
            *super().routes(),
            Route("/fapi/v1/symbolAdlRisk", self.symbol_adl_risk),
            Route("/fapi/v1/insuranceBalance", lambda _, now: self.insurance_balance(now)),
            *(
                Route(path, _by_subject(answer, others.get(path)), weight=lambda _: 0)
                for path, answer in self.statistics().items()
            ),
        ]

    def insurance_balance(self, now: datetime) -> list[dict[str, Any]]:
        """`GET /fapi/v1/insuranceBalance` without a symbol: a pool that most contracts share and one of the last alone.

        Nine tenths of the fund's dollars stand in the shared pool, beside the coins of the venue's example.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Insurance-Fund-Balance
        """
        *shared, alone = (s for s in self._asset_of if s.endswith("USDT"))
        total = self.market.insurance_fund_usd(now)

        def held(asset: str, balance: str) -> dict[str, Any]:
            return {"asset": asset, "marginBalance": balance, "updateTime": to_ms(now)}

        own = round(total / 10, 2)
        return [
            {"symbols": shared, "assets": [held("USDT", f"{total - own:.2f}"), held("BTC", "61.73143554")]},
            {"symbols": [alone], "assets": [held("USDT", f"{own:.2f}")]},
        ]

    def symbol_adl_risk(self, query: Mapping[str, Any], now: datetime) -> Any:
        """`GET /fapi/v1/symbolAdlRisk`: the rating of one contract or of all, of the last half hour.

        How the venue rates is not told; here the fund's loss of eight hours decides: 2 % is a medium risk, 8 % a high one.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/ADL-Risk
        """
        at = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        lost = -self.market.fund_change_frac(at)
        rating = "high" if lost >= 0.08 else "medium" if lost >= 0.02 else "low"
        rows = [{"symbol": s, "adlRisk": rating, "updateTime": to_ms(at)} for s in self._asset_of]
        if query.get("symbol") is None:
            return rows
        found = [row for row in rows if row["symbol"] == query["symbol"]]
        if not found:
            raise BinanceError(-1121, "Invalid symbol.")
        return found[0]

    # -- what the product writes in its own way -----------------------------------------------------------------------

    def _symbols(self) -> dict[str, str]:
        first, assets = self.world.assets[0], self.world.assets
        quarterly = f"{first}USDT_{self._delivery:%y%m%d}"
        return {f"{a}USDT": a for a in assets} | {f"{first}USDC": first, quarterly: first}

    def _names(self, symbol: str) -> dict[str, str]:
        return {"symbol": symbol}

    def _amount(self, profile: AssetProfile, base: float, price: float) -> str:
        return f"{base:.{profile.quantity_decimals}f}"

    def _held(self, asset: str, base: float, usd: float) -> dict[str, str]:
        return {
            "sumOpenInterest": f"{base:.8f}",
            "sumOpenInterestValue": f"{usd:.8f}",
            "CMCCirculatingSupply": "0.00000000",
        }

    def _split_of(self, name: str) -> str:
        return "Account"

    def _traded(self, profile: AssetProfile, base: float, price: float) -> dict[str, str]:
        return {"volume": f"{base:.{profile.quantity_decimals}f}", "quoteVolume": f"{base * price:.2f}"}

    def _kline_volumes(self, profile: AssetProfile, candle: Mapping[str, Any]) -> tuple[str, str, str, str]:
        bought = float(candle["taker_buy_base"]) / max(float(candle["volume_base"]), 1e-12)
        return (
            f"{candle['volume_base']:.{profile.quantity_decimals}f}",
            f"{candle['volume_usd']:.5f}",
            f"{candle['taker_buy_base']:.{profile.quantity_decimals}f}",
            f"{bought * float(candle['volume_usd']):.5f}",
        )

    def _entry(self, symbol: str, profile: AssetProfile) -> dict[str, Any]:
        quote = "USDC" if symbol.endswith("USDC") else "USDT"
        is_dated = self._is_dated(symbol)
        return {
            "symbol": symbol,
            "pair": f"{profile.asset}{quote}",
            "contractType": "CURRENT_QUARTER" if is_dated else "PERPETUAL",
            "deliveryDate": self._delivery_ms() if is_dated else NEVER_MS,
            # The simulated contracts are listed with the first hour that the market shows.
            "onboardDate": to_ms(self.market.start),
            "status": "TRADING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": profile.asset,
            "quoteAsset": quote,
            "marginAsset": quote,
            "pricePrecision": profile.price_decimals + 1,
            "quantityPrecision": profile.quantity_decimals,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"] if profile.asset == "BTC" else ["Layer-1"],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "marketTakeBound": "0.05",
            "maxMoveOrderLimit": 10000,
            "filters": filters_of(profile, f"{10.0**-profile.quantity_decimals:.8f}"),
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        }


def _by_subject(of_symbol: Answer, of_pair: Answer | None) -> Answer:
    """Return what answers a path of statistics: COIN-M where the question names a pair."""

    def answer(query: Mapping[str, str], now: datetime) -> Any:
        return (of_pair if of_pair is not None and "pair" in query else of_symbol)(query, now)

    return answer
