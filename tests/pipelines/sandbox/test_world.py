"""The simulated market: same seed same bytes, consistent candles, a crash of the promised size, a known truth."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.sandbox.profiles import profiles_of
from pipelines.sandbox.world import World
from pipelines.sources.files.imports import import_files, load_mapping

pytestmark = pytest.mark.fast

FIRST, CRASH = date(2025, 9, 20), date(2025, 10, 10)
DAYS = 32


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, FIRST, DAYS, crash_day=CRASH)


def _digest(world: World) -> str:
    sha = hashlib.sha256()
    for asset in world.assets:
        for part in (world.candles(asset), world.funding(asset), world.open_interest(asset), world.traders(asset)):
            for name, values in sorted(vars(part).items()):
                sha.update(name.encode() + values.tobytes())
        book = world.book(asset, world.start + timedelta(days=1, minutes=7))
        sha.update(book.bids.tobytes() + book.asks.tobytes())
    return sha.hexdigest()


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(world: World) -> None:
    assert _digest(World(7, FIRST, DAYS, crash_day=CRASH)) == _digest(world)
    assert _digest(World(8, FIRST, DAYS, crash_day=CRASH)) != _digest(world)


def test_an_asset_does_not_depend_on_which_others_are_simulated(world: World) -> None:
    alone = World(7, FIRST, DAYS, assets=("ETH",), crash_day=CRASH)
    assert np.array_equal(alone.candles("ETH").close_quote, world.candles("ETH").close_quote)


@pytest.mark.parametrize("asset", ["BTC", "ETH", "SOL"])
def test_candles_are_contiguous_and_consistent(world: World, asset: str) -> None:
    c = world.candles(asset)
    assert c.start_ms.size == DAYS * 24
    assert np.all(np.diff(c.start_ms) == 3_600_000)
    assert np.all(c.open_quote[1:] == c.close_quote[:-1])
    assert np.all(c.high_quote >= np.maximum(c.open_quote, c.close_quote))
    assert np.all(c.low_quote <= np.minimum(c.open_quote, c.close_quote))
    assert np.all(c.low_quote > 0)
    assert np.all(c.volume_base > 0)
    assert np.all((c.taker_buy_base >= 0) & (c.taker_buy_base <= c.volume_base))
    decimals = world.profile(asset).price_decimals
    printed = np.array([float(f"{p:.{decimals}f}") for p in c.low_quote])
    assert np.array_equal(printed, c.low_quote), "prices are exactly what the wire prints"


@pytest.mark.parametrize(("asset", "level"), [("BTC", 110_000), ("ETH", 4_000), ("SOL", 200)])
def test_levels_are_realistic_before_the_crash(world: World, asset: str, level: float) -> None:
    assert world.candles(asset).open_quote[0] == pytest.approx(level, rel=0.031)


def test_assets_move_together(world: World) -> None:
    returns = [np.diff(np.log(world.candles(a).close_quote[: 20 * 24])) for a in world.assets]
    assert np.all(np.corrcoef(returns)[np.triu_indices(3, 1)] > 0.4)


@pytest.mark.parametrize(("asset", "shallow", "deep"), [("BTC", 0.09, 0.18), ("ETH", 0.15, 0.27), ("SOL", 0.23, 0.40)])
def test_crash_falls_as_far_as_promised_and_partly_recovers(asset: str, shallow: float, deep: float) -> None:
    for seed in range(3):
        world = World(seed, CRASH - timedelta(days=3), 6, assets=(asset,), crash_day=CRASH)
        c, day = world.candles(asset), slice(72, 96)
        opened, low, closed = c.open_quote[day][0], c.low_quote[day].min(), c.close_quote[day][-1]
        assert shallow < 1 - low / opened < deep
        assert low < closed < opened
        oi = world.open_interest(asset).open_interest_base
        onset = 72 + int(np.argmin(c.low_quote[day]))
        assert oi[onset + 2 : onset + 12].min() < 0.985 * oi[onset - 2], "forced sales close open interest"


def test_no_crash_day_means_no_crash() -> None:
    quiet = World(7, FIRST, 12, crash_day=None)
    for asset in quiet.assets:
        daily = quiet.candles(asset).low_quote.reshape(-1, 24).min(axis=1) / quiet.candles(asset).open_quote[::24]
        assert daily.min() > 0.80
        assert quiet.depth_survival(asset, quiet.start + timedelta(days=5)) == 1.0


def test_liquidated_traders_are_those_whose_price_was_reached(world: World) -> None:
    for asset in world.assets:
        t, c = world.traders(asset), world.candles(asset)
        tick = world.profile(asset).tick_quote
        hours = c.start_ms.astype("datetime64[ms]")
        checked = 0
        for i in range(len(t)):
            if t.opened_at_utc[i] < hours[0]:
                continue
            forced = not np.isnat(t.liquidated_at_utc[i])
            ended = t.liquidated_at_utc[i] if forced else t.closed_at_utc[i]
            until = hours[-1] if np.isnat(ended) else ended
            # The price of the hour's last instant is the candle's close: an end at that instant belongs to the candle.
            ends = hours + np.timedelta64(1, "h")
            held = (hours >= t.opened_at_utc[i]) & ((ends < until) if forced else (ends <= until))
            long, price = t.position_side[i] == "long", t.liquidation_price_quote[i]
            reached = c.low_quote[held] < price - tick if long else c.high_quote[held] > price + tick
            assert not reached.any(), "nobody outlives a price that would have closed them"
            if forced:
                hour = int(np.searchsorted(hours, ended, side="right")) - 1
                near = slice(max(0, hour - 1), hour + 1)
                low, high = c.low_quote[near].min(), c.high_quote[near].max()
                assert low <= price + tick if long else high >= price - tick
                checked += 1
        assert checked > 20


def test_traders_have_isolated_margins_that_give_their_liquidation_prices(world: World) -> None:
    for asset in world.assets:
        t, m = world.traders(asset), world.profile(asset).maintenance_margin_frac
        sign = np.where(t.position_side == "long", 1.0, -1.0)
        equity = t.margin_usd + sign * t.quantity_base * (t.liquidation_price_quote - t.entry_price_quote)
        assert equity == pytest.approx(m * t.quantity_base * t.liquidation_price_quote, rel=1e-9)
        assert np.all(np.isnat(t.closed_at_utc) | np.isnat(t.liquidated_at_utc))


def test_open_traders_explain_part_of_the_open_interest(world: World) -> None:
    at = datetime(2025, 10, 9, 12)
    for asset in world.assets:
        oi = world.open_interest(asset)
        i = int((at - world.start) / timedelta(hours=1))
        now = world.traders(asset).open_at(at)
        longs = now.quantity_base[now.position_side == "long"].sum()
        assert 0.15 < longs / oi.open_interest_base[i] < 0.75
        assert oi.open_interest_usd[i] == pytest.approx(oi.open_interest_base[i] * world.price(asset, at), rel=1e-9)


def test_funding_settles_every_eight_hours_with_a_little_jitter(world: World) -> None:
    f = world.funding("BTC")
    start = int(np.datetime64(world.start, "ms").astype(np.int64))
    late = f.settled_ms - (start + np.arange(f.settled_ms.size) * 8 * 3_600_000)
    assert f.settled_ms.size == DAYS * 3
    assert late.min() >= 0
    assert 0 < late.max() < 50
    assert np.abs(f.rate_frac).max() <= 0.003
    assert f.rate_frac.min() < 0 < f.rate_frac.max()


def test_books_are_ordered_and_thin_in_the_crash(world: World) -> None:
    calm, low = datetime(2025, 10, 9, 12), None
    for asset in world.assets:
        c = world.candles(asset)
        hour = int(np.argmin(c.low_quote))
        low = world.start + timedelta(hours=hour)
        worst = min((low + timedelta(minutes=m) for m in range(60)), key=lambda at: world.depth_survival(asset, at))
        depth = []
        for at in (calm, worst):
            book = world.book(asset, at)
            assert np.all(np.diff(book.bids[:, 0]) < 0)
            assert np.all(np.diff(book.asks[:, 0]) > 0)
            assert book.bids[0, 0] < book.asks[0, 0]
            assert np.all(book.bids[:, 1] > 0)
            assert book.mid_quote == pytest.approx(world.price(asset, at), rel=1e-3)
            near = book.bids[:, 0] >= 0.99 * book.mid_quote
            depth.append(float((book.bids[near, 0] * book.bids[near, 1]).sum()))
        assert depth[1] < 0.4 * depth[0]
        assert np.array_equal(world.book(asset, worst).bids, world.book(asset, worst + timedelta(seconds=30)).bids)


def test_the_open_candle_is_the_hour_so_far(world: World) -> None:
    hour = datetime(2025, 10, 10, 14)
    i = int((hour - world.start) / timedelta(hours=1))
    whole, half = world.candles("BTC"), world.open_candle("BTC", hour + timedelta(minutes=30))
    assert half is not None
    assert half.open_quote[0] == whole.open_quote[i]
    assert whole.low_quote[i] <= half.low_quote[0] <= half.high_quote[0] <= whole.high_quote[i]
    assert 0 < half.volume_base[0] < whole.volume_base[i]
    assert world.open_candle("BTC", world.end) is None


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"days_count": 0},
        {"assets": ("DOGE",)},
        {"assets": ("BTC", "BTC")},
        {"assets": ()},
        {"crash_day": date(2024, 1, 1)},
    ],
)
def test_world_refuses_what_it_cannot_simulate(bad: dict[str, object]) -> None:
    good: dict[str, object] = {"seed": 1, "first_day": FIRST, "days_count": 2, "assets": ("BTC",), "crash_day": None}
    with pytest.raises(ValueError, match=r"world needs|sandbox simulates|crash day"):
        World(**{**good, **bad})  # type: ignore[arg-type]  # a double or a wrong type, on purpose


def test_a_world_may_end_inside_its_crash() -> None:
    for hours_left in (1, 0):
        world = World(3, CRASH - timedelta(days=hours_left), 1 + hours_left, assets=("SOL",), crash_day=CRASH)
        assert np.isfinite(world.candles("SOL").close_quote).all()
        assert np.isfinite(world.traders("SOL").entry_price_quote).all()


def test_feeds_have_their_publishers_layout(world: World, tmp_path: Path) -> None:
    world.write_files(tmp_path)
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.csv"))
    assert names == [
        "flows/btc_spot_etf_net_flow.csv",
        "macro/DGS10.csv",
        "macro/DGS2.csv",
        "macro/FEDFUNDS.csv",
        "macro/VIXCLS.csv",
        "sentiment/fear_greed.csv",
    ]
    etf = (tmp_path / "flows/btc_spot_etf_net_flow.csv").read_text().splitlines()
    days = [datetime.fromisoformat(line.split(",")[0].rstrip("Z")).date() for line in etf[1:]]
    assert etf[0] == "Datetime,ETF Net Flow (USD mn)"
    assert days == sorted(days, reverse=True)
    assert all(d.weekday() < 5 for d in days)
    assert (days[0], days[-1]) == (date(2025, 10, 21), date(2025, 7, 22))
    vix = [line.split(",") for line in (tmp_path / "macro/VIXCLS.csv").read_text().splitlines()]
    assert vix[0] == ["date", "value"]
    assert ["2025-09-01", ""] in vix, "a holiday is a blank"
    assert all(float(v) >= 9 for _, v in vix[1:] if v)
    mood = [line.split(",") for line in (tmp_path / "sentiment/fear_greed.csv").read_text().splitlines()]
    assert mood[0] == ["date", "fng"]
    assert len(mood) == 1 + 60 + DAYS
    assert all(0 <= int(v) <= 100 for _, v in mood[1:])


def test_tiers_import_as_the_rates_that_the_traders_have(world: World, tmp_path: Path) -> None:
    clock = FixedClock(datetime.combine(FIRST, time()) + timedelta(days=DAYS))
    lake = Lake(tmp_path / "lake", clock=clock, code_version="1.0")
    world.write_files(tmp_path)
    summary = import_files(load_mapping("leverage_tiers"), tmp_path / "leverage_tiers", lake, clock, is_synthetic=True)
    assert (summary.landed, summary.quarantined_rows) == (len(world.assets), 0)
    (generation,) = lake.current()
    assert (generation.key.day, generation.is_synthetic) == (FIRST, True)
    assert generation.path is not None
    rows = pl.read_parquet(generation.path)
    rates = dict(rows.select("venue_symbol", "maintenance_margin_rate_frac").rows())
    assert rates == {p.symbol: p.maintenance_margin_frac for p in profiles_of(world.assets)}
    assert rows["max_leverage_x"].unique().to_list() == [max(world.traders(a).leverage_x.max() for a in world.assets)]


def test_feeds_are_the_same_bytes_again(world: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        World(7, FIRST, DAYS, crash_day=CRASH).write_files(tmp_path / name)
    files = [p for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) == 7
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
