"""The day of 2025-10-10 from real records, through the real commands: import, run, query, as-of."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from small_market import LOWTIDE, exported_hashes

pytestmark = [pytest.mark.shared_data, pytest.mark.long]

DAY = "2025-10-10"
QUARANTINED = 3
IMPORTS = {
    "aave": ("aave", QUARANTINED),
    "multivenue": ("multivenue_1h", 0),
    "macro": ("macro", 0),
    "etf_flows": ("flows", 0),
    "coin_metrics_csv": ("onchain_btc", 0),
    "fear_greed": ("sentiment", 0),
    "leverage_tiers": ("leverage_tiers", QUARANTINED),
}


def _lowtide(home: Path, *arguments: str, clock: str = "2026-11-23T09:00:00", threads: str = "2", code: int = 0) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOWTIDE_", "DAGSTER_", "PYTEST"))}
    environment = {
        **kept,
        "LOWTIDE_HOME": str(home),
        "LOWTIDE_CLOCK": clock,
        "LOWTIDE_DUCKDB_THREADS": threads,
        "LOWTIDE_VENUES": "[]",
        "LOWTIDE_PUBLISHERS": "[]",
        "COLUMNS": "250",
    }
    done = subprocess.run([str(LOWTIDE), *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def _rows(home: Path, query: str) -> list[dict]:
    return json.loads(_lowtide(home, "sql", query, "--format", "json"))


@pytest.fixture(scope="module")
def home(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after the imports and the run of 2025-10-10."""
    folder = tmp_path_factory.mktemp("real") / "home"
    for mapping, (subfolder, code) in IMPORTS.items():
        _lowtide(folder, "import", mapping, "--from", str(shared_data / subfolder), code=code)
    _lowtide(folder, "run", "--date", DAY)
    return folder


def test_lows_of_the_day(home: Path) -> None:
    rows = _rows(
        home,
        "select venue, min(low_quote) as low_quote from fct_candles_hourly where asset = 'BTC'"
        " and interval_start_utc::date = '2025-10-10' and venue in ('binance', 'bybit') group by venue order by venue",
    )
    assert rows == [{"venue": "binance", "low_quote": 101516.5}, {"venue": "bybit", "low_quote": 101045.9}]


def test_every_funding_row_is_accounted_for(home: Path) -> None:
    (mart,) = _rows(home, "select count(*) as n from fct_funding_rates")
    (refused,) = _rows(
        home,
        "select coalesce(sum(quarantined_rows_count), 0) as n from fct_quarantined_rows_daily where dataset = 'funding_rates'",
    )
    assert mart["n"] + refused["n"] == 115_218


@pytest.mark.parametrize(("asset", "fall_usd"), [("BTC", -0.504), ("ETH", -0.465), ("SOL", -0.628)])
def test_hyperliquid_open_interest_from_20_to_22(home: Path, asset: str, fall_usd: float) -> None:
    rows = _rows(
        home,
        "select open_interest_one_sided_usd as usd, open_interest_one_sided_base as base, open_interest_base_origin as origin"
        f" from fct_open_interest_hourly where venue = 'hyperliquid' and asset = '{asset}'"
        " and interval_start_utc in ('2025-10-10 20:00:00', '2025-10-10 22:00:00') order by interval_start_utc",
    )
    before, after = rows
    assert after["usd"] / before["usd"] - 1 == pytest.approx(fall_usd, abs=0.0005)
    # In coin the fall is smaller, since the price fell too; Hyperliquid's file tells USD alone, so coin is derived.
    assert fall_usd < after["base"] / before["base"] - 1 < 0
    assert before["origin"] == "derived"


def test_sol_fell_more_than_btc(home: Path) -> None:
    rows = _rows(
        home,
        "select asset, return_frac, drawdown_frac from fct_market_recaps_daily"
        " where recap_date_utc = '2025-10-10' and asset in ('BTC', 'SOL') order by asset",
    )
    btc, sol = rows
    assert sol["return_frac"] < btc["return_frac"] < 0
    assert sol["drawdown_frac"] > btc["drawdown_frac"]


