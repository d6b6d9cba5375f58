"""ETF flows from the sandbox's pages over HTTP: every figure of the world, and no figure of a page that changed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from publisher_clients import PublisherBench

from assets.ports import SourceOutage
from pipelines.sandbox.etf_funds import FUNDS, fund_days
from pipelines.sandbox.faults import Fault
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.wire_farside import SOL_ROWS, FarsideWire
from pipelines.sandbox.world import World
from pipelines.sources.door import RetryPolicy
from pipelines.sources.publishers.farside import _rows, _table
from pipelines.sources.records import WrongShape
from quality.schemas.raw import RAW_TABLES

NOW = datetime(2025, 9, 3, 12, 0)
DAY = NOW.date()


@pytest.fixture(scope="module")
def world() -> World:
    return World(1, date(2025, 9, 1), 3, assets=("SOL",))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, *rules: Fault, **more: Any) -> PublisherBench:
    return PublisherBench(sandbox, "farside", NOW, *rules, **more)


def _outage(bench: PublisherBench) -> SourceOutage:
    with pytest.raises(SourceOutage) as caught:
        bench.client.fetch("etf_flows", DAY, DAY)
    return caught.value


def _on(page: str, change: Callable[[str], str]) -> Callable[[Any], Any]:
    """Change the page whose title holds a word, and no other body."""
    return lambda body: change(body) if isinstance(body, str) and f"<title>{page}" in body else body


def test_the_pages_tell_the_worlds_flows(sandbox: Sandbox, world: World) -> None:
    bench = _bench(sandbox)
    capture = bench.client.fetch("etf_flows", DAY, DAY)
    good, refused = RAW_TABLES["etf_flows"].split(capture.rows, now=NOW)
    assert refused.height == 0
    truth = {
        (asset, fund, told.day): tenths * 100_000.0
        for asset in FUNDS
        for told in [d for d in fund_days(world, asset) if d.day < DAY][-SOL_ROWS if asset == "SOL" else 0 :]
        for fund, tenths in {**told.tenths, "TOTAL": told.total}.items()
    }
    found = {(a, f, d): usd for a, f, d, usd in good.select("asset", "fund", "flow_date_utc", "net_flow_usd").rows()}
    assert found == truth
    assert good.filter(pl.col("fund") == "MSBT")["flow_date_utc"].min() > date(2025, 7, 29), "a dash is no row"
    assert [r.partition("?")[0] for r in bench.lake.requests] == [
        "GET http://127.0.0.1/bitcoin-etf-flow-all-data/",
        "GET http://127.0.0.1/ethereum-etf-flow-all-data/",
        "GET http://127.0.0.1/sol/",
    ]
    assert set(good["payload_sha256"]) == set(capture.payloads) == set(bench.lake.payloads)


def test_a_holiday_is_no_day_of_zero_flows(sandbox: Sandbox) -> None:
    rows = _bench(sandbox).client.fetch("etf_flows", DAY, DAY).rows
    assert not set(rows["flow_date_utc"]) & {date(2025, 7, 4), date(2025, 9, 1)}


def test_rows_of_dashes_are_no_flows() -> None:
    before = World(1, date(2025, 6, 24), 2, assets=("SOL",))
    with serve(before, now=datetime(2025, 6, 26)) as running:
        page = running.base_url
        assert page
        bench = PublisherBench(running, "farside", datetime(2025, 6, 26))
        rows = bench.client.fetch("etf_flows", DAY, DAY).rows
        (body,) = [b for b in bench.lake.payloads.values() if b"<title>Bitcoin" in b]
    assert b"19 Jun 2025" in body
    assert date(2025, 6, 19) not in rows["flow_date_utc"].to_list()
    assert date(2025, 6, 18) in rows["flow_date_utc"].to_list()


@pytest.mark.parametrize(
    ("page", "change", "said"),
    [
        ("Bitcoin", lambda b: b.replace(">IBIT<", ">BlackRock Trust<"), "tickers"),
        ("Ethereum", lambda b: b.replace(">Total<", ">Net<"), "no Total over its last column"),
        ("Solana", lambda b: b.replace(">Fee<", ">Assets<"), "'Assets' in its head"),
        ("Bitcoin", lambda b: b.replace("</td></tr>\n<tr><td", "</td><td></td></tr>\n<tr><td"), "cells on"),
        ("Bitcoin", lambda b: b.replace("US$m", "US$bn"), "speaks of US$bn and not of US$m"),
        ("Bitcoin", lambda b: b.replace("2025<", "25<"), "holds 0 tables of days and not one"),
        ("Bitcoin", lambda b: b.replace('<table class="etf">', "<table><tr><td>01 Jul 2025</td></tr></table><table>"), "holds 2 tables of days"),
        ("Bitcoin", lambda b: "<html><title>Just a moment...</title></html>", "called 'Just a moment...'"),
        ("Bitcoin", lambda b: b.replace("Maximum", "Median"), "'Median' in its foot"),
        ("Bitcoin", lambda b: b.replace("</span></div></td></tr>\n<tr><td><div><span class=\"tabletext\">Total", " k</span></div></td></tr>\n<tr><td><div><span class=\"tabletext\">Total"), "expected figures such as"),
    ],
)  # fmt: skip
def test_a_changed_page_is_a_loud_outage_and_never_a_part(
    sandbox: Sandbox, page: str, change: Callable[[str], str], said: str
) -> None:
    outage = _outage(_bench(sandbox, spoiled=_on(page, change)))
    assert (outage.code, outage.cause) == ("venue_error", "wrong_shape")
    assert said in str(outage) and str(outage).isprintable()


def test_a_day_that_does_not_add_up_is_refused_whole_and_the_others_stand(sandbox: Sandbox, world: World) -> None:
    first = fund_days(world, "BTC")[0]
    shown = f"{abs(first.tenths['IBIT']) / 10:,.1f}"

    def change(body: str) -> str:
        head, mark, tail = body.partition(f">{first.day.day:02d} Jul 2025<")
        return head + mark + tail.replace(shown, "77,777.7", 1)

    capture = _bench(sandbox, spoiled=_on("Bitcoin", change)).client.fetch("etf_flows", DAY, DAY)
    good, refused = RAW_TABLES["etf_flows"].split(capture.rows, now=NOW)
    assert set(refused["reason"]) == {"funds_miss_the_total"}
    assert refused.height == len(first.tenths) + 1
    assert first.day not in good.filter(pl.col("asset") == "BTC")["flow_date_utc"].to_list()
    assert first.day in good.filter(pl.col("asset") == "ETH")["flow_date_utc"].to_list()


@pytest.mark.parametrize(
    ("kind", "code", "cause"),
    [("torn", "venue_error", "not_readable"), ("forbidden", "banned", "banned"), ("geoblocked", "geoblocked", "geoblocked")],
)  # fmt: skip
def test_a_page_that_is_cut_or_withheld_fails_all(sandbox: Sandbox, kind: Any, code: str, cause: str) -> None:
    outage = _outage(_bench(sandbox, Fault(kind, path="/sol/", times=9), policy=RetryPolicy(attempts_count=2)))
    assert (outage.code, outage.cause) == (code, cause)


@pytest.mark.trial("etf_page_flips")
def test_a_flipped_byte_is_found_or_does_no_harm(world: World, trial_count: Callable[..., int]) -> None:
    body = FarsideWire(world).page("SOL", NOW).encode()
    truth = {d.day: d.total * 100_000.0 for d in fund_days(world, "SOL") if d.day < DAY}
    rng = random.Random(11)
    seen = Counter[str]()
    for _ in range(trial_count(2_000, 40)):
        place = rng.randrange(len(body))
        flipped = body[:place] + bytes([body[place] ^ (1 << rng.randrange(8))]) + body[place + 1 :]
        try:
            days = _table(flipped)
        except (ValueError, WrongShape) as found:
            seen[type(found).__name__] += 1
            continue
        rows = [{**r, "venue": "farside", "asset": "SOL", "payload_sha256": "0" * 64} for d in days for r in _rows(d)]
        frame = (
            pl.DataFrame(rows).with_row_index("row_count", offset=1).with_columns(pl.col("row_count").cast(pl.Int64))
        )
        good, refused = RAW_TABLES["etf_flows"].split(
            frame.select(*RAW_TABLES["etf_flows"].columns, "row_count"), now=NOW
        )
        seen["refused rows" if refused.height else "harmless"] += 1
        totals = dict(good.filter(pl.col("fund") == "TOTAL").select("flow_date_utc", "net_flow_usd").rows())
        assert {day: usd for day, usd in totals.items() if day in truth and usd != truth[day]} == {}
    assert {"WrongShape", "refused rows", "harmless"} <= set(seen), seen


def test_a_hostile_page_is_text(sandbox: Sandbox) -> None:
    def change(body: str) -> str:
        return body.replace(
            "<tbody>", '<tbody><tr><td colspan="99999999999">\x1b]0;x\x07<script>alert(1)</script></td></tr>'
        )

    outage = _outage(_bench(sandbox, spoiled=_on("Bitcoin", change)))
    assert outage.cause == "wrong_shape"
    assert str(outage).isprintable()
