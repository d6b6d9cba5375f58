"""Kraken futures: which of the venue's requests answers which dataset, its page limits, its wire values.

Belongs here: what is Kraken's alone. Does not: what all venues share (``venue.py``).

Of its perpetuals the flexible ones (``PF_``) are followed: linear, in USD, counted in base units. The inverse ones (``PI_``) are
counted in US dollars, also where candles tell a volume, and no price of that hour's trades would bring it to base units.

References
----------
https://docs.kraken.com/api/docs/futures-api/trading/get-instruments
https://docs.kraken.com/api/docs/futures-api/trading/get-tickers
https://docs.kraken.com/api/docs/futures-api/trading/get-orderbook
https://docs.kraken.com/api/docs/futures-api/trading/historical-funding-rates
https://docs.kraken.com/api/docs/futures-api/charts/candles
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.records import Contract, Request, WireBook, must_be_in_order, records_of
from pipelines.sources.wire_values import figure, instant, iso_ms_of, ms_of, of, to_ms

# No page gives the most candles of an answer; ccxt relies on 2,000. One less, as a window's edge is a candle too.
CANDLES_LIMIT = 1_999

_API = "/derivatives/api/v3"
_TICKERS_PATH = f"{_API}/tickers"
_FUNDING_PATH = "/derivatives/api/v4/historicalfundingrates"


def _candles_asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
    """Return the query of candles: bounds are seconds, inclusive on both sides."""
    bounds = {"from": -(-since // 1_000), "to": (until - 1) // 1_000}
    return {"price_type": "trade", "symbol": contract.symbol, "interval": "1h", **bounds}


# A candle does not name its contract.
_CANDLES = Request(
    "chartsGetPriceTypeSymbolInterval",
    "/api/charts/v1/trade",
    _candles_asked,
    lambda value, _: records_of(value, "candles"),
    lambda v: ms_of(of(v, "time")),
)


class Kraken(VenueClient):
    """Client of Kraken's futures: linear perpetuals in USD, with margin in many currencies."""

    venue = "kraken"
    ccxt_id = "krakenfutures"
    origin = "https://futures.kraken.com"
    catalogue_path = f"{_API}/instruments"
    counts_contracts = True
    only_now = frozenset({"open_interest"})
    quantity_step_fields = ("contractValueTradePrecision",)
    limits = {"candles": CANDLES_LIMIT}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for the fees (`GET /derivatives/api/v3/feeschedules`): the venue has no lighter question."""
        self._ask("publicGetFeeschedules", f"{_API}/feeschedules", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now."""
        return self._candles(
            _CANDLES, (day, last), lambda v: [of(v, name) for name in ("open", "high", "low", "close", "volume")]
        )

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly rates of the UTC days `day` to `last`, one request per contract: it always answers with all.

        `fundingRate` is dollars per contract; the rate is the one beside it, relative to the price.
        """
        start, end = self._bounds(day, last)
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0] if start < end else []:
            shown, answer = self._snapshot(
                "publicGetHistoricalfundingrates",
                _FUNDING_PATH,
                {"symbol": contract.symbol},
                lambda value: must_be_in_order(records_of(value, "rates"), lambda v: iso_ms_of(of(v, "timestamp"))),
            )
            payloads += answer.payloads
            for record in shown:
                at = iso_ms_of(of(record, "timestamp"))
                if at is None or start <= at < end:
                    rate = figure(of(record, "relativeFundingRate"))
                    columns = {"occurred_at_utc": instant(at), "funding_rate_frac": rate}
                    rows.append({**self._identity(contract), **columns, "payload_sha256": answer.payload_sha256})
        return self._capture("funding_rates", rows, tuple(payloads), f"{self.method} {_FUNDING_PATH}")

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return open interest as it is now, one row per contract; `day` to `last` must include today, or be to come.

        In base units, each contract counted once; no value in USD is told.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before today, also where today ended while the venue was asked.
        """

        def rows() -> tuple[list[dict[str, Any]], tuple[str, ...]]:
            found, payload, payloads = self._shown()
            at = instant(to_ms(self._clock.now()))
            shown = [
                {
                    **self._identity(contract),
                    "occurred_at_utc": at,
                    "open_interest_base": self._in_base(
                        contract, figure(of(found.get(contract.symbol), "openInterest"))
                    ),
                    "open_interest_usd": None,
                    "open_interest_basis": "one_sided",
                    "payload_sha256": payload,
                }
                for contract in self._contracts()[0]
            ]
            return shown, payloads

        return self._open_interest_now(_TICKERS_PATH, (day, last), rows)

    def tickers(self) -> Capture:
        """Return all flexible perpetuals as they trade now, in one answer, at our clock: a ticker tells its last trade's only."""
        found, payload, payloads = self._shown()
        at = instant(to_ms(self._clock.now()))
        rows = []
        for contract in self._listed()[0]:
            shown = found.get(contract.symbol)
            held = self._in_base(contract, figure(of(shown, "openInterest")))
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": at,
                    "last_quote": figure(of(shown, "last")),
                    "best_bid_quote": figure(of(shown, "bid")),
                    "best_ask_quote": figure(of(shown, "ask")),
                    "mark_quote": figure(of(shown, "markPrice")),
                    "index_quote": figure(of(shown, "indexPrice")),
                    "volume_24h_base": self._in_base(contract, figure(of(shown, "vol24h"))),
                    "open_interest_base": held,
                    "open_interest_usd": None,
                    "open_interest_basis": None if held is None else "one_sided",
                    "payload_sha256": payload,
                }
            )
        return self._capture("tickers", rows, payloads, f"{self.method} {_TICKERS_PATH}")

    def depth_bands(self) -> Capture:
        """Return the whole book of every contract as it is now, summed into bands; one request each."""

        def book(value: Any) -> WireBook:
            shown = of(value, "orderBook")
            return WireBook(of(shown, "bids"), of(shown, "asks"), iso_ms_of(of(value, "serverTime")))

        return self._depth_bands("publicGetOrderbook", f"{_API}/orderbook", lambda c: {"symbol": c.symbol}, book)

    def _shown(self) -> tuple[dict[str, Any], str, tuple[str, ...]]:
        """Ask for all tickers; return them by symbol, the hash of their payload, and all payloads."""
        shown, answer = self._snapshot(
            "publicGetTickers", _TICKERS_PATH, {}, lambda value: records_of(value, "tickers")
        )
        found = {t["symbol"].upper(): t for t in shown if isinstance(of(t, "symbol"), str)}
        return found, answer.payload_sha256, answer.payloads

    def _symbol(self, market: Mapping[str, Any]) -> str:
        """Return the contract's name in capitals: the venue writes it both ways, and answers to both."""
        return str(market["id"]).upper()

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a flexible perpetual that trades now."""
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        return bool(is_perpetual and market["info"].get("type") == "flexible_futures")
