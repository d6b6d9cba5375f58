"""The `lowtide` command. Thin: each command parses, calls, prints.

Nothing heavy is imported at the top: `lowtide --help` answers in under 0.3 s.
"""

from __future__ import annotations

import json
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipelines.runs import RunOutcome

app = typer.Typer(
    name="lowtide",
    help="An open warehouse of crypto leverage and liquidity, with a daily stress report that prints its own error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

QUARANTINED = 3  # exit code: done, but rows were refused

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Data folder; else LOWTIDE_HOME, else ~/.lowtide/home.")
]
_state = {"debug": False}


class CommandError(Exception):
    """A command cannot go on; the message is one clear line that says what to do."""


@app.callback()
def _main(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    from pipelines.settings import prepare_process

    _state["debug"] = debug
    prepare_process()


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text!r} is not a day: write YYYY-MM-DD") from None


def _days(first: str, last: str | None, option: str = "--date") -> list[date]:
    start = _day(first, option)
    end = _day(last, "--to") or start
    if start is None or end is None or end < start:
        raise CommandError(f"--to {end} is before {option} {start}")
    return [start] if start == end else [start + timedelta(days=i) for i in range((end - start).days + 1)]


def _check_format(form: str) -> None:
    if form not in {"table", "csv", "json"}:
        raise CommandError(f"--format {form!r} is not a format: table, csv or json")


@app.command()
def demo(
    home: Annotated[
        Path | None, typer.Option("--home", help="Demo data folder; else LOWTIDE_DEMO_HOME, else ~/.lowtide/demo.")
    ] = None,
) -> None:
    """Run the whole way offline on a simulated market and write its report."""
    from pipelines.console import OUT, Steps, plain
    from pipelines.demo import run_demo
    from pipelines.home import open_home
    from pipelines.runs import bury_dead_runs, open_instance
    from pipelines.settings import Settings

    settings = Settings()
    folder = open_home((home or settings.demo_home).resolve(), "demo", create=True)
    with folder.lock():
        bury_dead_runs(open_instance(folder))
        with Steps() as steps:
            result = run_demo(folder, settings, watch=steps)
    _raise_for(result.outcome)
    OUT.print(f"report    {plain(str(result.report))}")
    OUT.print(f"snapshot  {plain(str(result.snapshot))}")
    for line in _summary(result.report.with_name("report.json")):
        OUT.print(plain(line))


@app.command()
def run(
    day: Annotated[str, typer.Option("--date", help="UTC day, YYYY-MM-DD.")],
    to: Annotated[str | None, typer.Option("--to", help="Last day of a range.")] = None,
    home: HomeOption = None,
) -> None:
    """Fetch a day (or a range), rebuild the marts, replay the shocks, write the report, publish."""
    _execute("run_day", _days(day, to), home)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", help="First UTC day.")],
    to: Annotated[str | None, typer.Option("--to", help="Last UTC day; else yesterday.")] = None,
    home: HomeOption = None,
) -> None:
    """Fetch a range of past days from the exchanges into the raw lake. Marts follow with the next `run`."""
    from pipelines.resources import clock_of
    from pipelines.settings import Settings

    yesterday = clock_of(Settings()).now().date() - timedelta(days=1)
    _execute("collect_raw", _days(first, to or yesterday.isoformat(), "--from"), home, show_report=False)


def _execute(job: str, days: list[date], home: Path | None, *, show_report: bool = True) -> None:
    """Run a job over days in a real home and say what came of it."""
    from pipelines.console import OUT, Steps, plain
    from pipelines.definitions import build_defs
    from pipelines.home import kind_of, open_home
    from pipelines.resources import build_resources
    from pipelines.runs import bury_dead_runs, execute, open_instance
    from pipelines.settings import Settings

    settings = Settings()
    root = home.resolve() if home else settings.home
    folder = open_home(
        root, kind_of(root) or _kind_by(settings.exchange_base_url or settings.published_base_url), create=True
    )
    with folder.lock():
        instance = open_instance(folder)
        buried = bury_dead_runs(instance)
        if buried:
            OUT.print(f"[dim]{len(buried)} killed run(s) marked as failed; their slots are free[/]")
        defs = build_defs(resources=build_resources(folder, settings))
        with Steps() as steps:
            outcome = execute(defs, instance, job, days, watch=steps)
    for key, facts in sorted(outcome.metadata.items()):
        if facts.get("reason"):
            OUT.print(f"[yellow]missing[/] {plain(key)}: {plain(str(facts['status']))}: {plain(str(facts['reason']))}")
        if facts.get("quarantined"):
            OUT.print(
                f"[yellow]quarantined[/] {plain(key)}: {facts['quarantined']} rows (marts.fct_quarantined_rows_daily)"
            )
    for line in outcome.checks_warned:
        OUT.print(f"[yellow]warning[/] {plain(line)}")
    _raise_for(outcome)
    OUT.print(f"[dim]{outcome.checks_passed} checks passed, run {outcome.run_id}[/]")
    if show_report:
        report = folder.reports / days[-1].isoformat() / "report.html"
        OUT.print(f"report    {plain(str(report))}")
        OUT.print(f"snapshot  {plain(str(folder.snapshot))}")
        for line in _summary(report.with_name("report.json")):
            OUT.print(plain(line))


