"""The world through a venue: lawful candles and books, its own size and distance, one crash for all."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest

from pipelines.sandbox.venue_market import SHARES, VenueMarket
from pipelines.sandbox.world import World

pytestmark = pytest.mark.fast

NOON = datetime(2025, 9, 3, 12, 30)


@pytest.fixture(scope="module")
def world() -> World:
    return World(5, date(2025, 9, 1), 4, crash_day=date(2025, 9, 3))


def test_binance_is_the_world_itself(world: World) -> None:
    market = VenueMarket(world, "binance")
    for asset in world.assets:
        for name in ("candles", "funding", "open_interest"):
            own, whole = vars(getattr(market, name)(asset)), vars(getattr(world, name)(asset))
            assert all(np.array_equal(own[k], whole[k]) for k in whole)
        assert np.array_equal(market.book(asset, NOON).bids, world.book(asset, NOON).bids)


@pytest.mark.parametrize("venue", sorted(set(SHARES) - {"binance"}))
def test_a_venue_has_its_share_and_stands_within_its_distance(world: World, venue: str) -> None:
    market, share = VenueMarket(world, venue), SHARES[venue]
    for asset in world.assets:
        profile, own, whole = world.profile(asset), market.candles(asset), world.candles(asset)
        apart = own.close_quote - whole.close_quote
        assert np.abs(apart).max() <= share.widest_bps / 1e4 * profile.level_quote + profile.tick_quote
        assert np.ptp(np.round(apart / profile.tick_quote)) == 0
        assert (own.low_quote <= np.minimum(own.open_quote, own.close_quote)).all()
        assert (own.high_quote >= np.maximum(own.open_quote, own.close_quote)).all()
        # Every price is the very number that its decimals print.
        assert all(float(f"{p:.{profile.price_decimals}f}") == p for p in own.high_quote)
        assert own.volume_base.sum() == pytest.approx(share.size_frac * whole.volume_base.sum(), rel=1e-3)
        assert (own.taker_buy_base <= own.volume_base).all()
        held, all_held = market.open_interest(asset), world.open_interest(asset)
        assert held.open_interest_base.sum() == pytest.approx(
            share.size_frac * all_held.open_interest_base.sum(), rel=1e-3
        )
        assert np.diff(market.funding(asset).settled_ms) == pytest.approx(share.funding_hours * 3_600_000, abs=20)
        assert np.argmin(own.low_quote) == np.argmin(whole.low_quote)


@pytest.mark.parametrize("venue", sorted(SHARES))
def test_books_are_not_crossed_and_stand_around_the_price(world: World, venue: str) -> None:
    market = VenueMarket(world, venue)
    for asset in world.assets:
        book = market.book(asset, NOON)
        assert book.bids[0, 0] < market.price(asset, NOON) < book.asks[0, 0]
        assert (np.diff(book.bids[:, 0]) < 0).all()
        assert (np.diff(book.asks[:, 0]) > 0).all()
        assert min(book.bids[:, 1].min(), book.asks[:, 1].min()) > 0


@pytest.mark.parametrize("venue", sorted(SHARES))
def test_minutes_add_up_to_their_hour_in_the_venues_steps(world: World, venue: str) -> None:
    market = VenueMarket(world, venue)
    for asset in world.assets:
        minutes, hours = market.minute_candles(asset), market.candles(asset)
        steps = 10 ** world.profile(asset).quantity_decimals
        for name in ("volume_base", "taker_buy_base"):
            of_minutes, of_hours = (np.round(getattr(c, name) * steps).astype(np.int64) for c in (minutes, hours))
            assert np.array_equal(of_minutes.reshape(-1, 60).sum(axis=1), of_hours)
            assert of_minutes.min() >= 0
        assert (minutes.taker_buy_base <= minutes.volume_base).all()
        by_hour = {k: v.reshape(-1, 60) for k, v in minutes.columns().items()}
        assert np.array_equal(by_hour["start_ms"][:, 0], hours.start_ms)
        assert np.array_equal(by_hour["open_quote"][:, 0], hours.open_quote)
        assert np.array_equal(by_hour["close_quote"][:, -1], hours.close_quote)
        assert np.array_equal(by_hour["high_quote"].max(axis=1), hours.high_quote)
        assert np.array_equal(by_hour["low_quote"].min(axis=1), hours.low_quote)
        # What a minute ends with the next one begins with.
        assert np.array_equal(minutes.close_quote[:-1], minutes.open_quote[1:])


def test_a_rate_is_that_of_its_own_interval(world: World) -> None:
    eight, one = world.funding("BTC"), world.funding("BTC", 1)
    assert one.settled_ms.size == 8 * eight.settled_ms.size
    assert np.abs(one.rate_frac).mean() == pytest.approx(np.abs(eight.rate_frac).mean() / 8, rel=0.5)


def test_mark_and_index_stand_near_the_trades_and_in_order(world: World) -> None:
    market = VenueMarket(world, "bybit")
    trades = market.candles("ETH")
    for candles in (market.mark_candles("ETH"), market.index_candles("ETH")):
        assert np.array_equal(candles.start_ms, trades.start_ms)
        assert (candles.low_quote <= np.minimum(candles.open_quote, candles.close_quote)).all()
        assert (candles.high_quote >= np.maximum(candles.open_quote, candles.close_quote)).all()
        assert np.abs(candles.close_quote / trades.close_quote - 1).max() < 20e-4


def test_long_short_ratios_count_the_open_accounts(world: World) -> None:
    got = VenueMarket(world, "okx").long_short_ratios("BTC")
    for hour in (0, 60, got.at_ms.size - 1):
        at = got.at_ms[hour].astype("datetime64[ms]").astype(datetime)
        open_now = world.traders("BTC").open_at(at)
        is_long = open_now.position_side == "long"
        assert got.accounts_x[hour] == pytest.approx(is_long.sum() / (~is_long).sum(), abs=1e-4)


def test_every_liquidation_happens_at_one_venue(world: World) -> None:
    told = [VenueMarket(world, venue).liquidations("SOL") for venue in SHARES]
    when = world.traders("SOL").liquidated_at_utc
    shown = (when >= np.datetime64(world.start, "ms")) & (when < np.datetime64(world.end, "ms"))
    assert sum(one.at_ms.size for one in told) == shown.sum() > 50
    assert sum(one.quantity_base.sum() for one in told) == pytest.approx(
        world.traders("SOL").quantity_base[shown].sum()
    )
    for one in told:
        assert (np.diff(one.at_ms) >= 0).all()
        # A long is worth nothing below where it was closed by force at the latest.
        assert (one.bankruptcy_quote > 0).all()
        assert (one.fill_quote > 0).all()
