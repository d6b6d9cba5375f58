"""Our own pager: every record of a time range, once each, from servers whose pages cannot be trusted.

Belongs here: the walk over pages, the search for holes, the judgement whether a hole is the venue's or the pager's. Does
not: requests, venues, the meaning of a record. Pure over the callable it is given.

Why not ccxt's ``paginate``: it drops an old `since` silently and takes a short page for the end (ccxt 4.5.64).

How it works. A walk asks for windows that hold no more records than a page and goes on from the newest record it got. Then
every place where two neighbours are further apart than records normally are is asked for again by itself, until the server's
answer accounts for it: a page that shows the known neighbours and nothing between them, or an empty page, twice. A hole at
the very start is different, because a server that moved an old start forward gives exactly that: it is accepted only where
the server also shows a record from before the start. What cannot be settled is a `PagingFault` and never a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

# fetch_page(since_ms, until_ms, limit): records with since <= clock < until, at most `limit`; servers differ, see above.
FetchPage = Callable[[int, int, int], Sequence[T]]

# An empty answer counts once it was given this often in a row: one may be a hiccup, three would only cost time.
EMPTY_ANSWERS_COUNT = 2


class PagingFault(Exception):
    """The server's pages do not allow a complete range. `reason` is ``since_moved``, ``unreachable_hole`` or ``no_progress``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Range:
    """What to fetch: records with ``start_ms <= clock < end_ms``.

    Parameters
    ----------
    start_ms, end_ms : int
        Milliseconds; nothing is asked where the range is empty.
    spacing_ms : int
        The largest regular distance between two records: an hour for hourly candles, eight hours for funding that may
        settle more often. Larger distances are asked for again; records closer than this are complete only on servers
        that fill a page from its oldest record, as nothing shows that one is missing.
    is_regular : bool
        True where records come exactly every `spacing_ms`: then nothing is asked for after the last one that is due.
    slack_ms : int
        Jitter of the venue's clock that does not make a hole.
    limit : int
        Records to ask for per page; the server may give fewer.
    history_start_ms : int or None
        When records can first exist (a listing): a range that begins before or with it may have nothing for up to a day
        after it.
    """

    start_ms: int
    end_ms: int
    spacing_ms: int
    limit: int
    is_regular: bool = True
    slack_ms: int = 0
    history_start_ms: int | None = None


# A listing and its first record lie apart by some hours at most; a longer silence is not explained by the listing.
LISTING_SLACK_MS = 24 * 3_600_000

# 2100-01-01: "any time after".
FAR_FUTURE_MS = 4_102_444_800_000


def fetch_range(fetch_page: FetchPage[T], wanted: Range, clock: Callable[[T], int | None]) -> list[T]:
    """Fetch every record of a range.

    Parameters
    ----------
    fetch_page : callable
        One page from the server.
    wanted : Range
        The range and what is known of the records.
    clock : callable
        A record's time in milliseconds, or None where it cannot be read. Records of one time are one record, and the answer
        that came last is kept; where one page tells several that differ, all of them are, for nobody knows which is right.
        Records without a time are kept once per content.

    Returns
    -------
    list
        In time order, records without a time last.

    Raises
    ------
    PagingFault
        Where the server's answers leave a hole that they do not account for.
    """
    if wanted.start_ms >= wanted.end_ms:
        return []
    pager = _Pager(fetch_page, wanted, clock)
    pager.walk()
    pager.repair()
    return pager.records()


