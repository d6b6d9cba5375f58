"""More than sixty ways in which an answer may be malformed, each a name and what it makes of a sound one.

A kind works on the whole body, on one record of the answer's main list, or on one value of that record. It is *plausible*
where a venue could have meant it (another positive number, a missing level): then the laws are all that a reader can hold it
to. Every other kind must leave no trace in what lands.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from canned_market import Canned

DAY_MS = 86_400_000
# A value that stands for a number no text of JSON would give, written raw into the body afterwards.
RAW = "\x00raw:"


@dataclass(frozen=True)
class Kind:
    """One way to be malformed; `change(value, chance)` works at its level."""

    level: Literal["answer", "body", "rows", "record", "clock", "value"]
    change: Callable[[Any, random.Random], Any]
    is_plausible: bool = False


def _raw(literal: str) -> str:
    """Mark a literal that JSON's writer would not write."""
    return f"{RAW}{literal}{RAW}"


def dumped(body: Any) -> bytes:
    """Return a body as JSON, with raw literals where they are marked."""
    text = json.dumps(body, separators=(",", ":"))
    mark = json.dumps(RAW)[1:-1]
    return text.replace(f'"{mark}', "").replace(f'{mark}"', "").encode()


def _html(_: Canned, __: random.Random) -> Canned:
    return Canned(b"<html><body>maintenance</body></html>", headers={"Content-Type": "text/html"})


def _with(change: Callable[[bytes], bytes]) -> Callable[[Canned, random.Random], Canned]:
    return lambda answer, _: Canned(change(answer.body))


def _encoded(change: Callable[[bytes], bytes]) -> Callable[[Canned, random.Random], Canned]:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return lambda answer, _: Canned(change(answer.body), headers=headers)


def _envelope(value: Any) -> Callable[[Any, random.Random], Any]:
    return lambda _, __: value


def _swapped(rows: list[Any], chance: random.Random) -> list[Any]:
    i = chance.randrange(max(1, len(rows) - 1))
    return [*rows[:i], *rows[i : i + 2][::-1], *rows[i + 2 :]]


def _shuffled(rows: list[Any], chance: random.Random) -> list[Any]:
    return chance.sample(rows, len(rows))


def _doubled(rows: list[Any], chance: random.Random) -> list[Any]:
    i = chance.randrange(len(rows))
    return [*rows[: i + 1], *rows[i:]]


def _pairs(record: Any) -> list[Any]:
    """Return a record's places: names or numbers."""
    return list(record) if isinstance(record, dict) else list(range(len(record))) if isinstance(record, list) else []


def _without(record: Any, chance: random.Random) -> Any:
    gone = chance.choice(_pairs(record))
    if isinstance(record, dict):
        return {k: v for k, v in record.items() if k != gone}
    return [v for i, v in enumerate(record) if i != gone]


def _emptied(record: Any, _: random.Random) -> Any:
    return dict.fromkeys(record) if isinstance(record, dict) else [None for _ in record]


def _as_number(text: str) -> Callable[[Any, random.Random], Any]:
    return lambda _, __: text


def _scaled(factor: float) -> Callable[[Any, random.Random], Any]:
    def change(value: Any, _: random.Random) -> Any:
        moved = int(int(value) * factor)
        return str(moved) if isinstance(value, str) else moved

    return change


def _moved(by_ms: int) -> Callable[[Any, random.Random], Any]:
    def change(value: Any, _: random.Random) -> Any:
        return str(int(value) + by_ms) if isinstance(value, str) else int(value) + by_ms

    return change


