"""What has been read of a chain so far, kept true while the chain re-organises.

Belongs here: finding where a chain left what was read, reading it again from there, stopping where that lies below
finality. Does not: reading a range (``evm_logs.py``), days and the lake (``lending.py``).

Above finality a range is kept short, so that a fork costs little. Below it no block may change: where one does, nothing
that was landed can be trusted, and the reading stops until a person has looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assets.ports import FinalityBroken, SourceOutage
from pipelines.sources.chains.evm import Header
from pipelines.sources.chains.evm_logs import LogReader, RangeRead

# Ranges above finality: a fork throws away at most this many blocks too many.
TIP_BLOCKS = 16


@dataclass(frozen=True)
class History:
    """What has been read: ranges in order, without a gap.

    `checkpoint` is the newest block that was final at the last step; it must never change. `replaced` are the ranges that
    the last step threw away.
    """

    ranges: tuple[RangeRead, ...] = ()
    checkpoint: Header | None = None
    replaced: tuple[RangeRead, ...] = ()


def advance(history: History, reader: LogReader, *, start: int, finality_depth: int) -> History:
    """Read on to the head of the chain, and read again what a fork has replaced.

    Parameters
    ----------
    history : History
    reader : LogReader
    start : int
        First block of an empty history.
    finality_depth : int
        A block with this many blocks on top of it is final.

    Raises
    ------
    FinalityBroken
        Where a final block has another hash than when it was read.
    SourceOutage
        Where the providers do not answer, lag behind what was read, or the chain moves meanwhile; the history that was
        given stays valid.
    """
    head = reader.head()
    if history.ranges and head < history.ranges[-1].last:
        # Not a fork that took blocks away: what was read stays until a longer chain shows other blocks.
        raise SourceOutage("lagging", f"the providers are at block {head}; {history.ranges[-1].last} was read before")
    if history.checkpoint is not None:
        _demand_finality(history.checkpoint, reader, finality_depth)
    kept = _unforked(history.ranges, reader)
    first, final = (kept[-1].last + 1 if kept else start), head - finality_depth
    fresh = reader.read(first, final) if first <= final else []
    for at in range(max(first, final + 1), head + 1, TIP_BLOCKS):
        fresh += reader.read(at, min(head, at + TIP_BLOCKS - 1))
    ranges = (*kept, *fresh)
    if any(a.last_hash != b.parent_hash for a, b in pairwise(ranges)):
        raise SourceOutage("venue_error", "the chain moved while it was read: read it again")
    checkpoint = reader.header(final) if final >= start else None
    return History(ranges, checkpoint, history.ranges[len(kept) :])


def _demand_finality(checkpoint: Header, reader: LogReader, finality_depth: int) -> None:
    now = reader.header(checkpoint.height)
    if now.hash != checkpoint.hash:
        raise FinalityBroken(
            f"block {checkpoint.height} was final ({finality_depth} blocks deep) as {checkpoint.hash} and is {now.hash} now: "
            "nothing was landed; compare the providers with a third one before anything is read again"
        )


def _unforked(ranges: Sequence[RangeRead], reader: LogReader) -> tuple[RangeRead, ...]:
    """Return the ranges that still are part of the chain: those up to the newest whose last block has kept its hash."""
    for place in range(len(ranges), 0, -1):
        if reader.header(ranges[place - 1].last).hash == ranges[place - 1].last_hash:
            return tuple(ranges[:place])
    return ()
