"""Laws of every client that stands in `CASES`: what lands is the market's truth, whole, once, and never invented.

Belongs here: what is asked of a client whatever the venue. Does not: one venue's own rules (``test_<venue>.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

import polars as pl
import pytest
from venue_clients import (
    Bench,
    assert_depth_bands,
    assert_funding_rates,
    assert_liquidations,
    assert_open_interest,
    assert_tickers,
    assert_trade_candles,
    bench_of,
    judged,
    spoiled,
    valid,
)

from assets.ports import SourceOutage
from pipelines.sandbox import venue_market
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import Share, VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.registry import AS_OF_NOW, EXCHANGES, client_class
from quality.schemas.raw import RAW_TABLES

FIRST, DAYS_COUNT = date(2025, 9, 28), 16
NOW = datetime(2025, 10, 13, 12, 30)
ASSETS = ("BTC", "SOL")
# The crash day and its neighbours, and their hours since the market's start.
DAYS = (date(2025, 10, 9), date(2025, 10, 11))
HOURS = slice(11 * 24, 14 * 24)


@dataclass(frozen=True)
class Case:
    """What differs between venues.

    Parameters
    ----------
    catalogue : str
        Path of the list of contracts.
    paths : mapping
        Dataset -> the path that answers it (one of them, where it takes several).
    symbols : tuple of str
        The venue's names of `ASSETS`.
    places : mapping
        Dataset -> names on the way to the list of records in an answer; none where the answer is the list.
    unbounded : tuple of str
        Datasets whose request takes no bounds: what a short page hides cannot be asked for again.
    now_only : tuple of str
        Datasets that the venue shows as of now only, though others have days of them.
    sides_count : int
        Sides of a position that open interest counts.
    levels_count : int or None
        Levels of a book that are asked for; None: all.
    step_ms : int
        What the venue's clocks of settlements and liquidations are cut to.
    price : str
        The field of the truth that is the liquidations' price.
    untold : tuple of str
        Columns of tickers that the venue does not tell.
    asked_for_catalogue_count : int
        Questions that ccxt asks at the catalogue's path.
    """

    catalogue: str
    paths: dict[str, str]
    symbols: tuple[str, str]
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unbounded: tuple[str, ...] = ()
    now_only: tuple[str, ...] = ()
    sides_count: int = 1
    levels_count: int | None = 0
    step_ms: int = 1
    price: str = "bankruptcy_quote"
    untold: tuple[str, ...] = ()
    asked_for_catalogue_count: int = 1


_GATE = "/api/v4/futures/usdt"
CASES: dict[str, Case] = {
    "gate": Case(
        f"{_GATE}/contracts",
        {
            "candles": f"{_GATE}/candlesticks",
            "funding_rates": f"{_GATE}/funding_rate",
            "open_interest": f"{_GATE}/contract_stats",
            "long_short_ratios": f"{_GATE}/contract_stats",
            "liquidations": f"{_GATE}/liq_orders",
            "depth_bands": f"{_GATE}/order_book",
            "tickers": f"{_GATE}/tickers",
            "leverage_tiers": f"{_GATE}/risk_limit_tiers",
            "insurance_funds": f"{_GATE}/insurance",
        },
        ("BTC_USDT", "SOL_USDT"),
        sides_count=2,
        levels_count=300,
        step_ms=1_000,
        price="fill_quote",
    ),
    "htx": Case(
        "/linear-swap-api/v1/swap_contract_info",
        {
            "candles": "/linear-swap-ex/market/history/kline",
            "funding_rates": "/v5/market/funding_rate_history",
            "open_interest": "/linear-swap-api/v1/swap_his_open_interest",
            "liquidations": "/v5/market/liquidation_orders",
            "depth_bands": "/linear-swap-ex/market/depth",
            "tickers": "/v2/linear-swap-ex/market/detail/batch_merged",
        },
        ("BTC-USDT", "SOL-USDT"),
        places={
            "candles": ("data",),
            "funding_rates": ("data",),
            "open_interest": ("data", "tick"),
            "liquidations": ("data",),
            "tickers": ("ticks",),
        },
        unbounded=("open_interest",),
        sides_count=2,
        levels_count=150,
        untold=("mark_quote", "open_interest_base"),
    ),
    "bitget": Case(
        "/api/v2/mix/market/contracts",
        {
            "candles": "/api/v2/mix/market/candles",
            "funding_rates": "/api/v2/mix/market/history-fund-rate",
            "open_interest": "/api/v2/mix/market/tickers",
            "depth_bands": "/api/v2/mix/market/merge-depth",
            "tickers": "/api/v2/mix/market/tickers",
        },
        ("BTCUSDT", "SOLUSDT"),
        places=dict.fromkeys(("candles", "funding_rates", "open_interest", "tickers"), ("data",)),
        now_only=("open_interest",),
        levels_count=500,
        asked_for_catalogue_count=6,
    ),
    "kucoin": Case(
        "/api/v1/contracts/active",
        {
            "candles": "/api/v1/kline/query",
            "funding_rates": "/api/v1/contract/funding-rates",
            "open_interest": "/api/v1/contracts/active",
            "depth_bands": "/api/v1/level2/snapshot",
            "tickers": "/api/v1/allTickers",
            "leverage_tiers": "/api/v1/contracts/risk-limit",
        },
        ("XBTUSDTM", "SOLUSDTM"),
        places=dict.fromkeys(("candles", "funding_rates", "open_interest", "tickers", "leverage_tiers"), ("data",)),
        now_only=("open_interest",),
        levels_count=None,
        step_ms=3_600_000,
    ),
}
SERIES = [(v, d) for v, c in CASES.items() for d in EXCHANGES[v] if d not in AS_OF_NOW and d not in c.now_only]
REGULAR = [(v, d) for v, d in SERIES if d != "liquidations"]
ASKED = [(v, d) for v in CASES for d in EXCHANGES[v] if d != "instruments"]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS_COUNT, assets=ASSETS, crash_day=date(2025, 10, 10))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, venue: str, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(client_class(venue), sandbox, faults=faults, **{"now": NOW, "universe": ASSETS, **more})


def _days(venue: str, dataset: str, first: date, last: date) -> tuple[date, date]:
    """Return the days to ask for: those, or today where the venue shows no other."""
    return (NOW.date(), NOW.date()) if dataset in CASES[venue].now_only else (first, last)


def _landed(bench: Bench, dataset: str, days: tuple[date, date] = DAYS) -> pl.DataFrame:
    """Return what a dataset lands, in the order of its grain, without the payloads' names."""
    rows = valid(bench.client.fetch(dataset, *days), dataset, bench.clock.now())
    return rows.drop("payload_sha256").sort(RAW_TABLES[dataset].grain)


