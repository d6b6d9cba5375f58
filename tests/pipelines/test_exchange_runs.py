"""Real Dagster runs of the exchanges' assets: the metadata tells failures apart, no venue costs the run, no secret leaves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import requests
from canned_market import BASE_URL, Canned, CannedMarket
from dagster import AssetKey, Definitions, define_asset_job, in_process_executor, materialize
from source_doubles import HandClock

from assets.lake.definitions import build_exchange_assets
from pipelines.home import open_home
from pipelines.lake.store import Lake
from pipelines.runs import execute, open_instance, watch_logger
from pipelines.sandbox.world import World
from pipelines.sources.chains.addresses import checked_base_url
from pipelines.sources.door import RetryPolicy
from pipelines.sources.exchanges.registry import client_class
from pipelines.sources.gate import Gate
from pipelines.sources.journal import Journal

DAY, NOW = date(2025, 9, 2), datetime(2025, 9, 4, 12)


@pytest.fixture(scope="module")
def market() -> CannedMarket:
    return CannedMarket(World(3, date(2025, 9, 1), 4, assets=("SOL",)), NOW)


def _client(venue: str, home: Path, base_url: str, adapter: Any = None) -> Any:
    clock = HandClock(NOW)
    lake = Lake(home / "lake", clock=clock, code_version="test")
    client = client_class(venue)(
        lake,
        clock=clock,
        universe=("SOL",),
        is_synthetic=True,
        base_url=base_url,
        policy=RetryPolicy(attempts_count=2),
        sleep=clock.sleep,
        gate=Gate(home / "gate"),
        journal=Journal(home / "walks", lake, clock),
    )
    exchange = client._connection()[0]
    exchange.timeout = 50 if adapter is None else 10_000
    if adapter is not None:
        exchange.session.mount("http://", adapter)
    return client


@contextmanager
def _closed_port() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def _silent_port() -> Iterator[str]:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@contextmanager
def _nameless_host() -> Iterator[str]:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        yield "http://localhost:9"


_CLOUDFRONT = b"<html>configured to block access from your country</html>"

FAILURES: dict[str, tuple[Any, str, str]] = {
    "a ban by 418": (Canned(b"{}", 418, {"Retry-After": "300"}), "banned", "banned"),
    "a ban by 403": (Canned(b"Forbidden", 403, {}), "banned", "banned"),
    "a geoblock by 451": (Canned(b"", 451), "geoblocked", "geoblocked"),
    "a geoblock by 403": (Canned(_CLOUDFRONT, 403, {}), "geoblocked", "geoblocked"),
    "a rate limit": (Canned(b"{}", 429, {"Retry-After": "600"}), "rate_limited", "rate_limited"),
    "a server error": (Canned(b"{}", 503), "venue_error", "server_error"),
    "a gateway's timeout": (Canned(b"", 504, {}), "venue_error", "server_error"),
    "a page of HTML": (Canned(b"<html>"), "venue_error", "not_json"),
    "the venue's refusal": (Canned(b'{"code": -1121, "msg": "Invalid symbol."}', 400), "venue_error", "refused"),
    "another shape": (Canned(b'{"rows": []}'), "venue_error", "wrong_shape"),
    "a refused connection": (_closed_port, "unreachable", "no_connection"),
    "a host without a name": (_nameless_host, "unreachable", "no_connection"),
    "no answer at all": (_silent_port, "unreachable", "timeout"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_runs_metadata_tells_failures_apart_and_the_other_venue_lands(
    market: CannedMarket, tmp_path: Path, name: str
) -> None:
    answer, code, cause = FAILURES[name]
    with ExitStack() as stack:
        if isinstance(answer, Canned):
            market.spoil = lambda label, sound: answer if label == "/fapi/v1/klines" else sound
            stack.callback(lambda: setattr(market, "spoil", lambda _, sound: sound))
            binance = _client("binance", tmp_path, BASE_URL, market)
        else:
            binance = _client("binance", tmp_path, stack.enter_context(answer()))
        # Another host's gate: what Binance is told holds for Binance.
        bybit = _client("bybit", tmp_path, BASE_URL.replace(":9", ":8"), market)
        result = materialize(
            [a for v in ("binance", "bybit") for a in build_exchange_assets(v, ["candles"])],
            partition_key=DAY.isoformat(),
            resources={
                "lake": binance._lake,
                "exchanges": {"binance": binance, "bybit": bybit},
                "clock": HandClock(NOW),
            },
        )
    assert result.success
    told = {
        venue: result.asset_materializations_for_node(f"lake__{venue}_candles")[0].metadata
        for venue in ("binance", "bybit")
    }
    assert (told["binance"]["status"].value, told["binance"]["cause"].value) == (code, cause)
    assert "\n" not in str(told["binance"]["reason"].value)
    assert told["bybit"]["status"].value == "landed"
    lake = binance._lake
    assert [(g.key.venue, g.status) for g in lake.outages()] == [("binance", code)]
    (landed,) = lake.current()
    assert landed.key.venue == "bybit"
    assert landed.path is not None
    hours = pl.read_parquet(landed.path).group_by("venue_symbol", "price_kind").len()["len"]
    assert hours.unique().to_list() == [24]


CANARY = "c4n4ry"


class Leaking(CannedMarket):
    """A venue whose every failure has the request's secrets in it."""

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:  # type: ignore[override]  # as CannedMarket
        # The canary did leave with the request, or its absence elsewhere would prove nothing.
        assert CANARY in str(request.url) and CANARY in str(dict(request.headers))
        plain = request.copy()
        plain.url = str(request.url).replace(f"signature={CANARY}", "").rstrip("&?")
        response = super().send(plain, *args, **more)
        response.url, response.request = str(request.url), request
        response.headers["Set-Cookie"] = f"session={CANARY}"
        response.headers["X-Request"] = str(request.url)
        return response