KINDS: dict[str, Kind] = {
    # -- the answer's bytes
    "nothing": Kind("answer", _with(lambda b: b"")),
    "blanks": Kind("answer", _with(lambda b: b" \r\n\t ")),
    "half": Kind("answer", _with(lambda b: b[: len(b) // 2])),
    "all but the last byte": Kind("answer", _with(lambda b: b[:-1])),
    "all but the first byte": Kind("answer", _with(lambda b: b[1:])),
    "twice": Kind("answer", _with(lambda b: b + b)),
    "a byte-order mark": Kind("answer", _with(lambda b: b"\xef\xbb\xbf" + b)),
    "UTF-16": Kind("answer", _with(lambda b: b.decode().encode("utf-16"))),
    "bytes that are no UTF-8": Kind("answer", _with(lambda b: b.replace(b'"', b"\xff", 3))),
    "NUL bytes": Kind("answer", _with(lambda b: b.replace(b",", b",\x00", 2))),
    "a trailing comma": Kind("answer", _with(lambda b: b[:-1] + b"," + b[-1:])),
    "a comment": Kind("answer", _with(lambda b: b"/* cached */" + b)),
    "single quotes": Kind("answer", _with(lambda b: b.replace(b'"', b"'"))),
    "a padded callback": Kind("answer", _with(lambda b: b"callback(" + b + b");")),
    "JSON in a string": Kind("answer", _with(lambda b: json.dumps(b.decode()).encode())),
    "HTML with 200": Kind("answer", _html),
    "gzip that is none": Kind("answer", _encoded(lambda b: b)),
    "gzip that breaks off": Kind("answer", _encoded(lambda b: gzip.compress(b)[:-9])),
    "gzip that is damaged": Kind("answer", _encoded(lambda b: gzip.compress(b)[:20] + b"\x00" * 20)),
    "a hundred thousand brackets": Kind("answer", _with(lambda b: b"[" * 100_000)),
    "lists in lists a thousand deep": Kind("answer", _with(lambda b: b"[" * 1_000 + b + b"]" * 1_000)),
    # -- the decoded body
    "null": Kind("body", _envelope(None)),
    "a number": Kind("body", _envelope(7)),
    "true": Kind("body", _envelope(True)),
    "an empty list": Kind("body", _envelope([])),
    "an empty object": Kind("body", _envelope({})),
    "a list around it": Kind("body", lambda b, _: [b]),
    "an object around it": Kind("body", lambda b, _: {"data": b}),
    "an object for a list": Kind(
        "body", lambda b, _: {str(i): v for i, v in enumerate(b)} if isinstance(b, list) else list(b)
    ),
    "Binance's error with 200": Kind("body", _envelope({"code": -1121, "msg": "Invalid symbol."})),
    "Bybit's error with 200": Kind("body", _envelope({"retCode": 10001, "retMsg": "params error", "result": {}})),
    "OKX's error with 200": Kind(
        "body", _envelope({"code": "51001", "msg": "Instrument ID doesn't exist.", "data": []})
    ),
    "an error without a code": Kind("body", _envelope({"error": "internal"})),
    "null in every field": Kind("body", lambda b, _: dict.fromkeys(b) if isinstance(b, dict) else [None for _ in b]),
    "a field more": Kind("body", lambda b, _: {**b, "debug": {"x": [1]}} if isinstance(b, dict) else b),
    # -- the list of records
    "no record": Kind("rows", lambda _, __: []),
    "null for the records": Kind("rows", lambda _, __: None),
    "a text for the records": Kind("rows", lambda _, __: "rows"),
    "an object for the records": Kind("rows", lambda r, _: {str(i): v for i, v in enumerate(r)}),
    "records nested twice": Kind("rows", lambda r, _: [r]),
    "two records swapped": Kind("rows", _swapped),
    "records out of order": Kind("rows", _shuffled),
    "records the other way round": Kind("rows", lambda r, _: r[::-1]),
    "a record twice": Kind("rows", _doubled),
    "all records twice": Kind("rows", lambda r, _: [*r, *r]),
    # -- one record
    "a null record": Kind("record", lambda _, __: None),
    "an empty object as record": Kind("record", lambda _, __: {}),
    "an empty list as record": Kind("record", lambda _, __: []),
    "a text as record": Kind("record", lambda _, __: "1760054400000"),
    "a number as record": Kind("record", lambda _, __: 1760054400000),
    "a record in a list": Kind("record", lambda r, _: [r]),
    "a record of nulls": Kind("record", _emptied),
    "a record without a field": Kind("record", _without),
    "a list as object": Kind(
        "record", lambda r, _: {str(i): v for i, v in enumerate(r)} if isinstance(r, list) else list(r.values())
    ),
    "a record cut short": Kind("record", lambda r, _: r[:1] if isinstance(r, list) else dict(list(r.items())[:1])),
    # -- its clock
    "a clock in seconds": Kind("clock", _scaled(1e-3)),
    "a clock in microseconds": Kind("clock", _scaled(1e3)),
    "a clock in nanoseconds": Kind("clock", _scaled(1e6)),
    "a clock of next year": Kind("clock", _moved(365 * DAY_MS)),
    "a clock of the day before": Kind("clock", _moved(-DAY_MS)),
    "a clock of 1970": Kind("clock", lambda _, __: 1),
    "a clock below zero": Kind("clock", _scaled(-1)),
    "a clock as date": Kind("clock", lambda _, __: "2025-09-03T12:00:00Z"),
    "a clock with a fraction": Kind("clock", lambda v, _: f"{v}.5"),
    "a clock in exponents": Kind("clock", lambda _, __: "1.7e12"),
    "another record's clock": Kind("clock", _moved(3_600_000), is_plausible=True),
    # -- one of its values
    "a null": Kind("value", lambda _, __: None),
    "an empty text": Kind("value", _as_number("")),
    "a blank": Kind("value", _as_number(" ")),
    "not available": Kind("value", _as_number("n/a")),
    "NaN as text": Kind("value", _as_number("NaN")),
    "infinity as text": Kind("value", _as_number("Infinity")),
    "NaN as literal": Kind("value", lambda _, __: _raw("NaN")),
    "infinity as literal": Kind("value", lambda _, __: _raw("-Infinity")),
    "a huge exponent": Kind("value", _as_number("1e400")),
    "a huge whole number": Kind("value", lambda _, __: _raw("9" * 400)),
    "a whole number of 5,000 digits": Kind("value", lambda _, __: _raw("9" * 5_000)),
    "a truth value": Kind("value", lambda _, __: True),
    "a list of the value": Kind("value", lambda v, _: [v]),
    "an object of the value": Kind("value", lambda v, _: {"value": v}),
    "thousands separators": Kind("value", _as_number("1,000.5")),
    "a decimal comma": Kind("value", _as_number("1000,5")),
    "an underscore": Kind("value", _as_number("1_000")),
    "hexadecimal": Kind("value", _as_number("0x1F")),
    "two points": Kind("value", _as_number("1.2.3")),
    "wide digits": Kind("value", _as_number("１２３")),
    "Arabic digits": Kind("value", _as_number("١٢٣")),
    "a sign that turns the text": Kind("value", _as_number("\u202e321")),
    "an invisible sign": Kind("value", _as_number("1\u200b23")),
    "a currency": Kind("value", _as_number("$123")),
    "a fraction": Kind("value", _as_number("1/3")),
    "a minus of typography": Kind("value", _as_number("\u2212123")),
    "blanks around it": Kind("value", lambda v, _: f" {v}\n"),
    "a minus": Kind("value", lambda v, _: f"-{v}", is_plausible=True),
    "a zero": Kind("value", _as_number("0"), is_plausible=True),
    "a tiny exponent": Kind("value", _as_number("1e-400"), is_plausible=True),
    "a large number": Kind("value", _as_number("1e300"), is_plausible=True),
    "a number of another place": Kind("value", _as_number("123.25"), is_plausible=True),
    "another name": Kind("value", _as_number("ETHUSDT"), is_plausible=True),
}


def malformed(kind: Kind, answer: Canned, chance: random.Random, marker: str) -> Canned:
    """Return an answer spoiled by a kind.

    Parameters
    ----------
    marker : str
        The record that is spoiled is one that holds this text, or any where none does.
    """
    if kind.level == "answer":
        changed: Canned = kind.change(answer, chance)
        return changed
    body = json.loads(answer.body)
    if kind.level == "body":
        return Canned(dumped(kind.change(body, chance)))
    place = _main_list(body)
    rows = _at(body, place)
    if not isinstance(rows, list) or not rows:
        return answer
    if kind.level == "rows":
        return Canned(dumped(_put(body, place, kind.change(rows, chance))))
    marked = [i for i, r in enumerate(rows) if marker in json.dumps(r)]
    i = chance.choice(marked or range(len(rows)))
    record = rows[i]
    if kind.level != "record":
        leaves = [p for p in _leaves(record) if kind.level == "value" or _is_clock(_at(record, p))]
        if not leaves:
            return answer
        leaf = chance.choice(leaves)
        record = _put(record, leaf, kind.change(_at(record, leaf), chance))
    else:
        record = kind.change(record, chance)
    return Canned(dumped(_put(body, (*place, i), record)))


def _is_clock(value: Any) -> bool:
    return (
        not isinstance(value, bool) and isinstance(value, int | str) and str(value).isdigit() and len(str(value)) == 13
    )


def _main_list(body: Any) -> tuple[Any, ...]:
    """Return the place of the longest list of lists or objects."""
    best: tuple[int, tuple[Any, ...]] = (0, ())
    stack: list[tuple[Any, tuple[Any, ...]]] = [(body, ())]
    while stack:
        value, place = stack.pop()
        if isinstance(value, list) and len(value) > best[0] and isinstance(value[0], list | dict):
            best = (len(value), place)
        if isinstance(value, dict | list):
            stack += [(value[k], (*place, k)) for k in _pairs(value)]
    return best[1]


def _leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        return [leaf for k in _pairs(value) for leaf in _leaves(value[k], (*place, k))]
    return [place]


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for k in place:
        value = value[k]
    return value


def _put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """Return a value with another one at a place; nothing else is changed."""
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _put(value[place[0]], place[1:], new)
    return copy
