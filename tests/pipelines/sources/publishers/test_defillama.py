"""DefiLlama over the sandbox: values, units and counts of the world, and no short or foreign answer taken for one."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from publisher_clients import PublisherBench

from assets.lake.transform import batches_of
from assets.ports import Capture, SourceOutage
from pipelines.sandbox.holdings import HOSTILE, RESERVES, STABLECOINS, TOKENS, Holdings
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.door import RetryPolicy
from pipelines.sources.publishers.defillama import reserve_rows
from quality.schemas.raw import RAW_TABLES

NOW = datetime(2026, 3, 4, 14, 30)
FIRST, LAST = date(2026, 3, 2), NOW.date()
SUPPLIES, EXCHANGES = "stablecoin_supplies", "exchange_reserves"


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, date(2026, 3, 1), 5, ("BTC", "ETH"), date(2026, 3, 3))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _fetched(sandbox: Sandbox, dataset: str, **more: Any) -> Capture:
    return PublisherBench(sandbox, "defillama", NOW, **more).client.fetch(dataset, FIRST, LAST)


def _good(capture: Capture, dataset: str) -> pl.DataFrame:
    good, refused = RAW_TABLES[dataset].split(capture.rows, now=NOW)
    assert refused.height == 0
    return good


def test_supplies_are_those_of_the_world(sandbox: Sandbox, world: World) -> None:
    rows = _good(_fetched(sandbox, SUPPLIES), SUPPLIES)
    truth = Holdings(world)
    coins = {coin.key: coin for coin in STABLECOINS}
    # Two first looks of a day and the latest, which stands in the place of the third.
    looks = [datetime(2026, 3, 2), datetime(2026, 3, 3), NOW]
    assert rows["observed_at_utc"].unique().sort().to_list() == looks
    assert rows.height == len(looks) * sum(len(coin.supply_by_chain) for coin in STABLECOINS)
    for row in rows.iter_rows(named=True):
        coin, at = coins[row["stablecoin_id"]], row["observed_at_utc"]
        chain = next(c for c in coin.supply_by_chain if c.lower() == row["supply_chain"])
        assert row["circulating_base"] == pytest.approx(truth.supply(coin, chain, at), abs=1e-4)
        assert row["stablecoin_price_quote"] == truth.price(coin, at)
        assert (row["stablecoin_symbol"], f"pegged{row['peg_type']}") == (coin.symbol, coin.peg)


def test_reserves_are_those_of_the_world_to_the_last_digit_told(sandbox: Sandbox, world: World) -> None:
    rows = _good(_fetched(sandbox, EXCHANGES), EXCHANGES)
    truth, tokens = Holdings(world), {t.symbol: t for t in TOKENS}
    # The latest look stands beside the day's first.
    looks = [datetime(2026, 3, 2), datetime(2026, 3, 3), datetime(2026, 3, 4), NOW]
    assert rows["observed_at_utc"].unique().sort().to_list() == looks
    assert rows.height == len(looks) * sum(len(held) for held in RESERVES.values())
    for row in rows.iter_rows(named=True):
        token = tokens[row["held_symbol"]]
        told = truth.reserve(row["exchange"], token, row["observed_at_utc"]) / 10**token.decimals
        assert Decimal(row["balance_raw"]) == Decimal(str(round(told, 5)))
        assert row["reported_balance_usd"] > 0
    assert rows.filter(pl.col("held_symbol") == HOSTILE.symbol).height == len(looks)


def test_the_open_day_alone_costs_one_request(sandbox: Sandbox, world: World) -> None:
    bench = PublisherBench(sandbox, "defillama", NOW)
    rows = _good(bench.client.fetch(SUPPLIES, LAST, LAST), SUPPLIES)
    assert [seen.path for seen in sandbox.requests] == ["/stablecoins"]
    truth = Holdings(world)
    told = {(r["stablecoin_id"], r["supply_chain"]): r for r in rows.iter_rows(named=True)}
    assert len(told) == sum(len(coin.supply_by_chain) for coin in STABLECOINS)
    for coin in STABLECOINS:
        for chain in coin.supply_by_chain:
            row = told[coin.key, chain.lower()]
            assert (row["observed_at_utc"], row["stablecoin_price_quote"]) == (NOW, truth.price(coin, NOW))
            assert row["circulating_base"] == pytest.approx(truth.supply(coin, chain, NOW), abs=1e-4)
    with pytest.raises(SourceOutage, match="once a day is over") as caught:
        bench.client.fetch(EXCHANGES, LAST, LAST)
    assert caught.value.code == "not_offered"
    assert len(sandbox.requests) == 1


def test_a_day_lands_under_its_own_key(sandbox: Sandbox) -> None:
    capture = _fetched(sandbox, SUPPLIES)
    days = [FIRST, date(2026, 3, 3), LAST]
    batches = batches_of(
        capture, dataset=SUPPLIES, venue="defillama", source="publisher", days=days, now=NOW, is_synthetic=True
    )
    assert [(b.key.day, b.rejected.height) for b in batches] == [(day, 0) for day in days]
    assert len({b.rows.height for b in batches}) == 1
    assert len(batches[0].payloads) == 2 + len(STABLECOINS)


def _without(*path: str) -> Callable[[Any], Any]:
    """Return what takes a key out of an answer that has the way to it; other answers stay."""

    def change(body: Any) -> Any:
        place = body
        for name in path[:-1]:
            place = place.get(name) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(path[-1], None)
        return body

    return change


def _with(path: tuple[str, ...], value: Any) -> Callable[[Any], Any]:
    def change(body: Any) -> Any:
        place = body
        for name in path[:-1]:
            place = place.get(name) if isinstance(place, dict) else None
        if isinstance(place, dict) and path[-1] in place:
            place[path[-1]] = copy.deepcopy(value)
        return body

    return change


@pytest.mark.parametrize(
    ("dataset", "spoiled", "said"),
    [
        (SUPPLIES, _without("peggedAssets"), "no list `peggedAssets`"),
        (SUPPLIES, _with(("peggedAssets",), []), "no list `peggedAssets`"),
        (SUPPLIES, _with(("peggedAssets",), [{"id": "1"}]), "no list `peggedAssets`"),
        (SUPPLIES, _without("chainBalances"), "no object `chainBalances`"),
        (SUPPLIES, _without("chainBalances", "Tron"), r"is short: it lacks 1 of 3 chains of the coin 1 \(Tron\)"),
        (
            SUPPLIES,
            _with(("chainBalances", "Ethereum", "tokens"), []),
            r"is short: it lacks 1 of 3 chains of the coin 1",
        ),
        (SUPPLIES, lambda body: {} if isinstance(body, list) else body, "is no list of points"),
        (SUPPLIES, lambda body: [] if isinstance(body, list) else body, "is no list of points"),
        (EXCHANGES, _without("chainTvls"), "no objects `chainTvls`"),
        (
            EXCHANGES,
            _without("chainTvls", "Bitcoin"),
            r"is short: it lacks 1 of 2 chains with their tokens \(Bitcoin\)",
        ),
        (EXCHANGES, _without("chainTvls", "Ethereum", "tokens"), r"is short: it lacks 1 of 2 chains with their tokens"),
        (EXCHANGES, _with(("currentChainTvls",), {}), "no objects `chainTvls`"),
        (EXCHANGES, lambda _: {"message": "Protocol is not in our database"}, "no objects `chainTvls`"),
    ],
)
def test_a_short_or_foreign_answer_is_an_outage(sandbox: Sandbox, dataset: str, spoiled: Any, said: str) -> None:
    with pytest.raises(SourceOutage, match=said) as caught:
        _fetched(sandbox, dataset, spoiled=spoiled)
    assert (caught.value.code, caught.value.cause) == ("venue_error", "wrong_shape")


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (-1, "not_a_number"),
        (1e300, "not_a_number"),
        ("12", "missing_value"),
        (True, "missing_value"),
        (None, "missing_value"),
        ([], "missing_value"),
    ],
)
def test_an_amount_that_is_none_is_refused_and_the_others_stay(sandbox: Sandbox, amount: Any, reason: str) -> None:
    def spoil(body: Any) -> Any:
        for point in body["chainTvls"]["Bitcoin"]["tokens"]:
            point["tokens"]["BTC"] = amount
        return body

    rows = _fetched(sandbox, EXCHANGES, spoiled=spoil).rows
    good, refused = RAW_TABLES[EXCHANGES].split(rows, now=NOW)
    assert refused.height == 4 * len(RESERVES)
    assert set(zip(refused["field"], refused["reason"], strict=True)) == {("balance_raw", reason)}
    assert "BTC" not in set(good["held_symbol"])


def test_a_chain_that_holds_next_to_nothing_may_be_missing_and_is_noted(sandbox: Sandbox) -> None:
    def spoil(body: Any) -> Any:
        if isinstance(body, dict) and "peggedAssets" in body:
            body["peggedAssets"][0]["chainCirculating"]["Tiny"] = {"current": {"peggedUSD": 5.0}}
        if isinstance(body, dict) and "currentChainTvls" in body:
            body["currentChainTvls"]["Tiny"] = 5.0
        return body

    for dataset, due in ((SUPPLIES, 1), (EXCHANGES, len(RESERVES))):
        good, refused = RAW_TABLES[dataset].split(_fetched(sandbox, dataset, spoiled=spoil).rows, now=NOW)
        assert refused.height == due
        assert all('"tiny"' in record for record in refused["record_json"])
        whole = _good(_fetched(sandbox, dataset), dataset)
        assert good.drop("payload_sha256").equals(whole.drop("payload_sha256"))


def test_a_key_that_is_no_key_is_not_asked(sandbox: Sandbox) -> None:
    def spoil(body: Any) -> Any:
        if isinstance(body, dict) and "peggedAssets" in body:
            body["peggedAssets"].append({**body["peggedAssets"][0], "id": "../../x?y=1"})
        return body

    assert _good(_fetched(sandbox, SUPPLIES, spoiled=spoil), SUPPLIES).height
    assert {seen.path for seen in sandbox.requests} == {
        "/stablecoins",
        "/stablecoinprices",
        *(f"/stablecoin/{c.key}" for c in STABLECOINS),
    }


def test_a_figure_that_is_not_told_is_left_out_and_a_told_zero_is_kept(sandbox: Sandbox) -> None:
    def spoil(body: Any) -> Any:
        if isinstance(body, dict) and body.get("id") == "1":
            tron, bsc = body["chainBalances"]["Tron"]["tokens"], body["chainBalances"]["BSC"]["tokens"]
            tron[-1]["circulating"] = 0
            bsc[-1]["circulating"] = {"peggedUSD": 0}
        return body

    rows = _fetched(sandbox, SUPPLIES, spoiled=spoil).rows.filter(
        (pl.col("stablecoin_id") == "1") & (pl.col("observed_at_utc") == NOW)
    )
    assert dict(rows.select("supply_chain", "circulating_base").rows())["bsc"] == 0.0
    assert "tron" not in set(rows["supply_chain"])


def test_parts_of_an_exchange_that_stand_among_its_chains_are_not_counted_twice() -> None:
    point = {"date": 1_770_000_000, "tokens": {"ETH": Decimal("1.5"), "DUST": Decimal("1E-7")}}
    rows = list(reserve_rows({"Ethereum": {"tokens": [point], "tokensInUsd": []}}))
    assert [(r["held_symbol"], r["balance_raw"], r["reported_balance_usd"]) for r in rows] == [
        ("ETH", "1.5", None),
        ("DUST", "0.0000001", None),
    ]


JUNK = (
    None,
    0,
    -1,
    1e300,
    10**400,
    True,
    "",
    "x",
    "\ud800",
    [],
    [[]],
    {},
    {"x": [1]},
    "<b>",
    "2026-03-02",
    1_772_409_600,
)


def _mutated(body: Any, rng: np.random.Generator) -> Any:
    """Put junk in one place of an answer, or take the place out."""
    if not isinstance(body, dict | list) or not body or rng.random() < 0.1:
        return copy.deepcopy(JUNK[int(rng.integers(len(JUNK)))])
    names = list(body) if isinstance(body, dict) else range(len(body))
    name = names[int(rng.integers(len(names)))]
    if rng.random() < 0.1:
        del body[name]
    else:
        body[name] = _mutated(body[name], rng)
    return body


@pytest.mark.trial("defillama_junk")
def test_junk_anywhere_is_an_outage_or_refused_rows(sandbox: Sandbox, trial_count: Callable[..., int]) -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    ends: Counter[str] = Counter()
    for trial in range(trial_count(600, 16)):
        dataset = (SUPPLIES, EXCHANGES)[trial % 2]
        bench = PublisherBench(
            sandbox, "defillama", NOW, spoiled=lambda body: _mutated(body, rng), policy=RetryPolicy(attempts_count=1)
        )
        try:
            rows = bench.client.fetch(dataset, FIRST, LAST).rows
        except SourceOutage as outage:
            ends[outage.code] += 1
            continue
        _, refused = RAW_TABLES[dataset].split(rows, now=NOW)
        ends["refused" if refused.height else "kept"] += 1
    assert ends["venue_error"]
    assert set(ends) <= {"venue_error", "refused", "kept"}
