"""The real ccxt client against the sandbox's Bybit: what lands equals the market's truth, with and without faults."""

from __future__ import annotations

import json
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
from pipelines.sandbox.venue_market import SHARES, Share, VenueMarket
from pipelines.sandbox.wire_bybit_series import UNLAUNCHED_ASSET
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.door import RetryPolicy
from pipelines.sources.exchanges.bybit import BAN_S, FUNDING_LIMIT, Bybit
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
NOW = datetime(2025, 10, 21, 12, 30)
NOW_MS = int(np.datetime64(NOW, "ms").astype(np.int64))
HOUR_MS = 3_600_000
CRASH_MS = 1_760_054_400_000
ASSETS = ("BTC", "ETH", "SOL")
CATALOGUE, KLINE, FUNDING, OPEN_INTEREST, BOOK = (
    f"/v5/market/{name}" for name in ("instruments-info", "kline", "funding/history", "open-interest", "orderbook")
)

Bundle = tuple[Bybit, Sandbox, PayloadLake]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "bybit")


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _client(sandbox: Sandbox, now: datetime = NOW, faults: Faults | None = None, **more: Any) -> Bundle:
    sandbox.restart(now=now, faults=faults)
    clock, lake = HandClock(now), PayloadLake()
    more = {"universe": ASSETS, "policy": RetryPolicy(attempts_count=4), **more}
    client = Bybit(
        lake,
        clock=clock,
        base_url=sandbox.base_url,
        is_synthetic=True,
        sleep=clock.sleep,
        **more,
    )
    return client, sandbox, lake


@pytest.fixture
def calm(sandbox: Sandbox) -> Bundle:
    return _client(sandbox)


def _spoiled(path: str, change: Callable[[list[Any]], Any]) -> Faults:
    """Let the sandbox answer a path with what `change` makes of its list of records."""
    return Faults(
        spoiled={path: lambda body: {**body, "result": {**body["result"], "list": change(body["result"]["list"])}}}
    )


def _answered(path: str, change: Callable[[Any], Any]) -> Faults:
    """Let the sandbox answer a path with what `change` makes of the whole answer."""
    return Faults(spoiled={path: change})


def _valid(capture: Capture, dataset: str, now: datetime = NOW) -> pl.DataFrame:
    """Return the rows after validation; none may be refused."""
    table = RAW_TABLES[dataset]
    assert capture.rows.columns == [*table.columns, "row_count"]
    good, rejected = table.split(capture.rows, now=now)
    assert rejected.height == 0
    return good


