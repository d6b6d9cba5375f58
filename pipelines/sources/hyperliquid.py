"""Hyperliquid perpetuals: which of the venue's questions answers which dataset, its page limits and memory, its wire values.

Belongs here: what is Hyperliquid's alone. Does not: what all venues share (``venue.py``).

Every question is a POST to one path, and its body says what is asked. Paths are written ``/info#candleSnapshot`` here: the
fragment is never sent, but messages and notes then say which question they are about.

References
----------
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from assets.ports import Capture, SourceOutage
from pipelines.sources.records import Contract, Request, WireBook, WrongShape, must_be_about, records_of
from pipelines.sources.venue import VenueClient
from pipelines.sources.wire_values import figure, instant, ms_of, of, to_ms

# ccxt's one method for every question that needs no account.
ENDPOINT = "publicPostInfo"

# "Only the most recent 5000 candles are available": a page may hold them all, and older ones are gone.
CANDLES_LIMIT = 5_000
CANDLES_MEMORY = timedelta(hours=5_000)
# "Responses that take a time range will only return 500 elements"; the question has no field to ask for fewer.
FUNDING_LIMIT = 500

_CONTEXTS_PATH = "/info#metaAndAssetCtxs"


@dataclass(frozen=True)
class _Side:
    """One side of a book, and the coin that the answer names."""

    coin: Any
    levels: Any


def _candles_asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
    asked = {"coin": contract.symbol, "interval": "1h", "startTime": since, "endTime": until - 1}
    return {"type": "candleSnapshot", "req": asked}


def _funding_asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
    return {"type": "fundingHistory", "coin": contract.symbol, "startTime": since, "endTime": until - 1}


_CANDLES = Request(
    ENDPOINT,
    "/info#candleSnapshot",
    _candles_asked,
    lambda value, contract: must_be_about(records_of(value), "s", contract.symbol),
    lambda v: ms_of(of(v, "t")),
)
_FUNDING = Request(
    ENDPOINT,
    "/info#fundingHistory",
    _funding_asked,
    lambda value, contract: must_be_about(records_of(value), "coin", contract.symbol),
    lambda v: ms_of(of(v, "time")),
)


class Hyperliquid(VenueClient):
    """Client of Hyperliquid: linear perpetuals of the venue's own exchange, quoted and settled in USDC.

    The venue tells no listing time. Its price step follows the price (five significant figures): the one that lands is that
    of the mark price in the catalogue.
    """

    venue = "hyperliquid"
    ccxt_id = "hyperliquid"
    # Spot pairs and the perpetuals of other deployers would cost ccxt a dozen requests more, and none is ours.
    ccxt_options = {"options": {"fetchMarkets": {"types": ["swap"]}}}  # noqa: RUF012 - a constant of the class
    origin = "https://api.hyperliquid.xyz"
    catalogue_path = _CONTEXTS_PATH
    method = "POST"
    limits = {"candles": CANDLES_LIMIT, "funding_rates": FUNDING_LIMIT}  # noqa: RUF012 - a constant of the class
    memory = {"candles": CANDLES_MEMORY}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for the exchange's status (`exchangeStatus`, of the least weight)."""
        self._ask(ENDPOINT, "/info#exchangeStatus", {"type": "exchangeStatus"})

    def first_offered_day(self, dataset: str) -> date | None:
        """Return the first UTC day that the venue still shows whole; of open interest and books there is only now."""
        return super().first_offered_day("depth_bands" if dataset == "open_interest" else dataset)

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue would answer with an empty list.
        """
        return self._candles(_CANDLES, (day, last), lambda v: [of(v, name) for name in "ohlcv"])

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps; one each hour."""
        return self._funding_rates(_FUNDING, (day, last), lambda v: of(v, "fundingRate"), longest_hours=1)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return open interest as it is now, one row per contract; `day` to `last` must include today, or be to come.

        The venue keeps no history of it, and its answer has no clock: the instant is our clock's when the answer was there.
        It tells base units and no value in USD, which stays missing here; each contract is counted once.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before today, also where today ended while the venue was asked.
        """
        start, end = self._bounds(day, last)
        self._must_offer_open_interest(day)
        contracts, _ = self._contracts()
        if start >= end:
            return self._capture("open_interest", [], (), f"{self.method} {_CONTEXTS_PATH}")
        answer = self._ask(ENDPOINT, _CONTEXTS_PATH, {"type": "metaAndAssetCtxs"})
        at = self._clock.now()
        self._must_offer_open_interest(last or day)
        try:
            contexts = _contexts_of(answer.value)
        except WrongShape as shape:
            raise SourceOutage("venue_error", f"{self.venue} {_CONTEXTS_PATH}: the answer {shape}") from None
        rows = [
            {
                **self._identity(contract),
                "occurred_at_utc": instant(to_ms(at)),
                # None where the contract is not in the answer: the raw table refuses the row with a reason.
                "open_interest_base": figure(of(contexts.get(contract.symbol), "openInterest")),
                "open_interest_usd": None,
                "open_interest_basis": "one_sided",
                "payload_sha256": answer.payload_sha256,
            }
            for contract in contracts
        ]
        return self._capture("open_interest", rows, answer.payloads, f"{self.method} {_CONTEXTS_PATH}")

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each.

        The venue shows 20 levels per side at full precision. Of a dense book that is a few basis points, and every band that
        is wider is missing.
        """
        return self._depth_bands(ENDPOINT, "/info#l2Book", lambda c: {"type": "l2Book", "coin": c.symbol}, _book_of)

    def _levels(self, contract: Contract, entries: Any) -> list[tuple[float, float]]:
        """Return a side's levels as numbers; the venue writes each as an object, and names the coin beside them."""
        if entries.coin not in (None, contract.symbol):
            where = f"{self.venue} /info#l2Book {contract.symbol}"
            raise SourceOutage("venue_error", f"{where}: the answer is a book of another symbol")
        levels = entries.levels if isinstance(entries.levels, list) else []
        return super()._levels(contract, [[of(level, "px"), of(level, "sz")] for level in levels])

    def _must_offer_open_interest(self, day: date) -> None:
        first = self.first_offered_day("open_interest")
        if first is not None and day < first:
            raise SourceOutage(
                "not_offered", f"{self.venue} shows open_interest as of now only: {day} is before {first}"
            )

    def _symbol(self, market: Mapping[str, Any]) -> str:
        """Return the coin's name: ccxt's id is the place in the catalogue, which no question for market data takes."""
        return str(market["info"]["name"])

    def _price_tick(self, contract: Contract) -> float | None:
        """Return the step of the mark price; without one ccxt would take that of a price of 0."""
        return super()._price_tick(contract) if figure(of(contract.market["info"], "markPx")) else None

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDC, that trades now."""
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        return bool(is_perpetual and market.get("quote") == "USDC" and market.get("settle") == "USDC")


def _contexts_of(value: Any) -> dict[str, Any]:
    """Return each coin's context; the answer is two lists, and a place in one is the same place in the other.

    Raises
    ------
    WrongShape
        Where there are no such lists, or they differ in length: then no context could be told to be a coin's.
    """
    meta, contexts = value if isinstance(value, list) and len(value) == 2 else (None, None)
    names = [of(coin, "name") for coin in records_of(meta, "universe")]
    contexts = records_of(contexts)
    if len(names) != len(contexts):
        raise WrongShape(f"holds {len(names)} coins and {len(contexts)} contexts")
    return {name: context for name, context in zip(names, contexts, strict=True) if isinstance(name, str)}


def _book_of(value: Any) -> WireBook:
    sides = of(value, "levels")
    bids, asks = sides if isinstance(sides, list) and len(sides) == 2 else (None, None)
    coin = of(value, "coin")
    return WireBook(_Side(coin, bids), _Side(coin, asks), of(value, "time"))
