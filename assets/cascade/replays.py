"""Replays of the days on which something happened: rows of ``sim.replays``.

Belongs here: which asset-days are events, the market at the start of such a day, its variants, rows. Does not: the dynamic
replay itself (``dynamic.py``), fuel and depth (``market_side.py``), reading states (``state.py``).

Only hours exist in the marts, so a step is an hour and policies that act within minutes are left out. A day whose hours do not
follow its state without a gap is not replayed. Forced orders are
simulated from estimated fuel; what was reported is another table.

References
----------
docs/cascade_dynamic.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from assets.cascade.dynamic import (
    DEPTH_PROCESS,
    DEPTH_PROCESS_NAME,
    POLICIES,
    DayMarket,
    DayPath,
    Impact,
    SideFlow,
    SideFuel,
    power_law_kernel,
    replay_counterfactual,
    replay_free,
    replay_path,
)
from assets.cascade.dynamic_inputs import DECAY_BETA, ROUNDS_PER_STEP
from assets.cascade.market_side import MarketSide
from assets.cascade.params import (
    EVENT_LEAST_MOVE_FRAC,
    IMPACT_EXPONENT_X,
    POSITION_SIDES,
    SHOCK_SHARE_FRAC,
    TICK_DECIMALS,
    TIER_PRIOR,
    PositionSide,
    TierPrior,
)
from assets.cascade.state import MarketState, survey

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Row = dict[str, Any]

# Impact decays and depth comes back by the minute; on hourly steps the same clock is read every sixtieth minute. The sensitivity of
# depth to returns is not rescaled: it is per unit of absolute return, and an hour's net return understates its minutes.
_MINUTES = 60
_DEPTH = replace(DEPTH_PROCESS, half_life_steps=DEPTH_PROCESS.half_life_steps / _MINUTES)
_DEPTH_NAME = f"{DEPTH_PROCESS_NAME}|step=60m|beta={DECAY_BETA:.2f}"

# A breaker and a mean over minutes say nothing on hours.
_HOURLY_POLICIES = tuple(p for p in POLICIES if p.breaker_halt_steps == 0 and p.twap_steps == 1)

_HOURS = """
select asset, interval_start_utc, interval_end_utc, low_quote, high_quote, close_quote, is_synthetic
from marts.fct_prices_hourly
where interval_start_utc >= ? and interval_start_utc < ?
order by asset, interval_start_utc
"""


@dataclass(frozen=True)
class _Event:
    """One asset on one day, from its state at the start."""

    state: MarketState
    hours: list[Row]
    side: PositionSide
    move_frac: float


def replay_rows(con: duckdb.DuckDBPyConnection, day: date, prior: TierPrior = TIER_PRIOR) -> list[Row]:
    """Replay every asset that moved by an event's size on a UTC day, from the closing state of the day before.

    Returns
    -------
    list of dict
        Rows with the columns of ``sim.replays``; none for assets without an event, or without a state to start from.
    """
    start = datetime.combine(day, time())
    cursor = con.execute(_HOURS, [start, start + timedelta(days=1)])
    names = [column[0] for column in cursor.description]
    by_asset: dict[str, list[Row]] = {}
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        by_asset.setdefault(row["asset"], []).append(row)
    if not by_asset:
        return []
    states = {s.asset: s for s in survey(con, day - timedelta(days=1)).states}
    rows: list[Row] = []
    for asset in sorted(by_asset.keys() & states.keys()):
        event = _event(states[asset], by_asset[asset], start)
        if event is not None:
            rows += _rows_of(event, day, prior)
    return rows


def _event(state: MarketState, hours: list[Row], start: datetime) -> _Event | None:
    """Return the event of a day; None where there is none, or where the day does not follow the state hour by hour."""
    steps = [start + timedelta(hours=i) for i in range(len(hours))]
    if state.cut_off_utc != start or [h["interval_start_utc"] for h in hours] != steps:
        return None
    if min(h["low_quote"] for h in hours).scaleb(TICK_DECIMALS) < 1:
        return None
    reference = float(state.reference_price_quote)
    fall = 1.0 - min(float(h["low_quote"]) for h in hours) / reference
    rise = max(float(h["high_quote"]) for h in hours) / reference - 1.0
    if max(fall, rise) < EVENT_LEAST_MOVE_FRAC:
        return None
    return _Event(state, hours, "long" if fall >= rise else "short", max(fall, rise))


def _rows_of(event: _Event, day: date, prior: TierPrior) -> list[Row]:
    long, short = (MarketSide(event.state, side, prior) for side in POSITION_SIDES)
    bids, asks = long.book(IMPACT_EXPONENT_X), short.book(IMPACT_EXPONENT_X)
    of_side = long if event.side == "long" else short
    book = bids if event.side == "long" else asks
    row_100bps = int(np.argmin(np.abs(np.abs(book.relative_price - 1.0) - 0.01)))
    market = DayMarket(
        mark_ticks=float(long.mark_ticks),
        long_fuel=_fuel(long),
        short_fuel=_fuel(short),
        bids=bids,
        asks=asks,
        reference_lots=max(1, int(book.cumulative_lots[row_100bps])),
    )
    path = DayPath(*(_ticks(event.hours, column) for column in ("low_quote", "high_quote", "close_quote")))
    n_steps = len(event.hours)
    impact = Impact(power_law_kernel(n_steps * _MINUTES)[::_MINUTES], _DEPTH)
    write = _Writer(event, day, of_side)
    for driven in replay_path([market], [path], _HOURLY_POLICIES)[0]:
        # A path does not move: depth changes nothing in it.
        if driven.policy != "depth_plus_50":
            write.steps(f"path|{driven.policy}", path.close_ticks, driven.long, driven.short)
    (lifted,) = replay_counterfactual([market], [path], impact, side=event.side)
    write.counterfactual(lifted.close_ticks, lifted.forced_long_lots, lifted.forced_short_lots, lifted)
    shock = _shock(event, path)
    rounds = ROUNDS_PER_STEP * _MINUTES
    for free in replay_free([market], [shock], impact, _HOURLY_POLICIES, n_steps=n_steps, rounds_per_step=rounds)[0]:
        write.steps(f"free|{free.policy}", free.mark_ticks, free.long, free.short, survival=free.depth_survival_frac)
    return write.rows


def _fuel(on: MarketSide) -> SideFuel:
    """Return the central fuel with one bin per bucket and tier, so that a leverage cap knows whom it moves."""
    tiers = on.prior.tiers
    shares = on.profile.profile_frac[0]
    parts = on.open_interest_lots * np.array([t.weight_frac for t in tiers])
    lots = np.floor(parts[:, None] * shares).astype(np.int64)
    tier, bucket = np.nonzero(lots)
    leverage = np.array([t.leverage_x for t in tiers])
    return SideFuel(on.profile.trigger_ticks[bucket], lots[tier, bucket], leverage[tier])


def _ticks(hours: Iterable[Row], column: str) -> F64:
    return np.array([float(h[column].scaleb(TICK_DECIMALS)) for h in hours])


def _shock(event: _Event, path: DayPath) -> F64:
    """Return the marks of the first steps: the observed closes up to the hour that reaches its share of the move, then the share."""
    reference = float(event.state.reference_price_quote.scaleb(TICK_DECIMALS))
    sign = -1.0 if event.side == "long" else 1.0
    share = reference * (1.0 + sign * SHOCK_SHARE_FRAC * event.move_frac)
    reached = path.low_ticks <= share if event.side == "long" else path.high_ticks >= share
    first = int(np.argmax(reached))
    return np.concatenate([path.close_ticks[:first], [max(1.0, share)]])


class _Writer:
    """Collects the rows of one event."""

    def __init__(self, event: _Event, day: date, on: MarketSide) -> None:
        self.rows: list[Row] = []
        self._on, self._hours = on, event.hours
        state = event.state
        how = "" if state.entries.is_volume_weighted else "|equal_hours"
        self._shared: Row = {
            "replay_date_utc": day,
            "asset": state.asset,
            "position_side": event.side,
            "fuel_origin": "estimated",
            "fuel_prior": on.prior.name + how,
            "depth_origin": on.depth.origin,
            "depth_prior": on.depth.prior,
            "depth_process": _DEPTH_NAME,
            "reference_price_quote": state.reference_price_quote,
            "fuel_open_interest_usd": (state.open_interest_base * state.reference_price_quote).quantize(
                Decimal("1e-4")
            ),
            "is_synthetic": state.is_synthetic or any(h["is_synthetic"] for h in event.hours),
        }

    def steps(self, variant: str, marks: F64, long: SideFlow, short: SideFlow, survival: F64 | None = None) -> None:
        """Add a row per step of a variant whose forced orders have a notional."""
        for i in range(marks.size):
            self._add(
                variant,
                i,
                float(marks[i]),
                (int(long.forced_lots[i]), int(short.forced_lots[i])),
                (
                    self._on.usd(float(long.forced_notional_ticklots[i])),
                    self._on.usd(float(short.forced_notional_ticklots[i])),
                ),
                sim_unabsorbed_base=self._on.base(int(long.unabsorbed_lots[i] + short.unabsorbed_lots[i])),
                sim_depth_survival_frac=None if survival is None else float(survival[i]),
            )

    def counterfactual(self, marks: F64, long_lots: I64, short_lots: I64, lifted: Any) -> None:
        """Add a row per step up to the trough; the share stands in each."""
        for i in range(marks.size):
            self._add(
                "counterfactual|baseline",
                i,
                float(marks[i]),
                (int(long_lots[i]), int(short_lots[i])),
                (None, None),
                sim_depth_survival_frac=float(lifted.depth_survival_frac[i]),
                sim_endogenous_share_frac=lifted.endogenous_share_frac,
                sim_endogenous_share_low_frac=lifted.share_low_frac,
                sim_endogenous_share_first_frac=lifted.first_share_frac,
                is_exhausted=lifted.is_exhausted,
            )

    def _add(
        self,
        variant: str,
        step: int,
        mark_ticks: float,
        lots: tuple[int, int],
        usd: tuple[Decimal | None, Decimal | None],
        **more: Any,
    ) -> None:
        hour = self._hours[step]
        tick = Decimal(1).scaleb(-TICK_DECIMALS)
        self.rows.append(
            self._shared
            | {
                "variant": variant,
                "interval_start_utc": hour["interval_start_utc"],
                "interval_end_utc": hour["interval_end_utc"],
                "low_quote": hour["low_quote"],
                "high_quote": hour["high_quote"],
                "close_quote": hour["close_quote"],
                "sim_mark_quote": Decimal(round(mark_ticks)) * tick,
                "sim_forced_long_base": self._on.base(lots[0]),
                "sim_forced_short_base": self._on.base(lots[1]),
                "sim_forced_long_usd": usd[0],
                "sim_forced_short_usd": usd[1],
                "orders_origin": "simulated",
                "sim_depth_survival_frac": None,
                "sim_endogenous_share_frac": None,
                "sim_endogenous_share_low_frac": None,
                "sim_endogenous_share_first_frac": None,
                "sim_unabsorbed_base": None,
                "is_exhausted": bool(more.get("sim_unabsorbed_base")),
            }
            | more
        )
