"""FRED and the Treasury's curve: figures and vintages are the world's, other shapes are refused whole, a key never leaves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from publisher_clients import PublisherBench
from pydantic import SecretStr

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault
from pipelines.sandbox.macro import MATURITIES, released
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.settings import Settings
from pipelines.sources.publishers.fred import OBSERVATIONS_URL, SERIES, Fred
from pipelines.sources.publishers.treasury import Treasury
from quality.schemas.raw import RAW_TABLES

NOW = datetime(2026, 3, 10, 12, 0)
DAY = NOW.date()
CANARY = "canary0123456789abcdefcanary0123"
KEY = {"api_key": SecretStr(CANARY)}


@pytest.fixture(scope="module")
def world() -> World:
    return World(1, date(2026, 2, 1), 45, assets=("SOL",))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _fetch(bench: PublisherBench, first: date = DAY, last: date = DAY) -> pl.DataFrame:
    rows = bench.client.fetch("macro_observations", first, last).rows
    good, refused = RAW_TABLES["macro_observations"].split(rows, now=NOW)
    assert refused.height == 0
    return good


def _outage(bench: PublisherBench, first: date = DAY) -> SourceOutage:
    with pytest.raises(SourceOutage) as caught:
        bench.client.fetch("macro_observations", first, DAY)
    return caught.value


def _changed(name: str, change: Any) -> Any:
    """Return a spoiler of one series' page."""
    return lambda body: change(body) if isinstance(body, str) and f",{name}\n" in body else body


def test_pages_show_what_is_known_now_and_the_vintage_is_ours(sandbox: Sandbox, world: World) -> None:
    rows = _fetch(PublisherBench(sandbox, "fred", NOW))
    assert set(rows["series_id"]) == set(SERIES)
    assert set(rows.select("vintage_date_utc", "vintage_origin").rows()) == {(DAY, "captured")}
    for name, series in SERIES.items():
        own = rows.filter(series_id=name)
        truth = {day: float(text) for day, text in world.macro.known(name, DAY).items() if text}
        assert dict(own.select("observation_date_utc", "value_native").rows()) == truth
        assert set(own["unit"]) == {series.unit}


def test_a_key_brings_every_vintage_on_its_day(sandbox: Sandbox, world: World) -> None:
    bench = PublisherBench(sandbox, "fred", NOW, **KEY)
    rows = _fetch(bench)
    assert set(rows["vintage_origin"]) == {"published"}
    for name in SERIES:
        own = rows.filter(series_id=name).select("observation_date_utc", "vintage_date_utc", "value_native")
        truth = [
            (day, since, float(text))
            for day, told in world.macro.vintages(name).items()
            for since, text in told
            if text and since <= DAY
        ]
        assert sorted(own.rows()) == sorted(truth)
    revised = rows.filter(series_id="PAYEMS").group_by("observation_date_utc").len()
    assert revised["len"].max() == 3


