"""RPC URLs: https to public hosts unless opted in, no redirect, no rebinding, and the key in the path never leaves."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from evm_doubles import calls_chain
from source_doubles import HandClock

from assets.ports import SourceOutage
from pipelines.sandbox.evm_node import EvmNode, serve_node
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.chains.evm import ChainNode, RangeTooLarge
from pipelines.sources.chains.evm_provider import checked_rpc_url, guarded_session, http_node, is_public_address
from pipelines.sources.chains.lending_markets import SANDBOX_CHAIN_ID
from pipelines.sources.gate import Gate

NOW = datetime(2026, 3, 10, 12, 30)
CANARY = "canary0123456789abcdefKEY"
REFUSED = [
    "http://rpc.provider.com/v3/x",
    "ftp://rpc.provider.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "ws://rpc.provider.com/",
    "rpc.provider.com/v3",
    "//rpc.provider.com/v3",
    "https://",
    "https:///v3",
    "https://user:password@rpc.provider.com/",
    "https://rpc.provider.com@127.0.0.1/",
    "https://rpc.provider.com/#fragment",
    "https://rpc.provider.com:99999/",
    "https://rpc.provider.com:port/",
    "https://[::1/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://node.localhost/",
    "https://geth/",
    "https://metadata.google.internal/",
    "https://node.local/",
    "https://node.lan/",
    "https://1.0.0.127.in-addr.arpa/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.8/",
    "https://172.16.4.4/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://224.0.1.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://rpc.provider.com\\@127.0.0.1/",
    "https://rpc.provider.com /",
    "https://rpc.provider.com/\r\nHost: x",
    "https://１２７.0.0.1/",
    "https://rpc。provider。com/",
    "https://%31%32%37.0.0.1/",
    "https://-rpc.provider.com/",
]


@pytest.mark.fast
@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_is_not_https_to_a_public_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"RPC URL|public host") as caught:
        checked_rpc_url(url)
    assert "password" not in str(caught.value).replace("a user, a password", "")


@pytest.mark.fast
@pytest.mark.parametrize(
    "url",
    [
        "https://mainnet.infura.io/v3/k",
        "https://eth.llamarpc.com",
        "https://8.8.8.8/x",
        "https://arb1.arbitrum.io:8443/rpc",
    ],
)
def test_a_public_https_url_passes(url: str) -> None:
    assert checked_rpc_url(url) == url


@pytest.mark.fast
def test_a_node_of_ones_own_needs_an_opt_in_and_a_public_one_stays_https() -> None:
    for url in ("http://127.0.0.1:8545/", "http://geth:8545/", "https://10.0.0.8/"):
        assert checked_rpc_url(url, is_local_allowed=True) == url
        with pytest.raises(ValueError, match="LOWTIDE_RPC_LOCAL_ALLOWED"):
            checked_rpc_url(url)
    with pytest.raises(ValueError, match="must be https"):
        checked_rpc_url("http://rpc.provider.com/", is_local_allowed=True)


@pytest.mark.fast
def test_messages_do_not_repeat_the_path() -> None:
    for url in (
        f"http://rpc.provider.com/v3/{CANARY}",
        f"https://127.0.0.1/{CANARY}?k={CANARY}",
        f"https://[::1/{CANARY}",
    ):
        with pytest.raises(ValueError, match=r"RPC URL|public host") as caught:
            checked_rpc_url(url)
        assert CANARY not in str(caught.value)


def test_a_name_that_resolves_to_a_private_address_is_dropped_before_a_byte_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rebinding: the name is public by its looks, and its address turns out to be this machine's."""
    with serve_node(EvmNode(calls_chain(1))) as url:
        port = int(url.rpartition(":")[2])
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_a, **_k: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        )
        node = http_node(f"https://rpc.provider.com/v3/{CANARY}")
        with pytest.raises(SourceOutage) as caught:
            node.head()
        assert caught.value.code == "unreachable"
        assert CANARY not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        with pytest.raises(Exception, match="not public"):
            guarded_session().post(f"http://rpc.provider.com:{port}/", json={})


@contextmanager
def _server(status: int, headers: dict[str, str], body: bytes = b"") -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with serve_node(EvmNode(calls_chain(1))) as target, _server(status, {"Location": target}) as (url, seen):
        with pytest.raises(SourceOutage) as caught:
            http_node(f"{url}/v3/{CANARY}", is_local_allowed=True).head()
        assert caught.value.code == "unreachable"
        assert CANARY not in str(caught.value)
        assert seen == [f"/v3/{CANARY}"]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, b"", "venue_error"),
        (403, b"", "venue_error"),
        (418, b"", "banned"),
        (429, b"", "rate_limited"),
        (451, b"", "geoblocked"),
        (500, b"", "venue_error"),
        (200, b"<html>", "venue_error"),
        (200, b"{}", "venue_error"),
        (200, b"[]", "venue_error"),
        (200, b'{"jsonrpc":"2.0","id":0,"result":"what"}', "venue_error"),
        (200, f'{{"jsonrpc":"2.0","id":0,"error":{{"code":-32000,"message":"https://x.io/v3/{CANARY} {CANARY}"}}}}'.encode(), "venue_error"),
    ],
)  # fmt: skip
def test_every_refusal_is_an_outage_without_the_key(status: int, body: bytes, code: str) -> None:
    with _server(status, {}, body) as (url, _):
        with pytest.raises(SourceOutage) as caught:
            http_node(f"{url}/v3/{CANARY}", is_local_allowed=True, sleep=lambda _: None).head()
        assert caught.value.code == code
        assert CANARY not in str(caught.value)
        assert caught.value.__suppress_context__


