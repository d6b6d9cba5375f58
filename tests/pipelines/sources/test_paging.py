"""No gap, no duplicate at a page edge: twelve kinds of server x windows, and a raise where completeness is impossible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipelines.sources.paging import FAR_FUTURE_MS, PagingFault, Range, fetch_range

pytestmark = pytest.mark.fast

HOUR = 3_600_000
BASE = 1_750_000_000_000 // HOUR * HOUR

Record = tuple[int, str]


@dataclass
class Server:
    """A venue with records on an hourly grid, some hours missing by nature, and one bad habit."""

    kind: str
    times: list[int]
    cap: int
    honours_until: bool = True
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    floor_hours: int = 3
    late: frozenset[int] = frozenset()
    retention_from: int = 0
    asked: int = 0
    _hiccups: set[int] = field(default_factory=set)

    def page(self, since: int, until: int, limit: int) -> list[Record]:
        self.asked += 1
        cap = min(limit, self.cap)
        times = self.times
        if self.kind == "floored":
            since = since // (self.floor_hours * HOUR) * (self.floor_hours * HOUR)
        if self.kind == "old_since":
            since = max(since, self.retention_from)
        if self.kind == "changing_limit":
            cap = max(1, int(self.rng.integers(1, cap + 1)))
        stop = until if self.honours_until else FAR_FUTURE_MS
        inside = [t for t in times if (since < t if self.kind == "exclusive" else since <= t) and t < stop]
        if self.kind == "late_row":
            # Withheld the first time it is due, there the next time.
            withheld = {t for t in inside[:cap] if t in self.late}
            self.late -= withheld
            inside = [t for t in inside if t not in withheld]
        if self.kind == "newest_first":
            return [(t, "x") for t in reversed(inside[-cap:])]
        rows = inside[:cap]
        if self.kind == "short" and len(rows) > 1:
            rows = rows[: int(self.rng.integers(1, len(rows) + 1))]
        if self.kind == "empty_middle" and rows and rows[0] // (7 * HOUR) not in self._hiccups:
            # Every seventh hour starts a stretch that answers nothing the first time it is asked for.
            self._hiccups.add(rows[0] // (7 * HOUR))
            if rows[0] // HOUR % 3 == 0:
                return []
        if self.kind == "descending":
            rows = rows[::-1]
        if self.kind == "repeated":
            rows = sorted(rows + rows[: max(1, len(rows) // 2)])
        if self.kind == "out_of_order":
            self.rng.shuffle(rows)
        return [(int(t), "x") for t in rows]


KINDS = (
    "inclusive",
    "exclusive",
    "floored",
    "descending",
    "newest_first",
    "capped",
    "short",
    "repeated",
    "out_of_order",
    "empty_middle",
    "late_row",
    "changing_limit",
)


def _case(kind: str, seed: int) -> tuple[Server, Range, list[int]]:
    rng = np.random.default_rng([seed, len(kind), sum(kind.encode())])
    hours = int(rng.integers(1, 120))
    before, after = int(rng.integers(1, 40)), int(rng.integers(0, 40))
    # A range may begin within an hour, and anywhere against the edges to which a server rounds.
    grid = (np.arange(-before, hours + after) + int(rng.integers(0, 5_000))) * HOUR + BASE
    start = int(grid[before]) - int(rng.choice([0, 0, int(rng.integers(1, HOUR))]))
    kept = rng.random(grid.size) > rng.choice([0.0, 0.02, 0.3])
    # The venue shows a record from right before the range: what a start without one means is tested apart.
    kept[before - 1] = True
    times = [int(t) for t in grid[kept]]
    limit = int(rng.integers(1, 60))
    floor_hours = int(rng.integers(2, 8))
    if kind == "floored":
        limit = max(limit, 2 * floor_hours)
    end = start + hours * HOUR
    truth = [t for t in times if start <= t < end]
    late = (
        frozenset(int(t) for t in rng.choice(truth, size=min(3, len(truth)), replace=False)) if truth else frozenset()
    )
    server = Server(
        kind,
        times,
        cap=max(1, limit // 3) if kind in ("capped", "newest_first") else limit,
        rng=rng,
        floor_hours=floor_hours,
        late=late,
    )
    return server, Range(start, end, HOUR, limit), truth


def _fetch(server: Server, wanted: Range) -> list[int]:
    return [at for at, _ in fetch_range(server.page, wanted, lambda r: r[0])]


@pytest.mark.trial("paginator_windows")
@pytest.mark.parametrize("kind", KINDS)
def test_fetch_range_has_no_gap_and_no_duplicate(kind: str, trial_count: Callable[[int], int]) -> None:
    for seed in range(trial_count(1000)):
        server, wanted, truth = _case(kind, seed)
        assert _fetch(server, wanted) == truth, f"{kind}, window {seed}"


@pytest.mark.trial("paginator_windows")
def test_an_old_since_is_complete_wherever_nothing_was_forgotten(trial_count: Callable[[int], int]) -> None:
    faults = lost_windows = 0
    count = trial_count(1000)
    for seed in range(count):
        server, wanted, truth = _case("old_since", seed)
        # The server shows nothing from before this instant, which may lie before, in, or after the range.
        server.retention_from = wanted.start_ms + int(np.random.default_rng(seed).integers(-60, 60)) * HOUR
        shown = [t for t in server.times if t >= server.retention_from]
        is_lost = any(t < server.retention_from for t in truth)
        lost_windows += is_lost
        got = None
        try:
            got = _fetch(server, wanted)
        except PagingFault as fault:
            # Allowed only where a server that forgot looks the same: nothing from before the range is shown any more.
            is_allowed = fault.reason == "since_moved" and not any(t < wanted.start_ms for t in shown)
            faults += 1
        else:
            is_allowed = True
        assert is_allowed, f"window {seed}"
        if got is None:
            continue
        assert got == [t for t in truth if t in shown], f"window {seed}"
        # Where the server shows nothing at all any more, the range is empty by its own word.
        assert got == truth or not shown, f"window {seed}"
    assert faults >= lost_windows // 2 > 0
    assert faults < count


@pytest.mark.parametrize("kind", [*KINDS, "old_since"])
def test_fetch_range_is_complete_or_raises_where_until_is_ignored(kind: str, trial_count: Callable[[int], int]) -> None:
    for seed in range(trial_count(1000)):
        server, wanted, truth = _case(kind, seed)
        server.honours_until = False
        server.retention_from = wanted.start_ms + seed % 7 * HOUR
        try:
            got = _fetch(server, wanted)
        except PagingFault:
            continue
        assert got == truth, f"{kind}, window {seed}"


def test_an_old_since_that_was_moved_is_a_fault_and_not_a_gap(trial_count: Callable[[int], int]) -> None:
    raised = 0
    for seed in range(trial_count(1000)):
        server, wanted, truth = _case("old_since", seed)
        hours = (wanted.end_ms - wanted.start_ms) // HOUR
        server.retention_from = wanted.start_ms + (1 + seed % (hours + 5)) * HOUR
        lost = [t for t in truth if t < server.retention_from]
        if not lost or max(server.times) < server.retention_from:
            # Nothing was lost, or the server shows nothing at all any more: empty by its own word.
            continue
        with pytest.raises(PagingFault) as caught:
            _fetch(server, wanted)
        assert caught.value.reason == "since_moved"
        raised += 1
    assert raised >= 10


def test_a_whole_range_before_the_servers_memory_is_a_fault() -> None:
    times = [BASE + i * HOUR for i in range(2000)]
    server = Server("old_since", times, cap=10, retention_from=BASE + 1900 * HOUR)
    with pytest.raises(PagingFault, match="may have been moved"):
        _fetch(server, Range(BASE, BASE + 24 * HOUR, HOUR, 10))


def test_a_range_that_begins_at_the_listing_may_begin_with_nothing() -> None:
    listed = BASE + 90_000
    times = [BASE + i * HOUR for i in range(3, 40)]
    wanted = Range(BASE, BASE + 24 * HOUR, HOUR, 10, history_start_ms=listed)
    assert _fetch(Server("inclusive", times, cap=10), wanted) == times[:21]
    with pytest.raises(PagingFault, match="may have been moved"):
        _fetch(Server("inclusive", times, cap=10), Range(BASE, BASE + 24 * HOUR, HOUR, 10))


def test_a_listing_does_not_excuse_a_server_that_shows_the_latest_records() -> None:
    times = [BASE + i * HOUR for i in range(24)]
    wanted = Range(BASE, BASE + 24 * HOUR, HOUR, 20, history_start_ms=BASE)
    with pytest.raises(PagingFault):
        _fetch(Server("newest_first", times, cap=20, honours_until=False), wanted)


def test_a_server_with_nothing_at_all_gives_an_empty_range() -> None:
    assert _fetch(Server("inclusive", [], cap=10), Range(BASE, BASE + 24 * HOUR, HOUR, 10)) == []


def test_a_day_without_records_between_days_with_records_is_empty_by_the_servers_word() -> None:
    times = [BASE - HOUR, BASE + 30 * HOUR]
    assert _fetch(Server("inclusive", times, cap=10), Range(BASE, BASE + 24 * HOUR, HOUR, 50)) == []


def test_an_empty_range_asks_nothing() -> None:
    server = Server("inclusive", [BASE], cap=10)
    assert _fetch(server, Range(BASE, BASE, HOUR, 10)) == []
    assert server.asked == 0


def test_a_floor_wider_than_a_page_is_a_fault() -> None:
    times = [BASE + i * HOUR for i in range(-50, 200)]
    with pytest.raises(PagingFault):
        _fetch(Server("floored", times, cap=4, floor_hours=12), Range(BASE, BASE + 48 * HOUR, HOUR, 4))


def test_an_irregular_stream_with_jitter_is_complete() -> None:
    rng = np.random.default_rng(5)
    times = [BASE + i * 8 * HOUR + int(rng.integers(0, 12)) for i in range(-4, 90)]
    times += [BASE + 40 * 8 * HOUR + i * HOUR + 3 for i in range(1, 8)]
    server = Server("inclusive", sorted(times), cap=7)
    wanted = Range(BASE, BASE + 80 * 8 * HOUR, 8 * HOUR, 100, is_regular=False, slack_ms=60_000)
    assert _fetch(server, wanted) == [t for t in sorted(times) if BASE <= t < wanted.end_ms]


def test_a_repeated_time_keeps_the_later_answer_and_a_record_without_time_is_kept_once() -> None:
    answers: list[Sequence[tuple[int | None, str]]] = [[(BASE, "old"), (None, "odd")], [(BASE, "new"), (None, "odd")]]

    def page(since: int, until: int, limit: int) -> Sequence[tuple[int | None, str]]:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    got = fetch_range(page, Range(BASE, BASE + 2 * HOUR, HOUR, 10), lambda r: r[0])
    assert got == [(BASE, "new"), (None, "odd")]


def test_a_server_that_never_advances_is_a_fault_and_not_a_loop() -> None:
    class Stuck:
        asked = 0

        def page(self, since: int, until: int, limit: int) -> list[Record]:
            self.asked += 1
            return [(BASE, "x")] if self.asked % 2 else [(BASE + 100 * HOUR, "x")]

    stuck = Stuck()
    with pytest.raises(PagingFault):
        fetch_range(stuck.page, Range(BASE, BASE + 50 * HOUR, HOUR, 10), lambda r: r[0])
    assert stuck.asked < 500


def test_a_server_that_skips_what_it_showed_before_cannot_account_for_a_hole() -> None:
    shown = [*range(-1, 10), *range(20, 30)]
    answers = [[(BASE + h * HOUR, "x") for h in shown], [(BASE + h * HOUR, "x") for h in range(25, 30)]]

    def page(since: int, until: int, limit: int) -> list[Record]:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    with pytest.raises(PagingFault) as caught:
        fetch_range(page, Range(BASE, BASE + 30 * HOUR, HOUR, 50), lambda r: r[0])
    assert caught.value.reason == "unreachable_hole"


def test_a_clean_range_costs_few_requests() -> None:
    times = [BASE + i * HOUR for i in range(-5, 800)]
    server = Server("inclusive", times, cap=1000)
    _fetch(server, Range(BASE, BASE + 768 * HOUR, HOUR, 1000))
    assert server.asked == 1


def test_two_records_of_one_time_on_one_page_are_both_kept_where_they_differ() -> None:
    page = [(BASE, "one"), (BASE, "other"), (BASE, "one"), (BASE + HOUR, "x")]
    got = fetch_range(lambda *_: page, Range(BASE, BASE + 2 * HOUR, HOUR, 10), lambda r: r[0])
    assert got == [(BASE, "one"), (BASE, "other"), (BASE + HOUR, "x")]
