"""Bybit: which of the venue's requests answers which dataset, its page limits, its wire values.

Belongs here: what is Bybit's alone. Does not: what all venues share (``venue.py``).

Every answer is an envelope with the code of success or failure inside; ccxt reads the code. Series come newest first, and a
page that is too short is filled from its newest record: no window here holds more records than a page.

Linear and inverse contracts are asked for alike, by their category. What a linear one counts in coins an inverse one counts in
dollars, and the reverse: its volume, open interest and book are dollars, its turnover and the value of its open interest coins.

References
----------
https://bybit-exchange.github.io/docs/v5/market/instrument
https://bybit-exchange.github.io/docs/v5/market/kline
https://bybit-exchange.github.io/docs/v5/market/mark-kline
https://bybit-exchange.github.io/docs/v5/market/index-kline
https://bybit-exchange.github.io/docs/v5/market/history-fund-rate
https://bybit-exchange.github.io/docs/v5/market/open-interest
https://bybit-exchange.github.io/docs/v5/market/long-short-ratio
https://bybit-exchange.github.io/docs/v5/market/orderbook
https://bybit-exchange.github.io/docs/v5/market/tickers
https://bybit-exchange.github.io/docs/v5/market/risk-limit
https://bybit-exchange.github.io/docs/v5/market/insurance
https://bybit-exchange.github.io/docs/v5/rate-limit
https://bybit-exchange.github.io/docs/v5/error
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from assets.ports import Capture, SourceOutage
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.records import Contract, Request, WireBook, WrongShape, must_be_about, records_of
from pipelines.sources.transport import Answer, Transport
from pipelines.sources.wire_values import figure, instant, ms_of, of, per, text

KLINES_LIMIT = 1_000
OPEN_INTEREST_LIMIT = 200
FUNDING_LIMIT = 200
RATIOS_LIMIT = 500
DEPTH_LIMIT = 1_000

# ccxt's word for each category of contracts that is ours, in the order in which its catalogue is loaded.
CATEGORIES = ("linear", "inverse")

# One contract's risk limits fill a page at most: more pages than this are a cursor that never ends.
RISK_LIMIT_PAGES = 20

# A contract's interval may change, to one hour at the least. The pager counts in the longest, eight hours, and sees no
# shorter hole; so its window must hold no more hourly settlements than a page, its edges included: 24 * 8 + 1 <= 200.
LONGEST_FUNDING_HOURS = 8
FUNDING_WINDOW_LIMIT = FUNDING_LIMIT // LONGEST_FUNDING_HOURS - 1

RISK_LIMIT_PATH = "/v5/market/risk-limit"

# "Wait for at least 10 minutes. The ban will be lifted automatically."
BAN_S = 600.0

# Server timeout and server error, told with HTTP 200: they pass, and ccxt does not say so.
PASSING_CODES = ("10000", "10016")


def _about(contract: Contract) -> Mapping[str, str]:
    return {"category": contract.kind, "symbol": contract.symbol}


def _asked(
    start: str, end: str, records_per_step: int, most: int, **fixed: Any
) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of a series: bounds are inclusive on both sides, and both are always sent.

    Parameters
    ----------
    start, end : str
        The venue's names for the bounds.
    records_per_step : int
        How many records may stand within one of the pager's steps.
    most : int
        Records per page that the venue allows.
    """

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        bounds = {start: since, end: until - 1}
        # One step more where steps hold several records: the window's edge is a record too.
        count = limit if records_per_step == 1 else (limit + 1) * records_per_step
        return {**fixed, **_about(contract), **bounds, "limit": min(most, count)}

    return query


def _records(value: Any, contract: Contract) -> list[Any]:
    if of(of(value, "result"), "symbol") not in (None, contract.symbol):
        raise WrongShape("is about another symbol")
    return must_be_about(records_of(value, "result", "list"), "symbol", contract.symbol)


def _traded(value: Any, contract: Contract) -> list[Any]:
    """Return klines whose entry 5 counts base coins; of an inverse contract those are entry 6, its turnover."""
    rows = _records(value, contract)
    if contract.kind == "linear":
        return rows
    return [[*row[:5], *row[6:4:-1]] if isinstance(row, list) else row for row in rows]


def _klines(
    name: str, path: str, records: Callable[[Any, Contract], list[Any]], width: int, interval: str = "60"
) -> Request:
    return Request(
        f"publicGetV5Market{name}",
        f"/v5/market/{path}",
        _asked("start", "end", 1, KLINES_LIMIT, interval=interval),
        records,
        lambda v: ms_of(v[0]) if isinstance(v, list) and v else None,
        width=width,
    )


