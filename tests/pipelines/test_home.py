"""Homes: kinds never mix, births that were interrupted heal, one writer at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.home import Home, HomeError, kind_of, open_home

pytestmark = pytest.mark.fast


def test_a_home_keeps_its_kind(tmp_path: Path) -> None:
    root = tmp_path / "h"
    assert kind_of(root) is None
    open_home(root, "demo", create=True)
    assert kind_of(root) == "demo"
    with pytest.raises(HomeError, match="demo home and the command needs a real one"):
        open_home(root, "real", create=True)


def test_a_missing_home_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="not a Lowtide home yet"):
        open_home(tmp_path / "none", "real", create=False)
    assert not (tmp_path / "none").exists()


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(HomeError, match="not empty"):
        open_home(tmp_path, "real", create=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("left", ["nothing", "marker.new", "marker"])
def test_a_birth_killed_at_any_point_heals(tmp_path: Path, left: str) -> None:
    if left == "marker.new":
        (tmp_path / "home.json.new").write_text('{"ki')
    if left == "marker":
        (tmp_path / "home.json").write_text('{"kind": "real"}')
    home = open_home(tmp_path, "real", create=True)
    assert home.lake.is_dir()
    assert (home.dagster / "dagster.yaml").is_file()
    assert kind_of(tmp_path) == "real"


def test_a_damaged_marker_is_named(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text("{")
    with pytest.raises(HomeError, match=r"home\.json is damaged"):
        open_home(tmp_path, "real", create=True)


def test_two_commands_cannot_hold_a_home(tmp_path: Path) -> None:
    home = open_home(tmp_path / "h", "real", create=True)
    with home.lock(), pytest.raises(HomeError, match="in use by another lowtide command"), Home(home.root).lock():
        pass
