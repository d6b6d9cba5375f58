"""The real ccxt client against the sandbox's OKX: what lands equals the world's truth, with and without faults."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from source_doubles import HandClock, PayloadLake

from assets.ports import Capture, SourceOutage
from pipelines.sandbox import venue_market
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import Share, VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.door import RetryPolicy
from pipelines.sources.exchanges.okx import Okx
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS = date(2025, 9, 20), 32
NOW = datetime(2025, 10, 21, 12, 30)
ASSETS = ("BTC", "ETH", "SOL")
# The first hour of 2025-10-10.
MIDNIGHT = "1760054400000"

CATALOGUE = "/api/v5/public/instruments"
CANDLES = "/api/v5/market/candles"
HISTORY = "/api/v5/market/history-candles"
FUNDING = "/api/v5/public/funding-rate-history"
OPEN_INTEREST = "/api/v5/rubik/stat/contracts/open-interest-history"
BOOKS = "/api/v5/market/books"


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def market(world: World) -> VenueMarket:
    return VenueMarket(world, "okx")


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _client(
    sandbox: Sandbox, now: datetime = NOW, faults: Faults | None = None, **more: Any
) -> tuple[Okx, Sandbox, PayloadLake]:
    sandbox.restart(now=now, faults=faults)
    clock, lake = HandClock(now), PayloadLake()
    more = {"universe": ASSETS, "policy": RetryPolicy(attempts_count=4), **more}
    client = Okx(
        lake,
        clock=clock,
        base_url=sandbox.base_url,
        is_synthetic=True,
        sleep=clock.sleep,
        **more,
    )
    return client, sandbox, lake


@pytest.fixture
def calm(sandbox: Sandbox) -> tuple[Okx, Sandbox, PayloadLake]:
    return _client(sandbox)


def _valid(capture: Capture, dataset: str, now: datetime = NOW) -> pl.DataFrame:
    """Return the rows after validation; none may be refused."""
    table = RAW_TABLES[dataset]
    assert capture.rows.columns == [*table.columns, "row_count"]
    good, rejected = table.split(capture.rows, now=now)
    assert rejected.height == 0
    return good


def _trades(rows: pl.DataFrame) -> list[pl.Expr]:
    return [pl.col("price_kind") == "trade"] if "price_kind" in rows.columns else []


def _of_asset(rows: pl.DataFrame, asset: str) -> dict[str, np.ndarray]:
    picked = rows.filter(pl.col("venue_symbol") == f"{asset}-USDT-SWAP", *_trades(rows))
    return {c: picked[c].to_numpy() for c in picked.columns}


def _ms(values: np.ndarray) -> np.ndarray:
    return values.astype("datetime64[ms]").astype(np.int64)


def _assert_candles(rows: pl.DataFrame, market: VenueMarket, hours: slice, assets: tuple[str, ...] = ASSETS) -> None:
    for asset in assets:
        got, want = _of_asset(rows, asset), market.candles(asset)
        assert np.array_equal(_ms(got["interval_start_utc"]), want.start_ms[hours])
        for name in ("open_quote", "high_quote", "low_quote", "close_quote", "volume_base"):
            assert np.array_equal(got[name], getattr(want, name)[hours]), (asset, name)


def _rows_spoiled(path: str, change: Any) -> Faults:
    """Let the sandbox answer a path with its answer, the list of records changed."""
    return Faults(spoiled={path: lambda body: {**body, "data": change(body["data"])}})


def _spoiled(path: str, change: Any) -> Faults:
    """Let the sandbox answer a path with what `change` makes of its answer."""
    return Faults(spoiled={path: change})


# -- values and units ---------------------------------------------------------------------------------------------------


def test_instruments_are_the_perpetuals_in_usdt_and_the_inverse_ones_that_trade(
    calm: tuple[Okx, Sandbox, PayloadLake],
) -> None:
    rows = _valid(calm[0].instruments(), "instruments")
    assert rows["venue_symbol"].to_list() == ["BTC-USD-SWAP", "BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP"]
    assert rows["venue"].unique().to_list() == ["okx"]
    assert rows["contract_kind"].to_list() == ["inverse", "linear", "linear", "linear"]
    assert rows["quote_asset"].to_list() == ["USD", "USDT", "USDT", "USDT"]
    assert rows["settle_asset"].to_list() == ["BTC", "USDT", "USDT", "USDT"]
    assert rows["contract_size_base"].to_list() == [None, 0.01, 0.1, 1.0]
    assert rows["contract_size_usd"].to_list() == [100.0, None, None, None]
    assert rows["price_tick_quote"].to_list() == [0.1, 0.1, 0.01, 0.01]
    assert rows["quantity_step_base"].to_list()[0] is None, "one contract of 100 USD is no fixed number of coins"
    assert rows["quantity_step_base"].to_list()[1:] == pytest.approx([0.001, 0.001, 0.01], rel=1e-12)
    assert rows["listed_at_utc"].unique().to_list() == [datetime(2025, 9, 20)]


def test_the_catalogue_asks_for_swaps_alone_and_for_nothing_private(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    client.instruments()
    assert [(s.path, dict(s.query)) for s in sandbox.requests] == [(CATALOGUE, {"instType": "SWAP"})]


@pytest.mark.parametrize(
    "change",
    [
        {"state": "suspend"},
        {"ctType": "inverse"},
        {"ctMult": "10"},
        {"ctMult": ""},
        {"ctValCcy": "USDT"},
        {"settleCcy": "USDC"},
    ],
)
def test_a_contract_whose_size_may_be_no_base_units_is_left_out_and_named(
    sandbox: Sandbox, change: dict[str, str]
) -> None:
    faults = _rows_spoiled(CATALOGUE, lambda rows: [{**r, **change} if "SOL-" in r["instId"] else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults)
    capture = client.instruments()
    assert capture.rows["venue_symbol"].to_list() == ["BTC-USD-SWAP", "BTC-USDT-SWAP", "ETH-USDT-SWAP"]
    assert "not listed here: SOL" in capture.origin_note


@pytest.mark.parametrize(
    "change", [{"state": "suspend"}, {"ctType": "linear"}, {"ctMult": "10"}, {"ctValCcy": "BTC"}, {"settleCcy": "USDC"}]
)
def test_an_inverse_contract_that_may_not_be_dollars_settled_in_coins_is_left_out(
    sandbox: Sandbox, change: dict[str, str]
) -> None:
    faults = _rows_spoiled(CATALOGUE, lambda rows: [{**r, **change} if "-USD-" in r["instId"] else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("BTC",))
    assert client.instruments().rows["venue_symbol"].to_list() == ["BTC-USDT-SWAP"]


def test_candles_of_the_whole_range_equal_the_world_over_both_paths(
    calm: tuple[Okx, Sandbox, PayloadLake], world: World, market: VenueMarket
) -> None:
    client, sandbox, lake = calm
    capture = client.candles(FIRST, world.last_day)
    rows = _valid(capture, "candles")
    done = rows.filter(pl.col("interval_end_utc") <= NOW).sort("asset", "interval_start_utc")
    rows = rows.filter(pl.col("price_kind") == "trade")
    _assert_candles(done, market, slice(0, 31 * 24 + 12))
    running = rows.filter(pl.col("interval_end_utc") > NOW)
    assert running["interval_start_utc"].unique().to_list() == [datetime(2025, 10, 21, 12)]
    for asset in ASSETS:
        half, got = market.open_candle(asset, NOW), running.filter(pl.col("venue_symbol") == f"{asset}-USDT-SWAP")
        assert half is not None
        assert got["volume_base"].item() == half.volume_base[0]
        assert got["low_quote"].item() == half.low_quote[0]
    assert capture.rows["row_count"].to_list() == list(range(1, capture.rows.height + 1))
    assert set(rows["payload_sha256"]) <= set(capture.payloads) <= set(lake.payloads)
    asked = [s.path for s in sandbox.requests]
    # 30 days and the running one are 8 pages of 100 per contract, the one day before them 1; the same for mark and index.
    assert (asked.count(HISTORY), asked.count(CANDLES), len(asked)) == (4, 32, 1 + 3 * 36)


def test_old_candles_come_from_the_history_alone(sandbox: Sandbox, world: World, market: VenueMarket) -> None:
    now = datetime(2025, 12, 1)
    client, sandbox, _ = _client(sandbox, now=now)
    _assert_candles(_valid(client.candles(FIRST, world.last_day), "candles", now), market, slice(0, 32 * 24))
    assert CANDLES not in {s.path for s in sandbox.requests}


def test_days_one_by_one_and_the_range_land_the_same_rows(calm: tuple[Okx, Sandbox, PayloadLake]) -> None:
    client = calm[0]
    # The second range crosses the border between the two paths of candles.
    for first in (date(2025, 10, 8), date(2025, 9, 20)):
        days = [first + timedelta(days=i) for i in range(3)]
        for name in ("candles", "funding_rates", "open_interest"):
            fetch, grain = getattr(client, name), RAW_TABLES[name].grain
            whole = _valid(fetch(first, days[-1]), name).drop("payload_sha256").sort(grain)
            single = pl.concat([_valid(fetch(day), name) for day in days]).drop("payload_sha256").sort(grain)
            assert single.equals(whole)
            # Of four contracts three days each; candles are those of trades, mark and index.
            assert whole.height == 4 * 3 * {"funding_rates": 3, "open_interest": 24, "candles": 3 * 24}[name]


def test_funding_rates_are_the_paid_ones_at_the_venues_own_instants(
    calm: tuple[Okx, Sandbox, PayloadLake], world: World, market: VenueMarket
) -> None:
    rows = _valid(calm[0].funding_rates(FIRST, world.last_day), "funding_rates")
    for asset in ASSETS:
        got, want = _of_asset(rows, asset), market.funding(asset)
        known = want.settled_ms <= int(np.datetime64(NOW, "ms").astype(np.int64))
        assert np.array_equal(_ms(got["occurred_at_utc"]), want.settled_ms[known])
        assert np.array_equal(got["funding_rate_frac"], want.rate_frac[known])


@pytest.mark.parametrize(("paid", "want"), [("", 0.05), (None, 0.05), ("0", 0.0), ("x", None), ("NaN", None)])
def test_the_predicted_rate_stands_in_only_where_no_paid_one_is_told(
    sandbox: Sandbox, paid: str | None, want: float | None
) -> None:
    faults = _rows_spoiled(FUNDING, lambda rows: [{**r, "fundingRate": "0.05", "realizedRate": paid} for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    good, rejected = RAW_TABLES["funding_rates"].split(client.funding_rates(date(2025, 10, 10)).rows, now=NOW)
    assert good["funding_rate_frac"].to_list() == ([] if want is None else [want] * 3)
    assert rejected.height == (3 if want is None else 0)


@pytest.mark.parametrize("cap", [None, 100])
def test_hourly_settlements_are_complete_also_where_pages_begin_with_the_newest(
    monkeypatch: pytest.MonkeyPatch, cap: int | None
) -> None:
    monkeypatch.setitem(venue_market.SHARES, "okx", Share(0.40, 3.0, 1))
    world = World(3, FIRST, 12, assets=("SOL",))
    with serve(world, now=datetime(2025, 10, 2)) as sandbox:
        client, _, _ = _client(sandbox, now=datetime(2025, 10, 2), faults=Faults(page_cap_count=cap), universe=("SOL",))
        rows = client.funding_rates(FIRST, world.last_day).rows
    want = VenueMarket(world, "okx").funding("SOL")
    rows = rows.filter(pl.col("venue_symbol") == "SOL-USDT-SWAP")
    assert np.array_equal(_ms(rows["occurred_at_utc"].to_numpy()), want.settled_ms[want.settled_ms < 1_759_363_200_000])
    assert rows.height > 11 * 24


def test_open_interest_equals_the_world_one_sided(
    calm: tuple[Okx, Sandbox, PayloadLake], world: World, market: VenueMarket
) -> None:
    rows = _valid(calm[0].open_interest(FIRST, world.last_day), "open_interest")
    hours = slice(0, 31 * 24 + 13)
    assert rows["open_interest_basis"].unique().to_list() == ["one_sided"]
    for asset in ASSETS:
        got, want = _of_asset(rows, asset), market.open_interest(asset)
        assert np.array_equal(_ms(got["occurred_at_utc"]), want.at_ms[hours])
        assert np.array_equal(got["open_interest_base"], want.open_interest_base[hours])
        assert np.array_equal(got["open_interest_usd"], want.open_interest_usd[hours])


def test_depth_bands_are_base_units_of_the_worlds_book_and_unreached_bands_are_missing(
    calm: tuple[Okx, Sandbox, PayloadLake], market: VenueMarket
) -> None:
    rows = _valid(calm[0].depth_bands(), "depth_bands")
    assert rows.height == 4 * len(BANDS_BPS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    missing = seen = 0
    for asset in ASSETS:
        book, got = market.book(asset, NOW), rows.filter(pl.col("venue_symbol") == f"{asset}-USDT-SWAP")
        assert got["mid_quote"].unique().to_list() == [pytest.approx(book.mid_quote, rel=1e-12)]
        for band, bid, ask in got.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
            for side, depth in ((book.bids[:400], bid), (book.asks[:400], ask)):
                away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
                if depth is None:
                    missing += 1
                    assert away.max() < band
                else:
                    seen += 1
                    assert away.max() >= band - 1e-6
                    assert depth == pytest.approx(side[away <= band + 1e-6, 1].sum(), rel=1e-9)
    assert missing > 0, "the book is not seen to 500 bps with 400 levels"
    assert seen > 0


# -- memory -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "now", "first", "count"),
    [
        ("open_interest", datetime(2025, 11, 24, 22, 55), date(2025, 9, 26), 24),
        ("open_interest", datetime(2025, 11, 24, 22, 56), date(2025, 9, 27), 24),
        ("open_interest", datetime(2025, 11, 25, 0, 0), date(2025, 9, 27), 24),
        ("funding_rates", datetime(2025, 12, 24, 23, 55), date(2025, 9, 27), 3),
        ("funding_rates", datetime(2025, 12, 25, 12, 0), date(2025, 9, 28), 3),
    ],
)
def test_the_first_offered_day_is_answered_whole_and_the_day_before_is_not_offered(
    sandbox: Sandbox, dataset: str, now: datetime, first: date, count: int
) -> None:
    client, _, _ = _client(sandbox, now=now, universe=("SOL",))
    assert client.first_offered_day(dataset) == first
    assert getattr(client, dataset)(first).rows.height == count
    for last in (None, first + timedelta(days=3)):
        with pytest.raises(SourceOutage, match=str(first)) as caught:
            getattr(client, dataset)(first - timedelta(days=1), last)
        assert caught.value.code == "not_offered"


def test_candles_are_never_forgotten_and_a_book_is_of_today(calm: tuple[Okx, Sandbox, PayloadLake]) -> None:
    assert calm[0].first_offered_day("candles") is None
    assert calm[0].first_offered_day("depth_bands") == NOW.date()


def test_a_hole_at_the_edge_of_the_memory_is_not_asked_for_beyond_it(sandbox: Sandbox) -> None:
    now = datetime(2025, 11, 24, 23, 30)
    first = 1_758_931_200_000
    hole = [str(first), str(first + 3_600_000)]
    faults = _rows_spoiled(OPEN_INTEREST, lambda rows: [r for r in rows if r[0] not in hole])
    client, sandbox, _ = _client(sandbox, now=now, faults=faults, universe=("SOL",))
    hours = client.open_interest(date(2025, 9, 27)).rows["occurred_at_utc"].dt.hour().to_list()
    assert hours == list(range(2, 24))
    oldest = min(int(s.query["begin"]) for s in sandbox.requests if s.path == OPEN_INTEREST)
    # 1,439 hours before now, and five minutes for a clock that is behind.
    assert oldest == first - 86_400_000 + 35 * 60_000 - 1


# -- pages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 7, 24, 25])
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    limits = {"candles": limit, "funding_rates": limit, "open_interest": limit}
    days = (date(2025, 10, 9), date(2025, 10, 11))
    client, sandbox, _ = _client(sandbox, universe=("SOL",), page_limits=limits)
    _assert_candles(_valid(client.candles(*days), "candles"), market, slice(19 * 24, 22 * 24), ("SOL",))
    assert _valid(client.open_interest(*days), "open_interest").height == 72
    assert _valid(client.funding_rates(*days), "funding_rates").height == 9
    assert len(sandbox.requests) > 72 // limit


def test_a_venue_that_silently_caps_and_shortens_its_pages_still_gives_everything(
    sandbox: Sandbox, market: VenueMarket
) -> None:
    faults = Faults(tuple(Fault("short_page", first=n) for n in (2, 3, 5, 9)), page_cap_count=31)
    days = (date(2025, 10, 1), date(2025, 10, 12))
    client, _, _ = _client(sandbox, faults=faults, universe=("BTC", "SOL"))
    _assert_candles(_valid(client.candles(*days), "candles"), market, slice(264, 552), ("BTC", "SOL"))
    assert _valid(client.open_interest(*days), "open_interest").height == 3 * 288


def test_a_moved_start_is_a_venue_error_and_not_a_gap(sandbox: Sandbox) -> None:
    kept = int(MIDNIGHT) + 6 * 3_600_000
    faults = _rows_spoiled(CANDLES, lambda rows: [r for r in rows if int(r[0]) >= kept])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match="may have been moved") as caught:
        client.candles(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


def test_a_hole_of_the_venue_stays_a_hole(sandbox: Sandbox) -> None:
    gone = (0, 18_000_000)
    faults = _rows_spoiled(CANDLES, lambda rows: [r for r in rows if int(r[0]) % 86_400_000 not in gone])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    rows = _valid(client.candles(date(2025, 10, 10)), "candles").filter(pl.col("price_kind") == "trade")
    assert rows["interval_start_utc"].dt.hour().to_list() == [h for h in range(24) if h not in (0, 5)]


def test_nothing_is_due_before_the_listing_and_nothing_is_asked(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    assert client.candles(date(2025, 9, 1), date(2025, 9, 19)).rows.height == 0
    assert client.candles(date(2025, 9, 19), date(2025, 9, 20)).rows.height == 4 * 3 * 24
    assert client.funding_rates(date(2025, 9, 1)).rows.height == 0
    assert client.candles(date(2025, 12, 1)).rows.height == 0, "a day that has not begun"
    assert [s.path for s in sandbox.requests if s.path == FUNDING] == []


@pytest.mark.parametrize("last", [date(2025, 10, 1), date(2025, 9, 1)])
def test_a_range_whose_end_is_before_its_start_is_refused(calm: tuple[Okx, Sandbox, PayloadLake], last: date) -> None:
    with pytest.raises(ValueError, match="first day first"):
        calm[0].candles(date(2025, 10, 2), last)


# -- faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json", "rate_limited"])
def test_passing_faults_do_not_change_what_lands(sandbox: Sandbox, market: VenueMarket, kind: Any) -> None:
    # The catalogue, the first page and a later page are hit.
    faults = Faults(tuple(Fault(kind, first=n, retry_after_s=2) for n in (1, 3, 6)))
    client, sandbox, lake = _client(sandbox, faults=faults)
    capture = client.candles(date(2025, 10, 10), date(2025, 10, 11))
    _assert_candles(_valid(capture, "candles"), market, slice(480, 528))
    # The catalogue, and one page each of four contracts at three prices.
    assert len(sandbox.requests) == 1 + 12 + 3
    assert len(lake.requests) == 1 + 12 + 3


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


@pytest.mark.parametrize(
    ("said", "code"),
    [("50011", "rate_limited"), ("50013", "venue_error"), ("51001", "venue_error"), ("9", "venue_error")],
)
def test_an_error_that_comes_with_a_200_is_an_outage_and_not_an_empty_market(
    sandbox: Sandbox, said: str, code: str
) -> None:
    faults = _spoiled(FUNDING, lambda _: {"code": said, "data": [], "msg": "no"})
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match=f" {said}: no") as caught:
        client.funding_rates(date(2025, 10, 10))
    assert caught.value.code == code


def test_a_rate_limit_with_a_200_is_waited_out(sandbox: Sandbox) -> None:
    answers = iter([True, False])
    limited = {"code": "50011", "data": [], "msg": "Too Many Requests"}
    faults = _spoiled(FUNDING, lambda body: limited if next(answers, False) else body)
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    assert client.funding_rates(date(2025, 10, 10)).rows.height == 3
    assert sum(client._clock.slept) > 0  # type: ignore[attr-defined]  # typed as a Clock; this one is the HandClock that _client made


def test_a_torn_catalogue_is_not_an_empty_one(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, faults=Faults((Fault("torn", times=4, path=CATALOGUE),)))
    with pytest.raises(SourceOutage):
        client.instruments()
    assert client.instruments().rows.height == 4


def test_an_empty_catalogue_is_a_venue_error(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, faults=_rows_spoiled(CATALOGUE, lambda _: []))
    with pytest.raises(SourceOutage, match="no contract at all") as caught:
        client.instruments()
    assert caught.value.code == "venue_error"


def test_the_catalogue_is_loaded_once_a_day(sandbox: Sandbox) -> None:
    client, sandbox, _ = _client(sandbox)
    for _ in range(2):
        client.instruments()
        client.depth_bands()
    assert [s.path for s in sandbox.requests].count(CATALOGUE) == 1
    client._clock.instant += timedelta(days=1)  # type: ignore[attr-defined]  # typed as a Clock; this one is the HandClock that _client made
    client.instruments()
    assert [s.path for s in sandbox.requests].count(CATALOGUE) == 2


def test_an_asset_that_does_not_trade_here_is_named_and_has_no_row(sandbox: Sandbox) -> None:
    client, _, _ = _client(sandbox, universe=("SOL", "HYPE"))
    for capture in (client.instruments(), client.candles(date(2025, 10, 10)), client.depth_bands()):
        assert capture.rows["asset"].unique().to_list() == ["SOL"]
        assert "not listed here: HYPE" in capture.origin_note


def test_with_a_base_url_no_address_of_the_venue_is_left(calm: tuple[Okx, Sandbox, PayloadLake]) -> None:
    exchange, _ = calm[0]._connection()
    assert set(exchange.urls["api"].values()) >= {calm[1].base_url}
    calm[0].probe()
    assert [s.path for s in calm[1].requests] == ["/api/v5/public/time"]


def test_the_real_venue_is_asked_under_ccxts_rate_limit() -> None:
    client = Okx(PayloadLake(), clock=HandClock(NOW), universe=ASSETS, is_synthetic=False)
    exchange, _ = client._connection()
    assert exchange.enableRateLimit
    assert exchange.implode_hostname(exchange.urls["api"]["rest"]) == Okx.origin


# -- malformed answers --------------------------------------------------------------------------------------------------

_BAD_CANDLES: dict[str, Any] = {
    "a null": [None, "1", "1", "1", "1", "1", "1", "1", "1"],
    "seconds": ["1760054400", "1", "1", "1", "1", "1", "1", "1", "1"],
    "microseconds": ["1760054400000000", "1", "1", "1", "1", "1", "1", "1", "1"],
    "a text time": ["yesterday", "1", "1", "1", "1", "1", "1", "1", "1"],
    "an object": {"open": "1"},
    "a number": 5,
    "nothing": None,
    "an empty list": [],
    "a short list": [MIDNIGHT, "1"],
    "a text price": [MIDNIGHT, "n/a", "1", "1", "1", "1", "1", "1", "1"],
    "a null price": [MIDNIGHT, None, "1", "1", "1", "1", "1", "1", "1"],
    "not a number": [MIDNIGHT, "NaN", "1", "1", "1", "1", "1", "1", "1"],
    "infinity": [MIDNIGHT, "inf", "1", "1", "1", "1", "1", "1", "1"],
    "an underscore": [MIDNIGHT, "1_000", "1", "1", "1", "1", "1", "1", "1"],
    "a boolean": [MIDNIGHT, True, "1", "1", "1", "1", "1", "1", "1"],
    "a list price": [MIDNIGHT, ["1"], "1", "1", "1", "1", "1", "1", "1"],
    "a zero price": [MIDNIGHT, "0", "1", "1", "1", "1", "1", "1", "1"],
    "a negative price": [MIDNIGHT, "-1", "1", "1", "1", "1", "1", "1", "1"],
    "a negative volume": [MIDNIGHT, "1", "1", "1", "1", "1", "-1", "1", "1"],
    "high below low": [MIDNIGHT, "1", "1", "2", "1", "1", "1", "1", "1"],
}


@pytest.mark.parametrize("bad", list(_BAD_CANDLES.values()), ids=list(_BAD_CANDLES))
def test_a_malformed_candle_is_kept_for_quarantine_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    faults = _rows_spoiled(CANDLES, lambda rows: [bad if r[0] == MIDNIGHT else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    capture = client.candles(date(2025, 10, 10))
    good, rejected = RAW_TABLES["candles"].split(capture.rows, now=NOW)
    assert good.height == 3 * 24 - 1
    good = good.filter(pl.col("price_kind") == "trade")
    assert good["interval_start_utc"].to_list() == [datetime(2025, 10, 10, h) for h in range(1, 24)]
    assert rejected.height == 1
    assert rejected["reason"].item()


@pytest.mark.parametrize("volume", [None, "", "x"])
def test_a_volume_that_is_not_told_is_missing_and_not_contracts_nor_zero(sandbox: Sandbox, volume: str | None) -> None:
    faults = _rows_spoiled(CANDLES, lambda rows: [[*r[:6], volume, *r[7:]] for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    assert client.candles(date(2025, 10, 10)).rows["volume_base"].to_list() == [None] * 3 * 24


@pytest.mark.parametrize(
    "bad",
    [
        [MIDNIGHT, "1"],
        [MIDNIGHT, "1", "x", None],
        [MIDNIGHT, "1", "-1", "1"],
        [MIDNIGHT, "1", "NaN", "1"],
        [MIDNIGHT, "1", "1", "inf"],
        [None, "1", "1", "1"],
        "a text",
        ["1760054400", "1", "1", "1"],
        {"ts": MIDNIGHT},
    ],
)
def test_a_malformed_open_interest_is_kept_for_quarantine(sandbox: Sandbox, bad: Any) -> None:
    faults = _rows_spoiled(OPEN_INTEREST, lambda rows: [bad if r[0] == MIDNIGHT else r for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    good, rejected = RAW_TABLES["open_interest"].split(client.open_interest(date(2025, 10, 10)).rows, now=NOW)
    assert good["occurred_at_utc"].dt.hour().to_list() == list(range(1, 24))
    assert rejected["reason"].item()


@pytest.mark.parametrize(
    "change",
    [
        {"fundingTime": None},
        {"fundingTime": "1760054400"},
        {"fundingTime": "soon"},
        {"realizedRate": "inf"},
        {"realizedRate": True},
        {"realizedRate": "5"},
        {"realizedRate": None, "fundingRate": None},
    ],
)
def test_a_malformed_settlement_is_kept_for_quarantine(sandbox: Sandbox, change: dict[str, Any]) -> None:
    faults = _rows_spoiled(
        FUNDING, lambda rows: [{**r, **change} if r["fundingTime"].startswith(MIDNIGHT[:9]) else r for r in rows]
    )
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    good, rejected = RAW_TABLES["funding_rates"].split(client.funding_rates(date(2025, 10, 10)).rows, now=NOW)
    assert good["occurred_at_utc"].dt.hour().to_list() == [8, 16]
    assert rejected.height == 1
    assert rejected["reason"].item()


@pytest.mark.parametrize("answer", [{"rows": []}, {}, "x", 5, [], [1], {"code": "0", "msg": "", "data": {}}])
def test_an_answer_without_a_list_of_records_is_a_venue_error(sandbox: Sandbox, answer: Any) -> None:
    client, _, _ = _client(sandbox, faults=_spoiled(FUNDING, lambda _: answer), universe=("SOL",))
    with pytest.raises(SourceOutage) as caught:
        client.funding_rates(date(2025, 10, 10))
    assert caught.value.code == "venue_error"


def test_records_of_another_contract_are_a_venue_error(sandbox: Sandbox) -> None:
    faults = _rows_spoiled(FUNDING, lambda rows: [{**r, "instId": "ETH-USDT-SWAP"} for r in rows])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    with pytest.raises(SourceOutage, match="another symbol"):
        client.funding_rates(date(2025, 10, 10))


@pytest.mark.parametrize(
    "change",
    [
        lambda book: {**book, "bids": []},
        lambda book: {**book, "bids": [["NaN", "1", "0", "1"]]},
        lambda book: {**book, "bids": [["1", None, "0", "1"]]},
        lambda book: {**book, "asks": None},
        lambda book: {**book, "bids": book["asks"]},
        lambda book: {**book, "bids": [["x", "1", "0", "1"]]},
        lambda book: {**book, "bids": [["1"]]},
        lambda book: {**book, "bids": [["1", "-1", "0", "1"]]},
        lambda book: {**book, "bids": 7},
        lambda book: [],
    ],
)
def test_a_book_that_cannot_be_summed_is_refused_with_a_reason_and_never_zero(sandbox: Sandbox, change: Any) -> None:
    client, _, _ = _client(
        sandbox, faults=_rows_spoiled(BOOKS, lambda books: [change(b) for b in books]), universe=("SOL",)
    )
    capture = client.depth_bands()
    good, rejected = RAW_TABLES["depth_bands"].split(capture.rows, now=NOW)
    assert good.height == 0
    assert rejected["reason"].unique().to_list() == ["missing_value"]
    assert "SOL-USDT-SWAP: " in capture.origin_note


def test_an_answer_without_a_book_is_refused_and_costs_no_other_contract(sandbox: Sandbox) -> None:
    answers: Iterator[list[Any] | None] = iter([[], None])
    faults = _rows_spoiled(BOOKS, lambda books: next(answers, books))
    client, _, _ = _client(sandbox, faults=faults)
    capture = client.depth_bands()
    good, rejected = RAW_TABLES["depth_bands"].split(capture.rows, now=NOW)
    assert good["venue_symbol"].unique().sort().to_list() == ["ETH-USDT-SWAP", "SOL-USDT-SWAP"]
    assert rejected.height == 2 * len(BANDS_BPS)


@pytest.mark.parametrize("ts", [None, "", "1761049800", "1761049800000000"])
def test_a_book_without_a_clock_is_refused(sandbox: Sandbox, ts: str | None) -> None:
    faults = _rows_spoiled(BOOKS, lambda books: [{**b, "ts": ts} for b in books])
    client, _, _ = _client(sandbox, faults=faults, universe=("SOL",))
    good, rejected = RAW_TABLES["depth_bands"].split(client.depth_bands().rows, now=NOW)
    assert good.height == 0
    assert rejected["reason"].unique().to_list() == ["missing_value"]
