"""OKX: which of the venue's requests answers which dataset, its page limits and memory, its wire values.

Belongs here: what is OKX's alone. Does not: what all venues share (``venue.py``).

OKX counts quantities in contracts. Where it also tells the base units itself (candles, open interest, tickers), those are
taken: a contract's size may have been another one when the record was made. Books, tiers and liquidations tell only
contracts; a linear one is so many base units, an inverse one so many dollars at the price beside it.

References
----------
https://www.okx.com/docs-v5/en/#public-data-rest-api
https://www.okx.com/docs-v5/en/#order-book-trading-market-data
https://www.okx.com/docs-v5/en/#trading-statistics-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any

from assets.ports import Capture
from pipelines.sources.exchanges.liquidations import STREAMS, WireLiquidation
from pipelines.sources.exchanges.venue import VenueClient
from pipelines.sources.records import Contract, Request, WireBook, WrongShape, must_be_about, records_of
from pipelines.sources.transport import Transport
from pipelines.sources.wire_values import figure, instant, ms_of, of, per, whole

# The pages say 300 today and said 100 before; 100 is right with both.
CANDLES_LIMIT = 100
# Of open interest and of the ratios.
STATISTICS_LIMIT = 100
LIQUIDATIONS_LIMIT = 100
DEPTH_LIMIT = 400

# A page of funding begins with its newest record, so its window must never hold more records than the page. The pager counts
# in the longest interval (eight hours), a contract may settle every hour: 8 * 12 + 4 records are asked for at most. The
# venue's limit is 400 today and was 100 before.
FUNDING_HOURS = 8
FUNDING_LIMIT = 12

# "The latest 1,440 data entries": 60 days of hours. The one that runs counts as an entry, so one hour less is relied on.
STATISTICS_MEMORY = timedelta(hours=1_439)
# "Up to three months": February to April are the shortest three.
FUNDING_MEMORY = timedelta(days=89)
# /market/candles shows the running hour and forgets all but 1,440 candles. That /market/history-candles shows the running
# hour is documented nowhere, so it answers only for days before these; 30 stay far from the edge of what is forgotten.
RECENT_CANDLES = timedelta(days=30)
# "Liquidation orders in the last day": the last text of a page that the documentation shows no more. Texts before it said
# seven days. The shorter one is relied on: what the venue forgot looks like a calm market.
LIQUIDATIONS_MEMORY = timedelta(days=1)

# A tier begins one step after the one below has ended, and the steps are a contract or less.
TIER_STEP_CONTRACTS = 1.0

_RUBIK = "/api/v5/rubik/stat/contracts"
# Kind of ratio -> the venue's name of it, in paths and in ccxt's methods. Its top traders are the 5 % with the largest positions.
RATIOS = {
    "accounts": ("long-short-account-ratio-contract", "LongShortAccountRatioContract"),
    "top_accounts": ("long-short-account-ratio-contract-top-trader", "LongShortAccountRatioContractTopTrader"),
    "top_positions": ("long-short-position-ratio-contract-top-trader", "LongShortPositionRatioContractTopTrader"),
}


def _entry(record: Any, index: int) -> Any:
    """Return an entry of a JSON list, None where the value is no list or is shorter."""
    return record[index] if isinstance(record, list) and len(record) > index else None


def _family(contract: Contract) -> str:
    """Return the name that contracts of one pair share; the pair's index has it too."""
    return str(contract.market["info"]["instFamily"])


def _between(
    lower: str, upper: str, name: Callable[[Contract], str] = lambda contract: contract.symbol, **fixed: Any
) -> Callable[[Contract, int, int, int], Mapping[str, Any]]:
    """Return the query of a series; both bounds are exclusive, and which is which depends on the endpoint."""

    def query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
        return {**fixed, "instId": name(contract), lower: since - 1, upper: until, "limit": limit}

    return query


