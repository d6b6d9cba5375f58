"""Holders' figures from the sandbox's interface over HTTP: pages joined, what is withheld missing, what is wrong loud."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from publisher_clients import PublisherBench

from assets.ports import SourceOutage
from pipelines.sandbox.faults import Fault
from pipelines.sandbox.holders import holder_days
from pipelines.sandbox.server import Sandbox, serve
from pipelines.sandbox.world import World
from pipelines.sources.door import RetryPolicy
from pipelines.sources.publishers import coin_metrics
from quality.schemas.raw import RAW_TABLES

NOW = datetime(2025, 9, 3, 12, 0)
DAY = NOW.date()


@pytest.fixture(scope="module")
def world() -> World:
    return World(1, date(2025, 9, 1), 3, assets=("BTC",))


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world, now=NOW) as running:
        yield running


def _bench(sandbox: Sandbox, *rules: Fault, **more: Any) -> PublisherBench:
    return PublisherBench(sandbox, "coin_metrics", NOW, *rules, **more)


def _fetched(bench: PublisherBench) -> pl.DataFrame:
    return bench.client.fetch("holder_metrics", DAY, DAY).rows


def _outage(bench: PublisherBench) -> SourceOutage:
    with pytest.raises(SourceOutage) as caught:
        _fetched(bench)
    return caught.value


@pytest.mark.parametrize("page_rows", [10_000, 61, 7])
def test_pages_join_to_the_worlds_figures(
    sandbox: Sandbox, world: World, page_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coin_metrics, "PAGE_ROWS", page_rows)
    bench = _bench(sandbox)
    good, refused = RAW_TABLES["holder_metrics"].split(_fetched(bench), now=NOW)
    truth = {
        (asset, d.day): (
            d.supply_base,
            d.supply_active_1y_base,
            d.price_quote,
            d.market_cap_usd,
            d.mvrv_x,
            d.exchange_inflow_usd,
            d.exchange_outflow_usd,
        )
        for asset in ("BTC", "ETH")
        for d in holder_days(world, asset)
        if d.day < DAY
    }
    assert refused.height == 0
    assert {(r[1], r[2]): r[3:10] for r in good.rows()} == truth
    assert len(truth) == 124
    assert len(sandbox.requests) == -(-124 // page_rows)
    # A page's token is of no use to anybody who reads the lake.
    assert all("next_page_token=withheld" in r for r in bench.lake.requests[1:])


def test_a_run_over_earlier_days_asks_further_back(sandbox: Sandbox) -> None:
    bench = _bench(sandbox)
    bench.client.fetch("holder_metrics", date(2024, 1, 1), date(2024, 1, 31))
    assert sandbox.requests[0].query["start_time"] == (date(2024, 1, 1) - timedelta(days=400)).isoformat()


def test_a_metric_that_is_withheld_is_missing(sandbox: Sandbox) -> None:
    def withhold(body: Any) -> Any:
        for record in body["data"]:
            record.pop("SplyAct1yr")
            record["CapMVRVCur"] = None
        return body

    rows = _fetched(_bench(sandbox, spoiled=withhold))
    good, refused = RAW_TABLES["holder_metrics"].split(rows, now=NOW)
    assert (good.height, refused.height) == (124, 0)
    assert good["supply_active_1y_base"].null_count() == good["mvrv_x"].null_count() == 124
    assert good["supply_base"].null_count() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"SplyCur": "-1"}, "not_positive"),
        ({"SplyCur": "n/a"}, "not_finite"),
        ({"SplyAct1yr": "99999999999"}, "more_active_than_there_is"),
        ({"CapMrktCurUSD": "1"}, "amounts_disagree"),
        ({"FlowInExUSD": "NaN"}, "not_finite"),
        ({"time": "2025-08-01T12:00:00.000000000Z"}, "missing_value"),
        ({"time": 17}, "missing_value"),
        ({"time": "2125-08-01T00:00:00.000000000Z"}, "clock_in_future"),
    ],
)
def test_a_bad_record_is_refused_with_its_reason_and_the_others_stand(
    sandbox: Sandbox, change: dict[str, Any], reason: str
) -> None:
    def spoil(body: Any) -> Any:
        body["data"][3].update(change)
        return body

    good, refused = RAW_TABLES["holder_metrics"].split(_fetched(_bench(sandbox, spoiled=spoil)), now=NOW)
    assert good.height == 123
    assert refused["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: {"rows": []}, "holds no list `data`"),
        (lambda _: [], "holds no list `data`"),
        (lambda _: {"data": []}, "tells nothing of btc, eth"),
        (lambda b: {"data": [r for r in b["data"] if r["asset"] == "btc"]}, "tells nothing of eth"),
        (lambda b: {"data": [{**r, "asset": "xrp"} for r in b["data"]]}, "tells of 'xrp', which was not asked for"),
        (lambda b: {"data": [{**r, "asset": ["btc"]} for r in b["data"]]}, "which was not asked for"),
        (lambda b: {"data": [7]}, "which was not asked for"),
        (lambda b: {"data": [{"asset": r["asset"], "time": r["time"]} for r in b["data"]]}, "tells none of SplyCur"),
        (lambda b: {**b, "next_page_url": "https://169.254.169.254/"}, "names a next page without its token"),
        (lambda b: {**b, "next_page_token": "MA==", "next_page_url": "x"}, "its pages do not come to an end"),
        (lambda b: {"data": [], "next_page_token": "MA==", "next_page_url": "x"}, "holds no day and names a next page"),
    ],
)
def test_another_shape_is_a_loud_outage(sandbox: Sandbox, spoil: Any, said: str) -> None:
    outage = _outage(_bench(sandbox, spoiled=spoil))
    assert (outage.code, outage.cause) == ("venue_error", "wrong_shape")
    assert said in str(outage) and str(outage).isprintable()


def test_a_refusal_says_why(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coin_metrics, "PAGE_ROWS", 0)
    outage = _outage(_bench(sandbox))
    assert (outage.code, outage.cause) == ("venue_error", "refused")
    assert "Bad parameter 'page_size'" in str(outage)


def test_a_rate_limit_is_waited_out_and_a_ban_is_not(sandbox: Sandbox) -> None:
    bench = _bench(sandbox, Fault("rate_limited", times=1, retry_after_s=6))
    assert _fetched(bench).height == 124
    assert bench.clock.slept == [6.0]
    assert _outage(_bench(sandbox, Fault("banned", times=9), policy=RetryPolicy(attempts_count=3))).code == "banned"
