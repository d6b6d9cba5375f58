"""What the answers of Bybit's routes share: the envelope, errors, bounds, how a page is cut.

Belongs here: the venue's way with a query. Does not: routes and shapes (``wire_bybit_series.py``, ``wire_bybit.py``).

References
----------
Error codes: https://bybit-exchange.github.io/docs/v5/error
Limits and bans: https://bybit-exchange.github.io/docs/v5/rate-limit
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.sandbox.wire import WireError, to_ms

PARAMS_ERROR = 10001


def envelope(result: Mapping[str, Any], now_ms: int = 0, code: int = 0, message: str = "OK") -> dict[str, Any]:
    """Return a result as the venue sends it: with its code and its time around it."""
    return {"retCode": code, "retMsg": message, "result": dict(result), "retExtInfo": {}, "time": now_ms}


# The venue's pages give codes and texts, not bodies. The geoblock is an HTML page of its delivery network; only its sentence
# is kept here. 429 is "system level frequency protection".
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, envelope({}, code=10006, message="Too many visits!")),
    "banned": (403, envelope({}, code=403, message="access too frequent")),
    "geoblocked": (
        403,
        {"message": "The Amazon CloudFront distribution is configured to block access from your country."},
    ),
    "error": (500, envelope({}, code=10016, message="Server error.")),
}


class BybitError(WireError):
    """An error of Bybit: HTTP 200 and ``{"retCode": 10001, "retMsg": "...", "result": {}, ...}``."""

    def __init__(self, message: str, now: datetime, code: int = PARAMS_ERROR) -> None:
        super().__init__(envelope({}, to_ms(now), code, message), status=200)


@dataclass(frozen=True)
class Window:
    """A page's bounds in milliseconds, both inclusive and either absent, and its limit."""

    start_ms: int | None
    end_ms: int | None
    limit: int


def category_of(query: Mapping[str, str], now: datetime) -> str:
    """Return the category asked for."""
    category = query.get("category", "")
    if category not in ("linear", "inverse"):
        # The venue has spot and options too, the sandbox has not.
        raise BybitError("params error: category invalid", now)
    return category


def whole(query: Mapping[str, str], name: str, now: datetime) -> int | None:
    """Return a whole number of a query, None where it is not sent."""
    text = query.get(name)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit():
        raise BybitError(f"params error: {name} invalid", now)
    return int(text)


def limit_of(query: Mapping[str, str], now: datetime, *, default: int, most: int) -> int:
    """Return how many records are asked for."""
    limit = whole(query, "limit", now)
    if limit is not None and not 1 <= limit <= most:
        # The pages give the bounds and not what becomes of a limit beyond: the stricter answer is shown.
        raise BybitError("params error: limit invalid", now)
    return limit or default


def window_of(query: Mapping[str, str], now: datetime, start: str, end: str, *, default: int, most: int) -> Window:
    """Return the bounds and the limit of a query."""
    start_ms, end_ms = whole(query, start, now), whole(query, end, now)
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise BybitError("The start time cannot be later than the end time.", now)
    return Window(start_ms, end_ms, limit_of(query, now, default=default, most=most))


def newest_first(rows: Sequence[Any], clock: Callable[[Any], int], window: Window) -> list[Any]:
    """Cut a page: filled from the newest row, but from the oldest where only a start is sent; newest first."""
    inside = [r for r in rows if clock(r) >= (window.start_ms or 0)]
    if window.end_ms is not None:
        inside = [r for r in inside if clock(r) <= window.end_ms]
    is_forward = window.start_ms is not None and window.end_ms is None
    page = inside[: window.limit] if is_forward else inside[-window.limit :]
    return page[::-1]
