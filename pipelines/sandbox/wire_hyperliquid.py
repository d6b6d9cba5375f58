"""The world in Hyperliquid's own wire format: pure functions from a market and an instant to JSON values.

Belongs here: questions about the market, error answers of the venue. Does not: questions about an address
(``wire_hyperliquid_accounts.py``), HTTP (``server.py``), misbehaviour (``faults.py``).
Every shape cites the venue's page; figures are strings and clocks are numbers, as the venue writes them.

The venue's prices have five significant figures at most. The world's are printed as they are, a digit longer where need be:
what a client lands must be comparable with the world's truth.

References
----------
Questions: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint
Perpetuals: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals
Weights: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.minutes import MINUTE_MS
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import HOUR_MS, Route, WireError, to_ms
from pipelines.sandbox.wire_hyperliquid_accounts import UNREADABLE, HyperliquidAccounts, text, whole
from pipelines.sandbox.world import World

CANDLES_KEPT_COUNT = 5_000
FUNDING_PAGE_COUNT = 500
BOOK_LEVELS_COUNT = 20
LIGHT_QUESTIONS = frozenset({"l2Book", "exchangeStatus", "clearinghouseState"})
LIGHT_WEIGHT, WEIGHT = 2, 20

# A real catalogue holds coins that no longer trade, and a client must leave them out.
DELISTED = "MATIC"

# The venue's pages show no body of any refusal. That 429 and 500 say `null` is an assumption, chosen because it is the body
# that a client survives least easily; bans (403) and geoblocks (451) are documented nowhere and stand for what its front could
# answer.
REFUSALS: Mapping[str, tuple[int, Any]] = {
    "rate_limited": (429, None),
    "banned": (403, "Forbidden"),
    "geoblocked": (451, "Unavailable For Legal Reasons"),
    "error": (500, None),
}


class HyperliquidWire:
    """A world as Hyperliquid shows it.

    Parameters
    ----------
    world : World
        Each asset is listed under its own name; between the first and the others stands a delisted coin, so that a coin's
        place is not its rank in the world.
    """

    venue = "hyperliquid"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = REFUSALS

    def __init__(self, world: World) -> None:
        self.market = VenueMarket(world, self.venue)
        self._coins = (world.assets[0], DELISTED, *world.assets[1:])
        self._closed: dict[str, list[dict[str, Any]]] = {}
        accounts = HyperliquidAccounts(self.market)
        self._answers: dict[str, Callable[[Mapping[str, Any], datetime], Any]] = {
            "exchangeStatus": lambda _, now: {"specialStatuses": None, "time": to_ms(now)},
            "meta": lambda _, __: self.meta(),
            "metaAndAssetCtxs": lambda _, now: [self.meta(), [self._context(coin, now) for coin in self._coins]],
            "spotMeta": lambda _, __: self.spot_meta(),
            "candleSnapshot": self.candle_snapshot,
            "fundingHistory": self.funding_history,
            "l2Book": self.l2_book,
            "userFillsByTime": accounts.user_fills_by_time,
            "vaultDetails": accounts.vault_details,
            "clearinghouseState": accounts.clearinghouse_state,
        }

    # -- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return the venue's one route; its weight is that of the question, without what is added per item returned."""
        return [
            Route(
                "/info",
                self.info,
                method="POST",
                weight=lambda query: LIGHT_WEIGHT if self._kind(query) in LIGHT_QUESTIONS else WEIGHT,
            )
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path and the question, ``/info/candleSnapshot``; the path alone where the question is unknown."""
        kind = self._kind(query)
        return f"{path}/{kind}" if kind else path

    def rows(self, body: Any) -> list[Any] | None:
        """Return the answer where it is a list of records; the catalogue is a list too, of two parts that belong together."""
        is_catalogue = isinstance(body, list) and bool(body) and "universe" in body[0]
        return body if isinstance(body, list) and not is_catalogue else None

    def info(self, query: Mapping[str, Any], now: datetime) -> Any:
        """`POST /info`: the answer to the question that `type` names; what is no question of the venue is 422, in text."""
        kind = self._kind(query)
        if kind is None:
            raise WireError(UNREADABLE, 422)
        return self._answers[kind](query, now)

    def meta(self) -> dict[str, Any]:
        """`{"type": "meta"}`: the coins; `isDelisted` stands only where it is true.

        References
        ----------
        https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals#retrieve-perpetuals-metadata-universe-and-margin-tables
        """
        universe: list[dict[str, Any]] = []
        for coin in self._coins:
            if coin == DELISTED:
                universe.append(
                    {"szDecimals": 1, "name": coin, "maxLeverage": 20, "marginTableId": 20, "isDelisted": True}
                )
                continue
            decimals = self.market.profile(coin).quantity_decimals
            universe.append({"szDecimals": decimals, "name": coin, "maxLeverage": 40, "marginTableId": 56})
        tiers = [{"lowerBound": "0.0", "maxLeverage": 40}, {"lowerBound": "150000000.0", "maxLeverage": 20}]
        return {
            "universe": universe,
            "marginTables": [
                [20, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 20}]}],
                [56, {"description": "tiered 40x", "marginTiers": tiers}],
            ],
            "collateralToken": 0,
        }

    def spot_meta(self) -> dict[str, Any]:
        """`{"type": "spotMeta"}`: tokens and spot pairs; ccxt reads its currencies from it.

        References
        ----------
        https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/spot#retrieve-spot-metadata
        """

        def token(name: str, index: int, size: int, wei: int) -> dict[str, Any]:
            return {
                "name": name,
                "szDecimals": size,
                "weiDecimals": wei,
                "index": index,
                "tokenId": f"0x{index:032x}",
                "isCanonical": True,
                "evmContract": None,
                "fullName": None,
                "deployerTradingFeeShare": "0.0",
            }

        return {
            "tokens": [token("USDC", 0, 8, 8), token("PURR", 1, 0, 5)],
            "universe": [{"name": "PURR/USDC", "tokens": [1, 0], "index": 0, "isCanonical": True}],
        }

    def candle_snapshot(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`{"type": "candleSnapshot", "req": {...}}`: candles that open within both bounds, oldest first, the open one last.

        Only the most recent 5,000 exist. No page says whether bounds are inclusive; they are taken to be, as those of funding.

        References
        ----------
        https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#candle-snapshot
        """
        asked = query.get("req")
        if not isinstance(asked, dict) or asked.get("interval") not in ("1h", "1m"):
            # The venue has fourteen intervals, the sandbox two.
            raise WireError(UNREADABLE, 422)
        start, end = whole(asked, "startTime"), whole(asked, "endTime")
        coin = self._coin_of(asked)
        if coin == DELISTED:
            return []
        if asked["interval"] == "1m":
            minutes = self.market.minutes_begun(coin, now)
            kept = minutes.at(range(max(0, minutes.start_ms.size - CANDLES_KEPT_COUNT), minutes.start_ms.size))
            chosen = kept.at(np.flatnonzero((kept.start_ms >= start) & (kept.start_ms <= end)).tolist()).columns()
            count = chosen["start_ms"].size
            return [_candle(coin, {k: v[i] for k, v in chosen.items()}, "1m", MINUTE_MS) for i in range(count)]
        rows = self._closed_candles(coin)
        done = int(np.clip((to_ms(now) - rows[0]["t"]) // HOUR_MS, 0, len(rows)))
        shown = rows[:done]
        running = self.market.open_candle(coin, now)
        if running is not None:
            shown = [*shown, _candle(coin, {k: v[0] for k, v in vars(running).items()})]
        return [dict(row) for row in shown[-CANDLES_KEPT_COUNT:] if start <= row["t"] <= end]

    def funding_history(self, query: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`{"type": "fundingHistory"}`: bounds inclusive, `endTime` now where it is absent, the oldest 500 of them.

        References
        ----------
        https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals#retrieve-historical-funding-rates
        """
        start = whole(query, "startTime")
        end = to_ms(now) if query.get("endTime") is None else whole(query, "endTime")
        coin = self._coin_of(query)
        if coin == DELISTED:
            return []
        funding = self.market.funding(coin)
        first = int(np.searchsorted(funding.settled_ms, start, side="left"))
        after = int(np.searchsorted(funding.settled_ms, min(end, to_ms(now)), side="right"))
        return [
            {
                "coin": coin,
                "fundingRate": text(float(funding.rate_frac[i])),
                # The rate is the premium and a share of the interest, which the venue clamps; the sandbox only follows it.
                "premium": text(8.0 * float(funding.rate_frac[i]) - 1e-4),
                "time": int(funding.settled_ms[i]),
            }
            for i in range(first, min(after, first + FUNDING_PAGE_COUNT))
        ]

    def l2_book(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`{"type": "l2Book"}`: at most 20 levels per side, bids first, the best first; a delisted coin has none.

        References
        ----------
        https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#l2-book-snapshot
        """
        coin = self._coin_of(query)
        if query.get("nSigFigs") is not None:
            # The venue also sums levels to 2 to 5 significant figures, the sandbox does not.
            raise WireError(UNREADABLE, 422)
        sides: list[list[dict[str, Any]]] = [[], []]
        if self._trades(coin, now):
            book = self.market.book(coin, min(now, self.market.end))
            sides = [_levels(book.bids), _levels(book.asks)]
        return {"coin": coin, "time": to_ms(now), "levels": sides}

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _kind(self, query: Mapping[str, Any]) -> str | None:
        kind = query.get("type")
        return kind if isinstance(kind, str) and kind in self._answers else None

    def _coin_of(self, query: Mapping[str, Any]) -> str:
        coin = query.get("coin")
        if not isinstance(coin, str):
            raise WireError(UNREADABLE, 422)
        if coin not in self._coins:
            # Documented nowhere, an assumption: a coin that does not exist is an internal error.
            raise WireError(None, 500)
        return coin

    def _trades(self, coin: str, now: datetime) -> bool:
        return coin != DELISTED and now >= self.market.start

    def _context(self, coin: str, now: datetime) -> dict[str, Any]:
        """Return a coin's context; one that does not trade has no premium, no mid and no impact prices.

        References
        ----------
        https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals#retrieve-perpetuals-asset-contexts-includes-mark-price-current-funding-open-interest-etc
        """
        if not self._trades(coin, now):
            return {
                "funding": "0.0",
                "openInterest": "0.0",
                "prevDayPx": "0.37621",
                "dayNtlVlm": "0.0",
                "premium": None,
                "oraclePx": "0.37621",
                "markPx": "0.37621",
                "midPx": None,
                "impactPxs": None,
                "dayBaseVlm": "0.0",
            }
        market, at = self.market, min(now, self.market.end)
        candles, interest, funding = market.candles(coin), market.open_interest(coin), market.funding(coin)
        done = int(np.searchsorted(candles.start_ms, to_ms(at) - HOUR_MS, side="right"))
        day = slice(max(0, done - 24), done)
        known = int(np.searchsorted(interest.at_ms, to_ms(at), side="right"))
        settled = int(np.searchsorted(funding.settled_ms, to_ms(at), side="right"))
        book, mark = market.book(coin, at), market.price_of_kind(coin, "mark", at)
        return {
            "funding": text(float(funding.rate_frac[settled - 1])) if settled else "0.0",
            "openInterest": text(float(interest.open_interest_base[known - 1])),
            "prevDayPx": text(market.price(coin, max(market.start, at - timedelta(days=1)))),
            "dayNtlVlm": text(float(candles.volume_usd[day].sum())),
            "premium": "0.0",
            "oraclePx": text(market.price_of_kind(coin, "index", at)),
            "markPx": text(mark),
            "midPx": text(book.mid_quote),
            "impactPxs": [text(float(book.bids[0, 0])), text(float(book.asks[0, 0]))],
            "dayBaseVlm": text(market.volume_24h_base(coin, at)),
        }

    def _closed_candles(self, coin: str) -> list[dict[str, Any]]:
        if coin not in self._closed:
            columns = vars(self.market.candles(coin))
            count = columns["start_ms"].size
            self._closed[coin] = [_candle(coin, {k: v[i] for k, v in columns.items()}) for i in range(count)]
        return self._closed[coin]


def _candle(coin: str, candle: Mapping[str, Any], interval: str = "1h", length_ms: int = HOUR_MS) -> dict[str, Any]:
    """One candle: `t` and `T` its bounds, `s` the coin, `i` the interval, `n` its trades."""
    start = int(candle["start_ms"])
    return {
        "t": start,
        "T": start + length_ms - 1,
        "s": coin,
        "i": interval,
        "o": text(float(candle["open_quote"])),
        "c": text(float(candle["close_quote"])),
        "h": text(float(candle["high_quote"])),
        "l": text(float(candle["low_quote"])),
        "v": text(float(candle["volume_base"])),
        "n": int(candle["trades_count"]),
    }


def _levels(side: NDArray[np.float64]) -> list[dict[str, Any]]:
    return [
        {"px": text(float(price)), "sz": text(float(quantity)), "n": 1 + i % 4}
        for i, (price, quantity) in enumerate(side[:BOOK_LEVELS_COUNT])
    ]
