"""Who holds what in the made-up world: stablecoins in circulation by chain, and what exchanges hold, at any instant.

Belongs here: the truth, which publishers and the chain then show. Does not: how it is shown (``wire_defillama.py``,
``evm_node.py``), prices of assets (``world.py``).

Levels are of the order seen in 2025. Every amount walks from midnight to midnight and lies on the line between: coins leave
exchanges and are redeemed as prices fall, and on the crash day one coin loses its peg.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.profiles import stream
from pipelines.sandbox.world import World

WARM_DAYS = 60
# The peg of the coin that breaks: lowest on the crash day, then back.
BROKEN_PEG = 0.965


@dataclass(frozen=True)
class Stablecoin:
    """A stablecoin: its key and names, its peg, what a unit of the peg is worth, and its coins by chain on the first day."""

    key: str
    symbol: str
    name: str
    slug: str
    peg: str
    mechanism: str
    peg_usd: float
    supply_by_chain: Mapping[str, float]


STABLECOINS = (
    Stablecoin("1", "USDT", "Tether", "tether", "peggedUSD", "fiat-backed", 1.0, {"Ethereum": 9.0e10, "Tron": 7.8e10, "BSC": 8e9}),
    Stablecoin("2", "USDC", "USD Coin", "usd-coin", "peggedUSD", "fiat-backed", 1.0, {"Ethereum": 4.6e10, "Solana": 9e9, "Base": 4e9}),
    Stablecoin("146", "USDe", "Ethena USDe", "ethena-usde", "peggedUSD", "crypto-backed", 1.0, {"Ethereum": 1.3e10, "Solana": 2e8}),
    Stablecoin("50", "EURC", "Euro Coin", "euro-coin", "peggedEUR", "fiat-backed", 1.16, {"Ethereum": 1.6e8, "Base": 9e7}),
)  # fmt: skip
BREAKS = "USDe"


@dataclass(frozen=True)
class Token:
    """A token that exchanges hold: the chain's own coin where `address` is None."""

    symbol: str
    chain: str
    address: str | None
    decimals: int


ETH = Token("ETH", "Ethereum", None, 18)
# Contracts of the real chain, so that a client which knows these runs unchanged.
TOKENS = (
    ETH,
    Token("USDT", "Ethereum", "0xdac17f958d2ee523a2206206994597c13d831ec7", 6),
    Token("USDC", "Ethereum", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", 6),
    Token("DAI", "Ethereum", "0x6b175474e89094c44da98b954eedeac495271d0f", 18),
    Token("WBTC", "Ethereum", "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599", 8),
    Token("WETH", "Ethereum", "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", 18),
    Token("BTC", "Bitcoin", None, 8),
    # Anybody may name a token anything; a publisher shows the name as it is.
    Token("<script>alert(1)</script>", "Ethereum", "0x" + "66" * 20, 18),
)
HOSTILE = TOKENS[-1]

# Whole tokens on the first day, all accounts of an exchange together.
RESERVES: dict[str, dict[str, float]] = {
    "binance": {"ETH": 4.1e6, "USDT": 2.2e10, "USDC": 4.5e9, "DAI": 2.1e7, "WBTC": 2_000, "WETH": 3_000, "BTC": 590_000, HOSTILE.symbol: 7e6},
    "okx": {"ETH": 1.4e6, "USDT": 6.0e9, "USDC": 6e8, "WBTC": 150, "BTC": 125_000},
    "bybit": {"ETH": 5.3e5, "USDT": 4.1e9, "USDC": 5e8, "BTC": 62_000},
    "bitfinex": {"ETH": 3.9e5, "USDT": 3.0e8, "WBTC": 40, "BTC": 360_000},
    "deribit": {"ETH": 9e4, "USDC": 9e8, "BTC": 33_000},
}  # fmt: skip

# Accounts that the exchanges are known by on the Ethereum chain, and the share of the exchange's holding in 1/1,000.
ACCOUNTS: dict[str, dict[str, int]] = {
    "binance": {"0x28c6c06298d514db089934071355e5743bf21d60": 300, "0xf977814e90da44bfa03b6295a0616a897441acec": 550},
    "bybit": {"0xf89d7b9c864f589bbf53a82105107622b35eaa40": 400},
    "bitfinex": {"0x77134cbc06cb00b66f4c7e623d5fdbf6777635ec": 900},
}


class Holdings:
    """The world's holdings.

    Parameters
    ----------
    world : World
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.start = world.start - timedelta(days=WARM_DAYS)
        self.days_count = WARM_DAYS + world.days_count
        _, returns = world.daily_returns(world.assets[0])
        # The last midnight closes the world's last day.
        self._moves = returns[-self.days_count :]

    def supply(self, coin: Stablecoin, chain: str, at: datetime) -> float:
        """Return the coins in circulation on a chain."""
        return coin.supply_by_chain[chain] * self._factor(at, "supply", coin.symbol, chain)

    def price(self, coin: Stablecoin, at: datetime) -> float:
        """Return the price of a coin in dollars; the day of the crash breaks the peg of one."""
        noise = 0.0002 * (self._factor(at, "price", coin.symbol) - 1.0)
        broken = coin.symbol == BREAKS and self.world.crash_day is not None and at.date() == self.world.crash_day
        return round(coin.peg_usd * ((BROKEN_PEG if broken else 1.0) + noise), 6)

    def reserve(self, exchange: str, token: Token, at: datetime) -> int:
        """Return what an exchange holds of a token, in base units."""
        whole = RESERVES[exchange].get(token.symbol, 0.0)
        factor = self._factor(at, "reserve", exchange, token.symbol) if whole else 1.0
        # In whole millionths first: floats hold no 26 digits.
        return int(round(whole * factor * 10**6) * 10**token.decimals // 10**6)

    def balance(self, account: str, token: Token, at: datetime) -> int:
        """Return what an account of the Ethereum chain holds, in base units: nothing where nobody knows it."""
        for exchange, shares in ACCOUNTS.items():
            if account in shares and token.chain == "Ethereum":
                return self.reserve(exchange, token, at) * shares[account] // 1_000
        return 0

    def _factor(self, at: datetime, *what: str) -> float:
        """Return how an amount stands to its first, on the line between two midnights."""
        path = self._path(what)
        place = (at - self.start) / timedelta(days=1)
        if not 0 <= place <= self.days_count:
            raise ValueError(
                f"the world's holdings run from {self.start} on for {self.days_count} days; asked for {at}"
            )
        return float(np.interp(place, np.arange(path.size), path))

    @lru_cache(maxsize=512)  # noqa: B019 - one object per world, and as many paths as it has amounts
    def _path(self, what: tuple[str, ...]) -> NDArray[np.float64]:
        rng = stream(self.world.seed, "holdings", *what)
        leaning = {"supply": 0.02, "reserve": -0.15}.get(what[0], 0.0)
        steps = leaning * self._moves + 0.004 * rng.standard_normal(self.days_count)
        return np.asarray(np.exp(np.concatenate([[0.0], np.cumsum(steps)])))
