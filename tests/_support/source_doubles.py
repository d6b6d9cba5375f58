"""Doubles for tests of source clients: a lake that only keeps payloads, a clock that is moved by hand or by sleeping."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta


class PayloadLake:
    """The part of a raw lake that a transport uses."""

    def __init__(self) -> None:
        self.payloads: dict[str, bytes] = {}
        self.requests: list[str] = []

    def save_payload(self, body: bytes, request: str) -> str:
        sha = hashlib.sha256(body).hexdigest()
        self.payloads[sha] = body
        self.requests.append(request)
        return sha


class HandClock:
    """A clock that stands still until a test, or a sleep, moves it."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        """Stand in for time.sleep: note the wait and move the clock by it."""
        self.slept.append(seconds)
        self.instant += timedelta(seconds=seconds)