def _spoiled(venue: str, dataset: str, change: Callable[[list[Any]], list[Any]]) -> Faults:
    """Let the sandbox answer a dataset with its list of records changed."""
    case = CASES[venue]

    def changed(body: Any, place: tuple[str, ...] = case.places.get(dataset, ())) -> Any:
        return {**body, place[0]: changed(body[place[0]], place[1:])} if place else change(body)

    return spoiled(case.paths[dataset], changed)


# -- values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", CASES)
def test_instruments_are_the_contracts_that_trade_and_no_others(sandbox: Sandbox, venue: str) -> None:
    bench = _bench(sandbox, venue, universe=("SOL", "HYPE", "MATIC", "BTC"))
    capture = bench.client.instruments()
    rows = valid(capture, "instruments", NOW).sort("asset")
    assert tuple(rows["venue_symbol"]) == CASES[venue].symbols
    assert rows.select("contract_kind", "quote_asset", "settle_asset").unique().rows() == [("linear", "USDT", "USDT")]
    assert rows["price_tick_quote"].to_list() == pytest.approx([0.1, 0.01])
    assert rows["listed_at_utc"].to_list() == [datetime(2025, 9, 28)] * 2
    assert "not listed here: HYPE, MATIC" in capture.origin_note
    bench.client.depth_bands()
    assert bench.asked(CASES[venue].catalogue) == CASES[venue].asked_for_catalogue_count, "it is loaded once"