def _kind_by(base_url: str | None) -> Literal["real", "demo"]:
    """Return which kind of home the records of a base URL belong to."""
    from urllib.parse import urlsplit

    from pipelines.resources import LOOPBACK

    return "demo" if base_url is not None and urlsplit(base_url).hostname in LOOPBACK else "real"


def _raise_for(outcome: RunOutcome) -> None:
    from pipelines.console import fail

    if not outcome.is_success:
        for line in outcome.failures:
            fail(line)
        raise CommandError(f"run {outcome.run_id} failed; its log is in the home's run history (make dev shows it)")


def _summary(path: Path) -> list[str]:
    """Return the first three sentences of a report's headline."""
    import json

    sentences = json.loads(path.read_text())["headline"]["sentences"]
    # The isolates around names are for pages; a terminal needs none.
    isolates = dict.fromkeys(map(ord, "\u2068\u2069"))
    return [str(sentence["text"]["en"]).translate(isolates) for sentence in sentences[:3]]


@app.command("import")
def import_(
    mapping: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A shipped mapping (see docs/importing.md) or a path to one.")
    ],
    path: Annotated[Path, typer.Option("--from", help="Folder or file to read.")],
    home: HomeOption = None,
) -> None:
    """Read files into the raw lake by a declared mapping (docs/importing.md). Exit code 3: some rows were quarantined."""
    from pipelines.console import OUT, Steps, plain
    from pipelines.home import open_home
    from pipelines.resources import clock_of, lake_of
    from pipelines.settings import Settings
    from pipelines.sources.files.imports import import_files, load_mapping

    settings = Settings()
    declared = load_mapping(mapping)
    folder = open_home(home.resolve() if home else settings.home, "real", create=True)
    clock = clock_of(settings)
    with folder.lock(), Steps() as steps:
        summary = import_files(declared, path, lake_of(folder, clock), clock, steps.note)
    for line in summary.lines():
        OUT.print(plain(line))
    if summary.quarantined_rows:
        raise typer.Exit(QUARANTINED)


