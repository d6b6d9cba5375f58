"""`lowtide doctor`: what is configured, reachable, fresh, missing. Reads everything, changes nothing."""

from __future__ import annotations

from pathlib import Path

import duckdb
from rich.table import Table

from assets.ports import ExchangeSource, Generation, LendingMarket, SourceOutage
from pipelines.console import OUT, plain
from pipelines.home import Home, HomeError, kind_of, open_home
from pipelines.lake.publish import open_published
from pipelines.lake.store import Lake
from pipelines.resources import clock_of, exchanges_of, lake_of, lending_of, publishers_of
from pipelines.settings import Settings


def examine(root: Path | None) -> bool:
    """Print the state of a home and of the world around it; return False where something is broken.

    Missing is not broken: an unreachable venue or an absent snapshot is said and does not fail.
    """
    settings = Settings()
    _print_settings(settings)
    folder = root or settings.home
    kind = kind_of(folder)
    if kind is None:
        OUT.print(f"home       {plain(str(folder))}: [yellow]not created yet[/] (import, run or demo creates it)")
        return True
    home = open_home(folder, kind, create=False)
    OUT.print(f"home       {plain(str(folder))} ({kind})")
    clock = clock_of(settings)
    lake = lake_of(home, clock)
    faults = lake.verify()
    for fault in faults:
        OUT.print(f"[red]broken[/]     {plain(fault)}")
    if not faults:
        # A damaged manifest cannot be listed; the faults above say what to do.
        _print_lake(lake)
    _print_sources(home, settings, lake)
    _print_snapshot(home)
    return not faults


def _print_settings(settings: Settings) -> None:
    for name, info in Settings.model_fields.items():
        value = getattr(settings, name)
        mark = "" if value == info.default or name.endswith("home") else " [dim](set)[/]"
        OUT.print(f"setting    LOWTIDE_{name.upper()} = {plain(str(value))}{mark}")


def _print_lake(lake: Lake) -> None:
    generations = lake.current()
    table = Table("dataset", "venue", "source", "first day", "last day", "days", "rows", "quarantined", box=None)
    groups: dict[tuple[str, str, str], list[Generation]] = {}
    for g in generations:
        groups.setdefault((g.key.dataset, g.key.venue, g.key.source), []).append(g)
    for key, members in sorted(groups.items()):
        days = sorted(g.key.day for g in members)
        table.add_row(
            *(plain(k) for k in key),
            str(days[0]),
            str(days[-1]),
            f"{len(days):,}",
            f"{sum(g.rows_count for g in members):,}",
            f"{sum(g.quarantined_rows_count for g in members):,}",
        )
    OUT.print(f"lake       {len(generations):,} current generations" if groups else "lake       [yellow]empty[/]")
    if groups:
        OUT.print(table)
    for outage in lake.outages()[-10:]:
        at = outage.key
        OUT.print(f"[yellow]missing[/]    {at.dataset} {at.venue} {at.day}: {plain(outage.status)}")


def _print_sources(home: Home, settings: Settings, lake: Lake) -> None:
    """Ask exchanges and chains for a sign of life; of publishers, whose pages have none, say what settings leave out."""
    clock = clock_of(settings)
    try:
        sources: dict[str, ExchangeSource | LendingMarket] = {**exchanges_of(home, settings, lake, clock)}
        sources |= lending_of(home, settings, clock)
        publishers = publishers_of(home, settings, lake, clock)
    except HomeError as error:
        OUT.print(f"[yellow]venues[/]     {plain(str(error))}")
        return
    for venue, client in sources.items():
        try:
            client.probe()
        except SourceOutage as outage:
            OUT.print(f"[yellow]venue[/]      {venue}: {outage.code}: {plain(str(outage))}")
        else:
            OUT.print(f"venue      {venue}: [green]reachable[/]")
    for venue, publisher in publishers.items():
        for dataset, lack in publisher.left_out.items():
            OUT.print(f"[yellow]left out[/]   {venue} {dataset}: {plain(lack)}")


def _print_snapshot(home: Home) -> None:
    if not home.snapshot.is_file():
        OUT.print("snapshot   [yellow]not published yet[/]")
        return
    try:
        con = open_published(home.snapshot)
    except duckdb.Error as error:
        OUT.print(f"[red]broken[/]     snapshot: {plain(str(error))}")
        return
    try:
        row = con.execute(
            "select max(recap_date_utc), count(distinct recap_date_utc) from fct_market_recaps_daily"
        ).fetchone()
    finally:
        con.close()
    last, count = row if row else (None, 0)
    days = f"{count:,} days of exchanges' prices, the last {last}" if count else "no day of exchanges' prices"
    OUT.print(f"snapshot   {plain(str(home.snapshot))}: {days}")