@pytest.mark.parametrize(("venue", "dataset"), ASKED)
def test_what_lands_is_the_markets(sandbox: Sandbox, world: World, venue: str, dataset: str) -> None:
    case, market = CASES[venue], VenueMarket(world, venue)
    rows = valid(_bench(sandbox, venue).client.fetch(dataset, *_days(venue, dataset, *DAYS)), dataset, NOW)
    assert rows["venue"].unique().to_list() == [venue]
    if dataset == "candles":
        assert_trade_candles(rows, market, HOURS, ASSETS, volume_rtol=1e-12)
    elif dataset == "funding_rates":
        assert_funding_rates(rows, market, DAYS, ASSETS, step_ms=case.step_ms)
    elif dataset == "open_interest" and dataset in case.now_only:
        hour = int((NOW - datetime.combine(FIRST, datetime.min.time())) / timedelta(hours=1))
        held = [market.open_interest(a).open_interest_base[hour] * case.sides_count for a in ASSETS]
        assert rows.sort("asset")["open_interest_base"].to_list() == pytest.approx(held)
        assert rows["occurred_at_utc"].unique().to_list() == [NOW]
    elif dataset == "open_interest":
        assert_open_interest(rows, market, HOURS, ASSETS, sides_count=case.sides_count)
    elif dataset == "depth_bands":
        assert_depth_bands(rows, market, NOW, ASSETS, levels_count=case.levels_count)
    elif dataset == "liquidations":
        assert_liquidations(rows, market, DAYS, ASSETS, price=case.price, step_ms=case.step_ms)
    elif dataset == "tickers":
        assert_tickers(rows, market, NOW, ASSETS, missing=case.untold)
    else:
        assert dataset in ("long_short_ratios", "leverage_tiers", "insurance_funds"), "see the venue's own tests"


@pytest.mark.parametrize("venue", CASES)
def test_tickers_are_of_all_contracts_and_not_of_the_universe(sandbox: Sandbox, venue: str) -> None:
    rows = valid(_bench(sandbox, venue, universe=("DOGE",)).client.tickers(), "tickers", NOW)
    assert rows["asset"].sort().to_list() == list(ASSETS)


# -- pages and days -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "dataset"), REGULAR)
def test_page_edges_leave_no_gap_and_no_duplicate(sandbox: Sandbox, venue: str, dataset: str) -> None:
    want = _landed(_bench(sandbox, venue, universe=("SOL",)), dataset)
    got = _landed(_bench(sandbox, venue, universe=("SOL",), page_limits={dataset: 7}), dataset)
    assert got.equals(want)
    assert want.height >= 9


@pytest.mark.parametrize(("venue", "dataset"), REGULAR)
def test_pages_shorter_than_asked_for_never_leave_a_gap(sandbox: Sandbox, venue: str, dataset: str) -> None:
    want = _landed(_bench(sandbox, venue, universe=("SOL",)), dataset)
    bench = _bench(sandbox, venue, Faults(page_cap_count=10), universe=("SOL",))
    if dataset in CASES[venue].unbounded:
        with pytest.raises(SourceOutage, match="no complete range"):
            _landed(bench, dataset)
    else:
        assert _landed(bench, dataset).equals(want)


@pytest.mark.parametrize(("venue", "dataset"), SERIES)
def test_days_one_by_one_and_the_range_land_the_same(sandbox: Sandbox, venue: str, dataset: str) -> None:
    bench = _bench(sandbox, venue, universe=("BTC",))
    days = (date(2025, 10, 10), date(2025, 10, 11))
    single = pl.concat([_landed(bench, dataset, (day, day)) for day in days])
    assert single.sort(RAW_TABLES[dataset].grain).equals(_landed(bench, dataset, days))


@pytest.mark.parametrize(("venue", "dataset"), SERIES)
def test_a_day_that_has_not_begun_is_empty_and_today_ends_now(sandbox: Sandbox, venue: str, dataset: str) -> None:
    client = _bench(sandbox, venue, universe=("SOL",)).client
    tomorrow = NOW.date() + timedelta(days=1)
    assert client.fetch(dataset, tomorrow).rows.height == 0
    if dataset != "liquidations":
        clock = "interval_start_utc" if dataset == "candles" else "occurred_at_utc"
        assert valid(client.fetch(dataset, NOW.date()), dataset, NOW)[clock].max() <= NOW


