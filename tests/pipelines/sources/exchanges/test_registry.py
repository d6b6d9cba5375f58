"""The list of exchanges: every one has its client, and the table in the docs is the one that the code gives."""

from __future__ import annotations

import pytest

from pipelines.settings import PROJECT_ROOT, Settings
from pipelines.sources.exchanges.registry import EXCHANGES, client_class, offers_table
from quality.schemas.raw import RAW_TABLES

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("venue", sorted(EXCHANGES))
def test_every_exchange_has_a_client_of_its_name(venue: str) -> None:
    client = client_class(venue)
    assert (client.venue, client.source) == (venue, "ccxt")
    assert {*client.limits, *client.memory} <= set(EXCHANGES[venue]) <= set(RAW_TABLES)
    assert client.origin.startswith("https://")


def test_the_table_in_the_docs_is_the_codes() -> None:
    assert offers_table() in (PROJECT_ROOT / "docs" / "exchanges.md").read_text()


def test_an_exchange_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"no exchange mtgox: there are binance, "):
        Settings(venues=("binance", "mtgox"))
    assert Settings(venues=()).venues == ()
