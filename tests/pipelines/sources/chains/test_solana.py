"""Kamino over providers that lag, prune, lose slots, cut pages and leave transactions out: what lands is the chain, or an outage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from solana_doubles import VENUE, client, cluster, market, source

from assets.lake.transform import batches_of
from assets.ports import Capture, FinalityBroken, SourceOutage
from pipelines.sandbox.evm_node import serve_node
from pipelines.sandbox.kamino_market import FRACTION, Market, base58, named_key, unbase58
from pipelines.sandbox.solana_node import Cluster, SolanaFaults, SolanaNode
from pipelines.sources.chains import solana
from pipelines.sources.chains.kamino_layout import account_length, base58_of, bytes_of, decoded, discriminator
from pipelines.sources.chains.solana_provider import http_solana_node

# The cluster begins at 23:00 on 2026-02-01 and has 288 slots of ten minutes.
DAY, NEXT, END = date(2026, 2, 2), date(2026, 2, 3), datetime(2026, 2, 3, 23)
NOW = datetime(2026, 11, 23, 12)


@pytest.fixture(scope="module")
def chain() -> Cluster:
    return cluster()


def good(capture: Capture, dataset: str, days: list[date]) -> pl.DataFrame:
    """Return the rows that land, all of them."""
    batches = batches_of(capture, dataset=dataset, venue=VENUE, source="rpc", days=days, now=NOW, is_synthetic=True)
    assert [b.rejected.to_dicts() for b in batches if b.rejected.height] == []
    return pl.concat([b.rows for b in batches])


def _calls(chain: Cluster) -> list[tuple[Any, ...]]:
    """Return every liquidation that happened: slot, signature, obligation, amounts."""
    return sorted(
        (
            slot,
            signature,
            done.obligation,
            str(done.claims if done.is_claims else done.received - done.fee),
            str(done.paid),
            done.liquidator,
            done.is_claims,
        )
        for slot, signature, done in chain.liquidations
    )


def _told(rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    names = ("block_height", "transaction_hash", "user_address", "collateral_seized_raw", "debt_repaid_raw")
    return sorted(rows.select(*names, "liquidator_address", "is_atoken_received").iter_rows())


# -- liquidations


def test_every_liquidation_lands_with_its_amounts(chain: Cluster) -> None:
    two = source(SolanaNode(chain), SolanaNode(chain))
    rows = good(two.liquidations_of(DAY, NEXT, now=END), "lending_liquidations", [DAY, NEXT])
    assert _told(rows) == _calls(chain)
    assert rows.height == 4
    assert set(rows["verified_by"]) == {"providers"}
    assert set(rows["chain"]) == {"solana"}
    assert {chain.hash_of(s) for s in rows["block_height"]} == set(rows["block_hash"])
    by_symbol = dict(rows.select("collateral_symbol", "collateral_decimals_count").iter_rows())
    assert by_symbol == {"SOL": 9, "USDC": 6, "claim on cbBTC": 8}


def test_a_day_is_found_by_its_slots(chain: Cluster) -> None:
    one = source(SolanaNode(chain))
    days = [good(one.liquidations_of(d, now=END), "lending_liquidations", [d]) for d in (DAY, NEXT)]
    assert [d.height for d in days] == [3, 1]
    assert set(days[0]["occurred_at_utc"].dt.date()) == {DAY}
    assert set(days[0]["verified_by"]) == {"unverified"}


@pytest.mark.parametrize("page_cap", [1, 2, 3])
def test_short_pages_are_read_to_the_end(chain: Cluster, page_cap: int) -> None:
    one = source(SolanaNode(chain, SolanaFaults(page_cap=page_cap)))
    assert _told(good(one.liquidations_of(DAY, NEXT, now=END), "lending_liquidations", [DAY, NEXT])) == _calls(chain)


def test_what_one_provider_leaves_out_the_other_tells_and_nothing_is_called_verified(chain: Cluster) -> None:
    omitted = {signature for _, signature, _ in chain.liquidations[:2]}
    short = SolanaNode(chain, SolanaFaults(omitted=omitted))
    both = source(short, SolanaNode(chain))
    rows = good(both.liquidations_of(DAY, NEXT, now=END), "lending_liquidations", [DAY, NEXT])
    assert _told(rows) == _calls(chain)
    assert set(rows["verified_by"]) == {"unverified"}
    alone = source(short).liquidations_of(DAY, NEXT, now=END).rows
    assert (alone.height, set(alone["verified_by"])) == (2, {"unverified"})


@pytest.mark.trial("solana_omissions")
def test_nothing_that_is_short_is_called_verified(chain: Cluster, trial_count: Callable[..., int]) -> None:
    """One of two providers, or the only one, lies at random: what lands is the chain, or an outage, or not verified."""
    named = [signature for _, signature, _ in chain.liquidations]
    wanted = _calls(chain)
    outages = short = 0
    for seed in range(trial_count(500, 30)):
        rng = np.random.default_rng(seed)
        faults = SolanaFaults(
            omitted={s for s in named if rng.random() < 0.3},
            lost_slots={s for s in chain.blocks if rng.random() < 0.002} if rng.random() < 0.5 else set(),
            lost_transactions={s for s in named if rng.random() < 0.1},
            page_cap=int(rng.integers(1, 6)) if rng.random() < 0.5 else None,
            lag_slots=int(rng.integers(0, 3)) if rng.random() < 0.3 else 0,
        )
        nodes = [SolanaNode(chain, faults), SolanaNode(chain)][: int(rng.integers(1, 3))]
        try:
            rows = source(*nodes).liquidations_of(DAY, NEXT, now=END).rows
        except SourceOutage:
            outages += 1
            continue
        told = _told(rows)
        assert set(told) <= set(wanted)
        if told != wanted:
            short += 1
            assert set(rows["verified_by"]) <= {"unverified"}, seed
    assert outages
    assert short


def test_a_lost_slot_is_an_outage_and_a_skipped_one_is_not(chain: Cluster) -> None:
    with_calls = sorted({slot for slot, _, _ in chain.liquidations})
    skipped = set(range(chain.first_slot, chain.slot)) - set(chain.blocks)
    assert skipped, "the cluster skips slots"
    before_the_day = max(s for s in chain.blocks if chain.at_s(s) < datetime(2026, 2, 2, tzinfo=UTC).timestamp())
    for lost in (
        {with_calls[0]},
        {with_calls[-1]},
        {1_100, 1_101, 1_102},
        {before_the_day},
    ):
        with pytest.raises(SourceOutage, match="and the chain has") as caught:
            source(SolanaNode(chain, SolanaFaults(lost_slots=lost & set(chain.blocks)))).liquidations_of(
                DAY, NEXT, now=END
            )
        assert (caught.value.code, caught.value.cause) == ("venue_error", "unexplained_gap")


def test_a_listed_transaction_that_is_gone_is_an_outage(chain: Cluster) -> None:
    lost = SolanaFaults(lost_transactions={chain.liquidations[0][1]})
    with pytest.raises(SourceOutage, match="does not have it") as caught:
        source(SolanaNode(chain, lost)).liquidations_of(DAY, NEXT, now=END)
    assert caught.value.code == "pruned"
    # Another provider has it.
    both = source(SolanaNode(chain, lost), SolanaNode(chain))
    assert both.liquidations_of(DAY, NEXT, now=END).rows.height == 4


def test_pruned_history_is_an_outage(chain: Cluster) -> None:
    first_of_next = min(s for s in chain.blocks if chain.at_s(s) >= datetime(2026, 2, 3, tzinfo=UTC).timestamp())
    for pruned in (1_050, first_of_next):
        with pytest.raises(SourceOutage) as caught:
            source(SolanaNode(chain, SolanaFaults(pruned_before=pruned))).liquidations_of(DAY, now=END)
        assert caught.value.code == "pruned"
    second = SolanaNode(chain, SolanaFaults(pruned_before=1_050))
    with pytest.raises(SourceOutage, match="provider 2") as caught:
        source(SolanaNode(chain), second).liquidations_of(DAY, now=END)
    assert caught.value.code == "pruned"
    late = source(SolanaNode(chain, SolanaFaults(pruned_before=1_140)))
    assert late.liquidations_of(NEXT, now=END).rows.height == 1


def test_silence_behind_the_clock_is_an_outage(chain: Cluster) -> None:
    with pytest.raises(SourceOutage, match="the newest final slot") as caught:
        source(SolanaNode(chain, SolanaFaults(lag_slots=40))).liquidations_of(NEXT, now=END)
    assert caught.value.code == "lagging"
    # A day that ended before the lag began is whole.
    assert source(SolanaNode(chain, SolanaFaults(lag_slots=40))).liquidations_of(DAY, now=END).rows.height == 3


def test_a_block_that_cannot_be_had_yet_is_passed_over(chain: Cluster) -> None:
    late = source(SolanaNode(chain, SolanaFaults(late_slots=3)))
    shown = max(s for s in chain.blocks if s <= SolanaNode(chain).slot - 3)
    assert set(late.positions().rows["block_height"]) == {shown}
    assert late.liquidations_of(DAY, now=END).rows.height == 3
    with pytest.raises(SourceOutage, match="shows no block") as caught:
        source(SolanaNode(chain, SolanaFaults(late_slots=100))).reserves()
    assert caught.value.code == "lagging"


def test_instructions_without_depths_are_refused(chain: Cluster) -> None:
    with pytest.raises(SourceOutage, match="another shape"):
        source(SolanaNode(chain, SolanaFaults(has_stack_heights=False))).liquidations_of(DAY, now=END)


def test_a_liquidation_with_other_accounts_is_said(chain: Cluster) -> None:
    made = cluster(5)
    done = made.market.liquidate(1, "SOL", "USDC", liquidator="ann")
    first, *called = made.market.instructions(done)
    made.send([first | {"accounts": first["accounts"][:16]}, *called])
    made.grow(3)
    vault = base58(made.market.reserves["SOL"].key("fees"))
    assert vault in first["accounts"][:16]
    with pytest.raises(SourceOutage, match="16 accounts"):
        source(SolanaNode(made)).liquidations_of(NEXT, now=END)


def test_a_final_block_that_changed_stops(chain: Cluster) -> None:
    one = source(SolanaNode(chain))
    slot = min(chain.blocks)
    one.demand_finality({slot: chain.hash_of(slot)})
    with pytest.raises(FinalityBroken, match="was final as"):
        one.demand_finality({slot: base58(named_key("other"))})


def test_another_cluster_is_refused(chain: Cluster) -> None:
    with pytest.raises(SourceOutage, match="another cluster"):
        source(SolanaNode(chain, genesis=base58(named_key("devnet")))).probe()
    source(SolanaNode(chain)).probe()


# -- snapshots


def test_reserves_are_the_markets(chain: Cluster) -> None:
    rows = good(source(SolanaNode(chain)).reserves(), "lending_reserves", [NEXT])
    by_symbol = {r["token_symbol"]: r for r in rows.iter_rows(named=True)}
    assert set(by_symbol) == set(chain.market.reserves)
    for symbol, r in chain.market.reserves.items():
        row = by_symbol[symbol]
        assert row["token_address"] == base58(r.key("mint"))
        assert (row["supplied_raw"], row["borrowed_raw"]) == (
            str(r.total_sf() // FRACTION),
            str(-(-r.borrowed_sf // FRACTION)),
        )
        assert row["oracle_price_quote"] == pytest.approx(r.price_sf / FRACTION, rel=1e-15)
        assert (row["ltv_frac"], row["liquidation_threshold_frac"]) == (r.ltv_pct / 100, r.threshold_pct / 100)
        assert row["liquidation_bonus_frac"] == r.min_bonus_bps / 10_000
    assert by_symbol["SOL"]["supply_cap_base"] is None
    assert by_symbol["cbBTC"]["supply_cap_base"] == 0
    assert by_symbol["USDC"]["borrow_cap_base"] == 10**9


def test_every_known_obligation_is_found_to_the_last_unit(chain: Cluster) -> None:
    rows = good(source(SolanaNode(chain)).positions(), "lending_positions", [NEXT])
    owing = {base58(o.key): o for o in chain.market.obligations.values() if o.borrows}
    assert set(rows["user_address"]) == set(owing)
    for row in rows.iter_rows(named=True):
        obligation = owing[row["user_address"]]
        held, owed = (
            chain.market.held(obligation, row["token_symbol"]),
            chain.market.owed(obligation, row["token_symbol"]),
        )
        assert (row["supplied_raw"], row["borrowed_raw"]) == (str(held), str(owed))
        cover, debt = _cover_and_debt(chain.market, obligation.number)
        assert row["health_factor_raw"] == str(cover * 10**18 // debt)
        assert row["health_factor_x"] == pytest.approx(float(cover / debt))
    tokens = {(r["user_address"], r["token_symbol"]) for r in rows.iter_rows(named=True)}
    assert tokens == {(a, s) for a, o in owing.items() for s in (*o.deposits, *o.borrows)}


def _cover_and_debt(of: Market, number: int, prices: dict[str, Fraction] | None = None) -> tuple[Fraction, Fraction]:
    """Return collateral at its thresholds and debt after borrow factors, in dollars."""
    obligation, cover, debt = of.obligations[number], Fraction(0), Fraction(0)
    for symbol in {*obligation.deposits, *obligation.borrows}:
        r = of.reserves[symbol]
        price = (prices or {}).get(symbol, Fraction(r.price_sf, FRACTION))
        threshold = of.groups[obligation.group] if obligation.group else r.threshold_pct
        factor = 100 if obligation.group else r.borrow_factor_pct
        cover += Fraction(of.held(obligation, symbol) * threshold, 100 * 10**r.decimals) * price
        debt += Fraction(of.owed(obligation, symbol) * factor, 100 * 10**r.decimals) * price
    return cover, debt


def test_an_obligation_fails_at_its_liquidation_price(chain: Cluster) -> None:
    tried = 0
    numbers = {base58(o.key): n for n, o in chain.market.obligations.items()}
    for row in (
        source(SolanaNode(chain)).positions().rows.drop_nulls("est_liquidation_price_quote").iter_rows(named=True)
    ):
        for shift in (0.999, 1.001):
            price = Fraction(row["est_liquidation_price_quote"] * shift)
            cover, debt = _cover_and_debt(chain.market, numbers[row["user_address"]], {row["token_symbol"]: price})
            falls = int(row["supplied_raw"]) > 0
            assert (cover >= debt) == ((shift > 1) == falls), row
        tried += 1
    assert tried >= 5


def test_an_obligation_in_a_group_that_the_market_lacks_is_said() -> None:
    made = Cluster(1, market())
    made.grow(3)
    made.market.obligations[4].group = 9
    with pytest.raises(SourceOutage, match="elevation group 9"):
        source(SolanaNode(made)).positions()


def test_a_layout_that_changed_is_said(chain: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    node = SolanaNode(chain)
    account = next(iter(chain.market.accounts().values()))
    for wrong in (account + b"\0", account[:-1], b"\0" * 8 + account[8:]):
        with pytest.raises(SourceOutage, match="layout has changed"):
            decoded("LendingMarket", wrong)
    # Accounts of another length match no filter: a market without reserves is said, not shown as empty.
    monkeypatch.setattr(Market, "accounts", lambda self: {b"": account + b"\0"})
    with pytest.raises(SourceOutage, match="shows no reserve"):
        source(node).reserves()


@pytest.mark.trial("solana_bytes")
def test_bytes_that_mean_nothing_are_an_outage_or_judged_rows(
    trial_count: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts of the right length whose bytes are another program's: no other error, no row that a mart could not hold."""
    made = Cluster(1, market())
    made.grow(3)
    true = made.market.accounts()
    one, kinds = source(SolanaNode(made)), {"outage": 0, "rows": 0}
    for seed in range(trial_count(500, 15)):
        rng = np.random.default_rng(seed)
        told = {a: _shaken(rng, data) for a, data in true.items()}
        monkeypatch.setattr(Market, "accounts", lambda self, told=told: told)
        for dataset, ask in (("lending_reserves", one.reserves), ("lending_positions", one.positions)):
            try:
                capture = ask()
            except SourceOutage:
                kinds["outage"] += 1
                continue
            kinds["rows"] += 1
            batches = batches_of(
                capture, dataset=dataset, venue=VENUE, source="rpc", days=[date(2026, 2, 1)], now=NOW, is_synthetic=True
            )
            rows = pl.concat([b.rows for b in batches])
            assert rows.height + sum(b.rejected.height for b in batches) == capture.rows.height
            assert (rows["oracle_price_quote"] <= 1e9).all()
    assert min(kinds.values()) > 0


