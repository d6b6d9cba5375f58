"""The venues' websocket streams of liquidations: forced orders in each venue's own words, played as they happen.

Belongs here: connections, subscriptions, pace, and misbehaviour of streams. Does not: which orders there are (``venue_market.py``,
or `burst`), HTTP (``server.py``). Written apart from the collector that listens to it.

Every venue lives below its own host's name: ``/fstream.binance.com/market/ws``.

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/All-Market-Liquidation-Order-Streams
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Live-Subscribing-Unsubscribing-to-streams
https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams/All-Market-Liquidation-Order-Streams
https://bybit-exchange.github.io/docs/v5/websocket/public/all-liquidation and .../docs/v5/ws/connect
https://www.okx.com/docs-v5/en/#public-data-websocket-liquidation-orders-channel and .../docs-v5/en/#overview-websocket-subscribe
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipelines.sandbox.profiles import PROFILES, stream
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.wire import to_ms
from pipelines.sandbox.wire_okx_contracts import CONTRACT_SIZES
from pipelines.sandbox.world import World

# Between two looks at which orders are due.
TICK_S = 0.01
# USD of one coin-margined contract: of BTC, of everything else; Bybit's is 1.
COIN_MARGINED_USD = (100, 10)


@dataclass(frozen=True)
class ForcedOrder:
    """One liquidation as a stream tells it: milliseconds, the position that was closed, how much, and at which price."""

    asset: str
    at_ms: int
    position_side: str
    quantity_base: float
    price_quote: float


FaultKind = Literal["silence", "cut", "torn", "refuse"]


@dataclass(frozen=True)
class StreamFault:
    """One misbehaviour of one stream on its connection number `connection` (1 = the first), after `after` orders.

    ``silence``: neither orders nor answers to pings any more; ``cut``: the connection breaks without a word; ``torn``: the next
    message is cut in half; ``refuse``: no subscription is accepted.
    """

    stream: str
    kind: FaultKind
    connection: int = 1
    after: int = 0


@dataclass
class Streams:
    """What the streams play.

    Parameters
    ----------
    orders : mapping of str to sequence of ForcedOrder
        By stream. Without a rate a subscriber gets at once what nobody got yet.
    burst : callable or None
        ``burst(i)``: the i-th order of an endless tape that every stream plays instead.
    rate_hz : float
        Orders per second of the burst; those that fall due while nobody listens are gone.
    sampled : frozenset of str
        Streams that show at most one order per contract and second, the last one.
    replayed_count : int
        A subscriber gets the last so many orders once more: a reconnect repeats.
    faults : sequence of StreamFault
    """

    orders: dict[str, Sequence[ForcedOrder]] = field(default_factory=dict)
    burst: Callable[[int], ForcedOrder] | None = None
    rate_hz: float = 500.0
    sampled: frozenset[str] = frozenset({"binance_usdm", "binance_coinm", "okx"})
    replayed_count: int = 0
    faults: Sequence[StreamFault] = ()
    connections: Counter[str] = field(default_factory=Counter)
    played: Counter[str] = field(default_factory=Counter)
    started_s: float | None = None

    def fault(self, name: str, kind: FaultKind, connection: int, sent: int) -> bool:
        """Return whether a misbehaviour applies now."""
        return StreamFault(name, kind, connection, sent) in self.faults

    def due(self, name: str) -> Iterator[ForcedOrder]:
        """Yield what is to be sent on a stream now; what is yielded counts as played."""
        if self.burst is None:
            shown = self.shown(name)
            while self.played[name] < len(shown):
                self.played[name] += 1
                yield shown[self.played[name] - 1]
            return
        now_s = time.monotonic()
        self.started_s = self.started_s or now_s
        last = int((now_s - self.started_s) * self.rate_hz)
        while self.played[name] < last:
            self.played[name] += 1
            yield self.burst(self.played[name] - 1)

    def skip_to_now(self, name: str) -> None:
        """Drop what fell due while nobody listened."""
        if self.burst is not None:
            for _ in self.due(name):
                pass

    def repeated(self, name: str) -> list[ForcedOrder]:
        """Return the orders that a new subscriber gets once more."""
        last = self.played[name]
        places = range(max(0, last - self.replayed_count), last)
        return [self.burst(i) if self.burst else self.shown(name)[i] for i in places]

    def shown(self, name: str) -> Sequence[ForcedOrder]:
        """Return the orders that a stream shows: all, or of each contract and second the last."""
        orders = self.orders.get(name, ())
        if name not in self.sampled:
            return orders
        last = {(order.asset, order.at_ms // 1000): order for order in orders}
        return sorted(last.values(), key=lambda order: order.at_ms)


def streams_of_world(world: World, until: datetime) -> Streams:
    """Return the world's own liquidations before an instant, on every stream of every venue that trades them."""
    orders: dict[str, Sequence[ForcedOrder]] = {}
    for name, served in SERVED.items():
        market = VenueMarket(world, served.market)
        told = [o for asset in world.assets for o in _orders_of(market, asset, served) if o.at_ms < to_ms(until)]
        orders[name] = sorted(told, key=lambda order: (order.at_ms, order.asset))
    return Streams(orders)