@pytest.mark.parametrize("venue", CASES)
def test_the_running_candle_is_as_it_is_now(sandbox: Sandbox, world: World, venue: str) -> None:
    rows = valid(_bench(sandbox, venue, universe=("SOL",)).client.fetch("candles", NOW.date()), "candles", NOW)
    half = VenueMarket(world, venue).open_candle("SOL", NOW)
    assert half is not None
    last = rows.sort("interval_start_utc").tail(1).to_dicts()[0]
    assert (last["interval_start_utc"], last["low_quote"]) == (datetime(2025, 10, 13, 12), half.low_quote[0])
    assert last["volume_base"] == pytest.approx(half.volume_base[0], rel=1e-12)


@pytest.mark.parametrize("venue", CASES)
def test_hourly_settlements_are_complete(monkeypatch: pytest.MonkeyPatch, venue: str) -> None:
    monkeypatch.setitem(venue_market.SHARES, venue, Share(0.2, 3.0, 1))
    world, now = World(3, FIRST, 9, assets=("SOL",)), datetime(2025, 10, 6)
    with serve(world, now=now) as sandbox:
        bench = _bench(sandbox, venue, universe=("SOL",), now=now)
        rows = bench.client.fetch("funding_rates", FIRST, date(2025, 10, 5)).rows
    assert_funding_rates(
        rows, VenueMarket(world, venue), (FIRST, date(2025, 10, 5)), ("SOL",), step_ms=CASES[venue].step_ms
    )
    assert rows.height == 8 * 24


@pytest.mark.parametrize(
    ("venue", "dataset"), [(v, d) for v, d in REGULAR if client_class(v).memory.get(d) is not None]
)
def test_the_first_offered_day_is_answered_and_the_day_before_is_not_offered(
    sandbox: Sandbox, venue: str, dataset: str
) -> None:
    memory = client_class(venue).memory[dataset]
    client = _bench(sandbox, venue, universe=("SOL",), now=datetime(2025, 10, 8, 12) + memory).client
    first = client.first_offered_day(dataset)
    assert first == date(2025, 10, 9)
    assert client.fetch(dataset, first).rows.height >= 3
    with pytest.raises(SourceOutage, match=str(first)) as caught:
        client.fetch(dataset, date(2025, 10, 8))
    assert caught.value.code == "not_offered"


@pytest.mark.parametrize(("venue", "dataset"), [(v, d) for v, c in CASES.items() for d in c.now_only])
def test_what_is_shown_as_of_now_has_no_yesterday_and_no_tomorrow(sandbox: Sandbox, venue: str, dataset: str) -> None:
    client = _bench(sandbox, venue).client
    with pytest.raises(SourceOutage, match="as of now only") as caught:
        client.fetch(dataset, NOW.date() - timedelta(days=1), NOW.date())
    assert caught.value.code == "not_offered"
    assert client.fetch(dataset, NOW.date() + timedelta(days=1)).rows.height == 0


# -- faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "dataset"), ASKED)
def test_a_passing_fault_changes_nothing(sandbox: Sandbox, venue: str, dataset: str) -> None:
    kind: Literal["torn", "rate_limited"] = "torn" if dataset in AS_OF_NOW else "rate_limited"
    days = _days(venue, dataset, DAYS[1], DAYS[1])
    want = _landed(_bench(sandbox, venue, universe=("SOL",)), dataset, days)
    fault = Fault(kind, first=1, path=CASES[venue].paths[dataset], retry_after_s=2)
    bench = _bench(sandbox, venue, Faults((fault,)), universe=("SOL",))
    got = _landed(bench, dataset, days)
    is_now = dataset in AS_OF_NOW or dataset in CASES[venue].now_only
    waited = [name for name in ("observed_at_utc", "occurred_at_utc") if name in got.columns and is_now]
    assert got.drop(waited).equals(want.drop(waited))
    assert bench.clock.slept


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("error", "venue_error"),
        ("torn", "venue_error"),
        ("banned", "banned"),
        ("geoblocked", "geoblocked"),
        ("rate_limited", "rate_limited"),
    ],
)
@pytest.mark.parametrize("venue", CASES)
def test_lasting_faults_are_outages_with_their_code(sandbox: Sandbox, venue: str, kind: Any, code: str) -> None:
    client = _bench(sandbox, venue, Faults((Fault(kind, times=99),)), universe=("SOL",)).client
    for ask in (client.probe, client.instruments, lambda: client.fetch("candles", DAYS[0])):
        with pytest.raises(SourceOutage) as caught:
            ask()
        assert caught.value.code == code
        assert len(str(caught.value).splitlines()) == 1


