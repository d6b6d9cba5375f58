"""A small made-up raw lake in a DuckDB file: schema `raw` as tables, seeded, with the faults that the models must bear.

Belongs here: rows in the shape of ``quality.schemas.raw`` and the lake's books around them. Does not: the lake on disk
(``pipelines/lake``) and the sandbox market (``pipelines/sandbox``): prices here are plausible and nothing more.

What is in it, besides ordinary rows: a source that overlaps another and differs; an unfinished candle; a venue that
starts late and one that the seeds do not know; stamps with jitter and one settlement stamped twice; a hole and a change
of interval in funding; two-sided open interest; a figure that only USD or only base tells; refused rows; outages; two
captures of each slow table with a revision; leverage tiers that change, stay, and are not shown again; liquidations of full,
sampled and unknown completeness, of two sources in one hour, without a side, and days on which none was read; lending calls
with amounts up to 2^256-1; funds of which one starts late; holders' figures; a name in Chinese.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from flow_rows import fund_flows, holder_metrics
from holdings_rows import exchange_reserves, stablecoin_supplies
from lending_rows import lending_calls, lending_positions, lending_reserves

from quality.schemas.raw import DAY_CLOCK, RAW_TABLES
from quality.schemas.sim import SIM_TABLES
from quality.tables import Table

FIRST_DAY = date(2025, 9, 1)
DAYS_COUNT = 45
ASSETS = ("BTC", "ETH", "SOL", "币安人生")
START_PRICES = {"BTC": 110_000.0, "ETH": 4_300.0, "SOL": 205.0, "币安人生": 0.25}
SYMBOLS = {"binance": "{}USDT", "bybit": "{}USDT", "okx": "{}-USDT-SWAP", "hyperliquid": "{}", "newdex": "{}/USD"}
FUNDING_HOURS = {"binance": 8, "bybit": 8, "okx": 8, "hyperliquid": 1, "newdex": 4}
LATE_VENUES = {"okx": 20, "newdex": 30}  # first day with records

LAKE_COLUMNS: dict[str, pl.DataType] = {
    "source": pl.String(),
    "capture_date_utc": pl.Date(),
    "ingested_at_utc": pl.Datetime("us"),
    "is_synthetic": pl.Boolean(),
}
BOOKS: dict[str, dict[str, pl.DataType]] = {
    "manifest": {
        "dataset": pl.String(),
        "venue": pl.String(),
        "source": pl.String(),
        "capture_date_utc": pl.Date(),
        "rows_count": pl.Int64(),
        "quarantined_rows_count": pl.Int64(),
        "ingested_at_utc": pl.Datetime("us"),
        "is_synthetic": pl.Boolean(),
    },
    "outages": {
        "dataset": pl.String(),
        "venue": pl.String(),
        "source": pl.String(),
        "capture_date_utc": pl.Date(),
        "reason": pl.String(),
        "is_synthetic": pl.Boolean(),
    },
    "quarantine": {
        "dataset": pl.String(),
        "venue": pl.String(),
        "source": pl.String(),
        "capture_date_utc": pl.Date(),
        "row_count": pl.Int64(),
        "field": pl.String(),
        "reason": pl.String(),
        "record_json": pl.String(),
        "is_synthetic": pl.Boolean(),
    },
}


@dataclass
class RawWorld:
    """Frames of schema `raw` by table name."""

    frames: dict[str, pl.DataFrame] = field(default_factory=dict)

    def write(self, path: Path, *, shuffle_seed: int | None = None) -> Path:
        """Write the frames to a new DuckDB file, in seeded random row order where `shuffle_seed` is given."""
        path.unlink(missing_ok=True)
        con = duckdb.connect(str(path))
        try:
            con.execute("create schema raw")
            con.execute("create schema sim")
            for name, frame in sorted(self.frames.items()):
                rows = frame if shuffle_seed is None else frame.sample(fraction=1, shuffle=True, seed=shuffle_seed)
                con.register("incoming", rows.to_arrow())
                con.execute(f"create table raw.{name} as select * from incoming")
                con.unregister("incoming")
            for name, table in SIM_TABLES.items():
                con.execute(f"create table sim.{name} ({sim_columns(table)})")
        finally:
            con.close()
        return path


def sim_columns(table: Table) -> str:
    """Return the column list of a sim table for `create table`."""
    return ", ".join(f"{f.name} {f.sql_type}" for f in table.fields)


def build_raw_world(*, seed: int = 7, first_day: date = FIRST_DAY, days_count: int = DAYS_COUNT) -> RawWorld:
    """Return a made-up raw lake; the same arguments give the same rows.

    Parameters
    ----------
    seed : int
        Seed of everything random.
    first_day : date
        First UTC day.
    days_count : int
        Days; at least 35, so that windows of 30 days and venues that start late have something to show.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    hours = [datetime.combine(first_day, time()) + timedelta(hours=h) for h in range(24 * days_count)]
    paths = {a: _path(rng, START_PRICES[a], len(hours)) for a in ASSETS}
    end = hours[-1] + timedelta(hours=1)
    # One day is captured at a time, three hours after its end; the last one while it is still open.
    captured = {
        first_day + timedelta(days=d): datetime.combine(first_day, time(3)) + timedelta(days=d + 1)
        for d in range(days_count - 1)
    }
    captured[first_day + timedelta(days=days_count - 1)] = end - timedelta(minutes=30)
    frames = {
        "candles": _candles(rng, hours, paths, captured),
        "minute_candles": _minutes(paths, captured),
        "funding_rates": _funding(rng, hours, captured),
        "open_interest": _open_interest(rng, hours, paths, captured),
        "depth_bands": _depth(rng, hours, paths, captured),
        "liquidations": _liquidations(rng, hours, paths, captured),
        "stream_gaps": _stream_gaps(captured),
        "instruments": _instruments(captured),
        "leverage_tiers": _tiers(first_day),
        "long_short_ratios": _ratios(hours, captured),
        "insurance_funds": _funds(captured),
        "adl_states": _adl(captured),
        "tickers": _tickers(paths, captured),
        "perp_positions": _positions(paths, captured),
        "lending_liquidations": _frame("lending_liquidations", lending_calls(first_day, captured)),
        "lending_reserves": _frame("lending_reserves", lending_reserves(first_day, captured)),
        "lending_positions": _frame("lending_positions", lending_positions(first_day, captured)),
        "stablecoin_supplies": _frame("stablecoin_supplies", stablecoin_supplies(first_day, captured)),
        "exchange_reserves": _frame("exchange_reserves", exchange_reserves(first_day, captured)),
        **_slow(rng, first_day, days_count),
    }
    world = RawWorld(frames)
    quarantine = _quarantine(first_day)
    world.frames["quarantine"] = quarantine
    world.frames["outages"] = _outages(first_day)
    world.frames["manifest"] = _manifest(world.frames, quarantine)
    return world


