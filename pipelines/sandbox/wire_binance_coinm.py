"""The world as Binance COIN-M shows it: inverse contracts, which count contracts of some dollars each and settle in coins.

Belongs here: what COIN-M writes in its own way. Does not: what both products share (``wire_binance_series.py``,
``wire_binance_product.py``), the other product (``wire_binance.py``).

References
----------
https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.wire import HOUR_MS, to_ms
from pipelines.sandbox.wire_binance_pages import NEVER_MS, BinanceError, Window, latest, oldest_first
from pipelines.sandbox.wire_binance_product import BinanceProduct, filters_of

# Dollars of one contract: 100 of BTC, 10 of every other coin.
CONTRACT_SIZES_USD = {"BTC": 100}
OTHER_SIZE_USD = 10

LONGEST_WINDOW_MS = 200 * 24 * HOUR_MS
CONTRACT_TYPES = ("ALL", "CURRENT_QUARTER", "NEXT_QUARTER", "PERPETUAL")


class BinanceCoinmWire(BinanceProduct):
    """A world as Binance COIN-M shows it.

    Parameters
    ----------
    world : World
        The first two assets are listed as ``<ASSET>USD_PERP``, the first also as a quarterly contract, which a client must
        leave out.
    """

    venue: str = "binance_coinm"
    family: ClassVar[str] = "dapi"
    futures_type: ClassVar[str] = "COIN_MARGINED"
    open_interest_keys: ClassVar[tuple[str, ...]] = ("pair", "contractType")
    ratios_keys: ClassVar[tuple[str, ...]] = ("pair",)

    def open_interest_hist(self, query: Mapping[str, str], now: Any) -> list[dict[str, Any]]:
        """`GET /futures/data/openInterestHist`: by `pair` and `contractType`, contracts and their value in coins.

        References
        ----------
        https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api/Open-Interest-Statistics
        """
        if query.get("contractType") not in CONTRACT_TYPES:
            raise BinanceError(-1130, "Data sent for parameter 'contractType' is not valid.")
        return super().open_interest_hist(query, now)

    # -- what the product writes in its own way -----------------------------------------------------------------------

    def _symbols(self) -> dict[str, str]:
        first = self.world.assets[0]
        perpetuals = {f"{a}USD_PERP": a for a in self.world.assets[:2]}
        return perpetuals | {f"{first}USD_{self._delivery:%y%m%d}": first}

    def _names(self, symbol: str) -> dict[str, str]:
        return {"symbol": symbol, "pair": symbol.split("_", maxsplit=1)[0]}

    def _amount(self, profile: AssetProfile, base: float, price: float) -> str:
        return str(max(1, _contracts(profile.asset, base * price)))

    def _held(self, asset: str, base: float, usd: float) -> dict[str, str]:
        return {"sumOpenInterest": str(_contracts(asset, usd)), "sumOpenInterestValue": f"{base:.8f}"}

    def _split_of(self, name: str) -> str:
        return "Position" if name == "top_positions_x" else "Account"

    def _traded(self, profile: AssetProfile, base: float, price: float) -> dict[str, str]:
        return {"volume": str(_contracts(profile.asset, base * price)), "baseVolume": f"{base:.8f}"}

    def _kline_volumes(self, profile: AssetProfile, candle: Mapping[str, Any]) -> tuple[str, str, str, str]:
        base, usd = float(candle["volume_base"]), float(candle["volume_usd"])
        bought = float(candle["taker_buy_base"])
        contracts, taken = (_contracts(profile.asset, v) for v in (usd, usd * bought / max(base, 1e-12)))
        return str(contracts), f"{base:.8f}", str(taken), f"{bought:.8f}"

    def _cut_klines(self, rows: list[Any], clock: list[int], window: Window) -> list[Any]:
        """Cut a page of klines: "the most recent `limit` data from `endTime`", of 200 days at most.

        References
        ----------
        https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api/Kline-Candlestick-Data
        """
        if window.start_ms is not None and window.end_ms is not None:
            if window.end_ms - window.start_ms > LONGEST_WINDOW_MS:
                raise BinanceError(-4088, "Maximum time interval is 200 days.")
            return latest(rows, clock, window)
        return oldest_first(rows, clock, window)

    def _entry(self, symbol: str, profile: AssetProfile) -> dict[str, Any]:
        is_dated = self._is_dated(symbol)
        return {
            "symbol": symbol,
            "pair": symbol.split("_", maxsplit=1)[0],
            "contractType": "CURRENT_QUARTER" if is_dated else "PERPETUAL",
            "deliveryDate": self._delivery_ms() if is_dated else NEVER_MS,
            # The simulated contracts are listed with the first hour that the market shows.
            "onboardDate": to_ms(self.market.start),
            "contractStatus": "TRADING",
            "contractSize": _size_usd(profile.asset),
            "marginAsset": profile.asset,
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": profile.asset,
            "quoteAsset": "USD",
            "pricePrecision": profile.price_decimals,
            "quantityPrecision": 0,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "equalQtyPrecision": 4,
            "maxMoveOrderLimit": 10000,
            "triggerProtect": "0.0500",
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"] if profile.asset == "BTC" else ["Layer-1"],
            "liquidationFee": "0.015000",
            "marketTakeBound": "0.05",
            "filters": filters_of(profile, "1"),
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }


def _size_usd(asset: str) -> int:
    return CONTRACT_SIZES_USD.get(asset, OTHER_SIZE_USD)


def _contracts(asset: str, usd: float) -> int:
    return round(usd / _size_usd(asset))
