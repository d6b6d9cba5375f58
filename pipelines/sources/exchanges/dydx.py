"""dYdX v4: which of the indexer's requests answers which dataset, its page limits, its wire values.

Belongs here: what is dYdX's alone. Does not: what all venues share (``venue.py``), what a trade of its says of a liquidation
(``liquidations.py``).

The indexer answers newest first. Candles take both bounds; funding and trades take an upper bound only, and a page that
reaches back further than asked for is cut here. Positions are judged at an oracle's price, and no balance of the insurance
fund is told over this interface.

References
----------
https://docs.dydx.xyz/indexer-client/http
https://github.com/dydxprotocol/v4-chain/tree/main/indexer/services/comlink (bounds, orders and limits of pages)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.records import Contract, Request, WireBook, WrongShape, must_be_about, records_of
from pipelines.sources.wire_values import figure, instant, iso_ms_of, iso_of, of, to_ms

PAGE_LIMIT = 1_000
# Settlements are stamped some moments after the hour: a window of so many hours, both edges shown, may hold two more.
FUNDING_EDGES_COUNT = 2


def _candles_asked(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of candles: `fromISO` is inclusive, `toISO` exclusive."""
    bounds = {"fromISO": iso_of(since), "toISO": iso_of(until)}
    return {"market": contract.symbol, "resolution": "1HOUR", **bounds, "limit": limit}


def _funding_asked(contract: Contract, _: int, until: int, limit: int) -> Mapping[str, Any]:
    asked = {"effectiveBeforeOrAt": iso_of(until - 1), "limit": limit + FUNDING_EDGES_COUNT}
    return {"market": contract.symbol, **asked}


def _trades_asked(contract: Contract, _: int, until: int, limit: int) -> Mapping[str, Any]:
    return {"market": contract.symbol, "createdBeforeOrAt": iso_of(until - 1), "limit": limit}


_CANDLES = Request(
    "indexerGetCandlesPerpetualMarketsMarket",
    "/v4/candles/perpetualMarkets",
    _candles_asked,
    lambda value, contract: must_be_about(records_of(value, "candles"), "ticker", contract.symbol),
    lambda v: iso_ms_of(of(v, "startedAt")),
)
_FUNDING = Request(
    "indexerGetHistoricalFundingMarket",
    "/v4/historicalFunding",
    _funding_asked,
    lambda value, contract: must_be_about(records_of(value, "historicalFunding"), "ticker", contract.symbol),
    lambda v: iso_ms_of(of(v, "effectiveAt")),
    is_bounded_below=False,
)
# A trade does not name its contract.
_TRADES = Request(
    "indexerGetTradesPerpetualMarketMarket",
    "/v4/trades/perpetualMarket",
    _trades_asked,
    lambda value, _: records_of(value, "trades"),
    lambda v: iso_ms_of(of(v, "createdAt")),
    is_bounded_below=False,
)


class Dydx(VenueClient):
    """Client of dYdX v4: linear perpetuals, settled in USDC. The venue tells no listing time, and names no limit of its memory."""

    venue = "dydx"
    ccxt_id = "dydx"
    origin = "https://indexer.dydx.trade"
    catalogue_path = "/v4/perpetualMarkets"
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": PAGE_LIMIT,
        "funding_rates": PAGE_LIMIT - FUNDING_EDGES_COUNT,
        "open_interest": PAGE_LIMIT,
        "liquidations": PAGE_LIMIT,
    }

    def probe(self) -> None:
        """Ask for the indexer's time (`GET /v4/time`)."""
        self._ask("indexerGetTime", "/v4/time", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        The indexer writes a candle when something is traded: an hour without a trade may have none.
        """

        def entries(record: Any) -> list[Any]:
            return [of(record, name) for name in ("open", "high", "low", "close", "baseTokenVolume")]

        return self._candles(_CANDLES, (day, last), entries)

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, one each hour; the rate is that of the hour."""
        return self._funding_rates(_FUNDING, (day, last), lambda v: of(v, "rate"), longest_hours=1)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return hourly open interest as the candles of the UTC days `day` to `last` began with it.

        In base units, the sum of the long positions: each contract is counted once. A candle begins with its first trade, so
        the figure may be some moments younger than the hour. No value in USD is told.
        """

        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(_CANDLES.clock(record)),
                "open_interest_base": figure(of(record, "startingOpenInterest")),
                "open_interest_usd": None,
                "open_interest_basis": "one_sided",
            }

        return self._series("open_interest", _CANDLES, (day, last), row)

    def tickers(self) -> Capture:
        """Return all perpetuals as the catalogue shows them now, in one answer, at our clock.

        The price is the oracle's, at which margin is judged; last price, quotes and a volume in base units are not told.
        """
        shown, answer = self._snapshot("indexerGetPerpetualMarkets", self.catalogue_path, {}, _markets_of)
        at, found = instant(to_ms(self._clock.now())), {str(of(market, "ticker")): market for market in shown}
        rows = []
        for contract in self._listed()[0]:
            held = figure(of(found.get(contract.symbol), "openInterest"))
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": at,
                    "mark_quote": figure(of(found.get(contract.symbol), "oraclePrice")),
                    "open_interest_base": held,
                    "open_interest_basis": None if held is None else "one_sided",
                    "payload_sha256": answer.payload_sha256,
                }
            )
        return self._capture("tickers", rows, answer.payloads, f"{self.method} {self.catalogue_path}")

    def liquidations(self, day: date, last: date | None = None) -> Capture:
        """Return the liquidations and deleveragings among all trades of the UTC days `day` to `last`.

        A page holds 1,000 trades, of which few are forced: a busy day of one contract costs some hundred requests.
        """

        def message(contract: Contract, trade: Any) -> Any:
            return {"channel": "v4_trades", "id": contract.symbol, "contents": {"trades": [trade]}}

        return self._liquidations("dydx", _TRADES, (day, last), newest_first=True, message=message)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; the answer has no clock, so it is ours."""

        def book(value: Any) -> WireBook:
            return WireBook(of(value, "bids"), of(value, "asks"), to_ms(self._clock.now()))

        return self._depth_bands(
            "indexerGetOrderbooksPerpetualMarketMarket",
            "/v4/orderbooks/perpetualMarket",
            lambda c: {"market": c.symbol},
            book,
        )

    def _levels(self, contract: Contract, entries: Any) -> list[tuple[float, float]]:
        """Return a side's levels as numbers; the venue writes each as an object."""
        levels = entries if isinstance(entries, list) else []
        return super()._levels(contract, [[of(level, "price"), of(level, "size")] for level in levels])

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a perpetual that trades now; isolated markets share its margin with no other."""
        return bool(market.get("swap") and market.get("linear") and market.get("active"))


def _markets_of(value: Any) -> list[Any]:
    """Return the catalogue's markets, which stand under their names."""
    markets = of(value, "markets")
    if not isinstance(markets, dict):
        raise WrongShape("holds no markets")
    return list(markets.values())
