"""An Ethereum JSON-RPC node over a made-up chain, with a node's ways to mislead: lag, pruning, caps, omissions, forks.

Belongs here: the wire format and the misbehaviour. Does not: the chain (``evm_chain.py``), contracts (``lending_pool.py``),
a client. Usable as a function without a socket, and over HTTP on loopback.

References
----------
Ethereum execution APIs, https://ethereum.github.io/execution-apis/: eth_chainId, eth_blockNumber, eth_getBlockByNumber,
eth_getLogs, eth_getBlockReceipts, eth_getTransactionReceipt, eth_call, eth_getBalance; EIP-1474 for error codes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from pipelines.sandbox.evm_chain import Block, Chain, Log

# Answers a call of a contract from the block's state, in hex; None where nothing is there to call.
Call = Callable[[Any, str, str], str | None]


class Ledger(Protocol):
    """Who holds what besides the contracts' own state, at a block's clock (seconds since 1970)."""

    def balance(self, account: str, at_s: int) -> int:
        """Return what an account holds of the chain's own coin, in base units."""
        ...

    def call(self, to: str, data: str, at_s: int) -> str | None:
        """Answer a token's getter in hex; None where no token is there."""
        ...


class NodeError(Exception):
    """A JSON-RPC error object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class NodeFaults:
    """How a node misleads.

    Parameters
    ----------
    lag_blocks : int
        How far behind the chain it is, without saying so.
    pruned_before : int
        Blocks below this height are gone, and state below it too.
    range_cap_blocks, logs_cap_count : int or None
        Beyond these it answers with an error, as providers do.
    silent_logs_cap_count : int or None
        Beyond this it leaves the rest out and says nothing.
    omitted : set of (height, log offset)
        Logs that eth_getLogs leaves out.
    is_omitting_receipts : bool
        Whether the receipts leave the same logs out.
    has_receipts : bool
        False: eth_getBlockReceipts is not a method of this provider.
    before : callable or None
        Called with the method before each answer; may move the chain.
    """

    lag_blocks: int = 0
    pruned_before: int = 0
    range_cap_blocks: int | None = None
    logs_cap_count: int | None = None
    silent_logs_cap_count: int | None = None
    omitted: set[tuple[int, int]] = field(default_factory=set)
    is_omitting_receipts: bool = False
    has_receipts: bool = True
    before: Callable[[str], None] | None = None


class EvmNode:
    """One provider's node.

    Parameters
    ----------
    chain : Chain
    chain_id : int
    finality_depth : int
        Blocks between the tip and the block of the tag ``finalized``.
    call : callable, optional
        Answers eth_call.
    ledger : Ledger, optional
        Answers eth_getBalance, and eth_call before `call` does.
    faults : NodeFaults, optional
    """

    def __init__(
        self,
        chain: Chain,
        *,
        chain_id: int = 1,
        finality_depth: int = 64,
        call: Call | None = None,
        ledger: Ledger | None = None,
        faults: NodeFaults | None = None,
    ) -> None:
        self.chain, self.chain_id, self.finality_depth = chain, chain_id, finality_depth
        self.faults = faults or NodeFaults()
        self.requests: list[str] = []
        self._call, self._ledger = call, ledger
        self._methods: Mapping[str, Callable[..., Any]] = {
            "eth_chainId": lambda: hex(self.chain_id),
            "eth_blockNumber": lambda: hex(self.height),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getLogs": self._logs,
            "eth_getBlockReceipts": self._receipts,
            "eth_getTransactionReceipt": self._receipt,
            "eth_call": self._eth_call,
            "eth_getBalance": self._balance,
        }

    @property
    def height(self) -> int:
        """Height of the newest block that the node knows."""
        return max(self.chain.first_height, self.chain.height - self.faults.lag_blocks)

    def handle(self, method: str, params: Any) -> dict[str, Any]:
        """Answer a request: ``{"result": ...}`` or ``{"error": {"code", "message"}}``."""
        self.requests.append(method)
        if self.faults.before is not None:
            self.faults.before(method)
        if method not in self._methods or (method == "eth_getBlockReceipts" and not self.faults.has_receipts):
            return {"error": {"code": -32601, "message": f"the method {method} does not exist/is not available"}}
        try:
            return {"result": self._methods[method](*params)}
        except NodeError as error:
            return {"error": {"code": error.code, "message": str(error)}}

    # -- methods

    def _block_by_number(self, tag: str, _full: bool = False) -> dict[str, Any] | None:
        block = self._known(self._height_of(tag))
        if block is None:
            return None
        return {
            "number": hex(block.height),
            "hash": block.hash,
            "parentHash": block.parent_hash,
            "timestamp": hex(block.timestamp_s),
            "logsBloom": f"0x{block.bloom:0512x}",
            "transactions": [block.transaction_hash(i) for i in range(len(block.transactions))],
            "extraData": "0x",
            "gasLimit": hex(30_000_000),
            "gasUsed": hex(21_000),
            "miner": "0x" + "00" * 20,
        }

    def _logs(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        first, last = self._height_of(query.get("fromBlock", "latest")), self._height_of(query.get("toBlock", "latest"))
        faults = self.faults
        if faults.range_cap_blocks is not None and last - first + 1 > faults.range_cap_blocks:
            raise NodeError(-32602, f"exceed maximum block range: {faults.range_cap_blocks}")
        if first < faults.pruned_before:
            raise NodeError(4444, "pruned history unavailable")
        wanted = []
        # A node that has not seen a block yet has no logs of it, and says nothing.
        for height in range(first, min(last, self.height) + 1):
            block = self.chain.block(height)
            if block is not None and block.bloom:
                wanted += [w for w in self._wire_logs(block, faults.omitted) if _fits(w, query)]
        if faults.logs_cap_count is not None and len(wanted) > faults.logs_cap_count:
            raise NodeError(-32005, f"query returned more than {faults.logs_cap_count} results")
        return wanted[: faults.silent_logs_cap_count]

    def _receipts(self, tag: str) -> list[dict[str, Any]] | None:
        block = self._known(self._height_of(tag))
        return None if block is None else [self._wire_receipt(block, i) for i in range(len(block.transactions))]

    def _receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        for block in self.chain.blocks:
            for i in range(len(block.transactions)):
                if block.transaction_hash(i) == transaction_hash and self._known(block.height) is not None:
                    return self._wire_receipt(block, i)
        return None

    def _eth_call(self, call: Mapping[str, str], tag: str = "latest", *_: Any) -> str:
        block, to, data = self._with_state(tag), call["to"].lower(), call["data"]
        answer = None if self._ledger is None else self._ledger.call(to, data, block.timestamp_s)
        if answer is None and self._call is not None:
            answer = self._call(block.state, to, data)
        return "0x" if answer is None else answer

    def _balance(self, account: str, tag: str = "latest") -> str:
        block = self._with_state(tag)
        return hex(0 if self._ledger is None else self._ledger.balance(account.lower(), block.timestamp_s))

    # -- what is known, and how it is written

    def _height_of(self, tag: str) -> int:
        if tag in ("latest", "pending", "safe"):
            return self.height
        if tag == "finalized":
            return max(self.chain.first_height, self.height - self.finality_depth)
        if tag == "earliest":
            return self.chain.first_height
        return int(tag, 16)

    def _with_state(self, tag: str) -> Block:
        height = self._height_of(tag)
        block = self._known(height)
        if block is None:
            raise NodeError(-32000, "missing trie node" if height < self.faults.pruned_before else "header not found")
        return block

    def _known(self, height: int) -> Block | None:
        if height > self.height or height < self.faults.pruned_before:
            return None
        return self.chain.block(height)

    def _wire_receipt(self, block: Block, place: int) -> dict[str, Any]:
        omitted = self.faults.omitted if self.faults.is_omitting_receipts else frozenset()
        transaction = block.transaction_hash(place)
        return {
            "blockNumber": hex(block.height),
            "blockHash": block.hash,
            "transactionHash": transaction,
            "transactionIndex": hex(place),
            "status": "0x1",
            "gasUsed": hex(21_000),
            "cumulativeGasUsed": hex(21_000 * (place + 1)),
            "logs": [w for w in self._wire_logs(block, omitted) if w["transactionHash"] == transaction],
        }

    @staticmethod
    def _wire_logs(block: Block, omitted: Set[tuple[int, int]]) -> list[dict[str, Any]]:
        wired, offset = [], -1
        for place, logs in enumerate(block.transactions):
            transaction = block.transaction_hash(place)
            for log in logs:
                offset += 1
                if (block.height, offset) not in omitted:
                    wired.append(_wire_log(block, transaction, place, offset, log))
        return wired


def _wire_log(block: Block, transaction: str, place: int, offset: int, log: Log) -> dict[str, Any]:
    return {
        "address": log.address,
        "topics": list(log.topics),
        "data": log.data,
        "blockNumber": hex(block.height),
        "blockHash": block.hash,
        "transactionHash": transaction,
        "transactionIndex": hex(place),
        "logIndex": hex(offset),
        "removed": False,
    }


def _fits(wire: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Return whether a log fits a filter: addresses are alternatives, topics go by place, a list is alternatives."""
    address = query.get("address")
    if address is not None:
        wanted = [address] if isinstance(address, str) else address
        if wire["address"] not in [w.lower() for w in wanted]:
            return False
    for place, topic in enumerate(query.get("topics") or []):
        if topic is None:
            continue
        wanted = [topic] if isinstance(topic, str) else topic
        if place >= len(wire["topics"]) or wire["topics"][place] not in [w.lower() for w in wanted]:
            return False
    return True


class JsonRpc(Protocol):
    """What answers JSON-RPC requests."""

    def handle(self, method: str, params: Any) -> dict[str, Any]:
        """Answer a request: ``{"result": ...}`` or ``{"error": {"code", "message"}}``."""
        ...


@contextmanager
def serve_node(node: JsonRpc) -> Iterator[str]:
    """Serve a node over HTTP on loopback, one request or a batch per POST; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two writes; without this each answer waits for an acknowledgement.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            batch = asked if isinstance(asked, list) else [asked]
            said = [
                {"jsonrpc": "2.0", "id": one.get("id"), **node.handle(one["method"], one.get("params") or [])}
                for one in batch
            ]
            body = json.dumps(said if isinstance(asked, list) else said[0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a node keeps its own list of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
