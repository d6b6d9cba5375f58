"""Hyperliquid perpetuals: which of the venue's questions answers which dataset, its page limits and memory, its wire values.

Belongs here: what is Hyperliquid's alone. Does not: what all venues share (``venue.py``).

Every question is a POST to one path, and its body says what is asked. Paths are written ``/info#candleSnapshot`` here: the
fragment is never sent, but messages and notes then say which question they are about.

References
----------
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
https://hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers
https://hyperliquid.gitbook.io/hyperliquid-docs/trading/liquidations
https://hyperliquid.gitbook.io/hyperliquid-docs/hypercore/vaults/protocol-vaults
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from assets.ports import Capture, SourceOutage
from pipelines.sources.exchanges.liquidations import STREAMS, ContractTerms, read, row_of
from pipelines.sources.exchanges.venue import HOUR_MS, VenueClient
from pipelines.sources.paging import PagingFault, Range, fetch_events
from pipelines.sources.records import Contract, Record, Request, WireBook, WrongShape, must_be_about, records_of
from pipelines.sources.transport import Answer
from pipelines.sources.wire_values import figure, instant, ms_of, of, per, text, to_ms

T = TypeVar("T")

# ccxt's one method for every question that needs no account.
ENDPOINT = "publicPostInfo"

# "Only the most recent 5000 candles are available": a page may hold them all, and older ones are gone.
CANDLES_LIMIT = 5_000
CANDLES_MEMORY = timedelta(hours=5_000)
MINUTES_MEMORY = timedelta(minutes=5_000)
# "Responses that take a time range will only return 500 elements"; the question has no field to ask for fewer.
FUNDING_LIMIT = 500

# "At most 2000 fills per response and only the 10000 most recent fills are available", of one address.
FILLS_LIMIT = 2_000
FILLS_KEPT_COUNT = 10_000

# The vault of the exchange that provides liquidity and takes over liquidations, and the one of its child vaults that bears the
# name "HLP Liquidator". Both stand in the documentation's example of a vault's details; the names are the vaults' own.
HLP_VAULT = "0xdfc24b077bc1425ad1dea75bcb6f8158e10df303"
LIQUIDATOR_VAULT = "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14"
ADDRESS = re.compile(r"0x[0-9a-f]{40}")

# Below this number a margin table is not listed: it has one tier, of as much leverage as its number says.
LISTED_TABLES_FROM = 50
# What the raw table holds where there is no cap, as Binance writes it.
NO_CAP_USD = 2.0**63 - 1

_CONTEXTS_PATH = "/info#metaAndAssetCtxs"
_FILLS_PATH = "/info#userFillsByTime"
_VAULT_PATH = "/info#vaultDetails"
_STATE_PATH = "/info#clearinghouseState"


@dataclass(frozen=True)
class _Side:
    """One side of a book, and the coin that the answer names."""

    coin: Any
    levels: Any


def _candles_request(interval: str) -> Request:
    def asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
        bounds = {"startTime": since, "endTime": until - 1}
        return {"type": "candleSnapshot", "req": {"coin": contract.symbol, "interval": interval, **bounds}}

    return Request(
        ENDPOINT,
        "/info#candleSnapshot",
        asked,
        lambda value, contract: must_be_about(records_of(value), "s", contract.symbol),
        lambda v: ms_of(of(v, "t")),
    )


def _funding_asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
    return {"type": "fundingHistory", "coin": contract.symbol, "startTime": since, "endTime": until - 1}


_CANDLES, _MINUTES = _candles_request("1h"), _candles_request("1m")
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
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": CANDLES_LIMIT,
        "minute_candles": CANDLES_LIMIT,
        "funding_rates": FUNDING_LIMIT,
        "liquidations": FILLS_LIMIT,
    }
    memory = {"candles": CANDLES_MEMORY, "minute_candles": MINUTES_MEMORY}  # noqa: RUF012 - a constant of the class
    only_now = frozenset({"open_interest"})
    _kept_count: ClassVar[int] = FILLS_KEPT_COUNT

    def __init__(self, *args: Any, addresses: Sequence[str] = (LIQUIDATOR_VAULT,), **more: Any) -> None:
        """Follow some addresses beside the market.

        Parameters
        ----------
        addresses : sequence of str
            Whose fills are searched for liquidations, and whose positions are read: ``0x`` and 40 hexadecimal digits.
        *args, **more
            Of `VenueClient`.

        Raises
        ------
        ValueError
            Where one is no address.
        """
        super().__init__(*args, **more)
        self._addresses = tuple(dict.fromkeys(address.lower() for address in addresses))
        for address in self._addresses:
            if ADDRESS.fullmatch(address) is None:
                raise ValueError(f"{address!r} is no address of Hyperliquid: 0x and 40 hexadecimal digits")

    def probe(self) -> None:
        """Ask for the exchange's status (`exchangeStatus`, of the least weight)."""
        self._ask(ENDPOINT, "/info#exchangeStatus", {"type": "exchangeStatus"})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue would answer with an empty list.
        """
        return self._candles(_CANDLES, (day, last), lambda v: [of(v, name) for name in "ohlcv"])

    def minute_candles(self, day: date, last: date | None = None) -> Capture:
        """Return the trade candles of every minute of the UTC days `day` to `last`; the running one is as it is now.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: 5,000 minutes are three and a half days.
        """
        return self._candles(
            _MINUTES, (day, last), lambda v: [of(v, name) for name in "ohlcv"], dataset="minute_candles"
        )

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
        return self._open_interest_now(_CONTEXTS_PATH, (day, last), self._open_interest_rows)

    def _open_interest_rows(self) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        contexts, answer, at = self._contexts()
        rows = [
            {
                **self._identity(contract),
                "occurred_at_utc": at,
                # None where the contract is not in the answer: the raw table refuses the row with a reason.
                "open_interest_base": figure(of(contexts.get(contract.symbol), "openInterest")),
                "open_interest_usd": None,
                "open_interest_basis": "one_sided",
                "payload_sha256": answer.payload_sha256,
            }
            for contract in self._contracts()[0]
        ]
        return rows, answer.payloads

    def tickers(self) -> Capture:
        """Return all contracts of ours as they are now; mark, oracle as index, volume and open interest.

        The venue tells no last trade and no best quotes here, and its answer has no clock: the instant is our clock's.
        """
        contexts, answer, at = self._contexts()
        rows = [
            {
                **self._identity(contract),
                "occurred_at_utc": at,
                "mark_quote": figure(of(contexts.get(contract.symbol), "markPx")),
                "index_quote": figure(of(contexts.get(contract.symbol), "oraclePx")),
                "volume_24h_base": figure(of(contexts.get(contract.symbol), "dayBaseVlm")),
                "open_interest_base": figure(of(contexts.get(contract.symbol), "openInterest")),
                "open_interest_basis": "one_sided",
                "payload_sha256": answer.payload_sha256,
            }
            for contract in self._listed()[0]
        ]
        return self._capture("tickers", rows, answer.payloads, f"{self.method} {_CONTEXTS_PATH}")

    def leverage_tiers(self) -> Capture:
        """Return the margin tables of every contract of the universe as they are now, from one answer.

        A tier tells its least notional in USDC and its highest leverage. As the venue documents, maintenance margin is half of
        the initial margin at that leverage, and the amount to take off makes it continuous from tier to tier. The last tier
        has no cap (2^63 - 1). The answer has no clock: the instant is our clock's.
        """
        answer = self._ask(ENDPOINT, "/info#meta", {"type": "meta"})
        at = instant(to_ms(self._clock.now()))
        coins = self._of_shape("/info#meta", lambda: records_of(answer.value, "universe"))
        listed = self._of_shape("/info#meta", lambda: records_of(answer.value, "marginTables"))
        named = {of(coin, "name"): coin for coin in coins if isinstance(of(coin, "name"), str)}
        rows = [
            {
                **self._identity(contract),
                "settle_asset": contract.market["settle"],
                "observed_at_utc": at,
                **tier,
                "payload_sha256": answer.payload_sha256,
            }
            for contract in self._contracts()[0]
            for tier in _ladder(_table_of(named.get(contract.symbol), listed))
        ]
        return self._capture("leverage_tiers", rows, answer.payloads, f"{self.method} /info#meta")

    def insurance_funds(self) -> Capture:
        """Return the account value of the exchange's own vault (HLP) in USDC, one row, at the venue's time of it.

        The exchange has no fund that only insures. This vault makes markets with its depositors' money and takes over the
        positions that the book could not close: what it holds is what stands behind them.
        """
        answer = self._ask(ENDPOINT, _VAULT_PATH, {"type": "vaultDetails", "vaultAddress": HLP_VAULT})
        if of(answer.value, "vaultAddress") != HLP_VAULT:
            raise SourceOutage(
                "venue_error", f"{self.venue} {_VAULT_PATH}: the answer is not about the vault {HLP_VAULT}"
            )
        ms, value = _latest_value(answer.value)
        row = {
            "venue": self.venue,
            "fund_name": "HLP vault",
            "settle_asset": "USDC",
            "occurred_at_utc": instant(ms_of(ms)),
            "balance_settle": figure(value),
            "balance_usd": None,
            "payload_sha256": answer.payload_sha256,
        }
        return self._capture("insurance_funds", [row], answer.payloads, f"{self.method} {_VAULT_PATH}")

    def liquidations(self, day: date, last: date | None = None) -> Capture:
        """Return the liquidations of the UTC days `day` to `last` among the fills of the addresses that are followed.

        The venue has no public list of liquidations. A fill says whether a liquidation made it, of whom and at which mark: so
        an address shows its own liquidations and those whose counterparty it was. What others took over is not seen.

        Raises
        ------
        SourceOutage
            ``not_offered`` where no address is followed, or where an address has had so many fills since `day` that the
            venue may have forgotten the first of them.
        """
        if not self._addresses:
            raise SourceOutage(
                "not_offered",
                f"{self.venue} lists liquidations by address only: name some in LOWTIDE_HYPERLIQUID_ADDRESSES",
            )
        start, end = self._bounds(day, last)
        terms = {c.symbol: ContractTerms(c.asset, c.kind, 1.0) for c in self._contracts()[0]}
        payloads: list[str] = []
        seen: dict[str, dict[str, Any]] = {}
        for address in self._addresses:
            for fill in self._fills(address, start, payloads):
                told = {"channel": "userFills", "data": {"user": address, "fills": [fill.value]}}
                for wire in STREAMS["hyperliquid"].records(told):
                    contract = terms.get(wire.symbol) if isinstance(wire.symbol, str) else None
                    is_another = contract is None and isinstance(wire.symbol, str)
                    if not is_another and (ms_of(wire.ms) or start) < end:
                        # One trade may stand among the fills of both its parties.
                        seen[repr((wire.symbol, wire.ms, of(fill.value, "tid")))] = {
                            "venue": self.venue,
                            "venue_symbol": wire.symbol if contract else None,
                            "asset": contract.asset if contract else None,
                            **row_of(read(STREAMS["hyperliquid"], wire, terms)),
                            "payload_sha256": fill.payload_sha256,
                        }
        return self._capture("liquidations", list(seen.values()), tuple(payloads), f"{self.method} {_FILLS_PATH}")

    def perp_positions(self) -> Capture:
        """Return the open positions of the addresses that are followed, as they are now; one request each.

        Positions exist live only: who held what an hour ago is told nowhere. Contracts outside the universe are left out.
        """
        contracts = {c.symbol: c for c in self._contracts()[0]}
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for address in self._addresses:
            asked = {"type": "clearinghouseState", "user": address}
            held, answer = self._snapshot(ENDPOINT, _STATE_PATH, asked, lambda v: records_of(v, "assetPositions"))
            payloads += answer.payloads
            for entry in held:
                position = of(entry, "position")
                coin = of(position, "coin")
                contract = contracts.get(coin) if isinstance(coin, str) else None
                if contract is None and isinstance(coin, str):
                    continue
                rows.append(
                    {
                        "venue": self.venue,
                        "account_address": address,
                        "venue_symbol": contract.symbol if contract else None,
                        "asset": contract.asset if contract else None,
                        "settle_asset": contract.market["settle"] if contract else None,
                        "occurred_at_utc": instant(ms_of(of(answer.value, "time"))),
                        **_position_of(position),
                        "account_value_settle": figure(of(of(answer.value, "marginSummary"), "accountValue")),
                        "payload_sha256": answer.payload_sha256,
                    }
                )
        return self._capture("perp_positions", rows, tuple(payloads), f"{self.method} {_STATE_PATH}")

    def _fills(self, address: str, start: int, payloads: list[str]) -> list[Record]:
        """Return all fills of an address from `start` until now; refuse a start that the venue may have forgotten."""

        def page(since: int, until: int, _: int) -> list[Record]:
            asked = {"type": "userFillsByTime", "user": address, "startTime": since, "endTime": until - 1}
            answer = self._ask(ENDPOINT, _FILLS_PATH, asked)
            payloads.extend(answer.payloads)
            fills = self._of_shape(_FILLS_PATH, lambda: records_of(answer.value))
            return [Record(fill, answer.payload_sha256) for fill in fills]

        now = to_ms(self._clock.now()) + 1
        try:
            wanted = Range(start, now, HOUR_MS, self._limits["liquidations"])
            fills = fetch_events(page, wanted, lambda r: ms_of(of(r.value, "time")), newest_first=False)
        except PagingFault as fault:
            raise SourceOutage("venue_error", f"{self.venue} {_FILLS_PATH} {address}: {fault}") from fault
        if len(fills) >= self._kept_count and not page(0, start, 1):
            shown = f"it shows the latest {self._kept_count:,} fills of an address, and {address} has had them since"
            raise SourceOutage("not_offered", f"{self.venue} may have forgotten liquidations: {shown}")
        return fills

    def _contexts(self) -> tuple[dict[str, Any], Answer, datetime | None]:
        """Return each coin's context, the answer that holds them and when it was there."""
        answer = self._ask(ENDPOINT, _CONTEXTS_PATH, {"type": "metaAndAssetCtxs"})
        at = instant(to_ms(self._clock.now()))
        return self._of_shape(_CONTEXTS_PATH, lambda: _contexts_of(answer.value)), answer, at

    def _of_shape(self, path: str, read: Callable[[], T]) -> T:
        """Return what `read` finds in an answer; an answer of another shape is the venue's error."""
        try:
            return read()
        except WrongShape as shape:
            raise SourceOutage("venue_error", f"{self.venue} {path}: the answer {shape}") from None

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


