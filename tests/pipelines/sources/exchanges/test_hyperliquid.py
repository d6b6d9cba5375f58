"""The real ccxt client against the sandbox's Hyperliquid: what lands equals the venue's truth, with and without faults."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from source_doubles import HandClock, PayloadLake

from assets.ports import Capture, SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.door import RetryPolicy
from pipelines.sources.exchanges.hyperliquid import Hyperliquid
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
NOW = datetime(2025, 10, 21, 12, 30)
TODAY = NOW.date()
ASSETS = ("BTC", "ETH", "SOL")

# 2025-10-10 00:00 UTC.
DAY_MS = 1_760_054_400_000

CANDLES, FUNDING, BOOK = "/info/candleSnapshot", "/info/fundingHistory", "/info/l2Book"
CONTEXTS = "/info/metaAndAssetCtxs"


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "hyperliquid")


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _client(
    sandbox: Sandbox, now: datetime = NOW, faults: Faults | None = None, **more: Any
) -> tuple[Hyperliquid, Sandbox, PayloadLake]:
    sandbox.restart(now=now, faults=faults)
    clock, lake = HandClock(now), PayloadLake()
    more = {"universe": ASSETS, "policy": RetryPolicy(attempts_count=4), **more}
    client = Hyperliquid(
        lake,
        clock=clock,
        base_url=sandbox.base_url,
        is_synthetic=True,
        sleep=clock.sleep,
        **more,
    )
    return client, sandbox, lake


Calm = tuple[Hyperliquid, Sandbox, PayloadLake]


@pytest.fixture
def calm(sandbox: Sandbox) -> Calm:
    return _client(sandbox)


def _valid(capture: Capture, dataset: str, now: datetime = NOW) -> pl.DataFrame:
    """Return the rows after validation; none may be refused."""
    table = RAW_TABLES[dataset]
    assert capture.rows.columns == [*table.columns, "row_count"]
    good, rejected = table.split(capture.rows, now=now)
    assert rejected.height == 0
    return good


def _of_asset(rows: pl.DataFrame, asset: str) -> dict[str, np.ndarray]:
    picked = rows.filter(pl.col("asset") == asset)
    return {c: picked[c].to_numpy() for c in picked.columns}


def _ms(values: np.ndarray) -> np.ndarray:
    return values.astype("datetime64[ms]").astype(np.int64)


def _now_ms(now: datetime = NOW) -> int:
    return int(np.datetime64(now, "ms").astype(np.int64))


def _assert_candles(rows: pl.DataFrame, market: VenueMarket, hours: slice, assets: tuple[str, ...] = ASSETS) -> None:
    assert rows["asset"].unique().sort().to_list() == sorted(assets)
    for asset in assets:
        got, want = _of_asset(rows, asset), market.candles(asset)
        assert np.array_equal(_ms(got["interval_start_utc"]), want.start_ms[hours])
        for name in ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base"):
            assert np.array_equal(got[name], getattr(want, name)[hours]), (asset, name)


def _spoiled(path: str, change: Callable[[Any], Any]) -> Faults:
    """Let the sandbox answer a question with what `change` makes of its answer."""
    return Faults(spoiled={path: change})


# -- what lands -------------------------------------------------------------------------------------------------------


def test_instruments_are_the_perpetuals_of_the_universe_under_the_venues_names(sandbox: Sandbox) -> None:
    # The delisted coin stands second in the catalogue: ccxt's ids of these three are 0, 2 and 3.
    client, sandbox, _ = _client(sandbox, universe=("SOL", "MATIC", "BTC", "ETH"))
    capture = client.instruments()
    rows = _valid(capture, "instruments")
    assert capture.rows["venue_symbol"].to_list() == ["SOL", "BTC", "ETH"], "in the universe's order"
    assert rows["venue_symbol"].to_list() == rows["asset"].to_list() == ["BTC", "ETH", "SOL"]
    assert [client._connection()[0].market(f"{a}/USDC:USDC")["id"] for a in ASSETS] == ["0", "2", "3"]
    assert capture.origin_note == "POST /info#metaAndAssetCtxs; not listed here: MATIC"
    assert rows["contract_kind"].unique().to_list() == ["linear"]
    assert rows["quote_asset"].unique().to_list() == rows["settle_asset"].unique().to_list() == ["USDC"]
    assert rows["contract_size_base"].to_list() == [1.0, 1.0, 1.0]
    # Five significant figures, whole numbers always: a step of 1 above 100,000 and of 0.1 above 1,000.
    assert rows["price_tick_quote"].to_list() == [1.0, 0.1, 0.01]
    assert rows["quantity_step_base"].to_list() == [0.001, 0.001, 0.01]
    assert rows["listed_at_utc"].to_list() == [None, None, None]
    assert [s.path for s in sandbox.requests] == ["/info/spotMeta", CONTEXTS], "the catalogue asks for nothing private"


def test_candles_of_the_whole_range_equal_the_venue_and_cost_few_requests(calm: Calm, market: VenueMarket) -> None:
    client, sandbox, lake = calm
    capture = client.candles(FIRST, market.last_day)
    assert [s.path for s in sandbox.requests].count(CANDLES) == 3
    rows = _valid(capture, "candles")
    done = rows.filter(pl.col("interval_end_utc") <= NOW)
    _assert_candles(done, market, slice(0, 31 * 24 + 12))
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    assert running["interval_start_utc"].unique().to_list() == [datetime(2025, 10, 21, 12)]
    half = market.open_candle("ETH", NOW)
    assert half is not None
    assert running.filter(pl.col("asset") == "ETH")["low_quote"].item() == half.low_quote[0]
    assert set(rows["payload_sha256"]) <= set(capture.payloads) <= set(lake.payloads)
    assert rows["price_kind"].unique().to_list() == ["trade"]
    assert capture.origin_note == "POST /info#candleSnapshot"


def test_a_row_names_the_body_it_came_from(calm: Calm) -> None:
    client, _, lake = calm
    rows = client.candles(date(2025, 10, 10)).rows
    for sha, symbol in rows.select("payload_sha256", "venue_symbol").unique().iter_rows():
        assert {r["s"] for r in json.loads(lake.payloads[sha])} == {symbol}


def test_candles_of_one_day_are_its_24_hours(calm: Calm, market: VenueMarket) -> None:
    _assert_candles(_valid(calm[0].candles(date(2025, 10, 10)), "candles"), market, slice(20 * 24, 21 * 24))


def test_the_prices_are_the_venues_own_and_not_another_venues(world: World, market: VenueMarket) -> None:
    assert all(not np.array_equal(world.candles(a).close_quote, market.candles(a).close_quote) for a in ASSETS)


def test_days_one_by_one_and_the_range_land_the_same_rows(calm: Calm) -> None:
    client = calm[0]
    first, last = date(2025, 10, 8), date(2025, 10, 12)
    days = [first + timedelta(days=i) for i in range(5)]
    for name in ("candles", "funding_rates"):
        fetch = getattr(client, name)
        whole = _valid(fetch(first, last), name).drop("payload_sha256")
        single = pl.concat([_valid(fetch(day), name) for day in days]).drop("payload_sha256")
        assert single.sort(RAW_TABLES[name].grain).equals(whole.sort(RAW_TABLES[name].grain))


def test_funding_is_hourly_and_equals_the_venue_at_its_own_instants(calm: Calm, market: VenueMarket) -> None:
    client, sandbox, _ = calm
    rows = _valid(client.funding_rates(FIRST, market.last_day), "funding_rates")
    for asset in ASSETS:
        got, want = _of_asset(rows, asset), market.funding(asset)
        known = want.settled_ms <= _now_ms()
        assert known.sum() == 31 * 24 + 13, "more than the 500 of one page"
        assert np.array_equal(_ms(got["occurred_at_utc"]), want.settled_ms[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])
    assert [s.path for s in sandbox.requests].count(FUNDING) <= 4 * len(ASSETS)


def test_open_interest_is_one_row_per_contract_as_of_our_clock(sandbox: Sandbox, market: VenueMarket) -> None:
    now = NOW + timedelta(microseconds=1_234_567)
    client, sandbox, lake = _client(sandbox, now=now)
    capture = client.open_interest(TODAY)
    rows = _valid(capture, "open_interest", now)
    assert rows["asset"].to_list() == list(ASSETS)
    assert rows["occurred_at_utc"].unique().to_list() == [datetime(2025, 10, 21, 12, 30, 1, 234_000)]
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    assert rows["open_interest_usd"].to_list() == [None, None, None]
    for asset in ASSETS:
        want = market.open_interest(asset)
        hour = int(want.at_ms.searchsorted(_now_ms(), side="right")) - 1
        assert rows.filter(pl.col("asset") == asset)["open_interest_base"].item() == want.open_interest_base[hour]
    assert rows["payload_sha256"].unique().to_list() == list(capture.payloads)
    assert set(capture.payloads) <= set(lake.payloads)
    assert [s.path for s in sandbox.requests].count(CONTEXTS) == 2, "once as the catalogue, once for the figures"


def test_open_interest_is_asked_for_anew_and_moves_with_the_market(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox, universe=("SOL",))
    seen = [client.open_interest(TODAY).rows["open_interest_base"].item()]
    sandbox.now = client._clock.instant = NOW + timedelta(hours=3)  # type: ignore[attr-defined]  # the double's own
    seen.append(client.open_interest(TODAY).rows["open_interest_base"].item())
    assert seen[0] != seen[1]


def test_open_interest_has_no_history_and_says_so(calm: Calm) -> None:
    client, sandbox, _ = calm
    assert client.first_offered_day("open_interest") == client.first_offered_day("depth_bands") == TODAY
    for last in (None, TODAY):
        with pytest.raises(SourceOutage, match="as of now only: 2025-10-20 is before 2025-10-21") as caught:
            client.open_interest(date(2025, 10, 20), last)
        assert caught.value.code == "not_offered"
    assert sandbox.requests == []


def test_open_interest_of_a_day_to_come_is_empty_and_the_range_from_today_is_now(calm: Calm) -> None:
    client = calm[0]
    assert client.open_interest(date(2025, 10, 22)).rows.height == 0
    assert _valid(client.open_interest(TODAY, date(2025, 10, 25)), "open_interest").height == 3
    with pytest.raises(ValueError, match="first day first"):
        client.open_interest(TODAY, date(2025, 10, 20))


def test_open_interest_of_a_day_that_ends_while_the_venue_is_asked_does_not_land_on_the_next(sandbox: Sandbox) -> None:
    late = datetime(2025, 10, 20, 23, 59, 59)
    # The wait for the failed first answer carries the clock past midnight.
    faults = Faults((Fault("error", first=2, path=CONTEXTS),))
    client, _, _ = _client(sandbox, now=late, faults=faults, policy=RetryPolicy(attempts_count=2, first_wait_s=5.0))
    client.instruments()
    with pytest.raises(SourceOutage) as caught:
        client.open_interest(late.date())
    assert caught.value.code == "not_offered"


def test_books_reach_twenty_levels_and_wider_bands_are_missing(calm: Calm, market: VenueMarket) -> None:
    rows = _valid(calm[0].depth_bands(), "depth_bands")
    assert rows.height == 3 * len(BANDS_BPS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    for asset in ASSETS:
        book, got = market.book(asset, NOW), rows.filter(pl.col("asset") == asset)
        assert got["mid_quote"].unique().to_list() == [pytest.approx(book.mid_quote, rel=1e-12)]
        for band, bid, ask in got.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
            for side, depth in ((book.bids[:20], bid), (book.asks[:20], ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    assert away.max() < band
                else:
                    assert away.max() >= band - 1e-6
                    assert depth == pytest.approx(side[away <= band + 1e-6, 1].sum(), rel=1e-12)
    reached = rows.filter(pl.col("bid_depth_base").is_not_null()).select("asset", "band_bps").rows()
    assert reached == [("SOL", 10.0)], "twenty steps of a coarse one; of BTC and ETH they are less than 10 bps"


def test_bands_that_the_levels_reach_are_summed_by_side_in_base_units(sandbox: Sandbox) -> None:
    def wide(book: dict[str, Any]) -> dict[str, Any]:
        bids = [{"px": f"{100 - step}", "sz": "2", "n": 1} for step in (0.25, 1, 3)]
        asks = [{"px": f"{100 + step}", "sz": "0.5", "n": 1} for step in (0.25, 2)]
        return {**book, "levels": [bids, asks]}

    client, _, _ = _client(sandbox, faults=_spoiled(BOOK, wide), universe=("SOL",))
    rows = _valid(client.depth_bands(), "depth_bands")
    got = {band: (bid, ask) for band, bid, ask in rows.select("band_bps", "bid_depth_base", "ask_depth_base").rows()}
    assert got == {
        10.0: (0.0, 0.0),
        25.0: (2.0, 0.5),
        50.0: (2.0, 0.5),
        100.0: (4.0, 0.5),
        200.0: (4.0, 1.0),
        300.0: (6.0, None),
        400.0: (None, None),
        500.0: (None, None),
    }
    assert rows["mid_quote"].unique().to_list() == [100.0]


# -- the venue's memory -----------------------------------------------------------------------------------------------


@pytest.mark.fast
@pytest.mark.parametrize(
    ("now", "first"),
    [
        # 5,000 hours are 208 days and 8 hours.
        (datetime(2025, 10, 21, 7, 55), date(2025, 3, 27)),
        (datetime(2025, 10, 21, 7, 56), date(2025, 3, 28)),
        (datetime(2025, 10, 21, 8, 0), date(2025, 3, 28)),
        (datetime(2025, 10, 21, 12, 30), date(2025, 3, 28)),
    ],
)
def test_candles_are_offered_for_5000_hours(now: datetime, first: date) -> None:
    client = Hyperliquid(PayloadLake(), clock=HandClock(now), universe=ASSETS, is_synthetic=False)
    assert client.first_offered_day("candles") == first
    assert client.first_offered_day("funding_rates") is None
    with pytest.raises(SourceOutage, match=f"since {first}") as caught:
        client.candles(first - timedelta(days=1))
    assert caught.value.code == "not_offered"


@pytest.fixture(scope="module")
def long_sandbox() -> Iterator[Sandbox]:
    """A market that is older than the venue's memory."""
    with serve(World(7, date(2025, 3, 20), 216, assets=("SOL",)), now=NOW) as running:
        yield running