@app.command()
def collect(
    venue: Annotated[list[str] | None, typer.Option("--venue", help="A venue; may be repeated. Else all.")] = None,
    show_acknowledged: Annotated[
        bool, typer.Option("--show-acknowledged", help="Print the number of the last durable record at every commit.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Record the venues' public liquidation streams until stopped (docs/collector.md)."""
    from pipelines.collector.service import collect as record
    from pipelines.console import OUT, plain
    from pipelines.home import kind_of, open_home
    from pipelines.resources import assets_of, clock_of, is_synthetic_origin, lake_of
    from pipelines.settings import Settings

    settings = Settings()
    if venue:
        settings = Settings(collect_venues=tuple(venue))
    root = home.resolve() if home else settings.home
    folder = open_home(root, kind_of(root) or _kind_by(settings.collect_base_url), create=True)
    is_synthetic_origin(folder, settings.collect_base_url, "streams")
    clock = clock_of(settings)
    lake = lake_of(folder, clock)
    OUT.print(f"recording into {plain(str(folder.root / 'collector'))}; Ctrl-C or SIGTERM ends it")
    messages_count = record(
        folder.root,
        lake,
        clock,
        venues=settings.collect_venues,
        assets=assets_of(folder, settings, lake),
        base_url=settings.collect_base_url,
        tell=lambda stream, sentence: OUT.print(f"{clock.now():%Y-%m-%d %H:%M:%S} [bold]{stream}[/] {plain(sentence)}"),
        acknowledged=(lambda number: OUT.print(f"acknowledged {number}"))
        if show_acknowledged
        else lambda _number: None,
    )
    OUT.print(f"stopped; {messages_count:,} messages recorded, the segment is sealed")


@app.command()
def report(
    day: Annotated[str, typer.Option("--date", help="UTC day, YYYY-MM-DD.")],
    lang: Annotated[str, typer.Option(help="en or zh: which page to name.")] = "en",
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Use only what the lake knew at this UTC instant, YYYY-MM-DDTHH:MM:SS."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Write the report of a day from the raw lake, now or as of an earlier instant."""
    from pipelines.console import OUT, Steps, plain
    from pipelines.definitions import build_defs
    from pipelines.home import kind_of, open_home
    from pipelines.resources import build_resources
    from pipelines.runs import bury_dead_runs, execute, open_instance
    from pipelines.settings import Settings

    if lang not in {"en", "zh"}:
        raise CommandError(f"--lang {lang!r} is not a language of the report: en or zh")
    days = _days(day, None)
    instant = _instant(as_of)
    settings = Settings()
    root = home.resolve() if home else settings.home
    folder = open_home(root, kind_of(root) or "real", create=False)
    with folder.lock():
        instance = open_instance(folder)
        bury_dead_runs(instance)
        resources = build_resources(folder, settings, as_of=instant, exchanges={})
        with Steps() as steps:
            outcome = execute(build_defs(resources=resources), instance, "render_report", days, watch=steps)
    _raise_for(outcome)
    name = "report.html" if lang == "en" else "report.zh.html"
    OUT.print(plain(str(resources["warehouse"].reports / days[0].isoformat() / name)))


def _instant(text: str | None, option: str = "--as-of") -> datetime | None:
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text!r} is not an instant: write YYYY-MM-DDTHH:MM:SS, UTC") from None
    if value.tzinfo is not None:
        from datetime import UTC

        value = value.astimezone(UTC).replace(tzinfo=None)
    return value


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='A query, for example "select * from fct_prices_hourly limit 5".')],
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    home: HomeOption = None,
) -> None:
    """Query the published snapshot, read-only."""
    import duckdb

    from pipelines.console import print_rows
    from pipelines.lake.publish import open_published

    _check_format(form)
    con = open_published(_snapshot(home))
    try:
        cursor = con.execute(query)
        columns = [d[0] for d in cursor.description or []]
        rows = cursor.fetchall()
    except duckdb.Error as error:
        # Its own words without the drawing of the query below them: an error is one line.
        said = str(error).partition("\n\nLINE ")[0]
        raise CommandError("; ".join(said.splitlines())) from error
    finally:
        con.close()
    print_rows(columns, rows, form)


def _snapshot(home: Path | None) -> Path:
    from pipelines.home import kind_of, open_home
    from pipelines.settings import Settings

    root = home.resolve() if home else Settings().home
    path = open_home(root, kind_of(root) or "real", create=False).snapshot
    if not path.is_file():
        raise CommandError(f"{path} does not exist yet: `lowtide run --date D` or `lowtide demo` publishes it")
    return path


@app.command()
def universe(
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table", home: HomeOption = None
) -> None:
    """Show which assets are followed, and why: named in universe.yml, or large by open interest as last landed."""
    from pipelines.console import print_rows
    from pipelines.home import kind_of, open_home
    from pipelines.resources import clock_of, lake_of
    from pipelines.settings import Settings
    from pipelines.universe import followed, load_universe

    _check_format(form)
    settings = Settings()
    root = home.resolve() if home else settings.home
    kind = kind_of(root)
    current = lake_of(open_home(root, kind, create=False), clock_of(settings)).current() if kind else ()
    rows = [
        [
            one.asset,
            "always" if one.is_always else "open interest",
            None if one.open_interest_usd is None else round(one.open_interest_usd),
            ",".join(one.venues),
        ]
        for one in followed(load_universe(root), current)
    ]
    print_rows(["asset", "followed_by", "open_interest_one_sided_usd", "venues"], rows, form)


sandbox = typer.Typer(help="A simulated market on loopback, for trying clients offline.", no_args_is_help=True)
app.add_typer(sandbox, name="sandbox")