def _linear(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of linear contracts, of candles those of trades; ``test_bybit_inverse.py`` looks at the others."""
    linear = rows.filter(pl.col("venue_symbol").str.ends_with("USDT"))
    return linear.filter(pl.col("price_kind") == "trade") if "price_kind" in rows.columns else linear


def _of_asset(rows: pl.DataFrame, asset: str) -> dict[str, np.ndarray]:
    picked = _linear(rows).filter(pl.col("asset") == asset)
    return {c: picked[c].to_numpy() for c in picked.columns}


def _ms(values: np.ndarray) -> np.ndarray:
    return values.astype("datetime64[ms]").astype(np.int64)


def _assert_candles(rows: pl.DataFrame, market: VenueMarket, hours: slice, assets: tuple[str, ...] = ASSETS) -> None:
    for asset in assets:
        got, want = _of_asset(rows, asset), market.candles(asset)
        assert np.array_equal(_ms(got["interval_start_utc"]), want.start_ms[hours])
        for name in ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base"):
            assert np.array_equal(got[name], getattr(want, name)[hours]), (asset, name)


# -- what lands -------------------------------------------------------------------------------------------------------


def test_instruments_are_the_linear_usdt_perpetuals_of_the_universe_that_trade(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox, universe=(*ASSETS, UNLAUNCHED_ASSET))
    capture = client.instruments()
    rows = _valid(capture, "instruments")
    assert rows["venue_symbol"].to_list() == ["BTCUSD", "BTCUSDT", "ETHUSDT", "SOLUSDT"]
    rows = _linear(rows)
    assert rows["venue"].unique().to_list() == ["bybit"]
    assert rows["venue_symbol"].to_list() == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert rows["contract_kind"].unique().to_list() == ["linear"]
    assert rows["quote_asset"].unique().to_list() == rows["settle_asset"].unique().to_list() == ["USDT"]
    assert rows["contract_size_base"].to_list() == [1.0, 1.0, 1.0]
    assert rows["price_tick_quote"].to_list() == [0.1, 0.01, 0.01]
    assert rows["quantity_step_base"].to_list() == [0.001, 0.001, 0.01]
    assert rows["listed_at_utc"].unique().to_list() == [datetime(2025, 9, 20)]
    assert f"not listed here: {UNLAUNCHED_ASSET}" in capture.origin_note
    assert {s.query["category"] for s in sandbox.requests} == {"linear", "inverse"}


def test_the_instruments_hash_names_the_body_that_lists_them(calm: Bundle) -> None:
    client, sandbox, lake = calm
    rows = client.instruments().rows
    # ccxt asks for contracts before their launch as well, after the others of each category.
    assert [s.query.get("status") for s in sandbox.requests] == [None, "PreLaunch"] * 2
    for symbol, payload in rows.select("venue_symbol", "payload_sha256").iter_rows():
        listed = json.loads(lake.payloads[payload])["result"]["list"]
        assert symbol in {entry["symbol"] for entry in listed}
    assert set(client.instruments().payloads) == set(rows["payload_sha256"])


def test_candles_of_the_whole_range_equal_the_market_and_cost_few_requests(calm: Bundle, market: VenueMarket) -> None:
    client, sandbox, lake = calm
    capture = client.candles(FIRST, market.last_day)
    # The catalogue; one page per contract and kind of price.
    assert len(sandbox.requests) == 4 + 4 * 3
    rows = _valid(capture, "candles")
    _assert_candles(rows.filter(pl.col("interval_end_utc") <= NOW), market, slice(0, 31 * 24 + 12))
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    assert running["interval_start_utc"].unique().to_list() == [datetime(2025, 10, 21, 12)]
    half = market.open_candle("ETH", NOW)
    assert half is not None
    assert _linear(running).filter(pl.col("asset") == "ETH")["low_quote"].item() == half.low_quote[0]
    assert set(rows["payload_sha256"]) <= set(capture.payloads) <= set(lake.payloads)
    assert rows["price_kind"].unique().sort().to_list() == ["index", "mark", "trade"]


def test_candles_of_one_day_are_its_24_hours(calm: Bundle, market: VenueMarket) -> None:
    _assert_candles(_valid(calm[0].candles(date(2025, 10, 10)), "candles"), market, slice(20 * 24, 21 * 24))


def test_funding_rates_equal_the_market_on_the_full_hour(calm: Bundle, market: VenueMarket) -> None:
    rows = _valid(calm[0].funding_rates(FIRST, market.last_day), "funding_rates")
    for asset in ASSETS:
        got, want = _of_asset(rows, asset), market.funding(asset)
        known = want.settled_ms <= NOW_MS
        assert np.array_equal(_ms(got["occurred_at_utc"]), want.settled_ms[known] // HOUR_MS * HOUR_MS)
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])


def test_open_interest_counts_both_sides_and_has_no_usd(calm: Bundle, market: VenueMarket) -> None:
    rows = _linear(_valid(calm[0].open_interest(FIRST, market.last_day), "open_interest"))
    hours = slice(0, 31 * 24 + 13)
    assert rows["open_interest_basis"].unique().to_list() == ["two_sided"]
    assert rows["open_interest_usd"].null_count() == rows.height
    for asset in ASSETS:
        got, want = _of_asset(rows, asset), market.open_interest(asset)
        assert np.array_equal(_ms(got["occurred_at_utc"]), want.at_ms[hours])
        assert np.array_equal(got["open_interest_base"], 2 * want.open_interest_base[hours])


def test_depth_bands_equal_the_markets_book_and_unreached_bands_are_missing(calm: Bundle, market: VenueMarket) -> None:
    rows = _linear(_valid(calm[0].depth_bands(), "depth_bands"))
    assert rows.height == 3 * len(BANDS_BPS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW - timedelta(milliseconds=3)]
    missing = 0
    for asset in ASSETS:
        book, got = market.book(asset, NOW), rows.filter(pl.col("asset") == asset)
        assert got["mid_quote"].unique().to_list() == [pytest.approx(book.mid_quote, rel=1e-12)]
        for band, bid, ask in got.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
            for side, depth in ((book.bids[:1000], bid), (book.asks[:1000], ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    missing += 1
                    assert away.max() < band
                else:
                    assert away.max() >= band - 1e-6
                    assert depth == pytest.approx(side[away <= band + 1e-6, 1].sum(), rel=1e-12)
    assert missing > 0, "the market's BTC book is not seen to 500 bps with 1,000 levels"


def test_days_one_by_one_and_the_range_land_the_same_rows(calm: Bundle) -> None:
    client = calm[0]
    first, last = date(2025, 10, 8), date(2025, 10, 12)
    days = [first + timedelta(days=i) for i in range(5)]
    for name in ("candles", "funding_rates", "open_interest"):
        fetch = getattr(client, name)
        whole = _valid(fetch(first, last), name).drop("payload_sha256")
        single = pl.concat([_valid(fetch(day), name) for day in days]).drop("payload_sha256")
        assert single.sort(RAW_TABLES[name].grain).equals(whole.sort(RAW_TABLES[name].grain))


def test_the_venue_names_no_memory_but_that_of_a_book(calm: Bundle) -> None:
    client = calm[0]
    assert [client.first_offered_day(d) for d in ("candles", "funding_rates", "open_interest")] == [None] * 3
    assert client.first_offered_day("depth_bands") == NOW.date()


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 7, 24, 25])
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    limits = {"candles": limit, "funding_rates": limit, "open_interest": limit}
    days = (date(2025, 10, 9), date(2025, 10, 11))
    client, sandbox, _ = _client(sandbox, universe=("SOL",), page_limits=limits)
    _assert_candles(_valid(client.candles(*days), "candles"), market, slice(19 * 24, 22 * 24), ("SOL",))
    assert _valid(client.open_interest(*days), "open_interest").height == 72
    assert _valid(client.funding_rates(*days), "funding_rates").height == 9
    assert len(sandbox.requests) > 72 // limit


def test_pages_are_newest_first_and_full_ones_lose_nothing(calm: Bundle, market: VenueMarket) -> None:
    client, sandbox, _ = calm
    # 757 hours of open interest are four pages of 200.
    assert _valid(client.open_interest(FIRST, market.last_day), "open_interest").height == 4 * 757
    asked = [s.query for s in sandbox.requests if s.path == OPEN_INTEREST]
    assert len(asked) == 4 * 4
    assert {q["limit"] for q in asked} == {"200"}
    assert all("startTime" in q and "endTime" in q for q in asked)


@pytest.fixture(scope="module")
def hourly(world: World) -> Iterator[Sandbox]:
    """A Bybit whose contracts settle every hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHARES, "bybit", Share(0.55, 3.0, 1))
        with serve(world, now=NOW) as running:
            yield running


