"""Macro marts over what the sandbox's publishers tell at several visits: what was known when, what came out, what was expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pydantic import SecretStr

from assets.lake.transform import batches_of
from pipelines.clock import FixedClock
from pipelines.lake.store import Lake
from pipelines.lake.views import create_raw_views
from pipelines.sandbox.macro import MONTHLY, released
from pipelines.sandbox.server import serve
from pipelines.sandbox.world import World
from pipelines.sources.files.imports import import_files, load_mapping
from pipelines.sources.publishers.registry import publisher_class
from quality.fields.dictionary import fields
from quality.schemas.raw import RAW_TABLES

FIRST, LAST = datetime(2026, 2, 20, 12), datetime(2026, 3, 10, 12)
KEY = SecretStr("0123456789abcdef0123456789abcdef")
SELECTED = ("+fct_macro_observations", "+fct_macro_releases", "+fct_rate_expectations_daily")
# What a user is told to write (docs/macro.md): the figures as known at the end of a day.
AS_OF = """
    select series_id, observation_date_utc, value_native
    from marts.fct_macro_observations
    where vintage_date_utc <= ?
    qualify row_number() over (partition by series_id, observation_date_utc order by vintage_date_utc desc) = 1
"""


def _world() -> World:
    return World(1, date(2026, 2, 1), 45, assets=("SOL",))


def _visit(lake: Lake, world: World, now: datetime, *asked: tuple[str, str], key: SecretStr | None = None) -> None:
    """Fetch publishers' datasets at an instant and land them, as the assets do."""
    with serve(world, now=now) as server:
        for venue, dataset in asked:
            more: dict[str, Any] = {"api_key": key} if venue == "fred" else {}
            client = publisher_class(venue)(
                lake, clock=FixedClock(now), is_synthetic=True, base_url=server.base_url, **more
            )
            capture = client.fetch(dataset, now.date(), now.date())
            lake.commit(
                batches_of(
                    capture, dataset=dataset, venue=venue, source=client.source, days=[now.date()], now=now,
                    is_synthetic=True, adds_to_day=True,
                )
            )  # fmt: skip


def _lake(folder: Path, now: datetime) -> Lake:
    return Lake(folder, clock=FixedClock(now), code_version="1.0")