def test_etf_flow_of_the_day_is_present(home: Path, shared_data: Path) -> None:
    line = next(x for x in (shared_data / "flows" / "btc_spot_etf_net_flow.csv").read_text().splitlines() if DAY in x)
    (row,) = _rows(home, "select net_flow_usd from fct_etf_flows_daily where flow_date_utc = '2025-10-10'")
    assert row["net_flow_usd"] == pytest.approx(float(line.split(",")[1]) * 1e6)


def test_every_day_of_etf_flows_is_counted(home: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (shared_data / "flows" / "btc_spot_etf_net_flow.csv").read_text().splitlines()[1:]
    told = {day[:10]: Decimal(flow) for day, flow in (line.split(",") for line in lines)}
    (mart,) = _rows(
        home,
        "select count(*) as n, sum(net_flow_usd)::varchar as total, max(flow_date_utc)::varchar as last,"
        " sum(missing_trading_days_count) as missing, bool_and(is_trading_day) as traded,"
        " max_by(cumulative_net_flow_usd, flow_date_utc)::varchar as cumulative from fct_etf_flows_daily where asset = 'BTC'",
    )
    with capsys.disabled():
        print(f"\nBTC ETF flows: {mart['total']} USD over {mart['n']} trading days to {mart['last']}")
    # 16 zeros fill holidays; the weekdays that the file lacks are holidays too.
    assert (len(told), mart["n"], mart["missing"], mart["traded"]) == (671, 655, 0, True)
    assert mart["last"] == max(told) == "2026-08-21"
    assert Decimal(mart["total"]) == Decimal(mart["cumulative"]) == sum(told.values()) * 1_000_000
    assert Decimal(mart["total"]) == Decimal("52020900000")
    (calendar,) = _rows(
        home,
        "select min(coverage_date_utc)::varchar as first, max(coverage_date_utc)::varchar as last"
        " from fct_data_coverage_daily where dataset = 'etf_flows'",
    )
    first, last = calendar["first"], calendar["last"]
    covered = _rows(
        home,
        "select coverage_status, count(*) as days, sum(expected_rows_count) as due, sum(observed_rows_count) as seen"
        " from fct_data_coverage_daily where dataset = 'etf_flows' group by 1 order by 1",
    )
    assert first == min(told)
    assert last >= max(told)
    zeros = [day for day in told if told[day] == 0]
    counts = {r["coverage_status"]: (r["due"], r["seen"]) for r in covered}
    assert counts == {
        "complete": (len(told) - len(zeros), len(told) - len(zeros)),
        "unexpected": (0, len(zeros)),
    }
    assert sum(r["days"] for r in covered) == (date.fromisoformat(last) - date.fromisoformat(first)).days + 1


def test_every_day_of_holders_is_counted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mart,) = _rows(
        home,
        "select count(*) as n, min(holder_date_utc)::varchar as first, max(holder_date_utc)::varchar as last,"
        " count(market_cap_usd) as caps, count(supply_base) as supplies, count(est_long_term_supply_base) as held,"
        " max_by(mvrv_x, holder_date_utc) as mvrv, max_by(exchange_net_inflow_usd, holder_date_utc)::varchar as net,"
        " min(terms_note) as terms from fct_holder_supply_daily",
    )
    with capsys.disabled():
        print(f"\nBTC holders: {mart['n']} days to {mart['last']}, MVRV {mart['mvrv']:.4f}")
    assert (mart["n"], mart["first"], mart["last"]) == (2_344, "2020-01-01", "2026-06-01")
    # The file tells no supply: missing, not zero.
    assert (mart["caps"], mart["supplies"], mart["held"]) == (2_344, 0, 0)
    assert mart["mvrv"] == 1.321374781897173
    assert mart["net"] == "250713460.9514"
    assert mart["terms"].startswith("CC BY-NC 4.0")
    covered = _rows(
        home,
        "select coverage_status, count(*) as days, sum(missing_rows_count) as missing from fct_data_coverage_daily"
        " where dataset = 'holder_metrics' group by 1",
    )
    assert [(r["coverage_status"], r["days"], r["missing"]) for r in covered] == [("complete", 2_344, 0)]


