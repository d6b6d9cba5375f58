"""Liquidation messages of every stream: golden payloads, laws of units and sides, and what a broken record becomes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipelines.sources.exchanges.liquidations import STREAMS, ContractTerms, Liquidation, Refused, parse

TERMS = {
    "BTCUSDT": ContractTerms("BTC", "linear", 1.0),
    "BTCUSD_200925": ContractTerms("BTC", "inverse", 100.0),
    "ROSEUSDT": ContractTerms("ROSE", "linear", 1.0),
    "BTCUSD": ContractTerms("BTC", "inverse", 1.0),
    "IOST-USDT-SWAP": ContractTerms("IOST", "linear", 1_000.0),
    "BTC-USD-SWAP": ContractTerms("BTC", "inverse", 100.0),
    "BTC-USDT": ContractTerms("BTC", "linear", 0.001),
    "AVAX": ContractTerms("AVAX", "linear", 1.0),
    "BTC_USDT": ContractTerms("BTC", "linear", 0.0001),
    "币安人生/USDT:USDT": ContractTerms("币安人生", "linear", 1.0),
    "BTC-USD": ContractTerms("BTC", "linear", 1.0),
    "BTC-PERPETUAL": ContractTerms("BTC", "inverse", 10.0),
    "SOL_USDC-PERPETUAL": ContractTerms("SOL", "linear", 1.0),
}


VAULT, TRADER = "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14", "0x035605fc2f24d65300227189025e90a0d947f16c"


def fills(user: str, **fill: Any) -> dict:
    """Return a message of Hyperliquid with one fill of an account."""
    rest = {"startPosition": "0.0", "dir": "Open Long", "closedPnl": "0.0", "hash": "0xa1", "oid": 1, "crossed": True}
    told = {**rest, "fee": "0.0", "tid": 118906512037719, "feeToken": "USDC", **fill}
    return {"channel": "userFills", "data": {"isSnapshot": False, "user": user, "fills": [told]}}


def okx(symbol: str, **record: Any) -> dict:
    """Return an OKX message with one record."""
    return {
        "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
        "data": [{"details": [record], "instId": symbol, "instType": "SWAP"}],
    }


# The venues' own examples of their messages, with what a person reads in them.
GOLDEN = [
    # Binance USD-M: a sell closes a long; 0.014 BTC at 9,910.
    (
        "binance_usdm",
        {
            "e": "forceOrder",
            "E": 1568014460893,
            "o": {
                "s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.014", "p": "9910", "ap": "9910",
                "X": "FILLED", "l": "0.014", "z": "0.014", "T": 1568014460893,
            },
        },
        ("binance", "long", "sell", None, 0.014, 0.014 * 9910, 9910.0, "average_fill", 1568014460893),
    ),
    # Binance COIN-M: one contract of BTC is 100 USD, whatever the price.
    (
        "binance_coinm",
        {
            "e": "forceOrder",
            "E": 1591154240950,
            "o": {
                "s": "BTCUSD_200925", "ps": "BTCUSD", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "1", "p": "9425.5",
                "ap": "9496.5", "X": "FILLED", "l": "1", "z": "1", "T": 1591154240949,
            },
        },
        ("binance_coinm", "long", "sell", 1.0, 100 / 9496.5, 100.0, 9496.5, "average_fill", 1591154240949),
    ),
    # Bybit prints the position: `Sell` is a short that was liquidated, closed by a buy.
    (
        "bybit_linear",
        {
            "topic": "allLiquidation.ROSEUSDT",
            "type": "snapshot",
            "ts": 1739502303204,
            "data": [{"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}],
        },
        ("bybit", "short", "buy", None, 20000.0, 20000 * 0.04499, 0.04499, "bankruptcy", 1739502302929),
    ),
    # Bybit inverse: a contract is 1 USD.
    (
        "bybit_inverse",
        {
            "topic": "allLiquidation.BTCUSD",
            "type": "snapshot",
            "ts": 1739502303204,
            "data": [{"T": 1739502302929, "s": "BTCUSD", "S": "Buy", "v": "5000", "p": "50000"}],
        },
        ("bybit", "long", "sell", 5000.0, 0.1, 5000.0, 50000.0, "bankruptcy", 1739502302929),
    ),
    # OKX: sizes are contracts; a contract of IOST is 1,000 IOST.
    (
        "okx",
        okx(
            "IOST-USDT-SWAP",
            bkLoss="0", bkPx="0.007831", ccy="", posSide="short", side="buy", sz="13", ts="1692266434010",
        ),
        ("okx", "short", "buy", 13.0, 13_000.0, 13_000 * 0.007831, 0.007831, "bankruptcy", 1692266434010),
    ),
    # Gate: the order's size is contracts and signed, below 0 it sells a long; the price is that of the fills.
    (
        "gate",
        [
            {
                "time": 1548654951, "contract": "BTC_USDT", "size": 600, "order_size": -600, "order_price": "3405",
                "fill_price": "3424", "left": 0,
            }
        ],
        ("gate", "long", "sell", 600.0, 0.06, 0.06 * 3424, 3424.0, "average_fill", 1548654951000),
    ),
    # HTX: `amount` is coin.
    (
        "htx",
        {
            "op": "notify",
            "topic": "public.BTC-USDT.liquidation_orders",
            "ts": 1639122193214,
            "data": [
                {
                    "contract_code": "BTC-USDT", "symbol": "BTC", "direction": "sell", "offset": "close", "volume": 479,
                    "price": 51441.7, "created_at": 1638593647864, "amount": 0.479, "trade_turnover": 24640.5743,
                }
            ],
        },
        ("htx", "long", "sell", None, 0.479, 24640.5743, 51441.7, "bankruptcy", 1638593647864),
    ),
    # Hyperliquid (types `WsFill` and `FillLiquidation`, figures of the documentation's fill): the vault bought, so a long was
    # closed.
    (
        "hyperliquid",
        fills(
            VAULT,
            coin="AVAX", px="18.435", sz="93.53", side="B", time=1681222254710,
            liquidation={"liquidatedUser": TRADER, "markPx": "18.44", "method": "backstop"},
        ),
        ("hyperliquid", "long", "sell", None, 93.53, 93.53 * 18.435, 18.435, "average_fill", 1681222254710),
    ),
    # dYdX: the taker of a liquidation's trade is the position that is closed.
    (
        "dydx",
        {
            "type": "channel_data", "connection_id": "9f8b1a3e", "message_id": 4, "id": "BTC-USD", "channel": "v4_trades",
            "version": "2.1.0",
            "contents": {
                "trades": [
                    {
                        "id": "02ac5b1f0000000200000002", "side": "BUY", "size": "0.0501", "price": "115732",
                        "type": "LIQUIDATED", "createdAt": "2025-07-25T05:11:09.800Z", "createdAtHeight": "44849951",
                    }
                ]
            },
        },
        ("dydx", "short", "buy", None, 0.0501, 0.0501 * 115732, 115732.0, "average_fill", 1753420269800),
    ),
    # Deribit: the maker of a taker's buy sold, so a long was liquidated; the amount of an inverse contract is dollars.
    (
        "deribit",
        {
            "jsonrpc": "2.0",
            "method": "subscription",
            "params": {
                "channel": "trades.BTC-PERPETUAL.raw",
                "data": [
                    {
                        "trade_seq": 30289442, "trade_id": "48079269", "timestamp": 1590484512188, "tick_direction": 2,
                        "price": 8950.0, "mark_price": 8948.9, "instrument_name": "BTC-PERPETUAL", "index_price": 8955.88,
                        "direction": "buy", "amount": 100.0, "contracts": 10.0, "liquidation": "M",
                    },
                    {
                        "trade_seq": 30289443, "trade_id": "48079270", "timestamp": 1590484512522, "tick_direction": 3,
                        "price": 8950.0, "mark_price": 8948.9, "instrument_name": "BTC-PERPETUAL", "index_price": 8955.88,
                        "direction": "sell", "amount": 10.0, "contracts": 1.0,
                    },
                ],
            },
        },
        ("deribit", "long", "sell", None, 100 / 8950, 100.0, 8950.0, "average_fill", 1590484512188),
    ),
    # HTX's REST list, as ccxt has recorded it: `amount` is contracts here, and the turnover is that of 0.002 coin.
    (
        "htx_list",
        {
            "code": 200,
            "message": "Success",
            "data": [
                {
                    "id": "150153038758", "contract_code": "BTC-USDT", "liquidation_time": "1781849094165", "side": "buy",
                    "position_side": "short", "volume": "2", "amount": "2", "bankrupt_price": "62978.5",
                    "trade_turnover": "125.957",
                }
            ],
            "ts": 1781854869221,
        },
        ("htx", "short", "buy", 2.0, 0.002, 125.957, 62978.5, "bankruptcy", 1781849094165),
    ),
]  # fmt: skip


@pytest.mark.fast
@pytest.mark.parametrize(("stream", "message", "told"), GOLDEN, ids=[g[0] for g in GOLDEN])
def test_a_venues_own_example_is_read_as_a_person_reads_it(stream: str, message: Any, told: tuple) -> None:
    venue, position, order, contracts, base, notional, price, order_price_kind, ms = told
    (row,) = parse(stream, message, TERMS)
    assert isinstance(row, Liquidation)
    assert (row.venue, row.position_side, row.order_side, row.order_price_kind) == (
        venue,
        position,
        order,
        order_price_kind,
    )
    assert row.quantity_contracts == contracts
    assert row.quantity_base == pytest.approx(base, rel=1e-12)
    assert row.notional_usd == pytest.approx(notional, rel=1e-9)
    assert row.order_price_quote == price
    assert row.occurred_at_utc == datetime(1970, 1, 1) + timedelta(milliseconds=ms)


@pytest.mark.fast
def test_every_stream_has_a_golden_message() -> None:
    assert {stream for stream, *_ in GOLDEN} == STREAMS.keys()


def _message(stream: str, symbol: str, position: str, ms: int, quantity: str, price: str) -> Any:
    """Write one liquidation as the stream does, from the venue's documentation and not from the parser."""
    order = {"long": "sell", "short": "buy"}[position]
    if stream.startswith("binance"):
        figures = {"q": str(2 * float(quantity)), "z": quantity, "p": str(float(price) * 1.01), "ap": price}
        event = {"e": "forceOrder", "E": ms + 1, "o": {"s": symbol, "S": order.upper(), "T": ms, **figures}}
        return event if ms % 2 else {"stream": "!forceOrder@arr", "data": event}
    if stream.startswith("bybit"):
        side = {"long": "Buy", "short": "Sell"}[position]
        record = {"T": ms, "s": symbol, "S": side, "v": quantity, "p": price}
        return {"topic": f"allLiquidation.{symbol}", "type": "snapshot", "ts": ms + 300, "data": [record]}
    if stream == "okx":
        side = position if ms % 2 else "net"
        return okx(symbol, bkLoss="0", bkPx=price, ccy="", posSide=side, side=order, sz=quantity, ts=str(ms))
    if stream == "hyperliquid":
        # The account that is asked about is the liquidated one, or the one on the other side.
        is_own = bool(ms % 2)
        side = {"sell": "A", "buy": "B"}[order] if is_own else {"sell": "B", "buy": "A"}[order]
        whose = {"liquidatedUser": TRADER, "markPx": price, "method": "market"}
        user = TRADER.upper().replace("X", "x") if is_own else VAULT
        return fills(user, coin=symbol, px=price, sz=quantity, side=side, time=ms, liquidation=whose)
    if stream == "dydx":
        at = (datetime(1970, 1, 1) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"
        record = {"id": "1", "side": order.upper(), "size": quantity, "price": price, "createdAt": at}
        record |= {"type": "LIQUIDATED" if ms % 2 else "DELEVERAGED", "createdAtHeight": "7"}
        others = [{**record, "type": "LIMIT"}, {**record, "type": "TWAP_SUBORDER"}]
        return {"channel": "v4_trades", "id": symbol, "contents": {"trades": [others[0], record, others[1]]}}
    if stream == "deribit":
        who = "M" if ms % 2 else "T"
        direction = order if who == "T" else {"buy": "sell", "sell": "buy"}[order]
        trade = {"instrument_name": symbol, "timestamp": ms, "direction": direction, "contracts": 7, "liquidation": who}
        trade |= {"amount": float(quantity), "price": float(price)}
        ordinary = {k: v for k, v in trade.items() if k != "liquidation"}
        return {"params": {"channel": f"trades.{symbol}.100ms", "data": [ordinary, trade]}}
    if stream == "gate":
        signed = float(quantity) * (-1 if position == "long" else 1)
        # The position may have been larger than what was closed; the clock is in seconds.
        told = {"size": -2 * signed, "order_size": signed, "order_price": str(float(price) * 0.99), "fill_price": price}
        return [{"time": ms / 1000, "contract": symbol, "left": 0, **told}]
    if stream == "htx_list":
        told = {"side": order, "position_side": position if ms % 2 else "both", "liquidation_time": str(ms)}
        told |= {"contract_code": symbol, "volume": quantity, "amount": "7", "bankrupt_price": price}
        return {"code": 200, "message": "Success", "data": [told], "ts": ms}
    assert stream == "htx"
    offset = "close" if ms % 2 else "both"
    record = {"contract_code": symbol, "direction": order, "offset": offset, "amount": float(quantity)}
    record |= {"volume": 7, "price": float(price), "created_at": ms}
    return {"op": "notify", "topic": f"public.{symbol}.liquidation_orders", "ts": ms, "data": [record]}


# The symbols that a stream can carry, and what a quantity of 1 on its wire is: so much base, or so much quote.
ONE_IS = {
    ("binance_usdm", "BTCUSDT"): ("base", 1.0),
    ("binance_usdm", "币安人生/USDT:USDT"): ("base", 1.0),
    ("binance_coinm", "BTCUSD_200925"): ("quote", 100.0),
    ("bybit_linear", "ROSEUSDT"): ("base", 1.0),
    ("bybit_inverse", "BTCUSD"): ("quote", 1.0),
    ("okx", "IOST-USDT-SWAP"): ("base", 1_000.0),
    ("okx", "BTC-USD-SWAP"): ("quote", 100.0),
    ("gate", "BTC_USDT"): ("base", 0.0001),
    ("htx", "BTC-USDT"): ("base", 1.0),
    ("hyperliquid", "AVAX"): ("base", 1.0),
    ("dydx", "BTC-USD"): ("base", 1.0),
    ("deribit", "BTC-PERPETUAL"): ("quote", 1.0),
    ("deribit", "SOL_USDC-PERPETUAL"): ("base", 1.0),
    ("htx_list", "BTC-USDT"): ("base", 0.001),
}


@pytest.mark.trial("liquidation_units_obey_their_laws")
def test_units_and_sides_obey_their_laws(trial_count: Callable[..., int]) -> None:
    chance = random.Random(20250206)
    trials = trial_count(10_000, sample=1_000)
    for _ in range(trials):
        (stream, symbol), (unit, size) = chance.choice(list(ONE_IS.items()))
        position = chance.choice(["long", "short"])
        quantity, price = f"{10 ** chance.uniform(-3, 6):.6g}", f"{10 ** chance.uniform(-4, 5):.8g}"
        ms = chance.randrange(1_500_000_000_000, 1_800_000_000_000)
        (row,) = parse(stream, _message(stream, symbol, position, ms, quantity, price), TERMS)
        assert isinstance(row, Liquidation), row
        assert (row.position_side, row.order_side) in (("long", "sell"), ("short", "buy"))
        assert row.position_side == position
        assert row.notional_usd == pytest.approx(row.quantity_base * row.order_price_quote, rel=1e-12)
        told = row.quantity_base if unit == "base" else row.notional_usd
        assert told == pytest.approx(float(quantity) * size, rel=1e-9)
        assert row.order_price_quote == float(price)
        assert row.occurred_at_utc == datetime(1970, 1, 1) + timedelta(milliseconds=ms)
        assert row.asset == TERMS[symbol].asset


BROKEN: list[tuple[str, dict, Refused]] = [
    ("of a contract that nobody listed", {"s": "../../x"}, Refused("unknown_contract", "symbol")),
    ("without a symbol", {"s": None}, Refused("missing", "symbol")),
    ("of a symbol that is no text", {"s": ["BTCUSDT"]}, Refused("missing", "symbol")),
    ("with a side that is none", {"S": "HOLD"}, Refused("unknown_side", "S")),
    ("with a list for a side", {"S": []}, Refused("unknown_side", "S")),
    ("in seconds", {"T": 1568014460}, Refused("bad_time", "T")),
    ("in microseconds", {"T": 1568014460893000}, Refused("bad_time", "T")),
    ("without a quantity", {"z": None}, Refused("missing", "z")),
    ("with words for a quantity", {"z": "a lot"}, Refused("bad_number", "z")),
    ("with a quantity of zero", {"z": "0"}, Refused("not_positive", "z")),
    ("with a negative quantity", {"z": "-1"}, Refused("not_positive", "z")),
    ("without an end", {"z": "Infinity"}, Refused("not_finite", "z")),
    ("at no number", {"ap": "NaN"}, Refused("not_finite", "ap")),
    ("at a price of zero", {"ap": "0"}, Refused("not_positive", "ap")),
    ("whose amount overflows", {"z": "1e300", "ap": "1e300"}, Refused("not_finite", "z")),
]


@pytest.mark.fast
@pytest.mark.parametrize(("change", "refused"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_record_is_refused_with_its_field(change: dict, refused: Refused) -> None:
    message = json.loads(json.dumps(GOLDEN[0][1]))
    message["o"] |= change
    assert parse("binance_usdm", message, TERMS) == [refused]


@pytest.mark.fast
def test_sides_that_contradict_each_other_are_refused() -> None:
    record = {"bkPx": "1", "posSide": "long", "side": "buy", "sz": "13", "ts": "1692266434010"}
    assert parse("okx", okx("IOST-USDT-SWAP", **record), TERMS) == [Refused("unknown_side", "posSide")]


@pytest.mark.fast
@pytest.mark.parametrize(
    "change",
    [
        {"liquidation": {"markPx": "1", "method": "market"}},
        {"liquidation": {"liquidatedUser": None}},
        {"liquidation": "yes"},
        {"side": "C"},
        {"side": None},
    ],
)
def test_a_fill_that_hides_whose_position_was_closed_is_refused(change: dict) -> None:
    whose = {"liquidatedUser": TRADER, "markPx": "1", "method": "market"}
    fill = {"coin": "AVAX", "px": "1", "sz": "1", "side": "B", "time": 1681222254710, "liquidation": whose, **change}
    assert parse("hyperliquid", fills(VAULT, **fill), TERMS) == [Refused("unknown_side", "side")]


@pytest.mark.fast
def test_neither_a_usual_fill_nor_a_deleveraged_winner_is_a_liquidation() -> None:
    fill = {"coin": "AVAX", "px": "1", "sz": "1", "side": "B", "time": 1681222254710}
    whose = {"liquidatedUser": VAULT, "markPx": "1", "method": "backstop"}
    assert parse("hyperliquid", fills(TRADER, **fill), TERMS) == []
    assert parse("hyperliquid", fills(TRADER, **fill, dir="Auto-Deleveraging", liquidation=whose), TERMS) == []
    # Not to be told from a deleveraging, which is none of its own.
    for direction in (None, 7, "1,000.5", "Settlement"):
        message = fills(TRADER, **{**fill, "dir": direction, "liquidation": whose})
        assert parse("hyperliquid", message, TERMS) == [Refused("unknown_side", "side")]


@pytest.mark.fast
def test_a_trade_of_two_liquidated_sides_is_a_long_and_a_short() -> None:
    message = _message("deribit", "SOL_USDC-PERPETUAL", "long", 1_753_420_269_800, "2", "150")
    message["params"]["data"][1]["liquidation"] = "MT"
    rows = parse("deribit", message, TERMS)
    assert [row.position_side for row in rows if isinstance(row, Liquidation)] == ["long", "short"]
    assert [row.notional_usd for row in rows if isinstance(row, Liquidation)] == [300.0, 300.0]


@pytest.mark.fast
def test_a_deleveraging_closes_at_the_price_of_bankruptcy() -> None:
    message = _message("dydx", "BTC-USD", "long", 1_753_420_269_800, "2", "100000")
    (row,) = parse("dydx", message, TERMS)
    assert isinstance(row, Liquidation)
    assert (row.position_side, row.order_price_kind) == ("long", "bankruptcy")


@pytest.mark.fast
@pytest.mark.parametrize("stream", sorted(STREAMS))
@pytest.mark.parametrize(
    "message",
    [None, [], {}, 7, "pong", {"op": "subscribe"}, {"event": "subscribe", "arg": {"channel": "liquidation-orders"}},
     {"topic": "tickers.BTCUSDT", "data": [{"S": "Buy"}]}, {"e": "aggTrade", "o": {}}, {"data": "later"}],
    ids=repr,
)  # fmt: skip
def test_a_message_of_another_kind_tells_nothing(stream: str, message: Any) -> None:
    assert parse(stream, message, TERMS) == []


def _mutated(value: Any, chance: random.Random) -> Any:
    """Return a copy of a JSON value with one place of it changed."""
    strange = [None, True, [], {}, "", "NaN", "1_000", -1, 0, 1e400, "\x00", "9" * 30, 2**70, [1], {"o": 1}]
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _mutated(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        i = chance.randrange(len(value))
        return [*value[:i], _mutated(value[i], chance), *value[i + 1 :]]
    return chance.choice(strange)


@pytest.mark.trial("mutated_liquidation_messages")
def test_a_mutated_message_is_read_as_it_was_or_refused_with_a_code(trial_count: Callable[..., int]) -> None:
    chance = random.Random(20251010)
    refused = 0
    for _ in range(trial_count(50_000, sample=2_000)):
        stream, message, _ = chance.choice(GOLDEN)
        for row in parse(stream, _mutated(message, chance), TERMS):
            if isinstance(row, Refused):
                refused += 1
                assert row.reason
                assert row.field
                continue
            assert row.venue_symbol in TERMS
            assert 0 < row.quantity_base < float("inf")
            assert 0 < row.notional_usd < float("inf")
            assert {row.position_side: row.order_side}.items() <= {"long": "sell", "short": "buy"}.items()
    assert refused > 0, "no mutation hit a record: this trial proves nothing"