def _funding_query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of settlements; `limit` counts intervals of eight hours."""
    return _between("before", "after")(contract, since, until, FUNDING_HOURS * limit + 4)


def _liquidations_query(contract: Contract, since: int, until: int, limit: int) -> Mapping[str, Any]:
    """Return the query of liquidations, which are asked for by family; a family has one perpetual."""
    asked = {"instType": "SWAP", "instFamily": _family(contract), "state": "filled"}
    return {**asked, "before": since - 1, "after": until, "limit": limit}


def _records(value: Any, contract: Contract) -> list[Any]:
    return must_be_about(records_of(value, "data"), "instId", contract.symbol)


def _liquidations_in(value: Any, contract: Contract) -> list[WireLiquidation]:
    """Return the liquidations of an answer, which stand inside an entry per contract."""
    entries = _records(value, contract)
    for entry in entries:
        if not isinstance(of(entry, "details"), list) or of(entry, "instId") is None:
            raise WrongShape("holds an entry without a contract or without a list of its liquidations")
    return list(STREAMS["okx"].records(value))


def _paid(record: Any) -> Any:
    """Return the rate that was paid; `fundingRate` is the one that was announced before."""
    paid = of(record, "realizedRate")
    return of(record, "fundingRate") if paid in (None, "") else paid


def _first_ms(record: Any) -> int | None:
    return ms_of(_entry(record, 0))


def _candles_request(
    name: str, subject: Callable[[Contract], str], width: int, bar: str = "1H"
) -> tuple[Request, Request]:
    """Return the two requests of a kind of candles: of the latest, and of all that are completed."""
    method = "".join(part.capitalize() for part in name.split("-"))
    # `before` is the older bound here: "records newer than".
    query = _between("before", "after", subject, bar=bar)
    return (
        Request(f"publicGetMarket{method}", f"/api/v5/market/{name}", query, _records, _first_ms, width=width),
        Request(
            f"publicGetMarketHistory{method}", f"/api/v5/market/history-{name}", query, _records, _first_ms, width=width
        ),
    )


_CANDLES = {
    "trade": _candles_request("candles", lambda contract: contract.symbol, 9),
    "mark": _candles_request("mark-price-candles", lambda contract: contract.symbol, 6),
    "index": _candles_request("index-candles", _family, 6),
}
_MINUTES = _candles_request("candles", lambda contract: contract.symbol, 9, bar="1m")
_FUNDING = Request(
    "publicGetPublicFundingRateHistory",
    "/api/v5/public/funding-rate-history",
    _funding_query,
    _records,
    lambda v: ms_of(of(v, "fundingTime")),
)
_OPEN_INTEREST = Request(
    "publicGetRubikStatContractsOpenInterestHistory",
    f"{_RUBIK}/open-interest-history",
    _between("begin", "end", period="1H"),
    _records,
    _first_ms,
    width=4,
)
_RATIOS = {
    kind: Request(
        f"publicGetRubikStatContracts{method}",
        f"{_RUBIK}/{name}",
        _between("begin", "end", period="1H"),
        _records,
        _first_ms,
        width=2,
    )
    for kind, (name, method) in RATIOS.items()
}
_LIQUIDATIONS = Request(
    "publicGetPublicLiquidationOrders",
    "/api/v5/public/liquidation-orders",
    _liquidations_query,
    _liquidations_in,
    lambda v: ms_of(v.ms),
)


class Okx(VenueClient):
    """Client of OKX: linear perpetuals in USDT and inverse ones in their base asset."""

    venue = "okx"
    ccxt_id = "okx"
    # Without it ccxt asks for spot, futures and options as well: five requests for what we leave out.
    ccxt_options = {"options": {"fetchMarkets": {"types": ["swap"]}}}  # noqa: RUF012 - a constant of the class
    origin = "https://www.okx.com"
    catalogue_path = "/api/v5/public/instruments"
    counts_contracts = True
    level_width = 4
    limits = {  # noqa: RUF012 - a constant of the class
        "candles": CANDLES_LIMIT,
        "minute_candles": CANDLES_LIMIT,
        "funding_rates": FUNDING_LIMIT,
        "open_interest": STATISTICS_LIMIT,
        "long_short_ratios": STATISTICS_LIMIT,
        "liquidations": LIQUIDATIONS_LIMIT,
    }
    memory = {  # noqa: RUF012 - a constant of the class
        "funding_rates": FUNDING_MEMORY,
        "open_interest": STATISTICS_MEMORY,
        "long_short_ratios": STATISTICS_MEMORY,
        "liquidations": LIQUIDATIONS_MEMORY,
    }

    def probe(self) -> None:
        """Ask for the venue's time (`GET /api/v5/public/time`)."""
        self._ask("publicGetPublicTime", "/api/v5/public/time", {})

    def candles(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly candles of trades, mark and index that start on the UTC days `day` to `last`.

        The running hour is as it is now. A range that reaches back further than `RECENT_CANDLES` is asked for in two parts,
        at two of the venue's paths. The index is that of the pair, whatever the contract.
        """
        border = (self._clock.now() - RECENT_CANDLES).date()
        parts = [
            self._candles_of(kind, request, days)
            for kind, requests in _CANDLES.items()
            for request, days in self._in_two(requests, day, last or day, border)
        ]
        return self._joined(*parts)

    def minute_candles(self, day: date, last: date | None = None) -> Capture:
        """Return the candles of trades of every minute of the UTC days `day` to `last`; the running one is as it is now.

        The latest 1,440 are a day of them: those of today are asked for at one of the venue's paths, older ones at the other.
        """
        today = self._clock.now().date()
        parts = self._in_two(_MINUTES, day, last or day, today)
        return self._joined(*(self._candles_of("trade", part, days, "minute_candles") for part, days in parts))

    def _in_two(
        self, requests: tuple[Request, Request], day: date, last: date, border: date
    ) -> list[tuple[Request, tuple[date, date]]]:
        """Split a range of days into what is asked for at the path of completed candles and what at that of the latest."""
        if last < day:
            self._bounds(day, last)
        recent, history = requests
        parts = [(history, (day, min(last, border - timedelta(days=1))))] if day < border else []
        return [*parts, (recent, (max(day, border), last))] if last >= border else parts

    def _candles_of(self, kind: str, request: Request, days: tuple[date, date], dataset: str = "candles") -> Capture:
        def entries(record: Any) -> list[Any]:
            if not isinstance(record, list):
                return []
            # Of trades entry 5 counts contracts, 6 base units, 7 quote units; mark and index have no volume.
            return [_entry(record, i) for i in ((1, 2, 3, 4, 6) if kind == "trade" else (1, 2, 3, 4))]

        return self._candles(request, days, entries, price_kind=kind, is_volume_in_base=True, dataset=dataset)

    def funding_rates(self, day: date, last: date | None = None) -> Capture:
        """Return the settlements of the UTC days `day` to `last`, at the instants that the venue stamps.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`.
        """
        # Eight hours is the longest interval; the venue shortens it to six, four, two or one where a market moves.
        return self._funding_rates(_FUNDING, (day, last), _paid, longest_hours=FUNDING_HOURS)

    def open_interest(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly open interest of the UTC days `day` to `last`; each contract is counted once.

        A row's time is taken as the instant of its figure: the venue's pages do not say whether it is the begin of the hour
        or stands for the whole of it, and the row of the running hour may still change.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue's empty answer would look like an empty
            market.
        """

        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "occurred_at_utc": instant(_first_ms(record)),
                # Entry 1 counts contracts, 2 base units, 3 US dollars.
                "open_interest_base": figure(_entry(record, 2)),
                "open_interest_usd": figure(_entry(record, 3)),
                "open_interest_basis": "one_sided",
            }

        return self._series("open_interest", _OPEN_INTEREST, (day, last), row)

    def long_short_ratios(self, day: date, last: date | None = None) -> Capture:
        """Return the hourly ratios of the UTC days `day` to `last`: of all accounts, of the top ones and of their positions.

        The venue's top traders are the 5 % with the largest open positions.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`.
        """
        return self._joined(*(self._ratios_of(kind, request, (day, last)) for kind, request in _RATIOS.items()))

    def _ratios_of(self, kind: str, request: Request, days: tuple[date, date | None]) -> Capture:
        def row(_: Contract, record: Any) -> dict[str, Any]:
            return {
                "ratio_kind": kind,
                "occurred_at_utc": instant(_first_ms(record)),
                "long_short_ratio_x": figure(_entry(record, 1)),
            }

        return self._series("long_short_ratios", request, days, row)

    def liquidations(self, day: date, last: date | None = None) -> Capture:
        """Return the liquidations of the UTC days `day` to `last` that the venue lists, at their bankruptcy price.

        The venue says of its stream of them that it tells at most one a second and contract; of this list it says nothing.

        Raises
        ------
        SourceOutage
            ``not_offered`` where `day` is before `first_offered_day`: the venue keeps one day.
        """
        return self._liquidations("okx", _LIQUIDATIONS, (day, last), newest_first=True)

    def depth_bands(self) -> Capture:
        """Return the book of every contract as it is now, summed into bands; one request each."""

        def book(value: Any) -> WireBook:
            shown = _entry(of(value, "data"), 0)
            return WireBook(of(shown, "bids"), of(shown, "asks"), of(shown, "ts"))

        return self._depth_bands(
            "publicGetMarketBooks",
            "/api/v5/market/books",
            lambda c: {"instId": c.symbol, "sz": DEPTH_LIMIT},
            book,
        )

    def tickers(self) -> Capture:
        """Return all contracts of ours as they trade now, from three answers about all of them.

        The time and the payload are those of the last trades. The index is in another list, by pair: it is missing here.
        """
        (trades, answer), (interests, _), (marks, _) = answers = [
            self._snapshot(endpoint, path, {"instType": "SWAP"}, lambda v: records_of(v, "data"))
            for endpoint, path in (
                ("publicGetMarketTickers", "/api/v5/market/tickers"),
                ("publicGetPublicOpenInterest", "/api/v5/public/open-interest"),
                ("publicGetPublicMarkPrice", "/api/v5/public/mark-price"),
            )
        ]
        traded, held, marked = (_by_contract(records) for records in (trades, interests, marks))
        rows = [
            {
                **self._identity(contract),
                "occurred_at_utc": instant(ms_of(of(traded.get(contract.symbol), "ts"))),
                "last_quote": figure(of(traded.get(contract.symbol), "last")),
                "best_bid_quote": figure(of(traded.get(contract.symbol), "bidPx")),
                "best_ask_quote": figure(of(traded.get(contract.symbol), "askPx")),
                "mark_quote": figure(of(marked.get(contract.symbol), "markPx")),
                "volume_24h_base": figure(of(traded.get(contract.symbol), "volCcy24h")),
                "open_interest_base": figure(of(held.get(contract.symbol), "oiCcy")),
                "open_interest_usd": figure(of(held.get(contract.symbol), "oiUsd")),
                "open_interest_basis": "one_sided" if contract.symbol in held else None,
                "payload_sha256": answer.payload_sha256,
            }
            for contract in self._listed()[0]
        ]
        payloads = tuple(sha for _, a in answers for sha in a.payloads)
        return self._capture("tickers", rows, payloads, f"{self.method} /api/v5/market/tickers and others")

    def leverage_tiers(self) -> Capture:
        """Return the tiers of cross margin of every contract of the universe as they are now, one request each.

        The venue draws its tiers in contracts. They are brought to the settle asset at the mark price of the moment, whose
        time is the row's: the same tiers have other bounds in it an hour later. The venue tells no amount to take off.
        """
        endpoint, path = "publicGetPublicMarkPrice", "/api/v5/public/mark-price"
        marks, asked = self._snapshot(endpoint, path, {"instType": "SWAP"}, lambda v: records_of(v, "data"))
        marked = _by_contract(marks)
        rows: list[dict[str, Any]] = []
        payloads = list(asked.payloads)
        path = "/api/v5/public/position-tiers"
        for contract in self._contracts()[0]:
            family, mark = _family(contract), marked.get(contract.symbol)
            tiers, answer = self._snapshot(
                "publicGetPublicPositionTiers",
                path,
                {"instType": "SWAP", "tdMode": "cross", "instFamily": family},
                partial(_about_family, family),
            )
            payloads += answer.payloads
            rows += [
                {
                    **self._identity(contract),
                    "settle_asset": contract.market["settle"],
                    "observed_at_utc": instant(ms_of(of(mark, "ts"))),
                    **tier,
                    "payload_sha256": answer.payload_sha256,
                }
                for tier in _ladder(tiers, _settle_per_contract(contract, figure(of(mark, "markPx"))))
            ]
        return self._capture("leverage_tiers", rows, tuple(payloads), f"{self.method} {path}")

    def insurance_funds(self) -> Capture:
        """Return the total of the venue's security fund in US dollars, one row, at the time of its last change.

        The venue is asked about one family of contracts. Its total is not that family's (the documentation's example tells
        1.4 billion dollars of options on ETH): one row per family would count it many times.
        """
        path = "/api/v5/public/insurance-fund"
        contracts = self._contracts()[0] or self._listed()[0]
        if not contracts:
            return self._capture("insurance_funds", [], (), f"{self.method} {path}")
        funds, answer = self._snapshot(
            "publicGetPublicInsuranceFund",
            path,
            {"instType": "SWAP", "instFamily": _family(contracts[0])},
            partial(_about_family, _family(contracts[0])),
        )
        rows = [
            {
                "venue": self.venue,
                "fund_name": "security fund",
                "settle_asset": "USD",
                "occurred_at_utc": instant(_last_change_ms(fund)),
                "balance_settle": figure(of(fund, "total")),
                "balance_usd": figure(of(fund, "total")),
                "payload_sha256": answer.payload_sha256,
            }
            for fund in funds
        ]
        return self._capture("insurance_funds", rows, answer.payloads, f"{self.method} {path}")

    def _connection(self) -> tuple[Any, Transport]:
        is_new = self._client is None
        exchange, transport = super()._connection()
        if is_new:
            # ccxt has no method of it.
            exchange.publicGetPublicLiquidationOrders = partial(
                exchange.request, "public/liquidation-orders", "public", "GET"
            )
        return exchange, transport

    def _is_ours(self, market: Mapping[str, Any]) -> bool:
        """Return whether a catalogue entry is a perpetual of ours that trades now.

        Those are the linear ones, quoted and settled in USDT, and the inverse ones. A linear contract must count base units
        and an inverse one dollars, once: ccxt reads `ctVal` and neither its currency nor its multiplier.
        """
        info, quote = market["info"], market.get("quote")
        if not (market.get("swap") and market.get("active") and figure(info.get("ctMult")) == 1):
            return False
        if info.get("ctType") == "inverse":
            is_settled_in_base = quote == "USD" and market.get("settle") == market.get("base")
            return bool(market.get("inverse") and is_settled_in_base and info.get("ctValCcy") == "USD")
        is_usdt = quote == "USDT" and market.get("settle") == "USDT"
        return bool(market.get("linear") and is_usdt and info.get("ctType") == "linear") and (
            info.get("ctValCcy") == market.get("baseId")
        )


def _by_contract(records: Iterable[Any]) -> dict[str, Any]:
    return {record["instId"]: record for record in records if isinstance(of(record, "instId"), str)}


def _about_family(family: str, value: Any) -> list[Any]:
    return must_be_about(records_of(value, "data"), "instFamily", family)


def _settle_per_contract(contract: Contract, mark: float | None) -> float | None:
    """Return a contract's value in the asset that it settles in, at a mark price; None where a figure is missing."""
    if not mark:
        return None
    if contract.kind == "linear":
        return None if contract.size_base is None else contract.size_base * mark
    return per(contract.size_usd, mark)


