"""Made-up lending records for the raw world: calls read from a chain and from an import, with amounts up to 2^256-1.

Belongs here: rows in the shape of ``quality.schemas.lending``. Does not: the chain itself (``pipelines/sandbox``).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import numpy as np

UINT256_MAX = 2**256 - 1
DECIMALS = {"WETH": 18, "WBTC": 8, "USDC": 6, "GUSD": 2, "ODD": 0}


def lending_calls(first_day: date, captured: dict[date, datetime], *, seed: int = 11) -> list[dict[str, object]]:
    """Return calls of two venues: of a chain on the first 20 days, of an import from the tenth day on."""
    rng = np.random.Generator(np.random.PCG64(seed))
    rows: list[dict[str, object]] = []
    for day in range(len(captured)):
        at = datetime.combine(first_day + timedelta(days=day), time(8))
        lake = {
            "payload_sha256": "0" * 64,
            "capture_date_utc": at.date(),
            "ingested_at_utc": captured[at.date()],
            "is_synthetic": False,
        }
        for n in range(4):
            amounts = [int.from_bytes(rng.bytes(32)) >> int(rng.integers(0, 256)) for _ in range(2)]
            if day == 0 and n == 0:
                amounts = [UINT256_MAX, 0]
            if day < 20:
                rows.append({**_call(day, n, at, amounts), "source": "rpc", **lake})
            if day >= 10:
                rows.append({**_imported(day, n, at, amounts), "source": "aave", **lake})
    return rows


def _call(day: int, n: int, at: datetime, amounts: list[int]) -> dict[str, object]:
    seized, repaid = list(DECIMALS)[(day + n) % 5], list(DECIMALS)[(day + 2 * n + 1) % 5]
    transaction = f"0x{day * 100 + n:064x}"
    return {
        "venue": "aave_v3_ethereum",
        "chain": "ethereum",
        "protocol": "aave_v3",
        "market_address": "0x" + "a" * 40,
        "call_id": f"{transaction}:{n}",
        "occurred_at_utc": at + timedelta(seconds=12 * n),
        "block_height": 20_000_000 + day * 7_200 + n,
        "block_hash": f"0x{day * 100 + n + 1:064x}",
        "transaction_hash": transaction,
        "log_offset": n,
        "user_address": "0x" + "b" * 40,
        "liquidator_address": "0x" + "c" * 40,
        "collateral_symbol": seized,
        "collateral_address": "0x" + "d" * 40,
        "collateral_seized_raw": str(amounts[0]),
        "collateral_decimals_count": DECIMALS[seized],
        "debt_symbol": repaid,
        "debt_address": "0x" + "e" * 40,
        "debt_repaid_raw": str(amounts[1]),
        "debt_decimals_count": DECIMALS[repaid],
        "amounts_unit": "base_units",
        "is_atoken_received": n % 2 == 0,
        "verified_by": "receipts",
    }


def _imported(day: int, n: int, at: datetime, amounts: list[int]) -> dict[str, object]:
    return {
        "venue": "aave_v3_ethereum",
        "chain": "ethereum",
        "protocol": "aave_v3",
        "market_address": "0x" + "a" * 40,
        "call_id": f"import:{day}:{n}",
        "occurred_at_utc": at + timedelta(seconds=12 * n),
        "user_address": "0x" + "b" * 40,
        "collateral_symbol": "WETH",
        "collateral_seized_raw": f"{amounts[0] % 10**6}.{n}5",
        "debt_symbol": "USDC",
        "debt_repaid_raw": f"{amounts[1] % 10**6}.000001",
        "amounts_unit": "tokens",
        "reported_collateral_seized_usd": 105.0 if n else 4_000.0,
        "reported_debt_repaid_usd": 100.0,
        "verified_by": "import",
    }


def _observed(day: int, hour: int, first_day: date, captured: dict[date, datetime]) -> dict[str, object]:
    at = datetime.combine(first_day + timedelta(days=day), time(hour))
    return {
        "venue": "aave_v3_ethereum",
        "chain": "ethereum",
        "protocol": "aave_v3",
        "market_address": "0x" + "a" * 40,
        "observed_at_utc": at,
        "block_height": 20_000_000 + day * 7_200 + hour * 300,
        "block_hash": f"0x{day * 100 + hour:064x}",
        "oracle_price_quote": 2_000.0 + day,
        "payload_sha256": "0" * 64,
        "source": "rpc",
        "capture_date_utc": at.date(),
        "ingested_at_utc": captured[at.date()],
        "is_synthetic": False,
    }


def lending_reserves(first_day: date, captured: dict[date, datetime]) -> list[dict[str, object]]:
    """Return two observations a day of two reserves; one has no cap and is no collateral."""
    return [
        {
            **_observed(day, hour, first_day, captured),
            "token_symbol": symbol,
            "token_address": f"0x{place:040x}",
            "token_decimals_count": 18,
            "ltv_frac": 0.8 if place else 0.0,
            "liquidation_threshold_frac": 0.83 if place else 0.0,
            "liquidation_bonus_frac": 0.05 if place else None,
            "protocol_fee_frac": 0.1,
            "reserve_factor_frac": 0.15,
            "supply_cap_base": 1e6 if place else None,
            "borrow_cap_base": 5e5 if place else None,
            "supplied_raw": str((1_000 + hour) * 10**18) if place else "0",
            "borrowed_raw": str(500 * 10**18) if place else "0",
            "is_collateral_enabled": bool(place),
            "is_borrowing_enabled": True,
            "is_active": True,
            "is_frozen": False,
            "is_paused": False,
        }
        for day in range(len(captured))
        for hour in (0, 12)
        for place, symbol in enumerate(("GHO", "WETH"))
    ]


def lending_positions(first_day: date, captured: dict[date, datetime]) -> list[dict[str, object]]:
    """Return two observations a day; the second shows one account less."""
    return [
        {
            **_observed(day, hour, first_day, captured),
            "user_address": f"0x{user:040x}",
            "token_symbol": "WETH",
            "token_address": f"0x{1:040x}",
            "token_decimals_count": 18,
            "supplied_raw": str(user * 10**18),
            "borrowed_raw": str(UINT256_MAX if user == 3 else user * 10**17),
            "is_collateral": user != 2,
            "liquidation_threshold_frac": 0.83,
            "est_liquidation_price_quote": None if user == 2 else 1_500.0,
            "account_collateral_usd": 2_000.0 * user,
            "account_debt_usd": 1_000.0 * user,
            "account_threshold_frac": 0.83,
            "health_factor_raw": str(166 * 10**16),
            "health_factor_x": 1.66,
        }
        for day in range(len(captured))
        for hour in (0, 12)
        for user in range(1, 5 if hour == 0 else 4)
    ]
