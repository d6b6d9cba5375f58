"""Liquidations from the raw messages of venues: who was liquidated, how much in base and in quote, at which kind of price.

Belongs here: the wire shape of each venue's liquidation stream or list, the meaning of its side and of its quantity. Does
not: connections and segments, the completeness of a venue, validation of whole tables (``quality``). Nothing here is read
from ccxt's parsed values: it gives Bybit's side as the order's, inverse contracts 100,000 times off, and BitMEX without size
and time.

A side on the wire means one of two things. Most venues print the closing *order* (a sell closes a long); Bybit prints the
*position* (``Buy``: a long was liquidated). A quantity is base units or contracts, and a contract is so much base (linear) or so much quote (inverse). A row carries both sides and both amounts.

References
----------
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Liquidation-Order-Streams
https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams/Liquidation-Order-Streams
https://bybit-exchange.github.io/docs/v5/websocket/public/all-liquidation
https://www.okx.com/docs-v5/en/#public-data-websocket-liquidation-orders-channel
https://www.gate.com/docs/developers/apiv4/en/#query-liquidation-order-history
https://www.htx.com/en-us/opend/newApiPages (USDT-margined contracts, liquidation orders)
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions (WsUserFills, FillLiquidation)
https://docs.dydx.xyz/indexer-client/websockets#trades
https://docs.deribit.com/subscriptions/market-data/tradesinstrument_nameinterval
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pipelines.sources.wire_values import figure, instant, iso_ms_of, ms_of, ms_of_seconds, of

PositionSide = Literal["long", "short"]

_ORDER_SIDE: dict[str, str] = {"long": "sell", "short": "buy"}


@dataclass(frozen=True)
class ContractTerms:
    """What one contract is worth: `contract_size` in base units (``linear``) or in quote units (``inverse``)."""

    asset: str
    contract_kind: str
    contract_size: float


@dataclass(frozen=True)
class Liquidation:
    """One liquidation order as a venue tells of it.

    `quantity_contracts` is None where the venue counts in base units. `order_price_kind` is ``average_fill``, ``bankruptcy`` (the
    price at which the position is worth nothing, and not what the market paid) or ``limit``.
    """

    venue: str
    venue_symbol: str
    asset: str
    occurred_at_utc: datetime
    position_side: PositionSide
    order_side: str
    quantity_contracts: float | None
    quantity_base: float
    notional_usd: float
    order_price_quote: float
    order_price_kind: str


@dataclass(frozen=True)
class Refused:
    """A record that is no liquidation, or tells too little of one: a reason code and the field at fault."""

    reason: str
    field: str


@dataclass(frozen=True)
class FieldNames:
    """The venue's names of the fields of a record."""

    side: str
    quantity: str
    price: str
    time: str


@dataclass(frozen=True)
class WireLiquidation:
    """A record of a message: the venue's words undone, its figures as they came. `names` are its fields, for a refusal.

    `order_price_kind` is None where it is the stream's.
    """

    symbol: Any
    ms: Any
    position_side: PositionSide | None
    quantity: Any
    price: Any
    names: FieldNames
    order_price_kind: str | None = None


@dataclass(frozen=True)
class Stream:
    """One stream of a venue and product: how its records are found in a message and what their figures mean."""

    venue: str
    # An amount is base units of a linear contract and dollars of an inverse one.
    quantity_unit: Literal["base", "contracts", "amount"]
    order_price_kind: str
    records: Callable[[Any], Iterator[WireLiquidation]]


def parse(stream: str, message: Any, terms: Mapping[str, ContractTerms]) -> list[Liquidation | Refused]:
    """Return what a message tells, an entry per record in its order; a message of another kind tells nothing.

    Parameters
    ----------
    stream : str
        A key of `STREAMS`.
    message : object
        Decoded JSON with its envelope, as received.
    terms : mapping of str to ContractTerms
        By the venue's symbol.
    """
    found = STREAMS[stream]
    return [read(found, wire, terms) for wire in found.records(message)]


