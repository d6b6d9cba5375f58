"""The served chain: JSON-RPC as a POST, blocks up to the world's present, and refusals in the protocol's own words."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.wire_evm import BLOCK_TIME_S, CHAIN_ID, EvmWire
from pipelines.sandbox.world import World

PATH = "/rpc/ethereum"

NOW = datetime(2026, 3, 10, 12, 5)


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2026, 3, 9), 2, ("BTC", "ETH"))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _post(sandbox: Sandbox, body: Any) -> Any:
    request = urllib.request.Request(
        f"{sandbox.base_url}{PATH}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def _ask(sandbox: Sandbox, method: str, *params: Any) -> Any:
    said = _post(sandbox, {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)})
    assert (said["jsonrpc"], said["id"]) == ("2.0", 7)
    return said.get("result", said.get("error"))


def test_the_newest_block_is_the_last_one_before_now(sandbox: Sandbox) -> None:
    assert _ask(sandbox, "eth_chainId") == hex(CHAIN_ID)
    for now in (NOW, NOW + timedelta(hours=3), NOW):
        sandbox.now = now
        head = _ask(sandbox, "eth_blockNumber")
        clock = int(_ask(sandbox, "eth_getBlockByNumber", head, False)["timestamp"], 16)
        behind = now - datetime(1970, 1, 1) - timedelta(seconds=clock)
        assert timedelta(0) <= behind < timedelta(seconds=BLOCK_TIME_S)
        assert _ask(sandbox, "eth_getBlockByNumber", hex(int(head, 16) + 1), False) is None


@pytest.mark.parametrize(
    "body", [[], [{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}], {}, {"method": 3}, "x", None]
)
def test_what_is_no_request_is_refused(sandbox: Sandbox, body: Any) -> None:
    assert _post(sandbox, body)["error"]["code"] == -32600


def test_what_the_node_does_not_offer_is_said(sandbox: Sandbox) -> None:
    assert _ask(sandbox, "eth_sendRawTransaction", "0x")["code"] == -32601
    assert [seen.path for seen in sandbox.requests][-1] == f"{PATH}/eth_sendRawTransaction"


def test_the_same_world_has_the_same_chain(world: World) -> None:
    first, second = EvmWire(world).chain, EvmWire(world).chain
    assert [b.hash for b in first.blocks] == [b.hash for b in second.blocks]
    assert len(first.blocks) == 2 * 86_400 // BLOCK_TIME_S
