"""Misbehaviour on demand: which request is answered how, decided by counting requests and never by chance or time.

A storm is the exception: its code is the test's, and may draw (seeded) and read the test's clock.

Belongs here: the rules. Does not: the answers of a well-behaved venue (``wire.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "rate_limited",
    "banned",
    "geoblocked",
    "forbidden",
    "error",
    "torn",
    "broken_off",
    "late",
    "short_page",
    "page_not_json",
]


@dataclass(frozen=True)
class Fault:
    """One rule: the matching requests number `first` to `first + times - 1` are answered with a fault.

    Parameters
    ----------
    kind : str
        ``rate_limited`` 429, ``banned`` 418, ``geoblocked`` 451, ``forbidden`` 403, ``error`` 500, ``torn`` (200 and half
        of the body), ``broken_off`` (200 and the connection ends before the body does), ``late`` (the right answer, after
        `late_s`), ``page_not_json`` (200 and HTML), ``short_page`` (a third of the rows, at least one).
    first : int
        Number of the first matching request, 1 = the first one.
    times : int
        How many matching requests in a row.
    path : str
        Beginning of the path; empty matches every request.
    retry_after_s : int or None
        ``Retry-After`` of 429 and 418; None sends none.
    late_s : float
        Seconds before the answer, of any kind, is sent.
    """

    kind: Kind
    first: int = 1
    times: int = 1
    path: str = ""
    retry_after_s: int | None = 1
    late_s: float = 0.0

    def covers(self, path: str, number: int) -> bool:
        """Return whether the rule applies to the matching request of this number."""
        return path.startswith(self.path) and self.first <= number < self.first + self.times


@dataclass(frozen=True)
class Faults:
    """The rules of one server.

    Parameters
    ----------
    rules : tuple of Fault
        The first that applies wins; each counts the requests that its own path matches.
    page_cap_count : int or None
        No page holds more rows than this, silently: a venue that lowered its limit.
    spoiled : mapping
        Beginning of a path -> what is made of the decoded answer: a venue that answers in another shape.
    storm : callable or None
        ``storm(path)`` takes the place of the rules: it is asked at every request, in order.
    latency_s : float
        Seconds that every answer takes.
    """

    rules: tuple[Fault, ...] = ()
    page_cap_count: int | None = None
    spoiled: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    storm: Callable[[str], Fault | None] | None = None
    latency_s: float = 0.0