# -- answers of another shape -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"rows": []}, None])
@pytest.mark.parametrize(("venue", "dataset"), [(v, d) for v, d in ASKED if d != "depth_bands"])
def test_an_answer_of_another_shape_is_a_venue_error(sandbox: Sandbox, venue: str, dataset: str, answer: Any) -> None:
    client = _bench(sandbox, venue, universe=("SOL",)).client
    client.instruments()
    sandbox.restart(faults=spoiled(CASES[venue].paths[dataset], lambda _: answer))
    with pytest.raises(SourceOutage) as caught:
        client.fetch(dataset, *_days(venue, dataset, DAYS[1], DAYS[1]))
    assert caught.value.code == "venue_error"


@pytest.mark.parametrize("bad", [{}, 5], ids=repr)
@pytest.mark.parametrize(
    ("venue", "dataset"), [(v, d) for v, d in ASKED if d not in ("depth_bands", "insurance_funds")]
)
def test_a_malformed_record_is_kept_for_quarantine_and_costs_no_other(
    sandbox: Sandbox, venue: str, dataset: str, bad: Any
) -> None:
    days = _days(venue, dataset, date(2025, 10, 10), date(2025, 10, 10))
    client = _bench(sandbox, venue, universe=("BTC",)).client
    want, _ = judged(client.fetch(dataset, *days), dataset, NOW)
    client = _bench(sandbox, venue, universe=("BTC",)).client
    # The catalogue, which ccxt reads, may be what answers.
    client.instruments()
    sandbox.restart(faults=_spoiled(venue, dataset, lambda rows: [*rows, bad]))
    good, rejected = judged(client.fetch(dataset, *days), dataset, NOW)
    if dataset == "leverage_tiers":
        # A ladder stands whole or not at all.
        assert good.height == 0
    else:
        assert good.drop("payload_sha256").equals(want.drop("payload_sha256"))
    if dataset != "tickers" and dataset not in CASES[venue].now_only:
        assert rejected.height > 0
        assert rejected["reason"].null_count() == 0


@pytest.mark.parametrize("figure", [None, "n/a", "NaN", "-1"], ids=repr)
@pytest.mark.parametrize("venue", CASES)
def test_a_book_that_cannot_be_summed_is_refused_with_a_reason_and_never_zero(
    sandbox: Sandbox, venue: str, figure: Any
) -> None:
    def change(body: Any) -> Any:
        book = body
        while "bids" not in book:
            book = book.get("tick") or book.get("data")
        level = book["bids"][0]
        level["s" if isinstance(level, dict) else 1] = figure
        return body

    client = _bench(sandbox, venue, spoiled(CASES[venue].paths["depth_bands"], change), universe=("SOL",)).client
    capture = client.depth_bands()
    good, rejected = judged(capture, "depth_bands", NOW)
    assert good.height == 0
    assert rejected["reason"].unique().to_list() == ["missing_value"]
    assert "SOL" in capture.origin_note


@pytest.mark.parametrize("venue", [v for v, d in SERIES if d == "liquidations"])
def test_liquidations_are_whole_at_any_page_limit(sandbox: Sandbox, world: World, venue: str) -> None:
    limit = _fullest_instant(VenueMarket(world, venue), CASES[venue].step_ms) + 1
    rows = valid(
        _bench(sandbox, venue, page_limits={"liquidations": limit}).client.fetch("liquidations", *DAYS),
        "liquidations",
        NOW,
    )
    assert_liquidations(
        rows, VenueMarket(world, venue), DAYS, ASSETS, price=CASES[venue].price, step_ms=CASES[venue].step_ms
    )


def _fullest_instant(market: VenueMarket, step_ms: int) -> int:
    at = pl.Series([int(a) // step_ms for asset in ASSETS for a in market.liquidations(asset).at_ms])
    return int(at.value_counts()["count"].max())


def test_every_case_names_the_datasets_of_its_venue() -> None:
    for venue, case in CASES.items():
        assert {"instruments", *case.paths} == set(EXCHANGES[venue])
