"""A made-up Kamino market on a made-up cluster, and the real client over its nodes without a socket."""

from __future__ import annotations

import json
from dataclasses import replace

from pipelines.sandbox.kamino_market import FRACTION, Market, Reserve, base58
from pipelines.sandbox.solana_node import GENESIS, Cluster, SolanaNode
from pipelines.sources.chains import solana
from pipelines.sources.chains.lending_markets import SOLANA_DEPLOYMENTS
from pipelines.sources.chains.solana_lending import SolanaLendingSource

VENUE = "kamino_main_solana"
SYMBOLS = ("SOL", "USDC", "cbBTC")


def market() -> Market:
    """Return a market of three reserves and five obligations after some interest."""
    reserves = {
        "SOL": Reserve("SOL", 9, 150 * FRACTION + 12_345, threshold_pct=75, min_bonus_bps=200),
        "USDC": Reserve("USDC", 6, FRACTION, threshold_pct=90, ltv_pct=80, borrow_limit=10**15),
        "cbBTC": Reserve(
            "cbBTC", 8, 90_000 * FRACTION, threshold_pct=65, ltv_pct=55, borrow_factor_pct=125, deposit_limit=0
        ),
    }
    made = Market(reserves)
    for symbol, amount in (("SOL", 10**15), ("USDC", 10**13), ("cbBTC", 10**11)):
        made.open(100 + SYMBOLS.index(symbol), {symbol: amount}, {})
    made.open(1, {"SOL": 1_000 * 10**9}, {"USDC": 60_000 * 10**6})
    made.accrue("USDC", 1_234)
    made.accrue("SOL", 77)
    made.open(2, {"SOL": 333 * 10**9, "cbBTC": 10**8 // 3}, {"USDC": 40_000 * 10**6, "SOL": 5 * 10**9})
    made.open(3, {"USDC": 50_000 * 10**6}, {"cbBTC": 2 * 10**7})
    made.open(4, {"SOL": 10 * 10**9}, {"USDC": 1_300 * 10**6}, group=1)
    made.accrue("USDC", 999)
    made.accrue("cbBTC", 31)
    return made


def cluster(seed: int = 3, slots: int = 288) -> Cluster:
    """Return two days in slots of ten minutes, from 2026-02-01 23:00 on, with four liquidations and one that failed."""
    made = Cluster(seed, market())
    made.grow(20)
    made.liquidate(made.market.liquidate(1, "SOL", "USDC", liquidator="ann"))
    made.grow(1)
    made.liquidate(made.market.liquidate(2, "SOL", "USDC", liquidator="bob"), by_program=True)
    made.liquidate(made.market.liquidate(2, "cbBTC", "SOL", liquidator="bob", is_claims=True))
    made.liquidate(replace(made.market.liquidate(3, "USDC", "cbBTC", liquidator="bob"), paid=7), is_failed=True)
    # A transfer of fees names a fee vault too, and is no liquidation.
    fees = base58(made.market.reserves["SOL"].key("fees"))
    made.send([{"program": base58(bytes(32)), "accounts": [fees], "data": b"\x02"}])
    made.grow(160)
    made.liquidate(made.market.liquidate(3, "USDC", "cbBTC", liquidator="ann"))
    made.grow(slots - 181)
    return made


def client(node: SolanaNode, name: str = "first provider") -> solana.SolanaNode:
    """Return the real client over a node in this process; everything goes through JSON, as over a wire."""

    def post(body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        said = {"jsonrpc": "2.0", "id": asked["id"], **node.handle(asked["method"], asked["params"])}
        return 200, json.dumps(said).encode()

    return solana.SolanaNode(post, name)


def source(*nodes: SolanaNode) -> SolanaLendingSource:
    """Return the source over nodes of the made-up cluster."""
    deployment = replace(
        SOLANA_DEPLOYMENTS[VENUE], genesis_hash=GENESIS, market_address=base58(nodes[0].cluster.market.address)
    )
    named = [client(node, f"provider {i}") for i, node in enumerate(nodes, 1)]
    return SolanaLendingSource(deployment, named, is_synthetic=True)
