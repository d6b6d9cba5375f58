"""What the wire formats of all venues share: routes, error answers, pages.

Belongs here: values that the server needs of any venue. Does not: a venue's shapes (``wire_binance.py`` and its siblings),
HTTP (``server.py``), misbehaviour (``faults.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

HOUR_MS = 3_600_000

# How a web server refuses that is no venue's.
PLAIN_REFUSALS: Mapping[str, tuple[int, Any]] = {
    "rate_limited": (429, "Too Many Requests"),
    "banned": (403, "Forbidden"),
    "geoblocked": (451, "Unavailable For Legal Reasons"),
    "error": (500, "Internal Server Error"),
}


class WireError(Exception):
    """An error a venue answers with: the HTTP status and the error JSON; a string is sent as plain text."""

    def __init__(self, body: Any, status: int = 400) -> None:
        super().__init__(str(body))
        self.body = body
        self.status = status


@dataclass(frozen=True)
class Route:
    """One kind of request of a venue.

    Parameters
    ----------
    path : str
        Path on the venue's host; no two venues share one.
    answer : callable
        ``answer(query, now)``: the decoded answer, a text where `media_type` is not JSON's; `WireError` where the venue would
        refuse. A query is the URL's, or the JSON body of a POST.
    method : str
        GET or POST.
    weight : callable
        What the request costs of the venue's budget.
    media_type : str
        What the answer is.
    """

    path: str
    answer: Callable[[Mapping[str, Any], datetime], Any]
    method: str = "GET"
    weight: Callable[[Mapping[str, Any]], int] = lambda _: 1
    media_type: str = "application/json"


class Wire(Protocol):
    """A market as one venue shows it.

    `refusals` are the status and body of each kind of fault (see ``faults.py``). `weight_header` names the header that
    tells the used weight, empty where the venue tells none.
    """

    venue: str
    weight_header: str
    refusals: Mapping[str, tuple[int, Any]]

    def routes(self) -> list[Route]:
        """Return every route that the venue answers."""
        ...

    def label(self, path: str, query: Mapping[str, Any]) -> str:
        """Return what a rule of misbehaviour is matched with: the path, or more where one path answers everything."""
        ...

    def rows(self, body: Any) -> list[Any] | None:
        """Return the list of rows inside an answer, itself and not a copy, or None: a short page is cut there."""
        ...


def to_ms(at: datetime) -> int:
    """Return an instant (UTC, naive) as milliseconds."""
    return int(at.replace(tzinfo=UTC).timestamp() * 1000)