def _everything_below(root: Path) -> Iterator[tuple[Path, str]]:
    """Return every file's bytes as text, and what Parquet and packed files hold."""
    import gzip

    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        yield path, path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield path, pl.read_parquet(path).write_json()
        if path.suffix == ".gz":
            yield path, gzip.decompress(path.read_bytes()).decode("latin-1")


@pytest.mark.parametrize("failure", [None, 418, 500, "timeout", "connection", "bug"])
def test_no_secret_of_a_request_reaches_the_home_or_the_terminal(
    tmp_path: Path, failure: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BINANCE_API_SECRET", CANARY)
    monkeypatch.setenv("LOWTIDE_ANY_TOKEN", CANARY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{CANARY}@127.0.0.1:9")
    home = open_home(tmp_path / "home", "demo", create=True)
    leaking = Leaking(World(3, date(2025, 9, 1), 4, assets=("SOL",)), NOW)

    def spoil(label: str, sound: Canned) -> Canned:
        if label != "/fapi/v1/klines" or failure is None:
            return sound
        if failure == "timeout":
            raise requests.Timeout(f"https://user:{CANARY}@host/{CANARY}?key={CANARY} Read timed out")
        if failure == "connection":
            raise requests.ConnectionError(f"postgresql://user:{CANARY}@host/{CANARY}")
        if failure == "bug":
            raise KeyError(CANARY)
        return Canned(b"{}" if failure != 200 else b"<html>", failure, {"Retry-After": "600"})

    leaking.spoil = spoil
    client = _client("binance", home.root, BASE_URL, leaking)
    exchange = client._connection()[0]
    exchange.password = exchange.token = CANARY
    exchange.headers = {"Authorization": f"Bearer {CANARY}", "X-MBX-APIKEY": CANARY}
    sign = exchange.sign

    def signed(*args: Any, **more: Any) -> Any:
        request = sign(*args, **more)
        joint = "&" if "?" in request["url"] else "?"
        return {**request, "url": f"{request['url']}{joint}signature={CANARY}"}

    exchange.sign = signed
    defs = Definitions(
        assets=build_exchange_assets("binance", ["candles"]),
        jobs=[define_asset_job("collect", [AssetKey(["lake", "binance_candles"])])],
        resources={"lake": client._lake, "exchanges": {"binance": client}, "clock": HandClock(NOW)},
        loggers={"lowtide": watch_logger},
        executor=in_process_executor,
    )
    instance = open_instance(home)
    outcome = execute(defs, instance, "collect", [DAY], watch=print)
    assert outcome.is_success
    (run,) = instance.get_runs()
    events = "\n".join(str(e) for e in instance.all_logs(run.run_id))
    shown = capfd.readouterr()
    looked_at = [*_everything_below(home.root), (Path("events"), events), (Path("terminal"), shown.out + shown.err)]
    assert [str(path) for path, text in looked_at if CANARY in text] == []
    names = {path.name for path, _ in looked_at}
    assert {"requests.jsonl", "manifest.jsonl"} <= names
    assert any(n.endswith(".db") for n in names), "the event log was looked at"
    assert (failure is None) == any(n.endswith(".parquet") for n in names)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{CANARY}@host",
        f"https://host/{CANARY}",
        f"https://host?k={CANARY}",
        f"postgresql://u:{CANARY}@h/d",
    ],
)
def test_an_address_with_a_secret_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="binance base URL") as caught:
        checked_base_url(url, is_synthetic=False, source="binance")
    assert CANARY not in str(caught.value)


