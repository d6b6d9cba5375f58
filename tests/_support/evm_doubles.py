"""A made-up chain whose logs are liquidation calls, and providers that reach its node without a socket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from eth_abi import encode
from eth_utils.crypto import keccak
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from pipelines.sandbox.evm_chain import Chain, Log
from pipelines.sandbox.evm_node import EvmNode
from pipelines.sources.chains.evm import ChainNode, LogQuery

POOL = "0x" + "a1" * 20
OTHER = "0x" + "0b" * 20
WETH, USDC = "0x" + "01" * 20, "0x" + "02" * 20
CALL_TOPIC = "0x" + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
NOISE_TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
QUERY = LogQuery(addresses=(POOL,), topics=(CALL_TOPIC,))


class NodeProvider(JSONBaseProvider):
    """Hands web3's requests to a node in this process; everything goes through JSON, as over a wire."""

    def __init__(self, node: EvmNode) -> None:
        super().__init__()
        self.node = node

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer one request."""
        asked = json.loads(self.encode_rpc_request(method, params))
        said = {"jsonrpc": "2.0", "id": asked["id"], **self.node.handle(asked["method"], asked["params"])}
        return self.decode_rpc_response(json.dumps(said).encode())


def client(node: EvmNode, name: str = "first provider") -> ChainNode:
    """Return the real client over a node in this process."""
    return ChainNode(NodeProvider(node), name)


def call_log(user: int, repaid: int, seized: int, *, liquidator: int = 7, receive_atoken: bool = False) -> Log:
    """Return the log of a liquidation call."""
    return Log(
        POOL,
        (CALL_TOPIC, _word(WETH), _word(USDC), f"0x{user:064x}"),
        "0x"
        + encode(
            ["uint256", "uint256", "address", "bool"], [repaid, seized, f"0x{liquidator:040x}", receive_atoken]
        ).hex(),
    )


def noise_log(rng: np.random.Generator) -> Log:
    """Return the log of another contract."""
    return Log(OTHER, (NOISE_TOPIC, f"0x{int(rng.integers(1 << 60)):064x}"), "0x")


def _word(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def calls_chain(seed: int, *, calls_per_block: float = 0.3, noise_per_block: float = 0.5, **options: Any) -> Chain:
    """Return an empty chain whose blocks hold calls by chance; other branches hold other ones."""

    def content(height: int, branch: int, state: Any) -> tuple[Sequence[Sequence[Log]], Any]:
        rng = np.random.Generator(np.random.PCG64((seed, height, branch)))
        logs = [
            call_log(
                int(rng.integers(1, 30)),
                int.from_bytes(rng.bytes(32)) >> int(rng.integers(0, 256)),
                int.from_bytes(rng.bytes(32)) >> int(rng.integers(0, 256)),
            )
            for _ in range(int(rng.poisson(calls_per_block)))
        ]
        logs += [noise_log(rng) for _ in range(int(rng.poisson(noise_per_block)))]
        order = rng.permutation(len(logs))
        shuffled = [logs[i] for i in order]
        cut = int(rng.integers(0, len(shuffled) + 1))
        return [part for part in (shuffled[:cut], shuffled[cut:]) if part], state

    return Chain(seed, content, **options)
