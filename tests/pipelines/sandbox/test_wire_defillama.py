"""DefiLlama's wire: keys and types of every shape, stamps of the points, nothing after now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from pipelines.sandbox.holdings import ACCOUNTS, BREAKS, BROKEN_PEG, ETH, RESERVES, STABLECOINS, Holdings
from pipelines.sandbox.wire import WireError
from pipelines.sandbox.wire_defillama import SLUGS, DefiLlamaWire
from pipelines.sandbox.world import World

NOW, CRASH = datetime(2026, 3, 4, 14, 30), date(2026, 3, 3)

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, date(2026, 3, 1), 5, ("BTC", "ETH"), CRASH)


@pytest.fixture(scope="module")
def ask(world: World) -> Ask:
    routes = {route.path: route for route in DefiLlamaWire(world).routes()}
    return lambda path, now=NOW, **query: routes[path].answer(query, now)


def _at(stamp: int) -> datetime:
    return datetime.fromtimestamp(stamp, UTC).replace(tzinfo=None)


def test_the_list_tells_the_price_where_it_is_asked_for(ask: Ask) -> None:
    coins = ask("/stablecoins", includePrices="true")["peggedAssets"]
    assert [c["symbol"] for c in coins] == [c.symbol for c in STABLECOINS]
    for coin in coins:
        assert {k: type(v) for k, v in coin.items()} == {
            "id": str, "name": str, "symbol": str, "gecko_id": str, "pegType": str, "priceSource": str, "pegMechanism": str,
            "circulating": dict, "chainCirculating": dict, "chains": list, "price": float,
        }  # fmt: skip
        told = sum(c["current"][coin["pegType"]] for c in coin["chainCirculating"].values())
        assert coin["circulating"][coin["pegType"]] == pytest.approx(told)
    assert all("price" not in coin for coin in ask("/stablecoins")["peggedAssets"])


def test_a_history_ends_with_the_latest_look_in_the_place_of_the_days_own(ask: Ask) -> None:
    coin = ask("/stablecoin/{key}", key="1")
    assert set(coin["chainBalances"]) == set(STABLECOINS[0].supply_by_chain)
    for told in coin["chainBalances"].values():
        stamps = [_at(point["date"]) for point in told["tokens"]]
        assert stamps == sorted(set(stamps))
        assert [at for at in stamps if at.time() != datetime.min.time()] == [NOW] == stamps[-1:]
        assert NOW.date() not in {at.date() for at in stamps[:-1]}
        assert set(told["tokens"][0]) == {"date", "circulating", "minted", "unreleased", "bridgedTo"}
    with pytest.raises(WireError):
        ask("/stablecoin/{key}", key="0")


def test_one_coin_loses_its_peg_on_the_day_of_the_crash(ask: Ask) -> None:
    slug = next(c.slug for c in STABLECOINS if c.symbol == BREAKS)
    prices = {_at(point["date"]).date(): point["prices"][slug] for point in ask("/stablecoinprices")}
    assert max(prices) == NOW.date()
    assert prices.pop(CRASH) == pytest.approx(BROKEN_PEG, abs=1e-3)
    assert all(abs(price - 1.0) < 1e-3 for price in prices.values())


def test_an_exchange_tells_tokens_and_dollars_at_the_same_stamps(ask: Ask) -> None:
    for slug, exchange in SLUGS.items():
        told = ask("/protocol/{slug}", slug=slug)
        assert set(told) == {"name", "category", "chains", "currentChainTvls", "chainTvls"}
        held = set()
        for chain in told["chainTvls"].values():
            stamps = [point["date"] for point in chain["tokens"]]
            assert stamps == [point["date"] for point in chain["tokensInUsd"]] == [p["date"] for p in chain["tvl"]]
            assert [_at(s) for s in stamps[-2:]] == [datetime(2026, 3, 4), NOW]
            held |= set(chain["tokens"][-1]["tokens"])
        assert held == set(RESERVES[exchange])
    with pytest.raises(WireError):
        ask("/protocol/{slug}", slug="nobody")


def test_accounts_hold_a_share_of_what_their_exchange_holds(world: World) -> None:
    truth = Holdings(world)
    for exchange, shares in ACCOUNTS.items():
        whole = truth.reserve(exchange, ETH, NOW)
        held = [truth.balance(account, ETH, NOW) for account in shares]
        assert 0 < sum(held) <= whole
        assert sum(shares.values()) <= 1_000
    assert truth.balance("0x" + "0" * 40, ETH, NOW) == 0
    with pytest.raises(ValueError, match="the world's holdings run from"):
        truth.reserve("binance", ETH, datetime(2026, 3, 7))