@dataclass(frozen=True)
class Built:
    """A warehouse of macro marts and the world behind it."""

    path: Path
    world: World
    target: Path

    def rows(self, query: str, *given: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with duckdb.connect(str(self.path), read_only=True) as con:
            return con.execute(query, list(given)).fetchall()


@pytest.fixture(scope="module")
def built(run_dbt: Any, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Visit FRED with a key twice and the Treasury once, import a user's files, and build the marts with their tests."""
    folder = tmp_path_factory.mktemp("macro")
    world = _world()
    for now in (FIRST, LAST):
        asked = [("fred", "macro_observations"), ("fred", "macro_releases"), ("us_treasury", "macro_observations")]
        _visit(_lake(folder / "lake", now), world, now, *asked, key=KEY)
    lake = _lake(folder / "lake", LAST)
    _import(folder, lake)
    path = folder / "warehouse.duckdb"
    with duckdb.connect(str(path)) as con:
        create_raw_views(con, lake)
    result = run_dbt(path, 2, "build", "--select", *SELECTED, "--exclude", "test_type:unit", "resource_type:unit_test")
    broken = [(r.node.name, r.message) for r in result.result or () if r.status not in {"success", "pass"}]
    assert result.success, broken or result.exception
    return Built(path, world, run_dbt.target)


def _import(folder: Path, lake: Lake) -> None:
    given = folder / "in"
    given.mkdir()
    (given / "macro_consensus.csv").write_text(
        "series_id,observation_date,consensus,unit\n"
        "CPIAUCSL,2026-01-01,330.5,index_1982_1984_100\n"
        "UNRATE,2026-01-01,4.4,percent\n"
        "PAYEMS,2026-01-01,160.1,million_persons\n"
    )
    (given / "rate_expectations.csv").write_text(
        "meeting_date,observed_date,target_low_bps,target_high_bps,probability_percent\n"
        "2026-03-18,2026-03-06,350,375,20\n2026-03-18,2026-03-06,375,400,80\n"
        "2026-03-18,2026-03-09,325,350,10\n2026-03-18,2026-03-09,350,375,60\n2026-03-18,2026-03-09,375,400,30\n"
        "2026-04-29,2026-03-09,350,375,60\n2026-04-29,2026-03-09,375,400,20\n"
    )
    import_files(load_mapping("macro_consensus"), given, lake, FixedClock(LAST), is_synthetic=True)
    import_files(load_mapping("rate_expectations"), given, lake, FixedClock(LAST), is_synthetic=True)


def _known(world: World, series: str, at: date) -> dict[date, float]:
    return {day: float(text) for day, text in world.macro.known(series, at).items() if text}


@pytest.mark.parametrize("day", [date(2026, 1, 15), date(2026, 2, 6), date(2026, 2, 13), date(2026, 3, 6), LAST.date()])
def test_an_as_of_query_returns_what_was_known_on_the_day(built: Built, day: date) -> None:
    found = {(s, d): v for s, d, v in built.rows(AS_OF, day) if not s.startswith("UST_")}
    truth = {(s, d): v for s in built.world.macro.series for d, v in _known(built.world, s, day).items()}
    assert found == truth


def test_a_second_visit_adds_no_vintage_that_says_nothing_new(built: Built) -> None:
    rows = built.rows(
        "select series_id, observation_date_utc, vintage_date_utc, value_native from marts.fct_macro_observations"
        " where vintage_origin = 'published'"
    )
    truth = [
        (series, day, since, float(text))
        for series in built.world.macro.series
        for day, told in built.world.macro.vintages(series).items()
        for since, text in told
        if text and since <= LAST.date()
    ]
    assert sorted(rows) == sorted(truth)


def test_the_figure_before_is_that_of_the_same_day_of_knowledge(built: Built) -> None:
    rows = built.rows(
        "select series_id, observation_date_utc, vintage_date_utc, previous_value_native, change_native, value_native"
        " from marts.fct_macro_observations where vintage_origin = 'published'"
    )
    for series, day, since, previous, change, value in rows:
        known = {d: v for d, v in _known(built.world, series, since).items() if d < day}
        wanted = known[max(known)] if known else None
        assert previous == wanted, (series, day, since)
        assert change == (None if wanted is None else pytest.approx(value - wanted, abs=1e-12))


def test_releases_are_what_came_out_and_what_was_known_before(built: Built) -> None:
    rows = built.rows(
        "select series_id, release_date_utc, observation_date_utc, value_native, previous_known_native,"
        " previous_revised_native, revision_native, surprise_native, release_origin"
        " from marts.fct_macro_releases where release_status = 'out' order by 1, 2"
    )
    world = built.world
    assert {row[0] for row in rows} == set(MONTHLY)
    for series, out, day, value, known, revised, revision, surprise, origin in rows:
        assert out == released(series, day)
        assert value == _known(world, series, out)[day]
        before = {d: v for d, v in _known(world, series, out - timedelta(days=1)).items() if d < day}
        now = {d: v for d, v in _known(world, series, out).items() if d < day}
        assert known == (before[max(before)] if before else None)
        assert revised == (now[max(now)] if now else None)
        assert revision == (None if known is None else pytest.approx(revised - known, abs=1e-9))
        assert surprise == (None if known is None else pytest.approx(value - known, abs=1e-9))
        assert origin == ("vintages" if series == "FEDFUNDS" or out < date(2025, 1, 1) else "calendar")
    assert any(row[6] for row in rows if row[0] == "PAYEMS"), "payrolls are revised with the next release"
    assert all(row[6] in (None, 0) for row in rows if row[0] == "CPIAUCSL")


def test_what_is_announced_is_not_out_yet(built: Built) -> None:
    rows = built.rows(
        "select series_id, release_date_utc, value_native, release_origin from marts.fct_macro_releases"
        " where release_status = 'announced' and series_id in ('CPIAUCSL', 'UNRATE') order by 1, 2"
    )
    assert [(s, d) for s, d, _, _ in rows] == [
        ("CPIAUCSL", date(2026, 3, 12)),
        ("CPIAUCSL", date(2026, 4, 12)),
        ("CPIAUCSL", date(2026, 5, 12)),
        ("CPIAUCSL", date(2026, 6, 12)),
        ("UNRATE", date(2026, 4, 3)),
        ("UNRATE", date(2026, 5, 1)),
        ("UNRATE", date(2026, 6, 5)),
    ]
    assert {(value, origin) for _, _, value, origin in rows} == {(None, "calendar")}
    assert {status for (status,) in built.rows("select release_status from marts.fct_macro_releases")} == {
        "out", "announced", "no_new_figure",
    }  # fmt: skip


def test_a_listed_day_without_a_new_figure_is_called_so(built: Built) -> None:
    rows = built.rows(
        "select series_id, release_date_utc, value_native, consensus_native, release_origin"
        " from marts.fct_macro_releases where release_status = 'no_new_figure' order by 1, 2"
    )
    assert rows == [("CPIAUCSL", date(year, 2, 5), None, None, "calendar") for year in (2025, 2026)]


def test_a_surprise_against_consensus_needs_the_same_unit(built: Built) -> None:
    rows = built.rows(
        "select series_id, consensus_native, round(consensus_surprise_native - (value_native - consensus_native), 9),"
        " consensus_venue from marts.fct_macro_releases where consensus_native is not null order by 1"
    )
    assert rows == [("CPIAUCSL", 330.5, 0.0, "user_file"), ("UNRATE", 4.4, 0.0, "user_file")]


def test_expectations_move_from_look_to_look(built: Built) -> None:
    rows = built.rows(
        "select observed_date_utc, target_low_bps, round(probability_frac, 9), round(probability_change_frac, 9),"
        " round(expected_rate_bps, 9), is_most_likely from marts.fct_rate_expectations_daily"
        " where meeting_date_utc = '2026-03-18' order by 1, 2"
    )
    early, late = date(2026, 3, 6), date(2026, 3, 9)
    assert rows == [
        (early, 350, 0.2, None, 382.5, False),
        (early, 375, 0.8, None, 382.5, True),
        (late, 325, 0.1, 0.1, 367.5, False),
        (late, 350, 0.6, 0.4, 367.5, True),
        (late, 375, 0.3, -0.5, 367.5, False),
    ]
    # Of the other meeting a fifth is missing: nothing of it stands.
    assert built.rows("select count(*) from marts.fct_rate_expectations_daily") == [(5,)]
    refused = built.rows("select reason, count(*) from raw.quarantine where dataset = 'rate_expectations' group by 1")
    assert refused == [("probabilities_do_not_add_up", 2)]


MODELS = (
    "staging/lake/stg_lake__macro_observations",
    "staging/lake/stg_lake__macro_releases",
    "staging/lake/stg_lake__macro_consensus",
    "intermediate/macro/int_macro_observations_ranked",
    "marts/macro/fct_macro_observations",
    "marts/macro/fct_macro_releases",
)


@pytest.fixture
def marts_of(built: Built, tmp_path: Path) -> Callable[[Lake, datetime | None], duckdb.DuckDBPyConnection]:
    """Return a function that runs the models' own SQL over a lake, as of an instant."""
    opened: list[duckdb.DuckDBPyConnection] = []

    def run(lake: Lake, as_of: datetime | None = None) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(str(tmp_path / f"{len(opened)}" / "warehouse.duckdb"))
        opened.append(con)
        create_raw_views(con, lake, as_of=as_of)
        con.execute(f"attach '{built.path}' as built (read_only)")
        for schema in ("staging", "intermediate", "seeds", "marts"):
            con.execute(f"create schema {schema}")
        for table in ("macro_series", "source_ranks"):
            con.execute(f"create table seeds.{table} as select * from built.seeds.{table}")
        for model in MODELS:
            sql = (built.target / "compiled" / "lowtide" / "models" / f"{model}.sql").read_text()
            con.execute(f"create table {model.partition('/')[0]}.{model.rpartition('/')[2]} as {sql}")
        return con

    for i in range(4):
        (tmp_path / str(i)).mkdir()
    return run


def _captured(folder: Path, world: World, visits: Sequence[datetime]) -> Lake:
    lake = _lake(folder / "lake", visits[0])
    for now in visits:
        lake = _lake(folder / "lake", now)
        _visit(lake, world, now, ("fred", "macro_observations"))
    return lake


def test_without_a_key_a_release_is_what_a_later_look_first_shows(tmp_path: Path, marts_of: Any) -> None:
    world = _world()
    visits = [datetime(2026, 2, 20, 12), datetime(2026, 3, 3, 12), LAST]
    con = marts_of(_captured(tmp_path, world, visits))
    rows = con.execute(
        "select series_id, release_date_utc, observation_date_utc, release_origin from marts.fct_macro_releases order by 1, 2"
    ).fetchall()
    third, tenth = visits[1].date(), visits[2].date()
    # Nothing of the first look; of the others what it had not shown, on the day on which we saw it.
    assert rows == [
        ("FEDFUNDS", third, date(2026, 2, 1), "captures"),
        ("PAYEMS", tenth, date(2026, 2, 1), "captures"),
        ("UNRATE", tenth, date(2026, 2, 1), "captures"),
    ]


def test_an_older_history_that_comes_later_is_no_release(tmp_path: Path, marts_of: Any) -> None:
    world = _world()
    lake = _captured(tmp_path, world, [datetime(2026, 2, 20, 12)])
    world.macro.revise("CPIAUCSL", date(2021, 1, 1), date(2026, 2, 21), "262.2")
    lake = _captured(tmp_path, world, [datetime(2026, 2, 22, 12)])
    rows = marts_of(lake).execute("select * from marts.fct_macro_releases where series_id = 'CPIAUCSL'").fetchall()
    assert rows == []


def test_a_revision_seen_later_leaves_what_was_known_before(tmp_path: Path, marts_of: Any) -> None:
    """The bytes of an as-of warehouse's marts do not change with what is captured after its instant."""
    world = _world()
    pinned = datetime(2026, 3, 4)
    lake = _captured(tmp_path, world, [datetime(2026, 2, 20, 12), datetime(2026, 3, 3, 12)])
    every = "select * from marts.fct_macro_observations order by all"
    before = marts_of(lake, pinned).execute(every).fetchall()
    world.macro.revise("CPIAUCSL", date(2025, 12, 1), date(2026, 3, 5), "999.9")
    lake = _captured(tmp_path, world, [LAST])
    con = marts_of(lake, None)
    assert marts_of(lake, pinned).execute(every).fetchall() == before
    assert con.execute(every).fetchall() != before
    revised = "select vintage_date_utc from marts.fct_macro_observations where value_native = 999.9"
    assert con.execute(revised).fetchall() == [(LAST.date(),)]
    # And a query of the current marts, asked about the earlier day, still says what was known then.
    known = {(s, d): v for s, d, v in con.execute(AS_OF, [pinned.date()]).fetchall()}
    assert known[("CPIAUCSL", date(2025, 12, 1))] == _known(world, "CPIAUCSL", pinned.date())[date(2025, 12, 1)]


@pytest.mark.trial("macro_vintages")
def test_marts_of_any_vintages_are_those_of_a_naive_recomputation(
    built: Built, tmp_path: Path, trial_count: Callable[..., int]
) -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:
        con.execute(f"attach '{built.path}' as built (read_only)")
        for schema in ("staging", "intermediate", "seeds"):
            con.execute(f"create schema {schema}")
        for table in ("seeds.macro_series", "seeds.source_ranks"):
            con.execute(f"create table {table} as select * from built.{table}")
        for name in ("macro_releases", "macro_consensus"):
            con.execute(f"create table staging.stg_lake__{name} ({_columns(name)})")
        ranked = "intermediate.int_macro_observations_ranked"
        for _ in range(trial_count(1_000, 20)):
            rows = _random_vintages(rng)
            con.execute(f"create or replace table {ranked} ({_columns('macro_observations')}, bucket_rank bigint)")
            con.executemany(
                f"insert into {ranked} by name select 'CPIAUCSL' as series_id, 'fred' as venue, 'publisher' as source,"
                " 'index' as unit, true as is_synthetic, 1 as bucket_rank, ? as observation_date_utc,"
                " ? as vintage_date_utc, ? as vintage_origin, ? as value_native",
                rows,
            )
            sql = (built.target / "compiled/lowtide/models/marts/macro/fct_macro_observations.sql").read_text()
            found = con.execute(
                "select observation_date_utc, vintage_date_utc, value_native, previous_value_native"
                f" from ({sql}) order by all"
            ).fetchall()
            assert found == _naive_observations(rows)
            sql = (built.target / "compiled/lowtide/models/marts/macro/fct_macro_releases.sql").read_text()
            found = con.execute(
                "select release_date_utc, observation_date_utc, value_native, previous_known_native,"
                f" previous_revised_native, release_origin from ({sql}) order by all"
            ).fetchall()
            assert found == _naive_releases(rows)


def _columns(dataset: str) -> str:
    """Return the columns of a staging relation for `create table`."""
    lineage = fields("source", "capture_date_utc", "ingested_at_utc", "is_synthetic")
    return ", ".join(f"{f.name} {f.sql_type}" for f in (*RAW_TABLES[dataset].fields, *lineage))


_Row = tuple[date, date, str, float]


def _random_vintages(rng: np.random.Generator) -> list[_Row]:
    """Return figures of some months on some days, of both origins, few values so that many repeat."""
    months = [
        date(2025, int(m), 1) for m in sorted(rng.choice(np.arange(1, 9), size=int(rng.integers(1, 6)), replace=False))
    ]
    days = [
        date(2025, 9, 1) + timedelta(days=int(d))
        for d in sorted(rng.choice(12, size=int(rng.integers(1, 6)), replace=False))
    ]
    return [
        (month, day, "captured" if rng.random() < 0.5 else "published", float(rng.integers(0, 3)))
        for month in months
        for day in days
        if rng.random() < 0.6
    ] or [(months[0], days[0], "published", 1.0)]  # fmt: skip


def _value_as_of(rows: list[_Row], month: date, day: date) -> float | None:
    known = [(vintage, value) for m, vintage, _, value in rows if m == month and vintage <= day]
    return max(known)[1] if known else None


def _before(rows: list[_Row], month: date) -> date | None:
    return max((m for m, *_ in rows if m < month), default=None)


def _naive_observations(rows: list[_Row]) -> list[tuple[Any, ...]]:
    found = []
    for month, day, origin, value in rows:
        if origin == "captured" and _value_as_of(rows, month, day - timedelta(days=1)) == value:
            continue
        before = _before(rows, month)
        found.append((month, day, value, None if before is None else _value_as_of(rows, before, day)))
    return sorted(found, key=lambda row: row[:2])


def _naive_releases(rows: list[_Row]) -> list[tuple[Any, ...]]:
    first_look = min((day for _, day, origin, _ in rows if origin == "captured"), default=None)
    found = []
    for out in sorted({day for _, day, _, _ in rows}):
        fresh = [
            (month, origin, value)
            for month, day, origin, value in rows
            if day == out
            and _value_as_of(rows, month, out - timedelta(days=1)) is None
            and not (origin == "captured" and day == first_look)
            and all(m < month for m, d, _, _ in rows if d < out)
        ]
        if not fresh:
            continue
        month, origin, value = max(fresh)
        before, eve = _before(rows, month), out - timedelta(days=1)
        known, revised = (None if before is None else _value_as_of(rows, before, at) for at in (eve, out))
        found.append((out, month, value, known, revised, "vintages" if origin == "published" else "captures"))
    return found
