"""Made-up holdings for the raw world: stablecoins by chain and reserves of exchanges, with the faults that the models must bear.

Belongs here: rows in the shape of ``quality.schemas.holdings``. Does not: the sandbox's truth (``pipelines/sandbox/holdings.py``).

What is in it: a chain that is missing on a day and comes back; a coin without a price, one with another peg, and one whose price
breaks; a later look of the same day; an account that is labelled from the twentieth day on; a balance of 2^256-1; two amounts whose
sum exceeds the type; a symbol that is markup.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

UINT256_MAX = 2**256 - 1
HOSTILE = "<script>alert(1)</script>"
LABELLED_FROM = 20


def _lake(source: str, at: datetime, captured: dict[date, datetime]) -> dict[str, object]:
    return {
        "payload_sha256": "0" * 64,
        "source": source,
        "capture_date_utc": at.date(),
        "ingested_at_utc": captured[at.date()],
        "is_synthetic": False,
    }


def stablecoin_supplies(first_day: date, captured: dict[date, datetime]) -> list[dict[str, object]]:
    """Return one look a day of three coins; USDT's is repeated at noon of the last day, with more coins."""
    rows = []
    for day in range(len(captured)):
        at = datetime.combine(first_day + timedelta(days=day), time())
        for key, symbol, peg, chain, first, price in (
            ("1", "USDT", "USD", "ethereum", 1_000.0, 0.97 if day == 39 else 1.0005),
            ("1", "USDT", "USD", "tron", 500.0, 0.97 if day == 39 else 1.0005),
            ("2", "USDC", "USD", "ethereum", 300.0, None),
            ("50", "EURC", "EUR", "ethereum", 10.0, 1.16),
        ):
            if chain == "tron" and day == 10:
                continue
            row = {
                "venue": "defillama",
                "stablecoin_id": key,
                "stablecoin_symbol": symbol,
                "supply_chain": chain,
                "observed_at_utc": at,
                "peg_type": peg,
                "peg_mechanism": "fiat-backed",
                "circulating_base": first + day,
                "stablecoin_price_quote": price,
                **_lake("publisher", at, captured),
            }
            rows.append(row)
            if key == "1" and day == len(captured) - 1:
                rows.append({**row, "observed_at_utc": at + timedelta(hours=12), "circulating_base": first + day + 0.5})
    return rows


def exchange_reserves(first_day: date, captured: dict[date, datetime]) -> list[dict[str, object]]:
    """Return what a publisher tells and what a chain shows of one exchange, once a day."""
    rows = []
    for day in range(len(captured)):
        midnight = datetime.combine(first_day + timedelta(days=day), time())
        for symbol, amount, worth in (
            ("ETH", f"{1_000 + day}.125", 4e6),
            # With the day's ether it exceeds the type, though neither does alone.
            ("WETH", "99999999999999999999" if day == 33 else "10", 4e4),
            ("USDT", "70000", 7e4),
            (HOSTILE, "5", 15.0),
        ):
            rows.append(
                {
                    "venue": "defillama",
                    "exchange": "binance",
                    "holder_chain": "ethereum",
                    "holder_address": "all",
                    "held_symbol": symbol,
                    "held_token": symbol,
                    "observed_at_utc": midnight,
                    "balance_raw": amount,
                    "amounts_unit": "tokens",
                    "reported_balance_usd": worth,
                    **_lake("publisher", midnight, captured),
                }
            )
        last_block = midnight + timedelta(hours=23, minutes=59, seconds=48)
        for account in (1, 2):
            if account == 2 and day < LABELLED_FROM:
                continue
            for symbol, token, decimals, amount in (
                ("ETH", "native", 18, (100 + day) * 10**18 + 1),
                ("USDC", "0x" + "c" * 40, 6, UINT256_MAX if day == 30 else (2_000 + 10 * day) * 10**6),
            ):
                rows.append(
                    {
                        "venue": "ethereum",
                        "exchange": "binance",
                        "holder_chain": "ethereum",
                        "holder_address": f"0x{account:040x}",
                        "held_symbol": symbol,
                        "held_token": token,
                        "held_decimals_count": decimals,
                        "observed_at_utc": last_block,
                        "block_height": 20_000_000 + 7_200 * day,
                        "block_hash": f"0x{day + 1:064x}",
                        "balance_raw": str(amount),
                        "amounts_unit": "base_units",
                        **_lake("rpc", last_block, captured),
                    }
                )
    return rows
