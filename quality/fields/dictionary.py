"""The merged dictionary: looks a word up and refuses one that is defined twice."""

from __future__ import annotations

from quality.fields import (
    accounts,
    cascade,
    common,
    coverage,
    flows,
    holdings,
    lending,
    liquidations,
    macro,
    margin,
    market,
)
from quality.tables import Field

DOMAINS: dict[str, dict[str, str]] = {
    "common": common.WORDS,
    "market": market.WORDS,
    "margin": margin.WORDS,
    "liquidations": liquidations.WORDS,
    "accounts": accounts.WORDS,
    "flows": flows.WORDS,
    "lending": lending.WORDS,
    "macro": macro.WORDS,
    "holdings": holdings.WORDS,
    "cascade": cascade.WORDS,
    "coverage": coverage.WORDS,
}


def _merge() -> dict[str, Field]:
    merged: dict[str, Field] = {}
    for domain, words in DOMAINS.items():
        for name, doc in words.items():
            if name in merged:
                raise ValueError(f"`{name}` of quality/fields/{domain}.py is already defined: one name, one meaning")
            merged[name] = Field(name, doc)
    return merged


DICTIONARY: dict[str, Field] = _merge()


def fields(*names: str) -> tuple[Field, ...]:
    """Return the dictionary's fields in the given order.

    Raises
    ------
    KeyError
        Where a name is not in the dictionary.
    """
    return tuple(DICTIONARY[name] for name in names)
