"""Events that come when they come (liquidations): every one of a window once, however a server cuts its pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipelines.sources.paging import PagingFault, Range, fetch_events

pytestmark = pytest.mark.fast

HOUR = 3_600_000
BASE = 1_750_000_000_000 // HOUR * HOUR

Event = tuple[int, int]  # instant, number


@dataclass
class Server:
    """A venue that lists events from one end of the window that it is asked for, with one bad habit."""

    kind: str
    newest_first: bool
    events: list[Event]
    cap: int
    rng: np.random.Generator
    asked: int = 0
    _silent: set[int] = field(default_factory=set)

    def page(self, since: int, until: int, limit: int) -> list[Event]:
        self.asked += 1
        inside = [e for e in self.events if since <= e[0] < until]
        if self.kind == "beside" and inside:
            # Bounds that it does not keep: a neighbour on each side comes with them.
            first, last = self.events.index(inside[0]), self.events.index(inside[-1])
            inside = self.events[max(0, first - 1) : last + 2]
        if self.newest_first:
            inside = inside[::-1]
        page = inside[: min(limit, self.cap)]
        if self.kind == "short" and len(page) > 1:
            # Cut between two instants: what a cut inside one hides, no later question can bring out.
            cuts = [i for i in range(1, len(page)) if page[i][0] != page[i - 1][0]]
            page = page[: int(self.rng.choice([*cuts, len(page)]))]
        if self.kind == "repeated":
            page = page + page[:1]
        if self.kind == "shuffled":
            page = [page[i] for i in self.rng.permutation(len(page))]
        if self.kind == "hiccup" and page and page[0][0] // HOUR not in self._silent:
            self._silent.add(page[0][0] // HOUR)
            return []
        return page


def _server(kind: str, newest_first: bool, rng: np.random.Generator) -> tuple[Server, int]:
    hours, limit = int(rng.integers(1, 30)), int(rng.integers(4, 40))
    bursts = rng.integers(0, hours * HOUR, int(rng.integers(0, 12)))
    spread = rng.choice([1, 50, 60_000])
    times = [int(b + rng.integers(0, spread)) for b in bursts for _ in range(int(rng.integers(1, limit)))]
    # Several may share an instant, but a page holds all of them.
    crowd: dict[int, int] = {}
    events = []
    for number, at in enumerate(sorted(times)):
        crowd[at] = crowd.get(at, 0) + 1
        if crowd[at] < limit // 2 - 1:
            events.append((BASE + at, number))
    return Server(kind, newest_first, events, limit, rng), hours


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("kind", ["plain", "short", "repeated", "shuffled", "hiccup", "beside"])
def test_every_event_is_fetched_once(kind: str, newest_first: bool, trial_count: Callable[[int], int]) -> None:
    for trial in range(trial_count(1000)):
        rng = np.random.default_rng([trial, len(kind), newest_first])
        server, hours = _server(kind, newest_first, rng)
        start, end = BASE + HOUR // 2, BASE + hours * HOUR
        wanted = Range(start, end, HOUR, server.cap)
        got = fetch_events(server.page, wanted, lambda e: e[0], newest_first=newest_first)
        assert [at for at, _ in got] == sorted(at for at, _ in got)
        assert sorted(got) == [e for e in server.events if start <= e[0] < end], trial


def test_an_instant_that_fills_a_page_is_a_fault_and_not_a_gap() -> None:
    events = [(BASE + 5, number) for number in range(7)]

    def page(since: int, until: int, limit: int) -> list[Event]:
        return [e for e in events if since <= e[0] < until][:limit]

    for newest_first in (False, True):
        with pytest.raises(PagingFault) as caught:
            fetch_events(page, Range(BASE, BASE + HOUR, HOUR, 5), lambda e: e[0], newest_first=newest_first)
        assert caught.value.reason == "no_progress"


def test_an_event_without_a_time_is_kept_once_and_a_window_without_any_costs_two_questions() -> None:
    asked = []

    def page(since: int, until: int, limit: int) -> list[tuple[int | None, int]]:
        asked.append((since, until))
        return [(None, 3), (BASE + 1, 1)] if since <= BASE + 1 < until else []

    got = fetch_events(page, Range(BASE, BASE + HOUR, HOUR, 5), lambda e: e[0], newest_first=False)
    assert got == [(BASE + 1, 1), (None, 3)]
    asked.clear()
    assert fetch_events(page, Range(BASE + 2, BASE + HOUR, HOUR, 5), lambda e: e[0], newest_first=True) == []
    assert asked == [(BASE + 2, BASE + HOUR)] * 2
    assert fetch_events(page, Range(BASE, BASE, HOUR, 5), lambda e: e[0], newest_first=True) == []
