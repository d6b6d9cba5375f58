"""Accounts that are known to belong to exchanges, and what they hold by a chain's own word.

Belongs here: which accounts (the seed's) and tokens are looked at, and the rows of a day. Does not: one provider (``evm.py``), what
publishers tell of exchanges (``defillama.py``), what a day's change is worth (``dbt/models/marts/holdings``).

An account that nobody labelled is not seen, so sums are *at least*. Tokens are known by their contract's address and never by the
symbol that a contract gives itself. Every provider must tell the same block and the same balance.

References
----------
https://eips.ethereum.org/EIPS/eip-20 (balanceOf, decimals)
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeVar

from eth_abi.abi import encode

from assets.ports import Capture, Clock, SourceOutage
from pipelines.sources.chains.evm import ChainNode, Header
from pipelines.sources.chains.lending_markets import Deployment
from pipelines.sources.gathered import Gathered

T = TypeVar("T")

NATIVE = "native"
CLOCK_LAG = timedelta(minutes=15)
_BALANCE_OF, _DECIMALS = "0x70a08231", "0x313ce567"


@dataclass(frozen=True)
class Account:
    """A labelled account: whose it is, and the first day on which we count it."""

    address: str
    exchange: str
    valid_from: date


@dataclass(frozen=True)
class Token:
    """A token by its contract, or the chain's own coin (`NATIVE`)."""

    symbol: str
    address: str
    decimals: int


