"""Where a provider may be and how it is asked: rules over RPC URLs, a connection that keeps to them, the machine's gate.

Belongs here: which URLs are refused, redirects, rebinding, one line without the key, budget and turn of a provider's host. Does
not: what is asked there (``evm.py``), blocks and retries (``door.py``).

A URL of a provider is somebody's secret (the key stands in its path) and somebody's input: https to a public host, unless a
user opted in to their own node. A name that is public when checked may be private when connected to, so that the address of
the connection itself is looked at, before a byte is sent.
"""

from __future__ import annotations

import pipelines.sources.chains.recursion  # noqa: F401 - before web3

# isort: split

import ipaddress
import re
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager
from web3 import HTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from assets.ports import Clock, SourceOutage
from pipelines.clock import SystemClock
from pipelines.sources.chains.evm import ChainNode
from pipelines.sources.door import RATE_LIMIT_STATUS, Door, Retryable, RetryPolicy, host_of
from pipelines.sources.gate import Gate

TIMEOUT_S = 30.0
# Seconds of the host's time per request: free plans grant some 25 a second. A node of one's own is not paced.
COST_S = 0.04
FORBIDDEN_STATUS = 403
CHAIN_ID = "eth_chainId"
_TOO_OFTEN = re.compile(r"rate.?limit|too many requests|requests? per (?:second|day)|compute units per", re.IGNORECASE)
_NAME = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
# Names of nets that are not the public one.
_PRIVATE_ENDINGS = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "localdomain",
    "arpa",
    "onion",
    "test",
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public_address(text: str) -> bool:
    """Return whether an IP address belongs to the public internet, also by the IPv4 address that it may carry inside."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public_address(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def checked_rpc_url(url: str, *, is_local_allowed: bool = False) -> str:
    """Return a provider's URL that is fit for use.

    Parameters
    ----------
    url : str
    is_local_allowed : bool
        Whether the user opted in to hosts that are not public; these may speak plain http.

    Raises
    ------
    ValueError
        Says why, and never repeats more of the URL than its host.
    """
    if not url.isascii() or not url.isprintable() or any(c in url for c in " \\\"'<>`"):
        raise ValueError("an RPC URL holds plain ASCII without spaces, quotes and backslashes")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise ValueError("an RPC URL must read scheme://host[:port]/path: its host or port cannot be read") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("an RPC URL must begin with https:// and name a host")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError(f"the RPC URL of {host} must not hold a user, a password or a fragment")
    is_public = is_public_address(host) or (
        _NAME.fullmatch(host) is not None and host.rsplit(".", 1)[-1] not in _PRIVATE_ENDINGS
    )
    if not is_public and not is_local_allowed:
        raise ValueError(
            f"{host} is not a public host: for a node of your own set LOWTIDE_RPC_LOCAL_ALLOWED=true, else give a public one"
        )
    if parts.scheme != "https" and is_public:
        raise ValueError(f"the RPC URL of {host} must be https")
    return url


def shown_host(url: str) -> str:
    """Return what may be shown of a provider's URL: its host."""
    return urlsplit(url).hostname or "?"