_CANDLES = {
    "trade": _klines("Kline", "kline", _traded, 7),
    "mark": _klines("MarkPriceKline", "mark-price-kline", _records, 5),
    "index": _klines("IndexPriceKline", "index-price-kline", _records, 5),
}
_MINUTES = _klines("Kline", "kline", _traded, 7, interval="1")
_FUNDING = Request(
    "publicGetV5MarketFundingHistory",
    "/v5/market/funding/history",
    _asked("startTime", "endTime", LONGEST_FUNDING_HOURS, FUNDING_LIMIT),
    _records,
    lambda v: ms_of(of(v, "fundingRateTimestamp")),
)
_OPEN_INTEREST = Request(
    "publicGetV5MarketOpenInterest",
    "/v5/market/open-interest",
    _asked("startTime", "endTime", 1, OPEN_INTEREST_LIMIT, intervalTime="1h"),
    _records,
    lambda v: ms_of(of(v, "timestamp")),
)
_RATIOS = Request(
    "publicGetV5MarketAccountRatio",
    "/v5/market/account-ratio",
    _asked("startTime", "endTime", 1, RATIOS_LIMIT, period="1h"),
    _records,
    lambda v: ms_of(of(v, "timestamp")),
)


def _entries(record: Any) -> list[Any]:
    """Return a kline's prices, and of trades the coins."""
    return record[1:6] if isinstance(record, list) else []


def _book(value: Any) -> WireBook:
    result = of(value, "result")
    return WireBook(of(result, "b"), of(result, "a"), of(result, "ts"))