@pytest.mark.fast
def test_public_addresses_are_told() -> None:
    assert is_public_address("8.8.8.8")
    assert is_public_address("2606:4700:4700::1111")
    assert not is_public_address("::ffff:10.0.0.1")
    assert not is_public_address("not an address")


# -- the gate


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, date(2026, 3, 9), 2, ("BTC", "ETH")), now=NOW) as running:
        yield running


def _node(sandbox: Sandbox, *rules: Fault, gate: Gate | None = None) -> tuple[ChainNode, HandClock]:
    sandbox.restart(now=NOW, faults=Faults(rules))
    clock = HandClock(NOW)
    url = f"{sandbox.base_url}/rpc/ethereum"
    return http_node(url, is_local_allowed=True, gate=gate, clock=clock, sleep=clock.sleep), clock


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json"])
def test_a_failure_that_may_pass_is_asked_again(sandbox: Sandbox, kind: Any) -> None:
    node, clock = _node(sandbox, Fault(kind, times=2))
    assert node.chain_id() == SANDBOX_CHAIN_ID
    assert clock.slept == [0.5, 1.0]


def test_retry_after_is_waited_out_and_a_longer_one_is_an_outage(sandbox: Sandbox) -> None:
    node, clock = _node(sandbox, Fault("rate_limited", retry_after_s=7))
    assert node.chain_id() == SANDBOX_CHAIN_ID
    assert sum(clock.slept) == 7.0
    node, clock = _node(sandbox, Fault("rate_limited", retry_after_s=600))
    with pytest.raises(SourceOutage, match="asks to wait 600 s") as caught:
        node.chain_id()
    assert (caught.value.code, clock.slept) == ("rate_limited", [])


def test_a_block_holds_for_every_client_of_the_host(sandbox: Sandbox, tmp_path: Path) -> None:
    node, _ = _node(sandbox, Fault("rate_limited", retry_after_s=600), gate=Gate(tmp_path))
    with pytest.raises(SourceOutage):
        node.head()
    seen = len(sandbox.requests)
    other = http_node(
        f"{sandbox.base_url}/rpc/ethereum", is_local_allowed=True, gate=Gate(tmp_path), clock=HandClock(NOW)
    )
    with pytest.raises(SourceOutage, match="is not asked before") as caught:
        other.head()
    assert caught.value.code == "rate_limited"
    assert len(sandbox.requests) == seen
    assert "/rpc" not in str(caught.value)


def test_a_public_host_is_paced_and_a_node_of_ones_own_is_not(sandbox: Sandbox) -> None:
    assert http_node("https://rpc.provider.com/v3/x").web3.provider._is_paced  # type: ignore[union-attr]  # the provider is ours
    node, clock = _node(sandbox)
    for _ in range(20):
        node.head()
    assert clock.slept == []


def test_nothing_that_web3_logs_holds_the_path(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        node, _ = _node(sandbox)
        node.head()
    assert "/rpc/ethereum" not in " ".join(r.getMessage() for r in caplog.records if r.name.startswith("web3"))


def test_the_chains_number_is_asked_once(sandbox: Sandbox) -> None:
    node, _ = _node(sandbox)
    for _ in range(3):
        assert node.call("0x" + "6" * 40, "0x", node.head()) == b""
    asked = [seen.path.rpartition("/")[2] for seen in sandbox.requests]
    assert (asked.count("eth_chainId"), asked.count("eth_call")) == (1, 3)


@pytest.mark.parametrize(
    "error",
    [
        {"code": 429, "message": "exceeded its capacity"},
        {"code": -32005, "message": "daily request count exceeded, request rate limited"},
        {"code": -32007, "message": "50 requests per second reached"},
    ],
)
def test_too_often_may_also_be_said_in_the_body(sandbox: Sandbox, error: dict[str, Any]) -> None:
    node, clock = _node(sandbox)
    said = [error]

    def spoil(body: Any) -> Any:
        return {"jsonrpc": "2.0", "id": body["id"], "error": said.pop()} if said else body

    sandbox.restart(faults=Faults(spoiled={"/rpc": spoil}))
    assert node.chain_id() == SANDBOX_CHAIN_ID
    assert sum(clock.slept) == 60.0


def test_a_question_that_is_too_large_is_not_asked_again(sandbox: Sandbox) -> None:
    node, clock = _node(sandbox)
    error = {"code": -32005, "message": "query returned more than 10000 results"}
    sandbox.restart(faults=Faults(spoiled={"/rpc": lambda body: {"jsonrpc": "2.0", "id": body["id"], "error": error}}))
    with pytest.raises(RangeTooLarge):
        node.head()
    assert (len(sandbox.requests), clock.slept) == (1, [])
    sandbox.restart()


def test_importing_the_reader_of_chains_leaves_python_its_recursion_limit() -> None:
    """With py_ecc's 100,000 a nested answer ended the process instead of being refused."""
    program = (
        "import json, sys; limit = sys.getrecursionlimit(); import pipelines.sources.chains.evm_provider\n"
        "assert sys.getrecursionlimit() == limit\n"
        "try: json.loads('[' * 90_000)\n"
        "except RecursionError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
