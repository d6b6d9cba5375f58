"""The real ccxt client against the sandbox: what lands equals the world's truth, with and without faults."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from source_doubles import HandClock, PayloadLake

from assets.ports import Capture, SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.door import RetryPolicy
from pipelines.sources.exchanges.binance import BinanceUsdm
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
NOW = datetime(2025, 10, 21, 12, 30)
ASSETS = ("BTC", "ETH", "SOL")


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _client(
    sandbox: Sandbox, now: datetime = NOW, faults: Faults | None = None, **more: Any
) -> tuple[BinanceUsdm, Sandbox, PayloadLake]:
    sandbox.restart(now=now, faults=faults)
    clock, lake = HandClock(now), PayloadLake()
    more = {"universe": ASSETS, "policy": RetryPolicy(attempts_count=4), **more}
    client = BinanceUsdm(
        lake,  # type: ignore[arg-type]  # a double or a wrong type, on purpose
        clock=clock,
        base_url=sandbox.base_url,
        is_synthetic=True,
        sleep=clock.sleep,
        **more,
    )
    return client, sandbox, lake


@pytest.fixture
def calm(sandbox: Sandbox) -> tuple[BinanceUsdm, Sandbox, PayloadLake]:
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


def _trades(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the trade candles among candles of all kinds of price."""
    return rows.filter(pl.col("price_kind") == "trade")


def _assert_candles(rows: pl.DataFrame, world: World, hours: slice, assets: tuple[str, ...] = ASSETS) -> None:
    for asset in assets:
        got, want = _of_asset(_trades(rows), asset), world.candles(asset)
        assert np.array_equal(_ms(got["interval_start_utc"]), want.start_ms[hours])
        for name in ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base"):
            assert np.array_equal(got[name], getattr(want, name)[hours]), (asset, name)


def test_instruments_are_the_linear_usdt_perpetuals_of_the_universe(
    calm: tuple[BinanceUsdm, Sandbox, PayloadLake],
) -> None:
    rows = _valid(calm[0].instruments(), "instruments")
    assert rows["venue_symbol"].to_list() == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert rows["contract_kind"].unique().to_list() == ["linear"]
    assert rows["quote_asset"].unique().to_list() == rows["settle_asset"].unique().to_list() == ["USDT"]
    assert rows["contract_size_base"].to_list() == [1.0, 1.0, 1.0]
    assert rows["price_tick_quote"].to_list() == [0.1, 0.01, 0.01]
    assert rows["quantity_step_base"].to_list() == [0.001, 0.001, 0.01]
    assert rows["listed_at_utc"].unique().to_list() == [datetime(2025, 9, 20)]


def test_candles_of_the_whole_range_equal_the_world_and_cost_few_requests(
    calm: tuple[BinanceUsdm, Sandbox, PayloadLake], world: World
) -> None:
    client, sandbox, lake = calm
    before = len(sandbox.requests)
    capture = client.candles(FIRST, world.last_day)
    # The catalogue, and one page per contract and kind of price.
    assert len(sandbox.requests) - before <= 1 + 3 * 3
    assert [s.path for s in sandbox.requests].count("/fapi/v1/klines") <= 3
    rows = _valid(capture, "candles")
    done = rows.filter(pl.col("interval_end_utc") <= NOW)
    _assert_candles(done, world, slice(0, 31 * 24 + 12))
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    assert running["interval_start_utc"].unique().to_list() == [datetime(2025, 10, 21, 12)]
    half = world.open_candle("ETH", NOW)
    assert half is not None
    assert _trades(running).filter(pl.col("asset") == "ETH")["low_quote"].item() == half.low_quote[0]
    assert set(rows["payload_sha256"]) <= set(capture.payloads) <= set(lake.payloads)
    assert rows["price_kind"].unique().sort().to_list() == ["index", "mark", "trade"]


def test_candles_of_one_day_are_its_24_hours(calm: tuple[BinanceUsdm, Sandbox, PayloadLake], world: World) -> None:
    _assert_candles(_valid(calm[0].candles(date(2025, 10, 10)), "candles"), world, slice(20 * 24, 21 * 24))


def test_days_one_by_one_and_the_range_land_the_same_rows(calm: tuple[BinanceUsdm, Sandbox, PayloadLake]) -> None:
    client = calm[0]
    first, last = date(2025, 10, 8), date(2025, 10, 12)
    days = [first + timedelta(days=i) for i in range(5)]
    for name in ("candles", "funding_rates", "open_interest"):
        fetch = getattr(client, name)
        whole = _valid(fetch(first, last), name).drop("payload_sha256")
        single = pl.concat([_valid(fetch(day), name) for day in days]).drop("payload_sha256")
        assert single.sort(RAW_TABLES[name].grain).equals(whole.sort(RAW_TABLES[name].grain))


