"""Assets of a publisher: figures land under the capture day, an outage is noted, and what was there stays."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import DagsterInstance, ExecuteInProcessResult, materialize

from assets.lake.published import build_published_assets
from pipelines.clock import FixedClock
from pipelines.home import HomeError, open_home
from pipelines.lake.store import Lake
from pipelines.resources import publishers_of
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.settings import Settings

NOW = datetime(2025, 9, 2, 12, 0)
DAY = "2025-09-01"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serve(World(1, date(2025, 9, 1), 3, assets=("SOL",)), now=NOW) as running:
        yield running


class Home:
    """A demo home's lake, the publishers of a sandbox, and what a run leaves."""

    def __init__(self, folder: Path, sandbox: Sandbox, now: datetime = NOW) -> None:
        sandbox.restart(now=now)
        self.clock = FixedClock(now)
        home = open_home(folder / "demo", "demo", create=True)
        self.lake = Lake(home.lake, clock=self.clock, code_version="1.0")
        self.settings = Settings(published_base_url=sandbox.base_url)
        self.publishers = publishers_of(home, self.settings, self.lake, self.clock)

    def run(
        self, day: str = DAY, *, venue: str = "alternative_me", dataset: str = "sentiment"
    ) -> ExecuteInProcessResult:
        (landed,) = build_published_assets(venue, [dataset])
        resources: dict[str, Any] = {"lake": self.lake, "publishers": self.publishers, "clock": self.clock}
        with DagsterInstance.ephemeral() as instance:
            return materialize([landed], partition_key=day, instance=instance, resources=resources)

    def rows(self) -> pl.DataFrame:
        return pl.concat([pl.read_parquet(g.path) for g in self.lake.current() if g.path is not None])


def test_a_run_lands_the_figures_of_now(tmp_path: Path, sandbox: Sandbox) -> None:
    home = Home(tmp_path, sandbox)
    assert home.run().success
    (generation,) = home.lake.current()
    key = generation.key
    assert (key.dataset, key.venue, key.source, key.day) == ("sentiment", "alternative_me", "publisher", NOW.date())
    assert generation.is_synthetic
    assert home.rows().height == 62
    assert home.lake.payload(generation.payloads[0]) is not None


def test_an_outage_is_noted_under_the_capture_day_and_keeps_what_was_there(tmp_path: Path, sandbox: Sandbox) -> None:
    home = Home(tmp_path, sandbox)
    assert home.run().success
    before = home.rows()
    sandbox.restart(faults=Faults((Fault("geoblocked", times=9),)))
    assert home.run().success
    (outage,) = home.lake.outages()
    assert (outage.status, outage.key.day) == ("geoblocked", NOW.date())
    assert home.rows().equals(before)


def test_a_later_look_of_the_day_replaces_figures_and_loses_none(tmp_path: Path, sandbox: Sandbox) -> None:
    home = Home(tmp_path, sandbox)
    assert home.run().success

    def revise(body: Any) -> Any:
        body["data"] = [{**one, "value": "50"} for one in body["data"][:5]]
        return body

    sandbox.restart(faults=Faults(spoiled={"": revise}))
    assert home.run().success
    rows = home.rows().sort("sentiment_date_utc")
    assert rows.height == 62
    assert rows["sentiment_index"].tail(5).to_list() == [50.0] * 5


def test_what_is_switched_off_lands_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    home = Home(tmp_path, sandbox)
    home.publishers = {}
    assert home.run().success
    assert (home.lake.current(), sandbox.requests) == ([], [])


def test_synthetic_and_real_figures_never_share_a_home(tmp_path: Path, sandbox: Sandbox) -> None:
    clock = FixedClock(NOW)
    lake = Lake(tmp_path / "lake", clock=clock, code_version="1.0")
    demo, real = (open_home(tmp_path / kind, kind, create=True) for kind in ("demo", "real"))
    assert publishers_of(demo, Settings(), lake, clock) == {}
    assert publishers_of(real, Settings(publishers=()), lake, clock) == {}
    assert not any(one.is_synthetic for one in publishers_of(real, Settings(), lake, clock).values())
    with pytest.raises(HomeError, match="never share a folder"):
        publishers_of(real, Settings(published_base_url=sandbox.base_url), lake, clock)
    with pytest.raises(ValueError, match="no publisher mirror: there are alternative_me"):
        Settings(publishers=("mirror",))


