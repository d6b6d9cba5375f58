"""The public liquidation streams there are: where they live, how one subscribes, how a venue says yes or no.

Belongs here: addresses, subscription messages, pings, confirmations. Does not: connections (``recorder.py``), what a liquidation
looks like (``pipelines/sources/exchanges/liquidations.py``, which has the same names).

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Important-WebSocket-Change-Notice
    (market data under ``/market``; the address without it was retired on 2026-04-23)
https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams/All-Market-Liquidation-Order-Streams
https://bybit-exchange.github.io/docs/v5/ws/connect (a ping every 20 s), .../docs/v5/websocket/public/all-liquidation
https://www.okx.com/docs-v5/en/#overview-websocket-connect (a connection without a message for 30 s is cut),
    .../docs-v5/en/#public-data-websocket-liquidation-orders-channel
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from pipelines.sources.exchanges.liquidations import STREAMS
from pipelines.sources.wire_values import of

Answer = Literal["accepted", "refused", "other"]


@dataclass(frozen=True)
class Feed:
    """One stream of a venue.

    Parameters
    ----------
    stream : str
        A key of `STREAMS`.
    address : str
        The venue's own.
    contract_kind : {"linear", "inverse"} or None
        Which of the venue's contracts it carries; None: all.
    requests : callable
        ``requests(symbols)``: the messages that subscribe, one answer each.
    answer_of : callable
        ``answer_of(message)``: what a decoded message says about a request; None where it is no answer of the venue.
    needs_symbols : bool
        True where every contract is a topic of its own.
    ping : str
        The venue's own ping message; empty where the protocol's ping is enough.
    """

    stream: str
    address: str
    contract_kind: str | None
    requests: Callable[[Sequence[str]], list[str]]
    answer_of: Callable[[Any], Answer | None]
    needs_symbols: bool = False
    ping: str = ""

    @property
    def venue(self) -> str:
        """The venue, as raw rows name it."""
        return STREAMS[self.stream].venue

    def url(self, base_url: str | None) -> str:
        """Return the address, or the same path below another base URL: the sandbox serves every venue on one host."""
        if base_url is None:
            return self.address
        there, here = urlsplit(self.address), urlsplit(base_url)
        scheme = {"http": "ws", "https": "wss"}.get(here.scheme, here.scheme)
        return f"{scheme}://{here.netloc}/{there.hostname}{there.path}"


def _text(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"))


def _binance_requests(_symbols: Sequence[str]) -> list[str]:
    return [_text({"method": "SUBSCRIBE", "params": ["!forceOrder@arr"], "id": 1})]


def _binance_answer(message: Any) -> Answer | None:
    if of(message, "error") is not None or (of(message, "code") is not None and of(message, "msg") is not None):
        return "refused"
    return "accepted" if isinstance(message, dict) and "result" in message and "id" in message else None


def _bybit_requests(symbols: Sequence[str]) -> list[str]:
    # One topic a request: a contract that the venue no longer knows then costs itself and not its neighbours.
    topics = [f"allLiquidation.{symbol}" for symbol in symbols]
    return [_text({"op": "subscribe", "args": [topic], "req_id": topic}) for topic in topics]


def _bybit_answer(message: Any) -> Answer | None:
    if of(message, "op") == "subscribe":
        return "accepted" if of(message, "success") is True else "refused"
    return "other" if of(message, "op") in ("ping", "pong") else None


def _okx_requests(_symbols: Sequence[str]) -> list[str]:
    return [_text({"op": "subscribe", "args": [{"channel": "liquidation-orders", "instType": "SWAP"}]})]


def _okx_answer(message: Any) -> Answer | None:
    known: dict[Any, Answer] = {
        "subscribe": "accepted",
        "error": "refused",
        "notice": "other",
        "channel-conn-count": "other",
    }
    event = of(message, "event")
    return known.get(event) if isinstance(event, str) else None


def answer_of(feed: Feed, text: str) -> Answer | None:
    """Return what a message says about a request, None where it says nothing of the kind. Never raises."""
    if text == "pong":
        return "other"
    try:
        return feed.answer_of(json.loads(text))
    except (ValueError, RecursionError):
        return None


_BYBIT_PING = _text({"op": "ping"})

FEEDS: dict[str, Feed] = {
    feed.stream: feed
    for feed in (
        Feed("binance_usdm", "wss://fstream.binance.com/market/ws", "linear", _binance_requests, _binance_answer),
        Feed("binance_coinm", "wss://dstream.binance.com/ws", "inverse", _binance_requests, _binance_answer),
        Feed(
            "bybit_linear",
            "wss://stream.bybit.com/v5/public/linear",
            "linear",
            _bybit_requests,
            _bybit_answer,
            needs_symbols=True,
            ping=_BYBIT_PING,
        ),
        Feed(
            "bybit_inverse",
            "wss://stream.bybit.com/v5/public/inverse",
            "inverse",
            _bybit_requests,
            _bybit_answer,
            needs_symbols=True,
            ping=_BYBIT_PING,
        ),
        Feed("okx", "wss://ws.okx.com:8443/ws/v5/public", None, _okx_requests, _okx_answer, ping="ping"),
    )
}

COLLECTED_VENUES: tuple[str, ...] = tuple(dict.fromkeys(feed.venue for feed in FEEDS.values()))
