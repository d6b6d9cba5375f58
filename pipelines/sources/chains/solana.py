"""One provider of Solana over JSON-RPC: slots, blocks, signatures, transactions, accounts, and what its refusals mean.

Belongs here: one provider at a time, its answers as plain values, its errors told apart. Does not: which of several providers is
right (``solana_lending.py``), any program's accounts (``kamino_layout.py``), where a provider may be (``evm_provider.py``).

Everything is asked as finalized: what is final never changes, so that there are no forks to follow. A provider's URL may hold a
key in its path: no message of a library or of a provider leaves this module.

References
----------
https://solana.com/docs/rpc; codes of errors: solana ``rpc-client-api/src/custom_error.rs``. A slot without a block was skipped by
its leader; `getBlocks` lists the slots that have one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from assets.ports import SourceOutage

# Takes the body of a POST, returns status and body of the answer.
Post = Callable[[bytes], tuple[int, bytes]]

_FINAL = {"commitment": "finalized"}
# Signatures per page, slots per getBlocks, accounts per getMultipleAccounts: the documented maxima.
PAGE_SIGNATURES = 1_000
_RANGE_SLOTS = 500_000
_MANY_ACCOUNTS = 100
_SKIPPED = {-32007, -32009}
_PRUNED = {-32001, -32011}
_LAGGING = {-32004, -32005, -32014, -32016}
_HTTP_CODES = {418: "banned", 429: "rate_limited", 451: "geoblocked"}
_TOKEN_PROGRAMS = {"TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"}


class Skipped(Exception):
    """A slot has no block, or the provider does not keep it: it does not tell which."""


@dataclass(frozen=True)
class SolanaBlock:
    """A block's header; `at_s` is its clock in seconds since 1970."""

    slot: int
    parent_slot: int
    hash: str
    at_s: int


@dataclass(frozen=True, order=True)
class SignatureInfo:
    """A transaction that names an address; failed ones change nothing."""

    slot: int
    signature: str
    is_failed: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction as it was run: `depth` is 1 for the transaction's own, more for what another one called."""

    place: str
    depth: int
    program: str
    accounts: tuple[str, ...]
    data: str


@dataclass(frozen=True)
class Transaction:
    """A transaction's instructions in the order in which they ran."""

    signature: str
    slot: int
    at_s: int
    is_failed: bool
    instructions: tuple[Instruction, ...]

    def called_by(self, place: int) -> list[Instruction]:
        """Return the instructions that one of them called, directly or not."""
        caller, called = self.instructions[place], []
        for one in self.instructions[place + 1 :]:
            if one.depth <= caller.depth:
                break
            called.append(one)
        return called


@dataclass(frozen=True)
class Snapshot:
    """Accounts by address as of a slot."""

    slot: int
    data: Mapping[str, bytes]


