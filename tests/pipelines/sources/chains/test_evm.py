"""A chain read over providers that lag, prune, cap, omit and fork: what lands is the chain, or it is called unverified."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from evm_doubles import POOL, QUERY, USDC, WETH, calls_chain, client

from assets.lake.transform import batches_of
from assets.ports import FinalityBroken, SourceOutage
from pipelines.sandbox.evm_chain import Chain
from pipelines.sandbox.evm_node import EvmNode, NodeFaults, serve_node
from pipelines.sources.chains.aave import Token
from pipelines.sources.chains.evm import ChainLog, bloom_of
from pipelines.sources.chains.evm_history import History
from pipelines.sources.chains.evm_logs import LogReader, RangeRead
from pipelines.sources.chains.lending import LendingSource, touched_days
from pipelines.sources.chains.lending_markets import DEPLOYMENTS

NOW = datetime(2026, 11, 23, 12)
FINALITY = 128
MARKET = replace(DEPLOYMENTS["aave_v3_ethereum"], pool_address=POOL, finality_depth=FINALITY)


def grown(seed: int, blocks: int, **options: float) -> Chain:
    chain = calls_chain(seed, **options)
    chain.grow(blocks)
    return chain


def logs_of(ranges: Iterable[RangeRead]) -> list[ChainLog]:
    return [log for r in ranges for log in r.logs]


def truth(chain: Chain) -> list[tuple[int, int]]:
    """Return height and offset of every call in the chain."""
    found = []
    for block in chain.blocks:
        logs = [log for transaction in block.transactions for log in transaction]
        found += [(block.height, i) for i, log in enumerate(logs) if log.address == POOL]
    return found


def places(ranges: Iterable[RangeRead]) -> list[tuple[int, int]]:
    return [(log.height, log.offset) for log in logs_of(ranges)]


def faulty(chain: Chain, **faults: object) -> EvmNode:
    return EvmNode(chain, faults=NodeFaults(**faults))  # type: ignore[arg-type]  # names are those of the fields


# -- chunks, caps, lag, pruning


@pytest.mark.parametrize(
    "faults",
    [{}, {"range_cap_blocks": 37}, {"logs_cap_count": 3}, {"range_cap_blocks": 50, "logs_cap_count": 5}],
)
def test_every_log_is_read_once_whatever_the_caps(faults: dict[str, int]) -> None:
    chain = grown(3, 300)
    reader = LogReader([client(faulty(chain, **faults)), client(EvmNode(chain), "second")], QUERY)
    ranges = reader.read(1, 300)
    assert places(ranges) == truth(chain)
    assert (ranges[0].first, ranges[-1].last) == (1, 300)
    assert all(a.last + 1 == b.first and a.last_hash == b.parent_hash for a, b in pairwise(ranges))
    assert {r.verified_by for r in ranges} == {"providers"}


def test_a_block_that_is_too_large_alone_is_said() -> None:
    chain = grown(3, 60, calls_per_block=5.0)
    with pytest.raises(SourceOutage, match="alone is too large") as caught:
        LogReader([client(faulty(chain, logs_cap_count=1))], QUERY).read(1, 60)
    assert caught.value.code == "venue_error"


def test_lag_and_pruning_are_told_apart() -> None:
    chain = grown(4, 100)
    for faults, first, last, code in (
        ({"lag_blocks": 10}, 50, 95, "lagging"),
        ({"pruned_before": 60}, 50, 90, "pruned"),
        ({"pruned_before": 95}, 50, 90, "pruned"),
    ):
        with pytest.raises(SourceOutage) as caught:
            LogReader([client(faulty(chain, **faults)), client(EvmNode(chain), "second")], QUERY).read(first, last)
        assert caught.value.code == code


def test_a_provider_that_lags_is_not_heard_as_a_fork() -> None:
    chain = grown(4, 100)
    first = EvmNode(chain)
    source = LendingSource(MARKET, [client(first)])
    history = source.follow(History(), start=1)
    first.faults.lag_blocks = 5
    with pytest.raises(SourceOutage) as caught:
        source.follow(history, start=1)
    assert caught.value.code == "lagging"


def test_a_chain_that_moves_while_it_is_read_is_read_again() -> None:
    chain = grown(5, 60)
    node = EvmNode(chain)
    moves = [2]

    def move(method: str) -> None:
        if method == "eth_getLogs" and moves[0]:
            moves[0] -= 1
            chain.fork(3)

    node.faults.before = move
    ranges = LogReader([client(node)], QUERY).read(1, 60)
    assert places(ranges) == [p for p in truth(chain) if p[0] <= 60]
    assert {log.block_hash for log in logs_of(ranges)} <= {b.hash for b in chain.blocks}


def test_a_provider_of_another_chain_is_refused() -> None:
    chain = grown(5, 10)
    with pytest.raises(SourceOutage, match="shows chain 5, not 1"):
        LendingSource(MARKET, [client(EvmNode(chain, chain_id=5))]).probe()


def test_the_same_logs_come_over_http() -> None:
    from web3 import HTTPProvider

    from pipelines.sources.chains.evm import ChainNode

    chain = grown(6, 120)
    with serve_node(EvmNode(chain)) as url:
        ranges = LogReader([ChainNode(HTTPProvider(url), "over HTTP")], QUERY).read(1, 120)
    assert places(ranges) == truth(chain)
    assert {r.verified_by for r in ranges} == {"receipts"}


# -- what is verified


def test_agreement_is_needed_or_receipts() -> None:
    chain = grown(7, 80)
    one, other = client(EvmNode(chain)), client(EvmNode(chain), "second")
    bare = client(faulty(chain, has_receipts=False))
    assert {r.verified_by for r in LogReader([one, other], QUERY).read(1, 80)} == {"providers"}
    assert {r.verified_by for r in LogReader([one], QUERY).read(1, 80)} == {"receipts"}
    assert {r.verified_by for r in LogReader([bare], QUERY).read(1, 80)} == {"unverified"}
    assert {r.verified_by for r in LogReader([one], QUERY, is_checking_receipts=False).read(1, 80)} == {"unverified"}


def test_a_silent_cap_is_found_and_mended() -> None:
    chain = grown(8, 200)
    reader = LogReader([client(faulty(chain, silent_logs_cap_count=4))], QUERY)
    ranges = reader.read(1, 200)
    assert places(ranges) == truth(chain)
    assert reader.short_answers
    assert {r.verified_by for r in ranges} == {"receipts"}


def test_blooms_are_ethereums_own() -> None:
    """Block 17,000,000's rule on a log of one's own: three bits per item, and the sandbox's own code agrees."""
    chain = grown(9, 40)
    (ranges,) = [LogReader([client(EvmNode(chain))], QUERY).read(1, 40)]
    node = client(EvmNode(chain))
    for block in chain.blocks:
        assert bloom_of(node.receipt_logs(block.height)) == block.bloom
    assert ranges
    assert bin(bloom_of([replace(logs_of(ranges)[0], topics=())])).count("1") == 3


