"""The world in the wire format of DefiLlama's open API: stablecoins and what exchanges hold.

Belongs here: shapes and clocks. Does not: HTTP (``server.py``), misbehaviour (``faults.py``), the truth (``holdings.py``).

As DefiLlama does it: a day's figure is the first look of the day, stamped with its start; the newest point is the latest look,
with its own stamp. In a stablecoin's history it stands in the place of the day's own point, in an exchange's beside it.

References
----------
https://api-docs.defillama.com (stablecoins, protocol); DefiLlama/peggedassets-server and defillama-server (which points there
are, and their stamps)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from pipelines.sandbox.holdings import RESERVES, STABLECOINS, TOKENS, Holdings, Stablecoin, Token
from pipelines.sandbox.wire import PLAIN_REFUSALS, Route, WireError
from pipelines.sandbox.world import World

# How the publisher names an exchange.
SLUGS = {"binance-cex": "binance", **{name: name for name in RESERVES if name != "binance"}}
_PRICED_AS = {"WBTC": "BTC", "WETH": "ETH"}


class DefiLlamaWire:
    """A world as DefiLlama shows it."""

    venue = "defillama"
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = PLAIN_REFUSALS

    def __init__(self, world: World) -> None:
        self.world = world
        self.holdings = Holdings(world)

    def routes(self) -> list[Route]:
        """Return every route that a client of ours asks."""
        return [
            Route("/stablecoins", self.stablecoins),
            Route("/stablecoin/{key}", self.stablecoin),
            Route("/stablecoinprices", self.prices),
            Route("/protocol/{slug}", self.protocol),
        ]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path as it was asked."""
        return path.format(**query)

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of coins, None of the other answers: a short one of these lacks whole chains."""
        return body.get("peggedAssets") if isinstance(body, dict) else None

    def stablecoins(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /stablecoins`: every coin with its latest figures, the largest first."""
        is_priced = query.get("includePrices") == "true"
        coins = [self._coin(coin, now) for coin in STABLECOINS]
        return {
            "peggedAssets": [c if is_priced else {k: v for k, v in c.items() if k != "price"} for c in coins],
        }

    def stablecoin(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /stablecoin/{id}`: one coin's history by chain."""
        for coin in STABLECOINS:
            if coin.key == query["key"]:
                break
        else:
            raise WireError({"message": "Pegged asset is not in our database"})
        latest = self._coin(coin, now)
        histories = {
            chain: [self._point(coin, chain, at) for at in self._looks(now, keeps_midnight=False)]
            for chain in coin.supply_by_chain
        }
        return {
            **{k: latest[k] for k in ("id", "name", "symbol", "gecko_id", "pegType", "pegMechanism", "price")},
            "chainBalances": {chain: {"tokens": points} for chain, points in histories.items()},
            "currentChainBalances": {c: points[-1]["circulating"] for c, points in histories.items()},
        }

    def prices(self, _: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        """`GET /stablecoinprices`: every coin's price at the first look of each day."""
        midnights = [at for at in self._looks(now) if at.time() == time()]
        return [
            {"date": _stamp(at), "prices": {coin.slug: self.holdings.price(coin, at) for coin in STABLECOINS}}
            for at in midnights
        ]

    def protocol(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """`GET /protocol/{slug}`: an exchange's holdings by chain, in tokens and in dollars."""
        exchange = SLUGS.get(str(query["slug"]).lower())
        if exchange is None:
            raise WireError({"message": "Protocol is not in our database"})
        chains: dict[str, Any] = {}
        for chain in dict.fromkeys(token.chain for token in TOKENS):
            held = [t for t in TOKENS if t.chain == chain and t.symbol in RESERVES[exchange]]
            points = [(at, {t.symbol: self._held(exchange, t, at) for t in held}) for at in self._looks(now)]
            valued = [
                (at, {t.symbol: _round(amounts[t.symbol] * self._price(t, at)) for t in held}) for at, amounts in points
            ]
            chains[chain] = {
                "tvl": [{"date": _stamp(at), "totalLiquidityUSD": _round(sum(v.values()))} for at, v in valued],
                "tokensInUsd": [{"date": _stamp(at), "tokens": values} for at, values in valued],
                "tokens": [{"date": _stamp(at), "tokens": amounts} for at, amounts in points],
            }
        return {
            "name": query["slug"],
            "category": "CEX",
            "chains": list(chains),
            "currentChainTvls": {c: told["tvl"][-1]["totalLiquidityUSD"] for c, told in chains.items()},
            "chainTvls": chains,
        }

    # -- figures ------------------------------------------------------------------------------------------------------

    def _looks(self, now: datetime, *, keeps_midnight: bool = True) -> Iterator[datetime]:
        """Yield the instants of the points: the start of each day, and now in the place of the last one or beside it."""
        at = self.holdings.start
        while at <= now:
            if keeps_midnight or at.date() != now.date():
                yield at
            at += timedelta(days=1)
        if not keeps_midnight or now.time() != time():
            yield now

    def _coin(self, coin: Stablecoin, now: datetime) -> dict[str, Any]:
        by_chain = {chain: self._point(coin, chain, now)["circulating"] for chain in coin.supply_by_chain}
        return {
            "id": coin.key,
            "name": coin.name,
            "symbol": coin.symbol,
            "gecko_id": coin.slug,
            "pegType": coin.peg,
            "priceSource": "defillama",
            "pegMechanism": coin.mechanism,
            "circulating": {coin.peg: _round(sum(told[coin.peg] for told in by_chain.values()))},
            "chainCirculating": {chain: {"current": told} for chain, told in by_chain.items()},
            "chains": list(by_chain),
            "price": self.holdings.price(coin, now),
        }

    def _point(self, coin: Stablecoin, chain: str, at: datetime) -> dict[str, Any]:
        return {
            "date": _stamp(at),
            "circulating": {coin.peg: _round(self.holdings.supply(coin, chain, at))},
            "minted": {coin.peg: 0},
            "unreleased": {coin.peg: 0},
            "bridgedTo": {coin.peg: 0},
        }

    def _held(self, exchange: str, token: Token, at: datetime) -> float:
        return _round(self.holdings.reserve(exchange, token, at) / 10**token.decimals)

    def _price(self, token: Token, at: datetime) -> float:
        asset = _PRICED_AS.get(token.symbol, token.symbol)
        if asset not in self.world.assets:
            return 1.0
        # Before its first day the world shows no price.
        return self.world.price(asset, max(at, self.world.start))


def _stamp(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp())


def _round(value: float) -> float:
    return round(float(value), 5)
