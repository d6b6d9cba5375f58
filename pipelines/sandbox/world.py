"""A seeded simulated market: prices, volumes, funding, open interest, books and the traders behind them.

Belongs here: the assembly of one world and the questions one may ask it. Does not: the wire format (``wire.py``,
``server.py``), or the mechanics themselves (``paths.py``, ``traders.py``, ``crash.py``, ``books.py``).
Same arguments, same bytes. Nothing here imports ``assets/cascade``: the world is the truth it is scored on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.books import Book, draw_book
from pipelines.sandbox.crash import CRASH_HOURS, Crash, delay_entries, onset_minute, run_crash
from pipelines.sandbox.minutes import ORDINARY_WEIGHT
from pipelines.sandbox.paths import MINUTES_PER_DAY, fundamental_log_price, market_factor
from pipelines.sandbox.profiles import AssetProfile, profiles_of, stream
from pipelines.sandbox.traders import Population, Traders, draw_population, enter, published, settle_hours, stock_base

if TYPE_CHECKING:
    from pipelines.sandbox.macro import MacroFigures

# Simulated and not served: the feeds reach back this far, and traders need time to build a stock of positions.
WARM_DAYS = 62
TRADER_WARM_DAYS = 16


@dataclass(frozen=True)
class Candles:
    """Trade candles of a contract, hourly where nothing else is said; prices in quote, volumes in base and USD.

    Arrays of one length in time order.
    """

    start_ms: NDArray[np.int64]
    open_quote: NDArray[np.float64]
    high_quote: NDArray[np.float64]
    low_quote: NDArray[np.float64]
    close_quote: NDArray[np.float64]
    volume_base: NDArray[np.float64]
    volume_usd: NDArray[np.float64]
    taker_buy_base: NDArray[np.float64]
    trades_count: NDArray[np.int64]

    def at(self, places: Sequence[int]) -> Candles:
        """Return the candles at these places."""
        chosen = np.asarray(places, dtype=np.int64)
        return Candles(**{k: v[chosen] for k, v in vars(self).items()})

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class Funding:
    """Settlements of a contract: instant as the venue stamps it, rate (positive: longs pay), mark price."""

    settled_ms: NDArray[np.int64]
    rate_frac: NDArray[np.float64]
    mark_quote: NDArray[np.float64]


@dataclass(frozen=True)
class OpenInterest:
    """Hourly open interest of a contract, one-sided, at the start of each hour."""

    at_ms: NDArray[np.int64]
    open_interest_base: NDArray[np.float64]
    open_interest_usd: NDArray[np.float64]


@dataclass(frozen=True)
class _Market:
    """One contract of the built world; minute and hour 0 are the start of the warm-up."""

    profile: AssetProfile
    ticks: NDArray[np.int64]
    survival_frac: NDArray[np.float64]
    forced_base: NDArray[np.float64]
    population: Population


class World:
    """A simulated market of some days.

    Parameters
    ----------
    seed : int
        Names the world; not negative.
    first_day : datetime.date
        First UTC day that the market shows.
    days_count : int
        Days it shows, 1 to 400.
    assets : tuple of str
        Base assets, each with a profile.
    crash_day : datetime.date or None
        Day of the crash; must be one of the days shown.

    Raises
    ------
    ValueError
        Where an argument is out of its range.
    """

    def __init__(
        self,
        seed: int,
        first_day: date,
        days_count: int,
        assets: tuple[str, ...] = ("BTC", "ETH", "SOL"),
        crash_day: date | None = None,
    ) -> None:
        if seed < 0 or not 1 <= days_count <= 400:
            raise ValueError(f"a world needs a seed >= 0 and 1 to 400 days; got seed {seed}, {days_count} days")
        self.seed = seed
        self.first_day = first_day
        self.days_count = days_count
        self.last_day = first_day + timedelta(days=days_count - 1)
        self.assets = tuple(assets)
        self.crash_day = crash_day
        if crash_day is not None and not first_day <= crash_day <= self.last_day:
            raise ValueError(f"crash day {crash_day} is not within {first_day} and {self.last_day}")
        self.start = datetime.combine(first_day, time())
        self.end = self.start + timedelta(days=days_count)
        self._origin = self.start - timedelta(days=WARM_DAYS)
        self._minutes = (WARM_DAYS + days_count) * MINUTES_PER_DAY
        factor = market_factor(seed, self._minutes)
        self._markets = {p.asset: self._build(p, factor) for p in profiles_of(self.assets)}
        self._candles = {asset: self._all_candles(m) for asset, m in self._markets.items()}

    # -- building -----------------------------------------------------------------------------------------------------

    def _build(self, profile: AssetProfile, factor: NDArray[np.float64]) -> _Market:
        day = None if self.crash_day is None else self._minute_of(datetime.combine(self.crash_day, time()))
        onset = None if day is None else onset_minute(self.seed, day)
        calm = None if day is None else slice(day, day + MINUTES_PER_DAY)
        path = fundamental_log_price(profile, self.seed, factor, WARM_DAYS * MINUTES_PER_DAY, calm)
        first_hour, last_hour = (WARM_DAYS - TRADER_WARM_DAYS) * 24, self._minutes // 60
        population = draw_population(profile, self.seed, first_hour, last_hour)
        survival, forced = np.ones(self._minutes + 1), np.zeros(self._minutes)
        if onset is None:
            self._live(profile, path, population, slice(first_hour, last_hour))
        else:
            before = slice(first_hour, onset // 60)
            delay_entries(population, before.stop)
            self._live(profile, path, population, before, opens_until=before.stop + 1)
            crash = run_crash(profile, _padded(path, onset), population, onset)
            _add(crash, path, survival, forced)
            after = slice(min(before.stop + CRASH_HOURS, last_hour), last_hour)
            self._live(profile, path, population, after)
        return _Market(profile, _ticks(path, profile), survival, forced, population)

    def _live(
        self,
        profile: AssetProfile,
        path: NDArray[np.float64],
        population: Population,
        hours: slice,
        opens_until: int | None = None,
    ) -> None:
        quotes = _ticks(path, profile) / 10**profile.price_decimals
        enter(population, profile, quotes[::60], slice(hours.start, opens_until or hours.stop))
        settle_hours(population, quotes, hours)

    def _all_candles(self, market: _Market) -> Candles:
        """Candles of the whole simulated time, the warm-up too."""
        profile = market.profile
        hours = self._minutes // 60
        inner = market.ticks[:-1].reshape(hours, 60)
        close = market.ticks[60::60]
        scale = 10**profile.price_decimals
        high = np.maximum(inner.max(axis=1), close) / scale
        low = np.minimum(inner.min(axis=1), close) / scale
        first, last = inner[:, 0] / scale, close / scale
        rng = stream(self.seed, profile.asset, "volume")
        season = 1.0 + 0.35 * np.sin((np.arange(hours) % 24 - 8) / 24 * 2 * np.pi)
        stir = 1.0 + 25.0 * (high - low) / first
        forced = market.forced_base.reshape(hours, 60).sum(axis=1)
        volume = profile.hourly_volume_base * season * stir * rng.lognormal(-0.06, 0.35, hours) + 2.0 * forced
        volume = np.round(volume, profile.quantity_decimals)
        buys = np.round(volume * np.clip(0.5 + 4.0 * (last - first) / first, 0.2, 0.8), profile.quantity_decimals)
        return Candles(
            start_ms=self._hour_ms(np.arange(hours)),
            open_quote=first,
            high_quote=high,
            low_quote=low,
            close_quote=last,
            volume_base=volume,
            volume_usd=np.round(volume * (high + low + last) / 3.0, 4),
            taker_buy_base=buys,
            trades_count=(volume * first / 4_000.0).astype(np.int64) + 1,
        )

    # -- asking -------------------------------------------------------------------------------------------------------

    def profile(self, asset: str) -> AssetProfile:
        """Return the contract's profile.

        Raises
        ------
        ValueError
            Where the world has no such asset; so does every question about one.
        """
        return self._market(asset).profile

    def candles(self, asset: str) -> Candles:
        """Return the hourly candles of every day that the market shows."""
        self._market(asset)
        skip = WARM_DAYS * 24
        return Candles(**{k: v[skip:] for k, v in vars(self._candles[asset]).items()})

    def minute_prices(self, asset: str) -> NDArray[np.float64]:
        """Return the price at the start of every minute shown, and at the end of the last one."""
        market = self._market(asset)
        return np.asarray(market.ticks[WARM_DAYS * MINUTES_PER_DAY :] / 10**market.profile.price_decimals)

    def minute_weights(self, asset: str) -> NDArray[np.int64]:
        """Return how busy every minute shown is beside the others of its hour: price moves and forced sales stir it."""
        market, prices = self._market(asset), self.minute_prices(asset)
        rng = stream(self.seed, asset, "minutes")
        forced = market.forced_base[WARM_DAYS * MINUTES_PER_DAY :] / (market.profile.hourly_volume_base / 60)
        busy = rng.lognormal(0.0, 0.5, forced.size) * (1.0 + 250.0 * np.abs(np.diff(prices)) / prices[:-1]) + forced
        return np.asarray(np.maximum(1, np.round(ORDINARY_WEIGHT * busy)), dtype=np.int64)

    def daily_returns(self, asset: str) -> tuple[list[date], NDArray[np.float64]]:
        """Return days and close-to-open returns of the warm-up and of every day shown (for the feeds)."""
        self._market(asset)
        candles = self._candles[asset]
        days = [self._origin.date() + timedelta(days=i) for i in range(WARM_DAYS + self.days_count)]
        return days, candles.close_quote[23::24] / candles.open_quote[::24] - 1.0

    def price(self, asset: str, at: datetime) -> float:
        """Return the last price at the start of an instant's minute."""
        market = self._market(asset)
        return float(market.ticks[self._shown_minute(at)] / 10**market.profile.price_decimals)

    def open_candle(self, asset: str, at: datetime) -> Candles | None:
        """Return the hour of an instant as far as it has run, or None where the market does not show that hour."""
        if not self.start <= at < self.end:
            return None
        market = self._market(asset)
        minute = self._minute_of(at)
        hour, ran = minute // 60, minute % 60
        scale = 10**market.profile.price_decimals
        window = market.ticks[60 * hour : minute + 1] / scale
        whole = {k: v[hour : hour + 1] for k, v in vars(self._candles[asset]).items()}
        share, decimals = ran / 60.0, market.profile.quantity_decimals
        volume = np.round(whole["volume_base"] * share, decimals)
        return Candles(
            start_ms=whole["start_ms"],
            open_quote=whole["open_quote"],
            high_quote=window.max(keepdims=True),
            low_quote=window.min(keepdims=True),
            close_quote=window[-1:],
            volume_base=volume,
            volume_usd=np.round(volume * (window.max() + window.min() + window[-1]) / 3.0, 4),
            taker_buy_base=np.round(whole["taker_buy_base"] * share, decimals),
            trades_count=(whole["trades_count"] * share).astype(np.int64),
        )

    def funding(self, asset: str, every_hours: int = 8) -> Funding:
        """Return the settlements of every day shown: every so many hours from 00:00 UTC, with a few milliseconds of jitter.

        A rate is that of its own interval: half of it where the interval is half.
        """
        market, candles = self._market(asset), self._candles[asset]
        rng = stream(self.seed, asset, "funding")
        hours = np.arange(WARM_DAYS * 24, self._minutes // 60, every_hours)
        before = candles.open_quote[hours - 24]
        momentum = candles.open_quote[hours] / before - 1.0
        longs = stock_base(market.population, hours, is_long=True)
        shorts = stock_base(market.population, hours, is_long=False)
        crowd = (longs - shorts) / market.profile.open_interest_base
        rate = 4e-5 + 1.5e-4 * crowd + 1.2e-3 * momentum + 2e-5 * rng.standard_normal(hours.size)
        rate *= every_hours / 8
        mark = candles.open_quote[hours] * (1.0 + 1e-5 * rng.standard_normal(hours.size))
        return Funding(
            settled_ms=self._hour_ms(hours) + rng.integers(0, 12, hours.size),
            rate_frac=np.asarray(np.round(np.clip(rate, -0.003, 0.003), 8), dtype=np.float64),
            mark_quote=np.round(mark, 8),
        )

    def open_interest(self, asset: str) -> OpenInterest:
        """Return open interest at the start of every hour shown: traders' positions and a slowly moving hedged stock."""
        market, candles = self._market(asset), self._candles[asset]
        rng = stream(self.seed, asset, "open_interest")
        hours = np.arange(self._minutes // 60)
        hedged_share = 1.0 - market.profile.leveraged_share_frac
        drift = np.cumsum(0.0015 * rng.standard_normal(hours.size))
        drift -= np.linspace(drift[0], drift[-1], hours.size)
        hedged = market.profile.open_interest_base * hedged_share * np.exp(drift)
        # Longs = shorts: the traders' shorts and the hedgers' shorts are the other side of the same contracts.
        held = stock_base(market.population, hours, is_long=True)
        base = np.round(hedged + held, market.profile.quantity_decimals)[WARM_DAYS * 24 :]
        usd = np.round(base * candles.open_quote[WARM_DAYS * 24 :], 4)
        return OpenInterest(self._hour_ms(hours[WARM_DAYS * 24 :]), base, usd)

    def traders(self, asset: str) -> Traders:
        """Return every leveraged position of the world, with its true liquidation price."""
        market = self._market(asset)
        return published(market.population, np.datetime64(self._origin, "ms"), self._minutes)

    def book(self, asset: str, at: datetime) -> Book:
        """Return the whole order book at an instant; the same minute gives the same book."""
        market = self._market(asset)
        minute = self._shown_minute(at)
        rng = stream(self.seed, asset, "book", minute)
        return draw_book(market.profile, int(market.ticks[minute]), float(market.survival_frac[minute]), rng)

    def depth_survival(self, asset: str, at: datetime) -> float:
        """Return the share of ordinary depth that is left at an instant."""
        return float(self._market(asset).survival_frac[self._shown_minute(at)])

    def write_files(self, folder: Path) -> None:
        """Write the synthetic macro, ETF flow and sentiment files; see ``feeds.py``."""
        from pipelines.sandbox.feeds import write_feeds  # noqa: PLC0415 - feeds ask the world

        write_feeds(self, folder)

    @cached_property
    def macro(self) -> MacroFigures:
        """What the world's slow publishers know, and when; the same object at every look, so that it can be revised."""
        from pipelines.sandbox.macro import MacroFigures  # noqa: PLC0415 - the figures ask the world

        return MacroFigures(self)

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _market(self, asset: str) -> _Market:
        if asset not in self._markets:
            raise ValueError(f"this world has {', '.join(self._markets)} and no {asset}")
        return self._markets[asset]

    def _minute_of(self, at: datetime) -> int:
        return int((at - self._origin) // timedelta(minutes=1))

    def _shown_minute(self, at: datetime) -> int:
        if not self.start <= at <= self.end:
            raise ValueError(f"this world shows {self.start} to {self.end}; asked for {at}")
        return self._minute_of(at)

    def _hour_ms(self, hours: NDArray[np.int64]) -> NDArray[np.int64]:
        origin = int(np.datetime64(self._origin, "ms").astype(np.int64))
        return np.asarray(origin + hours.astype(np.int64) * 3_600_000)


def _ticks(path: NDArray[np.float64], profile: AssetProfile) -> NDArray[np.int64]:
    """Prices on the venue's grid, as whole ticks: dividing by a power of ten then gives the exact printed price."""
    return np.asarray(np.maximum(1, np.round(np.exp(path) * 10**profile.price_decimals)), dtype=np.int64)


def _padded(path: NDArray[np.float64], onset: int) -> NDArray[np.float64]:
    """Extend a path that ends inside the crash window by its last value."""
    missing = onset + 60 * CRASH_HOURS + 1 - path.size
    return path if missing <= 0 else np.concatenate([path, np.full(missing, path[-1])])


def _add(crash: Crash, path: NDArray[np.float64], survival: NDArray[np.float64], forced: NDArray[np.float64]) -> None:
    """Add a crash to the world's arrays, in place; after the window the displacement stays and depth comes back."""
    first, last = crash.first_minute, crash.first_minute + crash.displacement.size
    room = path.size - first
    path[first:last] += crash.displacement[:room]
    path[last:] += crash.displacement[-1]
    survival[first:last] = crash.survival_frac[:room]
    later = np.arange(survival[last:].size)
    survival[last:] = 1.0 - (1.0 - crash.survival_frac[-1]) * np.exp(-later / 300.0)
    forced[first : last - 1] = crash.forced_base[: room - 1]