def test_a_long_list_is_asked_for_page_by_page(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _fetch(PublisherBench(sandbox, "fred", NOW, **KEY))
    monkeypatch.setattr("pipelines.sources.publishers.fred.OBSERVATIONS_LIMIT", 7)
    bench = PublisherBench(sandbox, "fred", NOW, **KEY)
    paged = _fetch(bench)
    assert paged.drop("payload_sha256").equals(whole.drop("payload_sha256"))
    assert len(sandbox.requests) > 40


def test_a_long_range_stays_below_the_vintages_that_are_allowed(sandbox: Sandbox) -> None:
    bench = PublisherBench(sandbox, "fred", NOW, **KEY)
    _fetch(bench, date(2008, 5, 1))
    periods = [
        (int(s.query["realtime_start"][:4]), min(2026, int(s.query["realtime_end"][:4])))
        for s in sandbox.requests
        if s.path.endswith(" DGS10")
    ]
    assert periods[0][0] == 2007 and periods[-1][1] == 2026
    assert all(last - first <= 5 for first, last in periods)
    assert [first for first, _ in periods] == list(range(2007, 2027, 5))


def test_a_run_early_in_a_year_asks_for_the_year_before_too(sandbox: Sandbox) -> None:
    _fetch(PublisherBench(sandbox, "us_treasury", NOW), date(2026, 1, 20))
    assert [s.path.rsplit("/", 2)[1] for s in sandbox.requests] == ["2025", "2026"]


def test_no_period_ends_ahead_of_us_in_any_chunk(sandbox: Sandbox) -> None:
    # The last chunk but one of these ends with the year before ours.
    _fetch(PublisherBench(sandbox, "fred", NOW, **KEY), date(2012, 5, 1))


def test_series_have_one_unit_and_one_name_everywhere() -> None:
    """The client, the import mapping and the seed agree, so that a figure of either is the same figure."""
    folder = Path(__file__).resolve().parents[4]
    columns = yaml.safe_load((folder / "pipelines/sources/files/mappings/macro.yml").read_text())["files"][0]["columns"]
    assert columns["unit"]["choose"] == {name: series.unit for name, series in SERIES.items()}
    named = {line.split(",")[0] for line in (folder / "dbt/seeds/macro_series.csv").read_text().splitlines()[1:]}
    curve = {f"UST_{h.replace('.', '_').split(' ')[0]}{h.split(' ')[1][0]}" for h in MATURITIES}
    assert named == {*SERIES, *curve, "DXY"}


def test_release_dates_need_a_key_and_hold_what_is_announced(sandbox: Sandbox) -> None:
    assert PublisherBench(sandbox, "fred", NOW).client.left_out == {"macro_releases": "needs LOWTIDE_FRED_API_KEY"}
    bench = PublisherBench(sandbox, "fred", NOW, **KEY)
    assert bench.client.left_out == {}
    capture = bench.client.fetch("macro_releases", DAY, DAY)
    good, refused = RAW_TABLES["macro_releases"].split(capture.rows, now=NOW)
    assert refused.height == 0
    days = good.filter(series_id="CPIAUCSL")["release_date_utc"].to_list()
    assert released("CPIAUCSL", date(2026, 1, 1)) in days
    assert max(days) == released("CPIAUCSL", date(2026, 5, 1)) == date(2026, 6, 12)
    assert good.filter(series_id="PAYEMS")["release_date_utc"].to_list() == (
        good.filter(series_id="UNRATE")["release_date_utc"].to_list()
    )


def test_the_curve_is_the_treasurys(sandbox: Sandbox, world: World) -> None:
    rows = _fetch(PublisherBench(sandbox, "us_treasury", NOW))
    assert len(set(rows["series_id"])) == len(MATURITIES)
    truth = {
        (f"UST_{name}", day): float(texts[header])
        for year in (2026,)
        for day, texts in world.macro.curve(DAY, year).items()
        for name, header in (("2Y", "2 Yr"), ("10Y", "10 Yr"), ("1_5M", "1.5 Month"), ("30Y", "30 Yr"))
    }
    found = {(s, d): v for s, d, v in rows.select("series_id", "observation_date_utc", "value_native").rows()}
    assert {key: found[key] for key in truth} == truth
    # FRED repeats the Treasury's two and ten years a day later.
    known = world.macro.known("DGS10", DAY)
    shared = [day for day, text in known.items() if text and ("UST_10Y", day) in found]
    assert len(shared) > 30
    assert all(found[("UST_10Y", day)] == float(known[day]) for day in shared)


@pytest.mark.parametrize("venue", ["fred", "us_treasury"])
@pytest.mark.parametrize(
    ("kind", "code", "cause"),
    [
        ("torn", "venue_error", "not_readable"),
        ("page_not_json", "venue_error", "not_readable"),
        ("error", "venue_error", "server_error"),
        ("forbidden", "banned", "banned"),
        ("geoblocked", "geoblocked", "geoblocked"),
        ("broken_off", "unreachable", "broken_off"),
    ],
)
def test_one_bad_answer_among_many_costs_all_of_them(
    sandbox: Sandbox, venue: str, kind: Any, code: str, cause: str
) -> None:
    bench = PublisherBench(sandbox, venue, NOW, Fault(kind, first=2, times=9))
    outage = _outage(bench, date(2026, 1, 20))
    assert (outage.code, outage.cause) == (code, cause)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body.replace("observation_date,", "date,"), "instead of observation_date, DGS10"),
        (lambda body: body.replace(",DGS10\n", ",DGS10,note\n"), "instead of observation_date, DGS10"),
        (lambda body: body.replace(",DGS10\n", ",DGS2\n"), "instead of observation_date, DGS10"),
        (lambda body: body.splitlines()[0] + "\n", "no figure of DGS10"),
        (lambda body: body + "2026-03-10,4.1,4.2\n", "which is no day and figure"),
        (lambda body: body + "\n\n", "which is no day and figure"),
    ],
)
def test_a_page_of_another_layout_is_a_loud_outage(sandbox: Sandbox, change: Any, says: str) -> None:
    outage = _outage(PublisherBench(sandbox, "fred", NOW, spoiled=_changed("DGS10", change)))
    assert (outage.code, outage.cause) == ("venue_error", "wrong_shape")
    assert says in str(outage) and "\n" not in str(outage)