def test_hourly_settlements_are_all_there_though_a_page_keeps_its_newest_only(hourly: Sandbox, world: World) -> None:
    client, sandbox, _ = _client(hourly, universe=("SOL",))
    rows = _valid(client.funding_rates(FIRST, world.last_day), "funding_rates")
    assert rows.height == 31 * 24 + 13
    assert rows["occurred_at_utc"].diff().drop_nulls().unique().to_list() == [timedelta(hours=1)]
    assert {s.query["limit"] for s in sandbox.requests if s.path == FUNDING} == {str(FUNDING_LIMIT)}


def test_the_oldest_few_of_a_range_are_not_lost_behind_a_full_page(hourly: Sandbox, market: VenueMarket) -> None:
    # 205 settlements: a page of the newest 200 would leave five out, fewer than the longest interval would show as a hole.
    client, _, _ = _client(hourly, universe=("SOL",))
    rows = _valid(client.funding_rates(date(2025, 10, 13), market.last_day), "funding_rates")
    assert rows.height == FUNDING_LIMIT + 5
    assert rows["occurred_at_utc"].min() == datetime(2025, 10, 13)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_hourly_settlements_are_all_there_with_small_windows(hourly: Sandbox, limit: int) -> None:
    client, _, _ = _client(hourly, universe=("SOL",), page_limits={"funding_rates": limit})
    assert _valid(client.funding_rates(date(2025, 10, 9), date(2025, 10, 11)), "funding_rates").height == 72


def test_a_funding_interval_that_changes_on_the_way_loses_no_settlement(hourly: Sandbox) -> None:
    def until_the_crash_every_eight_hours(rows: list[Any]) -> list[Any]:
        clock = [int(r["fundingRateTimestamp"]) for r in rows]
        return [r for r, at in zip(rows, clock, strict=True) if at >= CRASH_MS or at % (8 * HOUR_MS) == 0]

    faults = _spoiled(FUNDING, until_the_crash_every_eight_hours)
    client, _, _ = _client(hourly, faults=faults, universe=("SOL",))
    rows = _valid(client.funding_rates(date(2025, 10, 1), date(2025, 10, 12)), "funding_rates")
    assert rows.height == 9 * 3 + 3 * 24