def test_coverage_names_what_is_missing(home: Path) -> None:
    (row,) = _rows(
        home,
        "select coverage_status, coverage_reason, observed_rows_count from fct_data_coverage_daily"
        " where dataset = 'candles' and venue = 'okx' and coverage_date_utc = '2025-10-10'",
    )
    assert row == {"coverage_status": "missing", "coverage_reason": "not_collected", "observed_rows_count": 0}
    (later,) = _rows(
        home,
        "select coverage_status from fct_data_coverage_daily"
        " where dataset = 'candles' and venue = 'okx' and coverage_date_utc = '2025-12-20'",
    )
    assert later == {"coverage_status": "complete"}


def test_liquidations_say_what_they_are(home: Path) -> None:
    rows = _rows(
        home,
        "select venue, completeness_class, position_side, count(*) as n, min(order_price_kind) as price, min(quantity_base_origin)"
        " as origin from fct_liquidations group by 1, 2, 3 order by 1, 2, 3",
    )
    assert rows == [
        {"venue": "hyperliquid", "completeness_class": "unknown", "position_side": "unknown", "n": 2_243, "price": "average_fill", "origin": "derived"},
        {"venue": "okx", "completeness_class": "sampled", "position_side": "long", "n": 1_812, "price": "bankruptcy", "origin": "derived"},
        {"venue": "okx", "completeness_class": "sampled", "position_side": "short", "n": 4_004, "price": "bankruptcy", "origin": "derived"},
    ]  # fmt: skip
    covered = _rows(
        home,
        "select coverage_date_utc::varchar as day, coverage_status, coverage_reason from fct_data_coverage_daily"
        " where dataset = 'liquidations' and venue = 'okx' and coverage_date_utc in ('2025-10-10', '2026-03-05') order by 1",
    )
    assert covered == [
        {"day": "2025-10-10", "coverage_status": "missing", "coverage_reason": "not_collected"},
        {"day": "2026-03-05", "coverage_status": "complete", "coverage_reason": ""},
    ]


def test_every_tier_of_718_contracts_is_in_the_mart_or_has_its_reason(home: Path) -> None:
    (mart,) = _rows(
        home,
        "select count(*) as n, count(distinct venue_symbol) as symbols, min(valid_from_utc)::date::varchar as first,"
        " count(valid_to_utc) as ended from dim_leverage_tiers",
    )
    assert mart == {"n": 5_913, "symbols": 716, "first": "2026-07-01", "ended": 0}
    refused = _rows(
        home,
        "select reason, quarantined_rows_count as n from fct_quarantined_rows_daily where dataset = 'leverage_tiers' order by 1",
    )
    # Two contracts, 14 rows: a `cum` of 0 in every tier beside rising rates.
    assert refused == [{"reason": "incomplete_ladder", "n": 2}, {"reason": "maintenance_jumps", "n": 12}]
    (covered,) = _rows(
        home,
        "select coverage_status, coverage_reason, expected_rows_count, missing_rows_count from fct_data_coverage_daily"
        " where dataset = 'leverage_tiers'",
    )
    assert covered == {
        "coverage_status": "partial",
        "coverage_reason": "quarantined",
        "expected_rows_count": 5_927,
        "missing_rows_count": 14,
    }


