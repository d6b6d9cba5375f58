"""One budget per host for all who share a folder: never exceeded, never lost, free again after a killed process."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ccxt
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_doubles import HandClock, PayloadLake

from pipelines.sources.gate import HIGHEST_COST_MS, MOST_LANES, SLACK_MS, Gate, lanes_needed
from pipelines.sources.transport import Transport

HOST = "venue.example"
NOON = datetime(2025, 9, 2, 12)


class Seconds:
    """A clock that all gates of a test share."""

    def __init__(self, at: float = 1_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asks=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0.055, 0.1, 0.5, 1.0]), st.sampled_from([0.0, 0.001, 0.07, 2.0])),
        min_size=5,
        max_size=40,
    ),
    case=st.uuids(),
)
def test_no_window_holds_more_than_it_grants_and_the_slack(
    shared: Path, asks: list[tuple[int, float, float]], case: Any
) -> None:
    clock = Seconds()
    gates = [Gate(shared, monotonic=clock) for _ in range(4)]
    spent: list[tuple[float, float]] = []
    for which, cost_s, pause_s in asks:
        clock.at += pause_s
        while (wait_s := gates[which].spend(str(case), cost_s)) > 0:
            clock.at += wait_s
        spent.append((clock.at, cost_s))
    for begin, _ in spent:
        for end, last_cost_s in spent:
            inside = sum(cost for at, cost in spent if begin <= at <= end)
            # The last request of a window is paid for by the time after it.
            assert inside <= end - begin + last_cost_s + SLACK_MS / 1000 + 0.002 or end < begin


def test_four_who_ask_all_the_time_spend_all_that_is_granted(tmp_path: Path) -> None:
    clock = Seconds()
    gates = [Gate(tmp_path, monotonic=clock) for _ in range(4)]
    taken = 0
    while clock.at < 1_002.0:
        taken += sum(gate.spend(HOST, 0.1) == 0.0 for gate in gates)
        clock.at += 0.007
    assert 20 <= taken <= 22


def test_what_is_not_granted_is_not_taken(tmp_path: Path) -> None:
    clock = Seconds()
    gate = Gate(tmp_path, monotonic=clock)
    assert gate.spend(HOST, 1.0) == 0.0
    waits = {gate.spend(HOST, 1.0) for _ in range(50)}
    assert waits == {1.0 - SLACK_MS / 1000}
    clock.at += waits.pop()
    assert gate.spend(HOST, 1.0) == 0.0


def test_hosts_have_budgets_of_their_own_and_so_has_a_gate_without_a_folder(tmp_path: Path) -> None:
    clock = Seconds()
    for gate in (Gate(tmp_path, monotonic=clock), Gate(monotonic=clock)):
        assert [gate.spend(host, 1.0) > 0 for host in ("a", "b", "a", "b")] == [False, False, True, True]
    assert Gate(monotonic=clock).spend("a", 1.0) == 0.0


@pytest.mark.parametrize("left", ["", "{", "[1]", '{"spent_until_us": 9e18}'])
def test_a_state_that_no_clock_of_now_wrote_is_an_unspent_budget(tmp_path: Path, left: str) -> None:
    gate = Gate(tmp_path, monotonic=Seconds())
    gate.spend(HOST, 1.0)
    (tmp_path / f"{HOST}.budget").write_text(left)
    assert gate.spend(HOST, 1.0) == 0.0
    assert 0 < gate.spend(HOST, HIGHEST_COST_MS / 1000) < 1.0


_HOLDER = """
import sys, time
from pathlib import Path
from pipelines.sources.gate import Gate
gate = Gate(Path(sys.argv[1]))
assert gate.spend(sys.argv[2], 0.2) == 0.0
with gate.turn(sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_leaves_no_turn_held_and_no_budget_lost(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path), HOST], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        lock = FileLock(tmp_path / f"{HOST}.turn0.lock")
        with pytest.raises(TimeoutError):
            lock.acquire(blocking=False)
        process.send_signal(signal.SIGKILL)
        process.wait()
    gate = Gate(tmp_path)
    # It paid for one request of 0.2 s, and nothing else is gone.
    assert gate.spend(HOST, 0.2) <= 0.2
    with gate.turn(HOST):
        pass


def test_turns_are_as_many_as_lanes(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.turn(HOST, 2), gate.turn(HOST, 2):
        assert len(list(tmp_path.glob("*.turn?.lock"))) == 2


@pytest.mark.parametrize(
    ("answer_s", "cost_s", "lanes"),
    [(0.05, 0.1, 1), (0.05, 0.05, 2), (0.2, 0.05, MOST_LANES), (9.0, 0.0, 1), (0.0, 0.1, 1), (9.0, 0.05, MOST_LANES)],
)
def test_one_request_is_under_way_while_answers_are_fast_enough(answer_s: float, cost_s: float, lanes: int) -> None:
    assert lanes_needed(answer_s, cost_s) == lanes


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_429_that_comes_in_after_a_ban_does_not_shorten_it(tmp_path: Path, is_shared: bool) -> None:
    gate = Gate(tmp_path if is_shared else None)
    gate.block(HOST, NOON + timedelta(seconds=300), "banned")
    gate.block(HOST, NOON + timedelta(seconds=5), "rate_limited")
    assert gate.blocked(HOST) == (NOON + timedelta(seconds=300), "banned")
    gate.block(HOST, NOON + timedelta(seconds=400), "rate_limited")
    assert gate.blocked(HOST) == (NOON + timedelta(seconds=400), "rate_limited")


def test_ccxt_says_the_price_and_the_gate_paces_alone(tmp_path: Path) -> None:
    exchange = ccxt.binanceusdm({"enableRateLimit": True})
    clock = Seconds()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.at += seconds

    # Two processes, each with a ccxt of its own, would pace apart; through one gate they pace together.
    other = ccxt.binanceusdm({"enableRateLimit": True})
    for one in (exchange, other):
        Transport(
            one,
            PayloadLake(),
            clock=HandClock(NOON),
            venue="binance",
            gate=Gate(tmp_path, monotonic=clock),
            sleep=sleep,
        )
        one.session = None
    klines = {"symbol": "BTCUSDT", "interval": "1h", "limit": 1500}
    for one in (exchange, other, exchange):
        with pytest.raises(AttributeError):  # the session is gone: only what comes before it is looked at
            one.fapiPublicGetKlines(klines)
    # A page of 1,500 candles weighs 10, at 50 ms each.
    assert exchange.rateLimit * 10 == 500
    assert waits == [pytest.approx(0.45), pytest.approx(0.5)]
