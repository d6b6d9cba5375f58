"""Commands as a stranger meets them: help, one line per error, exit codes, and a read-only SQL door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quiet_run import QuietRun
from small_market import DAY, Market

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def home(quiet_run: QuietRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two days of the small market, for these tests alone."""
    return quiet_run.copy_to(tmp_path_factory.mktemp("cli"))


def test_help_names_every_command(market: Market, tmp_path: Path) -> None:
    out = market.lowtide(tmp_path / "none", "--help").stdout
    for command in ("demo", "run", "backfill", "import", "report", "sql", "stress", "publish", "doctor", "warmup"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--date", "10/10/2025"), "is not a day: write YYYY-MM-DD"),
        (("run", "--date", "2026-03-10", "--to", "2026-03-09"), "is before"),
        (("report", "--date", "2026-03-10", "--lang", "fr"), "en or zh"),
        (("report", "--date", "2026-03-10", "--as-of", "noon"), "is not an instant"),
        (("import", "no_such_mapping", "--from", "."), "no_such_mapping"),
        (("sql", "select 1"), "not a Lowtide home yet"),
    ],
)
def test_bad_input_is_one_line_and_a_non_zero_exit(
    market: Market, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = market.lowtide(tmp_path / "fresh", *arguments)
    assert done.returncode not in (0, None)
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


def test_sql_speaks_table_csv_and_json(market: Market, home: Path) -> None:
    query = "select asset, count(*) as hours_count from fct_prices_hourly group by asset order by asset"
    assert market.lowtide(home, "sql", query, "--format", "csv").stdout == "asset,hours_count\nBTC,48\n"
    assert json.loads(market.lowtide(home, "sql", query, "--format", "json").stdout) == [
        {"asset": "BTC", "hours_count": 48}
    ]
    assert "BTC" in market.lowtide(home, "sql", query).stdout


def test_a_mistyped_query_is_answered_in_one_line_with_what_there_is(market: Market, home: Path) -> None:
    done = market.lowtide(home, "sql", "select hour_count from fct_prices_hourly")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "hour_count" in line and "Candidate bindings" in line and "\\x0a" not in line


@pytest.mark.parametrize(
    "attack",
    [
        "create table marts.mine as select 1",
        "delete from marts.dim_assets",
        "drop table marts.dim_assets",
        "copy (select 1) to 'out.csv'",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "attach 'other.duckdb'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "reset lock_configuration",
        "pragma enable_profiling='json'; set lock_configuration=false",
        "export database 'folder'",
    ],
)
def test_sql_is_read_only_and_locked(market: Market, home: Path, attack: str) -> None:
    done = market.lowtide(home, "sql", attack)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr


def test_hostile_text_is_inert_in_every_format(market: Market, home: Path) -> None:
    query = "select '=cmd()' as a, chr(27) || '[31mred' as b, '[bold]x[/bold]' as c, '<script>' as d"
    table = market.lowtide(home, "sql", query).stdout
    assert "\x1b[31m" not in table and "\\x1b" in table and "[bold]x[/bold]" in table
    assert "'=cmd()" in market.lowtide(home, "sql", query, "--format", "csv").stdout
    assert json.loads(market.lowtide(home, "sql", query, "--format", "json").stdout)[0]["b"] == "\x1b[31mred"


def test_stress_answers_in_every_setting(market: Market, home: Path) -> None:
    done = market.lowtide(home, "stress", "--asset", "BTC", "--shock", "0.1", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len({row["setting"] for row in rows}) == len(rows) >= 3
    for row in rows:
        assert row["sim_move_frac"] >= 0.1 - 1e-9
        assert row["is_synthetic"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--asset", "BTC", "--shock", "1.5"), "shock"),
        (("--asset", "BTC", "--shock", "0.1", "--side", "up"), "side"),
        (("--asset", "NOPE", "--shock", "0.1"), "NOPE"),
        (("--asset", "BTC", "--shock", "nan"), "shocks_frac[0] = nan: a downward shock must be inside (0, 1)"),
        (("--asset", "BTC", "--shock", "11", "--side", "short"), "shocks_frac[0] = 11.0: an upward shock"),
        (("--asset", "BTC", "--shock", "0.1", "--shock-kind", "halt"), "shock_kind = 'halt': must be sell or reprice"),
        (
            ("--asset", "BTC", "--shock", "0.1", "--depth-survival", "1.5"),
            "depth_survival_frac = 1.5: W must be inside",
        ),
        (("--asset", "BTC", "--shock", "0.1", "--impact-exponent", "nan"), "impact_exponent_x = nan: g must be inside"),
        (("--asset", "BTC", "--shock", "0.1", "--leverage-cap", "0.5"), "leverage_cap_x = 0.5: must be finite and"),
        (("--asset", "BTC", "--shock", "0.1", "--draws", "0"), "draws = 0: at least one"),
        (("--asset", "BTC", "--shock", "0.1", "--draws", "100000000000"), "GiB are free; ask for fewer draws"),
    ],
)
def test_stress_refuses_what_it_cannot_answer(
    market: Market, home: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = market.lowtide(home, "stress", *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def ask_stress(market: Market, home: Path, *arguments: str) -> list[dict]:
    """Ask `lowtide stress` about BTC and return the rows of its JSON."""
    done = market.lowtide(home, "stress", "--asset", "BTC", *arguments, "--draws", "40", "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_stress_replays_what_its_options_say(market: Market, home: Path) -> None:
    options = ("--shock", "0.05", "--shock-kind", "sell", "--depth-survival", "0.5", "--impact-exponent", "0.6")
    (row,) = ask_stress(market, home, *options)
    assert row["setting"] == "sell|W=0.50|g=0.60|phi=1.00|estimated|given=W,g"
    assert (row["draws_count"], row["shock_frac"]) == (40, 0.05)
    for quantity in ("sim_move_{}_frac", "sim_forced_notional_{}_usd", "sim_shortfall_{}_usd"):
        low, middle, high = (float(row[quantity.format(p)]) for p in ("p05", "p50", "p95"))
        assert 0 <= low <= middle <= high
    assert row["sim_move_p05_frac"] >= 0.05 - 1e-9
    assert float(row["sim_forced_notional_p05_usd"]) < float(row["sim_forced_notional_p95_usd"])


def test_a_leverage_cap_lowers_what_a_small_shock_forces_unless_it_revives_positions(
    market: Market, home: Path
) -> None:
    as_it_is, at_10x, at_50x = (
        ask_stress(market, home, "--shock", "0.02", "--side", "short", *cap)
        for cap in ((), ("--leverage-cap", "10"), ("--leverage-cap", "50"))
    )
    for before, after in zip(as_it_is, at_10x, strict=True):
        assert after["fuel_prior"] == f"{before['fuel_prior']}|leverage<=10.00"
        assert float(after["sim_forced_notional_usd"]) < float(before["sim_forced_notional_usd"])
        assert float(after["sim_forced_notional_p95_usd"]) < float(before["sim_forced_notional_p95_usd"])
    # At 50x it forces a little more: 100x shorts that the price had passed, and that were left out as gone, still stand.
    for before, after in zip(as_it_is, at_50x, strict=True):
        assert float(after["sim_excluded_base"]) < float(before["sim_excluded_base"])
        assert float(after["sim_forced_notional_usd"]) > float(before["sim_forced_notional_usd"])


def test_doctor_says_what_is_there(market: Market, home: Path, tmp_path: Path) -> None:
    done = market.lowtide(home, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("binance", "reachable", "candles", "snapshot"):
        assert word in done.stdout
    closed = json.dumps({"ethereum": ["http://127.0.0.1:1/rpc"]})
    alone = market.lowtide(home, "doctor", LOWTIDE_RPC_URLS=closed, LOWTIDE_RPC_LOCAL_ALLOWED="true")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert "aave_v3_ethereum: unreachable" in alone.stdout
    fresh = market.lowtide(tmp_path / "none", "doctor")
    assert fresh.returncode == 0 and "not created yet" in fresh.stdout


def test_publish_works_by_itself(market: Market, home: Path) -> None:
    before = (home / "published" / "lowtide.duckdb").stat().st_ino
    assert market.lowtide(home, "publish", "--date", DAY.isoformat()).returncode == 0
    assert (home / "published" / "lowtide.duckdb").stat().st_ino != before


def test_synthetic_and_real_never_share_a_home(market: Market, home: Path) -> None:
    done = market.lowtide(home, "run", "--date", DAY.isoformat(), LOWTIDE_EXCHANGE_BASE_URL="https://example.org")
    assert done.returncode == 1
    assert "never share" in done.stderr


def test_no_asset_hands_a_value_to_an_io_manager(home: Path) -> None:
    # Dagster's default IO manager would leave a pickle per asset below `storage`, named by the asset's key.
    stored = home / "dagster" / "storage"
    assert stored.is_dir()
    assert [p for p in stored.rglob("*") if p.is_file() and "compute_logs" not in p.parts] == []
