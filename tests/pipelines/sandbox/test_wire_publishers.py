"""Publishers' wires: keys and types of every shape, limits, errors, nothing after now, revisions on demand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from pipelines.sandbox.feeds import fear_greed, is_trading_day, macro_figures
from pipelines.sandbox.macro import MATURITIES, MONTHLY, released
from pipelines.sandbox.wire import Wire, WireError
from pipelines.sandbox.wire_alternative_me import INDEX, AlternativeMeWire
from pipelines.sandbox.wire_fred import GRAPH, OBSERVATIONS, RELEASE_DATES, FredWire
from pipelines.sandbox.wire_treasury import CURVE, TreasuryWire
from pipelines.sandbox.world import World

NOW = datetime(2026, 3, 10, 12, 0)
KEY = {"api_key": "0123456789abcdef0123456789abcdef", "file_type": "json"}
Ask = Callable[..., Any]


def _world() -> World:
    return World(3, date(2026, 2, 1), 45, assets=("SOL",))


@pytest.fixture(scope="module")
def world() -> World:
    return _world()


@pytest.fixture(scope="module")
def ask(world: World) -> Ask:
    """Return a function that asks a path with a query of strings, at `NOW` or another instant."""
    wires: list[Wire] = [AlternativeMeWire(world), FredWire(world), TreasuryWire(world)]
    routes = {route.path: route for wire in wires for route in wire.routes()}

    def answer(path: str, now: datetime = NOW, **query: Any) -> Any:
        return routes[path].answer({k: str(v) for k, v in query.items()}, now)

    return answer


def test_the_index_has_one_record_a_day_newest_first(ask: Ask, world: World) -> None:
    body = ask(INDEX, limit=0, format="json")
    assert set(body) == {"name", "data", "metadata"}
    assert body["metadata"] == {"error": None}
    newest, *others = body["data"]
    assert set(newest) == {"value", "value_classification", "timestamp", "time_until_update"}
    assert newest["time_until_update"] == "43200"
    assert {frozenset(one) for one in others} == {frozenset({"value", "value_classification", "timestamp"})}
    assert {type(value) for one in body["data"] for value in one.values()} == {str}
    stamps = [int(one["timestamp"]) for one in body["data"]]
    assert stamps == sorted(stamps, reverse=True)
    assert {stamp % 86_400 for stamp in stamps} == {0}
    truth = [str(points) for day, points in fear_greed(world).items() if day <= NOW.date()]
    assert [one["value"] for one in body["data"]] == truth[::-1]
    assert len(ask(INDEX)["data"]) == 1
    assert len(ask(INDEX, limit=7)["data"]) == 7
    with pytest.raises(WireError, match="not numeric"):
        ask(INDEX, limit="all")


def test_a_page_of_fred_is_a_day_and_a_figure_up_to_now(ask: Ask) -> None:
    header, *lines = ask(GRAPH, id="DGS10", cosd="2026-01-01").splitlines()
    assert header == "observation_date,DGS10"
    days = [date.fromisoformat(line.split(",")[0]) for line in lines]
    assert days == sorted(days)
    assert days[0] == date(2026, 1, 1) and days[-1] == date(2026, 3, 9)
    assert {line.endswith(",") for line, day in zip(lines, days, strict=True) if not is_trading_day(day)} == {True}
    assert all(float(line.split(",")[1]) > 0 for line, day in zip(lines, days, strict=True) if is_trading_day(day))
    with pytest.raises(WireError) as caught:
        ask(GRAPH, id="NOPE")
    assert caught.value.status == 404


def test_an_observation_says_when_it_was_known(ask: Ask, world: World) -> None:
    period = {"realtime_start": "2025-01-01", "realtime_end": "9999-12-31"}
    body = ask(OBSERVATIONS, series_id="PAYEMS", **period, **KEY)
    assert body["output_type"] == 1 and body["count"] == len(body["observations"]) and body["offset"] == 0
    assert {frozenset(one) for one in body["observations"]} == {
        frozenset({"realtime_start", "realtime_end", "date", "value"})
    }
    first = [one for one in body["observations"] if one["date"] == "2025-11-01"]
    assert [one["realtime_start"] for one in first] == ["2025-12-05", "2026-01-02", "2026-02-06"]
    assert [one["realtime_end"] for one in first] == ["2026-01-01", "2026-02-05", "9999-12-31"]
    # A period of one day shows that day's figures alone, cut to it.
    (one,) = [
        o
        for o in ask(OBSERVATIONS, series_id="PAYEMS", realtime_start="2026-01-15", realtime_end="2026-01-15", **KEY)[
            "observations"
        ]
        if o["date"] == "2025-11-01"
    ]
    assert (one["realtime_start"], one["realtime_end"]) == ("2026-01-15", "2026-01-15")
    assert one["value"] == world.macro.known("PAYEMS", date(2026, 1, 15))[date(2025, 11, 1)]
    pages = [
        ask(OBSERVATIONS, series_id="PAYEMS", **period, **KEY, limit=10, offset=n)["observations"] for n in (0, 10)
    ]
    assert [*pages[0], *pages[1]] == body["observations"][:20]


@pytest.mark.parametrize(
    ("path", "query", "says"),
    [
        (OBSERVATIONS, {"series_id": "DGS10"}, "api_key"),
        (OBSERVATIONS, {"series_id": "DGS10", **KEY, "api_key": "A" * 32}, "api_key"),
        (OBSERVATIONS, {"series_id": "NOPE", **KEY}, "does not exist"),
        (OBSERVATIONS, {"series_id": "DGS10", **KEY, "limit": 100_001}, "not between 1 and 100000"),
        (OBSERVATIONS, {"series_id": "DGS10", **KEY, "realtime_start": "soon"}, "not a date"),
        (RELEASE_DATES, {"release_id": 11, **KEY}, "does not exist"),
    ],
)
def test_wrong_questions_get_freds_error(ask: Ask, path: str, query: dict[str, Any], says: str) -> None:
    with pytest.raises(WireError) as caught:
        ask(path, **query)
    assert caught.value.status == 400
    assert caught.value.body["error_code"] == 400
    assert says in caught.value.body["error_message"]


def test_announced_releases_are_told_on_demand(ask: Ask) -> None:
    body = ask(RELEASE_DATES, release_id=10, **KEY)
    assert {frozenset(one) for one in body["release_dates"]} == {frozenset({"release_id", "date"})}
    assert max(one["date"] for one in body["release_dates"]) == "2026-02-12"
    announced = ask(RELEASE_DATES, release_id=10, include_release_dates_with_no_data="true", **KEY)
    assert max(one["date"] for one in announced["release_dates"]) == "2026-06-12"
    assert "2026-02-05" in {one["date"] for one in body["release_dates"]}


def test_the_curve_is_a_table_of_a_year_newest_first(ask: Ask) -> None:
    header, *lines = ask(CURVE, year=2026, type="daily_treasury_yield_curve").splitlines()
    assert header.split(",") == ["Date", *(f'"{name}"' for name in MATURITIES)]
    days = [datetime.strptime(line.split(",")[0], "%m/%d/%Y").date() for line in lines]
    assert days == sorted(days, reverse=True)
    assert (days[-1], days[0]) == (date(2026, 1, 2), NOW.date())
    assert all(len(line.split(",")) == 15 and min(map(float, line.split(",")[1:])) > 0 for line in lines)
    with pytest.raises(WireError):
        ask(CURVE, year=2026, type="daily_treasury_bill_rates")


def test_the_files_and_the_wire_say_the_same(world: World) -> None:
    for series, texts in macro_figures(world).items():
        known = world.macro.known(series, world.macro.days[-1])
        assert known.items() <= texts.items()
        assert len(texts) - len(known) <= 2, series


def test_figures_come_out_on_weekdays_after_their_day() -> None:
    assert released("DGS10", date(2026, 3, 6)) == date(2026, 3, 9)
    assert released("DGS10", date(2026, 3, 5)) == date(2026, 3, 6)
    assert released("CPIAUCSL", date(2025, 12, 1)) == date(2026, 1, 12)
    assert released("UNRATE", date(2026, 1, 1)) == date(2026, 2, 6)
    assert released("FEDFUNDS", date(2026, 1, 1)) == date(2026, 2, 2)
    assert set(MONTHLY) == {"FEDFUNDS", "CPIAUCSL", "PAYEMS", "UNRATE"}


def test_a_revision_on_demand_is_seen_from_its_day_on_and_the_same_world_says_the_same() -> None:
    one, other = _world(), _world()
    day, since = date(2025, 12, 1), date(2026, 2, 20)
    assert one.macro.known("CPIAUCSL", since) == other.macro.known("CPIAUCSL", since)
    one.macro.revise("CPIAUCSL", day, since, "999.9")
    assert one.macro.known("CPIAUCSL", date(2026, 2, 19)) == other.macro.known("CPIAUCSL", date(2026, 2, 19))
    assert one.macro.known("CPIAUCSL", since)[day] == "999.9"
