"""Gate futures: which of the venue's requests answers which dataset, its page limits and memory, its wire values.

Belongs here: what is Gate's alone. Does not: what all venues share (``venue.py``).

Gate counts quantities in contracts, of `quanto_multiplier` base units each, and times in seconds; both bounds of a series
are inclusive. Quantities are brought to base units by the contract's size of today: no record tells the size of its own time.

References
----------
https://www.gate.com/docs/developers/apiv4/en/#futures
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.liquidations import STREAMS, ContractTerms, read, row_of
from pipelines.sources.exchanges.venue import HOUR_MS, VenueClient
from pipelines.sources.records import Contract, Record, Request, WireBook, records_of
from pipelines.sources.wire_values import figure, instant, ms_of_seconds, of, to_ms, whole

# "Maximum of 2000 points are returned in one query": one less, because a window's edge is a point too.
CANDLES_LIMIT = 1_999
# Candles may begin "10000 points ago"; the running one counts.
CANDLES_MEMORY = timedelta(hours=9_999)
# Of open interest and ratios; the pages give a default of 30 and no maximum, 100 is what ccxt relies on.
STATISTICS_LIMIT = 100
# The venue's lists allow 1,000 records; their pages give the default, 100. A smaller cut is seen by the pager.
FUNDING_LIMIT = 1_000
LIQUIDATIONS_LIMIT = 1_000
DEPTH_LIMIT = 300
INSURANCE_LIMIT = 100

# A contract's interval may change, to one hour at the least. The pager counts in the longest, eight hours: its window must
# hold no more hourly settlements than a page, its edges included.
LONGEST_FUNDING_HOURS = 8
FUNDING_WINDOW_LIMIT = FUNDING_LIMIT // LONGEST_FUNDING_HOURS - 1

SETTLE = "usdt"
# Kind of ratio -> the venue's field.
RATIOS = {"accounts": "lsr_account", "top_accounts": "top_lsr_account", "top_positions": "top_lsr_size"}

_PATH = f"/api/v4/futures/{SETTLE}"


def _bounds(since: int, until: int) -> Mapping[str, int]:
    """Return [since, until) of milliseconds as the venue's inclusive seconds."""
    return {"from": -(-since // 1000), "to": (until - 1) // 1000}


def _candles_asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
    """Return the query of candles: a limit is refused beside bounds, and so are bounds too wide for a page."""
    until = min(until, since + CANDLES_LIMIT * HOUR_MS)
    return {"settle": SETTLE, "contract": contract.symbol, "interval": "1h", **_bounds(since, until)}


def _funding_asked(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of settlements; `limit` counts the longest intervals."""
    count = min(FUNDING_LIMIT, (limit + 1) * LONGEST_FUNDING_HOURS)
    return {"settle": SETTLE, "contract": contract.symbol, **_bounds(since, until), "limit": count}


def _statistics_asked(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of statistics: they begin at `from` and know no end."""
    asked = {"contract": contract.symbol, "interval": "1h", "from": _bounds(since, until)["from"]}
    return {"settle": SETTLE, **asked, "limit": limit}


def _clock(name: str) -> Callable[[Any], int | None]:
    return lambda record: ms_of_seconds(of(record, name))


def _records(value: Any, _: Contract) -> list[Any]:
    """Return a series' records; none of them names its contract."""
    return records_of(value)


_CANDLES = Request("publicFuturesGetSettleCandlesticks", f"{_PATH}/candlesticks", _candles_asked, _records, _clock("t"))
_FUNDING = Request("publicFuturesGetSettleFundingRate", f"{_PATH}/funding_rate", _funding_asked, _records, _clock("t"))
_STATISTICS = Request(
    "publicFuturesGetSettleContractStats", f"{_PATH}/contract_stats", _statistics_asked, _records, _clock("time")
)


class GateFutures(VenueClient):
    """Client of Gate: linear perpetuals in USDT."""

    venue = "gate"
    ccxt_id = "gate"
    # Without it ccxt asks for spot, futures, options and every currency as well.
    ccxt_options = {  # noqa: RUF012 - a constant of the class
        "has": {"fetchCurrencies": False},
        "options": {
            "fetchMarkets": {"types": ["swap"]},
            "swap": {"fetchMarkets": {"settlementCurrencies": [SETTLE]}},
        },
    }
    origin = "https://api.gateio.ws"
    catalogue_path = f"{_PATH}/contracts"
    counts_contracts = True
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": CANDLES_LIMIT,
        "funding_rates": FUNDING_WINDOW_LIMIT,
        "open_interest": STATISTICS_LIMIT,
        "long_short_ratios": STATISTICS_LIMIT,
        "liquidations": LIQUIDATIONS_LIMIT,
    }
    memory = {"candles": CANDLES_MEMORY}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for the server's time (`GET /api/v4/spot/time`)."""
        self._ask("publicSpotGetTime", "/api/v4/spot/time", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue would answer an error.
        """
        return self._candles(_CANDLES, (day, last), lambda v: [of(v, name) for name in "ohlcv"])

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        return self._funding_rates(_FUNDING, (day, last), lambda v: of(v, "r"), longest_hours=LONGEST_FUNDING_HOURS)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; longs plus shorts.

        The venue's page says "total open interest size (contracts)" and not whether both sides are in it; the house counts
        it as two-sided. Its value is at the mark price of the same instant.
        """

        def row(contract: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(_STATISTICS.clock(record)),
                "open_interest_base": self._in_base(contract, figure(of(record, "open_interest"))),
                "open_interest_usd": figure(of(record, "open_interest_usd")),
                "open_interest_basis": "two_sided",
            }

        return self._series("open_interest", _STATISTICS, (day, last), row)

    def long_short_ratios(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly ratios of the UTC days `day` to `last`: of all accounts, of the top ones and of their positions.

        Who is a top trader is documented nowhere.
        """

        def rows(_: Contract, record: Any) -> list[Mapping[str, Any]]:
            return [
                {
                    "ratio_kind": kind,
                    "occurred_at_utc": instant(_STATISTICS.clock(record)),
                    "long_short_ratio_x": figure(of(record, name)),
                }
                for kind, name in RATIOS.items()
            ]

        return self._series("long_short_ratios", _STATISTICS, (day, last), rows)

    def liquidations(self, day: date, last: date | None = None) -> Capture:
        """Return the liquidations of the UTC days `day` to `last`, one question for all contracts.

        Hour by hour: "the time interval between from and to is maximum 3600".
        """
        path = f"{_PATH}/liq_orders"
        span = self._bounds(day, last)
        contracts = {c.symbol: c for c in self._contracts()[0]}
        terms = {s: ContractTerms(c.asset, c.kind, c.size_base) for s, c in contracts.items() if c.size_base}
        payloads: list[str] = []

        def page(since: int, until: int, limit: int) -> list[Record]:
            query = {"settle": SETTLE, **_bounds(since, until), "limit": limit}
            shown, answer = self._snapshot("publicFuturesGetSettleLiqOrders", path, query)
            payloads.extend(answer.payloads)
            return [Record(wire, answer.payload_sha256) for wire in STREAMS["gate"].records(shown)]

        rows: list[dict[str, Any]] = []
        for record in self._events(page, span, HOUR_MS, path):
            symbol = record.value.symbol
            # Contracts outside the universe are left out; what names none is kept for quarantine.
            is_named = isinstance(symbol, str)
            if not is_named or symbol in contracts:
                identity = self._identity(contracts[symbol]) if is_named else {"venue": self.venue}
                told = row_of(read(STREAMS["gate"], record.value, terms))
                rows.append({**identity, **told, "payload_sha256": record.payload_sha256})
        return self._capture("liquidations", rows, tuple(payloads), f"{self.method} {path}")

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""
        return self._depth_bands(
            "publicFuturesGetSettleOrderBook",
            f"{_PATH}/order_book",
            lambda c: {"settle": SETTLE, "contract": c.symbol, "limit": DEPTH_LIMIT},
            lambda v: WireBook(of(v, "bids"), of(v, "asks"), ms_of_seconds(of(v, "current"))),
        )

    def _levels(self, contract: Contract, entries: Any) -> list[tuple[float, float]]:
        """Return a side's levels as numbers; the venue writes each as an object."""
        levels = entries if isinstance(entries, list) else []
        return super()._levels(contract, [[of(level, "p"), of(level, "s")] for level in levels])

    def tickers(self) -> Capture:
        """Return all contracts of the product as they trade now, from two answers about all of them.

        Neither has a clock: the instant is our clock's when both were there. Open interest is the contract list's
        `position_size`, "current total long position size", so each contract is counted once; no value in USD is told.
        """
        path = f"{_PATH}/tickers"
        shown, answer = self._snapshot("publicFuturesGetSettleTickers", path, {"settle": SETTLE})
        listed, beside = self._snapshot("publicFuturesGetSettleContracts", self.catalogue_path, {"settle": SETTLE})
        at = instant(to_ms(self._clock.now()))
        tickers, sizes = _by(shown, "contract"), _by(listed, "name")
        rows = []
        for contract in self._listed()[0]:
            ticker, size = tickers.get(contract.symbol), sizes.get(contract.symbol)
            held = self._in_base(contract, figure(of(size, "position_size")))
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": at,
                    "last_quote": figure(of(ticker, "last")),
                    "best_bid_quote": figure(of(ticker, "highest_bid")),
                    "best_ask_quote": figure(of(ticker, "lowest_ask")),
                    "mark_quote": figure(of(ticker, "mark_price")),
                    "index_quote": figure(of(ticker, "index_price")),
                    "volume_24h_base": figure(of(ticker, "volume_24h_base")),
                    "open_interest_base": held,
                    "open_interest_basis": None if held is None else "one_sided",
                    "payload_sha256": answer.payload_sha256,
                }
            )
        return self._capture("tickers", rows, (*answer.payloads, *beside.payloads), f"{self.method} {path} and others")

    def leverage_tiers(self) -> Capture:
        """Return the risk limit tiers of every contract, with the venue's own deductions; one request each, our clock."""
        path = f"{_PATH}/risk_limit_tiers"
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0]:
            query = {"settle": SETTLE, "contract": contract.symbol}
            tiers, answer = self._snapshot("publicFuturesGetSettleRiskLimitTiers", path, query)
            payloads += answer.payloads
            caps = {whole(of(tier, "tier")): figure(of(tier, "risk_limit")) for tier in tiers}
            for tier in tiers:
                rank = whole(of(tier, "tier"))
                rows.append(
                    {
                        **self._identity(contract),
                        "settle_asset": contract.market["settle"],
                        "observed_at_utc": instant(to_ms(self._clock.now())),
                        "tier_rank": rank,
                        "tiers_count": len(tiers),
                        "notional_floor_settle": 0.0 if rank == 1 else caps.get(None if rank is None else rank - 1),
                        "notional_cap_settle": figure(of(tier, "risk_limit")),
                        "maintenance_margin_rate_frac": figure(of(tier, "maintenance_rate")),
                        "maintenance_amount_settle": figure(of(tier, "deduction")),
                        "max_leverage_x": figure(of(tier, "leverage_max")),
                        "payload_sha256": answer.payload_sha256,
                    }
                )
        return self._capture("leverage_tiers", rows, tuple(payloads), f"{self.method} {path}")

    def insurance_funds(self) -> Capture:
        """Return the newest balance of the fund behind the contracts settled in USDT; in coins, no value in USD is told."""
        path = f"{_PATH}/insurance"
        query = {"settle": SETTLE, "limit": INSURANCE_LIMIT}
        balances, answer = self._snapshot("publicFuturesGetSettleInsurance", path, query)
        newest = max(balances, key=lambda b: ms_of_seconds(of(b, "t")) or 0, default=None)
        rows = [
            {
                "venue": self.venue,
                "fund_name": SETTLE,
                "settle_asset": SETTLE.upper(),
                "occurred_at_utc": instant(ms_of_seconds(of(newest, "t"))),
                "balance_settle": figure(of(newest, "b")),
                "balance_usd": None,
                "payload_sha256": answer.payload_sha256,
            }
        ]
        return self._capture("insurance_funds", rows, answer.payloads, f"{self.method} {path}")

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now.

        ccxt calls every listed contract active; whether one still trades stands in the venue's own fields.
        """
        info = market["info"]
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        is_perpetual = market.get("swap") and market.get("linear") and info.get("type") == "direct"
        trades = info.get("in_delisting") is not True and info.get("status", "trading") == "trading"
        return bool(is_usdt and is_perpetual and trades and (figure(info.get("quanto_multiplier")) or 0) > 0)


def _by(records: list[Any], name: str) -> dict[str, Any]:
    return {record[name]: record for record in records if isinstance(of(record, name), str)}
