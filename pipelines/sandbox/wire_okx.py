"""The world in OKX's own wire format: pure functions from a world and an instant to JSON values.

Belongs here: routes, series and books, what of them the venue forgets. Does not: records of all contracts or of a family as
of now, and liquidations (``wire_okx_snapshots.py``), contracts and their figures (``wire_okx_contracts.py``), envelopes,
errors and pages (``wire_okx_pages.py``), HTTP (``server.py``), misbehaviour (``faults.py``).

Every figure is a string, times too; pages begin with the newest record; both bounds are exclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.minutes import MINUTE_MS
from pipelines.sandbox.wire import HOUR_MS, Route, to_ms
from pipelines.sandbox.wire_okx_contracts import OkxContract, contracts_of
from pipelines.sandbox.wire_okx_pages import (
    REFUSALS,
    Window,
    answer,
    needed,
    needed_type,
    newest_first,
    oldest_kept_ms,
    unknown_instrument,
    whole,
    window_of,
    wrong_parameter,
)
from pipelines.sandbox.wire_okx_snapshots import OkxSnapshots
from pipelines.sandbox.world import World

# "Data up to three months".
FUNDING_KEPT = timedelta(days=90)
DEPTH_MOST = 400

PriceKind = Literal["trade", "mark", "index"]
# A candle in the venue's order: time, four prices, of trades three volumes, whether it is completed.
_PRICES = ("open_quote", "high_quote", "low_quote", "close_quote")


class OkxWire:
    """A world as OKX shows it; ``wire_okx_contracts.contracts_of`` says which contracts it lists."""

    venue = "okx"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Mapping[str, Any]]] = REFUSALS

    def __init__(self, world: World) -> None:
        self._contracts = contracts_of(world)
        self._snapshots = OkxSnapshots(tuple(self._contracts.values()))
        self._by_index = {c.family: c for c in self._contracts.values() if c.is_traded}
        self._closed: dict[tuple[str, str], list[list[str]]] = {}

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return every route that the venue answers; it tells no weight."""
        ratios = "/api/v5/rubik/stat/contracts/long-short"
        return [
            # https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
            Route("/api/v5/public/time", lambda _, now: answer([{"ts": str(to_ms(now))}])),
            Route("/api/v5/public/instruments", lambda query, _: self.instruments(query)),
            Route("/api/v5/market/candles", self._candles("trade", is_history=False)),
            Route("/api/v5/market/history-candles", self._candles("trade", is_history=True)),
            Route("/api/v5/market/mark-price-candles", self._candles("mark", is_history=False)),
            Route("/api/v5/market/history-mark-price-candles", self._candles("mark", is_history=True)),
            Route("/api/v5/market/index-candles", self._candles("index", is_history=False)),
            Route("/api/v5/market/history-index-candles", self._candles("index", is_history=True)),
            Route("/api/v5/public/funding-rate-history", self.funding_rate_history),
            Route("/api/v5/rubik/stat/contracts/open-interest-history", self.open_interest_history),
            Route(f"{ratios}-account-ratio-contract", self._ratio("accounts_x")),
            Route(f"{ratios}-account-ratio-contract-top-trader", self._ratio("top_accounts_x")),
            Route(f"{ratios}-position-ratio-contract-top-trader", self._ratio("top_positions_x")),
            Route("/api/v5/market/books", self.books),
            *self._snapshots.routes(),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path: each answers one question."""
        return path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the records of a series or of a list of liquidations; a catalogue, a book and a snapshot are no pages."""
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            return None
        if len(rows) == 1 and isinstance(rows[0], dict) and "totalLoss" in rows[0]:
            details: list[Any] = rows[0]["details"]
            return details
        return None if any(isinstance(r, dict) and "fundingTime" not in r for r in rows) else rows

    def instruments(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """`GET /api/v5/public/instruments`: everything of one type.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments
        """
        kind = needed_type(query)
        listed = [c.listing() for c in self._contracts.values()]
        return answer([i for i in listed if i["instType"] == kind and query.get("instId", i["instId"]) == i["instId"]])

    def funding_rate_history(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/public/funding-rate-history`: the latest three months.

        `fundingRate` is the predicted rate and `realizedRate` the one that was paid; here they differ from the sixth
        decimal on.

        References
        ----------
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-funding-rate-history
        """
        contract = self._asked(query)
        window = window_of(query, "before", "after", default=400, most=400)
        if not contract.is_traded:
            return answer([])
        funding = contract.market.funding(contract.asset)
        shown = (funding.settled_ms <= to_ms(now)) & (funding.settled_ms >= to_ms(now - FUNDING_KEPT))

        def row(i: int) -> dict[str, str]:
            return {
                "formulaType": "withRate",
                "fundingRate": f"{funding.rate_frac[i]:.5f}",
                "fundingTime": str(funding.settled_ms[i]),
                "instId": contract.symbol,
                "instType": "SWAP",
                "method": "current_period",
                "realizedRate": f"{funding.rate_frac[i]:.8f}",
            }

        return answer(newest_first(funding.settled_ms, shown, window, row))

    def open_interest_history(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/rubik/stat/contracts/open-interest-history`: the latest 1,440 of a period.

        Rows of four strings: time, contracts, base units, US dollars.

        References
        ----------
        https://www.okx.com/docs-v5/en/#trading-statistics-rest-api-get-contract-open-interest-history
        """

        def rows(contract: OkxContract) -> tuple[NDArray[np.int64], Callable[[int], list[str]]]:
            series = contract.market.open_interest(contract.asset)
            opens = contract.market.candles(contract.asset).open_quote

            def row(i: int) -> list[str]:
                base = float(series.open_interest_base[i])
                return [
                    str(series.at_ms[i]),
                    contract.contracts(base, float(opens[i])),
                    contract.base(base),
                    f"{series.open_interest_usd[i]:.4f}",
                ]

            return series.at_ms, row

        return self._statistics(query, now, rows)

    def _ratio(self, kind: str) -> Callable[[Mapping[str, Any], datetime], dict[str, Any]]:
        """`GET /api/v5/rubik/stat/contracts/long-short-...`: time and ratio, the latest 1,440 of a period.

        References
        ----------
        https://www.okx.com/docs-v5/en/#trading-statistics-rest-api-get-contract-long-short-ratio
        https://www.okx.com/docs-v5/en/#trading-statistics-rest-api-get-top-traders-contract-long-short-ratio
        https://www.okx.com/docs-v5/en/#trading-statistics-rest-api-get-top-traders-contract-long-short-ratio-by-position
        """

        def rows(contract: OkxContract) -> tuple[NDArray[np.int64], Callable[[int], list[str]]]:
            ratios = contract.market.long_short_ratios(contract.asset)
            return ratios.at_ms, lambda i: [str(ratios.at_ms[i]), f"{getattr(ratios, kind)[i]:.4f}"]

        return lambda query, now: self._statistics(query, now, rows)

    def books(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /api/v5/market/books`: levels of price, contracts, a deprecated ``0`` and the number of orders.

        References
        ----------
        https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-order-book
        """
        contract = self._asked(query)
        size = whole(query, "sz")
        if size is not None and not 1 <= size <= DEPTH_MOST:
            raise wrong_parameter("sz")
        at = str(to_ms(now))
        if not contract.is_traded:
            return answer([{"asks": [], "bids": [], "ts": at}])
        book = contract.market.book(contract.asset, min(max(now, contract.market.start), contract.market.end))

        def levels(side: NDArray[np.float64]) -> list[list[str]]:
            return [
                [contract.price(price), contract.contracts(quantity, price), "0", "1"]
                for price, quantity in side[: size or 1]
            ]

        return answer([{"asks": levels(book.asks), "bids": levels(book.bids), "ts": at}])

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _asked(self, query: Mapping[str, Any]) -> OkxContract:
        """Return the contract asked for."""
        symbol = needed(query, "instId")
        if symbol not in self._contracts:
            raise unknown_instrument()
        return self._contracts[symbol]

    def _statistics(
        self,
        query: Mapping[str, Any],
        now: datetime,
        rows: Callable[[OkxContract], tuple[NDArray[np.int64], Callable[[int], list[str]]]],
    ) -> dict[str, Any]:
        """Answer a trading statistic: the latest 1,440 of a period."""
        contract = self._asked(query)
        if query.get("period") != "1H":
            # The venue has many periods, the sandbox one.
            raise wrong_parameter("period")
        window = window_of(query, "begin", "end", default=100, most=100)
        if not contract.is_traded:
            return answer([])
        clock, row = rows(contract)
        shown = (clock <= to_ms(now)) & (clock >= oldest_kept_ms(now))
        return answer(newest_first(clock, shown, window, row))

    def _candles(self, kind: PriceKind, *, is_history: bool) -> Callable[[Mapping[str, Any], datetime], dict[str, Any]]:
        """`GET /api/v5/market/candles` and its siblings: the latest 1,440, the one that runs first (`confirm` 0).

        The ``history-`` ones: completed candles of all years. That they show the running one is documented nowhere; the
        sandbox does not. Mark and index have six entries and pages of 100 at most; an index is asked for by its own name,
        ``BTC-USDT``.

        References
        ----------
        https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks
        https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-mark-price-candlesticks
        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-index-candlesticks
        """

        def candles(query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
            contract = self._asked_index(query) if kind == "index" else self._asked(query)
            is_minutes = query.get("bar") == "1m" and kind == "trade"
            if query.get("bar") != "1H" and not is_minutes:
                # The venue has many bars, the sandbox this one, and minutes of trades.
                raise wrong_parameter("bar")
            window = window_of(query, "before", "after", default=100, most=300 if kind == "trade" else 100)
            if not contract.is_traded:
                return answer([])
            if is_minutes:
                return answer(_minutes(contract, now, window, is_history=is_history))
            rows = self._closed_candles(contract, kind)
            shown = rows[: int(np.clip((to_ms(now) - int(rows[0][0])) // HOUR_MS, 0, len(rows)))]
            if not is_history:
                running = _hours(contract, kind, now)
                if running is not None:
                    shown = [*shown, _candle(contract, {k: v[0] for k, v in running.items()}, is_done=False)]
                shown = [r for r in shown if int(r[0]) >= oldest_kept_ms(now)]
            clock = np.array([int(r[0]) for r in shown], dtype=np.int64)
            # Copies: what is served may be cut and spoiled.
            return answer(newest_first(clock, np.ones(clock.size, dtype=bool), window, lambda i: list(shown[i])))

        return candles

    def _asked_index(self, query: Mapping[str, Any]) -> OkxContract:
        """Return the contract whose index is asked for."""
        name = needed(query, "instId")
        if name not in self._by_index:
            raise unknown_instrument()
        return self._by_index[name]

    def _closed_candles(self, contract: OkxContract, kind: PriceKind) -> list[list[str]]:
        key = (contract.symbol, kind)
        if key not in self._closed:
            columns = _hours(contract, kind, None) or {}
            self._closed[key] = [
                _candle(contract, {k: v[i] for k, v in columns.items()}, is_done=True)
                for i in range(columns["start_ms"].size)
            ]
        return self._closed[key]


def _hours(contract: OkxContract, kind: PriceKind, now: datetime | None) -> dict[str, NDArray[Any]] | None:
    """Return the columns of all hours of a price, or of the hour that runs at `now`, None where there is none."""
    market, asset = contract.market, contract.asset
    found: Any
    if now is not None:
        found = market.open_candle(asset, now) if kind == "trade" else market.open_price_candle(asset, kind, now)
    else:
        hours = {"trade": market.candles, "mark": market.mark_candles, "index": market.index_candles}
        found = hours[kind](asset)
    return None if found is None else vars(found)


def _minutes(contract: OkxContract, now: datetime, window: Window, *, is_history: bool) -> list[list[str]]:
    """Return a page of minutes; there are too many to write all of them for each page."""
    begun = contract.market.minutes_begun(contract.asset, now).columns()
    clock = begun["start_ms"]
    is_done = clock + MINUTE_MS <= to_ms(now)
    shown = is_done if is_history else clock >= oldest_kept_ms(now, MINUTE_MS)

    def row(i: int) -> list[str]:
        return _candle(contract, {k: v[i] for k, v in begun.items()}, is_done=bool(is_done[i]))

    return newest_first(clock, shown, window, row)


def _candle(contract: OkxContract, candle: Mapping[str, Any], *, is_done: bool) -> list[str]:
    """Write one candle: time, four prices, of trades contracts, base units and quote units, whether it is completed."""
    volumes = []
    if "volume_base" in candle:
        volume = float(candle["volume_base"])
        volumes = [
            contract.contracts(volume, float(candle["close_quote"])),
            contract.base(volume),
            f"{candle['volume_usd']:.4f}",
        ]
    prices = [contract.price(candle[name]) for name in _PRICES]
    return [str(int(candle["start_ms"])), *prices, *volumes, "1" if is_done else "0"]
