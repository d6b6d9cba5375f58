"""Mart rows of lending, stablecoins, reserves, holders and macro releases for the report's small world.

Belongs here: plain rows, (mart, values), of a day and the days before. Does not: types and constraints, which the caller takes
from ``quality.schemas.marts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Row = tuple[str, dict[str, Any]]


def rows_beside_exchanges(day: date, names: tuple[str, ...], *, synthetic: bool) -> list[Row]:
    """Return rows that name each of `names` as a token, a coin, an exchange or a series."""
    rows = [
        *_lending(day, names),
        *_stablecoins(day, names),
        *_reserves(day, names),
        *_holders(day),
        *_macro(day, names),
    ]
    return [(mart, values | {"is_synthetic": synthetic}) for mart, values in rows]


def _lending(day: date, names: tuple[str, ...]) -> Iterator[Row]:
    at = datetime.combine(day, time(23))
    for k, name in enumerate(names):
        call = {
            "venue": "aave_v3_ethereum", "occurred_at_utc": at, "collateral_symbol": name, "verified_by": "receipts",
            "est_collateral_seized_usd": Decimal(1_050_000), "est_debt_repaid_usd": Decimal(1_000_000),
            "is_value_plausible": True,
        }  # fmt: skip
        yield "fct_lending_liquidations", call | {"call_id": f"{k}:0", "user_address": "0xa"}
        yield (
            "fct_lending_liquidations",
            call | {"call_id": f"{k}:1", "user_address": "0xb", "verified_by": "unverified"},
        )
        # A price that cannot be right, and a leg without a price: counted, never summed.
        yield (
            "fct_lending_liquidations",
            call | {"call_id": f"{k}:2", "est_collateral_seized_usd": Decimal(10**15), "is_value_plausible": False},
        )
        yield (
            "fct_lending_liquidations",
            call | {"call_id": f"{k}:3", "est_debt_repaid_usd": None, "is_value_plausible": None},
        )
        snapshot = {
            "venue": "aave_v3_ethereum",
            "observed_at_utc": at,
            "block_height": 23_550_000,
            "token_symbol": name,
        }
        for account, debt, health in (("0xa", 70, 1.05), ("0xb", 20, 0.97), ("0xc", 110, 2.0), ("0xd", 0, None)):
            yield (
                "fct_lending_positions_daily",
                snapshot | {
                    "position_date_utc": day, "user_address": account, "token_address": f"t{k}",
                    "account_collateral_usd": Decimal(150), "account_debt_usd": Decimal(debt), "health_factor_x": health,
                },
            )  # fmt: skip
        yield (
            "fct_lending_reserves_daily",
            snapshot | {
                "reserve_date_utc": day, "token_address": f"t{k}", "ltv_frac": 0.8, "liquidation_threshold_frac": 0.83,
                "liquidation_bonus_frac": None if k else 0.05, "supplied_usd": Decimal(9_000 - k), "utilisation_frac": 0.4,
                "borrowed_usd": None, "is_collateral_enabled": True,
            },
        )  # fmt: skip
        for step, usd in ((0, 7), (10, 100), (11, 20), (60, 900), (61, 50_000)):
            yield (
                "fct_liquidation_fuel_daily",
                {
                    "fuel_date_utc": day, "venue": "aave_v3_ethereum", "asset": name, "position_side": "long",
                    "fuel_origin": "observed", "window_end_frac": step * 0.005, "fuel_usd": Decimal(usd - k),
                    "oracle_price_quote": Decimal(4_000), "left_out_accounts_count": 3,
                },
            )  # fmt: skip


def _stablecoins(day: date, names: tuple[str, ...]) -> Iterator[Row]:
    for back in range(30):
        for k, name in enumerate(names):
            for chain, circulating in (("Ethereum", 1_000_000 - k), ("Tron", 500_000)):
                if chain == "Tron" and back == 3:
                    continue  # a hole: this pair has no change over it, and the chart does not follow it
                yield (
                    "fct_stablecoins_daily",
                    {
                        "stablecoin_id": str(k), "stablecoin_symbol": name, "supply_chain": chain,
                        "supply_date_utc": day - timedelta(days=back), "peg_type": "USD",
                        "stablecoin_price_quote": Decimal("0.998"), "peg_deviation_bps": -20.0 - k,
                        "circulating_base": Decimal(circulating - 10 * back),
                        "est_circulating_usd": Decimal(circulating - 10 * back) * Decimal("0.998"),
                        "circulating_change_1d_base": None if chain == "Tron" and back == 2 else Decimal(10),
                        "circulating_change_7d_base": Decimal(70) if chain == "Ethereum" else None,
                    },
                )  # fmt: skip
    yield (
        "fct_stablecoins_daily",
        {
            "stablecoin_id": "euro", "stablecoin_symbol": "EURC", "supply_chain": "Ethereum", "supply_date_utc": day,
            "peg_type": "EUR", "est_circulating_usd": Decimal(10**9),
        },
    )  # fmt: skip


def _reserves(day: date, names: tuple[str, ...]) -> Iterator[Row]:
    for name in names:
        for asset, usd, flow in (
            ("BTC", 40, -3),
            ("ETH", 20, None),
            ("USDT", 30, 5),
            ("USDC", 10, None),
            ("OTHER", None, None),
        ):
            yield (
                "fct_exchange_reserves_daily",
                {
                    "exchange": name, "reserve_asset": asset, "reserve_date_utc": day, "reserve_origin": "published",
                    "observed_at_utc": datetime.combine(day, time()), "is_stablecoin": asset.startswith("USD"),
                    "est_balance_usd": None if usd is None else Decimal(usd) * 10**9,
                    "est_net_flow_usd": None if flow is None else Decimal(flow) * 10**6, "holders_count": 4,
                },
            )  # fmt: skip


def _holders(day: date) -> Iterator[Row]:
    for asset in ("BTC", "ETH"):
        for back in range(1, 40):
            yield (
                "fct_holder_supply_daily",
                {
                    "asset": asset, "holder_date_utc": day - timedelta(days=back), "supply_base": Decimal(19_900_000),
                    "est_long_term_supply_base": Decimal(12_100_000), "est_long_term_supply_frac": 0.608,
                    "mvrv_x": 2.0 + back / 100, "exchange_net_inflow_usd": Decimal(-250_000_000), "venue": "coin_metrics",
                    "terms_note": "CC BY-NC 4.0: attribution; no commercial use without a licence from Coin Metrics.",
                },
            )  # fmt: skip


def _macro(day: date, names: tuple[str, ...]) -> Iterator[Row]:
    for name in names:
        release = {"series_id": name, "series_name": name, "release_origin": "calendar", "unit": "percent"}
        yield (
            "fct_macro_releases",
            release | {
                "release_date_utc": day, "release_status": "out", "observation_date_utc": day - timedelta(days=40),
                "value_native": 4.3, "previous_known_native": 4.2, "surprise_native": 0.1, "consensus_native": 4.25,
                "consensus_surprise_native": 0.05,
            },
        )  # fmt: skip
        yield (
            "fct_macro_releases",
            release | {
                "release_date_utc": day + timedelta(days=13), "release_status": "out", "value_native": 99.0,
                "surprise_native": 95.0,
            },
        )  # fmt: skip
    for seen, low, likely in ((1, 350, True), (1, 375, False), (5, 400, True)):
        yield (
            "fct_rate_expectations_daily",
            {
                "meeting_date_utc": day + timedelta(days=19), "observed_date_utc": day - timedelta(days=seen),
                "target_low_bps": float(low), "target_high_bps": float(low + 25), "probability_frac": 0.6,
                "expected_rate_bps": 372.5, "is_most_likely": likely, "venue": "own_rates",
            },
        )  # fmt: skip
