"""One provider of an EVM chain over JSON-RPC: headers, logs, receipts and calls, and what its refusals mean.

Belongs here: web3.py, one provider at a time, its errors told apart. Does not: which of several providers is right
(``evm_logs.py``), re-organisations (``evm_history.py``), any contract (``aave.py``), where a provider may be
(``evm_provider.py``).

A provider's URL may hold a key in its path, and web3's and requests' errors repeat it: no message and no cause of theirs
leaves this module.

References
----------
Ethereum execution APIs, https://ethereum.github.io/execution-apis/; EIP-1474 (error codes). web3.py 8 documentation.
"""

from __future__ import annotations

import pipelines.sources.chains.recursion  # noqa: F401 - before web3

# isort: split

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import requests
from eth_utils.crypto import keccak
from web3 import Web3
from web3.exceptions import BlockNotFound, MethodUnavailable, Web3Exception, Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import BaseProvider

from assets.ports import SourceOutage

# Words by which providers say that a question was too large; their codes differ (-32005, -32602, -32000, 35000 ...).
_TOO_LARGE = re.compile(
    r"more than [\d,]+ results|block range|range (?:is )?too (?:large|wide)|response size|too many (?:results|logs|blocks)"
    r"|limit exceeded|exceeds? (?:the )?(?:max|limit)|query timeout|timed out",
    re.IGNORECASE,
)
_PRUNED = re.compile(r"prun|missing trie node|history (?:is )?(?:not available|unavailable)|archive", re.IGNORECASE)
_BLOOM_BITS = 2048


class RangeTooLarge(Exception):
    """A provider refuses a range or a number of results; a smaller one may pass."""


class Unavailable(Exception):
    """A provider does not offer a method."""


@dataclass(frozen=True)
class Header:
    """A block's header as far as we use it; `at_s` is its clock in seconds since 1970, `bloom` its logs bloom."""

    height: int
    hash: str
    parent_hash: str
    at_s: int
    bloom: int


@dataclass(frozen=True, order=True)
class ChainLog:
    """One log in lower-case hex, ordered by block and place."""

    height: int
    offset: int
    block_hash: str
    transaction_hash: str
    address: str
    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True)
class LogQuery:
    """Which logs: of these contracts, with one of these first topics; lower-case hex."""

    addresses: tuple[str, ...]
    topics: tuple[str, ...]

    def fits(self, log: ChainLog) -> bool:
        """Return whether a log is asked for."""
        return log.address in self.addresses and bool(log.topics) and log.topics[0] in self.topics

    def may_be_in(self, bloom: int) -> bool:
        """Return whether a block with this bloom may hold such a log; False is certain."""
        return any(holds(bloom, a) for a in self.addresses) and any(holds(bloom, t) for t in self.topics)