@pytest.mark.parametrize("now", [datetime(2025, 10, 21, 7, 55), NOW])
@pytest.mark.parametrize("hole", [0, 2])
def test_the_first_offered_day_is_answered_at_the_edge_of_the_memory(
    long_sandbox: Sandbox, now: datetime, hole: int
) -> None:
    first = Hyperliquid(PayloadLake(), clock=HandClock(now), universe=("SOL",), is_synthetic=False).first_offered_day(
        "candles"
    )
    assert first is not None
    start = _now_ms(datetime(first.year, first.month, first.day))
    faults = _spoiled(CANDLES, lambda rows: [r for r in rows if not start <= r["t"] < start + hole * 3_600_000])
    client, sandbox, _ = _client(long_sandbox, now=now, faults=faults, universe=("SOL",))
    if hole and now != NOW:
        # The first hours are the oldest that exist: nothing from before shows that they were not cut off.
        with pytest.raises(SourceOutage, match="may have been moved"):
            client.candles(first)
        return
    assert client.candles(first).rows["interval_start_utc"].dt.hour().to_list() == list(range(hole, 24))
    assert client.candles(first, TODAY).rows.height == (TODAY - first).days * 24 + now.hour + 1 - hole
    asked = [s.query["req"]["startTime"] for s in sandbox.requests if s.path == CANDLES]
    assert min(asked) >= _now_ms(now) - 5_000 * 3_600_000, "what is forgotten is not asked for"


