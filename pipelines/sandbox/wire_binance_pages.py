"""What the pages of Binance's two futures products share: errors, bounds, how a page is cut, what it costs.

Belongs here: the venue's way with a query, whatever the product. Does not: routes and shapes (``wire_binance.py``,
``wire_binance_coinm.py``).

References
----------
Error codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
Limits and HTTP codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.sandbox.wire import WireError

# The venue's "never", of a perpetual's delivery: 2100-12-25.
NEVER_MS = 4_133_404_800_000

# Bodies of refusals as users have recorded them; the venue's pages give only the codes.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"code": -1003, "msg": "Too much request weight used; current limit is 2400 per minute."}),
    "banned": (418, {"code": -1003, "msg": "Way too much request weight used; IP banned for a while."}),
    "geoblocked": (451, {"code": 0, "msg": "Service unavailable from a restricted location."}),
    "error": (500, {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."}),
}


class BinanceError(WireError):
    """An error of Binance, ``{"code": -1121, "msg": "Invalid symbol."}``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__({"code": code, "msg": message})


@dataclass(frozen=True)
class Window:
    """A page's bounds in milliseconds, both inclusive and either absent, and its limit."""

    start_ms: int | None
    end_ms: int | None
    limit: int


def whole(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number of a query, None where it is not sent."""
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return int(text)


def window_of(query: Mapping[str, str], *, default: int, most: int) -> Window:
    """Return a query's bounds and limit, or the venue's refusal of them."""
    start, end, limit = whole(query, "startTime"), whole(query, "endTime"), whole(query, "limit")
    if limit is not None and not 1 <= limit <= most:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    if start is not None and end is not None and start > end:
        raise BinanceError(-1023, "Start time is greater than end time.")
    return Window(start, end, limit or default)


def oldest_first(rows: list[Any], clock: list[int], window: Window) -> list[Any]:
    """Cut a page: from `startTime` forward where one is sent, else the latest rows."""
    first = int(np.searchsorted(clock, window.start_ms or 0, side="left"))
    after = len(rows) if window.end_ms is None else int(np.searchsorted(clock, window.end_ms, side="right"))
    inside = rows[first:after]
    return inside[-window.limit :] if window.start_ms is None else inside[: window.limit]


def latest(rows: list[Any], clock: list[int], window: Window) -> list[Any]:
    """Cut a page that is anchored at its end: the latest rows inside the bounds, oldest first."""
    inside = [
        r for r, at in zip(rows, clock, strict=True) if (window.start_ms or 0) <= at <= (window.end_ms or NEVER_MS)
    ]
    return inside[-window.limit :]


def klines_weight(query: Mapping[str, str]) -> int:
    """Return what a page of klines costs: more where more are asked for."""
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 500
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def depth_weight(query: Mapping[str, str]) -> int:
    """Return what a book costs: more where more levels are asked for."""
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 500
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20