class ChainNode:
    """One provider.

    Parameters
    ----------
    provider : web3.providers.base.BaseProvider
    name : str
        For messages; never a URL.
    """

    def __init__(self, provider: BaseProvider, name: str) -> None:
        self.name = name
        self.web3 = Web3(provider)
        # Chains of one sequencer write more than 32 bytes of extra data, which web3 refuses otherwise.
        self.web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)

    def chain_id(self) -> int:
        """Return the chain's number."""
        return int(self._ask(lambda: self.web3.eth.chain_id))

    def head(self) -> int:
        """Return the height of the newest block that this provider knows."""
        return int(self._ask(lambda: self.web3.eth.block_number))

    def header(self, height: int) -> Header | None:
        """Return the header of a height, None where the provider has none."""
        try:
            block = self._ask(lambda: self.web3.eth.get_block(height))
        except BlockNotFound:
            return None
        return Header(
            height=int(block["number"]),
            hash=_hex(block["hash"]),
            parent_hash=_hex(block["parentHash"]),
            at_s=int(block["timestamp"]),
            bloom=int(_hex(block["logsBloom"]), 16),
        )

    def require(self, height: int) -> Header:
        """Return the header of a height.

        Raises
        ------
        SourceOutage
            ``lagging`` where the provider has not come that far, ``pruned`` where it has thrown the block away.
        """
        header = self.header(height)
        if header is None:
            head = self.head()
            code, why = ("lagging", f"it is at {head}") if head < height else ("pruned", f"its head is {head}")
            raise SourceOutage(code, f"{self.name} has no block {height}: {why}")
        return header

    def logs(self, query: LogQuery, first: int, last: int) -> list[ChainLog]:
        """Return the logs of a range, ordered, as the provider tells them: they may be short without an error.

        Raises
        ------
        RangeTooLarge
            Where the provider wants a smaller question.
        SourceOutage
        """
        asked = {
            "address": [self.web3.to_checksum_address(a) for a in query.addresses],
            "topics": [list(query.topics)],
            "fromBlock": first,
            "toBlock": last,
        }
        found = self._ask(lambda: self.web3.eth.get_logs(asked))  # type: ignore[arg-type]  # a plain dict is a FilterParams
        logs = sorted({_log(raw) for raw in found if not raw.get("removed")})
        strange = [log for log in logs if not (first <= log.height <= last and query.fits(log))]
        if strange:
            raise SourceOutage("venue_error", f"{self.name} answered {first}..{last} with a log of {strange[0].height}")
        return logs

    def receipt_logs(self, height: int) -> list[ChainLog]:
        """Return every log of a block by its receipts, whatever contract.

        Raises
        ------
        Unavailable
            Where the provider does not offer receipts by block.
        SourceOutage
        """
        receipts = self._ask(lambda: self.web3.eth.get_block_receipts(height))
        if receipts is None:
            raise SourceOutage("venue_error", f"{self.name} has no receipts of block {height}")
        return sorted(_log(raw) for receipt in receipts for raw in receipt["logs"])

    def call(self, to: str, data: str, height: int) -> bytes:
        """Return what a contract answers as of a block.

        Raises
        ------
        SourceOutage
            ``pruned`` where the provider no longer keeps that state.
        """
        asked = {"to": self.web3.to_checksum_address(to), "data": data}
        return bytes(self._ask(lambda: self.web3.eth.call(asked, height)))  # type: ignore[arg-type]  # a plain dict is a TxParams

    def balance(self, account: str, height: int) -> int:
        """Return what an account holds of the chain's own coin as of a block, in base units.

        Raises
        ------
        SourceOutage
            ``pruned`` where the provider no longer keeps that state.
        """
        return int(self._ask(lambda: self.web3.eth.get_balance(self.web3.to_checksum_address(account), height)))

    def first_block(self, at_s: int, head: int) -> int:
        """Return the height of the first block at or after a clock (seconds since 1970); `head` + 1 where there is none.

        Parameters
        ----------
        at_s : int
        head : int
            The newest block that counts.
        """
        low, high = 0, head + 1
        while low < high:
            middle = (low + high) // 2
            header = self.header(middle)
            # Below what a pruned node keeps lies the past.
            if header is None or header.at_s < at_s:
                low = middle + 1
            else:
                high = middle
        return low

    def _ask(self, ask: Any) -> Any:
        try:
            return ask()
        except BlockNotFound:
            raise
        except MethodUnavailable:
            raise Unavailable(f"{self.name} does not offer it") from None
        except Web3RPCError as error:
            raise self._judged(error) from None
        except requests.HTTPError as error:
            raise self._refused(error) from None
        except (requests.RequestException, OSError):
            raise SourceOutage("unreachable", f"{self.name} cannot be reached") from None
        except (Web3Exception, ValueError, KeyError, TypeError) as error:
            raise SourceOutage("venue_error", f"{self.name} answered with {type(error).__name__}") from None

    def _judged(self, error: Web3RPCError) -> Exception:
        said = (error.rpc_response or {}).get("error")
        message = str(said.get("message", "")) if isinstance(said, dict) else str(said or error)
        code = said.get("code") if isinstance(said, dict) else None
        if code == -32601:
            return Unavailable(f"{self.name} does not offer it")
        if _PRUNED.search(message):
            return SourceOutage("pruned", f"{self.name} no longer keeps that block ({_short(message)})")
        if _TOO_LARGE.search(message):
            return RangeTooLarge(f"{self.name}: {_short(message)}")
        return SourceOutage("venue_error", f"{self.name} refused ({_short(message)})")

    def _refused(self, error: requests.HTTPError) -> Exception:
        status = error.response.status_code if error.response is not None else 0
        if status in (400, 413):  # some providers answer a range that is too large with the status alone
            return RangeTooLarge(f"{self.name}: HTTP {status}")
        code = {418: "banned", 429: "rate_limited", 451: "geoblocked"}.get(status, "venue_error")
        return SourceOutage(code, f"{self.name} answered HTTP {status}")


def bloom_of(logs: Sequence[ChainLog]) -> int:
    """Return the bloom that a block with exactly these logs has."""
    bits = 0
    for item in {x for log in logs for x in (log.address, *log.topics)}:
        bits |= _bits(item)
    return bits


def holds(bloom: int, item: str) -> bool:
    """Return whether an address or a topic may be among the logs of a block with this bloom; False is certain."""
    bits = _bits(item)
    return bloom & bits == bits


@lru_cache(maxsize=65_536)
def _bits(item: str) -> int:
    digest = keccak(hexstr=item)
    pairs = (int.from_bytes(digest[i : i + 2]) for i in (0, 2, 4))
    return sum({1 << (pair % _BLOOM_BITS) for pair in pairs})


def _log(raw: Any) -> ChainLog:
    return ChainLog(
        height=int(raw["blockNumber"]),
        offset=int(raw["logIndex"]),
        block_hash=_hex(raw["blockHash"]),
        transaction_hash=_hex(raw["transactionHash"]),
        address=str(raw["address"]).lower(),
        topics=tuple(_hex(t) for t in raw["topics"]),
        data=_hex(raw["data"]),
    )


def _hex(value: Any) -> str:
    text = value if isinstance(value, str) else bytes(value).hex()
    return (text if text.startswith("0x") else f"0x{text}").lower()


def _short(message: str) -> str:
    # A provider may repeat the key it was asked with: no address of any kind is passed on.
    plain = re.sub(r"\S*(?:://|/v\d|[0-9a-zA-Z_-]{24,})\S*", "...", " ".join(message.split()))
    return "".join(c for c in plain if c.isprintable())[:160]
