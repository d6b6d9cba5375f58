"""Public figures over HTTP: bodies kept, blocks obeyed, every way of failing told apart, nothing of a secret in a message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
from publisher_clients import PublisherBench
from source_doubles import HandClock, PayloadLake

from assets.lake.transform import batches_of
from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault
from pipelines.sandbox.feeds import fear_greed
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.alternative_me import AlternativeMe
from pipelines.sources.door import RetryPolicy
from pipelines.sources.gate import Gate
from pipelines.sources.publishers import PUBLISHERS, publisher_class
from quality.schemas.raw import RAW_TABLES

NOW = datetime(2025, 9, 2, 12, 0)
DAY = NOW.date()


@pytest.fixture(scope="module")
def world() -> World:
    return World(1, date(2025, 9, 1), 3, assets=("SOL",))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, *rules: Fault, **more: Any) -> PublisherBench:
    return PublisherBench(sandbox, "alternative_me", NOW, *rules, **more)


def _outage(bench: PublisherBench) -> SourceOutage:
    with pytest.raises(SourceOutage) as caught:
        bench.client.fetch("sentiment", DAY, DAY)
    return caught.value


def test_the_index_is_the_worlds_up_to_now(sandbox: Sandbox, world: World) -> None:
    bench = _bench(sandbox)
    capture = bench.client.fetch("sentiment", DAY, DAY)
    truth = {day: float(points) for day, points in fear_greed(world).items() if day <= DAY}
    assert dict(capture.rows.select("sentiment_date_utc", "sentiment_index").rows()) == truth
    assert capture.rows.height == len(truth) == 62
    (sha,) = capture.payloads
    assert hashlib.sha256(bench.lake.payloads[sha]).hexdigest() == sha
    assert set(capture.rows["payload_sha256"]) == {sha}
    assert bench.lake.requests == ["GET http://127.0.0.1/fng/?limit=0&format=json"]
    assert capture.origin_note == bench.lake.requests[0]


def test_figures_land_whole_under_the_capture_day(sandbox: Sandbox) -> None:
    capture = _bench(sandbox).client.fetch("sentiment", DAY, DAY)
    (batch,) = batches_of(
        capture, dataset="sentiment", venue="alternative_me", source="publisher", days=[DAY], now=NOW, is_synthetic=True
    )
    assert (batch.key.day, batch.rows.height, batch.rejected.height) == (DAY, 62, 0)


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json", "broken_off"])
def test_passing_failures_are_asked_again(sandbox: Sandbox, kind: Any) -> None:
    bench = _bench(sandbox, Fault(kind, times=2))
    assert bench.client.fetch("sentiment", DAY, DAY).rows.height == 62
    assert bench.clock.slept == [0.5, 1.0]


@pytest.mark.parametrize(
    ("kind", "code", "cause", "asked"),
    [
        ("error", "venue_error", "server_error", 3),
        ("torn", "venue_error", "not_readable", 3),
        ("page_not_json", "venue_error", "not_readable", 3),
        ("broken_off", "unreachable", "broken_off", 3),
        ("banned", "banned", "banned", 1),
        ("forbidden", "banned", "banned", 1),
        ("geoblocked", "geoblocked", "geoblocked", 1),
        ("rate_limited", "rate_limited", "rate_limited", 3),
    ],
)
def test_lasting_failures_are_told_apart(sandbox: Sandbox, kind: Any, code: str, cause: str, asked: int) -> None:
    bench = _bench(sandbox, Fault(kind, times=99), policy=RetryPolicy(attempts_count=3))
    outage = _outage(bench)
    assert (outage.code, outage.cause, len(sandbox.requests)) == (code, cause, asked)
    assert str(outage).startswith("alternative_me ")
    assert "/fng/" in str(outage) and "\n" not in str(outage)


def test_retry_after_is_waited_out_and_a_long_one_blocks_the_host(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, Fault("rate_limited", times=2, retry_after_s=17))
    bench.client.fetch("sentiment", DAY, DAY)
    assert bench.clock.slept == [17.0, 17.0]
    bench = _bench(sandbox, Fault("rate_limited", retry_after_s=600))
    for _ in range(3):
        assert _outage(bench).code == "rate_limited"
    assert (len(sandbox.requests), bench.clock.slept) == (1, [])


def test_a_ban_holds_for_every_client_of_the_gate(sandbox: Sandbox) -> None:
    gate = Gate()
    bench = _bench(sandbox, Fault("banned", retry_after_s=300), gate=gate)
    assert _outage(bench).code == "banned"
    other = AlternativeMe(PayloadLake(), clock=HandClock(NOW), is_synthetic=True, base_url=sandbox.base_url, gate=gate)
    with pytest.raises(SourceOutage, match="is not asked before 2025-09-02 12:05:00 UTC"):
        other.fetch("sentiment", DAY, DAY)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda _: {"data": []}, "holds no list `data`"),
        (lambda _: {"figures": [1]}, "holds no list `data`"),
        (lambda _: [], "holds no list `data`"),
        (lambda body: {**body, "metadata": {"error": "down\nfor <b>repair</b>"}}, "says"),
    ],
)
def test_another_shape_is_a_loud_outage_and_is_not_asked_again(sandbox: Sandbox, spoil: Any, says: str) -> None:
    outage = _outage(_bench(sandbox, spoiled=spoil))
    assert (outage.code, outage.cause) == ("venue_error", "wrong_shape")
    assert says in str(outage) and "\n" not in str(outage)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": "-1"}, "index_out_of_range"),
        ({"value": "101"}, "index_out_of_range"),
        ({"value": "n/a"}, "missing_value"),
        ({"value": None}, "missing_value"),
        ({"value": "NaN"}, "not_finite"),
        ({"timestamp": "soon"}, "missing_value"),
        ({"timestamp": "1e99"}, "missing_value"),
        ({"timestamp": "4000000000"}, "clock_in_future"),
    ],
)
def test_a_bad_figure_is_refused_with_its_reason_and_the_others_stand(
    sandbox: Sandbox, change: dict[str, Any], reason: str
) -> None:
    def spoil(body: Any) -> Any:
        body["data"][3].update(change)
        return body

    capture = _bench(sandbox, spoiled=spoil).client.fetch("sentiment", DAY, DAY)
    good, refused = RAW_TABLES["sentiment"].split(capture.rows, now=NOW)
    assert good.height == 61
    assert refused["reason"].to_list() == [reason]


def test_every_publisher_offers_datasets_that_exist() -> None:
    for venue, datasets in PUBLISHERS.items():
        assert publisher_class(venue).venue == venue
        assert set(datasets) <= set(RAW_TABLES)


def test_a_foreign_host_is_never_called_synthetic() -> None:
    with pytest.raises(ValueError, match="synthetic records come from loopback"):
        AlternativeMe(PayloadLake(), clock=HandClock(NOW), is_synthetic=True)
    with pytest.raises(ValueError, match="must be https"):
        AlternativeMe(PayloadLake(), clock=HandClock(NOW), is_synthetic=False, base_url="http://mirror.example.com")