def row_of(entry: Liquidation | Refused) -> dict[str, Any]:
    """Return an entry as columns of the raw table, beside its identity; of a refused one all are missing, which is refused."""
    if isinstance(entry, Refused):
        return {}
    return {
        "occurred_at_utc": entry.occurred_at_utc,
        "position_side": entry.position_side,
        "order_price_quote": entry.order_price_quote,
        "order_price_kind": entry.order_price_kind,
        "quantity_contracts": entry.quantity_contracts,
        "quantity_base": entry.quantity_base,
        "notional_usd": entry.notional_usd,
    }


def read(stream: Stream, wire: WireLiquidation, terms: Mapping[str, ContractTerms]) -> Liquidation | Refused:
    """Return what one record tells, in base and in quote, or why it is no liquidation (parameters of `parse`)."""
    symbol, side = wire.symbol, wire.position_side
    if not isinstance(symbol, str) or not symbol:
        return Refused("missing", "symbol")
    if symbol not in terms:
        return Refused("unknown_contract", "symbol")
    if side is None:
        return Refused("unknown_side", wire.names.side)
    at = instant(ms_of(wire.ms))
    if at is None:
        return Refused("bad_time", wire.names.time)
    quantity = _positive(wire.quantity, wire.names.quantity)
    if isinstance(quantity, Refused):
        return quantity
    price = _positive(wire.price, wire.names.price)
    if isinstance(price, Refused):
        return price
    contract = terms[symbol]
    amount = quantity * contract.contract_size if stream.quantity_unit == "contracts" else quantity
    if contract.contract_kind == "inverse" and stream.quantity_unit != "base":
        base, notional = amount / price, amount
    else:
        base, notional = amount, amount * price
    if not (0 < base < math.inf and 0 < notional < math.inf):
        return Refused("not_finite", wire.names.quantity)
    return Liquidation(
        venue=stream.venue,
        venue_symbol=symbol,
        asset=contract.asset,
        occurred_at_utc=at,
        position_side=side,
        order_side=_ORDER_SIDE[side],
        quantity_contracts=quantity if stream.quantity_unit == "contracts" else None,
        quantity_base=base,
        notional_usd=notional,
        order_price_quote=price,
        order_price_kind=wire.order_price_kind or stream.order_price_kind,
    )


def _positive(value: Any, name: str) -> float | Refused:
    read = figure(value)
    if read is None:
        return Refused("missing" if value is None else "bad_number", name)
    if not math.isfinite(read):
        return Refused("not_finite", name)
    return read if read > 0 else Refused("not_positive", name)


# --- the venues' messages ------------------------------------------------------------------------------------------------

_CLOSING_ORDER: dict[str, PositionSide] = {"sell": "long", "buy": "short"}
_BYBIT_POSITION: dict[str, PositionSide] = {"Buy": "long", "Sell": "short"}


def _closed_by(order_side: Any) -> PositionSide | None:
    """Return the position that an order closes."""
    return _CLOSING_ORDER.get(order_side.lower()) if isinstance(order_side, str) else None


def _listed(value: Any) -> Iterator[Any]:
    """Yield the records of a list; a value of another kind has none."""
    yield from value if isinstance(value, list) else ()


_BINANCE = FieldNames("S", "z", "ap", "T")


def _binance(message: Any) -> Iterator[WireLiquidation]:
    # A combined stream wraps the event. `q` and `p` are the order's; what was filled, and at which mean, are `z` and `ap`.
    event = of(message, "data") if of(message, "stream") is not None else message
    if of(event, "e") == "forceOrder":
        order = of(event, "o")
        yield WireLiquidation(
            of(order, "s"), of(order, "T"), _closed_by(of(order, "S")), of(order, "z"), of(order, "ap"), _BINANCE
        )


_BYBIT = FieldNames("S", "v", "p", "T")


