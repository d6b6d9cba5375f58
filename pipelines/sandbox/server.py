"""The sandbox market on loopback: Binance USD-M's routes over HTTP, so that the real client runs unchanged.

Belongs here: HTTP, headers, the thread the server runs in. Does not: shapes (``wire.py``), rules of misbehaviour
(``faults.py``), the market (``world.py``). It binds to loopback and refuses everything else.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.wire import BinanceWire, WireError, to_ms
from pipelines.sandbox.world import World

LOOPBACK_HOSTS = ("127.0.0.1", "::1")
START_TIMEOUT_S = 20.0

# Bodies of refusals as users have recorded them; the venue's pages give only the codes.
REFUSALS: dict[str, tuple[int, dict[str, Any]]] = {
    "rate_limited": (429, {"code": -1003, "msg": "Too much request weight used; current limit is 2400 per minute."}),
    "banned": (418, {"code": -1003, "msg": "Way too much request weight used; IP banned for a while."}),
    "geoblocked": (451, {"code": 0, "msg": "Service unavailable from a restricted location."}),
    "error": (500, {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."}),
}

HTML = b"<html><body><h1>Request blocked.</h1></body></html>"


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it, and the status it answered with."""

    path: str
    query: Mapping[str, str]
    status: int


@dataclass
class Sandbox:
    """A running sandbox.

    `now` may be moved: nothing after it is served. `requests` is every request so far, in order.
    """

    base_url: str
    world: World
    now: datetime
    faults: Faults
    requests: list[Seen] = field(default_factory=list)
    used_weight_count: int = 0
    _matched: dict[int, int] = field(default_factory=dict)

    def restart(self, *, now: datetime | None = None, faults: Faults | None = None) -> None:
        """Forget every request and every count, and go on with other rules; a test need not bind a new port."""
        self.now = now or self.now
        self.faults = faults or Faults()
        self.requests.clear()
        self._matched.clear()
        self.used_weight_count = 0

    def fault_of(self, path: str) -> Fault | None:
        """Count a request against every rule and return the first that applies."""
        chosen = None
        for i, rule in enumerate(self.faults.rules):
            if path.startswith(rule.path):
                self._matched[i] = self._matched.get(i, 0) + 1
                if chosen is None and rule.covers(path, self._matched[i]):
                    chosen = rule
        return chosen


@contextmanager
def serve(
    world: World,
    *,
    now: datetime,
    port: int = 0,
    faults: Faults | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Sandbox]:
    """Serve a world on loopback in a thread, until the block ends.

    Parameters
    ----------
    world : World
        The market.
    now : datetime.datetime
        The market's present, UTC, naive.
    port : int
        0 takes a free one.
    faults : Faults or None
        How the server misbehaves; None: not at all.

    Yields
    ------
    Sandbox
        `base_url` is what a client needs.

    Raises
    ------
    ValueError
        Where `host` is not a loopback address.
    """
    if host not in LOOPBACK_HOSTS:
        raise ValueError(f"the sandbox binds to {' or '.join(LOOPBACK_HOSTS)} only, not to {host}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        name = f"[{host}]" if ":" in host else host
        sandbox = Sandbox(f"http://{name}:{listener.getsockname()[1]}", world, now, faults or Faults())
        with _running(build_app(sandbox), listener):
            yield sandbox


def build_app(sandbox: Sandbox) -> Starlette:
    """Return the ASGI application of a sandbox."""
    wire = BinanceWire(sandbox.world)
    routes: dict[str, tuple[Callable[[Mapping[str, str]], Any], Callable[[Mapping[str, str]], int]]] = {
        # Test connectivity and server time: .../market-data/rest-api (Test-Connectivity, Check-Server-Time).
        "/fapi/v1/ping": (lambda _: {}, _fixed(1)),
        "/fapi/v1/time": (lambda _: {"serverTime": to_ms(sandbox.now)}, _fixed(1)),
        "/fapi/v1/exchangeInfo": (lambda _: wire.exchange_info(sandbox.now), _fixed(1)),
        "/fapi/v1/klines": (lambda q: wire.klines(q, sandbox.now), _klines_weight),
        "/fapi/v1/fundingRate": (lambda q: wire.funding_rate(q, sandbox.now), _fixed(0)),
        "/futures/data/openInterestHist": (lambda q: wire.open_interest_hist(q, sandbox.now), _fixed(0)),
        "/fapi/v1/depth": (lambda q: wire.depth(q, sandbox.now), _depth_weight),
    }

    def endpoint(path: str) -> Callable[[Request], Awaitable[Response]]:
        answer, weight = routes[path]

        async def handle(request: Request) -> Response:
            query = dict(request.query_params)
            sandbox.used_weight_count += weight(query)
            response = _respond(sandbox, path, query, answer)
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(sandbox.used_weight_count)
            sandbox.requests.append(Seen(path, query, response.status_code))
            return response

        return handle

    return Starlette(
        routes=[Route(path, endpoint(path), methods=["GET"]) for path in routes],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])],
    )


def _respond(
    sandbox: Sandbox, path: str, query: Mapping[str, str], answer: Callable[[Mapping[str, str]], Any]
) -> Response:
    fault = sandbox.fault_of(path)
    if fault is not None and fault.kind in REFUSALS:
        status, refusal = REFUSALS[fault.kind]
        waits = fault.kind in ("rate_limited", "banned") and fault.retry_after_s is not None
        return _json(refusal, status, {"Retry-After": str(fault.retry_after_s)} if waits else {})
    if fault is not None and fault.kind in ("forbidden", "page_not_json"):
        return Response(HTML, 403 if fault.kind == "forbidden" else 200, media_type="text/html")
    try:
        body = answer(query)
    except WireError as error:
        return _json(error.body, error.status)
    if isinstance(body, list):
        body = body[: sandbox.faults.page_cap_count]
        if fault is not None and fault.kind == "short_page":
            body = body[: max(1, len(body) // 3)]
    response = _json(body)
    if fault is not None and fault.kind == "torn":
        half = bytes(response.body)[: max(1, len(response.body) // 2)]
        return Response(half, 200, media_type="application/json")
    return response


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(body, separators=(",", ":")).encode()
    return Response(text, status, headers=dict(headers or {}), media_type="application/json")


def _fixed(weight: int) -> Callable[[Mapping[str, str]], int]:
    return lambda _: weight


def _klines_weight(query: Mapping[str, str]) -> int:
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 500
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def _depth_weight(query: Mapping[str, str]) -> int:
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 500
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def _running(app: Starlette, listener: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
    thread.start()
    try:
        if not server.listening.wait(START_TIMEOUT_S):
            raise RuntimeError(f"the sandbox did not start within {START_TIMEOUT_S:.0f} s")
        yield
    finally:
        server.should_exit = True
        thread.join(START_TIMEOUT_S)
        if thread.is_alive():
            raise RuntimeError("the sandbox did not stop; its thread is still running")
