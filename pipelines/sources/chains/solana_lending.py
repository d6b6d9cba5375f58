"""Lending markets on Solana as sources: what the chain tells, as captures of days for the lake.

Belongs here: days, slots, providers and rows brought together. Does not: one provider (``solana.py``), what an account or an
instruction means (``kamino.py``), the disk (``pipelines/lake``).

Liquidations are found by the reserves' fee vaults: every liquidation must name the one of the reserve that it seizes from. Loans and
withdrawals of fees name them too, deposits and refreshes, most of a market's transactions, do not. A provider may keep less than it lists, and says nothing of what it does not keep: the slots of a range must follow each
other without a hole, and what two providers list alike is called verified.

References
----------
docs/lending.md, "Solana".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from assets.ports import Capture, FinalityBroken, SourceOutage
from pipelines.sources.chains.aave import instant
from pipelines.sources.chains.kamino import (
    PROGRAM,
    KaminoReserve,
    call_rows,
    group_thresholds,
    position_rows,
    reserve_of,
)
from pipelines.sources.chains.kamino_layout import account_length, base58_of, bytes_of, discriminator, offset_in
from pipelines.sources.chains.lending import CLOCK_LAG, captured
from pipelines.sources.chains.lending_markets import SolanaDeployment
from pipelines.sources.chains.solana import SignatureInfo, Skipped, SolanaBlock, SolanaNode, Transaction

# One provider alone is asked for the block after every hole, up to so many a day (about 5 % of 216,000 slots are skipped); of more
# holes the longest ones, as storage is lost in long ranges.
HOLES_PER_DAY = 10_000
# Blocks can be had some slots (of 0.4 s) after they are final.
LATE_SLOTS = 64


class SolanaLendingSource:
    """One market read over one or more providers.

    Parameters
    ----------
    deployment : SolanaDeployment
    nodes : sequence of SolanaNode
        Independent providers; two make a range verified where they agree.
    is_synthetic : bool
        Whether the chain is made up.
    """

    source = "rpc"
    # What is asked as finalized is final.
    finality_s = 0.0

    def __init__(
        self, deployment: SolanaDeployment, nodes: Sequence[SolanaNode], *, is_synthetic: bool = False
    ) -> None:
        if not nodes:
            raise ValueError("a chain needs at least one provider: give its URL")
        self.deployment, self.venue, self.is_synthetic = deployment, deployment.venue, is_synthetic
        self.nodes = tuple(nodes)

    def probe(self) -> None:
        """Ask every provider whether it shows the cluster that it should.

        Raises
        ------
        SourceOutage
        """
        for node in self.nodes:
            if node.genesis_hash() != self.deployment.genesis_hash:
                raise SourceOutage("venue_error", f"{node.name} shows another cluster than {self.deployment.chain}")

    def demand_finality(self, blocks: Mapping[int, str]) -> None:
        """Check that blocks whose rows landed still are part of the chain.

        Raises
        ------
        FinalityBroken
        SourceOutage
        """
        for slot, block_hash in sorted(blocks.items()):
            now = self._block(slot).hash
            if now != block_hash:
                raise FinalityBroken(
                    f"{self.venue}: slot {slot} was final as {block_hash} when its rows landed and is {now} now: nothing was "
                    "landed; compare the providers with a third one before anything is read again"
                )

    # -- liquidation calls

    def liquidations_of(self, day: date, last: date | None = None, *, now: datetime) -> Capture:
        """Return the liquidations of a UTC day, or of the days up to and with `last`.

        Raises
        ------
        SourceOutage
            ``lagging`` where a provider has not come as far as the end of the days, or as `now`; ``pruned`` where it has thrown
            their beginning away.
        """
        begins = datetime.combine(day, time())
        ends = datetime.combine((last or day) + timedelta(days=1), time())
        heads = [self._newest_block(node, node.head()) for node in self.nodes]
        for node, head in zip(self.nodes, heads, strict=True):
            if instant(head.at_s) < min(ends, now) - CLOCK_LAG:
                raise SourceOutage(
                    "lagging", f"{node.name}: the newest final slot {head.slot} is of {instant(head.at_s)}"
                )
        # As far as every provider has come.
        most = min(head.slot for head in heads)
        first, end = self._first_slot(begins, most), self._first_slot(ends, most) - 1
        for node in self.nodes:
            kept = node.first_kept()
            if kept > first:
                raise SourceOutage("pruned", f"{node.name} keeps blocks from slot {kept} on; {first} was asked for")
        if first > end:
            return captured("lending_liquidations", [], self.venue)
        self._demand_slots(first, end, (ends - begins).days)
        reserves = self._reserves()[0]
        told = [self._listed(node, reserves, first, end) for node in self.nodes]
        verified_by = "providers" if len(told) > 1 and all(t == told[0] for t in told) else "unverified"
        rows = [
            row | self._place() | {"verified_by": verified_by}
            for info in sorted(set().union(*told))
            for row in self._rows(info, reserves)
        ]
        return captured("lending_liquidations", rows, self.venue)

    def _listed(
        self, node: SolanaNode, reserves: Mapping[str, KaminoReserve], first: int, last: int
    ) -> set[SignatureInfo]:
        vaults = sorted({r.fee_vault for r in reserves.values()})
        return {i for vault in vaults for i in node.signatures(vault, first, last) if not i.is_failed}

    def _rows(self, info: SignatureInfo, reserves: Mapping[str, KaminoReserve]) -> list[dict[str, Any]]:
        found = self._first_answer(info.signature)
        try:
            rows = call_rows(found, self.deployment.market_address, reserves)
        except (ValueError, IndexError):
            raise SourceOutage(
                "venue_error", f"{self.venue}: transaction {found.signature} cannot be read", "wrong_shape"
            ) from None
        if not rows:
            return []
        block = self._block(found.slot)
        return [
            row | {"occurred_at_utc": instant(block.at_s), "block_height": block.slot, "block_hash": block.hash}
            for row in rows
        ]

    def _first_answer(self, signature: str) -> Transaction:
        """Return a transaction from the first provider that has it."""
        for node in self.nodes[:-1]:
            try:
                return node.transaction(signature)
            except SourceOutage:
                continue
        return self.nodes[-1].transaction(signature)

    def _demand_slots(self, first: int, last: int, days: int) -> None:
        """Check that a range of slots has no hole: a slot without a block was skipped by the chain, not lost by the provider.

        Raises
        ------
        SourceOutage
            ``venue_error`` with cause ``unexplained_gap``.
        """
        listed = [node.blocks(first, last) for node in self.nodes]
        if len(listed) > 1 and all(slots == listed[0] for slots in listed):
            return
        for node, slots in zip(self.nodes, listed, strict=True):
            # A range begins right after a block.
            before = first - 1
            holes = [(a, b) for a, b in pairwise([before, *slots]) if b - a > 1]
            holes = sorted(holes, key=lambda h: (h[0] - h[1], h))[: HOLES_PER_DAY * days]
            for a, b in holes:
                if self._block(b, node).parent_slot != a:
                    raise SourceOutage(
                        "venue_error",
                        f"{node.name} has no block between slots {a} and {b}, and the chain has",
                        "unexplained_gap",
                    )
            after = node.next_with_block((slots[-1] if slots else last) + 1)
            if after is not None and self._block(after, node).parent_slot != (slots[-1] if slots else before):
                raise SourceOutage(
                    "venue_error", f"{node.name} has no block before slot {after}, and the chain has", "unexplained_gap"
                )

    # -- snapshots

    def reserves(self) -> Capture:
        """Return rules and totals of every reserve as of the newest final slot."""
        reserves, block = self._reserves()
        rows = [self._place() | _as_of(block) | dict(r.row) for r in reserves.values()]
        return captured("lending_reserves", rows, self.venue)

    def positions(self, accounts: Sequence[str] = ()) -> Capture:
        """Return the positions of every obligation that owes something, as of the newest final slot.

        The chain tells all of them, so that `accounts` are not needed. Reserves are read a moment before.
        """
        node, market = self.nodes[0], self.deployment.market_address
        reserves, _ = self._reserves()
        found = node.program_accounts(
            PROGRAM,
            account_length("Obligation"),
            {
                0: discriminator("account", "Obligation"),
                offset_in("Obligation", "lending_market"): bytes_of(market),
                offset_in("Obligation", "has_debt"): b"\x01",
            },
            base58_of,
        )
        groups = self._groups()
        place = self._place() | _as_of(self._newest_block(node, found.slot))
        rows = [
            place | row
            for address in sorted(found.data)
            for row in position_rows(address, found.data[address], reserves, groups)
        ]
        return captured("lending_positions", rows, self.venue)

    def _reserves(self) -> tuple[dict[str, KaminoReserve], SolanaBlock]:
        found = self.nodes[0].program_accounts(
            PROGRAM,
            account_length("Reserve"),
            {
                0: discriminator("account", "Reserve"),
                offset_in("Reserve", "lending_market"): bytes_of(self.deployment.market_address),
            },
            base58_of,
        )
        if not found.data:
            raise SourceOutage("venue_error", f"{self.nodes[0].name} shows no reserve of {self.venue}")
        block = self._newest_block(self.nodes[0], found.slot)
        return {a: reserve_of(a, found.data[a]) for a in sorted(found.data)}, block

    def _groups(self) -> dict[int, Any]:
        market = self.deployment.market_address
        found = self.nodes[0].accounts([market])
        if market not in found.data:
            raise SourceOutage("venue_error", f"{self.nodes[0].name} does not show the account of {self.venue}")
        return group_thresholds(found.data[market])

    # -- blocks

    def _block(self, slot: int, node: SolanaNode | None = None) -> SolanaBlock:
        asked = node or self.nodes[0]
        try:
            return asked.block(slot)
        except Skipped:
            raise SourceOutage("venue_error", f"{asked.name} has no block of slot {slot}", "unexplained_gap") from None

    def _newest_block(self, node: SolanaNode, slot: int) -> SolanaBlock:
        """Return the newest block up to a slot that a provider shows: of a slot that has just become final it may not have it yet."""
        for at in reversed(node.blocks(max(0, slot - LATE_SLOTS), slot)):
            try:
                return node.block(at)
            except Skipped:
                continue
            except SourceOutage as outage:
                if outage.code != "lagging":
                    raise
        raise SourceOutage("lagging", f"{node.name} shows no block of slots {slot - LATE_SLOTS}..{slot}")

    def _first_slot(self, at: datetime, most: int) -> int:
        """Return the slot after the last block before an instant: the first one whose block may be of the instant or later.

        One above `most` where no block up to there is.
        """
        node, at_s = self.nodes[0], int(at.replace(tzinfo=UTC).timestamp())
        low, high = node.first_kept(), most + 1
        if self._block(node.next_with_block(low) or low).at_s >= at_s and low > 0:
            raise SourceOutage("pruned", f"{node.name} keeps blocks from slot {low} on, which is after {at}")
        while low < high:
            middle = (low + high) // 2
            found = node.next_with_block(middle)
            if found is None or found >= high:
                high = middle
            elif self._block(found).at_s < at_s:
                low = found + 1
            else:
                high = middle
        return low

    def _place(self) -> dict[str, str]:
        d = self.deployment
        return {"venue": d.venue, "chain": d.chain, "protocol": d.protocol, "market_address": d.market_address}


def _as_of(block: SolanaBlock) -> dict[str, Any]:
    return {"observed_at_utc": instant(block.at_s), "block_height": block.slot, "block_hash": block.hash}