def test_funding_rates_equal_the_world_at_the_venues_own_instants(
    calm: tuple[BinanceUsdm, Sandbox, PayloadLake], world: World
) -> None:
    rows = _valid(calm[0].funding_rates(FIRST, world.last_day), "funding_rates")
    for asset in ASSETS:
        got, want = _of_asset(rows, asset), world.funding(asset)
        known = want.settled_ms <= int(np.datetime64(NOW, "ms").astype(np.int64))
        assert np.array_equal(_ms(got["occurred_at_utc"]), want.settled_ms[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])


def test_open_interest_equals_the_world_one_sided(calm: tuple[BinanceUsdm, Sandbox, PayloadLake], world: World) -> None:
    first = calm[0].first_offered_day("open_interest")
    assert first == date(2025, 9, 22)
    rows = _valid(calm[0].open_interest(first, world.last_day), "open_interest")
    hours = slice(2 * 24, 31 * 24 + 13)
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    for asset in ASSETS:
        got, want = _of_asset(rows, asset), world.open_interest(asset)
        assert np.array_equal(_ms(got["occurred_at_utc"]), want.at_ms[hours])
        assert np.array_equal(got["open_interest_base"], want.open_interest_base[hours])
        assert np.array_equal(got["open_interest_usd"], want.open_interest_usd[hours])


def test_open_interest_before_the_venues_memory_is_not_offered_and_not_empty(
    calm: tuple[BinanceUsdm, Sandbox, PayloadLake],
) -> None:
    for last in (None, date(2025, 10, 21)):
        with pytest.raises(SourceOutage, match="2025-09-22") as caught:
            calm[0].open_interest(date(2025, 9, 21), last)
        assert caught.value.code == "not_offered"


@pytest.mark.parametrize(
    ("now", "first"),
    [(datetime(2025, 10, 21, 0, 0), date(2025, 9, 22)), (datetime(2025, 10, 20, 23, 55), date(2025, 9, 21))],
)
def test_the_first_offered_day_is_answered_whole_at_the_edge_of_the_memory(
    sandbox: Sandbox, now: datetime, first: date
) -> None:
    client, _, _ = _client(sandbox, now=now, universe=("BTC",))
    assert client.first_offered_day("open_interest") == first
    assert client.open_interest(first).rows.height == 24
    assert client.first_offered_day("candles") is None


def test_a_hole_at_the_edge_of_the_memory_is_not_asked_for_beyond_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = int(datetime(2025, 9, 22, tzinfo=UTC).timestamp() * 1000)
    hole = [first, first + 3_600_000]
    faults = _spoiled("/futures/data/openInterestHist", lambda rows: [r for r in rows if r["timestamp"] not in hole])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    assert client.open_interest(date(2025, 9, 22)).rows["occurred_at_utc"].dt.hour().to_list() == list(range(2, 24))


def test_depth_bands_equal_the_worlds_book_and_unreached_bands_are_missing(
    calm: tuple[BinanceUsdm, Sandbox, PayloadLake], world: World
) -> None:
    rows = _valid(calm[0].depth_bands(), "depth_bands")
    assert rows.height == 3 * len(BANDS_BPS)
    missing = 0
    for asset in ASSETS:
        book, got = world.book(asset, NOW), rows.filter(pl.col("asset") == asset)
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
    assert missing > 0, "the world's BTC book is not seen to 500 bps with 1,000 levels"


@pytest.mark.parametrize("limit", [1, 2, 7, 24, 25])
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, world: World, limit: int) -> None:
    limits = {"candles": limit, "funding_rates": limit, "open_interest": limit}
    days = (date(2025, 10, 9), date(2025, 10, 11))
    client, sandbox, _ = _client(sandbox, universe=("SOL",), page_limits=limits)
    _assert_candles(_valid(client.candles(*days), "candles"), world, slice(19 * 24, 22 * 24), ("SOL",))
    assert _valid(client.open_interest(*days), "open_interest").height == 72
    assert _valid(client.funding_rates(*days), "funding_rates").height == 9
    assert len(sandbox.requests) > 72 // limit


