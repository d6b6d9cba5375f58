"""A made-up Solana cluster and a provider's node: slots with and without blocks, transactions, accounts, the JSON-RPC dialect, and lies.

Belongs here: the wire format and the misbehaviour. Does not: what a program's accounts hold (``kamino_market.py``), HTTP
(``evm_node.serve_node`` serves this node too). Everything that is shown is final.

References
----------
https://solana.com/docs/rpc/http: getBlock, getBlocks, getBlocksWithLimit, getFirstAvailableBlock, getGenesisHash,
getMultipleAccounts, getProgramAccounts, getSignaturesForAddress, getSlot, getTransaction; codes of errors: solana
``rpc-client-api/src/custom_error.rs``.
"""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.sandbox.kamino_market import Liquidation, Market, base58, named_key, unbase58

GENESIS = base58(named_key("genesis"))
Instructions = Sequence[Mapping[str, Any]]


class NodeError(Exception):
    """An answer with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Sent:
    """One transaction: its signature and instructions, the first of them its own and the rest called by it, with depths from 2 on."""

    signature: str
    instructions: tuple[Mapping[str, Any], ...]
    depths: tuple[int, ...]
    is_failed: bool

    def addresses(self) -> list[str]:
        """Return every address that it names, each once."""
        found = [a for one in self.instructions for a in (one["program"], *one["accounts"])]
        return list(dict.fromkeys(found))


class Cluster:
    """Slots in order; a twentieth of them is skipped.

    Parameters
    ----------
    seed : int
    market : Market
        Accounts as of the newest slot.
    first_slot, start_s, slot_time_s : int
    """

    def __init__(
        self,
        seed: int,
        market: Market,
        *,
        first_slot: int = 1_000,
        start_s: int = 1_769_986_800,
        slot_time_s: int = 600,
    ) -> None:
        self.seed, self.market = seed, market
        self.first_slot, self.slot = first_slot, first_slot - 1
        self.start_s, self.slot_time_s = start_s, slot_time_s
        # By slot, ascending.
        self.blocks: dict[int, list[Sent]] = {}
        self.slots: list[int] = []
        self.liquidations: list[tuple[int, str, Liquidation]] = []
        self._pending: list[Sent] = []
        self._sent = 0

    def send(self, instructions: Instructions, *, depths: Sequence[int] | None = None, is_failed: bool = False) -> str:
        """Put a transaction into the next block and return its signature."""
        self._sent += 1
        signature = base58(hashlib.sha512(f"{self.seed}/{self._sent}".encode()).digest())
        told = depths or [1, *[2] * (len(instructions) - 1)]
        self._pending.append(Sent(signature, tuple(instructions), tuple(told), is_failed))
        return signature

    def liquidate(self, done: Liquidation, *, by_program: bool = False, is_failed: bool = False) -> None:
        """Put a liquidation into the next block: sent by the liquidator, or by a program that it calls."""
        instructions = self.market.instructions(done)
        if by_program:
            wrapper = {"program": base58(named_key("bot")), "accounts": [done.liquidator], "data": b"\x01"}
            signature = self.send(
                [wrapper, *instructions], depths=[1, 2, *[3] * (len(instructions) - 1)], is_failed=is_failed
            )
        else:
            signature = self.send(instructions, is_failed=is_failed)
        if not is_failed:
            self.liquidations.append((-1, signature, done))

    def grow(self, count: int) -> None:
        """Add slots; what is pending goes into the first one that is not skipped."""
        for _ in range(count):
            self.slot += 1
            rng = np.random.Generator(np.random.PCG64((self.seed, self.slot)))
            if self.slot > self.first_slot and rng.random() < 0.05:
                continue
            self.blocks[self.slot], self._pending = self._pending, []
            self.slots.append(self.slot)
            self.liquidations = [
                (self.slot if at < 0 else at, signature, done) for at, signature, done in self.liquidations
            ]

    def hash_of(self, slot: int) -> str:
        """Return the hash of a slot's block."""
        return base58(hashlib.sha256(f"{self.seed}/block/{slot}".encode()).digest())

    def at_s(self, slot: int) -> int:
        """Return the clock of a slot's block."""
        return self.start_s + (slot - self.first_slot) * self.slot_time_s


