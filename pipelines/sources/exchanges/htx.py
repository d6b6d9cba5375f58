"""HTX: which of the venue's requests answers which dataset, its page limits and memory, its wire values.

Belongs here: what is HTX's alone. Does not: what all venues share (``venue.py``).

HTX counts books and liquidations in contracts, and what is traded or held on both sides: its pages say "sum of both buy and
sell sides" of volumes and of open interest. Volumes are halved here, as a trade is one; open interest is marked as two-sided.

References
----------
https://www.htx.com/en-us/opend/newApiPages (USDT-margined contracts)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.liquidations import STREAMS, ContractTerms, WireLiquidation, read, row_of
from pipelines.sources.exchanges.venue import HOUR_MS, VenueClient
from pipelines.sources.journal import Walk
from pipelines.sources.records import (
    Contract,
    Request,
    WireBook,
    WrongShape,
    must_be_about,
    must_be_in_order,
    records_of,
)
from pipelines.sources.transport import Transport
from pipelines.sources.wire_values import figure, instant, ms_of, ms_of_seconds, of, to_ms

# "[1, 2000]": one less, because a window's edge is a candle too.
CANDLES_LIMIT = 1_999
# "The api can mostly return the klines of last two years."
CANDLES_MEMORY = timedelta(days=730)
# "Data range [1,200]", the latest; the one that runs may not be among them.
OPEN_INTEREST_LIMIT = 200
OPEN_INTEREST_MEMORY = timedelta(hours=OPEN_INTEREST_LIMIT - 1)
# Of settlements and of liquidations; what is larger is refused.
LIST_LIMIT = 100
# "Query window shift should be within past 90 days", and "maximum query window size is 2 hours".
LIQUIDATIONS_MEMORY = timedelta(days=90)
LIQUIDATIONS_WIDEST_MS = 2 * HOUR_MS

# Which end of its window a page of settlements shows is documented of none of these paths: the window holds no more hourly
# settlements than a page, its edges included.
LONGEST_FUNDING_HOURS = 8
FUNDING_WINDOW_LIMIT = LIST_LIMIT // LONGEST_FUNDING_HOURS - 1

# "The number of access exceeded the limit", "system busy": told with HTTP 200, and ccxt does not know them.
TOO_OFTEN_CODE = "1032"
BUSY_CODE = "1004"


def _candles_asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
    """Return the query of candles: whole seconds, both inclusive; a size beside them would be taken instead of them."""
    until = min(until, since + CANDLES_LIMIT * HOUR_MS)
    return {"contract_code": contract.symbol, "period": "60min", "from": -(-since // 1000), "to": (until - 1) // 1000}


def _liquidations_asked(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of a list of the fifth version: milliseconds, both inclusive."""
    return {"contract_code": contract.symbol, "start_time": since, "end_time": until - 1, "limit": limit}


