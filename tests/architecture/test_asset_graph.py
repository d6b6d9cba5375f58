"""The asset graph as a snapshot: a moved edge shows in review.

To renew after an intended change: delete ``asset_graph.json`` beside this file and run the test once; it writes the file
and fails, so that a renewed snapshot is always looked at.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from dagster import AssetKey, Definitions

from pipelines.definitions import build_defs
from pipelines.settings import Settings

SNAPSHOT = Path(__file__).with_name("asset_graph.json")


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    from pipelines.home import open_home
    from pipelines.resources import build_resources

    home = open_home(tmp_path_factory.mktemp("graph") / "home", "real", create=True)
    return build_defs(resources=build_resources(home, Settings(venues=())))


def _picture(defs: Definitions) -> dict:
    graph = defs.resolve_asset_graph()
    return {
        "assets": {
            key.to_user_string(): {
                "deps": sorted(p.to_user_string() for p in graph.get(key).parent_keys),
                "group": graph.get(key).group_name,
                "owners": sorted(graph.get(key).owners),
                "kinds": sorted(graph.get(key).kinds),
            }
            for key in sorted(graph.get_all_asset_keys())
        },
        "checks": sorted(f"{k.asset_key.to_user_string()}: {k.name}" for k in graph.asset_check_keys),
        "jobs": sorted(j.name for j in defs.jobs or []),
        "schedules": {s.name: s.cron_schedule for s in defs.schedules or []},
    }


def test_the_graph_is_the_one_that_was_reviewed(defs: Definitions) -> None:
    now = _picture(defs)
    if not SNAPSHOT.is_file():
        SNAPSHOT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
        pytest.fail(f"{SNAPSHOT.name} was written anew: look at it and run again")
    assert now == json.loads(SNAPSHOT.read_text())


def test_every_check_aims_at_an_asset_that_exists(defs: Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert [k for k in graph.asset_check_keys if k.asset_key not in graph.get_all_asset_keys()] == []
    assert len(graph.asset_check_keys) >= 28


def test_lineage_runs_from_the_lake_to_the_report_without_a_gap(defs: Definitions) -> None:
    graph = defs.resolve_asset_graph()
    upstream: set[AssetKey] = set()
    todo = [AssetKey(["reports", "stress_report"])]
    while todo:
        for parent in graph.get(todo.pop()).parent_keys - upstream:
            upstream.add(parent)
            todo.append(parent)
    lake = {k for k in graph.get_all_asset_keys() if k.path[0] == "lake"}
    assert lake <= upstream
    roots = {k for k in upstream if not graph.get(k).parent_keys}
    assert {k.path[0] for k in roots} == {"lake", "seeds"}


def test_every_asset_reads_as_a_catalogue(defs: Definitions) -> None:
    graph = defs.resolve_asset_graph()
    plain = [
        k.to_user_string()
        for k in graph.get_all_asset_keys()
        if k.path[0] != "seeds" and len((graph.get(k).description or "").strip()) < 30
    ]
    assert plain == []
    for key in graph.get_all_asset_keys():
        assert len(key.path) == 2
        assert re.fullmatch(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*", key.to_user_string())
        assert graph.get(key).owners


def test_servers_bind_to_loopback() -> None:
    makefile = (SNAPSHOT.parents[2] / "Makefile").read_text()
    assert "--host 127.0.0.1" in makefile
    assert "0.0.0.0" not in makefile