def _shaken(rng: np.random.Generator, data: bytes) -> bytes:
    """Return an account with some bytes behind its discriminator and its market's address replaced."""
    found = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(72, found.size, int(rng.integers(1, 60)))
    found[places] = rng.integers(0, 256, places.size)
    return found.tobytes()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"", "币安人生".encode(), b"<script>alert(1)</script>", b"=cmd()"])
def test_a_hostile_symbol_is_text(name: bytes) -> None:
    made = Cluster(1, market())
    made.grow(3)
    made.market.reserves["SOL"].name_bytes = name
    symbols = set(good(source(SolanaNode(made)).reserves(), "lending_reserves", [date(2026, 2, 1)])["token_symbol"])
    try:
        assert (name.decode() or "unknown") in symbols
    except UnicodeDecodeError:
        assert "unknown" in symbols


@given(st.integers(0, 2**68 - 1), st.integers(0, 2**60 - 1))
def test_wide_fractions_are_exact(whole: int, part: int) -> None:
    made = market()
    made.reserves["SOL"].borrowed_sf = (whole << 60) + part
    made.reserves["SOL"].fees_sf = (0, 0, 0)
    from pipelines.sources.chains.kamino import reserve_of

    reserve = reserve_of("x", made.accounts()[made.reserves["SOL"].key()])
    assert reserve.row["borrowed_raw"] == str(whole + (part > 0))
    assert reserve.row["supplied_raw"] == str(whole + made.reserves["SOL"].available)