def _orders_of(market: VenueMarket, asset: str, served: Served) -> list[ForcedOrder]:
    """Return a venue's liquidations of an asset, each at the kind of price that its stream tells."""
    forced = market.liquidations(asset)
    prices = forced.fill_quote if served.tells_fills else forced.bankruptcy_quote
    columns = (forced.at_ms, forced.is_long, forced.quantity_base, prices)
    return [
        ForcedOrder(asset, int(at), "long" if is_long else "short", float(base), float(price))
        for at, is_long, base, price in zip(*columns, strict=True)
    ]


def burst_of(seed: int, start_ms: int, rate_hz: float) -> Callable[[int], ForcedOrder]:
    """Return an endless seeded tape: order i of it is always the same, and no two fall on one instant and price.

    Parameters
    ----------
    start_ms : int
        Time of order 0.
    rate_hz : float
        Orders per second of the tape's own time.
    """
    rng = stream(seed, "burst")
    size = 4096
    assets = [list(PROFILES)[k] for k in rng.integers(0, len(PROFILES), size)]
    sizes, sides = rng.lognormal(0.0, 1.0, size), rng.random(size) < 0.5
    moves = rng.uniform(0.95, 1.05, size)

    def order(i: int) -> ForcedOrder:
        k = i % size
        profile = PROFILES[assets[k]]
        return ForcedOrder(
            asset=profile.asset,
            at_ms=start_ms + int(i * 1000 / rate_hz),
            position_side="long" if sides[k] else "short",
            quantity_base=round(10.0 ** (1 - profile.quantity_decimals) + float(sizes[k]), profile.quantity_decimals),
            price_quote=round(profile.level_quote * float(moves[k]), profile.price_decimals),
        )

    return order


# --- the venues' words ---------------------------------------------------------------------------------------------------