def _bybit(message: Any) -> Iterator[WireLiquidation]:
    topic = of(message, "topic")
    if isinstance(topic, str) and topic.startswith("allLiquidation."):
        for record in _listed(of(message, "data")):
            side = of(record, "S")
            position = _BYBIT_POSITION.get(side) if isinstance(side, str) else None
            yield WireLiquidation(of(record, "s"), of(record, "T"), position, of(record, "v"), of(record, "p"), _BYBIT)


_OKX = FieldNames("posSide", "sz", "bkPx", "ts")


def _okx(message: Any) -> Iterator[WireLiquidation]:
    # The channel and the REST list share a shape; the channel alone has an `arg`.
    channel = of(of(message, "arg"), "channel")
    if channel not in (None, "liquidation-orders"):
        return
    for instrument in _listed(of(message, "data")):
        for record in _listed(of(instrument, "details")):
            position = _closed_by(of(record, "side"))
            # In net mode `posSide` says nothing; elsewhere the two must agree.
            if of(record, "posSide") not in ("net", "", position):
                position = None
            yield WireLiquidation(
                of(instrument, "instId"), of(record, "ts"), position, of(record, "sz"), of(record, "bkPx"), _OKX
            )


_GATE = FieldNames("order_size", "order_size", "fill_price", "time")


def _gate(message: Any) -> Iterator[WireLiquidation]:
    # The closing order is a signed number of contracts: below 0 it sells a long. The position's own size is not what was closed.
    for record in _listed(message):
        size = figure(of(record, "order_size"))
        position = _CLOSING_ORDER["sell" if size < 0 else "buy"] if size else None
        yield WireLiquidation(
            of(record, "contract"),
            ms_of_seconds(of(record, "time")),
            position,
            None if size is None else abs(size),
            of(record, "fill_price"),
            _GATE,
        )


_HTX = FieldNames("direction", "amount", "price", "created_at")


def _htx(message: Any) -> Iterator[WireLiquidation]:
    # `amount` is in coin and `volume` in contracts; the price is that of bankruptcy.
    topic = of(message, "topic")
    if isinstance(topic, str) and topic.endswith(".liquidation_orders"):
        for record in _listed(of(message, "data")):
            # One-way mode knows no opening and closing: its offset is `both`.
            position = _closed_by(of(record, "direction")) if of(record, "offset") in ("close", "both") else None
            yield WireLiquidation(
                of(record, "contract_code"),
                of(record, "created_at"),
                position,
                of(record, "amount"),
                of(record, "price"),
                _HTX,
            )


_HYPERLIQUID = FieldNames("side", "sz", "px", "time")
# What a fill says of an account whose profit paid for somebody's loss: not a liquidation of its own.
_DELEVERAGED = "Auto-Deleveraging"
_HYPERLIQUID_ORDER: dict[str, str] = {"A": "sell", "B": "buy"}


def _hyperliquid(message: Any) -> Iterator[WireLiquidation]:
    # Fills of one account. Of its own liquidation its side is that of the closing order; of another's, whose counterparty it
    # was, the closing order's is the opposite one.
    if of(message, "channel") != "userFills":
        return
    user = of(of(message, "data"), "user")
    for fill in _listed(of(of(message, "data"), "fills")):
        liquidation, direction = of(fill, "liquidation"), of(fill, "dir")
        if isinstance(fill, dict) and (liquidation is None or direction == _DELEVERAGED):
            continue
        whose, side = of(liquidation, "liquidatedUser"), of(fill, "side")
        position = _closed_by(_HYPERLIQUID_ORDER.get(side)) if isinstance(side, str) else None
        # Every other direction of a perpetual names a side. One that does not cannot be read, and the fill may be of a deleveraging.
        is_read = isinstance(direction, str) and ("Long" in direction or "Short" in direction)
        if not (is_read and isinstance(whose, str) and isinstance(user, str)):
            position = None
        elif position is not None and whose.lower() != user.lower():
            position = "short" if position == "long" else "long"
        yield WireLiquidation(
            of(fill, "coin"), of(fill, "time"), position, of(fill, "sz"), of(fill, "px"), _HYPERLIQUID
        )


