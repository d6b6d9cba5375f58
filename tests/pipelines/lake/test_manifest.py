"""Laws of the manifest: a line is the commit, a torn end is a crash, damage before the acknowledged end is loss."""

from __future__ import annotations

import json
import os
import threading
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.ports import Generation, RawKey
from pipelines.lake import manifest as module
from pipelines.lake.manifest import LakeError, Manifest, ManifestCorrupt, decode_line, encode_line, name_of

ROOT = Path("/lake")
SHA = "0123456789abcdef" * 4


def line(i: int = 0, root: Path = ROOT, note: str = "", status: str = "committed") -> Generation:
    key = RawKey("candles", "binance", "ccxt", date(2026, 1, 1 + i))
    is_row = status == "committed"
    return Generation(
        position=-1,
        key=key,
        status=status,
        rows_count=24 if is_row else 0,
        quarantined_rows_count=0,
        sha256=SHA if is_row else None,
        path=root / f"raw/candles/binance/ccxt/{key.day}/{SHA}.parquet" if is_row else None,
        captured_at_utc=datetime(2026, 1, 5, 12, i),
        committed_at_utc=datetime(2026, 1, 5, 12, i, 30),
        schema_version=1,
        code_version="1.0",
        is_synthetic=False,
        payloads=(SHA,),
        origin_note=note,
    )


def filled(root: Path, count: int) -> Manifest:
    root.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(root)
    for i in range(count):
        manifest.append([line(i, root)])
    return manifest


@pytest.mark.fast
@settings(deadline=None)
@given(st.text(max_size=200), st.integers(0, 10**12), st.booleans())
def test_line_survives_any_note(note: str, position: int, is_outage: bool) -> None:
    given_line = line(note=note, status="unreachable" if is_outage else "committed")
    encoded = encode_line(given_line, ROOT)
    assert encoded.count(b"\n") == 1
    assert encoded.isascii()
    read = decode_line(encoded[:-1], position, ROOT)
    assert read == Generation(**{**given_line.__dict__, "position": position})


@pytest.mark.fast
@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_in_a_line_is_noticed(byte: int, bit: int) -> None:
    encoded = bytearray(encode_line(line(note="from the archive"), ROOT)[:-1])
    encoded[byte % len(encoded)] ^= 1 << bit
    with pytest.raises(ValueError, match=r"checksum|missing|type"):
        decode_line(bytes(encoded), 0, ROOT)


@pytest.mark.fast
def test_path_that_does_not_follow_from_the_key_is_refused() -> None:
    body = json.loads(encode_line(line(), ROOT))
    body.pop("checksum")
    body["path"] = f"../../etc/{SHA}.parquet"
    forged = json.dumps(body, separators=(",", ":")).encode()[:-1]
    forged += b',"checksum":"' + module._checksum(forged) + b'"}'
    with pytest.raises(ValueError, match="does not follow"):
        decode_line(forged, 0, ROOT)


def test_lines_keep_their_order_and_positions(tmp_path: Path) -> None:
    manifest = filled(tmp_path, 3)
    more = manifest.append([line(3, tmp_path), line(4, tmp_path)])
    assert [g.position for g in more] == [3, 4]
    again = Manifest(tmp_path)
    assert [g.position for g in again.generations()] == [0, 1, 2, 3, 4]
    assert again.generations() == manifest.generations()
    assert again.position() == 4
    assert again.faults() == []


def test_end_torn_at_every_byte_is_ignored_and_cut_off(tmp_path: Path) -> None:
    """A crash while the third line was being written: whatever came through, two lines are committed."""
    filled(tmp_path, 2)
    before = (tmp_path / "manifest.jsonl").read_bytes()
    third = encode_line(line(2, tmp_path), tmp_path)
    head = (tmp_path / "manifest.head").read_bytes()
    for length in range(len(third)):
        (tmp_path / "manifest.jsonl").write_bytes(before + third[:length])
        (tmp_path / "manifest.head").write_bytes(head)
        manifest = Manifest(tmp_path)
        assert manifest.position() == 1
        assert bool(manifest.faults()) == (length > 0)
        manifest.append([line(2, tmp_path)])
        assert (tmp_path / "manifest.jsonl").read_bytes() == before + third
        assert Manifest(tmp_path).position() == 2


@pytest.mark.parametrize(
    "rubbish", [b"\x00" * 300, b"\x00" * 300 + b"\n", b'{"dataset":"candles"}\n' * 3, b"\n", b"\xff\n\xfe\n"]
)
def test_rubbish_behind_the_acknowledged_end_is_a_torn_end(tmp_path: Path, rubbish: bytes) -> None:
    filled(tmp_path, 2)
    before = (tmp_path / "manifest.jsonl").read_bytes()
    (tmp_path / "manifest.jsonl").write_bytes(before + rubbish)
    manifest = Manifest(tmp_path)
    assert manifest.position() == 1
    assert manifest.repair() == len(rubbish)
    assert (tmp_path / "manifest.jsonl").read_bytes() == before