def _figure(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"


def _closing(order: ForcedOrder) -> str:
    return "SELL" if order.position_side == "long" else "BUY"


def _binance(order: ForcedOrder, symbol: str, quantity: str, **more: str) -> dict[str, Any]:
    price = _figure(order.price_quote, PROFILES[order.asset].price_decimals)
    return {
        "e": "forceOrder",
        "E": order.at_ms + 3,
        "o": {
            "s": symbol,
            **more,
            "S": _closing(order),
            "o": "LIMIT",
            "f": "IOC",
            "q": quantity,
            "p": price,
            "ap": price,
            "X": "FILLED",
            "l": quantity,
            "z": quantity,
            "T": order.at_ms,
        },
    }


def _binance_usdm(order: ForcedOrder) -> dict[str, Any]:
    return _binance(order, f"{order.asset}USDT", _figure(order.quantity_base, PROFILES[order.asset].quantity_decimals))


def _binance_coinm(order: ForcedOrder) -> dict[str, Any]:
    pair = f"{order.asset}USD"
    return _binance(order, f"{pair}_PERP", str(_usd_contracts(order, COIN_MARGINED_USD[order.asset != "BTC"])), ps=pair)


def _usd_contracts(order: ForcedOrder, size_usd: int) -> int:
    return max(1, round(order.quantity_base * order.price_quote / size_usd))


def _bybit(order: ForcedOrder, symbol: str, quantity: str) -> dict[str, Any]:
    # The venue prints the position: a long that is liquidated is a `Buy`.
    side = "Buy" if order.position_side == "long" else "Sell"
    price = _figure(order.price_quote, PROFILES[order.asset].price_decimals)
    record = {"T": order.at_ms, "s": symbol, "S": side, "v": quantity, "p": price}
    return {"topic": f"allLiquidation.{symbol}", "type": "snapshot", "ts": order.at_ms + 275, "data": [record]}


def _bybit_linear(order: ForcedOrder) -> dict[str, Any]:
    return _bybit(order, f"{order.asset}USDT", _figure(order.quantity_base, PROFILES[order.asset].quantity_decimals))


def _bybit_inverse(order: ForcedOrder) -> dict[str, Any]:
    return _bybit(order, f"{order.asset}USD", str(_usd_contracts(order, 1)))


def _okx(order: ForcedOrder) -> dict[str, Any]:
    symbol = f"{order.asset}-USDT-SWAP"
    detail = {
        "bkLoss": "0",
        "bkPx": _figure(order.price_quote, PROFILES[order.asset].price_decimals),
        "ccy": "",
        "posSide": order.position_side,
        "side": _closing(order).lower(),
        "sz": str(max(1, round(order.quantity_base / float(CONTRACT_SIZES[order.asset])))),
        "ts": str(order.at_ms),
    }
    pair = f"{order.asset}-USDT"
    instrument = {"details": [detail], "instFamily": pair, "instId": symbol, "instType": "SWAP", "uly": pair}
    return {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [instrument]}


def _binance_says(message: Any, is_refused: bool) -> tuple[list[Any], bool]:
    if message.get("method") != "SUBSCRIBE":
        return [{"error": {"code": 2, "msg": "Invalid request: unknown method"}, "id": message.get("id")}], False
    if is_refused or message.get("params") != ["!forceOrder@arr"]:
        return [{"error": {"code": 2, "msg": "Invalid request"}, "id": message.get("id")}], False
    return [{"result": None, "id": message["id"]}], True


def _bybit_says(message: Any, is_refused: bool) -> tuple[list[Any], bool]:
    known = {"conn_id": "1e4ad3cd", "req_id": message.get("req_id", "")}
    if message.get("op") == "ping":
        return [{"success": True, "ret_msg": "pong", **known, "op": "ping"}], False
    topics = message.get("args", [])
    if is_refused or not all(topic.startswith("allLiquidation.") for topic in topics):
        said = f"error:handler not found,topic:{','.join(topics)}"
        return [{"success": False, "ret_msg": said, **known, "op": "subscribe"}], False
    return [{"success": True, "ret_msg": "", **known, "op": "subscribe"}], True


def _okx_says(message: Any, is_refused: bool) -> tuple[list[Any], bool]:
    (argument,) = message["args"]
    if is_refused or argument.get("channel") != "liquidation-orders":
        said = f"Wrong URL or channel:{argument.get('channel')} doesn't exist."
        return [{"event": "error", "code": "60018", "msg": said, "connId": "a4d3ae55"}], False
    return [{"event": "subscribe", "arg": argument, "connId": "a4d3ae55"}], True


@dataclass(frozen=True)
class Served:
    """A stream on the wire: path, whose market it shows, an order in its words, and what it says to a request."""

    path: str
    market: str
    message: Callable[[ForcedOrder], dict[str, Any]]
    says: Callable[[Any, bool], tuple[list[Any], bool]]
    # True where the order's price is what the market paid; elsewhere it is that of bankruptcy.
    tells_fills: bool = False


SERVED: dict[str, Served] = {
    "binance_usdm": Served("/fstream.binance.com/market/ws", "binance", _binance_usdm, _binance_says, tells_fills=True),
    "binance_coinm": Served(
        "/dstream.binance.com/ws", "binance_coinm", _binance_coinm, _binance_says, tells_fills=True
    ),
    "bybit_linear": Served("/stream.bybit.com/v5/public/linear", "bybit", _bybit_linear, _bybit_says),
    "bybit_inverse": Served("/stream.bybit.com/v5/public/inverse", "bybit_inverse", _bybit_inverse, _bybit_says),
    "okx": Served("/ws.okx.com/ws/v5/public", "okx", _okx, _okx_says),
}


# --- connections ---------------------------------------------------------------------------------------------------------


def stream_routes(current: Callable[[], Streams]) -> list[WebSocketRoute]:
    """Return the websocket routes of all venues; `current` is asked at every connection."""

    def endpoint(name: str) -> Callable[[WebSocket], Any]:
        async def handle(socket: WebSocket) -> None:
            await _Connection(name, current(), socket).serve()

        return handle

    return [WebSocketRoute(served.path, endpoint(name)) for name, served in SERVED.items()]


class _Connection:
    """One client on one stream."""

    def __init__(self, name: str, streams: Streams, socket: WebSocket) -> None:
        self.name, self.streams, self.socket = name, streams, socket
        streams.connections[name] += 1
        self.number = streams.connections[name]
        self.sent = 0
        self.topics: set[str] = set()
        self.is_subscribed = asyncio.Event()

    async def serve(self) -> None:
        await self.socket.accept()
        tasks = [asyncio.ensure_future(self._answer()), asyncio.ensure_future(self._play())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError):
                    raise result

    async def _answer(self) -> None:
        is_refused = self.streams.fault(self.name, "refuse", self.number, 0)
        while True:
            text = await self.socket.receive_text()
            if text == "ping":
                await self.socket.send_text("pong")
                continue
            message = json.loads(text)
            answers, is_accepted = SERVED[self.name].says(message, is_refused)
            if is_accepted:
                self.topics.update(topic for topic in message.get("args", []) if isinstance(topic, str))
                self.streams.skip_to_now(self.name)
            for answer in answers:
                await self.socket.send_text(_text(answer))
            if is_accepted:
                self.is_subscribed.set()

    async def _play(self) -> None:
        await self.is_subscribed.wait()
        for order in self.streams.repeated(self.name):
            await self._send(order)
        while True:
            for order in self.streams.due(self.name):
                await self._send(order)
                is_cut = self._misbehave("cut")
                if is_cut or self._misbehave("silence"):
                    # The protocol answers pings by itself; a socket that is not read stays silent.
                    transport = self._transport()
                    transport.pause_reading()
                    if is_cut:
                        _hang_up(transport.get_extra_info("socket"))
                    await asyncio.Event().wait()
            await asyncio.sleep(TICK_S)

    def _misbehave(self, kind: FaultKind) -> bool:
        return self.streams.fault(self.name, kind, self.number, self.sent)

    def _transport(self) -> Any:
        # ASGI hides the transport: its `receive` is a method of the server's protocol, which has it.
        return self.socket._receive.__self__.transport  # type: ignore[attr-defined]

    async def _send(self, order: ForcedOrder) -> None:
        message = SERVED[self.name].message(order)
        if "topic" in message and message["topic"] not in self.topics:
            return
        text = _text(message)
        if self._misbehave("torn"):
            text = text[: len(text) // 2]
        self.sent += 1
        await self.socket.send_text(text)


def _hang_up(line: Any) -> None:
    """End our side without a closing word; what was sent arrives, where an abort would take back what is unread."""
    with socket.fromfd(line.fileno(), line.family, line.type) as same:
        same.shutdown(socket.SHUT_WR)


def _text(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"))