_DYDX = FieldNames("side", "size", "price", "createdAt")
# A deleveraged position is closed at the price where it is worth nothing, against one of the other side, off the book.
_DYDX_PRICE_KINDS = {"LIQUIDATED": "average_fill", "DELEVERAGED": "bankruptcy"}


def _dydx(message: Any) -> Iterator[WireLiquidation]:
    # Of a trade the taker's side is told; the taker is the position that is closed.
    if of(message, "channel") == "v4_trades":
        for record in _listed(of(of(message, "contents"), "trades")):
            kind = of(record, "type")
            # A trade whose kind cannot be read may be a liquidation: it is refused and not passed over.
            if not isinstance(kind, str) or kind in _DYDX_PRICE_KINDS:
                yield WireLiquidation(
                    of(message, "id"),
                    iso_ms_of(of(record, "createdAt")),
                    _closed_by(of(record, "side")) if isinstance(kind, str) else None,
                    of(record, "size"),
                    of(record, "price"),
                    _DYDX,
                    _DYDX_PRICE_KINDS.get(kind) if isinstance(kind, str) else None,
                )


_DERIBIT = FieldNames("liquidation", "amount", "price", "timestamp")
_DERIBIT_SIDES = {"T": ("taker",), "M": ("maker",), "MT": ("taker", "maker")}
_OTHER_SIDE: dict[str, str] = {"buy": "sell", "sell": "buy"}


def _deribit(message: Any) -> Iterator[WireLiquidation]:
    # `direction` is the taker's; who was liquidated, taker, maker or both, stands in `liquidation`, and in no other trade.
    channel = of(of(message, "params"), "channel")
    if isinstance(channel, str) and channel.startswith("trades."):
        for record in _listed(of(of(message, "params"), "data")):
            mark = of(record, "liquidation")
            if mark is None and isinstance(record, dict):
                continue
            direction = of(record, "direction")
            taker = direction if isinstance(direction, str) else ""
            orders = {"taker": taker, "maker": _OTHER_SIDE.get(taker)}
            # A mark that cannot be read tells of one liquidation without a side, which is refused.
            for who in _DERIBIT_SIDES.get(mark, ("unknown",)) if isinstance(mark, str) else ("unknown",):
                yield WireLiquidation(
                    of(record, "instrument_name"),
                    of(record, "timestamp"),
                    _closed_by(orders.get(who)),
                    of(record, "amount"),
                    of(record, "price"),
                    _DERIBIT,
                )


_HTX_LIST = FieldNames("side", "volume", "bankrupt_price", "liquidation_time")


def _htx_list(message: Any) -> Iterator[WireLiquidation]:
    # The REST list has other names than the channel, and its `amount` was seen equal to `volume`: contracts are what counts.
    if of(message, "code") in (200, "200"):
        for record in _listed(of(message, "data")):
            position = _closed_by(of(record, "side"))
            if of(record, "position_side") not in ("both", None, position):
                position = None
            yield WireLiquidation(
                of(record, "contract_code"),
                ms_of(of(record, "liquidation_time")),
                position,
                of(record, "volume"),
                of(record, "bankrupt_price"),
                _HTX_LIST,
            )


STREAMS: dict[str, Stream] = {
    "binance_usdm": Stream("binance", "base", "average_fill", _binance),
    "binance_coinm": Stream("binance_coinm", "contracts", "average_fill", _binance),
    "bybit_linear": Stream("bybit", "base", "bankruptcy", _bybit),
    "bybit_inverse": Stream("bybit", "contracts", "bankruptcy", _bybit),
    "okx": Stream("okx", "contracts", "bankruptcy", _okx),
    "gate": Stream("gate", "contracts", "average_fill", _gate),
    "htx": Stream("htx", "base", "bankruptcy", _htx),
    "hyperliquid": Stream("hyperliquid", "base", "average_fill", _hyperliquid),
    "dydx": Stream("dydx", "base", "average_fill", _dydx),
    "deribit": Stream("deribit", "amount", "average_fill", _deribit),
    "htx_list": Stream("htx", "contracts", "bankruptcy", _htx_list),
}
