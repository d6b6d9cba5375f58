"""`lowtide collect` as one function: a home, a lock, a journal, the feeds, and signals that end it cleanly.

Belongs here: assembly. Does not: each part (the modules beside this one), what is printed (``cli.py``).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from assets.ports import Clock, RawLake
from pipelines.collector.contracts import contracts_of
from pipelines.collector.recorder import Recorder, Timing
from pipelines.collector.segments import CollectorError, Journal, hold, recover
from pipelines.collector.streams import FEEDS, Feed

FOLDER = "collector"


def folder_of(home: Path) -> Path:
    """Return where a home keeps its segments."""
    return home / FOLDER


def feeds_of(venues: Sequence[str], lake: RawLake, assets: Sequence[str]) -> list[tuple[Feed, list[str]]]:
    """Return the feeds of venues with the symbols to ask for: those that the lake lists, else the assets' usual names.

    A feed with a topic per contract is left out where a venue lists contracts and none of its kind.
    """
    chosen = []
    for feed in FEEDS.values():
        if feed.venue not in venues:
            continue
        symbols: list[str] = []
        if feed.needs_symbols:
            listed = contracts_of(lake, feed.venue)
            symbols = sorted(s for s, terms in listed.items() if terms.contract_kind == feed.contract_kind)
            if not listed:
                symbols = [f"{asset}{'USDT' if feed.contract_kind == 'linear' else 'USD'}" for asset in assets]
            if not symbols:
                continue
        chosen.append((feed, symbols))
    return chosen


def collect(
    home: Path,
    lake: RawLake,
    clock: Clock,
    *,
    venues: Sequence[str],
    assets: Sequence[str],
    base_url: str | None,
    tell: Callable[[str, str], None],
    acknowledged: Callable[[int], None] = lambda _number: None,
    timing: Timing | None = None,
) -> int:
    """Record until SIGTERM or SIGINT; return how many messages were recorded.

    Raises
    ------
    CollectorError
        Where another collector holds the home, no stream is chosen, or the disk does not take the records.
    """
    lock = hold(folder_of(home))
    try:
        feeds = feeds_of(venues, lake, assets)
        if not feeds:
            raise CollectorError(f"no stream of {', '.join(venues) or 'no venue'}: name venues with --venue")
        left = recover(folder_of(home))
        # A stream that is not recorded any more keeps no day open.
        chosen = {feed.stream for feed, _ in feeds}
        past = replace(left, alive_ns={name: ns for name, ns in left.alive_ns.items() if name in chosen})
        journal = Journal(folder_of(home), clock, past)
        recorder = Recorder(
            feeds,
            journal,
            clock,
            was_closed=past.was_closed,
            base_url=base_url,
            timing=timing,
            tell=tell,
            acknowledged=acknowledged,
        )
        asyncio.run(_until_signalled(recorder))
        return journal.messages_count
    finally:
        lock.release()


async def _until_signalled(recorder: Recorder) -> None:
    stop = asyncio.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wish, stop.set)
    await recorder.run(stop)