# -- pages and faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 7, 24, 25])
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    limits = {"candles": limit, "funding_rates": limit}
    days = (date(2025, 10, 9), date(2025, 10, 11))
    client, sandbox, _ = _client(sandbox, universe=("SOL",), page_limits=limits)
    _assert_candles(_valid(client.candles(*days), "candles"), market, slice(19 * 24, 22 * 24), ("SOL",))
    funding = _valid(client.funding_rates(*days), "funding_rates")
    assert _ms(funding["occurred_at_utc"].to_numpy()).tolist() == market.funding("SOL").settled_ms[456:528].tolist()
    assert len(sandbox.requests) > 72 // limit


def test_a_venue_that_silently_caps_and_shortens_its_pages_still_gives_everything(
    sandbox: Sandbox, market: VenueMarket
) -> None:
    faults = Faults(tuple(Fault("short_page", first=n) for n in (3, 4, 6, 9)), page_cap_count=31)
    days = (date(2025, 10, 1), date(2025, 10, 12))
    client, _, _ = _client(sandbox, faults=faults, universe=("BTC", "SOL"))
    _assert_candles(_valid(client.candles(*days), "candles"), market, slice(264, 552), ("BTC", "SOL"))
    assert _valid(client.funding_rates(*days), "funding_rates").height == 2 * 288


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json", "rate_limited"])
def test_passing_faults_do_not_change_what_lands(sandbox: Sandbox, market: VenueMarket, kind: Any) -> None:
    # Both questions of the catalogue and the first page are hit; the catalogue is asked for from its start again.
    faults = Faults(tuple(Fault(kind, first=n, retry_after_s=2) for n in (1, 3, 6)))
    client, sandbox, lake = _client(sandbox, faults=faults)
    capture = client.candles(date(2025, 10, 10), date(2025, 10, 11))
    _assert_candles(_valid(capture, "candles"), market, slice(480, 528))
    assert len(sandbox.requests) == len(lake.requests) == 9


