"""OKX as of now, in its own wire format: tickers, open interest and marks of all contracts, tiers, the fund, liquidations.

Belongs here: answers about all contracts of a type or about a family of them. Does not: series and books (``wire_okx.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pipelines.sandbox.wire import Route, to_ms
from pipelines.sandbox.wire_okx_contracts import OkxContract
from pipelines.sandbox.wire_okx_pages import (
    answer,
    needed,
    needed_family,
    needed_type,
    newest_first,
    window_of,
    wrong_parameter,
)

# "Liquidation orders in the last day".
LIQUIDATIONS_KEPT = timedelta(days=1)
# Highest number of contracts, initial margin and leverage of each tier; maintenance begins at the asset's own margin.
TIERS = (("1000", "0.01", "100"), ("5000", "0.0125", "80"), ("20000", "0.02", "50"))
FAMILIES_MOST = 5


class OkxSnapshots:
    """The contracts of a world in answers about many of them."""

    def __init__(self, contracts: tuple[OkxContract, ...]) -> None:
        self._contracts = contracts

    def routes(self) -> list[Route]:
        """Return the routes of these answers."""
        return [
            Route("/api/v5/market/tickers", self.tickers),
            Route("/api/v5/public/open-interest", self.open_interest),
            Route("/api/v5/public/mark-price", self.mark_price),
            Route("/api/v5/public/position-tiers", lambda query, _: self.position_tiers(query)),
            Route("/api/v5/public/insurance-fund", self.insurance_fund),
            Route("/api/v5/public/liquidation-orders", self.liquidation_orders),
        ]

    def tickers(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/market/tickers`: `volCcy24h` of derivatives counts base units.

        References
        ----------
        https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-tickers
        """

        def row(contract: OkxContract) -> dict[str, str]:
            market, asset = contract.market, contract.asset
            book, last = market.book(asset, min(now, market.end)), market.price(asset, min(now, market.end))
            volume = market.volume_24h_base(asset, now)
            (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
            before = contract.price(market.price(asset, max(market.start, now - timedelta(days=1))))
            return {
                "instType": contract.kind,
                "instId": contract.symbol,
                "last": contract.price(last),
                "lastSz": "1",
                "askPx": contract.price(ask),
                "askSz": contract.contracts(ask_size, ask),
                "bidPx": contract.price(bid),
                "bidSz": contract.contracts(bid_size, bid),
                "open24h": before,
                "high24h": contract.price(max(last, float(before))),
                "low24h": contract.price(min(last, float(before))),
                "volCcy24h": contract.base(volume),
                "vol24h": contract.contracts(volume, last),
                "sodUtc0": before,
                "sodUtc8": before,
                "ts": str(to_ms(now)),
            }

        return answer([row(c) for c in self._of_type(query, now)])

    def open_interest(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/public/open-interest`: contracts, base units and US dollars.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-open-interest
        """

        def row(contract: OkxContract) -> dict[str, str]:
            series = contract.market.open_interest(contract.asset)
            i = int(np.searchsorted(series.at_ms, to_ms(now), side="right")) - 1
            base = float(series.open_interest_base[i])
            return {
                "instType": contract.kind,
                "instId": contract.symbol,
                "oi": contract.contracts(base, float(series.open_interest_usd[i]) / base),
                "oiCcy": contract.base(base),
                "oiUsd": f"{series.open_interest_usd[i]:.4f}",
                "ts": str(to_ms(now)),
            }

        return answer([row(c) for c in self._of_type(query, now)])

    def mark_price(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/public/mark-price`.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-mark-price
        """
        return answer(
            [
                {
                    "instType": c.kind,
                    "instId": c.symbol,
                    "markPx": c.price(c.market.price_of_kind(c.asset, "mark", now)),
                    "ts": str(to_ms(now)),
                }
                for c in self._of_type(query, now)
            ]
        )

    def position_tiers(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """`GET /api/v5/public/position-tiers`: sizes are contracts; a tier begins one step after the one below.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-position-tiers
        """
        kind = needed_type(query)
        if needed(query, "tdMode") not in ("cross", "isolated"):
            raise wrong_parameter("tdMode")
        families = needed_family(query).split(",")
        if len(families) > FAMILIES_MOST:
            raise wrong_parameter("instFamily")
        asked = [c for c in self._contracts if c.kind == kind and c.family in families and c.is_traded]
        return answer([tier for contract in asked for tier in _tiers_of(contract)])

    def insurance_fund(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/public/insurance-fund`: its changes once a day, around 08:00, and the total in US dollars.

        The total does not depend on the family that is asked for: the documentation's example tells 1.4 billion of options
        on ETH.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-security-fund
        """
        kind, family = needed_type(query), needed_family(query)
        window = window_of(query, "before", "after", default=100, most=100)
        contract = next((c for c in self._contracts if (c.kind, c.family) == (kind, family) and c.is_traded), None)
        if contract is None:
            return answer([])
        fund = self._contracts[0].market
        days = range(int((now - timedelta(hours=8) - fund.start) / timedelta(days=1)) + 1)
        at = [fund.start + timedelta(days=d, hours=8) for d in days]
        balances = [fund.insurance_fund_usd(t) for t in at]

        def row(i: int) -> dict[str, str]:
            return {
                "adlType": "",
                "amt": f"{balances[i] - balances[max(0, i - 1)]:.4f}",
                "balance": f"{balances[i]:.4f}",
                "ccy": contract.asset if contract.is_inverse else "USDT",
                "maxBal": "",
                "maxBalTs": "",
                "ts": str(to_ms(at[i])),
                "type": "liquidation_balance_deposit",
            }

        clock = np.array([to_ms(t) for t in at], dtype=np.int64)
        details = newest_first(clock, np.ones(clock.size, dtype=bool), window, row)
        return answer(
            [{"details": details, "instFamily": family, "instType": kind, "total": f"{balances[-1]:.4f}"}]
            if balances
            else []
        )

    def liquidation_orders(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/public/liquidation-orders`: those of one family in the last day, newest first, 100 a page.

        The venue's documentation shows the page no more, though it answers: shape and bounds are those of its last text.

        References
        ----------
        https://www.okx.com/docs-v5/en/#rest-api-public-data-get-liquidation-orders (withdrawn)
        https://www.okx.com/docs-v5/en/#public-data-websocket-liquidation-orders-channel (the records)
        """
        kind, family = needed_type(query), needed_family(query)
        if query.get("state") not in ("filled", "unfilled"):
            raise wrong_parameter("state")
        window = window_of(query, "before", "after", default=100, most=100)
        contract = next((c for c in self._contracts if (c.kind, c.family) == (kind, family) and c.is_traded), None)
        if contract is None or query["state"] == "unfilled":
            return answer([])
        told = contract.market.liquidations(contract.asset)

        def row(i: int) -> dict[str, str]:
            price = float(told.bankruptcy_quote[i])
            return {
                "bkLoss": "0",
                "bkPx": contract.price(price),
                "ccy": "",
                "posSide": "long" if told.is_long[i] else "short",
                "side": "sell" if told.is_long[i] else "buy",
                "sz": contract.contracts(float(told.quantity_base[i]), price),
                "ts": str(told.at_ms[i]),
            }

        shown = (told.at_ms <= to_ms(now)) & (told.at_ms >= to_ms(now - LIQUIDATIONS_KEPT))
        details = newest_first(told.at_ms, shown, window, row)
        entry = {
            "details": details,
            "instFamily": family,
            "instId": contract.symbol,
            "instType": kind,
            "totalLoss": "0",
            "uly": family,
        }
        return answer([entry] if details else [])

    def _of_type(self, query: Mapping[str, Any], now: datetime) -> list[OkxContract]:
        """Return the contracts of the type asked for that trade, as the venue lists them without a filter."""
        kind = needed_type(query)
        return [c for c in self._contracts if c.kind == kind and c.is_traded and now >= c.market.start]


def _tiers_of(contract: OkxContract) -> list[dict[str, str]]:
    step = float(contract.listing()["lotSz"])
    tiers = []
    floor = "0"
    for i, (cap, initial, leverage) in enumerate(TIERS):
        tiers.append(
            {
                "baseMaxLoan": "",
                "imr": initial,
                "instFamily": contract.family,
                "instId": "",
                "maxLever": leverage,
                "maxSz": cap,
                "minSz": floor,
                "mmr": f"{contract.profile.maintenance_margin_frac * (1 + i / 2):.6g}",
                "optMgnFactor": "0",
                "quoteMaxLoan": "",
                "tier": str(i + 1),
                "uly": contract.family,
            }
        )
        floor = f"{float(cap) + step:.10g}"
    return tiers
