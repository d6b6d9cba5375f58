"""KuCoin futures: which of the venue's requests answers which dataset, its page limits, its wire values.

Belongs here: what is KuCoin's alone. Does not: what all venues share (``venue.py``).

Of its perpetuals those in USDT are followed. Quantities are whole contracts, of `multiplier` base units each, but for the day's
volume of the catalogue, which is in base units. Bitcoin is XBT here.

Of open interest the present is read. The unified account's list of its past hours says neither how far back it goes nor in
which unit it counts. Liquidations, long/short ratios and the fund's balance are shown to nobody.

References
----------
https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-all-symbols
https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-klines
https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-full-orderbook
https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-all-tickers
https://www.kucoin.com/docs-new/rest/futures-trading/funding-fees/get-public-funding-history
https://www.kucoin.com/docs-new/rest/futures-trading/positions/get-isolated-margin-risk-limit
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.records import Contract, Request, WireBook, must_be_about, records_of
from pipelines.sources.wire_values import figure, instant, ms_of, of, to_ms, whole

# The page says 500, ccxt relies on 200. One less, as a window's edge is a candle too.
CANDLES_LIMIT = 199
# No page gives the most settlements of an answer, and no request takes a limit: a window holds no more than a hundred of them,
# its edges included, also where a contract settles hourly.
LONGEST_FUNDING_HOURS = 8
FUNDING_WINDOW_LIMIT = 100 // LONGEST_FUNDING_HOURS - 1

_PATH = "/api/v1"
_CATALOGUE_PATH = f"{_PATH}/contracts/active"


def _asked(contract: Contract, since: int, until: int, _: int) -> Mapping[str, Any]:
    """Return the query of a series: both bounds are inclusive."""
    return {"symbol": contract.symbol, "from": since, "to": until - 1}


# A candle does not name its contract.
_CANDLES = Request(
    "futuresPublicGetKlineQuery",
    f"{_PATH}/kline/query",
    lambda contract, *window: {**_asked(contract, *window), "granularity": 60},
    lambda value, _: records_of(value, "data"),
    lambda v: ms_of(v[0]) if isinstance(v, list) and v else None,
    width=6,
)
_FUNDING = Request(
    "futuresPublicGetContractFundingRates",
    f"{_PATH}/contract/funding-rates",
    _asked,
    lambda value, contract: must_be_about(records_of(value, "data"), "symbol", contract.symbol),
    lambda v: ms_of(of(v, "timepoint")),
)


class Kucoin(VenueClient):
    """Client of KuCoin's futures: linear perpetuals in USDT."""

    venue = "kucoin"
    ccxt_id = "kucoinfutures"
    # Without it ccxt asks for every currency of the spot market as well.
    ccxt_options = {"has": {"fetchCurrencies": False}}  # noqa: RUF012 - a constant of the class
    origin = "https://api-futures.kucoin.com"
    catalogue_path = _CATALOGUE_PATH
    counts_contracts = True
    only_now = frozenset({"open_interest"})
    limits = {"candles": CANDLES_LIMIT, "funding_rates": FUNDING_WINDOW_LIMIT}  # noqa: RUF012 - a constant of the class

    def probe(self) -> None:
        """Ask for the server's time (`GET /api/v1/timestamp`)."""
        self._ask("futuresPublicGetTimestamp", f"{_PATH}/timestamp", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly trade candles that start on the UTC days `day` to `last`, the running hour as it is now."""
        return self._candles(_CANDLES, (day, last), lambda v: v[1:6] if isinstance(v, list) else [])

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the hours that the venue names."""
        return self._funding_rates(
            _FUNDING, (day, last), lambda v: of(v, "fundingRate"), longest_hours=LONGEST_FUNDING_HOURS
        )

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return open interest as it is now, one row per contract; `day` to `last` must include today, or be to come.

        In base units, each contract counted once, at our clock; no value in USD is told.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before today, also where today ended while the venue was asked.
        """

        def rows() -> tuple[list[dict[str, Any]], tuple[str, ...]]:
            found, payload, payloads = self._shown("futuresPublicGetContractsActive", _CATALOGUE_PATH)
            at = instant(to_ms(self._clock.now()))
            shown = [
                {
                    **self._identity(contract),
                    "occurred_at_utc": at,
                    "open_interest_base": self._held(contract, found),
                    "open_interest_usd": None,
                    "open_interest_basis": "one_sided",
                    "payload_sha256": payload,
                }
                for contract in self._contracts()[0]
            ]
            return shown, payloads

        return self._open_interest_now(_CATALOGUE_PATH, (day, last), rows)

    def tickers(self) -> Capture:
        """Return all contracts as they trade now, at our clock, from two answers about all of them.

        A ticker's own clock is that of its last trade. Mark and index price, the day's volume and open interest are the
        catalogue's.
        """
        path = f"{_PATH}/allTickers"
        found, payload, payloads = self._shown("futuresPublicGetAllTickers", path)
        listed, _, beside = self._shown("futuresPublicGetContractsActive", _CATALOGUE_PATH)
        at = instant(to_ms(self._clock.now()))
        rows = []
        for contract in self._listed()[0]:
            shown, entry, held = found.get(contract.symbol), listed.get(contract.symbol), self._held(contract, listed)
            rows.append(
                {
                    **self._identity(contract),
                    "occurred_at_utc": at,
                    "last_quote": figure(of(shown, "price")),
                    "best_bid_quote": figure(of(shown, "bestBidPrice")),
                    "best_ask_quote": figure(of(shown, "bestAskPrice")),
                    "mark_quote": figure(of(entry, "markPrice")),
                    "index_quote": figure(of(entry, "indexPrice")),
                    "volume_24h_base": figure(of(entry, "volumeOf24h")),
                    "open_interest_base": held,
                    "open_interest_usd": None,
                    "open_interest_basis": None if held is None else "one_sided",
                    "payload_sha256": payload,
                }
            )
        return self._capture("tickers", rows, (*payloads, *beside), f"{self.method} {path} and others")

    def depth_bands(self) -> Capture:
        """Return the whole book of every contract as it is now, summed into bands; one request each."""

        def book(value: Any) -> WireBook:
            shown = of(value, "data")
            at, symbol = of(shown, "ts"), of(shown, "symbol")
            # The clock is in nanoseconds.
            ms = at // 1_000_000 if isinstance(at, int) and not isinstance(at, bool) else None
            return WireBook(of(shown, "bids"), of(shown, "asks"), ms, symbol)

        return self._depth_bands(
            "futuresPublicGetLevel2Snapshot", f"{_PATH}/level2/snapshot", lambda c: {"symbol": c.symbol}, book
        )

    def leverage_tiers(self) -> Capture:
        """Return the risk limits of isolated margin of every contract, one request each, our clock; no deduction is told."""
        path = f"{_PATH}/contracts/risk-limit"
        rows: list[dict[str, Any]] = []
        payloads: list[str] = []
        for contract in self._contracts()[0]:
            tiers, answer = self._snapshot(
                "futuresPublicGetContractsRiskLimitSymbol",
                path,
                {"symbol": contract.symbol},
                lambda value, symbol=contract.symbol: must_be_about(records_of(value, "data"), "symbol", symbol),  # type: ignore[misc]  # mypy knows no type of a default
            )
            payloads += answer.payloads
            for tier in tiers:
                rows.append(
                    {
                        **self._identity(contract),
                        "settle_asset": contract.market["settle"],
                        "observed_at_utc": instant(to_ms(self._clock.now())),
                        "tier_rank": whole(of(tier, "level")),
                        "tiers_count": len(tiers),
                        "notional_floor_settle": figure(of(tier, "minRiskLimit")),
                        "notional_cap_settle": figure(of(tier, "maxRiskLimit")),
                        "maintenance_margin_rate_frac": figure(of(tier, "maintainMargin")),
                        "maintenance_amount_settle": None,
                        "max_leverage_x": figure(of(tier, "maxLeverage")),
                        "payload_sha256": answer.payload_sha256,
                    }
                )
        return self._capture("leverage_tiers", rows, tuple(payloads), f"{self.method} {path}")

    def _shown(self, endpoint: str, path: str) -> tuple[dict[str, Any], str, tuple[str, ...]]:
        """Ask for records about all contracts; return them by symbol, the hash of their payload, and all payloads."""
        shown, answer = self._snapshot(endpoint, path, {}, lambda value: records_of(value, "data"))
        found = {r["symbol"]: r for r in shown if isinstance(of(r, "symbol"), str)}
        return found, answer.payload_sha256, answer.payloads

    def _held(self, contract: Contract, listed: Mapping[str, Any]) -> float | None:
        """Return a contract's open interest of the catalogue in base units."""
        return self._in_base(contract, figure(of(listed.get(contract.symbol), "openInterest")))

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a linear perpetual, quoted and settled in USDT, that trades now.

        ccxt reads a multiplier in the digits of any script; one that is no positive number here makes no contract.
        """
        is_perpetual = market.get("swap") and market.get("linear") and market.get("active")
        is_usdt = market.get("quote") == "USDT" and market.get("settle") == "USDT"
        size = figure(market["info"].get("multiplier"))
        has_size = size is not None and size > 0 and size == figure(market.get("contractSize"))
        return bool(is_perpetual and is_usdt and has_size and market["info"].get("type") == "FFWCSX")