# -- wire


@given(st.binary(max_size=80))
def test_base58_returns_what_went_in(data: bytes) -> None:
    assert bytes_of(base58_of(data)) == data
    assert base58_of(data) == base58(data)
    assert unbase58(base58_of(data)) == data


@pytest.mark.fast
def test_names_and_lengths_are_those_of_the_interface() -> None:
    # Two of the vectors of Kamino's published IDL and of base58's draft.
    assert list(discriminator("global", "init_lending_market")) == [34, 162, 116, 14, 101, 137, 94, 239]
    assert base58_of(b"Hello World!") == "2NEpo7TZRRrLZSi2U"
    assert [account_length(n) for n in ("Obligation", "Reserve", "LendingMarket")] == [3_344, 8_624, 4_664]
    with pytest.raises(ValueError, match="no character of base58"):
        bytes_of("0OIl")


def _answers(status: int, body: bytes) -> solana.SolanaNode:
    return solana.SolanaNode(lambda _: (status, body), "a provider")


@pytest.mark.parametrize(
    ("status", "body", "code", "cause"),
    [
        (200, b"<html>", "venue_error", "not_json"),
        (200, b"[]", "venue_error", "not_json"),
        (200, b"{}", "venue_error", "venue_error"),
        (429, b"slow down", "rate_limited", "rate_limited"),
        (418, b"", "banned", "banned"),
        (451, b"", "geoblocked", "geoblocked"),
        (502, b"", "venue_error", "venue_error"),
        (200, b'{"error": {"code": -32601, "message": "https://key.example/v1/SECRET"}}', "venue_error", "venue_error"),
        (200, b'{"error": {"code": -32016}}', "lagging", "lagging"),
        (200, b'{"error": {"code": -32001}}', "pruned", "pruned"),
        (200, b'{"error": "no"}', "venue_error", "venue_error"),
        (200, b'{"result": {"parentSlot": "x"}}', "venue_error", "wrong_shape"),
    ],
)
def test_refusals_are_told_apart(status: int, body: bytes, code: str, cause: str) -> None:
    with pytest.raises(SourceOutage) as caught:
        _answers(status, body).block(5)
    assert (caught.value.code, caught.value.cause) == (code, cause)
    assert "SECRET" not in str(caught.value)


