"""The world in Deribit's own wire format: pure functions from a market and an instant to JSON values.

Belongs here: shapes, page limits, error answers of the venue. Does not: HTTP (``server.py``), misbehaviour (``faults.py``).
Figures and clocks are numbers in a JSON-RPC envelope. BTC and ETH are inverse, counted in US dollars; the others are linear.

References
----------
Envelope and errors: https://docs.deribit.com/articles/json-rpc-overview, https://docs.deribit.com/articles/errors
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.world import World

CANDLES_PAGE_COUNT, FUNDING_PAGE_COUNT, TRADES_PAGE_COUNT = 5_000, 744, 1_000
BOOK_DEPTHS = (1, 5, 10, 20, 50, 100, 1_000, 10_000)
# Dollars of one inverse contract, the smallest amount of it as well.
INVERSE_SIZES_USD: Mapping[str, float] = {"BTC": 10.0, "ETH": 1.0}
NEVER_MS = 32_503_708_800_000

PUBLIC = "/api/v2/public"


def _refusal(code: int, text: str, **more: Any) -> dict[str, Any]:
    data = {"data": more} if more else {}
    return {"jsonrpc": "2.0", "error": {"message": text, **data, "code": code}, **_stamps(0)}


def _stamps(ms: int) -> dict[str, Any]:
    return {"usIn": ms * 1_000, "usOut": ms * 1_000, "usDiff": 0, "testnet": False}


# Bans and geoblocks have no documented body: those are what a delivery network answers.
REFUSALS: Mapping[str, tuple[int, Any]] = {
    "rate_limited": (429, _refusal(10028, "too_many_requests")),
    "banned": (403, "Forbidden"),
    "geoblocked": (451, "Unavailable For Legal Reasons"),
    "error": (500, _refusal(-32000, "internal_server_error")),
}


class DeribitWire:
    """A world as Deribit shows it: perpetuals, and beside them a dated future, an option and a perpetual that has ended."""

    venue = "deribit"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, self.venue)
        self._assets = {_symbol(asset): asset for asset in world.assets}
        self._trades: dict[str, list[dict[str, Any]]] = {}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route of the venue that a client of ours asks."""
        answers: dict[str, Callable[[Mapping[str, Any], datetime], Any]] = {
            "get_time": lambda _, now: to_ms(now),
            "get_instruments": self.instruments,
            "get_tradingview_chart_data": self.chart_data,
            "get_funding_rate_history": self.funding_rate_history,
            "get_book_summary_by_currency": self.book_summaries,
            "get_last_trades_by_instrument_and_time": self.last_trades,
            "get_order_book": self.order_book,
        }

        def enveloped(answer: Callable[[Mapping[str, Any], datetime], Any]) -> Callable[..., Any]:
            return lambda query, now: {"jsonrpc": "2.0", "result": answer(query, now), **_stamps(to_ms(now))}

        return [Route(f"{PUBLIC}/{name}", enveloped(answer)) for name, answer in answers.items()]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of trades or settlements; candles are lists that belong together, a catalogue is whole."""
        result = body["result"]
        if isinstance(result, dict) and "trades" in result:
            trades: list[Any] = result["trades"]
            return trades
        is_funding = isinstance(result, list) and bool(result) and "interest_1h" in result[0]
        return result if is_funding else None

    def instruments(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`get_instruments`: everything that is listed; `kind` narrows it.

        References
        ----------
        https://docs.deribit.com/api-reference/market-data/public-get_instruments
        """
        ours = [self._instrument(symbol, asset) for symbol, asset in self._assets.items()]
        first = ours[0]
        dated = {
            "instrument_name": "BTC-25DEC26",
            "settlement_period": "month",
            "expiration_timestamp": 1_798_185_600_000,
        }
        ended = {"instrument_name": "MATIC_USDC-PERPETUAL", "base_currency": "MATIC", "is_active": False}
        option = {
            "instrument_name": "BTC-25DEC26-100000-C",
            "kind": "option",
            "option_type": "call",
            "strike": 100_000.0,
            "quote_currency": "BTC",
        }
        linear = {"counter_currency": "USDC", "quote_currency": "USDC", "settlement_currency": "USDC"}
        listed = [*ours, {**first, **dated}, {**first, **linear, **ended}, {**first, **dated, **option}]
        return [i for i in listed if query.get("kind", "any") in ("any", i["kind"])]

    def chart_data(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`get_tradingview_chart_data`: a list per column, oldest first, the running hour last; bounds are inclusive.

        References
        ----------
        https://docs.deribit.com/api-reference/market-data/public-get_tradingview_chart_data
        """
        asset, (since, until) = self._asset_of(query), _bounds(query)
        if query.get("resolution") != "60":
            raise WireError(_refusal(-32602, "Invalid params", reason="invalid resolution", param="resolution"))
        columns = vars(self.market.candles(asset))
        running = self.market.open_candle(asset, now)
        done = columns["start_ms"] + HOUR_MS <= to_ms(now)
        shown = {name: values[done] for name, values in columns.items()}
        if running is not None:
            shown = {name: np.concatenate([values, vars(running)[name]]) for name, values in shown.items()}
        inside = np.flatnonzero((shown["start_ms"] >= since) & (shown["start_ms"] <= until))[-CANDLES_PAGE_COUNT:]
        names = {
            "volume": "volume_base",
            "ticks": "start_ms",
            "open": "open_quote",
            "low": "low_quote",
            "high": "high_quote",
            "cost": "volume_usd",
            "close": "close_quote",
        }
        status = "ok" if inside.size else "no_data"
        return {**{name: shown[column][inside].tolist() for name, column in names.items()}, "status": status}

    def funding_rate_history(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`get_funding_rate_history`: what was paid in each hour, stamped with its end, oldest first.

        References
        ----------
        https://docs.deribit.com/api-reference/market-data/public-get_funding_rate_history
        """
        asset, (since, until) = self._asset_of(query), _bounds(query)
        funding = self.market.funding(asset)
        # Other venues settle moments after the hour, this one with it.
        at = funding.settled_ms // HOUR_MS * HOUR_MS
        inside = np.flatnonzero((at >= since) & (at <= min(until, to_ms(now))))[-FUNDING_PAGE_COUNT:]
        return [
            {
                "timestamp": int(at[i]),
                "index_price": float(funding.mark_quote[i]),
                "prev_index_price": float(funding.mark_quote[max(0, i - 1)]),
                "interest_8h": float(funding.rate_frac[max(0, i - 7) : i + 1].sum()),
                "interest_1h": float(funding.rate_frac[i]),
            }
            for i in inside.tolist()
        ]

    def book_summaries(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`get_book_summary_by_currency`: all contracts that settle in a currency, as they trade now.

        References
        ----------
        https://docs.deribit.com/api-reference/market-data/public-get_book_summary_by_currency
        """
        currency = query.get("currency")
        if currency not in {*INVERSE_SIZES_USD, "USDC"}:
            raise WireError(_refusal(-32602, "Invalid params", reason="invalid currency", param="currency"))
        settled = {s: a for s, a in self._assets.items() if (a if a in INVERSE_SIZES_USD else "USDC") == currency}
        return [self._summary(symbol, asset, now) for symbol, asset in settled.items() if now >= self.market.start]

    def last_trades(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`get_last_trades_by_instrument_and_time`: trades within inclusive bounds; `sorting` says from which end.

        The world has no single trades: one that nothing forced stands in each hour.

        References
        ----------
        https://docs.deribit.com/api-reference/market-data/public-get_last_trades_by_instrument_and_time
        """
        asset, (since, until) = self._asset_of(query), _bounds(query)
        asked = str(query.get("count", 10))
        if not asked.isdigit() or not 1 <= int(asked) <= TRADES_PAGE_COUNT:
            raise WireError(_refusal(-32602, "Invalid params", reason="wrong value", param="count"))
        count, end = int(asked), min(until, to_ms(now))
        inside = [t for t in self._all_trades(asset) if since <= t["timestamp"] <= end]
        if query.get("sorting") != "asc":
            inside.reverse()
        return {"trades": [dict(t) for t in inside[:count]], "has_more": len(inside) > count}

    def order_book(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`get_order_book`: the best levels of each side as pairs of price and amount.

        References
        ----------
        https://docs.deribit.com/api-reference/market-data/public-get_order_book
        """
        asset, depth = self._asset_of(query), str(query.get("depth", 5))
        if not depth.isdigit() or int(depth) not in BOOK_DEPTHS:
            raise WireError(_refusal(-32602, "Invalid params", reason="wrong value", param="depth"))
        at = min(max(now, self.market.start), self.market.end)
        book = self.market.book(asset, at)

        def levels(side: NDArray[np.float64]) -> list[list[float]]:
            return [[float(p), _amount(asset, float(q), float(p))] for p, q in side[: int(depth)]]

        return {
            "timestamp": to_ms(now),
            "state": "open",
            "instrument_name": str(query["instrument_name"]),
            "change_id": 1,
            "mark_price": self.market.price_of_kind(asset, "mark", at),
            "index_price": self.market.price_of_kind(asset, "index", at),
            "bids": levels(book.bids),
            "asks": levels(book.asks),
        }

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asset_of(self, query: Mapping[str, Any]) -> str:
        name = str(query.get("instrument_name"))
        if name not in self._assets:
            raise WireError(_refusal(-32602, "Invalid params", reason="wrong format", param="instrument_name"))
        return self._assets[name]

    def _instrument(self, symbol: str, asset: str) -> dict[str, Any]:
        profile, size = self.market.profile(asset), INVERSE_SIZES_USD.get(asset)
        return {
            "tick_size": 10.0**-profile.price_decimals,
            "taker_commission": 0.0005,
            "settlement_period": "perpetual",
            "settlement_currency": "USDC" if size is None else asset,
            "quote_currency": "USDC" if size is None else "USD",
            "counter_currency": "USDC" if size is None else "USD",
            "base_currency": asset,
            "price_index": f"{asset.lower()}_{'usdc' if size is None else 'usd'}",
            "min_trade_amount": 10.0**-profile.quantity_decimals if size is None else size,
            "max_leverage": 50,
            "maker_commission": 0.0,
            "kind": "future",
            "is_active": True,
            "instrument_name": symbol,
            "instrument_type": "linear" if size is None else "reversed",
            "expiration_timestamp": NEVER_MS,
            "creation_timestamp": to_ms(self.market.start),
            "contract_size": size or 1.0,
        }

    def _summary(self, symbol: str, asset: str, now: datetime) -> dict[str, Any]:
        market, at = self.market, min(now, self.market.end)
        book, interest = market.book(asset, at), market.open_interest(asset)
        known = int(interest.at_ms.searchsorted(to_ms(at), side="right")) - 1
        mark = market.price_of_kind(asset, "mark", at)
        volume = market.volume_24h_base(asset, at)
        return {
            "high": None,
            "low": None,
            "last": market.price(asset, at),
            "instrument_name": symbol,
            "bid_price": float(book.bids[0, 0]),
            "ask_price": float(book.asks[0, 0]),
            "mid_price": book.mid_quote,
            "open_interest": _amount(asset, float(interest.open_interest_base[known]), mark),
            "mark_price": mark,
            "creation_timestamp": to_ms(now),
            "price_change": 0.0,
            "volume": volume,
            "volume_usd": volume * mark,
            "volume_notional": volume * mark,
            "estimated_delivery_price": market.price_of_kind(asset, "index", at),
            "base_currency": asset,
            "quote_currency": "USD" if asset in INVERSE_SIZES_USD else "USDC",
            "current_funding": 0.0,
            "funding_8h": 0.0,
        }

    def _all_trades(self, asset: str) -> list[dict[str, Any]]:
        """Return every trade of an asset, oldest first; of each second liquidation the maker was liquidated."""
        if asset not in self._trades:
            candles, forced = self.market.candles(asset), self.market.liquidations(asset)
            trades = [
                self._trade(asset, int(start) + HOUR_MS // 2, "buy", float(price), 1.0)
                for start, price in zip(candles.start_ms, candles.open_quote, strict=True)
            ]
            for i, at in enumerate(forced.at_ms):
                closing, other = ("sell", "buy") if forced.is_long[i] else ("buy", "sell")
                trade = self._trade(
                    asset,
                    int(at),
                    other if i % 2 else closing,
                    float(forced.fill_quote[i]),
                    float(forced.quantity_base[i]),
                )
                trades.append({**trade, "liquidation": "M" if i % 2 else "T"})
            self._trades[asset] = sorted(trades, key=lambda t: int(t["timestamp"]))
        return self._trades[asset]

    def _trade(self, asset: str, at_ms: int, direction: str, price: float, quantity: float) -> dict[str, Any]:
        """One trade: `direction` is the taker's, `liquidation` stands only where somebody was liquidated."""
        amount = _amount(asset, quantity, price)
        return {
            "trade_seq": at_ms // 1_000,
            "trade_id": str(at_ms),
            "timestamp": at_ms,
            "tick_direction": 0,
            "price": price,
            "mark_price": price,
            "instrument_name": _symbol(asset),
            "index_price": price,
            "direction": direction,
            "contracts": amount / INVERSE_SIZES_USD.get(asset, 1.0),
            "amount": amount,
        }


def _symbol(asset: str) -> str:
    return f"{asset}-PERPETUAL" if asset in INVERSE_SIZES_USD else f"{asset}_USDC-PERPETUAL"


def _amount(asset: str, quantity: float, price: float) -> float:
    """Return base units as the venue counts them: whole contracts in dollars, at least one, or base units as they are."""
    size = INVERSE_SIZES_USD.get(asset)
    return quantity if size is None else max(1.0, round(quantity * price / size)) * size


def _bounds(query: Mapping[str, Any]) -> tuple[int, int]:
    """Return both bounds, which are needed."""
    for name in ("start_timestamp", "end_timestamp"):
        if not str(query.get(name)).isdigit():
            raise WireError(_refusal(-32602, "Invalid params", reason="value required", param=name))
    return int(query["start_timestamp"]), int(query["end_timestamp"])