@pytest.mark.parametrize("retry_after_s", [None, 3])
def test_a_429_that_says_null_is_waited_out(sandbox: Sandbox, retry_after_s: int | None) -> None:
    faults = Faults((Fault("rate_limited", path=FUNDING, retry_after_s=retry_after_s),))
    client, _, lake = _client(sandbox, faults=faults, universe=("SOL",))
    assert client.funding_rates(date(2025, 10, 10)).rows.height == 24
    assert client._clock.slept == [retry_after_s or 60.0]  # type: ignore[attr-defined]  # the double's own
    assert b"null" in lake.payloads.values()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("error", "venue_error"),
        ("torn", "venue_error"),
        ("page_not_json", "venue_error"),
        ("banned", "banned"),
        ("forbidden", "banned"),
        ("geoblocked", "geoblocked"),
        ("rate_limited", "rate_limited"),
    ],
)
@pytest.mark.parametrize("method", ["probe", "instruments", "candles", "funding_rates", "open_interest", "depth_bands"])
def test_lasting_faults_are_outages_with_their_code(sandbox: Sandbox, kind: Any, code: str, method: str) -> None:
    client, _, _ = _client(sandbox, faults=Faults((Fault(kind, times=99),)), universe=("SOL",))
    with pytest.raises(SourceOutage) as caught:
        getattr(client, method)(*([TODAY] if method in ("candles", "funding_rates", "open_interest") else []))
    assert caught.value.code == code
    assert len(str(caught.value).splitlines()) == 1