class SolanaNode:
    """One provider.

    Parameters
    ----------
    post : callable
    name : str
        For messages; never a URL.
    """

    def __init__(self, post: Post, name: str) -> None:
        self.name = name
        self._post = post

    def genesis_hash(self) -> str:
        """Return the hash that names the cluster."""
        return str(self._ask("getGenesisHash"))

    def head(self) -> int:
        """Return the newest final slot."""
        return int(self._ask("getSlot", _FINAL))

    def first_kept(self) -> int:
        """Return the oldest slot whose block the provider still has."""
        return int(self._ask("getFirstAvailableBlock"))

    def next_with_block(self, slot: int) -> int | None:
        """Return the first slot from one on that has a block; None where there is none."""
        found = self._ask("getBlocksWithLimit", slot, 1, _FINAL)
        return int(found[0]) if found else None

    def blocks(self, first: int, last: int) -> list[int]:
        """Return the slots of a range that have a block, both ends included, as the provider tells them."""
        found: list[int] = []
        for at in range(first, last + 1, _RANGE_SLOTS):
            found += [int(s) for s in self._ask("getBlocks", at, min(last, at + _RANGE_SLOTS - 1), _FINAL)]
        if found != sorted({s for s in found if first <= s <= last}):
            raise SourceOutage("venue_error", f"{self.name} lists slots outside of {first}..{last}, or twice")
        return found

    def block(self, slot: int) -> SolanaBlock:
        """Return the header of a slot's block.

        Raises
        ------
        Skipped
            Where the provider has no block of that slot.
        SourceOutage
            ``pruned`` or ``lagging`` where it says that it has thrown it away, or not seen it yet.
        """
        said = self._ask(
            "getBlock",
            slot,
            {**_FINAL, "transactionDetails": "none", "rewards": False, "maxSupportedTransactionVersion": 0},
        )
        if said is None:
            raise Skipped(f"{self.name} has no block {slot}")
        with self._shape("a block"):
            return SolanaBlock(slot, int(said["parentSlot"]), str(said["blockhash"]), int(said["blockTime"]))

    def signatures(self, address: str, first: int, last: int) -> list[SignatureInfo]:
        """Return the transactions of a range of slots that name an address, oldest first.

        Pages go from the newest back; a page may be short and only an empty one is the end.
        """
        found: set[SignatureInfo] = set()
        before: str | None = None
        while True:
            options = {**_FINAL, "limit": PAGE_SIGNATURES, **({"before": before} if before else {})}
            page = self._ask("getSignaturesForAddress", address, options)
            with self._shape("signatures"):
                infos = [SignatureInfo(int(p["slot"]), str(p["signature"]), p["err"] is not None) for p in page]
            if not infos or infos[-1].signature == before:
                break
            found.update(i for i in infos if first <= i.slot <= last)
            if infos[-1].slot < first:
                break
            before = infos[-1].signature
        return sorted(found)

    def transaction(self, signature: str) -> Transaction:
        """Return a transaction.

        Raises
        ------
        SourceOutage
            ``pruned`` where the provider listed it and does not have it.
        """
        said = self._ask(
            "getTransaction", signature, {**_FINAL, "encoding": "json", "maxSupportedTransactionVersion": 0}
        )
        if said is None:
            raise SourceOutage("pruned", f"{self.name} lists transaction {signature} and does not have it")
        with self._shape("a transaction"):
            return _transaction(signature, said)

    def program_accounts(
        self, program: str, length: int, at: Mapping[int, bytes], base58: Callable[[bytes], str]
    ) -> Snapshot:
        """Return a program's accounts of a length that hold some bytes at some offsets."""
        filters: list[Any] = [{"dataSize": length}]
        filters += [{"memcmp": {"offset": offset, "bytes": base58(value)}} for offset, value in at.items()]
        options = {**_FINAL, "encoding": "base64", "withContext": True, "filters": filters}
        said = self._ask("getProgramAccounts", program, options)
        with self._shape("accounts"):
            data = {str(a["pubkey"]): _bytes(a["account"]) for a in said["value"]}
            return Snapshot(int(said["context"]["slot"]), data)

    def accounts(self, addresses: Sequence[str]) -> Snapshot:
        """Return some accounts; those that do not exist are left out."""
        data: dict[str, bytes] = {}
        slot = 0
        for at in range(0, len(addresses), _MANY_ACCOUNTS):
            some = list(addresses[at : at + _MANY_ACCOUNTS])
            said = self._ask("getMultipleAccounts", some, {**_FINAL, "encoding": "base64"})
            with self._shape("accounts"):
                data |= {a: _bytes(v) for a, v in zip(some, said["value"], strict=True) if v is not None}
                slot = int(said["context"]["slot"])
        return Snapshot(slot, data)

    def _shape(self, what: str) -> _Shape:
        return _Shape(self.name, what)

    def _ask(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        status, answer = self._sent(body)
        try:
            said = json.loads(answer)
            error = said.get("error")
        except (ValueError, AttributeError):
            if status != 200:
                raise SourceOutage(
                    _HTTP_CODES.get(status, "venue_error"), f"{self.name} answered HTTP {status}"
                ) from None
            raise SourceOutage("venue_error", f"{self.name} answered {method} with no JSON", "not_json") from None
        if error is not None:
            raise self._judged(method, error)
        if status != 200 or "result" not in said:
            raise SourceOutage(
                _HTTP_CODES.get(status, "venue_error"), f"{self.name} answered {method} with HTTP {status}"
            )
        return said["result"]

    def _sent(self, body: bytes) -> tuple[int, bytes]:
        try:
            return self._post(body)
        except requests.Timeout:
            raise SourceOutage("unreachable", f"{self.name} did not answer in time", "timeout") from None
        except requests.TooManyRedirects:
            raise SourceOutage("venue_error", f"{self.name} redirects: give the address that it points to") from None
        except (requests.RequestException, OSError) as error:
            raise SourceOutage("unreachable", f"{self.name}: {type(error).__name__}", "no_connection") from None

    def _judged(self, method: str, error: Any) -> Exception:
        code = error.get("code") if isinstance(error, dict) else None
        if code in _SKIPPED and method == "getBlock":
            return Skipped(f"{self.name} has no block of a slot")
        kind = "pruned" if code in _PRUNED else "lagging" if code in _LAGGING else "venue_error"
        return SourceOutage(kind, f"{self.name} refused {method} (code {code if isinstance(code, int) else 'none'})")


class _Shape:
    """Turns what an answer of another shape raises into an outage."""

    def __init__(self, name: str, what: str) -> None:
        self._name, self._what = name, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, IndexError, AttributeError)):
            raise SourceOutage(
                "venue_error", f"{self._name} answered with {self._what} of another shape", "wrong_shape"
            ) from None


