"""What the wires of chains share: one path that takes JSON-RPC 2.0 and answers each method by its node.

Belongs here: the envelope. Does not: a chain and its methods (``wire_evm.py``, ``wire_solana.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.sandbox.wire import PLAIN_REFUSALS, Route


class JsonRpcWire(ABC):
    """A chain as one provider shows it, at ``/rpc/<venue>``."""

    venue: str
    weight_header = ""
    refusals: Mapping[str, tuple[int, Any]] = PLAIN_REFUSALS

    def routes(self) -> list[Route]:
        """Return the one path."""
        return [Route(f"/rpc/{self.venue}", self.ask, method="POST")]

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the path and the method that was asked."""
        return f"{path}/{query.get('method')}"

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list that an answer holds: a short page of these is a provider that leaves some out."""
        result = body.get("result")
        return result if isinstance(result, list) else None

    def ask(self, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Answer one request with what there is at the world's present."""
        method, params = query.get("method"), query.get("params", [])
        if not isinstance(method, str) or not isinstance(params, list):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "invalid request"}}
        return {"jsonrpc": "2.0", "id": query.get("id"), **self.handle(method, params, now)}

    @abstractmethod
    def handle(self, method: str, params: list[Any], now: datetime) -> dict[str, Any]:
        """Return ``result`` or ``error`` of a method at an instant."""
