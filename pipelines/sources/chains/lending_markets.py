"""Lending markets that can be read over JSON-RPC: where they are, and from which depth on their chain is final.

Belongs here: addresses and depths, light to import. Does not: reading a market (``aave.py``, ``lending.py``).

References
----------
Addresses: aave-dao/aave-address-book; of Kamino's main market voltrxyz/lend-scripts, ``src/constants/klend.ts``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Deployment:
    """One market: `venue` is the lake's name of it, `market_address` that of its PoolAddressesProvider, `pool_address` of its pool.

    `finality_depth` is in blocks: deeper ones must never change. `block_time_s` is a first guess at the blocks of a day.
    """

    venue: str
    chain: str
    chain_id: int
    protocol: str
    market_address: str
    pool_address: str
    finality_depth: int
    block_time_s: float
    # v2's address provider does not tell it.
    data_provider_address: str | None = None


# Finality: two epochs of Ethereum are 64 blocks, and twice that is asked for; a rollup's blocks are final with the block of
# Ethereum that holds them, which takes up to half an hour when batches are posted late.
DEPLOYMENTS: dict[str, Deployment] = {
    d.venue: d
    for d in (
        Deployment(
            "aave_v3_ethereum", "ethereum", 1, "aave_v3", "0x2f39d218133afab8f2b819b1066c7e434ad94e9e",
            "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2", 128, 12.0,
        ),
        Deployment(
            "aave_v3_arbitrum", "arbitrum", 42161, "aave_v3", "0xa97684ead0e402dc232d5a977953df7ecbab3cdb",
            "0x794a61358d6845594f94dc1db02a252b5b4814ad", 7_200, 0.25,
        ),
        Deployment(
            "aave_v3_base", "base", 8453, "aave_v3", "0xe20fcbdbffc4dd138ce8b2e6fbb6cb49777ad64d",
            "0xa238dd80c259a72e81d7e4664a9801593f98d1c5", 900, 2.0,
        ),
        Deployment(
            "aave_v2_ethereum", "ethereum", 1, "aave_v2", "0xb53c1a33016b2dc2ff3653530bff1848a515c8c5",
            "0x7d2768de32b0b80b7a3454c06bdac94a69ddc7a9", 128, 12.0, "0x057835ad21a177dbdd3090bb1cae03eacf78fc6d",
        ),
    )
}  # fmt: skip

# The sandbox's chain has a number of its own, so that a real home never takes it for the real one, nor a demo home the real one
# for it; it has a block every ten minutes.
SANDBOX_CHAIN_ID, SANDBOX_BLOCK_TIME_S, SANDBOX_FINALITY_DEPTH = 1_686_001, 600.0, 3


def in_sandbox(deployment: Deployment) -> Deployment:
    """Return a market as the sandbox's chain has it: where it is, by another chain's rules."""
    return replace(
        deployment,
        chain_id=SANDBOX_CHAIN_ID,
        block_time_s=SANDBOX_BLOCK_TIME_S,
        finality_depth=SANDBOX_FINALITY_DEPTH,
    )


# Chains on which accounts of exchanges are known (dbt/seeds/exchange_addresses.csv).
ACCOUNT_CHAINS = ("ethereum", "arbitrum")


@dataclass(frozen=True)
class SolanaDeployment:
    """One market on Solana, where what is final never changes; `market_address` is that of its lending market account.

    `genesis_hash` names the cluster.
    """

    venue: str
    chain: str
    genesis_hash: str
    protocol: str
    market_address: str


SOLANA_DEPLOYMENTS: dict[str, SolanaDeployment] = {
    d.venue: d
    for d in (
        SolanaDeployment(
            "kamino_main_solana", "solana", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "kamino",
            "7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF",
        ),
    )
}  # fmt: skip

SANDBOX_GENESIS_HASH = "CmpNeggWJ4JaWJeJ8YKN1Zypmk7uvQq3PECGUCAEMbky"


def solana_in_sandbox(deployment: SolanaDeployment) -> SolanaDeployment:
    """Return a market as the sandbox's cluster has it: where it is, under another genesis."""
    return replace(deployment, genesis_hash=SANDBOX_GENESIS_HASH)


# Markets that runs read; v2 is read on request only: its history is an import (docs/importing.md).
AAVE_VENUES = tuple(d.venue for d in DEPLOYMENTS.values() if d.protocol == "aave_v3")
LENDING_VENUES = (*AAVE_VENUES, *SOLANA_DEPLOYMENTS)
LENDING_CHAINS = tuple(
    dict.fromkeys([*(d.chain for d in DEPLOYMENTS.values()), *(d.chain for d in SOLANA_DEPLOYMENTS.values())])
)
