"""Segments: a kill at any byte costs the torn record alone, days and hours have their own files, one writer at a time."""

from __future__ import annotations

import base64
import errno
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hand_time import HandClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.collector import segments
from pipelines.collector.segments import (
    CollectorError,
    Journal,
    Past,
    Record,
    begun_at,
    frame,
    hold,
    payload_facts,
    read_records,
    recover,
    sealed_segments,
    unframe,
)

pytestmark = pytest.mark.fast

NOON = datetime(2026, 3, 10, 12)
TEXTS = st.text() | st.binary().map(lambda b: b.decode("latin-1"))


@settings(deadline=None)
@given(TEXTS, st.integers(1, 10**12), st.integers(0, 2**62), st.sampled_from(["okx", "bybit_linear"]))
def test_frame_and_back_keeps_everything(text: str, number: int, at_ns: int, stream: str) -> None:
    record = Record(number, at_ns, "message", stream, {"text": text})
    line = frame(record)
    assert line.count(b"\n") == 1
    assert unframe(line) == record


@settings(deadline=None)
@given(st.binary())
def test_bytes_that_are_no_text_are_kept(payload: bytes) -> None:
    facts = payload_facts(payload)
    assert facts.get("text", "").encode() == payload or base64.b64decode(facts["base64"]) == payload


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_a_segment_cut_at_any_byte_reads_as_what_was_whole(tmp_path: Path, texts: list[str]) -> None:
    records = [Record(i, i, "message", "okx", {"text": text}) for i, text in enumerate(texts, 1)]
    lines = [frame(record) for record in records]
    whole, path = b"".join(lines), tmp_path / "cut"
    ends = [sum(map(len, lines[:i])) for i in range(len(lines) + 1)]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert list(read_records(path)) == records[: sum(end <= cut for end in ends) - 1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.data())
def test_a_flipped_byte_never_reads_as_another_record(tmp_path: Path, data: st.DataObject) -> None:
    records = [Record(i, i, "message", "okx", {"text": f"order {i}"}) for i in range(1, 4)]
    body = bytearray(b"".join(map(frame, records)))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "flipped"
    path.write_bytes(bytes(body))
    read = list(read_records(path))
    assert read == records[: len(read)]
    assert len(read) < len(records)


def test_every_hour_and_every_day_has_its_own_segment(tmp_path: Path) -> None:
    clock = HandClock(datetime(2026, 3, 10, 22, 59, 59))
    journal = Journal(tmp_path, clock, Past())
    for seconds in (0, 2, 3, 3602, 3603):
        clock.start = datetime(2026, 3, 10, 22, 59, 59) + timedelta(seconds=seconds)
        journal.append("message", "okx", text=str(seconds))
    journal.close()
    found = [[r.facts["text"] for r in read_records(p) if r.kind == "message"] for p in sealed_segments(tmp_path)]
    assert found == [["0"], ["2", "3"], ["3602", "3603"]]
    assert [begun_at(p).hour for p in sealed_segments(tmp_path)] == [22, 23, 0]
    numbers = [r.number for p in sealed_segments(tmp_path) for r in read_records(p)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all([*read_records(p)][-1].kind == "closed" for p in sealed_segments(tmp_path))


def test_a_clock_that_is_set_back_does_not_turn_the_order(tmp_path: Path) -> None:
    clock = HandClock(NOON)
    journal = Journal(tmp_path, clock, Past())
    journal.append("message", "okx", text="a")
    clock.start -= timedelta(minutes=5)
    journal.append("message", "okx", text="b")
    journal.close()
    (path,) = sealed_segments(tmp_path)
    ats = [r.at_ns for r in read_records(path)]
    assert ats == sorted(ats)


def _dead_process(folder: Path) -> Path:
    """Leave what a killed process leaves: an open segment with a known stream."""
    journal = Journal(folder, HandClock(NOON), Past())
    journal.append("gap", "okx", from_ns=0, until_ns=segments.ns_of(NOON), reason="first_start")
    for text in ("a", "b"):
        journal.append("message", "okx", text=text)
    (left,) = folder.glob("*.open")
    return left


def test_what_a_dead_process_left_is_sealed_as_it_stands_and_numbers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _fd: None)  # hundreds of folders; whether they last is not asked here
    body = _dead_process(tmp_path).read_bytes()
    for cut in range(len(body) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "20260310T120000000000-000000000001.open").write_bytes(body[:cut])
        past = recover(folder)
        (sealed,) = sealed_segments(folder)
        assert sealed.read_bytes() == body[:cut]
        whole = list(read_records(sealed))
        assert past.number == len(whole)
        assert past.was_closed is (not whole)  # an empty file says nothing of a process before
        Journal(folder, HandClock(NOON), past).close()
        numbers = [r.number for p in sealed_segments(folder) for r in read_records(p)]
        assert numbers == list(range(1, len(whole) + 3))
        assert recover(folder).alive_ns == past.alive_ns


def test_a_message_before_the_subscription_stands_vouches_for_nothing(tmp_path: Path) -> None:
    left = _dead_process(tmp_path)
    last = recover(tmp_path)
    later = Journal(tmp_path, HandClock(NOON + timedelta(minutes=1)), last)
    later.append("message", "okx", text="{}", early=True)
    assert not left.exists()
    assert recover(tmp_path).alive_ns == last.alive_ns == {"okx": segments.ns_of(NOON)}


def test_what_is_acknowledged_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = segments.os.fsync
    monkeypatch.setattr(segments.os, "fsync", lambda fd: (synced.append(segments.os.fstat(fd).st_size), fsync(fd)))
    journal = Journal(tmp_path, HandClock(NOON), Past())
    number = journal.append("message", "okx", text="a").number
    assert journal.acknowledged < number
    assert journal.unacknowledged == 2  # the head of the segment is there, its number was not given out
    assert journal.sync() == number == journal.acknowledged
    (path,) = tmp_path.glob("*.open")
    assert synced[-1] == path.stat().st_size


def test_a_second_collector_on_a_folder_is_refused(tmp_path: Path) -> None:
    lock = hold(tmp_path)
    try:
        with pytest.raises(CollectorError, match="in use by another `lowtide collect`"):
            hold(tmp_path)
    finally:
        lock.release()
    hold(tmp_path).release()


def test_a_full_disk_ends_the_journal_and_loses_nothing_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, HandClock(NOON), Past())
    journal.append("message", "okx", text="a")
    write_all = segments.write_all

    def full(fd: int, body: bytes) -> None:
        write_all(fd, body[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(segments, "write_all", full)
    with pytest.raises(CollectorError, match="No space left on device: make room"):
        journal.append("message", "okx", text="b")
    monkeypatch.undo()
    past = recover(tmp_path)
    Journal(tmp_path, HandClock(NOON), past).close()
    told = [r for p in sealed_segments(tmp_path) for r in read_records(p)]
    assert [r.facts["text"] for r in told if r.kind == "message"] == ["a"]
    assert [r.number for r in told] == list(range(1, len(told) + 1))