TOKENS: dict[str, tuple[Token, ...]] = {
    "ethereum": (
        Token("ETH", NATIVE, 18),
        Token("WETH", "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", 18),
        Token("WBTC", "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599", 8),
        Token("USDT", "0xdac17f958d2ee523a2206206994597c13d831ec7", 6),
        Token("USDC", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", 6),
        Token("DAI", "0x6b175474e89094c44da98b954eedeac495271d0f", 18),
    ),
    "arbitrum": (
        Token("ETH", NATIVE, 18),
        Token("WETH", "0x82af49447d8a07e3bd95bd0d56f35241523fbab1", 18),
        Token("WBTC", "0x2f2a2543b76a4166549f7aab2e75bef0aefc5b0f", 8),
        Token("USDT", "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9", 6),
        Token("USDC", "0xaf88d065e77c8cc2239327c5edb3a432268e5831", 6),
    ),
}


def labelled_accounts(seed: Path, chain: str) -> tuple[Account, ...]:
    """Return the accounts of a chain out of the seed ``exchange_addresses.csv``."""
    with seed.open(encoding="utf-8", newline="") as file:
        return tuple(
            Account(row["address"], row["exchange"], date.fromisoformat(row["valid_from_date_utc"]))
            for row in csv.DictReader(file)
            if row["chain"] == chain
        )


class ExchangeAccounts:
    """The labelled accounts of one chain (``assets.ports.PublishedSource``).

    Parameters
    ----------
    deployment : Deployment
        Any market of the chain: its number and its depth of finality are taken from there.
    nodes : sequence of ChainNode
        Providers; each is asked, and all must agree.
    accounts : sequence of Account
    clock : Clock
        Ours: a chain that is far behind it is not heard.
    is_synthetic : bool
        Whether the chain is made up.
    """

    source = "rpc"
    left_out: Mapping[str, str] = {}
    shows_all = False

    def __init__(
        self,
        deployment: Deployment,
        nodes: Sequence[ChainNode],
        accounts: Sequence[Account],
        *,
        clock: Clock,
        is_synthetic: bool = False,
    ) -> None:
        self.venue, self.is_synthetic = deployment.chain, is_synthetic
        self._deployment, self._nodes, self._accounts = deployment, tuple(nodes), tuple(accounts)
        self._tokens = TOKENS[deployment.chain]
        self._clock = clock
        # The newest final block is so far behind our clock at most; blocks may be slow.
        self._lag = timedelta(seconds=2 * deployment.finality_depth * deployment.block_time_s) + CLOCK_LAG

    def fetch(self, dataset: str, first: date, last: date) -> Capture:
        """Return what the accounts held at the last final block of each day.

        Raises
        ------
        SourceOutage
            ``lagging`` where the chain has no final block of a day yet, ``pruned`` where a provider no longer keeps the state
            of one (old days need a provider with an archive), ``venue_error`` where providers disagree or answer short.
        """
        self._probe()
        final = min(node.head() for node in self._nodes) - self._deployment.finality_depth
        gathered = Gathered(dataset)
        for i in range((last - first).days + 1):
            day = first + timedelta(days=i)
            header = self._last_final(day, final)
            if i == 0:
                self._check_decimals(header.height)
            gathered.add(self._rows(day, header))
        return Capture(gathered.frame(), origin_note=f"{self.venue} over JSON-RPC")

    def _probe(self) -> None:
        for node in self._nodes:
            found = node.chain_id()
            if found != self._deployment.chain_id:
                raise SourceOutage("venue_error", f"{node.name} shows chain {found}, not {self._deployment.chain_id}")

    def _last_final(self, day: date, final: int) -> Header:
        midnight = int(datetime.combine(day + timedelta(days=1), time(), UTC).timestamp())
        height = max(0, self._nodes[0].first_block(midnight, final) - 1)
        header = self._nodes[0].require(height)
        at, due = _instant(header.at_s), min(self._clock.now(), _instant(midnight)) - self._lag
        if at.date() != day or at < due:
            raise SourceOutage("lagging", f"{self.venue}: the last final block of {day} is of {at:%Y-%m-%d %H:%M:%S}")
        self._agreed(f"block {height}", lambda node: node.require(height).hash)
        return header

    def _rows(self, day: date, header: Header) -> Iterator[dict[str, Any]]:
        for account in self._accounts:
            if account.valid_from > day:
                continue
            for token in self._tokens:
                row = {
                    "venue": self.venue,
                    "exchange": account.exchange,
                    "holder_chain": self.venue,
                    "holder_address": account.address,
                    "held_symbol": token.symbol,
                    "held_token": token.address,
                    "held_decimals_count": token.decimals,
                    "observed_at_utc": _instant(header.at_s),
                    "block_height": header.height,
                    "block_hash": header.hash,
                    "balance_raw": str(self._balance(account.address, token, header.height)),
                    "amounts_unit": "base_units",
                }
                yield {**row, "payload_sha256": _sha256(row)}

    def _balance(self, account: str, token: Token, height: int) -> int:
        if token.address == NATIVE:
            return self._agreed(f"the coin of {account}", lambda node: node.balance(account, height))
        return self._number(token, _BALANCE_OF + encode(["address"], [account]).hex(), height, f"of {account}")

    def _check_decimals(self, height: int) -> None:
        """Ask each token how it is scaled: another token at an address, or none, would be another quantity."""
        for token in self._tokens:
            told = token.decimals if token.address == NATIVE else self._number(token, _DECIMALS, height, "in decimals")
            if told != token.decimals:
                reason = f"{token.symbol} has {told} decimals, not {token.decimals}"
                raise SourceOutage("venue_error", f"{self.venue}: {reason}")

    def _number(self, token: Token, data: str, height: int, what: str) -> int:
        """Return the one whole number that a getter of a token answers with."""
        return self._agreed(
            f"{token.symbol} {what}", lambda node: _word(node, token, node.call(token.address, data, height))
        )

    def _agreed(self, what: str, ask: Callable[[ChainNode], T]) -> T:
        """Return what all providers tell."""
        told = [ask(node) for node in self._nodes]
        if any(one != told[0] for one in told):
            names = ", ".join(node.name for node in self._nodes)
            raise SourceOutage("venue_error", f"{self.venue}: the providers ({names}) disagree on {what}")
        return told[0]


def _word(node: ChainNode, token: Token, answer: bytes) -> int:
    """Return the one whole number of an answer: a contract that is not there answers with nothing, which is not 0."""
    if len(answer) != 32:
        raise SourceOutage(
            "venue_error", f"{node.name} answered {len(answer)} bytes of 32 for {token.symbol}: no balance"
        )
    return int.from_bytes(answer)


def _instant(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None)


def _sha256(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()
