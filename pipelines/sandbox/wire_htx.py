"""The world in HTX's own wire format: pure functions from a world and an instant to JSON values.

Belongs here: shapes, page limits, default limits, error codes of the venue. Does not: HTTP (``server.py``), misbehaviour
(``faults.py``). Most figures are numbers, of the fifth version strings; volumes and open interest count both sides.

References
----------
Endpoints and error codes: https://www.htx.com/en-us/opend/newApiPages (USDT-margined contracts). The paths of the fifth
version are shaped after the answers that ccxt 4.5.64 has recorded (``htx.py``, 2026-06).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

CANDLES_MOST = 2_000
CANDLES_KEPT = timedelta(days=730)
OPEN_INTEREST_MOST = 200
LIST_MOST = 100
LIQUIDATIONS_KEPT = timedelta(days=90)
LIQUIDATIONS_WIDEST_MS = 2 * HOUR_MS
DEPTH_LEVELS = 150

# Base units of one contract. BTC's is the venue's; the others are smaller than the venue's, so that the world's quantities
# are whole numbers of contracts.
CONTRACT_SIZES: Mapping[str, float] = {"BTC": 0.001, "ETH": 0.001, "SOL": 0.01}
# Listed contracts that a client must leave out, and their status: 2 pending listing, 3 suspension.
OTHERS: Mapping[str, int] = {"HYPE-USDT": 2, "MATIC-USDT": 3}

# 403 and 451 are what a gateway may answer, their bodies are made up here; the others are codes of the venue.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"status": "error", "err_code": 1032, "err_msg": "The number of access exceeded the limit."}),
    "banned": (403, {"status": "error", "err_code": 403, "err_msg": "Forbidden"}),
    "geoblocked": (451, {"status": "error", "err_code": 451, "err_msg": "Unavailable For Legal Reasons"}),
    "error": (500, {"status": "error", "err_code": 1000, "err_msg": "System error."}),
}


class HtxError(WireError):
    """An error of HTX, told with HTTP 200: ``{"status": "error", "err_code": 1014, "err_msg": "...", "ts": ...}``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__({"status": "error", "err_code": code, "err_msg": message}, 200)


