"""Holdings over the made-up raw lake: changes only between days that are there, flows only between equal views, every row counted."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from holdings_rows import HOSTILE, LABELLED_FROM
from raw_world import DAYS_COUNT, FIRST_DAY

LAST = FIRST_DAY + timedelta(days=DAYS_COUNT - 1)


def _day(n: int) -> date:
    return FIRST_DAY + timedelta(days=n)


def test_a_supply_changes_from_day_to_day_and_not_over_a_hole(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select supply_date_utc, circulating_change_1d_base, circulating_change_7d_base, circulating_change_30d_base"
        " from marts.fct_stablecoins_daily where stablecoin_symbol = 'USDT' and supply_chain = 'tron' order by 1"
    )
    assert len(rows) == DAYS_COUNT - 1
    told = {day: tuple(None if v is None else float(v) for v in values) for day, *values in rows}
    assert _day(10) not in told
    assert told[_day(9)] == (1.0, 7.0, None)
    assert told[_day(11)] == (None, 7.0, None)
    assert told[_day(17)] == (1.0, None, None)
    assert told[_day(40)] == (1.0, 7.0, None)
    # Of the last day the later look is kept.
    assert told[LAST] == (1.5, 7.5, 30.5)


def test_a_broken_peg_is_shown_in_bps_and_other_pegs_are_not(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select stablecoin_symbol, min(round(peg_deviation_bps, 6)), max(est_usd_origin), count(est_circulating_usd), count(*)"
        " from marts.fct_stablecoins_daily where supply_chain = 'ethereum' group by 1 order by 1"
    )
    assert rows == [
        ("EURC", None, "source_price", DAYS_COUNT, DAYS_COUNT),
        ("USDC", None, "day_price", DAYS_COUNT, DAYS_COUNT),
        ("USDT", -300.0, "source_price", DAYS_COUNT, DAYS_COUNT),
    ]


def test_two_origins_of_reserves_stand_apart(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select reserve_origin, reserve_asset, count(*), count(balance_base), count(est_net_flow_usd), bool_or(is_stablecoin)"
        " from marts.fct_exchange_reserves_daily group by 1, 2 order by 1, 2"
    )
    days = DAYS_COUNT
    assert rows == [
        # No flow on the first day, and none on that on which another account came in.
        ("balances", "ETH", days, days, days - 2, False),
        # The day of 2^256-1 has no number, and neither it nor the next a flow.
        ("balances", "USDC", days, days - 1, days - 4, True),
        ("published", "ETH", days, days - 1, days - 3, False),
        ("published", "OTHER", days, 0, 0, False),
        ("published", "USDT", days, days, days - 1, True),
    ]
    assert warehouse.rows(
        "select count(*) from marts.fct_exchange_reserves_daily where reserve_asset like '%script%'"
    ) == [(0,)]
    assert warehouse.rows(f"select count(*) from raw.exchange_reserves where held_symbol = '{HOSTILE}'") == [(days,)]


def test_a_flow_is_the_change_of_the_holding_at_the_price_of_the_instant(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select m.reserve_date_utc, m.balance_change_base, m.est_net_flow_usd::double, p.close_quote::double, m.holders_count"
        " from marts.fct_exchange_reserves_daily as m join marts.fct_prices_hourly as p"
        " on p.asset = m.reserve_asset and p.interval_end_utc = m.reserve_date_utc::timestamp + interval 24 hour"
        " where m.reserve_origin = 'balances' and m.reserve_asset = 'ETH' and m.balance_change_base is not null"
    )
    assert len(rows) == DAYS_COUNT - 2
    for day, change, flow, price, holders in rows:
        accounts = 2 if day > _day(LABELLED_FROM) else 1
        assert (change, holders) == (Decimal(accounts), accounts)
        assert flow == pytest.approx(accounts * price, abs=1e-4)


def test_dry_powder_is_a_sum_over_stablecoins(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select sum(est_net_flow_usd) from marts.fct_exchange_reserves_daily"
        f" where is_stablecoin and reserve_origin = 'balances' and reserve_date_utc = date '{_day(40)}'"
    )
    assert rows == [(Decimal(20),)]


def test_coverage_counts_every_holding(warehouse: Any) -> None:
    rows = warehouse.rows(
        "select dataset, venue, coverage_status, sum(observed_rows_count) from marts.fct_data_coverage_daily"
        " where dataset in ('stablecoin_supplies', 'exchange_reserves') group by 1, 2, 3 order by 1, 2"
    )
    assert rows == [
        ("exchange_reserves", "defillama", "complete", 4 * DAYS_COUNT),
        ("exchange_reserves", "ethereum", "complete", 2 * DAYS_COUNT + 2 * (DAYS_COUNT - LABELLED_FROM)),
        ("stablecoin_supplies", "defillama", "complete", 4 * DAYS_COUNT - 1),
    ]