class Bybit(VenueClient):
    """Client of Bybit: linear perpetuals in USDT and inverse ones in their coin. The venue names no limit of its memory."""

    venue = "bybit"
    ccxt_id = "bybit"
    # Without it ccxt asks for spot and every option as well.
    ccxt_options = {"options": {"fetchMarkets": {"types": list(CATEGORIES)}}}  # noqa: RUF012 - a constant of the class
    origin = "https://api.bybit.com"
    catalogue_path = "/v5/market/instruments-info"
    # Of each category ccxt asks a second time, for contracts before their launch; ours stand in the first answer.
    catalogue_payload = 0
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": KLINES_LIMIT,
        "minute_candles": KLINES_LIMIT,
        "funding_rates": FUNDING_WINDOW_LIMIT,
        "open_interest": OPEN_INTEREST_LIMIT,
        "long_short_ratios": RATIOS_LIMIT,
    }
    least_ban_s = BAN_S

    def probe(self) -> None:
        """Ask for the server's time (`GET /v5/market/time`)."""
        self._ask("publicGetV5MarketTime", "/v5/market/time", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly candles of trades, mark and index that start on the UTC days `day` to `last`.

        The running hour is as it is now.
        """
        return self._joined(
            *(
                self._candles(request, (day, last), _entries, price_kind=kind, is_volume_in_base=True)
                for kind, request in _CANDLES.items()
            )
        )

    def minute_candles(self, day: date, last: date | None = None) -> Capture:
        """Return the candles of trades of every minute of the UTC days `day` to `last`; the running one is as it is now."""
        return self._candles(_MINUTES, (day, last), _entries, is_volume_in_base=True, dataset="minute_candles")

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps."""
        # The catalogue tells an interval, but only today's: the past may have been denser.
        return self._funding_rates(
            _FUNDING, (day, last), lambda v: of(v, "fundingRate"), longest_hours=LONGEST_FUNDING_HOURS
        )

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; longs plus shorts.

        Of linear contracts it is told in base coins, of inverse ones in USD; the other figure is missing.
        """

        # The venue's page: "the sum of both sides". Its one-sided field is newer; whether every past hour has it is not known.
        def row(contract: Contract, record: Any) -> dict[str, Any]:
            told = figure(of(record, "openInterest"))
            return {
                "occurred_at_utc": instant(ms_of(of(record, "timestamp"))),
                "open_interest_base": told if contract.kind == "linear" else None,
                "open_interest_usd": told if contract.kind == "inverse" else None,
                "open_interest_basis": "two_sided",
            }

        return self._series("open_interest", _OPEN_INTEREST, (day, last), row)

    def long_short_ratios(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly ratio of all accounts with a position, of the UTC days `day` to `last`; others are not told.

        The venue tells the two shares, in four decimals: the ratio is their quotient.
        """

        def row(_: Contract, record: Any) -> dict[str, Any]:
            longs, shorts = figure(of(record, "buyRatio")), figure(of(record, "sellRatio"))
            return {
                "ratio_kind": "accounts",
                "occurred_at_utc": instant(ms_of(of(record, "timestamp"))),
                "long_short_ratio_x": per(longs, shorts),
            }

        return self._series("long_short_ratios", _RATIOS, (day, last), row)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""
        return self._depth_bands(
            "publicGetV5MarketOrderbook",
            "/v5/market/orderbook",
            lambda c: {**_about(c), "limit": DEPTH_LIMIT},
            _book,
        )

    def tickers(self) -> Capture:
        """Return all contracts of ours as they trade now, one request per category; open interest is longs plus shorts."""
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for category in CATEGORIES:
            shown, answer = self._snapshot(
                "publicGetV5MarketTickers",
                "/v5/market/tickers",
                {"category": category},
                lambda v: records_of(v, "result", "list"),
            )
            payloads += answer.payloads
            by_symbol = {v["symbol"]: v for v in shown if isinstance(of(v, "symbol"), str)}
            rows += [
                {
                    **self._identity(contract),
                    "occurred_at_utc": instant(ms_of(of(answer.value, "time"))),
                    **_ticker(contract, by_symbol.get(contract.symbol)),
                    "payload_sha256": answer.payload_sha256,
                }
                for contract in self._listed()[0]
                if contract.kind == category
            ]
        return self._capture("tickers", rows, tuple(payloads), f"{self.method} /v5/market/tickers")

    def leverage_tiers(self) -> Capture:
        """Return the risk limits of every contract of the universe as they are now, one request each.

        Limits are in USDT of linear contracts and in coins of inverse ones.
        """
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0]:
            tiers, answers = self._risk_limits(contract)
            payloads += [sha for answer in answers for sha in answer.payloads]
            rows += [
                {
                    **self._identity(contract),
                    "settle_asset": contract.market["settle"],
                    "observed_at_utc": instant(ms_of(of(answers[-1].value, "time"))),
                    **tier,
                    "payload_sha256": answers[-1].payload_sha256,
                }
                for tier in _ladder(tiers)
            ]
        return self._capture("leverage_tiers", rows, tuple(payloads), f"{self.method} {RISK_LIMIT_PATH}")

    def _risk_limits(self, contract: Contract) -> tuple[list[Any], list[Answer]]:
        """Return a contract's risk limits and the pages that show them."""
        tiers: list[Any] = []
        answers: list[Answer] = []
        query = dict(_about(contract))
        while len(answers) < RISK_LIMIT_PAGES:
            page, answer = self._snapshot(
                "publicGetV5MarketRiskLimit", RISK_LIMIT_PATH, query, lambda v: _records(v, contract)
            )
            tiers += page
            answers.append(answer)
            cursor = text(of(of(answer.value, "result"), "nextPageCursor"))
            if cursor is None:
                return tiers, answers
            query["cursor"] = cursor
        raise SourceOutage("venue_error", f"{self.venue} {RISK_LIMIT_PATH} {contract.symbol}: its pages come to no end")

    def insurance_funds(self) -> Capture:
        """Return the balances of the insurance pools, one row each; a pool is named by the symbols that share it.

        Pools of one contract are updated every minute, shared ones every 24 hours: the time is the venue's for all of them.
        """
        pools, answer = self._snapshot(
            "publicGetV5MarketInsurance",
            "/v5/market/insurance",
            {},
            lambda v: records_of(v, "result", "list"),
        )
        result = of(answer.value, "result")
        rows = [
            {
                "venue": self.venue,
                # Answers before pools were split name a coin and no symbols.
                "fund_name": text(of(pool, "symbols")) or text(of(pool, "coin")),
                "settle_asset": text(of(pool, "coin")),
                "occurred_at_utc": instant(ms_of(of(result, "updatedTime"))),
                "balance_settle": figure(of(pool, "balance")),
                "balance_usd": figure(of(pool, "value")),
                "payload_sha256": answer.payload_sha256,
            }
            for pool in pools
        ]
        return self._capture("insurance_funds", rows, answer.payloads, f"{self.method} /v5/market/insurance")

    def adl_states(self) -> Capture:
        """Return what decides over auto-deleveraging of each contract: its pool, its loss, and the bounds of both.

        The venue renews the figures every minute, but a shared pool's balance at 00:00 UTC only; it tells one time for all.
        """
        path = "/v5/market/adlAlert"
        alerts, answer = self._snapshot(
            "publicGetV5MarketAdlAlert", path, {}, lambda v: records_of(v, "result", "list")
        )
        result = of(answer.value, "result")
        # The page's table and its example name the time in two ways.
        at = instant(ms_of(of(result, "updatedTime") or of(result, "updateTime")))
        return self._adl_states(
            alerts,
            answer,
            path,
            lambda v: {
                "occurred_at_utc": at,
                "fund_balance_settle": figure(of(v, "balance")),
                "fund_least_settle": figure(of(v, "adlTriggerThreshold")),
                "pnl_ratio_frac": figure(of(v, "pnlRatio")),
                "adl_start_ratio_frac": figure(of(v, "insurancePnlRatio")),
                "adl_stop_ratio_frac": figure(of(v, "adlStopRatio")),
            },
        )

    def _catalogue_payload(self, contract: Contract) -> int:
        """Return which body lists a contract: the first is of linear ones, and the last but one of inverse ones."""
        return 0 if contract.kind == "linear" else -2

    def _connection(self) -> tuple[Any, Transport]:
        is_new = self._client is None
        exchange, transport = super()._connection()
        if is_new:
            import ccxt  # noqa: PLC0415 - takes a second to import

            exchange.exceptions["exact"].update(dict.fromkeys(PASSING_CODES, ccxt.ExchangeNotAvailable))
        return exchange, transport

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a perpetual of ours that trades now.

        Linear ones are quoted and settled in USDT, inverse ones quoted in USD and settled in their coin.
        """
        quote, settle, kind = market.get("quote"), market.get("settle"), market["info"].get("contractType")
        is_linear = market.get("linear") and quote == settle == "USDT" and kind == "LinearPerpetual"
        is_inverse = (
            market.get("inverse") and quote == "USD" and settle == market.get("base") and kind == "InversePerpetual"
        )
        return bool(market.get("swap") and market.get("active") and (is_linear or is_inverse))


def _ticker(contract: Contract, shown: Any) -> dict[str, Any]:
    """Return a ticker's figures; nothing is known of a contract that the answer leaves out."""
    held, worth = figure(of(shown, "openInterest")), figure(of(shown, "openInterestValue"))
    is_linear = contract.kind == "linear"
    base, usd = (held, worth) if is_linear else (worth, held)
    return {
        "last_quote": figure(of(shown, "lastPrice")),
        "best_bid_quote": figure(of(shown, "bid1Price")),
        "best_ask_quote": figure(of(shown, "ask1Price")),
        "mark_quote": figure(of(shown, "markPrice")),
        "index_quote": figure(of(shown, "indexPrice")),
        "volume_24h_base": figure(of(shown, "volume24h" if is_linear else "turnover24h")),
        "open_interest_base": base,
        "open_interest_usd": usd,
        "open_interest_basis": None if base is None and usd is None else "two_sided",
    }