def test_line_written_but_not_acknowledged_counts(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with (tmp_path / "manifest.jsonl").open("ab") as file:
        file.write(encode_line(line(2, tmp_path), tmp_path))
    assert Manifest(tmp_path).position() == 2


def test_acknowledged_line_that_is_cut_at_any_byte_stops_reading(tmp_path: Path) -> None:
    """Truncation is loss, not a crash: a caller was told that this line is there."""
    filled(tmp_path, 2)
    whole = (tmp_path / "manifest.jsonl").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "manifest.jsonl").write_bytes(whole[:length])
        with pytest.raises(ManifestCorrupt, match=r"acknowledged.*restore"):
            Manifest(tmp_path).generations()
        assert Manifest(tmp_path).faults()


def test_vanished_manifest_stops_reading(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    (tmp_path / "manifest.jsonl").unlink()
    with pytest.raises(ManifestCorrupt, match="acknowledged"):
        Manifest(tmp_path).generations()


def test_without_a_head_a_broken_end_counts_as_a_crash(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    whole = (tmp_path / "manifest.jsonl").read_bytes()
    second_end = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    (tmp_path / "manifest.head").unlink()
    for length in range(second_end, len(whole)):
        (tmp_path / "manifest.jsonl").write_bytes(whole[:length])
        assert Manifest(tmp_path).position() == 1
    # A last line with its newline but a wrong checksum is the same case.
    (tmp_path / "manifest.jsonl").write_bytes(whole[:-20] + b"x" + whole[-19:])
    assert Manifest(tmp_path).position() == 1


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_flip_in_an_acknowledged_line_stops_reading(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp() / "flip"
    if not root.exists():
        filled(root, 3)
    whole = bytearray((root / "manifest.jsonl").read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    (root / "manifest.jsonl").write_bytes(bytes(flipped))
    try:
        with pytest.raises(ManifestCorrupt):
            Manifest(root).generations()
    finally:
        (root / "manifest.jsonl").write_bytes(bytes(whole))


@pytest.mark.fast
def test_damage_in_the_middle_names_file_line_reason_and_remedy(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    (tmp_path / "manifest.head").unlink()
    lines = (tmp_path / "manifest.jsonl").read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"rows_count":24', b'"rows_count":42')
    (tmp_path / "manifest.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(ManifestCorrupt) as caught:
        Manifest(tmp_path).generations()
    message = str(caught.value)
    assert str(tmp_path / "manifest.jsonl") in message
    assert "line 2" in message
    assert "checksum does not fit" in message
    assert "restore" in message
    assert "\n" not in message
    with pytest.raises(ManifestCorrupt):
        Manifest(tmp_path).append([line(3, tmp_path)])


def test_damaged_head_is_a_fault_and_is_written_again(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / "manifest.head").write_bytes(b'{"bytes_count":99999999,"lines_count":9,"checksum":"00"}\n')
    manifest = Manifest(tmp_path)
    assert manifest.position() == 1
    assert "manifest.head" in manifest.faults()[0]
    manifest.append([line(2, tmp_path)])
    assert manifest.faults() == []


def test_write_that_stops_half_way_leaves_the_manifest_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = filled(tmp_path, 1)
    before = (tmp_path / "manifest.jsonl").read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, body: real(fd, bytes(body)[: len(body) // 2]))
    with pytest.raises(OSError, match="disk full"):
        manifest.append([line(1, tmp_path)])
    monkeypatch.undo()
    assert (tmp_path / "manifest.jsonl").read_bytes() == before
    assert manifest.position() == 0
    manifest.append([line(1, tmp_path)])
    assert Manifest(tmp_path).position() == 1


def test_reader_beside_a_writer_sees_whole_lines_in_growing_number(tmp_path: Path) -> None:
    writer = filled(tmp_path, 1)
    seen: list[int] = []
    stop = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        keeps = Manifest(tmp_path)
        try:
            while not stop.is_set():
                seen.append(keeps.position())
                seen.append(Manifest(tmp_path).position())
        except LakeError as error:
            faults.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for i in range(25):
        writer.append([line(i % 28, tmp_path)])
    stop.set()
    thread.join()
    assert not faults
    assert seen == sorted(seen)


def test_replaced_manifest_is_read_from_its_start(tmp_path: Path) -> None:
    manifest = filled(tmp_path, 3)
    other = tmp_path / "other"
    filled(other, 1)
    os.replace(other / "manifest.jsonl", tmp_path / "manifest.jsonl")
    (tmp_path / "manifest.head").unlink()
    assert manifest.position() == 0


@pytest.mark.fast
@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "A",
        "1a",
        "_a",
        "a" * 33,
        "a b",
        "a\n",
        "a\x00",
        "ä",
        "币",
        "<script>",
        "a;drop",
        "con.",
        "-rf",
        "~",
        "a\u202e",
        None,
        7,
    ],
)
def test_hostile_names_are_refused(name: object) -> None:
    with pytest.raises(LakeError, match="not a plain name"):
        name_of(name, "venue")  # type: ignore[arg-type]  # a double or a wrong type, on purpose


@pytest.mark.fast
@pytest.mark.parametrize("name", ["a", "binance", "alternative_me", "x9", "a" * 32])
def test_plain_names_pass(name: str) -> None:
    assert name_of(name, "venue") == name
