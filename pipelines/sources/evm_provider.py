"""Where a provider may be: the rules over RPC URLs, and a connection that keeps to them whatever names resolve to.

Belongs here: which URLs are refused, redirects, rebinding, one line without the key. Does not: what is asked there (``evm.py``).

A URL of a provider is somebody's secret (the key stands in its path) and somebody's input: https to a public host, unless a
user opted in to their own node. A name that is public when checked may be private when connected to, so that the address of
the connection itself is looked at, before a byte is sent.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager
from web3 import HTTPProvider

from pipelines.sources.evm import ChainNode

TIMEOUT_S = 30.0
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


def http_node(url: str, *, is_local_allowed: bool = False) -> ChainNode:
    """Return a provider over HTTP; see `checked_rpc_url` for what is refused."""
    checked = checked_rpc_url(url, is_local_allowed=is_local_allowed)
    provider = HTTPProvider(
        checked,
        request_kwargs={"timeout": TIMEOUT_S, "allow_redirects": False},
        session=guarded_session(is_local_allowed=is_local_allowed),
        exception_retry_configuration=None,
    )
    return ChainNode(provider, shown_host(checked))


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
