"""The world's Solana behind a JSON-RPC path: a Kamino market at the world's prices, as one provider shows it.

Belongs here: who deposits, borrows and is liquidated as the world's prices move, and the path. Does not: the node and its cluster
(``solana_node.py``), the market's numbers and bytes (``kamino_market.py``). A request is one JSON object; batches are refused.

The cluster has a genesis of its own, so that no client takes it for the real one, and a slot every ten minutes. It stands where the
world's present is: accounts are those of its newest slot.

References
----------
https://solana.com/docs/rpc; docs/lending.md, "Solana".
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from pipelines.sandbox.kamino_market import FRACTION, Market, Reserve
from pipelines.sandbox.solana_node import Cluster, SolanaFaults, SolanaNode
from pipelines.sandbox.wire_json_rpc import JsonRpcWire
from pipelines.sandbox.world import World

SLOT_TIME_S = 600
FIRST_SLOT = 1_000
# The cluster begins so many days before the world's end.
CLUSTER_DAYS = 3
BORROWERS_COUNT = 16
# Token and decimals of an asset.
_TOKENS = {"SOL": ("SOL", 9), "BTC": ("cbBTC", 8), "ETH": ("ETH", 8)}
_USDC = "USDC"
_INTEREST_PPM = 1


class SolanaWire(JsonRpcWire):
    """The world's Solana as one provider shows it."""

    venue = "solana"

    def __init__(self, world: World) -> None:
        self.world = world
        self.start = max(world.start, world.end - timedelta(days=CLUSTER_DAYS))
        self.faults = SolanaFaults()
        self._tokens = {_TOKENS[a][0]: a for a in world.assets if a in _TOKENS}
        self._last_slot = FIRST_SLOT - 1 + int((world.end - self.start).total_seconds()) // SLOT_TIME_S
        self._cluster: Cluster | None = None
        self._growing = threading.Lock()

    def cluster(self, now: datetime) -> Cluster:
        """Return the cluster as it stands at an instant."""
        slot = min(self._last_slot, FIRST_SLOT + int((now - self.start).total_seconds()) // SLOT_TIME_S)
        with self._growing:
            if self._cluster is None or self._cluster.slot > max(slot, FIRST_SLOT):
                self._cluster = self._opened()
            while self._cluster.slot < slot:
                self._step(self._cluster)
            return self._cluster

    def handle(self, method: str, params: list[Any], now: datetime) -> dict[str, Any]:
        """Answer a method with the slots that there are at an instant."""
        return SolanaNode(self.cluster(now), self.faults).handle(method, params)

    # -- the market's days

    def _opened(self) -> Cluster:
        """Return the cluster with its first slot: lenders, and borrowers of dollars against every other token."""
        reserves = {s: Reserve(s, _TOKENS[a][1], FRACTION, threshold_pct=78) for s, a in self._tokens.items()}
        market = Market(reserves | {_USDC: Reserve(_USDC, 6, FRACTION, ltv_pct=80, threshold_pct=90)})
        self._price(market, self.start)
        market.open(0, {_USDC: 10**15}, {})
        rng = np.random.Generator(np.random.PCG64((self.world.seed, 13)))
        for number in range(1, BORROWERS_COUNT + 1) if self._tokens else ():
            token = market.reserves[sorted(self._tokens)[number % len(self._tokens)]]
            dollars, share = float(rng.lognormal(9.5, 1.6)), float(rng.uniform(0.6, 0.985))
            held = round(dollars * FRACTION) * 10**token.decimals // token.price_sf
            owed = round(dollars * share * token.threshold_pct / 100 * 10**6)
            market.open(number, {token.symbol: held}, {_USDC: owed})
        start_s = int(self.start.replace(tzinfo=UTC).timestamp())
        cluster = Cluster(self.world.seed, market, first_slot=FIRST_SLOT, start_s=start_s, slot_time_s=SLOT_TIME_S)
        cluster.grow(1)
        return cluster

    def _step(self, cluster: Cluster) -> None:
        """Add a slot: prices move, debts grow, and each obligation that is not sound any more is liquidated once."""
        market, place = cluster.market, cluster.slot + 1 - FIRST_SLOT
        self._price(market, self.start + timedelta(seconds=place * SLOT_TIME_S))
        market.accrue(_USDC, _INTEREST_PPM)
        for number, obligation in sorted(market.obligations.items()):
            if obligation.borrows and market.owed(obligation, _USDC) and not market.is_sound(number):
                (seized,) = obligation.deposits
                r = market.reserves[seized]
                if market.held(obligation, seized) * r.price_sf > FRACTION * 10**r.decimals:  # worth a dollar
                    done = market.liquidate(number, seized, _USDC, liquidator=f"liquidator {(number + place) % 3}")
                    cluster.liquidate(done, by_program=number % 2 == 0)
        cluster.grow(1)

    def _price(self, market: Market, at: datetime) -> None:
        for symbol, asset in self._tokens.items():
            market.reserves[symbol].price_sf = round(self.world.price(asset, at) * FRACTION)
