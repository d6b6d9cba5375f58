"""The lake: content addresses, generations, as-of, outages, refusals, damage, crashes, sweeping."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.ports import RawBatch, RawKey, RawLake
from pipelines.lake import landing, store
from pipelines.lake.landing import LandingRefused
from pipelines.lake.manifest import LakeError, ManifestCorrupt
from pipelines.lake.store import Lake, LakeBusy
from quality.schemas.raw import RAW_TABLES

Candles = Callable[..., RawBatch]
DAY = date(2026, 1, 1)
KEY = RawKey("candles", "binance", "ccxt", DAY)


def files_below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_lake_fulfils_the_port(lake: Lake) -> None:
    port: RawLake = lake
    assert port.current() == []


def test_file_is_named_by_its_bytes_and_holds_the_rows(lake: Lake, candles: Candles) -> None:
    batch = candles(refused=2, note="GET /klines", payloads=("b" * 64,))
    (generation,) = lake.commit([batch])
    assert generation.path is not None
    assert generation.path == lake.root / f"raw/candles/binance/ccxt/2026-01-01/{generation.sha256}.parquet"
    assert hashlib.sha256(generation.path.read_bytes()).hexdigest() == generation.sha256
    assert pl.read_parquet(generation.path).equals(batch.rows)
    assert generation.quarantine_path is not None
    assert generation.quarantine_path.parent == lake.root / "quarantine/candles/binance/ccxt/2026-01-01"
    assert pl.read_parquet(generation.quarantine_path).equals(batch.rejected)
    assert (generation.position, generation.status) == (0, "committed")
    assert (generation.rows_count, generation.quarantined_rows_count) == (3, 2)
    assert generation.payloads == ("b" * 64,)
    assert generation.origin_note == "GET /klines"
    assert lake.current() == [generation]
    assert files_below(lake.root / "tmp") == []


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_same_rows_in_any_order_are_the_same_bytes(tmp_path: Path, candles: Candles, seed: int, clock) -> None:
    lake = Lake(tmp_path / "shuffled", clock=clock, code_version="1.0")
    batch = candles(hours=24, refused=5)
    shuffled = RawBatch(
        batch.key,
        batch.rows.sample(fraction=1.0, shuffle=True, seed=seed),
        batch.rejected.sample(fraction=1.0, shuffle=True, seed=seed),
    )
    first, second = lake.commit([batch, shuffled])
    assert first.sha256 == second.sha256
    assert first.quarantine_path == second.quarantine_path


def test_same_rows_again_add_a_generation_and_share_the_file(lake: Lake, candles: Candles, clock) -> None:
    (first,) = lake.commit([candles()])
    inode = first.path.stat().st_ino
    clock.tick()
    (second,) = lake.commit([candles()])
    assert (first.position, second.position) == (0, 1)
    assert second.path == first.path
    assert second.path.stat().st_ino == inode
    assert lake.current() == [second]
    assert len(files_below(lake.root / "raw")) == 1


def test_new_generation_replaces_and_destroys_nothing(lake: Lake, candles: Candles, clock) -> None:
    (first,) = lake.commit([candles(close=100.0)])
    between = clock.tick()
    clock.tick()
    (second,) = lake.commit([candles(close=101.0)])
    assert lake.current() == [second]
    assert lake.current(as_of=between) == [first]
    assert lake.current(as_of=datetime(2020, 1, 1)) == []
    assert pl.read_parquet(first.path)["close_quote"][0] == 100.0
    assert lake.verify() == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", "out"]), st.integers(0, 3)), max_size=12))
def test_current_and_outages_agree_with_a_plain_replay(
    tmp_path_factory: pytest.TempPathFactory, candles: Candles, steps
) -> None:
    """At every instant: the last commit per key is current, and an outage is open exactly where nothing came after it."""

    class Hand:
        at = datetime(2026, 1, 5)

        def now(self) -> datetime:
            return self.at

    hand = Hand()
    lake = Lake(tmp_path_factory.mktemp("replay"), clock=hand, code_version="1.0")
    told: list[tuple[datetime, RawKey, str]] = []
    for day_offset, what, minutes in steps:
        hand.at += timedelta(minutes=minutes)
        key = RawKey("candles", "binance", "ccxt", DAY + timedelta(days=day_offset))
        if what == "out":
            lake.record_outage(key, "unreachable", "no answer", is_synthetic=False)
            told.append((hand.at, key, "unreachable"))
        else:
            (g,) = lake.commit([candles(day=key.day, close=100.0 if what == "a" else 200.0)])
            told.append((hand.at, key, str(g.sha256)))
    for as_of in {None, *(t for t, _, _ in told)}:
        until = [(k, w) for t, k, w in told if as_of is None or t <= as_of]
        commits = {k: w for k, w in until if w != "unreachable"}
        last = dict(until)
        assert {g.key: g.sha256 for g in lake.current(as_of)} == commits
        assert [g.key for g in lake.current(as_of)] == sorted(commits)
        assert {g.key for g in lake.outages(as_of)} == {k for k, w in last.items() if w == "unreachable"}


def test_clock_that_goes_back_does_not_disorder_the_commits(lake: Lake, candles: Candles, clock) -> None:
    (first,) = lake.commit([candles(close=100.0)])
    clock.tick(hours=-5)
    (second,) = lake.commit([candles(close=101.0)])
    assert second.committed_at_utc == first.committed_at_utc
    assert second.captured_at_utc < first.captured_at_utc
    assert lake.current(as_of=first.committed_at_utc) == [second]


def test_many_batches_are_one_append(lake: Lake, candles: Candles) -> None:
    given_batches = [candles(day=DAY + timedelta(days=i)) for i in range(20)]
    generations = lake.commit(iter(given_batches))
    assert [g.key for g in generations] == [b.key for b in given_batches]
    assert [g.position for g in generations] == list(range(20))
    assert lake.position == 19


def test_no_batch_is_no_line(lake: Lake) -> None:
    assert lake.commit([]) == []
    assert lake.position == -1


def test_venue_that_had_nothing_is_a_commit_of_no_rows(lake: Lake, candles: Candles) -> None:
    (generation,) = lake.commit([candles(hours=0)])
    assert generation.rows_count == 0
    assert generation.sha256 is not None
    assert lake.current() == [generation]


def test_outage_never_replaces_rows_and_ends_with_the_next_commit(lake: Lake, candles: Candles, clock) -> None:
    (first,) = lake.commit([candles()])
    outage = lake.record_outage(KEY, "geoblocked", "451\nfrom the venue", is_synthetic=False)
    assert (outage.status, outage.path, outage.sha256, outage.rows_count) == ("geoblocked", None, None, 0)
    assert outage.origin_note == "451 from the venue"
    assert lake.current() == [first]
    assert lake.outages() == [outage]
    clock.tick()
    lake.commit([candles()])
    assert lake.outages() == []
    assert lake.outages(as_of=outage.committed_at_utc) == [outage]


@pytest.mark.parametrize("code", ["committed", "", "Bad Gateway", "a/b"])
def test_outage_code_must_be_a_plain_name(lake: Lake, code: str) -> None:
    with pytest.raises(LakeError):
        lake.record_outage(KEY, code, "x", is_synthetic=False)
    assert lake.position == -1


@pytest.mark.parametrize("is_synthetic", [True, False])
def test_an_outage_is_synthetic_where_the_silent_venue_is_also_in_a_new_home(
    lake: Lake, clock, is_synthetic: bool
) -> None:
    lake.record_outage(KEY, "banned", "", is_synthetic=is_synthetic)
    (found,) = Lake(lake.root, clock=clock, code_version="1.0").generations()
    assert found.is_synthetic == is_synthetic


HOSTILE = [
    "../../etc",
    "/etc",
    "..",
    "a/b",
    "A",
    "",
    "a b",
    "<script>alert(1)</script>",
    "=cmd|'/C calc'",
    "a\u202eb",
    "币安人生",
    "x" * 300,
    "a\n",
    "a\x00",
    "'; drop table x; --",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["dataset", "venue", "source"])
def test_hostile_names_never_reach_a_path(lake: Lake, candles: Candles, name: str, where: str) -> None:
    batch = candles()
    key = RawKey(**{**batch.key.__dict__, where: name})
    rows = batch.rows.with_columns(pl.lit(name).alias("venue")) if where == "venue" else batch.rows
    with pytest.raises(LakeError) as caught:
        lake.commit([candles(day=date(2026, 1, 2)), RawBatch(key, rows, batch.rejected)])
    assert "\n" not in str(caught.value)
    with pytest.raises(LakeError):
        lake.record_outage(key, "unreachable", "x", is_synthetic=False)
    assert not lake.root.exists() or files_below(lake.root / "raw") == []
    assert lake.position == -1


def test_instant_is_no_day(lake: Lake, candles: Candles) -> None:
    batch = candles()
    with pytest.raises(LandingRefused, match="instant"):
        lake.commit([RawBatch(RawKey("candles", "binance", "ccxt", datetime(2026, 1, 1)), batch.rows, batch.rejected)])


def spoil(column: str, value: pl.Expr) -> Callable[[RawBatch], RawBatch]:
    return lambda b: RawBatch(b.key, b.rows.with_columns(value.alias(column)), b.rejected)


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (spoil("open_quote", pl.lit(-1.0)), "open_quote"),
        (spoil("open_quote", pl.lit(None, pl.Float64)), "open_quote"),
        (spoil("high_quote", pl.lit(1.0)), "high"),
        (spoil("open_quote", pl.lit("1")), "columns"),
        (spoil("extra", pl.lit(1)), "columns"),
        (spoil("venue", pl.lit("bybit")), "another venue"),
        (spoil("interval_start_utc", pl.lit(datetime(2026, 1, 1))), "stands twice"),
        (spoil("interval_start_utc", pl.col("interval_start_utc").dt.offset_by("1d")), "another UTC day"),
        (lambda b: RawBatch(b.key, b.rows.drop("asset"), b.rejected), "columns"),
        (lambda b: RawBatch(b.key, b.rows, b.rejected.drop("reason")), "refused rows"),
    ],
)
def test_rows_that_break_their_table_do_not_land(lake: Lake, candles: Candles, spoiled, said: str) -> None:
    good, other = candles(day=date(2026, 1, 2)), candles(day=date(2026, 1, 3))
    with pytest.raises(LandingRefused, match=said) as caught:
        lake.commit([good, spoiled(candles()), other])
    assert "binance" in str(caught.value)
    assert "2026-01-01" in str(caught.value)
    assert lake.position == -1
    assert not (lake.root / "raw").exists()


def test_same_keys_under_two_sources_land_side_by_side(lake: Lake, candles: Candles) -> None:
    lake.commit([candles(source="ccxt"), candles(source="archive")])
    assert len(lake.current()) == 2


def test_lake_can_be_moved(lake: Lake, candles: Candles, tmp_path: Path, clock) -> None:
    lake.commit([candles(refused=1)])
    assert str(tmp_path).encode() not in (lake.root / "manifest.jsonl").read_bytes()
    moved = shutil.move(lake.root, tmp_path / "elsewhere")
    there = Lake(Path(moved), clock=clock, code_version="1.0")
    assert there.verify() == []
    assert there.current()[0].path.is_relative_to(tmp_path / "elsewhere")
    there.commit([candles(day=date(2026, 1, 2))])


# -- payloads


def test_payload_is_kept_once_and_packed_the_same_way(lake: Lake) -> None:
    body = b'{"serverTime": 1}' * 100
    sha256 = lake.save_payload(body, "GET /time")
    path = lake.root / "payloads" / sha256[:2] / f"{sha256}.gz"
    first = path.read_bytes()
    assert sha256 == hashlib.sha256(body).hexdigest()
    assert lake.payload(sha256) == body
    assert first[4:8] == b"\0\0\0\0"  # gzip's time
    assert lake.save_payload(body, "GET /time again") == sha256
    assert path.read_bytes() == first
    assert lake.payload("0" * 64) is None
    with pytest.raises(LakeError):
        lake.payload("../../etc/passwd")


# -- damage


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_flip_in_any_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, candles: Candles, clock, data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp() / "flips"
    if not root.exists():
        full = Lake(root, clock=clock, code_version="1.0")
        sha256 = full.save_payload(b"payload" * 50, "GET /x")
        full.commit([candles(day=DAY + timedelta(days=i), refused=i, payloads=(sha256,)) for i in range(3)])
        assert full.verify() == []
    # The lock is no data, and the index of requests is for people.
    targets = [p for p in files_below(root) if p.name not in ("lake.lock", "requests.jsonl")]
    path = data.draw(st.sampled_from(targets))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if path.suffix == ".gz" and at in range(3, 10):
        return  # flags, time and system of a gzip header may change without changing content
    cut = data.draw(st.booleans())
    damaged = (
        whole[:at] if cut else whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    )
    path.write_bytes(damaged)
    try:
        faults = Lake(root, clock=clock, code_version="1.0").verify()
        assert faults
        assert any(path.name in f for f in faults)
        assert all("\n" not in f for f in faults)
    finally:
        path.write_bytes(whole)


def test_missing_file_is_found_and_healed_by_the_same_rows(lake: Lake, candles: Candles) -> None:
    (generation,) = lake.commit([candles()])
    generation.path.unlink()
    assert "is gone" in lake.verify()[0]
    lake.commit([candles()])
    assert lake.verify() == []


def test_damaged_file_is_healed_by_the_same_rows(lake: Lake, candles: Candles) -> None:
    (generation,) = lake.commit([candles()])
    whole = generation.path.read_bytes()
    generation.path.write_bytes(whole[:-1] + b"x")
    assert "damaged" in lake.verify()[0]
    lake.commit([candles()])
    assert lake.verify() == []


# -- crashes


@pytest.mark.parametrize("failing", ["os.replace", "os.fsync", "os.write"])
def test_failure_at_any_call_leaves_what_was_committed_and_heals(
    lake: Lake, candles: Candles, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Every system call of a commit fails once: nothing half is ever current, and the same commit then succeeds."""
    (before,) = lake.commit([candles(day=date(2025, 12, 31))])
    name = failing.removeprefix("os.")
    real = getattr(os, name)
    batches = [candles(day=DAY + timedelta(days=i), refused=1) for i in range(2)]
    failed = 0
    for n in range(1, 60):
        calls = 0
        guard = threading.Lock()

        def breaks(*args: object, n: int = n, guard: threading.Lock = guard) -> object:
            nonlocal calls
            with guard:
                calls += 1
                is_turn = calls == n
            if is_turn:
                raise OSError(28, "No space left on device")
            return real(*args)

        monkeypatch.setattr(os, name, breaks)
        try:
            lake.commit(batches)
        except OSError:
            failed += 1
        finally:
            monkeypatch.setattr(os, name, real)
        fresh = Lake(lake.root, clock=lake._clock, code_version="1.0")
        current = fresh.current()
        assert before in current
        assert len(current) in (1, 3)
        assert [f for f in fresh.verify() if "torn" not in f and "not a whole line" not in f] == []
        if calls < n:
            break
    assert failed >= 2
    assert len(lake.commit(batches)) == 2
    assert lake.verify() == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads the names of open files from /proc")