def test_flows_and_holders_land(tmp_path: Path, sandbox: Sandbox) -> None:
    home = Home(tmp_path, sandbox)
    assert home.run(venue="farside", dataset="etf_flows").success
    assert home.run(venue="coin_metrics", dataset="holder_metrics").success
    landed = {g.key.dataset: (g.key.venue, g.key.day, g.quarantined_rows_count) for g in home.lake.current()}
    assert landed == {
        "etf_flows": ("farside", NOW.date(), 0),
        "holder_metrics": ("coin_metrics", NOW.date(), 0),
    }


def test_what_a_later_look_of_a_whole_page_lacks_is_gone(tmp_path: Path, sandbox: Sandbox) -> None:
    home = Home(tmp_path, sandbox)
    assert home.run(venue="farside", dataset="etf_flows").success
    before = home.rows().filter(pl.col("asset") == "SOL")

    def take_back(body: Any) -> Any:
        head, mark, tail = body.partition("29 Aug 2025")
        row, end, rest = tail.partition("</tr>")
        return f"{head}{mark}{'</span></div></td>' + '<td>-</td><td>7.0</td><td>7.0</td>'}{end}{rest}" if row else body

    sandbox.restart(faults=Faults(spoiled={"/sol/": take_back}))
    assert home.run(venue="farside", dataset="etf_flows").success
    after = home.rows().filter(pl.col("asset") == "SOL")
    gone = before.join(after, on=["fund", "flow_date_utc"], how="anti")
    assert gone.select("fund", pl.col("flow_date_utc").cast(pl.String)).rows() == [("BSOL", "2025-08-29")]
    assert after.filter(pl.col("flow_date_utc").cast(pl.String) == "2025-08-29")["net_flow_usd"].to_list() == [7e6, 7e6]


def test_a_page_in_another_layout_is_an_outage_and_what_was_there_stays(tmp_path: Path, sandbox: Sandbox) -> None:
    home = Home(tmp_path, sandbox)
    assert home.run(venue="farside", dataset="etf_flows").success
    before = home.rows()
    sandbox.restart(faults=Faults(spoiled={"/sol/": lambda body: body.replace(">Total<", ">Sum<")}))
    assert home.run(venue="farside", dataset="etf_flows").success
    (outage,) = home.lake.outages()
    assert (outage.status, outage.key.dataset) == ("venue_error", "etf_flows")
    assert "no Total over its last column" in outage.origin_note
    assert home.rows().equals(before)


def test_release_days_need_a_key_and_the_key_stays_out_of_the_home(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "plain", sandbox)
    done = home.run(venue="fred", dataset="macro_releases")
    (materialized,) = done.asset_materializations_for_node("lake__fred_macro_releases")
    assert materialized.metadata["status"].value == "needs LOWTIDE_FRED_API_KEY"
    assert (home.lake.current(), home.lake.outages(), sandbox.requests) == ([], [], [])

    canary = "canary0123456789abcdefcanary0123"
    monkeypatch.setenv("LOWTIDE_FRED_API_KEY", canary)
    home = Home(tmp_path / "keyed", sandbox)
    events = ""
    for dataset in ("macro_releases", "macro_observations"):
        done = home.run(venue="fred", dataset=dataset)
        events += " ".join(f"{event} {event.event_specific_data}" for event in done.all_events)
    sandbox.restart(faults=Faults((Fault("geoblocked", times=9),)))
    assert home.run(venue="fred", dataset="macro_releases").success
    assert {g.key.dataset for g in home.lake.current()} == {"macro_releases", "macro_observations"}
    assert [o.status for o in home.lake.outages()] == ["geoblocked"]
    assert all(seen.query["api_key"] == canary for seen in sandbox.requests)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    packed = b"".join(path.read_bytes() for path in files if path.suffix != ".gz")
    unpacked = b"".join(gzip.decompress(path.read_bytes()) for path in files if path.suffix == ".gz")
    assert unpacked
    for said in (packed, unpacked, events.encode()):
        assert canary.encode() not in said
