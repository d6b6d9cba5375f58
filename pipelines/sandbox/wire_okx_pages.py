"""What all of OKX's answers share: the envelope, errors, the bounds of a page, pages that begin with the newest record.

Belongs here: how the venue wraps, refuses and cuts. Does not: what the records hold (``wire_okx.py`` and its sibling
``wire_okx_snapshots.py``), contracts and their figures (``wire_okx_contracts.py``).

References
----------
Error codes and their HTTP status: https://www.okx.com/docs-v5/en/#error-code-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.wire import HOUR_MS, WireError, to_ms

# "The latest 1,440 data entries", of candles, open interest and ratios.
ENTRIES_KEPT_COUNT = 1_440

# The venue's pages name no ban and no geoblock; 403 and 451 are what its gateway may answer, their bodies are made up here.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "rate_limited": (429, {"msg": "Too Many Requests", "code": "50011"}),
    "banned": (403, {"msg": "Forbidden", "code": "403"}),
    "geoblocked": (451, {"msg": "Unavailable For Legal Reasons", "code": "451"}),
    "error": (500, {"code": "50026", "data": [], "msg": "System error. Try again later"}),
}


class OkxError(WireError):
    """An error of OKX, ``{"code": "51001", "data": [], "msg": "..."}``."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__({"code": code, "data": [], "msg": message}, status)


@dataclass(frozen=True)
class Window:
    """A page's bounds in milliseconds, both exclusive and either absent, and its limit."""

    newer_than_ms: int | None
    older_than_ms: int | None
    limit: int


def answer(data: list[Any]) -> dict[str, Any]:
    """Return records in the venue's envelope."""
    return {"code": "0", "msg": "", "data": data}


def wrong_parameter(name: str) -> OkxError:
    """Return the error of a parameter that is there and cannot be used."""
    return OkxError("51000", f"Parameter {name} error")


def unknown_instrument() -> OkxError:
    """Return the error of a contract that does not exist; the venue says it with a 200."""
    return OkxError("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", 200)


def needed(query: Mapping[str, Any], name: str) -> str:
    """Return a parameter that must be there."""
    text = query.get(name)
    if not text:
        raise OkxError("50014", f"Parameter {name} can not be empty")
    return str(text)


def needed_type(query: Mapping[str, Any]) -> str:
    """Return which kind of instrument is asked for."""
    kind = needed(query, "instType")
    if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
        raise wrong_parameter("instType")
    return kind


def needed_family(query: Mapping[str, Any]) -> str:
    """Return the family of contracts that is asked for, by either of its names."""
    family = query.get("instFamily") or query.get("uly")
    if not family:
        raise OkxError("50015", "Either parameter instFamily or uly is required")
    return str(family)


def whole(query: Mapping[str, Any], name: str) -> int | None:
    """Return a parameter that is a whole number, None where it is absent."""
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise wrong_parameter(name)
    return int(text)


def window_of(query: Mapping[str, Any], newer_than: str, older_than: str, *, default: int, most: int) -> Window:
    """Return the bounds of a page by the names that the endpoint gives them."""
    limit = whole(query, "limit")
    if limit is not None and not 1 <= limit <= most:
        raise wrong_parameter("limit")
    return Window(whole(query, newer_than), whole(query, older_than), limit or default)


def newest_first(
    clock: NDArray[np.int64], shown: NDArray[np.bool_], window: Window, row: Callable[[int], Any]
) -> list[Any]:
    """Cut a page: the newest records inside the bounds, newest first; a lower bound alone gives the latest as well."""
    inside = shown.copy()
    if window.newer_than_ms is not None:
        inside &= clock > window.newer_than_ms
    if window.older_than_ms is not None:
        inside &= clock < window.older_than_ms
    picked: Sequence[int] = np.flatnonzero(inside)[::-1][: window.limit].tolist()
    return [row(i) for i in picked]


def oldest_kept_ms(now: datetime, step_ms: int = HOUR_MS) -> int:
    """Return the start of the oldest hour, or other step, of the latest 1,440, of which the running one is the first."""
    return to_ms(now) // step_ms * step_ms - (ENTRIES_KEPT_COUNT - 1) * step_ms
