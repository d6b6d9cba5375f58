"""Hyperliquid's accounts in the sandbox: the fills of the vault that takes over liquidations, and the exchange's own vault.

Belongs here: questions about an address. Does not: questions about a coin (``wire_hyperliquid.py``).

The vault takes over every liquidation of the market and sells on what it took a second later; every tenth time a trader on
the other side is deleveraged instead. On the real venue the book closes most liquidations, and no vault has part in them.

References
----------
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#retrieve-a-users-fills-by-time
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#retrieve-details-for-a-vault
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions (FillLiquidation)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipelines.sandbox.traders import Traders
from pipelines.sandbox.venue_market import Liquidations, VenueMarket
from pipelines.sandbox.wire import WireError, to_ms

FILLS_PAGE_COUNT = 2_000
FILLS_KEPT_COUNT = 10_000
# Traders whose positions are shown: address 1 is the first trader of every asset who is open, and so on.
ACCOUNTS_COUNT = 100
HLP_VAULT = "0xdfc24b077bc1425ad1dea75bcb6f8158e10df303"
LIQUIDATOR_VAULT = "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14"
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
UNREADABLE = "Failed to deserialize the JSON body into the target type"


class HyperliquidAccounts:
    """The accounts of a market that a client may ask about; any other address has nothing."""

    def __init__(self, market: VenueMarket) -> None:
        self.market = market
        self._fills: list[dict[str, Any]] | None = None

    def user_fills_by_time(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`{"type": "userFillsByTime"}`: bounds inclusive, the oldest 2,000 of them, of the latest 10,000 at all."""
        address, start = _address(query, "user"), whole(query, "startTime")
        end = to_ms(now) if query.get("endTime") is None else whole(query, "endTime")
        if address != LIQUIDATOR_VAULT:
            return []
        if self._fills is None:
            told = [_fills_of(asset, self.market.liquidations(asset)) for asset in self.market.assets]
            self._fills = sorted((fill for fills in told for fill in fills), key=lambda f: (f["time"], f["tid"]))
        kept = [f for f in self._fills if f["time"] <= to_ms(now)][-FILLS_KEPT_COUNT:]
        return [dict(f) for f in kept if start <= f["time"] <= end][:FILLS_PAGE_COUNT]

    def clearinghouse_state(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`{"type": "clearinghouseState"}`: what an address holds; the first traders of each asset have addresses of their own.

        References
        ----------
        https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals#retrieve-users-perpetuals-account-summary
        """
        number = int(_address(query, "user"), 16)
        held = []
        for asset in self.market.assets:
            traders = self.market.world.traders(asset).open_at(now)
            if 0 < number <= min(ACCOUNTS_COUNT, len(traders)):
                held.append(_position(asset, traders, number - 1, self.market.price_of_kind(asset, "mark", now)))
        margin = sum(float(position["marginUsed"]) for position in held)
        value = sum(float(position["positionValue"]) for position in held)
        summary = {
            "accountValue": text(margin + sum(float(position["unrealizedPnl"]) for position in held)),
            "totalMarginUsed": text(margin),
            "totalNtlPos": text(value),
            "totalRawUsd": text(margin - value),
        }
        return {
            "assetPositions": [{"type": "oneWay", "position": position} for position in held],
            "crossMaintenanceMarginUsed": "0.0",
            "crossMarginSummary": summary,
            "marginSummary": summary,
            "time": to_ms(now),
            "withdrawable": "0.0",
        }

    def vault_details(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
        """`{"type": "vaultDetails"}`: its account value of the last day, hour by hour; null where it is no vault."""
        if _address(query, "vaultAddress") != HLP_VAULT:
            return None
        hour = now.replace(minute=0, second=0, microsecond=0)
        at = [hour - timedelta(hours=back) for back in range(23, -1, -1)]
        values = [[to_ms(t), f"{self.market.insurance_fund_usd(t):.2f}"] for t in at]
        day = {"accountValueHistory": values, "pnlHistory": [[ms, "0.0"] for ms, _ in values], "vlm": "0.0"}
        return {
            "name": "Hyperliquidity Provider (HLP)",
            "vaultAddress": HLP_VAULT,
            "leader": "0x677d831aef5328190852e24f13c46cac05f984e7",
            "description": "",
            "portfolio": [["day", day]],
            "apr": 0.0,
            "followerState": None,
            "leaderFraction": 0.0,
            "leaderCommission": 0,
            "followers": [],
            "maxDistributable": 0.0,
            "maxWithdrawable": 0.0,
            "isClosed": False,
            "relationship": {"type": "parent", "data": {"childAddresses": [LIQUIDATOR_VAULT]}},
            "allowDeposits": True,
            "alwaysCloseOnWithdraw": False,
        }


def _position(asset: str, traders: Traders, i: int, mark: float) -> dict[str, Any]:
    """Return a trader's position; its size is signed."""
    sign = 1.0 if traders.position_side[i] == "long" else -1.0
    size, entry = float(traders.quantity_base[i]), float(traders.entry_price_quote[i])
    profit = sign * size * (mark - entry)
    margin = float(traders.margin_usd[i])
    return {
        "coin": asset,
        "cumFunding": {"allTime": "0.0", "sinceChange": "0.0", "sinceOpen": "0.0"},
        "entryPx": text(entry),
        "leverage": {
            "rawUsd": text(margin - sign * size * entry),
            "type": "isolated",
            "value": int(traders.leverage_x[i]),
        },
        "liquidationPx": text(float(traders.liquidation_price_quote[i])),
        "marginUsed": text(margin),
        "maxLeverage": 40,
        "positionValue": text(size * mark),
        "returnOnEquity": text(profit / margin),
        "szi": text(sign * size),
        "unrealizedPnl": text(profit),
    }


def _fills_of(asset: str, told: Liquidations) -> list[dict[str, Any]]:
    """Return the vault's fills around each liquidation of an asset."""
    fills = []
    for i in range(told.at_ms.size):
        is_long, size = bool(told.is_long[i]), float(told.quantity_base[i])
        price, at = float(told.fill_quote[i]), int(told.at_ms[i])
        taken = "Long" if is_long else "Short"
        whose = {"liquidatedUser": f"0x{i + 1:040x}", "markPx": text(price), "method": "backstop"}
        fills.append(_fill(asset, at, "B" if is_long else "A", price, size, f"Open {taken}", 2 * i, whose))
        # What the vault sells on has no part in anybody's liquidation, and deleveraging is the vault's own.
        own = {**whose, "liquidatedUser": LIQUIDATOR_VAULT} if i % 10 == 9 else None
        direction = "Auto-Deleveraging" if own else f"Close {taken}"
        fills.append(_fill(asset, at + 1_000, "A" if is_long else "B", price, size, direction, 2 * i + 1, own))
    return fills


def _fill(
    asset: str, at: int, side: str, price: float, size: float, direction: str, tid: int, liquidation: Any
) -> dict[str, Any]:
    fill = {
        "coin": asset,
        "px": text(price),
        "sz": text(size),
        "side": side,
        "time": at,
        "startPosition": "0.0",
        "dir": direction,
        "closedPnl": "0.0",
        "hash": f"0x{tid:064x}",
        "oid": tid,
        "crossed": True,
        "fee": "0.0",
        "tid": tid,
        "feeToken": "USDC",
    }
    return {**fill, "liquidation": liquidation} if liquidation else fill


def text(value: float) -> str:
    """Return a figure as the venue writes it: no exponent, no zeros at the end but one after the point."""
    written = f"{value:.8f}".rstrip("0")
    return f"{written}0" if written.endswith(".") else written


def whole(query: Mapping[str, Any], name: str) -> int:
    """Return a clock, a number and not a text; anything else cannot be read."""
    value = query.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WireError(UNREADABLE, 422)
    return value


def _address(query: Mapping[str, Any], name: str) -> str:
    value = query.get(name)
    if not isinstance(value, str) or ADDRESS.fullmatch(value) is None:
        raise WireError(UNREADABLE, 422)
    return value.lower()
