"""A range that was killed at any page goes on from there: the same rows, hardly a request more, and never stale ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from canned_market import BASE_URL, Canned, CannedMarket
from source_doubles import HandClock

from assets.lake.transform import batches_of
from assets.ports import Capture, SourceOutage
from pipelines.lake.store import Lake
from pipelines.sandbox.world import World
from pipelines.sources.exchanges.registry import client_class
from pipelines.sources.journal import KEPT, Journal

FIRST, DAYS = date(2025, 9, 1), 10
NOW = datetime(2025, 9, 12, 12)
RANGE = (FIRST, FIRST + timedelta(days=DAYS - 1))
VENUES = ("binance", "bybit", "okx")


class Killed(BaseException):
    """Stands in for SIGKILL: nothing of ours catches it."""


@pytest.fixture(scope="module")
def market() -> CannedMarket:
    return CannedMarket(World(3, FIRST, DAYS + 1, assets=("SOL",)), NOW)


class Process:
    """One process over a home: its client, and the requests that it sent beside those for the catalogue."""

    def __init__(
        self, home: Path, market: CannedMarket, venue: str = "binance", clock: HandClock | None = None
    ) -> None:
        self.clock = clock or HandClock(NOW)
        self.lake = Lake(home / "lake", clock=self.clock, code_version="test")
        self.venue, self.market, self.sent = venue, market, 0
        self.journal = Journal(home / "walks", self.lake, self.clock)
        self.client = client_class(venue)(
            self.lake,
            clock=self.clock,
            universe=("SOL",),
            is_synthetic=True,
            base_url=BASE_URL,
            page_limits={"candles": 48, "open_interest": 48},
            journal=self.journal,
            sleep=self.clock.sleep,
        )
        self.client._connection()[0].session.mount("http://", market)
        self.client._contracts()

    def fetch(self, dataset: str = "candles", *, spoil: Callable[[Canned], Canned] = lambda a: a) -> Capture:
        def counted(_: str, answer: Canned) -> Canned:
            self.sent += 1
            return spoil(answer)

        self.market.spoil = counted
        try:
            capture: Capture = getattr(self.client, dataset)(*RANGE)
        finally:
            self.market.spoil = lambda _, answer: answer
        return capture

    def commit(self, capture: Capture, dataset: str = "candles") -> None:
        days = [FIRST + timedelta(days=i) for i in range(DAYS)]
        self.lake.commit(
            batches_of(
                capture,
                dataset=dataset,
                venue=self.venue,
                source="ccxt",
                days=days,
                now=NOW,
                is_synthetic=True,
            )
        )


def _kill_at(page: int, moment: str, process: Process, monkeypatch: pytest.MonkeyPatch) -> Callable[[Canned], Canned]:
    """Let the process die at one of its pages: before the answer, once it is kept, or once it is noted."""
    count = 0

    def dies(after: Any = None) -> Any:
        def run(*args: Any) -> Any:
            nonlocal count
            count += 1
            done = after(*args) if after is not None else args[0]
            if count == page:
                raise Killed
            return done

        return run

    if moment == "before":
        return dies()  # type: ignore[no-any-return]  # a function of any answer
    if moment == "kept":
        monkeypatch.setattr(process.lake, "save_payload", dies(process.lake.save_payload))
    return lambda answer: answer


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("dataset", ["candles", "funding_rates", "open_interest"])
def test_killed_at_any_page_the_next_run_asks_only_for_the_rest(
    market: CannedMarket,
    tmp_path: Path,
    venue: str,
    dataset: str,
    monkeypatch: pytest.MonkeyPatch,
    trial_count: Callable[..., int],
) -> None:
    quiet = Process(tmp_path / "quiet", market, venue)
    wanted = quiet.fetch(dataset)
    pages = quiet.sent
    assert pages >= 2
    killed_count = trial_count(pages, sample=4)
    # The first page, the last, and others between.
    for page in sorted({1 + round(i * (pages - 1) / max(1, killed_count - 1)) for i in range(killed_count)}):
        for moment in ("before", "kept"):
            home = tmp_path / f"{page}_{moment}"
            first = Process(home, market, venue)
            with monkeypatch.context() as patch, pytest.raises(Killed):
                first.fetch(dataset, spoil=_kill_at(page, moment, first, patch))
            second = Process(home, market, venue)
            assert second.fetch(dataset).rows.equals(wanted.rows)
            # The page that was under way is asked for again, and no other.
            assert first.sent + second.sent == pages + 1, f"killed {moment} at page {page}"


def test_killed_between_the_last_page_and_the_commit_nothing_is_asked_again(
    market: CannedMarket, tmp_path: Path
) -> None:
    first, second = Process(tmp_path, market), Process(tmp_path, market)
    capture = first.fetch()
    assert second.fetch().rows.equals(capture.rows)
    assert second.sent == 0
    assert second.fetch().payloads == capture.payloads


def test_killed_as_it_notes_a_page_the_half_line_is_passed_over(market: CannedMarket, tmp_path: Path) -> None:
    first = Process(tmp_path, market)
    capture = first.fetch()
    journal = tmp_path / "walks" / "binance_candles.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    second = Process(tmp_path, market)
    assert second.fetch().rows.equals(capture.rows)
    assert second.sent == 1


def test_what_has_landed_is_asked_for_anew(market: CannedMarket, tmp_path: Path) -> None:
    first = Process(tmp_path, market)
    first.commit(first.fetch())
    second = Process(tmp_path, market)
    second.fetch()
    assert second.sent == first.sent


def test_old_pages_are_asked_for_again(market: CannedMarket, tmp_path: Path) -> None:
    first = Process(tmp_path, market)
    first.fetch()
    late = Process(tmp_path, market, clock=HandClock(NOW + KEPT + timedelta(seconds=1)))
    late.fetch()
    assert late.sent == first.sent


def test_pages_that_the_lake_no_longer_holds_are_asked_for_again(market: CannedMarket, tmp_path: Path) -> None:
    first = Process(tmp_path, market)
    capture = first.fetch()
    for path in (tmp_path / "lake" / "payloads").glob("*/*.gz"):
        path.unlink()
    second = Process(tmp_path, market)
    assert second.fetch().rows.equals(capture.rows)
    assert second.sent == first.sent


@pytest.mark.parametrize(
    ("bad", "code", "kept"), [(Canned(b'{"rows": []}'), "venue_error", 0), (Canned(b"", 451), "geoblocked", 2)]
)
def test_a_walk_that_ended_in_a_wrong_shape_is_forgotten_and_one_that_was_turned_away_is_not(
    market: CannedMarket, tmp_path: Path, bad: Canned, code: str, kept: int
) -> None:
    quiet, first, second = (Process(tmp_path / name, market) for name in ("quiet", "home", "home"))
    quiet.fetch()
    with pytest.raises(SourceOutage) as caught:
        first.fetch(spoil=lambda answer: bad if first.sent >= 3 else answer)
    assert caught.value.code == code
    second.fetch()
    assert second.sent == quiet.sent - kept
