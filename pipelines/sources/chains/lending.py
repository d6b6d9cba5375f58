"""Lending markets as sources: what a chain tells, as captures of days for the lake.

Belongs here: days, blocks and rows brought together. Does not: reading a chain (``evm*.py``), what a log or a getter means
(``aave.py``), the disk (``pipelines/lake``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from assets.ports import Capture, FinalityBroken, SourceOutage
from pipelines.sources.chains.aave import AaveMarket, account_query, accounts_in, instant, liquidation_query
from pipelines.sources.chains.evm import ChainNode, Header
from pipelines.sources.chains.evm_history import History, advance
from pipelines.sources.chains.evm_logs import LogReader, RangeRead
from pipelines.sources.chains.lending_markets import Deployment
from quality.schemas.raw import RAW_TABLES

# Accounts that did nothing for longer are found only where an earlier snapshot knew them.
LOOKBACK = timedelta(days=30)
# A chain's clock is behind ours by a block or two; further behind, the provider is.
CLOCK_LAG = timedelta(minutes=15)


# One provider alone is checked by receipts at a header per block: 7,200 a day on Ethereum, 345,600 on Arbitrum.
RECEIPTS_BLOCKS_PER_DAY = 10_000


class LendingSource:
    """One market read over one or more providers.

    Parameters
    ----------
    deployment : Deployment
    nodes : sequence of ChainNode
        Independent providers; two make a range verified where they agree.
    is_synthetic : bool
        Whether the chain is made up.
    lookback : timedelta
        How far back accounts are looked for.
    """

    source = "rpc"

    def __init__(
        self,
        deployment: Deployment,
        nodes: Sequence[ChainNode],
        *,
        is_synthetic: bool = False,
        lookback: timedelta = LOOKBACK,
    ) -> None:
        # A block's age at which it is final: twice the usual time, as blocks may be slow.
        self.finality_s = 2 * deployment.finality_depth * deployment.block_time_s
        self.lookback = lookback
        self.deployment, self.venue, self.is_synthetic = deployment, deployment.venue, is_synthetic
        self.nodes = tuple(nodes)
        self.market = AaveMarket(self.nodes[0], deployment)
        blocks_per_day = timedelta(days=1).total_seconds() / deployment.block_time_s
        self.calls = LogReader(
            nodes,
            liquidation_query(deployment),
            is_checking_receipts=blocks_per_day <= RECEIPTS_BLOCKS_PER_DAY,
        )
        self.accounts = LogReader(nodes, account_query(deployment), is_checking_receipts=False)

    def probe(self) -> None:
        """Ask every provider whether it shows the chain that it should.

        Raises
        ------
        SourceOutage
        """
        for node in self.nodes:
            found = node.chain_id()
            if found != self.deployment.chain_id:
                raise SourceOutage("venue_error", f"{node.name} shows chain {found}, not {self.deployment.chain_id}")

    # -- liquidation calls

    def follow(self, history: History, *, start: int) -> History:
        """Read on to the head and read again what a fork has replaced; see `advance`."""
        return advance(history, self.calls, start=start, finality_depth=self.deployment.finality_depth)

    def liquidations(self, history: History, days: Sequence[date]) -> Capture:
        """Return the calls of some days from what has been read."""
        ranges = [r for r in history.ranges if r.logs]
        tokens = self.market.tokens(self.calls.head()) if ranges else {}
        rows = [row for r in ranges for row in self.market.call_rows(r, tokens)]
        wanted = set(days)
        return captured(
            "lending_liquidations", [row for row in rows if row["occurred_at_utc"].date() in wanted], self.venue
        )

    def liquidations_of(self, day: date, last: date | None = None, *, now: datetime) -> Capture:
        """Return the calls of a UTC day, or of the days up to and with `last`, read afresh up to the head.

        Raises
        ------
        SourceOutage
            ``lagging`` where the providers have not come as far as the end of the days, or as `now`: what they do not
            tell is not calm.
        """
        after = (last or day) + timedelta(days=1)
        head = self.calls.header(self.calls.head())
        if instant(head.at_s) < min(datetime.combine(after, time()), now) - CLOCK_LAG:
            raise SourceOutage("lagging", f"{self.venue}: the newest block {head.height} is of {instant(head.at_s)}")
        first, end = self._first_block(day), self._first_block(after) - 1
        history = History(tuple(self.calls.read(first, end)) if first <= end else ())
        return self.liquidations(history, [day + timedelta(days=i) for i in range((after - day).days)])

    def demand_finality(self, blocks: Mapping[int, str]) -> None:
        """Check that blocks which were final when their rows landed still are part of the chain.

        Raises
        ------
        FinalityBroken
        SourceOutage
        """
        for height, block_hash in sorted(blocks.items()):
            now = self.calls.header(height)
            if now.hash != block_hash:
                raise FinalityBroken(
                    f"{self.venue}: block {height} was final as {block_hash} when its rows landed and is {now.hash} now: "
                    "nothing was landed; compare the providers with a third one before anything is read again"
                )

    # -- snapshots

    def final_header(self) -> Header:
        """Return the newest block that is final: snapshots are taken there, so that no fork can undo them."""
        return self.nodes[0].require(max(0, self.calls.head() - self.deployment.finality_depth))

    def reserves(self) -> Capture:
        """Return rules and totals of every reserve as of the newest final block."""
        return captured("lending_reserves", self.market.reserve_rows(self.final_header()), self.venue)

    def positions(self, accounts: Sequence[str] = (), *, start: int | None = None) -> Capture:
        """Return the borrowers' positions as of the newest final block.

        Parameters
        ----------
        accounts : sequence of str
            Accounts that are known from before; those that acted since `start` are added.
        start : int, optional
            First block in which accounts are looked for; where not given, `lookback` before the final block.
        """
        header = self.final_header()
        if start is None:
            start = self._first_block((instant(header.at_s) - self.lookback).date())
        acted = accounts_in(log for r in self.accounts.read(start, header.height) for log in r.logs)
        rows = self.market.position_rows(header, sorted({*accounts, *acted}), self.market.reserve_rows(header))
        return captured("lending_positions", rows, self.venue)

    def _first_block(self, day: date) -> int:
        """Return the height of the first block at or after the start of a UTC day; one above the head where there is none."""
        at_s = int(datetime.combine(day, time(), UTC).timestamp())
        return self.nodes[0].first_block(at_s, self.calls.head())


def touched_days(before: History, after: History) -> list[date]:
    """Return the UTC days whose calls may differ between two histories of which the second follows from the first."""
    known = set(before.ranges)
    ranges = [*after.replaced, *(r for r in after.ranges if r not in known)]
    return sorted({day for r in ranges for day in _days_of(r, after)})


def _days_of(read: RangeRead, history: History) -> list[date]:
    """Return the days that a range lies in, from the end of the range before it on."""
    ends = [r.last_at_s for r in history.ranges if r.last < read.first]
    first, last = (
        instant(ends[-1] if ends else min(read.clocks.values(), default=read.last_at_s)),
        instant(read.last_at_s),
    )
    return [first.date() + timedelta(days=i) for i in range((last.date() - first.date()).days + 1)]


def captured(dataset: str, rows: Sequence[Mapping[str, Any]], venue: str) -> Capture:
    """Return rows of a dataset as a capture, each with a hash of what the chain said."""
    schema = {**RAW_TABLES[dataset].raw_schema, "row_count": pl.Int64()}
    full = [{"payload_sha256": _sha256(row), **row, "row_count": i} for i, row in enumerate(rows, 1)]
    frame = pl.DataFrame([[row.get(name) for name in schema] for row in full], schema=schema, orient="row")
    return Capture(rows=frame, origin_note=f"{venue} over JSON-RPC")


def _sha256(row: Mapping[str, Any]) -> str:
    """Return a hash of what the chain said: answers come in chunks of any size, so that bytes of answers mean nothing."""
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()