def test_every_line_of_the_aave_calls_is_counted(home: Path) -> None:
    (mart,) = _rows(
        home,
        "select count(*) as n, count(repairs) as repaired, count(block_hash) as hashed, count(collateral_seized_base) as scaled"
        " from fct_lending_liquidations where venue = 'aave_v2_ethereum'",
    )
    assert mart == {"n": 11_488, "repaired": 6_223, "hashed": 0, "scaled": 11_488}
    refused = _rows(
        home,
        "select reason, sum(quarantined_rows_count) as n from fct_quarantined_rows_daily"
        " where dataset = 'lending_liquidations' group by 1 order by 1",
    )
    assert refused == [{"reason": "duplicate_key", "n": 7}, {"reason": "duplicate_key_conflict", "n": 2}]
    (covered,) = _rows(
        home,
        "select sum(expected_rows_count) as due, sum(observed_rows_count) as seen, sum(missing_rows_count) as missing,"
        " sum(quarantined_rows_count) as refused from fct_data_coverage_daily where dataset = 'lending_liquidations'",
    )
    assert covered == {"due": 11_497, "seen": 11_488, "missing": 9, "refused": 9}


def test_maintenance_is_continuous_at_every_tier_edge(home: Path) -> None:
    (edges,) = _rows(
        home,
        "select count(*) as n, count(*) filter (where t.notional_floor_settle = b.notional_cap_settle) as joined,"
        # Exact: amounts are DECIMAL and the rates have at most five decimals.
        " count(*) filter (where t.notional_floor_settle * b.maintenance_margin_rate_frac::decimal(6, 5)"
        " - b.maintenance_amount_settle = t.notional_floor_settle * t.maintenance_margin_rate_frac::decimal(6, 5)"
        " - t.maintenance_amount_settle) as continuous"
        " from dim_leverage_tiers t join dim_leverage_tiers b"
        " on t.venue_symbol = b.venue_symbol and t.tier_rank = b.tier_rank + 1",
    )
    assert edges == {"n": 5_197, "joined": 5_197, "continuous": 5_197}


def test_stress_rows_say_where_their_inputs_come_from(home: Path) -> None:
    rows = _rows(
        home,
        "select distinct asset, fuel_origin, depth_origin, fuel_venues from fct_stress_scenarios_daily"
        " where scenario_date_utc = '2025-10-10' order by asset",
    )
    assert {r["asset"] for r in rows} >= {"BTC", "ETH", "SOL"}
    assert {r["fuel_origin"] for r in rows} == {"estimated"}
    assert {r["depth_origin"] for r in rows} == {"prior"}
    assert all("hyperliquid" in r["fuel_venues"] for r in rows)


