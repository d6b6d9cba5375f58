"""The sandbox's answers handed to ccxt's own session without a socket: the client runs whole, at thousands of answers a second.

What is left out is HTTP between two processes; status, headers, content encoding and body go through `requests` as they would.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from starlette.routing import compile_path
from urllib3 import HTTPResponse

from pipelines.sandbox.server import wires_of
from pipelines.sandbox.wire import WireError
from pipelines.sandbox.world import World

BASE_URL = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Canned:
    """An answer as it goes over the wire."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


# spoil(label, answer): what is sent in its place. The label is the path, or what a venue's one path was asked.
Spoil = Callable[[str, Canned], Canned]


class CannedMarket(HTTPAdapter):
    """An adapter for a session; `spoil` may be set at any time."""

    def __init__(self, world: World, now: datetime) -> None:
        super().__init__()
        self._now = now
        self._routes = [(compile_path(r.path)[0], w, r) for w in wires_of(world) for r in w.routes()]
        self._bodies: dict[tuple[Any, ...], Canned] = {}
        self.spoil: Spoil = lambda _, answer: answer

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:  # type: ignore[override]  # the options of a real connection
        parts = urlsplit(str(request.url))
        found = ((p.match(parts.path), w, r) for p, w, r in self._routes if r.method == request.method)
        match, wire, route = next((m, w, r) for m, w, r in found if m)
        query = json.loads(request.body or "{}") if request.method == "POST" else dict(parse_qsl(parts.query))
        query |= match.groupdict()
        asked = (parts.path, json.dumps(query, sort_keys=True))
        if asked not in self._bodies:
            try:
                body, status = route.answer(query, self._now), 200
            except WireError as error:
                body, status = error.body, error.status
            self._bodies[asked] = Canned(json.dumps(body, separators=(",", ":")).encode(), status)
        canned = self.spoil(wire.label(route.path, query), self._bodies[asked])
        raw = HTTPResponse(io.BytesIO(canned.body), headers=canned.headers, status=canned.status, preload_content=False)
        return self.build_response(request, raw)