def _ladder(tiers: list[Any]) -> list[dict[str, Any]]:
    """Return a contract's risk limits as tiers, smallest positions first; a tier begins where the one before it ends."""
    caps = [figure(of(tier, "riskLimitValue")) for tier in tiers]
    # One that cannot be read stays, last: it is refused, and the ladder with it.
    order = sorted(range(len(tiers)), key=lambda i: (caps[i] is None, caps[i] or 0.0))
    amounts = [figure(of(tiers[i], "mmDeduction")) for i in order]
    if any(amount is not None for amount in amounts[1:]) and amounts[0] is None:
        # Nothing is deducted in the first tier, and the venue may write that as nothing at all.
        amounts[0] = 0.0
    return [
        {
            "tier_rank": rank,
            "tiers_count": len(tiers),
            "notional_floor_settle": caps[order[rank - 2]] if rank > 1 else 0.0,
            "notional_cap_settle": caps[i],
            "maintenance_margin_rate_frac": _maintenance_rate(tiers[i]),
            "maintenance_amount_settle": amounts[rank - 1],
            "max_leverage_x": figure(of(tiers[i], "maxLeverage")),
        }
        for rank, i in enumerate(order, start=1)
    ]


def _maintenance_rate(tier: Any) -> float | None:
    """Return a tier's maintenance rate as a fraction.

    The venue answers with fractions and its page shows percents. The tier itself says which: initial margin x largest leverage
    is 1 in fractions and 100 in percents. Where it says neither, the rate is missing.
    """
    rate, margin, leverage = (figure(of(tier, name)) for name in ("maintenanceMargin", "initialMargin", "maxLeverage"))
    if rate is None or margin is None or leverage is None:
        return None
    whole = margin * leverage
    return rate if 0.5 < whole < 2 else rate / 100 if 50 < whole < 200 else None
