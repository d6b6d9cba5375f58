"""Balances of labelled accounts over the sandbox's chain: the truth to the last unit, and no short answer taken for nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from evm_doubles import client
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.ports import SourceOutage
from pipelines.clock import FixedClock
from pipelines.sandbox.evm_chain import Chain
from pipelines.sandbox.evm_node import EvmNode
from pipelines.sandbox.holdings import ACCOUNTS, TOKENS, Holdings
from pipelines.sandbox.wire_evm import EvmWire, TokenLedger
from pipelines.sandbox.world import World
from pipelines.sources.chains.evm import ChainNode
from pipelines.sources.chains.exchange_accounts import NATIVE, Account, ExchangeAccounts, labelled_accounts
from pipelines.sources.chains.lending_markets import DEPLOYMENTS, in_sandbox
from quality.schemas.raw import RAW_TABLES

DAY = date(2026, 3, 9)
NOW = FixedClock(datetime(2026, 3, 11))
DATASET = "exchange_reserves"
MARKET = in_sandbox(DEPLOYMENTS["aave_v3_ethereum"])
BINANCE = next(iter(ACCOUNTS["binance"]))
FEW = (Account(BINANCE, "binance", date(2022, 11, 10)), Account("0x" + "9" * 40, "binance", date(2026, 3, 10)))


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, date(2026, 3, 7), 4, ("BTC", "ETH"), date(2026, 3, 9))


@pytest.fixture(scope="module")
def chain(world: World) -> Chain:
    return EvmWire(world).chain


@pytest.fixture
def wire(world: World, chain: Chain) -> EvmWire:
    wire = EvmWire(world)
    # Made once: nothing here changes it.
    wire.chain = chain
    return wire


def _source(*nodes: ChainNode, accounts: tuple[Account, ...] = FEW) -> ExchangeAccounts:
    return ExchangeAccounts(MARKET, nodes, accounts, clock=NOW, is_synthetic=True)


def test_balances_are_those_of_the_world(wire: EvmWire, world: World, project_root: Path) -> None:
    accounts = labelled_accounts(project_root / "dbt/seeds/exchange_addresses.csv", "ethereum")
    capture = _source(client(wire.node), client(wire.node, "second"), accounts=accounts).fetch(DATASET, DAY, DAY)
    good, refused = RAW_TABLES[DATASET].split(capture.rows, now=datetime(2026, 3, 11))
    assert (good.height, refused.height) == (6 * len(accounts), 0)
    truth = Holdings(world)
    tokens = {(t.address or NATIVE): t for t in TOKENS if t.chain == "Ethereum"}
    assert good["observed_at_utc"].unique().to_list() == [datetime(2026, 3, 9, 23, 50)]
    for row in good.iter_rows(named=True):
        wanted = truth.balance(row["holder_address"], tokens[row["held_token"]], row["observed_at_utc"])
        assert row["balance_raw"] == str(wanted), row
    known = {account for shares in ACCOUNTS.values() for account in shares}
    assert {r["holder_address"] for r in good.iter_rows(named=True) if r["balance_raw"] != "0"} == known


def test_an_account_counts_from_the_day_of_its_label(wire: EvmWire) -> None:
    rows = _source(client(wire.node)).fetch(DATASET, DAY, DAY).rows
    assert rows["holder_address"].unique().to_list() == [BINANCE]


def _pruned(wire: EvmWire) -> None:
    wire.node.faults.pruned_before = wire.node.height - 10


def _nothing_there(wire: EvmWire) -> None:
    wire.node._ledger = None


def _another_chain(wire: EvmWire) -> None:
    wire.node.chain_id = 1


def _short(wire: EvmWire) -> None:
    wire.node._ledger = _Short(wire.node._ledger)


def _rescaled(wire: EvmWire) -> None:
    wire.node._ledger = _Rescaled(wire.node._ledger)


def _behind(wire: EvmWire) -> None:
    wire.node.faults.lag_blocks = 250


class _Short(TokenLedger):
    """Leaves the last byte out."""

    def __init__(self, ledger: object) -> None:
        assert isinstance(ledger, TokenLedger)
        self.__dict__.update(ledger.__dict__)

    def call(self, to: str, data: str, at_s: int) -> str | None:
        said = super().call(to, data, at_s)
        return said if said is None or data[2:10] != "70a08231" else said[:-2]


class _Rescaled(_Short):
    """Says that every token has two decimals."""

    def call(self, to: str, data: str, at_s: int) -> str | None:
        return f"0x{2:064x}" if data[2:10] == "313ce567" else TokenLedger.call(self, to, data, at_s)


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (_pruned, "pruned", "no longer keeps|no block"),
        (_nothing_there, "venue_error", "0 bytes of 32"),
        (_another_chain, "venue_error", "shows chain 1, not"),
        (_short, "venue_error", "31 bytes of 32"),
        (_rescaled, "venue_error", "has 2 decimals, not 18"),
        (_behind, "lagging", "the last final block of 2026-03-09 is of 2026-03-09 05:"),
    ],
)
def test_what_cannot_be_told_is_an_outage_and_not_nothing(
    wire: EvmWire, spoil: Callable[[EvmWire], None], code: str, said: str
) -> None:
    spoil(wire)
    with pytest.raises(SourceOutage, match=said) as caught:
        _source(client(wire.node)).fetch(DATASET, DAY, DAY)
    assert caught.value.code == code


def test_providers_that_disagree_are_an_outage(wire: EvmWire, world: World) -> None:
    other = EvmWire(World(8, world.first_day, world.days_count, world.assets, world.crash_day))
    with pytest.raises(SourceOutage, match="disagree on block"):
        _source(client(wire.node), client(other.node, "second")).fetch(DATASET, DAY, DAY)
    poorer = EvmNode(wire.chain, chain_id=wire.node.chain_id, ledger=TokenLedger(Holdings(other.world)))
    with pytest.raises(SourceOutage, match="disagree on the coin of"):
        _source(client(wire.node), client(poorer, "second")).fetch(DATASET, DAY, DAY)


class _Fixed:
    """A ledger on which everything is one number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def balance(self, account: str, at_s: int) -> int:
        return self.number

    def call(self, to: str, data: str, at_s: int) -> str | None:
        return f"0x{self.number:064x}" if data[2:10] == "70a08231" else None


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 2**256 - 1))
def test_a_balance_is_exact_as_text(number: int) -> None:
    chain = Chain(
        1,
        lambda _h, _b, state: ([], state),
        start_s=int(datetime(2026, 3, 9, 23, tzinfo=UTC).timestamp()),
        block_time_s=600,
    )
    chain.grow(10)
    ledger = _Fixed(number)
    source = _source(client(EvmNode(chain, chain_id=MARKET.chain_id, ledger=ledger)), accounts=FEW[:1])
    # The double knows no decimals.
    source._check_decimals = lambda _height: None  # type: ignore[method-assign]  # what is asked is the balance
    rows = source.fetch(DATASET, DAY, DAY).rows
    assert set(rows["balance_raw"]) == {str(number)}
    assert rows["observed_at_utc"][0] < datetime.combine(DAY, datetime.min.time()) + timedelta(days=1)