@dataclass
class SolanaFaults:
    """What a provider does wrong: lags, has thrown old blocks away, has lost single ones, cuts pages, leaves transactions out.

    `late_slots` newest blocks are listed and cannot be had yet.
    """

    lag_slots: int = 0
    late_slots: int = 0
    pruned_before: int = 0
    lost_slots: set[int] = field(default_factory=set)
    lost_transactions: set[str] = field(default_factory=set)
    omitted: set[str] = field(default_factory=set)
    page_cap: int | None = None
    has_stack_heights: bool = True
    missing_methods: set[str] = field(default_factory=set)


class SolanaNode:
    """One provider's node.

    Parameters
    ----------
    cluster : Cluster
    faults : SolanaFaults, optional
    genesis : str
    """

    def __init__(self, cluster: Cluster, faults: SolanaFaults | None = None, *, genesis: str = GENESIS) -> None:
        self.cluster, self.faults, self.genesis = cluster, faults or SolanaFaults(), genesis
        self.requests: list[str] = []
        self._methods: Mapping[str, Callable[..., Any]] = {
            "getGenesisHash": lambda: self.genesis,
            "getSlot": lambda *_: self.slot,
            "getFirstAvailableBlock": lambda: min(self._slots()),
            "getBlocks": lambda first, last, *_: [s for s in self._slots() if first <= s <= last],
            "getBlocksWithLimit": lambda first, limit, *_: [s for s in self._slots() if s >= first][:limit],
            "getBlock": self._block,
            "getSignaturesForAddress": self._signatures,
            "getTransaction": self._transaction,
            "getProgramAccounts": self._program_accounts,
            "getMultipleAccounts": self._accounts,
        }

    @property
    def slot(self) -> int:
        """The newest slot with a block that the node shows."""
        seen = self.cluster.slot - self.faults.lag_slots
        return self.cluster.slots[bisect_right(self.cluster.slots, max(seen, self.cluster.first_slot)) - 1]

    def handle(self, method: str, params: Any) -> dict[str, Any]:
        """Answer a request: ``{"result": ...}`` or ``{"error": {"code", "message"}}``."""
        self.requests.append(method)
        if method not in self._methods or method in self.faults.missing_methods:
            return {"error": {"code": -32601, "message": "Method not found"}}
        try:
            return {"result": self._methods[method](*params)}
        except NodeError as error:
            return {"error": {"code": error.code, "message": str(error)}}

    # -- methods

    def _slots(self) -> list[int]:
        """Return the slots whose block the node has."""
        f, head = self.faults, self.slot
        return [s for s in self.cluster.slots if f.pruned_before <= s <= head and s not in f.lost_slots]

    def _block(self, slot: int, *_: Any) -> dict[str, Any]:
        if slot < self.faults.pruned_before:
            raise NodeError(
                -32001, f"Block {slot} cleaned up, does not exist on node. First available block: {min(self._slots())}"
            )
        if slot > self.slot - self.faults.late_slots:
            raise NodeError(-32004, f"Block not available for slot {slot}")
        if slot not in self._slots():
            raise NodeError(-32009, f"Slot {slot} was skipped, or missing in long-term storage")
        # The parent is the chain's, whatever the node has lost.
        place = self.cluster.slots.index(slot)
        parent = self.cluster.slots[place - 1] if place else slot - 1
        return {
            "blockHeight": place,
            "blockTime": self.cluster.at_s(slot),
            "blockhash": self.cluster.hash_of(slot),
            "parentSlot": parent,
            "previousBlockhash": self.cluster.hash_of(parent),
        }

    def _signatures(self, address: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        told = [
            (slot, sent)
            for slot in reversed(self._slots())
            for sent in reversed(self.cluster.blocks[slot])
            if address in sent.addresses() and sent.signature not in self.faults.omitted
        ]
        names = [sent.signature for _, sent in told]
        before, until = options.get("before"), options.get("until")
        start = names.index(before) + 1 if before in names else 0
        end = names.index(until) if until in names else len(names)
        limit = min(options.get("limit", 1_000), self.faults.page_cap or 1_000)
        return [
            {
                "signature": sent.signature,
                "slot": slot,
                "err": {"InstructionError": [0, {"Custom": 6016}]} if sent.is_failed else None,
                "memo": None,
                "blockTime": self.cluster.at_s(slot),
                "confirmationStatus": "finalized",
            }
            for slot, sent in told[start:end][:limit]
        ]

    def _transaction(self, signature: str, *_: Any) -> dict[str, Any] | None:
        for slot in self._slots():
            for sent in self.cluster.blocks[slot]:
                if sent.signature == signature and signature not in self.faults.lost_transactions:
                    return self._wire(slot, sent)
        return None

    def _wire(self, slot: int, sent: Sent) -> dict[str, Any]:
        keys = sent.addresses()
        # A versioned transaction: the later half of its addresses comes from look-up tables.
        own, loaded = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        writable, readonly = loaded[: len(loaded) // 2], loaded[len(loaded) // 2 :]

        def wired(one: Mapping[str, Any], depth: int) -> dict[str, Any]:
            return {
                "programIdIndex": keys.index(one["program"]),
                "accounts": [keys.index(a) for a in one["accounts"]],
                "data": base58(one["data"]),
                "stackHeight": depth if self.faults.has_stack_heights else None,
            }

        inner = [wired(one, d) for one, d in zip(sent.instructions[1:], sent.depths[1:], strict=True)]
        return {
            "slot": slot,
            "blockTime": self.cluster.at_s(slot),
            "version": 0,
            "transaction": {
                "signatures": [sent.signature],
                "message": {
                    "accountKeys": own,
                    "instructions": [wired(sent.instructions[0], 1)],
                    "recentBlockhash": self.cluster.hash_of(slot),
                },
            },
            "meta": {
                "err": {"InstructionError": [0, {"Custom": 6016}]} if sent.is_failed else None,
                "innerInstructions": [{"index": 0, "instructions": inner}] if inner else [],
                "loadedAddresses": {"writable": writable, "readonly": readonly},
            },
        }

    def _program_accounts(self, program: str, options: Mapping[str, Any]) -> dict[str, Any]:
        found = [
            {"pubkey": base58(address), "account": self._account(program, data)}
            for address, data in self.cluster.market.accounts().items()
            if all(_passes(data, f) for f in options.get("filters", []))
        ]
        return {"context": {"slot": self.slot}, "value": found}

    def _accounts(self, addresses: Sequence[str], *_: Any) -> dict[str, Any]:
        held = {base58(a): data for a, data in self.cluster.market.accounts().items()}
        return {
            "context": {"slot": self.slot},
            "value": [self._account("", held[a]) if a in held else None for a in addresses],
        }

    @staticmethod
    def _account(owner: str, data: bytes) -> dict[str, Any]:
        return {
            "data": [base64.b64encode(data).decode(), "base64"],
            "executable": False,
            "lamports": 1,
            "owner": owner,
            "rentEpoch": 2**64 - 1,
            "space": len(data),
        }


def _passes(data: bytes, wanted: Mapping[str, Any]) -> bool:
    if "dataSize" in wanted:
        return bool(len(data) == wanted["dataSize"])
    at, value = wanted["memcmp"]["offset"], unbase58(wanted["memcmp"]["bytes"])
    return data[at : at + len(value)] == value