def test_an_as_of_report_does_not_see_later_records(home: Path, tmp_path: Path, shared_data: Path) -> None:
    import duckdb

    day = date(2025, 10, 10)
    before_import = "2026-11-23T12:00:00"
    # On eight threads, in a warehouse built from nothing: neither may change a byte of what two threads wrote.
    page = _lowtide(home, "report", "--date", DAY, "--lang", "zh", "--as-of", before_import, threads="8")
    assert page.strip().endswith("report.zh.html")
    as_of = exported_hashes(home, day, "as_of_20261123T120000")
    current = exported_hashes(home, day)
    assert as_of == current, "nothing came after the instant, so the as-of report is the current one"
    # New records for the past day: the same layout with other funding on 2025-10-10, imported a day later.
    late = tmp_path / "late"
    late.mkdir()
    for name in ("candles", "funding_rates", "open_interest"):
        source = shared_data / "multivenue_1h" / f"{name}.parquet"
        change = "* replace (funding_rate * 2 as funding_rate)" if name == "funding_rates" else "*"
        duckdb.sql(
            f"copy (select {change} from '{source}' where epoch_ms(timestamp) >= 1760054400000"
            f" and epoch_ms(timestamp) < 1760140800000) to '{late / name}.parquet'"
        )
    _lowtide(home, "import", "multivenue", "--from", str(late), clock="2026-11-24T09:00:00")
    # And a revision: the ten-year yield of the day, which FRED prints as 4.05, becomes 9.99 in a later look.
    page = (shared_data / "macro" / "DGS10.csv").read_text()
    assert f"\n{DAY},4.05\n" in page
    (late / "macro").mkdir()
    (late / "macro" / "DGS10.csv").write_text(page.replace(f"\n{DAY},4.05\n", f"\n{DAY},9.99\n"))
    _lowtide(home, "import", "macro", "--from", str(late / "macro"), clock="2026-11-24T09:30:00")
    _lowtide(home, "report", "--date", DAY, "--as-of", before_import, clock="2026-11-24T10:00:00")
    assert exported_hashes(home, day, "as_of_20261123T120000") == as_of
    assert {"report.json", "report.html", "report.zh.html", "tables/fct_macro_observations.parquet"} <= as_of.keys()
    assert _shown_yield(home / "reports" / "as_of_20261123T120000" / DAY) == 4.05
    _lowtide(home, "report", "--date", DAY, clock="2026-11-24T10:00:00")
    after = exported_hashes(home, day)
    assert after["report.json"] != current["report.json"]
    assert after["tables/fct_funding_rates.parquet"] != current["tables/fct_funding_rates.parquet"]
    # Without `--as-of` the latest look is shown, and labelled so.
    assert _shown_yield(home / "reports" / DAY) == 9.99
    assert after["tables/fct_macro_observations.parquet"] != current["tables/fct_macro_observations.parquet"]


def _shown_yield(folder: Path) -> float:
    """Return the ten-year yield that a report shows."""
    rows = json.loads((folder / "report.json").read_text())["macro"]["rows"]
    (row,) = [row for row in rows if row["series_id"] == "DGS10"]
    return float(row["value_native"])


def test_every_macro_and_sentiment_line_is_counted(home: Path, shared_data: Path) -> None:
    """Lines of the files = figures in the marts + blanks of closed markets, series by series; nothing is refused."""
    found = {
        row["series_id"]: (row["n"], row["first"], row["last"])
        for row in _rows(
            home,
            "select series_id, count(*) as n, min(observation_date_utc)::varchar as first,"
            " max(observation_date_utc)::varchar as last from fct_macro_observations group by 1",
        )
    }
    figures_count = 0
    for path in sorted((shared_data / "macro").glob("*.csv")):
        figures = [line.split(",")[0] for line in path.read_text().splitlines()[1:] if line.split(",")[1]]
        name = path.stem.upper()
        print(f"{name}: {len(figures):,} figures, {figures[0]} to {figures[-1]}")
        assert found.pop(name) == (len(figures), figures[0], figures[-1]), name
        figures_count += len(figures)
    assert found == {}
    moods = (shared_data / "sentiment" / "fear_greed.csv").read_text().splitlines()[1:]
    (mood,) = _rows(
        home,
        "select count(*) as n, min(sentiment_date_utc)::varchar as first, max(sentiment_date_utc)::varchar as last"
        " from fct_sentiment_daily",
    )
    print(f"fear & greed: {mood}")
    assert mood == {"n": len(moods), "first": min(moods).split(",")[0], "last": max(moods).split(",")[0]}
    covered = _rows(
        home,
        "select dataset, venue, sum(expected_rows_count) as due, sum(observed_rows_count) as seen,"
        " sum(missing_rows_count) as missing, sum(quarantined_rows_count) as refused from fct_data_coverage_daily"
        " where dataset in ('macro_observations', 'sentiment') group by 1, 2 order by 1, 2",
    )
    print(f"coverage: {covered}")
    seen = {
        dataset: sum(row["seen"] for row in covered if row["dataset"] == dataset)
        for dataset in ("macro_observations", "sentiment")
    }
    assert seen == {"macro_observations": figures_count, "sentiment": len(moods)}
    assert all(row["refused"] == 0 for row in covered)