class HtxListError(WireError):
    """An error of the fifth version, told with HTTP 200: ``{"code": 1067, "message": "...", "data": null}``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__({"code": code, "message": message, "data": None}, 200)


class HtxWire:
    """A world as HTX shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>-USDT``; the first also as a dated contract, and beside them `OTHERS`, which are
        listed and have no records.
    """

    venue = "htx"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, "htx")
        self._asset_of: dict[str, str | None] = {f"{a}-USDT": a for a in world.assets} | dict.fromkeys(OTHERS)
        self._forced: dict[str, list[dict[str, Any]]] = {}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; it tells no weight."""
        return [
            Route("/api/v1/timestamp", lambda _, now: {"status": "ok", "ts": to_ms(now)}),
            Route("/linear-swap-api/v1/swap_contract_info", self.contract_info),
            Route("/linear-swap-ex/market/history/kline", self.kline),
            Route("/v5/market/funding_rate_history", self.funding_rate_history),
            Route("/linear-swap-api/v1/swap_his_open_interest", self.his_open_interest),
            Route("/v5/market/liquidation_orders", self.liquidation_orders),
            Route("/linear-swap-ex/market/depth", self.depth),
            Route("/v2/linear-swap-ex/market/detail/batch_merged", self.batch_merged),
            Route("/linear-swap-api/v1/swap_index", self.index),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the records of a series; catalogues, tickers, indices and books are no pages."""
        data = body.get("data") if isinstance(body, dict) else None
        rows = data.get("tick") if isinstance(data, dict) else data
        names = ("id", "funding_time", "amount_type")
        is_series = isinstance(rows, list) and all(isinstance(r, dict) and any(n in r for n in names) for r in rows)
        return rows if is_series else None

    def contract_info(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /linear-swap-api/v1/swap_contract_info`: perpetuals, with ``business_type=all`` dated contracts too."""
        listed = [self._contract(symbol) for symbol in self._asset_of]
        if query.get("business_type") == "all":
            listed.append(self._dated())
        return {"status": "ok", "data": listed, "ts": to_ms(now)}

    def kline(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /linear-swap-ex/market/history/kline`, oldest first, the running one last; a size overrules bounds."""
        symbol, asset = self._asked(query)
        if query.get("period") not in ("60min", "1hour"):
            # The venue has many periods, the sandbox one.
            raise HtxError(1067, "Illegal parameter period.")
        size, since, until = (_whole(query, name) for name in ("size", "from", "to"))
        if size is None and (since is None or until is None):
            raise HtxError(1067, "Illegal parameter size.")
        if size is not None and not 1 <= size <= CANDLES_MOST:
            raise HtxError(1067, "Illegal parameter size.")
        candles = [] if asset is None else self._candles(asset, now)
        if size is not None:
            shown = candles[-size:]
        else:
            first = max(since or 0, to_ms(now - CANDLES_KEPT) // 1000)
            shown = [c for c in candles if first <= c["id"] <= (until or 0)][:CANDLES_MOST]
        return {"ch": f"market.{symbol}.kline.60min", "status": "ok", "data": shown, "ts": to_ms(now)}

    def funding_rate_history(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/funding_rate_history`, newest first; a limit above 100 is refused."""
        symbol, asset = self._asked(query, HtxListError)
        if asset is None:
            return _told([], now)
        funding = self.market.funding(asset)

        def row(i: int) -> dict[str, str]:
            return {
                "id": str(i + 1),
                "contract_code": symbol,
                "funding_rate": f"{funding.rate_frac[i]:.8f}",
                "funding_time": str(funding.settled_ms[i]),
            }

        return _told(_newest_first(funding.settled_ms, query, now, row), now)

    def his_open_interest(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /linear-swap-api/v1/swap_his_open_interest`: the latest `size` hours, newest first; it takes no bounds."""
        symbol, asset = self._asked(query)
        if query.get("period") != "60min" or query.get("amount_type") not in ("1", "2"):
            raise HtxError(1067, "Illegal parameter period.")
        size = _whole(query, "size")
        if size is not None and not 1 <= size <= OPEN_INTEREST_MOST:
            raise HtxError(1067, "Illegal parameter size.")
        ticks = [] if asset is None else self._held(asset, int(query["amount_type"]), now, size or 48)
        told = {
            "symbol": symbol.split("-", maxsplit=1)[0],
            "contract_code": symbol,
            "business_type": "swap",
            "pair": symbol,
        }
        return {"status": "ok", "data": {**told, "contract_type": "swap", "tick": ticks}, "ts": to_ms(now)}

    def liquidation_orders(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v5/market/liquidation_orders` of one contract, newest first; two hours at most, of the last 90 days.

        `amount` repeats the contracts, as in the recorded answer.
        """
        symbol, asset = self._asked(query, HtxListError)
        until = _whole(query, "end_time", HtxListError) or to_ms(now)
        since = _whole(query, "start_time", HtxListError) or until - LIQUIDATIONS_WIDEST_MS
        if until - since > LIQUIDATIONS_WIDEST_MS or since < to_ms(now - LIQUIDATIONS_KEPT):
            raise HtxListError(1067, "The start_time field is invalid. Please re-enter.")
        rows = [] if asset is None else self._liquidations(symbol, asset)
        clock = np.array([int(r["liquidation_time"]) for r in rows], dtype=np.int64)
        return _told(_newest_first(clock, query, now, lambda i: dict(rows[i])), now)

    def depth(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /linear-swap-ex/market/depth`: 150 levels of price and contracts, not merged with ``type=step0``."""
        symbol, asset = self._asked(query)
        if query.get("type") != "step0":
            # The venue has many steps, the sandbox one.
            raise HtxError(1067, "Illegal parameter type.")
        channel, at = f"market.{symbol}.depth.step0", to_ms(now)
        tick: dict[str, Any] = {
            "ch": channel,
            "id": at // 1000,
            "mrid": at,
            "ts": at,
            "version": at,
            "asks": [],
            "bids": [],
        }
        if asset is not None:
            profile = self.market.profile(asset)
            book = self._book(asset, now)
            for name, side in (("asks", book.asks), ("bids", book.bids)):
                tick[name] = [[float(p), _contracts(profile, q)] for p, q in side[:DEPTH_LEVELS]]
        return {"ch": channel, "status": "ok", "tick": tick, "ts": at}

    def batch_merged(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /v2/linear-swap-ex/market/detail/batch_merged`: every contract that trades; volumes of both sides."""
        return {"status": "ok", "ticks": [self._ticker(a, now) for a in self.market.assets], "ts": to_ms(now)}

    def index(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /linear-swap-api/v1/swap_index`: the index of every contract."""
        data = [
            {
                "index_price": self.market.price_of_kind(asset, "index", now),
                "index_ts": to_ms(now),
                "contract_code": f"{asset}-USDT",
            }
            for asset in self.market.assets
        ]
        return {"status": "ok", "data": data, "ts": to_ms(now)}

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asked(
        self, query: Mapping[str, Any], error: Callable[[int, str], WireError] = HtxError
    ) -> tuple[str, str | None]:
        """Return the contract asked for and its asset, None where the sandbox only lists it."""
        symbol = str(query.get("contract_code") or "").upper()
        if not symbol:
            raise error(1066, "The contract_code field cannot be empty. Please re-enter.")
        if symbol not in self._asset_of:
            raise error(1014, "This contract doesn't exist.")
        return symbol, self._asset_of[symbol]

    def _book(self, asset: str, now: datetime) -> Any:
        return self.market.book(asset, min(max(now, self.market.start), self.market.end))

    def _candles(self, asset: str, now: datetime) -> list[dict[str, Any]]:
        profile = self.market.profile(asset)
        hours, running = self.market.candles(asset), self.market.open_candle(asset, now)
        done = np.flatnonzero(hours.start_ms + HOUR_MS <= to_ms(now))
        rows = [{k: v[i] for k, v in vars(hours).items()} for i in done]
        rows += [{k: v[0] for k, v in vars(running).items()}] if running is not None else []
        return [
            {
                "id": int(c["start_ms"] // 1000),
                **{name: float(c[f"{name}_quote"]) for name in ("open", "high", "low", "close")},
                "amount": 2 * float(c["volume_base"]),
                "vol": 2 * _contracts(profile, c["volume_base"]),
                "count": 2 * int(c["trades_count"]),
                "trade_turnover": 2 * float(c["volume_usd"]),
            }
            for c in rows
        ]

    def _held(self, asset: str, amount_type: int, now: datetime, size: int) -> list[dict[str, Any]]:
        held, profile = self.market.open_interest(asset), self.market.profile(asset)
        latest = np.flatnonzero(held.at_ms <= to_ms(now))[::-1][:size]

        def volume(i: int) -> float:
            base = float(held.open_interest_base[i])
            return 2 * (_contracts(profile, base) if amount_type == 1 else base)

        return [
            {
                "volume": volume(i),
                "amount_type": amount_type,
                "ts": int(held.at_ms[i]),
                "value": 2 * float(held.open_interest_usd[i]),
            }
            for i in latest.tolist()
        ]

    def _liquidations(self, symbol: str, asset: str) -> list[dict[str, Any]]:
        """Return every liquidation of a contract, in time order, computed once."""
        if symbol not in self._forced:
            told, profile = self.market.liquidations(asset), self.market.profile(asset)
            self._forced[symbol] = [
                {
                    "id": str(150_000_000_000 + i),
                    "contract_code": symbol,
                    "liquidation_time": str(told.at_ms[i]),
                    "side": "sell" if told.is_long[i] else "buy",
                    "position_side": "long" if told.is_long[i] else "short",
                    "volume": str(_contracts(profile, told.quantity_base[i])),
                    "amount": str(_contracts(profile, told.quantity_base[i])),
                    "bankrupt_price": f"{told.bankruptcy_quote[i]:.{profile.price_decimals}f}",
                    "trade_turnover": f"{told.quantity_base[i] * told.bankruptcy_quote[i]:.6f}",
                }
                for i in range(told.at_ms.size)
            ]
        return self._forced[symbol]

    def _ticker(self, asset: str, now: datetime) -> dict[str, Any]:
        profile, book = self.market.profile(asset), self._book(asset, now)
        last, traded = self.market.price(asset, now), self.market.volume_24h_base(asset, now)
        price = f"{last:.{profile.price_decimals}f}"
        return {
            "id": to_ms(now) // 1000,
            "ts": to_ms(now),
            "ask": [float(book.asks[0, 0]), _contracts(profile, book.asks[0, 1])],
            "bid": [float(book.bids[0, 0]), _contracts(profile, book.bids[0, 1])],
            "business_type": "swap",
            "contract_code": f"{asset}-USDT",
            "open": price,
            "close": price,
            "low": price,
            "high": price,
            "amount": f"{2 * traded:.{profile.quantity_decimals}f}",
            "count": 0,
            "vol": f"{2 * traded * last:.4f}",
            "number_of": str(2 * _contracts(profile, traded)),
        }

    def _contract(self, symbol: str) -> dict[str, Any]:
        asset = symbol.split("-", maxsplit=1)[0]
        profile = self.market.profile(self._asset_of[symbol] or self.market.assets[0])
        return {
            "symbol": asset,
            "contract_code": symbol,
            "contract_size": CONTRACT_SIZES[profile.asset],
            "price_tick": profile.tick_quote,
            "delivery_date": "",
            "delivery_time": "",
            # The simulated contracts are listed on the first day that the market shows.
            "create_date": f"{self.market.first_day:%Y%m%d}",
            "contract_status": OTHERS.get(symbol, 1),
            "settlement_date": str(to_ms(self.market.end)),
            "support_margin_mode": "all",
            "business_type": "swap",
            "pair": symbol,
            "contract_type": "swap",
            "trade_partition": "USDT",
        }

    def _dated(self) -> dict[str, Any]:
        """Return the dated contract, delivered at 08:00 four weeks after the market's last day."""
        at = (self.market.end + timedelta(days=28)).replace(hour=8, minute=0, second=0, microsecond=0)
        pair = f"{self.market.assets[0]}-USDT"
        return {
            **self._contract(pair),
            "contract_code": f"{pair}-{at:%y%m%d}",
            "delivery_date": f"{at:%Y%m%d}",
            "delivery_time": str(to_ms(at)),
            "support_margin_mode": "cross",
            "business_type": "futures",
            "contract_type": "quarter",
        }


def _told(data: list[Any], now: datetime) -> dict[str, Any]:
    return {"code": 200, "message": "Success", "data": data, "ts": to_ms(now)}


def _whole(query: Mapping[str, Any], name: str, error: Callable[[int, str], WireError] = HtxError) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise error(1067, f"The {name} field is invalid. Please re-enter.")
    return int(text)


def _newest_first(
    clock: NDArray[np.int64], query: Mapping[str, Any], now: datetime, row: Callable[[int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Cut a page of the fifth version: the newest records inside the bounds, newest first; nothing after now."""
    since, until = (_whole(query, name, HtxListError) for name in ("start_time", "end_time"))
    limit = _whole(query, "limit", HtxListError)
    if limit is not None and not 1 <= limit <= LIST_MOST:
        raise HtxListError(1067, "The limit field is invalid. Please re-enter.")
    inside = (clock >= (since or 0)) & (clock <= min(to_ms(now), until if until is not None else to_ms(now)))
    return [row(i) for i in np.flatnonzero(inside)[::-1][: limit or 20].tolist()]


def _contracts(profile: AssetProfile, quantity: float) -> int:
    """Return base units as a whole number of contracts."""
    return round(float(quantity) / CONTRACT_SIZES[profile.asset])
