"""What a venue is asked and what it answers: a contract, a kind of request, a record of a page, a book.

Belongs here: the plain values between a venue's module and the way that all venues share (``venue.py``), and the readers that
refuse an answer of another shape. Does not: single figures and times (``wire_values.py``), requests of any venue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.sources.wire_values import figure, of, per


@dataclass(frozen=True)
class Contract:
    """A listed contract of the universe: our asset, the venue's symbol, when it was listed (ms), its catalogue entry."""

    asset: str
    symbol: str
    listed_ms: int | None
    market: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """``linear`` (margin and profit in the quote asset) or ``inverse`` (in the base asset)."""
        return "linear" if self.market["linear"] else "inverse"

    @property
    def size_base(self) -> float | None:
        """Base units of one linear contract, None where the catalogue tells no number."""
        return figure(self.market["contractSize"]) if self.kind == "linear" else None

    @property
    def size_usd(self) -> float | None:
        """US dollars of one inverse contract, None where the catalogue tells no number."""
        return figure(self.market["contractSize"]) if self.kind == "inverse" else None

    def in_base(self, contracts: float | None, price: float | None = None) -> float | None:
        """Return contracts in base units; those of an inverse contract at a price, None where that is missing."""
        if contracts is None:
            return None
        if self.kind == "linear":
            return None if self.size_base is None else contracts * self.size_base
        return per(None if self.size_usd is None else contracts * self.size_usd, price)


class WrongShape(Exception):
    """An answer that is not what its documentation shows; the message completes the sentence "the answer ..."."""


@dataclass(frozen=True)
class Request:
    """One kind of request of a venue.

    Parameters
    ----------
    endpoint : str
        ccxt's method for it.
    path : str
        The venue's own path, for blocks, messages and the capture's note.
    query : callable
        ``query(contract, since_ms, until_ms, limit)``: what is sent for records with ``since_ms <= clock < until_ms``.
    records : callable
        ``records(value, contract)``: the list of records in a decoded answer; `WrongShape` where there is none, or where they
        are another contract's.
    clock : callable
        A record's time in milliseconds, None where it cannot be read.
    width : int
        Entries of a record that is a list, as documented.
    is_bounded_below : bool
        False where the venue takes no lower bound: what is older than asked for is then left out of the page.
    """

    endpoint: str
    path: str
    query: Callable[[Contract, int, int, int], Mapping[str, Any]]
    records: Callable[[Any, Contract], list[Any]]
    clock: Callable[[Any], int | None]
    width: int = 0
    is_bounded_below: bool = True

    def told(self, record: Any) -> Any:
        """Return what a record tells: of a list that is too short only its time, for the rest may stand a place off."""
        return record[:1] if isinstance(record, list) and len(record) < self.width else record


@dataclass(frozen=True)
class Record:
    """One record of a page and the payload it came from."""

    value: Any
    # Not in the repr: the pager tells records without a time apart by it, and the same one may stand on two pages.
    payload_sha256: str = field(repr=False)


@dataclass(frozen=True)
class WireBook:
    """A book as an answer gives it: the lists of levels (price first, quantity second) and the venue's clock.

    `symbol` is the contract that the answer names, None where it names none.
    """

    bids: Any
    asks: Any
    ms: Any
    symbol: Any = None


def records_of(value: Any, *path: str) -> list[Any]:
    """Return the list of records at a path of names inside a decoded answer.

    Raises
    ------
    WrongShape
        Where there is no list.
    """
    for name in path:
        value = of(value, name)
    if not isinstance(value, list):
        raise WrongShape("is no list of records")
    return value


def must_be_about(records: list[Any], name: str, symbol: str) -> list[Any]:
    """Return the records; refuse them where one names another contract.

    Raises
    ------
    WrongShape
        Where a record's field `name` is there and is not `symbol`.
    """
    if any(isinstance(v, dict) and v.get(name, symbol) != symbol for v in records):
        raise WrongShape("holds a record about another symbol")
    return records


def must_be_in_order(records: list[Any], clock: Callable[[Any], int | None]) -> list[Any]:
    """Return the records of a list that knows no bounds; refuse them where their times go neither up nor down.

    A clock that is wrong among neighbours would stand beside the record whose time it took, or in its place.

    Raises
    ------
    WrongShape
        Where the times that can be read are in neither order.
    """
    times = [at for at in map(clock, records) if at is not None]
    if times not in (sorted(times), sorted(times, reverse=True)):
        raise WrongShape("holds records in no order of time")
    return records