def fetch_events(
    fetch_page: FetchPage[T], wanted: Range, clock: Callable[[T], int | None], *, newest_first: bool
) -> list[T]:
    """Fetch every event of a range: records that come when they come, so that no distance between two shows a hole.

    The walk goes on from the end of what a page showed, its last instant included, until the server has nothing more: a
    page that is shorter than its limit ends nothing.

    Parameters
    ----------
    fetch_page, clock
        As for `fetch_range`.
    wanted : Range
        Of it the bounds and the limit are used.
    newest_first : bool
        True where a page that cannot hold its window shows the newest records of it; else it must show the oldest.

    Returns
    -------
    list
        In time order, each content once; records without a time last.

    Raises
    ------
    PagingFault
        ``no_progress`` where a whole page is of one instant: what else happened in it cannot be asked for.
    """
    since, until = wanted.start_ms, wanted.end_ms
    seen: dict[str, T] = {}
    empty_count = 0
    while since < until and empty_count < EMPTY_ANSWERS_COUNT:
        page = fetch_page(since, until, wanted.limit)
        seen.update((repr(record), record) for record in page)
        times = [at for at in map(clock, page) if at is not None and since <= at < until]
        if not times:
            empty_count += 1
            continue
        empty_count = 0
        edge = min(times) if newest_first else max(times)
        # The edge's instant is asked for again: the page may have ended inside it. A page of nothing else has all of it
        # where it had room for more.
        is_stuck = edge == (until - 1 if newest_first else since)
        if is_stuck and len(page) >= wanted.limit:
            raise PagingFault(
                "no_progress", f"{len(page)} records at {edge} fill a page: others may be hidden behind it"
            )
        if newest_first:
            until = edge if is_stuck else edge + 1
        else:
            since = edge + 1 if is_stuck else edge
    inside = [r for r in seen.values() if (at := clock(r)) is None or wanted.start_ms <= at < wanted.end_ms]
    return sorted(inside, key=lambda r: (clock(r) is None, clock(r) or 0, repr(r)))


