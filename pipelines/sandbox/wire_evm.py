"""The world's chain behind a JSON-RPC path: the lending market and the exchanges' accounts, as one provider shows them.

Belongs here: the chain of a world, its tokens, and the path. Does not: the node (``evm_node.py``), what the market does
(``lending_pool.py``), who holds what (``holdings.py``). A request is one JSON object; batches are refused.

The chain has a number of its own, so that no client takes it for the real one, and a block every ten minutes: a chain of
blocks every twelve seconds would cost a minute per world.

References
----------
https://ethereum.github.io/execution-apis/; https://eips.ethereum.org/EIPS/eip-20 (balanceOf, decimals); EIP-1474
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from eth_abi.abi import decode, encode

from pipelines.sandbox.evm_chain import Chain
from pipelines.sandbox.evm_node import EvmNode
from pipelines.sandbox.holdings import ETH, TOKENS, Holdings
from pipelines.sandbox.lending_accounts import lending_chain, world_prices
from pipelines.sandbox.lending_pool import answer
from pipelines.sandbox.wire_json_rpc import JsonRpcWire
from pipelines.sandbox.world import World

CHAIN_ID = 1_686_001
BLOCK_TIME_S = 600
FINALITY_DEPTH = 3
# The chain begins so many days before the world's end.
CHAIN_DAYS = 3
BORROWERS_COUNT = 24

_BALANCE_OF, _DECIMALS = "70a08231", "313ce567"


class EvmWire(JsonRpcWire):
    """The world's chain as one provider shows it."""

    venue = "ethereum"

    def __init__(self, world: World) -> None:
        self.world = world
        self.start = max(world.start, world.end - timedelta(days=CHAIN_DAYS))

    @cached_property
    def chain(self) -> Chain:
        """The whole chain, up to the world's end; made when it is first asked for."""
        chain = lending_chain(
            self.world.seed,
            world_prices(self.world, self.start, BLOCK_TIME_S),
            accounts_count=BORROWERS_COUNT,
            block_time_s=BLOCK_TIME_S,
            start_s=int(self.start.replace(tzinfo=UTC).timestamp()),
        )
        # The first block stands at the start, and the last one before the end.
        chain.grow(int((self.world.end - self.start).total_seconds()) // BLOCK_TIME_S)
        return chain

    @cached_property
    def node(self) -> EvmNode:
        """The provider's node."""
        ledger = TokenLedger(Holdings(self.world))
        return EvmNode(self.chain, chain_id=CHAIN_ID, finality_depth=FINALITY_DEPTH, call=answer, ledger=ledger)

    def handle(self, method: str, params: list[Any], now: datetime) -> dict[str, Any]:
        """Answer a method with the blocks that there are at an instant."""
        mined = int((now - self.start).total_seconds()) // BLOCK_TIME_S + self.chain.first_height
        self.node.faults.lag_blocks = max(0, self.chain.height - mined)
        return self.node.handle(method, params)


class TokenLedger:
    """The exchanges' accounts as a chain's tokens and coin show them.

    Parameters
    ----------
    holdings : Holdings
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._tokens = {token.address: token for token in TOKENS if token.address is not None}

    def balance(self, account: str, at_s: int) -> int:
        """Return an account's holding of the chain's own coin."""
        return self._holdings.balance(account, ETH, _instant(at_s))

    def call(self, to: str, data: str, at_s: int) -> str | None:
        """Answer ``balanceOf`` and ``decimals`` of a token."""
        token, selector = self._tokens.get(to), data[2:10]
        if token is None or selector not in (_BALANCE_OF, _DECIMALS):
            return None
        if selector == _DECIMALS:
            return "0x" + encode(["uint8"], [token.decimals]).hex()
        (account,) = decode(["address"], bytes.fromhex(data[10:]))
        return "0x" + encode(["uint256"], [self._holdings.balance(account.lower(), token, _instant(at_s))]).hex()


def _instant(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None)