@pytest.mark.trial("rpc_omissions")
def test_no_omission_is_marked_verified(trial_count: Callable[..., int]) -> None:
    """One to three logs are left out of an answer: the range is whole again by receipts, or not called verified."""
    count = trial_count(500, 12)
    mended = unverified = 0
    for seed in range(count):
        rng = np.random.Generator(np.random.PCG64((17, seed)))
        chain = grown(int(rng.integers(1 << 30)), int(rng.integers(10, 40)), calls_per_block=1.0)
        known = truth(chain)
        if not known:
            continue
        omitted = {known[int(i)] for i in rng.integers(0, len(known), int(rng.integers(1, 4)))}
        kind = (
            "first of two",
            "second of two",
            "alone",
            "alone with its receipts",
            "no receipts",
            "second lies in all",
        )[seed % 6]
        first = faulty(
            chain,
            omitted=omitted if kind != "second of two" and kind != "second lies in all" else set(),
            is_omitting_receipts=kind == "alone with its receipts",
            has_receipts=kind != "no receipts",
        )
        second = faulty(
            chain,
            omitted=omitted if kind.startswith("second") else set(),
            is_omitting_receipts=kind == "second lies in all",
        )
        nodes = (
            [client(first)]
            if kind in ("alone", "alone with its receipts", "no receipts")
            else [client(first), client(second, "second")]
        )
        ranges = LogReader(nodes, QUERY, chunk_blocks=int(rng.integers(3, 40))).read(1, chain.height)
        for r in ranges:
            is_whole = places([r]) == [p for p in known if r.first <= p[0] <= r.last]
            assert is_whole or r.verified_by == "unverified", (seed, kind)
            unverified += r.verified_by == "unverified"
        mended += places(ranges) == known
    assert mended
    assert unverified


