"""The world in Bybit's own wire format: its routes, and what there is as of now only.

Belongs here: books, tickers, risk limits, insurance pools, the list of routes. Does not: the catalogue and the series
(``wire_bybit_series.py``), bounds and errors (``wire_bybit_pages.py``), HTTP (``server.py``), misbehaviour (``faults.py``).

References
----------
https://bybit-exchange.github.io/docs/v5/market/time
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import Route, to_ms
from pipelines.sandbox.wire_bybit_pages import REFUSALS, category_of, envelope, limit_of
from pipelines.sandbox.wire_bybit_series import BybitSeries, Listing, price_of, quantity_of

# Risk limits: steps of the cap, and each step's rates over those of the first (maintenance) and largest leverage.
RISK_STEPS = 5
FIRST_CAP_USD = 2_000_000.0


class BybitWire(BybitSeries):
    """A world as Bybit shows it (parameters of `BybitSeries`)."""

    venue = "bybit"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; each counts one request of 600 in five seconds."""
        return [
            Route("/v5/market/time", lambda _, now: self.time(now)),
            Route("/v5/market/instruments-info", self.instruments_info),
            Route("/v5/market/kline", self.kline),
            Route("/v5/market/mark-price-kline", self.mark_price_kline),
            Route("/v5/market/index-price-kline", self.index_price_kline),
            Route("/v5/market/funding/history", self.funding_history),
            Route("/v5/market/open-interest", self.open_interest),
            Route("/v5/market/account-ratio", self.account_ratio),
            Route("/v5/market/orderbook", self.orderbook),
            Route("/v5/market/tickers", self.tickers),
            Route("/v5/market/risk-limit", self.risk_limit),
            Route("/v5/market/insurance", self.insurance),
            Route("/v5/market/adlAlert", self.adl_alert),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of a series; the catalogue and answers about all contracts are no pages and never cut."""
        result = body["result"]
        rows = result.get("list")
        if not isinstance(rows, list) or not rows:
            return rows if isinstance(rows, list) else None
        first = rows[0]
        is_series = isinstance(first, list) or not {"fundingRateTimestamp", "timestamp"}.isdisjoint(first)
        return rows if is_series else None

    def time(self, now: datetime) -> dict[str, Any]:
        """`GET /v5/market/time`.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/time
        """
        at = to_ms(now)
        return envelope({"timeSecond": str(at // 1000), "timeNano": str(at * 1_000_000)}, at)

    def orderbook(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/orderbook`; sizes are base coins of linear contracts, dollars of inverse ones.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/orderbook
        """
        listing = self._listing(query, now)
        limit = limit_of(query, now, default=25, most=1000)
        market = self.market_of(listing)
        profile = market.profile(listing.asset)
        book = market.book(listing.asset, _shown(market, now))

        def levels(side: NDArray[np.float64]) -> list[list[str]]:
            return [
                [price_of(profile, price), self._size(listing, quantity, price)] for price, quantity in side[:limit]
            ]

        at = to_ms(now)
        result = {
            "s": listing.symbol,
            "b": levels(book.bids),
            "a": levels(book.asks),
            "ts": at - 3,
            "u": at // 10,
            "seq": at // 5,
            "cts": at - 8,
        }
        return envelope(result, at)

    def tickers(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/tickers` without a symbol: every contract of the category that trades, in one answer.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/tickers
        """
        category = category_of(query, now)
        shown = [v for v in self._listings.values() if v.category == category and v.status == "Trading"]
        result = {"category": category, "list": [self._ticker(listing, now) for listing in shown]}
        return envelope(result, to_ms(now))

    def risk_limit(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/risk-limit`: of one symbol, or of 15 at a time with a cursor.

        Limits are quote coins of linear contracts and base coins of inverse ones. A recorded answer has fractions where the
        page's example has percents, and no deduction in the first tier.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/risk-limit
        """
        category = category_of(query, now)
        if query.get("symbol"):
            shown, cursor = [self._listing(query, now)], ""
        else:
            listed = [v for v in self._listings.values() if v.category == category and v.status == "Trading"]
            left = [v for v in listed if v.symbol > query.get("cursor", "")]
            shown, cursor = left[:15], left[14].symbol if len(left) > 15 else ""
        tiers = [tier for listing in shown for tier in self._tiers(listing)]
        return envelope({"category": category, "list": tiers, "nextPageCursor": cursor}, to_ms(now))

    def insurance(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/insurance`: a pool that most contracts share, one of the last alone, one in coins for inverse ones.

        The market's fund is the two in dollars; the last contract has a tenth of it.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/insurance
        """
        *shared, alone = (
            v.symbol for v in self._listings.values() if v.settle_coin == "USDT" and v.status == "Trading"
        )
        total, first = self.market.insurance_fund_usd(now), self.market.assets[0]
        own = round(total / 10, 2)
        coins = self.inverse.insurance_fund_usd(now) / self.inverse.price(first, _shown(self.inverse, now))
        pools = [
            ("USDT", ",".join(shared), f"{total - own:.2f}", f"{total - own:.0f}"),
            ("USDT", alone, f"{own:.2f}", f"{own:.0f}"),
            (first, f"{first}USD", f"{coins:.8f}", f"{self.inverse.insurance_fund_usd(now):.0f}"),
        ]
        entries = [{"coin": c, "symbols": s, "balance": b, "value": v} for c, s, b, v in pools]
        return envelope({"updatedTime": str(to_ms(now)), "list": entries}, to_ms(now))

    def adl_alert(self, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/adlAlert`: each contract's pool and its loss of eight hours, both of the last minute here.

        How a contract's profit moves is not told; here it loses three times what the market's fund does.

        References
        ----------
        https://bybit-exchange.github.io/docs/v5/market/adl-alert
        """
        at = now.replace(second=0, microsecond=0)

        def alert(listing: Listing) -> dict[str, str]:
            market = self.market_of(listing)
            balance = market.insurance_fund_usd(at)
            if listing.is_inverse:
                balance /= market.price(listing.asset, _shown(market, at))
            return {
                "coin": listing.settle_coin,
                "symbol": listing.symbol,
                "balance": f"{balance:.8f}",
                "maxBalance": "",
                "insurancePnlRatio": "-0.3",
                "pnlRatio": f"{3 * market.fund_change_frac(at):.8f}",
                "adlTriggerThreshold": "1" if listing.is_inverse else "10000",
                "adlStopRatio": "-0.25",
            }

        shown = [v for v in self._listings.values() if query.get("symbol") in (None, v.symbol)]
        return envelope({"updatedTime": str(to_ms(at)), "list": [alert(v) for v in shown]}, to_ms(now))

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _size(self, listing: Listing, base: float, price: float) -> str:
        """Return a quantity as its contract counts it; a level has one dollar at the least."""
        if listing.is_inverse:
            return f"{max(1, round(base * price))}"
        return quantity_of(self.market.profile(listing.asset), base)

    def _ticker(self, listing: Listing, now: datetime) -> dict[str, str]:
        market, asset = self.market_of(listing), listing.asset
        profile, at = market.profile(asset), _shown(market, now)
        last, before = market.price(asset, at), market.price(asset, _shown(market, now - timedelta(days=1)))
        book, held = market.book(asset, at), market.open_interest(asset)
        i = max(0, int(held.at_ms.searchsorted(to_ms(now), "right")) - 1)
        # Both sides, as in the series.
        base, usd = 2 * float(held.open_interest_base[i]), 2 * float(held.open_interest_usd[i])
        traded = market.volume_24h_base(asset, now)
        coins, dollars = f"{base:.8f}", f"{round(usd / 2) * 2}"
        (bid, bid_base), (ask, ask_base) = book.bids[0], book.asks[0]
        return {
            "symbol": listing.symbol,
            "lastPrice": price_of(profile, last),
            "indexPrice": price_of(profile, market.price_of_kind(asset, "index", now)),
            "markPrice": price_of(profile, market.price_of_kind(asset, "mark", now)),
            "prevPrice24h": price_of(profile, before),
            "price24hPcnt": f"{last / before - 1:.6f}",
            "highPrice24h": price_of(profile, max(last, before)),
            "lowPrice24h": price_of(profile, min(last, before)),
            "prevPrice1h": price_of(profile, before),
            "openInterest": dollars if listing.is_inverse else coins,
            "openInterestValue": coins if listing.is_inverse else f"{usd:.4f}",
            "turnover24h": f"{traded:.8f}" if listing.is_inverse else f"{traded * last:.4f}",
            "volume24h": f"{traded * last:.0f}" if listing.is_inverse else quantity_of(profile, traded),
            "fundingRate": "" if listing.delivery_ms else "0.0001",
            "nextFundingTime": "0" if listing.delivery_ms else str((to_ms(now) // 28_800_000 + 1) * 28_800_000),
            "predictedDeliveryPrice": "",
            "basisRate": "",
            "deliveryFeeRate": "",
            "deliveryTime": str(listing.delivery_ms),
            "ask1Size": self._size(listing, ask_base, ask),
            "bid1Price": price_of(profile, bid),
            "ask1Price": price_of(profile, ask),
            "bid1Size": self._size(listing, bid_base, bid),
            "basis": "",
        }

    def _tiers(self, listing: Listing) -> list[dict[str, Any]]:
        """Return a contract's risk limits: caps grow with the step, rates too, and what is deducted keeps margins continuous."""
        profile = self.market.profile(listing.asset)
        first_cap = FIRST_CAP_USD / profile.level_quote if listing.is_inverse else FIRST_CAP_USD
        # Rates are on the position's value, and at the first step half of the initial margin.
        rate, floor, deducted, tiers = profile.maintenance_margin_frac, 0.0, 0.0, []
        decimals = 8 if listing.is_inverse else 0
        for step in range(1, RISK_STEPS + 1):
            cap, own = round(first_cap * step**2, decimals), round(rate * step, 6)
            deducted += floor * (own - (round(rate * (step - 1), 6) if step > 1 else own))
            tiers.append(
                {
                    "id": step,
                    "symbol": listing.symbol,
                    "riskLimitValue": f"{cap:.{decimals}f}",
                    "maintenanceMargin": f"{own:.6f}",
                    "initialMargin": f"{2 * own:.6f}",
                    "isLowestRisk": int(step == 1),
                    "maxLeverage": f"{1 / (2 * own):.2f}",
                    "mmDeduction": "" if step == 1 else f"{deducted:.12f}",
                }
            )
            floor = cap
        return tiers


def _shown(market: VenueMarket, at: datetime) -> datetime:
    """Return the instant of a market that is shown at one."""
    return min(max(at, market.start), market.end)