def _table_of(coin: Any, listed: list[Any]) -> list[Any]:
    """Return the tiers of a coin's margin table; None where it cannot be read, which makes a row that is refused."""
    number = of(coin, "marginTableId")
    for entry in listed:
        if isinstance(entry, list) and len(entry) == 2 and entry[0] == number:
            tiers = of(entry[1], "marginTiers")
            return tiers if isinstance(tiers, list) and tiers else [None]
    is_unlisted = isinstance(number, int) and not isinstance(number, bool) and 0 < number < LISTED_TABLES_FROM
    return [{"lowerBound": "0.0", "maxLeverage": number}] if is_unlisted else [None]


def _ladder(tiers: list[Any]) -> list[dict[str, Any]]:
    """Return a margin table in the raw table's columns; what cannot be read is missing, and the ladder is refused."""
    floors = [figure(of(tier, "lowerBound")) for tier in tiers]
    leverages = [figure(of(tier, "maxLeverage")) for tier in tiers]
    rates = [per(0.5, leverage) for leverage in leverages]
    rows: list[dict[str, Any]] = []
    amount: float | None = 0.0
    below: float | None = None
    for i, (floor, rate) in enumerate(zip(floors, rates, strict=True)):
        if i and (amount is None or floor is None or rate is None or below is None):
            amount = None
        elif amount is not None and floor is not None and rate is not None and below is not None:
            amount += floor * (rate - below)
        below = rate
        rows.append(
            {
                "tier_rank": i + 1,
                "tiers_count": len(tiers),
                "notional_floor_settle": floor,
                "notional_cap_settle": floors[i + 1] if i + 1 < len(tiers) else NO_CAP_USD,
                "maintenance_margin_rate_frac": rate,
                "maintenance_amount_settle": amount,
                "max_leverage_x": leverages[i],
            }
        )
    return rows


def _latest_value(vault: Any) -> tuple[Any, Any]:
    """Return the newest time and account value of a vault's day, None where they cannot be read."""
    portfolio = of(vault, "portfolio")
    for entry in portfolio if isinstance(portfolio, list) else []:
        if isinstance(entry, list) and len(entry) == 2 and entry[0] == "day":
            history = of(entry[1], "accountValueHistory")
            if isinstance(history, list) and history and isinstance(history[-1], list) and len(history[-1]) == 2:
                return history[-1][0], history[-1][1]
    return None, None


def _position_of(position: Any) -> dict[str, Any]:
    """Return a position's own columns; its size is signed on the wire, and a short is below 0."""
    size, leverage = figure(of(position, "szi")), of(position, "leverage")
    side = None if not size else ("long" if size > 0 else "short")
    return {
        "position_side": side,
        "position_base": None if size is None else abs(size),
        "entry_quote": figure(of(position, "entryPx")),
        "liquidation_quote": figure(of(position, "liquidationPx")),
        "margin_mode": text(of(leverage, "type")),
        "margin_settle": figure(of(position, "marginUsed")),
        "leverage_x": figure(of(leverage, "value")),
    }