# -- forks


class Landed:
    """What a lake shows: the last generation of each day."""

    def __init__(self, source: LendingSource) -> None:
        self.source, self.history = source, History()
        self.days: dict[date, pl.DataFrame] = {}
        self.generations = 0

    def step(self) -> None:
        before, self.history = self.history, self.source.follow(self.history, start=1)
        days = touched_days(before, self.history)
        if not days:
            return
        capture = self.source.liquidations(self.history, days)
        batches = batches_of(
            capture,
            dataset="lending_liquidations",
            venue=MARKET.venue,
            source="rpc",
            days=days,
            now=NOW,
            is_synthetic=True,
        )
        self.generations += len(batches)
        assert sum(b.rejected.height for b in batches) == 0
        self.days |= {b.key.day: b.rows for b in batches}

    def rows(self) -> pl.DataFrame:
        return pl.concat(list(self.days.values())).sort("call_id")


def follower(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Landed:
    source = LendingSource(MARKET, [client(EvmNode(chain)), client(EvmNode(chain), "second")], is_synthetic=True)
    tokens = {WETH: Token("WETH", 18), USDC: Token("USDC", 6)}
    monkeypatch.setattr(source.market, "tokens", lambda _height: tokens)
    return Landed(source)


@pytest.mark.trial("reorgs")
@pytest.mark.parametrize("depth", [1, 2, 7, 32, 64, 128])
def test_a_fork_leaves_what_a_chain_without_one_leaves(
    depth: int, trial_count: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(trial_count(200, 1)):
        rng = np.random.Generator(np.random.PCG64((23, depth, seed)))
        # A block every ten minutes: forks cross midnight.
        chain = calls_chain(int(rng.integers(1 << 30)), block_time_s=600)
        chain.grow(int(rng.integers(depth + 1, depth + 60)))
        landed = follower(chain, monkeypatch)
        landed.step()
        for _ in range(int(rng.integers(1, 3))):
            chain.fork(depth, grow=depth + int(rng.integers(0, 8)))
            landed.step()
            if rng.random() < 0.5:
                chain.grow(int(rng.integers(1, 20)))
                landed.step()
        calm = follower(chain.never_forked(), monkeypatch)
        calm.step()
        assert landed.rows().equals(calm.rows()), (depth, seed)
        assert {log.block_hash for log in logs_of(landed.history.ranges)} <= {b.hash for b in chain.blocks}


@pytest.mark.parametrize("depth", [FINALITY + 1, FINALITY + 2, FINALITY + 60])
def test_a_fork_below_finality_stops_loudly(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = grown(31, 260)
    landed = follower(chain, monkeypatch)
    landed.step()
    before, generations = landed.rows(), landed.generations
    chain.fork(depth)
    with pytest.raises(FinalityBroken, match="was final") as caught:
        landed.step()
    assert "nothing was landed" in str(caught.value)
    assert landed.rows().equals(before)
    assert landed.generations == generations


def test_a_fork_lands_only_the_days_that_it_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = calls_chain(33, block_time_s=600, calls_per_block=1.0)
    chain.grow(400)
    landed = follower(chain, monkeypatch)
    landed.step()
    days, generations = sorted(landed.days), landed.generations
    assert len(days) >= 3
    chain.fork(2)
    landed.step()
    assert landed.generations - generations <= 2
