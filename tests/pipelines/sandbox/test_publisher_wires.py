"""Wire shapes of the publishers of flows and holders, and the calendar that the flows keep."""

from __future__ import annotations

import csv
from datetime import date, datetime
from pathlib import Path

import pytest

from pipelines.sandbox.etf_funds import closures, fund_days, is_trading_day
from pipelines.sandbox.wire import WireError
from pipelines.sandbox.wire_coin_metrics import CoinMetricsWire
from pipelines.sandbox.wire_farside import FarsideWire
from pipelines.sandbox.world import World

NOW = datetime(2025, 9, 3, 12, 0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(1, date(2025, 9, 1), 3, assets=("BTC",))


@pytest.mark.fast
def test_the_seed_of_closures_is_what_the_exchanges_rules_say(project_root: Path) -> None:
    with (project_root / "dbt" / "seeds" / "us_market_closures.csv").open(encoding="utf-8") as lines:
        seed = [date.fromisoformat(row["closed_date_utc"]) for row in csv.DictReader(lines)]
    assert seed == sorted(set(seed))
    assert set(seed) == {day for year in range(2024, 2028) for day in closures(year)}
    assert all(day.weekday() < 5 for day in seed)


def test_funds_add_up_and_keep_the_calendar(world: World) -> None:
    for asset in ("BTC", "ETH", "SOL"):
        days = fund_days(world, asset)
        assert all(is_trading_day(d.day) for d in days)
        assert [d.day for d in days] == sorted({d.day for d in days})
        assert len(days[0].tenths) == len(days[-1].tenths) - 1


def test_a_page_shows_a_day_when_it_is_over(world: World) -> None:
    page = FarsideWire(world).page("BTC", NOW)
    assert "02 Sep 2025" in page and "03 Sep 2025" not in page
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n")
    assert page == FarsideWire(World(1, date(2025, 9, 1), 3, assets=("BTC",))).page("BTC", NOW)


def test_records_are_strings_under_the_interfaces_names(world: World) -> None:
    wire = CoinMetricsWire(world)
    query = {"assets": "btc", "metrics": "SplyCur,PriceUSD", "page_size": "2", "paging_from": "start"}
    body = wire.asset_metrics(query, NOW)
    assert set(body) == {"data", "next_page_token", "next_page_url"}
    assert [set(r) for r in body["data"]] == [{"asset", "time", "SplyCur", "PriceUSD"}] * 2
    assert all(isinstance(v, str) for r in body["data"] for v in r.values())
    assert body["data"][0]["time"] == "2025-07-03T00:00:00.000000000Z"
    assert body["next_page_url"].startswith(
        "https://community-api.coinmetrics.io/v4/timeseries/asset-metrics?assets=btc"
    )
    newest = wire.asset_metrics({**query, "paging_from": "end"}, NOW)["data"]
    assert [r["time"][:10] for r in newest] == ["2025-09-01", "2025-09-02"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"assets": "doge"}, 400),
        ({"metrics": "Nothing"}, 400),
        ({"metrics": "CapRealUSD"}, 403),
        ({"frequency": "1b"}, 400),
        ({"page_size": "10001"}, 400),
        ({"page_size": "x"}, 400),
        ({"next_page_token": "!"}, 400),
        ({"start_time": "soon"}, 400),
    ],
)
def test_wrong_questions_are_refused(world: World, change: dict[str, str], status: int) -> None:
    with pytest.raises(WireError) as caught:
        CoinMetricsWire(world).asset_metrics({"assets": "btc", "metrics": "SplyCur", **change}, NOW)
    assert caught.value.status == status
    assert set(caught.value.body["error"]) == {"type", "message"}


def test_a_withheld_metric_is_left_out_on_request(world: World) -> None:
    query = {"assets": "btc", "metrics": "CapRealUSD,SplyCur", "ignore_forbidden_errors": "true"}
    body = CoinMetricsWire(world).asset_metrics(query, NOW)
    assert set(body["data"][0]) == {"asset", "time", "SplyCur"}