def _path(rng: np.random.Generator, start: float, count: int) -> np.ndarray:
    steps = rng.standard_t(4, count) * 0.004
    return start * np.exp(np.cumsum(steps))


def _venue_hours(venue: str, hours: Sequence[datetime]) -> Iterable[tuple[int, datetime]]:
    first = hours[0] + timedelta(days=LATE_VENUES.get(venue, 0))
    return ((i, h) for i, h in enumerate(hours) if h >= first)


def _frame(dataset: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    table = RAW_TABLES[dataset]
    return pl.DataFrame(rows, schema={**table.raw_schema, **LAKE_COLUMNS}, orient="row")


def _stamp(source: str, at: datetime, captured: dict[date, datetime]) -> dict[str, object]:
    return {
        "payload_sha256": "0" * 64,
        "source": source,
        "capture_date_utc": at.date(),
        "ingested_at_utc": captured[at.date()],
        "is_synthetic": False,
    }


def _candles(
    rng: np.random.Generator,
    hours: Sequence[datetime],
    paths: dict[str, np.ndarray],
    captured: dict[date, datetime],
) -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for venue, pattern in SYMBOLS.items():
        for asset in ASSETS:
            basis = 1 + rng.normal(0, 2e-4, len(hours))
            wick = np.abs(rng.normal(0, 3e-3, (2, len(hours))))
            volume = rng.lognormal(6, 1, len(hours))
            for i, hour in _venue_hours(venue, hours):
                if venue == "bybit" and hour.hour == 5 and hour.day % 11 == 0:
                    continue  # the venue has a gap
                close = float(paths[asset][i] * basis[i])
                opened = float(paths[asset][i - 1] * basis[i]) if i else close
                row = {
                    "venue": venue,
                    "venue_symbol": pattern.format(asset),
                    "asset": asset,
                    "price_kind": "trade",
                    "interval_start_utc": hour,
                    "interval_end_utc": hour + timedelta(hours=1),
                    "open_quote": opened,
                    "high_quote": max(opened, close) * (1 + float(wick[0, i])),
                    "low_quote": min(opened, close) * (1 - float(wick[1, i])),
                    "close_quote": close,
                    "volume_base": float(volume[i]),
                    **_stamp("ccxt", hour, captured),
                }
                rows.append(row)
                if venue == "binance" and hour.day <= 5:
                    # An import overlaps and differs in some hours.
                    other = close if hour.hour % 3 else close * 1.0002
                    other = min(max(other, float(row["low_quote"])), float(row["high_quote"]))
                    rows.append({**row, "close_quote": other, "source": "multivenue"})
                if venue == "binance" and hour.hour == 0:
                    rows.append({**row, "price_kind": "mark", "volume_base": None})
                if venue == "okx" and hour.hour == 0:
                    for kind, off in (("mark", 0.9995), ("index", 0.999)):
                        moved = {k: float(str(row[k])) * off for k in row if k.endswith("_quote")}
                        rows.append({**row, **moved, "price_kind": kind, "volume_base": None})
    return _frame("candles", rows)


def _minutes(paths: dict[str, np.ndarray], captured: dict[date, datetime]) -> pl.DataFrame:
    """Two contracts of one venue on the third day, a minute missing; the first hour again in an import that differs."""
    rows: list[dict[str, object]] = []
    midnight = datetime.combine(sorted(captured)[2], time())
    for asset in ("BTC", "ETH"):
        for i in range(1440):
            if asset == "ETH" and i == 700:
                continue
            opened, close = (float(paths[asset][48] * (1 + 1e-5 * (i + k))) for k in (0, 1))
            start = midnight + timedelta(minutes=i)
            row = {
                "venue": "binance",
                "venue_symbol": SYMBOLS["binance"].format(asset),
                "asset": asset,
                "interval_start_utc": start,
                "interval_end_utc": start + timedelta(minutes=1),
                "open_quote": opened,
                "high_quote": close,
                "low_quote": opened,
                "close_quote": close,
                "volume_base": 2.5,
                **_stamp("ccxt", start, captured),
            }
            rows.append(row)
            if i < 60:
                rows.append({**row, "high_quote": close * 1.001, "close_quote": close * 1.001, "source": "multivenue"})
    return _frame("minute_candles", rows)


def _funding(rng: np.random.Generator, hours: Sequence[datetime], captured: dict[date, datetime]) -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for venue, pattern in SYMBOLS.items():
        for asset in ASSETS:
            for _, hour in _venue_hours(venue, hours):
                step = FUNDING_HOURS[venue]
                if venue == "binance" and asset == "SOL" and hour.day >= 10:
                    step = 4  # the venue shortened its interval
                if hour.hour % step:
                    continue
                if venue == "hyperliquid" and hour.hour == 7 and hour.day in (3, 4):
                    continue  # a hole
                at = hour + timedelta(milliseconds=int(rng.integers(0, 40)))
                row = {
                    "venue": venue,
                    "venue_symbol": pattern.format(asset),
                    "asset": asset,
                    "occurred_at_utc": at,
                    "funding_rate_frac": float(rng.normal(1e-5, 5e-5)) * step,
                    **_stamp("ccxt", hour, captured),
                }
                rows.append(row)
                if venue == "bybit" and hour.day == 6 and hour.hour == 8:
                    rows.append({**row, "occurred_at_utc": at + timedelta(seconds=3)})
    return _frame("funding_rates", rows)


def _open_interest(
    rng: np.random.Generator,
    hours: Sequence[datetime],
    paths: dict[str, np.ndarray],
    captured: dict[date, datetime],
) -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for venue, pattern in SYMBOLS.items():
        if venue == "newdex":
            continue
        for asset in ASSETS:
            stock = 2e9 / START_PRICES[asset] * np.exp(np.cumsum(rng.normal(0, 0.01, len(hours))))
            for i, hour in _venue_hours(venue, hours):
                base = float(stock[i])
                usd = base * float(paths[asset][max(i - 1, 0)])
                rows.append(
                    {
                        "venue": venue,
                        "venue_symbol": pattern.format(asset),
                        "asset": asset,
                        "occurred_at_utc": hour,
                        "open_interest_base": None if venue == "hyperliquid" else base,
                        "open_interest_usd": None if venue == "okx" else usd,
                        "open_interest_basis": "two_sided" if venue == "bybit" else "one_sided",
                        **_stamp("ccxt", hour, captured),
                    }
                )
    return _frame("open_interest", rows)


def _depth(
    rng: np.random.Generator,
    hours: Sequence[datetime],
    paths: dict[str, np.ndarray],
    captured: dict[date, datetime],
) -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for asset in ASSETS:
        for minutes in (5, 35):
            i = len(hours) - 2
            at = hours[i] + timedelta(minutes=minutes)
            total = np.cumsum(rng.lognormal(4, 0.5, (2, 4)), axis=1)
            rows += [
                {
                    "venue": "binance",
                    "venue_symbol": f"{asset}USDT",
                    "asset": asset,
                    "occurred_at_utc": at,
                    "mid_quote": float(paths[asset][i]),
                    "band_bps": band,
                    "bid_depth_base": float(total[0, k]),
                    # The asks end before the widest band.
                    "ask_depth_base": float(total[1, k]) if k < 3 else None,
                    "bid_mean_quote": None,
                    "ask_mean_quote": None,
                    **_stamp("ccxt", at, captured),
                }
                for k, band in enumerate((25.0, 50.0, 100.0, 200.0))
            ]
    return _frame("depth_bands", rows)


def _liquidations(
    rng: np.random.Generator,
    hours: Sequence[datetime],
    paths: dict[str, np.ndarray],
    captured: dict[date, datetime],
) -> pl.DataFrame:
    """Return orders of three venues on the days from the 10th on; Binance's also of an import in the hours before noon."""
    rows: list[dict[str, object]] = []
    for venue in ("binance", "bybit", "newdex"):
        for asset in ASSETS:
            for i, hour in enumerate(hours):
                if hour.date() < hours[0].date() + timedelta(days=10) or (venue == "newdex" and hour.hour > 3):
                    continue
                for n in range(int(rng.poisson(0.4))):
                    price = float(paths[asset][i]) * float(rng.uniform(0.99, 1.01))
                    base = float(rng.lognormal(0, 1))
                    at = hour + timedelta(milliseconds=int(rng.integers(0, 3_600_000)))
                    row = {
                        "venue": venue,
                        "venue_symbol": SYMBOLS[venue].format(asset),
                        "asset": asset,
                        "occurred_at_utc": at,
                        "position_side": "unknown" if venue == "newdex" else ("long", "short")[int(rng.integers(2))],
                        "order_price_quote": price,
                        "order_price_kind": "average_fill" if venue == "binance" else "bankruptcy",
                        "quantity_contracts": None,
                        "quantity_base": None if venue == "newdex" else base,
                        "notional_usd": base * price,
                        **_stamp("ccxt", hour, captured),
                    }
                    rows.append(row)
                    if n and venue == "bybit":
                        # Two orders of one instant that differ in their size alone.
                        rows.append({**row, "quantity_base": 2 * base, "notional_usd": 2 * base * price})
                    if venue == "binance" and hour.hour < 12:
                        rows.append({**row, "occurred_at_utc": at.replace(microsecond=0), "source": "multivenue"})
    return _frame("liquidations", rows)


def _stream_gaps(captured: dict[date, datetime]) -> pl.DataFrame:
    """Return two gaps of Bybit's linear stream, one of its inverse stream, on the 13th day of the world."""
    day = datetime.combine(sorted(captured)[12], time())
    gaps = [
        ("bybit_linear", day, day + timedelta(seconds=90), "collector_killed"),
        ("bybit_linear", day + timedelta(hours=9), day + timedelta(hours=9, milliseconds=6_250), "silence"),
        ("bybit_inverse", day, day + timedelta(seconds=90), "collector_killed"),
    ]
    rows = [
        {
            "venue": "bybit",
            "stream": stream,
            "gap_start_utc": start,
            "gap_end_utc": end,
            "gap_reason": reason,
            **_stamp("collector", start, captured),
        }
        for stream, start, end, reason in gaps
    ]
    return _frame("stream_gaps", rows)


def _instruments(captured: dict[date, datetime]) -> pl.DataFrame:
    days = sorted(captured)
    rows: list[dict[str, object]] = []
    for day in (days[-2], days[-1]):
        for asset in ASSETS:
            # The Chinese one was listed inside the world's span.
            listed = datetime(2019, 9, 8) if asset != ASSETS[-1] else datetime.combine(days[2], time(10))
            rows.append(
                {
                    "venue": "binance",
                    "venue_symbol": f"{asset}USDT",
                    "asset": asset,
                    "quote_asset": "USDT",
                    "settle_asset": "USDT",
                    "contract_kind": "linear",
                    "contract_size_base": 1.0,
                    "price_tick_quote": 0.1 if day == days[-2] else 0.01,
                    "quantity_step_base": 0.001,
                    "listed_at_utc": listed,
                    **_stamp("ccxt", datetime.combine(day, time()), captured),
                }
            )
    return _frame("instruments", rows)


def _ratios(hours: Sequence[datetime], captured: dict[date, datetime]) -> pl.DataFrame:
    """Two kinds of ratio of one contract, a kind that is seen twice in an hour among them."""
    rows: list[dict[str, object]] = []
    for hour in hours:
        for kind, minutes, ratio in (("accounts", 0, 1.5), ("accounts", 5, 3.0), ("top_positions", 0, 0.25)):
            at = hour + timedelta(minutes=minutes)
            rows.append(
                {
                    "venue": "binance",
                    "venue_symbol": "BTCUSDT",
                    "asset": "BTC",
                    "ratio_kind": kind,
                    "occurred_at_utc": at,
                    "long_short_ratio_x": ratio,
                    **_stamp("ccxt", hour, captured),
                }
            )
    return _frame("long_short_ratios", rows)


def _funds(captured: dict[date, datetime]) -> pl.DataFrame:
    """A pool in dollars, one in a coin with a price, one in a coin without; the first doubles on the second day."""
    rows: list[dict[str, object]] = []
    for i, day in enumerate(captured):
        for name, settle, balance in (("usdt", "USDT", 1e6 * min(i + 1, 2)), ("btc", "BTC", 2.0), ("xyz", "XYZ", 5.0)):
            rows.append(
                {
                    "venue": "bybit",
                    "fund_name": name,
                    "settle_asset": settle,
                    "occurred_at_utc": captured[day] - timedelta(minutes=1),
                    "balance_settle": balance,
                    "balance_usd": None,
                    **_stamp("ccxt", datetime.combine(day, time()), captured),
                }
            )
    return _frame("insurance_funds", rows)


def _adl(captured: dict[date, datetime]) -> pl.DataFrame:
    """A rating on two days, seen twice on the first, and a pool's figures on one: between the ratios of start and stop."""
    first, second = sorted(captured)[:2]
    figures = {
        "fund_balance_settle": 1e6,
        "fund_least_settle": 1e4,
        "pnl_ratio_frac": -0.27,
        "adl_start_ratio_frac": -0.3,
        "adl_stop_ratio_frac": -0.25,
    }
    looks: list[tuple[date, int, str, dict[str, object]]] = [
        (first, 12, "binance", {"adl_word": "low"}),
        (first, 20, "binance", {"adl_word": "high"}),
        (second, 12, "binance", {"adl_word": "medium"}),
        (second, 12, "bybit", {"adl_word": None, **figures}),
    ]
    rows: list[dict[str, object]] = []
    for day, hour, venue, told in looks:
        at = datetime.combine(day, time(hour))
        rows.append(
            {
                "venue": venue,
                "venue_symbol": "BTCUSDT",
                "asset": "BTC",
                "occurred_at_utc": at,
                "settle_asset": "USDT",
                **dict.fromkeys(figures),
                **told,
                **_stamp("ccxt", at, captured),
            }
        )
    return _frame("adl_states", rows)


def _tickers(paths: dict[str, np.ndarray], captured: dict[date, datetime]) -> pl.DataFrame:
    day = max(captured)
    return _frame(
        "tickers",
        [
            {
                "venue": "bybit",
                "venue_symbol": f"{asset}USDT",
                "asset": asset,
                "occurred_at_utc": captured[day],
                "last_quote": float(path[-1]),
                "open_interest_base": 1e9 / START_PRICES[asset],
                "open_interest_basis": "two_sided",
                **_stamp("ccxt", datetime.combine(day, time()), captured),
            }
            for asset, path in paths.items()
        ],
    )


def _positions(paths: dict[str, np.ndarray], captured: dict[date, datetime]) -> pl.DataFrame:
    """Return a long and a short of one account on the last day, the short without a liquidation price."""
    day, sides = max(captured), ("long", "short")
    return _frame(
        "perp_positions",
        [
            {
                "venue": "hyperliquid",
                "account_address": f"0x{1:040x}",
                "venue_symbol": asset,
                "asset": asset,
                "settle_asset": "USDC",
                "occurred_at_utc": captured[day],
                "position_side": side,
                "position_base": 2.0,
                "entry_quote": float(paths[asset][-1]),
                "liquidation_quote": float(paths[asset][-1]) / 2 if side == "long" else None,
                "margin_mode": "cross",
                "margin_settle": 10.0,
                "leverage_x": 5.0,
                "account_value_settle": 1_000.0,
                **_stamp("ccxt", datetime.combine(day, time()), captured),
            }
            for asset, side in zip(list(paths)[:2], sides, strict=True)
        ],
    )


def _tiers(first_day: date) -> pl.DataFrame:
    """Return three observations of ladders: BTC's changes at the last, SOL is left out of it; another source differs."""

    def ladder(asset: str, day: int, source: str, caps: Sequence[float]) -> list[dict[str, object]]:
        at = datetime.combine(first_day, time()) + timedelta(days=day)
        rows, floor, rate, amount = [], 0.0, 0.004, 0.0
        for rank, cap in enumerate(caps, 1):
            rows.append(
                {
                    "venue": "binance",
                    "venue_symbol": f"{asset}USDT",
                    "asset": asset,
                    "settle_asset": "USDT",
                    "observed_at_utc": at,
                    "tier_rank": rank,
                    "tiers_count": len(caps),
                    "notional_floor_settle": floor,
                    "notional_cap_settle": cap,
                    "maintenance_margin_rate_frac": rate,
                    # This source tells none for the Chinese one.
                    "maintenance_amount_settle": None if asset == ASSETS[-1] else amount,
                    "max_leverage_x": 125.0 / rank,
                    **_stamp(source, at, {at.date(): at + timedelta(hours=9)}),
                }
            )
            amount += cap * rate
            floor, rate = cap, rate * 2
        return rows

    rows: list[dict[str, object]] = []
    for day in (10, 20, 30):
        for asset in ASSETS:
            if asset == "BTC":
                rows += ladder(
                    asset, day, "leverage_tiers", (50_000.0, 250_000.0) if day < 30 else (50_000.0, 300_000.0, 1e6)
                )
            elif asset != "SOL" or day < 30:
                rows += ladder(asset, day, "leverage_tiers", (10_000.0, 80_000.0))
    rows += ladder("ETH", 30, "my_tiers", (9_000.0, 70_000.0, 90_000.0))
    return _frame("leverage_tiers", rows)


def _slow(rng: np.random.Generator, first_day: date, days_count: int) -> dict[str, pl.DataFrame]:
    """Return the slow tables: two captures, the second with one revised figure and the last days added."""
    last = first_day + timedelta(days=days_count - 1)
    start = first_day - timedelta(days=60)
    days = [start + timedelta(days=d) for d in range((last - start).days + 1)]
    flow, rate, mood = (
        rng.normal(0, 2e8, len(days)),
        4 + rng.normal(0, 0.05, len(days)),
        rng.integers(5, 95, len(days)),
    )
    flows: list[dict[str, object]] = []
    macro: list[dict[str, object]] = []
    moods: list[dict[str, object]] = []
    for capture, until in ((last - timedelta(days=1), last - timedelta(days=3)), (last, last - timedelta(days=1))):
        lake = {
            "payload_sha256": "0" * 64,
            "capture_date_utc": capture,
            "ingested_at_utc": datetime.combine(capture, time(12)),
            "is_synthetic": False,
        }
        # The first of September is Labor Day.
        flows += fund_flows([day for day in days if first_day < day <= until and day.isoweekday() < 6], lake)
        for i, day in enumerate(days):
            if day > until:
                continue
            revision = 0.01 if capture == last and i == 40 else 0.0
            moods.append(
                {"venue": "alternative_me", "index_name": "fear_greed", "sentiment_date_utc": day,
                 "sentiment_index": float(mood[i]), "source": "fear_greed", **lake}
            )  # fmt: skip
            if day.isoweekday() > 5:
                continue
            flows.append(
                {"venue": "farside", "asset": "BTC", "fund": "TOTAL", "flow_date_utc": day,
                 "net_flow_usd": 0.0 if i == 41 else round(float(flow[i]), 1), "source": "etf_flows", **lake}
            )  # fmt: skip
            macro.append(
                {"venue": "fred", "series_id": "DGS10", "observation_date_utc": day, "vintage_date_utc": capture,
                 "vintage_origin": "captured", "value_native": round(float(rate[i]), 2) + revision, "unit": "percent",
                 "source": "macro", **lake}
            )  # fmt: skip
    return {
        **{name: _frame(name, rows) for name, rows in _around_macro(last).items()},
        "etf_flows": _frame("etf_flows", flows),
        "holder_metrics": _frame("holder_metrics", holder_metrics(days)),
        "macro_observations": _frame("macro_observations", macro),
        "sentiment": _frame("sentiment", moods),
    }


def _around_macro(last: date) -> dict[str, list[dict[str, object]]]:
    """Return release days, consensus and rate expectations as one capture told them."""
    lake = {
        "payload_sha256": "0" * 64,
        "capture_date_utc": last,
        "ingested_at_utc": datetime.combine(last, time(12)),
        "is_synthetic": False,
    }
    releases = [
        {"venue": "fred", "series_id": "CPIAUCSL", "release_date_utc": last + timedelta(days=d), "source": "publisher", **lake}
        for d in (-33, -3, 27)
    ]  # fmt: skip
    consensus = [
        {"venue": "user_file", "series_id": "CPIAUCSL", "observation_date_utc": last.replace(day=1),
         "consensus_native": 324.5, "unit": "index_1982_1984_100", "source": "macro_consensus", **lake}
    ]  # fmt: skip
    expectations = [
        {"venue": "user_file", "meeting_date_utc": last + timedelta(days=9), "observed_date_utc": last - timedelta(days=d),
         "target_low_bps": low, "target_high_bps": low + 25.0, "probability_frac": share, "source": "rate_expectations",
         **lake}
        for d, shares in ((2, (0.25, 0.75)), (1, (0.5, 0.5)))
        for low, share in zip((375.0, 400.0), shares, strict=True)
    ]  # fmt: skip
    return {"macro_releases": releases, "macro_consensus": consensus, "rate_expectations": expectations}


def _quarantine(first_day: date) -> pl.DataFrame:
    rows = [
        {
            "dataset": "candles",
            "venue": "bybit",
            "source": "ccxt",
            "capture_date_utc": first_day + timedelta(days=10),
            "row_count": place,
            "field": "high_quote",
            "reason": reason,
            "record_json": '{"venue_symbol": "<script>alert(1)</script>"}',
            "is_synthetic": False,
        }
        for place, reason in ((3, "high_below_low"), (4, "high_below_low"), (9, "not_finite"))
    ]
    return pl.DataFrame(rows, schema=BOOKS["quarantine"], orient="row")


def _outages(first_day: date) -> pl.DataFrame:
    rows = [
        {
            "dataset": dataset,
            "venue": venue,
            "source": "ccxt",
            "capture_date_utc": first_day + timedelta(days=day),
            "reason": reason,
            "is_synthetic": False,
        }
        for dataset, venue, day, reason in (
            ("candles", "okx", 5, "geoblocked"),
            ("depth_bands", "binance", 7, "not_offered"),
            ("candles", "gone", 8, "unreachable"),
        )
    ]
    return pl.DataFrame(rows, schema=BOOKS["outages"], orient="row")


def _manifest(frames: dict[str, pl.DataFrame], quarantine: pl.DataFrame) -> pl.DataFrame:
    """Return the current generations that the frames imply, empty answers and refused rows included."""
    key = ["dataset", "venue", "source", "capture_date_utc"]
    parts = [
        frames[dataset]
        .group_by("venue", "source", "capture_date_utc")
        .agg(
            pl.len().cast(pl.Int64).alias("rows_count"),
            pl.col("ingested_at_utc").max(),
            pl.col("is_synthetic").any(),
        )
        .with_columns(pl.lit(dataset).alias("dataset"))
        for dataset in DAY_CLOCK
    ]
    refused = quarantine.group_by(key).agg(pl.len().cast(pl.Int64).alias("quarantined_rows_count"))
    return (
        pl.concat(parts)
        .join(refused, on=key, how="left")
        .with_columns(pl.col("quarantined_rows_count").fill_null(0))
        .select(list(BOOKS["manifest"]))
        .sort(key)
    )