def _minutes(market: CannedMarket, home: Path, last: date, **more: Any) -> tuple[Any, Any]:
    """Run the asset of Binance's minutes over the days from `DAY` to `last`; return its metadata and the lake."""
    client = _client("binance", home, BASE_URL, market)
    client.left_out = more.get("left_out", ())
    result = materialize(
        build_exchange_assets("binance", ["minute_candles"]),
        tags={
            "dagster/asset_partition_range_start": DAY.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        },
        resources={"lake": client._lake, "exchanges": {"binance": client}, "clock": HandClock(NOW)},
    )
    assert result.success
    return result.asset_materializations_for_node("lake__binance_minute_candles")[0].metadata, client._lake


def test_a_range_of_minutes_lands_day_by_day_and_keeps_what_came_before_an_outage(
    market: CannedMarket, tmp_path: Path
) -> None:
    told, lake = _minutes(market, tmp_path / "whole", date(2025, 9, 3))
    assert [(g.key.day, g.rows_count) for g in lake.current()] == [(DAY, 1440), (date(2025, 9, 3), 1440)]
    assert told["dagster/row_count"].value == 2880
    # Each day is a commit of its own: its line names the pages of that day alone.
    assert not set(lake.current()[0].payloads) & set(lake.current()[1].payloads)
    asked: list[str] = []

    def second_day_fails(label: str, sound: Canned) -> Canned:
        asked.append(label)
        return Canned(b"{}", 503) if asked.count("/fapi/v1/klines") > 1 else sound

    market.spoil = second_day_fails
    try:
        told, lake = _minutes(market, tmp_path / "cut", date(2025, 9, 3))
    finally:
        market.spoil = lambda _, sound: sound
    assert [(g.key.day, g.rows_count) for g in lake.current()] == [(DAY, 1440)]
    assert [(g.key.day, g.status) for g in lake.outages()] == [(date(2025, 9, 3), "venue_error")]
    assert (told["status"].value, told["rows"].value) == ("venue_error", 1440)


def test_minutes_that_nobody_asked_for_are_not_fetched(market: CannedMarket, tmp_path: Path) -> None:
    told, lake = _minutes(market, tmp_path, DAY, left_out=frozenset({"minute_candles"}))
    assert told["status"].value == "not asked for in universe.yml"
    assert (lake.current(), lake.outages()) == ([], [])