class _Pager(Generic[T]):
    """One run of `fetch_range`: what has been seen so far, and the requests left."""

    def __init__(self, fetch_page: FetchPage[T], wanted: Range, clock: Callable[[T], int | None]) -> None:
        self._fetch_page = fetch_page
        self._wanted = wanted
        self._clock = clock
        self._found: dict[int, list[T]] = {}
        self._timeless: dict[str, T] = {}
        # An irregular series may be eight times as dense as its spacing: funding declared eight-hourly may settle hourly.
        expected = (1 if wanted.is_regular else 8) * ((wanted.end_ms - wanted.start_ms) // wanted.spacing_ms + 1)
        # Even one record per page, each asked for twice, ends below this.
        self._requests_left = 4 * expected + 64
        self._accepted: set[tuple[int, int]] = set()
        self._largest_page = 0

    def records(self) -> list[T]:
        return [record for at in sorted(self._found) for record in self._found[at]] + list(self._timeless.values())

    def walk(self) -> None:
        """Go through the range once, always on from the newest record of the last page."""
        wanted = self._wanted
        cursor = wanted.start_ms
        # After the newest record of a regular series nothing is due for a whole spacing.
        due_ms = wanted.spacing_ms if wanted.is_regular else 1
        while cursor < wanted.end_ms and (not self._found or cursor - 1 + due_ms < wanted.end_ms):
            stop = min(wanted.end_ms, cursor + wanted.limit * wanted.spacing_ms)
            # One millisecond early, for servers whose `since` is exclusive. A page of one would only repeat itself.
            newest, fresh = self._ask(cursor - 1, stop)
            if not fresh:
                newest, fresh = self._ask(cursor, stop)
            cursor = max(newest + 1, cursor + 1) if fresh and newest is not None and newest >= cursor else stop

    def repair(self) -> None:
        """Ask for every hole by itself until the server has accounted for it."""
        while (hole := self._next_hole()) is not None:
            if not self._settle(*hole):
                self._accepted.add(hole)

    def _next_hole(self) -> tuple[int, int] | None:
        """Return the first stretch without a record that is longer than records are apart, and not yet accounted for.

        The bounds are the neighbours' times; the range's own bounds stand in where there is no neighbour.
        """
        wanted = self._wanted
        times = sorted(self._found)
        reach = wanted.spacing_ms + wanted.slack_ms
        # The start has no neighbour on its left: a record due at the start itself must not be missed.
        lefts, rights = [wanted.start_ms - 1, *times], [*times, wanted.end_ms]
        for hole in zip(lefts, rights, strict=True):
            if hole[1] - hole[0] > reach and hole not in self._accepted:
                return hole
        return None

    def _settle(self, left: int, right: int) -> bool:
        """Ask for one hole; return True where it brought a record, False where the server accounts for the hole."""
        # The right neighbour is asked for too: a page that begins with it proves that nothing lies before it.
        stop = min(right + 1, self._wanted.end_ms)
        empties = 0
        for since in (left + 1, left, left + 1):
            page, fresh = self._ask_page(since, stop)
            if fresh:
                return True
            after = [at for at in page if at > left]
            if after:
                self._must_begin_with(right, after, left)
                if not self._may_be_cut(page):
                    break
                # Full with the neighbour alone: a server that fills a page from its newest record shows this as well.
                page, fresh = self._ask_page(left + 1, right)
                if fresh:
                    return True
                after = [at for at in page if at > left]
                if after:
                    self._must_begin_with(right, after, left)
                    break
            elif page and not self._may_be_cut(page):
                break
            empties += not page
            if empties >= EMPTY_ANSWERS_COUNT:
                break
        else:
            if empties == 0 and self._settle_from_further_back(left, right, len(page)):
                return True
        if left < self._wanted.start_ms:
            self._settle_start(right)
        return False

    def _settle_from_further_back(self, left: int, right: int, shown: int) -> bool:
        """Settle a hole that a server answers with `shown` older records: a longer page proves that those were not cut."""
        back = max(1, self._wanted.limit // 2) * self._wanted.spacing_ms
        page, fresh = self._ask_page(left - back, min(right + 1, self._wanted.end_ms))
        if not fresh and len(page) <= shown:
            self._fail("unreachable_hole", left, right, "it gives older records than it was asked for")
        return fresh

    def _must_begin_with(self, right: int, after: Sequence[int], left: int) -> None:
        if min(after) != right:
            self._fail("unreachable_hole", left, right, "it skips records that it showed before")

    def _may_be_cut(self, page: Sequence[int]) -> bool:
        """Return whether a page is as long as the server's pages get, so that more may lie beyond it."""
        return len(page) >= self._largest_page

    def _settle_start(self, first: int) -> None:
        """Accept a range that begins with a hole only where the server shows that its history reaches further back."""
        wanted = self._wanted
        listed = wanted.history_start_ms
        if listed is not None and wanted.start_ms <= listed and first - listed <= LISTING_SLACK_MS:
            # One record from the start on: a server that shows the latest instead would show another one.
            page, _ = self._ask_page(wanted.start_ms, first + 1, limit=1)
            if first >= wanted.end_ms or page == [first]:
                return
        before = self._ask_surely(wanted.start_ms - wanted.limit * wanted.spacing_ms - 1, wanted.start_ms)
        if any(at < wanted.start_ms for at in before):
            return
        if not self._found:
            later = self._ask_surely(wanted.start_ms, FAR_FUTURE_MS)
            if not later:
                # The server has nothing right before, in, or anywhere after the range: empty by its own word.
                return
        self._fail(
            "since_moved", wanted.start_ms, first, "it shows nothing from before, so the start may have been moved"
        )

    # -- asking -------------------------------------------------------------------------------------------------------

    def _ask(self, since: int, until: int) -> tuple[int | None, bool]:
        """Ask for a page; return its newest time within `until` and whether it brought anything new."""
        page, fresh = self._ask_page(since, until)
        inside = [at for at in page if at < until]
        return (max(inside) if inside else None), fresh

    def _ask_surely(self, since: int, until: int) -> list[int]:
        """Ask for a page, again where it is empty; return its times."""
        for _ in range(EMPTY_ANSWERS_COUNT):
            page, _ = self._ask_page(since, until)
            if page:
                break
        return page

    def _ask_page(self, since: int, until: int, limit: int | None = None) -> tuple[list[int], bool]:
        """Ask for a page and keep its records; return their times and whether any was new."""
        wanted = self._wanted
        self._requests_left -= 1
        if self._requests_left < 0:
            self._fail("no_progress", wanted.start_ms, wanted.end_ms, "its pages bring the range no further")
        page = self._fetch_page(since, until, limit or wanted.limit)
        times: list[int] = []
        told: dict[int, list[T]] = {}
        fresh = False
        self._largest_page = max(self._largest_page, len(page))
        for record in page:
            at = self._clock(record)
            if at is None:
                fresh = fresh or repr(record) not in self._timeless
                self._timeless[repr(record)] = record
                continue
            times.append(at)
            if wanted.start_ms <= at < wanted.end_ms:
                fresh = fresh or at not in self._found
                same = told.setdefault(at, [])
                if record not in same:
                    same.append(record)
        self._found.update(told)
        return times, fresh

    def _fail(self, reason: str, left: int, right: int, why: str) -> None:
        raise PagingFault(
            reason, f"no complete range: between {left} and {right} ms the server accounts for nothing; {why}"
        )
