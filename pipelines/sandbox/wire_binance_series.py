"""What Binance's two futures products show alike, series first: pure functions from a market and an instant to JSON values.

Belongs here: candles, funding and statistics of a product, page limits, default limits, what the venue forgets. Does not: what
there is as of now only and the catalogue (``wire_binance_product.py``), what a product writes in its own way
(``wire_binance.py``, ``wire_binance_coinm.py``), bounds and errors (``wire_binance_pages.py``). Every shape cites the venue's
page; figures are strings where the venue writes strings.

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.minutes import MINUTE_MS
from pipelines.sandbox.profiles import AssetProfile
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, to_ms
from pipelines.sandbox.wire_binance_pages import BinanceError, Window, latest, oldest_first, window_of
from pipelines.sandbox.world import World

STATISTICS_WINDOW_MS = 30 * 24 * HOUR_MS

Answer = Callable[[Mapping[str, str], datetime], Any]


class BinanceSeries(ABC):
    """The series of one product.

    Parameters
    ----------
    world : World
        The market; the product's own share of it is that of its `venue`.
    """

    venue: str
    # What statistics are asked by: names of the query that are repeated in the answer.
    open_interest_keys: ClassVar[tuple[str, ...]] = ("symbol",)
    ratios_keys: ClassVar[tuple[str, ...]] = ("symbol",)

    def __init__(self, world: World) -> None:
        self.world, self.market = world, VenueMarket(world, self.venue)
        self._delivery = _quarter_end(world.last_day)
        self._asset_of = self._symbols()
        self._kept: dict[tuple[str, str], Any] = {}

    def statistics(self) -> dict[str, Answer]:
        """Return what each path of statistics answers; both products have the same paths, on hosts of their own."""
        return {
            "/futures/data/openInterestHist": self.open_interest_hist,
            "/futures/data/globalLongShortAccountRatio": self._ratio("accounts_x"),
            "/futures/data/topLongShortAccountRatio": self._ratio("top_accounts_x"),
            "/futures/data/topLongShortPositionRatio": self._ratio("top_positions_x"),
        }

    def klines(self, query: Mapping[str, str], now: datetime) -> list[list[Any]]:
        """`GET .../v1/klines`: oldest first from `startTime`, the latest where no time is sent; the open one last.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Kline-Candlestick-Data
        """
        asset = self._asset_of[self._symbol_of(query)]
        if query.get("interval") == "1m":
            return self._page_of_minutes(query, now, asset)
        return self._page_of_klines(query, now, asset, "trade", self.market.open_candle(asset, now))

    def mark_price_klines(self, query: Mapping[str, str], now: datetime) -> list[list[Any]]:
        """`GET .../v1/markPriceKlines`: as klines, and what would be volumes is to be ignored.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Mark-Price-Kline-Candlestick-Data
        """
        asset = self._asset_of[self._symbol_of(query)]
        return self._page_of_klines(query, now, asset, "mark", self.market.open_price_candle(asset, "mark", now))

    def index_price_klines(self, query: Mapping[str, str], now: datetime) -> list[list[Any]]:
        """`GET .../v1/indexPriceKlines`: by `pair`, which must be sent.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Index-Price-Kline-Candlestick-Data
        """
        asset = self._asset_of[self._symbol_of(query, "pair")]
        return self._page_of_klines(query, now, asset, "index", self.market.open_price_candle(asset, "index", now))

    def funding_rate(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET .../v1/fundingRate`: bounds inclusive, ascending, "return as startTime + limit".

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History
        """
        symbol = self._symbol_of(query)
        window = window_of(query, default=100, most=1000)
        if self._is_dated(symbol):
            return []
        funding = self.market.funding(self._asset_of[symbol])
        known = int(np.searchsorted(funding.settled_ms, to_ms(now), side="right"))
        rows: list[dict[str, Any]] = [
            {
                "symbol": symbol,
                "fundingRate": f"{rate:.8f}",
                "fundingTime": int(at),
                "markPrice": f"{mark:.8f}",
            }
            for at, rate, mark in zip(
                funding.settled_ms[:known], funding.rate_frac[:known], funding.mark_quote[:known], strict=True
            )
        ]
        return oldest_first(rows, [r["fundingTime"] for r in rows], window)

    def open_interest_hist(self, query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
        """`GET /futures/data/openInterestHist`: the latest 30 days and no more; an older `startTime` is an error.

        Where a window holds more rows than the limit, the latest are given (ascending): the family of endpoints is
        anchored at its end. A recorded answer has `timestamp` as a number, the documentation as a string.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Open-Interest-Statistics
        """
        asset, asked = self._statistic_of(query, self.open_interest_keys)
        series = self._keep("open_interest", asset, lambda: self.market.open_interest(asset))

        def row(i: int) -> dict[str, str]:
            return self._held(asset, float(series.open_interest_base[i]), float(series.open_interest_usd[i]))

        return self._page_of_statistics(query, now, series.at_ms, asked, row)

    def _ratio(self, name: str) -> Answer:
        """`GET /futures/data/...Ratio`, one path per kind; memory and pages as of open interest.

        References
        ----------
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Long-Short-Ratio
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Top-Long-Short-Account-Ratio
        https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Top-Trader-Long-Short-Ratio
        """

        def answer(query: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
            asset, asked = self._statistic_of(query, self.ratios_keys)
            series = self._keep("ratios", asset, lambda: self.market.long_short_ratios(asset))
            counted, ratios = self._split_of(name), getattr(series, name)

            def row(i: int) -> dict[str, str]:
                ratio = float(ratios[i])
                return {
                    f"long{counted}": f"{ratio / (1 + ratio):.4f}",
                    "longShortRatio": f"{ratio:.4f}",
                    f"short{counted}": f"{1 / (1 + ratio):.4f}",
                }

            return self._page_of_statistics(query, now, series.at_ms, asked, row)

        return answer

    # -- what a product writes in its own way -------------------------------------------------------------------------

    @abstractmethod
    def _symbols(self) -> dict[str, str]:
        """Return every listed symbol and its asset; of a pair's contracts the perpetual first."""

    @abstractmethod
    def _held(self, asset: str, base: float, usd: float) -> dict[str, str]:
        """Return the figures of open interest."""

    @abstractmethod
    def _split_of(self, name: str) -> str:
        """Return the word of the two shares of a ratio."""

    @abstractmethod
    def _kline_volumes(self, profile: AssetProfile, candle: Mapping[str, Any]) -> tuple[str, str, str, str]:
        """Return volume, second volume, and of both what takers bought."""

    def _cut_klines(self, rows: list[Any], clock: list[int], window: Window) -> list[Any]:
        return oldest_first(rows, clock, window)

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _symbol_of(self, query: Mapping[str, str], name: str = "symbol") -> str:
        """Return the contract asked for; a pair stands for the first of its contracts."""
        asked = query.get(name)
        if not asked:
            raise BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        known = (
            {s.split("_")[0]: s for s in reversed(list(self._asset_of))}
            if name == "pair"
            else dict.fromkeys(self._asset_of)
        )
        if asked not in known:
            raise BinanceError(-1121, "Invalid symbol.")
        return known[asked] or asked

    def _is_dated(self, symbol: str) -> bool:
        return symbol.endswith(f"_{self._delivery:%y%m%d}")

    def _delivery_ms(self) -> int:
        return to_ms(datetime.combine(self._delivery, datetime.min.time()) + timedelta(hours=8))

    def _shown(self, at: datetime) -> datetime:
        """Return the instant of the market that is shown at one."""
        return min(max(at, self.market.start), self.market.end)

    def _keep(self, name: str, asset: str, make: Callable[[], Any]) -> Any:
        """Return what is made once per asset."""
        if (name, asset) not in self._kept:
            self._kept[name, asset] = make()
        return self._kept[name, asset]

    def _page_of_klines(
        self, query: Mapping[str, str], now: datetime, asset: str, kind: str, running: Any
    ) -> list[list[Any]]:
        """Cut a page out of the hours that have begun, the running one last."""
        if query.get("interval") != "1h":
            # The venue has fifteen intervals, the sandbox this one, and minutes of trades.
            raise BinanceError(-1120, "Invalid interval.")
        window = window_of(query, default=500, most=1500)
        rows = self._keep(kind, asset, lambda: self._klines(asset, kind, self._hours(asset, kind)))
        done = int(np.clip((to_ms(now) - rows[0][0]) // HOUR_MS, 0, len(rows)))
        shown = rows[:done] if running is None else [*rows[:done], *self._klines(asset, kind, running)]
        # Copies: what is served may be cut and spoiled.
        return [list(row) for row in self._cut_klines(shown, [row[0] for row in shown], window)]

    def _page_of_minutes(self, query: Mapping[str, str], now: datetime, asset: str) -> list[list[Any]]:
        """Cut a page out of the minutes that have begun; there are too many to write all of them for each page."""
        window = window_of(query, default=500, most=1500)
        begun = self.market.minutes_begun(asset, now)
        shown = self._cut_klines(list(range(begun.start_ms.size)), begun.start_ms.tolist(), window)
        return self._klines(asset, "trade", begun.at(shown), MINUTE_MS)

    def _hours(self, asset: str, kind: str) -> Any:
        market = self.market
        return {"trade": market.candles, "mark": market.mark_candles, "index": market.index_candles}[kind](asset)

    def _klines(self, asset: str, kind: str, candles: Any, length_ms: int = HOUR_MS) -> list[list[Any]]:
        """Return klines of twelve entries: open time, four prices, volume, close time, second volume, count, taker buys, ignored."""
        profile, columns = self.market.profile(asset), vars(candles)
        rows = []
        for i in range(candles.start_ms.size):
            candle = {k: v[i] for k, v in columns.items()}
            start = int(candle["start_ms"])
            prices = [price_of(profile, candle[f"{name}_quote"]) for name in ("open", "high", "low", "close")]
            traded, second, bought, second_bought = ("0",) * 4
            count = 3_600
            if kind == "trade":
                traded, second, bought, second_bought = self._kline_volumes(profile, candle)
                count = int(candle["trades_count"])
            rows.append([start, *prices, traded, start + length_ms - 1, second, count, bought, second_bought, "0"])
        return rows

    def _statistic_of(self, query: Mapping[str, str], keys: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        """Return the asset of a statistic, and what its records repeat of the query."""
        asset = self._asset_of[self._symbol_of(query, keys[0])]
        if query.get("period") != "1h":
            raise BinanceError(-1130, "parameter 'period' is invalid.")
        return asset, {key: query[key] for key in keys}

    def _page_of_statistics(
        self,
        query: Mapping[str, str],
        now: datetime,
        at_ms: NDArray[np.int64],
        asked: Mapping[str, str],
        row: Callable[[int], Mapping[str, str]],
    ) -> list[dict[str, Any]]:
        """Cut a page of hourly statistics: of the latest 30 days, anchored at its end; `row(i)` are the figures of an hour."""
        window = window_of(query, default=30, most=500)
        oldest = to_ms(now) - STATISTICS_WINDOW_MS
        if window.start_ms is not None and window.start_ms < oldest:
            raise BinanceError(-1130, "parameter 'startTime' is invalid.")
        kept = np.flatnonzero((at_ms >= oldest) & (at_ms <= to_ms(now)))
        page = latest(kept.tolist(), at_ms[kept].tolist(), window)
        return [{**asked, **row(i), "timestamp": int(at_ms[i])} for i in page]


def price_of(profile: AssetProfile, price: float) -> str:
    """Return a price with one decimal more than the tick has, as the venue writes it."""
    return f"{price:.{profile.price_decimals + 1}f}"


def _quarter_end(day: date) -> date:
    """Return the last Friday of the quarter that ends after a day, when quarterly contracts are delivered."""
    month = 3 * ((day.month - 1) // 3 + 1)
    end = date(day.year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    end -= timedelta(days=(end.weekday() - 4) % 7)
    return end if end > day else _quarter_end(end + timedelta(days=10))