def _ladder(tiers: list[Any], settle_per_contract: float | None) -> list[dict[str, Any]]:
    """Return tiers in the raw table's columns; what cannot be read is missing, and the raw table refuses the ladder."""
    rows: list[dict[str, Any]] = []
    below = 0.0
    for tier in tiers:
        floor, cap = figure(of(tier, "minSz")), figure(of(tier, "maxSz"))
        # The step between two tiers holds no position.
        if floor is not None and below <= floor <= below + TIER_STEP_CONTRACTS:
            floor = below
        below = below if cap is None else cap
        rows.append(
            {
                "tier_rank": whole(of(tier, "tier")),
                "tiers_count": len(tiers),
                "notional_floor_settle": _times(floor, settle_per_contract),
                "notional_cap_settle": _times(cap, settle_per_contract),
                "maintenance_margin_rate_frac": figure(of(tier, "mmr")),
                "maintenance_amount_settle": None,
                "max_leverage_x": figure(of(tier, "maxLever")),
            }
        )
    return rows


def _times(contracts: float | None, settle_per_contract: float | None) -> float | None:
    return None if contracts is None or settle_per_contract is None else contracts * settle_per_contract


def _last_change_ms(fund: Any) -> int | None:
    """Return the time of a fund's newest change, None where none can be read."""
    details = of(fund, "details")
    times = [ms_of(of(change, "ts")) for change in details] if isinstance(details, list) else []
    return max((at for at in times if at is not None), default=None)
