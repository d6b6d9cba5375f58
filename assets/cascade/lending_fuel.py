"""Observed fuel of lending markets: rows of ``sim.liquidation_fuel`` from the accounts of a day's snapshot.

Belongs here: positions of the marts as arrays, the ladder's steps as windows of the move. Does not: the market's rules
(``lending.py``), estimated fuel (``fuel.py``), positions on exchanges, the replay.

An asset falls alone: the account's other tokens keep their price. Accounts fail at the oracle's prices, so that the move is
measured from the oracle's price and not from an exchange's. Seized tokens of other assets are not in the rows.

References
----------
docs/cascade.md, section 4; docs/lending.md, "Fuel".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from assets.cascade.lending import Ladder, collateral_ladder
from assets.cascade.params import BRANCHING_WINDOW_BPS, TICK_DECIMALS

F64 = npt.NDArray[np.float64]
Row = dict[str, Any]

# Only its rules are known here; accounts of other protocols have no fuel in the table.
PROTOCOL = "aave_v3"
# Where an account's own cover and that of its reserves differ by more, other thresholds hold (e-mode).
COVER_TOLERANCE_FRAC = 1e-3

_LEGS = """
select
    held.venue,
    held.user_address,
    held.token_address,
    held.asset,
    held.observed_at_utc,
    held.oracle_price_quote,
    case when held.is_collateral and held.liquidation_threshold_frac > 0 then held.supplied_base else 0 end::double
        as held_base,
    held.borrowed_base::double as owed_base,
    held.liquidation_threshold_frac,
    reserves.liquidation_bonus_frac,
    held.account_collateral_usd::double * held.account_threshold_frac as account_cover_usd,
    held.is_synthetic
from marts.fct_lending_positions_daily as held
left join marts.fct_lending_reserves_daily as reserves
    on
        held.venue = reserves.venue
        and held.token_address = reserves.token_address
        and held.position_date_utc = reserves.reserve_date_utc
where held.position_date_utc = ? and held.protocol = ?
order by held.venue, held.user_address, held.token_address
"""


@dataclass(frozen=True)
class Accounts:
    """Accounts of one venue's snapshot: amounts are float64[n_accounts, n_tokens], the rest float64[n_tokens].

    `held_usd` is collateral that counts. `left_out_count` accounts could not be told.
    """

    users: tuple[str, ...]
    assets: tuple[str | None, ...]
    held_usd: F64
    owed_usd: F64
    price_quote: tuple[Decimal, ...]
    threshold_frac: F64
    bonus_frac: F64
    left_out_count: int

    def ladder(self, asset: str) -> Ladder:
        """Return what is liquidated of the accounts that hold an asset as it falls; `account` counts all accounts."""
        falls = self.falls(asset)
        holders = np.flatnonzero(self.held_usd[:, falls].any(axis=1))
        found = collateral_ladder(
            self.held_usd[holders], self.owed_usd[holders], self.threshold_frac, self.bonus_frac, falls
        )
        return replace(found, account=holders[found.account])

    def falls(self, asset: str) -> npt.NDArray[np.bool_]:
        """Return bool[n_tokens]: which tokens follow the asset."""
        return np.array([a == asset for a in self.assets], dtype=np.bool_)


def lending_fuel_rows(con: duckdb.DuckDBPyConnection, day: date) -> list[Row]:
    """Return the day's observed fuel of long collateral, by venue, asset and window of the move.

    Returns
    -------
    list of dict
        Rows with the columns of ``sim.liquidation_fuel``. A window of no width holds what is liquidated at the prices of now.
    """
    rows: list[Row] = []
    for venue, snapshot in _snapshots(con, day).items():
        accounts = accounts_of(snapshot)
        shared = {
            "fuel_date_utc": day,
            "venue": venue,
            "position_side": "long",
            "fuel_origin": "observed",
            "observed_at_utc": snapshot[0]["observed_at_utc"],
            "left_out_accounts_count": accounts.left_out_count,
            "is_synthetic": any(leg["is_synthetic"] for leg in snapshot),
        }
        for asset in sorted({a for a in accounts.assets if a is not None}):
            rows += [shared | row for row in _windows(accounts, asset)]
    return rows


def accounts_of_day(con: duckdb.DuckDBPyConnection, day: date) -> dict[str, Accounts]:
    """Return the accounts of a day's snapshots by venue."""
    return {venue: accounts_of(legs) for venue, legs in _snapshots(con, day).items()}


def _snapshots(con: duckdb.DuckDBPyConnection, day: date) -> dict[str, list[Row]]:
    cursor = con.execute(_LEGS, [day, PROTOCOL])
    names = [column[0] for column in cursor.description]
    legs = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    return {venue: list(own) for venue, own in groupby(legs, key=lambda leg: leg["venue"])}