def http_node(
    url: str,
    *,
    is_local_allowed: bool = False,
    gate: Gate | None = None,
    clock: Clock | None = None,
    policy: RetryPolicy | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ChainNode:
    """Return a provider over HTTP.

    Parameters
    ----------
    url, is_local_allowed
        Of `checked_rpc_url`, which says what is refused.
    gate : Gate, optional
        One with a folder shares the host's budget, turn and blocks between processes.
    clock : Clock, optional
        Blocks are measured with it.
    policy, sleep
        Of the door: how a request is tried again, and how time is spent until then.

    Raises
    ------
    ValueError
        Where the URL may not be used.
    """
    checked = checked_rpc_url(url, is_local_allowed=is_local_allowed)
    gate = gate or Gate()
    door = Door(gate, clock or SystemClock(), venue=shown_host(checked), policy=policy, sleep=sleep)
    session = guarded_session(is_local_allowed=is_local_allowed)
    return ChainNode(GatedProvider(checked, door, gate, session), shown_host(checked))


class GatedProvider(HTTPProvider):
    """A provider that is asked within its host's budget, one request at a time, and never inside a block.

    Parameters
    ----------
    url : str
        A checked one.
    door : Door
    gate : Gate
        The door's.
    session : requests.Session
    """

    def __init__(self, url: str, door: Door, gate: Gate, session: requests.Session) -> None:
        kwargs = {"timeout": TIMEOUT_S, "allow_redirects": False}
        super().__init__(url, request_kwargs=kwargs, session=session, exception_retry_configuration=None)
        self._door, self._gate = door, gate
        self._chain_id: RPCResponse | None = None
        # All that a message may hold: the path may be a key.
        self._host, self._shown = host_of(url), f"https://{shown_host(url)}"
        self._is_paced = is_public_address(shown_host(url)) or urlsplit(url).scheme == "https"

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask until there is an answer, and log nothing: web3's own line holds the URL."""
        # web3 asks for the chain's number twice before each call of a contract; it never changes.
        if method == CHAIN_ID and self._chain_id is not None:
            return self._chain_id
        request = self.encode_rpc_request(method, params)
        answer = self._door.retry(lambda: self._once(request))
        if method == CHAIN_ID and "result" in answer:
            self._chain_id = answer
        return answer

    def _once(self, request: bytes) -> RPCResponse:
        self._door.pass_by(self._host, self._shown)
        if self._is_paced:
            self._door.pay(self._host, COST_S)
        with self._gate.turn(self._host):
            self._door.refuse_inside_block(self._host, self._shown)
            try:
                answer = self._make_request(RPCEndpoint(""), request)
            except requests.HTTPError as error:
                raise self._judged(error) from None
            except requests.Timeout:
                outage = SourceOutage("unreachable", self._door.line("timed out", self._shown), "timeout")
                raise Retryable(outage) from None
            try:
                told = self.decode_rpc_response(answer)
            except ValueError:
                torn = self._door.line(f"answered with {len(answer)} bytes that are not JSON", self._shown)
                raise Retryable(SourceOutage("venue_error", torn, "not_json")) from None
            if _is_too_often(told):
                raise self._door.asked_to_wait(
                    {}, self._host, self._door.line("answered that it was too much", self._shown)
                )
        return told

    def _judged(self, error: requests.HTTPError) -> Exception:
        """Return what a status becomes; of 403 and of a question that is refused the provider's own reader knows more."""
        response = error.response
        if response is None:
            return error
        status, headers = response.status_code, {k.lower(): v for k, v in response.headers.items()}
        line = self._door.line(f"answered HTTP {status}", self._shown)
        if status == RATE_LIMIT_STATUS:
            return self._door.asked_to_wait(headers, self._host, line)
        # A wrong key is answered with 403: that is no ban.
        refused = None if status == FORBIDDEN_STATUS else self._door.refused(status, headers, b"", self._host, line)
        return refused or error


def guarded_session(*, is_local_allowed: bool = False) -> requests.Session:
    """Return a session that follows no redirect, uses no proxy of the environment, and talks to public addresses only."""
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.hooks["response"].append(_refuse_redirect)
    if not is_local_allowed:
        for scheme in ("https://", "http://"):
            session.mount(scheme, _PublicOnly())
    return session


def _refuse_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    if response.is_redirect or 300 <= response.status_code < 400:
        raise requests.TooManyRedirects("the provider redirects: give the address that it points to", response=response)


def _only_public(sock: socket.socket) -> socket.socket:
    if not is_public_address(str(sock.getpeername()[0])):
        sock.close()
        raise requests.ConnectionError("the host's name points to an address that is not public")
    return sock


def _is_too_often(told: Any) -> bool:
    """Return whether an answer of 200 says in its body that the host was asked too often; a question too large is another thing."""
    error = told.get("error") if isinstance(told, dict) else None
    if not isinstance(error, dict):
        return False
    return error.get("code") == RATE_LIMIT_STATUS or _TOO_OFTEN.search(str(error.get("message", ""))) is not None


class _PublicHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _only_public(super()._new_conn())


class _PublicHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _only_public(super()._new_conn())


class _PublicHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


class _PublicHTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _PublicOnly(HTTPAdapter):
    """Looks at the address of each connection before anything is sent over it."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pool of connections that are looked at."""
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PublicHTTPPool, "https": _PublicHTTPSPool}