def _funding_asked(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of settlements; `limit` counts the longest intervals."""
    return _liquidations_asked(contract, since, until, min(LIST_LIMIT, (limit + 1) * LONGEST_FUNDING_HOURS))


def _candles(value: Any, contract: Contract) -> list[Any]:
    """Return the candles; the channel's name says whose they are."""
    channel = of(value, "ch")
    if isinstance(channel, str) and not channel.startswith(f"market.{contract.symbol}.kline."):
        raise WrongShape("is about another symbol")
    return records_of(value, "data")


def _settlements(value: Any, contract: Contract) -> list[Any]:
    return must_be_about(records_of(value, "data"), "contract_code", contract.symbol)


def _held(value: Any, contract: Contract) -> list[Any]:
    if of(of(value, "data"), "contract_code") not in (None, contract.symbol):
        raise WrongShape("is about another symbol")
    return must_be_in_order(records_of(value, "data", "tick"), lambda v: ms_of(of(v, "ts")))


def _liquidated(value: Any, contract: Contract) -> list[WireLiquidation]:
    must_be_about(records_of(value, "data"), "contract_code", contract.symbol)
    return list(STREAMS["htx_list"].records(value))


def _one_side(value: Any) -> float | None:
    """Return what is counted on both sides as counted once."""
    both = figure(value)
    return None if both is None else both / 2


_CANDLES = Request(
    "contractPublicGetLinearSwapExMarketHistoryKline",
    "/linear-swap-ex/market/history/kline",
    _candles_asked,
    _candles,
    lambda v: ms_of_seconds(of(v, "id")),
)
_FUNDING = Request(
    "contractPublicGetV5MarketFundingRateHistory",
    "/v5/market/funding_rate_history",
    _funding_asked,
    _settlements,
    lambda v: ms_of(of(v, "funding_time")),
)
_LIQUIDATIONS = Request(
    "contractPublicGetV5MarketLiquidationOrders",
    "/v5/market/liquidation_orders",
    _liquidations_asked,
    _liquidated,
    lambda v: v.ms,
)


class Htx(VenueClient):
    """Client of HTX: linear perpetuals in USDT."""

    venue = "htx"
    ccxt_id = "htx"
    # Without it ccxt asks for spot, inverse contracts and every currency as well.
    ccxt_options = {  # noqa: RUF012 - a constant of the class
        "has": {"fetchCurrencies": False},
        "options": {"fetchMarkets": {"types": {"spot": False, "linear": True, "inverse": False}}},
    }
    # The host that ccxt asks.
    origin = "https://api.hbdm.vn"
    catalogue_path = "/linear-swap-api/v1/swap_contract_info"
    counts_contracts = True
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": CANDLES_LIMIT,
        "funding_rates": FUNDING_WINDOW_LIMIT,
        "open_interest": OPEN_INTEREST_LIMIT,
        "liquidations": LIST_LIMIT,
    }
    memory = {  # noqa: RUF012 - a constant of the class
        "candles": CANDLES_MEMORY,
        "open_interest": OPEN_INTEREST_MEMORY,
        "liquidations": LIQUIDATIONS_MEMORY,
    }

    def probe(self) -> None:
        """Ask for the server's time (`GET /api/v1/timestamp`)."""
        self._ask("contractPublicGetApiV1Timestamp", "/api/v1/timestamp", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`.
        """

        def entries(record: Any) -> list[Any]:
            # `amount` is in coin, of both sides.
            return [*(of(record, name) for name in ("open", "high", "low", "close")), _one_side(of(record, "amount"))]

        return self._candles(_CANDLES, (day, last), entries, is_volume_in_base=True)

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        return self._funding_rates(
            _FUNDING, (day, last), lambda v: of(v, "funding_rate"), longest_hours=LONGEST_FUNDING_HOURS
        )

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; longs plus shorts, in coin and in USDT.

        The venue takes no bounds: it shows the latest hours, and as many are asked for as reach back to the range.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`; ``venue_error`` where a page is shorter than asked for.
        """
        now_ms = to_ms(self._clock.now())

        def asked(contract: Contract, since: int, _: int, __: int) -> Mapping[str, Any]:
            size = max(1, min(OPEN_INTEREST_LIMIT, (now_ms - since) // HOUR_MS + 2))
            return {"contract_code": contract.symbol, "period": "60min", "amount_type": 2, "size": size}

        request = Request(
            "contractPublicGetLinearSwapApiV1SwapHisOpenInterest",
            "/linear-swap-api/v1/swap_his_open_interest",
            asked,
            _held,
            lambda v: ms_of(of(v, "ts")),
        )

        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(request.clock(record)),
                "open_interest_base": figure(of(record, "volume")),
                "open_interest_usd": figure(of(record, "value")),
                "open_interest_basis": "two_sided",
            }

        return self._series("open_interest", request, (day, last), row)

    def liquidations(self, day: date, last: date | None = None) -> Capture:
        """Return the liquidations of the UTC days `day` to `last`, per contract in windows of two hours.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`.
        """
        span = self._bounds(day, last)
        oldest_ms = self._oldest_ms("liquidations", day)
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0]:
            size = contract.size_base
            terms = {contract.symbol: ContractTerms(contract.asset, contract.kind, size)} if size else {}
            page = self._pages(_LIQUIDATIONS, contract, payloads, oldest_ms, Walk())
            where = f"{_LIQUIDATIONS.path} {contract.symbol}"
            rows += [
                {
                    **self._identity(contract),
                    **row_of(read(STREAMS["htx_list"], record.value, terms)),
                    "payload_sha256": record.payload_sha256,
                }
                for record in self._events(page, span, LIQUIDATIONS_WIDEST_MS, where)
            ]
        return self._capture("liquidations", rows, tuple(payloads), f"{self.method} {_LIQUIDATIONS.path}")

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each, 150 levels a side."""

        def book(value: Any) -> WireBook:
            tick = of(value, "tick")
            return WireBook(of(tick, "bids"), of(tick, "asks"), of(tick, "ts"))

        return self._depth_bands(
            "contractPublicGetLinearSwapExMarketDepth",
            "/linear-swap-ex/market/depth",
            lambda c: {"contract_code": c.symbol, "type": "step0"},
            book,
        )

    def tickers(self) -> Capture:
        """Return all contracts of the product as they trade now, from two answers about all of them.

        The venue tells mark price and open interest of one contract at a time only: they are missing here.
        """
        path = "/v2/linear-swap-ex/market/detail/batch_merged"
        shown, answer = self._snapshot(
            "contractPublicGetV2LinearSwapExMarketDetailBatchMerged", path, {"business_type": "swap"}, _under("ticks")
        )
        indices, beside = self._snapshot(
            "contractPublicGetLinearSwapApiV1SwapIndex", "/linear-swap-api/v1/swap_index", {}, _under("data")
        )
        tickers, index_of = _by_contract(shown), _by_contract(indices)
        rows = []
        for contract in self._listed()[0]:
            ticker = tickers.get(contract.symbol)
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(ms_of(of(ticker, "ts"))),
                    "last_quote": figure(of(ticker, "close")),
                    "best_bid_quote": _price_of(of(ticker, "bid")),
                    "best_ask_quote": _price_of(of(ticker, "ask")),
                    "index_quote": figure(of(index_of.get(contract.symbol), "index_price")),
                    "volume_24h_base": _one_side(of(ticker, "amount")),
                    "payload_sha256": answer.payload_sha256,
                }
            )
        return self._capture("tickers", rows, (*answer.payloads, *beside.payloads), f"{self.method} {path} and others")

    def _connection(self) -> tuple[Any, Transport]:
        is_new = self._client is None
        exchange, transport = super()._connection()
        if is_new:
            import ccxt  # noqa: PLC0415 - takes a second to import

            exchange.exceptions["exact"][TOO_OFTEN_CODE] = ccxt.RateLimitExceeded
            exchange.exceptions["exact"][BUSY_CODE] = ccxt.ExchangeNotAvailable
        return exchange, transport

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now."""
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        return bool(is_perpetual and is_usdt and market["info"].get("business_type") == "swap")


def _under(name: str) -> Callable[[Any], list[Any]]:
    return lambda value: records_of(value, name)


def _by_contract(records: list[Any]) -> dict[str, Any]:
    return {r["contract_code"]: r for r in records if isinstance(of(r, "contract_code"), str)}


def _price_of(level: Any) -> float | None:
    """Return the price of a level, None where the side is empty."""
    return figure(level[0]) if isinstance(level, list) and level else None