def accounts_of(legs: Sequence[Row]) -> Accounts:
    """Return the accounts of one snapshot from its legs, which are in order of account and token."""
    tokens = {leg["token_address"]: leg for leg in sorted(legs, key=lambda leg: str(leg["token_address"]))}
    place = {token: i for i, token in enumerate(tokens)}
    users: list[str] = []
    held: list[F64] = []
    owed: list[F64] = []
    left_out = 0
    for user, own in groupby(legs, key=lambda leg: leg["user_address"]):
        of_user = list(own)
        if not _is_told(of_user):
            left_out += 1
            continue
        users.append(user)
        held.append(np.zeros(len(tokens)))
        owed.append(np.zeros(len(tokens)))
        for leg in of_user:
            price, at = float(leg["oracle_price_quote"]), place[leg["token_address"]]
            held[-1][at], owed[-1][at] = leg["held_base"] * price, leg["owed_base"] * price
    shape = (len(users), len(tokens))
    return Accounts(
        users=tuple(users),
        assets=tuple(leg["asset"] for leg in tokens.values()),
        held_usd=np.array(held).reshape(shape),
        owed_usd=np.array(owed).reshape(shape),
        price_quote=tuple(leg["oracle_price_quote"] for leg in tokens.values()),
        threshold_frac=np.array([leg["liquidation_threshold_frac"] for leg in tokens.values()]),
        # Missing where the token is no collateral: an account that holds it as such is left out.
        bonus_frac=np.array([leg["liquidation_bonus_frac"] or 0.0 for leg in tokens.values()]),
        left_out_count=left_out,
    )


def _is_told(legs: Sequence[Row]) -> bool:
    """Return whether an account's liquidations follow from its legs."""
    if any(leg["held_base"] is None or leg["owed_base"] is None for leg in legs):
        return False
    if any(leg["held_base"] > 0 and leg["liquidation_bonus_frac"] is None for leg in legs):
        return False
    cover = sum(x["held_base"] * float(x["oracle_price_quote"]) * x["liquidation_threshold_frac"] for x in legs)
    told = legs[0]["account_cover_usd"]
    return bool(abs(cover - told) <= COVER_TOLERANCE_FRAC * max(told, 1.0))


def _windows(accounts: Accounts, asset: str) -> list[Row]:
    """Return the windows in which the asset's own tokens are seized."""
    steps, falls = accounts.ladder(asset), accounts.falls(asset)
    own = falls[steps.seized_token]
    # The asset's price: that of the token of it of which most is held.
    largest = max(np.flatnonzero(falls), key=lambda i: float(accounts.held_usd[:, i].sum()))
    oracle = accounts.price_quote[largest]
    token_quote = np.array([float(p) for p in accounts.price_quote])[steps.seized_token] * steps.price_x
    base = np.divide(steps.seized_usd, token_quote, where=own, out=np.zeros(own.size))
    width = BRANCHING_WINDOW_BPS / 1e4
    # A fall that ends on an edge belongs to the window that ends there; the tolerance is rounding of 1 - x.
    window = np.where(steps.is_past, 0, np.maximum(1, np.ceil((1.0 - steps.price_x) / width - 1e-9))).astype(np.int64)
    rows = []
    for k in np.unique(window[own]).tolist():
        of_window = own & (window == k)
        seized, repaid = float(steps.seized_usd[of_window].sum()), float(steps.repaid_usd[of_window].sum())
        quantity = float(base[of_window].sum())
        mean_x = float((steps.price_x * base)[of_window].sum()) / quantity if quantity else 1.0 - k * width
        rows.append(
            {
                "asset": asset,
                "window_start_frac": max(k - 1, 0) * BRANCHING_WINDOW_BPS / 1e4,
                "window_end_frac": k * BRANCHING_WINDOW_BPS / 1e4,
                "oracle_price_quote": oracle,
                "trigger_quote": (oracle * Decimal(mean_x)).quantize(Decimal(1).scaleb(-TICK_DECIMALS)),
                "fuel_base": Decimal(quantity).quantize(Decimal("1e-8")),
                "fuel_usd": Decimal(seized).quantize(Decimal("1e-4")),
                "fuel_debt_usd": Decimal(repaid).quantize(Decimal("1e-4")),
                "close_factor_frac": repaid / float(steps.total_debt_usd[of_window].sum()),
                "liquidation_bonus_frac": seized / repaid - 1.0,
                "accounts_count": int(np.unique(steps.account[of_window]).size),
            }
        )
    return rows
