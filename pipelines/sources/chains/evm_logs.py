"""The logs of a range of blocks from one or more providers, and how it is known that none is missing.

Belongs here: chunks that shrink and grow, agreement of providers, the account of receipts against blooms. Does not: one
provider (``evm.py``), re-organisations after the reading (``evm_history.py``), what a log means (``aave.py``).

A provider's log answer can be short without an error. A range counts as verified only where a second provider tells the
same logs, or where every block is accounted for: its bloom rules the logs out, or its receipts, whose own bloom is the
header's, tell them. Providers that disagree are settled by receipts; where these cannot be had nothing is verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from assets.ports import SourceOutage
from pipelines.sources.chains.evm import ChainLog, ChainNode, Header, LogQuery, RangeTooLarge, Unavailable, bloom_of

VerifiedBy = Literal["providers", "receipts", "unverified"]

# Blocks per question: providers cap between 500 and 10,000; a cap is met by halving, and what passes doubles up to this.
CHUNK_BLOCKS = 2_000
# Some providers cut an answer at 10,000 logs without a word; an answer of this size is asked again in halves.
SUSPECT_LOGS_COUNT = 10_000
# A chain that moves while it is read is read again; three times in one chunk is no chance.
MOVES_COUNT = 3


class ChainMoved(Exception):
    """The blocks of a range changed while they were read."""


@dataclass(frozen=True)
class RangeRead:
    """A range of blocks as read: its logs, clocks of the blocks that hold one, the hash of its last block.

    `clocks` are seconds since 1970 by height. `verified_by` says how it is known that no log is missing.
    """

    first: int
    last: int
    parent_hash: str
    last_hash: str
    last_at_s: int
    logs: tuple[ChainLog, ...]
    clocks: Mapping[int, int] = field(hash=False)
    verified_by: VerifiedBy = "unverified"


class LogReader:
    """Reads ranges of one query.

    Parameters
    ----------
    nodes : sequence of ChainNode
        Providers of one chain, independent of each other; the first is asked first.
    query : LogQuery
    chunk_blocks : int
        Most blocks per question.
    is_checking_receipts : bool
        Whether one provider alone is checked by receipts (a header per block). Providers that disagree always are.
    """

    def __init__(
        self,
        nodes: Sequence[ChainNode],
        query: LogQuery,
        *,
        chunk_blocks: int = CHUNK_BLOCKS,
        is_checking_receipts: bool = True,
    ) -> None:
        if not nodes:
            raise ValueError("a chain needs at least one provider: give its URL")
        self.nodes, self.query = tuple(nodes), query
        self.is_checking_receipts = is_checking_receipts
        self.short_answers = 0
        self._chunk_blocks = self._most_blocks = chunk_blocks

    def head(self) -> int:
        """Return the height up to which every provider has come."""
        return min(node.head() for node in self.nodes)

    def header(self, height: int) -> Header:
        """Return the first provider's header; see `ChainNode.require`."""
        return self.nodes[0].require(height)

    def read(self, first: int, last: int) -> list[RangeRead]:
        """Read blocks `first` to `last`, both included.

        Raises
        ------
        SourceOutage
            ``lagging`` or ``pruned`` where a provider lacks the blocks, and whatever else keeps it from answering.
        """
        for node in self.nodes:
            # A node that lags answers with no logs and no error, so that its silence must not be heard as calm.
            node.require(last)
        ranges: list[RangeRead] = []
        while first <= last:
            end = min(last, first + self._chunk_blocks - 1)
            try:
                done = self._settled(first, end)
            except RangeTooLarge as error:
                if end == first:
                    raise SourceOutage("venue_error", f"block {first} alone is too large: {error}") from None
                self._chunk_blocks = max(1, (end - first + 1) // 2)
                continue
            if ranges and ranges[-1].last_hash != done.parent_hash:
                raise SourceOutage(
                    "venue_error", f"the chain moved between blocks {first - 1} and {first}: read it again"
                )
            ranges.append(done)
            first = end + 1
            self._chunk_blocks = min(self._most_blocks, self._chunk_blocks * 2)
        return ranges

    def _settled(self, first: int, last: int) -> RangeRead:
        for _ in range(MOVES_COUNT):
            try:
                return self._chunk(first, last)
            except ChainMoved:
                continue
        raise SourceOutage("venue_error", f"blocks {first}..{last} kept moving while they were read: read them later")

    def _chunk(self, first: int, last: int) -> RangeRead:
        opening, closing = self.header(first), self.header(last)
        answers = [self._asked(node, first, last) for node in self.nodes]
        is_agreed = all(answer == answers[0] for answer in answers)
        logs, verified_by = self._verified(answers, first, last, is_agreed=is_agreed)
        headers = {h: self.header(h) for h in {log.height for log in logs}}
        if any(headers[log.height].hash != log.block_hash for log in logs):
            raise ChainMoved
        if self.header(last) != closing or self.header(first) != opening:
            raise ChainMoved
        if verified_by == "providers" and any(node.require(last).hash != closing.hash for node in self.nodes[1:]):
            raise ChainMoved
        return RangeRead(
            first=first,
            last=last,
            parent_hash=opening.parent_hash,
            last_hash=closing.hash,
            last_at_s=closing.at_s,
            logs=tuple(logs),
            clocks={h: header.at_s for h, header in headers.items()},
            verified_by=verified_by,
        )

    def _asked(self, node: ChainNode, first: int, last: int) -> list[ChainLog]:
        logs = node.logs(self.query, first, last)
        if len(logs) >= SUSPECT_LOGS_COUNT and last > first:
            raise RangeTooLarge(f"{len(logs)} logs: perhaps cut short")
        return logs

    def _verified(
        self, answers: Sequence[list[ChainLog]], first: int, last: int, *, is_agreed: bool
    ) -> tuple[list[ChainLog], VerifiedBy]:
        if is_agreed and len(answers) > 1:
            return answers[0], "providers"
        told = sorted({log for answer in answers for log in answer})
        if not is_agreed or self.is_checking_receipts:
            for node in self.nodes:
                accounted = self._by_receipts(node, first, last)
                if accounted is not None:
                    self.short_answers += sum(answer != accounted for answer in answers)
                    return accounted, "receipts"
        return told, "unverified"

    def _by_receipts(self, node: ChainNode, first: int, last: int) -> list[ChainLog] | None:
        """Return the logs of a range block by block; None where this provider cannot account for each of them."""
        found: list[ChainLog] = []
        before: Header | None = None
        for height in range(first, last + 1):
            header = node.require(height)
            if before is not None and header.parent_hash != before.hash:
                raise ChainMoved
            before = header
            if not self.query.may_be_in(header.bloom):
                continue
            try:
                logs = node.receipt_logs(height)
            except Unavailable:
                return None
            if bloom_of(logs) != header.bloom or any(log.block_hash != header.hash for log in logs):
                return None
            if [log.offset for log in logs] != list(range(len(logs))):
                return None
            found += [log for log in logs if self.query.fits(log)]
        return found