def test_commit_syncs_before_it_tells(lake: Lake, candles: Candles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, then their folders, then the line, then the head: the order is what a power cut cannot break."""
    lake.commit([candles()])
    said: list[str] = []

    def path_of(fd: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{fd}")).relative_to(lake.root.resolve()).as_posix()

    replace, write = os.replace, os.write
    monkeypatch.setattr(os, "fsync", lambda fd: said.append(f"sync {path_of(fd)}"))
    monkeypatch.setattr(os, "replace", lambda a, b: (said.append(f"rename {Path(b).name}"), replace(a, b))[1])
    monkeypatch.setattr(os, "write", lambda fd, body: (said.append(f"write {path_of(fd)}"), write(fd, body))[1])
    (generation,) = lake.commit([candles(day=date(2026, 1, 2))])
    name = f"{generation.sha256}.parquet"
    folder = "raw/candles/binance/ccxt/2026-01-02"
    wanted = [
        f"write tmp/0-{name}",
        f"sync tmp/0-{name}",
        f"rename {name}",
        f"sync {folder}",
        "sync raw/candles/binance/ccxt",
        "sync .",
    ]
    wanted += ["write manifest.jsonl", "sync manifest.jsonl", "rename manifest.head", "sync ."]
    assert [x for x in said if x in wanted] == wanted


def test_sweep_removes_what_a_stopped_writer_left_and_nothing_else(lake: Lake, candles: Candles, clock) -> None:
    kept_payload = lake.save_payload(b"named", "GET /a")
    lake.commit([candles(close=100.0, refused=1, payloads=(kept_payload,))])
    clock.tick()
    lake.commit([candles(close=101.0)])  # the first generation is not current and stays
    young, old = (lake.save_payload(b, "GET /b") for b in (b"young", b"old"))
    old_path = lake.root / "payloads" / old[:2] / f"{old}.gz"
    os.utime(old_path, (1, 1))
    os.utime(lake.root / "payloads" / kept_payload[:2] / f"{kept_payload}.gz", (1, 1))
    named = set(files_below(lake.root))
    orphan = lake.root / "raw/candles/binance/ccxt/2026-01-01" / f"{'f' * 64}.parquet"
    orphan.write_bytes(b"half")
    temporary = lake.root / "tmp" / "0-half.parquet"
    temporary.write_bytes(b"half")
    with (lake.root / "manifest.jsonl").open("ab") as file:
        file.write(b'{"dataset":')
    removed = lake.sweep()
    assert set(removed) == {orphan, temporary, old_path}
    assert set(files_below(lake.root)) == named - {old_path}
    assert lake.payload(young) == b"young"
    assert lake.verify() == []


def test_sweep_removes_nothing_where_the_manifest_is_damaged(lake: Lake, candles: Candles, clock) -> None:
    lake.commit([candles()])
    path = lake.root / "manifest.jsonl"
    path.write_bytes(path.read_bytes().replace(b"binance", b"bonance", 1))
    there = files_below(lake.root / "raw")
    with pytest.raises(ManifestCorrupt):
        Lake(lake.root, clock=clock, code_version="1.0").sweep()
    assert files_below(lake.root / "raw") == there


def test_writers_wait_for_each_other_and_lose_nothing(lake: Lake, candles: Candles, clock) -> None:
    def write(venue: str) -> None:
        own = Lake(lake.root, clock=clock, code_version="1.0")
        for i in range(5):
            own.commit([candles(venue=venue, day=DAY + timedelta(days=i))])

    threads = [threading.Thread(target=write, args=(v,)) for v in ("binance", "bybit", "okx")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert lake.position == 14
    assert len(lake.current()) == 15
    assert lake.verify() == []


def test_lake_that_is_held_too_long_says_so(lake: Lake, candles: Candles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_TIMEOUT_S", 0.0)
    with lake._lock(), pytest.raises(LakeBusy, match="end it"):
        lake.commit([candles()])


def test_random_truncations_of_parquet_are_found(lake: Lake, candles: Candles) -> None:
    (generation,) = lake.commit([candles(hours=24)])
    whole = generation.path.read_bytes()
    rng = random.Random(7)
    for _ in range(20):
        generation.path.write_bytes(whole[: rng.randrange(len(whole))])
        assert len(lake.verify()) == 1


# -- what is added to its day


def test_what_is_seen_later_on_a_day_is_added_and_replaces_only_its_own_rows(lake: Lake, candles: Candles) -> None:
    first = candles(hours=3, close=100.0, refused=1, payloads=("a" * 64,))
    second = replace(candles(hours=1, close=200.0, refused=2, payloads=("b" * 64,)), adds_to_day=True)
    lake.commit([first])
    [landed] = lake.commit([second])
    assert landed.rows_count == 3
    assert landed.path is not None
    assert pl.read_parquet(landed.path).sort("interval_start_utc")["close_quote"].to_list() == [200.0, 100.0, 100.0]
    # The refused row that both tell of stands once.
    assert landed.quarantined_rows_count == 2
    assert landed.payloads == ("b" * 64,), "the earlier line names the others"
    other = replace(candles(hours=2, symbol="ETHUSDT"), adds_to_day=True)
    assert lake.commit([other])[0].rows_count == 5
    assert lake.commit([other])[0].rows_count == 5, "again is the same"


@given(looks=st.lists(st.sets(st.integers(0, 23), min_size=1), min_size=1, max_size=4), group_rows=st.integers(1, 30))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_day_added_to_in_pieces_has_the_bytes_of_the_whole(
    tmp_path: Path, candles: Candles, clock, looks: list[set[int]], group_rows: int
) -> None:
    day = candles(hours=24)
    one, other = (Lake(tmp_path / uuid4().hex, clock=clock, code_version="1.0") for _ in range(2))
    newest: dict[int, pl.DataFrame] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "GROUP_ROWS", group_rows)
        for look, hours in enumerate(looks):
            rows = day.rows[sorted(hours)].with_columns(payload_sha256=pl.lit(f"{look:064}"))
            newest |= {hour: rows[i : i + 1] for i, hour in enumerate(sorted(hours))}
            [added] = one.commit([replace(day, rows=rows, adds_to_day=True)])
        [whole] = other.commit([replace(day, rows=pl.concat(newest.values()))])
    assert (added.sha256, added.rows_count) == (whole.sha256, len(newest))


def test_the_first_look_of_a_day_is_the_day(lake: Lake, candles: Candles) -> None:
    batch = replace(candles(hours=2), adds_to_day=True)
    assert lake.commit([batch])[0].rows_count == 2
    assert lake.commit([replace(candles(day=date(2026, 1, 2), hours=1), adds_to_day=True)])[0].rows_count == 1


def test_a_damaged_day_is_not_added_to(lake: Lake, candles: Candles) -> None:
    [landed] = lake.commit([candles()])
    assert landed.path is not None
    landed.path.write_bytes(landed.path.read_bytes()[:-3])
    with pytest.raises(LakeError, match="land the day again"):
        lake.commit([replace(candles(hours=1), adds_to_day=True)])
    assert lake.position == 0


def test_rows_of_an_older_layout_are_added_to_where_what_is_new_may_be_missing(
    lake: Lake, candles: Candles, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = RAW_TABLES["candles"]
    kept = tuple(f for f in old.fields if f.name != "volume_base")
    older = replace(old, fields=kept, nullable=frozenset(), rules=())
    batch = candles(hours=3)
    with monkeypatch.context() as before:
        before.setitem(RAW_TABLES, "candles", older)
        lake.commit([replace(batch, rows=batch.rows.drop("volume_base"))])
    [landed] = lake.commit([replace(candles(hours=1, close=5.0), adds_to_day=True)])
    assert landed.path is not None
    assert pl.read_parquet(landed.path).sort("interval_start_utc")["volume_base"].to_list() == [1.5, None, None]
    with monkeypatch.context() as before:
        before.setitem(RAW_TABLES, "candles", older)
        lake.commit([replace(batch, rows=batch.rows.drop("volume_base"))])
    monkeypatch.setitem(RAW_TABLES, "candles", replace(old, nullable=frozenset()))
    with pytest.raises(LakeError, match="cannot stand beside"):
        lake.commit([replace(candles(hours=1), adds_to_day=True)])
