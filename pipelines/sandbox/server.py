"""The sandbox market on loopback: the venues' and publishers' routes over HTTP, so that the real clients run unchanged.

Belongs here: HTTP, headers, the thread the server runs in. Does not: shapes (``wire_*.py``), rules of misbehaviour
(``faults.py``), the market (``world.py``). It binds to loopback and refuses everything else.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
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
from starlette.routing import BaseRoute, Route

from pipelines.sandbox import wire as wires
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.streams import Streams, stream_routes
from pipelines.sandbox.wire import Wire, WireError
from pipelines.sandbox.wire_alternative_me import AlternativeMeWire
from pipelines.sandbox.wire_binance import BinanceWire
from pipelines.sandbox.wire_binance_coinm import BinanceCoinmWire
from pipelines.sandbox.wire_bitget import BitgetWire
from pipelines.sandbox.wire_bitmex import BitmexWire
from pipelines.sandbox.wire_bybit import BybitWire
from pipelines.sandbox.wire_coin_metrics import CoinMetricsWire
from pipelines.sandbox.wire_defillama import DefiLlamaWire
from pipelines.sandbox.wire_deribit import DeribitWire
from pipelines.sandbox.wire_dydx import DydxWire
from pipelines.sandbox.wire_evm import EvmWire
from pipelines.sandbox.wire_farside import FarsideWire
from pipelines.sandbox.wire_fred import FredWire
from pipelines.sandbox.wire_gate import GateWire
from pipelines.sandbox.wire_htx import HtxWire
from pipelines.sandbox.wire_hyperliquid import HyperliquidWire
from pipelines.sandbox.wire_kraken import KrakenWire
from pipelines.sandbox.wire_kucoin import KucoinWire
from pipelines.sandbox.wire_okx import OkxWire
from pipelines.sandbox.wire_solana import SolanaWire
from pipelines.sandbox.wire_treasury import TreasuryWire
from pipelines.sandbox.world import World

LOOPBACK_HOSTS = ("127.0.0.1", "::1")
START_TIMEOUT_S = 20.0

HTML = b"<html><body><h1>Request blocked.</h1></body></html>"


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it (a path, or what a venue's one path was asked), and the status it answered with.

    `arrived_s` is the machine's monotonic clock.
    """

    path: str
    query: Mapping[str, Any]
    status: int
    arrived_s: float = 0.0


@dataclass
class Sandbox:
    """A running sandbox.

    `now` may be moved: nothing after it is served. `requests` is every request so far, in order; `streams` is what websockets
    play, read at every connection.
    """

    base_url: str
    world: World
    now: datetime
    faults: Faults
    requests: list[Seen] = field(default_factory=list)
    used_weights: dict[str, int] = field(default_factory=dict)
    streams: Streams = field(default_factory=Streams)
    _matched: dict[int, int] = field(default_factory=dict)

    @property
    def venues(self) -> tuple[str, ...]:
        """The venues whose wire format is spoken here."""
        return tuple(wire.venue for wire in wires_of(self.world))

    def restart(self, *, now: datetime | None = None, faults: Faults | None = None) -> None:
        """Forget every request and every count, and go on with other rules; a test need not bind a new port."""
        self.now = now or self.now
        self.faults = faults or Faults()
        self.requests.clear()
        self._matched.clear()
        self.used_weights.clear()

    def fault_of(self, path: str) -> Fault | None:
        """Count a request against every rule and return the first that applies."""
        if self.faults.storm is not None:
            return self.faults.storm(path)
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
    """Return the ASGI application of a sandbox: the routes of every venue on one host."""

    def endpoint(wire: Wire, route: wires.Route) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            query = {**request.query_params, **request.path_params}
            if route.method == "POST":
                query = _json_object(await request.body())
            label = wire.label(route.path, query)
            used = sandbox.used_weights[wire.venue] = sandbox.used_weights.get(wire.venue, 0) + route.weight(query)
            arrived_s = time.monotonic()
            fault = sandbox.fault_of(label)
            response = _respond(sandbox, wire, route, fault, label, query)
            if wire.weight_header:
                response.headers[wire.weight_header] = str(used)
            sandbox.requests.append(Seen(label, query, response.status_code, arrived_s))
            wait_s = sandbox.faults.latency_s + (fault.late_s if fault is not None else 0.0)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            return response

        return handle

    routes: list[BaseRoute] = [
        Route(route.path, endpoint(wire, route), methods=[route.method])
        for wire in wires_of(sandbox.world)
        for route in wire.routes()
    ]
    return Starlette(
        routes=[*routes, *stream_routes(lambda: sandbox.streams)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])],
    )


def wires_of(world: World) -> list[Wire]:
    """Return the world as each venue and publisher shows it."""
    coinm = BinanceCoinmWire(world)
    return [
        BinanceWire(world, coinm),
        coinm,
        BybitWire(world),
        OkxWire(world),
        HyperliquidWire(world),
        DydxWire(world),
        DeribitWire(world),
        BitmexWire(world),
        KrakenWire(world),
        GateWire(world),
        HtxWire(world),
        BitgetWire(world),
        KucoinWire(world),
        AlternativeMeWire(world),
        FredWire(world),
        TreasuryWire(world),
        FarsideWire(world),
        CoinMetricsWire(world),
        DefiLlamaWire(world),
        EvmWire(world),
        SolanaWire(world),
    ]


def _respond(
    sandbox: Sandbox, wire: Wire, route: wires.Route, fault: Fault | None, label: str, query: Mapping[str, Any]
) -> Response:
    if fault is not None and fault.kind in wire.refusals:
        status, refusal = wire.refusals[fault.kind]
        waits = fault.kind in ("rate_limited", "banned") and fault.retry_after_s is not None
        return _refused(refusal, status, {"Retry-After": str(fault.retry_after_s)} if waits else {})
    if fault is not None and fault.kind in ("forbidden", "page_not_json"):
        return Response(HTML, 403 if fault.kind == "forbidden" else 200, media_type="text/html")
    try:
        body = route.answer(query, sandbox.now)
    except WireError as error:
        return _refused(error.body, error.status)
    rows = wire.rows(body)
    if rows is not None:
        kept = len(rows) if sandbox.faults.page_cap_count is None else sandbox.faults.page_cap_count
        if fault is not None and fault.kind == "short_page":
            kept = max(1, min(kept, len(rows)) // 3)
        del rows[kept:]
    for path, change in sandbox.faults.spoiled.items():
        if label.startswith(path):
            body = change(json.loads(json.dumps(body)))
    as_text = route.media_type != "application/json"
    response = Response(body, 200, media_type=route.media_type) if as_text else _json(body)
    if fault is not None and fault.kind == "torn":
        half = bytes(response.body)[: max(1, len(response.body) // 2)]
        return Response(half, 200, media_type=route.media_type)
    if fault is not None and fault.kind == "broken_off":
        promised = {"Content-Length": str(len(response.body) + 1)}
        return Response(response.body, 200, promised, media_type=route.media_type)
    return response


def _json_object(body: bytes) -> dict[str, Any]:
    """Return a POST's body; what is no JSON object is an empty question, which a venue refuses."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _refused(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error answer; not every venue's errors are JSON."""
    if isinstance(body, str):
        return Response(body, status, headers=dict(headers or {}), media_type="text/plain")
    return _json(body, status, headers)


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(body, separators=(",", ":")).encode()
    return Response(text, status, headers=dict(headers or {}), media_type="application/json")


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
