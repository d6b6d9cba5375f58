"""Public figures over HTTP: bodies kept, blocks obeyed, every way of failing told apart, nothing of a secret in a message."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from publisher_clients import PublisherBench
from pydantic import SecretStr
from source_doubles import HandClock, PayloadLake

from assets.lake.transform import batches_of
from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault
from pipelines.sandbox.feeds import fear_greed
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.door import RetryPolicy
from pipelines.sources.gate import Gate
from pipelines.sources.publishers.alternative_me import AlternativeMe
from pipelines.sources.publishers.registry import PUBLISHERS, publisher_class
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


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 410])
def test_a_page_that_moved_or_is_gone_is_a_loud_outage_and_no_redirect_is_followed(
    sandbox: Sandbox, status: int
) -> None:
    bench = _bench(sandbox)
    answers = iter([(status, {"location": "http://127.0.0.1:9/elsewhere"}, b"<html>\nno</html>", True)])
    bench.client._sent = lambda *_: next(answers)  # type: ignore[method-assign]  # what comes over the wire, made up
    outage = _outage(bench)
    assert (outage.code, outage.cause) == ("venue_error", "refused")
    assert f"answered {status}" in str(outage)
    assert ("its address has changed" in str(outage)) == (status < 400)
    assert "9/elsewhere" not in str(outage) and "<html>" not in str(outage)


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


@pytest.mark.trial("mutated_published_bodies")
def test_a_mutated_body_gives_rows_or_a_clear_outage_and_nothing_else(
    sandbox: Sandbox, trial_count: Callable[..., int]
) -> None:
    rng = np.random.Generator(np.random.PCG64(11))
    told: set[tuple[str, str]] = set()
    cases = [("alternative_me", {}), ("us_treasury", {}), ("fred", {}), ("fred", {"api_key": SecretStr("0" * 32)})]
    asked = [(v, d, more) for v, more in cases for d in PUBLISHERS[v] if d != "macro_releases" or more]
    for i in range(trial_count(4_000, 120)):
        venue, dataset, more = asked[i % len(asked)]
        bench = PublisherBench(sandbox, venue, NOW, policy=RetryPolicy(attempts_count=1), **more)
        send, chosen, count = bench.client._sent, int(rng.integers(0, 3)), [0]

        def spoiled(request: Any, url: str, send: Any = send, chosen: int = chosen, count: list[int] = count) -> Any:
            status, headers, body, is_whole = send(request, url)
            count[0] += 1
            return status, headers, _mutated(body, rng) if count[0] == chosen + 1 else body, is_whole

        bench.client._sent = spoiled  # type: ignore[method-assign]  # what comes over the wire, spoiled on its way
        found = _rows_or_outage(bench, dataset)
        if isinstance(found, SourceOutage):
            told.add((found.code, found.cause))
            assert "\n" not in str(found) and len(str(found)) < 700
            continue
        good, refused = RAW_TABLES[dataset].split(found, now=NOW)
        assert good.height + refused.height == found.height
    assert told <= {("venue_error", "not_readable"), ("venue_error", "wrong_shape")}


def _rows_or_outage(bench: PublisherBench, dataset: str) -> pl.DataFrame | SourceOutage:
    try:
        return bench.client.fetch(dataset, DAY, DAY).rows
    except SourceOutage as outage:
        return outage


def _mutated(body: bytes, rng: np.random.Generator) -> bytes:
    """Return a body with bytes flipped, a piece cut out, doubled, or put in the place of another."""
    data, kind = bytearray(body), int(rng.integers(0, 6))
    first, last = sorted(int(n) for n in rng.integers(0, len(data), 2))
    if kind == 0:
        data[first] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:
        del data[first:last]
    elif kind == 2:
        data[first:first] = data[first : min(last, first + 200)]
    elif kind == 3:
        data = data[:first]
    elif kind == 4:
        data[first : first + 4] = rng.bytes(4)
    else:
        words = (b"null", b"[]", b"{}", b"1e999", b"-", b"NaN", b"\x00", "９".encode(), b",", b'"', b"true")
        data[first : first + 3] = words[int(rng.integers(0, len(words)))]
    return bytes(data)