def test_a_fault_aims_at_one_question_and_the_others_answer(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, faults=Faults((Fault("error", times=99, path=BOOK),)), universe=("SOL",))
    assert client.candles(date(2025, 10, 10)).rows.height == 24
    with pytest.raises(SourceOutage) as caught:
        client.depth_bands()
    assert caught.value.code == "venue_error"


def test_a_host_that_does_not_answer_is_unreachable(world: World) -> None:
    with serve(world, now=NOW) as gone:
        client, _, _ = _client(gone, policy=RetryPolicy(attempts_count=2))
    with pytest.raises(SourceOutage) as caught:
        client.probe()
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize(
    ("said", "code"),
    [("Too many cumulative requests sent (2 > 1)", "rate_limited"), ("something else", "venue_error")],
)
def test_an_error_inside_a_200_is_an_outage(sandbox: Sandbox, said: str, code: str) -> None:
    faults = _spoiled(FUNDING, lambda _: {"status": "err", "response": said})
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage) as caught:
        client.funding_rates(date(2025, 10, 10))
    assert caught.value.code == code


def test_a_torn_catalogue_is_not_an_empty_one(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, faults=Faults((Fault("torn", times=4, path=CONTEXTS),)))
    with pytest.raises(SourceOutage):
        client.instruments()
    assert client.instruments().rows.height == 3