@sandbox.command("serve")
def sandbox_serve(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8686,
    seed: Annotated[int, typer.Option(min=0, help="Names the world: same seed, same figures.")] = 7,
    first: Annotated[str, typer.Option("--from", help="First UTC day of the world.")] = "2026-02-07",
    days: Annotated[int, typer.Option(min=1, max=400, help="Days of the world.")] = 33,
    crash: Annotated[str | None, typer.Option(help="Day of its crash; else the last but one.")] = None,
    now: Annotated[str | None, typer.Option(help="The market's present, YYYY-MM-DDTHH:MM:SS; else its end.")] = None,
) -> None:
    """Serve the venues' wire formats until Ctrl-C. Point the settings that it prints at it."""
    import threading

    from pipelines.console import OUT, plain
    from pipelines.sandbox.server import serve
    from pipelines.sandbox.world import World

    start, crash_day, at = _days(first, None, "--from")[0], _day(crash, "--crash"), _instant(now, "--now")
    if crash_day is None and days > 1:
        crash_day = start + timedelta(days=days - 2)
    world = World(seed, start, days, crash_day=crash_day)
    present = at or world.end - timedelta(minutes=1)
    with serve(world, now=present, port=port) as running:
        OUT.print(f"serving    {running.base_url}  ({', '.join(running.venues)})")
        OUT.print(f"world      seed {seed}, {world.first_day} to {world.last_day}, crash on {crash_day}, synthetic")
        at_base = f"LOWTIDE_EXCHANGE_BASE_URL={running.base_url} LOWTIDE_PUBLISHED_BASE_URL={running.base_url}"
        OUT.print(plain(f"use it     {at_base} LOWTIDE_CLOCK={present.isoformat()}"))
        chains = {chain: [f"{running.base_url}/rpc/{chain}"] for chain in ("ethereum", "solana")}
        OUT.print(plain(f"its chains LOWTIDE_RPC_URLS='{json.dumps(chains)}'"))
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            OUT.print("stopped")


@app.command()
def stress(
    asset: Annotated[str, typer.Option(help="Asset, for example BTC.")],
    shock: Annotated[float, typer.Option(help="Shock as a fraction: 0.1 is 10 %.")],
    side: Annotated[str, typer.Option(help="long: a fall; short: a squeeze.")] = "long",
    shock_kind: Annotated[
        str | None, typer.Option(help="sell: the shock eats the book; reprice: news moves the quotes. Else both.")
    ] = None,
    depth_survival: Annotated[
        float | None,
        typer.Option(help="W: share of the depth that is still there. Else 1 and, drawn, that of flushes."),
    ] = None,
    impact_exponent: Annotated[
        float | None, typer.Option(help="g: how the book grows beyond its reach. Else drawn around 0.875.")
    ] = None,
    leverage_cap: Annotated[float | None, typer.Option(help="Move positions above this leverage down to it.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws behind the quantiles; else as many as in the marts.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="UTC day; else the last one with data.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    home: HomeOption = None,
) -> None:
    """Ask what a shock would do to an asset, in every setting, on the published snapshot; quantiles are over draws."""
    from assets.cascade.frames import what_if
    from assets.cascade.params import DRAWS_COUNT, asked_settings
    from pipelines.console import print_rows
    from pipelines.lake.publish import open_published

    _check_format(form)
    if side not in {"long", "short"}:
        raise CommandError(f"--side {side!r} is not a position side: long (a fall) or short (a squeeze)")
    settings = asked_settings(shock_kind, depth_survival, impact_exponent)
    con = open_published(_snapshot(home))
    try:
        rows = what_if(
            con,
            asset.upper(),
            _day(day, "--date"),
            shock,
            side,  # type: ignore[arg-type]
            settings=settings,
            leverage_cap_x=leverage_cap,
            n_draws=DRAWS_COUNT if draws is None else draws,
        )
    finally:
        con.close()
    columns = list(rows[0])
    print_rows(columns, [[row[c] for c in columns] for row in rows], form)


@app.command()
def publish(
    day: Annotated[str, typer.Option("--date", help="UTC day whose stress rows are computed with it.")],
    home: HomeOption = None,
) -> None:
    """Rebuild the marts from the raw lake and swap the published snapshot; fetches nothing, writes no report."""
    _execute("publish_marts", _days(day, None), home, show_report=False)


@app.command()
def doctor(home: HomeOption = None) -> None:
    """Say what is configured, reachable, fresh and missing. Exit code 1 where something is broken."""
    from pipelines.doctor import examine

    if not examine(home.resolve() if home else None):
        raise typer.Exit(1)


@app.command()
def warmup() -> None:
    """Compile the kernels and parse the dbt project ahead of their first use; a damaged kernel cache is made again."""
    from assets.cascade.compilation import warmup as compile_kernels
    from pipelines.console import OUT
    from pipelines.dbt_manifest import ensure_manifest

    compile_kernels()
    OUT.print("kernels are compiled")
    ensure_manifest()
    OUT.print("the dbt project is parsed")


def main() -> None:
    """Entry point of the console script: one line per error, a non-zero exit, no traceback unless --debug."""
    try:
        app(standalone_mode=True)
    except Exception as error:
        if _state["debug"]:
            raise
        from pipelines.console import fail

        fail(str(error) if _is_ours(error) else f"{type(error).__name__}: {error} (lowtide --debug shows where)")
        sys.exit(1)


def _is_ours(error: Exception) -> bool:
    """Tell whether an error's message was written for a user."""
    return type(error).__module__.split(".")[0] in {"pipelines", "assets", "quality"} or isinstance(error, ValueError)