def _raises(error: Exception) -> Callable[[bytes], tuple[int, bytes]]:
    def post(_: bytes) -> tuple[int, bytes]:
        raise error

    return post


@pytest.mark.parametrize("kind", [requests.Timeout, requests.ConnectionError, requests.TooManyRedirects, OSError])
def test_what_a_library_says_is_not_passed_on(kind: type[Exception]) -> None:
    with pytest.raises(SourceOutage) as caught:
        solana.SolanaNode(_raises(kind("https://host/SECRET")), "a provider").head()
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_it_is_read_over_http(chain: Cluster) -> None:
    two = source(SolanaNode(chain))
    with serve_node(SolanaNode(chain)) as url:
        two.nodes = (http_solana_node(url, is_local_allowed=True),)
        two.probe()
        assert two.liquidations_of(DAY, now=END).rows.height == 3
    with pytest.raises(ValueError, match="not a public host"):
        http_solana_node(url)


def test_a_method_that_is_not_offered_is_an_outage(chain: Cluster) -> None:
    node = SolanaNode(chain, SolanaFaults(missing_methods={"getProgramAccounts"}))
    with pytest.raises(SourceOutage, match="refused getProgramAccounts"):
        source(node).reserves()


def test_everything_is_asked_as_finalized(chain: Cluster) -> None:
    asked: list[dict[str, Any]] = []
    node = SolanaNode(chain)
    one = source(node)
    inner = client(node)

    def post(body: bytes) -> tuple[int, bytes]:
        asked.append(json.loads(body))
        return inner._post(body)

    one.nodes = (solana.SolanaNode(post, "watched"),)
    one.liquidations_of(DAY, now=END)
    one.positions()
    for request in asked:
        if request["method"] not in ("getGenesisHash", "getFirstAvailableBlock"):
            assert request["params"][-1]["commitment"] == "finalized", request
    assert replace(one.deployment, venue="x").venue == "x"