def test_an_empty_catalogue_is_a_venue_error(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, faults=_spoiled(CONTEXTS, lambda _: [{"universe": []}, []]))
    with pytest.raises(SourceOutage, match=r"no contract at all \(POST /info#metaAndAssetCtxs\)") as caught:
        client.instruments()
    assert caught.value.code == "venue_error"


def test_the_catalogue_is_loaded_once_a_day(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    for _ in range(2):
        client.instruments()
        client.depth_bands()
    assert [s.path for s in sandbox.requests].count(CONTEXTS) == 1
    client._clock.instant += timedelta(days=1)  # type: ignore[attr-defined]  # the double's own
    client.instruments()
    assert [s.path for s in sandbox.requests].count(CONTEXTS) == 2


def test_an_asset_that_is_not_listed_is_named_and_has_no_row(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, universe=("SOL", "MATIC"))
    captures = client.instruments(), client.candles(date(2025, 10, 10)), client.open_interest(TODAY)
    for capture in (*captures, client.depth_bands()):
        assert capture.rows["asset"].unique().to_list() == ["SOL"]
        assert "not listed here: MATIC" in capture.origin_note


def test_a_day_that_has_not_begun_is_empty(calm: Calm) -> None:
    assert calm[0].candles(date(2025, 12, 1)).rows.height == 0
    assert calm[0].funding_rates(date(2025, 12, 1)).rows.height == 0


# -- addresses --------------------------------------------------------------------------------------------------------


def test_with_a_base_url_no_address_of_the_venue_is_left(calm: Calm) -> None:
    exchange, _ = calm[0]._connection()
    assert set(exchange.urls["api"].values()) == {calm[1].base_url}


def test_the_real_venue_is_asked_under_ccxts_rate_limit() -> None:
    client = Hyperliquid(PayloadLake(), clock=HandClock(NOW), universe=ASSETS, is_synthetic=False)
    exchange, _ = client._connection()
    assert exchange.enableRateLimit
    assert exchange.implode_hostname(exchange.urls["api"]["public"]) == client.origin
    assert exchange.options["fetchMarkets"]["types"] == ["swap"]


# -- answers of another shape -----------------------------------------------------------------------------------------


def _bad(**changed: Any) -> dict[str, Any]:
    return {"t": DAY_MS, "s": "SOL", "o": "1", "h": "1", "l": "1", "c": "1", "v": "1", "n": 1, **changed}


_BAD_CANDLES: dict[str, Any] = {
    "a null time": _bad(t=None),
    "seconds": _bad(t=DAY_MS // 1_000),
    "microseconds": _bad(t=DAY_MS * 1_000),
    "a text time": _bad(t="yesterday"),
    "a fraction of a time": _bad(t=DAY_MS + 0.5),
    "a list": [DAY_MS, "1", "1", "1", "1", "1"],
    "a number": 5,
    "nothing": None,
    "an empty object": {},
    "only a time": {"t": DAY_MS},
    "a text price": _bad(o="n/a"),
    "a null price": _bad(o=None),
    "not a number": _bad(o="NaN"),
    "infinity": _bad(h="inf"),
    "an underscore": _bad(o="1_000"),
    "a boolean": _bad(o=True),
    "a list price": _bad(o=["1"]),
    "a zero price": _bad(o="0", l="0"),
    "a negative price": _bad(l="-1"),
    "a negative volume": _bad(v="-1"),
    "high below low": _bad(l="2"),
    "not on the hour": _bad(t=DAY_MS + 1),
}


@pytest.mark.parametrize("bad", list(_BAD_CANDLES.values()), ids=list(_BAD_CANDLES))
def test_a_malformed_candle_is_kept_for_quarantine_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _spoiled(CANDLES, lambda rows: [bad if r["t"] == DAY_MS else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    capture = client.candles(date(2025, 10, 10))
    good, rejected = RAW_TABLES["candles"].split(capture.rows, now=NOW)
    assert good["interval_start_utc"].to_list() == [datetime(2025, 10, 10, h) for h in range(1, 24)]
    assert rejected.height == 1
    assert rejected["reason"].item()


@pytest.mark.parametrize("rate", [None, "n/a", "NaN", "inf", True, ["0.1"], "1.5"])
def test_a_malformed_rate_is_kept_for_quarantine_and_costs_no_other(sandbox: Sandbox, rate: Any) -> None:
    faults = _spoiled(
        FUNDING, lambda rows: [{**r, "fundingRate": rate} if r["time"] // 3_600_000 % 24 == 5 else r for r in rows]
    )
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    good, rejected = RAW_TABLES["funding_rates"].split(client.funding_rates(date(2025, 10, 10)).rows, now=NOW)
    assert good["occurred_at_utc"].dt.hour().to_list() == [h for h in range(24) if h != 5]
    assert rejected.height == 1


@pytest.mark.parametrize("figure", [None, "n/a", "NaN", "inf", "-1", True, {}, "absent"])
def test_a_malformed_open_interest_is_kept_for_quarantine_and_is_never_zero(sandbox: Sandbox, figure: Any) -> None:
    def change(answer: Any) -> Any:
        answer = copy.deepcopy(answer)
        if figure == "absent":
            del answer[1][0]["openInterest"]
        else:
            answer[1][0]["openInterest"] = figure
        return answer

    client, _, _ = _client(sandbox, faults=_spoiled(CONTEXTS, change))
    good, rejected = RAW_TABLES["open_interest"].split(client.open_interest(TODAY).rows, now=NOW)
    assert good["asset"].to_list() == ["ETH", "SOL"]
    assert (rejected.height, rejected["reason"].null_count()) == (1, 0)


def test_a_contract_that_leaves_the_answer_is_refused_with_a_reason_and_costs_no_other(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    client.instruments()
    gone = _spoiled(CONTEXTS, lambda a: [{**a[0], "universe": a[0]["universe"][1:]}, a[1][1:]])
    sandbox.restart(faults=gone)
    capture = client.open_interest(TODAY)
    good, rejected = RAW_TABLES["open_interest"].split(capture.rows, now=NOW)
    assert (good["asset"].to_list(), rejected["reason"].to_list()) == (["ETH", "SOL"], ["no_open_interest_figure"])


_SHAPES: list[Any] = [{"rows": []}, {}, "x", 5, None, [1]]


@pytest.mark.parametrize("answer", [*_SHAPES, [{"universe": [{"name": "SOL"}]}, []], [{"universe": 1}, []], [{}, {}]])
def test_open_interest_of_another_shape_is_a_venue_error(sandbox: Sandbox, answer: Any) -> None:
    client, sandbox, _ = _client(sandbox, universe=("SOL",))
    client.instruments()
    sandbox.restart(faults=_spoiled(CONTEXTS, lambda _: answer))
    with pytest.raises(SourceOutage) as caught:
        client.open_interest(TODAY)
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("answer", _SHAPES[:-1])
@pytest.mark.parametrize(("path", "method"), [(CANDLES, "candles"), (FUNDING, "funding_rates")])
def test_an_answer_that_is_no_list_is_a_venue_error(sandbox: Sandbox, path: str, method: str, answer: Any) -> None:
    client, _, _ = _client(sandbox, faults=_spoiled(path, lambda _: answer), universe=("SOL",))
    with pytest.raises(SourceOutage) as caught:
        getattr(client, method)(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    ("path", "method", "change"),
    [
        (CANDLES, "candles", lambda rows: [{**r, "s": "ETH"} for r in rows]),
        (FUNDING, "funding_rates", lambda rows: [{**r, "coin": "ETH"} for r in rows]),
        (BOOK, "depth_bands", lambda book: {**book, "coin": "ETH"}),
    ],
)
def test_an_answer_about_another_symbol_is_a_venue_error(
    sandbox: Sandbox, path: str, method: str, change: Callable[[Any], Any]
) -> None:
    client, _, _ = _client(sandbox, faults=_spoiled(path, change), universe=("SOL",))
    with pytest.raises(SourceOutage, match="another symbol") as caught:
        getattr(client, method)(*([] if method == "depth_bands" else [date(2025, 10, 10)]))
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(
    "change",
    [
        lambda levels: [[], levels[1]],
        lambda levels: [levels[0], None],
        lambda levels: [levels[1], levels[0]],
        lambda levels: [[{"px": "x", "sz": "1", "n": 1}], levels[1]],
        lambda levels: [[{"px": "1"}], levels[1]],
        lambda levels: [[["1", "1"]], levels[1]],
        lambda levels: [[{"px": "NaN", "sz": "1"}], levels[1]],
        lambda levels: [[{"px": "0", "sz": "1"}], levels[1]],
        lambda levels: [[{"px": "1", "sz": "-1"}], levels[1]],
        lambda levels: levels[:1],
        lambda levels: 7,
    ],
)
def test_a_book_that_cannot_be_summed_is_refused_with_a_reason_and_never_zero(
    sandbox: Sandbox, change: Callable[[Any], Any]
) -> None:
    faults = _spoiled(BOOK, lambda book: {**book, "levels": change(book["levels"])} if book["coin"] == "SOL" else book)
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL", "ETH"))
    capture = client.depth_bands()
    good, rejected = RAW_TABLES["depth_bands"].split(capture.rows, now=NOW)
    assert good["asset"].unique().to_list() == ["ETH"]
    assert rejected["reason"].unique().to_list() == ["missing_value"]
    assert "SOL: " in capture.origin_note


@pytest.mark.parametrize("clock", [None, "now", DAY_MS // 1_000, math.pi])
def test_a_book_without_a_readable_clock_is_refused_with_a_reason(sandbox: Sandbox, clock: Any) -> None:
    client, _, _ = _client(sandbox, faults=_spoiled(BOOK, lambda b: {**b, "time": clock}), universe=("SOL",))
    good, rejected = RAW_TABLES["depth_bands"].split(client.depth_bands().rows, now=NOW)
    assert (good.height, rejected.height) == (0, len(BANDS_BPS))


def test_a_moved_start_is_a_venue_error_and_not_a_gap(sandbox: Sandbox) -> None:
    kept = DAY_MS + 6 * 3_600_000
    client, _, _ = _client(
        sandbox, faults=_spoiled(CANDLES, lambda rows: [r for r in rows if r["t"] >= kept]), universe=("SOL",)
    )
    with pytest.raises(SourceOutage, match="may have been moved") as caught:
        client.candles(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


def test_a_hole_of_the_venue_stays_a_hole(sandbox: Sandbox) -> None:
    faults = _spoiled(CANDLES, lambda rows: [r for r in rows if r["t"] % 86_400_000 not in (0, 18_000_000)])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    rows = _valid(client.candles(date(2025, 10, 10)), "candles")
    assert rows["interval_start_utc"].dt.hour().to_list() == [h for h in range(24) if h not in (0, 5)]