def test_the_header_of_old_pages_is_known_too(sandbox: Sandbox) -> None:
    change = _changed("DGS10", lambda body: body.replace("observation_date,", "DATE,").replace(",\n", ",.\n"))
    plain = _fetch(PublisherBench(sandbox, "fred", NOW))
    old = _fetch(PublisherBench(sandbox, "fred", NOW, spoiled=change))
    assert old.drop("payload_sha256").equals(plain.drop("payload_sha256"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2026-03-1O,4.1", "missing_value"),
        ("2026-03-10,4.l", "missing_value"),
        ("2026-03-10,nan", "not_finite"),
        ("2027-03-10,4.1", "clock_in_future"),
        ("1926-03-10,4.1", "clock_before_1980"),
    ],
)
def test_a_bad_figure_is_refused_with_its_reason_and_the_others_stand(sandbox: Sandbox, line: str, reason: str) -> None:
    bench = PublisherBench(sandbox, "fred", NOW, spoiled=_changed("DGS10", lambda body: body + line + "\n"))
    rows = bench.client.fetch("macro_observations", DAY, DAY).rows
    good, refused = RAW_TABLES["macro_observations"].split(rows, now=NOW)
    assert refused["reason"].to_list() == [reason]
    assert good.height == rows.height - 1


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda body: body.replace('"10 Yr"', '"Ten"'), "wrong_shape"),
        (lambda body: body.replace('"10 Yr"', '"11 Yr"'), "wrong_shape"),
        (lambda body: body.replace("Date,", "Day,"), "wrong_shape"),
        (lambda body: body.splitlines()[0], "not_readable"),
        (lambda body: "\n".join(body.splitlines()[:20]), "not_readable"),
        (lambda body: body[:-3].rpartition(",")[0], "not_readable"),
        (lambda body: body.replace("/2026,", "/2024,"), "wrong_shape"),
    ],
)
def test_another_curve_is_a_loud_outage(sandbox: Sandbox, change: Any, cause: str) -> None:
    outage = _outage(PublisherBench(sandbox, "us_treasury", NOW, spoiled=change))
    assert (outage.code, outage.cause) == ("venue_error", cause)


def test_a_maturity_that_is_not_sold_yet_is_no_figure(sandbox: Sandbox) -> None:
    def blank(body: str) -> str:
        header, *lines = body.splitlines()
        return "\n".join([header, *(",".join([*line.split(",")[:2], "", *line.split(",")[3:]]) for line in lines)])

    rows = _fetch(PublisherBench(sandbox, "us_treasury", NOW, spoiled=blank))
    assert "UST_1_5M" not in set(rows["series_id"])
    assert len(set(rows["series_id"])) == len(MATURITIES) - 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda body: {**body, "count": body["count"] + 1}, "gave"),
        (lambda body: {**body, "observations": []}, "gave 0 of"),
        (lambda body: {"observations": body["observations"]}, "holds no `count`"),
        (lambda body: {**body, "observations": {}}, "holds no `count`"),
    ],
)
def test_a_short_list_is_never_taken_for_the_whole(sandbox: Sandbox, spoil: Any, says: str) -> None:
    outage = _outage(PublisherBench(sandbox, "fred", NOW, spoiled=spoil, **KEY))
    assert (outage.code, outage.cause) == ("venue_error", "wrong_shape")
    assert says in str(outage)


@pytest.mark.parametrize("kind", [None, "error", "torn", "banned", "rate_limited", "geoblocked", "page_not_json"])
def test_a_key_never_leaves_but_in_its_request(sandbox: Sandbox, kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    rules = () if kind is None else (Fault(kind, times=99, retry_after_s=600),)
    bench = PublisherBench(sandbox, "fred", NOW, *rules, **KEY)
    said = ""
    with caplog.at_level(logging.DEBUG):
        try:
            said = repr(bench.client.fetch("macro_observations", DAY, DAY))
        except SourceOutage as outage:
            chain: BaseException | None = outage
            while chain is not None:
                said += f"{chain!r} {chain}"
                chain = None if chain.__suppress_context__ else chain.__context__
    assert all(s.query["api_key"] == CANARY for s in sandbox.requests)
    kept = b"".join(bench.lake.payloads.values()).decode()
    for text in (said, kept, " ".join(bench.lake.requests), caplog.text, repr(bench.client), str(vars(bench.client))):
        assert CANARY not in text
    assert "urllib3" in caplog.text and "api_key=withheld" in caplog.text


def test_an_answer_that_repeats_the_key_is_not_kept_or_shown(sandbox: Sandbox) -> None:
    bench = PublisherBench(
        sandbox, "fred", NOW, spoiled=lambda _: {"error_message": f"bad key {CANARY}", "count": CANARY}, **KEY
    )
    outage = _outage(bench)
    assert CANARY not in str(outage)
    assert bench.lake.payloads == {}


def test_a_wrong_key_is_told_in_freds_words(sandbox: Sandbox) -> None:
    outage = _outage(PublisherBench(sandbox, "fred", NOW, api_key=SecretStr("short")))
    assert (outage.code, outage.cause) == ("venue_error", "refused")
    assert "32 character alpha-numeric" in str(outage)
    assert OBSERVATIONS_URL.partition("stlouisfed.org")[2] in str(outage)


def test_a_key_of_the_settings_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWTIDE_FRED_API_KEY", CANARY)
    settings = Settings()
    assert CANARY not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.fred_api_key is not None
    assert (Fred.venue, Treasury.venue) == ("fred", "us_treasury")
