"""A made-up EVM chain: blocks with hashes, transactions, logs and bloom filters, and forks of a wanted depth.

Belongs here: what a chain is. Does not: the JSON-RPC dialect (``evm_node.py``), what contracts do (``lending_pool.py``).
Block hashes are SHA-256 over the content, as nothing outside may recompute them; blooms are Ethereum's own.

References
----------
Ethereum yellow paper, 4.3.1: the logs bloom takes three times 11 bits of the Keccak-256 of every address and topic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_utils.crypto import keccak

BLOOM_BITS = 2048


@dataclass(frozen=True)
class Log:
    """One log: its contract, up to four topics, data; all in lower-case hex."""

    address: str
    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True)
class Block:
    """One block; `transactions` holds the logs of each transaction, `state` whatever the contracts remember after it."""

    height: int
    hash: str
    parent_hash: str
    timestamp_s: int
    transactions: tuple[tuple[Log, ...], ...]
    bloom: int
    state: Any = None

    def transaction_hash(self, place: int) -> str:
        """Return the hash of the transaction at a place of the block."""
        return "0x" + hashlib.sha256(f"{self.hash}/{place}".encode()).hexdigest()


# What stands in the block of a height on a branch, and what the contracts remember after it.
Content = Callable[[int, int, Any], tuple[Sequence[Sequence[Log]], Any]]


@lru_cache(maxsize=4096)
def _bits(item: str) -> int:
    digest = keccak(hexstr=item)
    bits = 0
    for i in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[i : i + 2]) % BLOOM_BITS)
    return bits


def bloom_of(logs: Sequence[Log]) -> int:
    """Return the bloom filter of some logs, as a number of 2048 bits."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bits |= _bits(item)
    return bits


class Chain:
    """A chain that grows and forks.

    Parameters
    ----------
    seed : int
        Names the chain; same seed and same calls, same hashes.
    content : callable
        Gives each block its logs and the contracts' state, from height, branch and the state before.
    first_height, start_s, block_time_s : int
        Of the first block.
    state : object
        What the contracts remember before the first block.
    """

    def __init__(
        self,
        seed: int,
        content: Content,
        *,
        first_height: int = 1,
        start_s: int = 1_770_000_000,
        block_time_s: int = 12,
        state: Any = None,
    ) -> None:
        self.seed = seed
        self.first_height = first_height
        self.branch = 0
        self.blocks: list[Block] = []
        self._content, self._first_state = content, state
        self._start_s, self._block_time_s = start_s, block_time_s

    @property
    def height(self) -> int:
        """Height of the newest block."""
        return self.first_height + len(self.blocks) - 1

    def block(self, height: int) -> Block | None:
        """Return the block of a height, None where there is none."""
        place = height - self.first_height
        return self.blocks[place] if 0 <= place < len(self.blocks) else None

    def grow(self, count: int) -> None:
        """Add blocks to the tip."""
        for _ in range(count):
            height = self.height + 1
            parent = self.blocks[-1] if self.blocks else None
            transactions, state = self._content(height, self.branch, parent.state if parent else self._first_state)
            frozen = tuple(tuple(logs) for logs in transactions)
            parent_hash = parent.hash if parent else "0x" + "00" * 32
            said = f"{self.seed}/{height}/{self.branch}/{parent_hash}/{frozen}"
            self.blocks.append(
                Block(
                    height=height,
                    hash="0x" + hashlib.sha256(said.encode()).hexdigest(),
                    parent_hash=parent_hash,
                    timestamp_s=self._start_s + (height - self.first_height) * self._block_time_s,
                    transactions=frozen,
                    bloom=bloom_of([log for logs in frozen for log in logs]),
                    state=state,
                )
            )

    def fork(self, depth: int, grow: int | None = None) -> None:
        """Take the newest `depth` blocks away and grow a branch that differs from the first block on, one longer if not told."""
        if not 0 < depth <= len(self.blocks):
            raise ValueError(f"a fork of depth {depth} does not fit a chain of {len(self.blocks)} blocks")
        del self.blocks[-depth:]
        self.branch += 1
        self.grow(depth + 1 if grow is None else grow)

    def never_forked(self) -> Chain:
        """Return a chain that has only ever had the blocks of now."""
        twin = Chain(self.seed, self._content, first_height=self.first_height)
        twin.blocks = list(self.blocks)
        return twin