def test_a_venue_that_silently_caps_and_shortens_its_pages_still_gives_everything(
    sandbox: Sandbox, market: VenueMarket
) -> None:
    faults = Faults(tuple(Fault("short_page", first=n) for n in (5, 6, 8, 11)), page_cap_count=31)
    days = (date(2025, 10, 1), date(2025, 10, 12))
    client, _, _ = _client(sandbox, faults=faults, universe=("BTC", "SOL"))
    _assert_candles(_valid(client.candles(*days), "candles"), market, slice(264, 552), ("BTC", "SOL"))
    assert _valid(client.open_interest(*days), "open_interest").height == 3 * 288


def test_a_moved_start_is_a_venue_error_and_not_a_gap(sandbox: Sandbox) -> None:
    faults = _spoiled(KLINE, lambda rows: [r for r in rows if int(r[0]) >= CRASH_MS + 6 * HOUR_MS])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match="may have been moved") as caught:
        client.candles(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


def test_a_hole_of_the_venue_stays_a_hole(sandbox: Sandbox) -> None:
    faults = _spoiled(KLINE, lambda rows: [r for r in rows if int(r[0]) % 86_400_000 not in (0, 18_000_000)])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    rows = _linear(_valid(client.candles(date(2025, 10, 10)), "candles"))
    assert rows["interval_start_utc"].dt.hour().to_list() == [h for h in range(24) if h not in (0, 5)]


def test_nothing_is_due_before_the_listing_and_nothing_is_asked(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    assert client.candles(date(2025, 9, 1), date(2025, 9, 19)).rows.height == 0
    assert client.candles(date(2025, 9, 19), date(2025, 9, 20)).rows.height == 4 * 3 * 24
    assert client.funding_rates(date(2025, 9, 1)).rows.height == 0
    assert client.candles(date(2025, 12, 1)).rows.height == 0, "a day that has not begun"
    assert [s.path for s in sandbox.requests if s.path == FUNDING] == []


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json", "rate_limited"])
def test_passing_faults_do_not_change_what_lands(sandbox: Sandbox, market: VenueMarket, kind: Any) -> None:
    # Both requests of the catalogue's first category and a page are hit.
    faults = Faults(tuple(Fault(kind, first=n, retry_after_s=2) for n in (1, 3, 10)))
    client, sandbox, lake = _client(sandbox, faults=faults)
    capture = client.candles(date(2025, 10, 10), date(2025, 10, 11))
    _assert_candles(_valid(capture, "candles"), market, slice(480, 528))
    assert len(sandbox.requests) == len(lake.requests) == 3 + 4 + 4 * 3 + 1


def _at_first(body_of: dict[str, Any]) -> Callable[[Any], Any]:
    """Answer the first request with a body of success or failure, all later ones as they are."""
    left = [body_of]
    return lambda body: {**body, "result": {}, **left.pop()} if left else body


@pytest.mark.parametrize(("code", "waits"), [(10000, 0.5), (10016, 0.5), (10006, 60.0), (10018, 60.0)])
def test_failures_told_with_http_200_pass(sandbox: Sandbox, market: VenueMarket, code: int, waits: float) -> None:
    faults = _answered(KLINE, _at_first({"retCode": code, "retMsg": "busy"}))
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    _assert_candles(_valid(client.candles(date(2025, 10, 10)), "candles"), market, slice(480, 504), ("SOL",))
    assert client._clock.slept == [waits]  # type: ignore[attr-defined]  # typed as a Clock; this one is the HandClock that _client made


@pytest.mark.parametrize(
    ("code", "outage"),
    [(10001, "venue_error"), (10016, "venue_error"), (10006, "rate_limited"), (10018, "rate_limited")],
)
def test_lasting_failures_told_with_http_200_are_outages(sandbox: Sandbox, code: int, outage: str) -> None:
    faults = _answered(KLINE, lambda body: {**body, "retCode": code, "retMsg": "no", "result": {}})
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match=f"{code}: no") as caught:
        client.candles(date(2025, 10, 10))
    assert caught.value.code == outage


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
@pytest.mark.parametrize("method", ["probe", "instruments", "candles", "depth_bands"])
def test_lasting_faults_are_outages_with_their_code(sandbox: Sandbox, kind: Any, code: str, method: str) -> None:
    client, _, _ = _client(sandbox, faults=Faults((Fault(kind, times=99),)), universe=("SOL",))
    with pytest.raises(SourceOutage) as caught:
        getattr(client, method)(*([date(2025, 10, 10)] if method == "candles" else []))
    assert caught.value.code == code
    assert len(str(caught.value).splitlines()) == 1


def test_a_ban_without_an_end_is_ten_minutes_and_nothing_is_asked_inside_it(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox, faults=Faults((Fault("banned", retry_after_s=None),)))
    with pytest.raises(SourceOutage, match="600 s"):
        client.probe()
    clock: HandClock = client._clock  # type: ignore[assignment]  # typed as a Clock; it is the HandClock that _client made
    clock.instant += timedelta(seconds=BAN_S - 1)
    with pytest.raises(SourceOutage, match="is not asked before") as caught:
        client.probe()
    assert (caught.value.code, len(sandbox.requests)) == ("banned", 1)
    clock.instant += timedelta(seconds=1)
    client.probe()


def test_a_geoblock_is_no_ban_and_blocks_nothing_later(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, faults=Faults((Fault("geoblocked"),)))
    with pytest.raises(SourceOutage, match="does not serve this location"):
        client.probe()
    client.probe()


def test_a_torn_catalogue_is_not_an_empty_one(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, faults=Faults((Fault("torn", times=4, path=CATALOGUE),)))
    with pytest.raises(SourceOutage):
        client.instruments()
    assert client.instruments().rows.height == 4


@pytest.mark.parametrize("entries", [[], None, {}, [None], [{}], [5]])
def test_a_catalogue_of_another_shape_is_an_outage_and_not_an_empty_universe(sandbox: Sandbox, entries: Any) -> None:
    client, _, _ = _client(sandbox, faults=_spoiled(CATALOGUE, lambda _: entries))
    with pytest.raises(SourceOutage) as caught:
        client.instruments()
    assert caught.value.code == "venue_error"


def test_the_catalogue_is_loaded_once_a_day(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    for _ in range(2):
        client.instruments()
        client.depth_bands()
    assert [s.path for s in sandbox.requests].count(CATALOGUE) == 4
    client._clock.instant += timedelta(days=1)  # type: ignore[attr-defined]  # typed as a Clock; this one is the HandClock that _client made
    client.instruments()
    assert [s.path for s in sandbox.requests].count(CATALOGUE) == 8


# -- answers of another shape, malformed records ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"retCode": 0, "result": {"list": {}}},
        {"retCode": 0, "result": []},
        {"retCode": 0, "result": None},
        {"retCode": 0},
        {"list": []},
        {},
        [],
        [1],
        "x",
        5,
    ],
)
@pytest.mark.parametrize(("path", "dataset"), [(KLINE, "candles"), (FUNDING, "funding_rates")])
def test_an_answer_of_another_shape_is_a_venue_error(sandbox: Sandbox, path: str, dataset: str, answer: Any) -> None:
    client, _, _ = _client(sandbox, faults=_answered(path, lambda _: answer), universe=("SOL",))
    with pytest.raises(SourceOutage) as caught:
        getattr(client, dataset)(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize(("path", "dataset"), [(KLINE, "candles"), (OPEN_INTEREST, "open_interest")])
def test_an_answer_about_another_symbol_is_a_venue_error(sandbox: Sandbox, path: str, dataset: str) -> None:
    faults = _answered(path, lambda body: {**body, "result": {**body["result"], "symbol": "ETHUSDT"}})
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match="another symbol") as caught:
        getattr(client, dataset)(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


def test_records_of_another_symbol_are_a_venue_error(sandbox: Sandbox) -> None:
    faults = _spoiled(FUNDING, lambda rows: [{**r, "symbol": "ETHUSDT"} for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match="another symbol"):
        client.funding_rates(date(2025, 10, 10))


_AT = str(CRASH_MS)
_BAD_KLINES: dict[str, Any] = {
    "a null": [None, "1", "1", "1", "1", "1"],
    "seconds": ["1760054400", "1", "1", "1", "1", "1"],
    "microseconds": ["1760054400000000", "1", "1", "1", "1", "1"],
    "a text time": ["yesterday", "1", "1", "1", "1", "1"],
    "an object": {"open": "1"},
    "nothing": None,
    "a number": 5,
    "an empty list": [],
    "a short list": [_AT, "1"],
    "a text price": [_AT, "n/a", "1", "1", "1", "1"],
    "an empty price": [_AT, "", "1", "1", "1", "1"],
    "a null price": [_AT, None, "1", "1", "1", "1"],
    "not a number": [_AT, "NaN", "1", "1", "1", "1"],
    "infinity": [_AT, "inf", "1", "1", "1", "1"],
    "a boolean": [_AT, True, "1", "1", "1", "1"],
    "a zero price": [_AT, "0", "1", "1", "1", "1"],
    "a negative price": [_AT, "1", "1", "-1", "1", "1"],
    "a negative volume": [_AT, "1", "1", "1", "1", "-1"],
    "high below low": [_AT, "1", "1", "2", "1", "1"],
}


@pytest.mark.parametrize("bad", list(_BAD_KLINES.values()), ids=list(_BAD_KLINES))
def test_a_malformed_kline_is_kept_for_quarantine_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _spoiled(KLINE, lambda rows: [bad if r[0] == _AT else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    capture = client.candles(date(2025, 10, 10))
    good, rejected = RAW_TABLES["candles"].split(capture.rows, now=NOW)
    assert _linear(good)["interval_start_utc"].to_list() == [datetime(2025, 10, 10, h) for h in range(1, 24)]
    assert good.height == 23 + 2 * 24
    assert rejected.height == 1
    assert rejected["reason"].item()


@pytest.mark.parametrize("bad", [None, "n/a", "", "NaN", "inf", "-1", True, []])
def test_malformed_open_interest_is_kept_for_quarantine_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _spoiled(
        OPEN_INTEREST, lambda rows: [{**r, "openInterest": bad} if r["timestamp"] == _AT else r for r in rows]
    )
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    good, rejected = RAW_TABLES["open_interest"].split(client.open_interest(date(2025, 10, 10)).rows, now=NOW)
    assert (good.height, rejected.height) == (23, 1)
    assert rejected["reason"].item()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        {},
        {"fundingRate": "0.0001", "fundingRateTimestamp": "1760054400"},
        {"fundingRate": None, "fundingRateTimestamp": _AT},
        {"fundingRate": "", "fundingRateTimestamp": _AT},
        {"fundingRate": "inf", "fundingRateTimestamp": _AT},
        {"fundingRate": "NaN", "fundingRateTimestamp": _AT},
    ],
)
def test_malformed_funding_is_kept_for_quarantine_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _spoiled(FUNDING, lambda rows: [bad if r["fundingRateTimestamp"] == _AT else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    good, rejected = RAW_TABLES["funding_rates"].split(client.funding_rates(date(2025, 10, 10)).rows, now=NOW)
    assert good["occurred_at_utc"].dt.hour().to_list() == [8, 16]
    assert rejected.height == 1
    assert rejected["reason"].item()


@pytest.mark.parametrize(
    "change",
    [
        lambda book: {**book, "b": []},
        lambda book: {**book, "a": None},
        lambda book: {**book, "b": book["a"]},
        lambda book: {**book, "b": [["x", "1"]]},
        lambda book: {**book, "b": [["1"]]},
        lambda book: {**book, "b": 7},
        lambda book: {},
        lambda book: None,
    ],
)
def test_a_book_that_cannot_be_summed_is_refused_with_a_reason_and_never_zero(sandbox: Sandbox, change: Any) -> None:
    faults = _answered(BOOK, lambda body: {**body, "result": change(body["result"])})
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    capture = client.depth_bands()
    good, rejected = RAW_TABLES["depth_bands"].split(capture.rows, now=NOW)
    assert good.height == 0
    assert rejected["reason"].unique().to_list() == ["missing_value"]
    assert "SOLUSDT: " in capture.origin_note


# -- where it points --------------------------------------------------------------------------------------------------


def test_with_a_base_url_no_address_of_the_venue_is_left(calm: Bundle) -> None:
    exchange, _ = calm[0]._connection()
    assert {url.split("/")[2] for url in exchange.urls["api"].values()} == {calm[1].base_url.split("/")[2]}


def test_the_real_venue_is_asked_under_ccxts_rate_limit_for_futures_only() -> None:
    client = Bybit(PayloadLake(), clock=HandClock(NOW), universe=ASSETS, is_synthetic=False)
    exchange, _ = client._connection()
    assert exchange.enableRateLimit
    assert exchange.options["fetchMarkets"]["types"] == ["linear", "inverse"]
    assert exchange.implode_hostname(exchange.urls["api"]["public"]) == "https://api.bybit.com"
