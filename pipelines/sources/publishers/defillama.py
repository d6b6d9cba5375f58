"""DefiLlama's open API: stablecoins in circulation by chain, and what exchanges hold.

Belongs here: the publisher's addresses and shapes. Does not: asking (``published.py``), laws over the figures (``quality``),
balances read from a chain (``exchange_accounts.py``).

A day's figure is the publisher's first look of the day, stamped with its start; the newest point is its latest look. Histories
of single stablecoins begin on 2022-05-11. Their terms: free use of the open API, the source named beside the figure.

References
----------
https://api-docs.defillama.com (stablecoins: /stablecoins, /stablecoin/{id}, /stablecoinprices; TVL: /protocol/{protocol})
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from functools import partial
from typing import Any

from assets.ports import Capture, SourceOutage
from pipelines.sources.publishers.published import Publisher
from pipelines.sources.records import WrongShape
from pipelines.sources.transport import Answer
from pipelines.sources.wire_values import figure, instant, ms_of_seconds, of, text, to_ms

# First and last day that are asked for.
Days = tuple[date, date]

STABLECOINS_URL = "https://stablecoins.llama.fi/stablecoins"
STABLECOIN_URL = "https://stablecoins.llama.fi/stablecoin/{key}"
PRICES_URL = "https://stablecoins.llama.fi/stablecoinprices"
EXCHANGE_URL = "https://api.llama.fi/protocol/{slug}"

# One history is some megabytes and one request: the largest coins, which are nearly all there is, are asked for.
STABLECOINS_COUNT = 20
# An answer may lack so much of a whole. Lists and histories may name a small chain differently; a large one that is missing would
# be read as coins that are gone.
SHORT_FRAC = 0.01
# Exchange -> the publisher's name of it.
EXCHANGE_SLUGS = {
    "binance": "binance-cex",
    "okx": "okx",
    "bybit": "bybit",
    "bitfinex": "bitfinex",
    "deribit": "deribit",
}
# Parts of a protocol that stand among its chains and would count twice: "Ethereum-staking" beside "Ethereum".
_PARTS = ("borrowed", "staking", "pool2", "vesting", "treasury", "doublecounted", "liquidstaking", "dcAndLsOverlap")


class DefiLlama(Publisher):
    """Client of DefiLlama."""

    venue = "defillama"

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return the figures of some days: of the largest stablecoins, or of the exchanges of `EXCHANGE_SLUGS`.

        Histories are megabytes, so that where the open day alone is asked for only the list of stablecoins is read, with our
        clock; of exchanges there is no such list, and the day is ``not_offered`` until it is over.
        """
        is_open_day_alone = first >= self._clock.now().date()
        if dataset == "stablecoin_supplies":
            rows, answers = self._latest() if is_open_day_alone else self._supplies((first, last))
        elif is_open_day_alone:
            raise SourceOutage("not_offered", f"{self.venue} is asked for what exchanges hold once a day is over")
        else:
            rows, answers = self._reserves((first, last))
        return self._capture(dataset, rows, answers)

    # -- stablecoins --------------------------------------------------------------------------------------------------

    def _latest(self) -> tuple[list[dict[str, Any]], list[Answer]]:
        listed = self._ask(STABLECOINS_URL, {"includePrices": "true"}, _coins)
        stamp = to_ms(self._clock.now()) / 1000
        rows: list[dict[str, Any]] = []
        for coin in largest(listed.value)[:STABLECOINS_COUNT]:
            listed_chains = _object(of(coin, "chainCirculating")).items()
            history = {c: [{"date": stamp, "circulating": of(told, "current")}] for c, told in listed_chains}
            rows += self._rows(listed, supply_rows(coin, history, {}))
        return rows, [listed]

    def _supplies(self, days: Days) -> tuple[list[dict[str, Any]], list[Answer]]:
        listed = self._ask(STABLECOINS_URL, {"includePrices": "true"}, _coins)
        priced = self._ask(PRICES_URL, {}, _prices)
        answers, rows = [listed, priced], []
        for coin in largest(listed.value)[:STABLECOINS_COUNT]:
            told = self._ask(STABLECOIN_URL.format(key=coin["id"]), {}, partial(_history, coin=coin, days=days))
            answers.append(told)
            rows += self._rows(told, supply_rows(coin, told.value, priced.value))
        return rows, answers

    # -- exchanges ----------------------------------------------------------------------------------------------------

    def _reserves(self, days: Days) -> tuple[list[dict[str, Any]], list[Answer]]:
        answers, rows = [], []
        for exchange, slug in EXCHANGE_SLUGS.items():
            told = self._ask(EXCHANGE_URL.format(slug=slug), {}, partial(_chains, days=days))
            answers.append(told)
            rows += self._rows(told, ({"exchange": exchange, **row} for row in reserve_rows(told.value)))
        return rows, answers

    def _rows(self, answer: Answer, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        # Half a character pair is JSON and no text.
        texts = (
            {k: v.encode(errors="replace").decode() if isinstance(v, str) else v for k, v in r.items()} for r in rows
        )
        return [{"venue": self.venue, **row, "payload_sha256": answer.payload_sha256} for row in texts]


def largest(coins: list[Any]) -> list[dict[str, Any]]:
    """Return the coins that tell how many circulate, those of the highest value first."""
    valued = []
    for coin in coins:
        circulating = figure(of(of(coin, "circulating"), str(of(coin, "pegType"))))
        price = figure(of(coin, "price")) or (1.0 if of(coin, "pegType") == "peggedUSD" else 0.0)
        key = text(of(coin, "id")) or ""
        # The key becomes part of an address.
        if circulating is not None and key.isascii() and key.isalnum():
            valued.append((-circulating * price, key, coin))
    return [coin for _, _, coin in sorted(valued, key=lambda one: one[:2])]


def supply_rows(
    coin: Mapping[str, Any], history: Mapping[str, Any], prices: Mapping[Any, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield rows of ``stablecoin_supplies``: every point of every chain of a coin.

    Parameters
    ----------
    coin : mapping
        The coin as the list shows it.
    history : mapping
        Chain -> its points.
    prices : mapping
        Day -> publisher's name of a coin -> price in dollars, at the first look of the day.
    """
    peg = str(coin["pegType"])
    for chain, points in history.items():
        for point in points:
            circulating = of(point, "circulating")
            # How the publisher writes that it has no figure; a coin of which none circulates is {"peggedUSD": 0}.
            if circulating == 0:
                continue
            at = instant(ms_of_seconds(of(point, "date")))
            is_first_look = at is not None and at.time() == time()
            price = (
                of(prices.get(at.date(), {}), str(of(coin, "gecko_id"))) if at and is_first_look else coin.get("price")
            )
            yield {
                "stablecoin_id": str(coin["id"]),
                "stablecoin_symbol": text(of(coin, "symbol")),
                "supply_chain": chain.lower(),
                "observed_at_utc": at,
                "peg_type": peg.removeprefix("pegged"),
                "peg_mechanism": text(of(coin, "pegMechanism")),
                "circulating_base": figure(of(circulating, peg)),
                "stablecoin_price_quote": figure(price),
            }


def reserve_rows(chains: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield rows of ``exchange_reserves``: every token of every point of every chain; amounts keep every digit."""
    for chain, told in chains.items():
        valued = {str(of(point, "date")): of(point, "tokens") for point in told.get("tokensInUsd") or ()}
        for point in told["tokens"]:
            stamp = of(point, "date")
            at = instant(ms_of_seconds(stamp))
            for symbol, amount in _object(of(point, "tokens")).items():
                yield {
                    "holder_chain": chain.lower(),
                    "holder_address": "all",
                    "held_symbol": symbol,
                    "held_token": symbol,
                    "observed_at_utc": at,
                    "balance_raw": _digits(amount),
                    "amounts_unit": "tokens",
                    "reported_balance_usd": figure(of(valued.get(str(stamp)), symbol)),
                }


# -- shapes of the answers


def _coins(body: bytes) -> list[Any]:
    coins = of(_exact(body), "peggedAssets")
    if not isinstance(coins, list) or not largest(coins):
        raise WrongShape("holds no list `peggedAssets` of coins with `id`, `pegType` and `circulating`")
    return coins


def _prices(body: bytes) -> dict[date, Mapping[str, Any]]:
    """Return prices by day; points without a readable time are of no day."""
    points = _exact(body)
    if not isinstance(points, list) or not points or not isinstance(of(points[-1], "prices"), dict):
        raise WrongShape("is no list of points with `date` and `prices`")
    dated = [(instant(ms_of_seconds(of(p, "date"))), of(p, "prices")) for p in points]
    return {at.date(): prices for at, prices in dated if at is not None and isinstance(prices, dict)}


def _history(body: bytes, coin: Mapping[str, Any], days: Days) -> dict[str, list[Any]]:
    """Return a coin's points of some days by chain; an answer that lacks a chain of the list is short, and not one without coins."""
    answer = _exact(body)
    balances, key, peg = of(answer, "chainBalances"), coin["id"], str(coin["pegType"])
    if not isinstance(balances, dict) or str(of(answer, "id")) != str(key):
        raise WrongShape(f"holds no object `chainBalances` of the coin {key}")
    history = {chain: points for chain, told in balances.items() if isinstance(points := of(told, "tokens"), list)}
    listed = _object(of(coin, "chainCirculating"))
    due = {chain: figure(of(of(told, "current"), peg)) or 0.0 for chain, told in listed.items()}
    found = {chain: points for chain, points in history.items() if points}
    absent = _absent(due, found, f"of the coin {key}")
    return {c: _of_days(points, days) for c, points in found.items()} | {c: [{}] for c in absent}


def _chains(body: bytes, days: Days) -> dict[str, Any]:
    """Return what an exchange holds on some days by chain; a chain without tokens is a short answer, and not one that was emptied."""
    answer = _exact(body)
    told, current = of(answer, "chainTvls"), of(answer, "currentChainTvls")
    if not isinstance(told, dict) or not isinstance(current, dict) or not current:
        raise WrongShape("holds no objects `chainTvls` and `currentChainTvls`")
    due = {chain: figure(worth) or 0.0 for chain, worth in current.items() if not _is_part(chain)}
    found = {
        c: one for c, one in told.items() if not _is_part(c) and of(one, "tokens") and isinstance(one["tokens"], list)
    }
    absent = _absent(due, found, "with their tokens")
    chains = {
        c: {name: _of_days(of(one, name), days) for name in ("tokens", "tokensInUsd")} for c, one in found.items()
    }
    return chains | {c: {"tokens": [{"tokens": {"": None}}]} for c in absent}


def _absent(due: Mapping[str, float], found: Container[str], what: str) -> list[str]:
    """Return chains that an answer lacks and that hold next to nothing: each becomes a row that is refused.

    Raises
    ------
    WrongShape
        Where they hold more than `SHORT_FRAC` of the whole.
    """
    absent = sorted(chain for chain, held in due.items() if held > 0 and chain not in found)
    if sum(due[chain] for chain in absent) > SHORT_FRAC * sum(due.values()):
        raise WrongShape(f"is short: it lacks {len(absent)} of {len(due)} chains {what} ({', '.join(absent)[:80]})")
    return absent


def _of_days(points: Any, days: Days) -> list[Any]:
    """Return the points of some days; what has no readable time stays, and is refused with a reason later."""
    listed = points if isinstance(points, list) else []
    dated = [(p, instant(ms_of_seconds(of(p, "date")))) for p in listed]
    return [p for p, at in dated if at is None or days[0] <= at.date() <= days[1]]


def _object(value: Any) -> dict[str, Any]:
    """Return an object, an empty one in the place of anything else."""
    return value if isinstance(value, dict) else {}


def _is_part(chain: str) -> bool:
    return chain in _PARTS or chain.endswith(tuple(f"-{part}" for part in _PARTS))


def _exact(body: bytes) -> Any:
    """Return a body's JSON value with numbers as they are written.

    Raises
    ------
    ValueError
        Where it is none, or holds what JSON has not (NaN).
    """

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON")

    return json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=refuse)


def _digits(amount: Any) -> str | None:
    """Return an amount in plain digits, None where it is no number."""
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
        return None
    # 1e400 is JSON too, and would be 400 digits.
    return format(amount, "f") if abs(Decimal(amount).adjusted()) < 60 else str(amount)
