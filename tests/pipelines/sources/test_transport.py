"""Bodies are kept, `Retry-After` is obeyed, and ban, geoblock, rate limit and outage are told apart."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from source_doubles import HandClock, PayloadLake

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault, Faults
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.chains.addresses import checked_base_url, is_loopback, redacted, rehosted
from pipelines.sources.door import RetryPolicy
from pipelines.sources.gate import Gate
from pipelines.sources.transport import Transport

NOW = datetime(2025, 9, 2, 12, 0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(1, date(2025, 9, 1), 2, assets=("SOL",))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


class Bench:
    """A transport over the real ccxt client, aimed at a base URL."""

    def __init__(self, base_url: str, clock: HandClock, gate: Gate | None = None, **policy: Any) -> None:
        import ccxt

        self.exchange = ccxt.binanceusdm({"enableRateLimit": False, "timeout": 2_000})
        self.exchange.urls["api"] = {k: rehosted(v, base_url) for k, v in self.exchange.urls["api"].items()}
        self.lake, self.clock = PayloadLake(), clock
        self.url = f"{base_url}/fapi/v1/time"
        self.transport = Transport(
            self.exchange,
            self.lake,  # type: ignore[arg-type]  # a double or a wrong type, on purpose
            clock=clock,
            venue="binance",
            policy=RetryPolicy(**policy),
            gate=gate,
            sleep=clock.sleep,
        )

    def time(self) -> Any:
        return self.transport.call(self.exchange.fapiPublicGetTime, url=self.url)


def _bench(sandbox: Sandbox, *rules: Fault, **policy: Any) -> Bench:
    sandbox.restart(now=NOW, faults=Faults(rules))
    return Bench(sandbox.base_url, HandClock(NOW), **policy)


def test_the_body_is_kept_byte_for_byte_and_named_by_its_hash(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    answer = bench.time()
    assert answer.payload_sha256 == hashlib.sha256(bench.lake.payloads[answer.payload_sha256]).hexdigest()
    assert bench.lake.payloads[answer.payload_sha256] == b'{"serverTime":1756814400000}'
    assert answer.value == {"serverTime": 1756814400000}
    assert bench.lake.requests == ["GET http://127.0.0.1/fapi/v1/time"]


def test_bodies_of_failed_attempts_are_kept_too(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, Fault("error"), Fault("torn", first=2))
    bench.time()
    assert len(bench.lake.payloads) == 3


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json"])
def test_passing_failures_are_retried_with_doubling_waits(sandbox: Sandbox, kind: Any) -> None:
    bench = _bench(sandbox, Fault(kind, times=3))
    assert bench.time().value["serverTime"] > 0
    assert bench.clock.slept == [0.5, 1.0, 2.0]
    assert len(sandbox.requests) == 4


@pytest.mark.parametrize("kind", ["error", "torn", "page_not_json"])
def test_lasting_failures_become_a_venue_error_after_the_last_attempt(sandbox: Sandbox, kind: Any) -> None:
    bench = _bench(sandbox, Fault(kind, times=99), attempts_count=3)
    with pytest.raises(SourceOutage) as caught:
        bench.time()
    assert caught.value.code == "venue_error"
    assert len(sandbox.requests) == 3
    assert "/fapi/v1/time" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_retry_after_of_a_rate_limit_is_waited_out_exactly(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, Fault("rate_limited", times=2, retry_after_s=17))
    bench.time()
    assert bench.clock.slept == [17.0, 17.0]
    assert [s.status for s in sandbox.requests] == [429, 429, 200]


def test_a_retry_after_beyond_the_cap_gives_up_and_later_calls_stay_away(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, Fault("rate_limited", retry_after_s=600), retry_after_cap_s=90.0)
    for _ in range(3):
        with pytest.raises(SourceOutage) as caught:
            bench.time()
        assert caught.value.code == "rate_limited"
    assert (len(sandbox.requests), bench.clock.slept) == (1, [])
    bench.clock.instant += timedelta(seconds=550)
    assert bench.time().value["serverTime"] > 0
    assert bench.clock.slept == [50.0], "the rest of the wait is short enough to wait out"


def test_a_fixed_clock_does_not_wait_for_ever(world: World) -> None:
    with serve(world, now=NOW, faults=Faults((Fault("rate_limited", retry_after_s=3),))) as sandbox:
        clock, waits = HandClock(NOW), []
        bench = Bench(sandbox.base_url, clock)
        bench.transport._door._sleep = waits.append
        assert bench.time().value["serverTime"] > 0
        assert bench.time().value["serverTime"] > 0
    assert waits == [3.0]


@pytest.mark.parametrize("kind", ["banned", "forbidden"])
def test_nothing_is_asked_inside_a_ban(sandbox: Sandbox, kind: Any) -> None:
    bench = _bench(sandbox, Fault(kind, retry_after_s=300))
    for _ in range(5):
        with pytest.raises(SourceOutage) as caught:
            bench.time()
        assert caught.value.code == "banned"
        bench.clock.instant += timedelta(seconds=20)
    assert (len(sandbox.requests), bench.clock.slept) == (1, [])
    bench.clock.instant += timedelta(seconds=300)
    assert bench.time().value["serverTime"] > 0


def test_a_geoblock_is_its_own_code_and_is_not_retried(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, Fault("geoblocked", times=9))
    with pytest.raises(SourceOutage) as caught:
        bench.time()
    assert caught.value.code == "geoblocked"
    assert len(sandbox.requests) == 1


def test_a_wrong_request_is_a_venue_error_with_the_venues_words(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    with pytest.raises(SourceOutage, match="400 -1121: Invalid symbol") as caught:
        bench.transport.call(lambda: bench.exchange.fapiPublicGetDepth({"symbol": "NOPE"}), url=bench.url)
    assert caught.value.code == "venue_error"
    assert len(sandbox.requests) == 1


def test_a_host_that_does_not_listen_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bench = Bench(f"http://127.0.0.1:{port}", HandClock(NOW), attempts_count=2)
    with pytest.raises(SourceOutage, match="could not be reached") as caught:
        bench.time()
    assert caught.value.code == "unreachable"
    assert bench.clock.slept == [0.5]


def test_a_host_that_never_answers_times_out_as_unreachable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        bench = Bench(f"http://127.0.0.1:{silent.getsockname()[1]}", HandClock(NOW), attempts_count=1)
        bench.exchange.timeout = 50
        with pytest.raises(SourceOutage, match="timed out") as caught:
            bench.time()
    assert caught.value.code == "unreachable"


def test_a_parser_that_breaks_on_a_new_shape_is_a_venue_error(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    with pytest.raises(SourceOutage, match="shape ccxt cannot parse") as caught:
        bench.transport.call(lambda: bench.exchange.fapiPublicGetTime()["nope"], url=bench.url)
    assert caught.value.code == "venue_error"


def test_our_own_failures_are_not_called_the_venues(sandbox: Sandbox) -> None:
    def full(body: bytes, request: str) -> str:
        raise OSError(28, "No space left on device")

    bench = _bench(sandbox)
    bench.lake.save_payload = full  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No space left"):
        bench.time()


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        ("Tue, 02 Sep 2025 12:00:30 GMT", 30.0),
        ("Tue, 02 Sep 2025 11:00:00 GMT", 0.0),
        ("soon", 60.0),
        ("", 60.0),
        ("-5", 60.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, wait_s: float) -> None:
    bench = Bench("http://127.0.0.1:1", HandClock(NOW))
    assert bench.transport._door._retry_after_s({"retry-after": header}, 60.0) == wait_s


@pytest.mark.parametrize("kind", ["error", "geoblocked", "banned", "rate_limited"])
def test_no_secret_of_a_url_reaches_a_message_a_request_a_file_or_a_traceback(
    sandbox: Sandbox, tmp_path: Path, kind: Any
) -> None:
    canary = "c4n4ry"
    sandbox.restart(now=NOW, faults=Faults((Fault(kind, times=99),)))
    bench = Bench(sandbox.base_url, HandClock(NOW), Gate(tmp_path), attempts_count=2)
    with pytest.raises(SourceOutage) as caught:
        bench.transport.call(
            lambda: bench.exchange.fapiPublicGetTime({"apiKey": canary, "signature": canary}),
            url=f"http://user:{canary}@127.0.0.1/fapi/v1/time?token={canary}",
        )
    assert canary not in "".join(traceback.format_exception(caught.value)) + "".join(bench.lake.requests)
    assert "apiKey=withheld" in bench.lake.requests[0]
    assert all(canary not in path.name + path.read_text() for path in tmp_path.iterdir())


def test_redacted_shows_what_was_asked_and_nothing_else() -> None:
    url = "GET https://me:pw@fapi.binance.com:8443/fapi/v1/klines?symbol=BTCUSDT&limit=5&key=S#frag"
    assert redacted(url) == "GET https://fapi.binance.com/fapi/v1/klines?symbol=BTCUSDT&limit=5&key=withheld"
    assert redacted("https://[::1]:99/x") == "https://[::1]/x"
    assert redacted("/fapi/v1/klines") == "/fapi/v1/klines"


@pytest.mark.parametrize(
    ("url", "is_synthetic"),
    [("http://127.0.0.1:80", False), ("https://example.org", True), ("http://example.org", False), (None, True)]
    + [(f"https://example.org{tail}", False) for tail in ("/path", "?a=b", "#f")]
    + [("https://me:pw@example.org", False), ("ftp://example.org", False), ("example.org", False), ("", False)]
    + [("http://localhost.example.org", True), ("http://127.0.0.1.example.org", True), ("http://0.0.0.0", True)],
)
def test_base_urls_that_would_mix_worlds_or_leak_are_refused(url: str | None, is_synthetic: bool) -> None:
    with pytest.raises(ValueError, match="binance"):
        checked_base_url(url, is_synthetic=is_synthetic, source="binance")


@pytest.mark.parametrize(
    ("url", "is_synthetic"),
    [
        ("http://127.0.0.1:80", True),
        ("http://[::1]:80/", True),
        ("http://localhost:1", True),
        ("https://gateway.example.org", False),
        (None, False),
    ],
)
def test_base_urls_that_are_fit_are_returned(url: str | None, is_synthetic: bool) -> None:
    assert checked_base_url(url, is_synthetic=is_synthetic, source="binance") == url


def test_loopback_is_recognised_by_address() -> None:
    assert [is_loopback(h) for h in ("127.9.9.9", "::1", "localhost", None, "10.0.0.1", "x")] == [True] * 3 + [
        False
    ] * 3


def test_a_shared_gate_keeps_other_transports_out_of_a_ban(world: World, tmp_path: Path) -> None:
    with serve(world, now=NOW, faults=Faults((Fault("banned", first=5, retry_after_s=300),))) as sandbox:
        benches = [Bench(sandbox.base_url, HandClock(NOW), Gate(tmp_path)) for _ in range(4)]

        codes: list[str] = []

        def storm(bench: Bench) -> None:
            for _ in range(10):
                try:
                    bench.time()
                except SourceOutage as outage:
                    codes.append(outage.code)

        threads = [threading.Thread(target=storm, args=(bench,)) for bench in benches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [s.status for s in sandbox.requests] == [200] * 4 + [418]
    assert codes == ["banned"] * 36


def test_a_request_is_sent_while_its_host_is_held(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.restart(now=NOW)
    bench = Bench(sandbox.base_url, HandClock(NOW), Gate(tmp_path))
    tried: list[str] = []
    send = bench.exchange.session.send

    def watched(*args: Any, **kwargs: Any) -> Any:
        lock = next(tmp_path.glob("*.lock"))
        with pytest.raises(Timeout), FileLock(lock, timeout=0):
            pass
        tried.append(lock.name)
        return send(*args, **kwargs)

    bench.exchange.session.send = watched
    bench.time()
    assert len(tried) == 1
    with FileLock(tmp_path / tried[0], timeout=0):
        pass


_STORM = """
import sys
from datetime import datetime
from pathlib import Path
from assets.ports import SourceOutage
from pipelines.sources.exchanges.binance import BinanceUsdm
from pipelines.sources.gate import Gate

class Clock:
    def now(self):
        return datetime(2025, 9, 2, 12, 0)

class Lake:
    def save_payload(self, body, request):
        return "0" * 64

client = BinanceUsdm(Lake(), clock=Clock(), base_url=sys.argv[1], universe=("SOL",), is_synthetic=True,
                     gate=Gate(Path(sys.argv[2])))
for _ in range(20):
    try:
        client.probe()
    except SourceOutage as outage:
        assert outage.code == "banned", outage.code
"""


def test_four_processes_send_nothing_inside_a_ban(world: World, tmp_path: Path) -> None:
    with serve(world, now=NOW, faults=Faults((Fault("banned", first=7, retry_after_s=300),))) as sandbox:
        command = [sys.executable, "-c", _STORM, sandbox.base_url, str(tmp_path)]
        running = [subprocess.Popen(command) for _ in range(4)]
        assert [process.wait(timeout=120) for process in running] == [0] * 4
    assert [s.status for s in sandbox.requests] == [200] * 6 + [418]