def test_a_venue_that_silently_caps_and_shortens_its_pages_still_gives_everything(
    sandbox: Sandbox, world: World
) -> None:
    faults = Faults(tuple(Fault("short_page", first=n) for n in (2, 3, 5, 9)), page_cap_count=31)
    days = (date(2025, 10, 1), date(2025, 10, 12))
    client, _, _ = _client(sandbox, faults=faults, universe=("BTC", "SOL"))
    _assert_candles(_valid(client.candles(*days), "candles"), world, slice(264, 552), ("BTC", "SOL"))
    assert _valid(client.open_interest(*days), "open_interest").height == 2 * 288


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json", "rate_limited"])
def test_passing_faults_do_not_change_what_lands(sandbox: Sandbox, world: World, kind: Any) -> None:
    # The catalogue, the first page and a later page are hit.
    faults = Faults(tuple(Fault(kind, first=n, retry_after_s=2) for n in (1, 3, 6)))
    client, sandbox, lake = _client(sandbox, faults=faults)
    capture = client.candles(date(2025, 10, 10), date(2025, 10, 11))
    _assert_candles(_valid(capture, "candles"), world, slice(480, 528))
    assert len(sandbox.requests) == 1 + 3 * 3 + 3
    assert len(lake.requests) == 1 + 3 * 3 + 3


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


def test_a_torn_catalogue_is_not_an_empty_one(sandbox: Sandbox) -> None:
    faults = Faults((Fault("torn", times=4, path="/fapi/v1/exchangeInfo"),))
    client, _, _ = _client(sandbox, faults=faults)
    with pytest.raises(SourceOutage):
        client.instruments()
    assert client.instruments().rows.height == 3


