"""Bybit's inverse contracts, which count dollars: what lands is the inverse market's truth in base units and USD."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from venue_clients import Bench, assert_trade_candles, bench_of, columns_of, judged, ms, ms_of, spoiled, valid

from pipelines.sandbox.faults import Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.venue_market import VenueMarket
from pipelines.sandbox.world import World
from pipelines.sources.depth import BANDS_BPS
from pipelines.sources.exchanges.bybit import Bybit

FIRST = date(2025, 9, 20)
NOW = datetime(2025, 10, 21, 12, 30)
DAYS = (date(2025, 10, 9), date(2025, 10, 11))
HOURS = slice(19 * 24, 22 * 24)
SYMBOL = "BTCUSD"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(7, FIRST, 32, assets=("BTC", "SOL"), crash_day=date(2025, 10, 10)), now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def market(sandbox: Sandbox) -> VenueMarket:
    return VenueMarket(sandbox.world, "bybit_inverse")


def _bench(sandbox: Sandbox, faults: Faults | None = None, **more: Any) -> Bench:
    return bench_of(Bybit, sandbox, now=NOW, universe=("BTC",), faults=faults, **more)


def _inverse(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(venue_symbol=SYMBOL)


def test_an_inverse_contract_is_one_dollar_settled_in_its_coin(sandbox: Sandbox) -> None:
    row = _inverse(valid(_bench(sandbox).client.instruments(), "instruments", NOW)).row(0, named=True)
    told = (
        "contract_kind",
        "quote_asset",
        "settle_asset",
        "contract_size_base",
        "contract_size_usd",
        "quantity_step_base",
    )
    assert [row[name] for name in told] == ["inverse", "USD", "BTC", None, 1.0, None]


@pytest.mark.parametrize("limit", [1_000, 7])
def test_candles_tell_coins_from_the_turnover(sandbox: Sandbox, market: VenueMarket, limit: int) -> None:
    bench = _bench(sandbox, page_limits={"candles": limit})
    rows = valid(bench.client.fetch("candles", *DAYS), "candles", NOW)
    assert_trade_candles(_inverse(rows), market, HOURS, ("BTC",))
    assert {s.query["category"] for s in sandbox.requests if s.query.get("symbol") == SYMBOL} == {"inverse"}


def test_funding_is_the_inverse_markets_own(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _inverse(valid(_bench(sandbox).client.fetch("funding_rates", FIRST, NOW.date()), "funding_rates", NOW))
    want = market.funding("BTC")
    known = want.settled_ms <= ms_of(NOW)
    assert np.array_equal(rows["funding_rate_frac"].to_numpy(), want.rate_frac[known])


@pytest.mark.parametrize("limit", [200, 7])
def test_open_interest_is_told_in_usd_of_both_sides_and_no_coins_are_made_up(
    sandbox: Sandbox, market: VenueMarket, limit: int
) -> None:
    bench = _bench(sandbox, page_limits={"open_interest": limit})
    got = columns_of(_inverse(valid(bench.client.fetch("open_interest", *DAYS), "open_interest", NOW)))
    want = market.open_interest("BTC")
    assert np.array_equal(ms(got["occurred_at_utc"]), want.at_ms[HOURS])
    assert np.isnan(got["open_interest_base"].astype(float)).all()
    # Whole dollars, on either side.
    np.testing.assert_allclose(got["open_interest_usd"], 2 * want.open_interest_usd[HOURS], rtol=0, atol=1.0)
    assert set(got["open_interest_basis"]) == {"two_sided"}


def test_books_are_brought_to_coins_level_by_level(sandbox: Sandbox, market: VenueMarket) -> None:
    rows = _inverse(valid(_bench(sandbox).client.depth_bands(), "depth_bands", NOW))
    assert rows.height == len(BANDS_BPS)
    assert rows["occurred_at_utc"].unique().to_list() == [NOW - timedelta(milliseconds=3)]
    book = market.book("BTC", NOW)
    seen = 0
    for band, bid, ask in rows.select("band_bps", "bid_depth_base", "ask_depth_base").iter_rows():
        for side, depth in ((book.bids[:1000], bid), (book.asks[:1000], ask)):
            away = np.abs(side[:, 0] / book.mid_quote - 1) * 1e4
            if depth is None:
                assert away.max() < band
            else:
                inside = side[away <= band + 1e-6]
                # Half a dollar per level is what whole dollars cost.
                assert depth == pytest.approx(inside[:, 1].sum(), abs=0.5 * len(inside) / inside[:, 0].min() + 1e-9)
                seen += 1
    assert seen > 0


@pytest.mark.parametrize("bad", [["1760054400000", "1", "1", "1", "1", "1"], ["1760054400000", "1"], None, 5, {}])
def test_a_malformed_kline_is_refused_and_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    def change(body: Any) -> Any:
        result = body["result"]
        if result["symbol"] != SYMBOL:
            return body
        rows = [bad if r[0] == "1760054400000" else r for r in result["list"]]
        return {**body, "result": {**result, "list": rows}}

    bench = _bench(sandbox, spoiled("/v5/market/kline", change))
    good, rejected = judged(bench.client.fetch("candles", date(2025, 10, 10)), "candles", NOW)
    trades = _inverse(good).filter(price_kind="trade")
    # A volume in dollars is never taken for coins: without the turnover there is no record.
    assert trades["volume_base"].null_count() == 0
    assert (trades.height, rejected.height) == (23, 1)
