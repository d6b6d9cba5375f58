"""The world in Gate's own wire format: pure functions from a world and an instant to JSON values.

Belongs here: shapes, page limits, default limits, error labels of the venue. Does not: HTTP (``server.py``), misbehaviour
(``faults.py``). Prices and rates are strings, times are whole seconds, quantities whole numbers of contracts, answers bare
lists; both bounds are inclusive.

References
----------
Endpoints: https://www.gate.com/docs/developers/apiv4/en/#futures
Error labels: https://www.gate.com/docs/developers/apiv4/en/#label-list
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

PATH = "/api/v4/futures/usdt"

CANDLES_MOST = 2_000
CANDLES_KEPT_COUNT = 10_000
STATISTICS_MOST = 100
LIST_MOST = 1_000
DEPTH_MOST = 300
LIQUIDATIONS_WIDEST_S = 3_600

# Base units of one contract (`quanto_multiplier`). BTC's is the venue's; the others are smaller than the venue's, so that the
# world's quantities are whole numbers of contracts.
CONTRACT_SIZES: Mapping[str, str] = {"BTC": "0.0001", "ETH": "0.001", "SOL": "0.01"}
# Listed contracts that a client must leave out: one not yet and one no longer traded.
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "HYPE_USDT": {"status": "prelaunch", "in_delisting": False},
    "MATIC_USDT": {"status": "delisting", "in_delisting": True},
}
# Upper ends of the tiers in USDT, and their maintenance rates over the lowest one.
TIERS = ((1_000_000, 1.0), (5_000_000, 1.5), (20_000_000, 2.5), (100_000_000, 5.0))

# 403 and 451 are what a gateway may answer, their bodies are made up here; the others are labels of the venue.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"label": "TOO_MANY_REQUESTS", "message": "Request Rate limit Exceeded"}),
    "banned": (403, {"label": "FORBIDDEN", "message": "Forbidden"}),
    "geoblocked": (451, {"label": "FORBIDDEN", "message": "Unavailable For Legal Reasons"}),
    "error": (500, {"label": "SERVER_ERROR", "message": "Internal server error"}),
}


class GateError(WireError):
    """An error of Gate, ``{"label": "INVALID_PARAM_VALUE", "message": "..."}``."""

    def __init__(self, label: str, message: str, status: int = 400) -> None:
        super().__init__({"label": label, "message": message}, status)


class GateWire:
    """A world as Gate shows it.

    Parameters
    ----------
    world : World
        Each asset is listed as ``<ASSET>_USDT``, and beside them `OTHERS`, which are listed and have no records.
    """

    venue = "gate"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, "gate")
        self._asset_of: dict[str, str | None] = {f"{a}_USDT": a for a in world.assets} | dict.fromkeys(OTHERS)
        self._forced: list[dict[str, Any]] | None = None

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; it tells no weight."""
        return [
            # https://www.gate.com/docs/developers/apiv4/en/#get-server-current-time
            Route("/api/v4/spot/time", lambda _, now: {"server_time": to_ms(now)}),
            Route(f"{PATH}/contracts", lambda _, now: self.contracts(now)),
            Route(f"{PATH}/candlesticks", self.candlesticks),
            Route(f"{PATH}/funding_rate", self.funding_rate),
            Route(f"{PATH}/contract_stats", self.contract_stats),
            Route(f"{PATH}/liq_orders", self.liq_orders),
            Route(f"{PATH}/order_book", self.order_book),
            Route(f"{PATH}/tickers", lambda _, now: self.tickers(now)),
            Route(f"{PATH}/risk_limit_tiers", lambda query, _: self.risk_limit_tiers(query)),
            Route(f"{PATH}/insurance", self.insurance),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the records of a series; catalogues, tickers, tiers and books are no pages."""
        is_series = isinstance(body, list) and all(isinstance(r, dict) and ("t" in r or "time" in r) for r in body)
        return body if is_series else None

    def contracts(self, now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/usdt/contracts`: everything that is listed.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#query-all-futures-contracts
        """
        return [self._contract(symbol, now) for symbol in self._asset_of]

    def candlesticks(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/usdt/candlesticks`, oldest first, the running one last; a limit is refused beside bounds.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#futures-market-k-line-chart
        """
        asset = self._asked(query)
        since, until, limit = (_whole(query, name) for name in ("from", "to", "limit"))
        if limit is not None and not (since is None and until is None):
            raise _refused("limit is conflicted with from and to")
        _must_be_hourly(query)
        last_s = until if until is not None else to_ms(now) // 1000
        first_s = since if since is not None else last_s - (limit or 100) * 3_600 + 1
        if (last_s - first_s) // 3_600 + 1 > CANDLES_MOST:
            raise _refused(f"Maximum of {CANDLES_MOST} points are returned in one query")
        if first_s * 1000 < to_ms(now) - CANDLES_KEPT_COUNT * HOUR_MS:
            raise _refused(f"Candlestick too long ago. Maximum {CANDLES_KEPT_COUNT} points ago are allowed")
        if asset is None:
            return []
        return [c for c in self._candles(asset, now) if first_s <= c["t"] <= last_s]

    def funding_rate(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/usdt/funding_rate`, newest first.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#futures-market-historical-funding-rate
        """
        asset = self._asked(query)
        if asset is None:
            return []
        funding = self.market.funding(asset)
        return _newest_first(
            funding.settled_ms // 1000,
            query,
            now,
            lambda i: {"t": int(funding.settled_ms[i] // 1000), "r": f"{funding.rate_frac[i]:.8f}"},
        )

    def contract_stats(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/usdt/contract_stats`, oldest first from `from` on, else the latest.

        Open interest counts both sides here; who is a top trader follows the world. Sums of takers and of liquidations, which
        nobody asks for, are 0.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#futures-statistics
        """
        asset = self._asked(query)
        _must_be_hourly(query)
        since, limit = _whole(query, "from"), _limit(query, default=30, most=STATISTICS_MOST)
        if asset is None:
            return []
        held, ratios = self.market.open_interest(asset), self.market.long_short_ratios(asset)
        marks, profile = self.market.mark_candles(asset).open_quote, self.market.profile(asset)
        begun = np.flatnonzero(held.at_ms <= to_ms(now))
        inside = begun[held.at_ms[begun] >= (since or 0) * 1000]
        picked = inside[-limit:] if since is None else inside[:limit]

        def row(i: int) -> dict[str, Any]:
            both = 2 * _contracts(profile, held.open_interest_base[i])
            return {
                "time": int(held.at_ms[i] // 1000),
                "lsr_taker": 1.0,
                "lsr_account": float(ratios.accounts_x[i]),
                "long_liq_size": 0,
                "long_liq_amount": 0,
                "long_liq_usd": 0,
                "short_liq_size": 0,
                "short_liq_amount": 0,
                "short_liq_usd": 0,
                "open_interest": both,
                "open_interest_usd": round(both * float(_size(profile)) * float(marks[i]), 4),
                "top_lsr_account": float(ratios.top_accounts_x[i]),
                "top_lsr_size": float(ratios.top_positions_x[i]),
                "mark_price": float(marks[i]),
            }

        return [row(i) for i in picked.tolist()]

    def liq_orders(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/usdt/liq_orders`, newest first, of all contracts where none is named; an hour at most.

        The closing order has the sign against the position's.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#query-liquidation-order-history
        """
        asset = None if query.get("contract") is None else self._asked(query)
        since, until = _whole(query, "from"), _whole(query, "to")
        if since is not None and (to_ms(now) // 1000 if until is None else until) - since > LIQUIDATIONS_WIDEST_S:
            raise _refused("The time interval between from and to is maximum 3600")
        rows = [r for r in self._liquidations() if query.get("contract") is None or r["contract"] == f"{asset}_USDT"]
        return _newest_first(np.array([r["time"] for r in rows], dtype=np.int64), query, now, lambda i: dict(rows[i]))

    def order_book(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /futures/usdt/order_book`: levels as objects of price and contracts, nearest first.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#query-futures-market-depth-information
        """
        asset, limit = self._asked(query), _limit(query, default=10, most=DEPTH_MOST)
        shown = {"current": to_ms(now) / 1000, "update": to_ms(now) / 1000}
        if asset is None:
            return {**shown, "asks": [], "bids": []}
        profile = self.market.profile(asset)
        book = self.market.book(asset, min(max(now, self.market.start), self.market.end))

        def levels(side: NDArray[np.float64]) -> list[dict[str, Any]]:
            return [{"p": _price(profile, p), "s": _contracts(profile, q)} for p, q in side[:limit]]

        return {**shown, "asks": levels(book.asks), "bids": levels(book.bids)}

    def tickers(self, now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/usdt/tickers`: every contract that trades; no clock.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#get-all-futures-trading-statistics
        """
        return [self._ticker(asset, now) for asset in self.market.assets]

    def risk_limit_tiers(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`GET /futures/usdt/risk_limit_tiers` of one contract; the deduction makes the margin continuous.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#query-risk-limit-tiers
        """
        asset = self._asked(query)
        if asset is None:
            return []
        lowest = self.market.profile(asset).maintenance_margin_frac
        rows: list[dict[str, Any]] = []
        floor = deduction = below = 0.0
        for tier, (cap, times) in enumerate(TIERS, start=1):
            rate = round(lowest * times, 6)
            deduction += floor * (rate - below) if tier > 1 else 0.0
            rows.append(
                {
                    "tier": tier,
                    "risk_limit": str(cap),
                    "initial_rate": f"{2 * rate:g}",
                    "maintenance_rate": f"{rate:g}",
                    "leverage_max": f"{1 / (2 * rate):.2f}",
                    "deduction": f"{deduction:.6f}",
                }
            )
            floor, below = float(cap), rate
        return rows

    def insurance(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/usdt/insurance`: a balance a day, newest first.

        References
        ----------
        https://www.gate.com/docs/developers/apiv4/en/#futures-market-insurance-fund-history
        """
        days = (now.date() - self.market.first_day).days + 1
        midnights = [datetime.combine(now.date(), datetime.min.time()) - timedelta(days=i) for i in range(days)]
        shown = midnights[: _limit(query, default=100, most=LIST_MOST)]
        return [{"t": to_ms(at) // 1000, "b": f"{self.market.insurance_fund_usd(at):.2f}"} for at in shown]

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asked(self, query: Mapping[str, Any]) -> str | None:
        """Return the asset of the contract asked for, None where the sandbox only lists it."""
        symbol = query.get("contract")
        if not symbol:
            raise GateError("MISSING_REQUIRED_PARAM", "Missing required parameter: contract")
        if symbol not in self._asset_of:
            raise GateError("CONTRACT_NOT_FOUND", "CONTRACT_NOT_FOUND")
        return self._asset_of[symbol]

    def _candles(self, asset: str, now: datetime) -> list[dict[str, Any]]:
        profile = self.market.profile(asset)
        hours, running = self.market.candles(asset), self.market.open_candle(asset, now)
        done = hours.start_ms + HOUR_MS <= to_ms(now)
        rows = [{k: v[i] for k, v in vars(hours).items()} for i in np.flatnonzero(done)]
        rows += [{k: v[0] for k, v in vars(running).items()}] if running is not None else []
        return [
            {
                "t": int(c["start_ms"] // 1000),
                "v": _contracts(profile, c["volume_base"]),
                **{
                    name[0]: _price(profile, c[name])
                    for name in ("close_quote", "high_quote", "low_quote", "open_quote")
                },
                "sum": f"{c['volume_usd']:.4f}",
            }
            for c in rows
        ]

    def _liquidations(self) -> list[dict[str, Any]]:
        """Return every liquidation of the world, in time order, computed once."""
        if self._forced is None:
            rows = [row for asset in self.market.assets for row in self._liquidations_of(asset)]
            self._forced = sorted(rows, key=lambda r: (r["time"], r["contract"]))
        return self._forced

    def _liquidations_of(self, asset: str) -> list[dict[str, Any]]:
        told, profile = self.market.liquidations(asset), self.market.profile(asset)
        sizes = [_contracts(profile, quantity) for quantity in told.quantity_base]
        return [
            {
                "time": int(told.at_ms[i] // 1000),
                "contract": f"{asset}_USDT",
                "size": size if told.is_long[i] else -size,
                "order_size": -size if told.is_long[i] else size,
                "order_price": _price(profile, told.bankruptcy_quote[i]),
                "fill_price": _price(profile, told.fill_quote[i]),
                "left": 0,
            }
            for i, size in enumerate(sizes)
        ]

    def _ticker(self, asset: str, now: datetime) -> dict[str, Any]:
        profile = self.market.profile(asset)
        book = self.market.book(asset, min(max(now, self.market.start), self.market.end))
        traded = self.market.volume_24h_base(asset, now)
        last = self.market.price(asset, now)
        return {
            "contract": f"{asset}_USDT",
            "last": _price(profile, last),
            "change_percentage": "0",
            "total_size": str(_contracts(profile, self._held(asset, now))),
            "volume_24h": str(_contracts(profile, traded)),
            "volume_24h_base": f"{traded:.{profile.quantity_decimals}f}",
            "volume_24h_quote": f"{traded * last:.0f}",
            "volume_24h_settle": f"{traded * last:.0f}",
            "mark_price": _price(profile, self.market.price_of_kind(asset, "mark", now)),
            "index_price": _price(profile, self.market.price_of_kind(asset, "index", now)),
            "funding_rate": "0.0001",
            "funding_rate_indicative": "0.0001",
            "highest_bid": _price(profile, book.bids[0, 0]),
            "highest_size": str(_contracts(profile, book.bids[0, 1])),
            "lowest_ask": _price(profile, book.asks[0, 0]),
            "lowest_size": str(_contracts(profile, book.asks[0, 1])),
        }

    def _held(self, asset: str, now: datetime) -> float:
        """Return the one-sided open interest of the last hour that has begun."""
        held = self.market.open_interest(asset)
        return float(held.open_interest_base[max(0, int(held.at_ms.searchsorted(to_ms(now), "right")) - 1)])

    def _contract(self, symbol: str, now: datetime) -> dict[str, Any]:
        asset = self._asset_of[symbol]
        profile = self.market.profile(asset or self.market.assets[0])
        price = _price(profile, self.market.price(profile.asset, min(max(now, self.market.start), self.market.end)))
        return {
            "name": symbol,
            "type": "direct",
            "quanto_multiplier": _size(profile),
            "mark_type": "index",
            "last_price": price,
            "mark_price": price,
            "index_price": price,
            "order_price_round": f"{profile.tick_quote:.{profile.price_decimals}f}",
            "mark_price_round": f"{profile.tick_quote:.{profile.price_decimals}f}",
            "order_price_deviate": "0.5",
            "order_size_min": 1,
            "order_size_max": 1_000_000,
            "enable_decimal": False,
            "leverage_min": "1",
            "leverage_max": "100",
            "maintenance_rate": f"{profile.maintenance_margin_frac:g}",
            "maker_fee_rate": "-0.00025",
            "taker_fee_rate": "0.00075",
            "funding_rate": "0.0001",
            "funding_interval": self.market.share.funding_hours * 3_600,
            "position_size": _contracts(profile, self._held(asset, now)) if asset else 0,
            # The simulated contracts are listed with the first hour that the market shows.
            "create_time": to_ms(self.market.start) // 1000,
            "status": "trading",
            "in_delisting": False,
            **OTHERS.get(symbol, {}),
        }


def _refused(message: str) -> GateError:
    return GateError("INVALID_PARAM_VALUE", message)


def _whole(query: Mapping[str, Any], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _refused(f"invalid argument: {name}")
    return int(text)


def _limit(query: Mapping[str, Any], *, default: int, most: int) -> int:
    limit = _whole(query, "limit")
    if limit is not None and not 1 <= limit <= most:
        raise _refused("invalid argument: limit")
    return default if limit is None else limit


def _must_be_hourly(query: Mapping[str, Any]) -> None:
    if query.get("interval") != "1h":
        # The venue has many intervals, the sandbox one.
        raise _refused("invalid argument: interval")


def _newest_first(
    clock_s: NDArray[np.int64], query: Mapping[str, Any], now: datetime, row: Callable[[int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Cut a page: the newest records inside the bounds, newest first; nothing after now."""
    since, until = _whole(query, "from"), _whole(query, "to")
    limit, present = _limit(query, default=100, most=LIST_MOST), to_ms(now) // 1000
    inside = (clock_s >= (since or 0)) & (clock_s <= (present if until is None else min(until, present)))
    return [row(i) for i in np.flatnonzero(inside)[::-1][:limit].tolist()]


def _size(profile: AssetProfile) -> str:
    return CONTRACT_SIZES[profile.asset]


def _contracts(profile: AssetProfile, quantity: float) -> int:
    """Return base units as a whole number of contracts."""
    return round(float(quantity) / float(_size(profile)))


def _price(profile: AssetProfile, price: float) -> str:
    return f"{price:.{profile.price_decimals}f}"