def test_the_catalogue_is_loaded_once_a_day(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    for _ in range(2):
        client.instruments()
        client.depth_bands()
    assert [s.path for s in sandbox.requests].count("/fapi/v1/exchangeInfo") == 1
    client._clock.instant += timedelta(days=1)  # type: ignore[attr-defined]  # narrower in the type than in the test double
    client.instruments()
    assert [s.path for s in sandbox.requests].count("/fapi/v1/exchangeInfo") == 2


def test_an_asset_that_is_not_listed_is_named_and_has_no_row(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, universe=("SOL", "HYPE"))
    for capture in (client.instruments(), client.candles(date(2025, 10, 10)), client.depth_bands()):
        assert capture.rows["asset"].unique().to_list() == ["SOL"]
        assert "not listed here: HYPE" in capture.origin_note


def test_nothing_is_due_before_the_listing_and_nothing_is_asked(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    assert client.candles(date(2025, 9, 1), date(2025, 9, 19)).rows.height == 0
    assert client.candles(date(2025, 9, 19), date(2025, 9, 20)).rows.height == 3 * 72
    assert client.funding_rates(date(2025, 9, 1)).rows.height == 0
    assert client.candles(date(2025, 12, 1)).rows.height == 0, "a day that has not begun"
    assert [s.path for s in sandbox.requests if s.path == "/fapi/v1/fundingRate"] == []


def test_a_range_whose_end_is_before_its_start_is_refused(calm: tuple[BinanceUsdm, Sandbox, PayloadLake]) -> None:
    with pytest.raises(ValueError, match="first day first"):
        calm[0].candles(date(2025, 10, 2), date(2025, 10, 1))


@pytest.mark.fast
@pytest.mark.parametrize(("base_url", "is_synthetic"), [(None, True), ("http://127.0.0.1:1", False)])
def test_synthetic_and_loopback_go_together(base_url: str | None, is_synthetic: bool) -> None:
    with pytest.raises(ValueError, match="synthetic"):
        BinanceUsdm(
            PayloadLake(),  # type: ignore[arg-type]  # a double or a wrong type, on purpose
            clock=HandClock(NOW),
            universe=ASSETS,
            base_url=base_url,
            is_synthetic=is_synthetic,
        )


def test_with_a_base_url_no_address_of_the_venue_is_left(calm: tuple[BinanceUsdm, Sandbox, PayloadLake]) -> None:
    exchange, _ = calm[0]._connection()
    assert {url.split("/")[2] for url in exchange.urls["api"].values()} == {calm[1].base_url.split("/")[2]}
    assert exchange.urls["api"]["fapiPublic"].endswith("/fapi/v1")
    assert exchange.urls["api"]["fapiData"].endswith("/futures/data")


def test_the_real_venue_is_asked_under_ccxts_rate_limit() -> None:
    client = BinanceUsdm(PayloadLake(), clock=HandClock(NOW), universe=ASSETS, is_synthetic=False)  # type: ignore[arg-type]  # a double or a wrong type, on purpose
    exchange, _ = client._connection()
    assert exchange.enableRateLimit
    assert exchange.urls["api"]["fapiPublic"] == "https://fapi.binance.com/fapi/v1"


def _spoiled(path: str, change: Any) -> Faults:
    """Let the sandbox answer a path with what `change` makes of its answer."""
    return Faults(spoiled={path: change})


_BAD_KLINES: dict[str, Any] = {
    "a null": [None, "1", "1", "1", "1", "1"],
    "seconds": [1_760_054_400, "1", "1", "1", "1", "1"],
    "microseconds": [1_760_054_400_000_000, "1", "1", "1", "1", "1"],
    "a text time": ["yesterday", "1", "1", "1", "1", "1"],
    "an object": {"open": "1"},
    "a number": 5,
    "nothing": None,
    "an empty list": [],
    "a short list": [1_760_054_400_000, "1"],
    "a text price": [1_760_054_400_000, "n/a", "1", "1", "1", "1"],
    "a null price": [1_760_054_400_000, None, "1", "1", "1", "1"],
    "not a number": [1_760_054_400_000, "NaN", "1", "1", "1", "1"],
    "infinity": [1_760_054_400_000, "inf", "1", "1", "1", "1"],
    "an underscore": [1_760_054_400_000, "1_000", "1", "1", "1", "1"],
    "a boolean": [1_760_054_400_000, True, "1", "1", "1", "1"],
    "a list price": [1_760_054_400_000, ["1"], "1", "1", "1", "1"],
    "a zero price": [1_760_054_400_000, "0", "1", "1", "1", "1"],
    "a negative volume": [1_760_054_400_000, "1", "1", "1", "1", "-1"],
    "high below low": [1_760_054_400_000, "1", "1", "2", "1", "1"],
}


@pytest.mark.parametrize("bad", list(_BAD_KLINES.values()), ids=list(_BAD_KLINES))
def test_a_malformed_record_is_kept_for_quarantine_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _spoiled("/fapi/v1/klines", lambda rows: [bad if r[0] == 1_760_054_400_000 else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    capture = client.candles(date(2025, 10, 10))
    good, rejected = RAW_TABLES["candles"].split(capture.rows, now=NOW)
    assert _trades(good)["interval_start_utc"].to_list() == [datetime(2025, 10, 10, h) for h in range(1, 24)]
    assert good.height == 23 + 2 * 24
    assert rejected.height == 1
    assert rejected["reason"].item()


@pytest.mark.parametrize("answer", [{"rows": []}, {}, "x", 5])
def test_an_answer_that_is_no_list_is_a_venue_error(sandbox: Sandbox, answer: Any) -> None:
    faults = _spoiled("/fapi/v1/fundingRate", lambda _: answer)
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage) as caught:
        client.funding_rates(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


def test_records_of_another_symbol_are_a_venue_error(sandbox: Sandbox) -> None:
    faults = _spoiled("/fapi/v1/fundingRate", lambda rows: [{**r, "symbol": "ETHUSDT"} for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match="another symbol"):
        client.funding_rates(date(2025, 10, 10))


@pytest.mark.parametrize(
    "change",
    [
        lambda book: {**book, "bids": []},
        lambda book: {**book, "asks": None},
        lambda book: {**book, "bids": book["asks"]},
        lambda book: {**book, "bids": [["x", "1"]]},
        lambda book: {**book, "bids": [["1"]]},
        lambda book: {**book, "bids": 7},
        lambda book: [],
    ],
)
def test_a_book_that_cannot_be_summed_is_refused_with_a_reason_and_never_zero(sandbox: Sandbox, change: Any) -> None:
    faults = _spoiled("/fapi/v1/depth", change)
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    capture = client.depth_bands()
    good, rejected = RAW_TABLES["depth_bands"].split(capture.rows, now=NOW)
    assert good.height == 0
    assert rejected["reason"].unique().to_list() == ["missing_value"]
    assert "SOLUSDT: " in capture.origin_note


def test_a_moved_start_is_a_venue_error_and_not_a_gap(sandbox: Sandbox) -> None:
    kept = 1_760_054_400_000 + 6 * 3_600_000
    faults = _spoiled("/fapi/v1/klines", lambda rows: [r for r in rows if r[0] >= kept])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match="may have been moved") as caught:
        client.candles(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


def test_a_hole_of_the_venue_stays_a_hole(sandbox: Sandbox) -> None:
    faults = _spoiled("/fapi/v1/klines", lambda rows: [r for r in rows if r[0] % 86_400_000 not in (0, 18_000_000)])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    rows = _trades(_valid(client.candles(date(2025, 10, 10)), "candles"))
    assert rows["interval_start_utc"].dt.hour().to_list() == [h for h in range(24) if h not in (0, 5)]
