"""From segments to rows: values, sides and units equal the market's truth, repeats count once, what was not heard is a gap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from collected import CONTRACT_BASE, SYMBOLS, VENUES, Tape, listing_lake, order, wire

from assets.lake.transform import batches_of_recording
from assets.ports import RawBatch, Recording
from pipelines.collector.landing import Recordings, days_touched
from pipelines.collector.segments import recover, sealed_segments
from pipelines.lake.store import Lake
from pipelines.sandbox.streams import SERVED, ForcedOrder, streams_of_world
from pipelines.sandbox.world import World

DAY = date(2026, 3, 10)
START = datetime.combine(DAY, time())
NEXT = START + timedelta(days=1)
NOW = NEXT + timedelta(hours=3)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collector"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return listing_lake(tmp_path / "lake", NOW)


def whole_day(folder: Path, stream: str, texts: Sequence[str] = ()) -> None:
    """Record a stream from the day before to the day after without a gap; what it says comes at noon."""
    tape = Tape(folder, START - HOUR).gap(stream, START - 24 * HOUR, START - HOUR)
    tape.at(START + 12 * HOUR).say(stream, texts)
    tape.at(NEXT + SECOND).beat(stream)
    tape.at(NEXT + HOUR).journal.close()


def landed(folder: Path, lake: Lake, venue: str, day: date = DAY) -> tuple[Recording, list[RawBatch]]:
    recording = Recordings(folder, lake, is_synthetic=True).of_day(venue, day)
    assert recording is not None
    batches = batches_of_recording(recording, venue=venue, source="collector", day=day, now=NOW, is_synthetic=True)
    lake.commit(batches)
    assert lake.verify() == []
    return recording, batches


def gaps(batches: Sequence[RawBatch]) -> list[tuple[str, datetime, datetime, str]]:
    return batches[1].rows.select("stream", "gap_start_utc", "gap_end_utc", "gap_reason").rows()


@pytest.fixture(scope="module")
def world() -> World:
    return World(11, DAY - timedelta(days=1), 3, ("BTC", "ETH", "SOL"), DAY)


@pytest.mark.parametrize("stream", sorted(SERVED))
def test_rows_equal_the_worlds_own_liquidations(stream: str, world: World, folder: Path, lake: Lake) -> None:
    played = streams_of_world(world, NEXT)
    shown = [o for o in played.shown(stream) if datetime(1970, 1, 1) + timedelta(milliseconds=o.at_ms) >= START]
    # Each trader has an account at one venue; the smallest here, coin-margined, sees eleven of them closed.
    assert len(shown) > 10
    whole_day(folder, stream, wire(stream, *shown))
    recording, batches = landed(folder, lake, VENUES[stream])
    assert recording.is_sealed
    rows = batches[0].rows
    assert batches[0].rejected.is_empty()
    keys = [
        (r["venue_symbol"], r["occurred_at_utc"], r["position_side"], r["order_price_quote"]) for r in rows.to_dicts()
    ]
    truth = {
        (
            SYMBOLS[stream].format(o.asset),
            datetime(1970, 1, 1) + timedelta(milliseconds=o.at_ms),
            o.position_side,
            o.price_quote,
        ): o
        for o in shown
    }
    assert sorted(keys) == sorted(truth)
    for row in rows.iter_rows(named=True):
        told = truth[(row["venue_symbol"], row["occurred_at_utc"], row["position_side"], row["order_price_quote"])]
        step = _step_base(stream, told)
        assert row["quantity_base"] == pytest.approx(told.quantity_base, rel=1e-9, abs=step / 2 + 1e-12) or (
            row["quantity_base"] == pytest.approx(step)  # never below one contract
        )
        assert row["notional_usd"] == pytest.approx(row["quantity_base"] * told.price_quote, rel=1e-9)
        assert row["asset"] == told.asset


def _step_base(stream: str, told: ForcedOrder) -> float:
    """Return the smallest quantity that the stream can tell, in coins."""
    if stream == "okx":
        return CONTRACT_BASE[told.asset]
    usd = {"binance_coinm": 100.0 if told.asset == "BTC" else 10.0, "bybit_inverse": 1.0}.get(stream)
    return 0.0 if usd is None else usd / told.price_quote


def test_a_repeat_after_a_reconnect_counts_once_and_is_not_refused(folder: Path, lake: Lake) -> None:
    told = [order(START + 12 * HOUR + i * SECOND, base=1.0 + i) for i in range(5)]
    tape = Tape(folder, START - HOUR).gap("okx", START - 24 * HOUR, START - HOUR)
    tape.at(START + 12 * HOUR + 5 * SECOND).say("okx", wire("okx", *told))
    tape.at(START + 13 * HOUR).gap("okx", START + 12 * HOUR + 6 * SECOND, START + 13 * HOUR, "silence")
    tape.say("okx", wire("okx", *told[2:]))
    tape.at(NEXT + SECOND).beat("okx")
    tape.journal.close()
    _, batches = landed(folder, lake, "okx")
    assert (batches[0].rows.height, batches[0].rejected.height) == (5, 0)
    assert gaps(batches) == [("okx", START + 12 * HOUR + 6 * SECOND, START + 13 * HOUR, "silence")]
    again = landed(folder, lake, "okx")[1]
    assert [b.rows.to_dicts() for b in again] == [b.rows.to_dicts() for b in batches]


def test_a_row_belongs_to_the_day_of_the_venues_clock(folder: Path, lake: Lake) -> None:
    late, early = order(NEXT - SECOND / 2, base=2), order(NEXT + SECOND / 2, base=3)
    tape = Tape(folder, START - HOUR).gap("okx", START - 24 * HOUR, START - HOUR)
    tape.at(NEXT - SECOND / 4).say("okx", wire("okx", early))
    tape.at(NEXT + HOUR).say("okx", wire("okx", late))
    tape.at(NEXT + 24 * HOUR + SECOND).beat("okx").journal.close()
    assert landed(folder, lake, "okx")[1][0].rows["quantity_base"].to_list() == [2.0]
    assert landed(folder, lake, "okx", DAY + timedelta(days=1))[1][0].rows["quantity_base"].to_list() == [3.0]


def test_what_is_told_days_later_is_refused_and_not_lost(folder: Path, lake: Lake) -> None:
    whole_day(folder, "okx", wire("okx", order(START - 30 * HOUR)))
    _, batches = landed(folder, lake, "okx")
    assert batches[0].rejected["reason"].to_list() == ["told_out_of_time"]


def test_what_cannot_be_read_is_refused_with_its_reason_and_contracts_that_are_not_followed_are_counted(
    folder: Path, lake: Lake
) -> None:
    good = wire("okx", order(START + 12 * HOUR))
    bad_side = good[0].replace('"sell"', '"sideways"')
    other = good[0].replace("BTC-USDT-SWAP", "HYPE-USDT-SWAP")
    whole_day(
        folder, "okx", [*good, good[0][:40], '{"channel":"news"}', bad_side, other, "pong", '{"event":"subscribe"}']
    )
    recording, batches = landed(folder, lake, "okx")
    assert batches[0].rows.height == 1
    assert batches[0].rejected["reason"].to_list() == ["not_json", "unknown_message", "unknown_side"]
    assert recording.not_followed_count == 1
    assert "1 not followed" in recording.liquidations.origin_note


def test_the_payload_of_a_row_is_its_segment(folder: Path, lake: Lake) -> None:
    whole_day(folder, "okx", wire("okx", order(START + 12 * HOUR)))
    _, batches = landed(folder, lake, "okx")
    (sha256,) = batches[0].rows["payload_sha256"].to_list()
    assert lake.payload(sha256) in [path.read_bytes() for path in sealed_segments(folder)]


def test_a_day_is_open_until_every_stream_has_passed_it(folder: Path, lake: Lake) -> None:
    tape = Tape(folder, START - HOUR)
    for stream in ("bybit_linear", "bybit_inverse"):
        tape.gap(stream, START - 24 * HOUR, START - HOUR)
    tape.at(START + 20 * HOUR).beat("bybit_inverse")
    tape.at(NEXT + SECOND).beat("bybit_linear").journal.close()
    recording, batches = landed(folder, lake, "bybit")
    assert not recording.is_sealed
    assert recording.liquidations.origin_note.startswith("partial: bybit_inverse not sealed")
    assert gaps(batches) == [("bybit_inverse", START + 20 * HOUR, NEXT, "not_sealed")]
    Tape(folder, NEXT + 2 * SECOND, recover(folder)).beat("bybit_inverse").journal.close()
    recording, batches = landed(folder, lake, "bybit")
    assert recording.is_sealed
    assert gaps(batches) == []
    keys = [g for g in lake.generations() if g.key.dataset == "stream_gaps"]
    assert [g.rows_count for g in keys] == [1, 0]


def test_gaps_are_cut_at_midnight_and_never_overlap(folder: Path, lake: Lake) -> None:
    tape = Tape(folder, START - HOUR).gap("okx", START - 24 * HOUR, START - HOUR)
    tape.at(START + HOUR).gap("okx", START - HOUR, START + HOUR, "collector_killed")
    tape.gap("okx", START + HOUR / 2, START + HOUR, "silence")
    tape.at(START + 23 * HOUR).beat("okx")
    tape.at(NEXT + HOUR).gap("okx", START + 23 * HOUR, NEXT + HOUR, "unreachable").journal.close()
    assert gaps(landed(folder, lake, "okx")[1]) == [
        ("okx", START, START + HOUR, "collector_killed"),
        ("okx", START + 23 * HOUR, NEXT, "unreachable"),
    ]


def test_a_day_without_a_recording_claims_nothing(folder: Path, lake: Lake) -> None:
    whole_day(folder, "okx")
    recordings = Recordings(folder, lake, is_synthetic=True)
    assert recordings.of_day("okx", DAY) is not None
    assert recordings.of_day("bybit", DAY) is None
    assert recordings.of_day("okx", DAY - timedelta(days=5)) is None
    assert recordings.of_day("okx", DAY + timedelta(days=5)) is None
    assert Recordings(folder / "none", lake, is_synthetic=True).of_day("okx", DAY) is None


def test_the_day_before_the_first_start_is_not_called_calm(folder: Path, lake: Lake) -> None:
    tape = Tape(folder, NEXT + HOUR).gap("okx", NEXT, NEXT + HOUR)
    tape.journal.close()
    assert Recordings(folder, lake, is_synthetic=True).of_day("okx", DAY) is None


def test_records_that_are_missing_from_a_damaged_segment_are_a_gap(folder: Path, lake: Lake) -> None:
    whole_day(folder, "okx", wire("okx", *(order(START + 12 * HOUR, base=1.0 + i) for i in range(5))))
    damaged = sealed_segments(folder)[1]
    body = bytearray(damaged.read_bytes())
    body[len(body) // 2] ^= 1
    damaged.write_bytes(bytes(body))
    _, batches = landed(folder, lake, "okx")
    assert [(g[0], g[2], g[3]) for g in gaps(batches)] == [("okx", NEXT, "segment_damaged")]


def test_a_sealed_segment_names_the_days_it_may_change(folder: Path) -> None:
    tape = Tape(folder, START + 12 * HOUR).gap("okx", START - 30 * HOUR, START + 12 * HOUR, "collector_stopped")
    tape.at(NEXT + HOUR / 2).beat("okx").journal.close()
    first, second = sealed_segments(folder)
    assert days_touched(first) == {DAY - timedelta(days=2), DAY - timedelta(days=1), DAY}
    assert days_touched(second) == {DAY, DAY + timedelta(days=1)}