def token_transfer(one: Instruction, decode: Callable[[str], bytes]) -> tuple[str, str, int] | None:
    """Return source, destination and amount of a token program's transfer; None where the instruction is none.

    Transfer is tag 3 over [source, destination, authority], TransferChecked tag 12 over [source, mint, destination, authority];
    the amount follows the tag as 64 bits. TransferCheckedWithFee of Token-2022 is not read.
    """
    if one.program not in _TOKEN_PROGRAMS:
        return None
    data = decode(one.data)
    if len(data) >= 9 and data[0] == 3:
        return one.accounts[0], one.accounts[1], int.from_bytes(data[1:9], "little")
    if len(data) >= 9 and data[0] == 12:
        return one.accounts[0], one.accounts[2], int.from_bytes(data[1:9], "little")
    return None


def _transaction(signature: str, said: Mapping[str, Any]) -> Transaction:
    message, meta = said["transaction"]["message"], said["meta"]
    loaded = meta.get("loadedAddresses") or {"writable": [], "readonly": []}
    keys = [str(k) for k in (*message["accountKeys"], *loaded["writable"], *loaded["readonly"])]
    inner = {int(one["index"]): one["instructions"] for one in meta["innerInstructions"]}
    ran: list[Instruction] = []
    for i, outer in enumerate(message["instructions"]):
        ran.append(_instruction(outer, f"{i}", 1, keys))
        # Without a depth it would not be known who called whom: a node that tells none is refused.
        ran += [_instruction(one, f"{i}.{j}", int(one["stackHeight"]), keys) for j, one in enumerate(inner.get(i, []))]
    return Transaction(signature, int(said["slot"]), int(said["blockTime"]), meta["err"] is not None, tuple(ran))


def _instruction(raw: Mapping[str, Any], place: str, depth: int, keys: Sequence[str]) -> Instruction:
    accounts = tuple(keys[int(a)] for a in raw["accounts"])
    return Instruction(place, depth, keys[int(raw["programIdIndex"])], accounts, str(raw["data"]))


def _bytes(account: Mapping[str, Any]) -> bytes:
    text, encoding = account["data"]
    if encoding != "base64":
        raise ValueError("base64 was asked for")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
